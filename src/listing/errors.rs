//! What was refused and still lies in an `error/` folder, as the store remembers it (SPEC 10, 12).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Filter;
use crate::config::Config;
use crate::model::refused::RefusedFile;
use crate::model::view::ViewError;
use crate::spool::claim;
use crate::spool::finish::ERROR;
use crate::store::{Overlay, Store, keys};

/// The refused files, the oldest first: what the sidecar of each says, and `file`, its path, below the spool where it
/// lies there. In it a `%`, and what is no UTF-8, is written `%xx`.
///
/// Whose it is comes from the folder it lies in. One that somebody removed is left out.
pub fn errors(
    store: &dyn Store,
    config: &Config,
    filter: &Filter,
) -> Result<Vec<Value>, ViewError> {
    let view = Overlay::new(store);
    let mut errors = Vec::new();
    for (station, folder) in folders(config) {
        let is_asked_for = filter
            .facility
            .as_ref()
            .is_none_or(|it| it.as_str() == station);
        if !is_asked_for {
            continue;
        }
        let records: Vec<RefusedFile> = view.all(&keys::refused_of(station))?;
        for record in records {
            let file = folder.join(claim::from_text(&record.file));
            if is_there(&file) {
                let mut error = record.sidecar;
                error["facility"] = station.into();
                error["file"] = shown(config, &file).into();
                errors.push(error);
            }
        }
    }
    errors.sort_by_cached_key(|error| (text(error, "time"), text(error, "file")));
    Ok(errors)
}

/// A refused file with whose it is and its path.
pub struct Newest {
    /// The facility's id, or `desk`.
    pub station: String,
    /// Its path, as [`errors`] gives it.
    pub file: String,
    /// What is remembered of it.
    pub record: RefusedFile,
}

/// The files that were refused last and still lie in `error/`, the newest first; of places that cannot be reached,
/// nobody looks whether they do.
pub fn newest(
    store: &dyn Store,
    config: &Config,
    is_reachable: &dyn Fn(&str) -> bool,
    count: usize,
) -> Result<Vec<Newest>, ViewError> {
    let view = Overlay::new(store);
    let folders = folders(config);
    let mut looked_at = Vec::new();
    // Somebody may have removed the last ones; those before them are found once the records of these are gone.
    let most = count.saturating_mul(10);
    store.scan(keys::REFUSED_NEWEST, &mut |_, value| {
        looked_at.extend(serde_json::from_slice::<String>(value).ok());
        looked_at.len() < most
    })?;
    let mut newest = Vec::new();
    for key in looked_at {
        let station = keys::station_of_refused(&key);
        let folder = folders.iter().find(|(name, _)| *name == station);
        let (Some((_, folder)), Some(record)) = (folder, view.get::<RefusedFile>(&key)?) else {
            continue;
        };
        let file = folder.join(claim::from_text(&record.file));
        if is_reachable(&station) && !is_there(&file) {
            continue;
        }
        newest.push(Newest {
            file: shown(config, &file),
            station,
            record,
        });
        if newest.len() == count {
            break;
        }
    }
    Ok(newest)
}

/// How many refused files of a facility or the desk are remembered.
pub fn count(store: &dyn Store, station: &str) -> Result<u64, ViewError> {
    let count: Option<u64> = Overlay::new(store).get(&keys::refused_count(station))?;
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
