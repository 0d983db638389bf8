//! How old things are, by a measure that no wrong clock on the wall moves (docs/design.md, "Clock").
//!
//! [`Elapsed`] counts the time that is known to have passed. [`Ages`] knows on which of the days so counted a date of
//! the wall clock was last written to anything, be it the name of a folder or the time of a file. What bears a date is
//! old only where the wall clock says so, and that date was last in use so long ago.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Moment};

/// A day in seconds.
const DAY: u64 = 24 * 60 * 60;

/// What is asked of the measured age beyond that of the configuration: the day that one start of the machine may be
/// counted too much ([`Elapsed::look`]).
const MARGIN: u64 = DAY;

/// A batch or receipt of which nothing says that it was fetched is kept so much longer.
pub const UNFETCHED: Duration = Duration::from_secs(30 * DAY);

/// The time that is known to have passed since the spool was set up, or first used by a version that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elapsed {
    /// In seconds.
    seconds: u64,
    /// How many of them only the wall clock told of, while the machine was off.
    granted: u64,
    /// Whether it was counted from the first file on.
    from_beginning: bool,
    /// The measured day on which retention went on last.
    retained: Option<u64>,
    /// When it was counted up last, by each clock.
    wall: DateTime<Utc>,
    running: u64,
    boot: String,
}

impl Elapsed {
    /// Begins to count.
    pub fn begin(now: &Moment, from_beginning: bool) -> Self {
        Self {
            seconds: 0,
            granted: 0,
            from_beginning,
            retained: None,
            wall: now.wall,
            running: now.running.as_secs(),
            boot: now.boot.to_string(),
        }
    }

    /// Counts up to now, and says by how much the wall clock was set, as far as can be told.
    ///
    /// Since the same start of the machine, the clock that only runs tells exactly what passed, whether or not a
    /// process of ours was there. For the time before a new start there is only the wall clock: it is believed up to
    /// one day for each start. Whenever it turns out to have been set back, so much of what was believed is taken back.
    pub fn look(&mut self, now: &Moment) -> Option<TimeDelta> {
        let then = Moment {
            wall: self.wall,
            running: Duration::from_secs(self.running),
            boot: self.boot.as_str().into(),
        };
        let set = if now.boot == then.boot {
            let ran = now.running.as_secs().saturating_sub(self.running);
            self.seconds = self.seconds.saturating_add(ran);
            now.set_since(&then)
        } else {
            let said = now.wall - self.wall;
            let granted = u64::try_from(said.num_seconds()).unwrap_or_default();
            let granted = granted.min(DAY);
            self.seconds = self.seconds.saturating_add(granted);
            self.granted = self.granted.saturating_add(granted);
            (said < TimeDelta::zero()).then_some(said)
        };
        if let Some(back) = set.and_then(|set| u64::try_from(-set.num_seconds()).ok()) {
            let back = back.min(self.granted);
            self.granted -= back;
            self.seconds = self.seconds.saturating_sub(back);
        }
        self.wall = now.wall;
        self.running = now.running.as_secs();
        self.boot = now.boot.to_string();
        set
    }

    /// The number of the measured day.
    pub fn day(&self) -> u64 {
        self.seconds / DAY
    }

    /// How many seconds were counted.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Whether it was counted from the first file on.
    pub fn is_from_beginning(&self) -> bool {
        self.from_beginning
    }

    /// Whether retention has still to go on on this measured day.
    pub fn is_retention_due(&self) -> bool {
        self.retained != Some(self.day())
    }

    /// Retention goes on.
    pub fn retain(&mut self) {
        self.retained = Some(self.day());
    }

    /// Whether what was counted since `saved` is worth being written down.
    pub fn is_ahead_of(&self, saved: &Self) -> bool {
        const HOUR: u64 = 60 * 60;
        self.boot != saved.boot
            || self.granted != saved.granted
            || self.retained != saved.retained
            || self.seconds.abs_diff(saved.seconds) >= HOUR
    }
}

/// When a date of the wall clock was last written to anything of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// The number of the measured day.
    pub day: u64,
    /// Whether the folder of this date in `done/` was given up for removal since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// How old things are at a moment.
#[derive(Debug, Clone)]
pub struct Ages {
    wall: DateTime<Utc>,
    elapsed: Elapsed,
    dates: BTreeMap<NaiveDate, InUse>,
}

impl Ages {
    /// As of now, with these dates.
    pub fn new(wall: DateTime<Utc>, elapsed: Elapsed, dates: BTreeMap<NaiveDate, InUse>) -> Self {
        Self {
            wall,
            elapsed,
            dates,
        }
    }

