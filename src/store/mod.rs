//! The store: an index of the journal, by key (design.md, "The store").
//!
//! It can be deleted at any time while nothing runs: it is made again from the journal. Domain rules stay out of it:
//! [`Store`] is the seam at which another database can take sled's place.

#[allow(
    missing_docs,
    reason = "each function is named after the record or index whose key it gives"
)]
pub mod keys;
mod pending;
mod sled;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

pub use self::pending::{Changes, OfPatient, PendingChanges, SharedChanges, to_json};
pub(crate) use self::sled::DATABASE;
pub use self::sled::SledStore;

/// A resolved change: the key, and the value it gets, or nothing where it is deleted.
pub type KeyChange = (String, Option<Box<RawValue>>);

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store cannot be {action}: {message}. It is made again from the journal by `rcpspool rebuild`"
)]
pub struct StoreError {
    /// What was tried: `read`, `written`, `opened`, `copied`.
    pub action: &'static str,
    /// What the database said.
    pub message: String,
}

/// Keys in order, each with a value.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `each` with the keys that start with `prefix`, in order, and their values, until it returns false.
    fn scan(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError>;

    /// The same, beginning with the first of these keys that is not before `from`.
    fn scan_from(
        &self,
        prefix: &str,
        from: &str,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.scan(prefix, &mut |key, value| key < from || each(key, value))
    }

    /// Makes all these changes; who reads meanwhile may see some of them.
    fn apply(
        &self,
        changes: &mut dyn Iterator<Item = (&str, Option<&RawValue>)>,
    ) -> Result<(), StoreError>;

    /// Hands everything to the file system; says nothing about the disk.
    fn flush(&self) -> Result<(), StoreError>;
}

/// Makes these changes.
pub fn apply_all(store: &dyn Store, changes: &[KeyChange]) -> Result<(), StoreError> {
    let changes = changes.iter();
    store.apply(&mut changes.map(|(key, value)| (key.as_str(), value.as_deref())))
}

/// A store in memory, for tests and for checks that compare one store with another.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    fn values(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values().get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for (key, value) in self.values().range(prefix.to_owned()..) {
            if !key.starts_with(prefix) || !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        changes: &mut dyn Iterator<Item = (&str, Option<&RawValue>)>,
    ) -> Result<(), StoreError> {
        let mut values = self.values();
        for (key, value) in changes {
            match value {
                Some(value) => values.insert(key.to_owned(), value.get().as_bytes().to_vec()),
                None => values.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
