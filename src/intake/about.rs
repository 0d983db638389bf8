//! By what a corrected message is known to take the place of a refused one (interface.md 10, "Superseded").
//!
//! It says what the refused one wanted to say: of the same case, patient or document, and by a message that does the
//! same. A document is never taken for another one of its patient.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::desk::{Action, Command};
use super::identity::ipp;
use super::trail::Trail;
use super::{cdar2, checks, describe};
use crate::cda::Cda;
use crate::config::Facility;
use crate::hl7::{Message, Timestamp};
use crate::model::identifiers::ContentHash;
use crate::model::refused::RefusalSubject;

/// What a message is about, and does. The subject is a hash, since a refused message leaves no more of itself than its
/// sidecar says.
fn about(does: &str, words: impl Serialize, time: Option<DateTime<Utc>>) -> RefusalSubject {
    RefusalSubject {
        subject: ContentHash::of_json(&(does, words)),
        time,
    }
}

/// A sequence of words that is made while it is written: a refused message may have a word for every few of its bytes.
struct Words<F>(F);

impl<F, I> Serialize for Words<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// What a message of HL7 is about; nothing where that cannot be told.
pub fn of_message(message: &Message<'_>, facility: &Facility) -> Option<RefusalSubject> {
    // What is refused for its size is not read any further.
    checks::check_bounds(message).ok()?;
    let (code, trigger) = describe::message_type(message);
    let time = Timestamp::parse(message.time().trim()).ok();
    let time = time.map(|time| time.instant(facility.timezone));
    let patient = || -> Option<String> {
        let identifiers = message.first("PID")?.field(3);
        let read = ipp::read_ipp(identifiers, "patient", facility, &mut Trail::off());
        Some(read.ok()?.ipp.as_str().to_owned())
    };
    let event = trigger.to_uppercase();
    match (code.as_str(), event.as_str()) {
        ("ADT", "A01" | "A04" | "A05" | "A08" | "A28" | "A31") => {
            Some(about("identity", [&patient()?], time))
        }
        ("ADT", "A47") => Some(about("ins", [&patient()?], time)),
        ("ADT", "A40") => {
            let patient = patient()?;
            let merged = || message.all("MRG").map(|it| it.field(1).text().into_owned());
            let words = Words(|| std::iter::once(patient.clone()).chain(merged()));
            Some(about("merge", words, time))
        }
        ("SIU", "S12" | "S13" | "S14" | "S15" | "S17") => {
            let does = match event.as_str() {
                "S15" | "S17" => "cancel",
                _ => "schedule",
            };
            let case = message.first("SCH")?.field(2).component(1);
            let case = case.text().trim().to_owned();
            (!case.is_empty()).then(|| about(does, [&case], time))
        }
        ("ORU" | "OUL" | "MDM", _) => {
            let patient = patient()?;
            let ids = || {
                let fields = [("TXA", 12), ("OBR", 3)];
                fields.into_iter().flat_map(|(segment, field)| {
                    let ids = message.all(segment).map(move |it| it.field(field).text());
                    ids.map(|id| id.trim().to_owned())
                })
            };
            // Without an id of its own, it may be any document of the patient.
            if ids().next().is_none() || ids().any(|id| id.is_empty()) {
                return None;
            }
            let parts = || {
                message.all("OBX").flat_map(|obx| {
                    let parts = [3, 4].map(|field| obx.field(field).component(1));
                    parts.map(|part| part.text().trim().to_owned())
                })
            };
            let words = Words(|| std::iter::once(patient.clone()).chain(ids()).chain(parts()));
            let does = match event.as_str() {
                "T11" => "withdraw",
                _ => "document",
            };
            Some(about(does, words, time))
        }
        _ => None,
    }
}

/// What a CDA document is about.
pub fn of_cda(cda: &Cda, facility: &Facility) -> Option<RefusalSubject> {
    let (case, _) = cdar2::document::case_id(&cda.header, facility)?;
    let time = cda.header.effective_time.as_ref();
    let time = time.and_then(|time| Timestamp::parse(&time.text).ok());
    let time = time.map(|time| time.instant(facility.timezone));
    Some(about("form", [case.as_str()], time))
}

/// What a command of the desk is about: those about a case.
pub fn of_command(command: &Command) -> Option<RefusalSubject> {
    let case = match &command.action {
        Action::Schedule(it) => it.case.as_ref()?,
        Action::Unschedule(it) | Action::Reopen(it) | Action::Cancel(it) | Action::Renew(it) => {
            &it.case
        }
        Action::Attach(it) => {
            let words = [it.facility.as_str(), it.case.as_str(), it.note.as_str()];
            return Some(about("attach", words, None));
        }
        Action::Questionnaire(it) => &it.case,
        Action::Complete(it) => &it.case,
        Action::Redeliver(_) | Action::Retry(_) | Action::Discard(_) => return None,
    };
    let facility = command.facility()?;
    let words = [facility.as_str(), case.as_str()];
    Some(about(command.word(), words, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_collected_are_known_by_the_hash_of_collected_ones() {
        for number in [0, 1, 3] {
            let words: Vec<String> = (0..number).map(|it| format!("\"é{it}\n")).collect();
            let made = about("document", Words(|| words.iter().cloned()), None);
            assert_eq!(
                made.subject,
                ContentHash::of_json(&("document", &words)),
                "{number} words"
            );
        }
    }
}
