//! A CDA document on its way: from the inbox to a case with its questionnaire, and into the report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use rcpspool::listing::{self, ShowSubject};
use rcpspool::model::identifiers::{CaseId, FacilityId};
use serde_json::Value;
use support::{World, session, take_all};

const MEETING: &str = include_str!("../fixtures/cda/meeting.xml");

fn read(world: &World, path: &str) -> String {
    std::fs::read_to_string(world.path("facilities/demo").join(path)).unwrap_or_else(|_| {
        panic!("no {path} among {:#?}", world.names("facilities/demo"));
    })
}

#[test]
fn a_document_fills_the_questionnaire_of_its_case_and_the_report() {
    let world = World::new();
    let mut engine = world.open();
    world.drop("desk", "s.csv", session("S-1", "2025-04-15", "THORAX"));
    world.drop("facilities/demo", "fiche.txt", MEETING);
    let totals = take_all(&mut engine).unwrap();
    assert_eq!((totals.accepted, totals.rejected), (2, 0));
    let receipt: Value =
        serde_json::from_str(&read(&world, "outbox/acks/fiche.txt.outcome.json")).unwrap();
    assert_eq!(receipt["resourceType"], "OperationOutcome");
    assert_eq!(
        receipt["issue"][0]["details"]["coding"][0]["code"],
        "accepted"
    );

    let subject = ShowSubject::Case {
        facility: FacilityId::new("demo"),
        id: CaseId::new("CASE-77"),
    };
    let shown = listing::show(&subject, &**engine.store()).unwrap().unwrap();
    assert_eq!(shown["has_questionnaire"], true);
    assert_eq!(shown["documents"][0]["type"], "cda");
    let section = &shown["questionnaire"]["sections"][0];
    assert_eq!(section["code"], "42349-1");
    let statement = &section["statements"][0];
    for (key, value) in [
        ("kind", "observation"),
        ("mood", "EVN"),
        ("value_code", "C34.1"),
        ("priority", "urgent"),
        ("method", "scanner thoracique"),
    ] {
        assert_eq!(statement[key], value);
    }
    assert_eq!(statement["negated"], true);
    assert_eq!(statement["unit"], Value::Null);
    assert_eq!(statement["site"]["laterality"], "gauche");

    let completed = r#"{"command":"complete","facility":"demo","case":"CASE-77","decision":"Chirurgie","time":"2025-04-15T18:00:00+02:00"}"#;
    world.drop("desk", "c.json", completed);
    world.drop("facilities/demo", "again.xml", MEETING);
    world.drop(
        "facilities/demo",
        "later.xml",
        MEETING.replace("versionNumber value=\"1\"", "versionNumber value=\"2\""),
    );
    let totals = take_all(&mut engine).unwrap();
    assert_eq!(
        (totals.updated, totals.duplicate, totals.rejected),
        (2, 1, 0)
    );
    engine.close().unwrap();
}

/// The document as a file, as one that presents itself, and in a message: each way alone gives the same case, and after
/// the others nothing new.
#[test]
fn a_document_is_the_same_however_it_is_wrapped() {
    use base64::Engine as _;
    let (_, inside) = MEETING.split_once("?>").unwrap();
    let presented = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<?xml-stylesheet type=\"text/xsl\" href=\"#\"?>\n\
         <xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
         <contenu>{inside}</contenu><xsl:template match=\"/\"><html/></xsl:template></xsl:stylesheet>"
    );
    let message = |document: &str| {
        let document = base64::engine::general_purpose::STANDARD.encode(document);
        format!(
            "MSH|^~\\&|EHR|CHU|||20250404100000||MDM^T02^MDM_T02|1|P|2.5|||||FRA|UTF-8\r\
             PID|1||P-77^^^CHU^PI||LE GOFF^Rose^^^^^L||19600214|F\r\
             TXA|1|CR|TEXT|||||||||T-1^EHR||||fiche.xml\r\
             OBX|1|ED|CR||^TEXT^XML^Base64^{document}||||||F\r"
        )
    };
    let ways = [
        ("a.xml", MEETING.to_owned()),
        ("b.hl7", message(MEETING)),
        ("c.xml", presented.clone()),
        ("d.hl7", message(&presented)),
    ];
    for (name, content) in &ways {
        let world = World::new();
        let mut engine = world.open();
        world.drop("desk", "s.csv", session("S-1", "2025-04-15", "THORAX"));
        world.drop("facilities/demo", name, content);
        let totals = take_all(&mut engine).unwrap();
        assert_eq!((totals.accepted, totals.rejected), (2, 0), "{name}");
        let subject = ShowSubject::Case {
            facility: FacilityId::new("demo"),
            id: CaseId::new("CASE-77"),
        };
        let shown = listing::show(&subject, &**engine.store()).unwrap().unwrap();
        assert_eq!(shown["state"], "scheduled", "{name}");
        assert_eq!(shown["session"], "S-1", "{name}");
        assert_eq!(shown["has_questionnaire"], true, "{name}");
        assert_eq!(shown["questionnaire"]["sections"][0]["code"], "42349-1");
        assert_eq!(shown["documents"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(shown["documents"][0]["type"], "cda", "{name}");
        for (other, content) in &ways {
            world.drop("facilities/demo", other, content);
            let totals = take_all(&mut engine).unwrap();
            assert_eq!(totals.rejected, 0, "{name}, then {other}");
        }
        let shown = listing::show(&subject, &**engine.store()).unwrap().unwrap();
        assert_eq!(shown["documents"].as_array().unwrap().len(), 1, "{name}");
        engine.close().unwrap();
        world.assert_verified(name);
    }
}

#[test]
fn xml_that_is_no_cda_is_refused_in_its_own_words() {
    let world = World::new();
    let mut engine = world.open();
    for (name, content, reason) in [
        ("a.xml", "<html/>".to_owned(), "unknown-format"),
        (
            "b.xml",
            "<ClinicalDocument xmlns=\"urn:hl7-org:v3\">MSH2 and MSH6 are lost".to_owned(),
            "malformed",
        ),
        (
            "c.xml",
            format!(
                "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>{}",
                MEETING.split_once('\n').unwrap().1
            ),
            "xml-doctype",
        ),
        (
            "d.xml",
            MEETING.replace("34794-8", "11488-4"),
            "unsupported-document",
        ),
    ] {
        world.drop("facilities/demo", name, content);
        let totals = take_all(&mut engine).unwrap();
        assert_eq!(totals.rejected, 1, "{name}");
        let sidecar: Value =
            serde_json::from_str(&read(&world, &format!("error/{name}.error.json"))).unwrap();
        assert_eq!(sidecar["reason"], reason);
        // Not an acknowledgement in HL7, whatever stands in the text.
        assert!(read(&world, &format!("outbox/acks/{name}.outcome.json")).contains(reason));
    }
    engine.close().unwrap();
}
