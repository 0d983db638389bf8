//! The choice of the phone number and of the e-mail address in PID-13 (interface.md 3).

use crate::hl7::{Field, Position, Repetition};
use crate::intake::field_update::{FieldUpdate, text, word};
use crate::intake::trail::Trail;
use crate::model::contact::{Email, Phone};
use crate::model::outcome::{Location, Reason, Refusal};

/// Chooses the phone number of PID-13, of which only the chosen one must be valid.
pub(super) fn phone(
    telecoms: Field<'_>,
    region: &str,
    trail: &mut Trail,
) -> Result<FieldUpdate<Phone>, Refusal> {
    if telecoms.is_delete() {
        trail.record_field("phone", &telecoms, "");
        return Ok(FieldUpdate::Delete);
    }
    let mut erased = false;
    let chosen = telecoms
        .repetitions()
        .filter_map(|telecom| {
            let kind = PhoneKind::of(&telecom)?;
            erased |= telecom.component(1).is_delete();
            number_of(&telecom).map(|(number, place)| (kind, number, place))
        })
        .min_by_key(|(kind, ..)| *kind);
    match chosen {
        None if erased => Ok(FieldUpdate::Delete),
        None => Ok(FieldUpdate::Absent),
        Some((kind, number, place)) => {
            let phone = read_phone(&number, region, place);
            trail.read("phone", &phone, &number, place, kind.rule());
            trail.go_on(phone.map(FieldUpdate::Given), FieldUpdate::default)
        }
    }
}

/// How a phone number is preferred: mobile, then fixed, and at work only if there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PhoneKind {
    Mobile,
    Fixed,
    AtWork,
}

impl PhoneKind {
    fn of(telecom: &Repetition<'_>) -> Option<Self> {
        let purpose = word(&telecom.component(2).simple());
        let equipment = word(&telecom.component(3).simple());
        match (purpose.as_deref(), equipment.as_deref()) {
            (Some("NET"), _) => None,
            (Some("WPN"), Some("CP" | "PH") | None) => Some(Self::AtWork),
            (_, Some("CP")) => Some(Self::Mobile),
            (Some(_), None) | (_, Some("PH")) => Some(Self::Fixed),
            (None, None) if untyped_email(telecom).is_none() => Some(Self::Fixed),
            _ => None,
        }
    }

    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Mobile => "PID-13.3 = CP",
            Self::Fixed => "no PID-13.3 = CP: PH, or without a type",
            Self::AtWork => "PID-13.2 = WPN: there is no other",
        }
    }
}

/// A phone number that must be valid (interface.md 3).
pub fn read_phone(
    number: &str,
    region: &str,
    place: impl Into<Location>,
) -> Result<Phone, Refusal> {
    Phone::parse(number, region).ok_or_else(|| {
        Refusal::new(
            Reason::InvalidPhone,
            format!("expected a valid phone number (national in {region}, or starting with +), found another"),
        )
        .at(place)
        .with_value(number)
    })
}

/// The number of an XTN (HL7 v2.5 chapter 2.A.89): as one text, or in parts.
fn number_of(telecom: &Repetition<'_>) -> Option<(String, Position)> {
    for whole in [1, 12] {
        let component = telecom.component(whole);
        if let Some(number) = text(&component) {
            return Some((number, component.position()));
        }
    }
    let part = |number| text(&telecom.component(number)).unwrap_or_default();
    let (country, area, local) = (part(5), part(6), part(7));
    if local.is_empty() {
        return None;
    }
    let number = match country.trim_start_matches('+').trim_start_matches("00") {
        "" => format!("{area}{local}"),
        country => format!("+{country} {area}{local}"),
    };
    Some((number, telecom.component(7).position()))
}

pub(super) fn email(telecoms: Field<'_>, trail: &mut Trail) -> Result<FieldUpdate<Email>, Refusal> {
    if telecoms.is_delete() {
        trail.record_field("email", &telecoms, "");
        return Ok(FieldUpdate::Delete);
    }
    let mut erased = false;
    for telecom in telecoms.repetitions() {
        let is_internet = text(&telecom.component(3).simple())
            .is_some_and(|equipment| equipment.eq_ignore_ascii_case("Internet"))
            || word(&telecom.component(2).simple()).as_deref() == Some("NET");
        let component = if is_internet {
            erased |= telecom.component(4).is_delete() || telecom.component(1).is_delete();
            match with_at(&telecom) {
                Some(address) => address,
                None => telecom.component(4),
            }
        } else if let Some(address) = untyped_email(&telecom) {
            address
        } else {
            continue;
        };
        let Some(address) = text(&component) else {
            continue;
        };
        let rule = match is_internet {
            true => "PID-13.3 = Internet or PID-13.2 = NET",
            false => "without a type, with @",
        };
        let email = read_email(&address, component.position());
        trail.read("email", &email, &address, component.position(), rule);
        return trail.go_on(email.map(FieldUpdate::Given), FieldUpdate::default);
    }
    Ok(if erased {
        FieldUpdate::Delete
    } else {
        FieldUpdate::Absent
    })
}

/// An e-mail address that must be valid (interface.md 3).
pub fn read_email(address: &str, place: impl Into<Location>) -> Result<Email, Refusal> {
    Email::parse(address).ok_or_else(|| {
        Refusal::new(
            Reason::InvalidEmail,
            "expected an e-mail address such as name@example.fr, found another text",
        )
        .at(place)
        .with_value(address)
    })
}

/// The component that holds an e-mail address, in a repetition that says neither what for nor by which equipment.
fn untyped_email<'a>(telecom: &Repetition<'a>) -> Option<crate::hl7::Component<'a>> {
    let typed = [2, 3]
        .into_iter()
        .any(|part| text(&telecom.component(part)).is_some());
    if typed { None } else { with_at(telecom) }
}

/// PID-13.4, or the old place 13.1, whichever looks like an e-mail address.
fn with_at<'a>(telecom: &Repetition<'a>) -> Option<crate::hl7::Component<'a>> {
    [4, 1]
        .into_iter()
        .map(|part| telecom.component(part))
        .find(|component| component.text().contains('@'))
}
