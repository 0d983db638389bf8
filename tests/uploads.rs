//! An upload that is still open is never taken, whoever runs the program and whatever the system tells of writers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rcpspool::engine::{Arrival, Engine};
use rcpspool::model::owner::Owner;
use rcpspool::spool::fs::Fs;
use support::{World, patient};

/// Users of nobody: whom the spool belongs to, and who uploads.
const DAEMON: u32 = 45_001;
const UPLOADER: u32 = 45_002;

/// A spool of another user than root, with an inbox into which a third one uploads.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// Nothing where the test cannot change users.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("left out: it needs root, to have files of several users");
            return None;
        }
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::set_permissions(site.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "spool = {:?}\n[intake]\nsettle = \"100ms\"\nmin_free = \"1KiB\"\n[[facility]]\nid = \"demo\"\n",
            site.spool()
        );
        fs::write(site.folder.path().join("rcpspool.toml"), text).unwrap();
        site.once(None);
        for entry in walkdir::WalkDir::new(site.spool()) {
            chown(entry.unwrap().path(), Some(DAEMON), Some(DAEMON)).unwrap();
        }
        Some(site)
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn command(&self, user: Option<u32>, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcpspool"));
        command
            .current_dir("/")
            .arg("--config")
            .arg(self.folder.path().join("rcpspool.toml"))
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.folder.path());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said + &String::from_utf8_lossy(&output.stdout)
    }

    /// As root, unless a user is given.
    fn once(&self, user: Option<u32>) -> String {
        self.command(user, &["once"])
    }

    /// A file of the uploader in the inbox, open for writing.
    fn upload(&self, name: &str, content: &str) -> File {
        let path = self.spool().join("facilities/demo/inbox").join(name);
        let mut file = File::create(&path).unwrap();
        chown(&path, Some(UPLOADER), Some(UPLOADER)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn patients(&self) -> usize {
        let listed = self.command(None, &["list", "patients", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed.as_array().unwrap().len()
    }
}

fn adt(ipp: &str) -> String {
    patient(ipp, "20250401120000", "0612345678")
}

#[test]
fn root_leaves_an_upload_that_is_open() {
    let Some(site) = Site::new() else { return };
    let mut uploads: Vec<File> = (0..20)
        .map(|number| site.upload(&format!("{number}.hl7"), &adt(&format!("a{number}"))))
        .collect();
    sleep(Duration::from_millis(150));
    // What is there is whole: that the writer has it open says that more comes.
    let said = site.once(None);
    assert_eq!(site.patients(), 0, "{said}");
    assert!(!said.contains("cannot be told"), "{said}");
    for (number, upload) in uploads.iter_mut().enumerate() {
        upload
            .write_all(adt(&format!("b{number}")).as_bytes())
            .unwrap();
    }
    drop(uploads);
    site.once(None);
    assert_eq!(site.patients(), 40);
    assert!(
        site.command(None, &["verify"])
            .contains("as the journal says")
    );
}

#[test]
fn without_the_right_to_see_writers_a_cut_upload_waits() {
    let Some(site) = Site::new() else { return };
    let (first, second) = (adt("1"), adt("2"));
    let (begun, rest) = second.split_at(second.len() / 2);
    let mut upload = site.upload("x.hl7", &(first + begun));
    let whole = site.upload("y.hl7", &adt("3"));
    drop(whole);
    sleep(Duration::from_millis(150));
    let start = Instant::now();
    let said = site.once(Some(DAEMON));
    // Three further looks, a second apart.
    assert!(start.elapsed() > Duration::from_secs(3), "{said}");
    assert_eq!(said.matches("cannot be told").count(), 1, "{said}");
    assert!(said.contains("CAP_LEASE"), "{said}");
    assert_eq!(site.patients(), 1);
    upload.write_all(rest.as_bytes()).unwrap();
    drop(upload);
    site.once(Some(DAEMON));
    assert_eq!(site.patients(), 3);
}

/// Takes in what waits, looking a little more than a second apart.
fn look(engine: &mut Engine, times: usize) {
    for _ in 0..times {
        sleep(Duration::from_millis(1020));
        engine.take_in(Vec::new()).unwrap();
    }
}

fn arrive(place: &Owner, name: &str) -> Vec<Arrival> {
    vec![Arrival {
        owner: place.clone(),
        path: Path::new(name).to_owned(),
    }]
}

fn open_on_a_share(world: &World) -> Engine {
    world.open_on(Fs::silent_on_writers()).unwrap()
}

#[test]
fn on_a_share_a_file_is_taken_once_it_stays_the_same_and_ends_whole() {
    let world = World::with("[intake]\nsettle = \"100ms\"");
    let mut engine = open_on_a_share(&world);
    let demo = Owner::Facility("demo".to_owned());
    let cda = fs::read("fixtures/cda/meeting.xml").unwrap();
    let (begun, rest) = cda.split_at(cda.len() / 2);
    world.drop("facilities/demo", "c.xml", begun);
    world.drop("facilities/demo", "g.hl7", adt("1"));
    let inbox = world.path("facilities/demo/inbox");
    let append = |name: &str| {
        OpenOptions::new()
            .append(true)
            .open(inbox.join(name))
            .unwrap()
    };
    let (mut cut, mut growing) = (append("c.xml"), append("g.hl7"));
    let mut arrivals = arrive(&demo, "c.xml");
    arrivals.extend(arrive(&demo, "g.hl7"));
    engine.take_in(arrivals).unwrap();
    look(&mut engine, 2);
    growing.write_all(adt("2").as_bytes()).unwrap();
    look(&mut engine, 3);
    assert_eq!(engine.totals().accepted, 0, "it grew");
    look(&mut engine, 2);
    assert_eq!(engine.totals().accepted, 2, "it stayed the same");
    // The document is cut: it waits on, and is not counted among those that may soon be taken.
    assert_eq!((engine.claims_waiting(), engine.files_in_doubt()), (1, 0));
    cut.write_all(rest).unwrap();
    look(&mut engine, 5);
    assert_eq!(engine.claims_waiting(), 0);
    let totals = engine.totals();
    assert_eq!((totals.accepted, totals.rejected), (3, 0), "{totals:?}");
    engine.close().unwrap();
    world.assert_verified("a share");
}

#[test]
fn on_a_share_a_command_waits_for_its_pdf() {
    let world = World::with("[intake]\nsettle = \"100ms\"");
    let mut engine = open_on_a_share(&world);
    world.drop(
        "desk",
        "c.json",
        r#"{"command":"complete","facility":"demo","case":"1","pdf":"r.pdf"}"#,
    );
    world.drop("desk", "r.pdf", "%PDF-1.7\nbegun");
    engine.take_in(arrive(&Owner::Desk, "c.json")).unwrap();
    look(&mut engine, 9);
    assert_eq!(engine.totals().rejected, 0, "the PDF has no end");
    let work = world.path("desk/work");
    let claimed = fs::read_dir(work)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pdf = claimed
        .into_iter()
        .find(|path| fs::read(path).unwrap().starts_with(b"%PDF"))
        .unwrap();
    let mut pdf = OpenOptions::new().append(true).open(pdf).unwrap();
    pdf.write_all(b"\n%%EOF\n").unwrap();
    look(&mut engine, 5);
    // Nobody knows the case.
    assert_eq!(engine.totals().rejected, 1);
    assert_eq!(
        world.names("desk/error"),
        ["c.json", "c.json.error.json", "r.pdf"]
    );
    engine.close().unwrap();
    world.assert_verified("a command with its PDF");
}

#[test]
fn files_that_wait_for_their_writer_are_not_taken_for_crashers() {
    let world = World::with("[intake]\nsettle = \"100ms\"");
    let demo = Owner::Facility("demo".to_owned());
    let engine = open_on_a_share(&world);
    world.drop("facilities/demo", "x.hl7", adt("1"));
    let mut first = Some(engine);
    for start in 0..5 {
        let mut engine = first.take().unwrap_or_else(|| open_on_a_share(&world));
        let arrivals = match start {
            0 => arrive(&demo, "x.hl7"),
            _ => Vec::new(),
        };
        engine.take_in(arrivals).unwrap();
        assert_eq!((engine.claims_waiting(), engine.totals().rejected), (1, 0));
        // Killed.
        drop(engine);
    }
    let mut engine = open_on_a_share(&world);
    engine.take_in(Vec::new()).unwrap();
    look(&mut engine, 4);
    assert_eq!((engine.totals().accepted, engine.claims_waiting()), (1, 0));
    engine.close().unwrap();
    world.assert_verified("after unclean ends");
}
