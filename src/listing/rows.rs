//! One row of a listing: the keys of interface.md 12, absent is null, dates are `YYYY-MM-DD`.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::SessionMatches;
use crate::intake::reporting;
use crate::model::case::Case;
use crate::model::document::{AttachmentPlace, Document, DocumentKind};
use crate::model::note::Note;
use crate::model::outcome::WarningCode;
use crate::model::patient::{Address, Patient, Physician};
use crate::model::report::Report;
use crate::model::session::Session;
use crate::model::view::{View, ViewError};
use crate::store::PendingChanges;

pub(super) fn patient(patient: &Patient) -> Value {
    json!({
        "facility": patient.facility,
        "ipp": patient.ipp,
        "birth_name": patient.birth_name,
        "usual_name": patient.usual_name,
        "given_name": patient.given_name,
        "birth_given_name": patient.birth_given_name,
        "sex": patient.sex.code(),
        "birth_date": patient.birth_date.to_string(),
        "ins": patient.ins.as_ref().map(|ins| json!({ "value": ins.value, "oid": ins.oid })),
        "social_security_number": patient.social_security_number,
        "phone": patient.phone.as_ref().map(|phone| phone.as_str()),
        "email": patient.email.as_ref().map(|email| email.as_str()),
        "address": patient.address.as_ref().map(address),
        "network": patient.network,
        "identity_status": patient.identity_status,
        "identity_attributes": patient.identity_attributes,
        "physician": patient.physician.as_ref().and_then(Physician::known_rpps),
        "physician_number": patient.physician.as_ref().map(other_number),
        "physician_name": patient.physician.as_ref().and_then(Physician::name),
    })
}

fn address(address: &Address) -> Value {
    let mut row = json!({
        "street": address.street,
        "city": address.city,
        "postal_code": address.postal_code,
        "country": address.country,
    });
    if let Some(complement) = &address.complement {
        row["complement"] = Value::from(complement.as_str());
    }
    row
}

/// A number that is no RPPS, and what it is.
fn other_number(physician: &Physician) -> Value {
    physician.other_number().map_or(
        Value::Null,
        |number| json!({ "value": number.value, "kind": number.kind }),
    )
}

/// Whether a person or a department stands in the place of a physician.
fn kind(physician: &Physician) -> &'static str {
    match physician.is_department() {
        true => "department",
        false => "person",
    }
}

pub(super) fn case(
    view: &dyn View,
    case: &Case,
    matching: &SessionMatches,
) -> Result<Value, ViewError> {
    let key = (case.facility.clone(), case.id.clone());
    Ok(json!({
        "facility": case.facility,
        "id": case.id,
        "state": case.state.word(),
        "session": case.state.session(),
        "can_be_scheduled": matching.get(&key),
        "ipp": case.ipp,
        "submitter": case.submitter.as_ref().and_then(Physician::known_rpps),
        "submitter_number": case.submitter.as_ref().map(other_number),
        "submitter_name": case.submitter.as_ref().and_then(Physician::name),
        "submitter_kind": case.submitter.as_ref().map(kind),
        "lead": case.lead.as_ref().and_then(Physician::known_rpps),
        "lead_number": case.lead.as_ref().map(other_number),
        "lead_name": case.lead.as_ref().and_then(Physician::name),
        "pathway": case.pathway,
        "date": case.date.map(|date| date.to_string()),
        "network": case.network,
        "warnings": warnings(view, case)?,
        "documents": documents(view, case)?,
        "has_questionnaire": case.has_questionnaire,
        "report_outdated": !reporting::outdated(view, case)?.is_empty(),
    }))
}

/// The warnings of the message that last set the scheduling, and those of the identity, each once (interface.md 4).
fn warnings(view: &dyn View, case: &Case) -> Result<Vec<&'static str>, ViewError> {
    let patient = match &case.ipp {
        Some(ipp) if case.identity_mismatch => view.patient(&case.facility, ipp)?,
        _ => None,
    };
    let identity = case
        .is_identity_in_doubt(patient.as_ref())
        .then_some(WarningCode::IdentityMismatch);
    let mut codes = Vec::new();
    for warning in case.scheduling_warnings.iter().copied().chain(identity) {
        if !codes.contains(&warning.code()) {
            codes.push(warning.code());
        }
    }
    Ok(codes)
}

/// The documents that joined it; a message that is kept on its note is none of them.
fn documents(view: &dyn View, case: &Case) -> Result<Vec<Value>, ViewError> {
    let documents = view.documents_of_case(&case.facility, &case.id)?;
    let shown = documents
        .iter()
        .filter(|found| found.kind == DocumentKind::Document);
    Ok(shown.map(document).collect())
}

pub(super) fn session(session: &Session, cases: &[Case]) -> Value {
    let lead = session.lead.as_ref();
    let cases: Vec<Value> = cases
        .iter()
        .map(|case| json!({ "facility": case.facility, "case": case.id, "state": case.state.word() }))
        .collect();
    json!({
        "id": session.id,
        "label": session.label,
        "date": session.date.to_string(),
        "start": session.start,
        "pathway_id": session.pathway_id,
        "family_id": session.family_id,
        "lead_rpps": lead.and_then(Physician::known_rpps),
        "lead_family": lead.and_then(|lead| lead.family.as_deref()),
        "lead_given": lead.and_then(|lead| lead.given.as_deref()),
        "state": session.state.word(),
        "cases": cases,
    })
}

pub(super) fn note(view: &dyn View, note: &Note) -> Result<Value, ViewError> {
    let mut documents = Vec::new();
    for id in &note.documents {
        documents.extend(view.document(&note.facility, id)?.as_ref().map(document));
    }
    Ok(json!({
        "id": note.id,
        "facility": note.facility,
        "ipp": note.ipp,
        "case": note.case,
        "reason": note.reason.word(),
        "documents": documents,
    }))
}

pub(super) fn document(document: &Document) -> Value {
    let current = document.current();
    let case = match &document.attached {
        AttachmentPlace::Case(case) => Some(case),
        AttachmentPlace::Note(_) => None,
    };
    json!({
        "facility": document.facility,
        "ipp": document.ipp,
        "case": case,
        "id": document.id,
        "file_name": current.map(|current| &current.file_name),
        "type": current.map(|current| current.content_type.word()),
        "size": current.map(|current| current.size),
        "sha256": current.map(|current| &current.sha256),
        "version": current.map(|current| current.version),
        "deleted": document.deleted,
    })
}

/// A row for each version.
pub(super) fn report(view: &PendingChanges<'_>, report: &Report) -> Result<Vec<Value>, ViewError> {
    let case = view.case(&report.facility, &report.case)?;
    let outdated = match &case {
        Some(case) if !reporting::outdated(view, case)?.is_empty() => report.standing(),
        _ => None,
    };
    let versions = view.report_versions(report)?.into_iter().map(|version| {
        json!({
            "facility": report.facility,
            "case": report.case,
            "document_id": report.document_id,
            "version": version.version,
            "file_name": version.file_name,
            "batch": version.batch,
            "time": version.time.to_rfc3339_opts(SecondsFormat::Secs, true),
            "outdated": outdated == Some(version.version),
            "withdrawn": version.withdrawal.is_some() || report.holds_back(&version),
            "withdrawal_batch": version.withdrawal.as_ref().and_then(|it| it.batch),
        })
    });
    Ok(versions.collect())
}
