//! How a command reaches the data: it opens the engine itself, or asks the daemon that has it open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Failure, complain};
use crate::config::Config;
use crate::engine::witness::{SpoolPresence, look};
use crate::engine::{Engine, EngineError, OpenStore, StartOptions};
use crate::spool::fs::Fs;
use crate::spool::layout::FolderError;
use crate::status::control::{self, ControlClient, Request, Response};
use crate::store::MemoryStore;

/// So long a command waits for another one that has the spool (design.md, "Taking files in").
const PATIENCE: Duration = Duration::from_secs(30);

/// After this time it says that it waits.
const BEFORE_SAYING: Duration = Duration::from_secs(1);

/// Who has the data.
pub enum Access {
    /// Nobody else: the engine is open here, and to be closed.
    Here(Box<Engine>),
    /// A running daemon.
    Daemon(ControlClient),
}

/// Whether a daemon can be asked.
pub fn is_daemon_there(config: &Config) -> bool {
    matches!(control::connect(config), Ok(Some(_)))
}

/// Finds out who has the data.
pub fn reach(config: &Arc<Config>) -> Result<Access, Failure> {
    reach_as(config, StartOptions::default())
}

/// The same, where that makes no spool: nothing if there is none yet.
pub fn reach_if_there(config: &Arc<Config>) -> Result<Option<Access>, Failure> {
    if let Some(client) = daemon(config)? {
        return Ok(Some(Access::Daemon(client)));
    }
    match look(&Fs::new(), config)? {
        SpoolPresence::Spool => reach(config).map(Some),
        SpoolPresence::Nothing => Ok(None),
    }
}

/// What is said where there is no spool yet.
pub fn no_spool(config: &Config) -> String {
    let spool = config.spool.display();
    format!("there is no spool at {spool} yet; `rcpspool setup` makes it")
}

fn daemon(config: &Config) -> Result<Option<ControlClient>, Failure> {
    control::connect(config).map_err(|(path, error)| {
        Failure::new(format!(
            "the daemon cannot be asked at {}: {error}. Run this as the daemon's user, or as root",
            path.display()
        ))
    })
}

/// Finds out who has the data; where nobody has, the engine is opened as `start` says.
pub fn reach_as(config: &Arc<Config>, start: StartOptions) -> Result<Access, Failure> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        if let Some(client) = daemon(config)? {
            return match start.accept_loss {
                true => Err(Failure::new(
                    "the daemon is running: stop it, then accept the loss, then start it again",
                )),
                false => Ok(Access::Daemon(client)),
            };
        }
        let config = Arc::clone(config);
        match Engine::open_as(config, Fs::new(), OpenStore::Sled, start, &mut |_| {}) {
            Ok(engine) => return Ok(Access::Here(Box::new(engine))),
            // Another command, or a daemon that is starting.
            // Or a daemon whose socket was removed, which it makes again with its next rescan.
            Err(EngineError::Layout(FolderError::InUse(holder))) if begun.elapsed() < PATIENCE => {
                if begun.elapsed() > BEFORE_SAYING && !std::mem::replace(&mut said, true) {
                    complain(format_args!("{holder}: waiting for it"));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks something that only needs the store.
pub fn ask(config: &Arc<Config>, request: &Request) -> Result<Value, Failure> {
    match reach_if_there(config)? {
        None => {
            // Looking at a spool that is not there yet does not make it.
            complain(no_spool(config));
            value(control::answer(request, &MemoryStore::default(), config))
        }
        Some(Access::Daemon(mut client)) => ask_daemon(&mut client, request),
        Some(Access::Here(engine)) => {
            let response = control::answer(request, &**engine.store(), config);
            engine.close()?;
            value(response)
        }
    }
}

/// Asks a running daemon.
pub fn ask_daemon(client: &mut ControlClient, request: &Request) -> Result<Value, Failure> {
    let response = client.ask(request).map_err(|error| {
        Failure::new(format!(
            "the daemon ended before it answered ({error}): try again"
        ))
    })?;
    value(response)
}

fn value(response: Response) -> Result<Value, Failure> {
    match response {
        Response::Ok(value) => Ok(value),
        Response::Error(problem) => Err(Failure::new(problem)),
    }
}
