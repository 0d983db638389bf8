//! The session folders: what the secretariat finds there, and that it never finds half of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcpspool::engine::Engine;
use rcpspool::spool::faults::{Fault, Faults};
use rcpspool::spool::fs::Fs;

use support::site::Site;
use support::{World, document, siu, take_all};

const SESSIONS: &str = "desk/sessions";

/// The list of a session at the pathway of [`siu`]'s messages.
fn session(id: &str, label: &str, state: &str) -> String {
    format!(
        "id;label;date;start;pathway_id;family_id;lead_rpps;lead_family;lead_given;state\n\
         {id};{label};2031-04-08;14:00;PATHWAY-1;;10102078838;DURAND;Anne;{state}\n"
    )
}

/// A document with a questionnaire, for the session of [`session`].
fn questionnaire() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("20250415", "20310408")
        .replace("THORAX", "PATHWAY-1")
}

/// Drops files, takes them in, and ends cleanly.
fn take(world: &World, files: &[(&str, &str, String)]) {
    let mut engine = world.open();
    for (place, name, content) in files {
        world.drop(place, name, content);
    }
    let totals = take_all(&mut engine).unwrap();
    assert_eq!(totals.rejected, 0, "{totals:?}");
    engine.close().unwrap();
}

/// A session with three cases, one of them with a questionnaire, one with two documents of one name.
fn filled() -> World {
    let world = World::new();
    let demo = "facilities/demo";
    take(
        &world,
        &[
            ("desk", "s.csv", session("S-1", "RCP Thorax", "planned")),
            (
                demo,
                "a.hl7",
                siu("S12", "C/1", "P1", "20250401120000", "20310408"),
            ),
            (
                demo,
                "b.hl7",
                siu("S12", "C-1", "P2", "20250401120000", "20310408"),
            ),
            (demo, "c.xml", questionnaire()),
            (
                demo,
                "d1.hl7",
                to_case(
                    &document("P1", "20250402120000", "D1", "%PDF-1.4 one"),
                    "C/1",
                ),
            ),
            (
                demo,
                "d2.hl7",
                to_case(
                    &document("P1", "20250402120000", "D2", "%PDF-1.4 two"),
                    "C/1",
                ),
            ),
        ],
    );
    world
}

/// The document names the case that it belongs to.
fn to_case(message: &str, case: &str) -> String {
    message.replace("ORC|NW", &format!("ORC|NW|{case}"))
}

