//! What is known, as people and programs are shown it: the store turned into the JSON of interface.md 12, and into tables.
//!
//! [`list`] and [`show`] answer the command line and the daemon's local socket alike, so both say the same.
//! [`table`] makes text for a terminal of what they gave.

pub mod errors;
pub mod reading;
mod rows;
mod show;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::intake::desk;
use crate::model::case::Case;
use crate::model::document::{AttachmentPlace, Document, DocumentKind};
use crate::model::identifiers::{CaseId, FacilityId, SessionId};
use crate::model::note::Note;
use crate::model::patient::Patient;
use crate::model::report::Report;
use crate::model::session::Session;
use crate::model::view::{View, ViewError};
use crate::store::{PendingChanges, Store, keys};

pub use self::show::{ShowSubject, show};

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    /// Identities
    Patients,
    /// Patients put before a session
    Cases,
    /// Meetings
    Sessions,
    /// What is attached to a patient and not yet in a case
    Notes,
    /// Documents, each with its current version
    Documents,
    /// Reports of completed cases, each version
    Reports,
    /// Refused files and messages, and why
    Errors,
}

impl Listing {
    /// The word for it, in the plural.
    pub fn word(self) -> &'static str {
        match self {
            Listing::Patients => "patients",
            Listing::Cases => "cases",
            Listing::Sessions => "sessions",
            Listing::Notes => "notes",
            Listing::Documents => "documents",
            Listing::Reports => "reports",
            Listing::Errors => "errors",
        }
    }

    /// The states that it can be asked by.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Listing::Cases => &[
                "unscheduled",
                "scheduled",
                "completed",
                "cancelled",
                OUTDATED,
            ],
            Listing::Sessions => &["planned", "closed", "cancelled"],
            Listing::Errors => &[errors::OPEN, errors::SUPERSEDED, errors::DISCARDED],
            _ => &[],
        }
    }

    /// Whether it can be asked by the session that it belongs to.
    pub fn has_session(self) -> bool {
        matches!(
            self,
            Listing::Cases | Listing::Sessions | Listing::Documents | Listing::Reports
        )
    }
}

/// Which of them; what is absent does not limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Those of this facility; for sessions, those in which it has a case.
    #[serde(default)]
    pub facility: Option<FacilityId>,
    /// Those in this session; for documents and reports, those of its cases.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Those in this state.
    #[serde(default)]
    pub state: Option<String>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn has_facility(&self, facility: &FacilityId) -> bool {
        self.facility.as_ref().is_none_or(|it| it == facility)
    }

    fn has_state(&self, word: &str) -> bool {
        self.state.as_deref().is_none_or(|it| it == word)
    }
}

/// The rows of a listing, with the keys of interface.md 12, in the order of their keys.
pub fn list(
    what: Listing,
    filter: &Filter,
    store: &dyn Store,
    config: &Config,
) -> Result<Vec<Value>, ViewError> {
    let view = PendingChanges::new(store);
    match what {
        Listing::Patients => patients(&view, filter),
        Listing::Cases => cases(&view, filter),
        Listing::Sessions => sessions(&view, filter),
        Listing::Notes => notes(&view, filter),
        Listing::Documents => documents(&view, filter),
        Listing::Reports => reports(&view, filter),
        Listing::Errors => errors::errors(store, config, filter),
    }
}

/// The patients, without those that were merged away.
pub fn patients(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let patients: Vec<Patient> = view.all(&keys::patients(filter.facility.as_ref()))?;
    Ok(patients.iter().map(rows::patient).collect())
}

/// As a state: the completed cases whose report is outdated.
const OUTDATED: &str = "outdated";

/// The cases; one that waits also tells in `can_be_scheduled` the only planned session that it fits by now, if any.
pub fn cases(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let matching = matching(view)?;
    let mut listed: Vec<Case> = view.all_of_patients(&keys::cases(filter.facility.as_ref()))?;
    let outdated = filter.state.as_deref() == Some(OUTDATED);
    listed.retain(|case| {
        let session = case.state.session();
        let word = case.state.word();
        (filter.has_state(word) || outdated && word == "completed")
            && filter.session.as_ref().is_none_or(|it| session == Some(it))
    });
    let rows = listed.iter().map(|case| rows::case(view, case, &matching));
    let mut rows = rows.collect::<Result<Vec<Value>, ViewError>>()?;
    rows.retain(|row| !outdated || row["report_outdated"] == true);
    Ok(rows)
}

/// The sessions; `cases` is an array of `{facility, case, state}`, of every facility.
pub fn sessions(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let mut sessions: Vec<Session> = view.all(keys::SESSIONS)?;
    sessions.retain(|session| {
        filter.has_state(session.state.word())
            && filter.session.as_ref().is_none_or(|it| *it == session.id)
    });
    let mut listed = Vec::with_capacity(sessions.len());
    for session in &sessions {
        let cases = view.cases_of_session(&session.id)?;
        let is_asked_for = cases.iter().any(|case| filter.has_facility(&case.facility));
        if filter.facility.is_none() || is_asked_for {
            listed.push(rows::session(session, &cases));
        }
    }
    Ok(listed)
}

/// The notes, each with its documents and the message that it keeps.
pub fn notes(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let mut notes: Vec<Note> = view.all_of_patients(keys::NOTES)?;
    notes.retain(|note| filter.has_facility(&note.facility));
    notes.sort_by(|a, b| (&a.facility, &a.ipp, &a.id).cmp(&(&b.facility, &b.ipp, &b.id)));
    notes.iter().map(|note| rows::note(view, note)).collect()
}

/// The documents, one row for each, its current version; messages kept on notes are not among them (interface.md 6).
pub fn documents(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let facility = filter.facility.as_ref();
    let documents: Vec<Document> = view.all_of_patients(&keys::documents(facility))?;
    let mut listed = Vec::new();
    for document in &documents {
        let case = match &document.attached {
            AttachmentPlace::Case(case) => Some(case),
            AttachmentPlace::Note(_) => None,
        };
        if document.kind == DocumentKind::Document
            && is_in_session(view, filter, &document.facility, case)?
        {
            listed.push(rows::document(document));
        }
    }
    Ok(listed)
}

/// The reports, one row for each version.
pub fn reports(view: &PendingChanges<'_>, filter: &Filter) -> Result<Vec<Value>, ViewError> {
    let reports: Vec<Report> = view.all(&keys::reports(filter.facility.as_ref()))?;
    let mut listed = Vec::new();
    for report in reports {
        let report = &report.counted();
        if is_in_session(view, filter, &report.facility, Some(&report.case))? {
            listed.extend(rows::report(view, report)?);
        }
    }
    Ok(listed)
}

fn is_in_session(
    view: &PendingChanges<'_>,
    filter: &Filter,
    facility: &FacilityId,
    case: Option<&CaseId>,
) -> Result<bool, ViewError> {
    let Some(asked) = &filter.session else {
        return Ok(true);
    };
    let Some(case) = case else {
        return Ok(false);
    };
    let case = view.case(facility, case)?;
    Ok(case.is_some_and(|case| case.state.session() == Some(asked)))
}

/// For each case that waits and now fits exactly one planned session, that session (interface.md 7).
type SessionMatches = BTreeMap<(FacilityId, CaseId), SessionId>;

fn matching(view: &dyn View) -> Result<SessionMatches, ViewError> {
    let matching = desk::matching(view)?;
    Ok(matching
        .into_iter()
        .map(|(case, session)| ((case.facility, case.id), session.id))
        .collect())
}

#[cfg(test)]
mod tests;
