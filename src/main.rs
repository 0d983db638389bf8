//! The `rcpspool` program: its arguments, and the function of [`rcpspool::cli`] that does what they say.

use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use rcpspool::cli::{self, Cli};
use rustix::fs::Mode;

/// A fifth of the work is in small buffers, which it gives out twice as fast as the system's; and it gives large ones
/// back as soon as they are dropped, so that a daemon that runs for months keeps no room for the largest document.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What a group may do is said where each folder is made.
    rustix::process::umask(Mode::RWXO);
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        // It would log the names of received files.
        .filter_module("notify", LevelFilter::Off)
        .init();
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rcpspool: {}", failure.message);
            ExitCode::from(failure.status)
        }
    }
}
