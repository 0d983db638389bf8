//! The delimiters of a message, from MSH-1 and MSH-2 (HL7 v2.5 chapter 2.5.4).

use memchr::memchr3;

use super::ReadError;
use super::path::Position;

/// The characters that separate the parts of a message; those that MSH-2 does not name are not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delimiters {
    /// Between fields: MSH-1, usually `|`.
    pub field: u8,
    /// Between components, usually `^`.
    pub component: Option<u8>,
    /// Between repetitions of a field, usually `~`.
    pub repetition: Option<u8>,
    /// Around escape sequences, usually `\`. Without it nothing is unescaped.
    pub escape: Option<u8>,
    /// Between subcomponents, usually `&`.
    pub subcomponent: Option<u8>,
    /// Marks a truncated value, usually `#` (HL7 v2.7).
    pub truncation: Option<u8>,
}

impl Delimiters {
    /// Those between values.
    pub(super) fn separators(&self) -> Vec<u8> {
        let separators = [
            Some(self.field),
            self.component,
            self.repetition,
            self.subcomponent,
        ];
        separators.into_iter().flatten().collect()
    }

    /// Those that MSH-2 names, without the fifth.
    pub(super) fn encoding(&self) -> impl Iterator<Item = u8> {
        let named = [
            self.component,
            self.repetition,
            self.escape,
            self.subcomponent,
        ];
        named.into_iter().flatten()
    }

    /// The delimiters that HL7 recommends: `|^~\&`.
    pub const STANDARD: Self = Self {
        field: b'|',
        component: Some(b'^'),
        repetition: Some(b'~'),
        escape: Some(b'\\'),
        subcomponent: Some(b'&'),
        truncation: None,
    };

    /// Reads MSH-1 and MSH-2 of a header segment (MSH, FHS, BHS) that starts these bytes.
    ///
    /// MSH-2 holds one to five characters. HL7 asks for four; shorter ones are met in messages that do not use
    /// the rest, and since a guess could cut a value apart, what is not named does not separate.
    pub fn read(header: &[u8]) -> Result<Self, ReadError> {
        let refuse = |number, found: &[u8], problem| ReadError::Delimiters {
            position: Position::of_segment("MSH").with_field(number),
            found: found.escape_ascii().to_string(),
            problem,
        };
        let separator = header.get(3..4).unwrap_or_default();
        let field = match separator {
            [byte] if is_delimiter(*byte) => *byte,
            _ => return Err(refuse(1, separator, "a punctuation character is expected")),
        };
        let rest = header.get(4..).unwrap_or_default();
        let end = memchr3(field, b'\r', b'\n', rest).unwrap_or(rest.len());
        let named = rest.get(..end).unwrap_or_default();
        // Nothing longer than this is quoted: a header without separators would put a whole line in the error.
        let quoted = named.get(..named.len().min(8)).unwrap_or_default();
        if !(1..=5).contains(&named.len()) {
            return Err(refuse(2, quoted, "four or five characters are expected"));
        }
        if !named.iter().all(|byte| is_delimiter(*byte)) {
            return Err(refuse(
                2,
                quoted,
                "only punctuation characters can be delimiters",
            ));
        }
        for (place, byte) in named.iter().enumerate() {
            if *byte == field || named.iter().take(place).any(|before| before == byte) {
                return Err(refuse(
                    2,
                    quoted,
                    "each delimiter must be another character",
                ));
            }
        }
        let named = |place: usize| named.get(place).copied();
        Ok(Self {
            field,
            component: named(0),
            repetition: named(1),
            escape: named(2),
            subcomponent: named(3),
            truncation: named(4),
        })
    }

    /// For values in which nothing separates: MSH-1 and MSH-2 themselves.
    pub(super) fn none(self) -> Self {
        Self {
            field: self.field,
            component: None,
            repetition: None,
            escape: None,
            subcomponent: None,
            truncation: None,
        }
    }
}

/// Whether a byte can be a delimiter: ASCII punctuation, save the quote, which `""` needs.
pub(super) fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_punctuation() && byte != b'"'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_those_that_the_header_names() {
        assert_eq!(Delimiters::read(b"MSH|^~\\&|GAM"), Ok(Delimiters::STANDARD));
        assert_eq!(
            Delimiters::read(b"MSH|^~\\&\rPID"),
            Ok(Delimiters::STANDARD)
        );
        let with = |truncation| Delimiters {
            truncation,
            ..Delimiters::STANDARD
        };
        assert_eq!(Delimiters::read(b"MSH|^~\\&#|"), Ok(with(Some(b'#'))));
        assert_eq!(
            Delimiters::read(b"FHS!*%?$!GAM"),
            Ok(Delimiters {
                field: b'!',
                component: Some(b'*'),
                repetition: Some(b'%'),
                escape: Some(b'?'),
                subcomponent: Some(b'$'),
                truncation: None,
            })
        );
        assert_eq!(
            Delimiters::read(b"MSH|^~|GAM"),
            Ok(Delimiters {
                escape: None,
                subcomponent: None,
                ..Delimiters::STANDARD
            })
        );
    }

    #[test]
    fn a_header_that_does_not_say_how_to_read_is_refused() {
        for (header, position) in [
            (&b"MSH"[..], "MSH-1"),
            (b"MSH ^~\\&", "MSH-1"),
            (b"MSHA^~\\&", "MSH-1"),
            (b"MSH\"^~\\&", "MSH-1"),
            (b"MSH\xA7^~\\&", "MSH-1"),
            (b"MSH|", "MSH-2"),
            (b"MSH||GAM", "MSH-2"),
            (b"MSH|^~\\^|", "MSH-2"),
            (b"MSH|^~\\a|", "MSH-2"),
            (b"MSH|^~\\ |", "MSH-2"),
            (b"MSH|^~\\&#%|", "MSH-2"),
        ] {
            let shown = header.escape_ascii().to_string();
            match Delimiters::read(header) {
                Err(ReadError::Delimiters { position: at, .. }) => {
                    assert_eq!(at.to_string(), position, "{shown}")
                }
                other => panic!("{shown}: {other:?}"),
            }
        }
    }
}
