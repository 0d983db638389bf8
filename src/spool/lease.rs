//! Whether some process still has a file open for writing: the one system call that no crate wraps.
//!
//! `fcntl(F_SETLEASE, F_RDLCK)` is refused while a writer has the file open. That tells a finished upload from a
//! slow one on every local file system, which size and time alone cannot.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Once;

/// Whether a writer has this file open, as far as the file system can tell. Until `file` is closed, whoever opens it
/// for writing waits.
///
/// Where leases are not to be had (a share, a file of another owner without `CAP_LEASE`) the answer is no, and the
/// settling time alone protects.
pub fn is_open_for_writing(file: &File) -> bool {
    ignore_breaks();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call takes no pointer.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    taken != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

/// Whoever opens the file for writing meanwhile has the kernel send us SIGIO, which would end the process.
fn ignore_breaks() {
    static IGNORED: Once = Once::new();
    // SAFETY: ignoring a signal runs no code of ours.
    IGNORED.call_once(|| unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    });
}
