//! A journal that is missing, another's, shorter than it was or torn: what is lost is never taken for what never was.
//! A start is refused where something proves a loss, and changes nothing; where nothing was acknowledged, it goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rcpspool::config::Config;
use rcpspool::engine::{Engine, EngineError, Loss, OpenStore, StartOptions};
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;

use support::{World, patient, session, siu, take_all};

const ACCEPT: StartOptions = StartOptions {
    accept_loss: true,
    rebuild: false,
};

/// Everything below a folder, with the content of files.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter();
    entries
        .map(|entry| entry.unwrap().into_path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default()))
        .collect()
}

fn open_with(world: &World, start: StartOptions) -> Result<Engine, EngineError> {
    patiently(|| {
        let config = Arc::clone(&world.config);
        Engine::open_as(config, Fs::new(), OpenStore::Sled, start, &mut |_| {})
    })
}

fn patiently<T>(open: impl FnMut() -> Result<T, EngineError>) -> Result<T, EngineError> {
    support::patiently(open, support::is_in_use)
}

fn last_segment(world: &World) -> PathBuf {
    segments(world).pop().unwrap()
}

fn send(world: &World, round: u32) {
    for number in 0..6 {
        let ipp = format!("P{round}-{number}");
        let message = patient(&ipp, "20250401100000", "0612345678");
        world.drop("facilities/demo", &format!("{ipp}.hl7"), message);
    }
}

/// A spool that took in two groups and was killed while it put the third on the disk, just before its sync: nothing of
/// it was acknowledged. With where this group begins in the last segment.
fn before_the_sync() -> (World, usize) {
    for point in 1.. {
        let world = World::new();
        let faults = Arc::new(Faults::none());
        let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
        for round in 0..2 {
            send(&world, round);
            take_all(&mut engine).unwrap();
        }
        let begin = std::fs::metadata(last_segment(&world)).unwrap().len();
        let calls = faults.calls();
        send(&world, 2);
        drop(engine);
        let faults = Arc::new(Faults::with(Fault::StopBefore(calls + point)));
        let world = World::new();
        let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
        for round in 0..3 {
            send(&world, round);
            if take_all(&mut engine).is_err() {
                break;
            }
        }
        drop(engine);
        assert!(faults.is_stopped(), "no sync of the journal was met");
        let length = std::fs::metadata(last_segment(&world)).unwrap().len();
        if faults.failed() == Some("sync") && length > begin {
            // Times in the entries may differ by a digit: where the group begins is looked up.
            let bytes = std::fs::read(last_segment(&world)).unwrap();
            let groups = bytes.windows(10).filter(|it| it == b"{\"commit\":");
            let begin = nth_end(&bytes, groups.count() - 1);
            return (world, begin);
        }
    }
    unreachable!()
}

/// Where the n-th group ends in the bytes of a segment.
fn nth_end(bytes: &[u8], number: usize) -> usize {
    let mut at = 0;
    let mut groups = 0;
    while groups < number {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if bytes[at + 8..].starts_with(b"{\"commit\":") {
            groups += 1;
        }
        at += 8 + length;
    }
    at
}

/// What a power cut may leave of what was written from `begin` to `end`: pages of this size that never reached the
/// disk, and the length that did. Every pattern of few pages, and many of many.
fn torn(bytes: &[u8], begin: usize, end: usize, page: usize) -> Vec<Vec<u8>> {
    let first = begin / page;
    let pages = (end - 1) / page - first + 1;
    let patterns: Vec<u64> = match pages {
        ..=9 => (1..1 << pages).collect(),
        _ => {
            let singles = (0..pages).map(|at| 1 << at);
            let alone = (0..pages).map(|at| ((1 << pages) - 1) & !(1_u64 << at));
            let mixed = (1..80_u64).map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
            let mixed = mixed.map(|mix| mix & ((1 << pages) - 1));
            singles.chain(alone).chain(mixed).collect()
        }
    };
    let mut all = Vec::new();
    for pattern in patterns.into_iter().filter(|pattern| *pattern != 0) {
        let mut torn = bytes.to_vec();
        for at in (0..pages).filter(|at| pattern >> at & 1 == 1) {
            let from = ((first + at) * page).max(begin);
            let to = ((first + at + 1) * page).min(end);
            torn[from..to].fill(0);
        }
        all.push(torn);
    }
    // Or the file did not grow so far.
    all.extend((begin..end).step_by(page).map(|end| bytes[..end].to_vec()));
    all
}

