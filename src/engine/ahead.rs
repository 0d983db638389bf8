//! Large files of facilities are read beside the engine: it decides for all places, and the others would wait for as
//! long as it takes to read one and to parse it.
//!
//! Until a file is read, its place rests, and with it the files behind it. A CDA, which its case keeps as a document, is
//! written among the documents too, under a name that nobody looks for. What cannot be read so, for whatever reason, is
//! read by the engine itself, which knows what to make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{ClaimedFile, Engine};
use crate::cda::{self, Cda};
use crate::model::contact;
use crate::model::identifiers::ContentHash;
use crate::model::outcome::Refusal;
use crate::model::owner::Owner;
use crate::spool::fs::reading::Reading;
use crate::spool::fs::{Dir, Fs};

/// Files from this size on are read beside the engine, in bytes.
const LARGE: u64 = 1024 * 1024;
/// While so many bytes of files are being read or were read and wait, the engine reads further ones itself.
const MOST_HELD: u64 = 64 * 1024 * 1024;
/// If nothing is heard of a file for so long, the engine reads it itself.
const LONGEST: Duration = Duration::from_secs(60);

/// A file that was read.
pub(super) struct ReadFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When it was last modified.
    pub modified: Option<DateTime<Utc>>,
    /// What it says, if it is XML.
    pub cda: Option<Result<Cda, Refusal>>,
    /// Where its document lies by now, if it does.
    pub written: Option<PreparedDocument>,
}

/// A document that was written under a name that nobody looks for.
pub(super) struct PreparedDocument {
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// Its folder.
    pub dir: Dir,
    /// Its name there.
    pub name: OsString,
}

/// The files that are read beside the engine.
pub(super) struct Ahead {
    orders: Option<Sender<ReadRequest>>,
    thread: Option<JoinHandle<()>>,
    answers: Receiver<ReadReply>,
    /// By claim; those that were read too.
    ordered: BTreeMap<String, AheadFile>,
    /// By claim.
    read: BTreeMap<String, ReadFile>,
}

struct AheadFile {
    owner: Owner,
    size: u64,
    since: Instant,
}

struct ReadRequest {
    claim: String,
    fs: Fs,
    work: Dir,
    name: OsString,
    limit: u64,
    documents: Dir,
    /// The name for its document there.
    prepared: OsString,
}

struct ReadReply {
    claim: String,
    /// Nothing if the engine has to read it itself.
    read: Option<ReadFile>,
}

impl Ahead {
    fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (orders, ordered) = channel::<ReadRequest>();
        let (answer, answers) = channel();
        let thread = std::thread::Builder::new().name("reader".to_owned());
        let thread = thread.spawn(move || {
            contact::read_tables();
            for order in ordered {
                // What panics here does so in the engine too, where it counts as an attempt.
                let read = catch_unwind(AssertUnwindSafe(|| order.read()));
                let sent = answer.send(ReadReply {
                    claim: order.claim,
                    read: read.unwrap_or_default(),
                });
                if sent.is_err() {
                    break;
                }
                wake();
            }
        })?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
            answers,
            ordered: BTreeMap::new(),
            read: BTreeMap::new(),
        })
    }

    /// Forgets what was ordered long ago.
    fn forget_older(&mut self, now: Instant, fs: &Fs) {
        self.ordered
            .retain(|_, ordered| now.saturating_duration_since(ordered.since) < LONGEST);
        let forgotten = self
            .read
            .extract_if(.., |claim, _| !self.ordered.contains_key(claim));
        for written in forgotten.filter_map(|(_, read)| read.written) {
            // What stays is removed at the next start.
            let _ = fs.remove(&written.dir, &written.name);
        }
    }

    fn held(&self) -> u64 {
        self.ordered.values().map(|ordered| ordered.size).sum()
    }
}

impl Drop for Ahead {
    /// Nobody writes to the spool once its owner is gone: the next one may have it.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // What it left unwritten is read again at the next start.
            let _ = thread.join();
        }
    }
}

impl ReadRequest {
    fn read(&self) -> Option<ReadFile> {
        let read = self.fs.read_settled(&self.work, &self.name, self.limit);
        let Ok(Reading::Whole(bytes, modified)) = read else {
            return None;
        };
        let is_xml = cda::looks_like_xml(&bytes);
        let document = cda::without_framing(&bytes);
        let cda = is_xml.then(|| cda::parse(document));
        let written = cda
            .as_ref()
            .and_then(|read| read.as_ref().ok())
            .and_then(|cda| self.write(document, &cda.hash));
        Some(ReadFile {
            bytes,
            modified,
            cda,
            written,
        })
    }

