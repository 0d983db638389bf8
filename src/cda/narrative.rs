//! The narrative of sections, and what the statements refer to in it (CDA R2, chapter 4.3.5; interface.md 5).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use roxmltree::Node;

use super::{HL7, attribute};
use crate::model::questionnaire::{Block, TableRow};

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
        let told = text(node)?;
        let around = || node.ancestors().skip(1).find_map(own_mark);
        Some(match own_mark(node).map_or_else(around, |_| None) {
            Some(mark) => Rc::from(format!("[{mark} : {told}]")),
            None => Rc::from(told),
        })
    }
}

/// What a text says of all that stands in an element: that it does not hold any more.
fn own_mark(node: Node<'_, '_>) -> Option<&'static str> {
    if attribute(node, "revised") == Some("delete") {
        return Some("supprimé");
    }
    let styles = attribute(node, "styleCode").unwrap_or_default();
    let mut styles = styles.split_whitespace().map(str::to_lowercase);
    let is_struck = |style: String| style.contains("strike") || style.contains("linethrough");
    styles.any(is_struck).then_some("barré")
}

/// The same, as it is written within the element; that of a row or a table stands in each of its cells.
fn mark(node: Node<'_, '_>) -> Option<&'static str> {
    match node.tag_name().name() {
        "table" | "thead" | "tbody" | "tfoot" | "tr" => None,
        "td" | "th" => {
            let mut is_inside = true;
            let around = node.ancestors().take_while(|it| {
                let was_inside = is_inside;
                is_inside &= it.tag_name().name() != "table";
                was_inside
            });
            around.into_iter().find_map(own_mark)
        }
        _ => own_mark(node),
    }
}

/// Text above the line, as its letters where Unicode has them for all of it.
fn raised(text: &str) -> String {
    let raised = text.chars().map(|letter| match letter {
        '0' => Some('⁰'),
        '1' => Some('¹'),
        '2' => Some('²'),
        '3' => Some('³'),
        '4'..='9' => char::from_u32('⁴' as u32 + (letter as u32 - '4' as u32)),
        '+' => Some('⁺'),
        '-' | '−' => Some('⁻'),
        _ => None,
    });
    match raised.collect::<Option<String>>() {
        Some(raised) => raised,
        // An ordinal (`1er`, `3e`, `n°`) reads the same on the line.
        None if text.chars().all(|it| it.is_alphabetic() || it == '°') => text.to_owned(),
        None => aside('^', text),
    }
}

/// Text below the line.
fn lowered(text: &str) -> String {
    let lowered = text.chars().map(|letter| match letter {
        '0'..='9' => char::from_u32('₀' as u32 + (letter as u32 - '0' as u32)),
        _ => None,
    });
    match lowered.collect::<Option<String>>() {
        Some(lowered) => lowered,
        None => aside('_', text),
    }
}

fn aside(sign: char, text: &str) -> String {
    match text.contains(char::is_whitespace) {
        true => format!("{sign}({text})"),
        false => format!("{sign}{text}"),
    }
}

/// A table has at most so many columns; further cells of a row stand in its last one.
const MAX_COLUMNS: usize = 50;

/// Narrative, of which this is the text, in lines and tables; nothing where it has no table, or something of it stands
/// outside of lines and cells: then the text says it all.
pub(super) fn blocks(node: Node<'_, '_>, text: &str) -> Vec<Block> {
    let mut lines = LineBuilder {
        blocks: Some(Vec::new()),
        ..LineBuilder::default()
    };
    for child in node.children() {
        lines.add(child);
    }
    lines.end_lines();
    let repeated = lines.repeated;
    let blocks = lines.blocks.unwrap_or_default();
    let has_table = blocks.iter().any(|block| matches!(block, Block::Table(_)));
    let cells = blocks.iter().flat_map(|block| match block {
        Block::Line(line) => vec![line.as_str()],
        Block::Table(rows) => rows
            .iter()
            .flat_map(|row| &row.cells)
            .map(String::as_str)
            .collect(),
    });
    match has_table && cells.map(letters).sum::<usize>() == letters(text) + repeated {
        true => blocks,
        false => Vec::new(),
    }
}

/// A cell that stands in several rows is repeated in them up to so many characters, and in a table up to so many.
const LONGEST_REPEATED: usize = 200;
const MOST_REPEATED: usize = 20_000;

fn letters(text: &str) -> usize {
    text.chars().filter(|it| it.is_alphanumeric()).count()
}

