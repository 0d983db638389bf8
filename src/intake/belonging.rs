//! What stands together is one patient's: the rule that no decision may break, whatever was moved or merged before.
//!
//! A case lists only documents of its own patient, which are attached to it; what a note holds is its patient's. In
//! debug builds the engine asks this of all that a group touched, before the group counts; `verify` asks it of
//! everything.

use std::fmt;

use crate::model::case::Case;
use crate::model::change::{Change, Record};
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, DocumentId, FacilityId, Ipp, NoteId};
use crate::model::note::Note;
use crate::model::view::{View, ViewError};
use crate::store::PendingChanges;

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentHolder {
    /// In a case.
    Case(CaseId),
    /// On a note.
    Note(NoteId),
}

/// Something that does not belong where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MisplacedDocument {
    /// The facility.
    pub facility: FacilityId,
    /// The document.
    pub document: DocumentId,
    /// Where it stands.
    pub holder: DocumentHolder,
    /// What is wrong with that.
    pub wrong: Misplacement,
}

/// What is wrong with a document and the case or note that lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misplacement {
    /// It is another patient's.
    OtherPatient,
    /// It is attached to a case that is not known, or does not list it.
    NotHeld,
    /// It is not known.
    Unknown,
}

impl fmt::Display for MisplacedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            facility, document, ..
        } = self;
        let holder = match &self.holder {
            DocumentHolder::Case(case) => format!("the case {case}"),
            DocumentHolder::Note(note) => format!("the note {note}"),
        };
        match self.wrong {
            Misplacement::OtherPatient => write!(
                f,
                "{holder} of {facility} lists the document {document}, which is another patient's"
            ),
            Misplacement::NotHeld => write!(
                f,
                "the document {document} of {facility} is attached to {holder}, which is not known or does not list it"
            ),
            Misplacement::Unknown => write!(
                f,
                "{holder} of {facility} lists the document {document}, which is not known"
            ),
        }
    }
}

/// The first thing that does not belong where it stands, among the records of these keys and what they name.
pub fn misplaced<'k>(
    view: &PendingChanges<'_>,
    keys: impl IntoIterator<Item = &'k String>,
) -> Result<Option<MisplacedDocument>, ViewError> {
    for key in keys {
        let found = match key.split_once('/') {
            Some(("case", _)) => match view.of_patient::<Case>(key)? {
                Some(case) => in_case(view, &case)?,
                None => None,
            },
            Some(("note", _)) => match view.of_patient::<Note>(key)? {
                Some(note) => on_note(view, &note)?,
                None => None,
            },
            Some(("document", _)) => match view.of_patient::<Document>(key)? {
                Some(document) => where_attached(view, &document)?,
                None => None,
            },
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first document that these changes put into a case of another patient. What is stored in a case is read as the
/// case's patient's, so it must be before.
pub fn joined_wrongly(
    view: &PendingChanges<'_>,
    changes: &[Change],
) -> Result<Option<MisplacedDocument>, ViewError> {
    for change in changes {
        if let Change::Put(Record::Document(document)) = change
            && let Some(found) = where_attached(view, document)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_case(view: &PendingChanges<'_>, case: &Case) -> Result<Option<MisplacedDocument>, ViewError> {
    for document in view.documents_of_case(&case.facility, &case.id)? {
        if !is_of(view, &document, case.ipp.as_ref())? {
            return Ok(Some(MisplacedDocument {
                facility: case.facility.clone(),
                document: document.id,
                holder: DocumentHolder::Case(case.id.clone()),
                wrong: Misplacement::OtherPatient,
            }));
        }
    }
    Ok(None)
}

/// A note also lists what has left it for a case.
fn on_note(view: &PendingChanges<'_>, note: &Note) -> Result<Option<MisplacedDocument>, ViewError> {
    for id in &note.documents {
        let wrong = match view.document(&note.facility, id)? {
            None => Misplacement::Unknown,
            Some(it)
                if it.attached == AttachmentPlace::Note(note.id.clone())
                    && !is_of(view, &it, Some(&note.ipp))? =>
            {
                Misplacement::OtherPatient
            }
            Some(_) => continue,
        };
        return Ok(Some(MisplacedDocument {
            facility: note.facility.clone(),
            document: id.clone(),
            holder: DocumentHolder::Note(note.id.clone()),
            wrong,
        }));
    }
    Ok(None)
}

/// A message that a note kept outlives the note.
fn where_attached(
    view: &PendingChanges<'_>,
    document: &Document,
) -> Result<Option<MisplacedDocument>, ViewError> {
    let (holder, wrong) = match &document.attached {
        AttachmentPlace::Case(id) => {
            let case = view.case(&document.facility, id)?;
            let wrong = match case {
                Some(case) if !is_of(view, document, case.ipp.as_ref())? => {
                    Misplacement::OtherPatient
                }
                Some(_) => return Ok(None),
                None => Misplacement::NotHeld,
            };
            (DocumentHolder::Case(id.clone()), wrong)
        }
        AttachmentPlace::Note(id) => match view.note(id)? {
            Some(note) if !is_of(view, document, Some(&note.ipp))? => {
                (DocumentHolder::Note(id.clone()), Misplacement::OtherPatient)
            }
            _ => return Ok(None),
        },
    };
    Ok(Some(MisplacedDocument {
        facility: document.facility.clone(),
        document: document.id.clone(),
        holder,
        wrong,
    }))
}

fn is_of(
    view: &PendingChanges<'_>,
    document: &Document,
    ipp: Option<&Ipp>,
) -> Result<bool, ViewError> {
    let Some(ipp) = ipp else {
        return Ok(false);
    };
    let facility = &document.facility;
    Ok(view.survivor(facility, &document.ipp)? == view.survivor(facility, ipp)?)
}

#[cfg(test)]
mod tests;
