//! `verify` finds every kind of damage, and finds nothing where there is none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use chrono::Duration;
use rcpspool::clock::Clock;
use rcpspool::config::Config;
use rcpspool::engine::{Engine, OpenStore};
use rcpspool::spool::fs::Fs;
use rcpspool::store::{KeyChange, SledStore, apply_all};
use rcpspool::verify::{CheckTopic, Findings, verify};

use support::{World, content, document, patient, session, siu, take_all};

const INBOX: &str = "facilities/demo";

/// A spool in which something of everything happened, closed cleanly.
fn lived_in() -> World {
    let world = World::new();
    let mut engine = world.open_sled();
    world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    for number in 0..3 {
        let case = format!("C{number}");
        let message = siu("S12", &case, &case, "20250401120000", "20250408");
        world.drop(INBOX, &format!("{case}.hl7"), message);
    }
    world.drop(INBOX, "w.hl7", patient("P9", "20250401120000", "061"));
    let sent = document("C0", "20250401130000", "D-1", "%PDF-1.4 x");
    world.drop(INBOX, "x/d.hl7", sent);
    take_all(&mut engine).unwrap();
    engine.snapshot().unwrap();
    for (number, request) in [(0, "q1"), (1, "q2")] {
        let complete = format!(
            r#"{{"command":"complete","facility":"demo","case":"C{number}","decision":"x","time":"2025-04-08T18:00:00+02:00"}}"#
        );
        world.drop("desk", &format!("c{number}.json"), complete);
        world.drop(INBOX, &format!("{request}.retrieve"), "");
        take_all(&mut engine).unwrap();
    }
    engine.snapshot().unwrap();
    let message = siu("S12", "C9", "C9", "20250401120000", "20250408");
    world.drop(INBOX, "last.hl7", message);
    take_all(&mut engine).unwrap();
    engine.close().unwrap();
    world
}

fn found(world: &World) -> Findings {
    verify(&Fs::new(), &world.config).unwrap()
}

/// The first file below a folder whose path fits.
fn file(world: &World, below: &str, fits: impl Fn(&str) -> bool) -> PathBuf {
    walkdir::WalkDir::new(world.path(below))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().to_owned())
        .find(|path| fits(path.to_str().unwrap()))
        .unwrap()
}

fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn change_store(world: &World, change: KeyChange) {
    let store = SledStore::open(&world.path("store/db")).unwrap();
    apply_all(&store, &[change]).unwrap();
    rcpspool::store::Store::flush(&store).unwrap();
}

/// Changes what the journal says, with everything else as it is.
fn record(world: &World, key: &str, change: impl FnOnce(&mut serde_json::Value)) {
    use rcpspool::journal::{Entry, Journal};
    let fs = Fs::new();
    let engine = world.open();
    let before = content(&**engine.store());
    drop(engine);
    let mut value = serde_json::from_str(&before[key]).unwrap();
    change(&mut value);
    let dir = fs.open_root(&world.path("journal")).unwrap();
    let mut journal = Journal::open(&fs, &dir, true, &mut |_| Ok(())).unwrap();
    let counters = journal.counters();
    let changes = vec![(
        key.to_owned(),
        Some(serde_json::value::to_raw_value(&value).unwrap()),
    )];
    let entry = Entry::Changes {
        what: "damage".to_owned(),
        changes,
        moves: Vec::new(),
    };
    journal
        .append(&[entry], counters.order, counters.message)
        .unwrap();
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let world = lived_in();
    for round in 0..2 {
        let found = found(&world);
        assert!(
            found.differences.is_empty() && found.notes.is_empty(),
            "{round}: {found:#?}"
        );
        let checked = found.checked;
        assert_eq!((checked.reports, checked.batches), (2, 2), "{checked:?}");
        assert!(checked.documents >= 3, "{checked:?}");
        assert!(
            checked.snapshots == 2 && checked.segments >= 3,
            "{checked:?}"
        );
        assert!(checked.files >= 8, "{checked:?}");
    }
    // It left the store trusted.
    assert!(world.path("store/CLEAN").is_file());
    let engine = world.open_sled();
    let refused = verify(&Fs::new(), &world.config).unwrap_err().to_string();
    assert!(refused.contains("in use by another rcpspool"), "{refused}");
    engine.close().unwrap();
}

type Damage = (&'static str, CheckTopic, &'static str, fn(&World));

