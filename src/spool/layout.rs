//! The folders of the spool, open (design.md, "Folders of the spool").

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fs::{Dir, Fs, FsError};
use crate::model::identifiers::ContentHash;
use crate::model::owner::Owner;
use crate::random::random_name;

/// The lock of a spool and of each `work/`.
pub const LOCK: &str = ".lock";

/// Says whose a folder is, so that an empty mount point is never taken for it: a facility's, or, in the spool and in
/// `store/`, which journal belongs to it.
pub const MARKER: &str = ".rcpspool";

/// A folder of the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// Another process has the spool.
    #[error("{0}. Stop it first, or use another spool")]
    InUse(LockHolder),
    /// Durability cannot be had there.
    #[error("{} lies on a network share, where the journal cannot be kept safely. Put the spool on a local disk; only facility folders (dir) may be on a share", .0.display())]
    NotLocal(PathBuf),
}

/// Who has a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The folder.
    pub folder: PathBuf,
    /// The process, as it wrote into the lock.
    pub process: Option<u32>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is in use by another rcpspool", self.folder.display())?;
        match self.process {
            Some(process) => write!(f, ", process {process}"),
            None => Ok(()),
        }
    }
}

/// The folders that belong to no facility.
#[derive(Debug)]
pub struct Spool {
    /// The spool itself.
    pub root: Dir,
    /// The desk's folders.
    pub desk: OwnerFolders,
    /// A folder for each session, for people to open.
    pub sessions: Dir,
    /// Attachments and PDFs.
    pub documents: Dir,
    /// The journal.
    pub journal: Dir,
    /// The folder of the database.
    pub store: Dir,
    /// The status page.
    pub status: Dir,
    _lock: File,
}

/// Where files arrive and leave: a facility's folder, or the desk's.
#[derive(Debug)]
pub struct OwnerFolders {
    /// Whose.
    pub owner: Owner,
    /// The folder.
    pub root: Dir,
    /// Files arrive here.
    pub inbox: Dir,
    /// Claimed files and prepared output.
    pub work: Dir,
    _lock: File,
}

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The facility.
    pub facility: String,
    /// 128 random bits.
    pub id: String,
    /// The identity of the spool's journal; one from before journals had any lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
}

/// What the marker of the spool, and of its `store/`, says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolMarker {
    /// The identity of the journal.
    pub journal: String,
}

impl SpoolMarker {
    /// The marker in the folder, if there is one that can be understood.
    pub fn read(fs: &Fs, dir: &Dir) -> Result<Option<Self>, FsError> {
        match fs.read(dir, OsStr::new(MARKER)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts it into the folder, durably, in the place of the one before.
    pub fn write(&self, fs: &Fs, dir: &Dir) -> Result<(), FsError> {
        let text = serde_json::json!({ "journal": self.journal }).to_string();
        put_marker(fs, dir, &text)
    }
}

impl Spool {
    /// Opens the spool, making the folders that are absent, and locks it.
    pub fn open(fs: &Fs, path: &Path) -> Result<Self, FolderError> {
        let root = fs.make_spool_root(path, OsStr::new(LOCK))?;
        let lock = lock(fs, &root)?;
        let make = |name: &str| fs.make_dir(&root, Path::new(name));
        let (documents, journal, store) = (make("documents")?, make("journal")?, make("store")?);
        for dir in [&documents, &journal, &store] {
            if !fs.is_local(dir)? {
                return Err(FolderError::NotLocal(dir.path().to_owned()));
            }
        }
        make("facilities")?;
        let sessions = make("desk/sessions")?;
        let desk = OwnerFolders::open(fs, Owner::Desk, make("desk")?)?;
        Ok(Self {
            desk,
            sessions,
            documents,
            journal,
            store,
            status: make("status")?,
            root,
            _lock: lock,
        })
    }
}

/// Puts a marker into a folder in the place of the one before. The folder may be root's, and the marker ours.
fn put_marker(fs: &Fs, dir: &Dir, text: &str) -> Result<(), FsError> {
    let name = OsStr::new(MARKER);
    match fs.replace_durably(dir, name, text.as_bytes()) {
        Err(error) if error.is_denied() && fs.exists(dir, name)? => {
            fs.overwrite(dir, name, text.as_bytes())
        }
        put => put,
    }
}

impl OwnerFolders {
    /// Opens a facility's or the desk's folder, making the folders below it that are absent, and locks it.
    pub fn open(fs: &Fs, owner: Owner, root: Dir) -> Result<Self, FolderError> {
        let make = |name: &str| fs.make_dir(&root, Path::new(name));
        let work = make("work")?;
        let lock = lock(fs, &work)?;
        make("done")?;
        make("error")?;
        make("outbox/acks")?;
        if matches!(owner, Owner::Facility(_)) {
            make("outbox/reports")?;
        }
        Ok(Self {
            owner,
            inbox: make("inbox")?,
            work,
            root,
            _lock: lock,
        })
    }

    /// The marker in the folder, if there is one that can be read.
    pub fn read_marker(fs: &Fs, root: &Dir) -> Result<Option<Marker>, FsError> {
        match fs.read(root, OsStr::new(MARKER)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a new marker into the folder, durably.
    pub fn write_marker(
        fs: &Fs,
        root: &Dir,
        facility: &str,
        journal: &str,
    ) -> Result<Marker, FsError> {
        let marker = Marker {
            facility: facility.to_owned(),
            id: random_name(),
            journal: Some(journal.to_owned()),
        };
        Self::renew_marker(fs, root, &marker)?;
        Ok(marker)
    }

    /// Puts this marker into the folder, durably, in the place of the one before.
    pub fn renew_marker(fs: &Fs, root: &Dir, marker: &Marker) -> Result<(), FsError> {
        let text = serde_json::json!(marker).to_string();
        put_marker(fs, root, &text)?;
        fs.sync_file_system(root)
    }

    /// Opens the inbox again where it was removed, or moved away, and made anew.
    pub fn renew_inbox(&mut self, fs: &Fs) -> Result<(), FsError> {
        let inbox = fs.make_dir(&self.root, Path::new("inbox"))?;
        if !fs.is_same(&inbox, &self.inbox)? {
            log::warn!("the inbox of {} was made anew", self.name());
            self.inbox = inbox;
        }
        Ok(())
    }

    /// The facility's id, or `desk`.
    pub fn name(&self) -> &str {
        match &self.owner {
            Owner::Facility(id) => id,
            Owner::Desk | Owner::Documents => "desk",
        }
    }
}

/// The path of a document below `documents/`.
pub fn document_path(hash: &ContentHash) -> String {
    let hash = hash.as_str();
    let (first, _) = hash.split_at(hash.len().min(2));
    Path::new(first).join(hash).to_string_lossy().into_owned()
}

/// Locks a folder; the lock says which process has it, for whoever comes second.
fn lock(fs: &Fs, dir: &Dir) -> Result<File, FolderError> {
    let name = OsStr::new(LOCK);
    let held = format!("{}\n", std::process::id());
    match fs.lock(dir, name, held.as_bytes())? {
        Some(file) => Ok(file),
        None => {
            let said = fs.read(dir, name).unwrap_or_default();
            Err(FolderError::InUse(LockHolder {
                folder: dir.path().to_owned(),
                process: String::from_utf8_lossy(&said).trim().parse().ok(),
            }))
        }
    }
}
