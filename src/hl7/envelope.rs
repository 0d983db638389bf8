//! The segments of an envelope: headers and trailers that end the message before them (HL7 v2.5 chapter 2.10.3).

use super::delimiters::Delimiters;
use super::lines::first_line;
use super::unseen::{is_base64, is_line_end, skip_unseen};

/// How many messages a file may hold: what is told of each is kept until the file is finished.
pub(super) const MAX_MESSAGES: usize = 100_000;

/// The segments that end the message before them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EnvelopeSegment {
    Message,
    FileHeader,
    BatchHeader,
    BatchTrailer,
    FileTrailer,
}

/// What stands at the start of a line.
pub(super) enum LineHead {
    /// A segment that ends the message before it.
    Segment(EnvelopeSegment),
    /// The name of a header, without the delimiters that make it one.
    Unclear,
    /// Anything else.
    Other,
}

/// The name of a segment that ends the message before it, as it stands at the start of some bytes.
pub(super) struct EnvelopeName<'a> {
    pub(super) kind: EnvelopeSegment,
    /// What follows the name.
    pub(super) after: &'a [u8],
    /// Whether bytes that show nothing stand in it, or between it and what follows.
    is_spoilt: bool,
}

impl EnvelopeSegment {
    /// By its name, in any case. Bytes that show nothing may stand in it and behind it, where something follows them.
    pub(super) fn named(bytes: &[u8]) -> Option<EnvelopeName<'_>> {
        if !matches!(bytes.first()?.to_ascii_uppercase(), b'M' | b'F' | b'B') {
            return None;
        }
        let mut name = [0; 3];
        let mut rest = bytes;
        for letter in &mut name {
            let [first, after @ ..] = skip_unseen(rest) else {
                return None;
            };
            *letter = first.to_ascii_uppercase();
            rest = after;
        }
        let kind = match &name {
            b"MSH" => Self::Message,
            b"FHS" => Self::FileHeader,
            b"BHS" => Self::BatchHeader,
            b"BTS" => Self::BatchTrailer,
            b"FTS" => Self::FileTrailer,
            _ => return None,
        };
        let after = match skip_unseen(rest) {
            [] => rest,
            [end, ..] if is_line_end(*end) => rest,
            after => after,
        };
        Some(EnvelopeName {
            kind,
            after,
            is_spoilt: bytes.len().saturating_sub(after.len()) > 3,
        })
    }

    /// Which of them starts these bytes, given the field separators known so far.
    ///
    /// A header may bring its own separator, but then must name all delimiters. A line of base64 can start with `MSH+`.
    pub(super) fn of(bytes: &[u8], separators: &[u8]) -> LineHead {
        let Some(EnvelopeName {
            kind,
            after,
            is_spoilt,
        }) = Self::named(bytes)
        else {
            return LineHead::Other;
        };
        let is_upper = !bytes.iter().take(3).any(u8::is_ascii_lowercase);
        match after.first() {
            Some(next) if separators.contains(next) => return LineHead::Segment(kind),
            Some(next) if next.is_ascii_alphanumeric() => return LineHead::Other,
            None if !kind.is_header() && is_upper => return LineHead::Segment(kind),
            Some(next) if is_line_end(*next) && !kind.is_header() && is_upper => {
                return LineHead::Segment(kind);
            }
            _ => {}
        }
        if !kind.is_header() {
            return LineHead::Other;
        }
        if separators.is_empty() {
            return LineHead::Segment(kind);
        }
        let line = first_line(bytes).0;
        let value_end = line.iter().position(|byte| separators.contains(byte));
        let value = line.get(..value_end.unwrap_or(line.len())).unwrap_or(line);
        if value.trim_ascii().len() > 3 && is_base64(value) {
            return LineHead::Other;
        }
        match Delimiters::read(bytes) {
            Ok(_) if !is_spoilt => LineHead::Segment(kind),
            _ => LineHead::Unclear,
        }
    }

    pub(super) fn is_header(self) -> bool {
        matches!(self, Self::Message | Self::FileHeader | Self::BatchHeader)
    }
}
