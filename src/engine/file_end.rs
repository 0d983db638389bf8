//! Ends a file whose messages are all decided: chooses where it and all that goes with it go.

use std::sync::Arc;

use super::group::Group;
use super::outputs::OutputSource;
use super::prepared::Ending;
use super::progress::FileProgress;
use super::{ClaimedFile, Engine, EngineError};
use crate::hl7::{FileBytes, Message};
use crate::intake::describe;
use crate::journal::{Closing, Entry};
use crate::model::outcome::{Reason, Refusal};
use crate::model::owner::Owner;
use crate::spool::{claim, destinations};
use crate::store::{KeyChange, keys};

/// A file whose messages were all decided.
pub(super) struct FileResult<'f> {
    pub(super) parts: FileProgress,
    /// Each message as it was received, to be split off where it is refused.
    pub(super) messages: Vec<&'f [u8]>,
    /// Whether it is answered in HL7.
    pub(super) is_hl7: bool,
    /// Files that its commands claimed, and whether the command was refused.
    pub(super) attachments: Vec<(ClaimedFile, bool)>,
}

/// How much of a file that is refused unread is looked at, to know whether it is HL7 (interface.md 10).
const FIRST_BYTES: usize = 64 * 1024;

impl Engine {
    /// Chooses the names that a file and all that goes with it end under, and prepares what is written.
    pub(super) fn finish_file(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        finished: FileResult<'_>,
    ) -> Result<(), EngineError> {
        let owner = &claimed.owner;
        let now = self.now();
        let day = self.day(owner, now);
        let Some(root) = self.root(owner).cloned() else {
            return Ok(());
        };
        let parts = &finished.parts;
        let all_refused = parts.are_refused();
        let split_off = if all_refused { &[] } else { parts.refused() };
        let named = self.names.choose_any(
            &self.fs,
            &self.folders,
            &root,
            &claimed.claim.received,
            &day,
            &|named| {
                let messages = split_off.iter().map(|index| index + 1);
                messages
                    .flat_map(|number| {
                        [
                            named.message(number, ""),
                            named.message(number, destinations::SIDECAR),
                        ]
                    })
                    .collect()
            },
        )?;
        let mut ending = Ending {
            owner: owner.clone(),
            moves: Vec::new(),
        };
        let whole = match all_refused {
            true => named.below(destinations::ERROR, ""),
            false => destinations::done(&day, &named),
        };
        ending.add(claimed.path_in_work(), &whole);
        let source = OutputSource {
            claimed,
            parts,
            messages: &finished.messages,
            is_hl7: finished.is_hl7,
            named: &named,
            now,
        };
        let refused = self.write_outputs(group, &source, &mut ending)?;
        for (attachment, was_refused) in &finished.attachments {
            let received = &attachment.claim.received;
            let choose = &mut self.names;
            let named =
                choose.choose_any(&self.fs, &self.folders, &root, received, &day, &|_| {
                    Vec::new()
                })?;
            let to = match was_refused {
                true => named.below(destinations::ERROR, ""),
                false => destinations::done(&day, &named),
            };
            ending.add(attachment.path_in_work(), &to);
        }
        for ordered in &ending.moves {
            let to = claim::from_text(&ordered.to);
            self.folders.parent(&self.fs, &root, &to)?;
        }
        let mut changes = forget_progress(group, claimed, &finished.parts);
        changes.extend(refused);
        group.enter(Entry::Closing(Box::new(Closing {
            claim: claimed.claim.key(),
            messages: finished.parts.count(),
            changes,
            moves: ending.moves,
        })));
        Ok(())
    }

    /// Refuses a file as a whole, unread or unreadable; it counts as HL7 if an MSH can be read in its first bytes.
    pub(super) fn refuse_file(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        bytes: &[u8],
        refusal: Refusal,
    ) -> Result<(), EngineError> {
        let source = FileBytes::of(bytes.get(..FIRST_BYTES).unwrap_or(bytes));
        let first = source.bytes();
        let facility = match &claimed.owner {
            Owner::Facility(id) => self.facility(id),
            _ => None,
        };
        let described = facility
            .filter(|_| refusal.reason != Reason::UnknownFormat)
            .and_then(|facility| {
                let message = memchr::memmem::find_iter(first, b"MSH")
                    .find_map(|at| Message::parse(first.get(at..)?).ok())?;
                Some(describe::describe(&message, facility))
            });
        let now = self.now();
        let is_hl7 = described.is_some();
        let described = described.unwrap_or_default();
        let reply = self.record_outcome(group, claimed, 1, described, Err(refusal.into()), now)?;
        let finished = FileResult {
            parts: FileProgress::one(reply),
            messages: vec![bytes],
            is_hl7,
            attachments: Vec::new(),
        };
        self.finish_file(group, claimed, finished)
    }

    /// Refuses a file that ended the process whenever it was read.
    pub(super) fn refuse_crasher(&mut self, claimed: &ClaimedFile) -> Result<(), EngineError> {
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        group.take_up(claimed);
        let refusal = Refusal::new(
            Reason::ReaderCrashed,
            "Reading this file ended the program three times; it is not read again.",
        );
        let first = self.first_bytes(claimed).unwrap_or_default();
        self.refuse_file(&mut group, claimed, &first, refusal)?;
        self.commit(group)
    }

    fn first_bytes(&self, claimed: &ClaimedFile) -> Option<Vec<u8>> {
        let folders = self.folders_of(&claimed.owner)?;
        let file = self.fs.open(&folders.work, &claimed.name_in_work()).ok()?;
        let mut first = Vec::new();
        let mut limited = std::io::Read::take(file, FIRST_BYTES as u64);
        std::io::Read::read_to_end(&mut limited, &mut first).ok()?;
        Some(first)
    }

    /// Writes the receipts of a group that share a file, one for each facility.
    pub(super) fn write_group_receipts(
        &mut self,
        group: &mut Group<'_>,
    ) -> Result<(), EngineError> {
        let mut receipts = std::mem::take(&mut group.receipts);
        receipts.sort_by(|(a, _), (b, _)| a.cmp(b));
        for of_place in receipts.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((place, _)) = of_place.first() else {
                continue;
            };
            let Some(root) = self.root(place).cloned() else {
                continue;
            };
            let text: String = of_place.iter().map(|(_, text)| text.as_str()).collect();
            let from = self.prepare(group, place, text.as_bytes())?;
            let name = format!("group-{}.ack", self.message);
            let names = &mut self.names;
            let to = names.choose_in(
                &self.fs,
                &self.folders,
                &root,
                destinations::ACKS,
                name.as_ref(),
            )?;
            let mut ending = Ending {
                owner: place.clone(),
                moves: Vec::new(),
            };
            ending.add(from, &to);
            group.enter(Entry::Changes {
                what: "receipts of a group".to_owned(),
                changes: Vec::new(),
                moves: ending.moves,
            });
        }
        Ok(())
    }
}

/// What need not be remembered of a file that is finished.
fn forget_progress(
    group: &mut Group<'_>,
    claimed: &ClaimedFile,
    parts: &FileProgress,
) -> Vec<KeyChange> {
    let key = claimed.claim.key();
    let mut changes: Vec<KeyChange> = parts.forget(&key).collect();
    if claimed.claim.is_cut() {
        changes.push((keys::long_name(&key), None));
    }
    group.view.write(&changes);
    changes
}
