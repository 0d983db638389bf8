//! The page of a session: a list that is read on a screen, on a phone and on paper, without scripts.

use std::fmt::Write;

use super::content::{FormState, HandwritingNotice, ShownCase};
use crate::model::case::CaseState;
use crate::model::patient::{Patient, Physician, Sex};
use crate::model::session::{Session, SessionState};
use crate::model::visible::in_html;
use crate::reports::frcp::{french_date, long_date};

const STYLE: &str = include_str!("page.css");

/// A name, a label or an id is shown up to so many characters.
const LONGEST: usize = 300;

/// Text for the page; of one that is too long it says how much is not shown.
fn escape(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => in_html(text),
        Some((end, _)) => {
            let (shown, rest) = text.split_at(end);
            format!(
                "{}… [coupé : encore {} caractères]",
                in_html(shown),
                rest.chars().count()
            )
        }
    }
}

/// The page.
pub(super) fn render(session: &Session, cases: &[ShownCase]) -> String {
    let mut page = String::with_capacity(STYLE.len() + 1024 * (1 + cases.len()));
    let label = escape(session.label.as_str());
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"fr\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"robots\" content=\"noindex\">\
         <title>{label}, {date}</title><style>\n{STYLE}</style></head><body>\n<header><h1>{label}</h1>\n",
        date = session.date.format("%d/%m/%Y"),
    );
    heading(&mut page, session);
    summary(&mut page, cases);
    page.push_str("</header>\n");
    if session.state == SessionState::Cancelled {
        page.push_str("<p class=\"alert\">Cette réunion est annulée. Ses dossiers attendent une autre réunion.</p>\n");
    }
    match cases.is_empty() {
        true => page.push_str("<p>Aucun dossier n’est inscrit.</p>\n"),
        false => table(&mut page, cases),
    }
    page.push_str("</body></html>\n");
    page
}

fn heading(page: &mut String, session: &Session) {
    let mut when = long_date(session.date);
    if let Some(start) = session.start.as_deref().filter(|start| !start.is_empty()) {
        let _ = write!(when, " à {start}");
    }
    let state = match session.state {
        SessionState::Planned => "prévue",
        SessionState::Closed => "close",
        SessionState::Cancelled => "annulée",
    };
    let _ = write!(
        page,
        "<p class=\"when\">{} <span class=\"state {}\">{state}</span></p>\n<p class=\"about\">",
        escape(&when),
        session.state.word(),
    );
    if let Some(lead) = &session.lead {
        let name = lead.name().unwrap_or_default();
        let _ = write!(page, "<span>Responsable : <b>{}</b>", escape(&name));
        if let Some(number) = number(lead) {
            let _ = write!(page, " ({})", escape(&number));
        }
        page.push_str("</span> ");
    }
    let ids = [
        ("Réunion", Some(session.id.as_str())),
        (
            "Parcours",
            session.pathway_id.as_ref().map(|id| id.as_str()),
        ),
        ("Famille", session.family_id.as_ref().map(|id| id.as_str())),
    ];
    for (caption, id) in ids {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            let _ = write!(page, "<span>{caption} : {}</span> ", escape(id));
        }
    }
    page.push_str("</p>\n");
}

