//! How a command reaches the data: it opens the engine itself, or asks the daemon that has it open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Failure, complain};
use crate::config::Config;
use crate::engine::{Engine, EngineError, OpenStore};
use crate::spool::fs::Fs;
use crate::spool::layout::LayoutError;
use crate::status::control::{self, ControlClient, Request, Response};
use crate::store::MemoryStore;

/// So long a command waits for another one that has the spool (DESIGN, "Taking files in").
const PATIENCE: Duration = Duration::from_secs(30);

/// Who has the data.
pub enum Reach {
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
pub fn reach(config: &Arc<Config>) -> Result<Reach, Failure> {
    let start = Instant::now();
    loop {
        match control::connect(config) {
            Ok(Some(client)) => return Ok(Reach::Daemon(client)),
            Ok(None) => {}
            Err((path, error)) => {
                return Err(Failure::new(format!(
                    "the daemon cannot be asked at {}: {error}. Run this as the daemon's user, or as root",
                    path.display()
                )));
            }
        }
        match Engine::open(Arc::clone(config), Fs::new(), OpenStore::Sled) {
            Ok(engine) => return Ok(Reach::Here(Box::new(engine))),
            // Another command, or a daemon that is starting.
            Err(EngineError::Layout(LayoutError::InUse(_))) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks something that only needs the store.
pub fn ask(config: &Arc<Config>, request: &Request) -> Result<Value, Failure> {
    let is_there = config.spool.try_exists().map_err(|error| {
        Failure::new(format!(
            "the spool {} cannot be looked at: {error}. Run this as the daemon's user, or as root",
            config.spool.display()
        ))
    })?;
    if !is_there {
        // Looking at a spool that is not there yet does not make it.
        let spool = config.spool.display();
        complain(format_args!(
            "there is no spool at {spool} yet; `rcpspool setup` makes it"
        ));
        return value(control::answer(request, &MemoryStore::default(), config));
    }
    match reach(config)? {
        Reach::Daemon(mut client) => ask_daemon(&mut client, request),
        Reach::Here(engine) => {
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
