//! One message: its header read and its segments found once, its fields when asked (interface.md 2, "Reading HL7").

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr_iter;

use super::ReadError;
use super::charset::{Charset, CharsetDoubts, CharsetWarning};
use super::delimiters::Delimiters;
use super::entity;
use super::lines::{self, LineAmbiguity, Segments};
use super::path::{Path, Position, SegmentName};
use super::unseen::has_unseen;
use super::value::{Field, MessageSyntax, Pieces, Value, nth};

/// How long MSH may be, whose fields are repeated to the sender.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A message, borrowed from the bytes of its file.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: &'a [u8],
    context: MessageSyntax,
    doubts: CharsetDoubts,
    /// The first segments. Of a message of more, those behind them are found when asked: millions may be.
    found: Vec<RawSegment<'a>>,
    further: Option<CountedSegments<'a>>,
}

/// How many segments of a message are found once.
const FOUND_ONCE: usize = 1024;

/// Where a segment was found.
#[derive(Debug, Clone, Copy)]
struct RawSegment<'a> {
    raw: &'a [u8],
    name: SegmentName,
    occurrence: u32,
}

impl<'a> Message<'a> {
    /// Reads the header of a message that starts with these bytes, as [`super::batch::split`] gives them.
    ///
    /// One pass over the bytes finds the segments, one decides the character set.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let name = bytes.get(..3).unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"MSH") {
            return Err(ReadError::no_header("MSH", bytes));
        }
        let delimiters = Delimiters::read(bytes)?;
        let mut message = Self {
            bytes,
            context: MessageSyntax {
                delimiters,
                charset: Charset::UTF_8,
            },
            doubts: CharsetDoubts::default(),
            found: Vec::with_capacity(16),
            further: None,
        };
        let mut segments = CountedSegments {
            segments: Segments::of(bytes, delimiters.field),
            counts: BTreeMap::new(),
        };
        message.found.extend(segments.by_ref().take(FOUND_ONCE));
        message.further = (message.found.len() == FOUND_ONCE).then_some(segments);
        if message.header().raw().len() > MAX_HEADER_BYTES {
            return Err(ReadError::HeaderTooLong);
        }
        let declared = message.header().field(18).simple();
        let separators = message.context.delimiters.separators();
        (message.context.charset, message.doubts) =
            Charset::decide(declared.raw(), bytes, &separators);
        Ok(message)
    }

    /// The message as one that came in UTF-16 and was made UTF-8 to be read: MSH-18 names neither.
    pub fn from_utf_16(mut self) -> Self {
        let declared = self.header().field(18).simple();
        self.context.charset = Charset::UTF_8;
        self.doubts = CharsetDoubts {
            is_not_utf_16: Charset::contradicts_utf_16(declared.raw()),
            ..CharsetDoubts::default()
        };
        self
    }

    /// The delimiters that MSH names.
    pub fn delimiters(&self) -> Delimiters {
        self.context.delimiters
    }

    /// The character set that MSH-18 declares, by which text is read that is not UTF-8.
    pub fn charset(&self) -> Charset {
        self.context.charset
    }

    /// CharsetDoubts about the character set, each with the first value that it is about.
    pub fn charset_warnings(&self) -> Vec<(CharsetWarning, Position)> {
        let CharsetDoubts {
            is_unknown,
            is_not_utf_16,
            mismatch,
            control,
        } = self.doubts;
        let declared = || self.header().field(18).position();
        let at = |place: Option<usize>, warning| Some((warning, self.position_at(place?)));
        let of_header = |applies: bool, warning| applies.then(|| (warning, declared()));
        [
            of_header(is_unknown, CharsetWarning::Unknown),
            of_header(is_not_utf_16, CharsetWarning::NotUtf16),
            at(mismatch, CharsetWarning::Mismatch),
            at(control, CharsetWarning::Control),
            self.first_entity()
                .map(|at| (CharsetWarning::Entity, self.position_at(at))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Where the first entity of XML stands, but in a result, whose text is kept as it came.
    fn first_entity(&self) -> Option<usize> {
        let is_separator = self.context.delimiters.subcomponent == Some(b'&');
        // Most messages have none but in MSH-2, and need not be taken apart.
        if !is_separator || memchr_iter(b'&', self.bytes).nth(1).is_none() {
            return None;
        }
        let start = self.bytes.as_ptr().addr();
        self.segments()
            .filter(|segment| !matches!(segment.name(), "OBX" | "NTE"))
            .find_map(|segment| {
                let at = entity::first_in(segment.raw())?;
                let from = segment.raw().as_ptr().addr().saturating_sub(start);
                Some(from.saturating_add(at))
            })
    }

    /// The position of the value at this place of the bytes.
    fn position_at(&self, place: usize) -> Position {
        let start = |raw: &[u8]| {
            raw.as_ptr()
                .addr()
                .saturating_sub(self.bytes.as_ptr().addr())
        };
        let within = |segment: &Segment<'_>| {
            let from = start(segment.raw());
            (from..=from.saturating_add(segment.raw().len())).contains(&place)
        };
        let Some(segment) = self.segments().find(within) else {
            return Position::of_segment("MSH");
        };
        let before = place.saturating_sub(start(segment.raw()));
        let before = segment.raw().get(..before).unwrap_or_default();
        let delimiters = self.context.delimiters;
        // How many such separators there are, and what follows the last.
        let past = |bytes: &'a [u8], separator: Option<u8>| -> (u32, &'a [u8]) {
            let last = bytes.iter().rposition(|byte| Some(*byte) == separator);
            let count = Pieces::of(bytes, separator).skip(1).count();
            let after = last.map_or(0, |last| last.saturating_add(1));
            let after = bytes.get(after..).unwrap_or_default();
            (u32::try_from(count).unwrap_or(u32::MAX), after)
        };
        let (fields, in_field) = past(before, Some(delimiters.field));
        let (repetitions, in_repetition) = past(in_field, delimiters.repetition);
        let (components, _) = past(in_repetition, delimiters.component);
        segment
            .position()
            .with_field(fields.saturating_add(u32::from(segment.is_header())))
            .with_repetition(repetitions.saturating_add(1))
            .with_component(components.saturating_add(1))
    }

    /// Looks at every line: what is read although it is not written as it should be, or why nothing can be read.
    pub fn untidy(&self) -> Result<Vec<Untidy>, ReadError> {
        let survey =
            lines::survey(self.bytes, &self.context.delimiters).map_err(
                |unclear| match unclear {
                    LineAmbiguity::Line(line) => ReadError::UnplacedLine(line),
                    LineAmbiguity::Lost(line) => ReadError::LostPart(line),
                    LineAmbiguity::Glued { line, name } => ReadError::GluedSegment {
                        line,
                        name: String::from_utf8_lossy(&name).into_owned(),
                    },
                    LineAmbiguity::Mistyped { line, name } => ReadError::MistypedSegment {
                        line,
                        name: String::from_utf8_lossy(&name).into_owned(),
                    },
                },
            )?;
        let mut untidy = Vec::new();
        if let Some(seen) = survey.untidy
            && let Some(segment) = self.segments().nth(seen.segment)
        {
            untidy.push(Untidy::Segments {
                first: segment.position(),
                line: seen.line,
                count: survey.count,
            });
        }
        if has_unseen(self.bytes)
            && let Some(segment) = self.segments().find(|it| has_unseen(it.raw()))
        {
            untidy.push(Untidy::Control(segment.position()));
        }
        Ok(untidy)
    }

    /// All segments in their order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> {
        self.all_found().map(|found| self.segment(found))
    }

    /// The segments of this name in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = Segment<'a>> {
        let name = SegmentName::of(name.as_bytes());
        let of_name = self.all_found().filter(move |it| it.name == name);
        of_name.map(|found| self.segment(found))
    }

    fn all_found(&self) -> impl Iterator<Item = RawSegment<'a>> {
        let further = self.further.iter().flat_map(Clone::clone);
        self.found.iter().copied().chain(further)
    }

    /// The first segment of this name.
    pub fn first(&self, name: &str) -> Option<Segment<'a>> {
        self.all(name).next()
    }

    /// The value at a position, or nothing if its segment is absent.
    ///
    /// A position without component means the whole field, with all its repetitions if it names none.
    pub fn get(&self, path: &Path) -> Option<Value<'a>> {
        let nth = usize::try_from(path.occurrence()).ok()?.checked_sub(1)?;
        let segment = self.all(path.segment()).nth(nth)?;
        let field = segment.field(path.field());
        let repetition = field.repetition(path.repetition());
        Some(match (path.component(), path.subcomponent()) {
            (0, _) if path.repetition() == 1 => field.into(),
            (0, _) => repetition.into(),
            (component, 0) => repetition.component(component).into(),
            (component, subcomponent) => repetition
                .component(component)
                .subcomponent(subcomponent)
                .into(),
        })
    }

    /// A segment of this name that is not there: all its fields are empty.
    pub fn absent(&self, name: &str) -> Segment<'a> {
        self.segment(RawSegment {
            raw: &[],
            name: SegmentName::of(name.as_bytes()),
            occurrence: 1,
        })
    }

    fn segment(&self, found: RawSegment<'a>) -> Segment<'a> {
        Segment {
            found,
            context: self.context,
        }
    }

    /// MSH.
    pub fn header(&self) -> Segment<'a> {
        match self.found.first() {
            Some(header) => self.segment(*header),
            None => self.absent("MSH"),
        }
    }

    /// MSH-3.1, the application that sent the message.
    pub fn sending_application(&self) -> Cow<'a, str> {
        self.header_text(3)
    }

    /// MSH-4.1, the facility that sent the message.
    pub fn sending_facility(&self) -> Cow<'a, str> {
        self.header_text(4)
    }

    /// MSH-7.1, when the message was made.
    pub fn time(&self) -> Cow<'a, str> {
        self.header_text(7)
    }

    /// MSH-9.1, as `SIU`.
    pub fn message_code(&self) -> Cow<'a, str> {
        self.header_text(9)
    }

    /// MSH-9.2 in capitals, as `S12`.
    pub fn trigger(&self) -> Cow<'a, str> {
        let trigger = self.header().field(9).component(2).text();
        match trigger.contains(|letter: char| letter.is_ascii_lowercase()) {
            true => trigger.to_ascii_uppercase().into(),
            false => trigger,
        }
    }

    /// MSH-10, the sender's number of the message, which real senders repeat.
    pub fn control_id(&self) -> Cow<'a, str> {
        self.header().field(10).text()
    }

    /// MSH-12.1, as `2.5`.
    pub fn version(&self) -> Cow<'a, str> {
        self.header_text(12)
    }

    /// The message with its segments ended by CR and without empty lines, in pieces: two that give the same bytes
    /// are the same message again (interface.md 9).
    pub fn normalised(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        lines::lines(self.bytes).flat_map(|line| [line, b"\r"])
    }

    fn header_text(&self, number: u32) -> Cow<'a, str> {
        self.header().field(number).component(1).text()
    }
}

