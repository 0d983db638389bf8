//! The header: who, when, and for which session, as it is written (interface.md 5, the table).
//!
//! Nothing is judged here: what is required, valid or known is the business of the flow. An element with a null
//! flavour is absent.

use roxmltree::Node;

use super::{all, attribute, children, text_in};
use crate::model::identifiers::Rpps;
use crate::model::name;

/// The root of the national numbers of health professionals (RPPS).
const RPPS_ROOT: &str = "1.2.250.1.71.4.2.1";

/// What a document says before its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdaHeader {
    /// `code`: what kind of document it is.
    pub code: Option<HeaderValue>,
    /// `title`.
    pub title: Option<String>,
    /// `id`, of this version alone.
    pub id: Option<Identifier>,
    /// `setId`, the same for all versions.
    pub set_id: Option<Identifier>,
    /// `versionNumber`.
    pub version_number: Option<HeaderValue>,
    /// `effectiveTime`, when it was written.
    pub effective_time: Option<HeaderValue>,
    /// `inFulfillmentOf/order/id`.
    pub orders: Vec<Identifier>,
    /// Who puts the case before the session.
    pub submitter: Option<Professional>,
    /// Who leads.
    pub lead: Option<Professional>,
    /// `componentOf/encompassingEncounter/id`: pathways, families, the session.
    pub encounters: Vec<Identifier>,
    /// The date of the session.
    pub session_date: Option<HeaderValue>,
    /// The patient.
    pub patient: PatientRole,
}

/// What is written at a place of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue {
    /// The text, without white space around it.
    pub text: String,
    /// The path below `ClinicalDocument`.
    pub place: &'static str,
}

/// An instance identifier (data type II).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identifier {
    /// An OID or UUID.
    pub root: Option<String>,
    /// The id under that root.
    pub extension: Option<String>,
    /// Who assigned it, in words.
    pub authority: Option<String>,
    /// The path below `ClinicalDocument`.
    pub place: &'static str,
}

impl Identifier {
    fn read(node: Node<'_, '_>, place: &'static str) -> Option<Self> {
        let written = |name| attribute(node, name).map(str::to_owned);
        let read = Self {
            root: written("root"),
            extension: written("extension"),
            authority: written("assigningAuthorityName"),
            place,
        };
        (read.root.is_some() || read.extension.is_some()).then_some(read)
    }

    /// The id by which something is known: the extension, or the root where there is no extension.
    pub fn value(&self) -> &str {
        self.extension
            .as_deref()
            .or(self.root.as_deref())
            .unwrap_or_default()
    }

    /// Whether it is under this root.
    pub fn is_under(&self, root: &str) -> bool {
        self.root.as_deref() == Some(root)
    }

    /// As the EI of HL7 v2 writes it: the extension under its OID, else the OID itself.
    pub fn entity(&self) -> String {
        match (&self.extension, &self.root) {
            (Some(extension), Some(root)) => format!("{extension}^^{root}^ISO"),
            _ => self.value().to_owned(),
        }
    }
}

/// A health professional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Professional {
    /// The national number, if there is one.
    pub rpps: Option<String>,
    /// Family name.
    pub family: Option<String>,
    /// Given name.
    pub given: Option<String>,
    /// Where the number stands, or should.
    pub place: &'static str,
    /// Where the name stands.
    pub name_place: &'static str,
}

/// `recordTarget/patientRole`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatientRole {
    /// Every id: the facility's, and the INS.
    pub ids: Vec<Identifier>,
    /// Given names, with their qualifiers.
    pub given: Vec<NamePart>,
    /// Family names, with their qualifiers.
    pub family: Vec<NamePart>,
    /// `administrativeGenderCode/@code`.
    pub gender: Option<HeaderValue>,
    /// `birthTime/@value`.
    pub birth_time: Option<HeaderValue>,
    /// Phone numbers and e-mail addresses.
    pub telecoms: Vec<Telecom>,
    /// Addresses.
    pub addresses: Vec<CdaAddress>,
    /// `providerOrganization/id`.
    pub organizations: Vec<Identifier>,
}

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePart {
    /// The name.
    pub text: String,
    /// What it is for: `BR` at birth, `CL` in use, `SP` of the spouse.
    pub qualifiers: Vec<String>,
}

impl NamePart {
    /// The first part with this qualifier.
    pub fn qualified<'p>(parts: &'p [NamePart], qualifier: &str) -> Option<&'p str> {
        parts
            .iter()
            .find(|part| part.qualifiers.iter().any(|own| own == qualifier))
            .map(|part| part.text.as_str())
    }
}

/// A phone number or an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telecom {
    /// What it is, in small letters: `tel`, `mailto`, …
    pub scheme: String,
    /// What stands behind the scheme.
    pub address: String,
    /// What it is for: `MC` mobile, `H` or `HP` at home, `WP` at work.
    pub uses: Vec<String>,
}

