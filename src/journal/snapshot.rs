//! A snapshot: everything that the changes up to a place in the journal come to, as puts in the order of their keys.
//!
//! It is merged from the snapshot before it and the segments since, never from the store, and is written like a
//! segment: a header, entries of changes, and a commit without which nothing of it counts.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::iter::Peekable;

use sha2::{Digest, Sha256};

use super::folder;
use super::segment::{self, FRAME};
use super::{Entry, JournalError, SnapshotHeader};
use crate::model::identifiers::hexadecimal;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::store::{Changes, KeyChange};

/// So many bytes of keys and values stand in one entry.
const ENTRY_BYTES: usize = 256 * 1024;

/// A snapshot that was read once and found whole.
#[derive(Debug)]
pub struct Snapshot {
    /// What it stands for, beside the keys.
    pub header: SnapshotHeader,
    /// Its size in bytes.
    pub size: u64,
    fs: Fs,
    dir: Dir,
    name: OsString,
}

impl Snapshot {
    /// Reads the snapshot that covers the segments up to this one, and checks all of it.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if it is not exactly what was written.
    pub fn open(fs: &Fs, dir: &Dir, number: u64) -> Result<Self, JournalError> {
        let snapshot = Self::open_as(fs, dir, folder::snapshot(number))?;
        match snapshot.header.covers.segment == number {
            true => Ok(snapshot),
            false => Err(JournalError::damaged(
                &snapshot.name,
                0,
                "its header is another's",
            )),
        }
    }

    fn open_as(fs: &Fs, dir: &Dir, name: OsString) -> Result<Self, JournalError> {
        let mut frames = Frames::open(fs, dir, &name)?;
        let size = frames.left;
        let Some(Entry::Snapshot(header)) = frames.next()? else {
            return Err(frames.damaged("it has no header"));
        };
        let mut count = 1;
        let mut before = String::new();
        loop {
            let hash = frames.sum();
            match frames.next()? {
                Some(Entry::Changes { changes, .. }) => {
                    count += 1;
                    for (key, value) in changes {
                        if key <= before || value.is_none() {
                            return Err(frames.damaged("its keys are not puts in their order"));
                        }
                        before = key;
                    }
                }
                Some(Entry::Commit {
                    count: counted,
                    hash: summed,
                    ..
                }) if counted == count && summed == hash => break,
                _ => return Err(frames.damaged("it does not end with a commit that fits it")),
            }
        }
        match frames.next()? {
            None => Ok(Self {
                header: *header,
                size,
                fs: fs.clone(),
                dir: dir.clone(),
                name,
            }),
            Some(_) => Err(frames.damaged("it goes on after its end")),
        }
    }

    /// Its entries of changes, one after the other.
    pub fn entries(&self) -> Result<Entries, JournalError> {
        let mut frames = Frames::open(&self.fs, &self.dir, &self.name)?;
        frames.next()?;
        Ok(Entries(frames))
    }
}

/// The changes of a snapshot, in the portions that they are written in.
pub struct Entries(Frames);

