//! The patient of a document (interface.md 6, "Patient").

use super::DocumentFlow;
use super::sent::ObxDocument;
use crate::config::Facility;
use crate::hl7::Segment;
use crate::intake::Stop;
use crate::intake::identity::compare::{self, Traits};
use crate::intake::identity::{self, ins, ipp, names, reliability};
use crate::intake::source_location::SourceLocation;
use crate::model::date::PartialDate;
use crate::model::identifiers::{Ipp, NetworkId};
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};
use crate::model::patient::{Patient, Sex};
use crate::model::view::ViewError;

/// The patient of a PID, as it was found.
#[derive(Debug, Clone)]
pub(super) struct PidPatient {
    pub(super) patient: Patient,
    /// Something of the identity differs: nothing may join a case unseen.
    pub(super) differs: bool,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// The patient of the document's PID (interface.md 6, "Patient").
    pub(super) fn patient_of(&mut self, sent: &ObxDocument<'m>) -> Result<PidPatient, Stop> {
        let Some(pid) = sent.pid else {
            return Err(Refusal::new(
                Reason::MissingSegment,
                "expected a PID above the OBX, which says whose document it is, found none",
            )
            .at(sent.obx.position())
            .into());
        };
        if let Some(found) = self.patients.get(&pid.occurrence()) {
            return Ok(found.clone());
        }
        let traits = identity::traits(&pid, self.trail);
        let patient = match self.find_patient(&pid, &traits) {
            Err(Stop::Refused(refusal)) => match self.newcomer(sent, &refusal)? {
                Some(patient) => patient,
                None => {
                    let facility = self.facility;
                    let nobody = || known_by(facility, ipp::no_ipp(pid.field(3)).ipp, &traits);
                    self.trail.go_on(Err(refusal), nobody)?
                }
            },
            found => found?,
        };
        let differs = compare::check_identity(
            &patient,
            &traits,
            pid.field(5).position(),
            &mut self.decision.warnings,
        )?;
        self.warn_of_network(&patient)?;
        let found = PidPatient { patient, differs };
        self.patients.insert(pid.occurrence(), found.clone());
        Ok(found)
    }

    fn find_patient(&mut self, pid: &Segment<'m>, traits: &Traits) -> Result<Patient, Stop> {
        let ins = ins::ins(pid, &mut self.decision.warnings, self.trail).given();
        let by_ins = match &ins {
            Some(ins) => ins::patients_with_ins(ins, self.view, self.facility)?,
            None => Vec::new(),
        };
        let read = match ipp::read_ipp(pid.field(3), "ipp", self.facility, self.trail) {
            Ok(read) => Some(read),
            Err(refusal) if refusal.reason != Reason::MissingIpp => return Err(refusal.into()),
            Err(refusal) if pid.field(3).is_empty() => return Err(refusal.into()),
            Err(_) => None,
        };
        if let Some(read) = &read {
            let survivor = self.view.survivor(&self.facility.id, &read.ipp)?;
            let known = self.view.patient(&self.facility.id, &survivor)?;
            let counts = |known: &Patient| {
                let name = traits.birth_name.as_deref();
                let same_name =
                    name.is_some_and(|name| crate::model::name::same(name, &known.birth_name));
                let date = traits.birth_date;
                same_name && date.is_some_and(|date| date.agrees_with(&known.birth_date))
            };
            if let Some(known) = known.filter(|known| !read.untyped || counts(known)) {
                ins::check_ins_is_of(&known, &by_ins, pid.field(3).position())?;
                read.warn(&mut self.decision.warnings);
                return Ok(known);
            }
        }
        let has_own_ipp = read.as_ref().is_some_and(|read| !read.untyped);
        let is_verified = reliability::is_verified(pid);
        if let ([only], false, true) = (by_ins.as_slice(), has_own_ipp, is_verified)
            && let Some(known) = self.view.patient(&self.facility.id, only)?
            && compare::compare(&known, traits) == compare::Agreement::Same
            && names::known_given_names(&known).agree_with(&names::given_names(pid))
        {
            return Ok(known);
        }
        Err(Refusal::new(
            Reason::UnknownPatient,
            match (&read, &ins) {
                (Some(read), _) if read.untyped => {
                    "expected a known patient: an id without type counts only with the birth name and date of birth that are known for it"
                }
                (Some(_), _) => "expected the IPP of a known patient, found one that is not known",
                (None, Some(_)) => {
                    "expected a known patient: an INS counts only where it is verified (PID-32 VALI), one patient has it, and nothing contradicts"
                }
                (None, None) => "expected an IPP or INS of a known patient, found neither",
            },
        )
        .at(read.map_or_else(|| SourceLocation::Position(pid.field(3).position()), |read| read.place))
        .into())
    }

    fn warn_of_network(&mut self, patient: &Patient) -> Result<(), ViewError> {
        let Some(value) = self.message.get(&self.facility.fields.document_network) else {
            return Ok(());
        };
        let rule = "fields.document_network";
        let said = self
            .trail
            .record_field("network", &value.identifier(), rule)
            .given();
        let Some(network) = said.map(NetworkId::new) else {
            return Ok(());
        };
        if patient.network.as_ref() != Some(&network)
            && self.view.network_is_known(&self.facility.id, &network)?
        {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::NetworkMismatch,
                    "expected the network of the patient, found that of others",
                )
                .at(value.position()),
            );
        }
        Ok(())
    }
}

/// A patient of whom only this is known.
pub(in crate::intake) fn known_by(facility: &Facility, ipp: Ipp, traits: &Traits) -> Patient {
    Patient {
        facility: facility.id.clone(),
        ipp,
        authority: None,
        ins: None,
        social_security_number: None,
        birth_name: traits.birth_name.clone().unwrap_or_default(),
        usual_name: String::new(),
        given_name: String::new(),
        birth_given_name: traits.birth_given_name.clone(),
        sex: traits.sex.unwrap_or(Sex::F),
        birth_date: traits.birth_date.unwrap_or(PartialDate::Year(1)),
        phone: None,
        email: None,
        address: None,
        network: None,
        identity_status: None,
        identity_attributes: Vec::new(),
        physician: None,
        demographics_time: None,
        ins_time: None,
    }
}
