//! The fRCP: the finished form of a case as a PDF in French (interface.md 8).
//!
//! This file says what the document shows and in which order; [`crate::config::layout`] holds what an
//! operator can adapt, `page` places and draws, `text` measures. The PDF is A4, PDF/A-2b, tagged, its fonts
//! embedded, and the same bytes for the same [`Frcp`] and [`Layout`].

mod page;
mod text;

pub use self::text::Coded;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Offset, Timelike};
use krilla::error::KrillaError;
use krilla::image::Image;
use krilla::metadata::{self, Metadata};

use self::page::{Composer, FAINT, PageEdges, Style, TableCell, TableColumn};
use crate::config::layout::{Captions, Layout, Part};
use crate::model::name::fold;
use crate::model::visible::is_blank;

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
    /// The hospital.
    pub facility: FacilityBlock,
    /// The facility's id of the case.
    pub case_id: String,
    /// Who submitted the case.
    pub submitter: Option<PhysicianLine>,
    /// The session's lead physician, else the case's.
    pub lead: Option<PhysicianLine>,
    /// Who took part.
    pub participants: Participants,
    /// Whom the form names besides, with what each is there for.
    pub people: Vec<SessionParticipant>,
    /// The identity that a message or document of the case gave, where it is another than the patient's.
    pub mismatch: Option<MismatchBlock>,
    /// Everything that was said about the quorum; the document itself never concludes on it.
    pub quorum: Vec<Quorum>,
    /// The questionnaire.
    pub sections: Vec<SectionBlock>,
    /// Label and value of what the desk wrote at `complete`.
    pub items: Vec<(String, String)>,
    /// Name, date and kind of each document of the case besides the form.
    pub documents: Vec<[String; 3]>,
    /// The decision; may be empty.
    pub decision: String,
    /// Who validated the decision, where the desk said so.
    pub validator: Option<SessionParticipant>,
    /// Who answers for the form, and when they signed it.
    pub authenticator: Option<(String, Option<String>)>,
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
    /// The time of this version's `complete`, or of the message that renewed it, in the facility's time zone.
    pub completed: DateTime<FixedOffset>,
    /// The time of the last `complete`, where a message renewed the report since and nobody validated this version.
    pub validated: Option<DateTime<FixedOffset>>,
    /// The version that it takes the place of.
    pub replaces: Option<PreviousVersion>,
}

/// A version that another one takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousVersion {
    /// Its number.
    pub version: u32,
    /// The time of its `complete`, in the facility's time zone.
    pub completed: DateTime<FixedOffset>,
    /// What has changed since, in words; empty where that is not known.
    pub changed: Vec<String>,
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
    /// Where it meets, as the form says.
    pub places: Vec<String>,
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

/// Another identity than the patient's, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MismatchBlock {
    /// Birth name.
    pub birth_name: Option<String>,
    /// Given name of the civil status.
    pub given_name: Option<String>,
    /// As the patient's.
    pub birth_date: Option<String>,
    /// As the patient's.
    pub sex: Option<String>,
    /// What gave it: `CDA`, `SIU^S12`.
    pub source: Option<String>,
}

/// A hospital, as the document names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FacilityBlock {
    /// Its name.
    pub name: String,
    /// Its address; may be empty.
    pub address: String,
    /// Its number in the national register.
    pub finess: Option<String>,
    /// The department or service of the case.
    pub network: Option<String>,
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
pub struct SessionParticipant {
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
    pub text: String,
    /// Who said it.
    pub source: InformationSource,
}

/// Who took part, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Participants {
    /// They.
    pub people: Vec<SessionParticipant>,
    /// Who says so.
    pub source: InformationSource,
}

/// Who said something about the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InformationSource {
    /// The desk, in its `complete`.
    #[default]
    Desk,
    /// The questionnaire, or the document that it came in.
    Questionnaire,
}

