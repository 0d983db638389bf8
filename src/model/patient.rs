//! A patient of one facility.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::contact::{Email, Phone};
use super::date::PartialDate;
use super::identifiers::{FacilityId, Ins, Ipp, NetworkId, Rpps};
use super::name;

/// A patient, known by the facility's patient id (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// The facility that knows the patient by this IPP.
    pub facility: FacilityId,
    /// The facility's patient id.
    pub ipp: Ipp,
    /// PID-3.4 as received with the IPP: who assigned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// The national identity, if a valid one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ins: Option<Ins>,
    /// The social security number (PID-19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub social_security_number: Option<String>,
    /// The birth name.
    pub birth_name: String,
    /// The name used day by day; the birth name where no other is known.
    pub usual_name: String,
    /// The given name used day by day.
    pub given_name: String,
    /// The given name of the birth certificate (the `L` repetition of PID-5), if it was sent apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_given_name: Option<String>,
    /// M or F.
    pub sex: Sex,
    /// The date of birth, which may have only a year, or year and month.
    pub birth_date: PartialDate,
    /// The phone number, in E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// The address, whole or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The department or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkId>,
    /// The status of PID-32 as received: whether the identity was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_status: Option<String>,
    /// What else PID-32 says of the identity: doubtful, homonym, hidden and the like (HL7 table 0445, French values).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_attributes: Vec<String>,
    /// The patient's physician (PV1-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physician: Option<Physician>,
    /// The time (MSH-7) of the last ADT that was applied; other flows do not move it (interface.md 9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demographics_time: Option<DateTime<Utc>>,
    /// The time (MSH-7) of the last `ADT^A47`: an older message says nothing about the INS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ins_time: Option<DateTime<Utc>>,
}

impl Patient {
    /// What whoever meets this identity must know about it, in French.
    pub fn identity_marks(&self) -> Vec<&'static str> {
        let mut marks = Vec::new();
        for code in self.identity_status.iter().chain(&self.identity_attributes) {
            let mark = match code.to_ascii_uppercase().as_str() {
                "DOUT" => "Identité douteuse",
                "HOMD" => "Homonyme possible",
                "HOMA" => "Homonyme",
                "CACH" => "Identité cachée",
                "ANOM" => "Identité anonyme",
                "FICT" => "Identité fictive",
                "USUR" => "Identité usurpée",
                "INVA" => "Identité invalidée",
                _ => continue,
            };
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
        marks
    }

    /// Whether the patient may have an INS: nothing is said of the identity, or that it is verified and nothing against
    /// that (interface.md 3).
    pub fn may_have_ins(&self) -> bool {
        let is = |code: &String, wanted: &[&str]| {
            wanted
                .iter()
                .any(|wanted| code.eq_ignore_ascii_case(wanted))
        };
        let against = &["PROV", "VIDE", "INVA", "DOUT", "FICT"];
        let mut attributes = self.identity_attributes.iter();
        self.identity_status
            .as_ref()
            .is_none_or(|status| is(status, &["VALI"]) && !attributes.any(|it| is(it, against)))
    }
}

/// Somebody to whom one IPP leads, or several that merges made one.
///
/// Cases, notes and documents are kept under one of these IPPs, whichever: a merge moves what the smaller side has, and
/// a chain of merges moves nothing twice. Who reads them is told the IPP in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonIpps {
    /// The IPP under which the person's things are kept.
    pub kept_under: Ipp,
    /// The IPP in use: the survivor of all merges.
    pub ipp: Ipp,
    /// How many IPPs lead here.
    pub ipps: u64,
}

impl PersonIpps {
    /// Somebody whom no merge concerns.
    pub fn alone(ipp: Ipp) -> Self {
        Self {
            kept_under: ipp.clone(),
            ipp,
            ipps: 1,
        }
    }
}

/// Who assigned an identifier: the parts of an HL7 HD.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Authority {
    /// The name in words.
    pub namespace: String,
    /// The universal id, an OID as a rule.
    #[serde(default)]
    pub universal_id: String,
    /// The kind of the universal id.
    #[serde(default)]
    pub universal_id_type: String,
}

/// The sexes that the interface accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// Male.
    M,
    /// Female.
    F,
}

impl Sex {
    /// As HL7 and the listings write it.
    pub fn code(self) -> &'static str {
        match self {
            Sex::M => "M",
            Sex::F => "F",
        }
    }
}

/// A postal address; all four parts, or there is none (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Number and street.
    pub street: String,
    /// What completes it (XAD-2): building, floor, place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complement: Option<String>,
    /// City.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// Country, as sent.
    pub country: String,
}

/// A physician as messages name one, or the department that stands in the place of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "StoredPhysician", into = "StoredPhysician")]
pub struct Physician {
    /// The number by which they are known, if there is one.
    pub number: Option<PhysicianNumber>,
    /// Family name.
    pub family: Option<String>,
    /// Given name.
    pub given: Option<String>,
}

