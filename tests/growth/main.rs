//! How time and memory grow with each part of the input that can grow.
//!
//! For every part that repeats or lengthens, the program takes in a file, or files, with so many of it. Time is the
//! processor's, user and system, of the program as a process; memory is the most that it had at once. Asked for is
//! linear time, and no more memory than [`allowed_kb`] says: 64 MB, six times the input, and for each message or
//! change that must reach the disk with others 4 kB (10 kB where one message changes several records for each).
//!
//! `cargo test --release --test growth -- --ignored --nocapture` measures 1,000 and 100,000 of each and prints a
//! table; `PART=words` takes only the parts that have these words in their names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod cda;
mod desk;
mod hl7;
mod known;
mod measure;

use measure::{Measured, allowed_kb};

/// A file to be dropped: the folder below the spool, and what it holds.
pub(crate) struct Dropped {
    pub path: String,
    pub content: Vec<u8>,
}

/// A file for a facility's inbox.
pub(crate) fn sent(name: &str, content: impl Into<Vec<u8>>) -> Dropped {
    Dropped {
        path: format!("facilities/demo/inbox/{name}"),
        content: content.into(),
    }
}

/// A file for the desk's inbox.
pub(crate) fn desk(name: &str, content: impl Into<Vec<u8>>) -> Dropped {
    Dropped {
        path: format!("desk/inbox/{name}"),
        content: content.into(),
    }
}

type Make<T> = Box<dyn Fn(usize) -> T + Sync>;

/// Something that an input, or the store, may have many of.
pub(crate) struct Part {
    pub name: &'static str,
    /// As many as there may be, where that is less than is measured.
    pub most: usize,
    /// What is taken in before, one run for each list.
    pub before: Make<Vec<Vec<Dropped>>>,
    /// Whether what is taken in before is refused.
    pub refused_before: bool,
    /// What is measured.
    pub input: Make<Vec<Dropped>>,
    /// The outcome that messages must have, and of how many at least.
    pub outcome: (&'static str, Make<usize>),
    /// Further lines of the configuration.
    pub settings: Make<String>,
    /// The memory that it may take however small it is, in MB: that of an XML document is bounded by the number of its
    /// elements, which may be short.
    pub fixed_mb: u64,
    /// The memory that each may take beside its bytes, in kB: a file's messages, and what one message changes, are on
    /// the disk together.
    pub held_kb: u64,
    /// Each costs as much as a message: the quick form takes fewer.
    pub is_dear: bool,
    /// As many as the quick form takes, where it is neither of the usual: few of what costs little say nothing.
    pub quick: Option<[usize; 2]>,
    /// The program is asked what would become of the first file, and takes nothing in.
    pub checks: bool,
    /// The program is given this command, which prints a line for each, and has nothing else to take in.
    pub asks: Option<&'static [&'static str]>,
}

impl Part {
    /// A part of one file, which ends so.
    pub fn new(
        name: &'static str,
        outcome: &'static str,
        input: impl Fn(usize) -> Dropped + Sync + 'static,
    ) -> Self {
        Self {
            name,
            most: usize::MAX,
            before: Box::new(|_| Vec::new()),
            refused_before: false,
            input: Box::new(move |count| vec![input(count)]),
            outcome: (outcome, Box::new(|_| 1)),
            settings: Box::new(|_| String::new()),
            fixed_mb: 64,
            held_kb: 0,
            is_dear: false,
            quick: None,
            checks: false,
            asks: None,
        }
    }

    /// Of several files.
    pub fn files(
        name: &'static str,
        outcome: &'static str,
        input: impl Fn(usize) -> Vec<Dropped> + Sync + 'static,
    ) -> Self {
        let part = Self::new(name, outcome, |_| sent("", ""));
        Self {
            input: Box::new(input),
            ..part.each()
        }
    }

    /// Every one of them has an outcome of its own.
    pub fn each(mut self) -> Self {
        self.outcome.1 = Box::new(|count| count);
        self.is_dear = true;
        self.held(4)
    }

