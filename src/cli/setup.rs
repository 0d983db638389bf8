//! `setup`: makes the folders and markers; as root also their owners and rights, as docs/design.md has them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;

use super::{Failure, print, user};
use crate::config::{Config, Facility};
use crate::engine::{Engine, EngineError, OpenStore, witness};
use crate::model::owner::Owner;
use crate::random::random_name;
use crate::spool::acl;
use crate::spool::fs::rights::UserAndGroup;
use crate::spool::fs::{Dir, Fs};
use crate::spool::layout::{FolderError, LOCK, MARKER, Marker, OwnerFolders};

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
pub struct SetupArgs {
    /// The user that the daemon runs as, with a group of the same name: as root, the folders become its own
    #[arg(long, value_name = "USER", default_value = DAEMON)]
    owner: String,
    /// Take this facility's folder as it is now for its own, though it lost its .rcpspool or got another
    #[arg(long, value_name = "FACILITY")]
    adopt: Option<String>,
}

impl SetupArgs {
    /// Makes what is absent.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let adopted = match &self.adopt {
            Some(id) => Some(super::facility(config, id)?),
            None => None,
        };
        config.check_spool()?;
        let fs = Fs::new();
        let mut text = String::new();
        let mut adopted_marker = None;
        // What is wrong with one facility's folder keeps no other from being set up.
        let mut failed: Vec<(&Facility, Failure)> = Vec::new();
        match witness::set_up(&fs, config) {
            Ok((_locked, journal)) => {
                for facility in &config.facilities {
                    let is_adopted = adopted.is_some_and(|adopted| adopted.id == facility.id);
                    match make(&fs, facility, journal.as_deref(), is_adopted) {
                        Ok(marker) if is_adopted => adopted_marker = Some(marker),
                        Ok(_) => {}
                        Err(problem) if is_adopted => return Err(problem),
                        Err(problem) => failed.push((facility, problem)),
                    }
                }
            }
            Err(EngineError::Layout(FolderError::InUse(_))) if adopted.is_some() => {
                return Err(Failure::new(
                    "the spool is in use: stop the daemon, then let the folder be adopted, then start it again",
                ));
            }
            Err(EngineError::Layout(FolderError::InUse(_))) => {
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
            text.push_str(&set_up(config, &self.owner, &mut failed)?);
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
        print(&text)?;
        let problems: Vec<String> = failed
            .iter()
            .map(|(facility, problem)| format!("{}: {}", facility.id, problem.message))
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{}\nMount the folder, or give it its owner and rights (run this as root), and run this again: the other facilities are set up, and this one waits",
                problems.join("\n")
            ))),
        }
    }
}

/// Records the marker that the folder has now, in the place of the one that it had.
fn adopt(config: &Arc<Config>, marker: &Marker) -> Result<(), Failure> {
    user::become_owner(config)?;
    let mut engine = Engine::open(Arc::clone(config), Fs::new(), OpenStore::Sled)?;
    engine.adopt(marker)?;
    Ok(engine.close()?)
}

/// The folder of a facility with its marker, so that an empty mount is never taken for it. The marker names the journal,
/// if that has an identity already.
fn make(
    fs: &Fs,
    facility: &Facility,
    journal: Option<&str>,
    is_adopted: bool,
) -> Result<Marker, Failure> {
    let id = facility.id.as_str();
    let root = fs.make_root(&facility.dir)?;
    let folders = OwnerFolders::open(fs, Owner::Facility(id.to_owned()), root)?;
    let marker = match OwnerFolders::read_marker(fs, &folders.root)? {
        Some(marker) if marker.facility != id => {
            return Err(Failure::new(format!(
                "{} is the folder of the facility {}: give {id} one of its own (dir)",
                facility.dir.display(),
                marker.facility
            )));
        }
        Some(marker) if marker.journal.as_deref() == journal => return Ok(marker),
        Some(marker) if marker.journal.is_some() && !is_adopted => {
            return Err(Failure::new(format!(
                "{} is a folder of another spool: its {MARKER} names another journal. Give {id} one of its own (dir), or take it for its own with --adopt {id}",
                facility.dir.display()
            )));
        }
        Some(marker) => marker,
        None => Marker {
            facility: id.to_owned(),
            id: random_name(),
            journal: None,
        },
    };
    let marker = Marker {
        journal: journal.map(str::to_owned),
        ..marker
    };
    OwnerFolders::renew_marker(fs, &folders.root, &marker)?;
    Ok(marker)
}

