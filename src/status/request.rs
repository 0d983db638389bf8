//! What can be asked of a daemon over its local socket, and its answer (interface.md 12).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::listing::{Filter, Listing, ShowSubject};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "lowercase")]
pub enum Request {
    /// The rows of a listing.
    List {
        /// Of what.
        what: Listing,
        /// Which of them.
        #[serde(flatten)]
        filter: Filter,
    },
    /// Everything about one case, patient or session; `null` if it is not known.
    Show(ShowSubject),
    /// Look at the inboxes now; answered once what the desk dropped is taken in, with how many messages ended how.
    Sweep,
    /// What `once` does: waits for files that settle, takes all in, and writes the batches; answered like a sweep.
    Once,
    /// The figures of the status page.
    Status,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// What was asked for.
    Ok(Value),
    /// Why there is no answer, in a sentence.
    Error(String),
}
