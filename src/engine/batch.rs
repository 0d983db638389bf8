//! Batches: every report version leaves in exactly one, behind the facility's stored cursor (interface.md 8).

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;

use super::group::Group;
use super::{ClaimedFile, Engine, EngineError, HoldScope};
use crate::config::Every;
use crate::intake::Redelivery;
use crate::journal::{Closing, Entry, Move};
use crate::model::change::{Change, Record};
use crate::model::identifiers::{CaseId, ContentHash, FacilityId};
use crate::model::outcome::{Reason, Refusal};
use crate::model::owner::Owner;
use crate::model::report::{Batch, BatchEntry, Cursor, Report};
use crate::model::view::View;
use crate::reports;
use crate::reports::batch::BatchError;
use crate::reports::message::Envelope;
use crate::spool::fs::{Dir, FsError};
use crate::spool::layout::document_path;
use crate::spool::scope::ErrorScope;
use crate::spool::{claim, destinations};
use crate::store::{KeyChange, keys};

/// Written piece by piece: a batch may be larger than memory.
const BUFFER_BYTES: usize = 256 * 1024;

impl Engine {
    /// Answers a request: a batch of what was added since the last one, empty if nothing was.
    pub(super) fn answer_request(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
    ) -> Result<(), EngineError> {
        let Owner::Facility(id) = &claimed.owner else {
            return Ok(());
        };
        let Some(root) = self.root(&claimed.owner).cloned() else {
            return Ok(());
        };
        let facility = FacilityId::new(id.clone());
        let received = &claimed.claim.received;
        let name = received.with_extension("xml");
        let name = name.file_name().unwrap_or_default().to_owned();
        let (changes, batch_move) = match self.next_batch(group, &facility, name) {
            Err(error @ EngineError::Report(_)) => {
                // Neither other facilities nor the other files of this one wait for its damage to be mended.
                self.hold_reports(&claimed.owner, &error);
                group.release(claimed);
                self.waiting.push_back(claimed.clone());
                return Ok(());
            }
            made => made?,
        };
        self.holds.lift(&claimed.owner, HoldScope::Reports);
        let day = self.day(&claimed.owner, self.now());
        let names = &mut self.names;
        let named = names.choose_any(&self.fs, &self.folders, &root, received, &day, &|_| {
            Vec::new()
        })?;
        let to = destinations::done(&day, &named);
        self.folders.parent(&self.fs, &root, &to)?;
        let request_move = Move {
            place: claimed.owner.clone(),
            from: claimed.path_in_work(),
            to: claim::to_text(&to),
        };
        group.enter(Entry::Closing(Box::new(Closing {
            claim: claimed.claim.key(),
            messages: 0,
            changes,
            moves: vec![request_move, batch_move],
        })));
        Ok(())
    }

    /// Writes a batch nobody asked for, if there is something to put into it.
    fn write_batch_of_new_reports(&mut self, id: &str) -> Result<(), EngineError> {
        let facility = FacilityId::new(id);
        let store = Arc::clone(&self.store);
        let mut group = Group::new(&*store);
        let cursor = group.view.cursor(&facility)?;
        if cursor.waiting() == 0 {
            return Ok(());
        }
        let name = self.batch_name(id, cursor.batches + 1);
        let (changes, batch_move) = self.next_batch(&mut group, &facility, name)?;
        group.enter(Entry::Changes {
            what: format!("batch {} of {id}", cursor.batches + 1),
            changes,
            moves: vec![batch_move],
        });
        self.commit(group)
    }

    /// Writes an extra batch of reports that left before; the cursor stays.
    pub(super) fn redeliver(
        &mut self,
        group: &mut Group<'_>,
        facility: &FacilityId,
        which: &Redelivery,
    ) -> Result<Result<(Vec<Change>, Move), Refusal>, EngineError> {
        let cursor = group.view.cursor(facility)?;
        let mut versions = Vec::new();
        match which {
            Redelivery::Batch(number) => match group.view.batch(facility, *number)? {
                Some(batch) => versions = batch.versions,
                None => {
                    return Ok(Err(Refusal::new(
                        Reason::BadCommand,
                        format!(
                            "There is no batch {number} of {facility}; its batches go from 1 to {}.",
                            cursor.batches
                        ),
                    )));
                }
            },
            Redelivery::Since(time) => {
                let batches: Vec<Batch> = group.view.all(&keys::batches(Some(facility)))?;
                let since = batches
                    .into_iter()
                    .filter(|batch| batch.time >= *time && !batch.repeats);
                versions.extend(since.flat_map(|batch| batch.versions));
            }
        }
        let number = cursor.batches + 1;
        let name = self.batch_name(facility.as_str(), number);
        let (batch, batch_move) =
            self.write_batch(group, facility, name, number, versions, true)?;
        let cursor = Cursor {
            batches: number,
            ..cursor
        };
        let changes = vec![
            Record::Batch(batch).into(),
            Record::Cursor(facility.clone(), cursor).into(),
        ];
        Ok(Ok((changes, batch_move)))
    }

