//! Making a version of a report: the PDF, and the message around it, frozen at `complete` (SPEC 8).

use chrono::SecondsFormat;

use super::{Engine, EngineError};
use crate::intake::{Content, ReportOrder};
use crate::model::change::{Change, Record};
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};
use crate::model::report::{Report, ReportVersion};
use crate::model::view::View;
use crate::reports;

/// A version of a report, made.
pub(super) struct MadeReport {
    /// The report with the version, and the facility's counts.
    pub changes: Vec<Change>,
    /// The PDF, to be kept.
    pub pdf: Content<'static>,
    /// What it lacks.
    pub warning: Option<Warning>,
}

impl Engine {
    /// Makes what a `complete` asks for; a refusal says why the report cannot be made.
    pub(super) fn make_report(
        &self,
        view: &dyn View,
        order: ReportOrder,
    ) -> Result<Result<MadeReport, Refusal>, EngineError> {
        let case = &order.case;
        let Some(facility) = self.facility(case.facility.as_str()) else {
            return Ok(Err(cannot("its facility is not in the configuration")));
        };
        let mut report = match view.report(&case.facility, &case.id)? {
            Some(report) => report,
            None => Report {
                facility: case.facility.clone(),
                case: case.id.clone(),
                number: order.number,
                document_id: order.document_id.clone(),
                versions: Vec::new(),
            },
        };
        let written = match reports::write(&order, facility) {
            Ok(written) => written,
            Err(problem) => return Ok(Err(cannot(&problem.to_string()))),
        };
        let pdf = Content::new(written.pdf);
        report.versions.push(ReportVersion {
            version: order.version,
            sequence: order.sequence,
            time: order.time,
            file_name: written.file_name,
            pdf: pdf.hash.clone(),
            size: pdf.bytes.len() as u64,
            message_before: written.envelope.prefix,
            message_after: written.envelope.suffix,
            batch: None,
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
        let facility = case.facility.clone();
        Ok(Ok(MadeReport {
            changes: vec![
                Record::Report(report).into(),
                Record::Cursor(facility, cursor).into(),
            ],
            pdf,
            warning: written.lacks.map(|lacks| {
                Warning::new(
                    WarningCode::ReportIncomplete,
                    format!("The report lacks {lacks}."),
                )
            }),
        }))
    }
}

fn cannot(problem: &str) -> Refusal {
    Refusal::new(
        Reason::BadCommand,
        format!("The report cannot be made: {problem}."),
    )
}
