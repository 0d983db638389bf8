//! Everything that a document says is in the report, beside its label: each code, amount, date, negation, mood, null
//! flavour and cell (interface.md 8).
//!
//! Documents are walked here on their own, without the reader's help. They are made by a generator, or are our own and
//! the samples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use rcpspool::model::identifiers::{FacilityId, SessionId};
use rcpspool::model::view::View;
use rcpspool::store::PendingChanges;
use roxmltree::{Document, Node};

use support::{World, take_all};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The meetings of our documents and of the samples.
const SESSIONS: &str = "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
    S-THORAX-15,RCP Thorax,2025-04-15,14:00,,,10102078838,DURAND,Anne,planned\n\
    234567890,RCP Sein,2019-02-18,14:30,,,10102078838,DURAND,Anne,planned\n";

#[test]
fn a_report_says_what_generated_documents_say() {
    for seed in 1..=40_u64 {
        let document = Generator(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).document();
        let Some(text) = report(document.as_bytes()) else {
            return;
        };
        let missing = missing(&document, &text);
        assert!(
            missing.is_empty(),
            "seed {seed}:\n{}\n{}",
            missing.join("\n"),
            text
        );
    }
}

#[test]
fn a_report_says_what_our_documents_and_the_samples_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![here.join("fixtures/cda/meeting.xml")];
    match std::fs::read_dir(here.join("../shared/samples/frcp")) {
        Ok(entries) => documents.extend(entries.map(|entry| entry.unwrap().path())),
        Err(_) => println!("there is no ../shared/samples: only our own document is looked at"),
    }
    for path in documents {
        let document = std::fs::read_to_string(&path).unwrap();
        let Some(text) = report(document.as_bytes()) else {
            return;
        };
        let missing = missing(&document, &text);
        assert!(
            missing.is_empty(),
            "{}:\n{}",
            path.display(),
            missing.join("\n")
        );
    }
}

/// What has no key of its own in the questionnaire is on the page too, or said to be there.
#[test]
fn a_report_says_what_stands_beside_the_keys_of_a_statement() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/beside.xml");
    let document = std::fs::read_to_string(path).unwrap();
    let Some(text) = report(document.as_bytes()) else {
        return;
    };
    let is_own = |word: &&str| {
        word.len() == 3 && word.starts_with('Z') && word.ends_with(|it: char| it.is_ascii_digit())
    };
    let words = document.split(|letter: char| !letter.is_ascii_alphanumeric());
    let missing: Vec<&str> = words
        .filter(is_own)
        .filter(|word| !text.contains(word))
        .collect();
    assert!(missing.is_empty(), "{missing:?}\n{text}");
    // A dash stands in a column that says nothing.
    let plain = |text: &str| plain(text).replace('—', "");
    let text = plain(&text);
    for said in [
        "BL un Oui",
        "BL zéro Non",
        "RTO MO 2 EUR / 1 jour",
        "RTO nul 2 mg / ? Valeur, dénominateur : inconnu",
        "IVL MO 5 – 10 EUR",
        "IVL TS E sauf 03/01/2025 – 07/01/2025",
        "SXCM A seulement 05/01/2025",
        "IVL fin inconnue À partir du 01/01/2024 Date, fin : inconnu",
        "eff E Sauf du 03/03/2024 au 04/03/2024",
        "deux Date : 01/05/2024 Seulement du 02/05/2024 au 03/05/2024",
        "PIVL inconnu Date : inconnu",
        "valeur nég NON : b",
        "Section niée [NON : rubrique niée]",
        "Produit : NON : Produit nié",
        "MFST true vu — Lien : manifestation de l’élément ci-dessus",
        "Référence : [non affichable, à lire dans le document CDA du dossier]",
        "HER2 négatif [diffère de la valeur codée : positif]",
        "Tabac [ ] [diffère de la valeur codée : Oui]",
        "5mg 3mm 40% + [U+F078 : ☒]",
    ] {
        assert!(text.contains(&plain(said)), "{said}\n{text}");
    }
    for never in [
        "positif [diffère de la valeur codée : positifs]",
        "X [diffère",
    ] {
        assert!(!text.contains(&plain(never)), "{never}");
    }
}

