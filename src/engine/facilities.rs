//! Opens the folders of the facilities, sets aside those that cannot be reached, and tries them again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::commit::Roots;
use super::witness;
use super::{Engine, EngineError, Hold, HoldScope};
use crate::config::Facility;
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};
use crate::spool::claim::Claim;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{Marker, OwnerFolders};
use crate::store::{PendingChanges, keys, to_json};

/// Goes through all folders at start, to see that files can.
const PROBE: &str = ".probe";

impl Engine {
    /// Tries again to use the facilities that could not be reached, with what was left in their folders.
    pub fn open_facilities(&mut self) -> Result<(), EngineError> {
        if self.open_unreached()? {
            self.retry_moves();
            self.find_claims()?;
        }
        Ok(())
    }

    /// Whether there was any that can be used from now on.
    fn open_unreached(&mut self) -> Result<bool, EngineError> {
        let config = Arc::clone(&self.config);
        let mut any = false;
        for facility in &config.facilities {
            let id = facility.id.as_str();
            if self.facility_folders.contains_key(id) {
                continue;
            }
            match self.open_facility(facility) {
                Ok(folders) => {
                    self.unreachable.remove(id);
                    repeats::over(id, RepeatedTask::Reaching);
                    self.facility_folders.insert(id.to_owned(), folders);
                    any = true;
                }
                Err(FacilityFolderError::Engine(error)) if !error.is_passing() => {
                    return Err(error);
                }
                Err(problem) => self.set_aside(id, problem.to_string()),
            }
        }
        self.renew_roots();
        Ok(any)
    }

    fn open_facility(&mut self, facility: &Facility) -> Result<OwnerFolders, FacilityFolderError> {
        let id = facility.id.as_str();
        let known: Option<String> = PendingChanges::new(&*self.store)
            .get(&keys::marker(id))
            .map_err(EngineError::from)?;
        let root = match self.fs.open_root(&facility.dir) {
            Err(error) if error.is_absent() && known.is_none() => {
                self.fs.make_root(&facility.dir)?
            }
            other => other?,
        };
        let marker = OwnerFolders::read_marker(&self.fs, &root)?;
        match (&known, &marker) {
            (Some(known), Some(marker)) if *known == marker.id => {}
            // The journal that knew the folder is the one that was lost.
            (Some(_), Some(marker)) if self.adopts && marker.facility == id => {}
            (Some(_), _) => {
                return Err(FacilityFolderError::Other(format!(
                    "{} is not the folder it was: its {} is missing or another's. If its mount is gone, mount it again; if it is the right folder, stop the daemon and run `rcpspool setup --adopt {id}`",
                    root.path().display(),
                    crate::spool::layout::MARKER
                )));
            }
            (None, Some(marker)) if marker.facility != id => {
                return Err(FacilityFolderError::Other(format!(
                    "{} is the folder of the facility {}",
                    root.path().display(),
                    marker.facility
                )));
            }
            (None, _) => {}
        }
        let journal = self.identity.clone();
        let of_another = marker
            .as_ref()
            .and_then(|marker| marker.journal.as_ref())
            .filter(|named| **named != journal);
        if let Some(named) = of_another.filter(|_| !self.adopts) {
            return Err(FacilityFolderError::Other(format!(
                "{} is a folder of another spool: its {} names the journal {named}, and this one's is {journal}. If its mount is gone, mount it again; if it is the right folder, stop the daemon and run `rcpspool setup --adopt {id}`",
                root.path().display(),
                crate::spool::layout::MARKER
            )));
        }
        let folders = OwnerFolders::open(&self.fs, Owner::Facility(id.to_owned()), root)
            .map_err(|error| FacilityFolderError::Other(error.to_string()))?;
        self.probe(&folders)?;
        // One that cannot be synced at each start must not end each start.
        if !self
            .own_devices
            .contains_key(&self.fs.device(&folders.root)?)
        {
            self.fs.sync_file_system(&folders.root)?;
        }
        let marker = match marker {
            Some(marker) if marker.journal.as_ref() == Some(&journal) => marker,
            Some(marker) => {
                let marker = Marker {
                    journal: Some(journal),
                    ..marker
                };
                // One from before lacks the journal's identity. The folder may be root's: then `setup` adds it.
                match OwnerFolders::renew_marker(&self.fs, &folders.root, &marker) {
                    Err(error) if error.is_denied() => {
                        log::warn!(
                            "the marker of {id} cannot be renewed: run `rcpspool setup` as root once"
                        );
                    }
                    renewed => renewed?,
                }
                marker
            }
            None => OwnerFolders::write_marker(&self.fs, &folders.root, id, &journal)?,
        };
        if known.as_ref() != Some(&marker.id) {
            self.record_marker(&marker)?;
        }
        Ok(folders)
    }

