//! Listings as text: aligned columns, cut to the terminal's width, plain when piped.

use chrono::{DateTime, Local, Utc};
use serde_json::Value;

use super::Listing;
use crate::model::visible::in_cell;

/// Between two columns.
const GAP: &str = "  ";
/// No column is cut below this.
const NARROWEST: usize = 8;
/// The columns that may be cut: words, and what another listing has in full. An id that is cut is of no use.
const WORDS: [&str; 10] = [
    "SUBMITTER",
    "WARNINGS",
    "USUAL NAME",
    "GIVEN NAME",
    "BIRTH NAME",
    "LABEL",
    "PATHWAY",
    "DOCUMENTS",
    "WHAT",
    "FILE",
];

/// A column: its header, and what it shows of a row.
pub type Column = (&'static str, fn(&Value) -> String);

/// A listing as text, at most `width` wide where that can be had.
pub fn render(what: Listing, rows: &[Value], width: Option<usize>) -> String {
    if what == Listing::Errors {
        return rows.iter().map(error).collect::<Vec<_>>().join("\n");
    }
    columns(columns_of(what), rows, width)
}

/// The data that come first where something is shown whole; the others follow by name.
const FIRST: [&str; 12] = [
    "id",
    "facility",
    "label",
    "state",
    "date",
    "start",
    "session",
    "can_be_scheduled",
    "ipp",
    "usual_name",
    "given_name",
    "birth_name",
];

/// Everything about one thing, as `show` gives it: its own data, then what belongs to it, then its lists as tables.
pub fn render_details(shown: &Value, width: Option<usize>) -> String {
    let Some(data) = shown.as_object() else {
        return String::new();
    };
    let mut text = pairs(shown, "");
    for (key, value) in data.iter().filter(|(_, value)| belongs(value)) {
        if key == "questionnaire" {
            text.push_str("\nquestionnaire\n");
            outline(value, 1, &mut text);
            continue;
        }
        text.push_str(&format!(
            "\n{}\n{}",
            key.replace('_', " "),
            pairs(value, GAP)
        ));
    }
    for (key, list) in data.iter().filter(|(_, value)| is_list_of_rows(value)) {
        let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let of_list: &[Column] = match key.as_str() {
            "cases" => columns_of(Listing::Cases),
            "notes" => columns_of(Listing::Notes),
            "documents" => columns_of(Listing::Documents),
            "reports" => columns_of(Listing::Reports),
            _ => HISTORY,
        };
        text.push_str(&format!("\n{key}\n{}", columns(of_list, rows, width)));
    }
    text
}

/// The sections and statements of a questionnaire, each below the one it stands in; the whole of it is in `--json`.
fn outline(questionnaire: &Value, depth: usize, text: &mut String) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let indent = GAP.repeat(depth);
    for section in list(&questionnaire["sections"]) {
        let title = either(&section, "title", "label");
        let code = plain(&section["code"]);
        let code = if code.is_empty() {
            code
        } else {
            format!(" ({code})")
        };
        text.push_str(&format!("{indent}{title}{code}\n"));
        let statements = list(&section["statements"]);
        match statements.is_empty() {
            true => {
                let narrative = plain(&section["text"]);
                let narrative =
                    (!narrative.is_empty()).then(|| format!("{indent}{GAP}{narrative}\n"));
                text.push_str(&narrative.unwrap_or_default());
            }
            false => statement_lines(&statements, depth.saturating_add(1), text),
        }
        outline(&section, depth.saturating_add(1), text);
    }
}

fn statement_lines(statements: &[Value], depth: usize, text: &mut String) {
    for statement in statements {
        let label = either(statement, "label", "kind");
        let site = &statement["site"];
        let said: Vec<String> = [
            if statement["negated"] == true {
                "NOT".to_owned()
            } else {
                String::new()
            },
            plain(&statement["value"]),
            plain(&statement["unit"]),
            plain(&site["label"]),
            plain(&site["laterality"]),
            plain(&statement["time"]),
        ]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
        let line = format!("{} {label}: {}", plain(&statement["mood"]), said.join(" "));
        let line = line.trim_end_matches([':', ' ']);
        let by_hand = match &statement["by_hand"] {
            Value::Null => String::new(),
            Value::Object(differs) => format!(
                " (by hand; the document says {})",
                plain(differs.get("differs").unwrap_or(&Value::Null))
            ),
            Value::String(word) if word == "same" => " (by hand, as the document says)".to_owned(),
            _ => " (by hand)".to_owned(),
        };
        let line = format!("{line}{by_hand}");
        text.push_str(&format!("{}{line}\n", GAP.repeat(depth)));
        let inner = statement["statements"].as_array();
        statement_lines(
            inner.map(Vec::as_slice).unwrap_or_default(),
            depth.saturating_add(1),
            text,
        );
    }
}

