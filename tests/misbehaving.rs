//! One facility does everything that a facility can do wrong, and does not stop; nine others send as usual. What the
//! nine wait for their receipts is measured with and without it, in one run of one daemon.
//!
//! The disk and the two processors are the tenth's too: what it uploads is synced with the files of the nine. So it is
//! also measured, while the daemon stands still, how long a bare program waits for what is synced for a file, beside
//! the same tenth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use support::site::Site;
use support::{patient, session, siu};

/// The facilities that send as usual.
const USUAL: usize = 9;
/// How many messages each of them sends in a phase, by default; `ROUNDS` sets another number.
const ROUNDS: usize = 100;
/// The nine may wait at most so many times as long as without the tenth, or as a bare program beside it.
const ALLOWED: u32 = 2;
const TENTH: &str = "tenth";

fn usual(number: usize) -> String {
    format!("usual-{number}")
}

fn rounds() -> usize {
    std::env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Sends messages for all nine at once, each when it has the receipt of the one before; gives how long each took.
fn send_as_usual(site: &Site, phase: &str) -> Vec<Duration> {
    let mut waited: Vec<Duration> = scope(|threads| {
        let senders: Vec<_> = (0..USUAL)
            .map(|number| threads.spawn(move || send_for(site, &usual(number), phase)))
            .collect();
        let waited = senders.into_iter().map(|sender| sender.join().unwrap());
        waited.flatten().collect()
    });
    waited.sort();
    waited
}

fn send_for(site: &Site, facility: &str, phase: &str) -> Vec<Duration> {
    let acks = site.path("facilities").join(facility).join("outbox/acks");
    let aside = site.folder.path().join(format!("aside-{facility}"));
    let mut waited = Vec::new();
    for round in 0..rounds() {
        let id = format!("{phase}{round}");
        let name = format!("{id}.hl7");
        fs::write(&aside, siu("S12", &id, &id, "20250301120000", "20250408")).unwrap();
        let sent = Instant::now();
        fs::rename(&aside, site.inbox(facility).join(&name)).unwrap();
        let receipt = acks.join(format!("{name}.ack"));
        while !receipt.is_file() {
            assert!(
                sent.elapsed() < Duration::from_secs(120),
                "{facility} waits in vain for {name}: {}",
                site.log()
            );
            sleep(Duration::from_millis(2));
        }
        waited.push(sent.elapsed());
        let text = fs::read_to_string(&receipt).unwrap();
        assert!(text.contains("MSA|AA"), "{facility}: {text}");
        // As a hospital's stream does: not back to back.
        sleep(Duration::from_millis(
            u64::try_from(round * 7 % 40).unwrap(),
        ));
    }
    waited
}

/// What has to reach the disk before a receipt may be seen, for each of the nine at once and without the daemon: the
/// file system, a line in a journal, a rename. Gives how long each took.
fn write_bare(site: &Site, phase: &str) -> Vec<Duration> {
    let folder = site.folder.path().join(format!("bare-{phase}"));
    fs::create_dir(&folder).unwrap();
    let write = |number: usize| {
        let mut waited = Vec::new();
        let mut journal = File::create(folder.join(format!("journal-{number}"))).unwrap();
        for round in 0..rounds() {
            let name = format!("{number}-{round}");
            let begun = Instant::now();
            fs::write(folder.join(format!("{name}.new")), [b'x'; 700]).unwrap();
            rustix::fs::syncfs(&journal).unwrap();
            std::io::Write::write_all(&mut journal, &[b'x'; 2000]).unwrap();
            journal.sync_all().unwrap();
            fs::rename(folder.join(format!("{name}.new")), folder.join(name)).unwrap();
            waited.push(begun.elapsed());
            sleep(Duration::from_millis(
                u64::try_from(round * 7 % 40).unwrap(),
            ));
        }
        waited
    };
    let mut waited: Vec<Duration> = scope(|threads| {
        let writers: Vec<_> = (0..USUAL)
            .map(|number| threads.spawn(move || write(number)))
            .collect();
        let waited = writers.into_iter().map(|writer| writer.join().unwrap());
        waited.flatten().collect()
    });
    waited.sort();
    waited
}

/// What `measured` gives while the tenth does all that it does.
fn beside_the_tenth<T>(site: &Site, first: usize, measured: impl FnOnce() -> T) -> (T, usize) {
    let stop = AtomicBool::new(false);
    scope(|threads| {
        let tenth = threads.spawn(|| misbehave(site, first, &stop));
        sleep(Duration::from_millis(500));
        let measured = measured();
        stop.store(true, Ordering::Relaxed);
        (measured, tenth.join().unwrap())
    })
}

fn p99(waited: &[Duration]) -> Duration {
    waited[(waited.len() * 99 / 100).min(waited.len() - 1)]
}

/// Something that the tenth does, under names with this number; gives how many files it sent.
type Deed = fn(&Site, usize) -> usize;

/// What the tenth does, again and again, each time with other names from this number on, until `stop` is set.
fn misbehave(site: &Site, first: usize, stop: &AtomicBool) -> usize {
    let mut held_open = Vec::new();
    let mut sockets = Vec::new();
    let mut files = 0;
    for round in first.. {
        let deeds: [Deed; 9] = [
            large_values,
            chained_merges,
            refused_messages,
            updates_of_one_case,
            sidecars_of_its_own,
            names_at_the_limit,
            a_sparse_file,
            many_folders,
            commands_that_cannot_be_done,
        ];
        for deed in deeds {
            if stop.load(Ordering::Relaxed) {
                return files;
            }
            files += deed(site, round);
            sleep(Duration::from_millis(50));
        }
        // An upload that never ends, and somebody at the socket who says nothing.
        let open = site.inbox(TENTH).join(format!("open-{round}.hl7"));
        let mut open = File::create(open).unwrap();
        std::io::Write::write_all(&mut open, b"MSH|^~\\&|A|B|||2025").unwrap();
        held_open.push(open);
        if sockets.len() < 300 {
            sockets.extend((0..30).filter_map(|_| connect(site)));
        }
    }
    files
}

fn connect(site: &Site) -> Option<std::os::unix::net::UnixStream> {
    let sockets = fs::read_dir(site.folder.path()).unwrap();
    let socket = sockets
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "sock"))?;
    std::os::unix::net::UnixStream::connect(socket).ok()
}

