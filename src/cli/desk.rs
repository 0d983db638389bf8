//! Changing something: a file for the desk is dropped, taken in, and its receipt read (interface.md 7).
//!
//! The meeting tool writes the same files, so there is one way in. Without a daemon the command takes its file in
//! itself; beside one it asks for a sweep and waits for the receipt.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Access, reach};
use super::once::wait_for_doubtful;
use super::{Failure, complain, print};
use crate::config::Config;
use crate::engine::{Arrival, Engine};
use crate::model::outcome::Reason;
use crate::model::owner::Owner;
use crate::random::random_name;
use crate::spool::claim::{self, Claim, HANDED_OVER};
use crate::spool::destinations::{ERROR, SIDECAR};
use crate::spool::fs::{Dir, Fs, FsError};
use crate::status::control::{ControlClient, Request};

/// So long a command waits for a daemon to do it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file for an inbox, under a name that nobody used before.
pub struct NewInboxFile {
    /// Whose inbox.
    pub owner: Owner,
    /// The name.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Another file that it names, to lie there before it.
    pub beside: Option<(String, Vec<u8>)>,
}

/// A name for a file that nobody used before.
pub fn fresh_name(what: &str, ending: &str) -> String {
    let random = random_name();
    let (random, _) = random.split_at(random.len().min(16));
    format!("{what}-{random}.{ending}")
}

/// A command as a file for the desk, with an id by which it is done once.
pub fn command(mut command: Value) -> NewInboxFile {
    let word = command["command"].as_str().unwrap_or("command").to_owned();
    command["id"] = random_name().into();
    NewInboxFile {
        owner: Owner::Desk,
        name: fresh_name(&word, "json"),
        bytes: format!("{command:#}\n").into_bytes(),
        beside: None,
    }
}

/// Several commands as one file for the desk; each stands by itself.
pub fn commands(commands: Vec<Value>) -> NewInboxFile {
    let with_ids: Vec<Value> = commands
        .into_iter()
        .map(|mut command| {
            command["id"] = random_name().into();
            command
        })
        .collect();
    NewInboxFile {
        owner: Owner::Desk,
        name: fresh_name("commands", "json"),
        bytes: format!("{:#}\n", json!(with_ids)).into_bytes(),
        beside: None,
    }
}

/// Drops a file for the desk and waits for its receipt. What was refused of it is put away at once: whoever typed it
/// reads why, and nobody else is to look after it.
pub fn submit(config: &Arc<Config>, dropped: &NewInboxFile) -> Result<Receipt, Failure> {
    let receipt = receipt_path(config, dropped);
    drop_and_wait(config, dropped, &receipt)?;
    let receipt = Receipt::read(&receipt)?;
    let refused = left_in_error(config, dropped);
    if receipt.refuses() && !refused.is_empty() {
        let away = command(json!({
            "command": "discard",
            "files": refused,
            "why": "the command line told at once why it was refused",
        }));
        let put_away = receipt_path(config, &away);
        if let Err(problem) = drop_and_wait(config, &away, &put_away) {
            complain(format_args!(
                "the refused command stays in {}: {}",
                refused.join(", "),
                problem.message
            ));
        }
    }
    Ok(receipt)
}

/// What was refused of a dropped file, or came with it: its name is nobody else's.
fn left_in_error(config: &Config, dropped: &NewInboxFile) -> Vec<String> {
    let stem = Path::new(&dropped.name).with_extension("");
    let stem = format!("{}.", stem.to_string_lossy());
    let desk = Path::new("desk").join(ERROR);
    let entries = fs::read_dir(config.spool.join(&desk));
    let names = entries.into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with(&stem) && !name.ends_with(SIDECAR))
        .map(|name| desk.join(name).to_string_lossy().into_owned())
        .collect()
}

/// Drops a file for the desk into an engine that is open already.
pub fn submit_here(engine: &mut Engine, dropped: &NewInboxFile) -> Result<Receipt, Failure> {
    let receipt = receipt_path(engine.config(), dropped);
    take_in(engine, dropped)?;
    Receipt::read(&receipt)
}

