//! Where files lie against where the journal put them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::value::RawValue;

use super::{CheckTopic, Findings};
use crate::config::Config;
use crate::journal::{Entry, JournalGroup, Move, OpenMoves};
use crate::model::owner::Owner;
use crate::spool::ages::InUse;
use crate::spool::claim::{self, Claim};
use crate::spool::destinations::{self, ERROR, SIDECAR};
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{OwnerFolders, Spool};
use crate::spool::retention::parse_day;
use crate::store::keys;

const DONE: &str = "done";

/// The owners, and where the journal put their files.
pub struct FolderCheck {
    roots: BTreeMap<Owner, Dir>,
    /// What lies in `work/`: claims by their key, and prepared output.
    work: BTreeMap<Owner, WorkFolder>,
    /// The files in `done/` and `error/`, as the moves leave them.
    put: BTreeMap<Owner, BTreeSet<String>>,
    /// Those in `error/` that somebody removed, as a start has noticed and journalled, with their sidecars.
    removed: BTreeMap<Owner, BTreeSet<String>>,
    /// Those of them that retention gave up for removal.
    given_up: BTreeMap<Owner, BTreeSet<String>>,
    /// The facilities' markers, as the journal has them.
    markers: BTreeMap<String, String>,
}

#[derive(Default)]
struct WorkFolder {
    /// Whether the journal says that the file is finished with.
    claims: BTreeMap<String, bool>,
    prepared: Vec<String>,
}

impl FolderCheck {
    /// Opens the folders of the desk and of each facility.
    pub fn open(fs: &Fs, config: &Config, spool: &Spool, findings: &mut Findings) -> Self {
        let mut roots = BTreeMap::from([(Owner::Desk, spool.desk.root.clone())]);
        for facility in &config.facilities {
            match fs.open_root(&facility.dir) {
                Ok(root) => {
                    roots.insert(Owner::Facility(facility.id.to_string()), root);
                }
                Err(error) => findings.differs(
                    CheckTopic::Folders,
                    format!("{} cannot be looked at: {error}", facility.id),
                ),
            }
        }
        let mut work = BTreeMap::new();
        for (place, root) in &roots {
            let lies = work
                .entry(place.clone())
                .or_insert_with(WorkFolder::default);
            let entries = fs
                .open_dir(root, Path::new("work"))
                .and_then(|dir| fs.list(&dir));
            match entries {
                Ok(entries) => {
                    for entry in entries.into_iter().filter(|entry| entry.is_file) {
                        let name = entry.name.to_string_lossy();
                        if name.starts_with(claim::PREPARED) {
                            lies.prepared.push(name.into_owned());
                        } else if let Some(claim) = Claim::parse(&entry.name) {
                            lies.claims.insert(claim.key(), false);
                        }
                    }
                }
                Err(error) => findings.differs(CheckTopic::Folders, error.to_string()),
            }
        }
        Self {
            roots,
            work,
            put: BTreeMap::new(),
            removed: BTreeMap::new(),
            given_up: BTreeMap::new(),
            markers: BTreeMap::new(),
        }
    }

    /// The folder of each place that can be looked at.
    pub fn roots(&self) -> impl Iterator<Item = (&Owner, &Dir)> {
        self.roots.iter()
    }

    /// Follows what a group of the journal did with files.
    pub fn follow(&mut self, (_, entries): JournalGroup) {
        for entry in entries {
            let moves = match entry {
                Entry::Message(message) => message.moves,
                Entry::Closing(closing) => {
                    for work in self.work.values_mut() {
                        if let Some(is_finished) = work.claims.get_mut(&closing.claim) {
                            *is_finished = true;
                        }
                    }
                    closing.moves
                }
                Entry::GivenUp { moves, .. } => {
                    for (_, ordered) in moves {
                        self.follow_giving_up(ordered);
                    }
                    continue;
                }
                Entry::Changes { changes, moves, .. } => {
                    for (key, value) in &changes {
                        self.follow_change(key, value.as_deref());
                    }
                    moves
                }
                _ => continue,
            };
            for ordered in moves {
                self.follow_move(ordered);
            }
        }
    }

    /// Before retention removes days of `done/`, the journal says so; and so it does of refused files that were removed.
    fn follow_change(&mut self, key: &str, value: Option<&RawValue>) {
        if key.starts_with(keys::REFUSED) && value.is_none() {
            let place = match keys::owner_of_refused(key).as_str() {
                "desk" => Owner::Desk,
                facility => Owner::Facility(facility.to_owned()),
            };
            let file = format!("{ERROR}/{}", keys::last_word(key));
            let removed = self.removed.entry(place).or_default();
            removed.insert(sidecar_of(&file));
            removed.insert(file);
        }
        let date = key.strip_prefix(keys::DATES_IN_USE);
        let in_use = value.and_then(|value| serde_json::from_str::<InUse>(value.get()).ok());
        if let (Some(date), Some(InUse { gone: true, .. })) = (date, in_use) {
            let day = format!("{DONE}/{date}/");
            for (place, put) in &self.put {
                let of_day = put
                    .range(day.clone()..)
                    .take_while(|path| path.starts_with(&day));
                self.given_up
                    .entry(place.clone())
                    .or_default()
                    .extend(of_day.cloned());
            }
        }
    }