fn refused(world: &World, what: &str) -> String {
    let before = snapshot(&world.config.spool);
    let refusal = match world.open_on(Fs::new()) {
        Err(error @ (EngineError::Loss(_) | EngineError::Journal(_))) => error.to_string(),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it was taken for good"),
    };
    assert_eq!(
        snapshot(&world.config.spool),
        before,
        "{what}: it was changed"
    );
    refusal
}

#[test]
fn a_last_group_torn_anywhere_is_cut_where_nothing_was_acknowledged() {
    let (world, begin) = before_the_sync();
    let bytes = std::fs::read(last_segment(&world)).unwrap();
    let mut cut = 0;
    for page in [512, 4096] {
        for (number, torn) in torn(&bytes, begin, bytes.len(), page)
            .into_iter()
            .enumerate()
        {
            let copy = world.copy();
            std::fs::write(last_segment(&copy), torn).unwrap();
            let mut engine = copy
                .open_on(Fs::new())
                .unwrap_or_else(|error| panic!("{page}, pattern {number}: {error}"));
            take_all(&mut engine).unwrap();
            assert_eq!(copy.names("facilities/demo/outbox/acks").len(), 18);
            engine.close().unwrap();
            if number % 50 == 0 {
                copy.assert_verified(&format!("{page}, pattern {number}"));
            }
            cut += 1;
        }
    }
    println!("{cut} patterns cut");
    assert!(cut > 60, "{cut}");
}

#[test]
fn the_same_after_a_move_or_before_another_group_is_damage() {
    let (world, _) = before_the_sync();
    // It is taken in now, in a group of its own, and the process is killed.
    let mut engine = world.open();
    take_all(&mut engine).unwrap();
    engine.idle().unwrap();
    for round in 3..5 {
        send(&world, round);
        take_all(&mut engine).unwrap();
    }
    drop(engine);
    let segment = last_segment(&world);
    let bytes = std::fs::read(&segment).unwrap();
    let groups = bytes.windows(10).filter(|it| it == b"{\"commit\":").count();
    assert!(groups >= 3, "{groups}");
    let mut refusals = 0;
    for page in [512, 4096] {
        for group in [groups - 2, groups - 1] {
            let (begin, end) = (nth_end(&bytes, group), nth_end(&bytes, group + 1));
            for (number, torn) in torn(&bytes, begin, end, page).into_iter().enumerate() {
                std::fs::write(&segment, torn).unwrap();
                refused(&world, &format!("group {group}, {page}, pattern {number}"));
                refusals += 1;
            }
        }
    }
    println!("{refusals} patterns refused");
    // Without the store's witness, the files that were moved say so, where the group still names one of them.
    let (begin, end) = (nth_end(&bytes, groups - 1), bytes.len());
    let mut spoilt = bytes.clone();
    spoilt[begin + (end - begin) / 2..][..64].fill(0);
    std::fs::write(&segment, spoilt).unwrap();
    std::fs::remove_dir_all(world.path("store")).unwrap();
    std::fs::create_dir(world.path("store")).unwrap();
    let refusal = refused(&world, "without the store");
    assert!(refusal.contains("were moved for it"), "{refusal}");
    std::fs::write(&segment, bytes).unwrap();
    let mut engine = world.open();
    assert_eq!(
        engine
            .take_in(Vec::new())
            .map(|()| engine.totals().rejected)
            .unwrap(),
        0
    );
    engine.close().unwrap();
    world.assert_verified("whole again");
}

/// A spool that was used, with a report that left, and was ended cleanly.
fn lived_in() -> World {
    let world = World::new();
    let mut engine = world.open_sled();
    live(&world, &mut engine, "Chirurgie");
    engine.close().unwrap();
    world
}

fn live(world: &World, engine: &mut Engine, decision: &str) {
    world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    let message = siu("S12", "C1", "P1", "20250401120000", "20250408");
    world.drop("facilities/demo", "a.hl7", message);
    take_all(engine).unwrap();
    let complete = format!(
        r#"{{"command":"complete","facility":"demo","case":"C1","decision":"{decision}","time":"2025-04-08T18:00:00+02:00"}}"#
    );
    world.drop("desk", "c.json", complete);
    world.drop("facilities/demo", "q.retrieve", "");
    take_all(engine).unwrap();
}