fn put(site: &Site, name: &str, content: impl AsRef<[u8]>) -> usize {
    let aside = site.folder.path().join("aside-tenth");
    fs::write(&aside, content).unwrap();
    fs::rename(aside, site.inbox(TENTH).join(name)).unwrap();
    1
}

/// A CDA with one value of 8 MB without a break.
fn large_values(site: &Site, round: usize) -> usize {
    let cda = fs::read_to_string("fixtures/cda/meeting.xml").unwrap();
    let value = "A".repeat(8 << 20);
    assert!(cda.contains("nodule de 14 mm") && cda.contains("CASE-77"));
    let large = cda.replacen("nodule de 14 mm", &value, 1);
    let large = large.replacen("CASE-77", &format!("large-{round}"), 1);
    put(site, &format!("large-{round}.xml"), large)
}

/// A40 with 1,000 pairs, each survivor merged away by the next pair.
fn chained_merges(site: &Site, round: usize) -> usize {
    let mut message = format!(
        "MSH|^~\\&|EHR|HOSPITAL|||20250301120000||ADT^A40^ADT_A39|M{round}|P|2.5|||||FR|UTF-8|FRA\rEVN|A40|20250301120000\r"
    );
    for pair in 0..1000 {
        message.push_str(&format!(
            "PID|1||C{round}-{}^^^CHU-X^PI||MARTIN^JEANNE^^^MME^^L||19501104|F\rMRG|C{round}-{pair}^^^CHU-X^PI\r",
            pair + 1
        ));
    }
    put(site, &format!("merges-{round}.hl7"), message)
}

/// 10,000 messages in a file, all refused.
fn refused_messages(site: &Site, round: usize) -> usize {
    let message = patient("R", "20250401120000", "1");
    put(
        site,
        &format!("refused-{round}.hl7"),
        message.repeat(10_000),
    )
}

/// 2,000 updates of one case in a file, without a session.
fn updates_of_one_case(site: &Site, round: usize) -> usize {
    let mut file = String::new();
    for update in 0..2000 {
        let time = format!(
            "202503{:02}{:02}{:02}00",
            1 + update / 1440,
            update / 60 % 24,
            update % 60
        );
        file.push_str(&siu("S14", &format!("U{round}"), "U", &time, "20250409"));
    }
    put(site, &format!("updates-{round}.hl7"), file)
}

/// A file that is named as a sidecar, and speaks of another facility.
fn sidecars_of_its_own(site: &Site, round: usize) -> usize {
    let sidecar =
        "{\"facility\":\"usual-0\",\"reason\":\"malformed\",\"message\":\"\\u001b[31mred\\u202e\"}";
    put(site, &format!("x-{round}.hl7.error.json"), sidecar)
}

/// A path that is nearly as long as a path may be.
fn names_at_the_limit(site: &Site, round: usize) -> usize {
    let inbox = site.inbox(TENTH);
    let mut path = inbox.clone();
    while path.as_os_str().len() < 3500 {
        path.push("n".repeat(200));
        if !path.is_dir() {
            fs::create_dir(&path).unwrap();
        }
    }
    let name = format!("{round:0>245}.hl7");
    let room = 4090 - path.as_os_str().len();
    let name = &name[name.len().saturating_sub(room)..];
    fs::write(
        path.join(name),
        patient("L", "20250401120000", "0612345678"),
    )
    .unwrap();
    1
}

