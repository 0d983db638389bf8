//! The folders, and everything that moves between them.

pub mod acl;
pub mod ages;
pub mod claim;
pub mod doubt;
pub mod faults;
pub mod finish;
pub mod fs;
pub mod layout;
pub mod lease;
pub mod retention;
pub mod scope;
pub mod settle;
pub mod sweep;
pub mod watch;
