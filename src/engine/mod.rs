//! The engine: takes ready files through the whole way, one group at a time. It has no clock of its own, and no
//! threads but those of [`commit`]; `once`, the daemon, the demonstration and the tests drive it.
//!
//! *Before the journal, only writes; after it, only renames* (DESIGN, "One barrier"). [`group`] holds that order.

pub mod arrivals;
mod batch;
mod commit;
mod doubt;
mod files;
mod group;
mod handed;
pub mod keeping;
mod receipt;
mod recovery;
mod report;
mod secrets;
mod telling;
mod worklist;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::commit::{Committer, Roots};
use self::group::{Group, Held};
use crate::config::{Config, Every, Facility};
use crate::journal::{JournalError, Place};
use crate::model::outcome::{Outcome, Reason};
use crate::model::view::ViewError;
use crate::spool::claim::{self, Claim};
use crate::spool::doubt::Doubts;
use crate::spool::finish::{Folders, Names};
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{LayoutError, Spool, Station};
use crate::spool::lease::Why;
use crate::store::{Store, StoreError};
use crate::worklist::Worklists;

pub use self::recovery::OpenStore;
pub(crate) use self::recovery::{CLEAN, DATABASE};

/// The engine cannot go on with what it was doing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folders cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The disk failed before anything was promised: what was in hand waits, and is tried again.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// A sync failed: what reached the disk is not known. The process must end; the next start finds the truth.
    #[error(
        "what was written may not have reached the disk: {0}. Check the disk, then start again"
    )]
    Sync(#[source] FsError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
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
}

impl EngineError {
    /// Whether the same engine may go on later, with everything in hand waiting as it was.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            EngineError::Disk(_)
                | EngineError::Report(_)
                | EngineError::Journal(JournalError::Disk(_))
                | EngineError::Grown
                | EngineError::InDoubt
                | EngineError::Stopped
        )
    }

    /// What it says without the path of a file, in which a received name may stand: for logs.
    pub fn without_path(&self) -> String {
        match self {
            EngineError::Disk(error) => format!("cannot {}: {}", error.action, error.source),
            other => other.to_string(),
        }
    }
}

/// With fewer inodes left, nothing more is taken in.
const FEW_INODES: u64 = 10_000;

