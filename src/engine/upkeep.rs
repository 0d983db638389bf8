//! Upkeep the spool small: snapshots of the journal, and retention (docs/interface.md, 11).
//!
//! [`Engine::keeping`] finds out what is to be done and journals that retention goes on; the work itself touches only
//! what nothing is added to any more, so the daemon does it beside its loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::group::Group;
use super::upgrade::layout_change;
use super::{Engine, EngineError};
use crate::journal::upkeep::{self, DeletionLimit, SnapshotTrigger};
use crate::journal::{Counters, JournalError};
use crate::spool::ages::{Ages, Elapsed, InUse};
use crate::spool::fs::{Dir, Fs};
use crate::spool::retention::{self, RemovalResult};
use crate::store::{KeyChange, PendingChanges, Store, keys, to_json};

/// What versions that went by the wall clock alone wrote of the last time that retention went on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LastRetention {
    /// The first day of `done/` that was kept.
    pub first_day: NaiveDate,
}

/// The segment that was the last one of the journal when so much time was counted: those before it are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct JournalAge {
    seconds: u64,
    segment: u64,
}

/// What is to be done.
pub struct Upkeep {
    fs: Fs,
    journal: Dir,
    retention: Option<Retention>,
}

struct Retention {
    ages: Ages,
    outbox: Duration,
    /// The days of `done/` that go.
    days: BTreeSet<NaiveDate>,
    journal: Option<DeletionLimit>,
    owners: Vec<(String, Dir)>,
}

/// The count of time as a start finds it.
pub(super) struct TimeCount {
    pub ages: Ages,
    pub counted: Elapsed,
    /// Whether nothing came before the count begins now.
    pub is_new: bool,
    /// Whether the wall clock was set since.
    pub was_set: bool,
}

impl TimeCount {
    /// Reads the count and goes on with it.
    pub fn of(store: &dyn Store, fs: &Fs, counters: Counters) -> Result<Self, EngineError> {
        let view = PendingChanges::new(store);
        let known: Option<Elapsed> = view.get(keys::ELAPSED)?;
        let mut dates = BTreeMap::new();
        for key in view.keys(keys::DATES_IN_USE)? {
            let date = keys::last_word(&key).parse();
            if let (Ok(date), Some(in_use)) = (date, view.get(&key)?) {
                dates.insert(date, in_use);
            }
        }
        let moment = fs.clock().moment();
        let marked: Option<bool> = view.get(keys::COUNTED_FROM_BEGINNING)?;
        let is_new = marked.is_none() && counters.order == 0 && counters.message == 0;
        let from_beginning = is_new || marked.is_some();
        let counted = known.unwrap_or_else(|| Elapsed::begin(&moment, from_beginning));
        let mut ages = Ages::new(moment.wall, counted.clone(), dates);
        Ok(Self {
            was_set: ages.look(fs.clock()).is_some(),
            ages,
            counted,
            is_new,
        })
    }
}

impl Engine {
    /// What is to be done at this moment so that the spool does not grow without end.
    pub fn upkeep(&mut self) -> Result<Upkeep, EngineError> {
        self.land()?;
        if let Some(set) = self.ages.look(self.fs.clock()) {
            log::warn!(
                "the clock was set by {} s: what is kept for a time is kept by the time that the machine ran",
                set.num_seconds()
            );
            // What a page is due for goes by the date.
            self.worklists.touch_all();
        }
        // The pages of sessions are written outside the journal.
        self.note_today()?;
        let retention = self.retention()?;
        self.worklists.set_ages(self.ages.clone());
        Ok(Upkeep {
            retention,
            fs: self.fs.clone(),
            journal: self.spool.journal.clone(),
        })
    }

    /// Makes a snapshot of everything now: for tests.
    pub fn snapshot(&mut self) -> Result<(), EngineError> {
        self.land()?;
        self.committer.turn_journal()?;
        upkeep::keep(
            &self.fs,
            &self.spool.journal,
            SnapshotTrigger::Now,
            None,
            &|| false,
        )?;
        Ok(())
    }

