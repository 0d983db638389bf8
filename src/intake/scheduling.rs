//! Where a case goes: into a session, or onto a note of the patient until there is one (interface.md 4, "The session").
//!
//! What the flows that schedule share (SIU, CDA, the desk): finding the session, keeping the message where none is
//! found, ending notes, and joining the documents that came before their case. All of it adds to a [`Decision`] and
//! changes the [`Case`] in hand, which the flow puts at its end.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use super::made::made_id;
use super::{Content, Decision};
use crate::config::Facility;
use crate::hl7::{Message, Timestamp};
use crate::model::case::{Case, CaseState};
use crate::model::change::{Change, Record, Subject};
use crate::model::document::{
    AttachmentPlace, ContentType, Document, DocumentKind, DocumentVersion, VersionStanding,
};
use crate::model::identifiers::{CaseId, DocumentId, FacilityId, NoteId, PathwayId, SessionId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Location, Reason, Refusal, Warning, WarningCode};
use crate::model::session::{Session, SessionKey};
use crate::model::view::{View, ViewError};

/// What a search for a session gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionMatch {
    /// Exactly one fits.
    Session(Box<Session>),
    /// None fits.
    NotFound,
    /// Several fit.
    Ambiguous,
}

/// Finds the session of a pathway on a date; if the pathway has none, that of the family (interface.md 4).
pub fn find_session(
    view: &dyn View,
    date: NaiveDate,
    id: &PathwayId,
) -> Result<SessionMatch, ViewError> {
    Ok(match find_by(view, date, SessionKey::Pathway, id)? {
        SessionMatch::NotFound => find_by(view, date, SessionKey::Family, id)?,
        found => found,
    })
}

/// Finds the only session of a date that has this id and that cases can be put into.
pub fn find_by(
    view: &dyn View,
    date: NaiveDate,
    by: SessionKey,
    id: &PathwayId,
) -> Result<SessionMatch, ViewError> {
    let mut fitting = view.planned_sessions(date, by, id, 2)?.into_iter();
    Ok(match (fitting.next(), fitting.next()) {
        (Some(only), None) => SessionMatch::Session(Box::new(only)),
        (Some(_), Some(_)) => SessionMatch::Ambiguous,
        (None, _) => SessionMatch::NotFound,
    })
}

/// The calendar date of a session, as written and never shifted; the refusal has still to say where.
pub fn read_session_date(text: &str) -> Result<NaiveDate, Refusal> {
    const EXPECTED: &str =
        "expected the date of the session as yyyymmdd, with or without a time, found another text";
    let read = Timestamp::parse(text).map_err(|error| error.or(EXPECTED));
    read.and_then(|time| time.date().ok_or_else(|| EXPECTED.to_owned()))
        .map_err(|message| Refusal::new(Reason::InvalidDate, message))
}

/// The received message, as a note keeps it while its case waits for a session.
#[derive(Debug)]
pub struct MessageCopy<'m> {
    /// The message, without the facility's key.
    pub content: Content<'m>,
    /// What it is.
    pub content_type: ContentType,
    /// The name to show.
    pub file_name: String,
    /// When it was made.
    pub time: Option<DateTime<Utc>>,
    /// Where it names the pathway, for the warning that no session was found.
    pub place: Option<Location>,
}

impl<'m> MessageCopy<'m> {
    /// An HL7 message with segments ended by CR. Where the facility has a key, MSH-4 is replaced by the facility's id.
    pub fn hl7(message: &Message<'m>, facility: &Facility, time: DateTime<Utc>) -> Self {
        let mut bytes: Vec<u8> = message.normalised().collect::<Vec<_>>().concat();
        if let Some(key) = &facility.api_key {
            let separator = message.delimiters().field;
            let mut fields: Vec<&[u8]> = bytes.splitn(5, |byte| *byte == separator).collect();
            if let Some(sending_facility) = fields.get_mut(3) {
                *sending_facility = facility.id.as_str().as_bytes();
            }
            bytes = fields.join(&separator);
            // Elsewhere than in the header it refuses the message.
            let end = memchr::memchr(b'\r', &bytes).unwrap_or(bytes.len());
            let (header, rest) = bytes.split_at(end);
            if let Some(header) = key.hide(&String::from_utf8_lossy(header)) {
                bytes = [header.as_bytes(), rest].concat();
            }
        }
        Self {
            content: Content::new(bytes),
            content_type: ContentType::Hl7,
            file_name: format!(
                "{}_{}.hl7",
                message.message_code().trim(),
                message.trigger().trim()
            ),
            time: Some(time),
            place: None,
        }
    }
}

