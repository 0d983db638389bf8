//! The status as a page that is read without scripts, and fetched again every ten seconds.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{FolderStatus, RefusedFileStatus, Status};
use crate::model::visible::in_html as escape;

const STYLE: &str = include_str!("page.css");

/// The page.
pub(super) fn render(status: &Status) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let (state, word) = match (status.running, problems(status).is_empty()) {
        (true, true) => ("good", "running"),
        (true, false) => ("bad", "running, with problems"),
        (false, _) => ("off", "not running"),
    };
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"10\">\
         <title>rcpspool: {word}</title><style>\n{STYLE}</style></head><body>\n\
         <header><h1>rcpspool <small>{version}</small></h1><p class=\"state {state}\">{word}</p>\
         <p>As of {time}; inboxes last looked at {sweep}; counting since {started}.</p></header>\n",
        version = escape(&status.version),
        time = time(status.time),
        sweep = time(status.last_sweep),
        started = time(status.started),
    );
    for problem in problems(status) {
        let _ = writeln!(page, "<p class=\"problem\">{}</p>", escape(&problem));
    }
    totals(&mut page, status);
    folders(&mut page, status);
    errors(&mut page, status);
    sessions(&mut page, status);
    space(&mut page, status);
    page.push_str("</body></html>\n");
    page
}

/// What somebody should do something about.
fn problems(status: &Status) -> Vec<String> {
    let blocked = status.folders.iter().flat_map(|folder| {
        let blocked = folder.blocked.iter();
        blocked.map(|it| {
            let since = it.since.to_rfc3339_opts(SecondsFormat::Secs, true);
            let named = match &it.folder {
                Some(name) => format!(" The first is {name}."),
                None => " A notice among the receipts names each.".to_owned(),
            };
            format!(
                "{}: {}, since {since}.{named} {}",
                folder.id, it.problem, it.next
            )
        })
    });
    let waiting = status.folders.iter().flat_map(|folder| {
        folder.holds.iter().map(|hold| {
            let since = hold.since.to_rfc3339_opts(SecondsFormat::Secs, true);
            let waits = super::what_waits(hold.held, &folder.id);
            format!("{waits}: {}, since {since}. {}", hold.cause, hold.next)
        })
    });
    let newer = status.folders.iter().filter_map(|folder| {
        let count = u64::try_from(folder.newer_than_clock).unwrap_or(u64::MAX);
        let sentence = super::newer_sentence(count)?;
        Some(format!("{}: {sentence}", folder.id))
    });
    let mut problems: Vec<String> = status
        .intake_waits
        .iter()
        .cloned()
        .chain(waiting)
        .chain(blocked)
        .chain(newer)
        .collect();
    problems.extend(status.moves.iter().map(|open| {
        let since = open
            .since
            .map(|since| format!(" since {}", since.format("%Y-%m-%d %H:%M UTC")));
        format!(
            "{} files of {} could not be moved into place{}: {}; it is tried again and again",
            open.count,
            open.facility,
            since.unwrap_or_default(),
            open.problem
        )
    }));
    problems
}

fn totals(page: &mut String, status: &Status) {
    page.push_str("<h2>Messages</h2>\n<ul class=\"tiles\">");
    for (outcome, count) in status.totals.by_outcome() {
        let _ = write!(
            page,
            "<li class=\"{outcome}\"><b>{count}</b> {outcome}</li>"
        );
    }
    page.push_str("</ul>\n");
    if !status.refused.is_empty() {
        let reasons = status
            .refused
            .iter()
            .map(|(reason, count)| vec![reason.clone(), count.to_string()]);
        table(page, &["Refused because of", "Messages"], reasons);
    }
}

