//! What a flow cannot do without: a segment, a text, or an id that can be read, whose absence is refused.

use super::trail::Trail;
use crate::hl7::{Message, Position, Segment, Value};
use crate::model::outcome::{Location, Reason, Refusal};
use crate::model::visible::is_hidden;

/// The first segment of this name, which the flow needs.
pub fn required_segment<'m>(
    message: &Message<'m>,
    name: &str,
    trail: &mut Trail,
) -> Result<Segment<'m>, Refusal> {
    let segment = message.first(name).ok_or_else(|| {
        Refusal::new(
            Reason::MissingSegment,
            format!("expected a segment {name}, found none"),
        )
        .at(Position::of_segment(name))
    });
    trail.go_on(segment, || message.absent(name))
}

/// The text of a value that is required: `what` in words, `name` and `rule` for the trail.
pub fn required_text(
    value: &Value<'_>,
    what: &str,
    name: &str,
    rule: &str,
    trail: &mut Trail,
) -> Result<String, Refusal> {
    let text = trail
        .record_field(name, value, rule)
        .given()
        .ok_or_else(|| {
            Refusal::new(
                Reason::MissingField,
                format!("expected the {what}, found nothing"),
            )
            .at(value.position())
        });
    trail.go_on(text, String::new)
}

/// Refuses an id in which a character stands that nobody sees: it would be another one that looks the same. `what` it is
/// in words.
pub fn check_visible(id: &str, what: &str, place: impl Into<Location>) -> Result<(), Refusal> {
    match id.chars().find(|character| is_hidden(*character)) {
        None => Ok(()),
        Some(hidden) => Err(Refusal::new(
            Reason::Malformed,
            format!(
                "expected a {what} of characters that can be seen, found U+{:04X} in it; send it without",
                u32::from(hidden)
            ),
        )
        .at(place)
        .with_value(id)),
    }
}
