//! What is going on, for people and for monitoring: the page, the same as JSON, metrics, and the local socket.
//!
//! The engine and the last look at the inboxes give the [`Figures`], which cost nothing; [`Status::gather`] adds what
//! the store and the `error/` folders know, and [`publish`] writes all of it into the spool's `status/`.

pub mod control;
mod listener;
mod metrics;
mod page;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use walkdir::WalkDir;

use crate::config::Config;
use crate::engine::arrivals::Swept;
use crate::engine::{Counts, Engine, FreeSpace, Held, Totals, place_name};
use crate::model::outcome::Reason;
use crate::model::session::{Session, SessionState};
use crate::model::view::{View, ViewError};
use crate::model::visible::in_json;
use crate::spool::finish::{ERROR, SIDECAR};
use crate::spool::fs::{Dir, Fs, FsError};
use crate::store::{Overlay, Store, keys};

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
    backlog: BTreeMap<String, usize>,
    strange: BTreeMap<String, usize>,
    unreachable: BTreeMap<String, String>,
    held_back: BTreeMap<String, String>,
    moves_waiting: usize,
    claims_waiting: usize,
    free_space: Vec<FreeSpace>,
    intake_waits: Option<String>,
}

impl Figures {
    /// As things stand.
    pub fn of(
        engine: &Engine,
        swept: &Swept,
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
            backlog: swept.backlog.clone(),
            strange: swept.strange.clone(),
            unreachable: engine
                .unreachable()
                .iter()
                .map(|(id, hold)| (id.clone(), hold.cause.clone()))
                .collect(),
            // The last of a place wins: what holds its files.
            held_back: engine
                .holds()
                .into_iter()
                .filter(|(_, hold)| hold.held != Held::Everything)
                .map(|(place, hold)| (place_name(&place).to_owned(), hold.cause))
                .chain(
                    engine
                        .held_back()
                        .into_iter()
                        .map(|(place, hold)| (place_name(&place).to_owned(), hold.cause)),
                )
                .collect(),
            moves_waiting: engine.moves_waiting(),
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
    pub folders: Vec<Folder>,
    /// The last files that were refused and still lie in `error/`, the newest first.
    pub errors: Vec<Refused>,
    /// The sessions to come.
    pub sessions: Vec<NextSession>,
    /// What is free.
    pub free_space: Vec<FreeSpace>,
    /// How many moves could not be done yet.
    pub moves_waiting: usize,
    /// How many files are claimed and could not be read yet.
    pub claims_waiting: usize,
    #[serde(skip)]
    refused_by_station: BTreeMap<(String, Reason), u64>,
}

/// A facility's folder, or the desk's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Folder {
    /// The facility's id, or `desk`.
    pub id: String,
    /// What it is called, where names are shown.
    pub name: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// Why it cannot be reached, if that is so.
    pub problem: Option<String>,
    /// Why its files wait though it can be reached, if that is so.
    pub waits: Option<String>,
    /// How many files wait in its inbox.
    pub backlog: usize,
    /// How many links, pipes and the like lie in its inbox, which are never taken in.
    pub strange: usize,
    /// How many refused files and messages lie in its `error/`.
    pub errors: usize,
    /// How many report versions wait for the next batch; the desk has none.
    pub reports_waiting: Option<u64>,
    /// How many messages ended how, since the start.
    pub totals: Totals,
}

