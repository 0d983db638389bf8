//! Lines of a message and the segments that they make up (interface.md 2, "Segment ends").
//!
//! A segment begins where its name stands at the start of a line, also behind bytes that show nothing, or in small
//! letters. What else stands at the start of a line goes on with a document in base64, or has no place: [`survey`]
//! tells which.

use memchr::{memchr_iter, memchr3, memmem, memrchr};

use super::delimiters::Delimiters;
use super::search::places_behind;

/// MLLP's start of a block.
pub(super) const BLOCK_START: u8 = 0x0B;
/// MLLP's end of a block, after which a line begins.
pub(super) const BLOCK_END: u8 = 0x1C;

/// The lines of some bytes, whatever ends them, without those that are empty.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, tail) = first_line(rest);
            rest = tail.get(1..).unwrap_or_default();
            if !is_blank(line) {
                return Some(line);
            }
        }
    })
}

/// The segments of a message from their names on, each with the lines up to the next.
#[derive(Debug, Clone)]
pub(super) struct Segments<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Segments<'a> {
    pub(super) fn of(bytes: &'a [u8], separator: u8) -> Self {
        Self {
            rest: skip_blank(bytes),
            separator,
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let segment = segment_at(self.rest, self.separator).unwrap_or(self.rest);
        if segment.is_empty() {
            return None;
        }
        let mut tail = first_line(segment).1;
        let mut end = segment.len() - tail.len();
        loop {
            tail = skip_line_ends(tail);
            if tail.is_empty() || segment_at(tail, self.separator).is_some() {
                break;
            }
            let (line, after) = first_line(tail);
            tail = after;
            if !is_blank(line) {
                end = segment.len() - tail.len();
            }
        }
        self.rest = tail;
        segment.get(..end)
    }
}

/// The segment whose name stands at the start of this line, from its name on.
///
/// A bare name is one only if nothing else stands on its line: small letters, or what stands behind blanks, must be
/// followed by the field separator.
fn segment_at(line: &[u8], separator: u8) -> Option<&[u8]> {
    if let Some(after) = after_name(line)
        && line.iter().take(3).all(|byte| !byte.is_ascii_lowercase())
        && after
            .first()
            .is_none_or(|next| *next == separator || is_line_end(*next))
    {
        return Some(line);
    }
    let name = skip_unseen(line);
    after_name(name).and_then(|after| (after.first() == Some(&separator)).then_some(name))
}

/// What follows a segment name of any case that starts these bytes.
fn after_name(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [a, b, c, after @ ..]
            if a.is_ascii_alphabetic()
                && b.is_ascii_alphanumeric()
                && c.is_ascii_alphanumeric() =>
        {
            Some(after)
        }
        _ => None,
    }
}

/// How the lines of a message were found to lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// The first segment whose name stands behind bytes that show nothing, or is in small letters.
    pub untidy: Option<LineLocation>,
    /// How many such segments there are.
    pub count: usize,
}

/// Where something stands: its segment counted from 0, its line from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineLocation {
    pub segment: usize,
    pub line: usize,
}

/// What makes the lines of a message mean several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineAmbiguity {
    /// A line is neither a segment nor a part of a document in base64.
    Line(usize),
    /// A segment seems to begin in the middle of this line, without an end of the segment before it.
    Glued { line: usize, name: [u8; 3] },
    /// So many NUL bytes stand within this line that a part of the file seems to be lost.
    Lost(usize),
    /// This line seems to be the segment of this name, which is not quite what stands there.
    Mistyped { line: usize, name: [u8; 3] },
}

/// What stands in the place of a block of the file that was never written.
const LOST_PART: [u8; 8] = [0; 8];

/// Looks at every line of a message once: each must be a segment, or go on with a document in base64.
pub(super) fn survey(bytes: &[u8], delimiters: &Delimiters) -> Result<Survey, LineAmbiguity> {
    let separator = delimiters.field;
    let mut survey = Survey::default();
    let mut rest = bytes;
    let mut number = 0_usize;
    let mut segments = 0_usize;
    // Whether more of a document can follow; found out only where a line is no segment.
    let mut document = Base64Field::NotLookedFor(&[]);
    let has_lost_part = memmem::find(bytes, &LOST_PART).is_some();
    while !rest.is_empty() {
        number = number.saturating_add(1);
        let (line, tail) = first_line(rest);
        rest = match tail {
            [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
            [] => &[],
        };
        if is_blank(line) {
            continue;
        }
        if has_lost_part && memmem::find(before_unseen(skip_unseen(line)), &LOST_PART).is_some() {
            return Err(LineAmbiguity::Lost(number));
        }
        if let Some(name) = mistyped_segment(line, delimiters) {
            return Err(LineAmbiguity::Mistyped { line: number, name });
        }
        let mut is_segment = true;
        match segment_at(line, separator) {
            Some(segment) if segment.len() > 3 || !document.goes_on(delimiters) => {
                let is_tidy = segment.len() == line.len()
                    && segment.iter().take(3).all(|it| !it.is_ascii_lowercase());
                if !is_tidy {
                    survey.count = survey.count.saturating_add(1);
                    survey.untidy = survey.untidy.or(Some(LineLocation {
                        segment: segments,
                        line: number,
                    }));
                }
                segments = segments.saturating_add(1);
                document = Base64Field::NotLookedFor(segment);
            }
            None if document.goes_on(delimiters) && may_be_base64(line, delimiters) => {
                is_segment = false;
                if memchr::memchr(separator, line).is_some() {
                    document = Base64Field::Ended;
                }
            }
            _ => return Err(LineAmbiguity::Line(number)),
        }
        if let Some(name) = glued_segment(line, delimiters, is_segment) {
            return Err(LineAmbiguity::Glued { line: number, name });
        }
        if !is_segment && !ends_as_result(line, delimiters) {
            return Err(LineAmbiguity::Line(number));
        }
    }
    Ok(survey)
}

/// Whether the field that a line may go on with is a document in base64.
enum Base64Field<'a> {
    /// Of a segment whose first line this is.
    NotLookedFor(&'a [u8]),
    GoesOn,
    Ended,
}

impl Base64Field<'_> {
    fn goes_on(&mut self, delimiters: &Delimiters) -> bool {
        if let Self::NotLookedFor(segment) = self {
            *self = match holds_open_document(segment, delimiters) {
                true => Self::GoesOn,
                false => Self::Ended,
            };
        }
        matches!(self, Self::GoesOn)
    }
}

