//! The report of a completed case, its versions, and the batches they leave in (interface.md 8).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, ContentHash, DocumentId, FacilityId};
use super::shown::ReportHashes;

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
    /// The number of the last version; each has a record of its own ([`VersionOfReport`]).
    #[serde(default)]
    pub latest: u32,
    /// The last version that left in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u32>,
    /// How many versions wait for the next batch.
    #[serde(default)]
    pub waiting: u32,
    /// Versions up to this one that had not left are held back: their case was opened again, or cancelled.
    #[serde(default)]
    pub held: u32,
    /// All versions, the oldest first, where the record was written when it held them all: with the next change they
    /// get records of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<ReportVersion>,
}

impl Report {
    /// A report without versions.
    pub fn new(facility: FacilityId, case: CaseId, number: u64, document_id: DocumentId) -> Self {
        Self {
            facility,
            case,
            number,
            document_id,
            latest: 0,
            left: None,
            waiting: 0,
            held: 0,
            versions: Vec::new(),
        }
    }

    /// The last version that left or will leave: that which another one takes the place of.
    pub fn standing(&self) -> Option<u32> {
        match self.waiting {
            0 => self.left,
            _ => Some(self.latest),
        }
    }

    /// Whether a version of it is held back: it never leaves.
    pub fn holds_back(&self, version: &ReportVersion) -> bool {
        version.batch.is_none() && version.version <= self.held
    }

    /// What the record says of its versions, also where it was written when it held them all.
    pub fn counted(mut self) -> Self {
        let numbers = |is: &dyn Fn(&ReportVersion) -> bool| {
            let of = self.versions.iter().filter(|it| is(it));
            of.map(|it| it.version).max()
        };
        if let Some(latest) = numbers(&|_| true) {
            let left = numbers(&|version| version.batch.is_some());
            let waiting = self.versions.iter().filter(|it| it.batch.is_none()).count();
            self.latest = latest;
            self.left = left;
            self.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        }
        self
    }

    /// Gives the versions that the record held up to now. They are to be put after it: where they stand in the order of
    /// all versions goes with it, and comes with them.
    pub fn give_versions(&mut self) -> Vec<VersionOfReport> {
        let versions = std::mem::take(&mut self.versions).into_iter();
        versions.map(|version| self.of(version)).collect()
    }

    /// The record of a version of it.
    pub fn of(&self, version: ReportVersion) -> VersionOfReport {
        VersionOfReport {
            facility: self.facility.clone(),
            case: self.case.clone(),
            version,
        }
    }
}

/// A version of a report, with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionOfReport {
    /// The facility.
    pub facility: FacilityId,
    /// The case that the report is about.
    pub case: CaseId,
    /// The version.
    pub version: ReportVersion,
}

/// One version of a report, frozen at its `complete`: the same bytes whenever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportVersion {
    /// From 1, rising.
    pub version: u32,
    /// Its place in the order of all report versions of the facility, from 1.
    pub sequence: u64,
    /// The time of its `complete`, or of the message that renewed it.
    pub time: DateTime<Utc>,
    /// The time of the last `complete`, where a message renewed the report since and nobody validated this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<DateTime<Utc>>,
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
    /// What it shows; none where it was made before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<ReportHashes>,
    /// The number of the questionnaire that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questionnaire: Option<u32>,
    /// What tells the facility that the report, of which this version left last, does not hold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<Withdrawal>,
}

/// A message that withdraws a report which left before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Its place in the order of all report versions of the facility.
    pub sequence: u64,
    /// When the case was opened again, or cancelled.
    pub time: DateTime<Utc>,
    /// The outgoing message.
    pub message: String,
    /// The batch it left in.
    #[serde(default)]
    pub batch: Option<u64>,
}

/// What is counted per facility: the numbers of reports and batches, and the cursor (interface.md 8).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// How many reports there are.
    pub reports: u64,
    /// How many report versions there are, withdrawals among them.
    pub versions: u64,
    /// How many of them, in order, have left in a batch, or are held back.
    pub delivered: u64,
    /// How many of the others are held back.
    #[serde(default)]
    pub held: u64,
    /// How many batches were written.
    pub batches: u64,
}

impl Cursor {
    /// How many report versions wait for the next batch.
    pub fn waiting(&self) -> u64 {
        let others = self.versions.saturating_sub(self.delivered);
        others.saturating_sub(self.held)
    }
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The case.
    pub case: CaseId,
    /// The version of its report.
    pub version: u32,
    /// Whether it is the withdrawal of that version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawal: bool,
}
