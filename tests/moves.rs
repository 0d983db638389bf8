//! Moves that the journal orders and that cannot be done: each stays open by itself, is shown, and can be given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;

use rcpspool::config::Config;
use rcpspool::engine::{Engine, OpenStore};
use rcpspool::journal::check;
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;
use rcpspool::verify;

use support::{patient, take_all};

const FILES: usize = 5;

/// A spool with these facilities.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        Self { folder }
    }

    fn config(&self, facilities: &[&str]) -> Arc<Config> {
        let mut text = format!("spool = {:?}\n", self.folder.path().join("spool"));
        for facility in facilities {
            text.push_str(&format!("[[facility]]\nid = \"{facility}\"\n"));
        }
        let mut config = Config::from_text(&text, Path::new("test.toml")).unwrap();
        config.intake.min_free = 0;
        Arc::new(config)
    }

    fn open(&self, facilities: &[&str]) -> Engine {
        Engine::open(self.config(facilities), Fs::new(), OpenStore::Sled).unwrap()
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join("spool").join(below)
    }

    fn send(&self, facility: &str, round: usize) {
        for number in 0..FILES {
            let ipp = format!("P{round}-{number}");
            let path = self.path(&format!("facilities/{facility}/inbox/{ipp}.hl7"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, patient(&ipp, "20250401100000", "0612345678")).unwrap();
        }
    }

    fn command(&self, engine: &mut Engine, name: &str, command: &str) -> String {
        std::fs::write(
            self.path("desk/inbox").join(format!("{name}.json")),
            command,
        )
        .unwrap();
        take_all(engine).unwrap();
        let receipt = format!("desk/outbox/acks/{name}.json.outcome.json");
        std::fs::read_to_string(self.path(&receipt)).unwrap()
    }

    /// How many files lie below a folder.
    fn count(&self, below: &str) -> usize {
        let entries = walkdir::WalkDir::new(self.path(below)).into_iter();
        let files = entries.filter_map(Result::ok);
        files
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                entry.file_type().is_file() && !name.starts_with('.')
            })
            .count()
    }

    /// The moves that the journal does not know to be done.
    fn open_moves(&self) -> usize {
        let fs = Fs::new();
        let journal = fs.open_root(&self.path("journal")).unwrap();
        check::content(&fs, &journal).unwrap().open.moves.len()
    }

    fn assert_verified(&self, facilities: &[&str]) {
        let found = verify::verify(&Fs::new(), &self.config(facilities)).unwrap();
        assert!(found.differences.is_empty(), "{:#?}", found.differences);
    }

    /// Files of `a` were put into the journal, and the process was killed before the first of their moves.
    fn killed_before_the_moves() -> Self {
        for point in 1..500 {
            let world = Self::new();
            let faults = Arc::new(Faults::none());
            let fs = Fs::with_faults(Arc::clone(&faults));
            let both = ["a", "b"];
            let engine = Engine::open(world.config(&both), fs, OpenStore::Memory).unwrap();
            let calls = faults.calls();
            engine.close().unwrap();
            let world = Self::new();
            let faults = Arc::new(Faults::with(Fault::StopBefore(calls + point)));
            let fs = Fs::with_faults(Arc::clone(&faults));
            let mut engine = Engine::open(world.config(&both), fs, OpenStore::Memory).unwrap();
            world.send("a", 0);
            let _ = take_all(&mut engine);
            drop(engine);
            assert!(faults.is_stopped(), "no group was met");
            if world.open_moves() == 2 * FILES {
                return world;
            }
        }
        panic!("no group was met");
    }
}

