//! The main way: a received file becomes a case, and a completed case becomes a report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine as _;
use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};
use serde_json::Value;

use support::{World, content, document, patient, session, siu, take_all};

const INBOX: &str = "facilities/demo";

fn rows(world: &World, engine: &Engine, what: Listing) -> Vec<Value> {
    listing::list(what, &Filter::default(), &**engine.store(), &world.config).unwrap()
}

fn the_case(world: &World, engine: &Engine) -> Value {
    let cases = rows(world, engine, Listing::Cases);
    assert_eq!(cases.len(), 1);
    cases[0].clone()
}

/// A world with the session S-1 of 2025-04-08 in place.
fn with_session() -> (World, Engine) {
    let world = World::new();
    let mut engine = world.open();
    world.drop("desk", "s1.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    take_all(&mut engine).unwrap();
    (world, engine)
}

#[test]
fn a_file_becomes_a_case_and_a_completed_case_a_report() {
    let (world, mut engine) = with_session();
    world.drop(
        INBOX,
        "a.hl7",
        siu("S12", "59384", "P1", "20250401120000", "20250408"),
    );
    take_all(&mut engine).unwrap();
    let case = the_case(&world, &engine);
    assert_eq!(case["state"], "scheduled");
    assert_eq!(case["session"], "S-1");
    assert_eq!(case["submitter"], "10100094977");
    assert_eq!(case["network"], "NETWORK-1");

    let complete = r#"{"command":"complete","facility":"demo","case":"59384","decision":"Chirurgie première","time":"2025-04-08T18:00:00+02:00"}"#;
    world.drop("desk", "c.json", complete);
    world.drop(INBOX, "q1.retrieve", "");
    world.drop(INBOX, "q2.retrieve", "");
    take_all(&mut engine).unwrap();
    assert_eq!(the_case(&world, &engine)["state"], "completed");
    let read = |name: &str| {
        std::fs::read_to_string(world.path(INBOX).join("outbox/reports").join(name)).unwrap()
    };
    let batch = read("q1.xml");
    let batch = roxmltree::Document::parse(&batch).unwrap();
    let contents: Vec<_> = batch
        .descendants()
        .filter(|node| node.has_tag_name("content"))
        .collect();
    assert_eq!(contents.len(), 1);
    let decode = |text: &str| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    let message = String::from_utf8(decode(contents[0].text().unwrap())).unwrap();
    assert!(message.starts_with(
        "MSH|^~\\&|ROFIM|ROFIM|AXIGATE|AXIGATE|20250408180000||MDM^T02^MDM_T02|demo-1-1|P|2.5|"
    ));
    let obx = message
        .split('\r')
        .find(|segment| segment.starts_with("OBX"))
        .unwrap();
    let file = obx.split('|').nth(5).unwrap();
    assert!(decode(file.split('^').nth(4).unwrap()).starts_with(b"%PDF-1."));
    assert!(read("q2.xml").ends_with("<message/>\n"));
    engine.close().unwrap();
    world.assert_verified("at the end");
}

#[test]
fn a_file_dropped_twice_changes_nothing() {
    let (world, mut engine) = with_session();
    let files = [
        (
            "a.hl7",
            siu("S12", "C1", "P1", "20250401120000", "20250408"),
        ),
        ("b.hl7", patient("P2", "20250401120000", "0612345678")),
        (
            "c.hl7",
            document("P2", "20250401130000", "D-1", "%PDF-1.4 x"),
        ),
    ];
    for (name, message) in &files {
        world.drop(INBOX, name, message);
    }
    assert_eq!(take_all(&mut engine).unwrap().accepted, 3);
    let before = content(&**engine.store());
    for (name, message) in &files {
        world.drop(INBOX, name, message);
    }
    assert_eq!(take_all(&mut engine).unwrap().duplicate, 3);
    assert_eq!(content(&**engine.store()), before);
    assert_eq!(
        world
            .names(INBOX)
            .iter()
            .filter(|name| name.contains(".2.hl7"))
            .count(),
        6
    );
}

#[test]
fn a_case_is_moved_and_cancelled_and_not_revived_by_what_is_late() {
    let (world, mut engine) = with_session();
    world.drop("desk", "s2.csv", session("S-2", "2025-04-15", "PATHWAY-1"));
    world.drop(
        INBOX,
        "a.hl7",
        siu("S12", "C1", "P1", "20250401120000", "20250408"),
    );
    world.drop(
        INBOX,
        "b.hl7",
        siu("S13", "C1", "P1", "20250402120000", "20250415"),
    );
    take_all(&mut engine).unwrap();
    assert_eq!(the_case(&world, &engine)["session"], "S-2");
    world.drop(
        INBOX,
        "c.hl7",
        siu("S15", "C1", "P1", "20250403120000", "20250415"),
    );
    world.drop(
        INBOX,
        "d.hl7",
        siu("S12", "C1", "P1", "20250402130000", "20250408"),
    );
    assert_eq!(take_all(&mut engine).unwrap().stale, 1);
    let case = the_case(&world, &engine);
    assert_eq!(case["state"], "cancelled");
    assert_eq!(case["session"], Value::Null);
    engine.close().unwrap();
    world.assert_verified("at the end");
}

#[test]
fn a_case_without_one_session_waits_with_a_note() {
    let (world, mut engine) = with_session();
    world.drop("desk", "s2.csv", session("S-2", "2025-04-08", "PATHWAY-1"));
    for (case, date, warning) in [
        ("C1", "20250408", "session-ambiguous"),
        ("C2", "20250409", "session-not-found"),
    ] {
        world.drop(
            INBOX,
            &format!("{case}.hl7"),
            siu("S12", case, case, "20250401120000", date),
        );
        take_all(&mut engine).unwrap();
        let notes = rows(&world, &engine, Listing::Notes);
        let note = notes.iter().find(|note| note["case"] == case).unwrap();
        assert_eq!(note["reason"], warning);
        assert_eq!(note["documents"].as_array().unwrap().len(), 1);
        let ack = std::fs::read_to_string(
            world
                .path(INBOX)
                .join(format!("outbox/acks/{case}.hl7.ack")),
        )
        .unwrap();
        assert!(ack.contains(&format!("MSA|AA|{case}-S12")), "{ack}");
        assert!(ack.contains(&format!("|W|{warning}|")), "{ack}");
    }
}

#[test]
fn a_wrong_phone_leaves_a_reason_and_no_trace() {
    let (world, mut engine) = with_session();
    let before = content(&**engine.store());
    let message =
        siu("S12", "C1", "P1", "20250401120000", "20250408").replace("|F\r", "|F|||||061^PRN^CP\r");
    world.drop(INBOX, "a.hl7", message);
    assert_eq!(take_all(&mut engine).unwrap().rejected, 1);
    assert_eq!(content(&**engine.store()), before);
    let sidecar = std::fs::read(world.path(INBOX).join("error/a.hl7.error.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    assert_eq!(sidecar["reason"], "invalid-phone");
    assert_eq!(sidecar["where"], "PID-13.1");
    assert_eq!(sidecar["value"], "061");
    engine.close().unwrap();
    world.assert_verified("at the end");
}

/// Where files cannot be moved for a while, their names stay their own: a later file of that name gets another.
#[test]
fn a_move_that_must_wait_keeps_its_name() {
    let (world, mut engine) = with_session();
    let message = |time: &str| siu("S12", "C1", "P1", time, "20250408");
    world.drop(INBOX, "a.hl7", message("20250401120000"));
    take_all(&mut engine).unwrap();
    let done = std::fs::read_dir(world.path(INBOX).join("done")).unwrap();
    let day = done.map(|entry| entry.unwrap().path()).next().unwrap();
    let closed = [day, world.path(INBOX).join("outbox/acks")];
    if !set_immutable(&closed, true) {
        println!("skipped: no folder can be made immutable here");
        return;
    }
    let mut waiting = Vec::new();
    for number in 2..=4 {
        world.drop(INBOX, "b.hl7", message(&format!("2025040{number}120000")));
        take_all(&mut engine).unwrap();
        waiting.push(engine.moves_waiting());
    }
    set_immutable(&closed, false);
    take_all(&mut engine).unwrap();
    assert_eq!(waiting, [2, 4, 6], "the file and its receipt, each time");
    assert_eq!(engine.moves_waiting(), 0, "{:#?}", world.names(INBOX));
    let ended = world.names(INBOX);
    for name in ["b.hl7", "b.2.hl7", "b.3.hl7"] {
        let is_it =
            |path: &&String| path.starts_with("done/") && path.ends_with(&format!("/{name}"));
        assert_eq!(ended.iter().filter(is_it).count(), 1, "{name}: {ended:#?}");
        assert!(
            ended.contains(&format!("outbox/acks/{name}.ack")),
            "{ended:#?}"
        );
    }
}

/// What others put where a received file is about to end stays theirs, and the file gets another name.
#[test]
fn what_somebody_put_in_the_way_stays() {
    let (world, mut engine) = with_session();
    let message = |time: &str| siu("S12", "C1", "P1", time, "20250408");
    world.drop(INBOX, "a.hl7", message("20250401120000"));
    take_all(&mut engine).unwrap();
    let done = std::fs::read_dir(world.path(INBOX).join("done")).unwrap();
    let day = done.map(|entry| entry.unwrap().path()).next().unwrap();
    let receipt = world.path(INBOX).join("outbox/acks/b.hl7.ack");
    std::fs::write(day.join("b.hl7"), "mine").unwrap();
    std::fs::write(&receipt, "mine").unwrap();
    world.drop(INBOX, "b.hl7", message("20250402120000"));
    assert_eq!(take_all(&mut engine).unwrap().updated, 1);
    assert_eq!(engine.moves_waiting(), 0);
    assert_eq!(std::fs::read_to_string(day.join("b.hl7")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), "mine");
    let ours = std::fs::read_to_string(day.join("b.2.hl7")).unwrap();
    assert_eq!(ours, message("20250402120000"));
    let receipts = std::fs::read_dir(world.path(INBOX).join("outbox/acks")).unwrap();
    assert_eq!(receipts.count(), 3);
}

fn set_immutable(folders: &[std::path::PathBuf], immutable: bool) -> bool {
    let flags = match immutable {
        true => rustix::fs::IFlags::IMMUTABLE,
        false => rustix::fs::IFlags::empty(),
    };
    folders.iter().all(|folder| {
        let folder = std::fs::File::open(folder).unwrap();
        rustix::fs::ioctl_setflags(folder, flags).is_ok()
    })
}
