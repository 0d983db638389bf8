//! What becomes of a message: pure decisions on what was received and what is known.
//!
//! A flow takes a message, a read-only view and what it needs to know of the facility, and gives changes and an
//! outcome. It reads no file and writes none: the engine does both around it. That is what lets a flow be read, and
//! tested, in one place.

pub mod about;
pub mod belonging;
pub mod cdar2;
mod checks;
pub mod content;
pub mod describe;
pub mod desk;
pub mod documents;
pub mod explain;
pub mod field_update;
mod form;
pub mod head;
pub mod identity;
pub mod ims;
pub mod made;
pub mod merge;
mod message_time;
mod pid_context;
pub mod reporting;
mod required;
pub mod route;
pub mod scheduling;
pub mod siu;
pub mod source_location;
#[cfg(test)]
pub(crate) mod testing;
pub mod trail;

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{Config, Facility};
use crate::model::case::{Case, Completion};
use crate::model::change::{Change, Record, Subject};
use crate::model::document::{Document, ReportDocument};
use crate::model::identifiers::{ContentHash, DocumentId, FacilityId};
use crate::model::outcome::{Refusal, Verdict, Warning};
use crate::model::patient::Patient;
use crate::model::questionnaire::Questionnaire;
use crate::model::report::VersionOfReport;
use crate::model::session::Session;
use crate::model::shown::{ReportHashes, ReportPart};
use crate::model::view::ViewError;

/// What a decision needs to know besides the message and the view.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The facility in whose inbox the message lay.
    pub facility: &'c Facility,
    /// The versions of HL7 that are read (`intake.versions`).
    pub versions: &'c [String],
    /// How far ahead of ours the time of a message may be (`intake.future`).
    pub future: Duration,
    /// The time of the decision.
    pub now: DateTime<Utc>,
}

/// What a command of the desk needs to know besides the command and the view.
#[derive(Debug, Clone, Copy)]
pub struct DeskContext<'c> {
    /// All facilities: the desk serves each of them.
    pub config: &'c Config,
    /// The time that the command carries, else the modification time of its file.
    pub time: DateTime<Utc>,
    /// The time of the decision.
    pub now: DateTime<Utc>,
}

/// What is to be done with a message that is not refused.
#[derive(Debug)]
pub struct Decision<'m> {
    /// What is told the sender.
    pub verdict: Verdict,
    /// What the sender should know all the same.
    pub warnings: Vec<Warning>,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Lines for the histories, in a few words without personal data.
    pub history: Vec<(Subject, String)>,
    /// What is to be kept under `documents/`.
    pub contents: Vec<Content<'m>>,
    /// What the engine must do besides.
    pub order: Option<Order>,
    /// What the verdict alone would have somebody expect, and is not so: a sentence for a person.
    pub note: Option<String>,
}

impl Decision<'_> {
    /// Nothing changes.
    pub fn unchanged(verdict: Verdict) -> Self {
        Self {
            verdict,
            warnings: Vec::new(),
            changes: Vec::new(),
            history: Vec::new(),
            contents: Vec::new(),
            order: None,
            note: None,
        }
    }

    /// Adds warnings in front of the others, where the message has an effect.
    pub fn warned_if_taken(mut self, warnings: Vec<Warning>) -> Self {
        if self.verdict.has_effect() {
            self.warnings.splice(..0, warnings);
        }
        self
    }

    /// The document of this id as this decision leaves it, if it changes it.
    fn document(&self, id: &DocumentId) -> Option<&Document> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Put(Record::Document(document)) if document.id == *id => Some(document),
            _ => None,
        })
    }

    /// Adds changes of records.
    fn put(&mut self, records: impl IntoIterator<Item = Record>) {
        self.changes.extend(records.into_iter().map(Change::Put));
    }
}

/// Bytes to be kept, under the name of their hash.
#[derive(Debug)]
pub struct Content<'m> {
    /// The hash of the bytes.
    pub hash: ContentHash,
    /// The bytes.
    pub bytes: Cow<'m, [u8]>,
}

impl<'m> Content<'m> {
    /// These bytes, with their hash.
    pub fn new(bytes: impl Into<Cow<'m, [u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            hash: ContentHash::of(&bytes),
            bytes,
        }
    }
}

