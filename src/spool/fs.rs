//! Every disk operation of the product, and nothing else.
//!
//! All others go through here for three reasons: names are resolved beneath an open folder and never through a
//! symbolic link, so that a facility cannot lead us elsewhere; renames never overwrite; and tests can stop, fail or
//! forget at the n-th operation (see [`Faults`]). The database has its own files and is rebuilt from the journal
//! after anything but a clean stop, so it needs no place here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatVfsMountFlags,
};
use rustix::io::Errno;

use super::acl;
use super::faults::{Faults, Undo};
use super::lease::{self, LeaseObstacle, Writer};
use super::local_disk::is_on_local_disk;
use crate::clock::Clock;
use crate::model::calendar;

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

/// What a folder holds under a name.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// The name, as the file system has it.
    pub name: OsString,
    /// Whether it is a regular file, and no link.
    pub is_file: bool,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// A file that was read whole.
pub enum Reading {
    /// Its bytes, and when it was last modified, as the file system says; nothing where that is no time that is taken.
    Whole(Vec<u8>, Option<DateTime<Utc>>),
    /// A writer still has it open, or it changed while it was read: try again later.
    StillWritten,
    /// It was not read, since the system does not say whether a writer has it open (see [`super::doubt`]); what
    /// it is like now, to be read by [`Fs::read_unchanged`].
    CannotTell(Stamp, LeaseObstacle),
    /// It is larger than allowed; its first bytes, and its size.
    TooLarge(Vec<u8>, u64),
}

/// What tells whether the content of a file changed; a rename does not touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time since the epoch, in nanoseconds.
    pub modified: i128,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
        }
    }
}

