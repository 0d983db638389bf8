//! Report versions against batches, and batches against what lies in the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::value::RawValue;

use super::folders::FolderCheck;
use super::{CheckTopic, Findings, VerifyError};
use crate::model::identifiers::{CaseId, ContentHash};
use crate::model::owner::Owner;
use crate::model::report::{Batch, BatchEntry, Cursor, Report, ReportVersion, VersionOfReport};
use crate::reports::batch::{self, BatchError};
use crate::reports::message::Envelope;
use crate::spool::claim;
use crate::spool::destinations::REPORTS;
use crate::spool::fs::{Dir, Fs};
use crate::spool::layout::document_path;
use crate::store::keys;

/// What is known of each facility's reports. Keys come in order: batches, then cursors, then versions and reports.
pub struct ReportCheck {
    /// Where the batches of each facility lie, as far as its folder can be reached.
    outboxes: BTreeMap<String, Dir>,
    facilities: BTreeMap<String, FacilityReports>,
    /// Numbers up to this were a journal's that was lost.
    above: u64,
}

#[derive(Default)]
struct FacilityReports {
    cursor: Cursor,
    batches: BTreeMap<u64, Batch>,
    /// By their place in the order of the facility.
    versions: BTreeMap<u64, Vec<VersionEntry>>,
    /// The batches whose file is there.
    shown: Option<OutboxBatches>,
    /// What the versions in those are made of; a withdrawal has no PDF.
    contents: BTreeMap<BatchEntry, (Envelope, Option<ContentHash>)>,
    /// Up to which version each report is held back, as far as it has not left.
    held: BTreeMap<CaseId, u32>,
}

#[derive(Default)]
struct OutboxBatches {
    /// By the name of the file; of several of one name, the last.
    batches: BTreeMap<String, u64>,
    /// The versions that stand in them.
    versions: BTreeSet<BatchEntry>,
}

struct VersionEntry {
    entry: BatchEntry,
    batch: Option<u64>,
}

