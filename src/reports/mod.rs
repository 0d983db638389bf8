//! Reports: what goes back to a facility for a completed case (interface.md 8).
//!
//! [`frcp`] makes the PDF, [`message`] the HL7 message around it, [`batch`] the XML file that
//! carries the messages. All three turn plain data into bytes; [`write`] gathers the data from what the desk
//! completed, and where the bytes go is decided above this room.

pub mod batch;
mod changes;
mod dates;
pub(crate) mod excerpt;
pub mod frcp;
mod further;
mod main_value;
mod media;
pub mod message;
pub(crate) mod people;
mod questionnaire;
mod row_text;
mod units;
mod words;

use self::excerpt::Omissions;
use self::frcp::{
    Coded, FacilityBlock, Frcp, FrcpError, InformationSource, MismatchBlock, Participants,
    PatientBlock, PhysicianLine, PreviousVersion, Quorum, ReportBlock, SessionBlock,
};
use self::message::{Envelope, ReportMessage};
use self::people::{FormPerson, named};
use crate::config::Facility;
use crate::config::layout::{Layout, Part};
use crate::intake::{ReportOrder, WithdrawalOrder};
use crate::model;
use crate::model::case::{Case, Completion};
use crate::model::document::ContentType;
use crate::model::patient::{Patient, Physician};
use crate::model::questionnaire::Questionnaire;
use crate::model::session::Session;

/// A version of a report, written.
#[derive(Debug)]
pub struct ReportOutput {
    /// The PDF.
    pub pdf: Vec<u8>,
    /// Its name.
    pub file_name: String,
    /// The message around it.
    pub envelope: Envelope,
    /// What it should have and nobody gave, in words.
    pub missing: Option<String>,
}

/// Writes what a `complete` asks for, for this facility.
pub fn write(order: &ReportOrder, facility: &Facility) -> Result<ReportOutput, FrcpError> {
    let ReportOrder { case, patient, .. } = order;
    let form = CaseForm {
        case,
        patient,
        session: &order.session,
        questionnaire: order.questionnaire.as_ref(),
    };
    let (submitter, lead) = (form.submitter(), form.lead());
    let completed = order.time.with_timezone(&facility.timezone);
    let file_name = message::file_name(
        &patient.birth_name,
        &patient.given_name,
        completed.date_naive(),
    );
    let mut lacks = Vec::new();
    if submitter.is_none() {
        lacks.push("a submitter: nobody gave one".to_owned());
    }
    let pdf = match &order.pdf {
        Some(given) => given.clone(),
        None => {
            let mut cut = Omissions::default();
            let frcp = document(order, &form, facility, &mut cut);
            let rendered = frcp::render_with(&frcp, &facility.reports.layout)?;
            lacks.extend(what_is_cut(cut, rendered.coded));
            rendered.pdf
        }
    };
    let envelope = message::envelope(&ReportMessage {
        facility,
        patient,
        case: &case.id,
        submitter,
        lead,
        session_label: &order.session.label,
        document_id: &order.document_id,
        number: order.number,
        version: order.version,
        time: order.time,
        is_validated: order.validated.is_none(),
        file_name: &file_name,
    });
    Ok(ReportOutput {
        pdf,
        file_name,
        envelope,
        missing: (!lacks.is_empty()).then(|| lacks.join("; ")),
    })
}

/// Writes the message that withdraws a report which left before.
pub fn withdraw(order: &WithdrawalOrder, facility: &Facility) -> String {
    let form = CaseForm {
        case: &order.case,
        patient: &order.patient,
        session: &order.session,
        questionnaire: None,
    };
    let version = &order.version.version;
    let message = ReportMessage {
        facility,
        patient: &order.patient,
        case: &order.case.id,
        submitter: form.submitter(),
        lead: form.lead(),
        session_label: &order.session.label,
        document_id: &order.document_id,
        number: order.number,
        version: version.version,
        time: order.time,
        is_validated: version.validated.is_none(),
        file_name: &version.file_name,
    };
    message::withdrawal(&message, order.why.words())
}