/// The text of the report of a document's case, without what stands around each page; none where no tool reads it.
fn report(document: &[u8]) -> Option<String> {
    let world = World::new();
    let mut engine = world.open();
    world.drop("desk", "s.csv", SESSIONS);
    world.drop("facilities/demo", "c.xml", document);
    take_all(&mut engine).unwrap();
    let facility = FacilityId::new("demo");
    let view = PendingChanges::new(&**engine.store());
    let case = ["S-THORAX-15", "234567890"]
        .iter()
        .flat_map(|session| view.cases_of_session(&SessionId::new(*session)).unwrap())
        .map(|case| case.id)
        .next()
        .expect("a case in a session");
    drop(view);
    let complete = serde_json::json!({
        "command": "complete", "facility": "demo", "case": case, "decision": "Chirurgie première",
    });
    world.drop("desk", "c.json", complete.to_string());
    take_all(&mut engine).unwrap();
    let view = PendingChanges::new(&**engine.store());
    let report = view.report(&facility, &case).unwrap().unwrap();
    let version = view.report_version(&report, 1).unwrap().unwrap();
    let hash = version.pdf.as_str().to_owned();
    let pdf = world.path("documents").join(&hash[..2]).join(&hash);
    let answer = Command::new("pdftotext")
        .args(["-raw", "-enc", "UTF-8"])
        .arg(pdf)
        .arg("-")
        .output();
    let Ok(answer) = answer else {
        println!("skipped: pdftotext is not installed");
        return None;
    };
    assert!(answer.status.success(), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let pages = text.split('\u{c}').flat_map(|text| {
        let foot = text
            .lines()
            .position(|line| line.starts_with("Version 1 ·"));
        let lines: Vec<&str> = text.lines().collect();
        // The edges are drawn first.
        let skipped = foot.map_or(0, |at| at + 1);
        lines
            .into_iter()
            .skip(skipped)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let lines: Vec<String> = pages
        .filter(|line| line != "Élément Valeur Statut" && line != "Élément Valeur")
        .collect();
    Some(lines.join("\n"))
}

/// Text as it is compared: a page breaks lines where it must.
fn plain(text: &str) -> String {
    let letters = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '\u{A0}');
    letters.flat_map(char::to_lowercase).collect()
}

/// What a statement says, as its row must.
#[derive(Default)]
struct Said {
    label: Option<String>,
    parts: Vec<String>,
    negated: bool,
}

/// What of a document its report lacks.
fn missing(document: &str, text: &str) -> Vec<String> {
    let document = Document::parse(document).unwrap();
    let ids: HashMap<&str, Node<'_, '_>> = document
        .descendants()
        .filter_map(|node| Some((node.attribute("ID")?, node)))
        .collect();
    let form = text.find("\nQuestionnaire\n").expect("a questionnaire");
    let mut missing = missing_of_header(&document, &plain(&text[..form]));
    let text = plain(&text[form..]);
    let sections = document
        .descendants()
        .filter(|node| node.tag_name().name() == "section");
    let mut from = 0;
    for section in sections {
        let title = section
            .children()
            .find(|it| it.tag_name().name() == "title")
            .map(|it| plain(&all_text(it)))
            .unwrap_or_default();
        match text[from..].find(&title) {
            Some(at) => from += at + title.len(),
            None => missing.push(format!("title {title}")),
        }
        let mut said = Vec::new();
        for entry in section
            .children()
            .filter(|it| it.tag_name().name() == "entry")
        {
            statements(entry, &ids, &mut said);
        }
        for (place, statement) in said.iter().enumerate() {
            let line = |part: &str| format!("{:?}: {part}", statement.label);
            let start = statement.label.as_deref().map(begin).unwrap_or_default();
            let Some(at) = text[from..].find(&start) else {
                missing.push(line("its label"));
                continue;
            };
            from += at;
            let after = from + start.len();
            let next = said[place + 1..].iter().find_map(|it| it.label.as_deref());
            let end = next
                .and_then(|label| text[after..].find(&begin(label)))
                .map_or(text.len().min(after + 3000), |at| after + at);
            let end = (end..=text.len())
                .find(|at| text.is_char_boundary(*at))
                .unwrap();
            let row = &text[from..end];
            for part in &statement.parts {
                if !has(row, part) {
                    missing.push(line(part));
                }
            }
            let denied = row.contains("non:") || row.ends_with("non") || row.contains("non");
            if statement.negated && !denied {
                missing.push(line("NON"));
            }
        }
        let narrative = section.children().find(|it| it.tag_name().name() == "text");
        let mut title = String::new();
        for line in narrative.into_iter().flat_map(|it| it.children()) {
            let words = all_text(line);
            // What stands below a title that no row says stays below it.
            if title.starts_with(SIDE) && !text.contains(&plain(&format!("{title} {words}"))) {
                missing.push(format!("below {title}: {words}"));
            }
            if line.is_element() {
                title = words;
            }
        }
        for cell in narrative.into_iter().flat_map(|it| it.descendants()) {
            let is_cell = matches!(
                cell.tag_name().name(),
                "td" | "th" | "paragraph" | "item" | "caption"
            );
            let is_inner = cell.children().all(|it| {
                !matches!(
                    it.tag_name().name(),
                    "table" | "list" | "paragraph" | "item"
                )
            });
            if is_cell && is_inner && !has(&text, &without_sets(&all_text(cell))) {
                missing.push(format!("narrative: {}", all_text(cell)));
            }
        }
    }
    missing
}

/// What the header says and the report lacks, beside what it is there for.
fn missing_of_header(document: &Document<'_>, text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for node in document.descendants() {
        let in_it = |names: &[&str]| {
            let found = node.descendants();
            let found = found.filter(|it| names.contains(&it.tag_name().name()));
            found.map(all_text).collect::<Vec<_>>()
        };
        let around = node.parent().map(|it| it.tag_name().name());
        let said = match (node.tag_name().name(), around) {
            ("dataEnterer", _) => [in_it(&["family", "given"]), vec!["Saisi par".into()]],
            ("custodian", _) => [in_it(&["name"]), vec!["Conservateur".into()]],
            ("location", Some("encompassingEncounter" | "serviceEvent")) => [
                in_it(&["name", "streetName", "city"]),
                vec!["Lieu de la réunion".into()],
            ],
            _ => continue,
        };
        let said = said.concat();
        missing.extend(
            said.into_iter()
                .filter(|part| !text.contains(&plain(part)))
                .map(|part| format!("header: {part}")),
        );
    }
    missing
}

/// How the titles begin that the generator puts above lines of a text.
const SIDE: &str = "Côté";

/// How a label begins, as far as it stands on one line.
fn begin(label: &str) -> String {
    plain(label).chars().take(12).collect()
}

/// Whether a text has this; what is too long for a line may be divided between its words.
fn has(text: &str, part: &str) -> bool {
    let whole = plain(part);
    text.contains(&whole)
        || whole.chars().count() > 12
            && part.split_whitespace().all(|it| {
                // A long word may be divided at its hyphens.
                it.split(['-', '/']).all(|it| text.contains(&plain(it)))
            })
}

/// What senders put behind a text in brackets is no part of it.
fn without_sets(text: &str) -> String {
    text.split(" [JDV_").next().unwrap_or_default().to_owned()
}

fn all_text(node: Node<'_, '_>) -> String {
    let mut text = String::new();
    for part in node.descendants() {
        if part.is_text() {
            text.push_str(part.text().unwrap());
        } else if part.tag_name().name() == "br" {
            text.push(' ');
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every statement in here, each before those in it.
fn statements(around: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>, said: &mut Vec<Said>) {
    for node in around
        .children()
        .filter(|it| it.has_attribute("moodCode") || it.has_attribute("classCode"))
    {
        said.push(statement(node, ids));
        for inner in node.children() {
            if matches!(inner.tag_name().name(), "entryRelationship" | "component") {
                statements(inner, ids, said);
            }
        }
    }
}

const ACTS: [&str; 5] = [
    "act",
    "procedure",
    "encounter",
    "substanceAdministration",
    "supply",
];

fn statement(node: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>) -> Said {
    let mut said = Said {
        negated: node.attribute("negationInd") == Some("true"),
        ..Said::default()
    };
    let kind = node.tag_name().name();
    // What only gathers others and what comments on them could not be planned either.
    let code = node.children().find(|it| it.tag_name().name() == "code");
    let code = code.and_then(|it| it.attribute("code"));
    let is_act = ACTS.contains(&kind) && (kind != "act" || code.is_some_and(|it| it != "48767-8"));
    let status = node
        .children()
        .find(|it| it.tag_name().name() == "statusCode");
    let is_undone = matches!(
        status.and_then(|it| it.attribute("code")),
        Some("new" | "held" | "suspended" | "aborted" | "cancelled")
    );
    match (node.attribute("moodCode"), is_act, said.negated) {
        (Some("EVN"), true, false) if is_undone => {}
        (Some("EVN"), true, true) => said.parts.push("Non réalisé".to_owned()),
        (Some("EVN"), true, false) => said.parts.push("Réalisé".to_owned()),
        (Some("PRP"), ..) => said.parts.push("Proposé".to_owned()),
        (Some("INT"), ..) => said.parts.push("Prévu".to_owned()),
        (Some("RQO"), ..) => said.parts.push("Demandé".to_owned()),
        (Some("GOL"), ..) => said.parts.push("Objectif".to_owned()),
        _ => {}
    }
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        match name {
            "code" => {
                said.label = words(child, ids);
                qualifiers(child, ids, &mut said.parts);
            }
            "value" if kind == "observationMedia" => {
                said.label = Some("Image jointe".to_owned());
                said.parts.push("Image 1".to_owned());
            }
            "value" => value(child, ids, &mut said.parts),
            "effectiveTime" => time(child, &mut said.parts),
            "statusCode" => said.parts.extend(
                match child.attribute("code").unwrap_or_default() {
                    "aborted" => Some("interrompu"),
                    "cancelled" => Some("annulé"),
                    "nullified" => Some("invalidé"),
                    "suspended" => Some("suspendu"),
                    _ => None,
                }
                .map(str::to_owned),
            ),
            "targetSiteCode" | "methodCode" | "interpretationCode" | "priorityCode"
            | "routeCode" | "approachSiteCode" => {
                said.parts.extend(words(child, ids));
                qualifiers(child, ids, &mut said.parts);
            }
            "doseQuantity" | "rateQuantity" | "repeatNumber" | "maxDoseQuantity" | "quantity"
            | "referenceRange" => amounts(child, &mut said.parts),
            "consumable" => {
                for part in child.descendants() {
                    match part.tag_name().name() {
                        "name" => said.parts.push(all_text(part)),
                        "code" => said.parts.extend(words(part, ids)),
                        _ => {}
                    }
                }
            }
            "performer" | "author" | "participant" => {
                let names = child
                    .descendants()
                    .filter(|it| matches!(it.tag_name().name(), "family" | "given"));
                said.parts.extend(names.map(all_text));
                let times = child.children().filter(|it| it.tag_name().name() == "time");
                times.for_each(|it| time(it, &mut said.parts));
            }
            "text" => said.parts.extend(refers(child, ids)),
            _ => {}
        }
    }
    said
}

/// What a reference leads to, cell by cell.
fn refers(node: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>) -> Vec<String> {
    let own: String = node
        .children()
        .filter_map(|it| it.text().filter(|_| it.is_text()))
        .collect();
    let mut parts = vec![own];
    for reference in node
        .children()
        .filter(|it| it.tag_name().name() == "reference")
    {
        let target = reference
            .attribute("value")
            .and_then(|it| it.strip_prefix('#'));
        if let Some(target) = target.and_then(|it| ids.get(it)) {
            let cells: Vec<Node<'_, '_>> = target
                .descendants()
                .filter(|it| it.tag_name().name() == "td")
                .collect();
            match cells.is_empty() {
                true => parts.push(all_text(*target)),
                false => parts.extend(cells.into_iter().map(all_text)),
            }
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.iter().map(|it| without_sets(it)).collect()
}

/// A coded element in words, or its code where it has none.
fn words(node: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>) -> Option<String> {
    let label = node.attribute("displayName").filter(|it| *it != "None");
    let original = node
        .children()
        .find(|it| it.tag_name().name() == "originalText");
    let original = original.and_then(|it| refers(it, ids).into_iter().next());
    let translated = node
        .children()
        .filter(|it| it.tag_name().name() == "translation");
    let translated = translated
        .filter_map(|it| it.attribute("displayName"))
        .next();
    let words = label.map(str::to_owned).or(original);
    let words = words.or(translated.map(str::to_owned));
    words.or(node.attribute("code").map(str::to_owned))
}

fn qualifiers(node: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>, parts: &mut Vec<String>) {
    for qualifier in node
        .children()
        .filter(|it| it.tag_name().name() == "qualifier")
    {
        let values = qualifier
            .children()
            .filter(|it| it.tag_name().name() == "value");
        parts.extend(values.filter_map(|value| words(value, ids)));
    }
}

fn value(node: Node<'_, '_>, ids: &HashMap<&str, Node<'_, '_>>, parts: &mut Vec<String>) {
    let kind = node.attribute((XSI, "type")).unwrap_or_default();
    match kind {
        "BL" => {
            let answer = match node.attribute("value") {
                Some("true") => "Oui",
                Some("false") => "Non",
                _ => "",
            };
            parts.push(answer.to_owned());
        }
        "PQ" | "IVL_PQ" | "RTO_PQ_PQ" | "INT" | "REAL" | "MO" => amounts(node, parts),
        "TS" | "IVL_TS" => time(node, parts),
        "CD" | "CE" => {
            parts.extend(words(node, ids));
            qualifiers(node, ids, parts);
            for child in node.children() {
                match child.tag_name().name() {
                    "originalText" => parts.extend(refers(child, ids)),
                    "translation" => {
                        parts.extend(child.attribute("displayName").map(str::to_owned))
                    }
                    _ => {}
                }
            }
        }
        _ if node.attribute("representation") == Some("B64") => {}
        _ => parts.extend(refers(node, ids)),
    }
    absent(node, parts);
}

fn absent(node: Node<'_, '_>, parts: &mut Vec<String>) {
    let words = match node.attribute("nullFlavor") {
        Some("UNK") => "inconnu",
        Some("NA") => "sans objet",
        Some("NI") => "non renseigné",
        Some("ASKU") => "demandé, réponse inconnue",
        Some("NAV") => "pas encore disponible",
        Some("MSK") => "masqué",
        _ => return,
    };
    parts.push(words.to_owned());
}

/// Every amount in here, with its unit as people write it.
fn amounts(node: Node<'_, '_>, parts: &mut Vec<String>) {
    for part in node.descendants() {
        let Some(value) = part.attribute("value") else {
            continue;
        };
        // Both ends of a range may share a unit that stands once.
        parts.push(match (part.tag_name().name(), is_open(part)) {
            ("low", true) => format!("> {value}"),
            ("high", true) => format!("< {value}"),
            _ => value.to_owned(),
        });
        parts.push(
            match part
                .attribute("unit")
                .or(part.attribute("currency"))
                .unwrap_or_default()
            {
                "mm[Hg]" => "mmHg",
                "10*9/L" => "10⁹/L",
                "{pack}/a" => "/an",
                "mg/m2" => "mg/m²",
                "wk" => "semaine",
                "d" => "jour",
                "Cel" => "°C",
                "ug/L" => "µg/L",
                "1" => "",
                other => other,
            }
            .to_owned(),
        );
    }
}

/// Whether a bound does not belong to its interval.
fn is_open(bound: Node<'_, '_>) -> bool {
    bound.attribute("inclusive") == Some("false")
}

/// Every date in here, as a French reader expects it.
fn time(node: Node<'_, '_>, parts: &mut Vec<String>) {
    for part in node.descendants() {
        let Some(value) = part.attribute("value") else {
            continue;
        };
        if part.attribute("unit").is_some() {
            amounts(part, parts);
            continue;
        }
        let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
        let date = match digits.len() {
            4 => digits.clone(),
            6 => format!("{}/{}", &digits[4..], &digits[..4]),
            _ => format!("{}/{}/{}", &digits[6..8], &digits[4..6], &digits[..4]),
        };
        parts.push(match (part.tag_name().name(), is_open(part)) {
            ("low", true) => format!("après le {date}"),
            ("high", true) => format!("avant le {date}"),
            _ => date,
        });
        if digits.len() >= 12 {
            parts.push(format!("{}:{}", &digits[8..10], &digits[10..12]));
        }
    }
    absent(node, parts);
}

/// Makes documents of all kinds of statements, the same for the same seed.
struct Generator(u64);

impl Generator {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (below as u64)).unwrap()
    }

    fn one<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.next(words.len())]
    }

    /// The header of our own document, with another body.
    fn document(&mut self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda/meeting.xml");
        let own = std::fs::read_to_string(&path).unwrap();
        let start = own.find("<component typeCode=\"COMP\">").unwrap();
        let mut document = self.header(&own[..start]);
        document.push_str("<component><structuredBody>");
        let mut number = 0;
        for section in 0..3 + self.next(4) {
            let mut entries = String::new();
            let mut rows = String::new();
            for _ in 0..1 + self.next(6) {
                entries.push_str("<entry>");
                entries.push_str(&self.statement(&mut number, 0, &mut rows));
                entries.push_str("</entry>");
            }
            let mut within = String::new();
            if self.next(2) == 0 {
                let mut inner_rows = String::new();
                let entry = self.statement(&mut number, 0, &mut inner_rows);
                within = format!(
                    "<component><section><title>Partie {section} §</title><text><table><tbody>{inner_rows}\
                     <tr><th>Seul</th><td>cellule <content>mise</content> en <sup>forme</sup></td></tr>\
                     </tbody></table></text><entry>{entry}</entry></section></component>"
                );
            }
            let mut sides = String::new();
            if self.next(2) == 0 {
                entries.push_str(&format!(
                    "<entry><observation classCode='OBS' moodCode='EVN'><code code='K' displayName='Marqueur {section}'/>\
                     <value xsi:type='ST'>positif {section}</value></observation></entry>"
                ));
                for side in ["droit", "gauche"] {
                    sides.push_str(&format!(
                        "<paragraph>{SIDE} {side} {section}</paragraph><paragraph>Marqueur {section} : positif {section}\
                         </paragraph>"
                    ));
                }
            }
            document.push_str(&format!(
                "<component><section><title>Chapitre {section} §</title><text>{}{sides}<table><thead><tr><th>Élément lu</th>\
                 <th>Résultat lu</th><th>Le</th></tr></thead><tbody>{rows}{}</tbody></table></text>{entries}\
                 {within}</section></component>",
                self.prose(section),
                self.odd_rows(section),
            ));
        }
        // A picture behind all others, which an earlier text names.
        let logo = std::fs::read(path.with_file_name("../layout/logo.png")).unwrap();
        document.push_str(&format!(
            "<component><section><title>Images §</title><text><paragraph>Voir <renderMultiMedia \
             referencedObject='IMG-1'/></paragraph></text><entry><observationMedia ID='IMG-1' classCode='OBS' \
             moodCode='EVN'><value mediaType='image/png' representation='B64'>{}</value></observationMedia></entry>\
             </section></component>",
            base64::engine::general_purpose::STANDARD.encode(logo)
        ));
        document.push_str("</structuredBody></component></ClinicalDocument>");
        document
    }

    /// A header that may say who typed the document, who keeps it, and where the session meets.
    fn header(&mut self, own: &str) -> String {
        let mut header = own.to_owned();
        let mut put = |before: &str, what: &str| {
            assert!(header.contains(before), "{before}");
            header = header.replacen(before, &format!("{what}{before}"), 1);
        };
        let of = self.next(900);
        if self.next(2) == 0 {
            put(
                "<legalAuthenticator>",
                &format!(
                    "<dataEnterer><assignedEntity><id root='1.2' extension='{of}'/><assignedPerson><name><family>SAISIE{of}\
                     </family><given>Ève</given></name></assignedPerson></assignedEntity></dataEnterer>"
                ),
            );
        }
        if self.next(2) == 0 {
            put(
                "<legalAuthenticator>",
                &format!(
                    "<custodian><assignedCustodian><representedCustodianOrganization><id root='1.2'/><name>Garde {of}</name>\
                     </representedCustodianOrganization></assignedCustodian></custodian>"
                ),
            );
        }
        for around in ["</encompassingEncounter>", "</serviceEvent>"] {
            if self.next(2) == 0 {
                let addr =
                    format!("<addr><streetName>Quai {of}</streetName><city>Nantes</city></addr>");
                let of_house = match self.next(2) {
                    0 => format!(
                        "<serviceProviderOrganization><name>Maison {of}</name></serviceProviderOrganization>"
                    ),
                    _ => String::new(),
                };
                put(
                    around,
                    &format!(
                        "<location><healthCareFacility><location><name>Salle {of}</name>{addr}</location>{of_house}\
                         </healthCareFacility></location>"
                    ),
                );
            }
        }
        header
    }

    /// A bound of an interval, which may not belong to it.
    fn bound(&mut self, name: &str, value: &str) -> String {
        let open = self.one(&["", "", " inclusive='true'", " inclusive='false'"]);
        format!("<{name} {value}{open}/>")
    }

    /// A bound that is a date.
    fn end(&mut self, name: &str) -> String {
        let date = self.date();
        self.bound(name, &format!("value='{date}'"))
    }

    /// A bound that is an amount.
    fn limit(&mut self, name: &str, value: usize, unit: &str) -> String {
        self.bound(name, &format!("value='{value}' unit='{unit}'"))
    }

    fn prose(&mut self, section: usize) -> String {
        let sign = self.one(&["+", "-", "≥ 3", "&lt; 1", "1,5 mm", "R1", "(0/12)", "++"]);
        format!(
            "<paragraph>Prose {section} : RE {sign}, HER2 {}.</paragraph><list><item>Point {section}a ?</item>\
             <item>Point {section}b : {sign}</item></list>",
            self.one(&["-", "+", "0", "négatif"])
        )
    }

    /// Rows that nothing coded says.
    fn odd_rows(&mut self, section: usize) -> String {
        let mut rows = String::new();
        for row in 0..self.next(4) {
            let value = self.one(&[
                "RE +", "HER2 -", "R1", "1,5 mm", "pT2 N0", "absence", "≤ 3", "12/03",
            ]);
            rows.push_str(&format!(
                "<tr><td>Ligne {section}.{row}</td><td>{value}</td><td>{value} ?</td></tr>"
            ));
        }
        rows
    }

    fn date(&mut self) -> String {
        let day = format!(
            "20{}0{}1{}",
            10 + self.next(16),
            1 + self.next(9),
            self.next(10)
        );
        match self.next(4) {
            0 => day[..6].to_owned(),
            1 => format!("{day}1{}30+0100", self.next(10)),
            _ => day,
        }
    }

    fn statement(&mut self, number: &mut usize, depth: usize, rows: &mut String) -> String {
        *number += 1;
        let own = *number;
        let kind = self.one(&[
            "observation",
            "observation",
            "observation",
            "act",
            "procedure",
            "substanceAdministration",
            "substanceAdministration",
            "organizer",
            "encounter",
            "supply",
        ]);
        let mood = self.one(&["EVN", "EVN", "EVN", "PRP", "INT", "RQO", "GOL"]);
        let negated = self.next(4) == 0;
        let status = self.one(&[
            "completed",
            "completed",
            "active",
            "aborted",
            "cancelled",
            "nullified",
            "suspended",
        ]);
        let label = format!("Donnée n° {own:03}");
        let mut inner = match self.next(6) {
            0 => format!("<code nullFlavor='UNK'><originalText>{label}</originalText></code>"),
            1 => {
                format!("<code code='C{own}'><translation code='T' displayName='{label}'/></code>")
            }
            2 => format!(
                "<code code='C{own}' displayName='{label}'><qualifier><name code='n' displayName='Sorte {own}'/>\
                 <value code='v' displayName='Nuance {own}'/></qualifier></code>"
            ),
            _ => format!("<code code='C{own}' displayName='{label}' codeSystem='1.2.3'/>"),
        };
        if self.next(3) == 0 {
            rows.push_str(&format!(
                "<tr ID='t{own}'><td>Donnée n° {own:03}</td><td>{}</td></tr>",
                self.one(&["Oui", "Non", "42 mm", "absent", "texte libre", "RE +"])
            ));
            inner.push_str(&format!("<text><reference value='#t{own}'/></text>"));
        }
        inner.push_str(&format!("<statusCode code='{status}'/>"));
        inner.push_str(&match self.next(5) {
            0 => format!("<effectiveTime value='{}'/>", self.date()),
            1 => format!(
                "<effectiveTime>{}{}</effectiveTime>",
                self.end("low"),
                self.end("high")
            ),
            2 => {
                let name = self.one(&["low", "high"]);
                format!("<effectiveTime>{}</effectiveTime>", self.end(name))
            }
            3 => format!(
                "<effectiveTime nullFlavor='{}'/>",
                self.one(&["NA", "UNK", "NAV", "ASKU"])
            ),
            _ => String::new(),
        });
        if kind == "observation" {
            inner.push_str(&self.value(own));
        } else {
            inner.push_str(&self.act(kind, own));
        }
        if self.next(3) == 0 {
            inner.push_str(&format!(
                "<targetSiteCode code='S' displayName='Siège {own}'><qualifier><name code='20228-3' \
                 displayName='Latéralité'/><value code='7771000' displayName='{}'/></qualifier></targetSiteCode>",
                self.one(&["gauche", "droit", "bilatéral"])
            ));
        }
        if self.next(5) == 0 {
            inner.push_str(&format!(
                "<interpretationCode code='X' displayName='Lecture {own}'/><referenceRange><observationRange>\
                 <value xsi:type='IVL_PQ'>{}{}</value></observationRange></referenceRange>",
                self.limit("low", own, "ug/L"),
                self.limit("high", own + 7, "ug/L"),
            ));
        }
        if self.next(5) == 0 {
            let time = match self.next(2) {
                0 => format!("<time value='20240{}15'/>", 1 + self.next(9)),
                _ => format!("<time>{}{}</time>", self.end("low"), self.end("high")),
            };
            inner.push_str(&format!(
                "<author>{time}<assignedAuthor><id root='1.2'/><assignedPerson><name>\
                 <family>AUTEUR{own}</family></name></assignedPerson></assignedAuthor></author>"
            ));
        }
        if self.next(4) == 0 {
            inner.push_str(&format!(
                "<performer><assignedEntity><id root='1.2' extension='9'/><assignedPerson><name><family>NOM{own}</family>\
                 <given>Paul</given></name></assignedPerson></assignedEntity></performer>"
            ));
        }
        while depth < 3 && self.next(3) == 0 {
            inner.push_str("<entryRelationship typeCode='COMP'>");
            inner.push_str(&self.statement(number, depth + 1, rows));
            inner.push_str("</entryRelationship>");
        }
        format!(
            "<{kind} classCode='ACT' moodCode='{mood}' negationInd='{negated}'>{inner}</{kind}>"
        )
    }

    fn value(&mut self, own: usize) -> String {
        let unit = self.one(&[
            "mm", "mm[Hg]", "10*9/L", "mg/m2", "Cel", "ug/L", "%", "1", "{pack}/a",
        ]);
        let (one, other) = (self.next(90), 100 + self.next(90));
        match self.next(18) {
            0 => format!("<value xsi:type='CD' code='V{own}' displayName='Valeur {own}'/>"),
            13 => format!(
                "<value xsi:type='CD' code='V{own}' displayName='Valeur {own}'/><value xsi:type='CD' code='W' \
                 displayName='Seconde {own}'/>"
            ),
            14 => format!(
                "<value xsi:type='IVL_TS'>{}{}</value>",
                self.end("low"),
                self.end("high")
            ),
            15 => format!(
                "<value xsi:type='IVL_PQ'>{}</value>",
                self.limit("high", one, unit)
            ),
            16 => format!("<value xsi:type='MO' value='{one}' currency='EUR'/>"),
            17 => format!("<value xsi:type='REAL' value='-{one}.25'/>"),
            1 => format!(
                "<value xsi:type='CD' code='V{own}' displayName='Valeur {own}'><originalText>dit {own} autrement\
                 </originalText><translation code='X' displayName='Autrement {own}'/></value>"
            ),
            2 => format!("<value xsi:type='CD' code='pT{own}b'/>"),
            3 => format!(
                "<value xsi:type='CD' nullFlavor='{}'><originalText>écrit {own}</originalText></value>",
                self.one(&["OTH", "UNK", "NA"])
            ),
            4 => format!("<value xsi:type='PQ' value='{one}.5' unit='{unit}'/>"),
            5 => format!(
                "<value xsi:type='IVL_PQ'>{}{}</value>",
                self.limit("low", one, unit),
                self.limit("high", other, unit)
            ),
            6 => format!(
                "<value xsi:type='RTO_PQ_PQ'><numerator value='{one}' unit='mg'/><denominator value='{other}' unit='d'/></value>"
            ),
            7 => format!(
                "<value xsi:type='BL' value='{}'/>",
                self.one(&["true", "false"])
            ),
            8 => format!("<value xsi:type='TS' value='{}'/>", self.date()),
            9 => format!(
                "<value xsi:type='ST'>texte {own} : {}</value>",
                self.one(&["RE +", "HER2 -", "≤ 3", "R1"])
            ),
            10 => format!(
                "<value xsi:type='CD' nullFlavor='{}'/>",
                self.one(&["NA", "UNK", "NI", "MSK"])
            ),
            11 => format!(
                "<value xsi:type='CD' code='IB' displayName='None'><qualifier><name code='q' displayName='Précision {own}'/>\
                 <value code='Q{own}' displayName='None'/></qualifier></value>"
            ),
            _ => format!("<value xsi:type='INT' value='{one}'/>"),
        }
    }

    fn act(&mut self, kind: &str, own: usize) -> String {
        if kind == "supply" {
            return format!("<quantity value='{own}' unit='mm'/>");
        }
        if kind != "substanceAdministration" {
            return match self.next(2) {
                0 => format!("<methodCode code='M' displayName='Méthode {own}'/>"),
                _ => format!("<priorityCode code='P' displayName='Rang {own}'/>"),
            };
        }
        let (one, other) = (1 + self.next(90), 100 + self.next(90));
        let mut inner = match self.next(5) {
            0 => format!("<doseQuantity value='{one}' unit='mg/m2'/>"),
            3 => format!(
                "<maxDoseQuantity><numerator value='{one}' unit='mg'/><denominator value='{other}' unit='d'/>\
                 </maxDoseQuantity>"
            ),
            4 => format!(
                "<repeatNumber value='{one}'/><approachSiteCode code='A' displayName='Abord {own}'><qualifier>\
                 <name code='20228-3' displayName='Latéralité'/><value code='G' displayName='gauche'/></qualifier>\
                 </approachSiteCode>"
            ),
            1 => format!(
                "<doseQuantity>{}{}</doseQuantity>",
                self.limit("low", one, "mg"),
                self.limit("high", other, "mg")
            ),
            _ => format!(
                "<rateQuantity><low value='{one}' unit='ug/L'/><high value='{other}' unit='ug/L'/></rateQuantity>"
            ),
        };
        inner.push_str(&format!(
            "<effectiveTime xsi:type='PIVL_TS' operator='A'><period value='{}' unit='{}'/></effectiveTime>\
             <routeCode code='R' displayName='Voie {own}'/>\
             <consumable><manufacturedProduct><manufacturedMaterial><code code='K' displayName='Produit {own}'/>\
             <name>MARQUE{own}</name></manufacturedMaterial></manufacturedProduct></consumable>",
            2 + self.next(8),
            self.one(&["d", "wk"]),
        ));
        inner
    }
}
