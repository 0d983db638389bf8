//! The PDFs that the command line puts into the desk's `work/`, to be found there by the command that names them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ClaimedFile, Engine, EngineError};
use crate::model::owner::Owner;
use crate::spool::claim::{Claim, HANDED_OVER};

/// The command is dropped right after its PDF: one that did not follow in this time does not come.
pub(super) const BEFORE_ITS_COMMAND: Duration = Duration::from_secs(60);

impl Engine {
    /// Removes the PDFs whose command was killed before it was dropped; it has the same name with another ending.
    pub(super) fn remove_handed_over(&mut self, after: Duration) -> Result<(), EngineError> {
        let (work, inbox) = (self.spool.desk.work.clone(), self.spool.desk.inbox.clone());
        let mut handed = Vec::new();
        let mut claimed: BTreeSet<PathBuf> = BTreeSet::new();
        for entry in self.fs.list(&work)? {
            let Some(claim) = Claim::parse(&entry.name).filter(|_| entry.is_file) else {
                continue;
            };
            let is_pdf = claim.received.extension() == Some(OsStr::new("pdf"));
            if claim.order == HANDED_OVER && is_pdf {
                handed.push(claim);
            } else {
                claimed.insert(claim.received);
            }
        }
        for claim in handed {
            let command = claim.received.with_extension("json");
            let is_ordered = self.is_to_be_moved(&ClaimedFile::new(Owner::Desk, claim.clone()));
            if is_ordered
                || claimed.contains(&command)
                || self.fs.exists(&inbox, command.as_os_str())?
            {
                continue;
            }
            let probe = self.prepared_name();
            let name = claim.name();
            if self.fs.unchanged_for(&work, &name, probe.as_ref())? > after {
                self.fs.remove(&work, &name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::engine::OpenStore;
    use crate::random::random_name;
    use crate::spool::fs::Fs;

    #[test]
    fn a_pdf_stays_only_as_long_as_its_command_may_come() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(Config::demo(&folder.path().join("spool")));
        let mut engine = Engine::open(config, Fs::new(), OpenStore::Memory).unwrap();
        let desk = &engine.spool.desk;
        let (work, inbox) = (desk.work.path().to_owned(), desk.inbox.path().to_owned());
        let hand = |name: &str| {
            let claim = Claim::new(HANDED_OVER, &random_name(), Path::new(name));
            let path = work.join(claim.name());
            std::fs::write(&path, "%PDF").unwrap();
            path
        };
        let (alone, wanted) = (hand("complete-a.pdf"), hand("complete-b.pdf"));
        std::fs::write(inbox.join("complete-b.json"), "{}").unwrap();
        engine.remove_handed_over(BEFORE_ITS_COMMAND).unwrap();
        assert!(alone.exists(), "its command may be on its way");
        engine.remove_handed_over(Duration::ZERO).unwrap();
        assert!(!alone.exists() && wanted.exists());
    }
}