/// What a PDF does not show as it came, in words.
fn what_is_cut(cut: Omissions, coded: Coded) -> Vec<String> {
    let Omissions {
        characters,
        elements,
        of_names,
        pictures,
        documents,
        wordless,
    } = cut;
    let mut lacks = Vec::new();
    if characters + elements > 0 {
        lacks.push(format!(
            "{characters} characters and {elements} elements of the questionnaire: its PDF says where it is cut, and \
             the CDA among the case's documents has all of it"
        ));
    }
    if of_names > 0 {
        lacks.push(format!(
            "{of_names} characters of names, labels or ids: its PDF says where they are cut"
        ));
    }
    if pictures > 0 {
        lacks.push(format!(
            "{pictures} pictures or other pieces of the questionnaire: its PDF says which and why, and the CDA among \
             the case's documents has what the sender put into it"
        ));
    }
    if !wordless.is_empty() {
        const NAMED: usize = 10;
        let mut places: Vec<&str> = Vec::new();
        for place in &wordless {
            if places.len() < NAMED && !places.contains(&place.as_str()) {
                places.push(place);
            }
        }
        lacks.push(format!(
            "{} elements of the questionnaire that cannot be told in words ({}): its PDF says so at each, and the CDA \
             among the case's documents has them",
            wordless.len(),
            places.join(", ")
        ));
    }
    if documents > 0 {
        lacks.push(format!(
            "{documents} documents of the case in its list: its PDF says how many more there are"
        ));
    }
    if coded.characters > 0 {
        lacks.push(format!(
            "{} characters, which stand as codes such as [U+738B]: the report's fonts do not have them",
            coded.characters
        ));
    }
    let marks = coded.marks;
    if marks > 0 {
        lacks.push(format!(
            "{marks} combining marks, which stand as codes: no page can show so many on one letter"
        ));
    }
    lacks
}

/// The PDF of a case that is still to be discussed: who, by whom, and its questionnaire.
pub fn form_pdf(form: &CaseForm<'_>, facility: &Facility) -> Result<Vec<u8>, FrcpError> {
    let layout = Layout {
        parts: vec![Part::Identity, Part::Physicians, Part::Questionnaire],
        ..facility.reports.layout.clone()
    };
    let document = form.document(facility, None, &mut Omissions::default());
    Ok(frcp::render_with(&document, &layout)?.pdf)
}

/// What is known of a case before its session meets.
#[derive(Debug, Clone, Copy)]
pub struct CaseForm<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its patient.
    pub patient: &'a Patient,
    /// Its session.
    pub session: &'a Session,
    /// What its form says, where it is filled.
    pub questionnaire: Option<&'a Questionnaire>,
}

