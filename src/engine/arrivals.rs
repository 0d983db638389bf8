//! What is ready to be taken in: a sweep of every inbox, and what was seen of its files before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::io::Errno;

use super::{Arrival, Engine, HoldScope, owner_name};
use crate::clock::Settings;
use crate::intake::desk::is_command;
use crate::model::owner::Owner;
use crate::spool::layout::OwnerFolders;
use crate::spool::stability::Stability;
use crate::spool::sweep::{Blocked, Hindrance, InboxFile, Sweep, sweep};

/// What was seen of the files of every inbox.
#[derive(Debug, Default)]
pub struct Arrivals {
    settling: BTreeMap<Owner, Stability>,
    clock: Option<Settings>,
    /// Since when each folder was seen blocked in that way.
    blocked: BTreeMap<Owner, Vec<(Blocked, FirstSight)>>,
}

/// When something was seen for the first time, on both clocks.
#[derive(Debug, Clone, Copy)]
struct FirstSight {
    time: DateTime<Utc>,
    moment: Instant,
}

/// What the last look at each inbox found.
#[derive(Debug, Default)]
pub struct SweepResult {
    /// The files that are ready, the desk's first, then each facility's in the order of their arrival.
    pub ready: Vec<Arrival>,
    /// What was found in each inbox that could be looked at, by its facility, or `desk`.
    pub inboxes: BTreeMap<String, Inbox>,
}

impl SweepResult {
    /// How many files are still to settle, or wait for one that does.
    pub fn unsettled(&self) -> usize {
        self.inboxes.values().map(|inbox| inbox.unsettled).sum()
    }
}

/// What a sweep found in one inbox.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    /// How many files lie there to be taken in, ready or not.
    pub backlog: usize,
    /// How many of them still settle, or wait for one that does.
    pub settling: usize,
    /// The same, with files that are taken in only where a command names them.
    unsettled: usize,
    /// After what time the first of these may be ready.
    pub next: Option<Duration>,
    /// How many of these are newer than our clock.
    pub newer_than_clock: usize,
    /// How many of them lie in folders that they cannot be moved out of.
    pub stuck: usize,
    /// How many things lie there that are never taken in: links, pipes, sockets, devices.
    pub strange: usize,
    /// The folders whose files cannot be had.
    pub blocked: Vec<BlockedFolder>,
    /// How many files had been claimed out of it by then.
    claimed: u64,
}

/// A folder of an inbox whose files cannot be had.
#[derive(Debug, Clone)]
pub struct BlockedFolder {
    /// Its path below the inbox; empty for the inbox itself.
    pub folder: PathBuf,
    /// What cannot be done with it.
    pub hindrance: Hindrance,
    /// When that was seen first.
    pub since: DateTime<Utc>,
    /// Whether it has been so for as long as a file takes to settle: an upload may set rights when it ends.
    pub lasts: bool,
}

impl Arrivals {
    /// What was seen of one inbox, for files that are known to have arrived whole.
    pub fn settling(&mut self, owner: &Owner) -> &mut Stability {
        self.settling.entry(owner.clone()).or_default()
    }

    /// Since when these folders are blocked; what was blocked before and is not now is forgotten.
    fn blocked(
        &mut self,
        owner: &Owner,
        now: Vec<Blocked>,
        settle: Duration,
    ) -> Vec<BlockedFolder> {
        let before = self.blocked.remove(owner).unwrap_or_default();
        let mut before: BTreeMap<PathBuf, (Blocked, FirstSight)> = before
            .into_iter()
            .map(|(blocked, seen)| (blocked.folder.clone(), (blocked, seen)))
            .collect();
        let here = FirstSight {
            time: Utc::now(),
            moment: Instant::now(),
        };
        let seen: Vec<(Blocked, FirstSight)> = now
            .into_iter()
            .map(|blocked| match before.remove(&blocked.folder) {
                Some((former, seen)) if former == blocked => (blocked, seen),
                _ => (blocked, here),
            })
            .collect();
        let shown = seen.iter().map(|(blocked, seen)| BlockedFolder {
            folder: blocked.folder.clone(),
            hindrance: blocked.hindrance.clone(),
            since: seen.time,
            lasts: here.moment.duration_since(seen.moment) >= settle,
        });
        let shown = shown.collect();
        if !seen.is_empty() {
            self.blocked.insert(owner.clone(), seen);
        }
        shown
    }
}

