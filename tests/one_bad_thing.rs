//! One command or file that the system answers badly to is refused, and nobody waits for it: not the desk, not another
//! hospital, and not after a restart either.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcpspool::engine::{Arrival, Engine, HoldScope};
use rcpspool::model::owner::Owner;
use rcpspool::spool::faults::Faults;
use rcpspool::spool::fs::Fs;
use rustix::fs::{CWD, Mode, OFlags};

use support::{World, patient, session, siu, take_all};

const DEMO: &str = "facilities/demo";
const NORTH: &str = "facilities/north";

/// Two hospitals, each with scheduled cases `C1` to `C4`.
fn world() -> (World, Engine) {
    let world = World::with("[[facility]]\nid = \"north\"\n");
    let engine = world.open();
    (world, engine)
}

fn with_cases(world: &World, engine: &mut Engine) {
    world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
    for place in [DEMO, NORTH] {
        for number in 1..=4 {
            let (case, ipp) = (format!("C{number}"), format!("P{number}"));
            let scheduling = siu("S12", &case, &ipp, "20250401120000", "20250408");
            world.drop(place, &format!("{case}.hl7"), scheduling);
        }
    }
    take_all(engine).unwrap();
}

fn complete(facility: &str, case: &str, pdf: &str) -> String {
    format!(
        r#"{{"command":"complete","facility":"{facility}","case":"{case}","pdf":"{pdf}","time":"2025-04-08T18:00:00+02:00"}}"#
    )
}

fn retry(files: &[&str]) -> String {
    serde_json::json!({"command": "retry", "files": files}).to_string()
}

fn said(world: &World, sidecar: &str) -> serde_json::Value {
    let text = fs::read(world.path(sidecar)).unwrap_or_else(|error| {
        panic!("{sidecar}: {error}: {:#?}", world.names(""));
    });
    serde_json::from_slice(&text).unwrap()
}

/// Nobody waits: a message of each hospital is answered, before and after a restart.
fn assert_nobody_waits(world: &World, mut engine: Engine, what: &str) {
    for round in 0..2 {
        for place in [DEMO, NORTH] {
            let name = format!("after-{round}.hl7");
            world.drop(
                place,
                &name,
                patient(&format!("PX{round}"), "20250401100000", "0612345678"),
            );
            take_all(&mut engine).unwrap();
            let receipt = world.path(&format!("{place}/outbox/acks/{name}.ack"));
            assert!(receipt.is_file(), "{what}: {place} waits");
        }
        world.drop(
            "desk",
            &format!("after-{round}.csv"),
            session("S-9", "2025-05-05", "P"),
        );
        take_all(&mut engine).unwrap();
        let receipt = format!("desk/outbox/acks/after-{round}.csv.outcome.json");
        assert!(world.path(&receipt).is_file(), "{what}: the desk waits");
        assert_eq!(engine.claims_waiting(), 0, "{what}");
        assert!(
            engine.held_back().is_empty(),
            "{what}: {:?}",
            engine.held_back()
        );
        engine.close().unwrap();
        engine = world.open();
    }
    engine.close().unwrap();
    world.assert_verified(what);
}

