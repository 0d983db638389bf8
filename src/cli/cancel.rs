//! `cancel`: cancels a case.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
}

impl CancelArgs {
    /// Cancels a case.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { facility, case } = self;
        super::facility(config, &facility)?;
        let dropped = command(json!({ "command": "cancel", "facility": facility, "case": case }));
        submit(config, &dropped)?.print(&format!("Case {case} of {facility} is cancelled."))
    }
}