/// Whether a segment is an OBX that ends within a value of base64: one that says so, or that begins as a PDF.
fn holds_open_document(segment: &[u8], delimiters: &Delimiters) -> bool {
    let is_obx = segment
        .get(..3)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"OBX"));
    if !is_obx || memchr_iter(delimiters.field, segment).nth(5).is_some() {
        return false;
    }
    let mut fields = segment.split(|byte| *byte == delimiters.field);
    let (Some(kind), Some(value)) = (fields.nth(2), fields.nth(2)) else {
        return false;
    };
    let last = |of: &[u8], separator: Option<u8>| match separator {
        Some(separator) => of.iter().rposition(|byte| *byte == separator),
        None => None,
    };
    let repetition = last(value, delimiters.repetition)
        .and_then(|at| value.get(at.saturating_add(1)..))
        .unwrap_or(value);
    let components: Vec<&[u8]> = repetition
        .split(|byte| Some(*byte) == delimiters.component)
        .take(6)
        .collect();
    let says_so = components.len() == 5
        && (kind.trim_ascii().eq_ignore_ascii_case(b"ED")
            || components
                .get(3)
                .is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(b"Base64")));
    let data = components.last().copied().unwrap_or_default();
    (says_so || data.starts_with(b"JVBERi0")) && is_base64(data)
}

/// Whether what stands behind the first field of a line that goes on with OBX-5 is what an OBX has there: a range,
/// flags, a probability, the nature of the test and a status, in OBX-7 to OBX-11.
fn ends_as_result(line: &[u8], delimiters: &Delimiters) -> bool {
    let mut fields = line.split(|byte| *byte == delimiters.field).skip(2);
    let mut next = || fields.next().unwrap_or_default().trim_ascii();
    let is_simple = |value: &[u8]| !value.iter().any(|byte| Some(*byte) == delimiters.component);
    let [range, flags, probability, nature, status] = std::array::from_fn(|_| next());
    [range, flags, nature].into_iter().all(is_simple)
        && probability
            .iter()
            .all(|it| it.is_ascii_digit() || *it == b'.')
        && matches!(status, [] | [_] | b"\"\"")
}

/// Whether a line could be a part of base64: up to the end of the field, and up to where a further repetition begins.
fn may_be_base64(line: &[u8], delimiters: &Delimiters) -> bool {
    let end = line
        .iter()
        .position(|byte| *byte == delimiters.field || Some(*byte) == delimiters.repetition);
    is_base64(line.get(..end.unwrap_or(line.len())).unwrap_or(line))
}

/// Whether these bytes are of the alphabet of base64, between blanks and with line breaks as escape sequences.
pub(super) fn is_base64(bytes: &[u8]) -> bool {
    bytes.trim_ascii().iter().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b'.')
    })
}

/// The names of segments that say whose or what something is.
const NAMES: [&[u8; 3]; 10] = [
    b"PID", b"OBX", b"OBR", b"AIP", b"AIL", b"AIS", b"TXA", b"PV1", b"MRG", b"ORC",
];

/// The name of an appointment: with [`NAMES`], those that a line may begin a segment with by mistake, or behind another
/// one.
const APPOINTMENT: &[u8; 3] = b"SCH";

/// The names of segments that follow a PID, which no value of a PID ends with.
const BEHIND_PATIENT: [&[u8; 3]; 15] = [
    b"NK1", b"PD1", b"IN1", b"IN2", b"GT1", b"DG1", b"AL1", b"PR1", b"PV2", b"DB1", b"UB1", b"ZBE",
    b"ACC", b"PRT", b"SFT",
];

/// Whether a byte may be the last of such a name, or follow it unseen: before a separator hardly any is.
fn may_end_name(last: u8) -> bool {
    matches!(
        last.to_ascii_uppercase(),
        b'A' | b'C' | b'D' | b'E' | b'G' | b'H' | b'L' | b'P' | b'R' | b'S' | b'T' | b'X'
            | b'1' | b'2' | 0..=b' ' | 0x7f..
    )
}

