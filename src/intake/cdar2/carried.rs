//! What a document in a message has besides one that is a file: the patient, the ids and the name that the message gives.

use super::known_patient::created;
use super::patient_role::{demographics, given_names, read_ipp};
use super::request::network;
use crate::cda::Cda;
use crate::cda::header::{CdaHeader, PatientRole, places};
use crate::config::Facility;
use crate::intake::identity::ipp::IppRead;
use crate::intake::identity::{compare, names};
use crate::intake::source_location::SourceLocation;
use crate::intake::trail::Trail;
use crate::intake::{Context, Decision, Stop};
use crate::model::change::Record;
use crate::model::document::{Document, DocumentKind, UniqueId};
use crate::model::identifiers::{FacilityId, Ipp, NetworkId};
use crate::model::name::GivenNames;
use crate::model::outcome::{Location, Reason, Refusal, Verdict, Warning};
use crate::model::patient::Patient;
use crate::model::view::{View, ViewError};

/// How a document came that is no file of its own, but a part of a message (interface.md 6).
#[derive(Debug)]
pub struct EmbeddedDocument<'c> {
    /// Whose it is, as the message says.
    pub patient: &'c Patient,
    /// The ids that the message gives it.
    pub ids: &'c [String],
    /// The document of the patient that answers to them.
    pub known: Option<Document>,
    /// The name that the message gives it.
    pub file_name: &'c str,
}

/// The patient of a document must be that of the message it came with: the same id, or, where the document gives none
/// but an INS, one that nothing contradicts. Twins differ by their given names alone.
pub(super) fn check_carried(
    patient: &PatientRole,
    carried: &EmbeddedDocument<'_>,
    view: &dyn View,
    facility: &Facility,
) -> Result<Result<(), Refusal>, ViewError> {
    let expected = carried.patient;
    let agrees = match read_ipp(patient, facility, &mut Trail::off()) {
        Ok(read) => view.survivor(&facility.id, &read.ipp)? == expected.ipp,
        Err(refusal) if refusal.reason == Reason::MissingIpp => {
            match demographics(patient, facility, &mut Vec::new(), &mut Trail::off()) {
                Ok(said) => {
                    let has_other_ins = said
                        .ins
                        .as_given()
                        .is_some_and(|read| expected.ins.as_ref().is_some_and(|own| own != read));
                    let agreement = compare::compare(expected, &said.traits());
                    let given = names::known_given_names(expected);
                    !has_other_ins
                        && agreement == compare::Agreement::Same
                        && given.agree_with(&given_names(patient))
                        && !is_known_as_another(patient, expected, view, facility)?
                }
                // Told by whoever reads it next.
                Err(_) => true,
            }
        }
        Err(_) => true,
    };
    Ok(match agrees {
        true => Ok(()),
        false => Err(Refusal::new(
            Reason::IdentityMismatch,
            "expected a document of the message's patient, found one that names another patient",
        )
        .at(Location::named(places::PATIENT_ID))),
    })
}

/// Whether an id that may be the facility's, without a root or with the authority of the patient's own, is another known
/// patient's.
fn is_known_as_another(
    patient: &PatientRole,
    expected: &Patient,
    view: &dyn View,
    facility: &Facility,
) -> Result<bool, ViewError> {
    let authority = expected.authority.as_ref();
    let own = authority.map(|own| own.universal_id.as_str());
    for id in &patient.ids {
        let may_be_own = id.root.is_none() || id.root.as_deref() == own;
        let Some(value) = id.extension.as_deref().filter(|_| may_be_own) else {
            continue;
        };
        let ipp = view.survivor(&facility.id, &Ipp::new(value))?;
        if ipp != expected.ipp && view.patient(&facility.id, &ipp)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A document that came before: it answers to the ids of this message too.
pub(super) fn answer_to_more<'m>(
    header: &CdaHeader,
    carried: &EmbeddedDocument<'_>,
    view: &dyn View,
    facility: &FacilityId,
) -> Result<Decision<'m>, ViewError> {
    let mut decision = Decision::unchanged(Verdict::Duplicate);
    let Some(own) = header.set_id.as_ref().or(header.id.as_ref()) else {
        return Ok(decision);
    };
    let answering = view.documents_by_unique_id(facility, &own.entity())?;
    let known = answering.into_iter().find(|document| {
        document.ipp == carried.patient.ipp && document.kind == DocumentKind::Document
    });
    let Some(known) = known else {
        return Ok(decision);
    };
    for unique_id in carried.ids {
        let answering = view.documents_by_unique_id(facility, unique_id)?;
        if answering.iter().all(|document| document.id != known.id) {
            decision.verdict = Verdict::Updated;
            decision.put([Record::UniqueId(UniqueId {
                facility: facility.clone(),
                unique_id: unique_id.clone(),
                document: known.id.clone(),
            })]);
        }
    }
    Ok(decision)
}

/// The patient of a document that came with a message of somebody who is not known: created as by a file of that
/// document. `read` is the id that the message gives, by which the patient is known from then on, `given` its given names.
pub fn newcomer(
    cda: &Cda,
    read: IppRead,
    given: &GivenNames,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<(Patient, Vec<Warning>), Stop> {
    let facility = context.facility;
    let header = &cda.header;
    let (own, agrees) = match read_ipp(&header.patient, facility, trail) {
        Err(refusal) if refusal.reason == Reason::MissingIpp => {
            let agrees = given.agree_with(&given_names(&header.patient));
            (read.clone(), agrees)
        }
        own => (own?, true),
    };
    let ipp = view.survivor(&facility.id, &read.ipp)?;
    if !agrees || view.survivor(&facility.id, &own.ipp)? != ipp {
        return Err(Refusal::new(
            Reason::IdentityMismatch,
            "expected a document of the message's patient, found one that names another patient",
        )
        .at(Location::named(places::PATIENT_ID))
        .into());
    }
    let mut warnings = Vec::new();
    let demographics = demographics(&header.patient, facility, &mut warnings, trail)?;
    let network = network(header, facility).map(NetworkId::new);
    let own = IppRead { ipp, ..own };
    let patient = created(
        facility,
        &own,
        demographics,
        network,
        view,
        &mut warnings,
        trail,
    )?;
    Ok((patient, warnings))
}

/// The patient's id of the message, for a document that gives none.
pub(super) fn of_message(carried: &EmbeddedDocument<'_>) -> IppRead {
    IppRead {
        ipp: carried.patient.ipp.clone(),
        authority: carried.patient.authority.clone(),
        untyped: false,
        foreign: false,
        place: SourceLocation::Element(places::PATIENT_ID),
    }
}
