//! When a file in an inbox is whole: unchanged between two looks (design.md, "Taking files in").

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sweep::{FileStat, InboxFile, Sweep, age};

/// What was seen of the files of one inbox.
#[derive(Debug, Default)]
pub struct Stability {
    seen: HashMap<PathBuf, (FileStat, Instant)>,
    arrived_whole: HashSet<PathBuf>,
    next: Option<Duration>,
    newer_than_clock: usize,
}

impl Stability {
    /// A file came by a rename, whole: it needs no second look.
    pub fn arrived_whole(&mut self, path: &Path) {
        self.arrived_whole.insert(path.to_owned());
    }

    /// The files that are ready, in order, up to the first that still settles: what came later waits for it.
    ///
    /// Two looks are `settle` apart on the monotonic clock. On a local file system the time of the last change is the
    /// kernel's own, so that one look at a file which nobody touched for `settle` is enough.
    ///
    /// A file that is newer than our clock, `wall` in nanoseconds, is the last of every sweep: it waits only for what
    /// was seen no later than it, else it would wait for as long as files come.
    pub fn ready(
        &mut self,
        sweep: &Sweep,
        settle: Duration,
        local: bool,
        wall: i128,
    ) -> Vec<InboxFile> {
        let now = Instant::now();
        let mut first_unsettled: Option<Instant> = None;
        self.newer_than_clock = 0;
        let mut seen = HashMap::with_capacity(sweep.files.len());
        let mut ready = Vec::new();
        self.next = None;
        for found in &sweep.files {
            let first = match self.seen.get(&found.path) {
                Some((look, first)) if *look == found.look => *first,
                _ => now,
            };
            let unchanged = now.duration_since(first);
            let unchanged = match local {
                true => unchanged.max(age(found.look.changed).unwrap_or_default()),
                false => unchanged,
            };
            let settled = unchanged >= settle || self.arrived_whole.contains(&found.path);
            let is_newer = found.look.modified > wall;
            let waits_for_another = match first_unsettled {
                None => false,
                Some(other) => !is_newer || other <= first,
            };
            if settled && !waits_for_another {
                // Should it come again under this name, it may come in pieces.
                self.arrived_whole.remove(&found.path);
                ready.push(found.clone());
            } else {
                self.newer_than_clock += usize::from(is_newer);
                if self.next.is_none() {
                    self.next = Some(settle.saturating_sub(unchanged));
                }
            }
            if !settled {
                first_unsettled = Some(first_unsettled.map_or(first, |other| other.min(first)));
            }
            seen.insert(found.path.clone(), (found.look, first));
        }
        self.seen = seen;
        let present = &self.seen;
        self.arrived_whole.retain(|path| present.contains_key(path));
        ready
    }

    /// After what time the first that still settles may be ready, if there is one.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// How many files, at the last look, were still to settle and are newer than our clock.
    pub fn newer_than_clock(&self) -> usize {
        self.newer_than_clock
    }

    /// How many files were seen at the last look.
    pub fn waiting(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(files: &[(&str, u64)]) -> Sweep {
        let files = files
            .iter()
            .zip(0..)
            .map(|((path, size), modified)| InboxFile {
                path: PathBuf::from(path),
                look: FileStat {
                    inode: 1,
                    size: *size,
                    modified,
                    changed: i128::MAX,
                },
            });
        Sweep {
            files: files.collect(),
            ..Sweep::default()
        }
    }

    /// Later than every time of the files here.
    const WALL: i128 = 1_000;

    #[test]
    fn what_is_newer_than_the_clock_does_not_wait_for_what_comes_after_it() {
        let settle = Duration::from_millis(20);
        let dated = |files: &[(&str, i128)]| {
            let mut found = sweep(&files.iter().map(|(name, _)| (*name, 1)).collect::<Vec<_>>());
            for (file, (_, modified)) in found.files.iter_mut().zip(files) {
                file.look.modified = *modified;
            }
            found
        };
        for (modified, is_taken) in [(WALL + 1, true), (i128::MAX, true), (WALL, false)] {
            let mut settling = Stability::default();
            let first = dated(&[("early", 5), ("ahead", modified)]);
            assert!(settling.ready(&first, settle, true, WALL).is_empty());
            let newer = usize::from(is_taken);
            assert_eq!(settling.newer_than_clock(), newer);
            std::thread::sleep(settle);
            // Others go on coming, each of them younger than the last look.
            let others = dated(&[("other", 6), ("ahead", modified)]);
            let ready = settling.ready(&others, settle, true, WALL);
            assert_eq!(names(&ready) == ["ahead"], is_taken, "{modified}");
            assert_eq!(settling.newer_than_clock(), 0);
        }
        // What came before it goes before it.
        let mut settling = Stability::default();
        let both = dated(&[("early", 5), ("ahead", WALL + 1)]);
        settling.arrived_whole(Path::new("ahead"));
        assert!(settling.ready(&both, settle, true, WALL).is_empty());
        std::thread::sleep(settle);
        let ready = settling.ready(&both, settle, true, WALL);
        assert_eq!(names(&ready), ["early", "ahead"]);
    }

    fn names(ready: &[InboxFile]) -> Vec<&str> {
        ready
            .iter()
            .filter_map(|found| found.path.to_str())
            .collect()
    }

    #[test]
    fn a_file_is_ready_once_it_stays_the_same() {
        let mut settling = Stability::default();
        let settle = Duration::from_millis(20);
        assert!(
            settling
                .ready(&sweep(&[("a", 1)]), settle, true, WALL)
                .is_empty()
        );
        assert!(
            settling
                .ready(&sweep(&[("a", 1)]), settle, true, WALL)
                .is_empty()
        );
        std::thread::sleep(settle);
        assert!(
            settling
                .ready(&sweep(&[("a", 2)]), settle, true, WALL)
                .is_empty()
        );
        std::thread::sleep(settle);
        assert_eq!(
            names(&settling.ready(&sweep(&[("a", 2)]), settle, true, WALL)),
            ["a"]
        );
    }

    #[test]
    fn what_came_whole_once_may_come_in_pieces_the_next_time() {
        let mut settling = Stability::default();
        let settle = Duration::from_secs(60);
        settling.arrived_whole(Path::new("a"));
        assert_eq!(
            names(&settling.ready(&sweep(&[("a", 9)]), settle, true, WALL)),
            ["a"]
        );
        assert_eq!(settling.next(), None);
        assert!(
            settling
                .ready(&sweep(&[("a", 1)]), settle, true, WALL)
                .is_empty()
        );
        assert!(
            settling
                .next()
                .is_some_and(|next| next > Duration::from_secs(50))
        );
    }

    #[test]
    fn what_came_whole_waits_only_for_what_is_older() {
        let mut settling = Stability::default();
        let settle = Duration::from_secs(60);
        settling.arrived_whole(Path::new("b"));
        assert!(
            settling
                .ready(&sweep(&[("a", 1), ("b", 1)]), settle, true, WALL)
                .is_empty()
        );
        assert_eq!(
            names(&settling.ready(&sweep(&[("b", 1)]), settle, true, WALL)),
            ["b"]
        );
    }
}
