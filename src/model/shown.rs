//! What a version of a report shows, as hashes: whether the next one would show anything else (interface.md 8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::case::{Case, Completion};
use super::document::ReportDocument;
use super::identifiers::ContentHash;
use super::patient::Patient;
use super::session::Session;

/// The hashes of the parts of a report. What has none is not shown, or was not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportHashes(BTreeMap<ReportPart, ContentHash>);

/// A part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportPart {
    /// Who the patient is, and whether a message said otherwise.
    Identity,
    /// The session.
    Session,
    /// Submitter and lead.
    Physicians,
    /// Whom the form names besides.
    People,
    /// The form.
    Questionnaire,
    /// The decision.
    Decision,
    /// Who took part.
    Participants,
    /// Further items of the desk.
    Items,
    /// The PDF that the desk gave.
    Pdf,
    /// The name of the facility.
    Establishment,
    /// Which documents the case has.
    Documents,
}

impl ReportPart {
    /// What it is called where people read of it.
    pub fn words(self) -> &'static str {
        match self {
            ReportPart::Identity => "identité du patient",
            ReportPart::Session => "réunion",
            ReportPart::Physicians => "médecins",
            ReportPart::People => "personnes citées par la fiche",
            ReportPart::Questionnaire => "questionnaire",
            ReportPart::Decision => "décision",
            ReportPart::Participants => "participants",
            ReportPart::Items => "éléments saisis en réunion",
            ReportPart::Pdf => "document fourni",
            ReportPart::Establishment => "établissement",
            ReportPart::Documents => "documents du dossier",
        }
    }

    /// Whether a report is outdated once this part is another. A name in the configuration makes none so, nor does a
    /// document that comes after the meeting: nobody discussed it.
    pub fn outdates(self) -> bool {
        !matches!(self, ReportPart::Establishment | ReportPart::Documents)
    }
}

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its patient.
    pub patient: &'a Patient,
    /// Its session.
    pub session: &'a Session,
    /// What the desk wrote.
    pub completion: &'a Completion,
    /// The hash of what the form says, where it is filled ([`super::questionnaire::Questionnaire::hash`]).
    pub form: Option<&'a ContentHash>,
    /// The documents of the case, where they were looked for.
    pub documents: &'a [ReportDocument],
    /// Name, address and number of the facility, where the configuration is at hand.
    pub establishment: Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
}

/// Who a patient is, as a report shows it.
fn identity(patient: &Patient) -> impl Serialize + PartialEq + '_ {
    (
        &patient.ipp,
        &patient.birth_name,
        &patient.usual_name,
        &patient.given_name,
        &patient.birth_given_name,
        patient.sex.code(),
        patient.birth_date.to_string(),
        &patient.ins,
        &patient.identity_status,
    )
}

/// Whether reports show the same of a patient before and after a change.
pub fn is_same(before: &Patient, after: &Patient) -> bool {
    identity(before) == identity(after) && before.physician == after.physician
}

impl ReportHashes {
    /// What a report of this shows: its PDF, and who the message around it is about. Address and phone are none of it.
    pub fn of(basis: &Basis<'_>) -> Self {
        let Basis {
            case,
            patient,
            session,
            completion,
            ..
        } = basis;
        let hash = |part, value: &dyn Fn() -> ContentHash| (part, value());
        let mut parts = BTreeMap::from([
            hash(ReportPart::Identity, &|| {
                ContentHash::of_json(&(
                    identity(patient),
                    case.is_identity_in_doubt(Some(patient)),
                    case.identity_in_doubt(Some(patient)),
                ))
            }),
            hash(ReportPart::Session, &|| {
                ContentHash::of_json(&(&session.label, session.date, &session.start, &case.network))
            }),
            hash(ReportPart::Physicians, &|| {
                let submitter = case.submitter.as_ref().or(patient.physician.as_ref());
                let lead = session.lead.as_ref().or(case.lead.as_ref());
                ContentHash::of_json(&(submitter, lead))
            }),
            hash(ReportPart::Decision, &|| {
                ContentHash::of_json(&completion.decision)
            }),
            hash(ReportPart::Participants, &|| {
                ContentHash::of_json(&(&completion.participants, &completion.validator))
            }),
            hash(ReportPart::Items, &|| {
                ContentHash::of_json(&completion.items)
            }),
        ]);
        match &completion.pdf {
            Some(pdf) => {
                parts.insert(ReportPart::Pdf, pdf.clone());
            }
            None => {
                parts.insert(ReportPart::People, ContentHash::of_json(&case.people));
                if let Some(form) = basis.form {
                    parts.insert(ReportPart::Questionnaire, form.clone());
                }
                if !basis.documents.is_empty() {
                    parts.insert(
                        ReportPart::Documents,
                        ContentHash::of_json(&basis.documents),
                    );
                }
                if let Some(establishment) = &basis.establishment {
                    parts.insert(
                        ReportPart::Establishment,
                        ContentHash::of_json(establishment),
                    );
                }
            }
        }
        Self(parts)
    }

    /// The parts that are not the same, in the order in which they are named.
    pub fn differing(&self, other: &Self) -> Vec<ReportPart> {
        let mut parts: Vec<ReportPart> = self.0.keys().chain(other.0.keys()).copied().collect();
        parts.sort_unstable();
        parts.dedup();
        parts.retain(|part| self.0.get(part) != other.0.get(part));
        parts
    }
}