/// The number of a physician.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhysicianNumber {
    /// The national number, valid or kept as sent.
    Rpps(Rpps),
    /// Another number: it is never sent or shown as an RPPS.
    Other(OtherNumber),
}

/// A physician as records have one: the RPPS is empty where none is known.
///
/// Older versions held any number in its place. So what could be none is one only where `other` says that whoever gave
/// it calls it so.
#[derive(Serialize, Deserialize)]
struct StoredPhysician {
    #[serde(default)]
    rpps: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<OtherNumber>,
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    given: Option<String>,
}

/// The kind of a number that is called an RPPS, and could be none.
const CALLED: &str = "RPPS";

impl From<StoredPhysician> for Physician {
    fn from(stored: StoredPhysician) -> Self {
        let StoredPhysician { rpps, other, .. } = stored;
        let is_called_so = other.as_ref().is_some_and(|other| other.kind == CALLED);
        let number = match rpps.as_str() {
            "" => other.map(PhysicianNumber::Other),
            rpps if is_called_so || Rpps::could_be(rpps) => {
                Some(PhysicianNumber::Rpps(Rpps::new(rpps)))
            }
            _ => Some(PhysicianNumber::Other(OtherNumber {
                value: rpps,
                kind: String::new(),
            })),
        };
        Self {
            number,
            family: stored.family,
            given: stored.given,
        }
    }
}

impl From<Physician> for StoredPhysician {
    fn from(physician: Physician) -> Self {
        let (rpps, other) = match physician.number {
            Some(PhysicianNumber::Rpps(rpps)) => {
                let could_be = Rpps::could_be(rpps.as_str());
                let called = (!could_be).then(|| OtherNumber {
                    value: rpps.to_string(),
                    kind: CALLED.to_owned(),
                });
                (rpps.to_string(), called)
            }
            Some(PhysicianNumber::Other(other)) => (String::new(), Some(other)),
            None => (String::new(), None),
        };
        Self {
            rpps,
            other,
            family: physician.family,
            given: physician.given,
        }
    }
}

/// A number of a physician that is no RPPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherNumber {
    /// The number as sent.
    pub value: String,
    /// What it is, as sent in XCN-13: `ADELI`, `EI`; empty where the sender does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

/// Words that begin the name of a department or house, never that of a person; without accents, in capital letters.
const DEPARTMENTS: [&str; 33] = [
    "AGENDA",
    "CENTRE",
    "CHRU",
    "CLCC",
    "CLINIQUE",
    "CONSULTATION",
    "CONSULTATIONS",
    "DEPARTEMENT",
    "EHPAD",
    "EQUIPE",
    "FEDERATION",
    "GHT",
    "GHU",
    "GROUPEMENT",
    "HDJ",
    "HOPITAL",
    "HOPITAUX",
    "INSTITUT",
    "LABORATOIRE",
    "PLATEFORME",
    "POLE",
    "POLES",
    "RCP",
    "RESEAU",
    "SECRETARIAT",
    "SECRETARIATS",
    "SERVICES",
    "UF",
    "UH",
    "UNITES",
    "USLD",
    "3C",
    "URGENCES",
];

/// Such words that are somebody's name too.
const PERHAPS_DEPARTMENTS: [&str; 6] = ["CHG", "CHI", "CHR", "CHU", "SERVICE", "UNITE"];

/// Words that no given name has: they go on with the name of a department.
const LINKS: [&str; 9] = ["DE", "DES", "DU", "D", "LA", "LE", "L", "ET", "EN"];

/// How the names of specialities end, and no given name.
const SPECIALITIES: [&str; 7] = [
    "LOGIE", "LOGIQUE", "IATRIE", "URGIE", "SCOPIE", "GRAPHIE", "THERAPIE",
];

/// Kinds of numbers that only a house or its parts have: national ones of structures.
const KINDS_OF_HOUSES: [&str; 6] = ["FINEG", "FINEJ", "FINESS", "IDNST", "SIREN", "SIRET"];

/// What joins the two halves of a label that was cut for the two parts of a name.
const JOINTS: [char; 5] = ['-', '–', '—', '/', ':'];

impl Physician {
    /// The RPPS, if one is known.
    pub fn known_rpps(&self) -> Option<&Rpps> {
        match &self.number {
            Some(PhysicianNumber::Rpps(rpps)) => Some(rpps),
            _ => None,
        }
    }

    /// The number that is no RPPS, if that is what is known.
    pub fn other_number(&self) -> Option<&OtherNumber> {
        match &self.number {
            Some(PhysicianNumber::Other(other)) => Some(other),
            _ => None,
        }
    }

