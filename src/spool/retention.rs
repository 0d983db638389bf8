//! Retention: what was finished long ago is removed (docs/interface.md, 11). `error/` never is.
//!
//! Folders are opened beneath the owner's and through no link; a link is removed itself, never what it leads to. A
//! facility may remove the same files at the same time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::ages::{Ages, UNFETCHED};
use super::destinations::{ACKS, REPORTS};
use super::fs::{Dir, Fs, FsError, Result};

/// What was removed, and what could not be.
#[derive(Debug, Default)]
pub struct RemovalResult {
    /// How many files.
    pub files: u64,
    /// The first thing that went wrong; the rest was gone through all the same.
    pub problem: Option<FsError>,
}

impl RemovalResult {
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

/// Removes these days of `done/`, with all that lies in them.
pub fn remove_days(
    fs: &Fs,
    root: &Dir,
    days: &BTreeSet<NaiveDate>,
    stop: &dyn Fn() -> bool,
) -> RemovalResult {
    let mut removed = RemovalResult::default();
    let listed = fs
        .open_dir(root, Path::new("done"))
        .and_then(|done| Ok((fs.list(&done)?, done)));
    let (entries, done) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            removed.note(error);
            return removed;
        }
    };
    for entry in entries {
        let day = entry.name.to_str().and_then(parse_day);
        if entry.is_dir && day.is_some_and(|day| days.contains(&day)) {
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

/// What was removed of an outbox.
#[derive(Debug, Default)]
pub struct RemovedOutputs {
    /// All of it.
    pub removed: RemovalResult,
    /// How many of these files nobody is known to have fetched.
    pub unfetched: u64,
}

/// Removes the batches and receipts that have been kept so long. Those of which nothing says that they were fetched are
/// kept [`UNFETCHED`] longer.
pub fn remove_outputs(
    fs: &Fs,
    root: &Dir,
    ages: &Ages,
    keep: Duration,
    stop: &dyn Fn() -> bool,
) -> RemovedOutputs {
    let mut removed = RemovalResult::default();
    let unfetched = Cell::new(0);
    for folder in [REPORTS, ACKS] {
        let keeps_reads = fs
            .open_dir(root, Path::new(folder))
            .and_then(|dir| fs.keeps_reads(&dir));
        // Where that cannot be told, nothing counts as fetched.
        let keeps_reads = keeps_reads.unwrap_or(false);
        walk(fs, root, Path::new(folder), &mut removed, &|dir, name| {
            let times = fs.times(dir, name)?;
            let is_fetched = keeps_reads && times.is_read;
            let keep = match is_fetched {
                true => keep,
                false => keep.saturating_add(UNFETCHED),
            };
            let is_past = |time| ages.is_file_past(time, keep);
            let is_due = !stop()
                && times.modified.is_some_and(is_past)
                && written_in_name(name).is_none_or(is_past);
            if is_due && !is_fetched {
                unfetched.set(unfetched.get() + 1);
            }
            Ok(is_due)
        });
    }
    RemovedOutputs {
        removed,
        unfetched: unfetched.get(),
    }
}

/// The time in the name of a batch that a timer made: `reports_<facility>_<yyyymmddThhmmssZ>_<number>.xml`.
fn written_in_name(name: &OsStr) -> Option<DateTime<Utc>> {
    let rest = name.to_str()?.strip_prefix("reports_")?;
    let mut parts = rest.rsplit('_');
    let (_number, time) = (parts.next()?, parts.next()?);
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc())
}

/// Removes the files below a folder for which `is_due` says so; gives all folders, each before those in it.
///
/// One folder is open at a time, however deep they lie.
fn walk(
    fs: &Fs,
    root: &Dir,
    first: &Path,
    removed: &mut RemovalResult,
    is_due: &dyn Fn(&Dir, &OsStr) -> Result<bool>,
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
fn remove_folder(fs: &Fs, root: &Dir, folder: &Path, removed: &mut RemovalResult) {
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::{Clock, Moment};
    use crate::spool::ages::Elapsed;

    struct RetentionFixture {
        temporary: tempfile::TempDir,
        fs: Fs,
        root: Dir,
    }

    impl RetentionFixture {
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
        let fixture = RetentionFixture::with(&[
            "done/2026-01-01/a.hl7",
            "done/2026-01-01/sub/deep/b.hl7",
            "done/2026-01-02/c.hl7",
            "done/kept by hand/d.hl7",
            "error/2026-01-01/e.hl7",
            "elsewhere/f.hl7",
        ]);
        let at = |path: &str| fixture.temporary.path().join(path);
        std::os::unix::fs::symlink(at("elsewhere"), at("done/2026-01-01/link")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("done/2025-01-01")).unwrap();
        let days = BTreeSet::from([day("2025-01-01"), day("2026-01-01"), day("2025-06-01")]);
        let removed = remove_days(&fixture.fs, &fixture.root, &days, &|| false);
        assert!(removed.problem.is_none(), "{removed:?}");
        assert_eq!(removed.files, 3);
        assert_eq!(
            fixture.left(),
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

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A machine that has run for so many days since the spool was set up, on a clock that is right.
    fn after(days: u32) -> Ages {
        let now = Utc::now();
        let moment = |wall, running| Moment {
            wall,
            running,
            boot: "a".into(),
        };
        let elapsed = Elapsed::begin(&moment(now - DAY * days, Duration::ZERO), true);
        let clock = Clock::by_hand(moment(now, DAY * days));
        let mut ages = Ages::new(now, elapsed, BTreeMap::new());
        assert_eq!(ages.look(&clock), None);
        ages
    }

    #[test]
    fn outputs_go_by_their_age_and_those_not_fetched_later() {
        let names = [
            "outbox/acks/read.ack",
            "outbox/acks/sub/read.ack",
            "outbox/acks/unread.ack",
            "outbox/acks/long unread.ack",
            "outbox/acks/new.ack",
            "outbox/acks/year 2300.ack",
            "outbox/reports/read.xml",
            "outbox/reports/unread.xml",
            "outbox/reports/reports_demo_20990101T000000Z_7.xml",
        ];
        let fixture = RetentionFixture::with(&names);
        for (name, days) in names.iter().zip([40, 40, 40, 70, 20, 0, 40, 40, 40]) {
            let written = std::time::SystemTime::now() - DAY * days;
            let read = match name.contains("unread") {
                true => written,
                false => written + Duration::from_secs(60),
            };
            let times = std::fs::FileTimes::new().set_modified(written);
            let file = std::fs::File::open(fixture.temporary.path().join(name)).unwrap();
            file.set_times(times.set_accessed(read)).unwrap();
        }
        let year_2300 = std::time::UNIX_EPOCH + Duration::from_secs(10_413_792_000);
        let path = fixture.temporary.path().join("outbox/acks/year 2300.ack");
        let file = std::fs::File::open(path).unwrap();
        file.set_modified(year_2300).unwrap();
        let keeps_reads = fixture.fs.keeps_reads(&fixture.root).unwrap();
        assert!(
            keeps_reads,
            "the folder for temporary files has no access times"
        );
        let left = |ages: &Ages| {
            let (fs, root) = (&fixture.fs, &fixture.root);
            let removed = remove_outputs(fs, root, ages, DAY * 30, &|| false);
            assert!(removed.removed.problem.is_none());
            (removed.removed.files, removed.unfetched)
        };
        assert_eq!(left(&after(100)), (4, 1));
        let mut files: Vec<String> = fixture.left();
        files.retain(|path| path.contains('.'));
        assert_eq!(
            files,
            [
                "outbox/acks/new.ack",
                "outbox/acks/unread.ack",
                "outbox/acks/year 2300.ack",
                "outbox/reports/reports_demo_20990101T000000Z_7.xml",
                "outbox/reports/unread.xml",
            ]
        );
    }
}