/// Everything below the folder of the sessions, but our own record.
fn shown(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = world.path(SESSIONS);
    walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| entry.file_name() != ".contents.json")
        .map(|entry| {
            let below = entry.path().strip_prefix(&root).unwrap().to_owned();
            (below, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn names(world: &World) -> Vec<String> {
    let names = shown(world).into_keys();
    names
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

fn page(world: &World, folder: &str) -> String {
    std::fs::read_to_string(world.path(SESSIONS).join(folder).join("index.html")).unwrap()
}

#[test]
fn names_stand_as_french_sorts_them() {
    let world = World::new();
    let names = [
        "Zola",
        "ÉTIENNE",
        "Estève",
        "œuvrard",
        "Oger",
        "ETIENNE-BIS",
        "Étienne",
    ];
    let mut files = vec![("desk", "s.csv".to_owned(), session("S-1", "RCP", "planned"))];
    for (number, name) in names.iter().enumerate() {
        let ipp = format!("P{number}");
        let message = siu(
            "S12",
            &format!("C-{number}"),
            &ipp,
            "20250401120000",
            "20310408",
        );
        let message = message.replace("MARTIN", name);
        assert!(message.contains(name), "{message}");
        files.push(("facilities/demo", format!("{number}.hl7"), message));
    }
    let files: Vec<(&str, &str, String)> = files
        .iter()
        .map(|(place, name, content)| (*place, name.as_str(), content.clone()))
        .collect();
    take(&world, &files);
    let page = page(&world, "2031-04-08_RCP");
    let mut at: Vec<(usize, &str)> = names
        .iter()
        .map(|name| (page.find(&format!("<b>{name} ")).unwrap(), *name))
        .collect();
    at.sort_unstable();
    let shown: Vec<&str> = at.into_iter().map(|(_, name)| name).collect();
    let sorted = [
        "Estève",
        "ÉTIENNE",
        "Étienne",
        "ETIENNE-BIS",
        "œuvrard",
        "Oger",
        "Zola",
    ];
    assert_eq!(shown, sorted);
}

/// Whatever pages there are are whole, and every link on them leads to a file that is there.
fn assert_whole(world: &World, when: &str) -> usize {
    let shown = shown(world);
    let pages = shown
        .iter()
        .filter(|(path, _)| path.file_name().unwrap() == "index.html" && !path.starts_with(".new"));
    let mut count = 0;
    for (path, bytes) in pages {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.ends_with("</body></html>\n"), "{when}: {path:?}");
        for link in text.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap();
            let target = path.parent().unwrap().join(unescaped(link));
            let content = shown.get(&target);
            assert!(
                content.is_some_and(|it| it.starts_with(b"%PDF") || it.starts_with(b"<?xml")),
                "{when}: {target:?}"
            );
            count += 1;
        }
    }
    count
}

/// An address with its `%xx` as the bytes they stand for.
fn unescaped(link: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = link.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let code = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_session_has_a_page_and_the_files_of_its_cases() {
    let world = filled();
    assert_eq!(
        names(&world),
        [
            "2031-04-08_RCP-Thorax/GARNIER-Rosie_CASE-77/CDA-CASE-77.xml",
            "2031-04-08_RCP-Thorax/GARNIER-Rosie_CASE-77/questionnaire.pdf",
            "2031-04-08_RCP-Thorax/MARTIN-JEANNE_C-1_2/CR.pdf",
            "2031-04-08_RCP-Thorax/MARTIN-JEANNE_C-1_2/CR_2.pdf",
            "2031-04-08_RCP-Thorax/index.html",
        ]
    );
    assert_eq!(assert_whole(&world, "filled"), 4);
    let page = page(&world, "2031-04-08_RCP-Thorax");
    for told in [
        "RCP Thorax",
        "mardi 8 avril 2031 à 14:00",
        "DURAND Anne",
        "GARNIER Rosie",
        "née LE GOFF",
        "née le 14/02/1960",
        "DEMANDE Julie",
        "Surveillance &lt; 3 mois ?",
        "3 dossiers · 2 sans questionnaire",
        "C/1",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
}

#[test]
fn the_copies_are_not_the_originals() {
    let world = filled();
    let copy = world
        .path(SESSIONS)
        .join("2031-04-08_RCP-Thorax/MARTIN-JEANNE_C-1_2/CR.pdf");
    let original = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, "scribbled on").unwrap();
    let documents: Vec<Vec<u8>> = walkdir::WalkDir::new(world.path("documents"))
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| std::fs::read(entry.path()).unwrap())
        .collect();
    assert!(documents.contains(&original));
    assert!(!documents.contains(&b"scribbled on".to_vec()));
}

#[test]
fn it_follows_the_session_and_its_cases() {
    let world = filled();
    let beside = world.path(SESSIONS).join("2031-04-08_RCP-Thorax/notes.txt");
    std::fs::write(&beside, "mine").unwrap();
    take(
        &world,
        &[
            ("desk", "s2.csv", session("S-1", "RCP Poumon", "planned")),
            ("facilities/demo", "e.hl7", siu("S15", "C/1", "P1", "20250403120000", "20310408")),
            (
                "desk",
                "t.json",
                r#"{"command":"complete","facility":"demo","case":"CASE-77","decision":"Chirurgie","force":true}"#.to_owned(),
            ),
        ],
    );
    assert_eq!(
        names(&world),
        [
            "2031-04-08_RCP-Poumon/GARNIER-Rosie_CASE-77/CDA-CASE-77.xml",
            "2031-04-08_RCP-Poumon/GARNIER-Rosie_CASE-77/compte-rendu.pdf",
            "2031-04-08_RCP-Poumon/GARNIER-Rosie_CASE-77/questionnaire.pdf",
            "2031-04-08_RCP-Poumon/index.html",
            "2031-04-08_RCP-Poumon/notes.txt",
        ]
    );
    let text = page(&world, "2031-04-08_RCP-Poumon");
    assert!(
        text.contains("Terminé") && text.contains("2 dossiers"),
        "{text}"
    );
    assert!(!text.contains("à renouveler"), "{text}");
    let corrected = "MSH|^~\\&|GAM|CHU|||20250404100000||ADT^A08^ADT_A01|1|P|2.5|||||FRA|UTF-8\rEVN||20250404\r\
                     PID|1||P-77^^^^PI||LE GOFF^Rose^^^^^L~GARNIER^Rosie^^^^^D||19600215|F\r";
    let corrected = [("facilities/demo", "a.hl7", corrected.to_owned())];
    take(&world, &corrected);
    let text = page(&world, "2031-04-08_RCP-Poumon");
    let outdated = "Compte rendu à renouveler : identité du patient";
    assert!(text.contains(outdated), "{text}");
    take(
        &world,
        &[("desk", "s3.csv", session("S-1", "RCP Poumon", "cancelled"))],
    );
    let text = page(&world, "2031-04-08_RCP-Poumon");
    assert!(text.contains("Cette réunion est annulée"), "{text}");
    let notes = world.path(SESSIONS).join("2031-04-08_RCP-Poumon/notes.txt");
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "mine");
}

#[test]
fn hostile_and_equal_labels_do_no_harm() {
    let world = World::new();
    let hostile = "../../<script>alert(1)</script>&\"";
    let mut files = Vec::new();
    for (name, id, label) in [
        ("1.csv", "S-1", hostile),
        ("2.csv", "S-2", hostile),
        ("3.csv", "S-3", "..."),
        ("4.csv", "S-4", "Œsophage & foie – été"),
    ] {
        files.push((
            "desk",
            name,
            session(id, label, "planned").replace('"', "'"),
        ));
    }
    take(&world, &files);
    assert_eq!(
        names(&world),
        [
            "2031-04-08_script-alert-1-script/index.html",
            "2031-04-08_script-alert-1-script_2/index.html",
            "2031-04-08_session/index.html",
            "2031-04-08_Œsophage-foie-été/index.html",
        ]
    );
    let text = page(&world, "2031-04-08_script-alert-1-script");
    assert!(
        !text.contains("<script>") && text.contains("&lt;script&gt;"),
        "{text}"
    );
    // Each keeps its own.
    let before = shown(&world);
    take(&world, &files);
    assert!(before == shown(&world));
}

#[test]
fn a_session_of_the_past_has_a_folder_once_it_is_touched() {
    let world = World::new();
    let mut engine = world.open();
    engine.look_at_all_worklists();
    let past = session("S-1", "RCP", "planned").replace("2031-", "2019-");
    world.drop("desk", "s.csv", past);
    take_all(&mut engine).unwrap();
    engine.close().unwrap();
    assert_eq!(names(&world), ["2019-04-08_RCP/index.html"]);
}

#[test]
fn all_of_it_can_be_made_again() {
    let world = filled();
    let before = shown(&world);
    std::fs::remove_dir_all(world.path(SESSIONS)).unwrap();
    world.open().close().unwrap();
    assert!(before == shown(&world));
}

#[test]
fn nobody_waits_for_a_long_questionnaire() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder, "", &["id = \"demo\""]);
    let list = session("S-1", "RCP Thorax", "planned");
    let inbox = site.path("desk/inbox");
    std::fs::write(inbox.join(".s"), list).unwrap();
    std::fs::rename(inbox.join(".s"), inbox.join("s.csv")).unwrap();
    let folder = site.path(SESSIONS).join("2031-04-08_RCP-Thorax");
    site.wait_for("the session", || folder.is_dir());
    let question = "Surveillance &lt; 3 mois ?";
    let long: String = (0..250_000).map(|number| format!("mot{number} ")).collect();
    let cda = questionnaire();
    assert!(cda.contains(question));
    site.send("demo", "c.xml", cda.replace(question, &long));
    site.receipt("demo", "c.xml");
    // By now its PDF is being made.
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    site.send(
        "demo",
        "p.hl7",
        support::patient("P1", "20250401120000", "0612345678"),
    );
    site.receipt("demo", "p.hl7");
    let swept = site.command(&["once"]).output().unwrap();
    assert!(swept.status.success(), "{swept:?}");
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    let pdf = folder.join("GARNIER-Rosie_CASE-77/questionnaire.pdf");
    site.wait_for("the questionnaire", || pdf.is_file());
    site.wait_for("the page", || {
        std::fs::read_to_string(folder.join("index.html"))
            .is_ok_and(|page| page.contains("coupé : la suite est dans le questionnaire"))
    });
    site.end();
    site.assert_verified();
}

