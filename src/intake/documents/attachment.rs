//! The place of a document: it is put into a case, or waits on a note of its patient.

use super::DocumentFlow;
use super::destination::Destination;
use crate::intake::{Stop, made, scheduling};
use crate::model::case::Case;
use crate::model::change::{Record, Subject};
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, DocumentId, Ipp, NoteId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::view::ViewError;

impl<'m> DocumentFlow<'_, 'm> {
    /// Puts a document into a case.
    pub(super) fn join(&mut self, mut document: Document, case: Case) -> Result<(), Stop> {
        if let AttachmentPlace::Case(old) = &document.attached
            && *old == case.id
        {
            self.put(document);
            return Ok(());
        }
        let before = document.clone();
        document.attached = AttachmentPlace::Case(case.id.clone());
        document.awaits = None;
        self.documents.insert(document.id.clone(), document);
        scheduling::join(self.view, &mut self.decision, &case, vec![before])?;
        Ok(())
    }

    /// Leaves a document on a note until the case comes that it claims.
    pub(super) fn wait_for(
        &mut self,
        document: Document,
        case: CaseId,
        place: Location,
    ) -> Result<(), Stop> {
        self.warn_unknown_case(&case, place, "the document waits for it on a note");
        let awaits = Some(case.clone());
        self.wait(document, NoteReason::UnknownCase, Some(case), awaits)
    }

    /// Leaves a document whose identity differs on a note, from which only the desk can put it into a case.
    pub(super) fn wait_in_doubt(
        &mut self,
        document: Document,
        wanted: &Destination,
    ) -> Result<(), Stop> {
        if let Destination::Awaits {
            case,
            claimed: Some(place),
        } = wanted
        {
            let waits = "the document waits on a note, for the desk to look at";
            self.warn_unknown_case(case, place.clone(), waits);
        }
        self.wait(document, NoteReason::IdentityMismatch, None, None)
    }

    pub(super) fn warn_unknown_case(&mut self, case: &CaseId, place: Location, what_happens: &str) {
        self.decision.warnings.push(
            Warning::new(
                WarningCode::UnknownCase,
                format!("the case {case} is not known yet: {what_happens}"),
            )
            .at(place),
        );
    }

    /// Leaves a document on a note of its patient.
    pub(super) fn wait(
        &mut self,
        mut document: Document,
        reason: NoteReason,
        case: Option<CaseId>,
        awaits: Option<CaseId>,
    ) -> Result<(), Stop> {
        let id = match &document.attached {
            AttachmentPlace::Note(note) => note.clone(),
            AttachmentPlace::Case(_) => self.note_of(&document.id, &document.ipp)?,
        };
        let known = self.view.note(&id)?;
        let mut note = known.unwrap_or_else(|| Note {
            id: id.clone(),
            facility: document.facility.clone(),
            ipp: document.ipp.clone(),
            case: None,
            reason,
            documents: Vec::new(),
        });
        note.reason = reason;
        note.case = case.or(note.case);
        if !note.documents.contains(&document.id) {
            note.documents.push(document.id.clone());
        }
        document.attached = AttachmentPlace::Note(id.clone());
        document.awaits = awaits;
        self.decision.history.push((
            Subject::Note(self.facility.id.clone(), id),
            format!(
                "document {} waits here ({}), by {}",
                document.id,
                reason.word(),
                self.by
            ),
        ));
        self.decision.changes.push(Record::Note(note).into());
        self.put(document);
        Ok(())
    }

    /// The note on which a document of this patient waits: its own, known or new.
    pub(super) fn note_of(&self, document: &DocumentId, ipp: &Ipp) -> Result<NoteId, ViewError> {
        let (facility, key) = (&self.facility.id, document.as_str());
        let sent_in = || self.message_hash().to_string();
        let id = made::own_id("document-note", facility, key, sent_in, |id| {
            let known = self.view.note(&NoteId::new(id))?;
            Ok(known.is_none_or(|known| known.ipp == *ipp))
        })?;
        Ok(NoteId::new(id))
    }

    /// Adds a line to the history of the case or note that a document is attached to.
    pub(super) fn add_history(&mut self, document: &Document, what: String) {
        let facility = self.facility.id.clone();
        let subject = match &document.attached {
            AttachmentPlace::Case(case) => Subject::Case(facility, case.clone()),
            AttachmentPlace::Note(note) => Subject::Note(facility, note.clone()),
        };
        self.decision
            .history
            .push((subject, format!("{what}, by {}", self.by)));
    }
}
