//! One row of a listing: the keys of SPEC 12, absent is null, dates are `YYYY-MM-DD`.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::Matching;
use crate::model::case::Case;
use crate::model::document::{Attached, Document, DocumentKind};
use crate::model::note::Note;
use crate::model::outcome::WarningCode;
use crate::model::patient::{Patient, Physician};
use crate::model::report::Report;
use crate::model::session::Session;
use crate::model::view::{View, ViewError};

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
        "address": patient.address.as_ref().map(|address| json!({
            "street": address.street,
            "city": address.city,
            "postal_code": address.postal_code,
            "country": address.country,
        })),
        "network": patient.network,
        "identity_status": patient.identity_status,
        "physician": patient.physician.as_ref().map(|physician| physician.rpps.as_str()),
        "physician_name": patient.physician.as_ref().and_then(Physician::name),
    })
}

pub(super) fn case(view: &dyn View, case: &Case, matching: &Matching) -> Result<Value, ViewError> {
    let key = (case.facility.clone(), case.id.clone());
    Ok(json!({
        "facility": case.facility,
        "id": case.id,
        "state": case.state.word(),
        "session": case.state.session(),
        "can_be_scheduled": matching.get(&key),
        "ipp": case.ipp,
        "submitter": case.submitter.as_ref().map(|it| it.rpps.as_str()),
        "submitter_name": case.submitter.as_ref().and_then(Physician::name),
        "lead": case.lead.as_ref().map(|it| it.rpps.as_str()),
        "lead_name": case.lead.as_ref().and_then(Physician::name),
        "pathway": case.pathway,
        "date": case.date.map(|date| date.to_string()),
        "network": case.network,
        "warnings": warnings(case),
        "documents": documents(view, case)?,
        "has_questionnaire": case.has_questionnaire,
    }))
}

/// The warnings of the message that last set the scheduling, and those of the identity, each once (SPEC 4).
fn warnings(case: &Case) -> Vec<&'static str> {
    let identity = case
        .identity_mismatch
        .then_some(WarningCode::IdentityMismatch);
    let mut codes = Vec::new();
    for warning in case.scheduling_warnings.iter().copied().chain(identity) {
        if !codes.contains(&warning.code()) {
            codes.push(warning.code());
        }
    }
    codes
}

/// The documents that joined it; a message that is kept on its note is none of them.
fn documents(view: &dyn View, case: &Case) -> Result<Vec<Value>, ViewError> {
    let mut rows = Vec::new();
    for id in &case.documents {
        if let Some(found) = view.document(&case.facility, id)?
            && found.kind == DocumentKind::Document
        {
            rows.push(document(&found));
        }
    }
    Ok(rows)
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
        "lead_rpps": lead.map(|lead| lead.rpps.as_str()),
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
        Attached::Case(case) => Some(case),
        Attached::Note(_) => None,
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

pub(super) fn report(report: &Report) -> impl Iterator<Item = Value> {
    report.versions.iter().map(|version| {
        json!({
            "facility": report.facility,
            "case": report.case,
            "document_id": report.document_id,
            "version": version.version,
            "file_name": version.file_name,
            "batch": version.batch,
            "time": version.time.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    })
}
