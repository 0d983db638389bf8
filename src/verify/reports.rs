//! Report versions against batches, and batches against what lies in the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::value::RawValue;

use super::folders::Folders;
use super::{About, Findings, VerifyError};
use crate::journal::Place;
use crate::model::identifiers::{CaseId, ContentHash};
use crate::model::report::{Batch, Cursor, Report};
use crate::reports::batch::{self, BatchError};
use crate::reports::message::Envelope;
use crate::spool::claim;
use crate::spool::finish::REPORTS;
use crate::spool::fs::{Dir, Fs};
use crate::spool::layout::document_path;
use crate::store::keys;

/// What is known of each facility's reports. Keys come in order: batches, then cursors, then reports.
pub struct Reports {
    /// Where the batches of each facility lie, as far as its folder can be reached.
    outboxes: BTreeMap<String, Dir>,
    facilities: BTreeMap<String, OfFacility>,
    /// Numbers up to this were a journal's that was lost.
    above: u64,
}

#[derive(Default)]
struct OfFacility {
    cursor: Cursor,
    batches: BTreeMap<u64, Batch>,
    /// By their place in the order of the facility.
    versions: BTreeMap<u64, Vec<Version>>,
    /// The batches whose file is there; of several of one name, the last.
    shown: Option<BTreeMap<String, u64>>,
    /// What the versions in those are made of.
    contents: BTreeMap<(CaseId, u32), (Envelope, ContentHash)>,
}

struct Version {
    case: CaseId,
    number: u32,
    batch: Option<u64>,
}

impl Reports {
    pub fn new(folders: &Folders) -> Self {
        let outboxes = folders.roots().filter_map(|(place, root)| match place {
            Place::Facility(id) => Some((id.clone(), root.clone())),
            _ => None,
        });
        Self {
            outboxes: outboxes.collect(),
            facilities: BTreeMap::new(),
            above: 0,
        }
    }

    /// Takes note of what a record says.
    pub fn take(&mut self, fs: &Fs, key: &str, value: &RawValue) {
        if key.starts_with(&keys::batches(None)) {
            if let Ok(batch) = serde_json::from_str::<Batch>(value.get()) {
                let of = self.of(batch.facility.as_str());
                of.batches.insert(batch.number, batch);
            }
        } else if key == keys::NUMBERS {
            self.above = serde_json::from_str(value.get()).unwrap_or_default();
        } else if key.starts_with(keys::CURSORS) {
            if let Ok(cursor) = serde_json::from_str(value.get()) {
                self.of(&keys::last_word(key)).cursor = cursor;
            }
        } else if key.starts_with(&keys::reports(None))
            && let Ok(report) = serde_json::from_str::<Report>(value.get())
        {
            let outbox = self.outboxes.get(report.facility.as_str()).cloned();
            self.of(report.facility.as_str())
                .take_report(fs, outbox.as_ref(), report);
        }
    }

    fn of(&mut self, facility: &str) -> &mut OfFacility {
        self.facilities.entry(facility.to_owned()).or_default()
    }

    /// Says what does not fit.
    pub fn check(
        &self,
        fs: &Fs,
        documents: &Dir,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        for (facility, of) in &self.facilities {
            of.check_versions(facility, self.above, findings);
            if let Some(outbox) = self.outboxes.get(facility) {
                of.check_files(fs, facility, outbox, documents, findings)?;
            }
        }
        Ok(())
    }
}

impl OfFacility {
    fn take_report(&mut self, fs: &Fs, outbox: Option<&Dir>, report: Report) {
        let shown = self.shown.get_or_insert_with(|| {
            let mut shown = BTreeMap::new();
            for batch in self.batches.values() {
                shown.insert(batch.file_name.clone(), batch.number);
            }
            shown.retain(|name, _| {
                outbox.is_some_and(|outbox| {
                    let path = Path::new(REPORTS).join(claim::from_text(name));
                    let folder = path.parent().unwrap_or(Path::new(""));
                    fs.open_dir(outbox, folder)
                        .and_then(|dir| fs.exists(&dir, path.file_name().unwrap_or_default()))
                        // What cannot be looked for may be there: reading it says what is wrong.
                        .unwrap_or_else(|error| !error.is_absent())
                })
            });
            shown
        });
        let wanted: BTreeSet<u32> = shown
            .values()
            .filter_map(|number| self.batches.get(number))
            .flat_map(|batch| &batch.versions)
            .filter(|entry| entry.case == report.case)
            .map(|entry| entry.version)
            .collect();
        for version in report.versions {
            if wanted.contains(&version.version) {
                let envelope = Envelope {
                    prefix: version.message_before,
                    suffix: version.message_after,
                };
                let key = (report.case.clone(), version.version);
                self.contents.insert(key, (envelope, version.pdf));
            }
            let of_sequence = self.versions.entry(version.sequence).or_default();
            of_sequence.push(Version {
                case: report.case.clone(),
                number: version.version,
                batch: version.batch,
            });
        }
    }

