//! What of a statement has no key of its own, in the words of the report; what has none is said to be there (interface.md 8).

use super::dates::french_date;
use super::excerpt::Omissions;
use super::people::Person;
use super::units;
use super::words::{absence, caption, leads_nowhere};
use crate::model::questionnaire::FurtherElement;

/// The lines that say this, as far as a row does not say it already; what cannot be told is counted in `cut`. What
/// belongs to one of several people is told with whom.
pub(super) fn lines(
    further: &[FurtherElement],
    people: &[Person],
    row_text: &str,
    cut: &mut Omissions,
) -> Vec<String> {
    let mut shown_words = words(row_text);
    let mut lines: FurtherLines = Vec::new();
    // Whom nobody is told of is denied: the others have other numbers then.
    let is_any_denied = further.iter().any(|it| it.negated);
    let whose = |part: &FurtherElement| {
        let role = part.place.split('/').next().unwrap_or_default();
        let of_role = || people.iter().filter(|person| person.role == role);
        let is_one_of_several = !is_any_denied && of_role().nth(1).is_some();
        let person = of_role().nth(part.number).filter(|_| is_one_of_several)?;
        let name = person.name.as_deref().or(person.label.as_deref());
        name.or(person.organization.as_deref())
    };
    for part in further {
        let Some(said) = words_of(part) else {
            cut.wordless.push(part.place.clone());
            let said = "[non affichable, à lire dans le document CDA du dossier]".to_owned();
            add(&mut lines, part, captioned(part, whose(part)), said);
            continue;
        };
        // A number alone may be another one.
        let is_telling = part.is_time || said.contains(char::is_alphabetic);
        let is_telling = is_telling && part.null_flavor.is_none();
        let own = words(&said);
        let is_told = is_telling && !part.negated && within(&own, &shown_words);
        if own.is_empty() && !part.negated || is_told {
            continue;
        }
        shown_words.extend(own);
        add(&mut lines, part, captioned(part, whose(part)), said);
    }
    let lines = lines.into_iter();
    lines
        .map(|(_, caption, mut said)| {
            said.retain(|it| !it.is_empty());
            match said.is_empty() {
                true => caption,
                false => format!("{caption} : {}", said.join(", ")),
            }
        })
        .collect()
}

/// Lines by the number of their element, with their captions.
type FurtherLines = Vec<(usize, String, Vec<String>)>;

fn add(lines: &mut FurtherLines, part: &FurtherElement, caption: String, said: String) {
    let known = |(number, known, _): &&mut (usize, String, Vec<String>)| {
        *number == part.number && *known == caption
    };
    match lines.iter_mut().find(known) {
        Some((.., all)) if all.contains(&said) => {}
        Some((.., all)) => all.push(said),
        None => lines.push((part.number, caption, vec![said])),
    }
}

/// What a part says; none where there are no words for it.
fn words_of(part: &FurtherElement) -> Option<String> {
    if let Some(flavor) = &part.null_flavor {
        return Some(absence(flavor).to_lowercase());
    }
    let Some(text) = &part.text else {
        return part.negated.then(String::new);
    };
    let text = match part.place.rsplit('/').next() {
        _ if part.is_time => french_date(text),
        Some("@institutionSpecified") => "horaires fixés par l’établissement".to_owned(),
        Some("@alignment") => match text.as_str() {
            "DW" => "calé sur le jour de la semaine".to_owned(),
            "DM" => "calé sur le jour du mois".to_owned(),
            "DY" => "calé sur le jour de l’année".to_owned(),
            "MY" => "calé sur le mois de l’année".to_owned(),
            "HD" => "calé sur l’heure".to_owned(),
            code => format!("calage {code}"),
        },
        Some("@inverted") => "à lire dans l’autre sens".to_owned(),
        Some("@probability") => format!("probabilité {text}"),
        _ if text == "true" => "oui".to_owned(),
        _ if text == "false" => "non".to_owned(),
        Some("@distributionType") => format!("distribution {text}"),
        _ if leads_nowhere(text) => return Some(String::new()),
        _ => text.clone(),
    };
    let unit = part.unit.as_deref();
    let unit = unit
        .map(|unit| units::readable(unit, &text))
        .unwrap_or_default();
    Some(format!("{text} {unit}").trim_end().to_owned())
}

/// What stands before a part: what it is a part of, and which part of that.
fn captioned(part: &FurtherElement, whose: Option<&str>) -> String {
    let mut names = part.place.split('/').filter(|name| !name.starts_with('@'));
    let first = names.next().unwrap_or_default();
    let of = element(first);
    let which = match names.next_back() {
        Some("low") => ", début",
        Some("high") => ", fin",
        Some("width") => ", durée",
        Some("translation") => ", traduction",
        Some("numerator") => ", numérateur",
        Some("denominator") => ", dénominateur",
        Some("standardDeviation") => ", écart type",
        Some("deceasedInd") => ", décès",
        Some("deceasedTime") => ", décès le",
        Some("expirationTime") => ", péremption",
        Some("birthTime") => ", naissance",
        Some("versionNumber") => ", version",
        Some("quantity") => ", quantité",
        Some("id") => ", n°",
        _ => "",
    };
    let denied = if part.negated { " : NON" } else { "" };
    let whose = whose.map(|it| format!(" ({it})")).unwrap_or_default();
    format!("{of}{whose}{which}{denied}")
}

/// What an element of a statement is.
pub(super) fn element(name: &str) -> &str {
    match name {
        "author" => "Auteur",
        "component" | "section" => "Rubrique",
        "entry" | "entryRelationship" => "Contenu",
        "consumable" | "product" => "Produit",
        "informant" => "Informateur",
        "participant" => "Participant",
        "performer" => "Réalisé par",
        "precondition" => "Condition",
        "reference" => "Référence",
        "referenceRange" => "Valeurs de référence",
        "specimen" => "Prélèvement",
        "subject" => "Sujet",
        "text" => "Texte",
        "value" => "Valeur",
        other => caption(other),
    }
}

