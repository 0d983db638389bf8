//! Opens a spool, whatever state the last process left it in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::sync::Arc;

use super::arrivals::ClaimRefusals;
use super::commit::Committer;
use super::hold::Holds;
use super::hold::PATIENCE_WITH_THE_DESK;
use super::loss::{self, Numbers};
use super::reached::StoreWitness;
use super::turns::Turns;
use super::upkeep::TimeCount;
use super::witness::{self, CLEAN, Witnesses};
use super::{Counts, Engine, EngineError};
use crate::config::Config;
use crate::journal::{Journal, JournalError, OpenMoves};
use crate::model::owner::Owner;
use crate::random::random_name;
use crate::spool::claim;
use crate::spool::destinations::{NameReservations, OpenFolders};
use crate::spool::doubt::OpenFileDoubts;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::spool::layout::Spool;
use crate::store::{DATABASE, PendingChanges, SledStore, Store, apply_all, keys};
use crate::worklist::Worklists;

/// How a database is opened, and what becomes of one that is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStore {
    /// In sled, below `store/`.
    Sled,
    /// In memory, made from the journal at every start: for tests and checks.
    Memory,
}

/// What a start is to do beside opening the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Go on though what the journal held is lost, whether or not something proves it (`--accept-loss`).
    pub accept_loss: bool,
    /// Make the store again, however good it is.
    pub rebuild: bool,
}

impl Engine {
    /// The same, telling `watch` the number of each group that is read back from the journal.
    ///
    /// # Errors
    /// [`EngineError::Loss`] where something proves that what the journal held is lost: nothing was changed.
    pub fn open_as(
        config: Arc<Config>,
        fs: Fs,
        open_store: OpenStore,
        start: StartOptions,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        let mut loss = match witness::look(&fs, &config) {
            Err(EngineError::Loss(loss)) if start.accept_loss => Some(loss),
            found => found.map(|_| None)?,
        };
        let spool = Spool::open(&fs, &config.spool)?;
        let witnesses = Witnesses::read(&fs, &config, Some(&spool.root))?;
        let (end, proven) = witnesses.judge(&fs, &config, &spool)?;
        match proven {
            Some(proven) if start.accept_loss => loss = Some(proven),
            Some(proven) => return Err(proven.into()),
            None => {}
        }
        if !start.accept_loss {
            witnesses.say_if_copied(end.as_ref());
        }
        let database = spool.store.path().join(DATABASE);
        let clean = witnesses.clean.clone().flatten();
        let was_clean = clean.is_some() && !start.accept_loss;
        let clean = clean.filter(|clean| {
            // Where somebody removed the database and left this, nothing is there to be trusted.
            open_store == OpenStore::Sled
                && database.is_dir()
                && end
                    .as_ref()
                    .is_some_and(|end| end.position == clean.position)
        });
        let mut numbers = Numbers::default();
        let clean = match (start.accept_loss, clean) {
            (true, clean) => {
                numbers = loss::accept(&fs, &spool, &witnesses, clean, loss.as_ref())?;
                None
            }
            (false, Some(_)) if start.rebuild => {
                // A store that is good is given up only for a journal that can be read whole.
                crate::journal::read_all(&fs, &spool.journal)?;
                None
            }
            (false, clean) => clean,
        };
        let trusted = clean.is_some();
        if witnesses.clean.is_some() {
            // Durably, before anything else is touched.
            fs.remove(&spool.store, OsStr::new(CLEAN))?;
            fs.sync_dir(&spool.store).map_err(EngineError::Sync)?;
        }
        let store: Arc<dyn Store> = match open_store {
            OpenStore::Sled => {
                if !trusted {
                    SledStore::remove(&database)?;
                }
                Arc::new(SledStore::open(&database)?)
            }
            OpenStore::Memory => Arc::new(crate::store::MemoryStore::default()),
        };
        let mut open = OpenMoves::default();
        let journal = Journal::open(&fs, &spool.journal, trusted, &mut |(counters, entries)| {
            for entry in entries {
                apply_all(&*store, &open.follow(&counters, entry))
                    .map_err(|error| JournalError::Reader(error.to_string()))?;
            }
            watch(counters.group);
            Ok(())
        })?;
        let counters = journal.counters();
        let counting = TimeCount::of(&*store, &fs, counters)?;
        let worklists = Arc::new(Worklists::new(Arc::clone(&config), counting.ages.clone()));
        let left_at = clean.as_ref().map(|clean| &clean.position);
        worklists.take_left(&fs, &spool.store, &spool.desk.root, left_at)?;
        if counting.was_set {
            // What was a thing of the past for a wrong clock may not be one.
            worklists.touch_all();
        }
        let own_devices = Arc::new(own_devices(&fs, &spool)?);
        if let Some(clean) = clean {
            open.moves = clean.moves;
            open.times = clean.times.into_iter().collect();
            open.finished = counters.group;
        }
        let mut engine = Self {
            identity: journal.identity().to_owned(),
            awaited: None,
            facility_folders: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            names: NameReservations::default(),
            folders: OpenFolders::default(),
            order: counters.order,
            message: counters.message,
            sealed_message: counters.message,
            run: random_name(),
            prepared: 0,
            waiting: VecDeque::new(),
            failing: BTreeSet::new(),
            tried: BTreeSet::new(),
            holds: Holds::default(),
            all_held: None,
            patience: PATIENCE_WITH_THE_DESK,
            turns: Turns::default(),
            ahead: None,
            given_way: BTreeMap::new(),
            is_desk_unlisted: false,
            again: VecDeque::new(),
            suspects: VecDeque::new(),
            doubts: OpenFileDoubts::default(),
            silent_on_writers: BTreeMap::new(),
            roots: Arc::default(),
            committer: Committer::new(
                fs.clone(),
                journal,
                Arc::clone(&store),
                open,
                Arc::clone(&own_devices),
                StoreWitness::begin(&fs, &spool.store, counters)?,
            )?,
            own_devices,
            in_flight: None,
            counts: Counts::default(),
            worklists,
            claimed: BTreeMap::new(),
            unclaimed: ClaimRefusals::default(),
            notices: None,
            refused_looked_at: String::new(),
            was_set: counting.was_set,
            ages: counting.ages,
            counted: counting.counted,
            was_clean,
            adopts: start.accept_loss,
            stop: Arc::default(),
            config,
            fs,
            spool,
            store,
        };
        let accepted: Option<String> = PendingChanges::new(&*engine.store).get(keys::LOSS)?;
        if let Some(why) = accepted {
            // Or one that a process which ended did not come to the end of.
            engine.number_above(numbers, &why)?;
        }
        witness::mark(&engine.fs, &engine.spool, &engine.identity, &witnesses)?;
        if counting.is_new {
            engine.count_from_beginning()?;
        }
        engine.upgrade()?;
        engine.open_facilities()?;
        engine.adopts = false;
        engine.retry_moves();
        engine.find_claims()?;
        engine.remove_leftovers();
        if let Err(error) = engine.remove_handed_over(super::handed::BEFORE_ITS_COMMAND) {
            log::error!(
                "PDFs without a command stay for now: {}",
                error.without_path()
            );
        }
        match engine.remember_former_refused() {
            Err(error) if error.is_passing() => log::error!(
                "what was refused by an older version is not listed before the next start: {}",
                error.without_path()
            ),
            remembered => remembered?,
        }
        let left_out = engine.left_out()?;
        engine.say_left_out(&left_out);
        Ok(engine)
    }

