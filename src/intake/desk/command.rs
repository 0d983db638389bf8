//! What a command of the desk does (SPEC 7).

use crate::config::Facility;
use crate::intake::scheduling::{self, Found};
use crate::intake::siu;
use crate::intake::{
    Decided, Decision, DeskContext, Order, Redelivery, ReportOrder, Stop, content, made,
};
use crate::model::case::{Case, CaseState, Completion};
use crate::model::change::Record;
use crate::model::document::{Attached, ContentType, Document, DocumentKind};
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ipp, NoteId, SessionId,
};
use crate::model::note::{Note, NoteReason};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::session::{Session, SessionState};
use crate::model::view::{View, ViewError};

use super::completion;
use super::{Action, Attach, CaseKey, Command, Complete, Discard, Redeliver, Retry, Schedule};

/// Decides one command. `pdf` is the content of the file that it names ([`super::pdf_named`]), if it was there.
pub fn decide(
    command: &Command,
    pdf: Option<&[u8]>,
    view: &dyn View,
    context: &DeskContext<'_>,
) -> Decided<'static> {
    if let Some(id) = &command.id
        && view.is_command_done(id)?
    {
        return Ok(Decision::unchanged(Verdict::Duplicate));
    }
    let mut decision = match &command.action {
        Action::Retry(retry) => order_retry(retry)?,
        Action::Discard(discard) => order_discard(discard),
        action => {
            let facility = facility(command, context)?;
            let desk = Desk { view, facility };
            match action {
                Action::Schedule(it) => desk.schedule(it)?,
                Action::Unschedule(it) => desk.unschedule(it)?,
                Action::Reopen(it) => desk.reopen(it)?,
                Action::Cancel(it) => desk.cancel(it)?,
                Action::Attach(it) => desk.attach(it)?,
                Action::Complete(it) => {
                    desk.complete(it, pdf, command.time.unwrap_or(context.time))?
                }
                Action::Redeliver(it) => desk.redeliver(it)?,
                Action::Retry(it) => order_retry(it)?,
                Action::Discard(it) => order_discard(it),
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
        Found::Session(session) => Some(session),
        Found::NotFound | Found::Ambiguous => None,
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

fn order_retry(retry: &Retry) -> Result<Decision<'static>, Refusal> {
    if retry.files.is_empty() {
        return Err(bad_command(
            "expected at least one file to retry, found an empty list",
        ));
    }
    // Whether it lies in an error/ folder is seen by the engine: a facility's can be anywhere.
    let leads_away = |file: &&String| file.is_empty() || file.split('/').any(|part| part == "..");
    if let Some(file) = retry.files.iter().find(leads_away) {
        return Err(bad_command(
            "expected paths of refused files as `rcpspool list errors` shows them, found one that is empty or has `..`",
        )
        .with_value(file));
    }
    Ok(Decision {
        order: Some(Order::Retry {
            files: retry.files.clone(),
        }),
        ..Decision::unchanged(Verdict::Accepted)
    })
}

/// The facility need not be in the configuration: what was taken out of it can never be done.
fn order_discard(discard: &Discard) -> Decision<'static> {
    Decision {
        order: Some(Order::GiveUp {
            facility: discard.moves.clone(),
            why: discard.why.clone(),
        }),
        ..Decision::unchanged(Verdict::Accepted)
    }
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
        match &case.state {
            CaseState::Completed(_) => return Err(completed(&case).into()),
            CaseState::Cancelled => {
                return Err(bad_command(format!(
                    "the case {} is cancelled: reopen it, then schedule it",
                    case.id
                ))
                .into());
            }
            CaseState::Unscheduled | CaseState::Scheduled(_) => {}
        }
        let before = case.clone();
        if let Some(submitter) = &command.submitter {
            case.submitter = Some(submitter.physician());
        }
        if let Some(lead) = &command.lead {
            case.lead = Some(lead.physician());
        }
        let sent = [("submitter", &command.submitter), ("lead", &command.lead)];
        for (key, person) in sent {
            if person
                .as_ref()
                .is_some_and(|person| !person.physician().rpps.is_valid())
            {
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
        let mut case = Case {
            ipp: Some(ipp.clone()),
            ..siu::new_case(&self.facility.id, id)
        };
        scheduling::tell(decision, &case, "made by the desk".to_owned());
        scheduling::join_awaiting(self.view, decision, &mut case)?;
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
        leave_session(self.view, &mut decision, &mut case)?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    fn reopen(&self, command: &CaseKey) -> Result<Decision<'static>, Stop> {
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
        let session = match session {
            Some(session) => self.view.session(session)?,
            None => None,
        }
        .filter(|session| session.state != SessionState::Cancelled);
        let mut decision = Decision::unchanged(Verdict::Updated);
        scheduling::tell(&mut decision, &case, "reopened by the desk".to_owned());
        match session {
            Some(session) => {
                scheduling::schedule(self.view, &mut decision, &mut case, &session.id, "the desk")?
            }
            None => leave_session(self.view, &mut decision, &mut case)?,
        }
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    fn cancel(&self, command: &CaseKey) -> Result<Decision<'static>, Stop> {
        let mut case = self.case(&command.case)?;
        match case.state {
            CaseState::Cancelled => return Ok(Decision::unchanged(Verdict::Duplicate)),
            CaseState::Completed(_) => return Err(completed(&case).into()),
            CaseState::Scheduled(_) | CaseState::Unscheduled => {}
        }
        let mut decision = Decision::unchanged(Verdict::Updated);
        scheduling::cancel(self.view, &mut decision, &mut case, "the desk")?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
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
        let mut documents = self.documents_on(&note)?;
        documents.retain(|document| !case.documents.contains(&document.id));
        scheduling::join(self.view, decision, case, documents)?;
        Ok(())
    }

    fn documents_on(&self, note: &Note) -> Result<Vec<Document>, ViewError> {
        let mut documents = Vec::with_capacity(note.documents.len());
        for id in &note.documents {
            let document = self.view.document(&note.facility, id)?;
            documents.extend(document.filter(|document| {
                document.kind == DocumentKind::Document
                    && document.attached == Attached::Note(note.id.clone())
            }));
        }
        Ok(documents)
    }

    fn complete(
        &self,
        command: &Complete,
        pdf: Option<&[u8]>,
        time: chrono::DateTime<chrono::Utc>,
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
        let session = self.view.session(session)?.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownSession,
                format!("the session {session} of the case is not known"),
            )
        })?;
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
        let ipp = case.ipp.as_ref().ok_or_else(|| {
            bad_command(format!("the patient of the case {} is not known", case.id))
        })?;
        let patient = self.patient(ipp)?;
        let pdf = self.checked_pdf(command, pdf)?;
        let completion = Completion {
            decision: command.decision.clone(),
            participants: command.participants.clone(),
            items: command.items.clone(),
            pdf: pdf.map(ContentHash::of),
        };
        let report = self.view.report(&self.facility.id, &case.id)?;
        let same = report.is_some() && case.completion.as_ref() == Some(&completion);
        if same && matches!(case.state, CaseState::Completed(_)) {
            return Ok(Decision::unchanged(Verdict::Duplicate));
        }
        let completed = Case {
            state: CaseState::Completed(session.id.clone()),
            completion: Some(completion.clone()),
            ..case
        };
        let mut decision = Decision::unchanged(Verdict::Updated);
        if same {
            scheduling::tell(
                &mut decision,
                &completed,
                "completed again by the desk; the report stays as it is".to_owned(),
            );
            decision.changes.push(Record::Case(completed).into());
            return Ok(decision);
        }
        let filled = self.view.questionnaire(&self.facility.id, &completed.id)?;
        let cursor = self.view.cursor(&self.facility.id)?;
        let known = report.as_ref();
        let version = known
            .and_then(|report| report.versions.iter().map(|version| version.version).max())
            .unwrap_or(0)
            .saturating_add(1);
        let document_id = known.map_or_else(
            || {
                let made = made::made_id("report", &self.facility.id, completed.id.as_str());
                DocumentId::new(made)
            },
            |report| report.document_id.clone(),
        );
        decision.warnings.extend(warn_of_no_decision(&completion));
        scheduling::tell(
            &mut decision,
            &completed,
            format!("completed by the desk: report version {version}"),
        );
        decision
            .changes
            .push(Record::Case(completed.clone()).into());
        decision.order = Some(Order::Report(Box::new(ReportOrder {
            case: completed,
            patient,
            session,
            completion,
            questionnaire: filled.map(|filled| filled.questionnaire),
            pdf: pdf.map(<[u8]>::to_vec),
            number: known.map_or_else(|| cursor.reports.saturating_add(1), |report| report.number),
            document_id,
            version,
            sequence: cursor.versions.saturating_add(1),
            time,
        })));
        Ok(decision)
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
) -> Result<(), ViewError> {
    let reason = NoteReason::SessionCancelled;
    scheduling::leave_unscheduled(view, decision, case, reason, None, "the desk")
}

/// What only the desk can say is missing; who submitted the case is looked for where the report is written (SPEC 8).
fn warn_of_no_decision(completion: &Completion) -> Option<Warning> {
    let decision = completion.decision.as_deref().unwrap_or_default();
    (completion.pdf.is_none() && decision.trim().is_empty()).then(|| {
        Warning::new(
            WarningCode::ReportIncomplete,
            "expected the decision of the meeting, found nothing: the report leaves it empty",
        )
    })
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
