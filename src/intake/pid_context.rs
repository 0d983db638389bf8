//! A patient as one PID of an ADT makes it, and what an ADT that creates, changes or merges patients tells of it
//! (interface.md 3).

use chrono::{DateTime, Utc};

use super::field_update::FieldUpdate;
use super::identity::compare::{self, Agreement};
use super::identity::ipp::IppRead;
use super::identity::{self, ins, patient};
use super::trail::Trail;
use super::{Decision, Stop, scheduling};
use crate::config::Facility;
use crate::hl7::{Message, Segment};
use crate::model::identifiers::{Ins, Ipp};
use crate::model::outcome::{Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::view::{View, ViewError};

/// What the PIDs of a message are read with.
#[derive(Clone, Copy)]
pub(super) struct PidContext<'a, 'm> {
    pub(super) message: &'a Message<'m>,
    pub(super) facility: &'a Facility,
    pub(super) view: &'a dyn View,
    pub(super) time: DateTime<Utc>,
    /// Whether the message is about one patient, so that what is not in the PID is that patient's too.
    pub(super) about_one: bool,
}

impl PidContext<'_, '_> {
    /// The patient once this PID was applied.
    pub(super) fn patient(
        &self,
        pid: &Segment<'_>,
        read: IppRead,
        known: Option<Patient>,
        other_with_ins: OtherWithIns<'_>,
        warnings: &mut Vec<Warning>,
        trail: &mut Trail,
    ) -> Result<Patient, Stop> {
        let message = self.about_one.then_some(self.message);
        let mut demographics =
            identity::demographics(pid, message, self.facility, warnings, trail)?;
        demographics.ins = ins::keep_own_ins(demographics.ins, other_with_ins, warnings)?;
        let ins_time = known.as_ref().and_then(|known| known.ins_time);
        if ins_time.is_some_and(|last| self.time < last) {
            demographics.ins = FieldUpdate::Absent;
            demographics.identity_status = FieldUpdate::Absent;
            demographics.identity_attributes = FieldUpdate::Absent;
        }
        let known_ins = known.as_ref().and_then(|known| known.ins.as_ref());
        let place = pid.field(3).position();
        demographics.ins = ins::keep_nir(demographics.ins, known_ins, place, warnings);
        let mut patient = match known {
            None => patient::new_patient(self.facility, &read, demographics, trail)?,
            Some(known) => {
                let traits = demographics.traits();
                let updated = patient::update(&known, &read, demographics)?;
                warn_of_change(compare::compare(&known, &traits), pid, &known, warnings);
                ins::warn_of_lost_ins(pid, &known, &updated, warnings);
                updated
            }
        };
        patient.demographics_time = Some(self.time);
        Ok(patient)
    }
}

/// Says whose an INS is, if it is another patient's.
pub(super) type OtherWithIns<'a> = &'a dyn Fn(&Ins) -> Result<Option<Ipp>, ViewError>;

/// Whether a later ADT was applied already; equal is not older (interface.md 9).
pub(super) fn is_stale(known: Option<&Patient>, time: DateTime<Utc>) -> bool {
    known
        .and_then(|patient| patient.demographics_time)
        .is_some_and(|last| time < last)
}

/// Tells the histories of a patient's cases where what is known agrees now with the identity that a message or document
/// gave. The doubt is not taken off the case: it is back where the known identity is changed back.
pub(super) fn record_agreements(
    view: &dyn View,
    decision: &mut Decision<'_>,
    before: &Patient,
    after: &Patient,
    by: &str,
) -> Result<(), ViewError> {
    let compared = |it: &Patient| (it.birth_name.clone(), it.birth_date, it.sex);
    if compared(before) == compared(after) {
        return Ok(());
    }
    for case in view.some_cases_of_patient(&after.facility, &after.ipp)? {
        if let Some(given) = case.identity_in_doubt(Some(before))
            && !case.is_identity_in_doubt(Some(after))
        {
            scheduling::add_history(decision, &case, given.doubt_ended(by));
        }
    }
    Ok(())
}

fn warn_of_change(
    agreement: Agreement,
    pid: &Segment<'_>,
    known: &Patient,
    warnings: &mut Vec<Warning>,
) {
    let what = match agreement {
        Agreement::Same => return,
        Agreement::Differs(what) => what.join(" and "),
        Agreement::Contradicts => "birth name and date of birth".to_owned(),
    };
    warnings.push(
        Warning::new(
            WarningCode::IdentityChanged,
            format!(
                "expected the identity known for {}, found another {what}; it was changed",
                known.ipp
            ),
        )
        .at(pid.field(5).position()),
    );
}

/// The warning that an IPP is not in use any more.
pub(super) fn merged_away(read: &IppRead, survivor: &Ipp) -> Warning {
    Warning::new(
        WarningCode::MergedIpp,
        format!(
            "expected a patient id in use, found {}, which was merged into {survivor}; its demographics are not read",
            read.ipp
        ),
    )
    .at(read.place)
}
