//! From a claimed file to outcomes: reads it, has each of its messages decided, and chooses where everything goes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::attachments::{Attachment, Attachments};
use super::doubt::ClaimRead;
use super::group::Group;
use super::outputs::{FileProgress, OutputSource};
use super::receipt::MessageReply;
use super::retry::RefusedFileTarget;
use super::secrets::without_keys_in_header;
use super::{ClaimedFile, Engine, EngineError, owner_name, refused};
use crate::cda::{self, Cda};
use crate::config::Facility;
use crate::hl7::{self, FileBytes, Message, MessageBatch};
use crate::intake::describe::{self, MessageDescription};
use crate::intake::desk::{self, ParsedCommand};
use crate::intake::reporting::AffectedReports;
use crate::intake::route;
use crate::intake::{Content, Context, Decision, DecisionResult, DeskContext, Order, Stop};
use crate::intake::{about, explain};
use crate::journal::{Closing, Entry, MessageRecord as MessageEntry, Move};
use crate::model::change::{Change, HistoryEntry, Record, Subject};
use crate::model::outcome::{Outcome, Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::owner::Owner;
use crate::model::view::ViewError;
use crate::repeats;
use crate::spool::claim;
use crate::spool::destinations;
use crate::spool::layout::document_path;
use crate::spool::scope::ErrorScope;
use crate::store::{KeyChange, PendingChanges, Store, keys};

/// How much of a file that is refused unread is looked at, to know whether it is HL7 (interface.md 10).
const FIRST_BYTES: usize = 64 * 1024;

/// A file whose messages were all decided.
struct FileResult<'f> {
    parts: FileProgress,
    /// Each message as it was received, to be split off where it is refused.
    messages: Vec<&'f [u8]>,
    /// Whether it is answered in HL7.
    is_hl7: bool,
    /// Files that its commands claimed, and whether the command was refused.
    attachments: Vec<(ClaimedFile, bool)>,
}

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

    fn take_desk_file<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
        bytes: &[u8],
        modified: Option<DateTime<Utc>>,
    ) -> Result<(), EngineError> {
        let config = Arc::clone(&self.config);
        let now = self.now();
        let context = DeskContext {
            config: &config,
            time: modified.unwrap_or(now),
            now,
        };
        let is_list = claimed
            .claim
            .received
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        if is_list {
            let described = MessageDescription::named("sessions");
            let decided = desk::decide_sessions(bytes, &group.view, &context);
            let reply = self.record_outcome(group, claimed, 1, described, decided, now)?;
            let finished = FileResult {
                parts: FileProgress::one(reply),
                messages: vec![bytes],
                is_hl7: false,
                attachments: Vec::new(),
            };
            return self.finish_file(group, claimed, finished);
        }
        let commands = match desk::parse(bytes) {
            Ok(commands) => commands,
            Err(refusal) => return self.refuse_file(group, claimed, bytes, refusal),
        };
        let mut parts = FileProgress::of(&**store, claimed)?;
        let mut attachments = self.companions_of_decided(group, claimed, &commands, &parts)?;
        for (index, parsed) in commands.iter().enumerate().skip(parts.count()) {
            self.make_room(store, group, claimed, &mut parts)?;
            let described = describe_command(&parsed);
            let (decided, attachment) = match &parsed.command {
                Ok(command) if modified.is_none() && desk::goes_by_file_time(command) => {
                    (Err(desk::no_file_time().into()), None)
                }
                _ => self.decide_command(group, claimed, &mut attachments, &parsed, &context)?,
            };
            let reply = self.record_outcome(group, claimed, index + 1, described, decided, now)?;
            let refused = reply.outcome.refusal().is_some();
            if let Some(attachment) = attachment {
                attachments.take(attachment, refused);
            }
            parts.push(reply);
        }
        let finished = FileResult {
            parts,
            messages: commands.texts().map(str::as_bytes).collect(),
            is_hl7: false,
            attachments: attachments.into_taken(),
        };
        self.finish_file(group, claimed, finished)
    }

    /// Decides a command, with the PDF that it names, which it claims unless a command before it has taken it.
    fn decide_command(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        attachments: &mut Attachments,
        parsed: &ParsedCommand<'_>,
        context: &DeskContext<'_>,
    ) -> Result<(DecisionResult<'static>, Option<ClaimedFile>), EngineError> {
        let command = match &parsed.command {
            Ok(command) => command,
            Err(refusal) => return Ok((Err(refusal.clone().into()), None)),
        };
        let Some(name) = desk::pdf_named(command) else {
            return Ok((desk::decide(command, None, &group.view, context), None));
        };
        let folder = claimed.claim.received.parent().unwrap_or(Path::new(""));
        let attachment = match self.claim_attachment(group, attachments, &folder.join(name))? {
            Attachment::Ours(attachment) => attachment,
            Attachment::None(problem) => {
                let problem = format!("The command names the file {name}, {problem}.");
                let refusal = Refusal::new(Reason::BadCommand, problem);
                return Ok((Err(refusal.into()), None));
            }
            Attachment::Unreadable(problem) => {
                let refusal = Refusal::new(
                    Reason::Unreadable,
                    format!("The file {name} cannot be taken: {problem}."),
                );
                return Ok((Err(refusal.into()), None));
            }
        };
        let work = self.spool.desk.work.clone();
        let limit = self.config.intake.max_file;
        let decided = match self.read_claimed(group, &work, &attachment) {
            Ok(ClaimRead::Whole(pdf, _)) => desk::decide(command, Some(&pdf), &group.view, context),
            Ok(ClaimRead::InDoubt) => return Err(EngineError::InDoubt),
            Ok(ClaimRead::StillWritten) => Err(Refusal::new(
                Reason::BadCommand,
                format!("The file {name} is still being written: drop the command again once it is whole."),
            )
            .into()),
            Ok(ClaimRead::TooLarge(_, size)) => Err(Refusal::new(
                Reason::TooLarge,
                format!("The file {name} has {size} bytes; at most {limit} are taken."),
            )
            .into()),
            Err(EngineError::Disk(error)) if error.is_unreadable() => Err(Refusal::new(
                Reason::Unreadable,
                format!("The file {name} cannot be read: {}.", error.source),
            )
            .into()),
            Err(error) => return Err(error),
        };
        Ok((decided, Some(attachment)))
    }

    /// Commits what the group holds if it is full, remembering how far this file has come.
    fn make_room<'s>(
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

    /// Enters what was decided on a message into the group.
    fn record_outcome(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        number: usize,
        described: MessageDescription,
        decided: DecisionResult<'_>,
        now: DateTime<Utc>,
    ) -> Result<MessageReply, EngineError> {
        self.message += 1;
        let file = claim::to_text(&claimed.claim.received);
        let is_authorised = !matches!(
            &decided,
            Err(Stop::Refused(refusal)) if refusal.reason == Reason::Unauthorised
        );
        let mut described = self.without_keys(&claimed.owner, is_authorised, described);
        let mut entry = MessageEntry {
            claim: claimed.claim.key(),
            number,
            facility: owner_name(&claimed.owner).to_owned(),
            file,
            message_type: described.message_type.clone(),
            control_id: described.control_id.clone(),
            case: described.case.as_ref().map(ToString::to_string),
            time: now,
            outcome: Outcome::Rejected(Refusal::new(Reason::Malformed, "")),
            changes: Vec::new(),
            moves: Vec::new(),
        };
        entry.outcome = match decided {
            Err(Stop::View(error)) => return Err(error.into()),
            Err(Stop::Refused(refusal)) => Outcome::Rejected(refusal),
            Ok(decision) => match self.carry_out(group, decision, &mut entry)? {
                Ok(outcome) => outcome,
                Err(refusal) => Outcome::Rejected(refusal),
            },
        };
        entry.outcome = self.without_keys(&claimed.owner, is_authorised, entry.outcome);
        if let (Some(refusal), Owner::Facility(id)) = (entry.outcome.refusal(), &claimed.owner) {
            let place = refusal.place.as_ref();
            let place = place.map(|place| format!(" at {}", place.shown));
            let (reason, place) = (refusal.reason.code(), place.unwrap_or_default());
            repeats::refused(
                id,
                format!(
                    "a message is refused: {reason}{place}; its sidecar in error/ says why and what to do"
                ),
            );
        }
        if is_taken(&entry.outcome)
            && let Some(about) = described.about.take()
        {
            let (owner, by) = (owner_name(&claimed.owner), (entry.file.as_str(), now));
            let since = refused::take_since(&mut group.view, owner, &about, self.message, by)?;
            entry.changes.extend(since);
        }
        group.counts.count(&claimed.owner, &entry.outcome);
        let reply = MessageReply {
            described,
            outcome: entry.outcome.clone(),
        };
        group.weigh_changes(&entry.changes);
        group.enter(Entry::Message(Box::new(entry)));
        Ok(reply)
    }

    /// Prepares what a decision asks for. A refusal here leaves nothing behind either.
    fn carry_out(
        &mut self,
        group: &mut Group<'_>,
        decision: Decision<'_>,
        entry: &mut MessageEntry,
    ) -> Result<Result<Outcome, Refusal>, EngineError> {
        let mut changes = decision.changes;
        let mut warnings = decision.warnings;
        let mut made = Vec::new();
        let mut discarded = Vec::new();
        match decision.order {
            None => {}
            Some(Order::Report(order)) => match self.make_report(&group.view, *order)? {
                Ok(report) => {
                    warnings.extend(report.warnings);
                    changes.extend(report.changes);
                    made.push(report.pdf);
                }
                Err(refusal) => return Ok(Err(refusal)),
            },
            Some(Order::Withdraw(order)) => match self.withdraw_report(*order) {
                Ok(withdrawn) => changes.push(withdrawn),
                Err(refusal) => return Ok(Err(refusal)),
            },
            Some(Order::Redeliver { facility, which }) => {
                let redelivered = self.redeliver(group, &facility, &which);
                match self.refuse_for_a_facility(redelivered)? {
                    Ok((redelivered, batch)) => {
                        changes.extend(redelivered);
                        entry.moves.push(batch);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Some(Order::GiveUp { facility, why }) => {
                if let Err(refusal) = self.give_moves_up(group, facility.as_str(), why) {
                    return Ok(Err(refusal));
                }
            }
            Some(Order::Discard { files, why }) => {
                let away = self.take_from_error(group, &files, RefusedFileTarget::Away);
                match self.refuse_for_a_facility(away)? {
                    Ok(moves) => {
                        let view = &mut group.view;
                        discarded = refused::discard_moved(view, &moves, &why, entry.time)?;
                        entry.moves.extend(moves);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Some(Order::Retry { files }) => {
                let retried = self.take_from_error(group, &files, RefusedFileTarget::Back);
                match self.refuse_for_a_facility(retried)? {
                    Ok(moves) => entry.moves.extend(moves),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        }
        for content in decision.contents.iter().chain(&made) {
            entry.moves.push(self.prepare_content(group, content)?);
        }
        let mut lines = decision.history;
        let concerned = AffectedReports::by(&changes, &group.view)?;
        entry.changes = group.view.apply(&changes)?;
        Self::must_join_their_own(group, &changes)?;
        self.follow_reports(group, entry, concerned, &mut lines)?;
        let history = self.history(entry, lines);
        entry.changes.extend(group.view.apply(&history)?);
        let moved = refused::forget_moved(&mut group.view, &entry.moves)?;
        entry.changes.extend(discarded);
        entry.changes.extend(moved);
        Ok(Ok(Outcome::Taken {
            verdict: decision.verdict,
            warnings,
            note: decision.note,
        }))
    }

    /// Prepares what is to be kept under `documents/`, and the move that puts it there.
    pub(super) fn prepare_content(
        &mut self,
        group: &mut Group<'_>,
        content: &Content<'_>,
    ) -> Result<Move, EngineError> {
        let from = match group.take_written(&content.hash) {
            Some(written) => {
                group.dates.insert(self.now().date_naive());
                claim::to_text(Path::new(&written))
            }
            None => self.prepare(group, &Owner::Documents, &content.bytes)?,
        };
        Ok(Move {
            place: Owner::Documents,
            from,
            to: document_path(&content.hash),
        })
    }

    /// Refuses a command that cannot be done since something of one facility cannot be used: nobody else waits for that
    /// to be mended. Of an error of the process, nobody knows whom it concerns.
    fn refuse_for_a_facility<T>(
        &self,
        done: Result<Result<T, Refusal>, EngineError>,
    ) -> Result<Result<T, Refusal>, EngineError> {
        let error = match done {
            Err(EngineError::Disk(error)) if error.scope() == ErrorScope::Process => {
                return Err(error.into());
            }
            Err(
                error @ (EngineError::Disk(_)
                | EngineError::Report(_)
                | EngineError::Unreachable(_)),
            ) => error,
            done => return done,
        };
        let name = match &error {
            EngineError::Disk(disk) => self.owner_at(&disk.path),
            _ => None,
        };
        let cause = self.cause(&error);
        Ok(Err(Refusal::new(
            Reason::FacilityUnreachable,
            match name {
                Some(place) => format!(
                    "The command cannot be done: {}: {cause}.",
                    owner_name(&place)
                ),
                None => format!("The command cannot be done: {cause}."),
            },
        )))
    }

    /// One line for each thing whose history the message adds to.
    fn history(&self, entry: &MessageEntry, lines: Vec<(Subject, String)>) -> Vec<Change> {
        let mut entries: Vec<HistoryEntry> = Vec::new();
        let mut places: HashMap<Subject, usize> = HashMap::new();
        for (subject, what) in lines {
            let place = *places.entry(subject.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(line) => {
                    line.what.push_str("; ");
                    line.what.push_str(&what);
                }
                None => entries.push(HistoryEntry {
                    subject,
                    sequence: self.message,
                    time: entry.time,
                    what,
                    file: entry.file.clone(),
                    message_type: entry.message_type.clone(),
                }),
            }
        }
        entries
            .into_iter()
            .map(|line| Record::History(line).into())
            .collect()
    }

    /// Refuses a file as a whole, unread or unreadable; it counts as HL7 if an MSH can be read in its first bytes.
    fn refuse_file(
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

    /// Has nobody do the moves of a facility any more that could not be done. Its files stay where they are, and what
    /// lies in its work folder is taken in anew if that is ever seen again.
    fn give_moves_up(
        &self,
        group: &mut Group<'_>,
        facility: &str,
        why: Option<String>,
    ) -> Result<(), Refusal> {
        let place = Owner::Facility(facility.to_owned());
        let open = self.committer.moves().iter();
        let moves: Vec<(u64, Move)> = open.filter(|(_, it)| it.place == place).cloned().collect();
        if moves.is_empty() {
            return Err(Refusal::new(
                Reason::BadCommand,
                format!(
                    "No file of {facility} waits to be moved into place. `rcpspool status` shows which do."
                ),
            ));
        }
        log::warn!("{} moves of {facility} are given up", moves.len());
        group.enter(Entry::GivenUp { moves, why });
        Ok(())
    }

    /// Chooses the names that a file and all that goes with it end under, and prepares what is written.
    fn finish_file(
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

/// The moves that end a file, collected.
pub(super) struct Ending {
    owner: Owner,
    moves: Vec<Move>,
}

impl Ending {
    pub fn add(&mut self, from: String, to: &Path) {
        self.moves.push(Move {
            place: self.owner.clone(),
            from,
            to: claim::to_text(to),
        });
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

/// Whether something of a message counts.
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

fn is_taken(outcome: &Outcome) -> bool {
    let Outcome::Taken { verdict, .. } = outcome else {
        return false;
    };
    verdict.has_effect()
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

/// A command as receipts and sidecars name it.
fn describe_command(parsed: &ParsedCommand<'_>) -> MessageDescription {
    match &parsed.command {
        Ok(command) => MessageDescription {
            about: about::of_command(command),
            ..MessageDescription::named(command.word())
        },
        Err(_) => MessageDescription::named("command"),
    }
}
