//! One file of the journal: entries framed by length and checksum, and the hash that runs over them.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use sha2::{Digest, Sha256};

use super::{Counters, Entry, Group, Header, JournalError, Position};
use crate::model::identifiers::hexadecimal;
use crate::spool::fs::{Dir, Fs, FsError, Writing};

/// Length and checksum before each entry, four bytes each, little-endian.
const FRAME: usize = 8;

const ENDING: &str = ".journal";

/// The file of a segment.
pub fn name(number: u64) -> OsString {
    format!("{number:010}{ENDING}").into()
}

/// The number of the segment in a file of this name, if it is one.
pub fn number(name: &OsStr) -> Option<u64> {
    name.to_str()?.strip_suffix(ENDING)?.parse().ok()
}

/// How far a segment is accepted, and the hash over it so far.
#[derive(Debug, Clone)]
pub struct Scan {
    number: u64,
    length: u64,
    hash: Sha256,
}

impl Scan {
    fn new(number: u64) -> Self {
        Self {
            number,
            length: 0,
            hash: Sha256::new(),
        }
    }

    /// Where the accepted part ends.
    pub fn position(&self) -> Position {
        Position {
            segment: self.number,
            length: self.length,
            hash: self.sum(),
        }
    }

    fn sum(&self) -> String {
        hexadecimal(&self.hash.clone().finalize())
    }

    fn accept(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The bytes of a group with its commit, which count as accepted from then on.
    pub fn encode(
        &mut self,
        entries: &[Entry],
        counters: Counters,
    ) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::with_capacity(entries.len() * 1024);
        for entry in entries {
            frame(&mut bytes, entry)?;
        }
        self.accept(&bytes);
        let commit = Entry::Commit {
            count: entries.len(),
            counters,
            hash: self.sum(),
        };
        let before = bytes.len();
        frame(&mut bytes, &commit)?;
        self.accept(&bytes[before..]);
        Ok(bytes)
    }
}

/// What was found in a segment.
pub struct Scanned {
    header: Option<Header>,
    scan: Scan,
    /// The numbers as of its last group.
    pub counters: Counters,
}

impl Scanned {
    /// Where it ends; nothing if not even its header is whole.
    pub fn position(&self) -> Option<Position> {
        self.header.as_ref().map(|_| self.scan.position())
    }
}

/// Begins a segment after `previous`, durably.
pub fn begin(
    fs: &Fs,
    dir: &Dir,
    previous: Option<Position>,
    counters: Counters,
) -> Result<(Writing, Scan), JournalError> {
    let number = previous.as_ref().map_or(1, |position| position.segment + 1);
    let mut bytes = Vec::new();
    let header = Header {
        number,
        previous,
        counters,
        begun: chrono::Utc::now(),
    };
    frame(&mut bytes, &Entry::Header(header))?;
    let name = name(number);
    let mut writing = fs.create(dir, &name)?;
    writing.write_all(&bytes).map_err(|source| FsError {
        action: "begin the journal segment",
        path: dir.path().join(&name),
        source,
    })?;
    writing.sync()?;
    fs.sync_dir(dir)?;
    let mut scan = Scan::new(number);
    scan.accept(&bytes);
    Ok((writing, scan))
}

/// Where the segment before this one ends, as this one's header says; nothing if its header is not whole.
pub fn previous(fs: &Fs, dir: &Dir, number: u64) -> Result<Option<Position>, JournalError> {
    let bytes = fs.read(dir, &name(number))?;
    match unframe(&bytes) {
        Some((Entry::Header(header), _)) => Ok(header.previous),
        _ => Ok(None),
    }
}

/// Checks that a segment goes on where the one before it ends.
pub fn follows(
    scanned: &Scanned,
    before: Option<&Position>,
    number: u64,
) -> Result<(), JournalError> {
    let Some(header) = &scanned.header else {
        return Err(damaged(number, 0, "it has no header"));
    };
    // The oldest segment that is kept may follow one that retention deleted.
    match before.is_none() || header.previous.as_ref() == before {
        true => Ok(()),
        false => Err(damaged(
            number,
            0,
            "it does not follow the segment before it",
        )),
    }
}

/// Reads a segment up to `end`, or to its own end, and gives each accepted group to `each`.
///
/// A bad entry with no commit after it is a torn end and is left out; with one, it is damage.
pub fn read(
    fs: &Fs,
    dir: &Dir,
    number: u64,
    end: Option<&Position>,
    each: &mut dyn FnMut(Group) -> Result<(), JournalError>,
) -> Result<Scanned, JournalError> {
    let mut bytes = fs.read(dir, &name(number))?;
    if let Some(end) = end {
        let length = usize::try_from(end.length).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return Err(damaged(
                number,
                bytes.len(),
                "it is shorter than the next segment says",
            ));
        }
        bytes.truncate(length);
    }
    let mut scan = Scan::new(number);
    let mut header = None;
    let mut counters = Counters::default();
    let mut group = Vec::new();
    let (mut at, mut group_at) = (0, 0);
    while let Some((entry, length)) = bytes.get(at..).and_then(unframe) {
        match entry {
            Entry::Header(read) if at == 0 && read.number == number => {
                counters = read.counters;
                header = Some(read);
                scan.accept(&bytes[..length]);
                group_at = length;
            }
            Entry::Header(_) => return Err(damaged(number, at, "a header out of place")),
            _ if header.is_none() => return Err(damaged(number, at, "it has no header")),
            Entry::Commit {
                count,
                counters: read,
                hash,
            } => {
                scan.accept(&bytes[group_at..at]);
                if count != group.len() || hash != scan.sum() {
                    return Err(damaged(number, at, "a commit that does not fit its group"));
                }
                scan.accept(&bytes[at..at + length]);
                counters = read;
                each((read, std::mem::take(&mut group)))?;
                group_at = at + length;
            }
            entry => group.push(entry),
        }
        at += length;
    }
    if at < bytes.len() && commit_after(&bytes[at..]) {
        return Err(damaged(number, at, "a bad entry with a commit after it"));
    }
    if let Some(end) = end
        && *end != scan.position()
    {
        return Err(damaged(
            number,
            group_at,
            "its end is not the one that the next segment names",
        ));
    }
    Ok(Scanned {
        header,
        scan,
        counters,
    })
}

