//! The engine: takes ready files through the whole way, one group at a time. It has no clock of its own, and no
//! threads but those of [`commit`]; `once`, the daemon, the demonstration and the tests drive it.
//!
//! *Before the journal, only writes; after it, only renames* (design.md, "One barrier"). [`group`] holds that order.

mod ahead;
pub mod arrivals;
mod attachments;
mod batch;
mod commit;
mod doubt;
mod files;
mod group;
mod handed;
mod hold;
mod loss;
mod notices;
mod outputs;
mod reached;
mod receipt;
mod recovery;
mod refused;
mod report;
mod retry;
mod secrets;
mod turns;
mod upgrade;
pub mod upkeep;
pub(crate) mod witness;
mod worklist;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::ahead::Ahead;
use self::arrivals::ClaimRefusals;
use self::commit::{Committer, Roots};
use self::group::{Group, InFlight};
use self::hold::Holds;
use self::notices::Notices;
use self::outputs::FileProgress;
use self::turns::Turns;
use crate::config::{Config, Every, Facility};
use crate::hl7::Extents;
use crate::journal::JournalError;
use crate::model::outcome::{Outcome, Reason};
use crate::model::owner::Owner;
use crate::model::view::ViewError;
use crate::repeats::{self, RepeatedTask};
use crate::spool::ages::{Ages, Elapsed};
use crate::spool::claim::{self, Claim};
use crate::spool::destinations::{NameReservations, OpenFolders};
use crate::spool::doubt::OpenFileDoubts;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{FolderError, OwnerFolders, Spool};
use crate::spool::lease::LeaseObstacle;
use crate::spool::scope::ErrorScope;
use crate::store::{Store, StoreError};
use crate::worklist::Worklists;

pub use self::hold::{Hold, HoldScope};
pub use self::recovery::{OpenStore, StartOptions};
pub(crate) use self::witness::CLEAN;
pub use self::witness::Loss;

/// The engine cannot go on with what it was doing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folders cannot be used.
    #[error(transparent)]
    Layout(#[from] FolderError),
    /// The disk failed before anything was promised: what was in hand waits, and is tried again.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// A sync failed: what reached the disk is not known. The process must end; the next start finds the truth.
    #[error(
        "what was written may not have reached the disk: {0}. Check the disk, then start again"
    )]
    Sync(#[source] FsError),
    /// A sync of a file system on which nothing but facilities lies failed: these are set aside, and nothing that was
    /// in hand counts.
    #[error("what was written may not have reached the disk: {0}")]
    PlaceSync(#[source] FsError),
    /// The folder of a facility is needed and cannot be reached.
    #[error("the folder of {0} cannot be reached")]
    Unreachable(String),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something proves that what the journal held is not there.
    #[error(transparent)]
    Loss(#[from] Loss),
    /// A thread that puts groups on the disk ended without an answer, or an error before this one left it open what
    /// reached the disk.
    #[error("what was written last may not be complete: start again, the journal tells the truth")]
    Lost,
    /// The system has no thread left.
    #[error(
        "no thread can be started: {0}. Raise the limit of tasks of the service, then start again"
    )]
    Thread(#[source] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A report that is to leave cannot be found: its batch waits.
    #[error("a batch cannot be written: {0}")]
    Report(String),
    /// The database holds something that cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A file of whose writers nothing is known was written to after it was read: what was decided with it is decided
    /// again.
    #[error("a file was written to after it was read")]
    Grown,
    /// A command names a file that may still be written to: both wait.
    #[error("a file that a command names may still be written to")]
    InDoubt,
    /// The engine was told to stop in the midst of a file: its other messages wait.
    #[error("told to stop")]
    Stopped,
    /// The others come first for a while: the other messages of the file in hand wait.
    #[error("the turn of a file is over")]
    TurnOver,
}

impl EngineError {
    /// Whether the same engine may go on later, with everything in hand waiting as it was.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            EngineError::Disk(_)
                | EngineError::PlaceSync(_)
                | EngineError::Unreachable(_)
                | EngineError::Report(_)
                | EngineError::Journal(JournalError::Disk(_))
                | EngineError::Grown
                | EngineError::InDoubt
                | EngineError::Stopped
                | EngineError::TurnOver
        )
    }

    /// What it says without the path of a file, in which a received name may stand: for logs.
    pub fn without_path(&self) -> String {
        match self {
            EngineError::Disk(error) => error.without_path(),
            other => other.to_string(),
        }
    }
}

/// So long facilities wait for a desk whose folder fails: its sessions are what their cases are scheduled into. After
/// that they go on, and what found no session is inserted by `schedule --matching`.
const PATIENCE_WITH_THE_DESK: Duration = Duration::from_secs(60);

/// What is held and was not met for so long, or for two sweeps, is held no more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// With fewer inodes left, nothing more is taken in.
const FEW_INODES: u64 = 10_000;

