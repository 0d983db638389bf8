//! Whether an open file or folder lies on a file system of this machine, and not on a network share.

use std::io::{self};
use std::os::fd::AsFd;

/// Whether what is open lies on a file system of this machine, and not on a share.
pub(super) fn is_on_local_disk(file: impl AsFd) -> io::Result<bool> {
    const NETWORKED: [u64; 8] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xfe53_4d42, // SMB2
        0xff53_4d42, // CIFS
        0x0102_1997, // 9p
        0x00c3_6400, // Ceph
        0x6573_5546, // FUSE: sshfs and the like
        0x5346_414f, // AFS
    ];
    let kind = rustix::fs::fstatfs(file)?.f_type;
    Ok(!NETWORKED.contains(&(kind as u64 & 0xffff_ffff)))
}
