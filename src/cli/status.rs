//! `status`: what is going on, as the status page shows it.

use std::sync::Arc;

use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};

use super::access::{Access, ask_daemon, no_spool, reach_if_there};
use super::{Failure, print, print_json, terminal_width};
use crate::config::Config;
use crate::engine::Hold;
use crate::engine::arrivals::Arrivals;
use crate::listing::table::{self, Column, local, plain, when};
use crate::model::visible::in_cell;
use crate::status::control::Request;
use crate::status::{Figures, Status as Gathered, newer_sentence, what_waits};

/// The arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    /// Shows it.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let status = match reach_if_there(config)? {
            None => return Err(Failure::new(no_spool(config))),
            Some(Access::Daemon(mut client)) => ask_daemon(&mut client, &Request::Status)?,
            Some(Access::Here(mut engine)) => {
                let swept = engine.sweep_all(&mut Arrivals::default());
                let now = Utc::now();
                let figures = Figures::of(&engine, &swept, now, now, false);
                let gathered = Gathered::gather(&figures, &**engine.store());
                engine.close()?;
                serde_json::to_value(gathered?)?
            }
        };
        match self.json {
            true => print_json(&status),
            false => print(&text(&status, terminal_width())),
        }
    }
}

fn text(status: &Value, width: Option<usize>) -> String {
    let mut text = match status["running"].as_bool() {
        Some(true) => format!("The daemon runs, since {}.\n", when(&status["started"])),
        _ => "No daemon runs: files are taken in by `rcpspool once` only.\n".to_owned(),
    };
    if let Some(problem) = status["intake_waits"].as_str() {
        text.push_str(&format!("Nothing is taken in: {problem}\n"));
    }
    for folder in rows(&status["folders"]) {
        text.push_str(&problems(folder));
    }
    for open in rows(&status["moves"]) {
        let facility = plain(&open["facility"]);
        text.push_str(&format!(
            "{} files of {facility} are to be moved into place since {}: {}.\n",
            open["count"],
            when(&open["since"]),
            plain(&open["problem"])
        ));
        if !["desk", "documents"].contains(&facility.as_str()) {
            text.push_str(&format!(
                "  It is tried again; `rcpspool discard --moves {facility}` gives them up.\n"
            ));
        }
    }
    if let Some(count) = status["claims_waiting"].as_u64().filter(|count| *count > 0) {
        text.push_str(&format!("{count} files are claimed and wait to be read.\n"));
    }
    let counts = |counts: &Value| -> Vec<Value> {
        let counts = counts.as_object().into_iter().flatten();
        counts
            .map(|(word, count)| json!({ "word": word, "count": count }))
            .collect()
    };
    let mut section = |title: &str, columns: &[Column], rows: &[Value]| {
        if !rows.is_empty() {
            text.push_str(&format!(
                "\n{title}\n{}",
                table::columns(columns, rows, width)
            ));
        }
    };
    section("Folders", FOLDERS, rows(&status["folders"]));
    if status["running"] == true {
        section(
            "Messages since the start",
            COUNTS,
            &counts(&status["totals"]),
        );
        section("Refused because of", COUNTS, &counts(&status["refused"]));
    }
    section("Last refused", ERRORS, rows(&status["errors"]));
    section(
        "Refused, and corrected since (`rcpspool discard`)",
        ERRORS,
        rows(&status["superseded"]),
    );
    section("Next sessions", SESSIONS, rows(&status["sessions"]));
    section("Free space", SPACE, rows(&status["free_space"]));
    text
}

/// Why files of a place wait, since when, and what to do.
fn problems(folder: &Value) -> String {
    let id = plain(&folder["id"]);
    let mut text = String::new();
    let holds: Vec<Hold> = serde_json::from_value(folder["holds"].clone()).unwrap_or_default();
    for hold in &holds {
        let since = local(hold.since);
        let waits = what_waits(hold.held, &id);
        let line = format!("{waits}: {}, since {since}", hold.cause);
        text.push_str(&format!(
            "{}\n  → {}\n",
            in_cell(&line),
            in_cell(&hold.next)
        ));
    }
    if let Some(newer) = folder["newer_than_clock"].as_u64().and_then(newer_sentence) {
        text.push_str(&format!("{id}: {newer}\n"));
    }
    for blocked in rows(&folder["blocked"]) {
        let (problem, since) = (plain(&blocked["problem"]), when(&blocked["since"]));
        text.push_str(&format!("{id}: {problem}, since {since}.\n"));
        text.push_str(&match blocked["folder"].as_str() {
            Some(named) => format!("  The first is {}.\n", in_cell(named)),
            None => "  A notice (*.notice.json) among its receipts names each.\n".to_owned(),
        });
        text.push_str(&format!("  → {}\n", plain(&blocked["next"])));
    }
    text
}

/// A count, unless there is nothing to count.
fn some(count: &Value) -> String {
    match count.as_u64() {
        Some(0) => String::new(),
        _ => plain(count),
    }
}

fn waiting(row: &Value) -> String {
    match &row["backlog"] {
        Value::Null => "unknown".to_owned(),
        count => plain(count),
    }
}

fn rows(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

const FOLDERS: &[Column] = &[
    ("FACILITY", |row| plain(&row["id"])),
    ("WAITING", waiting),
    ("SETTLING", |row| some(&row["settling"])),
    ("NEWER THAN CLOCK", |row| some(&row["newer_than_clock"])),
    ("IN HAND", |row| some(&row["in_hand"])),
    ("HELD BACK", |row| some(&row["held_back"])),
    ("BLOCKED FOLDERS", |row| some(&row["blocked_folders"])),
    ("IN ERROR", |row| plain(&row["errors"])),
    ("NOT FILES", |row| plain(&row["strange"])),
    ("REPORTS TO LEAVE", |row| plain(&row["reports_waiting"])),
    ("OUTDATED REPORTS", |row| some(&row["reports_outdated"])),
    ("FOLDER", |row| plain(&row["path"])),
];

const COUNTS: &[Column] = &[
    ("", |row| plain(&row["word"])),
    ("MESSAGES", |row| plain(&row["count"])),
];

const ERRORS: &[Column] = &[
    ("TIME", |row| when(&row["time"])),
    ("FACILITY", |row| plain(&row["facility"])),
    ("REASON", |row| plain(&row["reason"])),
    ("WHERE", |row| plain(&row["where"])),
    ("MESSAGE", |row| plain(&row["message_type"])),
    ("CASE", |row| plain(&row["case"])),
    ("FILE", |row| plain(&row["file"])),
];

const SESSIONS: &[Column] = &[
    ("DATE", |row| plain(&row["date"])),
    ("START", |row| plain(&row["start"])),
    ("SESSION", |row| plain(&row["id"])),
    ("CASES", |row| plain(&row["cases"])),
    ("LABEL", |row| plain(&row["label"])),
];

const SPACE: &[Column] = &[
    ("FOLDER", |row| plain(&row["folder"])),
    ("FREE", |row| {
        format!("{} MiB", row["bytes"].as_u64().unwrap_or_default() >> 20)
    }),
];