    fn follow_move(&mut self, ordered: Move) {
        for gone in [&mut self.given_up, &mut self.removed] {
            if let Some(gone) = gone.get_mut(&ordered.place) {
                gone.remove(&ordered.to);
            }
        }
        let put = self.put.entry(ordered.place).or_default();
        put.remove(&ordered.from);
        if is_below(&ordered.to, DONE) || is_below(&ordered.to, ERROR) {
            put.insert(ordered.to);
        }
    }

    /// A move that is never done: its file stays where it was, and what is claimed is taken anew.
    fn follow_giving_up(&mut self, ordered: Move) {
        let claim = claim::from_text(&ordered.from);
        let claim = claim.file_name().and_then(Claim::parse);
        let work = self.work.get_mut(&ordered.place);
        if let (Some(work), Some(claim)) = (work, claim)
            && let Some(is_finished) = work.claims.get_mut(&claim.key())
        {
            *is_finished = false;
        }
        let put = self.put.entry(ordered.place).or_default();
        put.remove(&ordered.to);
        if is_below(&ordered.from, ERROR) {
            put.insert(ordered.from);
        }
    }

    /// Takes note of whose folder is which.
    pub fn take_marker(&mut self, key: &str, value: &RawValue) {
        if key.starts_with(keys::MARKERS)
            && let Ok(id) = serde_json::from_str(value.get())
        {
            self.markers.insert(keys::last_word(key), id);
        }
    }

    /// Says what does not lie where it should. `first_day` is the first day of `done/` that versions kept which went by
    /// the wall clock alone; `since` is when the journal begins, if it is not from the beginning.
    pub fn check(
        &self,
        fs: &Fs,
        open: &OpenMoves,
        first_day: Option<NaiveDate>,
        since: Option<DateTime<Utc>>,
        findings: &mut Findings,
    ) {
        self.check_markers(fs, findings);
        self.check_work(open, findings);
        let empty = BTreeSet::new();
        for (place, root) in &self.roots {
            let put = self.put.get(place).unwrap_or(&empty);
            let pending: BTreeMap<&str, &str> = open
                .moves
                .iter()
                .filter(|(_, ordered)| ordered.place == *place)
                .map(|(_, ordered)| (ordered.to.as_str(), ordered.from.as_str()))
                .collect();
            // One folder that cannot be looked at says nothing of the others.
            let looked = self
                .check_pending(fs, place, &pending, findings)
                .and_then(|()| occupied(fs, root));
            let lies = match looked {
                Ok(lies) => lies,
                Err(error) => {
                    let what = format!("{} cannot be looked at: {error}", name(place));
                    findings.differs(CheckTopic::Folders, what);
                    continue;
                }
            };
            let in_error = put.iter().filter(|path| is_below(path, ERROR));
            let sidecars: BTreeSet<String> = in_error.map(|path| sidecar_of(path)).collect();
            for path in put {
                let is_among = |gone: &BTreeMap<Owner, BTreeSet<String>>| {
                    gone.get(place).is_some_and(|gone| gone.contains(path))
                };
                let is_removed = day_of(path).is_some_and(|day| first_day > Some(day))
                    || is_among(&self.given_up)
                    || is_among(&self.removed);
                if is_removed {
                    continue;
                }
                findings.checked.files += 1;
                if lies.contains(path) || pending.contains_key(path.as_str()) {
                    continue;
                }
                let missing = format!("{}: {path} is missing", name(place));
                match (is_below(path, ERROR), sidecars.contains(path)) {
                    (false, _) => findings.differs(CheckTopic::Folders, missing),
                    // What was refused is not counted on: whoever corrected it may have removed it.
                    (true, false) => findings.note(
                        CheckTopic::Folders,
                        format!("{missing}: somebody removed it, and it is forgotten"),
                    ),
                    // It tells nothing that the store does not know.
                    (true, true) => {}
                }
            }
            for path in lies.difference(put) {
                // The journal tells nothing of what it does not go back to.
                let is_told = match (since, day_of(path)) {
                    (None, _) => true,
                    (Some(since), Some(day)) => day > since.date_naive().succ_opt().unwrap_or(day),
                    (Some(_), None) => false,
                };
                if is_told {
                    let what = format!("{}: nobody put {path} there", name(place));
                    findings.differs(CheckTopic::Folders, what);
                }
            }
        }
        for place in self
            .put
            .keys()
            .filter(|place| !self.roots.contains_key(place))
        {
            if *place != Owner::Documents {
                let what = format!("{} was not looked at", name(place));
                findings.note(CheckTopic::Folders, what);
            }
        }
    }

