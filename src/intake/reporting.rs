//! The report of a case: what its next version is made of, and whether it would show anything else (interface.md 8).
//!
//! What the flows share that complete a case, renew its report, or tell that it is outdated.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{
    Decision, Order, PreviousReport, ReportOrder, WithdrawalOrder, WithdrawalReason, made,
    scheduling,
};
use crate::config::{Facility, WithdrawSetting};
use crate::model::case::{Case, CaseState, Completion};
use crate::model::change::{Change, Record};
use crate::model::document::{DocumentKind, ReportDocument};
use crate::model::identifiers::{CaseId, DocumentId, FacilityId, Ipp, SessionId};
use crate::model::patient::Patient;
use crate::model::questionnaire::FilledQuestionnaire;
use crate::model::report::{Report, ReportVersion};
use crate::model::session::Session;
use crate::model::shown::{self, Basis, ReportHashes, ReportPart};
use crate::model::view::{View, ViewError};

/// A case with all that its report is made of.
pub(super) struct ReportableCase {
    pub case: Case,
    pub patient: Patient,
    pub session: Session,
    pub completion: Completion,
    filled: Option<FilledQuestionnaire>,
    documents: Vec<ReportDocument>,
    report: Option<Report>,
    /// The version that left last or will leave, where there is one.
    standing: Option<ReportVersion>,
    shows: ReportHashes,
}

impl ReportableCase {
    /// Of a completed case, with what the desk wrote.
    pub fn new(
        view: &dyn View,
        facility: &Facility,
        mut case: Case,
        patient: Patient,
        session: Session,
        completion: Completion,
    ) -> Result<Self, ViewError> {
        let filled = view.questionnaire(&case.facility, &case.id)?;
        let form = filled.as_ref().map(|filled| filled.questionnaire.hash());
        let documents = documents(view, &case, filled.as_ref())?;
        let shows = ReportHashes::of(&Basis {
            case: &case,
            patient: &patient,
            session: &session,
            completion: &completion,
            form: form.as_ref(),
            documents: &documents,
            establishment: Some((
                &facility.name,
                facility.address.as_deref(),
                facility.finess.as_deref(),
            )),
        });
        case.form = form;
        let report = view.report(&case.facility, &case.id)?;
        let standing = match &report {
            Some(report) => standing(view, report)?,
            None => None,
        };
        Ok(Self {
            case,
            patient,
            session,
            completion,
            filled,
            documents,
            report,
            standing,
            shows,
        })
    }

    /// Whether the version that stands shows all of this, and was validated; of one that was made before that was kept,
    /// only what the desk wrote is known.
    pub fn is_shown(&self, known: Option<&Completion>) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| standing.validated.is_none()) && self.is_same(known)
    }

    /// The same, whether it was validated or not.
    pub fn is_same(&self, known: Option<&Completion>) -> bool {
        self.standing
            .as_ref()
            .filter(|standing| standing.withdrawal.is_none())
            .is_some_and(|standing| match &standing.shows {
                Some(shows) => *shows == self.shows,
                None => known == Some(&self.completion),
            })
    }

    /// The version that stands, and the batch it left in.
    pub fn stands(&self) -> Option<(u32, Option<u64>)> {
        let standing = self.standing.as_ref()?;
        Some((standing.version, standing.batch))
    }

    /// The number of the next version.
    pub fn next(&self) -> u32 {
        let latest = self.report.as_ref().map_or(0, |report| report.latest);
        latest.saturating_add(1)
    }

    /// Orders the next version of what nobody completes anew: it keeps the time at which it was.
    pub fn renewal(self, view: &dyn View, time: DateTime<Utc>) -> Result<ReportOrder, ViewError> {
        let standing = self.standing.as_ref();
        let validated = standing.map(|standing| standing.validated.unwrap_or(standing.time));
        Ok(ReportOrder {
            validated,
            ..self.order(view, None, time)?
        })
    }

    /// Orders the next version.
    pub fn order(
        self,
        view: &dyn View,
        pdf: Option<&[u8]>,
        time: DateTime<Utc>,
    ) -> Result<ReportOrder, ViewError> {
        let version = self.next();
        let former = match self.standing {
            Some(standing) => Some(former(view, &self.case, standing, &self.shows)?),
            None => None,
        };
        let cursor = view.cursor(&self.case.facility)?;
        let (number, document_id) = match self.report {
            Some(report) => (report.number, report.document_id),
            None => {
                let made = made::made_id("report", &self.case.facility, self.case.id.as_str());
                (cursor.reports.saturating_add(1), DocumentId::new(made))
            }
        };
        Ok(ReportOrder {
            case: self.case,
            patient: self.patient,
            session: self.session,
            completion: self.completion,
            questionnaire_number: self.filled.as_ref().map(|filled| filled.number),
            questionnaire: self.filled.map(|filled| filled.questionnaire),
            documents: self.documents,
            pdf: pdf.map(<[u8]>::to_vec),
            number,
            document_id,
            version,
            sequence: cursor.versions.saturating_add(1),
            time,
            validated: None,
            shows: self.shows,
            former,
        })
    }
}

