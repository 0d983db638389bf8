//! What the desk adds to a case: the documents of a note, and its questionnaire (interface.md 7).

use super::{Desk, bad_command, must_be_open};
use crate::intake::desk::{Attach, Questionnaire, form};
use crate::intake::{Decision, Stop, scheduling};
use crate::model::case::Case;
use crate::model::change::Record;
use crate::model::document::{AttachmentPlace, Document, DocumentKind};
use crate::model::identifiers::NoteId;
use crate::model::note::Note;
use crate::model::outcome::Verdict;
use crate::model::view::ViewError;

impl Desk<'_> {
    pub(super) fn attach(&self, command: &Attach) -> Result<Decision<'static>, Stop> {
        let note = self.note(&command.note)?;
        let mut case = self.case(&command.case)?;
        self.must_be_of(&case, &note.ipp)?;
        if self.documents_on(&note)?.is_empty() {
            return Err(bad_command(format!(
                "the note {} has no document to attach: its case waits for a session, so schedule it",
                note.id
            ))
            .into());
        }
        let mut decision = Decision::unchanged(Verdict::Updated);
        self.join_note(&note.id, &mut case, &mut decision)?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// Puts the documents of a note into a case.
    pub(super) fn join_note(
        &self,
        note: &NoteId,
        case: &mut Case,
        decision: &mut Decision<'static>,
    ) -> Result<(), Stop> {
        let Some(note) = self.view.note(note)? else {
            return Ok(());
        };
        let documents = self.documents_on(&note)?;
        scheduling::join(self.view, decision, case, documents)?;
        Ok(())
    }

    fn documents_on(&self, note: &Note) -> Result<Vec<Document>, ViewError> {
        let mut documents = Vec::with_capacity(note.documents.len());
        for id in &note.documents {
            let document = self.view.document(&note.facility, id)?;
            documents.extend(document.filter(|document| {
                document.kind == DocumentKind::Document
                    && document.attached == AttachmentPlace::Note(note.id.clone())
            }));
        }
        Ok(documents)
    }

    pub(super) fn questionnaire(
        &self,
        command: &Questionnaire,
        time: chrono::DateTime<chrono::Utc>,
    ) -> Result<Decision<'static>, Stop> {
        let sections = form::sections(command)?;
        let case = self.case(&command.case)?;
        must_be_open(&case, "fill its questionnaire")?;
        let former = self.view.questionnaire(&self.facility.id, &case.id)?;
        Ok(form::fill(case, former, sections, time))
    }
}
