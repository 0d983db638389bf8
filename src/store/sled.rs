//! The store in an embedded sled database.
//!
//! sled's own durability is never relied upon (design.md, "The store"): its files are trusted only after a clean stop,
//! which `store/CLEAN` tells.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::{Store, StoreError};

/// The database's folder below `store/`.
pub(crate) const DATABASE: &str = "db";

/// sled keeps this much in memory; its default is a gigabyte.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A database that was closed keeps its lock until its threads have ended.
const LETTING_GO: Duration = Duration::from_secs(5);

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

    /// Copies the files of a database that nobody has open.
    pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        copy_folder(from, to).map_err(|error| failed("copied", error))
    }

    /// Opens the database in this folder, making it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let start = Instant::now();
        let database = loop {
            match config.open() {
                // The spool's own lock lets nobody else in: it is one that this process has just closed.
                Err(error)
                    if error.to_string().contains("acquire lock")
                        && start.elapsed() < LETTING_GO =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.map_err(|error| failed("opened", error))?,
            }
        };
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

    fn scan_from(
        &self,
        prefix: &str,
        from: &str,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for pair in self.database.range(from.max(prefix)..) {
            let (key, value) = pair.map_err(|error| failed("read", error))?;
            let key = std::str::from_utf8(&key).map_err(|error| failed("read", error))?;
            if !key.starts_with(prefix) || !each(key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        changes: &mut dyn Iterator<Item = (&str, Option<&RawValue>)>,
    ) -> Result<(), StoreError> {
        // One by one: a batch of sled shuts readers out for as long as it takes, and costs half as much again. Nothing
        // rests on its being whole: the store is trusted only after a clean stop, the engine looks at what a group
        // decided before it looks here, and listings leave out what an index leads to and is not there.
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

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &copy)?,
            false => drop(std::fs::copy(entry.path(), copy)?),
        }
    }
    Ok(())
}

fn failed(action: &'static str, error: impl std::fmt::Display) -> StoreError {
    StoreError {
        action,
        message: error.to_string(),
    }
}
