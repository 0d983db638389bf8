//! Segments that a line may hide: glued behind another one, or with a mistyped name (interface.md 2, "Segment ends").

use memchr::{memchr_iter, memrchr};

use super::delimiters::Delimiters;
use super::search::places_behind;
use super::unseen::{before_unseen, is_base64, skip_unseen};

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
pub(super) fn glued_segment(
    line: &[u8],
    delimiters: &Delimiters,
    is_segment: bool,
) -> Option<[u8; 3]> {
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
pub(super) fn mistyped_segment(line: &[u8], delimiters: &Delimiters) -> Option<[u8; 3]> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
