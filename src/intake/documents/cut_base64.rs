//! The refusal of base64 that a separator cuts: the rest of it stands where a document has nothing.

use super::sent::{ObxDocument, encoded};
use crate::hl7::{Position, Repetition, Value};
use crate::intake::content;
use crate::model::outcome::{Reason, Refusal};

/// Refuses base64 with a component or field separator in it: the rest stands where a document has nothing.
///
/// Of a document whose end is there, a rest in another place is told by what that place may hold, and by what is shifted
/// or missing around it.
pub(super) fn refuse_cut_base64(sent: &ObxDocument<'_>, is_whole: bool) -> Result<(), Refusal> {
    let encoded = encoded(&sent.value);
    let is_bare = encoded.position() == sent.value.component(1).position();
    let first_behind = if is_bare { 2 } else { 6 };
    let behind = sent.value.component(first_behind);
    let is_rest = |value: &[u8]| content::is_like_base64(value);
    // A separator within OBX-5 shifts the status, which OBX-12, a date, cannot hold.
    let is_shifted = || matches!(sent.obx.field(12).raw().trim_ascii(), [b'A'..=b'Z']);
    // And what is before it is no whole base64, but the rest makes it so.
    let completes = |rest: &[u8]| {
        let (before, rest) = (letters_of(encoded.raw()), letters_of(rest));
        !before.is_multiple_of(4) && (before + rest).is_multiple_of(4)
    };
    let is_rest_in = |number: u32, field: &Value<'_>| {
        let value = field.raw();
        let is_rest = is_rest(value)
            && (!is_whole
                || !may_stand_in(number, value.trim_ascii())
                || is_shifted()
                || (number == 6 && completes(value)));
        let holds_document =
            |it: Repetition<'_>| another_document(&it, MOST_COMPONENTS, None).is_some();
        is_rest || field.as_repetitions().any(holds_document)
    };
    let rest = match is_bare {
        // OBX-5.2 is the kind of the data, in words.
        true => {
            let value = behind.raw().trim_ascii();
            is_rest(value) && (!is_whole || !is_word(value, 32) || completes(value))
        }
        false => is_rest(behind.raw()),
    };
    let last = match sent.value.raw().ends_with(encoded.raw()) {
        true => encoded.position().component(),
        false => MOST_COMPONENTS,
    };
    let another = || another_document(&sent.value, last, Some(encoded.position()));
    // OBX-11 is the status.
    let mut rests = (6..=10).map(|number| (number, sent.obx.field(number)));
    let place = match rest {
        true => Some(behind.position()),
        false => another().or_else(|| {
            rests
                .find(|(number, field)| is_rest_in(*number, field))
                .map(|(_, field)| field.position())
        }),
    };
    match place {
        None => Ok(()),
        Some(place) => Err(Refusal::new(
            Reason::BadBase64,
            "expected nothing beside the base64 of a document, found more of it, or another document: a separator stands within it, or each document needs a repetition or an OBX of its own",
        )
        .at(place)),
    }
}

/// How many components of a value are looked at for a document that nobody expects there.
const MOST_COMPONENTS: u32 = 12;

/// Where a component of a value, up to the last one, begins as a document in base64, but for the one that is read.
fn another_document(value: &Repetition<'_>, last: u32, read: Option<Position>) -> Option<Position> {
    let is_document = |part: &[u8]| part.len() >= 16 && content::begins_as_document(part);
    if value.raw().len() < 16 {
        return None;
    }
    (1..=last)
        .map(|number| value.component(number))
        .filter(|part| Some(part.position()) != read)
        .find(|part| is_document(part.raw()))
        .map(|part| part.position())
}

/// How many letters of base64 a value has, `=` included.
fn letters_of(value: &[u8]) -> usize {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    value.iter().filter(is_letter).count()
}

/// Whether this field of an OBX may hold a value that looks like base64: units, a range, flags, a probability, and the
/// nature of the test (HL7 v2.5 chapter 7.4.2).
fn may_stand_in(number: u32, value: &[u8]) -> bool {
    let is_number = value.iter().all(u8::is_ascii_digit);
    match number {
        6 | 7 => value.split(|byte| *byte == b'/').all(is_unit) || is_number && value.len() <= 8,
        8 => value.len() <= 4 && value.iter().all(u8::is_ascii_uppercase),
        9 => is_number && value.len() <= 8,
        _ => value.len() <= 2 && value.iter().all(u8::is_ascii_uppercase),
    }
}

/// Whether this may be a unit, or one of its parts: a word with a number before or behind it at most (`10E9`, `m2`, `Ko`).
fn is_unit(value: &[u8]) -> bool {
    let digits = |byte: &&u8| byte.is_ascii_digit();
    let before = value.iter().take_while(digits).count();
    let behind = value.iter().rev().take_while(digits).count();
    let word = value.get(before..value.len().saturating_sub(behind));
    let word = word.unwrap_or_default();
    let is_power = value.starts_with(b"10E") || value.starts_with(b"10e");
    before <= 4 && behind <= 3 && (is_power || is_word(word, 12))
}

/// Whether this is a word of letters, in which capitals stand as in words and units (`Ko`, `mmHg`, `PDF`, `kUI`).
fn is_word(value: &[u8], longest: usize) -> bool {
    let is_capital = |byte: &u8| byte.is_ascii_uppercase();
    let changes = value.windows(2).filter(|pair| match pair {
        [one, next] => is_capital(one) != is_capital(next),
        _ => false,
    });
    (1..=longest).contains(&value.len())
        && value.iter().all(u8::is_ascii_alphabetic)
        && changes.count() <= 2
}
