//! The status as a page that is read without scripts, and fetched again every ten seconds.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{FolderStatus, RefusedFileStatus, Status};
use crate::model::visible::in_page;

const STYLE: &str = include_str!("page.css");

/// The page.
pub(super) fn render(status: &Status) -> String {
    let problems = problems(status);
    let (state, word) = match (status.running, problems.is_empty()) {
        (true, true) => ("good", "running"),
        (true, false) => ("bad", "running, with problems"),
        (false, _) => ("off", "not running"),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="refresh" content="10";
                title { "rcpspool: " (word) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "rcpspool " small { (in_page(&status.version)) } }
                    p class={ "state " (state) } { (word) }
                    p {
                        "As of " (time(status.time))
                        "; inboxes last looked at " (time(status.last_sweep))
                        "; counting since " (time(status.started)) "."
                    }
                }
                @for problem in &problems {
                    p class="problem" { (in_page(problem)) }
                }
                (totals(status))
                (folders(status))
                (errors(status))
                (sessions(status))
                (space(status))
            }
        }
    };
    page.into_string() + "\n"
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

fn totals(status: &Status) -> Markup {
    let reasons = status
        .refused
        .iter()
        .map(|(reason, count)| vec![reason.clone(), count.to_string()]);
    html! {
        h2 { "Messages" }
        ul class="tiles" {
            @for (outcome, count) in status.totals.by_outcome() {
                li class=(outcome) { b { (count) } " " (outcome) }
            }
        }
        @if !status.refused.is_empty() {
            (table(&["Refused because of", "Messages"], reasons))
        }
    }
}

fn folders(status: &Status) -> Markup {
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
    let heads = [
        "Facility",
        "State",
        "Waiting",
        "Settling",
        "Newer than clock",
        "In hand",
        "Held back",
        "Blocked folders",
        "In error",
        "Not files",
        "Reports to leave",
        "Outdated reports",
        "Folder",
    ];
    html! {
        h2 { "Folders" }
        (table(&heads, rows))
        @if status.claims_waiting > 0 {
            p { (status.claims_waiting) " files are claimed and wait until their writer closes them." }
        }
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

fn errors(status: &Status) -> Markup {
    html! {
        h2 { "Last refused" }
        @match (status.errors.is_empty(), status.superseded.is_empty()) {
            (true, true) => p { "Nothing lies in " code { "error/" } "." },
            (true, false) => p { "Nothing that was not corrected since." },
            (false, _) => (refused(&status.errors)),
        }
        @if !status.superseded.is_empty() {
            h2 { "Refused, and corrected since" }
            p { "A later message about the same was taken in: these can be discarded." }
            (refused(&status.superseded))
        }
    }
}

fn refused(errors: &[RefusedFileStatus]) -> Markup {
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
    )
}

fn sessions(status: &Status) -> Markup {
    let rows = status.sessions.iter().map(|session| {
        vec![
            session.date.to_string(),
            session.start.clone().unwrap_or_default(),
            session.id.clone(),
            session.label.clone().unwrap_or_default(),
            session.cases.to_string(),
        ]
    });
    html! {
        h2 { "Next sessions" }
        @match status.sessions.is_empty() {
            true => p { "No session is planned." },
            false => (table(&["Date", "Start", "Session", "Label", "Cases"], rows)),
        }
    }
}

fn space(status: &Status) -> Markup {
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
    html! {
        h2 { "Free space" }
        (table(&["Folder", "Free", "Inodes"], rows))
    }
}

/// A table; columns with nothing in them are left out.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Markup {
    let rows: Vec<Vec<String>> = rows.collect();
    let is_shown = |column: usize| {
        rows.iter()
            .any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
    };
    let class = |cell: &str| match cell {
        "unreachable" | "waits" | "blocked" => Some("bad"),
        text => text.parse::<u64>().is_ok().then_some("number"),
    };
    html! {
        div {
            table {
                thead {
                    tr {
                        @for (column, head) in heads.iter().enumerate() {
                            @if is_shown(column) { th { (head) } }
                        }
                    }
                }
                tbody {
                    @for row in &rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if is_shown(column) { td class=[class(cell)] { (in_page(cell)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn time(time: DateTime<Utc>) -> Markup {
    let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    html! {
        time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) }
    }
}
