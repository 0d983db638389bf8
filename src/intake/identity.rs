//! Whom a message is about: the PID read into typed data, and compared with what is known (interface.md 3).
//!
//! A datum is said, erased, or not said at all ([`FieldUpdate`]). Reading refuses what would not be a patient; creating and
//! updating one, and comparing two, work on what was read, so that a CDA and a PID are treated alike.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};

use super::Context;
use super::trail::Trail;
use crate::config::Facility;
use crate::hl7::{Field, Message, Position, Repetition, Segment, Timestamp, Value};
use crate::model::case::SourceIdentity;
use crate::model::contact::{Email, Phone};
use crate::model::date::PartialDate;
use crate::model::identifiers::{Ins, Ipp, NetworkId, Rpps};
use crate::model::name::{self, GivenNames};
use crate::model::outcome::{Location, Reason, Refusal, Warning, WarningCode};
use crate::model::patient::{
    Address, Authority, OtherNumber, Patient, Physician, PhysicianNumber, Sex,
};
use crate::model::view::{View, ViewError};

/// How the authority of an INS is named in PID-3.4.
const INS_AUTHORITY: &str = "ASIP-SANTE-INS";

/// The OIDs of an INS: NIR, NIA, test, demonstration.
pub const INS_ROOTS: [&str; 4] = [
    "1.2.250.1.213.1.4.8",
    "1.2.250.1.213.1.4.9",
    "1.2.250.1.213.1.4.10",
    "1.2.250.1.213.1.4.11",
];

/// What a message says about one datum (interface.md 2): `""` erases, an empty field says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FieldUpdate<T> {
    /// Nothing: what is known stays.
    #[default]
    Absent,
    /// `""`: what is known is erased.
    Delete,
    /// A value.
    Given(T),
}

impl<T> FieldUpdate<T> {
    /// The value, if one is given.
    pub fn given(self) -> Option<T> {
        match self {
            FieldUpdate::Given(value) => Some(value),
            FieldUpdate::Absent | FieldUpdate::Delete => None,
        }
    }

    /// The value, if one is given.
    pub fn as_given(&self) -> Option<&T> {
        match self {
            FieldUpdate::Given(value) => Some(value),
            FieldUpdate::Absent | FieldUpdate::Delete => None,
        }
    }

    /// What is known once this was said.
    pub fn over(self, known: Option<T>) -> Option<T> {
        match self {
            FieldUpdate::Absent => known,
            FieldUpdate::Delete => None,
            FieldUpdate::Given(value) => Some(value),
        }
    }

    /// The same of a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> FieldUpdate<U> {
        match self {
            FieldUpdate::Absent => FieldUpdate::Absent,
            FieldUpdate::Delete => FieldUpdate::Delete,
            FieldUpdate::Given(value) => FieldUpdate::Given(make(value)),
        }
    }
}

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

/// Where a datum stands; written out as a [`Location`] only where it must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceLocation {
    /// In an HL7 message.
    Position(Position),
    /// In a CDA: the path of the element.
    Element(&'static str),
}

impl From<SourceLocation> for Location {
    fn from(at: SourceLocation) -> Self {
        match at {
            SourceLocation::Position(position) => position.into(),
            SourceLocation::Element(path) => Location::named(path),
        }
    }
}

/// Where the required data stand in the message, for refusals that name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredPlaces {
    /// Of the given name.
    pub given_name: SourceLocation,
    /// Of the birth name.
    pub birth_name: SourceLocation,
    /// Of the sex.
    pub sex: SourceLocation,
    /// Of the date of birth.
    pub birth_date: SourceLocation,
}

/// What a message says about a patient, besides the ids of the facility (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demographics {
    /// The INS with its OID; only one with a valid key gets here.
    pub ins: FieldUpdate<Ins>,
    /// The social security number.
    pub social_security_number: FieldUpdate<String>,
    /// The given name used day by day, where it is said apart from that of the birth certificate.
    pub given_name: FieldUpdate<String>,
    /// The given name of the birth certificate.
    pub birth_given_name: FieldUpdate<String>,
    /// The birth name.
    pub birth_name: FieldUpdate<String>,
    /// The name used day by day, where it is said apart from the birth name.
    pub usual_name: FieldUpdate<String>,
    /// The sex.
    pub sex: FieldUpdate<Sex>,
    /// The date of birth.
    pub birth_date: FieldUpdate<PartialDate>,
    /// The phone number.
    pub phone: FieldUpdate<Phone>,
    /// The e-mail address.
    pub email: FieldUpdate<Email>,
    /// The address, whole.
    pub address: FieldUpdate<Address>,
    /// Whether the identity was verified.
    pub identity_status: FieldUpdate<String>,
    /// What else is said about the identity.
    pub identity_attributes: FieldUpdate<Vec<String>>,
    /// The department or service.
    pub network: FieldUpdate<NetworkId>,
    /// The patient's physician.
    pub physician: FieldUpdate<Physician>,
    /// Where what is required stands.
    pub places: RequiredPlaces,
}

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

impl Demographics {
    /// What of it is compared.
    pub fn traits(&self) -> Traits {
        Traits {
            birth_name: self.birth_name.as_given().cloned(),
            birth_given_name: self.birth_given_name.as_given().cloned(),
            birth_date: self.birth_date.as_given().copied(),
            sex: self.sex.as_given().copied(),
        }
    }
}

impl From<Position> for Location {
    fn from(position: Position) -> Self {
        Self {
            shown: position.to_string(),
            erl: Some(position.erl()),
        }
    }
}

/// The text of a value without the white space around it; none where nothing is said or it is erased.
pub fn text(value: &Value<'_>) -> Option<String> {
    word(value).map(Cow::into_owned)
}

/// The same, to be compared: borrowed from the message where it stands there as it is.
pub fn word<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    if value.is_empty() || value.is_delete() {
        return None;
    }
    let word = match value.text_of_entities() {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    (!word.is_empty()).then_some(word)
}

/// What a field or component says, as text.
pub fn field_update(value: &Value<'_>) -> FieldUpdate<String> {
    if value.is_delete() {
        return FieldUpdate::Delete;
    }
    text(value).map_or(FieldUpdate::Absent, FieldUpdate::Given)
}

/// When the message was made (MSH-7), by which messages are ordered (interface.md 9).
pub fn message_time(
    message: &Message<'_>,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<DateTime<Utc>, Refusal> {
    trail.about("message");
    let time = read_message_time(message, context, trail);
    trail.go_on(time, || DateTime::UNIX_EPOCH)
}

/// Refuses a time that is too far ahead of ours: all that comes later with a right one would count as older.
pub fn check_time(
    time: DateTime<Utc>,
    context: &Context<'_>,
    place: impl Into<Location>,
) -> Result<DateTime<Utc>, Refusal> {
    let latest = TimeDelta::from_std(context.future)
        .ok()
        .and_then(|future| context.now.checked_add_signed(future));
    if latest.is_none_or(|latest| time <= latest) {
        return Ok(time);
    }
    let shown = |time: DateTime<Utc>| {
        let local = time.with_timezone(&context.facility.timezone);
        local.format("%Y-%m-%d %H:%M:%S %:z").to_string()
    };
    let (sent, ours) = (shown(time), shown(context.now));
    Err(Refusal::new(
        Reason::FutureTime,
        format!(
            "expected a time that is not ahead of ours by more than intake.future allows, found {sent}, while our clock says {ours}"
        ),
    )
    .at(place)
    .with_value(&sent))
}

/// The warning that a date and time is not written as HL7 writes it, where this one is not.
pub fn untidy_time(text: &str, place: impl Into<Location>) -> Option<Warning> {
    let read = Timestamp::parse(text).ok()?;
    read.is_untidy().then(|| {
        Warning::new(
            WarningCode::TimeUntidy,
            format!(
                "expected a date and time such as 20240306111154 or 20240306111154.637, found another form of one; it was read as {}",
                read.written()
            ),
        )
        .at(place)
    })
}

