//! What the status, the listings and the log say: all that waits, nothing that somebody planted, and each thing once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::site::{Site, give, mode, start_without_root};
use support::{patient, session, siu};

const DEMO: &str = "id = \"demo\"";
const OTHER: &str = "id = \"other\"";

fn text(site: &Site, arguments: &[&str]) -> String {
    let output = site.command(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said + &String::from_utf8(output.stderr).unwrap()
}

fn json(site: &Site, arguments: &[&str]) -> Value {
    let output = site.command(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{arguments:?}: {error}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// The part of the status that is of this facility.
fn of(site: &Site, facility: &str) -> Value {
    let status = json(site, &["status", "--json"]);
    let folders = status["folders"].as_array().unwrap();
    folders
        .iter()
        .find(|it| it["id"] == facility)
        .unwrap()
        .clone()
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

#[test]
fn a_sidecar_that_somebody_uploads_says_nothing() {
    let mut site = Site::start(
        tempfile::tempdir().unwrap(),
        "min_free = \"0B\"",
        &[DEMO, OTHER],
    );
    let planted = r#"{"facility":"other","reason":"invalid-phone","message":"\u001b[2Jplanted","time":"2999-01-01T00:00:00Z","next":"planted"}"#;
    site.send("demo", "x.hl7.error.json", planted);
    site.receipt("demo", "x.hl7.error.json");
    // Nobody reads what lies there under such a name, however large it is.
    let error = site.path("facilities/demo/error");
    fs::write(error.join("y.hl7.error.json"), planted).unwrap();
    let sparse = fs::File::create(error.join("z.error.json")).unwrap();
    sparse.set_len(3 << 30).unwrap();
    site.forget_peak();

    let listed = json(&site, &["list", "errors", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed:#}");
    assert_eq!(listed[0]["facility"], "demo");
    assert_eq!(listed[0]["reason"], "unknown-format");
    assert_eq!(listed[0]["file"], "facilities/demo/error/x.hl7.error.json");
    assert_eq!(
        json(&site, &["list", "errors", "--facility", "other", "--json"]),
        serde_json::json!([])
    );
    site.wait_for("the status", || of(&site, "demo")["errors"] == 1);
    let status = json(&site, &["status", "--json"]);
    assert_eq!(status["errors"].as_array().unwrap().len(), 1);
    assert_eq!(status["errors"][0]["facility"], "demo");
    assert!(!status.to_string().contains("planted"));
    let page = site.path("status/index.html");
    site.wait_for("the page", || {
        fs::read_to_string(&page).is_ok_and(|it| it.contains("unknown-format"))
    });
    assert!(!fs::read_to_string(&page).unwrap().contains("planted"));
    assert!(site.peak() < 500, "{} MiB", site.peak());

    // It is retried as any other file.
    text(&site, &["retry", "--reason", "unknown-format"]);
    let again = site.path("facilities/demo/outbox/acks/x.hl7.error.json.2.outcome.json");
    let refused_again = || {
        let listed = json(&site, &["list", "errors", "--json"]);
        listed.as_array().unwrap().len() == 1 && listed[0]["time"].as_str().is_some()
    };
    site.wait_for("it to be refused again", || {
        let receipts = fs::read_dir(again.parent().unwrap()).unwrap().count();
        receipts >= 2 && refused_again()
    });

    // Whoever removes it by hand sees it no more, and soon it counts no more.
    let listed = json(&site, &["list", "errors", "--json"]);
    fs::remove_file(site.path(listed[0]["file"].as_str().unwrap())).unwrap();
    assert_eq!(
        json(&site, &["list", "errors", "--json"]),
        serde_json::json!([])
    );
    assert_eq!(
        json(&site, &["status", "--json"])["errors"],
        serde_json::json!([])
    );
    site.wait_for("the count", || of(&site, "demo")["errors"] == 0);
    site.end();
}

/// Every character that must not be written as it came.
fn hidden() -> Vec<char> {
    let ranges = [
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x61c, 0x61c),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
    ];
    let codes = ranges.iter().flat_map(|(first, last)| *first..=*last);
    codes.map(|code| char::from_u32(code).unwrap()).collect()
}

fn assert_nothing_hidden(what: &str, text: &str) {
    for character in hidden().into_iter().filter(|it| *it != '\n') {
        assert!(
            !text.contains(character),
            "{what} has {}: {text:?}",
            character.escape_unicode()
        );
    }
}

/// A sender hides characters wherever it can; nobody who looks meets one of them.
#[test]
fn nothing_hidden_reaches_a_terminal_a_page_or_a_log() {
    let site = Site::start(
        tempfile::tempdir().unwrap(),
        "min_free = \"0B\"\n[status]\nnames = true",
        &[DEMO],
    );
    // In HL7, what would end a segment is escaped; in a file's name, NUL and the slash cannot be.
    let in_hl7: String = hidden()
        .into_iter()
        .map(|it| match u32::from(it) {
            code if code < 0x80 => format!("\\X{code:02X}\\"),
            _ => it.to_string(),
        })
        .collect();
    let in_names: String = hidden().into_iter().filter(|it| *it != '\0').collect();
    let in_json = |text: &str| serde_json::to_string(text).unwrap();

    let label: String = hidden()
        .into_iter()
        .filter(|it| u32::from(*it) >= 0xa0)
        .collect();
    let sessions =
        session("S-1", "2099-04-08", "PATHWAY-1").replace("RCP S-1", &format!("RCP{label}"));
    fs::write(site.path("desk/inbox/sessions.csv"), sessions).unwrap();
    site.wait_for("the session", || {
        json(&site, &["list", "sessions", "--json"])
            .as_array()
            .unwrap()
            .len()
            == 1
    });
    let names: Vec<String> = in_names
        .chars()
        .collect::<Vec<char>>()
        .chunks(40)
        .map(|some| some.iter().collect())
        .collect();
    let with = |message: String| message.replace("MARTIN", &format!("MARTIN{in_hl7}"));
    let good = with(siu("S12", "C-1", "1", "20250401120000", "20990408"));
    site.send("demo", &format!("good{}.hl7", names[0]), &good);
    let waits = with(siu("S12", "C-2", "2", "20250401120000", "20980408"));
    site.send("demo", &format!("waits{}.hl7", names[1]), &waits);
    let bad = with(siu(
        "S12",
        &format!("C-3{in_hl7}"),
        "3",
        "20250401120000",
        "20990408",
    ));
    let bad = bad.replace("19501104", &format!("1950{in_hl7}"));
    for (number, name) in names.iter().enumerate() {
        site.send("demo", &format!("bad{number}{name}.hl7"), &bad);
    }
    site.wait_for("all files", || {
        json(&site, &["list", "errors", "--json"])
            .as_array()
            .unwrap()
            .len()
            == names.len()
            && json(&site, &["list", "cases", "--json"])
                .as_array()
                .unwrap()
                .len()
                == 2
    });
    let decision = site.folder.path().join("decision.json");
    fs::write(&decision, format!("{{\"decision\":{}}}", in_json(&label))).unwrap();
    text(
        &site,
        &[
            "complete",
            "demo",
            "C-1",
            "--file",
            decision.to_str().unwrap(),
            "--force",
        ],
    );

    let checked = site.folder.path().join(format!("check{}.hl7", names[2]));
    fs::write(&checked, &bad).unwrap();
    let checked = checked.to_str().unwrap().to_owned();
    let mut outputs: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["show", "case", "demo", "C-1"],
        vec!["show", "patient", "demo", "1"],
        vec!["show", "patient", "demo", "2"],
        vec!["show", "session", "S-1"],
        vec!["check", &checked],
    ];
    for what in [
        "patients",
        "cases",
        "sessions",
        "notes",
        "documents",
        "reports",
        "errors",
    ] {
        outputs.push(vec!["list", what]);
    }
    for arguments in &outputs {
        assert_nothing_hidden(&arguments.join(" "), &text(&site, arguments));
        let with_json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = text(&site, &with_json);
        assert_nothing_hidden(&with_json.join(" "), &output);
        assert!(serde_json::from_str::<Value>(&output).is_ok());
    }
    // Escaped JSON is exact.
    let patients = json(&site, &["list", "patients", "--json"]);
    assert!(
        patients[0]["birth_name"]
            .as_str()
            .unwrap()
            .contains('\u{202e}'),
        "{patients}"
    );
    // A sentence on the standard error.
    let wrong = format!("no{label}where");
    let output = site
        .command(&["show", "case", &wrong, "1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(sentence.contains("where"), "{sentence}");
    assert_nothing_hidden("stderr", &sentence);

    let page = site.path("status/index.html");
    site.wait_for("the page", || {
        fs::read_to_string(&page).is_ok_and(|it| it.contains("u{202e}"))
    });
    assert_nothing_hidden("the page", &fs::read_to_string(&page).unwrap());
    let status = fs::read_to_string(site.path("status/status.json")).unwrap();
    assert_nothing_hidden("status.json", &status);
    let sessions = site.path("desk/sessions");
    let mut pages = 0;
    site.wait_for("the session's page", || {
        pages = 0;
        walkdir::WalkDir::new(&sessions)
            .into_iter()
            .flatten()
            .any(|entry| {
                let read = fs::read_to_string(entry.path()).unwrap_or_default();
                entry.file_name() == "index.html" && read.contains("u{202e}") && {
                    assert_nothing_hidden("the session's page", &read);
                    true
                }
            })
    });
    assert_nothing_hidden("the log", &site.log());
}

/// Folders that an uploader made with too few rights are shown, counted, and told to the facility, wherever they lie.
#[test]
fn a_folder_that_cannot_be_used_is_told() {
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO, OTHER]);
    let inbox = site.inbox("demo");
    let make = |name: &str| {
        let folder = inbox.join(name);
        fs::create_dir_all(&folder).unwrap();
        let ipp = name.replace('\u{202e}', "");
        fs::write(folder.join("x.hl7"), adt(&ipp)).unwrap();
        give(&folder.join("x.hl7"));
        give(&folder);
        folder
    };
    fs::create_dir_all(inbox.join("a/b")).unwrap();
    let cases = [
        ("closed", 0o000, "cannot-enter"),
        ("a/b/unlisted", 0o300, "cannot-list"),
        ("a/b/unentered", 0o600, "cannot-enter"),
        ("a/fixed\u{202e}", 0o500, "cannot-move-out"),
    ];
    for (name, bits, _) in cases {
        mode(&make(name), bits);
    }
    // What else comes is not held up.
    site.send("demo", "good.hl7", adt("1"));
    assert!(site.receipt("demo", "good.hl7").contains("MSA|AA"));
    // What was on its way while the status was made is counted with what waits.
    site.wait_for("the status", || {
        let demo = of(&site, "demo");
        demo["blocked_folders"] == 4 && demo["backlog"] == 1
    });
    let demo = of(&site, "demo");
    assert_eq!(demo["held_back"], 1, "{demo:#}");
    let said = text(&site, &["status"]);
    for sentence in [
        "cannot be entered",
        "cannot be listed",
        "cannot be moved out",
        "chmod",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    let acks = site.path("facilities/demo/outbox/acks");
    let notice = |name: &str| -> Option<Value> {
        let name = Path::new(name).file_name().unwrap().to_str().unwrap();
        let name = name.replace('\u{202e}', "_");
        let read = fs::read(acks.join(format!("{name}.notice.json"))).ok()?;
        Some(serde_json::from_slice(&read).unwrap())
    };
    for (name, _, reason) in cases {
        site.wait_for(name, || notice(name).is_some());
        let notice = notice(name).unwrap();
        assert_eq!(notice["reason"], reason);
        assert_eq!(notice["facility"], "demo");
        assert_eq!(notice["folder"], name);
        for key in ["message", "next", "time"] {
            assert!(
                notice[key].as_str().is_some_and(|it| !it.is_empty()),
                "{notice}"
            );
        }
    }
    site.wait_for("metrics and page", || {
        let metrics = fs::read_to_string(site.path("status/rcpspool.prom")).unwrap();
        let page = fs::read_to_string(site.path("status/index.html")).unwrap();
        metrics.contains("rcpspool_blocked_folders{facility=\"demo\"} 4")
            && metrics.contains("rcpspool_blocked_folders{facility=\"other\"} 0")
            && page.contains("cannot be entered")
            && !page.contains("unlisted")
    });
    // Each was written once, and is not written again, not even by another start.
    fs::remove_file(acks.join("closed.notice.json")).unwrap();
    site.end();
    site.run();
    site.wait_for("the status", || of(&site, "demo")["blocked_folders"] == 4);
    sleep(Duration::from_millis(2500));
    assert_eq!(notice("closed"), None);
    let notices = fs::read_dir(&acks).unwrap().flatten();
    let notices = notices.filter(|it| it.file_name().to_string_lossy().contains("notice"));
    assert_eq!(notices.count(), 3);
    let lines = site.log().matches("cannot be listed").count();
    assert_eq!(lines, 2, "once in each run: {}", site.log());

    // Another problem takes the place of the first, and what is mended is withdrawn.
    mode(&inbox.join("closed"), 0o500);
    site.wait_for("the other notice", || {
        notice("closed").is_some_and(|it| it["reason"] == "cannot-move-out")
    });
    for (name, _, _) in cases {
        mode(&inbox.join(name), 0o770);
        assert!(
            site.receipt("demo", &format!("{name}/x.hl7"))
                .contains("MSA|AA"),
            "{name}"
        );
    }
    site.wait_for("the end", || of(&site, "demo")["blocked_folders"] == 0);
    for (name, _, _) in cases {
        site.wait_for(name, || notice(name).is_none());
    }
    site.wait_for("the log", || site.log().contains("goes on again"));
    site.end();
    site.assert_verified();
}

/// `once` tells it too, and an inbox that nothing can be moved out of is a folder as any other.
#[test]
fn once_tells_what_it_cannot_take() {
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO]);
    site.end();
    let inbox = site.inbox("demo");
    fs::write(inbox.join("x.hl7"), adt("1")).unwrap();
    let folder = inbox.join("closed");
    fs::create_dir(&folder).unwrap();
    give(&folder);
    mode(&folder, 0o000);
    let mut said = String::new();
    for _ in 0..3 {
        said = text(&site, &["once"]);
    }
    assert!(
        said.contains("demo: a folder of the inbox cannot be entered"),
        "{said}"
    );
    assert!(!said.contains("closed"), "{said}");
    assert_eq!(of(&site, "demo")["blocked_folders"], 1);
    mode(&folder, 0o700);
}

/// Whatever holds files back, they are counted as long as they wait, and somebody who looks is told why.
#[test]
fn files_that_wait_are_counted() {
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO, OTHER]);
    let done = site.path("facilities/demo/done");
    mode(&done, 0o500);
    for number in 0..5 {
        site.send("demo", &format!("{number}.hl7"), adt(&number.to_string()));
    }
    let waiting = |key: &str| of(&site, "demo")[key].as_u64().unwrap();
    site.wait_for("the problem", || waiting("held_back") == 5);
    assert_eq!(waiting("backlog") + waiting("in_hand"), 5);
    site.send("demo", "later.hl7", adt("later"));
    site.wait_for("the later one", || waiting("held_back") == 6);
    assert_eq!(waiting("backlog") + waiting("in_hand"), 6);
    let said = text(&site, &["status"]);
    assert!(
        said.contains("demo") && said.contains("Permission denied"),
        "{said}"
    );
    site.send("other", "o.hl7", adt("1"));
    assert!(site.receipt("other", "o.hl7").contains("MSA|AA"));
    assert_eq!(of(&site, "other")["held_back"], 0);
    mode(&done, 0o750);
    assert!(site.receipt("demo", "later.hl7").contains("MSA|AA"));
    site.wait_for("the end", || {
        ["backlog", "in_hand", "held_back", "settling"]
            .iter()
            .all(|key| waiting(key) == 0)
    });

    // What still settles waits too.
    let open = fs::File::create(site.inbox("demo").join("written.hl7")).unwrap();
    let is_counted = (0..500).any(|_| {
        std::io::Write::write_all(&mut &open, b"MSH|").unwrap();
        sleep(Duration::from_millis(20));
        let demo = of(&site, "demo");
        demo["settling"].as_u64().unwrap() + demo["in_hand"].as_u64().unwrap() == 1
    });
    assert!(is_counted, "{:#}", of(&site, "demo"));
    drop(open);
    site.end();
    site.assert_verified();
}

/// What is mended is told no more, and what was at fault is named, not the sender.
#[test]
fn what_is_mended_is_told_no_more() {
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO, OTHER]);
    let station = site.path("facilities/demo");
    let holds = || {
        let holds = of(&site, "demo")["holds"].clone();
        holds.as_array().unwrap().clone()
    };
    for (round, folder) in ["work", "error", "outbox/acks"].into_iter().enumerate() {
        mode(&station.join(folder), 0o555);
        let (before, after) = (format!("before-{round}.hl7"), format!("after-{round}.hl7"));
        site.send("demo", &before, adt("1"));
        // One that is refused goes where it cannot.
        site.send("demo", &format!("refused-{round}.hl7"), "MSH|");
        site.wait_for(folder, || !holds().is_empty());
        let told = holds();
        let cause = told[0]["cause"].as_str().unwrap();
        assert!(
            cause.starts_with(&format!("{folder}: cannot ")) && !cause.contains(" to: "),
            "{told:#?}"
        );
        assert!(!told[0]["next"].as_str().unwrap().contains("sender"));
        assert!(!text(&site, &["status"]).contains("some files of demo"));

        mode(&station.join(folder), 0o750);
        let mended = Instant::now();
        assert!(site.receipt("demo", &before).contains("MSA|AA"));
        site.send("demo", &after, adt("2"));
        assert!(site.receipt("demo", &after).contains("MSA|A"));
        site.wait_for("the end of it", || holds().is_empty());
        assert!(
            mended.elapsed() < Duration::from_secs(15),
            "{folder}: {:?}",
            mended.elapsed()
        );
        assert_eq!(of(&site, "demo")["held_back"], 0);
        assert!(of(&site, "demo")["waits"].is_null());
        assert_eq!(of(&site, "demo")["blocked_folders"], 0);
    }
    site.end();
    site.assert_verified();
}

