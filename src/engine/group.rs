//! A group: messages that are decided one after the other and put on the disk together.
//!
//! Until it is sealed, only writes are made, under names that nobody looks for; [`super::commit`] does the rest.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;

use chrono::NaiveDate;

use super::ahead::PreparedDocument;
use super::commit::CompleteGroup;
use super::{ClaimedFile, Counts, Engine, EngineError, Hold, HoldScope};
use crate::intake::belonging;
use crate::journal::{Entry, Move};
use crate::model::change::Change;
use crate::model::identifiers::ContentHash;
use crate::model::owner::Owner;
use crate::spool::fs::Dir;
use crate::spool::fs::reading::Stamp;
use crate::store::{KeyChange, PendingChanges, SharedChanges, Store};

/// A group is committed once its messages have so many bytes.
const GROUP_BYTES: u64 = 64 * 1024 * 1024;
/// So often changes are in memory at once: for the journal, for the next decision, and as the journal writes them.
const CHANGES_HELD: usize = 3;

/// What is kept of a group on its way to the disk, to be taken back if it does not come to count.
pub(super) struct InFlight {
    /// What the store has once it counts.
    changes: SharedChanges,
    prepared: Vec<(Dir, OsString)>,
    claimed: Vec<ClaimedFile>,
    in_doubt: Vec<(ClaimedFile, Stamp)>,
    counts: Counts,
}

/// What was decided and prepared, and does not count yet.
pub(super) struct Group<'s> {
    /// The store, with what this group decided.
    pub view: PendingChanges<'s>,
    entries: Vec<Entry>,
    pub moves: Vec<Move>,
    /// How many of the moves were looked at by [`Group::moves_away`], and where these lead away from.
    away: RefCell<(usize, BTreeMap<Owner, BTreeSet<String>>)>,
    /// Dates of the wall clock at which output was written.
    pub dates: BTreeSet<NaiveDate>,
    /// The moves of earlier groups that nobody is to do any more.
    given_up: Vec<(u64, Move)>,
    /// Output that was written and is not seen by anybody yet.
    pub(super) prepared: Vec<(Dir, OsString)>,
    /// The document of the file in hand, if it was written already.
    written: Option<PreparedDocument>,
    /// The files that this group finishes or reads on.
    claimed: Vec<ClaimedFile>,
    /// Files of whose writers nothing is known, as they were when they were read.
    in_doubt: Vec<(ClaimedFile, Stamp)>,
    pub counts: Counts,
    messages: usize,
    bytes: u64,
    /// Receipts that are written together, where the configuration says so.
    pub receipts: Vec<(Owner, String)>,
}

impl<'s> Group<'s> {
    pub fn new(store: &'s dyn Store) -> Self {
        Self::on(PendingChanges::new(store))
    }

    /// A group that sees what the one before it decided, which may not be in the store yet.
    pub fn over(store: &'s dyn Store, decided: SharedChanges) -> Self {
        Self::on(PendingChanges::over(store, decided))
    }

    fn on(view: PendingChanges<'s>) -> Self {
        Self {
            view,
            entries: Vec::new(),
            moves: Vec::new(),
            away: RefCell::default(),
            dates: BTreeSet::new(),
            given_up: Vec::new(),
            prepared: Vec::new(),
            written: None,
            claimed: Vec::new(),
            in_doubt: Vec::new(),
            counts: Counts::default(),
            messages: 0,
            bytes: 0,
            receipts: Vec::new(),
        }
    }

    /// Adds an entry whose changes are in the view already.
    pub fn enter(&mut self, entry: Entry) {
        match &entry {
            Entry::Message(message) => {
                self.messages += 1;
                self.moves.extend(message.moves.iter().cloned());
            }
            Entry::Closing(closing) => self.moves.extend(closing.moves.iter().cloned()),
            Entry::Changes { moves, .. } => self.moves.extend(moves.iter().cloned()),
            Entry::Header(_)
            | Entry::Snapshot(_)
            | Entry::Finished { .. }
            | Entry::Moved { .. }
            | Entry::Commit { .. } => {}
            Entry::GivenUp { moves, .. } => self.given_up.extend(moves.iter().cloned()),
        }
        self.entries.push(entry);
    }

