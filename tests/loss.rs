//! A journal that is missing, another's, shorter than it was or torn: what is lost is never taken for what never was.
//! A start is refused where something proves a loss, and changes nothing; where nothing was acknowledged, it goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rcpspool::config::Config;
use rcpspool::engine::{Engine, EngineError, Loss, OpenStore, Start};
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;

use support::{World, patient, session, siu, take_all};

const ACCEPT: Start = Start {
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

fn last_segment(world: &World) -> PathBuf {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(world.path("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "journal"))
        .collect();
    segments.sort();
    segments.pop().unwrap()
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
        let accept = |start| {
            let config = Arc::clone(&world.config);
            Engine::open_as(config, Fs::new(), OpenStore::Sled, start, &mut |_| {})
        };
        let mut engine = accept(ACCEPT).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            engine.unreachable().is_empty(),
            "{what}: {:?}",
            engine.unreachable()
        );
        live(&world, &mut engine, "Surveillance");
        engine.close().unwrap();
        // What left before the loss leaves again only as the same bytes; all else has a number that none had before.
        let after: Vec<(String, String)> = left(&world).difference(&before).cloned().collect();
        assert!(!after.is_empty(), "{what}");
        for (id, _) in &after {
            let number: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
            assert!(number > 1_000_000, "{what}: {id}");
        }
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

#[test]
fn accepting_where_nothing_is_lost_changes_nothing() {
    let world = lived_in();
    let before = std::fs::read(world.path(".rcpspool")).unwrap();
    let config = Arc::clone(&world.config);
    let mut engine =
        Engine::open_as(config, Fs::new(), OpenStore::Sled, ACCEPT, &mut |_| {}).unwrap();
    world.drop("facilities/demo", "q2.retrieve", "");
    take_all(&mut engine).unwrap();
    engine.close().unwrap();
    assert_eq!(std::fs::read(world.path(".rcpspool")).unwrap(), before);
    world.assert_verified("nothing was lost");
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
fn the_loss_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let config = Arc::new(Config::demo(&spool));
    let opened = Engine::open(config, Fs::new(), OpenStore::Memory);
    assert!(matches!(opened, Err(EngineError::Loss(Loss::Empty(path))) if path == spool));
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
}
