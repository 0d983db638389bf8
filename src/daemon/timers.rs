//! When the loop of the daemon has to do what.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::looks::Looks;

/// When what is to be done.
pub(super) struct Timers {
    pub(super) rescan: Instant,
    /// Looks at inboxes.
    pub(super) looks: Looks,
    /// When claimed files that wait are tried again.
    pub(super) again: Option<Instant>,
    pub(super) idle: Option<Instant>,
    pub(super) upkeep: Instant,
    /// Batches, of each facility that has them on a timer.
    pub(super) reports: BTreeMap<String, Instant>,
    /// The status, where something happened since it was written.
    pub(super) status: Option<Instant>,
    pub(super) last_status: Instant,
    pub(super) watchdog: Option<(Duration, Instant)>,
}

impl Timers {
    /// Something happened that the status shows.
    pub(super) fn status_is_due(&mut self) {
        self.status.get_or_insert(self.last_status + BETWEEN_STATUS);
    }

    pub(super) fn next(&self) -> Instant {
        let watchdog = self.watchdog.map(|(_, next)| next);
        let perhaps = [
            self.looks.next(),
            self.again,
            self.idle,
            self.status,
            watchdog,
        ];
        let times = perhaps
            .into_iter()
            .flatten()
            .chain(self.reports.values().copied());
        times.fold(self.rescan.min(self.upkeep), Instant::min)
    }
}

/// The status is written at most so often.
pub(super) const BETWEEN_STATUS: Duration = Duration::from_secs(3);
