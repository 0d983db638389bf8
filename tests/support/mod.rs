//! What the integration tests share: a spool in a temporary folder, and files dropped into it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod site;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcpspool::config::Config;
use rcpspool::engine::{Arrival, Engine, EngineError, OpenStore, Totals};
use rcpspool::model::owner::Owner;
use rcpspool::spool::fs::Fs;
use rcpspool::spool::layout::FolderError;
use rcpspool::store::Store;
use rcpspool::verify::{self, VerifyError};

/// Tells a figure of the README's table on reliability: prints it, and adds it to the file that `FIGURES` names, from
/// which `tests/reliability.sh` makes the table. Told last, when everything that the row promises was asserted.
pub fn figure(what: &str, count: u64) {
    println!("{what}: {count}");
    if let Some(figures) = std::env::var_os("FIGURES") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(figures).unwrap();
        // In one piece: other tests write too.
        file.write_all(format!("{what}\t{count}\n").as_bytes())
            .unwrap();
    }
}

/// Tries again while the spool is in use: a process that another test starts at this moment has its lock too, until it
/// begins its own program.
pub fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_in_use: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 0..100 {
        match attempt() {
            Err(error) if is_in_use(&error) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            tried => return tried,
        }
    }
    attempt()
}

/// Whether somebody else has the spool.
pub fn is_in_use(error: &EngineError) -> bool {
    matches!(error, EngineError::Layout(FolderError::InUse(_)))
}

/// A spool with one facility, `demo`.
pub struct World {
    pub folder: tempfile::TempDir,
    pub config: Arc<Config>,
}

impl World {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With further lines of configuration, before the facility's.
    pub fn with(settings: &str) -> Self {
        // Where there is one, a file system in memory: thousands of runs would wait for the disk otherwise.
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let spool = folder.path().join("spool");
        let text = format!("spool = {spool:?}\n{settings}\n[[facility]]\nid = \"demo\"\n");
        let mut config = Config::from_text(&text, Path::new("test.toml")).unwrap();
        config.intake.min_free = 0;
        Self {
            folder,
            config: Arc::new(config),
        }
    }

    /// Another spool that holds the same, with the same settings.
    pub fn copy(&self) -> Self {
        let mut copy = Self::new();
        let mut config = Config::clone(&self.config);
        config.spool = copy.config.spool.clone();
        for (facility, of_copy) in config.facilities.iter_mut().zip(&copy.config.facilities) {
            facility.dir = of_copy.dir.clone();
        }
        copy.config = Arc::new(config);
        for entry in walkdir::WalkDir::new(&self.config.spool) {
            let entry = entry.unwrap();
            let below = entry.path().strip_prefix(&self.config.spool).unwrap();
            let to = copy.config.spool.join(below);
            match entry.file_type().is_dir() {
                true => std::fs::create_dir_all(to).unwrap(),
                false => std::fs::copy(entry.path(), to).map(drop).unwrap(),
            }
        }
        copy
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.config.spool.join(below)
    }

    pub fn open(&self) -> Engine {
        let open = || self.open_on(Fs::new());
        patiently(open, is_in_use).unwrap()
    }

    pub fn open_on(&self, fs: Fs) -> Result<Engine, EngineError> {
        Engine::open(Arc::clone(&self.config), fs, OpenStore::Memory)
    }

    /// With the database that the program uses.
    pub fn open_sled(&self) -> Engine {
        let open = || Engine::open(Arc::clone(&self.config), Fs::new(), OpenStore::Sled);
        patiently(open, is_in_use).unwrap()
    }

    /// Journal, store, documents and folders say the same; nothing may have the spool open.
    pub fn assert_verified(&self, what: &str) {
        let verify = || verify::verify(&Fs::new(), &self.config);
        let findings = patiently(verify, |error| matches!(error, VerifyError::InUse(_))).unwrap();
        assert!(
            findings.differences.is_empty(),
            "{what}: {:#?}",
            findings.differences
        );
    }

    /// Puts a file into an inbox, whole.
    pub fn drop(&self, place: &str, name: &str, content: impl AsRef<[u8]>) {
        let inbox = self.path(place).join("inbox");
        let path = inbox.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// All regular files below the spool's folders that others see, with their content; not the folders of sessions,
    /// which are made from the store whenever there is time.
    pub fn seen(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut seen = BTreeMap::new();
        let facilities = self.config.facilities.iter();
        let places = facilities.map(|facility| format!("facilities/{}", facility.id));
        for place in places.chain(["desk".to_owned()]) {
            for entry in walkdir::WalkDir::new(self.path(&place)) {
                let entry = entry.unwrap();
                let name = entry.file_name().to_string_lossy().into_owned();
                let below = entry.path().strip_prefix(&self.config.spool).unwrap();
                let is_derived = below.starts_with("desk/sessions");
                if entry.file_type().is_file() && !name.starts_with('.') && !is_derived {
                    seen.insert(below.to_owned(), std::fs::read(entry.path()).unwrap());
                }
            }
        }
        seen
    }

    /// The names of the files below a folder.
    pub fn names(&self, below: &str) -> Vec<String> {
        let folder = Path::new(below);
        self.seen()
            .into_keys()
            .filter_map(|path| {
                Some(
                    path.strip_prefix(folder)
                        .ok()?
                        .to_string_lossy()
                        .into_owned(),
                )
            })
            .collect()
    }
}

/// Takes in what lies in the inboxes, the desk's first, each in the order of names.
pub fn take_all(engine: &mut Engine) -> Result<Totals, EngineError> {
    let before = engine.totals();
    let mut arrivals = Vec::new();
    for folders in engine.owner_folders() {
        let mut paths: Vec<PathBuf> = walkdir::WalkDir::new(folders.inbox.path())
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| {
                entry.file_type().is_file() && !entry.file_name().to_string_lossy().starts_with('.')
            })
            .map(|entry| {
                entry
                    .path()
                    .strip_prefix(folders.inbox.path())
                    .unwrap()
                    .to_owned()
            })
            .collect();
        paths.sort();
        if folders.owner == Owner::Desk {
            paths.retain(|path| {
                path.extension()
                    .is_some_and(|ending| ending == "csv" || ending == "json")
            });
        }
        arrivals.extend(paths.into_iter().map(|path| Arrival {
            owner: folders.owner.clone(),
            path,
        }));
    }
    engine.take_in(arrivals)?;
    let after = engine.totals();
    Ok(Totals {
        accepted: after.accepted - before.accepted,
        updated: after.updated - before.updated,
        duplicate: after.duplicate - before.duplicate,
        stale: after.stale - before.stale,
        ignored: after.ignored - before.ignored,
        rejected: after.rejected - before.rejected,
    })
}

