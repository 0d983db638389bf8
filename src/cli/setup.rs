//! `setup`: makes the folders and markers; as root also their rights, as DESIGN has them.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Failure, print, user};
use crate::config::{Config, Facility};
use crate::engine::{Engine, OpenStore};
use crate::journal::Place;
use crate::spool::fs::Fs;
use crate::spool::layout::{LayoutError, MARKER, Marker, Spool, Station};

/// Others may go through: the chroot of an SFTP user, and every folder above it, belong to root (sshd asks for it).
const THROUGH: u32 = 0o755;
/// The facility writes here, and what it makes has the folder's group.
const WRITE: u32 = 0o2770;
/// The facility reads here.
const READ: u32 = 0o2750;
/// Ours alone, but renamed out of here a file has the folder's group.
const WORK: u32 = 0o2700;
/// Ours alone.
const OURS: u32 = 0o700;

/// The arguments of `setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// Take this facility's folder as it is now for its own, though it lost its .rcpspool or got another
    #[arg(long, value_name = "FACILITY")]
    adopt: Option<String>,
}

impl Setup {
    /// Makes what is absent.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let adopted = match &self.adopt {
            Some(id) => Some(super::facility(config, id)?),
            None => None,
        };
        config.check_folders()?;
        let fs = Fs::new();
        let mut text = String::new();
        let mut adopted_marker = None;
        match Spool::open(&fs, &config.spool) {
            Ok(_locked) => {
                for facility in &config.facilities {
                    let marker = make(&fs, facility)?;
                    if adopted.is_some_and(|adopted| adopted.id == facility.id) {
                        adopted_marker = Some(marker);
                    }
                }
            }
            Err(LayoutError::InUse(_)) if adopted.is_some() => {
                return Err(Failure::new(
                    "the spool is in use: stop the daemon, then let the folder be adopted, then start it again",
                ));
            }
            Err(LayoutError::InUse(_)) => {
                text.push_str("The daemon is running, which has made the folders.\n");
            }
            Err(error) => return Err(error.into()),
        }
        text.push_str(&format!("The folders are in {}", config.spool.display()));
        for facility in &config.facilities {
            text.push_str(&format!(
                "\n  {} has {}",
                facility.id,
                facility.dir.display()
            ));
        }
        text.push('\n');
        if rustix::process::geteuid().is_root() {
            set_rights(config)?;
            text.push_str(&owners(config));
        } else {
            text.push_str("Run this as root to give them the rights that SFTP chroots need.\n");
        }
        if let Some(marker) = adopted_marker {
            adopt(config, &marker)?;
            text.push_str(&format!(
                "The folder of {} is taken for its own from now on.\n",
                marker.facility
            ));
        }
        print(&text)
    }
}

/// Records the marker that the folder has now, in the place of the one that it had.
fn adopt(config: &Arc<Config>, marker: &Marker) -> Result<(), Failure> {
    user::become_owner(config)?;
    let mut engine = Engine::open(Arc::clone(config), Fs::new(), OpenStore::Sled)?;
    engine.adopt(marker)?;
    Ok(engine.close()?)
}

/// The folder of a facility with its marker, so that an empty mount is never taken for it.
fn make(fs: &Fs, facility: &Facility) -> Result<Marker, Failure> {
    let id = facility.id.as_str();
    let root = fs.make_root(&facility.dir)?;
    let station = Station::open(fs, Place::Facility(id.to_owned()), root)?;
    match Station::read_marker(fs, &station.root)? {
        Some(marker) if marker.facility != id => Err(Failure::new(format!(
            "{} is the folder of the facility {}: give {id} one of its own (dir)",
            facility.dir.display(),
            marker.facility
        ))),
        Some(marker) => Ok(marker),
        None => {
            let name = OsStr::new(MARKER);
            if fs.exists(&station.root, name)? {
                // It cannot be read, so it says nothing.
                fs.remove(&station.root, name)?;
            }
            Ok(Station::write_marker(fs, &station.root, id)?)
        }
    }
}

fn set_rights(config: &Config) -> Result<(), Failure> {
    for (folder, mode) in rights(config) {
        std::fs::set_permissions(&folder, Permissions::from_mode(mode)).map_err(|error| {
            Failure::new(format!(
                "the rights of {} cannot be set: {error}",
                folder.display()
            ))
        })?;
    }
    Ok(())
}

fn rights(config: &Config) -> Vec<(PathBuf, u32)> {
    let spool = &config.spool;
    let mut rights = vec![
        (spool.clone(), THROUGH),
        (spool.join("facilities"), THROUGH),
    ];
    for folder in ["desk", "documents", "journal", "store", "status"] {
        rights.push((spool.join(folder), OURS));
    }
    for facility in &config.facilities {
        let dir = &facility.dir;
        rights.push((dir.clone(), THROUGH));
        rights.push((dir.join("inbox"), WRITE));
        for folder in ["outbox", "outbox/reports", "outbox/acks", "error"] {
            rights.push((dir.join(folder), READ));
        }
        rights.push((dir.join("work"), WORK));
        rights.push((dir.join("done"), OURS));
    }
    rights
}

/// The configuration names no users, so the owners are left to whoever knows them.
fn owners(config: &Config) -> String {
    let spool = config.spool.display();
    let mut text = format!(
        "The rights are set. Now give the folders their owners (here the daemon runs as rcpspool):
  chown root:root {spool} {spool}/facilities
  chown -R rcpspool:rcpspool {spool}/desk {spool}/documents {spool}/journal {spool}/store {spool}/status {spool}/.lock
"
    );
    for facility in &config.facilities {
        text.push_str(&owners_of(facility));
    }
    text
}

fn owners_of(facility: &Facility) -> String {
    let (id, dir) = (&facility.id, facility.dir.display());
    format!(
        "For {id}, with its SFTP user sftp-{id} and a group of the same name:
  chown root:root {dir}
  chown sftp-{id}:rcpspool {dir}/inbox && setfacl -d -m u:rcpspool:rwx {dir}/inbox
  chown -R rcpspool:sftp-{id} {dir}/outbox {dir}/error {dir}/work {dir}/.rcpspool
  chown -R rcpspool:rcpspool {dir}/done
If the facility deletes what it has fetched: chmod 2770 {dir}/outbox/reports {dir}/outbox/acks
"
    )
}
