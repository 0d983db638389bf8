//! The value of a statement in words, with its unit.

use super::dates::{french_date, french_range};
use super::units;
use super::words::{absence, leads_nowhere, same};
use crate::model::questionnaire::{Statement, is_nothing};

/// The value itself, with its unit; beside its code what was written, where that says something else.
pub(super) fn main_value(statement: &Statement) -> Option<String> {
    // What fits no code of its system may have one in another.
    let translated = || {
        let mut codes = statement.codes.iter();
        codes.find_map(|it| it.words().filter(|_| it.role == "value/translation"))
    };
    let value = statement.value.as_deref().or_else(translated);
    // Nothing else says it: not even that it is another one says which.
    let coded = || {
        let mut codes = statement.codes.iter();
        codes.find_map(|it| {
            it.code
                .as_deref()
                .filter(|_| it.role == "value/translation")
        })
    };
    let value = value.or_else(coded)?;
    let is_boolean = statement
        .value_type
        .as_deref()
        .is_some_and(|it| matches!(it, "BL" | "BN"));
    let words = match value {
        "true" if is_boolean => "Oui",
        "false" if is_boolean => "Non",
        // What a program wrote for nothing, in what an older version stored.
        nothing if is_nothing(nothing, statement.value_code.as_deref()) => {
            statement.value_code.as_deref().unwrap_or(nothing)
        }
        // Nothing but a reference that leads nowhere.
        unresolved if leads_nowhere(unresolved) => return None,
        other => other,
    };
    let mut words = match statement.value_type.as_deref() {
        Some("TS") => french_date(words),
        Some(kind) if kind.ends_with("TS") => french_range(words),
        Some(kind)
            if statement.unit.is_none()
                && (kind.starts_with("RTO")
                    || matches!(kind, "PQ" | "IVL_PQ" | "MO" | "IVL_MO")) =>
        {
            units::ratio(words)
        }
        _ => words.to_owned(),
    };
    if let Some(unit) = statement.unit.as_deref() {
        let unit = units::readable(unit, value);
        if !unit.is_empty() {
            words.push(' ');
            words.push_str(&unit);
        }
    }
    let of_value = |role: &str| matches!(role, "value" | "value/translation");
    let written = statement
        .codes
        .iter()
        .filter(|code| of_value(&code.role))
        .flat_map(|code| match code.role.as_str() {
            "value" => [None, code.text.as_deref()],
            _ => [code.words(), code.text.as_deref()],
        })
        .flatten()
        .filter(|text| *text != value && !leads_nowhere(text));
    let mut beside: Vec<&str> = Vec::new();
    for text in written {
        if !same(text, &words) && !beside.contains(&text) {
            beside.push(text);
        }
    }
    for text in beside {
        words.push_str(&format!(" ({text})"));
    }
    // A value may have words and yet say that none of its system's fits.
    let flavor = value_flavor(statement);
    if let Some(flavor) = flavor.filter(|flavor| *flavor != "OTH") {
        words.push_str(&format!(" ({})", absence(flavor).to_lowercase()));
    }
    Some(words)
}

/// Why the value says nothing; that of the code is none of it.
pub(super) fn value_flavor(statement: &Statement) -> Option<&str> {
    let of = |role: &str| {
        let mut codes = statement.codes.iter().filter(|code| code.role == role);
        codes.find_map(|code| code.null_flavor.as_deref())
    };
    let beside = statement.null_flavors.get("value").map(String::as_str);
    let own = statement.null_flavor.as_deref();
    beside
        .or_else(|| of("value"))
        .or(own.filter(|own| of("code") != Some(*own)))
}
