//! The sweep: what lies in an inbox now. Events make intake fast, the sweep makes it right.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use walkdir::WalkDir;

use super::layout::Station;

/// A file in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below the inbox.
    pub path: PathBuf,
    /// What tells whether it changed between two looks.
    pub look: Look,
}

/// What one look at a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
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
    pub files: Vec<Found>,
    /// Things that are never taken in: links, pipes, sockets, devices.
    pub strange: Vec<PathBuf>,
    /// What could not be looked at, in words.
    pub problems: Vec<String>,
}

/// Looks at everything below the inbox, leaving alone what the patterns name.
pub fn sweep(station: &Station, ignore: &[String]) -> Sweep {
    let mut sweep = Sweep::default();
    let root = station.inbox.path();
    let walk = WalkDir::new(root).min_depth(1).follow_links(false);
    let entries = walk.into_iter().filter_entry(|entry| {
        !ignore
            .iter()
            .any(|pattern| matches_pattern(pattern.as_bytes(), entry.file_name().as_bytes()))
    });
    for entry in entries {
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
                // Names of folders may be those of patients: only what is wrong is told.
                let problem = match error.io_error() {
                    Some(error) => error.to_string(),
                    None => "folders go in a circle".to_owned(),
                };
                sweep.problems.push(format!(
                    "something in the inbox cannot be looked at: {problem}"
                ));
                continue;
            }
        };
        let Ok(path) = entry.path().strip_prefix(root) else {
            continue;
        };
        let kind = entry.file_type();
        if kind.is_dir() {
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
                sweep.problems.push(format!(
                    "a file in the inbox cannot be looked at: {}",
                    problem.unwrap_or_default()
                ));
                continue;
            }
        };
        sweep.files.push(Found {
            path: path.to_owned(),
            look: Look {
                inode: metadata.ino(),
                size: metadata.len(),
                modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            },
        });
    }
    sweep
        .files
        .sort_by(|a, b| (a.look.modified, &a.path).cmp(&(b.look.modified, &b.path)));
    sweep
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// How long ago that moment was, as far as the clock can tell.
pub fn age(moment: i128) -> Option<Duration> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let age = i128::try_from(now.as_nanos()).ok()?.checked_sub(moment)?;
    u64::try_from(age).ok().map(Duration::from_nanos)
}

/// Whether a name fits a pattern in which `*` stands for any characters and `?` for one.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            (0..=name.len()).any(|skipped| matches_pattern(rest, &name[skipped..]))
        }
        Some((b'?', rest)) => !name.is_empty() && matches_pattern(rest, &name[1..]),
        Some((byte, rest)) => name.first() == Some(byte) && matches_pattern(rest, &name[1..]),
    }
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
            ("*.tmp", "x.tmp.hl7", false),
            ("*~", "x.hl7~", true),
            ("?.hl7", "x.hl7", true),
            ("?.hl7", "xy.hl7", false),
            ("*", "", true),
        ] {
            assert_eq!(
                matches_pattern(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }
}
