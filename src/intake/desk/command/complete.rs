//! The completion of a case at the desk, and its report: made, made anew, sent again (interface.md 7).

use chrono::{DateTime, Utc};

use super::{Desk, bad_command, still_stands};
use crate::intake::desk::{CaseKey, Complete, Redeliver, completion};
use crate::intake::reporting::ReportableCase;
use crate::intake::{Decision, Order, Redelivery, ReportOrder, Stop, content, scheduling};
use crate::model::case::{Case, CaseState, Completion};
use crate::model::change::Record;
use crate::model::document::ContentType;
use crate::model::identifiers::{ContentHash, SessionId};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::session::{Session, SessionState};
use crate::model::view::ViewError;
use crate::model::visible::is_blank;

impl Desk<'_> {
    pub(super) fn complete(
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
    pub(super) fn renew(
        &self,
        command: &CaseKey,
        time: DateTime<Utc>,
    ) -> Result<Decision<'static>, Stop> {
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

    pub(super) fn redeliver(&self, command: &Redeliver) -> Result<Decision<'static>, Stop> {
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