    fn record_marker(&mut self, marker: &Marker) -> Result<(), EngineError> {
        let value = to_json(&marker.id)?;
        let change = (keys::marker(&marker.facility), Some(value));
        self.record(&format!("marker of {}", marker.facility), vec![change])
    }

    /// Takes the folder that has this marker for the facility's from now on, in the place of the one that was recorded.
    /// The folder is opened if it can be.
    pub fn adopt(&mut self, marker: &Marker) -> Result<(), EngineError> {
        self.record_marker(marker)?;
        self.open_facilities()
    }

    /// Bind mounts and quotas can refuse a rename although the device is the same: better to know at start.
    fn probe(&self, folders: &OwnerFolders) -> Result<(), FsError> {
        let mut names = vec!["inbox", "work", "done", "error", "outbox/acks"];
        if matches!(folders.owner, Owner::Facility(_)) {
            names.push("outbox/reports");
        }
        let name = OsStr::new(PROBE);
        let mut dirs = Vec::new();
        for folder in names {
            let dir = self.fs.open_dir(&folders.root, Path::new(folder))?;
            if self.fs.exists(&dir, name)? {
                self.fs.remove(&dir, name)?;
            }
            dirs.push(dir);
        }
        if let Some(first) = dirs.first() {
            self.fs.write_new(first, name, b"")?;
        }
        for pair in dirs.windows(2) {
            if let [from, to] = pair {
                self.fs.rename(from, name, to, name)?;
            }
        }
        match dirs.last() {
            Some(last) => self.fs.remove(last, name),
            None => Ok(()),
        }
    }

    /// Whether the folders are still those that were opened: a facility's that is not is unreachable from now on, and
    /// an inbox that was made anew is used from now on.
    pub fn check_facilities(&mut self) {
        self.folders.forget();
        let mut lost = Vec::new();
        for (id, folders) in &mut self.facility_folders {
            if let Err(problem) = check_folders(&self.fs, id, folders) {
                lost.push((id.clone(), problem));
            }
        }
        for (id, problem) in lost {
            self.set_aside(&id, problem);
        }
        match self.spool.desk.renew_inbox(&self.fs) {
            Ok(_) => repeats::over("desk", RepeatedTask::Reaching),
            Err(error) => {
                let said = format_args!("the desk's inbox cannot be used: {error}");
                repeats::failing("desk", RepeatedTask::Reaching, said);
            }
        }
        self.renew_roots();
    }

    /// Uses the spool's `status/` that is there by now, made where somebody removed it.
    pub fn renew_status_dir(&mut self) -> Result<(), FsError> {
        let status = self.fs.make_dir(&self.spool.root, Path::new("status"))?;
        if !self.fs.is_same(&status, &self.spool.status)? {
            self.spool.status = status;
        }
        Ok(())
    }

    /// This facility's folder cannot be used from now on, until it can be opened again. What is claimed there waits.
    pub(super) fn set_aside(&mut self, id: &str, problem: String) {
        let hold = Hold::new(HoldScope::Everything, problem);
        let before = self.unreachable.get(id);
        let said = format_args!("the facility cannot be reached: {hold}");
        repeats::failing(id, RepeatedTask::Reaching, said);
        let hold = hold.continuing(before);
        self.facility_folders.remove(id);
        self.unreachable.insert(id.to_owned(), hold);
    }

