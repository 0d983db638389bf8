//! The questionnaire in the words of the report: what each statement says, in French (interface.md 8).
//!
//! What is done, proposed or planned differs only by mood, and a side of the body can decide an operation: both are
//! always shown.

use super::dates::{french_range, french_time};
use super::excerpt::Omissions;
use super::frcp::{self, NarrativePart, StatementRow};
use super::further;
use super::main_value::{main_value, value_flavor};
use super::media::Pictures;
use super::people::participant;
use super::row_text::{self, RowText, StatementContext, as_cell, denies};
use super::units;
use super::words::{absence, caption, further_words, is_shown, leads_nowhere, same};
use crate::model::questionnaire::{
    Concept, FurtherElement, ManualComparison, Qualifier, Quantity, Questionnaire, Section,
    Statement,
};

/// The sections of the form as the report shows them, and by `cut` what of its pictures it does not.
pub(super) fn sections(
    questionnaire: &Questionnaire,
    cut: &mut Omissions,
) -> Vec<frcp::SectionBlock> {
    let mut teller = FormWriter {
        pictures: Pictures::of(questionnaire),
        cut,
    };
    let sections = questionnaire.sections.iter();
    let mut shown: Vec<frcp::SectionBlock> =
        sections.map(|section| teller.section(section)).collect();
    let beside = further::lines(&questionnaire.further, &[], "", teller.cut);
    if !beside.is_empty() {
        shown.push(frcp::SectionBlock {
            title: "Autres éléments du document".to_owned(),
            narrative: beside.into_iter().map(NarrativePart::Line).collect(),
            ..frcp::SectionBlock::default()
        });
    }
    shown
}

/// Tells the form from its beginning to its end, so that its pictures have numbers.
struct FormWriter<'c> {
    pictures: Pictures,
    cut: &'c mut Omissions,
}

impl FormWriter<'_> {
    fn section(&mut self, section: &Section) -> frcp::SectionBlock {
        let mut shown = frcp::SectionBlock {
            title: section
                .title
                .as_ref()
                .or(section.label.as_ref())
                .cloned()
                .unwrap_or_default(),
            code: section.code.clone(),
            ..frcp::SectionBlock::default()
        };
        // What holds for all of it stands above it.
        let (denials, further): (Vec<&FurtherElement>, Vec<&FurtherElement>) = section
            .further
            .iter()
            .partition(|it| it.negated && it.text.is_none());
        if !denials.is_empty() {
            shown.title.push_str(" [NON : rubrique niée]");
        }
        let further: Vec<FurtherElement> = further.into_iter().cloned().collect();
        let mut row_texts = Vec::new();
        for statement in &section.statements {
            self.add(statement, &mut Vec::new(), &mut shown, &mut row_texts);
        }
        shown.narrative = row_text::narrative(section, &row_texts, &self.pictures);
        let flavor = section.null_flavor.as_deref().map(absence);
        let people = section.participants.iter().filter_map(participant);
        let absent = section.null_flavors.iter();
        let absent = absent.filter_map(|(element, flavor)| self::absent(element, flavor));
        let mut beside: Vec<String> = flavor.into_iter().chain(absent).chain(people).collect();
        let told_beside = beside.join("\n");
        beside.extend(further::lines(
            &further,
            &section.participants,
            &told_beside,
            self.cut,
        ));
        shown
            .narrative
            .extend(beside.into_iter().map(NarrativePart::Line));
        shown.sections = section.sections.iter().map(|it| self.section(it)).collect();
        shown
    }

    fn add(
        &mut self,
        statement: &Statement,
        around: &mut Vec<StatementContext>,
        shown: &mut frcp::SectionBlock,
        row_texts: &mut Vec<RowText>,
    ) {
        let label = label(statement);
        let mut value = value(statement, &label);
        if let Some(media) = &statement.media {
            let (said, figure) = self.pictures.next(media, &label, self.cut);
            value = match value.is_empty() {
                true => said,
                false => format!("{said}\n{value}"),
            };
            shown.figures.extend(figure);
        }
        let qualifier = qualifier(statement);
        let beside = further::lines(
            &statement.further,
            &statement.participants,
            &value,
            self.cut,
        );
        for line in beside {
            if !value.is_empty() {
                value.push('\n');
            }
            value.push_str(&line);
        }
        let mut row = StatementRow {
            value,
            label,
            qualifier,
            depth: u8::try_from(around.len()).unwrap_or(u8::MAX),
        };
        let by_hand = match &statement.by_hand {
            // The row of the document says it.
            Some(ManualComparison::Same) => return,
            Some(ManualComparison::Alone) => "[saisi à la main]".to_owned(),
            Some(ManualComparison::Differs(document)) => {
                format!("[saisi à la main ; diffère du document : {document}]")
            }
            None => String::new(),
        };
        match by_hand.is_empty() {
            // A text of the document is compared with its own rows.
            true => row_texts.push(RowText::of(statement, &row, around)),
            false => row.value = format!("{}\n{by_hand}", row.value),
        }
        around.push(StatementContext::of(statement, &row));
        shown.rows.push(row);
        for inner in &statement.statements {
            self.add(inner, around, shown, row_texts);
        }
        around.pop();
    }
}

/// The code of what is said about the quorum (CI-SIS, `TA_ASIP`).
const QUORUM: &str = "ORG-125";

