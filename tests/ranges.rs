//! Extreme numbers, dates and sizes for every reader: each ends in a refusal or in a value of the range, and nothing
//! panics (docs/interface.md, "Ranges").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, TestRunner};
use rcpspool::config::Config;
use rcpspool::engine::Engine;
use rcpspool::hl7::Timestamp;
use rcpspool::intake::desk;
use rcpspool::spool::claim::Claim;

use support::{World, content, session, siu, take_all};

const FACILITY: &str = "facilities/demo";

/// Texts that stand where a time or a number is expected.
fn extreme() -> impl Strategy<Value = String> {
    let edges = [
        "+262142-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "+262142-12-31T23:59:59.999999999+23:59",
        "9999-12-31T23:59:60-23:59",
        "0000-01-01T00:00:00Z",
        "1799-12-31T23:59:59Z",
        "1800-01-01T00:00:00+14:00",
        "2199-12-31T23:59:59-12:00",
        "2200-01-01",
        "00010101",
        "99991231235960",
        "99991231235959.999999999-2359",
        "18000101000000+2359",
        "219912312359",
        "18446744073709551616",
        "-1",
        "1e400",
        "NaN",
        "\u{662}\u{660}\u{662}\u{665}",
    ];
    prop_oneof![
        proptest::sample::select(edges.to_vec()).prop_map(str::to_owned),
        "[+-]?[0-9]{0,12}",
        "[0-9]{4,14}([.][0-9]{0,12})?([+-][0-9]{4})?",
        "[+-]?[0-9]{4,7}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?",
        "[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}",
        "[a-zA-Z0-9 .:+-]{0,20}",
    ]
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Proptest {
        cases,
        failure_persistence: None,
        ..Proptest::default()
    })
}

/// A spool with a session and a case in it, for messages to be dropped into.
struct Spool {
    world: World,
    engine: RefCell<Engine>,
    count: RefCell<u32>,
}

impl Spool {
    fn new() -> Self {
        let world = World::new();
        let mut engine = world.open();
        world.drop("desk", "s.csv", session("S-1", "2025-04-08", "PATHWAY-1"));
        let message = siu("S12", "C1", "P1", "20250401120000", "20250408");
        world.drop(FACILITY, "c.hl7", message);
        assert_eq!(take_all(&mut engine).unwrap().accepted, 2);
        Self {
            world,
            engine: RefCell::new(engine),
            count: RefCell::default(),
        }
    }

    /// A file is taken in, with an outcome for its one message; whether it was not refused.
    fn take(&self, place: &str, ending: &str, text: &str, modified: Option<SystemTime>) -> bool {
        *self.count.borrow_mut() += 1;
        let name = format!("x{}.{ending}", self.count.borrow());
        self.world.drop(place, &name, text);
        if let Some(modified) = modified {
            let path = self.world.path(place).join("inbox").join(&name);
            let file = File::options().write(true).open(path).unwrap();
            // What the file system cannot hold, it refuses.
            let _ = file.set_modified(modified);
        }
        let totals = take_all(&mut self.engine.borrow_mut()).unwrap();
        let counts = totals.by_outcome().map(|(_, count)| count);
        assert_eq!(counts.iter().sum::<u64>(), 1, "{totals:?}: {text}");
        totals.rejected == 0
    }

    /// Every time that the store holds is one of the range, but for what is kept of a questionnaire as it was written.
    fn assert_in_range(&self) {
        for (key, value) in content(&**self.engine.borrow().store()) {
            if key.starts_with("questionnaire") {
                continue;
            }
            for (at, _) in value.match_indices("-12-31T") {
                let year: String = value[..at]
                    .chars()
                    .rev()
                    .take_while(char::is_ascii_digit)
                    .collect();
                let year: String = year.chars().rev().collect();
                let year: i32 = year.parse().unwrap();
                assert!((1799..=2200).contains(&year), "{key}: {value}");
            }
        }
    }
}

#[test]
fn times_of_messages_have_a_range() {
    let zones = [
        chrono_tz::Tz::UTC,
        chrono_tz::Tz::Europe__Paris,
        chrono_tz::Tz::Pacific__Apia,
        chrono_tz::Tz::America__St_Johns,
    ];
    let read = |text: String| {
        if let Ok(time) = Timestamp::parse(&text) {
            for zone in zones {
                let instant = time.instant(zone);
                assert!((1799..=2200).contains(&instant.year()), "{text}: {instant}");
                rcpspool::hl7::time::write(instant, zone);
            }
        }
        Ok(())
    };
    runner(2000).run(&extreme(), read).unwrap();
}