/// A file that is ready to be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Whose inbox it is in.
    pub owner: Owner,
    /// Its path below the inbox.
    pub path: PathBuf,
}

/// How many messages ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Something new came to be.
    pub accepted: u64,
    /// Something known was changed.
    pub updated: u64,
    /// Said before.
    pub duplicate: u64,
    /// Older than what is known.
    pub stale: u64,
    /// Of no use here.
    pub ignored: u64,
    /// Refused.
    pub rejected: u64,
}

impl Totals {
    /// How many came since it was so many.
    pub fn since(&self, before: &Totals) -> Totals {
        Totals {
            accepted: self.accepted.saturating_sub(before.accepted),
            updated: self.updated.saturating_sub(before.updated),
            duplicate: self.duplicate.saturating_sub(before.duplicate),
            stale: self.stale.saturating_sub(before.stale),
            ignored: self.ignored.saturating_sub(before.ignored),
            rejected: self.rejected.saturating_sub(before.rejected),
        }
    }

    /// Each count, with the word of its outcome.
    pub fn by_outcome(&self) -> [(&'static str, u64); 6] {
        [
            ("accepted", self.accepted),
            ("updated", self.updated),
            ("duplicate", self.duplicate),
            ("stale", self.stale),
            ("ignored", self.ignored),
            ("rejected", self.rejected),
        ]
    }

    fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome.word() {
            "accepted" => &mut self.accepted,
            "updated" => &mut self.updated,
            "duplicate" => &mut self.duplicate,
            "stale" => &mut self.stale,
            "ignored" => &mut self.ignored,
            _ => &mut self.rejected,
        };
        *counter += 1;
    }

    /// Adds these counts.
    pub fn add(&mut self, other: &Totals) {
        self.accepted += other.accepted;
        self.updated += other.updated;
        self.duplicate += other.duplicate;
        self.stale += other.stale;
        self.ignored += other.ignored;
        self.rejected += other.rejected;
    }
}

/// What became of messages since the engine was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By facility, or `desk`.
    pub totals: BTreeMap<String, Totals>,
    /// The refused ones, by facility or `desk`, and reason.
    pub refused: BTreeMap<(String, Reason), u64>,
}

impl Counts {
    /// All together.
    pub fn total(&self) -> Totals {
        let mut total = Totals::default();
        self.totals.values().for_each(|totals| total.add(totals));
        total
    }

    fn count(&mut self, owner: &Owner, outcome: &Outcome) {
        let name = owner_name(owner).to_owned();
        if let Some(refusal) = outcome.refusal() {
            *self
                .refused
                .entry((name.clone(), refusal.reason))
                .or_default() += 1;
        }
        self.totals.entry(name).or_default().count(outcome);
    }

    fn add(&mut self, other: Counts) {
        for (name, totals) in other.totals {
            self.totals.entry(name).or_default().add(&totals);
        }
        for (key, count) in other.refused {
            *self.refused.entry(key).or_default() += count;
        }
    }
}

/// Files of a place that the journal orders to be moved, which could not be done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMove {
    /// The facility's id, `desk` or `documents`.
    pub facility: String,
    /// How many.
    pub count: usize,
    /// Since when the first waits.
    pub since: Option<DateTime<Utc>>,
    /// Why.
    pub problem: String,
}

/// What is free where a folder lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeSpace {
    /// The folder: of several on one file system, the first.
    pub folder: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// Inodes, where the file system counts them.
    pub inodes: Option<u64>,
}

/// A file that is ours, and where it lies.
#[derive(Debug, Clone)]
struct ClaimedFile {
    owner: Owner,
    claim: Claim,
    /// Whether it is being read after an unclean end, under a name that counts the attempt. Once it is known that
    /// reading it did not end the process, it gets its name back.
    suspect: bool,
    /// Whether the store may know outcomes of its first messages: not for a file that was claimed just now.
    may_be_in_parts: bool,
}

impl ClaimedFile {
    fn new(owner: Owner, claim: Claim) -> Self {
        Self {
            owner,
            claim,
            suspect: false,
            may_be_in_parts: false,
        }
    }

    fn name_in_work(&self) -> OsString {
        let attempts = self.claim.attempts + u32::from(self.suspect);
        self.claim.with_attempts(attempts).name()
    }

    /// Its path below the owner's folder, as moves write it, under the name that it has when they are done.
    fn path_in_work(&self) -> String {
        claim::to_text(&Path::new("work").join(self.claim.name()))
    }
}

