//! What belongs into a session's folder: its cases, each with the files that are shown of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::file_names::{PAGE, readable};
use super::shown_case::{FormState, HandwritingNotice, ShownCase, ShownDocument};
use super::{Sources, WorklistError, page};
use crate::config::Facility;
use crate::intake::reporting;
use crate::model::case::{Case, CaseState};
use crate::model::document::DocumentKind;
use crate::model::identifiers::ContentHash;
use crate::model::name;
use crate::model::patient::Patient;
use crate::model::questionnaire::{ManualComparison, Questionnaire, Section, Statement};
use crate::model::session::Session;
use crate::model::view::{View, ViewError};
use crate::repeats::{self, RepeatedTask};
use crate::reports::people::named;
use crate::reports::{self, CaseForm};
use crate::store::{PendingChanges, Store, keys};

/// So many people of a form stand on the page; the others in its PDF.
const MOST_PEOPLE: usize = 30;

/// A shorter list of cases is read before a thread has started.
const LONG_LIST: usize = 1_000;

/// The files of a folder, by their path in it.
pub(super) struct FolderContent {
    pub files: BTreeMap<String, FileSource>,
}

/// What a file is made from.
pub(super) enum FileSource {
    /// The page.
    Page(String),
    /// A document, by its content.
    Document(ContentHash),
    /// A questionnaire, made as a PDF only where it is not there yet.
    Form { identity: String, of: Box<FormOf> },
}

impl FileSource {
    /// The same for the same content.
    pub fn identity(&self) -> String {
        match self {
            FileSource::Page(text) => ContentHash::of(text.as_bytes()).to_string(),
            FileSource::Document(hash) => hash.to_string(),
            FileSource::Form { identity, .. } => identity.clone(),
        }
    }
}

/// Whose questionnaire it is. It is read again when its PDF is made: those of all cases of a session would be a lot to
/// hold.
pub(super) struct FormOf {
    case: Case,
    session: Session,
}

impl FormOf {
    /// The PDF; nothing where there is no questionnaire any more: the page is then renewed once more.
    pub fn pdf(&self, sources: &Sources<'_>) -> Result<Option<Vec<u8>>, ViewError> {
        let view = PendingChanges::new(sources.store);
        let case = &self.case;
        let patient = match &case.ipp {
            Some(ipp) => view.patient(&case.facility, ipp)?,
            None => None,
        };
        let filled = view.questionnaire(&case.facility, &case.id)?;
        let facility = facility_of(sources, case);
        let (Some(patient), Some(filled), Some(facility)) = (patient, filled, facility) else {
            return Ok(None);
        };
        let form = CaseForm {
            case,
            patient: &patient,
            session: &self.session,
            questionnaire: Some(&filled.questionnaire),
        };
        let made = reports::form_pdf(&form, facility);
        if let Err(problem) = &made {
            let problem = format_args!("a questionnaire cannot be shown: {problem}");
            repeats::failing("sessions", RepeatedTask::Sessions, problem);
        }
        Ok(made.ok())
    }
}

fn facility_of<'s>(sources: &Sources<'s>, case: &Case) -> Option<&'s Facility> {
    let mut facilities = sources.config.facilities.iter();
    facilities.find(|it| it.id == case.facility)
}

impl FolderContent {
    /// What should be there now.
    pub fn of(
        sources: &Sources<'_>,
        view: &PendingChanges<'_>,
        session: &Session,
    ) -> Result<Self, WorklistError> {
        let mut content = Self {
            files: BTreeMap::new(),
        };
        let mut folders = FolderNames::default();
        let mut cases = cases_with_patients(sources.store, session)?;
        // By name: that is how a person is looked for on a list.
        cases.sort_by_cached_key(|(case, patient)| {
            let by_name = patient
                .as_ref()
                .map(|it| (name::order(&it.usual_name), name::order(&it.given_name)));
            (by_name, case.facility.clone(), case.id.clone())
        });
        let mut shown = Vec::with_capacity(cases.len());
        for (case, patient) in cases {
            let folder = folders.unique(&case_folder(&case, patient.as_deref()), "");
            shown.push(content.add_case(sources, view, session, case, patient, &folder)?);
        }
        let page = page::render(session, &shown);
        content
            .files
            .insert(PAGE.to_owned(), FileSource::Page(page));
        Ok(content)
    }

