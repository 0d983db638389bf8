//! What a sender is told: HL7 acknowledgements, FHIR outcomes, and the sidecars of refused files (interface.md 10).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hl7::{Builder, SegmentBuilder};
use crate::intake::describe::MessageDescription;
use crate::model::identifiers::CaseId;
use crate::model::outcome::{Location, Outcome, Reason, Refusal, Verdict, Warning};

/// What became of one message of a file, with what its receipt needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MessageReply {
    /// The message, as far as it could be read.
    pub described: MessageDescription,
    /// What became of it.
    pub outcome: Outcome,
}

/// Who answers, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiptContext<'a> {
    /// The facility's time zone.
    pub zone: Tz,
    /// The time of the receipt.
    pub now: DateTime<Utc>,
    /// Sets the receipts of one file apart: MSH-10 of the acknowledgement.
    pub control_id: &'a str,
}

/// The acknowledgement of one HL7 message; none for an acknowledgement.
pub(super) fn acknowledgement(
    reply: &MessageReply,
    number: usize,
    context: &ReceiptContext<'_>,
) -> Option<String> {
    let described = &reply.described;
    if described.is_acknowledgement() {
        return None;
    }
    let version = described.version.as_deref().unwrap_or("2.5");
    let time = crate::hl7::time::write(context.now, context.zone);
    let control_id = format!("{}-{number}", context.control_id);
    let header = SegmentBuilder::new("MSH")
        .components(3, &words(&described.receiving_application))
        .components(4, &words(&described.receiving_facility))
        .components(5, &words(&described.sending_application))
        .components(6, &words(&described.sending_facility))
        .field(7, &time)
        .components(9, &["ACK", &described.event, "ACK"])
        .field(10, &control_id)
        .field(11, described.processing_id.as_deref().unwrap_or("P"))
        .field(12, version)
        .field(18, "UTF-8");
    let code = match reply.outcome.refusal() {
        Some(refusal) => refusal.reason.hl7().acknowledgment,
        None => "AA",
    };
    let mut message = Builder::new().segment(header).segment(
        SegmentBuilder::new("MSA")
            .field(1, code)
            .field(2, described.control_id.as_deref().unwrap_or_default()),
    );
    match &reply.outcome {
        Outcome::Taken { warnings, .. } => {
            for warning in warnings {
                message = message.segment(error_segment(
                    warning.place.as_ref(),
                    0,
                    "W",
                    warning.code.code(),
                    &warning.message,
                ));
            }
        }
        Outcome::Rejected(refusal) => {
            for problem in all_problems(refusal) {
                message = message.segment(error_segment(
                    problem.place.as_ref(),
                    condition(problem.reason, described),
                    "E",
                    problem.reason.code(),
                    &problem.message,
                ));
            }
        }
    }
    Some(message.finish())
}

/// A message type that is unknown altogether is 200, an event of a known one 201.
fn condition(reason: Reason, described: &MessageDescription) -> u16 {
    let code = described.message_type.split('^').next().unwrap_or_default();
    let known = ["ADT", "SIU", "ORU", "MDM", "OUL"].contains(&code);
    match reason {
        Reason::UnsupportedMessage if known => 201,
        reason => reason.hl7().condition,
    }
}

fn words(components: &[String]) -> Vec<&str> {
    components.iter().map(String::as_str).collect()
}

fn error_segment(
    place: Option<&Location>,
    condition: u16,
    severity: &str,
    reason: &str,
    sentence: &str,
) -> SegmentBuilder {
    let words = match condition {
        0 => "Message accepted",
        100 => "Segment sequence error",
        101 => "Required field missing",
        102 => "Data type error",
        103 => "Table value not found",
        200 => "Unsupported message type",
        201 => "Unsupported event code",
        203 => "Unsupported version id",
        204 => "Unknown key identifier",
        205 => "Duplicate key identifier",
        _ => "Application internal error",
    };
    let erl: Vec<&str> = place
        .and_then(|place| place.erl.as_deref())
        .map(|erl| erl.split('^').collect())
        .unwrap_or_default();
    SegmentBuilder::new("ERR")
        .components(2, &erl)
        .components(3, &[&condition.to_string(), words, "HL70357"])
        .field(4, severity)
        .field(5, reason)
        .field(8, sentence)
}

/// What became of a message of a file that is not HL7: the issues of a FHIR R4 `OperationOutcome`.
pub(super) fn issues(reply: &MessageReply) -> Vec<Value> {
    match &reply.outcome {
        Outcome::Taken {
            verdict,
            warnings,
            note,
        } => {
            let mut taken = issue(
                "information",
                "informational",
                reply.outcome.word(),
                sentence(*verdict),
                None,
            );
            if let (Some(note), Some(taken)) = (note, taken.as_object_mut()) {
                taken.insert("diagnostics".to_owned(), json!(note));
            }
            let mut issues = vec![taken];
            issues.extend(warnings.iter().map(warning_issue));
            issues
        }
        Outcome::Rejected(refusal) => all_problems(refusal)
            .iter()
            .map(|problem| {
                issue(
                    "error",
                    issue_type(problem.reason),
                    problem.reason.code(),
                    &problem.message,
                    problem.place.as_ref(),
                )
            })
            .collect(),
    }
}

