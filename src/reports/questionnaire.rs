//! The questionnaire in the words of the report: what each statement says, in French (SPEC 8).
//!
//! What is done, proposed or planned differs only by mood, and a side of the body can decide an operation: both are
//! always shown.

use super::frcp::{self, Row};
use crate::model::questionnaire::{
    Concept, Participant, Qualifier, Questionnaire, Section, Statement,
};

/// The sections of the form as the report shows them.
pub(super) fn sections(questionnaire: &Questionnaire) -> Vec<frcp::Section> {
    questionnaire.sections.iter().map(section).collect()
}

fn section(section: &Section) -> frcp::Section {
    let mut rows = Vec::new();
    for statement in &section.statements {
        add(statement, 0, &mut rows);
    }
    let title = section.title.as_ref().or(section.label.as_ref());
    frcp::Section {
        title: title.cloned().unwrap_or_default(),
        code: section.code.clone(),
        narrative: narrative(section, &rows),
        rows,
        sections: section.sections.iter().map(self::section).collect(),
    }
}

/// What the text of a section says and its statements do not, line by line: nothing of it may be missing, and what is
/// coded is not said twice.
fn narrative(section: &Section, rows: &[Row]) -> Option<String> {
    let told: Vec<String> = rows
        .iter()
        .map(|row| plain(&format!("{}\n{}", row.label, row.value)))
        .chain(section.title.as_deref().map(plain))
        .collect();
    let is_told = |line: &&str| {
        let cells: Vec<String> = line.split(" | ").map(plain).collect();
        told.iter()
            .any(|row| cells.iter().all(|cell| row.contains(cell)))
    };
    let written = section.text.as_deref().unwrap_or_default().lines();
    let mut lines: Vec<String> = written
        .filter(|line| rows.is_empty() || !is_told(line))
        .map(str::to_owned)
        .collect();
    lines.extend(section.participants.iter().filter_map(participant));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The code of what is said about the quorum (CI-SIS, `TA_ASIP`).
const QUORUM: &str = "ORG-125";

/// Whether a statement or an item of this code and label is about the quorum.
pub(super) fn is_quorum(code: Option<&str>, label: Option<&str>) -> bool {
    code == Some(QUORUM) || label.is_some_and(|label| starts_plain(label, "quorum"))
}

/// What the form says of its session's quorum, so many times, and how often more; what is asked for or planned says
/// nothing of it.
pub(super) fn quorum(questionnaire: &Questionnaire, most: usize) -> (Vec<String>, usize) {
    fn of_statements(statements: &[Statement], said: &mut Vec<String>, most: usize) -> usize {
        let mut more = 0;
        for statement in statements {
            let label = statement.label.as_deref();
            let is_so = matches!(statement.mood.as_deref(), None | Some("EVN"));
            if is_so && is_quorum(statement.code.as_deref(), label) {
                if said.len() < most {
                    let value = value(statement, label.unwrap_or_default());
                    said.push(value.replace('\n', ", "));
                } else {
                    more += 1;
                }
            }
            more += of_statements(&statement.statements, said, most);
        }
        more
    }
    fn of_sections(sections: &[Section], said: &mut Vec<String>, most: usize) -> usize {
        let mut more = 0;
        for section in sections {
            more += of_statements(&section.statements, said, most);
            more += of_sections(&section.sections, said, most);
        }
        more
    }
    let mut said = Vec::new();
    let more = of_sections(&questionnaire.sections, &mut said, most);
    (said, more)
}

/// Whether a text, as it is compared, starts so.
fn starts_plain(text: &str, start: &str) -> bool {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let mut letters = letters.flat_map(char::to_lowercase);
    start.chars().all(|letter| letters.next() == Some(letter))
}

/// Letters and digits only, in lower case: text as it is compared.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether a text is only a reference to a place of the document that is not there. `#2 nodules` is none.
pub(super) fn leads_nowhere(text: &str) -> bool {
    text.starts_with('#') && !text.contains(char::is_whitespace)
}

/// Who did, wrote or told something, where there is a name.
fn participant(participant: &Participant) -> Option<String> {
    let role = match participant.role.as_str() {
        "author" => "Auteur",
        "performer" => "Réalisé par",
        "informant" => "Informateur",
        _ => "Participant",
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
    words.extend(participant.time.as_deref().map(french_date));
    Some(format!("{role} : {}", words.join(", ")))
}

fn add(statement: &Statement, depth: u8, rows: &mut Vec<Row>) {
    let label = statement
        .label
        .as_ref()
        .or(statement.code.as_ref())
        .map_or_else(|| kind(&statement.kind), String::as_str);
    rows.push(Row {
        label: label.to_owned(),
        value: value(statement, label),
        qualifier: qualifier(statement),
        depth,
    });
    for inner in &statement.statements {
        add(inner, depth.saturating_add(1), rows);
    }
}

/// What a statement is, where it has no name.
fn kind(kind: &str) -> &str {
    match kind {
        "act" | "procedure" => "Acte",
        "encounter" => "Rencontre",
        "observation" => "Observation",
        "organizer" => "Ensemble",
        "substanceAdministration" => "Administration",
        "supply" => "Fourniture",
        other => other,
    }
}

/// What a statement says, in lines.
fn value(statement: &Statement, label: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let main = main_value(statement);
    match (statement.negated, main) {
        (true, Some(main)) => lines.push(format!("NON : {main}")),
        (true, None) => lines.push("NON".to_owned()),
        (false, Some(main)) => lines.push(main),
        (false, None) => {
            let flavor = statement.null_flavor.as_ref();
            lines.extend(flavor.map(|flavor| format!("Non renseigné ({flavor})")));
        }
    }
    for site in statement.site.iter().chain(&statement.more_sites) {
        let mut words = with_code(site.label.as_deref(), site.code.as_deref()).unwrap_or_default();
        if let Some(side) = &site.laterality {
            words.push_str(&format!(" ({side})"));
        }
        lines.push(format!("Localisation : {}", words.trim()));
    }
    for qualifier in &statement.qualifiers {
        if is_told_as_side(statement, qualifier) {
            continue;
        }
        let name = qualifier.name.as_ref();
        let name = name.and_then(|name| name.words().or(name.code.as_deref()));
        match (name.map(str::to_owned), words(&qualifier.value)) {
            (Some(name), Some(value)) => lines.push(format!("{name} : {value}")),
            (one, other) => lines.extend(one.or(other)),
        }
    }
    if let Some(consumable) = &statement.consumable {
        let mut words: Vec<&str> = [&consumable.label, &consumable.name]
            .into_iter()
            .filter_map(|words| words.as_deref())
            .collect();
        words.dedup();
        if words.is_empty() {
            words.extend(consumable.code.as_deref());
        }
        if !words.is_empty() {
            lines.push(format!("Produit : {}", words.join(", ")));
        }
    }
    for quantity in &statement.quantities {
        let unit = quantity.unit.as_deref().unwrap_or_default();
        let words = match quantity.role.as_str() {
            "doseQuantity" => "Dose",
            "rateQuantity" => "Débit",
            "maxDoseQuantity" => "Dose maximale",
            "repeatNumber" => "Répétitions",
            _ => "Quantité",
        };
        lines.push(
            format!("{words} : {} {unit}", quantity.value)
                .trim_end()
                .to_owned(),
        );
    }
    for (caption, said) in [
        ("Méthode", &statement.method),
        ("Interprétation", &statement.interpretation),
        ("Priorité", &statement.priority),
    ] {
        lines.extend(said.as_ref().map(|said| format!("{caption} : {said}")));
    }
    lines.extend(statement.time.as_deref().map(french_time));
    lines.extend(statement.participants.iter().filter_map(participant));
    // A reference that leads nowhere tells a reader nothing.
    let text = statement.text.as_ref().filter(|text| !leads_nowhere(text));
    if let Some(text) = text.filter(|text| text.as_str() != label && !lines.contains(text)) {
        lines.push(text.clone());
    }
    lines.join("\n")
}

fn words(part: &Option<Concept>) -> Option<String> {
    let part = part.as_ref()?;
    let words = with_code(part.words(), part.code.as_deref())?;
    let written = part
        .text
        .as_ref()
        .filter(|text| !words.contains(*text) && !leads_nowhere(text));
    Some(match written {
        Some(written) => format!("{words} ({written})"),
        None => words,
    })
}

/// Words with the code that they stand for, where it is one that people say: `T1b`, `C50.2`, `8000/3`.
fn with_code(words: Option<&str>, code: Option<&str>) -> Option<String> {
    const SPOKEN: usize = 6;
    match (words, code) {
        (Some(words), Some(code)) if code.len() <= SPOKEN && !words.contains(code) => {
            Some(format!("{words} [{code}]"))
        }
        (words, code) => words.or(code).map(str::to_owned),
    }
}

/// Whether a qualifier is the side that stands behind its place already.
fn is_told_as_side(statement: &Statement, qualifier: &Qualifier) -> bool {
    let side = qualifier.value.as_ref();
    let side = side.and_then(|side| side.words().or(side.code.as_deref()));
    let mut sites = statement.site.iter().chain(&statement.more_sites);
    qualifier.of == "targetSiteCode" && sites.any(|site| site.laterality.as_deref() == side)
}

/// The value itself, with its unit; beside its code what was written, where that says something else.
fn main_value(statement: &Statement) -> Option<String> {
    let value = statement.value.as_ref()?;
    let is_boolean = statement
        .value_type
        .as_deref()
        .is_some_and(|it| matches!(it, "BL" | "BN"));
    let words = match value.as_str() {
        "true" if is_boolean => "Oui",
        "false" if is_boolean => "Non",
        // Nothing but a reference that leads nowhere.
        unresolved if leads_nowhere(unresolved) => return None,
        other => other,
    };
    let mut words = match statement.value_type.as_deref() {
        Some("TS") => french_date(words),
        Some("IVL_TS") => words
            .split(' ')
            .map(french_date)
            .collect::<Vec<_>>()
            .join(" "),
        _ => words.to_owned(),
    };
    if let Some(coded) = with_code(Some(&words), statement.value_code.as_deref()) {
        words = coded;
    }
    // `1` is the unit of what has none.
    if let Some(unit) = statement.unit.as_deref().filter(|unit| *unit != "1") {
        words.push(' ');
        words.push_str(unit);
    }
    let written = statement
        .codes
        .iter()
        .filter(|code| code.role == "value")
        .filter_map(|code| code.text.as_ref())
        .filter(|text| *text != value && !leads_nowhere(text));
    for text in written {
        words.push_str(&format!(" ({text})"));
    }
    Some(words)
}

fn qualifier(statement: &Statement) -> Option<String> {
    let mood = statement.mood.as_deref().map(frcp::mood);
    let status = match statement.status.as_deref() {
        None | Some("completed") => None,
        Some("active") => Some("en cours"),
        Some("aborted") => Some("interrompu"),
        Some("cancelled") => Some("annulé"),
        Some("suspended") => Some("suspendu"),
        Some("held") => Some("en attente"),
        other => other,
    };
    let words: Vec<&str> = [mood, status].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A time or an interval of the questionnaire as a French reader expects it.
fn french_time(time: &str) -> String {
    match time.split_once('/') {
        None => format!("Date : {}", french_date(time)),
        Some((from, "..")) => format!("À partir du {}", french_date(from)),
        Some(("..", to)) => format!("Jusqu’au {}", french_date(to)),
        Some((from, to)) => format!("Du {} au {}", french_date(from), french_date(to)),
    }
}

/// `2019-02-15T09:30:00+01:00` as `15/02/2019 09:30`; what is no date stays as it is.
fn french_date(time: &str) -> String {
    let (date, clock) = time.split_once('T').unwrap_or((time, ""));
    let parts: Vec<&str> = date.split('-').collect();
    let is_date = parts.len() <= 3
        && parts.first().is_some_and(|year| year.len() == 4)
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_date {
        return time.to_owned();
    }
    let mut words = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    if let Some(clock) = clock.get(..5) {
        words.push(' ');
        words.push_str(clock);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::questionnaire::{Quantity, Site};

    fn statement(kind: &str) -> Statement {
        Statement {
            kind: kind.to_owned(),
            label: Some("L".to_owned()),
            mood: Some("EVN".to_owned()),
            status: Some("completed".to_owned()),
            ..Statement::default()
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_quorum_is_what_a_statement_says_is_so() {
        let about = |mood: &str, code: Option<&str>, label: &str, value: &str| Statement {
            mood: some(mood),
            code: code.map(str::to_owned),
            label: some(label),
            value: some(value),
            ..statement("observation")
        };
        let nested = Statement {
            statements: vec![
                about("EVN", Some(QUORUM), "Présence", "Quorum atteint"),
                about("PRP", Some(QUORUM), "Présence", "proposé"),
                about("EVN", None, "Quorum RCP", "Quorum non atteint"),
                about("EVN", None, "Avis", "le quorum"),
            ],
            ..statement("organizer")
        };
        let section = Section {
            statements: vec![nested],
            ..Section::default()
        };
        let outer = Section {
            sections: vec![section],
            ..Section::default()
        };
        let questionnaire = Questionnaire {
            sections: vec![outer],
            other: None,
        };
        assert_eq!(
            quorum(&questionnaire, 20),
            (
                vec!["Quorum atteint".to_owned(), "Quorum non atteint".to_owned()],
                0
            )
        );
        assert_eq!(
            quorum(&questionnaire, 1),
            (vec!["Quorum atteint".to_owned()], 1)
        );
    }

    fn row(statement: Statement) -> (String, String, String) {
        let questionnaire = Questionnaire {
            sections: vec![Section {
                statements: vec![statement],
                ..Section::default()
            }],
            other: None,
        };
        let row = sections(&questionnaire).remove(0).rows.remove(0);
        (row.label, row.value, row.qualifier.unwrap_or_default())
    }

    #[test]
    fn a_statement_is_told_in_words() {
        let with = |change: &dyn Fn(&mut Statement)| {
            let mut statement = statement("observation");
            change(&mut statement);
            row(statement).1
        };
        for (value, kind, unit, told) in [
            ("true", "BL", None, "Oui"),
            ("false", "BL", None, "Non"),
            ("true", "ST", None, "true"),
            ("6.5", "PQ", Some("mm"), "6.5 mm"),
            ("2", "PQ", Some("1"), "2"),
            ("20190215", "ST", None, "20190215"),
            ("2019-02-15", "TS", None, "15/02/2019"),
            ("#gone", "ED", None, ""),
        ] {
            let value = with(&|it| {
                it.value = some(value);
                it.value_type = some(kind);
                it.unit = unit.map(str::to_owned);
            });
            assert_eq!(value, told);
        }
        for (code, told) in [
            ("T1b", "Tumeur [T1b]"),
            ("Tum", "Tumeur"),
            ("76752008", "Tumeur"),
        ] {
            let value = with(&|it| {
                it.value = some("Tumeur");
                it.value_code = some(code);
            });
            assert_eq!(value, told);
        }
        for (time, told) in [
            ("2019-02-15", "Date : 15/02/2019"),
            ("2019", "Date : 2019"),
            ("2019-02-20/2019-08-20", "Du 20/02/2019 au 20/08/2019"),
            ("2019-03-01/..", "À partir du 01/03/2019"),
            ("../2019-03", "Jusqu’au 03/2019"),
            ("2019-01-15T11:30+01:00", "Date : 15/01/2019 11:30"),
            ("soon", "Date : soon"),
        ] {
            assert_eq!(with(&|it| it.time = some(time)), told);
        }
        assert_eq!(with(&|it| it.text = some("L")), "");
        assert_eq!(with(&|it| it.text = some("#gone")), "");
        assert_eq!(with(&|it| it.text = some("said")), "said");
        assert_eq!(with(&|it| it.negated = true), "NON");
        let unknown = with(&|it| it.null_flavor = some("UNK"));
        assert_eq!(unknown, "Non renseigné (UNK)");
        let value = with(&|it| {
            it.value = some("Carcinome");
            it.negated = true;
            it.codes = vec![Concept {
                role: "value".to_owned(),
                text: some("carcinome canalaire"),
                ..Concept::default()
            }];
            it.site = Some(Site {
                code: None,
                label: some("Sein"),
                laterality: some("droit"),
            });
            it.qualifiers = vec![Qualifier {
                of: "value".to_owned(),
                name: Some(Concept {
                    label: some("Version"),
                    ..Concept::default()
                }),
                value: Some(Concept {
                    code: some("7"),
                    ..Concept::default()
                }),
            }];
            it.priority = some("1");
            it.quantities = vec![Quantity {
                role: "doseQuantity".to_owned(),
                value: "50".to_owned(),
                unit: some("mg"),
            }];
        });
        assert_eq!(
            value,
            "NON : Carcinome (carcinome canalaire)\nLocalisation : Sein (droit)\nVersion : 7\nDose : 50 mg\nPriorité : 1"
        );
    }

    #[test]
    fn mood_is_always_told() {
        for (mood, status, told) in [
            ("EVN", "completed", "Réalisé"),
            ("EVN", "active", "Réalisé, en cours"),
            ("PRP", "active", "Proposé, en cours"),
            ("INT", "cancelled", "Prévu, annulé"),
            ("ARQ", "", "Rendez-vous demandé"),
        ] {
            let mut statement = statement("procedure");
            statement.mood = some(mood);
            statement.status = some(status).filter(|it| !it.is_empty());
            assert_eq!(row(statement).2, told);
        }
    }

    #[test]
    fn statements_stand_below_each_other_and_narrative_where_they_do_not_tell_it() {
        let mut outer = statement("observation");
        outer.statements = vec![statement("act")];
        let questionnaire = Questionnaire {
            sections: vec![Section {
                code: some("C"),
                text: some("L\nl | 12/03\nL | said nowhere else"),
                statements: vec![outer],
                sections: vec![Section {
                    label: some("Inner"),
                    text: some("told"),
                    ..Section::default()
                }],
                ..Section::default()
            }],
            other: None,
        };
        let sections = sections(&questionnaire);
        let depths: Vec<u8> = sections[0].rows.iter().map(|row| row.depth).collect();
        assert_eq!(depths, [0, 1]);
        assert_eq!(
            sections[0].narrative.as_deref(),
            Some("l | 12/03\nL | said nowhere else")
        );
        assert_eq!(sections[0].sections[0].title, "Inner");
        assert_eq!(sections[0].sections[0].narrative.as_deref(), Some("told"));
    }
}
