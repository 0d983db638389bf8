//! The fRCP: the finished form of a case as a PDF in French (SPEC 8).
//!
//! This file says what the document shows and in which order; [`crate::config::layout`] holds what an
//! operator can adapt, `page` places and draws, `text` measures. The PDF is A4, PDF/A-2b, tagged, its fonts
//! embedded, and the same bytes for the same [`Frcp`] and [`Layout`].

mod page;
mod text;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Offset, Timelike};
use krilla::error::KrillaError;
use krilla::metadata::{self, Metadata};

use self::page::{Column, Composer, Edges, Entry, FAINT, Style};
use crate::config::layout::{Captions, Layout, Part};

/// The title of the document, unless the caller gives another.
pub const TITLE: &str = "Fiche de réunion de concertation pluridisciplinaire";

/// Everything the document shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Frcp {
    /// Usually [`TITLE`].
    pub title: String,
    /// The session that discussed the case.
    pub session: SessionBlock,
    /// Whose case it is.
    pub patient: PatientBlock,
    /// The hospital's name.
    pub facility_name: String,
    /// The facility's id of the case.
    pub case_id: String,
    /// Who submitted the case.
    pub submitter: Option<PhysicianLine>,
    /// The session's lead physician, else the case's.
    pub lead: Option<PhysicianLine>,
    /// Who took part, as the desk said.
    pub participants: Vec<Participant>,
    /// Everything that was said about the quorum; the document itself never concludes on it.
    pub quorum: Vec<Quorum>,
    /// The questionnaire.
    pub sections: Vec<Section>,
    /// Label and value of what the desk wrote at `complete`.
    pub items: Vec<(String, String)>,
    /// The decision; may be empty.
    pub decision: String,
    /// Which report this is; none for the form of a case that is still to be discussed, which shows no decision.
    pub report: Option<ReportBlock>,
}

/// A version of a report, as the document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportBlock {
    /// The report's id, the same for all its versions.
    pub document_id: String,
    /// The report's version, from 1.
    pub version: u32,
    /// The time of this version's `complete`, in the facility's time zone.
    pub completed: DateTime<FixedOffset>,
}

/// A session, as the document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBlock {
    /// Its label.
    pub label: String,
    /// Its date.
    pub date: NaiveDate,
    /// When it starts, as the desk wrote it, e.g. `14:00`.
    pub start: Option<String>,
}

/// A patient, as the document names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatientBlock {
    /// Birth name.
    pub birth_name: String,
    /// Usual name.
    pub usual_name: String,
    /// Given name in use.
    pub given_name: String,
    /// Given name of the civil status, where it is known.
    pub birth_given_name: Option<String>,
    /// `M` or `F`; anything else is shown as it is.
    pub sex: String,
    /// `yyyy-mm-dd`, `yyyy-mm` or `yyyy`.
    pub birth_date: String,
    /// The facility's patient id.
    pub ipp: String,
    /// The national identity, number and OID.
    pub ins: Option<(String, String)>,
    /// The status of the identity as sent (PID-32), e.g. `VALI`.
    pub ins_status: Option<String>,
}

/// A physician with the national number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhysicianLine {
    /// RPPS in plain digits.
    pub rpps: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
}

/// Someone who took part in the session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Participant {
    /// RPPS, if the desk gave it.
    pub rpps: Option<String>,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// What they do, e.g. `oncologue`.
    pub role: String,
}

/// What somebody said about the quorum of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// In their words.
    pub said: String,
    /// Who said it.
    pub source: QuorumSource,
}

/// Who said something about the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuorumSource {
    /// The desk, in an item of its `complete`.
    Desk,
    /// The questionnaire.
    Questionnaire,
}

/// A section of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Its title.
    pub title: String,
    /// Its code, which stands in for a missing title.
    pub code: Option<String>,
    /// Its statements, in the order of the questionnaire.
    pub rows: Vec<Row>,
    /// Its text for a reader.
    pub narrative: Option<String>,
    /// The sections in it.
    pub sections: Vec<Section>,
}

/// A statement of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// What it is about.
    pub label: String,
    /// What it says.
    pub value: String,
    /// Whether it was done, is proposed or is planned, in words (see [`mood`]), and whatever else
    /// qualifies the statement.
    pub qualifier: Option<String>,
    /// How deep it stands below other statements.
    pub depth: u8,
}

