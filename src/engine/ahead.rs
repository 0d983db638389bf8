//! Files that are claimed and read ahead: while one group is decided, the thread that has put the group before it on
//! the disk makes the next one's files ours and reads them.
//!
//! Correctness does not rest on it: what was not claimed is claimed in its turn, what was not read is read in its turn,
//! and a file that lies claimed in `work/` when the process ends is found there by the next start.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::Path;

use super::{Arrival, Claimed, Engine, EngineError};
use crate::intake::route;
use crate::journal::Place;
use crate::spool::claim::Claim;
use crate::spool::fs::{Dir, Fs, FsError, Reading};

/// A larger file is read in its turn.
const FILE_BYTES: u64 = 1024 * 1024;
/// So much is held in memory ahead of its turn.
const BYTES: usize = 16 * 1024 * 1024;

/// A file to be claimed ahead.
pub(super) struct Wanted {
    from: Dir,
    name: OsString,
    work: Dir,
    claimed: Claimed,
}

/// A file that was claimed ahead, with its content if that was read.
pub(super) struct Taken {
    claimed: Claimed,
    content: Option<Result<Reading, FsError>>,
}

/// What became of the files that were to be claimed ahead.
#[derive(Default)]
pub(super) struct Claims {
    taken: Vec<Taken>,
    /// Places whose folder failed: what is theirs and came later was left.
    pub failed: Vec<(Place, FsError)>,
}

/// What is ahead of the group in hand.
#[derive(Default)]
pub(super) struct Ahead {
    /// To be claimed by the thread, with the next group that goes its way.
    wanted: Vec<Wanted>,
    /// Claimed before those: while they are decided, the thread has time for the others. What is claimed is read
    /// first after a crash, so nothing may be claimed before what goes before it.
    next: VecDeque<Claimed>,
    /// Claimed by the thread.
    claimed: VecDeque<Claimed>,
    /// What it has read, by claim.
    contents: HashMap<String, Result<Reading, FsError>>,
}

impl Ahead {
    /// Whether files are left that no group has taken yet.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.next.is_empty() && self.claimed.is_empty()
    }

    /// What the thread has claimed.
    pub fn add(&mut self, claims: Claims) {
        for Taken { claimed, content } in claims.taken {
            if let Some(content) = content {
                self.contents.insert(claimed.claim.key(), content);
            }
            self.claimed.push_back(claimed);
        }
    }

    /// What was read of a file ahead, once.
    pub fn content(&mut self, claim: &Claim) -> Option<Result<Reading, FsError>> {
        match self.contents.is_empty() {
            true => None,
            false => self.contents.remove(&claim.key()),
        }
    }

    /// Leaves everything to its turn; gives the files that are ours already, in their order.
    pub fn give_up(&mut self) -> VecDeque<Claimed> {
        let mut ahead = std::mem::take(self);
        ahead.next.append(&mut ahead.claimed);
        ahead.next
    }
}

/// Claims files and reads them, in their order. What cannot be claimed stays where it is; the next sweep finds it.
pub(super) fn take(fs: &Fs, wanted: Vec<Wanted>) -> Claims {
    let mut bytes = 0;
    let mut claims = Claims::default();
    for Wanted {
        from,
        name,
        work,
        claimed,
    } in wanted
    {
        if claims
            .failed
            .iter()
            .any(|(place, _)| *place == claimed.place)
        {
            continue;
        }
        let in_work = claimed.name_in_work();
        match fs.rename(&from, &name, &work, &in_work) {
            Ok(()) => {}
            Err(error) if error.is_absent() => continue,
            Err(error) if !error.is_of_the_disk() => {
                claimed.log_refusal(&error.into());
                continue;
            }
            Err(error) => {
                claims.failed.push((claimed.place, error));
                continue;
            }
        }
        let content = (bytes < BYTES)
            .then(|| fs.read_settled(&work, &in_work, FILE_BYTES))
            .filter(|read| !matches!(read, Ok(Reading::TooLarge(..))));
        if let Some(Ok(Reading::Whole(content, _))) = &content {
            bytes += content.len();
        }
        claims.taken.push(Taken { claimed, content });
    }
    claims
}