/// The rows of a table, each cell in its column, and how many letters are repeated in them: one that stands in several columns leaves the others empty; one that
/// stands in several rows is repeated, since each row is read by itself.
fn table(node: Node<'_, '_>) -> (Vec<TableRow>, usize) {
    let mut rows: Vec<TableRow> = Vec::new();
    let mut repeated_letters = 0;
    // For each column, in how many further rows the cell above stands, and what it says.
    let mut taken: Vec<(usize, String)> = Vec::new();
    for row in node.descendants().filter(|it| {
        let own = it.ancestors().find(|it| it.tag_name().name() == "table");
        it.is_element() && it.tag_name().name() == "tr" && own == Some(node)
    }) {
        let mut shown = TableRow {
            is_head: row.ancestors().any(|it| it.tag_name().name() == "thead"),
            cells: Vec::new(),
        };
        let mut all_heads = true;
        for cell in row.children().filter(Node::is_element) {
            all_heads &= cell.tag_name().name() == "th";
            take_from_above(&mut taken, &mut shown.cells, &mut repeated_letters);
            let span = |name| {
                let written = attribute(cell, name).and_then(|it| it.parse::<usize>().ok());
                written.unwrap_or(1).max(1)
            };
            let text = text(cell).unwrap_or_default();
            if shown.cells.len() >= MAX_COLUMNS {
                if let Some(last) = shown.cells.last_mut().filter(|_| !text.is_empty()) {
                    last.push('\n');
                    last.push_str(&text);
                }
                continue;
            }
            let first = shown.cells.len();
            let is_short = text.chars().nth(LONGEST_REPEATED).is_none();
            let repeated = if is_short {
                text.clone()
            } else {
                String::new()
            };
            shown.cells.push(text);
            let end = first.saturating_add(span("colspan")).min(MAX_COLUMNS);
            shown.cells.resize(end, String::new());
            taken.resize(taken.len().max(end), (0, String::new()));
            let below = span("rowspan").saturating_sub(1);
            for (number, column) in taken.iter_mut().take(end).skip(first).enumerate() {
                let says = if number == 0 { repeated.as_str() } else { "" };
                *column = (below, says.to_owned());
            }
        }
        if !shown.cells.is_empty() {
            take_from_above(&mut taken, &mut shown.cells, &mut repeated_letters);
        }
        let end = shown.cells.len();
        for (left, _) in taken.iter_mut().skip(end) {
            *left = left.saturating_sub(1);
        }
        shown.is_head |= all_heads && shown.cells.len() > 1 && rows.iter().all(|it| it.is_head);
        while shown.cells.last().is_some_and(String::is_empty) {
            shown.cells.pop();
        }
        if !shown.cells.is_empty() {
            rows.push(shown);
        }
    }
    (rows, repeated_letters)
}

/// Adds the cells of a row that stand in it from above, and counts their letters.
fn take_from_above(taken: &mut [(usize, String)], cells: &mut Vec<String>, repeated: &mut usize) {
    while let Some((left, says)) = taken.get_mut(cells.len()).filter(|(left, _)| *left > 0) {
        *left -= 1;
        let says = match *repeated < MOST_REPEATED {
            true => says.clone(),
            false => String::new(),
        };
        *repeated += letters(&says);
        cells.push(says);
    }
}

