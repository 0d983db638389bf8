//! The folders, and everything that moves between them.

pub mod acl;
pub mod ages;
pub mod claim;
pub mod destinations;
pub mod doubt;
pub mod faults;
pub mod fs;
pub mod layout;
pub mod lease;
mod local_disk;
pub mod retention;
pub mod scope;
pub mod stability;
pub mod sweep;
pub mod watch;
