//! `once`: takes in what is in the inboxes now, writes due batches, and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::access::{Access, ask_daemon, reach_as};
use super::{Failure, complain, print, print_json};
use crate::config::Config;
use crate::engine::arrivals::{Arrivals, SweepResult};
use crate::engine::{Engine, Hold, HoldScope, owner_name};
use crate::model::owner::Owner;
use crate::status::control::Request;
use crate::status::{self, Figures, Status};

/// So many refused files are looked for in `error/` in one run.
const LOOKED_AT: usize = 10_000;

/// The arguments of `once`.
#[derive(Debug, Args)]
pub struct OnceArgs {
    /// The counts as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    loss: super::LossArgs,
}

impl OnceArgs {
    /// Takes in.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let totals = match reach_as(config, self.loss.start())? {
            Access::Daemon(mut client) => ask_daemon(&mut client, &Request::Once)?,
            Access::Here(mut engine) => {
                let taken = take_in(&mut engine);
                let totals = json!(engine.totals());
                if taken.is_ok() {
                    keep_small(&mut engine);
                }
                engine.close()?;
                taken?;
                totals
            }
        };
        match self.json {
            true => print_json(&totals),
            false => print(&summary(&totals)),
        }
    }
}

/// Takes in everything, waiting at most `settle` for files that are younger, then writes the batches.
fn take_in(engine: &mut Engine) -> Result<(), Failure> {
    for problem in engine.unreachable().values() {
        complain(format_args!("{problem}"));
    }
    let started = Utc::now();
    let mut arrivals = Arrivals::default();
    let mut swept = engine.sweep_all(&mut arrivals);
    if swept.unsettled() > 0 {
        // A little more than that: both looks take their time.
        std::thread::sleep(engine.config().intake.settle + Duration::from_millis(10));
        swept = engine.sweep_all(&mut arrivals);
    }
    for (owner, inbox) in &swept.inboxes {
        for (sentence, _) in status::blocked_sentences(&inbox.blocked) {
            complain(format_args!("{owner}: {sentence}"));
        }
    }
    if swept.unsettled() > 0 {
        let count = swept.unsettled();
        complain(format_args!(
            "{count} files are still being written, or wait for one that is: they stay for the next time"
        ));
    }
    engine.take_in(std::mem::take(&mut swept.ready))?;
    engine.tend_notices(&swept)?;
    wait_for_doubtful(engine, || false)?;
    if engine.claims_waiting() > 0 {
        let count = engine.claims_waiting();
        complain(format_args!(
            "{count} files that were claimed may still be written to: they stay in work/ for the next time"
        ));
    }
    engine.write_due_batches()?;
    engine.forget_removed_refused(LOOKED_AT)?;
    swept = engine.sweep_all(&mut arrivals);
    write_status(engine, &swept, started);
    print_what_waits(engine)
}

/// What could not be done for one place says so on stderr; what was done for the others counts.
fn print_what_waits(engine: &Engine) -> Result<(), Failure> {
    // Facilities that cannot be reached were told of before.
    let holds = engine.holds().into_iter();
    let holds: Vec<(Owner, Hold)> = holds
        .filter(|(_, hold)| hold.held != HoldScope::Everything)
        .collect();
    for (place, hold) in &holds {
        eprintln!("rcpspool: {}: {hold}. {}", owner_name(place), hold.next);
    }
    match holds.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            "not everything could be done: what waits is named above",
        )),
    }
}

/// Looks again, until `is_done`, at claimed files of which the system does not say whether a writer has them open.
pub(super) fn wait_for_doubtful(
    engine: &mut Engine,
    is_done: impl Fn() -> bool,
) -> Result<(), Failure> {
    let start = Instant::now();
    let (patience, pause) = (engine.longest_doubt(), engine.between_doubtful_looks());
    while engine.files_in_doubt() > 0 && start.elapsed() < patience && !is_done() {
        std::thread::sleep(pause);
        engine.take_in(Vec::new())?;
    }
    Ok(())
}

/// Makes a snapshot of the journal, and removes what is old, where that is due. What was taken in counts in any case.
fn keep_small(engine: &mut Engine) {
    let kept = engine.upkeep().and_then(|due| Ok(due.run(&|| false)?));
    if let Err(error) = kept {
        complain(format_args!("the spool cannot be kept small: {error}"));
    }
}

/// The page shows what was done, whether or not a daemon ever runs.
fn write_status(engine: &Engine, swept: &SweepResult, started: DateTime<Utc>) {
    let figures = Figures::of(engine, swept, started, Utc::now(), false);
    let written = Status::gather(&figures, &**engine.store())
        .map_err(|error| error.to_string())
        .and_then(|status| {
            status::publish(engine.fs(), engine.status_dir(), &status)
                .map_err(|error| error.to_string())
        });
    if let Err(problem) = written {
        complain(format_args!("the status page cannot be written: {problem}"));
    }
}

fn summary(totals: &Value) -> String {
    let words = [
        "accepted",
        "updated",
        "duplicate",
        "stale",
        "ignored",
        "rejected",
    ];
    let counts: Vec<(&str, u64)> = words
        .iter()
        .map(|word| (*word, totals[*word].as_u64().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    if counts.is_empty() {
        return "Nothing was waiting.\n".to_owned();
    }
    let mut text = String::new();
    for (word, count) in &counts {
        text.push_str(&format!("{word:<10}{count:>8}\n"));
    }
    if counts.iter().any(|(word, _)| *word == "rejected") {
        text.push_str("`rcpspool list errors` shows what was refused, and why.\n");
    }
    text
}
