//! What lies in `desk/sessions/`, so that no folder is opened for the sake of another.
//!
//! It is looked at once. Where people move or remove a folder of ours meanwhile, the next renewal of its session finds
//! that out and looks again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::file_names::{NEW, readable};
use super::folder::SessionFolder;
use super::{Sources, WorklistError};
use crate::model::identifiers::SessionId;
use crate::model::session::Session;
use crate::spool::fs::FsError;
use crate::spool::scope::ErrorScope;

/// The folders in `desk/sessions/`.
pub(super) struct SessionFolders {
    /// The names of ours.
    ours: BTreeMap<SessionId, String>,
    /// All names that are taken.
    taken: BTreeSet<String>,
    /// The number to begin with where sessions share their date and label.
    numbers: HashMap<String, u32>,
    /// The session whose new folder was begun and has no name yet.
    pub begun: Option<SessionId>,
    /// The measured day on which those that are a thing of the past were removed.
    pub cleared_on: Option<u64>,
}

impl SessionFolders {
    /// Looks at what is there; one folder at a time is open.
    pub fn look(sources: &Sources<'_>) -> Result<Self, FsError> {
        let mut names: Vec<String> = Vec::new();
        let mut taken = BTreeSet::new();
        for entry in sources.fs.list(sources.sessions)? {
            if let Some(name) = entry.name.to_str().filter(|name| *name != NEW) {
                taken.insert(name.to_owned());
                if entry.is_dir {
                    names.push(name.to_owned());
                }
            }
        }
        names.sort_unstable();
        let mut ours = BTreeMap::new();
        for name in names {
            let session = match SessionFolder::open(sources, &name) {
                Ok(folder) => folder.and_then(|folder| folder.session().cloned()),
                // One that we may not enter is somebody's own.
                Err(error) if error.scope() == ErrorScope::Name => None,
                Err(error) => return Err(error),
            };
            if let Some(session) = session {
                // Of a folder and its copy, the one with the shorter name.
                ours.entry(session).or_insert(name);
            }
        }
        let begun = SessionFolder::open(sources, NEW)?;
        Ok(Self {
            begun: begun.and_then(|folder| folder.session().cloned()),
            ours,
            taken,
            numbers: HashMap::new(),
            cleared_on: None,
        })
    }

    /// The name of a session's folder.
    pub fn of(&self, session: &SessionId) -> Option<&str> {
        self.ours.get(session).map(String::as_str)
    }

    /// The folder of a session, if it is where it was.
    pub fn open<'a>(
        &self,
        sources: &'a Sources<'a>,
        session: &SessionId,
    ) -> Result<Option<SessionFolder<'a>>, FsError> {
        let Some(name) = self.of(session) else {
            return Ok(None);
        };
        let folder = SessionFolder::open(sources, name)?;
        Ok(folder.filter(|folder| folder.session() == Some(session)))
    }

    /// The session has no folder any more.
    pub fn forget(&mut self, session: &SessionId) {
        if let Some(name) = self.ours.remove(session) {
            self.set_free(&name);
        }
    }

    fn set_free(&mut self, name: &str) {
        self.taken.remove(name);
        if let Some((wanted, _)) = name.rsplit_once('_') {
            self.numbers.remove(wanted);
        }
    }

    /// Gives a folder the name of its session, unless it has it; two sessions of one date and label get two names.
    pub fn name_after(
        &mut self,
        sources: &Sources<'_>,
        mut folder: SessionFolder<'_>,
        session: &Session,
    ) -> Result<(), WorklistError> {
        let wanted = format!("{}_{}", session.date, readable(&session.label, "session"));
        let is_numbered = folder
            .name()
            .strip_prefix(&wanted)
            .and_then(|number| number.strip_prefix('_'))
            .is_some_and(|number| number.parse::<u32>().is_ok());
        if folder.name() != wanted && !is_numbered {
            self.name_anew(sources, &mut folder, &wanted)?;
            self.forget(&session.id);
        }
        self.taken.insert(folder.name().to_owned());
        self.ours
            .insert(session.id.clone(), folder.name().to_owned());
        Ok(())
    }

    fn name_anew(
        &mut self,
        sources: &Sources<'_>,
        folder: &mut SessionFolder<'_>,
        wanted: &str,
    ) -> Result<(), WorklistError> {
        let first = self.numbers.get(wanted).copied().unwrap_or(1);
        for number in first.. {
            if (sources.stop)() {
                return Err(WorklistError::Stopped);
            }
            let name = match number {
                1 => wanted.to_owned(),
                number => format!("{wanted}_{number}"),
            };
            if !self.taken.contains(&name) && folder.rename(&name)? {
                self.numbers.insert(wanted.to_owned(), number);
                return Ok(());
            }
            self.taken.insert(name);
        }
        Ok(())
    }

    /// Removes those whose session and whose last change both were longer ago than what is done is kept.
    pub fn remove_past(&mut self, sources: &Sources<'_>) -> Result<(), WorklistError> {
        let keep = sources.config.retention.done;
        let is_past = |name: &str| {
            let date = name.split_once('_').map(|(date, _)| date.parse());
            date.is_some_and(|date| date.is_ok_and(|date| sources.ages.went_by(date, keep)))
        };
        let past: Vec<SessionId> = self
            .ours
            .iter()
            .filter(|(_, name)| is_past(name))
            .map(|(session, _)| session.clone())
            .collect();
        for session in past {
            let removed = self.remove_if_long_unchanged(sources, &session);
            match removed {
                // It is tried again the next day.
                Err(WorklistError::Disk(error)) if error.scope() == ErrorScope::Name => {
                    log::warn!(
                        "the folder of session {session} cannot be removed: {}",
                        error.source
                    );
                }
                removed => removed?,
            }
        }
        Ok(())
    }

    fn remove_if_long_unchanged(
        &mut self,
        sources: &Sources<'_>,
        session: &SessionId,
    ) -> Result<(), WorklistError> {
        if let Some(folder) = self.open(sources, session)?
            && folder.is_long_unchanged()?
        {
            folder.remove()?;
            self.forget(session);
        }
        Ok(())
    }
}
