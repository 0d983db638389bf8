//! The disk as a test wants it: stopped, failing or forgetful at the n-th operation, or failing for a path until it is
//! mended.
//!
//! After a stop every further operation fails, as if the process had died. [`Faults::forget`] then takes back what
//! was never synced, as a power cut may. What is taken back is the worst that a file system with ordered metadata
//! does: the content of a file lasts once the file or its file system is synced, a name once its folder or its file
//! system is.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a test wants to go wrong, and what has happened so far.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<FaultState>,
}

#[derive(Debug, Default)]
struct FaultState {
    calls: u64,
    fault: Option<Fault>,
    broken: Option<FaultyPaths>,
    /// The paths of all operations, where they are recorded.
    touched: Option<BTreeSet<PathBuf>>,
    failures: u64,
    /// What was tried when it first went wrong.
    failed: Option<&'static str>,
    stopped: bool,
    unsynced: Vec<Undo>,
}

/// What goes wrong, and when. Operations are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends just before this operation.
    StopBefore(u64),
    /// The process ends just after this operation.
    StopAfter(u64),
    /// From this operation on, so many fail with this system error; the process lives on.
    Fail(u64, u64, i32),
}

/// Whether an operation, given in words, fails on a path.
type PathFault = dyn Fn(&str, &Path) -> bool + Send;

/// Paths of which operations fail.
struct FaultyPaths {
    is_broken: Box<PathFault>,
    code: i32,
}

impl fmt::Debug for FaultyPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paths that fail with {}", self.code)
    }
}

/// How a step that was not synced is taken back.
#[derive(Debug)]
pub enum Undo {
    /// A file was moved.
    Renamed {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// A file was made.
    Created(PathBuf),
    /// A folder was made.
    MadeDir(PathBuf),
    /// Something was written at the end of a file.
    Grown {
        /// The file.
        path: PathBuf,
        /// Its length before.
        length: u64,
    },
    /// A file was removed; its content is kept here.
    Removed {
        /// The file.
        path: PathBuf,
        /// What it held.
        content: Vec<u8>,
    },
    /// An empty folder was removed.
    RemovedDir(PathBuf),
    /// The content of this file is durable: takes nothing back.
    FileSynced(PathBuf),
    /// The names in this folder are durable: takes nothing back.
    DirSynced(PathBuf),
    /// Everything is durable: takes nothing back.
    AllSynced,
}

impl Faults {
    /// Nothing goes wrong: counts only.
    pub fn none() -> Self {
        Self::default()
    }

    /// This goes wrong.
    pub fn with(fault: Fault) -> Self {
        let faults = Self::default();
        faults.state().fault = Some(fault);
        faults
    }

    /// From now on, every operation on this path, or below it where it is a folder, fails with this system error, until
    /// [`Faults::mend`].
    pub fn break_below(&self, path: impl Into<PathBuf>, code: i32) {
        let broken = path.into();
        self.break_where(move |_, path| path.starts_with(&broken), code);
    }

    /// The same for every operation, given in words, and path of which this says so; a move is asked about under both of
    /// its names.
    pub fn break_where(&self, is_broken: impl Fn(&str, &Path) -> bool + Send + 'static, code: i32) {
        self.state().broken = Some(FaultyPaths {
            is_broken: Box::new(is_broken),
            code,
        });
    }

    /// No path fails any more.
    pub fn mend(&self) {
        self.state().broken = None;
    }

    /// From now on, the paths of operations are recorded.
    pub fn record_paths(&self) {
        self.state().touched = Some(BTreeSet::new());
    }

    /// The paths that were recorded.
    pub fn touched(&self) -> BTreeSet<PathBuf> {
        self.state().touched.clone().unwrap_or_default()
    }

    /// How many operations there were.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether the process was stopped.
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// What was tried when it went wrong, once it did.
    pub fn failed(&self) -> Option<&'static str> {
        self.state().failed
    }

    /// How many operations failed.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Takes back part of what was not synced, as `seed` says: all names from some moment on, since a file system with
    /// ordered metadata loses none before others, and the content of some files.
    pub fn forget_some(&self, seed: u64) {
        let unsynced = std::mem::take(&mut self.state().unsynced);
        let is_name = |undo: &&Undo| !matches!(undo, Undo::Grown { .. });
        let mut names = unsynced.iter().filter(is_name).count() as u64;
        let mut state = seed;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let kept_names = random(names + 1);
        for undo in unsynced.into_iter().rev() {
            let is_lost = if is_name(&&undo) {
                names -= 1;
                names >= kept_names
            } else {
                random(2) == 0
            };
            if is_lost {
                // As in [`Faults::forget`].
                let _ = undo.take_back();
            }
        }
    }

