//! What lies in the journal's folder: segments, archives of older ones, and snapshots.

use std::ffi::{OsStr, OsString};

use super::JournalError;
use crate::spool::fs::{Dir, Fs};

const SEGMENT: &str = ".journal";
const ARCHIVE: &str = ".journal.zst";
const SNAPSHOT: &str = ".snapshot";
/// Ends the name of a file until it is whole and on the disk.
const UNFINISHED: &str = ".new";

/// The file of a segment.
pub fn segment(number: u64) -> OsString {
    format!("{number:010}{SEGMENT}").into()
}

/// The file of a snapshot that covers the segments up to this one.
pub fn snapshot(number: u64) -> OsString {
    format!("{number:010}{SNAPSHOT}").into()
}

/// The name that a file has while it is made.
pub fn unfinished(name: &OsStr) -> OsString {
    let mut unfinished = name.to_owned();
    unfinished.push(UNFINISHED);
    unfinished
}

/// Several segments, compressed, in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archive {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Archive {
    /// Its file.
    pub fn name(self) -> OsString {
        format!("{:010}-{:010}{ARCHIVE}", self.first, self.last).into()
    }

    fn parse(name: &str) -> Option<Self> {
        let (first, last) = name.strip_suffix(ARCHIVE)?.split_once('-')?;
        Some(Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }

    fn holds(self, segment: u64) -> bool {
        (self.first..=self.last).contains(&segment)
    }
}

/// A file with segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One, as it was written.
    Segment(u64),
    /// Several, compressed.
    Archive(Archive),
}

impl Unit {
    pub fn first(self) -> u64 {
        match self {
            Unit::Segment(number) => number,
            Unit::Archive(archive) => archive.first,
        }
    }

    pub fn last(self) -> u64 {
        match self {
            Unit::Segment(number) => number,
            Unit::Archive(archive) => archive.last,
        }
    }

    pub fn name(self) -> OsString {
        match self {
            Unit::Segment(number) => segment(number),
            Unit::Archive(archive) => archive.name(),
        }
    }
}

/// The folder's files, each kind in the order of its numbers.
#[derive(Debug, Default)]
pub struct JournalFolder {
    /// The segments that are in no archive.
    pub segments: Vec<u64>,
    /// The segments that are in an archive too: they are to be removed.
    pub archived: Vec<u64>,
    pub archives: Vec<Archive>,
    pub snapshots: Vec<u64>,
    /// What was being made when the process ended.
    pub unfinished: Vec<OsString>,
}

impl JournalFolder {
    pub fn list(fs: &Fs, dir: &Dir) -> Result<Self, JournalError> {
        let mut folder = Self::default();
        let mut segments: Vec<u64> = Vec::new();
        for entry in fs.list(dir)? {
            let Some(name) = entry.name.to_str().filter(|_| entry.is_file) else {
                continue;
            };
            if name.ends_with(UNFINISHED) {
                folder.unfinished.push(entry.name);
                continue;
            }
            // A name that is not written as ours would not be found again.
            if let Some(archive) = Archive::parse(name).filter(|it| it.name() == entry.name) {
                folder.archives.push(archive);
                continue;
            }
            let number = |suffix| name.strip_suffix(suffix).and_then(parse);
            if let Some(number) = number(SNAPSHOT).filter(|it| snapshot(*it) == entry.name) {
                folder.snapshots.push(number);
            } else if let Some(number) = number(SEGMENT).filter(|it| segment(*it) == entry.name) {
                segments.push(number);
            }
        }
        segments.sort_unstable();
        folder.archives.sort_unstable();
        folder.snapshots.sort_unstable();
        let is_archived = |segment: &u64| {
            folder
                .archives
                .iter()
                .any(|archive| archive.holds(*segment))
        };
        (folder.archived, folder.segments) = segments.into_iter().partition(is_archived);
        Ok(folder)
    }

    /// The files with the segments after this one, in order; without a gap, or some of the truth is lost.
    pub fn after(&self, covered: u64) -> Result<Vec<Unit>, JournalError> {
        let mut units = self.units();
        units.retain(|unit| unit.last() > covered);
        let mut expected = covered + 1;
        for unit in &units {
            if unit.first() > expected {
                return Err(JournalError::Damaged {
                    segment: segment(expected).to_string_lossy().into_owned(),
                    offset: 0,
                    what:
                        "the segment is missing, and no snapshot that can be read has what it held"
                            .to_owned(),
                });
            }
            expected = unit.last() + 1;
        }
        Ok(units)
    }

    /// All files with segments, in order.
    pub fn units(&self) -> Vec<Unit> {
        let archives = self.archives.iter().map(|archive| Unit::Archive(*archive));
        let segments = self.segments.iter().map(|number| Unit::Segment(*number));
        let mut units: Vec<Unit> = archives.chain(segments).collect();
        units.sort_unstable_by_key(|unit| unit.first());
        units
    }
}

fn parse(number: &str) -> Option<u64> {
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_told_from_its_name() {
        let temporary = tempfile::tempdir().unwrap();
        let fs = Fs::new();
        let dir = fs.open_root(temporary.path()).unwrap();
        let archive = Archive { first: 3, last: 7 };
        let names = [
            segment(8),
            segment(7),
            archive.name(),
            snapshot(7),
            unfinished(&snapshot(8)),
            "notes.txt".into(),
            "12.journal".into(),
            "00000000012.journal".into(),
            "12.snapshot".into(),
            "9-12.journal.zst".into(),
        ];
        for name in &names {
            std::fs::write(temporary.path().join(name), "").unwrap();
        }
        let folder = JournalFolder::list(&fs, &dir).unwrap();
        assert_eq!(folder.segments, [8]);
        assert_eq!(folder.archived, [7]);
        assert_eq!(folder.archives, [archive]);
        assert_eq!(folder.snapshots, [7]);
        assert_eq!(folder.unfinished, [unfinished(&snapshot(8))]);
        let after = folder.after(2).unwrap();
        assert_eq!(after, [Unit::Archive(archive), Unit::Segment(8)]);
        assert_eq!(folder.after(7).unwrap(), [Unit::Segment(8)]);
        assert!(folder.after(1).is_err());
    }
}
