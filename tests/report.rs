//! What leaves for the hospital: nothing of a questionnaire is missing in its PDF, and other people's tools read the
//! message as interface.md 8 says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcpspool::listing::{self, ShowSubject};
use rcpspool::model::identifiers::{CaseId, FacilityId};
use rcpspool::model::view::View;
use rcpspool::store::PendingChanges;
use serde_json::Value;

use support::{World, take_all};

/// The meetings of our documents and of the samples.
const SESSIONS: &str = "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
    S-THORAX-15,RCP Thorax,2025-04-15,14:00,,,10102078838,DURAND,Anne,planned\n\
    234567890,RCP Sein,2019-02-18,14:30,,,10102078838,DURAND,Anne,planned\n\
    S-OTHER,RCP,2025-04-16,14:30,,,10102078838,DURAND,Anne,planned\n";

/// Our own document, and those of the samples where they are.
fn documents() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![here.join("fixtures/cda/meeting.xml")];
    match std::fs::read_dir(here.join("../shared/samples/frcp")) {
        Ok(entries) => documents.extend(entries.map(|entry| entry.unwrap().path())),
        Err(_) => println!("there is no ../shared/samples: only our own document is looked at"),
    }
    documents
}

/// Takes a document in, completes its case; the questionnaire and the PDF.
fn reported(document: &Path, settings: &str) -> Option<(Value, Vec<u8>)> {
    let world = World::with(settings);
    let mut engine = world.open();
    world.drop("desk", "s.csv", SESSIONS);
    world.drop("facilities/demo", "c.xml", std::fs::read(document).unwrap());
    take_all(&mut engine).unwrap();
    let facility = FacilityId::new("demo");
    let cases = listing::list(
        listing::Listing::Cases,
        &listing::Filter::default(),
        &**engine.store(),
        engine.config(),
    );
    let cases = cases.unwrap();
    let case = cases.first()?.clone();
    let id = case["id"].as_str()?.to_owned();
    if case["state"] != "scheduled" {
        println!("{}: no session takes it: left out", document.display());
        return None;
    }
    let complete = serde_json::json!({
        "command": "complete", "facility": "demo", "case": id, "decision": "Chirurgie première",
    });
    world.drop("desk", "c.json", complete.to_string());
    take_all(&mut engine).unwrap();
    let id = CaseId::new(id);
    let view = PendingChanges::new(&**engine.store());
    let report = view.report(&facility, &id).unwrap().unwrap();
    let version = view.report_version(&report, 1).unwrap().unwrap();
    let hash = version.pdf.as_str().to_owned();
    let pdf = std::fs::read(world.path("documents").join(&hash[..2]).join(&hash)).unwrap();
    let subject = ShowSubject::Case { facility, id };
    let shown = listing::show(&subject, &**engine.store()).unwrap().unwrap();
    Some((shown["questionnaire"].clone(), pdf))
}

/// What a tool prints about a PDF; nothing, with a word, where it is not installed.
fn ask(tool: &str, arguments: &[&str], pdf: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, pdf).unwrap();
    let answer = Command::new(tool)
        .args(arguments)
        .arg(&path)
        .args((tool == "pdftotext").then_some("-"))
        .stdin(Stdio::null())
        .output();
    let Ok(answer) = answer else {
        println!("skipped: {tool} is not installed");
        return None;
    };
    assert!(answer.status.success(), "{tool}: {answer:?}");
    Some(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Text as it is compared: a page breaks lines where it must, and writes powers as exponents.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let digit = |letter| match letter {
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '\u{2070}'..='\u{2079}' => char::from_digit(u32::from(letter) - 0x2070, 10).unwrap(),
        other => other,
    };
    letters.map(digit).flat_map(char::to_lowercase).collect()
}

#[test]
fn everything_that_a_questionnaire_says_is_in_the_pdf() {
    for document in documents() {
        let Some((questionnaire, pdf)) = reported(&document, "") else {
            continue;
        };
        ask("qpdf", &["--check"], &pdf);
        // Where cells lie beside each other, the tool reads across them in one order or in the other.
        let mut text = String::new();
        for order in [&["-raw"][..], &[]] {
            let arguments = [order, &["-enc", "UTF-8"]].concat();
            let Some(read) = ask("pdftotext", &arguments, &pdf) else {
                return;
            };
            text.push_str(&plain(&without_edges(&read)));
        }
        let mut said = BTreeSet::new();
        collect(&questionnaire, &mut said);
        assert!(said.len() > 20, "{}: {}", document.display(), said.len());
        let missing: Vec<&String> = said
            .iter()
            .filter(|it| !text.contains(&plain(it)) && !is_wrapped(it, &text))
            .collect();
        assert!(missing.is_empty(), "{}: {missing:#?}", document.display());
    }
}

