//! Every reason of interface.md 7 and 10 refuses a file of ours, and every warning is given with one: the sidecar, the receipt
//! and its codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcpspool::engine::Engine;
use rcpspool::model::outcome::{Reason, WarningCode};
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;
use serde_json::Value;

use support::{World, content, patient, siu, take_all};

/// A file that is refused, where its fault stands, and what is answered: the first field of MSA, the code of table 0357
/// and the location of ERR; or the type and place of the issue where the file is no HL7.
type Refused = (&'static str, &'static str, &'static str);

/// In the order of the specification's table.
#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    ("unknown-format.txt", "", "structure"),
    ("unknown-format.empty", "", "structure"),
    ("malformed.hl7", "PID(2)", "AR 207 PID^2"),
    ("malformed.xml", "line 15, column 17", "structure"),
    ("xml-doctype.xml", "line 2, column 1", "structure"),
    ("missing-segment.hl7", "AIL", "AE 100 AIL^1"),
    ("missing-field.hl7", "AIL-3.4", "AE 101 AIL^1^3^1^4"),
    ("missing-field.xml", "componentOf/encompassingEncounter/id", "required"),
    ("missing-ipp.hl7", "PID-3", "AE 101 PID^1^3"),
    ("missing-ipp.xml", "recordTarget/patientRole/id", "required"),
    ("invalid-phone.hl7", "PID-13.1", "AE 102 PID^1^13^1^1"),
    ("invalid-phone.xml", "recordTarget/patientRole/telecom", "value"),
    ("invalid-email.hl7", "PID-13.4", "AE 102 PID^1^13^1^4"),
    ("invalid-email.xml", "recordTarget/patientRole/telecom", "value"),
    ("invalid-date.hl7", "PID-7.1", "AE 102 PID^1^7^1^1"),
    ("invalid-date.xml", "componentOf/encompassingEncounter/effectiveTime", "value"),
    ("future-time.hl7", "MSH-7.1", "AE 102 MSH^1^7^1^1"),
    ("future-time.cda.hl7", "OBX-5 effectiveTime", "AE 102 OBX^1^5"),
    ("future-time.xml", "effectiveTime", "value"),
    ("bad-base64.hl7", "OBX-5.5", "AE 102 OBX^1^5^1^5"),
    ("sex-not-supported.hl7", "PID-8.1", "AE 103 PID^1^8^1^1"),
    ("sex-not-supported.xml", "recordTarget/patientRole/patient/administrativeGenderCode/@code", "code-invalid"),
    ("document-type.hl7", "OBX-5.5", "AE 103 OBX^1^5^1^5"),
    ("unsupported-document.xml", "code", "not-supported"),
    ("unsupported-message.hl7", "MSH-9.1", "AR 200 MSH^1^9^1^1"),
    ("unsupported-message.event.hl7", "MSH-9.2", "AR 201 MSH^1^9^1^2"),
    ("unsupported-version.hl7", "MSH-12.1", "AR 203 MSH^1^12^1^1"),
    ("unknown-patient.hl7", "PID-3.1", "AE 204 PID^1^3^1^1"),
    ("unknown-case.json", "", "not-found"),
    ("ambiguous-ipp.hl7", "PID-3", "AE 204 PID^1^3"),
    ("ambiguous-ipp.xml", "recordTarget/patientRole/id", "multiple-matches"),
    ("ipp-authority.hl7", "PID-3.1", "AE 204 PID^1^3^1^1"),
    ("identity-mismatch.hl7", "PID-5", "AE 204 PID^1^5"),
    ("identity-mismatch.cda.hl7", "OBX-5 recordTarget/patientRole/id", "AE 204 OBX^1^5"),
    ("identity-mismatch.xml", "recordTarget/patientRole/patient/name", "conflict"),
    ("case-patient-mismatch.hl7", "PID-3.1", "AE 205 PID^1^3^1^1"),
    ("case-patient-mismatch.document.hl7", "TXA-14.1", "AE 205 TXA^1^14^1^1"),
    ("case-patient-mismatch.xml", "recordTarget/patientRole/id", "conflict"),
    ("case-completed.hl7", "SCH-2.1", "AE 205 SCH^1^2^1^1"),
    ("merge-cycle.hl7", "MRG-1.1", "AE 205 MRG^1^1^1^1"),
    ("merge-conflict.hl7", "MRG-1.1", "AE 205 MRG^1^1^1^1"),
    ("unauthorised.hl7", "MSH-4.1", "AR 207 MSH^1^4^1^1"),
    ("unknown-session.json", "", "not-found"),
    ("unknown-note.json", "", "not-found"),
    ("session-not-planned.json", "", "conflict"),
    ("bad-command.json", "line 2, column 25", "structure"),
    ("bad-csv.csv", "line 3, column date", "structure"),
];

