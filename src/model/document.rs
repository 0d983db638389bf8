//! A document of a patient, with its versions (SPEC 6).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, ContentHash, DocumentId, FacilityId, Ipp, NoteId};

/// A document, or a received message that is kept on a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The facility.
    pub facility: FacilityId,
    /// The patient.
    pub ipp: Ipp,
    /// Made from the facility, the patient and the unique id, or from the message it comes from.
    pub id: DocumentId,
    /// Where it is attached.
    pub attached: Attached,
    /// Whether it was sent as a document, or is a message kept as received.
    pub kind: DocumentKind,
    /// Every unique id that it came with and answers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique_ids: Vec<String>,
    /// The case that its messages name, while that case is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<CaseId>,
    /// All versions, the oldest first; there is at least one unless it was deleted unseen.
    pub versions: Vec<DocumentVersion>,
    /// Whether it was deleted; its versions stay readable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The time (MSH-7) of the message that deleted it: what is older does not bring it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<DateTime<Utc>>,
}

impl Document {
    /// The version that counts.
    pub fn current(&self) -> Option<&DocumentVersion> {
        self.versions.iter().max_by_key(|version| version.version)
    }
}

/// Where a document is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attached {
    /// To a case.
    Case(CaseId),
    /// To a note of the patient.
    Note(NoteId),
}

/// What a document is to the listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// Sent as a document: listed.
    Document,
    /// A message kept as received on a note: shown with the note only.
    Message,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentVersion {
    /// From 1, rising; the highest is the current one.
    pub version: u32,
    /// The name to show; never used as a path.
    pub file_name: String,
    /// What it is, told from its first bytes.
    pub content_type: ContentType,
    /// Size in bytes.
    pub size: u64,
    /// Where it lies under `documents/`.
    pub sha256: ContentHash,
    /// The time (MSH-7) of the message it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
}

/// The kinds of content that are told apart (SPEC 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentType {
    /// PDF.
    Pdf,
    /// A CDA document.
    Cda,
    /// Other XML.
    Xml,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// TIFF.
    Tiff,
    /// RTF.
    Rtf,
    /// Plain text.
    Text,
    /// An HL7 v2 message, kept as received.
    Hl7,
}

impl ContentType {
    /// The word for it in the configuration and in listings.
    pub fn word(self) -> &'static str {
        match self {
            ContentType::Pdf => "pdf",
            ContentType::Cda => "cda",
            ContentType::Xml => "xml",
            ContentType::Jpeg => "jpeg",
            ContentType::Png => "png",
            ContentType::Tiff => "tiff",
            ContentType::Rtf => "rtf",
            ContentType::Text => "text",
            ContentType::Hl7 => "hl7",
        }
    }

    /// The endings that fit it, the usual one first.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            ContentType::Pdf => &["pdf"],
            ContentType::Cda | ContentType::Xml => &["xml", "cda"],
            ContentType::Jpeg => &["jpg", "jpeg"],
            ContentType::Png => &["png"],
            ContentType::Tiff => &["tiff", "tif"],
            ContentType::Rtf => &["rtf"],
            ContentType::Text => &["txt", "text"],
            ContentType::Hl7 => &["hl7"],
        }
    }
}
