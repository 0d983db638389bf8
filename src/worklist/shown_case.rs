//! A case as the page of its session shows it.

use crate::model::case::Case;
use crate::model::patient::{Patient, Physician};
use crate::model::shown::ReportPart;

/// A case, as the page shows it.
pub(super) struct ShownCase {
    pub case: Box<Case>,
    pub facility: String,
    pub patient: Option<Box<Patient>>,
    pub submitter: Option<Physician>,
    /// What is asked of the session, in lines.
    pub question: Vec<String>,
    /// Whom the form names, with what each is there for: the first of so many.
    pub people: Vec<(String, String)>,
    pub people_count: usize,
    pub form: FormState,
    /// Of the questionnaire, by hand.
    pub written: HandwritingNotice,
    /// Its path.
    pub form_file: Option<String>,
    /// The report, once it is completed: its path, and its version.
    pub report: Option<(String, u32)>,
    /// What of it is another by now.
    pub outdated: Vec<ReportPart>,
    pub documents: Vec<ShownDocument>,
}

/// A document, as the page shows it.
pub(super) struct ShownDocument {
    pub label: String,
    pub path: String,
}

/// How far the questionnaire of a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormState {
    /// None came.
    Missing,
    /// One came that does not say whether the case is complete.
    Received,
    /// It says that the case is complete.
    Complete,
    /// It says that the case is not complete.
    Incomplete,
}

/// What the page says of what was written by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HandwritingNotice {
    /// Nothing was.
    Nothing,
    /// Something that the document does not have.
    Something,
    /// Something of which the document says otherwise.
    Otherwise,
}
