//! Output that is written under a name nobody looks for, and the moves that put it in place once its group counts.

use std::ffi::OsString;
use std::path::Path;

use super::group::Group;
use super::{Engine, EngineError, owner_name};
use crate::intake::Content;
use crate::journal::Move;
use crate::model::owner::Owner;
use crate::spool::claim;
use crate::spool::fs::Dir;
use crate::spool::layout::document_path;

impl Engine {
    /// A name in `work/` or among the documents for output that is being prepared.
    pub(super) fn prepared_name(&mut self) -> String {
        self.prepared += 1;
        format!("{}{}-{}", claim::PREPARED, self.run, self.prepared)
    }

    /// Writes output under a name nobody looks for, to be moved once the group counts.
    pub(super) fn prepare(
        &mut self,
        group: &mut Group<'_>,
        owner: &Owner,
        bytes: &[u8],
    ) -> Result<String, EngineError> {
        let (dir, name, path) = self.prepared_file(group, owner)?;
        self.fs.write_new(&dir, &name, bytes)?;
        Ok(path)
    }

    /// A folder and a name for output, and its path as moves write it.
    pub(super) fn prepared_file(
        &mut self,
        group: &mut Group<'_>,
        owner: &Owner,
    ) -> Result<(Dir, OsString, String), EngineError> {
        let name = self.prepared_name();
        let (dir, path) = match owner {
            Owner::Documents => (self.spool.documents.clone(), name.clone()),
            place => match self.folders_of(place) {
                Some(folders) => (folders.work.clone(), format!("work/{name}")),
                None => return Err(EngineError::Unreachable(owner_name(place).to_owned())),
            },
        };
        group.prepared.push((dir.clone(), name.clone().into()));
        group.dates.insert(self.now().date_naive());
        Ok((dir, name.into(), path))
    }

    /// Takes back the output that was prepared last, since it could not be finished.
    pub(super) fn take_back_prepared(&self, group: &mut Group<'_>) {
        if let Some((dir, name)) = group.prepared.pop() {
            // What stays is removed at the next start.
            let _ = self.fs.remove(&dir, &name);
        }
    }

    /// Prepares what is to be kept under `documents/`, and the move that puts it there.
    pub(super) fn prepare_content(
        &mut self,
        group: &mut Group<'_>,
        content: &Content<'_>,
    ) -> Result<Move, EngineError> {
        let from = match group.take_written(&content.hash) {
            Some(written) => {
                group.dates.insert(self.now().date_naive());
                claim::to_text(Path::new(&written))
            }
            None => self.prepare(group, &Owner::Documents, &content.bytes)?,
        };
        Ok(Move {
            place: Owner::Documents,
            from,
            to: document_path(&content.hash),
        })
    }
}

/// The moves that end a file, collected.
pub(super) struct Ending {
    pub(super) owner: Owner,
    pub(super) moves: Vec<Move>,
}

impl Ending {
    pub fn add(&mut self, from: String, to: &Path) {
        self.moves.push(Move {
            place: self.owner.clone(),
            from,
            to: claim::to_text(to),
        });
    }
}
