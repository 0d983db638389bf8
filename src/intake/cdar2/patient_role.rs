//! The patient of a document, read from its `recordTarget` (interface.md 5).

use crate::cda::header::{Identifier, NamePart, PatientRole, places};
use crate::config::Facility;
use crate::intake::field_update::FieldUpdate;
use crate::intake::identity::ipp::IppRead;
use crate::intake::identity::{Demographics, RequiredPlaces, address, birth, ins, telecom};
use crate::intake::required::check_visible;
use crate::intake::source_location::SourceLocation;
use crate::intake::trail::Trail;
use crate::model::identifiers::{Ins, Ipp};
use crate::model::name::GivenNames;
use crate::model::outcome::{Location, Reason, Refusal, Warning};
use crate::model::patient::Authority;

/// Reads everything that the document says about the patient, in the order of the table in interface.md 5.
pub(super) fn demographics(
    patient: &PatientRole,
    facility: &Facility,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Demographics, Refusal> {
    // A text, and the rule by which it is the one.
    type NameChoice<'p> = Option<(&'p str, &'static str)>;
    let qualified = |parts, qualifier, rule| -> NameChoice<'_> {
        NamePart::qualified(parts, qualifier).map(|text| (text, rule))
    };
    let birth_given_name = qualified(&patient.given, "BR", "qualifier BR");
    let given_name = qualified(&patient.given, "CL", "qualifier CL")
        .or(birth_given_name)
        .or_else(|| Some((patient.given.first()?.text.as_str(), "the first given name")));
    let birth_name =
        qualified(&patient.family, "BR", "qualifier BR").or(match patient.family.as_slice() {
            [only] if only.qualifiers.is_empty() => Some((
                only.text.as_str(),
                "the only family name, without qualifier",
            )),
            _ => None,
        });
    let usual_name = qualified(&patient.family, "CL", "qualifier CL")
        .or_else(|| qualified(&patient.family, "SP", "qualifier SP"));
    let mut given = |name: &str, place: &str, chosen: NameChoice<'_>| match chosen {
        Some((text, rule)) => {
            trail.record(name, text, place, rule);
            FieldUpdate::Given(text.to_owned())
        }
        None => FieldUpdate::Absent,
    };
    let given_name = given("given_name", places::GIVEN, given_name);
    let birth_given_name = given("birth_given_name", places::GIVEN, birth_given_name);
    let usual = given("usual_name", places::FAMILY, usual_name);
    if let (None, Some((name, _))) = (usual_name, birth_name) {
        trail.record(
            "usual_name",
            name,
            places::FAMILY,
            "no qualifier CL or SP: the birth name",
        );
    }
    let birth_name = match birth_name {
        Some((name, rule)) => {
            trail.record("birth_name", name, places::FAMILY, rule);
            FieldUpdate::Given(name.to_owned())
        }
        None => FieldUpdate::Absent,
    };
    Ok(Demographics {
        ins: ins(patient, warnings, trail),
        social_security_number: FieldUpdate::Absent,
        given_name,
        birth_given_name,
        birth_name,
        usual_name: usual,
        sex: match &patient.gender {
            Some(code) => {
                trail.record("sex", &code.text, code.place, "");
                let sex = birth::read_sex(&code.text, Location::named(code.place));
                trail.go_on(sex.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        birth_date: match &patient.birth_time {
            Some(time) => {
                let date = birth::read_birth_date(&time.text, Location::named(time.place));
                trail.read("birth_date", &date, &time.text, time.place, "");
                trail.go_on(date.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        phone: match phone(patient) {
            Some((number, rule)) => {
                let phone = telecom::read_phone(number, &facility.region, places::TELECOM);
                trail.read("phone", &phone, number, places::TELECOM, rule);
                trail.go_on(phone.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        email: match patient.telecoms.iter().find(|it| it.scheme == "mailto") {
            Some(telecom) => {
                let email = telecom::read_email(&telecom.address, places::TELECOM);
                let rule = "the first mailto:";
                trail.read("email", &email, &telecom.address, places::TELECOM, rule);
                trail.go_on(email.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        address: address(patient, warnings, trail),
        identity_status: FieldUpdate::Absent,
        identity_attributes: FieldUpdate::Absent,
        network: FieldUpdate::Absent,
        physician: FieldUpdate::Absent,
        places: RequiredPlaces {
            given_name: SourceLocation::Element(places::GIVEN),
            birth_name: SourceLocation::Element(places::FAMILY),
            sex: SourceLocation::Element(places::GENDER),
            birth_date: SourceLocation::Element(places::BIRTH_TIME),
        },
    })
}

pub(super) fn ins(
    patient: &PatientRole,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> FieldUpdate<Ins> {
    let mut found = FieldUpdate::Absent;
    let mut all = Vec::new();
    for id in &patient.ids {
        let (Some(root), Some(value)) = (&id.root, &id.extension) else {
            continue;
        };
        if !ins::INS_ROOTS.contains(&root.as_str()) {
            continue;
        }
        let ins = Ins {
            value: value.clone(),
            oid: root.clone(),
        };
        trail.record("ins", value, id.place, "the id with the root of an INS");
        trail.record("ins_oid", root, id.place, "the root of that id");
        let ins = ins::valid_ins(ins, Location::named(id.place), warnings);
        if let Some(ins) = ins {
            all.push(ins.clone());
            ins::prefer(&mut found, ins);
        }
    }
    let place = Location::named(places::PATIENT_ID);
    ins::warn_of_other_ins(&found, &all, place, warnings);
    found
}

/// The phone number to use: the mobile one, else that at home, else the first.
fn phone(patient: &PatientRole) -> Option<(&str, &'static str)> {
    let numbers = || patient.telecoms.iter().filter(|it| it.scheme == "tel");
    let is_for = |uses: &[&str], rule| Some((numbers().find(|it| it.is_for(uses))?, rule));
    let (chosen, rule) = is_for(&["MC"], "tel: with use MC")
        .or_else(|| is_for(&["H", "HP"], "no tel: with use MC: H or HP"))
        .or_else(|| Some((numbers().next()?, "the first tel:")))?;
    Some((&chosen.address, rule))
}

/// The address at home, else the first.
fn address(
    patient: &PatientRole,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> FieldUpdate<crate::model::patient::Address> {
    let written = || {
        patient
            .addresses
            .iter()
            .filter(|address| !address.is_empty())
    };
    let chosen = written()
        .find(|address| address.uses.iter().any(|own| own == "H"))
        .or_else(|| written().next());
    let Some(chosen) = chosen.cloned() else {
        return FieldUpdate::Absent;
    };
    let mut rule = match chosen.uses.iter().any(|own| own == "H") {
        true => "use H",
        false => "no use H: the first",
    };
    let parts = [
        chosen.street,
        chosen.city,
        chosen.postal_code,
        chosen.country,
    ];
    for (part, name) in parts.iter().zip(address::ADDRESS_PARTS) {
        if let Some(part) = part {
            trail.record(name, part, places::ADDRESS, std::mem::take(&mut rule));
        }
    }
    if let Some(complement) = &chosen.complement {
        trail.record("address_complement", complement, places::ADDRESS, "");
    }
    let complement = chosen.complement;
    address::whole_address(
        parts,
        complement,
        Location::named(places::ADDRESS),
        warnings,
    )
    .map_or(FieldUpdate::Absent, FieldUpdate::Given)
}

/// Reads the facility's patient id (interface.md 5): that with the facility's root, else the only one that is no INS.
pub(super) fn read_ipp(
    patient: &PatientRole,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<IppRead, Refusal> {
    let place = SourceLocation::Element(places::PATIENT_ID);
    let candidates: Vec<(&Identifier, &str)> = patient
        .ids
        .iter()
        .filter(|id| match (&facility.ipp_oid, &id.root) {
            (Some(own), _) => id.is_under(own),
            (None, Some(root)) => !root.starts_with(INS_ROOT),
            (None, None) => true,
        })
        .filter_map(|id| Some((id, id.extension.as_deref()?)))
        .collect();
    let Some((chosen, value)) = candidates.first() else {
        return Err(Refusal::new(
            Reason::MissingIpp,
            match &facility.ipp_oid {
                Some(own) => format!("expected a patient id with the root {own}, found none"),
                None => "expected a patient id besides the INS, found none".to_owned(),
            },
        )
        .at(place));
    };
    if candidates.iter().any(|(_, other)| other != value) {
        return Err(Refusal::new(
            Reason::AmbiguousIpp,
            match &facility.ipp_oid {
                Some(own) => format!("expected one patient id with the root {own}, found several that differ"),
                None => "expected one patient id besides the INS, found several that differ, and no ipp_oid says which is the facility's".to_owned(),
            },
        )
        .at(place));
    }
    let authority = Authority {
        namespace: chosen.authority.clone().unwrap_or_default(),
        universal_id: chosen.root.clone().unwrap_or_default(),
        universal_id_type: if chosen.root.is_some() { "ISO" } else { "" }.to_owned(),
    };
    let rule = match &facility.ipp_oid {
        Some(_) => "the id with the root ipp_oid",
        None => "the only id that is no INS",
    };
    trail.record("ipp", value, chosen.place, rule);
    if let Some(root) = &chosen.root {
        trail.record("ipp_authority", root, chosen.place, "the root of that id");
    }
    check_visible(value, "patient id", place)?;
    Ok(IppRead {
        ipp: Ipp::new(*value),
        authority: (authority != Authority::default()).then_some(authority),
        untyped: false,
        foreign: false,
        place,
    })
}

/// What stands in for a patient id that is not there.
pub(super) fn no_ipp() -> IppRead {
    IppRead {
        ipp: Ipp::new(""),
        authority: None,
        untyped: false,
        foreign: false,
        place: SourceLocation::Element(places::PATIENT_ID),
    }
}

/// Whether the patient has an INS and no other id.
pub(super) fn is_named_by_ins_alone(patient: &PatientRole) -> bool {
    let mut ids = patient
        .ids
        .iter()
        .filter(|id| id.extension.is_some())
        .peekable();
    ids.peek().is_some()
        && ids.all(|id| {
            id.root
                .as_deref()
                .is_some_and(|root| root.starts_with(INS_ROOT))
        })
}

/// All given names that the document gives its patient, to be compared.
pub(super) fn given_names(patient: &PatientRole) -> GivenNames {
    let mut names = GivenNames::default();
    for (number, part) in patient.given.iter().enumerate() {
        names.add(&part.text, number == 0 || !part.qualifiers.is_empty());
    }
    names
}

/// What every root of an INS starts with, that of the computed INS of former years too.
const INS_ROOT: &str = "1.2.250.1.213.1.4.";