/// The data of an object that are no objects themselves, one in a line, those that are absent left out.
fn pairs(object: &Value, indent: &str) -> String {
    let mut pairs: Vec<(String, String)> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| indent == GAP || !belongs(value) && !is_list_of_rows(value))
        .map(|(key, value)| (key.clone(), plain(value)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    pairs.sort_by_key(|(key, _)| FIRST.iter().position(|it| it == key).unwrap_or(FIRST.len()));
    let longest = pairs
        .iter()
        .map(|(key, _)| key.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (key, value) in pairs {
        text.push_str(&format!(
            "{indent}{:longest$}{GAP}{value}\n",
            key.replace('_', " ")
        ));
    }
    text
}

/// Whether a value is something of its own, such as the patient of a case; an address is not.
fn belongs(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|data| !data.contains_key("street") && !data.contains_key("oid"))
}

fn is_list_of_rows(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.first().is_some_and(Value::is_object))
}

const HISTORY: &[Column] = &[
    ("TIME", |row| plain(&row["time"])),
    ("BY", |row| plain(&row["message_type"])),
    ("WHAT", |row| plain(&row["what"])),
    ("FILE", |row| plain(&row["file"])),
];

fn columns_of(what: Listing) -> &'static [Column] {
    match what {
        Listing::Patients => &[
            ("FACILITY", |row| plain(&row["facility"])),
            ("IPP", |row| plain(&row["ipp"])),
            ("USUAL NAME", |row| plain(&row["usual_name"])),
            ("GIVEN NAME", |row| plain(&row["given_name"])),
            ("BIRTH NAME", |row| plain(&row["birth_name"])),
            ("SEX", |row| plain(&row["sex"])),
            ("BORN", |row| plain(&row["birth_date"])),
        ],
        Listing::Cases => &[
            ("FACILITY", |row| plain(&row["facility"])),
            ("CASE", |row| plain(&row["id"])),
            ("STATE", state_of_case),
            ("SESSION", session_of_case),
            ("DATE", |row| plain(&row["date"])),
            ("PATIENT", |row| plain(&row["ipp"])),
            ("SUBMITTER", |row| {
                either(row, "submitter_name", "submitter")
            }),
            ("WARNINGS", |row| plain(&row["warnings"])),
        ],
        Listing::Sessions => &[
            ("SESSION", |row| plain(&row["id"])),
            ("DATE", |row| plain(&row["date"])),
            ("START", |row| plain(&row["start"])),
            ("STATE", |row| plain(&row["state"])),
            ("CASES", |row| count(&row["cases"])),
            ("LABEL", |row| plain(&row["label"])),
            ("PATHWAY", |row| either(row, "pathway_id", "family_id")),
        ],
        Listing::Notes => &[
            ("FACILITY", |row| plain(&row["facility"])),
            ("NOTE", |row| plain(&row["id"])),
            ("PATIENT", |row| plain(&row["ipp"])),
            ("CASE", |row| plain(&row["case"])),
            ("REASON", |row| plain(&row["reason"])),
            ("DOCUMENTS", names),
        ],
        Listing::Documents => &[
            ("FACILITY", |row| plain(&row["facility"])),
            ("PATIENT", |row| plain(&row["ipp"])),
            ("CASE", |row| plain(&row["case"])),
            ("TYPE", |row| plain(&row["type"])),
            ("SIZE", |row| plain(&row["size"])),
            ("VERSION", version),
            ("FILE", |row| plain(&row["file_name"])),
        ],
        Listing::Reports => &[
            ("FACILITY", |row| plain(&row["facility"])),
            ("CASE", |row| plain(&row["case"])),
            ("VERSION", version_of_report),
            ("BATCH", batch),
            ("FILE", |row| plain(&row["file_name"])),
        ],
        Listing::Errors => &[],
    }
}

/// Its state, and whether its report shows what was and is not.
fn state_of_case(row: &Value) -> String {
    let state = plain(&row["state"]);
    match row["report_outdated"] == true {
        true => format!("{state}, report outdated"),
        false => state,
    }
}

/// Where the case is, or where it could go.
fn session_of_case(row: &Value) -> String {
    match row["can_be_scheduled"].as_str() {
        Some(session) => format!("(fits {})", in_cell(session)),
        None => plain(&row["session"]),
    }
}