/// When a file was written and read, as the file system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it was last modified; nothing where that is no time that is taken.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it was read after that, as far as the file system keeps account of it.
    pub is_read: bool,
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

    /// Opens a folder that the configuration names; links above it are followed, since the operator set them.
    pub fn open_root(&self, path: &Path) -> Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = self.call(
            "open the folder",
            || path.to_owned(),
            || Ok(rustix::fs::open(path, flags, Mode::empty())?),
            |_| None,
        )?;
        Ok(Dir::new(fd, path.to_owned()))
    }

    /// Makes a folder that the configuration names, with those above it, where it is absent.
    pub fn make_root(&self, path: &Path) -> Result<Dir> {
        if !path.is_dir() {
            self.call(
                "make the folder",
                || path.to_owned(),
                || {
                    let mut folders = std::fs::DirBuilder::new();
                    folders.recursive(true).mode(0o755).create(path)
                },
                |path| Some(Undo::MadeDir(path)),
            )?;
        }
        self.open_root(path)
    }

    /// Makes the folder of a spool where it is absent, with those above it. From the first moment a file of this name
    /// lies in it: an empty folder is one whose mount is missing.
    pub fn make_spool_root(&self, path: &Path, file: &OsStr) -> Result<Dir> {
        let Some(name) = path
            .file_name()
            .filter(|_| std::fs::symlink_metadata(path).is_err())
        else {
            return self.make_root(path);
        };
        let mut aside = OsString::from(".");
        aside.push(name);
        aside.push(".new");
        let aside = path.with_file_name(aside);
        self.call(
            "make the folder",
            || path.to_owned(),
            || {
                let mut folders = std::fs::DirBuilder::new();
                folders.recursive(true).mode(0o755).create(&aside)?;
                let mut options = std::fs::OpenOptions::new();
                options.create(true).append(true).mode(0o640);
                options.open(aside.join(file))?;
                match std::fs::rename(&aside, path) {
                    // Another process was faster.
                    Err(_) if path.is_dir() => Ok(()),
                    renamed => renamed,
                }
            },
            |path| Some(Undo::MadeDir(path)),
        )?;
        self.open_root(path)
    }

    /// Opens a folder beneath another, through no link.
    pub fn open_dir(&self, parent: &Dir, relative: &Path) -> Result<Dir> {
        if relative.as_os_str().is_empty() {
            return Ok(parent.clone());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = parent.path.join(relative);
        let fd = self.call(
            "open the folder",
            || path.clone(),
            || {
                Ok(rustix::fs::openat2(
                    &*parent.fd,
                    relative,
                    flags,
                    Mode::empty(),
                    resolve,
                )?)
            },
            |_| None,
        )?;
        Ok(Dir::new(fd, path))
    }

    /// Opens a folder beneath another, making it and those between where they are absent.
    pub fn make_dir(&self, parent: &Dir, relative: &Path) -> Result<Dir> {
        match self.open_dir(parent, relative) {
            Err(error) if error.is_absent() => {}
            other => return other,
        }
        let mut dir = parent.clone();
        for part in relative.components() {
            let name = part.as_os_str();
            let made = self.call(
                "make the folder",
                || dir.join(name),
                || {
                    // Who may delete from a folder may delete from those below it.
                    let above = Mode::from_raw_mode(rustix::fs::fstat(&*dir.fd)?.st_mode);
                    let mode = Mode::from_raw_mode(0o750) | (above & Mode::WGRP);
                    Ok(rustix::fs::mkdirat(&*dir.fd, name, mode)?)
                },
                |path| Some(Undo::MadeDir(path)),
            );
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => dir = self.open_dir(&dir, Path::new(name))?,
            }
        }
        Ok(dir)
    }

    /// What lies in a folder, not below it.
    pub fn list(&self, dir: &Dir) -> Result<Vec<DirEntry>> {
        self.call(
            "list the folder",
            || dir.path.to_path_buf(),
            || {
                let mut entries = Vec::new();
                for entry in rustix::fs::Dir::read_from(&*dir.fd)? {
                    let entry = entry?;
                    let name = OsStr::from_encoded(entry.file_name().to_bytes());
                    if name == "." || name == ".." {
                        continue;
                    }
                    let kind = match entry.file_type() {
                        FileType::Unknown => stat_kind(&*dir.fd, &name)?,
                        kind => kind,
                    };
                    entries.push(DirEntry {
                        is_file: kind == FileType::RegularFile,
                        is_dir: kind == FileType::Directory,
                        name,
                    });
                }
                Ok(entries)
            },
            |_| None,
        )
    }

    /// Whether something lies under this name, a link included.
    pub fn exists(&self, dir: &Dir, name: &OsStr) -> Result<bool> {
        self.call(
            "look for",
            || dir.join(name),
            || match rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            },
            |_| None,
        )
    }

    /// What lies under this name, a link not followed; nothing where nothing does.
    pub fn kind(&self, dir: &Dir, name: &OsStr) -> Result<Option<FileKind>> {
        self.call(
            "look for",
            || dir.join(name),
            || match rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => FileKind::File,
                    FileType::Directory => FileKind::Folder,
                    FileType::Symlink => FileKind::Link,
                    _ => FileKind::Other,
                })),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            },
            |_| None,
        )
    }

    /// Whether two names are of one and the same file.
    pub fn is_same_file(&self, dir: &Dir, name: &OsStr, to: &Dir, other: &OsStr) -> Result<bool> {
        let identity = |dir: &Dir, name: &OsStr| {
            self.call(
                "look at",
                || dir.join(name),
                || {
                    let stat = rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    Ok((stat.st_dev, stat.st_ino))
                },
                |_| None,
            )
        };
        Ok(identity(dir, name)? == identity(to, other)?)
    }

    /// The size of a file in bytes.
    pub fn size(&self, dir: &Dir, name: &OsStr) -> Result<u64> {
        self.call(
            "look at",
            || dir.join(name),
            || {
                let stat = rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(u64::try_from(stat.st_size).unwrap_or(0))
            },
            |_| None,
        )
    }

    /// When a file was written and read.
    pub fn times(&self, dir: &Dir, name: &OsStr) -> Result<Times> {
        self.call(
            "look at",
            || dir.join(name),
            || {
                let stat = rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let modified = (stat.st_mtime, stat.st_mtime_nsec);
                Ok(Times {
                    modified: calendar::instant(stat.st_mtime),
                    is_read: (stat.st_atime, stat.st_atime_nsec) > modified,
                })
            },
            |_| None,
        )
    }

    /// Whether the file system of this folder writes down when a file is read.
    pub fn keeps_reads(&self, dir: &Dir) -> Result<bool> {
        self.call(
            "look at the file system of",
            || dir.path.to_path_buf(),
            || {
                let flags = rustix::fs::fstatvfs(&*dir.fd)?.f_flag;
                Ok(!flags.contains(StatVfsMountFlags::NOATIME))
            },
            |_| None,
        )
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

    /// Reads a regular file whole, through no link, and only once its writer has closed it.
    pub fn read_settled(&self, dir: &Dir, name: &OsStr, limit: u64) -> Result<Reading> {
        self.call(
            "read",
            || dir.join(name),
            || {
                let mut file = open_to_read(dir, name)?;
                let writer = self.writer_of(&file);
                if writer == Writer::OpenForWriting {
                    return Ok(Reading::StillWritten);
                }
                let before = stat_regular(&file)?;
                match writer {
                    Writer::CannotTell(why) => Ok(Reading::CannotTell(Stamp::of(&before), why)),
                    _ => read_as_it_is(&mut file, &before, limit),
                }
            },
            |_| None,
        )
    }

    /// Reads a regular file of whose writers nothing is known, if it is still as it was when it was looked at.
    pub fn read_unchanged(
        &self,
        dir: &Dir,
        name: &OsStr,
        limit: u64,
        stamp: Stamp,
    ) -> Result<Reading> {
        self.call(
            "read",
            || dir.join(name),
            || {
                let mut file = open_to_read(dir, name)?;
                let before = stat_regular(&file)?;
                match Stamp::of(&before) == stamp {
                    true => read_as_it_is(&mut file, &before, limit),
                    false => Ok(Reading::StillWritten),
                }
            },
            |_| None,
        )
    }

    /// What the system says of the writers of a file, and what the file is like now.
    pub fn writer(&self, dir: &Dir, name: &OsStr) -> Result<(Writer, Stamp)> {
        self.call(
            "look at",
            || dir.join(name),
            || {
                // Opened anew, so that a share looks at its server.
                let file = open_to_read(dir, name)?;
                let writer = self.writer_of(&file);
                Ok((writer, Stamp::of(&stat_regular(&file)?)))
            },
            |_| None,
        )
    }

    fn writer_of(&self, file: &File) -> Writer {
        match self.is_silent_on_writers {
            true => Writer::CannotTell(LeaseObstacle::Share),
            false => lease::writer_of(file),
        }
    }

    /// How long ago the file system last changed anything about a file, by the clock of that file system, which may
    /// be another machine's. Under `probe` a file is made and removed again.
    pub fn unchanged_for(&self, dir: &Dir, name: &OsStr, probe: &OsStr) -> Result<Duration> {
        let last = self.call(
            "look at",
            || dir.join(name),
            || {
                let stat = rustix::fs::statat(&*dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(Stamp::of(&stat)
                    .modified
                    .max(nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64)))
            },
            |_| None,
        )?;
        self.write_new(dir, probe, b"")?;
        let now = self.call(
            "look at",
            || dir.join(probe),
            || {
                let stat = rustix::fs::statat(&*dir.fd, probe, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64))
            },
            |_| None,
        );
        self.remove(dir, probe)?;
        let age = now?.saturating_sub(last).max(0);
        Ok(Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX)))
    }

    /// Reads a file of ours whole.
    pub fn read(&self, dir: &Dir, name: &OsStr) -> Result<Vec<u8>> {
        self.call(
            "read",
            || dir.join(name),
            || {
                let mut bytes = Vec::new();
                open_to_read(dir, name)?.read_to_end(&mut bytes)?;
                Ok(bytes)
            },
            |_| None,
        )
    }

    /// Opens a file of ours to read it piece by piece. That it was read is told by others who read it: retention goes
    /// by that.
    pub fn open(&self, dir: &Dir, name: &OsStr) -> Result<File> {
        self.call(
            "open",
            || dir.join(name),
            || match open_with(dir, name, OFlags::NOATIME) {
                // Only the owner may ask for that.
                Err(Errno::PERM) => open_to_read(dir, name),
                opened => Ok(opened?),
            },
            |_| None,
        )
    }

    /// Writes a new file; it is seen by others only once it is renamed out of our folders.
    pub fn write_new(&self, dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(dir, name)?;
        file.write_all(bytes).map_err(|source| FsError {
            action: "write",
            path: dir.join(name),
            source,
        })
    }

    /// Writes a file that can be made again at any time, in the place of the one before; nobody sees half of it.
    pub fn replace(&self, dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let aside = self.free_aside(dir, name)?;
        self.write_new(dir, &aside, bytes)?;
        self.replace_by(dir, &aside, name)
    }

    /// Writes a file in the place of the one before, durably: at any time one of them is there whole.
    pub fn replace_durably(&self, dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let aside = self.free_aside(dir, name)?;
        let mut file = self.create(dir, &aside)?;
        file.write_all(bytes).map_err(|source| FsError {
            action: "write",
            path: dir.join(&aside),
            source,
        })?;
        file.sync()?;
        self.replace_by(dir, &aside, name)?;
        self.sync_dir(dir)
    }

    /// Writes over a small file that is there, durably: where nothing may be made beside it. A power cut may leave it
    /// so that it cannot be understood.
    pub fn overwrite(&self, dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.call(
            "write over",
            || dir.join(name),
            || {
                let file = rustix::fs::openat(&*dir.fd, name, flags, Mode::empty())?;
                let mut file = File::from(file);
                file.write_all(bytes)?;
                file.set_len(bytes.len() as u64)?;
                file.sync_all()
            },
            |_| None,
        )
    }

    /// Copies a file of ours into the place of the one before; nobody sees half of it. Where the file system can, the
    /// two share their blocks until one of them is written to.
    pub fn replace_with_copy(
        &self,
        from: &Dir,
        original: &OsStr,
        dir: &Dir,
        name: &OsStr,
    ) -> Result<()> {
        let mut source = self.open(from, original)?;
        let aside = self.free_aside(dir, name)?;
        let mut copy = self.create(dir, &aside)?;
        self.call(
            "copy a file to",
            || dir.join(name),
            || io::copy(&mut source, &mut copy.file).map(drop),
            |_| None,
        )?;
        self.replace_by(dir, &aside, name)
    }

    /// The name under which a file is written before it takes its place, with nothing there.
    fn free_aside(&self, dir: &Dir, name: &OsStr) -> Result<OsString> {
        let mut aside = OsString::from(".");
        aside.push(name);
        if self.exists(dir, &aside)? {
            self.remove(dir, &aside)?;
        }
        Ok(aside)
    }

    fn replace_by(&self, dir: &Dir, aside: &OsStr, name: &OsStr) -> Result<()> {
        self.call(
            "replace",
            || dir.join(name),
            || Ok(rustix::fs::renameat(&*dir.fd, aside, &*dir.fd, name)?),
            |_| None,
        )
    }

    /// Makes a new file to be written piece by piece; each piece is an operation.
    pub fn create(&self, dir: &Dir, name: &OsStr) -> Result<Writing> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.call(
            "make the file",
            || dir.join(name),
            || {
                let mode = Mode::from_raw_mode(0o640);
                Ok(File::from(rustix::fs::openat(&*dir.fd, name, flags, mode)?))
            },
            |path| Some(Undo::Created(path)),
        )?;
        Ok(Writing {
            fs: self.clone(),
            file,
            path: dir.join(name),
            length: 0,
        })
    }

    /// Opens a file of ours to write on at its end.
    pub fn append(&self, dir: &Dir, name: &OsStr) -> Result<Writing> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (file, length) = self.call(
            "open for writing",
            || dir.join(name),
            || {
                let mut file =
                    File::from(rustix::fs::openat(&*dir.fd, name, flags, Mode::empty())?);
                let length = file.seek(SeekFrom::End(0))?;
                Ok((file, length))
            },
            |_| None,
        )?;
        Ok(Writing {
            fs: self.clone(),
            file,
            path: dir.join(name),
            length,
        })
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

    /// What is free on the file system of this folder: bytes, and inodes where it counts them.
    pub fn free(&self, dir: &Dir) -> Result<Free> {
        self.call(
            "measure the free space of",
            || dir.path.to_path_buf(),
            || {
                let stat = rustix::fs::fstatvfs(&*dir.fd)?;
                Ok(Free {
                    bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                    inodes: (stat.f_files > 0).then_some(stat.f_favail),
                })
            },
            |_| None,
        )
    }

    /// The device number of the file system that holds this folder.
    pub fn device(&self, dir: &Dir) -> Result<u64> {
        if let Some(device) = dir.device.get() {
            return Ok(*device);
        }
        let device = self.call(
            "look at",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::fstat(&*dir.fd)?.st_dev),
            |_| None,
        )?;
        Ok(*dir.device.get_or_init(|| device))
    }

    /// Whether our rights, and its file system, let us put files into this folder, as far as can be told without
    /// trying.
    pub fn may_put_into(&self, dir: &Dir) -> bool {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&*dir.fd, ".", access, AtFlags::EACCESS).is_ok()
    }

    /// Whether two folders that were opened are one and the same.
    pub fn is_same(&self, one: &Dir, other: &Dir) -> Result<bool> {
        let identity = |dir: &Dir| {
            self.call(
                "look at",
                || dir.path.to_path_buf(),
                || {
                    let stat = rustix::fs::fstat(&*dir.fd)?;
                    Ok((stat.st_dev, stat.st_ino))
                },
                |_| None,
            )
        };
        Ok(identity(one)? == identity(other)?)
    }

    /// The rights of a folder.
    pub fn mode(&self, dir: &Dir) -> Result<u32> {
        self.call(
            "look at",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::fstat(&*dir.fd)?.st_mode & 0o7777),
            |_| None,
        )
    }

    /// Sets the rights of a folder.
    pub fn set_mode(&self, dir: &Dir, mode: u32) -> Result<()> {
        self.call(
            "set the rights of",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::fchmod(&*dir.fd, Mode::from_raw_mode(mode))?),
            |_| None,
        )
    }

    /// Gives a folder to somebody.
    pub fn set_owner(&self, dir: &Dir, owner: UserAndGroup) -> Result<()> {
        self.call(
            "set the owner of",
            || dir.path.to_path_buf(),
            || Ok(rustix::fs::fchown(&*dir.fd, owner.uid(), owner.gid())?),
            |_| None,
        )
    }

    /// Gives what lies in a folder to somebody: a link itself, and no file that has another name besides. Whether it
    /// was given.
    pub fn set_owner_of(&self, dir: &Dir, name: &OsStr, owner: UserAndGroup) -> Result<bool> {
        self.call(
            "set the owner of",
            || dir.join(name),
            || {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&*dir.fd, name, flags, Mode::empty())?;
                let stat = rustix::fs::fstat(&file)?;
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if stat.st_nlink > 1 && !is_folder {
                    return Ok(false);
                }
                let (uid, gid) = (owner.uid(), owner.gid());
                rustix::fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH)?;
                Ok(true)
            },
            |_| None,
        )
    }

    /// The default ACL of a folder, empty where it has none.
    pub fn default_acl(&self, dir: &Dir) -> Result<Vec<u8>> {
        self.call(
            "read the ACL of",
            || dir.path.to_path_buf(),
            || {
                let mut attribute = vec![0; 4096];
                match rustix::fs::fgetxattr(&*dir.fd, acl::DEFAULT, attribute.as_mut_slice()) {
                    Ok(length) => {
                        attribute.truncate(length);
                        Ok(attribute)
                    }
                    Err(Errno::NODATA) => Ok(Vec::new()),
                    Err(error) => Err(error.into()),
                }
            },
            |_| None,
        )
    }

    /// Sets the default ACL of a folder.
    pub fn set_default_acl(&self, dir: &Dir, attribute: &[u8]) -> Result<()> {
        self.call(
            "set the ACL of",
            || dir.path.to_path_buf(),
            || {
                Ok(rustix::fs::fsetxattr(
                    &*dir.fd,
                    acl::DEFAULT,
                    attribute,
                    rustix::fs::XattrFlags::empty(),
                )?)
            },
            |_| None,
        )
    }

    /// Whether the folder lies on a local file system, where the rules hold in full (design.md, "What must never break").
    pub fn is_local(&self, dir: &Dir) -> Result<bool> {
        self.call(
            "look at the file system of",
            || dir.path.to_path_buf(),
            || is_on_local_disk(&*dir.fd),
            |_| None,
        )
    }
}

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserAndGroup {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl UserAndGroup {
    fn uid(self) -> Option<rustix::fs::Uid> {
        Some(rustix::fs::Uid::from_raw(self.user))
    }

    fn gid(self) -> Option<rustix::fs::Gid> {
        Some(rustix::fs::Gid::from_raw(self.group))
    }
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy)]
pub struct Free {
    /// Bytes that we may use.
    pub bytes: u64,
    /// Inodes that we may use, where the file system counts them.
    pub inodes: Option<u64>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writing {
    fs: Fs,
    file: File,
    path: PathBuf,
    length: u64,
}

impl Writing {
    /// How long the file is, in bytes, with what was written.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes the content durable.
    pub fn sync(&self) -> Result<()> {
        self.fs.call(
            "sync",
            || self.path.clone(),
            || Ok(rustix::fs::fdatasync(self.file.as_fd())?),
            |path| Some(Undo::FileSynced(path)),
        )
    }

