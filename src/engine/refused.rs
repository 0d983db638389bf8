//! What is remembered of the files and messages that lie in `error/`: listings, the status and `retry` go by it, and
//! never by what lies in a folder, where anybody may have put a file of any name.
//!
//! A record is written with the group that refuses its file, and removed with the one that retries it. Somebody may
//! remove a file from `error/`: listings look whether each file is there, and [`Engine::forget_removed_refused`] goes
//! through the records bit by bit.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use walkdir::WalkDir;

use super::group::Group;
use super::receipt::{self, RefusedMessage};
use super::{Engine, EngineError, owner_name};
use crate::journal::{self, Closing, Entry, MessageRecord, Move};
use crate::model::calendar;
use crate::model::owner::Owner;
use crate::model::refused::{DiscardedFile, LaterMessage, RefusalSubject, Refusals, RefusedFile};
use crate::model::view::ViewError;
use crate::spool::claim::{self, Claim, derived};
use crate::spool::destinations::{ERROR, SIDECAR};
use crate::store::{KeyChange, PendingChanges, keys, to_json};

/// So many records go into one group where a spool of an older version is read.
const AT_ONCE: usize = 1_000;

impl Engine {
    /// Looks at the next records whether their files still lie in `error/`, or in `done/` where they were put away, and
    /// forgets those that somebody, or retention, removed.
    pub fn forget_removed_refused(&mut self, most: usize) -> Result<(), EngineError> {
        self.land()?;
        let mut looked_at = Vec::new();
        let from = self.refused_looked_at.clone();
        let put_away = from.starts_with(keys::DISCARDED);
        let prefix = if put_away {
            keys::DISCARDED
        } else {
            keys::REFUSED
        };
        self.store.scan_from(prefix, &from, &mut |key, _| {
            if key != from {
                looked_at.push(key.to_owned());
            }
            looked_at.len() < most
        })?;
        self.refused_looked_at = match looked_at.last() {
            Some(last) if looked_at.len() == most => last.clone(),
            _ if put_away => String::new(),
            _ => keys::DISCARDED.to_owned(),
        };
        let mut gone: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut changes = Vec::new();
        for key in looked_at {
            let (owner, file) = (keys::owner_of_refused(&key), keys::last_word(&key));
            let path = match put_away {
                true => claim::from_text(&file),
                false => Path::new(ERROR).join(claim::from_text(&file)),
            };
            match (self.is_gone(&owner, &path)?, put_away) {
                (false, _) => {}
                (true, true) => changes.push((key, None)),
                (true, false) => gone.entry(owner).or_default().push(file),
            }
        }
        if gone.is_empty() && changes.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        group.view.write(&changes);
        for (owner, files) in &gone {
            changes.extend(forget(&mut group.view, owner, files)?);
        }
        group.change("refused files that somebody removed", changes);
        self.commit(group)
    }

    /// Whether a refused file is known to be gone: its folder can be reached, and nothing is still to be moved there.
    fn is_gone(&self, owner: &str, path: &Path) -> Result<bool, EngineError> {
        let place = match owner {
            "desk" => Owner::Desk,
            facility => Owner::Facility(facility.to_owned()),
        };
        let Some(root) = self.root(&place) else {
            return Ok(false);
        };
        let to = claim::to_text(path);
        let is_awaited = |(_, ordered): &(u64, Move)| ordered.place == place && ordered.to == to;
        if self.committer.moves().iter().any(is_awaited) {
            return Ok(false);
        }
        match self.folders.exists(&self.fs, root, path) {
            Ok(exists) => Ok(!exists),
            // What cannot be looked at is not known to be gone.
            Err(_) => Ok(false),
        }
    }

