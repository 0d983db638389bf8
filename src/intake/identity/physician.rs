//! A physician (XCN): the choice of the repetition, and what kind of number it has (interface.md 3).

use crate::hl7::{Repetition, Value};
use crate::intake::field_update::{text, word};
use crate::intake::trail::Trail;
use crate::model::identifiers::Rpps;
use crate::model::name;
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::patient::{OtherNumber, Physician, PhysicianNumber};

/// Reads a physician (XCN): of the repetitions that with an RPPS, as the 13th component says, else one whose number
/// could be an RPPS, else the first, whose number is kept as what it is. None without a number. All given names are kept.
///
/// `called` is what the trail calls it.
pub fn physician<'a>(
    persons: impl Iterator<Item = Repetition<'a>>,
    called: &str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Option<Physician> {
    let (person, number) = persons
        .filter_map(|person| Some((person, Number::of(&person)?)))
        .min_by_key(|(_, number)| number.rank())?;
    let place = person.component(1).position();
    let number = match number {
        Number::Said(rpps) => {
            let kind = person.component(13).position();
            trail.record(called, &rpps, place, format_args!("{kind} = RPPS or IDNPS"));
            warn_of_rpps(&rpps, place, warnings);
            PhysicianNumber::Rpps(rpps)
        }
        Number::Taken(rpps) => {
            trail.record(called, &rpps, place, "");
            warn_of_rpps(&rpps, place, warnings);
            PhysicianNumber::Rpps(rpps)
        }
        Number::Other { value, kind } => {
            let rule = match kind.as_str() {
                "" => "no RPPS: without a type",
                kind => kind,
            };
            trail.record(format_args!("{called}_number"), &value, place, rule);
            PhysicianNumber::Other(OtherNumber { value, kind })
        }
    };
    let mut part = |part: &str, value: Value<'_>| {
        let name = format_args!("{called}_{part}");
        trail.record_field(name, &value, "").given()
    };
    let family = part("family", person.component(2).family_name());
    let given = part("given", person.component(3).into());
    let further = part("further_given", person.component(4).into());
    Some(Physician {
        number: Some(number),
        family,
        given: name::given_names([given, further].into_iter().flatten()),
    })
}

/// A number by which a physician is known, and how surely it is an RPPS.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Number {
    /// The sender says that it is one.
    Said(Rpps),
    /// Nobody says what it is; it could be one.
    Taken(Rpps),
    /// It is none.
    Other { value: String, kind: String },
}

impl Number {
    /// Reads the number of an XCN by what its 13th component says it is; without one, by its authority.
    fn of(person: &Repetition<'_>) -> Option<Self> {
        let sent = text(&person.component(1).identifier())?;
        let kind = text(&person.component(13).simple()).unwrap_or_default();
        let is_national =
            || word(&person.component(9).subcomponent(2)).as_deref() == Some(NATIONAL_NUMBERS);
        Some(match kind.to_ascii_uppercase().as_str() {
            "RPPS" => Self::Said(Rpps::new(&sent)),
            "IDNPS" => Self::national(sent),
            "" if is_national() => Self::national(sent),
            "" if Rpps::could_be(&sent) => Self::Taken(Rpps::new(&sent)),
            _ => Self::Other { value: sent, kind },
        })
    }

    /// Reads a number that begins with its national kind (IDNPS): `8` an RPPS, `0` the nine characters of an ADELI
    /// number, and others an internal number of a structure. An RPPS also comes without its `8`.
    fn national(sent: String) -> Self {
        if Rpps::could_be(&sent) {
            return Self::Said(Rpps::new(&sent));
        }
        match sent.strip_prefix('0') {
            Some(adeli) if adeli.chars().count() == 9 => Self::Other {
                value: adeli.to_owned(),
                kind: "ADELI".to_owned(),
            },
            _ => Self::Other {
                value: sent,
                kind: "IDNPS".to_owned(),
            },
        }
    }

    /// The lower, the rather it is the physician's RPPS.
    fn rank(&self) -> u8 {
        match self {
            Self::Said(rpps) if rpps.is_valid() => 0,
            Self::Said(_) => 1,
            Self::Taken(rpps) if rpps.is_valid() => 2,
            Self::Taken(_) => 3,
            Self::Other { .. } => 4,
        }
    }
}

/// The root of the national numbers of health professionals.
const NATIONAL_NUMBERS: &str = "1.2.250.1.71.4.2.1";

/// A national number of a health professional, told apart: an RPPS, or another.
pub fn national_number(sent: &str) -> PhysicianNumber {
    match Number::national(sent.trim().to_owned()) {
        Number::Said(rpps) | Number::Taken(rpps) => PhysicianNumber::Rpps(rpps),
        Number::Other { value, kind } => PhysicianNumber::Other(OtherNumber { value, kind }),
    }
}

