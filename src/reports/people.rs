//! Whom a form names, as the report shows them (interface.md 8).

use super::dates::french_interval;
use crate::model::identifiers::Rpps;

pub(super) use crate::model::questionnaire::StatementParticipant as Person;

/// The root of the national numbers of health professionals, as an identifier writes it.
const RPPS: &str = "1.2.250.1.71.4.2.1^";

/// The RPPS of someone whom the form names: a national number begins with the kind of number that it is, 8 for an RPPS.
pub(super) fn rpps(person: &Person) -> Option<String> {
    let mut numbers = person.ids.iter().filter_map(|id| id.strip_prefix(RPPS));
    let number = numbers.find(|number| Rpps::could_be(number))?.trim();
    let digits = number.get(number.len().saturating_sub(11)..);
    Some(digits.unwrap_or(number).to_owned())
}

/// Someone whom a form names, once, with all that they are there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormPerson {
    /// The name, with the house.
    pub name: String,
    /// The RPPS, where there is one.
    pub rpps: Option<String>,
    /// What they are there for, each once: `Correspondant`.
    roles: Vec<&'static str>,
    /// Function and speciality, each once.
    labels: Vec<String>,
    /// Whether they take part in the meeting, and for nothing else.
    pub is_only_present: bool,
    /// Whether they take part in the meeting.
    pub is_present: bool,
}

impl FormPerson {
    /// What they are there for, and what they are.
    pub(crate) fn function(&self) -> String {
        let roles = self.roles.join(", ");
        match self.labels.is_empty() {
            true => roles,
            false if roles.is_empty() => self.labels.join(", "),
            false => format!("{roles} : {}", self.labels.join(", ")),
        }
    }
}

/// Whom a form names, each once: who is named in several places has one name and one house, or no house.
pub(crate) fn named(people: &[Person]) -> Vec<FormPerson> {
    let mut named: Vec<(&Person, FormPerson)> = Vec::new();
    for person in people.iter().filter(|person| person.role != PLACE) {
        let is_present = is_present(person);
        let known = named.iter_mut().find(|(first, _)| {
            first.name == person.name
                && (first.organization == person.organization
                    || person.name.is_some() && person.organization.is_none())
        });
        let known = match known {
            Some((_, known)) => known,
            None => {
                let words = [&person.name, &person.organization];
                let words: Vec<&str> = words.into_iter().filter_map(|it| it.as_deref()).collect();
                let new = FormPerson {
                    name: words.join(", "),
                    rpps: None,
                    roles: Vec::new(),
                    labels: Vec::new(),
                    is_only_present: true,
                    is_present: false,
                };
                named.push((person, new));
                let Some((_, new)) = named.last_mut() else {
                    continue;
                };
                new
            }
        };
        if known.rpps.is_none() {
            known.rpps = rpps(person);
        }
        known.is_present |= is_present;
        known.is_only_present &= is_present;
        let role = role(person);
        if !role.is_empty() && !known.roles.contains(&role) {
            known.roles.push(role);
        }
        let label = person
            .label
            .iter()
            .find(|label| !known.labels.contains(label));
        known.labels.extend(label.cloned());
    }
    named.into_iter().map(|(_, named)| named).collect()
}

/// The role of where the session meets.
const PLACE: &str = "location";

/// Where the session meets, as the form says, each place once.
pub(super) fn places(people: &[Person]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for place in people.iter().filter(|person| person.role == PLACE) {
        let words = [&place.name, &place.organization];
        let words: Vec<&str> = words.into_iter().filter_map(|it| it.as_deref()).collect();
        let mut words = words.join(", ");
        if let Some(kind) = place.label.as_ref().filter(|kind| !words.contains(*kind)) {
            words.push_str(&format!(" ({kind})"));
        }
        if !places.contains(&words) {
            places.push(words);
        }
    }
    places
}

/// Who answers for the form, and when they signed it, for a French reader.
pub(super) fn authenticator(people: &[Person]) -> Option<(String, Option<String>)> {
    let mut people = people.iter();
    let found = people.find(|it| it.role == "legalAuthenticator" && it.name.is_some())?;
    Some((
        found.name.clone()?,
        found.time.as_deref().map(french_interval),
    ))
}

/// Whether someone takes part in the meeting (CI-SIS, FRCP: a participant who performs, of the quorum or not).
fn is_present(person: &Person) -> bool {
    match person.role.as_str() {
        "participant" => person.participation.as_deref() == Some("PRF"),
        "encounterParticipant" => true,
        _ => false,
    }
}