    /// What was counted.
    pub fn elapsed(&self) -> &Elapsed {
        &self.elapsed
    }

    /// Goes on to now; says by how much the wall clock was set.
    pub fn look(&mut self, clock: &Clock) -> Option<TimeDelta> {
        let now = clock.moment();
        self.wall = now.wall;
        self.elapsed.look(&now)
    }

    /// Retention goes on.
    pub fn retain(&mut self) {
        self.elapsed.retain();
    }

    /// What is known of a date.
    pub fn in_use(&self, date: NaiveDate) -> Option<InUse> {
        self.dates.get(&date).copied()
    }

    /// Takes note of a date.
    pub fn note(&mut self, date: NaiveDate, in_use: InUse) {
        self.dates.insert(date, in_use);
    }

    /// Today, as the wall clock and the count say.
    pub fn today(&self) -> (NaiveDate, InUse) {
        let in_use = InUse {
            day: self.elapsed.day(),
            gone: false,
        };
        (self.wall.date_naive(), in_use)
    }

    /// Whether a folder of this date in `done/` has been kept long enough.
    pub fn is_day_past(&self, date: NaiveDate, keep: Duration) -> bool {
        date < self.first_day(keep) && self.is_unused_for(date, keep)
    }

    /// Whether a file written at this time has been kept long enough.
    pub fn is_file_past(&self, modified: DateTime<Utc>, keep: Duration) -> bool {
        modified < self.before(keep) && self.is_unused_for(modified.date_naive(), keep)
    }

    /// Whether a date that was set for something to come went by so long ago: that date, or one after it, was in use
    /// before the time for which it is kept.
    pub fn went_by(&self, date: NaiveDate, keep: Duration) -> bool {
        let mut since = self.dates.range(date..).map(|(date, _)| *date);
        date < self.first_day(keep) && since.any(|date| self.is_unused_for(date, keep))
    }

    /// Whether so much time was counted since that count.
    pub fn is_counted_since(&self, seconds: u64, keep: Duration) -> bool {
        let age = self.elapsed.seconds.saturating_sub(seconds);
        age >= keep.as_secs().saturating_add(MARGIN)
    }

