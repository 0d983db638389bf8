//! Power cuts: a file system that is shut down without its last writes while the daemon takes files in at full speed.
//! Mounted and started again, nothing that anybody could see acknowledged is missing, and nothing is there twice
//! (design.md, "What must never break").
//!
//! `CUTS` in the environment is how many cuts there are; after every fifth, a new file system is made. It needs root,
//! loop devices, `mkfs.ext4` and `python3` (which has the system call that shuts ext4 down). Where one of these is
//! missing it says so and tests nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::{document, patient, session, siu};

const SEED: u64 = 20_190_408;
const FACILITY: &str = "facilities/demo";
const DESK: &str = "desk";
const CUTS_PER_IMAGE: usize = 5;
/// So many files may wait: more would make each start longer, and no cut harder.
const WAITING: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// `EXT4_IOC_SHUTDOWN`, told not to write the journal of the file system.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    if let Some(missing) = missing() {
        println!("skipped: power cuts are tested only with {missing}");
        return;
    }
    let cuts = match std::env::var("CUTS") {
        Ok(text) => text.parse().expect("CUTS is a number of cuts"),
        Err(_) => 3,
    };
    let (mut done, mut total) = (0, Found::default());
    while done < cuts {
        let mut world = World::new();
        let last = cuts.min(done + CUTS_PER_IMAGE);
        let mut found = Found::default();
        while done < last {
            let begun = Instant::now();
            world.cut(done);
            let cut = begun.elapsed();
            done += 1;
            found = world.look();
            println!(
                "cut {done}: {} files on this file system, {:.1} s until the cut, {:.1} s after it",
                found.files,
                cut.as_secs_f32(),
                (begun.elapsed() - cut).as_secs_f32()
            );
            assert!(
                found.problems.is_empty(),
                "cut {done}, seed {SEED}: {:#?}",
                found.problems
            );
        }
        total.files += found.files;
        total.acknowledged += found.acknowledged;
        total.unsynced += found.unsynced;
        total.versions += found.versions;
    }
    println!(
        "{done} power cuts, {} files, lost 0, doubled 0",
        total.files
    );
    println!(
        "{} were seen acknowledged before a cut, {} reports left once each, {} uploads that their sender had not synced \
         never reached the disk",
        total.acknowledged, total.versions, total.unsynced
    );
    assert!(total.acknowledged > 100 * done && total.versions > done);
    support::figure("power cuts", done as u64);
}

/// A file that was dropped.
struct Dropped {
    place: &'static str,
    name: String,
    content: String,
    /// Whether its sender has made sure that it is on the disk.
    is_synced: bool,
    /// Whether a cut took it, or a part of it, before anybody had it on the disk.
    is_cut: bool,
}

/// What a client saw before a cut: receipts and batches, each with its content.
type Seen = BTreeMap<PathBuf, Vec<u8>>;

/// What is there after a cut.
#[derive(Default)]
struct Found {
    problems: Vec<String>,
    files: usize,
    acknowledged: usize,
    unsynced: usize,
    versions: usize,
}

