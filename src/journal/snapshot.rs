//! A snapshot: everything that the changes up to a place in the journal come to, as puts in the order of their keys.
//!
//! It is merged from the snapshot before it and the segments since, never from the store, and is written like a
//! segment: a header, entries of changes, and a commit without which nothing of it counts.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::folder;
use super::segment::{self, FRAME};
use super::{Counters, Entry, JournalError, SnapshotHeader};
use crate::model::identifiers::hexadecimal;
use crate::spool::fs::writing::Writing;
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

/// Changes in the order of their keys, in the portions that they are written in.
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
pub type KeyValue = (String, Box<serde_json::value::RawValue>);

type ChangeStream = Peekable<Box<dyn Iterator<Item = Result<KeyChange, JournalError>>>>;

/// What several sources of changes come to, in the order of the keys: for each key, the newest source counts.
pub struct MergedChanges {
    /// The oldest first.
    sources: Vec<ChangeStream>,
}

impl MergedChanges {
    /// Of these, the oldest first, and what changed since.
    pub fn new(older: Vec<Entries>, newest: Changes) -> Self {
        let of_files = older.into_iter().map(|entries| -> ChangeStream {
            let changes = entries.flat_map(|entry| match entry {
                Ok(changes) => changes.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            });
            let changes: Box<dyn Iterator<Item = _>> = Box::new(changes);
            changes.peekable()
        });
        let newest: Box<dyn Iterator<Item = _>> = Box::new(newest.into_iter().map(Ok));
        Self {
            sources: of_files.chain([newest.peekable()]).collect(),
        }
    }

    /// The next key of all, as the newest source that has it leaves it.
    fn next_change(&mut self) -> Option<Result<KeyChange, JournalError>> {
        let mut first: Option<&str> = None;
        let mut from = Vec::with_capacity(self.sources.len());
        for (at, source) in self.sources.iter_mut().enumerate() {
            let key = match source.peek() {
                None => continue,
                Some(Ok((key, _))) => key.as_str(),
                Some(Err(_)) => return source.next(),
            };
            match first.map_or(Ordering::Less, |first| key.cmp(first)) {
                Ordering::Greater => {}
                Ordering::Equal => from.push(at),
                Ordering::Less => {
                    first = Some(key);
                    from.clear();
                    from.push(at);
                }
            }
        }
        let mut change = None;
        for at in from {
            change = self.sources.get_mut(at)?.next();
        }
        change
    }
}

impl Iterator for MergedChanges {
    type Item = Result<KeyValue, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_change()? {
                Ok((key, Some(value))) => return Some(Ok((key, value))),
                Ok((_, None)) => {}
                Err(error) => return Some(Err(error)),
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
    pairs: MergedChanges,
    stop: &dyn Fn() -> bool,
) -> Result<Snapshot, JournalError> {
    let name = folder::snapshot(header.covers.segment);
    let unfinished = folder::unfinished(&name);
    let counters = header.counters;
    let mut out = EntryWriter::create(fs, dir, &unfinished)?;
    out.put(&Entry::Snapshot(Box::new(header)))?;
    let puts = pairs.map(|pair| pair.map(|(key, value)| (key, Some(value))));
    let file = out.finish(puts, counters, stop)?;
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

/// Writes changes that are in the order of their keys, for this process alone: not synced, without a header.
pub fn write_run(fs: &Fs, dir: &Dir, name: &OsStr, changes: Changes) -> Result<(), JournalError> {
    let out = EntryWriter::create(fs, dir, name)?;
    out.finish(changes.into_iter().map(Ok), Counters::default(), &|| false)?;
    Ok(())
}

/// Reads what [`write_run`] wrote.
pub fn read_run(fs: &Fs, dir: &Dir, name: &OsStr) -> Result<Entries, JournalError> {
    Frames::open(fs, dir, name).map(Entries)
}

/// A file of framed entries that is being written.
struct EntryWriter {
    file: BufWriter<Writing>,
    path: PathBuf,
    hash: Sha256,
    count: usize,
}

impl EntryWriter {
    /// In the place of one that was not finished.
    fn create(fs: &Fs, dir: &Dir, name: &OsStr) -> Result<Self, JournalError> {
        if fs.exists(dir, name)? {
            fs.remove(dir, name)?;
        }
        Ok(Self {
            file: BufWriter::new(fs.create(dir, name)?),
            path: dir.path().join(name),
            hash: Sha256::new(),
            count: 0,
        })
    }

    /// Writes changes in portions, and the commit. `stop` may end it between two portions.
    fn finish(
        mut self,
        changes: impl Iterator<Item = Result<KeyChange, JournalError>>,
        counters: Counters,
        stop: &dyn Fn() -> bool,
    ) -> Result<Writing, JournalError> {
        let mut portion = Vec::new();
        let mut bytes = 0;
        for change in changes {
            let (key, value) = change?;
            bytes += key.len() + value.as_ref().map_or(0, |value| value.get().len());
            portion.push((key, value));
            if bytes >= ENTRY_BYTES {
                self.put_changes(std::mem::take(&mut portion))?;
                bytes = 0;
                if stop() {
                    return Err(JournalError::Stopped);
                }
            }
        }
        self.put_changes(portion)?;
        let commit = Entry::Commit {
            count: self.count,
            counters,
            hash: hexadecimal(&self.hash.clone().finalize()),
        };
        self.put(&commit)?;
        let path = self.path;
        self.file
            .into_inner()
            .map_err(|error| write_failed(&path, error.into_error()))
    }

    fn put_changes(&mut self, changes: Vec<KeyChange>) -> Result<(), JournalError> {
        self.put(&Entry::Changes {
            what: "snapshot".to_owned(),
            changes,
            moves: Vec::new(),
        })
    }

    fn put(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        segment::frame(&mut bytes, entry)?;
        self.hash.update(&bytes);
        self.count += 1;
        self.file
            .write_all(&bytes)
            .map_err(|source| write_failed(&self.path, source))
    }
}

fn write_failed(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Disk(FsError {
        action: "write",
        path: path.to_owned(),
        source,
    })
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
