//! What the desk wrote of a form by hand beside what a document says (interface.md 5, "By hand").
//!
//! Neither takes anything away from the other: what both say differently is shown twice, and says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use crate::model::meaning::Meaning;
use crate::model::name;
use crate::model::outcome::{Warning, WarningCode};
use crate::model::questionnaire::{ManualComparison, Questionnaire, Section, Statement};

/// A label of a document that is longer than this is nobody's who writes by hand.
const LONGEST_LABEL: usize = 2_000;
/// Of what the document says otherwise, so many values are named.
const MOST_NAMED: usize = 3;

/// What a document says with what was written by hand, and how many entries of the latter say otherwise.
pub(super) fn together(document: &Questionnaire, by_hand: &[Section]) -> (Questionnaire, usize) {
    let said = DocumentStatements::of(document, by_hand);
    let mut together = document.clone();
    let mut joining: BTreeMap<usize, Vec<Statement>> = BTreeMap::new();
    let mut differing = 0;
    for section in by_hand {
        let found = said.section(section);
        let mut statements = Vec::with_capacity(section.statements.len());
        for statement in &section.statements {
            let compared = said.compare(statement, found);
            differing += usize::from(matches!(compared, ManualComparison::Differs(_)));
            statements.push(Statement {
                by_hand: Some(compared),
                ..statement.clone()
            });
        }
        match found {
            Some(number) => joining.entry(number).or_default().append(&mut statements),
            None => together.sections.push(Section {
                statements,
                by_hand: true,
                ..section.clone()
            }),
        }
    }
    let of_document = together.sections.iter_mut().take(document.sections.len());
    join(of_document, &mut 0, &mut joining);
    (together, differing)
}

/// A form without what was written by hand.
pub(super) fn of_document(form: &Questionnaire) -> Questionnaire {
    fn without(sections: &[Section]) -> Vec<Section> {
        let of_document = sections.iter().filter(|section| !section.by_hand);
        of_document
            .map(|section| {
                let mut kept = section.clone();
                kept.statements.retain(|it| it.by_hand.is_none());
                kept.sections = without(&section.sections);
                kept
            })
            .collect()
    }
    Questionnaire {
        sections: without(&form.sections),
        other: form.other.clone(),
        further: form.further.clone(),
        cut: form.cut,
    }
}

/// Warns that so many entries say otherwise than the document.
pub(super) fn warn_of_difference(differing: usize) -> Option<Warning> {
    (differing > 0).then(|| {
        Warning::new(
            WarningCode::QuestionnaireDiffers,
            format!(
                "expected that what was written by hand and the document say the same, found {differing} entries that say otherwise: both are shown, and marked"
            ),
        )
    })
}

/// Adds statements to the sections of these numbers, counted as they stand in the document.
fn join<'s>(
    sections: impl Iterator<Item = &'s mut Section>,
    number: &mut usize,
    joining: &mut BTreeMap<usize, Vec<Statement>>,
) {
    for section in sections {
        if let Some(mut statements) = joining.remove(number) {
            section.statements.append(&mut statements);
        }
        *number += 1;
        join(section.sections.iter_mut(), number, joining);
    }
}

/// What a document says of what was written by hand, by what it is about.
#[derive(Default)]
struct DocumentStatements<'d> {
    sections: Vec<ComparedSection<'d>>,
    statements: Vec<ComparedStatement>,
    by_code: HashMap<&'d str, Vec<usize>>,
    by_label: HashMap<String, Vec<usize>>,
}

struct ComparedSection<'d> {
    code: Option<&'d str>,
    /// As names are compared.
    titles: Vec<String>,
    /// Its number, and those of the sections in it.
    numbers: Range<usize>,
}

/// A statement, made ready once to be compared with many.
struct ComparedStatement {
    /// The number of the section that it stands in.
    section: usize,
    compared: Comparable,
    words: String,
}

/// The codes and labels that were written by hand; the latter as names are compared.
#[derive(Default)]
struct ManualKeys<'h> {
    codes: HashSet<&'h str>,
    labels: HashSet<String>,
}

