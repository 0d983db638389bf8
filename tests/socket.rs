//! Commands find their daemon whatever their environment says, and nobody who connects to its socket keeps it from
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use support::site::{Site, mode, start_without_root};

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
fn a_folder_for_sockets_that_is_not_ours_stops_no_command() {
    let mut site = start_without_root("min_free = \"1KiB\"", &["id = \"demo\""]);
    site.end();
    // As somebody left it who ran another spool's daemon by hand.
    let shut = site.folder.path().join("shut");
    fs::create_dir(&shut).unwrap();
    mode(&shut, 0o000);
    for arguments in [&["status"][..], &["list", "patients"], &["once"]] {
        let output = site
            .command(arguments)
            .env("RUNTIME_DIRECTORY", &shut)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    mode(&shut, 0o700);
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
fn a_socket_that_was_removed_is_made_again() {
    let mut site = site();
    let path = socket(&site);
    let told = site.path("status/.socket");
    for round in 0..3 {
        let before = fs::metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match round {
            0 => {}
            // Nor does what lies in its place, or in that of what tells where it is, keep anybody.
            1 => fs::write(&path, "something else").unwrap(),
            _ => {
                fs::remove_file(&told).unwrap();
                pipe(&told);
            }
        }
        let start = Instant::now();
        elsewhere(&site, &["list", "patients"]);
        let changing = site
            .command(&["session", "cancel", "none"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&changing.stderr);
        assert!(said.contains("there is no session none"), "{said}");
        assert!(start.elapsed() < Duration::from_secs(15));
        let now = fs::symlink_metadata(&path).unwrap();
        assert!(now.file_type().is_socket() && now.mode() & 0o777 == 0o600);
        assert_ne!(now.ino(), before.ino());
    }
    site.wait_for("where it is", || {
        fs::symlink_metadata(&told).unwrap().is_file()
    });
    assert_eq!(fs::read(&told).unwrap(), path.as_os_str().as_bytes());
    let made = site.log().matches("is made again").count();
    assert_eq!(made, 3, "{}", site.log());
    site.end();
    assert!(!path.exists() && !told.exists());
}

/// The same where the socket lies in the spool, and its folder is removed.
#[test]
fn a_status_folder_that_was_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = site_that_cannot_use_its_runtime_directory(folder);
    // The daemon writes into the folder while it is emptied.
    site.wait_for("the folder to be gone", || {
        match fs::remove_dir_all(site.path("status")) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => false,
            removed => {
                removed.unwrap();
                true
            }
        }
    });
    elsewhere(&site, &["list", "patients"]);
    site.send("demo", "x.hl7", support::patient("1", "20250401120000", ""));
    site.receipt("demo", "x.hl7");
    site.wait_for("the status", || site.path("status/status.json").is_file());
    let made = fs::metadata(site.path("status")).unwrap();
    assert_eq!(made.mode() & 0o007, 0, "nobody else may look into it");
    elsewhere(&site, &["status"]);
    site.end();
}

#[test]
fn nothing_that_lies_where_the_daemon_tells_of_its_socket_keeps_a_command() {
    let mut site = site();
    site.end();
    let told = site.path("status/.socket");
    pipe(&told);
    elsewhere(&site, &["list", "patients"]);
    elsewhere(&site, &["status"]);
    fs::remove_file(&told).unwrap();
    fs::create_dir(&told).unwrap();
    elsewhere(&site, &["status"]);
    fs::remove_dir(&told).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &told).unwrap();
    elsewhere(&site, &["status"]);
    fs::remove_file(&told).unwrap();
    fs::write(&told, "/etc/passwd\n").unwrap();
    elsewhere(&site, &["status"]);
}

fn pipe(path: &Path) {
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
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
