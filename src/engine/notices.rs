//! Notices: a facility is told, among its receipts, of what it sent and nobody can take in (interface.md 10).
//!
//! A folder that an uploader made with too few rights would hold its files for ever without a word. Each notice is
//! journalled with its name, so that it is written once, and removed once the folder can be used.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arrivals::{BlockedFolder, Inbox, SweepResult};
use super::group::Group;
use super::{Engine, EngineError, owner_name};
use crate::journal::{Entry, Move};
use crate::model::owner::Owner;
use crate::model::visible::{in_json, is_hidden};
use crate::repeats::{self, RepeatedTask};
use crate::spool::claim::{self, derived};
use crate::spool::destinations::ACKS;
use crate::spool::sweep::Hindrance;
use crate::store::{KeyChange, Store, keys, to_json};

/// Ends the name of a notice.
const NOTICE: &str = ".notice.json";

/// A facility has at most so many notices at a time; its further folders get theirs once there is room.
const MOST: usize = 50;

/// The notices that were written, by place and the folder that each is about.
pub(super) type Notices = BTreeMap<Owner, BTreeMap<String, Notice>>;

/// A notice that lies among the receipts, unless the facility removed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    #[serde(rename = "place")]
    owner: Owner,
    /// The folder below the inbox, written as moves write paths.
    folder: String,
    reason: String,
    /// Its path below the owner's folder, written likewise.
    path: String,
}

impl Hindrance {
    /// The reason of a notice, one of a fixed list (interface.md 10).
    pub fn reason(&self) -> &'static str {
        match self {
            Hindrance::Entering => "cannot-enter",
            Hindrance::Listing => "cannot-list",
            Hindrance::MovingOut => "cannot-move-out",
            Hindrance::Other(_) => "cannot-use",
        }
    }

    /// What is so, for a sentence that begins with the folder.
    pub fn sentence(&self) -> String {
        match self {
            Hindrance::Entering => "cannot be entered: what lies in it is not seen".to_owned(),
            Hindrance::Listing => "cannot be listed: what lies in it is not seen".to_owned(),
            Hindrance::MovingOut => {
                "holds files that cannot be moved out of it: they are not taken in".to_owned()
            }
            Hindrance::Other(problem) => {
                format!("cannot be used, so that files in it are not taken in: {problem}")
            }
        }
    }

    /// What to do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            Hindrance::Other(_) => {
                "Send the files again into the inbox itself, under another name; if that does not help, ask those who run the service."
            }
            _ => {
                "Give the group of the folder the rights to read, write and enter it (chmod 2770), or send the files again into the inbox itself."
            }
        }
    }
}

