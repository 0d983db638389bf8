//! Documents sent for a patient, by ORU, OUL and MDM (interface.md 6).
//!
//! Each OBX that carries a file is a document: it is found to be new, the next version of a known one, or the end of
//! one, and joins a case or waits on a note of the patient. A message is all or nothing.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::content;
use super::field_update::{text, word};
use super::head::CdaIdentifiers;
use super::identity::compare::{self, Traits};
use super::identity::{self, ins, ipp, names, reliability};
use super::message_time::message_time;
use super::source_location::SourceLocation;

use super::trail::Trail;
use super::{Content, Context, Decision, DecisionResult, Stop, checks, made, scheduling};
use crate::config::Facility;
use crate::hl7::{Field, Message, Position, Repetition, Segment, Value};
use crate::model::case::Case;
use crate::model::change::{Record, Subject};
use crate::model::date::PartialDate;
use crate::model::document::{
    AttachmentPlace, ContentType, Document, DocumentKind, DocumentVersion, UniqueId,
    VersionStanding,
};
use crate::model::identifiers::{CaseId, ContentHash, DocumentId, Ipp, NetworkId, NoteId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Location, Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Patient, Sex};
use crate::model::view::{Branch, View, ViewError};

/// Refuses a message that ends within a document: the end of a file that was cut off. Base64 has no end of its own, so
/// what came of it would look whole.
pub fn refuse_cut_off(message: &Message<'_>) -> Result<(), Refusal> {
    let last = message.segments().last();
    match last.filter(|last| last.name() == "OBX") {
        Some(obx) if obx.field_count() <= 5 && may_be_document(&obx) => {
            let refusal = Refusal::new(
                Reason::BadBase64,
                "expected the end of the document, but the file ends within it",
            );
            Err(refusal.at(obx.field(5).position()))
        }
        _ => Ok(()),
    }
}

/// Whether an OBX carries a file, or may, where its value was cut off: also by its encoding alone, and with the start of
/// a PDF anywhere in it.
fn may_be_document(obx: &Segment<'_>) -> bool {
    let value = obx.field(5);
    let encoding = value.component(4);
    carries_file(obx)
        || encoding.raw().trim_ascii().eq_ignore_ascii_case(b"Base64")
        || memchr::memmem::find(value.raw(), b"JVBERi0").is_some()
}

/// Decides an ORU, OUL or MDM message.
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let is_mdm = message.message_code().trim() == "MDM";
    let event = message.trigger().trim().to_owned();
    let mut sent = sent_documents(message, &event);
    if sent.is_empty() {
        return without_document(message, is_mdm, &event);
    }
    if let Some(one_too_many) = sent.get(MAX_DOCUMENTS) {
        let refusal = Refusal::new(
            Reason::Malformed,
            format!("expected at most {MAX_DOCUMENTS} documents in a message, found more"),
        );
        return Err(refusal.at(one_too_many.obx.position()).into());
    }
    let DocumentParts { joined, warnings } = join_parts(&mut sent)?;
    let mut flow = DocumentFlow {
        message,
        sent: &sent,
        joined,
        view,
        branch: None,
        in_branch: 0,
        cases: BTreeMap::new(),
        context,
        facility: context.facility,
        transport: if is_mdm { message.first("TXA") } else { None },
        time: match text(&message.header().field(7).component(1)) {
            Some(_) => Some(message_time(message, context, trail)?),
            None => None,
        },
        by: format!("{}^{event}", message.message_code().trim()),
        decision: Decision::unchanged(Verdict::Ignored),
        patients: HashMap::new(),
        documents: BTreeMap::new(),
        times_sent: HashMap::new(),
        answering: HashMap::new(),
        message_hash: OnceCell::new(),
        firsts: RefCell::default(),
        trail,
    };
    flow.decision.warnings.extend(warnings);
    for (number, sent) in sent.iter().enumerate() {
        let verdict = flow.take(sent, number)?;
        flow.decision.verdict = more_important(flow.decision.verdict, verdict);
    }
    Ok(flow.decision)
}

/// How many documents a message may carry: each is compared with those before it.
const MAX_DOCUMENTS: usize = 1_000;

/// A message that carries no document: only the even events of MDM must (HL7 v2.5 chapter 9.6).
fn without_document<'m>(message: &Message<'m>, is_mdm: bool, event: &str) -> DecisionResult<'m> {
    let must = is_mdm && matches!(event, "T02" | "T04" | "T06" | "T08" | "T10");
    let deletes = |obx: Segment<'_>| word(&obx.field(11).simple()).as_deref() == Some("D");
    if must && !message.all("OBX").any(deletes) {
        return Err(Refusal::new(
            Reason::MissingSegment,
            format!("expected an OBX of type ED with the document in MDM^{event}, found none"),
        )
        .into());
    }
    Ok(Decision::unchanged(Verdict::Ignored))
}

/// What is told of a message with several documents: that something new came says more than that something changed.
fn more_important(one: Verdict, other: Verdict) -> Verdict {
    let weight = |verdict| match verdict {
        Verdict::Accepted => 4,
        Verdict::Updated => 3,
        Verdict::Duplicate => 2,
        Verdict::Stale => 1,
        Verdict::Ignored => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

/// What is to become of a document (OBX-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DocumentStatus {
    /// New, or the next version of the one with its unique id.
    Final,
    /// The next version of one that is known by any of its ids.
    Replace,
    /// The end of a known one.
    Delete,
}

impl DocumentStatus {
    fn of(obx: &Segment<'_>, event: &str) -> Self {
        match (word(&obx.field(11).simple()).as_deref(), event) {
            (Some("C"), _) | (None, "T10") => DocumentStatus::Replace,
            (Some("D" | "W"), _) | (None, "T11") => DocumentStatus::Delete,
            _ => DocumentStatus::Final,
        }
    }
}

/// An OBX that is a document, with the segments that it belongs to.
#[derive(Debug, Clone, Copy)]
struct ObxDocument<'m> {
    obx: Segment<'m>,
    /// Which repetition of OBX-5 it is.
    value: Repetition<'m>,
    status: DocumentStatus,
    pid: Option<Segment<'m>>,
    orc: Option<Segment<'m>>,
    obr: Option<Segment<'m>>,
}