    /// Remembers, once, what a version that did not remember them has refused: from what the journal tells.
    pub(super) fn remember_former_refused(&mut self) -> Result<(), EngineError> {
        let known: Option<bool> = PendingChanges::new(&*self.store).get(keys::REFUSED_KNOWN)?;
        if known.is_some() {
            return Ok(());
        }
        let mut former = RefusalHistory::default();
        if self.message > 0 {
            let journal = &self.spool.journal;
            let check = journal::check::check(&self.fs, journal, &mut |(counters, entries)| {
                for entry in entries {
                    former.follow(counters.message, entry);
                }
                Ok(())
            })?;
            if check.since.is_some() || check.has_gaps {
                self.find_unrecorded(&mut former);
            }
        }
        let mut records: Vec<(Owner, RefusedFile)> = Vec::new();
        for ((place, _), record) in former.in_error {
            let path = Path::new(ERROR).join(claim::from_text(&record.file));
            if !self.is_gone(owner_name(&place), &path)? {
                records.push((place, record));
            }
        }
        for some in records.chunks(AT_ONCE) {
            let store = Arc::clone(&self.store);
            let mut group = Group::new(&*store);
            let mut changes = Vec::new();
            for (place, record) in some {
                let mut one = RefusalRecorder::of(owner_name(place), record.sequence);
                one.put(&mut group.view, record)?;
                changes.extend(one.finish(&mut group.view)?);
            }
            group.change("refused files", changes);
            self.commit(group)?;
        }
        let known = vec![(keys::REFUSED_KNOWN.to_owned(), Some(to_json(&true)?))];
        self.record("refused files are remembered", known)
    }

    /// Files in `error/` of which the journal tells no more, each with its sidecar beside it.
    fn find_unrecorded(&self, former: &mut RefusalHistory) {
        for folders in self.owner_folders() {
            let folder = folders.root.path().join(ERROR);
            for entry in WalkDir::new(&folder).into_iter().filter_map(Result::ok) {
                let Ok(below) = entry.path().strip_prefix(&folder) else {
                    continue;
                };
                let key = (folders.owner.clone(), claim::to_text(below));
                let sidecar = derived(entry.file_name(), "", SIDECAR);
                let is_sidecar = entry.file_name().as_bytes().ends_with(SIDECAR.as_bytes());
                if !entry.file_type().is_file()
                    || is_sidecar
                    || former.in_error.contains_key(&key)
                    || !entry.path().with_file_name(&sidecar).is_file()
                {
                    continue;
                }
                let metadata = entry.metadata().ok();
                let modified = metadata.and_then(|it| calendar::instant(it.mtime()));
                let time = modified.unwrap_or_else(|| self.now());
                let sidecar = json!({
                    "reason": null,
                    "message": "It was refused before the records of the journal begin.",
                    "where": null,
                    "value": null,
                    "facility": folders.name(),
                    "message_type": null,
                    "control_id": null,
                    "case": null,
                    "time": time.to_rfc3339_opts(SecondsFormat::Secs, true),
                    "next": "The sidecar beside the file says why. Retry the file, or remove both.",
                });
                let record = RefusedFile::new(key.1.clone(), 0, &sidecar);
                former.in_error.insert(key, record);
            }
        }
    }
}

/// Forgets the refused files that these moves take out of `error/`. The view has the changes already.
pub(super) fn forget_moved(
    view: &mut PendingChanges<'_>,
    moves: &[Move],
) -> Result<Vec<KeyChange>, ViewError> {
    let mut changes = Vec::new();
    for ordered in moves {
        if let Some(file) = below_error(&ordered.from) {
            let owner = owner_name(&ordered.place);
            changes.extend(forget(view, owner, &[file.to_owned()])?);
        }
    }
    Ok(changes)
}

/// Remembers of the refused files that these moves put away what was known of them. The view has the changes already.
pub(super) fn discard_moved(
    view: &mut PendingChanges<'_>,
    moves: &[Move],
    why: &str,
    time: DateTime<Utc>,
) -> Result<Vec<KeyChange>, ViewError> {
    let mut changes = Vec::new();
    for ordered in moves {
        let owner = owner_name(&ordered.place);
        let Some(file) = below_error(&ordered.from) else {
            continue;
        };
        if let Some(record) = view.get::<RefusedFile>(&keys::refused(owner, file))? {
            let discarded = DiscardedFile {
                record,
                path: ordered.to.clone(),
                time,
                why: why.to_owned(),
            };
            let key = keys::discarded(owner, &ordered.to);
            changes.push((key, Some(to_json(&discarded)?)));
        }
    }
    view.write(&changes);
    Ok(changes)
}

