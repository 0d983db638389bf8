//! Which flow a message goes to, and what is asked of every message before it gets there (interface.md 2, 9, 10).

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identity::{self, text, word};
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, cdar2, documents, ims, siu};
use crate::cda::Cda;
use crate::config::Facility;
use crate::hl7::{
    self, CharsetWarning, Delimiters, Message, MessageEdges, Position, Segment, Untidy, Value,
};
use crate::model::change::Record;
use crate::model::identifiers::{CaseId, ContentHash, hexadecimal};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::refused::RefusalSubject;
use crate::model::view::View;

/// Where a message goes, by MSH-9 (interface.md 2, "Message types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageFlow {
    /// Patients.
    Ims,
    /// Scheduling.
    Siu,
    /// Documents.
    Documents,
    /// Nothing that concerns the meetings.
    Ignored,
}

/// Decides on a message: whether it may be read at all, whether it came before, and then by its flow.
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
) -> DecisionResult<'m> {
    decide_and_record(message, view, context, &mut Trail::off())
}

/// The segments whose fields are read, other than those that the configuration may name.
const READ_SEGMENTS: [&str; 12] = [
    "PID", "MRG", "PV1", "SCH", "TQ1", "AIS", "AIL", "AIP", "TXA", "ORC", "OBR", "OBX",
];

/// How long such a segment may be without a document.
const MAX_SEGMENT_BYTES: usize = 64 * 1024;

/// Decides on a message as [`decide`] does, and records in the trail each datum that is read.
pub fn decide_and_record<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    trail.go_on(check_key(message, context.facility), || ())?;
    trail.go_on(check_key_elsewhere(message, context.facility), || ())?;
    let (code, trigger) = message_type(message);
    if code == "ACK" {
        return Ok(Decision::unchanged(Verdict::Ignored));
    }
    trail.go_on(check_version(message, context.versions), || ())?;
    let flow = flow(message, &code, &trigger)?;
    if flow == MessageFlow::Ignored {
        return Ok(Decision::unchanged(Verdict::Ignored));
    }
    let once: &[&str] = match (code.as_str(), trigger.as_str()) {
        ("SIU", _) => &["SCH", "PID"],
        ("MDM", _) => &["PID", "TXA"],
        ("ADT", "A40") => &[],
        ("ADT", "A47") => &["PID", "MRG"],
        ("ADT", _) => &["PID"],
        _ => &[],
    };
    trail.go_on(check_single(message, once), || ())?;
    trail.go_on(check_bounds(message), || ())?;
    let untidy = trail.go_on(check_lines(message), Vec::new)?;
    let hash = hash_of(message);
    if view.is_applied(&context.facility.id, &hash)? {
        return Ok(Decision::unchanged(Verdict::Duplicate));
    }
    let mut decision = match flow {
        MessageFlow::Ims => ims::decide(message, view, context, trail)?,
        MessageFlow::Siu => siu::decide(message, view, context, trail)?,
        MessageFlow::Documents => documents::decide(message, view, context, trail)?,
        MessageFlow::Ignored => Decision::unchanged(Verdict::Ignored),
    };
    decision.warnings.splice(..0, charset_warnings(message));
    let times = untidy_times(message, flow, context.facility);
    decision.warnings.extend(times);
    decision = decision.warned_if_taken(untidy);
    if decision.verdict.has_effect() {
        let applied = Record::Applied(context.facility.id.clone(), hash);
        decision.changes.push(applied.into());
    }
    Ok(decision)
}

/// Decides on a CDA document: whether it came before, and then by its flow.
pub fn decide_cda<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    view: &dyn View,
    context: &Context<'_>,
) -> DecisionResult<'m> {
    decide_cda_and_record(bytes, cda, view, context, &mut Trail::off())
}

/// Decides on a CDA document as [`decide_cda`] does, and records in the trail each datum that is read.
pub fn decide_cda_and_record<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    check_key_in_document(bytes, context.facility)?;
    cdar2::decide(bytes, cda, None, view, context, trail)
}

/// A key in a document would be kept with it, and with what is read from it.
pub fn check_key_in_document(bytes: &[u8], facility: &Facility) -> Result<(), Refusal> {
    let escape = |key: &[u8]| {
        quick_xml::escape::escape(String::from_utf8_lossy(key))
            .into_owned()
            .into_bytes()
    };
    let key = facility.api_key.as_ref();
    match key.is_some_and(|key| key.stands_in(bytes, escape)) {
        true => Err(key_out_of_place("the document")),
        false => Ok(()),
    }
}

