//! `retry`: refused files go back to their inbox, once what was wrong is put right.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::desk::{command, submit};
use super::list::rows;
use super::{Failure, print};
use crate::config::Config;
use crate::listing::errors::{self, SUPERSEDED};
use crate::listing::{Filter, Listing};
use crate::model::outcome::Reason;

/// The arguments of `retry`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct RetryArgs {
    /// Refused files, as `list errors` names them or as they lie in error/
    #[arg(group = "which", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// All files that were refused for this reason, but those of which a corrected one was taken in since
    #[arg(long, group = "which", value_name = "CODE")]
    reason: Option<String>,
}

impl RetryArgs {
    /// Retries.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let files = match &self.reason {
            Some(reason) => refused_for(config, reason)?,
            None => self
                .files
                .iter()
                .map(|file| as_listed(config, file))
                .collect::<Result<_, _>>()?,
        };
        if files.is_empty() {
            return print("No file was refused for this reason.\n");
        }
        let done = match files.len() {
            1 => "The file is back in its inbox; the daemon or `rcpspool once` takes it in."
                .to_owned(),
            count => format!(
                "{count} files are back in their inboxes; the daemon or `rcpspool once` takes them in."
            ),
        };
        submit(
            config,
            &command(json!({ "command": "retry", "files": files })),
        )?
        .print(&done)
    }
}

/// A refused file by the path under which it is listed.
pub(super) fn as_listed(config: &Config, file: &Path) -> Result<String, Failure> {
    errors::as_listed(config, file).ok_or_else(|| {
        Failure::new(format!(
            "there is no refused file {}; `rcpspool list errors` shows which there are",
            file.display()
        ))
    })
}

fn refused_for(config: &Arc<Config>, reason: &str) -> Result<Vec<String>, Failure> {
    if !Reason::ALL.iter().any(|known| known.code() == reason) {
        return Err(Failure::new(format!(
            "there is no reason {reason}; `rcpspool list errors` shows why files were refused"
        )));
    }
    let refused = rows(config, Listing::Errors, &Filter::default())?;
    Ok(refused
        .iter()
        .filter(|error| error["reason"] == reason && error["state"] != SUPERSEDED)
        .filter_map(|error| error["file"].as_str().map(str::to_owned))
        .collect())
}
