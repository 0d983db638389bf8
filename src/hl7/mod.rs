//! Reading and writing HL7 v2 in its ER7 form, the one with `|` and `^` (HL7 v2.5 to 2.7, chapter 2; SPEC 2).
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
mod escape;
mod lines;
pub mod message;
pub mod path;
pub mod time;
pub mod value;

pub use batch::{Batch, CountMismatch, looks_like_hl7, split};
pub use builder::{Builder, Part, SegmentBuilder};
pub use charset::{Charset, CharsetWarning};
pub use delimiters::Delimiters;
pub use message::{Message, Segment};
pub use path::{Path, PathError, Position};
pub use time::{InvalidTime, Timestamp};
pub use value::{Component, Field, Repetition, Subcomponent, Value};

/// Why bytes cannot be read as HL7 at all; the reason `malformed` of SPEC 10.
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
    /// MSH is longer than any that is meant to be read.
    #[error("expected MSH within 64 KiB, found more; end it with a carriage return")]
    HeaderTooLong,
    /// There are more messages than one file may hold.
    #[error(
        "expected at most {} messages in a file, found more; send them in several files",
        batch::MAX_MESSAGES
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
