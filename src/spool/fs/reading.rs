//! Reads files: whole, once their writer has closed them, and never while they change.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Dir, Fs, Result};
use crate::model::calendar;
use crate::spool::lease::{self, LeaseObstacle, Writer};

/// A file that was read whole.
pub enum Reading {
    /// Its bytes, and when it was last modified, as the file system says; nothing where that is no time that is taken.
    Whole(Vec<u8>, Option<DateTime<Utc>>),
    /// A writer still has it open, or it changed while it was read: try again later.
    StillWritten,
    /// It was not read, since the system does not say whether a writer has it open (see [`crate::spool::doubt`]); what
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

impl Fs {
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

fn open_to_read(dir: &Dir, name: &OsStr) -> io::Result<File> {
    Ok(open_with(dir, name, OFlags::empty())?)
}

fn open_with(dir: &Dir, name: &OsStr, more: OFlags) -> std::result::Result<File, Errno> {
    // NONBLOCK, or opening a FIFO would wait for its writer for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(&*dir.fd, name, flags | more, Mode::empty()).map(File::from)
}
