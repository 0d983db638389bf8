//! What a facility that means harm can do with its inbox, and with the outbox that is its own: everything ends with an
//! outcome, nothing crosses into another facility, nothing stops the others, nothing costs more memory than it may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rcpspool::engine::Arrival;
use rcpspool::model::owner::Owner;
use rustix::fs::{CWD, FileType, Mode};
use support::site::Site;
use support::{World, document, patient, siu, take_all};

const MIB: usize = 1 << 20;
/// The largest file that is taken where memory is measured.
const MAX_FILE_MIB: usize = 16;
/// So much may such a file cost above what the daemon has when idle: what it holds is kept no more than four times,
/// beside what the store keeps in memory.
const ALLOWED_MIB: u64 = 4 * MAX_FILE_MIB as u64 + 16;
const DEMO: &str = "id = \"demo\"";
const OTHER: &str = "id = \"other\"";

fn site(facilities: &[&str]) -> Site {
    let folder = match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    Site::start(folder, "min_free = \"1KiB\"", facilities)
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

/// Another facility is served as ever.
fn assert_others_are_served(site: &Site, name: &str) {
    site.send("other", name, adt(name));
    let receipt = site.receipt("other", name);
    assert!(receipt.contains("MSA|AA"), "{receipt}");
}

/// Says how much was put before the daemon here: what ended in `done/` or `error/`, and what is left alone.
fn tell_inputs(facility: &Path) {
    let count = |folder: &str| {
        let entries = walkdir::WalkDir::new(facility.join(folder)).into_iter();
        let inputs = entries.filter_map(Result::ok).filter(|entry| {
            !entry.file_type().is_dir() && !entry.file_name().to_string_lossy().ends_with(".json")
        });
        inputs.count()
    };
    let (ended, left) = (count("done") + count("error"), count("inbox"));
    println!("{ended} ended, {left} are left alone");
    support::figure("hostile inputs", (ended + left) as u64);
}

/// Everything below a folder that holds this text, in its content or in its name.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter();
    let files = entries.map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| {
            path.to_string_lossy().contains(text)
                || path.is_file()
                    && fs::read(path)
                        .is_ok_and(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some())
        })
        .collect()
}

#[test]
fn what_is_no_file_is_left_alone_and_leads_nowhere() {
    let mut site = site(&[DEMO, OTHER]);
    let secret = "SECRET-OF-THE-OTHER";
    site.send("other", "own.hl7", adt(secret));
    site.receipt("other", "own.hl7");
    let days = fs::read_dir(site.path("facilities/other/done")).unwrap();
    let done = days.map(|day| day.unwrap().path()).next().unwrap();
    let inbox = site.inbox("demo");
    symlink(done.join("own.hl7"), inbox.join("theirs.hl7")).unwrap();
    let day = done.file_name().unwrap().to_string_lossy();
    symlink(
        format!("../../other/done/{day}/own.hl7"),
        inbox.join("relative.hl7"),
    )
    .unwrap();
    symlink(&done, inbox.join("their-folder")).unwrap();
    symlink("/etc/passwd", inbox.join("passwd.hl7")).unwrap();
    symlink("nowhere", inbox.join("dangling.hl7")).unwrap();
    symlink("loop.hl7", inbox.join("loop.hl7")).unwrap();
    symlink("..", inbox.join("up")).unwrap();
    symlink(".", inbox.join("again")).unwrap();
    let _socket = UnixListener::bind(inbox.join("socket.hl7")).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(CWD, inbox.join("pipe.hl7"), FileType::Fifo, mode, 0).unwrap();
    let mut strange = 10;
    for (name, kind) in [
        ("null.hl7", FileType::CharacterDevice),
        ("disk.hl7", FileType::BlockDevice),
    ] {
        // Only root may make them, and not in every container.
        let device = rustix::fs::makedev(1, 3);
        if rustix::fs::mknodat(CWD, inbox.join(name), kind, mode, device).is_ok() {
            strange += 1;
        }
    }
    fs::create_dir(inbox.join("folder.hl7")).unwrap();
    fs::write(inbox.join("folder.hl7/x.hl7"), adt("1")).unwrap();
    assert!(
        site.receipt("demo", "folder.hl7/x.hl7").contains("MSA|AA"),
        "a folder is a folder, whatever its name"
    );
    assert_others_are_served(&site, "o1.hl7");
    site.wait_for("the status", || {
        let status = site.command(&["status", "--json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let folders = status["folders"].as_array().unwrap();
        folders.iter().any(|folder| folder["strange"] == strange)
    });
    site.end();
    site.assert_verified();
    tell_inputs(&site.path("facilities/demo"));
    let own = site.path("facilities/demo");
    for name in ["theirs.hl7", "passwd.hl7", "pipe.hl7", "their-folder"] {
        assert!(fs::symlink_metadata(inbox.join(name)).is_ok(), "{name}");
        assert_eq!(holding(&own, name), [inbox.join(name)]);
    }
    for entry in walkdir::WalkDir::new(&own) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let found = memchr::memmem::find(&bytes, secret.as_bytes());
            assert!(found.is_none(), "{}", entry.path().display());
        }
    }
}

