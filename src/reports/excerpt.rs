//! What of a case its PDF shows: all of it, up to a bound that no form of a patient comes near.
//!
//! A form may be as large as a message (`intake.max_file`), and its PDF would have ten thousand pages. What is cut is
//! said in the PDF at its place, and by a warning of the `complete`; the CDA that filled the questionnaire stays whole
//! among the documents of the case.

use super::questionnaire::leads_nowhere;
use crate::model::questionnaire::{
    Concept, Consumable, Participant, Qualifier, Quantity, Questionnaire, Section, Site, Statement,
};

/// So many characters of one text are shown.
pub const LONGEST_TEXT: usize = 20_000;
/// So many characters of a whole questionnaire are shown.
pub const LONGEST_FORM: usize = 100_000;
/// So many characters of a name, a label or an id are shown.
pub const LONGEST_NAME: usize = 500;
/// So many entries of a list that belongs to one statement.
const LONGEST_LIST: usize = 200;
/// What takes room on the page counts as so many characters, however short it is: a line, a statement, a section.
const LINE: usize = 50;
const STATEMENT: usize = 100;
const SECTION: usize = 200;

/// What a PDF does not show.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Characters of the questionnaire's texts.
    pub characters: usize,
    /// Statements, sections and their parts.
    pub elements: usize,
    /// Characters of names, labels and ids.
    pub of_names: usize,
}

/// What is shown of this questionnaire.
pub fn questionnaire(whole: &Questionnaire, cut: &mut Cut) -> Questionnaire {
    let mut room = Room {
        left: LONGEST_FORM,
        cut,
    };
    Questionnaire {
        sections: room.sections(&whole.sections),
        other: None,
    }
}

/// What is shown of a name, a label or an id.
pub fn name(text: &str, cut: &mut Cut) -> String {
    let Some((shown, rest)) = split(text, LONGEST_NAME) else {
        return text.to_owned();
    };
    let rest = rest.chars().count();
    cut.of_names += rest;
    format!("{shown}… [coupé ici : encore {} caractères]", grouped(rest))
}

/// Cuts a text that takes more room than this.
fn split(text: &str, most: usize) -> Option<(&str, &str)> {
    // Each character takes a byte at least, and counts as a line at most.
    if text.len().saturating_mul(LINE) <= most {
        return None;
    }
    let (mut taken, mut in_line) = (0_usize, 0_usize);
    for (at, character) in text.char_indices() {
        let is_end = matches!(
            character,
            '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        taken += match is_end {
            true => LINE.saturating_sub(std::mem::take(&mut in_line)).max(1),
            false => 1,
        };
        in_line += usize::from(!is_end);
        if taken > most {
            return text.split_at_checked(at);
        }
    }
    None
}

/// What a text takes that is not cut.
fn room_of(text: &str) -> usize {
    let lines = text.split(['\n', '\r']);
    lines.map(|line| line.chars().count().max(LINE)).sum()
}

/// A number with its thousands apart, as in French.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202F}');
        }
        grouped.push(digit);
    }
    grouped
}

/// The room that is left in a PDF.
struct Room<'c> {
    left: usize,
    cut: &'c mut Cut,
}

