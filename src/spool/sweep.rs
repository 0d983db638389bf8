//! The sweep: what lies in an inbox now. Events make intake fast, the sweep makes it right.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags};
use rustix::io::Errno;
use walkdir::WalkDir;

use super::layout::OwnerFolders;

/// A file in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxFile {
    /// Its path below the inbox.
    pub path: PathBuf,
    /// What tells whether it changed between two looks.
    pub look: FileStat,
}

/// What one look at a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time since the epoch, in nanoseconds; uploaders set it.
    pub modified: i128,
    /// When the file system last changed anything about it, in nanoseconds; nobody sets that.
    pub changed: i128,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Regular files, in the order of their arrival: modification time, then name.
    pub files: Vec<InboxFile>,
    /// Things that are never taken in: links, pipes, sockets, devices.
    pub strange: Vec<PathBuf>,
    /// The folders whose files cannot be had.
    pub blocked: Vec<Blocked>,
}

/// A folder of an inbox whose files cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Its path below the inbox; empty for the inbox itself.
    pub folder: PathBuf,
    /// What cannot be done.
    pub hindrance: Hindrance,
}

/// What cannot be done with a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// It cannot be entered: nobody knows what lies in it.
    Entering,
    /// It cannot be listed: nobody knows what lies in it.
    Listing,
    /// Its files can be seen, and not be moved out of it.
    MovingOut,
    /// Something else, in the system's words.
    Other(String),
}

/// Looks at everything below the inbox, leaving alone what the patterns name.
pub fn sweep(folders: &OwnerFolders, ignore: &[String]) -> Sweep {
    let mut sweep = Sweep::default();
    let root = folders.inbox.path();
    let walk = WalkDir::new(root).follow_links(false);
    let mut entries = walk.into_iter().filter_entry(|entry| {
        let name = entry.file_name().as_bytes();
        let is_ignored = |pattern: &String| matches_pattern(pattern.as_bytes(), name);
        entry.depth() == 0 || !ignore.iter().any(is_ignored)
    });
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // What vanished while we looked was moved away by its owner.
            Err(error)
                if error
                    .io_error()
                    .is_some_and(|it| it.kind() == std::io::ErrorKind::NotFound)
                    && error.depth() > 0 =>
            {
                continue;
            }
            Err(error) => {
                let problem = match error.io_error() {
                    Some(error) => error.to_string(),
                    None => "folders go in a circle".to_owned(),
                };
                let folder = error.path().and_then(|path| path.strip_prefix(root).ok());
                sweep.blocked.push(Blocked {
                    folder: folder.map(Path::to_owned).unwrap_or_default(),
                    hindrance: Hindrance::Other(problem),
                });
                continue;
            }
        };
        let Ok(path) = entry.path().strip_prefix(root) else {
            continue;
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            if let Some(hindrance) = hindrance(entry.path()) {
                if hindrance != Hindrance::MovingOut {
                    entries.skip_current_dir();
                }
                sweep.blocked.push(Blocked {
                    folder: path.to_owned(),
                    hindrance,
                });
            }
            continue;
        }
        if !kind.is_file() {
            sweep.strange.push(path.to_owned());
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Moved away meanwhile.
            Err(error)
                if error
                    .io_error()
                    .is_some_and(|it| it.kind() == std::io::ErrorKind::NotFound) =>
            {
                continue;
            }
            Err(error) => {
                let problem = error.io_error().map(ToString::to_string);
                sweep.blocked.push(Blocked {
                    folder: path.parent().unwrap_or(Path::new("")).to_owned(),
                    hindrance: Hindrance::Other(problem.unwrap_or_default()),
                });
                continue;
            }
        };
        sweep.files.push(InboxFile {
            path: path.to_owned(),
            look: FileStat {
                inode: metadata.ino(),
                size: metadata.len(),
                modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            },
        });
    }
    // A folder with other folders alone need not be written to.
    let with_files: HashSet<&Path> = sweep
        .files
        .iter()
        .filter_map(|found| found.path.parent())
        .collect();
    let mut seen = HashSet::new();
    sweep.blocked.retain(|it| {
        let is_needed =
            it.hindrance != Hindrance::MovingOut || with_files.contains(it.folder.as_path());
        is_needed && seen.insert(it.folder.clone())
    });
    sweep
        .files
        .sort_by(|a, b| (a.look.modified, &a.path).cmp(&(b.look.modified, &b.path)));
    sweep
}