/// The name of a segment that seems to begin within this line, since the end of the one before it was lost.
///
/// A name counts as a value, and behind what is left of one (a status, base64). Words end in `PID` or `ORC` too, and a
/// text or a code may be one, so what follows must look like the segment. A line that goes on with a document has no
/// name.
fn glued_segment(line: &[u8], delimiters: &Delimiters, is_segment: bool) -> Option<[u8; 3]> {
    let separator = delimiters.field;
    let is_patient = is_segment && skip_unseen(line).first_chunk() == Some(b"PID");
    let (mut number, mut counted) = (0_usize, 0);
    for at in places_behind(separator, line, may_end_name) {
        let before = line.get(..at).unwrap_or_default();
        let Some((before, written)) = before_unseen(before).split_last_chunk::<3>() else {
            continue;
        };
        let name = written.map(|letter| letter.to_ascii_uppercase());
        let is_behind_patient = is_patient && BEHIND_PATIENT.contains(&written);
        if !NAMES.contains(&&name) && name != *APPOINTMENT && !is_behind_patient {
            continue;
        }
        let since = before.get(counted..).unwrap_or_default();
        number = number.saturating_add(memchr_iter(separator, since).count());
        counted = before.len().max(counted);
        if is_segment && number == 0 {
            continue;
        }
        if is_behind_patient {
            return Some(name);
        }
        let from = memrchr(separator, before).map_or(0, |before| before.saturating_add(1));
        let before = before.get(from..).unwrap_or_default();
        let host = match is_segment {
            true => Host::of(line),
            false => Host::Other,
        };
        let left = skip_unseen(before_unseen(before));
        let stands_alone = left.is_empty();
        let is_behind_status = host == Host::Result && number == 11 && left.len() == 1;
        let shape = match (stands_alone || is_behind_status, host) {
            (true, Host::Result) if number == 3 && is_result(line, &name, delimiters) => continue,
            // A code or a text stands there.
            (true, Host::Result) if number <= 5 => Shape::Whole,
            (true, Host::Result | Host::Known) => Shape::OutOfPlace,
            (true, Host::Other) => Shape::Whole,
            (false, _) => Shape::Behind,
        };
        // Small letters within a text are a word.
        let is_like_name = stands_alone || *written == name || {
            let near = before.get(before.len().saturating_sub(64)..);
            let near = near.unwrap_or_default();
            let is_separator = |byte: &u8| {
                Some(*byte) == delimiters.component || Some(*byte) == delimiters.repetition
            };
            let from = near.iter().rposition(is_separator);
            let part = near.get(from.map_or(0, |from| from.saturating_add(1))..);
            is_base64(part.unwrap_or_default())
        };
        let after = line.get(at.saturating_add(1)..).unwrap_or_default();
        if is_like_name && looks_like(&name, after, delimiters, shape) {
            return Some(name);
        }
    }
    None
}

/// In which segment a name stands as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// An OBX.
    Result,
    /// Another of [`NAMES`], whose values are known: hardly any of them could be the name of a segment.
    Known,
    /// Any other.
    Other,
}

impl Host {
    fn of(line: &[u8]) -> Self {
        let Some(name) = skip_unseen(line).first_chunk::<3>() else {
            return Self::Other;
        };
        let name = name.map(|letter| letter.to_ascii_uppercase());
        match &name {
            b"OBX" => Self::Result,
            known if NAMES.contains(&known) => Self::Known,
            _ => Self::Other,
        }
    }
}

/// Whether a line, whose OBX-3 is this name, is a result of that code (`AIS`, `PV1`): its status stands where a result has
/// it, and the segment of this name has no such value.
fn is_result(line: &[u8], name: &[u8; 3], delimiters: &Delimiters) -> bool {
    let status = line.split(|byte| *byte == delimiters.field).nth(11);
    // PID-8 and OBX-8 would stand there.
    !matches!(name, b"PID" | b"OBX")
        && matches!(status.map(<[u8]>::trim_ascii), Some([b'A'..=b'Z']))
}

/// The names of HL7 that differ from one of [`NAMES`] or from [`APPOINTMENT`] by one letter, as a mistyped one does, and
/// those that begin most other lines.
const OTHER_NAMES: [&[u8; 3]; 18] = [
    b"MSH", b"EVN", b"TQ1", b"RGS", b"NTE", b"PV2", b"PD1", b"PR1", b"PRD", b"SID", b"QID", b"OVR",
    b"AIG", b"RXA", b"ORG", b"LCH", b"ARC", b"SCP",
];

/// The name of which a line begins with a letter that is wrong, or with two letters changed about, where what follows
/// looks like that segment.
fn mistyped_segment(line: &[u8], delimiters: &Delimiters) -> Option<[u8; 3]> {
    let (&written, after) = skip_unseen(line).split_first_chunk::<3>()?;
    let (separator, after) = after.split_first()?;
    if *separator != delimiters.field || !written.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let alike = |name: &[u8; 3]| {
        name.map(|letter| match letter {
            b'l' | b'1' | b'i' => b'I',
            b'0' => b'O',
            b'5' => b'S',
            b'8' => b'B',
            other => other.to_ascii_uppercase(),
        })
    };
    let upper = written.map(|letter| letter.to_ascii_uppercase());
    if NAMES.contains(&&upper) || OTHER_NAMES.contains(&&upper) {
        return None;
    }
    let [a, b, c] = upper;
    let read = alike(&written);
    // Not both at once: AL1 and PD1 are segments too.
    let has_letter_wrong = |name: &[u8; 3]| {
        let wrong = upper.iter().zip(name).filter(|(it, right)| it != right);
        a != b'Z' && wrong.count() == 1
    };
    let is_near = |name: &&[u8; 3]| {
        read == alike(name) || [[b, a, c], [a, c, b]].contains(*name) || has_letter_wrong(name)
    };
    let mut likely = NAMES.into_iter().chain([APPOINTMENT]).filter(is_near);
    let likely = likely.find(|name| looks_like(name, after, delimiters, Shape::Whole))?;
    (upper != *likely).then_some(*likely)
}

