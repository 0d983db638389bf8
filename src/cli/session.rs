//! `session`: imports a list of sessions, or cancels one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::access::ask;
use super::desk::{NewInboxFile, fresh_name, submit};
use crate::config::Config;
use crate::listing::{Filter, Listing};
use crate::model::identifiers::SessionId;
use crate::model::owner::Owner;
use crate::status::control::Request;

/// The columns of a list of sessions (interface.md 7), which are the keys of `list sessions` too.
const COLUMNS: [&str; 10] = [
    "id",
    "label",
    "date",
    "start",
    "pathway_id",
    "family_id",
    "lead_rpps",
    "lead_family",
    "lead_given",
    "state",
];

/// The arguments of `session`.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Take in a list of sessions: CSV with a header line
    Import {
        /// The list: id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state
        file: PathBuf,
    },
    /// Cancel a session: its cases wait for another one
    Cancel {
        /// The session
        id: String,
    },
}

impl SessionCommand {
    /// Imports or cancels.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        match self {
            SessionCommand::Import { file } => import(config, &file),
            SessionCommand::Cancel { id } => cancel(config, &id),
        }
    }
}

fn import(config: &Arc<Config>, file: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
    let receipt = submit(config, &dropped(bytes))?;
    receipt.print("The sessions are taken in; `rcpspool list sessions` shows them.")
}

fn cancel(config: &Arc<Config>, id: &str) -> Result<(), Failure> {
    let request = Request::List {
        what: Listing::Sessions,
        filter: Filter {
            session: Some(SessionId::new(id)),
            ..Filter::default()
        },
    };
    let sessions = ask(config, &request)?;
    let Some(session) = sessions.get(0) else {
        return Err(Failure::new(format!(
            "there is no session {id}; `rcpspool list sessions` shows which there are"
        )));
    };
    let row: Vec<String> = COLUMNS
        .iter()
        .map(|column| match *column {
            "state" => "cancelled".to_owned(),
            column => quoted(&session[column]),
        })
        .collect();
    let list = format!("{}\n{}\n", COLUMNS.join(","), row.join(","));
    let receipt = submit(config, &dropped(list.into_bytes()))?;
    receipt.print(&format!(
        "Session {id} is cancelled; its cases wait for another one."
    ))
}

fn dropped(bytes: Vec<u8>) -> NewInboxFile {
    NewInboxFile {
        owner: Owner::Desk,
        name: fresh_name("sessions", "csv"),
        bytes,
        beside: None,
    }
}

/// A cell of CSV: in quotes, as a label may hold anything.
fn quoted(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        None => String::new(),
    }
}
