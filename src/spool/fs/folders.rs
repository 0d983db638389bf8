//! Opens and makes folders, and lists what lies in them; names are resolved beneath an open folder.

use std::ffi::{OsStr, OsString};
use std::io::{self};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::{Dir, Fs, Result};
use crate::spool::faults::Undo;

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

impl Fs {
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
}

trait FromEncoded {
    fn from_encoded(bytes: &[u8]) -> OsString;
}

impl FromEncoded for OsStr {
    fn from_encoded(bytes: &[u8]) -> OsString {
        std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
    }
}

fn stat_kind(dir: impl AsFd, name: &OsStr) -> io::Result<FileType> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}
