//! Reports: what goes back to a facility for a completed case (SPEC 8).
//!
//! [`frcp`] makes the PDF, [`message`] the HL7 message around it, [`batch`] the XML file that
//! carries the messages. All three turn plain data into bytes; [`write`] gathers the data from what the desk
//! completed, and where the bytes go is decided above this room.

pub mod batch;
pub(crate) mod excerpt;
pub mod frcp;
pub mod message;
mod questionnaire;

use self::excerpt::Cut;
use self::frcp::{
    Frcp, FrcpError, PatientBlock, PhysicianLine, Quorum, QuorumSource, ReportBlock, SessionBlock,
};
use self::message::{Envelope, ReportMessage};
use crate::config::Facility;
use crate::config::layout::{Layout, Part};
use crate::intake::ReportOrder;
use crate::model::case::Case;
use crate::model::patient::{Patient, Physician};
use crate::model::questionnaire::Questionnaire;
use crate::model::session::Session;

/// A version of a report, written.
#[derive(Debug)]
pub struct Written {
    /// The PDF.
    pub pdf: Vec<u8>,
    /// Its name.
    pub file_name: String,
    /// The message around it.
    pub envelope: Envelope,
    /// What it should have and nobody gave, in words.
    pub lacks: Option<String>,
}

/// Writes what a `complete` asks for, for this facility.
pub fn write(order: &ReportOrder, facility: &Facility) -> Result<Written, FrcpError> {
    let ReportOrder { case, patient, .. } = order;
    let form = Form {
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
            let mut cut = Cut::default();
            let frcp = document(order, &form, facility, &mut cut);
            let rendered = frcp::render_with(&frcp, &facility.reports.layout)?;
            lacks.extend(what_is_cut(cut, rendered.coded_marks));
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
        file_name: &file_name,
    });
    Ok(Written {
        pdf,
        file_name,
        envelope,
        lacks: (!lacks.is_empty()).then(|| lacks.join("; ")),
    })
}

/// What a PDF does not show as it came, in words.
fn what_is_cut(cut: Cut, coded_marks: usize) -> Vec<String> {
    let Cut {
        characters,
        elements,
        of_names,
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
    if coded_marks > 0 {
        lacks.push(format!(
            "{coded_marks} combining marks, which stand as codes: no page can show so many on one letter"
        ));
    }
    lacks
}

/// The PDF of a case that is still to be discussed: who, by whom, and its questionnaire.
pub fn form_pdf(form: &Form<'_>, facility: &Facility) -> Result<Vec<u8>, FrcpError> {
    let layout = Layout {
        parts: vec![Part::Identity, Part::Physicians, Part::Questionnaire],
        ..facility.reports.layout.clone()
    };
    let document = form.document(facility, &mut Cut::default());
    Ok(frcp::render_with(&document, &layout)?.pdf)
}

/// What is known of a case before its session meets.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its patient.
    pub patient: &'a Patient,
    /// Its session.
    pub session: &'a Session,
    /// What its form says, where it is filled.
    pub questionnaire: Option<&'a Questionnaire>,
}

impl Form<'_> {
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

    fn document(&self, facility: &Facility, cut: &mut Cut) -> Frcp {
        let sections = self.questionnaire.map(|questionnaire| {
            questionnaire::sections(&excerpt::questionnaire(questionnaire, cut))
        });
        let mut name = |text: &str| excerpt::name(text, cut);
        let Form {
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
            facility_name: name(&facility.name),
            case_id: name(case.id.as_str()),
            submitter: self.submitter().map(|it| line(it, &mut name)),
            lead: self.lead().map(|it| line(it, &mut name)),
            sections: sections.unwrap_or_default(),
            participants: Vec::new(),
            quorum: Vec::new(),
            items: Vec::new(),
            decision: String::new(),
            report: None,
        }
    }
}

fn document(order: &ReportOrder, form: &Form<'_>, facility: &Facility, cut: &mut Cut) -> Frcp {
    let completion = &order.completion;
    let before = form.document(facility, cut);
    Frcp {
        title: match facility.reports.layout.title.trim() {
            "" => frcp::TITLE.to_owned(),
            own => own.to_owned(),
        },
        participants: completion
            .participants
            .iter()
            .map(|participant| frcp::Participant {
                rpps: participant.rpps.clone(),
                family: participant.family.clone(),
                given: participant.given.clone(),
                role: participant.role.clone(),
            })
            .collect(),
        quorum: quorum(order, cut),
        items: completion
            .items
            .iter()
            .map(|item| (item.label.clone(), item.value.clone()))
            .collect(),
        decision: completion.decision.clone().unwrap_or_default(),
        report: Some(ReportBlock {
            document_id: order.document_id.to_string(),
            version: order.version,
            completed: order.time.with_timezone(&facility.timezone).fixed_offset(),
        }),
        ..before
    }
}

/// So many statements about the quorum are shown.
const LONGEST_QUORUM: usize = 20;

/// What the desk and the form say about the quorum; nothing where they say nothing.
fn quorum(order: &ReportOrder, cut: &mut Cut) -> Vec<Quorum> {
    let items = order.completion.items.iter();
    let of_desk = items
        .filter(|item| questionnaire::is_quorum(item.code.as_deref(), Some(&item.label)))
        .map(|item| (item.value.clone(), QuorumSource::Desk));
    let (of_form, more) = order
        .questionnaire
        .as_ref()
        .map(|it| questionnaire::quorum(it, LONGEST_QUORUM))
        .unwrap_or_default();
    let mut said: Vec<Quorum> = of_desk
        .chain(
            of_form
                .into_iter()
                .map(|said| (said, QuorumSource::Questionnaire)),
        )
        .filter(|(said, _)| !said.trim().is_empty())
        .map(|(said, source)| Quorum {
            said: excerpt::name(&said, cut),
            source,
        })
        .collect();
    if more > 0 {
        cut.elements += more;
        said.push(Quorum {
            said: format!("[coupé ici : encore {more} mentions]"),
            source: QuorumSource::Questionnaire,
        });
    }
    said
}

fn line(physician: &Physician, name: &mut impl FnMut(&str) -> String) -> PhysicianLine {
    PhysicianLine {
        rpps: name(physician.rpps.as_str()),
        family: name(physician.family.as_deref().unwrap_or_default()),
        given: name(physician.given.as_deref().unwrap_or_default()),
    }
}
