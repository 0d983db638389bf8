//! The daemon's end of the local socket: one thread waits for questions on all connections, and each question is
//! answered in a thread of its own, of which there are never more than [`MOST_ANSWERS`].
//!
//! Whoever connects and says nothing costs an open file for a while, and nothing else: the longest silent one is
//! closed for the next that comes.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::request::{Request, Response};

/// A question is short; a longer one is not ours.
const LONGEST_QUESTION: usize = 64 * 1024;
/// So many questions are answered at the same time; others wait.
const MOST_ANSWERS: usize = 16;
/// So many connections are open at the same time, beside those that are being answered.
const MOST_CONNECTIONS: usize = 64;
/// A connection on which nothing was asked yet is closed after this time.
const BEFORE_FIRST_QUESTION: Duration = Duration::from_secs(10);
/// One that was answered is closed after this time.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10 * 60);
/// Somebody who reads nothing of the answer for this time gets no more of it.
const UNREAD: Duration = Duration::from_secs(30);
/// So long it waits where the system can open nothing more.
const SHORTAGE: Duration = Duration::from_millis(200);

/// What answers a question.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// What answers everybody who connects.
pub struct Server {
    listener: UnixListener,
    listening: Listening,
    woken: UnixStream,
    renewal: Renewal,
    renewed: Receiver<UnixListener>,
}

/// Has a server listen elsewhere, after its socket was removed.
#[derive(Debug, Clone)]
pub struct Renewal {
    sender: Sender<UnixListener>,
    wake: Arc<UnixStream>,
}

impl Renewal {
    /// From now on those who connect here are answered; those who are connected stay so.
    pub fn listen(&self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let ended = || io::Error::other("nobody answers on the local socket any more");
        self.sender.send(listener).map_err(|_| ended())?;
        // Where the pipe is full, it is woken already.
        let _ = (&*self.wake).write(&[0]);
        Ok(())
    }
}

impl Server {
    /// Prepares it.
    pub fn new(listener: UnixListener, handler: Arc<Handler>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let wake = Arc::new(wake);
        let (sender, answered) = channel();
        let (renewing, renewed) = channel();
        Ok(Self {
            listener,
            listening: Listening {
                handler,
                open: Vec::new(),
                answering: 0,
                sender,
                answered,
                wake: Arc::clone(&wake),
                shortage: None,
            },
            woken,
            renewal: Renewal {
                sender: renewing,
                wake,
            },
            renewed,
        })
    }

    /// What has it listen elsewhere.
    pub fn renewal(&self) -> Renewal {
        self.renewal.clone()
    }

    /// Answers, until the socket itself fails.
    pub fn serve(mut self) -> io::Result<()> {
        loop {
            self.listening.wait(&self.listener, &self.woken)?;
            self.listening.take_back();
            self.listening.accept(&self.listener)?;
            if let Some(listener) = self.renewed.try_iter().last() {
                self.listener = listener;
                self.listening.accept(&self.listener)?;
            }
            self.listening.hear();
            self.listening.close_silent();
        }
    }
}

/// A connection on which a question may come.
struct Connection {
    stream: UnixStream,
    heard: Vec<u8>,
    /// Whether anything was answered on it.
    is_known: bool,
    silent_since: Instant,
}

impl Connection {
    fn closes_at(&self) -> Instant {
        match self.is_known {
            true => self.silent_since + BETWEEN_QUESTIONS,
            false => self.silent_since + BEFORE_FIRST_QUESTION,
        }
    }

    /// Whether a whole question was heard.
    fn has_question(&self) -> bool {
        self.heard.contains(&b'\n') || self.heard.len() >= LONGEST_QUESTION
    }

    /// Reads what was said; whether the connection is of any use still.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while self.heard.len() < LONGEST_QUESTION {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.has_question(),
                Ok(count) => {
                    self.heard
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Answers the question that was heard; nothing where nobody wants the answer.
    fn answer(mut self, handler: &Handler) -> io::Result<Self> {
        let end = self.heard.iter().position(|&byte| byte == b'\n');
        let length = end.map_or(self.heard.len(), |end| end + 1);
        let question: Vec<u8> = self.heard.drain(..length).collect();
        let response = match serde_json::from_slice(&question) {
            Ok(request) => handler(&request),
            Err(error) => Response::Error(format!("the question cannot be understood: {error}")),
        };
        let mut answer = serde_json::to_vec(&response)?;
        answer.push(b'\n');
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(UNREAD))?;
        self.stream.write_all(&answer)?;
        self.stream.set_nonblocking(true)?;
        self.is_known = true;
        self.silent_since = Instant::now();
        Ok(self)
    }
}

struct Listening {
    handler: Arc<Handler>,
    open: Vec<Connection>,
    /// How many questions are being answered.
    answering: usize,
    sender: Sender<Option<Connection>>,
    /// Connections whose question was answered, or nothing where they ended.
    answered: Receiver<Option<Connection>>,
    wake: Arc<UnixStream>,
    /// Nothing is accepted before this time, since the system could open nothing more.
    shortage: Option<Instant>,
}

