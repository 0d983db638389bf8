//! Opening a spool, whatever state the last process left it in, and leaving it clean.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::arrivals::ClaimRefusals;
use super::commit::Committer;
use super::group::Group;
use super::hold::Holds;
use super::loss::{self, Numbers};
use super::reached::StoreWitness;
use super::turns::Turns;
use super::upkeep::TimeCount;
use super::witness::{self, CLEAN, CleanStop, Witnesses};
use super::{ClaimedFile, Counts, Engine, EngineError, Hold, HoldScope, PATIENCE_WITH_THE_DESK};
use crate::config::{Config, Facility};
use crate::journal::{Journal, JournalError, OpenMoves};
use crate::model::owner::Owner;
use crate::random::random_name;
use crate::repeats::{self, RepeatedTask};
use crate::spool::claim::{self, Claim};
use crate::spool::destinations::{NameReservations, OpenFolders};
use crate::spool::doubt::OpenFileDoubts;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{Marker, OwnerFolders, Spool};
use crate::store::{
    DATABASE, KeyChange, PendingChanges, SledStore, Store, apply_all, keys, to_json,
};
use crate::worklist::Worklists;

/// Goes through all folders at start, to see that files can.
const PROBE: &str = ".probe";

/// A suspect that ended the process so often is read no more.
const ATTEMPTS: u32 = 3;

/// How a database is opened, and what becomes of one that is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStore {
    /// In sled, below `store/`.
    Sled,
    /// In memory, made from the journal at every start: for tests and checks.
    Memory,
}

/// What a start is to do beside opening the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Go on though what the journal held is lost, whether or not something proves it (`--accept-loss`).
    pub accept_loss: bool,
    /// Make the store again, however good it is.
    pub rebuild: bool,
}

impl Engine {
    /// Opens the spool: makes what is absent, recovers what the last process left, and is ready to take files in.
    pub fn open(config: Arc<Config>, fs: Fs, open_store: OpenStore) -> Result<Self, EngineError> {
        Self::open_as(config, fs, open_store, StartOptions::default(), &mut |_| {})
    }

