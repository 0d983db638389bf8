//! The documents of a message: which OBX carries a file, and which segments it belongs to (interface.md 2 and 6).

use crate::hl7::{Message, Repetition, Segment, Value};
use crate::intake::field_update::{text, word};

/// An OBX that is a document, with the segments that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct ObxDocument<'m> {
    pub(super) obx: Segment<'m>,
    /// Which repetition of OBX-5 it is.
    pub(super) value: Repetition<'m>,
    pub(super) status: DocumentStatus,
    pub(super) pid: Option<Segment<'m>>,
    pub(super) orc: Option<Segment<'m>>,
    pub(super) obr: Option<Segment<'m>>,
}

/// The documents of a message, each with the nearest PID, ORC and OBR above it (interface.md 2, "Groups").
pub(super) fn sent_documents<'m>(message: &Message<'m>, event: &str) -> Vec<ObxDocument<'m>> {
    let mut found = Vec::new();
    let (mut pid, mut orc, mut obr) = (None, None, None);
    for segment in message.segments() {
        match segment.name() {
            // The orders above belong to the patient before.
            "PID" => (pid, orc, obr) = (Some(segment), None, None),
            "ORC" => orc = Some(segment),
            "OBR" => obr = Some(segment),
            "OBX" => {
                let status = DocumentStatus::of(&segment, event);
                if is_document(&segment, status) {
                    let mut values: Vec<_> = segment.field(5).repetitions().collect();
                    if values.is_empty() || status == DocumentStatus::Delete {
                        values = vec![segment.field(5).repetition(1)];
                    }
                    found.extend(values.into_iter().map(|value| ObxDocument {
                        obx: segment,
                        value,
                        status,
                        pid,
                        orc,
                        obr,
                    }));
                    if found.len() > MAX_DOCUMENTS {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    // What is deleted may be named by the transport alone.
    if found.is_empty()
        && event == "T11"
        && message.first("OBX").is_none()
        && message.first("TXA").is_some()
    {
        let obx = message.absent("OBX");
        found.push(ObxDocument {
            obx,
            value: obx.field(5).repetition(1),
            status: DocumentStatus::Delete,
            pid,
            orc,
            obr,
        });
    }
    found
}

/// How many documents a message may carry: each is compared with those before it.
pub(super) const MAX_DOCUMENTS: usize = 1_000;

/// What is to become of a document (OBX-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentStatus {
    /// New, or the next version of the one with its unique id.
    Final,
    /// The next version of one that is known by any of its ids.
    Replace,
    /// The end of a known one.
    Delete,
}

impl DocumentStatus {
    fn of(obx: &Segment<'_>, event: &str) -> Self {
        match (word(&obx.field(11).simple()).as_deref(), event) {
            (Some("C"), _) | (None, "T10") => DocumentStatus::Replace,
            (Some("D" | "W"), _) | (None, "T11") => DocumentStatus::Delete,
            _ => DocumentStatus::Final,
        }
    }
}

/// Whether an OBX carries a document: metadata of the transport and bodies of mails do not count.
fn is_document(obx: &Segment<'_>, status: DocumentStatus) -> bool {
    // What is deleted has no value, so it needs no type of one.
    let carries_file = carries_file(obx)
        || (status == DocumentStatus::Delete && word(&obx.field(2).simple()).is_none());
    let observation = obx.field(3);
    let part = |number| text(&observation.component(number)).unwrap_or_default();
    carries_file
        && part(3) != "MetaDMPMSS"
        && !part(1).starts_with("CORPSMAIL")
        && !part(2).starts_with("XDM/1.0/DDM")
}

/// Whether an OBX carries a file, or may, where its value was cut off: also by its encoding alone, and with the start of
/// a PDF anywhere in it.
pub(super) fn may_be_document(obx: &Segment<'_>) -> bool {
    let value = obx.field(5);
    let encoding = value.component(4);
    carries_file(obx)
        || encoding.raw().trim_ascii().eq_ignore_ascii_case(b"Base64")
        || memchr::memmem::find(value.raw(), b"JVBERi0").is_some()
}

/// Whether OBX-5 is a file: OBX-2 says so, or, whatever it says, the value does.
fn carries_file(obx: &Segment<'_>) -> bool {
    let kind = obx.field(2).simple();
    if kind.raw() == b"ED" || word(&kind).is_some_and(|kind| kind.eq_ignore_ascii_case("ED")) {
        return true;
    }
    let value = obx.field(5).repetition(1);
    let (bare, encoded) = (value.component(1), value.component(5));
    // Base64 of `%PDF-`.
    let is_pdf = |value: &Value<'_>| value.raw().trim_ascii_start().starts_with(b"JVBERi");
    if is_pdf(&bare) || is_pdf(&encoded) {
        return true;
    }
    let says = |number, said: &str| {
        let part = word(&value.component(number).simple());
        part.is_some_and(|part| part.eq_ignore_ascii_case(said))
    };
    !encoded.is_empty()
        && (says(4, "Base64") || says(3, "PDF") || says(2, "PDF") || says(2, "application/pdf"))
}

/// Where the file stands in a value: in its fifth component, or, bare, in the first.
pub(super) fn encoded<'m>(value: &Repetition<'m>) -> Value<'m> {
    let (encoded, bare) = (value.component(5), value.component(1));
    match encoded.is_empty() && value.component(4).is_empty() {
        true => bare.into(),
        false => encoded.into(),
    }
}
