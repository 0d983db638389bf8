//! The page of a session: a list that is read on a screen, on a phone and on paper, without scripts.

use std::borrow::Cow;
use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::shown_case::{FormState, HandwritingNotice, ShownCase};
use crate::model::case::CaseState;
use crate::model::patient::{Patient, Physician, Sex};
use crate::model::session::{Session, SessionState};
use crate::model::visible::in_page;
use crate::reports::frcp::{french_date, long_date};

const STYLE: &str = include_str!("page.css");

/// A name, a label or an id is shown up to so many characters.
const LONGEST: usize = 300;

/// Text for the page; of one that is too long it says how much is not shown.
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        None => in_page(text),
        Some((end, _)) => {
            let (shown, rest) = text.split_at(end);
            let count = rest.chars().count();
            format!("{}… [coupé : encore {count} caractères]", in_page(shown)).into()
        }
    }
}

/// The page.
pub(super) fn render(session: &Session, cases: &[ShownCase]) -> String {
    let label = short(session.label.as_str());
    let page = html! {
        (DOCTYPE)
        html lang="fr" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="robots" content="noindex";
                title { (label) ", " (session.date.format("%d/%m/%Y").to_string()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (label) }
                    (heading(session))
                    (summary(cases))
                }
                @if session.state == SessionState::Cancelled {
                    p class="alert" { "Cette réunion est annulée. Ses dossiers attendent une autre réunion." }
                }
                // A list of cases is nearly all of the page, so it is written into it and not copied from a part.
                @if cases.is_empty() {
                    p { "Aucun dossier n’est inscrit." }
                } @else {
                    table {
                        thead {
                            tr {
                                @for column in COLUMNS { th scope="col" { (column) } }
                            }
                        }
                        tbody {
                            @for (number, case) in (1..).zip(cases) {
                                tr {
                                    @for (column, cell) in COLUMNS.iter().zip(cells(number, case)) {
                                        // On a phone, each cell says what it is.
                                        td data-label=(column) { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn heading(session: &Session) -> Markup {
    let mut when = long_date(session.date);
    if let Some(start) = session.start.as_deref().filter(|start| !start.is_empty()) {
        let _ = write!(when, " à {start}");
    }
    let state = match session.state {
        SessionState::Planned => "prévue",
        SessionState::Closed => "close",
        SessionState::Cancelled => "annulée",
    };
    let ids = [
        ("Réunion", Some(session.id.as_str())),
        (
            "Parcours",
            session.pathway_id.as_ref().map(|id| id.as_str()),
        ),
        ("Famille", session.family_id.as_ref().map(|id| id.as_str())),
    ];
    let ids = ids
        .into_iter()
        .filter_map(|(caption, id)| Some((caption, id.filter(|id| !id.is_empty())?)));
    html! {
        p class="when" {
            (short(&when)) " " span class={ "state " (session.state.word()) } { (state) }
        }
        p class="about" {
            @if let Some(lead) = &session.lead {
                span {
                    "Responsable : " b { (short(&lead.name().unwrap_or_default())) }
                    @if let Some(number) = number(lead) { " (" (short(&number)) ")" }
                }
                " "
            }
            @for (caption, id) in ids {
                span { (caption) " : " (short(id)) } " "
            }
        }
    }
}

fn summary(cases: &[ShownCase]) -> Markup {
    let count = |is: &dyn Fn(&ShownCase) -> bool| cases.iter().filter(|case| is(case)).count();
    let completed = count(&|case| matches!(case.case.state, CaseState::Completed(_)));
    let without = count(&|case| case.form == FormState::Missing);
    let mut parts = vec![counted(cases.len(), "dossier", "dossiers")];
    if completed > 0 {
        parts.push(counted(completed, "terminé", "terminés"));
    }
    if without > 0 {
        parts.push(format!("{without} sans questionnaire"));
    }
    html! { p class="count" { (parts.join(" · ")) } }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    // In French, none is singular.
    format!("{count} {}", if count < 2 { one } else { many })
}

const COLUMNS: [&str; 8] = [
    "N°",
    "Patient",
    "Dossier",
    "Demandeur",
    "Question posée",
    "Questionnaire",
    "Documents",
    "État",
];

fn cells(number: usize, case: &ShownCase) -> [Markup; COLUMNS.len()] {
    [
        html! { b { (number) } },
        patient(case),
        html! { (short(case.case.id.as_str())) small { (short(case.facility.as_str())) } },
        html! { (submitter(case)) (people(case)) },
        lines(&case.question),
        form(case),
        documents(case),
        state(case),
    ]
}

fn patient(case: &ShownCase) -> Markup {
    let Some(patient) = case.patient.as_deref() else {
        return html! { "Patient inconnu" };
    };
    let Patient {
        usual_name,
        birth_name,
        given_name,
        ..
    } = patient;
    let (sex, born) = sex_in_words(patient.sex);
    let birth_date = patient.birth_date.to_string();
    let on = if birth_date.len() == 10 { "le" } else { "en" };
    html! {
        b { (short(usual_name.as_str())) " " (short(given_name.as_str())) }
        @if birth_name != usual_name {
            small { (born) " " (short(birth_name.as_str())) }
        }
        small { (sex) ", " (born) " " (on) " " (short(&french_date(&birth_date))) }
        small { "IPP " (short(patient.ipp.as_str())) }
        @for mark in patient.identity_marks() {
            small class="alert" { (short(mark)) }
        }
        @if case.case.is_identity_in_doubt(Some(patient)) {
            small class="alert" { "Identité à vérifier" (short(&doubt(case, patient))) }
        }
    }
}

/// What else is given of whom a case is of, and by whom.
fn doubt(case: &ShownCase, patient: &Patient) -> String {
    let Some(given) = case.case.identity_in_doubt(Some(patient)) else {
        return String::new();
    };
    let birth_date = given.birth_date.map(|date| french_date(&date.to_string()));
    let sex = given.sex.map(|sex| sex_in_words(sex).0.to_owned());
    let said = [given.birth_name.clone(), birth_date, sex];
    let said: Vec<String> = said.into_iter().flatten().collect();
    format!(" : {} ({})", said.join(", "), given.by)
}

/// The sex, and the word for born.
fn sex_in_words(sex: Sex) -> (&'static str, &'static str) {
    match sex {
        Sex::F => ("Femme", "née"),
        Sex::M => ("Homme", "né"),
    }
}

fn submitter(case: &ShownCase) -> Markup {
    let Some(submitter) = &case.submitter else {
        return html! { "—" };
    };
    let number = number(submitter).unwrap_or_default();
    let Some(name) = submitter.name() else {
        return html! { (short(&number)) };
    };
    html! {
        (short(&name))
        @if submitter.is_department() { small { "Service, pas un médecin" } }
        @if !number.is_empty() { small { (short(&number)) } }
    }
}

/// Whom the form names, folded up.
fn people(case: &ShownCase) -> Markup {
    let more = case.people_count.saturating_sub(case.people.len());
    html! {
        @if !case.people.is_empty() {
            details {
                summary { (counted(case.people_count, "personne citée", "personnes citées")) }
                ul {
                    @for (function, name) in &case.people {
                        li { (short(name)) small { (short(function)) } }
                    }
                    @if more > 0 { li { "[coupé : encore " (more) "]" } }
                }
            }
        }
    }
}

/// The number of a physician with what it is.
fn number(physician: &Physician) -> Option<String> {
    match physician.known_rpps() {
        Some(rpps) => Some(format!("RPPS {rpps}")),
        None => physician.number(),
    }
}

fn form(case: &ShownCase) -> Markup {
    let (class, words) = match case.form {
        FormState::Missing => ("missing", "Absent"),
        FormState::Received => ("received", "Reçu"),
        FormState::Complete => ("complete", "Complet"),
        FormState::Incomplete => ("incomplete", "Incomplet"),
    };
    html! {
        span class={ "mark " (class) } { (words) }
        @if let Some(path) = &case.form_file { small { (link(path, "Ouvrir")) } }
        @match case.written {
            HandwritingNotice::Nothing => {},
            HandwritingNotice::Something => small { "Saisi à la main, en tout ou partie" },
            HandwritingNotice::Otherwise => small class="alert" { "Saisi à la main : diffère du document" },
        }
    }
}

fn documents(case: &ShownCase) -> Markup {
    html! {
        @match case.documents.is_empty() {
            true => "—",
            false => ul {
                @for document in &case.documents {
                    li { (link(&document.path, &document.label)) }
                }
            },
        }
    }
}

fn state(case: &ShownCase) -> Markup {
    let (class, words) = match case.case.state {
        CaseState::Completed(_) => ("complete", "Terminé"),
        _ => ("received", "À discuter"),
    };
    let outdated: Vec<&str> = case.outdated.iter().map(|part| part.words()).collect();
    html! {
        span class={ "mark " (class) } { (words) }
        @if let Some((path, version)) = &case.report {
            small { (link(path, &format!("Compte rendu, v{version}"))) }
        }
        @if !outdated.is_empty() {
            small class="alert" { "Compte rendu à renouveler : " (outdated.join(", ")) }
        }
    }
}

fn lines(lines: &[String]) -> Markup {
    html! {
        @if lines.is_empty() { "—" }
        @for (number, line) in lines.iter().enumerate() {
            @if number > 0 { br; }
            (in_page(line))
        }
    }
}

/// A link to a file beside the page.
fn link(path: &str, words: &str) -> Markup {
    let mut address = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                address.push(char::from(byte));
            }
            other => {
                let _ = write!(address, "%{other:02X}");
            }
        }
    }
    html! { a href=(address) { (short(words)) } }
}
