//! What tells of the journal beside the journal itself, and what that proves (design.md, "The journal's witnesses").
//!
//! A journal that is missing, another's, or shorter than it was looks like a good one: only something else can say so.
//! Markers name its identity, `store/CLEAN` its end at the last clean stop, and the name of a file in `store/` the last
//! group that reached the disk. Whoever starts compares, before anything is changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::reached;
use crate::config::Config;
use crate::journal::{
    Counters, End, Journal, JournalError, JournalPosition, Move, TornGroup, chain,
};
use crate::model::owner::Owner;
use crate::spool::claim;
use crate::spool::destinations::OpenFolders;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::{MARKER, Marker, OwnerFolders, Spool, SpoolMarker};
use crate::spool::retention::parse_day;

/// Names the end of the journal at a clean stop: only then is the database trusted.
pub(crate) const CLEAN: &str = "CLEAN";

/// What an operator is told to do about a journal that is not what it was.
const WHAT_TO_DO: &str = "Nothing was changed. If a mount is missing, mount it; else restore journal/ from the newest copy, \
     with documents/. Only if there is none, or it is older than what is lost: start once with --accept-loss (`rcpspool \
     once`, `run` or `rebuild`). What is lost then stays forgotten, and reports and batches are numbered above all that \
     may have left";

/// Something proves that what the journal held is not there.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// There is none, and there was one.
    #[error("there is no journal in {}, and {witness} says that there was one. {WHAT_TO_DO}", journal.display())]
    Missing {
        /// Its folder.
        journal: PathBuf,
        /// What says so.
        witness: String,
    },
    /// The spool's folder is there, and nothing lies in it.
    #[error(
        "the folder {} is there and empty. If its mount is missing, mount it; if a new spool is to be made there, run \
         `rcpspool setup`",
        .0.display()
    )]
    Empty(PathBuf),
    /// It is another one.
    #[error("the journal in {} is {found}, and {} says that it is {expected}. {WHAT_TO_DO}", journal.display(), witness.display())]
    Another {
        /// Its folder.
        journal: PathBuf,
        /// What it is.
        found: String,
        /// The marker.
        witness: PathBuf,
        /// What that one names.
        expected: String,
    },
    /// It ends too early.
    #[error("the journal in {} ends with group {ends} (segment {segment}, byte {length}), and {witness}. {WHAT_TO_DO}", journal.display())]
    Shorter {
        /// Its folder.
        journal: PathBuf,
        /// Its last group.
        ends: u64,
        /// Its last segment.
        segment: u64,
        /// How long that is.
        length: u64,
        /// What says that there was more, in words.
        witness: String,
    },
    /// Files of it are missing, short or damaged.
    #[error("the journal in {} is damaged: {segment}, byte {offset}: {what}. {WHAT_TO_DO}", journal.display())]
    Damaged {
        /// Its folder.
        journal: PathBuf,
        /// The file.
        segment: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Its last group is damaged, and files were moved for it.
    #[error("the journal in {} is damaged: segment {segment}, byte {offset}: a group that is not whole, and {witness}. {WHAT_TO_DO}", journal.display())]
    Torn {
        /// Its folder.
        journal: PathBuf,
        /// Its last segment.
        segment: u64,
        /// Where the group begins.
        offset: u64,
        /// What says that it was acknowledged, in words.
        witness: String,
    },
}

impl Loss {
    /// What is lost, without what to do about it.
    pub fn what(&self) -> String {
        let mut what = self.to_string();
        if let Some(advice) = what.find(WHAT_TO_DO) {
            what.truncate(advice);
        }
        what.trim_end_matches(['.', ' ']).to_owned()
    }
}

/// What is where the configuration has the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolPresence {
    /// A spool with its journal.
    Spool,
    /// None yet: one may be made.
    Nothing,
}

/// Looks for a spool without changing anything.
///
/// # Errors
/// [`EngineError::Loss`] where there is no journal and something says that there was one, or where the spool's folder
/// is empty: a mount may be missing.
pub fn look(fs: &Fs, config: &Config) -> Result<SpoolPresence, EngineError> {
    let root = open_if_there(fs.open_root(&config.spool))?;
    if has_journal(fs, root.as_ref())? {
        return Ok(SpoolPresence::Spool);
    }
    let witnesses = Witnesses::read(fs, config, root.as_ref())?;
    let first = match witnesses.first(config) {
        Some(witness) => Some(witness),
        None => root.as_ref().and_then(|root| taken_in(fs, config, root)),
    };
    let Some(root) = root else {
        return match first {
            Some(witness) => Err(missing(config, witness).into()),
            None => Ok(SpoolPresence::Nothing),
        };
    };
    match first {
        // Another process may have begun it meanwhile: its witnesses come after it.
        Some(_) if has_journal(fs, Some(&root))? => Ok(SpoolPresence::Spool),
        Some(witness) => Err(missing(config, witness).into()),
        None if fs.list(&root)?.is_empty() => Err(Loss::Empty(config.spool.clone()).into()),
        None => Ok(SpoolPresence::Nothing),
    }
}

