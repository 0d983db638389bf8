//! A form that is filled by hand: what the command `questionnaire` may hold, and the same as a table (interface.md 7).

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Questionnaire;
use super::csv::{Table, bad_csv};
use crate::intake::form::{of_document, together, warn_of_difference};
use crate::intake::{Decision, scheduling};
use crate::model::case::Case;
use crate::model::change::Record;
use crate::model::outcome::{Reason, Refusal, Verdict};
use crate::model::questionnaire::{FilledQuestionnaire, ManualForm, Section, Statement};

/// The columns of a table.
const COLUMNS: [&str; 6] = ["section", "section_code", "label", "code", "value", "unit"];
/// So many sections and entries, and so many characters in all: what is written by hand fits into a report whole.
const MOST_SECTIONS: usize = 50;
const MOST_ENTRIES: usize = 400;
const MOST_CHARACTERS: usize = 40_000;
/// So many characters of a code or a unit, and of a label.
const LONGEST_CODE: usize = 100;
const LONGEST_LABEL: usize = 300;

/// A section that somebody wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormSection {
    /// Its code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it is called.
    pub label: String,
    /// What stands in it.
    pub entries: Vec<FormEntry>,
}

/// An entry that somebody wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormEntry {
    /// Its code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it is about.
    pub label: String,
    /// What it says; nothing where that is left empty.
    #[serde(deserialize_with = "value")]
    pub value: String,
    /// The unit of what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A text, or a number or a yes as programs write them.
fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(true) => Ok("Oui".to_owned()),
        Value::Bool(false) => Ok("Non".to_owned()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(serde::de::Error::custom(
            "expected a text, a number, true or false as `value`",
        )),
    }
}

/// The sections of a command, without the entries that say nothing. No section takes away what was written before.
pub(super) fn sections(command: &Questionnaire) -> Result<Vec<Section>, Refusal> {
    let mut room = MOST_CHARACTERS;
    let mut entries = 0;
    let mut sections = Vec::new();
    for (number, section) in (1..).zip(&command.sections) {
        let place = format!("section {number}");
        let mut text = |text: &str, key: &str, place: &str, most: usize| {
            let (text, length) = (text.trim(), text.trim().chars().count());
            room = room.checked_sub(length).ok_or_else(|| {
                bad(format!(
                    "expected at most {MOST_CHARACTERS} characters in all, found more"
                ))
            })?;
            match length > most {
                true => Err(bad(format!(
                    "expected at most {most} characters as `{key}` of {place}, found {length}"
                ))),
                false => Ok((length > 0).then(|| text.to_owned())),
            }
        };
        let code = section.code.as_deref().unwrap_or_default();
        let code = text(code, "code", &place, LONGEST_CODE)?;
        let title = text(&section.label, "label", &place, LONGEST_LABEL)?;
        if title.is_none() && code.is_none() {
            return Err(bad(format!(
                "expected what {place} is called as `label`, found nothing"
            )));
        }
        let mut statements = Vec::new();
        for (number, entry) in (1..).zip(&section.entries) {
            let place = format!("entry {number} of {place}");
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            let statement = Statement {
                kind: "observation".to_owned(),
                code: text(&optional(&entry.code), "code", &place, LONGEST_CODE)?,
                label: text(&entry.label, "label", &place, LONGEST_LABEL)?,
                value: text(&entry.value, "value", &place, MOST_CHARACTERS)?,
                unit: text(&optional(&entry.unit), "unit", &place, LONGEST_CODE)?,
                ..Statement::default()
            };
            if statement.value.is_none() {
                continue;
            }
            if statement.label.is_none() {
                return Err(bad(format!(
                    "expected what {place} is about as `label`, found nothing"
                )));
            }
            statements.push(statement);
        }
        entries += statements.len();
        if !statements.is_empty() {
            sections.push(Section {
                code,
                title,
                statements,
                ..Section::default()
            });
        }
    }
    if sections.len() > MOST_SECTIONS || entries > MOST_ENTRIES {
        return Err(bad(format!(
            "expected at most {MOST_SECTIONS} sections and {MOST_ENTRIES} entries, found {} and {entries}",
            sections.len()
        )));
    }
    if sections.is_empty() && !command.sections.is_empty() {
        return Err(bad(
            "expected at least one entry with a `value`, found none; an empty list of `sections` takes away what was written by hand",
        ));
    }
    Ok(sections)
}