/// The documents of a case as its report lists them; the one that filled the form stands in it already.
fn documents(
    view: &dyn View,
    case: &Case,
    filled: Option<&FilledQuestionnaire>,
) -> Result<Vec<ReportDocument>, ViewError> {
    let by = filled.and_then(|filled| filled.filled_by.as_ref());
    let of_case = view.documents_of_case(&case.facility, &case.id)?;
    let of_case = of_case
        .iter()
        .filter(|document| document.kind == DocumentKind::Document && !document.deleted);
    let versions = of_case.filter_map(|document| document.current());
    let mut listed: Vec<ReportDocument> = versions
        .filter(|version| by != Some(&version.sha256))
        .map(|version| ReportDocument {
            time: version.time,
            name: version.file_name.clone(),
            content_type: version.content_type,
        })
        .collect();
    listed.sort();
    Ok(listed)
}

/// The report of a completed case does not hold any more: what had not left is held back; of what left the facility is
/// told now, where it wants to be told by a message of its own.
pub(super) fn withdraw(
    view: &dyn View,
    facility: &Facility,
    decision: &mut Decision<'_>,
    case: &Case,
    (why, time): (WithdrawalReason, DateTime<Utc>),
) -> Result<(), ViewError> {
    let Some(mut report) = view.report(&case.facility, &case.id)? else {
        return Ok(());
    };
    let mut cursor = view.cursor(&case.facility)?;
    let before = cursor.clone();
    if report.waiting > 0 {
        let held = format!(
            "report version {} had not left and is held back",
            report.latest
        );
        scheduling::add_history(decision, case, held);
        cursor.held = cursor.held.saturating_add(u64::from(report.waiting));
        report.held = report.latest;
        report.waiting = 0;
    }
    let left = match report.left {
        Some(left) => view.report_version(&report, left)?,
        None => None,
    };
    if let Some(left) = left.filter(|left| left.withdrawal.is_none()) {
        let (number, batch) = (left.version, left.batch);
        let told = match (facility.reports.withdraw, why) {
            (WithdrawSetting::NextVersion, WithdrawalReason::Reopened) => {
                "the next version takes its place"
            }
            (WithdrawSetting::NextVersion, WithdrawalReason::Cancelled) => {
                "nothing tells the facility, whose reports.withdraw is next-version"
            }
            (WithdrawSetting::Message, _) => {
                let sequence = cursor.versions.saturating_add(1);
                let order = withdrawal(view, case, &report, left, sequence, (why, time))?;
                if let Some(order) = order {
                    cursor.versions = sequence;
                    decision.order = Some(Order::Withdraw(Box::new(order)));
                }
                "it is withdrawn by a message"
            }
        };
        let what = format!("report version {number} left before; {told}");
        scheduling::add_history(decision, case, what);
        let batch = batch.map_or_else(String::new, |batch| format!(" in batch {batch}"));
        let done = match why {
            WithdrawalReason::Reopened => "open again",
            WithdrawalReason::Cancelled => "cancelled",
        };
        decision.note = Some(format!(
            "Case {} of {} is {done}. Version {number} of its report left before{batch}: {told}.",
            case.id, case.facility
        ));
    }
    if cursor != before {
        let records = Record::of_report(report, []);
        decision.put(records.chain([Record::Cursor(case.facility.clone(), cursor)]));
    }
    Ok(())
}

fn withdrawal(
    view: &dyn View,
    case: &Case,
    report: &Report,
    left: ReportVersion,
    sequence: u64,
    (why, time): (WithdrawalReason, DateTime<Utc>),
) -> Result<Option<WithdrawalOrder>, ViewError> {
    let (Some(session), Some(ipp)) = (case.state.session(), &case.ipp) else {
        return Ok(None);
    };
    let (session, patient) = (view.session(session)?, view.patient(&case.facility, ipp)?);
    let (Some(session), Some(patient)) = (session, patient) else {
        return Ok(None);
    };
    Ok(Some(WithdrawalOrder {
        case: case.clone(),
        patient,
        session,
        number: report.number,
        document_id: report.document_id.clone(),
        version: report.of(left),
        sequence,
        time,
        why,
    }))
}

/// The version that left last or will leave.
fn standing(view: &dyn View, report: &Report) -> Result<Option<ReportVersion>, ViewError> {
    match report.standing() {
        Some(version) => view.report_version(report, version),
        None => Ok(None),
    }
}

/// What the next version says of the one that it takes the place of.
fn former(
    view: &dyn View,
    case: &Case,
    standing: ReportVersion,
    shows: &ReportHashes,
) -> Result<PreviousReport, ViewError> {
    let changed = standing.shows.map(|former| former.differing(shows));
    let is_other = changed
        .iter()
        .flatten()
        .any(|part| *part == ReportPart::Questionnaire);
    let questionnaire = match standing.questionnaire.filter(|_| is_other) {
        Some(number) => view.questionnaire_numbered(&case.facility, &case.id, number)?,
        None => None,
    };
    Ok(PreviousReport {
        version: standing.version,
        time: standing.time,
        changed: changed.unwrap_or_default(),
        questionnaire: questionnaire.map(|filled| filled.questionnaire),
    })
}