/// Everything that a store knows from messages that were taken in, but what differs from run to run: the ids of
/// markers. What is remembered of refused files is no part of it.
pub fn content(store: &dyn Store) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    store
        .scan("", &mut |key, value| {
            let of_the_run = ["marker/", "refused", "elapsed", "journal-ages"];
            if !of_the_run.iter().any(|start| key.starts_with(start)) {
                content.insert(key.to_owned(), String::from_utf8_lossy(value).into_owned());
            }
            true
        })
        .unwrap();
    content
}

/// The documentation's scheduling message, for another case, patient and time.
pub fn siu(event: &str, case: &str, ipp: &str, time: &str, date: &str) -> String {
    [
        &format!("MSH|^~\\&|AXIGATE|AXIGATE|||{time}||SIU^{event}^SIU_S12|{case}-{event}|P|2.5|||||FR|UTF-8|FRA"),
        &format!("SCH|{case}|{case}||||RCP^RCP|||15|Min|^^^{date}165500^{date}171000"),
        &format!("PID|||{ipp}^^^^PI||MARTIN^JEANNE^^^MME^^L||19501104000000|F"),
        "PV1|1|O|8154",
        "AIL|1||8154^^^PATHWAY-1^^^^^NETWORK-1",
        "AIP|1||10100094977^DUPONT^PAUL^^^^^^^L^^^RPPS",
    ]
    .join("\r")
        + "\r"
}

/// A list with one session.
pub fn session(id: &str, date: &str, pathway: &str) -> String {
    format!(
        "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
         {id},RCP {id},{date},14:00,{pathway},,10102078838,DURAND,ANNE,planned\n"
    )
}

/// A patient by ADT^A28.
pub fn patient(ipp: &str, time: &str, phone: &str) -> String {
    [
        format!("MSH|^~\\&|EHR|HOSPITAL|||{time}||ADT^A28^ADT_A05|{ipp}|P|2.5|||||FR|UTF-8|FRA"),
        format!("EVN|A28|{time}"),
        format!("PID|1||{ipp}^^^CHU-X^PI||MARTIN^JEANNE^^^MME^^L||19501104|F|||||{phone}^PRN^CP"),
    ]
    .join("\r")
        + "\r"
}

/// A document by ORU^R01.
pub fn document(ipp: &str, time: &str, id: &str, content: &str) -> String {
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD.encode(content);
    [
        &format!(
            "MSH|^~\\&|LAB|HOSPITAL|||{time}||ORU^R01^ORU_R01|{id}-{time}|P|2.5|||||FR|UTF-8|FRA"
        ),
        &format!("PID|1||{ipp}^^^CHU-X^PI||MARTIN^JEANNE^^^MME^^L||19501104|F"),
        "ORC|NW",
        &format!("OBR|1||{id}^LAB|11502-2^CR^LN"),
        &format!("OBX|1|ED|11502-2^CR^LN||^AP^PDF^Base64^{content}||||||F"),
    ]
    .join("\r")
        + "\r"
}

/// Text without what differs from run to run: times of processing and control ids made from them.
pub fn without_times(text: &str) -> String {
    let year = chrono::Utc::now().format("%Y").to_string();
    let mut plain = String::new();
    for line in text.split_inclusive(['\r', '\n']) {
        if let Some(fields) = line.strip_prefix("MSH|") {
            let mut fields: Vec<&str> = fields.split('|').collect();
            fields[5] = "TIME";
            fields[8] = "ID";
            plain.push_str(&fields.join("|"));
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find(&format!("\"{year}-")) {
            let end = rest[at + 1..]
                .find('"')
                .map_or(rest.len(), |end| at + end + 2);
            plain.push_str(&rest[..at]);
            plain.push_str("\"TIME\"");
            rest = &rest[end..];
        }
        plain.push_str(rest);
    }
    plain
}

/// Fails with the differences, and not with two whole maps.
pub fn assert_same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    what: &str,
) {
    let mut differences = Vec::new();
    for (key, value) in expected {
        match found.get(key) {
            None => differences.push(format!("missing {key:?}")),
            Some(other) if other != value => {
                differences.push(format!(
                    "{key:?}:\n  expected {value:?}\n  found    {other:?}"
                ));
            }
            Some(_) => {}
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        differences.push(format!("too much: {key:?}"));
    }
    assert!(
        differences.is_empty(),
        "{what}:\n{}",
        differences.join("\n")
    );
}
