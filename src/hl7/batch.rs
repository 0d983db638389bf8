//! The messages of a file: batch envelopes and transport framing around them (HL7 v2.5 chapter 2.10.3; interface.md 2).
//!
//! A header begins a message wherever a line or a block begins, also behind bytes that show nothing, and where it was
//! glued to the end of the message before. What may be a header, or may not, refuses the file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use memchr::memchr3;

use super::ReadError;
use super::delimiters::{Delimiters, is_delimiter};
use super::envelope::{EnvelopeSegment, LineHead, MAX_MESSAGES};
use super::glued::{glued_headers, seen};
use super::lines::{first_line, is_blank, line_at};
use super::path::Position;
use super::unseen::{BLOCK_END, BLOCK_START, is_line_end, skip_unseen};
use super::value::Pieces;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The messages of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageBatch<'a> {
    /// Each from its MSH to before the next message or envelope segment, without framing. There is none in an empty
    /// batch, whose counts agree.
    pub messages: Vec<&'a [u8]>,
    /// Which messages do not begin or end as they should, by their place from 0.
    edges: BTreeMap<usize, MessageEdges>,
    /// The first count in an envelope that is not the number of what came: warning `batch-count`.
    pub count_mismatch: Option<CountMismatch>,
}

impl<'a> MessageBatch<'a> {
    /// How the message at this place, from 0, begins and ends.
    pub fn edges(&self, place: usize) -> MessageEdges {
        self.edges.get(&place).copied().unwrap_or_default()
    }

    /// What is to be known to make the same of these bytes again, which it was made from, without reading them.
    pub fn extents(&self, bytes: &[u8]) -> Extents {
        let start = bytes.as_ptr().addr();
        let extent = |message: &&[u8]| {
            let from = message.as_ptr().addr().saturating_sub(start);
            from..from.saturating_add(message.len())
        };
        Extents {
            messages: self.messages.iter().map(extent).collect(),
            edges: self.edges.clone(),
            count_mismatch: self.count_mismatch.clone(),
        }
    }

    /// The messages of a file where it is known how far each extends.
    pub fn at(extents: Extents, bytes: &'a [u8]) -> Self {
        let messages = extents.messages.into_iter();
        Self {
            messages: messages
                .map(|extent| bytes.get(extent).unwrap_or_default())
                .collect(),
            edges: extents.edges,
            count_mismatch: extents.count_mismatch,
        }
    }
}

/// From where to where each message of a file extends in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extents {
    messages: Vec<Range<usize>>,
    edges: BTreeMap<usize, MessageEdges>,
    count_mismatch: Option<CountMismatch>,
}

/// How a message lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageEdges {
    /// Whether its header, or one of the envelope before it, does not stand at the start of a line: warning
    /// `segment-untidy`.
    pub begins_untidy: bool,
    /// Whether it ends without the end of a segment, as a file does that was cut off.
    pub ends_open: bool,
}

/// A count in BTS-1 or FTS-1 that is not the number of what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountMismatch {
    /// BTS-1, which counts the messages of its batch, or FTS-1, which counts the batches.
    pub position: Position,
    /// What stands there.
    pub declared: String,
    /// What came.
    pub counted: usize,
}

impl fmt::Display for CountMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            declared,
            counted,
        } = self;
        write!(f, "{position} declares {declared}, but {counted} came")
    }
}

/// Whether a file's content is HL7 v2, told from how it starts (interface.md 2).
pub fn looks_like_hl7(bytes: &[u8]) -> bool {
    EnvelopeSegment::named(skip_to_content(bytes)).is_some_and(|name| {
        name.kind.is_header() && name.after.first().is_some_and(|it| is_delimiter(*it))
    })
}

/// The header of a file that is an envelope, as that of a message: their first fields, which tell the sender, are the
/// same.
pub fn envelope_header(bytes: &[u8]) -> Vec<u8> {
    let line = first_line(skip_to_content(bytes)).0;
    let mut header = b"MSH".to_vec();
    header.extend_from_slice(line.get(3..).unwrap_or_default());
    header
}

