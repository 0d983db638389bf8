//! What must not get out, and what must not be half there: API keys in wrong fields, commands that are killed, and
//! links in the way of `setup`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{patient, siu};

const KEY: &str = "K3Y-0f-th3-h0sp1tal";

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
        fs::write(
            folder.path().join("rcpspool.toml"),
            "[intake]\nsettle = \"0s\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\napi_key_file = \"key\"\n[[facility]]\nid = \"open\"\n",
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("spool").join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .env("RUST_LOG", "trace");
        command
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said + &String::from_utf8_lossy(&output.stdout)
    }
}

/// A message with this text in a field of its header.
fn with_header(message: &str, number: usize, text: &str) -> String {
    let (header, rest) = message.split_once('\r').unwrap();
    let mut fields: Vec<&str> = header.split('|').collect();
    fields.resize(fields.len().max(number), "");
    fields[number - 1] = text;
    format!("{}\r{rest}", fields.join("|"))
}

#[test]
fn a_key_in_a_wrong_field_is_written_nowhere() {
    let site = Site::new();
    site.says(&["setup"]);
    let adt = |ipp: &str| patient(ipp, "20250401120000", "0612345678");
    let authorised = |message: &str| with_header(message, 4, KEY);
    let mut sent = Vec::new();
    // What is told of a field may be cut, or put into upper case.
    let behind = |length: usize| format!("{}{KEY}", "x".repeat(length));
    for number in [3, 5, 6, 7, 8, 9, 10, 11, 12, 18] {
        for value in [KEY.to_owned(), behind(15), behind(60), format!("ADT^{KEY}")] {
            let message = with_header(&adt(&format!("P{number}")), number, &value);
            sent.push(message.clone());
            sent.push(authorised(&message));
        }
    }
    let scheduling = siu("S12", "C-1", "P5", "20250401120000", "20250402");
    for (old, new) in [
        ("C-1|C-1", KEY),
        ("MARTIN", KEY),
        ("PATHWAY-1", KEY),
        ("NETWORK-1", KEY),
    ] {
        sent.push(scheduling.replace(old, new));
        sent.push(authorised(&scheduling.replace(old, new)));
    }
    // It finds no session: the message is kept on a note.
    sent.push(authorised(&with_header(&scheduling, 3, KEY)));
    for (number, message) in sent.iter().enumerate() {
        for facility in ["demo", "open"] {
            // Where no key is asked for, one in MSH-4 is another's, in the wrong folder.
            let message = match facility {
                "demo" => message.clone(),
                _ => with_header(&adt("1"), 4, KEY),
            };
            let inbox = site.path("facilities").join(facility).join("inbox");
            fs::write(inbox.join(format!("{number:02}.hl7")), message).unwrap();
        }
    }
    let mut said = site.says(&["once"]);
    for what in ["patients", "cases", "notes", "documents", "errors"] {
        said += &site.says(&["list", what, "--json"]);
    }
    let holds_key = |text: &str| {
        // A piece of it, in either case, is too much.
        let text = text.to_uppercase();
        let key = KEY.to_uppercase();
        let mut pieces = key.as_bytes().windows(8);
        pieces.any(|piece| text.contains(std::str::from_utf8(piece).unwrap()))
    };
    assert!(!holds_key(&said), "it is shown");
    let acks = fs::read_dir(site.path("facilities/demo/outbox/acks"))
        .unwrap()
        .count();
    assert_eq!(acks, sent.len());
    let mut looked_at = 0;
    for entry in walkdir::WalkDir::new(site.path("")) {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        // What was received stays as it was received.
        if !entry.file_type().is_file() || name.ends_with(".hl7") {
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        looked_at += 1;
        let found = holds_key(&String::from_utf8_lossy(&bytes));
        assert!(!found, "{}", entry.path().display());
    }
    assert!(looked_at > 2 * sent.len());
    let first = fs::read_to_string(site.path("facilities/demo/outbox/acks/01.hl7.ack")).unwrap();
    assert!(
        first.contains("MSA|AA|") && first.contains("[API key]"),
        "{first}"
    );
}

#[test]
fn a_command_that_is_killed_leaves_all_or_nothing_in_the_inbox() {
    let site = Site::new();
    site.says(&["setup"]);
    let pdf = site.folder.path().join("report.pdf");
    fs::write(
        &pdf,
        [
            b"%PDF-1.7\n".to_vec(),
            vec![b'x'; 20 << 20],
            b"%%EOF\n".to_vec(),
        ]
        .concat(),
    )
    .unwrap();
    let arguments = ["complete", "demo", "C-1", "--pdf", pdf.to_str().unwrap()];
    let mut killed = 0;
    for round in 0..40 {
        let mut command = site.command(&arguments);
        command
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(10 + 8 * round));
        killed += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        for entry in fs::read_dir(site.path("desk/inbox")).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().unwrap_or_default();
            assert_eq!(ending, "json", "round {round}: {}", path.display());
            serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap();
        }
    }
    assert!(killed > 0);
    // What was dropped is done, with its PDF.
    site.says(&["once"]);
    let errors = site.says(&["list", "errors", "--json"]);
    assert!(!errors.contains("not in the desk's inbox"), "{errors}");
    let verified = site.command(&["verify"]).output().unwrap();
    assert!(verified.status.success());
}

#[test]
fn setup_follows_no_link() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: it needs root, to change owners");
        return;
    }
    let site = Site::new();
    site.says(&["setup", "--owner", "daemon"]);
    let inbox = fs::metadata(site.path("facilities/demo/inbox")).unwrap();
    assert_eq!(inbox.mode() & 0o7777, 0o2770);
    assert_ne!(inbox.uid(), 0);
    let outbox = site.path("facilities/demo/outbox");
    let (folder, file) = (
        site.folder.path().join("folder"),
        site.folder.path().join("file"),
    );
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "secret").unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let is_untouched = || {
        let (folder, file) = (fs::metadata(&folder).unwrap(), fs::metadata(&file).unwrap());
        folder.mode() & 0o7777 == 0o700 && folder.uid() == 0 && file.uid() == 0
    };
    // The daemon runs, so that no folder is made.
    let lock = fs::File::open(site.path(".lock")).unwrap();
    lock.lock().unwrap();
    fs::hard_link(&file, outbox.join("reports/hard.xml")).unwrap();
    symlink(&file, outbox.join("reports/soft.xml")).unwrap();
    symlink(&folder, outbox.join("reports/down")).unwrap();
    let said = site.says(&["setup", "--owner", "daemon"]);
    assert!(is_untouched(), "{said}");
    assert!(said.contains("hard.xml has several names"), "{said}");
    fs::remove_dir_all(outbox.join("acks")).unwrap();
    symlink(&folder, outbox.join("acks")).unwrap();
    let output = site
        .command(&["setup", "--owner", "daemon"])
        .output()
        .unwrap();
    assert!(is_untouched());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("outbox/acks"));
}
