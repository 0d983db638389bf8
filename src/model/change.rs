//! What a decision changes: whole records, put or ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::document::{Document, FormerVersion, UniqueId};
use super::identifiers::{CaseId, ContentHash, FacilityId, Ipp, NoteId, SessionId};
use super::note::Note;
use super::patient::{Patient, PersonIpps};
use super::questionnaire::FilledQuestionnaire;
use super::report::{Batch, Cursor, Report, VersionOfReport};
use super::session::Session;

/// A record of the store, whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A patient.
    Patient(Patient),
    /// An IPP that is one person's with another, and leads to it.
    Alias {
        /// The facility.
        facility: FacilityId,
        /// The IPP.
        ipp: Ipp,
        /// The IPP that it leads to, under which the person's things are kept.
        leads_to: Ipp,
    },
    /// Somebody to whom several IPPs lead.
    Person(FacilityId, PersonIpps),
    /// A case.
    Case(Case),
    /// A session.
    Session(Session),
    /// A note.
    Note(Note),
    /// A document.
    Document(Document),
    /// A version of a document that another has taken the place of.
    FormerVersion(FormerVersion),
    /// That a document answers to a unique id.
    UniqueId(UniqueId),
    /// The questionnaire of a case.
    Questionnaire(Box<FilledQuestionnaire>),
    /// One that another has taken the place of; it stays readable.
    FormerQuestionnaire(Box<FilledQuestionnaire>),
    /// A report.
    Report(Report),
    /// A version of a report.
    ReportVersion(Box<VersionOfReport>),
    /// That the report of this case is outdated, so that they can be counted.
    OutdatedReport(FacilityId, CaseId),
    /// What is counted for a facility.
    Cursor(FacilityId, Cursor),
    /// A batch that was written.
    Batch(Batch),
    /// A message that was applied, known by the hash of its normalised bytes (interface.md 9).
    Applied(FacilityId, ContentHash),
    /// A command of the desk that was done, known by the id it carries (interface.md 7).
    CommandDone(String),
    /// A line in the history of something.
    History(HistoryEntry),
}

impl Record {
    /// A report with those of its versions that changed, and those that it still holds itself: each version gets a record
    /// of its own.
    pub fn of_report(
        mut report: Report,
        changed: impl IntoIterator<Item = VersionOfReport>,
    ) -> impl Iterator<Item = Record> {
        let held = report.give_versions().into_iter();
        let versions = held.chain(changed).map(Record::from);
        std::iter::once(Record::Report(report)).chain(versions)
    }
}

impl From<VersionOfReport> for Record {
    fn from(version: VersionOfReport) -> Self {
        Record::ReportVersion(Box::new(version))
    }
}

/// One change: the store holds resolved puts and deletions, never decisions to make again.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a message makes a handful of changes, and nearly all of them are the large one"
)]
pub enum Change {
    /// The record takes the place of the one with its key.
    Put(Record),
    /// The record with this key is gone, and with it every index that leads there: a note that has ended, a patient
    /// who was merged away. Its history keeps it.
    Delete(Record),
}

impl From<Record> for Change {
    fn from(record: Record) -> Self {
        Change::Put(record)
    }
}

/// Something that has a history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A case.
    Case(FacilityId, CaseId),
    /// A patient.
    Patient(FacilityId, Ipp),
    /// A session.
    Session(SessionId),
    /// A note.
    Note(FacilityId, NoteId),
}

/// A line of a history: what changed, when, and by which file (interface.md 12, `show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Whose history.
    pub subject: Subject,
    /// Its place among all lines; rises with every message.
    pub sequence: u64,
    /// When it was taken in.
    pub time: DateTime<Utc>,
    /// What changed, in a few words without personal data.
    pub what: String,
    /// The received file.
    pub file: String,
    /// The message's type, `SIU^S12`, or the command.
    pub message_type: String,
}
