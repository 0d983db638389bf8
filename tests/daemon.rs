//! The daemon as a process: files come in every way they come in, signals end it, folders vanish and come back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{patient, session, siu};

const SETTLE: Duration = Duration::from_millis(800);
const PATIENCE: Duration = Duration::from_secs(20);

/// A spool with a configuration file, whose daemon runs as a process.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let site = Self { folder };
        site.configure("", "");
        site
    }

    fn configure(&self, reports: &str, facilities: &str) {
        let text = format!(
            "spool = {:?}\n[intake]\nsettle = \"800ms\"\nrescan = \"1s\"\nmin_free = \"1KiB\"\n{reports}\n\
             [[facility]]\nid = \"demo\"\n{facilities}\n",
            self.spool()
        );
        fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("rcpspool.toml")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.spool().join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.folder.path());
        command
    }

    /// Starts the daemon and waits until it takes files in.
    fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// The same, with further variables in its environment.
    fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.command(&["run"]);
        command.envs(environment.iter().copied()).stderr(log);
        let child = command.spawn().unwrap();
        let mut daemon = Daemon {
            child,
            log: self.folder.path().join("log"),
        };
        wait_for("the socket", || {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "{}",
                daemon.log()
            );
            fs::read_dir(self.folder.path()).unwrap().any(|entry| {
                entry
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|ending| ending == "sock")
            })
        });
        daemon
    }

    fn inbox(&self, name: &str) -> PathBuf {
        self.path("facilities/demo/inbox").join(name)
    }

    fn receipt(&self, name: &str) -> String {
        let path = self
            .path("facilities/demo/outbox/acks")
            .join(format!("{name}.ack"));
        wait_for(name, || path.is_file());
        fs::read_to_string(path).unwrap()
    }

    fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn list(&self, what: &str) -> usize {
        let output = self.command(&["list", what, "--json"]).output().unwrap();
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        rows.len()
    }
}

struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it by a signal; it must end by itself.
    fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("it does not end: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}

fn rename_in(site: &Site, name: &str, content: &str) {
    let aside = site.folder.path().join(name);
    fs::write(&aside, content).unwrap();
    fs::rename(aside, site.inbox(name)).unwrap();
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

#[test]
fn files_are_taken_in_however_they_come() {
    let site = Site::new();
    let daemon = site.start();

    rename_in(&site, "first.hl7", &adt("1"));
    site.receipt("first.hl7");
    let begun = Instant::now();
    rename_in(&site, "renamed.hl7", &adt("0"));
    assert!(site.receipt("renamed.hl7").contains("MSA|AA"));
    assert!(
        begun.elapsed() < SETTLE,
        "a renamed file waits for nothing: {:?}",
        begun.elapsed()
    );

    fs::write(site.inbox("written.hl7"), adt("2")).unwrap();
    assert!(site.receipt("written.hl7").contains("MSA|AA"));

    // Slower than it takes to settle, and never read before its end.
    let mut slow = File::create(site.inbox("slow.hl7")).unwrap();
    let content = adt("3");
    let (first, rest) = content.split_at(content.len() / 2);
    for piece in [first, rest] {
        slow.write_all(piece.as_bytes()).unwrap();
        slow.flush().unwrap();
        sleep(SETTLE * 3);
    }
    assert!(
        !site
            .path("facilities/demo/outbox/acks/slow.hl7.ack")
            .exists()
    );
    drop(slow);
    assert!(site.receipt("slow.hl7").contains("MSA|AA"));

    fs::create_dir_all(site.inbox("a/b")).unwrap();
    fs::write(site.inbox("a/b/below.hl7"), adt("4")).unwrap();
    assert!(site.receipt("a/b/below.hl7").contains("MSA|AA"));

    fs::write(site.inbox("unfinished.tmp"), adt("5")).unwrap();
    fs::rename(site.inbox("unfinished.tmp"), site.inbox("finished.hl7")).unwrap();
    assert!(site.receipt("finished.hl7").contains("MSA|AA"));

    fs::write(site.inbox("bad.hl7"), adt("6").replace("0612345678", "1")).unwrap();
    assert!(site.receipt("bad.hl7").contains("invalid-phone"));
    std::os::unix::fs::symlink("/etc/passwd", site.inbox("link.hl7")).unwrap();

    assert_eq!(site.list("patients"), 6);
    wait_for("the status", || site.status()["folders"][1]["strange"] == 1);
    let status = site.status();
    assert_eq!(status["running"], true);
    assert_eq!(
        (
            status["totals"]["accepted"].as_u64(),
            status["totals"]["rejected"].as_u64()
        ),
        (Some(6), Some(1))
    );
    assert_eq!(status["refused"]["invalid-phone"], 1);
    assert_eq!(status["errors"][0]["reason"], "invalid-phone");
    assert_eq!(status["errors"][0]["file"], Value::Null);

    assert!(daemon.end("-TERM").success());
    assert!(site.path("store/CLEAN").is_file());
    let metrics = fs::read_to_string(site.path("status/rcpspool.prom")).unwrap();
    assert!(
        metrics.contains("rcpspool_messages_total{facility=\"demo\",outcome=\"accepted\"} 6"),
        "{metrics}"
    );
    assert!(
        metrics.contains("rcpspool_refused_total{facility=\"demo\",reason=\"invalid-phone\"} 1"),
        "{metrics}"
    );
    let page = fs::read_to_string(site.path("status/index.html")).unwrap();
    assert!(page.contains("not running") && page.contains("invalid-phone"));
    for received in ["bad.hl7", "MARTIN", "JEANNE"] {
        assert!(
            !page.contains(received) && !metrics.contains(received),
            "{received}"
        );
    }
    assert!(site.path("status/status.json").is_file());
    // Without a daemon the same is shown.
    assert_eq!(site.status()["folders"][1]["errors"], 1);
}

#[test]
fn the_log_names_nobody() {
    let site = Site::new();
    let log = site.folder.path().join("log");
    let mut command = site.command(&["run"]);
    command
        .env("RUST_LOG", "trace")
        .stderr(File::create(&log).unwrap());
    let daemon = Daemon {
        child: command.spawn().unwrap(),
        log,
    };
    wait_for("the inbox", || site.inbox("").is_dir());
    sleep(Duration::from_millis(300));
    fs::create_dir(site.inbox("DUPONTEL")).unwrap();
    fs::write(site.inbox("DUPONTEL/DUPONTEL.hl7"), adt("1")).unwrap();
    fs::write(
        site.inbox("DUPONTEL-2.hl7"),
        adt("2").replace("0612345678", "1"),
    )
    .unwrap();
    site.receipt("DUPONTEL/DUPONTEL.hl7");
    site.receipt("DUPONTEL-2.hl7");
    fs::remove_dir_all(site.inbox("DUPONTEL")).unwrap();
    fs::create_dir(site.inbox("DUPONTEL")).unwrap();
    sleep(Duration::from_millis(300));
    let log = daemon.log();
    for name in ["DUPONTEL", "MARTIN", "JEANNE", "0612345678", "19501104"] {
        assert!(!log.contains(name), "{name}: {log}");
    }
    assert!(daemon.end("-INT").success());
}

#[test]
fn a_command_reaches_the_desk_of_a_running_daemon_and_once_waits_for_it() {
    let site = Site::new();
    let daemon = site.start();
    let sessions = site.folder.path().join("sessions.csv");
    fs::write(&sessions, session("S-1", "2031-04-08", "PATHWAY-1")).unwrap();
    let import = site
        .command(&["session", "import"])
        .arg(&sessions)
        .output()
        .unwrap();
    assert!(
        import.status.success(),
        "{}",
        String::from_utf8_lossy(&import.stderr)
    );
    fs::write(
        site.inbox("s.hl7"),
        siu("S12", "59384", "1", "20250401120000", "20310408"),
    )
    .unwrap();
    let once = site.command(&["once", "--json"]).output().unwrap();
    let totals: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!(
        totals["accepted"],
        1,
        "{totals} {}",
        String::from_utf8_lossy(&once.stderr)
    );
    let complete = [
        "complete",
        "demo",
        "59384",
        "--decision",
        "Chirurgie",
        "--force",
    ];
    let complete = site.command(&complete).output().unwrap();
    assert!(
        complete.status.success(),
        "{}",
        String::from_utf8_lossy(&complete.stderr)
    );
    let status = site.status();
    assert_eq!(status["folders"][1]["reports_waiting"], 1);
    assert_eq!(status["sessions"][0]["id"], "S-1");
    assert_eq!(
        (
            &status["sessions"][0]["cases"],
            &status["sessions"][0]["label"]
        ),
        (&1.into(), &Value::Null)
    );

    // The configuration read again puts batches on a short timer, shows names, and brings a facility.
    site.configure(
        "[reports]\nevery = \"1s\"\n[status]\nnames = true",
        "[[facility]]\nid = \"second\"",
    );
    daemon.signal("-HUP");
    let reports = site.path("facilities/demo/outbox/reports");
    wait_for("a batch", || fs::read_dir(&reports).unwrap().count() == 1);
    wait_for("the second facility", || {
        site.path("facilities/second/inbox").is_dir()
    });
    let content = adt("1");
    fs::write(site.path("facilities/second/inbox/x.hl7"), content).unwrap();
    wait_for("its receipt", || {
        site.path("facilities/second/outbox/acks/x.hl7.ack")
            .is_file()
    });
    wait_for("the label", || {
        site.status()["sessions"][0]["label"] == "RCP S-1"
    });

    // A bad one is refused, and so is one that needs a restart.
    fs::write(site.config(), "nonsense = 1").unwrap();
    daemon.signal("-HUP");
    wait_for("the refusal", || daemon.log().contains("refused"));
    fs::write(
        site.config(),
        format!(
            "spool = {:?}\n[[facility]]\n",
            site.folder.path().join("other")
        ),
    )
    .unwrap();
    daemon.signal("-HUP");
    wait_for("the refusal", || daemon.log().contains("needs a restart"));
    site.configure("", "");
    fs::write(site.inbox("y.hl7"), adt("7")).unwrap();
    assert!(site.receipt("y.hl7").contains("MSA|AA"));
    assert!(daemon.end("-TERM").success());
    assert!(!site.folder.path().join("other").exists());
}

#[test]
fn the_folder_of_a_session_follows_it_while_the_daemon_runs() {
    let site = Site::new();
    let daemon = site.start();
    let desk = |name: &str, content: String| {
        let hidden = site.path("desk/inbox").join(format!(".{name}"));
        fs::write(&hidden, content).unwrap();
        fs::rename(hidden, site.path("desk/inbox").join(name)).unwrap();
    };
    let page = || {
        // A folder that is being made has a hidden name.
        let folders = fs::read_dir(site.path("desk/sessions"))
            .into_iter()
            .flatten();
        let shown = folders
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let mut pages =
            shown.filter_map(|it| fs::read_to_string(it.path().join("index.html")).ok());
        pages.next().unwrap_or_default()
    };
    desk("s.csv", session("S-1", "2031-04-08", "PATHWAY-1"));
    wait_for("the page of the session", || page().contains("S-1"));
    assert!(!page().contains("59384"));
    let siu = siu("S12", "59384", "1", "20250401120000", "20310408");
    rename_in(&site, "s.hl7", &siu);
    wait_for("the case on its page", || page().contains("59384"));
    let complete = [
        "complete",
        "demo",
        "59384",
        "--decision",
        "Chirurgie",
        "--force",
    ];
    assert!(!page().contains("Terminé"));
    assert!(site.command(&complete).status().unwrap().success());
    wait_for("the state of the case", || page().contains("Terminé"));
    let cancel = ["session", "cancel", "S-1"];
    assert!(site.command(&cancel).status().unwrap().success());
    wait_for("the cancelled session", || {
        page().contains("Cette réunion est annulée")
    });
    assert!(daemon.end("-TERM").success());
}

#[test]
fn a_second_daemon_waits_and_says_who_has_the_spool() {
    let site = Site::new();
    let daemon = site.start();
    let begun = Instant::now();
    let second = site
        .command(&["run"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(begun.elapsed() > Duration::from_secs(29));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.contains(&format!("process {}", daemon.child.id())),
        "{said}"
    );
    rename_in(&site, "x.hl7", &adt("1"));
    assert!(site.receipt("x.hl7").contains("MSA|AA"));
    assert!(daemon.end("-TERM").success());
}

/// What retention no longer asks for goes while the daemon runs; `verify` asks for its end.
#[test]
fn an_old_day_is_removed_and_the_spool_verified_after_the_end() {
    let site = Site::new();
    // A day without a journal would be a sign that the journal is lost.
    assert!(site.start().end("-TERM").success());
    let old = site.path("facilities/demo/done/2020-01-01");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("x.hl7"), "x").unwrap();
    let daemon = site.start();
    wait_for("the old day to go", || !old.exists());
    let refused = site.command(&["verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("stop it, then verify"), "{said}");
    assert!(daemon.end("-TERM").success());
    let verified = site.command(&["verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{said}");
    assert!(
        said.contains("Everything is as the journal says."),
        "{said}"
    );
}

#[test]
fn an_inbox_made_anew_is_swept_and_a_lost_facility_comes_back() {
    let site = Site::new();
    let daemon = site.start();
    let inbox = site.inbox("");
    fs::remove_dir_all(&inbox).unwrap();
    sleep(Duration::from_millis(50));
    fs::create_dir_all(&inbox).unwrap();
    fs::write(site.inbox("a.hl7"), adt("1")).unwrap();
    assert!(site.receipt("a.hl7").contains("MSA|AA"));
    sleep(Duration::from_millis(1500));
    let begun = Instant::now();
    rename_in(&site, "b.hl7", &adt("2"));
    site.receipt("b.hl7");
    assert!(
        begun.elapsed() < SETTLE,
        "it is watched again: {:?}",
        begun.elapsed()
    );

    let (dir, away) = (
        site.path("facilities/demo"),
        site.folder.path().join("away"),
    );
    fs::rename(&dir, &away).unwrap();
    fs::create_dir(&dir).unwrap();
    wait_for("the loss", || {
        site.status()["folders"][1]["problem"].is_string()
    });
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        0,
        "nothing is made where the mount is lost"
    );
    fs::remove_dir(&dir).unwrap();
    fs::write(away.join("inbox/c.hl7"), adt("3")).unwrap();
    fs::rename(&away, &dir).unwrap();
    assert!(site.receipt("c.hl7").contains("MSA|AA"));
    wait_for("its return", || {
        site.status()["folders"][1]["problem"].is_null()
    });
    assert!(daemon.end("-TERM").success());
}

#[test]
fn what_was_claimed_in_a_lost_facility_is_read_when_it_comes_back() {
    let site = Site::new();
    assert!(site.start().end("-TERM").success());
    let (dir, away) = (
        site.path("facilities/demo"),
        site.folder.path().join("away"),
    );
    fs::rename(&dir, &away).unwrap();
    let claim = format!("0000000000000009-0-{}-xz2ehl7", "a".repeat(32));
    fs::write(away.join("work").join(claim), adt("1")).unwrap();
    let daemon = site.start();
    assert!(site.status()["folders"][1]["problem"].is_string());
    fs::rename(&away, &dir).unwrap();
    assert!(site.receipt("x.hl7").contains("MSA|AA"));
    assert!(daemon.end("-TERM").success());
}

#[test]
fn it_ends_soon_under_load_and_loses_nothing() {
    let site = Site::new();
    let mut daemon = site.start();
    let files = 3000;
    let aside = site.folder.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for number in 0..files {
        fs::write(
            aside.join(format!("{number:05}.hl7")),
            adt(&number.to_string()),
        )
        .unwrap();
    }
    fs::rename(&aside, site.inbox("many")).unwrap();
    // A single file with as many messages, which is interrupted in its midst.
    let batch: String = (0..files)
        .map(|number| adt(&format!("B{number}")))
        .collect();
    fs::write(site.inbox("batch.hl7"), batch).unwrap();
    let receipts = site.path("facilities/demo/outbox/acks");
    let done = || walkdir::WalkDir::new(&receipts).into_iter().count();
    let mut before = 0;
    for _ in 0..100 {
        wait_for("some more of it", || {
            done() > before + 300 || site.receipt_exists("batch.hl7")
        });
        // The last of them is the long file: it is interrupted in its midst.
        sleep(Duration::from_millis(300));
        before = done();
        let whole = site.receipt_exists("batch.hl7")
            && fs::read_dir(site.inbox("many")).unwrap().count() == 0;
        assert!(daemon.end("-TERM").success());
        assert!(site.path("store/CLEAN").is_file());
        if whole {
            assert_eq!(site.list("patients"), files * 2);
            assert_eq!(site.receipt("batch.hl7").matches("MSA|AA").count(), files);
            return;
        }
        daemon = site.start();
        if before > files {
            // It makes its way through the long file, of which no receipt tells.
            sleep(Duration::from_secs(2));
            before = before.saturating_sub(301);
        }
    }
    panic!("it never gets done");
}

impl Site {
    fn receipt_exists(&self, name: &str) -> bool {
        self.path("facilities/demo/outbox/acks")
            .join(format!("{name}.ack"))
            .is_file()
    }
}

/// The clock goes back by an hour while files settle and come in. Only libfaketime (Debian: faketime) can do that to
/// one process; without it, this tests nothing and says so.
#[test]
fn a_clock_that_goes_back_an_hour_stops_and_doubles_nothing() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    if !Path::new(library).is_file() {
        println!("skipped: the clock is set back only with libfaketime");
        return;
    }
    let site = Site::new();
    let clock = site.folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let daemon = site.start_with(&[
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Only the clock of the wall is set back, and not that of the file system.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ]);
    let time = |receipt: &str| receipt.split('|').nth(6).unwrap().to_owned();
    fs::write(site.inbox("before.hl7"), adt("1")).unwrap();
    let before = site.receipt("before.hl7");

    fs::write(site.inbox("settling.hl7"), adt("2")).unwrap();
    fs::write(&clock, "-1h").unwrap();
    let settling = site.receipt("settling.hl7");
    rename_in(&site, "renamed.hl7", &adt("3"));
    rename_in(&site, "again.hl7", &adt("1"));
    let after = [
        settling,
        site.receipt("renamed.hl7"),
        site.receipt("again.hl7"),
    ];
    for receipt in &after {
        assert!(receipt.contains("MSA|AA"), "{receipt}");
        assert!(time(receipt) < time(&before), "the clock did not go back");
    }
    wait_for("the status", || site.status()["totals"]["duplicate"] == 1);
    assert!(daemon.end("-TERM").success());

    // And it comes back.
    let daemon = site.start();
    fs::write(site.inbox("later.hl7"), adt("4")).unwrap();
    assert!(site.receipt("later.hl7").contains("MSA|AA"));
    assert_eq!(site.list("patients"), 4);
    assert!(daemon.end("-TERM").success());
    let verified = site.command(&["verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{said}");
}

#[test]
fn a_file_that_is_opened_for_writing_while_it_is_read_ends_nothing() {
    let site = Site::new();
    let daemon = site.start();
    rename_in(&site, "first.hl7", &adt("1"));
    site.receipt("first.hl7");
    // Writers that open and close again and again meet our leases, which the kernel tells by SIGIO.
    let path = site.inbox("busy.hl7");
    for _ in 0..300 {
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&path) {
            let _ = file.write_all(b" ");
        }
        sleep(Duration::from_millis(3));
    }
    daemon.signal("-IO");
    rename_in(&site, "x.hl7", &adt("1"));
    assert!(site.receipt("x.hl7").contains("MSA|AA"));
    let mut page = String::new();
    wait_for("the page", || {
        File::open(site.path("status/index.html"))
            .is_ok_and(|mut file| file.read_to_string(&mut page).is_ok())
    });
    assert!(daemon.end("-TERM").success());
}

/// A large document is read beside the engine: what comes behind it in its folder waits for it all the same, and what
/// others send does not.
#[test]
fn a_large_file_is_read_aside_and_stays_in_its_order() {
    let site = Site::new();
    site.configure("", "[[facility]]\nid = \"other\"");
    let daemon = site.start();
    let cda = fs::read_to_string("fixtures/cda/meeting.xml").unwrap();
    let value = "A".repeat(3 << 20);
    let large = cda.replacen("nodule de 14 mm", &value, 1);
    assert_ne!(large, cda);
    for round in 0..3 {
        let case = format!("LARGE-{round}");
        rename_in(
            &site,
            &format!("{round}-a.xml"),
            &large.replace("CASE-77", &case),
        );
        rename_in(
            &site,
            &format!("{round}-b.hl7"),
            &siu("S15", &case, "P-77", "20260101120000", "20250415"),
        );
    }
    fs::write(site.path("facilities/other/o.hl7"), adt("1")).unwrap();
    fs::rename(
        site.path("facilities/other/o.hl7"),
        site.path("facilities/other/inbox/o.hl7"),
    )
    .unwrap();
    let last = site.path("facilities/demo/outbox/acks/2-b.hl7.ack");
    wait_for("the last file", || last.is_file());
    wait_for("the file of the other facility", || {
        let acks = site.path("facilities/other/outbox/acks/o.hl7.ack");
        acks.is_file()
    });
    for round in 0..3 {
        let outcome = site.path(&format!(
            "facilities/demo/outbox/acks/{round}-a.xml.outcome.json"
        ));
        let outcome = fs::read_to_string(outcome).unwrap();
        assert!(outcome.contains("\"accepted\""), "{outcome}");
        assert!(outcome.contains("questionnaire-cut"), "{outcome}");
        let cancelled = format!("facilities/demo/outbox/acks/{round}-b.hl7.ack");
        let cancelled = fs::read_to_string(site.path(&cancelled)).unwrap();
        assert!(cancelled.contains("MSA|AA|"), "{cancelled}");
        // Cancelled before it came, a case would stay so.
        assert!(!outcome.contains("case-cancelled"), "{outcome}");
    }
    assert!(daemon.end("-TERM").success());
    let shown = site.command(&["show", "case", "demo", "LARGE-0", "--json"]);
    let shown = { shown }.output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("\"cancelled\""), "{shown}");
    assert!(shown.contains("coup\u{e9} ici : encore"), "it is cut");
    assert!(shown.len() < 400_000, "{} bytes", shown.len());
}
