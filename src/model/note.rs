//! A note: something attached to a patient that is not yet in a case (interface.md 1).

use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, DocumentId, FacilityId, Ipp, NoteId};

/// A document without a case, or a case that found no session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Made from the facility and the message or case it comes from.
    pub id: NoteId,
    /// The facility.
    pub facility: FacilityId,
    /// The patient.
    pub ipp: Ipp,
    /// The case that found no session, or that its documents name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// Why it is a note.
    pub reason: NoteReason,
    /// What is attached: documents, or the received message.
    pub documents: Vec<DocumentId>,
}

/// Why there is a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteReason {
    /// No session on that date for that pathway or family.
    SessionNotFound,
    /// Several sessions fit.
    SessionAmbiguous,
    /// The session was cancelled.
    SessionCancelled,
    /// The desk took the case out of its session, or opened it again without one.
    Unscheduled,
    /// A document that names no case.
    NoCase,
    /// A document that names a case which is not known yet.
    UnknownCase,
    /// A document whose identity differs from the known one.
    IdentityMismatch,
}

impl NoteReason {
    /// The word for it in listings.
    pub fn word(self) -> &'static str {
        match self {
            NoteReason::SessionNotFound => "session-not-found",
            NoteReason::SessionAmbiguous => "session-ambiguous",
            NoteReason::SessionCancelled => "session-cancelled",
            NoteReason::Unscheduled => "unscheduled",
            NoteReason::NoCase => "no-case",
            NoteReason::UnknownCase => "unknown-case",
            NoteReason::IdentityMismatch => "identity-mismatch",
        }
    }

    /// Whether the note stands for a case that waits for a session.
    pub fn is_for_a_case(self) -> bool {
        matches!(
            self,
            NoteReason::SessionNotFound
                | NoteReason::SessionAmbiguous
                | NoteReason::SessionCancelled
                | NoteReason::Unscheduled
        )
    }
}