#[test]
fn each_kind_of_damage_is_found_and_named() {
    let damages: Vec<Damage> = vec![
        (
            "a spoilt archive",
            CheckTopic::Journal,
            ".journal.zst",
            |world| {
                spoil(&file(world, "journal", |path| path.ends_with(".zst")));
            },
        ),
        (
            "a spoilt snapshot",
            CheckTopic::Journal,
            ".snapshot",
            |world| {
                spoil(&file(world, "journal", |path| path.ends_with(".snapshot")));
            },
        ),
        (
            "a spoilt segment",
            CheckTopic::Journal,
            ".journal",
            |world| {
                spoil(&file(world, "journal", |path| path.ends_with(".journal")));
            },
        ),
        (
            "a missing archive between others",
            CheckTopic::Journal,
            "is missing",
            |world| {
                let second = file(world, "journal", |path| {
                    path.ends_with(".zst") && !path.contains("0000000001-")
                });
                std::fs::remove_file(second).unwrap();
            },
        ),
        (
            "a key too much in the store",
            CheckTopic::Store,
            "it holds case/demo/X",
            |world| {
                let value = serde_json::value::to_raw_value("x").unwrap();
                change_store(world, ("case/demo/X".to_owned(), Some(value)));
            },
        ),
        (
            "a key lost from the store",
            CheckTopic::Store,
            "it lacks case/demo/C1",
            |world| {
                change_store(world, ("case/demo/C1".to_owned(), None));
            },
        ),
        (
            "another value in the store",
            CheckTopic::Store,
            "patient/demo/C2 has another value",
            |world| {
                let value = serde_json::value::to_raw_value("x").unwrap();
                change_store(world, ("patient/demo/C2".to_owned(), Some(value)));
            },
        ),
        (
            "a document removed",
            CheckTopic::Documents,
            "is missing; document/demo/",
            |world| {
                let content = file(world, "documents", |path| {
                    std::fs::read(path).unwrap() == b"%PDF-1.4 x"
                });
                std::fs::remove_file(content).unwrap();
            },
        ),
        (
            "a document cut",
            CheckTopic::Documents,
            "has 3 bytes, and not 10",
            |world| {
                let content = file(world, "documents", |path| {
                    std::fs::read(path).unwrap() == b"%PDF-1.4 x"
                });
                std::fs::write(content, "%PD").unwrap();
            },
        ),
        (
            "a document changed",
            CheckTopic::Documents,
            "something else than its name says",
            |world| {
                let content = file(world, "documents", |path| {
                    std::fs::read(path).unwrap() == b"%PDF-1.4 x"
                });
                std::fs::write(content, "%PDF-1.4 y").unwrap();
            },
        ),
        (
            "a content nobody names",
            CheckTopic::Documents,
            "documents/00/x is named by nobody",
            |world| {
                std::fs::create_dir_all(world.path("documents/00")).unwrap();
                std::fs::write(world.path("documents/00/x"), "x").unwrap();
            },
        ),
        (
            "a file gone from done",
            CheckTopic::Folders,
            "C1.hl7 is missing",
            |world| {
                std::fs::remove_file(file(world, INBOX, |path| path.ends_with("/C1.hl7"))).unwrap();
            },
        ),
        (
            "a file too much in error",
            CheckTopic::Folders,
            "nobody put error/C1.hl7 there",
            |world| {
                std::fs::write(world.path("facilities/demo/error/C1.hl7"), "x").unwrap();
            },
        ),
        (
            "another folder in the place of a facility's",
            CheckTopic::Folders,
            "its marker is missing",
            |world| {
                std::fs::remove_file(world.path("facilities/demo/.rcpspool")).unwrap();
            },
        ),
        (
            "a batch changed in the outbox",
            CheckTopic::Reports,
            "q1.xml is not what batch 1 holds",
            |world| {
                spoil(&world.path("facilities/demo/outbox/reports/q1.xml"));
            },
        ),
        (
            "a batch that goes on",
            CheckTopic::Reports,
            "q2.xml is not what batch 2 holds",
            |world| {
                let path = world.path("facilities/demo/outbox/reports/q2.xml");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(path, text + "\n").unwrap();
            },
        ),
        (
            "a batch that was never written",
            CheckTopic::Reports,
            "there is no batch 3",
            |world| {
                record(world, "cursor/demo", |cursor| cursor["batches"] = 3.into());
            },
        ),
        (
            "a report version that did not leave",
            CheckTopic::Reports,
            "left, and stands in no batch",
            |world| {
                record(world, "batch/demo/0000000000000001", |batch| {
                    batch["versions"] = serde_json::json!([]);
                });
            },
        ),
        (
            "a report version that left twice",
            CheckTopic::Reports,
            "batch 1 and 2",
            |world| {
                record(world, "batch/demo/0000000000000002", |batch| {
                    let first = serde_json::json!({"case": "C0", "version": 1});
                    batch["versions"].as_array_mut().unwrap().push(first);
                });
            },
        ),
        (
            "a report version that is not known",
            CheckTopic::Reports,
            "which there is not",
            |world| {
                record(world, "batch/demo/0000000000000002", |batch| {
                    let unknown = serde_json::json!({"case": "C7", "version": 1});
                    batch["versions"].as_array_mut().unwrap().push(unknown);
                });
            },
        ),
        (
            "a hole in the report versions",
            CheckTopic::Reports,
            "there is no report version 3",
            |world| {
                record(world, "cursor/demo", |cursor| cursor["versions"] = 3.into());
            },
        ),
    ];
    for (name, about, says, damage) in damages {
        let world = lived_in();
        damage(&world);
        let found = found(&world);
        let is_named = found
            .differences
            .iter()
            .any(|finding| finding.about == about && finding.what.contains(says));
        assert!(is_named, "{name}: {found:#?}");
        let others: Vec<_> = found
            .differences
            .iter()
            .filter(|finding| finding.about != about)
            .collect();
        assert!(others.is_empty(), "{name}: {others:#?}");
    }
}

