//! The choice of the address in PID-11: all of its parts, or none (interface.md 3).

use crate::hl7::{Field, Repetition};
use crate::intake::field_update::{FieldUpdate, text};
use crate::intake::trail::Trail;
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::patient::Address;

/// Reads the address from PID-11: all four parts, or none.
pub(super) fn address(
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

/// Whether the first subcomponent of a street holds the others (its name and number: SAD); else they are text around an
/// `&`.
fn is_street(street: &crate::hl7::Component<'_>, first: &str) -> bool {
    let first = first.to_lowercase();
    [2, 3].into_iter().all(|part| {
        let part = text(&street.subcomponent(part)).unwrap_or_default();
        first.contains(&part.to_lowercase())
    })
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
