//! The scheduling of a case at the desk, and what takes a case off its session (interface.md 7).

use chrono::{DateTime, Utc};

use super::{Desk, bad_command, completed, leave_session, must_be_open};
use crate::intake::desk::{CaseKey, Schedule};
use crate::intake::{Decision, Stop, WithdrawalReason, made, reporting, scheduling};
use crate::model::case::{Case, CaseState};
use crate::model::change::Record;
use crate::model::identifiers::{CaseId, Ipp, SessionId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::session::{Session, SessionState};
use crate::model::view::ViewError;

impl Desk<'_> {
    pub(super) fn schedule(&self, command: &Schedule) -> Result<Decision<'static>, Stop> {
        let session = self.planned_session(command)?;
        let mut decision = Decision::unchanged(Verdict::Updated);
        let mut case = match (&command.case, &command.ipp, &command.note) {
            (Some(case), None, None) => {
                if command.case_id.is_some() {
                    return Err(bad_command(
                        "`case_id` names a case that is made; a known one is named by `case` alone",
                    )
                    .into());
                }
                self.case(case)?
            }
            (None, Some(ipp), None) => {
                let patient = self.patient(ipp)?;
                let key = format!("{}\0{}", patient.ipp, session.id);
                let id = match &command.case_id {
                    Some(id) => id.clone(),
                    None => self.made_case_id(&key, &patient.ipp, &session.id)?,
                };
                self.case_or_new(id, &patient.ipp, &mut decision)?
            }
            (None, None, Some(note)) => {
                let note = self.note(note)?;
                self.case_of_note(&note, command.case_id.clone(), &session.id, &mut decision)?
            }
            _ => {
                return Err(bad_command(
                    "expected exactly one of `case`, `ipp` and `note` to say what is scheduled",
                )
                .into());
            }
        };
        must_be_open(&case, "schedule it")?;
        let before = case.clone();
        if let Some(submitter) = &command.submitter {
            case.submitter = Some(submitter.physician());
        }
        if let Some(lead) = &command.lead {
            case.lead = Some(lead.physician());
        }
        let sent = [("submitter", &command.submitter), ("lead", &command.lead)];
        for (key, person) in sent {
            if person.as_ref().is_some_and(|person| {
                !person
                    .physician()
                    .known_rpps()
                    .is_some_and(|rpps| rpps.is_valid())
            }) {
                decision.warnings.push(Warning::new(
                    WarningCode::RppsInvalid,
                    format!(
                        "expected an RPPS number of 11 digits with a valid key as `{key}`, found another; it is \
                         kept as sent"
                    ),
                ));
            }
        }
        if case.state != CaseState::Scheduled(session.id.clone()) {
            scheduling::schedule(self.view, &mut decision, &mut case, &session.id, "the desk")?;
            case.scheduling_warnings.retain(|code| {
                !matches!(
                    code,
                    WarningCode::SessionNotFound
                        | WarningCode::SessionAmbiguous
                        | WarningCode::SessionDateMismatch
                )
            });
        }
        if let Some(note) = &command.note {
            self.join_note(note, &mut case, &mut decision)?;
        }
        if case == before {
            return Ok(Decision::unchanged(Verdict::Duplicate));
        }
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    fn planned_session(&self, command: &Schedule) -> Result<Session, Stop> {
        let session = self.view.session(&command.session)?.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownSession,
                format!("expected a known session, found \"{}\"", command.session),
            )
            .with_value(command.session.as_str())
        })?;
        if session.state == SessionState::Planned {
            return Ok(session);
        }
        Err(Refusal::new(
            Reason::SessionNotPlanned,
            format!(
                "expected a planned session, but {} is {}",
                session.id,
                session.state.word()
            ),
        )
        .with_value(session.id.as_str())
        .into())
    }

    /// The case that waits on this note, else one for the note's patient.
    fn case_of_note(
        &self,
        note: &Note,
        wanted: Option<CaseId>,
        session: &SessionId,
        decision: &mut Decision<'static>,
    ) -> Result<Case, Stop> {
        match (&note.case, note.reason.is_for_a_case()) {
            (Some(case), true) => {
                if wanted.is_some_and(|wanted| wanted != *case) {
                    return Err(bad_command(format!(
                        "the note stands for the case {case}: leave `case_id` out"
                    ))
                    .into());
                }
                self.case(case)
            }
            (named, _) => {
                // Documents that name a case are waiting for exactly that one.
                let id = match wanted.or_else(|| named.clone()) {
                    Some(id) => id,
                    None => self.made_case_id(note.id.as_str(), &note.ipp, session)?,
                };
                self.case_or_new(id, &note.ipp, decision)
            }
        }
    }

    /// The case of this id, which must be the patient's; a new one where there is none.
    fn case_or_new(
        &self,
        id: CaseId,
        ipp: &Ipp,
        decision: &mut Decision<'static>,
    ) -> Result<Case, Stop> {
        if id.as_str().trim().is_empty() {
            return Err(bad_command(
                "expected an id of the case as `case_id`, found an empty text",
            )
            .into());
        }
        if let Some(case) = self.view.case(&self.facility.id, &id)? {
            self.must_be_of(&case, ipp)?;
            return Ok(case);
        }
        decision.verdict = Verdict::Accepted;
        let case = Case {
            ipp: Some(ipp.clone()),
            ..Case::unscheduled(&self.facility.id, id)
        };
        scheduling::add_history(decision, &case, "made by the desk".to_owned());
        scheduling::join_awaiting(self.view, decision, &case)?;
        Ok(case)
    }

    /// The id of the case that is made for this patient and session. The case that has it counts as made for them while
    /// it is the patient's, and in that session or in none.
    fn made_case_id(&self, key: &str, ipp: &Ipp, session: &SessionId) -> Result<CaseId, ViewError> {
        let named = |made: &str| CaseId::new(format!("desk-{made}"));
        let facility = &self.facility.id;
        let made = made::own_id("desk-case", facility, key, String::new, |made| {
            let Some(case) = self.view.case(facility, &named(made))? else {
                return Ok(true);
            };
            let of = match &case.state {
                CaseState::Scheduled(own) | CaseState::Completed(own) => Some(own),
                CaseState::Cancelled => case.cancelled_in.as_ref(),
                CaseState::Unscheduled => None,
            };
            Ok(case.ipp.as_ref() == Some(ipp) && of.is_none_or(|own| own == session))
        })?;
        Ok(named(&made))
    }

    pub(super) fn unschedule(&self, command: &CaseKey) -> Result<Decision<'static>, Stop> {
        let mut case = self.case(&command.case)?;
        match case.state {
            CaseState::Scheduled(_) => {}
            CaseState::Unscheduled => return Ok(Decision::unchanged(Verdict::Duplicate)),
            CaseState::Completed(_) => return Err(completed(&case).into()),
            CaseState::Cancelled => {
                return Err(bad_command(format!(
                    "expected a scheduled case, but {} is cancelled",
                    case.id
                ))
                .into());
            }
        }
        let mut decision = Decision::unchanged(Verdict::Updated);
        let reason = NoteReason::Unscheduled;
        leave_session(self.view, &mut decision, &mut case, reason)?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    pub(super) fn reopen(
        &self,
        command: &CaseKey,
        time: DateTime<Utc>,
    ) -> Result<Decision<'static>, Stop> {
        let mut case = self.case(&command.case)?;
        if case.ipp.is_none() {
            return Err(bad_command(format!(
                "the case {} was cancelled before anything else of it came: its patient is not known",
                case.id
            ))
            .into());
        }
        let session = match &case.state {
            CaseState::Scheduled(_) | CaseState::Unscheduled => {
                return Ok(Decision::unchanged(Verdict::Duplicate));
            }
            CaseState::Completed(session) => Some(session),
            CaseState::Cancelled => case.cancelled_in.as_ref(),
        };
        let reason = match session {
            Some(_) => NoteReason::SessionCancelled,
            None => NoteReason::Unscheduled,
        };
        let session = match session {
            Some(session) => self.view.session(session)?,
            None => None,
        }
        .filter(|session| session.state != SessionState::Cancelled);
        let mut decision = Decision::unchanged(Verdict::Updated);
        scheduling::add_history(&mut decision, &case, "reopened by the desk".to_owned());
        self.withdraw_report(&mut decision, &case, (WithdrawalReason::Reopened, time))?;
        match session {
            Some(session) => {
                scheduling::schedule(self.view, &mut decision, &mut case, &session.id, "the desk")?
            }
            None => leave_session(self.view, &mut decision, &mut case, reason)?,
        }
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// Also of a completed case: its report does not hold any more.
    pub(super) fn cancel(
        &self,
        command: &CaseKey,
        time: DateTime<Utc>,
    ) -> Result<Decision<'static>, Stop> {
        let mut case = self.case(&command.case)?;
        if case.state == CaseState::Cancelled {
            return Ok(Decision::unchanged(Verdict::Duplicate));
        }
        let mut decision = Decision::unchanged(Verdict::Updated);
        self.withdraw_report(&mut decision, &case, (WithdrawalReason::Cancelled, time))?;
        scheduling::cancel(self.view, &mut decision, &mut case, "the desk")?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    fn withdraw_report(
        &self,
        decision: &mut Decision<'static>,
        case: &Case,
        why: (WithdrawalReason, DateTime<Utc>),
    ) -> Result<(), ViewError> {
        match case.state {
            CaseState::Completed(_) => {
                reporting::withdraw(self.view, self.facility, decision, case, why)
            }
            _ => Ok(()),
        }
    }
}