/// Why there is no PDF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrcpError {
    /// The program was built with a damaged font.
    #[error("an embedded font cannot be read; the program was built wrongly, install it again")]
    Font,
    /// The program was built with a wrong page size.
    #[error("the page has no size; the program was built wrongly, install it again")]
    PageSize,
    /// The PDF library refused the document.
    #[error("the report is no valid PDF/A: {0}")]
    Pdf(String),
}

impl From<KrillaError> for FrcpError {
    fn from(error: KrillaError) -> Self {
        match &error {
            // The sentence of a failed validation has only a count.
            KrillaError::Validation(errors) => Self::Pdf(format!("{errors:?}")),
            other => Self::Pdf(other.to_string()),
        }
    }
}

/// A mood code of HL7 version 3 (`ActMood`) in words, for [`Row::qualifier`].
pub fn mood(code: &str) -> &str {
    match code {
        "EVN" => "Réalisé",
        "PRP" => "Proposé",
        "INT" => "Prévu",
        "ARQ" => "Rendez-vous demandé",
        "APT" => "Rendez-vous",
        "RQO" => "Demandé",
        "PRMS" => "Promis",
        "GOL" => "Objectif",
        "DEF" => "Définition",
        other => other,
    }
}

/// A document, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The PDF.
    pub pdf: Vec<u8>,
    /// How many combining marks it shows as codes: no page can show thousands of them on one letter.
    pub coded_marks: usize,
}

/// The PDF in the built-in layout.
pub fn render(frcp: &Frcp) -> Result<Vec<u8>, FrcpError> {
    Ok(render_with(frcp, &Layout::default())?.pdf)
}

/// The document in the operator's layout.
pub fn render_with(frcp: &Frcp, layout: &Layout) -> Result<Rendered, FrcpError> {
    let captions = &layout.captions;
    let mut page = Composer::new(layout)?;
    title(&mut page, frcp, layout);
    for part in &layout.parts {
        match part {
            Part::Identity => identity(&mut page, frcp, captions),
            Part::Physicians => physicians(&mut page, frcp, captions),
            Part::Participants => participants(&mut page, frcp, captions),
            Part::Questionnaire => questionnaire(&mut page, frcp, captions),
            Part::Items => items(&mut page, frcp, captions),
            Part::Decision if frcp.report.is_none() => {}
            Part::Decision => decision(&mut page, frcp, captions),
        }
    }
    let patient = &frcp.patient;
    let head = [
        full_name(&patient.usual_name, &patient.given_name),
        french_date(&patient.birth_date),
        format!("{} {}", captions.ipp, patient.ipp),
        format!("{} {}", captions.case, frcp.case_id),
        frcp.session.label.clone(),
    ]
    .join(" · ");
    let foot = match &frcp.report {
        Some(report) => [
            format!("{} {}", captions.document, report.document_id),
            format!(
                "{} {} · {} {} {} {}",
                captions.version,
                report.version,
                captions.completed,
                report.completed.format("%d/%m/%Y"),
                captions.at,
                report.completed.format("%H:%M:%S"),
            ),
        ],
        None => [captions.to_discuss.clone(), String::new()],
    };
    let coded_marks = page.fonts.coded_marks();
    let pdf = page.finish(Edges {
        head: &head,
        foot: [&foot[0], &foot[1]],
        page: &captions.page,
        metadata: description(frcp),
    })?;
    Ok(Rendered { pdf, coded_marks })
}

/// What the file says about itself; names stay inside the document.
fn description(frcp: &Frcp) -> Metadata {
    let title: String = frcp
        .title
        .chars()
        // What XML cannot hold would spoil the metadata.
        .filter(|character| {
            !character.is_control() && !('\u{FFFE}'..='\u{FFFF}').contains(character)
        })
        .take(300)
        .collect();
    let description = Metadata::new()
        .title(title)
        .language("fr".to_owned())
        .creator("rcpspool".to_owned())
        .text_direction(metadata::TextDirection::LeftToRight);
    match &frcp.report {
        Some(report) => description
            .document_id(report.document_id.clone())
            .creation_date(time(report.completed)),
        // PDF/A wants a time that is the same whenever the form is made.
        None => {
            let midnight = frcp.session.date.and_time(chrono::NaiveTime::MIN);
            description.creation_date(time(midnight.and_utc().fixed_offset()))
        }
    }
}