fn read_message_time(
    message: &Message<'_>,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<DateTime<Utc>, Refusal> {
    let value = message.header().field(7).component(1);
    let Some(text) = text(&value) else {
        return Err(Refusal::new(
            Reason::MissingField,
            "expected the time of the message, by which older ones are told, found nothing",
        )
        .at(message.header().field(7).position()));
    };
    let time = Timestamp::parse(&text)
        .map(|time| time.instant(context.facility.timezone))
        .map_err(|error| {
            Refusal::new(Reason::InvalidDate, error.to_string())
                .at(value.position())
                .with_value(&text)
        });
    let time = time.and_then(|time| check_time(time, context, value.position()));
    trail.read("message_time", &time, &text, value.position(), "");
    time
}

/// The first segment of this name, which the flow needs.
pub fn required_segment<'m>(
    message: &Message<'m>,
    name: &str,
    trail: &mut Trail,
) -> Result<Segment<'m>, Refusal> {
    let segment = message.first(name).ok_or_else(|| {
        Refusal::new(
            Reason::MissingSegment,
            format!("expected a segment {name}, found none"),
        )
        .at(Position::of_segment(name))
    });
    trail.go_on(segment, || message.absent(name))
}

/// The text of a value that is required: `what` in words, `name` and `rule` for the trail.
pub fn required_text(
    value: &Value<'_>,
    what: &str,
    name: &str,
    rule: &str,
    trail: &mut Trail,
) -> Result<String, Refusal> {
    let text = trail
        .record_field(name, value, rule)
        .given()
        .ok_or_else(|| {
            Refusal::new(
                Reason::MissingField,
                format!("expected the {what}, found nothing"),
            )
            .at(value.position())
        });
    trail.go_on(text, String::new)
}