/// Whether there is one, whatever state it is in.
fn has_journal(fs: &Fs, root: Option<&Dir>) -> Result<bool, EngineError> {
    let Some(root) = root else {
        return Ok(false);
    };
    let Some(journal) = open_if_there(fs.open_dir(root, Path::new("journal")))? else {
        return Ok(false);
    };
    match End::of(fs, &journal) {
        Err(JournalError::Damaged { .. }) => Ok(true),
        end => Ok(end?.is_some()),
    }
}

fn missing(config: &Config, witness: String) -> Loss {
    Loss::Missing {
        journal: config.spool.join("journal"),
        witness,
    }
}

/// A day's folder below `done/`: it is made when the journal names what comes into it.
fn taken_in(fs: &Fs, config: &Config, root: &Dir) -> Option<String> {
    let facilities = config.facilities.iter();
    let roots = facilities.filter_map(|facility| fs.open_root(&facility.dir).ok());
    let desk = fs.open_dir(root, Path::new("desk")).ok();
    desk.into_iter().chain(roots).find_map(|root| {
        let done = fs.open_dir(&root, Path::new("done")).ok()?;
        let mut entries = fs.list(&done).ok()?.into_iter();
        let day = entries.find(|it| it.is_dir && it.name.to_str().and_then(parse_day).is_some())?;
        Some(done.path().join(day.name).display().to_string())
    })
}

/// What the last clean stop wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CleanStop {
    /// The end of the journal, which the database holds everything up to.
    #[serde(flatten)]
    pub position: JournalPosition,
    /// The moves that could not be done, each with its group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<(u64, Move)>,
    /// When each of these groups was committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<(u64, DateTime<Utc>)>,
}

/// What is said of the journal.
#[derive(Debug, Default)]
pub struct Witnesses {
    /// The markers of the spool and of its store, with the identity that each names.
    own: Vec<(PathBuf, String)>,
    /// The same of the facilities.
    facilities: Vec<(PathBuf, String)>,
    /// What the last clean stop wrote; `None` within where it cannot be understood.
    pub clean: Option<Option<CleanStop>>,
    /// The numbers as of the last group that reached the disk, as the store says.
    reached: Option<Counters>,
    /// The same as the folders of facilities and of the desk say: where, of which journal, and which numbers.
    left: Vec<(PathBuf, String, Counters)>,
}

impl Witnesses {
    /// Reads them. What a facility's folder says is left out where it cannot be read: that facility is unreachable.
    pub fn read(fs: &Fs, config: &Config, root: Option<&Dir>) -> Result<Self, FsError> {
        let mut witnesses = Self::default();
        let store = match root {
            Some(root) => open_if_there(fs.open_dir(root, Path::new("store")))?,
            None => None,
        };
        for dir in root.into_iter().chain(&store) {
            if let Some(marker) = SpoolMarker::read(fs, dir)? {
                let path = dir.path().join(MARKER);
                witnesses.own.push((path, marker.journal));
            }
        }
        for facility in &config.facilities {
            let Ok(root) = fs.open_root(&facility.dir) else {
                continue;
            };
            witnesses.read_left(fs, &root);
            let marker = OwnerFolders::read_marker(fs, &root);
            if let Ok(Some(Marker {
                journal: Some(journal),
                ..
            })) = marker
            {
                let path = facility.dir.join(MARKER);
                witnesses.facilities.push((path, journal));
            }
        }
        if let Some(desk) = root.and_then(|root| fs.open_dir(root, Path::new("desk")).ok()) {
            witnesses.read_left(fs, &desk);
        }
        if let Some(store) = &store {
            witnesses.clean = match fs.read(store, OsStr::new(CLEAN)) {
                Ok(bytes) => Some(serde_json::from_slice(&bytes).ok()),
                Err(error) if error.is_absent() => None,
                Err(error) => return Err(error),
            };
            let names = reached::witness_names(fs, store)?;
            witnesses.reached = names.into_iter().map(|told| told.counters).next_back();
        }
        Ok(witnesses)
    }

