//! A scripted run is stopped at each of its disk operations in turn, with everything unsynced forgotten or some of it
//! kept, and started again. After each, the rules of the design hold (design.md, "What must never break").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcpspool::clock::Clock;
use rcpspool::config::Config;
use rcpspool::engine::{Engine, EngineError};
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;

use support::{World, content, document, patient, session, siu, take_all};

/// The files of the run, in stages: each stage is dropped once the one before is taken in.
fn stages() -> Vec<Vec<(&'static str, String, String)>> {
    let facility = "facilities/demo";
    let mut first: Vec<(&str, String, String)> = vec![
        (
            "desk",
            "1.csv".into(),
            session("S-1", "2025-04-08", "PATHWAY-1"),
        ),
        (
            "desk",
            "2.csv".into(),
            session("S-2", "2025-04-15", "PATHWAY-1"),
        ),
    ];
    for number in 10..16 {
        let (case, ipp) = (format!("C{number}"), format!("P{number}"));
        let message = siu("S12", &case, &ipp, "20250401120000", "20250408");
        first.push((facility, format!("a{number}.hl7"), message));
    }
    first.push((
        facility,
        "b1.hl7".into(),
        patient("P30", "20250401100000", "0612345678"),
    ));
    first.push((
        facility,
        "b2.hl7".into(),
        patient("P31", "20250401100000", "061"),
    ));
    first.push((
        facility,
        "b3.hl7".into(),
        document("P30", "20250401110000", "DOC-1", "%PDF-1.4 one"),
    ));
    first.push((
        facility,
        "b4.hl7".into(),
        document("P10", "20250401110000", "DOC-2", "%PDF-1.4 two"),
    ));
    first.push((
        facility,
        "sub/b5.hl7".into(),
        siu("S12", "C20", "P20", "20250401120000", "20260101"),
    ));
    let several = siu("S12", "C40", "P40", "20250401120000", "20250408")
        + &patient("P41", "20250401100000", "nonsense")
        + &siu("S12", "C42", "P42", "20250401120000", "20250408");
    first.push((facility, "c1.hl7".into(), several));
    first.push((facility, "c2.txt".into(), "not a message".into()));
    let second = vec![
        (
            facility,
            "d1.hl7".into(),
            siu("S13", "C10", "P10", "20250402120000", "20250415"),
        ),
        (
            facility,
            "d2.hl7".into(),
            siu("S15", "C11", "P11", "20250402120000", "20250408"),
        ),
        (
            facility,
            "d3.hl7".into(),
            siu("S12", "C11", "P11", "20250401110000", "20250408"),
        ),
        (
            facility,
            "a10.hl7".into(),
            siu("S12", "C10", "P10", "20250401120000", "20250408"),
        ),
        (
            facility,
            "d4.hl7".into(),
            document("P30", "20250401120000", "DOC-1", "%PDF-1.4 one, again"),
        ),
        ("desk", "e1.json".into(), complete("C12", "Chirurgie")),
        (
            "desk",
            "e2.json".into(),
            format!(
                "[{},{}]",
                complete("C13", "Surveillance"),
                complete("C99", "x")
            ),
        ),
        (
            "desk",
            "e3.json".into(),
            r#"{"command":"schedule","id":"k1","facility":"demo","case":"C20","session":"S-2"}"#
                .into(),
        ),
        (facility, "q1.retrieve".into(), String::new()),
    ];
    let third = vec![
        ("desk", "f1.json".into(), complete("C12", "Chimiothérapie")),
        ("desk", "f2.json".into(), r#"{"command":"complete","facility":"demo","case":"C14","pdf":"f.pdf","time":"2025-04-09T18:00:00+02:00"}"#.into()),
        ("desk", "f.pdf".into(), "%PDF-1.4 from the desk %%EOF".into()),
        // The second version of C12 is held back, and C13's left before.
        (
            "desk",
            "f3.json".into(),
            format!("[{},{}]", reopen("C12"), reopen("C13")),
        ),
        ("desk", "f4.json".into(), complete("C12", "Chimiothérapie")),
        (facility, "q1.retrieve".into(), String::new()),
        (facility, "q3.retrieve".into(), String::new()),
        ("desk", "h1.json".into(), r#"{"command":"redeliver","facility":"demo","batch":1}"#.into()),
    ];
    vec![first, second, third]
}

fn reopen(case: &str) -> String {
    format!(
        r#"{{"command":"reopen","facility":"demo","case":"{case}","time":"2025-04-09T20:00:00+02:00"}}"#
    )
}

fn complete(case: &str, decision: &str) -> String {
    format!(
        r#"{{"command":"complete","facility":"demo","case":"{case}","decision":"{decision}","time":"2025-04-08T18:00:00+02:00"}}"#
    )
}

/// What the run leaves: the store, and the files that others see. Times of processing are left out.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    store: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

fn left(world: &World, engine: &Engine) -> Left {
    let store = content(&**engine.store())
        .into_iter()
        .map(|(key, value)| (key, without_batch_time(&support::without_times(&value))))
        .collect();
    // The session folders are made again at any time.
    let seen = world.seen().into_iter();
    let files = seen
        .filter(|(path, _)| !path.starts_with("desk/sessions"))
        .map(|(path, bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let name = path.to_string_lossy();
            let text = match name.ends_with(".ack") || name.ends_with(".json") {
                true => support::without_times(&text),
                false => text,
            };
            let path = PathBuf::from(without_batch_time(&path.to_string_lossy()));
            (path, text)
        })
        .collect();
    Left { store, files }
}

/// A batch nobody asked for has the time in its name.
fn without_batch_time(text: &str) -> String {
    const NAME: &str = "reports_demo_";
    match text.split_once(NAME) {
        Some((before, rest)) => {
            let number = rest.split_once('_').map_or(rest, |(_, number)| number);
            format!("{before}{NAME}TIME_{number}")
        }
        None => text.to_owned(),
    }
}

/// Runs the stages from this one on; says at which it was stopped.
fn run(
    world: &World,
    engine: &mut Engine,
    from: usize,
    drop_first: bool,
) -> Result<(), (usize, EngineError)> {
    for (number, stage) in stages().into_iter().enumerate().skip(from) {
        if number > from || drop_first {
            for (place, name, content) in stage {
                world.drop(place, &name, content);
            }
        }
        // A snapshot of the journal stands between the stages.
        take_all(engine)
            .and_then(|_| engine.idle())
            .and_then(|()| engine.snapshot())
            .map_err(|error| (number, error))?;
    }
    Ok(())
}

#[test]
fn every_disk_operation_may_be_the_last() {
    let checked = stop_everywhere("", How::Forgotten);
    support::figure("fault points", checked);
}

#[test]
fn what_was_not_synced_may_be_left_whole_or_in_part() {
    for how in [How::Kept, How::HalfKept] {
        let checked = stop_everywhere("", how);
        support::figure("fault points", checked);
    }
}

#[test]
fn the_second_stop_may_come_while_the_first_is_mended() {
    let checked = stop_everywhere("", How::Twice);
    support::figure("fault points", checked);
}

/// With groups of four messages, a group goes its way to the disk while the next is decided.
#[test]
fn every_disk_operation_may_be_the_last_while_two_groups_are_in_hand() {
    let settings = "[intake]\ngroup = 4\n[reports]\nwithdraw = \"message\"\n";
    let checked = stop_everywhere(settings, How::Forgotten);
    support::figure("fault points", checked);
}

/// Retention removes files, and what the journal does not need: wherever it ends, the rest is as it was.
#[test]
fn every_disk_operation_of_retention_may_be_the_last() {
    let mut lived_in = World::new();
    let mut config = Config::clone(&lived_in.config);
    config.retention.done = Duration::ZERO;
    config.retention.outbox = Duration::ZERO;
    config.retention.journal = Duration::ZERO;
    lived_in.config = Arc::new(config);
    let mut engine = lived_in.open();
    for (place, name, content) in stages().swap_remove(0) {
        lived_in.drop(place, &name, content);
    }
    take_all(&mut engine).unwrap();
    engine.snapshot().unwrap();
    let later = siu("S13", "C10", "P10", "20250402120000", "20250415");
    lived_in.drop("facilities/demo", "later.hl7", later);
    take_all(&mut engine).unwrap();
    engine.snapshot().unwrap();
    let now = engine.fs().clock().moment();
    // Retention goes on for the first time, and finds nothing old.
    engine.upkeep().unwrap().run(&|| false).unwrap();
    let mut expected = content(&**engine.store());
    expected.retain(|key, _| !is_of_the_count(key));
    engine.close().unwrap();

    let retain = |engine: &mut Engine| -> bool {
        let due = engine.upkeep();
        due.is_ok_and(|due| due.run(&|| false).is_ok())
    };
    let later = |faults: &Arc<Faults>| {
        let mut moment = now.clone();
        moment.wall += chrono::Duration::days(40);
        moment.running += Duration::from_secs(40 * 24 * 60 * 60);
        Fs::with_faults(Arc::clone(faults)).with_clock(Clock::by_hand(moment))
    };
    let world = lived_in.copy();
    let faults = Arc::new(Faults::none());
    let mut engine = world.open_on(later(&faults)).unwrap();
    let opened = faults.calls();
    let files = world.seen().len();
    assert!(retain(&mut engine));
    let calls = faults.calls();
    let left = world.names("facilities/demo");
    assert!(
        left.len() + 20 < files && left.iter().all(|name| name.starts_with("error/")),
        "{files} files, then {left:?}"
    );
    drop(engine);
    for stop in opened + 1..=calls {
        let world = lived_in.copy();
        let faults = Arc::new(Faults::with(Fault::StopBefore(stop)));
        let mut engine = world.open_on(later(&faults)).unwrap();
        retain(&mut engine);
        drop(engine);
        assert!(faults.is_stopped());
        faults.forget();
        let engine = world.open();
        let mut found = content(&**engine.store());
        found.retain(|key, _| !is_of_the_count(key));
        support::assert_same(&expected, &found, &format!("stopped before {stop}"));
        engine.close().unwrap();
        world.assert_verified(&format!("retention stopped before {stop}"));
    }
    support::figure("fault points", calls - opened);
}

/// Whether a record is of the time that passed, which retention goes by.
fn is_of_the_count(key: &str) -> bool {
    let kinds = ["elapsed", "journal-ages", "date-in-use/"];
    kinds.iter().any(|kind| key.starts_with(kind))
}

/// How a run ends before its time, and what is left of what it did not sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Before an operation; nothing is left, as after a power cut.
    Forgotten,
    /// After an operation; everything is left, as when the process is killed.
    Kept,
    /// Before an operation; some names and contents are left.
    HalfKept,
    /// Before an operation, and again while what is left is taken up.
    Twice,
}

impl How {
    fn faults(self, point: u64) -> Vec<Fault> {
        match self {
            How::Kept => vec![Fault::StopAfter(point)],
            How::Forgotten | How::HalfKept => vec![Fault::StopBefore(point)],
            // Recovery takes some hundreds of operations.
            How::Twice => vec![
                Fault::StopBefore(point),
                Fault::StopBefore(1 + point * 7919 % 300),
            ],
        }
    }

    fn lose(self, faults: &Faults, point: u64) {
        match self {
            How::Kept => {}
            How::HalfKept => faults.forget_some(point),
            How::Forgotten | How::Twice => faults.forget(),
        }
    }
}

/// The quick form visits every seventh point.
fn step() -> usize {
    match std::env::var_os("CI") {
        Some(_) => 7,
        None => 1,
    }
}

/// What a run leaves that nothing disturbs, and how many operations it takes.
fn undisturbed(settings: &str) -> (Left, u64) {
    let world = World::with(settings);
    let faults = Arc::new(Faults::none());
    let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
    let opened = faults.calls();
    run(&world, &mut engine, 0, true).unwrap();
    let expected = left(&world, &engine);
    engine.close().unwrap();
    let calls = faults.calls();
    println!("{opened} operations to open, {calls} in all");
    (expected, calls)
}

fn stop_everywhere(settings: &str, how: How) -> u64 {
    let (expected, calls) = undisturbed(settings);
    let mut checked = 0;
    for point in (1..=calls).step_by(step()) {
        let what = format!("{how:?}, stopped at {point}");
        let world = World::with(settings);
        let mut reached = 0;
        let mut dropped = false;
        for fault in how.faults(point) {
            let faults = Arc::new(Faults::with(fault));
            if let Ok(mut engine) = world.open_on(Fs::with_faults(Arc::clone(&faults))) {
                match run(&world, &mut engine, reached, !dropped) {
                    Ok(()) => {
                        reached = usize::MAX;
                        let _ = engine.close();
                    }
                    Err((stage, _)) => reached = stage,
                }
                dropped = true;
            }
            how.lose(&faults, point);
        }
        let mut engine = world
            .open_on(Fs::new())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        if reached < usize::MAX {
            run(&world, &mut engine, reached, !dropped)
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
        let found = left(&world, &engine);
        support::assert_same(&expected.files, &found.files, &format!("files, {what}"));
        support::assert_same(&expected.store, &found.store, &format!("store, {what}"));
        engine.close().unwrap();
        world.assert_verified(&what);
        checked += 1;
    }
    checked
}

/// What may fail while the process lives on.
const ERRORS: [(&str, i32); 4] = [
    ("EIO", libc::EIO),
    ("ENOSPC", libc::ENOSPC),
    ("EACCES", libc::EACCES),
    ("EMFILE", libc::EMFILE),
];

/// Whatever operation fails, the engine goes on as the daemon has it, or ends and is started again: what it was doing
/// is done in the end.
#[test]
fn every_disk_operation_may_fail() {
    fail_everywhere("", 1);
}

/// With groups of four messages, another thread has the disk too.
#[test]
fn every_disk_operation_may_fail_while_two_groups_are_in_hand() {
    fail_everywhere("[intake]\ngroup = 4\n", 1);
}

/// A disk that fails for a while is tried again until it is mended.
#[test]
fn the_disk_may_fail_for_a_while() {
    fail_everywhere("", 25);
}

fn fail_everywhere(settings: &str, count: u64) {
    let (expected, calls) = undisturbed(settings);
    let (mut injected, mut restarts, mut again) = (0, 0, 0);
    for (name, code) in ERRORS {
        for point in (1..=calls).step_by(step()) {
            let world = World::with(settings);
            let faults = Arc::new(Faults::with(Fault::Fail(point, count, code)));
            let mut living = Living::start(&world, Arc::clone(&faults));
            for stage in stages() {
                for (place, name, content) in stage {
                    world.drop(place, &name, content);
                }
                living.take_all();
            }
            let what = format!("{name} at {point}, {:?}", faults.failed());
            living.restart();
            let found = left(&world, living.engine());
            let refused = refused_for_the_disk(&expected, &found);
            // A file that may not be moved waits for the next sweep alone: others of its folder go before it.
            let overtaken = code == libc::EACCES && faults.failed() == Some("move a file to");
            // Where the folder that a file goes to cannot be opened, it ends outside of it, under its name and a hash.
            let elsewhere = code == libc::EACCES && faults.failed() == Some("open the folder");
            // A request that cannot be answered is answered after the next one: which takes what is new.
            let swapped = expected.answers() != found.answers()
                && expected.answers().iter().rev().eq(&found.answers());
            if refused.is_empty() && !overtaken && !elsewhere && !swapped {
                let (expected_seen, found_seen) = (expected.seen(), found.seen());
                support::assert_same(&expected_seen, &found_seen, &format!("files, {what}"));
                support::assert_same(&expected.store, &found.store, &format!("store, {what}"));
            } else {
                // A file that cannot be read is refused, and what rests on it with it. Its sender is told, and sends it
                // again: then everything is known that should be, if later than it should.
                if let Some(Refused { told, .. }) = refused.first() {
                    let for_the_disk = ["unreadable", "facility-unreachable"];
                    let is_told = for_the_disk.iter().any(|reason| told.contains(reason));
                    assert!(overtaken || elsewhere || is_told, "{what}: {told}");
                }
                assert_eq!(found.missing(), Vec::<String>::new(), "{what}");
                again += refused.len();
                for Refused {
                    place,
                    name,
                    content,
                    ..
                } in &refused
                {
                    world.drop(place, name, content);
                }
                living.take_all();
                let found = left(&world, living.engine());
                let known = found.known();
                for key in expected.known() {
                    assert!(known.contains(key), "{what}: {key} is lost");
                }
            }
            restarts += living.restarts;
            living.end();
            world.assert_verified(&what);
            injected += faults.failures();
        }
    }
    println!("{calls} operations, {restarts} ends of the process, {again} files sent again");
    assert!(injected > 0);
    support::figure("faults injected", injected);
}

/// An engine that is driven as the daemon does: what passes is tried again, else the process ends and is started again.
struct Living<'w> {
    world: &'w World,
    faults: Arc<Faults>,
    engine: Option<Engine>,
    restarts: u64,
}

impl<'w> Living<'w> {
    fn start(world: &'w World, faults: Arc<Faults>) -> Self {
        let mut living = Self {
            world,
            faults,
            engine: None,
            restarts: 0,
        };
        living.open();
        living
    }

    fn open(&mut self) {
        for _ in 0..100 {
            match self
                .world
                .open_on(Fs::with_faults(Arc::clone(&self.faults)))
            {
                Ok(engine) => {
                    self.engine = Some(engine);
                    return;
                }
                Err(_) => self.end_badly(),
            }
        }
        panic!("the engine cannot be opened");
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// What a sync that failed should have kept may be gone.
    fn end_badly(&mut self) {
        self.engine = None;
        self.faults.forget();
        self.restarts += 1;
    }

    /// Sweeps until nothing waits.
    fn take_all(&mut self) {
        for _ in 0..100 {
            let engine = self.engine.as_mut().unwrap();
            let swept = engine
                .open_facilities()
                .and_then(|()| take_all(engine).map(drop))
                .and_then(|()| engine.idle())
                .and_then(|()| engine.snapshot());
            match swept {
                Ok(()) if is_taken(self.world) => return,
                Ok(()) => {}
                Err(error) if error.is_passing() => {}
                Err(_) => {
                    self.end_badly();
                    self.open();
                }
            }
        }
        panic!("files still wait: {:?}", self.world.names(""));
    }

    fn restart(&mut self) {
        let engine = self.engine.take().unwrap();
        if engine.close().is_err() {
            self.end_badly();
        }
        self.open();
    }

    fn end(&mut self) {
        self.restart();
        self.engine.take().unwrap().close().unwrap();
    }
}

/// Whether no file waits in an inbox, or in hand. A PDF stays until a command names it.
fn is_taken(world: &World) -> bool {
    let waits = |path: &PathBuf| {
        let is_in = |folder: &str| path.components().any(|it| it.as_os_str() == folder);
        let name = path.file_name().unwrap().to_string_lossy();
        (is_in("inbox") && !name.ends_with(".pdf")) || (is_in("work") && !name.starts_with("p-"))
    };
    !world.seen().keys().any(waits)
}

/// A file that was refused though it should not be, or for another reason.
struct Refused {
    told: String,
    place: &'static str,
    name: String,
    content: String,
}

/// The files that were refused otherwise than expected, in the order in which they were dropped.
fn refused_for_the_disk(expected: &Left, found: &Left) -> Vec<Refused> {
    let (expected, found) = (expected.seen(), found.seen());
    let told_otherwise = |place: &str, name: &str| {
        let path = format!("{place}/error/{name}.error.json");
        let told = found.get(&path)?;
        (expected.get(&path) != Some(told)).then(|| told.clone())
    };
    let dropped = stages().into_iter().flatten();
    dropped
        .filter_map(|(place, name, content)| {
            // A second file of the same name has a number in it.
            let second = name.replacen('.', ".2.", 1);
            let told = told_otherwise(place, &name).or_else(|| told_otherwise(place, &second))?;
            Some(Refused {
                told,
                place,
                name,
                content,
            })
        })
        .collect()
}

impl Left {
    /// The files that others see. A folder that cannot be opened when a file is to go there is in its way: the file
    /// goes beside it (`sub.2/`).
    fn seen(&self) -> BTreeMap<String, String> {
        let beside = |path: &PathBuf| {
            let path = path.to_string_lossy();
            match path.split_once("/sub.") {
                Some((before, rest)) => match rest.split_once('/') {
                    Some((_, name)) => format!("{before}/sub/{name}"),
                    None => path.into_owned(),
                },
                None => path.into_owned(),
            }
        };
        let files = self.files.iter();
        files
            .map(|(path, content)| (beside(path), content.clone()))
            .collect()
    }

    /// What was answered to the two last requests.
    fn answers(&self) -> Vec<&String> {
        let answers = ["q1.2.xml", "q3.xml"].map(|name| {
            let path = format!("facilities/demo/outbox/reports/{name}");
            self.files.get(&PathBuf::from(path))
        });
        answers.into_iter().flatten().collect()
    }

    /// Files that were dropped and are neither taken in nor refused; the PDF stays where it is if its command is
    /// refused before it is looked for.
    fn missing(&self) -> Vec<String> {
        let seen = self.seen();
        let has_place = |place: &str, name: &str| {
            seen.keys().any(|text| {
                let ended = [format!("{place}/done/"), format!("{place}/error/")];
                let is_there = ended.iter().any(|folder| text.starts_with(folder));
                let below = format!("/{name}");
                let (_, file) = name.rsplit_once('/').unwrap_or(("", name));
                let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
                let outside = text.contains(&format!("/{stem}~")) && text.ends_with(ending);
                (is_there && (text.ends_with(&below) || outside))
                    || text == "desk/inbox/f.pdf" && name == "f.pdf"
            })
        };
        let dropped = stages().into_iter().flatten();
        dropped
            .filter(|(place, name, _)| !has_place(place, name))
            .map(|(_, name, _)| name)
            .collect()
    }

    /// What is known: the keys of what was told of. A patient is not made from a scheduling that comes after its
    /// cancellation.
    fn known(&self) -> BTreeSet<&String> {
        let kinds = ["case/", "session/", "document/"];
        let is_told = |key: &&String| kinds.iter().any(|kind| key.starts_with(kind));
        self.store.keys().filter(is_told).collect()
    }
}
