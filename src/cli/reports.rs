//! `reports`: fetches a batch now, or lets reports leave again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::desk::{NewInboxFile, command, drop_and_wait, fresh_name, submit};
use super::{Failure, complain, facility, print};
use crate::config::Config;
use crate::model::owner::Owner;
use crate::spool::destinations::REPORTS;

/// The arguments of `reports`.
#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// Write a batch now, as a request does, and print its path
    Fetch {
        /// The facility
        facility: String,
    },
    /// Write an extra batch of reports that left before
    Redeliver(RedeliverArgs),
}

/// The arguments of `reports redeliver`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct RedeliverArgs {
    /// The facility
    facility: String,
    /// The reports of the batches made since then: 2025-04-01, or 2025-04-01T13:00:00Z
    #[arg(long, group = "which", value_name = "TIME")]
    since: Option<String>,
    /// The reports of this batch
    #[arg(long, group = "which", value_name = "N")]
    batch: Option<u64>,
}

impl ReportsCommand {
    /// Fetches or redelivers.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        match self {
            ReportsCommand::Fetch { facility } => fetch(config, &facility),
            ReportsCommand::Redeliver(redeliver) => redeliver.run(config),
        }
    }
}

fn fetch(config: &Arc<Config>, id: &str) -> Result<(), Failure> {
    let outbox = facility(config, id)?.dir.join(REPORTS);
    let name = fresh_name("reports", "retrieve");
    let batch = outbox.join(Path::new(&name).with_extension("xml"));
    let dropped = NewInboxFile {
        owner: Owner::Facility(id.to_owned()),
        name,
        bytes: Vec::new(),
        beside: None,
    };
    drop_and_wait(config, &dropped, &batch)?;
    if is_empty(&batch) {
        complain(format_args!(
            "nothing was to fetch: no report of {id} waits, and the batch says so"
        ));
    }
    print(&format!("{}\n", batch.display()))
}

/// Whether a batch has no report: its root, as it is written then. One with reports may be large, and is not read.
fn is_empty(batch: &Path) -> bool {
    const LARGEST: u64 = 1024;
    std::fs::metadata(batch).is_ok_and(|batch| batch.len() <= LARGEST)
        && std::fs::read(batch).is_ok_and(|it| it.trim_ascii_end().ends_with(b"<message/>"))
}

impl RedeliverArgs {
    fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self {
            facility: id,
            since,
            batch,
        } = self;
        let outbox = facility(config, &id)?.dir.join(REPORTS);
        let before = batches(&outbox)?;
        let mut redeliver = json!({ "command": "redeliver", "facility": id });
        if let Some(since) = since {
            redeliver["since"] = since.into();
        }
        if let Some(batch) = batch {
            redeliver["batch"] = batch.into();
        }
        let receipt = submit(config, &command(redeliver))?;
        let written: Vec<String> = batches(&outbox)?
            .difference(&before)
            .map(|path| path.display().to_string())
            .collect();
        receipt.print(&written.join("\n"))
    }
}

/// What lies in an outbox, which may not be there yet.
fn batches(outbox: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(format!("{} cannot be listed: {error}", outbox.display()))
    };
    let entries = match std::fs::read_dir(outbox) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(unreadable(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}