/// The segments of a message, each counted among those of its name.
#[derive(Debug, Clone)]
struct CountedSegments<'a> {
    segments: Segments<'a>,
    counts: BTreeMap<SegmentName, u32>,
}

impl<'a> Iterator for CountedSegments<'a> {
    type Item = RawSegment<'a>;

    fn next(&mut self) -> Option<RawSegment<'a>> {
        let raw = self.segments.next()?;
        let name = SegmentName::of(raw);
        let count = self.counts.entry(name).or_default();
        *count = count.saturating_add(1);
        Some(RawSegment {
            raw,
            name,
            occurrence: *count,
        })
    }
}

/// What is read although it is not written as it should be: warning `segment-untidy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untidy {
    /// Names of segments stand behind bytes that show nothing, or in small letters.
    Segments {
        /// The first.
        first: Position,
        /// The line of the message, from 1, that it stands in.
        line: usize,
        /// How many there are.
        count: usize,
    },
    /// The first segment with a control character in a value.
    Control(Position),
}

/// A segment of a message.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    found: RawSegment<'a>,
    context: MessageSyntax,
}

impl<'a> Segment<'a> {
    /// The three characters of its name.
    pub fn name(&self) -> &str {
        self.found.name.as_str()
    }

    /// Which of the segments of its name this is, from 1.
    pub fn occurrence(&self) -> u32 {
        self.found.occurrence
    }

