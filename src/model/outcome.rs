//! What becomes of a message: its outcome, the reasons of a refusal and the warnings (interface.md 10).

use serde::{Deserialize, Serialize};

/// What was done with a message that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something new came to be.
    Accepted,
    /// Something known was changed.
    Updated,
    /// The same message, or one that says what is already so: nothing changed.
    Duplicate,
    /// Older than what is known: nothing changed.
    Stale,
    /// Nothing that concerns the meetings: nothing changed.
    Ignored,
}

impl Verdict {
    /// Whether something of the message counts: something came to be, or was changed.
    pub fn has_effect(self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::Updated)
    }
}

/// The outcome of one message, as it is journalled, acknowledged and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Taken in; the file goes to `done/`.
    Taken {
        /// What was done.
        verdict: Verdict,
        /// What the sender should know all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
        /// What the verdict alone would have somebody expect, and is not so: a sentence for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Refused; the file goes to `error/`.
    Rejected(Refusal),
}

impl Outcome {
    /// The word for this outcome in listings and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Taken { verdict, .. } => match verdict {
                Verdict::Accepted => "accepted",
                Verdict::Updated => "updated",
                Verdict::Duplicate => "duplicate",
                Verdict::Stale => "stale",
                Verdict::Ignored => "ignored",
            },
            Outcome::Rejected(_) => "rejected",
        }
    }

    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Outcome::Rejected(refusal) => Some(refusal),
            Outcome::Taken { .. } => None,
        }
    }
}

/// Where in a message something stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Location {
    /// As integrators write it: `PID-13.1`, or the path of an element, or `line 3, column date`.
    pub shown: String,
    /// The same as HL7's ERL, for ERR-2: `PID^1^13^1^1`; nothing where it is not an HL7 position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erl: Option<String>,
}

impl Location {
    /// A place that is not a position in an HL7 message.
    pub fn named(shown: impl Into<String>) -> Self {
        Self {
            shown: shown.into(),
            erl: None,
        }
    }
}

impl From<&str> for Location {
    fn from(shown: &str) -> Self {
        Self::named(shown)
    }
}

/// Why a message is refused, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", reason.code())]
pub struct Refusal {
    /// The reason, one of a fixed list.
    pub reason: Reason,
    /// A sentence for a person.
    pub message: String,
    /// Where it stands, if it stands anywhere.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<Location>,
    /// What stood there, cut to 80 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What else is wrong with the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further: Option<Box<FurtherRefusals>>,
}

/// What else is wrong with a refused message, and would refuse it once the first problem is corrected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FurtherRefusals {
    /// The first of these problems.
    pub named: Vec<Refusal>,
    /// How many more there are.
    pub unnamed: usize,
}

/// So many further problems of a message are named; the others are counted.
const MOST_FURTHER: usize = 9;

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            place: None,
            value: None,
            further: None,
        }
    }

    /// Adds what else is wrong: of these, what is another problem than its own.
    pub fn with_further(mut self, problems: Vec<Refusal>) -> Self {
        let mut further = FurtherRefusals::default();
        for problem in problems {
            let is_same = |it: &Refusal| it.reason == problem.reason && it.place == problem.place;
            if is_same(&self) || further.named.iter().any(is_same) {
                continue;
            }
            match further.named.len() < MOST_FURTHER {
                true => further.named.push(problem),
                false => further.unnamed += 1,
            }
        }
        self.further = (!further.named.is_empty()).then(|| Box::new(further));
        self
    }

    /// Adds where it stands.
    pub fn at(mut self, place: impl Into<Location>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds what stood there.
    pub fn with_value(mut self, value: &str) -> Self {
        self.value = Some(value.chars().take(80).collect());
        self
    }
}

/// Something that a sender should know about a message that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The code, one of a fixed list.
    pub code: WarningCode,
    /// A sentence for a person.
    pub message: String,
    /// Where it stands, if it stands anywhere.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<Location>,
}

impl Warning {
    /// A warning with its sentence.
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: None,
        }
    }

    /// Adds where it stands.
    pub fn at(mut self, place: impl Into<Location>) -> Self {
        self.place = Some(place.into());
        self
    }
}

/// How an acknowledgement names a refusal: MSA-1 and ERR-3 of table 0357 (interface.md 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hl7Code {
    /// MSA-1: `AE`, the content is wrong, or `AR`, the message cannot be processed at all.
    pub acknowledgment: &'static str,
    /// The condition code of table 0357.
    pub condition: u16,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $code)] $variant,)*
        }

        impl $name {
            /// Every one of them, in the order of the specification.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its code, as it stands in receipts, sidecars and listings.
            pub fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }
        }
    };
}

