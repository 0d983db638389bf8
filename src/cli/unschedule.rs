//! `unschedule`: takes a case out of its session.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `unschedule`.
#[derive(Debug, Args)]
pub struct UnscheduleArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
}

impl UnscheduleArgs {
    /// Takes a case out of its session.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { facility, case } = self;
        super::facility(config, &facility)?;
        let dropped =
            command(json!({ "command": "unschedule", "facility": facility, "case": case }));
        submit(config, &dropped)?.print(&format!(
            "Case {case} of {facility} waits for a session again."
        ))
    }
}
