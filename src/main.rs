//! The `rcpspool` program: its arguments, and the function of [`rcpspool::cli`] that does what they say.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use rcpspool::cli::{self, Cli};
use rcpspool::model::visible::{in_lines, visible};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A fifth of the work is in small buffers, which it gives out twice as fast as the system's; and it gives large ones
/// back as soon as they are dropped, so that a daemon that runs for months keeps no room for the largest document.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What a group may do is said where each folder is made.
    rustix::process::umask(Mode::RWXO);
    raise_limit_of_open_files();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        // It would log the names of received files.
        .filter_module("notify", LevelFilter::Off)
        .format(|out, record| {
            let (time, level) = (out.timestamp(), record.level());
            let style = out.default_level_style(level);
            // What a sender wrote may stand in a line.
            let said = record.args().to_string();
            let said = visible(&said);
            let target = record.target();
            writeln!(out, "[{time} {style}{level:<5}{style:#} {target}] {said}")
        })
        .init();
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rcpspool: {}", in_lines(&failure.message));
            ExitCode::from(failure.status)
        }
    }
}

/// A region's folders are held open, several for each hospital; the usual limit is for programs that do not know better.
fn raise_limit_of_open_files() {
    let allowed = getrlimit(Resource::Nofile);
    // Refused, the former limit holds.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: allowed.maximum,
            ..allowed
        },
    );
}