    /// Of a command that has something to do with each of them.
    pub fn asking(name: &'static str, command: &'static [&'static str]) -> Self {
        let part = Self::files(name, "", |_| Vec::new());
        Self {
            asks: Some(command),
            ..part
        }
    }

    /// The quick form takes so many.
    pub fn quick(mut self, sizes: [usize; 2]) -> Self {
        self.quick = Some(sizes);
        self
    }

    /// Each takes so many kB beside its bytes.
    pub fn held(mut self, kb: u64) -> Self {
        self.held_kb = kb;
        self
    }

    /// It has no outcome.
    pub fn without_outcome(mut self) -> Self {
        self.outcome.1 = Box::new(|_| 0);
        self
    }

    /// They have one outcome together.
    pub fn with_one_outcome(mut self) -> Self {
        self.outcome.1 = Box::new(|_| 1);
        self
    }

    pub fn most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    pub fn after(mut self, before: impl Fn(usize) -> Vec<Vec<Dropped>> + Sync + 'static) -> Self {
        self.before = Box::new(before);
        self
    }

    /// After what is refused.
    pub fn after_refused(
        self,
        before: impl Fn(usize) -> Vec<Vec<Dropped>> + Sync + 'static,
    ) -> Self {
        Self {
            refused_before: true,
            ..self.after(before)
        }
    }

    pub fn with(mut self, settings: impl Fn(usize) -> String + Sync + 'static) -> Self {
        self.settings = Box::new(settings);
        self
    }

    /// The same file, looked at by `check`.
    pub fn checked(mut self, name: &'static str) -> Self {
        self.name = name;
        self.checks = true;
        self
    }
}

/// All parts.
fn parts() -> Vec<Part> {
    let wanted = std::env::var("PART").unwrap_or_default();
    let all = [hl7::parts(), cda::parts(), desk::parts(), known::parts()];
    let mut parts: Vec<Part> = all.into_iter().flatten().collect();
    parts.retain(|part| part.name.contains(&wanted));
    parts
}

/// What it takes without anything to take in.
fn idle() -> Measured {
    let part = Part::files("nothing", "accepted", |_| Vec::new());
    let of_no_file = Part {
        outcome: ("accepted", Box::new(|_| 0)),
        ..part
    };
    measure::measure(&of_no_file, 0)
}

/// What a part costs at these sizes; what is wrong with that is added to `wrong`.
fn compare(part: &Part, sizes: [usize; 2], idle: &Measured, wrong: &mut Vec<String>) -> String {
    let [few, many] = sizes.map(|size| size.min(part.most));
    let of_few = measure::measure(part, few);
    let of_many = measure::measure(part, many);
    let times = many as f64 / few.max(1) as f64;
    // Below this the clock of the system, and what a file costs whatever is in it, say more than the part.
    let least = 0.1_f64.max(idle.seconds);
    let grew = of_many.seconds / of_few.seconds.max(least);
    if grew > times.max(1.0) * 2.5 {
        wrong.push(format!(
            "{}: {many} take {:.2} s, {grew:.1} times as long as {few}, which take {:.2} s",
            part.name, of_many.seconds, of_few.seconds
        ));
    }
    for (count, measured) in [(few, &of_few), (many, &of_many)] {
        let allowed = allowed_kb(part, idle, count, measured.input_bytes);
        if measured.peak_kb > allowed {
            wrong.push(format!(
                "{}: {count}, {} kB of input, take {} kB of memory; allowed are {allowed} kB",
                part.name,
                measured.input_bytes / 1024,
                measured.peak_kb
            ));
        }
        wrong.extend(
            measured
                .wrong
                .iter()
                .map(|it| format!("{}: {it}", part.name)),
        );
    }
    let mb = |kb: u64| kb as f64 / 1024.0;
    format!(
        "| {} | {few} | {:.2} s | {:.0} MB | {many} | {:.1} MB | {:.2} s | {:.0} MB |",
        part.name,
        of_few.seconds,
        mb(of_few.peak_kb),
        of_many.input_bytes as f64 / 1e6,
        of_many.seconds,
        mb(of_many.peak_kb),
    )
}

#[test]
#[ignore = "takes minutes on an idle machine: cargo test --test growth every_part -- --ignored --nocapture"]
fn every_part_grows_in_line_with_its_size() {
    let idle = idle();
    let mut wrong = Vec::new();
    for part in parts() {
        let usual = match part.is_dear {
            true => [50, 400],
            false => [250, 2_000],
        };
        let sizes = part.quick.unwrap_or(usual);
        println!("{}", compare(&part, sizes, &idle, &mut wrong));
    }
    assert!(wrong.is_empty(), "{:#?}", wrong);
}

#[test]
#[ignore = "takes half an hour: cargo test --release --test growth -- --ignored --nocapture"]
fn the_table_of_growth() {
    let idle = idle();
    println!(
        "With nothing to take in: {:.2} s, {} MB.\n",
        idle.seconds,
        idle.peak_kb / 1024
    );
    println!("| part | so many | time | memory | so many | input | time | memory |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut wrong = Vec::new();
    for part in parts() {
        println!("{}", compare(&part, [1_000, 100_000], &idle, &mut wrong));
    }
    assert!(wrong.is_empty(), "{:#?}", wrong);
}
