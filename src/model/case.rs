//! A case: a patient put before a session (interface.md 1, 4).

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::date::PartialDate;
use super::identifiers::{
    CaseId, ContentHash, FacilityId, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use super::name;
use super::outcome::WarningCode;
use super::patient::{Patient, Physician, Sex};

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
    /// Whether an identity in a message differed from the known one (warning `identity-mismatch`), which may agree by
    /// now ([`Case::is_identity_in_doubt`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity_mismatch: bool,
    /// That identity, the last one that differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_given: Option<SourceIdentity>,
    /// Those that messages of other kinds gave before, and that no message of their kind took back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities_given_before: Vec<SourceIdentity>,
    /// The session it was in when it was cancelled, for `reopen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_in: Option<SessionId>,
    /// The note that keeps the message while no session is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<NoteId>,
    /// The time (MSH-7) of the last SIU that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub siu_time: Option<DateTime<Utc>>,
    /// The last CDA that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cda: Option<LastCda>,
    /// Who its questionnaire names besides submitter and lead: those who present, take part, are told, or treat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<crate::model::questionnaire::StatementParticipant>,
    /// Whether its questionnaire is filled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_questionnaire: bool,
    /// The hash of what its questionnaire says ([`Questionnaire::hash`]), once the case was completed.
    ///
    /// [`Questionnaire::hash`]: super::questionnaire::Questionnaire::hash
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<ContentHash>,
    /// What the desk decided, the last time it completed the case; kept while the case is reopened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
}

/// An identity as a message or document gave it: what of it is compared with the known one (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// What gave it: `CDA`, `SIU^S12`.
    pub by: String,
    /// Birth name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_name: Option<String>,
    /// Given name of the birth certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_given_name: Option<String>,
    /// Date of birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<PartialDate>,
    /// Sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
}

impl Case {
    /// A case of which nothing but its id is known yet.
    pub fn unscheduled(facility: &FacilityId, id: CaseId) -> Self {
        Self {
            facility: facility.clone(),
            id,
            ipp: None,
            state: CaseState::Unscheduled,
            submitter: None,
            lead: None,
            pathway: None,
            date: None,
            network: None,
            scheduling_warnings: Vec::new(),
            identity_mismatch: false,
            identity_given: None,
            identities_given_before: Vec::new(),
            cancelled_in: None,
            note: None,
            siu_time: None,
            cda: None,
            people: Vec::new(),
            has_questionnaire: false,
            form: None,
            completion: None,
        }
    }

    /// Whether an identity that a message or document of the case gave differs from that of its patient now.
    pub fn is_identity_in_doubt(&self, patient: Option<&Patient>) -> bool {
        let mut given = self.identities_given();
        let agrees = patient.is_some_and(|patient| {
            self.identity_given.is_some()
                && given.all(|given| given.differs_from(patient) == IdentityDifferences::default())
        });
        self.identity_mismatch && !agrees
    }

    /// The identity that differs from that of its patient now.
    pub fn identity_in_doubt(&self, patient: Option<&Patient>) -> Option<&SourceIdentity> {
        let differs = |given: &&SourceIdentity| {
            patient
                .is_none_or(|patient| given.differs_from(patient) != IdentityDifferences::default())
        };
        let given = self.identities_given().find(differs);
        given.filter(|_| self.is_identity_in_doubt(patient))
    }

    fn identities_given(&self) -> impl Iterator<Item = &SourceIdentity> {
        self.identity_given
            .iter()
            .chain(&self.identities_given_before)
    }

    /// A message or document gave this identity, which differs from the known one: it takes the place of what one of the
    /// same kind gave before.
    pub fn doubt_identity(&mut self, given: SourceIdentity) {
        self.identity_mismatch = true;
        let former = self.identity_given.take();
        self.identities_given_before.splice(..0, former);
        self.identities_given_before
            .retain(|before| before.kind() != given.kind());
        self.identity_given = Some(given);
    }

    /// Ends the doubt that a message or document left, where this identity, which agrees with the known one, gives all
    /// that it gave, and comes from the same kind or says the same. Gives the words for that, where it ends.
    ///
    /// What another kind says of somebody else leaves the doubt: a questionnaire may still be that of another patient.
    pub fn end_doubt(&mut self, agreeing: &SourceIdentity) -> Option<String> {
        let gave = |given: &SourceIdentity| {
            [
                given.birth_name.is_some(),
                given.birth_date.is_some(),
                given.sex.is_some(),
            ]
        };
        let ends = |former: &mut SourceIdentity| {
            let mut parts = gave(former).into_iter().zip(gave(agreeing));
            (former.kind() == agreeing.kind() || former.agrees_with(agreeing))
                && parts.all(|(before, now)| now || !before)
        };
        let before = &mut self.identities_given_before;
        let mut ended: Vec<SourceIdentity> =
            self.identity_given.take_if(ends).into_iter().collect();
        ended.extend(before.extract_if(.., ends));
        if self.identity_given.is_none() && !before.is_empty() {
            self.identity_given = Some(before.remove(0));
        }
        let first = ended.first()?;
        if self.identity_given.is_some() {
            return None;
        }
        self.identity_mismatch = false;
        Some(first.doubt_ended(&agreeing.by))
    }
}

/// Which data of two identities differ; what one of them does not give does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdentityDifferences {
    /// The birth names, folded.
    pub birth_name: bool,
    /// The dates of birth, to the coarser precision.
    pub birth_date: bool,
    /// The sexes.
    pub sex: bool,
}

impl SourceIdentity {
    /// What histories say of the end of the doubt that it left.
    pub fn doubt_ended(&self, by: &str) -> String {
        format!(
            "the identity is in doubt no more: {by} agrees with what is known, after {} gave another",
            self.by
        )
    }

    /// The kind of message that gave it: `CDA`, `SIU`.
    fn kind(&self) -> &str {
        self.by.split('^').next().unwrap_or_default()
    }

    /// Whether it says nothing else than this one does.
    fn agrees_with(&self, other: &SourceIdentity) -> bool {
        fn agree<T>(one: Option<&T>, other: Option<&T>, is_same: impl Fn(&T, &T) -> bool) -> bool {
            one.zip(other)
                .is_none_or(|(one, other)| is_same(one, other))
        }
        agree(
            self.birth_name.as_ref(),
            other.birth_name.as_ref(),
            |one, other| name::same(one, other),
        ) && agree(
            self.birth_date.as_ref(),
            other.birth_date.as_ref(),
            |one, other| one.agrees_with(other),
        ) && agree(self.sex.as_ref(), other.sex.as_ref(), |one, other| {
            one == other
        })
    }

    /// Compares it with the known patient (interface.md 3).
    pub fn differs_from(&self, known: &Patient) -> IdentityDifferences {
        let birth_name = self.birth_name.as_ref();
        IdentityDifferences {
            birth_name: birth_name.is_some_and(|given| !name::same(given, &known.birth_name)),
            birth_date: self
                .birth_date
                .is_some_and(|given| !given.agrees_with(&known.birth_date)),
            sex: self.sex.is_some_and(|given| given != known.sex),
        }
    }
}

/// What the next CDA of a case is compared with, to know whether it is older (interface.md 5).
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

/// What the desk wrote when it completed a case (interface.md 7).
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
    /// Who validated the decision, where the desk says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<Participant>,
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