/// A postal address as far as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdaAddress {
    /// Number and street.
    pub street: Option<String>,
    /// What stands besides: the flat, the building, the house of whom, the post box.
    pub complement: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country.
    pub country: Option<String>,
    /// What it is for: `H` at home.
    pub uses: Vec<String>,
}

/// The places that refusals name.
pub mod places {
    #![allow(missing_docs, reason = "each is named after what stands there")]
    pub const BODY: &str = "component/structuredBody";
    pub const CODE: &str = "code";
    pub const ID: &str = "id";
    pub const SET_ID: &str = "setId";
    pub const VERSION: &str = "versionNumber";
    pub const EFFECTIVE_TIME: &str = "effectiveTime";
    pub const ORDER: &str = "inFulfillmentOf/order/id";
    pub const SUBMITTER: &str = "participant[@typeCode='REFB']/associatedEntity/id";
    pub const SUBMITTER_NAME: &str =
        "participant[@typeCode='REFB']/associatedEntity/associatedPerson/name";
    pub const AUTHOR: &str = "author/assignedAuthor/id";
    pub const AUTHOR_NAME: &str = "author/assignedAuthor/assignedPerson/name";
    pub const LEAD: &str = "participant[@typeCode='RESP']/associatedEntity/id";
    pub const LEAD_NAME: &str =
        "participant[@typeCode='RESP']/associatedEntity/associatedPerson/name";
    pub const AUTHENTICATOR: &str = "legalAuthenticator/assignedEntity/id";
    pub const AUTHENTICATOR_NAME: &str = "legalAuthenticator/assignedEntity/assignedPerson/name";
    pub const ENCOUNTER: &str = "componentOf/encompassingEncounter/id";
    pub const SESSION_DATE: &str = "componentOf/encompassingEncounter/effectiveTime";
    pub const EVENT_DATE: &str = "documentationOf/serviceEvent/effectiveTime";
    pub const PATIENT_ID: &str = "recordTarget/patientRole/id";
    pub const GIVEN: &str = "recordTarget/patientRole/patient/name/given";
    pub const FAMILY: &str = "recordTarget/patientRole/patient/name/family";
    pub const NAME: &str = "recordTarget/patientRole/patient/name";
    pub const GENDER: &str = "recordTarget/patientRole/patient/administrativeGenderCode/@code";
    pub const BIRTH_TIME: &str = "recordTarget/patientRole/patient/birthTime/@value";
    pub const TELECOM: &str = "recordTarget/patientRole/telecom";
    pub const ADDRESS: &str = "recordTarget/patientRole/addr";
    pub const ORGANIZATION: &str = "recordTarget/patientRole/providerOrganization/id";
}

impl CdaHeader {
    pub(super) fn read(root: Node<'_, '_>) -> Self {
        let identifiers = |path: &[&'static str], place| -> Vec<Identifier> {
            all(root, path)
                .into_iter()
                .filter_map(|node| Identifier::read(node, place))
                .collect()
        };
        let first =
            |name, place| children(root, name).find_map(|node| Identifier::read(node, place));
        Self {
            code: written(children(root, "code"), "code", places::CODE),
            title: children(root, "title").find_map(text_in),
            id: first("id", places::ID),
            set_id: first("setId", places::SET_ID),
            version_number: written(children(root, "versionNumber"), "value", places::VERSION),
            effective_time: written(
                children(root, "effectiveTime"),
                "value",
                places::EFFECTIVE_TIME,
            ),
            orders: identifiers(&["inFulfillmentOf", "order", "id"], places::ORDER),
            submitter: participant(root, "REFB", places::SUBMITTER, places::SUBMITTER_NAME)
                .or_else(|| {
                    person(
                        &all(root, &["author", "assignedAuthor"]),
                        "assignedPerson",
                        places::AUTHOR,
                        places::AUTHOR_NAME,
                    )
                }),
            lead: participant(root, "RESP", places::LEAD, places::LEAD_NAME).or_else(|| {
                person(
                    &all(root, &["legalAuthenticator", "assignedEntity"]),
                    "assignedPerson",
                    places::AUTHENTICATOR,
                    places::AUTHENTICATOR_NAME,
                )
            }),
            encounters: identifiers(
                &["componentOf", "encompassingEncounter", "id"],
                places::ENCOUNTER,
            ),
            session_date: session_date(root),
            patient: PatientRole::read(root),
        }
    }
}

fn written<'a, 'i: 'a>(
    nodes: impl IntoIterator<Item = Node<'a, 'i>>,
    name: &str,
    place: &'static str,
) -> Option<HeaderValue> {
    nodes.into_iter().find_map(|node| {
        attribute(node, name).map(|text| HeaderValue {
            text: text.to_owned(),
            place,
        })
    })
}

