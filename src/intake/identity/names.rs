//! The names of PID-5: which repetition counts, and all given names to be compared (interface.md 3).

use std::borrow::Cow;

use crate::hl7::{Field, Position, Repetition, Segment};
use crate::intake::field_update::word;
use crate::intake::source_location::SourceLocation;
use crate::model::name::{self, GivenNames};
use crate::model::outcome::{Reason, Refusal};
use crate::model::patient::Patient;

/// The repetitions of PID-5 that count.
pub(super) struct Pid5Names<'a> {
    field: Field<'a>,
    /// Of type `L`, the name of the birth certificate; else the only one without a type.
    pub(super) legal: Option<Repetition<'a>>,
    /// Why that is the legal one.
    pub(super) rule: &'static str,
    /// Of type `D`, the name used day by day.
    pub(super) display: Option<Repetition<'a>>,
    /// Where a family name stands that is another than the one before it of the same type.
    another: Option<Position>,
}

impl<'a> Pid5Names<'a> {
    pub(super) fn of(pid: &Segment<'a>) -> Self {
        let field = pid.field(5);
        let said = field.repetitions();
        let said = said.filter(|name| !name.is_empty() && !name.is_delete());
        let named: Vec<(Option<Cow<'_, str>>, Repetition<'_>)> = said
            .map(|name| (word(&name.component(7).simple()), name))
            .collect();
        let of_type = |code: Option<&'static str>| {
            let of_it = named.iter().filter(move |(it, _)| it.as_deref() == code);
            of_it.map(|(_, name)| *name)
        };
        let another = ["L", "D"].into_iter().find_map(|code| {
            let mut names = of_type(Some(code)).map(|name| name.component(1));
            let (first, mut others) = (names.next()?, names.peekable());
            others.peek()?;
            let first = word(&first.family_name())?;
            others.find_map(|other| {
                let family = word(&other.family_name())?;
                (!name::same_letters(&first, &family)).then(|| other.position())
            })
        });
        let (legal, rule) = match of_type(Some("L")).next() {
            Some(legal) => (Some(legal), "PID-5.7 = L"),
            None => {
                let mut untyped = of_type(None);
                match (untyped.next(), untyped.next()) {
                    (Some(only), None) => {
                        (Some(only), "no PID-5.7 = L: the only name without a type")
                    }
                    _ => (None, ""),
                }
            }
        };
        let display = of_type(Some("D")).next();
        Self {
            field,
            legal,
            rule,
            display,
            another,
        }
    }

    /// Refuses names of which nobody can tell which one is the patient's.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.another {
            None => Ok(()),
            Some(place) => Err(Refusal::new(
                Reason::Malformed,
                "expected one birth name (type L) and one usual name (type D), found another one of the same type behind it",
            )
            .at(place)),
        }
    }

    pub(super) fn place_of(&self, component: u32) -> SourceLocation {
        let name = self.legal.unwrap_or_else(|| self.field.repetition(1));
        SourceLocation::Position(name.component(component).position())
    }
}

/// The rule by which a name of PID-5 is the one used day by day.
pub(super) const DISPLAY: &str = "PID-5.7 = D";

/// All given names of a PID, to be compared.
pub fn given_names(pid: &Segment<'_>) -> GivenNames {
    let mut names = GivenNames::default();
    for name in pid.field(5).repetitions() {
        for (component, leads) in [(2, true), (3, false)] {
            if let Some(given) = word(&name.component(component)) {
                names.add(&given, leads);
            }
        }
    }
    names
}

/// The given names of a known patient, to be compared.
pub fn known_given_names(known: &Patient) -> GivenNames {
    let mut names = GivenNames::default();
    for given in known.birth_given_name.iter().chain([&known.given_name]) {
        names.add(given, true);
    }
    names
}
