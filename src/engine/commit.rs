//! From a sealed group to files in their places: the order on which everything else rests.
//!
//! *Before the journal, only writes; after it, only renames* (DESIGN, "One barrier"). Outputs lie under names nobody
//! sees; one barrier makes them durable, the journal says what is so, and only then do files move and the store follows.
//!
//! This is the only place of the engine with threads: a group may go its way to the disk while the next is decided, and
//! the store is written to while its files move. There is never more than one group on its way, and nothing of it is
//! shared but what can no longer change.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{EngineError, place_name};
use crate::journal::{Counters, Entry, Journal, Move, Place};
use crate::spool::claim;
use crate::spool::finish::Folders;
use crate::spool::fs::{Dir, Fs};
use crate::store::{Decided, Store, StoreError};

/// The folders that moves are relative to.
pub(super) type Roots = BTreeMap<Place, Dir>;

/// A group that nothing is added to any more.
pub(super) struct Sealed {
    /// What the journal is to record.
    pub entries: Vec<Entry>,
    /// The moves to do once it counts.
    pub moves: Vec<Move>,
    /// What the store is to hold.
    pub changes: Decided,
    /// A folder on each file system that was written to.
    pub file_systems: Vec<Dir>,
    /// The last number given in the order of received files.
    pub order: u64,
    /// The last number given to a message.
    pub message: u64,
}

/// Puts groups on the disk, one after the other.
pub(super) struct Committer {
    state: State,
    /// Once it is needed.
    worker: Option<Worker>,
    /// As of the last group that was committed when nothing was on its way.
    counters: Counters,
}

enum State {
    Here(Box<Work>),
    OnItsWay {
        decided: Decided,
    },
    /// The thread ended without an answer: only a new start finds the truth.
    Lost,
}

/// The thread that puts groups on the disk; it ends with the committer.
struct Worker {
    groups: Sender<Given>,
    answers: Receiver<Answer>,
}

/// A group to be put on the disk.
struct Given {
    work: Box<Work>,
    sealed: Sealed,
    roots: Arc<Roots>,
}

struct Answer {
    work: Box<Work>,
    committed: Result<(), EngineError>,
}

impl Worker {
    fn start() -> Self {
        let (groups, given) = channel::<Given>();
        let (answer, answers) = channel();
        std::thread::spawn(move || {
            for mut given in given {
                let committed = given.work.commit(given.sealed, &given.roots);
                let sent = answer.send(Answer {
                    work: given.work,
                    committed,
                });
                if sent.is_err() {
                    break;
                }
            }
        });
        Self { groups, answers }
    }
}

/// Has the store follow the journal, in a thread that ends with it.
struct Follower {
    changes: Option<Sender<Decided>>,
    applied: Receiver<Result<(), StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(store: Arc<dyn Store>) -> Self {
        let (changes, given) = channel::<Decided>();
        let (answer, applied) = channel();
        let thread = std::thread::spawn(move || {
            for changes in given {
                let changes = changes.iter();
                let applied =
                    store.apply(&mut changes.map(|(key, value)| (key.as_str(), value.as_deref())));
                if answer.send(applied).is_err() {
                    break;
                }
            }
        });
        Self {
            changes: Some(changes),
            applied,
            thread: Some(thread),
        }
    }

    /// Gives the store these changes.
    fn follow(&self, changes: Decided) -> Result<(), EngineError> {
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
struct Work {
    fs: Fs,
    journal: Journal,
    store: Follower,
    folders: Folders,
    /// Moves that the journal orders and that are still to do, with their group.
    moves: Vec<(u64, Move)>,
    /// The last group whose moves the journal knows to be done.
    finished: u64,
    /// Folders on file systems where moves were done since.
    moved_in: Vec<Dir>,
}

impl Committer {
    /// With the moves that the journal orders and that are still to do, and the last group whose moves it knows to be
    /// done.
    pub fn new(
        fs: Fs,
        journal: Journal,
        store: Arc<dyn Store>,
        moves: Vec<(u64, Move)>,
        finished: u64,
    ) -> Self {
        Self {
            counters: journal.counters(),
            worker: None,
            state: State::Here(Box::new(Work {
                fs,
                journal,
                store: Follower::start(store),
                folders: Folders::default(),
                moves,
                finished,
                moved_in: Vec::new(),
            })),
        }
    }

    /// Puts a group on the disk; none may be on its way.
    pub fn commit(&mut self, sealed: Sealed, roots: &Arc<Roots>) -> Result<(), EngineError> {
        let committed = match &mut self.state {
            State::Here(work) => work.commit(sealed, roots),
            State::OnItsWay { .. } | State::Lost => Err(EngineError::Lost),
        };
        self.remember();
        committed
    }

    /// Puts a group on its way to the disk; none may be on its way already.
    pub fn begin(&mut self, sealed: Sealed, roots: &Arc<Roots>) {
        let state = std::mem::replace(&mut self.state, State::Lost);
        if let State::Here(work) = state {
            let decided = Arc::clone(&sealed.changes);
            let worker = self.worker.get_or_insert_with(Worker::start);
            let given = worker.groups.send(Given {
                work,
                sealed,
                roots: Arc::clone(roots),
            });
            if given.is_ok() {
                self.state = State::OnItsWay { decided };
            }
        }
    }

    /// Waits for the group that is on its way.
    pub fn finish(&mut self) -> Result<(), EngineError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::OnItsWay { .. } => {
                let answer = self.worker.as_ref().map(|worker| worker.answers.recv());
                let Some(Ok(answer)) = answer else {
                    return Err(EngineError::Lost);
                };
                self.state = State::Here(answer.work);
                self.remember();
                answer.committed
            }
            State::Here(work) => {
                self.state = State::Here(work);
                Ok(())
            }
            State::Lost => Err(EngineError::Lost),
        }
    }

