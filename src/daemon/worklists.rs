//! Renews the session folders in a thread of its own: neither intake, nor who asks for something, nor the service
//! manager's watchdog waits for it, however long a questionnaire is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::repeats::{self, RepeatedTask};
use crate::worklist::{RenewalFailure, Renewer, WorklistError, Worklists};

/// So long it waits after something changed: what comes in together is shown together.
const TOGETHER: Duration = Duration::from_secs(1);
/// So long a session waits whose folder could not be renewed.
const AGAIN: Duration = Duration::from_secs(30);
/// While files wait to be taken in, it rests so many times as long as it worked, and at most so long.
const REST: u32 = 9;
const LONGEST_REST: Duration = Duration::from_secs(60);
/// It looks so often whether a day has passed, and with it the time of some folders.
const DAILY: Duration = Duration::from_secs(3600);

/// The thread.
pub(super) struct WorklistThread {
    worklists: Arc<Worklists>,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl WorklistThread {
    /// Starts it. `fail` is told of what must end the process, and nothing more is done after that.
    pub fn start(
        engine: &Engine,
        fail: impl FnOnce(WorklistError) + Send + 'static,
    ) -> std::io::Result<Self> {
        let worklists = Arc::clone(engine.worklists());
        let ending = Arc::new(AtomicBool::new(false));
        let work = WorklistTask {
            renewer: engine.worklist_renewer(),
            worklists: Arc::clone(&worklists),
            ending: Arc::clone(&ending),
        };
        let thread = std::thread::Builder::new().name("worklists".to_owned());
        Ok(Self {
            worklists,
            ending,
            thread: thread.spawn(move || {
                give_way();
                if let Err(error) = work.run() {
                    fail(error);
                }
            })?,
        })
    }

    /// Ends it after the file in hand. What is not done stays due.
    pub fn end(self) {
        self.ending.store(true, Ordering::Relaxed);
        self.worklists.wake();
        // It has told of whatever went wrong.
        let _ = self.thread.join();
    }
}

struct WorklistTask {
    renewer: Renewer,
    worklists: Arc<Worklists>,
    ending: Arc<AtomicBool>,
}

impl WorklistTask {
    fn run(mut self) -> Result<(), WorklistError> {
        let mut was_idle = true;
        while !self.is_ending() {
            let any = self.worklists.wait(DAILY);
            if any && was_idle {
                self.rest(TOGETHER);
            }
            was_idle = !any;
            let begun = Instant::now();
            self.renew_next()?;
            if self.worklists.is_busy() {
                let rest = begun.elapsed().saturating_mul(REST);
                self.rest(rest.min(LONGEST_REST));
            }
        }
        Ok(())
    }

    fn renew_next(&mut self) -> Result<(), WorklistError> {
        if self.is_ending() {
            return Ok(());
        }
        let ending = Arc::clone(&self.ending);
        let renewer = &mut self.renewer;
        // What spoils one folder must not spoil those of all other sessions.
        let renewed = catch_unwind(AssertUnwindSafe(|| {
            renewer.renew_next(&|| ending.load(Ordering::Relaxed))
        }));
        let Ok(renewed) = renewed else {
            let session = self.worklists.next(None);
            log::error!(
                "the folder of session {} cannot be renewed: the program has a defect there; it is tried again once \
                 something of the session changes",
                session.as_ref().map_or("", |session| session.as_str())
            );
            if let Some(session) = session {
                self.worklists.done(&session);
            }
            return Ok(());
        };
        match renewed {
            Ok(()) => {
                repeats::over("sessions", RepeatedTask::Sessions);
                Ok(())
            }
            Err(RenewalFailure {
                error: WorklistError::Stopped,
                ..
            }) => Ok(()),
            Err(RenewalFailure {
                error: error @ WorklistError::Sync(_),
                ..
            }) => Err(error),
            Err(failed) => {
                self.complain(&failed);
                match &failed.session {
                    Some(session) => self.worklists.put_off(session, AGAIN),
                    None => self.rest(AGAIN),
                }
                Ok(())
            }
        }
    }

    /// In a log, no path: names of patients may stand in it.
    fn complain(&self, failed: &RenewalFailure) {
        let problem = match &failed.error {
            WorklistError::Disk(error) => error.without_path(),
            other => other.to_string(),
        };
        let what = match &failed.session {
            Some(session) => format!("the folder of session {session} is not renewed"),
            None => "the sessions' folders are not renewed".to_owned(),
        };
        let problem = format_args!("{what}: {problem}; it is tried again");
        repeats::failing("sessions", RepeatedTask::Sessions, problem);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Waits, unless it is to end.
    fn rest(&self, how_long: Duration) {
        let until = Instant::now() + how_long;
        while !self.is_ending() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.worklists.sleep(left);
        }
    }
}

/// Lets whatever else has work to do go first.
fn give_way() {
    const NICE: i32 = 10;
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        log::debug!("the thread of the session folders runs like any other: {error}");
    }
}
