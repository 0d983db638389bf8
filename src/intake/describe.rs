//! What is said of a message wherever its outcome is told, however little of it can be read.

use serde::{Deserialize, Serialize};

use super::cdar2;
use super::field_update::text;
use crate::cda::Cda;
use crate::config::Facility;
use crate::hl7::{self, Message, Value};
use crate::model::identifiers::CaseId;
use crate::model::refused::RefusalSubject;

/// What receipts, sidecars and histories say of a message, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageDescription {
    /// MSH-9.1 and 9.2: `SIU^S12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message_type: String,
    /// MSH-9.2, the event: `S12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// MSH-10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_id: Option<String>,
    /// The case that the message names, whether it is known or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// MSH-3 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sending_application: Vec<String>,
    /// MSH-4 in components; the facility's id where it has an API key, since the key stands there (interface.md 10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sending_facility: Vec<String>,
    /// MSH-5 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receiving_application: Vec<String>,
    /// MSH-6 in components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receiving_facility: Vec<String>,
    /// MSH-11.1, P or D or T.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_id: Option<String>,
    /// MSH-12.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// By what a corrected message is known; only of one that is refused, or that may be such a one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<RefusalSubject>,
}

impl MessageDescription {
    /// What is not an HL7 message: the kind of document, a list, or a command.
    pub fn named(kind: &str) -> Self {
        Self {
            message_type: kind.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the message is itself an acknowledgement, which is never acknowledged.
    pub fn is_acknowledgement(&self) -> bool {
        self.message_type == "ACK" || self.message_type.starts_with("ACK^")
    }
}

/// Describes a message; never fails, however little of it can be read.
pub fn describe(message: &Message<'_>, facility: &Facility) -> MessageDescription {
    let header = message.header();
    let components = |number: u32| -> Vec<String> {
        let field = header.field(number);
        // An HD has three components (HL7 v2.5 chapter 2.A.36).
        let mut texts: Vec<String> = (1..=3)
            .map(|part| text(&field.component(part)).unwrap_or_default())
            .collect();
        while texts.last().is_some_and(String::is_empty) {
            texts.pop();
        }
        texts
    };
    let (code, trigger) = message_type(message);
    let named_case = match code.as_str() {
        "SIU" => message
            .first("SCH")
            .and_then(|schedule| text(&schedule.field(2).component(1))),
        "MDM" | "ORU" | "OUL" => facility
            .documents
            .case_id
            .iter()
            .filter_map(|path| message.get(path))
            .find_map(|value: Value<'_>| text(&value.identifier())),
        _ => None,
    };
    MessageDescription {
        message_type: if trigger.is_empty() {
            code
        } else {
            format!("{code}^{trigger}")
        },
        event: trigger,
        control_id: text(&header.field(10).component(1)),
        case: named_case.map(CaseId::new),
        sending_application: components(3),
        sending_facility: match facility.api_key {
            Some(_) => vec![facility.id.as_str().to_owned()],
            None => components(4),
        },
        receiving_application: components(5),
        receiving_facility: components(6),
        processing_id: text(&header.field(11).component(1)),
        version: text(&header.field(12).component(1)),
        about: None,
    }
}

/// Describes an envelope without a message by its header.
pub fn describe_envelope(bytes: &[u8], facility: &Facility) -> MessageDescription {
    let header = hl7::envelope_header(bytes);
    let named = MessageDescription::named("batch");
    match Message::parse(&header) {
        Ok(header) => MessageDescription {
            control_id: text(&header.header().field(11).component(1)),
            processing_id: None,
            version: None,
            event: String::new(),
            case: None,
            message_type: named.message_type,
            ..describe(&header, facility)
        },
        Err(_) => named,
    }
}

/// Describes a CDA document, of which nothing is known where it could not be read.
pub fn describe_cda(cda: Option<&Cda>, facility: &Facility) -> MessageDescription {
    MessageDescription {
        case: cda
            .and_then(|cda| cdar2::document::case_id(&cda.header, facility))
            .map(|(id, _)| id),
        ..MessageDescription::named("CDA")
    }
}

/// MSH-9.1 and 9.2.
pub(super) fn message_type(message: &Message<'_>) -> (String, String) {
    (
        message.message_code().trim().to_owned(),
        message.trigger().trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::testing::World;

    #[test]
    fn a_message_is_described_whatever_it_is() {
        let facility = World::new().facility;
        let text = "MSH|^~\\&|GAM&1.2&ISO|CHU^1.3^ISO|RCP||20250401||SIU^S12^SIU_S12|42|P|2.5^FRA\rSCH||C-1^GAM\r";
        let described = describe(&Message::parse(text.as_bytes()).unwrap(), &facility);
        assert_eq!(described.message_type, "SIU^S12");
        assert_eq!(described.event, "S12");
        assert_eq!(described.control_id.as_deref(), Some("42"));
        assert_eq!(described.case, Some(CaseId::new("C-1")));
        assert_eq!(described.sending_facility, ["CHU", "1.3", "ISO"]);
        assert_eq!(described.receiving_application, ["RCP"]);
        assert!(described.receiving_facility.is_empty());
        assert_eq!(described.processing_id.as_deref(), Some("P"));
        assert_eq!(described.version.as_deref(), Some("2.5"));
        assert!(!described.is_acknowledgement());

        let text = "MSH|^~\\&|||||||MDM^T02\rTXA|1|||||||||||||C-2^GAM\r";
        let described = describe(&Message::parse(text.as_bytes()).unwrap(), &facility);
        assert_eq!(described.case, Some(CaseId::new("C-2")));

        let described = describe(&Message::parse(b"MSH|^~\\&|").unwrap(), &facility);
        assert_eq!(described, MessageDescription::default());
        let described = describe(
            &Message::parse(b"MSH|^~\\&|||||||ACK^A01").unwrap(),
            &facility,
        );
        assert!(described.is_acknowledgement());
    }
}