/// Whether a statement or an item of this code and label is about the quorum.
pub(super) fn is_quorum(code: Option<&str>, label: Option<&str>) -> bool {
    code == Some(QUORUM) || label.is_some_and(|label| starts_plain(label, "quorum"))
}

/// What the form says of its session's quorum, so many times, and how often more; what is asked for or planned says
/// nothing of it.
pub(super) fn quorum(questionnaire: &Questionnaire, most: usize) -> (Vec<String>, usize) {
    fn of_statements(statements: &[Statement], said: &mut Vec<String>, most: usize) -> usize {
        let mut more = 0;
        for statement in statements {
            let label = statement.label.as_deref();
            let is_so = matches!(statement.mood.as_deref(), None | Some("EVN"))
                && statement.by_hand != Some(ManualComparison::Same);
            if is_so && is_quorum(statement.code.as_deref(), label) {
                if said.len() < most {
                    let value = value(statement, label.unwrap_or_default());
                    said.push(value.replace('\n', ", "));
                } else {
                    more += 1;
                }
            }
            more += of_statements(&statement.statements, said, most);
        }
        more
    }
    fn of_sections(sections: &[Section], said: &mut Vec<String>, most: usize) -> usize {
        let mut more = 0;
        for section in sections {
            more += of_statements(&section.statements, said, most);
            more += of_sections(&section.sections, said, most);
        }
        more
    }
    let mut said = Vec::new();
    let more = of_sections(&questionnaire.sections, &mut said, most);
    (said, more)
}

/// Whether a text, as it is compared, starts so.
fn starts_plain(text: &str, start: &str) -> bool {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let mut letters = letters.flat_map(char::to_lowercase);
    start.chars().all(|letter| letters.next() == Some(letter))
}

/// What a statement is about: its code in words, in another system's words, or as it is; else what the statement is.
fn label(statement: &Statement) -> String {
    let translated = || {
        let mut codes = statement.codes.iter();
        codes.find_map(|it| it.words().filter(|_| it.role == "code/translation"))
    };
    let label = statement.label.as_deref().or_else(translated);
    let label = label.or(statement.code.as_deref());
    label.unwrap_or_else(|| kind(&statement.kind)).to_owned()
}

/// What a statement is, where it has no name.
fn kind(kind: &str) -> &str {
    match kind {
        "act" | "procedure" => "Acte",
        "encounter" => "Rencontre",
        "observation" => "Observation",
        "observationMedia" => "Image jointe",
        "organizer" => "Ensemble",
        "regionOfInterest" => "Zone d’intérêt",
        "substanceAdministration" => "Administration",
        "supply" => "Fourniture",
        _ => "Élément",
    }
}

/// What the codes of a statement say besides, where these lines do not.
fn besides(statement: &Statement, label: &str, lines: &[String]) -> Vec<String> {
    let mut shown_text = format!("{label}\n{}", lines.join("\n"));
    let mut beside = Vec::new();
    for concept in &statement.codes {
        let base = concept.role.strip_suffix("/translation");
        let base = base.unwrap_or(&concept.role);
        for said in further_words(concept).filter(|_| base != "value") {
            if row_text::has_more_words(said, &shown_text) {
                let line = match base {
                    "code" => format!("Intitulé d’origine : {said}"),
                    base => format!("{} : {said}", further::element(base)),
                };
                shown_text.push_str(&format!("\n{line}"));
                beside.push(line);
            }
        }
    }
    beside
}

/// What a statement is to the one that it stands in, where that is more than a part of it (HL7 v3,
/// `ActRelationshipType`).
fn relation(statement: &Statement) -> Option<&'static str> {
    Some(match (statement.relation.as_deref()?, statement.inverted) {
        ("CAUS", false) => "Lien : conséquence de l’élément ci-dessus",
        ("CAUS", true) => "Lien : cause de l’élément ci-dessus",
        ("MFST", false) => "Lien : se manifeste par l’élément ci-dessus",
        ("MFST", true) => "Lien : manifestation de l’élément ci-dessus",
        ("RSON", false) => "Lien : motif de l’élément ci-dessus",
        ("RSON", true) => "Lien : a pour motif l’élément ci-dessus",
        ("SAS", false) => "Lien : débute avant l’élément ci-dessus",
        ("SAS", true) => "Lien : débute après l’élément ci-dessus",
        ("SPRT", false) => "Lien : appuie l’élément ci-dessus",
        ("SPRT", true) => "Lien : est appuyé par l’élément ci-dessus",
        ("GEVL", false) => "Lien : objectif que l’élément ci-dessus évalue",
        ("GEVL", true) => "Lien : évalue l’objectif ci-dessus",
        ("XCRPT", false) => "Lien : source de l’élément ci-dessus",
        ("XCRPT", true) => "Lien : extrait de l’élément ci-dessus",
        ("REFR", true) => "Lien : renvoie à l’élément ci-dessus",
        ("COMP", true) => "Lien : comprend l’élément ci-dessus",
        _ => return None,
    })
}

/// That an element says nothing, and why; nothing for what is never shown, and for what is told in another way.
fn absent(element: &str, flavor: &str) -> Option<String> {
    let is_untold = matches!(
        element,
        "id" | "templateId"
            | "code"
            | "value"
            | "languageCode"
            | "realmCode"
            | "confidentialityCode"
            | "setId"
            | "versionNumber"
    );
    let element = further::element(element);
    (!is_untold).then(|| format!("{element} : {}", absence(flavor).to_lowercase()))
}

