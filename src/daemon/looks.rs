//! When to look at which inbox: each has a time of its own, so that a look touches only where something happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::owner::Owner;

/// An inbox is left alone for so many times as long as the last look at it took: one with many folders would hold the
/// others up with every event.
const REST: u32 = 20;

/// The looks that are due, and the inboxes that rest.
#[derive(Debug, Default)]
pub(super) struct Looks {
    due: BTreeMap<Owner, Instant>,
    resting: BTreeMap<Owner, Instant>,
}

impl Looks {
    /// A look at this inbox at that time, or before; later if it rests.
    pub fn plan(&mut self, owner: &Owner, time: Instant) {
        let rested = self.resting.get(owner).copied();
        self.plan_exactly(owner, rested.map_or(time, |rested| rested.max(time)));
    }

    /// A look at this inbox at that time, or before, whether it rests or not.
    pub fn plan_exactly(&mut self, owner: &Owner, time: Instant) {
        match self.due.get_mut(owner) {
            Some(due) => *due = time.min(*due),
            None => {
                self.due.insert(owner.clone(), time);
            }
        }
    }

    /// The inboxes to look at now: they are taken off the list.
    pub fn take_due(&mut self, now: Instant) -> Vec<Owner> {
        let due = self.due.extract_if(.., |_, time| *time <= now);
        due.map(|(place, _)| place).collect()
    }

    /// A look at this inbox took so long, and ended now.
    pub fn took(&mut self, owner: &Owner, took: Duration, now: Instant) {
        self.resting
            .insert(owner.clone(), now + took.saturating_mul(REST));
    }

    /// When the next look is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_that_takes_long_rests_from_events_and_not_from_rescans() {
        let (quick, slow) = (Owner::Desk, Owner::Facility("slow".to_owned()));
        let (mut looks, start) = (Looks::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        looks.took(&slow, Duration::from_millis(20), start);
        looks.plan(&slow, at(1));
        looks.plan(&quick, at(2));
        looks.plan(&quick, at(1));
        assert_eq!(looks.next(), Some(at(1)));
        assert_eq!(looks.take_due(at(1)), std::slice::from_ref(&quick));
        assert!(looks.take_due(at(399)).is_empty());
        assert_eq!(looks.take_due(at(400)), std::slice::from_ref(&slow));
        assert_eq!(looks.next(), None);
        looks.plan_exactly(&slow, at(3));
        assert_eq!(looks.take_due(at(3)), [slow]);
    }
}