/// Reasons that no file of ordinary size and rights can have: made here, or where folders fail (`one_bad_thing`).
const MADE_BY_TESTS: [Reason; 4] = [
    Reason::TooLarge,
    Reason::Unreadable,
    Reason::ReaderCrashed,
    Reason::FacilityUnreachable,
];

const KEY: &str = "the-key-of-this-facility";

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(folder)
}

fn fixture(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(fixtures(folder).join(name)).unwrap()
}

/// The names of the fixtures of a folder.
fn names(folder: &str) -> BTreeSet<String> {
    std::fs::read_dir(fixtures(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect()
}

/// Before the first dot stands what the file is an example of.
fn example_of(name: &str) -> &str {
    name.split('.').next().unwrap()
}

/// Whose inbox a fixture is for.
fn place_of(name: &str) -> &'static str {
    match name {
        "unauthorised.hl7" => "facilities/locked",
        "ipp-authority.hl7" => "facilities/strict",
        _ if name.ends_with(".csv") || name.ends_with(".json") => "desk",
        _ => "facilities/demo",
    }
}

/// A world in which `fixtures/known` was taken in.
fn with_known() -> (World, Engine, tempfile::NamedTempFile) {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), format!("{KEY}\n")).unwrap();
    let world = World::with(&format!(
        "[[facility]]\nid = \"locked\"\napi_key_file = {:?}\n\
         [[facility]]\nid = \"strict\"\nipp_authority = \"CHU\"\nstrict_authority = true\n\
         [[facility]]\nid = \"lenient\"\nipp_authority = \"CHU\"\n",
        key.path()
    ));
    let mut engine = world.open();
    for (place, name) in [
        ("desk", "sessions.csv"),
        ("facilities/demo", "messages.hl7"),
        ("facilities/demo", "questionnaire.xml"),
        ("desk", "completed.json"),
    ] {
        world.drop(place, name, fixture("known", name));
        assert_eq!(take_all(&mut engine).unwrap().rejected, 0, "{name}");
    }
    (world, engine, key)
}

fn sidecar(world: &World, place: &str, name: &str) -> Value {
    let path = world.path(place).join(format!("error/{name}.error.json"));
    let text = std::fs::read(&path).unwrap_or_else(|_| panic!("{name} is not refused"));
    serde_json::from_slice(&text).unwrap()
}

/// What is answered, in the words of [`Refused`].
fn answer(world: &World, place: &str, name: &str) -> String {
    let acks = world.path(place).join("outbox/acks");
    if let Ok(ack) = std::fs::read_to_string(acks.join(format!("{name}.ack"))) {
        let field = |segment: &str, number: usize| {
            let segment = ack.split('\r').find(|it| it.starts_with(segment)).unwrap();
            segment.split('|').nth(number).unwrap().to_owned()
        };
        assert_eq!(field("ERR", 5), example_of(name), "{ack}");
        assert_eq!(field("ERR", 4), "E", "{ack}");
        let condition = field("ERR", 3);
        let condition = condition.split('^').next().unwrap();
        return format!("{} {condition} {}", field("MSA", 1), field("ERR", 2));
    }
    let outcome = std::fs::read(acks.join(format!("{name}.outcome.json"))).unwrap();
    let outcome: Value = serde_json::from_slice(&outcome).unwrap();
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    let issue = &outcome["issue"][0];
    assert_eq!(issue["severity"], "error");
    assert_eq!(issue["details"]["coding"][0]["code"], example_of(name));
    assert_eq!(
        issue["expression"][0],
        sidecar(world, place, name)["where"],
        "{name}"
    );
    issue["code"].as_str().unwrap().to_owned()
}