    fn add_case(
        &mut self,
        sources: &Sources<'_>,
        view: &PendingChanges<'_>,
        session: &Session,
        case: Box<Case>,
        patient: Option<Box<Patient>>,
        folder: &str,
    ) -> Result<ShownCase, ViewError> {
        let facility = facility_of(sources, &case);
        let mut names = FolderNames::default();
        let mut path_of =
            |stem: &str, ending: &str| format!("{folder}/{}", names.unique(stem, ending));
        let filled = match case.has_questionnaire {
            true => view.questionnaire(&case.facility, &case.id)?,
            false => None,
        };
        let questionnaire = filled.map(|filled| filled.questionnaire);
        let mut form_file = None;
        if let (Some(facility), Some(patient), Some(questionnaire)) =
            (facility, &patient, &questionnaire)
        {
            let path = path_of("questionnaire", "pdf");
            let form = form(session, &case, patient, questionnaire, facility);
            self.files.insert(path.clone(), form);
            form_file = Some(path);
        }
        let mut report = None;
        if let CaseState::Completed(_) = case.state
            && let Some(known) = view.report(&case.facility, &case.id)?
            && let Some(last) = view.report_version(&known, known.latest)?
        {
            let path = path_of("compte-rendu", "pdf");
            let source = FileSource::Document(last.pdf);
            self.files.insert(path.clone(), source);
            report = Some((path, last.version));
        }
        let outdated = reporting::outdated(view, &case)?;
        let mut documents = Vec::new();
        for document in view.documents_of_case(&case.facility, &case.id)? {
            let is_shown = document.kind == DocumentKind::Document && !document.deleted;
            let Some(version) = document.current().filter(|_| is_shown) else {
                continue;
            };
            let stem = version.file_name.rsplit_once('.');
            let stem = stem.map_or(version.file_name.as_str(), |(stem, _)| stem);
            // The ending is that of the content: what is opened by it is what it is.
            let ending = version.content_type.endings().first().copied();
            let path = path_of(&readable(stem, "document"), ending.unwrap_or_default());
            let source = FileSource::Document(version.sha256.clone());
            self.files.insert(path.clone(), source);
            documents.push(ShownDocument {
                label: version.file_name.clone(),
                path,
            });
        }
        let physician = patient
            .as_ref()
            .and_then(|patient| patient.physician.clone());
        let people = named(&case.people);
        Ok(ShownCase {
            facility: facility.map_or_else(|| case.facility.to_string(), |it| it.name.clone()),
            submitter: case.submitter.clone().or(physician),
            question: questionnaire.as_ref().map(question).unwrap_or_default(),
            people_count: people.len(),
            people: people
                .into_iter()
                .take(MOST_PEOPLE)
                .map(|person| (person.function(), person.name))
                .collect(),
            form: form_state(questionnaire.as_ref()),
            written: questionnaire
                .as_ref()
                .map_or(HandwritingNotice::Nothing, written),
            form_file,
            report,
            outdated,
            documents,
            patient,
            case,
        })
    }
}

/// In boxes: they are passed on, and a long list of them would be in memory twice.
type CaseAndPatient = (Box<Case>, Option<Box<Patient>>);

