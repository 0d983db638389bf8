//! However the journal is kept small, and wherever that ends, it gives the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::upkeep::{DeletionLimit, SnapshotTrigger, UpkeepResult, keep};
use super::*;
use crate::model::owner::Owner;
use crate::spool::faults::{Fault, Faults};
use crate::store::KeyChange;

/// What a journal comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct JournalState {
    keys: BTreeMap<String, String>,
    moves: Vec<(u64, Move)>,
    finished: u64,
}

impl JournalState {
    fn take(&mut self, open: &mut OpenMoves, (counters, entries): JournalGroup) {
        for entry in entries {
            for (key, value) in open.follow(&counters, entry) {
                match value {
                    Some(value) => self.keys.insert(key, value.get().to_owned()),
                    None => self.keys.remove(&key),
                };
            }
        }
        self.moves = open.moves.clone();
        self.finished = open.finished;
    }
}

struct Kit {
    temporary: tempfile::TempDir,
    /// What was appended comes to this.
    expected: JournalState,
    open: OpenMoves,
}

impl Kit {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        Self {
            temporary: match memory.is_dir() {
                true => tempfile::tempdir_in(memory).unwrap(),
                false => tempfile::tempdir().unwrap(),
            },
            expected: JournalState::default(),
            open: OpenMoves::default(),
        }
    }

    fn dir(&self, fs: &Fs) -> Dir {
        fs.open_root(self.temporary.path()).unwrap()
    }

    fn path(&self, name: impl AsRef<std::path::Path>) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn journal(&self) -> Result<(Journal, JournalState), JournalError> {
        let fs = Fs::new();
        let (mut state, mut open) = (JournalState::default(), OpenMoves::default());
        let journal = Journal::open(&fs, &self.dir(&fs), false, &mut |group| {
            state.take(&mut open, group);
            Ok(())
        })?;
        Ok((journal, state))
    }

    fn append(&mut self, journal: &mut Journal, entries: Vec<Entry>) {
        let number = journal.counters().group + 1;
        journal.append(&entries, number, number).unwrap();
        self.expected
            .take(&mut self.open, (journal.counters(), entries));
    }

    fn keep(&self, fs: &Fs, before: Option<DateTime<Utc>>) -> Result<UpkeepResult, JournalError> {
        let old = before.map(|written| DeletionLimit {
            segment: u64::MAX,
            written,
        });
        keep(
            fs,
            &self.dir(&Fs::new()),
            SnapshotTrigger::Now,
            old,
            &|| false,
        )
    }

    /// What all segments come to, snapshots left aside.
    fn without_snapshots(&self) -> JournalState {
        let fs = Fs::new();
        let dir = self.dir(&fs);
        let units = JournalFolder::list(&fs, &dir).unwrap().units();
        let (mut state, mut open) = (JournalState::default(), OpenMoves::default());
        read_units(&fs, &dir, &units, units.len(), None, &mut |group| {
            state.take(&mut open, group);
            Ok(())
        })
        .unwrap();
        state
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Three closed segments and an open one, then a snapshot of them, then two more.
    fn kept() -> Self {
        let mut kit = Self::new();
        let (mut journal, _) = kit.journal().unwrap();
        for round in 0..3 {
            kit.append(&mut journal, vec![changes(round, 4), finished(round)]);
            journal.turn().unwrap();
        }
        kit.keep(&Fs::new(), None).unwrap();
        for round in 3..6 {
            kit.append(&mut journal, vec![changes(round, 4)]);
            journal.turn().unwrap();
        }
        kit.append(&mut journal, vec![changes(9, 2)]);
        kit
    }
}

fn value(text: &str) -> Option<Box<serde_json::value::RawValue>> {
    Some(serde_json::value::to_raw_value(text).unwrap())
}

/// Puts of some keys, deletions of others, and a move.
fn changes(seed: u64, count: u64) -> Entry {
    let key = |number: u64| format!("key/{}", (seed * 7 + number * 3) % 11);
    let mut changes: Vec<KeyChange> = (0..count)
        .map(|number| (key(number), value(&format!("{seed}-{number}"))))
        .collect();
    changes.push((key(count), None));
    Entry::Changes {
        what: "test".to_owned(),
        changes,
        moves: vec![Move {
            place: Owner::Desk,
            from: format!("work/{seed}"),
            to: format!("done/{seed}"),
        }],
    }
}

fn finished(group: u64) -> Entry {
    Entry::Finished {
        group,
        left: Vec::new(),
    }
}

#[derive(Debug, Clone)]
enum JournalStep {
    Append(Vec<(u8, Option<String>)>),
    Finish(u8),
    Turn,
    Restart,
    Keep,
    Delete,
}

