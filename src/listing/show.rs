//! Everything known about one case, patient or session: its row, what belongs to it, and its history (interface.md 12).

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{matching, rows};
use crate::model::change::{self, HistoryEntry};
use crate::model::document::DocumentKind;
use crate::model::identifiers::{CaseId, FacilityId, Ipp, SessionId};
use crate::model::view::{View, ViewError};
use crate::store::{PendingChanges, Store, keys};

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum ShowSubject {
    /// A case of a facility.
    Case {
        /// The facility.
        facility: FacilityId,
        /// The case.
        id: CaseId,
    },
    /// A patient of a facility, or the survivor of one that was merged away; with the histories of both.
    Patient {
        /// The facility.
        facility: FacilityId,
        /// The patient.
        id: Ipp,
    },
    /// A session.
    Session {
        /// The session.
        id: SessionId,
    },
}

/// Everything about it; nothing if it is not known.
pub fn show(subject: &ShowSubject, store: &dyn Store) -> Result<Option<Value>, ViewError> {
    let view = PendingChanges::new(store);
    match subject {
        ShowSubject::Case { facility, id } => case(&view, facility, id),
        ShowSubject::Patient { facility, id } => patient(&view, facility, id),
        ShowSubject::Session { id } => session(&view, id),
    }
}

fn case(
    view: &PendingChanges<'_>,
    facility: &FacilityId,
    id: &CaseId,
) -> Result<Option<Value>, ViewError> {
    let Some(case) = view.case(facility, id)? else {
        return Ok(None);
    };
    let mut shown = rows::case(view, &case, &matching(view)?)?;
    let patient = match &case.ipp {
        Some(ipp) => view.patient(facility, ipp)?,
        None => None,
    };
    let note = match &case.note {
        Some(note) => view.note(note)?,
        None => None,
    };
    let report = view.report(facility, id)?;
    shown["patient"] = json!(patient.as_ref().map(rows::patient));
    shown["note"] = match &note {
        Some(note) => rows::note(view, note)?,
        None => Value::Null,
    };
    shown["completion"] = json!(case.completion);
    shown["reports"] = match &report {
        Some(report) => rows::report(view, report)?.into(),
        None => json!([]),
    };
    let filled = view.questionnaire(facility, id)?;
    shown["identity_given"] = json!(case.identity_in_doubt(patient.as_ref()));
    shown["questionnaire"] = json!(filled.map(|filled| filled.questionnaire));
    if let Some(questionnaire) = shown["questionnaire"].as_object_mut() {
        questionnaire.insert("people".to_owned(), json!(case.people));
    }
    let subject = change::Subject::Case(facility.clone(), id.clone());
    shown["history"] = history(view, &[subject])?;
    Ok(Some(shown))
}

fn patient(
    view: &PendingChanges<'_>,
    facility: &FacilityId,
    id: &Ipp,
) -> Result<Option<Value>, ViewError> {
    let ipp = view.survivor(facility, id)?;
    let Some(patient) = view.patient(facility, &ipp)? else {
        return Ok(None);
    };
    let mut shown = rows::patient(&patient);
    let matching = matching(view)?;
    let cases: Result<Vec<Value>, ViewError> = view
        .cases_of_patient(facility, &ipp)?
        .iter()
        .map(|case| rows::case(view, case, &matching))
        .collect();
    let notes: Result<Vec<Value>, ViewError> = view
        .notes_of_patient(facility, &ipp)?
        .iter()
        .map(|note| rows::note(view, note))
        .collect();
    let documents = view.documents_of_patient(facility, &ipp)?;
    shown["cases"] = cases?.into();
    shown["notes"] = notes?.into();
    shown["documents"] = documents
        .iter()
        .filter(|document| document.kind == DocumentKind::Document)
        .map(rows::document)
        .collect();
    let merged = merged_into(view, facility, &ipp)?;
    let subjects: Vec<change::Subject> = merged
        .iter()
        .chain([&ipp])
        .map(|ipp| change::Subject::Patient(facility.clone(), ipp.clone()))
        .collect();
    shown["merged"] = json!(merged);
    shown["history"] = history(view, &subjects)?;
    Ok(Some(shown))
}

/// The IPPs that were merged into this one, directly or by way of others.
fn merged_into(
    view: &PendingChanges<'_>,
    facility: &FacilityId,
    ipp: &Ipp,
) -> Result<Vec<Ipp>, ViewError> {
    let mut merged = Vec::new();
    for alias in view.keys(&keys::aliases(facility))? {
        let old = Ipp::new(keys::last_word(&alias));
        if old != *ipp && view.survivor(facility, &old)? == *ipp {
            merged.push(old);
        }
    }
    Ok(merged)
}

fn session(view: &PendingChanges<'_>, id: &SessionId) -> Result<Option<Value>, ViewError> {
    let Some(session) = view.session(id)? else {
        return Ok(None);
    };
    let cases = view.cases_of_session(id)?;
    let mut shown = rows::session(&session, &cases);
    let matching = matching(view)?;
    let cases: Result<Vec<Value>, ViewError> = cases
        .iter()
        .map(|case| rows::case(view, case, &matching))
        .collect();
    shown["cases"] = cases?.into();
    shown["history"] = history(view, &[change::Subject::Session(id.clone())])?;
    Ok(Some(shown))
}

/// The lines of these histories as one, the oldest first.
fn history(view: &PendingChanges<'_>, subjects: &[change::Subject]) -> Result<Value, ViewError> {
    let mut entries: Vec<HistoryEntry> = Vec::new();
    for subject in subjects {
        entries.extend(view.all::<HistoryEntry>(&keys::history(subject))?);
    }
    entries.sort_by_key(|entry| entry.sequence);
    Ok(entries
        .iter()
        .map(|entry| {
            json!({
                "time": entry.time.to_rfc3339_opts(SecondsFormat::Secs, true),
                "what": entry.what,
                "file": entry.file,
                "message_type": entry.message_type,
            })
        })
        .collect())
}
