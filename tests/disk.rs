//! A disk that has no room or cannot be written for a while: files stay where they are, others go on, and the work
//! goes on by itself once it can (design.md, "Taking files in").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use support::patient;
use support::site::Site;

const DEMO: &str = "id = \"demo\"";
const OTHER: &str = "id = \"other\"";

fn folder() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

fn json(site: &Site, arguments: &[&str]) -> Value {
    let output = site.command(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn patients(site: &Site) -> usize {
    let rows = json(site, &["list", "patients", "--json"]);
    rows.as_array().unwrap().len()
}

/// A file system in memory, for as long as this lives.
struct Mount(PathBuf);

impl Mount {
    /// Nothing where this user, or this container, may not mount.
    fn new(at: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("skipped: this user may not mount");
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn below_min_free_files_stay_where_they_are() {
    let mut site = Site::start(folder(), "min_free = \"900000GiB\"", &[DEMO]);
    site.send("demo", "x.hl7", adt("1"));
    site.wait_for("the status", || {
        json(&site, &["status", "--json"])["intake_waits"]
            .as_str()
            .is_some_and(|problem| problem.contains("min_free"))
    });
    sleep(Duration::from_millis(1500));
    assert!(site.inbox("demo").join("x.hl7").is_file());
    site.configure("min_free = \"0B\"", &[DEMO]);
    site.signal(rustix::process::Signal::HUP);
    assert!(site.receipt("demo", "x.hl7").contains("MSA|AA"));
    site.wait_for("the status", || {
        json(&site, &["status", "--json"])["intake_waits"].is_null()
    });
    site.end();
    site.assert_verified();
}

/// With `min_free` at nothing every write may meet the full disk: nothing is lost or half done.
#[test]
fn a_disk_that_is_full_to_the_last_byte_is_waited_for() {
    let folder = folder();
    let spool = folder.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let Some(mount) = Mount::new(&spool, "size=64m") else {
        return;
    };
    // In an empty folder nothing is begun: a mount might be missing.
    fs::create_dir(spool.join("facilities")).unwrap();
    let mut site = Site::start(folder, "min_free = \"0B\"", &[DEMO, OTHER]);
    let count = 40;
    for place in ["demo", "other"] {
        let aside = site.inbox(place).join(".aside");
        fs::create_dir(&aside).unwrap();
        for number in 0..count {
            fs::write(
                aside.join(format!("{number}.hl7")),
                adt(&number.to_string()),
            )
            .unwrap();
        }
    }
    let filler = site.path("filler");
    let fill = || {
        let mut size = 1 << 20;
        let mut file = fs::File::create(&filler).unwrap();
        while size > 0 {
            match std::io::Write::write(&mut file, &vec![1; size]) {
                Ok(written) if written > 0 => {}
                _ => size /= 2,
            }
        }
    };
    fill();
    for place in ["demo", "other"] {
        let inbox = site.inbox(place);
        fs::rename(inbox.join(".aside"), inbox.join("many")).unwrap();
    }
    site.wait_for("the full disk", || site.log().contains("No space left"));
    sleep(Duration::from_millis(2500));
    let told = |place: &str| {
        let acks = site.path(&format!("facilities/{place}/outbox/acks/many"));
        fs::read_dir(acks).map_or(0, Iterator::count)
    };
    let before = told("demo") + told("other");
    assert!(before < 2 * count, "the disk was never full");
    fs::remove_file(&filler).unwrap();
    for place in ["demo", "other"] {
        site.wait_for("the last receipt", || told(place) == count);
    }
    for number in 0..count {
        let receipt = site.receipt("demo", &format!("many/{number}.hl7"));
        assert!(receipt.contains("MSA|AA"), "{receipt}");
    }
    println!(
        "{before} of {} receipts were written before there was room",
        2 * count
    );
    site.end();
    site.assert_verified();
    assert_eq!(patients(&site), 2 * count);
    // Before the folder that it lies in is removed.
    drop(mount);
}

/// What cannot be moved into an outbox is, once it can; the other facility does not wait.
#[test]
fn an_outbox_that_cannot_be_written_is_waited_for() {
    let mut site = Site::start(folder(), "min_free = \"0B\"", &[DEMO, OTHER]);
    let acks = site.path("facilities/demo/outbox/acks");
    let Some(mount) = Mount::new(&acks, "size=1m,ro") else {
        return;
    };
    site.send("demo", "x.hl7", adt("1"));
    site.send("other", "o.hl7", adt("1"));
    assert!(site.receipt("other", "o.hl7").contains("MSA|AA"));
    site.wait_for("the problem", || {
        site.log().contains("cannot be moved into place")
    });
    site.send("other", "p.hl7", adt("2"));
    assert!(site.receipt("other", "p.hl7").contains("MSA|AA"));
    site.end();
    drop(mount);
    site.run();
    assert!(site.receipt("demo", "x.hl7").contains("MSA|AA"));
    site.end();
    site.assert_verified();
    assert_eq!(patients(&site), 3);
}

#[test]
fn a_store_that_is_gone_is_made_again() {
    let mut site = Site::start(folder(), "min_free = \"0B\"", &[DEMO]);
    for number in 0..20 {
        let name = format!("{number}.hl7");
        site.send("demo", &name, adt(&number.to_string()));
        site.receipt("demo", &name);
    }
    let before = json(&site, &["list", "patients", "--json"]);
    site.end();
    fs::remove_dir_all(site.path("store")).unwrap();
    site.run();
    assert_eq!(json(&site, &["list", "patients", "--json"]), before);
    site.send("demo", "again.hl7", adt("1"));
    site.receipt("demo", "again.hl7");
    assert_eq!(patients(&site), 20);
    site.end();
    site.assert_verified();
}

/// Uploaders set modification times: what seems to be of tomorrow, or of last year, is taken in all the same.
#[test]
fn the_clock_of_an_uploader_decides_nothing() {
    let mut site = Site::start(folder(), "min_free = \"0B\"", &[DEMO]);
    let hour = Duration::from_secs(3600);
    let now = std::time::SystemTime::now();
    for (name, time) in [
        ("later.hl7", now + hour),
        ("tomorrow.hl7", now + 24 * hour),
        ("earlier.hl7", now - hour),
        ("old.hl7", now - 9000 * hour),
    ] {
        let path = site.inbox("demo").join(name);
        fs::write(&path, adt(name)).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
        drop(file);
        assert!(site.receipt("demo", name).contains("MSA|AA"), "{name}");
    }
    site.end();
    site.assert_verified();
}
