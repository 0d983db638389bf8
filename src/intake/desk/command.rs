//! What a command of the desk does (interface.md 7).

use chrono::{DateTime, Utc};

use crate::config::Facility;
use crate::intake::reporting::{self, ReportableCase};
use crate::intake::scheduling::{self, SessionMatch};
use crate::intake::{
    Decision, DecisionResult, DeskContext, Order, Redelivery, ReportOrder, Stop, WithdrawalReason,
    content, made,
};
use crate::model::case::{Case, CaseState, Completion};
use crate::model::change::Record;
use crate::model::document::{AttachmentPlace, ContentType, Document, DocumentKind};
use crate::model::identifiers::{CaseId, ContentHash, FacilityId, Ipp, NoteId, SessionId};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::session::{Session, SessionState};
use crate::model::view::{View, ViewError};
use crate::model::visible::is_blank;

use super::{Action, Attach, CaseKey, Command, Complete, Questionnaire, Redeliver, Schedule};
use super::{completion, form, orders};

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
    fn schedule(&self, command: &Schedule) -> Result<Decision<'static>, Stop> {
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

    fn unschedule(&self, command: &CaseKey) -> Result<Decision<'static>, Stop> {
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

    fn reopen(&self, command: &CaseKey, time: DateTime<Utc>) -> Result<Decision<'static>, Stop> {
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
    fn cancel(&self, command: &CaseKey, time: DateTime<Utc>) -> Result<Decision<'static>, Stop> {
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

    fn attach(&self, command: &Attach) -> Result<Decision<'static>, Stop> {
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
    fn join_note(
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

    fn questionnaire(
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

    fn complete(
        &self,
        command: &Complete,
        pdf: Option<&[u8]>,
        time: DateTime<Utc>,
    ) -> Result<Decision<'static>, Stop> {
        completion::check(command)?;
        let case = self.case(&command.case)?;
        let session = match &case.state {
            CaseState::Scheduled(session) | CaseState::Completed(session) => session,
            CaseState::Unscheduled | CaseState::Cancelled => {
                return Err(bad_command(format!(
                    "expected a scheduled case, but {} is {}",
                    case.id,
                    case.state.word()
                ))
                .into());
            }
        };
        let session = self.session_of_case(session)?;
        if session.state == SessionState::Cancelled {
            return Err(Refusal::new(
                Reason::SessionNotPlanned,
                format!(
                    "expected a session that is planned or closed, but {} is cancelled",
                    session.id
                ),
            )
            .into());
        }
        let day = time.with_timezone(&self.facility.timezone).date_naive();
        completion::check_twice(command, &session, day)?;
        let ipp = case.ipp.as_ref().ok_or_else(|| {
            bad_command(format!("the patient of the case {} is not known", case.id))
        })?;
        let patient = self.patient(ipp)?;
        let pdf = self.checked_pdf(command, pdf)?;
        let damaged = completion::check_whole(command, pdf)?;
        let completion = Completion {
            decision: command.decision.clone(),
            participants: command.participants.clone(),
            validator: command.validator.clone(),
            items: command.items.clone(),
            pdf: pdf.map(ContentHash::of),
        };
        let known = case.completion.clone();
        let was_completed = matches!(case.state, CaseState::Completed(_));
        let completed = Case {
            state: CaseState::Completed(session.id.clone()),
            completion: Some(completion.clone()),
            ..case
        };
        let warning = warn_of_no_decision(&completion);
        let reported = self.reported(completed, patient, session, completion)?;
        let is_shown = reported.is_shown(known.as_ref());
        if is_shown && was_completed {
            return Ok(Decision::unchanged(Verdict::Duplicate));
        }
        let mut decision = Decision::unchanged(Verdict::Updated);
        if is_shown {
            scheduling::add_history(
                &mut decision,
                &reported.case,
                "completed again by the desk; the report stays as it is".to_owned(),
            );
            decision.note = reported
                .stands()
                .map(|stands| still_stands(&reported.case.id, stands));
            decision.changes.push(Record::Case(reported.case).into());
            return Ok(decision);
        }
        decision.warnings.extend(warning);
        decision.warnings.extend(damaged);
        decision.note = known.as_ref().and_then(|known| left_out(known, &reported));
        let what = format!("completed by the desk: report version {}", reported.next());
        self.order_report(decision, reported, what, pdf, time)
    }

    /// Makes the report of a completed case anew: what the desk wrote stays, all else is as it is known by now.
    fn renew(&self, command: &CaseKey, time: DateTime<Utc>) -> Result<Decision<'static>, Stop> {
        let case = self.case(&command.case)?;
        let (CaseState::Completed(session), Some(ipp), Some(completion)) =
            (&case.state, &case.ipp, &case.completion)
        else {
            return Err(bad_command(format!(
                "expected a completed case, but {} is {}",
                case.id,
                case.state.word()
            ))
            .into());
        };
        if completion.pdf.is_some() {
            return Err(bad_command(format!(
                "the report of {} is a PDF of the desk, which nobody else can make: complete the case again with a new one",
                case.id
            ))
            .into());
        }
        let session = self.session_of_case(session)?;
        let patient = self.patient(ipp)?;
        let completion = completion.clone();
        let reported = self.reported(case, patient, session, completion)?;
        if reported.is_same(None) {
            return Ok(Decision::unchanged(Verdict::Duplicate));
        }
        let what = format!("report renewed by the desk: version {}", reported.next());
        let decision = Decision::unchanged(Verdict::Updated);
        let case = reported.case.clone();
        let order = reported.renewal(self.view, time)?;
        Ok(ordered(decision, case, what, order))
    }

    fn reported(
        &self,
        case: Case,
        patient: Patient,
        session: Session,
        completion: Completion,
    ) -> Result<ReportableCase, ViewError> {
        ReportableCase::new(self.view, self.facility, case, patient, session, completion)
    }

    fn order_report(
        &self,
        decision: Decision<'static>,
        reported: ReportableCase,
        what: String,
        pdf: Option<&[u8]>,
        time: DateTime<Utc>,
    ) -> Result<Decision<'static>, Stop> {
        let case = reported.case.clone();
        let order = reported.order(self.view, pdf, time)?;
        Ok(ordered(decision, case, what, order))
    }

    fn session_of_case(&self, id: &SessionId) -> Result<Session, Stop> {
        Ok(self.view.session(id)?.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownSession,
                format!("the session {id} of the case is not known"),
            )
        })?)
    }

    fn checked_pdf<'p>(
        &self,
        command: &Complete,
        pdf: Option<&'p [u8]>,
    ) -> Result<Option<&'p [u8]>, Refusal> {
        match (&command.pdf, pdf) {
            (None, _) => Ok(None),
            (Some(name), None) => Err(bad_command(
                "expected the file that `pdf` names beside the command in the desk's inbox, found none",
            )
            .with_value(name)),
            (Some(name), Some(bytes)) => match content::content_type(bytes) {
                Some(ContentType::Pdf) => Ok(Some(bytes)),
                other => Err(Refusal::new(
                    Reason::DocumentType,
                    format!(
                        "expected a PDF as `pdf`, found {}",
                        other.map_or("content of an unknown kind", ContentType::word)
                    ),
                )
                .with_value(name)),
            },
        }
    }

    fn redeliver(&self, command: &Redeliver) -> Result<Decision<'static>, Stop> {
        let which = match (command.since, command.batch) {
            (Some(since), None) => Redelivery::Since(since.instant(self.facility.timezone)),
            (None, Some(number)) => {
                if self.view.batch(&self.facility.id, number)?.is_none() {
                    return Err(bad_command(format!(
                        "expected the number of a batch that was written for {}, found {number}",
                        self.facility.id
                    ))
                    .into());
                }
                Redelivery::Batch(number)
            }
            _ => {
                return Err(bad_command(
                    "expected exactly one of `since` and `batch` to say what leaves again",
                )
                .into());
            }
        };
        Ok(Decision {
            order: Some(Order::Redeliver {
                facility: self.facility.id.clone(),
                which,
            }),
            ..Decision::unchanged(Verdict::Accepted)
        })
    }

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