impl CaseForm<'_> {
    /// Who puts the case before the session: the case's own, else the patient's physician.
    pub fn submitter(&self) -> Option<&Physician> {
        let own = self.case.submitter.as_ref();
        own.or(self.patient.physician.as_ref())
    }

    /// Who leads: the session's, else the case's.
    fn lead(&self) -> Option<&Physician> {
        let of_session = self.session.lead.as_ref();
        of_session.or(self.case.lead.as_ref())
    }

    /// What the document shows of it; once it was discussed, whom the form names as taking part stand among the
    /// participants, unless the desk said who took part.
    fn document(
        &self,
        facility: &Facility,
        completion: Option<&Completion>,
        cut: &mut Omissions,
    ) -> Frcp {
        let sections = self.questionnaire.map(|questionnaire| {
            questionnaire::sections(&excerpt::questionnaire(questionnaire, cut), cut)
        });
        let named = named(&self.case.people);
        let participants = completion
            .map(|completion| participants(completion, &named, cut))
            .unwrap_or_default();
        let people = named
            .iter()
            .filter(|person| completion.is_none() || !person.is_only_present)
            .map(|person| shown(person, cut))
            .collect();
        let places = people::places(&self.case.people);
        let mut name = |text: &str| excerpt::name(text, cut);
        let CaseForm {
            case,
            patient,
            session,
            ..
        } = self;
        Frcp {
            title: frcp::TITLE.to_owned(),
            session: SessionBlock {
                label: name(&session.label),
                date: session.date,
                start: session.start.as_deref().map(&mut name),
                places: places.iter().map(|place| name(place)).collect(),
            },
            patient: PatientBlock {
                birth_name: name(&patient.birth_name),
                usual_name: name(&patient.usual_name),
                given_name: name(&patient.given_name),
                birth_given_name: patient.birth_given_name.as_deref().map(&mut name),
                sex: patient.sex.code().to_owned(),
                birth_date: patient.birth_date.to_string(),
                ipp: name(patient.ipp.as_str()),
                ins: patient
                    .ins
                    .as_ref()
                    .map(|ins| (name(&ins.value), name(&ins.oid))),
                ins_status: patient.identity_status.as_deref().map(&mut name),
            },
            facility: FacilityBlock {
                name: name(&facility.name),
                address: name(facility.address.as_deref().unwrap_or_default()),
                finess: facility.finess.as_deref().map(&mut name),
                network: case.network.as_ref().map(|it| name(it.as_str())),
            },
            case_id: name(case.id.as_str()),
            submitter: self.submitter().map(|it| line(it, &mut name)),
            lead: self.lead().map(|it| line(it, &mut name)),
            sections: sections.unwrap_or_default(),
            people,
            mismatch: case.is_identity_in_doubt(Some(patient)).then(|| {
                let given = case.identity_in_doubt(Some(patient));
                let given = given.map(|given| MismatchBlock {
                    birth_name: given.birth_name.as_deref().map(&mut name),
                    given_name: given.birth_given_name.as_deref().map(&mut name),
                    birth_date: given.birth_date.map(|date| date.to_string()),
                    sex: given.sex.map(|sex| sex.code().to_owned()),
                    source: Some(name(&given.by)),
                });
                given.unwrap_or_default()
            }),
            authenticator: people::authenticator(&case.people)
                .map(|(who, time)| (name(&who), time)),
            validator: None,
            participants,
            quorum: Vec::new(),
            items: Vec::new(),
            documents: Vec::new(),
            decision: String::new(),
            report: None,
        }
    }
}

fn document(
    order: &ReportOrder,
    form: &CaseForm<'_>,
    facility: &Facility,
    cut: &mut Omissions,
) -> Frcp {
    let completion = &order.completion;
    let before = form.document(facility, Some(completion), cut);
    Frcp {
        documents: documents(order, facility, cut),
        title: match facility.reports.layout.title.trim() {
            "" => frcp::TITLE.to_owned(),
            own => own.to_owned(),
        },
        quorum: quorum(order, cut),
        items: completion
            .items
            .iter()
            .map(|item| (item.label.clone(), item.value.clone()))
            .collect(),
        decision: completion.decision.clone().unwrap_or_default(),
        validator: completion.validator.as_ref().map(of_desk),
        report: Some(ReportBlock {
            document_id: order.document_id.to_string(),
            version: order.version,
            completed: order.time.with_timezone(&facility.timezone).fixed_offset(),
            validated: order
                .validated
                .map(|time| time.with_timezone(&facility.timezone).fixed_offset()),
            replaces: order.former.as_ref().map(|former| PreviousVersion {
                version: former.version,
                completed: former.time.with_timezone(&facility.timezone).fixed_offset(),
                changed: changes::in_words(former, &before.sections),
            }),
        }),
        ..before
    }
}

/// So many documents of a case are listed.
const MOST_DOCUMENTS: usize = 200;

