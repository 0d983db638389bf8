//! How much a `complete` may say (interface.md 7): a physician signs all of it, so nothing of it is cut in its report.

use chrono::NaiveDate;

use super::Complete;
use crate::intake::content;
use crate::model::document::ContentType;
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};
use crate::model::session::Session;
use crate::model::visible::is_blank;

/// A decision has at most so many characters and lines.
const LONGEST_DECISION: Size = Size {
    characters: 20_000,
    lines: 1_000,
};
/// At most so many people take part, and so many items are written.
const LONGEST_LIST: usize = 500;
/// What is said of participants and in items has together at most so many characters and lines.
const LONGEST_REST: Size = Size {
    characters: 50_000,
    lines: 2_000,
};

/// How long texts are.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    characters: usize,
    lines: usize,
}

impl Size {
    fn add(&mut self, text: &str) {
        self.characters += text.chars().count();
        self.lines += text.lines().count();
    }

    fn is_over(self, most: Size) -> bool {
        self.characters > most.characters || self.lines > most.lines
    }
}

/// Refuses what no report has room for.
pub(super) fn check(command: &Complete) -> Result<(), Refusal> {
    let mut decision = Size::default();
    decision.add(command.decision.as_deref().unwrap_or_default());
    check_size("as `decision`", decision, LONGEST_DECISION)?;
    for (key, count) in [
        ("participants", command.participants.len()),
        ("items", command.items.len()),
    ] {
        if count > LONGEST_LIST {
            return Err(too_much(format!(
                "expected at most {LONGEST_LIST} `{key}`, found {count}"
            )));
        }
    }
    let mut rest = Size::default();
    for participant in command.participants.iter().chain(&command.validator) {
        rest.add(participant.rpps.as_deref().unwrap_or_default());
        rest.add(&participant.family);
        rest.add(&participant.given);
        rest.add(&participant.role);
    }
    for item in &command.items {
        rest.add(&item.label);
        rest.add(&item.value);
    }
    check_size(
        "in `participants`, `validator` and `items`",
        rest,
        LONGEST_REST,
    )
}

/// Asks to be told twice what may be a mistake: that nothing was decided, or a session that is still to come on this
/// day.
pub(super) fn check_twice(
    command: &Complete,
    session: &Session,
    day: NaiveDate,
) -> Result<(), Refusal> {
    let decision = command.decision.as_deref().unwrap_or_default();
    let doubt = if command.pdf.is_none() && is_blank(decision) {
        let found = match decision.is_empty() {
            true => "found neither",
            false => "found a `decision` of nothing but blanks and characters that nobody sees",
        };
        format!(
            "expected the decision of the meeting as `decision`, or the finished report as `pdf`, {found}"
        )
    } else if day < session.date {
        format!(
            "expected a session that has met by {day}, the day of the `complete`, but {} is on {}",
            session.id, session.date
        )
    } else {
        return Ok(());
    };
    match command.force {
        true => Ok(()),
        false => Err(unless_forced(&doubt)),
    }
}

fn unless_forced(doubt: &str) -> Refusal {
    Refusal::new(
        Reason::BadCommand,
        format!("{doubt}: if that is meant, say so by `\"force\": true`, or `--force`"),
    )
}

/// Refuses a finished report whose end is missing: a physician signs it. Where it is meant all the same, warns of it.
pub(super) fn check_whole(
    command: &Complete,
    pdf: Option<&[u8]>,
) -> Result<Option<Warning>, Refusal> {
    let Some(pdf) = pdf.filter(|pdf| !content::ends_whole(pdf, ContentType::Pdf)) else {
        return Ok(None);
    };
    let doubt = format!(
        "expected a whole PDF as `pdf`, found {} bytes without the mark of its end (`%%EOF`): it was cut short on its \
         way, or is still being written",
        pdf.len()
    );
    if !command.force {
        let name = command.pdf.as_deref().unwrap_or_default();
        return Err(unless_forced(&doubt).with_value(name));
    }
    let taken = format!("{doubt}; it is the report all the same, since that was asked for");
    Ok(Some(Warning::new(WarningCode::DocumentDamaged, taken)))
}

fn check_size(place: &str, size: Size, most: Size) -> Result<(), Refusal> {
    match size.is_over(most) {
        false => Ok(()),
        true => Err(too_much(format!(
            "expected at most {} characters in {} lines {place}, found {} in {}",
            most.characters, most.lines, size.characters, size.lines
        ))),
    }
}

fn too_much(problem: String) -> Refusal {
    Refusal::new(
        Reason::BadCommand,
        format!("{problem}: shorten it, or send the finished report as `pdf`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(content: serde_json::Value) -> Complete {
        let mut command =
            serde_json::json!({"command": "complete", "facility": "demo", "case": "C1"});
        if let (Some(command), Some(content)) = (command.as_object_mut(), content.as_object()) {
            command.extend(content.clone());
        }
        serde_json::from_value(command).unwrap()
    }

    #[test]
    fn what_no_report_has_room_for_is_refused() {
        let decision = |text: String| complete(serde_json::json!({ "decision": text }));
        check(&decision("é".repeat(20_000))).unwrap();
        for (command, said) in [
            (decision("é".repeat(20_001)), "found 20001 in 1"),
            (decision("a\n".repeat(1_001)), "found 2002 in 1001"),
        ] {
            let refusal = check(&command).unwrap_err();
            assert_eq!(refusal.reason, Reason::BadCommand);
            assert!(refusal.message.contains(said), "{}", refusal.message);
            assert!(refusal.message.contains("`pdf`"), "{}", refusal.message);
        }
        let people = |count: usize| {
            let person = serde_json::json!({ "family": "DURAND", "role": "oncologue" });
            complete(serde_json::json!({ "participants": vec![person; count] }))
        };
        check(&people(500)).unwrap();
        assert!(check(&people(501)).is_err());
        let item = |value: String| {
            let item = serde_json::json!({ "label": "Essai", "value": value });
            complete(serde_json::json!({ "items": [item] }))
        };
        check(&item("x".repeat(49_000))).unwrap();
        assert!(check(&item("x".repeat(50_000))).is_err());
    }
}
