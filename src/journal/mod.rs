//! The journal: the append-only record of every change, and the truth (design.md, "One barrier").
//!
//! A group of entries counts once its commit entry is on disk, and not before. Everything else, the store
//! included, is made from what is written here. A [`snapshot`] says what older segments come to; [`keeping`] makes
//! them, and compresses and deletes what they cover. [`chain`] tells cheaply whether the files follow on each other, and
//! [`renew`] begins a journal again where some are lost.

mod archive;
pub mod chain;
pub mod check;
mod end;
mod folder;
mod record;
pub mod renew;
mod runs;
mod segment;
pub mod snapshot;
pub mod upkeep;

use std::ffi::OsStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::end::End;
use self::folder::{JournalFolder, Unit};
pub use self::record::{
    Closing, Entry, JournalHeader, MessageRecord, Move, OpenMoves, SnapshotHeader,
};
pub use self::segment::TornGroup;
use self::segment::{Scan, SegmentScan};
use crate::random::random_name;
use crate::spool::fs::writing::Writing;
use crate::spool::fs::{Dir, Fs, FsError};

/// A segment that is longer than this is followed by a new one. One is read whole.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The journal cannot be trusted or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// Something other than a torn end: guessing would lose or double messages.
    #[error(
        "the journal is damaged: {segment}, byte {offset}: {what}. Nothing was changed. \
         Restore journal/ from the newest copy, with documents/; only if there is none, start once with --accept-loss \
         (`rcpspool once`, `run` or `rebuild`)"
    )]
    Damaged {
        /// The file.
        segment: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// What reached the disk is not known, so the process must end: the next start finds the truth.
    #[error("the journal may not have reached the disk: {0}. Check the disk, then start again")]
    Sync(#[source] FsError),
    /// The same, some time before.
    #[error("a write to the journal failed before: nothing more is written until a new start")]
    Broken,
    /// What is made from the journal could not be made.
    #[error("{0}")]
    Reader(String),
    /// An entry cannot be written as JSON.
    #[error("an entry of the journal cannot be written: {0}")]
    Encoding(#[from] serde_json::Error),
    /// Upkeep the journal small was told to stop: the next time goes on.
    #[error("told to stop")]
    Stopped,
}

impl JournalError {
    /// What is wrong where, without what to do about it.
    pub fn place(&self) -> String {
        match self {
            JournalError::Damaged {
                segment,
                offset,
                what,
            } => format!("{segment}, byte {offset}: {what}"),
            other => other.to_string(),
        }
    }

    fn damaged(file: &OsStr, offset: u64, what: &str) -> Self {
        JournalError::Damaged {
            segment: file.to_string_lossy().into_owned(),
            offset,
            what: what.to_owned(),
        }
    }
}

/// A place in the journal: everything before it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPosition {
    /// The number of the segment.
    pub segment: u64,
    /// The accepted length in bytes.
    pub length: u64,
    /// The hash over all accepted bytes of this segment; its header names that of the one before.
    pub hash: String,
}

impl JournalPosition {
    /// A place before anything was written to this segment.
    fn before_any(segment: u64) -> Self {
        Scan::new(segment).position()
    }
}

/// How far the journal has come: numbers that must go on rising over restarts, and when that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The last group that was committed.
    pub group: u64,
    /// The last place in the order of received files.
    pub order: u64,
    /// The last message.
    pub message: u64,
    /// When the last group was committed, as the clock said then.
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
}

/// A group as it is read back: its entries without the commit.
///
/// A snapshot is given first, as groups with the numbers that it goes up to.
pub type JournalGroup = (Counters, Vec<Entry>);

/// Takes the groups that are read, one after the other.
type GroupVisitor<'e> = &'e mut dyn FnMut(JournalGroup) -> Result<(), JournalError>;