/// The reports in the outbox: the control id of each, and its message.
fn left(world: &World) -> BTreeSet<(String, String)> {
    use base64::Engine as _;
    let mut left = BTreeSet::new();
    for name in world.names("facilities/demo/outbox/reports") {
        let path = world.path("facilities/demo/outbox/reports").join(name);
        let batch = std::fs::read_to_string(path).unwrap();
        for content in batch.split("<content>").skip(1) {
            let (content, _) = content.split_once("</content>").unwrap();
            let message = base64::engine::general_purpose::STANDARD
                .decode(content)
                .unwrap();
            let message = String::from_utf8_lossy(&message).into_owned();
            let id = message.split('|').nth(9).unwrap().to_owned();
            left.insert((id, message));
        }
    }
    left
}

type Damage = (&'static str, fn(&World));

const LOSSES: [Damage; 8] = [
    ("a journal that is gone", |world| {
        std::fs::remove_dir_all(world.path("journal")).unwrap();
    }),
    ("an empty journal", |world| {
        std::fs::remove_dir_all(world.path("journal")).unwrap();
        std::fs::create_dir(world.path("journal")).unwrap();
    }),
    ("an empty segment", |world| {
        std::fs::write(last_segment(world), "").unwrap();
    }),
    ("a segment cut within its last group", |world| {
        let bytes = std::fs::read(last_segment(world)).unwrap();
        std::fs::write(last_segment(world), &bytes[..bytes.len() - 40]).unwrap();
    }),
    ("a segment cut between groups", |world| {
        let bytes = std::fs::read(last_segment(world)).unwrap();
        std::fs::write(last_segment(world), &bytes[..nth_end(&bytes, 2)]).unwrap();
    }),
    ("the same, after a kill", |world| {
        std::fs::remove_file(world.path("store/CLEAN")).unwrap();
        let bytes = std::fs::read(last_segment(world)).unwrap();
        std::fs::write(last_segment(world), &bytes[..nth_end(&bytes, 2)]).unwrap();
    }),
    ("another spool's journal", |world| {
        let other = lived_in();
        std::fs::copy(last_segment(&other), last_segment(world)).unwrap();
    }),
    ("the same, with all of store/ gone", |world| {
        let other = lived_in();
        std::fs::copy(last_segment(&other), last_segment(world)).unwrap();
        std::fs::remove_dir_all(world.path("store")).unwrap();
        std::fs::create_dir(world.path("store")).unwrap();
    }),
];

#[test]
fn a_lost_journal_is_refused_and_accepted_only_when_asked() {
    for (what, damage) in LOSSES {
        let world = lived_in();
        let before = left(&world);
        assert!(before.iter().map(|(id, _)| id).eq(["demo-1-1"]));
        damage(&world);
        let refusal = refused(&world, what);
        assert!(
            refusal.contains("--accept-loss") && refusal.contains("restore"),
            "{what}: {refusal}"
        );
        let mut engine =
            open_with(&world, ACCEPT).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            engine.unreachable().is_empty(),
            "{what}: {:?}",
            engine.unreachable()
        );
        live(&world, &mut engine, "Surveillance");
        engine.close().unwrap();
        // What left before the loss leaves again only as the same bytes; all else has a number that none had before.
        assert_numbered_above(what, &before, &left(&world));
        world.assert_verified(what);
        // It is a journal as any other from then on.
        let engine = world.open_sled();
        assert!(
            engine.unreachable().is_empty(),
            "{what}: {:?}",
            engine.unreachable()
        );
        engine.close().unwrap();
    }
}

/// A copy may be older than what is lost without anything that says so: who accepts a loss is believed.
#[test]
fn accepting_where_nothing_proves_a_loss_numbers_anew_all_the_same() {
    let world = lived_in();
    let before = std::fs::read(world.path(".rcpspool")).unwrap();
    let left_before = left(&world);
    let mut engine = open_with(&world, ACCEPT).unwrap();
    assert!(
        engine.unreachable().is_empty(),
        "{:?}",
        engine.unreachable()
    );
    live(&world, &mut engine, "Surveillance");
    engine.close().unwrap();
    assert_ne!(std::fs::read(world.path(".rcpspool")).unwrap(), before);
    assert_numbered_above("nothing proves it", &left_before, &left(&world));
    world.assert_verified("a loss that nothing proves");
}