/// What someone is there for; nothing where only their function says it.
fn role(person: &Person) -> &'static str {
    match (person.role.as_str(), person.participation.as_deref()) {
        ("author", _) => "Auteur",
        ("dataEnterer", _) => "Saisi par",
        ("custodian", _) => "Conservateur",
        ("informant", _) => "Informateur",
        ("informationRecipient", _) => "Correspondant",
        ("legalAuthenticator", _) => "Responsable de la fiche",
        ("authenticator", _) => "Signataire",
        ("performer", _) => "Intervenant",
        ("responsibleParty", _) => "Responsable",
        (_, Some("REFB")) => "Demandeur",
        (_, Some("RESP")) => "Responsable",
        (_, Some("CON")) => "Correspondant",
        (_, Some("LOC")) => "Lieu",
        // The physician who treats the patient is told by the function.
        (_, Some("INF")) if person.label.is_some() => "",
        (_, Some("INF")) => "Informateur",
        _ => "Participant",
    }
}

/// Who did, wrote or told something, where there is a name.
pub(super) fn participant(participant: &Person) -> Option<String> {
    let role = match participant.role.as_str() {
        "author" => "Auteur",
        "performer" => "Réalisé par",
        "informant" => "Informateur",
        "specimen" => "Prélèvement",
        "subject" => "Sujet",
        _ => match participant.participation.as_deref() {
            Some("DEV") => "Dispositif",
            Some("LOC") => "Lieu",
            Some("CSM" | "PRD") => "Produit",
            Some("RESP") => "Responsable",
            _ => "Participant",
        },
    };
    let whose = [
        participant.name.as_deref(),
        participant.label.as_deref(),
        participant.organization.as_deref(),
    ];
    let mut words: Vec<String> = whose.into_iter().flatten().map(str::to_owned).collect();
    if words.is_empty() {
        return None;
    }
    words.extend(participant.time.as_deref().map(french_interval));
    Some(format!("{role} : {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(role: &str, participation: &str, name: &str, house: &str, label: &str) -> Person {
        let some = |text: &str| Some(text.to_owned()).filter(|it| !it.is_empty());
        Person {
            role: role.to_owned(),
            participation: some(participation),
            name: some(name),
            organization: some(house),
            label: some(label),
            ..Person::default()
        }
    }

    #[test]
    fn everybody_is_named_once_with_all_their_functions() {
        let people = [
            person("author", "", "UN Léa", "CHU", "Oncologue"),
            person("legalAuthenticator", "", "UN Léa", "CHU", "Oncologue"),
            person("participant", "PRF", "UN Léa", "", "Membre"),
            person("participant", "INF", "DEUX Jo", "", "Médecin traitant"),
            person(
                "participant",
                "PRF",
                "TROIS Al",
                "",
                "Chirurgien (Participant du quorum)",
            ),
            person("participant", "CON", "UN Léa", "Clinique", ""),
            person("informationRecipient", "", "", "Cabinet", ""),
            person("custodian", "", "", "Cabinet", ""),
            person("dataEnterer", "", "DEUX Jo", "", ""),
            person("custodian", "", "", "CHU", ""),
            person("location", "", "Salle 3", "CHU", ""),
        ];
        let told: Vec<_> = named(&people)
            .into_iter()
            .map(|it| {
                (
                    it.function(),
                    it.name.clone(),
                    it.is_present,
                    it.is_only_present,
                )
            })
            .collect();
        let expected = [
            (
                "Auteur, Responsable de la fiche, Participant : Oncologue, Membre",
                "UN Léa, CHU",
                true,
                false,
            ),
            ("Saisi par : Médecin traitant", "DEUX Jo", false, false),
            (
                "Participant : Chirurgien (Participant du quorum)",
                "TROIS Al",
                true,
                true,
            ),
            ("Correspondant", "UN Léa, Clinique", false, false),
            ("Correspondant, Conservateur", "Cabinet", false, false),
            ("Conservateur", "CHU", false, false),
        ];
        let expected = expected
            .map(|(function, name, is, only)| (function.to_owned(), name.to_owned(), is, only));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_place_is_told_once_with_its_kind() {
        let people = [
            person("author", "", "UN Léa", "CHU", ""),
            person("location", "", "Salle 3", "CHU, 1 rue X", "Centre"),
            person("location", "", "Salle 3", "CHU, 1 rue X", "Centre"),
            person("location", "", "", "CHU", "CHU"),
        ];
        assert_eq!(places(&people), ["Salle 3, CHU, 1 rue X (Centre)", "CHU"]);
    }

    #[test]
    fn only_an_rpps_is_shown_as_one() {
        for (id, shown) in [
            ("1.2.250.1.71.4.2.1^810100094977", Some("10100094977")),
            ("1.2.250.1.71.4.2.1^10100094977", Some("10100094977")),
            ("1.2.250.1.71.4.2.1^0751234567", None),
            ("1.2.3^810100094977", None),
        ] {
            let person = Person {
                ids: vec![id.to_owned()],
                ..Person::default()
            };
            assert_eq!(rpps(&person).as_deref(), shown, "{id}");
        }
    }
}
