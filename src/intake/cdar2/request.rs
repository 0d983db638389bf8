//! What a document asks for besides its patient: the physicians, the network, the session and its date
//! (interface.md 5).

use chrono::NaiveDate;

use super::missing;
use crate::cda::header::{CdaHeader, HeaderValue, Identifier, Professional, places};
use crate::config::Facility;
use crate::intake::identity::physician;
use crate::intake::scheduling;
use crate::intake::trail::Trail;
use crate::model::identifiers::NetworkId;
use crate::model::outcome::{Location, Refusal, Warning};
use crate::model::patient::{Physician, PhysicianNumber};

/// What the document asks for, in the order of the table in interface.md 5.
pub(super) struct CdaRequest<'h> {
    pub(super) submitter: Physician,
    pub(super) lead: Physician,
    pub(super) network: Option<NetworkId>,
    pub(super) encounters: &'h [Identifier],
    /// The first of the encounter's ids.
    pub(super) first: &'h Identifier,
    pub(super) date: NaiveDate,
}

impl<'h> CdaRequest<'h> {
    pub(super) fn read(
        header: &'h CdaHeader,
        facility: &Facility,
        warnings: &mut Vec<Warning>,
        trail: &mut Trail,
    ) -> Result<Self, Refusal> {
        let submitter = physician(
            header.submitter.as_ref(),
            ("submitter", "RPPS of the physician who submits the case"),
            places::SUBMITTER,
            warnings,
            trail,
        )?;
        let lead = physician(
            header.lead.as_ref(),
            ("lead", "RPPS of the lead physician"),
            places::LEAD,
            warnings,
            trail,
        )?;
        let network = network(header, facility);
        if let Some(network) = &network {
            let rule = "the id with the root cda.network_root";
            trail.record("network", network, places::ORGANIZATION, rule);
        }
        for id in &header.encounters {
            let (name, rule) = match id.is_under(SESSION_ROOT) {
                true => ("session", "tried first, as session id"),
                false => (
                    "pathway",
                    "tried in this order, as pathway id, then as family id",
                ),
            };
            trail.record(name, id.value(), id.place, rule);
        }
        let first = header
            .encounters
            .first()
            .ok_or_else(|| missing("id of a pathway, family or session", places::ENCOUNTER));
        let first = trail.go_on(first, || &NO_IDENTIFIER)?;
        let date = session_date(header.session_date.as_ref(), trail);
        Ok(Self {
            submitter,
            lead,
            network: network.map(NetworkId::new),
            encounters: &header.encounters,
            first,
            date: trail.go_on(date, NaiveDate::default)?,
        })
    }
}

/// The root of session ids (CI-SIS, FRCP).
pub(super) const SESSION_ROOT: &str = "1.2.250.1.213.1.1.9";

/// The patient's network, as the document names it.
pub(super) fn network(header: &CdaHeader, facility: &Facility) -> Option<String> {
    let root = facility.cda.network_root.as_deref();
    let mut ids = header.patient.organizations.iter();
    ids.find(|id| root.is_some_and(|root| id.is_under(root)))
        .and_then(|id| id.extension.clone())
}

/// What stands in for an id that is not there.
static NO_IDENTIFIER: Identifier = Identifier {
    root: None,
    extension: None,
    authority: None,
    place: places::ENCOUNTER,
};

/// Reads a physician, who has a name for the trail and one in words.
fn physician(
    person: Option<&Professional>,
    (name, what): (&str, &str),
    place: &'static str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Physician, Refusal> {
    let place = person.map_or(place, |person| person.place);
    let Some((person, number)) = person.and_then(|it| Some((it, it.rpps.as_deref()?))) else {
        return trail.go_on(Err(missing(what, place)), physician::nobody);
    };
    let number = physician::national_number(number);
    match &number {
        PhysicianNumber::Rpps(rpps) => trail.record(name, rpps, person.place, ""),
        PhysicianNumber::Other(other) => {
            let name = format_args!("{name}_number");
            trail.record(name, &other.value, person.place, &other.kind);
        }
    }
    for (part, text) in [("family", &person.family), ("given", &person.given)] {
        if let Some(text) = text {
            let place = format!("{}/{part}", person.name_place);
            trail.record(format_args!("{name}_{part}"), text, place.as_str(), "");
        }
    }
    match &number {
        PhysicianNumber::Rpps(rpps) => {
            physician::warn_of_rpps(rpps, Location::named(place), warnings);
        }
        PhysicianNumber::Other(_) => physician::warn_of_no_rpps(Location::named(place), warnings),
    }
    Ok(Physician {
        number: Some(number),
        family: person.family.clone(),
        given: person.given.clone(),
    })
}

/// The calendar date as written, never shifted.
fn session_date(written: Option<&HeaderValue>, trail: &mut Trail) -> Result<NaiveDate, Refusal> {
    let written = written.ok_or_else(|| missing("date of the session", places::SESSION_DATE))?;
    let date = scheduling::read_session_date(&written.text).map_err(|refusal| {
        refusal
            .at(Location::named(written.place))
            .with_value(&written.text)
    });
    let rule = match written.place {
        places::EVENT_DATE => "fallback: that of the documented act with code 39",
        _ => "",
    };
    trail.read("session_date", &date, &written.text, written.place, rule);
    date
}