/// What the report of a completed case shows and is otherwise by now. It is read when somebody asks: a message about a
/// patient does not look for the patient's cases.
pub fn outdated(view: &dyn View, case: &Case) -> Result<Vec<ReportPart>, ViewError> {
    let (CaseState::Completed(session), Some(ipp), Some(completion)) =
        (&case.state, &case.ipp, &case.completion)
    else {
        return Ok(Vec::new());
    };
    let Some(report) = view.report(&case.facility, &case.id)? else {
        return Ok(Vec::new());
    };
    let shows = standing(view, &report)?.and_then(|standing| standing.shows);
    let patient = view.patient(&case.facility, ipp)?;
    let session = view.session(session)?;
    let (Some(shows), Some(patient), Some(session)) = (shows, patient, session) else {
        return Ok(Vec::new());
    };
    let now = ReportHashes::of(&Basis {
        case,
        patient: &patient,
        session: &session,
        completion,
        form: case.form.as_ref(),
        documents: &[],
        establishment: None,
    });
    let mut parts = shows.differing(&now);
    parts.retain(|part| part.outdates());
    Ok(parts)
}

/// Whose reports changes may have made outdated, or no longer so.
#[derive(Debug, Default)]
pub struct AffectedReports {
    patients: BTreeSet<(FacilityId, Ipp)>,
    sessions: BTreeSet<SessionId>,
    cases: BTreeSet<(FacilityId, CaseId)>,
}

impl AffectedReports {
    /// By these changes, which the view does not have yet.
    pub fn by(changes: &[Change], view: &dyn View) -> Result<Self, ViewError> {
        let mut concerned = Self::default();
        for change in changes {
            let Change::Put(record) = change else {
                continue;
            };
            match record {
                Record::Patient(patient) => {
                    let known = view.patient(&patient.facility, &patient.ipp)?;
                    if known.is_some_and(|known| !shown::is_same(&known, patient)) {
                        let key = (patient.facility.clone(), patient.ipp.clone());
                        concerned.patients.insert(key);
                    }
                }
                Record::Person(facility, person) => {
                    let key = (facility.clone(), person.ipp.clone());
                    concerned.patients.insert(key);
                }
                Record::Session(session) => {
                    let known = view.session(&session.id)?;
                    if known.is_some_and(|known| known != *session) {
                        concerned.sessions.insert(session.id.clone());
                    }
                }
                Record::Case(case) if case.completion.is_some() => {
                    let key = (case.facility.clone(), case.id.clone());
                    concerned.cases.insert(key);
                }
                _ => {}
            }
        }
        Ok(concerned)
    }

    /// The cases that were completed before, once the view has the changes. Of a patient with very many cases all are
    /// looked for only where `all` of them are to be renewed.
    pub fn cases(
        self,
        view: &dyn View,
        all: bool,
    ) -> Result<BTreeSet<(FacilityId, CaseId)>, ViewError> {
        let mut cases = self.cases;
        let mut add = |of: Vec<Case>| {
            let reported = of.into_iter().filter(|case| case.completion.is_some());
            cases.extend(reported.map(|case| (case.facility, case.id)));
        };
        for (facility, ipp) in &self.patients {
            let ipp = view.survivor(facility, ipp)?;
            add(match all {
                true => view.cases_of_patient(facility, &ipp)?,
                false => view.some_cases_of_patient(facility, &ipp)?,
            });
        }
        for session in &self.sessions {
            add(view.cases_of_session(session)?);
        }
        Ok(cases)
    }
}

/// What is to be remembered of whether the report of a case is outdated; nothing where it is remembered.
pub fn mark(
    view: &dyn View,
    facility: &FacilityId,
    case: &CaseId,
) -> Result<Option<Change>, ViewError> {
    let outdated = match view.case(facility, case)? {
        Some(case) => !outdated(view, &case)?.is_empty(),
        None => false,
    };
    if outdated == view.is_report_outdated(facility, case)? {
        return Ok(None);
    }
    let record = Record::OutdatedReport(facility.clone(), case.clone());
    Ok(Some(match outdated {
        true => Change::Put(record),
        false => Change::Delete(record),
    }))
}

/// The next version of the report of a case, if it is outdated and we can make it: a PDF of the desk we cannot.
pub fn renewed(
    view: &dyn View,
    facility: &Facility,
    case: &CaseId,
    time: DateTime<Utc>,
) -> Result<Option<ReportOrder>, ViewError> {
    let Some(case) = view.case(&facility.id, case)? else {
        return Ok(None);
    };
    if outdated(view, &case)?.is_empty() {
        return Ok(None);
    }
    let (CaseState::Completed(session), Some(ipp), Some(completion)) =
        (&case.state, &case.ipp, case.completion.clone())
    else {
        return Ok(None);
    };
    let (session, patient) = (view.session(session)?, view.patient(&facility.id, ipp)?);
    let (Some(session), Some(patient), None) = (session, patient, &completion.pdf) else {
        return Ok(None);
    };
    let reported = ReportableCase::new(view, facility, case, patient, session, completion)?;
    Ok(Some(reported.renewal(view, time)?))
}
