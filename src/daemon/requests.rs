//! Who asked for a sweep or for `once`, and waits for what must be done before the answer.

use std::time::Instant;

use super::{Daemon, DaemonError};
use crate::engine::{Engine, Totals};
use crate::model::owner::Owner;
use crate::repeats::RepeatedTask;
use crate::status::control::SweepRequest;

/// Somebody who asked, and what must be done before the answer.
pub(super) struct PendingRequest {
    pub(super) request: SweepRequest,
    pub(super) before: Totals,
    /// When to look again at what still settles, for `once`.
    pub(super) again: Option<Instant>,
    /// How long `once` waits for files of which the system does not say whether a writer has them open.
    pub(super) patience: Instant,
}

impl Daemon {
    /// Answers whoever asked, as far as it is done.
    pub(super) fn answer(&mut self) -> Result<(), DaemonError> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let unsettled = self.swept.unsettled() > 0;
        let mut waiting = Vec::new();
        for mut asked in std::mem::take(&mut self.asked) {
            let is_done = match asked.request.thorough {
                false => {
                    let mut at_rest = self.engine.claims_at_rest();
                    self.queue.desk.is_empty() && at_rest.all(|place| *place != Owner::Desk)
                }
                true => match asked.again {
                    Some(again) if unsettled && now < again => {
                        self.look_everywhere(again);
                        false
                    }
                    Some(_) if unsettled => {
                        // This look is the last one for it.
                        asked.again = None;
                        self.look_everywhere(now);
                        false
                    }
                    _ => {
                        let in_doubt = self.engine.files_in_doubt() > 0 && now < asked.patience;
                        self.has_taken_all() && !in_doubt
                    }
                },
            };
            if !is_done {
                waiting.push(asked);
                continue;
            }
            if asked.request.thorough {
                self.pass(RepeatedTask::Batches, Engine::write_due_batches)?;
            }
            let answer = match &self.short {
                Some(problem) => Err(problem.clone()),
                None => Ok(self.engine.totals().since(&asked.before)),
            };
            // Whoever asked may have gone away.
            let _ = asked.request.done.send(answer);
        }
        self.asked.append(&mut waiting);
        Ok(())
    }
}
