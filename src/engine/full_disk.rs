//! A full disk: intake stops while less than `intake.min_free` is left, and goes on by itself once there is room.
//!
//! Nothing more is claimed meanwhile. What is in hand waits, and is tried again with the next call of
//! [`Engine::take_in`]. Of a disk on which only facilities lie, these alone wait.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Engine, EngineError, HoldScope};
use crate::model::owner::Owner;
use crate::spool::fs::Dir;

/// With fewer inodes left, nothing more is taken in.
const FEW_INODES: u64 = 10_000;

/// What is free where a folder lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeSpace {
    /// The folder: of several on one file system, the first.
    pub folder: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// Inodes, where the file system counts them.
    pub inodes: Option<u64>,
}

impl Engine {
    /// Why nothing is taken in: a file system that everybody needs with less room than `intake.min_free`, if there is
    /// one. Where only facilities lie on it, they alone wait.
    pub fn lack_of_space(&self) -> Result<Option<String>, EngineError> {
        for space in self.own_spaces() {
            if let Some(lack) = self.lack_in(&space?) {
                return Ok(Some(format!("{lack}: intake waits until there is room")));
            }
        }
        Ok(None)
    }

    /// Holds the facilities on whose own file system there is too little room, or which do not say how much there is.
    pub(super) fn hold_where_space_is_short(&mut self) {
        for (place, space) in self.spaces_of_facilities() {
            let problem = match space {
                Ok(space) => self.lack_in(&space),
                Err(error) => Some(self.cause(&error)),
            };
            if let Some(problem) = problem {
                self.failing.insert(place.clone());
                self.holds.hold(&place, HoldScope::Files, problem);
            }
        }
    }

    fn lack_in(&self, space: &FreeSpace) -> Option<String> {
        let needed = self.config.intake.min_free;
        let is_short =
            space.bytes < needed || space.inodes.is_some_and(|inodes| inodes < FEW_INODES);
        is_short.then(|| {
            format!(
                "{} has less than intake.min_free left ({} of {needed} bytes free)",
                space.folder.display(),
                space.bytes,
            )
        })
    }

    /// What is free on each file system in use; one that does not say so is left out.
    pub fn free_space(&self) -> Vec<FreeSpace> {
        let mut seen = BTreeSet::new();
        let own = self.own_spaces();
        let of_facilities = self.spaces_of_facilities().into_iter();
        own.into_iter()
            .chain(of_facilities.map(|(_, space)| space))
            .filter_map(Result::ok)
            .filter(|space| seen.insert(space.folder.clone()))
            .collect()
    }

    /// What is free on each file system that everybody needs.
    fn own_spaces(&self) -> Vec<Result<FreeSpace, EngineError>> {
        let own = [
            &self.spool.root,
            &self.spool.documents,
            &self.spool.journal,
            &self.spool.store,
            &self.spool.desk.root,
        ];
        let mut seen = BTreeSet::new();
        own.into_iter()
            .filter_map(|dir| match self.fs.device(dir) {
                Ok(device) => seen.insert(device).then(|| self.space(dir)),
                Err(error) => Some(Err(error.into())),
            })
            .collect()
    }

    /// What is free for each facility that lies on a file system of its own, or on one with other facilities.
    fn spaces_of_facilities(&self) -> Vec<(Owner, Result<FreeSpace, EngineError>)> {
        let mut measured: BTreeMap<u64, FreeSpace> = BTreeMap::new();
        let mut spaces = Vec::new();
        for folders in self.facility_folders.values() {
            let space = match self.fs.device(&folders.root) {
                Ok(device) if self.own_devices.contains_key(&device) => continue,
                Ok(device) => match measured.get(&device) {
                    Some(space) => Ok(space.clone()),
                    None => self.space(&folders.root).inspect(|space| {
                        measured.insert(device, space.clone());
                    }),
                },
                Err(error) => Err(error.into()),
            };
            spaces.push((folders.owner.clone(), space));
        }
        spaces
    }

    fn space(&self, dir: &Dir) -> Result<FreeSpace, EngineError> {
        let free = self.fs.free(dir)?;
        Ok(FreeSpace {
            folder: dir.path().to_owned(),
            bytes: free.bytes,
            inodes: free.inodes,
        })
    }
}