    fn read_left(&mut self, fs: &Fs, root: &Dir) {
        let work = fs.open_dir(root, Path::new("work"));
        let names = work.and_then(|work| Ok((reached::witness_names(fs, &work)?, work)));
        if let Ok((told, work)) = names {
            let told = told.into_iter().filter_map(|it| {
                let path = work.path().to_owned();
                Some((path, it.journal?, it.counters))
            });
            self.left.extend(told);
        }
    }

    /// Says what to do where a journal that holds something lies in a spool in which nothing tells how far it came: it
    /// is a copy.
    pub fn say_if_copied(&self, end: Option<&End>) {
        let tells_nothing = self.own.is_empty() && self.clean.is_none() && self.reached.is_none();
        let holds_something =
            end.is_some_and(|end| end.identity.is_some() && end.counters.group > 0);
        if tells_nothing && holds_something {
            log::warn!(
                "the journal is a copy that was put here: nothing tells whether more had been written after it. Unless \
                 it was copied after the last change, stop the daemon and run `rcpspool once --accept-loss` now: reports \
                 that left since then would leave again under the same numbers with other content"
            );
        }
    }

    /// Numbers that none is above of those that any of them tells.
    pub fn highest(&self) -> Counters {
        let left = self.left.iter().map(|(_, _, counters)| *counters);
        let all = self.reached.into_iter().chain(left);
        all.fold(Counters::default(), Counters::at_least)
    }

    /// Whether the marker in this folder of the spool names this journal.
    fn name(&self, dir: &Dir, identity: &str) -> bool {
        let path = dir.path().join(MARKER);
        let mut own = self.own.iter();
        own.any(|(at, journal)| *at == path && *journal == identity)
    }

    /// The first that says that there was a journal.
    fn first(&self, config: &Config) -> Option<String> {
        let store = config.spool.join("store");
        let mut markers = self.own.iter().chain(&self.facilities);
        let marker = markers
            .next()
            .map(|(path, journal)| format!("{} (journal {journal})", path.display()));
        marker
            .or_else(|| {
                let clean = self.clean.as_ref()?;
                clean
                    .is_some()
                    .then(|| store.join(CLEAN).display().to_string())
            })
            .or_else(|| {
                self.reached
                    .map(|it| format!("{} (group {})", store.display(), it.group))
            })
    }

    /// Where the journal ends, and what they or its files prove about it.
    pub fn judge(
        &self,
        fs: &Fs,
        config: &Config,
        spool: &Spool,
    ) -> Result<(Option<End>, Option<Loss>), EngineError> {
        let end = match End::of(fs, &spool.journal) {
            Err(error) => return Ok((None, Some(damage(&spool.journal, error)?))),
            Ok(end) => end,
        };
        let mut loss = self.judge_end(fs, config, spool, end.as_ref())?;
        if loss.is_none()
            && let Err(error) = chain::check(fs, &spool.journal)
        {
            loss = Some(damage(&spool.journal, error)?);
        }
        Ok((end, loss))
    }

    fn judge_end(
        &self,
        fs: &Fs,
        config: &Config,
        spool: &Spool,
        end: Option<&End>,
    ) -> Result<Option<Loss>, EngineError> {
        let Some(end) = end else {
            return Ok(self.first(config).map(|witness| missing(config, witness)));
        };
        let journal = spool.journal.path().to_owned();
        let found = end.identity.as_deref();
        if let Some((witness, expected)) = self.own.iter().find(|it| found != Some(&*it.1)) {
            return Ok(Some(Loss::Another {
                journal,
                found: found
                    .unwrap_or("one from before it had an identity")
                    .to_owned(),
                witness: witness.clone(),
                expected: expected.clone(),
            }));
        }
        let JournalPosition {
            segment, length, ..
        } = end.position;
        let shorter = |witness: String| Loss::Shorter {
            journal: journal.clone(),
            ends: end.counters.group,
            segment,
            length,
            witness,
        };
        if let Some(Some(clean)) = &self.clean
            && !end.has(fs, &spool.journal, &clean.position)?
        {
            return Ok(Some(shorter(format!(
                "{} names segment {}, byte {}, with another hash or beyond that end",
                spool.store.path().join(CLEAN).display(),
                clean.position.segment,
                clean.position.length
            ))));
        }
        if let Some(reached) = self.reached.filter(|it| it.group > end.counters.group) {
            return Ok(Some(shorter(format!(
                "{} says that group {} had reached the disk",
                spool.store.path().display(),
                reached.group
            ))));
        }
        // What names another journal tells nothing of this one.
        let left = self.left.iter().find(|(_, journal, reached)| {
            found == Some(journal) && reached.group > end.counters.group
        });
        if let Some((work, _, reached)) = left {
            return Ok(Some(shorter(format!(
                "{} says that group {} had reached the disk",
                work.display(),
                reached.group
            ))));
        }
        let Some(torn) = &end.torn else {
            return Ok(None);
        };
        let acknowledged = acknowledged(fs, config, spool, torn)?;
        Ok(acknowledged.map(|witness| Loss::Torn {
            journal,
            segment,
            offset: torn.offset,
            witness,
        }))
    }
}

