//! What is going on, for people and for monitoring: the page, the same as JSON, metrics, and the local socket.
//!
//! The engine and the last look at the inboxes give the [`Figures`], which cost nothing; [`Status::gather`] adds what
//! the store knows, and [`publish`] writes all of it into the spool's `status/`.

pub mod control;
mod listener;
mod metrics;
mod page;
mod request;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::arrivals::{BlockedFolder, Inbox, SweepResult};
use crate::engine::{Counts, Engine, FreeSpace, Hold, HoldScope, OpenMove, Totals, owner_name};
use crate::listing::errors;
use crate::model::outcome::Reason;
use crate::model::session::{Session, SessionState};
use crate::model::view::{View, ViewError};
use crate::model::visible::in_json;
use crate::spool::claim;
use crate::spool::fs::{Dir, Fs, FsError};
use crate::store::{PendingChanges, Store, keys};

/// The page for people.
pub const PAGE: &str = "index.html";
/// The same for programs.
pub const JSON: &str = "status.json";
/// For the node exporter's textfile collector.
pub const METRICS: &str = "rcpspool.prom";

/// So many refused files and sessions are shown.
const SHOWN: usize = 10;

/// What the engine and the last look at the inboxes know.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Whether files are taken in as they come; else a command looks.
    pub running: bool,
    started: DateTime<Utc>,
    last_sweep: DateTime<Utc>,
    counts: Counts,
    inboxes: BTreeMap<String, Inbox>,
    backlog: BTreeMap<String, usize>,
    in_hand: BTreeMap<String, usize>,
    /// What is held at each place, what holds most first.
    holds: BTreeMap<String, Vec<Hold>>,
    waits_for_the_desk: bool,
    moves_waiting: usize,
    moves: Vec<OpenMove>,
    claims_waiting: usize,
    free_space: Vec<FreeSpace>,
    intake_waits: Option<String>,
}

impl Figures {
    /// As things stand.
    pub fn of(
        engine: &Engine,
        swept: &SweepResult,
        started: DateTime<Utc>,
        last_sweep: DateTime<Utc>,
        running: bool,
    ) -> Self {
        Self {
            config: Arc::clone(engine.config()),
            running,
            started,
            last_sweep,
            counts: engine.counts().clone(),
            inboxes: swept.inboxes.clone(),
            backlog: engine
                .owner_folders()
                .filter_map(|folders| {
                    let inbox = swept.inboxes.get(folders.name())?;
                    let backlog = engine.backlog(&folders.owner, inbox);
                    Some((folders.name().to_owned(), backlog))
                })
                .collect(),
            in_hand: engine
                .in_hand()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            holds: holds_by_place(engine),
            waits_for_the_desk: engine.do_all_wait_for_the_desk(),
            moves_waiting: engine.moves_waiting(),
            moves: engine.open_moves(),
            claims_waiting: engine.claims_waiting(),
            free_space: engine.free_space(),
            intake_waits: match engine.lack_of_space() {
                Ok(None) => engine.all_held().map(|hold| hold.cause.clone()),
                Ok(lack) => lack,
                Err(error) => Some(error.without_path()),
            },
        }
    }
}

fn holds_by_place(engine: &Engine) -> BTreeMap<String, Vec<Hold>> {
    let mut by_place: BTreeMap<String, Vec<Hold>> = BTreeMap::new();
    for (place, hold) in engine.holds() {
        let of_place = by_place.entry(owner_name(&place).to_owned());
        of_place.or_default().push(hold);
    }
    for of_place in by_place.values_mut() {
        of_place.sort_by_key(|hold| hold.held);
    }
    by_place
}

/// Everything the page shows. Ids only, unless `status.names` asks for more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Whether a daemon takes files in as they come.
    pub running: bool,
    /// Of the program.
    pub version: String,
    /// Since when the counts count.
    pub started: DateTime<Utc>,
    /// As of when all this is.
    pub time: DateTime<Utc>,
    /// When the inboxes were last looked at.
    pub last_sweep: DateTime<Utc>,
    /// Why nothing is taken in at present, if that is so.
    pub intake_waits: Option<String>,
    /// How many messages ended how, since `started`.
    pub totals: Totals,
    /// The refused ones by reason, since `started`.
    pub refused: BTreeMap<String, u64>,
    /// The desk, and the facilities.
    pub folders: Vec<FolderStatus>,
    /// The last files that were refused and still lie in `error/`, the newest first.
    pub errors: Vec<RefusedFileStatus>,
    /// Those of them of which a later message about the same was taken in since.
    #[serde(default)]
    pub superseded: Vec<RefusedFileStatus>,
    /// The sessions to come.
    pub sessions: Vec<NextSession>,
    /// What is free.
    pub free_space: Vec<FreeSpace>,
    /// How many moves could not be done yet.
    pub moves_waiting: usize,
    /// The same by place: why, and since when.
    #[serde(default)]
    pub moves: Vec<OpenMove>,
    /// How many files are claimed and could not be read yet.
    pub claims_waiting: usize,
    #[serde(skip)]
    refused_by_station: BTreeMap<(String, Reason), u64>,
}