/// A file system of its own with a spool on it.
struct World {
    dir: tempfile::TempDir,
    dropped: Mutex<Vec<Dropped>>,
    seen: Mutex<Seen>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let world = Self {
            dir,
            dropped: Mutex::default(),
            seen: Mutex::default(),
        };
        fs::create_dir(world.path("mount")).unwrap();
        let image = File::create(world.path("image")).unwrap();
        image.set_len(1024 * 1024 * 1024).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(world.path("image")));
        world.mount();
        let settings = format!(
            "spool = {:?}\n[intake]\nsettle = \"200ms\"\nrescan = \"1s\"\ngroup = 64\nmin_free = \"1MiB\"\n\
             [reports]\nevery = \"1s\"\n[[facility]]\nid = \"demo\"\n",
            world.spool()
        );
        fs::write(world.path("rcpspool.toml"), settings).unwrap();
        let list = world.path("sessions.csv");
        fs::write(&list, session("S-1", "2031-04-08", "PATHWAY-1")).unwrap();
        run(world.program(&["session", "import"]).arg(&list));
        fs::create_dir(world.path("mount/aside")).unwrap();
        world
    }

    /// Has files taken in at full speed, and cuts the power.
    fn cut(&self, number: usize) {
        let log = File::create(self.path("log")).unwrap();
        let mut daemon = self.program(&["run"]).stderr(log).spawn().unwrap();
        let stop = AtomicBool::new(false);
        let before = self.seen.lock().unwrap().len();
        std::thread::scope(|scope| {
            scope.spawn(|| self.write_until(&stop));
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.see();
                    sleep(Duration::from_millis(5));
                }
            });
            wait_for("the first receipts", || {
                let ended = daemon.try_wait().unwrap();
                let is_enough = self.seen.lock().unwrap().len() > before + 50;
                if ended.is_some() {
                    stop.store(true, Ordering::Relaxed);
                }
                assert!(ended.is_none(), "{}", self.log());
                is_enough
            });
            sleep(Duration::from_secs(1).mul_f64(fraction(number)));
            run(Command::new("python3")
                .args(["-c", SHUTDOWN])
                .arg(self.path("mount")));
            stop.store(true, Ordering::Relaxed);
        });
        end(&mut daemon);
        run(Command::new("umount").arg(self.path("mount")));
        self.mount();
    }

    /// Drops files until told to stop, or the disk is gone.
    fn write_until(&self, stop: &AtomicBool) {
        // A case is completed once, so that each report has its own command.
        let is_completed = |case: &str| {
            let dropped = self.dropped.lock().unwrap();
            let content = complete(case);
            dropped
                .iter()
                .any(|one| one.place == DESK && one.content == content)
        };
        while !stop.load(Ordering::Relaxed) {
            let number = self.dropped.lock().unwrap().len();
            if number > self.seen.lock().unwrap().len() + WAITING {
                sleep(Duration::from_millis(2));
                continue;
            }
            let case = number
                .checked_sub(number % 8 + 400)
                .map(|old| old.to_string());
            let is_known = |case: &String| {
                let receipt = format!("{FACILITY}/outbox/acks/{case}.hl7.ack");
                self.seen.lock().unwrap().contains_key(Path::new(&receipt))
            };
            let dropped = match case.filter(|case| is_known(case) && !is_completed(case)) {
                Some(case) => (DESK, format!("{number}.json"), complete(&case)),
                None => (FACILITY, format!("{number}.hl7"), message(number)),
            };
            let (place, name, content) = dropped;
            self.dropped.lock().unwrap().push(Dropped {
                place,
                name,
                content,
                is_synced: false,
                is_cut: false,
            });
            match self.write(number) {
                Ok(is_synced) => self.dropped.lock().unwrap()[number].is_synced = is_synced,
                // The disk is gone.
                Err(_) => return,
            }
        }
    }

    /// Writes a file as a careful uploader does, and every fifth even syncs it.
    fn write(&self, number: usize) -> std::io::Result<bool> {
        let (place, name, content) = {
            let dropped = &self.dropped.lock().unwrap()[number];
            (dropped.place, dropped.name.clone(), dropped.content.clone())
        };
        let inbox = self.spool().join(place).join("inbox");
        let aside = self.path("mount/aside").join(&name);
        let mut file = File::create(&aside)?;
        file.write_all(content.as_bytes())?;
        let is_synced = number.is_multiple_of(5);
        if is_synced {
            file.sync_all()?;
        }
        fs::rename(aside, inbox.join(name))?;
        if is_synced {
            // The rename may have been done while the daemon moved the file on: its folders are synced as well.
            rustix::fs::syncfs(File::open(inbox)?)?;
        }
        Ok(is_synced)
    }

    /// What a client sees.
    fn see(&self) {
        for folder in [
            "facilities/demo/outbox/acks",
            "facilities/demo/outbox/reports",
            "desk/outbox/acks",
        ] {
            let Ok(entries) = fs::read_dir(self.spool().join(folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = Path::new(folder).join(entry.file_name());
                // Each start tries the folders with a file that it removes at once.
                let is_probe = entry.file_name() == ".probe";
                if is_probe || self.seen.lock().unwrap().contains_key(&path) {
                    continue;
                }
                if let Ok(content) = fs::read(entry.path()) {
                    self.seen.lock().unwrap().insert(path, content);
                }
            }
        }
    }

    /// Starts again, lets everything be taken in, and looks at what is there.
    fn look(&mut self) -> Found {
        run(&mut self.program(&["once"]));
        let mut found = Found::default();
        let seen = self.seen.get_mut().unwrap().clone();
        self.look_at_files(&seen, &mut found);
        self.look_at_batches(&mut found);
        let verified = self.program(&["verify"]).output().unwrap();
        if !verified.status.success() {
            found.problems.push(format!(
                "verify: {}",
                String::from_utf8_lossy(&verified.stdout)
            ));
        }
        // A client goes on fetching.
        self.see();
        found
    }

    fn look_at_files(&self, seen: &Seen, found: &mut Found) {
        let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for place in [FACILITY, DESK] {
            for folder in ["inbox", "work", "done", "error"] {
                for entry in walkdir::WalkDir::new(self.spool().join(place).join(folder)) {
                    let entry = entry.unwrap();
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let is_ours = name.starts_with('.') || name.ends_with(".error.json");
                    if !entry.file_type().is_file() || is_ours {
                        continue;
                    }
                    if folder == "inbox" || folder == "work" {
                        found
                            .problems
                            .push(format!("left behind in {place}/{folder}: {name}"));
                    }
                    places.entry(name).or_default().push(entry.into_path());
                }
            }
        }
        for (path, content) in seen {
            if fs::read(self.spool().join(path)).ok().as_ref() != Some(content) {
                found.problems.push(format!(
                    "lost, or changed since it was seen: {}",
                    path.display()
                ));
            }
        }
        let cases = self.count("cases", "id");
        let documents = self.count("documents", "ipp");
        let reports = self.count("reports", "case");
        for dropped in self.dropped.lock().unwrap().iter_mut() {
            found.files += 1;
            let ending = if dropped.place == DESK {
                "outcome.json"
            } else {
                "ack"
            };
            let receipt = format!("{}/outbox/acks/{}.{ending}", dropped.place, dropped.name);
            let was_seen = seen.contains_key(Path::new(&receipt));
            found.acknowledged += usize::from(was_seen);
            let lies: &[PathBuf] = places.get(&dropped.name).map_or(&[], Vec::as_slice);
            let content = lies.first().map(|path| fs::read_to_string(path).unwrap());
            let is_whole = content.as_ref() == Some(&dropped.content);
            let is_taken = lies
                .first()
                .is_some_and(|path| path.components().any(|part| part.as_os_str() == "done"));
            let mut problem = |what: &str| {
                let text = format!("{}/{}: {what}, {lies:?}", dropped.place, dropped.name);
                found.problems.push(text);
            };
            if lies.len() > 1 {
                problem("doubled");
            }
            if !is_whole {
                // What is left of it is refused, and that is seen before the next cut.
                let is_promised = was_seen && !dropped.is_cut || dropped.is_synced || is_taken;
                match is_promised {
                    true => problem("lost"),
                    false => dropped.is_cut = true,
                }
            }
            // What is left of a torn upload may be no HL7 any more, and is answered accordingly.
            let other = format!(
                "{}/outbox/acks/{}.outcome.json",
                dropped.place, dropped.name
            );
            let is_answered = [receipt, other]
                .iter()
                .any(|receipt| self.spool().join(receipt).is_file());
            if lies.len() == 1 && !is_answered {
                problem("without a receipt");
            }
            found.unsynced += usize::from(dropped.is_cut);
            // What it did to the store, once and no more.
            let number = dropped.name.split('.').next().unwrap_or_default();
            let expected = usize::from(is_taken);
            let counted = match (dropped.place, kind(number.parse().unwrap())) {
                (DESK, _) => {
                    let command: Value = serde_json::from_str(&dropped.content).unwrap();
                    let case = command["case"].as_str().unwrap();
                    reports.get(case).copied().unwrap_or(0)
                }
                (_, Kind::Document) => documents.get(number).copied().unwrap_or(0),
                (_, Kind::Case) => cases.get(number).copied().unwrap_or(0),
                (_, Kind::Refused) => expected,
            };
            if counted != expected {
                problem(&format!(
                    "{expected} expected in the store, {counted} found"
                ));
            }
        }
    }

    /// Each report version left in one batch.
    fn look_at_batches(&self, found: &mut Found) {
        let mut left = BTreeSet::new();
        for entry in fs::read_dir(self.spool().join(FACILITY).join("outbox/reports")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let batch = roxmltree::Document::parse(&text).unwrap();
            for content in batch
                .descendants()
                .filter(|node| node.has_tag_name("content"))
            {
                let message = STANDARD.decode(content.text().unwrap()).unwrap();
                let message = String::from_utf8(message).unwrap();
                let id = message.split('|').nth(9).unwrap().to_owned();
                if !left.insert(id.clone()) {
                    found.problems.push(format!("the report {id} left twice"));
                }
            }
        }
        found.versions = left.len();
        let known = self.list("reports").len();
        if known != left.len() {
            found
                .problems
                .push(format!("{known} reports are known, {} left", left.len()));
        }
    }

    /// How often each value of a key is listed.
    fn count(&self, what: &str, key: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in self.list(what) {
            let value = row[key].as_str().unwrap_or_default().to_owned();
            *counts.entry(value).or_insert(0) += 1;
        }
        counts
    }

    fn list(&self, what: &str) -> Vec<Value> {
        let output = self.program(&["list", what, "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .arg("--config")
            .arg(self.path("rcpspool.toml"))
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.dir.path());
        command
    }

    fn mount(&self) {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([self.path("image"), self.path("mount")]));
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn spool(&self) -> PathBuf {
        self.path("mount/spool")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path("mount")).output();
    }
}