/// Whether a file asks for reports: its name says so, its content is not read (interface.md 2).
pub fn is_request(name: &Path) -> bool {
    let ending = name.extension();
    ending.is_some_and(|ending| {
        ending.eq_ignore_ascii_case("retrieve") || ending.eq_ignore_ascii_case("retreive")
    })
}

/// The refusal of a file that is nothing which is known (interface.md 2).
pub fn unknown_format() -> Refusal {
    Refusal::new(
        Reason::UnknownFormat,
        "The file is neither HL7 v2 (it would start with MSH, FHS or BHS), nor a CDA document, nor named *.retrieve.",
    )
}

/// The flow of a message type.
fn flow(message: &Message<'_>, code: &str, trigger: &str) -> Result<MessageFlow, Refusal> {
    match (code, trigger) {
        ("ADT", "A01" | "A04" | "A05" | "A08" | "A28" | "A31" | "A40" | "A47") => {
            Ok(MessageFlow::Ims)
        }
        ("ADT", event) if is_adt_event(event) => Ok(MessageFlow::Ignored),
        ("SIU", "S12" | "S13" | "S14" | "S15" | "S17") => Ok(MessageFlow::Siu),
        ("SIU", "S16" | "S18" | "S19" | "S20" | "S21" | "S22" | "S23" | "S24" | "S26" | "S27") => {
            Ok(MessageFlow::Ignored)
        }
        ("ORU", "R01") | ("OUL", "R21" | "R22" | "R23" | "R24") => Ok(MessageFlow::Documents),
        (
            "MDM",
            "T01" | "T02" | "T03" | "T04" | "T05" | "T06" | "T07" | "T08" | "T09" | "T10" | "T11",
        ) => Ok(MessageFlow::Documents),
        _ => Err(unsupported(message, code, trigger)),
    }
}

/// Whether this is an event of ADT: of table 0003, or one that a country or a site adds.
fn is_adt_event(event: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match event.split_at_checked(1) {
        Some(("A", number)) if number.len() == 2 && is_number(number) => number
            .parse::<u8>()
            .is_ok_and(|number| matches!(number, 1..=18 | 20..=55 | 60..=62)),
        Some(("Z", rest)) => {
            rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
        _ => false,
    }
}

fn unsupported(message: &Message<'_>, code: &str, trigger: &str) -> Refusal {
    let part = match code {
        "ADT" | "SIU" | "ORU" | "MDM" | "OUL" => 2,
        _ => 1,
    };
    let shown: String = format!("{code}^{trigger}").chars().take(40).collect();
    Refusal::new(
        Reason::UnsupportedMessage,
        format!("expected an event of ADT or SIU, ORU^R01, MDM^T01 to T11 or OUL^R21 to R24, found \"{shown}\""),
    )
    .at(message.header().field(9).component(part).position())
    .with_value(&shown)
}

/// MSH-4.1 must be the facility's key where it has one (interface.md 10). What came is never repeated: it may be a key.
fn check_key(message: &Message<'_>, facility: &Facility) -> Result<(), Refusal> {
    let Some(key) = &facility.api_key else {
        return Ok(());
    };
    let sent = message.header().field(4).component(1);
    if key.matches(sent.text().as_bytes()) {
        return Ok(());
    }
    let found = if sent.is_empty() {
        "nothing"
    } else {
        "another text"
    };
    Err(Refusal::new(
        Reason::Unauthorised,
        format!("expected the facility's API key in MSH-4.1, found {found}"),
    )
    .at(sent.position()))
}

/// A key in another place would be kept with what stands there, and shown. The other fields of MSH are answered and
/// not kept; a document in base64 is no text.
fn check_key_elsewhere(message: &Message<'_>, facility: &Facility) -> Result<(), Refusal> {
    let Some(key) = &facility.api_key else {
        return Ok(());
    };
    let delimiters = message.delimiters();
    let escape = |key: &[u8]| escape_key(key, &delimiters);
    for segment in message.segments().skip(1) {
        let (raw, name) = (segment.raw(), segment.name());
        let fields: Vec<&[u8]> = match name {
            "OBX" => raw.split(|byte| *byte == delimiters.field).collect(),
            _ => Vec::new(),
        };
        let stands_there = match fields.get(2) {
            Some(&b"ED") => {
                let mut texts = fields.iter().enumerate().filter(|(number, _)| *number != 5);
                texts.any(|(_, text)| key.stands_in(text, escape))
            }
            _ => key.stands_in(raw, escape),
        };
        if stands_there {
            return Err(key_out_of_place(name).at(Position::of_segment(name)));
        }
    }
    // These are kept though they may be read from MSH.
    let fields = &facility.fields;
    let kept = [&fields.document_network, &fields.network, &fields.physician];
    for position in kept.into_iter().filter(|it| it.segment() == "MSH") {
        let value = message
            .get(position)
            .and_then(|value| text(&value.simple()));
        if value.is_some_and(|value| key.hide(&value).is_some()) {
            return Err(key_out_of_place(&position.to_string()).at(*position));
        }
    }
    Ok(())
}

/// The key as a sender writes it who escapes the delimiters in it.
fn escape_key(key: &[u8], delimiters: &Delimiters) -> Vec<u8> {
    let Some(escape) = delimiters.escape else {
        return key.to_vec();
    };
    let letters = [
        (Some(delimiters.field), b'F'),
        (delimiters.component, b'S'),
        (delimiters.subcomponent, b'T'),
        (delimiters.repetition, b'R'),
        (Some(escape), b'E'),
    ];
    let mut escaped = Vec::with_capacity(key.len());
    for &byte in key {
        match letters
            .iter()
            .find(|(delimiter, _)| *delimiter == Some(byte))
        {
            Some((_, letter)) => escaped.extend([escape, *letter, escape]),
            None => escaped.push(byte),
        }
    }
    escaped
}

fn key_out_of_place(place: &str) -> Refusal {
    Refusal::new(
        Reason::Unauthorised,
        format!(
            "expected the facility's API key in MSH-4.1 alone, found it in {place}, where it would be kept"
        ),
    )
}

fn check_version(message: &Message<'_>, versions: &[String]) -> Result<(), Refusal> {
    let value = message.header().field(12).component(1);
    let version = text(&value).unwrap_or_default();
    if versions.contains(&version) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::UnsupportedVersion,
        format!(
            "expected HL7 version {}, found \"{}\"",
            versions.join(", "),
            version.chars().take(20).collect::<String>()
        ),
    )
    .at(value.position())
    .with_value(&version))
}

