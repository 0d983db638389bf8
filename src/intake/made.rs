//! Ids that are made here, since nobody sent any: hashes of the facility and of the key or message that something comes
//! from, so that doing it again gives the same (interface.md 9).
//!
//! Such a key can be somebody else's by the time it is used again: a document moves with its case to another IPP, and
//! another document comes under the same unique id for the former one. So before a made id is used, its user says
//! whether it is free or the thing's own ([`own_id`]).

use sha2::{Digest, Sha256};

use crate::model::identifiers::{FacilityId, hexadecimal};
use crate::model::view::ViewError;

/// An id made from the facility and a key, the same every time.
///
/// Only for what its key leads to for good, such as the report of a case; all else asks [`own_id`].
pub fn made_id(kind: &str, facility: &FacilityId, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [kind, facility.as_str()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(key.as_bytes());
    // 96 bits: as long as the ids that facilities know, and never the same for two keys.
    hash.finalize()
        .get(..12)
        .map(hexadecimal)
        .unwrap_or_default()
}

/// The first of the ids made of a key that is the thing's own, as `is_own` says: nothing has it, or this very thing.
///
/// The second one is made of the key and of what it is sent in, which tells it from all others of that key at once; who
/// has no message gives an empty text, and the ids are tried in turn.
pub fn own_id(
    kind: &str,
    facility: &FacilityId,
    key: &str,
    sent_in: impl FnOnce() -> String,
    is_own: impl Fn(&str) -> Result<bool, ViewError>,
) -> Result<String, ViewError> {
    let first = made_id(kind, facility, key);
    if is_own(&first)? {
        return Ok(first);
    }
    let key = format!("{key}\0{}", sent_in());
    let mut number = 2_u64;
    loop {
        let next = made_id(kind, facility, &format!("{key}\0{number}"));
        if is_own(&next)? {
            return Ok(next);
        }
        number = number.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_the_same_every_time_and_differ() {
        let (one, other) = (FacilityId::new("a"), FacilityId::new("b"));
        let id = made_id("case-note", &one, "C-1");
        assert_eq!(id, made_id("case-note", &one, "C-1"));
        assert_eq!(id.len(), 24);
        for different in [
            made_id("case-note", &one, "C-2"),
            made_id("case-note", &other, "C-1"),
            made_id("case-message", &one, "C-1"),
        ] {
            assert_ne!(id, different);
        }
    }

    #[test]
    fn an_id_that_something_else_has_is_not_used() {
        let facility = FacilityId::new("a");
        let mut taken: Vec<String> = Vec::new();
        for _ in 0..5 {
            let own = |taken: &[String], message: &str| {
                let is_own = |id: &str| Ok(!taken.iter().any(|it| it == id));
                own_id("document", &facility, "K", || message.to_owned(), is_own).unwrap()
            };
            let id = own(&taken, "");
            assert_eq!(id, own(&taken, ""), "doing it again gives the same");
            if !taken.is_empty() {
                assert_ne!(id, own(&taken, "message"));
            }
            assert!(!taken.contains(&id));
            taken.push(id);
        }
        assert_eq!(taken[0], made_id("document", &facility, "K"));
    }
}