impl Engine {
    /// Writes a notice for each folder that has been blocked for some time and has none, and removes those of folders
    /// that can be used. A place that fails holds no other up.
    pub fn tend_notices(&mut self, swept: &SweepResult) -> Result<(), EngineError> {
        let mut notices = match self.notices.take() {
            Some(notices) => notices,
            None => read(&*self.store)?,
        };
        let places: Vec<Owner> = self.owner_folders().map(|it| it.owner.clone()).collect();
        let mut failure = None;
        for place in &places {
            let Some(inbox) = swept.inboxes.get(owner_name(place)) else {
                continue;
            };
            if inbox.blocked.is_empty() && !notices.contains_key(place) {
                continue;
            }
            let of_place = notices.entry(place.clone()).or_default();
            match self.tend_notices_of(place, inbox, of_place) {
                Ok(()) => repeats::over(owner_name(place), RepeatedTask::Notices),
                Err(error) if error.is_passing() => {
                    let problem = error.without_path();
                    let problem = format_args!("a notice cannot be written: {problem}");
                    repeats::failing(owner_name(place), RepeatedTask::Notices, problem);
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        notices.retain(|_, of_place| !of_place.is_empty());
        self.notices = Some(notices);
        failure.map_or(Ok(()), Err)
    }

    fn tend_notices_of(
        &mut self,
        owner: &Owner,
        inbox: &Inbox,
        known: &mut BTreeMap<String, Notice>,
    ) -> Result<(), EngineError> {
        let blocked: BTreeMap<String, &BlockedFolder> = inbox
            .blocked
            .iter()
            .map(|it| (claim::to_text(&it.folder), it))
            .collect();
        let is_so = |notice: &Notice| {
            let now = blocked.get(&notice.folder);
            now.is_some_and(|it| it.hindrance.reason() == notice.reason)
        };
        let over: Vec<Notice> = known.values().filter(|it| !is_so(it)).cloned().collect();
        let room = (MOST + over.len()).saturating_sub(known.len());
        let is_new = |folder: &String| known.get(folder).is_none_or(|it| !is_so(it));
        let new: Vec<(&String, &BlockedFolder)> = blocked
            .iter()
            .filter(|(folder, it)| it.lasts && is_new(folder))
            .map(|(folder, it)| (folder, *it))
            .take(room)
            .collect();
        if over.is_empty() && new.is_empty() {
            return Ok(());
        }
        self.land()?;
        let Some(root) = self.root(owner).cloned() else {
            return Ok(());
        };
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        let mut changes: Vec<KeyChange> = Vec::new();
        let mut moves = Vec::new();
        for notice in &over {
            // Should the process end here, the next sweep finds it gone and goes on.
            let path = claim::from_text(&notice.path);
            if self.folders.exists(&self.fs, &root, &path)? {
                let (dir, name) = self.folders.parent(&self.fs, &root, &path)?;
                self.fs.remove(&dir, name)?;
            }
            changes.push((keys::notice(owner_name(owner), &notice.folder), None));
        }
        let mut written = Vec::new();
        for (folder, it) in new {
            let content = self.notice(owner, folder, it);
            let from = self.prepare(&mut group, owner, content.as_bytes())?;
            let to = self.names.choose_in(
                &self.fs,
                &self.folders,
                &root,
                ACKS,
                &file_name(&it.folder),
            )?;
            let notice = Notice {
                owner: owner.clone(),
                folder: folder.clone(),
                reason: it.hindrance.reason().to_owned(),
                path: claim::to_text(&to),
            };
            let key = keys::notice(owner_name(owner), folder);
            changes.push((key, Some(to_json(&notice)?)));
            moves.push(Move {
                place: owner.clone(),
                from,
                to: notice.path.clone(),
            });
            written.push(notice);
        }
        group.view.write(&changes);
        group.enter(Entry::Changes {
            what: "notices".to_owned(),
            changes,
            moves,
        });
        self.commit(group)?;
        for notice in &over {
            known.remove(&notice.folder);
        }
        known.extend(written.into_iter().map(|it| (it.folder.clone(), it)));
        Ok(())
    }

    fn notice(&self, owner: &Owner, folder: &str, blocked: &BlockedFolder) -> String {
        let name = match folder.is_empty() {
            true => "The inbox".to_owned(),
            false => format!("The folder {folder}"),
        };
        let hindrance = &blocked.hindrance;
        let notice = json!({
            "facility": owner_name(owner),
            "folder": folder,
            "reason": hindrance.reason(),
            "message": format!("{name} {}.", hindrance.sentence()),
            "time": blocked.since.to_rfc3339_opts(SecondsFormat::Secs, true),
            "next": hindrance.next_step(),
        });
        in_json(&format!("{notice:#}\n")).into_owned()
    }
}

/// The notices that the store knows of: few, since each facility has few.
fn read(store: &dyn Store) -> Result<Notices, EngineError> {
    let mut notices = Notices::new();
    store.scan(keys::NOTICES, &mut |_, value| {
        if let Ok(notice) = serde_json::from_slice::<Notice>(value) {
            let of_place = notices.entry(notice.owner.clone()).or_default();
            of_place.insert(notice.folder.clone(), notice);
        }
        true
    })?;
    Ok(notices)
}

/// The name of a notice: that of the folder, without what somebody's screen or program could stumble over.
fn file_name(folder: &Path) -> OsString {
    let name = folder.file_name().unwrap_or("inbox".as_ref());
    let mut safe: String = name
        .to_string_lossy()
        .chars()
        .map(|it| match is_hidden(it) || it == '\u{fffd}' {
            true => '_',
            false => it,
        })
        .collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    derived(safe.as_ref(), "", NOTICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_stored_as_before() {
        let stored = r#"{"place":"desk","folder":"f","reason":"r","path":"p"}"#;
        let notice: Notice = serde_json::from_str(stored).unwrap();
        assert_eq!(notice.owner, Owner::Desk);
        assert_eq!(serde_json::to_string(&notice).unwrap(), stored);
    }
}
