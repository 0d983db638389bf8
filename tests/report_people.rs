//! Whom and what the report names at its head: the establishment, the people of the form and of the desk, and another
//! identity that was given (interface.md 3, 8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcpspool::listing::{self, ShowSubject};
use rcpspool::model::identifiers::{CaseId, FacilityId};
use rcpspool::model::view::View;
use rcpspool::store::PendingChanges;
use serde_json::{Value, json};

use support::{World, take_all};

const SESSIONS: &str = "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
    S-THORAX-15,RCP Thorax,2025-04-15,14:00,,,10102078838,DURAND,Anne,planned\n";

const SETTINGS: &str = "[cda]\nnetwork_root = \"1.2.250.1.999.3\"\n";

/// A spool of an establishment with its address.
fn world() -> World {
    let mut world = World::with(SETTINGS);
    let facility = &mut Arc::make_mut(&mut world.config).facilities[0];
    facility.name = "CHU de Démo".to_owned();
    facility.address = Some("1 rue de l’Hôpital, 35000 Rennes".to_owned());
    facility.finess = Some("350000741".to_owned());
    world
}

/// Our own document, whose header names more people.
fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
    let document = std::fs::read_to_string(path).unwrap();
    let participant = |kind: &str, function: &str, said: &str, name: &str, code: &str| {
        format!(
            "<participant typeCode='{kind}'><functionCode code='F' displayName='{function}'>\
             <originalText>{said}</originalText></functionCode><associatedEntity classCode='PROV'>\
             <code code='C' displayName='{code}'/><associatedPerson><name><family>{name}</family></name>\
             </associatedPerson></associatedEntity></participant>"
        )
    };
    let people = [
        participant(
            "PRF",
            "Membre de l’équipe",
            "Participant du quorum",
            "QUORUMIER",
            "Radiologue",
        ),
        participant(
            "PRF",
            "Correspondant",
            "Hors quorum",
            "HORSQUORUM",
            "Hématologue",
        ),
        participant(
            "CON",
            "Médecin correspondant",
            "",
            "CORRESPOND",
            "Chirurgien",
        ),
        participant("INF", "Médecin traitant", "", "TRAITANT", "Généraliste"),
    ];
    let at = document.find("<inFulfillmentOf>").unwrap();
    let (before, after) = document.split_at(at);
    format!("{before}{}{after}", people.concat())
}

struct Reported {
    text: Option<String>,
    case: Value,
    answer: String,
}

/// Takes these in, completes the case with this; what is seen of it.
fn reported(before: &[&str], content: Value) -> Reported {
    reported_of(&document(), before, content)
}

/// The same of a document.
fn reported_of(document: &str, before: &[&str], content: Value) -> Reported {
    let world = world();
    let mut engine = world.open();
    world.drop("desk", "s.csv", SESSIONS);
    for (number, file) in before.iter().enumerate() {
        world.drop("facilities/demo", &format!("{number}.hl7"), file);
        take_all(&mut engine).unwrap();
    }
    world.drop("facilities/demo", "c.xml", document);
    take_all(&mut engine).unwrap();
    let mut complete = json!({ "command": "complete", "facility": "demo", "case": "CASE-77" });
    complete
        .as_object_mut()
        .unwrap()
        .extend(content.as_object().unwrap().clone());
    world.drop("desk", "c.json", complete.to_string());
    take_all(&mut engine).unwrap();
    let (facility, id) = (FacilityId::new("demo"), CaseId::new("CASE-77"));
    let view = PendingChanges::new(&**engine.store());
    let report = view.report(&facility, &id).unwrap().unwrap();
    let version = view.report_version(&report, 1).unwrap().unwrap();
    let hash = version.pdf.as_str().to_owned();
    let pdf = world.path("documents").join(&hash[..2]).join(&hash);
    let read = Command::new("pdftotext")
        .args(["-layout", "-enc", "UTF-8"])
        .arg(pdf)
        .arg("-")
        .output();
    let subject = ShowSubject::Case { facility, id };
    let seen = world.seen();
    let find = |part: &str| {
        let found = seen
            .iter()
            .find(|(path, _)| path.to_string_lossy().contains(part));
        found
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    };
    Reported {
        text: read
            .ok()
            .map(|it| String::from_utf8_lossy(&it.stdout).into_owned()),
        case: listing::show(&subject, &**engine.store()).unwrap().unwrap(),
        answer: find("acks/c.json"),
    }
}

#[test]
fn the_people_of_the_form_are_named_with_their_functions() {
    let Reported { text, case, .. } = reported(&[], json!({ "decision": "Chirurgie" }));
    let people = case["questionnaire"]["people"].as_array().unwrap();
    let labels: Vec<&str> = people
        .iter()
        .filter_map(|it| it["label"].as_str())
        .collect();
    for label in [
        "Membre de l’équipe (Participant du quorum), Radiologue",
        "Médecin traitant, Généraliste",
    ] {
        assert!(labels.contains(&label), "{labels:?}");
    }
    let Some(text) = text else { return };
    let (before, after) = text.split_once("Selon le questionnaire").unwrap();
    for name in ["CORRESPOND", "TRAITANT"] {
        assert!(
            before.contains(name) && !after.contains(name),
            "{name}: {text}"
        );
    }
    for name in ["QUORUMIER", "HORSQUORUM"] {
        assert!(
            !before.contains(name) && after.contains(name),
            "{name}: {text}"
        );
    }
    for said in [
        "CHU de Démo",
        "1 rue de l’Hôpital, 35000 Rennes · FINESS 350000741 · Service PNEUMO",
        "Fiche signée par",
        "SIGNATAIRE Louis",
        "03/04/2025",
    ] {
        assert!(before.contains(said), "{said}: {text}");
    }
    // Nobody counts those whom a form expects.
    assert!(!text.contains("Nombre de participants"), "{text}");
}

