//! What a document says and what was written by hand, beside each other.

use proptest::prelude::*;

use super::*;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn statement(code: &str, label: &str, value: &str, unit: &str) -> Statement {
    Statement {
        kind: "observation".to_owned(),
        code: some(code),
        label: some(label),
        value: some(value),
        unit: some(unit),
        ..Statement::default()
    }
}

fn section(code: &str, title: &str, statements: Vec<Statement>) -> Section {
    Section {
        code: some(code),
        title: some(title),
        statements,
        ..Section::default()
    }
}

fn form(sections: Vec<Section>) -> Questionnaire {
    Questionnaire {
        sections,
        ..Questionnaire::default()
    }
}

#[test]
fn what_is_written_is_compared_with_what_the_document_says() {
    let denied = |value: &str| Statement {
        negated: true,
        ..statement("", "L", value, "")
    };
    let planned = Statement {
        mood: some("INT"),
        ..statement("", "L", "x", "")
    };
    let coded = Statement {
        value_code: some("C34.1"),
        ..statement("", "L", "Tumeur du poumon", "")
    };
    for (document, value, unit, expected) in [
        (statement("", "L", "14", "mm"), "14", "mm", ""),
        (statement("", "L", "14", "mm"), "14,0", "mm", ""),
        (statement("", "L", "14", "mm"), "14 mm", "", ""),
        (statement("", "L", "14 mm", ""), "14", "mm", ""),
        (statement("", "L", "14", "mm"), "14", "", ""),
        (statement("", "L", "14", "mm"), "14", "cm", "14 mm"),
        (statement("", "L", "20", "mm"), "2.0", "cm", ""),
        (statement("", "L", "90", "umol/L"), "90", "µmol/L", ""),
        (statement("", "L", "150", "10*9/L"), "150", "10⁹/L", ""),
        (statement("", "L", "20", "mm"), "2,0 cm", "", ""),
        (statement("", "L", "1000", ""), "1e3", "", ""),
        (statement("", "L", "2026-08-29", ""), "29/08/2026", "", ""),
        (
            statement("", "L", "2026-08-29", ""),
            "30/08/2026",
            "",
            "2026-08-29",
        ),
        (statement("", "L", "false", ""), "Aucune", "", ""),
        (statement("", "L", "14", "mm"), "16", "mm", "14 mm"),
        (statement("", "L", "120", "mm[Hg]"), "120", "mmHg", ""),
        (statement("", "L", "1.5", "mm"), "1,5", "mm", ""),
        (statement("", "L", "-1", ""), "1", "", "-1"),
        (statement("", "L", "RE +", ""), "re  +", "", ""),
        (statement("", "L", "RE +", ""), "RE -", "", "RE +"),
        (statement("", "L", "RE -", ""), "RE", "", "RE -"),
        (statement("", "L", "T2", ""), "T2a", "", "T2"),
        (statement("", "L", "true", ""), "Oui", "", ""),
        (statement("", "L", "false", ""), "Oui", "", "Non"),
        (denied(""), "non", "", ""),
        (denied("true"), "Non", "", ""),
        (denied("métastase"), "Non : métastase", "", ""),
        (denied("métastase"), "métastase", "", "NON : métastase"),
        (denied(""), "oui", "", "NON"),
        (coded.clone(), "c34.1", "", ""),
        (coded, "Tumeur du sein", "", "Tumeur du poumon"),
        (planned, "y", "", "alone"),
        (statement("", "L", "", ""), "y", "", "alone"),
    ] {
        let document = form(vec![section("", "S", vec![document])]);
        let by_hand = vec![section("", "S", vec![statement("", "L", value, unit)])];
        let (together, differing) = together(&document, &by_hand);
        let found = together.sections[0].statements[1].by_hand.clone().unwrap();
        let expected = match expected {
            "" => ManualComparison::Same,
            "alone" => ManualComparison::Alone,
            other => ManualComparison::Differs(other.to_owned()),
        };
        assert_eq!(found, expected, "{document:?} {value} {unit}");
        assert_eq!(
            differing,
            usize::from(matches!(found, ManualComparison::Differs(_)))
        );
        assert_eq!(together.sections.len(), 1);
    }
}

#[test]
fn what_does_not_hold_takes_no_entry_away() {
    use crate::model::questionnaire::StatementParticipant;
    let yes = || statement("", "Métastase", "Oui", "");
    let subject = || StatementParticipant {
        role: "subject".to_owned(),
        ..StatementParticipant::default()
    };
    let within = |outer: Statement| Statement {
        statements: vec![yes()],
        ..outer
    };
    for (document, expected) in [
        (yes(), ManualComparison::Same),
        (
            Statement {
                status: some("nullified"),
                ..yes()
            },
            ManualComparison::Alone,
        ),
        (
            Statement {
                participants: vec![subject()],
                ..yes()
            },
            ManualComparison::Alone,
        ),
        (
            within(Statement {
                kind: "organizer".to_owned(),
                negated: true,
                ..Statement::default()
            }),
            ManualComparison::Alone,
        ),
    ] {
        let document = form(vec![section("", "S", vec![document])]);
        let (together, _) = together(&document, &[section("", "S", vec![yes()])]);
        let by_hand = together.sections[0].statements.last().unwrap();
        assert_eq!(by_hand.by_hand, Some(expected), "{document:?}");
    }
}