/// A file that is ready to be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Whose inbox it is in.
    pub place: Place,
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

    fn count(&mut self, place: &Place, outcome: &Outcome) {
        let name = place_name(place).to_owned();
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
struct Claimed {
    place: Place,
    claim: Claim,
    /// Whether it is being read after an unclean end, under a name that counts the attempt. Once it is known that
    /// reading it did not end the process, it gets its name back.
    suspect: bool,
    /// Whether the store may know outcomes of its first messages: not for a file that was claimed just now.
    may_be_in_parts: bool,
}

impl Claimed {
    fn new(place: Place, claim: Claim) -> Self {
        Self {
            place,
            claim,
            suspect: false,
            may_be_in_parts: false,
        }
    }

    fn name_in_work(&self) -> OsString {
        let attempts = self.claim.attempts + u32::from(self.suspect);
        self.claim.with_attempts(attempts).name()
    }

    /// Its path below the station's folder, as moves write it, under the name that it has when they are done.
    fn path_in_work(&self) -> String {
        claim::to_text(&Path::new("work").join(self.claim.name()))
    }
}

/// The engine, with the spool open and locked.
pub struct Engine {
    config: Arc<Config>,
    fs: Fs,
    spool: Spool,
    stations: BTreeMap<String, Station>,
    unreachable: BTreeMap<String, String>,
    /// The folders of all places that can be reached.
    roots: Arc<Roots>,
    committer: Committer,
    /// What is kept of the group that is on its way to the disk.
    in_flight: Option<Held>,
    store: Arc<dyn Store>,
    names: Names,
    folders: Folders,
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
    waiting: VecDeque<Claimed>,
    /// Places whose folder failed in this call: what is theirs waits for the next one, in its order, and the others
    /// go on.
    failing: BTreeMap<Place, String>,
    /// The first of these failures.
    failure: Option<EngineError>,
    /// Files given up with the one that failed, to be taken again in this call.
    again: VecDeque<Claimed>,
    /// Claimed files found after an unclean end: one of them may have caused it.
    suspects: VecDeque<Claimed>,
    /// Claimed files of which the system does not say whether a writer has them open.
    doubts: Doubts,
    /// The places with such files, and why: said once.
    silent_on_writers: BTreeMap<Place, Why>,
    counts: Counts,
    /// The session folders that commits touched.
    worklists: Arc<Worklists>,
    /// Whether the last process that had the spool ended cleanly.
    was_clean: bool,
    /// Once it is set, nothing more is begun.
    stop: Arc<AtomicBool>,
}

impl Engine {
    /// Whoever sets this flag stops the engine after the group in hand: what is not claimed yet stays in its inbox.
    pub fn stop_at(&mut self, flag: Arc<AtomicBool>) {
        self.stop = flag;
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
        self.stations.retain(|id, _| has(id));
        self.unreachable.retain(|id, _| has(id));
        self.renew_roots();
        self.worklists.configure(Arc::clone(&config));
        self.config = config;
    }

    /// Takes in these files, in this order, after what waits already.
    ///
    /// # Errors
    /// If [`EngineError::is_passing`], everything in hand waits for the next call; else the process must end.
    pub fn take_in(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        self.failing.clear();
        match self.take_until_stopped(arrivals) {
            Err(EngineError::Stopped) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.failure.take().map_or(Ok(()), Err),
        }
    }

    fn take_until_stopped(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        let taken = self.take_groups(arrivals);
        // Whatever happened, nothing is on its way once this returns.
        let landed = self.land();
        self.waiting.append(&mut self.again);
        landed.and(taken)
    }

    fn take_groups(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        self.retry_moves();
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
                log::error!("{problem}");
                break;
            }
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

    /// Whether what is of this place is left for the next call. Everybody waits for the desk: its sessions are what
    /// cases are scheduled into.
    fn must_wait(&self, place: &Place) -> bool {
        self.failing.contains_key(place) || self.failing.contains_key(&Place::Desk)
    }

    /// Leaves what is of this place for the next call, so that its folder holds no other facility up.
    fn pause(&mut self, place: &Place, error: EngineError) {
        let problem = error.without_path();
        log::error!(
            "{}: {problem}; its files wait, and it is tried again",
            place_name(place)
        );
        self.failing.insert(place.clone(), problem);
        self.failure.get_or_insert(error);
    }

    /// Writes a batch for each facility that has reports which did not leave yet, unless it only wants them on request.
    pub fn write_due_batches(&mut self) -> Result<(), EngineError> {
        let on_request = |id: &String| {
            self.facility(id)
                .is_some_and(|facility| facility.reports.every == Every::OnRequest)
        };
        let facilities: Vec<String> = self
            .stations
            .keys()
            .filter(|id| !on_request(id))
            .cloned()
            .collect();
        let mut failure = None;
        for facility in facilities {
            match self.write_due_batch(&facility) {
                // One that cannot be written to holds no other up.
                Err(error) if error.is_passing() => {
                    log::error!("{facility}: {}", error.without_path());
                    failure.get_or_insert(error);
                }
                written => written?,
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes a batch for this facility if it has reports which did not leave yet.
    ///
    /// # Errors
    /// Reports that cannot be found are logged: other facilities do not wait for that damage to be mended.
    pub fn write_due_batch(&mut self, facility: &str) -> Result<(), EngineError> {
        match self.write_batch_of_new_reports(facility) {
            Err(EngineError::Report(problem)) => {
                log::error!("{facility}: {problem}");
                Ok(())
            }
            written => written,
        }
    }

    /// When there is nothing to do: makes the last moves durable and says so in the journal.
    pub fn idle(&mut self) -> Result<(), EngineError> {
        self.land()?;
        self.retry_moves();
        let store = Arc::clone(&self.store);
        self.commit(Group::new(&*store))
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
    pub fn stations(&self) -> impl Iterator<Item = &Station> {
        std::iter::once(&self.spool.desk).chain(self.stations.values())
    }

    /// The facilities whose folder cannot be used, and why.
    pub fn unreachable(&self) -> &BTreeMap<String, String> {
        &self.unreachable
    }

    /// The places whose folder failed when files were last taken in, and how: theirs wait.
    pub fn held_back(&self) -> &BTreeMap<Place, String> {
        &self.failing
    }

    /// Whether this place lies on a local file system, whose times are the kernel's own.
    pub fn is_local(&self, station: &Station) -> bool {
        // Where that cannot be told, nothing is taken for granted.
        self.fs.is_local(&station.inbox).unwrap_or(false)
    }

    /// How many moves the journal orders that could not be done yet.
    pub fn moves_waiting(&self) -> usize {
        self.committer.moves().len()
    }

    /// How many claimed files wait to be read.
    pub fn claims_waiting(&self) -> usize {
        self.waiting.len() + self.suspects.len()
    }

    /// Does the moves that could not be done before.
    fn retry_moves(&mut self) {
        self.committer.retry_moves(&self.roots);
        self.keep_awaited_names();
    }

    /// A file that cannot be moved into place yet has a name in the journal, which no later file may get.
    fn keep_awaited_names(&mut self) {
        let (moves, roots) = (self.committer.moves(), &self.roots);
        self.names.await_at(moves.iter().filter_map(|(_, ordered)| {
            let root = roots.get(&ordered.place)?;
            Some((root.number(), claim::from_text(&ordered.to)))
        }));
    }

    /// The folders as they are from now on.
    fn renew_roots(&mut self) {
        let mut roots = Roots::new();
        roots.insert(Place::Documents, self.spool.documents.clone());
        for station in self.stations() {
            roots.insert(station.place.clone(), station.root.clone());
        }
        self.roots = Arc::new(roots);
        self.names.look_again();
        self.keep_awaited_names();
    }

    fn station(&self, place: &Place) -> Option<&Station> {
        match place {
            Place::Facility(id) => self.stations.get(id),
            Place::Desk => Some(&self.spool.desk),
            Place::Documents => None,
        }
    }

    fn root(&self, place: &Place) -> Option<&Dir> {
        match place {
            Place::Documents => Some(&self.spool.documents),
            place => self.station(place).map(|station| &station.root),
        }
    }

    fn facility(&self, id: &str) -> Option<&Facility> {
        self.config
            .facilities
            .iter()
            .find(|facility| facility.id.as_str() == id)
    }

    /// The calendar day, at a place, of this moment: the name of the folder below `done/`.
    fn day(&self, place: &Place, moment: DateTime<Utc>) -> String {
        let zone = match place {
            Place::Facility(id) => self.facility(id).map(|facility| facility.timezone),
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
        Utc::now()
    }

    /// A name in `work/` or among the documents for output that is being prepared.
    fn prepared_name(&mut self) -> String {
        self.prepared += 1;
        format!("{}{}-{}", claim::PREPARED, self.run, self.prepared)
    }

    /// The files of the next group: those that wait, else the next that arrived, made ours.
    fn next_claimed(
        &mut self,
        waiting: &mut VecDeque<Claimed>,
        arrivals: &mut VecDeque<Arrival>,
    ) -> Result<VecDeque<Claimed>, EngineError> {
        let group = self.config.intake.group;
        if !waiting.is_empty() {
            return Ok(waiting.drain(..group.min(waiting.len())).collect());
        }
        let next: Vec<Arrival> = arrivals.drain(..group.min(arrivals.len())).collect();
        self.claim_all(&next)
    }

    /// Makes files in inboxes ours, in their order: those that can be had now.
    fn claim_all(&mut self, arrivals: &[Arrival]) -> Result<VecDeque<Claimed>, EngineError> {
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
    fn claim(&mut self, arrival: &Arrival) -> Result<Option<Claimed>, EngineError> {
        if self.must_wait(&arrival.place) {
            return Ok(None);
        }
        let claim = Claim::new(self.order + 1, &self.run, &arrival.path);
        match self.move_into_work(arrival, &claim) {
            Ok(true) => {
                self.order += 1;
                return Ok(Some(Claimed::new(arrival.place.clone(), claim)));
            }
            Ok(false) => {}
            Err(EngineError::Disk(error)) if error.is_absent() => {}
            Err(EngineError::Disk(error)) if !error.is_of_the_disk() => {
                // The received name may be a patient's: only the folder is logged.
                log::error!(
                    "a file in the inbox of {} cannot be taken: {}",
                    place_name(&arrival.place),
                    EngineError::from(error).without_path()
                );
            }
            // What came after it must not overtake it.
            Err(error) if error.is_passing() => self.pause(&arrival.place, error),
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// Whether the file is ours now; it is not where its folder is gone.
    fn move_into_work(&mut self, arrival: &Arrival, claim: &Claim) -> Result<bool, EngineError> {
        if claim.is_cut() {
            self.remember_long_name(claim)?;
        }
        let Some(station) = self.station(&arrival.place) else {
            return Ok(false);
        };
        let (root, inbox, work) = (&station.root, &station.inbox, &station.work);
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

    /// Why nothing is taken in: a file system with less room than `intake.min_free`, if there is one.
    pub fn lack_of_space(&self) -> Result<Option<String>, EngineError> {
        let needed = self.config.intake.min_free;
        let free = self.free_space()?;
        let short = free.iter().find(|free| {
            free.bytes < needed || free.inodes.is_some_and(|inodes| inodes < FEW_INODES)
        });
        Ok(short.map(|free| {
            format!(
                "{} has less than intake.min_free left ({} of {} bytes free): intake waits until there is room",
                free.folder.display(),
                free.bytes,
                needed
            )
        }))
    }

    /// What is free on each file system in use.
    pub fn free_space(&self) -> Result<Vec<FreeSpace>, EngineError> {
        let own = [
            &self.spool.root,
            &self.spool.documents,
            &self.spool.journal,
            &self.spool.store,
        ];
        let dirs = own
            .into_iter()
            .chain(self.stations().map(|station| &station.root));
        let mut seen = BTreeSet::new();
        let mut spaces = Vec::new();
        for dir in dirs {
            if seen.insert(self.fs.device(dir)?) {
                let free = self.fs.free(dir)?;
                spaces.push(FreeSpace {
                    folder: dir.path().to_owned(),
                    bytes: free.bytes,
                    inodes: free.inodes,
                });
            }
        }
        Ok(spaces)
    }
}

/// The facility's id, or `desk`.
pub(crate) fn place_name(place: &Place) -> &str {
    match place {
        Place::Facility(id) => id,
        Place::Desk => "desk",
        Place::Documents => "documents",
    }
}
