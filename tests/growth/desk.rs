//! What grows in the desk's commands and lists.

use super::{Dropped, Part, desk, sent};
use crate::support::{session, siu};

pub const HEAD: &str =
    "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n";

/// So many sessions, each on the day that this says.
pub fn sessions(count: usize, day: impl Fn(usize) -> String) -> Dropped {
    let rows: String = (0..count)
        .map(|n| {
            format!(
                "S{n},RCP {n},{},14:00,PATHWAY-{n},,10102078838,DURAND,ANNE,planned\n",
                day(n)
            )
        })
        .collect();
    desk("s.csv", format!("{HEAD}{rows}"))
}

/// A session with one case in it.
fn one_case() -> Vec<Vec<Dropped>> {
    vec![
        vec![desk("s.csv", session("S-1", "2031-04-08", "PATHWAY-1"))],
        vec![sent(
            "c.hl7",
            siu("S12", "C1", "P1", "20250401120000", "20310408"),
        )],
    ]
}

/// A session with so many cases in it.
pub fn cases(count: usize) -> Vec<Vec<Dropped>> {
    let messages: String = (0..count)
        .map(|n| {
            siu(
                "S12",
                &format!("C{n}"),
                &format!("P{n}"),
                "20250401120000",
                "20310408",
            )
        })
        .collect();
    vec![
        vec![desk("s.csv", session("S-1", "2031-04-08", "PATHWAY-1"))],
        vec![sent("c.hl7", messages)],
    ]
}

pub fn list(count: usize, command: impl Fn(usize) -> String) -> Dropped {
    let commands: Vec<String> = (0..count).map(command).collect();
    desk("c.json", format!("[{}]", commands.join(",")))
}

fn complete(more: &str) -> Dropped {
    desk(
        "c.json",
        format!(
            r#"{{"command":"complete","facility":"demo","case":"C1","pdf":"r.pdf","force":true,{more}}}"#
        ),
    )
}

fn with_pdf(dropped: Dropped) -> Vec<Dropped> {
    vec![dropped, desk("r.pdf", "%PDF-1.4 x")]
}