/// Narrative as text: a line for each row, paragraph and item, cells divided by ` | `.
pub(super) fn text(node: Node<'_, '_>) -> Option<String> {
    let mut lines = LineBuilder::default();
    lines.inside(node);
    let text = lines.text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[derive(Default)]
struct LineBuilder {
    text: String,
    /// Whether white space stood before what comes next.
    space: bool,
    /// Where lines and tables are gathered apart: those before the text.
    blocks: Option<Vec<Block>>,
    /// How many letters and digits stand in the tables again.
    repeated: usize,
}

impl LineBuilder {
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
            // In base64.
            "thumbnail" => {}
            "footnote" => {
                // What refers to it names it.
                let named = attribute(node, "ID").map(|id| format!("note {id} : "));
                if let Some(note) = text(node) {
                    self.words(&format!(" ({}{note}) ", named.unwrap_or_default()));
                }
            }
            "footnoteRef" => {
                if let Some(note) = attribute(node, "IDREF") {
                    self.words(&format!(" [note {note}] "));
                }
            }
            name @ ("sup" | "sub") => match text(node) {
                Some(text) if name == "sup" => self.words(&raised(&text)),
                Some(text) => self.words(&lowered(&text)),
                None => {}
            },
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
            "table" if self.blocks.is_some() => {
                let captions = node
                    .children()
                    .filter(|it| it.tag_name().name() == "caption");
                captions.for_each(|caption| self.add(caption));
                self.end_lines();
                let (rows, repeated) = table(node);
                self.repeated += repeated;
                if let Some(blocks) = self.blocks.as_mut().filter(|_| !rows.is_empty()) {
                    blocks.push(Block::Table(rows));
                }
            }
            "table" | "thead" | "tbody" | "tfoot" | "caption" | "paragraph" | "list" => {
                self.end_line();
                self.inside(node);
                self.end_line();
            }
            _ => self.inside(node),
        }
    }

    /// Makes blocks of the lines so far.
    fn end_lines(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.space = false;
        if let Some(blocks) = &mut self.blocks {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            blocks.extend(lines.map(|line| Block::Line(line.trim().to_owned())));
        }
    }

    fn inside(&mut self, node: Node<'_, '_>) {
        let mark = mark(node).map(|mark| format!("[{mark} :"));
        if let Some(mark) = &mark {
            self.words(&format!(" {mark} "));
        }
        for child in node.children() {
            self.add(child);
        }
        if let Some(mark) = mark {
            let end = self.text.trim_end().len();
            self.text.truncate(end);
            match self.text.strip_suffix(&mark) {
                // Nothing stands in it.
                Some(before) => self.text = before.to_owned(),
                None => self.text.push(']'),
            }
            self.space = true;
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
            ("10<sup>9</sup>/L, H<sub>2</sub>O", "10⁹/L, H₂O"),
            (
                "1<sup>er</sup> x<sup>a+1</sup> y<sub>n m</sub>",
                "1er x^a+1 y_(n m)",
            ),
            ("10 <sup>-12</sup> mol<sup/>", "10 ⁻¹² mol"),
            (
                "Dose <content revised=\"delete\">5 mg</content><content revised=\"insert\">10 mg</content>",
                "Dose [supprimé : 5 mg] 10 mg",
            ),
            ("a<content revised=\"delete\"> </content>b", "a b"),
            (
                "<paragraph styleCode=\"Bold Strikethrough\">a<br/>b</paragraph>c",
                "[barré : a\nb]\nc",
            ),
            (
                "<table><tr styleCode=\"Strikethrough\"><td>a</td><td>b</td></tr><tr><td styleCode=\"Strikethrough\">c</td><td>d</td></tr></table>",
                "[barré : a] | [barré : b]\n[barré : c] | d",
            ),
            ("a<!-- b --><![CDATA[ <c>]]>", "a <c>"),
        ] {
            assert_eq!(read(xml), text, "{xml}");
        }
    }

    #[test]
    fn tables_keep_their_columns() {
        let tables = |xml: &str| {
            let xml = format!("<text xmlns=\"urn:hl7-org:v3\">{xml}</text>");
            let document = Document::parse(&xml).unwrap();
            let root = document.root_element();
            let told = blocks(root, &text(root).unwrap_or_default());
            let told = told.into_iter().map(|block| match block {
                Block::Line(line) => line,
                Block::Table(rows) => rows
                    .into_iter()
                    .map(|row| {
                        let sign = if row.is_head { "#" } else { "" };
                        format!("{sign}{}", row.cells.join("|"))
                    })
                    .collect::<Vec<_>>()
                    .join("/"),
            });
            told.collect::<Vec<_>>()
        };
        for (xml, told) in [
            ("a<br/>b", &[][..]),
            (
                "before<table><caption>C</caption><thead><tr><th>A</th><th>B</th></tr></thead>\
                 <tbody><tr><td>x<br/>y</td><td/></tr><tr/></tbody></table>after",
                &["before", "C", "#A|B/x\ny", "after"],
            ),
            (
                "<table><tr><td rowspan='2'>a</td><td>b</td></tr><tr><td>c</td></tr><tr><td>d</td></tr></table>",
                &["a|b/a|c/d"],
            ),
            (
                "<table><tr><td colspan='2'>a</td><td>b</td></tr></table>",
                &["a||b"],
            ),
            (
                "<table><tr><th>A</th><th>B</th></tr><tr><th>x</th><td>y</td></tr></table>",
                &["#A|B/x|y"],
            ),
            (
                "<table><tr><td>a<table><tr><td>b</td><td>c</td></tr></table></td></tr></table>",
                &["a\nb | c"],
            ),
            (
                "<list><item><table><tr><td>a</td></tr></table></item></list>",
                &["-", "a"],
            ),
            (
                "<table styleCode='Strikethrough'><tr><td>a</td><td>b</td></tr></table>c",
                &["[barré : a]|[barré : b]", "c"],
            ),
            (
                "<table><tr><td>15 mm<footnoteRef IDREF='n1'/></td><td>b</td></tr>\
                 <tr><td rowspan='2'>a</td><td>c</td></tr><tr><td>d</td></tr></table>\
                 <footnote ID='n1'>estimation</footnote>",
                &["15 mm [note n1]|b/a|c/a|d", "(note n1 : estimation)"],
            ),
            ("<table>lost<tr><td>a</td></tr></table>", &[]),
        ] {
            assert_eq!(tables(xml), told, "{xml}");
        }
        let wide = format!(
            "<table><tr><td colspan='4000000000'>a</td>{}</tr></table>",
            "<td>b</td>".repeat(2)
        );
        assert!(tables(&wide)[0].ends_with("b\nb"));
        // What stands in very many rows is repeated in some.
        let high = format!(
            "<table><tr><td rowspan='60000'>{}</td><td>b</td></tr>{}</table>",
            "a".repeat(150),
            "<tr><td>c</td></tr>".repeat(5_000)
        );
        let shown = tables(&high)[0].len();
        assert!((20_000..60_000).contains(&shown), "{shown}");
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
