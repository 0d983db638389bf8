//! The time of a message, by which messages are ordered (interface.md 9).

use chrono::{DateTime, TimeDelta, Utc};

use super::Context;
use super::field_update::text;
use super::trail::Trail;
use crate::hl7::{Message, Timestamp};
use crate::model::outcome::{Location, Reason, Refusal, Warning, WarningCode};

/// When the message was made (MSH-7), by which messages are ordered (interface.md 9).
pub fn message_time(
    message: &Message<'_>,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<DateTime<Utc>, Refusal> {
    trail.about("message");
    let time = read_message_time(message, context, trail);
    trail.go_on(time, || DateTime::UNIX_EPOCH)
}

fn read_message_time(
    message: &Message<'_>,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<DateTime<Utc>, Refusal> {
    let value = message.header().field(7).component(1);
    let Some(text) = text(&value) else {
        return Err(Refusal::new(
            Reason::MissingField,
            "expected the time of the message, by which older ones are told, found nothing",
        )
        .at(message.header().field(7).position()));
    };
    let time = Timestamp::parse(&text)
        .map(|time| time.instant(context.facility.timezone))
        .map_err(|error| {
            Refusal::new(Reason::InvalidDate, error.to_string())
                .at(value.position())
                .with_value(&text)
        });
    let time = time.and_then(|time| check_time(time, context, value.position()));
    trail.read("message_time", &time, &text, value.position(), "");
    time
}

/// Refuses a time that is too far ahead of ours: all that comes later with a right one would count as older.
pub fn check_time(
    time: DateTime<Utc>,
    context: &Context<'_>,
    place: impl Into<Location>,
) -> Result<DateTime<Utc>, Refusal> {
    let latest = TimeDelta::from_std(context.future)
        .ok()
        .and_then(|future| context.now.checked_add_signed(future));
    if latest.is_none_or(|latest| time <= latest) {
        return Ok(time);
    }
    let shown = |time: DateTime<Utc>| {
        let local = time.with_timezone(&context.facility.timezone);
        local.format("%Y-%m-%d %H:%M:%S %:z").to_string()
    };
    let (sent, ours) = (shown(time), shown(context.now));
    Err(Refusal::new(
        Reason::FutureTime,
        format!(
            "expected a time that is not ahead of ours by more than intake.future allows, found {sent}, while our clock says {ours}"
        ),
    )
    .at(place)
    .with_value(&sent))
}

/// The warning that a date and time is not written as HL7 writes it, where this one is not.
pub fn untidy_time(text: &str, place: impl Into<Location>) -> Option<Warning> {
    let read = Timestamp::parse(text).ok()?;
    read.is_untidy().then(|| {
        Warning::new(
            WarningCode::TimeUntidy,
            format!(
                "expected a date and time such as 20240306111154 or 20240306111154.637, found another form of one; it was read as {}",
                read.written()
            ),
        )
        .at(place)
    })
}