    /// Adds changes that no message asked for.
    pub fn change(&mut self, what: &str, changes: Vec<KeyChange>) {
        self.view.write(&changes);
        self.enter(Entry::Changes {
            what: what.to_owned(),
            changes,
            moves: Vec::new(),
        });
    }

    /// The group has this file in hand.
    pub fn take_up(&mut self, claimed: &ClaimedFile) {
        self.claimed.push(claimed.clone());
    }

    /// The group has nothing to do with this file after all: it waits elsewhere.
    pub fn release(&mut self, claimed: &ClaimedFile) {
        self.claimed
            .retain(|held| held.claim.key() != claimed.claim.key());
    }

    /// Before the group counts, this file must still be as it was read.
    pub fn doubt(&mut self, claimed: &ClaimedFile, stamp: Stamp) {
        self.in_doubt.push((claimed.clone(), stamp));
    }

    /// The files that must still be as they were read.
    pub fn in_doubt(&self) -> &[(ClaimedFile, Stamp)] {
        &self.in_doubt
    }

    /// A document of the file in hand was written already.
    pub fn has_written(&mut self, written: PreparedDocument) {
        self.prepared
            .push((written.dir.clone(), written.name.clone()));
        self.written = Some(written);
    }

    /// The name of the document with this hash, if it was written already.
    pub fn take_written(&mut self, hash: &ContentHash) -> Option<OsString> {
        let written = self.written.take_if(|written| written.hash == *hash);
        written.map(|written| written.name)
    }

    /// The document that was written already and is not needed after all: it is the group's no more.
    pub fn take_unused(&mut self) -> Option<PreparedDocument> {
        let written = self.written.take()?;
        self.prepared.retain(|(_, name)| *name != written.name);
        Some(written)
    }

    /// Counts the bytes of a file that was read.
    pub fn weigh(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Counts the bytes of what was decided: it is held until the group is on the disk.
    pub fn weigh_changes(&mut self, changes: &[KeyChange]) {
        let bytes: usize = changes
            .iter()
            .map(|(key, value)| key.len() + value.as_deref().map_or(0, |value| value.get().len()))
            .sum();
        self.weigh(bytes * CHANGES_HELD);
    }

    /// Whether what comes next belongs to another group.
    pub fn is_full(&self, messages: usize) -> bool {
        self.messages >= messages || self.bytes >= GROUP_BYTES
    }

    /// What must be taken back if the group does not come to count.
    pub(super) fn held(self) -> InFlight {
        InFlight {
            changes: Arc::default(),
            prepared: self.prepared,
            claimed: self.claimed,
            in_doubt: self.in_doubt,
            counts: self.counts,
        }
    }

    /// Whether it takes this file of a place away from where it lies.
    pub fn moves_away(&self, owner: &Owner, from: &str) -> bool {
        // A list of commands asks for each of them: the moves since the last question are looked through once.
        let mut away = self.away.borrow_mut();
        let (looked_at, known) = &mut *away;
        for ordered in self.moves.iter().skip(*looked_at) {
            let of_place: &mut BTreeSet<String> = known.entry(ordered.place.clone()).or_default();
            of_place.insert(ordered.from.clone());
        }
        *looked_at = self.moves.len();
        known
            .get(owner)
            .is_some_and(|of_place| of_place.contains(from))
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Engine {
    /// Commits what the group holds so far and begins another one, in the midst of a file.
    pub(super) fn commit_and_go_on<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
    ) -> Result<(), EngineError> {
        let file = group.claimed.last().cloned();
        let read = group.in_doubt.iter().rev().find(|(claimed, _)| {
            file.as_ref()
                .is_some_and(|file| file.claim.key() == claimed.claim.key())
        });
        let read = read.cloned();
        let full = std::mem::replace(group, Group::new(&**store));
        self.commit(full)?;
        let acquitted = |file: ClaimedFile| ClaimedFile {
            suspect: false,
            ..file
        };
        group.claimed.extend(file.map(acquitted));
        group
            .in_doubt
            .extend(read.map(|(file, stamp)| (acquitted(file), stamp)));
        Ok(())
    }

    /// Puts a group on the disk, after the one that is still on its way.
    pub(super) fn commit(&mut self, group: Group<'_>) -> Result<(), EngineError> {
        let Some((sealed, held)) = self.seal(group)? else {
            return Ok(());
        };
        let committed = self.committer.commit(sealed, &self.roots);
        self.names.forget();
        self.renew_awaited_names();
        self.folders.forget();
        self.conclude(committed, held)
    }

    /// Puts a group on its way to the disk, and decides the next one meanwhile: what waits for the disk and what
    /// needs the processor go on side by side. The new group sees what this one decided.
    pub(super) fn hand_over<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: Group<'_>,
    ) -> Result<Group<'s>, EngineError> {
        let Some((sealed, held)) = self.seal(group)? else {
            return Ok(Group::new(&**store));
        };
        let decided = Arc::clone(&sealed.changes);
        self.committer.begin(sealed, &self.roots);
        self.in_flight = Some(held);
        self.names.turn();
        self.folders.forget();
        Ok(Group::over(&**store, decided))
    }