fn step() -> impl Strategy<Value = JournalStep> {
    let change = (0_u8..20, proptest::option::of("[a-z]{0,6}"));
    prop_oneof![
        5 => proptest::collection::vec(change, 1..6).prop_map(JournalStep::Append),
        1 => (0_u8..8).prop_map(JournalStep::Finish),
        2 => Just(JournalStep::Turn),
        1 => Just(JournalStep::Restart),
        2 => Just(JournalStep::Keep),
        1 => Just(JournalStep::Delete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_keeping_gives_what_all_segments_give(steps in proptest::collection::vec(step(), 1..40)) {
        let mut kit = Kit::new();
        let mut deleted = 0;
        let (mut journal, _) = kit.journal().unwrap();
        for step in steps {
            match step {
                JournalStep::Append(keys) => {
                    let changes = keys
                        .into_iter()
                        .map(|(key, text)| (format!("k/{key}"), text.and_then(|text| value(&text))))
                        .collect();
                    let moves = vec![Move {
                        place: Owner::Documents,
                        from: format!("p-{}", journal.counters().group),
                        to: "there".to_owned(),
                    }];
                    let what = "test".to_owned();
                    kit.append(&mut journal, vec![Entry::Changes { what, changes, moves }]);
                }
                JournalStep::Finish(back) => {
                    let group = journal.counters().group.saturating_sub(u64::from(back));
                    if group > kit.open.finished {
                        kit.append(&mut journal, vec![finished(group)]);
                    }
                }
                JournalStep::Turn => journal.turn().unwrap(),
                JournalStep::Restart => {
                    drop(journal);
                    let (opened, state) = kit.journal().unwrap();
                    prop_assert_eq!(&state, &kit.expected);
                    journal = opened;
                }
                JournalStep::Keep => {
                    kit.keep(&Fs::new(), None).unwrap();
                }
                JournalStep::Delete => {
                    let later = Utc::now() + chrono::Duration::days(1);
                    deleted += kit.keep(&Fs::new(), Some(later)).unwrap().deleted;
                }
            }
        }
        let counters = journal.counters();
        drop(journal);
        let (journal, state) = kit.journal().unwrap();
        prop_assert_eq!(&state, &kit.expected);
        prop_assert_eq!(journal.counters(), counters);
        if deleted == 0 {
            prop_assert_eq!(&kit.without_snapshots(), &kit.expected);
        }
    }
}

#[test]
fn what_is_covered_is_compressed_and_later_deleted() {
    let kit = Kit::kept();
    let day = chrono::Duration::days(1);
    assert_eq!(
        kit.files(),
        [
            "0000000001-0000000003.journal.zst",
            "0000000003.snapshot",
            "0000000004.journal",
            "0000000005.journal",
            "0000000006.journal",
            "0000000007.journal",
        ]
    );
    // Only one snapshot covers the archive: it stays, however old it is.
    let kept = kit.keep(&Fs::new(), Some(Utc::now() - day)).unwrap();
    assert_eq!((kept.snapshots, kept.compressed, kept.deleted), (1, 3, 0));
    // What was not there yet when so much time had been counted is not old, whatever the clock says.
    let old = DeletionLimit {
        segment: 1,
        written: Utc::now() + day,
    };
    let dir = kit.dir(&Fs::new());
    let kept = keep(&Fs::new(), &dir, SnapshotTrigger::Due, Some(old), &|| false).unwrap();
    assert_eq!(kept, UpkeepResult::default());
    let kept = kit.keep(&Fs::new(), Some(Utc::now() + day)).unwrap();
    assert_eq!((kept.snapshots, kept.compressed, kept.deleted), (0, 0, 1));
    assert_eq!(
        kit.files(),
        [
            "0000000003.snapshot",
            "0000000004-0000000006.journal.zst",
            "0000000006.snapshot",
            "0000000007.journal",
        ]
    );
    assert_eq!(kit.journal().unwrap().1, kit.expected);
}

/// Each start begins a segment: however little they hold, they do not pile up for ever.
#[test]
fn many_small_segments_become_one_file() {
    let mut kit = Kit::new();
    let fs = Fs::new();
    for round in 0..300 {
        let (mut journal, _) = kit.journal().unwrap();
        kit.append(&mut journal, vec![changes(round, 2)]);
        keep(&fs, &kit.dir(&fs), SnapshotTrigger::Due, None, &|| false).unwrap();
    }
    let files = kit.files();
    assert!(files.len() < 60, "{}", files.len());
    assert!(
        files.contains(&"0000000001-0000000256.journal.zst".to_owned())
            && files.contains(&"0000000256.snapshot".to_owned()),
        "{files:?}"
    );
    assert_eq!(kit.journal().unwrap().1, kit.expected);
}

#[test]
fn every_disk_operation_of_keeping_may_be_the_last() {
    let later = || Some(Utc::now() + chrono::Duration::days(1));
    let faults = Arc::new(Faults::none());
    let kit = Kit::kept();
    kit.keep(&Fs::with_faults(Arc::clone(&faults)), later())
        .unwrap();
    let calls = faults.calls();
    assert!(calls > 40, "{calls}");
    for fault in (1..=calls).flat_map(|call| {
        [
            Fault::StopBefore(call),
            Fault::StopAfter(call),
            Fault::Fail(call, 1, libc::ENOSPC),
        ]
    }) {
        let kit = Kit::kept();
        let faults = Arc::new(Faults::with(fault));
        let kept = kit.keep(&Fs::with_faults(Arc::clone(&faults)), later());
        assert!(
            kept.is_err() || matches!(fault, Fault::StopAfter(_) | Fault::Fail(..)),
            "{fault:?}"
        );
        faults.forget();
        let (journal, state) = kit.journal().unwrap_or_else(|error| {
            panic!("{fault:?}: {error}, {:?}", kit.files());
        });
        assert_eq!(state, kit.expected, "{fault:?}");
        drop(journal);
        kit.keep(&Fs::new(), later()).unwrap();
        assert_eq!(kit.journal().unwrap().1, kit.expected, "{fault:?}, kept");
        let left = kit.files();
        assert!(
            !left.iter().any(|name| name.ends_with(".new")),
            "{fault:?}: {left:?}"
        );
    }
    println!(
        "{calls} operations of keeping, stopped before, after and failed at each: the same is known"
    );
}

#[test]
fn a_damaged_snapshot_is_passed_over_or_said_and_never_believed() {
    let path = |kit: &Kit, number: u64| kit.path(folder::snapshot(number));
    let whole = {
        let kit = Kit::kept();
        std::fs::read(path(&kit, 3)).unwrap()
    };
    let later = Some(Utc::now() + chrono::Duration::days(1));
    for at in (0..whole.len()).step_by(13) {
        let kit = Kit::kept();
        let mut bytes = std::fs::read(path(&kit, 3)).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        std::fs::write(path(&kit, 3), &bytes).unwrap();
        // The segments that it covers are there.
        assert_eq!(kit.journal().unwrap().1, kit.expected, "byte {at}");
        std::fs::write(path(&kit, 3), &bytes[..at]).unwrap();
        assert_eq!(kit.journal().unwrap().1, kit.expected, "cut at {at}");
        // Another is made from them, and the damaged one is not counted as one of two.
        kit.keep(&Fs::new(), later).unwrap();
        assert_eq!(kit.journal().unwrap().1, kit.expected, "kept after {at}");
    }
    let kit = Kit::kept();
    kit.keep(&Fs::new(), later).unwrap();
    kit.keep(&Fs::new(), later).unwrap();
    assert!(!kit.path("0000000001-0000000003.journal.zst").exists());
    let spoil = |number: u64| {
        let mut bytes = std::fs::read(path(&kit, number)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path(&kit, number), bytes).unwrap();
    };
    spoil(6);
    assert_eq!(kit.journal().unwrap().1, kit.expected);
    // Both are damaged and what they covered is gone: it is said, and nothing is made up.
    spoil(3);
    let error = kit.journal().unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { segment, .. } if segment == "0000000001.journal"),
        "{error}"
    );
}

#[test]
fn a_missing_or_damaged_archive_that_is_needed_is_said() {
    let kit = Kit::kept();
    let archive = kit.path("0000000001-0000000003.journal.zst");
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::remove_file(kit.path(folder::snapshot(3))).unwrap();
    assert_eq!(kit.journal().unwrap().1, kit.expected);
    for at in 0..bytes.len() {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1;
        std::fs::write(&archive, spoilt).unwrap();
        match kit.journal() {
            Err(JournalError::Damaged { .. }) => {}
            Ok((_, state)) => assert_eq!(state, kit.expected, "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    std::fs::remove_file(&archive).unwrap();
    assert!(matches!(kit.journal(), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_snapshot_without_what_follows_it_is_said() {
    let kit = Kit::kept();
    for number in 4..=7 {
        std::fs::remove_file(kit.path(folder::segment(number))).unwrap();
    }
    assert!(matches!(kit.journal(), Err(JournalError::Damaged { .. })));
}