    /// Its bytes from the name on, with the lines that continue a field, without its end.
    pub fn raw(&self) -> &'a [u8] {
        self.found.raw
    }

    /// Where the segment stands.
    pub fn position(&self) -> Position {
        Position::of_segment(self.name()).with_occurrence(self.found.occurrence)
    }

    /// How many fields the segment has, empty ones included.
    pub fn field_count(&self) -> u32 {
        let separators = memchr_iter(self.context.delimiters.field, self.found.raw).count();
        let unseparated = usize::from(self.is_header());
        u32::try_from(separators.saturating_add(unseparated)).unwrap_or(u32::MAX)
    }

    /// The field of this number in the standard; MSH-1 is the separator, MSH-2 the other delimiters.
    pub fn field(&self, number: u32) -> Field<'a> {
        let separator = Some(self.context.delimiters.field);
        // The name is the piece before field 1, or in a header the one before field 2.
        let piece = |number: u32| nth(Pieces::of(self.found.raw, separator), number);
        let (raw, delimiters) = match (self.is_header(), number) {
            (_, 0) => (None, self.context.delimiters),
            (true, 1) => (self.found.raw.get(3..4), self.context.delimiters.none()),
            (true, 2) => (piece(2), self.context.delimiters.none()),
            (true, number) => (piece(number), self.context.delimiters),
            (false, number) => (
                number.checked_add(1).and_then(piece),
                self.context.delimiters,
            ),
        };
        let context = MessageSyntax {
            delimiters,
            ..self.context
        };
        Field::new(
            raw.unwrap_or_default(),
            context,
            self.position().with_field(number),
        )
    }

    fn is_header(&self) -> bool {
        self.name() == "MSH"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIU: &[u8] = b"MSH|^~\\&|GAM&1.2&ISO|CHU-X|RCP|RCP|20240306111154||SIU^S12^SIU_S12|3975|P|2.5^FRA^2.11||||||8859/15~UTF-8\r\
        SCH||C-17\r\n\
        PID|1||000003^^^CHU-X~279035121518989^^^INS||PAT-TROIS^Beno\xEEt^^^^^L\n\n\
        NTE\r\
        OBX|1|ED|||^^PDF^Base64^JVBERi0x\r\nLjQK|||F\r\
        OBX|2|TX|||caf\xE9\\T\\th\xE9 \xA4\r";

    #[test]
    fn a_message_is_read_by_its_header() {
        let message = Message::parse(SIU).unwrap();
        assert_eq!(message.delimiters(), Delimiters::STANDARD);
        assert_eq!(message.charset().name(), "ISO-8859-15");
        assert!(message.charset_warnings().is_empty());
        assert_eq!(message.sending_application(), "GAM&1.2&ISO");
        assert_eq!(message.sending_facility(), "CHU-X");
        assert_eq!(message.time(), "20240306111154");
        assert_eq!(
            (message.message_code(), message.trigger()),
            ("SIU".into(), "S12".into())
        );
        assert_eq!(message.control_id(), "3975");
        assert_eq!(message.version(), "2.5");
        assert_eq!(message.header().field(1).text(), "|");
        assert_eq!(message.header().field(2).text(), r"^~\&");
        assert_eq!(message.header().field(2).component(1).text(), r"^~\&");
        assert_eq!(message.header().field(2).component(2).text(), "");
        assert_eq!(message.header().field_count(), 18);
    }

    #[test]
    fn segments_are_named_and_counted() {
        let message = Message::parse(SIU).unwrap();
        let found: Vec<_> = message
            .segments()
            .map(|segment| segment.position().to_string())
            .collect();
        assert_eq!(found, ["MSH", "SCH", "PID", "NTE", "OBX", "OBX(2)"]);
        assert_eq!(
            message
                .all("OBX")
                .map(|segment| segment.occurrence())
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(message.first("NTE").unwrap().field_count(), 0);
        assert_eq!(message.first("SCH").unwrap().field_count(), 2);
        assert!(message.first("AIL").is_none());
    }

    #[test]
    fn segments_are_counted_however_many_there_are() {
        let many = FOUND_ONCE + 500;
        let results: Vec<String> = (1..=many)
            .map(|it| format!("OBX|{it}\rNTE|{it}\r"))
            .collect();
        let text = format!("MSH|^~\\&|A\r{}PID|7\r", results.concat());
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.segments().count(), 2 * many + 2);
        for obx in message.all("OBX") {
            assert_eq!(obx.field(1).text(), obx.occurrence().to_string());
        }
        assert_eq!(message.all("OBX").count(), many);
        let last = format!("OBX({many})-1").parse().unwrap();
        assert_eq!(message.get(&last).unwrap().text(), many.to_string());
        assert_eq!(message.first("PID").unwrap().occurrence(), 1);
        assert_eq!(message.segments().last().unwrap().name(), "PID");
    }

    #[test]
    fn values_are_found_by_path() {
        let message = Message::parse(SIU).unwrap();
        for (path, text) in [
            ("SCH-2.1", "C-17"),
            ("SCH-2", "C-17"),
            ("SCH-0002", "C-17"),
            ("PID-3(2).1", "279035121518989"),
            ("PID-3(2)", "279035121518989^^^INS"),
            ("PID-3(3)", ""),
            ("PID-5.2", "Benoît"),
            ("PID-99.2", ""),
            ("PID-4294967295.2", ""),
            ("OBX-5.5", "JVBERi0x\r\nLjQK"),
            ("OBX-8", "F"),
            ("OBX(2)-5", "café&thé €"),
            ("MSH-1", "|"),
            ("MSH-3.1.2", "1.2"),
            ("MSH-12.2", "FRA"),
        ] {
            let position: Path = path.parse().unwrap();
            let value = message.get(&position).unwrap();
            assert_eq!(value.text(), text, "{path}");
            assert_eq!(value.position(), position);
        }
        for path in ["AIL-3.9", "OBX(3)-5"] {
            assert!(message.get(&path.parse().unwrap()).is_none(), "{path}");
        }
    }

    #[test]
    fn a_doubt_about_the_character_set_names_its_value() {
        let header = "MSH|^~\\&|A|||||||||||||||UTF-8\r";
        for (rest, position) in [
            ("PID|1||7~8^É", "PID-3(2).2"),
            ("PID|1||É^x", "PID-3.1"),
            ("NTE|1\rPID|1|\rPID|1||a&É", "PID(2)-3.1"),
            ("OBX|1|ED|x|\r\nE\rNTE|É", "NTE-1.1"),
        ] {
            let text = format!("{header}{rest}|tail\r");
            let (single, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
            let message = Message::parse(&single).unwrap();
            let found = message.charset_warnings();
            let shown = found.iter().map(|(it, at)| (it.code(), at.to_string()));
            let expected = ("charset-mismatch", position.to_owned());
            assert_eq!(shown.collect::<Vec<_>>(), [expected], "{rest}");
        }
        let sent = header.replace("|A|", "|É|");
        let (single, _, _) = encoding_rs::WINDOWS_1252.encode(&sent);
        let found = Message::parse(&single).unwrap().charset_warnings();
        assert_eq!(found[0].1.to_string(), "MSH-3.1");
    }

    #[test]
    fn utf_16_is_what_the_header_says_or_not() {
        for (declared, warns) in [
            ("", false),
            ("UNICODE UTF-16", false),
            ("UTF-16LE", false),
            ("UNICODE", false),
            ("UTF-8", true),
            ("8859/1", true),
            ("KLINGON", true),
        ] {
            let text = format!("MSH|^~\\&|||||||||||||||É|{declared}\rPID|1||É\r");
            let message = Message::parse(text.as_bytes()).unwrap().from_utf_16();
            let found = message.charset_warnings();
            let shown: Vec<_> = found
                .iter()
                .map(|(it, at)| (it.code(), at.to_string()))
                .collect();
            let expected = [("charset-mismatch", "MSH-18".to_owned())];
            assert_eq!(shown, expected[..usize::from(warns)], "{declared}");
            assert_eq!(message.first("PID").unwrap().field(3).text(), "É");
        }
    }

    #[test]
    fn a_value_borrows_from_the_file() {
        let message = Message::parse(SIU).unwrap();
        let raw = message.first("OBX").unwrap().field(5).component(5).raw();
        assert!(SIU.as_ptr_range().contains(&raw.as_ptr()));
        assert!(matches!(
            message.first("SCH").unwrap().field(2).text(),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn the_same_message_has_the_same_normal_form() {
        let normal = |bytes| {
            Message::parse(bytes)
                .unwrap()
                .normalised()
                .collect::<Vec<_>>()
                .concat()
        };
        let expected = b"MSH|^~\\&|A\rPID|1\rcontinued\r".to_vec();
        for bytes in [
            &b"MSH|^~\\&|A\rPID|1\rcontinued"[..],
            b"MSH|^~\\&|A\nPID|1\ncontinued\n",
            b"MSH|^~\\&|A\r\n\r\nPID|1\r\ncontinued\r\n",
            b"MSH|^~\\&|A\r\rPID|1\n\rcontinued\r\x1c\r",
        ] {
            assert_eq!(normal(bytes), expected);
        }
        assert_ne!(normal(b"MSH|^~\\&|A\rPID|2\rcontinued\r"), expected);
    }

    #[test]
    fn other_delimiters_are_followed() {
        let message = Message::parse(b"MSH!*%?$\rPID!!!a?S?b*c%d$e\rPID|x\r").unwrap();
        let pid = message.first("PID").unwrap();
        assert_eq!(pid.field(3).component(1).text(), "a*b");
        assert_eq!(
            pid.field(3)
                .repetition(2)
                .component(1)
                .subcomponent(2)
                .text(),
            "e\rPID|x"
        );
        assert_eq!(message.segments().count(), 2);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b""[..], b"PID|1", b" MSH|^~\\&|", b"MS"] {
            assert!(matches!(
                Message::parse(bytes),
                Err(ReadError::NoHeader { .. })
            ));
        }
        assert!(matches!(
            Message::parse(b"MSH||GAM"),
            Err(ReadError::Delimiters { .. })
        ));
    }
}
