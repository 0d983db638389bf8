//! Wrong clocks: jumps of an hour, a day and 400 days, ahead and back, at a start of the process, at a start of the
//! machine and while it runs, with retention on. Nothing is removed before its time, and what is old goes all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use rcpspool::clock::{Clock, Moment};
use rcpspool::config::Config;
use rcpspool::engine::{Engine, OpenStore};
use rcpspool::journal::Journal;
use rcpspool::spool::fs::Fs;

use support::{World, patient, session, take_all};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// It is looked whether retention is due so often.
const STEP: Duration = Duration::from_secs(6 * 60 * 60);
const DAYS: u32 = 50;
const DONE: Duration = Duration::from_secs(10 * 24 * 60 * 60);
const OUTBOX: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// What an output that was not fetched is kept longer.
const UNFETCHED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What is removed late may be so by this: the end of a day in every zone, and what is not counted of a start.
const LATE: Duration = Duration::from_secs(4 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    ProcessStarts,
    MachineStarts,
    Running,
}

const EVERY_WHEN: [When; 3] = [When::ProcessStarts, When::MachineStarts, When::Running];

/// A spool on a machine whose clock is wrong for a time.
struct Machine {
    world: World,
    clock: Clock,
    engine: Option<Engine>,
    /// Since the machine was set up, whatever its clock says.
    passed: Duration,
    starts: u32,
    /// By how much the clock is wrong, in seconds.
    wrong: i64,
    /// Since when it is right again.
    right_since: Duration,
    /// When each file was put where it lies, and whether the clock was right.
    put: BTreeMap<PathBuf, (Duration, bool)>,
    counts: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    removed: u64,
    too_early: u64,
    unfetched_too_early: u64,
    kept_too_long: u64,
}

impl Machine {
    fn new() -> Self {
        let mut world = World::new();
        let mut config = Config::clone(&world.config);
        config.retention.done = DONE;
        config.retention.outbox = OUTBOX;
        config.retention.journal = DONE;
        world.config = Arc::new(config);
        let clock = Clock::by_hand(Moment {
            wall: start(),
            running: Duration::from_secs(60),
            boot: "0".into(),
        });
        let mut machine = Self {
            world,
            clock,
            engine: None,
            passed: Duration::ZERO,
            starts: 0,
            wrong: 0,
            right_since: Duration::ZERO,
            put: BTreeMap::new(),
            counts: Counts::default(),
        };
        machine.open();
        machine
    }

    fn open(&mut self) {
        let fs = Fs::new().with_clock(self.clock.clone());
        let config = Arc::clone(&self.world.config);
        let engine = Engine::open(config, fs, OpenStore::Memory).unwrap();
        self.engine = Some(engine);
    }

    fn close(&mut self) {
        self.engine.take().unwrap().close().unwrap();
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap()
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) {
        self.passed += time;
        self.clock.set(|moment| {
            moment.wall += TimeDelta::from_std(time).unwrap();
            moment.running += time;
        });
    }

    /// The clock is set so that it is wrong by so much.
    fn set(&mut self, wrong: i64, when: When) {
        if when != When::Running {
            self.close();
        }
        let by = TimeDelta::seconds(wrong - self.wrong);
        self.wrong = wrong;
        self.right_since = self.passed;
        self.starts += 1;
        let boot = self.starts.to_string();
        self.clock.set(|moment| {
            moment.wall += by;
            if when == When::MachineStarts {
                moment.running = Duration::from_secs(5);
                moment.boot = boot.as_str().into();
            }
        });
        if when != When::Running {
            self.open();
        }
    }

    /// A file comes, reports are asked for, and all that is due is done.
    fn work(&mut self, number: u32) {
        let name = format!("p{number}.hl7");
        let message = patient(&format!("P{number}"), "20200401120000", "0612345678");
        self.world.drop("facilities/demo", &name, message);
        let request = format!("q{number}.retrieve");
        self.world.drop("facilities/demo", &request, "");
        assert_eq!(take_all(self.engine()).unwrap().accepted, 1);
        self.date_what_is_new(number);
    }

    /// Retention, as the daemon has it done every ten minutes.
    fn keep(&mut self) {
        let mut renewer = self.engine().worklist_renewer();
        // The first removes those that are a thing of the past.
        renewer.renew_next(&|| false).unwrap();
        while self.engine().worklists().are_due() {
            renewer.renew_next(&|| false).unwrap();
        }
        self.date_what_is_new(0);
        let due = self.engine().upkeep().unwrap();
        due.run(&|| false).unwrap();
        self.count();
    }

