//! The HL7 message that carries a report's PDF: `MDM^T02` or `ORU^R01` (interface.md 8).
//!
//! The PDF may be large, so the message is made as an [`Envelope`]: the text before and after the
//! base64 of the PDF. [`super::batch`] puts the PDF in between while it writes.

use chrono::{DateTime, NaiveDate, Utc};

use crate::config::{Facility, Format, Hl7Version, LeadField};
use crate::hl7::{self, Builder, ComponentValue, SegmentBuilder};
use crate::model::country;
use crate::model::identifiers::{CaseId, ContentHash, DocumentId, FacilityId};
use crate::model::name;
use crate::model::patient::{Patient, Physician, PhysicianNumber};

/// Stands where the base64 goes. It can stand nowhere else: text with it in is escaped.
const PDF: &str = "\u{1}";

/// Everything that the message says about a report.
#[derive(Debug, Clone)]
pub struct ReportMessage<'a> {
    /// Whom it goes to, and how that facility wants its reports.
    pub facility: &'a Facility,
    /// Whose report it is.
    pub patient: &'a Patient,
    /// OBR-2 of an ORU.
    pub case: &'a CaseId,
    /// PV1-7, and OBR-16 in an ORU.
    pub submitter: Option<&'a Physician>,
    /// The session's lead physician, else the case's.
    pub lead: Option<&'a Physician>,
    /// TXA-13.3 or OBR-4.2.
    pub session_label: &'a str,
    /// TXA-12.3 or OBR-3.1: the same for all versions of the report.
    pub document_id: &'a DocumentId,
    /// The number of the report, from 1 per facility: a part of MSH-10.
    pub number: u64,
    /// The version of the report: a part of MSH-10.
    pub version: u32,
    /// The time of this version's `complete`, or of the message that renewed it.
    pub time: DateTime<Utc>,
    /// Whether somebody validated this version, as TXA-17 says.
    pub is_validated: bool,
    /// TXA-16, OBX-3.2 and OBX-5.1, see [`file_name`].
    pub file_name: &'a str,
}

/// The text of a message before and after the base64 of its PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// From `MSH` up to and including the separator before the base64.
    pub prefix: String,
    /// From the separator after the base64 to the last segment end.
    pub suffix: String,
}

impl Envelope {
    /// A message that carries no PDF.
    pub fn without_pdf(message: String) -> Self {
        Self {
            prefix: message,
            suffix: String::new(),
        }
    }
}

/// The message of a report, without its PDF.
pub fn envelope(message: &ReportMessage<'_>) -> Envelope {
    let time = hl7::time::write(message.time, message.facility.timezone);
    let built = match message.facility.reports.format {
        Format::MdmT02 => mdm(message, &time),
        Format::OruR01 => oru(message, &time),
    };
    let text = built.segment(pdf(message, &time)).finish();
    let (prefix, suffix) = text.split_once(PDF).unwrap_or((&text, ""));
    Envelope {
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    }
}

/// The message that withdraws a version of a report: `MDM^T11`, whose TXA-19 is `CA` and TXA-21 the reason; or an
/// `ORU^R01` whose OBR-25 is `X` and OBX-11 `D`, with the reason as NTE.
pub fn withdrawal(message: &ReportMessage<'_>, reason: &str) -> String {
    let time = &hl7::time::write(message.time, message.facility.timezone);
    let version = format!("{}w", message.version);
    let builder = Builder::new();
    let built = match message.facility.reports.format {
        Format::MdmT02 => builder
            .segment(header(message, time, &["MDM", "T11", "MDM_T01"], &version))
            .segment(SegmentBuilder::new("EVN").field(1, "T11").field(2, time))
            .segment(patient(message))
            .segment(with_lead(message, visit(message), "PV1"))
            .segment(with_lead(
                message,
                document(message, time, "CA").field(21, reason),
                "TXA",
            )),
        Format::OruR01 => builder
            .segment(header(message, time, &["ORU", "R01", "ORU_R01"], &version))
            .segment(patient(message))
            .segment(visit(message))
            .segment(order(message, time, "X"))
            .segment(
                SegmentBuilder::new("OBX")
                    .field(1, "1")
                    .field(2, "ED")
                    .components(3, &["CR", message.file_name])
                    .field(11, "D")
                    .field(14, time),
            )
            .segment(SegmentBuilder::new("NTE").field(1, "1").field(3, reason)),
    };
    built.finish()
}

/// A segment with the lead physician, where that is its place.
fn with_lead(message: &ReportMessage<'_>, built: SegmentBuilder, name: &str) -> SegmentBuilder {
    match message.facility.reports.lead {
        LeadField::At { segment, field } if segment == name => {
            physician(built, field, message.lead)
        }
        LeadField::At { .. } | LeadField::Off => built,
    }
}