/// 3 GB that nobody wrote.
fn a_sparse_file(site: &Site, round: usize) -> usize {
    let path = site.inbox(TENTH).join(format!("sparse-{round}.error.json"));
    File::create(path).unwrap().set_len(3 << 30).unwrap();
    1
}

/// Folders, each with a file.
fn many_folders(site: &Site, round: usize) -> usize {
    let inbox = site.inbox(TENTH);
    for folder in 0..100 {
        let folder = inbox.join(format!("folder-{round}-{folder}"));
        fs::create_dir(&folder).unwrap();
        fs::write(
            folder.join("x.hl7"),
            patient("F", "20250401120000", "0612345678"),
        )
        .unwrap();
    }
    100
}

/// Commands of the desk that name what is no file, and reports of the tenth that are not there.
fn commands_that_cannot_be_done(site: &Site, round: usize) -> usize {
    let desk = site.path("desk/inbox");
    let folder = desk.join("folder.pdf");
    if !folder.is_dir() {
        fs::create_dir(&folder).unwrap();
    }
    let long = "y".repeat(5000);
    let commands = format!(
        r#"[{{"command":"complete","facility":"{TENTH}","case":"U0","pdf":"folder.pdf"}},
            {{"command":"retry","files":["facilities/{TENTH}/error/{long}","facilities/{TENTH}/error/x\u0000y"]}},
            {{"command":"redeliver","facility":"{TENTH}","batch":1}}]"#
    );
    let aside = site.folder.path().join("aside-desk");
    fs::write(&aside, commands).unwrap();
    fs::rename(aside, desk.join(format!("bad-{round}.json"))).unwrap();
    0
}

#[test]
#[ignore = "compares waiting times: cargo test --release --test misbehaving -- --ignored --nocapture"]
fn nine_facilities_hardly_notice_the_tenth() {
    let mut facilities: Vec<String> = (0..USUAL).map(usual).collect();
    facilities.push(TENTH.to_owned());
    let facilities: Vec<String> = facilities
        .iter()
        .map(|id| format!("id = \"{id}\""))
        .collect();
    let facilities: Vec<&str> = facilities.iter().map(String::as_str).collect();
    // On a disk, with its syncs: what is measured is what a hospital waits.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut site = Site::start(folder, "min_free = \"1KiB\"", &facilities);
    let sessions = session("S", "2025-04-08", "PATHWAY-1")
        + "S-THORAX-15,RCP thorax,2025-04-15,14:00,THORAX,,,,,planned\n";
    fs::write(site.path("desk/inbox/s.csv"), sessions).unwrap();
    let listed = site.path("desk/outbox/acks/s.csv.outcome.json");
    site.wait_for("the session", || listed.is_file());

    send_as_usual(&site, "w");
    let alone = send_as_usual(&site, "a");
    let bare_alone = write_bare(&site, "alone");
    let (beside, files) = beside_the_tenth(&site, 0, || send_as_usual(&site, "b"));
    site.signal(rustix::process::Signal::STOP);
    let (bare_beside, _) = beside_the_tenth(&site, 1_000, || write_bare(&site, "beside"));
    site.signal(rustix::process::Signal::CONT);
    let median = |waited: &[Duration]| waited[waited.len() / 2];
    println!(
        "median of the nine: {:?} alone, {:?} beside the tenth",
        median(&alone),
        median(&beside)
    );
    let (alone, beside) = (p99(&alone), p99(&beside));
    println!(
        "p99 of the nine: {alone:?} alone, {beside:?} beside the tenth, which sent {files} files"
    );
    let (bare_alone, bare_beside) = (p99(&bare_alone), p99(&bare_beside));
    println!("p99 of bare writes: {bare_alone:?} alone, {bare_beside:?} beside the tenth");
    // A build that is not optimised takes longer over what the tenth sends than any hospital would see.
    assert!(
        cfg!(debug_assertions) || beside <= alone.max(bare_beside) * ALLOWED,
        "the nine wait {beside:?} beside the tenth, {alone:?} without it"
    );
    assert_ended(&site);
    site.end();
    site.assert_verified();
}

/// Every file that was whole has an outcome; only uploads that are still open wait.
fn assert_ended(site: &Site) {
    let waiting = || {
        let entries = walkdir::WalkDir::new(site.inbox(TENTH)).into_iter();
        let files = entries.filter_map(Result::ok);
        let mut names = files
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find(|name| !name.starts_with("open-"))
    };
    let start = Instant::now();
    while let Some(name) = waiting() {
        assert!(
            start.elapsed() < Duration::from_secs(300),
            "{name} waits: {}",
            site.log()
        );
        sleep(Duration::from_millis(100));
    }
    assert!(Path::new(&site.path("facilities/tenth/error")).is_dir());
}