impl Engine {
    /// The files of the next group, made ours, from those that wait, those ahead and those that arrived.
    pub(super) fn next_claimed(
        &mut self,
        waiting: &mut VecDeque<Claimed>,
        arrivals: &mut VecDeque<Arrival>,
    ) -> Result<VecDeque<Claimed>, EngineError> {
        let group = self.config.intake.group;
        if !waiting.is_empty() {
            return Ok(waiting.drain(..group.min(waiting.len())).collect());
        }
        if self.ahead.claimed.is_empty()
            && self.ahead.next.is_empty()
            && self.committer.is_claiming()
        {
            self.land()?;
        }
        let claimed = if !self.ahead.next.is_empty() {
            std::mem::take(&mut self.ahead.next)
        } else if !self.ahead.claimed.is_empty() {
            std::mem::take(&mut self.ahead.claimed)
        } else if !self.ahead.wanted.is_empty() {
            let wanted = self.take_wanted();
            let claims = take(&self.fs, wanted);
            self.add_claims(claims);
            std::mem::take(&mut self.ahead.claimed)
        } else {
            let next: Vec<Arrival> = arrivals.drain(..group.min(arrivals.len())).collect();
            self.claim_all(&next)?
        };
        if let Err(error) = self.look_ahead(arrivals) {
            self.waiting.extend(claimed);
            return Err(error);
        }
        Ok(claimed)
    }

    /// What is to be claimed now, but for places that must wait.
    pub(super) fn take_wanted(&mut self) -> Vec<Wanted> {
        let mut wanted = std::mem::take(&mut self.ahead.wanted);
        wanted.retain(|wanted| !self.must_wait(&wanted.claimed.place));
        wanted
    }

    /// Takes what was claimed ahead.
    pub(super) fn add_claims(&mut self, mut claims: Claims) {
        for (place, error) in std::mem::take(&mut claims.failed) {
            self.pause(&place, error.into());
        }
        self.ahead.add(claims);
    }

    /// Chooses what is to be claimed while the group in hand is decided.
    fn look_ahead(&mut self, arrivals: &mut VecDeque<Arrival>) -> Result<(), EngineError> {
        let group = self.config.intake.group;
        if !self.ahead.wanted.is_empty() || arrivals.len() <= group {
            return Ok(());
        }
        if self.ahead.next.is_empty()
            && self.ahead.claimed.is_empty()
            && !self.committer.is_claiming()
        {
            let next: Vec<Arrival> = arrivals.drain(..group).collect();
            self.ahead.next = self.claim_all(&next)?;
        }
        while self.ahead.wanted.len() < group
            && let Some(arrival) = arrivals.front()
        {
            if self.must_wait(&arrival.place) {
                arrivals.pop_front();
                continue;
            }
            let claim = Claim::new(self.order + 1, &self.run, &arrival.path);
            // The desk's commands name files, and a name that is cut must be journalled first: they are claimed in
            // their turn, and what comes after them too.
            let is_plain = matches!(arrival.place, Place::Facility(_))
                && !claim.is_cut()
                && !route::is_request(&arrival.path);
            let Some(station) = self.station(&arrival.place).filter(|_| is_plain) else {
                break;
            };
            let work = station.work.clone();
            let folder = arrival.path.parent().unwrap_or(Path::new(""));
            let from = match folder.as_os_str().is_empty() {
                true => Some(station.inbox.clone()),
                false => {
                    let folder = Path::new("inbox").join(folder);
                    self.folders.find(&self.fs, &station.root, &folder)?
                }
            };
            let name = arrival.path.file_name().unwrap_or_default().to_owned();
            let claimed = Claimed::new(arrival.place.clone(), claim);
            arrivals.pop_front();
            if let Some(from) = from {
                self.order += 1;
                self.ahead.wanted.push(Wanted {
                    from,
                    name,
                    work,
                    claimed,
                });
            }
        }
        Ok(())
    }
}
