//! Documents sent for a patient, by ORU, OUL and MDM (interface.md 6).
//!
//! Each OBX that carries a file is a document: it is found to be new, the next version of a known one, or the end of
//! one, and joins a case or waits on a note of the patient. A message is all or nothing.

mod attachment;
mod carried;
mod cut_base64;
mod destination;
mod file;
mod ids;
mod parts;
pub(super) mod patient;
mod sent;
mod versions;

#[cfg(test)]
mod tests;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::field_update::{text, word};
use super::head::CdaIdentifiers;
use super::message_time::message_time;
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, Stop};
use crate::config::Facility;
use crate::hl7::{Message, Segment};
use crate::model::case::Case;
use crate::model::document::{AttachmentPlace, ContentType, Document};
use crate::model::identifiers::{CaseId, ContentHash, DocumentId, Ipp};
use crate::model::outcome::{Reason, Refusal, Verdict};
use crate::model::view::{Branch, View};
use ids::DocumentIds;
use parts::{DocumentParts, join_parts};
use patient::PidPatient;
use sent::{DocumentStatus, MAX_DOCUMENTS, ObxDocument, may_be_document, sent_documents};

/// Decides an ORU, OUL or MDM message.
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let is_mdm = message.message_code().trim() == "MDM";
    let event = message.trigger().trim().to_owned();
    let mut sent = sent_documents(message, &event);
    if sent.is_empty() {
        return without_document(message, is_mdm, &event);
    }
    if let Some(one_too_many) = sent.get(MAX_DOCUMENTS) {
        let refusal = Refusal::new(
            Reason::Malformed,
            format!("expected at most {MAX_DOCUMENTS} documents in a message, found more"),
        );
        return Err(refusal.at(one_too_many.obx.position()).into());
    }
    let DocumentParts { joined, warnings } = join_parts(&mut sent)?;
    let mut flow = DocumentFlow {
        message,
        sent: &sent,
        joined,
        view,
        branch: None,
        in_branch: 0,
        cases: BTreeMap::new(),
        context,
        facility: context.facility,
        transport: if is_mdm { message.first("TXA") } else { None },
        time: match text(&message.header().field(7).component(1)) {
            Some(_) => Some(message_time(message, context, trail)?),
            None => None,
        },
        by: format!("{}^{event}", message.message_code().trim()),
        decision: Decision::unchanged(Verdict::Ignored),
        patients: HashMap::new(),
        documents: BTreeMap::new(),
        times_sent: HashMap::new(),
        answering: HashMap::new(),
        message_hash: OnceCell::new(),
        firsts: RefCell::default(),
        trail,
    };
    flow.decision.warnings.extend(warnings);
    for (number, sent) in sent.iter().enumerate() {
        let verdict = flow.take(sent, number)?;
        flow.decision.verdict = more_important(flow.decision.verdict, verdict);
    }
    Ok(flow.decision)
}

/// Refuses a message that ends within a document: the end of a file that was cut off. Base64 has no end of its own, so
/// what came of it would look whole.
pub fn refuse_cut_off(message: &Message<'_>) -> Result<(), Refusal> {
    let last = message.segments().last();
    match last.filter(|last| last.name() == "OBX") {
        Some(obx) if obx.field_count() <= 5 && may_be_document(&obx) => {
            let refusal = Refusal::new(
                Reason::BadBase64,
                "expected the end of the document, but the file ends within it",
            );
            Err(refusal.at(obx.field(5).position()))
        }
        _ => Ok(()),
    }
}

/// A message that carries no document: only the even events of MDM must (HL7 v2.5 chapter 9.6).
fn without_document<'m>(message: &Message<'m>, is_mdm: bool, event: &str) -> DecisionResult<'m> {
    let must = is_mdm && matches!(event, "T02" | "T04" | "T06" | "T08" | "T10");
    let deletes = |obx: Segment<'_>| word(&obx.field(11).simple()).as_deref() == Some("D");
    if must && !message.all("OBX").any(deletes) {
        return Err(Refusal::new(
            Reason::MissingSegment,
            format!("expected an OBX of type ED with the document in MDM^{event}, found none"),
        )
        .into());
    }
    Ok(Decision::unchanged(Verdict::Ignored))
}

