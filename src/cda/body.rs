//! The body: sections and clinical statements, in one walk that expects no code and drops nothing (SPEC 5).
//!
//! What the walk understands has a key of its own in the questionnaire; every element and attribute that it does not
//! is kept as it was written. Coded elements are kept whole besides, whatever their name.

use std::collections::BTreeMap;

use roxmltree::{Attribute, Node};

use super::narrative::{self, Narrative};
use super::{HL7, XSI, attribute, text_in};
use crate::model::questionnaire::{
    Concept, Consumable, Participant, Qualifier, Quantity, Questionnaire, Section, Site, Statement,
};

/// Reads the body; none where it is not structured.
pub(super) fn read(root: Node<'_, '_>) -> Option<Questionnaire> {
    let body =
        named(root, "component").find_map(|component| named(component, "structuredBody").next())?;
    let reader = Reader {
        narrative: Narrative::of(root),
    };
    let mut other = Other::default();
    other.attributes(body, &["classCode", "moodCode"]);
    let mut sections = Vec::new();
    for child in body.children().filter(Node::is_element) {
        match name(child) {
            "component" => reader.sections(child, &mut sections, &mut other),
            _ => other.whole(child),
        }
    }
    Some(Questionnaire {
        sections,
        other: other.finish(),
    })
}

/// The elements of CDA of this name, with or without null flavour.
fn named<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.has_tag_name((HL7, name)))
}

/// The name of an element of CDA; of a foreign one nothing, so that it is never taken for one.
fn name<'i>(node: Node<'_, 'i>) -> &'i str {
    match node.tag_name().namespace() {
        Some(HL7) => node.tag_name().name(),
        _ => "",
    }
}

/// What is kept as it was written.
#[derive(Default)]
struct Other(Vec<String>);

impl Other {
    /// Keeps an element.
    fn whole(&mut self, node: Node<'_, '_>) {
        if let Some(raw) = node.document().input_text().get(node.range()) {
            self.0.push(raw.to_owned());
        }
    }

    /// Keeps the attributes of an element that are not among the known ones, on an empty element of its name.
    fn attributes(&mut self, node: Node<'_, '_>, known: &[&str]) {
        let unknown: Vec<&str> = node
            .attributes()
            .filter(|attribute| !is_known(attribute, known))
            .filter_map(|attribute| node.document().input_text().get(attribute.range()))
            .collect();
        if !unknown.is_empty() {
            self.0.push(format!(
                "<{} {}/>",
                node.tag_name().name(),
                unknown.join(" ")
            ));
        }
    }

    fn finish(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("\n"))
    }
}

fn is_known(attribute: &Attribute<'_, '_>, known: &[&str]) -> bool {
    match attribute.namespace() {
        None => known.contains(&attribute.name()),
        // What a value is, and what it must be anyway.
        Some(namespace) => namespace == XSI && attribute.name() == "type",
    }
}

/// Whether an element has no other attributes than these, and no elements in it but those of these names.
fn has_only(node: Node<'_, '_>, attributes: &[&str], elements: &[&str]) -> bool {
    node.attributes().all(|it| is_known(&it, attributes))
        && node
            .children()
            .filter(Node::is_element)
            .all(|child| elements.contains(&name(child)))
}

/// The name of the type of a value, without its prefix.
fn type_of<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let written = node.attribute((XSI, "type"))?.trim();
    Some(written.rsplit(':').next().unwrap_or(written))
}

/// Whether an element is coded, by what is in it or by its name (data type CD).
fn is_coded(node: Node<'_, '_>) -> bool {
    node.has_attribute("code")
        || node.has_attribute("displayName")
        || node.has_attribute("codeSystem")
        || node.tag_name().name().ends_with("Code")
        || matches!(type_of(node), Some("CD" | "CE" | "CV" | "CS" | "CO" | "CR"))
        || node
            .children()
            .any(|child| matches!(name(child), "originalText" | "translation" | "qualifier"))
}

