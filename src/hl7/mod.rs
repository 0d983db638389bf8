//! Reading and writing HL7 v2 in its ER7 form, the one with `|` and `^` (HL7 v2.5 to 2.7, chapter 2; interface.md 2).
//!
//! A file goes through three steps, and none of them copies anything:
//!
//! 1. [`batch::split`] finds the messages of a file and strips what stands around them.
//! 2. [`message::Message::parse`] learns from MSH how the message is to be read: its delimiters and its
//!    character set.
//! 3. [`message::Segment`] and the values below it ([`value`]) are looked up when they are asked for. Only
//!    [`value::Value::text`] decodes, and it copies only where decoding changes something.
//!
//! What is absent reads as an empty value, so that `segment.field(3).repetition(2).component(1).text()` needs
//! no checks on its way. Each value knows where it stands ([`path::Position`]).
//!
//! [`builder`] writes messages, [`time`] reads and writes the time stamps in them.

pub mod batch;
pub mod builder;
pub mod charset;
pub mod delimiters;
mod entity;
mod envelope;
mod escape;
mod glued;
mod hexadecimal;
mod hidden_segment;
mod lines;
pub mod message;
pub mod path;
mod search;
pub mod time;
mod unseen;
pub mod utf16;
pub mod value;

pub use batch::{
    CountMismatch, Extents, MessageBatch, MessageEdges, envelope_header, looks_like_hl7, split,
};
pub use builder::{Builder, ComponentValue, SegmentBuilder};
pub use charset::{Charset, CharsetDoubts, CharsetWarning};
pub use delimiters::Delimiters;
pub use message::{Message, Segment, Untidy};
pub use path::{Path, PathError, Position};
pub use time::{InvalidTime, Timestamp};
pub use utf16::FileBytes;
pub use value::{Component, Field, Repetition, Subcomponent, Value};

/// Why bytes cannot be read as HL7 at all; the reason `malformed` of interface.md 10.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes do not start with the segment that they must start with.
    #[error(
        "expected the segment {expected} at the start, found \"{found}\"; send the message from its MSH on"
    )]
    NoHeader {
        /// The segments that may stand here.
        expected: &'static str,
        /// The first three bytes that came instead.
        found: String,
    },
    /// A batch or file envelope has no message in it.
    #[error(
        "the envelope holds no message: no segment MSH follows FHS or BHS; send the messages inside it"
    )]
    EnvelopeWithoutMessage,
    /// A header stands where it may begin a message, or may be a part of a text.
    #[error(
        "line {0} may begin a message, or may not: the name of a header stands there without all of its delimiters, or behind other text; end each segment with a carriage return, and begin each message with MSH|^~\\&|"
    )]
    UnclearHeader(usize),
    /// A line stands outside of the messages.
    #[error(
        "line {0} stands outside of the messages, behind a header or a trailer of the batch; send it in the message that it belongs to"
    )]
    Stray(usize),
    /// XML stands in a file of messages.
    #[error(
        "line {0} begins XML in a file of HL7 messages; send the messages and the document in files of their own"
    )]
    Mixed(usize),
    /// A line is no segment.
    #[error(
        "line {0} of the message is neither a segment (a name of three characters, then the field separator) nor a part of a document in base64; escape line breaks in texts as \\.br\\, and end each segment with a carriage return"
    )]
    UnplacedLine(usize),
    /// NUL bytes stand where a part of the file should.
    #[error(
        "line {0} of the message holds a run of NUL bytes, as a file does of which a part was not written; send it again"
    )]
    LostPart(usize),
    /// A segment stands behind another on its line.
    #[error(
        "line {line} of the message seems to hold a segment {name} behind another one; end each segment with a carriage return"
    )]
    GluedSegment {
        /// The line, from 1.
        line: usize,
        /// The segment's name.
        name: String,
    },
    /// A line has the values of a segment behind a name that is not quite its own.
    #[error(
        "line {line} of the message seems to be a segment {name} whose name is mistyped; write the name {name}"
    )]
    MistypedSegment {
        /// The line, from 1.
        line: usize,
        /// The segment's name as it should be.
        name: String,
    },
    /// The file says that it is in UTF-16, and is not.
    #[error(
        "the file begins with a byte-order mark of UTF-16, but holds bytes that are no characters of it; send it as it was made, or in UTF-8 without that mark"
    )]
    NotUtf16,
    /// MSH is longer than any that is meant to be read.
    #[error("expected MSH within 64 KiB, found more; end it with a carriage return")]
    HeaderTooLong,
    /// There are more messages than one file may hold.
    #[error(
        "expected at most {} messages in a file, found more; send them in several files",
        envelope::MAX_MESSAGES
    )]
    TooManyMessages,
    /// MSH-1 or MSH-2 does not say how to read the message.
    #[error("{position} is \"{found}\", but {problem}; the usual header is MSH|^~\\&|")]
    Delimiters {
        /// MSH-1 or MSH-2.
        position: Position,
        /// What stands there.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ReadError {
    /// Only three bytes are quoted: they may be anything, a patient's name too.
    fn no_header(expected: &'static str, bytes: &[u8]) -> Self {
        let found = bytes.get(..bytes.len().min(3)).unwrap_or_default();
        Self::NoHeader {
            expected,
            found: found.escape_ascii().to_string(),
        }
    }
}
