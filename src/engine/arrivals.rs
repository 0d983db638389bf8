//! What is ready to be taken in: a sweep of every inbox, and what was seen of its files before.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Arrival, Engine, place_name};
use crate::intake::desk::is_command;
use crate::journal::Place;
use crate::spool::settle::Settling;
use crate::spool::sweep::sweep;

/// What was seen of the files of every inbox.
#[derive(Debug, Default)]
pub struct Arrivals {
    settling: BTreeMap<Place, Settling>,
}

/// What a sweep of every inbox found.
#[derive(Debug, Default)]
pub struct Swept {
    /// The files that are ready, the desk's first, then each facility's in the order of their arrival.
    pub ready: Vec<Arrival>,
    /// How many files are still to settle, or wait for one that does.
    pub unsettled: usize,
    /// After what time the first of them may be ready.
    pub next: Option<Duration>,
    /// How many files lie in each inbox to be taken in, ready or not.
    pub backlog: BTreeMap<String, usize>,
    /// What could not be looked at, in words, with the station it belongs to.
    pub problems: Vec<(String, String)>,
    /// How many things lie in each inbox that are never taken in: links, pipes, sockets, devices.
    pub strange: BTreeMap<String, usize>,
}

impl Arrivals {
    /// What was seen of one inbox, for files that are known to have arrived whole.
    pub fn settling(&mut self, place: &Place) -> &mut Settling {
        self.settling.entry(place.clone()).or_default()
    }
}

impl Engine {
    /// Looks at every inbox that can be reached. A file is ready once two looks, `intake.settle` apart, see the same.
    pub fn sweep_all(&self, arrivals: &mut Arrivals) -> Swept {
        let intake = &self.config.intake;
        let mut swept = Swept::default();
        for station in self.stations() {
            let seen = sweep(station, &intake.ignore);
            let local = self.is_local(station);
            let settling = arrivals.settling(&station.place);
            let ready = settling.ready(&seen, intake.settle, local);
            swept.unsettled += seen.files.len() - ready.len();
            swept.next = [swept.next, settling.next()].into_iter().flatten().min();
            let name = place_name(&station.place);
            let is_taken = |path: &Path| station.place != Place::Desk || is_command(path);
            let backlog = seen.files.iter().filter(|found| is_taken(&found.path));
            swept.backlog.insert(name.to_owned(), backlog.count());
            if !seen.strange.is_empty() {
                swept.strange.insert(name.to_owned(), seen.strange.len());
            }
            let problems = seen.problems.into_iter();
            swept
                .problems
                .extend(problems.map(|problem| (name.to_owned(), problem)));
            // At the desk, anything else is claimed by the command that names it.
            let taken = ready.into_iter().filter(|found| is_taken(&found.path));
            swept.ready.extend(taken.map(|found| Arrival {
                place: station.place.clone(),
                path: found.path,
            }));
        }
        swept
    }
}
