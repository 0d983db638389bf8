//! A CDA in a message does what a file of it does, and is one document.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::intake::testing::{World, outcome_text};
use crate::model::case::CaseState;
use crate::model::document::{AttachmentPlace, DocumentKind};
use crate::model::identifiers::{FacilityId, Ipp, SessionId};

const WHOLE: &str = include_str!("../../../../fixtures/cda/meeting.xml");

const IDENTITY: &str = "LE GOFF^Rose^^^^^L||19600214|F";

fn with(changes: &[(&str, &str)]) -> String {
    changes
        .iter()
        .fold(WHOLE.to_owned(), |document, (from, to)| {
            assert!(document.contains(from), "{from}");
            document.replace(from, to)
        })
}

/// A version of the document, of this number and minute.
fn version(number: u32, minute: u32) -> String {
    let number = format!("<versionNumber value=\"{number}\"/>");
    let time = format!("202504031015{minute:02}+0200");
    with(&[
        ("<versionNumber value=\"1\"/>", &number),
        ("20250403101500+0200", &time),
        (
            "extension=\"DOC-1.1\"",
            &format!("extension=\"DOC-1.{minute}\""),
        ),
    ])
}

fn presenting_itself(document: &str) -> String {
    let (_, document) = document.split_once("?>").unwrap();
    format!(
        "<?xml version=\"1.0\"?><x:stylesheet xmlns:x=\"http://www.w3.org/1999/XSL/Transform\">\
         <x:template match=\"/\"><html/></x:template><d>{document}</d></x:stylesheet>"
    )
}

fn header(kind: &str, number: usize) -> String {
    format!(
        "MSH|^~\\&|EHR|CHU|RCP|CHU|202504041000{number:02}||{kind}|{number}|P|2.5|||||FRA|UTF-8\r"
    )
}

fn obx(number: usize, content: impl AsRef<[u8]>, status: &str) -> String {
    let content = STANDARD.encode(content);
    format!("OBX|{number}|ED|11^CDA_CASE-77.xml||^TEXT^XML^Base64^{content}||||||{status}\r")
}

/// The document in a message of its patient, as its n-th.
fn oru(number: usize, ipp: &str, identity: &str, document: &str) -> String {
    let header = header("ORU^R01", number);
    format!(
        "{header}PID|1||{ipp}^^^^PI||{identity}\r{}",
        obx(1, document, "F")
    )
}

fn mdm(event: &str, number: usize, txa: &str, document: &str, status: &str) -> String {
    let header = header(&format!("MDM^{event}"), number);
    let obx = obx(1, document, status);
    format!("{header}PID|1||P-77^^^^PI||{IDENTITY}\rTXA|1|CR|TEXT|||||||||{txa}\r{obx}")
}

fn siu(event: &str, number: usize) -> String {
    format!(
        "MSH|^~\\&|||||202504041000{number:02}||SIU^{event}|1|P|2.5\r\
         SCH||CASE-77|||||||||^^^20250415\rPID|1||P-77^^^^PI||{IDENTITY}\r\
         AIL|1||^^^THORAX\rAIP|1||10100094977^SIU^Anne\r"
    )
}

fn world() -> World {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "THORAX", "FAM");
    world
}

/// What the store knows, but for which messages were applied.
fn known(world: &World) -> BTreeMap<String, String> {
    let all = world.everything().into_iter();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    all.filter(|(key, _)| !key.contains("applied"))
        .map(|(key, value)| (key, text(value)))
        .collect()
}

fn documents(world: &World, ipp: &str) -> Vec<Document> {
    let facility = FacilityId::new("demo");
    let view = world.view();
    let mut all = view
        .documents_of_patient(&facility, &Ipp::new(ipp))
        .unwrap();
    all.retain(|document| document.kind == DocumentKind::Document);
    all
}

