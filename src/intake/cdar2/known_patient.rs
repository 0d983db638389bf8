//! The patient of a document, compared with the known one, or created (interface.md 5).

use super::patient_role::{demographics, given_names};
use super::request::CdaRequest;
use super::{BY, CdaFlow};
use crate::cda::header::places;
use crate::config::Facility;
use crate::intake::field_update::FieldUpdate;
use crate::intake::identity::ipp::IppRead;
use crate::intake::identity::{Demographics, compare, ins, names, patient};
use crate::intake::source_location::SourceLocation;
use crate::intake::trail::Trail;
use crate::intake::{Decision, Stop, scheduling};
use crate::model::case::Case;
use crate::model::change::{Record, Subject};
use crate::model::identifiers::{Ipp, NetworkId};
use crate::model::outcome::{Location, Reason, Refusal, Warning};
use crate::model::patient::Patient;
use crate::model::view::View;

impl<'m> CdaFlow<'_, 'm> {
    /// Compares with the known patient, or creates one.
    pub(super) fn check_patient(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        read: IppRead,
        ipp: Ipp,
        asked: &CdaRequest<'_>,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        let header = &self.cda.header;
        let warnings = &mut decision.warnings;
        let demographics = demographics(&header.patient, self.facility, warnings, trail)?;
        if let Some(patient) = self.view.patient(&self.facility.id, &ipp)? {
            if let Some(ins) = demographics.ins.as_given() {
                let with_ins = ins::patients_with_ins(ins, self.view, self.facility)?;
                let place = Location::named(places::PATIENT_ID);
                ins::check_ins_is_of(&patient, &with_ins, place)?;
            }
            let traits = demographics.traits();
            let place = Location::named(places::NAME);
            let given = traits.given_by("CDA".to_owned());
            if compare::check_identity(&patient, &traits, place, warnings)? {
                case.doubt_identity(given);
            } else if let Some(what) = case.end_doubt(&given) {
                scheduling::add_history(decision, case, what);
            }
            return Ok(());
        }
        let read = IppRead { ipp, ..read };
        let network = asked.network.clone();
        let (view, facility) = (self.view, self.facility);
        let patient = created(
            facility,
            &read,
            demographics,
            network,
            view,
            warnings,
            trail,
        )?;
        decision.history.push((
            Subject::Patient(patient.facility.clone(), patient.ipp.clone()),
            format!("created by {BY}"),
        ));
        decision.changes.push(Record::Patient(patient).into());
        Ok(())
    }

    /// The only patient who is known by the document's INS, if nothing contradicts, as a document of HL7 finds one.
    ///
    /// A document carries an INS only of a verified identity (CI-SIS), so no status is asked for.
    pub(super) fn known_by_ins(&self, without: Reason) -> Result<Result<IppRead, Refusal>, Stop> {
        let place = SourceLocation::Element(places::PATIENT_ID);
        let patient = &self.cda.header.patient;
        let said = demographics(patient, self.facility, &mut Vec::new(), &mut Trail::off())?;
        let Some(ins) = said.ins.as_given() else {
            let expected = "expected a patient id, or an INS with its key, found neither";
            return Ok(Err(Refusal::new(without, expected).at(place)));
        };
        let known = ins::patients_with_ins(ins, self.view, self.facility)?;
        if let [ipp] = known.as_slice()
            && let Some(patient) = self.view.patient(&self.facility.id, ipp)?
            && compare::compare(&patient, &said.traits()) == compare::Agreement::Same
            && names::known_given_names(&patient).agree_with(&given_names(&self.cda.header.patient))
        {
            return Ok(Ok(IppRead {
                ipp: ipp.clone(),
                authority: patient.authority,
                untyped: false,
                foreign: false,
                place,
            }));
        }
        Ok(Err(Refusal::new(
            Reason::UnknownPatient,
            "expected a known patient: an INS alone counts only where one patient has it, and nothing contradicts",
        )
        .at(place)))
    }
}

/// A patient as a document makes one who is not known.
pub(super) fn created(
    facility: &Facility,
    read: &IppRead,
    mut demographics: Demographics,
    network: Option<NetworkId>,
    view: &dyn View,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Patient, Stop> {
    demographics.ins = ins::keep_own_ins(
        demographics.ins,
        |ins| ins::other_with_ins(ins, &read.ipp, view, facility),
        warnings,
    )?;
    demographics.network = network.map_or(FieldUpdate::Absent, FieldUpdate::Given);
    Ok(patient::new_patient(facility, read, demographics, trail)?)
}