/// Fills the form of a case by hand: what the document of the case says stays, and so do former versions.
pub(super) fn fill(
    mut case: Case,
    former: Option<FilledQuestionnaire>,
    sections: Vec<Section>,
    time: DateTime<Utc>,
) -> Decision<'static> {
    let by_hand = former.as_ref().and_then(|former| former.by_hand.as_ref());
    if by_hand.map_or(&[][..], |by_hand| &by_hand.sections) == sections {
        return Decision::unchanged(Verdict::Duplicate);
    }
    let document = former
        .as_ref()
        .map(|former| of_document(&former.questionnaire))
        .unwrap_or_default();
    let (questionnaire, differing) = together(&document, &sections);
    let mut decision = Decision::unchanged(Verdict::Updated);
    decision.warnings.extend(warn_of_difference(differing));
    let what = match (by_hand, sections.is_empty()) {
        (_, true) => "what was written by hand is taken away",
        (None, _) => "questionnaire filled by hand",
        (Some(_), _) => "questionnaire filled by hand anew",
    };
    scheduling::add_history(&mut decision, &case, what.to_owned());
    let filled = FilledQuestionnaire {
        facility: case.facility.clone(),
        case: case.id.clone(),
        number: former.as_ref().map_or(0, |it| it.number).saturating_add(1),
        filled_by: former.as_ref().and_then(|it| it.filled_by.clone()),
        time: former.as_ref().and_then(|former| former.time),
        by_hand: (!sections.is_empty()).then_some(ManualForm { time, sections }),
        questionnaire,
    };
    case.has_questionnaire = filled.filled_by.is_some() || filled.by_hand.is_some();
    // Nothing is compared with it before the case was completed.
    let is_reported = case.completion.is_some();
    case.form = is_reported.then(|| filled.questionnaire.hash());
    decision.put(former.map(|former| Record::FormerQuestionnaire(Box::new(former))));
    decision.put([Record::Questionnaire(Box::new(filled)), Record::Case(case)]);
    decision
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadCommand, message)
}

/// The sections of a table, in UTF-8 or as spreadsheets save it on Windows. Lines of one section need not stand
/// together; an empty cell in the column of the sections repeats the one above.
pub fn from_csv(bytes: &[u8]) -> Result<Vec<FormSection>, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            encoding_rs::WINDOWS_1252
                .decode_without_bom_handling(bytes)
                .0
        }
    };
    let table = Table::open(&text, &COLUMNS, "label")?;
    let mut sections: Vec<FormSection> = Vec::new();
    let mut current = 0;
    for row in table.rows {
        let row = row?;
        let cell = |column: &str| row.cell(column).unwrap_or_default().to_owned();
        let some = |column: &str| Some(cell(column)).filter(|cell| !cell.is_empty());
        let (label, code) = (cell("section"), some("section_code"));
        if !label.is_empty() || code.is_some() {
            let is_it = |section: &FormSection| section.label == label && section.code == code;
            current = match sections.iter().position(is_it) {
                Some(known) => known,
                None => {
                    sections.push(FormSection {
                        code,
                        label,
                        entries: Vec::new(),
                    });
                    sections.len() - 1
                }
            };
        }
        let Some(section) = sections.get_mut(current) else {
            return Err(row.refuse(
                "section",
                "expected the section of the entry, found nothing",
            ));
        };
        let (label, value) = (cell("label"), cell("value"));
        if label.is_empty() && !value.is_empty() {
            return Err(row.refuse("label", "expected what the entry is about, found nothing"));
        }
        if !label.is_empty() {
            section.entries.push(FormEntry {
                code: some("code"),
                label,
                value,
                unit: some("unit"),
            });
        }
        if sections.len() > MOST_SECTIONS {
            let most = format!("expected at most {MOST_SECTIONS} sections, found more");
            return Err(bad_csv(most, row.line, Some("section")));
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        match from_csv(bytes) {
            Err(refusal) => format!("{}: {}", refusal.place.unwrap().shown, refusal.message),
            Ok(sections) => {
                let texts = sections.iter().map(|section| {
                    let entries = section.entries.iter().map(|entry| {
                        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
                        let (code, unit) = (optional(&entry.code), optional(&entry.unit));
                        format!("{}/{code}={}{unit}", entry.label, entry.value)
                    });
                    let code = section.code.clone().unwrap_or_default();
                    format!(
                        "{}/{code}: {}",
                        section.label,
                        entries.collect::<Vec<_>>().join(", ")
                    )
                });
                texts.collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn a_table_is_read_as_spreadsheets_save_it() {
        for (bytes, expected) in [
            (
                &b"section,label,code,value\nExamen,Poids,P,70\nExamen,Taille,,1.7"[..],
                "Examen/: Poids/P=70, Taille/=1.7",
            ),
            (
                "\u{feff}section;label;code;value;unit\r\nHémato;Hb;;\"13,5\";g/dL\r\n".as_bytes(),
                "Hémato/: Hb/=13,5g/dL",
            ),
            (
                b"section;label;code;value\nH\xe9mato;Tol\xe9rance;;\xab bonne \xbb",
                "Hémato/: Tolérance/=« bonne »",
            ),
            (
                b"label;value;section;section_code\nA;1;S;C1\nB;2;;\nC;3;T;\nD;4;S;C1\n;;;\n",
                "S/C1: A/=1, B/=2, D/=4; T/: C/=3",
            ),
            (
                b"section,label,value\nS,\"Un, deux\",\"a\n\"\"b\"\"\"",
                "S/: Un, deux/=a\n\"b\"",
            ),
            (b"section,label,value\nS,A,\nS,,", "S/: A/="),
            (
                b"section,label,value\n,A,1",
                "line 2, column section: expected the section of the entry, found nothing",
            ),
            (
                b"section,label,value\nS,,1",
                "line 2, column label: expected what the entry is about, found nothing",
            ),
            (
                b"section,value\nS,1",
                "line 1, column label: expected a header line with a column label",
            ),
            (
                b"section,label,amount\nS,A,1",
                "line 1, column amount: expected the columns section, section_code, label, code, value, unit, found another",
            ),
            (b"", "line 1: expected a header line, found an empty file"),
        ] {
            assert_eq!(shown(bytes), expected);
        }
    }
}
