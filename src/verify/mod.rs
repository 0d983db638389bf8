//! `verify`: journal, store, documents, reports and folders, each checked against what the others say (interface.md 12).
//!
//! The journal is the truth. It is read whole; what it comes to is compared with the store, and what it names is
//! looked for in the folders. Nothing is changed. What the next start mends by itself, as after a kill, is a note;
//! everything else that is not as it should be is a difference.

mod belonging;
mod documents;
mod folders;
mod reports;
mod store;

use std::fmt;

use serde::Serialize;

use self::belonging::Belonging;
use self::documents::Documents;
use self::folders::FolderCheck;
use self::reports::ReportCheck;
use crate::config::Config;
use crate::engine::EngineError;
use crate::engine::upkeep::LastRetention;
use crate::engine::witness::Witnesses;
use crate::journal::{JournalError, check};
use crate::spool::fs::{Fs, FsError};
use crate::spool::layout::{FolderError, Spool};
use crate::store::{StoreError, keys};

/// It cannot be found out whether everything is as it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Another process has the spool.
    #[error("{0}: stop it, then verify, then start it again")]
    InUse(String),
    /// The folders cannot be used.
    #[error(transparent)]
    Layout(#[from] FolderError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What tells of the journal cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckTopic {
    /// The record of every change.
    Journal,
    /// The index of it.
    Store,
    /// Attachments and PDFs.
    Documents,
    /// Report versions and batches.
    Reports,
    /// Received files, refused files, claims.
    Folders,
}

impl fmt::Display for CheckTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckTopic::Journal => "journal",
            CheckTopic::Store => "store",
            CheckTopic::Documents => "documents",
            CheckTopic::Reports => "reports",
            CheckTopic::Folders => "folders",
        })
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    pub about: CheckTopic,
    /// What, in a sentence.
    pub what: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CheckCounts {
    /// Files of the journal with segments.
    pub segments: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// Keys that the journal comes to.
    pub keys: u64,
    /// Contents in `documents/`.
    pub documents: u64,
    /// Report versions.
    pub reports: u64,
    /// Batches.
    pub batches: u64,
    /// Received and refused files that the journal put somewhere.
    pub files: u64,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// How much was looked at.
    pub checked: CheckCounts,
    /// What is wrong.
    pub differences: Vec<Finding>,
    /// What the next start sees to.
    pub notes: Vec<Finding>,
}

impl Findings {
    fn differs(&mut self, about: CheckTopic, what: impl Into<String>) {
        let what = what.into();
        self.differences.push(Finding { about, what });
    }

    fn note(&mut self, about: CheckTopic, what: impl Into<String>) {
        let what = what.into();
        self.notes.push(Finding { about, what });
    }
}

/// Checks the spool that the configuration names. It must not be in use.
pub fn verify(fs: &Fs, config: &Config) -> Result<Findings, VerifyError> {
    let spool = match Spool::open(fs, &config.spool) {
        Err(FolderError::InUse(holder)) => return Err(VerifyError::InUse(holder.to_string())),
        opened => opened?,
    };
    let mut findings = Findings::default();
    let mut folders = FolderCheck::open(fs, config, &spool, &mut findings);
    let journal = check::check(fs, &spool.journal, &mut |group| {
        folders.follow(group);
        Ok(())
    })?;
    findings.checked.segments = journal.files;
    findings.checked.snapshots = journal.snapshots;
    for problem in &journal.problems {
        findings.differs(CheckTopic::Journal, problem.place());
    }
    if !journal.has_gaps {
        let witnesses = Witnesses::read(fs, config, Some(&spool.root))?;
        if let (_, Some(loss)) = witnesses.judge(fs, config, &spool)? {
            findings.differs(CheckTopic::Journal, loss.to_string());
        }
    }
    for leftover in &journal.leftovers {
        findings.note(CheckTopic::Journal, leftover.clone());
    }
    let content = match check::content(fs, &spool.journal) {
        Err(problem @ JournalError::Damaged { .. }) => {
            let told = findings
                .differences
                .iter()
                .any(|it| it.what == problem.place());
            if !told {
                findings.differs(CheckTopic::Journal, problem.place());
            }
            // Without the truth there is nothing to compare with.
            return Ok(findings);
        }
        read => read?,
    };
    let mut belonging = Belonging::default();
    let mut documents = Documents::default();
    let mut reports = ReportCheck::new(&folders);
    let mut retention: Option<LastRetention> = None;
    let mut has_lost = false;
    let (end, open) = (content.end, content.open);
    store::compare(
        fs,
        &spool.store,
        end.as_ref(),
        content.pairs,
        &mut findings,
        &mut |key, value| {
            belonging.take(key, value);
            documents.take(key, value);
            reports.take(fs, key, value);
            folders.take_marker(key, value);
            has_lost |= key == keys::NUMBERS;
            if key == keys::RETENTION {
                retention = serde_json::from_str(value.get()).ok();
            }
        },
    )?;
    belonging.check(&mut findings);
    documents.check(fs, &spool.documents, &open, has_lost, &mut findings)?;
    reports.check(fs, &spool.documents, &mut findings)?;
    match journal.has_gaps {
        false => {
            let first_day = retention.map(|last| last.first_day);
            folders.check(fs, &open, first_day, journal.since, &mut findings);
        }
        true => findings.note(
            CheckTopic::Folders,
            "received files were not looked for: the journal does not tell of all of them",
        ),
    }
    Ok(findings)
}
