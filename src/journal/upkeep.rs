//! Upkeep the journal small: a snapshot takes the place of what it covers, older segments are compressed, and what
//! retention does not ask for is deleted.
//!
//! Only segments that nothing is appended to any more are touched, so this goes on beside a running journal. At every
//! moment the folder holds what recovery needs: a file is removed only once what takes its place is on the disk and
//! was read back. Two snapshots are kept, so that damage to one loses nothing.

use chrono::{DateTime, Utc};

use super::folder::{JournalFolder, Unit, segment as segment_name, snapshot as snapshot_name};
use super::runs::Runs;
use super::snapshot::{self, Snapshot};
use super::{JournalError, SnapshotHeader, archive, read_units};
use crate::spool::fs::{Dir, Fs};

/// Segments of fewer bytes are not worth a snapshot.
const LEAST_BYTES: u64 = 64 * 1024 * 1024;

/// So many bytes of segments, or one that is larger, are compressed into one file.
const ARCHIVE_BYTES: u64 = 64 * 1024 * 1024;

/// So many segments without a snapshot are enough, however small they are: each start may begin one.
const SEGMENTS: usize = 256;

/// So many snapshots are kept.
const SNAPSHOTS: usize = 2;

/// When a snapshot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotTrigger {
    /// Once the segments since the last one are larger than itself, or many.
    Due,
    /// Of every segment that is closed: for tests.
    Now,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepResult {
    /// Snapshots that were made.
    pub snapshots: usize,
    /// Segments that were compressed.
    pub compressed: usize,
    /// Archives that were deleted.
    pub deleted: usize,
}

/// What may be deleted of what is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletionLimit {
    /// Segments before this one.
    pub segment: u64,
    /// And written before this time.
    pub written: DateTime<Utc>,
}

/// Makes snapshots where they are due, compresses what they cover, and deletes what is covered and old. `stop` may end
/// it at any time: the next call goes on.
pub fn keep(
    fs: &Fs,
    dir: &Dir,
    when: SnapshotTrigger,
    old: Option<DeletionLimit>,
    stop: &dyn Fn() -> bool,
) -> Result<UpkeepResult, JournalError> {
    let mut kept = UpkeepResult::default();
    while is_snapshot_due(fs, dir, when)? {
        make_snapshot(fs, dir, stop)?;
        kept.snapshots += 1;
    }
    kept.compressed = compress(fs, dir, stop)?;
    kept.deleted = delete(fs, dir, old)?;
    Ok(kept)
}

fn is_snapshot_due(fs: &Fs, dir: &Dir, when: SnapshotTrigger) -> Result<bool, JournalError> {
    let folder = JournalFolder::list(fs, dir)?;
    let newest = folder.snapshots.last().copied();
    let closed = closed_after(&folder, newest.unwrap_or_default());
    let is_begun = match folder.units().last() {
        Some(last) => super::header_of(fs, dir, *last)?.is_some(),
        None => false,
    };
    if !is_begun {
        // The segment after those that are closed is being made at this moment.
        return Ok(false);
    }
    if when == SnapshotTrigger::Now {
        return Ok(!closed.is_empty());
    }
    let size = match newest {
        Some(newest) => fs.size(dir, &snapshot_name(newest))?,
        None => 0,
    };
    let mut since = 0;
    for unit in &closed {
        since += size_of(fs, dir, *unit)?;
    }
    Ok(is_enough(since, closed.len(), size))
}

/// Whether so many bytes of segments, in so many files, are reason for another snapshot after one of this size.
fn is_enough(since: u64, files: usize, snapshot: u64) -> bool {
    since > snapshot.max(LEAST_BYTES) || files >= SEGMENTS
}

/// The files after this segment to which nothing is appended any more: all but the last.
fn closed_after(folder: &JournalFolder, covered: u64) -> Vec<Unit> {
    let mut units = folder.units();
    units.pop();
    units.retain(|unit| unit.last() > covered);
    units
}

fn size_of(fs: &Fs, dir: &Dir, unit: Unit) -> Result<u64, JournalError> {
    match unit {
        Unit::Segment(number) => Ok(fs.size(dir, &segment_name(number))?),
        // It holds at most so much before it is compressed.
        Unit::Archive(_) => Ok(ARCHIVE_BYTES),
    }
}

/// Makes the next snapshot, of all segments that are closed.
fn make_snapshot(fs: &Fs, dir: &Dir, stop: &dyn Fn() -> bool) -> Result<(), JournalError> {
    // The segment that follows must be there whatever happens: without it, what a snapshot covers looks cut off.
    fs.sync_file_system(dir)?;
    let folder = JournalFolder::list(fs, dir)?;
    let base = newest_good(fs, dir, &folder)?;
    let covers = base.as_ref().map(|base| base.header.covers.clone());
    let covered = covers.as_ref().map_or(0, |covers| covers.segment);
    let units = folder.after(covered)?;
    let closed = closed_after(&folder, covered);
    let Some(newest) = closed.last() else {
        return Ok(());
    };
    let open = base.as_ref().map(|base| base.header.open_moves());
    let mut open = open.unwrap_or_default();
    let mut runs = Runs::new(fs, dir, snapshot_name(newest.last()));
    let last = read_units(fs, dir, &units, closed.len(), covers, &mut |(
        counters,
        entries,
    )| {
        for entry in entries {
            for change in open.follow(&counters, entry) {
                runs.add(change)?;
            }
        }
        match stop() {
            true => Err(JournalError::Stopped),
            false => Ok(()),
        }
    })?;
    let Some((covers, counters)) = last.and_then(|last| Some((last.position()?, last.counters)))
    else {
        return Ok(());
    };
    let header = SnapshotHeader {
        covers,
        counters,
        finished: open.finished,
        moves: open.moves,
        made: fs.clock().wall(),
        times: open.times,
    };
    let merged = runs.merged(base.as_ref())?;
    snapshot::write(fs, dir, header, merged, stop)?;
    runs.remove()
}

