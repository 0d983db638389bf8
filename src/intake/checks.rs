//! What is asked of every message before its flow reads it (interface.md 2, 9, 10).

use sha2::{Digest, Sha256};

use super::field_update::text;
use crate::config::Facility;
use crate::hl7::{CharsetWarning, Delimiters, Message, Position, Segment, Untidy};
use crate::model::identifiers::{ContentHash, hexadecimal};
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};

/// The segments whose fields are read, other than those that the configuration may name.
pub(super) const READ_SEGMENTS: [&str; 12] = [
    "PID", "MRG", "PV1", "SCH", "TQ1", "AIS", "AIL", "AIP", "TXA", "ORC", "OBR", "OBX",
];

/// How long such a segment may be without a document.
const MAX_SEGMENT_BYTES: usize = 64 * 1024;

/// MSH-4.1 must be the facility's key where it has one (interface.md 10). What came is never repeated: it may be a key.
pub(super) fn check_key(message: &Message<'_>, facility: &Facility) -> Result<(), Refusal> {
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
pub(super) fn check_key_elsewhere(
    message: &Message<'_>,
    facility: &Facility,
) -> Result<(), Refusal> {
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

pub(super) fn check_version(message: &Message<'_>, versions: &[String]) -> Result<(), Refusal> {
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
pub(super) fn check_lines(message: &Message<'_>) -> Result<Vec<Warning>, Refusal> {
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

/// A second segment of one of these names would leave open whom, which case or which document the message is about.
pub(super) fn check_single(message: &Message<'_>, names: &[&str]) -> Result<(), Refusal> {
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

/// A segment or a message that goes on elsewhere (HL7 v2.5 chapter 2.10.2) would be read as if it ended there.
pub(super) fn check_whole(message: &Message<'_>) -> Result<(), Refusal> {
    let continues = |segment: &Segment<'_>| matches!(segment.name(), "ADD" | "DSC");
    match message.segments().find(continues) {
        None => Ok(()),
        Some(segment) => Err(Refusal::new(
            Reason::Malformed,
            format!(
                "expected whole segments in a whole message, found {}, by which one goes on elsewhere; send each value in its segment, and the message in one",
                segment.name()
            ),
        )
        .at(segment.position())),
    }
}

/// The hash by which the same message is known again: of its bytes with segment ends normalised (interface.md 9).
pub(super) fn hash_of(message: &Message<'_>) -> ContentHash {
    let mut hash = Sha256::new();
    for piece in message.normalised() {
        hash.update(piece);
    }
    ContentHash::new(hexadecimal(&hash.finalize()))
}

/// The doubts about the character set of a message, as warnings.
pub(super) fn charset_warnings(message: &Message<'_>) -> Vec<Warning> {
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

/// A key in a document would be kept with it, and with what is read from it.
pub(super) fn check_key_in_document(bytes: &[u8], facility: &Facility) -> Result<(), Refusal> {
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