/// The words of a text as they are compared: without case and without the signs that divide them.
fn words(text: &str) -> Vec<String> {
    let divides = |it: char| {
        it.is_whitespace()
            || matches!(
                it,
                ',' | ';' | ':' | '(' | ')' | '[' | ']' | '«' | '»' | '"' | '\'' | '’'
            )
    };
    let words = text.split(divides).filter(|word| !word.is_empty());
    words
        .map(|word| word.trim_end_matches('.').to_lowercase())
        .collect()
}

/// Whether these words stand among those, one behind the other.
fn within(words: &[String], told: &[String]) -> bool {
    words.is_empty() || told.windows(words.len()).any(|part| part == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(place: &str, text: &str) -> FurtherElement {
        FurtherElement {
            place: place.to_owned(),
            text: Some(text.to_owned()).filter(|it| !it.is_empty()),
            ..FurtherElement::default()
        }
    }

    fn lines_of(parts: &[FurtherElement], row: &str) -> (String, Vec<String>) {
        let mut cut = Omissions::default();
        (lines(parts, &[], row, &mut cut).join("\n"), cut.wordless)
    }

    #[test]
    fn what_a_row_does_not_say_is_told_with_what_it_is_a_part_of() {
        let specimen = part("specimen/specimenRole/desc", "Prélevé à jeun");
        let with = |change: &dyn Fn(&mut FurtherElement)| {
            let mut part = part("effectiveTime/high", "");
            change(&mut part);
            part
        };
        let second = |text: &str| FurtherElement {
            number: 1,
            ..part("reference/externalDocument/code", text)
        };
        for (parts, row, expected) in [
            (
                vec![specimen.clone()],
                "Prélèvement : sang",
                "Prélèvement : Prélevé à jeun",
            ),
            // A row says the words one behind the other, in any case.
            (vec![specimen.clone()], "Tube, prélevé à jeun (sang)", ""),
            (
                vec![specimen.clone()],
                "à jeun, prélevé",
                "Prélèvement : Prélevé à jeun",
            ),
            // Another number may be the same by chance.
            (
                vec![part("specimen/x/quantity", "3")],
                "Dose : 3 g",
                "Prélèvement, quantité : 3",
            ),
            (
                vec![FurtherElement {
                    unit: Some("ug".to_owned()),
                    ..part("value/translation", "3")
                }],
                "3 µg",
                "",
            ),
            (
                vec![with(&|it| it.null_flavor = Some("UNK".to_owned()))],
                "inconnu",
                "Date, fin : inconnu",
            ),
            (
                vec![with(&|it| {
                    (it.text, it.is_time) = (Some("2025-01-02".to_owned()), true);
                })],
                "",
                "Date, fin : 02/01/2025",
            ),
            (
                vec![
                    part("reference/externalDocument/code", "CR"),
                    second("TEP"),
                    second("4"),
                ],
                "",
                "Référence : CR\nRéférence : TEP, 4",
            ),
            (vec![part("text", "#gone")], "", ""),
            (vec![part("value/delimiter", ",")], "", ""),
            (vec![part("value/x", "true")], "", "Valeur : oui"),
            (
                vec![part("effectiveTime/@institutionSpecified", "true")],
                "",
                "Date : horaires fixés par l’établissement",
            ),
            (
                vec![part("value/qualifier/@inverted", "true")],
                "",
                "Valeur : à lire dans l’autre sens",
            ),
            (
                vec![part("subject/subject/deceasedInd", "true")],
                "",
                "Sujet, décès : oui",
            ),
            (
                vec![FurtherElement {
                    negated: true,
                    ..part("participant/name", "Bloc")
                }],
                "Bloc",
                "Participant : NON : Bloc",
            ),
            (
                vec![FurtherElement {
                    negated: true,
                    ..part("participant", "")
                }],
                "",
                "Participant : NON",
            ),
        ] {
            assert_eq!(
                lines_of(&parts, row),
                (expected.to_owned(), Vec::new()),
                "{parts:?}"
            );
        }
    }

    #[test]
    fn what_belongs_to_one_of_several_people_is_told_with_whom() {
        let person = |name: &str| Person {
            role: "participant".to_owned(),
            name: Some(name.to_owned()).filter(|it| !it.is_empty()),
            ..Person::default()
        };
        let of_second = FurtherElement {
            number: 1,
            ..part("participant/participantRole/desc", "étage 3")
        };
        let denied = FurtherElement {
            negated: true,
            ..part("participant/name", "Bloc")
        };
        let told = |people: &[Person], parts: &[FurtherElement]| {
            lines(parts, people, "", &mut Omissions::default()).join("\n")
        };
        let (one, other) = (person("UN"), person("DEUX"));
        let both = [one.clone(), other];
        let own = std::slice::from_ref(&of_second);
        assert_eq!(told(&both, own), "Participant (DEUX) : étage 3");
        assert_eq!(
            told(&[one.clone(), person("")], own),
            "Participant : étage 3"
        );
        assert_eq!(told(&[one], own), "Participant : étage 3");
        assert_eq!(
            told(&both, &[denied, of_second.clone()]),
            "Participant : NON : Bloc\nParticipant : étage 3"
        );
    }

    #[test]
    fn what_cannot_be_told_is_said_to_be_there_and_counted() {
        let (said, wordless) = lines_of(&[part("reference", "")], "");
        assert_eq!(
            said,
            "Référence : [non affichable, à lire dans le document CDA du dossier]"
        );
        assert_eq!(wordless, ["reference"]);
    }
}
