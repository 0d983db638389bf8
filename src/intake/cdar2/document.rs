//! What a document says of itself: its code, its case, its version and its time (interface.md 5 and 9).

use chrono::{DateTime, Utc};

use crate::cda::header::{CdaHeader, places};
use crate::config::{CdaCaseId, Facility};
use crate::hl7::Timestamp;
use crate::intake::Context;
use crate::intake::message_time::{check_time, untidy_time};
use crate::intake::trail::Trail;
use crate::model::case::LastCda;
use crate::model::identifiers::CaseId;
use crate::model::outcome::{Location, Reason, Refusal, Warning};

/// The number of this version, where it has one.
pub(super) fn version(header: &CdaHeader) -> Result<Option<u64>, Refusal> {
    const LAST: u64 = 999_999_999;
    let Some(written) = &header.version_number else {
        return Ok(None);
    };
    let is_number = written.text.bytes().all(|byte| byte.is_ascii_digit());
    match written.text.parse() {
        Ok(version) if is_number && version <= LAST => Ok(Some(version)),
        _ => Err(Refusal::new(
            Reason::Malformed,
            format!("expected a whole number from 0 to {LAST} as the version, found another text"),
        )
        .at(Location::named(written.place))
        .with_value(&written.text)),
    }
}

/// Whether a document is older than the last one of its case (interface.md 5, last paragraph).
pub(super) fn is_older(this: &LastCda, last: &LastCda) -> bool {
    let same_set = this.set_id.is_some() && this.set_id == last.set_id;
    match (this.version, last.version) {
        (Some(this), Some(last)) if same_set => this < last,
        _ => this
            .time
            .zip(last.time)
            .is_some_and(|(this, last)| this < last),
    }
}

pub(super) fn time(
    header: &CdaHeader,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(written) = &header.effective_time else {
        return Ok(None);
    };
    let time = Timestamp::parse(&written.text)
        .map(|time| time.instant(context.facility.timezone))
        .map_err(|error| {
            Refusal::new(Reason::InvalidDate, error.to_string())
                .at(Location::named(written.place))
                .with_value(&written.text)
        });
    let time = time.and_then(|time| check_time(time, context, written.place));
    trail.read("document_time", &time, &written.text, written.place, "");
    time.map(Some)
}

/// The times that are read, and not written as HL7 writes them.
pub(super) fn untidy_times(header: &CdaHeader) -> impl Iterator<Item = Warning> {
    [
        &header.effective_time,
        &header.session_date,
        &header.patient.birth_time,
    ]
    .into_iter()
    .flatten()
    .filter_map(|written| untidy_time(&written.text, written.place))
}

/// The id of the case, and where it stands: the first of the configured places that has one.
pub fn case_id(header: &CdaHeader, facility: &Facility) -> Option<(CaseId, Location)> {
    let found = facility.cda.case_id.iter().find_map(|place| match place {
        CdaCaseId::Order => header.orders.first(),
        CdaCaseId::SetId => header.set_id.as_ref(),
    })?;
    Some((CaseId::new(found.value()), Location::named(found.place)))
}

pub(super) fn check_code(header: &CdaHeader, facility: &Facility) -> Result<(), Refusal> {
    let code = header.code.as_ref().map(|code| code.text.as_str());
    let accepted = &facility.cda.document_codes;
    if code.is_some_and(|code| accepted.iter().any(|accepted| accepted == code)) {
        return Ok(());
    }
    let refusal = Refusal::new(
        Reason::UnsupportedDocument,
        format!(
            "expected a document with the code {}, found {}",
            accepted.join(" or "),
            code.map_or("none", |_| "another")
        ),
    )
    .at(Location::named(places::CODE));
    Err(match code {
        Some(code) => refusal.with_value(code),
        None => refusal,
    })
}

/// Tells the trail by what a document and its versions are known.
pub(super) fn record_document(header: &CdaHeader, trail: &mut Trail) {
    trail.about("document");
    if let Some(code) = &header.code {
        trail.record("document_code", &code.text, code.place, "");
    }
    if let Some(title) = &header.title {
        trail.record("title", title, "title", "");
    }
    for (name, id) in [("id", &header.id), ("set_id", &header.set_id)] {
        if let Some(id) = id {
            trail.record(name, id.entity(), id.place, "");
        }
    }
    if let Ok(Some(version)) = version(header) {
        trail.record("version", version, places::VERSION, "");
    }
}
