//! The engine: takes ready files through the whole way, one group at a time. It has no clock of its own, and no
//! threads but those of [`commit`]; `once`, the daemon, the demonstration and the tests drive it.
//!
//! *Before the journal, only writes; after it, only renames* (design.md, "One barrier"). [`group`] holds that order.

mod ahead;
pub mod arrivals;
mod attachments;
mod batch;
mod claims;
mod commit;
mod counts;
mod decision;
mod desk_files;
mod doubt;
mod error;
mod facilities;
mod file_end;
mod files;
mod full_disk;
mod group;
mod handed;
mod hold;
mod loss;
mod notices;
mod open_moves;
mod outputs;
mod prepared;
mod progress;
mod reached;
mod receipt;
mod recovery;
mod refused;
mod report;
mod retry;
mod secrets;
mod suspects;
mod take_in;
mod turns;
mod upgrade;
pub mod upkeep;
pub(crate) mod witness;
mod worklist;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use self::ahead::Ahead;
use self::arrivals::ClaimRefusals;
use self::claims::ClaimedFile;
use self::commit::{Committer, Roots};
use self::group::{Group, InFlight};
use self::hold::Holds;
use self::notices::Notices;
use self::progress::FileProgress;
use self::turns::Turns;
use self::witness::CleanStop;
use crate::config::{Config, Facility};
use crate::hl7::Extents;
use crate::model::owner::Owner;
use crate::spool::ages::{Ages, Elapsed};
use crate::spool::destinations::{NameReservations, OpenFolders};
use crate::spool::doubt::OpenFileDoubts;
use crate::spool::fs::{Dir, Fs};
use crate::spool::layout::{OwnerFolders, Spool};
use crate::spool::lease::LeaseObstacle;
use crate::store::Store;
use crate::worklist::Worklists;

pub use self::claims::Arrival;
pub use self::counts::{Counts, Totals};
pub use self::error::EngineError;
pub use self::full_disk::FreeSpace;
pub use self::hold::{Hold, HoldScope};
pub use self::open_moves::OpenMove;
pub use self::recovery::{OpenStore, StartOptions};
pub(crate) use self::witness::CLEAN;
pub use self::witness::Loss;

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
    /// Opens the spool: makes what is absent, recovers what the last process left, and is ready to take files in.
    pub fn open(config: Arc<Config>, fs: Fs, open_store: OpenStore) -> Result<Self, EngineError> {
        Self::open_as(config, fs, open_store, StartOptions::default(), &mut |_| {})
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

    /// Whether this place lies on a local file system, whose times are the kernel's own.
    pub fn is_local(&self, folders: &OwnerFolders) -> bool {
        // Where that cannot be told, nothing is taken for granted.
        self.fs.is_local(&folders.inbox).unwrap_or(false)
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

    /// How many claimed files wait to be read.
    pub fn claims_waiting(&self) -> usize {
        self.waiting.len() + self.suspects.len()
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
}

/// The facility's id, or `desk`.
pub fn owner_name(owner: &Owner) -> &str {
    match owner {
        Owner::Facility(id) => id,
        Owner::Desk => "desk",
        Owner::Documents => "documents",
    }
}