/// The cases of a session, each with its patient. The halves of a long list are read side by side: while a page is made
/// nothing else is done.
fn cases_with_patients(
    store: &dyn Store,
    session: &Session,
) -> Result<Vec<CaseAndPatient>, ViewError> {
    let of_session = keys::cases_of_session(&session.id);
    let keys = PendingChanges::new(store).keys(&of_session)?;
    let read = |keys: &[String]| -> Result<Vec<_>, ViewError> {
        let view = PendingChanges::new(store);
        let mut cases = Vec::with_capacity(keys.len());
        for key in keys {
            let case: Option<Case> = view.of_patient(&keys::case_led_to(&of_session, key))?;
            let Some(case) = case else {
                continue;
            };
            let patient = match &case.ipp {
                Some(ipp) => view.patient(&case.facility, ipp)?,
                None => None,
            };
            cases.push((Box::new(case), patient.map(Box::new)));
        }
        Ok(cases)
    };
    if keys.len() < LONG_LIST {
        return read(&keys);
    }
    let (first, second) = keys.split_at(keys.len() / 2);
    std::thread::scope(|scope| {
        let beside = std::thread::Builder::new().spawn_scoped(scope, || read(second));
        let mut cases = read(first)?;
        cases.append(&mut match beside.map(|beside| beside.join()) {
            Ok(Ok(read)) => read?,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The system has no thread left.
            Err(_) => read(second)?,
        });
        Ok(cases)
    })
}

fn form(
    session: &Session,
    case: &Case,
    patient: &Patient,
    questionnaire: &Questionnaire,
    facility: &Facility,
) -> FileSource {
    let made_from = ContentHash::of_json(&(
        env!("CARGO_PKG_VERSION"),
        (&facility.name, &facility.address, &facility.finess),
        session,
        patient,
        &case.id,
        &case.submitter,
        &case.lead,
        (&case.network, &case.people),
        (
            case.is_identity_in_doubt(Some(patient)),
            case.identity_in_doubt(Some(patient)),
        ),
        questionnaire,
    ));
    FileSource::Form {
        identity: made_from.to_string(),
        of: Box::new(FormOf {
            case: case.clone(),
            session: session.clone(),
        }),
    }
}

/// The folder of a case: whose it is, and its id.
fn case_folder(case: &Case, patient: Option<&Patient>) -> String {
    let name = patient.map(|patient| {
        format!(
            "{}-{}",
            patient.usual_name.to_uppercase(),
            patient.given_name
        )
    });
    let name = readable(name.as_deref().unwrap_or_default(), "patient");
    format!("{name}_{}", readable(case.id.as_str(), "dossier"))
}

/// Names given in one folder.
#[derive(Default)]
struct FolderNames {
    taken: HashSet<String>,
    /// The last number given for a name, so that the ten-thousandth file of a name is named as fast as the second.
    numbers: HashMap<String, u32>,
}

impl FolderNames {
    /// The name, with a number where it is taken.
    fn unique(&mut self, stem: &str, ending: &str) -> String {
        let dot = if ending.is_empty() { "" } else { "." };
        let mut name = format!("{stem}{dot}{ending}");
        let number = self.numbers.entry(name.to_lowercase()).or_insert(1);
        while !self.taken.insert(name.to_lowercase()) {
            *number += 1;
            name = format!("{stem}_{number}{dot}{ending}");
        }
        name
    }
}

/// Section "synthesis of the case and question asked" of the fRCP (LOINC).
const QUESTION: &str = "10164-2";
/// Section "reason" (LOINC).
const REASON_SECTION: &str = "42349-1";
/// Statement "reason of the meeting" of the fRCP.
const REASON: &str = "ORG-186";
/// Statement "complete case" of the fRCP.
const COMPLETE: &str = "GEN-100";

/// The page shows so many lines of what is asked, and so many characters; the rest stands in the questionnaire.
const LINES: usize = 20;
const CHARACTERS: usize = 2_000;

/// The first lines of a text that may be long.
#[derive(Default)]
struct FirstLines {
    lines: Vec<String>,
    characters: usize,
    is_cut: bool,
}

impl FirstLines {
    fn add(&mut self, line: &str) {
        let line = line.trim();
        let room = CHARACTERS.saturating_sub(self.characters);
        match line.char_indices().nth(room) {
            _ if line.is_empty() => {}
            _ if self.lines.len() >= LINES || room == 0 => self.is_cut = true,
            Some((end, _)) => {
                self.lines.push(format!("{}…", &line[..end]));
                self.characters = CHARACTERS;
                self.is_cut = true;
            }
            None => {
                self.characters += line.chars().count();
                self.lines.push(line.to_owned());
            }
        }
    }