/// What only the engine can do, since it needs a PDF, a batch or a folder.
#[derive(Debug)]
pub enum Order {
    /// Make the next version of a case's report.
    Report(Box<ReportOrder>),
    /// Write the message that withdraws a report which left before.
    Withdraw(Box<WithdrawalOrder>),
    /// Write an extra batch with reports that left before.
    Redeliver {
        /// Whose.
        facility: FacilityId,
        /// Which.
        which: Redelivery,
    },
    /// Put refused files back into the inbox they came from: their paths, as `list errors` shows them.
    Retry {
        /// The files.
        files: Vec<String>,
    },
    /// Put refused files away that nobody will correct: their paths, as `list errors` shows them.
    Discard {
        /// The files.
        files: Vec<String>,
        /// Why, as whoever says so writes.
        why: String,
    },
    /// Do the moves of this facility no more that could not be done.
    GiveUp {
        /// Whose.
        facility: FacilityId,
        /// Why, as whoever says so writes.
        why: Option<String>,
    },
}

/// Which reports are to leave again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// Those of the batches made since then.
    Since(DateTime<Utc>),
    /// Those of this batch.
    Batch(u64),
}

/// Everything that a version of a report is made of (interface.md 8).
#[derive(Debug)]
pub struct ReportOrder {
    /// The case, as it is once completed.
    pub case: Case,
    /// Its patient.
    pub patient: Patient,
    /// Its session.
    pub session: Session,
    /// What the desk wrote.
    pub completion: Completion,
    /// What the form of the case says, where it is filled.
    pub questionnaire: Option<Questionnaire>,
    /// The documents of the case besides the one that filled the form.
    pub documents: Vec<ReportDocument>,
    /// The PDF that came with the command, where one did.
    pub pdf: Option<Vec<u8>>,
    /// The number of the report, from 1 per facility.
    pub number: u64,
    /// The unique document id, the same for all versions.
    pub document_id: DocumentId,
    /// The version to make.
    pub version: u32,
    /// The place of the version among all of the facility.
    pub sequence: u64,
    /// The time of the `complete`, or of the message that renews the report.
    pub time: DateTime<Utc>,
    /// The time of the last `complete`, where a message renews the report and nobody validates this version.
    pub validated: Option<DateTime<Utc>>,
    /// What it shows.
    pub shows: ReportHashes,
    /// The number of the questionnaire that it shows.
    pub questionnaire_number: Option<u32>,
    /// The version that it takes the place of.
    pub former: Option<PreviousReport>,
}

/// What the withdrawal of a report is made of (interface.md 8).
#[derive(Debug)]
pub struct WithdrawalOrder {
    /// The case, as it was completed.
    pub case: Case,
    /// Its patient.
    pub patient: Patient,
    /// Its session.
    pub session: Session,
    /// The number of the report.
    pub number: u64,
    /// The unique document id.
    pub document_id: DocumentId,
    /// The version that left.
    pub version: VersionOfReport,
    /// The place of the withdrawal among all versions of the facility.
    pub sequence: u64,
    /// When the case was opened again, or cancelled.
    pub time: DateTime<Utc>,
    /// Which of the two.
    pub why: WithdrawalReason,
}

/// Why a report does not hold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawalReason {
    /// Its case was opened again.
    Reopened,
    /// Its case was cancelled.
    Cancelled,
}

impl WithdrawalReason {
    /// The reason, as the facility reads it.
    pub fn words(self) -> &'static str {
        match self {
            WithdrawalReason::Reopened => "Dossier rouvert",
            WithdrawalReason::Cancelled => "Dossier annulé",
        }
    }
}

/// The version of a report that another one takes the place of.
#[derive(Debug)]
pub struct PreviousReport {
    /// Its number.
    pub version: u32,
    /// The time of its `complete`.
    pub time: DateTime<Utc>,
    /// The parts that are other ones now, as far as is known.
    pub changed: Vec<ReportPart>,
    /// The questionnaire that it shows, where that is another one now.
    pub questionnaire: Option<Questionnaire>,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The message is refused: nothing of it stays.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not be read: the message waits.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// A decision, or why there is none.
pub type DecisionResult<'m> = Result<Decision<'m>, Stop>;
