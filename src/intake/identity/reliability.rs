//! How reliable an identity is: the codes of PID-32 (interface.md 3).

use crate::hl7::{Position, Segment};
use crate::intake::field_update::{FieldUpdate, text, word};
use crate::intake::trail::Trail;

/// What PID-32 says about the identity: its status, and what else (HL7 table 0445, French values).
pub fn reliability(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> (FieldUpdate<String>, FieldUpdate<Vec<String>>) {
    let field = pid.field(32);
    if field.is_delete() {
        trail.record_field("identity_status", &field, "");
        return (FieldUpdate::Delete, FieldUpdate::Delete);
    }
    let codes: Vec<(String, Position)> = field
        .repetitions()
        .filter_map(|code| Some((text(&code.simple())?, code.component(1).position())))
        .collect();
    let is_status = |code: &str| STATUSES.iter().any(|own| own.eq_ignore_ascii_case(code));
    let status = codes.iter().position(|(code, _)| is_status(code));
    let status = status.unwrap_or_default();
    let Some((code, place)) = codes.get(status) else {
        return (FieldUpdate::Absent, FieldUpdate::Absent);
    };
    trail.record("identity_status", code, *place, "");
    let mut attributes: Vec<String> = Vec::new();
    for (number, (attribute, place)) in codes.iter().enumerate() {
        if number != status && !attributes.contains(attribute) {
            trail.record("identity_attribute", attribute, *place, "");
            attributes.push(attribute.clone());
        }
    }
    (
        FieldUpdate::Given(code.clone()),
        FieldUpdate::Given(attributes),
    )
}

/// Whether PID-32 says that the identity is verified; one that is doubtful or fictive, or has another status too, never
/// is.
pub fn is_verified(pid: &Segment<'_>) -> bool {
    let field = pid.field(32);
    let has = |wanted: &str| {
        field
            .repetitions()
            .any(|code| word(&code.simple()).is_some_and(|code| code.eq_ignore_ascii_case(wanted)))
    };
    let others = STATUSES.into_iter().filter(|status| *status != "VALI");
    has("VALI") && !others.chain(["DOUT", "FICT"]).any(has)
}

/// The codes of PID-32 that are a status.
const STATUSES: [&str; 4] = ["VALI", "PROV", "VIDE", "INVA"];