/// The participant of this type; of several the first with a number.
fn participant(
    root: Node<'_, '_>,
    kind: &str,
    place: &'static str,
    name_place: &'static str,
) -> Option<Professional> {
    let entities: Vec<Node<'_, '_>> = children(root, "participant")
        .filter(|participant| attribute(*participant, "typeCode") == Some(kind))
        .flat_map(|participant| children(participant, "associatedEntity"))
        .collect();
    person(&entities, "associatedPerson", place, name_place)
}

fn person(
    entities: &[Node<'_, '_>],
    person: &'static str,
    place: &'static str,
    name_place: &'static str,
) -> Option<Professional> {
    let rpps = |entity: Node<'_, '_>| {
        children(entity, "id")
            .filter(|id| attribute(*id, "root") == Some(RPPS_ROOT))
            .filter_map(|id| attribute(id, "extension"))
            .min_by_key(|number| !Rpps::could_be(number))
            .map(str::to_owned)
    };
    let entity = entities
        .iter()
        .find(|entity| rpps(**entity).is_some())
        .or_else(|| entities.first())?;
    let names = all(*entity, &[person, "name"]);
    let in_parts = names.iter().find_map(|it| parts_of_name(*it));
    let (family, given) = in_parts.unwrap_or_else(|| {
        // A name without parts is told as it is written.
        (names.into_iter().find_map(text_in), None)
    });
    Some(Professional {
        rpps: rpps(*entity),
        family,
        given,
        place,
        name_place,
    })
}

/// The family name and all given names of a name in parts.
pub(super) fn parts_of_name(name: Node<'_, '_>) -> Option<(Option<String>, Option<String>)> {
    let family = children(name, "family").find_map(text_in);
    let given = name::given_names(children(name, "given").filter_map(text_in));
    (family.is_some() || given.is_some()).then_some((family, given))
}

/// The date of the encounter, else that of the meeting among the documented acts (code 39, interface.md 5).
fn session_date(root: Node<'_, '_>) -> Option<HeaderValue> {
    let dates = |node: Node<'_, '_>, place| {
        children(node, "effectiveTime").find_map(|time| {
            written([time], "value", place)
                .or_else(|| written(children(time, "low"), "value", place))
        })
    };
    all(root, &["componentOf", "encompassingEncounter"])
        .into_iter()
        .find_map(|encounter| dates(encounter, places::SESSION_DATE))
        .or_else(|| {
            all(root, &["documentationOf", "serviceEvent"])
                .into_iter()
                .filter(|event| {
                    children(*event, "code").any(|code| attribute(code, "code") == Some("39"))
                })
                .find_map(|event| dates(event, places::EVENT_DATE))
        })
}

impl PatientRole {
    fn read(root: Node<'_, '_>) -> Self {
        let Some(role) = all(root, &["recordTarget", "patientRole"])
            .into_iter()
            .next()
        else {
            return Self::default();
        };
        let identifiers = |path: &[&'static str], place| -> Vec<Identifier> {
            all(role, path)
                .into_iter()
                .filter_map(|node| Identifier::read(node, place))
                .collect()
        };
        Self {
            ids: identifiers(&["id"], places::PATIENT_ID),
            given: name_parts(role, "given"),
            family: name_parts(role, "family"),
            gender: written(
                all(role, &["patient", "administrativeGenderCode"]),
                "code",
                places::GENDER,
            ),
            birth_time: written(
                all(role, &["patient", "birthTime"]),
                "value",
                places::BIRTH_TIME,
            ),
            telecoms: children(role, "telecom")
                .filter_map(Telecom::read)
                .collect(),
            addresses: children(role, "addr").map(CdaAddress::read).collect(),
            organizations: identifiers(&["providerOrganization", "id"], places::ORGANIZATION),
        }
    }
}

fn name_parts(role: Node<'_, '_>, name: &'static str) -> Vec<NamePart> {
    all(role, &["patient", "name", name])
        .into_iter()
        .filter_map(|node| {
            Some(NamePart {
                text: text_in(node)?,
                qualifiers: tokens(node, "qualifier"),
            })
        })
        .collect()
}

