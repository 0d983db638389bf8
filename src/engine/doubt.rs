//! Reading claimed files, and those above all of which the system does not say whether a writer still has them open:
//! they are looked at several times before anything of them counts, and once more when it is about to.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::group::Group;
use super::{ClaimedFile, Engine, EngineError, owner_name};
use crate::cda;
use crate::hl7::FileBytes;
use crate::model::outcome::Reason;
use crate::model::owner::Owner;
use crate::spool::doubt::{self, Patience};
use crate::spool::fs::Dir;
use crate::spool::fs::reading::{Reading, Stamp};
use crate::spool::lease::{LeaseObstacle, Writer};
use crate::spool::scope::ErrorScope;

/// A claimed file, as far as it can be had now.
pub(super) enum ClaimRead {
    /// Its bytes, and when it was last modified.
    Whole(Vec<u8>, Option<DateTime<Utc>>),
    /// A writer has it open.
    StillWritten,
    /// A writer may have it open: nothing is known yet.
    InDoubt,
    /// It is larger than allowed; its first bytes, and its size.
    TooLarge(Vec<u8>, u64),
}

impl Engine {
    /// How many files may be taken within [`Engine::longest_doubt`], if they stay as they are.
    pub fn files_in_doubt(&self) -> usize {
        self.doubts.pending()
    }

    /// How far apart looks at files in doubt are, if they are to count.
    pub fn between_doubtful_looks(&self) -> Duration {
        doubt::apart(self.config.intake.settle)
    }

    /// After what time a file of whose writers nothing is known is taken, if its end is whole.
    pub fn longest_doubt(&self) -> Duration {
        // The last look comes late where there is much to do.
        self.between_doubtful_looks() * (doubt::FURTHER_LOOKS + 1)
    }

    /// Reads a claimed file, if nobody writes to it any more.
    pub(super) fn read_claimed(
        &mut self,
        group: &mut Group<'_>,
        work: &Dir,
        claimed: &ClaimedFile,
    ) -> Result<ClaimRead, EngineError> {
        let name = claimed.name_in_work();
        let limit = self.config.intake.max_file;
        let (stamp, why) = match self.fs.read_settled(work, &name, limit)? {
            Reading::Whole(bytes, modified) => return Ok(ClaimRead::Whole(bytes, modified)),
            Reading::StillWritten => return Ok(ClaimRead::StillWritten),
            Reading::TooLarge(first, size) => return Ok(ClaimRead::TooLarge(first, size)),
            Reading::CannotTell(stamp, why) => (stamp, why),
        };
        let patience = self.look_in_doubt(claimed, stamp, why);
        if patience == Patience::Wait {
            return Ok(ClaimRead::InDoubt);
        }
        match self.fs.read_unchanged(work, &name, limit, stamp)? {
            Reading::Whole(bytes, modified) => {
                if patience == Patience::IfWhole && !ends_whole(claimed, &bytes) {
                    self.wait_long(work, claimed);
                    return Ok(ClaimRead::InDoubt);
                }
                group.doubt(claimed, stamp);
                Ok(ClaimRead::Whole(bytes, modified))
            }
            Reading::TooLarge(first, size) => {
                group.doubt(claimed, stamp);
                Ok(ClaimRead::TooLarge(first, size))
            }
            Reading::StillWritten | Reading::CannotTell(..) => Ok(ClaimRead::InDoubt),
        }
    }