/// What a statement says, in lines.
fn value(statement: &Statement, label: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let main = main_value(statement);
    let has_main = main.is_some();
    match (statement.negated, main) {
        (true, Some(main)) => lines.push(format!("NON : {main}")),
        (true, None) => lines.push("NON".to_owned()),
        (false, Some(main)) => lines.push(main),
        (false, None) => {}
    }
    if !has_main && let Some(flavor) = value_flavor(statement).or(statement.null_flavor.as_deref())
    {
        lines.push(absence(flavor));
    }
    for site in statement.site.iter().chain(&statement.more_sites) {
        let words = site.label.as_deref().or(site.code.as_deref());
        let mut words = words.unwrap_or_default().to_owned();
        if let Some(side) = &site.laterality {
            words.push_str(&format!(" ({side})"));
        }
        let words = with_written(words, site.text.as_deref());
        lines.push(format!("Localisation : {}", words.trim()));
    }
    for qualifier in &statement.qualifiers {
        if is_shown_as_side(statement, qualifier) || qualifier.of == "approachSiteCode" {
            continue;
        }
        lines.extend(qualified(qualifier));
    }
    if let Some(consumable) = &statement.consumable {
        let mut words: Vec<&str> = [&consumable.label, &consumable.name]
            .into_iter()
            .filter_map(|words| words.as_deref())
            .collect();
        words.dedup();
        let written = consumable.text.as_deref();
        let named = words.join(", ");
        words.extend(
            written.filter(|it| !leads_nowhere(it) && row_text::has_more_words(it, &named)),
        );
        if words.is_empty() {
            words.extend(consumable.code.as_deref());
        }
        words.extend(consumable.manufacturer.as_deref());
        let lot = consumable.lot.as_ref().map(|lot| format!("lot {lot}"));
        words.extend(lot.as_deref());
        if !words.is_empty() {
            lines.push(format!("Produit : {}", words.join(", ")));
        }
    }
    let (apart, quantities): (Vec<_>, Vec<_>) = statement
        .quantities
        .iter()
        .partition(|it| it.operator.is_some());
    lines.extend(quantities.into_iter().map(amount));
    for concept in statement.codes.iter().filter(|it| is_shown(it)) {
        if matches!(
            concept.role.as_str(),
            "value" | "value/translation" | "code/translation"
        ) {
            continue;
        }
        let event = concept.code.as_deref().and_then(event);
        let event =
            event.filter(|_| concept.role == "effectiveTime/event" && concept.words().is_none());
        let said = event
            .map(str::to_owned)
            .or_else(|| words(&Some(concept.clone())));
        let said = said.or_else(|| concept.null_flavor.as_deref().map(absence));
        let Some(mut said) = said else { continue };
        if concept.role == "approachSiteCode" {
            let own = statement.qualifiers.iter();
            for side in own.filter(|it| it.of == "approachSiteCode") {
                let side = words(&side.value).or_else(|| words(&side.name));
                said.extend(
                    side.map(|side| format!(" ({side})"))
                        .into_iter()
                        .collect::<Vec<_>>(),
                );
            }
        }
        let line = format!("{} : {said}", caption(&concept.role));
        if !lines.contains(&line) && !lines.iter().any(|it| it.ends_with(&format!(" : {said}"))) {
            lines.push(line);
        }
    }
    let interpretation = statement.interpretation.as_deref().map(interpretation);
    for (caption, said) in [
        ("Méthode", statement.method.as_deref()),
        ("Interprétation", interpretation.as_deref()),
        ("Priorité", statement.priority.as_deref()),
    ] {
        lines.extend(said.map(|said| format!("{caption} : {said}")));
    }
    lines.extend(statement.time.as_deref().map(french_time));
    // What is taken out of a time stands behind it.
    lines.extend(apart.into_iter().map(taken_out));
    for (element, flavor) in &statement.null_flavors {
        lines.extend(absent(element, flavor));
    }
    lines.extend(statement.participants.iter().filter_map(participant));
    lines.extend(besides(statement, label, &lines));
    lines.extend(relation(statement).map(str::to_owned));
    lines.extend(own_text(statement, label, &lines));
    lines.join("\n")
}

/// What is made of a value, its codes in words where they have no others (HL7 v3, `ObservationInterpretation`).
fn interpretation(said: &str) -> String {
    let in_words = said.split("; ").map(|code| match code {
        "N" => "normal",
        "A" => "anormal",
        "AA" => "très anormal",
        "H" => "élevé",
        "HH" => "très élevé",
        "L" => "bas",
        "LL" => "très bas",
        "POS" => "positif",
        "NEG" => "négatif",
        "IND" => "indéterminé",
        "S" => "sensible",
        "I" => "intermédiaire",
        "R" => "résistant",
        other => other,
    });
    in_words.collect::<Vec<_>>().join("; ")
}

/// What something is given around, in words (HL7 v3, `TimingEvent`).
fn event(code: &str) -> Option<&'static str> {
    Some(match code {
        "AC" => "avant le repas",
        "ACM" => "avant le repas du matin",
        "ACD" => "avant le repas de midi",
        "ACV" => "avant le repas du soir",
        "C" => "au repas",
        "CM" => "au repas du matin",
        "CD" => "au repas de midi",
        "CV" => "au repas du soir",
        "PC" => "après le repas",
        "PCM" => "après le repas du matin",
        "PCD" => "après le repas de midi",
        "PCV" => "après le repas du soir",
        "IC" => "entre les repas",
        "ICM" => "entre les repas du matin et de midi",
        "ICD" => "entre les repas de midi et du soir",
        "ICV" => "entre le repas du soir et le coucher",
        "HS" => "au coucher",
        "WAKE" => "au réveil",
        _ => return None,
    })
}