/// Whoever removes refused files by hand reads of it once.
#[test]
fn refused_files_that_somebody_removed_are_told_of_once() {
    for with_sidecar in [true, false] {
        let world = lived_in();
        let error = world.path("facilities/demo/error");
        std::fs::remove_file(error.join("w.hl7")).unwrap();
        if with_sidecar {
            std::fs::remove_file(error.join("w.hl7.error.json")).unwrap();
        }
        let first = found(&world);
        assert!(first.differences.is_empty(), "{first:#?}");
        let told: Vec<&str> = first.notes.iter().map(|note| note.what.as_str()).collect();
        assert_eq!(
            told,
            ["demo: error/w.hl7 is missing: somebody removed it, and it is forgotten"]
        );
        let mut engine = world.open_sled();
        engine.forget_removed_refused(100).unwrap();
        engine.close().unwrap();
        let then = found(&world);
        assert!(then.differences.is_empty(), "{then:#?}");
        assert!(then.notes.is_empty(), "{then:#?}");
        // Another file of that name is looked for as any other.
        let mut engine = world.open_sled();
        world.drop(INBOX, "w.hl7", "nonsense");
        take_all(&mut engine).unwrap();
        engine.close().unwrap();
        world.assert_verified("with another one");
    }
    // A sidecar says nothing that the store does not know.
    let world = lived_in();
    let sidecar = world.path("facilities/demo/error/w.hl7.error.json");
    std::fs::remove_file(sidecar).unwrap();
    let found = found(&world);
    assert!(
        found.differences.is_empty() && found.notes.is_empty(),
        "{found:#?}"
    );
}

/// What the next start sees to is a note, and no difference.
#[test]
fn what_a_kill_leaves_behind_is_noted() {
    let damages: Vec<Damage> = vec![
        (
            "prepared output",
            CheckTopic::Folders,
            "work/p-0-1 was prepared",
            |world| {
                std::fs::write(world.path("facilities/demo/work/p-0-1"), "x").unwrap();
            },
        ),
        (
            "a prepared document",
            CheckTopic::Documents,
            "documents/p-0-1 was prepared",
            |world| {
                std::fs::write(world.path("documents/p-0-1"), "x").unwrap();
            },
        ),
        (
            "a claim",
            CheckTopic::Folders,
            "is claimed and waits",
            |world| {
                let claim = rcpspool::spool::claim::Claim::new(99, "0", Path::new("n.hl7"));
                let path = world.path("facilities/demo/work").join(claim.name());
                std::fs::write(path, "x").unwrap();
            },
        ),
        (
            "a torn end",
            CheckTopic::Journal,
            "never counted",
            |world| {
                use std::io::Write;
                let last = file(world, "journal", |path| path.ends_with(".journal"));
                let mut last = std::fs::File::options().append(true).open(last).unwrap();
                last.write_all(b"\x50\0\0\0gar").unwrap();
            },
        ),
        (
            "a snapshot that was not finished",
            CheckTopic::Journal,
            "was never finished",
            |world| {
                std::fs::write(world.path("journal/0000000099.snapshot.new"), "x").unwrap();
            },
        ),
        (
            "a store that was not closed",
            CheckTopic::Store,
            "not left by a clean stop",
            |world| {
                std::fs::remove_file(world.path("store/CLEAN")).unwrap();
            },
        ),
        (
            "a store that is gone",
            CheckTopic::Store,
            "not left by a clean stop",
            |world| {
                std::fs::remove_dir_all(world.path("store/db")).unwrap();
            },
        ),
    ];
    for (name, about, says, damage) in damages {
        let world = lived_in();
        damage(&world);
        let first = found(&world);
        assert!(first.differences.is_empty(), "{name}: {first:#?}");
        let is_named = first
            .notes
            .iter()
            .any(|finding| finding.about == about && finding.what.contains(says));
        assert!(is_named, "{name}: {first:#?}");
        let mut engine = world.open_sled();
        take_all(&mut engine).unwrap();
        engine.close().unwrap();
        let after = found(&world);
        assert!(
            after.differences.is_empty() && after.notes.is_empty(),
            "{name}, after a start: {after:#?}"
        );
    }
}

