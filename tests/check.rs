//! `check`: what would become of files, told without a spool.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::{Value, json};

const PATIENT: &str = include_str!("../fixtures/demo/1-patient.hl7");
const CASE: &[u8] = include_bytes!("../fixtures/demo/2-case.hl7");
const DOCUMENT: &[u8] = include_bytes!("../fixtures/demo/3-document.hl7");
const CDA: &str = include_str!("../fixtures/cda/meeting.xml");

/// A folder to run the program in, with a configuration of two facilities.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// `settings` are those of the first facility.
    fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n\
             [[facility]]\nid = \"demo\"\n{settings}\n[[facility]]\nid = \"island\"\nregion = \"RE\"\n"
        );
        std::fs::write(folder.path().join("rcpspool.toml"), config).unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        Command::cargo_bin("rcpspool")
            .unwrap()
            .current_dir(self.folder.path())
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .args(arguments)
            .assert()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).success().get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&arguments)).unwrap()
    }

    /// What is said of the only message of a file.
    fn check(&self, content: impl AsRef<[u8]>) -> Value {
        self.write("message", content);
        let checked = self.json(&["check", "message"]);
        assert_eq!(checked.as_array().unwrap().len(), 1, "{checked}");
        checked[0].clone()
    }

    fn entries(&self) -> Vec<PathBuf> {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        entries
    }
}

/// Each problem as its reason and place.
fn problems(checked: &Value) -> Vec<String> {
    let of = |problem: &Value| {
        format!(
            "{} {} {}",
            problem["severity"].as_str().unwrap(),
            problem["reason"].as_str().unwrap(),
            problem["where"].as_str().unwrap_or("nowhere")
        )
    };
    let problems = checked["problems"].as_array().unwrap();
    problems.iter().map(of).collect()
}

fn assert_data(checked: &Value, expected: &[(&str, &str, &str)]) {
    for (name, value, place) in expected {
        let found = checked["data"].as_array().unwrap().iter().find(|datum| {
            datum["name"] == *name && datum["value"] == *value && datum["where"] == *place
        });
        assert!(
            found.is_some(),
            "{name} = {value} at {place} in {checked:#}"
        );
    }
}

#[test]
fn each_datum_is_told_with_its_place() {
    let world = World::new();
    let patient = world.check(PATIENT);
    assert_eq!(patient["message_type"], "ADT^A28");
    assert_eq!(patient["outcome"], "accepted");
    assert_eq!(problems(&patient), Vec::<String>::new());
    assert_data(
        &patient,
        &[
            ("ipp", "2345", "PID-3.1"),
            ("ipp_authority", "LIS", "PID-3.4"),
            ("given_name", "XXXXX", "PID-5.2"),
            ("birth_name", "XXXX", "PID-5.1"),
            ("usual_name", "XXXX", "PID-5.1"),
            ("birth_date", "1960-08-29", "PID-7.1"),
            ("sex", "F", "PID-8.1"),
            ("street", "1 RUE DE L'EXEMPLE", "PID-11.1"),
            ("country", "FRA", "PID-11.6"),
            ("phone", "+33601020304", "PID-13.1"),
        ],
    );

    let case = world.check(CASE);
    assert_eq!(case["message_type"], "SIU^S12");
    assert_eq!(problems(&case), Vec::<String>::new());
    assert_data(
        &case,
        &[
            ("case", "59384", "SCH-2.1"),
            ("submitter", "10100094977", "AIP-3.1"),
            ("submitter_family", "Infertilité -", "AIP-3.2"),
            ("network", "67d441a5bdfe7d0fb1eaad51", "AIL-3.9"),
            ("pathway", "67d443f1bdfe7d0fb1eabdd4", "AIL-3.4"),
            ("session_date", "2025-04-08", "SCH-11.4"),
        ],
    );

    let document = world.check(DOCUMENT);
    assert_eq!(problems(&document), ["warning ipp-untyped PID-3.1"]);
    assert_data(
        &document,
        &[
            ("type", "pdf", "OBX-5.1"),
            ("size", "621", "OBX-5.1"),
            ("file_name", "HIS_PDFReport.pdf", "OBX-3.1"),
            (
                "unique_id",
                "P25/006368^20250320140758 + HIS_PDFReport",
                "OBR-3",
            ),
            ("network", "665458c6e55fcb3ce37040c6", "MSH-5.1"),
        ],
    );

    let cda = world.check(CDA);
    assert_eq!(cda["message_type"], "CDA");
    assert_eq!(problems(&cda), Vec::<String>::new());
    let submitter = "participant[@typeCode='REFB']/associatedEntity";
    assert_data(
        &cda,
        &[
            ("case", "CASE-77", "inFulfillmentOf/order/id"),
            ("submitter", "10100094977", &format!("{submitter}/id")),
            (
                "submitter_given",
                "Julie",
                &format!("{submitter}/associatedPerson/name/given"),
            ),
            (
                "session",
                "S-THORAX-15",
                "componentOf/encompassingEncounter/id",
            ),
            ("ipp", "P-77", "recordTarget/patientRole/id"),
            ("phone", "+33612345678", "recordTarget/patientRole/telecom"),
            ("sections", "4", "component/structuredBody"),
            ("statements", "7", "component/structuredBody"),
        ],
    );
}