/// Adds the warning `rpps-invalid` where it is due: the number is kept as sent.
pub fn warn_of_rpps(rpps: &Rpps, place: impl Into<Location>, warnings: &mut Vec<Warning>) {
    if !rpps.is_valid() {
        warnings.push(
            Warning::new(
                WarningCode::RppsInvalid,
                "expected an RPPS number of 11 digits with a valid key, found another; it is kept as sent",
            )
            .at(place),
        );
    }
}

/// Adds the warning `rpps-invalid` for a number that is none.
pub fn warn_of_no_rpps(place: impl Into<Location>, warnings: &mut Vec<Warning>) {
    warnings.push(
        Warning::new(
            WarningCode::RppsInvalid,
            "expected an RPPS number of 11 digits, found another number; it is kept as what it is, and never sent as an RPPS",
        )
        .at(place),
    );
}

/// What stands in for a physician who is not there.
pub fn nobody() -> Physician {
    Physician::default()
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Message;

    /// What is read of this XCN: the RPPS, the other number with its kind, and the warnings.
    fn read(xcn: &str) -> Option<(String, String, usize)> {
        let text = format!("MSH|^~\\&|A|B|C|D|20250401||ADT^A31|1|P|2.5\rPV1|1|O|||||{xcn}\r");
        let message = Message::parse(text.as_bytes()).unwrap();
        let field = message.first("PV1").unwrap().field(7);
        let mut warnings = Vec::new();
        let physician = physician(
            field.repetitions(),
            "physician",
            &mut warnings,
            &mut Trail::off(),
        )?;
        let other = physician.other_number();
        let other = other.map(|other| format!("{}:{}", other.kind, other.value));
        let rpps = physician
            .known_rpps()
            .map(ToString::to_string)
            .unwrap_or_default();
        Some((rpps, other.unwrap_or_default(), warnings.len()))
    }

    #[test]
    fn a_physician_is_the_repetition_with_an_rpps_wherever_it_stands() {
        let others = [
            "751234567^A^B^^^^^^^L^^^ADELI",
            "7^A^B^^^^^^^L^^^EI",
            "DUP^A^B",
            "10102078838^A^B",
            "0751234567^A^B^^^^^^^L^^^IDNPS",
            "3350000741/1234^A^B^^^^^^^L^^^IDNPS",
            "^A^B",
        ];
        for own in [
            "10100094977^DUPONT^Paul^^^^^^^L^^^RPPS",
            "810100094977^DUPONT^Paul^^^^^^^L^^^IDNPS",
            "10100094977^DUPONT^Paul^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^L",
            "10100094977^DUPONT^Paul^^^^^^^L^^^rpps",
        ] {
            for other in others {
                let expected = Some(("10100094977".to_owned(), String::new(), 0));
                assert_eq!(read(&format!("{other}~{own}")), expected, "{other}~{own}");
                assert_eq!(read(&format!("{own}~{other}")), expected, "{own}~{other}");
            }
        }
    }

    #[test]
    fn a_number_that_is_no_rpps_is_kept_as_what_it_is() {
        for (xcn, rpps, other, warnings) in [
            ("751234567^A^B^^^^^^^L^^^ADELI", "", "ADELI:751234567", 0),
            ("0751234567^A^B^^^^^^^L^^^IDNPS", "", "ADELI:751234567", 0),
            // The internal numbers of structures, by their kind.
            (
                "3350000741/1234^A^B^^^^^^^L^^^IDNPS",
                "",
                "IDNPS:3350000741/1234",
                0,
            ),
            (
                "5350000741/1^A^B^^^^^^X&1.2.250.1.71.4.2.1&ISO^L",
                "",
                "IDNPS:5350000741/1",
                0,
            ),
            (
                "1750000001/7^A^B^^^^^^^L^^^idnps",
                "",
                "IDNPS:1750000001/7",
                0,
            ),
            ("81010009497^A^B^^^^^^^L^^^IDNPS", "81010009497", "", 1),
            ("810100094978^A^B^^^^^^^L^^^IDNPS", "810100094978", "", 1),
            // Eleven digits with a right key: a local number all the same, since the sender says so.
            ("10100094977^A^B^^^^^^^L^^^EI", "", "EI:10100094977", 0),
            ("12345^A^B", "", ":12345", 0),
            ("AGENDA^A^B", "", ":AGENDA", 0),
            ("10100094977^A^B", "10100094977", "", 0),
            ("10100094978^A^B", "10100094978", "", 1),
            ("12345^A^B^^^^^^^L^^^RPPS", "12345", "", 1),
        ] {
            let expected = (rpps.to_owned(), other.to_owned(), warnings);
            assert_eq!(read(xcn), Some(expected), "{xcn}");
        }
        assert_eq!(read("^A^B^^^^^^^L^^^RPPS"), None);
    }
}