#[test]
fn messages_with_extreme_times_have_an_outcome() {
    let spool = Spool::new();
    let places = (0..5usize, extreme());
    let take = |(place, text): (usize, String)| {
        let number = spool.count.borrow().to_string();
        let message = siu(
            "S12",
            &format!("N{number}"),
            &format!("N{number}"),
            "20250401120000",
            "20250408",
        );
        let (from, to) = match place {
            0 => ("|||20250401120000||", format!("|||{text}||")),
            1 => ("|19501104000000|", format!("|{text}|")),
            2 => (
                "^^^20250408165500^20250408171000",
                format!("^^^{text}^{text}"),
            ),
            // A count of messages, and the number of a patient.
            3 => ("MSH|", format!("BHS|^~\\&|\rBTS|{text}\rMSH|")),
            _ => ("^^^^PI", format!("^^^^PI~{text}^^^^NH")),
        };
        assert!(message.contains(from));
        spool.take(FACILITY, "hl7", &message.replacen(from, &to, 1), None);
        Ok(())
    };
    runner(150).run(&places, take).unwrap();
    spool.assert_in_range();
}

#[test]
fn documents_with_extreme_times_and_versions_have_an_outcome() {
    let spool = Spool::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
    let document = std::fs::read_to_string(path).unwrap();
    let times = values_of_times(&document);
    assert!(times.len() > 3, "{times:?}");
    let take = |(place, text): (usize, String)| {
        let from = &times[place % times.len()];
        let to = format!("{}\"{text}\"", &from[..from.find('"').unwrap()]);
        spool.take(FACILITY, "xml", &document.replacen(from, &to, 1), None);
        Ok(())
    };
    let places = (0..times.len() * 4, extreme());
    runner(150).run(&places, take).unwrap();
    spool.assert_in_range();
}

/// Every `value="…"` of digits in the document, with its element, once.
fn values_of_times(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    for element in [
        "effectiveTime ",
        "birthTime ",
        "versionNumber ",
        "low ",
        "time ",
    ] {
        for (at, _) in document.match_indices(&format!("<{element}value=\"")) {
            let end = document[at..].match_indices('"').nth(1).unwrap().0;
            let text = document[at..=at + end].to_owned();
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found
}

#[test]
fn commands_with_extreme_times_have_an_outcome() {
    let spool = Spool::new();
    let command = |text: &str| {
        serde_json::json!({"command": "complete", "facility": "demo", "case": "C1", "decision": "Surgery", "time": text})
            .to_string()
    };
    for text in [
        "+262142-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "1799-12-31T23:59:59Z",
    ] {
        assert!(!spool.take("desk", "json", &command(text), None), "{text}");
    }
    let shown: Vec<PathBuf> = spool.world.seen().into_keys().collect();
    let sidecar = shown
        .iter()
        .find(|path| path.ends_with("x1.json.error.json"));
    let sidecar = std::fs::read_to_string(spool.world.path("").join(sidecar.unwrap())).unwrap();
    assert!(
        sidecar.contains("bad-command") && sidecar.contains("1800 to 2199"),
        "{sidecar}"
    );
    assert!(spool.take("desk", "json", &command("2199-12-31T23:59:59Z"), None));
    let take = |(kind, text): (usize, String)| {
        let mut json: serde_json::Value = serde_json::from_str(&command(&text)).unwrap();
        match kind {
            0 => {}
            1 => {
                json =
                    serde_json::json!({"command": "redeliver", "facility": "demo", "since": text})
            }
            _ => {
                json =
                    serde_json::json!({"command": "redeliver", "facility": "demo", "batch": "N"});
                let json = json.to_string().replace("\"N\"", &text);
                desk::parse(json.as_bytes()).map(drop).unwrap_or_default();
                return Ok(());
            }
        }
        spool.take("desk", "json", &json.to_string(), None);
        Ok(())
    };
    runner(80).run(&(0..3usize, extreme()), take).unwrap();
    spool.assert_in_range();
}

#[test]
fn lists_with_extreme_dates_have_an_outcome() {
    let spool = Spool::new();
    for (date, taken) in [
        ("2199-12-31", true),
        ("2200-01-01", false),
        ("31/12/1799", false),
        ("+9999-01-01", false),
    ] {
        let list = session("S-9", date, "PATHWAY-9");
        assert_eq!(spool.take("desk", "csv", &list, None), taken, "{date}");
    }
    let take = |text: String| {
        spool.take(
            "desk",
            "csv",
            &session("S-9", &text.replace(',', ""), "PATHWAY-9"),
            None,
        );
        Ok(())
    };
    runner(150).run(&extreme(), take).unwrap();
    spool.assert_in_range();
}

#[test]
fn files_of_any_time_of_modification_have_an_outcome() {
    let spool = Spool::new();
    let complete = r#"{"command":"complete","facility":"demo","case":"C1","decision":"Surgery"}"#;
    let at = |seconds: i64| match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
        false => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.unsigned_abs())),
    };
    // The command takes the time of its file: year 1, and beyond what is taken.
    for seconds in [-62_135_596_800, 7_258_118_400, 253_402_300_800, i64::MAX] {
        let modified = at(seconds);
        let is_held = modified.is_some_and(|modified| holds(&spool.world, modified));
        let taken = spool.take("desk", "json", complete, modified);
        assert!(!taken || !is_held, "{seconds}");
    }
    let seconds = prop_oneof![any::<i64>(), -70_000_000_000i64..300_000_000_000];
    let take = |(kind, seconds): (usize, i64)| {
        match kind {
            0 => spool.take("desk", "json", complete, at(seconds)),
            1 => spool.take(
                "desk",
                "csv",
                &session("S-9", "2025-05-05", "P"),
                at(seconds),
            ),
            _ => spool.take(FACILITY, "hl7", "nothing", at(seconds)),
        };
        Ok(())
    };
    runner(60).run(&(0..3usize, seconds), take).unwrap();
    spool.assert_in_range();
    spool
        .engine
        .borrow_mut()
        .upkeep()
        .unwrap()
        .run(&|| false)
        .unwrap();
}