#[test]
fn what_is_meant_is_found_by_code_else_by_label() {
    let document = form(vec![
        Section {
            sections: vec![section(
                "8716-3",
                "Signes vitaux",
                vec![statement("P", "Poids", "70", "kg")],
            )],
            ..section("S1", "Examen", vec![statement("D", "Date", "2024", "")])
        },
        section(
            "",
            "Réponse à la chimiothérapie",
            vec![
                statement("", "Date", "2025", ""),
                statement("", "Cycle", "1", ""),
                statement("", "Cycle", "2", ""),
            ],
        ),
    ]);
    // The section, its code and title; the entry, its code, label and value; where it is put, and what is said of it.
    for (code, title, entry, label, value, number, expected) in [
        ("", "EXAMEN", "", "date", "2024", Some(0), "same"),
        ("", "examen", "", "Poids", "71", Some(0), "70 kg"),
        ("8716-3", "Autre titre", "", "Poids", "71", Some(1), "70 kg"),
        ("", "Autre", "P", "Poids mesuré", "71", None, "70 kg"),
        ("", "Autre", "X", "Poids", "71", None, "70 kg"),
        ("", "Autre", "", "Date", "2023", None, "2024 ; 2025"),
        (
            "",
            "Réponse à la chimiothérapie",
            "",
            "Date",
            "2024",
            Some(2),
            "2025",
        ),
        (
            "",
            "reponse a la chimiotherapie",
            "",
            "Cycle",
            "2",
            Some(2),
            "same",
        ),
        (
            "",
            "Réponse à la chimiothérapie",
            "",
            "Cycle",
            "3",
            Some(2),
            "1 ; 2",
        ),
        ("S9", "Examen", "", "Date", "2024", None, "same"),
        ("", "Examen", "", "Tabac", "non", Some(0), "alone"),
    ] {
        let by_hand = vec![section(
            code,
            title,
            vec![statement(entry, label, value, "")],
        )];
        let (together, _) = together(&document, &by_hand);
        let all = [
            &together.sections[0],
            &together.sections[0].sections[0],
            &together.sections[1],
        ];
        let placed = all
            .iter()
            .position(|section| section.statements.iter().any(|it| it.by_hand.is_some()));
        assert_eq!(placed, number, "{title} {label}");
        let section =
            number.map_or_else(|| together.sections.last().unwrap(), |number| all[number]);
        assert_eq!(section.by_hand, number.is_none());
        let found = section.statements.last().unwrap().by_hand.clone().unwrap();
        let expected = match expected {
            "same" => ManualComparison::Same,
            "alone" => ManualComparison::Alone,
            other => ManualComparison::Differs(other.to_owned()),
        };
        assert_eq!(found, expected, "{title} {label}");
    }
}

fn statements() -> impl Strategy<Value = Vec<Statement>> + Clone {
    let word = || prop::sample::select(vec!["", "A", "a", "é", "B"]);
    let value = prop::sample::select(vec!["", "1", "2", "oui", "non"]);
    let one = (word(), word(), value, prop::bool::ANY).prop_map(|(code, label, value, negated)| {
        Statement {
            negated,
            ..statement(code, label, value, "")
        }
    });
    prop::collection::vec(one, 0..4)
}

fn sections() -> impl Strategy<Value = Vec<Section>> {
    let word = || prop::sample::select(vec!["", "A", "a", "B"]);
    let leaf =
        (word(), word(), statements()).prop_map(|(code, title, it)| section(code, title, it));
    let nested = (leaf.clone(), prop::collection::vec(leaf, 0..3))
        .prop_map(|(outer, sections)| Section { sections, ..outer });
    prop::collection::vec(nested, 0..4)
}

fn all(sections: &[Section]) -> Vec<Statement> {
    let mut found = Vec::new();
    for section in sections {
        found.extend(section.statements.iter().cloned());
        found.extend(all(&section.sections));
    }
    found
}

proptest! {
    /// Neither takes anything away from the other, and each can be told again from what they make together.
    #[test]
    fn nothing_is_lost(document in sections(), mut by_hand in sections()) {
        for section in &mut by_hand {
            section.sections.clear();
            for statement in &mut section.statements {
                statement.negated = false;
            }
        }
        let document = form(document);
        let (both, differing) = together(&document, &by_hand);
        prop_assert_eq!(&of_document(&both), &document);
        let mut written: Vec<Statement> = all(&both.sections)
            .into_iter()
            .filter(|statement| statement.by_hand.is_some())
            .collect();
        let marked = written.iter().filter(|it| matches!(it.by_hand, Some(ManualComparison::Differs(_)))).count();
        prop_assert_eq!(marked, differing);
        for statement in &mut written {
            statement.by_hand = None;
        }
        let sorted = |mut all: Vec<Statement>| { all.sort_by_key(|it| format!("{it:?}")); all };
        prop_assert_eq!(sorted(written), sorted(all(&by_hand)));
    }
}
