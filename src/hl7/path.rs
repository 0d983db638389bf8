//! Positions in a message, as integrators write them: `PV1-3.9`, `PID-3(2).1`, `OBX(2)-5.5` (interface.md 2).

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a value stands, and how it is named in outcomes.
///
/// Occurrence and repetition count from 1; 0 stands for a part that is not given, so that a position can name a
/// whole segment, field or component.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    name: SegmentName,
    occurrence: u32,
    field: u32,
    repetition: u32,
    component: u32,
    subcomponent: u32,
}

/// A position in the configuration, where one looks for a value.
pub type Path = Position;

impl Position {
    /// A whole segment, the first of its name. Of a longer name, the first three characters count.
    pub fn of_segment(name: &str) -> Self {
        Self {
            name: SegmentName::of(name.as_bytes()),
            occurrence: 1,
            field: 0,
            repetition: 1,
            component: 0,
            subcomponent: 0,
        }
    }

    /// The same in the segment's n-th occurrence in its message.
    pub fn with_occurrence(self, occurrence: u32) -> Self {
        Self { occurrence, ..self }
    }

    /// The same with a field number.
    pub fn with_field(self, field: u32) -> Self {
        Self { field, ..self }
    }

    /// The same in the n-th repetition of the field.
    pub fn with_repetition(self, repetition: u32) -> Self {
        Self { repetition, ..self }
    }

    /// The same with a component number.
    pub fn with_component(self, component: u32) -> Self {
        Self { component, ..self }
    }

    /// The same with a subcomponent number.
    pub fn with_subcomponent(self, subcomponent: u32) -> Self {
        Self {
            subcomponent,
            ..self
        }
    }

    /// The name of the segment.
    pub fn segment(&self) -> &str {
        self.name.as_str()
    }

    /// Which of the segments of its name, from 1.
    pub fn occurrence(&self) -> u32 {
        self.occurrence
    }

    /// The field number, 0 for the whole segment.
    pub fn field(&self) -> u32 {
        self.field
    }

    /// Which repetition of the field, from 1.
    pub fn repetition(&self) -> u32 {
        self.repetition
    }

    /// The component number, 0 for the whole field.
    pub fn component(&self) -> u32 {
        self.component
    }

    /// The subcomponent number, 0 for the whole component.
    pub fn subcomponent(&self) -> u32 {
        self.subcomponent
    }

    /// The position as ERR-2 takes it: `PID^1^13^1^1` (data type ERL, HL7 v2.5 chapter 2.A.28).
    pub fn erl(&self) -> String {
        let mut parts = [
            self.occurrence,
            self.field,
            self.repetition,
            self.component,
            self.subcomponent,
        ];
        if self.component == 0 && self.repetition == 1 {
            parts[2] = 0;
        }
        let mut text = self.segment().to_owned();
        for part in parts.iter().take_while(|part| **part > 0) {
            // Writing to a string does not fail.
            let _ = write!(text, "^{part}");
        }
        text
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.segment())?;
        if self.occurrence > 1 {
            write!(f, "({})", self.occurrence)?;
        }
        if self.field > 0 {
            write!(f, "-{}", self.field)?;
            if self.repetition > 1 {
                write!(f, "({})", self.repetition)?;
            }
            for part in [self.component, self.subcomponent] {
                if part > 0 {
                    write!(f, ".{part}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that names no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a field such as PV1-7, PV1-3.9 or PID-3(2).1, found \"{found}\": {problem}")]
pub struct PathError {
    found: String,
    problem: &'static str,
}

impl FromStr for Position {
    type Err = PathError;

    /// Reads the position of a field or of a part of one.
    fn from_str(text: &str) -> Result<Self, PathError> {
        read(text).map_err(|problem| PathError {
            found: text.to_owned(),
            problem,
        })
    }
}

fn read(text: &str) -> Result<Position, &'static str> {
    let (segment, rest) = text
        .split_once('-')
        .ok_or("a \"-\" between segment and field is missing")?;
    let (name, occurrence) = numbered(segment)?;
    if !SegmentName::is_valid(name.as_bytes()) {
        return Err("a segment name is an upper-case letter and two upper-case letters or digits");
    }
    let (field, rest) = match rest.split_once('.') {
        Some((field, rest)) => (field, Some(rest)),
        None => (rest, None),
    };
    let (field, repetition) = numbered(field)?;
    let (component, subcomponent) =
        match rest.map(|rest| rest.split_once('.').unwrap_or((rest, ""))) {
            None => (0, 0),
            Some((_, "")) if text.ends_with('.') => {
                return Err("a number is missing after the last \".\"");
            }
            Some((component, "")) => (number(component)?, 0),
            Some((component, subcomponent)) => (number(component)?, number(subcomponent)?),
        };
    Ok(Position {
        name: SegmentName::of(name.as_bytes()),
        occurrence,
        field: number(field)?,
        repetition,
        component,
        subcomponent,
    })
}

/// A part that may carry its number in parentheses, which else is 1.
fn numbered(part: &str) -> Result<(&str, u32), &'static str> {
    match part.split_once('(') {
        None => Ok((part, 1)),
        Some((part, count)) => {
            let count = count.strip_suffix(')').ok_or("a \")\" is missing")?;
            Ok((part, number(count)?))
        }
    }
}

fn number(digits: &str) -> Result<u32, &'static str> {
    match digits.parse() {
        Ok(number) if number > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err("fields, repetitions and components are numbers from 1"),
    }
}