    /// The number as people read it: what is no RPPS says what it is. Nothing where none is known.
    pub fn number(&self) -> Option<String> {
        Some(match self.number.as_ref()? {
            PhysicianNumber::Rpps(rpps) => rpps.to_string(),
            PhysicianNumber::Other(OtherNumber { value, kind }) if kind.is_empty() => {
                format!("n° local {value}")
            }
            PhysicianNumber::Other(OtherNumber { value, kind }) => format!("{kind} {value}"),
        })
    }

    /// Whether a department or its agenda stands in the place of a physician.
    ///
    /// A number says so that only houses have. A family name with a given name is a person's, unless it begins with a word
    /// that no person's name does, or is a label that was cut for the two parts of a name (`Infertilité -`, `CO`). A name
    /// in one part is told by its words.
    pub fn is_department(&self) -> bool {
        let is_house = |other: &OtherNumber| {
            let mut kinds = KINDS_OF_HOUSES.iter();
            kinds.any(|kind| other.kind.eq_ignore_ascii_case(kind))
        };
        if self.other_number().is_some_and(is_house) {
            return true;
        }
        let family = self.family.as_deref().unwrap_or_default().trim();
        let given = self.given.as_deref().unwrap_or_default().trim();
        let is_in_parts = !family.is_empty() && !given.is_empty();
        let is_cut = is_in_parts && (family.ends_with(JOINTS) || given.starts_with(JOINTS));
        if is_cut {
            let family = family.trim_end_matches(JOINTS).trim();
            let given = given.trim_start_matches(JOINTS).trim();
            return !family.is_empty() && !is_written_as_a_person(family, given);
        }
        let label = format!("{family} {given}");
        let Some((first, rest)) = label.trim().split_once(char::is_whitespace) else {
            return false;
        };
        let folded = name::fold(first);
        // `Service d’oncologie`, `SERVICE-TEST`: what is joined to the word is none of its own.
        let begins_with = |words: &[&str]| words.contains(&folded.as_str());
        if begins_with(&DEPARTMENTS) {
            return true;
        }
        begins_with(&PERHAPS_DEPARTMENTS)
            && match is_in_parts {
                true => !are_given_names(rest),
                false => first.chars().count() <= 3 || !is_written_as_a_person(first, rest),
            }
    }

