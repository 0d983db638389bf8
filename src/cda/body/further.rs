//! What stands in an element that has no key of its own, as a reader can be told it: words, amounts, times, and why
//! something is absent.

use std::collections::HashMap;

use roxmltree::Node;

use super::{
    XSI, attribute, identifier_written, is_coded, is_measured, is_negated, iso, name, named,
    type_of,
};
use crate::cda::narrative::Narrative;
use crate::model::questionnaire::{FurtherElement, is_nothing};

/// Attributes that say what an element is to a program, or that are read with it; none of them is a datum.
const OF_PROGRAMS: &[&str] = &[
    "ID",
    "assigningAuthorityName",
    "charset",
    "classCode",
    "code",
    "codeSystem",
    "codeSystemName",
    "codeSystemVersion",
    "compression",
    "contextConductionInd",
    "contextControlCode",
    "currency",
    "determinerCode",
    "displayName",
    "displayable",
    "extension",
    "independentInd",
    "integrityCheck",
    "integrityCheckAlgorithm",
    "isCriterionInd",
    "language",
    "mediaType",
    "moodCode",
    "negationInd",
    "nullFlavor",
    "partType",
    "qualifier",
    "representation",
    "root",
    "separatableInd",
    "seperatableInd",
    "specializationType",
    "typeCode",
    "unit",
    "use",
    "value",
    "valueNegationInd",
    "xsi",
];

/// Parts of an amount or a time that its own key says.
const OF_AMOUNTS: &[&str] = &[
    "center",
    "comp",
    "denominator",
    "digits",
    "event",
    "frequency",
    "high",
    "low",
    "numerator",
    "offset",
    "origin",
    "period",
    "phase",
    "reference",
    "scale",
    "width",
];

/// Elements that say nothing to a reader: what a document follows, where people live, how to reach and address them.
const OF_NOBODY: &[&str] = &[
    "addr",
    "confidentialityCode",
    "independentInd",
    "languageCode",
    "prefix",
    "realmCode",
    "separatableInd",
    "seperatableInd",
    "setId",
    "telecom",
    "templateId",
    "typeId",
];

/// What these elements, which are kept as they were written, say to a reader.
pub(super) fn of<'a, 'i>(
    nodes: &[Node<'a, 'i>],
    narrative: &Narrative<'a, 'i>,
) -> Vec<FurtherElement> {
    let mut found = Finder {
        narrative,
        place: Vec::new(),
        found: Vec::new(),
        is_denied: false,
    };
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for node in nodes {
        let before = found.found.len();
        found.kept(*node);
        // What belongs to another element of the name is told apart.
        let number = counts.entry(node.tag_name().name()).or_default();
        let of_it = found.found.iter_mut().skip(before);
        of_it.for_each(|it| it.number = *number);
        *number = number.saturating_add(1);
    }
    found.found
}

/// What an element has in attributes that nobody knows.
pub(super) fn of_attributes(node: Node<'_, '_>, known: &[&str]) -> Vec<FurtherElement> {
    let place = place(&[node.tag_name().name()]);
    let found = unknown(node, known).map(|(name, value)| FurtherElement {
        place: format!("{place}/@{}", short(name)),
        text: words_of(value).map(str::to_owned),
        ..FurtherElement::default()
    });
    let denied = is_negated(node) && !known.contains(&"negationInd");
    let denied = denied.then(|| FurtherElement {
        place: place.clone(),
        negated: true,
        ..FurtherElement::default()
    });
    denied.into_iter().chain(found.take(MOST)).collect()
}

/// The attributes of an element that may say something, and of which nothing is known.
fn unknown<'a>(node: Node<'a, '_>, known: &[&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let attributes = node.attributes().filter(|it| {
        it.namespace().is_none_or(|it| it != XSI)
            && !known.contains(&it.name())
            && !OF_PROGRAMS.contains(&it.name())
    });
    let attributes = attributes.map(|it| (it.name(), it.value().trim()));
    attributes.filter(|(_, value)| !value.is_empty())
}

/// Of one statement so many parts are told; the report has room for fewer, and says that there are more.
const MOST: usize = 1_000;
/// So many names say where something stands, each with so many letters: names and depth are the sender's.
const NAMES: usize = 5;
const LETTERS: usize = 40;

/// Where something stands: the first name, and the last ones.
fn place(names: &[&str]) -> String {
    let further = names.len().saturating_sub(NAMES);
    let shown = names.iter().take(1).chain(names.iter().skip(1 + further));
    shown.map(|it| short(it)).collect::<Vec<_>>().join("/")
}

