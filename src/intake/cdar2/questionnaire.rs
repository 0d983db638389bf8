//! The questionnaire of a document, put into its case.

use super::{BY, CdaFlow};
use crate::cda::header::places;
use crate::intake::trail::Trail;
use crate::intake::{Decision, form, scheduling};
use crate::model::case::Case;
use crate::model::change::Record;
use crate::model::excerpt::LONGEST_TEXT;
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::questionnaire::{FilledQuestionnaire, Questionnaire, Section, Statement};
use crate::model::view::ViewError;

impl<'m> CdaFlow<'_, 'm> {
    /// Fills the questionnaire from the body; the former one stays readable.
    pub(super) fn fill_questionnaire(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        trail: &mut Trail,
    ) -> Result<(), ViewError> {
        let Some(questionnaire) = &self.cda.questionnaire else {
            decision.warnings.push(
                Warning::new(
                    WarningCode::QuestionnaireNotStructured,
                    "expected a structured body (level 3), found none; the questionnaire is not filled",
                )
                .at(Location::named("component")),
            );
            return Ok(());
        };
        record_questionnaire(questionnaire, trail);
        decision.warnings.extend(warn_of_cut(questionnaire.cut));
        let former = self.view.questionnaire(&case.facility, &case.id)?;
        let number = former
            .as_ref()
            .map_or(0, |former| former.number)
            .saturating_add(1);
        let by_hand = former.as_ref().and_then(|former| former.by_hand.clone());
        let (questionnaire, differing) = match &by_hand {
            Some(by_hand) => form::together(questionnaire, &by_hand.sections),
            None => (questionnaire.clone(), 0),
        };
        decision
            .warnings
            .extend(form::warn_of_difference(differing));
        let what = match former {
            Some(former) => {
                let what = match former.filled_by {
                    Some(_) => "replaced",
                    None => "completed",
                };
                let former = Record::FormerQuestionnaire(Box::new(former));
                decision.changes.push(former.into());
                what
            }
            None => "filled",
        };
        scheduling::add_history(decision, case, format!("questionnaire {what} by {BY}"));
        // Nothing is compared with it before the case was completed.
        let is_reported = case.completion.is_some();
        case.form = is_reported.then(|| questionnaire.hash());
        let filled = FilledQuestionnaire {
            facility: case.facility.clone(),
            case: case.id.clone(),
            number,
            filled_by: Some(self.cda.hash.clone()),
            time: self.this.time,
            by_hand,
            questionnaire,
        };
        decision
            .changes
            .push(Record::Questionnaire(Box::new(filled)).into());
        case.people = self.cda.people.clone();
        case.has_questionnaire = true;
        Ok(())
    }
}

/// Tells the trail how much the form says: all of it is shown once the case is known.
fn record_questionnaire(questionnaire: &Questionnaire, trail: &mut Trail) {
    trail.about("questionnaire");
    let sections = questionnaire
        .sections
        .iter()
        .map(count_sections)
        .sum::<usize>();
    trail.record("sections", sections, places::BODY, "");
    let statements = questionnaire
        .sections
        .iter()
        .map(count_statements)
        .sum::<usize>();
    trail.record("statements", statements, places::BODY, "");
    for (number, section) in (1..).zip(&questionnaire.sections) {
        let title = section.title.as_deref().or(section.label.as_deref());
        trail.record(
            "section",
            title.unwrap_or_default(),
            format!("{}/component[{number}]/section", places::BODY).as_str(),
            format_args!(
                "code {}, {} statements",
                section.code.as_deref().unwrap_or("none"),
                count_statements(section)
            ),
        );
    }
}

fn count_sections(section: &Section) -> usize {
    section
        .sections
        .iter()
        .map(count_sections)
        .sum::<usize>()
        .saturating_add(1)
}

fn count_statements(section: &Section) -> usize {
    fn nested(statements: &[Statement]) -> usize {
        statements
            .iter()
            .map(|statement| nested(&statement.statements).saturating_add(1))
            .sum()
    }
    let below: usize = section.sections.iter().map(count_statements).sum();
    nested(&section.statements).saturating_add(below)
}

/// Warns that texts of the form are too long to be kept whole.
fn warn_of_cut(characters: usize) -> Option<Warning> {
    (characters > 0).then(|| {
        let found = format!(
            "expected at most {LONGEST_TEXT} characters in each text of the form, found {characters} more, which are left out there, and said to be; they stand in the document itself, which is kept whole in its case"
        );
        Warning::new(WarningCode::QuestionnaireCut, found).at(Location::named("component"))
    })
}
