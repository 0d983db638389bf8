//! `rebuild`: makes the store again from the journal.

use std::ffi::OsStr;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, print};
use crate::config::Config;
use crate::engine::{CLEAN, Engine, OpenStore};
use crate::journal::Journal;
use crate::spool::fs::Fs;
use crate::spool::layout::{LayoutError, Spool};

/// Rebuilds.
pub fn run(config: &Arc<Config>) -> Result<(), Failure> {
    let fs = Fs::new();
    let groups = distrust_store(&fs, config)?;
    // Drawn on the standard error, and only where that is a terminal.
    let bar = ProgressBar::new(groups);
    if let Ok(style) =
        ProgressStyle::with_template("reading the journal {wide_bar} {percent}%  {eta}")
    {
        bar.set_style(style);
    }
    let opened = Engine::open_watched(Arc::clone(config), fs, OpenStore::Sled, &mut |group| {
        bar.set_position(group);
    });
    bar.finish_and_clear();
    opened?.close()?;
    print("The store is made again from the journal.\n")
}

/// Takes back what says that the store can be trusted, so that opening the engine makes it again; gives the number of the journal's last group.
fn distrust_store(fs: &Fs, config: &Config) -> Result<u64, Failure> {
    let spool = match Spool::open(fs, &config.spool) {
        Err(LayoutError::InUse(_)) => {
            return Err(Failure::new(
                "the spool is in use: stop the daemon, then rebuild, then start it again",
            ));
        }
        opened => opened?,
    };
    match fs.remove(&spool.store, OsStr::new(CLEAN)) {
        Err(error) if !error.is_absent() => return Err(error.into()),
        _ => {}
    }
    Ok(Journal::last_group(fs, &spool.journal)?)
}