/// What the text of a statement says besides: a text that a negated statement refers to is never repeated as if it
/// were so.
fn own_text(statement: &Statement, label: &str, lines: &[String]) -> Option<String> {
    // A reference that leads nowhere tells a reader nothing.
    let text = statement
        .text
        .as_ref()
        .filter(|text| !leads_nowhere(text))?;
    let text = &row_text::without_value_sets(text);
    let main = main_value(statement).unwrap_or_default();
    // A text may repeat its label, as the line of a narrative does that it refers to.
    let without_label = |line: &str| -> String {
        let said = line.split_once(':').filter(|(name, _)| {
            let name = as_cell(name);
            same(&name, &as_cell(label)) || name.to_lowercase() == as_cell(label).to_lowercase()
        });
        said.map_or(line, |(_, said)| said.trim()).to_owned()
    };
    let is_known = |part: &str| {
        let part = as_cell(part);
        part.is_empty()
            || same(&part, &as_cell(label))
            || same(&part, &as_cell(&main))
            || lines.iter().any(|line| same(&part, &as_cell(line)))
    };
    if same(&as_cell(text), &as_cell(&format!("{label} : {main}"))) {
        return None;
    }
    // Of a row of the narrative, what the row of the report does not say yet; a text that has any is shown whole, since
    // what it repeats may be what its own words are about.
    let own = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").filter(|cell| !is_known(cell)).collect();
        (!cells.is_empty()).then(|| cells.join(" | "))
    });
    let own = own.collect::<Vec<_>>().join("\n");
    if own.is_empty() {
        return None;
    }
    Some(match statement.negated {
        true if !denies(&own) => format!("Texte d’origine de ce qui est nié : « {text} »"),
        false
            if own
                .lines()
                .any(|it| row_text::contradict(&without_label(it), &main)) =>
        {
            format!("{text} {}", row_text::differs(&main))
        }
        _ => text.clone(),
    })
}

/// A time that is taken out of the others, or joined to them in a way that is not known.
fn taken_out(quantity: &Quantity) -> String {
    let parts = [quantity].into_iter().chain(&quantity.with).map(|part| {
        let said = amount(part);
        match said.split_once(" : ") {
            Some(("Date", date)) => format!("le {date}"),
            Some(("Rythme", rhythm)) => rhythm.to_owned(),
            _ => {
                let mut letters = said.chars();
                let first = letters.next().into_iter().flat_map(char::to_lowercase);
                first.chain(letters.clone()).collect()
            }
        }
    });
    let mut parts = parts.collect::<Vec<String>>();
    for (said, part) in parts.iter_mut().skip(1).zip(&quantity.with) {
        if part.operator.is_some() {
            said.insert_str(0, "sauf ");
        }
    }
    let parts = parts.join(", ");
    match quantity.operator.as_deref() {
        Some("E") | None => format!("Sauf {parts}"),
        Some("A") => format!("Seulement {parts}"),
        Some(operator) => format!("Opérateur {operator} : {parts}"),
    }
}

/// An amount with what it is.
fn amount(quantity: &Quantity) -> String {
    let with_unit = |unit: Option<&str>| {
        let unit = unit.map(|unit| units::readable(unit, &quantity.value));
        let unit = unit.unwrap_or_default();
        format!("{} {unit}", quantity.value).trim_end().to_owned()
    };
    let unit = quantity.unit.as_deref();
    match quantity.role.as_str() {
        "effectiveTime" => french_time(&quantity.value),
        "effectiveTime/period" => {
            let every = match unit {
                Some("d" | "mo" | "a") => "tous les",
                _ => "toutes les",
            };
            let unit = unit.map(|unit| units::period(unit, &quantity.value));
            let period = format!("{} {}", quantity.value, unit.unwrap_or_default());
            format!("Rythme : {every} {}", period.trim_end())
        }
        "effectiveTime/offset" => {
            let unit = unit.map(|unit| units::period(unit, &quantity.value));
            format!(
                "Décalage : {} {}",
                units::ratio(&quantity.value),
                unit.unwrap_or_default()
            )
            .trim_end()
            .to_owned()
        }
        "effectiveTime/frequency" => format!("Rythme : {}", units::ratio(&quantity.value)),
        "effectiveTime/width" | "expectedUseTime" => {
            let is_interval = quantity.role == "expectedUseTime" && unit.is_none();
            let said = match is_interval {
                true => french_range(&quantity.value),
                false => quantity.value.clone(),
            };
            let unit = unit.map(|unit| units::period(unit, &quantity.value));
            format!("Durée : {said} {}", unit.unwrap_or_default())
                .trim_end()
                .to_owned()
        }
        "effectiveTime/event" => {
            format!(
                "Moment : {}",
                event(&quantity.value).unwrap_or(&quantity.value)
            )
        }
        "referenceRange" => format!("Valeurs de référence : {}", with_unit(unit)),
        "precondition/criterion" => format!("Si : {}", with_unit(unit)),
        "precondition" => format!("Condition : {}", quantity.value),
        role => {
            let words = match caption(role) {
                "Précision" => "Quantité",
                words => words,
            };
            match unit {
                None => format!("{words} : {}", units::ratio(&quantity.value)),
                unit => format!("{words} : {}", with_unit(unit)),
            }
        }
    }
}