    /// Everything after the cursor, in order, and the cursor behind it: the changes, which the view has already.
    fn next_batch(
        &mut self,
        group: &mut Group<'_>,
        facility: &FacilityId,
        name: OsString,
    ) -> Result<(Vec<KeyChange>, Move), EngineError> {
        let cursor = group.view.cursor(facility)?;
        let number = cursor.batches + 1;
        let mut versions = Vec::new();
        for sequence in cursor.delivered + 1..=cursor.versions {
            let entry = group
                .view
                .report_in_sequence(facility, sequence)?
                .ok_or_else(|| absent(facility, &format!("report version {sequence}")))?;
            // What had not left when its case was opened again never does.
            let is_held = !entry.withdrawal
                && report(&group.view, facility, &entry.case)?.held >= entry.version;
            if !is_held {
                versions.push(entry);
            }
        }
        let (batch, batch_move) =
            self.write_batch(group, facility, name, number, versions, false)?;
        let delivered = Cursor {
            delivered: cursor.versions,
            held: 0,
            batches: number,
            ..cursor
        };
        let mut changes = Vec::new();
        // One by one: all of them would be much memory.
        for entry in &batch.versions {
            let Some(mut report) = group.view.report(facility, &entry.case)? else {
                continue;
            };
            let Some(mut left) = group.view.report_version(&report, entry.version)? else {
                continue;
            };
            match &mut left.withdrawal {
                Some(withdrawal) if entry.withdrawal => withdrawal.batch = Some(number),
                _ => {
                    left.batch = Some(number);
                    report.left = report.left.max(Some(entry.version));
                    report.waiting = report.waiting.saturating_sub(1);
                }
            }
            let left = report.of(left);
            let records = Record::of_report(report, [left]);
            let records: Vec<Change> = records.map(Change::from).collect();
            changes.append(&mut group.view.apply(&records)?);
        }
        let behind = [
            Record::Batch(batch).into(),
            Record::Cursor(facility.clone(), delivered).into(),
        ];
        changes.append(&mut group.view.apply(&behind)?);
        Ok((changes, batch_move))
    }

    /// Writes a batch under a name nobody looks for, and the move that shows it.
    fn write_batch(
        &mut self,
        group: &mut Group<'_>,
        facility: &FacilityId,
        name: OsString,
        number: u64,
        versions: Vec<BatchEntry>,
        repeats: bool,
    ) -> Result<(Batch, Move), EngineError> {
        let place = Owner::Facility(facility.as_str().to_owned());
        let Some(root) = self.root(&place).cloned() else {
            return Err(EngineError::Unreachable(facility.to_string()));
        };
        let (dir, prepared, from) = self.prepared_file(group, &place)?;
        let written =
            self.fill_batch(&group.view, facility, (&dir, &prepared), &versions)
                .and_then(|()| {
                    let names = &mut self.names;
                    Ok(names.choose_in(
                        &self.fs,
                        &self.folders,
                        &root,
                        destinations::REPORTS,
                        &name,
                    )?)
                });
        if written.is_err() {
            self.take_back_prepared(group);
        }
        let to = written?;
        let shown = to.file_name().unwrap_or_default();
        let batch = Batch {
            facility: facility.clone(),
            number,
            file_name: claim::to_text(Path::new(shown)),
            time: self.now(),
            versions,
            repeats,
        };
        let batch_move = Move {
            place,
            from,
            to: claim::to_text(&to),
        };
        Ok((batch, batch_move))
    }