/// Reads the facility's patient id from PID-3 (interface.md 3).
pub fn ipp(pid: &Segment<'_>, facility: &Facility, trail: &mut Trail) -> Result<IppRead, Refusal> {
    trail.about("patient");
    let read = read_ipp(pid.field(3), "ipp", facility, trail);
    trail.go_on(read, || no_ipp(pid.field(3)))
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

/// What stands in for a physician who is not there.
pub fn nobody() -> Physician {
    Physician::default()
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

fn is_ins(repetition: &Repetition<'_>) -> bool {
    let authority = repetition.component(4);
    authority.text().contains(INS_AUTHORITY)
        || word(&authority.subcomponent(2)).is_some_and(|oid| INS_ROOTS.contains(&&*oid))
}

/// The codes of PID-32 that are a status.
const STATUSES: [&str; 4] = ["VALI", "PROV", "VIDE", "INVA"];

/// What PID-32 says about the identity: its status, and what else (HL7 table 0445, French values).
pub fn reliability(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> (FieldUpdate<String>, FieldUpdate<Vec<String>>) {
    let field = pid.field(32);
    if field.is_delete() {
        trail.record_field("identity_status", &field, "");
        return (FieldUpdate::Delete, FieldUpdate::Delete);
    }
    let codes: Vec<(String, Position)> = field
        .repetitions()
        .filter_map(|code| Some((text(&code.simple())?, code.component(1).position())))
        .collect();
    let is_status = |code: &str| STATUSES.iter().any(|own| own.eq_ignore_ascii_case(code));
    let status = codes.iter().position(|(code, _)| is_status(code));
    let status = status.unwrap_or_default();
    let Some((code, place)) = codes.get(status) else {
        return (FieldUpdate::Absent, FieldUpdate::Absent);
    };
    trail.record("identity_status", code, *place, "");
    let mut attributes: Vec<String> = Vec::new();
    for (number, (attribute, place)) in codes.iter().enumerate() {
        if number != status && !attributes.contains(attribute) {
            trail.record("identity_attribute", attribute, *place, "");
            attributes.push(attribute.clone());
        }
    }
    (
        FieldUpdate::Given(code.clone()),
        FieldUpdate::Given(attributes),
    )
}

/// Whether PID-32 says that the identity is verified; one that is doubtful or fictive, or has another status too, never
/// is.
pub fn is_verified(pid: &Segment<'_>) -> bool {
    let field = pid.field(32);
    let has = |wanted: &str| {
        field
            .repetitions()
            .any(|code| word(&code.simple()).is_some_and(|code| code.eq_ignore_ascii_case(wanted)))
    };
    let others = STATUSES.into_iter().filter(|status| *status != "VALI");
    has("VALI") && !others.chain(["DOUT", "FICT"]).any(has)
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

/// The numbers of INS in a list of identifiers, whether their keys are right or not.
pub fn ins_numbers(identifiers: Field<'_>) -> Vec<String> {
    identifiers
        .repetitions()
        .filter(is_ins)
        .filter_map(|repetition| text(&repetition.component(1)))
        .collect()
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

/// Reads everything that a PID says about a patient, and what the message says at the configured positions where all of
/// it is about this patient.
pub fn demographics(
    pid: &Segment<'_>,
    message: Option<&Message<'_>>,
    facility: &Facility,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Demographics, Refusal> {
    trail.about("patient");
    let names = Pid5Names::of(pid);
    trail.go_on(names.check(), || ())?;
    let legal = |component| names.legal.map(|name| name.component(component));
    let display = |component| names.display.map(|name| name.component(component));
    let said_in = |value: Option<Value<'_>>, name: &str, rule: &str, trail: &mut Trail| {
        value.map_or(FieldUpdate::Absent, |value| {
            trail.record_field(name, &value, rule)
        })
    };
    // PID-5 as a whole, erased, erases both names.
    let erased = |said: FieldUpdate<String>| match said {
        FieldUpdate::Absent if pid.field(5).is_delete() => FieldUpdate::Delete,
        said => said,
    };
    let ins = kept_ins(pid, warnings, trail);
    let (identity_status, identity_attributes) = reliability(pid, trail);
    let social_security_number =
        trail.record_field("social_security_number", &pid.field(19).component(1), "");
    let given_name = said_in(display(2).map(Into::into), "given_name", DISPLAY, trail);
    if let (FieldUpdate::Absent, Some(name)) = (&given_name, legal(2)) {
        trail.record_field(
            "given_name",
            &name,
            "no PID-5.7 = D: that of the birth name",
        );
    }
    let birth_given_name = erased(said_in(
        legal(2).map(Into::into),
        "birth_given_name",
        names.rule,
        trail,
    ));
    let birth_name = erased(said_in(
        legal(1).map(|name| name.family_name()),
        "birth_name",
        names.rule,
        trail,
    ));
    let usual_name = said_in(
        display(1).map(|name| name.family_name()),
        "usual_name",
        DISPLAY,
        trail,
    );
    if let (FieldUpdate::Absent, Some(name)) = (&usual_name, legal(1)) {
        trail.record_field(
            "usual_name",
            &name.family_name(),
            "no PID-5.7 = D: the birth name",
        );
    }
    Ok(Demographics {
        ins,
        social_security_number,
        given_name,
        birth_given_name,
        birth_name,
        usual_name,
        sex: sex(pid, trail)?,
        birth_date: birth_date(pid, trail)?,
        phone: phone(pid.field(13), &facility.region, trail)?,
        email: email(pid.field(13), trail)?,
        address: address(pid.field(11), warnings, trail),
        identity_status,
        identity_attributes,
        network: message
            .and_then(|message| message.get(&facility.fields.network))
            .map_or(FieldUpdate::Absent, |value| {
                trail
                    .record_field("network", &value.identifier(), "fields.network")
                    .map(NetworkId::new)
            }),
        physician: message
            .and_then(|message| message.get(&facility.fields.physician))
            .map_or(FieldUpdate::Absent, |value| {
                if value.is_delete() {
                    return FieldUpdate::Delete;
                }
                let physician = physician(value.as_repetitions(), "physician", warnings, trail);
                if let Some(OtherNumber { kind, .. }) =
                    physician.as_ref().and_then(Physician::other_number)
                    && kind.is_empty()
                {
                    warn_of_no_rpps(value.position(), warnings);
                }
                physician.map_or(FieldUpdate::Absent, FieldUpdate::Given)
            }),
        places: RequiredPlaces {
            given_name: names.place_of(2),
            birth_name: names.place_of(1),
            sex: SourceLocation::Position(pid.field(8).component(1).position()),
            birth_date: SourceLocation::Position(pid.field(7).component(1).position()),
        },
    })
}

/// Reads only what is compared, and refuses nothing: what cannot be read is not there.
pub fn traits(pid: &Segment<'_>, trail: &mut Trail) -> Traits {
    trail.about("patient");
    let names = Pid5Names::of(pid);
    let mut of_legal = |name: &str, value: Option<Value<'_>>| {
        let said = value.map(|value| trail.record_field(name, &value, names.rule));
        said.and_then(FieldUpdate::given)
    };
    let birth_name = of_legal(
        "birth_name",
        names.legal.map(|name| name.component(1).family_name()),
    );
    let birth_given_name = of_legal(
        "birth_given_name",
        names.legal.map(|name| name.component(2).into()),
    );
    Traits {
        birth_name,
        birth_given_name,
        birth_date: read_birth_date_of(pid, trail)
            .ok()
            .and_then(FieldUpdate::given),
        sex: read_sex_of(pid, trail).ok().and_then(FieldUpdate::given),
    }
}

/// The rule by which a name of PID-5 is the one used day by day.
const DISPLAY: &str = "PID-5.7 = D";

/// The repetitions of PID-5 that count.
struct Pid5Names<'a> {
    field: Field<'a>,
    /// Of type `L`, the name of the birth certificate; else the only one without a type.
    legal: Option<Repetition<'a>>,
    /// Why that is the legal one.
    rule: &'static str,
    /// Of type `D`, the name used day by day.
    display: Option<Repetition<'a>>,
    /// Where a family name stands that is another than the one before it of the same type.
    another: Option<Position>,
}

impl<'a> Pid5Names<'a> {
    fn of(pid: &Segment<'a>) -> Self {
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
    fn check(&self) -> Result<(), Refusal> {
        match self.another {
            None => Ok(()),
            Some(place) => Err(Refusal::new(
                Reason::Malformed,
                "expected one birth name (type L) and one usual name (type D), found another one of the same type behind it",
            )
            .at(place)),
        }
    }

    fn place_of(&self, component: u32) -> SourceLocation {
        let name = self.legal.unwrap_or_else(|| self.field.repetition(1));
        SourceLocation::Position(name.component(component).position())
    }
}

fn sex(pid: &Segment<'_>, trail: &mut Trail) -> Result<FieldUpdate<Sex>, Refusal> {
    let sex = read_sex_of(pid, trail);
    trail.go_on(sex, FieldUpdate::default)
}

fn read_sex_of(pid: &Segment<'_>, trail: &mut Trail) -> Result<FieldUpdate<Sex>, Refusal> {
    let value = pid.field(8).component(1);
    if let Some(place) = another(&pid.field(8), 1) {
        let refusal = Refusal::new(
            Reason::SexNotSupported,
            "expected one sex, found another one behind it",
        );
        return Err(refusal.at(place));
    }
    match trail.record_field("sex", &value, "") {
        FieldUpdate::Absent => Ok(FieldUpdate::Absent),
        FieldUpdate::Delete => Ok(FieldUpdate::Delete),
        FieldUpdate::Given(code) => read_sex(&code, value.position()).map(FieldUpdate::Given),
    }
}

/// The sex of a code (interface.md 3).
pub fn read_sex(code: &str, place: impl Into<Location>) -> Result<Sex, Refusal> {
    match code {
        "M" => Ok(Sex::M),
        "F" => Ok(Sex::F),
        other => Err(Refusal::new(
            Reason::SexNotSupported,
            "expected the sex M or F, found another",
        )
        .at(place)
        .with_value(other)),
    }
}

/// Where a further repetition of a field, which HL7 does not repeat, says something else in this component than the first.
pub fn another(field: &Field<'_>, component: u32) -> Option<Position> {
    let mut repetitions = field
        .repetitions()
        .map(|it| Value::from(it.component(component)));
    let first = word(&repetitions.next()?);
    repetitions
        .find(|other| word(other).is_some_and(|it| Some(it) != first))
        .map(|other| other.position())
}

fn birth_date(pid: &Segment<'_>, trail: &mut Trail) -> Result<FieldUpdate<PartialDate>, Refusal> {
    let date = read_birth_date_of(pid, trail);
    trail.go_on(date, FieldUpdate::default)
}

fn read_birth_date_of(
    pid: &Segment<'_>,
    trail: &mut Trail,
) -> Result<FieldUpdate<PartialDate>, Refusal> {
    let value = pid.field(7).component(1);
    match field_update(&value.simple()) {
        FieldUpdate::Absent => Ok(FieldUpdate::Absent),
        FieldUpdate::Delete => {
            trail.record_field("birth_date", &value.simple(), "");
            Ok(FieldUpdate::Delete)
        }
        FieldUpdate::Given(text) => {
            let date = match another(&pid.field(7), 1) {
                None => read_birth_date(&text, value.position()),
                Some(place) => Err(Refusal::new(
                    Reason::InvalidDate,
                    "expected one date of birth, found another one behind it",
                )
                .at(place)),
            };
            trail.read("birth_date", &date, &text, value.position(), "");
            date.map(FieldUpdate::Given)
        }
    }
}

/// The date of birth, to the precision in which it is written.
pub fn read_birth_date(text: &str, place: impl Into<Location>) -> Result<PartialDate, Refusal> {
    Timestamp::parse(text)
        .map(|time| time.partial_date())
        .map_err(|error| {
            let expected =
                "expected the date of birth as yyyymmdd (or yyyy, yyyymm), found what is no date";
            Refusal::new(Reason::InvalidDate, error.or(expected))
                .at(place)
                .with_value(text)
        })
}

/// How a phone number is preferred: mobile, then fixed, and at work only if there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PhoneKind {
    Mobile,
    Fixed,
    AtWork,
}

impl PhoneKind {
    fn of(telecom: &Repetition<'_>) -> Option<Self> {
        let purpose = word(&telecom.component(2).simple());
        let equipment = word(&telecom.component(3).simple());
        match (purpose.as_deref(), equipment.as_deref()) {
            (Some("NET"), _) => None,
            (Some("WPN"), Some("CP" | "PH") | None) => Some(Self::AtWork),
            (_, Some("CP")) => Some(Self::Mobile),
            (Some(_), None) | (_, Some("PH")) => Some(Self::Fixed),
            (None, None) if untyped_email(telecom).is_none() => Some(Self::Fixed),
            _ => None,
        }
    }
}

impl PhoneKind {
    fn rule(self) -> &'static str {
        match self {
            Self::Mobile => "PID-13.3 = CP",
            Self::Fixed => "no PID-13.3 = CP: PH, or without a type",
            Self::AtWork => "PID-13.2 = WPN: there is no other",
        }
    }
}

/// Chooses the phone number of PID-13, of which only the chosen one must be valid.
fn phone(
    telecoms: Field<'_>,
    region: &str,
    trail: &mut Trail,
) -> Result<FieldUpdate<Phone>, Refusal> {
    if telecoms.is_delete() {
        trail.record_field("phone", &telecoms, "");
        return Ok(FieldUpdate::Delete);
    }
    let mut erased = false;
    let chosen = telecoms
        .repetitions()
        .filter_map(|telecom| {
            let kind = PhoneKind::of(&telecom)?;
            erased |= telecom.component(1).is_delete();
            number_of(&telecom).map(|(number, place)| (kind, number, place))
        })
        .min_by_key(|(kind, ..)| *kind);
    match chosen {
        None if erased => Ok(FieldUpdate::Delete),
        None => Ok(FieldUpdate::Absent),
        Some((kind, number, place)) => {
            let phone = read_phone(&number, region, place);
            trail.read("phone", &phone, &number, place, kind.rule());
            trail.go_on(phone.map(FieldUpdate::Given), FieldUpdate::default)
        }
    }
}

/// A phone number that must be valid (interface.md 3).
pub fn read_phone(
    number: &str,
    region: &str,
    place: impl Into<Location>,
) -> Result<Phone, Refusal> {
    Phone::parse(number, region).ok_or_else(|| {
        Refusal::new(
            Reason::InvalidPhone,
            format!("expected a valid phone number (national in {region}, or starting with +), found another"),
        )
        .at(place)
        .with_value(number)
    })
}

/// The number of an XTN (HL7 v2.5 chapter 2.A.89): as one text, or in parts.
fn number_of(telecom: &Repetition<'_>) -> Option<(String, Position)> {
    for whole in [1, 12] {
        let component = telecom.component(whole);
        if let Some(number) = text(&component) {
            return Some((number, component.position()));
        }
    }
    let part = |number| text(&telecom.component(number)).unwrap_or_default();
    let (country, area, local) = (part(5), part(6), part(7));
    if local.is_empty() {
        return None;
    }
    let number = match country.trim_start_matches('+').trim_start_matches("00") {
        "" => format!("{area}{local}"),
        country => format!("+{country} {area}{local}"),
    };
    Some((number, telecom.component(7).position()))
}

fn email(telecoms: Field<'_>, trail: &mut Trail) -> Result<FieldUpdate<Email>, Refusal> {
    if telecoms.is_delete() {
        trail.record_field("email", &telecoms, "");
        return Ok(FieldUpdate::Delete);
    }
    let mut erased = false;
    for telecom in telecoms.repetitions() {
        let is_internet = text(&telecom.component(3).simple())
            .is_some_and(|equipment| equipment.eq_ignore_ascii_case("Internet"))
            || word(&telecom.component(2).simple()).as_deref() == Some("NET");
        let component = if is_internet {
            erased |= telecom.component(4).is_delete() || telecom.component(1).is_delete();
            match with_at(&telecom) {
                Some(address) => address,
                None => telecom.component(4),
            }
        } else if let Some(address) = untyped_email(&telecom) {
            address
        } else {
            continue;
        };
        let Some(address) = text(&component) else {
            continue;
        };
        let rule = match is_internet {
            true => "PID-13.3 = Internet or PID-13.2 = NET",
            false => "without a type, with @",
        };
        let email = read_email(&address, component.position());
        trail.read("email", &email, &address, component.position(), rule);
        return trail.go_on(email.map(FieldUpdate::Given), FieldUpdate::default);
    }
    Ok(if erased {
        FieldUpdate::Delete
    } else {
        FieldUpdate::Absent
    })
}

/// An e-mail address that must be valid (interface.md 3).
pub fn read_email(address: &str, place: impl Into<Location>) -> Result<Email, Refusal> {
    Email::parse(address).ok_or_else(|| {
        Refusal::new(
            Reason::InvalidEmail,
            "expected an e-mail address such as name@example.fr, found another text",
        )
        .at(place)
        .with_value(address)
    })
}

/// The component that holds an e-mail address, in a repetition that says neither what for nor by which equipment.
fn untyped_email<'a>(telecom: &Repetition<'a>) -> Option<crate::hl7::Component<'a>> {
    let typed = [2, 3]
        .into_iter()
        .any(|part| text(&telecom.component(part)).is_some());
    if typed { None } else { with_at(telecom) }
}