/// Sessions of one day and label.
fn alike(count: usize) -> String {
    let mut list = session("S-0", "RCP Thorax", "planned");
    for number in 1..count {
        let row = session(&format!("S-{number}"), "RCP Thorax", "planned");
        list.push_str(row.lines().nth(1).unwrap());
        list.push('\n');
    }
    list
}

#[test]
fn the_folder_of_one_session_costs_the_same_however_many_there_are() {
    let calls = |count: usize| {
        let world = World::new();
        let counting = Arc::new(Faults::none());
        let mut engine = world
            .open_on(Fs::with_faults(Arc::clone(&counting)))
            .unwrap();
        world.drop("desk", "s.csv", alike(count));
        take_all(&mut engine).unwrap();
        let before = counting.calls();
        engine.close().unwrap();
        assert_eq!(names(&world).len(), count);
        counting.calls() - before
    };
    let (few, many) = (calls(100), calls(400));
    println!("operations of the disk for 100 sessions: {few}, for 400: {many}");
    assert!(many < few * 5, "{few} {many}");
}

#[test]
fn what_a_stop_leaves_is_due_at_the_next_start_and_nothing_else_is() {
    let world = World::new();
    let mut engine = world.open_sled();
    world.drop("desk", "s.csv", alike(3));
    take_all(&mut engine).unwrap();
    // Told to stop before any folder is made.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(true));
    engine.stop_at(stop);
    engine.close().unwrap();
    assert_eq!(names(&world).len(), 0);

    let engine = world.open_sled();
    assert!(engine.worklists().are_due());
    engine.close().unwrap();
    assert_eq!(names(&world).len(), 3);

    let engine = world.open_sled();
    assert!(!engine.worklists().are_due());
    drop(engine);
    // After anything but a clean stop, all are looked at.
    let engine = world.open_sled();
    assert!(engine.worklists().are_due());
    engine.close().unwrap();

    // Whoever removes a folder gets it again.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    std::fs::remove_dir_all(world.path(SESSIONS).join("2031-04-08_RCP-Thorax_2")).unwrap();
    world.open_sled().close().unwrap();
    assert_eq!(names(&world).len(), 3);
}

