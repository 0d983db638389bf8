//! The session folders, renewed when there is nothing else to do: they are made from the store, after commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Engine, EngineError};
use crate::worklist::{Renewer, WorklistError, Worklists};

/// So long a process that ends goes on renewing folders; the next one does the rest.
const PATIENCE: Duration = Duration::from_secs(30);

impl From<WorklistError> for EngineError {
    fn from(error: WorklistError) -> Self {
        match error {
            WorklistError::Disk(error) => EngineError::Disk(error),
            // It is made from the store again: nothing of it was promised.
            WorklistError::Sync(error) => EngineError::Disk(error),
            WorklistError::View(error) => EngineError::View(error),
            WorklistError::Stopped => EngineError::Stopped,
        }
    }
}

impl Engine {
    /// Every session's folder is to be looked at, whatever was touched.
    pub fn look_at_all_worklists(&self) {
        self.worklists.touch_all();
    }

    /// Which sessions' folders are to be renewed: the engine adds to it what a group changed once the store has it.
    pub fn worklists(&self) -> &Arc<Worklists> {
        &self.worklists
    }

    /// What renews them. It must be gone before the engine is closed.
    pub fn worklist_renewer(&self) -> Renewer {
        Renewer::new(
            self.fs.clone(),
            self.spool.sessions.clone(),
            self.spool.documents.clone(),
            Arc::clone(&self.store),
            Arc::clone(&self.worklists),
        )
    }

    /// Renews what is due before the process ends, but not for long: what is not done stays due.
    pub(super) fn renew_worklists(&mut self) -> Result<(), EngineError> {
        let end = Instant::now() + PATIENCE;
        let stop = || self.is_stopped() || Instant::now() >= end;
        let mut renewer = self.worklist_renewer();
        while self.worklists.are_due() && !stop() {
            let Err(failed) = renewer.renew_next(&stop) else {
                continue;
            };
            let error = EngineError::from(failed.error);
            match &failed.session {
                _ if matches!(error, EngineError::Stopped) => break,
                _ if !error.is_passing() => return Err(error),
                Some(session) => {
                    log::error!(
                        "the folder of session {session} is not renewed: {}; it is tried again",
                        error.without_path()
                    );
                    self.worklists.put_off(session, PATIENCE * 2);
                }
                None => {
                    log::error!(
                        "the sessions' folders are not renewed: {}",
                        error.without_path()
                    );
                    break;
                }
            }
        }
        let due = self.worklists.known_due();
        if due > 0 {
            log::warn!(
                "the folders of {due} sessions are still to be renewed: the next start goes on"
            );
        }
        Ok(())
    }
}
