//! Who a command runs as: as root it becomes the owner of `journal/`, so that nothing it makes is out of the daemon's
//! reach (DESIGN, "Rights").

use std::os::unix::fs::MetadataExt;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::Failure;
use crate::config::Config;

/// Gives up being root if the spool is somebody else's. To be called before there is a second thread.
pub fn become_owner(config: &Config) -> Result<(), Failure> {
    let Ok(journal) = std::fs::metadata(config.spool.join("journal")) else {
        return Ok(());
    };
    if !geteuid().is_root() || journal.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(journal.uid()), Gid::from_raw(journal.gid()));
    set_thread_groups(&[group])
        .and_then(|()| set_thread_gid(group))
        .and_then(|()| set_thread_uid(user))
        .map_err(|error| {
            Failure::new(format!(
                "the spool belongs to user {}, whom root cannot become here ({error}): run this as that user",
                journal.uid()
            ))
        })
}
