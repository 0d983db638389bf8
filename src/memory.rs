//! Large buffers go back to the system as soon as they are dropped.
//!
//! The allocator of glibc raises the size from which it asks the system for a buffer of its own whenever such a
//! buffer is freed. After one document of 20 MB the next ones would be put on its heap, among what stays, and a daemon
//! that runs for months would keep their room.

#![allow(unsafe_code)]

/// From this size on, a buffer is the system's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1024 * 1024;

/// Settles that for the whole process; other allocators need no telling.
pub fn return_large_buffers() {
    // SAFETY: the call takes two numbers, and no thread of ours runs yet.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
