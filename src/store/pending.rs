//! The view that decisions are made on: a store, and over it what the same group has decided already.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Included, Unbounded};
use std::rc::Rc;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{KeyChange, Store, StoreError, keys};
use crate::model::case::Case;
use crate::model::change::{Change, Record};
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ins, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use crate::model::note::Note;
use crate::model::patient::{Patient, PersonIpps};
use crate::model::questionnaire::FilledQuestionnaire;
use crate::model::report::{Batch, BatchEntry, Cursor, Report, ReportVersion, VersionOfReport};
use crate::model::session::{Session, SessionKey};
use crate::model::view::{Branch, View, ViewError};

/// Resolved changes, by key.
pub type Changes = BTreeMap<String, Option<Box<RawValue>>>;

/// Changes that no longer change.
pub type SharedChanges = Arc<Changes>;

/// So many answers of the store are kept: enough for what a group decides on. Who reads more asks the store again.
const KEPT_RECORDS: usize = 2048;
/// Of ranges, those are kept that have at most so many keys.
const FEW_KEYS: usize = 16;

/// Keys and what is stored under them.
type Pairs = Rc<BTreeMap<String, Vec<u8>>>;

/// A store with changes over it that it does not have yet.
pub struct PendingChanges<'s> {
    store: &'s dyn Store,
    /// What the group before decided, which the store may not have yet.
    decided: Option<SharedChanges>,
    /// Of a branch, what is changed below it, the older first.
    below: Vec<&'s Changes>,
    written: Changes,
    /// What the store answered: a decision asks for the same record several times.
    read: RefCell<HashMap<String, Option<Vec<u8>>>>,
    /// The same for ranges of keys; nothing where it has more than few.
    few: RefCell<HashMap<String, Option<Pairs>>>,
}

impl<'s> PendingChanges<'s> {
    /// The store as it is.
    pub fn new(store: &'s dyn Store) -> Self {
        Self {
            store,
            decided: None,
            below: Vec::new(),
            written: Changes::new(),
            read: RefCell::default(),
            few: RefCell::default(),
        }
    }

    /// The store with these changes, whether it has them yet or not.
    pub fn over(store: &'s dyn Store, decided: SharedChanges) -> Self {
        Self {
            decided: Some(decided),
            ..Self::new(store)
        }
    }

    /// Applies changes and gives them resolved, by key, indices included.
    pub fn apply(&mut self, changes: &[Change]) -> Result<Vec<KeyChange>, ViewError> {
        let mut resolved = Vec::with_capacity(changes.len() * 3);
        for change in changes {
            let written = resolved.len();
            match change {
                Change::Put(record) => {
                    let record = &*self.as_kept(record)?;
                    let key = keys::of(record);
                    if matches!(record, Record::UniqueId(_)) && self.get::<String>(&key)?.is_some()
                    {
                        continue;
                    }
                    let before = self.indices_before(record, &key)?;
                    let after = keys::indices(record);
                    for (gone, _) in before.iter().filter(|old| !after.contains(old)) {
                        resolved.push((gone.clone(), None));
                    }
                    for (index, leads_to) in after.iter().filter(|new| !before.contains(new)) {
                        resolved.push((index.clone(), Some(to_json(leads_to)?)));
                    }
                    if let Some(lasting) = keys::lasting(record)
                        && self.get::<String>(&lasting)?.is_none()
                    {
                        resolved.push((lasting, Some(to_json("")?)));
                    }
                    resolved.push((key, Some(value_of(record)?)));
                }
                Change::Delete(record) => {
                    let key = keys::of(record);
                    for (gone, _) in self.indices_before(record, &key)? {
                        resolved.push((gone, None));
                    }
                    resolved.push((key, None));
                }
            }
            self.write(&resolved[written..]);
        }
        Ok(resolved)
    }

    /// Applies changes that are resolved already.
    pub fn write(&mut self, changes: &[KeyChange]) {
        for (key, value) in changes {
            self.written.insert(key.clone(), value.clone());
        }
    }

    /// The keys of everything written over the store.
    pub fn changed_keys(&self) -> impl Iterator<Item = &String> {
        self.written.keys()
    }

    /// Everything written over the store, by key.
    pub fn into_changes(self) -> Changes {
        self.written
    }