/// A single file that its own folder holds back is told of for as long as it is there, and no longer, though nothing
/// else comes.
#[test]
fn a_file_that_goes_away_is_told_of_no_more() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO]);
    // In a folder with the sticky bit, we may write and yet not move what is others'.
    let folder = site.inbox("demo").join("sticky");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("x.hl7");
    fs::write(&file, adt("1")).unwrap();
    mode(&folder, 0o1777);
    let holds = || {
        let holds = of(&site, "demo")["holds"].clone();
        holds.as_array().unwrap().clone()
    };
    site.wait_for("the file", || !holds().is_empty());
    assert_eq!(holds()[0]["held"], "somefiles");
    let cause = holds()[0]["cause"].as_str().unwrap().to_owned();
    assert!(
        cause.contains("a file in the inbox cannot be taken: "),
        "{cause}"
    );
    sleep(Duration::from_secs(3));
    assert!(!holds().is_empty(), "it is told as long as it is so");
    fs::remove_file(&file).unwrap();
    let gone = Instant::now();
    site.wait_for("the end of it", || holds().is_empty());
    assert!(
        gone.elapsed() < Duration::from_secs(15),
        "{:?}",
        gone.elapsed()
    );
    site.end();
}

/// What is tried again and again is logged once, and once more when it is over.
#[test]
fn one_cause_is_one_line_of_the_log() {
    let mut site = start_without_root("min_free = \"0B\"", &[DEMO, OTHER]);
    let acks = site.path("facilities/demo/outbox/acks");
    let done = site.path("facilities/other/done");
    mode(&acks, 0o500);
    mode(&done, 0o500);
    let bad = |site: &Site| -> Vec<String> {
        let log = site.log();
        let lines = log
            .lines()
            .filter(|it| it.contains("ERROR") || it.contains("WARN"));
        lines.map(str::to_owned).collect()
    };
    let send = |number: usize| {
        let (name, content) = (format!("{number}.hl7"), adt(&number.to_string()));
        site.send("demo", &name, &content);
        site.send("other", &name, &content);
    };
    send(0);
    site.wait_for("both causes", || {
        let lines = bad(&site);
        let has = |place: &str| lines.iter().any(|line| line.contains(place));
        has("demo: ") && has("other: ")
    });
    for number in 1..20 {
        send(number);
        sleep(Duration::from_millis(200));
    }
    assert!((2..=4).contains(&bad(&site).len()), "{:#?}", bad(&site));
    mode(&acks, 0o750);
    mode(&done, 0o750);
    site.wait_for("the end", || {
        let log = site.log();
        log.contains("demo: moving files into place goes on again")
            && log.contains("other: taking files in goes on again")
    });
    sleep(Duration::from_millis(1500));
    assert!(bad(&site).len() <= 10, "{:#?}", bad(&site));
    assert!(site.receipt("demo", "19.hl7").contains("MSA|AA"));
    assert!(site.receipt("other", "19.hl7").contains("MSA|AA"));
    site.end();
    site.assert_verified();
}
