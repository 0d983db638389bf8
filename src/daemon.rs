//! The daemon: threads, signals and timers around the engine, which has none of them.
//!
//! One loop has the engine. It waits for the first of: something in an inbox, a time that has come, somebody who asks
//! over the local socket, a signal. Threads only bring it these, write the status, and renew the session folders.

mod listening;
mod looks;
mod publisher;
mod queue;
mod reload;
mod requests;
mod timers;
mod upkeep;
mod worklists;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::listening::{ControlServer, listen_to_commands};
use self::looks::Looks;
use self::publisher::Publisher;
use self::queue::Queue;
use self::requests::PendingRequest;
use self::timers::{BETWEEN_STATUS, Timers};
use crate::config::Config;
use crate::engine::arrivals::{Arrivals, SweepResult};
use crate::engine::{Engine, EngineError, OpenStore, StartOptions, owner_name};
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};
use crate::spool::fs::Fs;
use crate::spool::layout::FolderError;
use crate::spool::watch::{Watch, WatchEvent};
use crate::status::control::SweepRequest;
use crate::status::{self, Figures};

/// So long it waits for another process that has the spool (design.md, "Taking files in").
const PATIENCE: Duration = Duration::from_secs(30);
/// So long after the last work, what was moved is made durable.
const IDLE: Duration = Duration::from_secs(1);
/// Two looks at the inboxes for the sake of files that settle are at least so far apart.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// So many groups are taken between two looks at what else there is to do: one is decided while another is put on disk.
const GROUPS: usize = 4;
/// So many refused files are looked for in `error/` with each rescan: somebody may have removed them.
const REFUSED_LOOKED_AT: usize = 500;
/// So long a file of many messages is taken in at a time, while files of others wait for it.
const TURN: Duration = Duration::from_millis(40);

/// Why the daemon ended, other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The engine cannot go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system gives no threads or signals.
    #[error("the daemon cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT. `config_path` is where SIGHUP reads the configuration again.
pub fn run(
    config_path: Option<&Path>,
    config: Config,
    start: StartOptions,
) -> Result<(), DaemonError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, events) = channel();
    listen_to_signals(&sender, &stop)?;
    let Some(engine) = open(&Arc::new(config), start, &stop)? else {
        return Ok(());
    };
    let mut daemon = Daemon::new(engine, config_path, &sender, stop)?;
    daemon.commands = listen_to_commands(&daemon, &sender);
    notify_manager(NotifyState::Ready);
    log::info!("taking files in");
    let worked = daemon.work(&events);
    daemon.end_threads();
    notify_manager(NotifyState::Stopping);
    // Whoever connects from here on finds nobody, and waits for the spool.
    daemon.commands = None;
    worked?;
    daemon.end()
}

/// What the loop is woken by.
enum Event {
    Inbox(WatchEvent),
    /// A large file was read.
    Read,
    Sweep(SweepRequest),
    Reload,
    /// What was written may not have reached the disk.
    Failed(EngineError),
    Stop,
}

impl From<SweepRequest> for Event {
    fn from(request: SweepRequest) -> Self {
        Event::Sweep(request)
    }
}

struct Daemon {
    engine: Engine,
    config_path: Option<PathBuf>,
    stop: Arc<AtomicBool>,
    watch: Watch,
    arrivals: Arrivals,
    /// What the last looks found.
    swept: SweepResult,
    queue: Queue,
    /// The places of which files were left in the inbox since a file in hand gave way: the next look finds them.
    left_behind: BTreeSet<Owner>,
    asked: Vec<PendingRequest>,
    short: Option<String>,
    publisher: Publisher,
    /// Where commands ask, if they can.
    commands: Option<ControlServer>,
    /// Makes snapshots and removes what is old, beside the loop.
    upkeep: Option<JoinHandle<()>>,
    /// Renews the session folders, beside the loop.
    worklists: Option<worklists::WorklistThread>,
    /// Why the loop must end.
    failed: Option<EngineError>,
    started: DateTime<Utc>,
    last_sweep: DateTime<Utc>,
    timers: Timers,
}