#[test]
fn a_folder_that_people_moved_is_found_and_one_that_cannot_be_made_stops_no_other() {
    let world = World::new();
    take(&world, &[("desk", "s.csv", alike(3))]);
    let sessions = world.path(SESSIONS);
    let mut engine = world.open();
    let mut renewer = engine.worklist_renewer();
    let mut renew = |engine: &Engine| {
        let mut failed = Vec::new();
        while engine.worklists().are_due() {
            if let Err(not) = renewer.renew_next(&|| false) {
                let session = not.session.unwrap();
                engine
                    .worklists()
                    .put_off(&session, std::time::Duration::from_secs(60));
                failed.push(session.to_string());
            }
        }
        failed
    };
    assert!(renew(&engine).is_empty());
    // While the process runs, one folder is moved, and in another a file lies in the way of a case's folder.
    std::fs::rename(
        sessions.join("2031-04-08_RCP-Thorax"),
        sessions.join("moved"),
    )
    .unwrap();
    std::fs::write(
        sessions.join("2031-04-08_RCP-Thorax_2/MARTIN-JEANNE_C-1"),
        "mine",
    )
    .unwrap();
    // The case can be in one session of that day only where one matches.
    world.drop(
        "desk",
        "s2.csv",
        session("S-0", "RCP Thorax", "cancelled")
            + session("S-2", "RCP Thorax", "cancelled")
                .lines()
                .nth(1)
                .unwrap()
            + "\n",
    );
    take_all(&mut engine).unwrap();
    world.drop(
        "facilities/demo",
        "a.hl7",
        siu("S12", "C-1", "P1", "20250401120000", "20310408"),
    );
    world.drop(
        "facilities/demo",
        "d.hl7",
        to_case(
            &document("P1", "20250402120000", "D1", "%PDF-1.4 one"),
            "C-1",
        ),
    );
    take_all(&mut engine).unwrap();
    assert_eq!(renew(&engine), ["S-1"]);
    assert!(page(&world, "2031-04-08_RCP-Thorax").contains("annulée"));
    assert!(page(&world, "2031-04-08_RCP-Thorax_3").contains("annulée"));
    assert!(!sessions.join("moved").exists());
}

