//! The character set of a message: what MSH-18 declares, and what its bytes say (SPEC 2, "Character set").
//!
//! Only sets in which a delimiter byte is never part of another character can be split before they are decoded:
//! UTF-8 and the single-byte supersets of ASCII. Others count as unknown.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{Encoding, ISO_8859_15, UTF_8, WINDOWS_1252};

/// How the bytes of a message are read as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

/// A doubt about the character set that goes with the outcome of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CharsetWarning {
    /// MSH-18 names a set that is not known: `charset-unknown`.
    Unknown,
    /// The bytes are not what MSH-18 says: `charset-mismatch`.
    Mismatch,
}

impl Charset {
    /// UTF-8, the set where none is declared.
    pub const UTF_8: Self = Self(UTF_8);

    /// Decides how to read a message from the first repetition of MSH-18 and from all its bytes.
    ///
    /// `encoding_rs` reads ISO-8859-1 as its superset windows-1252, which has a character for every byte: it is
    /// what text falls back to that is not what it was declared to be.
    pub(super) fn decide(declared: &[u8], message: &[u8]) -> (Self, &'static [CharsetWarning]) {
        use CharsetWarning::{Mismatch, Unknown};
        let (declared, unknown) = match Declared::named(declared) {
            Some(declared) => (declared, false),
            None => (Declared::Utf8, true),
        };
        let (encoding, mismatch) = if message.is_ascii() {
            (declared.encoding(), false)
        } else {
            let is_utf8 = std::str::from_utf8(message).is_ok();
            match declared {
                Declared::Utf8 if is_utf8 => (UTF_8, false),
                _ if is_utf8 => (UTF_8, true),
                Declared::SingleByte(encoding) if has_every_byte(encoding, message) => {
                    (encoding, false)
                }
                _ => (WINDOWS_1252, true),
            }
        };
        let warnings: &[CharsetWarning] = match (unknown, mismatch) {
            (false, false) => &[],
            (true, false) => &[Unknown],
            (false, true) => &[Mismatch],
            (true, true) => &[Unknown, Mismatch],
        };
        (Self(encoding), warnings)
    }

    /// The name of the set, as in `ISO-8859-15`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Reads bytes as text; ASCII and UTF-8 are not copied.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        self.decode_strictly(bytes)
            .unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(bytes).0)
    }

    /// Reads bytes as text, or not at all if one of them has no meaning in this set.
    pub(super) fn decode_strictly(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        if self.0 == UTF_8 {
            // Faster than the general way, and the short values of a message are nearly all like this.
            return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        }
        self.0
            .decode_without_bom_handling_and_without_replacement(bytes)
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CharsetWarning {
    /// The warning's code in SPEC 10.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "charset-unknown",
            Self::Mismatch => "charset-mismatch",
        }
    }
}

/// What MSH-18 says (HL7 table 0211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Utf8,
    Ascii,
    SingleByte(&'static Encoding),
}

impl Declared {
    /// The set of this name, of which case, space, `-`, `_` and `/` do not matter.
    fn named(name: &[u8]) -> Option<Self> {
        let name: String = name
            .iter()
            .filter(|byte| !matches!(byte, b' ' | b'-' | b'_' | b'/'))
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        let name = match name.strip_prefix("unicode").filter(|rest| !rest.is_empty()) {
            Some(rest) => rest,
            None => &name,
        };
        match name {
            "" | "utf8" => return Some(Self::Utf8),
            "ascii" | "usascii" | "isoir6" | "iso646" => return Some(Self::Ascii),
            _ => {}
        }
        let label = match name.strip_prefix("iso").unwrap_or(name) {
            "885916" => "iso-8859-16".to_owned(),
            part if part.starts_with("8859") => format!("iso{part}"),
            _ => match name.strip_prefix("windows") {
                Some(page) => format!("cp{page}"),
                None => name.to_owned(),
            },
        };
        Encoding::for_label(label.as_bytes())
            .filter(|encoding| encoding.is_single_byte() && encoding.is_ascii_compatible())
            .map(Self::SingleByte)
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 | Self::Ascii => UTF_8,
            Self::SingleByte(encoding) => encoding,
        }
    }
}

