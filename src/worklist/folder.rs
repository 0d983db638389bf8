//! A session's folder on the disk, brought from what it is to what it should be without a moment at which a reader
//! finds half a page, or a page whose files are not there.
//!
//! What we put into a folder is on record in it, so that what a person puts beside it is never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::content::{Content, Source};
use super::{Sources, WorklistError};
use crate::model::identifiers::{ContentHash, SessionId};
use crate::model::session::Session;
use crate::spool::fs::{Dir, FsError};
use crate::spool::layout::document_path;

/// The page of a session.
pub(super) const PAGE: &str = "index.html";
/// Says whose folder it is, and what we put into it.
const RECORD: &str = ".contents.json";
/// A folder that has no name of its own yet.
const NEW: &str = ".new";
/// A name is cut to so many characters.
const LONGEST_NAME: usize = 60;

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
    /// All that are ours.
    pub fn all(sources: &'a Sources<'a>) -> Result<Vec<Self>, FsError> {
        let mut folders = Vec::new();
        for entry in sources.fs.list(sources.sessions)? {
            if let (true, Some(name)) = (entry.is_dir, entry.name.to_str())
                && name != NEW
            {
                let dir = sources.fs.open_dir(sources.sessions, Path::new(name))?;
                if let Some(contents) = read_contents(sources, &dir)? {
                    folders.push(Self {
                        sources,
                        name: name.to_owned(),
                        dir,
                        contents,
                    });
                }
            }
        }
        Ok(folders)
    }

    /// A new one, under a name that nobody looks for.
    pub fn make(sources: &'a Sources<'a>, session: &SessionId) -> Result<Self, FsError> {
        Self::clear_new(sources)?;
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

    /// Removes what a process that was stopped left of a new folder, whatever it is: nobody else knows that name.
    pub fn clear_new(sources: &Sources<'_>) -> Result<(), FsError> {
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

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn session(&self) -> Option<&SessionId> {
        self.contents.session.as_ref()
    }

    /// Whether its session and the last change of its page both were before this day.
    pub fn is_older_than(&self, day: NaiveDate) -> Result<bool, FsError> {
        let date = self.name.split_once('_').map(|(date, _)| date.parse());
        let Some(Ok(date)) = date else {
            return Ok(false);
        };
        if day <= date {
            return Ok(false);
        }
        match self.sources.fs.modified(&self.dir, OsStr::new(PAGE)) {
            Ok(time) => Ok(time.date_naive() < day),
            Err(error) if error.is_absent() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Puts in what should be there and takes out the rest: files first, then the page that leads to them, then what
    /// it no longer leads to.
    pub fn fill(mut self, content: &Content<'_>) -> Result<Self, WorklistError> {
        let sources = self.sources;
        let mut changed = BTreeSet::new();
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
            if let Some(source) = content.files.get(path) {
                self.put(path, source)?;
            }
        }
        if let (true, Some(page)) = (changed.contains(PAGE), content.files.get(PAGE)) {
            self.put(PAGE, page)?;
        }
        for path in gone {
            self.take_out(&path)?;
        }
        // The record must not outlast files that a power cut takes.
        sources
            .fs
            .sync_file_system(&self.dir)
            .map_err(WorklistError::Sync)?;
        self.contents.files = content
            .files
            .iter()
            .map(|(path, source)| (path.clone(), source.identity()))
            .collect();
        self.write_record()?;
        Ok(self)
    }

    /// Gives it the name of the session, unless it has it; two sessions of one date and label get two names.
    pub fn name_after(
        self,
        session: &Session,
        taken: &BTreeSet<String>,
    ) -> Result<(), WorklistError> {
        let wanted = format!("{}_{}", session.date, readable(&session.label, "session"));
        let is_numbered = self
            .name
            .strip_prefix(&wanted)
            .and_then(|number| number.strip_prefix('_'))
            .is_some_and(|number| number.parse::<u32>().is_ok());
        if self.name == wanted || is_numbered {
            return Ok(());
        }
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.clone()).chain(numbered);
        let sessions = self.sources.sessions;
        let fs = self.sources.fs;
        for name in names.by_ref().filter(|name| !taken.contains(name)) {
            match fs.rename(
                sessions,
                OsStr::new(&self.name),
                sessions,
                OsStr::new(&name),
            ) {
                // A person's own folder.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => return Ok(other?),
            }
        }
        Ok(())
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

    fn put(&self, path: &str, source: &Source<'_>) -> Result<(), FsError> {
        let fs = self.sources.fs;
        let (dir, name) = match path.split_once('/') {
            None => (self.dir.clone(), path),
            Some((folder, name)) => (fs.make_dir(&self.dir, Path::new(folder))?, name),
        };
        let name = OsStr::new(name);
        match source {
            Source::Page(text) => fs.replace(&dir, name, text.as_bytes()),
            Source::Document(hash) => self.put_document(&dir, name, hash),
            Source::Form { make, .. } => match make() {
                Ok(pdf) => fs.replace(&dir, name, &pdf),
                Err(problem) => {
                    log::error!("a questionnaire cannot be shown: {problem}");
                    Ok(())
                }
            },
        }
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
                log::error!("documents/ lacks {hash}: run `rcpspool verify`");
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

/// Text as a part of a name: its letters and digits, and `-` for everything between them.
pub(super) fn readable(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for letter in text.chars().take(LONGEST_NAME) {
        match letter.is_alphanumeric() {
            true => name.push(letter),
            false if name.is_empty() || name.ends_with('-') => {}
            false => name.push('-'),
        }
    }
    match name.trim_end_matches('-') {
        "" => otherwise.to_owned(),
        name => name.to_owned(),
    }
}