fn below_error(path: &str) -> Option<&str> {
    path.strip_prefix(ERROR)?.strip_prefix('/')
}

/// Remembers refused files of one owner. The view has the changes as soon as they are made.
pub(super) struct RefusalRecorder<'s> {
    owner: &'s str,
    sequence: u64,
    added: u64,
    changes: Vec<KeyChange>,
}

impl<'s> RefusalRecorder<'s> {
    /// Of this owner, after the message of this number.
    pub fn of(owner: &'s str, sequence: u64) -> Self {
        Self {
            owner,
            sequence,
            added: 0,
            changes: Vec::new(),
        }
    }

    /// A refused file by its path below the owner's folder, what its sidecar says, and what its messages are about.
    pub fn add(
        &mut self,
        view: &mut PendingChanges<'_>,
        path: &Path,
        sidecar: &Value,
        abouts: Vec<RefusalSubject>,
    ) -> Result<(), ViewError> {
        match path.strip_prefix(ERROR) {
            Ok(below) => {
                let file = claim::to_text(below);
                let record = RefusedFile::new(file, self.sequence, sidecar);
                self.put(view, &RefusedFile { abouts, ..record })
            }
            Err(_) => Ok(()),
        }
    }

    fn put(
        &mut self,
        view: &mut PendingChanges<'_>,
        record: &RefusedFile,
    ) -> Result<(), ViewError> {
        let key = keys::refused(self.owner, &record.file);
        let before = self.changes.len();
        match view.get::<RefusedFile>(&key)? {
            // Somebody removed the file that had this name before.
            Some(former) => {
                self.changes
                    .extend(count_abouts(view, self.owner, &former, |it| {
                        it.saturating_sub(1)
                    })?);
                let newest = keys::refused_newest(former.sequence, self.owner, &former.file);
                self.changes.push((newest, None));
            }
            None => self.added += 1,
        }
        let newest = keys::refused_newest(record.sequence, self.owner, &record.file);
        self.changes.push((newest, Some(to_json(&key)?)));
        self.changes.push((key, Some(to_json(record)?)));
        view.write(self.changes.get(before..).unwrap_or_default());
        let counted = count_abouts(view, self.owner, record, |it| it.saturating_add(1))?;
        self.changes.extend(counted);
        Ok(())
    }

    /// All changes, with the new count.
    pub fn finish(mut self, view: &mut PendingChanges<'_>) -> Result<Vec<KeyChange>, ViewError> {
        let added = self.added;
        if added == 0 {
            return Ok(self.changes);
        }
        let counted = count(view, self.owner, |count| count.saturating_add(added))?;
        self.changes.extend(counted);
        Ok(self.changes)
    }
}

fn forget(
    view: &mut PendingChanges<'_>,
    owner: &str,
    files: &[String],
) -> Result<Vec<KeyChange>, ViewError> {
    let mut changes = Vec::new();
    let mut removed = 0;
    for file in files {
        let key = keys::refused(owner, file);
        if let Some(record) = view.get::<RefusedFile>(&key)? {
            let newest = keys::refused_newest(record.sequence, owner, file);
            changes.extend([(newest, None), (key, None)]);
            changes.extend(count_abouts(view, owner, &record, |it| {
                it.saturating_sub(1)
            })?);
            removed += 1;
        }
    }
    view.write(&changes);
    changes.extend(count(view, owner, |count| count.saturating_sub(removed))?);
    Ok(changes)
}

