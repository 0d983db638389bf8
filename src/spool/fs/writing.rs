//! Writes files: new ones, ones that are added to, and ones that take the place of another.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::{Dir, Fs, FsError, Result};
use crate::spool::faults::Undo;

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

impl Fs {
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

    /// Writes a new file; it is seen by others only once it is renamed out of our folders.
    pub fn write_new(&self, dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(dir, name)?;
        file.write_all(bytes).map_err(|source| FsError {
            action: "write",
            path: dir.join(name),
            source,
        })
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
}
