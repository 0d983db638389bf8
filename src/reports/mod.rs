//! Reports: what goes back to a facility for a completed case (SPEC 8).
//!
//! [`frcp`] makes the PDF, [`message`] the HL7 message around it, [`batch`] the XML file that
//! carries the messages. All three turn plain data into bytes; [`write`] gathers the data from what the desk
//! completed, and where the bytes go is decided above this room.

pub mod batch;
pub mod frcp;
pub mod message;
mod questionnaire;

use chrono::{DateTime, Utc};

use self::frcp::layout::{Layout, LayoutError};
use self::frcp::{Frcp, FrcpError, PatientBlock, PhysicianLine, SessionBlock};
use self::message::{Envelope, LeadField, NoLeadField, ReportMessage};
use crate::config::{Facility, Format, Version};
use crate::hl7;
use crate::intake::ReportOrder;
use crate::model::patient::{Patient, Physician};

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

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The PDF cannot be made.
    #[error(transparent)]
    Pdf(#[from] FrcpError),
    /// The operator's layout cannot be read.
    #[error("{path}: {source}")]
    LayoutFile {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's layout is wrong.
    #[error("{path}: {source}")]
    Layout {
        /// The file.
        path: String,
        /// What is wrong.
        source: LayoutError,
    },
    /// `reports.lead` names a field that cannot hold a physician.
    #[error("reports.lead: {0}")]
    Lead(#[from] NoLeadField),
}

/// Writes what a `complete` asks for, for this facility.
pub fn write(order: &ReportOrder, facility: &Facility) -> Result<Written, WriteError> {
    let ReportOrder { case, patient, .. } = order;
    let submitter = case.submitter.as_ref().or(patient.physician.as_ref());
    let lead = order.session.lead.as_ref().or(case.lead.as_ref());
    let completed = order.time.with_timezone(&facility.timezone);
    let file_name = message::file_name(
        &patient.birth_name,
        &patient.given_name,
        completed.date_naive(),
    );
    let pdf = match &order.pdf {
        Some(given) => given.clone(),
        None => {
            let frcp = document(order, facility, submitter, lead);
            frcp::render_with(&frcp, &layout(facility)?)?
        }
    };
    let settings = &facility.reports;
    let envelope = message::envelope(&ReportMessage {
        format: match settings.format {
            Format::MdmT02 => message::Format::MdmT02,
            Format::OruR01 => message::Format::OruR01,
        },
        version: match settings.version {
            Version::V2_5 => "2.5".to_owned(),
            Version::V2_7 => "2.7".to_owned(),
        },
        sending_application: settings.sending_application.clone(),
        sending_facility: settings.sending_facility.clone(),
        receiving_application: facility.receiving_application.clone(),
        receiving_facility: facility.receiving_facility.clone(),
        time: hl7::time::write(order.time, facility.timezone),
        control_id: format!("{}-{}-{}", facility.id, order.number, order.version),
        ipp: patient.ipp.to_string(),
        authority: authority(patient, facility),
        birth_name: patient.birth_name.clone(),
        given_name: patient.given_name.clone(),
        birth_date: patient.birth_date.hl7(),
        sex: patient.sex.code().to_owned(),
        address: patient.address.as_ref().map(|address| message::Address {
            street: address.street.clone(),
            city: address.city.clone(),
            postal_code: address.postal_code.clone(),
            country: address.country.clone(),
        }),
        phone: patient
            .phone
            .as_ref()
            .map(|phone| phone.as_str().to_owned()),
        nss: patient.social_security_number.clone(),
        submitter: submitter.map(physician),
        lead: lead.map(physician),
        lead_field: settings.lead.to_string().parse::<LeadField>()?,
        document_id: order.document_id.to_string(),
        session_label: order.session.label.clone(),
        file_name: file_name.clone(),
        case_id: case.id.to_string(),
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

fn layout(facility: &Facility) -> Result<Layout, WriteError> {
    let Some(file) = &facility.reports.layout else {
        return Ok(Layout::default());
    };
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| WriteError::LayoutFile {
        path: path.clone(),
        source,
    })?;
    Layout::read(&text).map_err(|source| WriteError::Layout { path, source })
}

fn document(
    order: &ReportOrder,
    facility: &Facility,
    submitter: Option<&Physician>,
    lead: Option<&Physician>,
) -> Frcp {
    let ReportOrder {
        patient, session, ..
    } = order;
    let completion = &order.completion;
    let completed: DateTime<Utc> = order.time;
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
        case_id: order.case.id.to_string(),
        submitter: submitter.map(line),
        lead: lead.map(line),
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
        sections: order
            .questionnaire
            .as_ref()
            .map(questionnaire::sections)
            .unwrap_or_default(),
        items: completion
            .items
            .iter()
            .map(|item| (item.label.clone(), item.value.clone()))
            .collect(),
        decision: completion.decision.clone().unwrap_or_default(),
        document_id: order.document_id.to_string(),
        version: order.version,
        completed: completed.with_timezone(&facility.timezone).fixed_offset(),
    }
}

/// The one received with the IPP, else the facility's own.
fn authority(patient: &Patient, facility: &Facility) -> message::Authority {
    match &patient.authority {
        Some(authority) => message::Authority {
            namespace: authority.namespace.clone(),
            oid: authority.universal_id.clone(),
            oid_type: authority.universal_id_type.clone(),
        },
        None => message::Authority {
            namespace: facility.ipp_authority.clone().unwrap_or_default(),
            oid: String::new(),
            oid_type: String::new(),
        },
    }
}

fn physician(physician: &Physician) -> message::Physician {
    message::Physician {
        rpps: physician.rpps.to_string(),
        family: physician.family.clone().unwrap_or_default(),
        given: physician.given.clone().unwrap_or_default(),
    }
}

fn line(physician: &Physician) -> PhysicianLine {
    PhysicianLine {
        rpps: physician.rpps.to_string(),
        family: physician.family.clone().unwrap_or_default(),
        given: physician.given.clone().unwrap_or_default(),
    }
}