/// Drops a file into an inbox, sees to it that it is taken in, and waits until the answer lies there.
pub fn drop_and_wait(
    config: &Arc<Config>,
    dropped: &NewInboxFile,
    answer: &Path,
) -> Result<(), Failure> {
    match reach(config)? {
        Access::Here(mut engine) => {
            let taken = take_in(&mut engine, dropped).and_then(|()| {
                wait_for_doubtful(&mut engine, || matches!(answer.try_exists(), Ok(true)))
            });
            engine.close()?;
            taken?;
        }
        Access::Daemon(mut client) => {
            put(&inbox(config, &dropped.owner)?, dropped)?;
            wait(&mut client, answer)?;
        }
    }
    match is_there(answer)? {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{} was dropped and could not be taken in yet. It waits and is taken in by the daemon or by `rcpspool once`; the log says why it waits",
            dropped.name
        ))),
    }
}

/// Drops a file into an inbox of an engine that is open already, and takes it in.
pub fn take_in(engine: &mut Engine, dropped: &NewInboxFile) -> Result<(), Failure> {
    if let Owner::Facility(id) = &dropped.owner
        && let Some(problem) = engine.unreachable().get(id)
    {
        return Err(Failure::new(problem.to_string()));
    }
    put(&inbox(engine.config(), &dropped.owner)?, dropped)?;
    engine.take_in(vec![Arrival {
        owner: dropped.owner.clone(),
        path: PathBuf::from(&dropped.name),
    }])?;
    Ok(())
}

