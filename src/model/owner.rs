//! Whose folders a file lies in.

use serde::{Deserialize, Serialize};

/// A facility, the desk, or the store of documents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// In the folder of this facility.
    Facility(String),
    /// In the desk's folder.
    Desk,
    /// Among the documents.
    Documents,
}