/// The folders that files could not be claimed out of though our rights on them allow it, as the system answered.
#[derive(Debug, Default)]
pub(super) struct ClaimRefusals {
    folders: BTreeMap<(Owner, PathBuf), ClaimRefusal>,
}

#[derive(Debug)]
struct ClaimRefusal {
    problem: String,
    /// Whether all its files would be refused; else only one may be meant, and the others are tried.
    is_whole: bool,
    /// How many it refused since the sweep before.
    count: usize,
    /// Whether it refused one since the last sweep.
    refused_now: bool,
    /// Whether nothing more is tried with it in this call.
    is_left_alone: bool,
}

impl ClaimRefusals {
    /// Files are to be claimed anew.
    pub fn try_again(&mut self) {
        for refusing in self.folders.values_mut() {
            refusing.is_left_alone = false;
        }
    }

    /// Whether nothing more is tried with this folder in this call.
    pub fn is_left_alone(&self, arrival: &Arrival) -> bool {
        if self.folders.is_empty() {
            return false;
        }
        let refusing = self.folders.get(&Self::key(arrival));
        refusing.is_some_and(|it| it.is_left_alone)
    }

    /// A file could not be claimed.
    pub fn refused(&mut self, arrival: &Arrival, error: &std::io::Error) {
        let key = Self::key(arrival);
        let before = self.folders.get(&key).filter(|it| it.refused_now);
        let is_whole = Errno::from_io_error(error) == Some(Errno::ACCESS);
        let refusing = ClaimRefusal {
            problem: error.to_string(),
            is_whole,
            is_left_alone: is_whole,
            count: before.map_or(0, |it| it.count) + 1,
            refused_now: true,
        };
        self.folders.insert(key, refusing);
    }

    /// A sweep found these files: folders without any are forgotten.
    fn look_again(&mut self, owner: &Owner, files: &[InboxFile]) {
        if self.folders.is_empty() {
            return;
        }
        let folders: BTreeSet<&Path> = files.iter().map(|found| folder_of(&found.path)).collect();
        self.folders.retain(|(of, folder), refusing| {
            of != owner
                || std::mem::take(&mut refusing.refused_now) && folders.contains(folder.as_path())
        });
    }

    fn of<'u>(&'u self, place: &'u Owner) -> impl Iterator<Item = Blocked> + 'u {
        let of_place = self.folders.iter().filter(move |((of, _), _)| of == place);
        of_place.map(|((_, folder), refusing)| Blocked {
            folder: folder.clone(),
            hindrance: Hindrance::Other(refusing.problem.clone()),
        })
    }

    /// How many of these files it refuses.
    fn stuck(&self, owner: &Owner, files: &[InboxFile]) -> usize {
        if self.folders.is_empty() {
            return 0;
        }
        let mut files_of: BTreeMap<&Path, usize> = BTreeMap::new();
        for found in files {
            *files_of.entry(folder_of(&found.path)).or_default() += 1;
        }
        let of_place = self.folders.iter().filter(|((of, _), _)| of == owner);
        let counts = of_place.map(|((_, folder), refusing)| match refusing.is_whole {
            true => files_of.get(folder.as_path()).copied().unwrap_or_default(),
            false => refusing.count,
        });
        counts.sum()
    }