/// A section of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SectionBlock {
    /// Its title.
    pub title: String,
    /// Its code, which stands in for a missing title.
    pub code: Option<String>,
    /// Its statements, in the order of the questionnaire.
    pub rows: Vec<StatementRow>,
    /// Its text for a reader, as far as its statements do not say it.
    pub narrative: Vec<NarrativePart>,
    /// Its pictures.
    pub figures: Vec<Figure>,
    /// The sections in it.
    pub sections: Vec<SectionBlock>,
}

/// A part of a section's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NarrativePart {
    /// A line.
    Line(String),
    /// A table; its head may be empty, and its rows may end before its last column.
    Table {
        /// What stands in the columns.
        head: Vec<String>,
        /// The cells of each row.
        rows: Vec<Vec<String>>,
    },
}

/// A picture of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// What stands below it.
    pub caption: String,
    /// The picture.
    pub image: Image,
}

/// A statement of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatementRow {
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

/// A mood code of HL7 version 3 (`ActMood`) in words, for [`StatementRow::qualifier`].
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
        "CRT" | "EVN.CRT" => "Critère",
        "EXPEC" => "Attendu",
        "OPT" => "Option",
        "SLOT" => "Créneau",
        "PERMRQ" => "Autorisation demandée",
        "RSK" => "Risque",
        other => other,
    }
}

/// A document, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedPdf {
    /// The PDF.
    pub pdf: Vec<u8>,
    /// What it shows as codes.
    pub coded: Coded,
}

/// The PDF in the built-in layout.
pub fn render(frcp: &Frcp) -> Result<Vec<u8>, FrcpError> {
    Ok(render_with(frcp, &Layout::default())?.pdf)
}

/// The document in the operator's layout.
pub fn render_with(frcp: &Frcp, layout: &Layout) -> Result<RenderedPdf, FrcpError> {
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
    documents(&mut page, frcp, captions);
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
                "{} {} · {}",
                captions.version,
                report.version,
                validation(report, &captions.updated, captions, "%H:%M:%S"),
            ),
        ],
        None => [captions.to_discuss.clone(), String::new()],
    };
    let coded = page.fonts.coded();
    let pdf = page.finish(PageEdges {
        head: &head,
        foot: [&foot[0], &foot[1]],
        page: &captions.page,
        metadata: description(frcp),
    })?;
    Ok(RenderedPdf { pdf, coded })
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
    let facility = &frcp.facility;
    page.paragraph(
        &facility.name,
        Style {
            colour: FAINT,
            ..page.strong()
        },
    );
    let finess = facility
        .finess
        .as_ref()
        .map(|it| format!("{} {it}", captions.finess));
    let network = facility
        .network
        .as_ref()
        .map(|it| format!("{} {it}", captions.network));
    let address = Some(facility.address.trim().to_owned()).filter(|it| !it.is_empty());
    let about: Vec<String> = [address, finess, network].into_iter().flatten().collect();
    page.paragraph(&about.join(" · "), page.small());
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
    let caption = match place.is_empty() {
        true => &captions.meeting_place,
        false => &captions.meeting_place_of_questionnaire,
    };
    let is_other = |other: &&String| fold(other) != fold(place);
    for other in session.places.iter().filter(is_other) {
        page.paragraph(&format!("{caption} : {other}"), page.body());
    }
    if let Some(report) = &frcp.report
        && let Some(replaced) = &report.replaces
    {
        let said = replacement(report.version, replaced, captions);
        page.paragraph(&said, page.strong());
    }
    page.below_logo();
    page.space(4.0);
}

/// `15/04/2025 à 18:00`
fn moment(time: DateTime<FixedOffset>, captions: &Captions, clock: &str) -> String {
    let (day, clock) = (time.format("%d/%m/%Y"), time.format(clock));
    format!("{day} {} {clock}", captions.at)
}

/// When this version was validated; or when it was renewed, and that it was validated before that.
fn validation(report: &ReportBlock, updated: &str, captions: &Captions, clock: &str) -> String {
    let made = moment(report.completed, captions, clock);
    let said = match report.validated {
        None => format!("{} {made}", captions.completed),
        Some(validated) => format!(
            "{updated} {made} ; {} {} {}",
            captions.completed,
            moment(validated, captions, clock),
            captions.before_update,
        ),
    };
    said.trim().to_owned()
}

