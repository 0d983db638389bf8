//! One file of the journal: entries framed by length and checksum, and the hash that runs over them.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use super::folder::segment as name;
use super::{Counters, Entry, GroupVisitor, JournalError, JournalHeader, JournalPosition, Move};
use crate::model::identifiers::hexadecimal;
use crate::spool::fs::writing::Writing;
use crate::spool::fs::{Dir, Fs, FsError};

/// Length and checksum before each entry, four bytes each, little-endian.
pub(super) const FRAME: usize = 8;

/// A header is shorter than this.
const HEADER_BYTES: u64 = 64 * 1024;

/// An entry takes about so much besides its changes, and each of these besides key and value.
const ENTRY_BYTES: usize = 512;
const KEY_BYTES: usize = 16;

/// How far a segment is accepted, and the hash over it so far.
#[derive(Debug, Clone)]
pub struct Scan {
    number: u64,
    length: u64,
    hash: Sha256,
}

impl Scan {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            length: 0,
            hash: Sha256::new(),
        }
    }

    /// Where the accepted part ends.
    pub fn position(&self) -> JournalPosition {
        JournalPosition {
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
        // A batch of many reports is one large entry: growing to it would take its memory twice over.
        let changes = entries.iter().flat_map(Entry::changes);
        let changes = changes.map(|(key, value)| {
            let value = value.as_ref().map_or(0, |value| value.get().len());
            key.len() + value + KEY_BYTES
        });
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES + changes.sum::<usize>());
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
pub struct SegmentScan {
    header: Option<JournalHeader>,
    scan: Scan,
    /// Whether nothing follows its header, not even something torn.
    is_empty: bool,
    /// What follows what is accepted, if anything does.
    pub torn: Option<TornGroup>,
    /// The numbers as of its last group.
    pub counters: Counters,
}

/// A group at the end of a segment of which not every byte is as it was written.
///
/// A power cut leaves one if it comes before the sync of the group has returned: its pages reach the disk in any order,
/// so its end may be there and its middle not. Nothing was moved for it then, and it is cut off. What was moved says
/// that it had been synced: then it is damaged.
#[derive(Debug)]
pub struct TornGroup {
    /// Where it begins.
    pub offset: u64,
    /// The moves that it orders, as far as its entries can be read.
    pub moves: Vec<Move>,
}

impl SegmentScan {
    /// Whether nothing follows what is accepted.
    pub fn is_whole(&self) -> bool {
        self.torn.is_none()
    }

    /// The identity of the journal, where its header names one.
    pub fn journal(&self) -> Option<&str> {
        self.header.as_ref()?.journal.as_deref()
    }

    /// Where it ends; nothing if not even its header is whole.
    pub fn position(&self) -> Option<JournalPosition> {
        self.header.as_ref().map(|_| self.scan.position())
    }
}

/// Begins a segment of this journal after `previous`, durably.
pub fn begin(
    fs: &Fs,
    dir: &Dir,
    journal: &str,
    previous: Option<JournalPosition>,
    counters: Counters,
) -> Result<(Writing, Scan), JournalError> {
    let number = previous.as_ref().map_or(1, |position| position.segment + 1);
    let mut bytes = Vec::new();
    let header = JournalHeader {
        number,
        previous,
        counters,
        begun: fs.clock().wall(),
        journal: Some(journal.to_owned()),
    };
    frame(&mut bytes, &Entry::Header(header))?;
    let name = name(number);
    if fs.exists(dir, &name)? {
        // It could neither be begun before nor removed, and holds nothing that counts.
        fs.remove(dir, &name)?;
    }
    let mut writing = fs.create(dir, &name)?;
    if let Err(source) = writing.write_all(&bytes) {
        // It is begun again later, under the same name.
        let _ = fs.remove(dir, &name);
        return Err(JournalError::Disk(FsError {
            action: "begin the journal segment",
            path: dir.path().join(&name),
            source,
        }));
    }
    writing.sync().map_err(JournalError::Sync)?;
    fs.sync_dir(dir).map_err(JournalError::Sync)?;
    let mut scan = Scan::new(number);
    scan.accept(&bytes);
    Ok((writing, scan))
}

/// Goes on with a segment of this journal that holds nothing yet, so that starts which change nothing leave no files
/// behind; nothing if it holds something, or its header names other numbers.
pub fn go_on(
    fs: &Fs,
    dir: &Dir,
    journal: &str,
    counters: Counters,
    scanned: &SegmentScan,
) -> Result<Option<(Writing, Scan)>, JournalError> {
    if !scanned.is_empty || scanned.journal() != Some(journal) || scanned.counters != counters {
        return Ok(None);
    }
    let writing = fs.append(dir, &name(scanned.scan.number))?;
    Ok(Some((writing, scanned.scan.clone())))
}

/// The header of a segment; nothing if it is not whole.
pub fn header(fs: &Fs, dir: &Dir, number: u64) -> Result<Option<JournalHeader>, JournalError> {
    let first =
        first(&mut fs.open(dir, &name(number))?, HEADER_BYTES).map_err(|source| FsError {
            action: "read",
            path: dir.path().join(name(number)),
            source,
        })?;
    Ok(header_of(&first))
}

/// The bytes of the first entry of a file, at most so many of its content, and no more: hundreds of files are looked at
/// in a start.
pub fn first(file: &mut impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::new();
    file.by_ref().take(FRAME as u64).read_to_end(&mut first)?;
    let length = first.get(..4).and_then(|length| length.try_into().ok());
    let length = u32::from_le_bytes(length.unwrap_or_default());
    file.take(most.min(length.into())).read_to_end(&mut first)?;
    Ok(first)
}

/// The header at the start of these bytes.
pub fn header_of(bytes: &[u8]) -> Option<JournalHeader> {
    match unframe(bytes) {
        Some((Entry::Header(header), _)) => Some(header),
        _ => None,
    }
}

/// Checks that a segment goes on where the one before it ends.
pub fn follows(
    scanned: &SegmentScan,
    before: Option<&JournalPosition>,
    number: u64,
) -> Result<(), JournalError> {
    let Some(header) = &scanned.header else {
        return Err(damaged(number, 0, "it has no header"));
    };
    match header.previous.as_ref() == before {
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
/// A last group that is not whole is left out, and told ([`TornGroup`]); a bad entry with a later group after it is damage.
pub fn read(
    fs: &Fs,
    dir: &Dir,
    number: u64,
    end: Option<&JournalPosition>,
    each: GroupVisitor<'_>,
) -> Result<SegmentScan, JournalError> {
    parse(&fs.read(dir, &name(number))?, number, end, each)
}

/// The same, of the bytes of a segment.
pub fn parse(
    bytes: &[u8],
    number: u64,
    end: Option<&JournalPosition>,
    each: GroupVisitor<'_>,
) -> Result<SegmentScan, JournalError> {
    let bytes = match end {
        None => bytes,
        Some(end) => usize::try_from(end.length)
            .ok()
            .and_then(|length| bytes.get(..length))
            .ok_or_else(|| {
                let what = "it is shorter than what follows it says";
                damaged(number, bytes.len(), what)
            })?,
    };
    let mut scan = Scan::new(number);
    let mut header = None;
    let mut counters = Counters::default();
    let mut header_end = None;
    let mut group = Vec::new();
    let (mut at, mut group_at) = (0, 0);
    while let Some((entry, length)) = bytes.get(at..).and_then(unframe) {
        match entry {
            Entry::Header(read) if at == 0 && read.number == number => {
                counters = read.counters;
                header = Some(read);
                scan.accept(&bytes[..length]);
                group_at = length;
                header_end = Some(length);
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
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some((commit, length)) = first_commit(rest) {
        // The next group is written only once this one is on the disk: whatever follows its commit confirms it.
        let is_next = commit.group == counters.group + 1;
        if end.is_some() || header.is_none() || !is_next || length != rest.len() {
            return Err(damaged(
                number,
                at,
                "a bad entry with a later group after it",
            ));
        }
    }
    if let Some(end) = end
        && *end != scan.position()
    {
        return Err(damaged(
            number,
            group_at,
            "its end is not the one that what follows it names",
        ));
    }
    let is_whole = scan.length == bytes.len() as u64;
    group.extend(legible(rest));
    Ok(SegmentScan {
        is_empty: header_end == Some(bytes.len()),
        torn: (!is_whole).then(|| TornGroup {
            offset: scan.length,
            moves: group.into_iter().flat_map(Entry::into_moves).collect(),
        }),
        header,
        scan,
        counters,
    })
}

/// Appends an entry to these bytes, framed.
pub(super) fn frame(bytes: &mut Vec<u8>, entry: &Entry) -> Result<(), JournalError> {
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
pub(super) fn unframe(bytes: &[u8]) -> Option<(Entry, usize)> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let checksum = u32::from_le_bytes(bytes.get(4..FRAME)?.try_into().ok()?);
    let end = FRAME.checked_add(usize::try_from(length).ok()?)?;
    let content = bytes.get(FRAME..end)?;
    if crc32fast::hash(content) != checksum {
        return None;
    }
    Some((serde_json::from_slice(content).ok()?, end))
}

/// The numbers of the first whole commit entry in these bytes, and where it ends.
fn first_commit(bytes: &[u8]) -> Option<(Counters, usize)> {
    framed(bytes, br#"{"commit":"#).find_map(|(entry, end)| match entry {
        Entry::Commit { counters, .. } => Some((counters, end)),
        _ => None,
    })
}

/// Whether the last entry of a file, of which these bytes are the end, is a commit.
pub fn ends_with_commit(bytes: &[u8]) -> bool {
    framed(bytes, br#"{"commit":"#).any(|(_, end)| end == bytes.len())
}

/// The entries that can be read among bytes that are not whole.
pub fn legible(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    let kinds = [
        &br#"{"header":"#[..],
        br#"{"message":"#,
        br#"{"closing":"#,
        br#"{"changes":"#,
        br#"{"commit":"#,
    ];
    let found = kinds.into_iter().flat_map(|kind| framed(bytes, kind));
    found.map(|(entry, _)| entry)
}

/// The whole entries in these bytes whose text begins so, each with where it ends.
fn framed<'b>(
    bytes: &'b [u8],
    beginning: &'static [u8],
) -> impl Iterator<Item = (Entry, usize)> + 'b {
    memchr::memmem::find_iter(bytes, beginning).filter_map(|at| {
        let start = at.checked_sub(FRAME)?;
        let (entry, length) = unframe(&bytes[start..])?;
        Some((entry, start + length))
    })
}

fn damaged(number: u64, offset: usize, what: &str) -> JournalError {
    JournalError::damaged(&name(number), offset as u64, what)
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Journal};
    use super::*;

    struct SegmentFolder {
        temporary: tempfile::TempDir,
        fs: Fs,
        dir: Dir,
    }

    impl SegmentFolder {
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
        [Entry::Finished {
            group: 7,
            left: Vec::new(),
        }]
    }

    #[test]
    fn what_was_appended_is_read_back_over_restarts() {
        let folder = SegmentFolder::new();
        for expected in [vec![], vec![1, 2], vec![1, 2, 3, 4]] {
            let (mut journal, groups) = folder.open().unwrap();
            assert_eq!(groups, expected);
            journal.append(&entry(), 1, 1).unwrap();
            journal.append(&entry(), 2, 2).unwrap();
        }
    }

    #[test]
    fn a_torn_end_is_cut_at_any_byte_and_what_follows_is_kept() {
        let folder = SegmentFolder::new();
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
        let folder = SegmentFolder::new();
        let (mut journal, _) = folder.open().unwrap();
        let first = journal.append(&entry(), 1, 1).unwrap().length as usize;
        journal.append(&entry(), 2, 2).unwrap();
        drop(journal);
        folder.change(1, |bytes| bytes[first - 20] ^= 1);
        assert!(matches!(folder.open(), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn a_segment_that_was_never_begun_is_passed_over() {
        let folder = SegmentFolder::new();
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
        let folder = SegmentFolder::new();
        for _ in 0..3 {
            let (mut journal, _) = folder.open().unwrap();
            journal.append(&entry(), 1, 1).unwrap();
        }
        let second = folder.temporary.path().join(name(2));
        let kept = std::fs::read(&second).unwrap();
        std::fs::remove_file(&second).unwrap();
        assert!(matches!(folder.open(), Err(JournalError::Damaged { .. })));
        std::fs::write(second, kept).unwrap();
        std::fs::remove_file(folder.temporary.path().join(name(1))).unwrap();
        assert!(matches!(folder.open(), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn starts_that_change_nothing_leave_no_files() {
        let folder = SegmentFolder::new();
        for _ in 0..5 {
            let (journal, _) = folder.open().unwrap();
            assert_eq!(journal.position().segment, 1);
        }
        let (mut journal, _) = folder.open().unwrap();
        journal.append(&entry(), 1, 1).unwrap();
        drop(journal);
        let (journal, groups) = folder.open().unwrap();
        assert_eq!((journal.position().segment, groups), (2, vec![1]));
    }
}
