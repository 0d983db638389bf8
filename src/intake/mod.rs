//! What becomes of a message: pure decisions on what was received and what is known.
//!
//! A flow takes a message, a read-only view and what it needs to know of the facility, and gives changes and an
//! outcome. It reads no file and writes none: the engine does both around it. That is what lets a flow be read, and
//! tested, in one file.

pub mod belonging;
pub mod cdar2;
pub mod content;
pub mod desk;
pub mod documents;
pub mod explain;
pub mod identity;
pub mod ims;
pub mod made;
pub mod merge;
pub mod route;
pub mod scheduling;
pub mod siu;
#[cfg(test)]
pub(crate) mod testing;
pub mod trail;

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::config::{Config, Facility};
use crate::model::case::{Case, Completion};
use crate::model::change::{Change, Record, Subject};
use crate::model::identifiers::{ContentHash, DocumentId, FacilityId};
use crate::model::outcome::{Refusal, Verdict, Warning};
use crate::model::patient::Patient;
use crate::model::questionnaire::Questionnaire;
use crate::model::session::Session;
use crate::model::view::ViewError;

/// What a decision needs to know besides the message and the view.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The facility in whose inbox the message lay.
    pub facility: &'c Facility,
    /// The versions of HL7 that are read (`intake.versions`).
    pub versions: &'c [String],
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
        }
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

/// Everything that a version of a report is made of (SPEC 8).
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
    /// The time of the `complete`.
    pub time: DateTime<Utc>,
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
pub type Decided<'m> = Result<Decision<'m>, Stop>;
