//! Taking refused files out of `error/`: back into the inbox they came from, or to `done/` (interface.md 7, `retry` and
//! `discard`).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::group::Group;
use super::{Engine, EngineError};
use crate::journal::Move;
use crate::model::outcome::{Reason, Refusal};
use crate::model::owner::Owner;
use crate::spool::claim;
use crate::spool::destinations::{self, SIDECAR};
use crate::spool::fs::look::FileKind;
use crate::spool::fs::{Dir, FsError};
use crate::spool::scope::ErrorScope;

/// Where refused files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedFileTarget {
    /// Back into the inbox, to be taken in again.
    Back,
    /// To `done/`: nobody will correct them.
    Away,
}

/// A refused file that is there.
struct FileInError {
    owner: Owner,
    root: Dir,
    /// Its path below `error/`.
    below: PathBuf,
}

impl FileInError {
    fn path(&self) -> PathBuf {
        Path::new(destinations::ERROR).join(&self.below)
    }

    fn sidecar(&self) -> OsString {
        let name = self.below.file_name().unwrap_or_default();
        claim::derived(name, "", SIDECAR)
    }
}

impl Engine {
    /// The moves that take refused files out of `error/`, each file once, with its sidecar.
    pub(super) fn take_from_error(
        &mut self,
        group: &Group<'_>,
        files: &[String],
        way: RefusedFileTarget,
    ) -> Result<Result<Vec<Move>, Refusal>, EngineError> {
        let day = self.day(&Owner::Desk, self.now());
        let mut moves: Vec<Move> = Vec::new();
        let mut retried: BTreeSet<(Owner, String)> = BTreeSet::new();
        let open = self.committer.moves().iter();
        let open: BTreeSet<(Owner, String)> = open
            .map(|(_, ordered)| (ordered.place.clone(), ordered.from.clone()))
            .collect();
        for file in files {
            let Some(refused) = self.find_refused(file)? else {
                return Ok(Err(bad(format!(
                    "There is no refused file {file}. `rcpspool list errors` shows them."
                ))));
            };
            let from = claim::to_text(&refused.path());
            let place_and_name = (refused.owner.clone(), from.clone());
            if retried.contains(&place_and_name) {
                continue;
            }
            if group.moves_away(&refused.owner, &from) || open.contains(&place_and_name) {
                return Ok(Err(bad(format!(
                    "The file {file} is on its way out of error already: a command before this one retries or discards it."
                ))));
            }
            let to = match way {
                RefusedFileTarget::Back => self.way_back(&refused)?,
                RefusedFileTarget::Away => Some(self.way_to_done(&refused)?),
            };
            let Some(to) = to else {
                return Ok(Err(bad(format!(
                    "The file {file} cannot go back: something in its inbox has the name of its folder. Remove that first."
                ))));
            };
            retried.insert(place_and_name);
            moves.push(Move {
                place: refused.owner.clone(),
                from,
                to: claim::to_text(&to),
            });
            let sidecar = refused.sidecar();
            let path = refused.path().with_file_name(&sidecar);
            if self.folders.exists(&self.fs, &refused.root, &path)? {
                let (done, sidecar) = match way {
                    RefusedFileTarget::Back => (Path::new("done").join(&day), sidecar),
                    RefusedFileTarget::Away => {
                        let beside = to.parent().unwrap_or(Path::new("")).to_owned();
                        let name = to.file_name().unwrap_or_default();
                        (beside, claim::derived(name, "", SIDECAR))
                    }
                };
                let names = &mut self.names;
                let to =
                    names.choose_in(&self.fs, &self.folders, &refused.root, &done, &sidecar)?;
                moves.push(Move {
                    place: refused.owner,
                    from: claim::to_text(&path),
                    to: claim::to_text(&to),
                });
            }
        }
        Ok(Ok(moves))
    }

    /// A free name for a refused file in `done/`.
    fn way_to_done(&mut self, refused: &FileInError) -> Result<PathBuf, EngineError> {
        let day = self.day(&refused.owner, self.now());
        let above = refused.below.parent().unwrap_or(Path::new(""));
        let folder = Path::new("done").join(day).join(above);
        let name = refused.below.file_name().unwrap_or_default();
        let names = &mut self.names;
        Ok(names.choose_in(&self.fs, &self.folders, &refused.root, &folder, name)?)
    }