    fn add_text(&mut self, text: Option<&str>) {
        for line in text.unwrap_or_default().lines() {
            if self.is_cut {
                return;
            }
            self.add(line);
        }
    }
}

/// The text of a section, and what was written by hand in it.
fn add_section(section: &Section, lines: &mut FirstLines) {
    lines.add_text(section.text.as_deref());
    let by_hand = section.statements.iter();
    for statement in by_hand.filter(|it| is_written(it)) {
        lines.add_text(statement.value.as_deref());
    }
}

/// Whether a statement was written by hand, and the document does not say the same.
fn is_written(statement: &Statement) -> bool {
    matches!(
        statement.by_hand,
        Some(ManualComparison::Alone | ManualComparison::Differs(_))
    )
}

fn written(questionnaire: &Questionnaire) -> HandwritingNotice {
    let mut written = HandwritingNotice::Nothing;
    walk(&questionnaire.sections, &mut |section| {
        for statement in &section.statements {
            written = written.max(match statement.by_hand {
                Some(ManualComparison::Differs(_)) => HandwritingNotice::Otherwise,
                Some(ManualComparison::Alone | ManualComparison::Same) => {
                    HandwritingNotice::Something
                }
                None => HandwritingNotice::Nothing,
            });
        }
    });
    written
}

/// The reasons that are ticked, else the reason as it was written, and the question.
fn question(questionnaire: &Questionnaire) -> Vec<String> {
    let (mut ticked, mut reason) = (FirstLines::default(), FirstLines::default());
    let mut asked = FirstLines::default();
    walk(&questionnaire.sections, &mut |section| {
        match section.code.as_deref() {
            Some(QUESTION) => add_section(section, &mut asked),
            Some(REASON_SECTION) => add_section(section, &mut reason),
            _ => {}
        }
        for statement in &section.statements {
            walk_statements(statement, &mut |statement| {
                if statement.code.as_deref() == Some(REASON) {
                    let is_ticked =
                        |it: &&Statement| it.value.as_deref() == Some("true") && !it.negated;
                    let labels = statement.statements.iter().filter(is_ticked);
                    labels
                        .filter_map(|it| it.label.as_deref())
                        .for_each(|label| ticked.add(label));
                }
            });
        }
    });
    if ticked.lines.is_empty() {
        ticked = reason;
    }
    let is_cut = ticked.is_cut || asked.is_cut;
    let mut lines = ticked.lines;
    lines.append(&mut asked.lines);
    if is_cut {
        lines.push("[coupé : la suite est dans le questionnaire]".to_owned());
    }
    lines
}

fn form_state(questionnaire: Option<&Questionnaire>) -> FormState {
    let Some(questionnaire) = questionnaire else {
        return FormState::Missing;
    };
    let mut state = FormState::Received;
    walk(&questionnaire.sections, &mut |section| {
        for statement in &section.statements {
            walk_statements(statement, &mut |statement| {
                if statement.code.as_deref() == Some(COMPLETE) {
                    state = match (statement.value.as_deref(), statement.negated) {
                        (Some("true" | "Oui" | "oui"), false) => FormState::Complete,
                        (Some("false" | "Non" | "non"), _) | (_, true) => FormState::Incomplete,
                        _ => state,
                    };
                }
            });
        }
    });
    state
}

fn walk<'q>(sections: &'q [Section], each: &mut dyn FnMut(&'q Section)) {
    for section in sections {
        each(section);
        walk(&section.sections, each);
    }
}

fn walk_statements<'q>(statement: &'q Statement, each: &mut dyn FnMut(&'q Statement)) {
    each(statement);
    for inner in &statement.statements {
        walk_statements(inner, each);
    }
}