impl<'d> DocumentStatements<'d> {
    fn of(document: &'d Questionnaire, by_hand: &[Section]) -> Self {
        let mut asked = ManualKeys::default();
        for statement in by_hand.iter().flat_map(|section| &section.statements) {
            asked.codes.extend(statement.code.as_deref());
            asked.labels.insert(label_of(statement));
        }
        let mut said = Self::default();
        said.take_sections(&document.sections, &asked);
        said
    }

    fn take_sections(&mut self, sections: &'d [Section], asked: &ManualKeys<'_>) {
        for section in sections {
            let number = self.sections.len();
            let titles = [&section.title, &section.label].into_iter().flatten();
            let titles = titles.filter(|it| it.len() <= LONGEST_LABEL);
            self.sections.push(ComparedSection {
                code: section.code.as_deref(),
                titles: titles.map(|it| name::fold(it)).collect(),
                numbers: number..number + 1,
            });
            self.take_statements(number, &section.statements, true, asked);
            self.take_sections(&section.sections, asked);
            let end = self.sections.len();
            if let Some(own) = self.sections.get_mut(number) {
                own.numbers.end = end;
            }
        }
    }

    fn take_statements(
        &mut self,
        section: usize,
        statements: &'d [Statement],
        holds: bool,
        asked: &ManualKeys<'_>,
    ) {
        for statement in statements {
            if holds && statement.holds() && is_assertion(statement) {
                let code = statement.code.as_deref();
                let code = code.filter(|code| asked.codes.contains(code));
                let is_short = |label: &&String| label.len() <= LONGEST_LABEL;
                let label = statement.label.as_ref().filter(is_short);
                let label = label.map(|_| label_of(statement));
                let label = label.filter(|label| asked.labels.contains(label));
                if code.is_some() || label.is_some() {
                    let number = self.statements.len();
                    self.statements.push(ComparedStatement {
                        section,
                        compared: Comparable::of(statement),
                        words: words(statement),
                    });
                    if let Some(code) = code {
                        self.by_code.entry(code).or_default().push(number);
                    }
                    if let Some(label) = label {
                        self.by_label.entry(label).or_default().push(number);
                    }
                }
            }
            let holds = holds && statement.lets_hold();
            self.take_statements(section, &statement.statements, holds, asked);
        }
    }

    /// The number of the section that is the same: that of its code, else of its title.
    fn section(&self, by_hand: &Section) -> Option<usize> {
        let title = name::fold(by_hand.title.as_deref().unwrap_or_default());
        let is_it = |section: &&ComparedSection<'_>| match (by_hand.code.as_deref(), section.code) {
            (Some(own), Some(code)) => own == code,
            _ => section.titles.contains(&title),
        };
        let found = self.sections.iter().find(is_it)?;
        Some(found.numbers.start)
    }

    /// What the document says of this: under its code anywhere, else under its label in its section, or anywhere where
    /// the document has no such section.
    fn compare(&self, by_hand: &Statement, section: Option<usize>) -> ManualComparison {
        let of_code = by_hand.code.as_deref().and_then(|it| self.by_code.get(it));
        let numbers = match (
            of_code,
            section.and_then(|number| self.sections.get(number)),
        ) {
            (None, Some(section)) => section.numbers.clone(),
            _ => 0..usize::MAX,
        };
        let found = of_code.or_else(|| self.by_label.get(&label_of(by_hand)));
        let found = found.into_iter().flatten();
        let found = found.filter_map(|number| self.statements.get(*number));
        let mut found = found.filter(|it| numbers.contains(&it.section)).peekable();
        if found.peek().is_none() {
            return ManualComparison::Alone;
        }
        let written = Comparable::of(by_hand);
        let mut said: Vec<&str> = Vec::new();
        for statement in found {
            if written.is_same(&statement.compared) {
                return ManualComparison::Same;
            }
            if said.len() < MOST_NAMED && !said.contains(&statement.words.as_str()) {
                said.push(&statement.words);
            }
        }
        ManualComparison::Differs(said.join(" ; "))
    }
}

/// The label of a statement as names are compared.
fn label_of(statement: &Statement) -> String {
    name::fold(statement.label.as_deref().unwrap_or_default())
}