#[test]
fn the_pdf_keeps_the_rules_of_pdf_a() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout/report.toml");
    let with_logo = format!("[reports]\nlayout = {layout:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    for (document, settings) in documents()
        .iter()
        .flat_map(|document| [(document, ""), (document, with_logo.as_str())])
    {
        let Some((_, pdf)) = reported(document, settings) else {
            continue;
        };
        std::fs::write(&path, &pdf).unwrap();
        let asked = ask_for_pdf_a(&path);
        assert!(asked.is_ok(), "{}: {asked:?}", document.display());
        // The checks can fail: one byte of the claim, the same length.
        let at = pdf
            .windows(13)
            .position(|part| part == b"<pdfaid:part>")
            .unwrap();
        let mut other = pdf.clone();
        other[at + 13] = b'3';
        std::fs::write(&path, &other).unwrap();
        let (Ok(said) | Err(said)) = ask_for_pdf_a(&path);
        for tool in ["pdf_oxide", "pikepdf"] {
            let is_asked = said.contains(&format!("asked {tool}"));
            assert_eq!(said.contains(&format!("{tool}: ")), is_asked, "{said}");
        }
        // And neither takes any PDF for PDF/A.
        std::fs::write(&path, PLAIN_PDF).unwrap();
        let (Ok(said) | Err(said)) = ask_for_pdf_a(&path);
        assert!(
            said.contains("pdf_oxide: ") || !said.contains("asked pdf_oxide"),
            "{said}"
        );
    }
}

/// An empty page, and nothing that PDF/A asks for.
const PLAIN_PDF: &str = "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n\
    2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n\
    3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>\nendobj\n\
    xref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n0000000054 00000 n \n0000000105 00000 n \n\
    trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n168\n%%EOF\n";

/// What the Python libraries `pdf_oxide` and `pikepdf` find in a PDF that PDF/A forbids; a word for each that is not
/// installed.
fn ask_for_pdf_a(pdf: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/pdfa.py");
    let Ok(answer) = Command::new("python3").arg(script).arg(pdf).output() else {
        println!("skipped: there is no python3");
        return Ok("skipped".to_owned());
    };
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    print!("{said}");
    match answer.status.success() {
        true => Ok(said),
        false => Err(said + &String::from_utf8_lossy(&answer.stderr)),
    }
}

/// Whether this fits into no line of a table's narrow column, and all its words are there.
fn is_wrapped(said: &str, text: &str) -> bool {
    said.chars().count() > 20
        && said
            .split_whitespace()
            .all(|word| text.contains(&plain(word)))
}

/// The text without what is written around each page before its rows, and without repeated heads of tables: they would
/// stand in the midst of a cell.
fn without_edges(text: &str) -> String {
    let rows = text.split('\u{c}').flat_map(|page| {
        let version = page.lines().position(|line| line.starts_with("Version "));
        page.lines().skip(version.map_or(0, |at| at + 1))
    });
    let rows: Vec<&str> = rows
        .filter(|line| *line != "Élément Valeur Statut")
        .collect();
    rows.join("\n")
}

