//! A session's folder on the disk, brought from what it is to what it should be without a moment at which a reader
//! finds half a page, or a page whose files are not there.
//!
//! What we put into a folder is on record in it, so that what a person puts beside it is never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::content::{FileSource, FolderContent};
use super::file_names::{NEW, PAGE};
use super::{Sources, WorklistError};
use crate::model::identifiers::{ContentHash, SessionId};
use crate::repeats::{self, RepeatedTask};
use crate::spool::fs::{Dir, FsError};
use crate::spool::layout::document_path;

/// Says whose folder it is, and what we put into it.
const RECORD: &str = ".contents.json";
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    session: Option<SessionId>,
    /// The files by their path, and what each was made from; empty for one that may be anything by now.
    files: BTreeMap<String, String>,
}

/// A folder of a session.
pub(super) struct SessionFolder<'a> {
    sources: &'a Sources<'a>,
    name: String,
    dir: Dir,
    contents: Contents,
}

impl<'a> SessionFolder<'a> {
    /// The one of this name, if it is there and ours.
    pub fn open(sources: &'a Sources<'a>, name: &str) -> Result<Option<Self>, FsError> {
        let dir = match sources.fs.open_dir(sources.sessions, Path::new(name)) {
            Err(error) if error.is_absent() => return Ok(None),
            opened => opened?,
        };
        let contents = read_contents(sources, &dir)?;
        Ok(contents.map(|contents| Self {
            sources,
            name: name.to_owned(),
            dir,
            contents,
        }))
    }