/// Puts a case where the search led: into the session, or onto a note, with the warning that says why.
///
/// `received` gives the message, for the note; `by` names the message or command in histories: `SIU^S12`, `CDA`.
pub fn place_case<'m>(
    view: &dyn View,
    decision: &mut Decision<'m>,
    case: &mut Case,
    found: &SessionMatch,
    received: impl FnOnce() -> MessageCopy<'m>,
    by: &str,
) -> Result<(), ViewError> {
    let (code, reason, count) = match found {
        SessionMatch::Session(session) => return schedule(view, decision, case, &session.id, by),
        SessionMatch::NotFound => (
            WarningCode::SessionNotFound,
            NoteReason::SessionNotFound,
            "none",
        ),
        SessionMatch::Ambiguous => (
            WarningCode::SessionAmbiguous,
            NoteReason::SessionAmbiguous,
            "several",
        ),
    };
    let received = received();
    decision.warnings.push(Warning {
        code,
        message: format!(
            "expected one planned session on {} for pathway or family {}, found {count}; the case waits, unscheduled, on a note of the patient",
            case.date.map(|date| date.to_string()).unwrap_or_default(),
            case.pathway.as_ref().map(PathwayId::as_str).unwrap_or_default(),
        ),
        place: received.place.clone(),
    });
    leave_unscheduled(view, decision, case, reason, Some(received), by)
}

/// Puts a case into a session and ends its note.
pub fn schedule(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &mut Case,
    session: &SessionId,
    by: &str,
) -> Result<(), ViewError> {
    case.state = CaseState::Scheduled(session.clone());
    case.cancelled_in = None;
    add_history(decision, case, format!("scheduled in {session} by {by}"));
    end_note_of(view, decision, case, "its case is scheduled")
}

/// Cancels a case; it waits for nothing any more, so its note ends.
pub fn cancel(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &mut Case,
    by: &str,
) -> Result<(), ViewError> {
    if let Some(session) = case.state.session() {
        case.cancelled_in = Some(session.clone());
    }
    case.state = CaseState::Cancelled;
    add_history(decision, case, format!("cancelled by {by}"));
    end_note_of(view, decision, case, "its case is cancelled")
}

/// Leaves a case without a session, on a note of its patient that keeps the received message, if there is one.
///
/// A case has one note, and the note one kept message: a later one is its next version.
pub fn leave_unscheduled<'m>(
    view: &dyn View,
    decision: &mut Decision<'m>,
    case: &mut Case,
    reason: NoteReason,
    received: Option<MessageCopy<'m>>,
    by: &str,
) -> Result<(), ViewError> {
    case.state = CaseState::Unscheduled;
    case.cancelled_in = None;
    let what = match reason {
        NoteReason::Unscheduled => format!("unscheduled by {by}"),
        reason => format!("left unscheduled ({}) by {by}", reason.word()),
    };
    add_history(decision, case, what);
    let Some(ipp) = case.ipp.clone() else {
        return Ok(());
    };
    let id = note_of_case(&case.facility, &case.id);
    let kept = kept_message_of_case(&case.facility, &case.id);
    let mut note = view.note(&id)?.unwrap_or_else(|| Note {
        id: id.clone(),
        facility: case.facility.clone(),
        ipp: ipp.clone(),
        case: Some(case.id.clone()),
        reason,
        documents: Vec::new(),
    });
    note.ipp = ipp.clone();
    note.reason = reason;
    let known = view.document(&case.facility, &kept)?;
    if (received.is_some() || known.is_some()) && !note.documents.contains(&kept) {
        note.documents.push(kept.clone());
    }
    if let Some(received) = received {
        let mut document = known.unwrap_or_else(|| {
            Document::new(
                case.facility.clone(),
                ipp.clone(),
                kept,
                AttachmentPlace::Note(id.clone()),
                DocumentKind::Message,
            )
        });
        document.ipp = ipp;
        document.attached = AttachmentPlace::Note(id.clone());
        keep(decision, &mut document, received);
        decision.changes.push(Record::Document(document).into());
    }
    decision.history.push((
        Subject::Note(note.facility.clone(), id.clone()),
        format!("case {} waits here ({}), by {by}", case.id, reason.word()),
    ));
    decision.changes.push(Record::Note(note).into());
    case.note = Some(id);
    Ok(())
}