fn frame(bytes: &mut Vec<u8>, entry: &Entry) -> Result<(), JournalError> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; FRAME]);
    serde_json::to_writer(&mut *bytes, entry)?;
    let content = &bytes[start + FRAME..];
    let length = u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let checksum = crc32fast::hash(content).to_le_bytes();
    bytes[start..start + 4].copy_from_slice(&length);
    bytes[start + 4..start + FRAME].copy_from_slice(&checksum);
    Ok(())
}

/// The entry at the start of these bytes, and its length with its frame.
fn unframe(bytes: &[u8]) -> Option<(Entry, usize)> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let checksum = u32::from_le_bytes(bytes.get(4..FRAME)?.try_into().ok()?);
    let end = FRAME.checked_add(usize::try_from(length).ok()?)?;
    let content = bytes.get(FRAME..end)?;
    if crc32fast::hash(content) != checksum {
        return None;
    }
    Some((serde_json::from_slice(content).ok()?, end))
}

/// Whether a whole commit entry stands somewhere in these bytes.
fn commit_after(bytes: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, br#"{"commit":"#).any(|at| {
        let entry = at
            .checked_sub(FRAME)
            .and_then(|start| unframe(&bytes[start..]));
        matches!(entry, Some((Entry::Commit { .. }, _)))
    })
}

fn damaged(number: u64, offset: usize, what: &str) -> JournalError {
    JournalError::Damaged {
        segment: name(number).to_string_lossy().into_owned(),
        offset: offset as u64,
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Journal};
    use super::*;

    struct Folder {
        temporary: tempfile::TempDir,
        fs: Fs,
        dir: Dir,
    }

    impl Folder {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let fs = Fs::new();
            let dir = fs.open_root(temporary.path()).unwrap();
            Self { temporary, fs, dir }
        }

        fn open(&self) -> Result<(Journal, Vec<u64>), JournalError> {
            let mut groups = Vec::new();
            let journal = Journal::open(&self.fs, &self.dir, false, &mut |(counters, entries)| {
                assert_eq!(entries.len(), 1);
                groups.push(counters.group);
                Ok(())
            })?;
            Ok((journal, groups))
        }

        fn change(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
            let path = self.temporary.path().join(name(number));
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn entry() -> [Entry; 1] {
        [Entry::Finished { group: 7 }]
    }

    #[test]
    fn what_was_appended_is_read_back_over_restarts() {
        let folder = Folder::new();
        for expected in [vec![], vec![1, 2], vec![1, 2, 3, 4]] {
            let (mut journal, groups) = folder.open().unwrap();
            assert_eq!(groups, expected);
            journal.append(&entry(), 1, 1).unwrap();
            journal.append(&entry(), 2, 2).unwrap();
        }
    }

    #[test]
    fn a_torn_end_is_cut_at_any_byte_and_what_follows_is_kept() {
        let folder = Folder::new();
        let (mut journal, _) = folder.open().unwrap();
        let first = journal.append(&entry(), 1, 1).unwrap().length as usize;
        let second = journal.append(&entry(), 2, 2).unwrap().length as usize;
        drop(journal);
        let whole = std::fs::read(folder.temporary.path().join(name(1))).unwrap();
        for cut in first..second {
            folder.change(1, |bytes| bytes.truncate(cut));
            let (mut journal, groups) = folder.open().unwrap();
            assert_eq!(groups, [1], "cut at {cut}");
            journal.append(&entry(), 3, 3).unwrap();
            drop(journal);
            assert_eq!(folder.open().unwrap().1, [1, 2], "cut at {cut}");
            for number in 2..=3 {
                std::fs::remove_file(folder.temporary.path().join(name(number))).unwrap();
            }
            std::fs::write(folder.temporary.path().join(name(1)), &whole).unwrap();
        }
    }

    #[test]
    fn damage_before_a_commit_is_said_and_nothing_is_done() {
        let folder = Folder::new();
        let (mut journal, _) = folder.open().unwrap();
        let first = journal.append(&entry(), 1, 1).unwrap().length as usize;
        journal.append(&entry(), 2, 2).unwrap();
        drop(journal);
        folder.change(1, |bytes| bytes[first - 20] ^= 1);
        assert!(matches!(folder.open(), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn a_segment_that_was_never_begun_is_passed_over() {
        let folder = Folder::new();
        let (mut journal, _) = folder.open().unwrap();
        journal.append(&entry(), 1, 1).unwrap();
        drop(journal);
        for torn in [&b""[..], b"\x50\0\0\0gar"] {
            std::fs::write(folder.temporary.path().join(name(2)), torn).unwrap();
            let (journal, groups) = folder.open().unwrap();
            assert_eq!(groups, [1]);
            assert_eq!(journal.position().segment, 2);
            drop(journal);
        }
    }

    #[test]
    fn a_missing_segment_is_damage() {
        let folder = Folder::new();
        for _ in 0..3 {
            folder.open().unwrap();
        }
        std::fs::remove_file(folder.temporary.path().join(name(2))).unwrap();
        assert!(matches!(folder.open(), Err(JournalError::Damaged { .. })));
    }
}