fn names(row: &Value) -> String {
    let documents = row["documents"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names: Vec<String> = documents.iter().map(|it| plain(&it["file_name"])).collect();
    names.join(", ")
}

fn version(row: &Value) -> String {
    match row["deleted"].as_bool() {
        Some(true) => "deleted".to_owned(),
        _ => plain(&row["version"]),
    }
}

fn version_of_report(row: &Value) -> String {
    let version = plain(&row["version"]);
    match row["outdated"] == true {
        true => format!("{version}, outdated"),
        false => version,
    }
}

fn batch(row: &Value) -> String {
    let withdrawn = row["withdrawn"] == true;
    match (&row["batch"], &row["withdrawal_batch"]) {
        (Value::Null, _) if withdrawn => "held back".to_owned(),
        (Value::Null, _) => "waiting".to_owned(),
        (number, Value::Null) if withdrawn => format!("{number}, withdrawal waiting"),
        (number, Value::Null) => number.to_string(),
        (number, withdrawn) => format!("{number}, withdrawn in {withdrawn}"),
    }
}

fn count(list: &Value) -> String {
    list.as_array().map_or(0, Vec::len).to_string()
}

fn either(row: &Value, first: &str, second: &str) -> String {
    match &row[first] {
        Value::Null => plain(&row[second]),
        value => plain(value),
    }
}

/// A refused file: it needs sentences, not columns.
fn error(row: &Value) -> String {
    let mut first = plain(&row["reason"]);
    for (word, key) in [("at", "where"), ("in", "message_type"), ("of case", "case")] {
        let value = plain(&row[key]);
        if !value.is_empty() {
            first.push_str(&format!(" {word} {value}"));
        }
    }
    let mut text = format!(
        "{}\n  {first}\n  {}\n",
        plain(&row["file"]),
        plain(&row["message"])
    );
    let superseded = &row["superseded"];
    if !superseded.is_null() {
        let (time, file) = (plain(&superseded["time"]), plain(&superseded["file"]));
        text.push_str(&format!("  superseded {time} by {file}\n"));
    }
    let discarded = &row["discarded"];
    if !discarded.is_null() {
        let (time, why) = (plain(&discarded["time"]), plain(&discarded["why"]));
        text.push_str(&format!("  discarded {time}: {why}\n"));
    }
    let next = plain(&row["next"]);
    if !next.is_empty() {
        text.push_str(&format!("  → {next}\n"));
    }
    text
}

/// A value in a few words: nothing for null, lists divided by commas, objects by their values.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => in_cell(text).into_owned(),
        Value::Array(list) => join(list.iter()),
        Value::Object(object) => join(object.values()),
    }
}

/// A time as a person reads it at a terminal: to the second, in the terminal's time zone.
pub fn when(value: &Value) -> String {
    let time = value.as_str().and_then(|text| text.parse().ok());
    match time {
        Some(time) => local(time),
        None => plain(value),
    }
}