    /// Whether a claimed file may be read, without reading it.
    pub(super) fn may_be_read(
        &mut self,
        work: &Dir,
        claimed: &ClaimedFile,
    ) -> Result<bool, EngineError> {
        match self.fs.writer(work, &claimed.name_in_work()) {
            Ok((Writer::Closed, _)) => Ok(true),
            Ok((Writer::OpenForWriting, _)) => Ok(false),
            Ok((Writer::CannotTell(why), stamp)) => {
                Ok(self.look_in_doubt(claimed, stamp, why) != Patience::Wait)
            }
            // Reading it says what is wrong with it.
            Err(error) if error.scope() == ErrorScope::Name => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn look_in_doubt(
        &mut self,
        claimed: &ClaimedFile,
        stamp: Stamp,
        why: LeaseObstacle,
    ) -> Patience {
        if self.silent_on_writers.get(&claimed.owner) != Some(&why) {
            log::warn!(
                "{}: it cannot be told whether a writer still has a file open ({why}). Such files are taken once {} further looks saw the same",
                owner_name(&claimed.owner),
                doubt::FURTHER_LOOKS,
            );
            self.silent_on_writers.insert(claimed.owner.clone(), why);
        }
        let apart = self.between_doubtful_looks();
        self.doubts
            .look(&claimed.claim.key(), stamp, apart, Instant::now())
    }

    /// Its end is missing: it waits for it, however often the program is started meanwhile, but not for ever.
    fn wait_long(&mut self, work: &Dir, claimed: &ClaimedFile) {
        let probe = self.prepared_name();
        let name = claimed.name_in_work();
        let waited = match self.fs.unchanged_for(work, &name, probe.as_ref()) {
            Ok(waited) => waited,
            // Nothing is known of the time before now.
            Err(error) => {
                log::debug!(
                    "the clock of a file system cannot be read: {}",
                    error.source
                );
                Duration::ZERO
            }
        };
        let as_it_is = Instant::now() + doubt::LONG.saturating_sub(waited);
        self.doubts.ends_early(&claimed.claim.key(), as_it_is);
    }

    /// Leaves a claimed file for later.
    pub(super) fn put_off(&mut self, claimed: &ClaimedFile) -> Result<(), EngineError> {
        if !claimed.suspect {
            self.waiting.push_back(claimed.clone());
            return Ok(());
        }
        // It was not read: that was no attempt.
        if let Some(folders) = self.folders_of(&claimed.owner) {
            let (tried, name) = (claimed.name_in_work(), claimed.claim.name());
            let renamed = self.fs.rename(&folders.work, &tried, &folders.work, &name);
            if let Err(error) = renamed {
                self.waiting.push_back(claimed.clone());
                return Err(error.into());
            }
        }
        self.suspects.push_back(ClaimedFile {
            suspect: false,
            ..claimed.clone()
        });
        Ok(())
    }

    /// Looks once more at the files of a group of whose writers nothing is known, before the group counts.
    pub(super) fn see_that_none_grew(&mut self, group: &Group<'_>) -> Result<(), EngineError> {
        for (claimed, stamp) in group.in_doubt() {
            let Some(folders) = self.folders_of(&claimed.owner) else {
                continue;
            };
            let (_, now) = self.fs.writer(&folders.work, &claimed.name_in_work())?;
            if now != *stamp {
                return Err(EngineError::Grown);
            }
        }
        Ok(())
    }

    /// These files were taken.
    pub(super) fn forget_doubts<'c>(&mut self, taken: impl Iterator<Item = &'c ClaimedFile>) {
        for claimed in taken {
            self.doubts.forget(&claimed.claim.key());
        }
    }
}

/// Whether the content shows no sign of having been cut off.
fn ends_whole(claimed: &ClaimedFile, bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    let source = FileBytes::of(bytes);
    match &claimed.owner {
        Owner::Desk => desk_file_ends_whole(&claimed.claim.received, bytes),
        _ if source.looks_like_hl7() => {
            // A segment end, or the end of an MLLP block.
            matches!(source.bytes().last(), Some(b'\r' | b'\n' | 0x1c))
        }
        _ if cda::looks_like_xml(bytes) => {
            let refusal = cda::parse(cda::without_framing(bytes)).err();
            refusal.is_none_or(|refusal| refusal.reason != Reason::Malformed)
        }
        _ => true,
    }
}

fn desk_file_ends_whole(received: &Path, bytes: &[u8]) -> bool {
    let ending = received.extension().unwrap_or_default();
    if ending.eq_ignore_ascii_case("json") {
        return serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    }
    // A PDF ends with this word, and perhaps with a few bytes after it.
    let end = bytes.get(bytes.len().saturating_sub(1024)..);
    let has_end = end.is_some_and(|end| memchr::memmem::find(end, b"%%EOF").is_some());
    has_end || !bytes.starts_with(b"%PDF")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::engine::{Arrival, OpenStore};
    use crate::spool::fs::Fs;

    #[test]
    fn what_grows_after_it_was_read_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(Config::demo(&folder.path().join("spool")));
        let fs = Fs::silent_on_writers();
        let mut engine = Engine::open(config, fs, OpenStore::Memory).unwrap();
        let demo = Owner::Facility("demo".to_owned());
        let folders = engine.folders_of(&demo).unwrap();
        let inbox = folders.inbox.path().to_owned();
        let work = folders.work.clone();
        std::fs::write(inbox.join("x.hl7"), "MSH|").unwrap();
        let arrival = Arrival {
            owner: demo,
            path: "x.hl7".into(),
        };
        let claimed = engine.claim(&arrival).unwrap().unwrap();
        let path = work.path().join(claimed.name_in_work());
        let (writer, stamp) = engine.fs.writer(&work, &claimed.name_in_work()).unwrap();
        assert!(matches!(writer, Writer::CannotTell(_)));

        let store = Arc::clone(&engine.store);
        for grows in [false, true] {
            if grows {
                std::fs::write(&path, "MSH|more").unwrap();
            }
            let mut group = Group::new(&*store);
            group.take_up(&claimed);
            group.doubt(&claimed, stamp);
            group.change("something", vec![("k".to_owned(), None)]);
            let sealed = engine.seal(group).map(|sealed| sealed.is_some());
            match grows {
                false => assert!(sealed.unwrap()),
                true => {
                    assert!(matches!(sealed, Err(EngineError::Grown)));
                    assert_eq!(engine.claims_waiting(), 1);
                }
            }
        }
        assert_eq!(
            engine
                .fs
                .read_unchanged(&work, path.file_name().unwrap(), 99, stamp)
                .map(|it| matches!(it, Reading::StillWritten))
                .ok(),
            Some(true)
        );
    }