    /// Sets aside the facilities on a file system that could not be synced: what was written there last may be gone.
    pub(super) fn set_aside_with(&mut self, error: &FsError) {
        let device_of = |dir: &Dir| self.fs.device(dir).ok();
        let failed = self
            .facility_folders
            .values()
            .find(|folders| error.path.starts_with(folders.root.path()))
            .and_then(|folders| device_of(&folders.root));
        let set_aside: Vec<String> = self
            .facility_folders
            .iter()
            .filter(|(_, folders)| failed.is_some() && device_of(&folders.root) == failed)
            .map(|(id, _)| id.clone())
            .collect();
        for id in set_aside {
            self.set_aside(
                &id,
                format!(
                    "what was written there may not have reached the disk: {}",
                    error.without_path()
                ),
            );
        }
        self.folders.forget();
        self.renew_roots();
    }

    /// The facilities that had a folder, and are not in the configuration.
    pub(super) fn left_out(&self) -> Result<BTreeSet<String>, EngineError> {
        let mut left_out = BTreeSet::new();
        self.store.scan(keys::MARKERS, &mut |key, _| {
            left_out.insert(keys::last_word(key));
            true
        })?;
        for facility in &self.config.facilities {
            left_out.remove(facility.id.as_str());
        }
        Ok(left_out)
    }

    /// Says once of each of these facilities, which are not in the configuration, what of theirs waits.
    pub(super) fn say_left_out(&self, facilities: &BTreeSet<String>) {
        for id in facilities {
            let place = Owner::Facility(id.clone());
            let moves = self.committer.moves().iter();
            let moves = moves.filter(|(_, ordered)| ordered.place == place).count();
            let work = self
                .fs
                .open_root(&witness::folder_of(&self.config, id).join("work"));
            let occupied = work
                .and_then(|work| self.fs.list(&work))
                .unwrap_or_default();
            let claims = occupied
                .iter()
                .filter(|entry| Claim::parse(&entry.name).is_some());
            let claims = claims.count();
            if moves + claims > 0 {
                log::warn!(
                    "{id} is not in the configuration any more: {claims} of its files wait in its work folder, {moves} moves are to be done. They go on once it is in the configuration again; `rcpspool discard --moves {id}` gives the moves up"
                );
            }
        }
    }

    /// The folders as they are from now on.
    pub(super) fn renew_roots(&mut self) {
        let mut roots = Roots::new();
        roots.insert(Owner::Documents, self.spool.documents.clone());
        for folders in self.owner_folders() {
            roots.insert(folders.owner.clone(), folders.root.clone());
        }
        self.roots = Arc::new(roots);
        self.names.look_again();
        self.keep_awaited_names();
    }
}

/// Whether a facility's folder is still the one that was opened; else why not.
fn check_folders(fs: &Fs, id: &str, folders: &mut OwnerFolders) -> Result<(), String> {
    let path = folders.root.path().to_owned();
    let gone = |what: &str| format!("{} {what}", path.display());
    // For want of handles nothing can be told: what is open stays so, and the next sweep looks again.
    let there = match fs.open_root(&path) {
        Err(error) if error.is_want_of_handles() => return Ok(()),
        opened => opened.map_err(|_| gone("is gone: is its mount lost?"))?,
    };
    match OwnerFolders::read_marker(fs, &there) {
        Ok(Some(marker)) if marker.facility == id => {}
        Err(error) if error.is_want_of_handles() => return Ok(()),
        _ => return Err(gone("has no marker of this facility: is its mount lost?")),
    }
    let work = match fs.open_dir(&there, Path::new("work")) {
        Err(error) if error.is_want_of_handles() => return Ok(()),
        opened => opened,
    };
    let same = fs.is_same(&there, &folders.root).unwrap_or(false)
        && work.is_ok_and(|work| fs.is_same(&work, &folders.work).unwrap_or(false));
    if !same {
        return Err(gone("is another folder than before: it is opened again"));
    }
    match folders.renew_inbox(fs) {
        Err(error) if !error.is_want_of_handles() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Why a facility's folder cannot be used.
#[derive(Debug, thiserror::Error)]
enum FacilityFolderError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{0}")]
    Other(String),
}

impl From<FsError> for FacilityFolderError {
    fn from(error: FsError) -> Self {
        FacilityFolderError::Engine(error.into())
    }
}