fn time(time: DateTime<FixedOffset>) -> metadata::DateTime {
    let small = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let minutes = time.offset().fix().local_minus_utc() / 60;
    metadata::DateTime::new(u16::try_from(time.year()).unwrap_or(0))
        .month(small(time.month()))
        .day(small(time.day()))
        .hour(small(time.hour()))
        .minute(small(time.minute()))
        .second(small(time.second()))
        .utc_offset_hour(i8::try_from(minutes / 60).unwrap_or(0))
        .utc_offset_minute(small(minutes.unsigned_abs() % 60))
}

fn title(page: &mut Composer, frcp: &Frcp, layout: &Layout) {
    let captions = &layout.captions;
    page.logo(&captions.logo);
    page.paragraph(
        &frcp.facility_name,
        Style {
            colour: FAINT,
            ..page.strong()
        },
    );
    page.heading(1, &frcp.title);
    let session = &frcp.session;
    page.paragraph(
        &session.label,
        Style {
            size: page.body().size * 1.25,
            ..page.strong()
        },
    );
    let mut when = format!("{} {}", captions.session, long_date(session.date));
    if let Some(start) = session.start.as_deref().filter(|start| !start.is_empty()) {
        when.push_str(&format!(" {} {start}", captions.at));
    }
    let place = layout.place.trim();
    if !place.is_empty() {
        when.push_str(&format!(", {place}"));
    }
    page.paragraph(&when, page.body());
    page.below_logo();
    page.space(4.0);
}

fn identity(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    let patient = &frcp.patient;
    let shown = |text: &str| shown(text, captions);
    page.heading(2, &captions.patient);
    let mut pairs = vec![
        (captions.birth_name.as_str(), shown(&patient.birth_name)),
        (&captions.usual_name, shown(&patient.usual_name)),
        (&captions.given_name, shown(&patient.given_name)),
        (
            &captions.birth_given_name,
            shown(patient.birth_given_name.as_deref().unwrap_or_default()),
        ),
        (
            &captions.birth_date,
            french_date(&shown(&patient.birth_date)),
        ),
        (
            &captions.sex,
            match patient.sex.as_str() {
                "M" => captions.male.clone(),
                "F" => captions.female.clone(),
                other => shown(other),
            },
        ),
        (&captions.ipp, shown(&patient.ipp)),
        (&captions.case, shown(&frcp.case_id)),
    ];
    if let Some((number, oid)) = &patient.ins {
        let kind = match oid.as_str() {
            "1.2.250.1.213.1.4.8" => "NIR",
            "1.2.250.1.213.1.4.9" => "NIA",
            "1.2.250.1.213.1.4.10" => "NIR de test",
            "1.2.250.1.213.1.4.11" => "NIR de démonstration",
            other => other,
        };
        pairs.push((&captions.ins, format!("{number} ({kind})")));
    }
    if let Some(status) = &patient.ins_status {
        let status = match status.as_str() {
            "VALI" => "Validée (VALI)",
            "PROV" => "Provisoire (PROV)",
            other => other,
        };
        pairs.push((&captions.identity_status, shown(status)));
    }
    page.card(3, &pairs);
}

fn physicians(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    page.heading(2, &captions.physicians);
    let lines = [
        (&captions.submitter, &frcp.submitter),
        (&captions.lead, &frcp.lead),
    ];
    let rows: Vec<_> = lines
        .into_iter()
        .map(|(role, physician)| {
            let physician = physician.clone().unwrap_or_default();
            [
                role.clone(),
                shown(&full_name(&physician.family, &physician.given), captions),
                shown(&physician.rpps, captions),
            ]
        })
        .collect();
    let columns = [
        (&captions.role, 0.36),
        (&captions.name, 0.38),
        (&captions.rpps, 0.26),
    ];
    people(page, columns, &rows);
}

fn participants(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    if frcp.participants.is_empty() && frcp.quorum.is_empty() {
        return;
    }
    page.heading(2, &captions.participants);
    if !frcp.participants.is_empty() {
        those_present(page, &frcp.participants, captions);
    }
    quorum(page, &frcp.quorum, captions);
}

