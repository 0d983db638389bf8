//! Scheduling by CDA R2: a case with its questionnaire is put before a session (interface.md 5 and 9).

pub(super) mod carried;
pub(super) mod document;
mod kept;
mod known_patient;
mod patient_role;
mod questionnaire;
mod request;
mod session;

#[cfg(test)]
mod tests;

use super::required::check_visible;
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, scheduling};
use crate::cda::Cda;
use crate::cda::header::{Identifier, places};
use crate::config::Facility;
use crate::model::case::{Case, CaseState, LastCda};
use crate::model::change::Record;
use crate::model::identifiers::CaseId;
use crate::model::outcome::{Location, Reason, Refusal, Verdict};
use crate::model::view::View;
use carried::{EmbeddedDocument, answer_to_more, check_carried, of_message};
use document::{case_id, check_code, is_older, record_document, time, untidy_times, version};
use patient_role::{is_named_by_ins_alone, no_ipp, read_ipp};
use request::CdaRequest;

/// How histories name the document.
const BY: &str = "CDA";

/// Decides on a CDA document, of which `bytes` are all that was received: whether it came before, and what becomes of
/// its case.
pub fn decide<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    carried: Option<&EmbeddedDocument<'_>>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = &context.facility.id;
    let hash = cda.hash.clone();
    if let Some(carried) = carried {
        let agrees = check_carried(&cda.header.patient, carried, view, context.facility)?;
        trail.go_on(agrees, || ())?;
    }
    if view.is_applied(facility, &hash)? {
        return Ok(match carried {
            Some(carried) => answer_to_more(&cda.header, carried, view, facility)?,
            None => Decision::unchanged(Verdict::Duplicate),
        });
    }
    let mut decision = decide_new(bytes, cda, carried, view, context, trail)?;
    decision.warnings.extend(untidy_times(&cda.header));
    if decision.verdict.has_effect() {
        let applied = Record::Applied(facility.clone(), hash);
        decision.changes.push(applied.into());
    } else {
        decision.warnings.splice(..0, cda.charset.iter().cloned());
    }
    Ok(decision)
}

/// Decides on a document that did not come before.
fn decide_new<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    carried: Option<&EmbeddedDocument<'_>>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    let header = &cda.header;
    record_document(header, trail);
    trail.go_on(check_code(header, facility), || ())?;
    let found = case_id(header, facility).ok_or_else(|| missing("case id", places::ORDER));
    let found = found.and_then(|(id, place)| {
        check_visible(id.as_str(), "case id", place.clone())?;
        Ok((id, place))
    });
    let time = time(header, context, trail);
    trail.about("case");
    if let Ok((id, place)) = &found {
        let rule = "the first of cda.case_id";
        trail.record("case", id, place.clone(), rule);
    }
    let (id, _) = trail.go_on(found, || (CaseId::new(""), Location::named(places::ORDER)))?;
    let this = LastCda {
        set_id: header.set_id.as_ref().map(Identifier::entity),
        version: trail.go_on(version(header), || None)?,
        time: trail.go_on(time, || None)?,
    };
    let known = view.case(&facility.id, &id)?;
    let last = known.as_ref().and_then(|case| case.cda.as_ref());
    if last.is_some_and(|last| is_older(&this, last)) {
        return Ok(Decision::unchanged(Verdict::Stale));
    }
    let flow = CdaFlow {
        bytes,
        cda,
        facility,
        view,
        this,
        carried,
    };
    flow.schedule(id, known, trail)
}

fn missing(name: &str, place: &str) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name}, found nothing"),
    )
    .at(Location::named(place))
}

/// A document about a case that is not ahead of it.
struct CdaFlow<'a, 'm> {
    bytes: &'m [u8],
    cda: &'a Cda,
    facility: &'a Facility,
    view: &'a dyn View,
    this: LastCda,
    carried: Option<&'a EmbeddedDocument<'a>>,
}

impl<'m> CdaFlow<'_, 'm> {
    fn schedule(&self, id: CaseId, known: Option<Case>, trail: &mut Trail) -> DecisionResult<'m> {
        let mut decision = Decision::unchanged(match known {
            None => Verdict::Accepted,
            Some(_) => Verdict::Updated,
        });
        decision.warnings.extend(self.cda.charset.iter().cloned());
        let header = &self.cda.header;
        let asked = CdaRequest::read(header, self.facility, &mut decision.warnings, trail)?;
        trail.about("patient");
        let read = match read_ipp(&header.patient, self.facility, trail) {
            Err(refusal) if refusal.reason == Reason::MissingIpp && self.carried.is_some() => {
                self.carried.map(of_message).ok_or(refusal)
            }
            Err(refusal) if is_named_by_ins_alone(&header.patient) => {
                self.known_by_ins(refusal.reason)?
            }
            read => read,
        };
        let read = trail.go_on(read, no_ipp)?;
        let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
        let mut case = known.unwrap_or_else(|| Case::unscheduled(&self.facility.id, id));
        if let Some(own) = case.ipp.as_ref().filter(|own| **own != ipp) {
            return Err(Refusal::new(
                Reason::CasePatientMismatch,
                format!(
                    "expected the patient {own}, whose case {} is, found {}",
                    case.id, read.ipp
                ),
            )
            .at(read.place)
            .with_value(read.ipp.as_str())
            .into());
        }
        case.ipp = Some(ipp.clone());
        self.check_patient(&mut decision, &mut case, read, ipp, &asked, trail)?;

        if matches!(case.state, CaseState::Completed(_)) {
            // It was discussed: where and when does not change any more.
            let by =
                format!("taken from a {BY} after it was completed: the report may be outdated");
            scheduling::add_history(&mut decision, &case, by);
        } else {
            self.place(&mut decision, &mut case, &asked)?;
        }
        case.submitter = Some(asked.submitter);
        case.lead = Some(asked.lead);
        case.network = asked.network.or(case.network);
        self.fill_questionnaire(&mut decision, &mut case, trail)?;
        if matches!(case.state, CaseState::Scheduled(_) | CaseState::Unscheduled) {
            case.scheduling_warnings = scheduling::codes_of(&decision.warnings);
        }
        scheduling::join_awaiting(self.view, &mut decision, &case)?;
        self.keep_document(&mut decision, &case)?;
        case.cda = Some(self.this.clone());
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }
}
