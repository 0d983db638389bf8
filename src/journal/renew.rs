//! Beginning a journal again after a loss was accepted: what is known becomes its base, and what is older is set aside.
//!
//! The base is a snapshot with a number that none had, of the store where that is trusted, else of what the journal
//! gives up to the first place that cannot be read. The segment after it has a new identity. Nothing is removed: files
//! that take no part any more lie in a folder of their own. Until that segment is there every start is refused, and
//! what was begun can be done again.

use std::path::{Path, PathBuf};

use super::folder::{self, JournalFolder, Unit};
use super::runs::Runs;
use super::snapshot::{self, Snapshot};
use super::{
    Counters, Entry, GroupVisitor, JournalError, JournalPosition, OpenMoves, SnapshotHeader,
    archive, end_of, segment, upkeep,
};
use crate::spool::fs::{Dir, Fs};
use crate::store::{KeyChange, Store};

/// Begins the name of the folder with the files that take no part any more.
const SET_ASIDE: &str = "set-aside-";

/// What says best what was known.
pub enum Truth<'t> {
    /// The journal, as far as it can be read.
    Journal,
    /// A store that has all that the journal had, with the moves that were still to do.
    Store(&'t dyn Store, OpenMoves),
}

/// How a journal goes on.
pub struct Next<'n> {
    /// Its new identity.
    pub identity: &'n str,
    /// Numbers that it goes on above, whatever it holds itself.
    pub above: Counters,
    /// Changes beside what is known.
    pub changes: Vec<KeyChange>,
}

/// What became of a journal that was begun again.
#[derive(Debug)]
pub struct JournalRenewal {
    /// Where reading ended, if not at its end: what came after is forgotten.
    pub ended: Option<JournalError>,
    /// Where the files lie that take no part any more.
    pub set_aside: Option<PathBuf>,
}

/// Begins the journal in this folder again. Every change that can be read of what is not taken up is given to `seen`.
pub fn begin_again(
    fs: &Fs,
    dir: &Dir,
    truth: Truth<'_>,
    next: Next<'_>,
    seen: &mut dyn FnMut(&KeyChange),
) -> Result<JournalRenewal, JournalError> {
    fs.sync_file_system(dir)?;
    let folder = JournalFolder::list(fs, dir)?;
    for name in &folder.unfinished {
        fs.remove(dir, name)?;
    }
    let number = newest_number(fs, dir, &folder)? + 1;
    let mut runs = Runs::new(fs, dir, folder::snapshot(number));
    let mut known = KnownJournal {
        open: OpenMoves::default(),
        counters: Counters::default(),
        runs: &mut runs,
    };
    let (base, ended, is_taken_up) = match truth {
        Truth::Store(store, open) => {
            known.open = open;
            known.take_store(store)?;
            (None, None, false)
        }
        Truth::Journal => {
            let (base, ended) = known.take_journal(fs, dir, &folder)?;
            let is_taken_up = ended.is_none();
            (base, ended, is_taken_up)
        }
    };
    let mut counters = known.counters.at_least(next.above);
    let open = known.open;
    if !is_taken_up {
        for unit in folder.units() {
            counters = counters.at_least(glean(fs, dir, unit, seen)?);
        }
    }
    for change in next.changes {
        runs.add(change)?;
    }
    let header = SnapshotHeader {
        covers: JournalPosition::before_any(number),
        counters,
        finished: open.finished,
        moves: open.moves,
        times: open.times,
        made: fs.clock().wall(),
    };
    let covers = header.covers.clone();
    let merged = runs.merged(base.as_ref())?;
    snapshot::write(fs, dir, header, merged, &|| false)?;
    runs.remove()?;
    let set_aside = set_aside(fs, dir, &folder, next.identity)?;
    segment::begin(fs, dir, next.identity, Some(covers), counters)?;
    Ok(JournalRenewal { ended, set_aside })
}

/// The highest number that a segment has, or is known to have had.
fn newest_number(fs: &Fs, dir: &Dir, folder: &JournalFolder) -> Result<u64, JournalError> {
    let mut newest = folder.snapshots.last().copied().unwrap_or_default();
    for unit in folder.units() {
        newest = newest.max(unit.last());
        let header = super::header_of(fs, dir, unit)?;
        if let Some(previous) = header.and_then(|header| header.previous) {
            newest = newest.max(previous.segment);
        }
    }
    Ok(newest.max(folder.archived.last().copied().unwrap_or_default()))
}

/// What is known, on its way into the base.
struct KnownJournal<'k> {
    open: OpenMoves,
    counters: Counters,
    runs: &'k mut Runs,
}

