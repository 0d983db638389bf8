//! Every disk operation of the product, and nothing else.
//!
//! All others go through here for three reasons: names are resolved beneath an open folder and never through a
//! symbolic link, so that a facility cannot lead us elsewhere; renames never overwrite; and tests can stop, fail or
//! forget at the n-th operation (see [`Faults`]). The database has its own files and is rebuilt from the journal
//! after anything but a clean stop, so it needs no place here.

pub mod folders;
pub mod look;
pub mod reading;
pub mod rights;
pub mod writing;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::faults::{Faults, Undo};
use crate::clock::Clock;

/// A disk operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FsError {
    /// What was tried, in words.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// What kind of error the system reported.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the thing named was not there.
    pub fn is_absent(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether we may not do that there.
    pub fn is_denied(&self) -> bool {
        matches!(
            Errno::from_io_error(&self.source),
            Some(Errno::ACCESS | Errno::PERM)
        )
    }
}

impl FsError {
    /// What it says without the path, in which a received name may stand: for logs, and after the folder's name.
    pub fn without_path(&self) -> String {
        let mut prepositions = [" at", " for", " of", " over", " to"].iter();
        let it = match prepositions.any(|word| self.action.ends_with(word)) {
            true => " it",
            false => "",
        };
        format!("cannot {}{it}: {}", self.action, self.source)
    }
}

/// The result of a disk operation.
pub type Result<T> = std::result::Result<T, FsError>;

/// An open folder; names given with it are resolved beneath it.
#[derive(Debug, Clone)]
pub struct Dir {
    fd: Arc<OwnedFd>,
    path: Arc<PathBuf>,
    /// The number of its file system, once it was asked for: it cannot change while the folder is open.
    device: Arc<OnceLock<u64>>,
}

impl Dir {
    fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self {
            fd: Arc::new(fd),
            path: Arc::new(path),
            device: Arc::default(),
        }
    }

    /// Where the folder is, for messages to people and for walking it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells open folders apart, cheaply.
    pub fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }
}

/// The disk, and the clock that dates what is written to it; a clone reaches the same ones.
#[derive(Debug, Clone, Default)]
pub struct Fs {
    faults: Option<Arc<Faults>>,
    clock: Clock,
    /// For tests: nothing is said about writers, as on a share.
    is_silent_on_writers: bool,
}

impl Fs {
    /// The disk as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk as a test wants it: every operation asks `faults` first.
    pub fn with_faults(faults: Arc<Faults>) -> Self {
        Self {
            faults: Some(faults),
            ..Self::default()
        }
    }

    /// The disk as a share is: it never says whether a writer has a file open.
    pub fn silent_on_writers() -> Self {
        Self {
            is_silent_on_writers: true,
            ..Self::default()
        }
    }

    /// The same disk with a clock that a test sets.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn call<T>(
        &self,
        action: &'static str,
        path: impl FnOnce() -> PathBuf,
        operation: impl FnOnce() -> io::Result<T>,
        undo: impl FnOnce(PathBuf) -> Option<Undo>,
    ) -> Result<T> {
        let Some(faults) = &self.faults else {
            return operation().map_err(|source| FsError {
                action,
                path: path(),
                source,
            });
        };
        let path = path();
        faults
            .around(action, &path, operation, || undo(path.clone()))
            .map_err(|source| FsError {
                action,
                path,
                source,
            })
    }

    /// Moves a file; what lies under the new name already is never overwritten.
    ///
    /// # Errors
    /// `AlreadyExists` where the new name is taken, `NotFound` where the old one is gone.
    pub fn rename(&self, from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> Result<()> {
        self.call(
            "move a file to",
            || to.join(new_name),
            || rename_without_overwriting(from, name, to, new_name),
            |path| {
                Some(Undo::Renamed {
                    from: from.join(name),
                    to: path,
                })
            },
        )
    }

    /// Removes a file of ours, or a link itself; of what was received, retention alone removes anything.
    pub fn remove(&self, dir: &Dir, name: &OsStr) -> Result<()> {
        let path = dir.join(name);
        if let Some(faults) = &self.faults {
            return faults.remove(&path).map_err(|source| FsError {
                action: "remove",
                path: path.clone(),
                source,
            });
        }
        self.call(
            "remove",
            || path,
            || Ok(rustix::fs::unlinkat(&*dir.fd, name, AtFlags::empty())?),
            |_| None,
        )
    }

    /// Removes an empty folder of ours; one in which something lies stays.
    pub fn remove_dir(&self, dir: &Dir, name: &OsStr) -> Result<()> {
        self.call(
            "remove the folder",
            || dir.join(name),
            || match rustix::fs::unlinkat(&*dir.fd, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            },
            |path| Some(Undo::RemovedDir(path)),
        )
    }

    /// Makes durable everything written so far on the file system that holds this folder.
    pub fn sync_file_system(&self, dir: &Dir) -> Result<()> {
        self.call(
            "sync the file system of",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::syncfs(&*dir.fd)?),
            |_| Some(Undo::AllSynced),
        )
    }

    /// Makes durable the names in this folder.
    pub fn sync_dir(&self, dir: &Dir) -> Result<()> {
        self.call(
            "sync the folder",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::fsync(&*dir.fd)?),
            |path| Some(Undo::DirSynced(path)),
        )
    }

    /// Takes a lock that lasts as long as the file stays open, and writes into it who holds it; nothing if another
    /// process does.
    pub fn lock(&self, dir: &Dir, name: &OsStr, holder: &[u8]) -> Result<Option<File>> {
        self.call(
            "lock",
            || dir.join(name),
            || {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(0o640);
                let mut file = File::from(rustix::fs::openat(&*dir.fd, name, flags, mode)?);
                match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
                {
                    Ok(()) => {
                        file.set_len(0)?;
                        file.write_all(holder)?;
                        Ok(Some(file))
                    }
                    Err(Errno::WOULDBLOCK) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            },
            |_| None,
        )
    }
}

