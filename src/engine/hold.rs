//! Why what is of one place waits, for whoever shows it: the one type for all that is held, and what the engine holds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, EngineError, owner_name};
use crate::config::Every;
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};

/// What is held at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldScope {
    /// All that is of the place: its folder cannot be used.
    Everything,
    /// The files that it sends: they are tried again in their order.
    Files,
    /// Single files that cannot be taken out of its inbox; the others go on.
    SomeFiles,
    /// The batches of its reports.
    Reports,
    /// Files that were taken in, and what is told of them, on their way to where they are seen.
    Moves,
}

/// Something that is held, why, since when, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is held.
    pub held: HoldScope,
    /// The cause, in words, without received names.
    pub cause: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What to do about it. It is tried again without being asked.
    pub next: String,
}

impl Hold {
    /// A hold that begins now.
    pub fn new(held: HoldScope, cause: impl Into<String>) -> Self {
        Self {
            held,
            cause: cause.into(),
            since: Utc::now(),
            next: held.next_step().to_owned(),
        }
    }

    /// The same, since when the one before it began.
    pub fn continuing(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.held == self.held) {
            self.since = before.since;
        }
        self
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl HoldScope {
    /// What waits, for the log.
    fn waits(self) -> &'static str {
        match self {
            HoldScope::Everything => "all that is of it waits, and it is tried again",
            HoldScope::Files => "its files wait, and it is tried again",
            HoldScope::SomeFiles => "the others go on, and it is tried again",
            HoldScope::Reports => "its reports wait, and it is tried again",
            HoldScope::Moves => "it is tried again",
        }
    }

    fn trying(self) -> RepeatedTask {
        match self {
            HoldScope::Everything => RepeatedTask::Reaching,
            HoldScope::Files => RepeatedTask::TakingIn,
            HoldScope::SomeFiles => RepeatedTask::Claiming,
            HoldScope::Reports => RepeatedTask::Batches,
            HoldScope::Moves => RepeatedTask::Moving,
        }
    }

    fn next_step(self) -> &'static str {
        match self {
            HoldScope::Everything => {
                "Mount the folder again, or mend its rights (as root, `rcpspool setup` does) or its disk: it is tried again with every rescan."
            }
            HoldScope::Files => {
                "Mend the rights, the space or the disk of the folder named: its files are tried again with every sweep, in their order."
            }
            HoldScope::SomeFiles => {
                "Give rcpspool the right to move files out of the inbox, or have the sender send them under other names."
            }
            HoldScope::Reports => {
                "Mend what is named; a document that is lost is restored into documents/ from a backup. The reports leave with the next batch then."
            }
            HoldScope::Moves => {
                "Mend the rights, the space or the disk of the folder named: the files are moved then, and nothing of them is lost meanwhile."
            }
        }
    }
}

/// All that is held, until it goes well or nobody meets it any more.
#[derive(Debug, Default)]
pub(super) struct Holds {
    kept: BTreeMap<(Owner, HoldScope), HoldRecord>,
}

#[derive(Debug)]
struct HoldRecord {
    hold: Hold,
    /// When it was begun, and met last.
    begun: Instant,
    met: Instant,
}

impl Holds {
    /// This is held, since when it was held first.
    pub fn hold(&mut self, owner: &Owner, held: HoldScope, cause: impl Into<String>) {
        let now = Instant::now();
        let hold = Hold::new(held, cause);
        let problem = format_args!("{hold}; {}", held.waits());
        repeats::failing(owner_name(owner), held.trying(), problem);
        let key = (owner.clone(), held);
        let before = self.kept.get(&key);
        let kept = HoldRecord {
            hold: hold.continuing(before.map(|kept| &kept.hold)),
            begun: before.map_or(now, |kept| kept.begun),
            met: now,
        };
        self.kept.insert(key, kept);
    }

