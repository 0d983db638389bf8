use serde_json::json;

use super::*;
use crate::intake::testing::World;
use crate::model::change::Record;
use crate::model::identifiers::ContentHash;
use crate::model::identifiers::{DocumentId, Ipp};
use crate::model::refused::RefusedFile;
use crate::model::report::ReportVersion;
use crate::store::{MemoryStore, apply_all, to_json};

/// The keys that interface.md 12 names, at least.
const KEYS: [(Listing, &str); 6] = [
    (
        Listing::Cases,
        "facility id state session ipp submitter submitter_name lead lead_name pathway date network warnings documents has_questionnaire report_outdated",
    ),
    (
        Listing::Patients,
        "facility ipp birth_name usual_name given_name birth_given_name sex birth_date ins phone email address network identity_status identity_attributes",
    ),
    (
        Listing::Sessions,
        "id label date start pathway_id family_id lead_rpps lead_family lead_given state cases",
    ),
    (Listing::Notes, "id facility ipp case reason documents"),
    (
        Listing::Documents,
        "facility ipp case id file_name type size sha256 version deleted",
    ),
    (
        Listing::Reports,
        "facility case document_id version file_name batch",
    ),
];

fn siu(case: &str, pathway: &str) -> String {
    format!(
        "MSH|^~\\&|A|B|||20250301120000||SIU^S12|1|P|2.5\r\
         SCH|{case}|{case}|||||||||^^^20250408\r\
         PID|||{case}9^^^^PI||MARTIN^JEANNE^^^^^L||1950|F\r\
         AIL|1||X^^^{pathway}^^^^^N-1\r\
         AIP|1||10100094977^DUPONT^PAUL\r"
    )
}

const DOCUMENT: &str = "MSH|^~\\&|A|B|||20250302120000||ORU^R01|2|P|2.5\r\
    PID|||19^^^^PI\r\
    OBR|1\r\
    OBX|1|ED|CR^compte rendu||^^^Base64^SGVsbG8=\r";

/// Case 1 is in session S-1, case 2 waits on a note; patient 19 has a document without a case, case 1 a report.
fn world() -> World {
    let mut world = World::new();
    world.session("S-1", "2025-04-08", "P-1", "");
    for message in [siu("1", "P-1"), siu("2", "P-2"), DOCUMENT.to_owned()] {
        let outcome = world.receive(&message);
        assert!(outcome.refusal().is_none(), "{outcome:?}");
    }
    let version = ReportVersion {
        version: 1,
        sequence: 1,
        time: world.now,
        validated: None,
        file_name: "r.pdf".to_owned(),
        pdf: ContentHash::of(b""),
        size: 0,
        message_before: String::new(),
        message_after: String::new(),
        batch: None,
        shows: None,
        questionnaire: None,
        withdrawal: None,
    };
    let mut report = Report::new(
        world.facility.id.clone(),
        CaseId::new("1"),
        1,
        DocumentId::new("d"),
    );
    report.latest = 2;
    let second = ReportVersion {
        version: 2,
        batch: Some(7),
        ..version.clone()
    };
    let versions = [version, second].map(|it| Record::ReportVersion(Box::new(report.of(it))));
    world.put(versions);
    world.put([Record::Report(report)]);
    world
}

fn listed(world: &World, what: Listing, filter: &Filter) -> Vec<Value> {
    list(
        what,
        filter,
        &world.store,
        &Config::demo(std::path::Path::new("no-spool")),
    )
    .unwrap()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["id"].as_str()).collect()
}

#[test]
fn every_row_has_the_keys_of_the_specification() {
    let world = world();
    for (what, keys) in KEYS {
        let rows = listed(&world, what, &Filter::default());
        assert!(!rows.is_empty(), "{what:?}");
        for row in rows {
            for key in keys.split(' ') {
                assert!(row.get(key).is_some(), "{what:?} has no {key}: {row:#}");
            }
        }
    }
}