#[test]
fn names_that_no_file_system_takes_are_cut() {
    let world = World::new();
    let wide = "\u{20000}".repeat(200);
    take(
        &world,
        &[
            ("desk", "s.csv", session("S-1", &wide, "planned")),
            (
                "facilities/demo",
                "a.hl7",
                siu("S12", &wide, "P1", "20250401120000", "20310408").replace("MARTIN", &wide),
            ),
            (
                "facilities/demo",
                "d.hl7",
                to_case(
                    &document("P1", "20250402120000", "D1", "%PDF-1.4 one"),
                    &wide,
                )
                .replace("MARTIN", &wide),
            ),
        ],
    );
    assert_eq!(names(&world).len(), 2);
    assert_eq!(assert_whole(&world, "wide"), 1);
}

#[test]
fn a_page_is_never_half_and_never_leads_nowhere() {
    let changed = |world: &World| {
        let fs = Fs::new();
        let mut engine = world.open_on(fs).unwrap();
        world.drop("desk", "s2.csv", session("S-1", "RCP Poumon", "planned"));
        world.drop(
            "facilities/demo",
            "e.hl7",
            siu("S15", "C/1", "P1", "20250403120000", "20310408"),
        );
        let later = document("P2", "20250402120000", "D3", "%PDF-1.4 three");
        world.drop("facilities/demo", "f.hl7", to_case(&later, "C-1"));
        take_all(&mut engine).unwrap();
        // Ends without a clean stop: the folders are renewed by the next start.
    };
    let renewed = |world: &World, faults: Arc<Faults>| {
        let engine: Result<Engine, _> = world.open_on(Fs::with_faults(faults));
        engine.and_then(Engine::close)
    };
    let world = filled();
    changed(&world);
    let counting = Arc::new(Faults::none());
    let engine = world
        .open_on(Fs::with_faults(Arc::clone(&counting)))
        .unwrap();
    let opened = counting.calls();
    engine.close().unwrap();
    let expected = shown(&world);
    assert!(assert_whole(&world, "undisturbed") >= 3);
    for stop in opened + 1..=counting.calls() {
        let world = filled();
        changed(&world);
        let _ = renewed(&world, Arc::new(Faults::with(Fault::StopBefore(stop))));
        assert_whole(&world, &format!("stopped before operation {stop}"));
        renewed(&world, Arc::new(Faults::none())).unwrap();
        assert!(
            expected == shown(&world),
            "after a stop before operation {stop}"
        );
    }
}
