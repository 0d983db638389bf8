//! Whether some process still has a file open for writing: the one system call that no crate wraps.
//!
//! `fcntl(F_SETLEASE, F_RDLCK)` is refused while a writer has the file open. That tells a finished upload from a
//! slow one on every local file system, which size and time alone cannot.

#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Once;

use super::local_disk::is_on_local_disk;

/// What the system says of the writers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// Nobody has it open for writing.
    Closed,
    /// Somebody has.
    OpenForWriting,
    /// The system does not say: size, time and content must tell (see [`super::doubt`]).
    CannotTell(LeaseObstacle),
}

/// Why the system does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseObstacle {
    /// A share: the writer may be on another machine, which this one does not see.
    Share,
    /// The file is another user's, and the process lacks `CAP_LEASE`.
    NoRight,
    /// The file system, or the system, has no leases.
    Refused(String),
}

impl fmt::Display for LeaseObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaseObstacle::Share => f.write_str("the folder lies on a network share"),
            LeaseObstacle::NoRight => f.write_str(
                "the files are another user's, and this process lacks CAP_LEASE: give it to the service (AmbientCapabilities=CAP_LEASE)",
            ),
            LeaseObstacle::Refused(error) => write!(f, "the file system grants no leases: {error}"),
        }
    }
}

/// Whether a writer has this file open, as far as the system can tell. Once the answer is [`Writer::Closed`], whoever
/// opens the file for writing waits until `file` is closed.
pub fn writer_of(file: &File) -> Writer {
    // A share answers for this machine, or with the error of an open file where there is none.
    match is_on_local_disk(file) {
        Ok(true) => {}
        Ok(false) => return Writer::CannotTell(LeaseObstacle::Share),
        Err(error) => return Writer::CannotTell(LeaseObstacle::Refused(error.to_string())),
    }
    ignore_breaks();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call takes no pointer.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if taken == 0 {
        return Writer::Closed;
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Writer::OpenForWriting,
        Some(libc::EACCES | libc::EPERM) => Writer::CannotTell(LeaseObstacle::NoRight),
        _ => Writer::CannotTell(LeaseObstacle::Refused(error.to_string())),
    }
}

/// Whoever opens the file for writing meanwhile has the kernel send us SIGIO, which would end the process.
fn ignore_breaks() {
    static IGNORED: Once = Once::new();
    // SAFETY: ignoring a signal runs no code of ours.
    IGNORED.call_once(|| unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    });
}