impl KnownJournal<'_> {
    fn take_store(&mut self, store: &dyn Store) -> Result<(), JournalError> {
        let mut failed = None;
        let scanned = store.scan("", &mut |key, value| {
            let value = serde_json::from_slice(value).map_err(JournalError::from);
            let added = value.and_then(|value| self.runs.add((key.to_owned(), Some(value))));
            failed = added.err();
            failed.is_none()
        });
        scanned.map_err(|error| JournalError::Reader(error.to_string()))?;
        failed.map_or(Ok(()), Err)
    }

    /// Takes up what the journal gives with certainty: the newest good snapshot, and what follows it without a gap.
    fn take_journal(
        &mut self,
        fs: &Fs,
        dir: &Dir,
        folder: &JournalFolder,
    ) -> Result<(Option<Snapshot>, Option<JournalError>), JournalError> {
        let base = upkeep::newest_good(fs, dir, folder)?;
        let mut before = None;
        if let Some(base) = &base {
            self.counters = base.header.counters;
            self.open = base.header.open_moves();
            before = Some(base.header.covers.clone());
        }
        let ended = read_while_good(fs, dir, folder, &mut before, &mut |(counters, entries)| {
            self.counters = counters;
            for entry in entries {
                for change in self.open.follow(&counters, entry) {
                    self.runs.add(change)?;
                }
            }
            Ok(())
        });
        match ended {
            Ok(()) => Ok((base, None)),
            Err(ended @ JournalError::Damaged { .. }) => Ok((base, Some(ended))),
            Err(error) => Err(error),
        }
    }
}

/// Gives the groups after this place, up to the first that cannot be read with certainty.
///
/// # Errors
/// [`JournalError::Damaged`] where that is not the end.
fn read_while_good(
    fs: &Fs,
    dir: &Dir,
    folder: &JournalFolder,
    before: &mut Option<JournalPosition>,
    each: GroupVisitor<'_>,
) -> Result<(), JournalError> {
    let covered = before.as_ref().map_or(0, |before| before.segment);
    let mut units = folder.units();
    units.retain(|unit| unit.last() > covered);
    let mut expected = covered + 1;
    for unit in &units {
        if unit.first() > expected {
            let what = "the segment is missing";
            return Err(JournalError::damaged(&folder::segment(expected), 0, what));
        }
        expected = unit.last() + 1;
        let number = match *unit {
            Unit::Segment(number) => number,
            Unit::Archive(archive) => {
                let scanned = archive::read(fs, dir, archive, covered, before.clone(), each)?;
                *before = scanned.and_then(|scanned| scanned.position());
                continue;
            }
        };
        match segment::header(fs, dir, number)? {
            Some(header) if header.previous == *before => {}
            // The process ended while it made this segment.
            None if Some(unit) == units.last() => return Ok(()),
            _ => {
                let what = "it does not follow the segment before it";
                return Err(JournalError::damaged(&unit.name(), 0, what));
            }
        }
        let end = end_of(fs, dir, number, &units)?.filter(|end| end.segment == number);
        let mut given = false;
        let read = segment::read(fs, dir, number, end.as_ref(), &mut |group| {
            given = true;
            each(group)
        });
        match read {
            Ok(scanned) => *before = scanned.position(),
            Err(damage @ JournalError::Damaged { .. }) => {
                if !given {
                    // It may be cut: the groups before that are whole.
                    match segment::read(fs, dir, number, None, each) {
                        Ok(_) | Err(JournalError::Damaged { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                return Err(damage);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives every change that can be read, wherever it stands; the highest numbers that are named.
fn glean(
    fs: &Fs,
    dir: &Dir,
    unit: Unit,
    seen: &mut dyn FnMut(&KeyChange),
) -> Result<Counters, JournalError> {
    let mut highest = Counters::default();
    match unit {
        Unit::Segment(number) => {
            for entry in segment::legible(&fs.read(dir, &folder::segment(number))?) {
                match &entry {
                    Entry::Header(super::JournalHeader { counters, .. })
                    | Entry::Commit { counters, .. } => highest = highest.at_least(*counters),
                    _ => entry.changes().iter().for_each(&mut *seen),
                }
            }
        }
        Unit::Archive(archive) => {
            let read = archive::read(fs, dir, archive, 0, None, &mut |(counters, entries)| {
                highest = highest.at_least(counters);
                let changes = entries.iter().flat_map(Entry::changes);
                changes.for_each(&mut *seen);
                Ok(())
            });
            match read {
                Ok(_) | Err(JournalError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(highest)
}

/// Moves these files into a folder of their own, durably; the newest last, which says that nothing was begun again.
fn set_aside(
    fs: &Fs,
    dir: &Dir,
    folder: &JournalFolder,
    identity: &str,
) -> Result<Option<PathBuf>, JournalError> {
    let snapshots = folder.snapshots.iter().map(|it| folder::snapshot(*it));
    let archived = folder.archived.iter().map(|it| folder::segment(*it));
    let units = folder.units().into_iter().map(Unit::name);
    let names: Vec<_> = snapshots.chain(archived).chain(units).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let aside = format!("{SET_ASIDE}{}", identity.get(..8).unwrap_or(identity));
    let aside = fs.make_dir(dir, Path::new(&aside))?;
    for name in names {
        fs.rename(dir, &name, &aside, &name)?;
    }
    fs.sync_file_system(dir)?;
    Ok(Some(aside.path().to_owned()))
}