/// The same of a time.
pub fn local(time: DateTime<Utc>) -> String {
    let local = time.with_timezone(&Local);
    local.format("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn join<'v>(values: impl Iterator<Item = &'v Value>) -> String {
    let words: Vec<String> = values.map(plain).filter(|word| !word.is_empty()).collect();
    words.join(", ")
}

/// Rows under headers; a column in which no row has anything is left out.
pub fn columns(columns: &[Column], rows: &[Value], width: Option<usize>) -> String {
    let cells: Vec<(&str, Vec<String>)> = columns
        .iter()
        .map(|(header, cell)| (*header, rows.iter().map(cell).collect::<Vec<_>>()))
        .filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let mut widths: Vec<usize> = cells
        .iter()
        .map(|(header, cells)| {
            let longest = cells.iter().map(|cell| letters(cell)).max();
            letters(header).max(longest.unwrap_or_default())
        })
        .collect();
    if let Some(width) = width {
        let headers: Vec<&str> = cells.iter().map(|(header, _)| *header).collect();
        narrow(&mut widths, &headers, width);
    }
    let line = |cell: &dyn Fn(usize) -> String| -> String {
        let mut line = String::new();
        for (place, width) in widths.iter().enumerate() {
            let cell = cut(&cell(place), *width);
            let padding = width.saturating_sub(letters(&cell));
            line.push_str(&cell);
            line.push_str(&" ".repeat(padding));
            line.push_str(GAP);
        }
        format!("{}\n", line.trim_end())
    };
    let nth = |place: usize, row: usize| -> String {
        let column = cells.get(place).map(|(_, cells)| cells);
        column
            .and_then(|cells| cells.get(row))
            .cloned()
            .unwrap_or_default()
    };
    let mut text = line(&|place| {
        cells
            .get(place)
            .map(|(header, _)| (*header).to_owned())
            .unwrap_or_default()
    });
    for row in 0..rows.len() {
        text.push_str(&line(&|place| nth(place, row)));
    }
    text
}

/// Takes from the widest column of words, again and again, until all fit.
fn narrow(widths: &mut [usize], headers: &[&str], room: usize) {
    let gaps = widths.len().saturating_sub(1).saturating_mul(GAP.len());
    loop {
        let taken: usize = widths.iter().sum::<usize>().saturating_add(gaps);
        let widest = widths
            .iter_mut()
            .zip(headers)
            .filter(|(width, header)| **width > NARROWEST && WORDS.contains(header))
            .map(|(width, _)| width)
            .max();
        match widest {
            Some(widest) if taken > room => *widest -= 1,
            _ => return,
        }
    }
}

fn cut(text: &str, width: usize) -> String {
    if letters(text) <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// How wide a text is, for the scripts that these data are written in.
fn letters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn note(ipp: &str, name: &str) -> Value {
        json!({ "facility": "demo", "id": "5f00", "ipp": ipp, "case": null, "reason": "no-case",
                "documents": [{ "file_name": name }] })
    }

    #[test]
    fn a_time_is_told_to_the_second_where_the_reader_is() {
        let text = "2026-11-27T03:33:27.123456789Z";
        let time: DateTime<Utc> = text.parse().unwrap();
        let told = when(&text.into());
        assert!(told.contains(":33:27 ") && !told.contains('.'), "{told}");
        let read = DateTime::parse_from_str(&told, "%Y-%m-%d %H:%M:%S %z").unwrap();
        assert_eq!(read.timestamp(), time.timestamp());
        assert_eq!(when(&"soon".into()), "soon");
        assert_eq!(when(&Value::Null), "");
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [note("1", "résumé.pdf"), note("5100001073", "b.pdf")];
        assert_eq!(
            render(Listing::Notes, &rows, None),
            "FACILITY  NOTE  PATIENT     REASON   DOCUMENTS\n\
             demo      5f00  1           no-case  résumé.pdf\n\
             demo      5f00  5100001073  no-case  b.pdf\n"
        );
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let rows = [note("5100001073", &"long".repeat(40))];
        for width in [60, 80] {
            let table = render(Listing::Notes, &rows, Some(width));
            assert!(table.lines().all(|line| letters(line) <= width), "{table}");
            assert!(
                table.contains('…') && table.contains("5100001073"),
                "{table}"
            );
        }
        // Nothing is cut to nothing, even if there is no room.
        assert!(render(Listing::Notes, &rows, Some(10)).contains("longlon…"));
    }

    #[test]
    fn what_was_sent_cannot_draw_on_the_terminal() {
        let rows = [note("1\u{1b}[2J\n", "x")];
        assert!(!render(Listing::Notes, &rows, None).contains('\u{1b}'));
    }

    #[test]
    fn a_refused_file_says_why_and_what_to_do() {
        let row = json!({ "file": "facilities/demo/error/x.hl7", "reason": "invalid-phone", "where": "PID-13.1",
            "message": "expected a phone number", "next": "Correct it.", "message_type": "SIU^S12", "case": null });
        assert_eq!(
            render(Listing::Errors, &[row], None),
            "facilities/demo/error/x.hl7\n  invalid-phone at PID-13.1 in SIU^S12\n  expected a phone number\n  → Correct it.\n"
        );
    }

    #[test]
    fn details_show_data_then_lists() {
        let shown = json!({ "id": "59384", "session": null, "warnings": [], "patient": { "sex": "F", "ipp": "1" },
            "history": [{ "time": "2025-04-08T10:00:00Z", "what": "scheduled in S-1", "file": "a.hl7", "message_type": "SIU^S12" }] });
        let text = render_details(&shown, Some(80));
        assert!(
            text.starts_with("id  59384\n\npatient\n  ipp  1\n  sex  F\n"),
            "{text}"
        );
        assert!(text.contains("\nhistory\nTIME"), "{text}");
        assert!(!text.contains("session"), "{text}");
    }

    #[test]
    fn a_questionnaire_is_an_outline() {
        let inner = json!({ "mood": "EVN", "kind": "act", "statements": [] });
        let statement = json!({ "mood": "PRP", "kind": "procedure", "label": "Lobectomie", "negated": true, "value": "14", "unit": "mm",
            "site": { "label": "poumon", "laterality": "gauche" }, "time": "2025-04-20/..", "statements": [inner] });
        let shown = json!({ "id": "1", "questionnaire": { "sections": [
            { "title": "Proposition", "code": "18776-5", "statements": [statement], "sections": [
                { "label": "Histoire", "code": "10164-2", "text": "tabac\n30 PA", "statements": [] }] }] } });
        assert_eq!(
            render_details(&shown, None),
            "id  1\n\nquestionnaire\n  Proposition (18776-5)\n    PRP Lobectomie: NOT 14 mm poumon gauche 2025-04-20/..\n      EVN act\n    Histoire (10164-2)\n      tabac 30 PA\n"
        );
    }
}