#[test]
fn the_rule_says_why_a_datum_was_taken_from_there() {
    let world = World::new();
    let message = String::from_utf8_lossy(CASE)
        .replace("5100001073^^^^PI", "X^^^CHU~5100001073^^^^PI")
        .replace("^^^20250408165500^20250408171000|||", "|||");
    let checked = world.check(message);
    for (name, place, rule) in [
        ("ipp", "PID-3(2).1", "PID-3.5 = PI"),
        ("usual_name", "PID-5.1", "no PID-5.7 = D: the birth name"),
        (
            "session_date",
            "TQ1-7",
            "fallback: nothing stands before it in fields.session_date",
        ),
    ] {
        let data = checked["data"].as_array().unwrap();
        let datum = data.iter().find(|datum| datum["name"] == name).unwrap();
        assert_eq!(datum["where"], place, "{checked:#}");
        assert_eq!(datum["rule"], rule, "{checked:#}");
    }
}

#[test]
fn every_problem_is_told_at_once_and_the_first_is_the_daemons() {
    let broken = String::from_utf8_lossy(CASE)
        .replace("8859/15", "UTF-8")
        .replace("19501104000000|M|", "1950-99|X|||||061^PRN^CP")
        .replace("10100094977", "");
    for (message, expected) in [
        (
            PATIENT.replace("0601020304", "061").replace("|F|", "||"),
            vec![
                "error invalid-phone PID-13.1",
                "error missing-field PID-8.1",
            ],
        ),
        (
            broken,
            vec![
                "error sex-not-supported PID-8.1",
                "error invalid-date PID-7.1",
                "error invalid-phone PID-13.1",
                "error missing-field AIP-3.1",
            ],
        ),
        (
            "MSH|^~\\&|||||20250401||SIU^S12|1|P|2.5\r".to_owned(),
            vec![
                "error missing-segment SCH",
                "error missing-segment PID",
                "error missing-segment AIP",
                "error missing-segment AIL",
            ],
        ),
        (
            String::from_utf8_lossy(DOCUMENT).replace("JVBERi0xLjQK", "JVBE*i0xLjQK"),
            vec!["error bad-base64 OBX-5.1", "warning ipp-untyped PID-3.1"],
        ),
        (
            CDA.replace("0612345678", "1")
                .replace("code=\"F\"", "code=\"UN\""),
            vec![
                "error sex-not-supported recordTarget/patientRole/patient/administrativeGenderCode/@code",
                "error invalid-phone recordTarget/patientRole/telecom",
            ],
        ),
    ] {
        let world = World::new();
        world.write("first.hl7", PATIENT);
        let checked = world.check(&message);
        assert_eq!(checked["outcome"], "rejected", "{checked:#}");
        assert_eq!(problems(&checked), expected, "{checked:#}");

        let inbox = world.folder.path().join("spool/facilities/demo/inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        std::fs::write(inbox.join("a-known-patient.hl7"), PATIENT).unwrap();
        std::fs::write(inbox.join("message"), &message).unwrap();
        world.says(&["once"]);
        let errors = world.json(&["list", "errors"]);
        let told = &checked["problems"][0];
        for key in ["reason", "where", "message", "value", "next"] {
            assert_eq!(errors[0][key], told[key], "{key} in {errors:#}");
        }
    }
}

#[test]
fn each_message_of_a_file_is_told_apart() {
    let world = World::new();
    let refused = PATIENT.replace("0601020304", "061");
    world.write("batch.hl7", format!("BHS|^~\\&\r{PATIENT}{refused}BTS|3\r"));
    world.write("q1.retrieve", "");
    let checked = world.json(&["check", "batch.hl7", "q1.retrieve"]);
    assert_eq!(checked.as_array().unwrap().len(), 3);
    assert_eq!(checked[0]["outcome"], "accepted");
    assert_eq!(problems(&checked[0]), ["warning batch-count BTS-1"]);
    assert_eq!(checked[1]["file"], "batch.hl7");
    assert_eq!(checked[1]["message"], 2);
    assert_eq!(problems(&checked[1]), ["error invalid-phone PID-13.1"]);
    assert_eq!(checked[2]["data"][0]["value"], "outbox/reports/q1.xml");

    let text = world.says(&["check", "batch.hl7"]);
    assert!(
        text.starts_with("batch.hl7\n  1 of 2: ADT^A28 A28-2345: would be accepted, 1 warning\n")
    );
    assert!(
        text.contains("\n  ✗ invalid-phone at PID-13.1: \"061\"\n"),
        "{text}"
    );
    assert!(text.contains("\n  ✗ phone "), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn what_only_the_store_knows_is_not_told() {
    let world = World::new();
    let claims = "MSH|^~\\&|||||20250401||MDM^T02|1|P|2.5\rPID|1||P-9^^^CHU^PI\r\
        TXA|1|CR||||||||||||C-404\rOBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||C\r";
    for message in [CASE, CDA.as_bytes(), claims.as_bytes()] {
        let checked = world.check(message);
        assert_eq!(problems(&checked), Vec::<String>::new(), "{checked:#}");
        assert_eq!(checked["outcome"], "accepted");
        assert!(checked["not_checked"].is_string(), "{checked:#}");
    }
    let checked = world.check(claims.replace("||||||C", "||||||D"));
    assert_eq!(checked["outcome"], "accepted", "{checked:#}");
    // What does not rest on the store is told.
    let nobody = world.check(claims.replace("P-9^^^CHU^PI", ""));
    assert_eq!(problems(&nobody), ["error missing-ipp PID-3"]);
    let ignored = world.check(PATIENT.replace("A28^", "A02^"));
    assert_eq!(ignored["outcome"], "ignored");
    assert_eq!(ignored["not_checked"], json!(null));
}

#[test]
fn a_key_is_asked_for_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "s3cr3t\n").unwrap();
    let world = World::with(&format!("api_key_file = {key:?}"));
    for (sent, expected) in [
        ("s3cr3t", vec![]),
        ("n0tth1s", vec!["error unauthorised MSH-4.1"]),
    ] {
        let checked = world.check(PATIENT.replace("MIPS", sent));
        assert_eq!(problems(&checked), expected);
        assert_data(&checked, &[("ipp", "2345", "PID-3.1")]);
        let text = world.says(&["check", "message"]);
        assert!(
            !text.contains(sent) && !checked.to_string().contains(sent),
            "{text}"
        );
    }
}

#[test]
fn files_are_read_as_in_the_inbox_of_the_facility() {
    let world = World::new();
    world.write("island.hl7", PATIENT.replace("0601020304", "0692123456"));
    let phone = |facility: &[&str]| {
        let arguments = [&["check", "island.hl7"], facility].concat();
        let checked = world.json(&arguments)[0].clone();
        let data = checked["data"].as_array().unwrap();
        let phone = data.iter().find(|datum| datum["name"] == "phone").unwrap();
        phone["value"].clone()
    };
    assert_eq!(phone(&["--facility", "island"]), "+262692123456");
    assert_eq!(phone(&[]), phone(&["--facility", "demo"]));
}

#[test]
fn nothing_is_made_and_only_what_cannot_be_read_is_a_failure() {
    let world = World::new();
    world.write("refused.hl7", PATIENT.replace("0601020304", "061"));
    world.write("other.bin", [0, 1, 2]);
    let before = world.entries();
    for file in ["refused.hl7", "other.bin"] {
        world.run(&["check", file]).success();
    }
    let checked = world.json(&["check", "other.bin"]);
    assert_eq!(problems(&checked[0]), ["error unknown-format nowhere"]);

    for (arguments, status, expected) in [
        (&["check"][..], 2, "FILE"),
        (&["check", "absent.hl7"], 1, "absent.hl7 cannot be read"),
        (&["check", "refused.hl7", "absent.hl7"], 1, "absent.hl7"),
        (&["check", "."], 1, "the folder ."),
        (
            &["check", "refused.hl7", "--facility", "nobody"],
            1,
            "there is demo, island",
        ),
    ] {
        let output = world.run(arguments).failure().get_output().clone();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(world.entries(), before);
}