    fn check_versions(&self, facility: &str, above: u64, findings: &mut Findings) {
        let mut differs = |what: String| findings.differs(About::Reports, what);
        for number in (above + 1..=self.cursor.batches).filter(|it| !self.batches.contains_key(it))
        {
            differs(format!("{facility}: there is no batch {number}"));
        }
        for number in self.batches.keys().filter(|it| **it > self.cursor.batches) {
            differs(format!("{facility}: batch {number} was never counted"));
        }
        let mut left: BTreeMap<(&CaseId, u32), Vec<u64>> = BTreeMap::new();
        for batch in self.batches.values().filter(|batch| !batch.repeats) {
            for entry in &batch.versions {
                let key = (&entry.case, entry.version);
                left.entry(key).or_default().push(batch.number);
            }
        }
        for sequence in (1..=self.cursor.versions).filter(|it| !self.versions.contains_key(it)) {
            differs(format!("{facility}: there is no report version {sequence}"));
        }
        let mut known = 0;
        for (sequence, versions) in &self.versions {
            known += versions.len();
            let [version] = versions.as_slice() else {
                differs(format!(
                    "{facility}: several report versions have the number {sequence}"
                ));
                continue;
            };
            let Version {
                case,
                number,
                batch,
            } = version;
            let name = format!("{facility}: version {number} of the report of case {case}");
            let batches = left.remove(&(case, *number)).unwrap_or_default();
            match (*sequence <= self.cursor.delivered, batches.as_slice()) {
                (true, [one]) if *batch == Some(*one) => {}
                (false, []) if batch.is_none() => {}
                (true, []) => differs(format!("{name} left, and stands in no batch")),
                (_, batches) => differs(format!(
                    "{name} is to stand in {}, and stands in {}",
                    told(batch.as_slice()),
                    told(batches)
                )),
            }
        }
        for ((case, number), batches) in left {
            differs(format!(
                "{facility}: {} holds version {number} of the report of case {case}, which there is not",
                told(&batches)
            ));
        }
        findings.checked.reports += known as u64;
        findings.checked.batches += self.batches.len() as u64;
    }

    /// Makes each batch whose file is there again, and compares.
    fn check_files(
        &self,
        fs: &Fs,
        facility: &str,
        outbox: &Dir,
        documents: &Dir,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        for (name, number) in self.shown.iter().flatten() {
            let Some(batch) = self.batches.get(number) else {
                continue;
            };
            let path = Path::new(REPORTS).join(claim::from_text(name));
            let dir = fs.open_dir(outbox, path.parent().unwrap_or(Path::new("")))?;
            let file = match fs.open(&dir, path.file_name().unwrap_or_default()) {
                // It was fetched and removed meanwhile.
                Err(error) if error.is_absent() => continue,
                opened => opened?,
            };
            let contents = batch.versions.iter().map(|entry| {
                let key = (entry.case.clone(), entry.version);
                let (envelope, pdf) = self
                    .contents
                    .get(&key)
                    .ok_or_else(|| io::Error::other("it is not known"))?;
                let path = document_path(pdf);
                let path = Path::new(&path);
                let dir = fs
                    .open_dir(documents, path.parent().unwrap_or(Path::new("")))
                    .map_err(io::Error::other)?;
                let pdf = fs
                    .open(&dir, path.file_name().unwrap_or_default())
                    .map_err(io::Error::other)?;
                Ok((envelope.clone(), Box::new(pdf) as Box<dyn Read>))
            });
            let same = Same {
                file: io::BufReader::new(file),
                buffer: Vec::new(),
            };
            match batch::write(same, contents) {
                Ok(()) => {}
                Err(BatchError::Write(_)) => findings.differs(
                    About::Reports,
                    format!("{facility}: {} is not what batch {number} holds", path.display()),
                ),
                Err(BatchError::Report { position, source }) => findings.differs(
                    About::Reports,
                    format!(
                        "{facility}: batch {number} cannot be made again: report {position} of it: {source}"
                    ),
                ),
            }
        }
        Ok(())
    }
}

fn told(batches: &[u64]) -> String {
    let numbers: Vec<String> = batches.iter().map(ToString::to_string).collect();
    match numbers.is_empty() {
        true => "no batch".to_owned(),
        false => format!("batch {}", numbers.join(" and ")),
    }
}

/// Takes what is written only if the file goes on with exactly this, and ends where it ends.
struct Same<R> {
    file: R,
    buffer: Vec<u8>,
}

impl<R: Read> Write for Same<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.resize(bytes.len(), 0);
        self.file.read_exact(&mut self.buffer)?;
        match self.buffer == bytes {
            true => Ok(bytes.len()),
            false => Err(io::Error::other("it differs")),
        }
    }

    /// The end: a batch is flushed once, when it is whole.
    fn flush(&mut self) -> io::Result<()> {
        match self.file.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("it goes on")),
        }
    }
}