/// Counts anew how many refused messages there are of each subject of this file. The view has the changes already.
fn count_abouts(
    view: &mut PendingChanges<'_>,
    owner: &str,
    record: &RefusedFile,
    change: impl Fn(u64) -> u64,
) -> Result<Vec<KeyChange>, ViewError> {
    let mut changes = Vec::new();
    for about in &record.abouts {
        let key = keys::refusals_about(owner, &about.subject);
        let mut known: Refusals = view.get(&key)?.unwrap_or_default();
        known.count = change(known.count);
        let value = match known.count {
            0 => None,
            _ => Some(to_json(&known)?),
        };
        let changed = (key, value);
        view.write(std::slice::from_ref(&changed));
        changes.push(changed);
    }
    Ok(changes)
}

/// Whether anything lies in the `error/` of an owner that a message could take the place of.
pub(super) fn has_refused(view: &PendingChanges<'_>, owner: &str) -> Result<bool, ViewError> {
    let count: Option<u64> = view.get(&keys::refused_count(owner))?;
    Ok(count.is_some_and(|count| count > 0))
}

/// Remembers that a message was taken in about something of which others were refused. The view has the change already.
pub(super) fn take_since(
    view: &mut PendingChanges<'_>,
    owner: &str,
    about: &RefusalSubject,
    sequence: u64,
    (file, taken): (&str, DateTime<Utc>),
) -> Result<Option<KeyChange>, ViewError> {
    let key = keys::refusals_about(owner, &about.subject);
    let Some(known) = view.get::<Refusals>(&key)? else {
        return Ok(None);
    };
    let since = Refusals {
        taken: Some(LaterMessage {
            sequence,
            time: about.time,
            taken,
            file: file.to_owned(),
        }),
        ..known
    };
    let changed = (key, Some(to_json(&since)?));
    view.write(std::slice::from_ref(&changed));
    Ok(Some(changed))
}

/// Counts anew how many there are, if that changes.
fn count(
    view: &mut PendingChanges<'_>,
    owner: &str,
    change: impl Fn(u64) -> u64,
) -> Result<Option<KeyChange>, ViewError> {
    let key = keys::refused_count(owner);
    let before: u64 = view.get(&key)?.unwrap_or_default();
    let after = change(before);
    if after == before {
        return Ok(None);
    }
    let counted = (key, Some(to_json(&after)?));
    view.write(std::slice::from_ref(&counted));
    Ok(Some(counted))
}

/// What the journal tells of refused files, followed entry by entry.
#[derive(Default)]
struct RefusalHistory {
    /// The refused messages of files that are not finished, by claim.
    messages: HashMap<String, Vec<(usize, Value)>>,
    /// What lies in `error/`, by place and path below it.
    in_error: BTreeMap<(Owner, String), RefusedFile>,
}

impl RefusalHistory {
    fn follow(&mut self, sequence: u64, entry: Entry) {
        match entry {
            Entry::Message(message) => {
                self.follow_moves(&message.moves);
                self.take(&message);
            }
            Entry::Closing(closing) => {
                self.follow_moves(&closing.moves);
                self.close(sequence, &closing);
            }
            Entry::Changes { moves, .. } => self.follow_moves(&moves),
            _ => {}
        }
    }

    fn follow_moves(&mut self, moves: &[Move]) {
        for ordered in moves {
            if let Some(file) = below_error(&ordered.from) {
                self.in_error
                    .remove(&(ordered.place.clone(), file.to_owned()));
            }
        }
    }

    fn take(&mut self, message: &MessageRecord) {
        if let Some(refusal) = message.outcome.refusal() {
            let of = RefusedMessage {
                message_type: &message.message_type,
                control_id: message.control_id.as_deref(),
                case: message.case.as_deref(),
                facility: &message.facility,
            };
            let sidecar = receipt::sidecar_of(&of, refusal, message.time);
            let messages = self.messages.entry(message.claim.clone()).or_default();
            messages.push((message.number, sidecar));
        }
    }

