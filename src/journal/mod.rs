//! The journal: the append-only record of every change, and the truth (DESIGN, "One barrier").
//!
//! A group of entries counts once its commit entry is on disk, and not before. Everything else, the store
//! included, is made from what is written here.

mod record;
mod segment;

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

pub use self::record::{Closing, Entry, Header, Message, Move, Place};
use self::segment::Scan;
use crate::spool::fs::{Dir, Fs, FsError, Writing};

/// A segment that is longer than this is followed by a new one.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The journal cannot be trusted or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// Something other than a torn end: guessing would lose or double messages.
    #[error(
        "the journal is damaged: {segment}, byte {offset}: {what}. Nothing was changed. \
         Restore journal/ from a copy, or ask for help before anything else is done with this spool"
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
}

/// A place in the journal: everything before it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// The accepted length in bytes.
    pub length: u64,
    /// The hash over all accepted bytes of this segment; its header names that of the one before.
    pub hash: String,
}

/// Numbers that must go on rising over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The last group that was committed.
    pub group: u64,
    /// The last place in the order of received files.
    pub order: u64,
    /// The last message.
    pub message: u64,
}

/// A group as it is read back: its entries without the commit.
pub type Group = (Counters, Vec<Entry>);

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    fs: Fs,
    dir: Dir,
    segment: Writing,
    scan: Scan,
    counters: Counters,
    broken: bool,
}

impl Journal {
    /// Whether the journal in this folder ends exactly here, so that a store made up to here lacks nothing.
    pub fn ends_at(fs: &Fs, dir: &Dir, position: &Position) -> Result<bool, JournalError> {
        match segments(fs, dir)?.last() {
            Some(&last) => {
                let scanned = segment::read(fs, dir, last, None, &mut |_| Ok(()))?;
                Ok(scanned.position().as_ref() == Some(position))
            }
            None => Ok(false),
        }
    }

    /// The number of the last group in this folder, to tell how far reading has come.
    pub fn last_group(fs: &Fs, dir: &Dir) -> Result<u64, JournalError> {
        match segments(fs, dir)?.last() {
            Some(&last) => Ok(segment::read(fs, dir, last, None, &mut |_| Ok(()))?
                .counters
                .group),
            None => Ok(0),
        }
    }

    /// Opens the journal in this folder and begins a new segment.
    ///
    /// Every accepted group is given to `each`, in order; with `only_end`, only the end is read.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for anything but a torn end.
    pub fn open(
        fs: &Fs,
        dir: &Dir,
        only_end: bool,
        each: &mut dyn FnMut(Group) -> Result<(), JournalError>,
    ) -> Result<Self, JournalError> {
        // What a killed process wrote may not be on the disk yet, and is about to be relied upon.
        fs.sync_file_system(dir)?;
        let mut numbers = segments(fs, dir)?;
        if let Some(&last) = numbers.last()
            && segment::read(fs, dir, last, None, &mut |_| Ok(()))?
                .position()
                .is_none()
        {
            // The process ended while it made this segment: without a header it holds nothing.
            fs.remove(dir, &segment::name(last))?;
            numbers.pop();
        }
        let mut counters = Counters::default();
        let mut accepted: Option<Position> = None;
        match (only_end, numbers.last()) {
            (true, Some(&last)) => {
                let scanned = segment::read(fs, dir, last, None, &mut |_| Ok(()))?;
                counters = scanned.counters;
                accepted = scanned.position();
            }
            _ => {
                for (place, &number) in numbers.iter().enumerate() {
                    let end = match numbers.get(place + 1) {
                        Some(&next) => segment::previous(fs, dir, next)?,
                        None => None,
                    };
                    let scanned = segment::read(fs, dir, number, end.as_ref(), each)?;
                    segment::follows(&scanned, accepted.as_ref(), number)?;
                    counters = scanned.counters;
                    accepted = scanned.position();
                }
            }
        }
        let (segment, scan) = segment::begin(fs, dir, accepted, counters)?;
        Ok(Self {
            fs: fs.clone(),
            dir: dir.clone(),
            segment,
            scan,
            counters,
            broken: false,
        })
    }

    /// The numbers as of the last group.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The end of what is accepted.
    pub fn position(&self) -> Position {
        self.scan.position()
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
    ) -> Result<Position, JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        if self.segment.length() > SEGMENT_BYTES {
            let begun = segment::begin(&self.fs, &self.dir, Some(self.position()), self.counters)?;
            (self.segment, self.scan) = begun;
        }
        let counters = Counters {
            group: self.counters.group + 1,
            order,
            message,
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

fn segments(fs: &Fs, dir: &Dir) -> Result<Vec<u64>, JournalError> {
    let mut numbers: Vec<u64> = fs
        .list(dir)?
        .into_iter()
        .filter_map(|entry| segment::number(&entry.name))
        .collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(JournalError::Damaged {
                segment: segment::name(pair[0] + 1).to_string_lossy().into_owned(),
                offset: 0,
                what: "the segment is missing".to_owned(),
            });
        }
    }
    Ok(numbers)
}

/// The name of the folder's file for a segment, for checks and messages.
pub fn segment_name(number: u64) -> OsString {
    segment::name(number)
}