    /// Writes the document, and has it reach the disk: the group that it will be part of waits the less for it.
    fn write(&self, document: &[u8], hash: &ContentHash) -> Option<PreparedDocument> {
        let mut file = self.fs.create(&self.documents, &self.prepared).ok()?;
        if file.write_all(document).is_err() || file.sync().is_err() {
            // The engine writes it under another name, and says what is wrong.
            let _ = self.fs.remove(&self.documents, &self.prepared);
            return None;
        }
        Some(PreparedDocument {
            hash: hash.clone(),
            dir: self.documents.clone(),
            name: self.prepared.clone(),
        })
    }
}

impl Engine {
    /// Has large files of facilities read in a thread of its own; `wake` is called when one was:
    /// see [`Engine::files_were_read`].
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn read_ahead(&mut self, wake: impl Fn() + Send + 'static) -> std::io::Result<()> {
        self.ahead = Some(Ahead::start(wake)?);
        Ok(())
    }

    /// Lets the places go on whose files were read meanwhile, and gives them.
    pub fn files_were_read(&mut self) -> BTreeSet<Owner> {
        let mut places = BTreeSet::new();
        let Some(ahead) = &mut self.ahead else {
            return places;
        };
        for ReadReply { claim, read } in ahead.answers.try_iter() {
            let Some(ordered) = ahead.ordered.get(&claim) else {
                continue;
            };
            places.insert(ordered.owner.clone());
            if let Some(read) = read {
                ahead.read.insert(claim, read);
            }
        }
        let now = Instant::now();
        for place in &places {
            self.turns.end_rest(place, now);
        }
        places
    }

    /// The file, if it was read ahead.
    pub(super) fn take_read(&mut self, claimed: &ClaimedFile) -> Option<ReadFile> {
        let ahead = self.ahead.as_mut().filter(|it| !it.read.is_empty())?;
        let claim = claimed.claim.key();
        let read = ahead.read.remove(&claim)?;
        ahead.ordered.remove(&claim);
        Some(read)
    }

    /// Keeps a file that gave way to the others, so that it need not be read again.
    pub(super) fn keep_read(
        &mut self,
        claimed: &ClaimedFile,
        bytes: Vec<u8>,
        modified: Option<DateTime<Utc>>,
    ) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(ahead) = &mut self.ahead else {
            return;
        };
        if ahead.held().saturating_add(size) > MOST_HELD {
            return;
        }
        let claim = claimed.claim.key();
        let ordered = AheadFile {
            owner: claimed.owner.clone(),
            size,
            since: Instant::now(),
        };
        ahead.ordered.insert(claim.clone(), ordered);
        let read = ReadFile {
            bytes,
            modified,
            cda: None,
            written: None,
        };
        ahead.read.insert(claim, read);
    }

    /// Whether this file is left to be read beside the engine: then its place rests until it was.
    pub(super) fn leave_to_be_read(&mut self, work: &Dir, claimed: &ClaimedFile) -> bool {
        // What may have ended the process is read alone.
        let Some(ahead) = self.ahead.as_mut().filter(|_| !claimed.suspect) else {
            return false;
        };
        let (name, limit) = (claimed.name_in_work(), self.config.intake.max_file);
        let size = self.fs.size(work, &name).unwrap_or_default();
        if size < LARGE || size > limit {
            return false;
        }
        let claim = claimed.claim.key();
        if ahead.ordered.remove(&claim).is_some() {
            // It was ordered, and could not be read.
            return false;
        }
        let now = Instant::now();
        ahead.forget_older(now, &self.fs);
        if ahead.held().saturating_add(size) > MOST_HELD {
            return false;
        }
        let ordered = AheadFile {
            owner: claimed.owner.clone(),
            size,
            since: now,
        };
        ahead.ordered.insert(claim.clone(), ordered);
        let order = ReadRequest {
            claim,
            fs: self.fs.clone(),
            work: work.clone(),
            name,
            limit,
            documents: self.spool.documents.clone(),
            prepared: self.prepared_name().into(),
        };
        let orders = self.ahead.as_ref().and_then(|ahead| ahead.orders.as_ref());
        let is_sent = orders.is_some_and(|orders| orders.send(order).is_ok());
        if is_sent {
            self.turns.rest(&claimed.owner, now + LONGEST);
        }
        is_sent
    }
}