    /// The file comes first among its moves, then each message that was split off, with its sidecar after it.
    fn close(&mut self, sequence: u64, closing: &Closing) {
        let Some(mut messages) = self.messages.remove(&closing.claim) else {
            return;
        };
        messages.sort_by_key(|(number, _)| *number);
        let is_of = |ordered: &Move| {
            let from = claim::from_text(&ordered.from);
            let claim = from.file_name().and_then(Claim::parse);
            claim.is_some_and(|claim| claim.key() == closing.claim)
        };
        let Some((whole, others)) = closing.moves.split_first().filter(|(it, _)| is_of(it)) else {
            return;
        };
        if let Some(file) = below_error(&whole.to) {
            let mut all = messages.into_iter().map(|(_, sidecar)| sidecar);
            if let Some(mut sidecar) = all.next() {
                let others: Vec<Value> = all.collect();
                if !others.is_empty() {
                    let messages = std::iter::once(sidecar.clone()).chain(others).collect();
                    sidecar["messages"] = messages;
                }
                self.add(sequence, &whole.place, file, &sidecar);
            }
            return;
        }
        for (pair, (_, sidecar)) in others.chunks(2).zip(&messages) {
            let Some(ordered) = pair.first() else {
                break;
            };
            match below_error(&ordered.to) {
                Some(file) if claim::from_text(&ordered.from).starts_with("work") => {
                    self.add(sequence, &ordered.place, file, sidecar);
                }
                _ => break,
            }
        }
    }

