//! The body: sections and clinical statements, in one walk that expects no code and drops nothing (interface.md 5).
//!
//! What the walk understands has a key of its own in the questionnaire; every element and attribute that it does not
//! is kept as it was written. Coded elements are kept whole besides, whatever their name.

use std::collections::BTreeMap;

use roxmltree::{Attribute, Node};

mod further;

use super::narrative::{self, Narrative};
use super::{HL7, XSI, attribute, text_in};
use crate::model::questionnaire::{
    Concept, Consumable, FurtherElement, Media, Qualifier, Quantity, Questionnaire, Section, Site,
    Statement, StatementParticipant,
};

/// Reads the body; none where it is not structured.
pub(super) fn read(root: Node<'_, '_>) -> Option<Questionnaire> {
    let body =
        named(root, "component").find_map(|component| named(component, "structuredBody").next())?;
    let reader = Reader {
        narrative: Narrative::of(root),
    };
    let mut other = OtherElements::default();
    other.attributes(body, &[]);
    let mut sections = Vec::new();
    for child in body.children().filter(Node::is_element) {
        match name(child) {
            "component" => reader.sections(child, &mut sections, &mut other),
            _ => other.whole(child),
        }
    }
    let (other, further) = other.finish(&reader.narrative);
    Some(Questionnaire {
        sections,
        other,
        further,
        ..Questionnaire::default()
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

/// What is kept as it was written, and what of it a reader can be told.
#[derive(Default)]
struct OtherElements<'a, 'i> {
    written: Vec<String>,
    nodes: Vec<Node<'a, 'i>>,
    further: Vec<FurtherElement>,
}

impl<'a, 'i> OtherElements<'a, 'i> {
    /// Keeps an element.
    fn whole(&mut self, node: Node<'a, 'i>) {
        if let Some(raw) = node.document().input_text().get(node.range()) {
            self.written.push(raw.to_owned());
            self.nodes.push(node);
        }
    }

    /// Keeps the attributes of an element that are not among the known ones, on an empty element of its name.
    fn attributes(&mut self, node: Node<'a, 'i>, known: &[&str]) {
        let unknown: Vec<&str> = node
            .attributes()
            .filter(|attribute| !is_known(attribute, known))
            .filter_map(|attribute| node.document().input_text().get(attribute.range()))
            .collect();
        if !unknown.is_empty() {
            self.written.push(format!(
                "<{} {}/>",
                node.tag_name().name(),
                unknown.join(" ")
            ));
            self.further.extend(further::of_attributes(node, known));
        }
    }

    fn finish(mut self, narrative: &Narrative<'a, 'i>) -> (Option<String>, Vec<FurtherElement>) {
        self.further.extend(further::of(&self.nodes, narrative));
        let written = (!self.written.is_empty()).then(|| self.written.join("\n"));
        (written, self.further)
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
        || !is_measured(node)
            && node
                .children()
                .any(|child| matches!(name(child), "originalText" | "translation" | "qualifier"))
}

/// Whether an element says how much, itself, in its parts, or in its translation: a quantity may be translated too.
fn is_measured(node: Node<'_, '_>) -> bool {
    node.has_attribute("value")
        || node.children().any(|child| match name(child) {
            "translation" => child.has_attribute("value"),
            part => matches!(
                part,
                "low" | "high" | "center" | "width" | "numerator" | "denominator"
            ),
        })
}

/// How much the translation of an amount says, and of what.
fn translated(node: Node<'_, '_>) -> Option<(String, Option<String>)> {
    named(node, "translation").find_map(|it| {
        let unit = attribute(it, "unit").map(str::to_owned);
        Some((attribute(it, "value")?.to_owned(), unit))
    })
}

/// What sections and statements have in common.
#[derive(Default)]
struct CommonElements<'a, 'i> {
    template_ids: Vec<String>,
    ids: Vec<String>,
    codes: Vec<Concept>,
    qualifiers: Vec<Qualifier>,
    participants: Vec<StatementParticipant>,
    null_flavors: BTreeMap<String, String>,
    other: OtherElements<'a, 'i>,
}

impl<'a, 'i> CommonElements<'a, 'i> {
    /// Keeps why an element says nothing, by its name; of a second one that says another reason, all of it.
    fn null_flavor(&mut self, node: Node<'a, 'i>, null_flavor: &str) {
        let role = node.tag_name().name().to_owned();
        match self.null_flavors.get(&role) {
            Some(former) if former != null_flavor => self.other.whole(node),
            Some(_) => {}
            None => {
                self.null_flavors.insert(role, null_flavor.to_owned());
            }
        }
    }
}

struct Reader<'a, 'i> {
    narrative: Narrative<'a, 'i>,
}

impl<'a, 'i> Reader<'a, 'i> {
    /// The sections in a `component`.
    fn sections(
        &self,
        component: Node<'a, 'i>,
        sections: &mut Vec<Section>,
        other: &mut OtherElements<'a, 'i>,
    ) {
        if !named(component, "section").any(|_| true) {
            other.whole(component);
            return;
        }
        let mut around = OtherElements::default();
        around.attributes(component, &["typeCode"]);
        let first = sections.len();
        for child in component.children().filter(Node::is_element) {
            match name(child) {
                "section" => sections.push(self.section(child)),
                _ => around.whole(child),
            }
        }
        if let Some(section) = sections.get_mut(first) {
            let (written, more) = around.finish(&self.narrative);
            add(&mut section.other, written);
            section.further.extend(more);
        }
    }

    fn section(&self, node: Node<'a, 'i>) -> Section {
        let mut common = CommonElements::default();
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
                "text" if section.text.is_none() => {
                    section.text = narrative::text(child);
                    let text = section.text.as_deref().unwrap_or_default();
                    section.blocks = narrative::blocks(child, text);
                }
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
        (section.other, section.further) = common.other.finish(&self.narrative);
        if !common.qualifiers.is_empty() {
            // A section is not made more precise by any key: its code is kept as written.
            let mut written = OtherElements::default();
            named(node, "code").for_each(|code| written.whole(code));
            let (written, _) = written.finish(&self.narrative);
            add(&mut section.other, written);
        }
        section
    }

    /// The statements in an `entry`, an `entryRelationship` or the `component` of an organizer.
    ///
    /// A statement is told by the class or mood that every one has, not by a list of their names.
    fn statements(
        &self,
        around: Node<'a, 'i>,
        found: &mut Vec<Statement>,
        other: &mut OtherElements<'a, 'i>,
    ) {
        let is_statement = |child: &Node<'a, 'i>| {
            !name(*child).is_empty()
                && (child.has_attribute("moodCode") || child.has_attribute("classCode"))
        };
        if !around.children().any(|child| is_statement(&child)) {
            other.whole(around);
            return;
        }
        let mut beside = OtherElements::default();
        beside.attributes(around, &["typeCode", "inversionInd", "negationInd"]);
        let first = found.len();
        let mut amounts: Vec<Quantity> = Vec::new();
        for child in around.children().filter(Node::is_element) {
            // Its place among others, a pause before it.
            if !is_statement(&child) && further::is_amount(child) {
                let role = name(child);
                let said = || range(child, false).map(|(value, unit)| quantity(role, value, unit));
                let amount = measured(child, role).or_else(said);
                let is_whole = amount.is_some() && has_only(child, &["value", "unit"], &[]);
                amounts.extend(amount);
                if is_whole {
                    continue;
                }
            }
            if !is_statement(&child) {
                beside.whole(child);
                continue;
            }
            let mut statement = self.statement(child);
            statement.relation = attribute(around, "typeCode").map(str::to_owned);
            statement.inverted = is_true(attribute(around, "inversionInd"));
            statement.negated |= is_negated(around);
            found.push(statement);
        }
        // One relation has one statement; of several each has the first amount at least.
        for (at, statement) in found.iter_mut().skip(first).enumerate() {
            let of_it = if at == 0 { amounts.len() } else { 1 };
            let around = amounts.iter().take(of_it).cloned();
            statement.quantities.splice(0..0, around);
        }
        if let Some(statement) = found.get_mut(first) {
            let (written, more) = beside.finish(&self.narrative);
            add(&mut statement.other, written);
            statement.further.extend(more);
        }
    }

    fn statement(&self, node: Node<'a, 'i>) -> Statement {
        let mut common = CommonElements::default();
        common.other.attributes(
            node,
            &["classCode", "moodCode", "negationInd", "nullFlavor"],
        );
        let mut statement = Statement {
            kind: node.tag_name().name().to_owned(),
            class: attribute(node, "classCode").map(str::to_owned),
            mood: attribute(node, "moodCode").map(str::to_owned),
            negated: is_negated(node),
            null_flavor: attribute(node, "nullFlavor").map(str::to_owned),
            ..Statement::default()
        };
        let mut values = Vec::new();
        for child in node.children().filter(Node::is_element) {
            if self.common(child, &mut common) {
                continue;
            }
            match name(child) {
                "value" => {
                    statement.negated |= is_negated(child);
                    self.value(child, &mut statement, &mut values, &mut common);
                }
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
                "effectiveTime"
                    if statement.time.is_none()
                        && !is_rhythm(child)
                        && operator(child).is_none() =>
                {
                    time(child, &mut statement, &mut common.other);
                    for width in named(child, "width") {
                        statement
                            .quantities
                            .extend(measured(width, "effectiveTime/width"));
                    }
                }
                "effectiveTime" => {
                    self.anything(child, &mut common, &mut statement.quantities);
                }
                "entryRelationship" | "component" => {
                    self.statements(child, &mut statement.statements, &mut common.other);
                }
                "consumable" | "product"
                    if statement.consumable.is_none() && !is_negated(child) =>
                {
                    statement.consumable = Some(self.consumable(child, &mut common));
                    common.other.whole(child);
                }
                _ if is_coded(child) && !is_negated(child) => {
                    self.coded(child, &mut statement, &mut common);
                }
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
        (statement.other, statement.further) = common.other.finish(&self.narrative);
        statement
    }

    /// A coded element of a statement: kept whole, and in words under its own key.
    fn coded(
        &self,
        node: Node<'a, 'i>,
        statement: &mut Statement,
        common: &mut CommonElements<'a, 'i>,
    ) {
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
                    text: concept.text.clone(),
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
    fn concept(
        &self,
        node: Node<'a, 'i>,
        role: &str,
        common: &mut CommonElements<'a, 'i>,
    ) -> Concept {
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
        common: &mut CommonElements<'a, 'i>,
    ) {
        let kind = type_of(node);
        if statement.value_type.is_none() {
            statement.value_type = kind.map(str::to_owned);
        }
        // That of the statement, or of its code, is another one.
        if let Some(null_flavor) = attribute(node, "nullFlavor") {
            match &statement.null_flavor {
                None => statement.null_flavor = Some(null_flavor.to_owned()),
                Some(_) => common.null_flavor(node, null_flavor),
            }
        }
        // Nothing but its translation may say how much.
        if attribute(node, "value").is_none()
            && let Some((value, unit)) = translated(node)
        {
            push_with_unit(values, value, unit, statement);
            common.other.whole(node);
            return;
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
            let said = match kind {
                _ if is_time => joined(node, iso(written)),
                Some("BL" | "BN") => truth(written).unwrap_or(written).to_owned(),
                _ => written.to_owned(),
            };
            let is_as_written = said == written;
            push_with_unit(values, said, unit.map(str::to_owned), statement);
            // A value as it was written, and what else there is.
            if is_time
                || !is_as_written
                || !has_only(node, &["value", "unit", "currency", "nullFlavor"], &[])
            {
                common.other.whole(node);
            }
            return;
        }
        if let Some((range, unit)) = range(node, is_time) {
            push_with_unit(values, joined(node, range), unit, statement);
            common.other.whole(node);
            return;
        }
        let is_text = attribute(node, "representation").is_none_or(|it| it == "TXT");
        if statement.media.is_none()
            && let Some(media) = media(node, is_text)
        {
            statement.media = Some(media);
            let attributes = ["representation", "mediaType", "nullFlavor"];
            if !has_only(node, &attributes, &["reference"]) {
                common.other.whole(node);
            }
            return;
        }
        if is_time && is_rhythm(node) {
            further_time(node, common, &mut statement.quantities);
        } else if is_text {
            let is_of_parts = matches!(kind, Some("AD" | "EN" | "ON" | "PN" | "TN"));
            values.extend(match kind {
                Some("II") => identifier_written(node),
                Some(kind) if kind.starts_with("SLIST") => samples(node),
                _ if is_of_parts => parts_in(node),
                _ => self.narrative.text_of(node),
            });
        }
        if !is_text || !has_only(node, &["nullFlavor", "representation"], &["reference"]) {
            common.other.whole(node);
        }
    }

    /// What must be so, as `label value`, and the unit of the value.
    fn criterion(&self, node: Node<'a, 'i>) -> Option<(String, Option<String>)> {
        let code = named(node, "code").next();
        let code = code.map(|code| self.simple(code, "code"));
        let label = code.and_then(|code| code.words().map(str::to_owned).or(code.code));
        let (mut said, mut values) = (Statement::default(), Vec::new());
        for value in named(node, "value") {
            self.value(
                value,
                &mut said,
                &mut values,
                &mut CommonElements::default(),
            );
        }
        let values =
            values
                .iter()
                .map(|value| match (said.value_type.as_deref(), value.as_str()) {
                    (Some("BL" | "BN"), "true") => "oui",
                    (Some("BL" | "BN"), "false") => "non",
                    (_, value) => value,
                });
        let values = values.collect::<Vec<_>>().join("; ");
        let values = Some(values).filter(|it| !it.is_empty());
        let denied = is_negated(node).then(|| "NON :".to_owned());
        let words: Vec<String> = [denied, label, values].into_iter().flatten().collect();
        (!words.is_empty()).then(|| (words.join(" "), said.unit))
    }

    fn consumable(&self, node: Node<'a, 'i>, common: &mut CommonElements<'a, 'i>) -> Consumable {
        let mut consumable = Consumable::default();
        for part in node.descendants().filter(Node::is_element).skip(1) {
            match name(part) {
                "name" => {
                    let is_house = part
                        .parent()
                        .is_some_and(|parent| name(parent).ends_with("Organization"));
                    let place = match is_house {
                        true => &mut consumable.manufacturer,
                        false => &mut consumable.name,
                    };
                    if place.is_none() {
                        *place = text_in(part);
                    }
                }
                "lotNumberText" if consumable.lot.is_none() => consumable.lot = text_in(part),
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
                        consumable.text = concept.text.clone();
                    }
                    common.codes.push(concept);
                }
                _ => {}
            }
        }
        consumable
    }

    /// What sections and statements have in common; whether it was that.
    fn common(&self, node: Node<'a, 'i>, common: &mut CommonElements<'a, 'i>) -> bool {
        let only_null = node.attribute("nullFlavor").filter(|_| {
            has_only(node, &["nullFlavor"], &[]) && text_in(node).is_none() && name(node) != "value"
        });
        if let Some(null_flavor) = only_null {
            common.null_flavor(node, null_flavor);
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
                // What is denied is told with that, as what it is made of.
                if !is_negated(node) {
                    common.participants.push(participant(node));
                }
                common.other.whole(node);
            }
            _ => return false,
        }
        true
    }

    /// What nothing is known of but its shape: coded, an amount, or neither.
    fn anything(
        &self,
        node: Node<'a, 'i>,
        common: &mut CommonElements<'a, 'i>,
        quantities: &mut Vec<Quantity>,
    ) {
        let is_ours = !name(node).is_empty();
        // What is denied is told with that, as what it is made of.
        if is_negated(node) {
            common.other.whole(node);
            return;
        }
        if is_ours && is_coded(node) {
            let concept = self.concept(node, node.tag_name().name(), common);
            common.codes.push(concept);
            return;
        }
        let is_amount = is_ours
            && matches!(name(node), role if role.ends_with("Quantity") || role.ends_with("Number")
                || matches!(role, "quantity" | "expectedUseTime"));
        if name(node) == "effectiveTime" {
            further_time(node, common, quantities);
            common.other.whole(node);
            return;
        }
        let role = node.tag_name().name();
        if is_amount {
            if let Some(amount) = measured(node, role) {
                quantities.push(amount);
                if has_only(node, &["value", "unit"], &[]) {
                    return;
                }
            } else if let Some((value, unit)) =
                range(node, role == "expectedUseTime").or_else(|| translated(node))
            {
                quantities.push(quantity(role, value, unit));
            }
        }
        match name(node) {
            "referenceRange" => {
                for value in node.descendants().filter(|it| name(*it) == "value") {
                    match range(value, false) {
                        Some((value, unit)) => quantities.push(quantity(role, value, unit)),
                        None => quantities.extend(measured(value, role)),
                    }
                }
                for text in node.descendants().filter(|it| name(*it) == "text") {
                    if let Some(text) = self.narrative.text_of(text) {
                        quantities.push(quantity(role, text, None));
                    }
                }
            }
            "precondition" => {
                for criterion in named(node, "criterion") {
                    if let Some((words, unit)) = self.criterion(criterion) {
                        quantities.push(quantity("precondition/criterion", words, unit));
                    }
                }
                for text in node.descendants().filter(|it| name(*it) == "text") {
                    if let Some(text) = self.narrative.text_of(text) {
                        quantities.push(quantity(role, text, None));
                    }
                }
            }
            _ => {}
        }
        common.other.whole(node);
    }
}

/// What a value shows that is no text: in base64, or elsewhere. The narrative is text, so a place in it is none.
fn media(node: Node<'_, '_>, is_text: bool) -> Option<Media> {
    let media_type = attribute(node, "mediaType").map(str::to_owned);
    // Senders leave `representation` out; no text is an image.
    let is_image = media_type
        .as_deref()
        .is_some_and(|it| it.starts_with("image/"));
    let mut base64: String = match is_text && !is_image {
        true => String::new(),
        false => node
            .children()
            .filter_map(|it| it.text().filter(|_| it.is_text()))
            .collect(),
    };
    base64.retain(|letter| !letter.is_whitespace());
    let mut references = named(node, "reference").filter_map(|it| attribute(it, "value"));
    let reference = references
        .find(|target| !target.starts_with('#'))
        .map(str::to_owned);
    let is_elsewhere =
        base64.is_empty() && text_in(node).is_none() && reference.is_some() && media_type.is_some();
    (!base64.is_empty() || is_elsewhere).then(|| Media {
        id: node
            .parent()
            .and_then(|statement| attribute(statement, "ID"))
            .map(str::to_owned),
        media_type,
        base64: Some(base64).filter(|it| !it.is_empty()),
        reference,
    })
}

/// An amount of this role.
fn quantity(role: &str, value: String, unit: Option<String>) -> Quantity {
    Quantity {
        role: role.to_owned(),
        value,
        unit,
        ..Quantity::default()
    }
}

/// How much an element says itself.
fn measured(node: Node<'_, '_>, role: &str) -> Option<Quantity> {
    let unit = attribute(node, "unit").map(str::to_owned);
    Some(quantity(role, attribute(node, "value")?.to_owned(), unit))
}

/// A yes or no as every program writes it: the schema of some knows `1` and `0`.
fn truth(written: &str) -> Option<&'static str> {
    match written.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Some("true"),
        "false" | "0" => Some("false"),
        _ => None,
    }
}

/// How a time is joined to the others of its set, where that is not as one more (`I`): `E` takes it out of them. That it
/// bounds a rhythm (`A`) is what an interval beside one always does.
fn operator<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let beside = || {
        let around = node.parent();
        let all = around.into_iter().flat_map(|around| around.children());
        all.filter(|it| *it != node && name(*it) == name(node))
    };
    attribute(node, "operator").filter(|it| match *it {
        "I" => false,
        "A" => !is_rhythm(node) && !beside().any(is_rhythm),
        _ => true,
    })
}

/// A value that is a time, with how it is joined to those before it.
fn joined(node: Node<'_, '_>, said: String) -> String {
    match operator(node) {
        Some("E") => format!("sauf {said}"),
        Some("A") => format!("seulement {said}"),
        Some(operator) => format!("opérateur {operator} : {said}"),
        None => said,
    }
}

/// A rhythm, or a time beside the first one, of a statement; one that is taken out of the others in one piece.
fn further_time<'a, 'i>(
    node: Node<'a, 'i>,
    common: &mut CommonElements<'a, 'i>,
    quantities: &mut Vec<Quantity>,
) {
    let Some(operator) = operator(node) else {
        time_parts(node, common, quantities);
        return;
    };
    let mut parts: Vec<Quantity> = Vec::new();
    let mut events = CommonElements::default();
    time_parts(node, &mut events, &mut parts);
    parts.extend(events.codes.into_iter().filter_map(|event| {
        let said = event.label.or(event.code)?;
        Some(quantity(&event.role, said, None))
    }));
    // A length says something only behind its beginning.
    parts.sort_by_key(|it| it.role == "effectiveTime/width");
    let mut parts = parts.into_iter().flat_map(|mut part| {
        let with = std::mem::take(&mut part.with);
        std::iter::once(part).chain(with)
    });
    quantities.extend(parts.next().map(|first| Quantity {
        operator: Some(operator.to_owned()),
        with: parts.collect(),
        ..first
    }));
}

/// What a time is made of, each with what it is.
fn time_parts<'a, 'i>(
    node: Node<'a, 'i>,
    common: &mut CommonElements<'a, 'i>,
    quantities: &mut Vec<Quantity>,
) {
    if let Some(event) = named(node, "event").next() {
        common.codes.push(Concept {
            role: "effectiveTime/event".to_owned(),
            code: attribute(event, "code").map(str::to_owned),
            label: attribute(event, "displayName").map(str::to_owned),
            system: attribute(event, "codeSystem").map(str::to_owned),
            ..Concept::default()
        });
    }
    for (part, role) in [
        ("period", "effectiveTime/period"),
        ("width", "effectiveTime/width"),
        ("frequency", "effectiveTime/frequency"),
    ] {
        for part in named(node, part) {
            let said = || range(part, false).map(|(value, unit)| quantity(role, value, unit));
            quantities.extend(measured(part, role).or_else(said));
        }
    }
    for offset in named(node, "offset") {
        let unit = |it| attribute(it, "unit").map(str::to_owned);
        let low = named(offset, "low").next();
        let is_open = ["high", "width"]
            .iter()
            .all(|it| named(offset, it).next().is_none());
        let only_low = low.filter(|_| is_open);
        // Only the beginning is no bound: what is given so long before or after begins there, unless it says not there.
        let only_low = only_low.filter(|low| !is_excluded(*low));
        let point = [Some(offset), only_low].into_iter().flatten();
        let mut point = point.filter_map(|it| Some((attribute(it, "value")?.to_owned(), unit(it))));
        if let Some((value, unit)) = point.next().or_else(|| range(offset, false)) {
            quantities.push(quantity("effectiveTime/offset", value, unit));
        }
    }
    for part in named(node, "phase").chain(named(node, "comp")) {
        further_time(part, common, quantities);
    }
    let mut beside = Statement::default();
    time(node, &mut beside, &mut OtherElements::default());
    let time = beside.time;
    quantities.extend(time.map(|time| quantity("effectiveTime", time, None)));
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

fn add(other: &mut Option<String>, more: Option<String>) {
    if let Some(more) = more {
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

/// Whether an indicator is set: what does not plainly say no is never taken for it.
fn is_true(written: Option<&str>) -> bool {
    written.is_some_and(|written| {
        let no = ["", "false", "0", "no", "non"];
        !no.iter().any(|it| written.trim().eq_ignore_ascii_case(it))
    })
}

/// Whether an element denies what it says, or its value; the latter is an extension of another namespace.
fn is_negated(node: Node<'_, '_>) -> bool {
    node.attributes().any(|it| {
        matches!(it.name(), "negationInd" | "valueNegationInd") && is_true(Some(it.value()))
    })
}

/// An instance identifier: `root`, or `root^extension`.
fn identifier(node: Node<'_, '_>) -> Option<String> {
    match (attribute(node, "root"), attribute(node, "extension")) {
        (Some(root), Some(extension)) => Some(format!("{root}^{extension}")),
        (Some(only), None) | (None, Some(only)) => Some(only.to_owned()),
        (None, None) => None,
    }
}

/// An identifier as people write it: its extension, which its root makes unique.
fn identifier_written(node: Node<'_, '_>) -> Option<String> {
    let written = attribute(node, "extension").or_else(|| attribute(node, "root"));
    written.map(str::to_owned)
}

/// The text of each part of a name or an address, with a blank between two.
fn parts_in(node: Node<'_, '_>) -> Option<String> {
    let texts = node.descendants().filter(Node::is_text);
    let words = texts.flat_map(|it| it.text().unwrap_or_default().split_whitespace());
    let words = words.collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then_some(words)
}

/// A row of samples (`SLIST_PQ`): its digits, with where they begin and how much one of them is.
fn samples(node: Node<'_, '_>) -> Option<String> {
    let mut samples = named(node, "digits").find_map(parts_in)?;
    for (part, words) in [("origin", "origine"), ("scale", "échelle")] {
        if let Some(part) = named(node, part).next()
            && let Some(value) = attribute(part, "value")
        {
            let unit = attribute(part, "unit").unwrap_or_default();
            samples.push_str(format!(" ({words} {value} {unit}").trim_end());
            samples.push(')');
        }
    }
    Some(samples)
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

/// Whether a time says how often, around what, or several of these (`PIVL_TS`, `EIVL_TS`, `SXPR_TS`), rather than when.
fn is_rhythm(node: Node<'_, '_>) -> bool {
    node.children().any(|part| {
        matches!(
            name(part),
            "period" | "frequency" | "event" | "comp" | "phase"
        )
    })
}

/// Whether a bound of an interval does not belong to it.
fn is_excluded(bound: Node<'_, '_>) -> bool {
    let written = attribute(bound, "inclusive");
    written.is_some() && !is_true(written)
}

/// When a statement holds: a point, or an interval open at `..`; `>` and `<` stand before a bound that does not belong
/// to it.
fn time<'a, 'i>(node: Node<'a, 'i>, statement: &mut Statement, other: &mut OtherElements<'a, 'i>) {
    let bound = |role| {
        let node = named(node, role).next()?;
        Some((attribute(node, "value")?, is_excluded(node)))
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
                let ends = |iso: fn(&str) -> String, signs: [&str; 2]| {
                    let end = |end: Option<(&str, bool)>, sign| match end {
                        Some((end, true)) => format!("{sign}{}", iso(end)),
                        Some((end, false)) => iso(end),
                        None => "..".to_owned(),
                    };
                    let [above, below] = signs;
                    Some(format!("{}/{}", end(low, above), end(high, below)))
                };
                statement.time = ends(iso, [">", "<"]);
                statement.time_written = ends(str::to_owned, ["", ""]);
            } else if let Some((center, _)) = bound("center") {
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

/// Adds a value to those of a statement, whose unit is the one that all of them have; where they differ, each stands
/// with its own.
fn push_with_unit(
    values: &mut Vec<String>,
    value: String,
    unit: Option<String>,
    statement: &mut Statement,
) {
    let with_unit = |value: &mut String, unit: Option<&str>| {
        if let Some(unit) = unit {
            value.push(' ');
            value.push_str(unit);
        }
    };
    if values.is_empty() {
        statement.unit = unit;
        values.push(value);
        return;
    }
    let mut value = value;
    if unit != statement.unit {
        if let Some(common) = statement.unit.take() {
            values
                .iter_mut()
                .for_each(|it| with_unit(it, Some(&common)));
        }
        with_unit(&mut value, unit.as_deref());
    }
    values.push(value);
}

/// A part of an interval or of a ratio.
#[derive(Clone)]
struct IntervalPart<'a> {
    value: String,
    /// The unit, or the currency.
    unit: Option<&'a str>,
    is_excluded: bool,
}

impl IntervalPart<'_> {
    fn with_unit(&self) -> String {
        match self.unit {
            Some(unit) => format!("{} {unit}", self.value),
            None => self.value.clone(),
        }
    }

    /// A bound that the other and the width make, where both are exact numbers of one unit.
    fn moved(
        &self,
        width: &Self,
        by: impl Fn(Decimal, Decimal) -> Option<Decimal>,
    ) -> Option<Self> {
        if self.unit != width.unit {
            return None;
        }
        let value = by(Decimal::of(&self.value)?, Decimal::of(&width.value)?)?;
        Some(Self {
            value: value.to_string(),
            is_excluded: false,
            ..self.clone()
        })
    }
}

/// An interval or a ratio in words, with the unit where all of it has one.
fn range(node: Node<'_, '_>, is_time: bool) -> Option<(String, Option<String>)> {
    let part = |role: &'static str| {
        let part = named(node, role).next()?;
        let value = attribute(part, "value")?;
        let unit = attribute(part, "unit").or_else(|| attribute(part, "currency"));
        Some(IntervalPart {
            value: match is_time && role != "width" {
                true => iso(value),
                false => value.to_owned(),
            },
            unit,
            is_excluded: is_excluded(part),
        })
    };
    let ratio = [part("numerator"), part("denominator")];
    if ratio.iter().any(Option::is_some) {
        let known =
            |part: Option<IntervalPart<'_>>| part.map_or("?".to_owned(), |it| it.with_unit());
        return Some((ratio.map(known).join(" / "), None));
    }
    let (mut low, mut high, mut center) = (part("low"), part("high"), part("center"));
    let mut width = part("width").filter(|_| low.is_none() || high.is_none());
    if let Some(length) = width.clone().filter(|_| !is_time) {
        match (&low, &high, &center) {
            (Some(bound), None, _) => high = bound.moved(&length, Decimal::plus),
            (None, Some(bound), _) => low = bound.moved(&length, Decimal::minus),
            (None, None, Some(middle)) => {
                low = middle.moved(&length, |it, width| it.minus(width.half()?));
                high = middle.moved(&length, |it, width| it.plus(width.half()?));
            }
            _ => {}
        }
        if low.is_some() && high.is_some() {
            (width, center) = (None, None);
        }
    }
    let parts = [&low, &high, &center, &width].map(Option::as_ref);
    let mut units = parts.into_iter().flatten().map(|it| it.unit);
    let unit = units.next().flatten();
    let same = units.all(|other| other == unit) && width.is_none();
    let words = |it: &IntervalPart<'_>| match same {
        true => it.value.clone(),
        false => it.with_unit(),
    };
    let above = |low: &IntervalPart<'_>| if low.is_excluded { '>' } else { '≥' };
    let below = |high: &IntervalPart<'_>| if high.is_excluded { '<' } else { '≤' };
    let mut said = match (&low, &high, &center) {
        (Some(low), Some(high), _) if low.is_excluded || high.is_excluded => {
            let (from, to) = (words(low), words(high));
            format!("{} {from} et {} {to}", above(low), below(high))
        }
        (Some(low), Some(high), _) => format!("{} – {}", words(low), words(high)),
        (Some(low), None, _) => format!("{} {}", above(low), words(low)),
        (None, Some(high), _) => format!("{} {}", below(high), words(high)),
        (None, None, Some(center)) => words(center),
        (None, None, None) => String::new(),
    };
    if let Some(width) = &width {
        if !said.is_empty() {
            said.push_str(", ");
        }
        said.push_str(&format!("étendue {}", width.with_unit()));
    }
    let unit = unit.filter(|_| same).map(str::to_owned);
    (!said.is_empty()).then_some((said, unit))
}

/// An exact number: so many of its last places.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    /// A number as it is written with digits, a sign and a point; none of another form, or with too many digits.
    fn of(written: &str) -> Option<Self> {
        let plain = written.strip_prefix(['-', '+']).unwrap_or(written);
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = is_number(whole) && is_number(fraction) && plain.len() <= 18;
        if !is_plain || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let sign = if written.starts_with('-') { -1 } else { 1 };
        Some(Self {
            digits: digits.checked_mul(sign)?,
            places: u32::try_from(fraction.len()).ok()?,
        })
    }

    /// The digits of this number with so many places.
    fn with_places(self, places: u32) -> Option<i128> {
        let more = places.checked_sub(self.places)?;
        self.digits.checked_mul(10_i128.checked_pow(more)?)
    }

    fn plus(self, other: Self) -> Option<Self> {
        let places = self.places.max(other.places);
        let digits = self.with_places(places)?;
        Some(Self {
            digits: digits.checked_add(other.with_places(places)?)?,
            places,
        })
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self {
            digits: other.digits.checked_neg()?,
            ..other
        })
    }

    fn half(self) -> Option<Self> {
        Some(Self {
            digits: self.digits.checked_mul(5)?,
            places: self.places.checked_add(1)?,
        })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = usize::try_from(self.places).unwrap_or_default();
        let sign = if self.digits < 0 { "-" } else { "" };
        let width = places.saturating_add(1);
        let digits = format!("{:0>width$}", self.digits.unsigned_abs());
        let end = digits.len().saturating_sub(places);
        let (whole, fraction) = digits.split_at_checked(end).unwrap_or((&digits, ""));
        match fraction.trim_end_matches('0') {
            "" => write!(to, "{sign}{whole}"),
            fraction => write!(to, "{sign}{whole}.{fraction}"),
        }
    }
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

/// Whom the header names, each with function and speciality, and last where the session meets.
pub(super) fn people(root: Node<'_, '_>) -> Vec<StatementParticipant> {
    const MOST: usize = 200;
    const MOST_PLACES: usize = 10;
    let beside = root.children().filter(|it| {
        matches!(
            name(*it),
            "author"
                | "dataEnterer"
                | "informant"
                | "custodian"
                | "informationRecipient"
                | "authenticator"
                | "legalAuthenticator"
                | "participant"
        )
    });
    let of_acts = super::all(root, &["documentationOf", "serviceEvent", "performer"]);
    let encounter = super::all(root, &["componentOf", "encompassingEncounter"]);
    let of_encounter = encounter.into_iter().flat_map(|encounter| {
        encounter
            .children()
            .filter(|it| matches!(name(*it), "responsibleParty" | "encounterParticipant"))
    });
    let mut people = Vec::new();
    for node in beside.chain(of_acts).chain(of_encounter).take(MOST) {
        let mut person = participant(node);
        // What is said of a function besides its name: whether someone counts for the quorum.
        let said = |code: Node<'_, '_>| {
            let text = named(code, "originalText").find_map(text_in);
            let name = attribute(code, "displayName").map(str::to_owned);
            match (name, text) {
                (Some(name), Some(text)) if name != text => Some(format!("{name} ({text})")),
                (name, text) => name.or(text),
            }
        };
        let function = named(node, "functionCode").find_map(said);
        let code = node.descendants().find(|it| name(*it) == "code");
        let speciality = code.and_then(said);
        let label: Vec<String> = function.into_iter().chain(speciality).collect();
        person.label = (!label.is_empty()).then(|| label.join(", "));
        if (person.name.is_some() || person.organization.is_some()) && !people.contains(&person) {
            people.push(person);
        }
    }
    let of_encounter = super::all(root, &["componentOf", "encompassingEncounter", "location"]);
    let of_acts = super::all(root, &["documentationOf", "serviceEvent", "location"]);
    for node in of_encounter.into_iter().chain(of_acts).take(MOST_PLACES) {
        let place = place(node);
        let is_named = place.name.is_some() || place.organization.is_some();
        if is_named && !people.contains(&place) {
            people.push(place);
        }
    }
    people
}

/// A place as a participant: what it is called, the house that it is in with its address, and of which kind it is.
fn place(location: Node<'_, '_>) -> StatementParticipant {
    let below = |path: &[&'static str]| super::all(location, path).into_iter();
    let facility = "healthCareFacility";
    let house = [facility, "serviceProviderOrganization", "name"];
    let mut parts: Vec<String> = below(&house).find_map(parts_in).into_iter().collect();
    let addresses = below(&[facility, "location", "addr"]);
    let of_house = below(&[facility, "serviceProviderOrganization", "addr"]);
    parts.extend(addresses.chain(of_house).find_map(parts_in));
    let mut codes = below(&[facility, "code"]);
    StatementParticipant {
        role: "location".to_owned(),
        ids: below(&[facility, "id"]).filter_map(identifier).collect(),
        label: codes.find_map(|code| {
            let name = attribute(code, "displayName").map(str::to_owned);
            name.or_else(|| named(code, "originalText").find_map(text_in))
        }),
        name: below(&[facility, "location", "name"]).find_map(parts_in),
        organization: (!parts.is_empty()).then(|| parts.join(", ")),
        ..StatementParticipant::default()
    }
}

/// Who takes part; the whole of it, with address and phone, is kept as raw XML besides.
fn participant(node: Node<'_, '_>) -> StatementParticipant {
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
                "representedOrganization"
                    | "representedCustodianOrganization"
                    | "receivedOrganization"
                    | "scopingOrganization"
                    | "scopingEntity"
            )
        })
    };
    let names = |houses: bool| {
        node.descendants()
            .filter(|part| matches!(name(*part), "name" | "desc"))
            .find(|part| is_house(part) == houses)
    };
    // A form of address alone is no name.
    let is_address = |part: Node<'_, '_>| {
        let words = text_in(part).unwrap_or_default().to_uppercase();
        let word = words.trim_matches(['.', ' ']);
        let is_form_of_address = matches!(
            word,
            "DR" | "PR" | "M" | "MR" | "MME" | "MLLE" | "DOCTEUR" | "PROFESSEUR"
        );
        word.is_empty() || matches!(name(part), "prefix" | "suffix") && is_form_of_address
    };
    let has_name = |person: &Node<'_, '_>| {
        let mut parts = person.children().filter(Node::is_element).peekable();
        parts.peek().is_none() || !parts.all(is_address)
    };
    let person = names(false).filter(has_name);
    let person = person.and_then(|person| match super::header::parts_of_name(person) {
        None => parts_in(person),
        Some((family, given)) => {
            let parts: Vec<String> = family.into_iter().chain(given).collect();
            Some(parts.join(" "))
        }
    });
    StatementParticipant {
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
        organization: names(true).and_then(parts_in),
        time: named(node, "time").next().and_then(|when| {
            let mut beside = Statement::default();
            time(when, &mut beside, &mut OtherElements::default());
            beside.time
        }),
    }
}

#[cfg(test)]
mod tests;