/// A name, and behind it what was written before it was coded, where that says more.
fn with_written(name: String, written: Option<&str>) -> String {
    match written {
        Some(written) if !leads_nowhere(written) && row_text::has_more_words(written, &name) => {
            format!("{name} ({written})")
        }
        _ => name,
    }
}

fn qualified(qualifier: &Qualifier) -> Option<String> {
    match (words(&qualifier.name), words(&qualifier.value)) {
        (Some(name), Some(value)) => Some(format!("{name} : {value}")),
        (one, other) => one.or(other),
    }
}

/// A concept in words; its code only where it has no others.
fn words(part: &Option<Concept>) -> Option<String> {
    let part = part.as_ref()?;
    let words = part.words().or(part.code.as_deref())?.to_owned();
    let written = part
        .text
        .as_ref()
        .filter(|text| !words.contains(*text) && !leads_nowhere(text));
    Some(match written {
        Some(written) => format!("{words} ({written})"),
        None => words,
    })
}

/// Whether a qualifier is the side that stands behind its place already.
fn is_shown_as_side(statement: &Statement, qualifier: &Qualifier) -> bool {
    let side = qualifier.value.as_ref();
    let side = side.and_then(|side| side.words().or(side.code.as_deref()));
    let mut sites = statement.site.iter().chain(&statement.more_sites);
    qualifier.of == "targetSiteCode"
        && side.is_some()
        && sites.any(|site| site.laterality.as_deref() == side)
}

/// The code of a comment (LOINC; IHE PCC 6.3.4.6).
const COMMENT: &str = "48767-8";