/// Finds the messages of a file.
///
/// Where BHS is left out, as it may be, the messages up to the next BTS, BHS or FTS are a batch. Of the segments that
/// an envelope may hold besides messages, none is read.
pub fn split(bytes: &[u8]) -> Result<MessageBatch<'_>, ReadError> {
    if !looks_like_hl7(bytes) {
        return Err(ReadError::no_header(
            "MSH, FHS or BHS",
            skip_to_content(bytes),
        ));
    }
    let first = Delimiters::read(&seen::<12>(skip_to_content(bytes)));
    let first = first.unwrap_or(Delimiters::STANDARD);
    let mut glued = glued_headers(bytes, &first)?.into_iter().peekable();
    let mut splitter = Splitter::default();
    let mut line = bytes;
    loop {
        let start = bytes.len().saturating_sub(line.len());
        let is_glued = glued.next_if_eq(&start).is_some();
        let content = skip_unseen(line);
        match EnvelopeSegment::of(content, &splitter.separators) {
            LineHead::Segment(kind) => {
                let before = line.len().saturating_sub(content.len());
                let before = line.get(..before).unwrap_or_default();
                let is_untidy = is_glued || !is_framing(before, start == 0);
                splitter.take(kind, line, content, is_untidy);
            }
            LineHead::Unclear => return Err(ReadError::UnclearHeader(line_at(bytes, start))),
            LineHead::Other => splitter.pass(content, start),
        }
        if splitter.batch.messages.len() > MAX_MESSAGES {
            return Err(ReadError::TooManyMessages);
        }
        // A block's end may be followed by the next block without a line end.
        let end = memchr3(b'\r', b'\n', BLOCK_END, line)
            .map(|end| start.saturating_add(end).saturating_add(1));
        let next = match (end, glued.peek()) {
            (Some(end), Some(glued)) => end.min(*glued),
            (Some(end), None) => end,
            (None, Some(glued)) => *glued,
            (None, None) => break,
        };
        line = bytes.get(next..).unwrap_or_default();
    }
    splitter.finish(bytes)
}

/// Whether what stands before a header on its line is what transports put there.
fn is_framing(before: &[u8], is_start_of_file: bool) -> bool {
    let before = match is_start_of_file {
        true => before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before),
        false => before,
    };
    before.iter().all(|byte| *byte == BLOCK_START)
}

struct Splitter<'a> {
    batch: MessageBatch<'a>,
    /// From the MSH of the message that is being read to the end of the file.
    message: Option<&'a [u8]>,
    /// The field separators that headers have named so far.
    separators: Vec<u8>,
    in_batch: bool,
    messages_of_batch: usize,
    batches: usize,
    /// Whether a segment of the envelope is untidy that comes before the next message.
    is_untidy: bool,
    /// Whether an envelope was ended.
    is_ended: bool,
    /// Where the first line stands that belongs to no message and to no envelope.
    stray: Option<usize>,
}

impl Default for Splitter<'_> {
    fn default() -> Self {
        Self {
            batch: MessageBatch {
                messages: Vec::new(),
                edges: BTreeMap::new(),
                count_mismatch: None,
            },
            message: None,
            separators: Vec::new(),
            in_batch: false,
            messages_of_batch: 0,
            batches: 0,
            is_untidy: false,
            is_ended: false,
            stray: None,
        }
    }
}

