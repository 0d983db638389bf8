//! The daemon: threads, signals and timers around the engine, which has none of them.
//!
//! One loop has the engine. It waits for the first of: something in an inbox, a time that has come, somebody who asks
//! over the local socket, a signal. Threads only bring it these, write the status, and renew the session folders.

mod looks;
mod worklists;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::looks::Looks;
use chrono::{DateTime, Utc};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, Every};
use crate::engine::arrivals::{Arrivals, SweepResult};
use crate::engine::{Arrival, Engine, EngineError, OpenStore, StartOptions, Totals, owner_name};
use crate::journal::JournalError;
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};
use crate::spool::fs::{Dir, Fs};
use crate::spool::layout::FolderError;
use crate::spool::watch::{Watch, WatchEvent};
use crate::status::control::{self, Renewal, Request, Response, Server, Socket, SweepRequest};
use crate::status::{self, Figures, Status};
use crate::store::Store;

/// So long it waits for another process that has the spool (design.md, "Taking files in").
const PATIENCE: Duration = Duration::from_secs(30);
/// So long after the last work, what was moved is made durable.
const IDLE: Duration = Duration::from_secs(1);
/// Two looks at the inboxes for the sake of files that settle are at least so far apart.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// So many groups are taken between two looks at what else there is to do: one is decided while another is put on disk.
const GROUPS: usize = 4;
/// So often it looks whether a snapshot of the journal or retention is due.
const BETWEEN_UPKEEPS: Duration = Duration::from_secs(10 * 60);
/// So many refused files are looked for in `error/` with each rescan: somebody may have removed them.
const REFUSED_LOOKED_AT: usize = 500;
/// So long a file of many messages is taken in at a time, while files of others wait for it.
const TURN: Duration = Duration::from_millis(40);
/// The status is written at most so often.
const BETWEEN_STATUS: Duration = Duration::from_secs(3);

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

/// Files that are ready: the desk's first, then each facility's in its order, so that none waits for another.
#[derive(Debug, Default)]
struct Queue {
    desk: VecDeque<Arrival>,
    facilities: BTreeMap<Owner, VecDeque<Arrival>>,
}

impl Queue {
    /// Adds these, each after the others of its place.
    fn add(&mut self, ready: Vec<Arrival>) {
        for arrival in ready {
            match arrival.owner {
                Owner::Desk => self.desk.push_back(arrival),
                _ => self
                    .facilities
                    .entry(arrival.owner.clone())
                    .or_default()
                    .push_back(arrival),
            }
        }
    }

