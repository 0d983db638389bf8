//! `documents/` against the records that name what lies in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{CheckTopic, Findings, VerifyError};
use crate::journal::OpenMoves;
use crate::model::document::{Document, DocumentVersion};
use crate::model::identifiers::{ContentHash, hexadecimal};
use crate::model::owner::Owner;
use crate::model::report::{Report, VersionOfReport};
use crate::spool::claim;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::document_path;
use crate::store::keys;

/// Every content that a record names, by its path below `documents/`.
#[derive(Default)]
pub struct Documents {
    named: BTreeMap<String, ContentReference>,
}

struct ContentReference {
    size: u64,
    hash: ContentHash,
    by: String,
}

impl Documents {
    /// Takes note of what a record names.
    pub fn take(&mut self, key: &str, value: &RawValue) {
        if key.starts_with(&keys::documents(None)) {
            let document: Option<Document> = serde_json::from_str(value.get()).ok();
            let versions = document
                .iter()
                .flat_map(|it| it.latest.iter().chain(&it.versions));
            for version in versions {
                self.name(&version.sha256, version.size, key);
            }
        } else if key.starts_with(keys::FORMER_VERSIONS) {
            let version: Option<DocumentVersion> = serde_json::from_str(value.get()).ok();
            if let Some(version) = version {
                self.name(&version.sha256, version.size, key);
            }
        } else if key.starts_with(&keys::reports(None)) {
            let report: Option<Report> = serde_json::from_str(value.get()).ok();
            for version in report.into_iter().flat_map(|it| it.versions) {
                self.name(&version.pdf, version.size, key);
            }
        } else if key.starts_with(keys::REPORT_VERSIONS) {
            let version: Option<VersionOfReport> = serde_json::from_str(value.get()).ok();
            if let Some(VersionOfReport { version, .. }) = version {
                self.name(&version.pdf, version.size, key);
            }
        }
    }

    fn name(&mut self, hash: &ContentHash, size: u64, by: &str) {
        self.named
            .entry(document_path(hash))
            .or_insert_with(|| ContentReference {
                size,
                hash: hash.clone(),
                by: by.to_owned(),
            });
    }

    /// Looks for each, reads it, and looks for what nobody names: after a loss that was accepted (`has_lost`), that may
    /// have been named by what was lost.
    pub fn check(
        &self,
        fs: &Fs,
        dir: &Dir,
        open: &OpenMoves,
        has_lost: bool,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let mut prepared = BTreeSet::new();
        let mut waiting: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, ordered) in &open.moves {
            if ordered.place == Owner::Documents {
                prepared.insert(ordered.from.as_str());
                waiting.insert(&ordered.to, &ordered.from);
            }
        }
        for entry in fs.list(dir)? {
            let folder = entry.name.to_string_lossy().into_owned();
            if entry.is_dir {
                let below = fs.open_dir(dir, Path::new(&entry.name))?;
                for entry in fs.list(&below)? {
                    let path = format!("{folder}/{}", entry.name.to_string_lossy());
                    if !self.named.contains_key(&path) {
                        let what = format!("documents/{path} is named by nobody");
                        match has_lost {
                            true => findings.note(
                                CheckTopic::Documents,
                                format!("{what}: what named it may be lost, and it stays"),
                            ),
                            false => findings.differs(CheckTopic::Documents, what),
                        }
                    }
                }
            } else if folder.starts_with(claim::PREPARED) {
                if !prepared.contains(folder.as_str()) {
                    let what = format!("documents/{folder} was prepared and never counted");
                    findings.note(CheckTopic::Documents, what);
                }
            } else {
                let what = format!("documents/{folder} is named by nobody");
                findings.differs(CheckTopic::Documents, what);
            }
        }
        for (path, named) in &self.named {
            findings.checked.documents += 1;
            match self.look(fs, dir, path, named) {
                Ok(None) => {}
                Ok(Some(problem)) => findings.differs(
                    CheckTopic::Documents,
                    format!("documents/{path} {problem}; {} names it", named.by),
                ),
                Err(error) if error.is_absent() => match waiting.get(path.as_str()) {
                    Some(from) if fs.exists(dir, OsStr::new(from))? => {
                        let what = format!("documents/{path} is still to be moved into place");
                        findings.note(CheckTopic::Documents, what);
                    }
                    _ => findings.differs(
                        CheckTopic::Documents,
                        format!("documents/{path} is missing; {} names it", named.by),
                    ),
                },
                Err(error) => findings.differs(CheckTopic::Documents, error.to_string()),
            }
        }
        Ok(())
    }

    /// What is wrong with a content that is there.
    fn look(
        &self,
        fs: &Fs,
        dir: &Dir,
        path: &str,
        named: &ContentReference,
    ) -> Result<Option<String>, FsError> {
        let path = Path::new(path);
        let folder = fs.open_dir(dir, path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        let size = fs.size(&folder, name)?;
        if size != named.size {
            let wanted = named.size;
            return Ok(Some(format!("has {size} bytes, and not {wanted}")));
        }
        let mut file = fs.open(&folder, name)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = file.read(&mut buffer).map_err(|source| FsError {
                action: "read",
                path: folder.path().join(name),
                source,
            })?;
            match buffer.get(..read) {
                Some([]) | None => break,
                Some(bytes) => hash.update(bytes),
            }
        }
        let is_it = hexadecimal(&hash.finalize()) == named.hash.as_str();
        Ok((!is_it).then(|| "holds something else than its name says".to_owned()))
    }
}
