//! What `check` found in messages: as the JSON of interface.md 12, and as text that shows first what is wrong.

use std::path::Path;

use serde_json::{Value, json};

use super::table::plain;
use crate::config::Facility;
use crate::intake::explain::Explanation;
use crate::intake::trail::Datum;
use crate::model::outcome::{Location, Refusal, Warning};

/// Between two columns.
const GAP: usize = 2;
/// Before each datum: room for its mark.
const INDENT: usize = 4;
/// No column is made narrower than this.
const NARROWEST: usize = 16;
/// In so much a rule can be read.
const ENOUGH: usize = 20;

/// The JSON of a message: the n-th of so many of its file.
pub fn row(
    file: &Path,
    (number, of): (usize, usize),
    facility: &Facility,
    explained: &Explanation,
) -> Value {
    let refusals = explained.refusals.iter().map(error);
    let warnings = explained.warnings.iter().map(warning);
    json!({
        "file": file.to_string_lossy(),
        "message": number,
        "messages": of,
        "facility": facility.id,
        "message_type": explained.described.message_type,
        "control_id": explained.described.control_id,
        "outcome": explained.outcome.word(),
        "data": explained.data.iter().map(datum).collect::<Vec<_>>(),
        "problems": refusals.chain(warnings).collect::<Vec<_>>(),
        "not_checked": explained.unchecked,
    })
}

fn datum(datum: &Datum) -> Value {
    json!({
        "of": datum.about,
        "name": datum.name,
        "value": datum.value,
        "where": datum.place.shown,
        "rule": datum.rule,
    })
}

fn error(refusal: &Refusal) -> Value {
    json!({
        "reason": refusal.reason.code(),
        "where": shown(refusal.place.as_ref()),
        "value": refusal.value,
        "message": refusal.message,
        "severity": "error",
        "next": refusal.reason.next_step(),
    })
}

fn warning(warning: &Warning) -> Value {
    json!({
        "reason": warning.code.code(),
        "where": shown(warning.place.as_ref()),
        "value": null,
        "message": warning.message,
        "severity": "warning",
        "next": null,
    })
}

fn shown(place: Option<&Location>) -> Option<&str> {
    place.map(|place| place.shown.as_str())
}

/// How wide the text may be, and whether it may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLayout {
    width: Option<usize>,
    coloured: bool,
}

impl TextLayout {
    /// That of a terminal of this width; plain and in one piece where there is none.
    pub fn of(terminal: Option<usize>) -> Self {
        Self {
            width: terminal,
            // https://no-color.org
            coloured: terminal.is_some()
                && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
        }
    }

    fn paint(&self, colour: TerminalColour, text: &str) -> String {
        match self.coloured && colour != TerminalColour::None && !text.trim().is_empty() {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
            false => text.to_owned(),
        }
    }

    /// The text in lines, each after this indent.
    fn paragraph(&self, first: &str, text: &str, colour: TerminalColour) -> String {
        let indent = letters(first);
        let room = self.width.map_or(usize::MAX, |width| {
            width.saturating_sub(indent).max(NARROWEST)
        });
        let mut lines = String::new();
        for (number, line) in wrap(text, room).iter().enumerate() {
            match number {
                0 => lines.push_str(&self.paint(colour, first)),
                _ => lines.push_str(&" ".repeat(indent)),
            }
            lines.push_str(&self.paint(colour, line));
            lines.push('\n');
        }
        lines
    }
}

/// What a terminal draws a text in: the numbers of ECMA-48, 8.3.117.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TerminalColour {
    None,
    Bold = 1,
    Faint = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// A row of [`row`] as text; whether it is the first of all.
pub fn render(row: &Value, is_first: bool, look: &TextLayout) -> String {
    let mut text = String::new();
    if !is_first {
        text.push('\n');
    }
    if row["message"] == 1 {
        text.push_str(&look.paragraph("", &plain(&row["file"]), TerminalColour::Bold));
    }
    text.push_str(&message(row, look));
    text
}