    /// A free name for a refused file in the inbox it came from; nothing where something is in the way of its folder.
    fn way_back(&mut self, refused: &FileInError) -> Result<Option<PathBuf>, EngineError> {
        let above = refused.below.parent().unwrap_or(Path::new(""));
        let folder = Path::new("inbox").join(above);
        match self.folders.find(&self.fs, &refused.root, &folder) {
            Err(error) if error.is_in_the_way() => return Ok(None),
            other => other?,
        };
        let name = refused.below.file_name().unwrap_or_default();
        let names = &mut self.names;
        let chosen = names.choose_in(&self.fs, &self.folders, &refused.root, &folder, name)?;
        Ok(Some(chosen))
    }

    /// The refused file that a path names, as listed or plain, or whose sidecar it names.
    fn find_refused(&self, file: &str) -> Result<Option<FileInError>, EngineError> {
        for path in [claim::from_text(file), PathBuf::from(file)] {
            let from_spool = self.spool.root.path().join(&path);
            for folders in self.owner_folders() {
                let error = folders.root.path().join(destinations::ERROR);
                let below = from_spool
                    .strip_prefix(&error)
                    .or_else(|_| path.strip_prefix(&error));
                let is_file = |below: &&Path| {
                    let mut parts = below.components();
                    below.file_name().is_some()
                        && parts.all(|part| matches!(part, Component::Normal(_)))
                };
                let Some(below) = below.ok().filter(is_file) else {
                    continue;
                };
                let named = FileInError {
                    owner: folders.owner.clone(),
                    root: folders.root.clone(),
                    below: below.to_owned(),
                };
                let found = match self.is_refused_file(&named)? {
                    true => Some(named),
                    false => None,
                };
                if let Some(found) = found {
                    return Ok(Some(self.file_of_sidecar(&found)?.unwrap_or(found)));
                }
            }
        }
        Ok(None)
    }

    /// Whether a regular file lies there. What the system answers to the name is no: no such file was refused.
    fn is_refused_file(&self, refused: &FileInError) -> Result<bool, EngineError> {
        let path = refused.path();
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        let kind = match self.folders.find(&self.fs, &refused.root, folder) {
            Ok(Some(dir)) => self.fs.kind(&dir, name),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(no_name(kind, None)? == Some(FileKind::File))
    }

    /// The file that this one is the sidecar of; nothing if it was received itself.
    fn file_of_sidecar(&self, named: &FileInError) -> Result<Option<FileInError>, EngineError> {
        let name = named.below.file_name().unwrap_or_default();
        let Some(bare) = name.as_bytes().strip_suffix(SIDECAR.as_bytes()) else {
            return Ok(None);
        };
        let beside = |name: &OsStr| FileInError {
            owner: named.owner.clone(),
            root: named.root.clone(),
            below: named.below.with_file_name(name),
        };
        // A refused file has a sidecar, whatever it is called.
        if self.is_refused_file(&beside(&named.sidecar()))? {
            return Ok(None);
        }
        let whole = beside(OsStr::from_bytes(bare));
        if self.is_refused_file(&whole)? {
            return Ok(Some(whole));
        }
        // The sidecar of a long name is cut: only the name itself leads to it.
        let folder = named.path();
        let folder = folder.parent().unwrap_or(Path::new(""));
        let Some(dir) = self.folders.find(&self.fs, &named.root, folder)? else {
            return Ok(None);
        };
        let entries = self.fs.list(&dir)?.into_iter();
        let mut names = entries
            .filter(|entry| entry.is_file)
            .map(|entry| entry.name);
        let cut = names.find(|other| claim::derived(other, "", SIDECAR) == *name);
        Ok(cut.map(|name| beside(&name)))
    }
}

/// What was answered, or `otherwise` where the name is at fault.
fn no_name<T>(answered: Result<T, FsError>, otherwise: T) -> Result<T, FsError> {
    match answered {
        Err(error) if error.scope() == ErrorScope::Name => Ok(otherwise),
        answered => answered,
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(Reason::BadCommand, message)
}
