//! What the PDF of a report costs by whatever in it grows: time and memory are linear or bounded, nothing is left out
//! without a word, and there is a report whatever was sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcpspool::intake::ReportOrder;
use rcpspool::model::case::{Completion, Participant, ReportItem};
use rcpspool::model::identifiers::{CaseId, DocumentId, FacilityId, Ipp};
use rcpspool::model::questionnaire::{
    Concept, Qualifier, Quantity, Questionnaire, Section, Site, Statement,
    StatementParticipant as Told,
};
use rcpspool::model::shown::ReportHashes;
use rcpspool::model::view::View;
use rcpspool::reports;
use rcpspool::store::PendingChanges;

use support::{World, take_all};

/// Sizes between which the cost may grow by a little more than by their ratio.
const SOME: usize = 25_000;
const MANY: usize = 100_000;

/// A case that is discussed, from the fixtures.
fn order(world: &World) -> ReportOrder {
    let mut engine = world.open();
    world.drop(
        "desk",
        "s.csv",
        support::session("S-1", "2025-04-15", "THORAX"),
    );
    let cda = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
    world.drop("facilities/demo", "c.xml", std::fs::read(cda).unwrap());
    take_all(&mut engine).unwrap();
    let view = PendingChanges::new(&**engine.store());
    let (demo, id) = (FacilityId::new("demo"), CaseId::new("CASE-77"));
    let case = view.case(&demo, &id).unwrap().unwrap();
    let patient = view.patient(&demo, case.ipp.as_ref().unwrap());
    let session = view.session(case.state.session().unwrap());
    let filled = view.questionnaire(&demo, &id).unwrap().unwrap();
    ReportOrder {
        validated: None,
        patient: patient.unwrap().unwrap(),
        session: session.unwrap().unwrap(),
        case,
        completion: Completion {
            decision: Some("Chirurgie première".to_owned()),
            ..Completion::default()
        },
        questionnaire: Some(filled.questionnaire),
        questionnaire_number: Some(filled.number),
        shows: ReportHashes::default(),
        former: None,
        documents: Vec::new(),
        pdf: None,
        number: 1,
        document_id: DocumentId::new("D1"),
        version: 1,
        sequence: 1,
        time: "2025-04-15T12:00:00Z".parse().unwrap(),
    }
}

/// Puts something of this size into an order.
type Grow = fn(&mut ReportOrder, usize);

fn words(count: usize) -> String {
    (0..count).map(|number| format!("mot{number} ")).collect()
}

fn statement() -> Statement {
    Statement {
        kind: "observation".to_owned(),
        label: Some("Élément".to_owned()),
        mood: Some("EVN".to_owned()),
        value: Some("Valeur".to_owned()),
        ..Statement::default()
    }
}

fn one(order: &mut ReportOrder, statement: Statement) {
    form(
        order,
        Section {
            title: Some("Bilan".to_owned()),
            statements: vec![statement],
            ..Section::default()
        },
    );
}

fn form(order: &mut ReportOrder, section: Section) {
    order.questionnaire = Some(Questionnaire {
        sections: vec![section],
        ..Questionnaire::default()
    });
}

fn value(order: &mut ReportOrder, text: String) {
    one(
        order,
        Statement {
            value: Some(text),
            ..statement()
        },
    );
}

fn narrative(order: &mut ReportOrder, text: String) {
    form(
        order,
        Section {
            title: Some("Motif".to_owned()),
            statements: vec![statement(); 300],
            text: Some(text),
            ..Section::default()
        },
    );
}

fn concept(number: usize) -> Concept {
    Concept {
        role: "value".to_owned(),
        label: Some(format!("Libellé {number}")),
        text: Some(format!("Écrit {number}")),
        ..Concept::default()
    }
}

