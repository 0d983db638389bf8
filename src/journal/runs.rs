//! Changes on their way into a snapshot: those that memory has no room for wait in files, each in the order of its keys.
//!
//! So a snapshot takes up as many segments as there are at once, and needs memory for a part of them.

use std::ffi::OsString;

use super::snapshot::{self, MergedChanges, Snapshot};
use super::{JournalError, folder};
use crate::spool::fs::{Dir, Fs};
use crate::store::{Changes, KeyChange};

/// Changes of so many bytes are kept in memory.
const RUN_BYTES: usize = 16 * 1024 * 1024;
/// What a change takes beside its key and value.
const ENTRY_COST: usize = 96;

/// Changes that were gathered in the order in which they were made.
#[derive(Debug)]
pub struct Runs {
    fs: Fs,
    dir: Dir,
    /// The file that they end in, whose name those of the runs begin with.
    target: OsString,
    most: usize,
    newest: Changes,
    bytes: usize,
    files: Vec<OsString>,
}

impl Runs {
    /// None yet. Files are made in this folder, named after the snapshot that they are for.
    pub fn new(fs: &Fs, dir: &Dir, target: OsString) -> Self {
        Self::with_memory(fs, dir, target, RUN_BYTES)
    }

    fn with_memory(fs: &Fs, dir: &Dir, target: OsString, most: usize) -> Self {
        Self {
            fs: fs.clone(),
            dir: dir.clone(),
            target,
            most,
            newest: Changes::new(),
            bytes: 0,
            files: Vec::new(),
        }
    }

    /// Adds a change that was made after all others.
    pub fn add(&mut self, (key, value): KeyChange) -> Result<(), JournalError> {
        let length = |value: &Option<Box<serde_json::value::RawValue>>| {
            value.as_deref().map_or(0, |value| value.get().len())
        };
        let cost = key.len() + ENTRY_COST;
        self.bytes += length(&value);
        match self.newest.insert(key, value) {
            Some(before) => self.bytes -= length(&before),
            None => self.bytes += cost,
        }
        match self.bytes > self.most {
            true => self.write_out(),
            false => Ok(()),
        }
    }

    fn write_out(&mut self) -> Result<(), JournalError> {
        let mut name = self.target.clone();
        name.push(format!(".{}", self.files.len() + 1));
        let name = folder::unfinished(&name);
        self.files.push(name.clone());
        let newest = std::mem::take(&mut self.newest);
        self.bytes = 0;
        snapshot::write_run(&self.fs, &self.dir, &name, newest)
    }

    /// What a snapshot, if there is one, and these changes come to.
    pub fn merged(&mut self, base: Option<&Snapshot>) -> Result<MergedChanges, JournalError> {
        let mut sources = Vec::with_capacity(self.files.len() + 2);
        if let Some(base) = base {
            sources.push(base.entries()?);
        }
        for name in &self.files {
            sources.push(snapshot::read_run(&self.fs, &self.dir, name)?);
        }
        Ok(MergedChanges::new(
            sources,
            std::mem::take(&mut self.newest),
        ))
    }

    /// Removes the files. What fails to be removed is removed at the next start.
    pub fn remove(self) -> Result<(), JournalError> {
        for name in &self.files {
            if self.fs.exists(&self.dir, name)? {
                self.fs.remove(&self.dir, name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::to_json;

    #[test]
    fn the_last_change_of_each_key_counts_however_many_files_they_take() {
        let temporary = tempfile::tempdir().unwrap();
        let fs = Fs::new();
        let dir = fs.open_root(temporary.path()).unwrap();
        for most in [0, 300, 5_000, usize::MAX] {
            let mut runs = Runs::with_memory(&fs, &dir, "0000000001.snapshot".into(), most);
            let mut expected = BTreeMap::new();
            for number in 0..500_u32 {
                let key = format!("key/{:03}", number * 37 % 101);
                let value = (number % 5 > 0).then_some(number);
                expected.insert(key.clone(), value);
                runs.add((key, value.map(|it| to_json(&it).unwrap())))
                    .unwrap();
            }
            let files = runs.files.len();
            assert_eq!(files == 0, most == usize::MAX, "{files} files for {most}");
            let merged: Vec<(String, u32)> = runs
                .merged(None)
                .unwrap()
                .map(|pair| {
                    let (key, value) = pair.unwrap();
                    (key, value.get().parse().unwrap())
                })
                .collect();
            let expected: Vec<(String, u32)> = expected
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect();
            assert_eq!(merged, expected);
            runs.remove().unwrap();
            assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
        }
    }
}