impl Iterator for Entries {
    type Item = Result<Vec<KeyChange>, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.next() {
            Ok(Some(Entry::Changes { changes, .. })) => Some(Ok(changes)),
            Ok(Some(Entry::Commit { .. })) => None,
            Ok(_) => Some(Err(self.0.damaged("it changed while it was read"))),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A key with its value.
pub type Pair = (String, Box<serde_json::value::RawValue>);

/// What a snapshot and the changes after it come to, in the order of the keys.
pub struct Merged {
    older: Peekable<Box<dyn Iterator<Item = Result<KeyChange, JournalError>>>>,
    newer: Peekable<<Changes as IntoIterator>::IntoIter>,
}

impl Merged {
    /// Of a snapshot, if there is one, and what changed since.
    pub fn new(older: Option<&Snapshot>, newer: Changes) -> Result<Self, JournalError> {
        let older: Box<dyn Iterator<Item = Result<KeyChange, JournalError>>> = match older {
            None => Box::new(std::iter::empty()),
            Some(snapshot) => Box::new(snapshot.entries()?.flat_map(|entry| match entry {
                Ok(changes) => changes.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })),
        };
        Ok(Self {
            older: older.peekable(),
            newer: newer.into_iter().peekable(),
        })
    }
}

impl Iterator for Merged {
    type Item = Result<Pair, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let newer = self.newer.peek().map(|(key, _)| key);
            let changed = match (self.older.peek(), newer) {
                (Some(Err(_)), _) => return self.older.next()?.err().map(Err),
                (Some(Ok((older, _))), Some(newer)) if older >= newer => {
                    if older == newer {
                        self.older.next();
                    }
                    self.newer.next()?
                }
                (Some(Ok(_)), _) => self.older.next()?.ok()?,
                (None, _) => self.newer.next()?,
            };
            if let (key, Some(value)) = changed {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// Writes a snapshot, has it on the disk, reads it back, and only then gives it its name.
///
/// # Errors
/// Whatever goes wrong, what is there already stays as it is. `stop` may end it between two entries.
pub fn write(
    fs: &Fs,
    dir: &Dir,
    header: SnapshotHeader,
    pairs: Merged,
    stop: &dyn Fn() -> bool,
) -> Result<Snapshot, JournalError> {
    let name = folder::snapshot(header.covers.segment);
    let unfinished = folder::unfinished(&name);
    if fs.exists(dir, &unfinished)? {
        fs.remove(dir, &unfinished)?;
    }
    let mut out = Out {
        file: BufWriter::new(fs.create(dir, &unfinished)?),
        hash: Sha256::new(),
        count: 0,
    };
    let failed = |source| FsError {
        action: "write",
        path: dir.path().join(&unfinished),
        source,
    };
    let counters = header.counters;
    out.put(&Entry::Snapshot(Box::new(header)), &failed)?;
    let mut changes = Vec::new();
    let mut bytes = 0;
    for pair in pairs {
        let (key, value) = pair?;
        bytes += key.len() + value.get().len();
        changes.push((key, Some(value)));
        if bytes >= ENTRY_BYTES {
            out.put(&portion(std::mem::take(&mut changes)), &failed)?;
            bytes = 0;
            if stop() {
                return Err(JournalError::Stopped);
            }
        }
    }
    out.put(&portion(changes), &failed)?;
    let commit = Entry::Commit {
        count: out.count,
        counters,
        hash: hexadecimal(&out.hash.clone().finalize()),
    };
    out.put(&commit, &failed)?;
    let file = out
        .file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync()?;
    let mut written = Snapshot::open_as(fs, dir, unfinished)?;
    if fs.exists(dir, &name)? {
        // It was found damaged, or it would not be made again.
        fs.remove(dir, &name)?;
    }
    fs.rename(dir, &written.name, dir, &name)?;
    fs.sync_dir(dir)?;
    written.name = name;
    Ok(written)
}

fn portion(changes: Vec<KeyChange>) -> Entry {
    Entry::Changes {
        what: "snapshot".to_owned(),
        changes,
        moves: Vec::new(),
    }
}

/// A snapshot that is being written.
struct Out<W> {
    file: W,
    hash: Sha256,
    count: usize,
}

impl<W: Write> Out<W> {
    fn put(
        &mut self,
        entry: &Entry,
        failed: &dyn Fn(std::io::Error) -> FsError,
    ) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        segment::frame(&mut bytes, entry)?;
        self.hash.update(&bytes);
        self.count += 1;
        self.file.write_all(&bytes).map_err(failed)?;
        Ok(())
    }
}

/// The framed entries of a file, read one after the other.
struct Frames {
    file: BufReader<File>,
    dir: Dir,
    name: OsString,
    at: u64,
    left: u64,
    hash: Sha256,
}

impl Frames {
    fn open(fs: &Fs, dir: &Dir, name: &std::ffi::OsStr) -> Result<Self, JournalError> {
        Ok(Self {
            left: fs.size(dir, name)?,
            file: BufReader::new(fs.open(dir, name)?),
            dir: dir.clone(),
            name: name.to_owned(),
            at: 0,
            hash: Sha256::new(),
        })
    }

    /// The next entry; nothing at the end of the file.
    fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut bytes = self.take(FRAME)?;
        let length = bytes.get(..4).and_then(|length| length.try_into().ok());
        let length = u32::from_le_bytes(length.unwrap_or_default());
        bytes.extend(self.take(usize::try_from(length).unwrap_or(usize::MAX))?);
        let Some((entry, _)) = segment::unframe(&bytes) else {
            return Err(self.damaged("a bad entry"));
        };
        self.hash.update(&bytes);
        self.at += bytes.len() as u64;
        Ok(Some(entry))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, JournalError> {
        // Checked before room is made for it: a length that is wrong may be any.
        let Some(left) = self.left.checked_sub(length as u64) else {
            return Err(self.damaged("it ends within an entry"));
        };
        self.left = left;
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes).map_err(|source| FsError {
            action: "read",
            path: self.dir.path().join(&self.name),
            source,
        })?;
        Ok(bytes)
    }

    /// The hash over everything read so far.
    fn sum(&self) -> String {
        hexadecimal(&self.hash.clone().finalize())
    }

    fn damaged(&self, what: &str) -> JournalError {
        JournalError::damaged(&self.name, self.at, what)
    }
}