    /// Takes back, newest first, everything that was not synced.
    pub fn forget(&self) {
        let unsynced = std::mem::take(&mut self.state().unsynced);
        for undo in unsynced.into_iter().rev() {
            // A step may have been overtaken by a later one that lasted: then there is nothing to take back.
            let _ = undo.take_back();
        }
    }

    pub(super) fn around<T>(
        &self,
        action: &'static str,
        path: &Path,
        operation: impl FnOnce() -> io::Result<T>,
        undo: impl FnOnce() -> Option<Undo>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let undo = undo();
        state.touch(action, path)?;
        if let Some(Undo::Renamed { from, .. }) = &undo {
            state.touch(action, from)?;
        }
        state.before(action)?;
        let result = operation()?;
        if let Some(undo) = undo {
            state.remember(undo);
        }
        state.after()?;
        Ok(result)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let content = std::fs::read(path)?;
        self.around(
            "remove",
            path,
            || std::fs::remove_file(path),
            || {
                Some(Undo::Removed {
                    path: path.to_owned(),
                    content,
                })
            },
        )
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultState {
    fn touch(&mut self, action: &'static str, path: &Path) -> io::Result<()> {
        if let Some(touched) = &mut self.touched {
            touched.insert(path.to_owned());
        }
        match &self.broken {
            Some(broken) if !self.stopped && (broken.is_broken)(action, path) => {
                self.failures += 1;
                self.failed.get_or_insert(action);
                Err(io::Error::from_raw_os_error(broken.code))
            }
            _ => Ok(()),
        }
    }

    fn before(&mut self, action: &'static str) -> io::Result<()> {
        if self.stopped {
            return Err(io::Error::other("the process was stopped by the test"));
        }
        self.calls += 1;
        match self.fault {
            Some(Fault::StopBefore(call)) if call == self.calls => {
                self.stopped = true;
                self.failed = Some(action);
                Err(io::Error::other(format!("stopped before: {action}")))
            }
            Some(Fault::Fail(call, count, code)) if (call..call + count).contains(&self.calls) => {
                self.failures += 1;
                self.failed.get_or_insert(action);
                Err(io::Error::from_raw_os_error(code))
            }
            _ => Ok(()),
        }
    }

    fn after(&mut self) -> io::Result<()> {
        if self.fault == Some(Fault::StopAfter(self.calls)) {
            self.stopped = true;
            return Err(io::Error::other("stopped by the test"));
        }
        Ok(())
    }

    fn remember(&mut self, step: Undo) {
        match &step {
            Undo::AllSynced => self.unsynced.clear(),
            Undo::FileSynced(synced) => self
                .unsynced
                .retain(|undo| !matches!(undo, Undo::Grown { path, .. } if path == synced)),
            Undo::DirSynced(synced) => self.unsynced.retain(|undo| match undo {
                Undo::Created(path)
                | Undo::MadeDir(path)
                | Undo::RemovedDir(path)
                | Undo::Removed { path, .. } => path.parent() != Some(synced),
                Undo::Renamed { from, to } => {
                    from.parent() != Some(synced) && to.parent() != Some(synced)
                }
                _ => true,
            }),
            _ => self.unsynced.push(step),
        }
    }
}

impl Undo {
    fn take_back(self) -> io::Result<()> {
        match self {
            Undo::Renamed { from, to } => std::fs::rename(to, from),
            Undo::Created(path) => std::fs::remove_file(path),
            Undo::MadeDir(path) => std::fs::remove_dir(path),
            // One in which something lies was not removed.
            Undo::RemovedDir(path) => std::fs::create_dir_all(path),
            Undo::Grown { path, length } => std::fs::OpenOptions::new()
                .write(true)
                .open(path)?
                .set_len(length),
            Undo::Removed { path, content } => std::fs::write(path, content),
            Undo::FileSynced(_) | Undo::DirSynced(_) | Undo::AllSynced => Ok(()),
        }
    }
}