fn message(row: &Value, look: &TextLayout) -> String {
    let mut text = headline(row, look);
    let none = Vec::new();
    let problems = row["problems"].as_array().unwrap_or(&none);
    for it in problems {
        text.push_str(&problem(it, look));
    }
    text.push_str(&data(
        row["data"].as_array().unwrap_or(&none),
        problems,
        look,
    ));
    if let Some(unchecked) = row["not_checked"].as_str() {
        let sentence = format!("Not checked, since only the store knows it: {unchecked}.");
        text.push('\n');
        text.push_str(&look.paragraph("  ", &sentence, TerminalColour::Faint));
    }
    text
}

/// Which message it is, and what would become of it.
fn headline(row: &Value, look: &TextLayout) -> String {
    let mut what = match plain(&row["message_type"]) {
        unknown if unknown.is_empty() => "Not a message that is known".to_owned(),
        known => known,
    };
    let control_id = plain(&row["control_id"]);
    if !control_id.is_empty() {
        what.push_str(&format!(" {control_id}"));
    }
    if row["messages"] != 1 {
        what = format!("{} of {}: {what}", row["message"], row["messages"]);
    }
    let count = |severity: &str| {
        let problems = row["problems"].as_array();
        problems.map_or(0, |all| {
            all.iter().filter(|it| it["severity"] == severity).count()
        })
    };
    let counted = |count: usize, word: &str| match count {
        0 => String::new(),
        1 => format!(", 1 {word}"),
        more => format!(", {more} {word}s"),
    };
    let (outcome, colour) = match row["outcome"].as_str() {
        Some("rejected") => ("would be refused", TerminalColour::Red),
        Some("ignored") => (
            "would be ignored: it is of no use here",
            TerminalColour::Faint,
        ),
        _ => ("would be accepted", TerminalColour::Green),
    };
    let sentence = format!(
        "{what}: {outcome}{}{}",
        counted(count("error"), "error"),
        counted(count("warning"), "warning")
    );
    look.paragraph("  ", &sentence, colour)
}

/// What is wrong, where, and what to do.
fn problem(problem: &Value, look: &TextLayout) -> String {
    let (mark, colour) = match problem["severity"].as_str() {
        Some("error") => ("  ✗ ", TerminalColour::Red),
        _ => ("  ! ", TerminalColour::Yellow),
    };
    let mut first = plain(&problem["reason"]);
    let place = plain(&problem["where"]);
    if !place.is_empty() {
        first.push_str(&format!(" at {place}"));
    }
    let value = plain(&problem["value"]);
    if !value.is_empty() {
        first.push_str(&format!(": \"{value}\""));
    }
    let indent = " ".repeat(INDENT);
    let mut text = look.paragraph(mark, &first, colour);
    text.push_str(&look.paragraph(&indent, &plain(&problem["message"]), TerminalColour::None));
    let next = plain(&problem["next"]);
    if !next.is_empty() {
        text.push_str(&look.paragraph("    → ", &next, TerminalColour::None));
    }
    text
}

/// A datum as it is shown: name, value, where, rule.
struct DatumLine {
    about: String,
    mark: Option<TerminalColour>,
    cells: [String; 4],
}

fn data(data: &[Value], problems: &[Value], look: &TextLayout) -> String {
    let lines: Vec<DatumLine> = data.iter().map(|datum| line(datum, problems)).collect();
    let widest = |place: usize| {
        let cells = lines.iter().filter_map(|line| line.cells.get(place));
        cells.map(|cell| letters(cell)).max().unwrap_or_default()
    };
    let natural = [widest(0), widest(1), widest(2), widest(3)];
    let (widths, stacked) = layout(natural, look.width);
    // A flow may come back to what it spoke of before: what belongs together stands together.
    let mut abouts: Vec<&str> = Vec::new();
    for line in &lines {
        if !abouts.contains(&line.about.as_str()) {
            abouts.push(&line.about);
        }
    }
    abouts.sort_by_key(|about| *about != "message");
    let mut text = String::new();
    for about in abouts {
        text.push_str(&format!(
            "\n  {}\n",
            look.paint(TerminalColour::Bold, about)
        ));
        for line in lines.iter().filter(|line| line.about == about) {
            text.push_str(&show(line, &widths, stacked, look));
        }
    }
    text
}