    /// The same, telling `watch` the number of each group that is read back from the journal.
    ///
    /// # Errors
    /// [`EngineError::Loss`] where something proves that what the journal held is lost: nothing was changed.
    pub fn open_as(
        config: Arc<Config>,
        fs: Fs,
        open_store: OpenStore,
        start: StartOptions,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        let mut loss = match witness::look(&fs, &config) {
            Err(EngineError::Loss(loss)) if start.accept_loss => Some(loss),
            found => found.map(|_| None)?,
        };
        let spool = Spool::open(&fs, &config.spool)?;
        let witnesses = Witnesses::read(&fs, &config, Some(&spool.root))?;
        let (end, proven) = witnesses.judge(&fs, &config, &spool)?;
        match proven {
            Some(proven) if start.accept_loss => loss = Some(proven),
            Some(proven) => return Err(proven.into()),
            None => {}
        }
        if !start.accept_loss {
            witnesses.say_if_copied(end.as_ref());
        }
        let database = spool.store.path().join(DATABASE);
        let clean = witnesses.clean.clone().flatten();
        let was_clean = clean.is_some() && !start.accept_loss;
        let clean = clean.filter(|clean| {
            // Where somebody removed the database and left this, nothing is there to be trusted.
            open_store == OpenStore::Sled
                && database.is_dir()
                && end
                    .as_ref()
                    .is_some_and(|end| end.position == clean.position)
        });
        let mut numbers = Numbers::default();
        let clean = match (start.accept_loss, clean) {
            (true, clean) => {
                numbers = loss::accept(&fs, &spool, &witnesses, clean, loss.as_ref())?;
                None
            }
            (false, Some(_)) if start.rebuild => {
                // A store that is good is given up only for a journal that can be read whole.
                crate::journal::read_all(&fs, &spool.journal)?;
                None
            }
            (false, clean) => clean,
        };
        let trusted = clean.is_some();
        if witnesses.clean.is_some() {
            // Durably, before anything else is touched.
            fs.remove(&spool.store, OsStr::new(CLEAN))?;
            fs.sync_dir(&spool.store).map_err(EngineError::Sync)?;
        }
        let store: Arc<dyn Store> = match open_store {
            OpenStore::Sled => {
                if !trusted {
                    SledStore::remove(&database)?;
                }
                Arc::new(SledStore::open(&database)?)
            }
            OpenStore::Memory => Arc::new(crate::store::MemoryStore::default()),
        };
        let mut open = OpenMoves::default();
        let journal = Journal::open(&fs, &spool.journal, trusted, &mut |(counters, entries)| {
            for entry in entries {
                apply_all(&*store, &open.follow(&counters, entry))
                    .map_err(|error| JournalError::Reader(error.to_string()))?;
            }
            watch(counters.group);
            Ok(())
        })?;
        let counters = journal.counters();
        let counting = TimeCount::of(&*store, &fs, counters)?;
        let worklists = Arc::new(Worklists::new(Arc::clone(&config), counting.ages.clone()));
        let left_at = clean.as_ref().map(|clean| &clean.position);
        worklists.take_left(&fs, &spool.store, &spool.desk.root, left_at)?;
        if counting.was_set {
            // What was a thing of the past for a wrong clock may not be one.
            worklists.touch_all();
        }
        let own_devices = Arc::new(own_devices(&fs, &spool)?);
        if let Some(clean) = clean {
            open.moves = clean.moves;
            open.times = clean.times.into_iter().collect();
            open.finished = counters.group;
        }
        let mut engine = Self {
            identity: journal.identity().to_owned(),
            awaited: None,
            facility_folders: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            names: NameReservations::default(),
            folders: OpenFolders::default(),
            order: counters.order,
            message: counters.message,
            sealed_message: counters.message,
            run: random_name(),
            prepared: 0,
            waiting: VecDeque::new(),
            failing: BTreeSet::new(),
            tried: BTreeSet::new(),
            holds: Holds::default(),
            all_held: None,
            patience: PATIENCE_WITH_THE_DESK,
            turns: Turns::default(),
            ahead: None,
            given_way: BTreeMap::new(),
            is_desk_unlisted: false,
            again: VecDeque::new(),
            suspects: VecDeque::new(),
            doubts: OpenFileDoubts::default(),
            silent_on_writers: BTreeMap::new(),
            roots: Arc::default(),
            committer: Committer::new(
                fs.clone(),
                journal,
                Arc::clone(&store),
                open,
                Arc::clone(&own_devices),
                StoreWitness::begin(&fs, &spool.store, counters)?,
            )?,
            own_devices,
            in_flight: None,
            counts: Counts::default(),
            worklists,
            claimed: BTreeMap::new(),
            unclaimed: ClaimRefusals::default(),
            notices: None,
            refused_looked_at: String::new(),
            was_set: counting.was_set,
            ages: counting.ages,
            counted: counting.counted,
            was_clean,
            adopts: start.accept_loss,
            stop: Arc::default(),
            config,
            fs,
            spool,
            store,
        };
        let accepted: Option<String> = PendingChanges::new(&*engine.store).get(keys::LOSS)?;
        if let Some(why) = accepted {
            // Or one that a process which ended did not come to the end of.
            engine.number_above(numbers, &why)?;
        }
        witness::mark(&engine.fs, &engine.spool, &engine.identity, &witnesses)?;
        if counting.is_new {
            engine.count_from_beginning()?;
        }
        engine.upgrade()?;
        engine.open_facilities()?;
        engine.adopts = false;
        engine.retry_moves();
        engine.find_claims()?;
        engine.remove_leftovers();
        if let Err(error) = engine.remove_handed_over(super::handed::BEFORE_ITS_COMMAND) {
            log::error!(
                "PDFs without a command stay for now: {}",
                error.without_path()
            );
        }
        match engine.remember_former_refused() {
            Err(error) if error.is_passing() => log::error!(
                "what was refused by an older version is not listed before the next start: {}",
                error.without_path()
            ),
            remembered => remembered?,
        }
        let left_out = engine.left_out()?;
        engine.say_left_out(&left_out);
        Ok(engine)
    }

    /// Ends cleanly: the next start can trust the database, unless an error before left it open what reached the disk.
    pub fn close(mut self) -> Result<(), EngineError> {
        self.ahead = None;
        self.idle()?;
        self.renew_worklists()?;
        if self.moves_waiting() > 0 {
            log::warn!(
                "{} moves that the journal orders could not be done: the next start tries again",
                self.moves_waiting()
            );
        }
        self.store.flush()?;
        self.committer.record_progress(&self.roots);
        let store = &self.spool.store;
        self.fs.sync_file_system(store).map_err(EngineError::Sync)?;
        let Some(journal) = self.committer.journal() else {
            return Ok(());
        };
        let position = journal.position();
        let desk = &self.spool.desk.root;
        self.worklists
            .leave(&self.fs, store, desk, position.clone())?;
        let clean = CleanStop {
            position,
            moves: self.committer.moves().to_vec(),
            times: self.committer.times().clone().into_iter().collect(),
        };
        let clean = serde_json::json!(clean).to_string();
        self.fs
            .write_new(store, OsStr::new(CLEAN), clean.as_bytes())?;
        self.fs.sync_file_system(store).map_err(EngineError::Sync)
    }