/// Everything that grows with what hospitals and the desk send.
fn parts() -> Vec<(&'static str, Grow)> {
    vec![
        ("words of a value", |o, n| value(o, words(n))),
        ("one word", |o, n| value(o, "é".repeat(n))),
        ("capitals", |o, n| value(o, "W".repeat(n))),
        ("hyphens", |o, n| value(o, "-".repeat(n))),
        ("letters and hyphens", |o, n| value(o, "a-".repeat(n))),
        ("slashes", |o, n| value(o, "1/".repeat(n))),
        ("dots", |o, n| value(o, "1.".repeat(n))),
        ("spaces", |o, n| value(o, format!("a{}b", " ".repeat(n)))),
        ("tabs", |o, n| value(o, format!("a{}b", "\t".repeat(n)))),
        ("no-break spaces", |o, n| value(o, "\u{A0}".repeat(n) + "b")),
        ("wide spaces", |o, n| value(o, "\u{3000}".repeat(n) + "b")),
        ("empty lines", |o, n| {
            value(o, format!("a{}b", "\n".repeat(n)))
        }),
        ("lines", |o, n| value(o, "ligne\n".repeat(n))),
        ("one combining mark", |o, n| {
            value(o, format!("e{}", "\u{301}".repeat(n)))
        }),
        ("combining marks", |o, n| {
            value(o, "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}".repeat(n))
        }),
        ("marks alone", |o, n| value(o, "\u{301}\u{323}".repeat(n))),
        ("characters without a glyph", |o, n| {
            value(o, "王😀".repeat(n))
        }),
        ("invisible characters", |o, n| {
            value(o, format!("a{}b", "\u{200B}\u{202E}".repeat(n)))
        }),
        ("control characters", |o, n| value(o, "\u{1}".repeat(n))),
        ("ligatures", |o, n| value(o, "ffi".repeat(n))),
        ("long texts", |o, n| {
            form(
                o,
                Section {
                    statements: vec![
                        Statement {
                            value: Some(words(1_500)),
                            ..statement()
                        };
                        n / 1_000
                    ],
                    ..Section::default()
                },
            )
        }),
        ("label of a statement", |o, n| {
            one(
                o,
                Statement {
                    label: Some(words(n)),
                    ..statement()
                },
            )
        }),
        ("mood", |o, n| {
            one(
                o,
                Statement {
                    mood: Some("X".repeat(n)),
                    ..statement()
                },
            )
        }),
        ("statements", |o, n| {
            form(
                o,
                Section {
                    statements: vec![statement(); n],
                    ..Section::default()
                },
            )
        }),
        ("statements below one", |o, n| {
            one(
                o,
                Statement {
                    statements: vec![statement(); n],
                    ..statement()
                },
            )
        }),
        ("statements below each other", |o, n| {
            let mut deepest = statement();
            for _ in 0..n / 1_000 {
                deepest = Statement {
                    statements: vec![deepest],
                    ..statement()
                };
            }
            one(o, deepest);
        }),
        ("qualifiers", |o, n| {
            one(
                o,
                Statement {
                    qualifiers: (0..n)
                        .map(|number| Qualifier {
                            of: "targetSiteCode".to_owned(),
                            name: Some(concept(number)),
                            value: Some(concept(number)),
                        })
                        .collect(),
                    more_sites: (0..n)
                        .map(|number| Site {
                            label: Some(number.to_string()),
                            ..Site::default()
                        })
                        .collect(),
                    ..statement()
                },
            )
        }),
        ("codes", |o, n| {
            one(
                o,
                Statement {
                    codes: (0..n).map(concept).collect(),
                    ..statement()
                },
            )
        }),
        ("participants of a statement", |o, n| {
            one(
                o,
                Statement {
                    participants: (0..n)
                        .map(|number| Told {
                            name: Some(number.to_string()),
                            ..Told::default()
                        })
                        .collect(),
                    ..statement()
                },
            )
        }),
        ("quantities", |o, n| {
            one(
                o,
                Statement {
                    quantities: vec![
                        Quantity {
                            value: "1".to_owned(),
                            ..Quantity::default()
                        };
                        n
                    ],
                    ..statement()
                },
            )
        }),
        ("statements on the quorum", |o, n| {
            form(
                o,
                Section {
                    statements: vec![
                        Statement {
                            label: Some("Quorum".to_owned()),
                            ..statement()
                        };
                        n
                    ],
                    ..Section::default()
                },
            )
        }),
        ("sections", |o, n| {
            form(
                o,
                Section {
                    sections: vec![
                        Section {
                            title: Some("Titre".to_owned()),
                            ..Section::default()
                        };
                        n
                    ],
                    ..Section::default()
                },
            )
        }),
        ("title of a section", |o, n| {
            form(
                o,
                Section {
                    title: Some("\u{301}".repeat(n)),
                    ..Section::default()
                },
            )
        }),
        ("narrative in words", |o, n| narrative(o, words(n))),
        ("narrative in lines", |o, n| {
            narrative(o, "Élément | Valeur | x\n".repeat(n))
        }),
        ("narrative in cells", |o, n| {
            narrative(o, "Élément | ".repeat(n))
        }),
        ("narrator", |o, n| {
            form(
                o,
                Section {
                    participants: (0..n)
                        .map(|number| Told {
                            name: Some(number.to_string()),
                            ..Told::default()
                        })
                        .collect(),
                    ..Section::default()
                },
            )
        }),
        ("birth name", |o, n| o.patient.birth_name = "W".repeat(n)),
        ("usual name in marks", |o, n| {
            o.patient.usual_name = "e\u{301}".repeat(n)
        }),
        ("given name of marks", |o, n| {
            o.patient.given_name = "\u{301}".repeat(n)
        }),
        ("status of the identity", |o, n| {
            o.patient.identity_status = Some("V".repeat(n))
        }),
        ("IPP", |o, n| o.patient.ipp = Ipp::new("1".repeat(n))),
        ("case id", |o, n| o.case.id = CaseId::new("-".repeat(n))),
        ("label of the session", |o, n| {
            o.session.label = "\u{301}".repeat(n)
        }),
        ("start of the session", |o, n| {
            o.session.start = Some("14:00".repeat(n))
        }),
        ("name of the lead", |o, n| {
            o.session.lead.as_mut().unwrap().family = Some("\u{301}".repeat(n));
        }),
        ("decision in marks", |o, n| {
            o.completion.decision = Some("e\u{301}\u{302}\u{303}\u{304}\u{305}".repeat(n / 30))
        }),
        ("decision in lines", |o, n| {
            o.completion.decision = Some("a\n".repeat(n / 100))
        }),
        ("participants", |o, n| {
            o.completion.participants = (0..n / 200)
                .map(|number| Participant {
                    rpps: None,
                    family: format!("NOM{number}"),
                    given: "Anne".to_owned(),
                    role: format!("rôle {number}"),
                })
                .collect()
        }),
        ("items", |o, n| {
            o.completion.items = vec![
                ReportItem {
                    code: None,
                    label: "Essai".to_owned(),
                    value: "Proposé ".repeat(10),
                };
                n / 200
            ]
        }),
    ]
}

