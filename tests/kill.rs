//! The program itself, killed with SIGKILL at random moments and started again, until everything is taken in: then
//! nothing is lost and nothing doubled (design.md, "What must never break").
//!
//! `ROUNDS` in the environment is how many kills there are; a run that ends between two kills is checked, and the next
//! kills hit a new spool. The first spool lies on the disk that the tests are built on, the others in memory where
//! there is a file system in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcpspool::config::Config;
use rcpspool::engine::{Engine, OpenStore};
use rcpspool::listing::{self, ShowSubject};
use rcpspool::model::identifiers::{CaseId, FacilityId};
use rcpspool::spool::claim::Claim;
use rcpspool::spool::fs::Fs;
use serde_json::Value;

use support::{document, patient, session, siu};

const SEED: u64 = 20_190_408;
const PLACES: [&str; 3] = ["desk", "facilities/north", "facilities/south"];
const LISTINGS: [&str; 7] = [
    "patients",
    "cases",
    "sessions",
    "notes",
    "documents",
    "reports",
    "errors",
];
/// Cases of each facility.
const CASES: usize = 60;
/// The days of the sessions. They lie in a year of their own, so that times of processing can be told from them.
const DAYS: [&str; 3] = ["20190408", "20190415", "20190422"];

#[test]
fn kill_9_at_any_moment_loses_nothing_and_doubles_nothing() {
    let rounds = rounds();
    let on_disk = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let in_memory = PathBuf::from("/dev/shm");
    let quick = if in_memory.is_dir() {
        in_memory
    } else {
        on_disk.clone()
    };

    let (slow_lengths, expected) = undisturbed(&on_disk);
    let (quick_lengths, again) = undisturbed(&quick);
    expected.assert_same(&again, "two undisturbed runs");
    assert!(
        expected.versions >= 40 && expected.refused >= 30,
        "the run covers too little: {expected:?}"
    );

    let mut kills = 0;
    let mut spools = 0;
    let (mut lost, mut doubled) = (0, 0);
    while kills < rounds {
        let (parent, lengths) = match spools {
            0 => (&on_disk, &slow_lengths),
            _ => (&quick, &quick_lengths),
        };
        let world = World::new(parent);
        let before = kills;
        for (stage, length) in stages().iter().zip(lengths) {
            world.drop(stage);
            // Once the kills are used up, the run goes to its end.
            while kills < rounds && world.is_killed(length.mul_f64(fraction(kills))) {
                kills += 1;
            }
            world.once();
        }
        let left = world.left();
        lost += left.lost;
        doubled += left.doubled;
        expected.assert_same(
            &left,
            &format!("spool {spools}, after kills {} to {kills}", before + 1),
        );
        spools += 1;
    }
    let files: usize = stages().iter().map(Vec::len).sum();
    println!(
        "{kills} kills, {files} files in each of {spools} spools, lost {lost}, doubled {doubled}"
    );
    support::figure("kills", kills as u64);
}

fn rounds() -> usize {
    match std::env::var("ROUNDS") {
        Ok(text) => text.parse().expect("ROUNDS is a number of kills"),
        Err(_) if std::env::var_os("CI").is_some() => 20,
        Err(_) => 40,
    }
}

