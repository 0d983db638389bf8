//! The handles of the process: however many folders there are, they do not run out, and if they do, others wait for
//! nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use support::patient;
use support::site::Site;

const DEMO: &str = "id = \"demo\"";

fn folder() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter(|entry| {
            !entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with('.')
        })
        .count()
}

/// One test, since the daemons inherit the limit of this process.
#[test]
fn handles_do_not_run_out_and_if_they_do_everything_goes_on_later() {
    let few = Rlimit {
        current: Some(128),
        maximum: Some(128),
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut site = Site::start(folder(), "", &[DEMO]);
    many_folders(&mut site);

    let mut site = Site::start(folder(), "", &[DEMO]);
    none_left(&mut site);
}

fn many_folders(site: &mut Site) {
    const MANY: usize = 2_000;
    let aside = site.folder.path().join("tree");
    for number in 0..MANY {
        let below = aside.join(format!("service-{number}"));
        fs::create_dir_all(&below).unwrap();
        let message = patient(&format!("P{number}"), "20250401120000", "0612345678");
        fs::write(below.join("a.hl7"), message).unwrap();
    }
    fs::rename(aside, site.inbox("demo").join("tree")).unwrap();
    let mut list =
        "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n"
            .to_owned();
    for number in 0..MANY {
        list.push_str(&format!(
            "S{number},RCP,2031-04-08,,W{number},,,,,planned\n"
        ));
    }
    fs::write(site.path("desk/inbox/.list"), list).unwrap();
    fs::rename(
        site.path("desk/inbox/.list"),
        site.path("desk/inbox/list.csv"),
    )
    .unwrap();

    let receipts = site.path("facilities/demo/outbox/acks/tree");
    site.wait_for("the receipts", || {
        (0..MANY).all(|number| count(&receipts.join(format!("service-{number}"))) == 1)
    });
    let sessions = site.path("desk/sessions");
    site.wait_for("the folders of the sessions", || count(&sessions) == MANY);
    // With all of them there, one more is renewed.
    site.send(
        "demo",
        "s.hl7",
        support::siu("S12", "C1", "P1", "20250401120000", "20310408").replace("PATHWAY-1", "W7"),
    );
    let page = |name: String| fs::read_to_string(sessions.join(name).join("index.html"));
    site.wait_for("the page of one more", || {
        (1..=MANY).any(|number| {
            let name = match number {
                1 => "2031-04-08_RCP".to_owned(),
                number => format!("2031-04-08_RCP_{number}"),
            };
            page(name).is_ok_and(|page| page.contains("1 dossier"))
        })
    });
    let log = site.log();
    assert!(!log.contains("open files"), "{log}");
    site.end();
    site.assert_verified();
}

fn none_left(site: &mut Site) {
    site.send(
        "demo",
        "before.hl7",
        patient("P1", "20250401120000", "0612345678"),
    );
    site.receipt("demo", "before.hl7");
    site.limit_handles(3);
    site.send(
        "demo",
        "waits.hl7",
        patient("P2", "20250401120000", "0612345678"),
    );
    fs::write(
        site.path("desk/inbox/list.csv"),
        support::session("S1", "2031-04-08", "W1"),
    )
    .unwrap();
    sleep(Duration::from_secs(4));
    assert!(
        site.path("facilities/demo/inbox/waits.hl7").is_file()
            || count(&site.path("facilities/demo/work")) > 0
    );
    site.limit_handles(128);
    site.receipt("demo", "waits.hl7");
    let page = site.path("desk/sessions/2031-04-08_RCP-S1/index.html");
    site.wait_for("the page of the session", || page.is_file());
    site.end();
    site.assert_verified();
}