/// What sections and statements have in common.
#[derive(Default)]
struct Common {
    template_ids: Vec<String>,
    ids: Vec<String>,
    codes: Vec<Concept>,
    qualifiers: Vec<Qualifier>,
    participants: Vec<Participant>,
    null_flavors: BTreeMap<String, String>,
    other: Other,
}

struct Reader<'a, 'i> {
    narrative: Narrative<'a, 'i>,
}

impl<'a, 'i> Reader<'a, 'i> {
    /// The sections in a `component`.
    fn sections(&self, component: Node<'a, 'i>, sections: &mut Vec<Section>, other: &mut Other) {
        if !named(component, "section").any(|_| true) {
            other.whole(component);
            return;
        }
        let mut around = Other::default();
        around.attributes(component, &["typeCode"]);
        let first = sections.len();
        for child in component.children().filter(Node::is_element) {
            match name(child) {
                "section" => sections.push(self.section(child)),
                _ => around.whole(child),
            }
        }
        if let Some(section) = sections.get_mut(first) {
            add(&mut section.other, around);
        }
    }

    fn section(&self, node: Node<'a, 'i>) -> Section {
        let mut common = Common::default();
        common
            .other
            .attributes(node, &["classCode", "moodCode", "nullFlavor"]);
        let mut section = Section {
            null_flavor: attribute(node, "nullFlavor").map(str::to_owned),
            ..Section::default()
        };
        for child in node.children().filter(Node::is_element) {
            if self.common(child, &mut common) {
                continue;
            }
            match name(child) {
                "code" => {
                    let code = self.concept(child, "code", &mut common);
                    section.label = code.words().map(str::to_owned);
                    section.code = code.code.clone();
                    common.codes.push(code);
                }
                "title" if section.title.is_none() => section.title = text_in(child),
                "text" if section.text.is_none() => section.text = narrative::text(child),
                "entry" => self.statements(child, &mut section.statements, &mut common.other),
                "component" => self.sections(child, &mut section.sections, &mut common.other),
                _ => self.anything(child, &mut common, &mut Vec::new()),
            }
        }
        section.template_ids = common.template_ids;
        section.ids = common.ids;
        section.codes = common.codes;
        section.participants = common.participants;
        section.null_flavors = common.null_flavors;
        section.other = common.other.finish();
        if !common.qualifiers.is_empty() {
            // A section is not made more precise by any key: its code is kept as written.
            let mut written = Other::default();
            named(node, "code").for_each(|code| written.whole(code));
            add(&mut section.other, written);
        }
        section
    }

    /// The statements in an `entry`, an `entryRelationship` or the `component` of an organizer.
    ///
    /// A statement is told by the class or mood that every one has, not by a list of their names.
    fn statements(&self, around: Node<'a, 'i>, found: &mut Vec<Statement>, other: &mut Other) {
        let is_statement = |child: &Node<'a, 'i>| {
            !name(*child).is_empty()
                && (child.has_attribute("moodCode") || child.has_attribute("classCode"))
        };
        if !around.children().any(|child| is_statement(&child)) {
            other.whole(around);
            return;
        }
        let mut beside = Other::default();
        beside.attributes(around, &["typeCode", "inversionInd"]);
        let first = found.len();
        for child in around.children().filter(Node::is_element) {
            if !is_statement(&child) {
                beside.whole(child);
                continue;
            }
            let mut statement = self.statement(child);
            statement.relation = attribute(around, "typeCode").map(str::to_owned);
            statement.inverted = is_true(attribute(around, "inversionInd"));
            found.push(statement);
        }
        if let Some(statement) = found.get_mut(first) {
            add(&mut statement.other, beside);
        }
    }