/// PID-13.4, or the old place 13.1, whichever looks like an e-mail address.
fn with_at<'a>(telecom: &Repetition<'a>) -> Option<crate::hl7::Component<'a>> {
    [4, 1]
        .into_iter()
        .map(|part| telecom.component(part))
        .find(|component| component.text().contains('@'))
}

/// Whether the first subcomponent of a street holds the others (its name and number: SAD); else they are text around an
/// `&`.
fn is_street(street: &crate::hl7::Component<'_>, first: &str) -> bool {
    let first = first.to_lowercase();
    [2, 3].into_iter().all(|part| {
        let part = text(&street.subcomponent(part)).unwrap_or_default();
        first.contains(&part.to_lowercase())
    })
}

/// Reads the address from PID-11: all four parts, or none.
fn address(
    addresses: Field<'_>,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> FieldUpdate<Address> {
    if addresses.is_delete() {
        trail.record_field("address", &addresses, "");
        return FieldUpdate::Delete;
    }
    let parts = |address: &Repetition<'_>| {
        let street = address.component(1);
        let first = text(&street.subcomponent(1)).map(|first| match is_street(&street, &first) {
            true => first,
            false => text(&street).unwrap_or(first),
        });
        let street = first.or_else(|| {
            let number_and_name: Vec<String> = [3, 2]
                .into_iter()
                .filter_map(|part| text(&street.subcomponent(part)))
                .collect();
            (!number_and_name.is_empty()).then(|| number_and_name.join(" "))
        });
        let part = |number| text(&address.component(number));
        [street, part(3), part(5), part(6)]
    };
    let complement = |address: &Repetition<'_>| {
        let complement = address.component(2);
        text(&complement).map(|text| (text, complement.position()))
    };
    let kind = |address: &Repetition<'_>| text(&address.component(7).simple());
    let candidates: Vec<Repetition<'_>> = addresses
        .repetitions()
        .filter(|address| parts(address).iter().any(Option::is_some))
        .collect();
    let chosen = candidates
        .iter()
        .find(|address| kind(address).as_deref() == Some("H"))
        .or_else(|| {
            candidates
                .iter()
                .find(|address| !matches!(kind(address).as_deref(), Some("BDL" | "BR" | "N")))
        });
    let Some(chosen) = chosen else {
        let erased = addresses.repetitions().any(|address| {
            [1, 3, 5, 6]
                .into_iter()
                .all(|part| address.component(part).is_delete())
        });
        return if erased {
            FieldUpdate::Delete
        } else {
            FieldUpdate::Absent
        };
    };
    let mut rule = match kind(chosen).as_deref() {
        Some("H") => "PID-11.7 = H",
        _ => "no PID-11.7 = H: the first that is no place of birth",
    };
    let parts = parts(chosen);
    for ((part, name), component) in parts.iter().zip(ADDRESS_PARTS).zip([1, 3, 5, 6]) {
        if let Some(part) = part {
            let place = chosen.component(component).position();
            trail.record(name, part, place, std::mem::take(&mut rule));
        }
    }
    let complement = complement(chosen).map(|(complement, place)| {
        trail.record("address_complement", &complement, place, "");
        complement
    });
    whole_address(parts, complement, chosen.position(), warnings)
        .map_or(FieldUpdate::Absent, FieldUpdate::Given)
}

/// What the parts of an address are called, in the order of [`whole_address`].
pub const ADDRESS_PARTS: [&str; 4] = ["street", "city", "postal_code", "country"];

/// The address of a street, a city, a postal code and a country if all are there; else it is warned of and not kept.
pub fn whole_address(
    parts: [Option<String>; 4],
    complement: Option<String>,
    place: impl Into<Location>,
    warnings: &mut Vec<Warning>,
) -> Option<Address> {
    match parts {
        [Some(street), Some(city), Some(postal_code), Some(country)] => Some(Address {
            street,
            complement,
            city,
            postal_code,
            country,
        }),
        parts => {
            let missing: Vec<&str> = ["street", "city", "postal code", "country"]
                .into_iter()
                .zip(parts)
                .filter_map(|(name, part)| part.is_none().then_some(name))
                .collect();
            warnings.push(
                Warning::new(
                    WarningCode::AddressPartial,
                    format!(
                        "expected street, city, postal code and country, found no {}; the address is not kept",
                        missing.join(", no ")
                    ),
                )
                .at(place),
            );
            None
        }
    }
}

/// The root of the national numbers of health professionals.
const NATIONAL_NUMBERS: &str = "1.2.250.1.71.4.2.1";

/// A number by which a physician is known, and how surely it is an RPPS.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Number {
    /// The sender says that it is one.
    Said(Rpps),
    /// Nobody says what it is; it could be one.
    Taken(Rpps),
    /// It is none.
    Other { value: String, kind: String },
}

impl Number {
    /// Reads the number of an XCN by what its 13th component says it is; without one, by its authority.
    fn of(person: &Repetition<'_>) -> Option<Self> {
        let sent = text(&person.component(1).identifier())?;
        let kind = text(&person.component(13).simple()).unwrap_or_default();
        let is_national =
            || word(&person.component(9).subcomponent(2)).as_deref() == Some(NATIONAL_NUMBERS);
        Some(match kind.to_ascii_uppercase().as_str() {
            "RPPS" => Self::Said(Rpps::new(&sent)),
            "IDNPS" => Self::national(sent),
            "" if is_national() => Self::national(sent),
            "" if Rpps::could_be(&sent) => Self::Taken(Rpps::new(&sent)),
            _ => Self::Other { value: sent, kind },
        })
    }

