//! The daemon's local socket: how the command line asks a running daemon (interface.md 12).
//!
//! One JSON line asks, one JSON line answers, and a connection may ask again. Who may open the socket may read the
//! store: it belongs to the daemon's user alone. Where it is, the daemon writes into the spool, since the environment
//! of a command may be another than the daemon's.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::config::Config;
use crate::engine::Totals;
use crate::listing;
use crate::model::identifiers::ContentHash;
use crate::spool::fs::{Dir, Fs};
use crate::store::Store;

pub use super::listener::{Renewal, Server};
pub use super::request::{Request, Response};

/// The name in the spool's `status/` under which the daemon writes where its socket is.
const WHERE: &str = ".socket";

/// The socket's name there, where no folder for sockets can be used.
const IN_THE_SPOOL: &str = "control.sock";

/// No path is longer, in bytes.
const LONGEST_PATH: u64 = 4096;

/// Asks the daemon's main loop for a sweep; it sends back how many messages ended how, or why that could not be done.
#[derive(Debug)]
pub struct SweepRequest {
    /// Whether it is to be as thorough as `once`.
    pub thorough: bool,
    /// Where the answer goes.
    pub done: Sender<Result<Totals, String>>,
}

/// Where the socket of this spool is by the environment: its name is a hash of the spool's path, so that every spool
/// has its own.
pub fn socket_path(config: &Config) -> PathBuf {
    let spool = config
        .spool
        .canonicalize()
        .or_else(|_| std::path::absolute(&config.spool))
        .unwrap_or_else(|_| config.spool.clone());
    let hash = ContentHash::of(spool.as_os_str().as_encoded_bytes());
    let (prefix, _) = hash.as_str().split_at(16);
    let folder = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|folder| !folder.is_empty())
        .map_or_else(|| PathBuf::from("/run/rcpspool"), PathBuf::from);
    folder.join(format!("{prefix}.sock"))
}

/// The daemon's socket; removed with what was written about it once this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// What lies at the path as long as nobody removes it.
    identity: (u64, u64),
    fs: Fs,
    status: Dir,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever finds one of them all the same finds nobody there.
        let _ = self.fs.remove(&self.status, OsStr::new(WHERE));
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Listens on the socket, in the place of one that a killed daemon left, and writes into the spool's `status/`
    /// where it is. The spool's lock must be held.
    pub fn listen(config: &Config, fs: &Fs, status: &Dir) -> io::Result<(UnixListener, Self)> {
        let (listener, path) = listen_for(config, status)?;
        let socket = Self {
            identity: identity(&path)?,
            path,
            fs: fs.clone(),
            status: status.clone(),
        };
        socket.write_path()?;
        Ok((listener, socket))
    }

    /// Makes it again where somebody removed it, or what tells where it is: then gives what is to be listened on.
    /// `status` is the folder that is the spool's `status/` by now.
    pub fn renew(&mut self, config: &Config, status: &Dir) -> io::Result<Option<UnixListener>> {
        self.status = status.clone();
        let mut renewed = None;
        if identity(&self.path).ok() != Some(self.identity) {
            let (listener, path) = listen_for(config, &self.status)?;
            (self.identity, self.path) = (identity(&path)?, path);
            renewed = Some(listener);
        }
        if read_path(&self.status.path().join(WHERE))
            .ok()
            .flatten()
            .as_ref()
            != Some(&self.path)
        {
            // Who is in the daemon's environment finds the socket without it.
            if let Err(error) = self.write_path() {
                log::debug!("it cannot be told where the local socket is: {error}");
            }
        }
        Ok(renewed)
    }

    fn write_path(&self) -> io::Result<()> {
        let path = self.path.as_os_str().as_bytes();
        let told = self.fs.replace(&self.status, OsStr::new(WHERE), path);
        told.map_err(io::Error::other)
    }
}

/// What lies at a path, told apart from whatever takes its place.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = std::fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

/// Listens where the environment says, else in the spool.
fn listen_for(config: &Config, status: &Dir) -> io::Result<(UnixListener, PathBuf)> {
    let wanted = std::path::absolute(socket_path(config))?;
    let error = match listen_at(&wanted) {
        Ok(listener) => return Ok((listener, wanted)),
        Err(error) => error,
    };
    let path = std::path::absolute(status.path().join(IN_THE_SPOOL))?;
    let listener = listen_at(&path).map_err(|second| {
        io::Error::other(format!(
            "{} cannot be used ({error}), nor {} ({second})",
            wanted.display(),
            path.display()
        ))
    })?;
    Ok((listener, path))
}