codes! {
    /// Why a message or a command is refused (interface.md 7 and 10).
    Reason {
        /// Neither HL7 v2, nor CDA, nor a request.
        UnknownFormat = "unknown-format",
        /// HL7, XML or JSON that does not hold together.
        Malformed = "malformed",
        /// XML with a document type declaration.
        XmlDoctype = "xml-doctype",
        /// Larger than `max_file`.
        TooLarge = "too-large",
        /// The file could not be read.
        Unreadable = "unreadable",
        /// Reading it ended the process three times.
        ReaderCrashed = "reader-crashed",
        /// A segment that the flow needs is absent.
        MissingSegment = "missing-segment",
        /// A required datum is absent or erased.
        MissingField = "missing-field",
        /// No patient id of the facility.
        MissingIpp = "missing-ipp",
        /// The phone number is not one.
        InvalidPhone = "invalid-phone",
        /// The e-mail address is not one.
        InvalidEmail = "invalid-email",
        /// The date is not one.
        InvalidDate = "invalid-date",
        /// The document's base64 is broken.
        BadBase64 = "bad-base64",
        /// The sex is neither M nor F.
        SexNotSupported = "sex-not-supported",
        /// The document's content is of a kind that is not accepted.
        DocumentType = "document-type",
        /// A CDA of another kind.
        UnsupportedDocument = "unsupported-document",
        /// A message type that has no flow.
        UnsupportedMessage = "unsupported-message",
        /// A version of HL7 that is not accepted.
        UnsupportedVersion = "unsupported-version",
        /// Nobody is known by this id.
        UnknownPatient = "unknown-patient",
        /// No case is known by this id.
        UnknownCase = "unknown-case",
        /// Several patient ids, and nothing says which is the facility's.
        AmbiguousIpp = "ambiguous-ipp",
        /// The patient id is of another authority than the facility's.
        IppAuthority = "ipp-authority",
        /// The identity contradicts the known one.
        IdentityMismatch = "identity-mismatch",
        /// The case is another patient's.
        CasePatientMismatch = "case-patient-mismatch",
        /// The case is completed: only `reopen` opens it again.
        CaseCompleted = "case-completed",
        /// The merge would close a circle.
        MergeCycle = "merge-cycle",
        /// The IPP was merged into another patient before.
        MergeConflict = "merge-conflict",
        /// The message does not carry the facility's key.
        Unauthorised = "unauthorised",
        /// No session is known by this id.
        UnknownSession = "unknown-session",
        /// No note is known by this id.
        UnknownNote = "unknown-note",
        /// The session is closed or cancelled.
        SessionNotPlanned = "session-not-planned",
        /// A command of the desk that cannot be understood or done.
        BadCommand = "bad-command",
        /// Something of the facility that a command is about cannot be used.
        FacilityUnreachable = "facility-unreachable",
        /// The message is of a time that is still far ahead: a clock is wrong.
        FutureTime = "future-time",
        /// A list of sessions with a line that is wrong.
        BadCsv = "bad-csv",
    }
}