    fn statement(&self, node: Node<'a, 'i>) -> Statement {
        let mut common = Common::default();
        common.other.attributes(
            node,
            &["classCode", "moodCode", "negationInd", "nullFlavor"],
        );
        let mut statement = Statement {
            kind: node.tag_name().name().to_owned(),
            class: attribute(node, "classCode").map(str::to_owned),
            mood: attribute(node, "moodCode").map(str::to_owned),
            negated: is_true(attribute(node, "negationInd")),
            null_flavor: attribute(node, "nullFlavor").map(str::to_owned),
            ..Statement::default()
        };
        let mut values = Vec::new();
        for child in node.children().filter(Node::is_element) {
            if self.common(child, &mut common) {
                continue;
            }
            match name(child) {
                "value" => self.value(child, &mut statement, &mut values, &mut common),
                "text" if statement.text.is_none() => {
                    statement.text = self.narrative.text_of(child);
                    if !has_only(child, &["mediaType"], &["reference"]) {
                        common.other.whole(child);
                    }
                }
                "statusCode" if statement.status.is_none() && child.has_attribute("code") => {
                    statement.status = attribute(child, "code").map(str::to_owned);
                    if !has_only(child, &["code"], &[]) {
                        self.coded(child, &mut statement, &mut common);
                    }
                }
                "effectiveTime" if statement.time.is_none() => {
                    time(child, &mut statement, &mut common.other);
                }
                "entryRelationship" | "component" => {
                    self.statements(child, &mut statement.statements, &mut common.other);
                }
                "consumable" | "product" if statement.consumable.is_none() => {
                    statement.consumable = Some(self.consumable(child, &mut common));
                    common.other.whole(child);
                }
                _ if is_coded(child) => self.coded(child, &mut statement, &mut common),
                _ => self.anything(child, &mut common, &mut statement.quantities),
            }
        }
        if !values.is_empty() {
            statement.value = Some(values.join("; "));
        }
        statement.template_ids = common.template_ids;
        statement.ids = common.ids;
        statement.codes = common.codes;
        statement.qualifiers = common.qualifiers;
        statement.participants = common.participants;
        statement.null_flavors = common.null_flavors;
        statement.other = common.other.finish();
        statement
    }

    /// A coded element of a statement: kept whole, and in words under its own key.
    fn coded(&self, node: Node<'a, 'i>, statement: &mut Statement, common: &mut Common) {
        let role = node.tag_name().name();
        let qualified = common.qualifiers.len();
        let concept = self.concept(node, role, common);
        let words = concept
            .words()
            .or(concept.code.as_deref())
            .map(str::to_owned);
        match name(node) {
            "code" if statement.code.is_none() && statement.label.is_none() => {
                statement.code = concept.code.clone();
                statement.label = concept.words().map(str::to_owned);
                statement.code_system = concept.system.clone();
                if statement.null_flavor.is_none() {
                    statement.null_flavor = concept.null_flavor.clone();
                }
            }
            "priorityCode" => also(&mut statement.priority, words),
            "interpretationCode" => also(&mut statement.interpretation, words),
            "methodCode" => also(&mut statement.method, words),
            "targetSiteCode" => {
                let own = common.qualifiers.get(qualified..).unwrap_or_default();
                let site = Site {
                    code: concept.code.clone(),
                    label: concept.words().map(str::to_owned),
                    laterality: laterality(own),
                };
                match statement.site {
                    None => statement.site = Some(site),
                    Some(_) => statement.more_sites.push(site),
                }
            }
            _ => {}
        }
        common.codes.push(concept);
    }