    /// Waits for the group that is on its way. If it did not come to count, its files wait.
    pub(super) fn land(&mut self) -> Result<(), EngineError> {
        match self.in_flight.take() {
            None => Ok(()),
            Some(held) => {
                let committed = self.committer.finish();
                self.names.landed();
                self.renew_awaited_names();
                self.conclude(committed, held)
            }
        }
    }

    /// Closes a group to further decisions; nothing if it holds nothing to put on the disk.
    pub(super) fn seal(
        &mut self,
        mut group: Group<'_>,
    ) -> Result<Option<(CompleteGroup, InFlight)>, EngineError> {
        if let Err(error) = self.land() {
            // It was decided on what has not come to count; its files wait behind those it rested on.
            let before = std::mem::take(&mut self.waiting);
            self.give_up(group.held());
            let after = std::mem::replace(&mut self.waiting, before);
            self.waiting.extend(after);
            return Err(error);
        }
        let prepared = self
            .see_that_none_grew(&group)
            .and_then(|()| self.write_group_receipts(&mut group))
            .and_then(|()| self.acquit_suspects(&mut group))
            .and_then(|()| Self::must_belong(&group))
            .and_then(|()| self.file_systems(&group));
        let file_systems = match prepared {
            Ok(file_systems) => file_systems,
            Err(error) => {
                self.give_up(group.held());
                return Err(error);
            }
        };
        if group.is_empty() && !self.committer.has_news() {
            return Ok(None);
        }
        if let Err(error) = self.note_dates(&mut group) {
            self.give_up(group.held());
            return Err(error);
        }
        self.sealed_message = self.message;
        let changes = Arc::new(group.view.into_changes());
        let held = InFlight {
            changes: Arc::clone(&changes),
            prepared: std::mem::take(&mut group.prepared),
            claimed: std::mem::take(&mut group.claimed),
            in_doubt: std::mem::take(&mut group.in_doubt),
            counts: std::mem::take(&mut group.counts),
        };
        let sealed = CompleteGroup {
            entries: group.entries,
            moves: group.moves,
            given_up: group.given_up,
            changes,
            file_systems,
            order: self.order,
            message: self.message,
        };
        Ok(Some((sealed, held)))
    }

    /// No decision may have put anything where it does not belong. It would be a fault of ours: looked for where faults
    /// are looked for.
    fn must_belong(group: &Group<'_>) -> Result<(), EngineError> {
        if cfg!(debug_assertions) {
            let misplaced = belonging::misplaced(&group.view, group.view.changed_keys())?;
            assert!(misplaced.is_none(), "{misplaced:?}");
        }
        Ok(())
    }

