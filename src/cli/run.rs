//! `run`: the daemon, in the foreground, until SIGTERM or SIGINT.

use std::path::Path;

use super::Failure;
use crate::config::Config;
use crate::daemon;

/// Runs.
pub fn run(config_path: Option<&Path>, config: Config) -> Result<(), Failure> {
    Ok(daemon::run(config_path, config)?)
}