    /// Leaves what is of this place to the next look at its inbox.
    fn forget(&mut self, owner: &Owner) {
        match owner {
            Owner::Desk => self.desk.clear(),
            _ => {
                self.facilities.remove(owner);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.desk.is_empty() && self.facilities.is_empty()
    }

    /// Takes so many, none of the places that rest.
    fn take(&mut self, count: usize, resting: &BTreeMap<Owner, Instant>) -> Vec<Arrival> {
        let first = match resting.contains_key(&Owner::Desk) {
            true => 0,
            false => self.desk.len().min(count),
        };
        let mut taken: Vec<Arrival> = self.desk.drain(..first).collect();
        loop {
            let of_others = self
                .facilities
                .iter_mut()
                .filter(|(place, _)| !resting.contains_key(place));
            let of_others: Vec<_> = of_others.map(|(_, of_facility)| of_facility).collect();
            if taken.len() >= count || of_others.is_empty() {
                break;
            }
            let share = (count - taken.len()).div_ceil(of_others.len());
            for of_facility in of_others {
                let share = share.min(of_facility.len()).min(count - taken.len());
                taken.extend(of_facility.drain(..share));
            }
            self.facilities
                .retain(|_, of_facility| !of_facility.is_empty());
        }
        taken
    }
}

/// Somebody who asked, and what must be done before the answer.
struct PendingRequest {
    request: SweepRequest,
    before: Totals,
    /// When to look again at what still settles, for `once`.
    again: Option<Instant>,
    /// How long `once` waits for files of which the system does not say whether a writer has them open.
    patience: Instant,
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

/// When what is to be done.
struct Timers {
    rescan: Instant,
    /// Looks at inboxes.
    looks: Looks,
    /// When claimed files that wait are tried again.
    again: Option<Instant>,
    idle: Option<Instant>,
    upkeep: Instant,
    /// Batches, of each facility that has them on a timer.
    reports: BTreeMap<String, Instant>,
    /// The status, where something happened since it was written.
    status: Option<Instant>,
    last_status: Instant,
    watchdog: Option<(Duration, Instant)>,
}

impl Timers {
    /// Something happened that the status shows.
    fn status_is_due(&mut self) {
        self.status.get_or_insert(self.last_status + BETWEEN_STATUS);
    }

    fn next(&self) -> Instant {
        let watchdog = self.watchdog.map(|(_, next)| next);
        let perhaps = [
            self.looks.next(),
            self.again,
            self.idle,
            self.status,
            watchdog,
        ];
        let times = perhaps
            .into_iter()
            .flatten()
            .chain(self.reports.values().copied());
        times.fold(self.rescan.min(self.upkeep), Instant::min)
    }
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

    fn set_report_timers(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.timers.reports);
        for facility in &self.engine.config().facilities {
            if let Every::Every(every) = facility.reports.every {
                let id = facility.id.to_string();
                let next = before.remove(&id).unwrap_or(now + every).min(now + every);
                self.timers.reports.insert(id, next);
            }
        }
    }

    fn write_batches(&mut self, now: Instant) -> Result<(), DaemonError> {
        let due = self.timers.reports.iter().filter(|(_, next)| **next <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            let config = Arc::clone(self.engine.config());
            let facility = config
                .facilities
                .iter()
                .find(|facility| facility.id.as_str() == id);
            let Some(Every::Every(every)) = facility.map(|facility| facility.reports.every) else {
                self.timers.reports.remove(&id);
                continue;
            };
            self.timers.reports.insert(id.clone(), now + every);
            if !self.engine.unreachable().contains_key(&id) {
                self.pass(RepeatedTask::Batches, |engine| engine.write_due_batch(&id))?;
                self.timers.idle.get_or_insert(now + IDLE);
            }
        }
        Ok(())
    }

    fn be_idle(&mut self, now: Instant) -> Result<(), DaemonError> {
        if self.has_taken_all() && self.timers.idle.is_some_and(|idle| idle <= now) {
            self.timers.idle = None;
            self.pass(RepeatedTask::Stability, Engine::idle)?;
        }
        Ok(())
    }

    /// Has snapshots made, and what is old removed, in a thread: it touches only what nothing is added to any more.
    fn keep_small(&mut self, now: Instant) -> Result<(), DaemonError> {
        if self.timers.upkeep > now {
            return Ok(());
        }
        self.timers.upkeep = now + BETWEEN_UPKEEPS;
        let is_at_it = |upkeep: &JoinHandle<()>| !upkeep.is_finished();
        if self.upkeep.as_ref().is_some_and(is_at_it) {
            return Ok(());
        }
        let mut due = None;
        self.pass(RepeatedTask::Upkeep, |engine| {
            due = Some(engine.upkeep()?);
            Ok(())
        })?;
        let Some(due) = due else {
            return Ok(());
        };
        let stop = Arc::clone(&self.stop);
        let work = move || match due.run(&|| stop.load(Ordering::Relaxed)) {
            Ok(()) => repeats::over("journal", RepeatedTask::Upkeep),
            Err(JournalError::Stopped) => {}
            Err(error) => {
                let problem = format_args!("it cannot be kept small: {error}");
                repeats::failing("journal", RepeatedTask::Upkeep, problem);
            }
        };
        let upkeep = std::thread::Builder::new().name("upkeep".to_owned());
        self.upkeep = Some(upkeep.spawn(work)?);
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

    /// Answers whoever asked, as far as it is done.
    fn answer(&mut self) -> Result<(), DaemonError> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let unsettled = self.swept.unsettled() > 0;
        let mut waiting = Vec::new();
        for mut asked in std::mem::take(&mut self.asked) {
            let is_done = match asked.request.thorough {
                false => {
                    let mut at_rest = self.engine.claims_at_rest();
                    self.queue.desk.is_empty() && at_rest.all(|place| *place != Owner::Desk)
                }
                true => match asked.again {
                    Some(again) if unsettled && now < again => {
                        self.look_everywhere(again);
                        false
                    }
                    Some(_) if unsettled => {
                        // This look is the last one for it.
                        asked.again = None;
                        self.look_everywhere(now);
                        false
                    }
                    _ => {
                        let in_doubt = self.engine.files_in_doubt() > 0 && now < asked.patience;
                        self.has_taken_all() && !in_doubt
                    }
                },
            };
            if !is_done {
                waiting.push(asked);
                continue;
            }
            if asked.request.thorough {
                self.pass(RepeatedTask::Batches, Engine::write_due_batches)?;
            }
            let answer = match &self.short {
                Some(problem) => Err(problem.clone()),
                None => Ok(self.engine.totals().since(&asked.before)),
            };
            // Whoever asked may have gone away.
            let _ = asked.request.done.send(answer);
        }
        self.asked.append(&mut waiting);
        Ok(())
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

    /// Reads the configuration again; a bad one is refused, and so is one that needs a restart.
    fn reload(&mut self) {
        let read = Config::load(self.config_path.as_deref()).and_then(|config| {
            config.check_spool()?;
            Ok(config)
        });
        let config = match read {
            Ok(config) => config,
            Err(error) => {
                log::error!("the configuration is refused, the former one stays: {error}");
                return;
            }
        };
        let former = Arc::clone(self.engine.config());
        let moved = config.facilities.iter().find(|facility| {
            let before = former
                .facilities
                .iter()
                .find(|before| before.id == facility.id);
            before.is_some_and(|before| before.dir != facility.dir)
        });
        if config.spool != former.spool {
            log::error!("another spool needs a restart: the former configuration stays");
            return;
        }
        if let Some(facility) = moved {
            log::error!(
                "another folder of facility {} needs a restart: the former configuration stays",
                facility.id
            );
            return;
        }
        self.engine.configure(Arc::new(config));
        let now = Instant::now();
        self.set_report_timers(now);
        // New facilities are opened with the rescan.
        self.timers.rescan = now;
        log::warn!("the configuration was read again");
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

/// Writes the status in a thread of its own, since it reads more than the loop should wait for.
struct Publisher {
    figures: Arc<Mutex<Figures>>,
    store: Arc<dyn Store>,
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    fs: Fs,
    /// The folder that it writes into.
    dir: Arc<Mutex<Dir>>,
}

impl Publisher {
    fn start(engine: &Engine, figures: Figures) -> io::Result<Self> {
        let figures = Arc::new(Mutex::new(figures));
        let store = Arc::clone(engine.store());
        let fs = engine.fs().clone();
        let dir = Arc::new(Mutex::new(engine.status_dir().clone()));
        let (wake, woken) = sync_channel::<()>(1);
        let shared = Arc::clone(&figures);
        let thread = std::thread::Builder::new()
            .name("status".to_owned())
            .spawn({
                let (store, fs, dir) = (Arc::clone(&store), fs.clone(), Arc::clone(&dir));
                move || {
                    while woken.recv().is_ok() {
                        let begun = Instant::now();
                        let (dir, figures) = (lock(&dir).clone(), lock(&shared).clone());
                        write_status(&fs, &dir, &figures, &*store);
                        // However much lies in the error folders, this takes a twentieth of one processor.
                        let rest = begun
                            .elapsed()
                            .saturating_mul(20)
                            .min(Duration::from_secs(60));
                        let until = Instant::now() + rest;
                        while Instant::now() < until {
                            match woken
                                .recv_timeout(until.saturating_duration_since(Instant::now()))
                            {
                                Err(RecvTimeoutError::Disconnected) => return,
                                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                            }
                        }
                    }
                }
            })?;
        Ok(Self {
            figures,
            store,
            wake,
            thread,
            fs,
            dir,
        })
    }

    /// Writes into this folder from now on.
    fn write_into(&self, dir: &Dir) {
        *lock(&self.dir) = dir.clone();
    }

    fn publish(&self, figures: Figures) {
        *lock(&self.figures) = figures;
        // It is woken already if this is refused.
        let _ = self.wake.try_send(());
    }

    fn end(self, figures: Figures) {
        drop(self.wake);
        // Two must not write at the same time.
        let _ = self.thread.join();
        write_status(&self.fs, &lock(&self.dir), &figures, &*self.store);
    }
}

fn write_status(fs: &Fs, dir: &Dir, figures: &Figures, store: &dyn Store) {
    let written = Status::gather(figures, store)
        .map_err(|error| format!("it cannot be gathered: {error}"))
        .and_then(|gathered| {
            status::publish(fs, dir, &gathered)
                .map_err(|error| format!("it cannot be written: {error}"))
        });
    match written {
        Ok(()) => repeats::over("status", RepeatedTask::Status),
        Err(problem) => repeats::failing("status", RepeatedTask::Status, problem),
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

/// Answers on the local socket; without one, the daemon does its work all the same.
fn listen_to_commands(daemon: &Daemon, sender: &Sender<Event>) -> Option<ControlServer> {
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

/// The local socket, and the thread that answers there.
struct ControlServer {
    socket: Socket,
    renewal: Renewal,
}

impl ControlServer {
    /// Makes the socket again where somebody removed it.
    fn check(&mut self, config: &Config, status: &Dir) {
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

fn notify_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("the service manager cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_desk_comes_first_and_facilities_share() {
        let arrival = |owner: &Owner, number: usize| Arrival {
            owner: owner.clone(),
            path: PathBuf::from(number.to_string()),
        };
        let (a, b) = (
            Owner::Facility("a".to_owned()),
            Owner::Facility("b".to_owned()),
        );
        let many = (0..9).map(|number| arrival(&a, number));
        let few = (0..2).map(|number| arrival(&b, number));
        let mut queue = Queue::default();
        queue.add(many.chain(few).chain([arrival(&Owner::Desk, 0)]).collect());
        let first = queue.take(6, &BTreeMap::new());
        assert_eq!(first.len(), 6);
        assert_eq!(first[0].owner, Owner::Desk);
        assert_eq!(first.iter().filter(|taken| taken.owner == b).count(), 2);
        assert_eq!(
            queue
                .take(100, &BTreeMap::from([(a, Instant::now())]))
                .len(),
            0
        );
        assert_eq!(queue.take(100, &BTreeMap::new()).len(), 6);
        assert!(queue.is_empty());
        assert!(queue.take(1, &BTreeMap::new()).is_empty());
    }
}
