//! A report follows its case: its versions, what they cost, and what becomes of one that is withdrawn (interface.md 8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};
use rcpspool::model::identifiers::{CaseId, FacilityId};
use rcpspool::model::view::View;
use rcpspool::store::{PendingChanges, keys};
use serde_json::{Value, json};

use support::{World, assert_same, content, session, siu, take_all};

const MEETING: &str = include_str!("../fixtures/cda/meeting.xml");

/// A document of `CASE-77`, with what is exchanged in it.
fn meeting(version: u32, changes: &[(&str, &str)]) -> String {
    let number = format!("versionNumber value=\"{version}\"");
    let version = ("versionNumber value=\"1\"", number.as_str());
    changes
        .iter()
        .chain([&version])
        .fold(MEETING.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
}

/// A world in which `CASE-77` was completed.
fn completed(settings: &str) -> (World, Engine) {
    let world = World::with(settings);
    let mut engine = world.open();
    world.drop(
        "desk",
        "s.csv",
        session("S-THORAX-15", "2025-04-15", "THORAX"),
    );
    world.drop("facilities/demo", "c.xml", MEETING);
    take_all(&mut engine).unwrap();
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    (world, engine)
}

fn complete(world: &World, engine: &mut Engine, decision: &str) -> String {
    let keys = json!({ "decision": decision, "time": "2025-04-15T18:00:00+02:00" });
    desk(world, engine, "complete", keys)
}

/// Gives a command about `CASE-77`, and says what became of it.
fn desk(world: &World, engine: &mut Engine, command: &str, keys: Value) -> String {
    let mut text = json!({ "command": command, "facility": "demo", "case": "CASE-77" });
    let (Some(text), Some(keys)) = (text.as_object_mut(), keys.as_object()) else {
        panic!("{keys}");
    };
    text.extend(keys.clone());
    let name = format!("{}.json", world.names("desk/done").len());
    world.drop("desk", &name, json!(text).to_string());
    word(take_all(engine).unwrap())
}

/// Takes in a file of the facility, and says what became of it.
fn receive(world: &World, engine: &mut Engine, content: &str) -> String {
    let name = format!("{}.x", world.names("facilities/demo/done").len());
    world.drop("facilities/demo", &name, content);
    word(take_all(engine).unwrap())
}

/// The desk's receipts.
fn receipts(world: &World) -> Vec<Value> {
    let acks = world.path("desk/outbox/acks");
    let names = world.names("desk/outbox/acks").into_iter();
    names
        .map(|name| serde_json::from_slice(&std::fs::read(acks.join(name)).unwrap()).unwrap())
        .collect()
}

fn word(totals: rcpspool::engine::Totals) -> String {
    let words = [
        ("accepted", totals.accepted),
        ("updated", totals.updated),
        ("duplicate", totals.duplicate),
        ("stale", totals.stale),
        ("ignored", totals.ignored),
        ("rejected", totals.rejected),
    ];
    let words = words.iter().filter(|(_, count)| *count > 0);
    words.map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
}

fn rows(engine: &Engine, what: Listing) -> Vec<Value> {
    listing::list(what, &Filter::default(), &**engine.store(), engine.config()).unwrap()
}

/// Of each version, its number, and whether it is outdated.
fn versions(engine: &Engine) -> Vec<(u64, bool)> {
    let of = |row: &Value| (row["version"].as_u64().unwrap(), row["outdated"] == true);
    rows(engine, Listing::Reports).iter().map(of).collect()
}

fn is_outdated(engine: &Engine) -> bool {
    let outdated = rows(engine, Listing::Cases)[0]["report_outdated"] == true;
    let filter = Filter {
        state: Some("outdated".to_owned()),
        ..Filter::default()
    };
    let found = listing::list(Listing::Cases, &filter, &**engine.store(), engine.config());
    assert_eq!(found.unwrap().len(), usize::from(outdated));
    assert_eq!(versions(engine).last().unwrap().1, outdated);
    assert_eq!(counted(engine), usize::from(outdated));
    outdated
}

/// How many outdated reports the status counts.
fn counted(engine: &Engine) -> usize {
    let view = PendingChanges::new(&**engine.store());
    let marks = keys::outdated_reports(&FacilityId::new("demo"));
    view.keys(&marks).unwrap().len()
}

/// The text of a version's PDF on one line; none where no tool reads it.
fn text_of(world: &World, engine: &Engine, version: u32) -> Option<String> {
    let view = PendingChanges::new(&**engine.store());
    let (demo, case) = (FacilityId::new("demo"), CaseId::new("CASE-77"));
    let report = view.report(&demo, &case).unwrap().unwrap();
    let made = view.report_version(&report, version).unwrap().unwrap();
    let hash = made.pdf.as_str();
    let pdf = world.path("documents").join(&hash[..2]).join(hash);
    let Ok(read) = Command::new("pdftotext").arg(pdf).arg("-").output() else {
        println!("skipped: pdftotext is not installed");
        return None;
    };
    let text = String::from_utf8(read.stdout).unwrap();
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether a version of the report of `CASE-77` has the time of its `complete` apart, and whether TXA-17 says that it
/// is authenticated.
fn validation_of(engine: &Engine, version: u32) -> (bool, bool) {
    let view = PendingChanges::new(&**engine.store());
    let (demo, case) = (FacilityId::new("demo"), CaseId::new("CASE-77"));
    let report = view.report(&demo, &case).unwrap().unwrap();
    let made = view.report_version(&report, version).unwrap().unwrap();
    let first = view.report_version(&report, 1).unwrap().unwrap();
    let validated = made.validated.inspect(|time| assert_eq!(*time, first.time));
    (validated.is_some(), made.message_before.contains("|AU||AV"))
}

/// An ADT about the patient of `CASE-77`: PID-5 to 8.
fn adt(event: &str, pid: &str) -> String {
    format!(
        "MSH|^~\\&|GAM|CHU|||20250416100000||ADT^{event}^ADT_A01|1|P|2.5|||||FRA|UTF-8\r\
         EVN||20250416\rPID|1||P-77^^^CHU^PI||{pid}\r"
    )
}

/// The identity in the document.
const LE_GOFF: &str = "LE GOFF^Rose^^^^^L~GARNIER^Rosie^^^^^D||19600214|F";

#[test]
fn a_report_follows_what_it_shows_and_says_what_changed() {
    let size = ("value=\"14\" unit=\"mm\"", "value=\"18\" unit=\"mm\"");
    let new_ids = ("extension=\"OBS-1\"", "extension=\"OBS-2\"");
    let merge = adt("A40", LE_GOFF).replace("P-77^", "P-99^") + "MRG|P-77^^^CHU^PI\r";
    let relabelled = session("S-THORAX-15", "2025-04-15", "THORAX").replace("RCP S-", "RCP ");
    for (what, sent, changed) in [
        (
            "another value",
            meeting(2, &[size]),
            Some("questionnaire (taille à l'imagerie)"),
        ),
        ("the same with new ids", meeting(2, &[new_ids]), None),
        (
            "a name by A08",
            adt("A08", &LE_GOFF.replace("GOFF", "GOFFE")),
            Some("identité du patient"),
        ),
        (
            "a date by A31",
            adt("A31", &LE_GOFF.replace("0214", "0215")),
            Some("identité du patient"),
        ),
        ("another IPP", merge, Some("identité du patient")),
        (
            "a phone alone",
            adt("A08", &format!("{LE_GOFF}|||||0612345678^PRN^CP")),
            None,
        ),
        ("a session's label", relabelled, Some("réunion")),
    ] {
        let (world, mut engine) = completed("");
        assert!(!is_outdated(&engine), "{what}");
        match sent.starts_with("id,") {
            true => {
                world.drop("desk", "again.csv", &sent);
                take_all(&mut engine).unwrap();
            }
            false => {
                let told = receive(&world, &mut engine, &sent);
                assert!(
                    ["updated", "accepted"].contains(&told.as_str()),
                    "{what}: {told}"
                );
            }
        }
        assert_eq!(
            rows(&engine, Listing::Cases)[0]["state"],
            "completed",
            "{what}"
        );
        assert_eq!(is_outdated(&engine), changed.is_some(), "{what}");
        // Nothing is sent by itself.
        assert_eq!(versions(&engine).len(), 1, "{what}");

        let time = json!({ "time": "2025-04-16T12:00:00+02:00" });
        let renewed = desk(&world, &mut engine, "renew", time.clone());
        let Some(changed) = changed else {
            assert_eq!(
                (renewed.as_str(), versions(&engine).len()),
                ("duplicate", 1),
                "{what}"
            );
            continue;
        };
        assert_eq!(renewed, "updated", "{what}");
        assert_eq!(versions(&engine), [(1, false), (2, false)], "{what}");
        assert!(!is_outdated(&engine), "{what}");
        assert_eq!(
            desk(&world, &mut engine, "renew", time),
            "duplicate",
            "{what}"
        );
        if let Some(text) = text_of(&world, &engine, 2) {
            let said = format!(
                "Version 2 – remplace la version 1 du 15/04/2025 à 18:00 ; modifié : {changed}"
            );
            assert!(text.replace('’', "'").contains(&said), "{what}: {text}");
            assert!(text.contains("avant cette mise à jour"), "{what}: {text}");
            let first = text_of(&world, &engine, 1).unwrap();
            assert!(!first.contains("remplace"), "{first}");
        }
        drop(engine);
        world.assert_verified(what);
    }
}

#[test]
fn completed_again_with_the_same_decision_it_shows_what_is_known_by_now() {
    let (world, mut engine) = completed("");
    engine.write_due_batches().unwrap();
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "duplicate");
    desk(&world, &mut engine, "reopen", json!({}));
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    assert_eq!(
        versions(&engine).len(),
        1,
        "nothing that it shows has changed"
    );
    let said = said(&world);
    let stays = |it: &String| {
        it.contains("no new version is made, and nothing new leaves")
            && it.contains("Version 1 of its report, which left in batch 1, is valid")
    };
    assert_eq!(said.iter().filter(|it| stays(it)).count(), 1, "{said:?}");
    desk(&world, &mut engine, "reopen", json!({}));
    let size = ("value=\"14\" unit=\"mm\"", "value=\"18\" unit=\"mm\"");
    receive(&world, &mut engine, &meeting(2, &[size]));
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    assert_eq!(versions(&engine).len(), 2);
    // An older document changes nothing, and a PDF of the desk is nobody's to make.
    assert_eq!(receive(&world, &mut engine, &meeting(0, &[])), "stale");
    world.drop("desk", "r.pdf", "%PDF-1.4\n%%EOF\n");
    let pdf = json!({ "pdf": "r.pdf", "time": "2025-04-17T12:00:00Z" });
    assert_eq!(desk(&world, &mut engine, "complete", pdf), "updated");
    assert_eq!(desk(&world, &mut engine, "renew", json!({})), "rejected");
    drop(engine);
    world.assert_verified("after it");
}

/// The sentences with which the desk's receipts say what its commands did, where that is not what one would expect.
fn said(world: &World) -> BTreeSet<String> {
    let receipts = receipts(world);
    let said = receipts.iter();
    let said = said.filter_map(|it| it["issue"][0]["diagnostics"].as_str());
    said.map(str::to_owned).collect()
}

/// Whoever cancels or opens a case hears what its report, which left, is worth from then on; whoever completes it again
/// hears what the completion before said and this one does not.
#[test]
fn a_command_says_what_it_leaves_behind() {
    let (world, mut engine) = completed("");
    let whole = json!({
        "decision": "Chirurgie",
        "participants": [{ "family": "CHEF", "given": "Marc", "role": "Chirurgien" }],
        "validator": { "family": "CHEF", "given": "Marc", "role": "Chirurgien" },
        "time": "2025-04-15T18:30:00+02:00",
    });
    assert_eq!(
        desk(&world, &mut engine, "complete", whole.clone()),
        "updated"
    );
    assert_eq!(said(&world), BTreeSet::new());
    assert_eq!(complete(&world, &mut engine, "Surveillance"), "updated");
    let lacking = "version 3 of its report leaves with the next batch. The version before gave participants, a validator, which this one does not";
    let heard = said(&world);
    assert!(heard.iter().any(|it| it.contains(lacking)), "{heard:?}");
    assert_eq!(desk(&world, &mut engine, "complete", whole), "updated");
    assert_eq!(said(&world).len(), 1);
    engine.write_due_batches().unwrap();
    for (command, told) in [
        (
            "reopen",
            "is open again. Version 4 of its report left before in batch 1: the next version takes its place.",
        ),
        ("complete", "no new version is made"),
        (
            "cancel",
            "is cancelled. Version 4 of its report left before in batch 1: nothing tells the facility, whose reports.withdraw is next-version.",
        ),
    ] {
        let before = said(&world);
        match command {
            "complete" => {
                let whole = json!({
                    "decision": "Chirurgie",
                    "participants": [{ "family": "CHEF", "given": "Marc", "role": "Chirurgien" }],
                    "validator": { "family": "CHEF", "given": "Marc", "role": "Chirurgien" },
                });
                desk(&world, &mut engine, command, whole);
            }
            command => {
                desk(&world, &mut engine, command, json!({}));
            }
        }
        let heard = said(&world);
        let new: Vec<&String> = heard.difference(&before).collect();
        assert!(
            matches!(&new[..], [one] if one.contains(told)),
            "{command}: {new:?}"
        );
    }
    drop(engine);
    world.assert_verified("after it");
}

/// A report names the documents of its case. One that comes after the meeting was not discussed: it makes no report
/// outdated, and the next version names it.
#[test]
fn the_documents_of_the_case_are_listed() {
    let (world, mut engine) = completed("");
    let document = |id: &str, name: &str, content: &[u8]| {
        let content = STANDARD.encode(content);
        format!(
            "MSH|^~\\&|LAB|X|||20250410101500||ORU^R01|1|P|2.5\r\
             PID|1||P-77^^^X&1.2.250.1.999.1&ISO^PI||LE GOFF^Rose^^^^^L||19600214|F\rORC|RE|CASE-77\r\
             OBR|1|CASE-77|{id}^LAB|11502-2^CR^LN\r\
             OBX|1|ED|11502-2^{name}||^AP^PDF^Base64^{content}||||||F\r"
        )
    };
    let scanner = document("D-1", "Scanner thorax", b"%PDF-1.4\n%%EOF\n");
    assert_eq!(receive(&world, &mut engine, &scanner), "accepted");
    assert!(!is_outdated(&engine));
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "duplicate");
    let logo = include_bytes!("../fixtures/layout/logo.png");
    let picture = document("D-2", "Coupe", logo);
    assert_eq!(receive(&world, &mut engine, &picture), "accepted");
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    assert_eq!(versions(&engine).len(), 3);
    let Some(text) = text_of(&world, &engine, 1) else {
        return;
    };
    assert!(!text.contains("Documents joints"), "{text}");
    let text = text_of(&world, &engine, 3).unwrap();
    for said in [
        "modifié : documents du dossier",
        "Documents joints au dossier",
        "Coupe.png",
        "Image PNG",
        "Scanner thorax.pdf",
        "10/04/2025 10:15",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    drop(engine);
    world.assert_verified("after it");
}

/// A world with the case `C1` in a session.
fn world(settings: &str) -> (World, Engine) {
    let world = World::with(settings);
    let mut engine = world.open();
    world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    let message = siu("S12", "C1", "P1", "20250401120000", "20250408");
    world.drop("facilities/demo", "c1.hl7", message);
    take_all(&mut engine).unwrap();
    (world, engine)
}

/// How many bytes the journal has.
fn journal(world: &World) -> u64 {
    let files = walkdir::WalkDir::new(world.path("journal")).into_iter();
    files
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// The bytes of the journal that so many completions of one case cost.
fn cost_of_completions(count: usize) -> u64 {
    let (world, mut engine) = world("");
    let before = journal(&world);
    let commands: Vec<_> = (0..count)
        .map(|number| {
            json!({
                "command": "complete", "facility": "demo", "case": "C1",
                "decision": format!("decision {number}"), "time": "2025-04-08T18:00:00+02:00",
            })
        })
        .collect();
    world.drop("desk", "c.json", json!(commands).to_string());
    assert_eq!(take_all(&mut engine).unwrap().updated, count as u64);
    engine.write_due_batches().unwrap();
    let grown = journal(&world) - before;
    drop(engine);
    world.assert_verified("after completions");
    grown
}

#[test]
fn a_version_of_a_report_does_not_write_the_former_ones_again() {
    let (few, many) = (cost_of_completions(50), cost_of_completions(200));
    assert!(
        many * 10 < few * 48,
        "50 versions cost {few} bytes of journal, 200 cost {many}"
    );
}

/// The messages of all batches in the outbox, in the order of their names, each batch by itself.
fn batches(world: &World) -> Vec<Vec<String>> {
    let folder = "facilities/demo/outbox/reports";
    let mut names = world.names(folder);
    names.sort_by_key(|name| name.rsplit('_').next().map(str::len));
    let read = |name: &String| {
        let text = std::fs::read_to_string(world.path(folder).join(name)).unwrap();
        let batch = roxmltree::Document::parse(&text).unwrap();
        let contents = batch.descendants().filter(|it| it.has_tag_name("content"));
        let message = |it: roxmltree::Node<'_, '_>| STANDARD.decode(it.text().unwrap()).unwrap();
        contents
            .map(|it| String::from_utf8(message(it)).unwrap())
            .collect()
    };
    names.iter().map(read).collect()
}

fn control_ids(batch: &[String]) -> Vec<&str> {
    batch
        .iter()
        .map(|it| it.split('|').nth(9).unwrap())
        .collect()
}

/// The store is as the journal makes it, and nothing contradicts anything else.
fn assert_sound(world: &World, engine: Engine) -> Engine {
    let before = content(&**engine.store());
    drop(engine);
    world.assert_verified("as it is");
    let engine = world.open();
    assert_same(
        &before,
        &content(&**engine.store()),
        "made again from the journal",
    );
    engine
}

#[test]
fn what_has_not_left_when_its_case_is_opened_again_never_does() {
    for command in ["reopen", "cancel"] {
        let (world, mut engine) = completed("");
        complete(&world, &mut engine, "Chimiothérapie");
        assert_eq!(desk(&world, &mut engine, command, json!({})), "updated");
        let withdrawn = |engine: &Engine| -> Vec<bool> {
            let rows = rows(engine, Listing::Reports);
            rows.iter().map(|row| row["withdrawn"] == true).collect()
        };
        assert_eq!(withdrawn(&engine), [true, true]);
        engine.write_due_batches().unwrap();
        assert!(batches(&world).is_empty(), "a timer writes no empty batch");
        let mut engine = assert_sound(&world, engine);
        world.drop("facilities/demo", "q1.retrieve", "");
        take_all(&mut engine).unwrap();
        assert_eq!(batches(&world), [Vec::<String>::new()]);
        let mut engine = assert_sound(&world, engine);
        if command == "cancel" {
            assert_eq!(desk(&world, &mut engine, "reopen", json!({})), "updated");
        }
        // Nobody has it: with the same content it is made again, and takes the place of none.
        assert_eq!(complete(&world, &mut engine, "Chimiothérapie"), "updated");
        assert_eq!(withdrawn(&engine), [true, true, false]);
        world.drop("facilities/demo", "q2.retrieve", "");
        take_all(&mut engine).unwrap();
        let sent = batches(&world);
        assert_eq!(control_ids(&sent[1]), ["demo-1-3"]);
        if let Some(text) = text_of(&world, &engine, 3) {
            assert!(!text.contains("remplace"), "{text}");
        }
        assert_sound(&world, engine);
    }
}

#[test]
fn of_what_left_the_next_version_tells() {
    let (world, mut engine) = completed("[reports]\nevery = \"1m\"");
    engine.write_due_batches().unwrap();
    desk(&world, &mut engine, "reopen", json!({}));
    engine.write_due_batches().unwrap();
    assert_eq!(batches(&world).len(), 1);
    complete(&world, &mut engine, "Surveillance");
    engine.write_due_batches().unwrap();
    let sent = batches(&world);
    assert_eq!(control_ids(&sent[1]), ["demo-1-2"]);
    if let Some(text) = text_of(&world, &engine, 2) {
        let said = "remplace la version 1 du 15/04/2025 à 18:00 ; modifié : décision";
        assert!(text.contains(said), "{text}");
    }
    assert_sound(&world, engine);
}

#[test]
fn of_what_left_a_message_tells_at_once_and_once() {
    for (format, kind, what) in [
        ("MDM_T02", "|MDM^T11^MDM_T01|", "|AU||CA||Dossier rouvert\r"),
        (
            "ORU_R01",
            "|ORU^R01^ORU_R01|",
            "|D|||20250416120000\rNTE|1||Dossier rouvert\r",
        ),
    ] {
        let settings =
            format!("[reports]\nevery = \"1m\"\nwithdraw = \"message\"\nformat = \"{format}\"");
        let (world, mut engine) = completed(&settings);
        engine.write_due_batches().unwrap();
        complete(&world, &mut engine, "Chimiothérapie");
        let time = json!({ "time": "2025-04-16T12:00:00+02:00" });
        desk(&world, &mut engine, "reopen", time.clone());
        desk(&world, &mut engine, "reopen", time);
        let mut engine = assert_sound(&world, engine);
        // The case is completed again before the withdrawal has left: both leave, in order.
        assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
        engine.write_due_batches().unwrap();
        let sent = batches(&world);
        assert_eq!(sent.len(), 2);
        assert_eq!(control_ids(&sent[1]), ["demo-1-1w", "demo-1-3"]);
        let message = &sent[1][0];
        assert!(
            message.contains(kind) && message.contains(what),
            "{message}"
        );
        assert!(!message.contains("JVBER"), "it carries no PDF: {message}");
        let id = rows(&engine, Listing::Reports)[0]["document_id"].clone();
        assert!(message.contains(id.as_str().unwrap()), "{message}");
        let first = &rows(&engine, Listing::Reports)[0];
        assert_eq!(
            (&first["batch"], &first["withdrawal_batch"]),
            (&json!(1), &json!(2))
        );

        let again = json!({ "command": "redeliver", "facility": "demo", "batch": 2 });
        world.drop("desk", "again.json", again.to_string());
        take_all(&mut engine).unwrap();
        let sent = batches(&world);
        assert_eq!(sent[2], sent[1], "the same bytes");
        // A report that left and does not hold: so it is with a case that is cancelled, too.
        let time = json!({ "time": "2025-04-17T12:00:00+02:00" });
        assert_eq!(desk(&world, &mut engine, "cancel", time), "updated");
        engine.write_due_batches().unwrap();
        let sent = batches(&world);
        assert_eq!(control_ids(&sent[3]), ["demo-1-3w"]);
        assert!(sent[3][0].contains("Dossier annulé"), "{}", sent[3][0]);
        assert_sound(&world, engine);
    }
}

#[test]
fn where_it_is_automatic_a_report_is_renewed_with_the_message_that_outdates_it() {
    let (world, mut engine) = completed("[reports]\nevery = \"1m\"\nrenew = \"auto\"");
    let second = meeting(1, &[("CASE-77", "CASE-78"), ("DOC-1", "DOC-2")]);
    receive(&world, &mut engine, &second);
    // A third one has a PDF of the desk, and a fourth is not completed.
    let third = meeting(1, &[("CASE-77", "CASE-79"), ("DOC-1", "DOC-3")]);
    receive(&world, &mut engine, &third);
    let fourth = meeting(1, &[("CASE-77", "CASE-80"), ("DOC-1", "DOC-4")]);
    receive(&world, &mut engine, &fourth);
    world.drop("desk", "r.pdf", "%PDF-1.4\n%%EOF\n");
    let time = "2025-04-15T18:00:00+02:00";
    let others = json!([
        { "command": "complete", "facility": "demo", "case": "CASE-78", "decision": "d", "time": time },
        { "command": "complete", "facility": "demo", "case": "CASE-79", "pdf": "r.pdf", "time": time },
    ]);
    world.drop("desk", "others.json", others.to_string());
    take_all(&mut engine).unwrap();
    let versions = |engine: &Engine| -> Vec<(String, u64)> {
        let of = |row: &Value| {
            let case = row["case"].as_str().unwrap().to_owned();
            (case, row["version"].as_u64().unwrap())
        };
        rows(engine, Listing::Reports).iter().map(of).collect()
    };
    assert_eq!(versions(&engine).len(), 3);

    let phone = adt("A08", &format!("{LE_GOFF}|||||0698765432^PRN^CP"));
    receive(&world, &mut engine, &phone);
    assert_eq!(versions(&engine).len(), 3, "no report shows a phone");

    let name = LE_GOFF.replace("GOFF", "GOFFE");
    let corrected = adt("A08", &name).replace("20250416100000", "20250416110000");
    receive(&world, &mut engine, &corrected);
    let expected = [
        ("CASE-77", 1),
        ("CASE-77", 2),
        ("CASE-78", 1),
        ("CASE-78", 2),
        ("CASE-79", 1),
    ];
    let expected = expected.map(|(case, version)| (case.to_owned(), version));
    assert_eq!(versions(&engine), expected);
    if let Some(text) = text_of(&world, &engine, 2) {
        assert!(text.contains("LE GOFFE"), "{text}");
        assert!(text.contains("modifié : identité du patient"), "{text}");
        assert!(
            text.contains("validé le 15/04/2025 à 18:00 avant cette mise à jour"),
            "{text}"
        );
    }
    assert_eq!(validation_of(&engine, 1), (false, true));
    assert_eq!(validation_of(&engine, 2), (true, false));
    let cases = rows(&engine, Listing::Cases);
    let outdated = cases.iter().map(|row| row["report_outdated"] == true);
    let outdated: Vec<bool> = outdated.collect();
    assert_eq!(
        outdated,
        [false, false, true, false],
        "the desk's PDF is the desk's"
    );
    assert_eq!(counted(&engine), 1);
    let mut engine = assert_sound(&world, engine);

    let size = ("value=\"14\" unit=\"mm\"", "value=\"18\" unit=\"mm\"");
    receive(
        &world,
        &mut engine,
        &meeting(2, &[size, ("LE GOFF<", "LE GOFFE<")]),
    );
    assert_eq!(versions(&engine).len(), 6);
    let merge = adt("A40", &name).replace("P-77^", "P-99^") + "MRG|P-77^^^CHU^PI\r";
    receive(&world, &mut engine, &merge);
    assert_eq!(versions(&engine).len(), 8, "the IPP is another");
    engine.write_due_batches().unwrap();
    let sent = batches(&world);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        control_ids(&sent[0]),
        [
            "demo-1-1", "demo-2-1", "demo-3-1", "demo-1-2", "demo-2-2", "demo-1-3", "demo-1-4",
            "demo-2-3"
        ]
    );
    // A later one still has the time of the `complete`, until the desk completes the case again.
    assert_eq!(validation_of(&engine, 4), (true, false));
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "updated");
    assert_eq!(validation_of(&engine, 5), (false, true));
    assert_eq!(complete(&world, &mut engine, "Chirurgie"), "duplicate");
    // One that is open is nobody's to renew.
    desk(&world, &mut engine, "reopen", json!({}));
    let again = LE_GOFF.replace("Rosie", "Rose");
    let again = adt("A31", &again)
        .replace("P-77^", "P-99^")
        .replace("20250416100000", "20250417100000");
    receive(&world, &mut engine, &again);
    assert_eq!(versions(&engine).len(), 10, "CASE-78 alone");
    assert_sound(&world, engine);
}

