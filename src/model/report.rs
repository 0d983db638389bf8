//! The report of a completed case, its versions, and the batches they leave in (SPEC 8).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, ContentHash, DocumentId, FacilityId};

/// The report of one case; completing the case again adds a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The facility it goes back to.
    pub facility: FacilityId,
    /// The case it is about.
    pub case: CaseId,
    /// From 1 per facility, in the order of the first `complete`.
    pub number: u64,
    /// The unique document id, the same for all versions.
    pub document_id: DocumentId,
    /// The versions, the oldest first.
    pub versions: Vec<ReportVersion>,
}

/// One version of a report, frozen at its `complete`: the same bytes whenever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportVersion {
    /// From 1, rising.
    pub version: u32,
    /// Its place in the order of all report versions of the facility, from 1.
    pub sequence: u64,
    /// The time of its `complete`.
    pub time: DateTime<Utc>,
    /// The name of the PDF.
    pub file_name: String,
    /// Where the PDF lies under `documents/`.
    pub pdf: ContentHash,
    /// The size of the PDF in bytes.
    pub size: u64,
    /// The outgoing message before the PDF's base64.
    pub message_before: String,
    /// The outgoing message after the PDF's base64.
    pub message_after: String,
    /// The batch it left in.
    #[serde(default)]
    pub batch: Option<u64>,
}

/// What is counted per facility: the numbers of reports and batches, and the cursor (SPEC 8).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// How many reports there are.
    pub reports: u64,
    /// How many report versions there are.
    pub versions: u64,
    /// How many of them, in order, have left in a batch.
    pub delivered: u64,
    /// How many batches were written.
    pub batches: u64,
}

/// A batch: what it holds, so that the same bytes can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The facility it went to.
    pub facility: FacilityId,
    /// From 1 per facility.
    pub number: u64,
    /// Its name in the outbox.
    pub file_name: String,
    /// When it was made.
    pub time: DateTime<Utc>,
    /// Its report versions, in order.
    pub versions: Vec<BatchEntry>,
    /// Whether it repeats reports that left before (`redeliver`).
    #[serde(default)]
    pub repeats: bool,
}

/// A report version in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The case.
    pub case: CaseId,
    /// The version of its report.
    pub version: u32,
}
