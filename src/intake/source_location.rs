//! Where a datum stands in a message or a CDA, as the readings keep it until it must be told.

use crate::hl7::Position;
use crate::model::outcome::Location;

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

impl From<Position> for Location {
    fn from(position: Position) -> Self {
        Self {
            shown: position.to_string(),
            erl: Some(position.erl()),
        }
    }
}
