//! The sex and the date of birth of PID-8 and PID-7 (interface.md 3).

use crate::hl7::{Segment, Timestamp};
use crate::intake::field_update::{FieldUpdate, another, field_update};
use crate::intake::trail::Trail;
use crate::model::date::PartialDate;
use crate::model::outcome::{Location, Reason, Refusal};
use crate::model::patient::Sex;

pub(super) fn sex(pid: &Segment<'_>, trail: &mut Trail) -> Result<FieldUpdate<Sex>, Refusal> {
    let sex = read_sex_of(pid, trail);
    trail.go_on(sex, FieldUpdate::default)
}

pub(super) fn read_sex_of(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> Result<FieldUpdate<Sex>, Refusal> {
    let value = pid.field(8).component(1);
    if let Some(place) = another(&pid.field(8), 1) {
        let refusal = Refusal::new(
            Reason::SexNotSupported,
            "expected one sex, found another one behind it",
        );
        return Err(refusal.at(place));
    }
    match trail.record_field("sex", &value, "") {
        FieldUpdate::Absent => Ok(FieldUpdate::Absent),
        FieldUpdate::Delete => Ok(FieldUpdate::Delete),
        FieldUpdate::Given(code) => read_sex(&code, value.position()).map(FieldUpdate::Given),
    }
}

/// The sex of a code (interface.md 3).
pub fn read_sex(code: &str, place: impl Into<Location>) -> Result<Sex, Refusal> {
    match code {
        "M" => Ok(Sex::M),
        "F" => Ok(Sex::F),
        other => Err(Refusal::new(
            Reason::SexNotSupported,
            "expected the sex M or F, found another",
        )
        .at(place)
        .with_value(other)),
    }
}

pub(super) fn birth_date(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> Result<FieldUpdate<PartialDate>, Refusal> {
    let date = read_birth_date_of(pid, trail);
    trail.go_on(date, FieldUpdate::default)
}

pub(super) fn read_birth_date_of(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> Result<FieldUpdate<PartialDate>, Refusal> {
    let value = pid.field(7).component(1);
    match field_update(&value.simple()) {
        FieldUpdate::Absent => Ok(FieldUpdate::Absent),
        FieldUpdate::Delete => {
            trail.record_field("birth_date", &value.simple(), "");
            Ok(FieldUpdate::Delete)
        }
        FieldUpdate::Given(text) => {
            let date = match another(&pid.field(7), 1) {
                None => read_birth_date(&text, value.position()),
                Some(place) => Err(Refusal::new(
                    Reason::InvalidDate,
                    "expected one date of birth, found another one behind it",
                )
                .at(place)),
            };
            trail.read("birth_date", &date, &text, value.position(), "");
            date.map(FieldUpdate::Given)
        }
    }
}

/// The date of birth, to the precision in which it is written.
pub fn read_birth_date(text: &str, place: impl Into<Location>) -> Result<PartialDate, Refusal> {
    Timestamp::parse(text)
        .map(|time| time.partial_date())
        .map_err(|error| {
            let expected =
                "expected the date of birth as yyyymmdd (or yyyy, yyyymm), found what is no date";
            Refusal::new(Reason::InvalidDate, error.or(expected))
                .at(place)
                .with_value(text)
        })
}
