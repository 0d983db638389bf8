//! The session folders: what the secretariat opens on the day of a session (DESIGN, "Folders of the spool").
//!
//! `desk/sessions/<date>_<label>/` has a page with the session's cases and, for each case, its questionnaire as a PDF
//! and its documents under names that say what they are. All of it is made from the store and can be made again, so
//! it stands outside the journal: [`Worklists`] remembers which sessions a commit touched, and renews their folders one
//! by one when there is nothing else to do.
//!
//! A cancelled session keeps its folder, whose page says so. A folder is removed once the session's date and the last
//! change of its page are both older than `retention.done`.

mod content;
mod folder;
mod page;

use std::collections::BTreeSet;

use chrono::{NaiveDate, Utc};

use self::content::Content;
use self::folder::SessionFolder;
use crate::config::Config;
use crate::model::case::Case;
use crate::model::document::{Attached, Document};
use crate::model::identifiers::SessionId;
use crate::model::session::Session;
use crate::model::view::{View, ViewError};
use crate::spool::fs::{Dir, Fs, FsError};
use crate::store::{Overlay, Store, keys};

/// With more touched records than this, all sessions are looked at: that is cheaper than to remember each.
const MANY: usize = 10_000;

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
}

/// Where the folders are, and what they are made from.
pub struct Sources<'a> {
    /// The disk.
    pub fs: &'a Fs,
    /// `desk/sessions/`.
    pub sessions: &'a Dir,
    /// `documents/`.
    pub documents: &'a Dir,
    /// The store.
    pub store: &'a dyn Store,
    /// The configuration.
    pub config: &'a Config,
}

/// Which sessions' folders are to be renewed.
#[derive(Debug, Default)]
pub struct Worklists {
    /// Keys of records that changed.
    touched: BTreeSet<String>,
    /// Which others are to be looked at.
    scope: Scope,
    due: BTreeSet<SessionId>,
}

/// Which sessions are to be looked at besides those that were touched.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// None.
    #[default]
    Touched,
    /// Those that are no thing of the past, and those that have a folder.
    Present,
    /// All: more were touched than were remembered.
    All,
}

impl Worklists {
    /// Remembers what changed. This is on the way of every message, so nothing is looked up yet.
    pub fn touch<'k>(&mut self, keys: impl Iterator<Item = &'k String>) {
        const SHOWN: [&str; 6] = [
            "case/",
            "document/",
            "patient/",
            "questionnaire/",
            "session/",
            "session-case/",
        ];
        if self.scope < Scope::All {
            let shown = keys.filter(|key| SHOWN.iter().any(|kind| key.starts_with(kind)));
            self.touched.extend(shown.cloned());
            if self.touched.len() > MANY {
                self.scope = Scope::All;
                self.touched.clear();
            }
        }
    }

    /// Every folder is to be looked at, and every session that should have one. One that is as it should be is left
    /// as it is.
    pub fn touch_all(&mut self) {
        self.scope = self.scope.max(Scope::Present);
    }

    /// Whether there is anything to look at.
    pub fn are_due(&self) -> bool {
        self.scope > Scope::Touched || !self.touched.is_empty() || !self.due.is_empty()
    }

    /// Renews the next folder.
    ///
    /// # Errors
    /// After any of them the session stays due.
    pub fn renew_next(&mut self, sources: &Sources<'_>) -> Result<(), WorklistError> {
        let view = Overlay::new(sources.store);
        if self.scope > Scope::Touched {
            SessionFolder::clear_new(sources)?;
            let folders = SessionFolder::all(sources)?;
            let has_folder =
                |id: &SessionId| folders.iter().any(|folder| folder.session() == Some(id));
            let keep_from = keep_from(sources.config);
            let sessions: Vec<Session> = view.all(keys::SESSIONS)?;
            let all = self.scope == Scope::All;
            let shown = sessions
                .into_iter()
                .filter(|session| all || session.date >= keep_from || has_folder(&session.id));
            self.due.extend(shown.map(|session| session.id));
            self.scope = Scope::Touched;
        }
        while let Some(key) = self.touched.first() {
            self.due.extend(sessions_showing(&view, key)?);
            self.touched.pop_first();
        }
        if let Some(id) = self.due.first() {
            renew(sources, &view, id)?;
            self.due.pop_first();
        }
        Ok(())
    }
}

/// The sessions on whose page the record of this key is shown.
fn sessions_showing(view: &Overlay<'_>, key: &str) -> Result<Vec<SessionId>, ViewError> {
    let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
    let of_case = |case: Option<Case>| case.and_then(|case| case.state.session().cloned());
    Ok(match kind {
        "session" => vec![SessionId::new(keys::last_word(key))],
        "session-case" => {
            let (session, _) = rest.split_once('/').unwrap_or((rest, ""));
            vec![SessionId::new(keys::last_word(session))]
        }
        "case" => of_case(view.get(key)?).into_iter().collect(),
        "questionnaire" => of_case(view.get(&format!("case/{rest}"))?)
            .into_iter()
            .collect(),
        "document" => match view.get::<Document>(key)? {
            Some(document) => match &document.attached {
                Attached::Case(case) => of_case(view.case(&document.facility, case)?)
                    .into_iter()
                    .collect(),
                Attached::Note(_) => Vec::new(),
            },
            None => Vec::new(),
        },
        "patient" => {
            let patient: Option<crate::model::patient::Patient> = view.get(key)?;
            let cases = match &patient {
                Some(patient) => view.cases_of_patient(&patient.facility, &patient.ipp)?,
                None => Vec::new(),
            };
            cases
                .into_iter()
                .filter_map(|case| of_case(Some(case)))
                .collect()
        }
        _ => Vec::new(),
    })
}

/// Makes the folder of a session what it should be.
fn renew(sources: &Sources<'_>, view: &Overlay<'_>, id: &SessionId) -> Result<(), WorklistError> {
    let keep_from = keep_from(sources.config);
    let mut own = None;
    let mut taken = BTreeSet::new();
    for folder in SessionFolder::all(sources)? {
        match folder.session() {
            Some(session) if session == id => own = Some(folder),
            _ if folder.is_older_than(keep_from)? => folder.remove()?,
            _ => {
                taken.insert(folder.name().to_owned());
            }
        }
    }
    match (view.session(id)?, own) {
        (Some(session), own) => {
            let content = Content::of(sources, view, &session)?;
            let folder = match own {
                Some(own) => own,
                None => SessionFolder::make(sources, id)?,
            };
            folder.fill(&content)?.name_after(&session, &taken)
        }
        (None, Some(own)) => own.remove(),
        (None, None) => Ok(()),
    }
}

/// From this day on, sessions and pages are no thing of the past.
fn keep_from(config: &Config) -> NaiveDate {
    let kept = chrono::Duration::from_std(config.retention.done).ok();
    let today = Utc::now().date_naive();
    kept.and_then(|kept| today.checked_sub_signed(kept))
        .unwrap_or(NaiveDate::MIN)
}