fn rename_without_overwriting(
    from: &Dir,
    name: &OsStr,
    to: &Dir,
    new_name: &OsStr,
) -> io::Result<()> {
    match rustix::fs::renameat_with(&*from.fd, name, &*to.fd, new_name, RenameFlags::NOREPLACE) {
        // Some shares refuse the flag: a hard link refuses a taken name just as well.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(&*from.fd, name, &*to.fd, new_name, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(&*from.fd, name, AtFlags::empty())?)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::FileType;

    use super::reading::Reading;
    use super::*;

    fn folder() -> (tempfile::TempDir, Fs, Dir) {
        let temporary = tempfile::tempdir().unwrap();
        let fs = Fs::new();
        let dir = fs.open_root(temporary.path()).unwrap();
        (temporary, fs, dir)
    }

    #[test]
    fn a_rename_never_overwrites() {
        let (temporary, fs, dir) = folder();
        fs.write_new(&dir, OsStr::new("a"), b"first").unwrap();
        fs.write_new(&dir, OsStr::new("b"), b"second").unwrap();
        let error = fs
            .rename(&dir, OsStr::new("a"), &dir, OsStr::new("b"))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            std::fs::read(temporary.path().join("b")).unwrap(),
            b"second"
        );
    }

    #[test]
    fn a_link_is_not_followed_and_a_pipe_not_waited_for() {
        let (temporary, fs, dir) = folder();
        std::fs::write(temporary.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("secret", temporary.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/tmp", temporary.path().join("way-out")).unwrap();
        rustix::fs::mknodat(
            &*dir.fd,
            "pipe",
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(fs.read_settled(&dir, OsStr::new("link"), 10).is_err());
        assert!(fs.read_settled(&dir, OsStr::new("pipe"), 10).is_err());
        assert!(fs.open_dir(&dir, Path::new("way-out")).is_err());
        assert!(fs.open_dir(&dir, Path::new("../")).is_err());
    }

    #[test]
    fn a_file_is_read_only_once_its_writer_closed_it() {
        let (temporary, fs, dir) = folder();
        let mut writer = File::create(temporary.path().join("m.hl7")).unwrap();
        writer.write_all(b"MSH|").unwrap();
        let reading = fs.read_settled(&dir, OsStr::new("m.hl7"), 100).unwrap();
        assert!(matches!(reading, Reading::StillWritten));
        drop(writer);
        let reading = fs.read_settled(&dir, OsStr::new("m.hl7"), 100).unwrap();
        assert!(matches!(reading, Reading::Whole(bytes, _) if bytes == b"MSH|"));
        let reading = fs.read_settled(&dir, OsStr::new("m.hl7"), 3).unwrap();
        assert!(matches!(reading, Reading::TooLarge(first, 4) if first == b"MSH|"));
    }
}
