//! The questionnaire (fRCP): what the structured form of a case says (interface.md 5, 12).
//!
//! It has the shape of the document that it was filled from: sections, in them statements, in these more statements;
//! what the desk wrote by hand stands among them, and says so.
//! No code is expected and none is left out; what has no key of its own stands in `other` as it was written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identifiers::{CaseId, ContentHash, FacilityId};

/// The questionnaire of a case, with the document that filled it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilledQuestionnaire {
    /// The facility.
    pub facility: FacilityId,
    /// The case.
    pub case: CaseId,
    /// From 1, rising with every document that fills it anew.
    pub number: u32,
    /// The document that filled it, as it lies under `documents/`; none where all of it was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled_by: Option<ContentHash>,
    /// The time of that document.
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
    /// What the desk wrote by hand, which stands in `questionnaire` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ManualForm>,
    /// What it says.
    pub questionnaire: Questionnaire,
}

/// What the desk wrote of a form by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManualForm {
    /// When.
    pub time: DateTime<Utc>,
    /// The sections, as they were written.
    pub sections: Vec<Section>,
}

/// What the document of a case says of something that the desk wrote by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManualComparison {
    /// Nothing.
    Alone,
    /// The same.
    Same,
    /// Something else: this.
    Differs(String),
}

/// What the form says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Questionnaire {
    /// Its sections, in the order of the document.
    pub sections: Vec<Section>,
    /// What stands beside the sections, as raw XML.
    #[serde(default)]
    pub other: Option<String>,
    /// What of that a reader can be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FurtherElement>,
    /// How many characters of its texts were not kept, since they were too long; said where each is cut.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cut: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Questionnaire {
    /// The same for all that say the same: ids, templates and what is kept as raw XML, which no reader is shown, play
    /// no part. A sender's program may make new ids with each version.
    pub fn hash(&self) -> ContentHash {
        let mut said = self.clone();
        said.other = None;
        said.sections.iter_mut().for_each(forget_ids);
        ContentHash::of_json(&said)
    }
}

fn forget_ids(section: &mut Section) {
    section.ids.clear();
    section.template_ids.clear();
    section.other = None;
    section
        .participants
        .iter_mut()
        .for_each(|it| it.ids.clear());
    section
        .statements
        .iter_mut()
        .for_each(forget_ids_of_statement);
    section.sections.iter_mut().for_each(forget_ids);
}

fn forget_ids_of_statement(statement: &mut Statement) {
    statement.ids.clear();
    statement.template_ids.clear();
    statement.other = None;
    statement
        .statements
        .iter_mut()
        .for_each(forget_ids_of_statement);
}

/// A section of the form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Section {
    /// Its code.
    pub code: Option<String>,
    /// What the code is called.
    pub label: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its narrative as text: a line for each row, cells divided by ` | `.
    pub text: Option<String>,
    /// The same in lines and tables, where there is a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// Its clinical statements.
    pub statements: Vec<Statement>,
    /// The sections in it.
    pub sections: Vec<Section>,
    /// What nobody is to look for, and why (`nullFlavor`).
    pub null_flavor: Option<String>,
    /// Everything else in it, as raw XML.
    pub other: Option<String>,
    /// What of that a reader can be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FurtherElement>,
    /// The templates it follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template_ids: Vec<String>,
    /// Its own ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Every coded element in it, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Concept>,
    /// Who wrote it or told it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<StatementParticipant>,
    /// Elements that say only why they say nothing: their names, and the null flavour.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub null_flavors: BTreeMap<String, String>,
    /// Whether only the desk has it, by hand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// A part of a narrative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// A paragraph, an item of a list, or a caption.
    Line(String),
    /// A table.
    Table(Vec<TableRow>),
}

/// A row of a table of a narrative.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableRow {
    /// Whether it says what stands in the columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_head: bool,
    /// Its cells, each in its column; none at the end that are empty.
    pub cells: Vec<String>,
}

/// A clinical statement: something observed, done, proposed or planned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Statement {
    /// What it is: `observation`, `procedure`, `substanceAdministration`, …
    pub kind: String,
    /// Whether it is so (`EVN`), proposed (`PRP`), planned (`INT`), asked for (`ARQ`), …
    pub mood: Option<String>,
    /// How far it is: `completed`, `active`, …
    pub status: Option<String>,
    /// What it is about.
    pub code: Option<String>,
    /// The same in words.
    pub label: Option<String>,
    /// What it says, in words; a number for a quantity, `true` or `false` for a yes or no.
    pub value: Option<String>,
    /// The code of what it says, where that is coded.
    pub value_code: Option<String>,
    /// The unit of what it says.
    pub unit: Option<String>,
    /// When: a date or a time, an interval as `from/to`, open at `..`; `>` and `<` before a bound that does not belong to
    /// it.
    pub time: Option<String>,
    /// What the narrative says of it.
    pub text: Option<String>,
    /// Whether it says that this is not so.
    pub negated: bool,
    /// How urgent it is, or its place among others.
    pub priority: Option<String>,
    /// Where in the body.
    pub site: Option<Site>,
    /// What is made of the value.
    pub interpretation: Option<String>,
    /// What makes its codes more precise.
    pub qualifiers: Vec<Qualifier>,
    /// Why it says nothing (`nullFlavor`).
    pub null_flavor: Option<String>,
    /// Everything else in it, as raw XML.
    pub other: Option<String>,
    /// What of that a reader can be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FurtherElement>,
    /// The statements in it.
    pub statements: Vec<Statement>,
    /// What it is to the statement around it: `SUBJ`, `COMP`, `REFR`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Whether that is to be read the other way round (`inversionInd`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inverted: bool,
    /// Its class in the reference model (`classCode`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The system of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_system: Option<String>,
    /// The type of the value: `CD`, `PQ`, `BL`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_type: Option<String>,
    /// The system of the value's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_system: Option<String>,
    /// The time as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_written: Option<String>,
    /// How it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Further places in the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_sites: Vec<Site>,
    /// What is given or handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable: Option<Consumable>,
    /// Amounts that are no value: doses, rates, repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantities: Vec<Quantity>,
    /// The picture that it shows, or something else that is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Who did it, wrote it, told it, or takes part in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<StatementParticipant>,
    /// The templates it follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template_ids: Vec<String>,
    /// Its own ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Every coded element in it, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Concept>,
    /// Elements that say only why they say nothing: their names, and the null flavour.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub null_flavors: BTreeMap<String, String>,
    /// Whether the desk wrote it by hand, and what the document says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ManualComparison>,
}

