//! `reopen`: opens a completed or cancelled case again.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `reopen`.
#[derive(Debug, Args)]
pub struct ReopenArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
}

impl ReopenArgs {
    /// Opens a completed or cancelled case again.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { facility, case } = self;
        super::facility(config, &facility)?;
        let dropped = command(json!({ "command": "reopen", "facility": facility, "case": case }));
        submit(config, &dropped)?.print(&format!("Case {case} of {facility} is open again."))
    }
}