/// Every line must be a segment, or a part of a document: what has no place could be a patient, or another message.
fn check_lines(message: &Message<'_>) -> Result<Vec<Warning>, Refusal> {
    let untidy = message
        .untidy()
        .map_err(|error| Refusal::new(Reason::Malformed, format!("{error}.")))?;
    Ok(untidy.iter().map(untidy_warning).collect())
}

fn untidy_warning(untidy: &Untidy) -> Warning {
    let (position, sentence) = match untidy {
        Untidy::Segments { first, line, count } => (
            first,
            format!(
                "expected the name of each segment in capitals at the start of its line, found blanks, control characters or small letters in {count}, first in line {line}; they were read as segments"
            ),
        ),
        Untidy::Control(position) => (
            position,
            "expected text, found a control character in a value, which was kept as it came"
                .to_owned(),
        ),
    };
    Warning::new(WarningCode::SegmentUntidy, sentence).at(*position)
}

/// What is in doubt about where a message begins and ends in its file. One that ends within a document is refused.
pub fn check_edges(message: &Message<'_>, edges: MessageEdges) -> Result<Vec<Warning>, Refusal> {
    let mut warnings = Vec::new();
    if edges.begins_untidy {
        let warning = Warning::new(
            WarningCode::SegmentUntidy,
            "expected the header at the start of a line, found it behind other bytes; a message was read from there on",
        );
        warnings.push(warning.at(Position::of_segment("MSH")));
    }
    if edges.ends_open {
        documents::refuse_cut_off(message)?;
        let last = message.segments().last();
        if let Some(last) = last.filter(|last| READ_SEGMENTS.contains(&last.name())) {
            let warning = Warning::new(
                WarningCode::SegmentUntidy,
                "expected the end of the last segment, a carriage return, found none; its last value may be cut short",
            );
            warnings.push(warning.at(last.position()));
        }
    }
    Ok(warnings)
}

