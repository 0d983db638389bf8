//! `status`: what is going on, as the status page shows it.

use std::sync::Arc;

use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};

use super::reach::{Reach, ask_daemon, reach};
use super::{Failure, print, print_json, terminal_width};
use crate::config::Config;
use crate::engine::arrivals::Arrivals;
use crate::listing::table::{self, Column, plain};
use crate::status::control::Request;
use crate::status::{Figures, Status as Gathered};

/// The arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Shows it.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let status = match reach(config)? {
            Reach::Daemon(mut client) => ask_daemon(&mut client, &Request::Status)?,
            Reach::Here(engine) => {
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
        Some(true) => format!("The daemon runs, since {}.\n", plain(&status["started"])),
        _ => "No daemon runs: files are taken in by `rcpspool once` only.\n".to_owned(),
    };
    if let Some(problem) = status["intake_waits"].as_str() {
        text.push_str(&format!("Nothing is taken in: {problem}\n"));
    }
    for folder in rows(&status["folders"]) {
        if let Some(problem) = folder["problem"].as_str() {
            text.push_str(&format!(
                "{} cannot be reached: {problem}\n",
                plain(&folder["id"])
            ));
        }
    }
    for (key, what) in [
        (
            "moves_waiting",
            "files could not be moved into place; the log says why",
        ),
        ("claims_waiting", "files are claimed and wait to be read"),
    ] {
        if let Some(count) = status[key].as_u64().filter(|count| *count > 0) {
            text.push_str(&format!("{count} {what}.\n"));
        }
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
    section("Next sessions", SESSIONS, rows(&status["sessions"]));
    section("Free space", SPACE, rows(&status["free_space"]));
    text
}

fn rows(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

const FOLDERS: &[Column] = &[
    ("FACILITY", |row| plain(&row["id"])),
    ("WAITING", |row| plain(&row["backlog"])),
    ("IN ERROR", |row| plain(&row["errors"])),
    ("NOT FILES", |row| plain(&row["strange"])),
    ("REPORTS TO LEAVE", |row| plain(&row["reports_waiting"])),
    ("FOLDER", |row| plain(&row["path"])),
];

const COUNTS: &[Column] = &[
    ("", |row| plain(&row["word"])),
    ("MESSAGES", |row| plain(&row["count"])),
];

const ERRORS: &[Column] = &[
    ("TIME", |row| plain(&row["time"])),
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