/// Orders a version of the report of this case.
fn ordered(
    mut decision: Decision<'static>,
    case: Case,
    what: String,
    order: ReportOrder,
) -> Decision<'static> {
    scheduling::add_history(&mut decision, &case, what);
    decision.changes.push(Record::Case(case).into());
    decision.order = Some(Order::Report(Box::new(order)));
    decision
}

/// What the completion before said and this one does not: whoever corrects a word may not know that each says all anew.
fn left_out(known: &Completion, reported: &ReportableCase) -> Option<String> {
    let now = &reported.completion;
    let parts = [
        (
            "a decision",
            known.decision.is_some() && now.decision.is_none(),
        ),
        (
            "participants",
            !known.participants.is_empty() && now.participants.is_empty(),
        ),
        ("items", !known.items.is_empty() && now.items.is_empty()),
        (
            "a validator",
            known.validator.is_some() && now.validator.is_none(),
        ),
    ];
    let missing = parts.into_iter().filter(|(_, is_missing)| *is_missing);
    let missing: Vec<&str> = missing.map(|(what, _)| what).collect();
    (now.pdf.is_none() && !missing.is_empty()).then(|| {
        format!(
            "Case {} of {} is completed again; version {} of its report leaves with the next batch. The version before gave {}, which this one does not: complete the case once more with all of it, if it is to stay.",
            reported.case.id,
            reported.case.facility,
            reported.next(),
            missing.join(", "),
        )
    })
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

/// What only the desk can say is missing; who submitted the case is looked for where the report is written (interface.md 8).
fn warn_of_no_decision(completion: &Completion) -> Option<Warning> {
    let decision = completion.decision.as_deref().unwrap_or_default();
    (completion.pdf.is_none() && is_blank(decision)).then(|| {
        Warning::new(
            WarningCode::ReportIncomplete,
            "expected the decision of the meeting, found nothing: the report leaves it empty",
        )
    })
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

#[cfg(test)]
mod tests;
