//! A facility whose folder cannot be used is set aside at a start, and keeps nobody else from anything: not the daemon,
//! not a command, not a new configuration. Once its folder can be used, it goes on by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use support::site::{Site, give, mode, start_without_root};
use support::{patient, session, siu};

/// What becomes of the folder of `demo`.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// These rights on a folder below it, or on itself.
    Mode(&'static str, u32),
    /// The hospital took our rights on its inbox away.
    Theirs,
    /// Its mount is gone: an empty folder of root's lies there.
    MountGone,
    /// It is gone.
    Removed,
}

const FAULTS: [Fault; 10] = [
    Fault::Mode("inbox", 0o000),
    Fault::Mode("inbox", 0o555),
    Fault::Mode("work", 0o000),
    Fault::Mode("done", 0o000),
    Fault::Mode("error", 0o555),
    Fault::Mode("outbox/acks", 0o000),
    Fault::Mode("", 0o000),
    Fault::Theirs,
    Fault::MountGone,
    Fault::Removed,
];

impl Fault {
    fn begin(self, site: &Site) {
        let station = site.path("facilities/demo");
        match self {
            Fault::Mode(folder, bits) => mode(&station.join(folder), bits),
            Fault::Theirs => {
                let inbox = station.join("inbox");
                match rustix::process::geteuid().is_root() {
                    true => chown(&inbox, Some(60_001), Some(60_001)).unwrap(),
                    false => mode(&inbox, 0o000),
                }
                if rustix::process::geteuid().is_root() {
                    mode(&inbox, 0o700);
                }
            }
            Fault::MountGone => {
                fs::rename(&station, away(site)).unwrap();
                fs::create_dir(&station).unwrap();
            }
            Fault::Removed => fs::rename(&station, away(site)).unwrap(),
        }
    }

    fn end(self, site: &Site) {
        let station = site.path("facilities/demo");
        match self {
            Fault::Mode(folder, _) => mode(&station.join(folder), 0o750),
            Fault::Theirs => {
                give(&station.join("inbox"));
                mode(&station.join("inbox"), 0o750);
            }
            Fault::MountGone => {
                fs::remove_dir(&station).unwrap();
                fs::rename(away(site), &station).unwrap();
            }
            Fault::Removed => fs::rename(away(site), &station).unwrap(),
        }
    }
}

fn away(site: &Site) -> PathBuf {
    site.path("facilities").join("away")
}

/// What a command said, which must do what it was asked to.
fn ask(site: &Site, fault: Fault, arguments: &[&str]) -> String {
    let output = site.command(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{fault:?}: {arguments:?}: {said}{complained}"
    );
    said
}

fn demo(site: &Site, fault: Fault) -> Value {
    let status: Value = serde_json::from_str(&ask(site, fault, &["status", "--json"])).unwrap();
    let folders = status["folders"].as_array().unwrap();
    folders
        .iter()
        .find(|it| it["id"] == "demo")
        .unwrap()
        .clone()
}

fn assert_told(site: &Site, fault: Fault) {
    let demo = demo(site, fault);
    assert!(demo["problem"].is_string(), "{fault:?}: {demo:#}");
    let said = ask(site, fault, &["status"]);
    assert!(
        said.contains("demo cannot be reached: "),
        "{fault:?}: {said}"
    );
    assert!(said.contains("  → "), "{fault:?}: {said}");
}

#[test]
fn a_folder_that_cannot_be_used_stops_nobody_at_a_start() {
    let facilities = ["id = \"demo\"", "id = \"other\""];
    let mut site = start_without_root("min_free = \"0B\"", &facilities);
    let sessions = session("S-1", "2025-04-08", "PATHWAY-1");
    fs::write(site.path("desk/inbox/s.csv"), sessions).unwrap();
    let receipt = site.path("desk/outbox/acks/s.csv.outcome.json");
    site.wait_for("the sessions", || receipt.is_file());
    let scheduling = siu("S12", "C1", "P1", "20250401120000", "20250505");
    site.send("other", "c.hl7", scheduling);
    site.receipt("other", "c.hl7");
    site.end();
    for (round, fault) in FAULTS.into_iter().enumerate() {
        let name = |what: &str| format!("{what}-{round}.hl7");
        let message =
            |number: usize| patient(&format!("{round}-{number}"), "20250401120000", "0612345678");
        site.send("demo", &name("waits"), message(0));
        fault.begin(&site);
        site.send("other", &name("once"), message(1));
        ask(&site, fault, &["once"]);
        assert!(site.receipt("other", &name("once")).contains("MSA|AA"));
        assert!(ask(&site, fault, &["list", "cases"]).contains("C1"));
        assert_told(&site, fault);
        ask(&site, fault, &["schedule", "other", "C1", "S-1"]);
        ask(&site, fault, &["unschedule", "other", "C1"]);
        ask(&site, fault, &["rebuild"]);
        assert_verified_but_for_demo(&site, fault);
        assert_checked(&site, fault);

        site.run();
        site.send("other", &name("run"), message(2));
        assert!(site.receipt("other", &name("run")).contains("MSA|AA"));
        assert_told(&site, fault);
        ask(&site, fault, &["schedule", "other", "C1", "S-1"]);
        ask(&site, fault, &["unschedule", "other", "C1"]);
        let read = |site: &Site| {
            site.log()
                .matches("the configuration was read again")
                .count()
        };
        let before = read(&site);
        site.signal(Signal::HUP);
        site.wait_for("the configuration", || read(&site) > before);

        fault.end(&site);
        assert!(site.receipt("demo", &name("waits")).contains("MSA|AA"));
        site.wait_for("its return", || demo(&site, fault)["problem"].is_null());
        site.end();
        site.assert_verified();
    }
}

/// All is looked at, and whatever is wrong is of that folder.
fn assert_verified_but_for_demo(site: &Site, fault: Fault) {
    let output = site.command(&["verify", "--json"]).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    let findings: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{fault:?}: {error}: {complained}"));
    for difference in findings["differences"].as_array().unwrap() {
        assert!(
            difference["what"].as_str().unwrap().contains("demo"),
            "{fault:?}: {difference}"
        );
    }
}

/// `config check` alone reports the folder as a fault of the configuration.
fn assert_checked(site: &Site, fault: Fault) {
    let output = site.command(&["config", "check"]).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    match fault {
        Fault::Mode("inbox" | "work" | "done" | "error" | "", _) | Fault::Theirs => {
            assert_eq!(output.status.code(), Some(1), "{fault:?}");
            assert!(complained.contains("`demo`"), "{fault:?}: {complained}");
        }
        Fault::Mode(..) | Fault::MountGone | Fault::Removed => {}
    }
}
