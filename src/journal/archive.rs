//! Archives: older segments, compressed, several in a file, kept as the record of who sent what.
//!
//! An archive is one zstd frame after the other, each a segment up to its accepted end, byte for byte: the hashes that
//! chain the segments can be checked in it as before.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use zstd::stream::read::Decoder;

use super::folder::{self, Archive};
use super::segment::{self, SegmentScan};
use super::{GroupVisitor, JournalError, JournalHeader, JournalPosition};
use crate::spool::fs::{Dir, Fs, FsError};

/// A segment compresses to an eighth already at the least effort.
const LEVEL: i32 = 3;

/// Reads the segments of an archive after `covered`, which follow on each other and on `before`, where something goes
/// before them; gives what was found in the last.
pub fn read(
    fs: &Fs,
    dir: &Dir,
    archive: Archive,
    covered: u64,
    mut before: Option<JournalPosition>,
    each: GroupVisitor<'_>,
) -> Result<Option<SegmentScan>, JournalError> {
    let name = archive.name();
    let damaged = |what: &str| JournalError::damaged(&name, 0, what);
    let mut file = BufReader::new(fs.open(dir, &name)?);
    let mut last = None;
    for number in archive.first..=archive.last {
        let bytes = segment_of(&mut file)
            .map_err(|error| damaged(&format!("it cannot be decompressed: {error}")))?;
        if number <= covered {
            continue;
        }
        let scanned = segment::parse(&bytes, number, None, each).map_err(|error| match error {
            JournalError::Damaged {
                segment,
                offset,
                what,
            } => damaged(&format!("{segment} in it, byte {offset}: {what}")),
            other => other,
        })?;
        if !scanned.is_whole() {
            return Err(damaged("a segment in it is not whole"));
        }
        if before.is_some() || number == 1 {
            segment::follows(&scanned, before.as_ref(), number)?;
        }
        before = scanned.position();
        last = Some(scanned);
    }
    match file.fill_buf() {
        Ok([]) => Ok(last),
        _ => Err(damaged("it goes on after its end")),
    }
}

/// The header of the first segment in an archive.
pub fn header(fs: &Fs, dir: &Dir, archive: Archive) -> Result<Option<JournalHeader>, JournalError> {
    let mut file = BufReader::new(fs.open(dir, &archive.name())?);
    let mut first = Vec::new();
    let decoded = Decoder::with_buffer(&mut file)
        .and_then(|decoder| decoder.take(64 * 1024).read_to_end(&mut first));
    Ok(decoded.ok().and_then(|_| segment::header_of(&first)))
}

fn segment_of(file: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Decoder::with_buffer(file)?
        .single_frame()
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes segments, each with its accepted end, into an archive, has it on the disk and reads it back; only then it
/// gets its name, and the segments are removed.
pub fn write(
    fs: &Fs,
    dir: &Dir,
    segments: &[JournalPosition],
    stop: &dyn Fn() -> bool,
) -> Result<(), JournalError> {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Ok(());
    };
    let archive = Archive {
        first: first.segment,
        last: last.segment,
    };
    let name = archive.name();
    let unfinished = folder::unfinished(&name);
    if fs.exists(dir, &unfinished)? {
        fs.remove(dir, &unfinished)?;
    }
    let failed = |source| FsError {
        action: "write",
        path: dir.path().join(&unfinished),
        source,
    };
    let mut out = BufWriter::new(fs.create(dir, &unfinished)?);
    for end in segments {
        if stop() {
            return Err(JournalError::Stopped);
        }
        let bytes = fs.read(dir, &folder::segment(end.segment))?;
        // Checked before it is compressed: this copy takes the place of the segment.
        segment::parse(&bytes, end.segment, Some(end), &mut |_| Ok(()))?;
        let length = usize::try_from(end.length).unwrap_or(usize::MAX);
        let accepted = bytes.get(..length).unwrap_or(&bytes);
        zstd::stream::copy_encode(accepted, &mut out, LEVEL).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    let file = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync()?;
    read_back(fs, dir, &unfinished, segments)?;
    fs.rename(dir, &unfinished, dir, &name)?;
    fs.sync_dir(dir)?;
    for end in segments {
        fs.remove(dir, &folder::segment(end.segment))?;
    }
    Ok(())
}

fn read_back(
    fs: &Fs,
    dir: &Dir,
    name: &std::ffi::OsStr,
    segments: &[JournalPosition],
) -> Result<(), JournalError> {
    let mut file = BufReader::new(fs.open(dir, name)?);
    for end in segments {
        let bytes = segment_of(&mut file).unwrap_or_default();
        let scanned = segment::parse(&bytes, end.segment, Some(end), &mut |_| Ok(()))?;
        if !scanned.is_whole() {
            return Err(JournalError::damaged(name, 0, "it is not what was written"));
        }
    }
    Ok(())
}