/// How long this thread had a processor: whatever else the machine does is not counted.
fn worked() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = schedule.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

/// The most memory that this process had, in MiB, since it was last forgotten.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() / 1024
}

struct Cost {
    time: Duration,
    memory: u64,
    size: usize,
    lacks: Option<String>,
}

fn cost(world: &World, base: &Base, grow: Grow, size: usize) -> Cost {
    let mut order = base.order();
    grow(&mut order, size);
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let begun = worked();
    let written = reports::write(&order, &world.config.facilities[0]).unwrap();
    let cost = Cost {
        time: worked() - begun,
        memory: peak(),
        size: written.pdf.len(),
        lacks: written.missing,
    };
    check(&written.pdf);
    cost
}

/// Other people's tools read it, where they are.
fn check(pdf: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, pdf).unwrap();
    if let Ok(said) = Command::new("qpdf").arg("--check").arg(path).output() {
        assert!(said.status.success(), "{said:?}");
    }
}

struct Base(ReportOrder);

impl Base {
    fn order(&self) -> ReportOrder {
        let order = &self.0;
        ReportOrder {
            case: order.case.clone(),
            patient: order.patient.clone(),
            session: order.session.clone(),
            completion: order.completion.clone(),
            questionnaire: order.questionnaire.clone(),
            shows: ReportHashes::default(),
            former: None,
            documents: Vec::new(),
            pdf: None,
            document_id: order.document_id.clone(),
            ..*order
        }
    }
}

#[test]
fn a_report_costs_time_and_memory_by_its_size_or_is_bounded() {
    let world = World::new();
    let base = Base(order(&world));
    // The fonts are read once.
    cost(&world, &base, |_, _| {}, 0);
    println!(
        "{:<30}{:>10}{:>10}{:>10}{:>10}{:>8}",
        "part", "25,000", "100,000", "MiB", "PDF kB", "told"
    );
    let mut slow = Vec::new();
    for (part, grow) in parts() {
        let some = cost(&world, &base, grow, SOME);
        let many = cost(&world, &base, grow, MANY);
        println!(
            "{part:<30}{:>7} ms{:>7} ms{:>10}{:>10}{:>8}",
            some.time.as_millis(),
            many.time.as_millis(),
            many.memory,
            many.size / 1024,
            many.lacks.is_some()
        );
        let floor = Duration::from_millis(100);
        if many.time > 6 * some.time.max(floor) {
            slow.push(format!("{part}: {:?}, then {:?}", some.time, many.time));
        }
        if many.memory > 400 || many.size > 3 * 1024 * 1024 {
            slow.push(format!("{part}: {} MiB, {} bytes", many.memory, many.size));
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn what_a_report_does_not_show_is_told_at_its_place_and_in_a_warning() {
    let world = World::new();
    let base = Base(order(&world));
    let read = |order: &ReportOrder| {
        let written = reports::write(order, &world.config.facilities[0]).unwrap();
        let path = world.folder.path().join("report.pdf");
        std::fs::write(&path, &written.pdf).unwrap();
        let arguments = ["-enc", "UTF-8", path.to_str().unwrap(), "-"];
        let text = Command::new("pdftotext").args(arguments).output();
        let text = text.map(|said| {
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        (written.missing, text.ok())
    };
    // A whole form lacks nothing.
    assert_eq!(read(&base.order()).0, None);

    let mut order = base.order();
    value(&mut order, "a ".repeat(20_000));
    order.session.label = format!("RCP e{}", "\u{301}".repeat(40_000));
    order.completion.decision = Some(format!("Chirurgie e{}.", "\u{301}".repeat(1_000)));
    let (lacks, text) = read(&order);
    let lacks = lacks.unwrap();
    for told in [
        "20000 characters and 0 elements of the questionnaire",
        "39505 characters of names",
        "combining marks",
    ] {
        assert!(lacks.contains(told), "{told}: {lacks}");
    }
    let Some(text) = text else {
        println!("pdftotext is not installed: the text is not looked at");
        return;
    };
    for told in [
        "[coupé ici : encore 20 000 caractères, à lire dans le document CDA du dossier]",
        "[coupé ici : encore 39 505 caractères]",
        "[U+0301 × 996].",
        "Chirurgie",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}