    /// A new one, under a name that nobody looks for; what was made of it before stays.
    pub fn make(sources: &'a Sources<'a>, session: &SessionId) -> Result<Self, FsError> {
        match Self::open(sources, NEW)? {
            Some(begun) if begun.session() == Some(session) => return Ok(begun),
            _ => clear_new(sources)?,
        }
        Ok(Self {
            sources,
            name: NEW.to_owned(),
            dir: sources.fs.make_dir(sources.sessions, Path::new(NEW))?,
            contents: Contents {
                session: Some(session.clone()),
                files: BTreeMap::new(),
            },
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn session(&self) -> Option<&SessionId> {
        self.contents.session.as_ref()
    }

    /// Whether its page was last changed so long ago that nobody needs it any more.
    pub fn is_long_unchanged(&self) -> Result<bool, FsError> {
        let (ages, keep) = (self.sources.ages, self.sources.config.retention.done);
        match self.sources.fs.times(&self.dir, OsStr::new(PAGE)) {
            Ok(times) => Ok(times
                .modified
                .is_some_and(|modified| ages.is_file_past(modified, keep))),
            Err(error) if error.is_absent() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Puts in what should be there and takes out the rest: files first, then the page that leads to them, then what
    /// it no longer leads to.
    pub fn fill(mut self, content: &FolderContent) -> Result<Self, WorklistError> {
        let sources = self.sources;
        let mut changed = BTreeSet::new();
        let mut made = BTreeMap::new();
        for (path, source) in &content.files {
            let identity = source.identity();
            if self.contents.files.get(path) != Some(&identity) || !self.has(path)? {
                changed.insert(path.clone());
            }
        }
        let known = self.contents.files.keys();
        let gone: Vec<String> = known
            .filter(|path| !content.files.contains_key(*path))
            .cloned()
            .collect();
        if changed.is_empty() && gone.is_empty() {
            return Ok(self);
        }
        // From here to the end, a kill leaves files of which the record says that they may be anything.
        for path in &changed {
            self.contents.files.insert(path.clone(), String::new());
        }
        self.write_record()?;
        for path in changed.iter().filter(|path| *path != PAGE) {
            let Some(source) = content.files.get(path) else {
                continue;
            };
            let put = match (sources.stop)() {
                true => Err(WorklistError::Stopped),
                false => self.put(path, source),
            };
            if put.is_err() {
                // What was made need not be made again.
                self.record_made(&made)?;
                return put.map(|()| self);
            }
            made.insert(path.clone(), source.identity());
        }
        if let (true, Some(page)) = (changed.contains(PAGE), content.files.get(PAGE)) {
            self.put(PAGE, page)?;
        }
        for path in gone {
            self.take_out(&path)?;
        }
        made = content
            .files
            .iter()
            .map(|(path, source)| (path.clone(), source.identity()))
            .collect();
        self.contents.files.clear();
        self.record_made(&made)?;
        Ok(self)
    }

    /// Gives it another name; whether that was free.
    pub fn rename(&mut self, name: &str) -> Result<bool, FsError> {
        let sessions = self.sources.sessions;
        let (from, to) = (OsStr::new(&self.name), OsStr::new(name));
        match self.sources.fs.rename(sessions, from, sessions, to) {
            // A person's own folder.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            renamed => renamed?,
        }
        self.name = name.to_owned();
        Ok(true)
    }

    /// Removes everything that we put there, and the folder unless a person put something beside it.
    pub fn remove(self) -> Result<(), WorklistError> {
        let sources = self.sources;
        self.take_out(PAGE)?;
        for path in self.contents.files.keys() {
            self.take_out(path)?;
        }
        remove_if_there(sources, &self.dir, RECORD)?;
        let name = OsStr::new(&self.name);
        Ok(sources.fs.remove_dir(sources.sessions, name)?)
    }

    /// Records what was made, once it is durable: the record must not outlast files that a power cut takes.
    fn record_made(&mut self, made: &BTreeMap<String, String>) -> Result<(), WorklistError> {
        let fs = self.sources.fs;
        fs.sync_file_system(&self.dir)
            .map_err(WorklistError::Sync)?;
        let made = made.iter();
        self.contents
            .files
            .extend(made.map(|(path, identity)| (path.clone(), identity.clone())));
        Ok(self.write_record()?)
    }

    fn write_record(&self) -> Result<(), FsError> {
        let text = serde_json::json!(self.contents).to_string();
        self.sources
            .fs
            .replace(&self.dir, OsStr::new(RECORD), text.as_bytes())
    }

    fn has(&self, path: &str) -> Result<bool, FsError> {
        let fs = self.sources.fs;
        match path.split_once('/') {
            None => fs.exists(&self.dir, OsStr::new(path)),
            Some((folder, name)) => match fs.open_dir(&self.dir, Path::new(folder)) {
                Ok(dir) => fs.exists(&dir, OsStr::new(name)),
                Err(error) if error.is_absent() => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    fn put(&self, path: &str, source: &FileSource) -> Result<(), WorklistError> {
        let fs = self.sources.fs;
        let (dir, name) = match path.split_once('/') {
            None => (self.dir.clone(), path),
            Some((folder, name)) => (fs.make_dir(&self.dir, Path::new(folder))?, name),
        };
        let name = OsStr::new(name);
        match source {
            FileSource::Page(text) => fs.replace(&dir, name, text.as_bytes())?,
            FileSource::Document(hash) => self.put_document(&dir, name, hash)?,
            FileSource::Form { of, .. } => {
                if let Some(pdf) = of.pdf(self.sources)? {
                    fs.replace(&dir, name, &pdf)?;
                }
            }
        }
        Ok(())
    }

    /// A copy: whoever writes on it does not touch the original.
    fn put_document(&self, dir: &Dir, name: &OsStr, hash: &ContentHash) -> Result<(), FsError> {
        let fs = self.sources.fs;
        let path = document_path(hash);
        let (folder, original) = path.split_once('/').unwrap_or(("", &path));
        let copied = fs
            .open_dir(self.sources.documents, Path::new(folder))
            .and_then(|documents| {
                fs.replace_with_copy(&documents, OsStr::new(original), dir, name)
            });
        match copied {
            // The others are shown all the same.
            Err(error) if error.is_absent() => {
                let problem = format_args!("{hash} is missing: run `rcpspool verify`");
                repeats::failing("documents", RepeatedTask::Sessions, problem);
                Ok(())
            }
            other => other,
        }
    }

    fn take_out(&self, path: &str) -> Result<(), FsError> {
        match path.split_once('/') {
            None => remove_if_there(self.sources, &self.dir, path),
            Some((folder, name)) => match self.sources.fs.open_dir(&self.dir, Path::new(folder)) {
                Ok(dir) => {
                    remove_if_there(self.sources, &dir, name)?;
                    self.sources.fs.remove_dir(&self.dir, OsStr::new(folder))
                }
                Err(error) if error.is_absent() => Ok(()),
                Err(error) => Err(error),
            },
        }
    }
}

/// Removes what a process that was stopped left of a new folder, whatever it is: nobody else knows that name.
pub(super) fn clear_new(sources: &Sources<'_>) -> Result<(), FsError> {
    let fs = sources.fs;
    let dir = match fs.open_dir(sources.sessions, Path::new(NEW)) {
        Err(error) if error.is_absent() => return Ok(()),
        opened => opened?,
    };
    for entry in fs.list(&dir)? {
        if entry.is_dir {
            let inner = fs.open_dir(&dir, Path::new(&entry.name))?;
            for file in fs.list(&inner)? {
                fs.remove(&inner, &file.name)?;
            }
            fs.remove_dir(&dir, &entry.name)?;
        } else {
            fs.remove(&dir, &entry.name)?;
        }
    }
    fs.remove_dir(sources.sessions, OsStr::new(NEW))
}

fn remove_if_there(sources: &Sources<'_>, dir: &Dir, name: &str) -> Result<(), FsError> {
    match sources.fs.remove(dir, OsStr::new(name)) {
        Err(error) if !error.is_absent() => Err(error),
        _ => Ok(()),
    }
}

/// The record of a folder; nothing where the folder is not ours.
fn read_contents(sources: &Sources<'_>, dir: &Dir) -> Result<Option<Contents>, FsError> {
    match sources.fs.read(dir, OsStr::new(RECORD)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