/// What a message is refused for, and what else is wrong with it; the last says how many more problems there are.
fn all_problems(refusal: &Refusal) -> Vec<Refusal> {
    let mut problems = vec![Refusal {
        further: None,
        ..refusal.clone()
    }];
    let Some(further) = &refusal.further else {
        return problems;
    };
    problems.extend(further.named.iter().cloned());
    if let (more @ 1.., Some(last)) = (further.unnamed, problems.last_mut()) {
        last.message
            .push_str(&format!(" ({more} more problems are not named.)"));
    }
    problems
}

fn warning_issue(warning: &Warning) -> Value {
    let code = warning.code.code();
    issue(
        "warning",
        "business-rule",
        code,
        &warning.message,
        warning.place.as_ref(),
    )
}

fn issue(severity: &str, kind: &str, code: &str, text: &str, place: Option<&Location>) -> Value {
    let mut issue = json!({
        "severity": severity,
        "code": kind,
        "details": { "coding": [{ "code": code }], "text": text },
    });
    if let (Some(place), Some(issue)) = (place, issue.as_object_mut()) {
        issue.insert("expression".to_owned(), json!([place.shown]));
    }
    issue
}

fn sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "Taken in.",
        Verdict::Updated => "Taken in: something known was changed.",
        Verdict::Duplicate => "Said before: nothing changed.",
        Verdict::Stale => "Older than what is known: nothing changed.",
        Verdict::Ignored => "Of no use here: nothing changed.",
    }
}

/// The kind of issue, of FHIR's fixed list, that a reason is.
fn issue_type(reason: Reason) -> &'static str {
    use Reason::*;
    match reason {
        UnknownFormat | Malformed | XmlDoctype | BadCsv | BadCommand => "structure",
        TooLarge => "too-long",
        Unreadable | ReaderCrashed => "exception",
        MissingSegment | MissingField | MissingIpp => "required",
        InvalidPhone | InvalidEmail | InvalidDate | FutureTime | BadBase64 => "value",
        SexNotSupported => "code-invalid",
        DocumentType | UnsupportedDocument | UnsupportedMessage | UnsupportedVersion => {
            "not-supported"
        }
        UnknownPatient | UnknownCase | UnknownSession | UnknownNote => "not-found",
        AmbiguousIpp => "multiple-matches",
        IppAuthority | IdentityMismatch | CasePatientMismatch | CaseCompleted | MergeCycle
        | MergeConflict | SessionNotPlanned => "conflict",
        FacilityUnreachable => "transient",
        Unauthorised => "security",
    }
}

/// The sidecar of a refused file or message.
pub(super) fn sidecar(
    described: &MessageDescription,
    refusal: &Refusal,
    facility: &str,
    now: DateTime<Utc>,
) -> Value {
    let of = RefusedMessage {
        message_type: &described.message_type,
        control_id: described.control_id.as_deref(),
        case: described.case.as_ref().map(CaseId::as_str),
        facility,
    };
    sidecar_of(&of, refusal, now)
}

/// Which message was refused, and whose.
pub(super) struct RefusedMessage<'a> {
    pub message_type: &'a str,
    pub control_id: Option<&'a str>,
    pub case: Option<&'a str>,
    pub facility: &'a str,
}

/// The sidecar of what is told of in the journal.
pub(super) fn sidecar_of(of: &RefusedMessage<'_>, refusal: &Refusal, now: DateTime<Utc>) -> Value {
    let mut sidecar = json!({
        "reason": refusal.reason.code(),
        "message": refusal.message,
        "where": refusal.place.as_ref().map(|place| &place.shown),
        "value": refusal.value,
        "facility": of.facility,
        "message_type": of.message_type,
        "control_id": of.control_id,
        "case": of.case,
        "time": now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "next": refusal.reason.next_step(),
    });
    if let (Some(further), Some(keys)) = (&refusal.further, sidecar.as_object_mut()) {
        let named = further.named.iter().map(|problem| {
            json!({
                "reason": problem.reason.code(),
                "message": problem.message,
                "where": problem.place.as_ref().map(|place| &place.shown),
                "value": problem.value,
            })
        });
        keys.insert("further".to_owned(), named.collect());
        if further.unnamed > 0 {
            keys.insert("not_named".to_owned(), json!(further.unnamed));
        }
    }
    sidecar
}
