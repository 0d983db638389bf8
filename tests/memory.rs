//! What a document of 20 MB costs a running daemon at its peak, as the kernel counts it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use support::{patient, session, siu};

/// More than this above idle is too much.
const ALLOWED_MB: u64 = 60;
const DOCUMENT_BYTES: usize = 20 * 1024 * 1024;

struct Daemon {
    folder: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Self {
        // Not in memory: that would be another measure.
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        let config = folder.path().join("rcpspool.toml");
        let text = format!(
            "spool = {spool:?}\n[intake]\nsettle = \"100ms\"\nmin_free = \"1KiB\"\n[[facility]]\n"
        );
        fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_rcpspool"))
            .arg("--config")
            .arg(config)
            .arg("run")
            .env("RUNTIME_DIRECTORY", folder.path())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("spool").join(below)
    }

    fn take_in(&self, station: &str, name: &str, content: &[u8], receipt: &str) -> String {
        let aside = self.folder.path().join(name);
        fs::write(&aside, content).unwrap();
        let inbox = self.path(station).join("inbox");
        wait_for("the inbox", || inbox.is_dir());
        fs::rename(aside, inbox.join(name)).unwrap();
        let receipt = self
            .path(station)
            .join("outbox/acks")
            .join(format!("{name}{receipt}"));
        wait_for(name, || receipt.is_file());
        fs::read_to_string(receipt).unwrap()
    }

    fn demo(&self, name: &str, content: &[u8]) {
        let receipt = self.take_in("facilities/demo", name, content, ".ack");
        assert!(receipt.contains("MSA|AA"), "{receipt}");
    }

    fn desk(&self, name: &str, content: &[u8]) {
        let receipt = self.take_in("desk", name, content, ".outcome.json");
        assert!(!receipt.contains("\"error\""), "{receipt}");
    }

    /// The most memory it had, in kB, since it was last forgotten.
    fn peak(&self) -> u64 {
        self.kilobytes("VmHWM:")
    }

    fn resident(&self) -> u64 {
        self.kilobytes("VmRSS:")
    }

    fn kilobytes(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// What this costs at its peak above `idle`, in MB.
    fn cost(&self, idle: u64, what: &str, doing: impl FnOnce()) -> u64 {
        self.forget_peak();
        doing();
        let cost = self.peak().saturating_sub(idle) / 1024;
        sleep(Duration::from_millis(1500));
        let rest = self.resident().saturating_sub(idle) / 1024;
        println!(
            "{what}: {cost} MB above {} MB at its peak, {rest} MB afterwards",
            idle / 1024
        );
        cost
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
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        sleep(Duration::from_millis(20));
    }
}

/// Bytes that begin like a PDF and never repeat.
fn large(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DOCUMENT_BYTES);
    bytes.extend_from_slice(b"%PDF-1.4\n");
    let mut state = seed | 1;
    while bytes.len() < DOCUMENT_BYTES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn message(seed: u64, width: usize) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(large(seed));
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(width)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    support::document("1", "20250401120000", &format!("D{seed}"), "X")
        .replace("WA==", &lines.join("\r\n"))
}

#[test]
fn a_large_document_costs_little_more_than_itself() {
    if !Path::new("/proc/self/clear_refs").exists() {
        println!("skipped: this system does not count memory in /proc");
        return;
    }
    let daemon = Daemon::start();
    daemon.desk(
        "s.csv",
        session("S-1", "2031-04-08", "PATHWAY-1").as_bytes(),
    );
    daemon.demo(
        "p.hl7",
        patient("1", "20250401120000", "0612345678").as_bytes(),
    );
    daemon.demo(
        "c.hl7",
        siu("S12", "59384", "1", "20250401120000", "20310408").as_bytes(),
    );
    let (first, second) = (message(1, usize::MAX), message(2, 76));
    let pair = message(3, usize::MAX) + &message(4, 76);
    sleep(Duration::from_millis(1500));
    let idle = daemon.resident();
    let costs = [
        daemon.cost(idle, "a document", || {
            daemon.demo("d1.hl7", first.as_bytes())
        }),
        daemon.cost(idle, "in lines", || {
            daemon.demo("d2.hl7", second.as_bytes())
        }),
        daemon.cost(idle, "said before", || {
            daemon.demo("d3.hl7", first.as_bytes())
        }),
        daemon.cost(idle, "a report", || {
            fs::write(daemon.path("desk/inbox/r.pdf"), large(5)).unwrap();
            daemon.desk(
                "c.json",
                br#"{"command":"complete","facility":"demo","case":"59384","pdf":"r.pdf","force":true}"#,
            );
        }),
        daemon.cost(idle, "its batch", || {
            fs::write(daemon.path("facilities/demo/inbox/q.retrieve"), "").unwrap();
            wait_for("the batch", || {
                daemon
                    .path("facilities/demo/outbox/reports/q.xml")
                    .is_file()
            });
        }),
        daemon.cost(idle, "four at once", || {
            let aside = daemon.folder.path().join("many");
            fs::create_dir(&aside).unwrap();
            for seed in 11..15 {
                fs::write(aside.join(format!("{seed}.hl7")), message(seed, usize::MAX)).unwrap();
            }
            fs::rename(&aside, daemon.path("facilities/demo/inbox/many")).unwrap();
            let last = daemon.path("facilities/demo/outbox/acks/many/14.hl7.ack");
            wait_for("the last of them", || last.is_file());
        }),
    ];
    assert!(costs.iter().all(|cost| *cost <= ALLOWED_MB), "{costs:?}");
    // Two documents in one file are the file and one of them.
    let two = daemon.cost(idle, "two in one file", || {
        daemon.demo("d4.hl7", pair.as_bytes())
    });
    assert!(two <= ALLOWED_MB + 30, "{two}");
}