/// Who typed it, who keeps it, and where the session meets: each where it is looked for, once, and nothing where the
/// document does not say it.
#[test]
fn who_typed_and_keeps_the_form_and_where_the_session_meets_are_told() {
    let header = "<dataEnterer><time value='20250402'/><assignedEntity><id root='1.2' extension='S1'/><assignedPerson>\
        <name><family>SECRETAIRE</family><given>Ève</given></name></assignedPerson></assignedEntity></dataEnterer>\
        <custodian><assignedCustodian><representedCustodianOrganization><id root='1.2' extension='350'/>\
        <name>Hôpital Gardien</name></representedCustodianOrganization></assignedCustodian></custodian>";
    let place = "<location><healthCareFacility><code code='SA01' displayName='Établissement public'/><location>\
        <name>Salle Laennec</name><addr><streetName>Quai Neuf</streetName><city>Nantes</city></addr></location>\
        <serviceProviderOrganization><name>Clinique Hôte</name></serviceProviderOrganization></healthCareFacility></location>";
    let own = document();
    let document = own
        .replacen(
            "<legalAuthenticator>",
            &format!("{header}<legalAuthenticator>"),
            1,
        )
        .replacen(
            "</encompassingEncounter>",
            &format!("{place}</encompassingEncounter>"),
            1,
        )
        .replacen("</serviceEvent>", &format!("{place}</serviceEvent>"), 1);
    let content = json!({ "decision": "Chirurgie" });
    let Reported { text, case, .. } = reported_of(&document, &[], content.clone());
    let people = case["questionnaire"]["people"].as_array().unwrap();
    for role in ["dataEnterer", "custodian", "location"] {
        let of_role = people.iter().filter(|it| it["role"] == role);
        assert_eq!(of_role.count(), 1, "{role}: {people:?}");
    }
    let Some(text) = text else { return };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "à 14:00 Lieu de la réunion : Salle Laennec, Clinique Hôte, Quai Neuf Nantes (Établissement public) Patient",
        "Saisi par SECRETAIRE Ève",
        "Conservateur Hôpital Gardien",
    ] {
        assert_eq!(text.matches(said).count(), 1, "{said}: {text}");
    }
    for name in ["SECRETAIRE", "Hôpital Gardien", "Salle Laennec"] {
        assert_eq!(text.matches(name).count(), 1, "{name}: {text}");
    }
    let text = reported_of(&own, &[], content).text.unwrap();
    for label in ["Lieu de la réunion", "Saisi par", "Conservateur"] {
        assert!(!text.contains(label), "{label}: {text}");
    }
}

#[test]
fn those_whom_the_desk_names_win() {
    let content = json!({
        "decision": "Chirurgie",
        "participants": [{ "family": "VENUE", "given": "Zoé", "role": "Oncologue" }],
        "validator": { "family": "VALIDANT", "given": "Line", "role": "Oncologue", "rpps": "10102078838" },
    });
    let Reported { text, case, .. } = reported(&[], content);
    assert_eq!(case["completion"]["validator"]["family"], "VALIDANT");
    let Some(text) = text else { return };
    for said in [
        "VENUE Zoé",
        "Nombre de participants : 1",
        "Validé par",
        "VALIDANT Line",
        "TRAITANT",
        "CORRESPOND",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    for said in ["QUORUMIER", "HORSQUORUM", "Selon le questionnaire"] {
        assert!(!text.contains(said), "{said}: {text}");
    }
    let first = text.split('\u{c}').next().unwrap();
    let decision = first.find("Décision de la réunion").unwrap();
    assert!(first[decision..].contains("VALIDANT Line"), "{text}");
}

#[test]
fn another_identity_stands_in_the_report_and_in_the_answer() {
    let adt = "MSH|^~\\&|A|B|C|D|20250101080000||ADT^A28|1|P|2.5\r\
        PID|1||P-77^^^X&1.2.250.1.999.1&ISO^PI||LE GOF^Rose^^^^^L||19600214|M\r";
    let Reported {
        text, case, answer, ..
    } = reported(&[adt], json!({ "decision": "Chirurgie" }));
    assert_eq!(case["identity_given"]["birth_name"], "LE GOFF");
    assert_eq!(case["identity_given"]["by"], "CDA");
    assert!(answer.contains("identity-mismatch"), "{answer}");
    let Some(text) = text else { return };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "Identité à vérifier",
        "Nom de naissance : LE GOFF",
        "Date de naissance : 14/02/1960",
        "Sexe : Féminin",
        "(CDA)",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let same = reported(&[], json!({ "decision": "Chirurgie" }));
    assert!(same.case["identity_given"].is_null());
    assert!(
        !same.answer.contains("identity-mismatch"),
        "{}",
        same.answer
    );
}

#[test]
fn the_page_of_the_session_names_them() {
    let world = world();
    let mut engine = world.open();
    world.drop("desk", "s.csv", SESSIONS);
    world.drop("facilities/demo", "c.xml", document());
    take_all(&mut engine).unwrap();
    engine.close().unwrap();
    let page = world.path("desk/sessions/2025-04-15_RCP-Thorax/index.html");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(!page.contains("Identité à vérifier"), "{page}");
    for said in [
        "<summary>8 personnes citées",
        "TRAITANT<small>Médecin traitant, Généraliste",
        "QUORUMIER",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
}
