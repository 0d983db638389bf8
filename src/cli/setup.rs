//! `setup`: makes the folders and markers; as root also their owners and rights, as DESIGN has them.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use clap::Args;

use super::{Failure, print, user};
use crate::config::{Config, Facility};
use crate::engine::{Engine, OpenStore};
use crate::journal::Place;
use crate::spool::fs::Fs;
use crate::spool::layout::{LOCK, LayoutError, MARKER, Marker, Spool, Station};

/// Others may go through: the chroot of an SFTP user, and every folder above it, belong to root (sshd asks for it).
const THROUGH: u32 = 0o755;
/// The facility writes here, and what it makes has the folder's group.
const WRITE: u32 = 0o2770;
/// The facility reads here.
const READ: u32 = 0o2750;
/// The facility deletes what it has fetched: an operator's choice for the folders of an outbox.
const FETCH: u32 = 0o2770;
/// Ours alone, but renamed out of here a file has the folder's group.
const WORK: u32 = 0o2700;
/// Ours alone.
const OURS: u32 = 0o700;

/// Who the daemon runs as, where nothing else is said.
const DAEMON: &str = "rcpspool";

/// The arguments of `setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// The user that the daemon runs as, with a group of the same name: as root, the folders become its own
    #[arg(long, value_name = "USER", default_value = DAEMON)]
    owner: String,
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
            text.push_str(&set_owners(config, &self.owner)?);
        } else {
            text.push_str(
                "Run this as root to give them the owners and rights that SFTP chroots need.\n",
            );
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
        for folder in ["outbox", "error"] {
            rights.push((dir.join(folder), READ));
        }
        for folder in ["outbox/reports", "outbox/acks"] {
            let folder = dir.join(folder);
            let mode = std::fs::metadata(&folder).map(|it| it.permissions().mode() & 0o7777);
            let chosen = matches!(mode, Ok(FETCH));
            rights.push((folder, if chosen { FETCH } else { READ }));
        }
        rights.push((dir.join("work"), WORK));
        rights.push((dir.join("done"), OURS));
    }
    rights
}

/// Gives the folders to the daemon's user and to the SFTP users, as far as these are there; says what is left to do.
fn set_owners(config: &Config, daemon: &str) -> Result<String, Failure> {
    if !is_user(daemon) {
        return Ok(format!(
            "The rights are set. There is no user {daemon}, so the owners are as they were: make the user the daemon \
             is to run as, or name it with --owner, and run this again.\n"
        ));
    }
    let mut text = format!("The folders belong to {daemon}.\n");
    for command in commands(config, daemon) {
        run(&command)?;
    }
    for facility in &config.facilities {
        let user = format!("sftp-{}", facility.id);
        let is_known = is_user(&user);
        for command in commands_of(facility, daemon, is_known.then_some(&user)) {
            run(&command)?;
        }
        text.push_str(&match is_known {
            true => format!("  {} writes and reads as {user}\n", facility.id),
            false => format!(
                "  {} has no user {user}: if it comes by SFTP, make it and run this again\n",
                facility.id
            ),
        });
    }
    Ok(text)
}

/// A program and its arguments.
type Words = Vec<String>;

fn commands(config: &Config, daemon: &str) -> Vec<Words> {
    let spool = &config.spool;
    let below = |name: &str| spool.join(name);
    let own = ["desk", "documents", "journal", "store", "status", LOCK].map(below);
    vec![
        chown("root:root", false, [spool.clone(), below("facilities")]),
        chown(&format!("{daemon}:{daemon}"), true, own),
    ]
}

fn commands_of(facility: &Facility, daemon: &str, user: Option<&String>) -> Vec<Words> {
    let below = |name: &str| facility.dir.join(name);
    let (writer, readers) = match user {
        Some(user) => (user.as_str(), user.as_str()),
        None => (daemon, daemon),
    };
    let shown = ["outbox", "error", "work", MARKER].map(below);
    let inbox = below("inbox");
    let entry = format!("u:{daemon}:rwx");
    vec![
        chown("root:root", false, [facility.dir.clone()]),
        chown(&format!("{writer}:{daemon}"), false, [inbox.clone()]),
        ["setfacl", "-d", "-m", &entry]
            .map(str::to_owned)
            .into_iter()
            .chain([inbox.display().to_string()])
            .collect(),
        chown(&format!("{daemon}:{readers}"), true, shown),
        chown(&format!("{daemon}:{daemon}"), true, [below("done")]),
    ]
}

fn chown<const N: usize>(owner: &str, with_content: bool, folders: [PathBuf; N]) -> Words {
    let mut words = vec!["chown".to_owned()];
    if with_content {
        words.push("-R".to_owned());
    }
    words.push(owner.to_owned());
    words.extend(folders.iter().map(|folder| folder.display().to_string()));
    words
}

/// Users may come from a directory service, so the system is asked, not a file.
fn is_user(name: &str) -> bool {
    let asked = Command::new("id").args(["-u", "--", name]).output();
    asked.is_ok_and(|asked| asked.status.success())
}

fn run(words: &[String]) -> Result<(), Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let line = words.join(" ");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| {
            Failure::new(format!(
                "`{line}` cannot be run: {error}. chown is in coreutils, setfacl in the package acl"
            ))
        })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "`{line}` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}
