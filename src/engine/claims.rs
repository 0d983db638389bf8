//! Claims: files in an inbox that the engine moves into `work/` and takes up, in the order in which they came.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Engine, EngineError, HoldScope};
use crate::intake::route;
use crate::model::owner::Owner;
use crate::spool::claim::{self, Claim};
use crate::spool::scope::ErrorScope;
use crate::store::{PendingChanges, keys, to_json};

/// A file that is ready to be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Whose inbox it is in.
    pub owner: Owner,
    /// Its path below the inbox.
    pub path: PathBuf,
}

/// A file that is ours, and where it lies.
#[derive(Debug, Clone)]
pub(super) struct ClaimedFile {
    pub(super) owner: Owner,
    pub(super) claim: Claim,
    /// Whether it is being read after an unclean end, under a name that counts the attempt. Once it is known that
    /// reading it did not end the process, it gets its name back.
    pub(super) suspect: bool,
    /// Whether the store may know outcomes of its first messages: not for a file that was claimed just now.
    pub(super) may_be_in_parts: bool,
}

impl ClaimedFile {
    pub(super) fn new(owner: Owner, claim: Claim) -> Self {
        Self {
            owner,
            claim,
            suspect: false,
            may_be_in_parts: false,
        }
    }

    pub(super) fn name_in_work(&self) -> OsString {
        let attempts = self.claim.attempts + u32::from(self.suspect);
        self.claim.with_attempts(attempts).name()
    }

    /// Its path below the owner's folder, as moves write it, under the name that it has when they are done.
    pub(super) fn path_in_work(&self) -> String {
        claim::to_text(&Path::new("work").join(self.claim.name()))
    }

    /// Whether it asks for reports: its name says so, its content is not read (interface.md 2).
    pub(super) fn is_request(&self) -> bool {
        matches!(self.owner, Owner::Facility(_)) && route::is_request(&self.claim.received)
    }
}

impl Engine {
    /// The files of the next group: those that wait, else the next that arrived, made ours.
    pub(super) fn next_claimed(
        &mut self,
        waiting: &mut VecDeque<ClaimedFile>,
        arrivals: &mut VecDeque<Arrival>,
    ) -> Result<VecDeque<ClaimedFile>, EngineError> {
        let group = self.config.intake.group;
        if !waiting.is_empty() {
            return Ok(waiting.drain(..group.min(waiting.len())).collect());
        }
        let next: Vec<Arrival> = arrivals.drain(..group.min(arrivals.len())).collect();
        self.claim_all(&next)
    }

    /// Makes files in inboxes ours, in their order: those that can be had now.
    fn claim_all(&mut self, arrivals: &[Arrival]) -> Result<VecDeque<ClaimedFile>, EngineError> {
        let mut claimed = VecDeque::with_capacity(arrivals.len());
        for arrival in arrivals {
            match self.claim(arrival) {
                Ok(one) => claimed.extend(one),
                Err(error) => {
                    self.waiting.append(&mut claimed);
                    return Err(error);
                }
            }
        }
        Ok(claimed)
    }

    /// Makes a file in an inbox ours; nothing if it vanished or cannot be had now.
    pub(super) fn claim(&mut self, arrival: &Arrival) -> Result<Option<ClaimedFile>, EngineError> {
        if self.must_wait(&arrival.owner) || self.unclaimed.is_left_alone(arrival) {
            return Ok(None);
        }
        let claim = Claim::new(self.order + 1, &self.run, &arrival.path);
        match self.move_into_work(arrival, &claim) {
            Ok(true) => {
                self.order += 1;
                if arrival.owner != Owner::Desk || crate::intake::desk::is_command(&arrival.path) {
                    *self.claimed.entry(arrival.owner.clone()).or_default() += 1;
                }
                return Ok(Some(ClaimedFile::new(arrival.owner.clone(), claim)));
            }
            Ok(false) => {}
            Err(EngineError::Disk(error)) if error.is_absent() => {}
            // Where our own folder is shut, the name is not to blame, and no other file can be had either.
            Err(EngineError::Disk(error))
                if error.scope() == ErrorScope::Name && self.may_claim(&arrival.owner) =>
            {
                self.unclaimed.refused(arrival, &error.source);
                // The received name may be a patient's: only the folder is told.
                let cause = format!("a file in the inbox cannot be taken: {}", error.source);
                self.holds.hold(&arrival.owner, HoldScope::SomeFiles, cause);
            }
            // What came after it must not overtake it.
            Err(error) => match self.hold_owner(&error, Some(&arrival.owner)) {
                true => {}
                false => return Err(error),
            },
        }
        Ok(None)
    }

