//! Moves that the journal orders and that could not be done yet: how many there are, and the names that they keep.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::group::Group;
use super::{Engine, owner_name};
use crate::journal::{Entry, Move};
use crate::model::outcome::{Reason, Refusal};
use crate::model::owner::Owner;
use crate::spool::claim;

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

impl Engine {
    /// How many moves the journal orders that could not be done yet.
    pub fn moves_waiting(&self) -> usize {
        self.committer.moves().len()
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

    /// Does the moves that could not be done before.
    pub(super) fn retry_moves(&mut self) {
        self.committer.retry_moves(&self.roots);
        self.renew_awaited_names();
    }

    /// The same as [`Engine::keep_awaited_names`], where other moves are open than before: not for each group.
    pub(super) fn renew_awaited_names(&mut self) {
        if self.awaited.is_none() || self.committer.open_moves() != self.awaited {
            self.keep_awaited_names();
        }
    }

    /// A file that cannot be moved into place yet has a name in the journal, which no later file may get.
    pub(super) fn keep_awaited_names(&mut self) {
        self.awaited = self.committer.open_moves();
        let (moves, roots) = (self.committer.moves(), &self.roots);
        self.names.await_at(moves.iter().filter_map(|(_, ordered)| {
            let root = roots.get(&ordered.place)?;
            Some((root.number(), claim::from_text(&ordered.to)))
        }));
    }

    /// Has nobody do the moves of a facility any more that could not be done. Its files stay where they are, and what
    /// lies in its work folder is taken in anew if that is ever seen again.
    pub(super) fn give_moves_up(
        &self,
        group: &mut Group<'_>,
        facility: &str,
        why: Option<String>,
    ) -> Result<(), Refusal> {
        let place = Owner::Facility(facility.to_owned());
        let open = self.committer.moves().iter();
        let moves: Vec<(u64, Move)> = open.filter(|(_, it)| it.place == place).cloned().collect();
        if moves.is_empty() {
            return Err(Refusal::new(
                Reason::BadCommand,
                format!(
                    "No file of {facility} waits to be moved into place. `rcpspool status` shows which do."
                ),
            ));
        }
        log::warn!("{} moves of {facility} are given up", moves.len());
        group.enter(Entry::GivenUp { moves, why });
        Ok(())
    }
}