/// What left has numbers that none had before.
fn assert_numbered_above(
    what: &str,
    before: &BTreeSet<(String, String)>,
    after: &BTreeSet<(String, String)>,
) {
    let newer: Vec<&(String, String)> = after.difference(before).collect();
    assert!(!newer.is_empty(), "{what}: nothing left");
    for (id, _) in newer {
        let number: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
        assert!(number > 1_000_000, "{what}: {id}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let copy = to.join(entry.path().strip_prefix(from).unwrap());
        match entry.file_type().is_dir() {
            true => std::fs::create_dir_all(copy).unwrap(),
            false => drop(std::fs::copy(entry.path(), copy).unwrap()),
        }
    }
}

/// A copy of the journal from before a report left is put back, and what `store/` could tell is gone too.
#[test]
fn an_older_copy_is_found_out_by_the_folders_that_batches_left() {
    for is_clean in [true, false] {
        let world = World::new();
        let mut engine = world.open_sled();
        world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
        let message = siu("S12", "C1", "P1", "20250401120000", "20250408");
        world.drop("facilities/demo", "a.hl7", message);
        take_all(&mut engine).unwrap();
        engine.close().unwrap();
        let copy = tempfile::tempdir().unwrap();
        for folder in ["journal", "documents"] {
            copy_folder(&world.path(folder), &copy.path().join(folder));
        }
        let mut engine = world.open_sled();
        live(&world, &mut engine, "Chirurgie");
        match is_clean {
            true => engine.close().unwrap(),
            false => drop(engine),
        }
        let before = left(&world);
        assert!(before.iter().map(|(id, _)| id).eq(["demo-1-1"]));
        for folder in ["journal", "documents", "store"] {
            std::fs::remove_dir_all(world.path(folder)).unwrap();
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        for folder in ["journal", "documents"] {
            copy_folder(&copy.path().join(folder), &world.path(folder));
        }
        let refusal = refused(&world, "an older copy, without the store");
        assert!(refusal.contains("/work"), "{refusal}");
        let mut engine = open_with(&world, ACCEPT).unwrap();
        live(&world, &mut engine, "Surveillance");
        engine.close().unwrap();
        assert_numbered_above("an older copy", &before, &left(&world));
        world.assert_verified("an older copy");
        world.open_sled().close().unwrap();
    }
}

/// The segments, each with its path, in order.
fn segments(world: &World) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(world.path("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "journal"))
        .collect();
    segments.sort();
    segments
}

/// A spool of several segments: one for each start.
fn of_many_starts() -> World {
    let world = lived_in();
    for round in 0..4 {
        let mut engine = world.open_sled();
        send(&world, round);
        take_all(&mut engine).unwrap();
        engine.close().unwrap();
    }
    assert!(segments(&world).len() >= 4);
    world
}

/// What is done to one of the segments, and whether its size or absence alone tells of it.
type OfSegment = (&'static str, bool, fn(&Path));

const IN_THE_MIDDLE: [OfSegment; 4] = [
    ("removed", true, |path| std::fs::remove_file(path).unwrap()),
    ("cut", true, |path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("emptied", true, |path| std::fs::write(path, "").unwrap()),
    ("flipped", false, |path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(path, bytes).unwrap();
    }),
];

fn keys_of(engine: &Engine, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let store = engine.store();
    store
        .scan(prefix, &mut |key, _| {
            keys.push(key.to_owned());
            true
        })
        .unwrap();
    keys
}

#[test]
fn a_hole_before_the_end_is_refused_and_the_flag_is_the_way_on() {
    for (done, is_told_by_size, damage) in IN_THE_MIDDLE {
        for at in [0, 2] {
            for keeps_store in [true, false] {
                let what = format!("segment {at} {done}, store kept: {keeps_store}");
                let world = of_many_starts();
                let before = left(&world);
                let engine = world.open_sled();
                let patients = keys_of(&engine, "patient/");
                engine.close().unwrap();
                assert_eq!(patients.len(), 25);
                damage(&segments(&world)[at]);
                if !keeps_store {
                    std::fs::remove_dir_all(world.path("store")).unwrap();
                    std::fs::create_dir(world.path("store")).unwrap();
                }
                if is_told_by_size {
                    let refusal = refused(&world, &what);
                    assert!(refusal.contains("--accept-loss"), "{what}: {refusal}");
                    refused_with_sled(&world, &what);
                } else if !keeps_store {
                    refused_with_sled(&world, &what);
                }
                let mut engine =
                    open_with(&world, ACCEPT).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(
                    engine.unreachable().is_empty(),
                    "{what}: {:?}",
                    engine.unreachable()
                );
                let kept = keys_of(&engine, "patient/");
                match keeps_store {
                    true => assert_eq!(kept, patients, "{what}"),
                    false => assert!(
                        kept.len() < patients.len() && (at == 0 || kept.len() > 1),
                        "{what}: {kept:?}"
                    ),
                }
                live(&world, &mut engine, "Surveillance");
                engine.close().unwrap();
                assert_numbered_above(&what, &before, &left(&world));
                world.assert_verified(&what);
                // It is a journal as any other from then on, also without its store.
                std::fs::remove_dir_all(world.path("store/db")).unwrap();
                let engine = world.open_sled();
                assert!(keys_of(&engine, "patient/").len() >= kept.len(), "{what}");
                engine.close().unwrap();
                world.assert_verified(&format!("{what}, rebuilt"));
            }
        }
    }
}

/// What a good snapshot covers is not needed; a snapshot that is cut takes what it covered with it only where nothing
/// else holds that.
#[test]
fn a_hole_that_a_snapshot_covers_is_none() {
    let of_snapshots = || {
        let world = of_many_starts();
        let mut engine = world.open_sled();
        engine.snapshot().unwrap();
        send(&world, 7);
        take_all(&mut engine).unwrap();
        engine.snapshot().unwrap();
        send(&world, 8);
        take_all(&mut engine).unwrap();
        engine.close().unwrap();
        world
    };
    let ending = |world: &World, ending: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(world.path("journal")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        paths.sort();
        paths
    };
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() - 9]).unwrap();
    };
    let world = of_snapshots();
    let archives = ending(&world, ".zst");
    let snapshots = ending(&world, ".snapshot");
    assert_eq!((archives.len(), snapshots.len()), (2, 2));
    // Each is what the other covers.
    std::fs::remove_file(&archives[0]).unwrap();
    world.open_sled().close().unwrap();
    cut(&snapshots[1]);
    world.open_sled().close().unwrap();
    // Now the first snapshot and the second archive are all that there is.
    for (what, damage) in [
        (
            "an archive",
            Box::new(|world: &World| std::fs::remove_file(&ending(world, ".zst")[0]).unwrap())
                as Box<dyn Fn(&World)>,
        ),
        (
            "the last snapshot",
            Box::new(|world: &World| cut(&ending(world, ".snapshot")[0])),
        ),
    ] {
        for keeps_store in [true, false] {
            let world = world.copy();
            damage(&world);
            if !keeps_store {
                std::fs::remove_dir_all(world.path("store")).unwrap();
                std::fs::create_dir(world.path("store")).unwrap();
            }
            let what = format!("{what}, store kept: {keeps_store}");
            let refusal = refused(&world, &what);
            assert!(refusal.contains("--accept-loss"), "{what}: {refusal}");
            let engine =
                open_with(&world, ACCEPT).unwrap_or_else(|error| panic!("{what}: {error}"));
            let patients = keys_of(&engine, "patient/").len();
            assert!(patients == 37 || !keeps_store, "{what}: {patients}");
            engine.close().unwrap();
            world.assert_verified(&what);
        }
    }
}

fn refused_with_sled(world: &World, what: &str) {
    match open_with(world, StartOptions::default()) {
        Err(EngineError::Loss(_) | EngineError::Journal(_)) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it was taken for good"),
    }
}

/// Killed at any moment while it begins again, it is refused or accepted anew, and nothing that was known is lost.
#[test]
fn accepting_can_be_killed_at_any_moment() {
    let damaged = of_many_starts();
    std::fs::remove_file(&segments(&damaged)[1]).unwrap();
    let mut kills = 0;
    for point in 1.. {
        let world = damaged.copy();
        let faults = Arc::new(Faults::with(Fault::StopBefore(point)));
        let fs = Fs::with_faults(Arc::clone(&faults));
        let opened = patiently(|| {
            let (config, fs) = (Arc::clone(&world.config), fs.clone());
            Engine::open_as(config, fs, OpenStore::Sled, ACCEPT, &mut |_| {})
        });
        if opened.is_ok() {
            break;
        }
        drop(opened);
        assert!(faults.is_stopped(), "{point}");
        let what = format!("killed before operation {point}");
        let engine = match open_with(&world, StartOptions::default()) {
            Ok(engine) => engine,
            Err(EngineError::Loss(_) | EngineError::Journal(_)) => {
                open_with(&world, ACCEPT).unwrap_or_else(|error| panic!("{what}: {error}"))
            }
            Err(other) => panic!("{what}: {other}"),
        };
        assert_eq!(keys_of(&engine, "patient/").len(), 25, "{what}");
        let numbers: u64 = serde_json::from_slice(&engine.store().get("numbers").unwrap().unwrap())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(numbers > 1_000_000, "{what}: {numbers}");
        engine.close().unwrap();
        world.assert_verified(&what);
        kills += 1;
    }
    println!("{kills} kills");
    assert!(kills > 20, "{kills}");
}

/// A spool from before journals had an identity gets one with its first start; from then on it is looked for.
#[test]
fn a_spool_from_before_is_completed() {
    let world = World::new();
    let header = r#"{"header":{"number":1,"previous":null,"counters":{"group":0,"order":0,"message":0},"begun":"2025-01-01T00:00:00Z"}}"#;
    let mut framed = (header.len() as u32).to_le_bytes().to_vec();
    framed.extend(crc32fast::hash(header.as_bytes()).to_le_bytes());
    framed.extend(header.as_bytes());
    for folder in ["journal", "store", "facilities/demo"] {
        std::fs::create_dir_all(world.path(folder)).unwrap();
    }
    std::fs::write(world.path("journal/0000000001.journal"), framed).unwrap();
    let marker = world.path("facilities/demo/.rcpspool");
    std::fs::write(&marker, r#"{"facility":"demo","id":"0123"}"#).unwrap();
    let mut engine = world.open();
    send(&world, 0);
    assert_eq!(take_all(&mut engine).unwrap().accepted, 6);
    engine.close().unwrap();
    world.assert_verified("completed");
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let identity = read(world.path(".rcpspool"))["journal"].clone();
    assert!(
        identity.as_str().is_some_and(|it| it.len() == 32),
        "{identity}"
    );
    assert_eq!(read(world.path("store/.rcpspool"))["journal"], identity);
    let marker = read(marker);
    assert_eq!(
        (&marker["journal"], &marker["id"]),
        (&identity, &"0123".into())
    );
    std::fs::remove_dir_all(world.path("journal")).unwrap();
    refused(&world, "completed, then lost");
}

/// A spool whose facility lies elsewhere, driven by the program.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "spool = {:?}\n[intake]\nsettle = \"50ms\"\nmin_free = \"1MiB\"\n[[facility]]\nid = \"a\"\ndir = {:?}\n",
            folder.path().join("spool"),
            folder.path().join("sftp/a"),
        );
        std::fs::write(folder.path().join("rcpspool.toml"), config).unwrap();
        std::fs::create_dir(folder.path().join("sftp")).unwrap();
        Self { folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rcpspool"))
            .arg("--config")
            .arg(self.path("rcpspool.toml"))
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .output()
            .unwrap()
    }

    /// It fails, and changes nothing; what it says.
    fn fails(&self, arguments: &[&str]) -> String {
        let before = snapshot(self.folder.path());
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(snapshot(self.folder.path()), before, "{arguments:?}");
        said
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

const ALL: [&[&str]; 9] = [
    &["once"],
    &["run"],
    &["status"],
    &["list", "cases"],
    &["show", "session", "S-1"],
    &["session", "cancel", "S-1"],
    &["verify"],
    &["rebuild"],
    &["setup"],
];

#[test]
fn a_spool_whose_mount_is_missing_is_not_begun_again() {
    let site = Site::new();
    site.succeeds(&["setup"]);
    std::fs::write(site.path("sftp/a/inbox/x.txt"), "no message").unwrap();
    site.succeeds(&["once"]);
    std::fs::rename(site.path("spool"), site.path("kept")).unwrap();
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(site.path("spool")).unwrap();
        }
        for command in ALL {
            let said = site.fails(command);
            assert!(
                said.contains("sftp/a/.rcpspool") && said.contains("--accept-loss"),
                "{command:?}: {said}"
            );
        }
    }
    // Where the facilities lay on the same mount, nothing can tell it from a new folder: that is for `setup` to say.
    std::fs::remove_dir_all(site.path("sftp/a")).unwrap();
    for command in &ALL[..8] {
        let said = site.fails(command);
        assert!(said.contains("rcpspool setup"), "{command:?}: {said}");
    }
    std::fs::remove_dir(site.path("spool")).unwrap();
    std::fs::rename(site.path("kept"), site.path("spool")).unwrap();
    site.succeeds(&["status"]);
    let kept = site.path("kept");
    std::fs::rename(site.path("spool"), &kept).unwrap();
    std::fs::create_dir(site.path("spool")).unwrap();
    site.succeeds(&["setup"]);
    site.succeeds(&["once"]);
}