/// The tokens of an attribute that is a list of them.
fn tokens(node: Node<'_, '_>, name: &str) -> Vec<String> {
    attribute(node, name)
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

impl Telecom {
    fn read(node: Node<'_, '_>) -> Option<Self> {
        let (scheme, address) = attribute(node, "value")?.split_once(':')?;
        let scheme = scheme.trim().to_lowercase();
        // What follows these is no part of the number (RFC 3966) or the address (RFC 6068).
        let end = if scheme == "mailto" { '?' } else { ';' };
        let address = address.split(end).next().unwrap_or_default().trim();
        (!address.is_empty()).then(|| Self {
            scheme,
            address: address.to_owned(),
            uses: tokens(node, "use"),
        })
    }

    /// Whether it is for one of these.
    pub fn is_for(&self, uses: &[&str]) -> bool {
        self.uses.iter().any(|own| uses.contains(&own.as_str()))
    }
}

/// The parts of an address that make its street (CDA R2, data type AD, and as they are misnamed).
const STREET: [&str; 9] = [
    "houseNumber",
    "houseNumberNumeric",
    "buildingNumberSuffix",
    "houseNumberSuffix",
    "direction",
    "streetName",
    "streetNameBase",
    "streetNameType",
    "streetType",
];

/// Those of them that say which street it is.
const NAMES_OF_STREETS: [&str; 2] = ["streetName", "streetNameBase"];

/// Whole lines of an address, as they stand on an envelope.
const LINES: [&str; 2] = ["streetAddressLine", "deliveryAddressLine"];

impl CdaAddress {
    /// Reads all that is written of an address, in its order: what is neither street nor city, postal code or country is
    /// the complement (PID-11.2). Lines are the street where no part names one, and a line that says all of the parts of
    /// the street, and more, stands for them. Behind the first hundred parts, each is kept as it comes: all are compared
    /// with each other.
    fn read(node: Node<'_, '_>) -> Self {
        let mut read = Self {
            uses: tokens(node, "use"),
            ..Self::default()
        };
        const COMPARED: usize = 100;
        let mut written: Vec<(&str, String)> = node
            .children()
            .filter(|part| !part.has_attribute("nullFlavor"))
            .filter_map(|part| {
                let text = match part.is_text() {
                    true => part.text().unwrap_or_default().trim().to_owned(),
                    false => text_in(part)?,
                };
                // What only parts the others is no part.
                let says = text.contains(char::is_alphanumeric);
                says.then(|| (part.tag_name().name(), text))
            })
            .collect();
        let beyond = written.split_off(written.len().min(COMPARED));
        let of = |names: &'static [&'static str]| {
            let texts = written.iter().filter(move |(name, _)| names.contains(name));
            texts.map(|(_, text)| text.as_str())
        };
        let joined = of(&STREET).collect::<Vec<_>>().join(" ");
        let is_named = of(&NAMES_OF_STREETS).next().is_some();
        let whole = of(&LINES).find(|line| {
            let says_all = of(&STREET).all(|part| name::contains_words(line, part));
            says_all && !name::contains_words(&joined, line)
        });
        let is_of_street = |name: &str, text: &str| match (is_named, whole) {
            (true, Some(whole)) => LINES.contains(&name) && text == whole,
            (true, None) => STREET.contains(&name),
            (false, _) => {
                let is_in_a_line = || of(&LINES).any(|line| name::contains_words(line, text));
                LINES.contains(&name) || STREET.contains(&name) && !is_in_a_line()
            }
        };
        let street: Vec<&str> = written
            .iter()
            .filter(|(name, text)| is_of_street(name, text))
            .map(|(_, text)| text.as_str())
            .collect();
        read.street = (!street.is_empty()).then(|| street.join(" "));
        // In their order, each once.
        let mut complement: Vec<String> = Vec::new();
        let mut unit: Option<String> = None;
        for (name, text) in &written {
            let own = match *name {
                "city" => Some(&mut read.city),
                "postalCode" => Some(&mut read.postal_code),
                "country" => Some(&mut read.country),
                _ => None,
            };
            let is_same = |known: &String| {
                name::contains_words(known, text) && name::contains_words(text, known)
            };
            match own {
                Some(own @ None) => {
                    *own = Some(text.clone());
                    continue;
                }
                Some(Some(known)) if is_same(known) => continue,
                _ if STREET.contains(name) || is_of_street(name, text) => continue,
                _ if *name == "unitType" => {
                    complement.extend(unit.replace(text.clone()));
                    continue;
                }
                _ => {}
            }
            let text = match unit.take() {
                Some(unit) => format!("{unit} {text}"),
                None => text.clone(),
            };
            let is_same = |known: &String| {
                name::contains_words(known, &text) && name::contains_words(&text, known)
            };
            if !complement.iter().any(is_same) && !read.street.as_ref().is_some_and(is_same) {
                complement.push(text);
            }
        }
        complement.extend(unit);
        complement.extend(beyond.into_iter().map(|(_, text)| text));
        read.complement = (!complement.is_empty()).then(|| complement.join(", "));
        read
    }

    /// Whether nothing of it is written.
    pub fn is_empty(&self) -> bool {
        let Self {
            street,
            complement,
            city,
            postal_code,
            country,
            uses: _,
        } = self;
        [street, complement, city, postal_code, country]
            .into_iter()
            .all(Option::is_none)
    }
}
