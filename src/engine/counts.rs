//! How many messages ended how: counted by facility, and together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::owner_name;
use crate::model::outcome::{Outcome, Reason};
use crate::model::owner::Owner;

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

    pub(super) fn count(&mut self, owner: &Owner, outcome: &Outcome) {
        let name = owner_name(owner).to_owned();
        if let Some(refusal) = outcome.refusal() {
            *self
                .refused
                .entry((name.clone(), refusal.reason))
                .or_default() += 1;
        }
        self.totals.entry(name).or_default().count(outcome);
    }

    pub(super) fn add(&mut self, other: Counts) {
        for (name, totals) in other.totals {
            self.totals.entry(name).or_default().add(&totals);
        }
        for (key, count) in other.refused {
            *self.refused.entry(key).or_default() += count;
        }
    }
}
