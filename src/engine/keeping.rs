//! Keeping the spool small: snapshots of the journal, and retention (SPEC 11).
//!
//! [`Engine::keeping`] finds out what is to be done and journals that retention goes on; the work itself touches only
//! what nothing is added to any more, so the daemon does it beside its loop.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, EngineError};
use crate::journal::JournalError;
use crate::journal::keeping::{self, When};
use crate::spool::fs::{Dir, Fs};
use crate::spool::retention;
use crate::store::{Overlay, keys, to_json};

/// Retention goes on so often.
const BETWEEN: Duration = Duration::days(1);

/// Retention waits while the clock is further off the journal's last record (DESIGN, "Clock").
const CLOCK: Duration = Duration::days(2);

/// What is known of the last time that retention went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRetention {
    /// When that was.
    pub time: DateTime<Utc>,
    /// The first day of `done/` that was kept.
    pub first_day: NaiveDate,
}

/// What is to be done.
pub struct Keeping {
    fs: Fs,
    journal: Dir,
    retention: Option<Retention>,
}

struct Retention {
    first_day: NaiveDate,
    outbox_before: DateTime<Utc>,
    journal_before: DateTime<Utc>,
    stations: Vec<(String, Dir)>,
}

impl Engine {
    /// What is to be done at this moment so that the spool does not grow without end.
    pub fn keeping(&mut self, now: DateTime<Utc>) -> Result<Keeping, EngineError> {
        self.land()?;
        Ok(Keeping {
            retention: self.retention(now)?,
            fs: self.fs.clone(),
            journal: self.spool.journal.clone(),
        })
    }

    /// Makes a snapshot of everything now: for tests.
    pub fn snapshot(&mut self) -> Result<(), EngineError> {
        self.land()?;
        self.committer.turn_journal()?;
        keeping::keep(&self.fs, &self.spool.journal, When::Now, None, &|| false)?;
        Ok(())
    }

    fn retention(&mut self, now: DateTime<Utc>) -> Result<Option<Retention>, EngineError> {
        let last: Option<LastRetention> = Overlay::new(&*self.store).get(keys::RETENTION)?;
        if let Some(last) = &last
            && (now - last.time).abs() < BETWEEN
        {
            return Ok(None);
        }
        let recorded = self
            .committer
            .journal()
            .and_then(|journal| journal.counters().time);
        match recorded {
            Some(recorded) if (now - recorded).abs() <= CLOCK => {}
            Some(recorded) => {
                log::info!(
                    "retention waits: the clock says {now}, and the journal was last written at {recorded}"
                );
                return Ok(None);
            }
            None => return Ok(None),
        }
        let before = |age: std::time::Duration| {
            let age = Duration::from_std(age).unwrap_or(Duration::MAX);
            now.checked_sub_signed(age)
                .unwrap_or(DateTime::<Utc>::MIN_UTC)
        };
        let config = &self.config.retention;
        // A day that ended in every time zone before that moment.
        let first_day = before(config.done.saturating_add(DAY)).date_naive();
        let retention = Retention {
            first_day: last.map_or(first_day, |last| last.first_day.max(first_day)),
            outbox_before: before(config.outbox),
            journal_before: before(config.journal),
            stations: self
                .stations()
                .map(|station| (station.name().to_owned(), station.root.clone()))
                .collect(),
        };
        let last = LastRetention {
            time: now,
            first_day: retention.first_day,
        };
        self.record(
            "retention",
            vec![(keys::RETENTION.to_owned(), Some(to_json(&last)?))],
        )?;
        Ok(Some(retention))
    }
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

impl Keeping {
    /// Does it. `stop` may end it at any time: the next time goes on.
    ///
    /// # Errors
    /// Of the journal alone: what cannot be removed from a folder is logged, and tried again the next day.
    pub fn run(&self, stop: &dyn Fn() -> bool) -> Result<(), JournalError> {
        if let Some(retention) = &self.retention {
            retention.run(&self.fs, stop);
        }
        let before = self.retention.as_ref().map(|it| it.journal_before);
        let kept = keeping::keep(&self.fs, &self.journal, When::Due, before, stop)?;
        if kept != keeping::Kept::default() {
            log::info!(
                "journal: {} snapshots made, {} segments compressed, {} archives deleted",
                kept.snapshots,
                kept.compressed,
                kept.deleted
            );
        }
        Ok(())
    }
}

impl Retention {
    fn run(&self, fs: &Fs, stop: &dyn Fn() -> bool) {
        for (name, root) in &self.stations {
            let done = retention::remove_days(fs, root, self.first_day, stop);
            let outputs = retention::remove_outputs(fs, root, self.outbox_before, stop);
            if done.files + outputs.files > 0 {
                log::info!(
                    "retention: {} received files and {} receipts and batches of {name} removed",
                    done.files,
                    outputs.files
                );
            }
            if let Some(problem) = done.problem.or(outputs.problem) {
                // The path may hold a received name.
                log::error!(
                    "retention of {name}: cannot {}: {}; it is tried again tomorrow",
                    problem.action,
                    problem.source
                );
            }
        }
    }
}