/// What is lost where the journal is damaged; every other error is one still.
fn damage(journal: &Dir, error: JournalError) -> Result<Loss, EngineError> {
    match error {
        JournalError::Damaged {
            segment,
            offset,
            what,
        } => Ok(Loss::Damaged {
            journal: journal.path().to_owned(),
            segment,
            offset,
            what,
        }),
        other => Err(other.into()),
    }
}

/// Makes the folders of a spool, with a journal where there is none yet; gives the journal's identity. A journal from
/// before there were any has none until the first start.
pub fn set_up(fs: &Fs, config: &Config) -> Result<(Spool, Option<String>), EngineError> {
    match look(fs, config) {
        Err(EngineError::Loss(Loss::Empty(_))) => {}
        found => drop(found?),
    }
    let spool = Spool::open(fs, &config.spool)?;
    let witnesses = Witnesses::read(fs, config, Some(&spool.root))?;
    let (end, loss) = witnesses.judge(fs, config, &spool)?;
    if let Some(loss) = loss {
        return Err(loss.into());
    }
    witnesses.say_if_copied(end.as_ref());
    let identity = match end {
        Some(end) => end.identity,
        None => {
            let journal = Journal::open(fs, &spool.journal, true, &mut |_| Ok(()))?;
            Some(journal.identity().to_owned())
        }
    };
    if let Some(identity) = &identity {
        mark(fs, &spool, identity, &witnesses)?;
    }
    Ok((spool, identity))
}

/// Has the spool and its store name the journal, so that a later start knows which one is theirs.
pub(super) fn mark(
    fs: &Fs,
    spool: &Spool,
    identity: &str,
    witnesses: &Witnesses,
) -> Result<(), EngineError> {
    let mut unmarked = vec![&spool.root, &spool.store];
    unmarked.retain(|dir| !witnesses.name(dir, identity));
    if !unmarked.is_empty() {
        // Whoever reads a marker finds the journal that it names.
        fs.sync_file_system(&spool.root)
            .map_err(EngineError::Sync)?;
    }
    let marker = SpoolMarker {
        journal: identity.to_owned(),
    };
    for dir in unmarked {
        match marker.write(fs, dir) {
            Err(error) if error.is_denied() => log::warn!(
                "{} cannot be marked with the identity of its journal: run `rcpspool setup` as root once",
                dir.path().display()
            ),
            written => written?,
        }
    }
    Ok(())
}

/// What says that files were moved for a group: the source of a move lies on the disk before the journal names it, and
/// leaves its place only by that move.
fn acknowledged(
    fs: &Fs,
    config: &Config,
    spool: &Spool,
    torn: &TornGroup,
) -> Result<Option<String>, EngineError> {
    let folders = OpenFolders::default();
    let mut roots: BTreeMap<&Owner, Option<Dir>> = BTreeMap::new();
    for ordered in &torn.moves {
        let root = roots
            .entry(&ordered.place)
            .or_insert_with(|| match &ordered.place {
                Owner::Documents => Some(spool.documents.clone()),
                Owner::Desk => Some(spool.desk.root.clone()),
                Owner::Facility(id) => fs.open_root(&folder_of(config, id)).ok(),
            });
        let Some(root) = root else {
            return Ok(Some(format!(
                "the folder of {}, which would tell whether its files were moved for it, cannot be opened",
                super::owner_name(&ordered.place)
            )));
        };
        if !folders.exists(fs, root, &claim::from_text(&ordered.from))? {
            return Ok(Some(format!(
                "files in {} were moved for it",
                root.path().display()
            )));
        }
    }
    Ok(None)
}

/// The folder of a facility, also of one that is not in the configuration any more.
pub(super) fn folder_of(config: &Config, id: &str) -> PathBuf {
    let mut facilities = config.facilities.iter();
    facilities
        .find(|facility| facility.id.as_str() == id)
        .map_or_else(
            || config.spool.join("facilities").join(id),
            |facility| facility.dir.clone(),
        )
}

fn open_if_there(opened: Result<Dir, FsError>) -> Result<Option<Dir>, FsError> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
