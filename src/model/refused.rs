//! What is remembered of a refused file or message that lies in `error/`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identifiers::ContentHash;

/// A refused file, or a refused message that was split off its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// Its path below `error/`, written as moves write paths.
    pub file: String,
    /// The number of the last message that was decided before it was put there: later ones have higher numbers.
    pub sequence: u64,
    /// What its sidecar says, with at most [`MESSAGES`] of the messages of a file.
    pub sidecar: Value,
    /// By what a later message is known to take the place of it, for each of its messages; none where that cannot be
    /// told of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abouts: Vec<RefusalSubject>,
}

/// What a refused message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalSubject {
    /// The same for messages of which the later one makes the earlier one needless.
    pub subject: ContentHash,
    /// The time that the message has of itself; none where that is wrong or cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
}

/// What is known of a subject of which something was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// How many messages about it lie in `error/`.
    pub count: u64,
    /// The last message about it that was taken in since the first of them was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<LaterMessage>,
}

/// A message that was taken in after another about the same was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaterMessage {
    /// Its number among all messages.
    pub sequence: u64,
    /// The time that it has of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
    /// When it was taken in.
    pub taken: DateTime<Utc>,
    /// The received file.
    pub file: String,
}

impl LaterMessage {
    /// Whether it came later than a refused message, by its number and by both times of their own.
    pub fn is_later(&self, refused: &RefusedFile, about: &RefusalSubject) -> bool {
        let times = self.time.zip(about.time);
        self.sequence > refused.sequence && times.is_none_or(|(taken, refused)| taken >= refused)
    }
}

/// A refused file that somebody put away, since nobody will correct it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiscardedFile {
    /// What was remembered of it.
    pub record: RefusedFile,
    /// Where it lies since, below the folder of its facility or the desk.
    pub path: String,
    /// When.
    pub time: DateTime<Utc>,
    /// Why, as whoever said so wrote it.
    pub why: String,
}

/// So many messages of a file that was refused whole are remembered; its sidecar has them all.
pub const MESSAGES: usize = 100;

impl RefusedFile {
    /// A refused file and what its sidecar says.
    pub fn new(file: String, sequence: u64, sidecar: &Value) -> Self {
        let mut sidecar = sidecar.clone();
        if let Some(Value::Array(messages)) = sidecar.get_mut("messages") {
            messages.truncate(MESSAGES);
        }
        Self {
            file,
            sequence,
            sidecar,
            abouts: Vec::new(),
        }
    }
}