fn those_present(page: &mut Composer, participants: &[Participant], captions: &Captions) {
    let rows: Vec<_> = participants
        .iter()
        .map(|participant| {
            let rpps = participant.rpps.as_deref().unwrap_or_default();
            [
                shown(&participant.role, captions),
                shown(
                    &full_name(&participant.family, &participant.given),
                    captions,
                ),
                shown(rpps, captions),
            ]
        })
        .collect();
    let columns = [
        (&captions.role, 0.36),
        (&captions.name, 0.38),
        (&captions.rpps, 0.26),
    ];
    people(page, columns, &rows);
    page.space(4.0);
    let present = format!("{} : {}", captions.present, count(participants));
    page.paragraph(&present, page.body());
}

/// How many took part, and what was said about the quorum: whether these people make one is not for the program to
/// say.
fn quorum(page: &mut Composer, said: &[Quorum], captions: &Captions) {
    if said.is_empty() {
        page.paragraph(
            &format!("{} : {}", captions.quorum, captions.no_quorum),
            page.body(),
        );
    }
    for Quorum { said, source } in said {
        let source = match source {
            QuorumSource::Desk => &captions.quorum_of_desk,
            QuorumSource::Questionnaire => &captions.quorum_of_questionnaire,
        };
        page.paragraph(
            &format!("{} : {said} ({source})", captions.quorum),
            page.strong(),
        );
    }
}

/// `3 (oncologue × 2, chirurgien)`.
fn count(participants: &[Participant]) -> String {
    let mut roles: Vec<(&str, usize)> = Vec::new();
    for role in participants.iter().map(|it| it.role.trim()) {
        match roles.iter_mut().find(|(known, _)| *known == role) {
            Some((_, count)) => *count = count.saturating_add(1),
            None if role.is_empty() => {}
            None => roles.push((role, 1)),
        }
    }
    let roles: Vec<String> = roles
        .into_iter()
        .map(|(role, count)| match count {
            1 => role.to_owned(),
            count => format!("{role} × {count}"),
        })
        .collect();
    let all = participants.len();
    match roles.is_empty() {
        true => all.to_string(),
        false => format!("{all} ({})", roles.join(", ")),
    }
}

fn people(page: &mut Composer, columns: [(&String, f32); 3], rows: &[[String; 3]]) {
    let columns = columns.map(|(title, share)| Column { title, share });
    let (plain, strong) = (page.body(), page.strong());
    page.table(
        &columns,
        rows.iter().map(|texts| {
            texts
                .iter()
                .zip([plain, strong, plain])
                .map(|(text, style)| Entry {
                    text,
                    style,
                    indent: 0.0,
                })
                .collect()
        }),
    );
}

fn questionnaire(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    page.heading(2, &captions.questionnaire);
    if frcp.sections.is_empty() {
        let faint = Style {
            colour: FAINT,
            ..page.body()
        };
        page.paragraph(&captions.no_questionnaire, faint);
    }
    let qualified = frcp.sections.iter().any(has_qualifier);
    for section in &frcp.sections {
        self::section(page, section, 3, qualified, captions);
    }
}

/// One table layout for all sections, so that their columns stand below each other.
fn has_qualifier(section: &Section) -> bool {
    section.rows.iter().any(|row| row.qualifier.is_some())
        || section.sections.iter().any(has_qualifier)
}