/// Adds the message as the document's next version, unless it is the current one already.
fn keep<'m>(decision: &mut Decision<'m>, document: &mut Document, received: MessageCopy<'m>) {
    let content = received.content;
    let size = content.bytes.len();
    let current = document.current();
    if current.is_some_and(|current| current.sha256 == content.hash) {
        return;
    }
    let former = document.add(VersionStanding::Latest, |version| DocumentVersion {
        version,
        file_name: received.file_name,
        content_type: received.content_type,
        size: u64::try_from(size).unwrap_or(u64::MAX),
        sha256: content.hash.clone(),
        time: received.time,
    });
    decision.put(former.into_iter().map(Record::FormerVersion));
    decision.contents.push(content);
}

/// Joins to a case the documents of its patient that named it before it came (interface.md 6).
pub fn join_awaiting(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &Case,
) -> Result<(), ViewError> {
    let mut awaiting = view.documents_awaiting(&case.facility, &case.id)?;
    awaiting.retain(|document| Some(&document.ipp) == case.ipp.as_ref());
    join(view, decision, case, awaiting)
}

/// Joins documents to a case, and ends the notes that have nothing left.
pub fn join(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &Case,
    documents: Vec<Document>,
) -> Result<(), ViewError> {
    let mut joined = BTreeSet::new();
    let mut notes = BTreeSet::new();
    for mut document in documents {
        if let AttachmentPlace::Note(note) = &document.attached {
            notes.insert(note.clone());
        }
        document.attached = AttachmentPlace::Case(case.id.clone());
        document.awaits = None;
        add_history(decision, case, format!("document {} joined", document.id));
        joined.insert(document.id.clone());
        decision.changes.push(Record::Document(document).into());
    }
    for note in notes {
        let Some(note) = view.note(&note)? else {
            continue;
        };
        let waits_for_session = note.reason.is_for_a_case() && !has_session(view, &note, case)?;
        if !waits_for_session && all_joined(view, &note, &joined)? {
            end(decision, note, "all its documents have joined a case");
        }
    }
    Ok(())
}

/// Whether the case that a note stands for has its session.
fn has_session(view: &dyn View, note: &Note, in_hand: &Case) -> Result<bool, ViewError> {
    let Some(id) = &note.case else {
        return Ok(false);
    };
    if *id == in_hand.id {
        return Ok(in_hand.state.session().is_some());
    }
    let case = view.case(&note.facility, id)?;
    Ok(case.is_some_and(|case| case.state.session().is_some()))
}

