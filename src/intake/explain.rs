//! What would become of a file, and why: each message decided as the daemon decides it, on nothing known (interface.md 12,
//! `check`).
//!
//! The flows tell a [`Trail`] what they read, so that nothing is read a second way. What only the store can answer is
//! not answered: the patients that documents name are taken as known, and what then still rests on it is left out.

use std::path::Path;

use super::describe::{self, MessageDescription};
use super::identity::{self, ins, ipp};
use super::trail::{Datum, Trail};
use super::{Context, DecisionResult, Stop, documents, route};
use crate::cda;
use crate::hl7::{self, FileBytes, Message};
use crate::model::change::Record;
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::view::ViewError;
use crate::store::{MemoryStore, PendingChanges};

/// What would become of a message.
#[derive(Debug)]
pub struct Explanation {
    /// The message, as far as it could be read.
    pub described: MessageDescription,
    /// What the daemon would do with it.
    pub outcome: ExpectedOutcome,
    /// What was read, in the order of its reading.
    pub data: Vec<Datum>,
    /// Why it would be refused: the daemon names the first of these, the others would come next.
    pub refusals: Vec<Refusal>,
    /// What the sender would be warned of.
    pub warnings: Vec<Warning>,
    /// What was not looked at, since only the store knows it, in words.
    pub unchecked: Option<&'static str>,
}

/// What the daemon would do with a message, as far as that rests on the message alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// Take it in, or find that it came before or is older than what is known.
    Accepted,
    /// Take it and change nothing.
    Ignored,
    /// Refuse it.
    Rejected,
}

impl ExpectedOutcome {
    /// The word for it, as in receipts and listings.
    pub fn word(self) -> &'static str {
        match self {
            ExpectedOutcome::Accepted => "accepted",
            ExpectedOutcome::Ignored => "ignored",
            ExpectedOutcome::Rejected => "rejected",
        }
    }
}