#[test]
fn who_was_merged_away_is_no_patient_but_leads_to_the_survivor() {
    let mut world = world();
    let merge = |pid: &str, mrg: &str| {
        format!(
            "MSH|^~\\&|A|B|||20250303||ADT^A40|3|P|2.5\r\
             PID|||{pid}^^^^PI||MARTIN^JEANNE^^^^^L||1950|F\rMRG|{mrg}^^^^PI\r"
        )
    };
    for message in [merge("5", "19"), merge("7", "5")] {
        let outcome = world.receive(&message);
        assert!(outcome.refusal().is_none(), "{outcome:?}");
    }
    world.keep_history();
    let rows = listed(&world, Listing::Patients, &Filter::default());
    let ipps: Vec<&str> = rows.iter().filter_map(|row| row["ipp"].as_str()).collect();
    assert_eq!(ipps, ["29", "7"]);
    let of = |ipp: &str| {
        let subject = ShowSubject::Patient {
            facility: world.facility.id.clone(),
            id: Ipp::new(ipp),
        };
        show(&subject, &world.store).unwrap().unwrap()
    };
    let shown = of("7");
    assert_eq!(shown["merged"], json!(["19", "5"]));
    assert_eq!(shown["cases"][0]["id"], "1");
    assert_eq!(shown["documents"].as_array().unwrap().len(), 1);
    let history: Vec<&str> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["what"].as_str())
        .collect();
    assert_eq!(
        history,
        [
            "created by SIU^S12",
            "IPP 19 merged into it by ADT^A40",
            "merged into 5 by ADT^A40",
            "IPP 5 merged into it by ADT^A40",
            "merged into 7 by ADT^A40",
        ]
    );
    assert_eq!(of("19"), shown);
    assert_eq!(of("5"), shown);
}

#[test]
fn a_case_is_listed() {
    let world = world();
    let rows = listed(&world, Listing::Cases, &Filter::default());
    assert_eq!(ids(&rows), ["1", "2"]);
    assert_eq!(
        rows[0],
        json!({
            "facility": "demo", "id": "1", "state": "scheduled", "session": "S-1", "can_be_scheduled": null,
            "ipp": "19", "submitter": "10100094977", "submitter_number": null,
            "submitter_name": "DUPONT PAUL", "submitter_kind": "person", "lead": null, "lead_number": null, "lead_name": null,
            "pathway": "P-1", "date": "2025-04-08", "network": "N-1", "warnings": [], "documents": [],
            "has_questionnaire": false, "report_outdated": false,
        })
    );
    assert_eq!(rows[1]["state"], "unscheduled");
    assert_eq!(rows[1]["session"], Value::Null);
    assert_eq!(rows[1]["warnings"], json!(["session-not-found"]));
}

#[test]
fn a_warning_is_listed_once() {
    let mut world = world();
    let mut case = world.case("2").unwrap();
    case.identity_mismatch = true;
    case.scheduling_warnings
        .push(crate::model::outcome::WarningCode::IdentityMismatch);
    world.put([Record::Case(case)]);
    let rows = listed(&world, Listing::Cases, &Filter::default());
    assert_eq!(
        rows[1]["warnings"],
        json!(["session-not-found", "identity-mismatch"])
    );
}

#[test]
fn a_waiting_case_tells_the_session_it_fits_by_now() {
    let mut world = world();
    world.session("S-2", "2025-04-08", "P-2", "");
    let fits = |world: &World| {
        listed(world, Listing::Cases, &Filter::default())[1]["can_be_scheduled"].clone()
    };
    assert_eq!(fits(&world), "S-2");
    world.session("S-3", "2025-04-08", "P-2", "");
    assert_eq!(fits(&world), Value::Null);
}

#[test]
fn a_filter_limits() {
    let world = world();
    let filter = |facility: Option<&str>, session: Option<&str>, state: Option<&str>| Filter {
        facility: facility.map(FacilityId::new),
        session: session.map(SessionId::new),
        state: state.map(str::to_owned),
    };
    for (what, filter, count) in [
        (Listing::Cases, filter(Some("demo"), None, None), 2),
        (Listing::Cases, filter(Some("dem"), None, None), 0),
        (Listing::Cases, filter(None, Some("S-1"), None), 1),
        (Listing::Cases, filter(None, None, Some("unscheduled")), 1),
        (
            Listing::Cases,
            filter(None, Some("S-1"), Some("unscheduled")),
            0,
        ),
        (Listing::Sessions, filter(Some("demo"), None, None), 1),
        (Listing::Sessions, filter(Some("other"), None, None), 0),
        (Listing::Sessions, filter(None, None, Some("cancelled")), 0),
        (Listing::Patients, filter(Some("other"), None, None), 0),
        (Listing::Notes, filter(Some("demo"), None, None), 2),
        (Listing::Notes, filter(Some("other"), None, None), 0),
        (Listing::Documents, filter(None, None, None), 1),
        (Listing::Documents, filter(None, Some("S-1"), None), 0),
        (Listing::Reports, filter(None, Some("S-1"), None), 2),
        (Listing::Reports, filter(None, Some("S-2"), None), 0),
    ] {
        assert_eq!(
            listed(&world, what, &filter).len(),
            count,
            "{what:?} {filter:?}"
        );
    }
}

#[test]
fn a_note_shows_the_message_it_keeps_and_documents_do_not() {
    let world = world();
    let notes = listed(&world, Listing::Notes, &Filter::default());
    let of_case = notes.iter().find(|note| note["case"] == "2").unwrap();
    assert_eq!(of_case["reason"], "session-not-found");
    assert_eq!(of_case["documents"][0]["type"], "hl7");
    let documents = listed(&world, Listing::Documents, &Filter::default());
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["type"], "text");
    assert_eq!(documents[0]["case"], Value::Null);
    assert_eq!(documents[0]["size"], 5);
}