#[derive(Debug, Clone)]
enum CarriedStep {
    /// A document, as a file or in a message.
    Cda(String),
    /// A SIU.
    Siu(&'static str),
    /// The desk completes the case.
    Complete,
}

/// Does the same twice, with files and with messages.
fn assert_same(steps: &[CarriedStep]) -> Vec<String> {
    let mut of_files = world();
    let mut of_messages = world();
    let mut all = Vec::new();
    // The message names the patient as the first document, or message, did.
    let mut identity = None;
    for (number, step) in (1..).zip(steps) {
        match step {
            CarriedStep::Cda(document) => {
                let by_file = outcome_text(&of_files.receive_cda(document.trim_end()));
                let own = match document.contains("GOFFE<") {
                    true => IDENTITY.replace("GOFF", "GOFFE"),
                    false => IDENTITY.to_owned(),
                };
                let identity = identity.get_or_insert(own);
                let message = oru(number, "P-77", identity, document);
                let by_message = outcome_text(&of_messages.receive(&message)).replace("OBX-5 ", "");
                assert_eq!(by_message, by_file);
                all.push(by_file);
            }
            CarriedStep::Siu(event) => {
                if *event != "S15" {
                    identity.get_or_insert(IDENTITY.to_owned());
                }
                let message = siu(event, number);
                let by_file = outcome_text(&of_files.receive(&message));
                assert_eq!(outcome_text(&of_messages.receive(&message)), by_file);
                all.push(by_file);
            }
            CarriedStep::Complete => {
                for world in [&mut of_files, &mut of_messages] {
                    if let Some(mut case) = world.case("CASE-77") {
                        case.state = CaseState::Completed(SessionId::new("S-1"));
                        world.put([Record::Case(case)]);
                    }
                }
            }
        }
        let (by_message, by_file) = (known(&of_messages), known(&of_files));
        for key in by_message.keys().chain(by_file.keys()) {
            assert_eq!(by_message.get(key), by_file.get(key), "{key}");
        }
    }
    assert_eq!(of_messages.history, of_files.history);
    all
}

#[test]
fn a_document_in_a_message_does_what_a_file_does() {
    use CarriedStep::{Cda, Complete, Siu};
    let level_1 = {
        let start = WHOLE.find("<component typeCode").unwrap();
        let end = WHOLE.rfind("</ClinicalDocument>").unwrap();
        format!(
            "{}<component><nonXMLBody/></component>{}",
            &WHOLE[..start],
            &WHOLE[end..]
        )
    };
    let elsewhere = with(&[("THORAX\"", "SEIN\"")]);
    let changed = with(&[("GOFF</family>", "GOFFE</family>")]);
    for (steps, expected) in [
        (vec![Cda(version(1, 0))], "accepted"),
        (
            vec![Cda(version(1, 0)), Cda(version(1, 0))],
            "accepted; duplicate",
        ),
        (
            vec![Cda(version(1, 0)), Cda(version(2, 1))],
            "accepted; updated",
        ),
        (
            vec![Cda(version(2, 1)), Cda(version(1, 0))],
            "accepted; stale",
        ),
        (
            vec![Cda(version(2, 1)), Cda(version(2, 0))],
            "accepted; updated",
        ),
        (vec![Siu("S12"), Cda(version(1, 0))], "accepted; updated"),
        (
            vec![Siu("S12"), Siu("S15"), Cda(version(1, 0))],
            "accepted; updated; updated case-cancelled",
        ),
        (
            vec![Cda(version(1, 0)), Complete, Cda(version(2, 1))],
            "accepted; updated",
        ),
        (vec![Cda(elsewhere.clone())], "accepted session-not-found"),
        (
            vec![Cda(elsewhere), Cda(version(2, 1))],
            "accepted session-not-found; updated",
        ),
        (vec![Cda(level_1)], "accepted questionnaire-not-structured"),
        (
            vec![Cda(version(1, 0)), Cda(changed)],
            "accepted; updated identity-mismatch",
        ),
        (
            vec![
                Cda(presenting_itself(WHOLE)),
                Cda(presenting_itself(&version(2, 1))),
            ],
            "accepted; updated",
        ),
        (
            vec![Cda(with(&[("20250403101500", "21250403101500")]))],
            "future-time effectiveTime",
        ),
        (
            vec![Cda(with(&[(
                "value=\"20250415140000+0200\"",
                "value=\"soon\"",
            )]))],
            "invalid-date componentOf/encompassingEncounter/effectiveTime",
        ),
        (
            vec![Cda(WHOLE
                .replace("inFulfillmentOf", "x")
                .replace("setId", "y"))],
            "missing-field inFulfillmentOf/order/id",
        ),
    ] {
        assert_eq!(assert_same(&steps).join("; "), expected);
    }
}

fn step() -> impl Strategy<Value = CarriedStep> {
    let document = (1..4_u32, 0..4_u32, 0..4_usize).prop_map(|(number, minute, other)| {
        let document = version(number, minute);
        match other {
            0 => document.replace("THORAX\"", "SEIN\""),
            1 => document.replace("extension=\"DOC-1\"", "extension=\"DOC-2\""),
            2 => document.replace("GOFF</family>", "GOFFE</family>"),
            _ => document,
        }
    });
    prop_oneof![
        6 => document.prop_map(CarriedStep::Cda),
        1 => prop::sample::select(vec!["S12", "S14", "S15"]).prop_map(CarriedStep::Siu),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_came_before_they_do_the_same(steps in prop::collection::vec(step(), 1..6)) {
        assert_same(&steps);
    }
}

#[test]
fn a_file_and_a_message_of_the_same_document_are_one() {
    let mut world = world();
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE.trim_end())),
        "accepted"
    );
    // It answers to the message's ids from then on.
    let message = mdm("T02", 1, "T-1^EHR", WHOLE, "");
    assert_eq!(outcome_text(&world.receive(&message)), "updated");
    assert_eq!(
        outcome_text(&world.receive(&mdm("T02", 2, "T-1^EHR", WHOLE, ""))),
        "duplicate"
    );
    assert_eq!(documents(&world, "P-77").len(), 1);
    // The next version, by another name of the set, replaces it.
    let next = version(2, 1).replace("extension=\"DOC-1\"", "extension=\"DOC-9\"");
    assert_eq!(
        outcome_text(&world.receive(&mdm("T10", 3, "T-2^EHR|T-1^EHR", &next, ""))),
        "updated"
    );
    let all = documents(&world, "P-77");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].current().unwrap().version, 2);
    assert_eq!(
        outcome_text(&world.receive_cda(next.trim_end())),
        "duplicate"
    );
    // And it is deleted as any other document is; the case stays.
    let deletion = mdm("T11", 4, "T-2^EHR", "", "");
    assert_eq!(outcome_text(&world.receive(&deletion)), "updated");
    assert!(documents(&world, "P-77")[0].deleted);
    let case = world.case("CASE-77").unwrap();
    assert_eq!(case.state, CaseState::Scheduled(SessionId::new("S-1")));
    assert_eq!(
        documents(&world, "P-77")[0].attached,
        AttachmentPlace::Case(case.id)
    );
}

