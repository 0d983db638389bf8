//! What the journal records. Every entry is JSON with defaults, so that a newer version reads what an older wrote.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Counters, JournalPosition};
use crate::model::outcome::Outcome;
use crate::model::owner::Owner;
use crate::store::KeyChange;

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// The first of a segment.
    Header(JournalHeader),
    /// The first of a snapshot.
    Snapshot(Box<SnapshotHeader>),
    /// What became of one message, and what it changes.
    Message(Box<MessageRecord>),
    /// A received file is finished with: where it and its receipt go.
    Closing(Box<Closing>),
    /// Changes that no message asked for: markers, batches, retention.
    Changes {
        /// What for, in words.
        what: String,
        /// The changes, by key.
        changes: Vec<KeyChange>,
        /// The moves still to do.
        #[serde(default)]
        moves: Vec<Move>,
    },
    /// The moves of all groups up to this one were done and are on disk, but for those that are left.
    Finished {
        /// The number of the last such group.
        group: u64,
        /// The moves of groups since the last such entry that could not be done, each with its group.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<(u64, Move)>,
    },
    /// Moves that were left before were done and are on disk.
    Moved {
        /// Each with its group.
        moves: Vec<(u64, Move)>,
    },
    /// Moves that were left are given up: nobody does them any more.
    GivenUp {
        /// Each with its group.
        moves: Vec<(u64, Move)>,
        /// Why, as whoever said so wrote.
        #[serde(default)]
        why: Option<String>,
    },
    /// The last of a group: the group counts.
    Commit {
        /// How many entries the group has, this one not counted.
        count: usize,
        /// The numbers as of this group.
        counters: Counters,
        /// The hash over everything in the segment before this entry.
        hash: String,
    },
}

impl Entry {
    /// What it changes, by key.
    pub fn changes(&self) -> &[KeyChange] {
        match self {
            Entry::Message(message) => &message.changes,
            Entry::Closing(closing) => &closing.changes,
            Entry::Changes { changes, .. } => changes,
            Entry::Header(_)
            | Entry::Snapshot(_)
            | Entry::Finished { .. }
            | Entry::Moved { .. }
            | Entry::GivenUp { .. }
            | Entry::Commit { .. } => &[],
        }
    }
}

impl Entry {
    /// The moves that it orders.
    pub fn into_moves(self) -> Vec<Move> {
        match self {
            Entry::Message(message) => message.moves,
            Entry::Closing(closing) => closing.moves,
            Entry::Changes { moves, .. } => moves,
            Entry::Header(_)
            | Entry::Snapshot(_)
            | Entry::Finished { .. }
            | Entry::Moved { .. }
            | Entry::GivenUp { .. }
            | Entry::Commit { .. } => Vec::new(),
        }
    }
}

/// The first entry of a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalHeader {
    /// The number of the segment.
    pub number: u64,
    /// Where the segment before it ends; what stands after that was never accepted.
    #[serde(default)]
    pub previous: Option<JournalPosition>,
    /// The numbers to go on from.
    #[serde(default)]
    pub counters: Counters,
    /// When it was begun.
    pub begun: DateTime<Utc>,
    /// The identity of the journal: 128 random bits, which the markers of the spool name too. Segments from before
    /// journals had one lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
}

/// The first entry of a snapshot: what it stands for, beside the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The end of the last segment whose changes it holds.
    pub covers: JournalPosition,
    /// The numbers as of there.
    pub counters: Counters,
    /// The last group whose moves were known to be done, but for those that are left.
    pub finished: u64,
    /// The moves that are left, and those of later groups, each with its group.
    pub moves: Vec<(u64, Move)>,
    /// When each of these groups was committed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<u64, DateTime<Utc>>,
    /// When it was made.
    pub made: DateTime<Utc>,
}

impl SnapshotHeader {
    /// The moves that were still to do as of there.
    pub fn open_moves(&self) -> OpenMoves {
        OpenMoves {
            moves: self.moves.clone(),
            finished: self.finished,
            times: self.times.clone(),
        }
    }
}

/// What became of one message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The claim of the file it came in.
    pub claim: String,
    /// Its number in the file, from 1.
    pub number: usize,
    /// The facility, or `desk`.
    pub facility: String,
    /// The received file, as in [`Move`].
    pub file: String,
    /// `SIU^S12`, `CDA`, or the command.
    pub message_type: String,
    /// MSH-10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_id: Option<String>,
    /// The case it is about, as far as that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// When it was decided.
    pub time: DateTime<Utc>,
    /// What became of it.
    pub outcome: Outcome,
    /// The changes, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<KeyChange>,
    /// The documents that it brings, still to be moved into place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
}

/// A received file is finished with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closing {
    /// The claim.
    pub claim: String,
    /// How many messages the file had.
    pub messages: usize,
    /// What need not be remembered any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<KeyChange>,
    /// The moves still to do: the file, its receipt, its sidecar, its refused messages.
    pub moves: Vec<Move>,
}

/// A file to be moved, both names chosen. Names are relative to a place, with bytes that are not UTF-8, and `%`,
/// written `%xx`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Move {
    /// Where.
    pub place: Owner,
    /// The name it has now.
    pub from: String,
    /// The name it gets.
    pub to: String,
}

/// The moves that the journal orders and does not know to be done, followed entry by entry.
#[derive(Debug, Clone, Default)]
pub struct OpenMoves {
    /// Each with its group.
    pub moves: Vec<(u64, Move)>,
    /// The last group whose moves are known to be done, but for those that are left.
    pub finished: u64,
    /// When the groups of these moves were committed.
    pub times: BTreeMap<u64, DateTime<Utc>>,
}

impl OpenMoves {
    /// Follows an entry of the group with these numbers; gives the changes that it makes.
    pub fn follow(&mut self, counters: &Counters, entry: Entry) -> Vec<KeyChange> {
        let (changes, ordered) = match entry {
            Entry::Message(message) => (message.changes, message.moves),
            Entry::Closing(closing) => (closing.changes, closing.moves),
            Entry::Changes { changes, moves, .. } => (changes, moves),
            Entry::Finished { group, left } => {
                let before = std::mem::replace(&mut self.finished, group);
                let left: HashSet<(u64, Move)> = left.into_iter().collect();
                self.moves
                    .retain(|it| it.0 > group || it.0 <= before || left.contains(it));
                self.forget_times();
                return Vec::new();
            }
            Entry::Moved { moves } | Entry::GivenUp { moves, .. } => {
                let closed: HashSet<(u64, Move)> = moves.into_iter().collect();
                self.moves.retain(|it| !closed.contains(it));
                self.forget_times();
                return Vec::new();
            }
            Entry::Snapshot(snapshot) => {
                self.finished = snapshot.finished;
                self.moves = snapshot.moves;
                self.times = snapshot.times;
                return Vec::new();
            }
            Entry::Header(_) | Entry::Commit { .. } => return Vec::new(),
        };
        if let (Some(time), false) = (counters.time, ordered.is_empty()) {
            self.times.insert(counters.group, time);
        }
        let group = counters.group;
        self.moves
            .extend(ordered.into_iter().map(|ordered| (group, ordered)));
        changes
    }

    fn forget_times(&mut self) {
        let open: HashSet<u64> = self.moves.iter().map(|(group, _)| *group).collect();
        self.times.retain(|group, _| open.contains(group));
    }
}