/// A refused file, as its sidecar says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
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
    /// Adds to the figures what the store and the folders of refused files know.
    pub fn gather(figures: &Figures, store: &dyn Store) -> Result<Self, ViewError> {
        let config = &*figures.config;
        let view = Overlay::new(store);
        let mut sidecars = Vec::new();
        let mut folders = vec![folder(
            figures,
            "desk",
            None,
            config.spool.join("desk"),
            &mut sidecars,
        )];
        for facility in &config.facilities {
            let cursor = view.cursor(&facility.id)?;
            let mut shown = folder(
                figures,
                facility.id.as_str(),
                config.status.names.then(|| facility.name.clone()),
                facility.dir.clone(),
                &mut sidecars,
            );
            shown.reports_waiting = Some(cursor.versions.saturating_sub(cursor.delivered));
            folders.push(shown);
        }
        sidecars.sort_by(|a, b| b.cmp(a));
        let errors = sidecars
            .iter()
            .take(SHOWN)
            .map(|(_, path)| refused(path, config.status.names));
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
            errors: errors.collect(),
            sessions: next_sessions(&view, config)?,
            free_space: figures.free_space.clone(),
            moves_waiting: figures.moves_waiting,
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
    id: &str,
    name: Option<String>,
    path: PathBuf,
    sidecars: &mut Vec<(SystemTime, PathBuf)>,
) -> Folder {
    let count = |counts: &BTreeMap<String, usize>| counts.get(id).copied().unwrap_or_default();
    let before = sidecars.len();
    sidecars.extend(sidecars_in(&path.join(ERROR)));
    Folder {
        id: id.to_owned(),
        name,
        path,
        problem: figures.unreachable.get(id).cloned(),
        waits: figures.held_back.get(id).cloned(),
        backlog: count(&figures.backlog),
        strange: count(&figures.strange),
        errors: sidecars.len() - before,
        reports_waiting: None,
        totals: figures.counts.totals.get(id).copied().unwrap_or_default(),
    }
}

fn sidecars_in(folder: &Path) -> impl Iterator<Item = (SystemTime, PathBuf)> {
    WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name().as_encoded_bytes();
            entry.file_type().is_file() && name.ends_with(SIDECAR.as_bytes())
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.into_path())))
}

fn refused(sidecar: &Path, names: bool) -> Refused {
    let read = std::fs::read(sidecar).ok();
    let said: Value = read
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let text = |key: &str| said[key].as_str().map(str::to_owned);
    let file = sidecar.to_string_lossy();
    let file = file.strip_suffix(SIDECAR).unwrap_or(&file);
    Refused {
        time: text("time"),
        facility: text("facility"),
        reason: text("reason"),
        place: text("where"),
        message_type: text("message_type"),
        case: text("case"),
        next: text("next"),
        message: text("message").filter(|_| names),
        file: names.then(|| file.to_owned()),
    }
}

fn next_sessions(view: &Overlay<'_>, config: &Config) -> Result<Vec<NextSession>, ViewError> {
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
    use crate::engine::OpenStore;
    use crate::engine::arrivals::Arrivals;

    /// An engine with a refused file whose sidecar and name say too much, and with links in the inbox.
    fn gathered(names: bool) -> (tempfile::TempDir, Engine, Status) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::demo(&folder.path().join("spool"));
        config.status.names = names;
        config.facilities[0].name = "Hôpital <Démo>".to_owned();
        let dir = config.facilities[0].dir.clone();
        let engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
        let sidecar = serde_json::json!({
            "time": "2025-04-01T12:00:00Z", "facility": "demo", "reason": "invalid-phone", "where": "PID-13.1",
            "message": "DURAND's phone is no number.", "value": "DURAND", "case": "59384", "next": "Correct it.",
        });
        std::fs::write(dir.join("error/DURAND.hl7"), "MSH").unwrap();
        std::fs::write(dir.join("error/DURAND.hl7.error.json"), sidecar.to_string()).unwrap();
        std::fs::write(dir.join("inbox/waiting.hl7"), "MSH").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("inbox/link.hl7")).unwrap();
        let swept = engine.sweep_all(&mut Arrivals::default());
        let mut figures = Figures::of(&engine, &swept, Utc::now(), Utc::now(), true);
        figures
            .unreachable
            .insert("demo".to_owned(), "its mount is gone".to_owned());
        let problem = "cannot move a file to: no room".to_owned();
        figures.held_back.insert("desk".to_owned(), problem);
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
    fn what_is_written_can_be_read_again() {
        let (_folder, _engine, status) = gathered(false);
        let json = serde_json::to_value(&status).unwrap();
        let read: Status = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
        assert_eq!(json["folders"][1]["backlog"], 1);
        assert_eq!(json["folders"][0]["reports_waiting"], Value::Null);
    }
}