/// A facility's folder, or the desk's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FolderStatus {
    /// The facility's id, or `desk`.
    pub id: String,
    /// What it is called, where names are shown.
    pub name: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// Why it cannot be reached, if that is so.
    pub problem: Option<String>,
    /// Why something of it waits though it can be reached, if that is so.
    pub waits: Option<String>,
    /// All that is held there, each with its cause, since when, and what to do.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// How many files wait in its inbox; nothing while it cannot be looked at.
    pub backlog: Option<usize>,
    /// How many of them may still be written to, or wait for one that may.
    #[serde(default)]
    pub settling: usize,
    /// How many of these are newer than our clock.
    #[serde(default)]
    pub newer_than_clock: usize,
    /// How many files are taken out of its inbox and not finished.
    #[serde(default)]
    pub in_hand: usize,
    /// How many of all these wait since something failed: in the whole place, or in their folder.
    #[serde(default)]
    pub held_back: usize,
    /// How many folders in its inbox hold files that cannot be had.
    #[serde(default)]
    pub blocked_folders: usize,
    /// What is wrong with them, in sentences.
    #[serde(default)]
    pub blocked: Vec<BlockedStatus>,
    /// How many links, pipes and the like lie in its inbox, which are never taken in.
    pub strange: usize,
    /// How many refused files and messages lie in its `error/`; one that somebody removed counts for a while.
    pub errors: u64,
    /// How many report versions wait for the next batch; the desk has none.
    pub reports_waiting: Option<u64>,
    /// How many completed cases have a report that shows what is another by now; the desk has none.
    #[serde(default)]
    pub reports_outdated: Option<usize>,
    /// How many messages ended how, since the start.
    pub totals: Totals,
}

/// What is wrong with folders of an inbox; where names are shown, with the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedStatus {
    /// A sentence.
    pub problem: String,
    /// Since when, for the first of them.
    pub since: DateTime<Utc>,
    /// What to do.
    pub next: String,
    /// The first of them, below the inbox, where names are shown: they may be called after patients.
    pub folder: Option<String>,
}

/// A refused file, as its sidecar says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedFileStatus {
    /// When.
    pub time: Option<String>,
    /// The facility's id, or `desk`.
    pub facility: Option<String>,
    /// The code.
    pub reason: Option<String>,
    /// Where in the message.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// Of the message.
    pub message_type: Option<String>,
    /// The case it was about.
    pub case: Option<String>,
    /// What to do.
    pub next: Option<String>,
    /// The sentence, where names are shown: it may quote the message.
    pub message: Option<String>,
    /// The file, where names are shown: it may be called after the patient.
    pub file: Option<String>,
}

/// A session to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextSession {
    /// Its id.
    pub id: String,
    /// Its date.
    pub date: NaiveDate,
    /// When it starts.
    pub start: Option<String>,
    /// What it is called, where names are shown.
    pub label: Option<String>,
    /// How many cases it has.
    pub cases: usize,
}

