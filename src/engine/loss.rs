//! Accepting a loss (design.md, "The journal's witnesses"): the journal begins again with what is known, and numbers reports
//! and batches above all that may have left.

use std::collections::BTreeMap;
use std::path::Path;

use super::witness::{CleanStop, Loss, Witnesses};
use super::{Engine, EngineError};
use crate::journal::renew::{self, Next, Truth};
use crate::journal::{End, JournalError, OpenMoves, read_all};
use crate::model::identifiers::FacilityId;
use crate::model::report::{Cursor, Report};
use crate::random::random_name;
use crate::spool::fs::Fs;
use crate::spool::layout::Spool;
use crate::store::{DATABASE, KeyChange, PendingChanges, SledStore, Store, keys, to_json};

/// A copy of the database while the journal's base is made of it: opening one writes to it, and should this process be
/// killed, the database itself must still be trusted.
const COPY: &str = "db.copy";

/// Begins the journal again: of itself where it can be read whole, else of the store where that was left by a clean stop
/// at the journal's end, else of what the journal gives. Gives the numbers that are known to have been.
pub(super) fn accept(
    fs: &Fs,
    spool: &Spool,
    witnesses: &Witnesses,
    clean: Option<CleanStop>,
    loss: Option<&Loss>,
) -> Result<Numbers, EngineError> {
    let why = match loss {
        Some(loss) => loss.what(),
        None => "nothing proves one: whoever started says so".to_owned(),
    };
    log::error!("a loss is accepted, as --accept-loss says: {why}");
    let mut numbers = Numbers::default();
    let database = spool.store.path().join(DATABASE);
    let copy = spool.store.path().join(COPY);
    SledStore::remove(&copy)?;
    let is_whole = match read_all(fs, &spool.journal) {
        Err(JournalError::Damaged { .. }) => false,
        read => read.map(|()| true)?,
    };
    let kept = match clean.filter(|_| !is_whole) {
        Some(clean) => {
            SledStore::copy(&database, &copy)?;
            let end = End::of(fs, &spool.journal)?;
            let open = OpenMoves {
                moves: clean.moves,
                finished: end.map_or(0, |end| end.counters.group),
                times: clean.times.into_iter().collect(),
            };
            Some((SledStore::open(&copy)?, open))
        }
        None => None,
    };
    let truth = match &kept {
        Some((store, open)) => Truth::Store(store, open.clone()),
        None => Truth::Journal,
    };
    let identity = random_name();
    let next = Next {
        identity: &identity,
        above: witnesses.highest(),
        changes: vec![(keys::LOSS.to_owned(), Some(to_json(&why)?))],
    };
    let renewed = renew::begin_again(fs, &spool.journal, truth, next, &mut |change| {
        numbers.take(change);
    })?;
    match (&kept, &renewed.ended) {
        (Some(_), _) => {
            log::error!("what is known is as the store has it, which was left by a clean stop");
        }
        (None, Some(ended)) => {
            log::error!(
                "what the journal holds after this is forgotten: {}",
                ended.place()
            );
        }
        (None, None) => {}
    }
    if let Some(aside) = &renewed.set_aside {
        log::error!(
            "the files of the journal so far are kept in {} and take no part any more",
            aside.display()
        );
    }
    let is_kept = kept.is_some();
    drop(kept);
    SledStore::remove(&copy)?;
    if !is_kept {
        numbers.of_lost_store(&database);
    }
    Ok(numbers)
}

impl Engine {
    /// Numbers reports and batches above all that may have left, and says in the journal why.
    pub(super) fn number_above(
        &mut self,
        mut numbers: Numbers,
        why: &str,
    ) -> Result<(), EngineError> {
        let cursors = numbers.of_store(&*self.store)?;
        let above = numbers.above(self.now());
        // A report that is known may have had further versions, which left under its number: it gets another one.
        let what = "reports are numbered anew after a loss";
        let mut given: BTreeMap<FacilityId, u64> = BTreeMap::new();
        let mut renumbered = Vec::new();
        let mut reports = Vec::new();
        self.store.scan(&keys::reports(None), &mut |key, _| {
            reports.push(key.to_owned());
            true
        })?;
        for key in reports {
            let Some(mut report) = PendingChanges::new(&*self.store).get::<Report>(&key)? else {
                continue;
            };
            let last = given.entry(report.facility.clone()).or_insert(above);
            *last += 1;
            report.number = *last;
            renumbered.push((key, Some(to_json(&report)?)));
            if renumbered.len() == self.config.intake.group {
                self.record(what, std::mem::take(&mut renumbered))?;
            }
        }
        self.record(what, renumbered)?;
        let mut changes = vec![
            (keys::NUMBERS.to_owned(), Some(to_json(&above)?)),
            (keys::LOSS.to_owned(), None),
        ];
        for (key, cursor) in cursors {
            let facility = FacilityId::new(keys::last_word(&key));
            let cursor = Cursor {
                reports: given.get(&facility).copied().unwrap_or(above),
                batches: above,
                ..cursor
            };
            changes.push((key, Some(to_json(&cursor)?)));
        }
        log::error!("reports and batches are numbered above {above} from now on");
        self.record(&format!("a loss was accepted: {why}"), changes)
    }
}

/// The highest numbers that reports and batches are known to have had before a loss.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    highest: u64,
}

impl Numbers {
    /// What the store has of each facility.
    fn of_store(&mut self, store: &dyn Store) -> Result<Vec<(String, Cursor)>, EngineError> {
        let mut cursors = Vec::new();
        store.scan(keys::CURSORS, &mut |key, value| {
            if let Ok(cursor) = serde_json::from_slice::<Cursor>(value) {
                self.highest = self.highest.max(cursor.reports).max(cursor.batches);
                cursors.push((key.to_owned(), cursor));
            }
            true
        })?;
        Ok(cursors)
    }

    /// What a change tells that counts no more.
    fn take(&mut self, (key, value): &KeyChange) {
        let cursor = value.as_deref().filter(|_| key.starts_with(keys::CURSORS));
        let cursor = cursor.map(|value| serde_json::from_str::<Cursor>(value.get()));
        if let Some(Ok(cursor)) = cursor {
            self.highest = self.highest.max(cursor.reports).max(cursor.batches);
        }
    }

    /// The same of a database that is about to be removed, as far as it can be read.
    fn of_lost_store(&mut self, database: &Path) {
        if !database.is_dir() {
            return;
        }
        let read = SledStore::open(database)
            .map_err(EngineError::from)
            .and_then(|store| self.of_store(&store));
        if let Err(error) = read {
            log::warn!("the former store tells no numbers: {error}");
        }
    }

    /// A number that none of a former journal can have reached: they begin at 1, and the seconds since 1970 outrun
    /// them.
    fn above(&self, now: chrono::DateTime<chrono::Utc>) -> u64 {
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        seconds.max(self.highest.saturating_add(1))
    }
}
