//! A scripted run is stopped at each of its disk operations in turn, with everything unsynced forgotten or some of it
//! kept, and started again. After each, the rules of the design hold (DESIGN, "What must never break").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
        ("desk", "f.pdf".into(), "%PDF-1.4 from the desk".into()),
        (facility, "q1.retrieve".into(), String::new()),
        (facility, "q3.retrieve".into(), String::new()),
        ("desk", "h1.json".into(), r#"{"command":"redeliver","facility":"demo","batch":1}"#.into()),
    ];
    vec![first, second, third]
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
    println!("{checked} points visited, nothing lost, nothing doubled");
}

#[test]
fn what_was_not_synced_may_be_left_whole_or_in_part() {
    for how in [How::Kept, How::HalfKept] {
        let checked = stop_everywhere("", how);
        println!("{how:?}: {checked} points visited, nothing lost, nothing doubled");
    }
}

#[test]
fn the_second_stop_may_come_while_the_first_is_mended() {
    let checked = stop_everywhere("", How::Twice);
    println!("{checked} pairs of points visited, nothing lost, nothing doubled");
}

/// With groups of four messages, a group goes its way to the disk while the next is decided.
#[test]
fn every_disk_operation_may_be_the_last_while_two_groups_are_in_hand() {
    let checked = stop_everywhere("[intake]\ngroup = 4\n", How::Forgotten);
    println!("{checked} points visited with two groups in hand, nothing lost, nothing doubled");
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
    let expected = content(&**engine.store());
    engine.close().unwrap();

    let now = chrono::Utc::now() + chrono::Duration::hours(47);
    let retain = |engine: &mut Engine| -> bool {
        let due = engine.keeping(now);
        due.is_ok_and(|due| due.run(&|| false).is_ok())
    };
    let world = lived_in.copy();
    let faults = Arc::new(Faults::none());
    let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
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
        let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
        retain(&mut engine);
        drop(engine);
        assert!(faults.is_stopped());
        faults.forget();
        let engine = world.open();
        let mut found = content(&**engine.store());
        found.remove("retention");
        support::assert_same(&expected, &found, &format!("stopped before {stop}"));
        engine.close().unwrap();
        world.assert_verified(&format!("retention stopped before {stop}"));
    }
    println!("{} points of retention visited", calls - opened);
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
