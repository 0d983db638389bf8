//! From a sealed group to files in their places: the order on which everything else rests.
//!
//! *Before the journal, only writes; after it, only renames* (design.md, "One barrier"). Outputs lie under names nobody
//! sees; one barrier makes them durable, the journal says what is so, and only then do files move and the store follows.
//!
//! This is the only place of the engine with threads: a group may go its way to the disk while the next is decided, and
//! the store is written to while its files move. There is never more than one group on its way, and nothing of it is
//! shared but what can no longer change.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};

use super::hold::known_folder;
use super::reached::{StoreWitness, WorkWitness};
use super::{EngineError, Hold, HoldScope, owner_name};
use crate::journal::{Counters, Entry, Journal, Move, OpenMoves};
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};
use crate::spool::claim;
use crate::spool::destinations::{self, OpenFolders};
use crate::spool::fs::{Dir, Fs};
use crate::store::{SharedChanges, Store, StoreError};

/// The folders that moves are relative to.
pub(super) type Roots = BTreeMap<Owner, Dir>;

/// So many moves into a folder may fail before the others into it wait for the next sweep.
const ATTEMPTS: usize = 64;

/// Why moves of a place without a folder are not done.
const UNREACHABLE: &str = "its folder cannot be reached";

/// A group that nothing is added to any more.
pub(super) struct CompleteGroup {
    /// What the journal is to record.
    pub entries: Vec<Entry>,
    /// The moves to do once it counts.
    pub moves: Vec<Move>,
    /// The moves of earlier groups that nobody is to do any more, once it counts.
    pub given_up: Vec<(u64, Move)>,
    /// What the store is to hold.
    pub changes: SharedChanges,
    /// A folder on each file system that was written to.
    pub file_systems: Vec<Dir>,
    /// The last number given in the order of received files.
    pub order: u64,
    /// The last number given to a message.
    pub message: u64,
}

/// Puts groups on the disk, one after the other.
pub(super) struct Committer {
    state: CommitterState,
    worker: CommitThread,
    /// As of the last group that was committed when nothing was on its way.
    counters: Counters,
}

enum CommitterState {
    Here(Box<CommitContext>),
    OnItsWay {
        decided: SharedChanges,
    },
    /// A thread ended without an answer, or what reached the disk is not known: only a new start finds the truth.
    Lost,
}

/// The thread that puts groups on the disk; it ends with the committer.
struct CommitThread {
    groups: Sender<CommitRequest>,
    answers: Receiver<CommitReply>,
}

/// A group to be put on the disk.
struct CommitRequest {
    work: Box<CommitContext>,
    sealed: CompleteGroup,
    roots: Arc<Roots>,
}

struct CommitReply {
    work: Box<CommitContext>,
    committed: Result<(), EngineError>,
}