    /// The record of a key, read as its type; one that is a patient's by its own method, such as [`View::case`].
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ViewError> {
        let decided = || self.decided.as_ref()?.get(key);
        let below = || self.below.iter().rev().find_map(|changes| changes.get(key));
        let written = self.written.get(key).or_else(decided).or_else(below);
        if let Some(written) = written {
            return written
                .as_deref()
                .map(|value| from_json(key, value.get().as_bytes()))
                .transpose();
        }
        if let Some(read) = self.read.borrow().get(key) {
            return read
                .as_deref()
                .map(|value| from_json(key, value))
                .transpose();
        }
        let value = self.store.get(key)?;
        let record = value
            .as_deref()
            .map(|value| from_json(key, value))
            .transpose();
        let mut read = self.read.borrow_mut();
        if read.len() < KEPT_RECORDS {
            read.insert(key.to_owned(), value);
        }
        record
    }

    /// The records whose keys start with this prefix, in the order of their keys; those that are a patient's by
    /// [`PendingChanges::all_of_patients`].
    pub fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, ViewError> {
        self.pairs(prefix)?
            .iter()
            .map(|(key, value)| from_json(key, value))
            .collect()
    }

    /// The keys that start with this prefix.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, ViewError> {
        Ok(self.pairs(prefix)?.keys().cloned().collect())
    }

    /// All that is changed over the store, the older first.
    fn changes(&self) -> impl DoubleEndedIterator<Item = &Changes> {
        let below = self.below.iter().copied();
        let decided = self.decided.as_deref();
        below.chain(decided).chain([&self.written])
    }

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

    fn pairs(&self, prefix: &str) -> Result<Pairs, ViewError> {
        Ok(self.changed(self.stored(prefix)?, prefix))
    }

    /// What was stored below a prefix, as it was changed since.
    fn changed(&self, mut pairs: Pairs, prefix: &str) -> Pairs {
        for changes in self.changes() {
            let written = changes.range::<str, _>((Included(prefix), Unbounded));
            for (key, value) in written.take_while(|(key, _)| key.starts_with(prefix)) {
                let pairs = Rc::make_mut(&mut pairs);
                match value {
                    Some(value) => pairs.insert(key.clone(), value.get().as_bytes().to_vec()),
                    None => pairs.remove(key),
                };
            }
        }
        pairs
    }

    /// What the store has below a prefix.
    fn stored(&self, prefix: &str) -> Result<Pairs, ViewError> {
        if let Some(few) = self.few(prefix)? {
            return Ok(few);
        }
        let mut pairs = BTreeMap::new();
        self.store.scan(prefix, &mut |key, value| {
            pairs.insert(key.to_owned(), value.to_vec());
            true
        })?;
        Ok(Rc::new(pairs))
    }

    /// What the store has below a prefix, if that is little: it is kept, since many messages of a group ask for the
    /// same.
    fn few(&self, prefix: &str) -> Result<Option<Pairs>, ViewError> {
        if let Some(known) = self.few.borrow().get(prefix) {
            return Ok(known.clone());
        }
        let mut pairs = BTreeMap::new();
        self.store.scan(prefix, &mut |key, value| {
            pairs.insert(key.to_owned(), value.to_vec());
            pairs.len() <= FEW_KEYS
        })?;
        let few = (pairs.len() <= FEW_KEYS).then(|| Rc::new(pairs));
        let mut known = self.few.borrow_mut();
        if known.len() < KEPT_RECORDS {
            known.insert(prefix.to_owned(), few.clone());
        }
        Ok(few)
    }

    fn indices_before(
        &self,
        record: &Record,
        key: &str,
    ) -> Result<Vec<(String, String)>, ViewError> {
        let before = match record {
            Record::Patient(_) => self.get(key)?.map(Record::Patient),
            Record::Case(_) => self.get(key)?.map(Record::Case),
            Record::Session(_) => self.get(key)?.map(Record::Session),
            Record::Note(_) => self.get(key)?.map(Record::Note),
            Record::Document(_) => self.get(key)?.map(Record::Document),
            Record::Report(_) => self.get(key)?.map(Record::Report),
            Record::ReportVersion(_) => self.get(key)?.map(Box::new).map(Record::ReportVersion),
            _ => None,
        };
        Ok(before.as_ref().map(keys::indices).unwrap_or_default())
    }

    /// The case, note or document of a key.
    pub fn of_patient<T: OfPatient>(&self, key: &str) -> Result<Option<T>, ViewError> {
        let mut record: Option<T> = self.get(key)?;
        if let Some(record) = &mut record {
            self.show_ipp(record)?;
        }
        Ok(record)
    }

    /// The cases, notes or documents whose keys start with this prefix, in the order of their keys.
    pub fn all_of_patients<T: OfPatient>(&self, prefix: &str) -> Result<Vec<T>, ViewError> {
        let mut records: Vec<T> = self.all(prefix)?;
        for record in &mut records {
            self.show_ipp(record)?;
        }
        Ok(records)
    }

    /// Has a record name the IPP in use, and not the one under which it is kept; what is in a case, the case's.
    fn show_ipp(&self, record: &mut impl OfPatient) -> Result<(), ViewError> {
        let Some((facility, ipp)) = record.whose() else {
            return Ok(());
        };
        let of_case = match record.in_case() {
            Some(case) => self.get::<CaseOf>(&keys::case(facility, case))?,
            None => None,
        };
        let of_case = of_case.and_then(|case| case.ipp);
        let person = self.person(facility, of_case.as_ref().unwrap_or(ipp))?;
        if person.ipp != *ipp {
            record.give_to(person.ipp);
        }
        Ok(())
    }

    /// A record as it is stored: what is a patient's, under the IPP that the patient's things are kept under.
    fn as_kept<'r>(&self, record: &'r Record) -> Result<Cow<'r, Record>, ViewError> {
        let whose = match record {
            Record::Case(it) => it.whose(),
            Record::Note(it) => it.whose(),
            Record::Document(it) => it.whose(),
            _ => None,
        };
        let Some((facility, ipp)) = whose else {
            return Ok(Cow::Borrowed(record));
        };
        let kept_under = self.person(facility, ipp)?.kept_under;
        if kept_under == *ipp {
            return Ok(Cow::Borrowed(record));
        }
        let mut record = record.clone();
        match &mut record {
            Record::Case(it) => it.give_to(kept_under),
            Record::Note(it) => it.give_to(kept_under),
            Record::Document(it) => it.give_to(kept_under),
            _ => {}
        }
        Ok(Cow::Owned(record))
    }

    fn kept_under(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Ipp, ViewError> {
        Ok(self.person(facility, ipp)?.kept_under)
    }

    fn led_to<T: OfPatient>(
        &self,
        prefix: &str,
        target: impl Fn(&str) -> String,
    ) -> Result<Vec<T>, ViewError> {
        self.records_of(&self.pairs(prefix)?, target)
    }

    /// The records that these keys lead to.
    fn records_of<T: OfPatient>(
        &self,
        pairs: &Pairs,
        target: impl Fn(&str) -> String,
    ) -> Result<Vec<T>, ViewError> {
        let mut found = Vec::with_capacity(pairs.len());
        for key in pairs.keys() {
            if let Some(record) = self.of_patient(&target(key))? {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// All versions of a report, the oldest first.
    pub fn report_versions(&self, report: &Report) -> Result<Vec<ReportVersion>, ViewError> {
        let mut versions = report.versions.clone();
        let kept: Vec<VersionOfReport> =
            self.all(&keys::report_versions(&report.facility, &report.case))?;
        versions.extend(kept.into_iter().map(|it| it.version));
        Ok(versions)
    }

    fn case_by_index(&self, prefix: &str) -> Result<Vec<Case>, ViewError> {
        self.led_to(prefix, |key| keys::case_led_to(prefix, key))
    }
}

/// What is a patient's, and is kept under one of the patient's IPPs ([`PersonIpps`]).
pub trait OfPatient: DeserializeOwned {
    /// Whose it is, if that is known.
    fn whose(&self) -> Option<(&FacilityId, &Ipp)>;
    /// The case that it is in, whose patient is its own.
    fn in_case(&self) -> Option<&CaseId> {
        None
    }
    /// Changes whose it is.
    fn give_to(&mut self, ipp: Ipp);
}

impl OfPatient for Case {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, self.ipp.as_ref()?))
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = Some(ipp);
    }
}