fn summary(page: &mut String, cases: &[ShownCase]) {
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
    let _ = writeln!(page, "<p class=\"count\">{}</p>", parts.join(" · "));
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

fn table(page: &mut String, cases: &[ShownCase]) {
    page.push_str("<table><thead><tr>");
    for column in COLUMNS {
        let _ = write!(page, "<th scope=\"col\">{column}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for (number, case) in (1..).zip(cases) {
        let cells = [
            format!("<b>{number}</b>"),
            patient(case),
            format!(
                "{}<small>{}</small>",
                escape(case.case.id.as_str()),
                escape(case.facility.as_str()),
            ),
            submitter(case) + &people(case),
            lines(&case.question),
            form(case),
            documents(case),
            state(case),
        ];
        page.push_str("<tr>");
        for (column, cell) in COLUMNS.iter().zip(cells) {
            // On a phone, each cell says what it is.
            let _ = write!(page, "<td data-label=\"{column}\">{cell}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn patient(case: &ShownCase) -> String {
    let Some(patient) = case.patient.as_deref() else {
        return "Patient inconnu".to_owned();
    };
    let Patient {
        usual_name,
        birth_name,
        given_name,
        ..
    } = patient;
    let mut text = format!(
        "<b>{} {}</b>",
        escape(usual_name.as_str()),
        escape(given_name.as_str())
    );
    let (sex, born) = sex_in_words(patient.sex);
    if birth_name != usual_name {
        let _ = write!(
            text,
            "<small>{born} {}</small>",
            escape(birth_name.as_str())
        );
    }
    let birth_date = patient.birth_date.to_string();
    let on = if birth_date.len() == 10 { "le" } else { "en" };
    let _ = write!(
        text,
        "<small>{sex}, {born} {on} {}</small><small>IPP {}</small>",
        escape(french_date(&birth_date).as_str()),
        escape(patient.ipp.as_str()),
    );
    for mark in patient.identity_marks() {
        let _ = write!(text, "<small class=\"alert\">{}</small>", escape(mark));
    }
    if case.case.is_identity_in_doubt(Some(patient)) {
        text.push_str("<small class=\"alert\">Identité à vérifier");
        if let Some(given) = case.case.identity_in_doubt(Some(patient)) {
            let birth_date = given.birth_date.map(|date| french_date(&date.to_string()));
            let sex = given.sex.map(|sex| sex_in_words(sex).0.to_owned());
            let said = [given.birth_name.clone(), birth_date, sex];
            let said: Vec<String> = said.into_iter().flatten().collect();
            let said = format!(" : {} ({})", said.join(", "), given.by);
            text.push_str(&escape(&said));
        }
        text.push_str("</small>");
    }
    text
}

/// The sex, and the word for born.
fn sex_in_words(sex: Sex) -> (&'static str, &'static str) {
    match sex {
        Sex::F => ("Femme", "née"),
        Sex::M => ("Homme", "né"),
    }
}

fn submitter(case: &ShownCase) -> String {
    let Some(submitter) = &case.submitter else {
        return "—".to_owned();
    };
    let number = number(submitter).unwrap_or_default();
    let Some(name) = submitter.name() else {
        return escape(&number).to_string();
    };
    let mut text = escape(&name).to_string();
    if submitter.is_department() {
        text.push_str("<small>Service, pas un médecin</small>");
    }
    if !number.is_empty() {
        let _ = write!(text, "<small>{}</small>", escape(&number));
    }
    text
}

/// Whom the form names, folded up.
fn people(case: &ShownCase) -> String {
    let mut text = String::new();
    if case.people.is_empty() {
        return text;
    }
    let count = counted(case.people_count, "personne citée", "personnes citées");
    let _ = write!(text, "<details><summary>{count}</summary><ul>");
    for (function, name) in &case.people {
        let _ = write!(
            text,
            "<li>{}<small>{}</small></li>",
            escape(name),
            escape(function)
        );
    }
    let more = case.people_count.saturating_sub(case.people.len());
    if more > 0 {
        let _ = write!(text, "<li>[coupé : encore {more}]</li>");
    }
    text.push_str("</ul></details>");
    text
}

/// The number of a physician with what it is.
fn number(physician: &Physician) -> Option<String> {
    match physician.known_rpps() {
        Some(rpps) => Some(format!("RPPS {rpps}")),
        None => physician.number(),
    }
}

fn form(case: &ShownCase) -> String {
    let (class, words) = match case.form {
        FormState::Missing => ("missing", "Absent"),
        FormState::Received => ("received", "Reçu"),
        FormState::Complete => ("complete", "Complet"),
        FormState::Incomplete => ("incomplete", "Incomplet"),
    };
    let mut text = format!("<span class=\"mark {class}\">{words}</span>");
    if let Some(path) = &case.form_file {
        let _ = write!(text, "<small>{}</small>", link(path, "Ouvrir"));
    }
    text.push_str(match case.written {
        HandwritingNotice::Nothing => "",
        HandwritingNotice::Something => "<small>Saisi à la main, en tout ou partie</small>",
        HandwritingNotice::Otherwise => {
            "<small class=\"alert\">Saisi à la main : diffère du document</small>"
        }
    });
    text
}

fn documents(case: &ShownCase) -> String {
    if case.documents.is_empty() {
        return "—".to_owned();
    }
    let mut text = "<ul>".to_owned();
    for document in &case.documents {
        let _ = write!(text, "<li>{}</li>", link(&document.path, &document.label));
    }
    text.push_str("</ul>");
    text
}

fn state(case: &ShownCase) -> String {
    let (class, words) = match case.case.state {
        CaseState::Completed(_) => ("complete", "Terminé"),
        _ => ("received", "À discuter"),
    };
    let mut text = format!("<span class=\"mark {class}\">{words}</span>");
    if let Some((path, version)) = &case.report {
        let words = format!("Compte rendu, v{version}");
        let _ = write!(text, "<small>{}</small>", link(path, &words));
    }
    if !case.outdated.is_empty() {
        let words: Vec<&str> = case.outdated.iter().map(|part| part.words()).collect();
        let _ = write!(
            text,
            "<small class=\"alert\">Compte rendu à renouveler : {}</small>",
            words.join(", ")
        );
    }
    text
}

fn lines(lines: &[String]) -> String {
    if lines.is_empty() {
        return "—".to_owned();
    }
    let escaped = lines.iter().map(|line| in_html(line));
    escaped.collect::<Vec<_>>().join("<br>")
}

/// A link to a file beside the page.
fn link(path: &str, words: &str) -> String {
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
    format!("<a href=\"{address}\">{}</a>", escape(words))
}
