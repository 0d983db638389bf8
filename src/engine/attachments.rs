//! The PDFs that commands of the desk name: the file that a `complete` comes with is a attachment of its command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::group::Group;
use super::progress::FileProgress;
use super::{Arrival, ClaimedFile, Engine, EngineError};
use crate::intake::desk::{self, Commands};
use crate::model::owner::Owner;
use crate::spool::claim::Claim;
use crate::spool::fs::look::FileKind;

/// The file that a command names.
pub(super) enum Attachment {
    /// It is ours.
    Ours(ClaimedFile),
    /// There is none that could be taken, since it is so.
    None(&'static str),
    /// It is there, and the system refuses it.
    Unreadable(String),
}

/// The attachments of one list of commands.
#[derive(Default)]
pub(super) struct Attachments {
    /// Those that a command has taken, and whether it was refused.
    taken: Vec<(ClaimedFile, bool)>,
    /// The paths under which these were received.
    taken_paths: BTreeSet<PathBuf>,
    /// What is ours, by the path under which it was received: listed once for all commands of the list, since nobody
    /// else adds to it what they could name.
    ours: Option<BTreeMap<PathBuf, Vec<Claim>>>,
}

impl Attachments {
    /// A command has taken this one.
    pub fn take(&mut self, attachment: ClaimedFile, refused: bool) {
        let received = &attachment.claim.received;
        if let Some(ours) = self.ours.as_mut().and_then(|ours| ours.get_mut(received)) {
            ours.retain(|claim| claim.key() != attachment.claim.key());
        }
        self.taken_paths.insert(received.clone());
        self.taken.push((attachment, refused));
    }

    /// Those that were taken, and whether their commands were refused.
    pub fn into_taken(self) -> Vec<(ClaimedFile, bool)> {
        self.taken
    }
}

impl Engine {
    /// The file of this path in the desk's inbox, made ours; it may be ours since an earlier attempt. One that a command
    /// before this one named is that one's.
    pub(super) fn claim_attachment(
        &mut self,
        group: &Group<'_>,
        attachments: &mut Attachments,
        received: &Path,
    ) -> Result<Attachment, EngineError> {
        if let Some(claimed) = self.claimed_companion(group, attachments, received)? {
            return Ok(Attachment::Ours(claimed));
        }
        let folder = Path::new("inbox").join(received.parent().unwrap_or(Path::new("")));
        let name = received.file_name().unwrap_or_default();
        let root = self.spool.desk.root.clone();
        let kind = match self.folders.find(&self.fs, &root, &folder) {
            Ok(Some(dir)) => self.fs.kind(&dir, name),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match kind {
            Ok(Some(FileKind::File)) => {}
            Ok(Some(FileKind::Folder)) => return Ok(Attachment::None("which is a folder")),
            Ok(Some(FileKind::Link)) => return Ok(Attachment::None("which is a link")),
            Ok(Some(FileKind::Other)) => return Ok(Attachment::None("which is no file")),
            Ok(None) => {
                return Ok(Attachment::None(
                    match attachments.taken_paths.contains(received) {
                        true => "which a command before it in this list has taken",
                        false => "which is not in the desk's inbox",
                    },
                ));
            }
            Err(error) if error.is_unreadable() => {
                return Ok(Attachment::Unreadable(error.source.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        let claim = Claim::new(self.order + 1, &self.run, received);
        let arrival = Arrival {
            owner: Owner::Desk,
            path: received.to_owned(),
        };
        match self.move_into_work(&arrival, &claim) {
            Ok(true) => {
                self.order += 1;
                Ok(Attachment::Ours(ClaimedFile::new(Owner::Desk, claim)))
            }
            Ok(false) => Ok(Attachment::None("which is not in the desk's inbox")),
            Err(EngineError::Disk(error)) if error.is_absent() => {
                Ok(Attachment::None("which is not in the desk's inbox"))
            }
            Err(EngineError::Disk(error)) if error.is_unreadable() => {
                Ok(Attachment::Unreadable(error.source.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// What was received under this path at the desk and is ours, but for what another command has taken.
    fn claimed_companion(
        &self,
        group: &Group<'_>,
        attachments: &mut Attachments,
        received: &Path,
    ) -> Result<Option<ClaimedFile>, EngineError> {
        if attachments.ours.is_none() {
            let mut ours: BTreeMap<PathBuf, Vec<Claim>> = BTreeMap::new();
            for entry in self.fs.list(&self.spool.desk.work)? {
                if let Some(claim) = Claim::parse(&entry.name) {
                    ours.entry(claim.received.clone()).or_default().push(claim);
                }
            }
            attachments.ours = Some(ours);
        }
        let ours = attachments
            .ours
            .as_ref()
            .and_then(|ours| ours.get(received));
        let claimed = ours
            .into_iter()
            .flatten()
            .map(|claim| ClaimedFile::new(Owner::Desk, claim.clone()));
        let is_taken = |claimed: &ClaimedFile| {
            group.moves_away(&claimed.owner, &claimed.path_in_work())
                || self.is_to_be_moved(claimed)
        };
        let mut free = claimed.filter(|claimed| !is_taken(claimed));
        Ok(free.next())
    }

    /// The files that commands claimed which were decided in an earlier group: the end of their list takes them with it.
    pub(super) fn companions_of_decided(
        &self,
        group: &Group<'_>,
        claimed: &ClaimedFile,
        commands: &Commands<'_>,
        parts: &FileProgress,
    ) -> Result<Attachments, EngineError> {
        let folder = claimed.claim.received.parent().unwrap_or(Path::new(""));
        let mut attachments = Attachments::default();
        for (index, parsed) in commands.iter().enumerate().take(parts.count()) {
            let named = parsed.command.as_ref().ok().and_then(desk::pdf_named);
            if let Some(name) = named
                && let Some(ours) =
                    self.claimed_companion(group, &mut attachments, &folder.join(name))?
            {
                let refused = parts.refused().binary_search(&index).is_ok();
                attachments.take(ours, refused);
            }
        }
        Ok(attachments)
    }
}