    /// A coded element, whole; what makes it more precise joins the qualifiers, its translations join the codes.
    fn concept(&self, node: Node<'a, 'i>, role: &str, common: &mut Common) -> Concept {
        let mut is_whole = has_only(
            node,
            &[
                "code",
                "codeSystem",
                "codeSystemName",
                "codeSystemVersion",
                "displayName",
                "nullFlavor",
            ],
            &["originalText", "qualifier", "translation"],
        );
        let written = |name: &str| attribute(node, name).map(str::to_owned);
        let mut concept = Concept {
            role: role.to_owned(),
            code: written("code"),
            label: written("displayName"),
            system: written("codeSystem"),
            system_name: written("codeSystemName"),
            system_version: written("codeSystemVersion"),
            text: None,
            null_flavor: written("nullFlavor"),
        };
        for child in node.children().filter(Node::is_element) {
            match name(child) {
                "originalText" if concept.text.is_none() => {
                    concept.text = self.narrative.text_of(child);
                    is_whole &= has_only(child, &["mediaType"], &["reference"]);
                }
                "qualifier" => {
                    is_whole &= has_only(child, &[], &["name", "value"]);
                    let qualifier = self.qualifier(child, role);
                    is_whole &= child
                        .children()
                        .filter(Node::is_element)
                        .all(|part| has_only(part, CONCEPT, &["originalText"]));
                    common.qualifiers.push(qualifier);
                }
                "translation" => {
                    is_whole &= has_only(child, CONCEPT, &["originalText"]);
                    let translation = self.simple(child, &format!("{role}/translation"));
                    common.codes.push(translation);
                }
                _ => is_whole = false,
            }
        }
        if node
            .children()
            .any(|it| it.is_text() && !it.text().unwrap_or_default().trim().is_empty())
        {
            is_whole = false;
        }
        if !is_whole {
            common.other.whole(node);
        }
        concept
    }

    /// A coded element without what may stand in it.
    fn simple(&self, node: Node<'a, 'i>, role: &str) -> Concept {
        let written = |name: &str| attribute(node, name).map(str::to_owned);
        Concept {
            role: role.to_owned(),
            code: written("code"),
            label: written("displayName"),
            system: written("codeSystem"),
            system_name: written("codeSystemName"),
            system_version: written("codeSystemVersion"),
            text: named(node, "originalText")
                .next()
                .and_then(|text| self.narrative.text_of(text)),
            null_flavor: written("nullFlavor"),
        }
    }

    fn qualifier(&self, node: Node<'a, 'i>, of: &str) -> Qualifier {
        let part = |role| named(node, role).next().map(|it| self.simple(it, role));
        Qualifier {
            of: of.to_owned(),
            name: part("name"),
            value: part("value"),
        }
    }

    /// A value of any type (CDA R2, data types).
    fn value(
        &self,
        node: Node<'a, 'i>,
        statement: &mut Statement,
        values: &mut Vec<String>,
        common: &mut Common,
    ) {
        let kind = type_of(node);
        if statement.value_type.is_none() {
            statement.value_type = kind.map(str::to_owned);
        }
        if let Some(null_flavor) = attribute(node, "nullFlavor")
            && statement.null_flavor.is_none()
        {
            statement.null_flavor = Some(null_flavor.to_owned());
        }
        // A quantity may be translated too, into another unit.
        if is_coded(node) && attribute(node, "value").is_none() {
            let concept = self.concept(node, "value", common);
            if statement.value_code.is_none() {
                statement.value_code = concept.code.clone();
                statement.value_system = concept.system.clone();
            }
            values.extend(
                concept
                    .words()
                    .or(concept.code.as_deref())
                    .map(str::to_owned),
            );
            common.codes.push(concept);
            return;
        }
        let unit = attribute(node, "unit").or_else(|| attribute(node, "currency"));
        let is_time = kind.is_some_and(|kind| kind.ends_with("TS"));
        if let Some(written) = attribute(node, "value") {
            values.push(if is_time {
                iso(written)
            } else {
                written.to_owned()
            });
            if statement.unit.is_none() {
                statement.unit = unit.map(str::to_owned);
            }
            // A time as it was written, and what else there is.
            if is_time || !has_only(node, &["value", "unit", "currency", "nullFlavor"], &[]) {
                common.other.whole(node);
            }
            return;
        }
        if let Some((range, unit)) = range(node, is_time) {
            values.push(range);
            if statement.unit.is_none() {
                statement.unit = unit;
            }
            common.other.whole(node);
            return;
        }
        let is_text = attribute(node, "representation").is_none_or(|it| it == "TXT");
        if is_text {
            values.extend(self.narrative.text_of(node));
        }
        if !is_text || !has_only(node, &["nullFlavor", "representation"], &["reference"]) {
            common.other.whole(node);
        }
    }