impl<'a> Splitter<'a> {
    /// Takes a segment that ends the message before it; `line` is its line with framing, `content` without.
    fn take(&mut self, kind: EnvelopeSegment, line: &'a [u8], content: &'a [u8], is_untidy: bool) {
        self.close_message(line);
        self.is_untidy |= is_untidy;
        if kind.is_header()
            && let Some(separator) =
                EnvelopeSegment::named(content).and_then(|name| name.after.first())
            && !self.separators.contains(separator)
        {
            self.separators.push(*separator);
        }
        match kind {
            EnvelopeSegment::Message => {
                if !self.in_batch {
                    self.open_batch();
                }
                self.messages_of_batch = self.messages_of_batch.saturating_add(1);
                self.message = Some(content);
                if std::mem::take(&mut self.is_untidy) {
                    let place = self.batch.messages.len();
                    self.batch.edges.entry(place).or_default().begins_untidy = true;
                }
            }
            EnvelopeSegment::FileHeader => {
                self.in_batch = false;
                self.batches = 0;
            }
            EnvelopeSegment::BatchHeader => self.open_batch(),
            EnvelopeSegment::BatchTrailer => {
                if !self.in_batch {
                    self.open_batch();
                }
                self.compare("BTS", content, self.messages_of_batch);
                self.in_batch = false;
                self.is_ended = true;
            }
            EnvelopeSegment::FileTrailer => {
                self.compare("FTS", content, self.batches);
                self.in_batch = false;
                self.batches = 0;
                self.is_ended = true;
            }
        }
    }

    /// Passes a line that begins no message. Outside of one, an envelope holds segments of its own.
    fn pass(&mut self, content: &[u8], at: usize) {
        if self.message.is_some() || self.stray.is_some() {
            return;
        }
        let (line, _) = first_line(content);
        let is_own = match line.get(..3) {
            Some(name) => {
                matches!(name, b"SFT" | b"UAC" | b"NTE" | b"DSC" | b"BHS" | b"FHS")
                    || name.first() == Some(&b'Z')
            }
            None => false,
        };
        if !is_own && !is_blank(line) {
            self.stray = Some(at);
        }
    }

    fn open_batch(&mut self) {
        self.in_batch = true;
        self.messages_of_batch = 0;
        self.batches = self.batches.saturating_add(1);
    }

    /// Ends the message that is being read before what starts these bytes.
    fn close_message(&mut self, next: &[u8]) {
        let Some(message) = self.message.take() else {
            return;
        };
        let message = message
            .get(..message.len().saturating_sub(next.len()))
            .unwrap_or(message);
        let shown = message
            .iter()
            .rposition(|byte| !byte.is_ascii_control() && *byte != b' ');
        let (text, end) = message
            .split_at_checked(shown.map_or(0, |last| last.saturating_add(1)))
            .unwrap_or((message, &[]));
        if !end.iter().any(|byte| is_line_end(*byte)) {
            let place = self.batch.messages.len();
            self.batch.edges.entry(place).or_default().ends_open = true;
        }
        let blanks = end.iter().take_while(|byte| **byte == b' ').count();
        let length = text.len().saturating_add(blanks);
        self.batch
            .messages
            .push(message.get(..length).unwrap_or(message));
    }

