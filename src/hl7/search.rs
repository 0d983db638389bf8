//! Searches for single bytes in values, nearly all of which are short.
//!
//! To set up a search of many bytes at a time costs more than to look through a short value.

use memchr::{memchr, memchr2};

/// So many bytes are looked through one by one.
const SHORT: usize = 16;

/// Where a byte first stands.
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    first_of(bytes, |it| it == byte, |far| memchr(byte, far))
}

/// Each place where a byte stands.
pub(super) fn places(byte: u8, bytes: &[u8]) -> impl Iterator<Item = usize> {
    each_of(bytes, move |rest| find(byte, rest))
}

/// Each place where one of two bytes stands.
pub(super) fn places_of_two(one: u8, two: u8, bytes: &[u8]) -> impl Iterator<Item = usize> {
    let find = move |rest: &[u8]| {
        first_of(
            rest,
            |it| it == one || it == two,
            |far| memchr2(one, two, far),
        )
    };
    each_of(bytes, find)
}

fn first_of(
    bytes: &[u8],
    is_it: impl Fn(u8) -> bool,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(SHORT));
    near.iter()
        .position(|byte| is_it(*byte))
        .or_else(|| match far {
            [] => None,
            far => Some(find(far)?.saturating_add(SHORT)),
        })
}

fn each_of(bytes: &[u8], find: impl Fn(&[u8]) -> Option<usize>) -> impl Iterator<Item = usize> {
    let mut from = 0_usize;
    std::iter::from_fn(move || {
        let at = find(bytes.get(from..)?)?.saturating_add(from);
        from = at.saturating_add(1);
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_is_found(bytes in prop::collection::vec(0_u8..40, 0..200)) {
            let expected = |wanted: &[u8]| -> Vec<usize> {
                (0..bytes.len()).filter(|at| wanted.contains(&bytes[*at])).collect()
            };
            prop_assert_eq!(find(7, &bytes), expected(&[7]).first().copied());
            prop_assert_eq!(places(7, &bytes).collect::<Vec<_>>(), expected(&[7]));
            prop_assert_eq!(places_of_two(7, 9, &bytes).collect::<Vec<_>>(), expected(&[7, 9]));
        }
    }
}