impl CommitThread {
    fn start() -> Result<Self, EngineError> {
        let (groups, given) = channel::<CommitRequest>();
        let (answer, answers) = channel();
        spawn("committer", move || {
            for mut given in given {
                let committed = given.work.commit(given.sealed, &given.roots);
                let sent = answer.send(CommitReply {
                    work: given.work,
                    committed,
                });
                if sent.is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { groups, answers })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(EngineError::Thread)
}

/// Has the store follow the journal, in a thread that ends with it.
struct Follower {
    changes: Option<Sender<SharedChanges>>,
    applied: Receiver<Result<(), StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(store: Arc<dyn Store>) -> Result<Self, EngineError> {
        let (changes, given) = channel::<SharedChanges>();
        let (answer, applied) = channel();
        let thread = spawn("store", move || {
            for changes in given {
                let changes = changes.iter();
                let applied =
                    store.apply(&mut changes.map(|(key, value)| (key.as_str(), value.as_deref())));
                if answer.send(applied).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self {
            changes: Some(changes),
            applied,
            thread: Some(thread),
        })
    }

    /// Gives the store these changes.
    fn follow(&self, changes: SharedChanges) -> Result<(), EngineError> {
        let given = self.changes.as_ref().map(|thread| thread.send(changes));
        match given {
            Some(Ok(())) => Ok(()),
            _ => Err(EngineError::Lost),
        }
    }

    /// Waits until the store has what it was given last.
    fn catch_up(&self) -> Result<(), EngineError> {
        let applied = self.applied.recv().map_err(|_| EngineError::Lost)?;
        Ok(applied?)
    }
}

impl Drop for Follower {
    /// Nobody writes to the store once its owner is gone: the next one may open it.
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, the store is not trusted at the next start.
            let _ = thread.join();
        }
    }
}

/// What committing needs.
struct CommitContext {
    fs: Fs,
    journal: Journal,
    store: Follower,
    folders: OpenFolders,
    /// Moves that the journal orders and that are still to do, with their group: those of groups up to `finished` are
    /// the ones that the journal knows to be left.
    moves: Vec<(u64, Move)>,
    /// When these groups were committed.
    times: BTreeMap<u64, DateTime<Utc>>,
    /// The last group whose moves the journal knows to be done, but for those that are left.
    finished: u64,
    /// Counts how often other moves were open than before.
    changed: u64,
    /// Moves that were done since, with the file system that is to keep them: only once that is synced are they done
    /// for good.
    unsynced: Vec<((u64, Move), Dir)>,
    /// Why moves could not be done, by place.
    held_moves: BTreeMap<Owner, Hold>,
    /// The file systems that everybody needs, each with a folder on it.
    own: Arc<BTreeMap<u64, Dir>>,
    /// Tells the last group on the disk.
    reached: StoreWitness,
    /// The same in each place.
    work_witness: WorkWitness,
}

impl Committer {
    /// With the moves that the journal orders and that are still to do, and the file systems that everybody needs.
    pub fn new(
        fs: Fs,
        journal: Journal,
        store: Arc<dyn Store>,
        open: OpenMoves,
        own: Arc<BTreeMap<u64, Dir>>,
        reached: StoreWitness,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            counters: journal.counters(),
            worker: CommitThread::start()?,
            state: CommitterState::Here(Box::new(CommitContext {
                work_witness: WorkWitness::new(journal.identity()),
                fs,
                journal,
                store: Follower::start(store)?,
                folders: OpenFolders::default(),
                moves: open.moves,
                times: open.times,
                finished: open.finished,
                changed: 0,
                unsynced: Vec::new(),
                held_moves: BTreeMap::new(),
                own,
                reached,
            })),
        })
    }

    /// Puts a group on the disk; none may be on its way.
    pub fn commit(&mut self, sealed: CompleteGroup, roots: &Arc<Roots>) -> Result<(), EngineError> {
        let committed = match &mut self.state {
            CommitterState::Here(work) => work.commit(sealed, roots),
            CommitterState::OnItsWay { .. } | CommitterState::Lost => Err(EngineError::Lost),
        };
        self.ended(committed)
    }

    /// Puts a group on its way to the disk; none may be on its way already.
    pub fn begin(&mut self, sealed: CompleteGroup, roots: &Arc<Roots>) {
        let state = std::mem::replace(&mut self.state, CommitterState::Lost);
        if let CommitterState::Here(work) = state {
            let decided = Arc::clone(&sealed.changes);
            let given = self.worker.groups.send(CommitRequest {
                work,
                sealed,
                roots: Arc::clone(roots),
            });
            if given.is_ok() {
                self.state = CommitterState::OnItsWay { decided };
            }
        }
    }

    /// Waits for the group that is on its way.
    pub fn finish(&mut self) -> Result<(), EngineError> {
        match std::mem::replace(&mut self.state, CommitterState::Lost) {
            CommitterState::OnItsWay { .. } => {
                let Ok(answer) = self.worker.answers.recv() else {
                    return Err(EngineError::Lost);
                };
                self.state = CommitterState::Here(answer.work);
                self.ended(answer.committed)
            }
            CommitterState::Here(work) => {
                self.state = CommitterState::Here(work);
                Ok(())
            }
            CommitterState::Lost => Err(EngineError::Lost),
        }
    }

    /// What the group on its way decided: the store may not have it yet.
    pub fn decided(&self) -> Option<SharedChanges> {
        match &self.state {
            CommitterState::OnItsWay { decided } => Some(Arc::clone(decided)),
            CommitterState::Here(_) | CommitterState::Lost => None,
        }
    }

    /// The numbers as of the last group that is known to count.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether moves were done that the journal does not know to be done.
    pub fn has_news(&self) -> bool {
        self.work().is_some_and(|work| {
            work.committed() > work.finished || work.moved_since().next().is_some()
        })
    }

    /// Tells whether other moves are open than before, while nothing is on its way.
    pub fn open_moves(&self) -> Option<u64> {
        self.work().map(|work| work.changed)
    }

    /// When the groups whose moves are still to do were committed.
    pub fn times(&self) -> &BTreeMap<u64, DateTime<Utc>> {
        static NONE: BTreeMap<u64, DateTime<Utc>> = BTreeMap::new();
        self.work().map_or(&NONE, |work| &work.times)
    }

    /// The moves that the journal orders and that are still to do.
    pub fn moves(&self) -> &[(u64, Move)] {
        self.work().map_or(&[], |work| work.moves.as_slice())
    }

    /// Why moves could not be done, by place.
    pub fn held_moves(&self) -> impl Iterator<Item = (&Owner, &Hold)> {
        self.work().into_iter().flat_map(|work| &work.held_moves)
    }

    /// The journal, while nothing is on its way.
    pub fn journal(&self) -> Option<&Journal> {
        self.work().map(|work| &work.journal)
    }

    /// Closes the segment of the journal, while nothing is on its way.
    pub fn turn_journal(&mut self) -> Result<(), EngineError> {
        match &mut self.state {
            CommitterState::Here(work) => Ok(work.journal.turn()?),
            CommitterState::OnItsWay { .. } | CommitterState::Lost => Err(EngineError::Lost),
        }
    }

    /// Does the moves that could not be done before.
    pub fn retry_moves(&mut self, roots: &Roots) {
        if let CommitterState::Here(work) = &mut self.state {
            work.folders.forget();
            work.retry_moves(roots);
        }
    }

    /// Has each place tell how far the journal has come, as for a clean stop.
    pub fn record_progress(&mut self, roots: &Roots) {
        if let CommitterState::Here(work) = &mut self.state {
            for place in roots.keys().filter(|place| **place != Owner::Documents) {
                work.record_progress(place, roots);
            }
        }
    }

    fn work(&self) -> Option<&CommitContext> {
        match &self.state {
            CommitterState::Here(work) => Some(work),
            CommitterState::OnItsWay { .. } | CommitterState::Lost => None,
        }
    }

    /// A group has ended so. After an error that does not pass, nobody goes on, or says that the store has everything.
    fn ended(&mut self, committed: Result<(), EngineError>) -> Result<(), EngineError> {
        if let CommitterState::Here(work) = &self.state {
            self.counters = work.journal.counters();
        }
        if committed.as_ref().is_err_and(|error| !error.is_passing()) {
            self.state = CommitterState::Lost;
        }
        committed
    }
}

impl CommitContext {
    /// Puts a group on the disk; the store follows while its files move into place. What tells others of it comes last:
    /// who sees a receipt or a batch and then asks the store finds what it says.
    fn commit(&mut self, sealed: CompleteGroup, roots: &Roots) -> Result<(), EngineError> {
        let changes = Arc::clone(&sealed.changes);
        // What could not be done before is tried again with the next sweep, and not with each group.
        let recorded = self.record(sealed)?;
        let (told, moves) = recorded.partition(|(_, ordered)| {
            let outbox = [destinations::ACKS, destinations::REPORTS];
            outbox.iter().any(|folder| ordered.to.starts_with(folder))
        });
        self.store.follow(changes)?;
        self.do_moves(moves, roots);
        self.store.catch_up()?;
        self.do_moves(told, roots);
        self.folders.forget();
        Ok(())
    }

