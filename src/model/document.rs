//! A document of a patient, with its versions (interface.md 6).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, ContentHash, DocumentId, FacilityId, Ipp, NoteId};

/// A document, or a received message that is kept on a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The facility.
    pub facility: FacilityId,
    /// The patient; of what is stored in a case, whoever was when it was written: it is read as the case's patient.
    pub ipp: Ipp,
    /// Made from the facility, the patient and the unique id, or from the message it comes from.
    pub id: DocumentId,
    /// Where it is attached.
    pub attached: AttachmentPlace,
    /// Whether it was sent as a document, or is a message kept as received.
    pub kind: DocumentKind,
    /// Unique ids that it answers to, where the record was written when it held them all; each has a record of its own
    /// by now ([`UniqueId`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique_ids: Vec<String>,
    /// The case that its messages name, while that case is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<CaseId>,
    /// The version that counts; none where it was deleted unseen, or the record holds all versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<DocumentVersion>,
    /// All versions, the oldest first, where the record was written when it held them all: with the next version the
    /// former ones get records of their own ([`FormerVersion`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<DocumentVersion>,
    /// Whether it was deleted; its versions stay readable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The time (MSH-7) of the message that deleted it: what is older does not bring it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<DateTime<Utc>>,
}

impl Document {
    /// A document without versions, which waits for no case and answers to no unique id.
    pub fn new(
        facility: FacilityId,
        ipp: Ipp,
        id: DocumentId,
        attached: AttachmentPlace,
        kind: DocumentKind,
    ) -> Self {
        Self {
            facility,
            ipp,
            id,
            attached,
            kind,
            unique_ids: Vec::new(),
            awaits: None,
            latest: None,
            versions: Vec::new(),
            deleted: false,
            deletion_time: None,
        }
    }

    /// The version that counts.
    pub fn current(&self) -> Option<&DocumentVersion> {
        let before = || self.versions.iter().max_by_key(|version| version.version);
        self.latest.as_ref().or_else(before)
    }

    /// Adds a version, made with its number, and gives those that are former ones from now on: the document does not
    /// hold them, so that the next version does not write them again.
    pub fn add(
        &mut self,
        standing: VersionStanding,
        make: impl FnOnce(u32) -> DocumentVersion,
    ) -> Vec<FormerVersion> {
        let mut former = std::mem::take(&mut self.versions);
        if self.latest.is_none() {
            former.sort_by_key(|version| version.version);
            self.latest = former.pop();
        }
        let count = self.current().map_or(0, |current| current.version);
        let next = count.saturating_add(1);
        match (self.latest.take(), standing) {
            (Some(mut latest), VersionStanding::Former) => {
                former.push(make(count));
                latest.version = next;
                self.latest = Some(latest);
            }
            (known, _) => {
                former.extend(known);
                self.latest = Some(make(next));
            }
        }
        former
            .into_iter()
            .map(|version| FormerVersion {
                facility: self.facility.clone(),
                document: self.id.clone(),
                version,
            })
            .collect()
    }
}

/// How a version that is added stands to the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionStanding {
    /// It counts from now on.
    Latest,
    /// It is older.
    Former,
}

/// A version of a document that another has taken the place of; it stays readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerVersion {
    /// The facility.
    pub facility: FacilityId,
    /// The document.
    pub document: DocumentId,
    /// The version, with a number of its own among them; their order is that of their times.
    pub version: DocumentVersion,
}

/// That a document answers to a unique id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueId {
    /// The facility.
    pub facility: FacilityId,
    /// The unique id.
    pub unique_id: String,
    /// The document.
    pub document: DocumentId,
}

/// Where a document is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentPlace {
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

/// A document as a report names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReportDocument {
    /// The time of the message it came with.
    pub time: Option<DateTime<Utc>>,
    /// The name to show.
    pub name: String,
    /// What it is.
    pub content_type: ContentType,
}

/// The kinds of content that are told apart (interface.md 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