#[test]
fn sessions_count_their_cases_and_reports_their_versions() {
    let world = world();
    let sessions = listed(&world, Listing::Sessions, &Filter::default());
    assert_eq!(
        sessions[0]["cases"],
        json!([{ "facility": "demo", "case": "1", "state": "scheduled" }])
    );
    let reports = listed(&world, Listing::Reports, &Filter::default());
    let batches: Vec<_> = reports
        .iter()
        .map(|row| (&row["version"], &row["batch"]))
        .collect();
    assert_eq!(batches, [(&json!(1), &json!(null)), (&json!(2), &json!(7))]);
}

#[test]
fn everything_about_one_thing_is_shown() {
    let world = world();
    let facility = world.facility.id.clone();
    let shown = |subject: ShowSubject| show(&subject, &world.store).unwrap();
    let case = shown(ShowSubject::Case {
        facility: facility.clone(),
        id: CaseId::new("2"),
    })
    .unwrap();
    assert_eq!(case["note"]["case"], "2");
    assert_eq!(case["patient"]["ipp"], "29");
    assert!(case["history"].is_array() && case.get("questionnaire").is_some());
    let patient = shown(ShowSubject::Patient {
        facility: facility.clone(),
        id: Ipp::new("19"),
    })
    .unwrap();
    assert_eq!(ids(patient["cases"].as_array().unwrap()), ["1"]);
    assert_eq!(patient["documents"].as_array().unwrap().len(), 1);
    assert_eq!(patient["notes"].as_array().unwrap().len(), 1);
    let session = shown(ShowSubject::Session {
        id: SessionId::new("S-1"),
    })
    .unwrap();
    assert_eq!(session["cases"][0]["submitter"], "10100094977");
    assert_eq!(
        shown(ShowSubject::Case {
            facility,
            id: CaseId::new("3")
        }),
        None
    );
}

#[test]
fn what_the_store_remembers_is_listed_while_it_lies_in_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::demo(folder.path());
    let error = folder.path().join("facilities/demo/error/sub");
    std::fs::create_dir_all(&error).unwrap();
    let store = MemoryStore::default();
    let remember = |file: &str, sequence: u64| {
        let sidecar =
            json!({ "reason": "malformed", "facility": "other", "time": "2025-04-08T10:00:00Z" });
        let record = RefusedFile::new(file.to_owned(), sequence, &sidecar);
        let key = keys::refused("demo", file);
        let newest = keys::refused_newest(sequence, "demo", file);
        let changes = [
            (newest, Some(to_json(&key).unwrap())),
            (key, Some(to_json(&record).unwrap())),
        ];
        apply_all(&store, &changes).unwrap();
    };
    std::fs::write(error.join("x.hl7"), "").unwrap();
    std::fs::write(error.join("y.hl7"), "").unwrap();
    // Anybody may have put this there.
    std::fs::write(error.join("z.hl7.error.json"), r#"{"facility":"other"}"#).unwrap();
    remember("sub/x.hl7", 7);
    remember("sub/y.hl7", 8);
    remember("sub/removed.hl7", 9);
    let listed = errors::errors(&store, &config, &Filter::default()).unwrap();
    let files: Vec<&str> = listed.iter().filter_map(|it| it["file"].as_str()).collect();
    assert_eq!(
        files,
        [
            "facilities/demo/error/sub/x.hl7",
            "facilities/demo/error/sub/y.hl7"
        ]
    );
    assert_eq!(listed[1]["reason"], "malformed");
    assert_eq!(listed[1]["facility"], "demo");
    let newest = |reachable: bool, count: usize| -> Vec<String> {
        let newest = errors::newest(&store, &config, &|_| reachable, count).unwrap();
        newest.into_iter().map(|it| it.record.file).collect()
    };
    assert_eq!(newest(true, 1), ["sub/y.hl7"]);
    assert_eq!(newest(true, 9), ["sub/y.hl7", "sub/x.hl7"]);
    assert_eq!(newest(false, 1), ["sub/removed.hl7"]);
    assert_eq!(
        errors::as_listed(&config, &error.join("x.hl7")).as_deref(),
        Some("facilities/demo/error/sub/x.hl7")
    );
    assert_eq!(
        errors::as_listed(&config, &folder.path().join("rcpspool.toml")),
        None
    );
    let of_desk = Filter {
        facility: Some(FacilityId::new("desk")),
        ..Filter::default()
    };
    assert!(
        errors::errors(&store, &config, &of_desk)
            .unwrap()
            .is_empty()
    );
}