/// Two names of one file are two files that say the same.
#[test]
fn hard_links_end_once_each() {
    let site = site(&[DEMO, OTHER]);
    let aside = site.folder.path().join("linked");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("a.hl7"), adt("1")).unwrap();
    fs::hard_link(aside.join("a.hl7"), aside.join("b.hl7")).unwrap();
    fs::rename(&aside, site.inbox("demo").join("linked")).unwrap();
    assert!(site.receipt("demo", "linked/a.hl7").contains("MSA|AA"));
    assert!(site.receipt("demo", "linked/b.hl7").contains("MSA|AA"));
    let ended = holding(&site.path("facilities/demo/done"), "MARTIN");
    assert_eq!(ended.len(), 2, "{ended:?}");
    tell_inputs(&site.path("facilities/demo"));
    assert_others_are_served(&site, "o.hl7");
}

#[test]
fn any_name_ends_in_done_under_itself() {
    let mut site = site(&[DEMO, OTHER]);
    let long = "n".repeat(251) + ".hl7";
    let names: [&[u8]; 14] = [
        b"new\nline.hl7",
        b"quote\"'`$(id).hl7",
        b"...hl7~x",
        b"..\\..\\x.hl7",
        b"-rf",
        b"--config=x",
        b"invalid-\xff\xfe.hl7",
        b"%2e%2e%2fx.hl7",
        b"\x1b[31mred.hl7",
        b" ",
        b"<script>.hl7",
        b"p-0-0",
        b"0000000000000001-0-00000000000000000000000000000000-xz2ehl7",
        long.as_bytes(),
    ];
    // `.` at the start means unfinished: these are left alone, as configured.
    let is_ignored = |name: &[u8]| name.starts_with(b".");
    for (number, name) in names.iter().enumerate() {
        let aside = site.folder.path().join("aside");
        fs::write(&aside, adt(&format!("N{number}"))).unwrap();
        fs::rename(&aside, site.inbox("demo").join(OsStr::from_bytes(name))).unwrap();
    }
    let day = || {
        let days = fs::read_dir(site.path("facilities/demo/done")).unwrap();
        days.map(|day| day.unwrap().path()).next()
    };
    for name in names.iter().filter(|name| !is_ignored(name)) {
        let shown = String::from_utf8_lossy(name).into_owned();
        site.wait_for(&shown, || {
            day().is_some_and(|day| day.join(OsStr::from_bytes(name)).is_file())
        });
    }
    assert!(site.inbox("demo").join("...hl7~x").is_file());
    let acks = site.path("facilities/demo/outbox/acks");
    let taken = names.iter().filter(|name| !is_ignored(name)).count();
    site.wait_for("the receipts", || {
        fs::read_dir(&acks).unwrap().count() == taken
    });
    // The same again, refused: what is shown of them on a terminal moves no cursor.
    for name in [&b"\x1b[31mred.hl7"[..], b"new\nline.hl7"] {
        fs::write(
            site.inbox("demo").join(OsStr::from_bytes(name)),
            adt("R").replace("0612345678", "1"),
        )
        .unwrap();
    }
    site.wait_for("the refusals", || {
        let refused = fs::read_dir(site.path("facilities/demo/error")).unwrap();
        refused.count() == 4
    });
    let listed = site.command(&["list", "errors"]).output().unwrap();
    assert!(listed.status.success());
    let shown = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!shown.contains('\x1b'), "{shown:?}");
    assert!(shown.contains("red"), "{shown:?}");
    assert_others_are_served(&site, "o.hl7");
    tell_inputs(&site.path("facilities/demo"));
    site.end();
    site.assert_verified();
}

