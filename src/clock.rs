//! The clocks of the machine: the one on the wall, which people and their servers set, and the one that only runs.
//!
//! What is written down is dated by the first. What is removed must not be decided by it alone (docs/design.md,
//! "Clock"), so the second one is read beside it. Tests give the engine a clock that they set themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::random::random_name;

/// Reads the time; a clone reads the same clock.
#[derive(Debug, Clone)]
pub struct Clock(ClockSource);

#[derive(Debug, Clone)]
enum ClockSource {
    System,
    ByHand(Arc<Mutex<Moment>>),
}

/// What both clocks say at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The clock on the wall.
    pub wall: DateTime<Utc>,
    /// How long the machine has run since it was started. Nobody sets that, and sleep does not count.
    pub running: Duration,
    /// Which start of the machine `running` counts from.
    pub boot: Arc<str>,
}

impl Default for Clock {
    fn default() -> Self {
        Self(ClockSource::System)
    }
}

impl Clock {
    /// A clock that stands at this moment until it is told otherwise.
    pub fn by_hand(moment: Moment) -> Self {
        Self(ClockSource::ByHand(Arc::new(Mutex::new(moment))))
    }

    /// Changes what a clock by hand says; the machine's own cannot be changed here.
    pub fn set(&self, change: impl FnOnce(&mut Moment)) {
        if let ClockSource::ByHand(moment) = &self.0 {
            change(&mut moment.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What the clock on the wall says.
    pub fn wall(&self) -> DateTime<Utc> {
        match &self.0 {
            ClockSource::System => Utc::now(),
            ClockSource::ByHand(moment) => {
                let moment = moment.lock().unwrap_or_else(PoisonError::into_inner);
                moment.wall
            }
        }
    }

    /// What both clocks say.
    pub fn moment(&self) -> Moment {
        match &self.0 {
            ClockSource::System => Moment {
                wall: Utc::now(),
                running: running(),
                boot: boot(),
            },
            ClockSource::ByHand(moment) => moment
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

impl Moment {
    /// By how much the clock on the wall was set between an earlier moment and this one, where the same start of the
    /// machine tells; nothing for what a clock that is corrected little by little differs by.
    pub fn set_since(&self, earlier: &Moment) -> Option<TimeDelta> {
        if self.boot != earlier.boot {
            return None;
        }
        let ran = self.running.saturating_sub(earlier.running);
        let set = (self.wall - earlier.wall) - TimeDelta::from_std(ran).ok()?;
        let slewed = Duration::from_secs(2) + ran / 1000;
        (set.abs() > TimeDelta::from_std(slewed).ok()?).then_some(set)
    }
}

/// Notices when the clock on the wall is set.
#[derive(Debug, Default)]
pub struct Settings {
    last: Option<Moment>,
    /// When it was noticed last, on the clock that only runs.
    noticed: Option<Duration>,
}

impl Settings {
    /// Looks at the clock; gives by how much it was set since the last look.
    pub fn look(&mut self, clock: &Clock) -> Option<TimeDelta> {
        let now = clock.moment();
        let set = self.last.as_ref().and_then(|last| now.set_since(last));
        if set.is_some() {
            self.noticed = Some(now.running);
        }
        self.last = Some(now);
        set
    }

    /// The clock was set before the first look.
    pub fn notice(&mut self, clock: &Clock) {
        self.noticed = Some(clock.moment().running);
    }

    /// Whether, at the last look, it was known to have been set within this time.
    pub fn is_within(&self, time: Duration) -> bool {
        match (&self.last, self.noticed) {
            (Some(last), Some(noticed)) => last.running.saturating_sub(noticed) <= time,
            _ => false,
        }
    }
}

fn running() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The kernel's name for this start of the machine. Where it gives none, each process counts as a start of its own.
fn boot() -> Arc<str> {
    static BOOT: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
    let read = || match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => Arc::from(id.trim()),
        Err(_) => Arc::from(random_name()),
    };
    Arc::clone(BOOT.get_or_init(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, running: u64, boot: &str) -> Moment {
        Moment {
            wall: DateTime::from_timestamp(1_750_000_000 + wall, 0).unwrap(),
            running: Duration::from_secs(running),
            boot: boot.into(),
        }
    }

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_runs() {
        let start = at(0, 100, "a");
        for (now, set) in [
            (at(50, 150, "a"), None),
            (at(51, 150, "a"), None),
            (at(86_443, 86_500, "a"), None),
            (at(3600, 100, "a"), Some(3600)),
            (at(-3600, 160, "a"), Some(-3660)),
            (at(400, 10, "b"), None),
        ] {
            assert_eq!(now.set_since(&start).map(|set| set.num_seconds()), set);
        }
    }

    #[test]
    fn the_machines_own_clocks_run() {
        let clock = Clock::default();
        let (one, two) = (clock.moment(), clock.moment());
        assert!(one.running <= two.running && !one.running.is_zero());
        assert_eq!(one.boot, two.boot);
        assert!(!one.boot.is_empty());
    }
}