pub fn parts() -> Vec<Part> {
    vec![
        Part::new("commands of a list, empty", "rejected", |count| {
            list(count, |_| "{}".to_owned())
        })
        .each(),
        Part::new("commands of a list, unknown cases", "rejected", |count| {
            list(count, |n| {
                format!(r#"{{"command":"cancel","facility":"demo","case":"C{n}"}}"#)
            })
        })
        .each(),
        Part::new("commands of a list, each for a case", "updated", |count| {
            list(count, |n| {
                format!(r#"{{"command":"unschedule","facility":"demo","case":"C{n}"}}"#)
            })
        })
        .each()
        .after(cases),
        Part::new("sessions that are alike on one day", "accepted", |count| {
            let rows: String = (0..count)
                .map(|n| format!("S{n},RCP {n},2031-04-08,,PATHWAY-1,,,,,planned\n"))
                .collect();
            desk("s.csv", format!("{HEAD}{rows}"))
        })
        .held(4),
        Part::new("commands of a list, done before", "duplicate", |count| {
            list(count, |_| {
                r#"{"command":"schedule","facility":"demo","case":"C1","session":"S-1"}"#.to_owned()
            })
        })
        .each()
        .after(|_| one_case()),
        Part::new(
            "commands of a list, one done and the others refused",
            "rejected",
            |count| {
                list(count + 1, |n| {
                    format!(
                        r#"{{"command":"unschedule","facility":"demo","case":"C{}"}}"#,
                        n + 1
                    )
                })
            },
        )
        .each()
        .held(6)
        .most(99_999)
        .after(|_| one_case()),
        Part::new(
            "empty commands, more than a list may have",
            "rejected",
            |count| list(count * 2, |_| "{}".to_owned()),
        ),
        Part::new("fields of a command", "rejected", |count| {
            let fields: String = (0..count).map(|n| format!(r#","x{n}":1"#)).collect();
            desk(
                "c.json",
                format!(r#"{{"command":"cancel","facility":"demo","case":"C1"{fields}}}"#),
            )
        }),
        Part::new("arrays in each other", "rejected", |count| {
            desk(
                "c.json",
                format!("{}{}", "[".repeat(count), "]".repeat(count)),
            )
        }),
        Part::files("items of a `complete`", "updated", |count| {
            let items = vec![r#"{"label":"l","value":"v"}"#; count].join(",");
            with_pdf(complete(&format!(r#""items":[{items}]"#)))
        })
        .with_one_outcome()
        .after(|_| one_case())
        .most(500),
        Part::files("participants of a `complete`", "updated", |count| {
            let people = vec![r#"{"family":"DURAND","given":"ANNE","role":"r"}"#; count].join(",");
            with_pdf(complete(&format!(r#""participants":[{people}]"#)))
        })
        .with_one_outcome()
        .after(|_| one_case())
        .most(500),
        Part::files("length of a decision, in tens", "updated", |count| {
            with_pdf(complete(&format!(
                r#""decision":"{}""#,
                "word wor. ".repeat(count)
            )))
        })
        .with_one_outcome()
        .after(|_| one_case())
        .most(2_000),
        Part::new("length of an id", "rejected", |count| {
            desk(
                "c.json",
                format!(
                    r#"{{"command":"cancel","facility":"demo","case":"{}"}}"#,
                    "C".repeat(count)
                ),
            )
        }),
        Part::files("commands of a list, each with a PDF", "updated", |count| {
            let mut files = vec![list(count, |n| {
                format!(
                    r#"{{"command":"complete","facility":"demo","case":"C{n}","pdf":"{n}.pdf","force":true}}"#
                )
            })];
            files.extend((0..count).map(|n| desk(&format!("{n}.pdf"), format!("%PDF-1.4 {n}"))));
            files
        })
        .held(8)
        .most(10_000)
        .after(cases),
        Part::files("files of commands", "updated", |count| {
            (0..count)
                .map(|n| {
                    desk(
                        &format!("{n}.json"),
                        format!(r#"{{"command":"unschedule","facility":"demo","case":"C{n}"}}"#),
                    )
                })
                .collect()
        })
        .after(cases),
        Part::new("rows of a CSV", "accepted", |count| {
            sessions(count, |n| {
                format!("2031-{:02}-{:02}", n % 12 + 1, n % 28 + 1)
            })
        })
        .held(4),
        Part::new("rows of a CSV, all of one day", "accepted", |count| {
            sessions(count, |_| "2031-04-08".to_owned())
        })
        .held(4),
        Part::new(
            "rows of a CSV, all of one day and label",
            "accepted",
            |count| {
                let rows: String = (0..count)
                    .map(|n| format!("S{n},RCP,2031-04-08,14:00,PATHWAY-1,,,,,planned\n"))
                    .collect();
                desk("s.csv", format!("{HEAD}{rows}"))
            },
        )
        .held(4),
        Part::new("rows of a CSV, wrong from the first", "rejected", |count| {
            desk("s.csv", format!("id\n{}", "a\n".repeat(count * 10)))
        }),
        Part::new("empty rows of a CSV", "accepted", |count| {
            desk(
                "s.csv",
                session("S-1", "2031-04-08", "PATHWAY-1") + &"\n".repeat(count * 10),
            )
        }),
        Part::new("columns of a CSV, empty", "accepted", |count| {
            let list = session("S-1", "2031-04-08", "PATHWAY-1");
            desk(
                "s.csv",
                list.replace('\n', &format!("{}\n", ",".repeat(count * 10))),
            )
        }),
        Part::new("quoted cells of a CSV, length", "accepted", |count| {
            desk(
                "s.csv",
                session("S-1", "2031-04-08", "PATHWAY-1")
                    .replace("RCP S-1", &format!("\"{}\"", "a\"\"\n".repeat(count))),
            )
        }),
        Part::new(
            "a session cancelled, with so many cases",
            "updated",
            |count| {
                let _ = count;
                desk(
                    "s.csv",
                    session("S-1", "2031-04-08", "PATHWAY-1").replace("planned", "cancelled"),
                )
            },
        )
        .after(cases)
        .held(10),
        Part::new("a session moved, with so many cases", "updated", |count| {
            let _ = count;
            desk("s.csv", session("S-1", "2031-04-09", "PATHWAY-1"))
        })
        .after(cases)
        .held(10),
    ]
}