/// What is told of a message with several documents: that something new came says more than that something changed.
fn more_important(one: Verdict, other: Verdict) -> Verdict {
    let weight = |verdict| match verdict {
        Verdict::Accepted => 4,
        Verdict::Updated => 3,
        Verdict::Duplicate => 2,
        Verdict::Stale => 1,
        Verdict::Ignored => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

/// The decision in the making: what earlier documents of the message changed counts for the later ones.
struct DocumentFlow<'f, 'm> {
    message: &'f Message<'m>,
    /// All its documents.
    sent: &'f [ObxDocument<'m>],
    /// The documents that came in several parts, by the occurrence of their first OBX.
    joined: HashMap<u32, Vec<u8>>,
    view: &'f dyn View,
    /// The view with what was decided so far, where a document that schedules asks for it.
    branch: Option<Box<dyn Branch + 'f>>,
    /// So many of the decision's changes the branch has.
    in_branch: usize,
    /// The cases that documents of the message scheduled.
    cases: BTreeMap<CaseId, Case>,
    context: &'f Context<'f>,
    facility: &'f Facility,
    /// TXA, of an MDM.
    transport: Option<Segment<'m>>,
    time: Option<DateTime<Utc>>,
    by: String,
    decision: Decision<'m>,
    patients: HashMap<u32, PidPatient>,
    documents: BTreeMap<DocumentId, Document>,
    times_sent: HashMap<(Ipp, String), usize>,
    /// The documents that answer to a unique id since an earlier document of the message.
    answering: HashMap<String, Vec<DocumentId>>,
    message_hash: OnceCell<ContentHash>,
    /// First segments that were looked for: a message is as long as all its documents.
    firsts: RefCell<HashMap<String, Option<Segment<'m>>>>,
    trail: &'f mut Trail,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// Takes in one document; the changed cases are put at the end.
    fn take(&mut self, sent: &ObxDocument<'m>, number: usize) -> Result<Verdict, Stop> {
        let found = self.patient_of(sent)?;
        let ipp = found.patient.ipp.clone();
        self.trail
            .about(format_args!("document {}", number.saturating_add(1)));
        self.record_status(sent);
        if sent.status == DocumentStatus::Delete {
            let ids = self.ids(sent, &ipp, None);
            return self.delete(sent, &ipp, &ids);
        }
        let destination = self.destination(sent, &found)?;
        let file = self.file(sent)?;
        let cda =
            (file.content_type == ContentType::Cda).then(|| CdaIdentifiers::read(&file.bytes));
        if let Some(cda) = &cda {
            self.check_time_of(cda, sent)?;
        }
        let ids = self.ids(sent, &ipp, cda.as_ref());
        let known = match sent.status {
            DocumentStatus::Replace => self.first_known(&ids.meant, &ipp)?,
            _ => match &ids.unique {
                Some(unique) => self.known(unique, &ipp)?,
                None => None,
            },
        };
        if known.is_none() && sent.status == DocumentStatus::Replace {
            self.warn_unknown(sent, "replaced; it is kept as a new one");
        }
        // What may be another person's schedules nothing.
        if !found.differs && cda.as_ref().is_some_and(|cda| self.schedules(cda)) {
            return self.schedule(sent, &found.patient, file, &ids, known);
        }
        // A document in a case is not overwritten by one that may be another person's.
        let in_a_case = |known: &Document| matches!(known.attached, AttachmentPlace::Case(_));
        match known {
            Some(known) if !(found.differs && in_a_case(&known)) => {
                self.add_version(known, file, ids, destination, found.differs)?;
                Ok(Verdict::Updated)
            }
            None if ids.unique.is_some() => {
                self.add_new(&ipp, file, ids, destination, found.differs, number)?;
                Ok(Verdict::Accepted)
            }
            _ => {
                let nameless = DocumentIds {
                    unique: None,
                    own: if found.differs { Vec::new() } else { ids.own },
                    meant: Vec::new(),
                };
                self.add_new(&ipp, file, nameless, destination, found.differs, number)?;
                Ok(Verdict::Accepted)
            }
        }
    }

    /// Tells the trail what is to become of a document.
    fn record_status(&mut self, sent: &ObxDocument<'m>) {
        let value = sent.obx.field(11).simple();
        let word = match sent.status {
            DocumentStatus::Final => "final: new, or the next version",
            DocumentStatus::Replace => "replaces",
            DocumentStatus::Delete => "deletes",
        };
        let rule = match text(&value) {
            Some(code) => format!("OBX-11 = {code}"),
            None => format!("OBX-11 is empty, by {}", self.by),
        };
        self.trail.record("status", word, value.position(), rule);
    }
}