/// What the n-th file holds.
enum Kind {
    Case,
    Document,
    Refused,
}

fn kind(number: usize) -> Kind {
    match number % 4 {
        // The documents' are those that doing things twice would show: without an id, each is a new one.
        1 | 2 => Kind::Document,
        3 => Kind::Refused,
        _ => Kind::Case,
    }
}

fn message(number: usize) -> String {
    let id = number.to_string();
    match kind(number) {
        Kind::Case => siu("S12", &id, &id, "20250401120000", "20310408"),
        Kind::Document => {
            let content = format!("%PDF-1.4 {number}\n");
            let sent = document(&id, "20250401120001", "", &content).replace("|^LAB|", "||");
            patient(&id, "20250401120000", "0612345678") + &sent
        }
        Kind::Refused => patient(&id, "20250401120000", "061"),
    }
}

fn complete(case: &str) -> String {
    serde_json::json!({
        "command": "complete", "facility": "demo", "case": case, "decision": "Chirurgie", "force": true
    })
    .to_string()
}

/// What the test needs and does not find.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("loop devices".to_owned());
    }
    let tools = ["mkfs.ext4", "python3", "mount"];
    let is_absent = |tool: &&str| {
        let version = Command::new(tool).arg("-V").output();
        version.is_err()
    };
    tools.into_iter().find(is_absent).map(str::to_owned)
}

/// A number from 0 to 1 for each cut, always the same.
fn fraction(cut: usize) -> f64 {
    let mut hasher = DefaultHasher::new();
    (SEED, cut).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn end(child: &mut Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}
