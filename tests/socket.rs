//! Commands find their daemon whatever their environment says, and nobody who connects to its socket keeps it from
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use support::site::Site;

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    Site::start(folder, "min_free = \"1KiB\"", &["id = \"demo\""])
}

fn socket(site: &Site) -> PathBuf {
    let entries = fs::read_dir(site.folder.path()).unwrap();
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sock");
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(is_socket).unwrap()
}

/// A command in the environment of an operator, which is not the daemon's.
fn elsewhere(site: &Site, arguments: &[&str]) -> Output {
    let start = Instant::now();
    let output = site
        .command(arguments)
        .env_remove("RUNTIME_DIRECTORY")
        .env(
            "XDG_RUNTIME_DIR",
            site.folder.path().join("of-the-operator"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(start.elapsed() < Duration::from_secs(20), "{said}");
    output
}

#[test]
fn a_command_finds_the_daemon_whatever_its_environment() {
    let mut site = site();
    site.send("demo", "x.hl7", support::patient("1", "20250401120000", ""));
    site.receipt("demo", "x.hl7");
    let listed = elsewhere(&site, &["list", "patients", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    elsewhere(&site, &["once"]);

    // What a killed daemon left leads nowhere, and the next one is found.
    site.signal(Signal::KILL);
    sleep(Duration::from_millis(200));
    elsewhere(&site, &["list", "patients"]);
    site.run();
    elsewhere(&site, &["list", "patients"]);
    site.end();
    let left = fs::read_dir(site.path("status")).unwrap();
    let mut left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.any(|name| name.contains("sock")));
    elsewhere(&site, &["list", "patients"]);
}

#[test]
fn a_daemon_without_a_folder_for_sockets_is_found_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = site_that_cannot_use_its_runtime_directory(folder);
    elsewhere(&site, &["list", "patients"]);
    site.end();
}

fn site_that_cannot_use_its_runtime_directory(folder: tempfile::TempDir) -> Site {
    let site = Site::start(folder, "min_free = \"1KiB\"", &["id = \"demo\""]);
    // Its socket's name is taken by a folder from the next start on.
    let taken = socket(&site);
    site.signal(Signal::KILL);
    sleep(Duration::from_millis(200));
    fs::remove_file(&taken).unwrap();
    fs::create_dir(&taken).unwrap();
    let mut site = site;
    site.run();
    site
}

#[test]
fn a_thousand_who_say_nothing_keep_nobody_away() {
    let mut site = site();
    let path = socket(&site);
    let silent: Vec<UnixStream> = (0..1000)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    elsewhere(&site, &["list", "patients"]);
    // Half a question is no question.
    for mut stream in &silent {
        let _ = stream.write_all(b"{");
    }
    elsewhere(&site, &["list", "patients"]);
    let threads = fs::read_dir(task_folder(&site)).unwrap().count();
    assert!(threads < 40, "{threads} threads");
    let mut last = silent.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let start = Instant::now();
    assert_eq!(last.read(&mut [0]).unwrap_or(0), 0);
    assert!(start.elapsed() < Duration::from_secs(30), "it is closed");
    site.end();
}

fn task_folder(site: &Site) -> PathBuf {
    Path::new("/proc").join(pid(site).to_string()).join("task")
}

/// As the daemon wrote it into its lock.
fn pid(site: &Site) -> i32 {
    let lock = fs::read_to_string(site.path(".lock")).unwrap();
    lock.trim().parse().unwrap()
}

#[test]
fn a_shortage_of_open_files_is_waited_out() {
    let mut site = site();
    let path = socket(&site);
    let pid = pid(&site);
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let pid = Pid::from_raw(pid);
    let limit = |current: u64| Rlimit {
        current: Some(current),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(pid, Resource::Nofile, limit(open + 2)).unwrap();
    let silent: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    site.wait_for("the shortage", || {
        site.log().contains("nobody more can connect")
    });
    drop(silent);
    prlimit(pid, Resource::Nofile, before).unwrap();
    elsewhere(&site, &["list", "patients"]);
    assert!(!site.log().contains("the local socket failed"));
    site.end();
}