fn short(name: &str) -> &str {
    let end = name.char_indices().nth(LETTERS).map(|(at, _)| at);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

struct Finder<'f, 'a, 'i> {
    narrative: &'f Narrative<'a, 'i>,
    place: Vec<&'i str>,
    found: Vec<FurtherElement>,
    /// Whether all of the element is denied: no key of its own says it then.
    is_denied: bool,
}

impl<'a, 'i> Finder<'_, 'a, 'i> {
    /// An element that is kept as it was written.
    fn kept(&mut self, node: Node<'a, 'i>) {
        // A key of its own says the first text.
        let is_first = || node.prev_siblings().skip(1).all(|it| name(it) != "text");
        let is_known = name(node) == "id" || name(node) == "text" && is_first();
        if OF_NOBODY.contains(&name(node)) || is_known {
            return;
        }
        let before = self.found.len();
        self.place.push(node.tag_name().name());
        // A statement is denied with its value.
        let is_denied = is_negated(node) && name(node) != "value";
        self.is_denied = is_denied;
        let is_ours = !name(node).is_empty();
        let is_time = matches!(name(node), "effectiveTime") || is_of_times(node);
        match () {
            () if is_denied => self.whole(node, false),
            () if is_time || is_ours && is_amount(node) => self.amount(node, is_time),
            () if is_ours && is_coded(node) => self.concept(node),
            () if name(node) == "value" => self.amount(node, false),
            () => {
                self.whole(node, false);
                match self.found.len() == before {
                    true => self.nothing(node),
                    false if is_thing(node) => self.ids(node),
                    false => {}
                }
            }
        }
        self.place.pop();
        if is_denied {
            if self.found.len() == before {
                self.say(None, None);
            }
            self.found
                .iter_mut()
                .skip(before)
                .for_each(|it| it.negated = true);
        }
    }

    fn say(&mut self, text: Option<String>, unit: Option<&str>) {
        self.add(FurtherElement {
            place: place(&self.place),
            text,
            unit: unit.map(str::to_owned),
            ..FurtherElement::default()
        });
    }

    fn add(&mut self, further: FurtherElement) {
        if self.found.len() < MOST {
            self.found.push(further);
        }
    }

    /// By which numbers a thing is told from others of its kind.
    fn ids(&mut self, node: Node<'a, 'i>) {
        self.place.push("id");
        let ids = node.descendants().filter(|it| name(*it) == "id");
        for id in ids.filter(|it| it.has_attribute("extension")) {
            self.say(identifier_written(id), None);
        }
        self.place.pop();
    }

    /// An element in which no word stands: its identifier is all that it says, else that it says something.
    fn nothing(&mut self, node: Node<'a, 'i>) {
        let mut ids = node.descendants().filter(|it| name(*it) == "id");
        let written = ids.find_map(|id| attribute(id, "extension").and(identifier_written(id)));
        let refers = matches!(name(node), "reference" | "");
        if written.is_some() || refers && node.has_children() {
            self.say(written, None);
        }
    }

    /// What an element says, and all that is in it.
    fn whole(&mut self, node: Node<'a, 'i>, is_time: bool) {
        let role = node.tag_name().name();
        let is_named_so = role == "time" || role.ends_with("Time");
        let is_time = is_time || is_named_so || is_of_times(node);
        // A picture of what stands beside it.
        if name(node) == "thumbnail" {
            self.say(None, None);
            return;
        }
        self.absent(node);
        self.attributes(node);
        let label = attribute(node, "displayName");
        let code = attribute(node, "code");
        let label = label.filter(|label| !is_nothing(label, code));
        let written = named(node, "originalText").find_map(|it| self.narrative.text_of(it));
        let unit = attribute(node, "unit").or_else(|| attribute(node, "currency"));
        match (label, &written, attribute(node, "value"), code) {
            // An amount may be translated into the unit of a code.
            (_, _, Some(value), code) if name(node) != "reference" => {
                let unit = unit.or(code).filter(|_| !is_time);
                self.add(FurtherElement {
                    place: place(&self.place),
                    text: Some(if is_time {
                        iso(value)
                    } else {
                        value.to_owned()
                    }),
                    unit: unit.map(str::to_owned),
                    is_time,
                    ..FurtherElement::default()
                });
            }
            (Some(label), ..) => self.say(Some(label.to_owned()), None),
            (None, None, None, Some(code)) => self.say(Some(code.to_owned()), None),
            _ => {}
        }
        if let Some(written) = written {
            self.say(Some(written), None);
        }
        // A text, with what it refers to in the narrative, is said in one piece.
        if matches!(name(node), "text" | "title" | "desc" | "originalText") {
            let text = self.narrative.text_of(node);
            if text.is_some() {
                self.say(text, None);
            }
            return;
        }
        if name(node) == "reference"
            && let Some(target) = attribute(node, "value")
        {
            let target = target.to_owned();
            self.say(Some(target), None);
        }
        self.own_words(node);
        for child in node.children().filter(Node::is_element) {
            let known = OF_NOBODY.contains(&name(child));
            if known || matches!(name(child), "id" | "originalText") {
                continue;
            }
            self.place.push(child.tag_name().name());
            // Its own key says the bounds of a range, and what a condition asks for.
            let around = name(node);
            let is_said = name(child) == "value"
                && matches!(around, "observationRange" | "criterion")
                && is_measured(child);
            match is_said && !self.is_denied {
                true => self.amount(child, is_of_times(child)),
                false => self.whole(child, is_time),
            }
            self.place.pop();
        }
    }

    /// The words that stand in an element, not in one within it.
    fn own_words(&mut self, node: Node<'a, 'i>) {
        for part in node.children().filter(Node::is_text) {
            let words = part.text().unwrap_or_default().split_whitespace();
            let words = words.collect::<Vec<_>>().join(" ");
            if !words.is_empty() {
                self.say(Some(words), None);
            }
        }
    }

    /// What a coded element has besides what its concept says.
    fn concept(&mut self, node: Node<'a, 'i>) {
        self.attributes(node);
        self.own_words(node);
        let is_whole = self.place.len() == 1;
        for child in node.children().filter(Node::is_element) {
            self.place.push(child.tag_name().name());
            match name(child) {
                "originalText" => {}
                // Those of a concept are said with it, not those of one of its parts.
                "qualifier" if is_whole => {
                    self.attributes(child);
                    for part in child.children().filter(Node::is_element) {
                        self.place.push(part.tag_name().name());
                        match name(part) {
                            "name" | "value" => self.concept(part),
                            _ => self.whole(part, false),
                        }
                        self.place.pop();
                    }
                }
                "translation" if is_whole => self.concept(child),
                _ => self.whole(child, false),
            }
            self.place.pop();
        }
    }

    /// What an amount or a time has besides its parts.
    fn amount(&mut self, node: Node<'a, 'i>, is_time: bool) {
        if self.place.len() > 1 {
            self.absent(node);
        }
        self.attributes(node);
        for child in node.children().filter(Node::is_element) {
            self.place.push(child.tag_name().name());
            match OF_AMOUNTS.contains(&name(child)) {
                true => self.amount(child, is_time),
                false => self.whole(child, is_time),
            }
            self.place.pop();
        }
    }

    fn absent(&mut self, node: Node<'a, 'i>) {
        if let Some(flavor) = attribute(node, "nullFlavor") {
            self.add(FurtherElement {
                place: place(&self.place),
                null_flavor: Some(flavor.to_owned()),
                ..FurtherElement::default()
            });
        }
    }

    fn attributes(&mut self, node: Node<'a, 'i>) {
        // Those of a time and of a bound are read with it.
        let known = ["inclusive", "operator"];
        for (name, value) in unknown(node, &known) {
            let text = match name {
                "institutionSpecified" | "inverted" if value == "false" => continue,
                "alignment"
                | "institutionSpecified"
                | "distributionType"
                | "inverted"
                | "probability" => Some(value),
                _ => words_of(value),
            };
            self.add(FurtherElement {
                place: format!("{}/@{}", place(&self.place), short(name)),
                text: text.map(str::to_owned),
                ..FurtherElement::default()
            });
        }
    }
}

