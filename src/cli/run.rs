//! `run`: the daemon, in the foreground, until SIGTERM or SIGINT.

use std::path::Path;

use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::daemon;

/// The arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    loss: super::LossArgs,
}

impl RunArgs {
    /// Runs.
    pub fn run(self, config_path: Option<&Path>, config: Config) -> Result<(), Failure> {
        Ok(daemon::run(config_path, config, self.loss.start())?)
    }
}