    /// So long ago, as the wall clock says.
    pub fn before(&self, keep: Duration) -> DateTime<Utc> {
        TimeDelta::from_std(keep)
            .ok()
            .and_then(|keep| self.wall.checked_sub_signed(keep))
            .unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// The day after the last that, so long ago, had ended in every time zone, as the wall clock says.
    fn first_day(&self, keep: Duration) -> NaiveDate {
        let keep = keep.saturating_add(Duration::from_secs(DAY));
        self.before(keep).date_naive()
    }

    fn is_unused_for(&self, date: NaiveDate, keep: Duration) -> bool {
        match self.dates.get(&date) {
            // It may have been in use until that measured day ended.
            Some(in_use) => {
                let end = in_use.day.saturating_add(1).saturating_mul(DAY);
                self.is_counted_since(end, keep)
            }
            // Nothing of ours bears it; else it may have been in use until the count began.
            None => self.elapsed.from_beginning || self.is_counted_since(0, keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(90 * DAY);

    fn moment(wall_day: i64, running_day: u64, boot: &str) -> Moment {
        Moment {
            wall: DateTime::from_timestamp(1_750_000_000, 0).unwrap() + TimeDelta::days(wall_day),
            running: Duration::from_secs(running_day * DAY),
            boot: boot.into(),
        }
    }

    /// Days that are counted after these looks: day on the wall, days run, start of the machine.
    fn counted(looks: &[(i64, u64, &str)]) -> u64 {
        let mut looks = looks
            .iter()
            .map(|(wall, run, boot)| moment(*wall, *run, boot));
        let mut elapsed = Elapsed::begin(&looks.next().unwrap(), true);
        for now in looks {
            elapsed.look(&now);
        }
        elapsed.day()
    }

    #[test]
    fn while_the_machine_runs_the_wall_clock_counts_for_nothing() {
        for (looks, days) in [
            (&[(0, 5, "a"), (1, 6, "a"), (2, 7, "a")][..], 2),
            (&[(0, 5, "a"), (400, 5, "a")], 0),
            (&[(0, 5, "a"), (400, 6, "a"), (2, 7, "a")], 2),
            (&[(0, 5, "a"), (-400, 6, "a"), (2, 7, "a")], 2),
            // What runs was never seen to run backwards, but for a machine that was put back to what it was.
            (&[(0, 5, "a"), (1, 3, "a")], 0),
        ] {
            assert_eq!(counted(looks), days, "{looks:?}");
        }
    }

    #[test]
    fn a_start_of_the_machine_counts_for_a_day_at_most_and_is_taken_back() {
        for (looks, days) in [
            // Off for some hours each night, off for a week, and a machine that runs on another each day.
            (&[(0, 0, "a"), (1, 0, "b"), (2, 0, "c"), (3, 0, "d")][..], 3),
            (&[(0, 0, "a"), (7, 0, "b")], 1),
            (&[(0, 900, "a"), (1, 20, "b"), (2, 901, "a")], 2),
            // Ahead at a start, put right while it runs, or while it is off.
            (&[(0, 0, "a"), (400, 0, "b")], 1),
            (&[(0, 0, "a"), (400, 0, "b"), (0, 0, "b")], 0),
            (&[(0, 0, "a"), (400, 0, "b"), (1, 0, "c")], 0),
            (&[(0, 0, "a"), (400, 0, "b"), (1, 1, "b")], 1),
            // Behind at a start.
            (
                &[(0, 0, "a"), (-400, 0, "b"), (-399, 1, "b"), (2, 2, "b")],
                2,
            ),
            // What ran while the machine was on is never taken back.
            (&[(0, 0, "a"), (50, 50, "a"), (-400, 50, "a")], 50),
        ] {
            assert_eq!(counted(looks), days, "{looks:?}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_at_each_start_and_then_put_right_counts_nothing_too_much() {
        let mut elapsed = Elapsed::begin(&moment(0, 0, "0"), true);
        for day in 1..=40 {
            let boot = day.to_string();
            for ahead in [400, 1, 0] {
                elapsed.look(&moment(day + ahead, 0, &boot));
            }
        }
        assert!(elapsed.day() <= 40, "{elapsed:?}");
    }

    fn ages(elapsed_days: u64, wall_day: i64, dates: &[(i64, u64)], from_beginning: bool) -> Ages {
        let start = moment(0, 0, "a");
        let mut elapsed = Elapsed::begin(&start, from_beginning);
        let now = moment(wall_day, elapsed_days, "a");
        elapsed.look(&now);
        let date = |day: i64| moment(day, 0, "").wall.date_naive();
        let dates = dates
            .iter()
            .map(|(wall, day)| {
                let in_use = InUse {
                    day: *day,
                    gone: false,
                };
                (date(*wall), in_use)
            })
            .collect();
        Ages::new(now.wall, elapsed, dates)
    }

    fn day(day: i64) -> NaiveDate {
        moment(day, 0, "").wall.date_naive()
    }

    #[test]
    fn a_day_is_past_where_the_wall_clock_and_the_count_agree() {
        let in_use = [(0, 0), (400, 3), (-400, 3)];
        for (elapsed, wall, date, past) in [
            (92, 92, 0, true),
            (91, 91, 0, false),
            // A clock that is ahead, and one that was behind when that day was written.
            (5, 405, 0, false),
            (5, 5, -400, false),
            (95, 95, -400, true),
            // A clock that was ahead when that day was written.
            (95, 95, 400, false),
            (95, 495, 400, true),
            // A clock that is behind.
            (200, 10, 0, false),
            // Made by somebody else.
            (5, 5, -200, true),
        ] {
            let ages = ages(elapsed, wall, &in_use, true);
            assert_eq!(
                ages.is_day_past(day(date), KEEP),
                past,
                "{elapsed} {wall} {date}"
            );
        }
        // Written before anybody counted.
        assert!(!ages(5, 5, &in_use, false).is_day_past(day(-200), KEEP));
        assert!(ages(91, 91, &in_use, false).is_day_past(day(-200), KEEP));
    }

    #[test]
    fn a_date_to_come_has_gone_by_only_once_that_was_seen_so_long_ago() {
        let in_use = [(0, 0), (50, 50), (60, 60)];
        for (elapsed, wall, date, gone) in [
            (152, 152, 55, true),
            (140, 140, 55, false),
            (70, 470, 55, false),
            (200, 600, 100, false),
        ] {
            let ages = ages(elapsed, wall, &in_use, true);
            assert_eq!(
                ages.went_by(day(date), KEEP),
                gone,
                "{elapsed} {wall} {date}"
            );
        }
    }

    #[test]
    fn the_longest_time_to_keep_and_the_edges_of_the_calendar_end_no_process() {
        let ages = ages(5, 5, &[(0, 0)], true);
        for keep in [Duration::ZERO, KEEP, Duration::MAX] {
            for date in [NaiveDate::MIN, day(0), NaiveDate::MAX] {
                ages.is_day_past(date, keep);
                ages.went_by(date, keep);
            }
            for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
                ages.is_file_past(time, keep);
            }
        }
    }
}
