//! Why what is of one place waits, for whoever shows it: the one type for all that is held.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::owner_name;
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