    fn retention(&mut self) -> Result<Option<Retention>, EngineError> {
        if !self.ages.elapsed().is_retention_due() {
            if self.ages.elapsed().is_ahead_of(&self.counted) {
                self.write_count(Vec::new())?;
            }
            return Ok(None);
        }
        let config = self.config.retention.clone();
        let mut changes = Vec::new();
        let mut days = BTreeSet::new();
        for date in self.days_of_done() {
            let (_, today) = self.ages.today();
            let in_use = self.ages.in_use(date);
            if self.ages.is_day_past(date, config.done) {
                days.insert(date);
                // Said before anything goes, so that `verify` never takes it for lost.
                let gone = InUse {
                    gone: true,
                    ..in_use.unwrap_or(today)
                };
                if in_use != Some(gone) {
                    changes.push(self.note_date(date, gone)?);
                }
            } else if in_use.is_none() && !self.ages.elapsed().is_from_beginning() {
                changes.push(self.note_date(date, today)?);
            }
        }
        let segment = self.age_journal(config.journal, &mut changes)?;
        self.ages.retain();
        self.write_count(changes)?;
        Ok(Some(Retention {
            outbox: config.outbox,
            days,
            journal: segment.map(|segment| DeletionLimit {
                segment,
                written: self.ages.before(config.journal),
            }),
            owners: self
                .owner_folders()
                .map(|folders| (folders.name().to_owned(), folders.root.clone()))
                .collect(),
            ages: self.ages.clone(),
        }))
    }

    /// The days that have a folder in some `done/`. One that cannot be listed is looked at the next day.
    fn days_of_done(&self) -> BTreeSet<NaiveDate> {
        let mut days = BTreeSet::new();
        for folders in self.owner_folders() {
            let done = self.fs.open_dir(&folders.root, Path::new("done"));
            match done.and_then(|done| self.fs.list(&done)) {
                Ok(entries) => {
                    let folders = entries.iter().filter(|entry| entry.is_dir);
                    let names = folders.filter_map(|entry| entry.name.to_str());
                    days.extend(names.filter_map(retention::parse_day));
                }
                Err(error) => log::error!(
                    "retention of {}: {}; it is tried again tomorrow",
                    folders.name(),
                    error.without_path()
                ),
            }
        }
        days
    }

    /// Takes note of how far the journal has come; gives the segment before which it is older than what is kept.
    fn age_journal(
        &self,
        keep: Duration,
        changes: &mut Vec<KeyChange>,
    ) -> Result<Option<u64>, EngineError> {
        let Some(journal) = self.committer.journal() else {
            return Ok(None);
        };
        let segment = journal.position().segment;
        let view = PendingChanges::new(&*self.store);
        let mut marks: Vec<JournalAge> = view.get(keys::JOURNAL_AGES)?.unwrap_or_default();
        let is_old = |mark: &JournalAge| self.ages.is_counted_since(mark.seconds, keep);
        let old = marks.iter().rposition(is_old);
        // Those before it tell nothing more.
        let before = marks.drain(..old.unwrap_or(0)).count();
        let is_new = marks.last().is_none_or(|last| last.segment < segment);
        if is_new {
            let seconds = self.ages.elapsed().seconds();
            marks.push(JournalAge { seconds, segment });
        }
        if is_new || before > 0 {
            changes.push((keys::JOURNAL_AGES.to_owned(), Some(to_json(&marks)?)));
        }
        Ok(old.and(marks.first()).map(|mark| mark.segment))
    }

    /// Says in the journal that everything that comes will be counted.
    pub(super) fn count_from_beginning(&mut self) -> Result<(), EngineError> {
        let change = (
            keys::COUNTED_FROM_BEGINNING.to_owned(),
            Some(to_json(&true)?),
        );
        let changes = vec![change, layout_change()?];
        self.record("the count of time begins", changes)
    }

