//! The command line (interface.md 12): one file per command, which reads its arguments, applies them and answers.
//!
//! What changes something goes through the desk ([`desk`]), what reads asks the running daemon or opens the store
//! ([`reach`]); so every command works with the daemon running and without it.

mod access;
mod attach;
mod cancel;
mod check;
mod complete;
mod config;
mod demo;
mod desk;
mod discard;
mod list;
mod once;
mod questionnaire;
mod rebuild;
mod renew;
mod reopen;
mod reports;
mod retry;
mod run;
mod schedule;
mod session;
mod setup;
mod show;
mod status;
mod unschedule;
mod user;
mod verify;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Facility};
use crate::engine::StartOptions;
use crate::model::visible::{in_json, in_lines};

/// Takes in what hospitals send for multidisciplinary meetings, and returns the reports
#[derive(Debug, Parser)]
#[command(name = "rcpspool", version, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration; else rcpspool.toml here, else /etc/rcpspool/config.toml, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Take files in as they come, until SIGTERM or SIGINT; SIGHUP reads the configuration again
    Run(run::RunArgs),
    /// Take in what is in the inboxes now, write due batches, and end
    Once(once::OnceArgs),
    /// See it work: a new spool with sample messages, a completed case and its report
    Demo(demo::DemoArgs),
    /// Make the folders, with the right rights where root runs it
    Setup(setup::SetupArgs),
    /// Read files as the daemon would: each datum, where it stands, each problem; changes nothing
    Check(check::CheckArgs),
    /// Say what is going on: folders, backlog, what was refused, the next sessions
    Status(status::StatusArgs),
    /// List what is known
    List(list::ListArgs),
    /// Show everything known about one case, patient or session
    Show(show::ShowArgs),
    /// Import or cancel sessions
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Put a case, a patient or a note's case into a session
    Schedule(schedule::Schedule),
    /// Take a case out of its session
    Unschedule(unschedule::UnscheduleArgs),
    /// Cancel a case
    Cancel(cancel::CancelArgs),
    /// Put the documents of a note into a case
    Attach(attach::AttachArgs),
    /// Fill the questionnaire of a case by hand
    Questionnaire(questionnaire::QuestionnaireArgs),
    /// Complete a case: its report is made
    Complete(complete::CompleteArgs),
    /// Make the report of a completed case anew, with what is known by now
    Renew(renew::RenewArgs),
    /// Open a completed or cancelled case again
    Reopen(reopen::ReopenArgs),
    /// Fetch reports, or let them leave again
    #[command(subcommand)]
    Reports(reports::ReportsCommand),
    /// Put refused files back into their inbox
    Retry(retry::RetryArgs),
    /// Give up refused files that nobody will correct, or moves of files that can never be done
    Discard(discard::DiscardArgs),
    /// Make the store again from the journal
    Rebuild(rebuild::RebuildArgs),
    /// Check journal, store, documents and folders against each other
    Verify(verify::VerifyArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Does what the arguments say.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let read = || Config::load(cli.config.as_deref());
    let load = || -> Result<Arc<Config>, Failure> {
        let config = read()?;
        user::become_owner(&config)?;
        config.check_spool()?;
        Ok(Arc::new(config))
    };
    // Whoever asks a daemon why files wait must get an answer, above all where a folder cannot be written to.
    let look = || -> Result<Arc<Config>, Failure> {
        let config = read()?;
        user::become_owner(&config)?;
        if !access::is_daemon_there(&config) {
            config.check_spool()?;
        }
        Ok(Arc::new(config))
    };
    match cli.command {
        CliCommand::Demo(demo) => demo.run(),
        CliCommand::Config(command) => {
            // What root may write to says nothing of what the daemon may.
            let config = read()?;
            user::become_owner(&config)?;
            command.run(&config)
        }
        CliCommand::Check(check) => check.run(&read()?),
        CliCommand::Once(once) => once.run(&load()?),
        CliCommand::Setup(setup) => setup.run(&Arc::new(read()?)),
        CliCommand::Run(run) => run.run(cli.config.as_deref(), Arc::unwrap_or_clone(load()?)),
        CliCommand::Status(status) => status.run(&look()?),
        CliCommand::List(list) => list.run(&look()?),
        CliCommand::Show(show) => show.run(&look()?),
        CliCommand::Session(session) => session.run(&load()?),
        CliCommand::Schedule(schedule) => schedule.run(&load()?),
        CliCommand::Unschedule(unschedule) => unschedule.run(&load()?),
        CliCommand::Cancel(cancel) => cancel.run(&load()?),
        CliCommand::Attach(attach) => attach.run(&load()?),
        CliCommand::Questionnaire(questionnaire) => questionnaire.run(&load()?),
        CliCommand::Complete(complete) => complete.run(&load()?),
        CliCommand::Renew(renew) => renew.run(&load()?),
        CliCommand::Reopen(reopen) => reopen.run(&load()?),
        CliCommand::Reports(reports) => reports.run(&load()?),
        CliCommand::Retry(retry) => retry.run(&load()?),
        CliCommand::Discard(discard) => discard.run(&load()?),
        CliCommand::Rebuild(rebuild) => rebuild.run(&load()?),
        CliCommand::Verify(verify) => verify.run(&load()?),
    }
}

/// What a start does about a journal that is missing, another's, damaged, or older than it was.
#[derive(Debug, Clone, Copy, Args)]
pub struct LossArgs {
    /// Go on with what is there of the journal: though it is missing, another's or damaged, and no copy can be restored,
    /// or after an older copy was put back, also where nothing proves that. What it held stays forgotten. It begins
    /// again with a new identity; reports and batches are numbered anew, above all that may have left. Give it once
    #[arg(long)]
    accept_loss: bool,
}

impl LossArgs {
    fn start(self) -> StartOptions {
        StartOptions {
            accept_loss: self.accept_loss,
            ..StartOptions::default()
        }
    }
}

/// Why a command did not do what was asked, in a sentence that says what to do.
#[derive(Debug)]
pub struct Failure {
    /// The sentence.
    pub message: String,
    /// The exit status: 1, or 2 for wrong usage.
    pub status: u8,
}

impl Failure {
    /// It was understood and could not be done.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 1,
        }
    }

    /// It was asked for in a way that means nothing.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 2,
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Writes lines to the standard output, with what a sender may have hidden in them shown.
fn print(text: &str) -> Result<(), Failure> {
    write_out(&in_lines(text))
}

/// Says something beside the output, on the standard error.
fn complain(problem: impl fmt::Display) {
    eprintln!("rcpspool: {}", in_lines(&problem.to_string()));
}

/// Whoever reads it may have had enough: that is no failure.
fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!(
            "the output cannot be written: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

/// Writes a value as JSON to the standard output.
fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    write_json(&format!("{value:#}\n"))
}

/// Writes JSON, or a part of it, to the standard output.
fn write_json(json: &str) -> Result<(), Failure> {
    write_out(&in_json(json))
}

/// How wide the terminal is; nothing where the output is piped and must not be cut.
fn terminal_width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// The facility of this id, or which there are.
fn facility<'c>(config: &'c Config, id: &str) -> Result<&'c Facility, Failure> {
    let known = config
        .facilities
        .iter()
        .find(|facility| facility.id.as_str() == id);
    known.ok_or_else(|| {
        let ids: Vec<&str> = config
            .facilities
            .iter()
            .map(|facility| facility.id.as_str())
            .collect();
        Failure::new(format!(
            "there is no facility {id} in the configuration; there is {}",
            ids.join(", ")
        ))
    })
}