    /// Makes the group count: the barrier, then the journal. Gives the moves that it orders.
    fn record(
        &mut self,
        mut sealed: CompleteGroup,
    ) -> Result<impl Iterator<Item = (u64, Move)> + use<>, EngineError> {
        let moved = self.committed();
        if moved > self.finished {
            let since = self.moves.iter();
            let since = since.filter(|(group, _)| *group > self.finished);
            sealed.entries.push(Entry::Finished {
                group: moved,
                left: since.cloned().collect(),
            });
        }
        let moves: Vec<(u64, Move)> = self.moved_since().cloned().collect();
        if !moves.is_empty() {
            sealed.entries.push(Entry::Moved { moves });
        }
        let moved_in = self.unsynced.iter().map(|(_, dir)| dir);
        let mut file_systems: BTreeMap<u64, Dir> = BTreeMap::new();
        for dir in sealed.file_systems.iter().chain(moved_in) {
            let device = self.fs.device(dir)?;
            file_systems.entry(device).or_insert_with(|| dir.clone());
        }
        for (device, dir) in file_systems {
            match self.own.get(&device) {
                // What a failed sync leaves behind is not known: only a new start finds the truth.
                Some(own) => self.fs.sync_file_system(own).map_err(EngineError::Sync)?,
                None => {
                    if let Err(error) = self.fs.sync_file_system(&dir) {
                        self.undo_moves_on(device);
                        return Err(EngineError::PlaceSync(error));
                    }
                }
            }
        }
        self.journal
            .append(&sealed.entries, sealed.order, sealed.message)?;
        let number = self.journal.counters().group;
        self.reached.advance(&self.fs, self.journal.counters());
        // A group that orders no moves has none to be told of.
        self.finished = match sealed.moves.is_empty() {
            true => number,
            false => moved,
        };
        self.unsynced.clear();
        if !sealed.given_up.is_empty() {
            let given_up: HashSet<(u64, Move)> = sealed.given_up.into_iter().collect();
            self.moves.retain(|open| !given_up.contains(open));
            self.forget();
        }
        let ordered = sealed.moves.into_iter();
        Ok(ordered.map(move |ordered| (number, ordered)))
    }