/// Whether it was done, is planned or proposed, and how far it is. That something was done is said only of what could
/// also be planned.
fn qualifier(statement: &Statement) -> Option<String> {
    let is_act = match statement.kind.as_str() {
        "observation" | "organizer" | "observationMedia" | "regionOfInterest" | "" => false,
        // One without a code only gathers what stands in it, and a comment is never planned.
        "act" => statement
            .code
            .as_deref()
            .is_some_and(|code| code != COMMENT),
        _ => true,
    };
    let has_happened = matches!(statement.mood.as_deref(), None | Some("EVN"));
    // What was called off, interrupted, put off or not begun was not done.
    let may_be_done = !matches!(
        statement.status.as_deref(),
        Some("new" | "held" | "suspended" | "aborted" | "cancelled")
    );
    let mood = match statement.mood.as_deref() {
        Some("EVN") if !is_act => None,
        Some("EVN") if statement.negated => Some("Non réalisé"),
        Some("EVN") if !may_be_done => None,
        mood => mood.map(frcp::mood),
    };
    let status = match statement.status.as_deref() {
        None | Some("completed") => None,
        Some("active") if has_happened => Some("en cours"),
        Some("active") => Some("à réaliser"),
        Some("new") => Some("nouveau"),
        Some("aborted") => Some("interrompu"),
        Some("cancelled") => Some("annulé"),
        Some("suspended") => Some("suspendu"),
        Some("held") => Some("en attente"),
        Some("nullified") => Some("invalidé (saisi par erreur)"),
        Some("obsolete") => Some("remplacé"),
        Some("normal") => Some("normal"),
        other => other,
    };
    let words: Vec<&str> = [mood, status].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::questionnaire::Site;

    fn statement(kind: &str) -> Statement {
        Statement {
            kind: kind.to_owned(),
            label: Some("L".to_owned()),
            mood: Some("EVN".to_owned()),
            status: Some("completed".to_owned()),
            ..Statement::default()
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_quorum_is_what_a_statement_says_is_so() {
        let about = |mood: &str, code: Option<&str>, label: &str, value: &str| Statement {
            mood: some(mood),
            code: code.map(str::to_owned),
            label: some(label),
            value: some(value),
            ..statement("observation")
        };
        let nested = Statement {
            statements: vec![
                about("EVN", Some(QUORUM), "Présence", "Quorum atteint"),
                about("PRP", Some(QUORUM), "Présence", "proposé"),
                about("EVN", None, "Quorum RCP", "Quorum non atteint"),
                about("EVN", None, "Avis", "le quorum"),
            ],
            ..statement("organizer")
        };
        let section = Section {
            statements: vec![nested],
            ..Section::default()
        };
        let outer = Section {
            sections: vec![section],
            ..Section::default()
        };
        let questionnaire = Questionnaire {
            sections: vec![outer],
            ..Questionnaire::default()
        };
        assert_eq!(
            quorum(&questionnaire, 20),
            (
                vec!["Quorum atteint".to_owned(), "Quorum non atteint".to_owned()],
                0
            )
        );
        assert_eq!(
            quorum(&questionnaire, 1),
            (vec!["Quorum atteint".to_owned()], 1)
        );
    }

    fn row(statement: Statement) -> (String, String, String) {
        let questionnaire = Questionnaire {
            sections: vec![Section {
                statements: vec![statement],
                ..Section::default()
            }],
            ..Questionnaire::default()
        };
        let row = sections(&questionnaire, &mut Omissions::default())
            .remove(0)
            .rows
            .remove(0);
        (row.label, row.value, row.qualifier.unwrap_or_default())
    }

    #[test]
    fn a_statement_is_told_in_words() {
        let with = |change: &dyn Fn(&mut Statement)| {
            let mut statement = statement("observation");
            change(&mut statement);
            row(statement).1
        };
        for (value, kind, unit, told) in [
            ("true", "BL", None, "Oui"),
            ("false", "BL", None, "Non"),
            ("true", "ST", None, "true"),
            ("6.5", "PQ", Some("mm"), "6.5 mm"),
            ("2", "PQ", Some("1"), "2"),
            ("20190215", "ST", None, "20190215"),
            ("2019-02-15", "TS", None, "15/02/2019"),
            ("> 2019-02-15", "IVL_TS", None, "après le 15/02/2019"),
            ("< 2019-02", "IVL_TS", None, "avant le 02/2019"),
            (
                "≥ 2019-02-15 et < 2020",
                "IVL_TS",
                None,
                "à partir du 15/02/2019 et avant le 2020",
            ),
            ("2 EUR / 1 d", "RTO_MO_PQ", None, "2 EUR / 1 jour"),
            ("sauf 2019-02-15", "SXCM_TS", None, "sauf 15/02/2019"),
            ("#gone", "ED", None, ""),
            (
                "≥ 2019-02-15, étendue 7 d",
                "IVL_TS",
                None,
                "à partir du 15/02/2019, étendue 7 jours",
            ),
            (
                "≥ 2 ug, étendue 3 10*9/L",
                "IVL_PQ",
                None,
                "≥ 2 µg, étendue 3 10⁹/L",
            ),
        ] {
            let value = with(&|it| {
                it.value = some(value);
                it.value_type = some(kind);
                it.unit = unit.map(str::to_owned);
            });
            assert_eq!(value, told);
        }
        for (code, told) in [("T1b", "Tumeur"), ("Tum", "Tumeur"), ("76752008", "Tumeur")] {
            let value = with(&|it| {
                it.value = some("Tumeur");
                it.value_code = some(code);
            });
            assert_eq!(value, told);
        }
        for (time, told) in [
            ("2019-02-15", "Date : 15/02/2019"),
            ("2019", "Date : 2019"),
            ("2019-02-20/2019-08-20", "Du 20/02/2019 au 20/08/2019"),
            ("2019-03-01/..", "À partir du 01/03/2019"),
            ("../2019-03", "Jusqu’au 03/2019"),
            (">2019-03-01/..", "Après le 01/03/2019"),
            ("../<2019-03", "Avant le 03/2019"),
            ("2019/<2020", "À partir du 2019 et avant le 2020"),
            (">2019/2020", "Après le 2019 et jusqu’au 2020"),
            (">2019/<2020", "Après le 2019 et avant le 2020"),
            ("2019-01-15T11:30+01:00", "Date : 15/01/2019 11:30 +01:00"),
            ("soon", "Date : soon"),
        ] {
            assert_eq!(with(&|it| it.time = some(time)), told);
        }
        assert_eq!(with(&|it| it.text = some("L")), "");
        assert_eq!(with(&|it| it.text = some("#gone")), "");
        assert_eq!(with(&|it| it.text = some("said")), "said");
        assert_eq!(with(&|it| it.negated = true), "NON");
        for (flavor, told) in [
            ("UNK", "Inconnu"),
            ("NA", "Sans objet"),
            ("NI", "Non renseigné"),
            ("XYZ", "Non renseigné (XYZ)"),
        ] {
            assert_eq!(with(&|it| it.null_flavor = some(flavor)), told);
        }
        let value = with(&|it| {
            it.value = some("Carcinome");
            it.negated = true;
            it.codes = vec![Concept {
                role: "value".to_owned(),
                text: some("carcinome canalaire"),
                ..Concept::default()
            }];
            it.site = Some(Site {
                label: some("Sein"),
                laterality: some("droit"),
                ..Site::default()
            });
            it.qualifiers = vec![Qualifier {
                of: "value".to_owned(),
                name: Some(Concept {
                    label: some("Version"),
                    ..Concept::default()
                }),
                value: Some(Concept {
                    code: some("7"),
                    ..Concept::default()
                }),
            }];
            it.priority = some("1");
            it.quantities = vec![Quantity {
                role: "doseQuantity".to_owned(),
                value: "50".to_owned(),
                unit: some("mg"),
                ..Quantity::default()
            }];
        });
        assert_eq!(
            value,
            "NON : Carcinome (carcinome canalaire)\nLocalisation : Sein (droit)\nVersion : 7\nDose : 50 mg\nPriorité : 1"
        );
    }

    #[test]
    fn what_a_code_says_besides_is_told_where_it_says_more() {
        let coded = |role: &str, label: &str, text: &str| Concept {
            role: role.to_owned(),
            label: some(label),
            text: some(text).filter(|it| !it.is_empty()),
            ..Concept::default()
        };
        let told = row(Statement {
            method: some("IHC"),
            codes: vec![
                coded("code", "L", "nodule gauche"),
                coded("code/translation", "nodule", ""),
                coded("methodCode", "IHC", "sur coupe"),
                coded("methodCode/translation", "immuno", "#gone"),
                coded("value/translation", "ductal", "écrit"),
                coded("value", "Carcinome", ""),
            ],
            value: some("Carcinome"),
            ..statement("observation")
        });
        assert_eq!(
            told.1,
            "Carcinome (ductal) (écrit)\nMéthode : IHC\nIntitulé d’origine : nodule gauche\n\
             Méthode : sur coupe\nMéthode : immuno"
        );
    }

    #[test]
    fn what_a_statement_is_to_the_one_around_it_is_told_with_its_direction() {
        for (relation, inverted, told) in [
            ("CAUS", false, "Lien : conséquence de l’élément ci-dessus"),
            ("CAUS", true, "Lien : cause de l’élément ci-dessus"),
            ("MFST", true, "Lien : manifestation de l’élément ci-dessus"),
            ("RSON", false, "Lien : motif de l’élément ci-dessus"),
            ("SAS", false, "Lien : débute avant l’élément ci-dessus"),
            ("SUBJ", true, ""),
            ("COMP", false, ""),
            ("COMP", true, "Lien : comprend l’élément ci-dessus"),
        ] {
            let told_row = row(Statement {
                relation: some(relation),
                inverted,
                ..statement("observation")
            });
            assert_eq!(told_row.1, told, "{relation} {inverted}");
        }
    }

    #[test]
    fn a_section_that_is_denied_says_so_above_its_rows() {
        let denied = FurtherElement {
            place: "section".to_owned(),
            negated: true,
            ..FurtherElement::default()
        };
        let questionnaire = Questionnaire {
            sections: vec![Section {
                title: some("Métastases"),
                further: vec![denied.clone()],
                ..Section::default()
            }],
            further: vec![FurtherElement {
                text: some("reste"),
                negated: false,
                ..denied
            }],
            ..Questionnaire::default()
        };
        let shown = sections(&questionnaire, &mut Omissions::default());
        assert_eq!(shown[0].title, "Métastases [NON : rubrique niée]");
        assert_eq!(shown[1].title, "Autres éléments du document");
        assert_eq!(
            shown[1].narrative,
            [NarrativePart::Line("Rubrique : reste".to_owned())]
        );
    }

    #[test]
    fn mood_is_always_told() {
        for (mood, status, told) in [
            ("EVN", "completed", "Réalisé"),
            ("EVN", "active", "Réalisé, en cours"),
            ("PRP", "active", "Proposé, à réaliser"),
            ("EVN", "new", "nouveau"),
            ("EVN", "held", "en attente"),
            ("EVN", "suspended", "suspendu"),
            ("EVN", "aborted", "interrompu"),
            ("EVN", "cancelled", "annulé"),
            ("INT", "cancelled", "Prévu, annulé"),
            ("EVN", "nullified", "Réalisé, invalidé (saisi par erreur)"),
            ("INT", "cancelled", "Prévu, annulé"),
            ("ARQ", "", "Rendez-vous demandé"),
        ] {
            let mut statement = statement("procedure");
            statement.mood = some(mood);
            statement.status = some(status).filter(|it| !it.is_empty());
            assert_eq!(row(statement).2, told);
        }
    }

    #[test]
    fn what_is_denied_is_never_told_without_its_denial() {
        for (text, told) in [
            ("Métastases", "NON"),
            ("Pas de métastase", "NON\nPas de métastase"),
            (
                "nodule du foie",
                "NON\nTexte d’origine de ce qui est nié : « nodule du foie »",
            ),
        ] {
            let told_as = row(Statement {
                label: some("Métastases"),
                text: some(text),
                negated: true,
                ..statement("observation")
            });
            assert_eq!(told_as.1, told);
        }
    }

    #[test]
    fn routes_rhythms_and_ranges_are_told_in_words() {
        let quantity = |role: &str, value: &str, unit: Option<&str>| Quantity {
            role: role.to_owned(),
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            ..Quantity::default()
        };
        let coded = |role: &str, label: &str| Concept {
            role: role.to_owned(),
            code: some("C1"),
            label: some(label),
            ..Concept::default()
        };
        let told = row(Statement {
            quantities: vec![
                quantity("doseQuantity", "50 – 75", Some("mg/m2")),
                quantity("rateQuantity", "50 ug / 1 h", None),
                quantity("effectiveTime/period", "3", Some("wk")),
                quantity("referenceRange", "10 – 20", Some("10*9/L")),
                quantity("repeatNumber", "4 – 6", None),
            ],
            codes: vec![
                coded("routeCode", "Intraveineuse"),
                coded("approachSiteCode", "Bras"),
            ],
            qualifiers: vec![Qualifier {
                of: "approachSiteCode".to_owned(),
                name: Some(coded("name", "Latéralité")),
                value: Some(coded("value", "Gauche")),
            }],
            ..statement("substanceAdministration")
        });
        assert_eq!(
            told.1,
            "Dose : 50 – 75 mg/m²\nDébit : 50 µg / 1 h\nRythme : toutes les 3 semaines\n\
             Valeurs de référence : 10 – 20 10⁹/L\nRépétitions : 4 – 6\n\
             Voie : Intraveineuse\nVoie d’abord : Bras (Gauche)"
        );
    }

    #[test]
    fn what_was_written_is_told_where_it_says_more_than_its_name() {
        let quantity = |role: &str, value: &str, unit: Option<&str>| Quantity {
            role: role.to_owned(),
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            ..Quantity::default()
        };
        for (name, written, told) in [
            (
                "sein",
                "sein gauche, quadrant supéro-externe",
                "sein (sein gauche, quadrant supéro-externe)",
            ),
            ("Sein gauche", "sein gauche", "Sein gauche"),
            ("Sein gauche", "Sein, gauche", "Sein gauche"),
            ("Sein", "#gone", "Sein"),
        ] {
            let at = row(Statement {
                site: Some(Site {
                    label: some(name),
                    text: some(written),
                    ..Site::default()
                }),
                ..statement("observation")
            });
            assert_eq!(at.1, format!("Localisation : {told}"));
        }
        let given = row(Statement {
            consumable: Some(crate::model::questionnaire::Consumable {
                label: some("méthotrexate"),
                text: some("méthotrexate 2,5 mg comprimé"),
                ..Default::default()
            }),
            quantities: vec![
                quantity("sequenceNumber", "2", None),
                quantity(
                    "precondition/criterion",
                    "Neutrophiles ≥ 1.5",
                    Some("10*9/L"),
                ),
            ],
            ..statement("substanceAdministration")
        });
        assert_eq!(
            given.1,
            "Produit : méthotrexate, méthotrexate 2,5 mg comprimé\nOrdre : 2\n\
             Si : Neutrophiles ≥ 1.5 10⁹/L"
        );
    }

    /// What is taken out of a time stands behind it, in one piece.
    #[test]
    fn a_time_that_is_taken_out_is_told_behind_the_time() {
        let part = |role: &str, value: &str, unit: Option<&str>| Quantity {
            role: role.to_owned(),
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            ..Quantity::default()
        };
        let interval = || part("effectiveTime", "2025-08-10/2025-08-20", None);
        for (operator, first, with, told) in [
            ("E", interval(), None, "Sauf du 10/08/2025 au 20/08/2025"),
            (
                "E",
                part("effectiveTime", "2025-08-10", None),
                None,
                "Sauf le 10/08/2025",
            ),
            (
                "E",
                part("effectiveTime/period", "7", Some("d")),
                Some(interval()),
                "Sauf tous les 7 jours, du 10/08/2025 au 20/08/2025",
            ),
            (
                "E",
                part("effectiveTime", "2025-08-10/..", None),
                Some(part("effectiveTime/width", "7", Some("d"))),
                "Sauf à partir du 10/08/2025, durée : 7 jours",
            ),
            (
                "E",
                part("effectiveTime/event", "HS", None),
                None,
                "Sauf moment : au coucher",
            ),
            (
                "A",
                interval(),
                None,
                "Seulement du 10/08/2025 au 20/08/2025",
            ),
            (
                "X",
                interval(),
                None,
                "Opérateur X : du 10/08/2025 au 20/08/2025",
            ),
        ] {
            let apart = Quantity {
                operator: some(operator),
                with: with.into_iter().collect(),
                ..first
            };
            let told_row = row(Statement {
                quantities: vec![apart, part("doseQuantity", "1", Some("g"))],
                time: some("2025-08-01/2025-09-01"),
                ..statement("substanceAdministration")
            });
            assert_eq!(
                told_row.1,
                format!("Dose : 1 g\nDu 01/08/2025 au 01/09/2025\n{told}")
            );
        }
    }

    #[test]
    fn a_translation_is_told_where_nothing_else_is() {
        let other = |label: Option<String>| Statement {
            null_flavor: some("OTH"),
            codes: vec![
                Concept {
                    role: "value".to_owned(),
                    null_flavor: some("OTH"),
                    ..Concept::default()
                },
                Concept {
                    role: "value/translation".to_owned(),
                    code: some("8500/3"),
                    label,
                    ..Concept::default()
                },
            ],
            ..statement("observation")
        };
        let translated = other(some("Carcinome canalaire infiltrant"));
        assert_eq!(row(translated).1, "Carcinome canalaire infiltrant");
        assert_eq!(row(other(None)).1, "8500/3");
    }

    #[test]
    fn what_something_is_given_around_is_told_in_words() {
        for (code, label, told) in [
            ("ACM", None, "Moment : avant le repas du matin"),
            ("HS", Some("Nuit"), "Moment : Nuit"),
            ("X", None, "Moment : X"),
        ] {
            let told_row = row(Statement {
                codes: vec![Concept {
                    role: "effectiveTime/event".to_owned(),
                    code: some(code),
                    label: label.and_then(some),
                    ..Concept::default()
                }],
                quantities: vec![Quantity {
                    role: "effectiveTime/offset".to_owned(),
                    value: "30".to_owned(),
                    unit: some("min"),
                    ..Quantity::default()
                }],
                ..statement("substanceAdministration")
            });
            assert_eq!(told_row.1, format!("Décalage : 30 min\n{told}"));
        }
    }

    #[test]
    fn statements_stand_below_each_other_and_narrative_where_they_do_not_tell_it() {
        let mut outer = statement("observation");
        outer.statements = vec![statement("act")];
        let questionnaire = Questionnaire {
            sections: vec![Section {
                code: some("C"),
                text: some("L\nl | 12/03\nL | said nowhere else"),
                statements: vec![outer],
                sections: vec![Section {
                    label: some("Inner"),
                    text: some("told"),
                    ..Section::default()
                }],
                ..Section::default()
            }],
            ..Questionnaire::default()
        };
        let sections = sections(&questionnaire, &mut Omissions::default());
        let depths: Vec<u8> = sections[0].rows.iter().map(|row| row.depth).collect();
        assert_eq!(depths, [0, 1]);
        let line = |text: &str| NarrativePart::Line(text.to_owned());
        assert_eq!(
            sections[0].narrative,
            [line("L"), line("l | 12/03"), line("L | said nowhere else")]
        );
        assert_eq!(sections[0].sections[0].title, "Inner");
        assert_eq!(sections[0].sections[0].narrative, [line("told")]);
    }
}
