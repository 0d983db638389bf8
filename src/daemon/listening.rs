//! The daemon's local socket: answers commands that ask it (interface.md 12).

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use super::{Daemon, Event, lock};
use crate::config::Config;
use crate::repeats::{self, RepeatedTask};
use crate::spool::fs::Dir;
use crate::status::Status;
use crate::status::control::{self, Renewal, Request, Response, Server, Socket};

/// The local socket, and the thread that answers there.
pub(super) struct ControlServer {
    socket: Socket,
    renewal: Renewal,
}

impl ControlServer {
    /// Makes the socket again where somebody removed it.
    pub(super) fn check(&mut self, config: &Config, status: &Dir) {
        let renewed = self.socket.renew(config, status).and_then(|listener| {
            let is_new = listener.is_some();
            listener.map_or(Ok(()), |it| self.renewal.listen(it))?;
            Ok(is_new)
        });
        match renewed {
            Ok(true) => {
                log::warn!("the local socket was removed, and is made again");
                repeats::over("socket", RepeatedTask::Listening);
            }
            Ok(false) => repeats::over("socket", RepeatedTask::Listening),
            Err(error) => {
                let problem = format_args!("commands cannot ask this daemon: {error}");
                repeats::failing("socket", RepeatedTask::Listening, problem);
            }
        }
    }
}

/// Answers on the local socket; without one, the daemon does its work all the same.
pub(super) fn listen_to_commands(daemon: &Daemon, sender: &Sender<Event>) -> Option<ControlServer> {
    let engine = &daemon.engine;
    let store = Arc::clone(daemon.engine.store());
    let figures = Arc::clone(&daemon.publisher.figures);
    let sender = Mutex::new(sender.clone());
    let handler = move |request: &Request| match request {
        Request::Sweep => control::sweep(&lock(&sender).clone(), false),
        Request::Once => control::sweep(&lock(&sender).clone(), true),
        Request::Status => {
            let figures = lock(&figures).clone();
            let gathered = Status::gather(&figures, &*store).map(serde_json::to_value);
            match gathered {
                Ok(Ok(status)) => Response::Ok(status),
                Ok(Err(error)) => Response::Error(error.to_string()),
                Err(error) => Response::Error(error.to_string()),
            }
        }
        other => {
            let config = Arc::clone(&lock(&figures).config);
            control::answer(other, &*store, &config)
        }
    };
    let listened = Socket::listen(engine.config(), engine.fs(), engine.status_dir());
    let served = listened.and_then(|(listener, socket)| {
        let server = Server::new(listener, Arc::new(handler))?;
        let renewal = server.renewal();
        let thread = std::thread::Builder::new().name("listener".to_owned());
        thread.spawn(move || {
            if let Err(error) = server.serve() {
                log::error!("the local socket failed: {error}. Commands cannot ask this daemon until it is restarted");
            }
        })?;
        Ok(ControlServer { socket, renewal })
    });
    match served {
        Ok(commands) => Some(commands),
        Err(error) => {
            log::error!(
                "commands cannot ask this daemon: {error}. Set RUNTIME_DIRECTORY to a folder of its user"
            );
            None
        }
    }
}