codes! {
    /// What a sender is warned of (interface.md 10).
    WarningCode {
        /// The patient id has no type.
        IppUntyped = "ipp-untyped",
        /// The patient id is of another authority than the facility's.
        IppAuthority = "ipp-authority",
        /// The identity is not verified: no INS is kept.
        InsUnverified = "ins-unverified",
        /// The INS that came, or is to be taken away, is not the one that is known or counts, which stays.
        InsUnknown = "ins-unknown",
        /// The INS has a wrong key and is not kept.
        InsInvalid = "ins-invalid",
        /// The INS is already another patient's and is not kept.
        InsDuplicate = "ins-duplicate",
        /// The address is incomplete and is not kept.
        AddressPartial = "address-partial",
        /// The text is not in the character set that is declared.
        CharsetMismatch = "charset-mismatch",
        /// The text has control characters beyond ASCII, which nobody writes.
        CharsetControl = "charset-control",
        /// The declared character set is not known.
        CharsetUnknown = "charset-unknown",
        /// A date and time is not written as HL7 writes it.
        TimeUntidy = "time-untidy",
        /// The count in a batch trailer is not that of its messages.
        BatchCount = "batch-count",
        /// A segment is not written as it should be, or may be cut short.
        SegmentUntidy = "segment-untidy",
        /// The submitter or the lead physician was told by the order of the AIP.
        AipNumbering = "aip-numbering",
        /// The RPPS number has a wrong key.
        RppsInvalid = "rpps-invalid",
        /// One of birth name, birth date and sex is not the known one.
        IdentityMismatch = "identity-mismatch",
        /// An ADT message changed the identity.
        IdentityChanged = "identity-changed",
        /// The IPP was merged into another.
        MergedIpp = "merged-ipp",
        /// No session fits: the case waits, unscheduled.
        SessionNotFound = "session-not-found",
        /// Several sessions fit: the case waits, unscheduled.
        SessionAmbiguous = "session-ambiguous",
        /// Planned sessions of one date have one pathway or family: a case cannot tell them apart.
        SessionsAlike = "sessions-alike",
        /// The named session is on another date.
        SessionDateMismatch = "session-date-mismatch",
        /// The case is cancelled and stays so.
        CaseCancelled = "case-cancelled",
        /// The case that a document names is not known yet.
        UnknownCase = "unknown-case",
        /// The document to replace or delete is not known.
        UnknownDocument = "unknown-document",
        /// The document's id is already used for another patient.
        DocumentIdReused = "document-id-reused",
        /// An OBX that is not of type ED carries a document.
        ObxType = "obx-type",
        /// The end of the document is missing; it is kept.
        DocumentDamaged = "document-damaged",
        /// It cannot be told whether texts are documents of their own, or parts of one.
        DocumentParts = "document-parts",
        /// The document's network is not the patient's.
        NetworkMismatch = "network-mismatch",
        /// The CDA's body is not structured.
        QuestionnaireNotStructured = "questionnaire-not-structured",
        /// Texts of the questionnaire are too long to be kept whole.
        QuestionnaireCut = "questionnaire-cut",
        /// What was written by hand and the document of a case say otherwise of the same.
        QuestionnaireDiffers = "questionnaire-differs",
        /// The report lacks a datum that it should show.
        ReportIncomplete = "report-incomplete",
    }
}

impl Reason {
    /// The codes of an acknowledgement for this reason (interface.md 10).
    ///
    /// The reasons of the desk, which never answer HL7, have those of an application error.
    pub fn hl7(self) -> Hl7Code {
        use Reason::*;
        let (acknowledgment, condition) = match self {
            UnknownFormat | Malformed | XmlDoctype | TooLarge | Unreadable | ReaderCrashed
            | Unauthorised => ("AR", 207),
            MissingSegment => ("AE", 100),
            MissingField | MissingIpp => ("AE", 101),
            InvalidPhone | InvalidEmail | InvalidDate | FutureTime | BadBase64 => ("AE", 102),
            SexNotSupported | DocumentType | UnsupportedDocument => ("AE", 103),
            UnsupportedMessage => ("AR", 200),
            UnsupportedVersion => ("AR", 203),
            UnknownPatient | UnknownCase | AmbiguousIpp | IppAuthority | IdentityMismatch
            | UnknownSession | UnknownNote => ("AE", 204),
            CasePatientMismatch | CaseCompleted | MergeCycle | MergeConflict
            | SessionNotPlanned => ("AE", 205),
            BadCommand | BadCsv | FacilityUnreachable => ("AE", 207),
        };
        Hl7Code {
            acknowledgment,
            condition,
        }
    }

