//! Documents that were sent in parts over several OBX, joined (interface.md 6).

use std::collections::HashMap;

use super::cut_base64::refuse_cut_base64;
use super::sent::{DocumentStatus, ObxDocument, encoded};
use crate::hl7::Value;
use crate::intake::content;
use crate::intake::field_update::word;
use crate::model::document::ContentType;
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};

/// What was found of documents that stand in several OBX.
#[derive(Default)]
pub(super) struct DocumentParts {
    /// The joined bytes, by the occurrence of the first OBX.
    pub(super) joined: HashMap<u32, Vec<u8>>,
    /// Where it cannot be told whether texts are parts of one.
    pub(super) warnings: Vec<Warning>,
}

/// Joins documents that were sent in parts over several OBX of one OBX-3, whatever stands between them: what follows the
/// first is no document by itself, and the first has no end. All but the first are gone from the list. Parts that do not
/// make a whole document are refused, whatever their OBX-4: half a document looks like one.
pub(super) fn join_parts(sent: &mut Vec<ObxDocument<'_>>) -> Result<DocumentParts, Refusal> {
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
        Some(whole) if are_in_order(parts) && are_all_there(parts) => Ok(whole),
        _ => {
            let second = parts.get(1);
            let place = second.map(|part| part.sent.obx.field(5).position());
            let refusal = Refusal::new(
                Reason::BadBase64,
                format!(
                    "expected a whole document in each OBX, or one in {} parts in their order (the same OBX-3, OBX-1 one by one, OBX-4 from 1 on), found parts that do not make a whole one; send it in one OBX",
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

/// Whether OBX-1 says nothing against the parts: it counts them one by one, or with the OBX between them; where it is the
/// same in both, or no number, it counts something else.
fn are_all_there(parts: &[Piece<'_, '_>]) -> bool {
    let number = |part: &Piece<'_, '_>| word(&part.sent.obx.field(1))?.parse::<u32>().ok();
    parts.windows(2).all(|pair| match pair {
        [one, next] => match (number(one), number(next)) {
            (Some(before), Some(after)) => {
                let occurrence = |part: &Piece<'_, '_>| part.sent.obx.occurrence();
                let between = occurrence(next).saturating_sub(occurrence(one));
                before == after
                    || after
                        .checked_sub(before)
                        .is_some_and(|it| it == 1 || it == between)
            }
            _ => true,
        },
        _ => true,
    })
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