/// A number from 0 to 1 for each kill, always the same.
fn fraction(kill: usize) -> f64 {
    let mut hasher = DefaultHasher::new();
    (SEED, kill).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// How long each stage takes if nobody disturbs it, and what it leaves.
fn undisturbed(parent: &Path) -> (Vec<Duration>, Left) {
    let world = World::new(parent);
    let lengths = stages()
        .iter()
        .map(|stage| {
            world.drop(stage);
            let start = Instant::now();
            world.once();
            start.elapsed()
        })
        .collect();
    (lengths, world.left())
}

/// A file to be dropped: where, under which name, and its content.
type Dropped = (&'static str, String, Vec<u8>);

/// The files, in stages: each is dropped once the one before is taken in. In a stage, files arrive in this order.
fn stages() -> Vec<Vec<Dropped>> {
    vec![arrivals(), changes(), reports()]
}

/// Sessions, and what facilities send first.
fn arrivals() -> Vec<Dropped> {
    let mut files: Files = Files::default();
    files.add(
        "desk",
        "sessions-1.csv",
        session("S-1", "2019-04-08", "PATHWAY-1"),
    );
    files.add(
        "desk",
        "sessions-2.csv",
        session("S-2", "2019-04-15", "PATHWAY-1"),
    );
    files.add("desk", "sessions-bad.csv", "id,label\nS-3");
    for place in &PLACES[1..] {
        for number in 0..CASES {
            // The last day has no session: those cases wait for one.
            let message = siu(
                "S12",
                &case(number),
                &ipp(number),
                "20190401120000",
                DAYS[number % 3],
            );
            files.add(place, format!("{number:02}-case.hl7"), message);
            if number % 3 == 0 {
                let known = patient(&format!("K{number}"), "20190401100000", "0612345678");
                files.add(place, format!("{number:02}-patient.hl7"), known);
                let wrong = patient(&format!("W{number}"), "20190401100000", "061");
                files.add(place, format!("sub/{number:02}-bad-phone.hl7"), wrong);
                let name = format!("D{number}");
                let sent = document(&ipp(number), "20190401130000", &name, &pdf(&name));
                files.add(place, format!("{number:02}-document.hl7"), sent);
            }
            if number % 6 == 0 {
                let mixed = siu(
                    "S12",
                    &format!("M{number}"),
                    &format!("MP{number}"),
                    "20190401120000",
                    DAYS[0],
                ) + &patient(&format!("MB{number}"), "20190401100000", "nonsense")
                    + &patient(&format!("MK{number}"), "20190401100000", "0612345678");
                files.add(place, format!("{number:02}-mixed.hl7"), mixed);
                files.add(place, format!("{number:02}-unknown.txt"), "not a message");
            }
        }
        files.add(place, "empty.hl7", "");
        files.add(
            place,
            format!("{}.hl7", "long-name-".repeat(24)),
            patient("K-LONG", "20190401100000", "0612345678"),
        );
        files.add(place, "none.retrieve", "");
    }
    files.0
}

/// What moves, cancels and repeats, and the desk's first commands.
fn changes() -> Vec<Dropped> {
    let mut files = Files::default();
    for number in (0..CASES).step_by(3) {
        files.add(
            "desk",
            format!("complete-{number:02}.json"),
            complete("north", number, "Chirurgie première"),
        );
    }
    let list: Vec<String> = (0..CASES)
        .step_by(6)
        .map(|number| complete("south", number, "Surveillance"))
        .chain([complete("south", 999, "no such case")])
        .collect();
    files.add(
        "desk",
        "complete-list.json",
        format!("[{}]", list.join(",")),
    );
    for number in (2..CASES).step_by(6) {
        let command = format!(
            r#"{{"command":"schedule","id":"k{number}","facility":"north","case":"{}","session":"S-2"}}"#,
            case(number)
        );
        files.add("desk", format!("schedule-{number:02}.json"), command);
    }
    for place in &PLACES[1..] {
        for number in (1..CASES).step_by(3) {
            let (case, ipp) = (case(number), ipp(number));
            let moved = siu("S13", &case, &ipp, "20190402120000", DAYS[0]);
            files.add(place, format!("{number:02}-moved.hl7"), moved);
            let changed = siu("S14", &case, &ipp, "20190402130000", DAYS[1]);
            files.add(place, format!("{number:02}-changed.hl7"), changed);
            if number % 2 == 0 {
                let cancelled = siu("S15", &case, &ipp, "20190403120000", DAYS[1]);
                files.add(place, format!("{number:02}-cancelled.hl7"), cancelled);
                let late = siu("S12", &case, &ipp, "20190401110000", DAYS[1]);
                files.add(place, format!("{number:02}-late.hl7"), late);
            }
            let again = siu(
                "S12",
                &self::case(number + 1),
                &self::ipp(number + 1),
                "20190401120000",
                DAYS[2],
            );
            files.add(place, format!("{number:02}-again.hl7"), again);
        }
        for number in (0..CASES).step_by(6) {
            let name = format!("D{number}");
            let next = document(
                &ipp(number),
                "20190402130000",
                &name,
                &pdf(&format!("{name}, corrected")),
            );
            files.add(place, format!("{number:02}-document-again.hl7"), next);
        }
        files.add(place, "first.retrieve", "");
    }
    files.0
}

/// The reports go out, some in a second version.
fn reports() -> Vec<Dropped> {
    let mut files = Files::default();
    for number in (0..CASES).step_by(6) {
        files.add(
            "desk",
            format!("next-{number:02}.json"),
            complete("north", number, "Chimiothérapie"),
        );
        files.add(
            "desk",
            format!("same-{number:02}.json"),
            complete("south", number, "Surveillance"),
        );
    }
    let with_pdf = format!(
        r#"{{"command":"complete","facility":"south","case":"{}","pdf":"desk.pdf","time":"2019-04-16T18:00:00+02:00"}}"#,
        case(3)
    );
    files.add("desk", "desk.pdf", pdf("made by the desk"));
    files.add("desk", "with-pdf.json", with_pdf);
    for place in &PLACES[1..] {
        for request in ["second", "third", "sub/fourth"] {
            files.add(place, format!("{request}.retrieve"), "");
        }
    }
    files.0
}

#[derive(Default)]
struct Files(Vec<Dropped>);

impl Files {
    fn add(&mut self, place: &'static str, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.push((place, name.into(), content.into()));
    }
}

fn case(number: usize) -> String {
    format!("C{number}")
}

fn ipp(number: usize) -> String {
    format!("P{number}")
}

fn pdf(text: &str) -> String {
    format!("%PDF-1.4 {text} %%EOF")
}

fn complete(facility: &str, number: usize, decision: &str) -> String {
    format!(
        r#"{{"command":"complete","facility":"{facility}","case":"{}","decision":"{decision}","time":"2019-04-08T18:00:00+02:00"}}"#,
        case(number)
    )
}

/// A spool with two facilities, and its configuration beside it.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(parent: &Path) -> Self {
        let folder = tempfile::tempdir_in(parent).unwrap();
        let world = Self { folder };
        std::fs::write(world.config(), world.settings()).unwrap();
        world
    }

    fn settings(&self) -> String {
        format!(
            "spool = {:?}\n[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[reports]\nevery = \"off\"\n\
             [[facility]]\nid = \"north\"\n[[facility]]\nid = \"south\"\n",
            self.spool()
        )
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("rcpspool.toml")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Drops files. Their modification times, a second apart, say in which order they arrived.
    fn drop(&self, files: &[Dropped]) {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_554_700_000);
        for (number, (place, name, content)) in (0..).zip(files) {
            let path = self.spool().join(place).join("inbox").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(start + Duration::from_secs(number))
                .unwrap();
        }
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command.arg("--config").arg(self.config());
        command
    }

    /// Takes in what waits; undisturbed.
    fn once(&self) {
        let ended = self.program().arg("once").output().unwrap();
        assert!(ended.status.success(), "once failed: {ended:?}");
    }

    /// Starts to take in what waits, and kills it then; false if it had ended before.
    fn is_killed(&self, then: Duration) -> bool {
        let start = Instant::now();
        let mut child = self
            .program()
            .arg("once")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while (start.elapsed() < then || self.is_suspected()) && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_micros(200));
        }
        // Of one that has ended already, this does nothing.
        child.kill().unwrap();
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let killed = status.signal() == Some(9);
        let said = String::from_utf8_lossy(&stderr);
        assert!(
            killed || status.success(),
            "once failed with {status}: {said}"
        );
        killed
    }

    /// Whether a file is being read that one more kill would be blamed on (`reader-crashed`): rightly, but an
    /// undisturbed run does not refuse it. That kill waits until the file is taken in.
    fn is_suspected(&self) -> bool {
        let works = PLACES.map(|place| self.spool().join(place).join("work"));
        let names = works
            .iter()
            .filter_map(|work| std::fs::read_dir(work).ok())
            .flatten();
        let claims = names.filter_map(|entry| Claim::parse(&entry.ok()?.file_name()));
        claims.into_iter().any(|claim| claim.attempts >= 2)
    }

    fn list(&self, what: &str) -> Vec<Value> {
        let ended = self
            .program()
            .args(["list", what, "--json"])
            .output()
            .unwrap();
        assert!(ended.status.success(), "list {what} failed: {ended:?}");
        let mut rows: Vec<Value> = serde_json::from_slice(&ended.stdout).unwrap();
        if what == "errors" {
            // They are listed in the order of processing times, to the second.
            rows.sort_by_key(|row| row["file"].to_string());
        }
        rows
    }

    /// Journal, store, documents and folders say the same.
    fn verify(&self) {
        let ended = self.program().args(["verify", "--json"]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "verify found: {said}");
    }

    /// What the run left, and whether the rules hold in it.
    fn left(&self) -> Left {
        self.verify();
        let listings: BTreeMap<&str, Vec<Value>> = LISTINGS
            .into_iter()
            .map(|what| (what, self.list(what)))
            .collect();
        let mut known = BTreeMap::new();
        for (what, rows) in &listings {
            known.insert(
                (*what).to_owned(),
                without_times(&Value::from(rows.clone())),
            );
        }
        let crashed = listings["errors"]
            .iter()
            .find(|error| error["reason"] == "reader-crashed");
        assert_eq!(
            crashed, None,
            "kills were blamed on this file, though the test waits while one would be"
        );

        let config = Config::from_text(&self.settings(), Path::new("kill.toml")).unwrap();
        let engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Sled).unwrap();
        for row in &listings["cases"] {
            let (facility, id) = (
                row["facility"].as_str().unwrap(),
                row["id"].as_str().unwrap(),
            );
            let subject = ShowSubject::Case {
                facility: FacilityId::new(facility),
                id: CaseId::new(id),
            };
            let shown = listing::show(&subject, &**engine.store()).unwrap().unwrap();
            known.insert(format!("show case {facility} {id}"), without_times(&shown));
        }
        for (key, value) in support::content(&**engine.store()) {
            known.insert(format!("store {key}"), support::without_times(&value));
        }
        engine.close().unwrap();

        let (lost, doubled) = self.count_received();
        Left {
            versions: self.check_batches(&listings["reports"]),
            refused: listings["errors"].len(),
            known,
            files: self.files(),
            lost,
            doubled,
        }
    }

    /// How many of the dropped files are nowhere, and how many in more than one place.
    fn count_received(&self) -> (usize, usize) {
        let (mut lost, mut doubled) = (0, 0);
        let mut found: BTreeMap<(&str, Vec<u8>), BTreeSet<PathBuf>> = BTreeMap::new();
        for place in PLACES {
            for folder in ["inbox", "work", "done", "error"] {
                let root = self.spool().join(place).join(folder);
                for path in regular_files(&root) {
                    assert!(
                        folder == "done" || folder == "error",
                        "{} was left behind",
                        path.display()
                    );
                    let content = std::fs::read(&path).unwrap();
                    found.entry((place, content)).or_default().insert(path);
                }
            }
        }
        for (place, name, content) in stages().into_iter().flatten() {
            let name = Path::new(&name).file_name().unwrap();
            let places = found.get(&(place, content));
            let places = places
                .into_iter()
                .flatten()
                .filter(|path| path.file_name() == Some(name))
                .count();
            lost += usize::from(places == 0);
            doubled += usize::from(places > 1);
        }
        (lost, doubled)
    }

    /// Every file that others see, with its content; without the day in `done/`.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for place in PLACES {
            for folder in ["inbox", "work", "done", "error", "outbox"] {
                let root = self.spool().join(place).join(folder);
                for path in regular_files(&root) {
                    let below = path.strip_prefix(&root).unwrap();
                    let skipped = usize::from(folder == "done");
                    let below: PathBuf = below.components().skip(skipped).collect();
                    let content = std::fs::read(&path).unwrap();
                    let content = support::without_times(&String::from_utf8_lossy(&content));
                    files.insert(format!("{place}/{folder}/{}", below.display()), content);
                }
            }
        }
        files
    }

    /// Every report version stands in exactly one batch, under a control id of its own. Says how many there are.
    fn check_batches(&self, reports: &[Value]) -> usize {
        let mut sent = BTreeMap::new();
        for place in &PLACES[1..] {
            for path in regular_files(&self.spool().join(place).join("outbox/reports")) {
                let text = std::fs::read_to_string(&path).unwrap();
                let batch = roxmltree::Document::parse(&text).unwrap();
                assert_eq!(
                    batch.root_element().tag_name().name(),
                    "message",
                    "{}",
                    path.display()
                );
                for content in batch
                    .root_element()
                    .children()
                    .filter(|node| node.has_tag_name("content"))
                {
                    let message = STANDARD.decode(content.text().unwrap()).unwrap();
                    let message = String::from_utf8(message).unwrap();
                    let control_id = message.split('|').nth(9).unwrap().to_owned();
                    let id = field(&message, "TXA|", 12)
                        .split('^')
                        .nth(2)
                        .unwrap()
                        .to_owned();
                    let version = control_id.rsplit('-').next().unwrap().to_owned();
                    let before = sent.insert(control_id.clone(), (id, version));
                    assert_eq!(
                        before,
                        None,
                        "{control_id} left twice, also in {}",
                        path.display()
                    );
                }
            }
        }
        let sent_versions: BTreeSet<(String, String)> = sent.values().cloned().collect();
        let versions: BTreeSet<(String, String)> = reports
            .iter()
            .map(|row| {
                (
                    row["document_id"].as_str().unwrap().to_owned(),
                    row["version"].to_string(),
                )
            })
            .collect();
        assert_eq!(
            sent.len(),
            reports.len(),
            "as many messages left as there are report versions"
        );
        assert_eq!(sent_versions, versions, "what left is what there is");
        versions.len()
    }
}

/// What a run left. Times of processing are left out.
#[derive(Debug)]
struct Left {
    known: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    versions: usize,
    refused: usize,
    lost: usize,
    doubled: usize,
}

impl Left {
    fn assert_same(&self, other: &Left, what: &str) {
        assert_eq!(
            (other.lost, other.doubled),
            (0, 0),
            "{what}: files lost, files doubled"
        );
        support::assert_same(&self.files, &other.files, &format!("{what}: files"));
        support::assert_same(&self.known, &other.known, &format!("{what}: what is known"));
    }
}

fn without_times(value: &Value) -> String {
    support::without_times(&format!("{value:#}"))
}

/// The files below a folder, but those that only the program looks at.
fn regular_files(root: &Path) -> Vec<PathBuf> {
    let below = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.unwrap());
    below
        .filter(|entry| {
            entry.file_type().is_file() && !entry.file_name().to_string_lossy().starts_with('.')
        })
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// A field of the first segment that starts so.
fn field<'m>(message: &'m str, segment: &str, number: usize) -> &'m str {
    let segment = message
        .split('\r')
        .find(|line| line.starts_with(segment))
        .unwrap();
    segment.split('|').nth(number).unwrap()
}