impl Counters {
    /// Numbers that are below neither of these.
    #[must_use]
    pub fn at_least(self, other: Counters) -> Self {
        Self {
            group: self.group.max(other.group),
            order: self.order.max(other.order),
            message: self.message.max(other.message),
            time: self.time,
        }
    }
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    fs: Fs,
    dir: Dir,
    identity: String,
    segment: Writing,
    scan: Scan,
    counters: Counters,
    broken: bool,
}

impl Journal {
    /// Opens the journal in this folder and begins a new segment, or goes on with one that holds nothing yet.
    ///
    /// Everything accepted is given to `each`, in order: the newest snapshot, then the groups after it. With
    /// `only_end`, only the end is read.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for anything but a torn end, or a snapshot in whose place older files can be read.
    pub fn open(
        fs: &Fs,
        dir: &Dir,
        only_end: bool,
        each: &mut dyn FnMut(JournalGroup) -> Result<(), JournalError>,
    ) -> Result<Self, JournalError> {
        // What a killed process wrote may not be on the disk yet, and is about to be relied upon.
        fs.sync_file_system(dir)?;
        let mut folder = JournalFolder::list(fs, dir)?;
        for name in std::mem::take(&mut folder.unfinished) {
            fs.remove(dir, &name)?;
        }
        if let Some(&last) = folder.segments.last()
            && segment::header(fs, dir, last)?.is_none()
            && segment::read(fs, dir, last, None, &mut |_| Ok(()))?
                .position()
                .is_none()
        {
            // The process ended while it made this segment: without a header it holds nothing.
            fs.remove(dir, &folder::segment(last))?;
            folder.segments.pop();
        }
        let last = match (only_end, folder.segments.last()) {
            (true, Some(&last)) => Some(segment::read(fs, dir, last, None, &mut |_| Ok(()))?),
            _ => replay(fs, dir, &folder, each)?,
        };
        let counters = last.as_ref().map(|last| last.counters).unwrap_or_default();
        let had = last
            .as_ref()
            .and_then(SegmentScan::journal)
            .map(str::to_owned);
        let identity = had.unwrap_or_else(random_name);
        let going_on = match &last {
            Some(last) => segment::go_on(fs, dir, &identity, counters, last)?,
            None => None,
        };
        let (segment, scan) = match going_on {
            Some(begun) => begun,
            None => {
                let accepted = last.as_ref().and_then(SegmentScan::position);
                segment::begin(fs, dir, &identity, accepted, counters)?
            }
        };
        Ok(Self {
            fs: fs.clone(),
            dir: dir.clone(),
            identity,
            segment,
            scan,
            counters,
            broken: false,
        })
    }

    /// What tells this journal from any other: 128 random bits.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The numbers as of the last group.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The end of what is accepted.
    pub fn position(&self) -> JournalPosition {
        self.scan.position()
    }

    /// Begins a new segment: the one before it is closed, and a snapshot may cover it.
    pub fn turn(&mut self) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        let begun = segment::begin(
            &self.fs,
            &self.dir,
            &self.identity,
            Some(self.position()),
            self.counters,
        )?;
        (self.segment, self.scan) = begun;
        Ok(())
    }

    /// Appends a group and makes it durable. Only then does it count.
    ///
    /// # Errors
    /// After a failed write the segment is cut back, and the group does not count. After a failed sync nobody knows
    /// what is on the disk: the journal refuses everything from then on.
    pub fn append(
        &mut self,
        entries: &[Entry],
        order: u64,
        message: u64,
    ) -> Result<JournalPosition, JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        if self.segment.length() > SEGMENT_BYTES {
            self.turn()?;
        }
        let counters = Counters {
            group: self.counters.group + 1,
            order,
            message,
            time: Some(self.fs.clock().wall()),
        };
        let accepted = self.scan.clone();
        let bytes = self.scan.encode(entries, counters)?;
        if let Err(source) = std::io::Write::write_all(&mut self.segment, &bytes) {
            let length = accepted.position().length;
            self.scan = accepted;
            // Until the torn piece is cut off again, what follows it would be taken for damage.
            self.broken = true;
            self.segment.truncate(length).map_err(JournalError::Sync)?;
            self.segment.sync().map_err(JournalError::Sync)?;
            self.broken = false;
            return Err(JournalError::Disk(FsError {
                action: "write to the journal in",
                path: self.dir.path().to_owned(),
                source,
            }));
        }
        if let Err(error) = self.segment.sync() {
            self.broken = true;
            return Err(JournalError::Sync(error));
        }
        self.counters = counters;
        Ok(self.scan.position())
    }
}