/// Whether the file system can hold that time.
fn holds(world: &World, modified: SystemTime) -> bool {
    let path = world.path("desk").join("time");
    let file = File::create(&path).unwrap();
    let is_set = file.set_modified(modified).is_ok();
    is_set
        && file
            .metadata()
            .unwrap()
            .modified()
            .is_ok_and(|set| set == modified)
}

#[test]
fn settings_with_extreme_numbers_are_refused_or_in_range() {
    let keys = [
        ("intake", "settle"),
        ("intake", "rescan"),
        ("intake", "future"),
        ("intake", "max_file"),
        ("intake", "min_free"),
        ("reports", "every"),
        ("retention", "done"),
        ("retention", "outbox"),
        ("retention", "journal"),
    ];
    let century = Duration::from_secs(36_500 * 86_400);
    let read = |(key, number, unit): (usize, u64, String)| {
        let (table, key) = keys[key];
        let text = format!("[{table}]\n{key} = \"{number}{unit}\"\n");
        if let Ok(config) = Config::from_text(&text, Path::new("test.toml")) {
            let (intake, kept) = (&config.intake, &config.retention);
            for time in [
                intake.settle,
                intake.rescan,
                intake.future,
                kept.done,
                kept.outbox,
                kept.journal,
            ] {
                assert!(time <= century, "{text}");
                assert!(std::time::Instant::now().checked_add(time).is_some());
            }
            assert!(intake.max_file.max(intake.min_free) <= 1 << 50, "{text}");
        }
        let text = format!("[intake]\ngroup = {number}\n");
        if let Ok(config) = Config::from_text(&text, Path::new("test.toml")) {
            assert!((1..=1_000_000).contains(&config.intake.group));
        }
        Ok(())
    };
    let number = prop_oneof![any::<u64>(), 0u64..100_000];
    let units = "(ms|s|m|h|d|B|kB|KiB|MiB|GB|GiB)";
    runner(1000)
        .run(&(0..keys.len(), number, units), read)
        .unwrap();
    for text in [
        "[intake]\nrescan = \"213503982334d\"\n",
        "[retention]\ndone = \"36501d\"\n",
    ] {
        let error = Config::from_text(text, Path::new("test.toml")).unwrap_err();
        assert!(error.to_string().contains("36500d"), "{error}");
    }
}

#[test]
fn names_of_claims_with_extreme_numbers_are_nobodys() {
    let random = "a".repeat(32);
    for (order, attempts, is_claim) in [
        ("0000000000000009", "0", true),
        ("0100000000000000", "1000", true),
        ("0100000000000001", "0", false),
        ("ffffffffffffffff", "0", false),
        ("0000000000000009", "1001", false),
        ("0000000000000009", "4294967295", false),
        ("0000000000000009", "+1", false),
        ("+9", "0", false),
        ("9", "0", false),
    ] {
        let name = format!("{order}-{attempts}-{random}-xz2ehl7");
        assert_eq!(Claim::parse(name.as_ref()).is_some(), is_claim, "{name}");
    }
    let name = "[0-9a-f+]{0,17}-[0-9+]{0,11}-[a-f0-9]{0,32}-[0-9a-z]{0,20}";
    let read = |name: String| {
        if let Some(claim) = Claim::parse(name.as_ref()) {
            assert_eq!(claim.name().to_str(), Some(name.as_str()));
            assert!(
                claim.order.checked_add(1).is_some() && claim.attempts.checked_add(1).is_some()
            );
        }
        Ok(())
    };
    runner(500).run(&name, read).unwrap();
}

/// A spool whose clock stands at an edge works as any other.
#[test]
fn a_clock_at_the_edge_of_the_calendar_ends_no_process() {
    for wall in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let ages = rcpspool::clock::Clock::by_hand(rcpspool::clock::Moment {
            wall,
            running: Duration::MAX,
            boot: "a".into(),
        });
        let moment = ages.moment();
        let other = rcpspool::clock::Clock::default().moment();
        assert_eq!(moment.set_since(&other), None);
    }
}