impl Status {
    /// Adds to the figures what the store knows.
    pub fn gather(figures: &Figures, store: &dyn Store) -> Result<Self, ViewError> {
        let config = &*figures.config;
        let view = PendingChanges::new(store);
        let mut folders = vec![folder(
            figures,
            store,
            "desk",
            None,
            config.spool.join("desk"),
        )?];
        for facility in &config.facilities {
            let cursor = view.cursor(&facility.id)?;
            let mut shown = folder(
                figures,
                store,
                facility.id.as_str(),
                config.status.names.then(|| facility.name.clone()),
                facility.dir.clone(),
            )?;
            shown.reports_waiting = Some(cursor.waiting());
            let outdated = view.keys(&keys::outdated_reports(&facility.id))?;
            shown.reports_outdated = Some(outdated.len());
            folders.push(shown);
        }
        let is_reachable = |owner: &str| {
            let holds = figures.holds.get(owner);
            holds.is_none_or(|it| it.iter().all(|hold| hold.held != HoldScope::Everything))
        };
        let errors = errors::newest(store, config, &is_reachable, SHOWN)?;
        let (superseded, errors): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(|newest| newest.is_superseded);
        let shown = |newest: Vec<errors::NewestRefusal>| -> Vec<RefusedFileStatus> {
            let newest = newest.into_iter();
            newest.map(|it| refused(it, config.status.names)).collect()
        };
        let mut refused_by_reason: BTreeMap<String, u64> = BTreeMap::new();
        for ((_, reason), count) in &figures.counts.refused {
            *refused_by_reason
                .entry(reason.code().to_owned())
                .or_default() += count;
        }
        Ok(Self {
            running: figures.running,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: figures.started,
            time: Utc::now(),
            last_sweep: figures.last_sweep,
            intake_waits: figures.intake_waits.clone(),
            totals: figures.counts.total(),
            refused: refused_by_reason,
            folders,
            errors: shown(errors),
            superseded: shown(superseded),
            sessions: next_sessions(&view, config)?,
            free_space: figures.free_space.clone(),
            moves_waiting: figures.moves_waiting,
            moves: figures.moves.clone(),
            claims_waiting: figures.claims_waiting,
            refused_by_station: figures.counts.refused.clone(),
        })
    }
}

/// Writes page, JSON and metrics into `status/`.
pub fn publish(fs: &Fs, dir: &Dir, status: &Status) -> Result<(), FsError> {
    let json = serde_json::to_string_pretty(status).unwrap_or_default();
    fs.replace(dir, OsStr::new(JSON), in_json(&json).as_bytes())?;
    fs.replace(dir, OsStr::new(PAGE), page::render(status).as_bytes())?;
    fs.replace(dir, OsStr::new(METRICS), metrics::render(status).as_bytes())
}

fn folder(
    figures: &Figures,
    store: &dyn Store,
    id: &str,
    name: Option<String>,
    path: PathBuf,
) -> Result<FolderStatus, ViewError> {
    let backlog = figures.backlog.get(id).copied();
    let inbox = figures.inboxes.get(id).cloned().unwrap_or_default();
    let in_hand = figures.in_hand.get(id).copied().unwrap_or_default();
    let holds = figures.holds.get(id).cloned().unwrap_or_default();
    let cause = |is_it: &dyn Fn(HoldScope) -> bool| {
        let hold = holds.iter().find(|hold| is_it(hold.held));
        hold.map(|hold| hold.cause.clone())
    };
    let problem = cause(&|held| held == HoldScope::Everything);
    let is_held = figures.waits_for_the_desk
        || holds
            .iter()
            .any(|hold| matches!(hold.held, HoldScope::Everything | HoldScope::Files));
    let settling = inbox.settling.min(backlog.unwrap_or_default());
    let held_back = match is_held {
        true => backlog.unwrap_or_default() - settling + in_hand,
        false => inbox.stuck,
    };
    let names = figures.config.status.names;
    let blocked = blocked_sentences(&inbox.blocked)
        .into_iter()
        .map(|(problem, first)| BlockedStatus {
            problem,
            since: first.since,
            next: first.hindrance.next_step().to_owned(),
            folder: names.then(|| claim::to_text(&first.folder)),
        });
    Ok(FolderStatus {
        id: id.to_owned(),
        name,
        path,
        waits: cause(&|held| held != HoldScope::Everything).filter(|_| problem.is_none()),
        problem,
        holds,
        backlog,
        settling,
        newer_than_clock: inbox.newer_than_clock,
        in_hand,
        held_back,
        blocked_folders: inbox.blocked.len(),
        blocked: blocked.collect(),
        strange: inbox.strange,
        errors: errors::count(store, id)?,
        reports_waiting: None,
        reports_outdated: None,
        totals: figures.counts.totals.get(id).copied().unwrap_or_default(),
    })
}

/// What waits at a place, to begin a sentence.
pub fn what_waits(held: HoldScope, place: &str) -> String {
    match held {
        HoldScope::Everything => format!("{place} cannot be reached"),
        HoldScope::Files => format!("the files of {place} wait"),
        HoldScope::SomeFiles => format!("some files of {place} wait"),
        HoldScope::Reports => format!("the reports of {place} wait"),
        HoldScope::Moves => format!("what was taken in of {place} waits to be moved into place"),
    }
}

/// Why files whose modification time is ahead of our clock wait, if there are any.
pub fn newer_sentence(count: u64) -> Option<String> {
    let files = match count {
        0 => return None,
        1 => "1 file is newer than our clock, and is".to_owned(),
        count => format!("{count} files are newer than our clock, and are each"),
    };
    Some(format!(
        "{files} taken in once nothing changed for intake.settle. Look at the clock of the sender, and at that of this machine."
    ))
}