fn listen_at(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the daemon of this spool, if one listens: where it says that it does, where it would by this
/// environment, or in the spool.
///
/// # Errors
/// With the path that cannot be used, and why.
pub fn connect(config: &Config) -> Result<Option<ControlClient>, (PathBuf, io::Error)> {
    let written = config.spool.join("status").join(WHERE);
    let said = read_path(&written).map_err(|error| (written, error))?;
    // The last is where it is if neither can be used.
    let in_the_spool = config.spool.join("status").join(IN_THE_SPOOL);
    let places = [socket_path(config), in_the_spool];
    if let Some(path) = said
        && let Some(client) = ControlClient::connect(&path).map_err(|error| (path, error))?
    {
        return Ok(Some(client));
    }
    // Nobody says that the daemon is at one of these: a folder there that is not ours may be another spool's.
    let mut answering = places
        .iter()
        .filter_map(|it| ControlClient::connect(it).ok().flatten());
    Ok(answering.next())
}

/// The path that the daemon wrote there, if it did: not where something else than a file lies there, which nobody can
/// be made to wait for.
fn read_path(written: &Path) -> io::Result<Option<PathBuf>> {
    let opened = File::options()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(written);
    let file = match opened {
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => return Ok(None),
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::PermissionDenied => Err(error),
                _ => Ok(None),
            };
        }
    };
    let mut path = Vec::new();
    file.take(LONGEST_PATH).read_to_end(&mut path)?;
    let path = PathBuf::from(OsString::from_vec(path));
    // A power cut may have left an empty one.
    Ok(Some(path).filter(|path| path.is_absolute()))
}

/// Answers what only needs the store.
pub fn answer(request: &Request, store: &dyn Store, config: &Config) -> Response {
    let answered = match request {
        Request::List { what, filter } => {
            listing::list(*what, filter, store, config).map(Value::from)
        }
        Request::Show(subject) => listing::show(subject, store).map(Value::from),
        Request::Sweep | Request::Once | Request::Status => {
            return Response::Error("only a running daemon can be asked that".to_owned());
        }
    };
    match answered {
        Ok(value) => Response::Ok(value),
        Err(error) => Response::Error(error.to_string()),
    }
}

/// Hands a request for a sweep to the main loop and waits until it is done.
pub fn sweep<E: From<SweepRequest>>(requests: &Sender<E>, thorough: bool) -> Response {
    let (done, wait) = channel();
    let swept = match requests.send(SweepRequest { thorough, done }.into()) {
        Ok(()) => wait.recv().ok(),
        Err(_) => None,
    };
    match swept {
        Some(Ok(totals)) => match serde_json::to_value(totals) {
            Ok(totals) => Response::Ok(totals),
            Err(error) => Response::Error(error.to_string()),
        },
        Some(Err(problem)) => Response::Error(problem),
        None => Response::Error("the daemon is ending: try again once it has ended".to_owned()),
    }
}

/// Asks the daemon of a spool.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects, if a daemon listens there.
    pub fn connect(path: &Path) -> io::Result<Option<Self>> {
        use io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Some(Self {
                stream: BufReader::new(stream),
            })),
            // No socket, or one that a killed daemon left; or a path at which there can be none, as one too long.
            Err(error) => match error.kind() {
                ConnectionRefused | InvalidInput | NotADirectory | NotFound => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let mut question = serde_json::to_vec(request)?;
        question.push(b'\n');
        self.stream.get_mut().write_all(&question)?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::listing::{Filter, Listing};
    use crate::store::MemoryStore;

    #[test]
    fn questions_are_written_as_agreed() {
        let request = Request::List {
            what: Listing::Cases,
            filter: Filter {
                state: Some("scheduled".to_owned()),
                ..Filter::default()
            },
        };
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(
            written,
            json!({ "query": "list", "what": "cases", "facility": null, "session": null, "state": "scheduled" })
        );
        let question =
            json!({ "query": "show", "what": "case", "facility": "demo", "id": "59384" });
        let request: Request = serde_json::from_value(question.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), question);
        assert_eq!(
            serde_json::to_value(Request::Sweep).unwrap(),
            json!({ "query": "sweep" })
        );
        assert_eq!(
            serde_json::to_value(Response::Error("no".to_owned())).unwrap(),
            json!({ "error": "no" })
        );
    }

    #[test]
    fn a_question_is_answered_over_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        assert!(ControlClient::connect(&path).unwrap().is_none());
        let listener = UnixListener::bind(&path).unwrap();
        let config = Config::demo(folder.path());
        std::thread::spawn(move || {
            let store = MemoryStore::default();
            let handler = Arc::new(move |request: &Request| answer(request, &store, &config));
            Server::new(listener, handler).and_then(Server::serve)
        });
        let mut client = ControlClient::connect(&path).unwrap().unwrap();
        let cases = Request::List {
            what: Listing::Cases,
            filter: Filter::default(),
        };
        for _ in 0..2 {
            assert_eq!(client.ask(&cases).unwrap(), Response::Ok(json!([])));
        }
        assert!(matches!(
            client.ask(&Request::Sweep).unwrap(),
            Response::Error(_)
        ));
        client.stream.get_mut().write_all(b"{}\n").unwrap();
        let mut answer = String::new();
        client.stream.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"error\":"), "{answer}");
    }

    #[test]
    fn a_sweep_waits_for_the_main_loop() {
        let (requests, asked) = channel::<SweepRequest>();
        std::thread::spawn(move || {
            let request = asked.recv().unwrap();
            request
                .done
                .send(Ok(Totals {
                    accepted: 3,
                    ..Totals::default()
                }))
                .unwrap();
        });
        let Response::Ok(totals) = sweep(&requests, false) else {
            panic!("no totals")
        };
        assert_eq!(totals["accepted"], 3);
        assert!(matches!(sweep(&requests, false), Response::Error(_)));
    }
}