#[test]
fn each_file_is_refused_for_its_reason_and_leaves_no_trace() {
    let (world, mut engine, _key) = with_known();
    let before = content(&**engine.store());
    for (name, ..) in REFUSED {
        world.drop(place_of(name), name, fixture("refused", name));
    }
    let totals = take_all(&mut engine).unwrap();
    assert_eq!(
        totals.rejected,
        REFUSED.len() as u64,
        "{totals:?}: {:#?}",
        world.names("facilities/demo/done")
    );
    let differing: Vec<String> = REFUSED
        .iter()
        .filter_map(|(name, place, expected)| {
            let said = sidecar(&world, place_of(name), name);
            let found = (
                said["reason"].as_str().unwrap(),
                said["where"].as_str().unwrap_or_default(),
                answer(&world, place_of(name), name),
            );
            let expected = (example_of(name), *place, (*expected).to_owned());
            (found != expected).then(|| format!("{name}: {found:?}\n  {said:#}"))
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    for (name, ..) in REFUSED {
        let said = sidecar(&world, place_of(name), name);
        for key in ["message", "next", "time"] {
            assert!(!said[key].as_str().unwrap().is_empty(), "{name} {key}");
        }
        let station = place_of(name).rsplit('/').next().unwrap();
        assert_eq!(said["facility"], station, "{name}");
        let text = said.to_string();
        assert!(!text.contains("WRONG-KEY") && !text.contains(KEY), "{text}");
        let kept = world.path(place_of(name)).join("error").join(name);
        assert_eq!(std::fs::read(kept).unwrap(), fixture("refused", name));
    }
    assert_eq!(content(&**engine.store()), before);
}

/// Whoever corrects a message is not told one problem after the other.
#[test]
fn all_that_is_wrong_with_a_message_is_told_at_once() {
    let world = World::new();
    let mut engine = world.open();
    let message = "MSH|^~\\&|A|B|C|D|20250401120000||ADT^A28|1|P|2.5\r\
        PID|1||P1^^^X^PI||DOE^Jo^^^^^L||19991332|X|||||061^PRN^CP~^NET^Internet^none\r";
    let meeting = std::fs::read_to_string(fixtures("cda").join("meeting.xml")).unwrap();
    let document = meeting
        .replace("GenderCode code=\"F\"", "GenderCode code=\"X\"")
        .replace(
            "birthTime value=\"19600214\"",
            "birthTime value=\"1960021\"",
        )
        .replace("tel:0612345678", "tel:06");
    world.drop("facilities/demo", "m.hl7", message);
    world.drop("facilities/demo", "d.xml", document);
    take_all(&mut engine).unwrap();
    engine.close().unwrap();
    for (name, expected) in [
        (
            "m.hl7",
            vec![
                "sex-not-supported PID-8.1",
                "invalid-date PID-7.1",
                "invalid-phone PID-13.1",
                "invalid-email PID-13(2).4",
            ],
        ),
        (
            "d.xml",
            vec![
                "sex-not-supported recordTarget/patientRole/patient/administrativeGenderCode/@code",
                "invalid-date recordTarget/patientRole/patient/birthTime/@value",
                "invalid-phone recordTarget/patientRole/telecom",
            ],
        ),
    ] {
        let told = sidecar(&world, "facilities/demo", name);
        let further = told["further"].as_array().cloned().unwrap_or_default();
        let words = |it: &Value| {
            format!(
                "{} {}",
                it["reason"].as_str().unwrap(),
                it["where"].as_str().unwrap()
            )
        };
        let mut all: Vec<String> = [told.clone()].iter().chain(&further).map(words).collect();
        let mut wanted: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        all.sort();
        wanted.sort();
        assert_eq!(all, wanted, "{told:#}");
        let acks = world.path("facilities/demo/outbox/acks");
        let answer = ["ack", "outcome.json"].map(|ending| acks.join(format!("{name}.{ending}")));
        let mut answers = answer
            .iter()
            .filter_map(|it| std::fs::read_to_string(it).ok());
        let answer = answers.next().unwrap();
        for problem in &all {
            let (reason, _) = problem.split_once(' ').unwrap();
            assert!(answer.contains(reason), "{reason}: {answer}");
        }
    }
}

#[test]
fn every_reason_has_its_file() {
    let tabled: BTreeSet<String> = REFUSED
        .iter()
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    assert_eq!(tabled, names("refused"));
    let shown: BTreeSet<&str> = REFUSED
        .iter()
        .map(|(name, ..)| example_of(name))
        .chain(MADE_BY_TESTS.iter().map(|reason| reason.code()))
        .collect();
    let all: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(shown, all);
}

#[test]
fn a_file_that_is_too_large_is_answered_in_its_language() {
    let world = World::with("[intake]\nmax_file = \"1KiB\"");
    let mut engine = world.open();
    let message = siu("S12", "C-1", "P-1", "20250401120000", "20250408");
    world.drop(
        "facilities/demo",
        "too-large.hl7",
        message + &"NTE|1\r".repeat(200),
    );
    world.drop("facilities/demo", "too-large.txt", "a".repeat(2000));
    assert_eq!(take_all(&mut engine).unwrap().rejected, 2);
    for (name, expected) in [("too-large.hl7", "AR 207 "), ("too-large.txt", "too-long")] {
        assert_eq!(
            sidecar(&world, "facilities/demo", name)["reason"],
            "too-large"
        );
        assert_eq!(answer(&world, "facilities/demo", name), expected);
    }
}

#[test]
fn a_file_that_the_disk_does_not_give_back_is_refused() {
    let name = "unreadable.hl7";
    // Which operation reads the file is found by letting each of them fail.
    let (world, _engine) = (1..500)
        .find_map(|call| {
            let world = World::new();
            world.drop(
                "facilities/demo",
                name,
                patient("P-1", "20250401120000", "0612345678"),
            );
            let faults = Arc::new(Faults::with(Fault::Fail(call, 1, libc::EIO)));
            let mut engine = world.open_on(Fs::with_faults(faults)).ok()?;
            let _ = take_all(&mut engine);
            let sidecar = world
                .path("facilities/demo/error")
                .join(format!("{name}.error.json"));
            sidecar.exists().then_some((world, engine))
        })
        .expect("some operation reads the file");
    assert_eq!(
        sidecar(&world, "facilities/demo", name)["reason"],
        "unreadable"
    );
    assert_eq!(answer(&world, "facilities/demo", name), "exception");
}

#[test]
fn a_file_that_ends_the_process_again_and_again_is_refused() {
    let world = World::new();
    world.open().close().unwrap();
    // Claimed as reader-crashed.hl7, read three times, and none of the processes ended cleanly.
    let claim = format!(
        "0000000000000001-3-{}-readerz2dcrashedz2ehl7",
        "a".repeat(32)
    );
    let message = patient("P-1", "20250401120000", "0612345678");
    std::fs::write(world.path("facilities/demo/work").join(claim), message).unwrap();
    std::fs::remove_file(world.path("store/CLEAN")).unwrap();
    let mut engine = world.open();
    assert_eq!(take_all(&mut engine).unwrap().rejected, 1);
    let name = "reader-crashed.hl7";
    assert_eq!(
        sidecar(&world, "facilities/demo", name)["reason"],
        "reader-crashed"
    );
    assert_eq!(answer(&world, "facilities/demo", name), "AR 207 ");
}

#[test]
fn each_file_gives_its_warning_and_no_other() {
    for name in names("warned") {
        let (world, mut engine, _key) = with_known();
        let place = match name.as_str() {
            "ipp-authority.hl7" => "facilities/lenient",
            name => place_of(name),
        };
        world.drop(place, &name, fixture("warned", &name));
        assert_eq!(take_all(&mut engine).unwrap().rejected, 0, "{name}");
        let acks = world.path(place).join("outbox/acks");
        let codes: Vec<String> = match std::fs::read_to_string(acks.join(format!("{name}.ack"))) {
            Ok(ack) => {
                assert!(ack.contains("\rMSA|AA|"), "{ack}");
                ack.split('\r')
                    .filter_map(|segment| segment.strip_prefix("ERR|"))
                    .map(|error| {
                        let fields: Vec<&str> = error.split('|').collect();
                        assert!(fields[2].starts_with("0^") && fields[3] == "W", "{ack}");
                        fields[4].to_owned()
                    })
                    .collect()
            }
            Err(_) => {
                let outcome = std::fs::read(acks.join(format!("{name}.outcome.json"))).unwrap();
                let outcome: Value = serde_json::from_slice(&outcome).unwrap();
                let issues = outcome["issue"].as_array().unwrap().iter();
                issues
                    .filter(|issue| issue["severity"] == "warning")
                    .map(|issue| {
                        issue["details"]["coding"][0]["code"]
                            .as_str()
                            .unwrap()
                            .to_owned()
                    })
                    .collect()
            }
        };
        assert_eq!(codes, [example_of(&name)], "{name}");
    }
}

#[test]
fn every_warning_has_its_file() {
    let names = names("warned");
    let shown: BTreeSet<&str> = names.iter().map(|name| example_of(name)).collect();
    let all: BTreeSet<&str> = WarningCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(shown, all);
}