impl OfPatient for Note {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, &self.ipp))
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = ipp;
    }
}

impl OfPatient for Document {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, &self.ipp))
    }

    fn in_case(&self) -> Option<&CaseId> {
        match &self.attached {
            AttachmentPlace::Case(case) => Some(case),
            AttachmentPlace::Note(_) => None,
        }
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = ipp;
    }
}

/// Whose a case is.
#[derive(Deserialize)]
struct CaseOf {
    #[serde(default)]
    ipp: Option<Ipp>,
}

/// What is stored of an IPP that a merge concerned.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum IppLink {
    /// It leads to this one.
    To(Ipp),
    /// It leads to itself.
    Here {
        /// The IPP in use.
        ipp: Ipp,
        /// How many lead here.
        ipps: u64,
    },
}

impl Branch for PendingChanges<'_> {
    fn make(&mut self, changes: &[Change]) -> Result<(), ViewError> {
        self.apply(changes).map(drop)
    }
}

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
        self.get(&keys::session(id))
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

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        ViewError(error.to_string())
    }
}

/// The key of the document that a key leads to.
fn document_led_to(facility: &FacilityId, key: &str) -> String {
    keys::document(facility, &DocumentId::new(keys::last_word(key)))
}

fn value_of(record: &Record) -> Result<Box<RawValue>, ViewError> {
    match record {
        Record::Patient(it) => to_json(it),
        Record::Alias { leads_to, .. } => to_json(leads_to),
        Record::Person(_, it) => to_json(&IppLink::Here {
            ipp: it.ipp.clone(),
            ipps: it.ipps,
        }),
        Record::Case(it) => to_json(it),
        Record::Session(it) => to_json(it),
        Record::Note(it) => to_json(it),
        Record::Document(it) => to_json(it),
        Record::Questionnaire(it) | Record::FormerQuestionnaire(it) => to_json(it),
        Record::Report(it) => to_json(it),
        Record::ReportVersion(it) => to_json(it),
        Record::Cursor(_, it) => to_json(it),
        Record::Batch(it) => to_json(it),
        Record::FormerVersion(it) => to_json(&it.version),
        Record::Applied(..)
        | Record::CommandDone(_)
        | Record::UniqueId(_)
        | Record::OutdatedReport(..) => to_json(&""),
        Record::History(it) => to_json(it),
    }
}

