//! Positions in messages as they stand in the configuration, until the reading of HL7 brings its own type for them.

use std::{fmt, str::FromStr};

/// A position in a message as integrators write it, such as `PID-3(2).1` (SPEC 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// The position as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| matches!(text.parse::<u16>(), Ok(1..)) && !text.starts_with('+');
        let (segment, rest) = text.split_once('-').ok_or(())?;
        let mut numbers = rest.split('.');
        let field = numbers.next().ok_or(())?;
        let (field, repetition) = match field.strip_suffix(')').map(|field| field.split_once('(')) {
            None => (field, "1"),
            Some(Some(parts)) => parts,
            Some(None) => return Err(()),
        };
        let mut letters = segment.bytes();
        let is_segment = segment.len() == 3
            && letters
                .next()
                .is_some_and(|letter| letter.is_ascii_uppercase())
            && letters.all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        let parts: Vec<&str> = numbers.collect();
        let is_path = is_segment
            && number(field)
            && number(repetition)
            && parts.len() <= 2
            && parts.into_iter().all(number);
        is_path.then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A position that stands in this program.
pub(super) fn position(text: &str) -> FieldPath {
    FieldPath(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_integrators_write_it() {
        for (text, good) in [
            ("PID-3", true),
            ("AIL-3.9", true),
            ("PID-3(2).1", true),
            ("ZF1-1.2.3", true),
            ("PID", false),
            ("PID-", false),
            ("PID-+3", false),
            ("PID-3.", false),
            ("PID-3.1.2.3", false),
            ("PID-3(0)", false),
            ("PID-3)", false),
            ("pid-3", false),
            ("1ID-3", false),
            ("é1-3", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<FieldPath>().is_ok(), good, "{text}");
        }
    }
}