    /// Whether files can be put into the folder where those that are claimed lie.
    fn may_claim(&self, owner: &Owner) -> bool {
        let folders = self.folders_of(owner);
        folders.is_none_or(|folders| self.fs.may_put_into(&folders.work))
    }

    /// Whether the file is ours now; it is not where its folder is gone.
    pub(super) fn move_into_work(
        &mut self,
        arrival: &Arrival,
        claim: &Claim,
    ) -> Result<bool, EngineError> {
        if claim.is_cut() {
            self.remember_long_name(claim)?;
        }
        let Some(folders) = self.folders_of(&arrival.owner) else {
            return Ok(false);
        };
        let (root, inbox, work) = (&folders.root, &folders.inbox, &folders.work);
        let folder = arrival.path.parent().unwrap_or(Path::new(""));
        let name = arrival.path.file_name().unwrap_or_default();
        let below = match folder.as_os_str().is_empty() {
            true => inbox.clone(),
            false => {
                let path = Path::new("inbox").join(folder);
                match self.folders.find(&self.fs, root, &path)? {
                    Some(dir) => dir,
                    None => return Ok(false),
                }
            }
        };
        self.fs.rename(&below, name, work, &claim.name())?;
        Ok(true)
    }

    /// What lies claimed in `work/` and is not finished goes before everything that still lies in an inbox.
    pub(super) fn find_claims(&mut self) -> Result<(), EngineError> {
        let in_hand = self.waiting.iter().chain(&self.suspects);
        let in_hand: BTreeSet<String> = in_hand.map(|claimed| claimed.claim.key()).collect();
        let mut found = Vec::new();
        let mut unlisted = Vec::new();
        for folders in self.owner_folders() {
            match self.fs.list(&folders.work) {
                Err(error) => unlisted.push((folders.owner.clone(), EngineError::from(error))),
                Ok(entries) => {
                    for entry in entries {
                        if let (true, Some(claim)) = (entry.is_file, Claim::parse(&entry.name)) {
                            found.push(ClaimedFile {
                                may_be_in_parts: true,
                                ..ClaimedFile::new(folders.owner.clone(), claim)
                            });
                        }
                    }
                }
            }
        }
        self.is_desk_unlisted = false;
        for (place, error) in unlisted {
            match &place {
                Owner::Facility(id) => {
                    let cause = self.cause(&error);
                    self.set_aside(id, cause);
                    self.renew_roots();
                }
                _ => {
                    // What the desk dropped later must not overtake what is claimed.
                    self.pause(&place, &error);
                    self.is_desk_unlisted = true;
                }
            }
        }
        let moves = self.committer.moves().iter();
        let to_be_moved: HashSet<(&Owner, &str)> = moves
            .map(|(_, ordered)| (&ordered.place, ordered.from.as_str()))
            .collect();
        found.retain(|claimed| {
            let path = claimed.path_in_work();
            !in_hand.contains(&claimed.claim.key())
                && !to_be_moved.contains(&(&claimed.owner, path.as_str()))
        });
        found.sort_by_key(|claimed| claimed.claim.order);
        for claimed in &mut found {
            self.order = self.order.max(claimed.claim.order);
            if claimed.claim.is_cut() {
                let view = PendingChanges::new(&*self.store);
                let whole: Option<String> = view.get(&keys::long_name(&claimed.claim.key()))?;
                if let Some(whole) = whole {
                    claimed.claim.received = claim::from_text(&whole);
                }
            }
        }
        // A PDF of the desk is claimed by the command that names it, and found by it again.
        found.retain(|claimed| {
            claimed.owner != Owner::Desk || crate::intake::desk::is_command(&claimed.claim.received)
        });
        match self.was_clean {
            true => self.waiting.extend(found),
            false => self.suspects.extend(found),
        }
        Ok(())
    }

    /// Journals the received path of a claim whose name cannot hold it, before the file becomes that claim.
    fn remember_long_name(&mut self, claim: &Claim) -> Result<(), EngineError> {
        let value = to_json(&claim::to_text(&claim.received))?;
        let change = (keys::long_name(&claim.key()), Some(value));
        self.record("a long name", vec![change])
    }

    pub(super) fn is_to_be_moved(&self, claimed: &ClaimedFile) -> bool {
        let path = claimed.path_in_work();
        self.committer
            .moves()
            .iter()
            .any(|(_, ordered)| ordered.place == claimed.owner && ordered.from == path)
    }
}