#[test]
fn looking_at_no_spool_makes_none() {
    let site = Site::new();
    let looks: [&[&str]; 4] = [
        &["status"],
        &["status", "--json"],
        &["verify"],
        &["rebuild"],
    ];
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(site.path("spool")).unwrap();
            std::fs::write(site.path("spool/README.md"), "ours").unwrap();
        }
        for command in looks {
            let said = site.fails(command);
            assert!(said.contains("setup"), "{command:?}: {said}");
        }
        let before = snapshot(site.folder.path());
        site.succeeds(&["list", "cases"]);
        assert_eq!(site.run(&["show", "case", "a", "1"]).status.code(), Some(1));
        assert_eq!(snapshot(site.folder.path()), before);
    }
    site.succeeds(&["once"]);
    site.succeeds(&["status"]);
}

#[test]
fn the_flag_is_the_way_on() {
    for way in [&["once", "--accept-loss"], &["rebuild", "--accept-loss"]] {
        let site = Site::new();
        site.succeeds(&["once"]);
        std::fs::remove_dir_all(site.path("spool/journal")).unwrap();
        for command in ALL {
            assert!(site.fails(command).contains("--accept-loss"), "{command:?}");
        }
        site.succeeds(way);
        site.succeeds(&["status"]);
        let said = site.succeeds(&["verify"]);
        assert!(
            said.contains("Everything is as the journal says."),
            "{said}"
        );
    }
}