#[test]
fn its_patient_is_that_of_the_message() {
    let other = "DURAND^Anne^^^^^L||19790328|F";
    for (ipp, identity, document, expected) in [
        ("P-77", IDENTITY, WHOLE.to_owned(), "duplicate"),
        // Another id, whether the document came before or not.
        (
            "P-78",
            other,
            WHOLE.to_owned(),
            "identity-mismatch OBX-5 recordTarget/patientRole/id",
        ),
        (
            "P-78",
            other,
            version(2, 1),
            "identity-mismatch OBX-5 recordTarget/patientRole/id",
        ),
        // The message's own identity differs: it waits, and schedules nothing.
        (
            "P-77",
            "LE GOFFE^Rose^^^^^L||19600214|F",
            version(2, 1),
            "accepted identity-mismatch",
        ),
        ("P-77", other, version(2, 1), "identity-mismatch PID-5"),
        // The document's identity contradicts.
        (
            "P-77",
            IDENTITY,
            version(2, 1)
                .replace("LE GOFF<", "AUTRE<")
                .replace("19600214", "19700101"),
            "identity-mismatch OBX-5 recordTarget/patientRole/patient/name",
        ),
        // The document has the INS alone, or the id of another house: what else it says decides.
        (
            "P-77",
            IDENTITY,
            version(2, 1).replace("<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>", ""),
            "updated",
        ),
        (
            "P-78",
            other,
            version(2, 1).replace("<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>", ""),
            "identity-mismatch OBX-5 recordTarget/patientRole/id",
        ),
        // Nobody is known, and the two do not agree.
        (
            "P-79",
            IDENTITY,
            version(2, 1),
            "identity-mismatch OBX-5 recordTarget/patientRole/id",
        ),
    ] {
        let mut world = world();
        world.receive(&oru(1, "P-77", IDENTITY, WHOLE));
        let adt = format!("{}PID|1||P-78^^^^PI||{other}\r", header("ADT^A28", 2));
        world.receive(&adt);
        let before = world.case("CASE-77").unwrap();
        let outcome = outcome_text(&world.receive(&oru(3, ipp, identity, &document)));
        assert_eq!(outcome, expected, "{ipp} {identity}");
        let after = world.case("CASE-77").unwrap();
        assert_eq!(after.ipp, Some(Ipp::new("P-77")));
        if outcome != "updated" {
            assert_eq!(after, before, "{ipp} {identity}");
        }
        assert!(documents(&world, "P-78").is_empty());
    }
}

