//! Who a command runs as: as root it becomes the owner of `journal/`, so that nothing it makes is out of the daemon's
//! reach (design.md, "Rights"). One right of root is kept: to see whether an uploader still has a file open.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_thread_gid, set_thread_groups, set_thread_uid,
};

use super::Failure;
use crate::config::Config;

/// Gives up being root if the spool is somebody else's. To be called before there is a second thread.
pub fn become_owner(config: &Config) -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let path = config.spool.join("journal");
    let journal = match std::fs::metadata(&path) {
        Ok(journal) => journal,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // What root would make there might be out of its owner's reach.
        Err(error) => {
            return Err(Failure::new(format!(
                "it cannot be seen whose {} is: {error}. Run this as the daemon's user",
                path.display()
            )));
        }
    };
    if journal.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(journal.uid()), Gid::from_raw(journal.gid()));
    change_user(user, group).map_err(|error| {
        Failure::new(format!(
            "the spool belongs to user {}, whom root cannot become here ({error}): run this as that user",
            journal.uid()
        ))
    })
}

/// Becomes this user, who may look at the writers of others' files and has no other right of root.
fn change_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    set_keep_capabilities(true)?;
    set_thread_groups(&[group])?;
    set_thread_gid(group)?;
    set_thread_uid(user)?;
    // In a container root may lack it too: then the engine says that it cannot tell.
    let kept = capabilities(None)?.permitted & CapabilitySet::LEASE;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_keep_capabilities(false)
}
