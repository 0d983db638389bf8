//! `discard`: gives up what can never be done.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `discard`.
#[derive(Debug, Args)]
pub struct Discard {
    /// The facility whose files are not to be moved into place any more: `status` shows where such files wait. It need
    /// not be in the configuration
    #[arg(long, value_name = "FACILITY", required = true)]
    moves: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Discard {
    /// Gives up.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { moves, why } = self;
        let dropped = command(json!({ "command": "discard", "moves": moves, "why": why }));
        submit(config, &dropped)?.tell(&format!(
            "The files of {moves} are not moved into place any more. What lies in its work folder is taken in anew if \
             the facility comes back; a batch that did not leave does so by `rcpspool reports redeliver {moves}`."
        ))
    }
}