    fn consumable(&self, node: Node<'a, 'i>, common: &mut Common) -> Consumable {
        let mut consumable = Consumable::default();
        for part in node.descendants().filter(Node::is_element).skip(1) {
            match name(part) {
                "name" if consumable.name.is_none() => consumable.name = text_in(part),
                _ if is_coded(part) && part.tag_name().name() != "translation" => {
                    let role = format!("{}/{}", node.tag_name().name(), part.tag_name().name());
                    // The whole of it is kept as raw XML anyway.
                    let concept = self.simple(part, &role);
                    if consumable.code.is_none()
                        && consumable.label.is_none()
                        && name(part) == "code"
                    {
                        consumable.code = concept.code.clone();
                        consumable.label = concept.words().map(str::to_owned);
                    }
                    common.codes.push(concept);
                }
                _ => {}
            }
        }
        consumable
    }

    /// What sections and statements have in common; whether it was that.
    fn common(&self, node: Node<'a, 'i>, common: &mut Common) -> bool {
        let only_null = node.attribute("nullFlavor").filter(|_| {
            has_only(node, &["nullFlavor"], &[]) && text_in(node).is_none() && name(node) != "value"
        });
        if let Some(null_flavor) = only_null {
            let role = node.tag_name().name().to_owned();
            if let Some(former) = common.null_flavors.insert(role, null_flavor.to_owned())
                && former != null_flavor
            {
                common.other.whole(node);
            }
            return true;
        }
        match name(node) {
            "templateId" | "id" if has_only(node, &["root", "extension"], &[]) => {
                let written = identifier(node);
                match name(node) {
                    "id" => common.ids.extend(written),
                    _ => common.template_ids.extend(written),
                }
            }
            "author" | "informant" | "performer" | "participant" | "subject" | "specimen" => {
                common.participants.push(participant(node));
                common.other.whole(node);
            }
            _ => return false,
        }
        true
    }

    /// What nothing is known of but its shape: coded, an amount, or neither.
    fn anything(&self, node: Node<'a, 'i>, common: &mut Common, quantities: &mut Vec<Quantity>) {
        let is_ours = !name(node).is_empty();
        if is_ours && is_coded(node) {
            let concept = self.concept(node, node.tag_name().name(), common);
            common.codes.push(concept);
            return;
        }
        let amount = attribute(node, "value").filter(|_| is_ours);
        match amount {
            Some(value) if name(node).ends_with("Quantity") || name(node).ends_with("Number") => {
                quantities.push(Quantity {
                    role: node.tag_name().name().to_owned(),
                    value: value.to_owned(),
                    unit: attribute(node, "unit").map(str::to_owned),
                });
                if !has_only(node, &["value", "unit"], &[]) {
                    common.other.whole(node);
                }
            }
            _ => common.other.whole(node),
        }
    }
}

/// The attributes of a coded element.
const CONCEPT: &[&str] = &[
    "code",
    "codeSystem",
    "codeSystemName",
    "codeSystemVersion",
    "displayName",
    "nullFlavor",
];

fn add(other: &mut Option<String>, more: Other) {
    if let Some(more) = more.finish() {
        match other {
            Some(other) => {
                other.push('\n');
                other.push_str(&more);
            }
            None => *other = Some(more),
        }
    }
}

fn also(words: &mut Option<String>, more: Option<String>) {
    match (words.as_mut(), more) {
        (Some(words), Some(more)) => {
            words.push_str("; ");
            words.push_str(&more);
        }
        (None, more) => *words = more,
        (Some(_), None) => {}
    }
}

