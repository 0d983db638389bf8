//! Reading the whole journal for `verify`: everything that is there, and not only what recovery needs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::folder::{self, JournalFolder, Unit};
use super::snapshot::{MergedChanges, Snapshot};
use super::{
    Counters, GroupVisitor, JournalError, JournalPosition, OpenMoves, SegmentScan, archive, end_of,
    header_of, read_units, segment, upkeep,
};
use crate::spool::fs::{Dir, Fs};
use crate::store::Changes;

/// What a journal was found to be.
#[derive(Debug, Default)]
pub struct JournalCheck {
    /// How many files with segments there are.
    pub files: usize,
    /// How many snapshots.
    pub snapshots: usize,
    /// Since when it tells everything; nothing if it does from the beginning.
    pub since: Option<DateTime<Utc>>,
    /// Whether some of what it told cannot be read any more.
    pub has_gaps: bool,
    /// Everything that is wrong.
    pub problems: Vec<JournalError>,
    /// What the next start cuts off or removes, in words.
    pub leftovers: Vec<String>,
}

/// Reads every file of the journal, with the chain of hashes, and gives all groups that are kept to `each`.
///
/// # Errors
/// Only if the disk fails, or `each` does: what is damaged is told in the answer.
pub fn check(fs: &Fs, dir: &Dir, each: GroupVisitor<'_>) -> Result<JournalCheck, JournalError> {
    let folder = JournalFolder::list(fs, dir)?;
    let units = folder.units();
    let mut checked = JournalCheck {
        files: units.len(),
        snapshots: folder.snapshots.len(),
        ..JournalCheck::default()
    };
    if let Some(first) = units.first().filter(|first| first.first() > 1) {
        checked.since = header_of(fs, dir, *first)?.map(|header| header.begun);
    }
    let mut ends: BTreeMap<u64, JournalPosition> = BTreeMap::new();
    let mut before: Option<JournalPosition> = None;
    let mut expected = units.first().map_or(1, |first| first.first());
    for unit in &units {
        if unit.first() != expected {
            let name = folder::segment(expected);
            let missing = JournalError::damaged(&name, 0, "the segment is missing");
            checked.problems.push(missing);
            checked.has_gaps = true;
            before = None;
        }
        expected = unit.last() + 1;
        let scanned = match *unit {
            Unit::Archive(archive) => archive::read(fs, dir, archive, 0, before.clone(), each),
            Unit::Segment(number) => end_of(fs, dir, number, &units)
                .and_then(|end| segment::read(fs, dir, number, end.as_ref(), each))
                .and_then(|scanned| {
                    if before.is_some() || number == 1 {
                        segment::follows(&scanned, before.as_ref(), number)?;
                    }
                    Ok(Some(scanned))
                }),
        };
        before = None;
        match scanned {
            Ok(scanned) => {
                if let Some(end) = scanned.as_ref().and_then(SegmentScan::position) {
                    ends.insert(end.segment, end.clone());
                    before = Some(end);
                }
                if unit == units.last().unwrap_or(unit) && scanned.is_some_and(|it| !it.is_whole())
                {
                    let name = unit.name().to_string_lossy().into_owned();
                    checked.leftovers.push(format!(
                        "{name} ends with a piece of a group that never counted"
                    ));
                }
            }
            Err(error @ JournalError::Damaged { .. }) => {
                checked.problems.push(error);
                checked.has_gaps = true;
            }
            Err(error) => return Err(error),
        }
    }
    for &number in &folder.snapshots {
        match Snapshot::open(fs, dir, number) {
            Ok(snapshot) => {
                let end = ends.get(&number);
                if end.is_some_and(|end| *end != snapshot.header.covers) {
                    let what = "it covers another journal than the one beside it";
                    let name = folder::snapshot(number);
                    checked.problems.push(JournalError::damaged(&name, 0, what));
                }
            }
            Err(error @ JournalError::Damaged { .. }) => checked.problems.push(error),
            Err(error) => return Err(error),
        }
    }
    for name in &folder.unfinished {
        let name = name.to_string_lossy();
        checked.leftovers.push(format!("{name} was never finished"));
    }
    for number in &folder.archived {
        let name = folder::segment(*number);
        let name = name.to_string_lossy();
        checked
            .leftovers
            .push(format!("{name} is in an archive already"));
    }
    Ok(checked)
}

/// What the journal comes to.
pub struct JournalContent {
    /// Every key with its value, in order.
    pub pairs: MergedChanges,
    /// The moves that it does not know to be done.
    pub open: OpenMoves,
    /// How far it goes.
    pub counters: Counters,
    /// Where it ends; nothing if it holds nothing.
    pub end: Option<JournalPosition>,
}

/// Reads what the journal comes to, as recovery does, from the newest good snapshot and what follows it.
pub fn content(fs: &Fs, dir: &Dir) -> Result<JournalContent, JournalError> {
    let folder = JournalFolder::list(fs, dir)?;
    let base = upkeep::newest_good(fs, dir, &folder)?;
    let mut open = OpenMoves::default();
    let mut covers = None;
    if let Some(base) = &base {
        open = base.header.open_moves();
        covers = Some(base.header.covers.clone());
    }
    let units = folder.after(covers.as_ref().map_or(0, |covers| covers.segment))?;
    let mut newer = Changes::new();
    let last = read_units(fs, dir, &units, units.len(), covers, &mut |(
        counters,
        entries,
    )| {
        for entry in entries {
            newer.extend(open.follow(&counters, entry));
        }
        Ok(())
    })?;
    let mut sources = Vec::new();
    if let Some(base) = &base {
        sources.push(base.entries()?);
    }
    Ok(JournalContent {
        pairs: MergedChanges::new(sources, newer),
        open,
        counters: last.as_ref().map(|last| last.counters).unwrap_or_default(),
        end: last.as_ref().and_then(SegmentScan::position),
    })
}
