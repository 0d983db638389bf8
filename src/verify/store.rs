//! The store against what the journal comes to, key by key, both in order: neither needs to be in memory.

use std::ffi::OsStr;

use serde_json::value::RawValue;

use super::{CheckTopic, Findings, VerifyError};
use crate::engine::CLEAN;
use crate::journal::snapshot::{KeyValue, MergedChanges};
use crate::journal::{JournalError, JournalPosition};
use crate::spool::fs::{Dir, Fs};
use crate::store::DATABASE;
use crate::store::{SledStore, Store};

/// Compares, and gives everything that the journal comes to, to `each`.
///
/// A store that was not left by a clean stop is made again by the next start: it is not compared.
pub fn compare(
    fs: &Fs,
    dir: &Dir,
    end: Option<&JournalPosition>,
    pairs: MergedChanges,
    findings: &mut Findings,
    each: &mut dyn FnMut(&str, &RawValue),
) -> Result<(), VerifyError> {
    let clean = match fs.read(dir, OsStr::new(CLEAN)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    let position: Option<JournalPosition> = clean
        .as_deref()
        .and_then(|bytes| serde_json::from_slice(bytes).ok());
    let database = dir.path().join(DATABASE);
    let mut comparison = Comparison {
        pairs,
        findings,
        each,
        failed: None,
    };
    match clean {
        Some(bytes) if end.is_some() && position.as_ref() == end && database.is_dir() => {
            // Opening it writes to it: should this process be killed, it must not be trusted.
            fs.remove(dir, OsStr::new(CLEAN))?;
            fs.sync_dir(dir)?;
            let before = comparison.findings.differences.len();
            let store = SledStore::open(&database)?;
            comparison.with(&store)?;
            store.flush()?;
            drop(store);
            if comparison.findings.differences.len() == before {
                fs.sync_file_system(dir)?;
                fs.write_new(dir, OsStr::new(CLEAN), &bytes)?;
                fs.sync_file_system(dir)?;
            }
        }
        _ => {
            let what = "it was not left by a clean stop: the next start makes it again";
            comparison.findings.note(CheckTopic::Store, what);
            comparison.rest(None)?;
        }
    }
    Ok(())
}

struct Comparison<'c> {
    pairs: MergedChanges,
    findings: &'c mut Findings,
    each: &'c mut dyn FnMut(&str, &RawValue),
    failed: Option<JournalError>,
}

impl Comparison<'_> {
    fn with(&mut self, store: &dyn Store) -> Result<(), VerifyError> {
        let mut next = self.next();
        store.scan("", &mut |key, value| {
            while next
                .as_ref()
                .is_some_and(|(wanted, _)| wanted.as_str() < key)
            {
                if let Some((wanted, _)) = &next {
                    self.findings
                        .differs(CheckTopic::Store, format!("it lacks {wanted}"));
                }
                next = self.next();
            }
            match next.take_if(|(wanted, _)| wanted == key) {
                Some((_, wanted)) => {
                    if wanted.get().as_bytes() != value {
                        let what = format!("{key} has another value than the journal gives it");
                        self.findings.differs(CheckTopic::Store, what);
                    }
                    next = self.next();
                }
                None => {
                    let what = format!("it holds {key}, which the journal does not");
                    self.findings.differs(CheckTopic::Store, what);
                }
            }
            self.failed.is_none()
        })?;
        while let Some((wanted, _)) = next {
            self.findings
                .differs(CheckTopic::Store, format!("it lacks {wanted}"));
            next = self.next();
        }
        self.rest(next)
    }

    fn rest(&mut self, mut next: Option<KeyValue>) -> Result<(), VerifyError> {
        while next.is_some() || self.failed.is_none() {
            next = self.next();
            if next.is_none() {
                break;
            }
        }
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn next(&mut self) -> Option<KeyValue> {
        match self.pairs.next()? {
            Ok((key, value)) => {
                self.findings.checked.keys += 1;
                (self.each)(&key, &value);
                Some((key, value))
            }
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}