/// A file that was refused lies where a later folder of the same name would go, and the other way round.
#[test]
fn a_file_and_a_folder_of_one_name_do_not_meet() {
    let mut site = site(&[DEMO, OTHER]);
    let inbox = site.inbox("demo");
    let put = |folder: &str, name: &str, content: &str| {
        fs::create_dir_all(inbox.join(folder)).unwrap();
        site.send("demo", &format!("{folder}/{name}"), content);
    };
    // Refused, taken in, and as the name of a receipt and of a sidecar.
    site.send("demo", "a", "nonsense");
    site.send("demo", "b.hl7", adt("1"));
    site.receipt("demo", "a");
    site.receipt("demo", "b.hl7");
    put("a", "x.hl7", "nonsense");
    put("b.hl7", "x.hl7", &adt("2"));
    put("b.hl7.ack", "x.hl7", &adt("3"));
    put("a.error.json/deep", "x.hl7", "nonsense");
    site.receipt("demo", "a.2/x.hl7");
    site.receipt("demo", "b.2.hl7/x.hl7");
    site.receipt("demo", "b.hl7.2.ack/x.hl7");
    site.receipt("demo", "a.error.2.json/deep/x.hl7");
    // A folder first, then files of its name.
    put("c", "x.hl7", "nonsense");
    site.receipt("demo", "c/x.hl7");
    fs::remove_dir(inbox.join("c")).unwrap();
    site.send("demo", "c", "nonsense");
    site.receipt("demo", "c.2");
    assert_others_are_served(&site, "o.hl7");
    tell_inputs(&site.path("facilities/demo"));
    site.end();
    site.assert_verified();
}

/// The folder of receipts may be the facility's own, so that it can remove what it fetched.
#[test]
fn what_is_put_in_the_way_is_gone_around() {
    let mut site = site(&[DEMO, OTHER]);
    let acks = site.path("facilities/demo/outbox/acks");
    fs::create_dir(acks.join("x.hl7.ack")).unwrap();
    symlink("/etc", acks.join("folder")).unwrap();
    fs::write(acks.join("second"), "in the way").unwrap();
    let error = site.path("facilities/demo/error");
    fs::create_dir(error.join("y.hl7")).unwrap();
    symlink("nowhere", error.join("z.hl7.error.json")).unwrap();
    for folder in ["folder", "second"] {
        fs::create_dir(site.inbox("demo").join(folder)).unwrap();
        site.send("demo", &format!("{folder}/x.hl7"), adt(folder));
    }
    site.send("demo", "x.hl7", adt("1"));
    site.send("demo", "y.hl7", "nonsense");
    site.send("demo", "z.hl7", "nonsense");
    for name in ["folder.2/x.hl7", "second.2/x.hl7", "x.2.hl7"] {
        assert!(site.receipt("demo", name).contains("MSA|AA"), "{name}");
    }
    for name in ["y.2.hl7", "z.2.hl7"] {
        assert!(site.receipt("demo", name).contains("unknown-format"));
        assert!(error.join(name).is_file(), "{name}");
        assert!(error.join(format!("{name}.error.json")).is_file());
    }
    assert!(!Path::new("/etc/x.hl7.ack").exists());
    assert_others_are_served(&site, "o.hl7");
    tell_inputs(&site.path("facilities/demo"));
    site.end();
}

/// Between the look at an inbox and the claim, what was seen becomes something else.
#[test]
fn what_changes_between_the_sweep_and_the_claim_leads_nowhere() {
    let world = World::new();
    let mut engine = world.open();
    let outside = world.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x.hl7"), adt("OUTSIDE")).unwrap();
    let inbox = world.path("facilities/demo/inbox");
    let arrival = |name: &str| Arrival {
        owner: Owner::Facility("demo".to_owned()),
        path: PathBuf::from(name),
    };
    // The folder of the file is now a link.
    symlink(&outside, inbox.join("sub")).unwrap();
    // The file itself is a link, a pipe, a folder; or it is gone.
    symlink(outside.join("x.hl7"), inbox.join("link.hl7")).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(CWD, inbox.join("pipe.hl7"), FileType::Fifo, mode, 0).unwrap();
    fs::create_dir(inbox.join("folder.hl7")).unwrap();
    world.drop("facilities/demo", "good.hl7", adt("1"));
    let names = [
        "sub/x.hl7",
        "link.hl7",
        "pipe.hl7",
        "folder.hl7",
        "gone.hl7",
        "good.hl7",
        "../../../outside/x.hl7",
    ];
    engine.take_in(names.map(arrival).to_vec()).unwrap();
    engine.idle().unwrap();
    let totals = engine.totals();
    assert_eq!((totals.accepted, totals.rejected), (1, 3), "{totals:?}");
    assert!(outside.join("x.hl7").is_file());
    let error = world.path("facilities/demo/error");
    for name in ["link.hl7", "pipe.hl7", "folder.hl7"] {
        assert!(fs::symlink_metadata(error.join(name)).is_ok(), "{name}");
        let sidecar = fs::read_to_string(error.join(format!("{name}.error.json"))).unwrap();
        assert!(sidecar.contains("unreadable"), "{sidecar}");
    }
    assert_eq!(engine.claims_waiting(), 0);
    tell_inputs(&world.path("facilities/demo"));
    engine.close().unwrap();
    assert!(holding(&world.path("facilities/demo/done"), "OUTSIDE").is_empty());
}

