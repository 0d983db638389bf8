//! What was refused and still lies in an `error/` folder, as the store remembers it (interface.md 10, 12).

use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::Filter;
use crate::config::Config;
use crate::model::refused::{DiscardedFile, LaterMessage, Refusals, RefusedFile};
use crate::model::view::ViewError;
use crate::spool::claim;
use crate::spool::destinations::ERROR;
use crate::store::{PendingChanges, Store, keys};

/// Lies in `error/`, and somebody should do something about it.
pub const OPEN: &str = "open";
/// Lies in `error/`, and a later message about the same was taken in since.
pub const SUPERSEDED: &str = "superseded";
/// Was put away, to `done/`.
pub const DISCARDED: &str = "discarded";

/// The refused files, the oldest first: what the sidecar of each says, and `file`, its path, below the spool where it
/// lies there. In it a `%`, and what is no UTF-8, is written `%xx`.
///
/// Whose it is comes from the folder it lies in. One that somebody removed is left out, and one that was put away is
/// only listed where this state is asked for.
pub fn errors(
    store: &dyn Store,
    config: &Config,
    filter: &Filter,
) -> Result<Vec<Value>, ViewError> {
    let view = PendingChanges::new(store);
    let mut errors = Vec::new();
    for (owner, folder) in folders(config) {
        let is_asked_for = filter
            .facility
            .as_ref()
            .is_none_or(|it| it.as_str() == owner);
        if !is_asked_for {
            continue;
        }
        if filter.state.as_deref() == Some(DISCARDED) {
            let records: Vec<DiscardedFile> = view.all(&keys::discarded_of(owner))?;
            let above = folder.parent().unwrap_or(&folder);
            for discarded in records {
                let file = above.join(claim::from_text(&discarded.path));
                if is_there(&file) {
                    let mut error = row(discarded.record.sidecar, owner, &shown(config, &file));
                    let time = discarded.time.to_rfc3339_opts(SecondsFormat::Secs, true);
                    error["state"] = DISCARDED.into();
                    error["discarded"] = json!({ "time": time, "why": discarded.why });
                    error["next"] = Value::Null;
                    errors.push(error);
                }
            }
            continue;
        }
        let records: Vec<RefusedFile> = view.all(&keys::refused_of(owner))?;
        for record in records {
            let file = folder.join(claim::from_text(&record.file));
            if is_there(&file) {
                let by = superseded_by(&view, owner, &record)?;
                let state = if by.is_some() { SUPERSEDED } else { OPEN };
                if !filter.has_state(state) {
                    continue;
                }
                let mut error = row(record.sidecar, owner, &shown(config, &file));
                error["state"] = state.into();
                if let Some(by) = by {
                    let time = by.taken.to_rfc3339_opts(SecondsFormat::Secs, true);
                    error["superseded"] = json!({ "time": time, "file": by.file });
                    error["next"] = NEXT_IF_SUPERSEDED.into();
                }
                errors.push(error);
            }
        }
    }
    errors.sort_by_cached_key(|error| (text(error, "time"), text(error, "file")));
    Ok(errors)
}

/// What to do about a file that is superseded.
const NEXT_IF_SUPERSEDED: &str =
    "A later message about the same was taken in: discard this one (`rcpspool discard`).";

/// The last message that came after this refused file and says what its messages wanted to say, if each has one.
fn superseded_by(
    view: &PendingChanges<'_>,
    owner: &str,
    record: &RefusedFile,
) -> Result<Option<LaterMessage>, ViewError> {
    let mut last: Option<LaterMessage> = None;
    for about in &record.abouts {
        let known: Option<Refusals> = view.get(&keys::refusals_about(owner, &about.subject))?;
        let taken = known.and_then(|known| known.taken);
        let Some(taken) = taken.filter(|taken| taken.is_later(record, about)) else {
            return Ok(None);
        };
        if last
            .as_ref()
            .is_none_or(|last| last.sequence < taken.sequence)
        {
            last = Some(taken);
        }
    }
    Ok(last)
}