/// Explains every message of a file, of which only the ending of the name counts.
pub fn explain(
    name: &Path,
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<Vec<Explanation>, ViewError> {
    if route::is_request(name) {
        return Ok(vec![request(name)]);
    }
    let source = FileBytes::of(bytes);
    if source.looks_like_hl7() {
        return messages(&source, context);
    }
    if cda::looks_like_xml(bytes) {
        return Ok(vec![document(bytes, context, Trail::kept())?]);
    }
    Ok(vec![refused(route::unknown_format())])
}

/// What is wrong with a message that is refused, as far as the message alone shows it.
pub fn problems(message: &Message<'_>, context: &Context<'_>) -> Result<Vec<Refusal>, ViewError> {
    let trail = Trail::of_problems();
    Ok(shown_by_itself(
        message_alone(message, context, trail)?.refusals,
    ))
}

/// The same of a CDA document.
pub fn problems_of_cda(bytes: &[u8], context: &Context<'_>) -> Result<Vec<Refusal>, ViewError> {
    let trail = Trail::of_problems();
    Ok(shown_by_itself(document(bytes, context, trail)?.refusals))
}

/// The problems that do not rest on what is known of patients, cases and sessions.
fn shown_by_itself(mut problems: Vec<Refusal>) -> Vec<Refusal> {
    problems.retain(|problem| {
        !matches!(
            problem.reason,
            Reason::Unauthorised
                | Reason::UnknownPatient
                | Reason::UnknownCase
                | Reason::UnknownSession
                | Reason::IdentityMismatch
                | Reason::CasePatientMismatch
                | Reason::CaseCompleted
                | Reason::MergeCycle
                | Reason::MergeConflict
        )
    });
    problems
}

/// A file that is refused unread.
pub fn refused(refusal: Refusal) -> Explanation {
    Explanation {
        described: MessageDescription::default(),
        outcome: ExpectedOutcome::Rejected,
        data: Vec::new(),
        refusals: vec![refusal],
        warnings: Vec::new(),
        unchecked: None,
    }
}

fn request(name: &Path) -> Explanation {
    let mut trail = Trail::kept();
    trail.about("request");
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    let answer = format!("outbox/reports/{stem}.xml");
    trail.record(
        "answer",
        answer,
        "the file's name",
        "a name in .retrieve asks for reports",
    );
    let (data, refusals) = trail.into_parts();
    Explanation {
        described: MessageDescription::named("request"),
        outcome: ExpectedOutcome::Accepted,
        data,
        refusals,
        warnings: Vec::new(),
        unchecked: Some("which reports wait"),
    }
}

fn messages(source: &FileBytes<'_>, context: &Context<'_>) -> Result<Vec<Explanation>, ViewError> {
    let malformed =
        |error: hl7::ReadError| refused(Refusal::new(Reason::Malformed, format!("{error}.")));
    let bytes = source.bytes();
    let batch = match source.check().and_then(|()| hl7::split(bytes)) {
        Ok(batch) => batch,
        Err(error) => return Ok(vec![malformed(error)]),
    };
    let mut explained = Vec::with_capacity(batch.messages.len());
    if batch.messages.is_empty() {
        explained.push(Explanation {
            described: describe::describe_envelope(bytes, context.facility),
            outcome: ExpectedOutcome::Ignored,
            data: Vec::new(),
            refusals: Vec::new(),
            warnings: Vec::new(),
            unchecked: None,
        });
    }
    for (place, bytes) in batch.messages.iter().enumerate() {
        let message = match Message::parse(bytes) {
            Ok(message) if source.is_utf_16() => message.from_utf_16(),
            Ok(message) => message,
            Err(error) => {
                explained.push(malformed(error));
                continue;
            }
        };
        let mut alone = message_alone(&message, context, Trail::kept())?;
        match route::check_edges(&message, batch.edges(place)) {
            Ok(doubts) if alone.outcome == ExpectedOutcome::Accepted => {
                alone.warnings.splice(..0, doubts);
            }
            Ok(_) => {}
            Err(refusal) => {
                alone.outcome = ExpectedOutcome::Rejected;
                alone.refusals.insert(0, refusal);
            }
        }
        explained.push(alone);
    }
    if let (Some(mismatch), Some(first)) = (&batch.count_mismatch, explained.first_mut()) {
        let warning = Warning::new(WarningCode::BatchCount, format!("{mismatch}."));
        first.warnings.push(warning.at(mismatch.position));
    }
    Ok(explained)
}

fn message_alone(
    message: &Message<'_>,
    context: &Context<'_>,
    mut trail: Trail,
) -> Result<Explanation, ViewError> {
    let described = describe::describe(message, context.facility);
    let store = MemoryStore::default();
    let mut view = PendingChanges::new(&store);
    let code = message.message_code();
    let unchecked = match code.trim() {
        "ADT" => "what is known of the patient",
        "SIU" => "which session fits, and what is known of the patient and the case",
        _ => {
            know_patients(message, context, &mut view)?;
            "whether the patient and the case are known, and which documents came before"
        }
    };
    let decided = route::decide_and_record(message, &view, context, &mut trail);
    explanation(described, decided, trail, unchecked)
}

/// Lets the view know the patients of a message as the message names them, so that their documents are looked at.
fn know_patients(
    message: &Message<'_>,
    context: &Context<'_>,
    view: &mut PendingChanges<'_>,
) -> Result<(), ViewError> {
    let trail = &mut Trail::off();
    for pid in message.all("PID") {
        let ins = ins::ins(&pid, &mut Vec::new(), trail).given();
        let read = ipp::ipp(&pid, context.facility, trail).ok();
        if read.is_none() && ins.is_none() {
            continue;
        }
        let ipp = read.map_or_else(|| ipp::no_ipp(pid.field(3)).ipp, |read| read.ipp);
        let traits = identity::traits(&pid, trail);
        let mut patient = documents::patient::known_by(context.facility, ipp, &traits);
        patient.ins = ins;
        view.apply(&[Record::Patient(patient).into()])?;
    }
    Ok(())
}

fn document(
    bytes: &[u8],
    context: &Context<'_>,
    mut trail: Trail,
) -> Result<Explanation, ViewError> {
    let bytes = cda::without_framing(bytes);
    let read = cda::parse(bytes);
    let described = match &read {
        Err(refusal) if refusal.reason == Reason::UnknownFormat => MessageDescription::default(),
        read => describe::describe_cda(read.as_ref().ok(), context.facility),
    };
    let cda = match read {
        Ok(cda) => cda,
        Err(refusal) => {
            return Ok(Explanation {
                described,
                ..refused(refusal)
            });
        }
    };
    let store = MemoryStore::default();
    let view = PendingChanges::new(&store);
    let decided = route::decide_cda_and_record(bytes, &cda, &view, context, &mut trail);
    let unchecked = "which session fits, and what is known of the patient and the case";
    explanation(described, decided, trail, unchecked)
}

/// Puts together what was decided and what was told; what rests on the store alone is left out.
fn explanation(
    described: MessageDescription,
    decided: DecisionResult<'_>,
    trail: Trail,
    unchecked: &'static str,
) -> Result<Explanation, ViewError> {
    let (data, mut refusals) = trail.into_parts();
    let (verdict, mut warnings) = match decided {
        Ok(decision) => (Some(decision.verdict), decision.warnings),
        Err(Stop::View(error)) => return Err(error),
        Err(Stop::Refused(refusal)) => {
            refusals.push(refusal);
            (None, Vec::new())
        }
    };
    let all = warnings.len();
    warnings.retain(|warning| !rests_on_the_store(warning.code));
    let outcome = match verdict {
        _ if !refusals.is_empty() => ExpectedOutcome::Rejected,
        // A document to be deleted that is not known is ignored: here none is known.
        Some(Verdict::Ignored) if warnings.len() == all => ExpectedOutcome::Ignored,
        _ => ExpectedOutcome::Accepted,
    };
    Ok(Explanation {
        described,
        outcome,
        data,
        refusals,
        warnings,
        unchecked: (outcome != ExpectedOutcome::Ignored).then_some(unchecked),
    })
}

/// Whether a warning says nothing where nothing is known.
fn rests_on_the_store(code: WarningCode) -> bool {
    matches!(
        code,
        WarningCode::SessionNotFound
            | WarningCode::SessionAmbiguous
            | WarningCode::UnknownCase
            | WarningCode::UnknownDocument
    )
}