fn mdm(message: &ReportMessage<'_>, time: &str) -> Builder {
    let version = message.version.to_string();
    Builder::new()
        .segment(header(message, time, &["MDM", "T02", "MDM_T02"], &version))
        .segment(SegmentBuilder::new("EVN").field(1, "T02").field(2, time))
        .segment(patient(message))
        .segment(with_lead(message, visit(message), "PV1"))
        .segment(with_lead(message, document(message, time, "AV"), "TXA"))
}

fn oru(message: &ReportMessage<'_>, time: &str) -> Builder {
    let version = message.version.to_string();
    Builder::new()
        .segment(header(message, time, &["ORU", "R01", "ORU_R01"], &version))
        .segment(patient(message))
        .segment(visit(message))
        .segment(order(message, time, "F"))
}

/// MSH-10 has at most so many characters (HL7 v2.5, 2.15.9.10).
const LONGEST_CONTROL_ID: usize = 20;
/// The digits of a number whose base is a power of two.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The control id of a message about a report: `<facility>-<number>-<version>` where MSH-10 has room for that, else
/// `R` and 95 bits of its hash: short enough, the same whenever it is made, and nobody else's.
fn control_id(facility: &FacilityId, number: u64, version: &str) -> String {
    let whole = format!("{facility}-{number}-{version}");
    if whole.chars().count() <= LONGEST_CONTROL_ID {
        return whole;
    }
    let hash = ContentHash::of(whole.as_bytes());
    let bits = hash.as_str().get(..24).unwrap_or_default();
    let bits = u128::from_str_radix(bits, 16).unwrap_or_default();
    let digit = |place: usize| {
        let value = (bits >> (5 * place)) & 31;
        let digit = usize::try_from(value).ok().and_then(|it| DIGITS.get(it));
        digit.copied().map_or('0', char::from)
    };
    let digits = (0..LONGEST_CONTROL_ID - 1).map(digit);
    std::iter::once('R').chain(digits).collect()
}

/// MSH-17 to 19 say France, UTF-8 and, as the documentation's sample, `FRA` for the language.
fn header(
    message: &ReportMessage<'_>,
    time: &str,
    message_type: &[&str],
    version: &str,
) -> SegmentBuilder {
    let facility = message.facility;
    let control_id = control_id(&facility.id, message.number, version);
    SegmentBuilder::new("MSH")
        .field(3, &facility.reports.sending_application)
        .field(4, &facility.reports.sending_facility)
        .field(5, &facility.receiving_application)
        .field(6, &facility.receiving_facility)
        .field(7, time)
        .components(9, message_type)
        .field(10, &control_id)
        .field(11, "P")
        .field(
            12,
            match facility.reports.version {
                Hl7Version::V2_5 => "2.5",
                Hl7Version::V2_7 => "2.7",
            },
        )
        .field(17, "FRA")
        .field(18, "UTF-8")
        .field(19, "FRA")
}

/// Address and phone that are not known are written as in the documentation's sample.
fn patient(message: &ReportMessage<'_>) -> SegmentBuilder {
    let patient = message.patient;
    let own = message.facility.ipp_authority.as_deref();
    let authority = match &patient.authority {
        Some(received) => [
            received.namespace.as_str(),
            &received.universal_id,
            &received.universal_id_type,
        ],
        None => [own.unwrap_or_default(), "", ""],
    };
    let segment = SegmentBuilder::new("PID")
        .field(1, "1")
        .parts(
            3,
            &[
                patient.ipp.as_str().into(),
                "".into(),
                "".into(),
                ComponentValue::Subcomponents(&authority),
                "PI".into(),
            ],
        )
        .components(5, &[&patient.birth_name, &patient.given_name])
        .field(7, &patient.birth_date.hl7())
        .field(8, patient.sex.code());
    let segment = match &patient.address {
        Some(it) => segment.components(
            11,
            &[
                &it.street,
                it.complement.as_deref().unwrap_or_default(),
                &it.city,
                "",
                &it.postal_code,
                country::code(&it.country).unwrap_or(&it.country),
            ],
        ),
        None => segment.parts(11, &[ComponentValue::Raw("^^^^^")]),
    };
    let segment = match &patient.phone {
        Some(phone) => segment.components(13, &[phone.as_str(), "PRN", "CP"]),
        None => segment.parts(13, &[ComponentValue::Raw("^^^")]),
    };
    // `NC`: not communicated.
    let number = patient.social_security_number.as_deref();
    segment.field(19, number.unwrap_or("NC")).up_to(23)
}

fn visit(message: &ReportMessage<'_>) -> SegmentBuilder {
    let segment = SegmentBuilder::new("PV1").field(1, "1").field(2, "O");
    physician(segment, 7, message.submitter).up_to(7)
}