fn folders(page: &mut String, status: &Status) {
    page.push_str("<h2>Folders</h2>\n");
    let rows = status.folders.iter().map(|folder| {
        vec![
            title(folder),
            match (&folder.problem, &folder.waits, folder.blocked_folders) {
                (Some(_), ..) => "unreachable".to_owned(),
                (None, Some(_), _) => "waits".to_owned(),
                (None, None, 1..) => "blocked".to_owned(),
                (None, None, 0) => "good".to_owned(),
            },
            folder
                .backlog
                .map_or("unknown".to_owned(), |count| count.to_string()),
            some(folder.settling),
            some(folder.newer_than_clock),
            some(folder.in_hand),
            some(folder.held_back),
            some(folder.blocked_folders),
            folder.errors.to_string(),
            folder.strange.to_string(),
            folder
                .reports_waiting
                .map(|count| count.to_string())
                .unwrap_or_default(),
            some(folder.reports_outdated.unwrap_or_default()),
            folder.path.to_string_lossy().into_owned(),
        ]
    });
    table(
        page,
        &[
            "Facility",
            "State",
            "Waiting",
            "Stability",
            "Newer than clock",
            "In hand",
            "Held back",
            "Blocked folders",
            "In error",
            "Not files",
            "Reports to leave",
            "Outdated reports",
            "Folder",
        ],
        rows,
    );
    if status.claims_waiting > 0 {
        let _ = writeln!(
            page,
            "<p>{} files are claimed and wait until their writer closes them.</p>",
            status.claims_waiting
        );
    }
}

/// A count, unless there is nothing to count.
fn some(count: usize) -> String {
    match count {
        0 => String::new(),
        count => count.to_string(),
    }
}

fn title(folder: &FolderStatus) -> String {
    match &folder.name {
        Some(name) => format!("{} ({name})", folder.id),
        None => folder.id.clone(),
    }
}

fn errors(page: &mut String, status: &Status) {
    page.push_str("<h2>Last refused</h2>\n");
    match (status.errors.is_empty(), status.superseded.is_empty()) {
        (true, true) => page.push_str("<p>Nothing lies in <code>error/</code>.</p>\n"),
        (true, false) => page.push_str("<p>Nothing that was not corrected since.</p>\n"),
        (false, _) => refused(page, &status.errors),
    }
    if !status.superseded.is_empty() {
        page.push_str(
            "<h2>Refused, and corrected since</h2>\n<p>A later message about the same was taken in: these can be \
             discarded.</p>\n",
        );
        refused(page, &status.superseded);
    }
}

fn refused(page: &mut String, errors: &[RefusedFileStatus]) {
    let rows = errors.iter().map(|error| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let what = match &error.message {
            Some(message) => message.clone(),
            None => text(&error.next),
        };
        vec![
            text(&error.time),
            text(&error.facility),
            text(&error.reason),
            text(&error.place),
            text(&error.message_type),
            text(&error.case),
            what,
            text(&error.file),
        ]
    });
    table(
        page,
        &[
            "When",
            "Facility",
            "Reason",
            "Where",
            "Message",
            "Case",
            "What to do",
            "File",
        ],
        rows,
    );
}

fn sessions(page: &mut String, status: &Status) {
    page.push_str("<h2>Next sessions</h2>\n");
    if status.sessions.is_empty() {
        page.push_str("<p>No session is planned.</p>\n");
        return;
    }
    let rows = status.sessions.iter().map(|session| {
        vec![
            session.date.to_string(),
            session.start.clone().unwrap_or_default(),
            session.id.clone(),
            session.label.clone().unwrap_or_default(),
            session.cases.to_string(),
        ]
    });
    table(page, &["Date", "Start", "Session", "Label", "Cases"], rows);
}

fn space(page: &mut String, status: &Status) {
    page.push_str("<h2>Free space</h2>\n");
    let rows = status.free_space.iter().map(|space| {
        vec![
            space.folder.to_string_lossy().into_owned(),
            format!("{} MiB", space.bytes >> 20),
            space
                .inodes
                .map(|inodes| inodes.to_string())
                .unwrap_or_default(),
        ]
    });
    table(page, &["Folder", "Free", "Inodes"], rows);
}

/// A table; columns with nothing in them are left out.
fn table(page: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let shown = |column: usize| {
        rows.iter()
            .any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
    };
    page.push_str("<div><table><thead><tr>");
    for (column, head) in heads.iter().enumerate() {
        if shown(column) {
            let _ = write!(page, "<th>{head}</th>");
        }
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in &rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            if shown(column) {
                let class = match cell.as_str() {
                    "unreachable" | "waits" | "blocked" => " class=\"bad\"",
                    text if text.parse::<u64>().is_ok() => " class=\"number\"",
                    _ => "",
                };
                let _ = write!(page, "<td{class}>{}</td>", escape(cell));
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn time(time: DateTime<Utc>) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(
        "<time datetime=\"{text}\">{}</time>",
        text.replace('T', " ").replace('Z', " UTC")
    )
}