/// How much of a segment must be there to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Its name is a whole value, as a text or a code may be.
    Whole,
    /// Its name is a whole value where hardly any value is one.
    OutOfPlace,
    /// Its name stands right behind another value.
    Behind,
}

/// Whether what follows a name and its separator looks like the segment of this name: its number, and the type of its
/// value or an identifier.
fn looks_like(name: &[u8; 3], after: &[u8], delimiters: &Delimiters, shape: Shape) -> bool {
    let mut fields = after.split(|byte| *byte == delimiters.field);
    let mut next = || fields.next().unwrap_or_default().trim_ascii();
    let is_behind = shape == Shape::Behind;
    let is_out_of_place = shape == Shape::OutOfPlace;
    let has_number = matches!(
        name,
        b"PID" | b"OBX" | b"OBR" | b"TXA" | b"PV1" | b"AIP" | b"AIL" | b"AIS"
    );
    let first = next();
    let is_number = (1..=4).contains(&first.len()) && first.iter().all(u8::is_ascii_digit);
    let may_be_number = is_number || first.is_empty();
    if is_out_of_place && has_number && is_number {
        return true;
    }
    let is_code =
        |text: &[u8]| (2..=3).contains(&text.len()) && text.iter().all(u8::is_ascii_uppercase);
    let has_parts = |text: &[u8]| delimiters.component.is_some_and(|it| text.contains(&it));
    let parts = |text: &[u8]| -> [Vec<u8>; 5] {
        let text = text.get(..256).unwrap_or(text);
        let mut parts = text.split(|byte| Some(*byte) == delimiters.component);
        std::array::from_fn(|_| parts.next().unwrap_or_default().trim_ascii().to_vec())
    };
    let is_plain_id = |text: &[u8]| {
        let is_of_it = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/".contains(byte);
        (1..=32).contains(&text.len()) && text.iter().all(is_of_it)
    };
    // An identifier, its check digit, and whose it is (CX).
    let is_identifier = |text: &[u8]| {
        let [id, digit, scheme, authority, kind] = parts(text);
        !id.is_empty()
            && digit.iter().all(u8::is_ascii_digit)
            && scheme.len() <= 3
            && !(authority.is_empty() && kind.is_empty())
    };
    let is_name = |text: &[u8]| {
        let [family, given, ..] = parts(text);
        let is_word = |part: &[u8]| part.iter().any(|it| it.is_ascii_alphabetic());
        is_word(&family) && is_word(&given)
    };
    let is_date = |text: &[u8]| {
        text.len() >= 8
            && text
                .get(..8)
                .is_some_and(|it| it.iter().all(u8::is_ascii_digit))
            && matches!(text, [b'1', b'8' | b'9', ..] | [b'2', b'0' | b'1', ..])
    };
    match name {
        b"PID" => {
            let (second, third, fourth, fifth) = (next(), next(), next(), next());
            let (_, seventh) = (next(), next());
            let is_known = [second, third, fourth].into_iter().any(is_identifier);
            let says_id = match is_out_of_place {
                true => [second, third, fourth]
                    .into_iter()
                    .any(|id| !id.is_empty() && !is_date(id)),
                false => is_known,
            };
            let has_id = is_out_of_place || is_plain_id(third) || has_parts(third);
            may_be_number && (says_id || (has_id && (is_name(fifth) || is_date(seventh))))
        }
        b"OBX" => {
            let (second, _, _, fifth) = (next(), next(), next(), next());
            let is_type = match is_number || is_behind {
                true => is_code(second),
                false => is_value_type(second),
            };
            let [.., coding, data] = parts(fifth);
            let is_document = coding.eq_ignore_ascii_case(b"Base64")
                || data.starts_with(b"JVBERi0")
                || fifth.starts_with(b"JVBERi0");
            may_be_number && (is_type || is_document)
        }
        b"OBR" => {
            let said = [next(), next(), next()];
            is_number && (is_behind || said.into_iter().any(has_parts))
        }
        b"TXA" => is_number && (is_behind || is_code(next())),
        b"PV1" => {
            let has_class = matches!(next(), [b'A'..=b'Z']);
            match is_out_of_place {
                true => may_be_number && has_class,
                false => is_number && (is_behind || has_class),
            }
        }
        b"AIP" | b"AIL" | b"AIS" => {
            let (action, resource) = (next(), next());
            is_number && matches!(action, [] | [b'A'..=b'Z'] | b"\"\"") && has_parts(resource)
        }
        b"ORC" => {
            let said = [next(), next()];
            let says_order = |id: &&[u8]| !id.is_empty() && !is_date(id);
            is_code(first)
                && (is_behind
                    || said.into_iter().any(has_parts)
                    || (is_out_of_place && first.len() == 2 && said.iter().any(says_order)))
        }
        b"MRG" => {
            let is_id =
                is_plain_id(first) && first.len() >= 3 && first.iter().any(u8::is_ascii_digit);
            let says_id = is_out_of_place && !first.is_empty() && !is_date(first);
            is_identifier(first) || (is_behind && has_parts(first)) || is_id || says_id
        }
        b"SCH" => {
            let second = next();
            let is_id = |text: &[u8]| has_parts(text) || text.iter().any(u8::is_ascii_digit);
            // The duration or the quantity with times stands in the ninth or eleventh place.
            let rest: Vec<&[u8]> = (3..=11).map(|_| next()).collect();
            (is_id(first) || is_id(second))
                && rest
                    .last()
                    .is_some_and(|times| has_parts(times) && times.windows(8).any(is_date))
        }
        _ => false,
    }
}

