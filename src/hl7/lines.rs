//! Lines of a message and the segments that they make up (interface.md 2, "Segment ends").
//!
//! A segment begins where its name stands at the start of a line, also behind bytes that show nothing, or in small
//! letters. What else stands at the start of a line goes on with a document in base64, or has no place: [`survey`]
//! tells which.

use memchr::{memchr_iter, memchr3, memmem};

use super::delimiters::Delimiters;
use super::hidden_segment::{glued_segment, mistyped_segment};
use super::unseen::{BLOCK_END, before_unseen, is_base64, is_line_end, skip_unseen};

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
