//! The program as people and scripts run it: every command, its output, its exit status.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A folder to run the program in, with a configuration of one facility.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n{settings}\n[[facility]]\nid = \"demo\"\n"
        );
        std::fs::write(folder.path().join("rcpspool.toml"), config).unwrap();
        Self { folder }
    }

    /// What the demonstration leaves behind.
    fn after_demo() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        world.run(&["demo", "spool"]).success();
        let config = "[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\n";
        std::fs::write(world.folder.path().join("rcpspool.toml"), config).unwrap();
        world
    }

    fn run(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        Command::cargo_bin("rcpspool")
            .unwrap()
            .current_dir(self.folder.path())
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .args(arguments)
            .assert()
    }

    /// What a command says that succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).success().get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    }

    /// Asks whether everything is as it should be.
    fn assert_verified(&self) {
        let said = self.says(&["verify"]);
        assert!(said.contains("Everything is as the journal says"), "{said}");
    }

    /// What a command complains about, and with which exit status.
    fn complains(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments).failure().get_output().clone();
        assert!(output.stdout.is_empty(), "{output:?}");
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&arguments)).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("spool").join(below)
    }

    fn drop(&self, place: &str, name: &str, content: impl AsRef<[u8]>) {
        let inbox = self.path(place).join("inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        std::fs::write(inbox.join(name), content).unwrap();
    }

    /// Case 59384 of the documentation's sample, without a session that it fits.
    fn with_waiting_case() -> Self {
        let world = Self::new("");
        world.drop(
            "facilities/demo",
            "case.hl7",
            include_bytes!("../fixtures/demo/2-case.hl7"),
        );
        world.says(&["once"]);
        world
    }
}

/// S-1 fits the case of the documentation's sample.
const SESSIONS: &str = "id;label;date;start;pathway_id;state\n\
    S-1;RCP Infertilité;2025-04-08;16:55;67d443f1bdfe7d0fb1eabdd4;planned\n\
    S-2;\"RCP; du \"\"mardi\"\"\";2025-04-15;;another;planned\n";

/// The messages of a batch.
fn contents(batch: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(batch).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    assert!(document.root_element().has_tag_name("message"));
    document
        .root_element()
        .children()
        .filter(|node| node.is_element())
        .map(|node| {
            assert!(node.has_tag_name("content"));
            String::from_utf8(STANDARD.decode(node.text().unwrap()).unwrap()).unwrap()
        })
        .collect()
}

fn field<'m>(message: &'m str, segment: &str, number: usize) -> &'m str {
    let segment = message
        .split('\r')
        .find(|it| it.split('|').next() == Some(segment))
        .unwrap();
    // In MSH the separator is the first field.
    let place = if segment.starts_with("MSH") {
        number - 1
    } else {
        number
    };
    segment.split('|').nth(place).unwrap_or_default()
}

#[test]
fn the_demonstration_shows_the_whole_way() {
    let world = World::after_demo();

    let case = &world.json(&["list", "cases"])[0];
    for (key, value) in [
        ("facility", json!("demo")),
        ("id", json!("59384")),
        ("state", json!("completed")),
        ("submitter", json!("10100094977")),
        ("pathway", json!("67d443f1bdfe7d0fb1eabdd4")),
        ("network", json!("67d441a5bdfe7d0fb1eaad51")),
        ("date", json!("2025-04-08")),
        ("ipp", json!("5100001073")),
        ("warnings", json!([])),
    ] {
        assert_eq!(case[key], value, "{key}");
    }
    let session = case["session"].as_str().unwrap();
    let session = world.json(&["show", "session", session]);
    assert_eq!(session["date"], "2025-04-08");
    assert_eq!(session["cases"][0]["id"], "59384");
    let history = world.json(&["show", "case", "demo", "59384"])["history"].clone();
    assert_eq!(history[0]["message_type"], "SIU^S12");
    assert!(
        history[0]["what"].as_str().unwrap().contains("scheduled"),
        "{history}"
    );
    assert_eq!(history[0]["file"], "2-case.hl7");

    // The characters of ISO 8859-15 came through.
    assert!(
        case["submitter_name"]
            .as_str()
            .unwrap()
            .starts_with("Infertilité")
    );

    let patient = world.json(&["show", "patient", "demo", "2345"]);
    assert_eq!(patient["birth_name"], "XXXX");
    assert_eq!(patient["birth_date"], "1960-08-29");
    let document = &patient["notes"][0]["documents"][0];
    assert_eq!(document["type"], "pdf");
    assert_eq!(document["case"], Value::Null);
    let sha256 = document["sha256"].as_str().unwrap();
    let stored = std::fs::read(world.path("documents").join(&sha256[..2]).join(sha256)).unwrap();
    assert!(stored.starts_with(b"%PDF-1.4") && stored.ends_with(b"%%EOF\n"));

    let messages = contents(&world.path("facilities/demo/outbox/reports/first.xml"));
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(field(message, "MSH", 9), "MDM^T02^MDM_T02");
    assert_eq!(field(message, "MSH", 10), "demo-1-1");
    assert_eq!(field(message, "MSH", 12), "2.5");
    assert_eq!(field(message, "PID", 3), "5100001073^^^^PI");
    assert!(field(message, "PV1", 7).starts_with("10100094977^"));
    assert!(field(message, "TXA", 10).starts_with("10102078838^"));
    assert!(field(message, "TXA", 12).starts_with("FRCP_ID^ROFIM^"));
    assert_eq!(
        field(message, "TXA", 13),
        "RCP_NAME^ROFIM^RCP Infertilité^L"
    );
    let pdf = field(message, "OBX", 5).split('^').nth(4).unwrap();
    assert!(STANDARD.decode(pdf).unwrap().starts_with(b"%PDF"));

    let second =
        std::fs::read_to_string(world.path("facilities/demo/outbox/reports/second.xml")).unwrap();
    assert_eq!(second.lines().last(), Some("<message/>"));
    assert_eq!(world.json(&["list", "errors"]), json!([]));
    assert_eq!(world.json(&["list", "reports"])[0]["batch"], 1);
}