/// Gives the folders their rights, and as far as the users are there their owners; says what is left to do.
///
/// Facilities write into some of these folders: each is opened beneath the one above and through no link, and what is
/// changed is what was opened.
fn set_up<'c>(
    config: &'c Config,
    daemon: &str,
    failed: &mut Vec<(&'c Facility, Failure)>,
) -> Result<String, Failure> {
    let fs = Fs::new();
    let daemon_ids = ids_of(daemon)?;
    let mut text = match daemon_ids {
        Some(_) => format!("The folders belong to {daemon}.\n"),
        None => format!(
            "The rights are set. There is no user {daemon}, so the owners are as they were: make the user the daemon \
             is to run as, or name it with --owner, and run this again.\n"
        ),
    };
    let mut left_alone = Vec::new();
    let spool = fs.open_root(&config.spool)?;
    let above = [spool.clone(), fs.open_dir(&spool, Path::new("facilities"))?];
    for dir in &above {
        fs.set_mode(dir, THROUGH)?;
        if daemon_ids.is_some() {
            fs.set_owner(dir, ROOT)?;
        }
    }
    for folder in ["desk", "documents", "journal", "store", "status"] {
        let dir = fs.open_dir(&spool, Path::new(folder))?;
        fs.set_mode(&dir, OURS)?;
        if let Some(ids) = daemon_ids {
            give(&fs, &dir, ids, &mut left_alone)?;
        }
    }
    if let Some(ids) = daemon_ids {
        fs.set_owner_of(&spool, OsStr::new(LOCK), ids)?;
        // A journal from before markers has none in the spool until its first start.
        if fs.exists(&spool, OsStr::new(MARKER))? {
            fs.set_owner_of(&spool, OsStr::new(MARKER), ids)?;
        }
    }
    for facility in &config.facilities {
        let user = format!("sftp-{}", facility.id);
        let user_ids = match daemon_ids {
            Some(_) => ids_of(&user)?,
            None => None,
        };
        if failed.iter().any(|(it, _)| it.id == facility.id) {
            continue;
        }
        if let Err(problem) = set_up_facility(&fs, facility, daemon_ids, user_ids, &mut left_alone)
        {
            failed.push((facility, problem));
            continue;
        }
        if daemon_ids.is_some() {
            text.push_str(&match user_ids {
                Some(_) => format!("  {} writes and reads as {user}\n", facility.id),
                None => format!(
                    "  {} has no user {user}: if it comes by SFTP, make it and run this again\n",
                    facility.id
                ),
            });
        }
    }
    for path in left_alone {
        text.push_str(&format!(
            "  {} has several names, and was left alone: look whose it is\n",
            path.display()
        ));
    }
    Ok(text)
}

fn set_up_facility(
    fs: &Fs,
    facility: &Facility,
    daemon: Option<UserAndGroup>,
    user: Option<UserAndGroup>,
    left_alone: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let root = fs.open_root(&facility.dir)?;
    let open = |below: &str| fs.open_dir(&root, Path::new(below));
    let inbox = open("inbox")?;
    let shown = [open("outbox")?, open("error")?, open("work")?];
    let done = open("done")?;
    fs.set_mode(&root, THROUGH)?;
    if let Some(daemon) = daemon {
        let readers = UserAndGroup {
            user: daemon.user,
            group: user.unwrap_or(daemon).group,
        };
        let writer = UserAndGroup {
            user: user.unwrap_or(daemon).user,
            group: daemon.group,
        };
        fs.set_owner(&root, ROOT)?;
        fs.set_owner(&inbox, writer)?;
        let entries = fs.default_acl(&inbox)?;
        fs.set_default_acl(&inbox, &acl::with_user(&entries, daemon.user))?;
        for dir in &shown {
            give(fs, dir, readers, left_alone)?;
        }
        fs.set_owner_of(&root, OsStr::new(MARKER), readers)?;
        give(fs, &done, daemon, left_alone)?;
    }
    // After the owners: a new owner takes some of the rights away.
    fs.set_mode(&inbox, WRITE)?;
    let [outbox, error, work] = &shown;
    fs.set_mode(outbox, READ)?;
    fs.set_mode(error, READ)?;
    fs.set_mode(work, WORK)?;
    fs.set_mode(&done, OURS)?;
    for below in ["outbox/reports", "outbox/acks"] {
        let dir = open(below)?;
        if fs.mode(&dir)? != FETCH {
            fs.set_mode(&dir, READ)?;
        }
    }
    Ok(())
}

/// Gives a folder and all that lies below it to somebody. A file that has another name elsewhere stays whose it is.
fn give(
    fs: &Fs,
    dir: &Dir,
    owner: UserAndGroup,
    left_alone: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    fs.set_owner(dir, owner)?;
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let folder = match fs.open_dir(dir, &below) {
            // Moved away meanwhile, or a link by now.
            Err(error) if error.is_absent() || error.is_in_the_way() => continue,
            other => other?,
        };
        for entry in fs.list(&folder)? {
            if entry.is_dir {
                folders.push(below.join(&entry.name));
            }
            match fs.set_owner_of(&folder, &entry.name, owner) {
                Ok(true) => {}
                Ok(false) => left_alone.push(folder.path().join(&entry.name)),
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The user of this name with the group of the same name, if there are both. They may come from a directory service,
/// so the system is asked, not a file.
fn ids_of(name: &str) -> Result<Option<UserAndGroup>, Failure> {
    let ask = |database: &str| -> Result<Option<u32>, Failure> {
        let asked = Command::new("getent")
            .args([database, name])
            .output()
            .map_err(|error| {
                Failure::new(format!(
                    "it cannot be asked for the user {name}: getent: {error}"
                ))
            })?;
        // 2: there is none of this name.
        match asked.status.code() {
            Some(0) => {}
            Some(2) => return Ok(None),
            _ => {
                return Err(Failure::new(format!(
                    "it cannot be asked for the user {name}: getent {database}: {}",
                    String::from_utf8_lossy(&asked.stderr).trim()
                )));
            }
        }
        let line = String::from_utf8_lossy(&asked.stdout);
        let id = line.trim().split(':').nth(2).and_then(|id| id.parse().ok());
        match id {
            Some(id) => Ok(Some(id)),
            None => Err(Failure::new(format!(
                "expected an id in the third place from getent {database} {name}, found {line}"
            ))),
        }
    };
    Ok(match (ask("passwd")?, ask("group")?) {
        (Some(user), Some(group)) => Some(UserAndGroup { user, group }),
        (None, _) => None,
        (Some(_), None) => {
            return Err(Failure::new(format!(
                "the user {name} has no group of its name: make it (groupadd), then run this again"
            )));
        }
    })
}

/// The owner of what nobody else may change.
const ROOT: UserAndGroup = UserAndGroup { user: 0, group: 0 };