fn line(datum: &Value, problems: &[Value]) -> DatumLine {
    let at = |severity: &str| {
        problems
            .iter()
            .any(|it| it["severity"] == severity && it["where"] == datum["where"])
    };
    let mark = match (at("error"), at("warning")) {
        (true, _) => Some(TerminalColour::Red),
        (_, true) => Some(TerminalColour::Yellow),
        _ => None,
    };
    let value = match &datum["value"] {
        Value::Null => "\"\" (erased)".to_owned(),
        value => plain(value),
    };
    DatumLine {
        about: plain(&datum["of"]),
        mark,
        cells: [
            plain(&datum["name"]).replace('_', " "),
            value,
            plain(&datum["where"]),
            plain(&datum["rule"]),
        ],
    }
}

/// The widths of the columns; where four do not fit, the value and the rule are wrapped, or the rule stands below its
/// place.
fn layout(natural: [usize; 4], width: Option<usize>) -> ([usize; 4], bool) {
    let [name, value, place, rule] = natural;
    let Some(width) = width else {
        return (natural, false);
    };
    let room = width.saturating_sub(INDENT);
    let sum =
        |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if sum(&natural) <= room {
        return (natural, false);
    }
    let left = room.saturating_sub(sum(&[name, place, 0, 0]));
    if left >= 2 * ENOUGH {
        let rule = rule.min(left.saturating_sub(value).max(ENOUGH));
        return (
            [name, value.min(left.saturating_sub(rule)), place, rule],
            false,
        );
    }
    let left = room.saturating_sub(sum(&[name, 0, 0]));
    let place = place.max(rule);
    // Whoever needs less than half leaves the rest to the other.
    let half = left / 2;
    let (value, place) = match (value <= half, place <= half) {
        (true, _) => (value, place.min(left.saturating_sub(value))),
        (false, true) => (value.min(left.saturating_sub(place)), place),
        (false, false) => (left - half, half),
    };
    ([name, value.max(NARROWEST), place.max(NARROWEST), 0], true)
}

