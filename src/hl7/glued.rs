//! Headers in the middle of a line: glued to the message before, or a part of a text; and XML behind messages.

use std::sync::LazyLock;

use memchr::{memchr_iter, memmem};

use super::ReadError;
use super::delimiters::{Delimiters, is_delimiter};
use super::envelope::{EnvelopeSegment, MAX_MESSAGES};
use super::lines::{first_line, line_at};
use super::search::places_behind;
use super::unseen::{before_unseen, is_base64, is_line_end, skip_unseen};

/// Looks once at what stands behind other text on its line: gives where headers were glued to it, and refuses XML that
/// follows HL7, and what may be a header, or may not.
///
/// A glued header is told by the delimiters behind its name, which are those of the first header of the file. Where
/// they are others, or fewer than four, it may be a text. XML in the value of an OBX is the sender's text.
pub(super) fn glued_headers(bytes: &[u8], first: &Delimiters) -> Result<Vec<usize>, ReadError> {
    refuse_own_header(bytes, first.field)?;
    refuse_delimiters(bytes, first)?;
    refuse_xml(bytes, first.field)?;
    let mut glued = Vec::new();
    for at in places_behind(first.field, bytes, may_end_header) {
        let Some((kind, start)) = header_before(bytes, at) else {
            continue;
        };
        let header = seen::<12>(bytes.get(start..).unwrap_or_default());
        let after = bytes.get(at.saturating_sub(3)..).unwrap_or_default();
        match MidLineName::of(kind, &header, first) {
            MidLineName::Not
                if kind == EnvelopeSegment::Message && names_message(after, first.field) =>
            {
                if !begins_line(bytes, start) {
                    return Err(ReadError::UnclearHeader(line_at(bytes, start)));
                }
            }
            MidLineName::Not => continue,
            _ if begins_line(bytes, start) => continue,
            MidLineName::Header => glued.push(start),
            MidLineName::Unclear => {
                return Err(ReadError::UnclearHeader(line_at(bytes, start)));
            }
        }
        if glued.len() > MAX_MESSAGES {
            return Err(ReadError::TooManyMessages);
        }
    }
    Ok(glued)
}

/// Refuses XML that stands in no value of an OBX.
fn refuse_xml(bytes: &[u8], separator: u8) -> Result<(), ReadError> {
    let mut line = LineStart::default();
    let mut passed = 0_usize;
    for at in memchr_iter(b'<', bytes) {
        let found = bytes.get(at..).unwrap_or_default();
        if at < passed || !begins_document(found) {
            continue;
        }
        let before = bytes.get(line.of(bytes, at)..at).unwrap_or_default();
        if !is_in_value(before, separator) {
            return Err(ReadError::Mixed(line_at(bytes, at)));
        }
        let end = memchr::memchr(separator, found).unwrap_or(found.len());
        passed = at.saturating_add(end);
    }
    Ok(())
}

/// Refuses a header of a message in the middle of a line that has another separator than this behind its name, and names
/// its delimiters, or has the type of a message where a header has it.
fn refuse_own_header(bytes: &[u8], separator: u8) -> Result<(), ReadError> {
    // Two letters are found much faster than one, which base64 is full of.
    static PAIRS: LazyLock<[memmem::Finder<'static>; 2]> =
        LazyLock::new(|| [memmem::Finder::new(b"SH"), memmem::Finder::new(b"sh")]);
    for pair in PAIRS.iter() {
        for at in pair.find_iter(bytes) {
            let start = at.saturating_sub(1);
            let header = bytes.get(start..).unwrap_or_default();
            let own = header.get(3).copied().unwrap_or_default();
            let has_name = header
                .get(..3)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"MSH"));
            // In base64, and in prose, other bytes stand behind a name.
            if has_name
                && own != separator
                && is_delimiter(own)
                && !is_base64(&[own])
                && (count_named(header.get(..12).unwrap_or(header)) >= 4
                    || names_message(header, own))
                && !begins_line(bytes, start)
            {
                return Err(ReadError::UnclearHeader(line_at(bytes, start)));
            }
        }
    }
    Ok(())
}

/// Refuses the delimiters of the first header where they stand as a value behind anything but the name of a header: that
/// of a message may be mistyped, or broken off.
fn refuse_delimiters(bytes: &[u8], first: &Delimiters) -> Result<(), ReadError> {
    let mut value = vec![first.field];
    value.extend(first.encoding());
    if value.len() < 5 {
        return Ok(());
    }
    let finder = memmem::Finder::new(&value);
    for at in finder.find_iter(bytes) {
        let after = bytes
            .get(at.saturating_add(value.len())..)
            .unwrap_or_default();
        let is_whole = match after {
            [] => true,
            [next, ..] if *next == first.field => true,
            [truncation, next, ..] => is_delimiter(*truncation) && *next == first.field,
            _ => false,
        };
        if is_whole && header_before(bytes, at).is_none() {
            return Err(ReadError::UnclearHeader(line_at(bytes, at)));
        }
    }
    Ok(())
}

/// What a name of a header in the middle of a line is.
enum MidLineName {
    Header,
    Unclear,
    Not,
}