#[test]
fn the_demonstration_is_told_and_leaves_a_configuration() {
    let world = World::new("");
    let told = world.says(&["demo"]);
    for word in [
        "59384",
        "10100094977",
        "2345",
        "HIS_PDFReport.pdf",
        "MDM^T02",
        "<message/>",
    ] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert!(!told.contains("AR") && !told.contains("AE"), "{told}");
    let config = world.folder.path().join("rcpspool-demo/rcpspool.toml");
    let cases = world.json(&["--config", config.to_str().unwrap(), "list", "cases"]);
    assert_eq!(cases[0]["id"], "59384");
    let (status, complaint) = world.complains(&["demo"]);
    assert_eq!(status, 1);
    assert!(complaint.contains("not empty"), "{complaint}");
}

#[test]
fn listings_have_the_keys_of_the_specification() {
    let world = World::after_demo();
    for (what, keys) in [
        (
            "cases",
            "facility id state session ipp submitter submitter_name lead lead_name pathway date network warnings documents has_questionnaire",
        ),
        (
            "patients",
            "facility ipp birth_name usual_name given_name birth_given_name sex birth_date ins phone email address network identity_status identity_attributes",
        ),
        (
            "sessions",
            "id label date start pathway_id family_id lead_rpps lead_family lead_given state cases",
        ),
        ("notes", "id facility ipp case reason documents"),
        (
            "documents",
            "facility ipp case id file_name type size sha256 version deleted",
        ),
        (
            "reports",
            "facility case document_id version file_name batch",
        ),
    ] {
        let rows = world.json(&["list", what, "--facility", "demo"]);
        assert!(!rows.as_array().unwrap().is_empty(), "{what}");
        for key in keys.split(' ') {
            assert!(rows[0].get(key).is_some(), "{what} has no {key}: {rows:#}");
        }
        // The same as a table.
        assert!(world.says(&["list", what]).lines().count() >= 2, "{what}");
    }
    for shown in ["case demo 59384", "patient demo 2345"] {
        let arguments: Vec<&str> = std::iter::once("show").chain(shown.split(' ')).collect();
        assert!(world.says(&arguments).contains("history"), "{shown}");
    }
}

#[test]
fn once_takes_in_and_counts() {
    let world = World::new("");
    world.drop(
        "facilities/demo",
        "a.hl7",
        include_bytes!("../fixtures/demo/2-case.hl7"),
    );
    world.drop(
        "facilities/demo",
        "b.hl7",
        include_bytes!("../fixtures/demo/2-case.hl7"),
    );
    world.drop("facilities/demo", "c.txt", "hello");
    world.drop("desk", "sessions.csv", SESSIONS);
    world.drop("desk", "lonely.pdf", "%PDF-");
    assert_eq!(
        world.json(&["once"]),
        json!({ "accepted": 2, "updated": 0, "duplicate": 1, "stale": 0, "ignored": 0, "rejected": 1 })
    );
    // The desk came first, and a PDF that no command names stays where it is.
    assert_eq!(world.json(&["list", "cases"])[0]["session"], "S-1");
    assert!(world.path("desk/inbox/lonely.pdf").exists());
    assert_eq!(world.says(&["once"]), "Nothing was waiting.\n");
    let errors = world.json(&["list", "errors"]);
    assert_eq!(errors.as_array().unwrap().len(), 1);
    for (key, value) in [
        ("reason", json!("unknown-format")),
        ("file", json!("facilities/demo/error/c.txt")),
        ("facility", json!("demo")),
    ] {
        assert_eq!(errors[0][key], value, "{key}");
    }
    for key in [
        "message",
        "where",
        "value",
        "message_type",
        "control_id",
        "case",
        "time",
        "next",
    ] {
        assert!(errors[0].get(key).is_some(), "{key}");
    }
    assert!(world.says(&["list", "errors"]).contains("unknown-format"));
}