/// A value as the store holds it.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, ViewError> {
    serde_json::value::to_raw_value(value).map_err(|error| ViewError(error.to_string()))
}

fn from_json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, ViewError> {
    serde_json::from_slice(value).map_err(|error| ViewError(format!("{key}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, apply_all};

    /// A report as it was written when it held all its versions.
    const HELD_ALL: &str = r#"{"facility":"demo","case":"C/1","number":4,"document_id":"d","versions":[
        {"version":1,"sequence":5,"time":"2025-04-08T16:00:00Z","file_name":"r.pdf","pdf":"aa","size":1,
         "message_before":"a","message_after":"b","batch":2},
        {"version":2,"sequence":9,"time":"2025-04-09T16:00:00Z","file_name":"r.pdf","pdf":"bb","size":1,
         "message_before":"c","message_after":"d","batch":null}]}"#;

    #[test]
    fn the_versions_of_an_old_report_get_records_of_their_own() {
        let (demo, case) = (FacilityId::new("demo"), CaseId::new("C/1"));
        let held: Report = serde_json::from_str(HELD_ALL).unwrap();
        let store = MemoryStore::default();
        let put = Record::Report(held.clone()).into();
        let changes = PendingChanges::new(&store).apply(&[put]).unwrap();
        apply_all(&store, &changes).unwrap();
        // Indices are as they were; the value is as it was written then.
        let value = RawValue::from_string(HELD_ALL.to_owned()).unwrap();
        apply_all(&store, &[(keys::report(&demo, &case), Some(value))]).unwrap();

        let mut view = PendingChanges::new(&store);
        let mut report = view.report(&demo, &case).unwrap().unwrap();
        assert_eq!(
            (report.latest, report.left, report.waiting),
            (2, Some(1), 1)
        );
        let before = view.report_versions(&report).unwrap();
        assert_eq!(before, held.versions);
        assert_eq!(
            view.report_version(&report, 2).unwrap().as_ref(),
            before.last()
        );

        let versions = report.give_versions().into_iter();
        let versions = versions.map(|it| Record::ReportVersion(Box::new(it)));
        let records = [Record::Report(report.clone())].into_iter().chain(versions);
        let changes: Vec<Change> = records.map(Change::from).collect();
        let changes = view.apply(&changes).unwrap();
        apply_all(&store, &changes).unwrap();
        let view = PendingChanges::new(&store);
        let report = view.report(&demo, &case).unwrap().unwrap();
        assert!(report.versions.is_empty());
        assert_eq!(
            (report.latest, report.left, report.waiting),
            (2, Some(1), 1)
        );
        assert_eq!(view.report_versions(&report).unwrap(), before);
        for (sequence, version) in [(5, 1), (9, 2)] {
            let found = view.report_in_sequence(&demo, sequence).unwrap();
            let entry = BatchEntry {
                case: case.clone(),
                version,
                withdrawal: false,
            };
            assert_eq!(found, Some(entry));
        }
    }
}
