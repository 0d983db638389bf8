//! Records that are a patient's: kept under one of the patient's IPPs, and shown under the one in use.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Pairs, PendingChanges};
use crate::model::case::Case;
use crate::model::change::Record;
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, FacilityId, Ipp};
use crate::model::note::Note;
use crate::model::view::{View, ViewError};
use crate::store::keys;

/// What is a patient's, and is kept under one of the patient's IPPs ([`crate::model::patient::PersonIpps`]).
pub trait OfPatient: DeserializeOwned {
    /// Whose it is, if that is known.
    fn whose(&self) -> Option<(&FacilityId, &Ipp)>;
    /// The case that it is in, whose patient is its own.
    fn in_case(&self) -> Option<&CaseId> {
        None
    }
    /// Changes whose it is.
    fn give_to(&mut self, ipp: Ipp);
}

impl OfPatient for Case {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, self.ipp.as_ref()?))
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = Some(ipp);
    }
}

impl OfPatient for Note {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, &self.ipp))
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = ipp;
    }
}

impl OfPatient for Document {
    fn whose(&self) -> Option<(&FacilityId, &Ipp)> {
        Some((&self.facility, &self.ipp))
    }

    fn in_case(&self) -> Option<&CaseId> {
        match &self.attached {
            AttachmentPlace::Case(case) => Some(case),
            AttachmentPlace::Note(_) => None,
        }
    }

    fn give_to(&mut self, ipp: Ipp) {
        self.ipp = ipp;
    }
}

impl<'s> PendingChanges<'s> {
    /// The case, note or document of a key.
    pub fn of_patient<T: OfPatient>(&self, key: &str) -> Result<Option<T>, ViewError> {
        let mut record: Option<T> = self.get(key)?;
        if let Some(record) = &mut record {
            self.show_ipp(record)?;
        }
        Ok(record)
    }

    /// The cases, notes or documents whose keys start with this prefix, in the order of their keys.
    pub fn all_of_patients<T: OfPatient>(&self, prefix: &str) -> Result<Vec<T>, ViewError> {
        let mut records: Vec<T> = self.all(prefix)?;
        for record in &mut records {
            self.show_ipp(record)?;
        }
        Ok(records)
    }

    /// Has a record name the IPP in use, and not the one under which it is kept; what is in a case, the case's.
    fn show_ipp(&self, record: &mut impl OfPatient) -> Result<(), ViewError> {
        let Some((facility, ipp)) = record.whose() else {
            return Ok(());
        };
        let of_case = match record.in_case() {
            Some(case) => self.get::<CaseOf>(&keys::case(facility, case))?,
            None => None,
        };
        let of_case = of_case.and_then(|case| case.ipp);
        let person = self.person(facility, of_case.as_ref().unwrap_or(ipp))?;
        if person.ipp != *ipp {
            record.give_to(person.ipp);
        }
        Ok(())
    }

    /// A record as it is stored: what is a patient's, under the IPP that the patient's things are kept under.
    pub(super) fn as_kept<'r>(&self, record: &'r Record) -> Result<Cow<'r, Record>, ViewError> {
        let whose = match record {
            Record::Case(it) => it.whose(),
            Record::Note(it) => it.whose(),
            Record::Document(it) => it.whose(),
            _ => None,
        };
        let Some((facility, ipp)) = whose else {
            return Ok(Cow::Borrowed(record));
        };
        let kept_under = self.person(facility, ipp)?.kept_under;
        if kept_under == *ipp {
            return Ok(Cow::Borrowed(record));
        }
        let mut record = record.clone();
        match &mut record {
            Record::Case(it) => it.give_to(kept_under),
            Record::Note(it) => it.give_to(kept_under),
            Record::Document(it) => it.give_to(kept_under),
            _ => {}
        }
        Ok(Cow::Owned(record))
    }

    pub(super) fn kept_under(&self, facility: &FacilityId, ipp: &Ipp) -> Result<Ipp, ViewError> {
        Ok(self.person(facility, ipp)?.kept_under)
    }

    pub(super) fn led_to<T: OfPatient>(
        &self,
        prefix: &str,
        target: impl Fn(&str) -> String,
    ) -> Result<Vec<T>, ViewError> {
        self.records_of(&self.pairs(prefix)?, target)
    }

    /// The records that these keys lead to.
    pub(super) fn records_of<T: OfPatient>(
        &self,
        pairs: &Pairs,
        target: impl Fn(&str) -> String,
    ) -> Result<Vec<T>, ViewError> {
        let mut found = Vec::with_capacity(pairs.len());
        for key in pairs.keys() {
            if let Some(record) = self.of_patient(&target(key))? {
                found.push(record);
            }
        }
        Ok(found)
    }
}

/// Whose a case is.
#[derive(Deserialize)]
struct CaseOf {
    #[serde(default)]
    ipp: Option<Ipp>,
}