fn is_true(written: Option<&str>) -> bool {
    matches!(written, Some("true" | "1"))
}

/// An instance identifier: `root`, or `root^extension`.
fn identifier(node: Node<'_, '_>) -> Option<String> {
    match (attribute(node, "root"), attribute(node, "extension")) {
        (Some(root), Some(extension)) => Some(format!("{root}^{extension}")),
        (Some(only), None) | (None, Some(only)) => Some(only.to_owned()),
        (None, None) => None,
    }
}

/// The side, among what makes a site more precise: told by the code of its name (LOINC 20228-3, SNOMED CT 272741003),
/// by its name, or by what it says.
fn laterality(qualifiers: &[Qualifier]) -> Option<String> {
    let starts = |concept: &Concept, beginnings: &[&str]| {
        let words = concept.words().map(crate::model::name::fold);
        words.is_some_and(|words| beginnings.iter().any(|it| words.starts_with(it)))
    };
    let names_side = |qualifier: &&Qualifier| {
        qualifier.name.as_ref().is_some_and(|name| {
            matches!(name.code.as_deref(), Some("20228-3" | "272741003"))
                || starts(name, &["LATERALIT", "COTE"])
        })
    };
    let is_side = |qualifier: &&Qualifier| {
        let sides = ["DROIT", "GAUCHE", "BILATERAL", "RIGHT", "LEFT"];
        let value = qualifier.value.as_ref();
        value.is_some_and(|value| starts(value, &sides))
    };
    let found = qualifiers.iter().find(names_side);
    let value = found
        .or_else(|| qualifiers.iter().find(is_side))?
        .value
        .as_ref()?;
    value.words().or(value.code.as_deref()).map(str::to_owned)
}

/// When a statement holds: a point, or an interval open at `..`.
fn time(node: Node<'_, '_>, statement: &mut Statement, other: &mut Other) {
    let bound = |role| {
        named(node, role)
            .next()
            .and_then(|it| attribute(it, "value"))
    };
    let is_plain = match attribute(node, "value") {
        Some(value) => {
            statement.time = Some(iso(value));
            statement.time_written = Some(value.to_owned());
            has_only(node, &["value"], &[])
        }
        None => {
            let (low, high) = (bound("low"), bound("high"));
            if low.is_some() || high.is_some() {
                let ends = |iso: fn(&str) -> String| {
                    let end = |end: Option<&str>| end.map_or_else(|| "..".to_owned(), iso);
                    Some(format!("{}/{}", end(low), end(high)))
                };
                statement.time = ends(iso);
                statement.time_written = ends(str::to_owned);
            } else if let Some(center) = bound("center") {
                statement.time = Some(iso(center));
                statement.time_written = Some(center.to_owned());
            }
            has_only(node, &[], &["low", "high"])
                && named(node, "low")
                    .chain(named(node, "high"))
                    .all(|end| has_only(end, &["value"], &[]))
        }
    };
    if !is_plain || statement.time.is_none() {
        other.whole(node);
    }
}

/// An interval or a ratio in words, with the unit where all of it has one.
fn range(node: Node<'_, '_>, is_time: bool) -> Option<(String, Option<String>)> {
    let mut units: Vec<Option<&str>> = Vec::new();
    let mut part = |role| {
        let part = named(node, role).next()?;
        let value = attribute(part, "value")?;
        units.push(attribute(part, "unit").or_else(|| attribute(part, "currency")));
        Some((
            if is_time {
                iso(value)
            } else {
                value.to_owned()
            },
            attribute(part, "unit").map(str::to_owned),
        ))
    };
    let with_unit = |(value, unit): (String, Option<String>)| match unit {
        Some(unit) => format!("{value} {unit}"),
        None => value,
    };
    if let (Some(numerator), Some(denominator)) = (part("numerator"), part("denominator")) {
        let words = format!("{} / {}", with_unit(numerator), with_unit(denominator));
        return Some((words, None));
    }
    let (low, high, center) = (part("low"), part("high"), part("center"));
    let unit = units.first().copied().flatten().map(str::to_owned);
    let same = units.iter().all(|other| other.map(str::to_owned) == unit);
    let words = |it: (String, Option<String>)| if same { it.0 } else { with_unit(it) };
    let range = match (low, high, center) {
        (Some(low), Some(high), _) => format!("{} – {}", words(low), words(high)),
        (Some(low), None, _) => format!("≥ {}", words(low)),
        (None, Some(high), _) => format!("≤ {}", words(high)),
        (None, None, Some(center)) => words(center),
        (None, None, None) => return None,
    };
    Some((range, unit.filter(|_| same)))
}