/// The same as a caption and what stands below it.
fn validated_pair<'c>(report: &ReportBlock, captions: &'c Captions) -> (&'c str, String) {
    match report.validated {
        None => (
            &captions.validated,
            moment(report.completed, captions, "%H:%M"),
        ),
        Some(_) => (&captions.renewed, validation(report, "", captions, "%H:%M")),
    }
}

/// Which version it is, of which one it takes the place, and what has changed.
fn replacement(version: u32, replaced: &PreviousVersion, captions: &Captions) -> String {
    let mut said = format!(
        "{} {version} – {} {} {} {} {} {}",
        captions.version,
        captions.replaces,
        replaced.version,
        captions.of,
        replaced.completed.format("%d/%m/%Y"),
        captions.at,
        replaced.completed.format("%H:%M"),
    );
    if !replaced.changed.is_empty() {
        said.push_str(&format!(
            " ; {} : {}",
            captions.changed,
            replaced.changed.join(", ")
        ));
    }
    said
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
        (&captions.sex, sex(&patient.sex, captions)),
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
    if let Some(given) = &frcp.mismatch {
        page.space(4.0);
        page.paragraph(&captions.identity_mismatch, page.strong());
        let given = mismatch(given, captions);
        if !given.is_empty() {
            let said = format!("{} {given}", captions.identity_given);
            page.paragraph(&said, page.strong());
        }
    }
}

/// The other identity in one line.
fn mismatch(given: &MismatchBlock, captions: &Captions) -> String {
    let birth_date = given.birth_date.as_deref().map(french_date);
    let sex = given.sex.as_deref().map(|sex| self::sex(sex, captions));
    let data = [
        (&captions.birth_name, given.birth_name.clone()),
        (&captions.birth_given_name, given.given_name.clone()),
        (&captions.birth_date, birth_date),
        (&captions.sex, sex),
    ];
    let data: Vec<String> = data
        .into_iter()
        .filter_map(|(caption, value)| Some(format!("{caption} : {}", value?)))
        .collect();
    let source = given.source.as_ref().map(|source| format!(" ({source})"));
    match data.is_empty() {
        true => String::new(),
        false => data.join(" ; ") + &source.unwrap_or_default(),
    }
}

fn sex(code: &str, captions: &Captions) -> String {
    match code {
        "M" => captions.male.clone(),
        "F" => captions.female.clone(),
        other => shown(other, captions),
    }
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
    if !frcp.people.is_empty() {
        page.heading(3, &captions.people);
        present(page, &frcp.people, captions);
    }
}

fn participants(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    let Participants { people, source } = &frcp.participants;
    if people.is_empty() && frcp.quorum.is_empty() {
        return;
    }
    page.heading(2, &captions.participants);
    if *source == InformationSource::Questionnaire && !people.is_empty() {
        page.caption(&captions.participants_of_questionnaire);
    }
    if !people.is_empty() {
        present(page, people, captions);
    }
    // Whom the form expects to come is not counted as come.
    if *source == InformationSource::Desk && !people.is_empty() {
        page.space(4.0);
        let present = format!("{} : {}", captions.present, count(people));
        page.paragraph(&present, page.body());
    }
    page.space(4.0);
    quorum(page, &frcp.quorum, captions);
}

/// A table of people: what they are there for, name, and number.
fn present(page: &mut Composer, participants: &[SessionParticipant], captions: &Captions) {
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
    for Quorum { text: said, source } in said {
        let source = match source {
            InformationSource::Desk => &captions.quorum_of_desk,
            InformationSource::Questionnaire => &captions.quorum_of_questionnaire,
        };
        page.paragraph(
            &format!("{} : {said} ({source})", captions.quorum),
            page.strong(),
        );
    }
}

