//! What the file system tells of a name, a folder or the disk below it, without reading a file.

use std::ffi::OsStr;

use chrono::{DateTime, Utc};
use rustix::fs::{Access, AtFlags, FileType, StatVfsMountFlags};
use rustix::io::Errno;

use super::{Dir, Fs, Result};
use crate::model::calendar;
use crate::spool::local_disk::is_on_local_disk;

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

/// When a file was written and read, as the file system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it was last modified; nothing where that is no time that is taken.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it was read after that, as far as the file system keeps account of it.
    pub is_read: bool,
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy)]
pub struct Free {
    /// Bytes that we may use.
    pub bytes: u64,
    /// Inodes that we may use, where the file system counts them.
    pub inodes: Option<u64>,
}

impl Fs {
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