/// What is wrong with the folders of an inbox: a sentence for each kind, with the first folder of it. The folders are
/// not named, since they may be called after patients.
pub fn blocked_sentences(blocked: &[BlockedFolder]) -> Vec<(String, &BlockedFolder)> {
    let mut kinds: BTreeMap<&str, (usize, &BlockedFolder)> = BTreeMap::new();
    for folder in blocked {
        let kind = kinds
            .entry(folder.hindrance.reason())
            .or_insert((0, folder));
        kind.0 += 1;
    }
    kinds
        .into_values()
        .map(|(count, first)| {
            let sentence = first.hindrance.sentence();
            let sentence = match count {
                1 => format!("a folder of the inbox {sentence}"),
                count => format!("{count} folders of the inbox, of which each {sentence}"),
            };
            (sentence, first)
        })
        .collect()
}

fn refused(newest: errors::NewestRefusal, names: bool) -> RefusedFileStatus {
    let said = newest.record.sidecar;
    let text = |key: &str| said[key].as_str().map(str::to_owned);
    RefusedFileStatus {
        time: text("time"),
        facility: Some(newest.owner),
        reason: text("reason"),
        place: text("where"),
        message_type: text("message_type"),
        case: text("case"),
        next: text("next"),
        message: text("message").filter(|_| names),
        file: names.then_some(newest.file),
    }
}

