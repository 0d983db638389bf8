//! Which sessions' folders are to be renewed: the engine says what changed, whoever renews takes it.
//!
//! The two may be different threads. The engine says what changed only once the store has it, so that a folder is
//! never made from what was before and then thought to be as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::journal::JournalPosition;
use crate::model::identifiers::{ContentHash, SessionId};
use crate::spool::ages::Ages;
use crate::spool::fs::{Dir, Fs, FsError};

/// With more touched records than this, all sessions are looked at: that is cheaper than to remember each.
const MANY: usize = 10_000;
/// What a clean stop left to be renewed, in `store/`.
const LEFT: &str = "SESSIONS";

/// Which sessions' folders are to be renewed, and with which configuration.
#[derive(Debug)]
pub struct Worklists {
    state: Mutex<DueState>,
    changed: Condvar,
    /// Whether files wait to be taken in: folders are then renewed more slowly.
    busy: AtomicBool,
}

#[derive(Debug)]
struct DueState {
    config: Arc<Config>,
    ages: Arc<Ages>,
    waiting: DueSessions,
    /// Sessions that could not be renewed, and when they are tried again.
    put_off: BTreeMap<SessionId, Instant>,
}

/// What waits to be looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct DueSessions {
    /// Keys of records that changed.
    touched: BTreeSet<String>,
    /// Which others are to be looked at.
    scope: DueScope,
    /// Sessions that are known to be due.
    due: BTreeSet<SessionId>,
}

/// Which sessions are to be looked at besides those that were touched.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DueScope {
    /// None.
    #[default]
    Touched,
    /// Those that are no thing of the past, and those that have a folder.
    Present,
    /// All: more were touched than were remembered.
    All,
}

/// What a clean stop leaves.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StopRecord {
    /// Where the journal ended then.
    journal: JournalPosition,
    /// What the folders were made with, see [`made_with`].
    made_with: ContentHash,
    /// When the list of the folders last changed, in seconds: whoever removed one wants it made again.
    folders: Option<i64>,
    waiting: DueSessions,
}