fn show(line: &DatumLine, widths: &[usize; 4], stacked: bool, look: &TextLayout) -> String {
    let [name_width, value_width, place_width, rule_width] = *widths;
    let [name, value, place, rule] = &line.cells;
    let value = wrap(value, value_width);
    let mut places: Vec<(String, TerminalColour)> = wrap(place, place_width)
        .into_iter()
        .map(|line| (line, TerminalColour::None))
        .collect();
    let mut rules = Vec::new();
    match stacked {
        true if !rule.is_empty() => {
            let below = wrap(rule, place_width);
            places.extend(below.into_iter().map(|line| (line, TerminalColour::Faint)));
        }
        true => {}
        false => rules = wrap(rule, rule_width),
    }
    let mut text = String::new();
    for number in 0..value.len().max(places.len()).max(rules.len()) {
        let (mark, name) = match (number, line.mark) {
            (0, Some(TerminalColour::Red)) => ("  ✗ ", name.as_str()),
            (0, Some(_)) => ("  ! ", name.as_str()),
            (0, None) => ("    ", name.as_str()),
            _ => ("    ", ""),
        };
        let of_line = |cells: &[String]| cells.get(number).cloned().unwrap_or_default();
        let (place, colour) = places
            .get(number)
            .cloned()
            .unwrap_or((String::new(), TerminalColour::None));
        let cells = [
            (
                name.to_owned(),
                name_width,
                line.mark.unwrap_or(TerminalColour::None),
            ),
            (
                of_line(&value),
                value_width,
                line.mark.unwrap_or(TerminalColour::None),
            ),
            (place, place_width, colour),
            (of_line(&rules), rule_width, TerminalColour::Faint),
        ];
        let last = cells.iter().rposition(|(cell, ..)| !cell.is_empty());
        text.push_str(&look.paint(line.mark.unwrap_or(TerminalColour::None), mark));
        for (cell, width, colour) in cells.iter().take(last.map_or(0, |last| last + 1)) {
            text.push_str(&look.paint(*colour, cell));
            text.push_str(&" ".repeat(width.saturating_sub(letters(cell)) + GAP));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// A text in lines of at most this many letters, broken behind spaces, else within paths where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line: Vec<char> = Vec::new();
    for letter in text.chars() {
        line.push(letter);
        if line.len() <= width.max(1) {
            continue;
        }
        let break_at = line
            .iter()
            .take(width.max(1) + 1)
            .rposition(|letter| *letter == ' ')
            .or_else(|| {
                line.iter()
                    .take(width.max(1))
                    .rposition(|letter| matches!(letter, '/' | '.' | '_'))
            })
            .map_or(width.max(1), |at| at + 1);
        let rest = line.split_off(break_at);
        lines.push(line.iter().collect::<String>().trim_end().to_owned());
        line = rest;
    }
    lines.push(line.iter().collect::<String>().trim_end().to_owned());
    lines
}

/// How wide a text is, for the scripts that these data are written in.
fn letters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Value {
        json!({
            "file": "inbox/bad.hl7", "message": 1, "messages": 2,
            "message_type": "ADT^A28", "control_id": "7", "outcome": "rejected",
            "data": [
                { "of": "message", "name": "message_time", "value": "2025", "where": "MSH-7.1", "rule": null },
                { "of": "patient", "name": "given_name", "value": "Léa\u{1b}[2J", "where": "PID-5.2",
                  "rule": "no PID-5.7 = D: that of the birth name" },
                { "of": "message", "name": "network", "value": null, "where": "MSH-5.1", "rule": null },
                { "of": "patient", "name": "phone", "value": "061", "where": "PID-13.1", "rule": "PID-13.3 = CP" },
            ],
            "problems": [{
                "reason": "invalid-phone", "where": "PID-13.1", "value": "061", "severity": "error",
                "message": "expected a valid phone number", "next": "Correct the phone number.",
            }],
            "not_checked": "what is known of the patient",
        })
    }

    #[test]
    fn what_is_wrong_stands_first_and_is_marked_where_it_stands() {
        assert_eq!(
            render(&refused(), true, &TextLayout::of(None)),
            "inbox/bad.hl7\n  \
               1 of 2: ADT^A28 7: would be refused, 1 error\n  \
               ✗ invalid-phone at PID-13.1: \"061\"\n    \
                 expected a valid phone number\n    \
                 → Correct the phone number.\n\n  \
               message\n    \
                 message time  2025          MSH-7.1\n    \
                 network       \"\" (erased)   MSH-5.1\n\n  \
               patient\n    \
                 given name    Léa\\u{1b}[2J  PID-5.2   no PID-5.7 = D: that of the birth name\n  \
               ✗ phone         061           PID-13.1  PID-13.3 = CP\n\n  \
               Not checked, since only the store knows it: what is known of the patient.\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_is_lost() {
        let mut row = refused();
        row["data"][1]["value"] = "a name of many words ".repeat(5).into();
        row["data"][1]["where"] = "recordTarget/patientRole/patient/name/given".into();
        let words = |text: &str| -> Vec<String> {
            let mut letters: Vec<String> = text
                .split(|letter: char| letter.is_whitespace() || letter == '/')
                .map(str::to_owned)
                .collect();
            letters.sort();
            letters.retain(|word| !word.is_empty());
            letters
        };
        let whole = words(&render(&row, true, &TextLayout::of(None)));
        for width in [60, 80, 100, 140] {
            let look = TextLayout {
                width: Some(width),
                coloured: false,
            };
            let text = render(&row, true, &look);
            for line in text.lines() {
                assert!(letters(line) <= width, "{width}: {line}");
            }
            assert_eq!(words(&text), whole, "{text}");
        }
    }

    #[test]
    fn colours_do_not_move_columns() {
        let look = |coloured| TextLayout {
            width: Some(80),
            coloured,
        };
        let coloured = render(&refused(), true, &look(true));
        assert!(coloured.contains("\x1b[31m"), "{coloured}");
        let mut plain = String::new();
        for (number, part) in coloured.split("\x1b[").enumerate() {
            let rest = part.split_once('m').map_or(part, |(_, rest)| rest);
            plain.push_str(if number == 0 { part } else { rest });
        }
        assert_eq!(plain, render(&refused(), true, &look(false)));
    }
}
