//! `discard`: gives up refused files that nobody will correct, or moves that can never be done.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use super::retry::as_listed;
use crate::config::Config;

/// The arguments of `discard`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
#[command(override_usage = "rcpspool discard FILE... --why TEXT
       rcpspool discard --moves FACILITY [--why TEXT]")]
pub struct DiscardArgs {
    /// Refused files that nobody will correct, as `list errors` names them or as they lie in error/: they go to done/,
    /// each with its sidecar
    #[arg(group = "which", value_name = "FILE", requires = "why")]
    files: Vec<PathBuf>,
    /// The facility whose files are not to be moved into place any more: `status` shows where such files wait. It need
    /// not be in the configuration
    #[arg(long, group = "which", value_name = "FACILITY")]
    moves: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl DiscardArgs {
    /// Gives up.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { files, moves, why } = self;
        if let Some(moves) = moves {
            let dropped = command(json!({ "command": "discard", "moves": moves, "why": why }));
            return submit(config, &dropped)?.print(&format!(
                "The files of {moves} are not moved into place any more. What lies in its work folder is taken in anew if \
                 the facility comes back; a batch that did not leave does so by `rcpspool reports redeliver {moves}`."
            ));
        }
        let files: Vec<String> = files
            .iter()
            .map(|file| as_listed(config, file))
            .collect::<Result<_, _>>()?;
        let done = match files.len() {
            1 => "The file is in done/, and is no error any more".to_owned(),
            count => format!("{count} files are in done/, and are no errors any more"),
        };
        let dropped = command(json!({ "command": "discard", "files": files, "why": why }));
        submit(config, &dropped)?.print(&format!(
            "{done} (`rcpspool list errors --state discarded`)."
        ))
    }
}