    /// What the group on its way decided: the store may not have it yet.
    pub fn decided(&self) -> Option<Decided> {
        match &self.state {
            State::OnItsWay { decided } => Some(Arc::clone(decided)),
            State::Here(_) | State::Lost => None,
        }
    }

    /// The numbers as of the last group that is known to count.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether moves were done that the journal does not know to be done.
    pub fn has_news(&self) -> bool {
        self.work().is_some_and(|work| work.moved() > work.finished)
    }

    /// The moves that the journal orders and that are still to do.
    pub fn moves(&self) -> &[(u64, Move)] {
        self.work().map_or(&[], |work| work.moves.as_slice())
    }

    /// The journal, while nothing is on its way.
    pub fn journal(&self) -> Option<&Journal> {
        self.work().map(|work| &work.journal)
    }

    /// Closes the segment of the journal, while nothing is on its way.
    pub fn turn_journal(&mut self) -> Result<(), EngineError> {
        match &mut self.state {
            State::Here(work) => Ok(work.journal.turn()?),
            State::OnItsWay { .. } | State::Lost => Err(EngineError::Lost),
        }
    }

    /// Does the moves that could not be done before.
    pub fn retry_moves(&mut self, roots: &Roots) {
        if let State::Here(work) = &mut self.state {
            work.folders.forget();
            work.do_moves(roots);
        }
    }

    fn work(&self) -> Option<&Work> {
        match &self.state {
            State::Here(work) => Some(work),
            State::OnItsWay { .. } | State::Lost => None,
        }
    }

    fn remember(&mut self) {
        if let State::Here(work) = &self.state {
            self.counters = work.journal.counters();
        }
    }
}

impl Work {
    /// Puts a group on the disk; the store follows while its files move into place.
    fn commit(&mut self, sealed: Sealed, roots: &Roots) -> Result<(), EngineError> {
        let changes = Arc::clone(&sealed.changes);
        let moves = self.record(sealed)?;
        self.moves.extend(moves);
        self.store.follow(changes)?;
        self.do_moves(roots);
        self.folders.forget();
        self.store.catch_up()
    }

    /// Makes the group count: the barrier, then the journal. Gives the moves that it orders.
    fn record(
        &mut self,
        mut sealed: Sealed,
    ) -> Result<impl Iterator<Item = (u64, Move)> + use<>, EngineError> {
        let moved = self.moved();
        if moved > self.finished {
            sealed.entries.push(Entry::Finished { group: moved });
        }
        let mut seen = BTreeSet::new();
        for dir in sealed.file_systems.iter().chain(&self.moved_in) {
            if seen.insert(self.fs.device(dir)?) {
                // What a failed sync leaves behind is not known: only a new start finds the truth.
                self.fs.sync_file_system(dir).map_err(EngineError::Sync)?;
            }
        }
        self.journal
            .append(&sealed.entries, sealed.order, sealed.message)?;
        let number = self.journal.counters().group;
        if moved > self.finished {
            self.finished = moved;
            self.moved_in.clear();
        }
        let ordered = sealed.moves.into_iter();
        Ok(ordered.map(move |ordered| (number, ordered)))
    }

    /// Does the moves that the journal orders. What cannot be done now is tried again with every sweep.
    fn do_moves(&mut self, roots: &Roots) {
        let mut failed = Vec::new();
        let mut first = None;
        for (group, ordered) in std::mem::take(&mut self.moves) {
            if let Err(error) = self.do_move(&ordered, roots) {
                first.get_or_insert_with(|| format!("{}: {error}", place_name(&ordered.place)));
                failed.push((group, ordered));
            }
        }
        if let Some(first) = first {
            let count = failed.len();
            log::error!(
                "{count} files cannot be moved into place, it is tried again. The first is of {first}"
            );
        }
        self.moves = failed;
    }

    fn do_move(&mut self, ordered: &Move, roots: &Roots) -> Result<(), std::io::Error> {
        let Some(root) = roots.get(&ordered.place).cloned() else {
            return Err(std::io::Error::other("its folder cannot be reached"));
        };
        let (from, to) = (
            claim::from_text(&ordered.from),
            claim::from_text(&ordered.to),
        );
        let moved = match ordered.place {
            Place::Documents => self.folders.move_content(&self.fs, &root, &from, &to),
            _ => self.folders.move_file(&self.fs, &root, &from, &to),
        };
        moved.map_err(|error| error.source)?;
        if !self
            .moved_in
            .iter()
            .any(|dir| dir.number() == root.number())
        {
            self.moved_in.push(root);
        }
        Ok(())
    }

    /// The last group up to which all moves are done.
    fn moved(&self) -> u64 {
        let committed = self.journal.counters().group;
        self.moves
            .iter()
            .map(|(group, _)| group.saturating_sub(1))
            .min()
            .unwrap_or(committed)
            .min(committed)
    }
}
