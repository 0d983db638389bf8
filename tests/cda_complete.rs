//! Nothing of a CDA's body is lost on its way into the questionnaire (interface.md 5).
//!
//! The document is walked here on its own, without the reader's help: every attribute, every text, what every
//! reference leads to, and the number of statements and sections must be found again in the questionnaire's JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rcpspool::cda;
use rcpspool::model::questionnaire::Questionnaire;
use roxmltree::{Document, Node};
use serde_json::Value;

const HL7: &str = "urn:hl7-org:v3";

#[test]
fn nothing_of_our_documents_is_lost() {
    let mut count = 0;
    for path in documents_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cda")) {
        check(&path);
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn nothing_of_the_samples_is_lost() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/frcp");
    if !folder.is_dir() {
        println!("skipped: there is no ../shared/samples");
        return;
    }
    for path in documents_in(&folder) {
        check(&path);
    }
}

fn documents_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "xml"))
        .collect()
}

/// The questionnaire's strings, without white space and with XML's escapes undone.
#[derive(Default)]
struct Strings {
    /// All of them.
    all: Vec<String>,
    /// Those that are no narrative of a section.
    statements: Vec<String>,
    /// Those that are.
    narrative: Vec<String>,
    moods: usize,
    sections: usize,
    negated: usize,
}

impl Strings {
    fn collect(&mut self, value: &Value, is_section: bool) {
        match value {
            Value::String(text) => self.add(text, false),
            Value::Array(values) => values.iter().for_each(|it| self.collect(it, is_section)),
            Value::Object(keys) => {
                self.sections += usize::from(is_section);
                self.moods += usize::from(keys.get("mood").is_some_and(Value::is_string));
                self.negated += usize::from(keys.get("negated") == Some(&Value::Bool(true)));
                for (key, value) in keys {
                    match value {
                        Value::String(text) => self.add(text, is_section && key == "text"),
                        // The tables of the narrative.
                        Value::Array(_) if key == "blocks" => {}
                        value => self.collect(value, key == "sections"),
                    }
                    self.add(key, false);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, text: &str, is_narrative: bool) {
        let plain = stripped(text);
        let unescaped = unescape(&plain);
        for text in [plain, unescaped] {
            match is_narrative {
                true => self.narrative.push(text.clone()),
                false => self.statements.push(text.clone()),
            }
            self.all.push(text);
        }
    }
}

fn stripped(text: &str) -> String {
    text.split_whitespace().collect()
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#160;", ""),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, plain);
    }
    text
}

fn check(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let document = Document::parse(&text).unwrap();
    let body = document
        .descendants()
        .find(|node| node.has_tag_name((HL7, "structuredBody")))
        .unwrap();
    let questionnaire = cda::parse(&bytes).unwrap().questionnaire.unwrap();
    let json = serde_json::to_string(&questionnaire).unwrap();
    let again: Questionnaire = serde_json::from_str(&json).unwrap();
    assert_eq!(again, questionnaire);

    let mut found = Strings::default();
    found.collect(&serde_json::from_str(&json).unwrap(), false);
    let ids: HashMap<&str, Node<'_, '_>> = document
        .descendants()
        .filter_map(|node| Some((node.attribute("ID")?, node)))
        .collect();
    let mut missing = Vec::new();
    let mut look = |wanted: &str, among: &[String], what: &str, node: Node<'_, '_>| {
        let wanted = stripped(wanted);
        if !wanted.is_empty() && !among.iter().any(|text| text.contains(&wanted)) {
            let line = document.text_pos_at(node.range().start).row;
            missing.push(format!("line {line}: {what} {wanted}"));
        }
    };
    for node in body.descendants() {
        let narrative = node
            .ancestors()
            .find(|it| is_narrative(*it))
            .filter(|text| *text != node);
        if node.is_text() {
            let among = if narrative.is_some() {
                &found.narrative
            } else {
                &found.all
            };
            look(node.text().unwrap(), among, "text", node);
        }
        if !node.is_element() || narrative.is_some() {
            continue;
        }
        for attribute in node.attributes() {
            let is_told_otherwise = matches!(attribute.name(), "negationInd" | "inversionInd")
                || attribute.name() == "mediaType" && matches!(node.tag_name().name(), "text" | "originalText")
                // What is in base64 has a key of that name.
                || attribute.name() == "representation"
                // A type is kept where it is that of the statement's value.
                || attribute.namespace().is_some_and(|it| it.ends_with("XMLSchema-instance"))
                || matches!(node.tag_name().name(), "section" | "component" | "structuredBody")
                    && matches!(attribute.name(), "classCode" | "moodCode" | "typeCode");
            let is_resolved = node.has_tag_name((HL7, "reference"))
                && attribute.value().strip_prefix('#').is_some_and(|id| {
                    let target = ids.get(id).map(|it| it.descendants());
                    target.is_some_and(|mut it| {
                        it.any(|it| !stripped(it.text().unwrap_or("")).is_empty())
                    })
                });
            if !is_told_otherwise && !is_resolved {
                look(attribute.value(), &found.statements, attribute.name(), node);
            }
        }
        if node.has_tag_name((HL7, "reference"))
            && let Some(target) = node.attribute("value").and_then(|it| it.strip_prefix('#'))
            && let Some(target) = ids.get(target)
            && let Some(statement) = node.ancestors().find(|it| it.has_attribute("moodCode"))
            && is_read(statement)
        {
            let texts = target
                .descendants()
                .filter(Node::is_text)
                .map(|it| it.text().unwrap());
            // Cells are divided in the text; what stands in each must be there.
            let parts: Vec<String> = match target.tag_name().name() {
                "tr" => texts.map(str::to_owned).collect(),
                _ => vec![texts.collect()],
            };
            for part in parts {
                look(&part, &found.statements, "resolved", node);
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{}:\n{}",
        path.display(),
        missing.join("\n")
    );

    let in_body = |wanted: &dyn Fn(Node<'_, '_>) -> bool| {
        body.descendants().filter(|node| wanted(*node)).count()
    };
    let statements = in_body(&|node| {
        node.has_attribute("moodCode")
            && node != body
            && is_read(node)
            && !node.has_tag_name((HL7, "section"))
    });
    assert_eq!(found.moods, statements, "{}", path.display());
    assert_eq!(
        found.sections,
        in_body(&|node| node.has_tag_name((HL7, "section")))
    );
    assert_eq!(
        found.negated,
        in_body(&|node| node.attribute("negationInd") == Some("true"))
    );
}

fn is_narrative(node: Node<'_, '_>) -> bool {
    node.has_tag_name((HL7, "text"))
        && node
            .parent()
            .is_some_and(|parent| parent.has_tag_name((HL7, "section")))
}

/// Whether an element is a statement of the form, and not something that a statement refers to.
fn is_read(node: Node<'_, '_>) -> bool {
    !node.ancestors().any(|it| {
        matches!(
            it.tag_name().name(),
            "reference" | "precondition" | "referenceRange"
        )
    })
}
