//! The session folders: what the secretariat opens on the day of a session (design.md, "Folders of the spool").
//!
//! `desk/sessions/<date>_<label>/` has a page with the session's cases and, for each case, its questionnaire as a PDF
//! and its documents under names that say what they are. All of it is made from the store and can be made again, so
//! it stands outside the journal: [`Worklists`] remembers which sessions a commit touched, and a [`Renewer`] renews
//! their folders one by one, in the daemon in a thread of its own: nothing else waits for it.
//!
//! A cancelled session keeps its folder, whose page says so. A folder is removed once the session's date and the last
//! change of its page are both older than `retention.done`, as the wall clock and the count of time say.

mod content;
mod due;
mod file_names;
mod folder;
mod index;
mod page;
mod shown_case;

use std::sync::Arc;

use serde::Deserialize;

pub use self::due::Worklists;

use self::content::FolderContent;
use self::due::DueScope;
use self::folder::{SessionFolder, clear_new};
use self::index::SessionFolders;
use crate::config::Config;
use crate::model::case::CaseState;
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, FacilityId, Ipp, SessionId};
use crate::model::session::Session;
use crate::model::view::{View, ViewError};
use crate::spool::ages::Ages;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::store::{PendingChanges, Store, keys};

/// A session's folder cannot be renewed.
#[derive(Debug, thiserror::Error)]
pub enum WorklistError {
    /// The disk failed; what is there is whole, and it can be tried again.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// What was written may not have reached the disk.
    #[error("{0}")]
    Sync(#[source] FsError),
    /// The store cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Told to stop: what is made stays, and the rest is still due.
    #[error("told to stop")]
    Stopped,
}

/// Where the folders are, and what they are made from.
struct Sources<'a> {
    fs: &'a Fs,
    /// `desk/sessions/`.
    sessions: &'a Dir,
    documents: &'a Dir,
    store: &'a dyn Store,
    config: &'a Config,
    ages: &'a Ages,
    /// Whether to stop after the file in hand.
    stop: &'a dyn Fn() -> bool,
}

/// Renews the folders, one session after the other. Nobody else may write to `desk/sessions/` meanwhile.
pub struct Renewer {
    fs: Fs,
    sessions: Dir,
    documents: Dir,
    store: Arc<dyn Store>,
    worklists: Arc<Worklists>,
    /// What lies in `desk/sessions/`, once it was looked at.
    folders: Option<SessionFolders>,
}

/// A session whose folder could not be renewed, and why.
#[derive(Debug)]
pub struct RenewalFailure {
    /// The session; none where it is not known which are due.
    pub session: Option<SessionId>,
    /// What went wrong.
    pub error: WorklistError,
}

impl Renewer {
    /// A renewer of what is due.
    pub fn new(
        fs: Fs,
        sessions: Dir,
        documents: Dir,
        store: Arc<dyn Store>,
        worklists: Arc<Worklists>,
    ) -> Self {
        Self {
            fs,
            sessions,
            documents,
            store,
            worklists,
            folders: None,
        }
    }

    /// Renews the next folder that is due, if there is one; stops after the file in hand once `stop` says so.
    ///
    /// # Errors
    /// After any of them the session stays due.
    pub fn renew_next(&mut self, stop: &dyn Fn() -> bool) -> Result<(), RenewalFailure> {
        let (config, ages) = (self.worklists.config(), self.worklists.ages());
        let sources = Sources {
            fs: &self.fs,
            sessions: &self.sessions,
            documents: &self.documents,
            store: &*self.store,
            config: &config,
            ages: &ages,
            stop,
        };
        let unknown = |error| RenewalFailure {
            session: None,
            error,
        };
        let folders = look(&sources, &mut self.folders).map_err(unknown)?;
        find_due(&sources, &self.worklists, folders).map_err(|error| unknown(error.into()))?;
        let begun = folders.begun.take();
        let Some(id) = self.worklists.next(begun.as_ref()) else {
            return clear_new(&sources).map_err(|error| unknown(error.into()));
        };
        match renew(&sources, folders, &id) {
            Ok(()) => {
                self.worklists.done(&id);
                Ok(())
            }
            Err(error) => Err(RenewalFailure {
                session: Some(id),
                error,
            }),
        }
    }
}

/// The folders that are there. Once a day those that are a thing of the past are removed.
fn look<'f>(
    sources: &Sources<'_>,
    known: &'f mut Option<SessionFolders>,
) -> Result<&'f mut SessionFolders, WorklistError> {
    let folders = match known.take() {
        Some(folders) => folders,
        None => SessionFolders::look(sources)?,
    };
    let folders = known.insert(folders);
    let today = Some(sources.ages.elapsed().day());
    if folders.cleared_on != today {
        folders.remove_past(sources)?;
        folders.cleared_on = today;
    }
    Ok(folders)
}