/// The engine, with the spool open and locked.
pub struct Engine {
    config: Arc<Config>,
    fs: Fs,
    spool: Spool,
    facility_folders: BTreeMap<String, OwnerFolders>,
    unreachable: BTreeMap<String, Hold>,
    /// The file systems that everybody needs, each with a folder on it.
    own_devices: Arc<BTreeMap<u64, Dir>>,
    /// The folders of all places that can be reached.
    roots: Arc<Roots>,
    committer: Committer,
    /// What is kept of the group that is on its way to the disk.
    in_flight: Option<InFlight>,
    store: Arc<dyn Store>,
    names: NameReservations,
    folders: OpenFolders,
    /// The last number given in the order of received files.
    order: u64,
    /// The last number given to a message.
    message: u64,
    /// The last number given in the group that was sealed last.
    sealed_message: u64,
    /// Random: tells the claims and the prepared output of this run from those of others.
    run: String,
    prepared: u64,
    /// Claimed files that could not be taken yet.
    waiting: VecDeque<ClaimedFile>,
    /// Places that failed in this call: what is theirs waits for the next one, in its order, and the others go on.
    failing: BTreeSet<Owner>,
    /// Places of which a file was taken in this call.
    tried: BTreeSet<Owner>,
    /// Whose files wait for those of the others.
    turns: Turns,
    /// Reads large files, where the engine is told to have them read beside it.
    ahead: Option<Ahead>,
    /// The files that gave way to the others, by their claim: where their messages lie, and how far they are decided.
    given_way: BTreeMap<String, (Extents, FileProgress)>,
    /// What is held, and why.
    holds: Holds,
    /// Why nothing counts at present, if the journal fails.
    all_held: Option<Hold>,
    /// How long facilities wait for a desk whose folder fails.
    patience: Duration,
    /// Whether the desk's claimed files are still to be looked for.
    is_desk_unlisted: bool,
    /// Files given up with the one that failed, to be taken again in this call.
    again: VecDeque<ClaimedFile>,
    /// Claimed files found after an unclean end: one of them may have caused it.
    suspects: VecDeque<ClaimedFile>,
    /// Claimed files of which the system does not say whether a writer has them open.
    doubts: OpenFileDoubts,
    /// The places with such files, and why: said once.
    silent_on_writers: BTreeMap<Owner, LeaseObstacle>,
    counts: Counts,
    /// The session folders that commits touched.
    worklists: Arc<Worklists>,
    /// How many files were claimed out of each inbox.
    claimed: BTreeMap<Owner, u64>,
    unclaimed: ClaimRefusals,
    /// The notices that the facilities have, once they were read from the store.
    notices: Option<Notices>,
    /// The key of the refused file up to which it was looked whether they still lie in `error/`.
    refused_looked_at: String,
    /// How old things are, by the count of the time that passed.
    ages: Ages,
    /// The count as it was last written down.
    counted: Elapsed,
    /// Whether the wall clock was set since the last process had the spool.
    was_set: bool,
    /// Whether the last process that had the spool ended cleanly.
    was_clean: bool,
    /// The journal's.
    identity: String,
    /// For which of the open moves names are kept.
    awaited: Option<u64>,
    /// Whether folders that name another journal are taken for this one's: while a loss is accepted.
    adopts: bool,
    /// Once it is set, nothing more is begun.
    stop: Arc<AtomicBool>,
}

impl Engine {
    /// Whoever sets this flag stops the engine after the group in hand: what is not claimed yet stays in its inbox.
    pub fn stop_at(&mut self, flag: Arc<AtomicBool>) {
        self.stop = flag;
    }

    /// Has a file of many messages give way to the files of others after so long, and its place rest.
    pub fn set_turn(&mut self, length: Duration) {
        self.turns.set_length(length);
    }

    /// The places that rest, and until when: nothing of theirs is taken before.
    pub fn resting(&self) -> &BTreeMap<Owner, Instant> {
        self.turns.resting()
    }

    /// The places of claimed files that wait until their place has rested.
    pub fn claims_at_rest(&self) -> impl Iterator<Item = &Owner> {
        let places = self.waiting.iter().map(|claimed| &claimed.owner);
        places.filter(|place| self.turns.resting().contains_key(place))
    }

