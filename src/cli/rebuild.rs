//! `rebuild`: makes the store again from the journal.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, print};
use crate::config::Config;
use crate::engine::witness::{SpoolPresence, look};
use crate::engine::{Engine, EngineError, OpenStore, StartOptions};
use crate::journal::{End, JournalError};
use crate::spool::fs::Fs;
use crate::spool::layout::FolderError;

/// The arguments of `rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    loss: super::LossArgs,
}

impl RebuildArgs {
    /// Rebuilds.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let fs = Fs::new();
        let start = StartOptions {
            rebuild: true,
            ..self.loss.start()
        };
        match look(&fs, config) {
            Ok(SpoolPresence::Spool) => {}
            Ok(SpoolPresence::Nothing) => {
                return Err(Failure::new(format!(
                    "there is no journal in {}, and so nothing to make a store from; `rcpspool setup` makes a new spool",
                    config.spool.join("journal").display()
                )));
            }
            Err(EngineError::Loss(_)) if start.accept_loss => {}
            Err(error) => return Err(error.into()),
        }
        // Drawn on the standard error, and only where that is a terminal.
        let bar = ProgressBar::new(last_group(&fs, &config.spool)?);
        if let Ok(style) =
            ProgressStyle::with_template("reading the journal {wide_bar} {percent}%  {eta}")
        {
            bar.set_style(style);
        }
        let opened = Engine::open_as(
            Arc::clone(config),
            fs,
            OpenStore::Sled,
            start,
            &mut |group| {
                bar.set_position(group);
            },
        );
        bar.finish_and_clear();
        match opened {
            Err(EngineError::Layout(FolderError::InUse(_))) => {
                return Err(Failure::new(
                    "the spool is in use: stop the daemon, then rebuild, then start it again",
                ));
            }
            opened => opened?.close()?,
        }
        print("The store is made again from the journal.\n")
    }
}

/// How far reading goes.
fn last_group(fs: &Fs, spool: &Path) -> Result<u64, Failure> {
    let end = match fs.open_root(&spool.join("journal")) {
        Ok(journal) => match End::of(fs, &journal) {
            // The start says so, and what to do.
            Err(JournalError::Damaged { .. }) => None,
            end => end?,
        },
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    Ok(end.map_or(0, |end| end.counters.group))
}
