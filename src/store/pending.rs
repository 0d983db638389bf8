//! The view that decisions are made on: a store, and over it what the same group has decided already.

mod of_patient;
mod view;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Included, Unbounded};
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{KeyChange, Store, StoreError, keys};
use crate::model::change::{Change, Record};
use crate::model::identifiers::{Ipp, SessionId};
use crate::model::report::{Report, ReportVersion, VersionOfReport};
use crate::model::session::Session;
use crate::model::view::ViewError;

pub use self::of_patient::OfPatient;

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
    /// Sessions as they are here: every scheduling of a group asks for one, and few for another.
    sessions: RefCell<HashMap<SessionId, Option<Session>>>,
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
            sessions: RefCell::default(),
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
            if key.starts_with(keys::SESSIONS) {
                self.sessions.get_mut().clear();
            }
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

    /// All versions of a report, the oldest first.
    pub fn report_versions(&self, report: &Report) -> Result<Vec<ReportVersion>, ViewError> {
        let mut versions = report.versions.clone();
        let kept: Vec<VersionOfReport> =
            self.all(&keys::report_versions(&report.facility, &report.case))?;
        versions.extend(kept.into_iter().map(|it| it.version));
        Ok(versions)
    }
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

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        ViewError(error.to_string())
    }
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
    use crate::model::identifiers::{CaseId, FacilityId};
    use crate::model::report::BatchEntry;
    use crate::model::view::View;
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