#[test]
fn a_pdf_that_cannot_be_read_refuses_its_command_alone() {
    let (world, mut engine) = world();
    with_cases(&world, &mut engine);
    let inbox = world.path("desk/inbox");
    fs::create_dir(inbox.join("folder.pdf")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", inbox.join("link.pdf")).unwrap();
    rustix::fs::mknodat(
        CWD,
        inbox.join("pipe.pdf"),
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let long = "x".repeat(300) + ".pdf";
    let names = [
        "folder.pdf",
        "link.pdf",
        "pipe.pdf",
        "absent.pdf",
        &long,
        "other.json",
        "other.CSV",
    ];
    for (number, name) in names.iter().enumerate() {
        world.drop(
            "desk",
            &format!("c{number}.json"),
            complete("demo", "C1", name),
        );
    }
    world.drop("desk", "other.json", complete("demo", "C2", "real.pdf"));
    world.drop("desk", "real.pdf", "%PDF-1.4 real %%EOF");
    take_all(&mut engine).unwrap();
    for (number, name) in names.iter().enumerate() {
        let sidecar = said(&world, &format!("desk/error/c{number}.json.error.json"));
        let reason = sidecar["reason"].as_str().unwrap();
        assert!(["bad-command", "unreadable"].contains(&reason), "{sidecar}");
        assert!(!sidecar["message"].as_str().unwrap().is_empty(), "{name}");
    }
    // The command that another one names as its PDF is done all the same.
    let done = world.names("desk/done");
    for name in ["/other.json", "/real.pdf"] {
        assert!(done.iter().any(|it| it.ends_with(name)), "{name}: {done:?}");
    }
    assert!(inbox.join("folder.pdf").is_dir() && inbox.join("link.pdf").is_symlink());
    assert_nobody_waits(&world, engine, "a PDF that is no file");
}

/// What the system says of the file itself: no right to it, a bad block, a name it does not take.
#[test]
fn whatever_the_system_says_of_a_pdf_refuses_its_command_alone() {
    for code in [
        libc::EACCES,
        libc::EPERM,
        libc::EIO,
        libc::ELOOP,
        libc::ENOTDIR,
        libc::EISDIR,
        libc::EINVAL,
        libc::EILSEQ,
        libc::ENAMETOOLONG,
        libc::ENOENT,
    ] {
        for in_work in [false, true] {
            let world = World::with("[[facility]]\nid = \"north\"\n");
            let faults = Arc::new(Faults::none());
            let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
            with_cases(&world, &mut engine);
            let inbox = world.path("desk/inbox");
            let is_it = move |action: &str, path: &Path| match in_work {
                true => action == "read" && path.to_string_lossy().ends_with("-badz2epdf"),
                false => *path == inbox.join("bad.pdf"),
            };
            world.drop("desk", "bad.pdf", "%PDF-1.4 bad %%EOF");
            world.drop("desk", "c.json", complete("demo", "C1", "bad.pdf"));
            faults.break_where(is_it, code);
            let taken = take_all(&mut engine);
            taken.unwrap_or_else(|error| panic!("{code}: {error}"));
            let sidecar = said(&world, "desk/error/c.json.error.json");
            let reason = sidecar["reason"].as_str().unwrap();
            assert!(
                ["bad-command", "unreadable"].contains(&reason),
                "{code}: {sidecar}"
            );
            faults.mend();
            take_all(&mut engine).unwrap();
            assert_nobody_waits(&world, engine, &format!("{code}, in work: {in_work}"));
        }
    }
}

#[test]
fn a_retry_of_what_is_no_refused_file_is_refused_alone() {
    let (world, mut engine) = world();
    world.drop(DEMO, "x.txt", "not a message");
    take_all(&mut engine).unwrap();
    fs::create_dir(world.path("facilities/demo/error/folder")).unwrap();
    std::os::unix::fs::symlink("x.txt", world.path("facilities/demo/error/link")).unwrap();
    let deep = format!("{DEMO}/error/{}x.txt", "a/".repeat(3_000));
    let long = format!("{DEMO}/error/{}", "x".repeat(300));
    let files = [
        deep.as_str(),
        &long,
        "facilities/demo/error/x.txt/y",
        "facilities/demo/error/x\0.txt",
        "facilities/demo/error/x%00.txt",
        "facilities/demo/error/folder",
        "facilities/demo/error/link",
        "facilities/demo/error/link/x",
        "facilities/demo/error/absent",
        "facilities/demo/inbox/x.txt",
        "/",
    ];
    for (number, file) in files.iter().enumerate() {
        world.drop("desk", &format!("r{number}.json"), retry(&[file]));
    }
    take_all(&mut engine).unwrap();
    for (number, file) in files.iter().enumerate() {
        let sidecar = said(&world, &format!("desk/error/r{number}.json.error.json"));
        assert_eq!(sidecar["reason"], "bad-command", "{file:?}: {sidecar}");
    }
    assert!(world.path("facilities/demo/error/x.txt").is_file());
    fs::remove_file(world.path("facilities/demo/error/link")).unwrap();
    assert_nobody_waits(&world, engine, "retries");
}

#[test]
fn a_file_that_is_retried_twice_goes_back_once() {
    let (world, mut engine) = world();
    for name in ["x.txt", "y.txt", "z.txt"] {
        world.drop(DEMO, name, "not a message");
    }
    let long = "n".repeat(245) + ".txt";
    world.drop(DEMO, &long, "not a message");
    take_all(&mut engine).unwrap();
    let path = |name: &str| format!("{DEMO}/error/{name}");
    let whole = world.path(&path("x.txt")).to_str().unwrap().to_owned();
    let named_thrice = retry(&[&path("x.txt"), &whole, &path("x.txt.error.json")]);
    world.drop("desk", "1.json", named_thrice);
    let one = retry(&[&path("y.txt")]);
    let other = retry(&[&path("y.txt.error.json")]);
    world.drop("desk", "2.json", format!("[{one},{other}]"));
    world.drop("desk", "3.json", retry(&[&path("z.txt.error.json")]));
    world.drop("desk", "4.json", retry(&[&path("z.txt")]));
    let errors = fs::read_dir(world.path(&path(""))).unwrap();
    let cut = errors
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("nnn") && name.ends_with(".error.json"))
        .unwrap();
    assert!(!cut.starts_with(&long));
    world.drop("desk", "5.json", retry(&[&path(&cut)]));
    take_all(&mut engine).unwrap();
    for name in ["x.txt", "y.txt", "z.txt", &long] {
        let inbox = world.path(&format!("{DEMO}/inbox"));
        assert!(
            inbox.join(name).is_file(),
            "{name}: {:?}",
            world.names(DEMO)
        );
        assert!(!world.path(&path(name)).exists(), "{name}");
    }
    assert_eq!(
        fs::read_dir(world.path(&format!("{DEMO}/inbox")))
            .unwrap()
            .count(),
        4
    );
    for refused in ["desk/error/2.m2.json", "desk/error/4.json"] {
        let sidecar = said(&world, &format!("{refused}.error.json"));
        assert_eq!(sidecar["reason"], "bad-command", "{sidecar}");
    }
    // Nothing differs between them and what the journal says.
    take_all(&mut engine).unwrap();
    assert_nobody_waits(&world, engine, "retried twice");
}

/// A file that was received under the name of a sidecar is retried itself.
#[test]
fn a_refused_file_with_the_name_of_a_sidecar_is_no_sidecar() {
    let (world, mut engine) = world();
    world.drop(DEMO, "x.txt", "not a message");
    take_all(&mut engine).unwrap();
    world.drop(DEMO, "y.txt.error.json", "not a message either");
    take_all(&mut engine).unwrap();
    let file = format!("{DEMO}/error/y.txt.error.json");
    world.drop("desk", "1.json", retry(&[&file]));
    take_all(&mut engine).unwrap();
    let back = world.path(&format!("{DEMO}/inbox/y.txt.error.json"));
    assert_eq!(fs::read(back).unwrap(), b"not a message either");
    assert!(world.path(&format!("{DEMO}/error/x.txt")).is_file());
    take_all(&mut engine).unwrap();
    assert_nobody_waits(&world, engine, "the name of a sidecar");
}

#[test]
fn a_pdf_is_of_the_first_command_that_names_it() {
    for group in [256, 1] {
        let settings = format!("[intake]\ngroup = {group}\n[[facility]]\nid = \"north\"\n");
        let world = World::with(&settings);
        let mut engine = world.open();
        with_cases(&world, &mut engine);
        world.drop("desk", "d.pdf", "%PDF-1.4 of a case %%EOF");
        let list = [
            complete("demo", "C1", "d.pdf"),
            complete("north", "C2", "d.pdf"),
            complete("demo", "C3", "d.pdf"),
        ];
        world.drop("desk", "1.json", format!("[{}]", list.join(",")));
        world.drop("desk", "2.json", complete("demo", "C4", "d.pdf"));
        take_all(&mut engine).unwrap();
        for refused in ["1.m2.json", "1.m3.json", "2.json"] {
            let sidecar = said(&world, &format!("desk/error/{refused}.error.json"));
            assert_eq!(sidecar["reason"], "bad-command", "{sidecar}");
        }
        let seen = world.seen().into_keys();
        let pdfs: Vec<PathBuf> = seen
            .filter(|path| path.starts_with("desk") && path.ends_with("d.pdf"))
            .collect();
        assert!(
            pdfs.len() == 1 && pdfs[0].starts_with("desk/done"),
            "{pdfs:?}"
        );
        assert_nobody_waits(&world, engine, "one PDF for four commands");
    }
}

/// A list is ended by a stop between two of its groups: the PDFs of the first go with it all the same.
#[test]
fn a_list_that_goes_on_after_a_stop_keeps_its_pdfs() {
    let settings = "[intake]\ngroup = 1\n[[facility]]\nid = \"north\"\n";
    let calls = {
        let (world, faults, mut engine) = stopping(settings, None);
        let before = faults.calls();
        drop_list(&world);
        take_all(&mut engine).unwrap();
        (before, faults.calls())
    };
    for stop in (calls.0 + 1..=calls.1).step_by(5) {
        let (world, faults, mut engine) = stopping(settings, Some(stop));
        drop_list(&world);
        let _ = take_all(&mut engine);
        drop(engine);
        assert!(faults.is_stopped());
        let mut engine = world.open();
        take_all(&mut engine).unwrap();
        let pdfs = world.names("desk");
        let pdfs: Vec<_> = pdfs.iter().filter(|it| it.ends_with(".pdf")).collect();
        let is_done = |path: &&String| path.starts_with("done/");
        assert!(
            pdfs.len() == 3 && pdfs.iter().all(is_done),
            "stopped before {stop}: {pdfs:?}"
        );
        engine.close().unwrap();
        world.assert_verified(&format!("stopped before {stop}"));
    }
}

fn drop_list(world: &World) {
    let list: Vec<String> = (1..=3)
        .map(|number| {
            let name = format!("d{number}.pdf");
            world.drop("desk", &name, format!("%PDF-1.4 {number} %%EOF"));
            complete("demo", &format!("C{number}"), &name)
        })
        .collect();
    world.drop("desk", "1.json", format!("[{}]", list.join(",")));
}

fn stopping(settings: &str, stop: Option<u64>) -> (World, Arc<Faults>, Engine) {
    use rcpspool::spool::faults::Fault;
    let world = World::with(settings);
    let faults = Arc::new(match stop {
        Some(call) => Faults::with(Fault::StopBefore(call)),
        None => Faults::none(),
    });
    let mut engine = world.open_on(Fs::with_faults(Arc::clone(&faults))).unwrap();
    with_cases(&world, &mut engine);
    (world, faults, engine)
}

/// A path as long as paths may be: what is made of it is cut, and the file gets its outcome.
#[test]
fn a_file_whose_path_is_as_long_as_paths_may_be_is_taken_in() {
    let (world, mut engine) = world();
    let inbox = world.path("facilities/demo/inbox");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    for (number, length) in [3_900, 4_080, 4_086].into_iter().enumerate() {
        let mut folder = rustix::fs::open(&inbox, flags, Mode::empty()).unwrap();
        let mut path = PathBuf::new();
        let name = format!("{number}.hl7");
        while path.as_os_str().len() + name.len() + 1 < length {
            let left = length - path.as_os_str().len() - name.len() - 2;
            let part = char::from(b'a' + number as u8)
                .to_string()
                .repeat(left.clamp(1, 250));
            rustix::fs::mkdirat(&folder, &part, Mode::from_raw_mode(0o755)).unwrap();
            folder = rustix::fs::openat(&folder, &part, flags, Mode::empty()).unwrap();
            path.push(part);
        }
        let file = rustix::fs::openat(
            &folder,
            &name,
            OFlags::WRONLY | OFlags::CREATE,
            Mode::from_raw_mode(0o644),
        )
        .unwrap();
        let text = patient(
            &format!("P{number}"),
            "20250401100000",
            ["0612345678", "061", "061"][number],
        );
        rustix::io::write(&file, text.as_bytes()).unwrap();
        drop(file);
        let arrival = Arrival {
            owner: Owner::Facility("demo".to_owned()),
            path: path.join(&name),
        };
        engine.take_in(vec![arrival]).unwrap();
        assert_eq!(engine.claims_waiting(), 0, "{length}");
        // The inbox itself is too deep to be looked at by whole paths.
        let ended = ["done", "error"].map(|folder| {
            let ended = walkdir::WalkDir::new(world.path(&format!("{DEMO}/{folder}")));
            let names = ended.into_iter().map(|entry| entry.unwrap().into_path());
            names.filter(|path| path.ends_with(&name)).count()
        });
        assert_eq!(ended.iter().sum::<usize>(), 1, "{length}");
    }
    engine.close().unwrap();
    world.assert_verified("long paths");
    let engine = world.open();
    assert!(engine.held_back().is_empty());
}

/// A redelivery to a facility that cannot be reached, or of a report whose PDF is gone, is refused; what is due to leave
/// is held for that facility alone.
#[test]
fn reports_that_cannot_leave_hold_up_nobody() {
    let (world, mut engine) = world();
    with_cases(&world, &mut engine);
    world.drop("desk", "d.pdf", "%PDF-1.4 of a case %%EOF");
    world.drop("desk", "1.json", complete("demo", "C1", "d.pdf"));
    take_all(&mut engine).unwrap();
    world.drop(DEMO, "q1.retrieve", "");
    take_all(&mut engine).unwrap();
    let redeliver = r#"{"command":"redeliver","facility":"demo","batch":1}"#;

    // The PDF is gone.
    let documents = walkdir::WalkDir::new(world.path("documents"));
    let pdf = documents
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .find(|path| path.is_file() && fs::read(path).unwrap() == b"%PDF-1.4 of a case %%EOF")
        .unwrap();
    let aside = world.folder.path().join("aside.pdf");
    fs::rename(&pdf, &aside).unwrap();
    world.drop("desk", "2.json", redeliver);
    take_all(&mut engine).unwrap();
    let sidecar = said(&world, "desk/error/2.json.error.json");
    assert_eq!(sidecar["reason"], "facility-unreachable", "{sidecar}");
    assert!(
        sidecar["message"].as_str().unwrap().contains("documents/"),
        "{sidecar}"
    );

    // One that is due to leave: on a timer, and on a request.
    world.drop("desk", "e.pdf", "%PDF-1.4 of another case %%EOF");
    world.drop("desk", "3.json", complete("demo", "C2", "e.pdf"));
    take_all(&mut engine).unwrap();
    let other = walkdir::WalkDir::new(world.path("documents"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .find(|path| path.is_file() && fs::read(path).unwrap() == b"%PDF-1.4 of another case %%EOF")
        .unwrap();
    let other_aside = world.folder.path().join("other.pdf");
    fs::rename(&other, &other_aside).unwrap();
    engine.write_due_batches().unwrap();
    world.drop(DEMO, "q2.retrieve", "");
    world.drop(
        DEMO,
        "later.hl7",
        patient("P9", "20250401100000", "0612345678"),
    );
    world.drop(NORTH, "q2.retrieve", "");
    take_all(&mut engine).unwrap();
    assert!(
        world
            .path("facilities/demo/outbox/acks/later.hl7.ack")
            .is_file()
    );
    assert!(
        world
            .path("facilities/north/outbox/reports/q2.xml")
            .is_file()
    );
    let holds = engine.holds();
    let [(place, hold)] = holds.as_slice() else {
        panic!("{holds:?}");
    };
    assert_eq!(*place, Owner::Facility("demo".to_owned()));
    assert_eq!(hold.held, HoldScope::Reports);
    assert!(hold.cause.contains("documents/"), "{hold:?}");
    fs::rename(&other_aside, &other).unwrap();
    fs::rename(&aside, &pdf).unwrap();
    take_all(&mut engine).unwrap();
    assert!(
        world
            .path("facilities/demo/outbox/reports/q2.xml")
            .is_file()
    );
    assert_eq!(engine.holds(), Vec::new());

    // The facility cannot be reached.
    let marker = world.path("facilities/demo/.rcpspool");
    fs::rename(&marker, world.folder.path().join("marker")).unwrap();
    engine.check_facilities();
    assert!(engine.unreachable().contains_key("demo"));
    world.drop("desk", "4.json", redeliver);
    world.drop(
        NORTH,
        "n.hl7",
        patient("P9", "20250401100000", "0612345678"),
    );
    take_all(&mut engine).unwrap();
    let sidecar = said(&world, "desk/error/4.json.error.json");
    assert_eq!(sidecar["reason"], "facility-unreachable", "{sidecar}");
    assert!(
        world
            .path("facilities/north/outbox/acks/n.hl7.ack")
            .is_file()
    );
    fs::rename(world.folder.path().join("marker"), &marker).unwrap();
    engine.open_facilities().unwrap();
    assert_nobody_waits(&world, engine, "reports");
}

/// A facility on a file system of its own that cannot be synced is set aside; the others go on, also when it fails at
/// each start.
#[test]
fn a_facility_whose_file_system_cannot_be_synced_is_set_aside() {
    let world = World::with("[[facility]]\nid = \"north\"\n");
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let device = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().dev()
    };
    if device(elsewhere.path()) == device(world.folder.path()) {
        println!("skipped: there is one file system only");
        return;
    }
    let mut config = rcpspool::config::Config::clone(&world.config);
    let root = elsewhere.path().join("demo");
    for facility in &mut config.facilities {
        if facility.id.as_str() == "demo" {
            facility.dir = root.clone();
        }
    }
    let faults = Arc::new(Faults::none());
    let open = || {
        let fs = Fs::with_faults(Arc::clone(&faults));
        let memory = rcpspool::engine::OpenStore::Memory;
        Engine::open(Arc::new(config.clone()), fs, memory).unwrap()
    };
    let mut engine = open();
    let drop_demo = |name: &str, ipp: &str| {
        let text = patient(ipp, "20250401100000", "0612345678");
        fs::write(root.join("inbox").join(name), text).unwrap();
    };
    drop_demo("a.hl7", "P1");
    take_all(&mut engine).unwrap();
    assert!(root.join("outbox/acks/a.hl7.ack").is_file());

    let failing = root.clone();
    let is_sync =
        move |action: &str, path: &Path| action == "sync the file system of" && path == failing;
    faults.break_where(is_sync, libc::EIO);
    for round in 0..3 {
        drop_demo(&format!("b{round}.hl7"), &format!("P2{round}"));
        let name = format!("n{round}.hl7");
        world.drop(
            NORTH,
            &name,
            patient(&format!("P3{round}"), "20250401100000", "0612345678"),
        );
        take_all(&mut engine).unwrap();
        engine.idle().unwrap();
        let receipt = format!("facilities/north/outbox/acks/{name}.ack");
        assert!(world.path(&receipt).is_file(), "{round}");
        assert!(!root.join(format!("outbox/acks/b{round}.hl7.ack")).exists());
        assert!(engine.unreachable().contains_key("demo"));
        let _ = engine.close();
        engine = open();
    }
    faults.mend();
    engine.open_facilities().unwrap();
    for _ in 0..2 {
        take_all(&mut engine).unwrap();
    }
    engine.idle().unwrap();
    for round in 0..3 {
        assert!(root.join(format!("outbox/acks/b{round}.hl7.ack")).is_file());
    }
    assert_eq!(engine.holds(), Vec::new());
    engine.close().unwrap();
    let findings = rcpspool::verify::verify(&Fs::new(), &config).unwrap();
    assert!(
        findings.differences.is_empty(),
        "{:#?}",
        findings.differences
    );
}