fn wait(client: &mut ControlClient, answer: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    let mut asked: Option<Instant> = None;
    while !is_there(answer)? && start.elapsed() < PATIENCE {
        // The file may still have settled when the first sweep looked.
        if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(2)) {
            super::access::ask_daemon(client, &Request::Sweep)?;
            asked = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether a file is there; that this cannot be seen is no reason to wait for it.
fn is_there(path: &Path) -> Result<bool, Failure> {
    path.try_exists()
        .map_err(|error| Failure::new(format!("{} cannot be looked for: {error}", path.display())))
}

/// The inbox of the desk or of a facility.
fn inbox(config: &Config, owner: &Owner) -> Result<PathBuf, Failure> {
    Ok(match owner {
        Owner::Facility(id) => super::facility(config, id)?.dir.join("inbox"),
        Owner::Desk | Owner::Documents => config.spool.join("desk").join("inbox"),
    })
}

/// Puts a file into an inbox so that it is whole at once: written in `work/` beside it, synced, renamed. Killed at
/// any moment, this leaves nothing in the inbox or the whole file; what it leaves in `work/` the next start removes.
fn put(inbox: &Path, dropped: &NewInboxFile) -> Result<(), Failure> {
    let fs = Fs::new();
    put_with(&fs, inbox, dropped).map_err(|error| {
        Failure::new(format!(
            "{} cannot be written to: {error}. Run this as the daemon's user, or as root",
            inbox.display()
        ))
    })
}

fn put_with(fs: &Fs, inbox: &Path, dropped: &NewInboxFile) -> Result<(), FsError> {
    let work = fs.open_root(&inbox.with_file_name("work"))?;
    let inbox = fs.open_root(inbox)?;
    if let Some((name, bytes)) = &dropped.beside {
        // As if it were claimed already: without its command, nobody sees it.
        let claimed = Claim::new(HANDED_OVER, &random_name(), Path::new(name));
        write_whole(fs, &work, bytes, &work, &claimed.name())?;
    }
    write_whole(fs, &work, &dropped.bytes, &inbox, dropped.name.as_ref())
}

fn write_whole(fs: &Fs, work: &Dir, bytes: &[u8], to: &Dir, name: &OsStr) -> Result<(), FsError> {
    let aside = format!("{}{}", claim::PREPARED, random_name());
    let aside = OsStr::new(&aside);
    let mut file = fs.create(work, aside)?;
    file.write_all(bytes).map_err(|source| FsError {
        action: "write",
        path: work.path().join(aside),
        source,
    })?;
    file.sync()?;
    drop(file);
    fs.rename(work, aside, to, name)?;
    fs.sync_dir(to)
}

fn receipt_path(config: &Config, dropped: &NewInboxFile) -> PathBuf {
    let acks = config.spool.join("desk").join("outbox").join("acks");
    acks.join(format!("{}.outcome.json", dropped.name))
}

/// What the desk answered: a FHIR `OperationOutcome`.
#[derive(Debug, Deserialize)]
pub struct Receipt {
    issue: Vec<Issue>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    severity: String,
    details: Details,
    #[serde(default)]
    expression: Vec<String>,
    /// What the code alone would have somebody expect, and is not so.
    #[serde(default)]
    diagnostics: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    coding: Vec<Coding>,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Coding {
    code: String,
}

impl Issue {
    fn code(&self) -> &str {
        self.details
            .coding
            .first()
            .map_or("", |coding| &coding.code)
    }

    /// What is wrong, where, and what to do.
    fn problem(&self) -> String {
        let mut sentence = format!("{}: {}", self.code(), self.details.text);
        if let Some(place) = self.expression.first().filter(|place| !place.is_empty()) {
            sentence.push_str(&format!(" (at {place})"));
        }
        let reason = Reason::ALL
            .iter()
            .find(|reason| reason.code() == self.code());
        if let Some(reason) = reason {
            sentence.push_str(&format!(" → {}", next_step(*reason)));
        }
        sentence
    }
}

/// What whoever typed a command can do, where that is not what somebody does who drops files.
fn next_step(reason: Reason) -> &'static str {
    match reason {
        Reason::BadCommand => "Correct the command and give it again.",
        Reason::BadCsv => "Correct the line named and import the whole list again.",
        Reason::UnknownCase => {
            "Check the case id: `rcpspool list cases` shows which there are. Then give the command again."
        }
        Reason::UnknownPatient => {
            "Check the patient id: `rcpspool list patients` shows which there are. Then give the command again."
        }
        Reason::UnknownSession => {
            "Check the session id (`rcpspool list sessions`), or import the session first. Then give the command again."
        }
        Reason::SessionNotPlanned => {
            "Choose a session that is planned (`rcpspool list sessions --state planned`)."
        }
        Reason::CaseCompleted => {
            "Reopen the case (`rcpspool reopen FACILITY CASE`), then give the command again."
        }
        Reason::DocumentType => "Give the report as a PDF.",
        reason => reason.next_step(),
    }
}

impl Receipt {
    /// Whether anything was refused.
    fn refuses(&self) -> bool {
        let mut issues = self.issue.iter();
        issues.any(|issue| matches!(issue.severity.as_str(), "error" | "fatal"))
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |problem: String| {
            Failure::new(format!(
                "the receipt {} cannot be read: {problem}",
                path.display()
            ))
        };
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
    }

    /// Prints what became of it: `done` where it was done, else why not; fails with what was refused.
    pub fn print(&self, done: &str) -> Result<(), Failure> {
        let mut done = Some(done);
        self.print_each(|_| done.take())
    }

    /// The same for several commands: `done` gives what to say of the one with that number, counted from 0, where it was
    /// done.
    pub fn print_each<'d>(
        &self,
        mut done: impl FnMut(usize) -> Option<&'d str>,
    ) -> Result<(), Failure> {
        let mut refused = Vec::new();
        let mut text = String::new();
        let mut number = 0;
        for issue in &self.issue {
            match (issue.severity.as_str(), issue.code()) {
                ("warning", code) => {
                    text.push_str(&format!("warning {code}: {}\n", issue.details.text));
                    continue;
                }
                ("error" | "fatal", _) => refused.push(issue.problem()),
                (_, "duplicate") => text.push_str("Nothing changed: it is so already.\n"),
                (_, "accepted" | "updated") => {
                    let done = done(number);
                    if let Some(done) = issue.diagnostics.as_deref().or(done) {
                        text.push_str(&format!("{done}\n"));
                    }
                }
                _ => text.push_str(&format!("{}\n", issue.details.text)),
            }
            number += 1;
        }
        print(&text)?;
        match refused.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(refused.join("\n"))),
        }
    }
}