/// Whether each byte of the message is a character in this set: some have gaps.
fn has_every_byte(encoding: &'static Encoding, message: &[u8]) -> bool {
    if [WINDOWS_1252, ISO_8859_15].contains(&encoding) {
        // The usual ones have no gaps.
        return true;
    }
    let mut seen = [false; 256];
    for byte in message {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let distinct: Vec<u8> = (0..=u8::MAX)
        .filter(|byte| seen.get(usize::from(*byte)) == Some(&true))
        .collect();
    encoding
        .decode_without_bom_handling_and_without_replacement(&distinct)
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        for (name, set) in [
            ("", "UTF-8"),
            ("UNICODE UTF-8", "UTF-8"),
            ("UTF8", "UTF-8"),
            ("utf-8", "UTF-8"),
            ("8859/1", "windows-1252"),
            ("8859-1", "windows-1252"),
            ("ISO-8859-1", "windows-1252"),
            ("ISO_8859/1", "windows-1252"),
            ("8859/2", "ISO-8859-2"),
            ("8859/5", "ISO-8859-5"),
            ("8859/7", "ISO-8859-7"),
            ("8859/9", "windows-1254"),
            ("8859-15", "ISO-8859-15"),
            ("8859/15", "ISO-8859-15"),
            ("iso 8859-15", "ISO-8859-15"),
            ("8859/16", "ISO-8859-16"),
            ("windows-1252", "windows-1252"),
            ("CP1250", "windows-1250"),
            ("Latin1", "windows-1252"),
        ] {
            let found = Declared::named(name.as_bytes()).map(|declared| declared.encoding().name());
            assert_eq!(found, Some(set), "{name}");
        }
        for name in ["ASCII", "US-ASCII", "ISO IR6"] {
            assert_eq!(
                Declared::named(name.as_bytes()),
                Some(Declared::Ascii),
                "{name}"
            );
        }
        for name in [
            "UNICODE",
            "UNICODE UTF-16",
            "UTF-16",
            "JAS2020",
            "ISO IR87",
            "GB 18030-2000",
            "BIG-5",
            "8859",
            "8859/99",
            "EBCDIC",
            "\u{e9}",
        ] {
            assert_eq!(Declared::named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_bytes_decide_where_the_name_is_wrong() {
        use CharsetWarning::{Mismatch, Unknown};
        let cases: &[(&str, &[u8], &str, &[CharsetWarning])] = &[
            ("", "Benoît".as_bytes(), "Benoît", &[]),
            ("", b"Benoit", "Benoit", &[]),
            ("", b"Beno\xEEt", "Benoît", &[Mismatch]),
            ("UTF-8", b"Beno\xEEt \x80", "Benoît €", &[Mismatch]),
            ("8859/1", b"Beno\xEEt", "Benoît", &[]),
            ("8859/1", "Benoît".as_bytes(), "Benoît", &[Mismatch]),
            ("8859/1", b"Benoit", "Benoit", &[]),
            ("8859/15", b"Beno\xEEt \xA4", "Benoît €", &[]),
            ("ASCII", b"Beno\xEEt", "Benoît", &[Mismatch]),
            ("ASCII", "Benoît".as_bytes(), "Benoît", &[Mismatch]),
            ("8859/7", b"\xE1\xFF", "áÿ", &[Mismatch]),
            ("JAS2020", b"Benoit", "Benoit", &[Unknown]),
            ("JAS2020", b"Beno\xEEt", "Benoît", &[Unknown, Mismatch]),
        ];
        for (declared, bytes, text, warnings) in cases {
            let (charset, found) = Charset::decide(declared.as_bytes(), bytes);
            assert_eq!(charset.decode(bytes), *text, "{declared}");
            assert_eq!(found, *warnings, "{declared} {text}");
        }
    }
}
