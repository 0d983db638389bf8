//! The session folders, renewed when there is nothing else to do: they are made from the store, after commits.

use super::{Engine, EngineError};
use crate::worklist::{Sources, WorklistError};

impl From<WorklistError> for EngineError {
    fn from(error: WorklistError) -> Self {
        match error {
            WorklistError::Disk(error) => EngineError::Disk(error),
            WorklistError::Sync(error) => EngineError::Sync(error),
            WorklistError::View(error) => EngineError::View(error),
        }
    }
}

impl Engine {
    /// Every session's folder is to be looked at, whatever was touched.
    pub fn look_at_all_worklists(&mut self) {
        self.worklists.touch_all();
    }

    /// Whether a session's folder is to be renewed.
    pub fn are_worklists_due(&self) -> bool {
        self.worklists.are_due()
    }

    /// Renews the next session's folder.
    ///
    /// # Errors
    /// If [`EngineError::is_passing`], it stays due; else the process must end.
    pub fn renew_next_worklist(&mut self) -> Result<(), EngineError> {
        // What is on its way may not be in the store yet.
        self.land()?;
        let sources = Sources {
            fs: &self.fs,
            sessions: &self.spool.sessions,
            documents: &self.spool.documents,
            store: &*self.store,
            config: &self.config,
        };
        Ok(self.worklists.renew_next(&sources)?)
    }

    /// Renews all that are due; what cannot be done now is done by the next `run` or `once`.
    pub(super) fn renew_worklists(&mut self) -> Result<(), EngineError> {
        while self.are_worklists_due() && !self.is_stopped() {
            match self.renew_next_worklist() {
                Err(error) if error.is_passing() => {
                    log::error!(
                        "a session's folder is not renewed: {}",
                        error.without_path()
                    );
                    return Ok(());
                }
                renewed => renewed?,
            }
        }
        Ok(())
    }
}
