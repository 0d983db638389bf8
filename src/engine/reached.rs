//! Which group was the last to reach the disk, told beside the journal by the names of empty files.
//!
//! A file is renamed once the journal's sync has returned, and before the moves that it vouches for. A file system keeps
//! the order of renames over a power cut, so where one of these moves is seen, so is this name; and a rename costs
//! little beside a sync.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::owner_name;
use crate::journal::Counters;
use crate::model::owner::Owner;
use crate::spool::fs::{Dir, Fs, FsError};

/// Begins the name in `store/`.
const REACHED: &str = "REACHED.";
/// Begins it in a `work/`: what is hidden there is not in hand.
const HIDDEN: &str = ".reached.";

/// What a name tells.
#[derive(Debug)]
pub(super) struct WitnessName {
    /// The numbers as of that group.
    pub counters: Counters,
    /// The identity of the journal; in `store/` its marker has it.
    pub journal: Option<String>,
    name: OsString,
}

impl WitnessName {
    fn parse(name: OsString) -> Option<Self> {
        let text = name.to_str()?;
        let mut words = text
            .strip_prefix(REACHED)
            .or_else(|| text.strip_prefix(HIDDEN))?
            .split('.');
        let counters = Counters {
            group: words.next()?.parse().ok()?,
            order: words.next()?.parse().ok()?,
            message: words.next()?.parse().ok()?,
            time: None,
        };
        let journal = words.next().map(str::to_owned);
        Some(Self {
            counters,
            journal,
            name,
        })
    }
}

fn name_of(counters: Counters, journal: Option<&str>) -> OsString {
    let Counters {
        group,
        order,
        message,
        ..
    } = counters;
    match journal {
        Some(journal) => format!("{HIDDEN}{group}.{order}.{message}.{journal}").into(),
        None => format!("{REACHED}{group}.{order}.{message}").into(),
    }
}

/// What the names in a folder tell, in the order of their groups.
pub(super) fn witness_names(fs: &Fs, dir: &Dir) -> Result<Vec<WitnessName>, FsError> {
    let entries = fs.list(dir)?.into_iter();
    let mut told: Vec<WitnessName> = entries
        .filter_map(|it| WitnessName::parse(it.name))
        .collect();
    told.sort_by_key(|told| told.counters.group);
    Ok(told)
}

/// Has a folder tell this and nothing else.
fn replace_name(fs: &Fs, dir: &Dir, name: &OsStr) -> Result<(), FsError> {
    let mut names = witness_names(fs, dir)?;
    match names.pop() {
        Some(newest) if newest.name == name => {}
        Some(newest) => fs.rename(dir, &newest.name, dir, name)?,
        None => fs.write_new(dir, name, b"")?,
    }
    for older in names {
        fs.remove(dir, &older.name)?;
    }
    Ok(())
}

/// In `store/`, renamed for each group.
#[derive(Debug)]
pub(super) struct StoreWitness {
    dir: Dir,
    name: OsString,
    /// Whether it was said that this cannot be told.
    is_failure_logged: bool,
}

impl StoreWitness {
    /// Tells these numbers from now on.
    pub fn begin(fs: &Fs, store: &Dir, counters: Counters) -> Result<Self, FsError> {
        let name = name_of(counters, None);
        replace_name(fs, store, &name)?;
        Ok(Self {
            dir: store.clone(),
            name,
            is_failure_logged: false,
        })
    }

    /// A group has reached the disk. It counts also where this cannot be told: then nothing else says so, should the
    /// journal ever be shorter.
    pub fn advance(&mut self, fs: &Fs, counters: Counters) {
        let name = name_of(counters, None);
        match fs.rename(&self.dir, &self.name, &self.dir, &name) {
            Ok(()) => self.name = name,
            Err(error) if !std::mem::replace(&mut self.is_failure_logged, true) => log::error!(
                "that a group has reached the disk cannot be told beside the journal: {error}"
            ),
            Err(_) => {}
        }
    }
}

/// In `work/` of each facility and of the desk, renamed before batches leave and at a clean stop: it outlives `store/`.
#[derive(Debug)]
pub(super) struct WorkWitness {
    journal: String,
    names: BTreeMap<Owner, OsString>,
    is_failure_logged: bool,
}

impl WorkWitness {
    /// Of the journal with this identity.
    pub fn new(journal: &str) -> Self {
        Self {
            journal: journal.to_owned(),
            names: BTreeMap::new(),
            is_failure_logged: false,
        }
    }

    /// Tells these numbers in the folder of this place. What leaves it leaves also where this cannot be told.
    pub fn advance(&mut self, fs: &Fs, owner: &Owner, root: &Dir, counters: Counters) {
        let name = name_of(counters, Some(&self.journal));
        if self.names.get(owner) == Some(&name) {
            return;
        }
        let told = fs.open_dir(root, Path::new("work")).and_then(|work| {
            // Where the folder is another one than before, the name is not there.
            let is_renamed = self
                .names
                .get(owner)
                .is_some_and(|before| fs.rename(&work, before, &work, &name).is_ok());
            match is_renamed {
                true => Ok(()),
                false => replace_name(fs, &work, &name),
            }
        });
        match told {
            Ok(()) => drop(self.names.insert(owner.clone(), name)),
            Err(error) if !std::mem::replace(&mut self.is_failure_logged, true) => log::error!(
                "that batches of {} leave cannot be told beside the journal: {error}",
                owner_name(owner)
            ),
            Err(_) => {}
        }
    }
}