    fn add(&mut self, sequence: u64, owner: &Owner, file: &str, sidecar: &Value) {
        let record = RefusedFile::new(file.to_owned(), sequence, sidecar);
        self.in_error
            .insert((owner.clone(), file.to_owned()), record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{Arrival, OpenStore};
    use crate::spool::fs::Fs;

    const GOOD: &str = "MSH|^~\\&|A|B|||20250401120000||ADT^A28|1|P|2.5\r\
                        PID|1||1^^^^PI||MARTIN^JEANNE^^^^^L||19501104|F\r";

    fn arrive(engine: &mut Engine, dir: &Path, name: &str, content: &str) {
        std::fs::write(dir.join("inbox").join(name), content).unwrap();
        let arrival = Arrival {
            owner: Owner::Facility("demo".to_owned()),
            path: name.into(),
        };
        engine.take_in(vec![arrival]).unwrap();
    }

    fn remembered(engine: &Engine) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        engine
            .store
            .scan("refused", &mut |key, value| {
                // When the file was closed and when its messages were decided are moments apart.
                let mut value: Value = serde_json::from_slice(value).unwrap();
                if let Some(sidecar) = value.get_mut("sidecar") {
                    sidecar["time"] = Value::Null;
                    for message in sidecar["messages"].as_array_mut().into_iter().flatten() {
                        message["time"] = Value::Null;
                    }
                }
                pairs.insert(key.to_owned(), value.to_string());
                true
            })
            .unwrap();
        pairs
    }

    #[test]
    fn what_an_older_version_refused_is_told_by_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::demo(&folder.path().join("spool"));
        let dir = config.facilities[0].dir.clone();
        let desk = config.spool.join("desk");
        let mut engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
        let bad = GOOD.replace("|F\r", "|X\r");
        arrive(&mut engine, &dir, "a.hl7", &bad);
        arrive(&mut engine, &dir, "b.hl7", &format!("{bad}{GOOD}{bad}"));
        arrive(&mut engine, &dir, "c.hl7", &format!("{bad}{bad}"));
        arrive(&mut engine, &dir, "retried.hl7", "nonsense");
        arrive(&mut engine, &dir, "removed.hl7", "nonsense");
        arrive(&mut engine, &dir, "x.hl7.error.json", "{}");
        assert_eq!(count_of(&engine), 7);
        let retry = r#"{"command":"retry","files":["facilities/demo/error/retried.hl7"]}"#;
        std::fs::write(desk.join("inbox/r.json"), retry).unwrap();
        let arrival = Arrival {
            owner: Owner::Desk,
            path: "r.json".into(),
        };
        engine.take_in(vec![arrival]).unwrap();
        assert_eq!(count_of(&engine), 6);
        std::fs::remove_file(dir.join("error/removed.hl7")).unwrap();
        engine.forget_removed_refused(100).unwrap();
        assert_eq!(count_of(&engine), 5);
        let before = remembered(&engine);
        let files: Vec<&str> = before
            .keys()
            .filter_map(|key| key.strip_prefix("refused/demo/"))
            .collect();
        assert_eq!(
            files,
            ["a.hl7", "b.m1.hl7", "b.m3.hl7", "c.hl7", "x.hl7.error.json"]
        );

        // As if nothing had been remembered.
        let keys = before.keys().map(|key| (key.clone(), None)).collect();
        engine.record("nothing", keys).unwrap();
        assert!(remembered(&engine).is_empty());
        engine.remember_former_refused().unwrap();
        let again = remembered(&engine);
        let same = |pairs: &BTreeMap<String, String>| -> Vec<(String, Value)> {
            let of_files = pairs.iter().filter(|(key, _)| key.starts_with("refused/"));
            let sidecars = of_files.map(|(key, value)| {
                let value: Value = serde_json::from_str(value).unwrap();
                (key.clone(), value["sidecar"].clone())
            });
            sidecars.collect()
        };
        assert_eq!(same(&again), same(&before));
        assert_eq!(again["refused-count/demo"], before["refused-count/demo"]);
        let newest = |pairs: &BTreeMap<String, String>| -> Vec<String> {
            let keys = pairs
                .iter()
                .filter(|(key, _)| key.starts_with(keys::REFUSED_NEWEST));
            keys.map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(newest(&again).len(), newest(&before).len());
        assert_eq!(newest(&again)[0], newest(&before)[0]);
    }

    fn count_of(engine: &Engine) -> u64 {
        let count: Option<u64> = PendingChanges::new(&*engine.store)
            .get(&keys::refused_count("demo"))
            .unwrap();
        count.unwrap_or_default()
    }

    #[test]
    fn what_was_put_away_is_forgotten_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::demo(&folder.path().join("spool"));
        let dir = config.facilities[0].dir.clone();
        let desk = config.spool.join("desk");
        let mut engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
        for name in ["a.hl7", "b.hl7"] {
            arrive(&mut engine, &dir, name, "nonsense");
        }
        let files = r#"["facilities/demo/error/a.hl7","facilities/demo/error/b.hl7"]"#;
        let discard = format!(r#"{{"command":"discard","files":{files},"why":"x"}}"#);
        std::fs::write(desk.join("inbox/d.json"), discard).unwrap();
        let arrival = Arrival {
            owner: Owner::Desk,
            path: "d.json".into(),
        };
        engine.take_in(vec![arrival]).unwrap();
        let put_away = |engine: &Engine| -> Vec<String> {
            let discarded: Vec<DiscardedFile> = PendingChanges::new(&*engine.store)
                .all(keys::DISCARDED)
                .unwrap();
            discarded.into_iter().map(|it| it.path).collect()
        };
        let [first, second] = put_away(&engine).try_into().unwrap();
        assert!(
            first.ends_with("/a.hl7") && second.ends_with("/b.hl7"),
            "{first} {second}"
        );
        std::fs::remove_file(dir.join(&first)).unwrap();
        for _ in 0..4 {
            engine.forget_removed_refused(1).unwrap();
        }
        assert_eq!(put_away(&engine), [second]);
        assert_eq!(count_of(&engine), 0);
    }

    #[test]
    fn records_are_looked_at_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::demo(&folder.path().join("spool"));
        let dir = config.facilities[0].dir.clone();
        let mut engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
        for number in 0..10 {
            arrive(&mut engine, &dir, &format!("{number}.hl7"), "nonsense");
        }
        for number in 0..10 {
            std::fs::remove_file(dir.join(format!("error/{number}.hl7"))).unwrap();
        }
        let mut counts = Vec::new();
        for _ in 0..5 {
            engine.forget_removed_refused(3).unwrap();
            counts.push(count_of(&engine));
        }
        assert_eq!(counts, [7, 4, 1, 0, 0]);
        assert!(
            remembered(&engine)
                .keys()
                .all(|key| key == "refused-count/demo" || key == keys::REFUSED_KNOWN)
        );
    }
}
