//! One message: its header read once, its segments found when asked (SPEC 2, "Reading HL7").

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr_iter;

use super::ReadError;
use super::charset::{Charset, CharsetWarning};
use super::delimiters::Delimiters;
use super::lines;
use super::path::{Path, Position, SegmentName};
use super::value::{Context, Field, Pieces, Value, nth};

/// How long MSH may be, whose fields are repeated to the sender.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A message, borrowed from the bytes of its file.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    context: Context,
    charset_warnings: &'static [CharsetWarning],
}

impl<'a> Message<'a> {
    /// Reads the header of a message that starts with these bytes, as [`super::batch::split`] gives them.
    ///
    /// One pass over the bytes decides the character set; segments are not looked for.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        if !bytes.starts_with(b"MSH") {
            return Err(ReadError::no_header("MSH", bytes));
        }
        let mut message = Self {
            bytes,
            context: Context {
                delimiters: Delimiters::read(bytes)?,
                charset: Charset::UTF_8,
            },
            charset_warnings: &[],
        };
        if message.header().raw().len() > MAX_HEADER_BYTES {
            return Err(ReadError::HeaderTooLong);
        }
        let declared = message.header().field(18).simple();
        let (charset, warnings) = Charset::decide(declared.raw(), bytes);
        message.context.charset = charset;
        message.charset_warnings = warnings;
        Ok(message)
    }

    /// The delimiters that MSH names.
    pub fn delimiters(&self) -> Delimiters {
        self.context.delimiters
    }

    /// The character set by which the text is read.
    pub fn charset(&self) -> Charset {
        self.context.charset
    }

    /// Doubts about the character set; both may apply to one message.
    pub fn charset_warnings(&self) -> &'static [CharsetWarning] {
        self.charset_warnings
    }

    /// The bytes of all segments in their order.
    pub fn raw_segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        lines::segments(self.bytes, self.context.delimiters.field)
    }

    /// All segments in their order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let context = self.context;
        let mut counts: HashMap<SegmentName, u32> = HashMap::new();
        self.raw_segments().map(move |raw| {
            let name = SegmentName::of(raw);
            let count = counts.entry(name).or_default();
            *count = count.saturating_add(1);
            let occurrence = *count;
            Segment {
                raw,
                context,
                name,
                occurrence,
            }
        })
    }

    /// The segments of this name in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let context = self.context;
        let name = SegmentName::of(name.as_bytes());
        lines::segments(self.bytes, context.delimiters.field)
            .filter(move |raw| SegmentName::of(raw) == name)
            .zip(1..)
            .map(move |(raw, occurrence)| Segment {
                raw,
                context,
                name,
                occurrence,
            })
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
        Segment {
            raw: &[],
            context: self.context,
            name: SegmentName::of(name.as_bytes()),
            occurrence: 1,
        }
    }

    /// MSH.
    pub fn header(&self) -> Segment<'a> {
        Segment {
            raw: lines::segments(self.bytes, self.context.delimiters.field)
                .next()
                .unwrap_or_default(),
            context: self.context,
            name: SegmentName::of(b"MSH"),
            occurrence: 1,
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

    /// MSH-9.2, as `S12`.
    pub fn trigger(&self) -> Cow<'a, str> {
        self.header().field(9).component(2).text()
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
    /// are the same message again (SPEC 9).
    pub fn normalised(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        lines::lines(self.bytes).flat_map(|line| [line, b"\r"])
    }

    fn header_text(&self, number: u32) -> Cow<'a, str> {
        self.header().field(number).component(1).text()
    }
}

/// A segment of a message.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    raw: &'a [u8],
    context: Context,
    name: SegmentName,
    occurrence: u32,
}

impl<'a> Segment<'a> {
    /// The three characters of its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Which of the segments of its name this is, from 1.
    pub fn occurrence(&self) -> u32 {
        self.occurrence
    }

    /// Its bytes from the name on, with the lines that continue a field, without its end.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Where the segment stands.
    pub fn position(&self) -> Position {
        Position::of_segment(self.name()).with_occurrence(self.occurrence)
    }

    /// How many fields the segment has, empty ones included.
    pub fn field_count(&self) -> u32 {
        let separators = memchr_iter(self.context.delimiters.field, self.raw).count();
        let unseparated = usize::from(self.is_header());
        u32::try_from(separators.saturating_add(unseparated)).unwrap_or(u32::MAX)
    }

    /// The field of this number in the standard; MSH-1 is the separator, MSH-2 the other delimiters.
    pub fn field(&self, number: u32) -> Field<'a> {
        let separator = Some(self.context.delimiters.field);
        // The name is the piece before field 1, or in a header the one before field 2.
        let piece = |number: u32| nth(Pieces::of(self.raw, separator), number);
        let (raw, delimiters) = match (self.is_header(), number) {
            (_, 0) => (None, self.context.delimiters),
            (true, 1) => (self.raw.get(3..4), self.context.delimiters.none()),
            (true, 2) => (piece(2), self.context.delimiters.none()),
            (true, number) => (piece(number), self.context.delimiters),
            (false, number) => (
                number.checked_add(1).and_then(piece),
                self.context.delimiters,
            ),
        };
        let context = Context {
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
        assert_eq!(message.charset_warnings(), []);
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