/// The documents of a message, each with the nearest PID, ORC and OBR above it (interface.md 2, "Groups").
fn sent_documents<'m>(message: &Message<'m>, event: &str) -> Vec<ObxDocument<'m>> {
    let mut found = Vec::new();
    let (mut pid, mut orc, mut obr) = (None, None, None);
    for segment in message.segments() {
        match segment.name() {
            // The orders above belong to the patient before.
            "PID" => (pid, orc, obr) = (Some(segment), None, None),
            "ORC" => orc = Some(segment),
            "OBR" => obr = Some(segment),
            "OBX" => {
                let status = DocumentStatus::of(&segment, event);
                if is_document(&segment, status) {
                    let mut values: Vec<_> = segment.field(5).repetitions().collect();
                    if values.is_empty() || status == DocumentStatus::Delete {
                        values = vec![segment.field(5).repetition(1)];
                    }
                    found.extend(values.into_iter().map(|value| ObxDocument {
                        obx: segment,
                        value,
                        status,
                        pid,
                        orc,
                        obr,
                    }));
                    if found.len() > MAX_DOCUMENTS {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether an OBX carries a document: metadata of the transport and bodies of mails do not count.
fn is_document(obx: &Segment<'_>, status: DocumentStatus) -> bool {
    // What is deleted has no value, so it needs no type of one.
    let carries_file = carries_file(obx)
        || (status == DocumentStatus::Delete && word(&obx.field(2).simple()).is_none());
    let observation = obx.field(3);
    let part = |number| text(&observation.component(number)).unwrap_or_default();
    carries_file
        && part(3) != "MetaDMPMSS"
        && !part(1).starts_with("CORPSMAIL")
        && !part(2).starts_with("XDM/1.0/DDM")
}

/// Whether OBX-5 is a file: OBX-2 says so, or, whatever it says, the value does.
fn carries_file(obx: &Segment<'_>) -> bool {
    let kind = obx.field(2).simple();
    if kind.raw() == b"ED" || word(&kind).is_some_and(|kind| kind.eq_ignore_ascii_case("ED")) {
        return true;
    }
    let value = obx.field(5).repetition(1);
    let (bare, encoded) = (value.component(1), value.component(5));
    // Base64 of `%PDF-`.
    let is_pdf = |value: &Value<'_>| value.raw().trim_ascii_start().starts_with(b"JVBERi");
    if is_pdf(&bare) || is_pdf(&encoded) {
        return true;
    }
    let says = |number, said: &str| {
        let part = word(&value.component(number).simple());
        part.is_some_and(|part| part.eq_ignore_ascii_case(said))
    };
    !encoded.is_empty()
        && (says(4, "Base64") || says(3, "PDF") || says(2, "PDF") || says(2, "application/pdf"))
}

/// What was found of documents that stand in several OBX.
#[derive(Default)]
struct DocumentParts {
    /// The joined bytes, by the occurrence of the first OBX.
    joined: HashMap<u32, Vec<u8>>,
    /// Where it cannot be told whether texts are parts of one.
    warnings: Vec<Warning>,
}

/// Joins documents that were sent in parts over several OBX of one OBX-3, whatever stands between them: what follows the
/// first is no document by itself, and the first has no end. All but the first are gone from the list. Parts that do not
/// make a whole document are refused, whatever their OBX-4: half a document looks like one.
fn join_parts(sent: &mut Vec<ObxDocument<'_>>) -> Result<DocumentParts, Refusal> {
    let mut found = DocumentParts::default();
    let mut kept = Vec::with_capacity(sent.len());
    let mut groups: Vec<Vec<ObxDocument<'_>>> = Vec::new();
    let mut known = HashMap::new();
    for part in sent.iter() {
        if part.status == DocumentStatus::Delete || part.value.number() > 1 {
            kept.push(*part);
            continue;
        }
        let group = *known
            .entry((
                part.obx.field(3).raw(),
                part.obr.map(|obr| obr.occurrence()),
                part.pid.map(|pid| pid.occurrence()),
            ))
            .or_insert(groups.len());
        match groups.get_mut(group) {
            Some(same) => same.push(*part),
            None => groups.push(vec![*part]),
        }
    }
    for same in groups {
        join(&same, &mut kept, &mut found)?;
    }
    kept.sort_by_key(|part| (part.obx.occurrence(), part.value.number()));
    *sent = kept;
    Ok(found)
}

/// What an OBX is of the documents that stand under one OBX-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Begins as a document, and its end is there.
    Whole,
    /// Begins as a document; the end may be in what follows.
    Open,
    /// May be a document by itself, or a part of one.
    Text,
    /// No document by itself.
    Part,
}

/// One OBX under an OBX-3, decoded.
struct Piece<'s, 'm> {
    sent: &'s ObxDocument<'m>,
    encoded: Value<'m>,
    bytes: Option<Vec<u8>>,
    role: Role,
}

impl<'s, 'm> Piece<'s, 'm> {
    fn of(sent: &'s ObxDocument<'m>) -> Self {
        let encoded = encoded(&sent.value);
        let bytes = content::decode_base64(encoded.raw()).ok();
        let kind = bytes.as_deref().and_then(content::content_type);
        let role = match (bytes.as_deref(), kind) {
            (Some(_), Some(ContentType::Text)) => Role::Text,
            (Some(bytes), Some(kind)) if content::is_closed(bytes, kind) => Role::Whole,
            (_, Some(_)) => Role::Open,
            // Cut within a group of four letters.
            (None, _) if content::begins_as_document(encoded.raw()) => Role::Open,
            (_, None) => Role::Part,
        };
        Self {
            sent,
            encoded,
            bytes,
            role,
        }
    }
}

/// Sorts the OBX of one OBX-3 into documents.
fn join<'m>(
    same: &[ObxDocument<'m>],
    kept: &mut Vec<ObxDocument<'m>>,
    found: &mut DocumentParts,
) -> Result<(), Refusal> {
    let is_one = |part: &ObxDocument<'_>| content::begins_as_document(encoded(&part.value).raw());
    let is_twice = |(one, next): (&ObxDocument<'_>, &ObxDocument<'_>)| {
        encoded(&one.value).raw() == encoded(&next.value).raw()
    };
    let has_twice = || same.iter().zip(same.iter().skip(1)).any(is_twice);
    if same.len() < 2 || (same.iter().all(is_one) && !has_twice()) {
        kept.extend(same);
        return Ok(());
    }
    let pieces: Vec<Piece<'_, 'm>> = same.iter().map(Piece::of).collect();
    refuse_repeated(&pieces)?;
    let mut rest = pieces.as_slice();
    let mut before: Option<&Piece<'_, 'm>> = None;
    while let Some((first, after)) = rest.split_first() {
        kept.push(*first.sent);
        let is_part = |piece: &&Piece<'_, '_>| matches!(piece.role, Role::Text | Role::Part);
        let length = match first.role {
            Role::Open => after.iter().take_while(is_part).count(),
            Role::Whole | Role::Text | Role::Part => 0,
        };
        if let (Role::Text, Some(before)) = (first.role, before) {
            found.warnings.extend(distinguish(before, first)?);
        }
        let (run, after) = rest.split_at_checked(length + 1).unwrap_or((rest, &[]));
        if length > 0 {
            let whole = joined(run)?;
            // A text behind the end is in it, and may have been a document of its own.
            if let Some((last, before @ [_, _, ..])) = run.split_last()
                && last.role == Role::Text
                && joined(before).is_ok()
            {
                found.warnings.push(may_be_another(last));
            }
            found.joined.insert(first.sent.obx.occurrence(), whole);
        }
        before = run.last();
        rest = after;
    }
    Ok(())
}

/// Refuses a part that is the same as the one before it: sent twice, it would be joined twice. OBX-4 may tell them apart.
fn refuse_repeated(pieces: &[Piece<'_, '_>]) -> Result<(), Refusal> {
    let is_same = |one: &Piece<'_, '_>, next: &Piece<'_, '_>| {
        let sub_id =
            |piece: &Piece<'_, '_>| word(&piece.sent.obx.field(4)).map(|it| it.into_owned());
        next.role != Role::Whole
            && one.encoded.raw().trim_ascii() == next.encoded.raw().trim_ascii()
            && sub_id(one) == sub_id(next)
    };
    let pairs = pieces.iter().zip(pieces.iter().skip(1));
    match pairs.into_iter().find(|(one, next)| is_same(one, next)) {
        None => Ok(()),
        Some((one, next)) => Err(Refusal::new(
            Reason::BadBase64,
            format!(
                "expected the parts of a document each once, found the same part in {} and {}; send each part once, or number them in OBX-4",
                one.sent.obx.position(),
                next.sent.obx.position()
            ),
        )
        .at(next.sent.obx.field(5).position())),
    }
}

/// The bytes of one document in several parts.
fn joined(parts: &[Piece<'_, '_>]) -> Result<Vec<u8>, Refusal> {
    for part in parts {
        refuse_cut_base64(part.sent, true)?;
    }
    let is_whole = |bytes: &Vec<u8>| {
        let kind = content::content_type(bytes);
        kind.is_some_and(|kind| content::is_closed(bytes, kind))
    };
    // Cut after it was encoded, or before.
    let raw: Vec<&[u8]> = parts.iter().map(|part| part.encoded.raw()).collect();
    let together = content::decode_base64(&raw.concat()).ok().filter(is_whole);
    let apart = || {
        let apart: Option<Vec<&[u8]>> = parts.iter().map(|part| part.bytes.as_deref()).collect();
        Some(apart?.concat()).filter(is_whole)
    };
    match together.or_else(apart) {
        Some(whole) if are_in_order(parts) => Ok(whole),
        _ => {
            let second = parts.get(1);
            let place = second.map(|part| part.sent.obx.field(5).position());
            let refusal = Refusal::new(
                Reason::BadBase64,
                format!(
                    "expected a whole document in each OBX, or one in {} parts in their order (the same OBX-3, OBX-4 from 1 on), found parts that do not make a whole one; send it in one OBX",
                    parts.len()
                ),
            );
            Err(match place {
                Some(place) => refusal.at(place),
                None => refusal,
            })
        }
    }
}

/// Whether OBX-4 says nothing against the order of the parts: it is the same in all, or its last number counts them one by
/// one (`1`, `2`; `0`, `1`; `1.1`, `1.2`).
fn are_in_order(parts: &[Piece<'_, '_>]) -> bool {
    let sub_id = |part: &Piece<'_, '_>| {
        let sub_id = word(&part.sent.obx.field(4));
        sub_id.map(|it| it.into_owned()).unwrap_or_default()
    };
    let sub_ids: Vec<String> = parts.iter().map(sub_id).collect();
    let is_next = |pair: &[String]| match pair {
        [one, next] => {
            let (above, last) = one.rsplit_once('.').unwrap_or(("", one));
            let (next_above, next_last) = next.rsplit_once('.').unwrap_or(("", next));
            let count = |number: &str| number.parse::<u32>().ok();
            let next = count(last).and_then(|last| last.checked_add(1));
            above == next_above && next.is_some() && next == count(next_last)
        }
        _ => false,
    };
    let is_same = |pair: &[String]| matches!(pair, [one, next] if one == next);
    sub_ids.windows(2).all(is_same) || sub_ids.windows(2).all(is_next)
}

/// Tells whether a text is a document besides what stands before it under the same OBX-3: OBX-4 tells several apart (HL7
/// v2.5 chapter 7.4.2.4). Two texts that it does not tell apart may be one that was cut: they are refused.
fn distinguish(before: &Piece<'_, '_>, text: &Piece<'_, '_>) -> Result<Option<Warning>, Refusal> {
    let sub_id = |piece: &Piece<'_, '_>| word(&piece.sent.obx.field(4)).map(|it| it.into_owned());
    let is_same = sub_id(before) == sub_id(text);
    let place = text.sent.obx.field(4).position();
    match (before.role, is_same) {
        (Role::Text, true) => Err(Refusal::new(
            Reason::BadBase64,
            "expected one text in one OBX, or several with an OBX-4 of their own, found several with the same OBX-3 and OBX-4, which may be parts of one; send a text in one OBX, and number several in OBX-4",
        )
        .at(place)),
        (Role::Text, false) | (_, true) => Ok(Some(may_be_another(text))),
        (_, false) => Ok(None),
    }
}

/// The warning that it cannot be told whether a text is a part of the document before it.
fn may_be_another(text: &Piece<'_, '_>) -> Warning {
    Warning::new(
        WarningCode::DocumentParts,
        "expected texts under an OBX-3 of their own, found one behind a document of the same OBX-3, of which it may be a part; it was joined to one that came in parts, else it is kept as a document",
    )
    .at(text.sent.obx.field(4).position())
}

/// Refuses base64 with a component or field separator in it: the rest stands where a document has nothing.
///
/// Of a document whose end is there, a rest in another place is told by what that place may hold, and by what is shifted
/// or missing around it.
fn refuse_cut_base64(sent: &ObxDocument<'_>, is_whole: bool) -> Result<(), Refusal> {
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

/// Where the file stands in a value: in its fifth component, or, bare, in the first.
fn encoded<'m>(value: &Repetition<'m>) -> Value<'m> {
    let (encoded, bare) = (value.component(5), value.component(1));
    match encoded.is_empty() && value.component(4).is_empty() {
        true => bare.into(),
        false => encoded.into(),
    }
}

/// The patient of a PID, as it was found.
#[derive(Debug, Clone)]
struct PidPatient {
    patient: Patient,
    /// Something of the identity differs: nothing may join a case unseen.
    differs: bool,
}

/// Where a document wants to go.
enum Destination {
    /// Into this case of the patient; whether the message claims it, or an order's number only hints at it.
    Case { case: Box<Case>, claimed: bool },
    /// Onto a note, until this case comes; claimed at this place, else an order's number only hints at it.
    Awaits {
        case: CaseId,
        claimed: Option<Location>,
    },
    /// Onto a note.
    Nowhere,
}

/// The ids of a sent document, each with the number of its place where the message repeats it (`#2`).
#[derive(Debug, Default)]
struct DocumentIds {
    /// By which it is identified.
    unique: Option<String>,
    /// All that it came with and will answer to.
    own: Vec<String>,
    /// By which the document to replace or delete is looked for, in turn.
    meant: Vec<String>,
}

/// A document as it stood in its OBX.
struct ObxContent {
    bytes: Vec<u8>,
    content_type: ContentType,
    /// Whether its end is there.
    is_whole: bool,
    /// The value that it stood in.
    place: Position,
}

/// A decoded file.
struct DocumentFile {
    bytes: Vec<u8>,
    content_type: ContentType,
    file_name: String,
}

/// A patient of whom only this is known.
pub(super) fn known_by(facility: &Facility, ipp: Ipp, traits: &Traits) -> Patient {
    Patient {
        facility: facility.id.clone(),
        ipp,
        authority: None,
        ins: None,
        social_security_number: None,
        birth_name: traits.birth_name.clone().unwrap_or_default(),
        usual_name: String::new(),
        given_name: String::new(),
        birth_given_name: traits.birth_given_name.clone(),
        sex: traits.sex.unwrap_or(Sex::F),
        birth_date: traits.birth_date.unwrap_or(PartialDate::Year(1)),
        phone: None,
        email: None,
        address: None,
        network: None,
        identity_status: None,
        identity_attributes: Vec::new(),
        physician: None,
        demographics_time: None,
        ins_time: None,
    }
}

/// The decision in the making: what earlier documents of the message changed counts for the later ones.
struct DocumentFlow<'f, 'm> {
    message: &'f Message<'m>,
    /// All its documents.
    sent: &'f [ObxDocument<'m>],
    /// The documents that came in several parts, by the occurrence of their first OBX.
    joined: HashMap<u32, Vec<u8>>,
    view: &'f dyn View,
    /// The view with what was decided so far, where a document that schedules asks for it.
    branch: Option<Box<dyn Branch + 'f>>,
    /// So many of the decision's changes the branch has.
    in_branch: usize,
    /// The cases that documents of the message scheduled.
    cases: BTreeMap<CaseId, Case>,
    context: &'f Context<'f>,
    facility: &'f Facility,
    /// TXA, of an MDM.
    transport: Option<Segment<'m>>,
    time: Option<DateTime<Utc>>,
    by: String,
    decision: Decision<'m>,
    patients: HashMap<u32, PidPatient>,
    documents: BTreeMap<DocumentId, Document>,
    times_sent: HashMap<(Ipp, String), usize>,
    /// The documents that answer to a unique id since an earlier document of the message.
    answering: HashMap<String, Vec<DocumentId>>,
    message_hash: OnceCell<ContentHash>,
    /// First segments that were looked for: a message is as long as all its documents.
    firsts: RefCell<HashMap<String, Option<Segment<'m>>>>,
    trail: &'f mut Trail,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// Takes in one document; the changed cases are put at the end.
    fn take(&mut self, sent: &ObxDocument<'m>, number: usize) -> Result<Verdict, Stop> {
        let found = self.patient_of(sent)?;
        let ipp = found.patient.ipp.clone();
        self.trail
            .about(format_args!("document {}", number.saturating_add(1)));
        self.record_status(sent);
        if sent.status == DocumentStatus::Delete {
            let ids = self.ids(sent, &ipp, None);
            return self.delete(sent, &ipp, &ids);
        }
        let destination = self.destination(sent, &found)?;
        let file = self.file(sent)?;
        let cda =
            (file.content_type == ContentType::Cda).then(|| CdaIdentifiers::read(&file.bytes));
        if let Some(cda) = &cda {
            self.check_time_of(cda, sent)?;
        }
        let ids = self.ids(sent, &ipp, cda.as_ref());
        let known = match sent.status {
            DocumentStatus::Replace => self.first_known(&ids.meant, &ipp)?,
            _ => match &ids.unique {
                Some(unique) => self.known(unique, &ipp)?,
                None => None,
            },
        };
        if known.is_none() && sent.status == DocumentStatus::Replace {
            self.warn_unknown(sent, "replaced; it is kept as a new one");
        }
        // What may be another person's schedules nothing.
        if !found.differs && cda.as_ref().is_some_and(|cda| self.schedules(cda)) {
            return self.schedule(sent, &found.patient, file, &ids, known);
        }
        // A document in a case is not overwritten by one that may be another person's.
        let in_a_case = |known: &Document| matches!(known.attached, AttachmentPlace::Case(_));
        match known {
            Some(known) if !(found.differs && in_a_case(&known)) => {
                self.add_version(known, file, ids, destination, found.differs)?;
                Ok(Verdict::Updated)
            }
            None if ids.unique.is_some() => {
                self.add_new(&ipp, file, ids, destination, found.differs, number)?;
                Ok(Verdict::Accepted)
            }
            _ => {
                let nameless = DocumentIds {
                    unique: None,
                    own: if found.differs { Vec::new() } else { ids.own },
                    meant: Vec::new(),
                };
                self.add_new(&ipp, file, nameless, destination, found.differs, number)?;
                Ok(Verdict::Accepted)
            }
        }
    }

    /// The patient of the document's PID (interface.md 6, "Patient").
    fn patient_of(&mut self, sent: &ObxDocument<'m>) -> Result<PidPatient, Stop> {
        let Some(pid) = sent.pid else {
            return Err(Refusal::new(
                Reason::MissingSegment,
                "expected a PID above the OBX, which says whose document it is, found none",
            )
            .at(sent.obx.position())
            .into());
        };
        if let Some(found) = self.patients.get(&pid.occurrence()) {
            return Ok(found.clone());
        }
        let traits = identity::traits(&pid, self.trail);
        let patient = match self.find_patient(&pid, &traits) {
            Err(Stop::Refused(refusal)) => match self.newcomer(sent, &refusal)? {
                Some(patient) => patient,
                None => {
                    let facility = self.facility;
                    let nobody = || known_by(facility, ipp::no_ipp(pid.field(3)).ipp, &traits);
                    self.trail.go_on(Err(refusal), nobody)?
                }
            },
            found => found?,
        };
        let differs = compare::check_identity(
            &patient,
            &traits,
            pid.field(5).position(),
            &mut self.decision.warnings,
        )?;
        self.warn_of_network(&patient)?;
        let found = PidPatient { patient, differs };
        self.patients.insert(pid.occurrence(), found.clone());
        Ok(found)
    }

    fn find_patient(&mut self, pid: &Segment<'m>, traits: &Traits) -> Result<Patient, Stop> {
        let ins = ins::ins(pid, &mut self.decision.warnings, self.trail).given();
        let by_ins = match &ins {
            Some(ins) => ins::patients_with_ins(ins, self.view, self.facility)?,
            None => Vec::new(),
        };
        let read = match ipp::read_ipp(pid.field(3), "ipp", self.facility, self.trail) {
            Ok(read) => Some(read),
            Err(refusal) if refusal.reason != Reason::MissingIpp => return Err(refusal.into()),
            Err(refusal) if pid.field(3).is_empty() => return Err(refusal.into()),
            Err(_) => None,
        };
        if let Some(read) = &read {
            let survivor = self.view.survivor(&self.facility.id, &read.ipp)?;
            let known = self.view.patient(&self.facility.id, &survivor)?;
            let counts = |known: &Patient| {
                let name = traits.birth_name.as_deref();
                let same_name =
                    name.is_some_and(|name| crate::model::name::same(name, &known.birth_name));
                let date = traits.birth_date;
                same_name && date.is_some_and(|date| date.agrees_with(&known.birth_date))
            };
            if let Some(known) = known.filter(|known| !read.untyped || counts(known)) {
                ins::check_ins_is_of(&known, &by_ins, pid.field(3).position())?;
                read.warn(&mut self.decision.warnings);
                return Ok(known);
            }
        }
        let has_own_ipp = read.as_ref().is_some_and(|read| !read.untyped);
        let is_verified = reliability::is_verified(pid);
        if let ([only], false, true) = (by_ins.as_slice(), has_own_ipp, is_verified)
            && let Some(known) = self.view.patient(&self.facility.id, only)?
            && compare::compare(&known, traits) == compare::Agreement::Same
            && names::known_given_names(&known).agree_with(&names::given_names(pid))
        {
            return Ok(known);
        }
        Err(Refusal::new(
            Reason::UnknownPatient,
            match (&read, &ins) {
                (Some(read), _) if read.untyped => {
                    "expected a known patient: an id without type counts only with the birth name and date of birth that are known for it"
                }
                (Some(_), _) => "expected the IPP of a known patient, found one that is not known",
                (None, Some(_)) => {
                    "expected a known patient: an INS counts only where it is verified (PID-32 VALI), one patient has it, and nothing contradicts"
                }
                (None, None) => "expected an IPP or INS of a known patient, found neither",
            },
        )
        .at(read.map_or_else(|| SourceLocation::Position(pid.field(3).position()), |read| read.place))
        .into())
    }

    fn warn_of_network(&mut self, patient: &Patient) -> Result<(), ViewError> {
        let Some(value) = self.message.get(&self.facility.fields.document_network) else {
            return Ok(());
        };
        let rule = "fields.document_network";
        let said = self
            .trail
            .record_field("network", &value.identifier(), rule)
            .given();
        let Some(network) = said.map(NetworkId::new) else {
            return Ok(());
        };
        if patient.network.as_ref() != Some(&network)
            && self.view.network_is_known(&self.facility.id, &network)?
        {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::NetworkMismatch,
                    "expected the network of the patient, found that of others",
                )
                .at(value.position()),
            );
        }
        Ok(())
    }

    /// The case that the message claims, else one that an order's number hints at (interface.md 6, "Case").
    fn destination(
        &mut self,
        sent: &ObxDocument<'m>,
        found: &PidPatient,
    ) -> Result<Destination, Stop> {
        let ipp = &found.patient.ipp;
        let claimed = self.first_value(&self.facility.documents.case_id, sent);
        if let Some((id, value)) = claimed {
            let rule = "documents.case_id: the case is claimed";
            self.trail.record("case", &id, value.position(), rule);
            return match self.case(&id)? {
                Some(case) if case.ipp.as_ref() == Some(ipp) => Ok(Destination::Case {
                    case: Box::new(case),
                    claimed: true,
                }),
                Some(case) if case.ipp.is_some() => Err(Refusal::new(
                    Reason::CasePatientMismatch,
                    format!("expected a case of the patient {ipp}, but {id} is another's"),
                )
                .at(value.position())
                .with_value(id.as_str())
                .into()),
                _ => Ok(Destination::Awaits {
                    case: id,
                    claimed: Some(value.position().into()),
                }),
            };
        }
        let mut hinted = None;
        for path in &self.facility.documents.case_hint {
            let Some((id, value)) = self.value(path, sent) else {
                continue;
            };
            let rule = "documents.case_hint: the case, if it is known by this id";
            self.trail.record("case_hint", &id, value.position(), rule);
            match self.case(&id)? {
                Some(case) if case.ipp.as_ref() == Some(ipp) => {
                    return Ok(Destination::Case {
                        case: Box::new(case),
                        claimed: false,
                    });
                }
                _ => hinted = hinted.or(Some(id)),
            }
        }
        Ok(
            hinted.map_or(Destination::Nowhere, |case| Destination::Awaits {
                case,
                claimed: None,
            }),
        )
    }

    fn first_value(
        &self,
        paths: &[Position],
        sent: &ObxDocument<'m>,
    ) -> Option<(CaseId, Value<'m>)> {
        paths.iter().find_map(|path| self.value(path, sent))
    }

    /// The case id at a configured position: of the segments that an OBX belongs to, those that are nearest to it.
    fn value(&self, path: &Position, sent: &ObxDocument<'m>) -> Option<(CaseId, Value<'m>)> {
        let segment = match path.segment() {
            "PID" => sent.pid,
            "ORC" => sent.orc,
            "OBR" => sent.obr,
            "OBX" => Some(sent.obx),
            other => self.first(other),
        }?;
        let repetition = segment
            .field(path.field())
            .repetition(path.repetition().max(1));
        let value: Value<'m> = match (path.component(), path.subcomponent()) {
            (0, _) => repetition.into(),
            (component, 0) => repetition.component(component).into(),
            (component, part) => repetition.component(component).subcomponent(part).into(),
        };
        Some((CaseId::new(text(&value.identifier())?), value))
    }

    fn first(&self, name: &str) -> Option<Segment<'m>> {
        let mut firsts = self.firsts.borrow_mut();
        match firsts.get(name) {
            Some(known) => *known,
            None => {
                let first = self.message.first(name);
                firsts.insert(name.to_owned(), first);
                first
            }
        }
    }

    fn case(&self, id: &CaseId) -> Result<Option<Case>, ViewError> {
        match self.cases.get(id) {
            Some(case) => Ok(Some(case.clone())),
            None => self.view.case(&self.facility.id, id),
        }
    }

    /// Decodes the file of an OBX and tells what it is (interface.md 6, "Content").
    fn file(&mut self, sent: &ObxDocument<'m>) -> Result<DocumentFile, Refusal> {
        let content = self.content(sent);
        if let Ok(decoded) = &content {
            self.warn_of_file(sent, decoded);
            let place = decoded.place;
            self.trail.record(
                "type",
                decoded.content_type.word(),
                place,
                "told from its first bytes",
            );
            self.trail
                .record("size", decoded.bytes.len(), place, "bytes, decoded");
        }
        let content = content.map(|decoded| (decoded.bytes, decoded.content_type));
        let (bytes, content_type) = self
            .trail
            .go_on(content, || (Vec::new(), ContentType::Text))?;
        let name = self.file_name(sent);
        let (name, place, rule) = self
            .trail
            .go_on(name, || (String::new(), sent.obx.position(), ""))?;
        let file_name = content::display_name(&name, content_type);
        if !name.is_empty() {
            self.trail.record("file_name", &file_name, place, rule);
        }
        Ok(DocumentFile {
            bytes,
            content_type,
            file_name,
        })
    }

    /// Warns where the OBX does not say that it is a file, and where the end of the file is missing.
    fn warn_of_file(&mut self, sent: &ObxDocument<'m>, decoded: &ObxContent) {
        let kind = sent.obx.field(2);
        if kind.simple().raw() != b"ED" {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::ObxType,
                    "expected ED as the type of an OBX with a document, found another; it was taken as a document",
                )
                .at(kind.position()),
            );
        }
        if !decoded.is_whole {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::DocumentDamaged,
                    format!(
                        "expected a whole {}, found one that is damaged or whose end is missing; it is kept as it came",
                        decoded.content_type.word()
                    ),
                )
                .at(decoded.place),
            );
        }
    }

    /// The document itself, and what it is.
    fn content(&self, sent: &ObxDocument<'m>) -> Result<ObxContent, Refusal> {
        let value = sent.value;
        let (encoding, encoded) = (value.component(4), value.component(5));
        let bare = value.component(1);
        let said = text(&encoding.simple());
        let has_file = |value: &Value<'_>| !value.is_empty() && !value.is_delete();
        let encoded = match &said {
            _ if has_file(&encoded) => encoded,
            None if has_file(&bare) => bare,
            _ if value.number() > 1 => {
                return Err(Refusal::new(
                    Reason::BadBase64,
                    "expected a document in each repetition, found a repetition separator and no document behind it",
                )
                .at(value.position()));
            }
            _ => {
                return Err(Refusal::new(
                    Reason::MissingField,
                    "expected the document in base64, found nothing",
                )
                .at(encoded.position()));
            }
        };
        if let Some(said) = said
            .as_ref()
            .filter(|said| !said.eq_ignore_ascii_case("Base64"))
        {
            return Err(Refusal::new(
                Reason::BadBase64,
                "expected a document in Base64, found another encoding named",
            )
            .at(encoding.position())
            .with_value(said));
        }
        let joined = self.joined.get(&sent.obx.occurrence());
        let bytes = match joined.filter(|_| value.number() == 1) {
            Some(joined) => joined.clone(),
            None => content::decode_base64(encoded.raw()).map_err(|error| {
                Refusal::new(Reason::BadBase64, error.to_string()).at(encoded.position())
            })?,
        };
        let accepted = &self.facility.documents.types;
        let content_type = content::content_type(&bytes);
        let is_whole = content_type.is_some_and(|kind| content::ends_whole(&bytes, kind));
        refuse_cut_base64(sent, is_whole)?;
        // What follows a separator within the base64 of one document begins as none.
        let begins = content_type.is_some_and(|kind| kind != ContentType::Text);
        if value.number() > 1 && said.is_none() && !begins {
            return Err(Refusal::new(
                Reason::BadBase64,
                "expected a document of its own in each repetition, found a repetition separator within base64",
            )
            .at(encoded.position()));
        }
        let content_type = content_type
            .filter(|found| accepted.contains(found))
            .ok_or_else(|| {
                let words: Vec<&str> = accepted.iter().map(|accepted| accepted.word()).collect();
                Refusal::new(
                    Reason::DocumentType,
                    format!(
                        "expected a document of one of the kinds {}, found {}",
                        words.join(", "),
                        content_type.map_or("content of an unknown kind", ContentType::word)
                    ),
                )
                .at(encoded.position())
            })?;
        Ok(ObxContent {
            bytes,
            content_type,
            is_whole,
            place: encoded.position(),
        })
    }

    /// The name of the document as it is sent, where it stands, and why it is that one.
    fn file_name(
        &self,
        sent: &ObxDocument<'m>,
    ) -> Result<(String, Position, &'static str), Refusal> {
        let observation = sent.obx.field(3);
        let transport = self.first("TXA").map(|txa| txa.field(16));
        let (second, first) = (observation.component(2), observation.component(1));
        let places: [(Option<Value<'m>>, &'static str); 3] = [
            (transport.map(Into::into), "TXA-16"),
            (Some(second.into()), "no TXA-16: OBX-3.2"),
            (Some(first.into()), "no TXA-16, no OBX-3.2: OBX-3.1"),
        ];
        places
            .into_iter()
            .find_map(|(value, rule)| {
                let value = value?;
                Some((text(&value)?, value.position(), rule))
            })
            .ok_or_else(|| {
                Refusal::new(
                    Reason::MissingField,
                    "expected the name of the document in TXA-16 or OBX-3, found nothing",
                )
                .at(first.position())
            })
    }

    /// Tells the trail what is to become of a document.
    fn record_status(&mut self, sent: &ObxDocument<'m>) {
        let value = sent.obx.field(11).simple();
        let word = match sent.status {
            DocumentStatus::Final => "final: new, or the next version",
            DocumentStatus::Replace => "replaces",
            DocumentStatus::Delete => "deletes",
        };
        let rule = match text(&value) {
            Some(code) => format!("OBX-11 = {code}"),
            None => format!("OBX-11 is empty, by {}", self.by),
        };
        self.trail.record("status", word, value.position(), rule);
    }

    /// The ids of a document, in the order in which they count (interface.md 6, "Identity of a document").
    fn ids(
        &mut self,
        sent: &ObxDocument<'m>,
        ipp: &Ipp,
        cda: Option<&CdaIdentifiers>,
    ) -> DocumentIds {
        let of_transport = |number| self.transport.and_then(|txa| identifier(txa.field(number)));
        let (transport, parent) = (of_transport(12), of_transport(13));
        let order = sent.obr.and_then(|obr| identifier(obr.field(3)));
        let observation = text(&sent.obx.field(3).component(1)).unwrap_or_default();
        let part = text(&sent.obx.field(4)).unwrap_or_default();
        // The line ends tell these from each other and from every id that a sender can write.
        let whole_order = order
            .as_ref()
            .map(|order| format!("{order}\n{observation}\n{part}"));
        let order = order.map(|order| format!("{order}\n{observation}"));
        let (set_id, id) = cda.map_or((None, None), |cda| (cda.set_id.clone(), cda.id.clone()));
        let parents = cda.map(|cda| cda.parents.clone()).unwrap_or_default();

        let mut numbered: HashMap<String, String> = HashMap::new();
        let mut number = |id: String| {
            if let Some(known) = numbered.get(&id) {
                return known.clone();
            }
            let times = self
                .times_sent
                .entry((ipp.clone(), id.clone()))
                .or_insert(0);
            *times = times.saturating_add(1);
            let with_number = match *times {
                1 => id.clone(),
                times => format!("{id}#{times}"),
            };
            numbered.insert(id, with_number.clone());
            with_number
        };
        let places: [(&Option<String>, Location, &str); 4] = [
            (
                &transport,
                Position::of_segment("TXA").with_field(12).into(),
                "",
            ),
            (
                &set_id,
                "setId".into(),
                "setId of the CDA that the document is",
            ),
            (&id, "id".into(), "id of the CDA that the document is"),
            (
                &whole_order,
                sent.obr
                    .map_or_else(Location::default, |obr| obr.field(3).position().into()),
                "whole OBR-3 + OBX-3.1 + OBX-4",
            ),
        ];
        for (id, place, rule) in places {
            if let Some(id) = id {
                let id = id.trim_end_matches('\n').replace('\n', " + ");
                self.trail.record("unique_id", id, place, rule);
                break;
            }
        }
        let own: Vec<String> = [&transport, &set_id, &id, &whole_order, &order]
            .into_iter()
            .flatten()
            .map(|id| number(id.clone()))
            .collect();
        let meant = [transport, parent, set_id, id]
            .into_iter()
            .flatten()
            .chain(parents)
            .chain([whole_order, order].into_iter().flatten())
            .map(number)
            .collect();
        DocumentIds {
            unique: own.first().cloned(),
            own,
            meant,
        }
    }

    /// The patient's document that answers to this id.
    fn known(&self, id: &str, ipp: &Ipp) -> Result<Option<Document>, ViewError> {
        let since = self.answering.get(id).into_iter().flatten();
        let since = since.filter_map(|id| self.documents.get(id)).cloned();
        let mut answering: Vec<Document> = self
            .view
            .documents_by_unique_id(&self.facility.id, id)?
            .into_iter()
            .map(|known| self.documents.get(&known.id).cloned().unwrap_or(known))
            .chain(since)
            .filter(|document| document.ipp == *ipp && document.kind == DocumentKind::Document)
            .collect();
        // A merge can bring two of them together: the one that is still there is meant.
        answering.sort_by(|one, other| (!one.deleted, &one.id).cmp(&(!other.deleted, &other.id)));
        Ok(answering.pop())
    }

    fn first_known(&self, ids: &[String], ipp: &Ipp) -> Result<Option<Document>, ViewError> {
        for id in ids {
            if let Some(known) = self.known(id, ipp)? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    fn delete(
        &mut self,
        sent: &ObxDocument<'m>,
        ipp: &Ipp,
        ids: &DocumentIds,
    ) -> Result<Verdict, Stop> {
        let Some(mut document) = self.first_known(&ids.meant, ipp)? else {
            self.warn_unknown(sent, "deleted");
            return Ok(Verdict::Ignored);
        };
        let is_before = |known: Option<DateTime<Utc>>| {
            self.time
                .zip(known)
                .is_some_and(|(time, known)| time < known)
        };
        if is_before(document.current().and_then(|current| current.time)) {
            return Ok(Verdict::Stale);
        }
        // Of two deletions the later one counts: a version between them does not bring the document back.
        if document.deleted
            && (document.deletion_time == self.time || is_before(document.deletion_time))
        {
            return Ok(Verdict::Duplicate);
        }
        document.deleted = true;
        document.deletion_time = self.time;
        self.add_history(&document, format!("document {} deleted", document.id));
        self.put(document);
        Ok(Verdict::Updated)
    }

    fn warn_unknown(&mut self, sent: &ObxDocument<'m>, what: &str) {
        self.decision.warnings.push(
            Warning::new(
                WarningCode::UnknownDocument,
                format!("expected a known document of the patient to be {what}, found none with these ids"),
            )
            .at(sent.obx.position()),
        );
    }

    /// Adds a file to a known document, and moves the document if this version names another place for it.
    fn add_version(
        &mut self,
        mut document: Document,
        file: DocumentFile,
        ids: DocumentIds,
        destination: Destination,
        differs: bool,
    ) -> Result<(), Stop> {
        self.keep(&mut document, file);
        self.have_answer(&document, ids.own);
        self.add_history(
            &document,
            format!("document {} has one more version", document.id),
        );
        match (destination, document.attached.clone()) {
            (destination, _) if differs => self.wait_in_doubt(document, &destination)?,
            (
                Destination::Case {
                    case,
                    claimed: true,
                },
                _,
            )
            | (Destination::Case { case, .. }, AttachmentPlace::Note(_)) => {
                self.join(document, *case)?
            }
            (
                Destination::Awaits {
                    case,
                    claimed: Some(place),
                },
                AttachmentPlace::Note(_),
            ) => {
                self.wait_for(document, case, place)?;
            }
            (
                Destination::Awaits {
                    case,
                    claimed: Some(place),
                },
                AttachmentPlace::Case(own),
            ) => {
                let stays = format!("the document stays in the case {own}");
                self.warn_unknown_case(&case, place, &stays);
                self.put(document);
            }
            (Destination::Awaits { case, .. }, AttachmentPlace::Note(_))
                if document.awaits.is_none() =>
            {
                document.awaits = Some(case);
                self.put(document);
            }
            _ => self.put(document),
        }
        Ok(())
    }

    fn add_new(
        &mut self,
        ipp: &Ipp,
        file: DocumentFile,
        ids: DocumentIds,
        destination: Destination,
        differs: bool,
        number: usize,
    ) -> Result<(), Stop> {
        let key = match &ids.unique {
            Some(unique) => format!("{ipp}\n{unique}"),
            None => format!("{}\n{number}", self.message_hash()),
        };
        if let Some(unique) = &ids.unique {
            let answering = self
                .view
                .documents_by_unique_id(&self.facility.id, unique)?;
            if answering.iter().any(|document| document.ipp != *ipp) {
                self.decision.warnings.push(Warning::new(
                    WarningCode::DocumentIdReused,
                    "expected a unique id of the document's own, found one that another patient's document has",
                ));
            }
        }
        // The document that was made of this key may be another patient's by now: it went there with its case.
        let sent_in = || format!("{}\n{number}", self.message_hash());
        let id = made::own_id("document", &self.facility.id, &key, sent_in, |id| {
            let id = DocumentId::new(id);
            Ok(!self.documents.contains_key(&id)
                && self.view.document(&self.facility.id, &id)?.is_none())
        })?;
        let id = DocumentId::new(id);
        let note = self.note_of(&id, ipp)?;
        let mut document = Document::new(
            self.facility.id.clone(),
            ipp.clone(),
            id,
            AttachmentPlace::Note(note),
            DocumentKind::Document,
        );
        self.have_answer(&document, ids.own);
        self.keep(&mut document, file);
        match destination {
            destination if differs => self.wait_in_doubt(document, &destination)?,
            Destination::Case { case, .. } => self.join(document, *case)?,
            Destination::Awaits {
                case,
                claimed: Some(place),
            } => self.wait_for(document, case, place)?,
            Destination::Awaits { case, .. } => {
                self.wait(document, NoteReason::NoCase, None, Some(case))?;
            }
            Destination::Nowhere => self.wait(document, NoteReason::NoCase, None, None)?,
        }
        Ok(())
    }

    /// Adds a version at its place in time (MSH-7): what is older than the current one becomes an older version.
    fn keep(&mut self, document: &mut Document, file: DocumentFile) {
        let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        let content = Content::new(file.bytes);
        let known = document.current().and_then(|current| current.time);
        let standing = match (known, self.time) {
            (Some(known), Some(time)) if known > time => VersionStanding::Former,
            _ => VersionStanding::Latest,
        };
        let is_before_its_deletion = document
            .deletion_time
            .zip(self.time)
            .is_some_and(|(deletion, time)| time < deletion);
        if standing == VersionStanding::Latest && !is_before_its_deletion {
            document.deleted = false;
            document.deletion_time = None;
        }
        let former = document.add(standing, |version| DocumentVersion {
            version,
            file_name: file.file_name,
            content_type: file.content_type,
            size,
            sha256: content.hash.clone(),
            time: self.time,
        });
        self.decision
            .put(former.into_iter().map(Record::FormerVersion));
        self.decision.contents.push(content);
    }

    /// Has a document answer to these unique ids.
    fn have_answer(&mut self, document: &Document, unique_ids: Vec<String>) {
        for unique_id in unique_ids {
            let answering = self.answering.entry(unique_id.clone()).or_default();
            if !answering.contains(&document.id) {
                answering.push(document.id.clone());
            }
            self.decision.put([Record::UniqueId(UniqueId {
                facility: document.facility.clone(),
                unique_id,
                document: document.id.clone(),
            })]);
        }
    }

    /// Puts a document into a case.
    fn join(&mut self, mut document: Document, case: Case) -> Result<(), Stop> {
        if let AttachmentPlace::Case(old) = &document.attached
            && *old == case.id
        {
            self.put(document);
            return Ok(());
        }
        let before = document.clone();
        document.attached = AttachmentPlace::Case(case.id.clone());
        document.awaits = None;
        self.documents.insert(document.id.clone(), document);
        scheduling::join(self.view, &mut self.decision, &case, vec![before])?;
        Ok(())
    }

    /// Leaves a document on a note until the case comes that it claims.
    fn wait_for(&mut self, document: Document, case: CaseId, place: Location) -> Result<(), Stop> {
        self.warn_unknown_case(&case, place, "the document waits for it on a note");
        let awaits = Some(case.clone());
        self.wait(document, NoteReason::UnknownCase, Some(case), awaits)
    }

    /// Leaves a document whose identity differs on a note, from which only the desk can put it into a case.
    fn wait_in_doubt(&mut self, document: Document, wanted: &Destination) -> Result<(), Stop> {
        if let Destination::Awaits {
            case,
            claimed: Some(place),
        } = wanted
        {
            let waits = "the document waits on a note, for the desk to look at";
            self.warn_unknown_case(case, place.clone(), waits);
        }
        self.wait(document, NoteReason::IdentityMismatch, None, None)
    }

    fn warn_unknown_case(&mut self, case: &CaseId, place: Location, what_happens: &str) {
        self.decision.warnings.push(
            Warning::new(
                WarningCode::UnknownCase,
                format!("the case {case} is not known yet: {what_happens}"),
            )
            .at(place),
        );
    }

    /// Leaves a document on a note of its patient.
    fn wait(
        &mut self,
        mut document: Document,
        reason: NoteReason,
        case: Option<CaseId>,
        awaits: Option<CaseId>,
    ) -> Result<(), Stop> {
        let id = match &document.attached {
            AttachmentPlace::Note(note) => note.clone(),
            AttachmentPlace::Case(_) => self.note_of(&document.id, &document.ipp)?,
        };
        let known = self.view.note(&id)?;
        let mut note = known.unwrap_or_else(|| Note {
            id: id.clone(),
            facility: document.facility.clone(),
            ipp: document.ipp.clone(),
            case: None,
            reason,
            documents: Vec::new(),
        });
        note.reason = reason;
        note.case = case.or(note.case);
        if !note.documents.contains(&document.id) {
            note.documents.push(document.id.clone());
        }
        document.attached = AttachmentPlace::Note(id.clone());
        document.awaits = awaits;
        self.decision.history.push((
            Subject::Note(self.facility.id.clone(), id),
            format!(
                "document {} waits here ({}), by {}",
                document.id,
                reason.word(),
                self.by
            ),
        ));
        self.decision.changes.push(Record::Note(note).into());
        self.put(document);
        Ok(())
    }

    /// The note on which a document of this patient waits: its own, known or new.
    fn note_of(&self, document: &DocumentId, ipp: &Ipp) -> Result<NoteId, ViewError> {
        let (facility, key) = (&self.facility.id, document.as_str());
        let sent_in = || self.message_hash().to_string();
        let id = made::own_id("document-note", facility, key, sent_in, |id| {
            let known = self.view.note(&NoteId::new(id))?;
            Ok(known.is_none_or(|known| known.ipp == *ipp))
        })?;
        Ok(NoteId::new(id))
    }

    fn put(&mut self, document: Document) {
        self.documents.insert(document.id.clone(), document.clone());
        self.decision
            .changes
            .push(Record::Document(document).into());
    }

    /// Adds a line to the history of the case or note that a document is attached to.
    fn add_history(&mut self, document: &Document, what: String) {
        let facility = self.facility.id.clone();
        let subject = match &document.attached {
            AttachmentPlace::Case(case) => Subject::Case(facility, case.clone()),
            AttachmentPlace::Note(note) => Subject::Note(facility, note.clone()),
        };
        self.decision
            .history
            .push((subject, format!("{what}, by {}", self.by)));
    }

    /// The hash of the message as it is compared (interface.md 9); only documents without an id of their own need it.
    fn message_hash(&self) -> &ContentHash {
        self.message_hash
            .get_or_init(|| checks::hash_of(self.message))
    }
}

/// A whole entity identifier (EI), without the empty components at its end; nothing where it says nothing.
fn identifier(field: Field<'_>) -> Option<String> {
    let whole = text(&field.as_repetition())?;
    let whole = whole.trim_end_matches('^').trim();
    (!whole.is_empty()).then(|| whole.to_owned())
}

mod carried;

#[cfg(test)]
mod tests;