    /// It went well.
    pub fn lift(&mut self, owner: &Owner, held: HoldScope) {
        self.kept.remove(&(owner.clone(), held));
        repeats::over(owner_name(owner), held.trying());
    }

    /// Forgets what was not met for as long as `age` says: what was held has gone, or was never tried again.
    pub fn forget_after(&mut self, age: impl Fn(HoldScope) -> Duration) {
        self.kept.retain(|(place, held), kept| {
            let is_met = kept.met.elapsed() <= age(*held);
            if !is_met {
                repeats::over(owner_name(place), held.trying());
            }
            is_met
        });
    }

    /// For how long this has been held.
    pub fn age(&self, owner: &Owner, held: HoldScope) -> Option<Duration> {
        let kept = self.kept.get(&(owner.clone(), held))?;
        Some(kept.begun.elapsed())
    }

    /// All of them, by place.
    pub fn iter(&self) -> impl Iterator<Item = (&Owner, &Hold)> {
        self.kept
            .iter()
            .map(|((place, _), kept)| (place, &kept.hold))
    }
}

/// So long facilities wait for a desk whose folder fails: its sessions are what their cases are scheduled into. After
/// that they go on, and what found no session is inserted by `schedule --matching`.
pub(super) const PATIENCE_WITH_THE_DESK: Duration = Duration::from_secs(60);

/// What is held and was not met for so long, or for two sweeps, is held no more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl Engine {
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

    /// Why nothing of anybody counts at present, if that is so.
    pub fn all_held(&self) -> Option<&Hold> {
        self.all_held.as_ref()
    }

    /// Whether the files of all places wait for the desk, whose folder fails.
    pub fn do_all_wait_for_the_desk(&self) -> bool {
        let age = self.holds.age(&Owner::Desk, HoldScope::Files);
        age.is_some_and(|age| age < self.patience)
    }

    /// For how long facilities wait for a desk whose folder fails.
    pub fn wait_for_the_desk(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Whether what is of this place is left for the next call. For a while, facilities wait for the desk.
    pub(super) fn must_wait(&self, owner: &Owner) -> bool {
        let waits_for_the_desk = || {
            let age = self.holds.age(&Owner::Desk, HoldScope::Files);
            self.failing.contains(&Owner::Desk) && age.is_none_or(|age| age < self.patience)
        };
        self.failing.contains(owner) || waits_for_the_desk()
    }

    /// Leaves what is of this place for the next call, so that its folder holds no other place up.
    pub(super) fn pause(&mut self, owner: &Owner, error: &EngineError) {
        let cause = self.cause(error);
        self.failing.insert(owner.clone());
        self.holds.hold(owner, HoldScope::Files, cause);
    }

    /// Holds the place that an error is of, so that the others can go on: the one in whose folder it happened, else the
    /// one whose file was in hand. Not if that is held already, or if the error is of what everybody needs.
    pub(super) fn hold_owner(&mut self, error: &EngineError, in_hand: Option<&Owner>) -> bool {
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

    /// The reports of this facility wait, and nothing else does.
    pub(super) fn hold_reports(&mut self, owner: &Owner, error: &EngineError) {
        let cause = self.cause(error);
        self.holds.hold(owner, HoldScope::Reports, cause);
    }

    /// Forgets what was held and that nobody met any more.
    pub(super) fn forget_holds(&mut self) {
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

    /// The desk or the facility in whose folder this path is.
    pub(super) fn owner_at(&self, path: &Path) -> Option<Owner> {
        self.owner_folders()
            .filter(|folders| path.starts_with(folders.root.path()))
            .max_by_key(|folders| folders.root.path().as_os_str().len())
            .map(|folders| folders.owner.clone())
    }

    /// What an error says, with the folder that it is of and without received names.
    pub(super) fn cause(&self, error: &EngineError) -> String {
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
}

/// The folder of an owner that a path below it is in, one of those whose names are ours.
pub(super) fn known_folder(below: Option<&Path>) -> Option<String> {
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