/// A second segment of one of these names would leave open whom, which case or which document the message is about.
fn check_single(message: &Message<'_>, names: &[&str]) -> Result<(), Refusal> {
    let named = |segment: &Segment<'_>| names.contains(&segment.name());
    let second = |segment: &Segment<'_>| segment.occurrence() > 1;
    if names.is_empty() {
        return Ok(());
    }
    match message.segments().filter(named).find(second) {
        None => Ok(()),
        Some(second) => Err(Refusal::new(
            Reason::Malformed,
            format!(
                "expected one {} in a message of this type, found a second one; send each in a message of its own",
                second.name()
            ),
        )
        .at(second.position())),
    }
}

/// The hash by which the same message is known again: of its bytes with segment ends normalised (interface.md 9).
pub fn hash_of(message: &Message<'_>) -> ContentHash {
    let mut hash = Sha256::new();
    for piece in message.normalised() {
        hash.update(piece);
    }
    ContentHash::new(hexadecimal(&hash.finalize()))
}

/// The doubts about the character set of a message, as warnings.
pub fn charset_warnings(message: &Message<'_>) -> Vec<Warning> {
    let doubts = message.charset_warnings();
    let warning = |(doubt, position): (CharsetWarning, Position)| {
        let warning = match doubt {
            CharsetWarning::Unknown => Warning::new(
                WarningCode::CharsetUnknown,
                "expected a known character set in MSH-18, found another; the message was read as UTF-8",
            ),
            CharsetWarning::NotUtf16 => Warning::new(
                WarningCode::CharsetMismatch,
                "expected UTF-16 in MSH-18, as the file is in, found another character set; the message was read as UTF-16",
            ),
            CharsetWarning::Mismatch => Warning::new(
                WarningCode::CharsetMismatch,
                format!(
                    "expected text in the character set of MSH-18, found values that are not, the first in {position}; each of these was read as UTF-8 where it is that, else as the set of Windows that contains the declared one, else as windows-1252"
                ),
            ),
            CharsetWarning::Entity => Warning::new(
                WarningCode::CharsetMismatch,
                format!(
                    "expected text in the character set of MSH-18, found characters as XML writes them (as &apos;), the first in {position}; each was read as the character that it stands for; send that character, and an & as \\T\\"
                ),
            ),
            CharsetWarning::Control => Warning::new(
                WarningCode::CharsetControl,
                format!(
                    "expected text, found control characters (U+0080 to U+009F), as bytes become that are in another character set than MSH-18 says, the first in {position}; they are kept"
                ),
            ),
        };
        warning.at(position)
    };
    doubts.into_iter().map(warning).collect()
}

/// The times of a message that are read, and not written as HL7 writes them.
fn untidy_times(message: &Message<'_>, flow: MessageFlow, facility: &Facility) -> Vec<Warning> {
    let of = |value: Value<'_>| {
        // Nearly all times are written like this, and need not be read again.
        let raw = value.raw();
        if !raw.is_empty() && raw.len() <= 14 && raw.iter().all(u8::is_ascii_digit) {
            return Some(None);
        }
        let text = word(&value.simple())?;
        Some(identity::untidy_time(&text, value.position()))
    };
    let session_date = || {
        let mut places = facility.fields.session_date.iter();
        places.find_map(|place| of(message.get(place)?))
    };
    let births = message.all("PID").map(|pid| pid.field(7).component(1));
    let mut times = vec![of(message.header().field(7).component(1).into())];
    times.extend(births.map(|birth| of(birth.into())));
    if flow == MessageFlow::Siu {
        times.push(session_date());
    }
    times.into_iter().flatten().flatten().collect()
}

pub(super) fn message_type(message: &Message<'_>) -> (String, String) {
    (
        message.message_code().trim().to_owned(),
        message.trigger().trim().to_owned(),
    )
}

/// Refuses what could only be meant to cost much: values that are kept are copied often, and repetitions are compared
/// with each other.
pub(super) fn check_bounds(message: &Message<'_>) -> Result<(), Refusal> {
    let separator = message.delimiters().field;
    for segment in message.segments() {
        let (raw, name) = (segment.raw(), segment.name());
        if raw.len() <= MAX_SEGMENT_BYTES {
            continue;
        }
        // A document stands in one field.
        let document = match name {
            "OBX" => raw.split(|byte| *byte == separator).map(<[u8]>::len).max(),
            _ => None,
        };
        let length = raw.len() - document.unwrap_or_default();
        if READ_SEGMENTS.contains(&name) && length > MAX_SEGMENT_BYTES {
            return Err(Refusal::new(
                Reason::Malformed,
                format!("expected at most {MAX_SEGMENT_BYTES} bytes in {name}, found {length}"),
            )
            .at(Position::of_segment(name)));
        }
    }
    Ok(())
}

