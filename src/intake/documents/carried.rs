//! A CDA of a meeting that came within a message: it is a document, and does what a file of it does (interface.md 5).

use super::file::DocumentFile;
use super::ids::DocumentIds;
use super::sent::{DocumentStatus, ObxDocument};
use super::{CdaIdentifiers, DocumentFlow, Stop};
use crate::cda;
use crate::hl7::Timestamp;
use crate::intake::cdar2::carried::{EmbeddedDocument, newcomer};
use crate::intake::identity::{ipp, names};
use crate::intake::message_time::check_time;
use crate::intake::{Content, Decision, cdar2, checks};
use crate::model::change::{Change, Record, Subject};
use crate::model::document::{ContentType, Document};
use crate::model::outcome::{Location, Reason, Refusal, Verdict};
use crate::model::patient::Patient;
use crate::model::view::{View, ViewError};

impl<'m> DocumentFlow<'_, 'm> {
    /// Whether a CDA is one that puts a case before a session.
    pub(super) fn schedules(&self, head: &CdaIdentifiers) -> bool {
        let accepted = &self.facility.cda.document_codes;
        head.code
            .as_ref()
            .is_some_and(|code| accepted.contains(code))
    }

    /// The time of a CDA must not be ahead of ours: versions go by it.
    pub(super) fn check_time_of(
        &self,
        head: &CdaIdentifiers,
        sent: &ObxDocument<'m>,
    ) -> Result<(), Refusal> {
        let written = head.effective_time.as_deref();
        let Some(Ok(time)) = written.map(Timestamp::parse) else {
            return Ok(());
        };
        let time = time.instant(self.facility.timezone);
        let place = within(sent, cda::header::places::EFFECTIVE_TIME);
        check_time(time, self.context, place).map(drop)
    }

    /// Decides on a CDA as on a file of it, which is the document too.
    pub(super) fn schedule(
        &mut self,
        sent: &ObxDocument<'m>,
        patient: &Patient,
        file: DocumentFile,
        ids: &DocumentIds,
        known: Option<Document>,
    ) -> Result<Verdict, Stop> {
        let bytes = cda::without_framing(&file.bytes);
        let refused = |refusal: Refusal| Stop::Refused(refused_within(sent, refusal));
        checks::check_key_in_document(bytes, self.facility).map_err(refused)?;
        let cda = cda::parse(bytes).map_err(refused)?;
        let carried = EmbeddedDocument {
            patient,
            ids: &ids.own,
            known,
            file_name: &file.file_name,
        };
        self.bring_branch_up_to_date()?;
        let view: &dyn View = match &self.branch {
            Some(branch) => &**branch,
            None => self.view,
        };
        let decided = cdar2::decide(bytes, &cda, Some(&carried), view, self.context, self.trail);
        let decision = decided.map_err(|stop| match stop {
            Stop::Refused(refusal) => refused(refusal),
            stop => stop,
        })?;
        Ok(self.absorb(sent, decision))
    }

    /// Takes over what was decided on a part of the message.
    fn absorb(&mut self, sent: &ObxDocument<'m>, decision: Decision<'_>) -> Verdict {
        for change in decision.changes {
            match &change {
                Change::Put(Record::Case(case)) => {
                    self.cases.insert(case.id.clone(), case.clone());
                }
                Change::Put(Record::Document(document)) => {
                    self.documents.insert(document.id.clone(), document.clone());
                }
                Change::Put(Record::UniqueId(id)) => {
                    let answering = self.answering.entry(id.unique_id.clone()).or_default();
                    if !answering.contains(&id.document) {
                        answering.push(id.document.clone());
                    }
                }
                _ => {}
            }
            self.decision.changes.push(change);
        }
        let warnings = decision.warnings.into_iter().map(|mut warning| {
            let place = warning.place.take();
            let path = place.map(|place| place.shown).unwrap_or_default();
            warning.at(within(sent, &path))
        });
        self.decision.warnings.extend(warnings);
        self.decision.history.extend(decision.history);
        let contents = decision.contents.into_iter().map(|content| Content {
            hash: content.hash,
            bytes: content.bytes.into_owned().into(),
        });
        self.decision.contents.extend(contents);
        decision.verdict
    }

    /// Has a view with all that was decided so far, where something was.
    fn bring_branch_up_to_date(&mut self) -> Result<(), ViewError> {
        let new = self.decision.changes.get(self.in_branch..);
        let new = new.unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        let branch = self.branch.get_or_insert_with(|| self.view.branch());
        branch.make(new)?;
        self.in_branch = self.decision.changes.len();
        Ok(())
    }

    /// The patient of a PID who is not known, as a CDA of the same PID makes one that schedules.
    pub(super) fn newcomer(
        &mut self,
        sent: &ObxDocument<'m>,
        refusal: &Refusal,
    ) -> Result<Option<Patient>, Stop> {
        let Some(pid) = sent
            .pid
            .filter(|_| refusal.reason == Reason::UnknownPatient)
        else {
            return Ok(None);
        };
        let read = ipp::read_ipp(pid.field(3), "ipp", self.facility, self.trail);
        let Some(read) = read.ok().filter(|read| !read.untyped) else {
            return Ok(None);
        };
        let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
        let mut found = self.patients.values();
        if let Some(found) = found.find(|found| found.patient.ipp == ipp) {
            return Ok(Some(found.patient.clone()));
        }
        let of_pid = |it: &&ObxDocument<'m>| {
            it.status != DocumentStatus::Delete
                && it
                    .pid
                    .is_some_and(|own| own.occurrence() == pid.occurrence())
        };
        let sent = self.sent.iter().filter(of_pid).find_map(|sent| {
            let decoded = self.content(sent).ok()?;
            let is_cda = decoded.content_type == ContentType::Cda;
            let schedules = is_cda && self.schedules(&CdaIdentifiers::read(&decoded.bytes));
            schedules.then_some((sent, decoded.bytes))
        });
        let Some((sent, bytes)) = sent else {
            return Ok(None);
        };
        let refused = |refusal: Refusal| Stop::Refused(refused_within(sent, refusal));
        let cda = cda::parse(cda::without_framing(&bytes)).map_err(refused)?;
        read.warn(&mut self.decision.warnings);
        let given = names::given_names(&pid);
        let made = newcomer(&cda, read, &given, self.view, self.context, self.trail);
        let (patient, warnings) = made.map_err(|stop| match stop {
            Stop::Refused(refusal) => refused(refusal),
            stop => stop,
        })?;
        for warning in warnings {
            let path = warning.place.as_ref().map(|place| place.shown.clone());
            let place = within(sent, &path.unwrap_or_default());
            self.decision.warnings.push(warning.at(place));
        }
        self.decision.history.push((
            Subject::Patient(patient.facility.clone(), patient.ipp.clone()),
            "created by CDA".to_owned(),
        ));
        let created = Record::Patient(patient.clone());
        self.decision.changes.push(created.into());
        Ok(Some(patient))
    }
}

/// A place of a document that stands in an OBX.
fn within(sent: &ObxDocument<'_>, path: &str) -> Location {
    let mut place: Location = sent.value.position().into();
    if !path.is_empty() {
        place.shown = format!("{} {path}", place.shown);
    }
    place
}

fn refused_within(sent: &ObxDocument<'_>, mut refusal: Refusal) -> Refusal {
    let path = refusal.place.take().map(|place| place.shown);
    refusal.at(within(sent, &path.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
