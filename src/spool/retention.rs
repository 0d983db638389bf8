//! Retention: what was finished long ago is removed (SPEC 11). `error/` never is.
//!
//! Folders are opened beneath the station's and through no link; a link is removed itself, never what it leads to. A
//! facility may remove the same files at the same time.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use super::finish::{ACKS, REPORTS};
use super::fs::{Dir, Fs, FsError, Result};

/// What was removed, and what could not be.
#[derive(Debug, Default)]
pub struct Removed {
    /// How many files.
    pub files: u64,
    /// The first thing that went wrong; the rest was gone through all the same.
    pub problem: Option<FsError>,
}

impl Removed {
    fn count(&mut self, removed: Result<()>) {
        match removed {
            Ok(()) => self.files += 1,
            Err(error) => self.note(error),
        }
    }

    fn note(&mut self, error: FsError) {
        if !error.is_absent() {
            self.problem.get_or_insert(error);
        }
    }
}

/// Removes the days of `done/` before this one, with all that lies in them.
pub fn remove_days(fs: &Fs, root: &Dir, first_kept: NaiveDate, stop: &dyn Fn() -> bool) -> Removed {
    let mut removed = Removed::default();
    let listed = fs
        .open_dir(root, Path::new("done"))
        .and_then(|done| Ok((fs.list(&done)?, done)));
    let (days, done) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            removed.note(error);
            return removed;
        }
    };
    for entry in days {
        let day = entry.name.to_str().and_then(parse_day);
        if entry.is_dir && day.is_some_and(|day| day < first_kept) {
            let folders = walk(fs, &done, Path::new(&entry.name), &mut removed, &|_, _| {
                Ok(!stop())
            });
            for folder in folders.iter().rev().take_while(|_| !stop()) {
                remove_folder(fs, &done, folder, &mut removed);
            }
        }
    }
    removed
}

/// The day that a folder in `done/` is named after.
pub fn parse_day(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name, "%Y-%m-%d").ok()
}

/// Removes the batches and receipts that were written before.
pub fn remove_outputs(
    fs: &Fs,
    root: &Dir,
    before: DateTime<Utc>,
    stop: &dyn Fn() -> bool,
) -> Removed {
    let mut removed = Removed::default();
    for folder in [REPORTS, ACKS] {
        walk(fs, root, Path::new(folder), &mut removed, &|dir, name| {
            Ok(!stop() && fs.modified(dir, name)? < before)
        });
    }
    removed
}

/// Removes the files below a folder for which `is_due` says so; gives all folders, each before those in it.
///
/// One folder is open at a time, however deep they lie.
fn walk(
    fs: &Fs,
    root: &Dir,
    first: &Path,
    removed: &mut Removed,
    is_due: &dyn Fn(&Dir, &std::ffi::OsStr) -> Result<bool>,
) -> Vec<PathBuf> {
    let mut folders = vec![first.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let listed = fs
            .open_dir(root, &folder)
            .and_then(|dir| Ok((fs.list(&dir)?, dir)));
        let (entries, dir) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                removed.note(error);
                continue;
            }
        };
        for entry in entries {
            if entry.is_dir {
                folders.push(folder.join(&entry.name));
                continue;
            }
            match is_due(&dir, &entry.name) {
                Ok(true) => removed.count(fs.remove(&dir, &entry.name)),
                Ok(false) => {}
                Err(error) => removed.note(error),
            }
        }
    }
    folders
}

/// Removes a folder that is empty now; one in which something lies again waits for the next time.
fn remove_folder(fs: &Fs, root: &Dir, folder: &Path, removed: &mut Removed) {
    let above = folder.parent().unwrap_or(Path::new(""));
    let gone = fs
        .open_dir(root, above)
        .and_then(|dir| fs.remove_dir(&dir, folder.file_name().unwrap_or_default()));
    if let Err(error) = gone {
        removed.note(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Station {
        temporary: tempfile::TempDir,
        fs: Fs,
        root: Dir,
    }

    impl Station {
        fn with(files: &[&str]) -> Self {
            let temporary = tempfile::tempdir().unwrap();
            for file in files {
                let path = temporary.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
            let fs = Fs::new();
            let root = fs.open_root(temporary.path()).unwrap();
            Self {
                temporary,
                fs,
                root,
            }
        }

        fn left(&self) -> Vec<String> {
            let mut left: Vec<String> = walkdir::WalkDir::new(self.temporary.path())
                .min_depth(2)
                .into_iter()
                .map(|entry| entry.unwrap().path().to_owned())
                .map(|path| path.strip_prefix(self.temporary.path()).unwrap().to_owned())
                .map(|path| path.to_str().unwrap().to_owned())
                .collect();
            left.sort();
            left
        }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn old_days_go_with_all_that_lies_in_them_and_nothing_else() {
        let station = Station::with(&[
            "done/2026-01-01/a.hl7",
            "done/2026-01-01/sub/deep/b.hl7",
            "done/2026-01-02/c.hl7",
            "done/kept by hand/d.hl7",
            "error/2026-01-01/e.hl7",
            "elsewhere/f.hl7",
        ]);
        let at = |path: &str| station.temporary.path().join(path);
        std::os::unix::fs::symlink(at("elsewhere"), at("done/2026-01-01/link")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("done/2025-01-01")).unwrap();
        let removed = remove_days(&station.fs, &station.root, day("2026-01-02"), &|| false);
        assert!(removed.problem.is_none(), "{removed:?}");
        assert_eq!(removed.files, 3);
        assert_eq!(
            station.left(),
            [
                "done/2025-01-01",
                "done/2026-01-02",
                "done/2026-01-02/c.hl7",
                "done/kept by hand",
                "done/kept by hand/d.hl7",
                "elsewhere/f.hl7",
                "error/2026-01-01",
                "error/2026-01-01/e.hl7",
            ]
        );
    }

    #[test]
    fn outputs_go_by_their_age() {
        let station = Station::with(&[
            "outbox/acks/old.ack",
            "outbox/acks/sub/old.ack",
            "outbox/acks/new.ack",
            "outbox/reports/old.xml",
        ]);
        let before = Utc::now() - chrono::Duration::days(1);
        let old = std::time::SystemTime::from(before - chrono::Duration::hours(1));
        for name in ["acks/old.ack", "acks/sub/old.ack", "reports/old.xml"] {
            let path = station.temporary.path().join("outbox").join(name);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(old).unwrap();
        }
        let removed = remove_outputs(&station.fs, &station.root, before, &|| false);
        assert_eq!((removed.files, removed.problem.is_none()), (3, true));
        let files: Vec<String> = station.left();
        assert_eq!(
            files,
            [
                "outbox/acks",
                "outbox/acks/new.ack",
                "outbox/acks/sub",
                "outbox/reports"
            ]
        );
    }
}
