//! What decisions ask of the pending changes: each record, and the records of a patient, a session or a case.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::rc::Rc;

use chrono::NaiveDate;

use super::{FEW_KEYS, IppLink, KEPT_RECORDS, PendingChanges};
use crate::model::case::Case;
use crate::model::change::Change;
use crate::model::document::Document;
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ins, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use crate::model::note::Note;
use crate::model::patient::{Patient, PersonIpps};
use crate::model::questionnaire::FilledQuestionnaire;
use crate::model::report::{Batch, BatchEntry, Cursor, Report, ReportVersion, VersionOfReport};
use crate::model::session::{Session, SessionKey};
use crate::model::view::{Branch, View, ViewError};
use crate::store::keys;

impl View for PendingChanges<'_> {
    fn branch(&self) -> Box<dyn Branch + '_> {
        Box::new(PendingChanges {
            below: self.changes().collect(),
            ..PendingChanges::new(self.store)
        })
    }

    fn patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Option<Patient>, ViewError> {
        self.get(&keys::patient(facility, ipp))
    }

    fn person(&self, facility: &FacilityId, ipp: &Ipp) -> Result<PersonIpps, ViewError> {
        let mut kept_under = ipp.clone();
        loop {
            match self.get::<IppLink>(&keys::alias(facility, &kept_under))? {
                Some(IppLink::To(next)) => kept_under = next,
                Some(IppLink::Here { ipp, ipps }) => {
                    return Ok(PersonIpps {
                        kept_under,
                        ipp,
                        ipps,
                    });
                }
                None => return Ok(PersonIpps::alone(kept_under)),
            }
        }
    }

    fn patients_with_ins(&self, facility: &FacilityId, ins: &Ins) -> Result<Vec<Ipp>, ViewError> {
        let found = self.keys(&keys::ins(facility, ins))?;
        Ok(found
            .iter()
            .map(|key| Ipp::new(keys::last_word(key)))
            .collect())
    }

    fn network_is_known(
        &self,
        facility: &FacilityId,
        network: &NetworkId,
    ) -> Result<bool, ViewError> {
        Ok(self
            .get::<String>(&keys::network(facility, network))?
            .is_some())
    }

    fn case(&self, facility: &FacilityId, id: &CaseId) -> Result<Option<Case>, ViewError> {
        self.of_patient(&keys::case(facility, id))
    }

    fn cases_of_patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Vec<Case>, ViewError> {
        let ipp = self.kept_under(facility, ipp)?;
        self.led_to(&keys::cases_of_patient(facility, &ipp), |key| {
            keys::case(facility, &CaseId::new(keys::last_word(key)))
        })
    }

    fn some_cases_of_patient(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Case>, ViewError> {
        let ipp = self.kept_under(facility, ipp)?;
        let prefix = keys::cases_of_patient(facility, &ipp);
        let some = match self.few(&prefix)? {
            Some(few) => few,
            None => {
                let mut pairs = BTreeMap::new();
                self.store.scan(&prefix, &mut |key, value| {
                    pairs.insert(key.to_owned(), value.to_vec());
                    pairs.len() < FEW_KEYS
                })?;
                Rc::new(pairs)
            }
        };
        self.records_of(&self.changed(some, &prefix), |key| {
            keys::case(facility, &CaseId::new(keys::last_word(key)))
        })
    }

    fn cases_of_session(&self, session: &SessionId) -> Result<Vec<Case>, ViewError> {
        self.case_by_index(&keys::cases_of_session(session))
    }

    fn unscheduled_cases(&self) -> Result<Vec<Case>, ViewError> {
        self.case_by_index(keys::UNSCHEDULED)
    }

    fn session(&self, id: &SessionId) -> Result<Option<Session>, ViewError> {
        if let Some(session) = self.sessions.borrow().get(id) {
            return Ok(session.clone());
        }
        let session: Option<Session> = self.get(&keys::session(id))?;
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() < KEPT_RECORDS {
            sessions.insert(id.clone(), session.clone());
        }
        Ok(session)
    }

    fn planned_sessions(
        &self,
        date: NaiveDate,
        by: SessionKey,
        id: &PathwayId,
        most: usize,
    ) -> Result<Vec<Session>, ViewError> {
        let mut sessions = Vec::new();
        for key in self.some_keys(&keys::planned_sessions(date, by, id), most)? {
            let id = SessionId::new(keys::last_word(&key));
            sessions.extend(self.session(&id)?);
        }
        Ok(sessions)
    }

    fn note(&self, id: &NoteId) -> Result<Option<Note>, ViewError> {
        self.of_patient(&keys::note(id))
    }

    fn notes_of_patient(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Vec<Note>, ViewError> {
        let ipp = self.kept_under(facility, ipp)?;
        self.led_to(&keys::notes_of_patient(facility, &ipp), |key| {
            keys::note(&NoteId::new(keys::last_word(key)))
        })
    }

    fn document(
        &self,
        facility: &FacilityId,
        id: &DocumentId,
    ) -> Result<Option<Document>, ViewError> {
        self.of_patient(&keys::document(facility, id))
    }

    fn documents_outside_cases(
        &self,
        facility: &FacilityId,
        ipp: &Ipp,
    ) -> Result<Vec<Document>, ViewError> {
        let ipp = self.kept_under(facility, ipp)?;
        self.led_to(&keys::documents_outside_cases(facility, &ipp), |key| {
            document_led_to(facility, key)
        })
    }

    fn documents_of_case(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Vec<Document>, ViewError> {
        let prefix = keys::documents_of_case(facility, case);
        let mut documents: Vec<Document> =
            self.led_to(&prefix, |key| document_led_to(facility, key))?;
        documents.sort_by_key(|document| document.current().and_then(|current| current.time));
        Ok(documents)
    }

    fn documents_by_unique_id(
        &self,
        facility: &FacilityId,
        unique_id: &str,
    ) -> Result<Vec<Document>, ViewError> {
        self.led_to(&keys::documents_by_unique_id(facility, unique_id), |key| {
            document_led_to(facility, key)
        })
    }

    fn documents_awaiting(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Vec<Document>, ViewError> {
        let prefix = keys::documents_awaiting(facility, case);
        // Few documents wait at a time: they are looked up once for all the cases of a group.
        let stored = match self.few(&keys::all_documents_awaiting(facility))? {
            Some(few) => {
                let of_case = few.range::<str, _>((Included(prefix.as_str()), Unbounded));
                let of_case = of_case.take_while(|(key, _)| key.starts_with(&prefix));
                Rc::new(
                    of_case
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect(),
                )
            }
            None => self.stored(&prefix)?,
        };
        self.records_of(&self.changed(stored, &prefix), |key| {
            document_led_to(facility, key)
        })
    }

    fn questionnaire(
        &self,
        facility: &FacilityId,
        case: &CaseId,
    ) -> Result<Option<FilledQuestionnaire>, ViewError> {
        self.get(&keys::questionnaire(facility, case))
    }

    fn questionnaire_numbered(
        &self,
        facility: &FacilityId,
        case: &CaseId,
        number: u32,
    ) -> Result<Option<FilledQuestionnaire>, ViewError> {
        let former = self.get(&keys::former_questionnaire(facility, case, number))?;
        if former.is_some() {
            return Ok(former);
        }
        let latest = self.questionnaire(facility, case)?;
        Ok(latest.filter(|latest| latest.number == number))
    }

    fn report(&self, facility: &FacilityId, case: &CaseId) -> Result<Option<Report>, ViewError> {
        let report: Option<Report> = self.get(&keys::report(facility, case))?;
        Ok(report.map(Report::counted))
    }

    fn report_version(
        &self,
        report: &Report,
        version: u32,
    ) -> Result<Option<ReportVersion>, ViewError> {
        let key = keys::report_version(&report.facility, &report.case, version);
        if let Some(VersionOfReport { version, .. }) = self.get(&key)? {
            return Ok(Some(version));
        }
        let held = report.versions.iter().find(|it| it.version == version);
        Ok(held.cloned())
    }

    fn is_report_outdated(&self, facility: &FacilityId, case: &CaseId) -> Result<bool, ViewError> {
        let mark: Option<String> = self.get(&keys::outdated_report(facility, case))?;
        Ok(mark.is_some())
    }

    fn cursor(&self, facility: &FacilityId) -> Result<Cursor, ViewError> {
        if let Some(cursor) = self.get(&keys::cursor(facility))? {
            return Ok(cursor);
        }
        let above: u64 = self.get(keys::NUMBERS)?.unwrap_or_default();
        Ok(Cursor {
            reports: above,
            batches: above,
            ..Cursor::default()
        })
    }

    fn report_in_sequence(
        &self,
        facility: &FacilityId,
        sequence: u64,
    ) -> Result<Option<BatchEntry>, ViewError> {
        let leads_to: Option<String> = self.get(&keys::report_in_sequence(facility, sequence))?;
        Ok(leads_to.and_then(|leads_to| {
            let (version, case) = leads_to.split_once('/')?;
            let number = version.strip_suffix(keys::WITHDRAWAL);
            Some(BatchEntry {
                case: CaseId::new(keys::last_word(case)),
                version: number.unwrap_or(version).parse().ok()?,
                withdrawal: number.is_some(),
            })
        }))
    }

    fn batch(&self, facility: &FacilityId, number: u64) -> Result<Option<Batch>, ViewError> {
        self.get(&keys::batch(facility, number))
    }

    fn is_applied(&self, facility: &FacilityId, hash: &ContentHash) -> Result<bool, ViewError> {
        Ok(self
            .get::<String>(&keys::applied(facility, hash))?
            .is_some())
    }

    fn is_command_done(&self, id: &str) -> Result<bool, ViewError> {
        Ok(self.get::<String>(&keys::command_done(id))?.is_some())
    }
}

impl Branch for PendingChanges<'_> {
    fn make(&mut self, changes: &[Change]) -> Result<(), ViewError> {
        self.apply(changes).map(drop)
    }
}

impl<'s> PendingChanges<'s> {
    /// The keys that start with this prefix; of many, at least `most`.
    fn some_keys(&self, prefix: &str, most: usize) -> Result<Vec<String>, ViewError> {
        if most > FEW_KEYS || self.few(prefix)?.is_some() {
            return self.keys(prefix);
        }
        // The newest first.
        let layers = || self.changes().rev();
        let mut found = Vec::new();
        for (number, layer) in layers().enumerate() {
            let keys = layer.range::<str, _>((Included(prefix), Unbounded));
            for (key, value) in keys.take_while(|(key, _)| key.starts_with(prefix)) {
                let is_known = layers().take(number).any(|over| over.contains_key(key));
                if !is_known && value.is_some() {
                    found.push(key.clone());
                }
                if found.len() >= most {
                    return Ok(found);
                }
            }
        }
        self.store.scan(prefix, &mut |key, _| {
            if !layers().any(|over| over.contains_key(key)) {
                found.push(key.to_owned());
            }
            found.len() < most
        })?;
        Ok(found)
    }

    fn case_by_index(&self, prefix: &str) -> Result<Vec<Case>, ViewError> {
        self.led_to(prefix, |key| keys::case_led_to(prefix, key))
    }
}

/// The key of the document that a key leads to.
fn document_led_to(facility: &FacilityId, key: &str) -> String {
    keys::document(facility, &DocumentId::new(keys::last_word(key)))
}
