//! What was refused: the sidecars in the `error/` folders (SPEC 10, 12).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use walkdir::WalkDir;

use super::Filter;
use crate::config::Config;
use crate::spool::claim::{self, derived};
use crate::spool::finish::{ERROR, SIDECAR};

/// The sidecars of refused files, each with `file`: the refused file's path, below the spool where it lies there. In
/// it a `%`, and what is no UTF-8, is written `%xx`.
///
/// A sidecar that cannot be read is listed with its file alone: something is there, and somebody should look.
pub fn errors(config: &Config, filter: &Filter) -> Vec<Value> {
    let mut errors = Vec::new();
    for (name, folder) in folders(config) {
        if filter
            .facility
            .as_ref()
            .is_none_or(|it| it.as_str() == name)
        {
            of_folder(config, name, &folder, &mut errors);
        }
    }
    errors.sort_by_key(|error| (text(error, "time"), text(error, "file")));
    errors
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

fn of_folder(config: &Config, station: &str, folder: &Path, errors: &mut Vec<Value>) {
    let mut sidecars = Vec::new();
    // A sidecar's name can be cut, so it is its file that tells which one it has.
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for entry in WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path();
        if entry.file_name().as_bytes().ends_with(SIDECAR.as_bytes()) {
            sidecars.push(path.to_owned());
        } else {
            let sidecar = derived(entry.file_name(), "", SIDECAR);
            files.insert(path.with_file_name(sidecar), path.to_owned());
        }
    }
    for sidecar in sidecars {
        let file = match files.get(&sidecar) {
            Some(file) => file.clone(),
            None => without_ending(&sidecar),
        };
        let read = std::fs::read(&sidecar).ok();
        let mut error = read
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(Value::is_object)
            .unwrap_or_else(
                || json!({ "facility": station, "message": "The sidecar cannot be read." }),
            );
        error["file"] = shown(config, &file).into();
        errors.push(error);
    }
}

fn without_ending(sidecar: &Path) -> PathBuf {
    let name = sidecar.file_name().unwrap_or_default().as_bytes();
    let name = name.strip_suffix(SIDECAR.as_bytes()).unwrap_or(name);
    sidecar.with_file_name(OsString::from_vec(name.to_owned()))
}

fn shown(config: &Config, file: &Path) -> String {
    claim::to_text(file.strip_prefix(&config.spool).unwrap_or(file))
}

fn text(error: &Value, key: &str) -> String {
    error[key].as_str().unwrap_or_default().to_owned()
}
