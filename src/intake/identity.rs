//! Whom a message is about: the PID read into typed data, and compared with what is known (interface.md 3).
//!
//! A datum is said, erased, or not said at all ([`FieldUpdate`]). Reading refuses what would not be a patient; creating and
//! updating one ([`patient`]), and comparing two ([`compare`]), work on what was read, so that a CDA and a PID are treated
//! alike.

pub mod address;
pub mod birth;
pub mod compare;
pub mod ins;
pub mod ipp;
pub mod names;
pub mod patient;
pub mod physician;
pub mod reliability;
pub mod telecom;
#[cfg(test)]
mod tests;

use super::field_update::FieldUpdate;
use super::source_location::SourceLocation;
use super::trail::Trail;
use crate::config::Facility;
use crate::hl7::{Message, Segment, Value};
use crate::model::contact::{Email, Phone};
use crate::model::date::PartialDate;
use crate::model::identifiers::{Ins, NetworkId};
use crate::model::outcome::{Refusal, Warning};
use crate::model::patient::{Address, OtherNumber, Physician, Sex};
use address::address;
use birth::{birth_date, read_birth_date_of, read_sex_of, sex};
use compare::Traits;
use ins::kept_ins;
use names::{DISPLAY, Pid5Names};
use physician::{physician, warn_of_no_rpps};
use reliability::reliability;
use telecom::{email, phone};

/// What a message says about a patient, besides the ids of the facility (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demographics {
    /// The INS with its OID; only one with a valid key gets here.
    pub ins: FieldUpdate<Ins>,
    /// The social security number.
    pub social_security_number: FieldUpdate<String>,
    /// The given name used day by day, where it is said apart from that of the birth certificate.
    pub given_name: FieldUpdate<String>,
    /// The given name of the birth certificate.
    pub birth_given_name: FieldUpdate<String>,
    /// The birth name.
    pub birth_name: FieldUpdate<String>,
    /// The name used day by day, where it is said apart from the birth name.
    pub usual_name: FieldUpdate<String>,
    /// The sex.
    pub sex: FieldUpdate<Sex>,
    /// The date of birth.
    pub birth_date: FieldUpdate<PartialDate>,
    /// The phone number.
    pub phone: FieldUpdate<Phone>,
    /// The e-mail address.
    pub email: FieldUpdate<Email>,
    /// The address, whole.
    pub address: FieldUpdate<Address>,
    /// Whether the identity was verified.
    pub identity_status: FieldUpdate<String>,
    /// What else is said about the identity.
    pub identity_attributes: FieldUpdate<Vec<String>>,
    /// The department or service.
    pub network: FieldUpdate<NetworkId>,
    /// The patient's physician.
    pub physician: FieldUpdate<Physician>,
    /// Where what is required stands.
    pub places: RequiredPlaces,
}

/// Where the required data stand in the message, for refusals that name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredPlaces {
    /// Of the given name.
    pub given_name: SourceLocation,
    /// Of the birth name.
    pub birth_name: SourceLocation,
    /// Of the sex.
    pub sex: SourceLocation,
    /// Of the date of birth.
    pub birth_date: SourceLocation,
}

impl Demographics {
    /// What of it is compared.
    pub fn traits(&self) -> Traits {
        Traits {
            birth_name: self.birth_name.as_given().cloned(),
            birth_given_name: self.birth_given_name.as_given().cloned(),
            birth_date: self.birth_date.as_given().copied(),
            sex: self.sex.as_given().copied(),
        }
    }
}

