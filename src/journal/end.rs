//! Where a journal ends, read without changing anything: what a start compares with what else tells of it.

use sha2::{Digest, Sha256};

use super::folder::{self, JournalFolder};
use super::{Counters, JournalError, JournalPosition, TornGroup, segment};
use crate::model::identifiers::hexadecimal;
use crate::spool::fs::{Dir, Fs};

/// The end of a journal.
#[derive(Debug)]
pub struct End {
    /// Its identity; a journal from before there were any has none.
    pub identity: Option<String>,
    /// Everything before it is accepted.
    pub position: JournalPosition,
    /// The numbers as of there.
    pub counters: Counters,
    /// What stands after it, if anything does.
    pub torn: Option<TornGroup>,
}

impl End {
    /// The end of the journal in this folder; nothing if it holds nothing.
    pub fn of(fs: &Fs, dir: &Dir) -> Result<Option<Self>, JournalError> {
        let folder = JournalFolder::list(fs, dir)?;
        // A process that ended while it made the last segment left it without a header, and empty.
        for &number in folder.segments.iter().rev().take(2) {
            let scanned = segment::read(fs, dir, number, None, &mut |_| Ok(()))?;
            if let Some(position) = scanned.position() {
                return Ok(Some(Self {
                    identity: scanned.journal().map(str::to_owned),
                    position,
                    counters: scanned.counters,
                    torn: scanned.torn,
                }));
            }
        }
        // A first segment without a header holds nothing: the process ended while it began the journal.
        let begun = matches!(folder.segments.as_slice(), [] | [1]);
        if begun && folder.archives.is_empty() && folder.snapshots.is_empty() {
            return Ok(None);
        }
        let last = folder.units().last().map_or(0, |unit| unit.last());
        let covered = folder.snapshots.last().copied().unwrap_or_default();
        let missing = folder::segment(last.max(covered) + 1);
        let what = "the segment is missing, and what is older does not say where the journal ends";
        Err(JournalError::damaged(&missing, 0, what))
    }

    /// Whether the journal that ends here has everything up to this place.
    pub fn has(&self, fs: &Fs, dir: &Dir, place: &JournalPosition) -> Result<bool, JournalError> {
        let end = &self.position;
        if place == end {
            return Ok(true);
        }
        if (place.segment, place.length) >= (end.segment, end.length) {
            return Ok(false);
        }
        if !JournalFolder::list(fs, dir)?
            .segments
            .contains(&place.segment)
        {
            // Compressed or covered by a snapshot, and checked before it was.
            return Ok(true);
        }
        let bytes = fs.read(dir, &folder::segment(place.segment))?;
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        let before = bytes.get(..length);
        Ok(before.is_some_and(|before| hexadecimal(&Sha256::digest(before)) == place.hash))
    }
}
