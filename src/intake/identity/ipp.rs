//! The facility's patient id: the choice among the identifiers of PID-3 or MRG-1 (interface.md 3).

use super::ins::is_ins;
use crate::config::Facility;
use crate::hl7::{Field, Repetition, Segment};
use crate::intake::field_update::{text, word};
use crate::intake::required::check_visible;
use crate::intake::source_location::SourceLocation;
use crate::intake::trail::Trail;
use crate::model::identifiers::Ipp;
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};
use crate::model::patient::Authority;

/// The facility's patient id as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IppRead {
    /// The id.
    pub ipp: Ipp,
    /// Who assigned it, where the message says so.
    pub authority: Option<Authority>,
    /// Whether no type said that it is the facility's: the warning `ipp-untyped` is due.
    pub untyped: bool,
    /// Whether another than the facility's authority assigned it: the warning `ipp-authority` is due.
    pub foreign: bool,
    /// Where it stands.
    pub place: SourceLocation,
}

impl IppRead {
    /// Adds the warnings `ipp-untyped` and `ipp-authority` where they are due.
    pub fn warn(&self, warnings: &mut Vec<Warning>) {
        if self.foreign {
            warnings.push(
                Warning::new(WarningCode::IppAuthority, self.other_authority()).at(self.place),
            );
        }
        if self.untyped {
            warnings.push(
                Warning::new(
                    WarningCode::IppUntyped,
                    "expected the patient id with type PI, found one without type; it was taken as the IPP",
                )
                .at(self.place),
            );
        }
    }

    /// The same id, unless the facility accepts none of another authority than its own.
    fn of_own_authority(self, facility: &Facility) -> Result<Self, Refusal> {
        match self.foreign && facility.strict_authority {
            true => Err(Refusal::new(Reason::IppAuthority, self.other_authority())
                .at(self.place)
                .with_value(self.ipp.as_str())),
            false => Ok(self),
        }
    }

    fn other_authority(&self) -> String {
        let parts = self
            .authority
            .iter()
            .flat_map(|it| [&it.namespace, &it.universal_id]);
        let parts: Vec<&str> = parts
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        format!(
            "expected a patient id assigned by the facility's ipp_authority, found one of \"{}\"",
            parts.join(" ")
        )
    }
}

/// Reads the facility's patient id from PID-3 (interface.md 3).
pub fn ipp(pid: &Segment<'_>, facility: &Facility, trail: &mut Trail) -> Result<IppRead, Refusal> {
    trail.about("patient");
    let read = read_ipp(pid.field(3), "ipp", facility, trail);
    trail.go_on(read, || no_ipp(pid.field(3)))
}

/// Reads the facility's patient id from a list of identifiers: PID-3, or MRG-1 for the one that is merged away.
///
/// Of several with type `PI`, the one counts that the facility's `ipp_authority` assigned. Without any `PI`, the only
/// one without a type counts, unless it is an INS. `name` is what the trail calls it.
pub fn read_ipp(
    identifiers: Field<'_>,
    name: &str,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<IppRead, Refusal> {
    let field = identifiers.position();
    let with_id: Vec<Repetition<'_>> = identifiers
        .repetitions()
        .filter(|repetition| word(&repetition.component(1)).is_some())
        .collect();
    let of_type = |code: Option<&str>| -> Vec<Repetition<'_>> {
        with_id
            .iter()
            .filter(|repetition| word(&repetition.component(5).simple()).as_deref() == code)
            .copied()
            .collect()
    };
    let typed = of_type(Some("PI"));
    if let Some(first) = typed.first() {
        let own: Vec<_> = match &facility.ipp_authority {
            Some(authority) if typed.len() > 1 => typed
                .iter()
                .filter(|repetition| is_assigned_by(repetition, authority))
                .copied()
                .collect(),
            _ => Vec::new(),
        };
        let candidates = if own.is_empty() { &typed } else { &own };
        let chosen = candidates.first().unwrap_or(first);
        let value = chosen.component(1).text();
        if candidates
            .iter()
            .any(|other| other.component(1).text().trim() != value.trim())
        {
            return Err(Refusal::new(
                Reason::AmbiguousIpp,
                match &facility.ipp_authority {
                    Some(authority) => format!(
                        "expected one patient id of type PI assigned by \"{authority}\", found {} that differ",
                        candidates.len()
                    ),
                    None => format!(
                        "expected one patient id of type PI, found {} that differ, and no ipp_authority says which is the facility's",
                        candidates.len()
                    ),
                },
            )
            .at(identifiers.position()));
        }
        let read = ipp_of(*chosen, false, facility).of_own_authority(facility)?;
        check_visible(read.ipp.as_str(), "patient id", read.place)?;
        let rule = match own.is_empty() {
            true => format_args!("{field}.5 = PI"),
            false => format_args!("{field}.5 = PI and {field}.4 = ipp_authority"),
        };
        trail.record(name, &read.ipp, read.place, rule);
        record_authority(name, chosen, trail);
        return Ok(read);
    }
    let untyped: Vec<_> = of_type(None)
        .into_iter()
        .filter(|repetition| !is_ins(repetition))
        .collect();
    match untyped.as_slice() {
        [only] => {
            let read = ipp_of(*only, true, facility).of_own_authority(facility)?;
            check_visible(read.ipp.as_str(), "patient id", read.place)?;
            let rule = format_args!("no {field}.5 = PI: the only id without a type");
            trail.record(name, &read.ipp, read.place, rule);
            record_authority(name, only, trail);
            Ok(read)
        }
        _ => Err(Refusal::new(
            Reason::MissingIpp,
            format!(
                "expected a patient id of type PI, or a single one without type; found {} identifiers, {} of them without type",
                with_id.len(),
                untyped.len()
            ),
        )
        .at(identifiers.position())),
    }
}

/// What stands in for a patient id that is not there.
pub fn no_ipp(identifiers: Field<'_>) -> IppRead {
    IppRead {
        ipp: Ipp::new(identifiers.position().to_string()),
        authority: None,
        untyped: false,
        foreign: false,
        place: SourceLocation::Position(identifiers.position()),
    }
}

fn ipp_of(repetition: Repetition<'_>, untyped: bool, facility: &Facility) -> IppRead {
    let id = repetition.component(1);
    let part = |number| text(&repetition.component(4).subcomponent(number)).unwrap_or_default();
    let authority = Authority {
        namespace: part(1),
        universal_id: part(2),
        universal_id_type: part(3),
    };
    IppRead {
        ipp: Ipp::new(text(&id).unwrap_or_default()),
        foreign: authority != Authority::default()
            && facility
                .ipp_authority
                .as_ref()
                .is_some_and(|own| !is_assigned_by(&repetition, own)),
        authority: (authority != Authority::default()).then_some(authority),
        untyped,
        place: SourceLocation::Position(id.position()),
    }
}

fn record_authority(name: &str, repetition: &Repetition<'_>, trail: &mut Trail) {
    trail.record_field(
        format_args!("{name}_authority"),
        &repetition.component(4),
        "",
    );
}

fn is_assigned_by(repetition: &Repetition<'_>, authority: &str) -> bool {
    [1, 2]
        .into_iter()
        .filter_map(|part| word(&repetition.component(4).subcomponent(part)))
        .any(|assigned_by| assigned_by == authority)
}