/// Writers that append, cut and remove while the file is claimed and read.
#[test]
fn files_that_change_while_they_are_read_are_read_whole_or_not_at_all() {
    let mut site = site(&[DEMO, OTHER]);
    let inbox = site.inbox("demo");
    let line = "NTE|1||".to_owned() + &"x".repeat(1000) + "\r";
    for round in 0..20 {
        let path = inbox.join(format!("r{round}.hl7"));
        let mut file = File::create(&path).unwrap();
        file.write_all(adt(&format!("R{round}")).as_bytes())
            .unwrap();
        // By another handle, as the rename has taken the name away by then.
        let other = OpenOptions::new().write(true).open(&path).unwrap();
        sleep(Duration::from_millis(30 * (round % 8)));
        for _ in 0..50 {
            let _ = file.write_all(line.as_bytes());
        }
        let length = other.metadata().unwrap().len();
        let _ = other.set_len(length / 2);
        if round % 3 == 0 {
            let _ = fs::remove_file(&path);
        }
    }
    assert_others_are_served(&site, "o.hl7");
    let left = || {
        let files = walkdir::WalkDir::new(site.path("facilities/demo")).into_iter();
        let files = files.map(|entry| entry.unwrap().into_path());
        let is_waiting = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            path.is_file()
                && !name.starts_with('.')
                && ["inbox", "work"]
                    .iter()
                    .any(|folder| path.parent().is_some_and(|parent| parent.ends_with(folder)))
        };
        files.filter(is_waiting).count()
    };
    site.wait_for("the last of them", || left() == 0);
    tell_inputs(&site.path("facilities/demo"));
    site.end();
    site.assert_verified();
    for entry in walkdir::WalkDir::new(site.path("facilities/demo/done")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let text = fs::read_to_string(entry.path()).unwrap();
            assert!(text.starts_with("MSH|"), "{text}");
        }
    }
}

/// A file in which a facility names what belongs to another finds nothing: its keys are its own.
#[test]
fn the_keys_of_a_facility_are_its_own() {
    let key = "k-0c5f41-secret";
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    fs::write(&key_file, format!("{key}\n")).unwrap();
    let guarded = format!("id = \"guarded\"\napi_key_file = {key_file:?}");
    let mut site = Site::start(folder, "min_free = \"1KiB\"", &[DEMO, OTHER, &guarded]);
    let scheduled = siu("S12", "CASE-1", "P-OTHER", "20250401120000", "20250408");
    site.send("other", "s.hl7", &scheduled);
    assert!(site.receipt("other", "s.hl7").contains("MSA|AA"));
    // A cancel of another's case, a document for another's patient, a move of another's case.
    let cancel = siu("S15", "CASE-1", "P-MINE", "20250402120000", "20250408");
    site.send("demo", "c.hl7", cancel);
    site.receipt("demo", "c.hl7");
    site.send(
        "demo",
        "d.hl7",
        document("P-OTHER", "20250402120000", "D1", "%PDF-1.4 x"),
    );
    assert!(site.receipt("demo", "d.hl7").contains("unknown-patient"));
    let show = ["show", "case", "other", "CASE-1", "--json"];
    let case = site.command(&show).output().unwrap();
    let case: serde_json::Value = serde_json::from_slice(&case.stdout).unwrap();
    assert_eq!(case["state"], "unscheduled", "{case}");
    assert_eq!(case["documents"].as_array().unwrap().len(), 0);
    // A wrong key is refused and told to nobody; the right one is told to nobody either.
    let wrong = "w-77aa20-guess";
    for (name, sent, answer) in [
        ("wrong.hl7", wrong, "unauthorised"),
        ("right.hl7", key, "MSA|AA"),
        ("prefix.hl7", &key[..8], "unauthorised"),
    ] {
        site.send("guarded", name, adt("1").replace("HOSPITAL", sent));
        let receipt = site.receipt("guarded", name);
        assert!(receipt.contains(answer), "{receipt}");
    }
    tell_inputs(&site.path("facilities/demo"));
    tell_inputs(&site.path("facilities/guarded"));
    site.end();
    site.assert_verified();
    for (secret, received) in [(key, "done"), (wrong, "error")] {
        let found = holding(&site.path(""), secret);
        assert_eq!(found.len(), 1, "{found:?}");
        let as_received = site.path("facilities/guarded").join(received);
        assert!(found[0].starts_with(as_received), "{found:?}");
    }
    assert!(!site.log().contains(key) && !site.log().contains(wrong));
}