impl Room<'_> {
    fn text(&mut self, text: &str) -> String {
        match split(text, LONGEST_TEXT.min(self.left)) {
            None => {
                self.left = self.left.saturating_sub(room_of(text));
                text.to_owned()
            }
            Some((shown, rest)) => {
                self.left = self.left.saturating_sub(LONGEST_TEXT);
                let rest = rest.chars().count();
                self.cut.characters += rest;
                format!(
                    "{shown}… [coupé ici : encore {} caractères, à lire dans le document CDA du dossier]",
                    grouped(rest)
                )
            }
        }
    }

    fn some(&mut self, text: &Option<String>) -> Option<String> {
        text.as_deref().map(|text| self.text(text))
    }

    /// The first entries of a list; the others are counted.
    fn list<T>(
        &mut self,
        list: &[T],
        left_out: &mut usize,
        mut one: impl FnMut(&mut Self, &T) -> T,
    ) -> Vec<T> {
        let mut shown = Vec::new();
        for entry in list {
            if shown.len() >= LONGEST_LIST || self.left == 0 {
                break;
            }
            self.left = self.left.saturating_sub(LINE);
            shown.push(one(self, entry));
        }
        *left_out += list.len() - shown.len();
        shown
    }

    /// Says that so many elements are not shown.
    fn leave_out(&mut self, count: usize) -> String {
        self.cut.elements += count;
        format!(
            "Coupé ici : encore {} éléments, à lire dans le document CDA du dossier",
            grouped(count)
        )
    }

    fn sections(&mut self, sections: &[Section]) -> Vec<Section> {
        let mut shown = Vec::new();
        let mut rest = sections.iter();
        for section in rest.by_ref() {
            if self.left == 0 {
                let count = count_section(section) + rest.map(count_section).sum::<usize>();
                shown.push(Section {
                    title: Some("Coupé ici".to_owned()),
                    text: Some(self.leave_out(count)),
                    ..Section::default()
                });
                break;
            }
            self.left = self.left.saturating_sub(SECTION);
            shown.push(self.section(section));
        }
        shown
    }

    fn section(&mut self, section: &Section) -> Section {
        let mut left_out = 0;
        let mut shown = Section {
            code: self.some(&section.code),
            label: self.some(&section.label),
            title: self.some(&section.title),
            statements: self.statements(&section.statements),
            text: self.some(&section.text),
            participants: self.list(&section.participants, &mut left_out, Self::participant),
            ..Section::default()
        };
        if left_out > 0 {
            let said = self.leave_out(left_out);
            shown.text = Some(with_line(shown.text, said));
        }
        shown.sections = self.sections(&section.sections);
        shown
    }

    fn statements(&mut self, statements: &[Statement]) -> Vec<Statement> {
        let mut shown = Vec::new();
        let mut rest = statements.iter();
        for statement in rest.by_ref() {
            if self.left == 0 {
                let count = count_statement(statement) + rest.map(count_statement).sum::<usize>();
                shown.push(Statement {
                    label: Some("Coupé ici".to_owned()),
                    value: Some(self.leave_out(count)),
                    ..Statement::default()
                });
                break;
            }
            self.left = self.left.saturating_sub(STATEMENT);
            shown.push(self.statement(statement));
        }
        shown
    }

    fn statement(&mut self, statement: &Statement) -> Statement {
        let mut left_out = 0;
        // Of the codes, only what was written before a value was coded is shown.
        let written = statement.codes.iter();
        let written = written.filter(|code| code.role == "value" && code.text.is_some());
        let written: Vec<Concept> = written.take(LONGEST_LIST + 1).cloned().collect();
        let mut shown = Statement {
            kind: self.text(&statement.kind),
            mood: self.some(&statement.mood),
            status: self.some(&statement.status),
            code: self.some(&statement.code),
            label: self.some(&statement.label),
            value: self.some(&statement.value),
            value_code: self.some(&statement.value_code),
            value_type: statement.value_type.clone(),
            unit: self.some(&statement.unit),
            time: self.some(&statement.time),
            negated: statement.negated,
            priority: self.some(&statement.priority),
            site: statement.site.as_ref().map(|site| self.site(site)),
            more_sites: self.list(&statement.more_sites, &mut left_out, Self::site),
            interpretation: self.some(&statement.interpretation),
            method: self.some(&statement.method),
            qualifiers: self.list(&statement.qualifiers, &mut left_out, Self::qualifier),
            null_flavor: self.some(&statement.null_flavor),
            consumable: statement.consumable.as_ref().map(|it| Consumable {
                code: self.some(&it.code),
                label: self.some(&it.label),
                name: self.some(&it.name),
            }),
            quantities: self.list(&statement.quantities, &mut left_out, |room, it| Quantity {
                role: it.role.clone(),
                value: room.text(&it.value),
                unit: room.some(&it.unit),
            }),
            participants: self.list(&statement.participants, &mut left_out, Self::participant),
            codes: self.list(&written, &mut left_out, Self::concept),
            text: self.some(&statement.text),
            ..Statement::default()
        };
        if left_out > 0 {
            let said = self.leave_out(left_out);
            let text = shown.text.take().filter(|text| !leads_nowhere(text));
            shown.text = Some(with_line(text, said));
        }
        shown.statements = self.statements(&statement.statements);
        shown
    }

    fn site(&mut self, site: &Site) -> Site {
        Site {
            code: self.some(&site.code),
            label: self.some(&site.label),
            laterality: self.some(&site.laterality),
        }
    }

    fn concept(&mut self, concept: &Concept) -> Concept {
        Concept {
            role: concept.role.clone(),
            code: self.some(&concept.code),
            label: self.some(&concept.label),
            text: self.some(&concept.text),
            ..Concept::default()
        }
    }

    fn qualifier(&mut self, qualifier: &Qualifier) -> Qualifier {
        Qualifier {
            of: qualifier.of.clone(),
            name: qualifier.name.as_ref().map(|name| self.concept(name)),
            value: qualifier.value.as_ref().map(|value| self.concept(value)),
        }
    }

    fn participant(&mut self, participant: &Participant) -> Participant {
        Participant {
            role: participant.role.clone(),
            label: self.some(&participant.label),
            name: self.some(&participant.name),
            organization: self.some(&participant.organization),
            time: self.some(&participant.time),
            ..Participant::default()
        }
    }
}

