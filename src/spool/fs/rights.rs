//! Who may use a folder: its owner, its rights and its default ACL.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, Fs, Result};
use crate::spool::acl;

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

impl Fs {
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
}