#[test]
fn a_document_is_what_its_content_says() {
    let site = site(&[DEMO, OTHER]);
    site.send("demo", "p.hl7", adt("1"));
    site.receipt("demo", "p.hl7");
    let ends = [
        ("MZ\u{90}\u{0}\u{3}\u{0}program", "document-type"),
        ("\u{7f}ELF\u{2}\u{1}\u{1}\u{0}\u{0}", "document-type"),
        ("PK\u{3}\u{4}\u{14}\u{0}\u{8}\u{0}zip", "document-type"),
        ("%PDF-1.4 honest", "MSA|AA"),
    ];
    for (number, (content, answer)) in ends.iter().enumerate() {
        let name = format!("d{number}.hl7");
        let id = format!("D{number}");
        site.send("demo", &name, document("1", "20250401120000", &id, content));
        let receipt = site.receipt("demo", &name);
        assert!(receipt.contains(answer), "{content:?}: {receipt}");
    }
    let garbage = document("1", "20250401120000", "G", "x").replace("eA==", "*(&^%$#@");
    site.send("demo", "garbage.hl7", garbage);
    assert!(site.receipt("demo", "garbage.hl7").contains("bad-base64"));
    tell_inputs(&site.path("facilities/demo"));
    assert_others_are_served(&site, "o.hl7");
}

/// This text with so many bytes put where `@` stands.
fn filled(text: &str, filling: &str, bytes: usize) -> Vec<u8> {
    let (before, after) = text.split_once('@').unwrap();
    let times = bytes / filling.len();
    [before, &filling.repeat(times), after]
        .concat()
        .into_bytes()
}

