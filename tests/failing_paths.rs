//! The disk that fails for one path, always: each path that a run touches fails in turn until it is told to work again.
//! The files of everybody else get their outcome meanwhile, whoever waits is named with cause and next step, and once
//! the path works again, everything goes through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcpspool::engine::{Engine, EngineError, HoldScope, owner_name};
use rcpspool::spool::faults::Faults;
use rcpspool::spool::fs::Fs;

use support::{World, document, patient, session, siu, take_all};

const FACILITIES: [&str; 3] = ["demo", "north", "south"];

const ERRORS: [(&str, i32); 3] = [
    ("EIO", libc::EIO),
    ("EACCES", libc::EACCES),
    ("ENOSPC", libc::ENOSPC),
];

/// The quick form tries every eleventh path.
fn step() -> usize {
    match std::env::var_os("CI") {
        Some(_) => 11,
        None => 1,
    }
}

fn world() -> World {
    World::with("[[facility]]\nid = \"north\"\n[[facility]]\nid = \"south\"\n")
}

/// The files of the run, in stages: each stage is dropped once the one before was tried.
fn stages() -> Vec<Vec<(String, String, String)>> {
    let mut stages = vec![Vec::new(), Vec::new(), Vec::new()];
    let mut drop = |stage: usize, place: &str, name: String, content: String| {
        stages[stage].push((place.to_owned(), name, content));
    };
    drop(
        0,
        "desk",
        "1.csv".into(),
        session("S-1", "2025-04-08", "PATHWAY-1"),
    );
    for id in FACILITIES {
        let place = &format!("facilities/{id}");
        for number in 1..=3 {
            let (case, ipp) = (format!("C{number}"), format!("P{number}"));
            let scheduling = siu("S12", &case, &ipp, "20250401120000", "20250408");
            drop(0, place, format!("a{number}.hl7"), scheduling);
        }
        let admission = patient("P30", "20250401100000", "0612345678");
        drop(0, place, "b1.hl7".into(), admission);
        drop(
            0,
            place,
            "b2.hl7".into(),
            patient("P31", "20250401100000", "061"),
        );
        let attached = document("P30", "20250401110000", "DOC", &format!("%PDF-1.4 of {id}"));
        drop(0, place, "b3.hl7".into(), attached);
        let below = siu("S12", "C20", "P20", "20250401120000", "20260101");
        drop(0, place, "sub/b4.hl7".into(), below);
        let several = siu("S12", "C40", "P40", "20250401120000", "20250408")
            + &patient("P41", "20250401100000", "nonsense");
        drop(0, place, "c1.hl7".into(), several);
        drop(0, place, "c2.txt".into(), "not a message".into());

        let name = format!("d-{id}.pdf");
        drop(
            1,
            "desk",
            name.clone(),
            format!("%PDF-1.4 decided for {id} %%EOF"),
        );
        let completed = format!(
            r#"{{"command":"complete","facility":"{id}","case":"C1","pdf":"{name}","time":"2025-04-08T18:00:00+02:00"}}"#
        );
        drop(1, "desk", format!("d-{id}.json"), completed);
        drop(1, place, "q1.retrieve".into(), String::new());

        let again = format!(r#"{{"command":"redeliver","facility":"{id}","batch":1}}"#);
        drop(2, "desk", format!("e-{id}.json"), again);
        let retried = format!(r#"{{"command":"retry","files":["facilities/{id}/error/c2.txt"]}}"#);
        drop(2, "desk", format!("f-{id}.json"), retried);
        let name = format!("g-{id}.pdf");
        drop(
            2,
            "desk",
            name.clone(),
            format!("%PDF-1.4 of C2 of {id} %%EOF"),
        );
        let decided = format!(
            r#"{{"command":"complete","facility":"{id}","case":"C2","pdf":"{name}","time":"2025-04-09T18:00:00+02:00"}}"#
        );
        drop(2, "desk", format!("g-{id}.json"), decided);
        let moved = siu("S13", "C3", "P3", "20250402120000", "20250408");
        drop(2, place, "g.hl7".into(), moved);
    }
    stages
}

/// A path below the spool without what differs from run to run; nothing for what lies elsewhere.
fn kind(spool: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(spool).ok()?;
    let parts = below.iter().map(|part| {
        let part = part.to_string_lossy();
        if let Some((_, rest)) = part.split_once('-')
            && let Some((attempts, rest)) = rest.split_once('-')
            && attempts.chars().all(|it| it.is_ascii_digit())
            && let Some((random, received)) = rest.split_once('-')
            && random.len() == 32
        {
            return format!("claim-{received}");
        }
        for prepared in ["p-", "reports_", ".rcpspool-"] {
            if part.starts_with(prepared) {
                return format!("{prepared}*");
            }
        }
        let is_day = part.len() == 10 && part.starts_with("20") && part.matches('-').count() == 2;
        match is_day {
            true => "day".to_owned(),
            false => part.into_owned(),
        }
    });
    Some(parts.collect::<Vec<_>>().join("/"))
}

/// Whose path it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathOwner {
    /// The desk's, or one facility's.
    One(String),
    /// One document's, and so one place's.
    Document,
    /// Something that nobody's files need.
    Nobody,
    /// Everybody's.
    All,
}

fn owner(kind: &str) -> PathOwner {
    let parts: Vec<&str> = kind.split('/').collect();
    match parts.as_slice() {
        ["facilities", id, ..] => PathOwner::One((*id).to_owned()),
        ["desk", "sessions", ..] | ["status", ..] => PathOwner::Nobody,
        ["desk", ..] => PathOwner::One("desk".to_owned()),
        ["documents", hash, ..] if !hash.starts_with("p-") => PathOwner::Document,
        _ => PathOwner::All,
    }
}

/// What is done with each sweep; whether the process must end.
fn sweep(engine: &mut Engine) -> Result<(), EngineError> {
    let pass = |done: Result<(), EngineError>| match done {
        Err(error) if !error.is_passing() => Err(error),
        _ => Ok(()),
    };
    engine.check_facilities();
    pass(engine.open_facilities())?;
    pass(take_all(engine).map(drop))?;
    pass(engine.write_due_batches())?;
    pass(engine.idle())?;
    let mut renewer = engine.worklist_renewer();
    for _ in 0..3 {
        // A session whose folder cannot be renewed stays due.
        let _ = renewer.renew_next(&|| false);
    }
    Ok(())
}

/// The places whose files wait: in an inbox, or claimed. A PDF stays where it is until a command names it.
fn waiting(world: &World) -> BTreeMap<String, Vec<PathBuf>> {
    let mut waiting: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in world.seen().into_keys() {
        let is_in = |folder: &str| path.iter().any(|part| part == folder);
        let name = path.file_name().unwrap().to_string_lossy();
        let is_pdf = name.ends_with("pdf");
        if !is_pdf && (is_in("inbox") || (is_in("work") && !name.starts_with("p-"))) {
            let place = match path.strip_prefix("facilities") {
                Ok(below) => below.iter().next().unwrap(),
                Err(_) => std::ffi::OsStr::new("desk"),
            };
            let place = place.to_string_lossy().into_owned();
            waiting.entry(place).or_default().push(path);
        }
    }
    waiting
}

/// Each file that was dropped is there once, wherever that is.
fn assert_none_lost_or_doubled(world: &World, what: &str) {
    let seen = world.seen();
    for (place, name, _) in stages().into_iter().flatten() {
        let (stem, ending) = name.rsplit_once('.').unwrap();
        let stem = stem.rsplit_once('/').map_or(stem, |(_, stem)| stem);
        let is_it = |path: &&PathBuf| {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_received = ["inbox", "done", "error"]
                .iter()
                .any(|folder| path.starts_with(format!("{place}/{folder}")));
            let numbered = file
                .strip_prefix(stem)
                .and_then(|rest| rest.strip_suffix(ending))
                .is_some_and(|number| number.trim_matches('.').parse::<u32>().is_ok());
            is_received && (file == format!("{stem}.{ending}") || numbered)
        };
        let found: Vec<&PathBuf> = seen.keys().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{what}: {place}/{name}: {found:?}");
    }
}

/// The paths that an undisturbed run touches.
fn touched() -> Vec<String> {
    let world = world();
    let faults = Arc::new(Faults::none());
    faults.record_paths();
    let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
    for stage in stages() {
        for (place, name, content) in stage {
            world.drop(&place, &name, content);
        }
        for _ in 0..2 {
            sweep(&mut engine).unwrap();
        }
    }
    assert_eq!(waiting(&world), BTreeMap::new());
    assert_eq!(engine.holds(), Vec::new());
    engine.close().unwrap();
    world.assert_verified("undisturbed");
    let spool = &world.config.spool;
    let kinds = faults.touched();
    let kinds: BTreeSet<String> = kinds.iter().filter_map(|path| kind(spool, path)).collect();
    kinds.into_iter().collect()
}

#[test]
fn whatever_path_fails_always_holds_up_nobody_else() {
    let kinds = touched();
    println!("{} paths", kinds.len());
    let mut tried = 0;
    for (first, (name, code)) in ERRORS.into_iter().enumerate() {
        for broken in kinds.iter().skip(first).step_by(step()) {
            fail_always(broken, false, (name, code));
            tried += 1;
            // A folder that fails takes with it what is below.
            let below = format!("{broken}/");
            if !broken.is_empty() && kinds.iter().any(|kind| kind.starts_with(&below)) {
                fail_always(broken, true, (name, code));
                tried += 1;
            }
        }
    }
    support::figure("paths that fail always", tried);
}

fn fail_always(broken: &str, with_below: bool, (name, code): (&str, i32)) {
    let what = format!("{name} at {broken}{}", if with_below { "/*" } else { "" });
    let owner = owner(broken);
    let world = world();
    let faults = Arc::new(Faults::none());
    let fs = Fs::with_faults(Arc::clone(&faults));
    let break_it = || {
        let (spool, broken) = (world.config.spool.clone(), broken.to_owned());
        let below = format!("{broken}/");
        let is_broken = move |_: &str, path: &Path| {
            kind(&spool, path)
                .is_some_and(|kind| kind == broken || with_below && kind.starts_with(&below))
        };
        faults.break_where(is_broken, code);
    };
    // A facility's folder may fail when the program starts; without its own folders it does not.
    let is_of_facility = matches!(&owner, PathOwner::One(place) if place != "desk");
    if is_of_facility {
        break_it();
    }
    let mut engine = world.open_on(fs.clone()).unwrap_or_else(|error| {
        panic!("{what}: it does not start: {error}");
    });
    engine.wait_for_the_desk(Duration::ZERO);
    break_it();
    let mut engine = Some(engine);
    for stage in stages() {
        for (place, name, content) in stage {
            world.drop(&place, &name, content);
        }
        for _ in 0..3 {
            let Some(running) = &mut engine else {
                continue;
            };
            if let Err(error) = sweep(running) {
                assert_eq!(owner, PathOwner::All, "{what}: it ends: {error}");
                engine = None;
            }
        }
    }
    if let Some(engine) = &engine {
        assert_others_go_on(&world, engine, &owner, &what);
    }

    faults.mend();
    let mut engine = engine.take().unwrap_or_else(|| world.open_on(fs).unwrap());
    for _ in 0..4 {
        sweep(&mut engine).unwrap_or_else(|error| panic!("{what}, mended: {error}"));
    }
    assert_eq!(waiting(&world), BTreeMap::new(), "{what}, mended");
    assert_eq!(engine.moves_waiting(), 0, "{what}, mended");
    let held: Vec<_> = engine
        .holds()
        .into_iter()
        .filter(|(_, hold)| hold.held != HoldScope::SomeFiles)
        .collect();
    assert_eq!(held, Vec::new(), "{what}, mended");
    assert_eq!(engine.all_held(), None, "{what}, mended");
    engine.close().unwrap();
    assert_none_lost_or_doubled(&world, &what);
    world.assert_verified(&what);
}

fn assert_others_go_on(world: &World, engine: &Engine, owner: &PathOwner, what: &str) {
    let waiting = waiting(world);
    let may_wait: BTreeSet<&String> = waiting.keys().collect();
    match owner {
        PathOwner::One(place) => {
            let others: Vec<_> = may_wait.iter().filter(|it| **it != place).collect();
            assert!(others.is_empty(), "{what}: {waiting:#?}");
        }
        PathOwner::Document => assert!(may_wait.len() <= 1, "{what}: {waiting:#?}"),
        PathOwner::Nobody => assert!(may_wait.is_empty(), "{what}: {waiting:#?}"),
        PathOwner::All => {}
    }
    let holds = engine.holds();
    let named: BTreeSet<String> = holds
        .iter()
        .map(|(place, _)| owner_name(place).to_owned())
        .collect();
    for (_, hold) in &holds {
        assert!(!hold.cause.is_empty() && !hold.next.is_empty(), "{what}");
    }
    let all_held = engine.all_held().is_some() || engine.lack_of_space().is_err();
    for place in may_wait {
        assert!(
            named.contains(place) || all_held,
            "{what}: {place} waits and nobody says why: {holds:#?} {:#?}",
            waiting[place]
        );
    }
    let moves = holds.iter().any(|(_, hold)| hold.held == HoldScope::Moves);
    assert!(moves || engine.moves_waiting() == 0, "{what}: {holds:#?}");
}