impl Worklists {
    /// With everything present still to be looked at.
    pub fn new(config: Arc<Config>, ages: Ages) -> Self {
        Self {
            state: Mutex::new(DueState {
                config,
                ages: Arc::new(ages),
                waiting: DueSessions {
                    scope: DueScope::Present,
                    ..DueSessions::default()
                },
                put_off: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            busy: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, DueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folders are renewed with this configuration from now on.
    pub fn configure(&self, config: Arc<Config>) {
        let mut state = self.state();
        if made_with(&config) != made_with(&state.config) {
            state.waiting.scope = state.waiting.scope.max(DueScope::Present);
            self.changed.notify_all();
        }
        state.config = config;
    }

    /// Things are so old from now on.
    pub fn set_ages(&self, ages: Ages) {
        self.state().ages = Arc::new(ages);
    }

    pub(super) fn ages(&self) -> Arc<Ages> {
        Arc::clone(&self.state().ages)
    }

    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state().config)
    }

    /// Remembers what changed in the store. This is on the way of every message, so nothing is looked up yet.
    pub fn touch<'k>(&self, keys: impl Iterator<Item = &'k String>) {
        const SHOWN: [&str; 7] = [
            "case/",
            "case-document/",
            "document/",
            "patient/",
            "questionnaire/",
            "session/",
            "session-case/",
        ];
        let mut state = self.state();
        let waiting = &mut state.waiting;
        if waiting.scope < DueScope::All {
            let shown = keys.filter(|key| SHOWN.iter().any(|kind| key.starts_with(kind)));
            waiting.touched.extend(shown.cloned());
            if waiting.touched.len() > MANY {
                waiting.scope = DueScope::All;
                waiting.touched.clear();
            }
        }
        if !waiting.is_empty() {
            self.changed.notify_all();
        }
    }

    /// Every folder is to be looked at, and every session that should have one. One that is as it should be is left
    /// as it is.
    pub fn touch_all(&self) {
        let mut state = self.state();
        state.waiting.scope = state.waiting.scope.max(DueScope::Present);
        self.changed.notify_all();
    }

    /// Whether there is anything to look at now.
    pub fn are_due(&self) -> bool {
        let mut state = self.state();
        state.take_up_put_off();
        !state.waiting.is_empty()
    }

    /// How many sessions are known to be due, now or later.
    pub fn known_due(&self) -> usize {
        let state = self.state();
        state.waiting.due.len() + state.put_off.len()
    }

    /// Waits until there is something to look at, or for so long, or until woken; whether there is something.
    pub fn wait(&self, longest: Duration) -> bool {
        let mut state = self.state();
        state.take_up_put_off();
        if state.waiting.is_empty() {
            let now = Instant::now();
            let first = state.put_off.values().min();
            let longest = first.map_or(longest, |first| {
                longest.min(first.saturating_duration_since(now))
            });
            let waited = self.changed.wait_timeout(state, longest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.take_up_put_off();
        }
        !state.waiting.is_empty()
    }

    /// Waits so long, or until woken, whatever is due.
    pub fn sleep(&self, how_long: Duration) {
        let state = self.state();
        drop(self.changed.wait_timeout(state, how_long));
    }

    /// Wakes who waits.
    pub fn wake(&self) {
        let _state = self.state();
        self.changed.notify_all();
    }

    /// Says whether files wait to be taken in.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Whether files wait to be taken in.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Takes what is to be looked up.
    pub(super) fn take(&self) -> (DueScope, BTreeSet<String>) {
        let waiting = &mut self.state().waiting;
        (
            std::mem::take(&mut waiting.scope),
            std::mem::take(&mut waiting.touched),
        )
    }

    /// Gives back what could not be looked up.
    pub(super) fn give_back(&self, scope: DueScope, touched: BTreeSet<String>) {
        let waiting = &mut self.state().waiting;
        waiting.scope = waiting.scope.max(scope);
        waiting.touched.extend(touched);
    }

    /// These sessions are due.
    pub(super) fn add(&self, sessions: impl Iterator<Item = SessionId>) {
        self.state().waiting.due.extend(sessions);
    }

    /// The next session that is due: this one, if it is.
    pub(crate) fn next(&self, preferred: Option<&SessionId>) -> Option<SessionId> {
        let due = &self.state().waiting.due;
        let preferred = preferred.filter(|session| due.contains(session));
        preferred.or_else(|| due.first()).cloned()
    }

    /// This session's folder is as it should be.
    pub(crate) fn done(&self, session: &SessionId) {
        self.state().waiting.due.remove(session);
    }

    /// This session waits so long, and the others go on.
    pub fn put_off(&self, session: &SessionId, how_long: Duration) {
        let mut state = self.state();
        state.waiting.due.remove(session);
        let again = Instant::now() + how_long;
        state.put_off.insert(session.clone(), again);
    }

    /// Goes on with what the last process left, if it ended cleanly at this place of the journal; else everything
    /// present is looked at.
    pub(crate) fn take_left(
        &self,
        fs: &Fs,
        store: &Dir,
        desk: &Dir,
        clean: Option<&JournalPosition>,
    ) -> Result<(), FsError> {
        let bytes = match fs.read(store, OsStr::new(LEFT)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        };
        fs.remove(store, OsStr::new(LEFT))?;
        let left: Option<StopRecord> = serde_json::from_slice(&bytes).ok();
        let folders = folders_changed(fs, desk)?;
        let mut state = self.state();
        let made_with = made_with(&state.config);
        let left = left.filter(|left| {
            Some(&left.journal) == clean && left.made_with == made_with && left.folders == folders
        });
        if let Some(left) = left {
            state.waiting = left.waiting;
        }
        Ok(())
    }

    /// Writes down what is still to be renewed, for the next process. It counts only where the database is trusted.
    pub(crate) fn leave(
        &self,
        fs: &Fs,
        store: &Dir,
        desk: &Dir,
        journal: JournalPosition,
    ) -> Result<(), FsError> {
        let folders = folders_changed(fs, desk)?;
        let state = self.state();
        let mut waiting = state.waiting.clone();
        waiting.due.extend(state.put_off.keys().cloned());
        let left = StopRecord {
            journal,
            made_with: made_with(&state.config),
            folders,
            waiting,
        };
        drop(state);
        let text = serde_json::json!(left).to_string();
        fs.replace(store, OsStr::new(LEFT), text.as_bytes())
    }
}

impl DueState {
    fn take_up_put_off(&mut self) {
        if self.put_off.is_empty() {
            return;
        }
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.put_off);
        for (session, again) in waiting {
            if again <= now {
                self.waiting.due.insert(session);
            } else {
                self.put_off.insert(session, again);
            }
        }
    }
}

impl DueSessions {
    fn is_empty(&self) -> bool {
        self.scope == DueScope::Touched && self.touched.is_empty() && self.due.is_empty()
    }
}

/// What all folders are made with besides the store: another program or another configuration makes them otherwise.
fn made_with(config: &Config) -> ContentHash {
    let facilities = config.facilities.iter();
    let names: Vec<_> = facilities.map(|it| (it.id.as_str(), &it.name)).collect();
    let made_with = serde_json::json!([
        env!("CARGO_PKG_VERSION"),
        names,
        config.retention.done.as_secs()
    ]);
    ContentHash::of(made_with.to_string().as_bytes())
}

/// When a folder of a session last came, went or got another name.
fn folders_changed(fs: &Fs, desk: &Dir) -> Result<Option<i64>, FsError> {
    let times = fs.times(desk, OsStr::new("sessions"))?;
    Ok(times.modified.map(|modified| modified.timestamp()))
}