    /// Cuts the file to this length and writes on there.
    pub fn truncate(&mut self, length: u64) -> Result<()> {
        let file = &mut self.file;
        self.fs.call(
            "cut",
            || self.path.clone(),
            || {
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length)).map(drop)
            },
            |_| None,
        )?;
        self.length = length;
        Ok(())
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(faults) = self.fs.faults.clone() else {
            let written = self.file.write(bytes)?;
            self.length += written as u64;
            return Ok(written);
        };
        let (before, path) = (self.length, &self.path);
        let file = &mut self.file;
        let written = faults.around(
            "write",
            path,
            || file.write(bytes),
            || {
                Some(Undo::Grown {
                    path: path.clone(),
                    length: before,
                })
            },
        )?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

trait FromEncoded {
    fn from_encoded(bytes: &[u8]) -> OsString;
}

impl FromEncoded for OsStr {
    fn from_encoded(bytes: &[u8]) -> OsString {
        std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
    }
}

fn stat_regular(file: &File) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    }
}

/// Reads a file that was `before` just now; one that changes meanwhile is still written.
fn read_as_it_is(file: &mut File, before: &Stat, limit: u64) -> io::Result<Reading> {
    let stamp = Stamp::of(before);
    if stamp.size > limit {
        let mut first = Vec::new();
        file.take(64 * 1024).read_to_end(&mut first)?;
        return Ok(Reading::TooLarge(first, stamp.size));
    }
    let mut bytes = vec![0; usize::try_from(stamp.size).unwrap_or(0)];
    if let Err(error) = file.read_exact(&mut bytes) {
        // It became shorter while it was read.
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(Reading::StillWritten),
            _ => Err(error),
        };
    }
    Ok(match Stamp::of(&rustix::fs::fstat(&*file)?) == stamp {
        true => Reading::Whole(bytes, calendar::instant(before.st_mtime)),
        false => Reading::StillWritten,
    })
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

fn stat_kind(dir: impl AsFd, name: &OsStr) -> io::Result<FileType> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn open_to_read(dir: &Dir, name: &OsStr) -> io::Result<File> {
    Ok(open_with(dir, name, OFlags::empty())?)
}

fn open_with(dir: &Dir, name: &OsStr, more: OFlags) -> std::result::Result<File, Errno> {
    // NONBLOCK, or opening a FIFO would wait for its writer for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(&*dir.fd, name, flags | more, Mode::empty()).map(File::from)
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