impl Listening {
    /// Waits until somebody connects, says or has been told something, or a time has come.
    fn wait(&mut self, listener: &UnixListener, woken: &UnixStream) -> io::Result<()> {
        let now = Instant::now();
        self.shortage = self.shortage.filter(|until| *until > now);
        // Who asked already waits for a thread: nothing more is read meanwhile.
        let silent = || self.open.iter().filter(|open| !open.has_question());
        let closing = silent().map(Connection::closes_at);
        let until = closing.chain(self.shortage).min();
        let timeout = until.map(|until| {
            // A little later, so that the time has come then.
            let time = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: time.subsec_nanos().into(),
            }
        });
        let accepting = match self.shortage {
            None => PollFlags::IN,
            Some(_) => PollFlags::empty(),
        };
        let mut polled = vec![
            PollFd::new(woken, PollFlags::IN),
            PollFd::new(listener, accepting),
        ];
        polled.extend(silent().map(|open| PollFd::new(&open.stream, PollFlags::IN)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::NOMEM) => std::thread::sleep(SHORTAGE),
            Err(error) => return Err(error.into()),
        }
        let mut wakes = [0; 64];
        let mut woken = woken;
        while matches!(woken.read(&mut wakes), Ok(count) if count > 0) {}
        Ok(())
    }

    fn take_back(&mut self) {
        while let Ok(answered) = self.answered.try_recv() {
            self.answering = self.answering.saturating_sub(1);
            self.open.extend(answered);
        }
    }

    fn accept(&mut self, listener: &UnixListener) -> io::Result<()> {
        if self.shortage.is_some() {
            return Ok(());
        }
        // Not more at once than there is room for, so that they are heard before they are closed for others.
        for _ in 0..MOST_CONNECTIONS {
            if self.open.len() >= MOST_CONNECTIONS && self.open.iter().all(Connection::has_question)
            {
                self.shortage = Some(Instant::now() + SHORTAGE);
                return Ok(());
            }
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return self.bear(error),
            };
            if let Err(error) = stream.set_nonblocking(true) {
                log::debug!("a connection to the local socket cannot be used: {error}");
                continue;
            }
            let mut connection = Connection {
                stream,
                heard: Vec::new(),
                is_known: false,
                silent_since: Instant::now(),
            };
            if connection.hear() {
                self.make_room();
                self.open.push(connection);
            }
        }
        Ok(())
    }

    /// What is wrong for the time being is waited out.
    fn bear(&mut self, error: io::Error) -> io::Result<()> {
        match Errno::from_io_error(&error) {
            Some(Errno::INTR | Errno::CONNABORTED) => Ok(()),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                if self.shortage.is_none() {
                    log::warn!("nobody more can connect to the local socket for now: {error}");
                }
                self.shortage = Some(Instant::now() + SHORTAGE);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Closes the connection that has been silent for the longest, one on which nothing was asked if there is any.
    fn make_room(&mut self) {
        if self.open.len() < MOST_CONNECTIONS {
            return;
        }
        let silent = self.open.iter().enumerate();
        let longest = silent
            .filter(|(_, open)| !open.has_question())
            .min_by_key(|(_, open)| (open.is_known, open.silent_since));
        let index = longest.map_or(0, |(index, _)| index);
        self.open.remove(index);
    }

    /// Hears what was said, and has whole questions answered.
    fn hear(&mut self) {
        for mut connection in std::mem::take(&mut self.open) {
            if !connection.has_question() && !connection.hear() {
                continue;
            }
            if connection.has_question() && self.answering < MOST_ANSWERS {
                self.answer(connection);
            } else {
                self.open.push(connection);
            }
        }
    }

    fn answer(&mut self, connection: Connection) {
        let handler = Arc::clone(&self.handler);
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        let work = move || {
            let mut told = ConnectionReturn {
                connection: None,
                sender,
                wake,
            };
            match connection.answer(&*handler) {
                Ok(connection) => told.connection = Some(connection),
                Err(error) => log::debug!("a connection to the local socket ended: {error}"),
            }
        };
        let thread = std::thread::Builder::new().name("control".to_owned());
        match thread.spawn(work) {
            Ok(_) => self.answering += 1,
            // The one who asked sees the connection end, and may ask again.
            Err(error) => log::warn!("a question on the local socket cannot be answered: {error}"),
        }
    }

    fn close_silent(&mut self) {
        let now = Instant::now();
        self.open
            .retain(|open| open.has_question() || open.closes_at() > now);
    }
}

/// Gives a connection back once its question was answered, whatever happened meanwhile.
struct ConnectionReturn {
    connection: Option<Connection>,
    sender: Sender<Option<Connection>>,
    wake: Arc<UnixStream>,
}

impl Drop for ConnectionReturn {
    fn drop(&mut self) {
        // Nobody listens any more once the daemon ends.
        let _ = self.sender.send(self.connection.take());
        // Where the pipe is full, it is woken already.
        let _ = (&*self.wake).write(&[0]);
    }
}