#[test]
fn moves_of_a_facility_that_was_taken_out_hold_nothing_else_open() {
    let world = World::killed_before_the_moves();
    let mut engine = world.open(&["b"]);
    assert_eq!(engine.moves_waiting(), 2 * FILES);
    for round in 0..3 {
        world.send("b", round);
        take_all(&mut engine).unwrap();
        engine.idle().unwrap();
    }
    // Those of b are known to be done, and nothing more is written for the sake of those of a.
    assert_eq!(world.open_moves(), 2 * FILES);
    let length = || std::fs::metadata(world.path("journal/0000000002.journal")).map(|it| it.len());
    let before = length().unwrap();
    for _ in 0..3 {
        engine.idle().unwrap();
    }
    assert_eq!(length().unwrap(), before);
    // They are shown, with why and since when.
    let open = engine.open_moves();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].facility.as_str(), open[0].count), ("a", 2 * FILES));
    assert!(open[0].problem.contains("configuration"), "{open:?}");
    assert!(open[0].since.is_some(), "{open:?}");
    let since = open[0].since;
    // It ends cleanly all the same, and each start knows of them, by the mark and by the journal.
    engine.close().unwrap();
    for by_the_journal in [false, true] {
        assert!(world.path("store/CLEAN").is_file());
        if by_the_journal {
            std::fs::remove_file(world.path("store/CLEAN")).unwrap();
        }
        let engine = world.open(&["b"]);
        assert_eq!(engine.moves_waiting(), 2 * FILES, "{by_the_journal}");
        assert_eq!(engine.open_moves()[0].since, since, "{by_the_journal}");
        engine.close().unwrap();
    }
    // A snapshot keeps them.
    let mut engine = world.open(&["b"]);
    engine.snapshot().unwrap();
    drop(engine);
    assert_eq!(world.open_moves(), 2 * FILES);
    // Back in the configuration, they are done, and the journal hears of it.
    let mut engine = world.open(&["a", "b"]);
    assert_eq!(engine.moves_waiting(), 0);
    assert_eq!(world.count("facilities/a/outbox/acks"), FILES);
    engine.idle().unwrap();
    assert_eq!(world.open_moves(), 0);
    engine.close().unwrap();
    world.assert_verified(&["a", "b"]);
}

#[test]
fn moves_that_can_never_be_done_are_given_up() {
    let world = World::killed_before_the_moves();
    let mut engine = world.open(&["b"]);
    let refused = world.command(&mut engine, "1", r#"{"command":"discard","moves":"b"}"#);
    assert!(refused.contains("bad-command"), "{refused}");
    let done = world.command(
        &mut engine,
        "2",
        r#"{"command":"discard","moves":"a","why":"it moved out"}"#,
    );
    assert!(done.contains("accepted"), "{done}");
    assert_eq!(engine.moves_waiting(), 0);
    assert_eq!(engine.open_moves(), []);
    // The command's own file is where it belongs.
    engine.idle().unwrap();
    drop(engine);
    // Also after a kill nobody does them; nothing tells of what was not done.
    assert_eq!(world.open_moves(), 0);
    let engine = world.open(&["b"]);
    assert_eq!(engine.moves_waiting(), 0);
    engine.close().unwrap();
    assert_eq!(world.count("facilities/a/outbox"), 0);
    assert_eq!(world.count("facilities/a/done"), 0);
    world.assert_verified(&["b"]);
    // If the facility comes back after all, its files are taken in anew, and each is told once.
    let mut engine = world.open(&["a", "b"]);
    let taken = take_all(&mut engine).unwrap();
    assert_eq!((taken.duplicate, taken.accepted), (FILES as u64, 0));
    engine.close().unwrap();
    assert_eq!(world.count("facilities/a/outbox/acks"), FILES);
    assert_eq!(world.count("facilities/a/done"), FILES);
    assert_eq!(world.count("facilities/a/work"), 0);
    world.assert_verified(&["a", "b"]);
}

#[test]
fn files_in_hand_of_a_facility_that_is_taken_out_wait_for_it() {
    let world = World::new();
    let mut engine = world.open(&["a", "b"]);
    world.send("a", 0);
    // A writer has one of them open: it is claimed, and waits.
    let held = world.path("facilities/a/inbox/P0-0.hl7");
    let writer = std::fs::File::options().append(true).open(&held).unwrap();
    take_all(&mut engine).unwrap();
    assert_eq!(engine.claims_waiting(), 1);
    engine.configure(world.config(&["b"]));
    assert_eq!(
        engine.claims_waiting(),
        0,
        "nobody asks for it again and again"
    );
    drop(writer);
    world.send("b", 1);
    assert_eq!(take_all(&mut engine).unwrap().accepted, FILES as u64);
    assert_eq!(world.count("facilities/a/work"), 1);
    engine.configure(world.config(&["a", "b"]));
    engine.open_facilities().unwrap();
    assert_eq!(take_all(&mut engine).unwrap().accepted, 1);
    engine.close().unwrap();
    world.assert_verified(&["a", "b"]);
}