/// Whether this is a type that OBX-2 names (HL7 v2.5 table 0125).
fn is_value_type(text: &[u8]) -> bool {
    const TYPES: [&[u8]; 32] = [
        b"AD", b"CE", b"CF", b"CK", b"CN", b"CNE", b"CP", b"CR", b"CWE", b"CX", b"DR", b"DT",
        b"DTM", b"ED", b"EI", b"FT", b"MO", b"NA", b"NM", b"PN", b"RP", b"SN", b"ST", b"TM", b"TN",
        b"TS", b"TX", b"XAD", b"XCN", b"XON", b"XPN", b"XTN",
    ];
    TYPES.iter().any(|it| text.eq_ignore_ascii_case(it))
}

/// Whether any character shows nothing and is no part of a text: a control character but the ends of lines, tabulators,
/// and the escape character by which Japanese character sets are switched; in UTF-8 also one without a width.
pub(super) fn has_unseen(bytes: &[u8]) -> bool {
    const CONTROL: u8 = 1;
    // Begins a character of two or three bytes that may be one.
    const POSSIBLE: u8 = 2;
    let mut chunks = bytes.chunks(1024).enumerate();
    chunks.any(|(number, chunk)| {
        let found = chunk.iter().fold(0, |found, byte| {
            let is_text = matches!(*byte, b'\t' | b'\r' | b'\n' | 0x1b);
            let is_control = ((*byte < 0x20) & !is_text) | (*byte == 0x7f);
            let may_begin = (*byte == 0xc2) | (*byte == 0xe2) | (*byte == 0xef);
            found | (u8::from(is_control) * CONTROL) | (u8::from(may_begin) * POSSIBLE)
        });
        let from = number.saturating_mul(1024);
        let near = || bytes.get(from..bytes.len().min(from.saturating_add(1026)));
        found & CONTROL != 0
            || found & POSSIBLE != 0 && near().unwrap_or_default().windows(3).any(is_without_width)
    })
}

fn is_without_width(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xc2, 0xad, _]
            | [0xe2, 0x80, 0x8b | 0x8e | 0x8f | 0xaa..=0xae]
            | [0xe2, 0x81, 0xa0 | 0xa6..=0xa9]
            | [0xef, 0xbb, 0xbf]
    )
}

/// From the first byte on that shows something, or ends the line: behind blanks, tabulators, byte-order marks, control
/// characters, and characters without a width.
pub(super) fn skip_unseen(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [byte, ..] if is_line_end(*byte) => return bytes,
            [0..=b' ' | 0x7f..=0xa0, rest @ ..] => rest,
            [0xc2, 0x80..=0xa0, rest @ ..]
            | [0xe2, 0x80, 0x8b..=0x8f, rest @ ..]
            | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            _ => return bytes,
        };
    }
}

/// Up to the last byte that shows something, or ends a line: what [`skip_unseen`] passes, from behind.
pub(super) fn before_unseen(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [.., byte] if is_line_end(*byte) => return bytes,
            [rest @ .., 0xef, 0xbb, 0xbf]
            | [rest @ .., 0xe2, 0x80, 0x8b..=0x8f]
            | [rest @ .., 0xc2, 0x80..=0xa0]
            | [rest @ .., 0..=b' ' | 0x7f..=0xa0] => rest,
            _ => return bytes,
        };
    }
}

/// Whether a byte ends a line.
pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | BLOCK_END)
}

/// Up to the first line end, and from it on.
pub(super) fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    memchr3(b'\r', b'\n', BLOCK_END, bytes)
        .and_then(|end| bytes.split_at_checked(end))
        .unwrap_or((bytes, &[]))
}

/// The number of the line at this place, from 1, for a person who looks into the file.
pub(super) fn line_at(bytes: &[u8], at: usize) -> usize {
    let mut number = 1_usize;
    let mut rest = bytes.get(..at).unwrap_or(bytes);
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        number = number.saturating_add(1);
        rest = match rest.get(end..).unwrap_or_default() {
            [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
            [] => &[],
        };
    }
    number
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let ends = bytes.iter().take_while(|byte| is_line_end(**byte)).count();
    bytes.get(ends..).unwrap_or_default()
}

fn skip_blank(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = skip_line_ends(bytes);
        let (line, tail) = first_line(bytes);
        if line.is_empty() || !is_blank(line) {
            return bytes;
        }
        bytes = tail;
    }
}

