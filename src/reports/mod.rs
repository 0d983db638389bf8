//! Reports: what goes back to a facility for a completed case (SPEC 8).
//!
//! [`frcp`] makes the PDF, [`message`] the HL7 message around it, [`batch`] the XML file that
//! carries the messages. All three turn plain data into bytes; [`write`] gathers the data from what the desk
//! completed, and where the bytes go is decided above this room.

pub mod batch;
pub mod frcp;
pub mod message;
mod questionnaire;

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
    let pdf = match &order.pdf {
        Some(given) => given.clone(),
        None => {
            let frcp = document(order, &form, facility);
            frcp::render_with(&frcp, &facility.reports.layout)?
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
        lacks: submitter
            .is_none()
            .then(|| "a submitter: nobody gave one".to_owned()),
    })
}

/// The PDF of a case that is still to be discussed: who, by whom, and its questionnaire.
pub fn form_pdf(form: &Form<'_>, facility: &Facility) -> Result<Vec<u8>, FrcpError> {
    let layout = Layout {
        parts: vec![Part::Identity, Part::Physicians, Part::Questionnaire],
        ..facility.reports.layout.clone()
    };
    frcp::render_with(&form.document(facility), &layout)
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

    fn document(&self, facility: &Facility) -> Frcp {
        let Form {
            case,
            patient,
            session,
            questionnaire,
        } = self;
        Frcp {
            title: frcp::TITLE.to_owned(),
            session: SessionBlock {
                label: session.label.clone(),
                date: session.date,
                start: session.start.clone(),
            },
            patient: PatientBlock {
                birth_name: patient.birth_name.clone(),
                usual_name: patient.usual_name.clone(),
                given_name: patient.given_name.clone(),
                birth_given_name: patient.birth_given_name.clone(),
                sex: patient.sex.code().to_owned(),
                birth_date: patient.birth_date.to_string(),
                ipp: patient.ipp.to_string(),
                ins: patient
                    .ins
                    .as_ref()
                    .map(|ins| (ins.value.clone(), ins.oid.clone())),
                ins_status: patient.identity_status.clone(),
            },
            facility_name: facility.name.clone(),
            case_id: case.id.to_string(),
            submitter: self.submitter().map(line),
            lead: self.lead().map(line),
            sections: questionnaire
                .map(questionnaire::sections)
                .unwrap_or_default(),
            participants: Vec::new(),
            quorum: Vec::new(),
            items: Vec::new(),
            decision: String::new(),
            report: None,
        }
    }
}

fn document(order: &ReportOrder, form: &Form<'_>, facility: &Facility) -> Frcp {
    let completion = &order.completion;
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
        quorum: quorum(order),
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
        ..form.document(facility)
    }
}

/// What the desk and the form say about the quorum; nothing where they say nothing.
fn quorum(order: &ReportOrder) -> Vec<Quorum> {
    let items = order.completion.items.iter();
    let of_desk = items
        .filter(|item| questionnaire::is_quorum(item.code.as_deref(), Some(&item.label)))
        .map(|item| (item.value.clone(), QuorumSource::Desk));
    let of_form = order.questionnaire.iter().flat_map(questionnaire::quorum);
    of_desk
        .chain(of_form.map(|said| (said, QuorumSource::Questionnaire)))
        .filter(|(said, _)| !said.trim().is_empty())
        .map(|(said, source)| Quorum { said, source })
        .collect()
}

fn line(physician: &Physician) -> PhysicianLine {
    PhysicianLine {
        rpps: physician.rpps.to_string(),
        family: physician.family.clone().unwrap_or_default(),
        given: physician.given.clone().unwrap_or_default(),
    }
}