impl Statement {
    /// Whether it speaks of the patient as things are: not where it was entered in error, given up or not begun, where it
    /// is uncertain, or where another one is its subject.
    pub fn holds(&self) -> bool {
        let is_uncertain = self.codes.iter().any(|it| it.role == "uncertaintyCode")
            || self
                .further
                .iter()
                .any(|it| it.place.contains("uncertaintyCode"));
        !self.is_void() && !is_uncertain
    }

    /// Whether what stands in it may speak of the patient as things are: what gathers others denies them with itself, an
    /// observation only itself.
    pub fn lets_hold(&self) -> bool {
        let denies_all = self.negated && matches!(self.kind.as_str(), "organizer" | "act");
        !self.is_void() && !denies_all
    }

    fn is_void(&self) -> bool {
        let status = self.status.as_deref();
        let is_ended = matches!(
            status,
            Some("nullified" | "cancelled" | "aborted" | "obsolete" | "held" | "suspended" | "new")
        );
        is_ended || self.participants.iter().any(|it| it.role == "subject")
    }
}

/// Something that is no text (data type ED).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// The `ID` by which the narrative shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is: `image/png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// It in base64, without white space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Where it is, outside of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A place in the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Its code.
    pub code: Option<String>,
    /// The same in words.
    pub label: Option<String>,
    /// On which side.
    pub laterality: Option<String>,
    /// What was written before it was coded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A coded element, whole (data type CD).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Concept {
    /// The name of the element: `code`, `value`, `targetSiteCode`, …
    pub role: String,
    /// The code.
    pub code: Option<String>,
    /// What the code is called (`displayName`).
    pub label: Option<String>,
    /// The system that the code is of, an OID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The name of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_name: Option<String>,
    /// The version of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_version: Option<String>,
    /// What was written before it was coded (`originalText`), from the narrative where it only refers to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why there is no code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_flavor: Option<String>,
}

impl Concept {
    /// It in words: its name, else what was written before it was coded. What a program writes for nothing is no name.
    pub fn words(&self) -> Option<&str> {
        let label = self.label.as_deref();
        let label = label.filter(|label| !is_nothing(label, self.code.as_deref()));
        label.or(self.text.as_deref())
    }
}

/// Whether a name beside a code is what a program writes for nothing: `None` for stage `IB`. Beside a code in digits,
/// which says nothing to a reader, it is a name: SNOMED CT has one that is `None`.
pub fn is_nothing(name: &str, code: Option<&str>) -> bool {
    let is_of_program = ["none", "null", "undefined", "nil", "nan"]
        .iter()
        .any(|word| name.trim().eq_ignore_ascii_case(word));
    let is_number =
        code.is_some_and(|code| code.len() > 4 && code.bytes().all(|it| it.is_ascii_digit()));
    is_of_program && !is_number
}

/// What makes a code more precise: the side of a site, the version of a classification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Qualifier {
    /// The element that it makes more precise.
    pub of: String,
    /// What it says something about.
    pub name: Option<Concept>,
    /// What it says.
    pub value: Option<Concept>,
}

/// What is given or handed out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Consumable {
    /// Its code.
    pub code: Option<String>,
    /// The same in words.
    pub label: Option<String>,
    /// What was written before it was coded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its name, where it has one besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// The number of its lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
}

/// An amount, by the name of its element.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantity {
    /// The name of the element: `doseQuantity`, `repeatNumber`, …
    pub role: String,
    /// How much.
    pub value: String,
    /// Of what.
    pub unit: Option<String>,
    /// How a time is joined to the others, where not as a part of them: `E` where it is taken out of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// What else such a time is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Quantity>,
}

/// Something that an element says which has no key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FurtherElement {
    /// Where it stands: the names of the elements around it, `participant/participantRole/code`.
    pub place: String,
    /// How many elements of the first of these names stand before that, which it has nothing to do with.
    #[serde(skip_serializing_if = "is_none")]
    pub number: usize,
    /// What it says; none where it cannot be told in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The unit of an amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Why it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_flavor: Option<String>,
    /// Whether it is a date or a time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_time: bool,
    /// Whether what it is a part of is denied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub negated: bool,
}

/// Someone, or something, that takes part in a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatementParticipant {
    /// The name of the element: `author`, `performer`, `participant`, …
    pub role: String,
    /// Its type code: `PRF`, `AUT`, `DEV`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participation: Option<String>,
    /// Its ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// What the person is, or the thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of which house.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}