#[test]
fn what_stands_beside_it_in_the_message_joins_its_case() {
    let pdf = obx(2, "%PDF-1.4 %%EOF", "F").replace("OBX|2|ED|11^CDA_CASE-77.xml", "OBX|2|ED|12^a");
    for is_first in [true, false] {
        let mut world = world();
        let cda = obx(1, WHOLE, "F");
        let parts = if is_first {
            [&*cda, &pdf]
        } else {
            [&*pdf, &cda]
        };
        let head = header("ORU^R01", 1);
        let message = format!(
            "{head}PID|1||P-77^^^^PI||{IDENTITY}\rORC|NW|CASE-77\rOBR|1||O-1\r{}",
            parts.concat()
        );
        assert_eq!(
            outcome_text(&world.receive(&message)),
            "accepted",
            "{is_first}"
        );
        let case = world.case("CASE-77").unwrap();
        assert_eq!(case.state, CaseState::Scheduled(SessionId::new("S-1")));
        let all = documents(&world, "P-77");
        assert_eq!(all.len(), 2);
        for document in all {
            assert_eq!(document.attached, AttachmentPlace::Case(case.id.clone()));
        }
        assert!(world.notes("P-77").is_empty());
    }
}

#[test]
fn several_in_one_message_come_one_after_the_other() {
    let mut world = world();
    let head = header("ORU^R01", 1);
    let pid = |ipp: &str| format!("PID|1||{ipp}^^^^PI||{IDENTITY}\r");
    let other = version(1, 0)
        .replace("P-77", "P-80")
        .replace("CASE-77", "CASE-80")
        .replace("DOC-1", "DOC-80");
    let message = [
        head,
        pid("P-77"),
        obx(1, version(1, 0), "F"),
        obx(2, version(2, 1), "F"),
        obx(3, version(1, 2), "F"),
        pid("P-80"),
        obx(1, &other, "F"),
    ]
    .concat();
    assert_eq!(outcome_text(&world.receive(&message)), "accepted");
    let all = documents(&world, "P-77");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].current().unwrap().version, 2);
    assert_eq!(documents(&world, "P-80").len(), 1);
    assert_eq!(world.case("CASE-80").unwrap().ipp, Some(Ipp::new("P-80")));
}

#[test]
fn what_transports_put_around_it_does_not_hide_it() {
    let plain = world().receive(&oru(1, "P-77", IDENTITY, WHOLE));
    for (before, after) in [
        ("\n", ""),
        ("\x0b", "\x1c\r"),
        ("\0\0", "\0"),
        ("\u{feff}", ""),
        ("\u{feff}\r\n\u{feff}", "\u{1a}"),
        (" \x0b\n\u{feff}", "\x1c"),
    ] {
        let mut world = world();
        let framed = format!("{before}{WHOLE}{after}");
        let outcome = world.receive(&oru(1, "P-77", IDENTITY, &framed));
        assert_eq!(outcome_text(&outcome), outcome_text(&plain), "{before:?}");
        assert!(world.case("CASE-77").is_some(), "{before:?}");
    }
}