/// A time of HL7 (`20190218171100+0100`) as ISO 8601 to the same precision; what is none stays as it is.
fn iso(written: &str) -> String {
    let (digits, offset) = match written.find(['+', '-']) {
        Some(at) => written.split_at_checked(at).unwrap_or((written, "")),
        None => (written, ""),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = matches!(whole.len(), 4 | 6 | 8 | 10 | 12 | 14)
        && is_number(whole)
        && is_number(fraction)
        && (offset.is_empty() || offset.len() == 5 && offset.get(1..).is_some_and(is_number));
    if !is_time {
        return written.to_owned();
    }
    let mut iso = String::with_capacity(32);
    for (at, digit) in whole.chars().enumerate() {
        match at {
            4 | 6 => iso.push('-'),
            8 => iso.push('T'),
            10 | 12 => iso.push(':'),
            _ => {}
        }
        iso.push(digit);
        if at == 9 && whole.len() == 10 {
            // ISO 8601 has no hour alone before an offset.
            iso.push_str(":00");
        }
    }
    if !fraction.is_empty() && whole.len() == 14 {
        iso.push('.');
        iso.push_str(fraction);
    }
    if whole.len() > 8
        && let (Some(hours), Some(minutes)) = (offset.get(..3), offset.get(3..))
    {
        iso.push_str(hours);
        iso.push(':');
        iso.push_str(minutes);
    }
    iso
}

/// Who takes part; the whole of it, with address and phone, is kept as raw XML besides.
fn participant(node: Node<'_, '_>) -> Participant {
    let entity = node
        .children()
        .find(|child| child.is_element() && child.children().any(|part| name(part) == "id"))
        .or_else(|| {
            node.children()
                .find(|child| child.children().any(|it| it.is_element()))
        });
    let below = |role: &'static str| {
        entity.and_then(|entity| entity.descendants().find(|part| name(*part) == role))
    };
    let is_house = |part: &Node<'_, '_>| {
        part.ancestors().take_while(|it| *it != node).any(|it| {
            matches!(
                name(it),
                "representedOrganization" | "scopingOrganization" | "scopingEntity"
            )
        })
    };
    let names = |houses: bool| {
        node.descendants()
            .filter(|part| matches!(name(*part), "name" | "desc"))
            .find(|part| is_house(part) == houses)
    };
    let person = names(false).and_then(|person| {
        let part = |role| named(person, role).find_map(text_in);
        match (part("family"), part("given")) {
            (None, None) => text_in(person),
            (family, given) => Some(
                [family, given]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        }
    });
    Participant {
        role: node.tag_name().name().to_owned(),
        participation: attribute(node, "typeCode").map(str::to_owned),
        ids: entity
            .into_iter()
            .flat_map(|entity| named(entity, "id"))
            .filter_map(identifier)
            .collect(),
        label: below("code")
            .and_then(|code| attribute(code, "displayName").or_else(|| attribute(code, "code")))
            .map(str::to_owned),
        name: person,
        organization: names(true).and_then(text_in),
        time: named(node, "time")
            .next()
            .and_then(|time| attribute(time, "value"))
            .map(iso),
    }
}

#[cfg(test)]
mod tests;
