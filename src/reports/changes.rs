//! What has changed since the version of a report that another one takes the place of, in words (interface.md 8).

use std::collections::BTreeMap;

use super::excerpt::{self, Omissions};
use super::frcp::{NarrativePart, SectionBlock};
use super::questionnaire;
use crate::intake::PreviousReport;
use crate::model::shown::ReportPart;

/// So many elements of the questionnaire are named; all of them stand in it.
const MOST: usize = 6;

/// The parts that are other ones now; of the questionnaire, its elements.
pub(super) fn in_words(former: &PreviousReport, sections: &[SectionBlock]) -> Vec<String> {
    let words = former.changed.iter().map(|part| match part {
        ReportPart::Questionnaire => of_questionnaire(former, sections),
        part => part.words().to_owned(),
    });
    words.collect()
}

fn of_questionnaire(former: &PreviousReport, sections: &[SectionBlock]) -> String {
    let word = ReportPart::Questionnaire.words();
    let Some(before) = &former.questionnaire else {
        return word.to_owned();
    };
    let cut = &mut Omissions::default();
    let before = questionnaire::sections(&excerpt::questionnaire(before, cut), cut);
    let mut names = changed(&before, sections);
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    if more > 0 {
        names.push(match more {
            1 => "et un autre élément".to_owned(),
            more => format!("et {more} autres éléments"),
        });
    }
    match names.is_empty() {
        true => word.to_owned(),
        false => format!("{word} ({})", names.join(", ")),
    }
}

/// The names of what stands in one and not in the other, each once: first what is there now, then what is not any more.
fn changed(before: &[SectionBlock], after: &[SectionBlock]) -> Vec<String> {
    let (before, after) = (statements(before), statements(after));
    let mut counts: BTreeMap<&(String, String), i64> = BTreeMap::new();
    for one in &after {
        *counts.entry(one).or_default() += 1;
    }
    for one in &before {
        *counts.entry(one).or_default() -= 1;
    }
    let is_new = |one: &&(String, String)| counts.get(one).is_some_and(|count| *count > 0);
    let is_gone = |one: &&(String, String)| counts.get(one).is_some_and(|count| *count < 0);
    let mut names: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let new = after.iter().filter(is_new);
    for (name, _) in new.chain(before.iter().filter(is_gone)) {
        if !name.is_empty() && known.insert(name.clone()) {
            names.push(name.clone());
        }
    }
    names
}

/// Everything that sections say: the name of each element, and what it says.
fn statements(sections: &[SectionBlock]) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for section in sections {
        let title = match section.title.is_empty() {
            true => section.code.clone().unwrap_or_default(),
            false => section.title.clone(),
        };
        for row in &section.rows {
            let qualifier = row.qualifier.as_deref().unwrap_or_default();
            let value = format!("{title}\n{}\n{qualifier}\n{}", row.value, row.depth);
            said.push((row.label.clone(), value));
        }
        let narrated = section.narrative.iter().map(|part| match part {
            NarrativePart::Line(line) => line.clone(),
            NarrativePart::Table { head, rows } => format!("{head:?}{rows:?}"),
        });
        said.extend(narrated.map(|text| (title.clone(), text)));
        said.extend(
            section
                .figures
                .iter()
                .map(|figure| (title.clone(), figure.caption.clone())),
        );
        said.append(&mut self::statements(&section.sections));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::super::frcp::StatementRow;
    use super::*;

    fn section(title: &str, rows: &[(&str, &str)], narrative: Option<&str>) -> SectionBlock {
        let row = |(label, value): &(&str, &str)| StatementRow {
            label: (*label).to_owned(),
            value: (*value).to_owned(),
            ..StatementRow::default()
        };
        SectionBlock {
            title: title.to_owned(),
            rows: rows.iter().map(row).collect(),
            narrative: narrative
                .map(|text| NarrativePart::Line(text.to_owned()))
                .into_iter()
                .collect(),
            ..SectionBlock::default()
        }
    }

    #[test]
    fn what_changed_is_named_once_by_its_label() {
        let before = [
            section("Tumeur", &[("Stade", "II"), ("Grade", "1")], Some("texte")),
            section("Antécédents", &[], Some("aucun")),
        ];
        for (after, expected) in [
            (before.to_vec(), &[][..]),
            (
                vec![
                    section("Tumeur", &[("Stade", "III"), ("Grade", "1")], Some("texte")),
                    section("Antécédents", &[], Some("aucun")),
                ],
                &["Stade"],
            ),
            (
                vec![
                    section("Tumeur", &[("Stade", "II"), ("Taille", "3")], Some("texte")),
                    section("Antécédents", &[], Some("diabète")),
                ],
                &["Taille", "Antécédents", "Grade"],
            ),
            (
                vec![section(
                    "Tumeur",
                    &[("Stade", "II"), ("Stade", "III")],
                    Some("texte"),
                )],
                &["Stade", "Antécédents", "Grade"][..],
            ),
        ] {
            let mut names = changed(&before, &after);
            let mut expected = expected.to_vec();
            names.sort();
            expected.sort_unstable();
            assert_eq!(names, expected);
        }
    }
}