fn with_line(text: Option<String>, line: String) -> String {
    match text {
        Some(text) => format!("{text}\n{line}"),
        None => line,
    }
}

fn count_section(section: &Section) -> usize {
    let statements: usize = section.statements.iter().map(count_statement).sum();
    let sections: usize = section.sections.iter().map(count_section).sum();
    1 + statements + sections
}

fn count_statement(statement: &Statement) -> usize {
    let inner: usize = statement.statements.iter().map(count_statement).sum();
    1 + inner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(statements: Vec<Statement>) -> Questionnaire {
        Questionnaire {
            sections: vec![Section {
                title: Some("Bilan".to_owned()),
                statements,
                ..Section::default()
            }],
            other: None,
        }
    }

    fn shown(whole: &Questionnaire) -> (Questionnaire, Cut) {
        let mut cut = Cut::default();
        let shown = questionnaire(whole, &mut cut);
        (shown, cut)
    }

    #[test]
    fn what_has_room_is_shown_as_it_is() {
        let whole = form(vec![Statement {
            kind: "observation".to_owned(),
            value: Some("é".repeat(LONGEST_TEXT)),
            statements: vec![Statement::default()],
            ..Statement::default()
        }]);
        assert_eq!(shown(&whole), (whole, Cut::default()));
    }

    #[test]
    fn a_long_text_is_cut_where_it_says_so() {
        let whole = form(vec![
            Statement {
                value: Some("é".repeat(LONGEST_TEXT + 12_345)),
                ..Statement::default()
            },
            Statement {
                value: Some("after".to_owned()),
                ..Statement::default()
            },
        ]);
        let (shown, cut) = shown(&whole);
        let [long, after] = &shown.sections[0].statements[..] else {
            panic!("{shown:?}");
        };
        let long = long.value.as_deref().unwrap();
        assert!(long.starts_with(&"é".repeat(LONGEST_TEXT)));
        assert!(long.contains("encore 12\u{202F}345 caractères") && long.contains("CDA"));
        assert_eq!(after.value.as_deref(), Some("after"));
        assert_eq!(cut.characters, 12_345);
        // Empty lines take room too.
        let lines = form(vec![Statement {
            value: Some("\n".repeat(LONGEST_TEXT)),
            ..Statement::default()
        }]);
        let (_, cut) = super::tests::shown(&lines);
        assert_eq!(cut.characters, LONGEST_TEXT - LONGEST_TEXT / LINE);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let many = 100_000;
        let nested = Statement {
            statements: vec![Statement::default(); 2],
            ..Statement::default()
        };
        let (shown, cut) = shown(&form(vec![nested; many]));
        let statements = &shown.sections[0].statements;
        let last = statements.last().unwrap();
        assert_eq!(last.label.as_deref(), Some("Coupé ici"));
        let count = |statements: &[Statement]| -> usize {
            statements.iter().map(count_statement).sum::<usize>()
        };
        let told = statements.iter().filter(|it| it.label.is_some()).count();
        let inner = statements
            .iter()
            .flat_map(|it| &it.statements)
            .filter(|it| it.label.is_some())
            .count();
        assert_eq!(count(statements) - told - inner + cut.elements, 3 * many);

        let participants = vec![Participant::default(); 1_000];
        let whole = form(vec![Statement {
            participants,
            text: Some("#nowhere".to_owned()),
            ..Statement::default()
        }]);
        let (shown, cut) = super::tests::shown(&whole);
        assert_eq!(cut.elements, 1_000 - LONGEST_LIST);
        let text = shown.sections[0].statements[0].text.as_deref().unwrap();
        assert!(text.starts_with("Coupé ici : encore 800"), "{text}");
    }

    #[test]
    fn names_are_cut() {
        let mut cut = Cut::default();
        assert_eq!(name("LE GOFF", &mut cut), "LE GOFF");
        assert_eq!(cut, Cut::default());
        let long = name(&"W".repeat(LONGEST_NAME + 7), &mut cut);
        assert!(long.ends_with("W… [coupé ici : encore 7 caractères]"));
        assert_eq!(cut.of_names, 7);
    }
}
