//! What of a case its PDF shows: all of it, up to a bound that no form of a patient comes near.
//!
//! A form may be as large as a message (`intake.max_file`), and its PDF would have ten thousand pages. What is cut, also
//! where the form was read, is said in the PDF at its place, and by a warning of the `complete`; the CDA that filled the
//! questionnaire stays whole among the documents of the case.

use std::collections::BTreeMap;

use super::words::{further_words, is_shown, leads_nowhere};
use crate::model::excerpt::{LINE, LONGEST_TEXT, cut_name, cut_text, grouped};
use crate::model::questionnaire::{
    Block, Concept, Consumable, FurtherElement, Media, Qualifier, Quantity, Questionnaire, Section,
    Site, Statement, StatementParticipant,
};

/// So many characters of a whole questionnaire are shown.
pub const LONGEST_FORM: usize = 100_000;
/// So many entries of a list that belongs to one statement.
const LONGEST_LIST: usize = 200;
/// What takes room on the page counts as so many characters, however short it is: a statement, a section.
const STATEMENT: usize = 100;
const SECTION: usize = 200;

/// So many pictures of a questionnaire are shown, so many characters of base64 of one, and of all.
const MOST_PICTURES: usize = 20;
const LARGEST_PICTURE: usize = 4 << 20;
const LARGEST_PICTURES: usize = 8 << 20;

/// What a PDF does not show.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Omissions {
    /// Characters of the questionnaire's texts.
    pub characters: usize,
    /// Statements, sections and their parts.
    pub elements: usize,
    /// Characters of names, labels and ids.
    pub of_names: usize,
    /// Pictures, and what else is no text.
    pub pictures: usize,
    /// Documents of the case.
    pub documents: usize,
    /// Where something stands in the questionnaire that cannot be told in words.
    pub wordless: Vec<String>,
}

/// What is shown of this questionnaire.
pub fn questionnaire(whole: &Questionnaire, cut: &mut Omissions) -> Questionnaire {
    cut.characters += whole.cut;
    let mut room = PdfBudget {
        left: LONGEST_FORM,
        pictures: MOST_PICTURES,
        of_pictures: LARGEST_PICTURES,
        cut,
    };
    let sections = room.sections(&whole.sections);
    let mut left_out = 0;
    let further = room.list(&whole.further, &mut left_out, PdfBudget::further);
    room.cut.elements += left_out;
    Questionnaire {
        sections,
        further,
        ..Questionnaire::default()
    }
}

/// What is shown of a name, a label or an id.
pub fn name(text: &str, cut: &mut Omissions) -> String {
    match cut_name(text) {
        Some((shown, rest)) => {
            cut.of_names += rest;
            shown
        }
        None => text.to_owned(),
    }
}

/// What a text takes that is not cut: its first line stands in one that is counted already.
fn room_of(text: &str) -> usize {
    let mut lines = text.split(['\n', '\r']).map(|line| line.chars().count());
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |room, line| room.saturating_add(line.max(LINE)))
}

/// What was written by hand in a section that there is no more room for.
fn by_hand(section: &Section) -> Option<Section> {
    let written = |statement: &&Statement| statement.by_hand.is_some();
    let statements: Vec<Statement> = section.statements.iter().filter(written).cloned().collect();
    let sections: Vec<Section> = section.sections.iter().filter_map(by_hand).collect();
    let is_any = !statements.is_empty() || !sections.is_empty();
    is_any.then(|| Section {
        code: section.code.clone(),
        label: section.label.clone(),
        title: section.title.clone(),
        by_hand: section.by_hand,
        statements,
        sections,
        ..Section::default()
    })
}

/// The room that is left in a PDF.
struct PdfBudget<'c> {
    left: usize,
    /// How many pictures there is room for, and how many characters of base64 in them.
    pictures: usize,
    of_pictures: usize,
    cut: &'c mut Omissions,
}