/// Whether a line says nothing: white space, framing bytes that stand alone, the padding of a preallocated file.
pub(super) fn is_blank(line: &[u8]) -> bool {
    skip_unseen(line).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_where_the_next_begins() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"\r\n \r\x1c\r", &[]),
            (b"MSH|a\rPID|b\r\0\0\0\x1a", &[b"MSH|a", b"PID|b"]),
            (b"MSH|a\0\rP\0D|b\r", &[b"MSH|a\0\rP\0D|b"]),
            (b"MSH|a\rEVN\rPID|b", &[b"MSH|a", b"EVN", b"PID|b"]),
            (b"MSH|a\nEVN\nPID|b\n", &[b"MSH|a", b"EVN", b"PID|b"]),
            (b"MSH|a\r\nEVN\r\nPID|b\r\n", &[b"MSH|a", b"EVN", b"PID|b"]),
            (
                b"MSH|a\r\n\rEVN\n\n \r\nZ99|b\r\x1c\r",
                &[b"MSH|a", b"EVN", b"Z99|b"],
            ),
            (
                b"OBX|JVBE\r\nRi0x\r\n\r\nLjQK|F\r\nNTE|1",
                &[b"OBX|JVBE\r\nRi0x\r\n\r\nLjQK|F", b"NTE|1"],
            ),
            (
                b"OBX|a\rpid|b\rPIDX|c\rP1|d\r1ID|e\rPID^f\rPID|g",
                &[b"OBX|a", b"pid|b\rPIDX|c\rP1|d\r1ID|e\rPID^f", b"PID|g"],
            ),
            (
                b"MSH|a\r \0PID|b\r\xEF\xBB\xBFPv1|c\x1cOBX|d\robx\r EVN",
                &[b"MSH|a", b"PID|b", b"Pv1|c", b"OBX|d\robx\r EVN"],
            ),
        ];
        for (bytes, expected) in cases {
            let found: Vec<_> = Segments::of(bytes, b'|').collect();
            assert_eq!(&found, expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn each_line_is_a_segment_or_a_part_of_a_document() {
        let document = "OBX|1|ED|||^^PDF^Base64^JVBE";
        for (lines, expected) in [
            ("PID|1\rEVN\r\r\nZZZ|1", Ok(None)),
            (
                &*format!("{document}\r\nRi0x\r\n\r\n LjQK||||||F\r\nNTE|1"),
                Ok(None),
            ),
            (&*format!("{document}\r||||||F\rNTE|1"), Ok(None)),
            (
                &*format!("{document}\rRi0x~^^PDF^Base64^JVBE\rRi0x|||F"),
                Ok(None),
            ),
            ("OBX|1|TX|||JVBERi0x\rLjQK|||F", Ok(None)),
            ("OBX|1||||^^PDF^base64^JVBE\rRi0x|||F", Ok(None)),
            ("PID|1\r PID|2", Ok(Some((3, 1)))),
            ("PID|1\r\r\0pid|2\r\tNTE|1", Ok(Some((4, 2)))),
            (&*format!("{document}\r pid|2"), Ok(Some((3, 1)))),
            ("PID|1\rtext", Err(LineAmbiguity::Line(3))),
            ("PID|1\n\nPID^2", Err(LineAmbiguity::Line(4))),
            ("PID|1\rPID |2", Err(LineAmbiguity::Line(3))),
            ("PID|1\rP\0ID|2", Err(LineAmbiguity::Line(3))),
            ("PID|1\r EVN", Err(LineAmbiguity::Line(3))),
            ("OBX|1|TX|||some\rLjQK", Err(LineAmbiguity::Line(3))),
            (
                "OBX|1|ED|||^^PDF^Base64^JVBE|\rRi0x",
                Err(LineAmbiguity::Line(3)),
            ),
            (
                "OBX|1|ED|||^^PDF^Base64^JVBE|||F\rRi0x",
                Err(LineAmbiguity::Line(3)),
            ),
            (
                &*format!("{document}\rDUPONT Paul"),
                Err(LineAmbiguity::Line(3)),
            ),
            (&*format!("{document}\rPID^1"), Err(LineAmbiguity::Line(3))),
            (
                &*format!("{document}\rEVN\rPID|1"),
                Err(LineAmbiguity::Line(3)),
            ),
            (
                &*format!("{document}\rRi0x|||F\rRi0x"),
                Err(LineAmbiguity::Line(4)),
            ),
            (
                &*format!("{document}\rPIDD|2||P-2^^^CHU^PI||B^C||19700101|F"),
                Err(LineAmbiguity::Line(3)),
            ),
            (
                &*format!("{document}\rPI\rD|2||P-2||B^C||19700101|F"),
                Err(LineAmbiguity::Line(4)),
            ),
            (
                &*format!("{document}\rOBXX|2|ED|A^B||^^PDF^Base64^JVBE"),
                Err(LineAmbiguity::Line(3)),
            ),
            (
                "PID|1||P-1||A\0\0\0\0\0\0\0\0B^C",
                Err(LineAmbiguity::Lost(2)),
            ),
            ("PID|1||P-1\0\0\0\0\0\0\0\0\rEVN", Ok(None)),
        ] {
            let message = format!("MSH|^~\\&|\r{lines}\r");
            let found = survey(message.as_bytes(), &Delimiters::STANDARD)
                .map(|survey| survey.untidy.map(|seen| (seen.line, survey.count)));
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_segment_behind_another_on_its_line_is_seen() {
        for (line, name) in [
            ("OBX|1|TX|||a||||||FPID|2||P-2^^^CHU^PI", Some("PID")),
            ("OBX|1|TX|||a||||||PID|2||P-2^^^CHU^PI", Some("PID")),
            ("OBX|1|TX|||a||||||FOBX|2|ED|||^^PDF", Some("OBX")),
            ("AIP|1||101^Durand^PaulAIP|2||102^Doe", Some("AIP")),
            ("PID|1||P-1^^^^PIMRG|P-2^^^^PI", Some("MRG")),
            ("OBX|1|TX|||TEST RAPID||||||F", None),
            ("OBX|1|TX|||PORC||||||F", None),
            ("PID|1||P-1|||||||||LE MARAIS|1|", None),
            ("PID|1||P-1||HIRSCH^Paul|||M", None),
            (
                "PID|1||P-1||A^B||||||||0612345678^PRN^CPNK1|1|C^D",
                Some("NK1"),
            ),
            ("PID|1||P-1||A^B|||||^^^^^FRAACC|20260101", Some("ACC")),
            (
                "PID|1||P-1||A^B|||||||||||||170019912345678ZBE|1",
                Some("ZBE"),
            ),
            ("PV1|1|I|UNK1|1", None),
            ("ZZZ|PID|1|2", None),
            ("ZZZ|OBR|1|2|3|4", None),
            ("ZZZ|MRG|1|2", None),
            ("ZZZ|ORC|RE|texte", None),
            ("NTE|1||PID|RE^Remark^HL70364", None),
            ("NTE|1||le PID et son OBX|RE", None),
            ("NTE|1||PID|1", None),
            ("NTE|1||MRG|RE", None),
            ("OBX|1|TX|A||PID||||||F|||20260101||1^Durand^Paul", None),
            ("OBX|1|NM|12^RAPID||5|mg^milligram^UCUM|1|||F", None),
            ("OBX|1|ST|A||rapid|mg^mg^UCUM|||||F", None),
            ("OBX|1|ST|A||porc|x||||F", None),
            ("OBR|1|A|B|C^PID|||20260101||1^ml|", None),
        ] {
            let found = glued_segment(line.as_bytes(), &Delimiters::STANDARD, true);
            let found = found.map(|name| String::from_utf8(name.to_vec()).unwrap());
            assert_eq!(found.as_deref(), name, "{line}");
        }
    }

    #[test]
    fn a_segment_behind_any_other_is_seen() {
        let hosts = [
            "ZBE|1^X|2025|",
            "NTE|1||fin de la lettre|",
            "NTE|1||fin|N",
            "PD1|1|",
            "NK1|1|DURAND^Paul|",
            "IN1|1|x|",
            "DG1|1|",
            "AL1|1|",
            "ROL|1|",
            "SPM|1|",
            "FT1|1|",
            "TQ1|1|",
            "PRT|1|",
            "PV1|1|N",
            "PV1|1|",
            "OBX|2|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK",
            "OBX|2|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0Y=",
            "OBX|2|ED|CR||^^PDF^Base64^JVBE||||||F",
        ];
        let segments = [
            ("PID", "|||P-2^^^CHU^PI||DUPONT^Paul^^^^^L||19600101|M"),
            ("PID", "|1||P-2^^^CHU^PI"),
            ("PID", "|||P-2||DUPONT^Paul||19600101|M"),
            ("PID", "|1||P-2||||19600101|M"),
            ("OBX", "||ED|CR^b||^^PDF^Base64^JVBERi0"),
            ("OBX", "|2||CR^b||^^PDF^Base64^JVBERi0"),
            ("OBX", "|2|TX|CR^b||text"),
            ("MRG", "|P-2^^^CHU^PI"),
            ("OBR", "|1||A^X|B^Y"),
            ("TXA", "|1|CR"),
            ("PV1", "|1|I"),
            ("AIL", "|1||RCP^x"),
            ("AIP", "|1||101^Durand^Paul"),
            ("AIS", "|1||RCP^x"),
            ("ORC", "|NW|1^X"),
            ("SCH", "|1^X|||||||||30|^^^20261120110000"),
        ];
        for host in hosts {
            for (name, rest) in segments {
                let small = name.to_lowercase();
                let mixed = format!("{}{}", &name[..1], &small[1..]);
                for written in [name, &small, &mixed] {
                    let line = format!("{host}{written}{rest}");
                    let found = survey(
                        format!("MSH|^~\\&|\r{line}\r").as_bytes(),
                        &Delimiters::STANDARD,
                    );
                    let Err(LineAmbiguity::Glued { line: 2, name: it }) = found else {
                        panic!("{line}: {found:?}");
                    };
                    assert_eq!(it, name.as_bytes(), "{line}");
                }
            }
        }
        let continued = "MSH|^~\\&|\rOBX|1|ED|||^^PDF^Base64^JVBERi0x\rLjQKPID|||P-2||A^B\r";
        let found = survey(continued.as_bytes(), &Delimiters::STANDARD);
        assert!(
            matches!(found, Err(LineAmbiguity::Glued { line: 3, .. })),
            "{found:?}"
        );
    }

    #[test]
    fn a_name_with_a_letter_like_another_is_seen() {
        let person = "1||P-2^^^CHU^PI||DUPONT^Paul";
        let result = "1|TX|CR^b||text||||||F";
        for (name, rest, expected) in [
            ("PlD", person, Some("PID")),
            ("P1D", person, Some("PID")),
            ("PDI", person, Some("PID")),
            ("IPD", person, Some("PID")),
            ("pdi", person, Some("PID")),
            ("0BX", result, Some("OBX")),
            ("O8X", result, Some("OBX")),
            ("OXB", result, Some("OBX")),
            ("PVI", "1|I", Some("PV1")),
            ("A1L", "1||RCP^x", Some("AIL")),
            ("OBx", result, None),
            ("PID", person, None),
            ("PD1", "1||P-2^^^CHU^PI", None),
            ("AL1", "1|DA|PENI^Penicilline", None),
            ("PDI", "1|2|3", None),
            ("BOX", "rouge", None),
            ("ZPD", person, None),
            ("ZID", person, None),
            ("PIF", person, Some("PID")),
            ("PUD", person, Some("PID")),
            ("OID", person, Some("PID")),
            ("PI0", person, Some("PID")),
            ("PRD", "RP|DUPONT^Paul|rue", None),
            ("OBS", result, Some("OBX")),
            ("OVX", result, Some("OBX")),
            ("TXB", "1|CR||20260101", Some("TXA")),
            ("RXA", "0|1|20260101|20260101|X^Y", None),
            ("PV2", "1|I", None),
        ] {
            for before in ["", "OBX|1|ED|||^^PDF^Base64^JVBE\r"] {
                let message = format!("MSH|^~\\&|\rEVN|A28\r{before}{name}|{rest}\r");
                let found = survey(message.as_bytes(), &Delimiters::STANDARD);
                let found = match &found {
                    Err(LineAmbiguity::Mistyped { name, .. }) => str::from_utf8(name).ok(),
                    Ok(_) => None,
                    Err(other) => panic!("{name}: {other:?}"),
                };
                assert_eq!(found, expected, "{name}|{rest}");
            }
        }
    }

    #[test]
    fn the_name_of_a_segment_is_no_value_where_its_fields_follow() {
        for (line, name) in [
            ("OBX|1|ED|R||x||||||F|PID|||P2", Some("PID")),
            ("OBX|1|ED|R||x||||||F|||20261120|Pid|1||P2", Some("PID")),
            ("OBX|1|ED|R||x||||||Fpid|1||P2", Some("PID")),
            ("OBX|1|ED|R||x||||||FPID |1||P2", Some("PID")),
            ("OBX|1|ED|R||x||||||FPID|||P2", Some("PID")),
            ("OBX|1|ED|R||x||||||F|PID|\"\"|", None),
            ("OBX|1|ED|R||x||||||F|MRG|P2|", Some("MRG")),
            ("OBX|1|ED|R||x||||||F|AIL|1||RCP|", Some("AIL")),
            ("OBX|1|ED|R||x||||||F|PID|1|", Some("PID")),
            ("OBX|1|ED|R||x||||||F|PID|||||A^B|", Some("PID")),
            ("OBX|1|ED|R||x||||||F|PID|||||||19600101|", Some("PID")),
            ("OBX|1|ED|R||x||||||F|OBR|2|", Some("OBR")),
            ("OBX|1|ED|R||x||||||F|PV1||N|", Some("PV1")),
            ("OBX|1|ED|R||x||||||F|ORC|NW|2|", Some("ORC")),
            ("OBX|1|ED|R||x||||||F|OBX|2||CR|", Some("OBX")),
            ("OBX|1|ED|PID|1||P-2^^^CHU^PI||A^B||19600101|F", Some("PID")),
            ("OBX|1|NM|AIS||3||||||F", None),
            ("OBX|1|NM|AIS|1|3|{score}^^UCUM|||||F", None),
            ("OBX|1|CE|PV1|1|N|||||P|F|20260101", None),
            ("OBX|1|TX|TXA|1|OUI||||||F||", None),
            ("OBX|1|CE|PID|1|Y^Yes||||||F", None),
            ("OBX|1|NM|a^b|AIS|3||||||F", None),
            ("OBX|1|NM|a^b||3||||||F|||20260101||1^Durand|AIS||", None),
            ("OBR|1|A^X|B^Y|AIS|||20260101|||||||", None),
            ("OBR|1|A^X|B^Y|PID|||20260101|||||||", None),
            ("OBR|1|A^X|B^Y|ORC|R||20260101|||||||", None),
            ("TXA|1|ORC|PDF|20260101|", None),
            ("TXA|1|ORC|TX|20260101|", None),
            ("PID|1||P1|||||||||PV1|1|N", Some("PV1")),
            ("OBR|1||A|X|TXA|1|CR", Some("TXA")),
            ("ORC|NW|OBR|1||A", Some("OBR")),
            (" orc|NW|obr|1||A", Some("OBR")),
            ("OBX|1|TX|R||PID||||||F", None),
            ("OBX|1|TX|R||x||||||F|PID", None),
            ("OBX|1|TX|PIDE|ORCA|x||||||F", None),
            ("PID|1||P1||MARTIN^PID|||F", None),
            ("ZZZ|PID|1|2", None),
            ("NTE|1|L|OBX|", None),
        ] {
            let found = glued_segment(line.as_bytes(), &Delimiters::STANDARD, true);
            let found = found.map(|name| String::from_utf8(name.to_vec()).unwrap());
            assert_eq!(found.as_deref(), name, "{line}");
        }
    }

    #[test]
    fn lines_are_the_same_whatever_ends_them() {
        for text in [
            "a\rb\rc",
            "a\nb\nc\n",
            "a\r\nb\r\nc\r\n",
            "\ra\n\r\n\tb \r c",
        ] {
            let found: Vec<_> = lines(text.as_bytes())
                .map(|line| line.trim_ascii())
                .collect();
            assert_eq!(found, [b"a", b"b", b"c"], "{text:?}");
        }
    }
}
