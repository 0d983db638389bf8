//! Events from the inboxes: they make intake fast, and nothing depends on them (design.md, "Taking files in").
//!
//! Shares send no events, queues overflow, and a folder that is renamed away and made anew stays silent. So an event
//! only says when a look is worth while.

use std::collections::BTreeMap;
use std::path::PathBuf;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::fs::{Dir, Fs};
use super::layout::OwnerFolders;
use crate::model::owner::Owner;

/// What happened in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// Something came by a rename, whole: its path.
    Renamed(PathBuf),
    /// Something was made, or its writer closed it: its path. It has yet to settle.
    Written(PathBuf),
    /// Events were lost.
    Overflow,
}

/// Watches inboxes, with all folders below them, through no link.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<Owner, Dir>,
    complained: bool,
}

impl Watch {
    /// Tells `report` what happens, in a thread of its own.
    pub fn new(report: impl Fn(WatchEvent) + Send + 'static) -> Self {
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) => {
                if let Some(seen) = meaning(event) {
                    report(seen);
                }
            }
            Err(_) => report(WatchEvent::Overflow),
        };
        let mut watch = Self {
            watcher: None,
            watched: BTreeMap::new(),
            complained: false,
        };
        match RecommendedWatcher::new(handler, Config::default().with_follow_symlinks(false)) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.complain(&error),
        }
        watch
    }

    /// Watches the inboxes of these owners and no others; one that was made anew is watched anew.
    pub fn follow<'s>(&mut self, fs: &Fs, owners: impl Iterator<Item = &'s OwnerFolders>) {
        let mut before = std::mem::take(&mut self.watched);
        let mut complaint = None;
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folders in owners {
            let known = before.remove(&folders.owner);
            if let Some(known) = known {
                if fs.is_same(&known, &folders.inbox).unwrap_or(false) {
                    self.watched.insert(folders.owner.clone(), known);
                    continue;
                }
                // It may be gone already.
                let _ = watcher.unwatch(known.path());
            }
            match watcher.watch(folders.inbox.path(), RecursiveMode::Recursive) {
                Ok(()) => {
                    self.watched
                        .insert(folders.owner.clone(), folders.inbox.clone());
                }
                Err(error) => complaint = Some(error),
            }
        }
        for gone in before.into_values() {
            let _ = watcher.unwatch(gone.path());
        }
        if let Some(error) = complaint {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &notify::Error) {
        if std::mem::replace(&mut self.complained, true) {
            return;
        }
        let problem = match &error.kind {
            notify::ErrorKind::MaxFilesWatch => {
                "the system allows no more watches (raise fs.inotify.max_user_watches)".to_owned()
            }
            notify::ErrorKind::Io(error) => error.to_string(),
            _ => "the system refuses".to_owned(),
        };
        log::warn!(
            "an inbox cannot be watched: {problem}. Files are taken in all the same, with the next sweep"
        );
    }
}

/// What an event means; most mean nothing, since our own reads make events too.
fn meaning(event: Event) -> Option<WatchEvent> {
    if event.need_rescan() {
        return Some(WatchEvent::Overflow);
    }
    let path = event.paths.into_iter().next();
    match event.kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => path.map(WatchEvent::Renamed),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Create(_) => {
            path.map(WatchEvent::Written)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn renames_and_closed_writers_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let fs = Fs::new();
        let open =
            || OwnerFolders::open(&fs, Owner::Desk, fs.open_root(folder.path()).unwrap()).unwrap();
        let folders = open();
        let (sender, seen) = channel();
        let mut watch = Watch::new(move |event| sender.send(event).unwrap_or_default());
        watch.follow(&fs, std::iter::once(&folders));
        let next = || seen.recv_timeout(Duration::from_secs(5)).unwrap();
        let inbox = folder.path().join("inbox");
        std::fs::write(inbox.join("a.hl7"), "MSH").unwrap();
        let written = WatchEvent::Written(inbox.join("a.hl7"));
        assert_eq!((next(), next()), (written.clone(), written));
        std::fs::read(inbox.join("a.hl7")).unwrap();
        std::fs::write(folder.path().join("b.hl7"), "MSH").unwrap();
        std::fs::rename(folder.path().join("b.hl7"), inbox.join("b.hl7")).unwrap();
        assert_eq!(next(), WatchEvent::Renamed(inbox.join("b.hl7")));

        std::fs::remove_dir_all(&inbox).unwrap();
        drop(folders);
        let folders = open();
        watch.follow(&fs, std::iter::once(&folders));
        std::fs::write(folder.path().join("c.hl7"), "MSH").unwrap();
        std::fs::rename(folder.path().join("c.hl7"), inbox.join("c.hl7")).unwrap();
        assert_eq!(next(), WatchEvent::Renamed(inbox.join("c.hl7")));
    }

    #[test]
    fn lost_events_ask_for_a_look_at_everything() {
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(meaning(lost), Some(WatchEvent::Overflow));
        let read = Event::new(EventKind::Access(AccessKind::Open(AccessMode::Any)));
        assert_eq!(meaning(read), None);
    }
}