    fn finish(mut self, bytes: &'a [u8]) -> Result<MessageBatch<'a>, ReadError> {
        self.close_message(&[]);
        if self.batch.messages.len() > MAX_MESSAGES {
            return Err(ReadError::TooManyMessages);
        }
        match self.stray {
            Some(_) if self.batch.messages.is_empty() => Err(ReadError::EnvelopeWithoutMessage),
            Some(at) => Err(ReadError::Stray(line_at(bytes, at))),
            None if self.batch.messages.is_empty()
                && (!self.is_ended || self.batch.count_mismatch.is_some()) =>
            {
                Err(ReadError::EnvelopeWithoutMessage)
            }
            None => Ok(self.batch),
        }
    }

    fn compare(&mut self, name: &str, trailer: &[u8], counted: usize) {
        let line = first_line(trailer).0;
        let declared = Pieces::of(line, line.get(3).copied())
            .nth(1)
            .unwrap_or_default()
            .trim_ascii();
        let declared = String::from_utf8_lossy(declared);
        // A batch without a message may not be counted as one.
        let is_empty = self.batch.messages.is_empty() && declared.parse() == Ok(0_usize);
        if !declared.is_empty()
            && declared.parse() != Ok(counted)
            && !is_empty
            && self.batch.count_mismatch.is_none()
        {
            self.batch.count_mismatch = Some(CountMismatch {
                position: Position::of_segment(name).with_field(1),
                declared: declared.chars().take(80).collect(),
                counted,
            });
        }
    }
}

/// From the first byte that is neither byte-order mark, white space, control character nor framing.
fn skip_to_content(mut bytes: &[u8]) -> &[u8] {
    loop {
        let skipped = skip_unseen(bytes);
        match skipped {
            [end, rest @ ..] if is_line_end(*end) => bytes = rest,
            _ => return skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hl7_is_told_from_how_it_starts() {
        for (bytes, is_hl7) in [
            (&b"MSH|^~\\&|"[..], true),
            (b"FHS|^~\\&|", true),
            (b"BHS!", true),
            (b"\xEF\xBB\xBFMSH|", true),
            (b"\x0BMSH|", true),
            (b" \r\n\x0B\xEF\xBB\xBF\tMSH|", true),
            (b"", false),
            (b"MSH", false),
            (b"MSH ", false),
            (b"MSHA", false),
            (b"MSH\xC3\xA9", false),
            (b"PID|1", false),
            (b"<MSH|", false),
            (b"\xFF\xFEM\0S\0H\0|\0", false),
        ] {
            assert_eq!(looks_like_hl7(bytes), is_hl7, "{}", bytes.escape_ascii());
            if !is_hl7 {
                assert!(matches!(split(bytes), Err(ReadError::NoHeader { .. })));
            }
        }
    }

    #[test]
    fn messages_are_cut_at_envelopes_and_framing() {
        let one: &[u8] = b"MSH|^~\\&|1\rPID|1";
        let two: &[u8] = b"MSH|^~\\&|2";
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"MSH|^~\\&|1\rPID|1", &[one]),
            (b"\xEF\xBB\xBF\n MSH|^~\\&|1\rPID|1\r\n", &[one]),
            (b"\x0BMSH|^~\\&|1\rPID|1\r\x1C\r", &[one]),
            (b"\x0BMSH|^~\\&|1\rPID|1\x1C", &[one]),
            (b"MSH|^~\\&|1\rPID|1\rMSH|^~\\&|2\r", &[one, two]),
            (b"MSH|^~\\&|1\rPID|1\r\n\r\nMSH|^~\\&|2\r\n", &[one, two]),
            (b"\x0BMSH|^~\\&|1\rPID|1\r\x1C\r\x0BMSH|^~\\&|2\r\x1C\r", &[one, two]),
            (b"\x0BMSH|^~\\&|1\rPID|1\x1C\x0BMSH|^~\\&|2\x1C", &[one, two]),
            (b"\xEF\xBB\xBFMSH|^~\\&|1\rPID|1\n\xEF\xBB\xBFMSH|^~\\&|2", &[one, two]),
            (b"FHS|^~\\&|x\rBHS|^~\\&\rMSH|^~\\&|1\rPID|1\rBTS|1\rBHS|^~\\&|\rMSH|^~\\&|2\rBTS|1\rFTS|2\r", &[one, two]),
            (b"FHS|^~\\&|x\rUAC|z\rMSH|^~\\&|1\rPID|1\rMSH|^~\\&|2\rBTS\rFTS", &[one, two]),
            (b"MSH|^~\\&|1\rOBX|a\rMSH+base64\rMSH/aaa\rBTS+a", &[b"MSH|^~\\&|1\rOBX|a\rMSH+base64\rMSH/aaa\rBTS+a"]),
            (b"MSH|^~\\&|2\rMSH!*%?$!3\rBTS!2", &[two, b"MSH!*%?$!3"]),
            (b"MSH|^~\\&|2\rMSH||broken", &[two, b"MSH||broken"]),
            (b"MSH||broken\rMSH|^~\\&|2", &[b"MSH||broken", two]),
        ];
        for (bytes, messages) in cases {
            let batch = split(bytes).unwrap();
            assert_eq!(&batch.messages, messages, "{}", bytes.escape_ascii());
            assert_eq!(MessageBatch::at(batch.extents(bytes), bytes), batch);
            assert_eq!(batch.count_mismatch, None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn counts_are_compared() {
        for (file, mismatch) in [
            ("BHS|^~\\&\rMSH|^~\\&\rMSH|^~\\&\rBTS|2", None),
            (
                "BHS|^~\\&\rMSH|^~\\&\rMSH|^~\\&\rBTS|3",
                Some("BTS-1 declares 3, but 2 came"),
            ),
            ("BHS|^~\\&\rMSH|^~\\&\rBTS||comment", None),
            ("\u{b}BHS|^~\\&\rMSH|^~\\&\rBTS|1\u{1c}\r", None),
            ("BHS|^~\\&\rMSH|^~\\&\rBTS| 01 |", None),
            (
                "BHS|^~\\&\rMSH|^~\\&\rBTS|one",
                Some("BTS-1 declares one, but 1 came"),
            ),
            ("FHS|^~\\&\rMSH|^~\\&\rMSH|^~\\&\rFTS|1", None),
            (
                "FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&\rBTS|1\rBHS|^~\\&\rBTS|0\rFTS|2",
                None,
            ),
            (
                "FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&\rBHS|^~\\&\rMSH|^~\\&\rFTS|3",
                Some("FTS-1 declares 3, but 2 came"),
            ),
            ("FHS|^~\\&\rMSH|^~\\&\rBTS|1\rMSH|^~\\&\rBTS|1\rFTS|2", None),
            (
                "MSH|^~\\&\rBTS|7\rMSH|^~\\&\rBTS|8",
                Some("BTS-1 declares 7, but 1 came"),
            ),
        ] {
            let found = split(file.as_bytes())
                .unwrap()
                .count_mismatch
                .map(|mismatch| mismatch.to_string());
            assert_eq!(found.as_deref(), mismatch, "{file:?}");
        }
    }

    #[test]
    fn an_empty_batch_holds_no_message() {
        for file in [
            "FHS|^~\\&|x\rFTS|0",
            "FHS|^~\\&|x\rFTS",
            "BHS|^~\\&\rBTS|0\r",
            "FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|1\r",
            "\u{b}FHS|^~\\&\r\0BHS|^~\\&\rBTS|\rFTS|0\r\u{1c}\r",
        ] {
            let batch = split(file.as_bytes()).unwrap();
            assert!(batch.messages.is_empty(), "{file:?}");
            assert_eq!(batch.count_mismatch, None, "{file:?}");
        }
    }

    #[test]
    fn messages_begin_wherever_a_header_is_certain() {
        let clean = MessageEdges::default();
        let untidy = MessageEdges {
            begins_untidy: true,
            ..clean
        };
        for (between, first, second) in [
            ("\r", false, clean),
            ("\r\u{1c}\r\u{b}", false, clean),
            ("\u{1c}\u{b}", false, clean),
            ("\u{1c}", false, clean),
            ("\r\0\0\r", false, clean),
            ("\r\0\0", false, untidy),
            ("\r  \t", false, untidy),
            ("\r\u{feff}", false, untidy),
            ("\r\u{200b}\u{a0}", false, untidy),
            ("", true, untidy),
            ("\0\0", true, untidy),
            ("\u{b}", true, untidy),
            ("  ", true, untidy),
        ] {
            for name in ["MSH", "msh", "Msh"] {
                let file = format!("MSH|^~\\&|1\rPID|1||A|F{between}{name}|^~\\&|2\rPID|2\r");
                let batch = split(file.as_bytes()).unwrap();
                assert_eq!(batch.messages.len(), 2, "{file:?}");
                assert_eq!(
                    batch.messages[0].trim_ascii_end(),
                    b"MSH|^~\\&|1\rPID|1||A|F"
                );
                assert!(batch.messages[1].ends_with(b"|^~\\&|2\rPID|2"), "{file:?}");
                assert_eq!(batch.edges(0).ends_open, first, "{file:?}");
                assert_eq!(batch.edges(1), second, "{file:?}");
            }
        }
    }

    #[test]
    fn a_spoilt_header_spoils_its_own_message_only() {
        let header = "MSH|^~\\&|";
        for unseen in ["\0", "\0\0\u{1}", " ", "\u{feff}", "\u{200b}"] {
            for place in 1..header.len() {
                for between in ["\r", "\r\n\u{b}", "\u{1c}", ""] {
                    let mut spoilt = header.to_owned();
                    spoilt.insert_str(place, unseen);
                    let file = format!("{header}1\rPID|1||A|F{between}{spoilt}2\rPID|2\r");
                    let batch = split(file.as_bytes()).unwrap();
                    assert_eq!(batch.messages.len(), 2, "{file:?}");
                    let first = batch.messages[0].trim_ascii_end();
                    assert_eq!(first, b"MSH|^~\\&|1\rPID|1||A|F", "{file:?}");
                    // At the start, too.
                    let file = format!("{spoilt}1\rPID|1\r{header}2\rPID|2\r");
                    assert_eq!(
                        split(file.as_bytes()).unwrap().messages.len(),
                        2,
                        "{file:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_text_that_names_a_header_begins_no_message() {
        for text in [
            "see MSH|^",
            "MSH|",
            "MSH|-|",
            "MSH|^~",
            "MSH(+/-)",
            "MSH\\F\\\\S\\\\R\\\\E\\\\T\\\\F\\",
            "msh|^~\\",
            "M S H|",
            "MSH\0|",
            "MSH||a|b|c|d|e|f|g",
            "le MSH|ADT^A28",
            "voir msh (ADT, ORU)",
            "le segment MSH de ce message ORU est vide",
            "le segment msh de ce message ADT est vide",
            "msh, segment, du, message, ORU, ADT, ACK",
            "fhs: a",
            "msh(+/-)",
        ] {
            let file = format!("MSH|^~\\&|1\rNTE|1||{text}\rPID|1\r");
            let batch = split(file.as_bytes()).unwrap();
            assert_eq!(batch.messages.len(), 1, "{file:?}");
        }
    }

    #[test]
    fn what_may_begin_a_message_or_may_not_refuses_the_file() {
        for (between, header) in [
            ("", "MSH|^~|2"),
            ("", "MSH|$%*@|2"),
            ("", "MSH$%*@!$2"),
            ("\r", "MSH"),
            ("\r", "MSH^~\\&|2"),
            ("", "MSH||EHR|HOSPITAL|RCP|DESK|20260101||ADT^A28|B2|P|2.5"),
            ("", "|MSH||EHR|HOSPITAL|RCP|DESK|20260101||ADT^A28|B2|P|2.5"),
            ("", "|MSH|EHR|HOSPITAL|RCP|DESK|20260101||ADT^A28|B2|P|2.5"),
            ("", "|msh|EHR|HOSPITAL|RCP|DESK|20260101||adt^a28|B2|P|2.5"),
            (
                "",
                "|MSH|#|EHR|HOSPITAL|RCP|DESK|20260101||ADT#A28|B2|P|2.5",
            ),
            ("", "|MSH|EHR|HOSPITAL|RCP|DESK|20260101||ORU|B2|P|2.5"),
            ("", "MSH##EHR#HOSPITAL#RCP#DESK#20260101##ADT^A28#B2#P#2.5"),
            ("", "msh|^~|2"),
            ("", "Msh|$%*@|2"),
            ("", "msh$%*@!$2"),
            ("|", "Msh$%*@!$2"),
            ("\r", "MHS|^~\\&|EHR|HOSPITAL"),
            ("\r", "MSG|^~\\&|EHR|HOSPITAL"),
            ("\n", "SH|^~\\&|EHR|HOSPITAL"),
            ("\r", "ZZZ|1|^~\\&#|EHR|HOSPITAL"),
            ("", "msh##EHR#HOSPITAL#RCP#DESK#20260101##adt^a28#B2#P#2.5"),
        ] {
            let file = format!("MSH|^~\\&|1\rPID|1||A|F{between}{header}\rPID|2\r");
            let found = split(file.as_bytes());
            assert!(
                matches!(found, Err(ReadError::UnclearHeader(2 | 3))),
                "{file:?}: {found:?}"
            );
        }
    }

    #[test]
    fn what_belongs_to_no_message_refuses_the_file() {
        for (file, expected) in [
            (
                "MSH|^~\\&|1\rPID|1\r<?xml version=\"1.0\"?><a/>",
                ReadError::Mixed(3),
            ),
            (
                "MSH|^~\\&|1\rPID|1<ClinicalDocument xmlns=\"\"/>",
                ReadError::Mixed(2),
            ),
            (
                "MSH|^~\\&|1\rPID|1\r\u{1c}\u{b}<n:ClinicalDocument/>",
                ReadError::Mixed(3),
            ),
            (
                "BHS|^~\\&\rMSH|^~\\&|1\rBTS|1\rPID|2\rMSH|^~\\&|1\r",
                ReadError::Stray(4),
            ),
        ] {
            assert_eq!(split(file.as_bytes()), Err(expected), "{file:?}");
        }
        let text = "MSH|^~\\&|1\rOBX|1|TX|||<?xml version=\"1.0\"?>||||||F\r";
        assert_eq!(split(text.as_bytes()).unwrap().messages.len(), 1);
    }

    #[test]
    fn an_envelope_without_a_message_is_refused() {
        for file in [
            "BHS|^~\\&",
            "FHS|^~\\&\rBHS|^~\\&\r",
            "FHS|\rPID|1\r",
            "FHS|^~\\&|x\rPID|1\rFTS|0",
            "BHS|^~\\&\rBTS|3\r",
        ] {
            assert_eq!(
                split(file.as_bytes()),
                Err(ReadError::EnvelopeWithoutMessage)
            );
        }
    }

    /// Pieces of which nearly every row is a message, or two, or spoils one.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "MSH|^~\\&|A",
            "\rMSH|^~\\&|A",
            "msh|^~\\&|A",
            "msh#*%@!#A",
            "\rMsh#*%@!#A",
            "\rPID|1||P-1|F",
            "\rOBX|1|ED|||^^PDF^Base64^JVBERi0x\rLjQK|||F",
            "\rBHS|^~\\&|A\r",
            "\rBTS|1\r",
            "\r",
            "\n",
            "\u{1c}",
            "\u{b}",
            "\0\0",
            "  ",
            "\t",
            "\u{feff}",
            "text",
            "|MSH|",
            "|MSH|^~|",
            "\rM\0SH|^~\\&|A",
            "MSH\u{1}|^~\0\\&|A",
            "<?xml version=\"1.0\"?>",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn each_header_is_a_message_or_the_file_is_refused(
            pieces in prop::collection::vec(piece(), 0..12),
        ) {
            let file = format!("MSH|^~\\&|A{}", pieces.concat());
            let shown = file.replace(|it: char| it.is_control() && !matches!(it, '\r' | '\n' | '\u{1c}'), "");
            let shown = shown.to_ascii_uppercase();
            let headers = ["MSH|^~\\&|", "MSH#*%@!#"].map(|it| shown.matches(it).count());
            let headers: usize = headers.iter().sum();
            if let Ok(batch) = split(file.as_bytes()) {
                prop_assert_eq!(batch.messages.len(), headers, "{:?}", file);
            }
        }
    }
}