    /// What was moved on a file system that could not be synced is to be moved again, as after a new start.
    fn undo_moves_on(&mut self, device: u64) {
        let done = std::mem::take(&mut self.unsynced);
        for ((group, ordered), dir) in done {
            // It was asked for its number before: this answers from memory.
            match self.fs.device(&dir).is_ok_and(|of_dir| of_dir == device) {
                true => {
                    self.moves.push((group, ordered));
                    self.changed += 1;
                }
                false => self.unsynced.push(((group, ordered), dir)),
            }
        }
    }

    /// Moves that the journal knows to be left, and that were done since.
    fn moved_since(&self) -> impl Iterator<Item = &(u64, Move)> {
        let done = self.unsynced.iter().map(|(done, _)| done);
        done.filter(|(group, _)| *group <= self.finished)
    }

    fn record_progress(&mut self, owner: &Owner, roots: &Roots) {
        if let Some(root) = roots.get(owner) {
            let counters = self.journal.counters();
            self.work_witness.advance(&self.fs, owner, root, counters);
        }
    }

    /// Does moves that the journal orders. What cannot be done now is tried again with every sweep.
    fn do_moves(&mut self, moves: Vec<(u64, Move)>, roots: &Roots) {
        let leave = moves.iter().map(|(_, ordered)| ordered);
        let leave = leave.filter(|ordered| ordered.to.starts_with(destinations::REPORTS));
        let places: BTreeSet<&Owner> = leave.map(|ordered| &ordered.place).collect();
        for place in places {
            self.record_progress(place, roots);
        }
        let latest = self.journal.counters();
        let mut failures: BTreeMap<(Owner, String), usize> = BTreeMap::new();
        let mut causes: BTreeMap<Owner, String> = BTreeMap::new();
        let (mut untried, mut failed) = (Vec::new(), Vec::new());
        for (group, ordered) in moves {
            let folder = ordered.to.rsplit_once('/').map_or("", |(folder, _)| folder);
            // Each attempt may take its time: what else goes into this folder waits for the next sweep.
            let is_hopeless = !failures.is_empty()
                && failures
                    .get(&(ordered.place.clone(), folder.to_owned()))
                    .is_some_and(|count| *count >= ATTEMPTS);
            let tried = match is_hopeless {
                true => None,
                false => Some(self.do_move(&ordered, roots)),
            };
            match tried {
                Some(Ok(root)) => {
                    self.unsynced.push(((group, ordered), root));
                    continue;
                }
                Some(Err(cause)) => {
                    let folder = (ordered.place.clone(), folder.to_owned());
                    *failures.entry(folder).or_default() += 1;
                    causes.entry(ordered.place.clone()).or_insert(cause);
                    failed.push((group, ordered));
                }
                None => untried.push((group, ordered)),
            }
            if let (true, Some(time)) = (group == latest.group, latest.time) {
                self.times.insert(group, time);
            }
            self.changed += 1;
        }
        // Those that were not tried are the first the next time.
        self.moves.append(&mut untried);
        self.moves.append(&mut failed);
        for (place, cause) in causes {
            self.hold(&place, cause);
        }
    }

    /// Notes and tells why moves of a place cannot be done.
    fn hold(&mut self, owner: &Owner, cause: String) {
        let waiting = self.moves.iter().filter(|(_, it)| it.place == *owner);
        let count = waiting.count();
        repeats::failing(
            owner_name(owner),
            RepeatedTask::Moving,
            format_args!("{count} files cannot be moved into place, it is tried again: {cause}"),
        );
        let hold = Hold::new(HoldScope::Moves, cause).continuing(self.held_moves.get(owner));
        self.held_moves.insert(owner.clone(), hold);
    }