    fn write_count(&mut self, mut changes: Vec<KeyChange>) -> Result<(), EngineError> {
        let elapsed = self.ages.elapsed().clone();
        changes.push((keys::ELAPSED.to_owned(), Some(to_json(&elapsed)?)));
        self.record("retention", changes)?;
        self.counted = elapsed;
        Ok(())
    }

    fn note_date(&mut self, date: NaiveDate, in_use: InUse) -> Result<KeyChange, EngineError> {
        self.ages.note(date, in_use);
        Ok((keys::date_in_use(date), Some(to_json(&in_use)?)))
    }

    /// Takes note of the dates that a group writes: those of its output, and those of the days in `done/`.
    ///
    /// They go with the group, so that nothing bears a date that is not known to be in use.
    pub(super) fn note_dates(&mut self, group: &mut Group<'_>) -> Result<(), EngineError> {
        if group.moves.is_empty() {
            return Ok(());
        }
        let (today, in_use) = (self.now().date_naive(), self.ages.today().1);
        let mut dates = std::mem::take(&mut group.dates);
        dates.insert(today);
        let mut last = "";
        for ordered in &group.moves {
            let day = ordered.to.strip_prefix("done/");
            let day = day.and_then(|rest| rest.split_once('/'));
            if let Some((day, _)) = day.filter(|(day, _)| *day != last) {
                dates.extend(retention::parse_day(day));
                last = day;
            }
        }
        let mut changes = Vec::new();
        for date in dates {
            // What an earlier group was to write down may not have come to count.
            let known: Option<InUse> = group.view.get(&keys::date_in_use(date))?;
            if known != Some(in_use) {
                changes.push(self.note_date(date, in_use)?);
            }
        }
        if !changes.is_empty() {
            group.change("dates in use", changes);
        }
        Ok(())
    }

    /// Takes note that something outside the journal may be written today.
    fn note_today(&mut self) -> Result<(), EngineError> {
        let (today, in_use) = (self.now().date_naive(), self.ages.today().1);
        if self.ages.in_use(today) == Some(in_use) {
            return Ok(());
        }
        let change = self.note_date(today, in_use)?;
        self.record("dates in use", vec![change])
    }
}

impl Upkeep {
    /// Does it. `stop` may end it at any time: the next time goes on.
    ///
    /// # Errors
    /// Of the journal alone: what cannot be removed from a folder is logged, and tried again the next day.
    pub fn run(&self, stop: &dyn Fn() -> bool) -> Result<(), JournalError> {
        if let Some(retention) = &self.retention {
            retention.run(&self.fs, stop);
        }
        let old = self.retention.as_ref().and_then(|it| it.journal);
        let kept = upkeep::keep(&self.fs, &self.journal, SnapshotTrigger::Due, old, stop)?;
        if kept != upkeep::UpkeepResult::default() {
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
        // Once the clock is set back, a file that comes now may bear a date that was past a moment ago.
        let planned = self.ages.before(Duration::ZERO);
        let stop = &|| stop() || fs.clock().wall() < planned;
        for (name, root) in &self.owners {
            let done = retention::remove_days(fs, root, &self.days, stop);
            let outputs = retention::remove_outputs(fs, root, &self.ages, self.outbox, stop);
            if done.files + outputs.removed.files > 0 {
                log::info!(
                    "retention: {} received files and {} receipts and batches of {name} removed",
                    done.files,
                    outputs.removed.files
                );
            }
            if outputs.unfetched > 0 {
                log::warn!(
                    "retention: nothing says that {} of these receipts and batches of {name} were ever fetched",
                    outputs.unfetched
                );
            }
            log_problem(name, done);
            log_problem(name, outputs.removed);
        }
    }
}

fn log_problem(name: &str, removed: RemovalResult) {
    if let Some(problem) = removed.problem {
        // The path may hold a received name.
        log::error!(
            "retention of {name}: {}; it is tried again tomorrow",
            problem.without_path()
        );
    }
}