fn row(sidecar: Value, owner: &str, file: &str) -> Value {
    let mut row = sidecar;
    row["facility"] = owner.into();
    row["file"] = file.into();
    row
}

/// A refused file with whose it is and its path.
pub struct NewestRefusal {
    /// The facility's id, or `desk`.
    pub owner: String,
    /// Its path, as [`errors`] gives it.
    pub file: String,
    /// What is remembered of it.
    pub record: RefusedFile,
    /// Whether a later message about the same was taken in since.
    pub is_superseded: bool,
}

/// The files that were refused last and still lie in `error/`, the newest first, so many of those that are superseded
/// and of the others; of places that cannot be reached,
/// nobody looks whether they do.
pub fn newest(
    store: &dyn Store,
    config: &Config,
    is_reachable: &dyn Fn(&str) -> bool,
    count: usize,
) -> Result<Vec<NewestRefusal>, ViewError> {
    let view = PendingChanges::new(store);
    let folders = folders(config);
    let mut looked_at = Vec::new();
    // Somebody may have removed the last ones; those before them are found once the records of these are gone.
    let most = count.saturating_mul(10);
    store.scan(keys::REFUSED_NEWEST, &mut |_, value| {
        looked_at.extend(serde_json::from_slice::<String>(value).ok());
        looked_at.len() < most
    })?;
    let mut newest = Vec::new();
    let (mut open, mut superseded) = (0, 0);
    for key in looked_at {
        let owner = keys::owner_of_refused(&key);
        let folder = folders.iter().find(|(name, _)| *name == owner);
        let (Some((_, folder)), Some(record)) = (folder, view.get::<RefusedFile>(&key)?) else {
            continue;
        };
        let file = folder.join(claim::from_text(&record.file));
        if is_reachable(&owner) && !is_there(&file) {
            continue;
        }
        let is_superseded = superseded_by(&view, &owner, &record)?.is_some();
        let counted = if is_superseded {
            &mut superseded
        } else {
            &mut open
        };
        if *counted == count {
            continue;
        }
        *counted += 1;
        newest.push(NewestRefusal {
            file: shown(config, &file),
            owner,
            record,
            is_superseded,
        });
        if open == count {
            break;
        }
    }
    Ok(newest)
}

/// How many refused files of a facility or the desk are remembered.
pub fn count(store: &dyn Store, owner: &str) -> Result<u64, ViewError> {
    let count: Option<u64> = PendingChanges::new(store).get(&keys::refused_count(owner))?;
    Ok(count.unwrap_or_default())
}

/// What cannot be looked at may be there.
fn is_there(file: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match file.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), NotFound | NotADirectory),
    }
}

/// The path of a refused file as listings and `retry` name it; nothing if it lies in no `error/` folder.
///
/// The file is named as it was listed, or by its path from here.
pub fn as_listed(config: &Config, file: &Path) -> Option<String> {
    let named = file.to_str().map(claim::from_text);
    named
        .iter()
        .map(PathBuf::as_path)
        .chain([file])
        .flat_map(|path| [config.spool.join(path), path.to_owned()])
        .find_map(|path| in_error_folder(config, &path))
}

fn in_error_folder(config: &Config, file: &Path) -> Option<String> {
    let real = file.canonicalize().ok()?;
    folders(config).into_iter().find_map(|(_, folder)| {
        let below = real.strip_prefix(folder.canonicalize().ok()?).ok()?;
        Some(shown(config, &folder.join(below)))
    })
}

/// The `error/` folders, the desk's first.
fn folders(config: &Config) -> Vec<(&str, PathBuf)> {
    let desk = ("desk", config.spool.join("desk").join(ERROR));
    let facilities = config
        .facilities
        .iter()
        .map(|facility| (facility.id.as_str(), facility.dir.join(ERROR)));
    std::iter::once(desk).chain(facilities).collect()
}

fn shown(config: &Config, file: &Path) -> String {
    claim::to_text(file.strip_prefix(&config.spool).unwrap_or(file))
}

fn text(error: &Value, key: &str) -> String {
    error[key].as_str().unwrap_or_default().to_owned()
}
