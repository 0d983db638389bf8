//! The read-only view on which decisions are made: the store, with what the same group already decided.

use chrono::NaiveDate;

use super::case::Case;
use super::document::Document;
use super::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ins, Ipp, NetworkId, NoteId, SessionId,
};
use super::note::Note;
use super::patient::{Patient, Person};
use super::questionnaire::FilledQuestionnaire;
use super::report::{Batch, Cursor, Report};
use super::session::Session;

/// The store could not be read, or holds something that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be read: {0}. Stop the daemon and run `rcpspool rebuild`")]
pub struct ViewError(pub String);

/// What can be asked. Every answer is that of the store with the group's earlier decisions applied.
pub trait View {
    /// The patient of this IPP, which must not be one that was merged away (see [`View::survivor`]).
    fn patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Option<Patient>, ViewError>;
    /// Whom this IPP leads to.
    fn person(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Person, ViewError>;
    /// The IPP that messages carrying this one reach: itself, or the survivor of its merges.
    fn survivor(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Ipp, ViewError> {
        Ok(self.person(facility, ipp)?.ipp)
    }
    /// All patients of the facility that have this INS.
    fn patients_with_ins(&self, facility: &FacilityId, ins: &Ins) -> Result<Vec<Ipp>, ViewError>;
    /// Whether some patient of the facility belongs to this network.
    fn network_is_known(
        &self,
        facility: &FacilityId,
        network: &NetworkId,
    ) -> Result<bool, ViewError>;
    /// The case of this id.
    fn case(&self, facility: &FacilityId, id: &CaseId) -> Result<Option<Case>, ViewError>;
    /// All cases of a patient.
    fn cases_of_patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Vec<Case>, ViewError>;
    /// All cases in a session, of every facility.
    fn cases_of_session(&self, session: &SessionId) -> Result<Vec<Case>, ViewError>;
    /// All cases that wait for a session.
    fn unscheduled_cases(&self) -> Result<Vec<Case>, ViewError>;
    /// The session of this id.
    fn session(&self, id: &SessionId) -> Result<Option<Session>, ViewError>;
    /// All sessions on this calendar date.
    fn sessions_on(&self, date: NaiveDate) -> Result<Vec<Session>, ViewError>;
    /// The note of this id.
    fn note(&self, id: &NoteId) -> Result<Option<Note>, ViewError>;
    /// All notes of a patient.
    fn notes_of_patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Vec<Note>, ViewError>;
    /// The document of this id.
    fn document(
        &self,
        facility: &FacilityId,
        id: &DocumentId,
    ) -> Result<Option<Document>, ViewError>;
    /// All documents of a patient, messages kept on notes included.
    fn documents_of_patient(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Document>, ViewError>;
    /// The documents of the facility that answer to this unique id, whoever's they are.
    fn documents_by_unique_id(
        &self,
        facility: &FacilityId,
        unique_id: &str,
    ) -> Result<Vec<Document>, ViewError>;
    /// The documents that wait for a case of this id.
    fn documents_awaiting(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Vec<Document>, ViewError>;
    /// The questionnaire of a case.
    fn questionnaire(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Option<FilledQuestionnaire>, ViewError>;
    /// The report of a case.
    fn report(&self, facility: &FacilityId, case: &CaseId) -> Result<Option<Report>, ViewError>;
    /// What is counted for the facility.
    fn cursor(&self, facility: &FacilityId) -> Result<Cursor, ViewError>;
    /// The case and version of the report version of this sequence number.
    fn report_in_sequence(
        &self,
        facility: &FacilityId,
        sequence: u64,
    ) -> Result<Option<(CaseId, u32)>, ViewError>;
    /// The batch of this number.
    fn batch(&self, facility: &FacilityId, number: u64) -> Result<Option<Batch>, ViewError>;
    /// Whether a message of these bytes was applied before.
    fn is_applied(&self, facility: &FacilityId, hash: &ContentHash) -> Result<bool, ViewError>;
    /// Whether the desk's command of this id was done before.
    fn is_command_done(&self, id: &str) -> Result<bool, ViewError>;
}