#[test]
fn once_writes_batches_unless_they_are_only_wanted_on_request() {
    for (every, count) in [("5m", 1), ("off", 0)] {
        let world = World::new(&format!("[reports]\nevery = \"{every}\""));
        world.drop("desk", "sessions.csv", SESSIONS);
        world.drop(
            "facilities/demo",
            "a.hl7",
            include_bytes!("../fixtures/demo/2-case.hl7"),
        );
        world.says(&["once"]);
        let complete = r#"{"command":"complete","facility":"demo","case":"59384","decision":"x"}"#;
        world.drop("desk", "complete.json", complete);
        world.says(&["once"]);
        let batches = std::fs::read_dir(world.path("facilities/demo/outbox/reports")).unwrap();
        assert_eq!(batches.count(), count, "{every}");
    }
}

#[test]
fn sessions_are_imported_and_cancelled() {
    let world = World::with_waiting_case();
    let list = world.folder.path().join("list.csv");
    std::fs::write(&list, SESSIONS).unwrap();
    world.says(&["session", "import", list.to_str().unwrap()]);
    let listed = world.json(&["list", "sessions"]);
    assert_eq!(listed[1]["label"], "RCP; du \"mardi\"");
    world.says(&["schedule", "demo", "59384", "S-1"]);
    assert_eq!(
        world.json(&["list", "sessions", "--session", "S-1"])[0]["cases"][0]["case"],
        "59384"
    );
    for session in ["S-1", "S-2"] {
        world.says(&["session", "cancel", session]);
    }
    let cancelled = world.json(&["list", "sessions", "--state", "cancelled"]);
    for (before, after) in listed
        .as_array()
        .unwrap()
        .iter()
        .zip(cancelled.as_array().unwrap())
    {
        for key in ["id", "label", "date", "start", "pathway_id"] {
            assert_eq!(before[key], after[key]);
        }
    }
    assert_eq!(world.json(&["list", "cases"])[0]["state"], "unscheduled");

    std::fs::write(&list, "id,label,date\nS-3,RCP,tomorrow\n").unwrap();
    let (status, complaint) = world.complains(&["session", "import", list.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(
        complaint.contains("bad-csv") && complaint.contains("date"),
        "{complaint}"
    );
    assert_eq!(world.complains(&["session", "cancel", "S-9"]).0, 1);
    assert_eq!(world.complains(&["session", "import", "no-such.csv"]).0, 1);
}

#[test]
fn a_case_goes_through_its_life() {
    let world = World::with_waiting_case();
    world.drop("desk", "sessions.csv", SESSIONS);
    world.says(&["once"]);
    let state = || world.json(&["list", "cases"])[0]["state"].clone();
    assert_eq!(world.json(&["list", "cases"])[0]["can_be_scheduled"], "S-1");
    assert_eq!(
        world.json(&["list", "notes"])[0]["documents"][0]["type"],
        "hl7"
    );
    assert!(world.says(&["schedule", "--matching"]).contains("59384"));
    assert!(
        world
            .says(&["schedule", "--matching"])
            .contains("No waiting case")
    );
    assert_eq!(state(), "scheduled");
    assert_eq!(world.json(&["list", "notes"]), json!([]));
    world.says(&["unschedule", "demo", "59384"]);
    assert_eq!(state(), "unscheduled");
    world.says(&["schedule", "demo", "59384", "S-2"]);
    assert_eq!(
        world.json(&["list", "cases", "--session", "S-2"])[0]["id"],
        "59384"
    );
    world.says(&["cancel", "demo", "59384"]);
    assert_eq!(state(), "cancelled");
    world.says(&["reopen", "demo", "59384"]);
    world.says(&["schedule", "demo", "59384", "S-1"]);
    world.says(&["complete", "demo", "59384", "--decision", "Chirurgie"]);
    assert_eq!(state(), "completed");
    world.says(&["reopen", "demo", "59384"]);
    assert_eq!(state(), "scheduled");

    for refused in [
        &["schedule", "demo", "59384", "S-9"][..],
        &["schedule", "demo", "1", "S-1"],
        &["unschedule", "demo", "1"],
        &["cancel", "nowhere", "59384"],
        &["attach", "nothing", "demo", "59384"],
        &["schedule", "--note", "nothing", "S-1"],
        &["schedule", "--patient", "demo", "nobody", "S-1"],
        &["show", "case", "demo", "1"],
        &["list", "cases", "--facility", "nowhere"],
    ] {
        let (status, complaint) = world.complains(refused);
        assert_eq!(status, 1, "{refused:?}");
        assert!(complaint.starts_with("rcpspool: "), "{complaint}");
    }
}

#[test]
fn patients_notes_and_documents_join_by_hand() {
    let world = World::after_demo();
    let session = world.json(&["list", "sessions"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.says(&["schedule", "--patient", "demo", "2345", &session]);
    let cases = world.json(&["list", "cases", "--state", "scheduled"]);
    let case = cases[0]["id"].as_str().unwrap();
    assert!(case.starts_with("desk-"), "{case}");
    assert_eq!(cases[0]["date"], Value::Null);
    let note = world.json(&["list", "notes"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(world.complains(&["attach", &note, "demo", "59384"]).0, 1);
    world.says(&["attach", &note, "demo", case]);
    assert_eq!(world.json(&["list", "documents"])[0]["case"], case);
    assert_eq!(
        world.json(&["show", "case", "demo", case])["documents"][0]["file_name"],
        "HIS_PDFReport.pdf"
    );

    let world = World::after_demo();
    let note = world.json(&["list", "notes"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.says(&["schedule", "--note", &note, &session]);
    assert_eq!(
        world.json(&["list", "cases", "--state", "scheduled"])[0]["ipp"],
        "2345"
    );
}

#[test]
fn a_report_is_made_fetched_and_redelivered() {
    let world = World::after_demo();
    world.says(&["reopen", "demo", "59384"]);
    let folder = world.folder.path();
    let pdf = b"%PDF-1.7\n% a report of our own\n%%EOF\n";
    std::fs::write(folder.join("own.pdf"), pdf).unwrap();
    std::fs::write(
        folder.join("content.json"),
        r#"{"decision":"Autre","pdf":"own.pdf"}"#,
    )
    .unwrap();
    world.says(&["complete", "demo", "59384", "--file", "content.json"]);
    let reports = world.json(&["list", "reports"]);
    assert_eq!(reports[1]["version"], 2);
    assert_eq!(reports[0]["document_id"], reports[1]["document_id"]);
    assert_eq!(reports[1]["batch"], Value::Null);

    let fetched = world.says(&["reports", "fetch", "demo"]);
    let messages = contents(&folder.join(fetched.trim()));
    assert_eq!(messages.len(), 1);
    assert_eq!(field(&messages[0], "MSH", 10), "demo-1-2");
    let sent = field(&messages[0], "OBX", 5).split('^').nth(4).unwrap();
    assert_eq!(STANDARD.decode(sent).unwrap(), pdf);
    let empty = world.says(&["reports", "fetch", "demo"]);
    assert!(contents(&folder.join(empty.trim())).is_empty());

    let first = contents(&world.path("facilities/demo/outbox/reports/first.xml"));
    let again = world.says(&["reports", "redeliver", "demo", "--batch", "1"]);
    assert_eq!(contents(&folder.join(again.trim())), first);
    let all = world.says(&["reports", "redeliver", "demo", "--since", "2020-01-01"]);
    assert_eq!(contents(&folder.join(all.trim())).len(), 2);
    assert_eq!(
        world
            .complains(&["reports", "redeliver", "demo", "--batch", "99"])
            .0,
        1
    );
    assert_eq!(world.complains(&["reports", "fetch", "nowhere"]).0, 1);

    world.says(&["reopen", "demo", "59384"]);
    world.says(&["complete", "demo", "59384", "--pdf", "own.pdf"]);
    std::fs::write(folder.join("content.json"), r#"{"decisions":"Autre"}"#).unwrap();
    assert!(
        world
            .complains(&["complete", "demo", "59384", "--file", "content.json"])
            .1
            .contains("decisions")
    );
    assert_eq!(
        world
            .complains(&["complete", "demo", "59384", "--pdf", "content.json"])
            .0,
        1
    );
}

#[test]
fn refused_files_go_back() {
    let world = World::new("");
    world.drop("facilities/demo", "a.txt", "hello");
    world.drop("facilities/demo", "b.txt", "hello");
    world.drop("facilities/demo", "c.txt", "hello");
    world.says(&["once"]);
    world.says(&["retry", "facilities/demo/error/a.txt"]);
    world.says(&["retry", "spool/facilities/demo/error/b.txt"]);
    assert!(world.path("facilities/demo/inbox/a.txt").exists());
    assert!(world.path("facilities/demo/inbox/b.txt").exists());
    world.says(&["retry", "--reason", "unknown-format"]);
    assert!(world.path("facilities/demo/inbox/c.txt").exists());
    assert_eq!(world.json(&["list", "errors"]), json!([]));
    assert!(
        world
            .says(&["retry", "--reason", "unknown-format"])
            .contains("No file")
    );
    assert_eq!(
        world.complains(&["retry", "--reason", "no-such-reason"]).0,
        1
    );
    assert_eq!(
        world.complains(&["retry", "facilities/demo/error/a.txt"]).0,
        1
    );
    assert_eq!(world.complains(&["retry", "rcpspool.toml"]).0, 1);
}

#[test]
fn a_questionnaire_is_filled_by_hand() {
    let world = World::with_waiting_case();
    let folder = world.folder.path();
    std::fs::write(folder.join("sessions.csv"), SESSIONS).unwrap();
    world.says(&["session", "import", "sessions.csv"]);
    world.says(&["schedule", "--matching"]);
    // As a spreadsheet saves it on Windows.
    let table = b"section;section_code;label;code;value;unit\r\nMotif;42349-1;Motif de la RCP;;Avis sur la r\xe9cidive;\r\n\
        Examen;;Poids;;70,5;kg\r\n;;OMS;;1;\r\n;;Vide;;;\r\n";
    std::fs::write(folder.join("form.csv"), table).unwrap();
    let fill = |file: &str| world.says(&["questionnaire", "demo", "59384", "--file", file]);
    let said = fill("form.csv");
    assert!(said.contains("rcpspool show case demo 59384"), "{said}");
    let case = world.json(&["show", "case", "demo", "59384"]);
    assert_eq!(case["has_questionnaire"], true);
    let sections = &case["questionnaire"]["sections"];
    assert_eq!(sections[0]["code"], "42349-1");
    let reason = &sections[0]["statements"][0];
    assert_eq!(reason["value"], "Avis sur la récidive");
    assert_eq!(reason["by_hand"], "alone");
    let weight = &sections[1]["statements"][0];
    assert_eq!(
        (&weight["value"], &weight["unit"]),
        (&json!("70,5"), &json!("kg"))
    );
    assert_eq!(sections[1]["statements"].as_array().unwrap().len(), 2);
    let shown = world.says(&["show", "case", "demo", "59384"]);
    for line in [
        "  Motif (42349-1)\n",
        "  Examen\n",
        "Poids: 70,5 kg (by hand)\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(fill("form.csv").contains("Nothing changed"));
    let page = world.path("desk/sessions/2025-04-08_RCP-Infertilité/index.html");
    let page = std::fs::read_to_string(page).unwrap();
    for part in [
        "Avis sur la récidive",
        "Saisi à la main",
        "questionnaire.pdf",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let form =
        r#"{"sections":[{"label":"Examen","entries":[{"label":"Poids","value":71,"unit":"kg"}]}]}"#;
    std::fs::write(folder.join("form.json"), form).unwrap();
    fill("form.json");
    let list = r#"[{"label":"Examen","entries":[{"label":"Poids","value":"71","unit":"kg"}]}]"#;
    std::fs::write(folder.join("list.json"), list).unwrap();
    assert!(fill("list.json").contains("Nothing changed"));
    let case = world.json(&["show", "case", "demo", "59384"]);
    assert_eq!(
        case["questionnaire"]["sections"].as_array().unwrap().len(),
        1
    );
    let told = case["history"].to_string();
    assert!(told.contains("questionnaire filled by hand anew"), "{told}");
    for (content, problem) in [
        ("section,label\nS,", "expected at least one entry"),
        ("section,label,value\n,A,1", "line 2, column section"),
        ("{\"sections\":7}", "invalid type"),
        ("{\"section\":[]}", "unknown field"),
    ] {
        std::fs::write(folder.join("bad"), content).unwrap();
        let (status, said) = world.complains(&["questionnaire", "demo", "59384", "--file", "bad"]);
        assert_eq!(status, 1);
        assert!(said.contains(problem), "{content}: {said}");
    }
    // Both versions are in the journal, and it makes the same store again.
    let before = world.json(&["show", "case", "demo", "59384"]);
    world.says(&["rebuild"]);
    assert_eq!(world.json(&["show", "case", "demo", "59384"]), before);
    world.says(&["complete", "demo", "59384", "--decision", "Avis"]);
    let (_, said) = world.complains(&["questionnaire", "demo", "59384", "--file", "form.json"]);
    assert!(said.contains("rcpspool reopen"), "{said}");
    world.assert_verified();
}

/// Whoever mistypes a command reads what to do at the terminal, and leaves nothing to clear up.
#[test]
fn a_refused_command_leaves_no_error() {
    let world = World::with_waiting_case();
    let folder = world.folder.path();
    std::fs::write(folder.join("sessions.csv"), SESSIONS).unwrap();
    world.says(&["session", "import", "sessions.csv"]);
    std::fs::write(folder.join("bad.csv"), "id,label,date\nS-1,RCP,tomorrow\n").unwrap();
    std::fs::write(folder.join("no.pdf"), "hello").unwrap();
    let errors = world.json(&["list", "errors"]);
    for (arguments, advice) in [
        (
            &["schedule", "demo", "59385", "S-1"][..],
            "rcpspool list cases",
        ),
        (
            &["schedule", "demo", "59384", "S-9"],
            "rcpspool list sessions",
        ),
        (
            &["schedule", "--patient", "demo", "1", "S-9"],
            "rcpspool list sessions",
        ),
        (&["unschedule", "demo", "59385"], "rcpspool list cases"),
        (
            &["complete", "demo", "59384", "--decision", "x"],
            "give it again",
        ),
        (
            &["complete", "demo", "59384", "--pdf", "no.pdf"],
            "give it again",
        ),
        (
            &["session", "import", "bad.csv"],
            "import the whole list again",
        ),
        (
            &["reports", "redeliver", "demo", "--batch", "7"],
            "give it again",
        ),
        (&["discard", "--moves", "demo"], "give it again"),
    ] {
        let (status, said) = world.complains(arguments);
        assert_eq!(status, 1, "{arguments:?}: {said}");
        assert!(said.contains(advice), "{arguments:?}: {said}");
        assert!(!said.contains("inbox"), "{arguments:?}: {said}");
        assert_eq!(world.json(&["list", "errors"]), errors, "{arguments:?}");
        for below in ["desk/inbox", "desk/work", "desk/error"] {
            let left = std::fs::read_dir(world.path(below)).unwrap();
            let left: Vec<_> = left
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.starts_with('.'))
                .collect();
            assert!(left.is_empty(), "{arguments:?}: {below}: {left:?}");
        }
    }
    assert_eq!(world.json(&["status"])["folders"][0]["errors"], 0);
    world.assert_verified();
}

#[test]
fn refused_files_are_discarded() {
    let world = World::new("");
    for name in ["a.txt", "b.txt", "c.txt", "a.txt.error.json"] {
        world.drop("facilities/demo", name, "hello");
        let modified =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let file = world.path("facilities/demo/inbox").join(name);
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(modified).unwrap();
    }
    std::fs::create_dir_all(world.path("facilities/demo/inbox/sub")).unwrap();
    world.drop("facilities/demo", "sub/d.txt", "hello");
    world.says(&["once"]);
    for wrong in [
        &["discard"][..],
        &["discard", "facilities/demo/error/a.txt"],
        &[
            "discard",
            "facilities/demo/error/a.txt",
            "--moves",
            "demo",
            "--why",
            "x",
        ],
    ] {
        assert_eq!(world.complains(wrong).0, 2, "{wrong:?}");
    }
    for wrong in [
        &["discard", "facilities/demo/error/no.txt", "--why", "x"][..],
        &["discard", "rcpspool.toml", "--why", "x"],
        &["discard", "facilities/demo/error/a.txt", "--why", " "],
    ] {
        assert_eq!(world.complains(wrong).0, 1, "{wrong:?}");
    }
    assert_eq!(world.json(&["list", "errors"]).as_array().unwrap().len(), 5);
    // As it is listed, as it lies there, by its sidecar, and one below a folder.
    world.says(&[
        "discard",
        "facilities/demo/error/a.txt",
        "spool/facilities/demo/error/b.txt.error.json",
        "facilities/demo/error/sub/d.txt",
        "--why",
        "sent by mistake",
    ]);
    let open = world.json(&["list", "errors"]);
    let names = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["file"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&open),
        [
            "facilities/demo/error/a.txt.error.2.json",
            "facilities/demo/error/c.txt"
        ]
    );
    assert_eq!(open[0]["state"], "open");
    let discarded = world.json(&[
        "list",
        "errors",
        "--facility",
        "demo",
        "--state",
        "discarded",
    ]);
    for row in discarded.as_array().unwrap() {
        assert_eq!(row["reason"], "unknown-format");
        assert_eq!(row["discarded"]["why"], "sent by mistake");
        let file = world.path(row["file"].as_str().unwrap());
        assert!(file.is_file(), "{file:?}");
        let sidecar = format!("{}.error.json", file.to_str().unwrap());
        assert!(Path::new(&sidecar).is_file(), "{sidecar}");
    }
    let done: Vec<String> = names(&discarded)
        .iter()
        .map(|file| file.splitn(5, '/').last().unwrap().to_owned())
        .collect();
    assert_eq!(done, ["a.txt", "b.txt", "sub/d.txt"]);
    let said = world.says(&[
        "list",
        "errors",
        "--facility",
        "demo",
        "--state",
        "discarded",
    ]);
    assert!(said.contains(": sent by mistake\n"), "{said}");
    assert_eq!(world.json(&["status"])["folders"][1]["errors"], 2);
    // What comes under the same name is another file, and all is where the journal says.
    world.drop("facilities/demo", "a.txt", "hello again");
    world.says(&["once"]);
    world.says(&["discard", "facilities/demo/error/a.2.txt", "--why", "again"]);
    world.assert_verified();
    world.says(&["rebuild"]);
    let again = world.json(&[
        "list",
        "errors",
        "--facility",
        "demo",
        "--state",
        "discarded",
    ]);
    assert_eq!(again.as_array().unwrap().len(), 4);
    // Retention removes them from done/, and they are forgotten.
    let done = world.path(names(&again)[0].as_str());
    std::fs::remove_file(done).unwrap();
    let again = world.json(&[
        "list",
        "errors",
        "--facility",
        "demo",
        "--state",
        "discarded",
    ]);
    assert_eq!(again.as_array().unwrap().len(), 3);
}

#[test]
fn what_was_corrected_is_shown_apart() {
    let world = World::new("");
    let sent = |time: &str, phone: &str| {
        format!(
            "MSH|^~\\&|A|B|||{time}||ADT^A28|1|P|2.5\rPID|1||1^^^^PI||MARTIN^JEANNE^^^^^L||19501104|F|||||{phone}^PRN^CP\r"
        )
    };
    world.drop("facilities/demo", "bad.hl7", sent("20250401120000", "061"));
    world.says(&["once"]);
    world.drop(
        "facilities/demo",
        "good.hl7",
        sent("20250401130000", "0612345678"),
    );
    world.says(&["once"]);
    let errors = world.json(&["list", "errors"]);
    assert_eq!(errors[0]["state"], "superseded");
    assert_eq!(errors[0]["superseded"]["file"], "good.hl7");
    assert!(
        errors[0]["next"]
            .as_str()
            .unwrap()
            .contains("rcpspool discard")
    );
    assert_eq!(
        world.json(&["list", "errors", "--state", "open"]),
        json!([])
    );
    let said = world.says(&["list", "errors"]);
    assert!(said.contains(" by good.hl7\n"), "{said}");
    let status = world.json(&["status"]);
    assert_eq!(status["errors"], json!([]));
    assert_eq!(status["superseded"][0]["reason"], "invalid-phone");
    let said = world.says(&["status"]);
    assert!(said.contains("Refused, and corrected since"), "{said}");
    // The former message is not sent again by the way.
    let said = world.says(&["retry", "--reason", "invalid-phone"]);
    assert!(said.contains("No file"), "{said}");
    world.says(&[
        "discard",
        "facilities/demo/error/bad.hl7",
        "--why",
        "corrected",
    ]);
    assert_eq!(world.json(&["status"])["superseded"], json!([]));
}

#[test]
fn a_file_newer_than_the_clock_says_that_it_waits() {
    let world = World::new("");
    let config = world.folder.path().join("rcpspool.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"0s\"", "\"1h\"")).unwrap();
    world.says(&["setup"]);
    world.drop("facilities/demo", "early.hl7", "MSH|");
    let early = world.path("facilities/demo/inbox/early.hl7");
    let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    let file = std::fs::File::options().write(true).open(early).unwrap();
    file.set_modified(tomorrow).unwrap();
    let said = world.says(&["status"]);
    assert!(said.contains("NEWER THAN CLOCK"), "{said}");
    assert!(
        said.contains("demo: 1 file is newer than our clock"),
        "{said}"
    );
}

#[test]
fn the_store_is_made_again_from_the_journal() {
    let world = World::after_demo();
    let known = || {
        [
            "cases",
            "patients",
            "notes",
            "documents",
            "reports",
            "sessions",
        ]
        .map(|what| world.json(&["list", what]))
    };
    let before = known();
    world.says(&["rebuild"]);
    assert_eq!(known(), before);
    std::fs::remove_dir_all(world.path("store")).unwrap();
    assert_eq!(known(), before);
}

#[test]
fn setup_makes_the_folders() {
    let world = World::new("");
    world.says(&["setup"]);
    for folder in [
        "facilities/demo/inbox",
        "facilities/demo/outbox/reports",
        "desk/inbox",
        "documents",
        "journal",
        "store",
    ] {
        assert!(world.path(folder).is_dir(), "{folder}");
    }
    assert!(world.path("facilities/demo/.rcpspool").is_file());
    world.says(&["setup"]);
    world.drop(
        "facilities/demo",
        "a.hl7",
        include_bytes!("../fixtures/demo/2-case.hl7"),
    );
    assert_eq!(world.json(&["once"])["accepted"], 1);
    world.says(&["setup"]);
    assert_eq!(world.json(&["list", "cases"])[0]["id"], "59384");
}

#[test]
fn a_folder_that_lost_its_marker_is_adopted_only_when_asked_for() {
    let world = World::new("");
    let marker = world.path("facilities/demo/.rcpspool");
    world.drop("facilities/demo", "a.txt", "hello");
    assert_eq!(world.json(&["once"])["rejected"], 1);
    for lost in [
        None,
        Some("{"),
        Some("{\"facility\":\"demo\",\"id\":\"0\"}"),
    ] {
        std::fs::remove_file(&marker).unwrap();
        if let Some(text) = lost {
            std::fs::write(&marker, text).unwrap();
        }
        world.drop("facilities/demo", "a.txt", "hello");
        let output = world.run(&["once"]).success().get_output().clone();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains("setup --adopt demo"), "{complaint}");
        assert!(world.path("facilities/demo/inbox/a.txt").exists());
        world.says(&["setup"]);
        assert_eq!(world.json(&["once"])["rejected"], 0, "only when asked for");
        assert!(
            world
                .says(&["setup", "--adopt", "demo"])
                .contains("its own")
        );
        assert_eq!(world.json(&["once"])["rejected"], 1);
    }
    std::fs::write(&marker, "{\"facility\":\"other\",\"id\":\"0\"}").unwrap();
    let (status, complaint) = world.complains(&["setup", "--adopt", "demo"]);
    assert_eq!(status, 1);
    assert!(complaint.contains("the facility other"), "{complaint}");
    assert_eq!(world.complains(&["setup", "--adopt", "nobody"]).0, 1);
}

/// What `list errors` shows is what `retry` takes, wherever the folder lies and whatever the name.
#[test]
fn a_refused_file_is_retried_by_the_path_that_is_listed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    for dir in ["hospital", "spool/facilities/demo"] {
        for absolute in [false, true] {
            let world = World::new("");
            let there = world.folder.path().join(dir);
            let written = if absolute {
                there.as_path()
            } else {
                Path::new(dir)
            };
            let config = format!(
                "[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\ndir = {written:?}\n"
            );
            std::fs::write(world.folder.path().join("rcpspool.toml"), config).unwrap();
            world.says(&["setup"]);
            let names: [&[u8]; 4] = [b"a.txt", b"50%.txt", b"b%20c.txt", b"caf\xe9.txt"];
            for name in names {
                let path = there.join("inbox").join(OsStr::from_bytes(name));
                std::fs::write(path, "hello").unwrap();
            }
            assert_eq!(world.json(&["once"])["rejected"], 4);
            let errors = world.json(&["list", "errors"]);
            for error in errors.as_array().unwrap() {
                world.says(&["retry", error["file"].as_str().unwrap()]);
            }
            assert_eq!(world.json(&["list", "errors"]), json!([]));
            for name in names {
                assert!(there.join("inbox").join(OsStr::from_bytes(name)).exists());
            }
        }
    }
}

#[test]
fn looking_changes_nothing() {
    let world = World::new("");
    for what in [
        "patients",
        "cases",
        "sessions",
        "notes",
        "documents",
        "reports",
        "errors",
    ] {
        assert_eq!(world.json(&["list", what]), json!([]));
        assert!(world.says(&["list", what]).ends_with(".\n"));
    }
    assert!(world.says(&["config", "check"]).contains("settle = \"0s\""));
    assert!(!world.path("").exists());
}

#[test]
fn wrong_usage_is_told_apart() {
    let world = World::new("");
    for arguments in [
        &["no-such-command"][..],
        &["list"],
        &["list", "meetings"],
        &["list", "cases", "--state", "planned"],
        &["list", "patients", "--session", "S-1"],
        &["schedule", "demo", "59384"],
        &["schedule", "--matching", "demo"],
        &["schedule", "--matching", "--note", "x", "S-1"],
        &["complete", "demo", "59384"],
        &["reports", "redeliver", "demo"],
        &["retry"],
    ] {
        assert_eq!(world.complains(arguments).0, 2, "{arguments:?}");
    }
    let (status, complaint) = world.complains(&["--config", "no-such.toml", "list", "cases"]);
    assert_eq!(status, 1);
    assert!(complaint.contains("no-such.toml"), "{complaint}");
    std::fs::write(world.folder.path().join("rcpspool.toml"), "spol = \"x\"\n").unwrap();
    let (status, complaint) = world.complains(&["config", "check"]);
    assert_eq!(status, 1);
    assert!(
        complaint.contains("rcpspool.toml:1") && complaint.contains("spool"),
        "{complaint}"
    );
}

/// A daemon as far as a command can see: it has the spool, and answers on the socket.
#[test]
fn commands_ask_a_running_daemon() {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use rcpspool::config::Config;
    use rcpspool::engine::arrivals::Arrivals;
    use rcpspool::engine::{Engine, OpenStore};
    use rcpspool::spool::fs::Fs;
    use rcpspool::status::control::{self, Request, SweepRequest};

    let world = World::after_demo();
    world.says(&["reopen", "demo", "59384"]);
    let text = format!(
        "spool = {:?}\n[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\n",
        world.path("")
    );
    let config = Arc::new(Config::from_text(&text, Path::new("test.toml")).unwrap());
    let mut engine = Engine::open(Arc::clone(&config), Fs::new(), OpenStore::Sled).unwrap();
    // The environment of this process is not the commands', so the socket is put where they look.
    let name = control::socket_path(&config);
    let socket = world.folder.path().join(name.file_name().unwrap());
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (requests, asked) = channel::<SweepRequest>();
    let store = Arc::clone(engine.store());
    std::thread::spawn(move || {
        let requests = std::sync::Mutex::new(requests);
        let handler = Arc::new(move |request: &Request| match request {
            Request::Sweep | Request::Once => {
                let requests = requests.lock().unwrap().clone();
                control::sweep(&requests, false)
            }
            other => control::answer(other, &*store, &config),
        });
        control::Server::new(listener, handler).and_then(control::Server::serve)
    });
    std::thread::spawn(move || {
        let mut arrivals = Arrivals::default();
        for request in asked {
            let swept = engine.sweep_all(&mut arrivals);
            engine.take_in(swept.ready).unwrap();
            request.done.send(Ok(engine.totals())).unwrap();
        }
    });

    assert_eq!(world.json(&["list", "cases"])[0]["state"], "scheduled");
    world.says(&["complete", "demo", "59384", "--decision", "Beside a daemon"]);
    assert_eq!(
        world.json(&["show", "case", "demo", "59384"])["completion"]["decision"],
        "Beside a daemon"
    );
    let fetched = world.says(&["reports", "fetch", "demo"]);
    assert_eq!(contents(&world.folder.path().join(fetched.trim())).len(), 1);
    assert_eq!(
        world
            .complains(&["complete", "demo", "1", "--decision", "x"])
            .0,
        1
    );
    assert_eq!(world.json(&["list", "errors"]), json!([]));
    let left = std::fs::read_dir(world.path("desk/error")).unwrap();
    assert_eq!(left.count(), 0, "a mistyped command leaves nothing behind");
    world.drop("facilities/demo", "x.txt", "hello");
    assert!(world.json(&["once"])["rejected"].as_u64() >= Some(1));
    assert!(world.complains(&["rebuild"]).1.contains("in use"));
}
