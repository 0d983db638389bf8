//! What is kept of a form's texts: each up to a bound that no form of a patient comes near.
//!
//! A form may be as large as a message (`intake.max_file`), and everything that is made of it is written several times:
//! into the journal, the store, each session folder and each report. The document itself stays whole in its case.

use crate::model::excerpt::{LONGEST_NAME, LONGEST_TEXT, cut_text};
use crate::model::questionnaire::{
    Block, Concept, Consumable, FurtherElement, Media, Qualifier, Quantity, Questionnaire, Section,
    Site, Statement, StatementParticipant,
};

/// Once the texts of a form have so many characters, each further one is kept only as far as a name.
const LONGEST_FORM: usize = 1_000_000;

/// Cuts the texts of a form that are too long, and says in it how much.
pub(super) fn cut_long_texts(form: &mut Questionnaire) {
    let mut room = CharacterBudget {
        left: LONGEST_FORM,
        cut: 0,
    };
    room.text(&mut form.other);
    room.further(&mut form.further);
    room.sections(&mut form.sections);
    form.cut = room.cut;
}

struct CharacterBudget {
    /// How many characters may still be kept.
    left: usize,
    /// How many were left out.
    cut: usize,
}

impl CharacterBudget {
    fn cut(&mut self, text: &mut String) -> bool {
        let most = match self.left {
            0 => LONGEST_NAME,
            _ => LONGEST_TEXT,
        };
        let cut = cut_text(text, most);
        let is_cut = cut.is_some();
        if let Some((kept, rest)) = cut {
            *text = kept;
            self.cut += rest;
        }
        self.left = self.left.saturating_sub(text.len());
        is_cut
    }

    fn text(&mut self, text: &mut Option<String>) -> bool {
        text.as_mut().is_some_and(|text| self.cut(text))
    }

    fn quantities(&mut self, quantities: &mut [Quantity]) {
        for quantity in quantities {
            let Quantity {
                role,
                value,
                unit,
                operator,
                with,
            } = quantity;
            self.texts([role, value].into_iter().chain(unit).chain(operator));
            self.quantities(with);
        }
    }

    fn further(&mut self, further: &mut [FurtherElement]) {
        for FurtherElement {
            place,
            number: _,
            text,
            unit,
            null_flavor,
            is_time: _,
            negated: _,
        } in further
        {
            let own = [text, unit, null_flavor].into_iter().flatten();
            self.texts([place].into_iter().chain(own));
        }
    }

    fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t mut String>) {
        for text in texts {
            self.cut(text);
        }
    }

    fn sections(&mut self, sections: &mut [Section]) {
        for section in sections {
            let Section {
                code,
                label,
                title,
                text,
                blocks,
                statements,
                sections,
                null_flavor,
                other,
                further,
                template_ids,
                ids,
                codes,
                participants,
                null_flavors,
                by_hand: _,
            } = section;
            self.further(further);
            self.texts(
                [code, label, title, null_flavor, other]
                    .into_iter()
                    .flatten(),
            );
            // The tables say what the text says: where that is cut, it stands in lines.
            if self.text(text) {
                blocks.clear();
            }
            for block in blocks {
                match block {
                    Block::Line(line) => {
                        self.cut(line);
                    }
                    Block::Table(rows) => {
                        self.texts(rows.iter_mut().flat_map(|row| &mut row.cells));
                    }
                }
            }
            self.texts(template_ids.iter_mut().chain(ids));
            self.texts(null_flavors.values_mut());
            self.concepts(codes);
            self.participants(participants);
            self.statements(statements);
            self.sections(sections);
        }
    }

    fn statements(&mut self, statements: &mut [Statement]) {
        for statement in statements {
            let Statement {
                kind,
                mood,
                status,
                code,
                label,
                value,
                value_code,
                unit,
                time,
                text,
                negated: _,
                priority,
                site,
                interpretation,
                qualifiers,
                null_flavor,
                other,
                further,
                statements,
                relation,
                inverted: _,
                class,
                code_system,
                value_type,
                value_system,
                time_written,
                method,
                more_sites,
                consumable,
                quantities,
                media,
                participants,
                template_ids,
                ids,
                codes,
                null_flavors,
                by_hand: _,
            } = statement;
            let own = [
                mood,
                status,
                code,
                label,
                value,
                value_code,
                unit,
                time,
                text,
                priority,
                interpretation,
                null_flavor,
                other,
                relation,
                class,
                code_system,
                value_type,
                value_system,
                time_written,
                method,
            ];
            self.cut(kind);
            self.further(further);
            self.texts(own.into_iter().flatten());
            for Site {
                code,
                label,
                laterality,
                text,
            } in site.iter_mut().chain(more_sites)
            {
                self.texts([code, label, laterality, text].into_iter().flatten());
            }
            for Qualifier { of, name, value } in qualifiers {
                self.cut(of);
                self.concepts(name.iter_mut().chain(value));
            }
            if let Some(Consumable {
                code,
                label,
                text,
                name,
                manufacturer,
                lot,
            }) = consumable
            {
                let own = [code, label, text, name, manufacturer, lot];
                self.texts(own.into_iter().flatten());
            }
            self.quantities(quantities);
            // Half a picture shows nothing: the report has bounds of its own for these.
            if let Some(Media {
                id,
                media_type,
                base64: _,
                reference,
            }) = media
            {
                self.texts([id, media_type, reference].into_iter().flatten());
            }
            self.participants(participants);
            self.texts(template_ids.iter_mut().chain(ids));
            self.concepts(codes);
            self.texts(null_flavors.values_mut());
            self.statements(statements);
        }
    }

    fn concepts<'t>(&mut self, concepts: impl IntoIterator<Item = &'t mut Concept>) {
        for Concept {
            role,
            code,
            label,
            system,
            system_name,
            system_version,
            text,
            null_flavor,
        } in concepts
        {
            let own = [
                code,
                label,
                system,
                system_name,
                system_version,
                text,
                null_flavor,
            ];
            self.texts([role].into_iter().chain(own.into_iter().flatten()));
        }
    }

    fn participants(&mut self, participants: &mut [StatementParticipant]) {
        for StatementParticipant {
            role,
            participation,
            ids,
            label,
            name,
            organization,
            time,
        } in participants
        {
            let own = [participation, label, name, organization, time];
            self.texts([role].into_iter().chain(own.into_iter().flatten()));
            self.texts(ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(values: impl IntoIterator<Item = String>) -> Questionnaire {
        let statement = |value| Statement {
            value: Some(value),
            ..Statement::default()
        };
        Questionnaire {
            sections: vec![Section {
                text: Some("Bilan".to_owned()),
                blocks: vec![Block::Line("Bilan".to_owned())],
                statements: values.into_iter().map(statement).collect(),
                ..Section::default()
            }],
            ..Questionnaire::default()
        }
    }

    #[test]
    fn a_text_of_usual_length_stays() {
        let usual = form(["é".repeat(LONGEST_TEXT), "x".to_owned()]);
        let mut kept = usual.clone();
        cut_long_texts(&mut kept);
        assert_eq!(kept, usual);
    }

    #[test]
    fn a_long_text_is_cut_and_counted() {
        let mut kept = form(["é".repeat(LONGEST_TEXT + 345), "x".to_owned()]);
        kept.sections[0].text = Some("y".repeat(LONGEST_TEXT + 1_000));
        cut_long_texts(&mut kept);
        assert_eq!(kept.cut, 1_345);
        let [section] = &kept.sections[..] else {
            panic!("{kept:?}");
        };
        let value = section.statements[0].value.as_deref().unwrap();
        assert!(value.contains("encore 345 caractères"), "{value}");
        assert!(section.blocks.is_empty());
        assert_eq!(section.statements[1].value.as_deref(), Some("x"));
    }

    #[test]
    fn all_texts_together_are_bounded() {
        let mut kept = form(std::iter::repeat_n("é".repeat(LONGEST_TEXT), 1_000));
        cut_long_texts(&mut kept);
        let lengths = kept.sections[0].statements.iter();
        let lengths = lengths.map(|it| it.value.as_deref().unwrap().len());
        let most = LONGEST_FORM + 3 * LONGEST_TEXT + 1_000 * (2 * LONGEST_NAME + 150);
        assert!(lengths.sum::<usize>() < most);
        assert!(kept.cut > 900 * (LONGEST_TEXT - LONGEST_NAME));
    }
}
