//! A patient of one facility.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::contact::{Email, Phone};
use super::date::PartialDate;
use super::identifiers::{FacilityId, Ins, Ipp, NetworkId, Rpps};

/// A patient, known by the facility's patient id (SPEC 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// The facility that knows the patient by this IPP.
    pub facility: FacilityId,
    /// The facility's patient id.
    pub ipp: Ipp,
    /// PID-3.4 as received with the IPP: who assigned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// The national identity, if a valid one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ins: Option<Ins>,
    /// The social security number (PID-19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub social_security_number: Option<String>,
    /// The birth name.
    pub birth_name: String,
    /// The name used day by day; the birth name where no other is known.
    pub usual_name: String,
    /// The given name used day by day.
    pub given_name: String,
    /// The given name of the birth certificate (the `L` repetition of PID-5), if it was sent apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_given_name: Option<String>,
    /// M or F.
    pub sex: Sex,
    /// The date of birth, which may have only a year, or year and month.
    pub birth_date: PartialDate,
    /// The phone number, in E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// The address, whole or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The department or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkId>,
    /// PID-32 as received: whether the identity was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_status: Option<String>,
    /// The patient's physician (PV1-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physician: Option<Physician>,
    /// The time (MSH-7) of the last ADT that was applied; other flows do not move it (SPEC 9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demographics_time: Option<DateTime<Utc>>,
}

/// Somebody to whom one IPP leads, or several that merges made one.
///
/// Cases, notes and documents are kept under one of these IPPs, whichever: a merge moves what the smaller side has, and
/// a chain of merges moves nothing twice. Who reads them is told the IPP in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The IPP under which the person's things are kept.
    pub kept_under: Ipp,
    /// The IPP in use: the survivor of all merges.
    pub ipp: Ipp,
    /// How many IPPs lead here.
    pub ipps: u64,
}

impl Person {
    /// Somebody whom no merge concerns.
    pub fn alone(ipp: Ipp) -> Self {
        Self {
            kept_under: ipp.clone(),
            ipp,
            ipps: 1,
        }
    }
}

/// Who assigned an identifier: the parts of an HL7 HD.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Authority {
    /// The name in words.
    pub namespace: String,
    /// The universal id, an OID as a rule.
    #[serde(default)]
    pub universal_id: String,
    /// The kind of the universal id.
    #[serde(default)]
    pub universal_id_type: String,
}

/// The sexes that the interface accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// Male.
    M,
    /// Female.
    F,
}

impl Sex {
    /// As HL7 and the listings write it.
    pub fn code(self) -> &'static str {
        match self {
            Sex::M => "M",
            Sex::F => "F",
        }
    }
}

/// A postal address; all four parts, or there is none (SPEC 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Number and street.
    pub street: String,
    /// City.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// Country, as sent.
    pub country: String,
}

/// A physician as messages name one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physician {
    /// The national number.
    pub rpps: Rpps,
    /// Family name.
    #[serde(default)]
    pub family: Option<String>,
    /// Given name.
    #[serde(default)]
    pub given: Option<String>,
}

impl Physician {
    /// Family and given name in one, for listings; nothing where neither is known.
    pub fn name(&self) -> Option<String> {
        let parts: Vec<&str> = [self.family.as_deref(), self.given.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}
