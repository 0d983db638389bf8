//! The narrative of sections, and what the statements refer to in it (CDA R2, chapter 4.3.5; SPEC 5).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use roxmltree::Node;

use super::{HL7, attribute};

/// The parts of a document that statements can refer to.
pub(super) struct Narrative<'a, 'i> {
    by_id: HashMap<&'a str, Node<'a, 'i>>,
    resolved: RefCell<HashMap<&'a str, Option<Rc<str>>>>,
    /// How much text may still be copied: many references to one long text must not fill the memory.
    budget: Cell<usize>,
}

impl<'a, 'i> Narrative<'a, 'i> {
    /// All elements below the root that have an `ID`; of two with one `ID` the first.
    pub(super) fn of(root: Node<'a, 'i>) -> Self {
        let mut by_id = HashMap::new();
        for node in root.descendants() {
            if let Some(id) = attribute(node, "ID") {
                by_id.entry(id).or_insert(node);
            }
        }
        let length = root.document().input_text().len();
        Self {
            by_id,
            resolved: RefCell::default(),
            budget: Cell::new(length.saturating_mul(4).max(1 << 20)),
        }
    }

    /// The text of an element of type ED: its own, and that of the narrative where it refers to it.
    ///
    /// A reference that leads nowhere, or to nothing, is kept as written.
    pub(super) fn text_of(&self, node: Node<'a, 'i>) -> Option<String> {
        let mut parts: Vec<String> = text(node).into_iter().collect();
        for reference in node
            .children()
            .filter(|it| it.has_tag_name((HL7, "reference")))
        {
            if let Some(target) = attribute(reference, "value") {
                parts.push(self.resolve(target));
            }
        }
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    fn resolve(&self, target: &'a str) -> String {
        let found = target.strip_prefix('#').and_then(|id| {
            let node = self.by_id.get(id)?;
            let mut resolved = self.resolved.borrow_mut();
            let known = resolved.entry(id);
            known.or_insert_with(|| self.read(*node)).clone()
        });
        match found {
            Some(text) if text.len() <= self.budget.get() => {
                self.budget
                    .set(self.budget.get().saturating_sub(text.len()));
                text.to_string()
            }
            _ => target.to_owned(),
        }
    }
}

impl<'a, 'i> Narrative<'a, 'i> {
    /// The text of an element, unless it is longer than what may still be copied: elements with an `ID` stand in each
    /// other, and each of them has all the text of those in it.
    fn read(&self, node: Node<'a, 'i>) -> Option<Rc<str>> {
        let left = self.budget.get().checked_sub(node.range().len())?;
        self.budget.set(left);
        text(node).map(Rc::from)
    }
}

/// Narrative as text: a line for each row, paragraph and item, cells divided by ` | `.
pub(super) fn text(node: Node<'_, '_>) -> Option<String> {
    let mut lines = Lines::default();
    for child in node.children() {
        lines.add(child);
    }
    let text = lines.text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[derive(Default)]
struct Lines {
    text: String,
    /// Whether white space stood before what comes next.
    space: bool,
}

impl Lines {
    fn add(&mut self, node: Node<'_, '_>) {
        if let Some(text) = node.text().filter(|_| node.is_text()) {
            self.words(text);
            return;
        }
        if !node.is_element() {
            return;
        }
        match node.tag_name().name() {
            "br" => self.end_line(),
            "renderMultiMedia" => {
                self.inside(node);
                if let Some(object) = attribute(node, "referencedObject") {
                    self.words(&format!(" [{object}] "));
                }
            }
            "linkHtml" => {
                self.inside(node);
                if let Some(target) = attribute(node, "href") {
                    self.words(&format!(" ({target}) "));
                }
            }
            "td" | "th" => {
                if node.prev_sibling_element().is_some() {
                    self.text.push_str(" | ");
                    self.space = false;
                }
                self.inside(node);
            }
            "item" => {
                self.end_line();
                self.text.push_str("- ");
                self.inside(node);
                self.end_line();
            }
            "tr" => {
                self.end_line();
                self.inside(node);
                // Empty cells at the end of a row say nothing.
                let filled = self.text.trim_end_matches([' ', '|']).len();
                self.text.truncate(filled);
                self.end_line();
            }
            "table" | "thead" | "tbody" | "tfoot" | "caption" | "paragraph" | "list" => {
                self.end_line();
                self.inside(node);
                self.end_line();
            }
            _ => self.inside(node),
        }
    }

    fn inside(&mut self, node: Node<'_, '_>) {
        for child in node.children() {
            self.add(child);
        }
    }

    fn words(&mut self, text: &str) {
        for (place, word) in text.split_whitespace().enumerate() {
            let space = place > 0 || self.space || text.starts_with(char::is_whitespace);
            if space && !self.text.is_empty() && !self.text.ends_with(char::is_whitespace) {
                self.text.push(' ');
            }
            self.space = false;
            self.text.push_str(word);
        }
        self.space |= text.ends_with(char::is_whitespace);
    }

    fn end_line(&mut self) {
        self.space = false;
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn read(xml: &str) -> String {
        let xml = format!("<text xmlns=\"urn:hl7-org:v3\">{xml}</text>");
        let document = Document::parse(&xml).unwrap();
        text(document.root_element()).unwrap_or_default()
    }

    #[test]
    fn narrative_becomes_lines() {
        for (xml, text) in [
            ("", ""),
            (" \n ", ""),
            ("a  b\n c", "a b c"),
            ("a<content>b</content> c", "ab c"),
            ("a <content>b</content>c", "a bc"),
            ("a<content> b </content>c", "a b c"),
            ("a<br/>b<br/><br/>c", "a\nb\nc"),
            (
                "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td> x </td> <td/><td>y<br/>z</td><td/></tr></tbody></table>after",
                "A | B\nx |  | y\nz\nafter",
            ),
            ("<list><item>a</item><item>b</item></list>", "- a\n- b"),
            ("<paragraph>a</paragraph><paragraph>b</paragraph>", "a\nb"),
            (
                "see <linkHtml href=\"https://x.fr\">here</linkHtml>.",
                "see here (https://x.fr) .",
            ),
            ("<renderMultiMedia referencedObject=\"M1\"/>", "[M1]"),
            ("a<!-- b --><![CDATA[ <c>]]>", "a <c>"),
        ] {
            assert_eq!(read(xml), text, "{xml}");
        }
    }

    #[test]
    fn references_are_resolved_or_kept_as_written() {
        let xml = "<a xmlns=\"urn:hl7-org:v3\"><c ID=\"x\">X <d ID=\"y\">Y</d></c><c ID=\"x\">Z</c><c ID=\"e\"/>\
            <t><reference value=\"#x\"/></t><t><reference value=\"#y\"/></t><t><reference value=\"#\"/></t>\
            <t><reference value=\"#gone\"/></t><t><reference value=\"#e\"/></t><t><reference value=\"http://x.fr\"/></t>\
            <t>own <reference value=\"#y\"/></t><t/></a>";
        let document = Document::parse(xml).unwrap();
        let root = document.root_element();
        let narrative = Narrative::of(root);
        let texts: Vec<_> = root
            .children()
            .filter(|node| node.has_tag_name((HL7, "t")))
            .map(|node| narrative.text_of(node).unwrap_or_default())
            .collect();
        assert_eq!(
            texts,
            ["X Y", "Y", "#", "#gone", "#e", "http://x.fr", "own Y", ""]
        );
    }

    #[test]
    fn references_to_texts_in_each_other_stay_small() {
        let open: String = (0..90).map(|n| format!("<c ID=\"n{n}\">")).collect();
        let refer: String = (0..90)
            .map(|n| format!("<t><reference value=\"#n{n}\"/></t>"))
            .collect();
        let xml = format!(
            "<a xmlns=\"urn:hl7-org:v3\">{open}{}{}{refer}</a>",
            "x".repeat(1 << 20),
            "</c>".repeat(90)
        );
        let document = Document::parse(&xml).unwrap();
        let narrative = Narrative::of(document.root_element());
        let read: usize = document
            .root_element()
            .children()
            .filter_map(|node| narrative.text_of(node))
            .map(|text| text.len())
            .sum();
        let kept = narrative.resolved.borrow();
        let kept: usize = kept.values().flatten().map(|text| text.len()).sum();
        assert!(read + kept < xml.len() * 6, "{read} and {kept}");
    }

    #[test]
    fn many_references_to_a_long_text_stay_small() {
        let long = "x".repeat(1 << 16);
        let xml = format!(
            "<a xmlns=\"urn:hl7-org:v3\"><c ID=\"x\">{long}</c>{}</a>",
            "<t><reference value=\"#x\"/></t>".repeat(10_000)
        );
        let document = Document::parse(&xml).unwrap();
        let narrative = Narrative::of(document.root_element());
        let all: usize = document
            .root_element()
            .children()
            .filter_map(|node| narrative.text_of(node))
            .map(|text| text.len())
            .sum();
        assert!(all < xml.len() * 6);
    }
}
