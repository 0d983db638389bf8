//! `config`: says what would run.

use clap::Subcommand;

use super::{Failure, print};
use crate::config::Config as Configuration;

/// The arguments of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and its folders, and show every setting as it would run
    Check,
}

impl ConfigCommand {
    /// Checks.
    pub fn run(self, config: &Configuration) -> Result<(), Failure> {
        match self {
            ConfigCommand::Check => {
                config.check_folders()?;
                print(&config.describe())
            }
        }
    }
}
