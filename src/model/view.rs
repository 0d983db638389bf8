//! The read-only view on which decisions are made: the store, with what the same group already decided.

use chrono::NaiveDate;

use super::case::Case;
use super::change::Change;
use super::document::Document;
use super::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ins, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use super::note::Note;
use super::patient::{Patient, PersonIpps};
use super::questionnaire::FilledQuestionnaire;
use super::report::{Batch, BatchEntry, Cursor, Report, ReportVersion};
use super::session::{Session, SessionKey};

/// The store could not be read, or holds something that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be read: {0}. Stop the daemon and run `rcpspool rebuild`")]
pub struct ViewError(pub String);

/// A view with changes over it that are made one after the other: what a message decided so far counts for its rest.
pub trait Branch: View {
    /// Makes changes, which count from then on.
    fn make(&mut self, changes: &[Change]) -> Result<(), ViewError>;
}

/// What can be asked. Every answer is that of the store with the group's earlier decisions applied.
pub trait View {
    /// The patient of this IPP, which must not be one that was merged away (see [`View::survivor`]).
    fn patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Option<Patient>, ViewError>;
    /// Whom this IPP leads to.
    fn person(&self, facility: &FacilityId, ipp: &Ipp) -> Result<PersonIpps, ViewError>;
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
    /// Some cases of a patient: all, but for a patient who has very many.
    fn some_cases_of_patient(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Case>, ViewError>;
    /// All cases in a session, of every facility.
    fn cases_of_session(&self, session: &SessionId) -> Result<Vec<Case>, ViewError>;
    /// All cases that wait for a session.
    fn unscheduled_cases(&self) -> Result<Vec<Case>, ViewError>;
    /// The session of this id.
    fn session(&self, id: &SessionId) -> Result<Option<Session>, ViewError>;
    /// The sessions of this calendar date that cases can be put into and that have this id; of many, at least `most`.
    fn planned_sessions(
        &self,
        date: NaiveDate,
        by: SessionKey,
        id: &PathwayId,
        most: usize,
    ) -> Result<Vec<Session>, ViewError>;
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
    /// The documents attached to a case, by the time of their current versions, those without one first.
    fn documents_of_case(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Vec<Document>, ViewError>;
    /// The documents of a patient that are in no case, messages kept on notes included.
    fn documents_outside_cases(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Document>, ViewError>;
    /// All documents of a patient, messages kept on notes included, by their ids.
    fn documents_of_patient(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Document>, ViewError> {
        let mut documents = self.documents_outside_cases(facility, ipp)?;
        for case in self.cases_of_patient(facility, ipp)? {
            documents.extend(self.documents_of_case(facility, &case.id)?);
        }
        documents.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(documents)
    }
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
    /// The questionnaire of this number, whether another has taken its place or not.
    fn questionnaire_numbered(
        &self,
        facility: &FacilityId,
        case: &CaseId,
        number: u32,
    ) -> Result<Option<FilledQuestionnaire>, ViewError>;
    /// The report of a case.
    fn report(&self, facility: &FacilityId, case: &CaseId) -> Result<Option<Report>, ViewError>;
    /// This version of a report.
    fn report_version(
        &self,
        report: &Report,
        version: u32,
    ) -> Result<Option<ReportVersion>, ViewError>;
    /// Whether the report of a case was found to be outdated.
    fn is_report_outdated(&self, facility: &FacilityId, case: &CaseId) -> Result<bool, ViewError>;
    /// What is counted for the facility.
    fn cursor(&self, facility: &FacilityId) -> Result<Cursor, ViewError>;
    /// The report version of this sequence number.
    fn report_in_sequence(
        &self,
        facility: &FacilityId,
        sequence: u64,
    ) -> Result<Option<BatchEntry>, ViewError>;
    /// The batch of this number.
    fn batch(&self, facility: &FacilityId, number: u64) -> Result<Option<Batch>, ViewError>;
    /// Whether a message of these bytes was applied before.
    fn is_applied(&self, facility: &FacilityId, hash: &ContentHash) -> Result<bool, ViewError>;
    /// Whether the desk's command of this id was done before.
    fn is_command_done(&self, id: &str) -> Result<bool, ViewError>;
    /// The same view, to make changes over.
    fn branch(&self) -> Box<dyn Branch + '_>;
}