#[test]
fn a_copy_that_was_put_on_a_new_disk_is_told_to_be_one() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("sftp/a/inbox")).unwrap();
    std::fs::write(site.path("sftp/a/inbox/x.txt"), "no message").unwrap();
    site.succeeds(&["once"]);
    let new = Site::new();
    for folder in ["spool/journal", "spool/documents"] {
        copy_folder(&site.path(folder), &new.path(folder));
    }
    let setup = new.run(&["setup"]);
    let said = String::from_utf8_lossy(&setup.stderr);
    assert!(setup.status.success(), "{said}");
    assert!(said.contains("once --accept-loss"), "{said}");
    let identity = |site: &Site| std::fs::read(site.path("spool/.rcpspool")).unwrap();
    assert_eq!(identity(&new), identity(&site));
    new.succeeds(&["once", "--accept-loss"]);
    assert_ne!(identity(&new), identity(&site));
    for command in [&["status"][..], &["verify"]] {
        let said = new.run(command);
        assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    }
    // Where the journal has its markers, nothing is said.
    let setup = site.run(&["setup"]);
    let said = String::from_utf8_lossy(&setup.stderr);
    assert!(!said.contains("--accept-loss"), "{said}");
}

#[test]
fn the_loss_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let config = Arc::new(Config::demo(&spool));
    let opened = Engine::open(config, Fs::new(), OpenStore::Memory);
    assert!(matches!(opened, Err(EngineError::Loss(Loss::Empty(path))) if path == spool));
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
}