/// Reads everything accepted without changing anything, as [`Journal::open`] would.
///
/// # Errors
/// [`JournalError::Damaged`] if it cannot be read whole.
pub fn read_all(fs: &Fs, dir: &Dir) -> Result<(), JournalError> {
    replay(fs, dir, &JournalFolder::list(fs, dir)?, &mut |_| Ok(())).map(drop)
}

/// Gives the newest good snapshot and all groups after it; what was found in the last segment.
fn replay(
    fs: &Fs,
    dir: &Dir,
    folder: &JournalFolder,
    each: GroupVisitor<'_>,
) -> Result<Option<SegmentScan>, JournalError> {
    let base = upkeep::newest_good(fs, dir, folder)?;
    let mut covers = None;
    if let Some(base) = &base {
        let counters = base.header.counters;
        each((
            counters,
            vec![Entry::Snapshot(Box::new(base.header.clone()))],
        ))?;
        for changes in base.entries()? {
            let entry = Entry::Changes {
                what: String::new(),
                changes: changes?,
                moves: Vec::new(),
            };
            each((counters, vec![entry]))?;
        }
        covers = Some(base.header.covers.clone());
    }
    let covered = covers.as_ref().map_or(0, |covers| covers.segment);
    let units = folder.after(covered)?;
    match (units.is_empty(), base) {
        (true, Some(base)) => Err(JournalError::damaged(
            &folder::segment(covered + 1),
            0,
            &format!(
                "the segment after the snapshot of {} is missing",
                base.header.made.to_rfc3339()
            ),
        )),
        _ => read_units(fs, dir, &units, units.len(), covers, each),
    }
}

/// Reads the first `count` of these files, which follow on each other and on what was accepted `before`; gives what
/// was found in the last.
fn read_units(
    fs: &Fs,
    dir: &Dir,
    units: &[Unit],
    count: usize,
    mut before: Option<JournalPosition>,
    each: GroupVisitor<'_>,
) -> Result<Option<SegmentScan>, JournalError> {
    let mut last = None;
    for unit in units.iter().take(count) {
        let covered = before.as_ref().map_or(0, |before| before.segment);
        let scanned = match *unit {
            Unit::Archive(archive) => {
                archive::read(fs, dir, archive, covered, before.clone(), each)?
            }
            Unit::Segment(number) => {
                let end = end_of(fs, dir, number, units)?;
                let scanned = segment::read(fs, dir, number, end.as_ref(), each)?;
                segment::follows(&scanned, before.as_ref(), number)?;
                Some(scanned)
            }
        };
        if scanned.is_some() {
            before = scanned.as_ref().and_then(SegmentScan::position);
            last = scanned;
        }
    }
    Ok(last)
}

/// Where a segment ends, as the header of the one after it says; nothing of the last.
fn end_of(
    fs: &Fs,
    dir: &Dir,
    number: u64,
    units: &[Unit],
) -> Result<Option<JournalPosition>, JournalError> {
    match units.iter().find(|unit| unit.first() > number) {
        Some(next) => Ok(header_of(fs, dir, *next)?.and_then(|header| header.previous)),
        None => Ok(None),
    }
}

fn header_of(fs: &Fs, dir: &Dir, unit: Unit) -> Result<Option<JournalHeader>, JournalError> {
    match unit {
        Unit::Segment(number) => segment::header(fs, dir, number),
        Unit::Archive(archive) => archive::header(fs, dir, archive),
    }
}

#[cfg(test)]
mod tests;
