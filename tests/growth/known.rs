//! What grows in the store and in the folders: one more message after so many others, and many files.

use super::desk::{HEAD, cases, list, sessions};
use super::{Dropped, Part, desk, sent};
use crate::support::{document, patient, session, siu};

fn one_more_case() -> Dropped {
    sent(
        "more.hl7",
        siu("S12", "MORE", "MORE", "20250401120000", "20310408"),
    )
}

fn documents(count: usize, change: impl Fn(usize, String) -> String) -> Dropped {
    let messages: String = (0..count)
        .map(|n| change(n, document("P0", "20250401120000", &format!("D{n}"), "X")))
        .collect();
    sent("d.hl7", messages)
}

/// Cases on one day, each of another pathway.
fn waiting(count: usize) -> Dropped {
    sent("w.hl7", text_of_waiting(count, |n| n))
}

fn text_of_waiting(count: usize, pathway: impl Fn(usize) -> usize) -> String {
    (0..count)
        .map(|n| {
            let case = siu("S12", &format!("C{n}"), "P", "20250401120000", "20310408");
            case.replace("PATHWAY-1", &format!("PATHWAY-{}", pathway(n)))
        })
        .collect()
}

/// Files, each with a patient.
fn files(count: usize, name: impl Fn(usize) -> String) -> Vec<Dropped> {
    (0..count)
        .map(|n| sent(&name(n), patient(&format!("P{n}"), "20250401120000", "")))
        .collect()
}

/// Files that are refused.
fn refused(count: usize) -> Vec<Dropped> {
    (0..count)
        .map(|n| {
            sent(
                &format!("{n}.hl7"),
                patient(&format!("P{n}"), "20250401120000", "").replace("|F|", "|X|"),
            )
        })
        .collect()
}