    /// Writes the messages of these versions into the prepared file.
    fn fill_batch(
        &self,
        view: &dyn View,
        facility: &FacilityId,
        (dir, prepared): (&Dir, &OsStr),
        versions: &[BatchEntry],
    ) -> Result<(), EngineError> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, self.fs.create(dir, prepared)?);
        let contents = versions.iter().map(|entry| {
            self.content(view, facility, entry)
                .map_err(io::Error::other)
        });
        reports::batch::write(out, contents).map_err(|error| match error {
            BatchError::Write(source) => EngineError::Disk(FsError {
                action: "write a batch in",
                path: dir.path().to_owned(),
                source,
            }),
            BatchError::Report { position, source } => match source.downcast::<EngineError>() {
                Ok(error) => error,
                Err(source) => {
                    EngineError::Report(BatchError::Report { position, source }.to_string())
                }
            },
        })
    }

    /// The message of a report version and its PDF, to be read.
    fn content(
        &self,
        view: &dyn View,
        facility: &FacilityId,
        entry: &BatchEntry,
    ) -> Result<(Envelope, Box<dyn Read>), EngineError> {
        let report = report(view, facility, &entry.case)?;
        let version = view
            .report_version(&report, entry.version)?
            .ok_or_else(|| absent(facility, &format!("version {} of a report", entry.version)))?;
        if entry.withdrawal {
            let withdrawal = version.withdrawal;
            let message = withdrawal.map(|it| it.message).ok_or_else(|| {
                absent(
                    facility,
                    &format!("the withdrawal of version {}", entry.version),
                )
            })?;
            return Ok((Envelope::without_pdf(message), Box::new(io::empty())));
        }
        let path = document_path(&version.pdf);
        let documents = &self.spool.documents;
        let path = Path::new(&path);
        let folder = path.parent().unwrap_or(Path::new(""));
        let lacks = || absent_document(facility, &version.pdf, "it is not there");
        let dir = self.folders.find(&self.fs, documents, folder)?;
        let name = path.file_name().unwrap_or_default();
        let pdf = self.fs.open(&dir.ok_or_else(lacks)?, name);
        let pdf = pdf.map_err(|error| match error.scope() {
            ErrorScope::Process => EngineError::Disk(error),
            _ => absent_document(facility, &version.pdf, &error.source.to_string()),
        })?;
        let envelope = Envelope {
            prefix: version.message_before,
            suffix: version.message_after,
        };
        Ok((envelope, Box::new(pdf)))
    }

    fn batch_name(&self, facility: &str, number: u64) -> OsString {
        let time = self.now().format("%Y%m%dT%H%M%SZ");
        format!("reports_{facility}_{time}_{number}.xml").into()
    }
}

fn report(view: &dyn View, facility: &FacilityId, case: &CaseId) -> Result<Report, EngineError> {
    view.report(facility, case)?
        .ok_or_else(|| absent(facility, &format!("the report of case {case}")))
}

fn absent_document(facility: &FacilityId, pdf: &ContentHash, problem: &str) -> EngineError {
    EngineError::Report(format!(
        "the PDF of a report of {facility}, documents/{}, cannot be read: {problem}",
        document_path(pdf)
    ))
}

fn absent(facility: &FacilityId, what: &str) -> EngineError {
    EngineError::Report(format!(
        "the store of {facility} lacks {what}: run `rcpspool rebuild`"
    ))
}

impl Engine {
    /// Writes a batch for each facility that has reports which did not leave yet, unless it only wants them on request.
    pub fn write_due_batches(&mut self) -> Result<(), EngineError> {
        let on_request = |id: &String| {
            self.facility(id)
                .is_some_and(|facility| facility.reports.every == Every::OnRequest)
        };
        let facilities: Vec<String> = self
            .facility_folders
            .keys()
            .filter(|id| !on_request(id))
            .cloned()
            .collect();
        for facility in facilities {
            self.write_due_batch(&facility)?;
        }
        Ok(())
    }

    /// Writes a batch for this facility if it has reports which did not leave yet. What is of this facility alone holds
    /// its reports, and nothing else.
    ///
    /// # Errors
    /// Of the journal, or of what everybody needs.
    pub fn write_due_batch(&mut self, facility: &str) -> Result<(), EngineError> {
        let place = Owner::Facility(facility.to_owned());
        match self.write_batch_of_new_reports(facility) {
            Ok(()) => {
                self.holds.lift(&place, HoldScope::Reports);
                Ok(())
            }
            Err(
                error @ (EngineError::Report(_)
                | EngineError::Disk(_)
                | EngineError::PlaceSync(_)
                | EngineError::Unreachable(_)),
            ) => {
                self.hold_reports(&place, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
