//! What the loop does on a timer: batches, moves made durable, snapshots and retention.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Daemon, DaemonError, IDLE};
use crate::config::Every;
use crate::engine::Engine;
use crate::journal::JournalError;
use crate::repeats::{self, RepeatedTask};

/// So often it looks whether a snapshot of the journal or retention is due.
const BETWEEN_UPKEEPS: Duration = Duration::from_secs(10 * 60);

impl Daemon {
    pub(super) fn set_report_timers(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.timers.reports);
        for facility in &self.engine.config().facilities {
            if let Every::Every(every) = facility.reports.every {
                let id = facility.id.to_string();
                let next = before.remove(&id).unwrap_or(now + every).min(now + every);
                self.timers.reports.insert(id, next);
            }
        }
    }

    pub(super) fn write_batches(&mut self, now: Instant) -> Result<(), DaemonError> {
        let due = self.timers.reports.iter().filter(|(_, next)| **next <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            let config = Arc::clone(self.engine.config());
            let facility = config
                .facilities
                .iter()
                .find(|facility| facility.id.as_str() == id);
            let Some(Every::Every(every)) = facility.map(|facility| facility.reports.every) else {
                self.timers.reports.remove(&id);
                continue;
            };
            self.timers.reports.insert(id.clone(), now + every);
            if !self.engine.unreachable().contains_key(&id) {
                self.pass(RepeatedTask::Batches, |engine| engine.write_due_batch(&id))?;
                self.timers.idle.get_or_insert(now + IDLE);
            }
        }
        Ok(())
    }

    pub(super) fn be_idle(&mut self, now: Instant) -> Result<(), DaemonError> {
        if self.has_taken_all() && self.timers.idle.is_some_and(|idle| idle <= now) {
            self.timers.idle = None;
            self.pass(RepeatedTask::Stability, Engine::idle)?;
        }
        Ok(())
    }

    /// Has snapshots made, and what is old removed, in a thread: it touches only what nothing is added to any more.
    pub(super) fn keep_small(&mut self, now: Instant) -> Result<(), DaemonError> {
        if self.timers.upkeep > now {
            return Ok(());
        }
        self.timers.upkeep = now + BETWEEN_UPKEEPS;
        let is_at_it = |upkeep: &JoinHandle<()>| !upkeep.is_finished();
        if self.upkeep.as_ref().is_some_and(is_at_it) {
            return Ok(());
        }
        let mut due = None;
        self.pass(RepeatedTask::Upkeep, |engine| {
            due = Some(engine.upkeep()?);
            Ok(())
        })?;
        let Some(due) = due else {
            return Ok(());
        };
        let stop = Arc::clone(&self.stop);
        let work = move || match due.run(&|| stop.load(Ordering::Relaxed)) {
            Ok(()) => repeats::over("journal", RepeatedTask::Upkeep),
            Err(JournalError::Stopped) => {}
            Err(error) => {
                let problem = format_args!("it cannot be kept small: {error}");
                repeats::failing("journal", RepeatedTask::Upkeep, problem);
            }
        };
        let upkeep = std::thread::Builder::new().name("upkeep".to_owned());
        self.upkeep = Some(upkeep.spawn(work)?);
        Ok(())
    }
}