pub fn parts() -> Vec<Part> {
    let completed = |count: usize| {
        let mut before = cases(count);
        let commands: Vec<String> = (0..count)
            .map(|n| {
                format!(
                    r#"{{"command":"complete","facility":"demo","case":"C{n}","pdf":"r{n}.pdf","force":true}}"#
                )
            })
            .collect();
        let mut files = vec![desk("c.json", format!("[{}]", commands.join(",")))];
        files.extend((0..count).map(|n| desk(&format!("r{n}.pdf"), format!("%PDF-1.4 {n}"))));
        before.push(files);
        before
    };
    vec![
        Part::files("files in an inbox", "accepted", |count| {
            files(count, |n| format!("{n}.hl7"))
        }),
        Part::files(
            "files in an inbox, each in a subfolder",
            "accepted",
            |count| files(count, |n| format!("{n}/a.hl7")),
        )
        .most(10_000),
        Part::files("files in an inbox, of one long name", "accepted", |count| {
            files(count, |n| format!("{}{n}.hl7", "x".repeat(200)))
        }),
        Part::files("files that are refused", "rejected", refused),
        Part::new("one more message beside refused files", "accepted", |_| {
            one_more_case()
        })
        .after_refused(|count| vec![refused(count)]),
        Part::new("refused files that are retried", "accepted", |count| {
            let files: Vec<String> = (0..count)
                .map(|n| format!(r#""facilities/demo/error/{n}.hl7""#))
                .collect();
            desk(
                "r.json",
                format!(r#"{{"command":"retry","files":[{}]}}"#, files.join(",")),
            )
        })
        .after_refused(|count| vec![refused(count)])
        .held(4),
        Part::new("one more case in a session of so many", "accepted", |_| {
            one_more_case()
        })
        .after(cases)
        .held(4),
        Part::new(
            "one more case beside so many sessions of its day",
            "accepted",
            |_| one_more_case(),
        )
        .after(|count| vec![vec![sessions(count, |_| "2031-04-08".to_owned())]])
        .held(1),
        Part::new(
            "cases beside as many sessions of their day",
            "accepted",
            waiting,
        )
        .each()
        .quick([100, 2_000])
        .after(|count| vec![vec![sessions(count, |_| "2031-04-08".to_owned())]]),
        Part::new(
            "cases of one pathway beside as many sessions of theirs",
            "accepted",
            |count| sent("w.hl7", text_of_waiting(count, |_| 1)),
        )
        .each()
        .quick([100, 2_000])
        .after(|count| {
            let of_one = (0..count).map(|n| {
                format!("S{n},RCP,2031-04-08,14:00,PATHWAY-1,,10102078838,DURAND,ANNE,planned\n")
            });
            let of_one: String = of_one.collect();
            vec![vec![desk("s.csv", format!("{HEAD}{of_one}"))]]
        }),
        Part::asking(
            "`schedule --matching` of cases and sessions of one day",
            &["schedule", "--matching"],
        )
        .most(10_000)
        .quick([100, 2_000])
        .after(|count| {
            vec![
                vec![waiting(count)],
                vec![sessions(count, |_| "2031-04-08".to_owned())],
            ]
        }),
        Part::new("moves (S14) of a case with as many documents", "updated", |count| {
            let moves: String = (0..count)
                .map(|n| {
                    let ipp = ["P1", "P0"][n % 2];
                    siu("S14", "C0", ipp, &format!("20250401130000.{n:06}"), "20310408")
                })
                .collect();
            sent("m.hl7", moves)
        })
        .each()
        .after(|count| {
            let mut before = cases(2);
            before.push(vec![documents(count, |_, text| {
                text.replace("ORC|NW", "ORC|NW|C0")
            })]);
            before
        })
        .most(10_000),
        Part::new("reports of one case", "updated", |count| {
            list(count, |n| {
                format!(
                    r#"{{"command":"complete","facility":"demo","case":"C0","decision":"{n}","force":true}}"#
                )
            })
        })
        .each()
        .held(100)
        .after(|_| cases(1))
        .most(2_000),
        Part::new("one more case beside so many sessions", "accepted", |_| {
            one_more_case()
        })
        .after(|count| {
            vec![vec![sessions(count, |n| {
                format!(
                    "{}-{:02}-{:02}",
                    2032 + n / 336 % 150,
                    n % 12 + 1,
                    n % 28 + 1
                )
            })]]
        })
        .held(1),
        Part::new("one more document of a case of so many", "accepted", |_| {
            sent(
                "d2.hl7",
                document("P0", "20250401120000", "MORE", "X").replace("ORC|NW", "ORC|NW|C0"),
            )
        })
        .after(|count| {
            let mut before = cases(1);
            before.push(vec![documents(count, |_, text| {
                text.replace("ORC|NW", "ORC|NW|C0")
            })]);
            before
        })
        .most(10_000),
        Part::new("one more note of a patient of so many", "accepted", |_| {
            sent("d2.hl7", document("P0", "20250401120000", "MORE", "X"))
        })
        .after(|count| {
            let mut before = cases(1);
            before.push(vec![documents(count, |_, text| text)]);
            before
        })
        .held(1),
        Part::new(
            "the case that so many documents wait for",
            "accepted",
            |_| {
                sent(
                    "more.hl7",
                    siu("S12", "C9", "P0", "20250401120000", "20310408"),
                )
            },
        )
        .after(|count| {
            let mut before = cases(1);
            before.push(vec![documents(count, |_, text| {
                text.replace("ORC|NW", "ORC|NW|C9")
            })]);
            before
        })
        .held(10),
        Part::new(
            "one more update of a case with so long a history",
            "updated",
            |_| {
                sent(
                    "more.hl7",
                    siu("S14", "C0", "P0", "20250501120000", "20310408"),
                )
            },
        )
        .after(|count| {
            let mut before = cases(1);
            let updates: String = (0..count)
                .map(|n| {
                    siu(
                        "S14",
                        "C0",
                        "P0",
                        &format!("20250401130000.{n:06}"),
                        "20310408",
                    )
                })
                .collect();
            before.push(vec![sent("u.hl7", updates)]);
            before
        }),
        Part::new("a batch of so many reports", "accepted", |_| {
            sent("q.retrieve", "")
        })
        .without_outcome()
        .after(completed)
        .most(10_000)
        .held(8),
        Part::new("facilities in the configuration", "accepted", |_| {
            one_more_case()
        })
        .after(|_| {
            vec![vec![desk(
                "s.csv",
                session("S-1", "2031-04-08", "PATHWAY-1"),
            )]]
        })
        .with(|count| {
            (0..count)
                .map(|n| format!("[[facility]]\nid = \"f{n}\"\n"))
                .collect()
        })
        .most(1_000),
        Part::new(
            "length of a comment in the configuration",
            "accepted",
            |_| one_more_case(),
        )
        .with(|count| format!("# {}\n", "x".repeat(count * 10))),
    ]
}
