//! Files that are ready to be taken in, in the order in which they are.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::engine::Arrival;
use crate::model::owner::Owner;

/// Files that are ready: the desk's first, then each facility's in its order, so that none waits for another.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) desk: VecDeque<Arrival>,
    pub(super) facilities: BTreeMap<Owner, VecDeque<Arrival>>,
}

impl Queue {
    /// Adds these, each after the others of its place.
    pub(super) fn add(&mut self, ready: Vec<Arrival>) {
        for arrival in ready {
            match arrival.owner {
                Owner::Desk => self.desk.push_back(arrival),
                _ => self
                    .facilities
                    .entry(arrival.owner.clone())
                    .or_default()
                    .push_back(arrival),
            }
        }
    }

    /// Leaves what is of this place to the next look at its inbox.
    pub(super) fn forget(&mut self, owner: &Owner) {
        match owner {
            Owner::Desk => self.desk.clear(),
            _ => {
                self.facilities.remove(owner);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.desk.is_empty() && self.facilities.is_empty()
    }

    /// Takes so many, none of the places that rest.
    pub(super) fn take(
        &mut self,
        count: usize,
        resting: &BTreeMap<Owner, Instant>,
    ) -> Vec<Arrival> {
        let first = match resting.contains_key(&Owner::Desk) {
            true => 0,
            false => self.desk.len().min(count),
        };
        let mut taken: Vec<Arrival> = self.desk.drain(..first).collect();
        loop {
            let of_others = self
                .facilities
                .iter_mut()
                .filter(|(place, _)| !resting.contains_key(place));
            let of_others: Vec<_> = of_others.map(|(_, of_facility)| of_facility).collect();
            if taken.len() >= count || of_others.is_empty() {
                break;
            }
            let share = (count - taken.len()).div_ceil(of_others.len());
            for of_facility in of_others {
                let share = share.min(of_facility.len()).min(count - taken.len());
                taken.extend(of_facility.drain(..share));
            }
            self.facilities
                .retain(|_, of_facility| !of_facility.is_empty());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_desk_comes_first_and_facilities_share() {
        let arrival = |owner: &Owner, number: usize| Arrival {
            owner: owner.clone(),
            path: PathBuf::from(number.to_string()),
        };
        let (a, b) = (
            Owner::Facility("a".to_owned()),
            Owner::Facility("b".to_owned()),
        );
        let many = (0..9).map(|number| arrival(&a, number));
        let few = (0..2).map(|number| arrival(&b, number));
        let mut queue = Queue::default();
        queue.add(many.chain(few).chain([arrival(&Owner::Desk, 0)]).collect());
        let first = queue.take(6, &BTreeMap::new());
        assert_eq!(first.len(), 6);
        assert_eq!(first[0].owner, Owner::Desk);
        assert_eq!(first.iter().filter(|taken| taken.owner == b).count(), 2);
        assert_eq!(
            queue
                .take(100, &BTreeMap::from([(a, Instant::now())]))
                .len(),
            0
        );
        assert_eq!(queue.take(100, &BTreeMap::new()).len(), 6);
        assert!(queue.is_empty());
        assert!(queue.take(1, &BTreeMap::new()).is_empty());
    }
}