    /// For how long facilities wait for a desk whose folder fails.
    pub fn wait_for_the_desk(&mut self, patience: Duration) {
        self.patience = patience;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs with another configuration from now on. Facilities that it lacks are left; new ones are opened with
    /// [`Engine::open_facilities`]. The spool, and the folders of the facilities, must be the same.
    pub fn configure(&mut self, config: Arc<Config>) {
        let has = |id: &String| {
            config
                .facilities
                .iter()
                .any(|facility| facility.id.as_str() == id)
        };
        let before = self.facility_folders.keys().chain(self.unreachable.keys());
        let left_out = before.filter(|id| !has(id)).cloned().collect();
        self.facility_folders.retain(|id, _| has(id));
        self.unreachable.retain(|id, _| has(id));
        // What is in hand lies in its work folder, and is found there if the facility comes back.
        let stays = |claimed: &ClaimedFile| match &claimed.owner {
            Owner::Facility(id) => has(id),
            Owner::Desk | Owner::Documents => true,
        };
        self.waiting.retain(stays);
        self.suspects.retain(stays);
        self.say_left_out(&left_out);
        self.renew_roots();
        self.worklists.configure(Arc::clone(&config));
        self.config = config;
    }

    /// Takes in these files, in this order, after what waits already. A place that fails is held, and the others go on:
    /// see [`Engine::holds`].
    ///
    /// # Errors
    /// Of the journal, or of what everybody needs. If [`EngineError::is_passing`], everything in hand waits for the next
    /// call; else the process must end.
    pub fn take_in(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        self.failing.clear();
        self.tried.clear();
        self.turns.begin_call(Instant::now());
        self.unclaimed.try_again();
        let taken = match self.take_until_stopped(arrivals) {
            Err(EngineError::Stopped) => Ok(()),
            taken => taken,
        };
        for place in self.tried.difference(&self.failing) {
            self.holds.lift(place, HoldScope::Files);
        }
        self.forget_holds();
        taken
    }

    /// Forgets what was held and that nobody met any more.
    fn forget_holds(&mut self) {
        let sweeps = self.config.intake.rescan.saturating_mul(2);
        let longest_batch = self
            .config
            .facilities
            .iter()
            .map(|it| match it.reports.every {
                Every::Every(every) => every.saturating_mul(2),
                Every::OnRequest => Duration::ZERO,
            });
        let batches = longest_batch.max().unwrap_or_default();
        let age = FORGOTTEN_AFTER.max(sweeps);
        self.holds.forget_after(|held| match held {
            // They are tried again with the next batch.
            HoldScope::Reports => age.max(batches),
            _ => age,
        });
    }

    fn take_until_stopped(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        let taken = self.take_in_turns(arrivals);
        // Whatever happened, nothing is on its way once this returns.
        let landed = self.land();
        self.waiting.append(&mut self.again);
        self.waiting
            .make_contiguous()
            .sort_by_key(|claimed| claimed.claim.order);
        match landed {
            // What was on its way is taken again with the next call.
            Err(error) if self.hold_owner(&error, None) => taken,
            landed => landed.and(taken),
        }
    }

    /// Takes in what is of places that did not rest, then what is of those that have rested.
    fn take_in_turns(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        let (late, first) = arrivals
            .into_iter()
            .partition(|arrival| self.turns.waits(&arrival.owner));
        self.take_groups(first)?;
        if self.turns.has_late() && !self.is_stopped() {
            self.turns.let_late_on();
            self.take_groups(late)?;
        }
        Ok(())
    }

    fn take_groups(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        self.retry_moves();
        if self.is_desk_unlisted {
            self.find_claims()?;
        }
        self.take_suspects()?;
        let mut arrivals = VecDeque::from(arrivals);
        let mut waiting = std::mem::take(&mut self.again);
        waiting.append(&mut self.waiting);
        while !waiting.is_empty() || !arrivals.is_empty() {
            if self.is_stopped() {
                self.waiting.append(&mut waiting);
                break;
            }
            let lack = self.lack_of_space();
            if !matches!(lack, Ok(None)) {
                self.waiting.append(&mut waiting);
            }
            if let Some(problem) = lack? {
                repeats::failing("intake", RepeatedTask::Room, problem);
                break;
            }
            self.hold_where_space_is_short();
            let claimed = match self.next_claimed(&mut waiting, &mut arrivals) {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.waiting.append(&mut waiting);
                    return Err(error);
                }
            };
            let more = !waiting.is_empty() || !arrivals.is_empty();
            let taken = self.take_claimed(claimed, more);
            let mut first = std::mem::take(&mut self.again);
            first.append(&mut waiting);
            waiting = first;
            if matches!(taken, Err(EngineError::Grown)) {
                // The files of that group wait: all but the one that grew can be taken at once.
                let mut again = std::mem::take(&mut self.waiting);
                again.append(&mut waiting);
                waiting = again;
                continue;
            }
            if let Err(error) = taken {
                self.waiting.append(&mut waiting);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether what is of this place is left for the next call. For a while, facilities wait for the desk.
    fn must_wait(&self, owner: &Owner) -> bool {
        let waits_for_the_desk = || {
            let age = self.holds.age(&Owner::Desk, HoldScope::Files);
            self.failing.contains(&Owner::Desk) && age.is_none_or(|age| age < self.patience)
        };
        self.failing.contains(owner) || waits_for_the_desk()
    }

    /// Leaves what is of this place for the next call, so that its folder holds no other place up.
    fn pause(&mut self, owner: &Owner, error: &EngineError) {
        let cause = self.cause(error);
        self.failing.insert(owner.clone());
        self.holds.hold(owner, HoldScope::Files, cause);
    }

    /// Holds the place that an error is of, so that the others can go on: the one in whose folder it happened, else the
    /// one whose file was in hand. Not if that is held already, or if the error is of what everybody needs.
    fn hold_owner(&mut self, error: &EngineError, in_hand: Option<&Owner>) -> bool {
        let place = match error {
            // It was set aside with its file system.
            EngineError::PlaceSync(_) => return true,
            EngineError::Disk(disk) => {
                let there = self.owner_at(&disk.path);
                let places = [there.as_ref(), in_hand];
                places
                    .into_iter()
                    .flatten()
                    .find(|place| !self.failing.contains(place))
                    .cloned()
            }
            EngineError::Unreachable(_) => in_hand
                .filter(|place| !self.failing.contains(place))
                .cloned(),
            _ => None,
        };
        if let Some(place) = &place {
            self.pause(place, error);
        }
        place.is_some()
    }

    /// The desk or the facility in whose folder this path is.
    fn owner_at(&self, path: &Path) -> Option<Owner> {
        self.owner_folders()
            .filter(|folders| path.starts_with(folders.root.path()))
            .max_by_key(|folders| folders.root.path().as_os_str().len())
            .map(|folders| folders.owner.clone())
    }

    /// What an error says, with the folder that it is of and without received names.
    fn cause(&self, error: &EngineError) -> String {
        let EngineError::Disk(disk) = error else {
            return error.without_path();
        };
        let root = self
            .owner_at(&disk.path)
            .and_then(|place| self.root(&place).cloned());
        let folder = match &root {
            Some(root) => known_folder(disk.path.strip_prefix(root.path()).ok()),
            None => disk
                .path
                .strip_prefix(self.spool.root.path())
                .ok()
                .map(|below| below.display().to_string()),
        };
        match folder.filter(|folder| !folder.is_empty()) {
            Some(folder) => format!("{folder}: {}", error.without_path()),
            None => error.without_path(),
        }
    }

    /// Writes a batch for each facility that has reports which did not leave yet, unless it only wants them on request.
    pub fn write_due_batches(&mut self) -> Result<(), EngineError> {
        let on_request = |id: &String| {
            self.facility(id)
                .is_some_and(|facility| facility.reports.every == Every::OnRequest)
        };
        let facilities: Vec<String> = self
            .facility_folders
            .keys()
            .filter(|id| !on_request(id))
            .cloned()
            .collect();
        for facility in facilities {
            self.write_due_batch(&facility)?;
        }
        Ok(())
    }

    /// Writes a batch for this facility if it has reports which did not leave yet. What is of this facility alone holds
    /// its reports, and nothing else.
    ///
    /// # Errors
    /// Of the journal, or of what everybody needs.
    pub fn write_due_batch(&mut self, facility: &str) -> Result<(), EngineError> {
        let place = Owner::Facility(facility.to_owned());
        match self.write_batch_of_new_reports(facility) {
            Ok(()) => {
                self.holds.lift(&place, HoldScope::Reports);
                Ok(())
            }
            Err(
                error @ (EngineError::Report(_)
                | EngineError::Disk(_)
                | EngineError::PlaceSync(_)
                | EngineError::Unreachable(_)),
            ) => {
                self.hold_reports(&place, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The reports of this facility wait, and nothing else does.
    fn hold_reports(&mut self, owner: &Owner, error: &EngineError) {
        let cause = self.cause(error);
        self.holds.hold(owner, HoldScope::Reports, cause);
    }

    /// When there is nothing to do: makes the last moves durable and says so in the journal.
    pub fn idle(&mut self) -> Result<(), EngineError> {
        self.land()?;
        self.retry_moves();
        let store = Arc::clone(&self.store);
        loop {
            match self.commit(Group::new(&*store)) {
                // With the facilities set aside that failed, the others' moves can count.
                Err(EngineError::PlaceSync(_)) => {}
                committed => return committed,
            }
        }
    }

    /// How many messages ended how, since the engine was opened.
    pub fn totals(&self) -> Totals {
        self.counts.total()
    }

    /// The same, by facility, with the reasons of the refused ones.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The disk it works on.
    pub fn fs(&self) -> &Fs {
        &self.fs
    }

    /// The folder of the status page.
    pub fn status_dir(&self) -> &Dir {
        &self.spool.status
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The store, to be read.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The folders that can be used: the desk's first, since what it dropped comes first, then the facilities'.
    pub fn owner_folders(&self) -> impl Iterator<Item = &OwnerFolders> {
        std::iter::once(&self.spool.desk).chain(self.facility_folders.values())
    }

    /// The facilities whose folder cannot be used, and why.
    pub fn unreachable(&self) -> &BTreeMap<String, Hold> {
        &self.unreachable
    }

    /// The places that can be reached and whose files wait, and why.
    pub fn held_back(&self) -> BTreeMap<Owner, Hold> {
        let files = self
            .holds
            .iter()
            .filter(|(_, hold)| hold.held == HoldScope::Files);
        files
            .map(|(place, hold)| (place.clone(), hold.clone()))
            .collect()
    }

    /// All that is held, by place: a place may have several things that are.
    pub fn holds(&self) -> Vec<(Owner, Hold)> {
        let unreachable = self.unreachable.iter().map(|(id, hold)| {
            let place = Owner::Facility(id.clone());
            (place, hold.clone())
        });
        let held = self.holds.iter().chain(self.committer.held_moves());
        unreachable
            .chain(held.map(|(place, hold)| (place.clone(), hold.clone())))
            .collect()
    }

    /// Whether the files of all places wait for the desk, whose folder fails.
    pub fn do_all_wait_for_the_desk(&self) -> bool {
        let age = self.holds.age(&Owner::Desk, HoldScope::Files);
        age.is_some_and(|age| age < self.patience)
    }

    /// Why nothing of anybody counts at present, if that is so.
    pub fn all_held(&self) -> Option<&Hold> {
        self.all_held.as_ref()
    }

    /// Whether this place lies on a local file system, whose times are the kernel's own.
    pub fn is_local(&self, folders: &OwnerFolders) -> bool {
        // Where that cannot be told, nothing is taken for granted.
        self.fs.is_local(&folders.inbox).unwrap_or(false)
    }

    /// How many moves the journal orders that could not be done yet.
    pub fn moves_waiting(&self) -> usize {
        self.committer.moves().len()
    }

    /// How many claimed files of each place wait to be read, or to be put on the disk.
    pub fn in_hand(&self) -> BTreeMap<&str, usize> {
        let mut in_hand = BTreeMap::new();
        let waiting = self.waiting.iter().chain(&self.again);
        for claimed in waiting.chain(&self.suspects) {
            *in_hand.entry(owner_name(&claimed.owner)).or_default() += 1;
        }
        in_hand
    }

    /// The moves that could not be done yet, by place.
    pub fn open_moves(&self) -> Vec<OpenMove> {
        let mut open: BTreeMap<&Owner, OpenMove> = BTreeMap::new();
        for (group, ordered) in self.committer.moves() {
            let of_place = open.entry(&ordered.place).or_insert_with(|| OpenMove {
                facility: owner_name(&ordered.place).to_owned(),
                count: 0,
                since: None,
                problem: self.problem_of(&ordered.place),
            });
            of_place.count += 1;
            let since = self.committer.times().get(group).copied();
            of_place.since = match (of_place.since, since) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        open.into_values().collect()
    }

    fn problem_of(&self, owner: &Owner) -> String {
        match owner {
            Owner::Facility(id) if self.facility(id).is_none() => {
                "it is not in the configuration any more".to_owned()
            }
            place => {
                let mut holds = self.committer.held_moves();
                let hold = holds.find(|(held, _)| *held == place);
                hold.map_or("it is tried with the next sweep", |(_, hold)| &hold.cause)
                    .to_owned()
            }
        }
    }

    /// Says once of each of these facilities, which are not in the configuration, what of theirs waits.
    fn say_left_out(&self, facilities: &BTreeSet<String>) {
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

    /// How many claimed files wait to be read.
    pub fn claims_waiting(&self) -> usize {
        self.waiting.len() + self.suspects.len()
    }

    /// Does the moves that could not be done before.
    fn retry_moves(&mut self) {
        self.committer.retry_moves(&self.roots);
        self.renew_awaited_names();
    }

    /// The same as [`Engine::keep_awaited_names`], where other moves are open than before: not for each group.
    fn renew_awaited_names(&mut self) {
        if self.awaited.is_none() || self.committer.open_moves() != self.awaited {
            self.keep_awaited_names();
        }
    }

    /// A file that cannot be moved into place yet has a name in the journal, which no later file may get.
    fn keep_awaited_names(&mut self) {
        self.awaited = self.committer.open_moves();
        let (moves, roots) = (self.committer.moves(), &self.roots);
        self.names.await_at(moves.iter().filter_map(|(_, ordered)| {
            let root = roots.get(&ordered.place)?;
            Some((root.number(), claim::from_text(&ordered.to)))
        }));
    }

    /// The folders as they are from now on.
    fn renew_roots(&mut self) {
        let mut roots = Roots::new();
        roots.insert(Owner::Documents, self.spool.documents.clone());
        for folders in self.owner_folders() {
            roots.insert(folders.owner.clone(), folders.root.clone());
        }
        self.roots = Arc::new(roots);
        self.names.look_again();
        self.keep_awaited_names();
    }

    fn folders_of(&self, owner: &Owner) -> Option<&OwnerFolders> {
        match owner {
            Owner::Facility(id) => self.facility_folders.get(id),
            Owner::Desk => Some(&self.spool.desk),
            Owner::Documents => None,
        }
    }

    fn root(&self, owner: &Owner) -> Option<&Dir> {
        match owner {
            Owner::Documents => Some(&self.spool.documents),
            place => self.folders_of(place).map(|folders| &folders.root),
        }
    }

    fn facility(&self, id: &str) -> Option<&Facility> {
        self.config
            .facilities
            .iter()
            .find(|facility| facility.id.as_str() == id)
    }

    /// The calendar day, at a place, of this moment: the name of the folder below `done/`.
    fn day(&self, owner: &Owner, moment: DateTime<Utc>) -> String {
        let zone = match owner {
            Owner::Facility(id) => self.facility(id).map(|facility| facility.timezone),
            _ => self
                .config
                .facilities
                .first()
                .map(|facility| facility.timezone),
        };
        let zone = zone.unwrap_or(chrono_tz::Tz::UTC);
        moment.with_timezone(&zone).format("%Y-%m-%d").to_string()
    }

    fn now(&self) -> DateTime<Utc> {
        self.fs.clock().wall()
    }

    /// A name in `work/` or among the documents for output that is being prepared.
    fn prepared_name(&mut self) -> String {
        self.prepared += 1;
        format!("{}{}-{}", claim::PREPARED, self.run, self.prepared)
    }

    /// The files of the next group: those that wait, else the next that arrived, made ours.
    fn next_claimed(
        &mut self,
        waiting: &mut VecDeque<ClaimedFile>,
        arrivals: &mut VecDeque<Arrival>,
    ) -> Result<VecDeque<ClaimedFile>, EngineError> {
        let group = self.config.intake.group;
        if !waiting.is_empty() {
            return Ok(waiting.drain(..group.min(waiting.len())).collect());
        }
        let next: Vec<Arrival> = arrivals.drain(..group.min(arrivals.len())).collect();
        self.claim_all(&next)
    }

    /// Makes files in inboxes ours, in their order: those that can be had now.
    fn claim_all(&mut self, arrivals: &[Arrival]) -> Result<VecDeque<ClaimedFile>, EngineError> {
        let mut claimed = VecDeque::with_capacity(arrivals.len());
        for arrival in arrivals {
            match self.claim(arrival) {
                Ok(one) => claimed.extend(one),
                Err(error) => {
                    self.waiting.append(&mut claimed);
                    return Err(error);
                }
            }
        }
        Ok(claimed)
    }

    /// Makes a file in an inbox ours; nothing if it vanished or cannot be had now.
    fn claim(&mut self, arrival: &Arrival) -> Result<Option<ClaimedFile>, EngineError> {
        if self.must_wait(&arrival.owner) || self.unclaimed.is_left_alone(arrival) {
            return Ok(None);
        }
        let claim = Claim::new(self.order + 1, &self.run, &arrival.path);
        match self.move_into_work(arrival, &claim) {
            Ok(true) => {
                self.order += 1;
                if arrival.owner != Owner::Desk || crate::intake::desk::is_command(&arrival.path) {
                    *self.claimed.entry(arrival.owner.clone()).or_default() += 1;
                }
                return Ok(Some(ClaimedFile::new(arrival.owner.clone(), claim)));
            }
            Ok(false) => {}
            Err(EngineError::Disk(error)) if error.is_absent() => {}
            // Where our own folder is shut, the name is not to blame, and no other file can be had either.
            Err(EngineError::Disk(error))
                if error.scope() == ErrorScope::Name && self.may_claim(&arrival.owner) =>
            {
                self.unclaimed.refused(arrival, &error.source);
                // The received name may be a patient's: only the folder is told.
                let cause = format!("a file in the inbox cannot be taken: {}", error.source);
                self.holds.hold(&arrival.owner, HoldScope::SomeFiles, cause);
            }
            // What came after it must not overtake it.
            Err(error) => match self.hold_owner(&error, Some(&arrival.owner)) {
                true => {}
                false => return Err(error),
            },
        }
        Ok(None)
    }

    /// Whether files can be put into the folder where those that are claimed lie.
    fn may_claim(&self, owner: &Owner) -> bool {
        let folders = self.folders_of(owner);
        folders.is_none_or(|folders| self.fs.may_put_into(&folders.work))
    }

    /// Whether the file is ours now; it is not where its folder is gone.
    fn move_into_work(&mut self, arrival: &Arrival, claim: &Claim) -> Result<bool, EngineError> {
        if claim.is_cut() {
            self.remember_long_name(claim)?;
        }
        let Some(folders) = self.folders_of(&arrival.owner) else {
            return Ok(false);
        };
        let (root, inbox, work) = (&folders.root, &folders.inbox, &folders.work);
        let folder = arrival.path.parent().unwrap_or(Path::new(""));
        let name = arrival.path.file_name().unwrap_or_default();
        let below = match folder.as_os_str().is_empty() {
            true => inbox.clone(),
            false => {
                let path = Path::new("inbox").join(folder);
                match self.folders.find(&self.fs, root, &path)? {
                    Some(dir) => dir,
                    None => return Ok(false),
                }
            }
        };
        self.fs.rename(&below, name, work, &claim.name())?;
        Ok(true)
    }

    /// Why nothing is taken in: a file system that everybody needs with less room than `intake.min_free`, if there is
    /// one. Where only facilities lie on it, they alone wait.
    pub fn lack_of_space(&self) -> Result<Option<String>, EngineError> {
        for space in self.own_spaces() {
            if let Some(lack) = self.lack_in(&space?) {
                return Ok(Some(format!("{lack}: intake waits until there is room")));
            }
        }
        Ok(None)
    }

    /// Holds the facilities on whose own file system there is too little room, or which do not say how much there is.
    fn hold_where_space_is_short(&mut self) {
        for (place, space) in self.spaces_of_facilities() {
            let problem = match space {
                Ok(space) => self.lack_in(&space),
                Err(error) => Some(self.cause(&error)),
            };
            if let Some(problem) = problem {
                self.failing.insert(place.clone());
                self.holds.hold(&place, HoldScope::Files, problem);
            }
        }
    }

    fn lack_in(&self, space: &FreeSpace) -> Option<String> {
        let needed = self.config.intake.min_free;
        let is_short =
            space.bytes < needed || space.inodes.is_some_and(|inodes| inodes < FEW_INODES);
        is_short.then(|| {
            format!(
                "{} has less than intake.min_free left ({} of {needed} bytes free)",
                space.folder.display(),
                space.bytes,
            )
        })
    }

    /// What is free on each file system in use; one that does not say so is left out.
    pub fn free_space(&self) -> Vec<FreeSpace> {
        let mut seen = BTreeSet::new();
        let own = self.own_spaces();
        let of_facilities = self.spaces_of_facilities().into_iter();
        own.into_iter()
            .chain(of_facilities.map(|(_, space)| space))
            .filter_map(Result::ok)
            .filter(|space| seen.insert(space.folder.clone()))
            .collect()
    }

    /// What is free on each file system that everybody needs.
    fn own_spaces(&self) -> Vec<Result<FreeSpace, EngineError>> {
        let own = [
            &self.spool.root,
            &self.spool.documents,
            &self.spool.journal,
            &self.spool.store,
            &self.spool.desk.root,
        ];
        let mut seen = BTreeSet::new();
        own.into_iter()
            .filter_map(|dir| match self.fs.device(dir) {
                Ok(device) => seen.insert(device).then(|| self.space(dir)),
                Err(error) => Some(Err(error.into())),
            })
            .collect()
    }

    /// What is free for each facility that lies on a file system of its own, or on one with other facilities.
    fn spaces_of_facilities(&self) -> Vec<(Owner, Result<FreeSpace, EngineError>)> {
        let mut measured: BTreeMap<u64, FreeSpace> = BTreeMap::new();
        let mut spaces = Vec::new();
        for folders in self.facility_folders.values() {
            let space = match self.fs.device(&folders.root) {
                Ok(device) if self.own_devices.contains_key(&device) => continue,
                Ok(device) => match measured.get(&device) {
                    Some(space) => Ok(space.clone()),
                    None => self.space(&folders.root).inspect(|space| {
                        measured.insert(device, space.clone());
                    }),
                },
                Err(error) => Err(error.into()),
            };
            spaces.push((folders.owner.clone(), space));
        }
        spaces
    }

    fn space(&self, dir: &Dir) -> Result<FreeSpace, EngineError> {
        let free = self.fs.free(dir)?;
        Ok(FreeSpace {
            folder: dir.path().to_owned(),
            bytes: free.bytes,
            inodes: free.inodes,
        })
    }
}

/// The folder of an owner that a path below it is in, one of those whose names are ours.
fn known_folder(below: Option<&Path>) -> Option<String> {
    const FOLDERS: [&str; 7] = [
        "inbox",
        "work",
        "done",
        "error",
        "outbox/acks",
        "outbox/reports",
        "outbox",
    ];
    let below = below?;
    let known = FOLDERS.into_iter().find(|folder| below.starts_with(folder));
    known.map(str::to_owned)
}

/// The facility's id, or `desk`.
pub fn owner_name(owner: &Owner) -> &str {
    match owner {
        Owner::Facility(id) => id,
        Owner::Desk => "desk",
        Owner::Documents => "documents",
    }
}