/// Finds out which sessions are due, from what was touched.
fn find_due(
    sources: &Sources<'_>,
    worklists: &Worklists,
    folders: &SessionFolders,
) -> Result<(), ViewError> {
    let (scope, mut touched) = worklists.take();
    let view = PendingChanges::new(sources.store);
    let mut find = || {
        if scope > DueScope::Touched {
            let keep_from = sources.ages.before(sources.config.retention.done);
            let keep_from = keep_from.date_naive();
            let sessions: Vec<Session> = view.all(keys::SESSIONS)?;
            let shown = sessions.into_iter().filter(|session| {
                scope == DueScope::All
                    || session.date >= keep_from
                    || folders.of(&session.id).is_some()
            });
            worklists.add(shown.map(|session| session.id));
        }
        while let Some(key) = touched.first() {
            worklists.add(sessions_showing(&view, key)?.into_iter());
            touched.pop_first();
        }
        Ok(())
    };
    let found = find();
    if found.is_err() {
        worklists.give_back(scope, touched);
    }
    found
}

/// The sessions on whose page the record of this key is shown.
fn sessions_showing(view: &PendingChanges<'_>, key: &str) -> Result<Vec<SessionId>, ViewError> {
    let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
    let of_case =
        |key: &str| session_of_case(view, key).map(|session| session.into_iter().collect());
    match kind {
        "session" => Ok(vec![SessionId::new(keys::last_word(key))]),
        "session-case" => {
            let (session, _) = rest.split_once('/').unwrap_or((rest, ""));
            Ok(vec![SessionId::new(keys::last_word(session))])
        }
        "case" => of_case(key),
        // A document that goes from one case into another is shown in neither by its own record.
        "case-document" => {
            let (case, _) = rest.rsplit_once('/').unwrap_or((rest, ""));
            of_case(&format!("case/{case}"))
        }
        "questionnaire" => of_case(&format!("case/{rest}")),
        "document" => {
            let document: Option<Document> = view.get(key)?;
            match document.map(|it| (it.facility, it.attached)) {
                Some((facility, AttachmentPlace::Case(case))) => {
                    of_case(&keys::case(&facility, &case))
                }
                _ => Ok(Vec::new()),
            }
        }
        "patient" | "alias" => {
            let (facility, _) = rest.split_once('/').unwrap_or((rest, ""));
            let facility = FacilityId::new(keys::last_word(facility));
            let ipp = Ipp::new(keys::last_word(key));
            let kept_under = view.person(&facility, &ipp)?.kept_under;
            // A merge leaves the records of the larger side as they are.
            if kind == "alias" && kept_under != ipp {
                return Ok(Vec::new());
            }
            let cases = view.keys(&keys::cases_of_patient(&facility, &kept_under))?;
            let cases = cases.iter().map(|it| CaseId::new(keys::last_word(it)));
            cases
                .filter_map(|case| session_of_case(view, &keys::case(&facility, &case)).transpose())
                .collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// The session that the case of this key is in. Nothing else of it is read: each case that changes is asked.
fn session_of_case(view: &PendingChanges<'_>, key: &str) -> Result<Option<SessionId>, ViewError> {
    #[derive(Deserialize)]
    struct StateOfCase {
        state: CaseState,
    }
    let case: Option<StateOfCase> = view.get(key)?;
    Ok(case.and_then(|case| case.state.session().cloned()))
}

/// Makes the folder of a session what it should be.
fn renew(
    sources: &Sources<'_>,
    folders: &mut SessionFolders,
    id: &SessionId,
) -> Result<(), WorklistError> {
    let view = PendingChanges::new(sources.store);
    let mut own = folders.open(sources, id)?;
    if own.is_none() && folders.of(id).is_some() {
        // Somebody moved it, or took it away.
        *folders = SessionFolders::look(sources)?;
        own = folders.open(sources, id)?;
    }
    match (view.session(id)?, own) {
        (Some(session), own) => {
            let content = FolderContent::of(sources, &view, &session)?;
            let folder = match own {
                Some(own) => own,
                None => SessionFolder::make(sources, id)?,
            };
            let folder = folder.fill(&content)?;
            folders.name_after(sources, folder, &session)
        }
        (None, Some(own)) => {
            own.remove()?;
            folders.forget(id);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}
