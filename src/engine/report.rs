//! Making a version of a report: the PDF, and the message around it, frozen at `complete` (interface.md 8).

use std::sync::Arc;

use chrono::SecondsFormat;

use super::group::Group;
use super::{Engine, EngineError};
use crate::config::RenewSetting;
use crate::intake::reporting::{self, AffectedReports};
use crate::intake::{Content, ReportOrder, WithdrawalOrder};
use crate::journal::MessageRecord;
use crate::model::change::{Change, Record, Subject};
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};
use crate::model::report::{Report, ReportVersion, Withdrawal};
use crate::model::view::View;
use crate::reports;

/// A version of a report, made.
pub(super) struct NewReportVersion {
    /// The report with the version, and the facility's counts.
    pub changes: Vec<Change>,
    /// The PDF, to be kept.
    pub pdf: Content<'static>,
    /// What it lacks, and what is to be checked before it is signed.
    pub warnings: Vec<Warning>,
}

impl Engine {
    /// Makes what a `complete` asks for; a refusal says why the report cannot be made.
    pub(super) fn make_report(
        &self,
        view: &dyn View,
        order: ReportOrder,
    ) -> Result<Result<NewReportVersion, Refusal>, EngineError> {
        let case = &order.case;
        let Some(facility) = self.facility(case.facility.as_str()) else {
            return Ok(Err(cannot("its facility is not in the configuration")));
        };
        let mut report = match view.report(&case.facility, &case.id)? {
            Some(report) => report,
            None => Report::new(
                case.facility.clone(),
                case.id.clone(),
                order.number,
                order.document_id.clone(),
            ),
        };
        let written = match reports::write(&order, facility) {
            Ok(written) => written,
            Err(problem) => return Ok(Err(cannot(&problem.to_string()))),
        };
        let pdf = Content::new(written.pdf);
        report.latest = report.latest.max(order.version);
        report.waiting = report.waiting.saturating_add(1);
        let version = report.of(ReportVersion {
            version: order.version,
            sequence: order.sequence,
            time: order.time,
            validated: order.validated,
            file_name: written.file_name,
            pdf: pdf.hash.clone(),
            size: pdf.bytes.len() as u64,
            message_before: written.envelope.prefix,
            message_after: written.envelope.suffix,
            batch: None,
            shows: Some(order.shows),
            questionnaire: order.questionnaire_number,
            withdrawal: None,
        });
        let mut cursor = view.cursor(&case.facility)?;
        cursor.reports = cursor.reports.max(order.number);
        cursor.versions = cursor.versions.max(order.sequence);
        log::info!(
            "report {}-{}-{} made at {}",
            case.facility,
            order.number,
            order.version,
            order.time.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        let lacks = written.missing.map(|lacks| {
            let lacks = format!("The report lacks {lacks}.");
            Warning::new(WarningCode::ReportIncomplete, lacks)
        });
        let mismatch = case.is_identity_in_doubt(Some(&order.patient)).then(|| {
            Warning::new(
                WarningCode::IdentityMismatch,
                format!(
                    "A message or document of the case {} gave another identity than the known one: check whose case \
                     it is before the report is signed; the report shows both.",
                    case.id
                ),
            )
        });
        let facility = case.facility.clone();
        let records = Record::of_report(report, [version]);
        let records = records.chain([Record::Cursor(facility, cursor)]);
        Ok(Ok(NewReportVersion {
            changes: records.map(Change::from).collect(),
            pdf,
            warnings: lacks.into_iter().chain(mismatch).collect(),
        }))
    }
}

impl Engine {
    /// Looks after the reports that a message has made outdated, or no longer so: their next versions are made where that
    /// is asked for, and what is outdated then is remembered. One that cannot be made does not refuse the message.
    pub(super) fn follow_reports(
        &mut self,
        group: &mut Group<'_>,
        entry: &mut MessageRecord,
        concerned: AffectedReports,
        lines: &mut Vec<(Subject, String)>,
    ) -> Result<(), EngineError> {
        let config = Arc::clone(&self.config);
        // A command is the desk's: it knows what to renew.
        let mut facilities = config.facilities.iter();
        let of_facility = facilities.find(|it| it.id.as_str() == entry.facility);
        let renews = of_facility.filter(|it| it.reports.renew == RenewSetting::Auto);
        for (facility, id) in concerned.cases(&group.view, renews.is_some())? {
            if let Some(renews) = renews
                && let Some(order) = reporting::renewed(&group.view, renews, &id, entry.time)?
            {
                let (case, version) = (order.case.clone(), order.version);
                match self.make_report(&group.view, order)? {
                    Ok(mut made) => {
                        entry.moves.push(self.prepare_content(group, &made.pdf)?);
                        made.changes.push(Record::Case(case).into());
                        entry.changes.extend(group.view.apply(&made.changes)?);
                        let subject = Subject::Case(facility.clone(), id.clone());
                        lines.push((subject, format!("report renewed: version {version}")));
                    }
                    Err(refusal) => {
                        log::error!("a report of {facility} is not renewed: {refusal}");
                    }
                }
            }
            let mark = reporting::mark(&group.view, &facility, &id)?;
            entry.changes.extend(group.view.apply(mark.as_slice())?);
        }
        Ok(())
    }

    /// Writes the message that withdraws a report; the version that left keeps it.
    pub(super) fn withdraw_report(&self, order: WithdrawalOrder) -> Result<Change, Refusal> {
        let id = order.case.facility.as_str();
        let Some(facility) = self.facility(id) else {
            return Err(cannot("its facility is not in the configuration"));
        };
        let message = reports::withdraw(&order, facility);
        let mut version = order.version;
        log::info!(
            "report {id}-{}-{} withdrawn",
            order.number,
            version.version.version
        );
        version.version.withdrawal = Some(Withdrawal {
            sequence: order.sequence,
            time: order.time,
            message,
            batch: None,
        });
        Ok(Record::from(version).into())
    }
}

fn cannot(problem: &str) -> Refusal {
    Refusal::new(
        Reason::BadCommand,
        format!("The report cannot be made: {problem}."),
    )
}