    /// Does the moves that could not be done before.
    fn retry_moves(&mut self, roots: &Roots) {
        if self.moves.is_empty() {
            return;
        }
        let (there, gone) = std::mem::take(&mut self.moves)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, ordered)| roots.contains_key(&ordered.place));
        let waiting = there.len();
        self.moves = gone;
        let places: BTreeSet<Owner> = self.moves.iter().map(|(_, it)| it.place.clone()).collect();
        for place in places {
            self.hold(&place, UNREACHABLE.to_owned());
        }
        let unreachable = self.moves.len();
        self.do_moves(there, roots);
        if self.moves.len() - unreachable < waiting {
            self.forget();
        }
    }

    /// Forgets what was known of moves that are not open any more.
    fn forget(&mut self) {
        self.changed += 1;
        let groups: HashSet<u64> = self.moves.iter().map(|(group, _)| *group).collect();
        self.times.retain(|group, _| groups.contains(group));
        let places: HashSet<&Owner> = self.moves.iter().map(|(_, it)| &it.place).collect();
        self.held_moves.retain(|place, _| {
            let is_held = places.contains(place);
            if !is_held {
                repeats::over(owner_name(place), RepeatedTask::Moving);
            }
            is_held
        });
    }

    /// Gives the folder in which it was done, else why it could not be, without received names.
    fn do_move(&mut self, ordered: &Move, roots: &Roots) -> Result<Dir, String> {
        let Some(root) = roots.get(&ordered.place).cloned() else {
            return Err(UNREACHABLE.to_owned());
        };
        let (from, to) = (
            claim::from_text(&ordered.from),
            claim::from_text(&ordered.to),
        );
        let moved = match ordered.place {
            Owner::Documents => self.folders.move_content(&self.fs, &root, &from, &to),
            _ => self.folders.move_file(&self.fs, &root, &from, &to),
        };
        match moved {
            Ok(()) => Ok(root),
            Err(error) => {
                let folder = match ordered.place {
                    Owner::Documents => Some(ordered.to.clone()),
                    _ => known_folder(error.path.strip_prefix(root.path()).ok()),
                };
                let cause = EngineError::from(error).without_path();
                Err(match folder {
                    Some(folder) => format!("{folder}: {cause}"),
                    None => cause,
                })
            }
        }
    }

    /// The last group that counts.
    fn committed(&self) -> u64 {
        self.journal.counters().group
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::store::Changes;

    /// A database that cannot be written to.
    struct FailingStore;

    impl Store for FailingStore {
        fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        fn scan(&self, _: &str, _: &mut dyn FnMut(&str, &[u8]) -> bool) -> Result<(), StoreError> {
            Ok(())
        }

        fn apply(
            &self,
            _: &mut dyn Iterator<Item = (&str, Option<&RawValue>)>,
        ) -> Result<(), StoreError> {
            Err(StoreError {
                action: "written",
                message: "it fails".to_owned(),
            })
        }

        fn flush(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn after_a_store_has_failed_nobody_says_that_it_has_everything() {
        let folder = tempfile::tempdir().unwrap();
        let committer = || {
            let fs = Fs::new();
            let dir = fs.open_root(folder.path()).unwrap();
            let journal = Journal::open(&fs, &dir, false, &mut |_| Ok(())).unwrap();
            let reached = StoreWitness::begin(&fs, &dir, journal.counters()).unwrap();
            Committer::new(
                fs,
                journal,
                Arc::new(FailingStore),
                OpenMoves::default(),
                Arc::default(),
                reached,
            )
            .unwrap()
        };
        let sealed = || CompleteGroup {
            entries: Vec::new(),
            moves: Vec::new(),
            given_up: Vec::new(),
            changes: Arc::new(Changes::new()),
            file_systems: Vec::new(),
            order: 1,
            message: 1,
        };
        let roots = Arc::new(Roots::new());
        for beside in [false, true] {
            let mut committer = committer();
            let committed = match beside {
                true => {
                    committer.begin(sealed(), &roots);
                    committer.finish()
                }
                false => committer.commit(sealed(), &roots),
            };
            assert!(matches!(committed, Err(EngineError::Store(_))));
            // Without a journal, the engine does not close cleanly; and nothing can be committed after it.
            assert!(committer.journal().is_none() && !committer.has_news());
            let next = committer.commit(sealed(), &roots);
            assert!(matches!(next, Err(EngineError::Lost)), "{next:?}");
        }
    }
}
