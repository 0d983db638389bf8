//! The national identity number (INS) that a message gives: which one counts, whether it is kept, and whose it is
//! already (interface.md 3).

use super::reliability::is_verified;
use crate::config::Facility;
use crate::hl7::{Field, Repetition, Segment};
use crate::intake::field_update::{FieldUpdate, text, word};
use crate::intake::trail::Trail;
use crate::model::identifiers::{Ins, Ipp};
use crate::model::outcome::{Location, Reason, Refusal, Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::view::{View, ViewError};

/// Reads the INS of a valid key, whether the identity is verified or not; the others are warned of.
///
/// Whether it is already another patient's is asked by [`keep_own_ins`].
pub fn ins(pid: &Segment<'_>, warnings: &mut Vec<Warning>, trail: &mut Trail) -> FieldUpdate<Ins> {
    let mut found = FieldUpdate::Absent;
    let mut all = Vec::new();
    for repetition in pid.field(3).repetitions().filter(is_ins) {
        let value = repetition.component(1);
        if value.is_delete() && found == FieldUpdate::Absent {
            found = FieldUpdate::Delete;
        }
        let Some(number) = text(&value) else { continue };
        let ins = Ins {
            value: number,
            oid: text(&repetition.component(4).subcomponent(2)).unwrap_or_default(),
        };
        let is_named = repetition.component(4).text().contains(INS_AUTHORITY);
        let rule = match is_named {
            true => "PID-3.4 contains ASIP-SANTE-INS",
            false => "PID-3.4.2 is the OID of an INS",
        };
        trail.record("ins", &ins.value, value.position(), rule);
        trail.record_field("ins_oid", &repetition.component(4).subcomponent(2), "");
        let ins = valid_ins(ins, value.position(), warnings);
        if let Some(ins) = ins {
            all.push(ins.clone());
            prefer(&mut found, ins);
        }
    }
    warn_of_other_ins(&found, &all, pid.field(3).position(), warnings);
    found
}

/// Reads the INS that is to be kept: only where the identity is verified. Another status takes the known one away.
pub fn kept_ins(
    pid: &Segment<'_>,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> FieldUpdate<Ins> {
    let said = ins(pid, warnings, trail);
    if is_verified(pid) {
        return said;
    }
    if said.as_given().is_some() {
        warnings.push(
            Warning::new(
                WarningCode::InsUnverified,
                "expected an INS with a verified identity (PID-32 VALI, neither doubtful nor fictive, and no other status), found another status or none; the INS is not kept",
            )
            .at(pid.field(32).position()),
        );
    }
    match (pid.field(32).is_empty(), said) {
        (true, FieldUpdate::Delete) | (false, _) => FieldUpdate::Delete,
        (true, FieldUpdate::Absent | FieldUpdate::Given(_)) => FieldUpdate::Absent,
    }
}

/// Keeps the known NIR where the number that waits for it is given (warning `ins-unknown`).
pub fn keep_nir(
    update: FieldUpdate<Ins>,
    known: Option<&Ins>,
    place: impl Into<Location>,
    warnings: &mut Vec<Warning>,
) -> FieldUpdate<Ins> {
    let gives_nia = update.as_given().is_some_and(Ins::is_provisional);
    let Some(nir) = known.filter(|known| gives_nia && !known.is_provisional()) else {
        return update;
    };
    warnings.push(
        Warning::new(
            WarningCode::InsUnknown,
            "expected the NIR that is known, found a NIA, which only waits for one; the NIR stays until an ADT^A47 that names it in MRG-1, or another status, takes it away",
        )
        .at(place),
    );
    FieldUpdate::Given(nir.clone())
}

/// Keeps what is said of an INS unless it is already another patient's (warning `ins-duplicate`), as `other` says.
pub fn keep_own_ins(
    update: FieldUpdate<Ins>,
    other: impl Fn(&Ins) -> Result<Option<Ipp>, ViewError>,
    warnings: &mut Vec<Warning>,
) -> Result<FieldUpdate<Ins>, ViewError> {
    let FieldUpdate::Given(ins) = &update else {
        return Ok(update);
    };
    let Some(other) = other(ins)? else {
        return Ok(update);
    };
    warnings.push(Warning::new(
        WarningCode::InsDuplicate,
        format!(
            "expected an INS that is nobody else's, found that of the patient {other}; it is not kept"
        ),
    ));
    Ok(FieldUpdate::Absent)
}

/// Whose this INS is, other than this patient's.
pub fn other_with_ins(
    ins: &Ins,
    own: &Ipp,
    view: &dyn View,
    facility: &Facility,
) -> Result<Option<Ipp>, ViewError> {
    for ipp in view.patients_with_ins(&facility.id, ins)? {
        let other = view.survivor(&facility.id, &ipp)?;
        if other != *own {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// The patients in use who have this INS, each once.
pub fn patients_with_ins(
    ins: &Ins,
    view: &dyn View,
    facility: &Facility,
) -> Result<Vec<Ipp>, ViewError> {
    let mut found = Vec::new();
    for ipp in view.patients_with_ins(&facility.id, ins)? {
        let survivor = view.survivor(&facility.id, &ipp)?;
        if !found.contains(&survivor) {
            found.push(survivor);
        }
    }
    Ok(found)
}

/// Refuses an IPP and an INS that are known as those of two patients (interface.md 6, "Patient").
pub fn check_ins_is_of(
    known: &Patient,
    with_ins: &[Ipp],
    place: impl Into<Location>,
) -> Result<(), Refusal> {
    match with_ins.is_empty() || with_ins.contains(&known.ipp) {
        true => Ok(()),
        false => Err(Refusal::new(
            Reason::IdentityMismatch,
            "expected IPP and INS of one patient, but the INS is known as another's",
        )
        .at(place)),
    }
}

/// Adds the warning `ins-unverified` where a status that is not verified took the known INS away.
pub fn warn_of_lost_ins(
    pid: &Segment<'_>,
    known: &Patient,
    changed: &Patient,
    warnings: &mut Vec<Warning>,
) {
    let names_ins = pid
        .field(3)
        .repetitions()
        .any(|repetition| is_ins(&repetition));
    let by_status = !pid.field(32).is_empty() && !is_verified(pid);
    if by_status && !names_ins && known.ins.is_some() && changed.ins.is_none() {
        warnings.push(
            Warning::new(
                WarningCode::InsUnverified,
                "expected a verified identity (PID-32 VALI) as before, found another status; the known INS is taken away",
            )
            .at(pid.field(32).position()),
        );
    }
}

/// The INS if its key is right; else it is warned of and not kept.
pub fn valid_ins(ins: Ins, place: impl Into<Location>, warnings: &mut Vec<Warning>) -> Option<Ins> {
    if ins.has_valid_key() {
        return Some(ins);
    }
    warnings.push(
        Warning::new(
            WarningCode::InsInvalid,
            "expected an INS of 15 characters that ends in its key, found another; it is not kept",
        )
        .at(place),
    );
    None
}

/// The INS of two that counts: the NIR wins over the number that is waiting for it, else the first.
pub fn prefer(found: &mut FieldUpdate<Ins>, ins: Ins) {
    if found
        .as_given()
        .is_none_or(|known| known.is_provisional() && !ins.is_provisional())
    {
        *found = FieldUpdate::Given(ins);
    }
}

/// Warns of an INS as good as the one that counts, which is another.
pub fn warn_of_other_ins(
    counts: &FieldUpdate<Ins>,
    read: &[Ins],
    place: impl Into<Location>,
    warnings: &mut Vec<Warning>,
) {
    let is_as_good = |other: &&Ins| {
        counts.as_given().is_some_and(|counts| {
            *other != counts && other.is_provisional() == counts.is_provisional()
        })
    };
    if let Some(other) = read.iter().find(is_as_good) {
        warnings.push(
            Warning::new(
                WarningCode::InsUnknown,
                format!(
                    "expected one INS, found another one, {} of {}, behind it; the first one counts, and the sender must say which is right",
                    other.value, other.oid
                ),
            )
            .at(place),
        );
    }
}

/// The numbers of INS in a list of identifiers, whether their keys are right or not.
pub fn ins_numbers(identifiers: Field<'_>) -> Vec<String> {
    identifiers
        .repetitions()
        .filter(is_ins)
        .filter_map(|repetition| text(&repetition.component(1)))
        .collect()
}

pub(super) fn is_ins(repetition: &Repetition<'_>) -> bool {
    let authority = repetition.component(4);
    authority.text().contains(INS_AUTHORITY)
        || word(&authority.subcomponent(2)).is_some_and(|oid| INS_ROOTS.contains(&&*oid))
}

/// The OIDs of an INS: NIR, NIA, test, demonstration.
pub const INS_ROOTS: [&str; 4] = [
    "1.2.250.1.213.1.4.8",
    "1.2.250.1.213.1.4.9",
    "1.2.250.1.213.1.4.10",
    "1.2.250.1.213.1.4.11",
];

/// How the authority of an INS is named in PID-3.4.
const INS_AUTHORITY: &str = "ASIP-SANTE-INS";