impl PdfBudget<'_> {
    fn text(&mut self, text: &str) -> String {
        match cut_text(text, LONGEST_TEXT.min(self.left)) {
            None => {
                self.left = self.left.saturating_sub(room_of(text));
                text.to_owned()
            }
            Some((shown, rest)) => {
                self.left = self.left.saturating_sub(LONGEST_TEXT);
                self.cut.characters += rest;
                shown
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
                let left = std::iter::once(section).chain(rest);
                let written: Vec<Section> = left.clone().filter_map(by_hand).collect();
                let count = left.map(count_section).sum::<usize>();
                let count = count.saturating_sub(written.iter().map(count_section).sum());
                if count > 0 {
                    shown.push(Section {
                        title: Some("Coupé ici".to_owned()),
                        text: Some(self.leave_out(count)),
                        ..Section::default()
                    });
                }
                shown.extend(written);
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
            null_flavor: self.some(&section.null_flavor),
            null_flavors: self.null_flavors(&section.null_flavors),
            further: self.list(&section.further, &mut left_out, Self::further),
            ..Section::default()
        };
        // The tables say what the text says: where that is cut, it stands in lines.
        if shown.text == section.text {
            shown.blocks.clone_from(&section.blocks);
        }
        if left_out > 0 {
            let said = self.leave_out(left_out);
            if !shown.blocks.is_empty() {
                shown.blocks.push(Block::Line(said.clone()));
            }
            shown.text = Some(with_line(shown.text, said));
        }
        shown.sections = self.sections(&section.sections);
        shown
    }

    /// What was written by hand is bounded where it is taken in, and stands nowhere else: it is shown whole.
    fn statements(&mut self, statements: &[Statement]) -> Vec<Statement> {
        let mut shown = Vec::new();
        let mut rest = statements.iter();
        for statement in rest.by_ref() {
            if statement.by_hand.is_some() {
                shown.push(statement.clone());
                continue;
            }
            if self.left == 0 {
                let left = std::iter::once(statement).chain(rest);
                let (written, cut): (Vec<&Statement>, Vec<&Statement>) =
                    left.partition(|statement| statement.by_hand.is_some());
                let count = cut.into_iter().map(count_statement).sum();
                shown.push(Statement {
                    label: Some("Coupé ici".to_owned()),
                    value: Some(self.leave_out(count)),
                    ..Statement::default()
                });
                shown.extend(written.into_iter().cloned());
                break;
            }
            self.left = self.left.saturating_sub(STATEMENT);
            shown.push(self.statement(statement));
        }
        shown
    }

    fn quantity(&mut self, quantity: &Quantity) -> Quantity {
        let with = quantity.with.iter().take(LONGEST_LIST);
        Quantity {
            role: quantity.role.clone(),
            value: self.text(&quantity.value),
            unit: self.some(&quantity.unit),
            operator: self.some(&quantity.operator),
            with: with.map(|part| self.quantity(part)).collect(),
        }
    }

    fn null_flavors(&mut self, flavors: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let shown = flavors.iter().take(LONGEST_LIST);
        let shown = shown.map(|(element, flavor)| (element.clone(), self.text(flavor)));
        shown.collect()
    }

    fn further(&mut self, further: &FurtherElement) -> FurtherElement {
        FurtherElement {
            place: self.text(&further.place),
            text: self.some(&further.text),
            unit: self.some(&further.unit),
            null_flavor: self.some(&further.null_flavor),
            ..further.clone()
        }
    }

    fn statement(&mut self, statement: &Statement) -> Statement {
        let mut left_out = 0;
        let written = statement.codes.iter();
        // That a code is absent is no part of what its statement says, and told apart by it.
        let written = written.filter(|code| {
            is_shown(code)
                || further_words(code).next().is_some()
                || code.role == "code" && code.null_flavor.is_some()
        });
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
                text: self.some(&it.text),
                name: self.some(&it.name),
                manufacturer: self.some(&it.manufacturer),
                lot: self.some(&it.lot),
            }),
            quantities: self.list(&statement.quantities, &mut left_out, Self::quantity),
            participants: self.list(&statement.participants, &mut left_out, Self::participant),
            codes: self.list(&written, &mut left_out, Self::concept),
            null_flavors: self.null_flavors(&statement.null_flavors),
            text: self.some(&statement.text),
            media: statement.media.as_ref().map(|media| self.media(media)),
            further: self.list(&statement.further, &mut left_out, Self::further),
            relation: self.some(&statement.relation),
            inverted: statement.inverted,
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

    /// A picture as far as there is room for it: else without what it shows.
    fn media(&mut self, media: &Media) -> Media {
        let size = media.base64.as_ref().map_or(0, String::len);
        let has_room = self.pictures > 0 && size <= LARGEST_PICTURE.min(self.of_pictures);
        if has_room && size > 0 {
            self.pictures -= 1;
            self.of_pictures -= size;
        }
        Media {
            id: self.some(&media.id),
            media_type: self.some(&media.media_type),
            base64: media.base64.clone().filter(|_| has_room),
            reference: self.some(&media.reference),
        }
    }

    fn site(&mut self, site: &Site) -> Site {
        Site {
            code: self.some(&site.code),
            label: self.some(&site.label),
            laterality: self.some(&site.laterality),
            text: self.some(&site.text),
        }
    }

    fn concept(&mut self, concept: &Concept) -> Concept {
        Concept {
            role: concept.role.clone(),
            code: self.some(&concept.code),
            label: self.some(&concept.label),
            text: self.some(&concept.text),
            null_flavor: self.some(&concept.null_flavor),
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

    fn participant(&mut self, participant: &StatementParticipant) -> StatementParticipant {
        StatementParticipant {
            role: participant.role.clone(),
            participation: participant.participation.clone(),
            label: self.some(&participant.label),
            name: self.some(&participant.name),
            organization: self.some(&participant.organization),
            time: self.some(&participant.time),
            ..StatementParticipant::default()
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
    use crate::model::excerpt::LONGEST_NAME;

    fn form(statements: Vec<Statement>) -> Questionnaire {
        Questionnaire {
            sections: vec![Section {
                title: Some("Bilan".to_owned()),
                statements,
                ..Section::default()
            }],
            ..Questionnaire::default()
        }
    }

    fn shown(whole: &Questionnaire) -> (Questionnaire, Omissions) {
        let mut cut = Omissions::default();
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
        assert_eq!(shown(&whole), (whole, Omissions::default()));
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

        let participants = vec![StatementParticipant::default(); 1_000];
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

    /// What the desk wrote is never cut, wherever the document leaves no room.
    #[test]
    fn what_was_written_by_hand_is_shown_whole() {
        use crate::model::questionnaire::ManualComparison;
        let written = |value: &str| Statement {
            by_hand: Some(ManualComparison::Alone),
            value: Some(value.to_owned()),
            ..Statement::default()
        };
        let section = |statements: Vec<Statement>, sections: Vec<Section>| Section {
            title: Some("S".to_owned()),
            statements,
            sections,
            ..Section::default()
        };
        let long = "é".repeat(30_000);
        let inner = section(vec![Statement::default(), written("inner")], Vec::new());
        let mut full = vec![Statement::default(); 2_000];
        full.push(written(&long));
        let whole = Questionnaire {
            sections: vec![
                section(full, Vec::new()),
                section(vec![Statement::default(); 3], vec![inner]),
                section(vec![written("last")], Vec::new()),
            ],
            ..Questionnaire::default()
        };
        let (shown, cut) = shown(&whole);
        let mut found = Vec::new();
        fn values<'s>(sections: &'s [Section], found: &mut Vec<&'s str>) {
            for section in sections {
                let by_hand = section.statements.iter().filter(|it| it.by_hand.is_some());
                found.extend(by_hand.filter_map(|it| it.value.as_deref()));
                values(&section.sections, found);
            }
        }
        values(&shown.sections, &mut found);
        assert_eq!(found, [long.as_str(), "inner", "last"]);
        let said = &shown.sections[0].statements;
        assert_eq!(said[said.len() - 2].label.as_deref(), Some("Coupé ici"));
        let left_out = 2_000 + 1 - (said.len() - 1);
        assert_eq!(cut.elements, left_out + 3 + 1);
    }

    #[test]
    fn names_are_cut() {
        let mut cut = Omissions::default();
        assert_eq!(name("LE GOFF", &mut cut), "LE GOFF");
        assert_eq!(cut, Omissions::default());
        let long = name(&"W".repeat(LONGEST_NAME + 7), &mut cut);
        assert!(long.ends_with("W… [coupé ici : encore 7 caractères]"));
        assert_eq!(cut.of_names, 7);
    }
}