    fn key(arrival: &Arrival) -> (Owner, PathBuf) {
        let folder = folder_of(&arrival.path).to_owned();
        (arrival.owner.clone(), folder)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Engine {
    /// Looks at every inbox that can be reached. A file is ready once two looks, `intake.settle` apart, see the same.
    pub fn sweep_all(&mut self, arrivals: &mut Arrivals) -> SweepResult {
        let mut swept = SweepResult::default();
        for place in self.owners() {
            self.sweep_inbox(&place, arrivals, &mut swept);
        }
        self.lift_what_is_over();
        swept
    }

    /// Looks at one inbox, if it can be reached: what was found there before gives way.
    pub fn sweep_inbox(&mut self, owner: &Owner, arrivals: &mut Arrivals, swept: &mut SweepResult) {
        self.look_at_clock(arrivals);
        swept.inboxes.remove(owner_name(owner));
        let mut unclaimed = std::mem::take(&mut self.unclaimed);
        if let Some(folders) = self.folders_of(owner) {
            self.sweep_one(folders, arrivals, &mut unclaimed, swept);
        }
        self.unclaimed = unclaimed;
    }

    /// The places that can be reached, the desk first.
    pub fn owners(&self) -> Vec<Owner> {
        self.owner_folders().map(|it| it.owner.clone()).collect()
    }

    /// What nobody meets any more is held no more, also where nothing else comes.
    pub fn lift_what_is_over(&mut self) {
        let held = self.holds.iter();
        let held = held.filter(|(_, hold)| hold.held == HoldScope::SomeFiles);
        let places: Vec<Owner> = held.map(|(place, _)| place.clone()).collect();
        for place in places {
            // While a place rests, none of its files is tried.
            if self.folders_of(&place).is_some()
                && !self.turns.waits(&place)
                && self.unclaimed.of(&place).next().is_none()
            {
                self.holds.lift(&place, HoldScope::SomeFiles);
            }
        }
        self.forget_holds();
    }

    fn sweep_one(
        &self,
        folders: &OwnerFolders,
        arrivals: &mut Arrivals,
        unclaimed: &mut ClaimRefusals,
        swept: &mut SweepResult,
    ) {
        let settle = self.config.intake.settle;
        let owner = &folders.owner;
        let seen = sweep(folders, &self.config.intake.ignore);
        let is_clock_steady = !arrivals
            .clock
            .as_ref()
            .is_some_and(|it| it.is_within(settle));
        let local = is_clock_steady && self.is_local(folders);
        let now = self.fs.clock().wall();
        let wall =
            i128::from(now.timestamp()) * 1_000_000_000 + i128::from(now.timestamp_subsec_nanos());
        let settling = arrivals.settling(owner);
        let were_newer = settling.newer_than_clock() > 0;
        let ready = settling.ready(&seen, settle, local, wall);
        let newer_than_clock = settling.newer_than_clock();
        if newer_than_clock > 0 && !were_newer {
            log::warn!(
                "{}: {newer_than_clock} file(s) newer than our clock wait until they stay the same for intake.settle: look at the clock of their sender, and at that of this machine",
                owner_name(owner),
            );
        }
        let unsettled = seen.files.len() - ready.len();
        let next = settling.next();
        unclaimed.look_again(owner, &seen.files);
        let Sweep {
            files,
            strange,
            mut blocked,
        } = seen;
        let shut: BTreeSet<PathBuf> = blocked
            .iter()
            .filter(|it| it.hindrance == Hindrance::MovingOut)
            .map(|it| it.folder.clone())
            .collect();
        let known: BTreeSet<PathBuf> = blocked.iter().map(|it| it.folder.clone()).collect();
        let more = unclaimed.of(owner);
        blocked.extend(more.filter(|it| !known.contains(&it.folder)));
        // At the desk, anything else is claimed by the command that names it.
        let is_taken = |found: &&InboxFile| *owner != Owner::Desk || is_command(&found.path);
        let can_move =
            |found: &&InboxFile| shut.is_empty() || !shut.contains(folder_of(&found.path));
        let backlog = files.iter().filter(is_taken).count();
        let stuck = files.iter().filter(is_taken).filter(|it| !can_move(it));
        let inbox = Inbox {
            backlog,
            settling: backlog - ready.iter().filter(is_taken).count(),
            unsettled,
            next,
            newer_than_clock,
            stuck: (stuck.count() + unclaimed.stuck(owner, &files)).min(backlog),
            strange: strange.len(),
            blocked: arrivals.blocked(owner, blocked, settle),
            claimed: self.claimed.get(owner).copied().unwrap_or_default(),
        };
        let ready = ready.iter().filter(is_taken).filter(can_move);
        swept.ready.extend(ready.map(|found| Arrival {
            owner: owner.clone(),
            path: found.path.clone(),
        }));
        swept.inboxes.insert(owner_name(owner).to_owned(), inbox);
    }

    /// How many files wait in this inbox by now: those that the sweep saw without those that were claimed since.
    pub fn backlog(&self, owner: &Owner, inbox: &Inbox) -> usize {
        let claimed = self.claimed.get(owner).copied().unwrap_or_default();
        let since = usize::try_from(claimed.saturating_sub(inbox.claimed)).unwrap_or(usize::MAX);
        inbox.backlog.saturating_sub(since)
    }

    /// The kernel's times do not tell how long ago a file was changed that may have been changed before the wall clock
    /// was set.
    fn look_at_clock(&self, arrivals: &mut Arrivals) {
        let clock = self.fs.clock();
        let settings = arrivals.clock.get_or_insert_with(|| {
            let mut settings = Settings::default();
            if self.was_set {
                settings.notice(clock);
            }
            settings
        });
        settings.look(clock);
    }
}