    /// Removes output that was prepared for a group which never counted; what stays is removed at the next start.
    fn remove_leftovers(&self) {
        let wanted: BTreeSet<(Owner, String)> = self
            .committer
            .moves()
            .iter()
            .map(|(_, ordered)| (ordered.place.clone(), ordered.from.clone()))
            .collect();
        let mut places = vec![(Owner::Documents, self.spool.documents.clone(), "")];
        for folders in self.owner_folders() {
            places.push((folders.owner.clone(), folders.work.clone(), "work/"));
        }
        for (place, dir, below) in places {
            let removed = self.fs.list(&dir).and_then(|entries| {
                for entry in entries {
                    let Some(name) = entry.name.to_str() else {
                        continue;
                    };
                    let is_wanted = wanted.contains(&(place.clone(), format!("{below}{name}")));
                    if entry.is_file && name.starts_with(claim::PREPARED) && !is_wanted {
                        self.fs.remove(&dir, &entry.name)?;
                    }
                }
                Ok(())
            });
            if let Err(error) = removed {
                log::error!("what was left of a group stays for now: {error}");
            }
        }
    }
}

/// The file systems that everybody needs, each with a folder on it.
fn own_devices(fs: &Fs, spool: &Spool) -> Result<BTreeMap<u64, Dir>, FsError> {
    let own = [
        &spool.journal,
        &spool.store,
        &spool.documents,
        &spool.root,
        &spool.desk.root,
    ];
    let mut devices = BTreeMap::new();
    for dir in own {
        devices.entry(fs.device(dir)?).or_insert(dir.clone());
    }
    Ok(devices)
}