    /// The facilities that had a folder, and are not in the configuration.
    fn left_out(&self) -> Result<BTreeSet<String>, EngineError> {
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
    fn set_aside(&mut self, id: &str, problem: String) {
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

    /// Takes the folder that has this marker for the facility's from now on, in the place of the one that was recorded.
    /// The folder is opened if it can be.
    pub fn adopt(&mut self, marker: &Marker) -> Result<(), EngineError> {
        self.record_marker(marker)?;
        self.open_facilities()
    }

    fn record_marker(&mut self, marker: &Marker) -> Result<(), EngineError> {
        let value = to_json(&marker.id)?;
        let change = (keys::marker(&marker.facility), Some(value));
        self.record(&format!("marker of {}", marker.facility), vec![change])
    }

    /// Journals the received path of a claim whose name cannot hold it, before the file becomes that claim.
    pub(super) fn remember_long_name(&mut self, claim: &Claim) -> Result<(), EngineError> {
        let value = to_json(&claim::to_text(&claim.received))?;
        let change = (keys::long_name(&claim.key()), Some(value));
        self.record("a long name", vec![change])
    }

    pub(super) fn record(
        &mut self,
        what: &str,
        changes: Vec<KeyChange>,
    ) -> Result<(), EngineError> {
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        group.change(what, changes);
        self.commit(group)
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

    /// What lies claimed in `work/` and is not finished goes before everything that still lies in an inbox.
    pub(super) fn find_claims(&mut self) -> Result<(), EngineError> {
        let in_hand = self.waiting.iter().chain(&self.suspects);
        let in_hand: BTreeSet<String> = in_hand.map(|claimed| claimed.claim.key()).collect();
        let mut found = Vec::new();
        let mut unlisted = Vec::new();
        for folders in self.owner_folders() {
            match self.fs.list(&folders.work) {
                Err(error) => unlisted.push((folders.owner.clone(), EngineError::from(error))),
                Ok(entries) => {
                    for entry in entries {
                        if let (true, Some(claim)) = (entry.is_file, Claim::parse(&entry.name)) {
                            found.push(ClaimedFile {
                                may_be_in_parts: true,
                                ..ClaimedFile::new(folders.owner.clone(), claim)
                            });
                        }
                    }
                }
            }
        }
        self.is_desk_unlisted = false;
        for (place, error) in unlisted {
            match &place {
                Owner::Facility(id) => {
                    let cause = self.cause(&error);
                    self.set_aside(id, cause);
                    self.renew_roots();
                }
                _ => {
                    // What the desk dropped later must not overtake what is claimed.
                    self.pause(&place, &error);
                    self.is_desk_unlisted = true;
                }
            }
        }
        let moves = self.committer.moves().iter();
        let to_be_moved: HashSet<(&Owner, &str)> = moves
            .map(|(_, ordered)| (&ordered.place, ordered.from.as_str()))
            .collect();
        found.retain(|claimed| {
            let path = claimed.path_in_work();
            !in_hand.contains(&claimed.claim.key())
                && !to_be_moved.contains(&(&claimed.owner, path.as_str()))
        });
        found.sort_by_key(|claimed| claimed.claim.order);
        for claimed in &mut found {
            self.order = self.order.max(claimed.claim.order);
            if claimed.claim.is_cut() {
                let view = PendingChanges::new(&*self.store);
                let whole: Option<String> = view.get(&keys::long_name(&claimed.claim.key()))?;
                if let Some(whole) = whole {
                    claimed.claim.received = claim::from_text(&whole);
                }
            }
        }
        // A PDF of the desk is claimed by the command that names it, and found by it again.
        found.retain(|claimed| {
            claimed.owner != Owner::Desk || crate::intake::desk::is_command(&claimed.claim.received)
        });
        match self.was_clean {
            true => self.waiting.extend(found),
            false => self.suspects.extend(found),
        }
        Ok(())
    }

    pub(super) fn is_to_be_moved(&self, claimed: &ClaimedFile) -> bool {
        let path = claimed.path_in_work();
        self.committer
            .moves()
            .iter()
            .any(|(_, ordered)| ordered.place == claimed.owner && ordered.from == path)
    }

    /// Removes output that was prepared for a group which never counted; what stays is removed at the next start.
    fn remove_leftovers(&self) {
        let wanted: BTreeSet<(Owner, String)> = self
            .committer
            .moves()
            .iter()
            .map(|(_, ordered)| (ordered.place.clone(), ordered.from.clone()))
            .collect();
        let mut places = vec![(Owner::Documents, self.spool.documents.clone(), "")];
        for folders in self.owner_folders() {
            places.push((folders.owner.clone(), folders.work.clone(), "work/"));
        }
        for (place, dir, below) in places {
            let removed = self.fs.list(&dir).and_then(|entries| {
                for entry in entries {
                    let Some(name) = entry.name.to_str() else {
                        continue;
                    };
                    let is_wanted = wanted.contains(&(place.clone(), format!("{below}{name}")));
                    if entry.is_file && name.starts_with(claim::PREPARED) && !is_wanted {
                        self.fs.remove(&dir, &entry.name)?;
                    }
                }
                Ok(())
            });
            if let Err(error) = removed {
                log::error!("what was left of a group stays for now: {error}");
            }
        }
    }

    /// Reads each suspect alone, counting the attempt in its name just before: what ends the process again and
    /// again is found out, and what merely lay beside it is not blamed.
    pub(super) fn take_suspects(&mut self) -> Result<(), EngineError> {
        let mut suspects = std::mem::take(&mut self.suspects);
        while let Some(found) = suspects.pop_front() {
            if self.is_stopped() {
                suspects.push_front(found);
                self.suspects.append(&mut suspects);
                return Err(EngineError::Stopped);
            }
            let taken = match self.must_wait(&found.owner) {
                true => {
                    self.suspects.push_back(found);
                    continue;
                }
                false => self.take_suspect(&found),
            };
            match taken {
                // One that grew is in hand still.
                Ok(()) | Err(EngineError::Grown) => {}
                Err(error) if self.hold_owner(&error, Some(&found.owner)) => {}
                Err(error) => {
                    self.suspects.append(&mut suspects);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// After an error of the disk it is in hand still.
    fn take_suspect(&mut self, found: &ClaimedFile) -> Result<(), EngineError> {
        let Some(folders) = self.folders_of(&found.owner) else {
            return Ok(());
        };
        let suspect = ClaimedFile {
            suspect: true,
            ..found.clone()
        };
        let work = &folders.work.clone();
        if found.claim.attempts < ATTEMPTS && !self.may_be_read(work, found)? {
            // Waiting for its writer is no attempt to read it.
            self.suspects.push_back(found.clone());
            return Ok(());
        }
        let renamed = self
            .fs
            .rename(work, &found.name_in_work(), work, &suspect.name_in_work());
        if let Err(error) = renamed {
            self.suspects.push_back(found.clone());
            return Err(error.into());
        }
        if let Err(error) = self.fs.sync_dir(work) {
            // It is not read yet: the attempt does not count.
            let (raised, name) = (suspect.name_in_work(), found.name_in_work());
            let renamed = self.fs.rename(work, &raised, work, &name);
            self.suspects.push_back(match renamed {
                Ok(()) => found.clone(),
                Err(_) => ClaimedFile {
                    claim: found.claim.with_attempts(found.claim.attempts + 1),
                    ..found.clone()
                },
            });
            return Err(error.into());
        }
        if found.claim.attempts < ATTEMPTS {
            return self.take_claimed(VecDeque::from([suspect]), false);
        }
        let refused = self.refuse_crasher(&suspect);
        if matches!(&refused, Err(error) if error.is_passing()) {
            // It is not to be read again, whatever else fails.
            let attempts = found.claim.attempts + 1;
            self.waiting
                .retain(|waiting| waiting.claim.key() != found.claim.key());
            self.suspects.push_back(ClaimedFile {
                claim: found.claim.with_attempts(attempts),
                ..found.clone()
            });
        }
        refused
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

/// The file systems that everybody needs, each with a folder on it.
fn own_devices(fs: &Fs, spool: &Spool) -> Result<BTreeMap<u64, Dir>, FsError> {
    let own = [
        &spool.journal,
        &spool.store,
        &spool.documents,
        &spool.root,
        &spool.desk.root,
    ];
    let mut devices = BTreeMap::new();
    for dir in own {
        devices.entry(fs.device(dir)?).or_insert(dir.clone());
    }
    Ok(devices)
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
