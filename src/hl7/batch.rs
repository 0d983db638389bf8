//! The messages of a file: batch envelopes and transport framing around them (HL7 v2.5 chapter 2.10.3; SPEC 2).

use std::fmt;

use memchr::memchr3;

use super::ReadError;
use super::delimiters::{Delimiters, is_delimiter};
use super::lines::{BLOCK_END, BLOCK_START};
use super::path::Position;
use super::value::Pieces;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How many messages a file may hold: what is told of each is kept until the file is finished.
pub const MAX_MESSAGES: usize = 100_000;

/// The messages of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Each from its MSH to before the next message or envelope segment, without framing.
    pub messages: Vec<&'a [u8]>,
    /// Whether the last message ends without the end of a segment, as a file does that was cut off.
    pub ends_open: bool,
    /// The first count in an envelope that is not the number of what came: warning `batch-count`.
    pub count_mismatch: Option<CountMismatch>,
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

/// Whether a file's content is HL7 v2, told from how it starts (SPEC 2).
pub fn looks_like_hl7(bytes: &[u8]) -> bool {
    match skip_to_content(bytes) {
        [a, b, c, separator, ..] => {
            matches!(&[*a, *b, *c], b"MSH" | b"FHS" | b"BHS") && is_delimiter(*separator)
        }
        _ => false,
    }
}

/// Finds the messages of a file.
///
/// What stands in an envelope and is neither a message nor a count is not read. Where BHS is left out, as it may
/// be, the messages up to the next BTS, BHS or FTS are a batch.
pub fn split(bytes: &[u8]) -> Result<Batch<'_>, ReadError> {
    if !looks_like_hl7(bytes) {
        return Err(ReadError::no_header(
            "MSH, FHS or BHS",
            skip_to_content(bytes),
        ));
    }
    let mut splitter = Splitter::default();
    let mut line = skip_to_content(bytes);
    loop {
        let content = skip_framing(line);
        if let Some(kind) = Kind::of(content, &splitter.separators) {
            splitter.take(kind, line, content);
            if splitter.batch.messages.len() > MAX_MESSAGES {
                return Err(ReadError::TooManyMessages);
            }
        }
        // A block's end may be followed by the next block without a line end.
        let Some(end) = memchr3(b'\r', b'\n', BLOCK_END, line) else {
            break;
        };
        line = line.get(end.saturating_add(1)..).unwrap_or_default();
    }
    splitter.close_message(&[]);
    if splitter.batch.messages.len() > MAX_MESSAGES {
        return Err(ReadError::TooManyMessages);
    }
    if splitter.batch.messages.is_empty() {
        return Err(ReadError::EnvelopeWithoutMessage);
    }
    Ok(splitter.batch)
}

struct Splitter<'a> {
    batch: Batch<'a>,
    /// From the MSH of the message that is being read to the end of the file.
    message: Option<&'a [u8]>,
    /// The field separators that headers have named so far.
    separators: Vec<u8>,
    in_batch: bool,
    messages_of_batch: usize,
    batches: usize,
}

impl Default for Splitter<'_> {
    fn default() -> Self {
        Self {
            batch: Batch {
                messages: Vec::new(),
                ends_open: false,
                count_mismatch: None,
            },
            message: None,
            separators: Vec::new(),
            in_batch: false,
            messages_of_batch: 0,
            batches: 0,
        }
    }
}

impl<'a> Splitter<'a> {
    /// Takes a segment that ends the message before it; `line` is its line with framing, `content` without.
    fn take(&mut self, kind: Kind, line: &'a [u8], content: &'a [u8]) {
        self.close_message(line);
        if let (true, Some(separator)) = (kind.is_header(), content.get(3))
            && !self.separators.contains(separator)
        {
            self.separators.push(*separator);
        }
        match kind {
            Kind::Message => {
                if !self.in_batch {
                    self.open_batch();
                }
                self.messages_of_batch = self.messages_of_batch.saturating_add(1);
                self.message = Some(content);
            }
            Kind::FileHeader => {
                self.in_batch = false;
                self.batches = 0;
            }
            Kind::BatchHeader => self.open_batch(),
            Kind::BatchTrailer => {
                if !self.in_batch {
                    self.open_batch();
                }
                self.compare("BTS", content, self.messages_of_batch);
                self.in_batch = false;
            }
            Kind::FileTrailer => {
                self.compare("FTS", content, self.batches);
                self.in_batch = false;
                self.batches = 0;
            }
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
        let end = message
            .iter()
            .rposition(|byte| !matches!(*byte, b'\r' | b'\n' | BLOCK_START | BLOCK_END));
        let length = end.map_or(0, |last| last.saturating_add(1));
        self.batch.ends_open = length == message.len();
        self.batch
            .messages
            .push(message.get(..length).unwrap_or(message));
    }

    fn compare(&mut self, name: &str, trailer: &[u8], counted: usize) {
        let line = memchr3(b'\r', b'\n', BLOCK_END, trailer)
            .map_or(trailer, |end| trailer.get(..end).unwrap_or(trailer));
        let declared = Pieces::of(line, line.get(3).copied())
            .nth(1)
            .unwrap_or_default()
            .trim_ascii();
        let declared = String::from_utf8_lossy(declared);
        if !declared.is_empty()
            && declared.parse() != Ok(counted)
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

/// The segments that end the message before them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    FileHeader,
    BatchHeader,
    BatchTrailer,
    FileTrailer,
}

impl Kind {
    /// Which of them starts these bytes, given the field separators known so far.
    ///
    /// A header may bring its own separator, but then must name all delimiters: a line of base64 can start with
    /// `MSH+`, hardly with `MSH+/=`.
    fn of(bytes: &[u8], separators: &[u8]) -> Option<Self> {
        let kind = match bytes.get(..3)? {
            b"MSH" => Self::Message,
            b"FHS" => Self::FileHeader,
            b"BHS" => Self::BatchHeader,
            b"BTS" => Self::BatchTrailer,
            b"FTS" => Self::FileTrailer,
            _ => return None,
        };
        let begins = match bytes.get(3) {
            None | Some(b'\r' | b'\n' | &BLOCK_END) => !kind.is_header(),
            Some(next) => {
                separators.contains(next)
                    || kind.is_header()
                        && (separators.is_empty() || Delimiters::read(bytes).is_ok())
            }
        };
        begins.then_some(kind)
    }

    fn is_header(self) -> bool {
        matches!(self, Self::Message | Self::FileHeader | Self::BatchHeader)
    }
}

/// From the first byte that is neither byte-order mark, white space nor framing.
fn skip_to_content(mut bytes: &[u8]) -> &[u8] {
    loop {
        let skipped = skip_framing(bytes.trim_ascii_start());
        if skipped.len() == bytes.len() {
            return bytes;
        }
        bytes = skipped;
    }
}

fn skip_framing(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [BLOCK_START | BLOCK_END, rest @ ..] => rest,
            _ => match bytes.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) => rest,
                None => return bytes,
            },
        };
    }
}

#[cfg(test)]
mod tests {
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
    fn an_envelope_without_a_message_is_refused() {
        for file in ["FHS|^~\\&|x\rFTS|0", "BHS|^~\\&", "FHS|\rPID|1\r"] {
            assert_eq!(
                split(file.as_bytes()),
                Err(ReadError::EnvelopeWithoutMessage)
            );
        }
    }
}
