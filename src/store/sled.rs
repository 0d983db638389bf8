//! The store in an embedded sled database.
//!
//! sled's own durability is never relied upon (DESIGN, "The store"): its files are trusted only after a clean stop,
//! which `store/CLEAN` tells.

use std::path::Path;

use serde_json::value::RawValue;

use super::{Store, StoreError};

/// sled keeps this much in memory; its default is a gigabyte.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A sled database.
pub struct SledStore {
    database: sled::Db,
}

impl SledStore {
    /// Removes the database in this folder, if there is one: what is not trusted is made anew.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("removed", error))
            }
            _ => Ok(()),
        }
    }

    /// Opens the database in this folder, making it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open()
            .map_err(|error| failed("opened", error))?;
        Ok(Self { database })
    }
}

impl Store for SledStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self
            .database
            .get(key)
            .map_err(|error| failed("read", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for pair in self.database.scan_prefix(prefix) {
            let (key, value) = pair.map_err(|error| failed("read", error))?;
            let key = std::str::from_utf8(&key).map_err(|error| failed("read", error))?;
            if !each(key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        changes: &mut dyn Iterator<Item = (&str, Option<&RawValue>)>,
    ) -> Result<(), StoreError> {
        // One by one: sled's batches cost half as much again, and what is written meanwhile is not read, since the
        // engine looks at what a group decided before it looks here.
        for (key, value) in changes {
            match value {
                Some(value) => self.database.insert(key, value.get().as_bytes()),
                None => self.database.remove(key),
            }
            .map_err(|error| failed("written", error))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.database
            .flush()
            .map(drop)
            .map_err(|error| failed("written", error))
    }
}

fn failed(action: &'static str, error: impl std::fmt::Display) -> StoreError {
    StoreError {
        action,
        message: error.to_string(),
    }
}
