//! A case: a patient put before a session (SPEC 1, 4).

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{
    CaseId, DocumentId, FacilityId, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use super::outcome::WarningCode;
use super::patient::Physician;

/// A case, known by the facility's case id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The facility whose key the id is.
    pub facility: FacilityId,
    /// SCH-2.1, the CDA's case id, or `desk-…`.
    pub id: CaseId,
    /// The patient; unknown only where the case was cancelled before anything else of it was seen.
    pub ipp: Option<Ipp>,
    /// Where it stands in its life.
    pub state: CaseState,
    /// Who puts the case before the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<Physician>,
    /// Who leads, as the messages say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<Physician>,
    /// The pathway or family that the messages ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pathway: Option<PathwayId>,
    /// The date that the messages ask for; none for a case made at the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The department or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkId>,
    /// Warnings of the message that last set the scheduling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduling_warnings: Vec<WarningCode>,
    /// Whether an identity in a message differed from the known one (warning `identity-mismatch`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity_mismatch: bool,
    /// The session it was in when it was cancelled, for `reopen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_in: Option<SessionId>,
    /// The note that keeps the message while no session is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<NoteId>,
    /// The documents that joined, in the order they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentId>,
    /// The time (MSH-7) of the last SIU that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub siu_time: Option<DateTime<Utc>>,
    /// The last CDA that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cda: Option<LastCda>,
    /// Whether its questionnaire is filled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_questionnaire: bool,
    /// What the desk decided, the last time it completed the case; kept while the case is reopened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
}

/// What the next CDA of a case is compared with, to know whether it is older (SPEC 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCda {
    /// The `setId`, the same for all versions of a document.
    #[serde(default)]
    pub set_id: Option<String>,
    /// The `versionNumber` among them.
    #[serde(default)]
    pub version: Option<u64>,
    /// The `effectiveTime`.
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
}

/// The life of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "session")]
pub enum CaseState {
    /// No session yet.
    Unscheduled,
    /// To be discussed in this session.
    Scheduled(SessionId),
    /// Discussed in this session; there is a report.
    Completed(SessionId),
    /// Not to be discussed.
    Cancelled,
}

impl CaseState {
    /// The word for it in listings.
    pub fn word(&self) -> &'static str {
        match self {
            CaseState::Unscheduled => "unscheduled",
            CaseState::Scheduled(_) => "scheduled",
            CaseState::Completed(_) => "completed",
            CaseState::Cancelled => "cancelled",
        }
    }

    /// The session it is in.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            CaseState::Scheduled(session) | CaseState::Completed(session) => Some(session),
            CaseState::Unscheduled | CaseState::Cancelled => None,
        }
    }
}

/// What the desk wrote when it completed a case (SPEC 7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Completion {
    /// The decision of the meeting.
    #[serde(default)]
    pub decision: Option<String>,
    /// Who took part.
    #[serde(default)]
    pub participants: Vec<Participant>,
    /// Further items of the report.
    #[serde(default)]
    pub items: Vec<ReportItem>,
    /// The hash of the PDF that came with the command, where one did.
    #[serde(default)]
    pub pdf: Option<super::identifiers::ContentHash>,
}

/// Someone who took part in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// The national number, if the person has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpps: Option<String>,
    /// Family name.
    #[serde(default)]
    pub family: String,
    /// Given name.
    #[serde(default)]
    pub given: String,
    /// What the person was there for.
    #[serde(default)]
    pub role: String,
}

/// A line of the report that the desk adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportItem {
    /// A code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it is.
    pub label: String,
    /// What it says.
    pub value: String,
}