#[test]
fn retention_removes_what_is_old_once_a_day_and_says_so() {
    let mut world = lived_in();
    let mut settings = Config::clone(&world.config);
    settings.retention.done = std::time::Duration::ZERO;
    settings.retention.outbox = std::time::Duration::ZERO;
    settings.retention.journal = std::time::Duration::ZERO;
    world.config = std::sync::Arc::new(settings);
    let before = world.seen().len();
    let clock = Clock::by_hand(Clock::default().moment());
    let fs = Fs::new().with_clock(clock.clone());
    let mut engine = Engine::open(world.config.clone(), fs, OpenStore::Sled).unwrap();
    let known = content(&**engine.store());
    // The clock is far off, and no time has passed: nothing is removed.
    for off in [0, 9, -9] {
        clock.set(|moment| moment.wall += Duration::days(off));
        let due = engine.upkeep().unwrap();
        due.run(&|| false).unwrap();
        assert_eq!(world.seen().len(), before);
    }
    let pass = |hours: u32| {
        clock.set(|moment| {
            let time = std::time::Duration::from_secs(60 * 60) * hours;
            moment.wall += Duration::hours(i64::from(hours));
            moment.running += time;
        });
    };
    pass(40 * 24);
    engine.upkeep().unwrap().run(&|| false).unwrap();
    let mut left: Vec<String> = world
        .seen()
        .into_keys()
        .map(|path| path.display().to_string())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "facilities/demo/error/w.hl7",
            "facilities/demo/error/w.hl7.error.json"
        ]
    );
    let days = std::fs::read_dir(world.path("facilities/demo/done")).unwrap();
    assert_eq!(days.count(), 0);
    // The journal that only one snapshot covers stays.
    let archives: Vec<PathBuf> = walkdir::WalkDir::new(world.path("journal"))
        .into_iter()
        .map(|entry| entry.unwrap().path().to_owned())
        .filter(|path| path.extension().is_some_and(|ending| ending == "zst"))
        .collect();
    assert_eq!(archives.len(), 1, "{archives:?}");
    // The same day, nothing more is removed.
    let message = siu("S12", "C8", "C8", "20250401120000", "20250408");
    world.drop(INBOX, "C8.hl7", message);
    // What came before is known all the same.
    let again = siu("S12", "C1", "C1", "20250401120000", "20250408");
    world.drop(INBOX, "again.hl7", again);
    let taken = take_all(&mut engine).unwrap();
    assert_eq!((taken.accepted, taken.duplicate), (1, 1));
    pass(23);
    engine.upkeep().unwrap().run(&|| false).unwrap();
    assert_eq!(
        world
            .names(INBOX)
            .iter()
            .filter(|name| name.starts_with("done/"))
            .count(),
        2
    );
    assert!(
        known
            .keys()
            .all(|key| content(&**engine.store()).contains_key(key))
    );
    engine.close().unwrap();
    let found = found(&world);
    assert!(found.differences.is_empty(), "{found:#?}");
    // The store can be made again from what is left of the journal.
    std::fs::remove_dir_all(world.path("store")).unwrap();
    world.open_sled().close().unwrap();
    world.assert_verified("after a rebuild");
}