    /// Gives what was written since the last time the times that the kernel would have given it. Every second batch
    /// and receipt is fetched.
    fn date_what_is_new(&mut self, number: u32) {
        let wall = SystemTime::from(self.clock.wall());
        for path in self.files() {
            if self.put.contains_key(&path) {
                continue;
            }
            let is_fetched = number.is_multiple_of(2);
            let read = match is_fetched {
                true => wall + Duration::from_secs(60),
                false => wall,
            };
            let times = FileTimes::new().set_modified(wall).set_accessed(read);
            File::open(self.world.path("").join(&path))
                .and_then(|file| file.set_times(times))
                .unwrap();
            self.put.insert(path, (self.passed, self.wrong == 0));
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for below in ["facilities/demo/done", "facilities/demo/outbox", "desk"] {
            for entry in walkdir::WalkDir::new(self.world.path(below)) {
                let entry = entry.unwrap();
                let path = entry.path().strip_prefix(self.world.path("")).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                let is_page = path.starts_with("desk/sessions") && name == "index.html";
                if entry.file_type().is_file() && (is_page || !name.starts_with('.')) {
                    files.push(path.to_owned());
                }
            }
        }
        files
    }

    fn count(&mut self) {
        let there = self.files();
        let mut gone = Vec::new();
        for (path, (put, was_right)) in &self.put {
            let age = self.passed - *put;
            let is_output = path.components().any(|part| part.as_os_str() == "outbox");
            let is_page = path.starts_with("desk/sessions");
            let is_unfetched = is_output && !is_even(path);
            let keep = match (is_output, is_unfetched) {
                // Its session is on the last day but five.
                _ if is_page => DAY * DAYS,
                (true, true) => OUTBOX + UNFETCHED,
                (true, false) => OUTBOX,
                _ => DONE,
            };
            if there.contains(path) {
                // What was due while the clock was wrong goes with the next day's retention.
                let is_right = self.wrong == 0 && self.passed > self.right_since + DAY * 2;
                let is_late = age > keep + LATE && *was_right && is_right;
                self.counts.kept_too_long += u64::from(is_late);
                continue;
            }
            self.counts.removed += 1;
            self.counts.too_early += u64::from(age < keep);
            self.counts.unfetched_too_early += u64::from(is_unfetched && age < keep);
            gone.push(path.clone());
        }
        for path in gone {
            self.put.remove(&path);
        }
    }
}

/// The number in the name of a file that came for an even day.
fn is_even(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let number = name.chars().skip(1);
    let number: String = number.take_while(char::is_ascii_digit).collect();
    number.parse::<u32>().is_ok_and(|number| number % 2 == 0)
}

fn start() -> DateTime<Utc> {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

/// Some weeks in which the clock is wrong by `wrong` seconds from `first` on, for so many steps.
fn weeks(wrong: i64, from: When, first: u32, steps: u32, until: When) -> Counts {
    let mut machine = Machine::new();
    let meets = start() + TimeDelta::days(i64::from(DAYS) - 5);
    let list = session("S-1", &meets.date_naive().to_string(), "PATHWAY-1");
    machine.world.drop("desk", "s0.csv", list);
    take_all(machine.engine()).unwrap();
    machine.date_what_is_new(0);
    let mut step = 0;
    for day in 1..=DAYS {
        for part in 0..4 {
            let begin = first * 4;
            if step == begin {
                machine.set(wrong, from);
            }
            if step == begin + steps {
                machine.set(0, until);
            }
            if part == 1 {
                machine.work(day);
            }
            machine.keep();
            machine.pass(STEP);
            step += 1;
        }
    }
    machine.keep();
    machine.close();
    let what = format!("{wrong} s from {from:?} on day {first} for {steps} steps until {until:?}");
    machine.world.assert_verified(&what);
    let counts = machine.counts;
    assert_eq!(
        (
            counts.too_early,
            counts.unfetched_too_early,
            counts.kept_too_long
        ),
        (0, 0, 0),
        "{what}: {counts:?}"
    );
    counts
}

fn jumps(wrong: i64) {
    let (mut ways, mut removed) = (0, 0);
    for from in EVERY_WHEN {
        for until in EVERY_WHEN {
            for (first, steps) in [(20, 2), (12, 32)] {
                let counts = weeks(wrong, from, first, steps, until);
                // What is old goes, before, after and beside that.
                assert!(counts.removed > 50, "{counts:?}");
                removed += counts.removed;
                ways += 1;
            }
        }
    }
    support::figure("clock jumps", ways);
    println!("{removed} files removed, none of them too early");
}

const HOUR_IN_SECONDS: i64 = 60 * 60;
const DAY_IN_SECONDS: i64 = 24 * HOUR_IN_SECONDS;

#[test]
fn an_hour_ahead() {
    jumps(HOUR_IN_SECONDS);
}

#[test]
fn an_hour_back() {
    jumps(-HOUR_IN_SECONDS);
}

#[test]
fn a_day_ahead() {
    jumps(DAY_IN_SECONDS);
}

#[test]
fn a_day_back() {
    jumps(-DAY_IN_SECONDS);
}

#[test]
fn four_hundred_days_ahead() {
    jumps(400 * DAY_IN_SECONDS);
}

#[test]
fn four_hundred_days_back() {
    jumps(-400 * DAY_IN_SECONDS);
}

/// From a timer of the system: no process of ours runs in between.
#[test]
fn a_spool_that_is_only_used_now_and_then_is_cleaned_as_well() {
    let mut machine = Machine::new();
    for day in 1..=DAYS {
        machine.set(0, When::ProcessStarts);
        machine.work(day);
        machine.keep();
        machine.pass(DAY);
    }
    let counts = machine.counts;
    assert!(counts.removed > 50, "{counts:?}");
    assert_eq!(
        (counts.too_early, counts.kept_too_long),
        (0, 0),
        "{counts:?}"
    );
}

/// On a machine that is switched off each night, and for a week in the middle.
#[test]
fn a_machine_that_is_off_most_of_the_time_is_cleaned_as_well() {
    let mut machine = Machine::new();
    for day in 1..=DAYS {
        machine.set(0, When::MachineStarts);
        machine.work(day);
        machine.keep();
        let off = if day == 20 { DAY * 7 } else { DAY };
        machine.pass(off);
        // Nothing ran.
        machine.clock.set(|moment| moment.running -= off);
    }
    let counts = machine.counts;
    assert!(counts.removed > 50, "{counts:?}");
    assert_eq!(counts.too_early, 0, "{counts:?}");
}

/// A spool of a version that did not count: what it holds is as old as the count, whatever the clock says.
#[test]
fn what_came_before_anybody_counted_is_kept_from_then_on() {
    let mut world = World::new();
    let mut config = Config::clone(&world.config);
    config.retention.done = DONE;
    world.config = Arc::new(config);
    let journal = world.path("journal");
    std::fs::create_dir_all(&journal).unwrap();
    let fs = Fs::new();
    let dir = fs.open_root(&journal).unwrap();
    let mut journal = Journal::open(&fs, &dir, false, &mut |_| Ok(())).unwrap();
    journal.append(&[], 7, 7).unwrap();
    drop(journal);
    let old = world.path("facilities/demo/done/2026-02-20/x.hl7");
    std::fs::create_dir_all(old.parent().unwrap()).unwrap();
    std::fs::write(&old, "x").unwrap();
    // Long ago, as the clock says.
    let clock = Clock::by_hand(Moment {
        wall: start() + TimeDelta::days(400),
        running: Duration::from_secs(60),
        boot: "0".into(),
    });
    let fs = Fs::new().with_clock(clock.clone());
    let mut engine = Engine::open(Arc::clone(&world.config), fs, OpenStore::Memory).unwrap();
    for day in 0..=14 {
        engine.upkeep().unwrap().run(&|| false).unwrap();
        assert_eq!(old.exists(), day < 12, "day {day}");
        clock.set(|moment| {
            moment.wall += TimeDelta::days(1);
            moment.running += DAY;
        });
    }
}

/// The program itself, with a clock that is 400 days ahead for one run, and then right again.
#[test]
fn the_program_removes_nothing_for_a_clock_that_was_ahead() {
    if Command::new("faketime").arg("--version").output().is_err() {
        eprintln!("left out: it needs faketime (Debian: faketime)");
        return;
    }
    let world = World::new();
    let folder = world.folder.path();
    let config = folder.join("rcpspool.toml");
    let spool = world.path("");
    let text = format!(
        "spool = {spool:?}\n[intake]\nsettle = \"10ms\"\nmin_free = \"0B\"\n[[facility]]\nid = \"demo\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let once = |ahead: &str| {
        let ended = Command::new("faketime")
            .args(["-f", ahead, env!("CARGO_BIN_EXE_rcpspool"), "--config"])
            .arg(&config)
            .arg("once")
            .env("XDG_RUNTIME_DIR", folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{said}");
    };
    let message = patient("P1", "20250401120000", "0612345678");
    world.drop("facilities/demo", "a.hl7", message);
    world.drop("facilities/demo", "q.retrieve", "");
    once("+0d");
    let before = world.seen();
    assert!(
        before.keys().any(|path| path.ends_with("a.hl7")),
        "{before:?}"
    );
    assert!(
        before.keys().any(|path| path.ends_with("q.xml")),
        "{before:?}"
    );
    for ahead in ["+400d", "+401d", "+0d", "-400d", "+0d"] {
        once(ahead);
        let after = world.seen();
        let is_there = |path: &PathBuf| after.contains_key(path);
        assert!(before.keys().all(is_there), "{ahead}: {after:?}");
    }
    world.assert_verified("after the clock was put right");
}