/// What our rights on a folder do not allow, if anything.
fn hindrance(folder: &Path) -> Option<Hindrance> {
    let may = |access: Access| {
        let asked = rustix::fs::accessat(rustix::fs::CWD, folder, access, AtFlags::EACCESS);
        // Whatever else is wrong is found when it is used.
        asked != Err(Errno::ACCESS) && asked != Err(Errno::ROFS)
    };
    if may(Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return None;
    }
    Some(match (may(Access::EXEC_OK), may(Access::READ_OK)) {
        (false, _) => Hindrance::Entering,
        (true, false) => Hindrance::Listing,
        (true, true) => Hindrance::MovingOut,
    })
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// How long ago that moment was, as far as the wall clock can tell.
pub fn age(moment: i128) -> Option<Duration> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let age = i128::try_from(now.as_nanos()).ok()?.checked_sub(moment)?;
    u64::try_from(age).ok().map(Duration::from_nanos)
}

/// Whether a name fits a pattern in which `*` stands for any characters and `?` for one; capitals do not matter.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    fits(pattern, name, &mut 0)
}

/// The same, counting the steps: at most one for each pair of a byte of the pattern and a byte of the name, since only
/// the last `*` is ever tried again. What an earlier one could have taken instead, the last one can take as well.
fn fits(pattern: &[u8], name: &[u8], steps: &mut usize) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut last_star = None;
    while read < name.len() {
        *steps += 1;
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(byte)
                if *byte == b'?'
                    || name
                        .get(read)
                        .is_some_and(|it| it.eq_ignore_ascii_case(byte)) =>
            {
                at += 1;
                read += 1;
            }
            _ => match &mut last_star {
                Some((star, taken)) => {
                    *taken += 1;
                    (at, read) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_leave_unfinished_names_alone() {
        for (pattern, name, fits) in [
            (".*", ".lock", true),
            (".*", "x.hl7", false),
            ("*.tmp", "x.tmp", true),
            ("*.tmp", "x.TMP", true),
            ("X*", "x.hl7", true),
            ("*.tmp", "x.tmp.hl7", false),
            ("*~", "x.hl7~", true),
            ("?.hl7", "x.hl7", true),
            ("?.hl7", "xy.hl7", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("?", "", false),
            ("**", "x", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*aab", "aaab", true),
            ("*ab*?", "xabab", true),
            ("*ab?", "abab", false),
        ] {
            assert_eq!(
                matches_pattern(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_costs_no_more_than_its_length_times_the_name() {
        let name = "a".repeat(255);
        for stars in [1, 4, 16, 64, 120] {
            let pattern = format!("{}*b", "*a".repeat(stars));
            let mut steps = 0;
            assert!(!fits(pattern.as_bytes(), name.as_bytes(), &mut steps));
            let most = (pattern.len() + 1) * (name.len() + 1);
            assert!(
                steps <= most,
                "{stars} stars: {steps} steps, {most} at most"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn a_name_fits_as_trying_everything_would_say(pattern in "[ab*?]{0,7}", name in "[ab]{0,7}") {
            fn slowly(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|taken| slowly(rest, &name[taken..])),
                    Some((byte, rest)) => {
                        name.first().is_some_and(|first| *byte == b'?' || first == byte)
                            && slowly(rest, &name[1..])
                    }
                }
            }
            proptest::prop_assert_eq!(
                matches_pattern(pattern.as_bytes(), name.as_bytes()),
                slowly(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