impl ReportCheck {
    pub fn new(folders: &FolderCheck) -> Self {
        let outboxes = folders.roots().filter_map(|(place, root)| match place {
            Owner::Facility(id) => Some((id.clone(), root.clone())),
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
        } else if key.starts_with(keys::REPORT_VERSIONS) {
            if let Ok(version) = serde_json::from_str::<VersionOfReport>(value.get()) {
                self.take_version(fs, version);
            }
        } else if key.starts_with(&keys::reports(None))
            && let Ok(mut report) = serde_json::from_str::<Report>(value.get())
        {
            for version in report.give_versions() {
                self.take_version(fs, version);
            }
            if report.held > 0 {
                let of = self.of(report.facility.as_str());
                of.held.insert(report.case, report.held);
            }
        }
    }

    fn take_version(&mut self, fs: &Fs, version: VersionOfReport) {
        let outbox = self.outboxes.get(version.facility.as_str()).cloned();
        let of = self.of(version.facility.as_str());
        of.take_version(fs, outbox.as_ref(), version.case, version.version);
    }

    fn of(&mut self, facility: &str) -> &mut FacilityReports {
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

impl OutboxBatches {
    fn of(fs: &Fs, outbox: Option<&Dir>, batches: &BTreeMap<u64, Batch>) -> Self {
        let mut shown = BTreeMap::new();
        for batch in batches.values() {
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
        let there = shown.values().filter_map(|number| batches.get(number));
        let versions = there.flat_map(|batch| &batch.versions).cloned();
        Self {
            versions: versions.collect(),
            batches: shown,
        }
    }
}

impl FacilityReports {
    fn take_version(
        &mut self,
        fs: &Fs,
        outbox: Option<&Dir>,
        case: CaseId,
        version: ReportVersion,
    ) {
        let Self { shown, batches, .. } = self;
        let shown = shown.get_or_insert_with(|| OutboxBatches::of(fs, outbox, batches));
        let entry = |withdrawal| BatchEntry {
            case: case.clone(),
            version: version.version,
            withdrawal,
        };
        let mut take = |entry: BatchEntry, sequence, batch, content: &dyn Fn() -> _| {
            if shown.versions.contains(&entry) {
                self.contents.insert(entry.clone(), content());
            }
            let of_sequence = self.versions.entry(sequence).or_default();
            of_sequence.push(VersionEntry { entry, batch });
        };
        take(entry(false), version.sequence, version.batch, &|| {
            let envelope = Envelope {
                prefix: version.message_before.clone(),
                suffix: version.message_after.clone(),
            };
            (envelope, Some(version.pdf.clone()))
        });
        if let Some(withdrawal) = &version.withdrawal {
            take(entry(true), withdrawal.sequence, withdrawal.batch, &|| {
                (Envelope::without_pdf(withdrawal.message.clone()), None)
            });
        }
    }

    fn check_versions(&self, facility: &str, above: u64, findings: &mut Findings) {
        let mut differs = |what: String| findings.differs(CheckTopic::Reports, what);
        for number in (above + 1..=self.cursor.batches).filter(|it| !self.batches.contains_key(it))
        {
            differs(format!("{facility}: there is no batch {number}"));
        }
        for number in self.batches.keys().filter(|it| **it > self.cursor.batches) {
            differs(format!("{facility}: batch {number} was never counted"));
        }
        let mut left: BTreeMap<&BatchEntry, Vec<u64>> = BTreeMap::new();
        for batch in self.batches.values().filter(|batch| !batch.repeats) {
            for entry in &batch.versions {
                left.entry(entry).or_default().push(batch.number);
            }
        }
        for sequence in (1..=self.cursor.versions).filter(|it| !self.versions.contains_key(it)) {
            differs(format!("{facility}: there is no report version {sequence}"));
        }
        let (mut known, mut held) = (0, 0);
        for (sequence, versions) in &self.versions {
            known += versions.len();
            let [version] = versions.as_slice() else {
                differs(format!(
                    "{facility}: several report versions have the number {sequence}"
                ));
                continue;
            };
            let VersionEntry { entry, batch } = version;
            let name = format!("{facility}: {}", entry_text(entry));
            let is_held = !entry.withdrawal
                && batch.is_none()
                && self.held.get(&entry.case) >= Some(&entry.version);
            if is_held && *sequence > self.cursor.delivered {
                held += 1;
            }
            let batches = left.remove(entry).unwrap_or_default();
            let has_left = *sequence <= self.cursor.delivered && !is_held;
            match (has_left, batches.as_slice()) {
                (true, [one]) if *batch == Some(*one) => {}
                (false, []) if batch.is_none() => {}
                (true, []) => differs(format!("{name} left, and stands in no batch")),
                (_, batches) => differs(format!(
                    "{name} is to stand in {}, and stands in {}",
                    batch_text(batch.as_slice()),
                    batch_text(batches)
                )),
            }
        }
        if held != self.cursor.held {
            differs(format!(
                "{facility}: {held} report versions are held back, and {} are counted",
                self.cursor.held
            ));
        }
        for (entry, batches) in left {
            differs(format!(
                "{facility}: {} holds {}, which there is not",
                batch_text(&batches),
                entry_text(entry)
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
        let shown = self.shown.iter();
        for (name, number) in shown.flat_map(|shown| &shown.batches) {
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
                let (envelope, pdf) = self
                    .contents
                    .get(entry)
                    .ok_or_else(|| io::Error::other("it is not known"))?;
                let Some(pdf) = pdf else {
                    return Ok((envelope.clone(), Box::new(io::empty()) as Box<dyn Read>));
                };
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
            let same = ContentComparer {
                file: io::BufReader::new(file),
                buffer: Vec::new(),
            };
            match batch::write(same, contents) {
                Ok(()) => {}
                Err(BatchError::Write(_)) => findings.differs(
                    CheckTopic::Reports,
                    format!("{facility}: {} is not what batch {number} holds", path.display()),
                ),
                Err(BatchError::Report { position, source }) => findings.differs(
                    CheckTopic::Reports,
                    format!(
                        "{facility}: batch {number} cannot be made again: report {position} of it: {source}"
                    ),
                ),
            }
        }
        Ok(())
    }
}

fn entry_text(entry: &BatchEntry) -> String {
    let BatchEntry { case, version, .. } = entry;
    let version = format!("version {version} of the report of case {case}");
    match entry.withdrawal {
        true => format!("the withdrawal of {version}"),
        false => version,
    }
}

fn batch_text(batches: &[u64]) -> String {
    let numbers: Vec<String> = batches.iter().map(ToString::to_string).collect();
    match numbers.is_empty() {
        true => "no batch".to_owned(),
        false => format!("batch {}", numbers.join(" and ")),
    }
}

/// Takes what is written only if the file goes on with exactly this, and ends where it ends.
struct ContentComparer<R> {
    file: R,
    buffer: Vec<u8>,
}

impl<R: Read> Write for ContentComparer<R> {
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