/// The documents of the case: name, date, and what each is.
fn documents(order: &ReportOrder, facility: &Facility, cut: &mut Omissions) -> Vec<[String; 3]> {
    let listed = order.documents.iter().take(MOST_DOCUMENTS);
    let mut shown: Vec<[String; 3]> = listed
        .map(|document| {
            let time = document
                .time
                .map(|time| time.with_timezone(&facility.timezone));
            let time = time.map(|time| time.format("%d/%m/%Y %H:%M").to_string());
            let kind = match document.content_type {
                ContentType::Jpeg | ContentType::Png | ContentType::Tiff => {
                    format!("Image {}", document.content_type.word().to_uppercase())
                }
                ContentType::Text => "Texte".to_owned(),
                other => other.word().to_uppercase(),
            };
            let name = excerpt::name(&document.name, cut);
            [name, time.unwrap_or_default(), kind]
        })
        .collect();
    let more = order.documents.len().saturating_sub(MOST_DOCUMENTS);
    if more > 0 {
        cut.documents += more;
        let said = format!("[coupé ici : encore {more} documents]");
        shown.push([said, String::new(), String::new()]);
    }
    shown
}

/// Someone whom the form names, as the document shows them.
fn shown(person: &FormPerson, cut: &mut Omissions) -> frcp::SessionParticipant {
    frcp::SessionParticipant {
        rpps: person.rpps.clone(),
        family: excerpt::name(&person.name, cut),
        given: String::new(),
        role: excerpt::name(&person.function(), cut),
    }
}

/// Someone whom the desk names.
fn of_desk(person: &model::case::Participant) -> frcp::SessionParticipant {
    frcp::SessionParticipant {
        rpps: person.rpps.clone(),
        family: person.family.clone(),
        given: person.given.clone(),
        role: person.role.clone(),
    }
}

/// Who took part: whom the desk names, else whom the form does.
fn participants(
    completion: &Completion,
    people: &[FormPerson],
    cut: &mut Omissions,
) -> Participants {
    let present = people.iter().filter(|person| person.is_present);
    match completion.participants.is_empty() {
        true => Participants {
            people: present.map(|person| shown(person, cut)).collect(),
            source: InformationSource::Questionnaire,
        },
        false => Participants {
            people: completion.participants.iter().map(of_desk).collect(),
            source: InformationSource::Desk,
        },
    }
}

/// So many statements about the quorum are shown.
const LONGEST_QUORUM: usize = 20;

/// What the desk and the form say about the quorum; nothing where they say nothing.
fn quorum(order: &ReportOrder, cut: &mut Omissions) -> Vec<Quorum> {
    let items = order.completion.items.iter();
    let of_desk = items
        .filter(|item| questionnaire::is_quorum(item.code.as_deref(), Some(&item.label)))
        .map(|item| (item.value.clone(), InformationSource::Desk));
    let (of_form, more) = order
        .questionnaire
        .as_ref()
        .map(|it| questionnaire::quorum(it, LONGEST_QUORUM))
        .unwrap_or_default();
    let mut said: Vec<Quorum> = of_desk
        .chain(
            of_form
                .into_iter()
                .map(|said| (said, InformationSource::Questionnaire)),
        )
        .filter(|(said, _)| !said.trim().is_empty())
        .map(|(said, source)| Quorum {
            text: excerpt::name(&said, cut),
            source,
        })
        .collect();
    if more > 0 {
        cut.elements += more;
        said.push(Quorum {
            text: format!("[coupé ici : encore {more} mentions]"),
            source: InformationSource::Questionnaire,
        });
    }
    said
}

fn line(physician: &Physician, name: &mut impl FnMut(&str) -> String) -> PhysicianLine {
    let rpps = name(&physician.number().unwrap_or_default());
    if let Some(department) = physician.name().filter(|_| physician.is_department()) {
        return PhysicianLine {
            rpps,
            family: name(&format!("Service : {department}")),
            given: String::new(),
        };
    }
    PhysicianLine {
        rpps,
        family: name(physician.family.as_deref().unwrap_or_default()),
        given: name(physician.given.as_deref().unwrap_or_default()),
    }
}