/// What each of these costs a running daemon at its peak; whatever it is, it ends, and the next file is served.
#[test]
fn nothing_costs_more_memory_than_it_may() {
    if !Path::new("/proc/self/clear_refs").exists() {
        println!("skipped: this system does not count memory in /proc");
        return;
    }
    // Not in memory: that would be another measure.
    let mut site = Site::start(
        tempfile::tempdir().unwrap(),
        &format!("min_free = \"1KiB\"\nmax_file = \"{MAX_FILE_MIB}MiB\""),
        &[DEMO, OTHER],
    );
    let most = (MAX_FILE_MIB - 1) * MIB;
    let header = adt("1");
    let header = header.split('\r').next().unwrap().to_owned() + "\r";
    let person = |ids: &str, more: &str| {
        format!("{header}PID|1||{ids}||MARTIN^JEANNE^^^^^L||19501104|F{more}\r")
    };
    let own = "1^^^CHU-X^PI";
    let several = |number: usize| -> String {
        (0..number)
            .map(|number| adt(&format!("B{number}")))
            .collect()
    };
    let xml =
        "<?xml version=\"1.0\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\">@</ClinicalDocument>";
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=\"\"")).collect();
    let order = document("1", "20250401120000", "D", "%PDF-1.4 x");
    let (order, file) = order.split_at(order.find("OBX|").unwrap());
    // What is sent, and how it ends.
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "field.hl7",
            filled(&(person(own, "") + "NTE|1||@\r"), "x", most),
            "MSA|AA",
        ),
        (
            "nul.hl7",
            filled(&(person(own, "") + "NTE|1||@\r"), "\0", most),
            "MSA|AA",
        ),
        (
            "segments.hl7",
            filled(&(person(own, "") + "@"), "ZZZ|1\r", most),
            "MSA|AA",
        ),
        (
            "birth.hl7",
            filled(&person(own, "").replace("19501104", "@"), "9", most),
            "malformed",
        ),
        (
            "ids.hl7",
            filled(&person(&format!("{own}@"), ""), "~1", most),
            "malformed",
        ),
        (
            "phones.hl7",
            filled(&person(own, "|||||@"), "061^PRN^PH~", most),
            "malformed",
        ),
        (
            "batches.hl7",
            filled(
                &format!("@{header}{}", &person(own, "")[header.len()..]),
                "BHS|^~\\&|\r",
                most,
            ),
            "MSA|AA",
        ),
        (
            "headers.hl7",
            filled("@", "MSH|^~\\&|\r", most),
            "malformed",
        ),
        ("many.hl7", several(5_000).into_bytes(), "MSA|AA"),
        (
            "refused.hl7",
            filled(
                &(adt("1") + "@"),
                "MSH|^~\\&|A|B|C|D|20250401||ZZZ\r",
                2_000 * 31,
            ),
            "MSA|AA",
        ),
        (
            "base64.hl7",
            filled(
                &format!("{order}{}", file.replace("JVBERi0xLjQgeA==", "@")),
                "!",
                most,
            ),
            "bad-base64",
        ),
        (
            "documents.hl7",
            filled(
                &format!("{order}@"),
                "OBX|1|ED|1^CR||^AP^PDF^Base64^QUFB\r",
                most,
            ),
            "malformed",
        ),
        (
            "dtd.xml",
            format!(
                "<!DOCTYPE a [<!ENTITY a \"{}\">]><a>&a;</a>",
                "b".repeat(MIB)
            )
            .into_bytes(),
            "xml-doctype",
        ),
        ("deep.xml", filled(xml, "<a>", most), "malformed"),
        ("elements.xml", filled(xml, "<a/>", most), "malformed"),
        (
            "attributes.xml",
            xml.replace('@', &format!("<a{attributes}/>")).into_bytes(),
            "malformed",
        ),
        ("text.xml", filled(xml, "x", most), "unsupported-document"),
        ("nonsense.txt", vec![b'?'; most], "unknown-format"),
    ];
    site.send("other", "first.hl7", adt("1"));
    site.receipt("other", "first.hl7");
    sleep(Duration::from_millis(1500));
    let idle = site.peak();
    let mut dear = Vec::new();
    for (name, content, answer) in &cases {
        site.forget_peak();
        let begun = std::time::Instant::now();
        site.send("demo", name, content);
        let receipt = site.receipt("demo", name);
        let cost = site.peak().saturating_sub(idle);
        println!(
            "{name}: {} MiB cost {cost} MiB at the peak and {:?}",
            content.len() / MIB,
            begun.elapsed()
        );
        let start: String = receipt.chars().take(400).collect();
        assert!(receipt.contains(answer), "{name}: {start}");
        if cost > ALLOWED_MIB {
            dear.push(format!("{name}: {cost} MiB"));
        }
    }
    // Two gigabytes of nothing are not read.
    let sparse = site.folder.path().join("sparse");
    File::create(&sparse).unwrap().set_len(2 << 30).unwrap();
    site.forget_peak();
    fs::rename(sparse, site.inbox("demo").join("sparse.hl7")).unwrap();
    assert!(site.receipt("demo", "sparse.hl7").contains("too-large"));
    let cost = site.peak().saturating_sub(idle);
    println!("2 GiB of zeros cost {cost} MiB at the peak");
    assert!(dear.is_empty(), "{dear:#?}");
    assert!(cost <= ALLOWED_MIB, "{cost}");
    assert_others_are_served(&site, "last.hl7");
    site.end();
    site.assert_verified();
    support::figure("hostile inputs", cases.len() as u64 + 1);
}

/// With files that nobody may read, the others go on.
#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let world = World::new();
    let mut engine = world.open();
    world.drop("facilities/demo", "a.hl7", adt("1"));
    world.drop("facilities/demo", "b.hl7", adt("2"));
    use std::os::unix::fs::PermissionsExt;
    let path = world.path("facilities/demo/inbox/a.hl7");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let totals = take_all(&mut engine).unwrap();
    assert_eq!((totals.accepted, totals.rejected), (1, 1));
}
