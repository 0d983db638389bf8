//! Writes the status page beside the loop.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lock;
use crate::engine::Engine;
use crate::repeats::{self, RepeatedTask};
use crate::spool::fs::{Dir, Fs};
use crate::status::{self, Figures, Status};
use crate::store::Store;

/// Writes the status in a thread of its own, since it reads more than the loop should wait for.
pub(super) struct Publisher {
    pub(super) figures: Arc<Mutex<Figures>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) wake: SyncSender<()>,
    pub(super) thread: JoinHandle<()>,
    pub(super) fs: Fs,
    /// The folder that it writes into.
    pub(super) dir: Arc<Mutex<Dir>>,
}

impl Publisher {
    pub(super) fn start(engine: &Engine, figures: Figures) -> io::Result<Self> {
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
    pub(super) fn write_into(&self, dir: &Dir) {
        *lock(&self.dir) = dir.clone();
    }

    pub(super) fn publish(&self, figures: Figures) {
        *lock(&self.figures) = figures;
        // It is woken already if this is refused.
        let _ = self.wake.try_send(());
    }

    pub(super) fn end(self, figures: Figures) {
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