/// `3 (oncologue × 2, chirurgien)`.
fn count(participants: &[SessionParticipant]) -> String {
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
    let columns = columns.map(|(title, share)| TableColumn { title, share });
    let (plain, strong) = (page.body(), page.strong());
    page.table(
        &columns,
        rows.iter().map(|texts| {
            texts
                .iter()
                .zip([plain, strong, plain])
                .map(|(text, style)| TableCell {
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
fn has_qualifier(section: &SectionBlock) -> bool {
    section.rows.iter().any(|row| row.qualifier.is_some())
        || section.sections.iter().any(has_qualifier)
}

fn section(
    page: &mut Composer,
    section: &SectionBlock,
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
            TableColumn {
                title: &captions.label,
                share: if qualified { 0.37 } else { 0.40 },
            },
            TableColumn {
                title: &captions.value,
                share: if qualified { 0.46 } else { 0.60 },
            },
            TableColumn {
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
                    TableCell {
                        text: shown_ref(&row.label, captions),
                        style: label,
                        // Deeper than this, the label would have no room left.
                        indent: f32::from(row.depth.min(8)) * 9.0,
                    },
                    TableCell {
                        text: value,
                        style: plain,
                        indent: 0.0,
                    },
                ];
                if qualified {
                    entries.push(TableCell {
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
    if !section.narrative.is_empty() {
        page.space(4.0);
        if !section.rows.is_empty() {
            page.caption(&captions.narrative);
        }
        for part in &section.narrative {
            match part {
                NarrativePart::Line(line) => page.paragraph(line, page.body()),
                NarrativePart::Table { head, rows } => narrated_table(page, head, rows),
            }
        }
    } else if section.rows.is_empty() && section.sections.is_empty() {
        page.paragraph(&captions.nothing, page.body());
    }
    for Figure { caption, image } in &section.figures {
        page.figure(caption, image);
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

/// More columns have no room beside each other.
const MOST_COLUMNS: usize = 8;

/// A word with more bytes is no number, date or amount.
const LONGEST_NUMBER: usize = 24;

/// A table of the text, its columns as wide as what stands in them asks for; one of too many columns in lines.
fn narrated_table(page: &mut Composer, head: &[String], rows: &[Vec<String>]) {
    let count = rows.iter().map(Vec::len).chain([head.len()]).max();
    let count = count.unwrap_or(0);
    if !(2..=MOST_COLUMNS).contains(&count) {
        let lines = [head].into_iter().chain(rows.iter().map(Vec::as_slice));
        for line in lines {
            page.paragraph(&line.join(" | "), page.body());
        }
        return;
    }
    let cell = |cells: &'_ [String], column: usize| -> usize {
        let lines = cells.get(column).map_or("", String::as_str).lines();
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let weights: Vec<usize> = (0..count)
        .map(|column| {
            let in_rows = rows.iter().map(|row| cell(row, column));
            in_rows
                .chain([cell(head, column)])
                .max()
                .unwrap_or(0)
                .clamp(10, 48)
                // What is left free beside the text.
                + 3
        })
        .collect();
    let all = weights.iter().sum::<usize>().max(1) as f32;
    let style = page.body();
    // A number that is broken reads as another one.
    let longest_number = |column: usize| -> f32 {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let words = cells.flat_map(|cell| cell.split_whitespace());
        let numbers = words.filter(|word| word.contains(|it: char| it.is_ascii_digit()));
        let short = numbers.filter(|word| word.len() <= LONGEST_NUMBER);
        let longest = short.max_by_key(|word| word.chars().count());
        longest.map_or(0.0, |word| page.cell_width(word, style) / page.width())
    };
    let least: Vec<f32> = (0..count).map(longest_number).collect();
    let free = 1.0 - least.iter().sum::<f32>();
    if free < 0.0 {
        let lines = [head].into_iter().chain(rows.iter().map(Vec::as_slice));
        for line in lines {
            page.paragraph(&line.join(" | "), page.body());
        }
        return;
    }
    // What a column has by its share counts towards what its numbers ask for.
    let wanted: Vec<f32> = weights.iter().map(|weight| *weight as f32 / all).collect();
    let missing = |(wanted, least): (&f32, &f32)| (least - wanted).max(0.0);
    let lacking: f32 = wanted.iter().zip(&least).map(missing).sum();
    let spare = |(wanted, least): (&f32, &f32)| (wanted - least).max(0.0);
    let spared: f32 = wanted.iter().zip(&least).map(spare).sum();
    let columns: Vec<TableColumn> = wanted
        .iter()
        .zip(&least)
        .enumerate()
        .map(|(column, (wanted, least))| TableColumn {
            title: head.get(column).map_or("", String::as_str),
            share: match wanted < least {
                true => *least,
                false if spared > 0.0 => wanted - (wanted - least) * lacking / spared,
                false => *wanted,
            },
        })
        .collect();
    page.space(2.0);
    page.table(
        &columns,
        rows.iter().map(|row| {
            let cells = (0..count).map(|column| row.get(column).map_or("", String::as_str));
            cells
                .map(|text| TableCell {
                    text: if text.trim().is_empty() { BLANK } else { text },
                    style,
                    indent: 0.0,
                })
                .collect()
        }),
    );
    page.space(4.0);
}

fn items(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    if frcp.items.is_empty() {
        return;
    }
    page.heading(2, &captions.items);
    let columns = [
        TableColumn {
            title: &captions.label,
            share: 0.40,
        },
        TableColumn {
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
                .map(|(text, style)| TableCell {
                    text: shown_ref(text, captions),
                    style,
                    indent: 0.0,
                })
                .collect()
        }),
    );
}

/// What came for the case besides its form, which nobody reads in the report itself.
fn documents(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    if frcp.documents.is_empty() {
        return;
    }
    page.heading(2, &captions.documents);
    let columns = [
        (&captions.document_name, 0.56),
        (&captions.document_date, 0.24),
        (&captions.document_type, 0.20),
    ];
    let columns = columns.map(|(title, share)| TableColumn { title, share });
    let style = page.body();
    page.table(
        &columns,
        frcp.documents.iter().map(|texts| {
            let cells = texts.iter().map(|text| TableCell {
                text: shown_ref(text, captions),
                style,
                indent: 0.0,
            });
            cells.collect()
        }),
    );
}

fn decision(page: &mut Composer, frcp: &Frcp, captions: &Captions) {
    let mut style = page.body();
    style.size *= 1.1;
    if is_blank(&frcp.decision) {
        style.colour = FAINT;
        page.framed(&captions.decision, &captions.no_decision, style);
    } else {
        page.framed(&captions.decision, &frcp.decision, style);
    }
    if let Some(report) = &frcp.report {
        page.space(6.0);
        let lead = frcp.lead.clone().unwrap_or_default();
        let (caption, when) = validated_pair(report, captions);
        let mut pairs = vec![(caption, when)];
        if let Some(validator) = &frcp.validator {
            let lines = [
                full_name(&validator.family, &validator.given),
                validator.role.trim().to_owned(),
                validator
                    .rpps
                    .as_ref()
                    .map(|it| format!("{} {it}", captions.rpps))
                    .unwrap_or_default(),
            ];
            let lines: Vec<String> = lines.into_iter().filter(|it| !it.is_empty()).collect();
            pairs.push((&captions.validated_by, lines.join("\n")));
        }
        pairs.push((
            &captions.lead,
            shown(&full_name(&lead.family, &lead.given), captions),
        ));
        // Room for a hand.
        pairs.push((&captions.signature, format!("\n\n{}", "_".repeat(22))));
        if let Some((name, time)) = &frcp.authenticator {
            let time = time.as_deref().unwrap_or_default();
            pairs.push((
                &captions.authenticated,
                format!("{name}\n{time}").trim_end().to_owned(),
            ));
        }
        page.card(3, &pairs);
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