/// Reads everything that a PID says about a patient, and what the message says at the configured positions where all of
/// it is about this patient.
pub fn demographics(
    pid: &Segment<'_>,
    message: Option<&Message<'_>>,
    facility: &Facility,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Demographics, Refusal> {
    trail.about("patient");
    let names = Pid5Names::of(pid);
    trail.go_on(names.check(), || ())?;
    let legal = |component| names.legal.map(|name| name.component(component));
    let display = |component| names.display.map(|name| name.component(component));
    let said_in = |value: Option<Value<'_>>, name: &str, rule: &str, trail: &mut Trail| {
        value.map_or(FieldUpdate::Absent, |value| {
            trail.record_field(name, &value, rule)
        })
    };
    // PID-5 as a whole, erased, erases both names.
    let erased = |said: FieldUpdate<String>| match said {
        FieldUpdate::Absent if pid.field(5).is_delete() => FieldUpdate::Delete,
        said => said,
    };
    let ins = kept_ins(pid, warnings, trail);
    let (identity_status, identity_attributes) = reliability(pid, trail);
    let social_security_number =
        trail.record_field("social_security_number", &pid.field(19).component(1), "");
    let given_name = said_in(display(2).map(Into::into), "given_name", DISPLAY, trail);
    if let (FieldUpdate::Absent, Some(name)) = (&given_name, legal(2)) {
        trail.record_field(
            "given_name",
            &name,
            "no PID-5.7 = D: that of the birth name",
        );
    }
    let birth_given_name = erased(said_in(
        legal(2).map(Into::into),
        "birth_given_name",
        names.rule,
        trail,
    ));
    let birth_name = erased(said_in(
        legal(1).map(|name| name.family_name()),
        "birth_name",
        names.rule,
        trail,
    ));
    let usual_name = said_in(
        display(1).map(|name| name.family_name()),
        "usual_name",
        DISPLAY,
        trail,
    );
    if let (FieldUpdate::Absent, Some(name)) = (&usual_name, legal(1)) {
        trail.record_field(
            "usual_name",
            &name.family_name(),
            "no PID-5.7 = D: the birth name",
        );
    }
    Ok(Demographics {
        ins,
        social_security_number,
        given_name,
        birth_given_name,
        birth_name,
        usual_name,
        sex: sex(pid, trail)?,
        birth_date: birth_date(pid, trail)?,
        phone: phone(pid.field(13), &facility.region, trail)?,
        email: email(pid.field(13), trail)?,
        address: address(pid.field(11), warnings, trail),
        identity_status,
        identity_attributes,
        network: message
            .and_then(|message| message.get(&facility.fields.network))
            .map_or(FieldUpdate::Absent, |value| {
                trail
                    .record_field("network", &value.identifier(), "fields.network")
                    .map(NetworkId::new)
            }),
        physician: message
            .and_then(|message| message.get(&facility.fields.physician))
            .map_or(FieldUpdate::Absent, |value| {
                if value.is_delete() {
                    return FieldUpdate::Delete;
                }
                let physician = physician(value.as_repetitions(), "physician", warnings, trail);
                if let Some(OtherNumber { kind, .. }) =
                    physician.as_ref().and_then(Physician::other_number)
                    && kind.is_empty()
                {
                    warn_of_no_rpps(value.position(), warnings);
                }
                physician.map_or(FieldUpdate::Absent, FieldUpdate::Given)
            }),
        places: RequiredPlaces {
            given_name: names.place_of(2),
            birth_name: names.place_of(1),
            sex: SourceLocation::Position(pid.field(8).component(1).position()),
            birth_date: SourceLocation::Position(pid.field(7).component(1).position()),
        },
    })
}

/// Reads only what is compared, and refuses nothing: what cannot be read is not there.
pub fn traits(pid: &Segment<'_>, trail: &mut Trail) -> Traits {
    trail.about("patient");
    let names = Pid5Names::of(pid);
    let mut of_legal = |name: &str, value: Option<Value<'_>>| {
        let said = value.map(|value| trail.record_field(name, &value, names.rule));
        said.and_then(FieldUpdate::given)
    };
    let birth_name = of_legal(
        "birth_name",
        names.legal.map(|name| name.component(1).family_name()),
    );
    let birth_given_name = of_legal(
        "birth_given_name",
        names.legal.map(|name| name.component(2).into()),
    );
    Traits {
        birth_name,
        birth_given_name,
        birth_date: read_birth_date_of(pid, trail)
            .ok()
            .and_then(FieldUpdate::given),
        sex: read_sex_of(pid, trail).ok().and_then(FieldUpdate::given),
    }
}