#[test]
fn a_document_of_another_kind_is_a_document_only() {
    let mut world = world();
    let other = with(&[("34794-8", "11488-4")]);
    let message = oru(1, "P-77", IDENTITY, &other);
    assert_eq!(
        outcome_text(&world.receive(&message)),
        "unknown-patient PID-3.1"
    );
    let adt = format!("{}PID|1||P-77^^^^PI||{IDENTITY}\r", header("ADT^A28", 2));
    world.receive(&adt);
    assert_eq!(outcome_text(&world.receive(&message)), "accepted");
    assert!(world.case("CASE-77").is_none());
    let ahead = oru(
        3,
        "P-77",
        IDENTITY,
        &other.replace("20250403101500", "21250403101500"),
    );
    assert_eq!(
        outcome_text(&world.receive(&ahead)),
        "future-time OBX-5 effectiveTime"
    );
}

#[test]
fn the_key_is_no_more_kept_from_a_message_than_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "s3cr3t-key\n").unwrap();
    let mut world = World::configured(&format!("api_key_file = {key:?}"));
    let document = with(&[("Fiche RCP – thorax", "s3cr3t-key")]);
    let message = oru(1, "P-77", IDENTITY, &document).replace("|EHR|CHU|", "|EHR|s3cr3t-key|");
    assert!(outcome_text(&world.receive(&message)).starts_with("unauthorised"));
}

#[test]
fn a_document_of_a_twin_is_refused() {
    const OWN: &str = "<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>";
    const GIVEN: &str = "<given>Rose Marie</given><given qualifier=\"BR\">Rose</given><given qualifier=\"CL\">Rosie</given>";
    const MISMATCH: &str = "identity-mismatch OBX-5 recordTarget/patientRole/id";
    const OTHER_ROOT: &str = "<id root=\"1.2.250.1.999.66\" extension=\"P-77\"/>";
    const NO_ROOT: &str = "<id extension=\"P-77\"/>";
    const UNKNOWN: &str = "<id nullFlavor=\"UNK\"/>";
    let marie = "<given>Marie</given>";
    let rosa = "<given>Rosa</given>";
    for (ipp, id, given, expected) in [
        // Whose document it is: of P-77, who is Rose.
        ("P-77", OWN, GIVEN, "accepted"),
        ("P-77", OTHER_ROOT, GIVEN, "accepted"),
        ("P-77", NO_ROOT, GIVEN, "accepted"),
        ("P-77", UNKNOWN, GIVEN, "accepted"),
        ("P-77", UNKNOWN, "", "accepted"),
        ("P-77", UNKNOWN, "<given>R.</given>", "accepted"),
        ("P-77", UNKNOWN, rosa, MISMATCH),
        ("P-78", OWN, GIVEN, MISMATCH),
        ("P-78", OTHER_ROOT, GIVEN, MISMATCH),
        ("P-78", UNKNOWN, GIVEN, MISMATCH),
        ("P-78", UNKNOWN, marie, MISMATCH),
        ("P-78", UNKNOWN, rosa, "accepted"),
        ("P-78", NO_ROOT, rosa, MISMATCH),
        ("P-78", NO_ROOT, "", MISMATCH),
        // Somebody who is not known yet.
        ("P-79", UNKNOWN, GIVEN, MISMATCH),
        ("P-79", UNKNOWN, rosa, "accepted"),
    ] {
        let mut world = World::configured("ipp_oid = \"1.2.250.1.999.1\"");
        world.session("S-1", "2025-04-15", "THORAX", "FAM");
        let twin = IDENTITY.replace("Rose", "Rosa");
        for (number, (ipp, identity)) in (1..).zip([("P-77", IDENTITY), ("P-78", &twin)]) {
            let adt = format!(
                "{}PID|1||{ipp}^^^^PI||{identity}\r",
                header("ADT^A28", number)
            );
            assert_eq!(outcome_text(&world.receive(&adt)), "accepted");
        }
        let document = with(&[(OWN, id), (GIVEN, given)]);
        let identity = match ipp {
            "P-77" => IDENTITY,
            _ => &twin,
        };
        let outcome = outcome_text(&world.receive(&oru(5, ipp, identity, &document)));
        assert_eq!(outcome, expected, "{ipp} {id} {given}");
        let case = world.case("CASE-77").and_then(|case| case.ipp);
        let expected = (expected == "accepted").then(|| Ipp::new(ipp));
        assert_eq!(case, expected, "{ipp} {id} {given}");
    }
}
