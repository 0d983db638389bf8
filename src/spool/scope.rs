//! How far an error of the disk reaches: the one place that says who else would meet it.

use std::io;

use rustix::io::Errno;

use super::fs::FsError;

/// Who else would meet an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorScope {
    /// Nobody: the name causes it, or the one thing that it names. Whoever named it is refused.
    Name,
    /// All that is below the same folder, mount or quota: what is of that place waits.
    Owner,
    /// The whole process: everything waits.
    Process,
}

impl FsError {
    /// How far this error reaches. What is not known waits rather than being refused.
    pub fn scope(&self) -> ErrorScope {
        match Errno::from_io_error(&self.source) {
            Some(
                Errno::ACCESS
                | Errno::BUSY
                | Errno::EXIST
                | Errno::FBIG
                | Errno::ILSEQ
                | Errno::INVAL
                | Errno::ISDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NODATA
                | Errno::NOENT
                | Errno::NOTDIR
                | Errno::NOTEMPTY
                | Errno::NXIO
                | Errno::OPNOTSUPP
                | Errno::OVERFLOW
                | Errno::PERM
                | Errno::TXTBSY
                | Errno::XDEV,
            ) => ErrorScope::Name,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => ErrorScope::Process,
            Some(_) => ErrorScope::Owner,
            None => match self.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => ErrorScope::Name,
                _ => ErrorScope::Owner,
            },
        }
    }

    /// Whether the name, or what it names, is at fault, though something is there.
    pub fn is_in_the_way(&self) -> bool {
        self.scope() == ErrorScope::Name && !self.is_absent()
    }

    /// Whether the process, or the system, has no handle left: that says nothing of what was to be opened.
    pub fn is_want_of_handles(&self) -> bool {
        let errno = Errno::from_io_error(&self.source);
        matches!(errno, Some(Errno::MFILE | Errno::NFILE))
    }

    /// Whether this file cannot be read, whatever becomes of others: its sender can send it again.
    pub fn is_unreadable(&self) -> bool {
        self.scope() == ErrorScope::Name
            || matches!(
                Errno::from_io_error(&self.source),
                Some(Errno::IO | Errno::BADMSG | Errno::UCLEAN)
            )
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn error(source: io::Error) -> FsError {
        FsError {
            action: "read",
            path: PathBuf::from("x"),
            source,
        }
    }

    #[test]
    fn each_error_has_one_scope() {
        let of = |code| error(io::Error::from_raw_os_error(code)).scope();
        for code in [
            libc::ENAMETOOLONG,
            libc::ENOTDIR,
            libc::ELOOP,
            libc::EISDIR,
            libc::EINVAL,
            libc::EILSEQ,
            libc::ENOENT,
            libc::EACCES,
            libc::EPERM,
        ] {
            assert_eq!(of(code), ErrorScope::Name, "{code}");
        }
        for code in [
            libc::EIO,
            libc::ENOSPC,
            libc::EDQUOT,
            libc::EROFS,
            libc::ESTALE,
            libc::ENODEV,
        ] {
            assert_eq!(of(code), ErrorScope::Owner, "{code}");
        }
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert_eq!(of(code), ErrorScope::Process, "{code}");
        }
        let no_file = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        assert_eq!(error(no_file).scope(), ErrorScope::Name);
        assert_eq!(
            error(io::Error::other("stopped")).scope(),
            ErrorScope::Owner
        );
    }

    #[test]
    fn a_file_on_a_bad_block_is_refused_and_one_that_finds_no_handle_waits() {
        let of = |code| error(io::Error::from_raw_os_error(code)).is_unreadable();
        assert!(of(libc::EIO) && of(libc::EACCES) && of(libc::ELOOP));
        assert!(!of(libc::EMFILE) && !of(libc::ESTALE));
    }
}