/// What receipts, sidecars and histories say of a message, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageDescription {
    /// MSH-9.1 and 9.2: `SIU^S12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message_type: String,
    /// MSH-9.2, the event: `S12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// MSH-10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_id: Option<String>,
    /// The case that the message names, whether it is known or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// MSH-3 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sending_application: Vec<String>,
    /// MSH-4 in components; the facility's id where it has an API key, since the key stands there (interface.md 10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sending_facility: Vec<String>,
    /// MSH-5 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receiving_application: Vec<String>,
    /// MSH-6 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receiving_facility: Vec<String>,
    /// MSH-11.1, P or D or T.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_id: Option<String>,
    /// MSH-12.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// By what a corrected message is known; only of one that is refused, or that may be such a one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<RefusalSubject>,
}

impl MessageDescription {
    /// What is not an HL7 message: the kind of document, a list, or a command.
    pub fn named(kind: &str) -> Self {
        Self {
            message_type: kind.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the message is itself an acknowledgement, which is never acknowledged.
    pub fn is_acknowledgement(&self) -> bool {
        self.message_type == "ACK" || self.message_type.starts_with("ACK^")
    }
}

/// Describes a message; never fails, however little of it can be read.
pub fn describe(message: &Message<'_>, facility: &Facility) -> MessageDescription {
    let header = message.header();
    let components = |number: u32| -> Vec<String> {
        let field = header.field(number);
        // An HD has three components (HL7 v2.5 chapter 2.A.36).
        let mut texts: Vec<String> = (1..=3)
            .map(|part| text(&field.component(part)).unwrap_or_default())
            .collect();
        while texts.last().is_some_and(String::is_empty) {
            texts.pop();
        }
        texts
    };
    let (code, trigger) = message_type(message);
    let named_case = match code.as_str() {
        "SIU" => message
            .first("SCH")
            .and_then(|schedule| text(&schedule.field(2).component(1))),
        "MDM" | "ORU" | "OUL" => facility
            .documents
            .case_id
            .iter()
            .filter_map(|path| message.get(path))
            .find_map(|value: Value<'_>| text(&value.identifier())),
        _ => None,
    };
    MessageDescription {
        message_type: if trigger.is_empty() {
            code
        } else {
            format!("{code}^{trigger}")
        },
        event: trigger,
        control_id: text(&header.field(10).component(1)),
        case: named_case.map(CaseId::new),
        sending_application: components(3),
        sending_facility: match facility.api_key {
            Some(_) => vec![facility.id.as_str().to_owned()],
            None => components(4),
        },
        receiving_application: components(5),
        receiving_facility: components(6),
        processing_id: text(&header.field(11).component(1)),
        version: text(&header.field(12).component(1)),
        about: None,
    }
}

/// Describes an envelope without a message by its header.
pub fn describe_envelope(bytes: &[u8], facility: &Facility) -> MessageDescription {
    let header = hl7::envelope_header(bytes);
    let named = MessageDescription::named("batch");
    match Message::parse(&header) {
        Ok(header) => MessageDescription {
            control_id: text(&header.header().field(11).component(1)),
            processing_id: None,
            version: None,
            event: String::new(),
            case: None,
            message_type: named.message_type,
            ..describe(&header, facility)
        },
        Err(_) => named,
    }
}

/// Describes a CDA document, of which nothing is known where it could not be read.
pub fn describe_cda(cda: Option<&Cda>, facility: &Facility) -> MessageDescription {
    MessageDescription {
        case: cda
            .and_then(|cda| cdar2::case_id(&cda.header, facility))
            .map(|(id, _)| id),
        ..MessageDescription::named("CDA")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intake::testing::{World, outcome_text};
    use crate::model::outcome::Outcome;

    fn message(header: &[(usize, &str)]) -> String {
        let mut fields = vec![
            "MSH",
            "^~\\&",
            "GAM",
            "CHU",
            "RCP",
            "RCP",
            "20250401",
            "",
            "ADT^A28^ADT_A05",
            "7",
            "P",
            "2.5",
        ];
        fields.resize(18, "");
        for (number, value) in header {
            fields[*number - 1] = value;
        }
        format!(
            "{}\rPID|1||P-1^^^CHU^PI||MARTIN^Lea^^^^^L||19700102|F\r",
            fields.join("|")
        )
    }

    #[test]
    fn messages_go_by_their_type() {
        for (types, expected) in [
            (
                &["ADT^A28", "ADT^A01^ADT_A01", " ADT ^ A31 "][..],
                "accepted",
            ),
            (
                &[
                    "ADT^A02",
                    "ADT^A60",
                    "ADT^Z99",
                    "ADT^a13",
                    "SIU^S16",
                    "SIU^S26",
                    "ACK",
                    "ACK^A01^ACK",
                ],
                "ignored",
            ),
            (
                &[
                    "SIU^S12", "SIU^s12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S17",
                ],
                "missing-segment SCH",
            ),
            (&["ADT^A40"], "missing-segment MRG"),
            (
                &[
                    "ORU^R30",
                    "MDM^T12",
                    "OUL^R20",
                    "ADT",
                    "ADT^",
                    "ADT^^ADT_A05",
                    "ADT^S12",
                    "ADT^A00",
                    "ADT^A19",
                    "ADT^A59",
                    "ADT^A63",
                    "ADT^A+1",
                    "SIU",
                    "SIU^^SIU_S12",
                    "SIU^A28",
                    "SIU^S11",
                    "SIU^S25",
                    "SIU^S99",
                ],
                "unsupported-message MSH-9.2",
            ),
            (
                &["ORM^O01", "MFN^M02", "QBP^Q22", "", "adt^a28"],
                "unsupported-message MSH-9.1",
            ),
        ] {
            for code in types {
                let mut world = World::new();
                assert_eq!(
                    outcome_text(&world.receive(&message(&[(9, code)]))),
                    expected,
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn a_request_is_told_from_its_name_in_any_case() {
        for (name, expected) in [
            ("x.retrieve", true),
            ("x.RETRIEVE", true),
            ("x.Retreive", true),
            ("x.y.retrieve", true),
            ("x.retrieved", false),
            ("retrieve", false),
        ] {
            assert_eq!(is_request(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_untidy_is_taken_with_a_warning_or_refused() {
        let plain = message(&[]);
        for (sent, expected) in [
            (plain.replace("\rPID", "\r PID"), "accepted segment-untidy"),
            (
                plain.replace("\rPID", "\r\u{feff}\0pid"),
                "accepted segment-untidy",
            ),
            (plain.replace("MSH", "msh"), "accepted segment-untidy"),
            (plain.replace("Lea", "L\0ea"), "accepted segment-untidy"),
            (format!("{plain}\r\r\u{feff}\r"), "accepted"),
            (format!("{plain} pid|2||P-2^^^CHU^PI\r"), "malformed PID(2)"),
            (format!("{plain}some text\r"), "malformed"),
            (
                format!("{plain}OBX|1|TX|||a||||||FPID|2||P-2^^^CHU^PI\r"),
                "malformed",
            ),
        ] {
            let mut world = World::new();
            assert_eq!(outcome_text(&world.receive(&sent)), expected, "{sent:?}");
        }
        let ignored = message(&[(9, "ADT^A02")]) + "some text\r";
        assert_eq!(outcome_text(&World::new().receive(&ignored)), "ignored");
    }

    #[test]
    fn a_last_segment_without_an_end_may_be_cut_short() {
        let open = MessageEdges {
            ends_open: true,
            ..MessageEdges::default()
        };
        for (end, warns) in [("PID|1||P-1", true), ("ZZZ|1", false)] {
            let text = format!("MSH|^~\\&|\r{end}");
            let message = Message::parse(text.as_bytes()).unwrap();
            let warnings = check_edges(&message, open).unwrap();
            assert_eq!(!warnings.is_empty(), warns, "{end}");
            assert_eq!(
                check_edges(&message, MessageEdges::default()),
                Ok(Vec::new())
            );
        }
    }

    #[test]
    fn versions_are_those_of_the_configuration() {
        for (version, expected) in [
            ("2.5", "accepted"),
            ("2.5.1", "accepted"),
            ("2.6", "accepted"),
            ("2.7", "accepted"),
            ("2.7.1", "accepted"),
            ("2.5^FRA^2.11", "accepted"),
            ("2.3.1", "unsupported-version MSH-12.1"),
            ("2.8", "unsupported-version MSH-12.1"),
            ("", "unsupported-version MSH-12.1"),
        ] {
            let mut world = World::new();
            assert_eq!(
                outcome_text(&world.receive(&message(&[(12, version)]))),
                expected,
                "{version}"
            );
        }
        let mut world = World::new();
        world.versions = vec!["2.3.1".to_owned()];
        assert_eq!(
            outcome_text(&world.receive(&message(&[(12, "2.3.1")]))),
            "accepted"
        );
    }

    #[test]
    fn the_same_message_is_applied_once() {
        let mut world = World::new();
        assert_eq!(outcome_text(&world.receive(&message(&[]))), "accepted");
        let before = world.everything();
        for same in [
            message(&[]),
            message(&[]).replace('\r', "\r\n"),
            message(&[]).replace('\r', "\n\n"),
            message(&[]).trim_end().to_owned(),
        ] {
            assert_eq!(outcome_text(&world.receive(&same)), "duplicate");
        }
        assert_eq!(world.everything(), before);
        // The control id is no key.
        assert_eq!(
            outcome_text(&world.receive(&message(&[(7, "20250402")]))),
            "updated"
        );
    }

    #[test]
    fn what_was_not_applied_is_not_remembered() {
        let mut world = World::new();
        let refused = message(&[]).replace("|F", "|");
        for _ in 0..2 {
            assert_eq!(
                outcome_text(&world.receive(&refused)),
                "missing-field PID-8.1"
            );
        }
        world.receive(&message(&[]));
        let stale = message(&[(7, "20250331")]);
        for _ in 0..2 {
            assert_eq!(outcome_text(&world.receive(&stale)), "stale");
        }
    }

    #[test]
    fn a_second_patient_refuses_the_message() {
        let second = "PID|2||P-2^^^^PI\r";
        for (code, expected) in [
            ("ADT^A28", "malformed PID(2)"),
            ("SIU^S12", "malformed PID(2)"),
            ("SIU^S15", "malformed PID(2)"),
            ("MDM^T02", "malformed PID(2)"),
            ("ADT^A17", "ignored"),
            ("ADT^A40", "missing-segment MRG"),
        ] {
            let mut world = World::new();
            let outcome = world.receive(&(message(&[(9, code)]) + second));
            assert_eq!(outcome_text(&outcome), expected, "{code}");
        }
    }

    #[test]
    fn a_second_case_or_document_refuses_the_message() {
        for (code, twice, expected) in [
            ("SIU^S12", "SCH|1|C-1", "malformed SCH(2)"),
            ("SIU^S15", "SCH|1|C-1", "malformed SCH(2)"),
            ("MDM^T02", "TXA|1|CR", "malformed TXA(2)"),
            ("ADT^A47", "MRG|1^^^CHU^PI", "malformed MRG(2)"),
            ("ADT^A28", "MRG|1^^^CHU^PI", "accepted"),
        ] {
            let mut world = World::new();
            let outcome = world.receive(&format!("{}{twice}\r{twice}\r", message(&[(9, code)])));
            assert_eq!(outcome_text(&outcome), expected, "{code}");
        }
    }

    #[test]
    fn the_key_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "s3cr3t&k\n").unwrap();
        for (sent, expected) in [
            (r"s3cr3t\T\k", "accepted"),
            ("s3cr3t&k^ignored", "accepted"),
            ("s3cr3t", "unauthorised MSH-4.1"),
            ("s3cr3tk0", "unauthorised MSH-4.1"),
            ("", "unauthorised MSH-4.1"),
        ] {
            let mut world = World::configured(&format!("api_key_file = {key:?}"));
            let outcome = world.receive(&message(&[(4, sent)]));
            assert_eq!(outcome_text(&outcome), expected, "{sent}");
            assert!(!format!("{outcome:?}").contains("s3cr3t"));
        }
        let mut world = World::configured(&format!("api_key_file = {key:?}"));
        let outcome = world.receive(&message(&[(4, "wrong"), (9, "XYZ"), (12, "1.0")]));
        assert_eq!(outcome_text(&outcome), "unauthorised MSH-4.1");
    }

    #[test]
    fn doubts_about_the_character_set_are_told() {
        let mut world = World::new();
        let unknown = message(&[(18, "KLINGON")]);
        assert_eq!(
            outcome_text(&world.receive(&unknown)),
            "accepted charset-unknown"
        );
        let mismatch = message(&[(18, "8859/1")]).replace("Lea", "Léa");
        assert_eq!(
            outcome_text(&world.receive(&mismatch)),
            "updated charset-mismatch"
        );
        assert_eq!(world.patient("P-1").unwrap().given_name, "Léa");
        let entity = message(&[]).replace("Lea", "L&eacute;o&apos;");
        assert_eq!(
            outcome_text(&world.receive(&entity)),
            "updated charset-mismatch"
        );
        assert_eq!(world.patient("P-1").unwrap().given_name, "Léo'");
    }

    #[test]
    fn a_message_is_described_whatever_it_is() {
        let facility = World::new().facility;
        let text = "MSH|^~\\&|GAM&1.2&ISO|CHU^1.3^ISO|RCP||20250401||SIU^S12^SIU_S12|42|P|2.5^FRA\rSCH||C-1^GAM\r";
        let described = describe(&Message::parse(text.as_bytes()).unwrap(), &facility);
        assert_eq!(described.message_type, "SIU^S12");
        assert_eq!(described.event, "S12");
        assert_eq!(described.control_id.as_deref(), Some("42"));
        assert_eq!(described.case, Some(CaseId::new("C-1")));
        assert_eq!(described.sending_facility, ["CHU", "1.3", "ISO"]);
        assert_eq!(described.receiving_application, ["RCP"]);
        assert!(described.receiving_facility.is_empty());
        assert_eq!(described.processing_id.as_deref(), Some("P"));
        assert_eq!(described.version.as_deref(), Some("2.5"));
        assert!(!described.is_acknowledgement());

        let text = "MSH|^~\\&|||||||MDM^T02\rTXA|1|||||||||||||C-2^GAM\r";
        let described = describe(&Message::parse(text.as_bytes()).unwrap(), &facility);
        assert_eq!(described.case, Some(CaseId::new("C-2")));

        let described = describe(&Message::parse(b"MSH|^~\\&|").unwrap(), &facility);
        assert_eq!(described, MessageDescription::default());
        let described = describe(
            &Message::parse(b"MSH|^~\\&|||||||ACK^A01").unwrap(),
            &facility,
        );
        assert!(described.is_acknowledgement());
    }

    /// A field of a segment of any message, put out of order.
    fn odd() -> impl Strategy<Value = (usize, usize, String)> {
        let value = prop_oneof![
            Just(String::new()),
            Just("\"\"".to_owned()),
            "[0-9]{1,14}",
            "[A-Z0-9^&~\\\\\" .@+-]{0,24}",
            "\\PC{0,12}",
        ];
        (0..6_usize, 1..20_usize, value)
    }

    proptest! {
        #[test]
        fn no_message_is_too_odd_to_be_decided_on(
            trigger in prop::sample::select(vec!["SIU^S12", "SIU^S14", "SIU^S15", "ADT^A31", "ADT^A40"]),
            odds in prop::collection::vec(odd(), 0..4),
        ) {
            let whole = "MSH|^~\\&|GAM|CHU|RCP|RCP|20250401||TYPE|7|P|2.5|||||FRA|UTF-8\n\
                SCH||C-1|||||||||^^^20250415\n\
                PID|1||P-1^^^CHU^PI||MARTIN^Lea^^^^^L||19700102|F|||1 rue X^^Paris^^75001^FRA^H||0142515151^PRN^PH\n\
                MRG|P-2^^^CHU^PI\nAIL|1||^^^PATH^^^^^NET\nAIP|1||10100094977^Durand^Paul";
            let mut segments: Vec<Vec<String>> = whole
                .replace("TYPE", trigger)
                .lines()
                .map(|line| line.split('|').map(str::to_owned).collect())
                .collect();
            for (segment, field, value) in odds {
                // What is before MSH-3 says how to read the message, and is the business of the reader.
                let field = if segment == 0 { field.max(2) } else { field };
                if let Some(place) = segments[segment].get_mut(field) {
                    *place = value;
                }
            }
            let text: Vec<String> = segments.iter().map(|fields| fields.join("|")).collect();
            let mut world = World::new();
            world.session("S-1", "2025-04-15", "PATH", "");
            let before = world.everything();
            let outcome = world.receive(&text.join("\r"));
            if outcome.refusal().is_some() {
                prop_assert_eq!(world.everything(), before);
            }
            let again = outcome_text(&world.receive(&text.join("\r")));
            match outcome {
                Outcome::Rejected(_) => prop_assert_eq!(again, outcome_text(&outcome)),
                Outcome::Taken { verdict: Verdict::Accepted | Verdict::Updated, .. } => {
                    prop_assert!(again.starts_with("duplicate"), "{}", again);
                }
                Outcome::Taken { .. } => prop_assert_eq!(again, outcome_text(&outcome)),
            }
        }
    }
}