fn next_sessions(
    view: &PendingChanges<'_>,
    config: &Config,
) -> Result<Vec<NextSession>, ViewError> {
    let zone = config
        .facilities
        .first()
        .map_or(chrono_tz::Tz::UTC, |facility| facility.timezone);
    let today = Utc::now().with_timezone(&zone).date_naive();
    let mut sessions: Vec<Session> = view.all(keys::SESSIONS)?;
    sessions.retain(|session| session.state == SessionState::Planned && session.date >= today);
    sessions.sort_by(|a, b| (a.date, &a.start, &a.id).cmp(&(b.date, &b.start, &b.id)));
    sessions
        .into_iter()
        .take(SHOWN)
        .map(|session| {
            Ok(NextSession {
                cases: view.cases_of_session(&session.id)?.len(),
                id: session.id.to_string(),
                date: session.date,
                start: session.start,
                label: config.status.names.then_some(session.label),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::arrivals::Arrivals;
    use crate::engine::{Arrival, OpenStore};
    use crate::model::owner::Owner;

    /// An engine with a refused file whose name says too much, and with links in the inbox.
    fn gathered(names: bool) -> (tempfile::TempDir, Engine, Status) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::demo(&folder.path().join("spool"));
        config.status.names = names;
        config.facilities[0].name = "Hôpital <Démo>".to_owned();
        let dir = config.facilities[0].dir.clone();
        let mut engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
        let refused = "MSH|^~\\&|A|B|||20250401120000||SIU^S12|1|P|2.5\rSCH|59384|59384||||||||||^^^20250408\r\
                       PID|||1^^^^PI||MARTIN^JEANNE^^^^^L||19501104|F|||||061^PRN^CP\rAIL|1||^^^P\rAIP|1||10100094977\r";
        std::fs::write(dir.join("inbox/DURAND.hl7"), refused).unwrap();
        let arrival = Arrival {
            owner: Owner::Facility("demo".to_owned()),
            path: "DURAND.hl7".into(),
        };
        engine.take_in(vec![arrival]).unwrap();
        // What somebody puts there is no refusal of ours.
        let planted = serde_json::json!({ "facility": "planted", "reason": "malformed", "time": "2999-01-01T00:00:00Z" });
        std::fs::write(dir.join("error/y.hl7.error.json"), planted.to_string()).unwrap();
        std::fs::write(dir.join("inbox/waiting.hl7"), "MSH").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("inbox/link.hl7")).unwrap();
        let swept = engine.sweep_all(&mut Arrivals::default());
        let mut figures = Figures::of(&engine, &swept, Utc::now(), Utc::now(), true);
        let gone = Hold::new(HoldScope::Everything, "its mount is gone");
        figures.holds.insert("demo".to_owned(), vec![gone]);
        let problem = "cannot move a file to: no room";
        let held = Hold::new(HoldScope::Files, problem);
        figures.holds.insert("desk".to_owned(), vec![held]);
        figures
            .counts
            .refused
            .insert(("demo".to_owned(), Reason::InvalidPhone), 3);
        let status = Status::gather(&figures, &**engine.store()).unwrap();
        (folder, engine, status)
    }

    #[test]
    fn names_are_shown_only_where_that_is_wanted() {
        for names in [false, true] {
            let (_folder, engine, status) = gathered(names);
            publish(engine.fs(), engine.status_dir(), &status).unwrap();
            let dir = engine.status_dir().path();
            for file in [PAGE, JSON] {
                let text = std::fs::read_to_string(dir.join(file)).unwrap();
                assert_eq!(text.contains("DURAND"), names, "{text}");
                assert_eq!(text.contains("Hôpital"), names, "{text}");
                assert!(!text.contains("planted"), "{text}");
                for id in [
                    "invalid-phone",
                    "PID-13.1",
                    "59384",
                    "its mount is gone",
                    "no room",
                ] {
                    assert!(text.contains(id), "{id}: {text}");
                }
            }
            let metrics = std::fs::read_to_string(dir.join(METRICS)).unwrap();
            assert!(!metrics.contains("DURAND"));
            for line in [
                "rcpspool_backlog_files{facility=\"demo\"} 1",
                "rcpspool_strange_files{facility=\"demo\"} 1",
                "rcpspool_error_files{facility=\"demo\"} 1",
                "rcpspool_unreachable{facility=\"demo\"} 1",
                "rcpspool_unreachable_facilities 1",
                "rcpspool_held_back{facility=\"desk\"} 1",
                "rcpspool_held_back{facility=\"demo\"} 0",
                "rcpspool_blocked_folders{facility=\"demo\"} 0",
                "rcpspool_held_back_files{facility=\"demo\"} 0",
                "rcpspool_refused_total{facility=\"demo\",reason=\"invalid-phone\"} 3",
                "rcpspool_messages_total{facility=\"desk\",outcome=\"accepted\"} 0",
                "# EOF",
            ] {
                assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
            }
            let page = std::fs::read_to_string(dir.join(PAGE)).unwrap();
            assert!(!page.contains("<Démo>"), "what is shown is escaped");
            assert!(
                roxmltree::Document::parse(&well_formed(&page)).is_ok(),
                "{page}"
            );
            assert_eq!(
                std::fs::read_dir(dir).unwrap().count(),
                3,
                "nothing is left beside them"
            );
        }
    }

    /// The page as XML: its only elements without an end are those of the head.
    fn well_formed(page: &str) -> String {
        let page = page.replace("<!DOCTYPE html>", "");
        let head = page.split_once("<title>").unwrap();
        let opened = head.0.matches("<meta ").count();
        format!("{}{}<title>{}", head.0, "</meta>".repeat(opened), head.1)
    }

    #[test]
    fn what_was_corrected_stands_apart() {
        let (_folder, engine, mut status) = gathered(false);
        let shown = |status: &Status| {
            publish(engine.fs(), engine.status_dir(), status).unwrap();
            std::fs::read_to_string(engine.status_dir().path().join(PAGE)).unwrap()
        };
        assert!(!shown(&status).contains("corrected since"));
        status.superseded = std::mem::take(&mut status.errors);
        let page = shown(&status);
        let (before, after) = page
            .split_once("<h2>Refused, and corrected since</h2>")
            .unwrap();
        assert!(
            before.contains("Nothing that was not corrected since"),
            "{page}"
        );
        assert!(
            !before.contains("59384") && after.contains("59384"),
            "{page}"
        );
    }

    #[test]
    fn files_newer_than_the_clock_are_shown() {
        let (_folder, engine, mut status) = gathered(false);
        for (count, said) in [
            (0, ""),
            (1, "demo: 1 file is newer than our clock"),
            (7, "demo: 7 files are newer than our clock"),
        ] {
            status.folders[1].newer_than_clock = count;
            publish(engine.fs(), engine.status_dir(), &status).unwrap();
            let page = std::fs::read_to_string(engine.status_dir().path().join(PAGE)).unwrap();
            assert_eq!(page.contains("<th>Newer than clock</th>"), count > 0);
            assert_eq!(page.contains("newer than our clock"), count > 0);
            assert!(page.contains(said), "{page}");
        }
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let (_folder, _engine, status) = gathered(false);
        let json = serde_json::to_value(&status).unwrap();
        let read: Status = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
        assert_eq!(json["folders"][1]["backlog"], 1);
        assert_eq!(json["folders"][1]["reports_outdated"], 0);
        assert_eq!(
            json["folders"][0]["reports_waiting"],
            serde_json::Value::Null
        );
    }
}