fn document(message: &ReportMessage<'_>, time: &str, availability: &str) -> SegmentBuilder {
    let namespace = &message.facility.reports.sending_application;
    let id = message.document_id.as_str();
    SegmentBuilder::new("TXA")
        .field(1, "1")
        .field(2, "CR")
        .field(3, "PDF")
        .field(4, time)
        .field(6, time)
        .field(7, time)
        .field(8, time)
        .components(12, &["FRCP_ID", namespace, id, "UIID"])
        .components(13, &["RCP_NAME", namespace, message.session_label, "L"])
        .field(16, message.file_name)
        // HL7 table 0271: authenticated, or documented and no more.
        .field(17, if message.is_validated { "AU" } else { "DO" })
        .field(19, availability)
}

fn order(message: &ReportMessage<'_>, time: &str, status: &str) -> SegmentBuilder {
    let namespace = &message.facility.reports.sending_application;
    let segment = SegmentBuilder::new("OBR")
        .field(1, "1")
        .field(2, message.case.as_str())
        .components(3, &[message.document_id.as_str(), namespace])
        .components(4, &["FRCP", message.session_label])
        .field(7, time)
        .field(25, status);
    let segment = physician(segment, 16, message.submitter);
    let is_wanted = message.facility.reports.lead != LeadField::Off;
    match message.lead.filter(|_| is_wanted) {
        // NDL (HL7 v2.5, 2.A.47), whose first component holds the person in subcomponents.
        Some(lead) => {
            let (family, given) = names(lead);
            let (number, _) = number(lead);
            let [namespace, oid, kind] = match lead.known_rpps() {
                Some(_) => RPPS_AUTHORITY,
                None => [""; 3],
            };
            let person = [
                number, family, given, "", "", "", "", "", namespace, oid, kind,
            ];
            segment.parts(32, &[ComponentValue::Subcomponents(&person)])
        }
        None => segment.up_to(32),
    }
}

fn pdf(message: &ReportMessage<'_>, time: &str) -> SegmentBuilder {
    let name = message.file_name;
    SegmentBuilder::new("OBX")
        .field(1, "1")
        .field(2, "ED")
        .components(3, &["CR", name])
        .parts(
            5,
            &[
                name.into(),
                "".into(),
                "CR".into(),
                "Base64".into(),
                ComponentValue::Raw(PDF),
            ],
        )
        .field(11, "F")
        .field(14, time)
}

/// The authority of RPPS numbers, as the CI-SIS writes it.
const RPPS_AUTHORITY: [&str; 3] = ["ASIP-SANTE-PS", "1.2.250.1.71.4.2.1", "ISO"];

/// XCN (HL7 v2.5, 2.A.88); nothing for nobody.
fn physician(segment: SegmentBuilder, field: u32, physician: Option<&Physician>) -> SegmentBuilder {
    let Some(physician) = physician else {
        return segment;
    };
    let (family, given) = names(physician);
    let (number, kind) = number(physician);
    let empty = ComponentValue::Text("");
    let parts = [
        number.into(),
        family.into(),
        given.into(),
        empty,
        empty,
        empty,
        empty,
        empty,
        match physician.known_rpps() {
            Some(_) => ComponentValue::Subcomponents(&RPPS_AUTHORITY),
            None => empty,
        },
        "D".into(),
        empty,
        empty,
        kind.into(),
    ];
    segment.parts(field, &parts)
}

/// The number, and what it is: the authority of RPPS numbers goes with no other.
fn number(physician: &Physician) -> (&str, &str) {
    match &physician.number {
        Some(PhysicianNumber::Rpps(rpps)) => (rpps.as_str(), "RPPS"),
        Some(PhysicianNumber::Other(other)) => (&other.value, &other.kind),
        None => ("", ""),
    }
}

fn names(physician: &Physician) -> (&str, &str) {
    (
        physician.family.as_deref().unwrap_or_default(),
        physician.given.as_deref().unwrap_or_default(),
    )
}

/// A birth name is cut to so many letters in the name of a file: the whole is one that every system takes.
const LONGEST_NAME: usize = 150;

/// The report's file name: `rcp_questionnaire_<BIRTH NAME>-<first letter of the given
/// name>_<ddmmyyyy>.pdf`, the date being that of the `complete` (interface.md 8).
pub fn file_name(birth_name: &str, given_name: &str, completed: NaiveDate) -> String {
    let given = name::ascii_upper(given_name);
    let initial = given.chars().find(char::is_ascii_alphabetic);
    let mut birth_name = name::ascii_upper(birth_name);
    birth_name.truncate(LONGEST_NAME);
    format!(
        "rcp_questionnaire_{}-{}_{}.pdf",
        birth_name,
        initial.unwrap_or('-'),
        completed.format("%d%m%Y")
    )
}

#[cfg(test)]
mod tests;
