//! Searches in values, nearly all of which are short, and in whole messages.

use memchr::memchr;

/// So many bytes are looked through one by one: to set up a search of many at a time costs more.
const SHORT: usize = 16;

/// Where a byte first stands.
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(SHORT));
    near.iter()
        .position(|it| *it == byte)
        .or_else(|| match far {
            [] => None,
            far => Some(memchr(byte, far)?.saturating_add(SHORT)),
        })
}

/// Each place of a byte but the first, of which this holds, given the byte before it.
pub(super) fn places_behind(
    byte: u8,
    bytes: &[u8],
    holds: impl Fn(u8) -> bool,
) -> impl Iterator<Item = usize> {
    const NEAR: usize = 32;
    let mut at = 1_usize;
    std::iter::from_fn(move || {
        loop {
            let from = at.saturating_sub(1);
            let near = bytes.get(from..bytes.len().min(at.saturating_add(NEAR)))?;
            let is_it = |pair: &[u8]| matches!(pair, [before, it] if *it == byte && holds(*before));
            if let Some(found) = near.windows(2).position(is_it) {
                let place = at.saturating_add(found);
                at = place.saturating_add(1);
                return Some(place);
            }
            let past = from.saturating_add(near.len());
            at = past.saturating_add(memchr(byte, bytes.get(past..)?)?);
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_is_found(bytes in prop::collection::vec(0_u8..8, 0..300)) {
            prop_assert_eq!(find(7, &bytes), bytes.iter().position(|it| *it == 7));
            let holds = |before| before < 5;
            let found: Vec<usize> = places_behind(7, &bytes, holds).collect();
            let expected: Vec<usize> = (1..bytes.len())
                .filter(|at| bytes[*at] == 7 && holds(bytes[at - 1]))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