impl Daemon {
    fn new(
        mut engine: Engine,
        config_path: Option<&Path>,
        sender: &Sender<Event>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, DaemonError> {
        engine.stop_at(Arc::clone(&stop));
        engine.set_turn(TURN);
        let reading = sender.clone();
        engine.read_ahead(move || {
            // Nobody listens any more once the daemon ends.
            let _ = reading.send(Event::Read);
        })?;
        let failing = sender.clone();
        let worklists = worklists::WorklistThread::start(&engine, move |error| {
            // Nobody listens any more once the daemon ends.
            let _ = failing.send(Event::Failed(error.into()));
        })?;
        let events = sender.clone();
        let watch = Watch::new(move |seen| {
            // Nobody listens any more once the daemon ends.
            let _ = events.send(Event::Inbox(seen));
        });
        let (now, time) = (Instant::now(), Utc::now());
        let swept = SweepResult::default();
        let publisher = Publisher::start(&engine, Figures::of(&engine, &swept, time, time, true))?;
        let mut daemon = Self {
            config_path: config_path.map(Path::to_owned),
            stop,
            watch,
            arrivals: Arrivals::default(),
            swept,
            queue: Queue::default(),
            left_behind: BTreeSet::new(),
            asked: Vec::new(),
            short: None,
            publisher,
            commands: None,
            upkeep: None,
            worklists: Some(worklists),
            failed: None,
            started: time,
            last_sweep: time,
            timers: Timers {
                rescan: now,
                looks: Looks::default(),
                again: None,
                idle: None,
                upkeep: now + IDLE,
                reports: BTreeMap::new(),
                status: None,
                last_status: now.checked_sub(BETWEEN_STATUS).unwrap_or(now),
                // Systemd wants to hear of us well within its time.
                watchdog: sd_notify::watchdog_enabled().map(|period| (period / 4, now)),
            },
            engine,
        };
        daemon.set_report_timers(now);
        Ok(daemon)
    }

    fn work(&mut self, events: &Receiver<Event>) -> Result<(), DaemonError> {
        while !self.is_stopped() {
            self.wait(events);
            if let Some(error) = self.failed.take() {
                return Err(error.into());
            }
            if self.is_stopped() {
                break;
            }
            let now = Instant::now();
            if self.timers.rescan <= now {
                self.check_folders()?;
                self.timers.rescan = now + self.engine.config().intake.rescan;
                self.look_everywhere(now);
            }
            let due = self.timers.looks.take_due(now);
            if !due.is_empty() {
                self.look(&due);
                self.tend_notices()?;
            }
            if !due.is_empty() || self.is_again(now) || self.has_work() {
                self.take_some()?;
            }
            self.write_batches(now)?;
            self.be_idle(now)?;
            self.keep_small(now)?;
            self.answer()?;
            self.engine.worklists().set_busy(!self.has_taken_all());
            self.publish(now);
            self.feed_watchdog(now);
        }
        Ok(())
    }

    /// Whether there are files to take now.
    fn has_work(&self) -> bool {
        let now = Instant::now();
        let resting = self.engine.resting();
        let mut waiting = self.queue.facilities.keys();
        resting.values().any(|until| *until <= now)
            || waiting.any(|place| !resting.contains_key(place))
            || (!self.queue.desk.is_empty() && !resting.contains_key(&Owner::Desk))
    }

    /// Whether everything is taken, also what is of places that rest.
    fn has_taken_all(&self) -> bool {
        self.queue.is_empty()
            && self.left_behind.is_empty()
            && self.engine.claims_at_rest().next().is_none()
    }

    /// Whether claimed files that wait are to be tried again.
    fn is_again(&mut self, now: Instant) -> bool {
        self.timers.again.take_if(|again| *again <= now).is_some()
    }

    /// A look at every inbox at that time, also where the last one took long.
    fn look_everywhere(&mut self, time: Instant) {
        for place in self.engine.owners() {
            self.timers.looks.plan_exactly(&place, time);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for what comes first; not at all while there are files to take.
    fn wait(&mut self, events: &Receiver<Event>) {
        let until = match self.has_work() {
            true => Instant::now(),
            false => {
                let rested = self.engine.resting().values().copied();
                rested.fold(self.timers.next(), Instant::min)
            }
        };
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => self.hear(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        while let Ok(event) = events.try_recv() {
            self.hear(event);
        }
    }

    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Inbox(WatchEvent::Renamed(path)) => {
                for folders in self.engine.owner_folders() {
                    if let Ok(path) = path.strip_prefix(folders.inbox.path()) {
                        self.arrivals.settling(&folders.owner).arrived_whole(path);
                        self.timers.looks.plan(&folders.owner, now);
                    }
                }
            }
            // What was closed just now can be read when it has settled.
            Event::Inbox(WatchEvent::Written(path)) => {
                let settled = now + self.engine.config().intake.settle;
                for folders in self.engine.owner_folders() {
                    if path.starts_with(folders.inbox.path()) {
                        self.timers.looks.plan(&folders.owner, settled);
                    }
                }
            }
            Event::Inbox(WatchEvent::Overflow) => self.look_everywhere(now),
            Event::Sweep(request) => {
                let settle = self.engine.config().intake.settle + Duration::from_millis(10);
                self.look_everywhere(now);
                self.asked.push(PendingRequest {
                    again: request.thorough.then(|| now + settle),
                    patience: now + settle + self.engine.longest_doubt(),
                    before: self.engine.totals(),
                    request,
                });
            }
            Event::Read => {
                for place in self.engine.files_were_read() {
                    self.timers.looks.plan(&place, now);
                }
            }
            Event::Reload => self.reload(),
            Event::Failed(error) => self.failed = Some(error),
            Event::Stop => {}
        }
    }

    /// Sees to it that the folders are those that they were, and tries again those that could not be reached.
    fn check_folders(&mut self) -> Result<(), DaemonError> {
        self.engine.check_facilities();
        self.pass(RepeatedTask::Reaching, |engine| engine.open_facilities())?;
        self.pass(RepeatedTask::Stability, |engine| {
            engine.forget_removed_refused(REFUSED_LOOKED_AT)
        })?;
        self.watch
            .follow(self.engine.fs(), self.engine.owner_folders());
        let reached: BTreeSet<Owner> = self.engine.owners().into_iter().collect();
        let names: BTreeSet<&str> = reached.iter().map(owner_name).collect();
        self.swept
            .inboxes
            .retain(|name, _| names.contains(name.as_str()));
        self.left_behind.retain(|place| reached.contains(place));
        match self.engine.renew_status_dir() {
            Ok(()) => self.publisher.write_into(self.engine.status_dir()),
            Err(error) => repeats::failing("status", RepeatedTask::Status, error),
        }
        if let Some(commands) = &mut self.commands {
            commands.check(self.engine.config(), self.engine.status_dir());
        }
        if self.engine.moves_waiting() > 0 {
            self.timers.idle = Some(Instant::now());
        }
        Ok(())
    }

    /// Looks at these inboxes.
    fn look(&mut self, owners: &[Owner]) {
        self.timers.status_is_due();
        let mut begun = Instant::now();
        for place in owners {
            self.queue.forget(place);
            self.left_behind.remove(place);
            self.engine
                .sweep_inbox(place, &mut self.arrivals, &mut self.swept);
            let now = Instant::now();
            self.timers.looks.took(place, now - begun, now);
            begun = now;
            let inbox = self.swept.inboxes.get(owner_name(place));
            if let Some(next) = inbox.and_then(|inbox| inbox.next) {
                self.timers.looks.plan(place, now + next.max(BETWEEN_LOOKS));
            }
        }
        self.engine.lift_what_is_over();
        self.last_sweep = Utc::now();
        let inboxes = &self.swept.inboxes;
        for (owner, inbox) in inboxes {
            for (sentence, _) in status::blocked_sentences(&inbox.blocked) {
                repeats::failing(owner, RepeatedTask::Looking, sentence);
            }
        }
        let is_clear = |place: &str| inboxes.get(place).is_none_or(|it| it.blocked.is_empty());
        repeats::over_where(RepeatedTask::Looking, is_clear);
        let ready = std::mem::take(&mut self.swept.ready);
        let short = self
            .engine
            .lack_of_space()
            .unwrap_or_else(|error| Some(error.without_path()));
        match &short {
            Some(problem) => repeats::failing("intake", RepeatedTask::Room, problem),
            None => repeats::over("intake", RepeatedTask::Room),
        }
        match short {
            Some(_) => self.queue = Queue::default(),
            None => self.queue.add(ready),
        }
        self.short = short;
    }

    /// Tells facilities of the folders that the look found blocked.
    fn tend_notices(&mut self) -> Result<(), DaemonError> {
        let swept = std::mem::take(&mut self.swept);
        let tended = self.pass(RepeatedTask::Notices, |engine| engine.tend_notices(&swept));
        self.swept = swept;
        tended.map(drop)
    }

    /// Takes in some groups of what is ready, after what waited.
    fn take_some(&mut self) -> Result<(), DaemonError> {
        let count = self.engine.config().intake.group.saturating_mul(GROUPS);
        let arrivals = self.queue.take(count, self.engine.resting());
        let has_claims = self.engine.claims_waiting() > 0 && self.short.is_none();
        if arrivals.is_empty() && !has_claims && self.engine.resting().is_empty() {
            return Ok(());
        }
        if !self.pass(RepeatedTask::TakingIn, |engine| engine.take_in(arrivals))? {
            // Everything in hand waits for the next look.
            self.queue = Queue::default();
        }
        let now = Instant::now();
        // Of these places files may have been left in the inbox; those behind them must not come first.
        for place in self.engine.held_back().into_keys() {
            self.queue.forget(&place);
        }
        for (place, until) in self.engine.resting() {
            self.queue.forget(place);
            self.left_behind.insert(place.clone());
            self.timers.looks.plan(place, *until);
        }
        if self.engine.claims_waiting() > 0 {
            let settle = self.engine.config().intake.settle;
            self.timers.again = Some(now + settle.max(BETWEEN_LOOKS));
        }
        self.timers.idle = Some(now + IDLE);
        self.timers.status_is_due();
        Ok(())
    }

    /// Nobody else may have the spool while files are removed from it or written to it.
    fn end_threads(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worklists) = self.worklists.take() {
            worklists.end();
        }
        if let Some(upkeep) = self.upkeep.take() {
            let _ = upkeep.join();
        }
    }

    fn publish(&mut self, now: Instant) {
        if self.timers.status.is_some_and(|due| due <= now) {
            self.publisher.publish(self.figures(true));
            self.timers.status = None;
            self.timers.last_status = now;
        }
    }

    fn figures(&self, running: bool) -> Figures {
        Figures::of(
            &self.engine,
            &self.swept,
            self.started,
            self.last_sweep,
            running,
        )
    }

    fn feed_watchdog(&mut self, now: Instant) {
        if let Some((pause, next)) = &mut self.timers.watchdog
            && *next <= now
        {
            *next = now + *pause;
            notify_manager(NotifyState::Watchdog);
        }
    }

    /// Does something that may fail for the time being: that is logged, and tried again. Whether it went well.
    fn pass(
        &mut self,
        trying: RepeatedTask,
        what: impl FnOnce(&mut Engine) -> Result<(), EngineError>,
    ) -> Result<bool, DaemonError> {
        match what(&mut self.engine) {
            Ok(()) => {
                repeats::over("spool", trying);
                Ok(true)
            }
            Err(error) if error.is_passing() => {
                let problem = error.without_path();
                // Of a place that fails, the engine has said so.
                if trying != RepeatedTask::TakingIn || self.engine.held_back().is_empty() {
                    let problem = format_args!("{problem}; it is tried again");
                    repeats::failing("spool", trying, problem);
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends cleanly.
    fn end(self) -> Result<(), DaemonError> {
        let figures = self.figures(false);
        self.engine.close()?;
        // Last, since it looks into folders whose mount may hang.
        self.publisher.end(figures);
        log::info!("ended");
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the spool, waiting for whoever has it; nothing if told to stop meanwhile.
fn open(
    config: &Arc<Config>,
    start: StartOptions,
    stop: &AtomicBool,
) -> Result<Option<Engine>, DaemonError> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let config = Arc::clone(config);
        match Engine::open_as(config, Fs::new(), OpenStore::Sled, start, &mut |_| {}) {
            Ok(engine) => return Ok(Some(engine)),
            Err(EngineError::Layout(FolderError::InUse(holder))) if begun.elapsed() < PATIENCE => {
                if !std::mem::replace(&mut said, true) {
                    log::warn!("{holder}: waiting for it to end");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
}

fn listen_to_signals(sender: &Sender<Event>, stop: &Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (sender, stop) = (sender.clone(), Arc::clone(stop));
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let event = match signal {
                    SIGHUP => Event::Reload,
                    _ => {
                        stop.store(true, Ordering::Relaxed);
                        Event::Stop
                    }
                };
                let _ = sender.send(event);
            }
        })?;
    Ok(())
}

fn notify_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("the service manager cannot be told: {error}");
    }
}