    /// The same of the documents that a decision puts into cases.
    pub(super) fn must_join_their_own(
        group: &Group<'_>,
        changes: &[Change],
    ) -> Result<(), EngineError> {
        if cfg!(debug_assertions) {
            let misplaced = belonging::joined_wrongly(&group.view, changes)?;
            assert!(misplaced.is_none(), "{misplaced:?}");
        }
        Ok(())
    }

    fn conclude(
        &mut self,
        committed: Result<(), EngineError>,
        held: InFlight,
    ) -> Result<(), EngineError> {
        match committed {
            Ok(()) => {
                self.all_held = None;
                self.worklists.touch(held.changes.keys());
                self.counts.add(held.counts);
                self.forget_doubts(held.in_doubt.iter().map(|(claimed, _)| claimed));
                Ok(())
            }
            Err(error) => {
                // After a failed sync what is prepared may be needed: the next start finds the truth.
                if error.is_passing() {
                    self.give_up(held);
                }
                match &error {
                    EngineError::PlaceSync(disk) => self.set_aside_with(disk),
                    EngineError::Journal(_) if error.is_passing() => {
                        let hold = Hold::new(HoldScope::Everything, error.to_string());
                        self.all_held = Some(hold.continuing(self.all_held.as_ref()));
                    }
                    _ => {}
                }
                Err(error)
            }
        }
    }

    /// Takes a group back that did not come to count: its files wait, in order, before all others.
    pub(super) fn give_up(&mut self, group: InFlight) {
        for (dir, name) in &group.prepared {
            // What stays is removed at the next start.
            let _ = self.fs.remove(dir, name);
        }
        self.message = match self.in_flight {
            Some(_) => self.sealed_message,
            None => self.committer.counters().message,
        };
        self.names.forget();
        self.folders.forget();
        for mut claimed in group.claimed.into_iter().rev() {
            claimed.may_be_in_parts = true;
            self.waiting.push_front(claimed);
        }
    }

    /// Reading these files did not end the process: they get their names back, which the moves go by.
    fn acquit_suspects(&mut self, group: &mut Group<'_>) -> Result<(), EngineError> {
        for claimed in group.claimed.iter_mut().filter(|claimed| claimed.suspect) {
            let tried = claimed.name_in_work();
            if let Some(folders) = self.folders_of(&claimed.owner) {
                let name = claimed.claim.name();
                self.fs
                    .rename(&folders.work, &tried, &folders.work, &name)?;
            }
            claimed.suspect = false;
        }
        Ok(())
    }

    /// One folder on each file system that the group, or a move whose end it tells, has touched.
    fn file_systems(&self, group: &Group<'_>) -> Result<Vec<Dir>, EngineError> {
        let mut looked_at = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut dirs = Vec::new();
        let roots = group
            .claimed
            .iter()
            .filter_map(|claimed| self.folders_of(&claimed.owner))
            .map(|folders| &folders.root);
        let prepared = group.prepared.iter().map(|(dir, _)| dir);
        for dir in roots.chain(prepared) {
            if looked_at.insert(dir.number()) && seen.insert(self.fs.device(dir)?) {
                dirs.push(dir.clone());
            }
        }
        Ok(dirs)
    }

    pub(super) fn record(
        &mut self,
        what: &str,
        changes: Vec<KeyChange>,
    ) -> Result<(), EngineError> {
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        group.change(what, changes);
        self.commit(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, to_json};

    #[test]
    fn what_was_decided_fills_a_group() {
        let store = MemoryStore::default();
        let mut group = Group::new(&store);
        let megabyte = vec![(
            "key".to_owned(),
            Some(to_json(&"x".repeat(1 << 20)).unwrap()),
        )];
        let mut changes = 0;
        while !group.is_full(usize::MAX) {
            group.weigh_changes(&megabyte);
            changes += 1;
        }
        assert!((16..=64).contains(&changes), "{changes} MB");
    }
}
