//! Reads what was in hand when the last process ended uncleanly: each file alone, so that one that ends the process
//! is found out and refused.

use std::collections::VecDeque;

use super::{ClaimedFile, Engine, EngineError};

/// A suspect that ended the process so often is read no more.
pub(super) const ATTEMPTS: u32 = 3;

impl Engine {
    /// Reads each suspect alone, counting the attempt in its name just before: what ends the process again and
    /// again is found out, and what merely lay beside it is not blamed.
    pub(super) fn take_suspects(&mut self) -> Result<(), EngineError> {
        let mut suspects = std::mem::take(&mut self.suspects);
        while let Some(found) = suspects.pop_front() {
            if self.is_stopped() {
                suspects.push_front(found);
                self.suspects.append(&mut suspects);
                return Err(EngineError::Stopped);
            }
            let taken = match self.must_wait(&found.owner) {
                true => {
                    self.suspects.push_back(found);
                    continue;
                }
                false => self.take_suspect(&found),
            };
            match taken {
                // One that grew is in hand still.
                Ok(()) | Err(EngineError::Grown) => {}
                Err(error) if self.hold_owner(&error, Some(&found.owner)) => {}
                Err(error) => {
                    self.suspects.append(&mut suspects);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// After an error of the disk it is in hand still.
    fn take_suspect(&mut self, found: &ClaimedFile) -> Result<(), EngineError> {
        let Some(folders) = self.folders_of(&found.owner) else {
            return Ok(());
        };
        let suspect = ClaimedFile {
            suspect: true,
            ..found.clone()
        };
        let work = &folders.work.clone();
        if found.claim.attempts < ATTEMPTS && !self.may_be_read(work, found)? {
            // Waiting for its writer is no attempt to read it.
            self.suspects.push_back(found.clone());
            return Ok(());
        }
        let renamed = self
            .fs
            .rename(work, &found.name_in_work(), work, &suspect.name_in_work());
        if let Err(error) = renamed {
            self.suspects.push_back(found.clone());
            return Err(error.into());
        }
        if let Err(error) = self.fs.sync_dir(work) {
            // It is not read yet: the attempt does not count.
            let (raised, name) = (suspect.name_in_work(), found.name_in_work());
            let renamed = self.fs.rename(work, &raised, work, &name);
            self.suspects.push_back(match renamed {
                Ok(()) => found.clone(),
                Err(_) => ClaimedFile {
                    claim: found.claim.with_attempts(found.claim.attempts + 1),
                    ..found.clone()
                },
            });
            return Err(error.into());
        }
        if found.claim.attempts < ATTEMPTS {
            return self.take_claimed(VecDeque::from([suspect]), false);
        }
        let refused = self.refuse_crasher(&suspect);
        if matches!(&refused, Err(error) if error.is_passing()) {
            // It is not to be read again, whatever else fails.
            let attempts = found.claim.attempts + 1;
            self.waiting
                .retain(|waiting| waiting.claim.key() != found.claim.key());
            self.suspects.push_back(ClaimedFile {
                claim: found.claim.with_attempts(attempts),
                ..found.clone()
            });
        }
        refused
    }
}