    /// Reads a number that begins with its national kind (IDNPS): `8` an RPPS, `0` the nine characters of an ADELI
    /// number, and others an internal number of a structure. An RPPS also comes without its `8`.
    fn national(sent: String) -> Self {
        if Rpps::could_be(&sent) {
            return Self::Said(Rpps::new(&sent));
        }
        match sent.strip_prefix('0') {
            Some(adeli) if adeli.chars().count() == 9 => Self::Other {
                value: adeli.to_owned(),
                kind: "ADELI".to_owned(),
            },
            _ => Self::Other {
                value: sent,
                kind: "IDNPS".to_owned(),
            },
        }
    }

    /// The lower, the rather it is the physician's RPPS.
    fn rank(&self) -> u8 {
        match self {
            Self::Said(rpps) if rpps.is_valid() => 0,
            Self::Said(_) => 1,
            Self::Taken(rpps) if rpps.is_valid() => 2,
            Self::Taken(_) => 3,
            Self::Other { .. } => 4,
        }
    }
}

/// A national number of a health professional, told apart: an RPPS, or another.
pub fn national_number(sent: &str) -> PhysicianNumber {
    match Number::national(sent.trim().to_owned()) {
        Number::Said(rpps) | Number::Taken(rpps) => PhysicianNumber::Rpps(rpps),
        Number::Other { value, kind } => PhysicianNumber::Other(OtherNumber { value, kind }),
    }
}

/// Reads a physician (XCN): of the repetitions that with an RPPS, as the 13th component says, else one whose number
/// could be an RPPS, else the first, whose number is kept as what it is. None without a number. All given names are kept.
///
/// `called` is what the trail calls it.
pub fn physician<'a>(
    persons: impl Iterator<Item = Repetition<'a>>,
    called: &str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Option<Physician> {
    let (person, number) = persons
        .filter_map(|person| Some((person, Number::of(&person)?)))
        .min_by_key(|(_, number)| number.rank())?;
    let place = person.component(1).position();
    let number = match number {
        Number::Said(rpps) => {
            let kind = person.component(13).position();
            trail.record(called, &rpps, place, format_args!("{kind} = RPPS or IDNPS"));
            warn_of_rpps(&rpps, place, warnings);
            PhysicianNumber::Rpps(rpps)
        }
        Number::Taken(rpps) => {
            trail.record(called, &rpps, place, "");
            warn_of_rpps(&rpps, place, warnings);
            PhysicianNumber::Rpps(rpps)
        }
        Number::Other { value, kind } => {
            let rule = match kind.as_str() {
                "" => "no RPPS: without a type",
                kind => kind,
            };
            trail.record(format_args!("{called}_number"), &value, place, rule);
            PhysicianNumber::Other(OtherNumber { value, kind })
        }
    };
    let mut part = |part: &str, value: Value<'_>| {
        let name = format_args!("{called}_{part}");
        trail.record_field(name, &value, "").given()
    };
    let family = part("family", person.component(2).family_name());
    let given = part("given", person.component(3).into());
    let further = part("further_given", person.component(4).into());
    Some(Physician {
        number: Some(number),
        family,
        given: name::given_names([given, further].into_iter().flatten()),
    })
}

/// Adds the warning `rpps-invalid` where it is due: the number is kept as sent.
pub fn warn_of_rpps(rpps: &Rpps, place: impl Into<Location>, warnings: &mut Vec<Warning>) {
    if !rpps.is_valid() {
        warnings.push(
            Warning::new(
                WarningCode::RppsInvalid,
                "expected an RPPS number of 11 digits with a valid key, found another; it is kept as sent",
            )
            .at(place),
        );
    }
}

/// Adds the warning `rpps-invalid` for a number that is none.
pub fn warn_of_no_rpps(place: impl Into<Location>, warnings: &mut Vec<Warning>) {
    warnings.push(
        Warning::new(
            WarningCode::RppsInvalid,
            "expected an RPPS number of 11 digits, found another number; it is kept as what it is, and never sent as an RPPS",
        )
        .at(place),
    );
}

/// Makes a new patient of what was read; what is required must be there (interface.md 3).
pub fn new_patient(
    facility: &Facility,
    read: &IppRead,
    demographics: Demographics,
    trail: &mut Trail,
) -> Result<Patient, Refusal> {
    let places = demographics.places;
    let birth_given_name = demographics.birth_given_name.given();
    let given_name = demographics
        .given_name
        .given()
        .or_else(|| birth_given_name.clone())
        .ok_or_else(|| missing("given name", places.given_name));
    let birth_name = demographics
        .birth_name
        .given()
        .ok_or_else(|| missing("birth name", places.birth_name));
    let sex = demographics
        .sex
        .given()
        .ok_or_else(|| missing("sex", places.sex));
    let birth_date = demographics
        .birth_date
        .given()
        .ok_or_else(|| missing("date of birth", places.birth_date));
    let given_name = trail.go_on(given_name, String::new)?;
    let birth_name = trail.go_on(birth_name, String::new)?;
    let sex = trail.go_on(sex, || Sex::F)?;
    let birth_date = trail.go_on(birth_date, || PartialDate::Year(1))?;
    Ok(Patient {
        facility: facility.id.clone(),
        ipp: read.ipp.clone(),
        authority: read.authority.clone(),
        ins: demographics.ins.given(),
        social_security_number: demographics.social_security_number.given(),
        usual_name: demographics
            .usual_name
            .given()
            .unwrap_or_else(|| birth_name.clone()),
        birth_name,
        given_name,
        birth_given_name,
        sex,
        birth_date,
        phone: demographics.phone.given(),
        email: demographics.email.given(),
        address: demographics.address.given(),
        network: demographics.network.given(),
        identity_status: demographics.identity_status.given(),
        identity_attributes: demographics.identity_attributes.given().unwrap_or_default(),
        physician: demographics.physician.given(),
        demographics_time: None,
        ins_time: None,
    })
}

/// Changes a known patient by what was read: what is not said stays, what is required cannot be erased (interface.md 2).
///
/// A usual name that was only the birth name's stand-in follows the birth name, and the given name likewise.
pub fn update(
    known: &Patient,
    read: &IppRead,
    demographics: Demographics,
) -> Result<Patient, Refusal> {
    let places = demographics.places;
    let usual_stands_in = known.usual_name == known.birth_name;
    let given_stands_in = known
        .birth_given_name
        .as_ref()
        .is_none_or(|name| *name == known.given_name);
    let birth_name = require(
        demographics.birth_name,
        &known.birth_name,
        "birth name",
        places.birth_name,
    )?;
    let given_name = match (demographics.given_name, &demographics.birth_given_name) {
        (FieldUpdate::Given(name), _) => name,
        (FieldUpdate::Delete, FieldUpdate::Given(name)) => name.clone(),
        (FieldUpdate::Delete, FieldUpdate::Absent) => known
            .birth_given_name
            .clone()
            .ok_or_else(|| cannot_erase("given name", places.given_name))?,
        (FieldUpdate::Absent, FieldUpdate::Given(name)) if given_stands_in => name.clone(),
        (FieldUpdate::Absent, FieldUpdate::Delete) if given_stands_in => {
            return Err(cannot_erase("given name", places.given_name));
        }
        (FieldUpdate::Delete, FieldUpdate::Delete) => {
            return Err(cannot_erase("given name", places.given_name));
        }
        (FieldUpdate::Absent, _) => known.given_name.clone(),
    };
    let usual_name = match demographics.usual_name {
        FieldUpdate::Given(name) => name,
        FieldUpdate::Absent if !usual_stands_in => known.usual_name.clone(),
        FieldUpdate::Absent | FieldUpdate::Delete => birth_name.clone(),
    };
    Ok(Patient {
        facility: known.facility.clone(),
        ipp: known.ipp.clone(),
        authority: read.authority.clone().or_else(|| known.authority.clone()),
        ins: demographics.ins.over(known.ins.clone()),
        social_security_number: demographics
            .social_security_number
            .over(known.social_security_number.clone()),
        birth_name,
        usual_name,
        given_name,
        birth_given_name: demographics
            .birth_given_name
            .over(known.birth_given_name.clone()),
        sex: require(demographics.sex, &known.sex, "sex", places.sex)?,
        birth_date: require(
            demographics.birth_date,
            &known.birth_date,
            "date of birth",
            places.birth_date,
        )?,
        phone: demographics.phone.over(known.phone.clone()),
        email: demographics.email.over(known.email.clone()),
        address: demographics.address.over(known.address.clone()),
        network: demographics.network.over(known.network.clone()),
        identity_status: demographics
            .identity_status
            .over(known.identity_status.clone()),
        identity_attributes: demographics
            .identity_attributes
            .over(Some(known.identity_attributes.clone()))
            .unwrap_or_default(),
        physician: demographics.physician.over(known.physician.clone()),
        demographics_time: known.demographics_time,
        ins_time: known.ins_time,
    })
}