/// Whether it says that something is, or is not, so: what is asked for or planned does not.
fn is_assertion(statement: &Statement) -> bool {
    matches!(statement.mood.as_deref(), None | Some("EVN"))
        && (statement.negated || statement.value.is_some())
}

fn with_unit(statement: &Statement) -> String {
    let value = statement.value.as_deref().unwrap_or_default();
    match &statement.unit {
        Some(unit) => format!("{value} {unit}"),
        None => value.to_owned(),
    }
}

/// What a statement says, as a person reads it.
fn words(statement: &Statement) -> String {
    let value = match statement.value.as_deref() {
        Some("true") => "Oui".to_owned(),
        Some("false") => "Non".to_owned(),
        _ => with_unit(statement),
    };
    match (statement.negated, value.as_str()) {
        (true, "" | "Oui") => "NON".to_owned(),
        (true, value) => format!("NON : {value}"),
        (false, value) => value.to_owned(),
    }
}

/// What a statement says, as it is compared. Signs count, and so do accents; how a number, a unit, a
/// date or a yes is written does not.
struct Comparable {
    negated: bool,
    value: Option<String>,
    value_code: Option<String>,
    unit: Option<String>,
    /// The value with its unit, whichever of them the unit was written in.
    whole: String,
    /// What that means.
    meaning: Option<Meaning>,
}

impl Comparable {
    fn of(statement: &Statement) -> Self {
        let value = statement.value.as_deref().map(comparable);
        let unit = statement.unit.as_deref();
        let whole = [value.as_deref(), unit].map(Option::unwrap_or_default);
        Self {
            negated: statement.negated,
            value_code: statement.value_code.as_deref().map(comparable),
            unit: unit.map(comparable_unit),
            meaning: Meaning::of(&with_unit(statement)),
            whole: comparable_unit(&whole.join(" ")),
            value,
        }
    }

    /// Whether what was written by hand is the same as what the document says.
    fn is_same(&self, document: &Self) -> bool {
        let written = self.value.as_deref().unwrap_or_default();
        let value = document.value.as_deref();
        if document.negated {
            return match value.filter(|value| *value != "oui") {
                None => written == "non",
                Some(value) => written.strip_prefix("non : ") == Some(value),
            };
        }
        let Some(value) = value else {
            return false;
        };
        if let (Some(own), Some(meaning)) = (&self.meaning, &document.meaning)
            && own.is_covered_by(meaning)
        {
            return true;
        }
        match (&self.unit, &document.unit) {
            // Either may have written the unit behind the value, or the desk none.
            (None, Some(_)) => written == value || self.whole == document.whole,
            (Some(own), Some(unit)) => written == value && own == unit,
            (Some(_), None) => self.whole == document.whole,
            (None, None) => written == value || document.value_code.as_deref() == Some(written),
        }
    }
}

/// A value as it is compared.
fn comparable(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.to_lowercase();
    match words.as_str() {
        "true" | "vrai" | "yes" => return "oui".to_owned(),
        "false" | "faux" | "no" => return "non".to_owned(),
        _ => {}
    }
    let number = words.replace(',', ".");
    let is_number = number.bytes().any(|byte| byte.is_ascii_digit())
        && number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    match number.parse::<f64>() {
        Ok(number) if is_number => number.to_string(),
        _ => words,
    }
}

/// A unit as it is compared: without what only the units of HL7 have (`mm[Hg]`, `10*9/L`), and with the letters that
/// these have for signs (`umol/L`).
fn comparable_unit(unit: &str) -> String {
    let plain = |letter: char| match letter {
        'µ' | 'μ' => 'u',
        '⁰' => '0',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁴'..='⁹' => (letter as u32)
            .checked_sub('⁴' as u32)
            .and_then(|above| char::from_digit(above + 4, 10))
            .unwrap_or(letter),
        other => other,
    };
    let letters = unit.chars().filter(|letter| {
        !letter.is_whitespace() && !matches!(letter, '[' | ']' | '{' | '}' | '*' | '^')
    });
    let letters = letters.map(plain);
    letters.collect::<String>().to_lowercase().replace(',', ".")
}

#[cfg(test)]
mod tests;