/// The newest snapshot that is whole. A damaged one is told and passed over: those before it, and the segments since,
/// hold the same.
pub fn newest_good(
    fs: &Fs,
    dir: &Dir,
    folder: &JournalFolder,
) -> Result<Option<Snapshot>, JournalError> {
    for &number in folder.snapshots.iter().rev() {
        match Snapshot::open(fs, dir, number) {
            Err(JournalError::Damaged {
                segment,
                offset,
                what,
            }) => log::error!(
                "{segment} is damaged at byte {offset}: {what}. What it held is read from what is older"
            ),
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

/// Compresses the segments that the newest snapshot covers, several into a file.
fn compress(fs: &Fs, dir: &Dir, stop: &dyn Fn() -> bool) -> Result<usize, JournalError> {
    let folder = JournalFolder::list(fs, dir)?;
    for &number in &folder.archived {
        // The process ended between the archive and their removal.
        fs.remove(dir, &segment_name(number))?;
    }
    let newest = folder.snapshots.last().copied().unwrap_or_default();
    if !folder.segments.iter().any(|&number| number <= newest) {
        return Ok(0);
    }
    let Some(good) = newest_good(fs, dir, &folder)? else {
        return Ok(0);
    };
    let covered = good.header.covers.segment;
    let mut together = Vec::new();
    let mut bytes = 0;
    let mut compressed = 0;
    for &number in folder.segments.iter().filter(|&&number| number <= covered) {
        let end = match number == covered {
            true => Some(good.header.covers.clone()),
            false => super::end_of(fs, dir, number, &folder.units())?,
        };
        let Some(end) = end else {
            let what = "nothing says where it ends";
            return Err(JournalError::damaged(&segment_name(number), 0, what));
        };
        if bytes + end.length > ARCHIVE_BYTES && !together.is_empty() {
            archive::write(fs, dir, &std::mem::take(&mut together), stop)?;
            bytes = 0;
        }
        bytes += end.length;
        together.push(end);
        compressed += 1;
    }
    archive::write(fs, dir, &together, stop)?;
    Ok(compressed)
}

/// Deletes snapshots but the newest two, and the archives that both of these cover and that are old.
fn delete(fs: &Fs, dir: &Dir, limit: Option<DeletionLimit>) -> Result<usize, JournalError> {
    let folder = JournalFolder::list(fs, dir)?;
    let units = folder.units();
    let mut old = Vec::new();
    if let Some(limit) = limit {
        for pair in units.windows(2) {
            let [Unit::Archive(archive), next] = pair else {
                break;
            };
            if archive.last >= limit.segment {
                break;
            }
            // What follows was begun after all that stands in this one.
            match super::header_of(fs, dir, *next)? {
                Some(header) if header.begun < limit.written => old.push(*archive),
                _ => break,
            }
        }
    }
    let covered_twice = folder.snapshots.iter().rev().nth(SNAPSHOTS - 1);
    old.retain(|archive| covered_twice.is_some_and(|covered| archive.last <= *covered));
    if old.is_empty() && folder.snapshots.len() <= SNAPSHOTS {
        return Ok(0);
    }
    let mut good = Vec::new();
    for &number in folder.snapshots.iter().rev() {
        match Snapshot::open(fs, dir, number) {
            Ok(_) => good.push(number),
            Err(JournalError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        if good.len() == SNAPSHOTS {
            break;
        }
    }
    let Some(&covered) = good.get(SNAPSHOTS - 1) else {
        return Ok(0);
    };
    for number in folder
        .snapshots
        .iter()
        .filter(|number| !good.contains(number))
    {
        fs.remove(dir, &snapshot_name(*number))?;
    }
    old.retain(|archive| archive.last <= covered);
    for archive in &old {
        fs.remove(dir, &archive.name())?;
    }
    Ok(old.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_once_it_saves_more_than_it_costs() {
        for (since, files, snapshot, due) in [
            (0, 0, 0, false),
            (LEAST_BYTES, 1, 0, false),
            (LEAST_BYTES + 1, 1, 0, true),
            (LEAST_BYTES + 1, 2, 3 * LEAST_BYTES, false),
            (3 * LEAST_BYTES + 1, 3, 3 * LEAST_BYTES, true),
            (1000, SEGMENTS - 1, 0, false),
            (1000, SEGMENTS, u64::MAX, true),
        ] {
            assert_eq!(
                is_enough(since, files, snapshot),
                due,
                "{since} {files} {snapshot}"
            );
        }
    }
}