impl MidLineName {
    /// By the bytes from the name on, without those that show nothing.
    fn of(kind: EnvelopeSegment, header: &[u8], first: &Delimiters) -> Self {
        let after = header.get(4..).unwrap_or_default();
        let own: Vec<u8> = first.encoding().collect();
        let ends_there = after.strip_prefix(&*own).is_some_and(|rest| match rest {
            [next, ..] if *next == first.field => true,
            [truncation, next, ..] => is_delimiter(*truncation) && *next == first.field,
            _ => false,
        });
        match (ends_there, own.len()) {
            (true, 4..) => Self::Header,
            // A single delimiter is an empty value that has parts.
            (true, 2..) => Self::Unclear,
            _ if kind == EnvelopeSegment::Message && count_named(header) >= 2 => Self::Unclear,
            _ => Self::Not,
        }
    }
}

/// Whether a type of message, as `ADT^A28`, stands where a header has it, or near: MSH-9, without regard to what separates
/// its parts.
fn names_message(header: &[u8], separator: u8) -> bool {
    const TYPES: [&[u8]; 6] = [b"ADT", b"SIU", b"ORU", b"MDM", b"OUL", b"ACK"];
    let line = first_line(header).0;
    let mut fields = line
        .get(..1024)
        .unwrap_or(line)
        .split(|it| *it == separator);
    fields.by_ref().take(4).count();
    fields.take(8).any(|whole| {
        let field = whole.trim_ascii();
        let code = field.get(..3).unwrap_or_default().to_ascii_uppercase();
        let has_event = match field.get(3..) {
            Some([between, letter, a, b, ..]) => {
                !between.is_ascii_alphanumeric()
                    && letter.is_ascii_alphabetic()
                    && a.is_ascii_digit()
                    && b.is_ascii_digit()
            }
            _ => false,
        };
        (has_event && code.iter().all(u8::is_ascii_uppercase))
            || (TYPES.contains(&&*code) && whole.len() == 3)
    })
}

/// How many delimiters MSH-2 names in a header that starts these bytes; none where it is not ended by the separator.
fn count_named(header: &[u8]) -> usize {
    let Ok(delimiters) = Delimiters::read(header) else {
        return 0;
    };
    let named = header.get(4..).unwrap_or_default();
    let end = memchr::memchr(delimiters.field, named.get(..6).unwrap_or(named));
    end.unwrap_or_default()
}

/// Whether a byte may be the last of the name of a header, or follow it unseen: before a separator hardly any is.
fn may_end_header(last: u8) -> bool {
    matches!(last, b'H' | b'h' | b'S' | b's' | 0..=b' ' | 0x7f..)
}

/// The header whose name ends before this place, and where it begins; bytes that show nothing may stand in it.
fn header_before(bytes: &[u8], at: usize) -> Option<(EnvelopeSegment, usize)> {
    let mut name = [0_u8; 3];
    let mut place = at;
    for letter in name.iter_mut().rev() {
        let before = before_unseen(bytes.get(..place)?);
        *letter = before.last()?.to_ascii_uppercase();
        if !matches!(letter, b'M' | b'S' | b'H' | b'F' | b'B') {
            return None;
        }
        place = before.len().checked_sub(1)?;
    }
    let kind = EnvelopeSegment::named(&name)?.kind;
    kind.is_header().then_some((kind, place))
}

/// The first bytes of these that show something, up to the end of the line.
pub(super) fn seen<const LENGTH: usize>(mut bytes: &[u8]) -> Vec<u8> {
    let mut seen = Vec::with_capacity(LENGTH);
    while let [first, rest @ ..] = skip_unseen(bytes)
        && !is_line_end(*first)
        && seen.len() < LENGTH
    {
        seen.push(*first);
        bytes = rest;
    }
    seen
}

/// Where the line of a place begins, for places that rise.
#[derive(Default)]
struct LineStart {
    start: usize,
    looked: usize,
}

impl LineStart {
    fn of(&mut self, bytes: &[u8], at: usize) -> usize {
        let between = bytes.get(self.looked..at).unwrap_or_default();
        if let Some(end) = between.iter().rposition(|byte| is_line_end(*byte)) {
            self.start = self.looked.saturating_add(end).saturating_add(1);
        }
        self.looked = at;
        self.start
    }
}

/// Whether what stands before a place on its line leads into the value of an OBX.
fn is_in_value(before: &[u8], separator: u8) -> bool {
    let before = skip_unseen(before);
    before
        .get(..3)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"OBX"))
        && memchr_iter(separator, before).take(6).count() == 5
}

/// Whether an XML document starts these bytes: by its declaration, or by the root of a CDA, or of the stylesheet around
/// one.
fn begins_document(bytes: &[u8]) -> bool {
    let Some(name) = bytes.strip_prefix(b"<") else {
        return false;
    };
    let end = name
        .iter()
        .take(64)
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
    let name = name.get(..end.unwrap_or(0)).unwrap_or_default();
    let roots: [&[u8]; 3] = [b":ClinicalDocument", b":stylesheet", b":transform"];
    name == b"?xml" || name == b"ClinicalDocument" || roots.iter().any(|it| name.ends_with(it))
}

/// Whether nothing that shows stands before this place on its line.
fn begins_line(bytes: &[u8], at: usize) -> bool {
    let before = before_unseen(bytes.get(..at).unwrap_or_default());
    before.last().is_none_or(|byte| is_line_end(*byte))
}