    #[test]
    fn how_long_a_file_was_left_alone_is_read_from_its_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let fs = Fs::new();
        let dir = fs.open_root(folder.path()).unwrap();
        fs.write_new(&dir, "x".as_ref(), b"").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let age = fs.unchanged_for(&dir, "x".as_ref(), "p".as_ref()).unwrap();
        assert!(age >= Duration::from_millis(40), "{age:?}");
        assert!(age < Duration::from_secs(60), "{age:?}");
        assert_eq!(fs.list(&dir).unwrap().len(), 1);
    }

    #[test]
    fn a_cut_end_is_seen() {
        let demo = Owner::Facility("demo".to_owned());
        let whole = include_bytes!("../../fixtures/cda/meeting.xml");
        let cut = &whole[..whole.len() - 5];
        for (place, name, bytes, expected) in [
            (&demo, "x", &b""[..], false),
            (&demo, "x", b"MSH|^~\\&|A\r", true),
            (&demo, "x", b"MSH|^~\\&|A\nPID|", false),
            (&demo, "x", b"\x0bMSH|^~\\&|A\r\x1c", true),
            (&demo, "x", whole, true),
            (&demo, "x", cut, false),
            (&demo, "x", b"anything", true),
            (&Owner::Desk, "c.json", b"[]", true),
            (&Owner::Desk, "c.json", b"[", false),
            (&Owner::Desk, "s.csv", b"id,la", true),
            (&Owner::Desk, "r.pdf", b"%PDF-1.7 %%EOF\n", true),
            (&Owner::Desk, "r.pdf", b"%PDF-1.7 %%E", false),
        ] {
            let claim = crate::spool::claim::Claim::new(1, "0", Path::new(name));
            let claimed = ClaimedFile::new(place.clone(), claim);
            assert_eq!(ends_whole(&claimed, bytes), expected, "{name} {bytes:?}");
        }
    }
}
