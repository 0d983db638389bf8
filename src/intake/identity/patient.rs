//! The making of a new patient, and the change of a known one, from what was read (interface.md 2 and 3).

use super::Demographics;
use super::ipp::IppRead;
use crate::config::Facility;
use crate::intake::field_update::FieldUpdate;
use crate::intake::source_location::SourceLocation;
use crate::intake::trail::Trail;
use crate::model::date::PartialDate;
use crate::model::outcome::{Reason, Refusal};
use crate::model::patient::{Patient, Sex};

/// Makes a new patient of what was read; what is required must be there (interface.md 3).
pub fn new_patient(
    facility: &Facility,
    read: &IppRead,
    demographics: Demographics,
    trail: &mut Trail,
) -> Result<Patient, Refusal> {
    let places = demographics.places;
    let birth_given_name = demographics.birth_given_name.given();
    let given_name = demographics
        .given_name
        .given()
        .or_else(|| birth_given_name.clone())
        .ok_or_else(|| missing("given name", places.given_name));
    let birth_name = demographics
        .birth_name
        .given()
        .ok_or_else(|| missing("birth name", places.birth_name));
    let sex = demographics
        .sex
        .given()
        .ok_or_else(|| missing("sex", places.sex));
    let birth_date = demographics
        .birth_date
        .given()
        .ok_or_else(|| missing("date of birth", places.birth_date));
    let given_name = trail.go_on(given_name, String::new)?;
    let birth_name = trail.go_on(birth_name, String::new)?;
    let sex = trail.go_on(sex, || Sex::F)?;
    let birth_date = trail.go_on(birth_date, || PartialDate::Year(1))?;
    Ok(Patient {
        facility: facility.id.clone(),
        ipp: read.ipp.clone(),
        authority: read.authority.clone(),
        ins: demographics.ins.given(),
        social_security_number: demographics.social_security_number.given(),
        usual_name: demographics
            .usual_name
            .given()
            .unwrap_or_else(|| birth_name.clone()),
        birth_name,
        given_name,
        birth_given_name,
        sex,
        birth_date,
        phone: demographics.phone.given(),
        email: demographics.email.given(),
        address: demographics.address.given(),
        network: demographics.network.given(),
        identity_status: demographics.identity_status.given(),
        identity_attributes: demographics.identity_attributes.given().unwrap_or_default(),
        physician: demographics.physician.given(),
        demographics_time: None,
        ins_time: None,
    })
}

/// Changes a known patient by what was read: what is not said stays, what is required cannot be erased (interface.md 2).
///
/// A usual name that was only the birth name's stand-in follows the birth name, and the given name likewise.
pub fn update(
    known: &Patient,
    read: &IppRead,
    demographics: Demographics,
) -> Result<Patient, Refusal> {
    let places = demographics.places;
    let usual_stands_in = known.usual_name == known.birth_name;
    let given_stands_in = known
        .birth_given_name
        .as_ref()
        .is_none_or(|name| *name == known.given_name);
    let birth_name = require(
        demographics.birth_name,
        &known.birth_name,
        "birth name",
        places.birth_name,
    )?;
    let given_name = match (demographics.given_name, &demographics.birth_given_name) {
        (FieldUpdate::Given(name), _) => name,
        (FieldUpdate::Delete, FieldUpdate::Given(name)) => name.clone(),
        (FieldUpdate::Delete, FieldUpdate::Absent) => known
            .birth_given_name
            .clone()
            .ok_or_else(|| cannot_erase("given name", places.given_name))?,
        (FieldUpdate::Absent, FieldUpdate::Given(name)) if given_stands_in => name.clone(),
        (FieldUpdate::Absent, FieldUpdate::Delete) if given_stands_in => {
            return Err(cannot_erase("given name", places.given_name));
        }
        (FieldUpdate::Delete, FieldUpdate::Delete) => {
            return Err(cannot_erase("given name", places.given_name));
        }
        (FieldUpdate::Absent, _) => known.given_name.clone(),
    };
    let usual_name = match demographics.usual_name {
        FieldUpdate::Given(name) => name,
        FieldUpdate::Absent if !usual_stands_in => known.usual_name.clone(),
        FieldUpdate::Absent | FieldUpdate::Delete => birth_name.clone(),
    };
    Ok(Patient {
        facility: known.facility.clone(),
        ipp: known.ipp.clone(),
        authority: read.authority.clone().or_else(|| known.authority.clone()),
        ins: demographics.ins.over(known.ins.clone()),
        social_security_number: demographics
            .social_security_number
            .over(known.social_security_number.clone()),
        birth_name,
        usual_name,
        given_name,
        birth_given_name: demographics
            .birth_given_name
            .over(known.birth_given_name.clone()),
        sex: require(demographics.sex, &known.sex, "sex", places.sex)?,
        birth_date: require(
            demographics.birth_date,
            &known.birth_date,
            "date of birth",
            places.birth_date,
        )?,
        phone: demographics.phone.over(known.phone.clone()),
        email: demographics.email.over(known.email.clone()),
        address: demographics.address.over(known.address.clone()),
        network: demographics.network.over(known.network.clone()),
        identity_status: demographics
            .identity_status
            .over(known.identity_status.clone()),
        identity_attributes: demographics
            .identity_attributes
            .over(Some(known.identity_attributes.clone()))
            .unwrap_or_default(),
        physician: demographics.physician.over(known.physician.clone()),
        demographics_time: known.demographics_time,
        ins_time: known.ins_time,
    })
}

fn require<T: Clone>(
    update: FieldUpdate<T>,
    known: &T,
    name: &str,
    place: SourceLocation,
) -> Result<T, Refusal> {
    match update {
        FieldUpdate::Given(value) => Ok(value),
        FieldUpdate::Absent => Ok(known.clone()),
        FieldUpdate::Delete => Err(cannot_erase(name, place)),
    }
}

fn missing(name: &str, place: SourceLocation) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name} of a patient who is not known yet, found nothing"),
    )
    .at(place)
}

fn cannot_erase(name: &str, place: SourceLocation) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name}, found \"\": it is required and cannot be erased"),
    )
    .at(place)
}
