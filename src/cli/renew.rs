//! `renew`: makes the report of a completed case anew, with what is known by now.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `renew`.
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
}

impl RenewArgs {
    /// Makes the next version of the report.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self { facility, case } = self;
        super::facility(config, &facility)?;
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let dropped =
            command(json!({ "command": "renew", "facility": facility, "case": case, "time": now }));
        submit(config, &dropped)?.print(&format!(
            "The report of case {case} of {facility} is made anew; it leaves with the next batch (`rcpspool reports fetch {facility}`)."
        ))
    }
}