/// Everything in words below a section or a statement.
fn collect(value: &Value, said: &mut BTreeSet<String>) {
    const WORDS: [&str; 12] = [
        "title",
        "label",
        "value",
        "unit",
        "laterality",
        "interpretation",
        "method",
        "priority",
        "name",
        "organization",
        "text",
        "time",
    ];
    match value {
        Value::Array(values) => values.iter().for_each(|it| collect(it, said)),
        Value::Object(keys) => {
            // A title stands for the name of the section's code, and a side stands behind its place without a caption.
            let is_told_otherwise = |key: &str| match key {
                "label" => keys.get("title").is_some_and(Value::is_string),
                "name" => keys.get("of").is_some_and(|of| of == "targetSiteCode"),
                _ => false,
            };
            for (key, value) in keys.iter().filter(|(key, _)| !is_told_otherwise(key)) {
                match value {
                    Value::String(text) if WORDS.contains(&key.as_str()) => {
                        let is_time = keys.get("is_time").is_some_and(|it| it == true);
                        said.extend(words(if is_time { "time" } else { key }, text));
                    }
                    Value::Array(_) | Value::Object(_)
                        if key != "codes" && key != "null_flavors" =>
                    {
                        collect(value, said);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// The words of a datum as a French reader finds them; nothing for a reference that leads nowhere.
fn words(key: &str, text: &str) -> Vec<String> {
    let date = |text: &str| {
        let (day, clock) = text.split_once('T').unwrap_or((text, ""));
        let day: Vec<&str> = day.split('-').rev().collect();
        format!("{} {}", day.join("/"), clock.get(..5).unwrap_or_default())
    };
    match (key, text) {
        (_, text) if text.starts_with('#') => Vec::new(),
        ("value" | "text", "true" | "false") | ("unit", "1") => Vec::new(),
        ("time", text) => text.split('/').filter(|it| *it != "..").map(date).collect(),
        (_, text) => text
            .lines()
            .flat_map(|line| line.split(" | "))
            // The name of a set of values is no part of what is said.
            .filter_map(|cell| cell.split(" [JDV_").next())
            .map(str::to_owned)
            .collect(),
    }
}

/// The fields of interface.md 8, each with what must stand there.
fn fields(format: &str) -> Vec<(&'static str, &'static str)> {
    let mut fields = vec![
        ("MSH-3", "ROFIM"),
        ("MSH-4", "ROFIM"),
        ("MSH-5", "AXIGATE"),
        ("MSH-6", "AXIGATE"),
        ("MSH-7", "20250415180000"),
        ("MSH-10", "demo-1-1"),
        ("MSH-11", "P"),
        ("MSH-17", "FRA"),
        ("MSH-18", "UTF-8"),
        ("MSH-19", "FRA"),
        ("PID-1", "1"),
        ("PID-3.1", "P-77"),
        ("PID-3.5", "PI"),
        ("PID-5.1", "LE GOFF"),
        ("PID-5.2", "Rosie"),
        ("PID-7", "19600214"),
        ("PID-8", "F"),
        ("PID-11.1", "3 Rue des Lilas"),
        ("PID-11.3", "Nantes"),
        ("PID-11.5", "44000"),
        ("PID-11.6", "FRA"),
        ("PID-13.1", "+33612345678"),
        ("PID-13.2", "PRN"),
        ("PID-13.3", "CP"),
        ("PID-19", "NC"),
        ("PV1-1", "1"),
        ("PV1-2", "O"),
        ("PV1-7.1", "10100094977"),
        ("PV1-7.2", "DEMANDE"),
        ("PV1-7.3", "Julie"),
        ("PV1-7.9", "ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO"),
        ("PV1-7.10", "D"),
        ("PV1-7.13", "RPPS"),
        ("OBX-1", "1"),
        ("OBX-2", "ED"),
        ("OBX-3.1", "CR"),
        ("OBX-3.2", "rcp_questionnaire_LE-GOFF-R_15042025.pdf"),
        ("OBX-5.1", "rcp_questionnaire_LE-GOFF-R_15042025.pdf"),
        ("OBX-5.3", "CR"),
        ("OBX-5.4", "Base64"),
        ("OBX-11", "F"),
        ("OBX-14", "20250415180000"),
    ];
    fields.extend_from_slice(match format {
        "MDM_T02" => &[
            ("MSH-9.1", "MDM"),
            ("MSH-9.2", "T02"),
            ("MSH-9.3", "MDM_T02"),
            ("EVN-1", "T02"),
            ("EVN-2", "20250415180000"),
            ("TXA-1", "1"),
            ("TXA-2", "CR"),
            ("TXA-3", "PDF"),
            ("TXA-4", "20250415180000"),
            ("TXA-6", "20250415180000"),
            ("TXA-7", "20250415180000"),
            ("TXA-8", "20250415180000"),
            ("TXA-10.1", "10102078838"),
            ("TXA-10.2", "DURAND"),
            ("TXA-10.13", "RPPS"),
            ("TXA-12.1", "FRCP_ID"),
            ("TXA-12.2", "ROFIM"),
            ("TXA-12.4", "UIID"),
            ("TXA-13.1", "RCP_NAME"),
            ("TXA-13.2", "ROFIM"),
            ("TXA-13.3", "RCP Thorax"),
            ("TXA-13.4", "L"),
            ("TXA-16", "rcp_questionnaire_LE-GOFF-R_15042025.pdf"),
            ("TXA-17", "AU"),
            ("TXA-19", "AV"),
        ],
        _ => &[
            ("MSH-9.1", "ORU"),
            ("MSH-9.2", "R01"),
            ("MSH-9.3", "ORU_R01"),
            ("OBR-1", "1"),
            ("OBR-2", "CASE-77"),
            ("OBR-3.2", "ROFIM"),
            ("OBR-4.1", "FRCP"),
            ("OBR-4.2", "RCP Thorax"),
            ("OBR-7", "20250415180000"),
            ("OBR-16.1", "10100094977"),
            ("OBR-25", "F"),
            (
                "OBR-32.1",
                "10102078838&DURAND&Anne&&&&&&ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO",
            ),
        ],
    });
    fields
}

/// The message of a report, as it stands in its batch.
fn message(format: &str, version: &str) -> String {
    use base64::Engine as _;
    let settings =
        format!("[reports]\nformat = {format:?}\nversion = {version:?}\nevery = \"off\"");
    let world = World::with(&settings);
    let mut engine = world.open();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
    world.drop("desk", "s.csv", SESSIONS);
    world.drop("facilities/demo", "c.xml", std::fs::read(own).unwrap());
    take_all(&mut engine).unwrap();
    let complete = serde_json::json!({
        "command": "complete", "facility": "demo", "case": "CASE-77", "decision": "Chirurgie",
        "time": "2025-04-15T18:00:00+02:00",
    });
    world.drop("desk", "c.json", complete.to_string());
    world.drop("facilities/demo", "q.retrieve", "");
    take_all(&mut engine).unwrap();
    let batch = world.path("facilities/demo/outbox/reports/q.xml");
    let batch = std::fs::read_to_string(batch).unwrap();
    let batch = roxmltree::Document::parse(&batch).unwrap();
    let contents: Vec<&str> = batch
        .descendants()
        .filter(|node| node.has_tag_name("content"))
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(contents.len(), 1);
    let decoder = base64::engine::general_purpose::STANDARD;
    String::from_utf8(decoder.decode(contents[0]).unwrap()).unwrap()
}

#[test]
fn others_read_the_message_as_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["MDM_T02", "ORU_R01"] {
        for version in ["2.5", "2.7"] {
            let text = message(format, version);
            let mut expected = fields(format);
            expected.push(("MSH-12", if version == "2.5" { "2.5" } else { "2.7" }));
            let read = hl7kit::Message::parse(&text).unwrap();
            for (position, value) in &expected {
                let found = read.get(position).unwrap_or_default();
                assert!(found == *value, "{format} {version} {position}: {found}");
            }
            let path = folder.path().join(format!("{format}-{version}.hl7"));
            std::fs::write(&path, &text).unwrap();
            read_in_python(&path, &expected);
        }
    }
}

/// The same with the Python library `hl7`, where it is installed.
fn read_in_python(path: &Path, expected: &[(&str, &str)]) {
    const SCRIPT: &str = r#"
import sys
try:
    import hl7
except ImportError:
    print("skipped: python's hl7 is not installed")
    sys.exit(0)
text = open(sys.argv[1], encoding="utf-8", newline="").read()
message = hl7.parse(text)
for wanted in sys.argv[2:]:
    position, value = wanted.split("=", 1)
    segment, rest = position.split("-")
    field, _, component = rest.partition(".")
    found = message.segment(segment)(int(field))
    if component:
        components = str(found).split("^")
        found = components[int(component) - 1]
    if str(found) != value:
        sys.exit(f"{position}: {found!s:.80} is not {value}")
print("read with python's hl7")
"#;
    let wanted = expected
        .iter()
        .map(|(position, value)| format!("{position}={value}"));
    let answer = Command::new("python3")
        .arg("-c")
        .arg(SCRIPT)
        .arg(path)
        .args(wanted)
        .output();
    match answer {
        Ok(answer) => {
            let said = String::from_utf8_lossy(&answer.stdout);
            println!("{}", said.trim());
            let complaint = String::from_utf8_lossy(&answer.stderr);
            assert!(answer.status.success(), "{}: {complaint}", path.display());
        }
        Err(_) => println!("skipped: there is no python3"),
    }
}