fn require<T: Clone>(
    update: FieldUpdate<T>,
    known: &T,
    name: &str,
    place: SourceLocation,
) -> Result<T, Refusal> {
    match update {
        FieldUpdate::Given(value) => Ok(value),
        FieldUpdate::Absent => Ok(known.clone()),
        FieldUpdate::Delete => Err(cannot_erase(name, place)),
    }
}

fn missing(name: &str, place: SourceLocation) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name} of a patient who is not known yet, found nothing"),
    )
    .at(place)
}

fn cannot_erase(name: &str, place: SourceLocation) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name}, found \"\": it is required and cannot be erased"),
    )
    .at(place)
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

/// The given names of a known patient, to be compared.
pub fn known_given_names(known: &Patient) -> GivenNames {
    let mut names = GivenNames::default();
    for given in known.birth_given_name.iter().chain([&known.given_name]) {
        names.add(given, true);
    }
    names
}

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

#[cfg(test)]
mod physicians {
    use super::*;

    /// What is read of this XCN: the RPPS, the other number with its kind, and the warnings.
    fn read(xcn: &str) -> Option<(String, String, usize)> {
        let text = format!("MSH|^~\\&|A|B|C|D|20250401||ADT^A31|1|P|2.5\rPV1|1|O|||||{xcn}\r");
        let message = Message::parse(text.as_bytes()).unwrap();
        let field = message.first("PV1").unwrap().field(7);
        let mut warnings = Vec::new();
        let physician = physician(
            field.repetitions(),
            "physician",
            &mut warnings,
            &mut Trail::off(),
        )?;
        let other = physician.other_number();
        let other = other.map(|other| format!("{}:{}", other.kind, other.value));
        let rpps = physician
            .known_rpps()
            .map(ToString::to_string)
            .unwrap_or_default();
        Some((rpps, other.unwrap_or_default(), warnings.len()))
    }

    #[test]
    fn a_physician_is_the_repetition_with_an_rpps_wherever_it_stands() {
        let others = [
            "751234567^A^B^^^^^^^L^^^ADELI",
            "7^A^B^^^^^^^L^^^EI",
            "DUP^A^B",
            "10102078838^A^B",
            "0751234567^A^B^^^^^^^L^^^IDNPS",
            "3350000741/1234^A^B^^^^^^^L^^^IDNPS",
            "^A^B",
        ];
        for own in [
            "10100094977^DUPONT^Paul^^^^^^^L^^^RPPS",
            "810100094977^DUPONT^Paul^^^^^^^L^^^IDNPS",
            "10100094977^DUPONT^Paul^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^L",
            "10100094977^DUPONT^Paul^^^^^^^L^^^rpps",
        ] {
            for other in others {
                let expected = Some(("10100094977".to_owned(), String::new(), 0));
                assert_eq!(read(&format!("{other}~{own}")), expected, "{other}~{own}");
                assert_eq!(read(&format!("{own}~{other}")), expected, "{own}~{other}");
            }
        }
    }

