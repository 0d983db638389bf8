//! From a claimed file to outcomes: reads it, and has each of its messages decided. [`super::file_end`]
//! ends it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::doubt::ClaimRead;
use super::file_end::FileResult;
use super::group::Group;
use super::progress::FileProgress;
use super::secrets::without_keys_in_header;
use super::{ClaimedFile, Engine, EngineError, owner_name, refused};
use crate::cda::{self, Cda};
use crate::config::Facility;
use crate::hl7::{self, FileBytes, Message, MessageBatch};
use crate::intake::describe::{self, MessageDescription};
use crate::intake::{Context, Decision, DecisionResult, Stop, about, explain, route};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::owner::Owner;
use crate::model::view::ViewError;
use crate::store::{PendingChanges, Store};

impl Engine {
    /// Decides every message of a claimed file and prepares its end.
    pub(super) fn take_file<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
    ) -> Result<(), EngineError> {
        let Some(folders) = self.folders_of(&claimed.owner) else {
            group.release(claimed);
            self.waiting.push_back(claimed.clone());
            return Ok(());
        };
        if claimed.is_request() {
            return self.answer_request(group, claimed);
        }
        let limit = self.config.intake.max_file;
        let work = folders.work.clone();
        let (read, cda) = match self.take_read(claimed) {
            Some(ahead) => {
                if let Some(written) = ahead.written {
                    group.has_written(written);
                }
                (Ok(ClaimRead::Whole(ahead.bytes, ahead.modified)), ahead.cda)
            }
            None if claimed.owner != Owner::Desk && self.leave_to_be_read(&work, claimed) => {
                self.waiting.push_back(claimed.clone());
                group.release(claimed);
                return Ok(());
            }
            None => (self.read_claimed(group, &work, claimed), None),
        };
        match read {
            Ok(ClaimRead::Whole(bytes, modified)) => {
                group.weigh(bytes.len());
                match &claimed.owner {
                    Owner::Desk => self.take_desk_file(store, group, claimed, &bytes, modified),
                    _ => {
                        let taken = self.take_facility_file(store, group, claimed, &bytes, cda);
                        let is_doubted = |(other, _): &(ClaimedFile, _)| {
                            other.claim.key() == claimed.claim.key()
                        };
                        // One of whose writers nothing is known is read anew.
                        if matches!(taken, Err(EngineError::TurnOver))
                            && !group.in_doubt().iter().any(is_doubted)
                        {
                            self.keep_read(claimed, bytes, modified);
                        }
                        taken
                    }
                }
            }
            Ok(ClaimRead::StillWritten | ClaimRead::InDoubt) => {
                self.put_off(claimed)?;
                group.release(claimed);
                Ok(())
            }
            Ok(ClaimRead::TooLarge(first, size)) => {
                let refusal = Refusal::new(
                    Reason::TooLarge,
                    format!("The file has {size} bytes; at most {limit} are taken."),
                );
                self.refuse_file(group, claimed, &first, refusal)
            }
            Err(EngineError::Disk(error)) if error.is_absent() => {
                log::error!(
                    "a claimed file of {} was removed from its work folder by somebody",
                    owner_name(&claimed.owner)
                );
                group.release(claimed);
                Ok(())
            }
            Err(EngineError::Disk(error)) if error.is_unreadable() => {
                let refusal = Refusal::new(
                    Reason::Unreadable,
                    format!("The file cannot be read: {}.", error.source),
                );
                self.refuse_file(group, claimed, b"", refusal)
            }
            Err(error) => Err(error),
        }
    }

    fn take_facility_file<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
        bytes: &[u8],
        read: Option<Result<Cda, Refusal>>,
    ) -> Result<(), EngineError> {
        let source = FileBytes::of(bytes);
        if source.looks_like_hl7() {
            return self.take_messages(store, group, claimed, bytes, &source);
        }
        if cda::looks_like_xml(bytes) {
            self.take_cda(group, claimed, bytes, read)?;
            if let Some(unused) = group.take_unused() {
                // What stays is removed at the next start.
                let _ = self.fs.remove(&unused.dir, &unused.name);
            }
            return Ok(());
        }
        self.refuse_file(group, claimed, bytes, route::unknown_format())
    }

    fn take_cda(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        bytes: &[u8],
        read: Option<Result<Cda, Refusal>>,
    ) -> Result<(), EngineError> {
        let Owner::Facility(id) = &claimed.owner else {
            return Ok(());
        };
        let config = Arc::clone(&self.config);
        let Some(facility) = config.facilities.iter().find(|it| it.id.as_str() == id) else {
            return Ok(());
        };
        let now = self.now();
        let context = Context {
            facility,
            versions: &config.intake.versions,
            future: config.intake.future,
            now,
        };
        let document = cda::without_framing(bytes);
        let read = read.unwrap_or_else(|| cda::parse(document));
        let mut described = match &read {
            Err(refusal) if refusal.reason == Reason::UnknownFormat => {
                MessageDescription::default()
            }
            read => describe::describe_cda(read.as_ref().ok(), facility),
        };
        described.about = read
            .as_ref()
            .ok()
            .and_then(|it| about::of_cda(it, facility));
        let decided = match read {
            Ok(cda) => naming_all(
                route::decide_cda(document, &cda, &group.view, &context),
                document.len(),
                || explain::problems_of_cda(document, &context),
            ),
            Err(refusal) => Err(refusal.into()),
        };
        let reply = self.record_outcome(group, claimed, 1, described, decided, now)?;
        let finished = FileResult {
            parts: FileProgress::one(reply),
            messages: vec![bytes],
            is_hl7: false,
            attachments: Vec::new(),
        };
        self.finish_file(group, claimed, finished)
    }

    fn take_messages<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
        file: &[u8],
        source: &FileBytes<'_>,
    ) -> Result<(), EngineError> {
        let bytes = source.bytes();
        let begun = match self.given_way.is_empty() {
            true => None,
            false => self.given_way.remove(&claimed.claim.key()),
        };
        let (extents, begun) = begun.unzip();
        let split = match extents {
            Some(extents) => Ok(MessageBatch::at(extents, bytes)),
            None => source.check().and_then(|()| hl7::split(bytes)),
        };
        let batch = match split {
            Ok(batch) => batch,
            Err(error) => {
                let refusal = Refusal::new(Reason::Malformed, format!("{error}."));
                return self.refuse_file(group, claimed, file, refusal);
            }
        };
        let Owner::Facility(id) = &claimed.owner else {
            return Ok(());
        };
        let config = Arc::clone(&self.config);
        let Some(facility) = config.facilities.iter().find(|it| it.id.as_str() == id) else {
            return Ok(());
        };
        if batch.messages.is_empty() {
            let described = describe::describe_envelope(bytes, facility);
            let ignored = Ok(Decision::unchanged(Verdict::Ignored));
            let reply = self.record_outcome(group, claimed, 1, described, ignored, self.now())?;
            let finished = FileResult {
                parts: FileProgress::one(reply),
                messages: vec![file],
                is_hl7: true,
                attachments: Vec::new(),
            };
            return self.finish_file(group, claimed, finished);
        }
        let mut parts = match begun {
            Some(parts) => parts,
            None => FileProgress::of(&**store, claimed)?,
        };
        if let Some(mismatch) = &batch.count_mismatch {
            let warning = Warning::new(WarningCode::BatchCount, format!("{mismatch}."));
            parts.warn(warning.at(mismatch.position));
        }
        for (index, bytes) in batch.messages.iter().enumerate().skip(parts.count()) {
            match self.make_room(store, group, claimed, &mut parts) {
                Err(EngineError::TurnOver) => {
                    let extents = batch.extents(source.bytes());
                    self.given_way.insert(claimed.claim.key(), (extents, parts));
                    return Err(EngineError::TurnOver);
                }
                made_room => made_room?,
            }
            let now = self.now();
            let context = Context {
                facility,
                versions: &config.intake.versions,
                future: config.intake.future,
                now,
            };
            let bytes = without_keys_in_header(&config, bytes);
            let (described, decided) = match Message::parse(&bytes) {
                Ok(message) => {
                    let message = match source.is_utf_16() {
                        true => message.from_utf_16(),
                        false => message,
                    };
                    let mut described = describe::describe(&message, facility);
                    let decided = route::check_edges(&message, batch.edges(index))
                        .map_err(Stop::from)
                        .and_then(|doubts| {
                            let decided = route::decide(&message, &group.view, &context);
                            let named = naming_all(decided, bytes.len(), || {
                                explain::problems(&message, &context)
                            });
                            Ok(named?.warned_if_taken(doubts))
                        });
                    if is_about_wanted(&group.view, facility, &decided)? {
                        described.about = about::of_message(&message, facility);
                    }
                    (described, decided)
                }
                Err(error) => {
                    let refusal = Refusal::new(Reason::Malformed, format!("{error}."));
                    (MessageDescription::default(), Err(refusal.into()))
                }
            };
            let reply = self.record_outcome(group, claimed, index + 1, described, decided, now)?;
            parts.push(reply);
        }
        let as_they_came = batch.messages.iter().map(|it| source.as_it_came(it));
        let as_they_came: Vec<Cow<'_, [u8]>> = as_they_came.collect();
        let finished = FileResult {
            parts,
            messages: as_they_came.iter().map(|it| &**it).collect(),
            is_hl7: true,
            attachments: Vec::new(),
        };
        self.finish_file(group, claimed, finished)
    }

    /// Commits what the group holds if it is full, remembering how far this file has come.
    pub(super) fn make_room<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
        parts: &mut FileProgress,
    ) -> Result<(), EngineError> {
        if !self.turns.is_over(Instant::now()) && !group.is_full(self.config.intake.group) {
            return Ok(());
        }
        if let Some(part) = parts.save(&claimed.claim.key())? {
            group.change("progress in a file", vec![part]);
        }
        self.commit_and_go_on(store, group)?;
        if self.is_stopped() {
            return Err(EngineError::Stopped);
        }
        // Putting it on the disk took its time, too.
        if self.turns.is_over(Instant::now()) {
            return Err(EngineError::TurnOver);
        }
        Ok(())
    }
}

/// A larger message is not read a second time for what else is wrong with it: that could cost much memory and time.
const LARGEST_READ_TWICE: usize = 256 << 10;

/// A refusal with all that is wrong with its message: whoever corrects it is not told one after the other.
fn naming_all<'m>(
    decided: DecisionResult<'m>,
    size: usize,
    problems: impl FnOnce() -> Result<Vec<Refusal>, ViewError>,
) -> DecisionResult<'m> {
    match decided {
        Err(Stop::Refused(refusal))
            if refusal.reason != Reason::Unauthorised && size <= LARGEST_READ_TWICE =>
        {
            Err(refusal.with_further(problems()?).into())
        }
        decided => decided,
    }
}

/// Whether it is to be told what a message is about: where it is refused, or may take the place of one that was.
fn is_about_wanted(
    view: &PendingChanges<'_>,
    facility: &Facility,
    decided: &DecisionResult<'_>,
) -> Result<bool, EngineError> {
    Ok(match decided {
        Err(_) => true,
        Ok(decision) => {
            decision.verdict.has_effect() && refused::has_refused(view, facility.id.as_str())?
        }
    })
}
