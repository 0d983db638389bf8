//! What a command of the desk does (interface.md 7).

mod attach;
mod complete;
mod schedule;

#[cfg(test)]
mod tests;

use super::{Action, Command, orders};
use crate::config::Facility;
use crate::intake::scheduling::{self, SessionMatch};
use crate::intake::{Decision, DecisionResult, DeskContext, Stop};
use crate::model::case::{Case, CaseState};
use crate::model::change::Record;
use crate::model::identifiers::{CaseId, FacilityId, Ipp, NoteId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Reason, Refusal, Verdict};
use crate::model::patient::Patient;
use crate::model::session::Session;
use crate::model::view::{View, ViewError};

/// Decides one command. `pdf` is the content of the file that it names ([`super::pdf_named`]), if it was there.
pub fn decide(
    command: &Command,
    pdf: Option<&[u8]>,
    view: &dyn View,
    context: &DeskContext<'_>,
) -> DecisionResult<'static> {
    if let Some(id) = &command.id
        && view.is_command_done(id)?
    {
        return Ok(Decision::unchanged(Verdict::Duplicate));
    }
    let mut decision = match &command.action {
        Action::Retry(retry) => orders::retry(retry)?,
        Action::Discard(discard) => orders::discard(discard)?,
        action => {
            let facility = facility(command, context)?;
            let desk = Desk { view, facility };
            match action {
                Action::Schedule(it) => desk.schedule(it)?,
                Action::Unschedule(it) => desk.unschedule(it)?,
                Action::Reopen(it) => desk.reopen(it, command.time.unwrap_or(context.time))?,
                Action::Renew(it) => desk.renew(it, command.time.unwrap_or(context.time))?,
                Action::Cancel(it) => desk.cancel(it, command.time.unwrap_or(context.time))?,
                Action::Attach(it) => desk.attach(it)?,
                Action::Questionnaire(it) => {
                    desk.questionnaire(it, command.time.unwrap_or(context.time))?
                }
                Action::Complete(it) => {
                    desk.complete(it, pdf, command.time.unwrap_or(context.time))?
                }
                Action::Redeliver(it) => desk.redeliver(it)?,
                Action::Retry(it) => orders::retry(it)?,
                Action::Discard(it) => orders::discard(it)?,
            }
        }
    };
    if let Some(id) = &command.id {
        decision
            .changes
            .push(Record::CommandDone(id.clone()).into());
    }
    Ok(decision)
}

/// The unscheduled cases that now match exactly one planned session, each with that session (`schedule --matching`).
pub fn matching(view: &dyn View) -> Result<Vec<(Case, Session)>, ViewError> {
    let mut matching = Vec::new();
    for case in view.unscheduled_cases()? {
        if let Some(session) = session_asked_for(view, &case)? {
            matching.push((case, session));
        }
    }
    Ok(matching)
}

/// The only planned session that fits what the case's messages ask for.
fn session_asked_for(view: &dyn View, case: &Case) -> Result<Option<Session>, ViewError> {
    let (Some(date), Some(pathway)) = (case.date, &case.pathway) else {
        return Ok(None);
    };
    Ok(match scheduling::find_session(view, date, pathway)? {
        SessionMatch::Session(session) => Some(*session),
        SessionMatch::NotFound | SessionMatch::Ambiguous => None,
    })
}

fn facility<'c>(command: &Command, context: &DeskContext<'c>) -> Result<&'c Facility, Refusal> {
    let id = command.facility().map_or("", FacilityId::as_str);
    context
        .config
        .facilities
        .iter()
        .find(|facility| facility.id.as_str() == id)
        .ok_or_else(|| {
            bad_command(format!(
                "expected a facility of the configuration, found \"{id}\""
            ))
            .with_value(id)
        })
}

/// One facility, as the desk sees it.
struct Desk<'c> {
    view: &'c dyn View,
    facility: &'c Facility,
}

impl Desk<'_> {
    fn case(&self, id: &CaseId) -> Result<Case, Stop> {
        let case = self.view.case(&self.facility.id, id)?;
        Ok(case.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownCase,
                format!(
                    "expected a known case of {}, found \"{id}\"",
                    self.facility.id
                ),
            )
            .with_value(id.as_str())
        })?)
    }

    fn note(&self, id: &NoteId) -> Result<Note, Stop> {
        let note = self.view.note(id)?;
        Ok(note
            .filter(|note| note.facility == self.facility.id)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::UnknownNote,
                    format!(
                        "expected a known note of {}, found \"{id}\"",
                        self.facility.id
                    ),
                )
                .with_value(id.as_str())
            })?)
    }

    fn patient(&self, ipp: &Ipp) -> Result<Patient, Stop> {
        let survivor = self.view.survivor(&self.facility.id, ipp)?;
        let patient = self.view.patient(&self.facility.id, &survivor)?;
        Ok(patient.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownPatient,
                format!(
                    "expected a known patient of {}, found \"{ipp}\"",
                    self.facility.id
                ),
            )
            .with_value(ipp.as_str())
        })?)
    }

    fn must_be_of(&self, case: &Case, ipp: &Ipp) -> Result<(), Stop> {
        if case.ipp.as_ref() == Some(ipp) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::CasePatientMismatch,
            format!(
                "expected a case of the patient {ipp}, but {} is another's",
                case.id
            ),
        )
        .with_value(case.id.as_str())
        .into())
    }
}

/// Takes a case out of its session, onto a note of the patient, so that it does not vanish.
pub(super) fn leave_session(
    view: &dyn View,
    decision: &mut Decision<'_>,
    case: &mut Case,
    reason: NoteReason,
) -> Result<(), ViewError> {
    scheduling::leave_unscheduled(view, decision, case, reason, None, "the desk")
}

/// That a case is completed again and nothing new leaves, since the version that stands shows all of it.
fn still_stands(case: &CaseId, (version, batch): (u32, Option<u64>)) -> String {
    let left = match batch {
        Some(batch) => format!("left in batch {batch}"),
        None => "leaves with the next batch".to_owned(),
    };
    format!(
        "The case {case} is completed again with the same content: no new version is made, and nothing new leaves. \
         Version {version} of its report, which {left}, is valid."
    )
}

/// Refuses what a case that is completed or cancelled has to be reopened for.
fn must_be_open(case: &Case, then: &str) -> Result<(), Refusal> {
    match case.state {
        CaseState::Completed(_) => Err(completed(case)),
        CaseState::Cancelled => Err(bad_command(format!(
            "the case {} is cancelled: reopen it, then {then}",
            case.id
        ))),
        CaseState::Unscheduled | CaseState::Scheduled(_) => Ok(()),
    }
}

fn completed(case: &Case) -> Refusal {
    Refusal::new(
        Reason::CaseCompleted,
        format!("the case {} is completed: reopen it first", case.id),
    )
    .with_value(case.id.as_str())
}

fn bad_command(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadCommand, message)
}
