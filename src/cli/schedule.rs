//! `schedule`: puts a case, a patient, a note's case, or every case that now fits one session, into a session.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::access::ask;
use super::desk::{command, commands, submit};
use super::{Failure, print};
use crate::config::Config;
use crate::listing::{Filter, Listing};
use crate::status::control::Request;

/// The arguments of `schedule`.
#[derive(Debug, Args)]
#[command(override_usage = "rcpspool schedule FACILITY CASE SESSION
       rcpspool schedule --patient FACILITY IPP SESSION
       rcpspool schedule --note ID SESSION
       rcpspool schedule --matching")]
pub struct Schedule {
    /// FACILITY and IPP name a patient, for whom a case is made
    #[arg(long, conflicts_with_all = ["note", "matching"])]
    patient: bool,
    /// ID names a note: the case that it stands for, else a new one
    #[arg(long, conflicts_with = "matching")]
    note: bool,
    /// Every waiting case that now fits exactly one planned session
    #[arg(long)]
    matching: bool,
    /// As the usage says
    #[arg(hide = true)]
    names: Vec<String>,
}

impl Schedule {
    /// Schedules.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        match (self.patient, self.note, self.matching, names.as_slice()) {
            (false, false, false, [facility, case, session]) => {
                super::facility(config, facility)?;
                let dropped = command(json!({
                    "command": "schedule", "facility": facility, "case": case, "session": session,
                }));
                submit(config, &dropped)?.print(&format!(
                    "Case {case} of {facility} is scheduled in {session}."
                ))
            }
            (true, false, false, [facility, ipp, session]) => {
                super::facility(config, facility)?;
                let dropped = command(json!({
                    "command": "schedule", "facility": facility, "ipp": ipp, "session": session,
                }));
                submit(config, &dropped)?.print(&format!(
                    "A case of patient {ipp} of {facility} is scheduled in {session} (`rcpspool list cases --session {session}`)."
                ))
            }
            (false, true, false, [note, session]) => {
                let facility = facility_of_note(config, note)?;
                let dropped = command(json!({
                    "command": "schedule", "facility": facility, "note": note, "session": session,
                }));
                submit(config, &dropped)?.print(&format!(
                    "The note's case is scheduled in {session} (`rcpspool list cases --session {session}`)."
                ))
            }
            (false, false, true, []) => schedule_matching(config),
            _ => Err(Failure::usage(
                "write `schedule FACILITY CASE SESSION`, `schedule --patient FACILITY IPP SESSION`, `schedule --note ID SESSION` or `schedule --matching`",
            )),
        }
    }
}

fn facility_of_note(config: &Arc<Config>, note: &str) -> Result<String, Failure> {
    let notes = list(config, Listing::Notes, Filter::default())?;
    let known = notes.iter().find(|row| row["id"] == note);
    known
        .and_then(|row| row["facility"].as_str().map(str::to_owned))
        .ok_or_else(|| {
            Failure::new(format!(
                "there is no note {note}; `rcpspool list notes` shows which there are"
            ))
        })
}

fn schedule_matching(config: &Arc<Config>) -> Result<(), Failure> {
    let filter = Filter {
        state: Some("unscheduled".to_owned()),
        ..Filter::default()
    };
    let cases = list(config, Listing::Cases, filter)?;
    let matching: Vec<Value> = cases
        .into_iter()
        .filter(|case| case["can_be_scheduled"].is_string())
        .map(|case| {
            json!({
                "command": "schedule",
                "facility": case["facility"],
                "case": case["id"],
                "session": case["can_be_scheduled"],
            })
        })
        .collect();
    if matching.is_empty() {
        return print("No waiting case fits exactly one planned session.\n");
    }
    let done: Vec<String> = matching
        .iter()
        .map(|it| {
            let word = |key: &str| it[key].as_str().unwrap_or_default();
            format!(
                "Case {} of {} is scheduled in {}.",
                word("case"),
                word("facility"),
                word("session")
            )
        })
        .collect();
    submit(config, &commands(matching))?.print_each(|number| done.get(number).map(String::as_str))
}

fn list(config: &Arc<Config>, what: Listing, filter: Filter) -> Result<Vec<Value>, Failure> {
    match ask(config, &Request::List { what, filter })? {
        Value::Array(rows) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}