/// Whether an element is about a thing, or a document, which people know by its number.
fn is_thing(node: Node<'_, '_>) -> bool {
    match name(node) {
        "specimen" | "reference" => true,
        "participant" => {
            let is_device = || node.descendants().any(|it| name(it) == "playingDevice");
            attribute(node, "typeCode") == Some("DEV") || is_device()
        }
        _ => false,
    }
}

/// The value of an attribute that nobody knows, where it is words.
fn words_of(value: &str) -> Option<&str> {
    let words = value.split(|it: char| !it.is_alphabetic());
    let is_worded = words.into_iter().any(|word| word.chars().count() > 2);
    let is_answer = matches!(value, "true" | "false");
    let is_name = value.contains([':', '/']) && !value.contains(' ');
    (is_worded && !is_answer && !is_name).then_some(value)
}

fn is_of_times(node: Node<'_, '_>) -> bool {
    type_of(node).is_some_and(|kind| kind.ends_with("TS"))
}

/// Whether an element is an amount whose own key says it.
pub(super) fn is_amount(node: Node<'_, '_>) -> bool {
    let role = name(node);
    role.ends_with("Quantity")
        || role.ends_with("Number")
        || matches!(role, "quantity" | "expectedUseTime" | "effectiveTime")
        || role == "value" && (is_measured(node) || !is_coded(node))
}
