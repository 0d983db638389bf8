//! A session: one meeting. Sessions belong to the desk (interface.md 1, 7).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::identifiers::{PathwayId, SessionId};
use super::patient::Physician;

/// One meeting; cases of several facilities may meet in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The desk's id of the meeting.
    pub id: SessionId,
    /// What it is called.
    pub label: String,
    /// The calendar date.
    pub date: NaiveDate,
    /// When it starts, as the desk wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The pathway it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pathway_id: Option<PathwayId>,
    /// The family it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_id: Option<PathwayId>,
    /// The physician who leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<Physician>,
    /// Whether cases can still be put into it.
    pub state: SessionState,
}

impl Session {
    /// The id of this kind, by which cases ask for it.
    pub fn asked_for(&self, by: SessionKey) -> Option<&PathwayId> {
        match by {
            SessionKey::Pathway => self.pathway_id.as_ref(),
            SessionKey::Family => self.family_id.as_ref(),
        }
    }
}

/// By which of its ids a session is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionKey {
    /// The pathway it is about.
    Pathway,
    /// The family it is about.
    Family,
}

impl SessionKey {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            SessionKey::Pathway => "pathway",
            SessionKey::Family => "family",
        }
    }
}

/// The life of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// To come; cases can be put into it.
    Planned,
    /// Held; its cases can still be completed.
    Closed,
    /// Not held; its cases are unscheduled.
    Cancelled,
}

impl SessionState {
    /// The word for it in listings and lists of sessions.
    pub fn word(self) -> &'static str {
        match self {
            SessionState::Planned => "planned",
            SessionState::Closed => "closed",
            SessionState::Cancelled => "cancelled",
        }
    }
}