impl TryFrom<String> for Position {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

/// The three characters that name a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SegmentName([u8; 3]);

impl SegmentName {
    /// The name that starts these bytes, in capitals; what is no ASCII becomes `?`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let at = |place: usize| {
            bytes
                .get(place)
                .copied()
                .filter(u8::is_ascii_graphic)
                .unwrap_or(b'?')
                .to_ascii_uppercase()
        };
        Self([at(0), at(1), at(2)])
    }

    fn is_valid(bytes: &[u8]) -> bool {
        match bytes {
            [first, rest @ ..] => {
                rest.len() == 2
                    && first.is_ascii_uppercase()
                    && rest
                        .iter()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
            [] => false,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_written_alike() {
        for (text, erl) in [
            ("PV1-3.9", "PV1^1^3^1^9"),
            ("SCH-11.4", "SCH^1^11^1^4"),
            ("AIS-4", "AIS^1^4"),
            ("PID-3(2).1", "PID^1^3^2^1"),
            ("PID-13.1", "PID^1^13^1^1"),
            ("PID-11.1.2", "PID^1^11^1^1^2"),
            ("OBX(2)-5.5", "OBX^2^5^1^5"),
            ("PID-13(2)", "PID^1^13^2"),
            ("ZZ9-4000000000", "ZZ9^1^4000000000"),
        ] {
            let position: Position = text.parse().unwrap();
            assert_eq!(position.to_string(), text);
            assert_eq!(position.erl(), erl);
            let json = serde_json::to_string(&position).unwrap();
            assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
        }
        assert_eq!("PID-3(1).1".parse::<Position>(), "PID-3.1".parse());
        assert_eq!(Position::of_segment("PID").to_string(), "PID");
        assert_eq!(Position::of_segment("PID").erl(), "PID^1");
        assert_eq!(
            Position::of_segment("PID").with_field(5).to_string(),
            "PID-5"
        );
    }

    #[test]
    fn what_names_no_field_is_refused_with_the_reason() {
        for (text, problem) in [
            ("", "\"-\""),
            ("PV1", "\"-\""),
            ("PV1.3.9", "\"-\""),
            ("pv1-3", "upper-case"),
            ("PV-3", "upper-case"),
            ("1PV-3", "upper-case"),
            ("É1-3", "upper-case"),
            ("PV1-", "numbers"),
            ("PV1-0", "numbers"),
            ("PV1-+3", "numbers"),
            ("PV1-x", "numbers"),
            ("PV1-4294967296", "numbers"),
            ("PV1-3(2.1", "\")\""),
            ("PV1-3(0).1", "numbers"),
            ("PV1-3.", "missing after"),
            ("PV1-3.1.", "missing after"),
            ("PV1-3..1", "numbers"),
            ("PV1-3.1.2.3", "numbers"),
            ("PV1-3.1(2)", "numbers"),
        ] {
            let error = text.parse::<Position>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(error.contains("PV1-3.9"), "{text}: {error}");
        }
    }
}