/// The bytes of the journal that a corrected name costs, of a patient with so many completed cases.
fn cost_of_a_name(cases: usize) -> u64 {
    let (world, mut engine) = world("");
    let messages = (2..=cases).map(|number| {
        siu(
            "S12",
            &format!("C{number}"),
            "P1",
            "20250401120000",
            "20250408",
        )
    });
    world.drop("facilities/demo", "more.hl7", messages.collect::<String>());
    let commands = (1..=cases).map(|number| {
        json!({
            "command": "complete", "facility": "demo", "case": format!("C{number}"),
            "decision": "d", "time": "2025-04-08T18:00:00+02:00",
        })
    });
    take_all(&mut engine).unwrap();
    world.drop(
        "desk",
        "c.json",
        json!(commands.collect::<Vec<_>>()).to_string(),
    );
    assert_eq!(take_all(&mut engine).unwrap().updated, cases as u64);
    let before = journal(&world);
    let name = adt("A08", "MARTINE^JEANNE^^^MME^^L||19501104|F").replace("P-77", "P1");
    assert_eq!(receive(&world, &mut engine, &name), "updated");
    let grown = journal(&world) - before;
    assert!(versions(&engine).iter().all(|(_, outdated)| *outdated));
    drop(engine);
    world.assert_verified("after a corrected name");
    grown
}

#[test]
fn a_corrected_name_costs_the_same_however_many_cases_it_outdates() {
    let (some, many) = (cost_of_a_name(16), cost_of_a_name(64));
    assert!(
        many < some + 200,
        "16 cases: {some} bytes, 64 cases: {many}"
    );
}