    #[test]
    fn a_number_that_is_no_rpps_is_kept_as_what_it_is() {
        for (xcn, rpps, other, warnings) in [
            ("751234567^A^B^^^^^^^L^^^ADELI", "", "ADELI:751234567", 0),
            ("0751234567^A^B^^^^^^^L^^^IDNPS", "", "ADELI:751234567", 0),
            // The internal numbers of structures, by their kind.
            (
                "3350000741/1234^A^B^^^^^^^L^^^IDNPS",
                "",
                "IDNPS:3350000741/1234",
                0,
            ),
            (
                "5350000741/1^A^B^^^^^^X&1.2.250.1.71.4.2.1&ISO^L",
                "",
                "IDNPS:5350000741/1",
                0,
            ),
            (
                "1750000001/7^A^B^^^^^^^L^^^idnps",
                "",
                "IDNPS:1750000001/7",
                0,
            ),
            ("81010009497^A^B^^^^^^^L^^^IDNPS", "81010009497", "", 1),
            ("810100094978^A^B^^^^^^^L^^^IDNPS", "810100094978", "", 1),
            // Eleven digits with a right key: a local number all the same, since the sender says so.
            ("10100094977^A^B^^^^^^^L^^^EI", "", "EI:10100094977", 0),
            ("12345^A^B", "", ":12345", 0),
            ("AGENDA^A^B", "", ":AGENDA", 0),
            ("10100094977^A^B", "10100094977", "", 0),
            ("10100094978^A^B", "10100094978", "", 1),
            ("12345^A^B^^^^^^^L^^^RPPS", "12345", "", 1),
        ] {
            let expected = (rpps.to_owned(), other.to_owned(), warnings);
            assert_eq!(read(xcn), Some(expected), "{xcn}");
        }
        assert_eq!(read("^A^B^^^^^^^L^^^RPPS"), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::testing::World;

    const NIR: &str = "ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO";

    fn refused<T>(result: Result<T, Refusal>) -> String {
        match result {
            Ok(_) => "taken".to_owned(),
            Err(refusal) => format!(
                "{} {}",
                refusal.reason.code(),
                refusal.place.unwrap_or_default().shown
            ),
        }
    }

    fn codes(warnings: &[Warning]) -> Vec<&'static str> {
        warnings.iter().map(|warning| warning.code.code()).collect()
    }

    /// Reads the demographics of a PID that has these fields.
    fn read(fields: &[(usize, &str)]) -> Result<(Demographics, Vec<Warning>), Refusal> {
        let mut pid = vec![""; 41];
        pid[0] = "PID";
        for (number, value) in fields {
            pid[*number] = value;
        }
        let bytes = format!(
            "MSH|^~\\&|||||20250401||ADT^A28|1|P|2.5\r{}\r",
            pid.join("|")
        );
        let message = Message::parse(bytes.as_bytes()).unwrap();
        let mut warnings = Vec::new();
        let demographics = demographics(
            &message.first("PID").unwrap(),
            Some(&message),
            &World::new().facility,
            &mut warnings,
            &mut Trail::off(),
        )?;
        Ok((demographics, warnings))
    }

    fn known() -> Patient {
        let (demographics, _) =
            read(&[(5, "MARTIN^Léa^^^^^L"), (7, "19700102"), (8, "F")]).unwrap();
        let ipp = IppRead {
            ipp: Ipp::new("P-1"),
            authority: None,
            untyped: false,
            foreign: false,
            place: SourceLocation::Element(""),
        };
        new_patient(
            &World::new().facility,
            &ipp,
            demographics,
            &mut Trail::off(),
        )
        .unwrap()
    }

    #[test]
    fn the_ipp_is_the_facilitys() {
        let ins = format!("279035121518989^^^{NIR}^INS");
        let untyped_ins = format!("279035121518989^^^{NIR}");
        for (identifiers, authority, expected) in [
            ("1^^^CHU&1.2&ISO^PI", None, "1"),
            ("1^^^CHU^PI", Some("OTHER"), "1"),
            (" 1 ^^^^PI", None, "1"),
            ("7^^^X^AN~1^^^^PI", None, "1"),
            ("1^^^A^PI~2^^^B^PI", Some("B"), "2"),
            ("1^^^A&1.2&ISO^PI~2^^^B&1.3&ISO^PI", Some("1.3"), "2"),
            ("1^^^A^PI~1^^^B^PI", None, "1"),
            ("1^^^A^PI~2^^^B^PI", None, "ambiguous-ipp PID-3"),
            ("1^^^A^PI~2^^^B^PI", Some("C"), "ambiguous-ipp PID-3"),
            ("1^^^B^PI~2^^^B^PI", Some("B"), "ambiguous-ipp PID-3"),
            ("^^^A^PI~2^^^B^PI", None, "2"),
            ("\"\"^^^A^PI", None, "missing-ipp PID-3"),
            ("2345^^^LIS", None, "2345 untyped"),
            (&format!("2345~{ins}"), None, "2345 untyped"),
            (&format!("{untyped_ins}~2345"), None, "2345 untyped"),
            (&untyped_ins, None, "missing-ipp PID-3"),
            (&ins, None, "missing-ipp PID-3"),
            ("1~2", None, "missing-ipp PID-3"),
            ("1^^^^AN", None, "missing-ipp PID-3"),
            ("^^^^PI", None, "missing-ipp PID-3"),
            ("", None, "missing-ipp PID-3"),
        ] {
            let mut facility = World::new().facility;
            facility.ipp_authority = authority.map(str::to_owned);
            let bytes = format!("MSH|^~\\&|\rPID|1||{identifiers}\r");
            let message = Message::parse(bytes.as_bytes()).unwrap();
            let result = ipp(&message.first("PID").unwrap(), &facility, &mut Trail::off());
            let found = match result {
                Ok(read) if read.untyped => format!("{} untyped", read.ipp),
                Ok(read) => read.ipp.to_string(),
                refused_ => refused(refused_),
            };
            assert_eq!(found, expected, "{identifiers}");
        }
    }

    #[test]
    fn the_place_and_authority_of_the_ipp_are_kept() {
        let message = Message::parse(b"MSH|^~\\&|\rPID|1||9^^^X^AN~1^^^CHU&1.2&ISO^PI\r").unwrap();
        let read = ipp(
            &message.first("PID").unwrap(),
            &World::new().facility,
            &mut Trail::off(),
        )
        .unwrap();
        let authority = read.authority.unwrap();
        assert_eq!(
            (
                authority.namespace.as_str(),
                authority.universal_id.as_str(),
                authority.universal_id_type.as_str()
            ),
            ("CHU", "1.2", "ISO")
        );
        assert_eq!(Location::from(read.place).shown, "PID-3(2).1");
        assert_eq!(Location::from(read.place).erl.unwrap(), "PID^1^3^2^1");
    }

    #[test]
    fn an_ins_has_a_valid_key() {
        for (identifiers, expected, warned) in [
            (
                format!("279035121518989^^^{NIR}^INS"),
                Some("279035121518989"),
                0,
            ),
            (
                format!("1^^^^PI~279035121518989^^^{NIR}"),
                Some("279035121518989"),
                0,
            ),
            (format!("279035121518988^^^{NIR}^INS"), None, 1),
            (
                format!("279035121518988^^^{NIR}~279035121518989^^^{NIR}"),
                Some("279035121518989"),
                1,
            ),
            (format!("^^^{NIR}^INS"), None, 0),
            ("279035121518989^^^CHU^INS".to_owned(), None, 0),
        ] {
            let (demographics, warnings) = read(&[(3, &identifiers), (32, "VALI")]).unwrap();
            let ins = demographics.ins.given();
            assert_eq!(
                ins.as_ref().map(|ins| ins.value.as_str()),
                expected,
                "{identifiers}"
            );
            assert!(ins.is_none_or(|ins| ins.oid == "1.2.250.1.213.1.4.8"));
            assert_eq!(
                codes(&warnings),
                vec!["ins-invalid"; warned],
                "{identifiers}"
            );
        }
    }

    #[test]
    fn names_are_told_by_their_type() {
        for (names, birth, usual, given, birth_given) in [
            ("MARTIN^Léa^^^^^L", "MARTIN", "MARTIN", "Léa", "Léa"),
            (
                "MARTIN^Léa^^^^^D~DUPONT^Léa Marie^^^^^L",
                "DUPONT",
                "MARTIN",
                "Léa",
                "Léa Marie",
            ),
            (
                "DUPONT^Léa^^^^^L~MARTIN^^^^^^D",
                "DUPONT",
                "MARTIN",
                "Léa",
                "Léa",
            ),
            ("MARTIN^Léa", "MARTIN", "MARTIN", "Léa", "Léa"),
            (
                "MARTIN^Léa~DUPONT^Lili^^^^^D",
                "MARTIN",
                "DUPONT",
                "Lili",
                "Léa",
            ),
            (
                "MARTIN&de&^Léa^^^^^L",
                "MARTIN&de",
                "MARTIN&de",
                "Léa",
                "Léa",
            ),
            (
                "DE MARTIN&de&MARTIN&&DUPONT^Léa^^^^^L",
                "DE MARTIN",
                "DE MARTIN",
                "Léa",
                "Léa",
            ),
            ("A&B^Léa^^^^^L~C&D^Lili^^^^^D", "A&B", "C&D", "Lili", "Léa"),
            (" O\\T\\K ^ Léa ^^^^^L", "O&K", "O&K", "Léa", "Léa"),
        ] {
            let fields = [(5, names), (7, "1970"), (8, "M")];
            let patient = read(&fields).and_then(|(demographics, _)| {
                let ipp = IppRead {
                    ipp: Ipp::new("1"),
                    authority: None,
                    untyped: false,
                    foreign: false,
                    place: SourceLocation::Element(""),
                };
                new_patient(
                    &World::new().facility,
                    &ipp,
                    demographics,
                    &mut Trail::off(),
                )
            });
            let patient = patient.unwrap();
            assert_eq!(patient.birth_name, birth, "{names}");
            assert_eq!(patient.usual_name, usual, "{names}");
            assert_eq!(patient.given_name, given, "{names}");
            assert_eq!(
                patient.birth_given_name.as_deref(),
                Some(birth_given),
                "{names}"
            );
        }
        for names in [
            "MARTIN^Léa^^^^^D",
            "MARTIN^Léa~MARTIN^Lili",
            "MARTIN^Léa^^^^^M",
            "",
        ] {
            let (demographics, _) = read(&[(5, names)]).unwrap();
            assert_eq!(demographics.birth_name, FieldUpdate::Absent, "{names}");
        }
    }

    #[test]
    fn an_update_keeps_names_that_stood_apart() {
        let mut known = known();
        known.usual_name = "DUPONT".to_owned();
        known.given_name = "Lili".to_owned();
        let ipp = IppRead {
            ipp: known.ipp.clone(),
            authority: None,
            untyped: false,
            foreign: false,
            place: SourceLocation::Element(""),
        };
        let (said, _) = read(&[(5, "MARTEL^Léna^^^^^L")]).unwrap();
        let updated = update(&known, &ipp, said).unwrap();
        assert_eq!(
            (updated.birth_name.as_str(), updated.usual_name.as_str()),
            ("MARTEL", "DUPONT")
        );
        assert_eq!(
            (
                updated.given_name.as_str(),
                updated.birth_given_name.as_deref()
            ),
            ("Lili", Some("Léna"))
        );
        let (said, _) = read(&[(5, "MARTEL^\"\"^^^^^L")]).unwrap();
        assert_eq!(update(&known, &ipp, said).unwrap().birth_given_name, None);
        let (said, _) = read(&[(5, "MARTEL^\"\"^^^^^L~\"\"^\"\"^^^^^D")]).unwrap();
        assert_eq!(refused(update(&known, &ipp, said)), "missing-field PID-5.2");
    }

    #[test]
    fn dates_of_birth_may_be_partial() {
        for (sent, expected) in [
            ("19730416", "1973-04-16"),
            ("19501104000000", "1950-11-04"),
            ("197304", "1973-04"),
            ("1973", "1973"),
        ] {
            let (demographics, _) = read(&[(7, sent)]).unwrap();
            assert_eq!(
                demographics.birth_date.given().unwrap().to_string(),
                expected
            );
        }
        for sent in ["19730230", "16/04/1973", "73", "unknown"] {
            assert_eq!(refused(read(&[(7, sent)])), "invalid-date PID-7.1");
        }
    }

    #[test]
    fn the_phone_number_is_chosen_by_its_kind() {
        let fixed = "0142515151^PRN^PH";
        let mobile = "0612345678^PRN^CP";
        let work = "0142515152^WPN^PH";
        for (telecoms, expected) in [
            (format!("{fixed}~{mobile}"), "+33612345678"),
            (format!("{work}~{fixed}"), "+33142515151"),
            (work.to_owned(), "+33142515152"),
            (format!("0612345679^WPN^CP~{fixed}"), "+33142515151"),
            ("0142515151".to_owned(), "+33142515151"),
            ("0142515151^PRN".to_owned(), "+33142515151"),
            (format!("0142515151~{mobile}"), "+33612345678"),
            ("^PRN^CP^^33^6^12345678".to_owned(), "+33612345678"),
            ("^PRN^PH^^^01^42515151".to_owned(), "+33142515151"),
            ("^WPN^PH^^^^^^^^^0546442221".to_owned(), "+33546442221"),
            (format!("^PRN^CP~{fixed}"), "+33142515151"),
            (format!("nothing^PRN^FX~{fixed}"), "+33142515151"),
            (format!("1234^WPN^PH~{fixed}"), "+33142515151"),
            ("0692123456^PRN^CP".to_owned(), "+262692123456"),
            (format!("\"\"^PRN^CP~{fixed}"), "+33142515151"),
            ("\"\"^PRN^CP".to_owned(), "erased"),
            ("\"\"".to_owned(), "erased"),
            ("a@b.fr".to_owned(), "nothing"),
            ("^NET^Internet^a@b.fr".to_owned(), "nothing"),
            ("^^^^^".to_owned(), "nothing"),
            (String::new(), "nothing"),
            (format!("1234^PRN^CP~{fixed}"), "invalid-phone PID-13.1"),
            (format!("{fixed}~1234^PRN^CP"), "invalid-phone PID-13(2).1"),
            ("^PRN^CP^^^^^^^^^1234".to_owned(), "invalid-phone PID-13.12"),
            ("^PRN^CP^^33^6^1".to_owned(), "invalid-phone PID-13.7"),
        ] {
            let found = match read(&[(13, &telecoms)]) {
                Ok((demographics, _)) => match demographics.phone {
                    FieldUpdate::Given(phone) => phone.as_str().to_owned(),
                    FieldUpdate::Delete => "erased".to_owned(),
                    FieldUpdate::Absent => "nothing".to_owned(),
                },
                refusal => refused(refusal),
            };
            assert_eq!(found, expected, "{telecoms}");
        }
    }

    #[test]
    fn the_email_is_told_by_its_kind() {
        for (telecoms, expected) in [
            ("^NET^Internet^a@b.fr", "a@b.fr"),
            ("^PRN^Internet^a@b.fr", "a@b.fr"),
            ("^NET^^a@b.fr", "a@b.fr"),
            ("^NET^X.400^a@b.fr", "a@b.fr"),
            ("0142515151^PRN^PH~^^^a@b.fr", "a@b.fr"),
            ("a@b.fr", "a@b.fr"),
            ("a@b.fr^NET", "a@b.fr"),
            ("^NET^Internet~^NET^Internet^c@d.fr", "c@d.fr"),
            ("^NET^Internet^\"\"", "erased"),
            ("\"\"", "erased"),
            ("0142515151^PRN^PH^a@b.fr", "nothing"),
            ("^NET^Internet", "nothing"),
            ("^NET^Internet^a@b", "invalid-email PID-13.4"),
            ("^NET^Internet^nobody", "invalid-email PID-13.4"),
            ("0142515151^PRN^PH~a@b", "invalid-email PID-13(2).1"),
        ] {
            let found = match read(&[(13, telecoms)]) {
                Ok((demographics, _)) => match demographics.email {
                    FieldUpdate::Given(email) => email.as_str().to_owned(),
                    FieldUpdate::Delete => "erased".to_owned(),
                    FieldUpdate::Absent => "nothing".to_owned(),
                },
                refusal => refused(refusal),
            };
            assert_eq!(found, expected, "{telecoms}");
        }
    }

    #[test]
    fn a_name_is_not_cut_where_an_entity_stands() {
        for (name, family, given) in [
            ("O&apos;BRIEN^Anne", "O'BRIEN", "Anne"),
            ("D&#39;ARC^Ren&eacute;e", "D'ARC", "Renée"),
            ("D&#x27;ARC&D&#x27;&ARC^Anne", "D'ARC", "Anne"),
            (
                "DE LA TOUR&DE LA&TOUR^Jean&Pierre",
                "DE LA TOUR",
                "Jean&Pierre",
            ),
            ("A\\T\\B^Anne", "A&B", "Anne"),
        ] {
            let (demographics, _) = read(&[(5, &format!("{name}^^^^^L"))]).unwrap();
            let found = [demographics.birth_name, demographics.birth_given_name];
            let expected = [family, given].map(|it| FieldUpdate::Given(it.to_owned()));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn an_address_is_whole_or_not_kept() {
        let birth_place = "^^Lyon^^69000^FRA^BDL";
        for (addresses, expected, warned) in [
            (
                "1 rue X^^Paris^^75001^FRA^H".to_owned(),
                Some("1 rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                "&rue X&1^^Paris^^75001^FRA".to_owned(),
                Some("1 rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                "&rue X^^Paris^^75001^FRA^H".to_owned(),
                Some("rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                format!("{birth_place}~1 rue X^^Paris^^75001^FRA^C"),
                Some("1 rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                format!("2 rue Y^^Metz^^57000^FRA^O~{birth_place}~1 rue X^^Paris^^75001^FRA^H"),
                Some("1 rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                "1 rue X&rue X&1^^Paris^^75001^FRA^H".to_owned(),
                Some("1 rue X, 75001 Paris, FRA"),
                0,
            ),
            (
                "1 rue A&B^^St&Malo^^35&000^FRA^H".to_owned(),
                Some("1 rue A&B, 35&000 St&Malo, FRA"),
                0,
            ),
            (
                "1 rue d&apos;Az&eacute;^^L&#39;Ha\u{ff}^^75001^FRA^H".to_owned(),
                Some("1 rue d'Azé, 75001 L'Ha\u{ff}, FRA"),
                0,
            ),
            (birth_place.to_owned(), None, 0),
            ("1 rue X^^Paris^^75001^^H".to_owned(), None, 1),
            ("^^^^^FRA^H".to_owned(), None, 1),
            ("^^^^^^H".to_owned(), None, 0),
            (String::new(), None, 0),
        ] {
            let (demographics, warnings) = read(&[(11, &addresses)]).unwrap();
            let found = demographics.address.given().map(|address| {
                format!(
                    "{}, {} {}, {}",
                    address.street, address.postal_code, address.city, address.country
                )
            });
            assert_eq!(found.as_deref(), expected, "{addresses}");
            assert_eq!(
                codes(&warnings),
                vec!["address-partial"; warned],
                "{addresses}"
            );
        }
        for addresses in ["\"\"", "\"\"^^\"\"^^\"\"^\"\""] {
            assert_eq!(
                read(&[(11, addresses)]).unwrap().0.address,
                FieldUpdate::Delete
            );
        }
    }

    #[test]
    fn identities_are_compared_in_what_is_there() {
        use Agreement::{Contradicts, Differs, Same};
        for (name, date, sex, expected) in [
            ("MARTIN", "19700102", "F", Same),
            ("märtin", "1970", "F", Same),
            ("", "", "", Same),
            ("DUPONT", "19700102", "F", Differs(vec!["birth name"])),
            ("MARTIN", "197002", "F", Differs(vec!["date of birth"])),
            ("MARTIN", "", "M", Differs(vec!["sex"])),
            ("DUPONT", "", "M", Differs(vec!["birth name", "sex"])),
            ("DUPONT", "1971", "F", Contradicts),
        ] {
            let (demographics, _) =
                read(&[(5, &format!("{name}^^^^^^L")), (7, date), (8, sex)]).unwrap();
            assert_eq!(
                compare(&known(), &demographics.traits()),
                expected,
                "{name} {date} {sex}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_compared() {
        let message =
            Message::parse(b"MSH|^~\\&|\rPID|||||MARTIN^L\xC3\xA9a||unknown|U|||||1234\r").unwrap();
        let traits = traits(&message.first("PID").unwrap(), &mut Trail::off());
        assert_eq!(compare(&known(), &traits), Agreement::Same);
        assert_eq!(traits.birth_given_name.as_deref(), Some("Léa"));
        assert_eq!((traits.birth_date, traits.sex), (None, None));
        assert!(!is_surely(&known(), &traits));
    }
}
