//! The comparison of an identity that was read with the known patient (interface.md 3).

use std::borrow::Cow;

use crate::model::case::SourceIdentity;
use crate::model::date::PartialDate;
use crate::model::name;
use crate::model::outcome::{Location, Reason, Refusal, Warning, WarningCode};
use crate::model::patient::{Patient, Sex};

/// What of an identity is compared with the known one; only what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// The birth name.
    pub birth_name: Option<String>,
    /// The given name of the birth certificate (the `L` repetition of PID-5).
    pub birth_given_name: Option<String>,
    /// The date of birth.
    pub birth_date: Option<PartialDate>,
    /// The sex.
    pub sex: Option<Sex>,
}

impl Traits {
    /// As a case keeps it.
    pub fn given_by(&self, by: String) -> SourceIdentity {
        SourceIdentity {
            by,
            birth_name: self.birth_name.clone(),
            birth_given_name: self.birth_given_name.clone(),
            birth_date: self.birth_date,
            sex: self.sex,
        }
    }
}

/// How an identity that was read goes with the known one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing that is there differs.
    Same,
    /// So little differs that it may be the same person: these data, in words.
    Differs(Vec<&'static str>),
    /// Birth name and birth date both differ: another person.
    Contradicts,
}

/// Compares what is there with the known patient: names folded, dates to the coarser precision (interface.md 3).
pub fn compare(known: &Patient, read: &Traits) -> Agreement {
    let differing = read.given_by(String::new()).differs_from(known);
    if differing.birth_name && differing.birth_date {
        return Agreement::Contradicts;
    }
    let differing: Vec<&'static str> = [
        (differing.birth_name, "birth name"),
        (differing.birth_date, "date of birth"),
        (differing.sex, "sex"),
    ]
    .into_iter()
    .filter_map(|(differs, what)| differs.then_some(what))
    .collect();
    if differing.is_empty() {
        Agreement::Same
    } else {
        Agreement::Differs(differing)
    }
}

/// Compares for the flows that do not change a known patient: refuses a contradiction, warns of a difference.
///
/// Answers whether the warning `identity-mismatch` was given.
pub fn check_identity(
    known: &Patient,
    read: &Traits,
    place: impl Into<Location>,
    warnings: &mut Vec<Warning>,
) -> Result<bool, Refusal> {
    match compare(known, read) {
        Agreement::Same => Ok(false),
        Agreement::Differs(what) => {
            warnings.push(
                Warning::new(
                    WarningCode::IdentityMismatch,
                    format!(
                        "expected the identity known for {}, found another {}; the known one stays",
                        known.ipp,
                        what.join(" and ")
                    ),
                )
                .at(place),
            );
            Ok(true)
        }
        Agreement::Contradicts => Err(Refusal::new(
            Reason::IdentityMismatch,
            format!(
                "expected the patient known as {}, found another birth name and another date of birth",
                known.ipp
            ),
        )
        .at(place)),
    }
}

/// Whether this is surely the known patient: birth name, given name of the birth certificate, date of birth and sex
/// are all there and all agree. Twins share the rest (interface.md 4).
pub fn is_surely(known: &Patient, read: &Traits) -> bool {
    let given_name: Cow<'_, str> = match &known.birth_given_name {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Borrowed(&known.given_name),
    };
    read.birth_name
        .as_ref()
        .is_some_and(|read| name::same(read, &known.birth_name))
        && read
            .birth_given_name
            .as_ref()
            .is_some_and(|read| name::same(read, &given_name))
        && read
            .birth_date
            .is_some_and(|read| read.agrees_with(&known.birth_date))
        && read.sex == Some(known.sex)
}