/// Whether no document of the note is left that belongs into a case; a kept message does not.
fn all_joined(
    view: &dyn View,
    note: &Note,
    joined: &BTreeSet<DocumentId>,
) -> Result<bool, ViewError> {
    for id in note.documents.iter().filter(|id| !joined.contains(id)) {
        let Some(document) = view.document(&note.facility, id)? else {
            continue;
        };
        if document.kind == DocumentKind::Document
            && document.attached == AttachmentPlace::Note(note.id.clone())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends the note of a case that does not wait any more.
fn end_note_of(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &mut Case,
    why: &str,
) -> Result<(), ViewError> {
    let Some(id) = case.note.take() else {
        return Ok(());
    };
    match view.note(&id)? {
        Some(note) if all_joined(view, &note, &BTreeSet::new())? => end(decision, note, why),
        Some(_) => case.note = Some(id),
        None => {}
    }
    Ok(())
}

/// Ends a note; its history keeps it.
pub fn end(decision: &mut Decision<'_>, note: Note, why: &str) {
    decision.history.push((
        Subject::Note(note.facility.clone(), note.id.clone()),
        format!("ended: {why}"),
    ));
    decision.changes.push(Change::Delete(Record::Note(note)));
}

/// The warnings that stay with a case while their message is the last that set its scheduling, each once.
///
/// A different identity stays with the case until it agrees, and is kept apart.
pub fn codes_of<'w>(warnings: impl IntoIterator<Item = &'w Warning>) -> Vec<WarningCode> {
    let mut codes = Vec::new();
    for warning in warnings {
        if warning.code != WarningCode::IdentityMismatch && !codes.contains(&warning.code) {
            codes.push(warning.code);
        }
    }
    codes
}

/// Adds a line to the history of a case.
pub fn add_history(decision: &mut Decision<'_>, case: &Case, what: String) {
    let subject = Subject::Case(case.facility.clone(), case.id.clone());
    decision.history.push((subject, what));
}

/// The note on which a case waits for a session.
pub fn note_of_case(facility: &FacilityId, case: &CaseId) -> NoteId {
    NoteId::new(made_id("case-note", facility, case.as_str()))
}

/// The message that is kept on that note.
pub fn kept_message_of_case(facility: &FacilityId, case: &CaseId) -> DocumentId {
    DocumentId::new(made_id("case-message", facility, case.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::testing::{World, outcome_text};
    use crate::model::identifiers::Ipp;
    use crate::model::session::SessionState;
    use crate::store::PendingChanges;

    fn siu(trigger: &str, minute: u32, case: &str) -> String {
        format!(
            "MSH|^~\\&|||||202504011{minute:03}||SIU^{trigger}|1|P|2.5\r\
             SCH||{case}|||||||||^^^20250415\rPID|1||P-1^^^^PI||MARTIN^Lea||1970|F\r\
             AIL|1||^^^PATH\rAIP|1||10100094977\r"
        )
    }

    /// A document of `P-1` on a note.
    fn document(world: &World, id: &str, ipp: &str, note: &str, awaits: Option<&str>) -> Document {
        Document {
            facility: world.facility.id.clone(),
            ipp: Ipp::new(ipp),
            id: DocumentId::new(id),
            attached: AttachmentPlace::Note(NoteId::new(note)),
            kind: DocumentKind::Document,
            unique_ids: Vec::new(),
            awaits: awaits.map(CaseId::new),
            latest: None,
            versions: Vec::new(),
            deleted: false,
            deletion_time: None,
        }
    }

    fn note(world: &World, id: &str, ipp: &str, documents: &[&str]) -> Note {
        Note {
            id: NoteId::new(id),
            facility: world.facility.id.clone(),
            ipp: Ipp::new(ipp),
            case: None,
            reason: NoteReason::UnknownCase,
            documents: documents.iter().map(|id| DocumentId::new(*id)).collect(),
        }
    }

    #[test]
    fn the_only_session_is_found_among_many_that_were_changed() {
        let mut world = World::new();
        let session = |number: usize, state| {
            let id = format!("S-{number:02}");
            let mut session = crate::intake::testing::session(&id, "2025-04-15", "PATH", "");
            session.state = state;
            Record::Session(session)
        };
        let (date, id) = ("2025-04-15".parse().unwrap(), PathwayId::new("PATH"));
        let found = |view: &PendingChanges<'_>| match find_session(view, date, &id).unwrap() {
            SessionMatch::Session(session) => session.id.to_string(),
            SessionMatch::NotFound => "none".to_owned(),
            SessionMatch::Ambiguous => "several".to_owned(),
        };
        let change = |view: &mut PendingChanges<'_>, records: Vec<Record>| {
            let changes: Vec<Change> = records.into_iter().map(Change::from).collect();
            view.apply(&changes).unwrap();
        };
        let cancel = |numbers: std::ops::Range<usize>| {
            let cancelled = numbers.map(|it| session(it, SessionState::Cancelled));
            cancelled.collect::<Vec<_>>()
        };
        world.put((0..40).map(|it| session(it, SessionState::Planned)));
        let mut before = world.view();
        assert_eq!(found(&before), "several");
        change(&mut before, cancel(0..20));
        assert_eq!(found(&before), "several");
        let mut view = PendingChanges::over(&world.store, before.into_changes().into());
        assert_eq!(found(&view), "several");
        change(&mut view, cancel(20..39));
        assert_eq!(found(&view), "S-39");
        change(&mut view, cancel(39..40));
        assert_eq!(found(&view), "none");
        // One that the group before cancelled is planned again.
        change(&mut view, vec![session(7, SessionState::Planned)]);
        assert_eq!(found(&view), "S-07");
        change(&mut view, vec![session(50, SessionState::Planned)]);
        assert_eq!(found(&view), "several");
    }

    #[test]
    fn documents_that_came_first_join_their_case() {
        let mut world = World::new();
        world.session("S-1", "2025-04-15", "PATH", "");
        let records = [
            Record::Note(note(&world, "N-1", "P-1", &["D-1", "D-2"])),
            Record::Document(document(&world, "D-1", "P-1", "N-1", Some("C-1"))),
            Record::Document(document(&world, "D-2", "P-1", "N-1", Some("C-1"))),
            Record::Note(note(&world, "N-2", "P-1", &["D-3", "D-4"])),
            Record::Document(document(&world, "D-3", "P-1", "N-2", Some("C-1"))),
            Record::Document(document(&world, "D-4", "P-1", "N-2", Some("C-2"))),
            Record::Note(note(&world, "N-3", "P-2", &["D-5"])),
            Record::Document(document(&world, "D-5", "P-2", "N-3", Some("C-1"))),
            Record::Note(note(&world, "N-4", "P-1", &["D-6"])),
            Record::Document(document(&world, "D-6", "P-1", "N-4", None)),
        ];
        world.put(records);
        let documents = |world: &World, case: &str| -> Vec<String> {
            let documents = world.documents_of(case);
            documents.iter().map(DocumentId::to_string).collect()
        };
        let notes = |world: &World| -> Vec<String> {
            let of = |ipp: &str| world.notes(ipp);
            let all = of("P-1").into_iter().chain(of("P-2"));
            all.map(|note| note.id.to_string()).collect()
        };
        assert_eq!(
            outcome_text(&world.receive(&siu("S12", 1, "C-1"))),
            "accepted"
        );
        assert_eq!(documents(&world, "C-1"), ["D-1", "D-2", "D-3"]);
        assert_eq!(notes(&world), ["N-2", "N-4", "N-3"]);
        assert_eq!(
            outcome_text(&world.receive(&siu("S14", 2, "C-1"))),
            "updated"
        );
        assert_eq!(documents(&world, "C-1"), ["D-1", "D-2", "D-3"]);
        assert_eq!(
            outcome_text(&world.receive(&siu("S12", 1, "C-2"))),
            "accepted"
        );
        assert_eq!(documents(&world, "C-2"), ["D-4"]);
        assert_eq!(notes(&world), ["N-4", "N-3"]);
    }

    #[test]
    fn documents_join_a_cancelled_case_too() {
        let mut world = World::new();
        world.receive(&siu("S12", 1, "C-0"));
        let records = [
            Record::Note(note(&world, "N-1", "P-1", &["D-1"])),
            Record::Document(document(&world, "D-1", "P-1", "N-1", Some("C-1"))),
        ];
        world.put(records);
        assert_eq!(
            outcome_text(&world.receive(&siu("S15", 1, "C-1"))),
            "accepted"
        );
        assert_eq!(world.documents_of("C-1"), [DocumentId::new("D-1")]);
    }

    #[test]
    fn a_note_of_a_waiting_case_stays_until_it_is_scheduled() {
        let mut world = World::new();
        world.receive(&siu("S12", 1, "C-1"));
        let mut waiting = world.notes("P-1").remove(0);
        let id = waiting.id.clone();
        waiting.documents.push(DocumentId::new("D-1"));
        let records = [
            Record::Document(document(&world, "D-1", "P-1", id.as_str(), None)),
            Record::Note(waiting),
        ];
        world.put(records);
        let apply =
            |world: &World, act: &dyn Fn(&PendingChanges<'_>, &mut Decision<'_>, &mut Case)| {
                let mut pending = PendingChanges::new(&world.store);
                let mut decision = Decision::unchanged(crate::model::outcome::Verdict::Updated);
                let mut case = world.case("C-1").unwrap();
                act(&pending, &mut decision, &mut case);
                decision.changes.push(Record::Case(case).into());
                let changes = pending.apply(&decision.changes).unwrap();
                crate::store::apply_all(&world.store, &changes).unwrap();
            };
        let session = SessionId::new("S-1");
        // Scheduled, but one of its documents still belongs nowhere.
        apply(&world, &|view, decision, case| {
            schedule(view, decision, case, &session, "desk").unwrap();
        });
        assert_eq!(world.notes("P-1").len(), 1);
        // Back to waiting, with all its documents joined.
        apply(&world, &|view, decision, case| {
            leave_unscheduled(
                view,
                decision,
                case,
                NoteReason::SessionCancelled,
                None,
                "desk",
            )
            .unwrap();
            let document = view.document(&case.facility, &DocumentId::new("D-1"));
            join(view, decision, case, vec![document.unwrap().unwrap()]).unwrap();
        });
        let notes = world.notes("P-1");
        assert_eq!(notes[0].reason, NoteReason::SessionCancelled);
        assert_eq!(notes[0].documents.len(), 2);
        apply(&world, &|view, decision, case| {
            schedule(view, decision, case, &session, "desk").unwrap();
        });
        assert!(world.notes("P-1").is_empty());
        assert_eq!(world.case("C-1").unwrap().note, None);
    }
}
