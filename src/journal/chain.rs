//! Whether the files of a journal follow on each other, told from their names, headers and sizes: cheap enough for each
//! start, also where the store is trusted and nothing older than the end is read. What stands in them is for a rebuild
//! and `verify`.

use std::io::{Read, Seek, SeekFrom};

use super::folder::{self, JournalFolder, Unit};
use super::{Entry, JournalError, JournalPosition, SnapshotHeader, header_of, segment};
use crate::spool::fs::{Dir, Fs, FsError};

/// The header of a snapshot, with the moves that it names, is shorter than this.
const HEADER_BYTES: u64 = 64 * 1024 * 1024;

/// A commit is shorter than this.
const COMMIT_BYTES: u64 = 4096;

/// Looks at what a rebuild would read: the newest snapshot that is not cut, and what follows it.
///
/// # Errors
/// [`JournalError::Damaged`] where a file is missing between others, does not follow the one before it, or is shorter
/// than the one after it says.
pub fn check(fs: &Fs, dir: &Dir) -> Result<(), JournalError> {
    let mut folder = JournalFolder::list(fs, dir)?;
    if let Some(&last) = folder.segments.last()
        && segment::header(fs, dir, last)?.is_none()
    {
        // The process ended while it made this segment.
        folder.segments.pop();
    }
    let mut covers = None;
    for &number in folder.snapshots.iter().rev() {
        covers = snapshot(fs, dir, number)?.map(|header| header.covers);
        if covers.is_some() {
            break;
        }
    }
    let units = folder.after(covers.as_ref().map_or(0, |covers| covers.segment))?;
    let mut before: Option<(Unit, Option<JournalPosition>)> = None;
    for &unit in &units {
        let damaged = |what: &str| JournalError::damaged(&unit.name(), 0, what);
        let Some(header) = header_of(fs, dir, unit)? else {
            return Err(damaged("it has no header"));
        };
        let previous = header.previous;
        let expected = match &before {
            None if unit.first() == 1 => previous.is_none(),
            // An archive may begin within what the snapshot covers.
            None => previous == covers || matches!(unit, Unit::Archive(_)),
            Some((before, _)) => previous
                .as_ref()
                .is_some_and(|it| it.segment == before.last()),
        };
        if !expected {
            return Err(damaged("it does not follow the segment before it"));
        }
        if let (Some((Unit::Segment(number), _)), Some(end)) = (&before, &previous) {
            let name = folder::segment(*number);
            let size = fs.size(dir, &name)?;
            if size < end.length {
                let what = "it is shorter than what follows it says";
                return Err(JournalError::damaged(&name, size, what));
            }
        }
        before = Some((unit, previous));
    }
    match (units.is_empty(), covers) {
        (true, Some(covers)) => Err(JournalError::damaged(
            &folder::segment(covers.segment + 1),
            0,
            "the segment after the newest snapshot is missing",
        )),
        _ => Ok(()),
    }
}

/// The header of a snapshot whose beginning and end are there.
fn snapshot(fs: &Fs, dir: &Dir, number: u64) -> Result<Option<SnapshotHeader>, JournalError> {
    let name = folder::snapshot(number);
    let size = fs.size(dir, &name)?;
    let mut file = fs.open(dir, &name)?;
    let mut end = Vec::new();
    let read = segment::first(&mut file, HEADER_BYTES).and_then(|first| {
        file.seek(SeekFrom::Start(size.saturating_sub(COMMIT_BYTES)))?;
        file.read_to_end(&mut end)?;
        Ok(first)
    });
    let first = read.map_err(|source| FsError {
        action: "read",
        path: dir.path().join(&name),
        source,
    })?;
    match segment::unframe(&first) {
        Some((Entry::Snapshot(header), _))
            if header.covers.segment == number && segment::ends_with_commit(&end) =>
        {
            Ok(Some(*header))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::Journal;
    use crate::spool::faults::Faults;

    #[test]
    fn hundreds_of_segments_cost_a_few_operations_each() {
        const SEGMENTS: u64 = 300;
        let temporary = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::none());
        let fs = Fs::with_faults(Arc::clone(&faults));
        let dir = fs.open_root(temporary.path()).unwrap();
        let mut journal = Journal::open(&fs, &dir, true, &mut |_| Ok(())).unwrap();
        for _ in 1..SEGMENTS {
            let entry = Entry::Finished {
                group: 0,
                left: Vec::new(),
            };
            journal.append(&[entry], 1, 1).unwrap();
            journal.turn().unwrap();
        }
        let before = faults.calls();
        check(&fs, &dir).unwrap();
        let calls = faults.calls() - before;
        assert!(calls <= 3 * SEGMENTS, "{calls}");
        let path = temporary.path().join(folder::segment(150));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let problem = check(&fs, &dir).unwrap_err().place();
        assert!(problem.starts_with("0000000150.journal"), "{problem}");
        std::fs::remove_file(&path).unwrap();
        let problem = check(&fs, &dir).unwrap_err().place();
        assert!(problem.starts_with("0000000150.journal"), "{problem}");
    }
}