fn section(
    page: &mut Composer,
    section: &Section,
    level: u16,
    qualified: bool,
    captions: &Captions,
) {
    let title = match (section.title.trim(), &section.code) {
        ("", Some(code)) => code,
        (title, _) => title,
    };
    page.heading(level, &shown(title, captions));
    if !section.rows.is_empty() {
        let columns = [
            Column {
                title: &captions.label,
                share: if qualified { 0.37 } else { 0.40 },
            },
            Column {
                title: &captions.value,
                share: if qualified { 0.46 } else { 0.60 },
            },
            Column {
                title: &captions.mood,
                share: 0.17,
            },
        ];
        let columns = columns.get(..if qualified { 3 } else { 2 });
        let (plain, strong) = (page.body(), page.strong());
        let faint = Style {
            colour: FAINT,
            ..plain
        };
        page.table(
            columns.unwrap_or_default(),
            section.rows.iter().enumerate().map(|(index, row)| {
                let next = section.rows.get(index.saturating_add(1));
                // A row that only gathers those below it lacks no value.
                let gathers =
                    row.value.trim().is_empty() && next.is_some_and(|next| next.depth > row.depth);
                let (label, value) = match gathers {
                    true => (strong, BLANK),
                    false => (faint, shown_ref(&row.value, captions)),
                };
                let mut entries = vec![
                    Entry {
                        text: shown_ref(&row.label, captions),
                        style: label,
                        // Deeper than this, the label would have no room left.
                        indent: f32::from(row.depth.min(8)) * 9.0,
                    },
                    Entry {
                        text: value,
                        style: plain,
                        indent: 0.0,
                    },
                ];
                if qualified {
                    entries.push(Entry {
                        text: match (&row.qualifier, gathers) {
                            (None, true) => BLANK,
                            (qualifier, _) => {
                                shown_ref(qualifier.as_deref().unwrap_or_default(), captions)
                            }
                        },
                        style: plain,
                        indent: 0.0,
                    });
                }
                entries
            }),
        );
    }
    if let Some(narrative) = section
        .narrative
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    {
        page.space(4.0);
        if !section.rows.is_empty() {
            page.keep(page.body().size * 5.0);
            page.paragraph(&captions.narrative, page.small());
        }
        for line in narrative.lines() {
            page.paragraph(line, page.body());
        }
    } else if section.rows.is_empty() && section.sections.is_empty() {
        page.paragraph(&captions.nothing, page.body());
    }
    for inner in &section.sections {
        self::section(
            page,
            inner,
            level.saturating_add(1).min(6),
            qualified,
            captions,
        );
    }
}

fn items(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    if frcp.items.is_empty() {
        return;
    }
    page.heading(2, &captions.items);
    let columns = [
        Column {
            title: &captions.label,
            share: 0.40,
        },
        Column {
            title: &captions.value,
            share: 0.60,
        },
    ];
    let style = page.body();
    page.table(
        &columns,
        frcp.items.iter().map(|(label, value)| {
            let faint = Style {
                colour: FAINT,
                ..style
            };
            [(label, faint), (value, style)]
                .into_iter()
                .map(|(text, style)| Entry {
                    text: shown_ref(text, captions),
                    style,
                    indent: 0.0,
                })
                .collect()
        }),
    );
}

fn decision(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    let mut style = page.body();
    style.size *= 1.1;
    if frcp.decision.trim().is_empty() {
        style.colour = FAINT;
        page.framed(&captions.decision, &captions.no_decision, style);
    } else {
        page.framed(&captions.decision, &frcp.decision, style);
    }
}

/// A cell that is empty on purpose; a space that does not break keeps it in the tag tree.
const BLANK: &str = "\u{A0}";

/// An empty value is shown as such: a blank cell could be a cell that was forgotten.
fn shown_ref<'a>(text: &'a str, captions: &'a Captions) -> &'a str {
    if text.trim().is_empty() {
        &captions.nothing
    } else {
        text
    }
}

fn shown(text: &str, captions: &Captions) -> String {
    shown_ref(text, captions).to_owned()
}

fn full_name(family: &str, given: &str) -> String {
    format!("{} {}", family.trim(), given.trim())
        .trim()
        .to_owned()
}

/// `yyyy-mm-dd` as `dd/mm/yyyy`, a coarser date as `mm/yyyy` or `yyyy`; anything else as it is.
pub(crate) fn french_date(date: &str) -> String {
    let parts: Vec<_> = date.split('-').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() <= 3 && parts.iter().all(digits) {
        parts.into_iter().rev().collect::<Vec<_>>().join("/")
    } else {
        date.to_owned()
    }
}

/// `mardi 25 mars 2025`.
pub(crate) fn long_date(date: NaiveDate) -> String {
    const DAYS: [&str; 7] = [
        "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
    ];
    const MONTHS: [&str; 12] = [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ];
    let day = match date.day() {
        1 => "1er".to_owned(),
        day => day.to_string(),
    };
    let weekday = date.weekday().num_days_from_monday() as usize;
    format!(
        "{} {day} {} {}",
        DAYS.get(weekday).copied().unwrap_or_default(),
        MONTHS
            .get(date.month0() as usize)
            .copied()
            .unwrap_or_default(),
        date.year()
    )
}

#[cfg(test)]
mod tests;
