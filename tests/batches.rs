//! Files of several messages, commands or lines: each message has its own outcome and acknowledgement (interface.md 2, 7, 10).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};
use serde_json::Value;

use support::{World, patient, siu, take_all};

const INBOX: &str = "facilities/demo";

fn rows(world: &World, engine: &Engine, what: Listing) -> Vec<Value> {
    listing::list(what, &Filter::default(), &**engine.store(), &world.config).unwrap()
}

fn read(world: &World, below: &str) -> String {
    let path = world.path(below);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(world: &World, below: &str) -> Value {
    serde_json::from_str(&read(world, below)).unwrap()
}

/// The first fields of the receipt's MSA segments and the codes of its ERR segments, in their order.
fn answers(world: &World, name: &str) -> Vec<String> {
    read(world, &format!("{INBOX}/outbox/acks/{name}.ack"))
        .split('\r')
        .filter_map(|segment| {
            let fields: Vec<&str> = segment.split('|').collect();
            match fields[0] {
                "MSA" => Some(format!("{} {}", fields[1], fields[2])),
                "ERR" => Some(format!("{} {}", fields[4], fields[5])),
                _ => None,
            }
        })
        .collect()
}

/// Where the file of this name lies below `done/`, whatever the day.
fn done(world: &World, name: &str) -> bool {
    let done = world.names(&format!("{INBOX}/done"));
    done.iter()
        .any(|path| path.split_once('/').unwrap().1 == name)
}

/// Taken in, refused for its phone number, never answered, of no use, refused for its version.
fn messages() -> [String; 5] {
    [
        patient("P1", "20250401120000", "0612345678"),
        patient("P2", "20250401120000", "061"),
        "MSH|^~\\&|EHR|HOSPITAL|||20250401120000||ACK^A28^ACK|A1|P|2.5\rMSA|AA|X\r".to_owned(),
        patient("P4", "20250401120000", "").replace("ADT^A28^ADT_A05", "ADT^A02"),
        patient("P5", "20250401120000", "").replace("|2.5|", "|2.2|"),
    ]
}

#[test]
fn each_message_of_a_file_has_its_own_outcome() {
    let envelope =
        |messages: &str| format!("FHS|^~\\&|EHR\rBHS|^~\\&|EHR\r{messages}BTS|5\rFTS|1\r");
    let framed = |messages: &str| {
        messages
            .replace("MSH|", "\u{b}MSH|")
            .replace("\rMSH", "\u{1c}\rMSH")
    };
    let plain = messages().concat();
    for (name, file) in [
        ("plain.hl7", plain.clone()),
        ("envelope.hl7", envelope(&plain)),
        ("lines.hl7", envelope(&plain).replace('\r', "\r\n")),
        ("framed.hl7", framed(&plain)),
        (
            "marked.hl7",
            format!("\u{feff}\n{}", plain.replace('\r', "\n")),
        ),
    ] {
        let world = World::new();
        let mut engine = world.open();
        world.drop(INBOX, name, &file);
        let totals = take_all(&mut engine).unwrap();
        assert_eq!(
            (totals.accepted, totals.ignored, totals.rejected),
            (1, 2, 2),
            "{name}"
        );
        assert!(done(&world, name), "{name}");
        assert_eq!(
            answers(&world, name),
            [
                "AA P1",
                "AE P2",
                "E invalid-phone",
                "AA P4",
                "AR P5",
                "E unsupported-version"
            ],
            "{name}"
        );
        let stem = name.strip_suffix(".hl7").unwrap();
        let refused = format!("{INBOX}/error/{stem}.m2.hl7");
        for (number, reason, place) in [
            (2, "invalid-phone", "PID-13.1"),
            (5, "unsupported-version", "MSH-12.1"),
        ] {
            let sidecar = json(
                &world,
                &format!("{INBOX}/error/{stem}.m{number}.hl7.error.json"),
            );
            assert_eq!(
                (&sidecar["reason"], &sidecar["where"]),
                (&reason.into(), &place.into())
            );
            assert_eq!(sidecar["control_id"], format!("P{number}"));
        }
        assert_eq!(world.names(&format!("{INBOX}/error")).len(), 4, "{name}");

        // What was split off can be corrected and dropped again.
        let split_off = read(&world, &refused);
        assert!(
            split_off.starts_with("MSH|") && !split_off.contains("MSA"),
            "{split_off:?}"
        );
        world.drop(
            INBOX,
            "corrected.hl7",
            split_off.replace("|061^", "|0612345679^"),
        );
        assert_eq!(take_all(&mut engine).unwrap().accepted, 1, "{name}");
        assert_eq!(rows(&world, &engine, Listing::Patients).len(), 2);

        // The file again, under the same name: all new names, nothing is overwritten.
        world.drop(INBOX, name, &file);
        assert_eq!(take_all(&mut engine).unwrap().duplicate, 1);
        assert!(
            done(&world, &format!("{stem}.2.hl7")),
            "{:#?}",
            world.names(INBOX)
        );
        assert_eq!(answers(&world, &format!("{stem}.2.hl7"))[0], "AA P1");
        assert!(
            world
                .path(&format!("{INBOX}/error/{stem}.2.m2.hl7"))
                .exists()
        );
        assert_eq!(read(&world, &refused), split_off);
    }
}

#[test]
fn a_file_of_refused_messages_is_refused_whole() {
    let world = World::new();
    let mut engine = world.open();
    let [_, second, .., fifth] = messages();
    let file = second + &fifth;
    world.drop(INBOX, "a.hl7", &file);
    assert_eq!(take_all(&mut engine).unwrap().rejected, 2);
    assert_eq!(
        world.names(&format!("{INBOX}/error")),
        ["a.hl7", "a.hl7.error.json"]
    );
    assert_eq!(read(&world, &format!("{INBOX}/error/a.hl7")), file);
    let sidecar = json(&world, &format!("{INBOX}/error/a.hl7.error.json"));
    assert_eq!(sidecar["reason"], "invalid-phone");
    let all = sidecar["messages"].as_array().unwrap();
    let reasons: Vec<&Value> = all.iter().map(|message| &message["reason"]).collect();
    assert_eq!(reasons, ["invalid-phone", "unsupported-version"]);
    assert_eq!(all[1]["control_id"], "P5");
}

#[test]
fn counts_that_do_not_match_are_warned_of() {
    for (trailers, place) in [
        ("BTS|2\rFTS|1\r", None),
        ("BTS|\rFTS|\r", None),
        ("BTS|3\rFTS|1\r", Some("BTS^1^1")),
        ("BTS|many\rFTS|1\r", Some("BTS^1^1")),
        ("BTS|2\rFTS|2\r", Some("FTS^1^1")),
        ("BTS|3\rFTS|2\r", Some("BTS^1^1")),
    ] {
        let world = World::new();
        let mut engine = world.open();
        let [first, second, ..] = messages();
        // The first that was taken in carries the warning, wherever it stands.
        let file = format!("FHS|^~\\&|EHR\rBHS|^~\\&|EHR\r{second}{first}{trailers}");
        world.drop(INBOX, "a.hl7", file);
        take_all(&mut engine).unwrap();
        let mut expected = vec!["AE P2", "E invalid-phone", "AA P1"];
        expected.extend(place.map(|_| "W batch-count"));
        assert_eq!(answers(&world, "a.hl7"), expected, "{trailers:?}");
        if let Some(place) = place {
            let ack = read(&world, &format!("{INBOX}/outbox/acks/a.hl7.ack"));
            assert!(ack.contains(&format!("\rERR||{place}|0^")), "{ack}");
        }
    }
}

#[test]
fn the_messages_of_a_file_build_on_each_other() {
    let world = World::new();
    let mut engine = world.open();
    world.drop(
        "desk",
        "s.csv",
        support::session("S-1", "2025-04-08", "PATHWAY-1"),
    );
    let file = siu("S12", "C1", "P1", "20250401120000", "20250408")
        + &siu("S15", "C1", "P1", "20250402120000", "20250408")
        + &siu("S12", "C1", "P1", "20250401130000", "20250408")
        + &siu("S14", "C1", "P1", "20250403120000", "20250408");
    world.drop(INBOX, "a.hl7", file);
    let totals = take_all(&mut engine).unwrap();
    assert_eq!(
        (totals.accepted, totals.updated, totals.stale),
        (2, 2, 1),
        "{totals:?}"
    );
    assert_eq!(
        rows(&world, &engine, Listing::Cases)[0]["state"],
        "scheduled"
    );
}

#[test]
fn each_command_of_a_list_stands_by_itself() {
    let world = World::new();
    let mut engine = world.open();
    world.drop(
        "desk",
        "s.csv",
        support::session("S-1", "2025-04-08", "PATHWAY-1"),
    );
    world.drop(
        INBOX,
        "a.hl7",
        siu("S12", "C1", "P1", "20250401120000", "20250409"),
    );
    take_all(&mut engine).unwrap();
    let list = r#"[
  {"command":"schedule","facility":"demo","case":"C9","session":"S-1"},
  {"command":"schedule","facility":"demo","case":"C1","session":"S-1"},
  {"command":"fly"}
]"#;
    world.drop("desk", "list.json", list);
    let totals = take_all(&mut engine).unwrap();
    assert_eq!((totals.updated, totals.rejected), (1, 2));
    assert_eq!(rows(&world, &engine, Listing::Cases)[0]["session"], "S-1");
    let outcome = json(&world, "desk/outbox/acks/list.json.outcome.json");
    let codes: Vec<&str> = outcome["issue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| issue["details"]["coding"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["unknown-case", "updated", "bad-command"]);
    assert_eq!(
        read(&world, "desk/error/list.m1.json"),
        r#"{"command":"schedule","facility":"demo","case":"C9","session":"S-1"}"#
    );
    let sidecar = json(&world, "desk/error/list.m3.json.error.json");
    assert_eq!(sidecar["reason"], "bad-command");
    assert_eq!(sidecar["where"], "line 4, column 3");
}

/// As a spreadsheet in French saves it, byte-order mark and empty columns included.
const SPREADSHEET: &str = "\u{feff}id;label;date;start;pathway_id;family_id;lead_rpps;lead_family;lead_given;state;;\r\n\
    S-1;\"RCP \"\"Thorax\"\"; matin\r\n(salle 2)\";08/04/2025;14:00;PATH-1;;10102078838;DURAND;Zoé;planned;;\r\n\
    ;;;;;;;;;;;\r\n\
    S-2;RCP Sein;15/04/2025;;PATH-2;FAM;;;;;;\r\n";

#[test]
fn a_spreadsheet_is_a_list_of_sessions() {
    let world = World::new();
    let mut engine = world.open();
    world.drop("desk", "sessions.csv", SPREADSHEET);
    assert_eq!(take_all(&mut engine).unwrap().accepted, 1);
    let sessions = rows(&world, &engine, Listing::Sessions);
    let shown: Vec<(&str, &str, &str, &Value)> = sessions
        .iter()
        .map(|session| {
            let text = |key: &str| session[key].as_str().unwrap_or_default();
            (
                text("id"),
                text("label"),
                text("date"),
                &session["lead_given"],
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "S-1",
                "RCP \"Thorax\"; matin\r\n(salle 2)",
                "2025-04-08",
                &Value::from("Zoé")
            ),
            ("S-2", "RCP Sein", "2025-04-15", &Value::Null),
        ]
    );
}

#[test]
fn a_wrong_cell_is_named_by_line_and_column_and_refuses_the_list() {
    for (from, to, place) in [
        ("15/04/2025", "31/04/2025", "line 5, column date"),
        ("15/04/2025", "04-15-2025", "line 5, column date"),
        ("14:00", "2 pm", "line 2, column start"),
        ("planned", "maybe", "line 2, column state"),
        ("S-2;", "S-1;", "line 5, column id"),
        ("S-2;", ";", "line 5, column id"),
        ("RCP Sein", "", "line 5, column label"),
        ("family_id", "famille", "line 1, column famille"),
        ("FAM", "FAM;x;x;x;x;x;x;x", "line 5, column 11"),
    ] {
        let world = World::new();
        let mut engine = world.open();
        assert!(SPREADSHEET.contains(from));
        world.drop("desk", "sessions.csv", SPREADSHEET.replace(from, to));
        assert_eq!(take_all(&mut engine).unwrap().rejected, 1, "{to}");
        let sidecar = json(&world, "desk/error/sessions.csv.error.json");
        assert_eq!(sidecar["reason"], "bad-csv", "{to}");
        assert_eq!(sidecar["where"], place, "{to}");
        assert!(rows(&world, &engine, Listing::Sessions).is_empty(), "{to}");
    }
}
