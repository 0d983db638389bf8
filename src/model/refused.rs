//! What is remembered of a refused file or message that lies in `error/`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A refused file, or a refused message that was split off its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// Its path below `error/`, written as moves write paths.
    pub file: String,
    /// The number of the last message that was decided before it was put there: later ones have higher numbers.
    pub sequence: u64,
    /// What its sidecar says, with at most [`MESSAGES`] of the messages of a file.
    pub sidecar: Value,
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
        }
    }
}