    /// Family and given name in one, for listings; nothing where neither is known.
    pub fn name(&self) -> Option<String> {
        let parts: Vec<&str> = [self.family.as_deref(), self.given.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// Whether a text may be given names: each of its words begins with a capital, and none is of the names of departments.
fn are_given_names(text: &str) -> bool {
    let is_one = |word: &str| {
        let folded = name::fold(word);
        let is_of_department = LINKS.contains(&folded.as_str())
            || SPECIALITIES.iter().any(|end| folded.ends_with(end))
            || DEPARTMENTS.contains(&folded.as_str());
        let may_stand = |it: char| it.is_alphabetic() || matches!(it, '-' | '\'' | '’' | '.');
        word.starts_with(char::is_uppercase) && word.chars().all(may_stand) && !is_of_department
    };
    !text.is_empty() && text.split_whitespace().all(is_one)
}

/// Whether a name is written as French writes a person's: the family name in capitals, one given name in small letters.
fn is_written_as_a_person(family: &str, given: &str) -> bool {
    let is_in_capitals = !family.chars().any(char::is_lowercase);
    let has_small_letters = given.chars().any(char::is_lowercase);
    is_in_capitals
        && has_small_letters
        && are_given_names(family)
        && are_given_names(given)
        && given.split_whitespace().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn physician(family: &str, given: &str) -> Physician {
        Physician {
            number: Some(PhysicianNumber::Rpps(Rpps::new("10100094977"))),
            family: Some(family.to_owned()),
            given: Some(given.to_owned()),
        }
    }

    #[test]
    fn a_department_is_told_from_a_person() {
        for (family, given, is_department) in [
            ("Infertilité -", "CO", true),
            ("Infertilité", "- CO", true),
            ("Service de dermatologie", "", true),
            ("SERVICE", "Dermatologie", true),
            ("Unité 3", "", true),
            ("RCP digestif", "", true),
            ("", "Service de dermatologie", true),
            ("Service d’oncologie", "", true),
            ("SERVICE DE", "Dermatologie", true),
            ("SERVICE", "dermatologie", true),
            ("SERVICE DERMATOLOGIE", "CHU Rennes", true),
            ("RCP", "Digestif", true),
            ("Pôle Femme-Enfant", "", true),
            ("POLE", "Cancérologie", true),
            ("CHU de Rennes", "", true),
            ("CHU", "de Rennes", true),
            ("CHU Rennes", "", true),
            ("HOPITAL Cochin", "", true),
            ("Clinique", "Pasteur", true),
            ("Unité", "3B", true),
            ("UNITE Curie", "Oncologie", true),
            ("ONCOLOGIE -", "Sein", true),
            ("DUPONT", "Paul", false),
            ("UNITE", "Marie", false),
            ("Unite", "MARIE", false),
            ("UNITE", "Marie-Anne", false),
            ("UNITE Marie", "", false),
            ("SERVICE", "Jean Paul", false),
            ("CHU", "Lien", false),
            ("MARTIN -", "", false),
            ("MARTIN -", "Paul", false),
            ("MARTIN", "- Paul", false),
            ("MARTIN-UNITE", "Paul", false),
            ("UNITE-MARTIN", "Paul", false),
            ("POLET", "Anne", false),
            ("L’HOPITAL", "Anne", false),
            ("Pôle", "", false),
            ("CHU", "", false),
            ("DUPONT", "Paul", false),
            ("MARTIN-DURAND", "Jean-Paul", false),
            ("Service", "", false),
            ("LE SERVICE", "Anne", false),
            ("-", "", false),
            ("", "", false),
        ] {
            let physician = physician(family, given);
            assert_eq!(
                physician.is_department(),
                is_department,
                "{family}, {given}"
            );
        }
    }

    #[test]
    fn a_number_of_houses_is_none_of_a_person() {
        for (kind, is_department) in [("FINESS", true), ("idnst", true), ("ADELI", false)] {
            let number = OtherNumber {
                value: "350000741".to_owned(),
                kind: kind.to_owned(),
            };
            let physician = Physician {
                number: Some(PhysicianNumber::Other(number)),
                ..physician("DUPONT", "Paul")
            };
            assert_eq!(physician.is_department(), is_department, "{kind}");
        }
    }

    #[test]
    fn what_was_stored_without_other_numbers_is_read() {
        let stored = r#"{"rpps":"10100094977","family":"DUPONT","given":null}"#;
        let read: Physician = serde_json::from_str(stored).unwrap();
        assert_eq!(read.number().as_deref(), Some("10100094977"));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        let stored = r#"{"rpps":"","other":{"value":"7","kind":"EI"},"family":null,"given":null}"#;
        let other: Physician = serde_json::from_str(stored).unwrap();
        assert_eq!(other.number().as_deref(), Some("EI 7"));
        assert_eq!(other.known_rpps(), None);
        assert_eq!(serde_json::to_string(&other).unwrap(), stored);
        // An older version held any number as an RPPS; what is called one stays one.
        let local: Physician = serde_json::from_str(r#"{"rpps":"751234567"}"#).unwrap();
        assert_eq!(local.known_rpps(), None);
        assert_eq!(local.number().as_deref(), Some("n° local 751234567"));
        let called = Physician {
            number: Some(PhysicianNumber::Rpps(Rpps::new("12345"))),
            ..Physician::default()
        };
        let stored = serde_json::to_string(&called).unwrap();
        assert_eq!(serde_json::from_str::<Physician>(&stored).unwrap(), called);
        let without: Physician = serde_json::from_str(r#"{"rpps":""}"#).unwrap();
        assert_eq!(without, Physician::default());
    }

    #[test]
    fn what_is_to_be_known_of_an_identity_is_told_once() {
        let stored = r#"{"facility":"demo","ipp":"1","birth_name":"A","usual_name":"A","given_name":"B",
            "sex":"F","birth_date":"1970-01-02","identity_status":"PROV"}"#;
        let mut patient: Patient = serde_json::from_str(stored).unwrap();
        assert!(patient.identity_marks().is_empty());
        patient.identity_attributes = ["DOUT", "HOMA", "cach", "RECD", "DOUT"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            patient.identity_marks(),
            ["Identité douteuse", "Homonyme", "Identité cachée"]
        );
    }

    #[test]
    fn only_what_could_be_an_rpps_or_is_called_so_is_one() {
        let local: Physician = serde_json::from_str(r#"{"rpps":"751234567"}"#).unwrap();
        assert_eq!(local.known_rpps(), None);
        assert_eq!(local.number().as_deref(), Some("n° local 751234567"));
        let called = Physician {
            number: Some(PhysicianNumber::Rpps(Rpps::new("12345"))),
            ..physician("A", "B")
        };
        let stored = serde_json::to_string(&called).unwrap();
        let read: Physician = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, called);
    }

    #[test]
    fn a_number_says_what_it_is() {
        for (kind, shown) in [("ADELI", "ADELI 751234567"), ("", "n° local 751234567")] {
            let physician = Physician {
                number: Some(PhysicianNumber::Other(OtherNumber {
                    value: "751234567".to_owned(),
                    kind: kind.to_owned(),
                })),
                ..physician("A", "B")
            };
            assert_eq!(physician.number().as_deref(), Some(shown));
        }
    }
}
