//! Every version of a report leaves in exactly one batch of its own facility, whatever happens in between (interface.md 8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcpspool::spool::claim::Claim;
use serde_json::Value;

use support::{World, session, siu, take_all};

const FACILITIES: usize = 10;
const CASES: usize = 6;
const ROUNDS: usize = 30;

/// The base64 of each report in a batch.
fn contents(batch: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(batch).unwrap();
    let read = roxmltree::Document::parse(&text).unwrap();
    let contents = read.descendants().filter(|it| it.has_tag_name("content"));
    contents.map(|it| it.text().unwrap().to_owned()).collect()
}

/// MSH-10 and TXA-12.3 of a message.
fn ids(content: &str) -> (String, String) {
    let message = String::from_utf8(STANDARD.decode(content).unwrap()).unwrap();
    let control_id = message.split('|').nth(9).unwrap().to_owned();
    let document = message.split("\rTXA|").nth(1).unwrap();
    let document = document.split('|').nth(11).unwrap();
    (control_id, document.split('^').nth(2).unwrap().to_owned())
}

#[test]
fn versions_rise_and_each_leaves_once_in_order() {
    let world = World::with("[reports]\nevery = \"1m\"");
    let mut engine = world.open();
    let demo = "facilities/demo";
    world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    for case in ["C1", "C2"] {
        let message = siu(
            "S12",
            case,
            &format!("P-{case}"),
            "20250401120000",
            "20250408",
        );
        world.drop(demo, &format!("{case}.hl7"), message);
    }
    take_all(&mut engine).unwrap();
    let mut number = 0;
    let mut desk = |engine: &mut _, command: &str, case: &str, decision: &str| {
        number += 1;
        let mut text = serde_json::json!({"command": command, "facility": "demo", "case": case});
        if command == "complete" {
            text["decision"] = decision.into();
            text["time"] = format!("2025-04-08T18:{number:02}:00+02:00").into();
        }
        world.drop("desk", &format!("{number:02}.json"), text.to_string());
        take_all(engine).unwrap()
    };
    assert_eq!(desk(&mut engine, "complete", "C1", "one").updated, 1);
    desk(&mut engine, "complete", "C2", "one");
    desk(&mut engine, "complete", "C1", "two");
    world.drop(demo, "first.retrieve", "");
    take_all(&mut engine).unwrap();
    assert_eq!(desk(&mut engine, "complete", "C1", "two").duplicate, 1);
    desk(&mut engine, "reopen", "C1", "");
    desk(&mut engine, "complete", "C1", "two");
    // The timer finds nothing new; a request is answered with nothing.
    engine.write_due_batches().unwrap();
    world.drop(demo, "second.retrieve", "");
    take_all(&mut engine).unwrap();
    desk(&mut engine, "reopen", "C1", "");
    desk(&mut engine, "complete", "C1", "three");
    engine.write_due_batches().unwrap();
    engine.write_due_batches().unwrap();

    let reports = world.path("facilities/demo/outbox/reports");
    let sent = |name: &str| contents(&reports.join(name));
    let control_ids = |contents: &[String]| -> Vec<String> {
        contents.iter().map(|content| ids(content).0).collect()
    };
    let (first, second) = (sent("first.xml"), sent("second.xml"));
    assert_eq!(control_ids(&first), ["demo-1-1", "demo-2-1", "demo-1-2"]);
    assert!(second.is_empty());
    let timed: Vec<String> = world
        .names("facilities/demo/outbox/reports")
        .into_iter()
        .filter(|name| name.starts_with("reports_demo_"))
        .collect();
    assert_eq!(timed.len(), 1, "{timed:?}");
    let third = sent(&timed[0]);
    assert_eq!(control_ids(&third), ["demo-1-3"]);
    let documents: BTreeSet<String> = first.iter().chain(&third).map(|it| ids(it).1).collect();
    assert_eq!(documents.len(), 2, "one id for all versions of a report");

    let redelivered = |engine: &mut _, which: Value| {
        let before: BTreeSet<String> = world
            .names("facilities/demo/outbox/reports")
            .into_iter()
            .collect();
        let mut command = serde_json::json!({"command": "redeliver", "facility": "demo"});
        command
            .as_object_mut()
            .unwrap()
            .extend(which.as_object().unwrap().clone());
        world.drop(
            "desk",
            &format!("again-{}.json", before.len()),
            command.to_string(),
        );
        take_all(engine).unwrap();
        let after = world.names("facilities/demo/outbox/reports").into_iter();
        let new: Vec<String> = after.filter(|name| !before.contains(name)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        contents(&reports.join(&new[0]))
    };
    assert_eq!(
        redelivered(&mut engine, serde_json::json!({"batch": 1})),
        first
    );
    let all = redelivered(
        &mut engine,
        serde_json::json!({"since": "2020-01-01T00:00:00Z"}),
    );
    assert_eq!(
        all,
        [first, third].concat(),
        "the same bytes, in the same order"
    );
    world.drop(demo, "third.retrieve", "");
    take_all(&mut engine).unwrap();
    assert!(sent("third.xml").is_empty(), "the cursor stayed");
}

#[test]
fn ten_facilities_killed_at_random_get_each_version_once() {
    let spool = Killed::new();
    let mut setting = vec![(
        "desk".to_owned(),
        "s.csv".to_owned(),
        session("S-1", "2025-04-08", "PATHWAY-1"),
    )];
    for facility in 0..FACILITIES {
        let messages: String = (0..CASES)
            .map(|case| {
                siu(
                    "S12",
                    &format!("C{case}"),
                    &format!("P{case}"),
                    "20250401120000",
                    "20250408",
                )
            })
            .collect();
        setting.push((place(facility), "cases.hl7".to_owned(), messages));
    }
    spool.drop(&setting);
    // A kill falls within the time that the last run took which was not killed, however fast the machine is.
    let mut length = spool.once();
    let mut kills = 0;
    for round in 0..ROUNDS {
        let mut files = Vec::new();
        for number in 0..4 {
            let (facility, case) = (
                random(&("facility", round, number), FACILITIES),
                random(&("case", round, number), CASES),
            );
            let command = format!(
                r#"{{"command":"complete","facility":"f{facility}","case":"C{case}","decision":"round {round}, {number}"}}"#
            );
            files.push((
                "desk".to_owned(),
                format!("{round:02}-{number}.json"),
                command,
            ));
            let facility = random(&("fetch", round, number), FACILITIES);
            files.push((
                place(facility),
                format!("{round:02}-{number}.retrieve"),
                String::new(),
            ));
        }
        spool.drop(&files);
        let after = length.mul_f64(random(&("kill", round), 1000) as f64 / 1000.0);
        match spool.run_until(after) {
            Run::Killed => kills += 1,
            Run::Ended(took) => length = took,
        }
    }
    let last: Vec<_> = (0..FACILITIES)
        .map(|it| (place(it), "last.retrieve".to_owned(), String::new()))
        .collect();
    spool.once();
    spool.drop(&last);
    spool.once();

    let mut sent: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
    let mut batches = 0;
    for facility in 0..FACILITIES {
        for entry in std::fs::read_dir(spool.path(&place(facility)).join("outbox/reports")).unwrap()
        {
            let path = entry.unwrap().path();
            batches += 1;
            for content in contents(&path) {
                let (control_id, document) = ids(&content);
                let (owner, version) = (
                    control_id.split('-').next().unwrap(),
                    control_id.rsplit('-').next().unwrap(),
                );
                assert_eq!(owner, format!("f{facility}"), "{}", path.display());
                let before = sent.insert((document, version.to_owned()), path.clone());
                assert_eq!(
                    before,
                    None,
                    "{control_id} left twice, also in {}",
                    path.display()
                );
            }
        }
    }
    let reports = spool.list("reports");
    let known: BTreeSet<(String, String)> = reports
        .iter()
        .map(|row| {
            (
                row["document_id"].as_str().unwrap().to_owned(),
                row["version"].to_string(),
            )
        })
        .collect();
    assert_eq!(
        sent.keys().cloned().collect::<BTreeSet<_>>(),
        known,
        "what left is what there is"
    );
    assert_eq!(
        known.len(),
        ROUNDS * 4,
        "each decision is another: each gives a version"
    );
    for row in &reports {
        let later = reports
            .iter()
            .filter(|it| it["document_id"] == row["document_id"]);
        let mut later = later.filter(|it| it["version"].as_u64() > row["version"].as_u64());
        assert!(
            later.all(|it| it["batch"].as_u64() >= row["batch"].as_u64()),
            "{row}"
        );
    }
    println!("{kills} kills, {batches} batches, {} versions", known.len());
    assert!(kills > ROUNDS / 4, "{kills} kills are too few");
    support::figure("kills of ten facilities", kills as u64);
}

fn place(facility: usize) -> String {
    format!("facilities/f{facility}")
}

/// A number below `limit`, always the same for the same seed.
fn random(seed: &impl Hash, limit: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    usize::try_from(hasher.finish() % limit as u64).unwrap()
}

/// A spool on which the program itself works.
struct Killed {
    folder: tempfile::TempDir,
}

/// How a run of `once` ended.
enum Run {
    Killed,
    Ended(Duration),
}

impl Killed {
    fn new() -> Self {
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let killed = Self { folder };
        let mut text = format!(
            "spool = {:?}\n[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[reports]\nevery = \"off\"\n",
            killed.path("")
        );
        for facility in 0..FACILITIES {
            text.push_str(&format!("[[facility]]\nid = \"f{facility}\"\n"));
        }
        std::fs::write(killed.folder.path().join("rcpspool.toml"), text).unwrap();
        killed
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("spool").join(below)
    }

    fn drop(&self, files: &[(String, String, String)]) {
        for (place, name, content) in files {
            let inbox = self.path(place).join("inbox");
            std::fs::create_dir_all(&inbox).unwrap();
            std::fs::write(inbox.join(name), content).unwrap();
        }
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .arg("--config")
            .arg(self.folder.path().join("rcpspool.toml"));
        command
    }

    /// Runs `once` to its end. How long that took.
    fn once(&self) -> Duration {
        let start = Instant::now();
        let ended = self.program().arg("once").output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        start.elapsed()
    }

    fn list(&self, what: &str) -> Vec<Value> {
        let ended = self
            .program()
            .args(["list", what, "--json"])
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        serde_json::from_slice(&ended.stdout).unwrap()
    }

    /// Starts to take in what waits, and kills it at that moment if it has not ended.
    fn run_until(&self, then: Duration) -> Run {
        let start = Instant::now();
        let mut command = self.program();
        let mut child = command
            .arg("once")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while (start.elapsed() < then || self.is_suspected()) && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_some() {
            return Run::Ended(start.elapsed());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        Run::Killed
    }

    /// Whether a file is being read that one more kill would be blamed on (`reader-crashed`).
    fn is_suspected(&self) -> bool {
        let places = (0..FACILITIES).map(place).chain(["desk".to_owned()]);
        let works =
            places.filter_map(|place| std::fs::read_dir(self.path(&place).join("work")).ok());
        let mut claims = works
            .flatten()
            .filter_map(|entry| Claim::parse(&entry.ok()?.file_name()));
        claims.any(|claim| claim.attempts >= 2)
    }
}