    /// What a person can do about it, for the `next` of a sidecar.
    pub fn next_step(self) -> &'static str {
        use Reason::*;
        match self {
            UnknownFormat => {
                "Send HL7 v2 (starting with MSH), a CDA R2 document, or a file named *.retrieve."
            }
            Malformed => "Correct the message at the place named and drop it into the inbox again.",
            XmlDoctype => {
                "Remove the document type declaration (<!DOCTYPE …>) and send the document again."
            }
            TooLarge => "Send a smaller file, or raise intake.max_file.",
            Unreadable => {
                "Check the file's rights and the disk, then move the file back into the inbox."
            }
            ReaderCrashed => {
                "Keep this file and report it: reading it ended the program three times. Nothing of it was taken in."
            }
            MissingSegment => {
                "Have the sending system add the segment, then send the message again."
            }
            MissingField => {
                "Have the sending system fill the field named, then send the message again."
            }
            MissingIpp => "Send the patient id in PID-3 with type PI in PID-3.5.",
            InvalidPhone => {
                "Correct the phone number in the patient's record, or leave it empty, and send the message again."
            }
            InvalidEmail => {
                "Correct the e-mail address in the patient's record, or leave it empty, and send the message again."
            }
            InvalidDate => "Send the date as yyyymmdd.",
            FutureTime => {
                "A clock is wrong, the sender's or this machine's: set it right. Have the message sent anew with its right time; if it was this machine's clock, retry this file."
            }
            BadBase64 => {
                "The document was damaged on its way: encode it anew and send the message again."
            }
            SexNotSupported => "Send M or F in PID-8.",
            DocumentType => {
                "Send the document in one of the accepted kinds (documents.types), such as PDF."
            }
            UnsupportedDocument => {
                "Send a CDA with an accepted document code (cda.document_codes)."
            }
            UnsupportedMessage => {
                "Nothing to correct: this message type has no use here. Stop sending it to this folder."
            }
            UnsupportedVersion => {
                "Send version 2.5 to 2.7 in MSH-12, or add the version to intake.versions."
            }
            UnknownPatient => "Send the patient first (ADT^A28), then retry this file.",
            UnknownCase => "Check the case id; send the case first (SIU^S12), then try again.",
            AmbiguousIpp => {
                "Send one PI identifier, or set ipp_authority (ipp_oid for CDA) for this facility."
            }
            IppAuthority => {
                "Check whether the file lies in the right facility's folder. If it does, set ipp_authority to the authority in PID-3.4."
            }
            IdentityMismatch => {
                "Check whose identifier this is: name and birth date contradict the known patient. Correct the identity by ADT, or the message, then retry."
            }
            CasePatientMismatch => {
                "The case belongs to another patient: check the case id and the patient id."
            }
            CaseCompleted => "The case is completed. Reopen it at the desk, then retry this file.",
            MergeCycle => {
                "The surviving patient id was itself merged into this one: check the merge."
            }
            MergeConflict => {
                "The patient id leads to another survivor since a former merge. If both survivors are one patient, merge the one into the other (ADT^A40); else correct the merge at its sender."
            }
            Unauthorised => {
                "Send the facility's key in MSH-4.1; check that this is the right folder."
            }
            UnknownSession => "Check the session id, or import the session first.",
            UnknownNote => "Check the note's id with `rcpspool list notes`.",
            SessionNotPlanned => "Choose a session that is planned.",
            BadCommand => "Correct the command and drop it into the desk's inbox again.",
            FacilityUnreachable => {
                "Mend what the sentence names (`rcpspool status` shows it), then give the command again."
            }
            BadCsv => "Correct the line named and drop the whole list into the desk's inbox again.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_problems_are_named_once_and_the_rest_counted() {
        let at = |place: &str| Refusal::new(Reason::BadBase64, "wrong").at(place);
        let problems = (0..15)
            .chain([3])
            .map(|place| at(&place.to_string()))
            .collect();
        let refusal = at("0").with_further(problems);
        let further = refusal.further.as_ref().unwrap();
        assert_eq!(further.named.len(), MOST_FURTHER);
        assert_eq!(further.unnamed, 14 - MOST_FURTHER);
        let json = serde_json::to_string(&refusal).unwrap();
        assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal);
        let plain = serde_json::to_string(&at("0")).unwrap();
        assert!(!plain.contains("further"));
    }

    #[test]
    fn codes_are_unique_and_survive_json() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.code()));
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.code()));
            assert!(!reason.next_step().is_empty());
        }
        assert_eq!(Reason::ALL.len(), 35);
        assert_eq!(WarningCode::ALL.len(), 34);
    }

    #[test]
    fn acknowledgement_codes_follow_the_specification() {
        for (reason, acknowledgment, condition) in [
            (Reason::UnknownFormat, "AR", 207),
            (Reason::MissingSegment, "AE", 100),
            (Reason::MissingIpp, "AE", 101),
            (Reason::InvalidPhone, "AE", 102),
            (Reason::DocumentType, "AE", 103),
            (Reason::UnsupportedMessage, "AR", 200),
            (Reason::UnsupportedVersion, "AR", 203),
            (Reason::UnknownPatient, "AE", 204),
            (Reason::CaseCompleted, "AE", 205),
            (Reason::Unauthorised, "AR", 207),
        ] {
            let code = reason.hl7();
            assert_eq!(
                (code.acknowledgment, code.condition),
                (acknowledgment, condition)
            );
        }
    }
}