/// A batch of many reports is written in little memory: it is streamed.
#[test]
#[ignore = "takes minutes and 5 GB of disk: cargo test --release --test memory -- --ignored --nocapture"]
fn ten_thousand_reports_leave_in_one_batch() {
    const PDF_BYTES: usize = 100_000;
    const ALLOWED_KB: u64 = 150 * 1024;
    let count: usize = match std::env::var("REPORTS") {
        Ok(text) => text.parse().expect("REPORTS is a number of reports"),
        Err(_) => 10_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let config = folder.path().join("rcpspool.toml");
    fs::write(
        &config,
        format!(
            "spool = {spool:?}\n[intake]\nsettle = \"0s\"\nmin_free = \"1KiB\"\n[reports]\nevery = \"off\"\n[[facility]]\n"
        ),
    )
    .unwrap();
    let (desk, demo) = (
        spool.join("desk/inbox"),
        spool.join("facilities/demo/inbox"),
    );
    fs::create_dir_all(&desk).unwrap();
    fs::create_dir_all(&demo).unwrap();
    // The peak of a run, in kB.
    let once = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rcpspool"))
            .arg("--config")
            .arg(&config)
            .arg("once")
            .spawn()
            .unwrap();
        let mut peak = 0;
        loop {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let status = status.unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            if let Some(line) = line {
                peak = line.trim().trim_end_matches(" kB").parse().unwrap();
            }
            if let Some(ended) = child.try_wait().unwrap() {
                assert!(ended.success(), "{ended}");
                return peak;
            }
            sleep(Duration::from_millis(5));
        }
    };
    fs::write(
        desk.join("s.csv"),
        session("S-1", "2025-04-08", "PATHWAY-1"),
    )
    .unwrap();
    once();
    let cases: String = (0..count)
        .map(|n| {
            siu(
                "S12",
                &format!("C{n}"),
                &format!("P{n}"),
                "20250401120000",
                "20250408",
            )
        })
        .collect();
    fs::write(demo.join("cases.hl7"), cases).unwrap();
    once();
    let mut commands = Vec::new();
    for n in 0..count {
        let mut pdf = format!("%PDF-1.4 {n} ").into_bytes();
        pdf.resize(PDF_BYTES - 5, b'x');
        pdf.extend_from_slice(b"%%EOF");
        fs::write(desk.join(format!("{n}.pdf")), pdf).unwrap();
        commands.push(format!(
            r#"{{"command":"complete","facility":"demo","case":"C{n}","pdf":"{n}.pdf"}}"#
        ));
    }
    fs::write(
        desk.join("complete.json"),
        format!("[{}]", commands.join(",")),
    )
    .unwrap();
    println!("completing takes {} MB at its peak", once() / 1024);
    fs::write(demo.join("q.retrieve"), "").unwrap();
    let start = Instant::now();
    let peak = once();
    let batch = spool.join("facilities/demo/outbox/reports/q.xml");
    let size = fs::metadata(&batch).unwrap().len();
    println!(
        "a batch of {count} reports, {} MB: {} MB at its peak, {:?}",
        size >> 20,
        peak / 1024,
        start.elapsed()
    );
    assert!(size as usize > count * PDF_BYTES * 16 / 9);
    assert!(peak < ALLOWED_KB, "{peak} kB");
}