    fn check_markers(&self, fs: &Fs, findings: &mut Findings) {
        for (facility, id) in &self.markers {
            let Some(root) = self.roots.get(&Owner::Facility(facility.clone())) else {
                continue;
            };
            let what = match OwnerFolders::read_marker(fs, root) {
                Ok(Some(marker)) if marker.id == *id => continue,
                Ok(_) => format!(
                    "{} is not the folder that {facility} had: its marker is missing or another's",
                    root.path().display()
                ),
                Err(error) => format!("{facility} cannot be looked at: {error}"),
            };
            findings.differs(CheckTopic::Folders, what);
        }
    }

    fn check_work(&self, open: &OpenMoves, findings: &mut Findings) {
        for (place, work) in &self.work {
            let is_awaited = |path: &str| {
                let mut moves = open.moves.iter();
                moves.any(|(_, ordered)| ordered.place == *place && ordered.from == path)
            };
            for (claim, is_finished) in &work.claims {
                let is_pending = open.moves.iter().any(|(_, ordered)| {
                    let from = claim::from_text(&ordered.from);
                    let parsed = from.file_name().and_then(Claim::parse);
                    ordered.place == *place && parsed.is_some_and(|it| it.key() == *claim)
                });
                match (is_finished, is_pending) {
                    (_, true) => {}
                    (true, false) => findings.differs(
                        CheckTopic::Folders,
                        format!(
                            "{}: {claim} is finished with, and still lies in work/",
                            name(place)
                        ),
                    ),
                    (false, false) => findings.note(
                        CheckTopic::Folders,
                        format!("{}: {claim} is claimed and waits in work/", name(place)),
                    ),
                }
            }
            for prepared in &work.prepared {
                if !is_awaited(&format!("work/{prepared}")) {
                    let what = format!(
                        "{}: work/{prepared} was prepared and never counted",
                        name(place)
                    );
                    findings.note(CheckTopic::Folders, what);
                }
            }
        }
    }

    /// A file that the journal orders to be moved is in one of the two places, or its facility fetched it.
    fn check_pending(
        &self,
        fs: &Fs,
        owner: &Owner,
        pending: &BTreeMap<&str, &str>,
        findings: &mut Findings,
    ) -> Result<(), FsError> {
        let Some(root) = self.roots.get(owner) else {
            return Ok(());
        };
        let folders = destinations::OpenFolders::default();
        for (to, from) in pending {
            let is_there = |path: &str| folders.exists(fs, root, &claim::from_text(path));
            if is_there(from)? {
                let what = format!("{}: {to} is still to be moved into place", name(owner));
                findings.note(CheckTopic::Folders, what);
            } else if !is_there(to)? && (is_below(to, DONE) || is_below(to, ERROR)) {
                let what = format!("{}: {to} is missing", name(owner));
                findings.differs(CheckTopic::Folders, what);
            }
        }
        Ok(())
    }
}

/// The regular files in `done/` and `error/`, as moves write them; one folder is open at a time.
fn occupied(fs: &Fs, root: &Dir) -> Result<BTreeSet<String>, FsError> {
    let mut occupied = BTreeSet::new();
    let mut folders = vec![PathBuf::from(DONE), PathBuf::from(ERROR)];
    while let Some(folder) = folders.pop() {
        let listed = fs.open_dir(root, &folder).and_then(|dir| fs.list(&dir));
        let entries = match listed {
            Err(error) if error.is_absent() => continue,
            listed => listed?,
        };
        for entry in entries {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                folders.push(path);
            } else if entry.is_file {
                occupied.insert(claim::to_text(&path));
            }
        }
    }
    Ok(occupied)
}

/// The path of the sidecar of a refused file.
fn sidecar_of(path: &str) -> String {
    let path = claim::from_text(path);
    let name = path.file_name().unwrap_or_default();
    claim::to_text(&path.with_file_name(claim::derived(name, "", SIDECAR)))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The day in `done/` that a path is of.
fn day_of(path: &str) -> Option<NaiveDate> {
    let (day, _) = path
        .strip_prefix(DONE)?
        .strip_prefix('/')?
        .split_once('/')?;
    parse_day(day)
}

fn name(owner: &Owner) -> &str {
    crate::engine::owner_name(owner)
}
