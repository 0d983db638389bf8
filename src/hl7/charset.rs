//! The character set of a message: what MSH-18 declares, and what its bytes say (interface.md 2, "Character set").
//!
//! Only sets in which a delimiter byte is never part of another character can be split before they are decoded:
//! UTF-8 and the single-byte supersets of ASCII. Others count as unknown.
//!
//! Each value is read by itself: senders put texts of several systems into one message, and a byte that is wrong in
//! one of them says nothing of the others.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::hexadecimal::hexadecimal_values;

/// How the bytes of a message are read as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

/// A doubt about the character set that goes with the outcome of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CharsetWarning {
    /// MSH-18 names a set that is not known: `charset-unknown`.
    Unknown,
    /// Bytes of a value are not what MSH-18 says: `charset-mismatch`.
    Mismatch,
    /// The file came in UTF-16, and MSH-18 says something else: `charset-mismatch`.
    NotUtf16,
    /// A value has control characters (C1): `charset-control`.
    Control,
    /// Characters of a value are written as XML writes them (`&apos;`): `charset-mismatch`.
    Entity,
}

/// What of a message is in doubt about its character set; values are told by their place in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CharsetDoubts {
    /// MSH-18 names a set that is not known.
    pub is_unknown: bool,
    /// The file came in UTF-16, which MSH-18 does not say.
    pub is_not_utf_16: bool,
    /// The first value that is not what MSH-18 says.
    pub mismatch: Option<usize>,
    /// The first value that has control characters (C1).
    pub control: Option<usize>,
}

impl Charset {
    /// UTF-8, the set where none is declared.
    pub const UTF_8: Self = Self(UTF_8);

    /// Decides how to read the values of a message from the first repetition of MSH-18; its values, told apart by these
    /// separators, are looked at for the doubts.
    ///
    /// `encoding_rs` reads ISO-8859-1 as its superset windows-1252 ([`CharsetCoverage`]), which has a character for every byte: it
    /// is what text falls back to that is not what it was declared to be.
    pub(super) fn decide(
        declared: &[u8],
        message: &[u8],
        separators: &[u8],
    ) -> (Self, CharsetDoubts) {
        let (declared, is_unknown) = match Msh18Charset::named(declared) {
            Some(declared) => (declared, false),
            None => (Msh18Charset::Utf8, true),
        };
        let mut doubts = CharsetDoubts {
            is_unknown,
            ..CharsetDoubts::default()
        };
        let is_as_declared = match declared {
            // The usual ones, told fast.
            Msh18Charset::Utf8 => std::str::from_utf8(message).is_ok(),
            Msh18Charset::Ascii | Msh18Charset::SingleByte(..) => message.is_ascii(),
        };
        if is_as_declared {
            doubts.control = first_c1(message);
        } else {
            for (at, value) in beyond_ascii(message, separators) {
                let is_utf8 = std::str::from_utf8(value).is_ok();
                if is_utf8 && first_c1(value).is_some() {
                    doubts.control.get_or_insert(at);
                }
                let is_otherwise = match declared {
                    Msh18Charset::SingleByte(encoding, meant) if !is_utf8 => {
                        match encoding.decode_without_bom_handling_and_without_replacement(value) {
                            Some(text) => {
                                if has_c1(&text) {
                                    doubts.control.get_or_insert(at);
                                }
                                meant.is_not(value, &text)
                            }
                            None => true,
                        }
                    }
                    Msh18Charset::Utf8 => !is_utf8,
                    _ => true,
                };
                if is_otherwise {
                    doubts.mismatch.get_or_insert(at);
                }
            }
        }
        if let Msh18Charset::SingleByte(encoding, meant) = declared {
            for (at, bytes) in hexadecimal_values(message) {
                let read = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
                let Some(text) = read else { continue };
                let first = |known: Option<usize>| Some(known.map_or(at, |known| known.min(at)));
                if has_c1(&text) {
                    doubts.control = first(doubts.control);
                }
                if meant.is_not(&bytes, &text) {
                    doubts.mismatch = first(doubts.mismatch);
                }
            }
        }
        (Self(declared.encoding()), doubts)
    }

    /// Whether a message that came in UTF-16 says in MSH-18 that it is in something else.
    pub(super) fn contradicts_utf_16(declared: &[u8]) -> bool {
        let name: String = declared
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        !name.is_empty() && name != "unicode" && !name.contains("utf16") && !name.contains("ucs2")
    }

    /// How this value is read: as UTF-8 where it is that and has a character beyond ASCII, else as it is declared.
    pub(super) fn of(self, value: &[u8]) -> Self {
        match !value.is_ascii() && std::str::from_utf8(value).is_ok() {
            true => Self::UTF_8,
            false => self,
        }
    }

    /// The name of the set, as in `ISO-8859-15`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Reads a value as text; ASCII and UTF-8 are not copied.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Cow::Borrowed(text);
        }
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
    /// The warning's code in interface.md 10.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "charset-unknown",
            Self::Mismatch | Self::NotUtf16 | Self::Entity => "charset-mismatch",
            Self::Control => "charset-control",
        }
    }
}

/// What MSH-18 says (HL7 table 0211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Msh18Charset {
    Utf8,
    Ascii,
    SingleByte(&'static Encoding, CharsetCoverage),
}

impl Msh18Charset {
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
            .map(|encoding| {
                Self::SingleByte(encoding, CharsetCoverage::by(label.as_bytes(), encoding))
            })
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 | Self::Ascii => UTF_8,
            Self::SingleByte(encoding, _) => encoding,
        }
    }
}

/// What a name of a set means of the set as which it is read: `encoding_rs` reads ASCII, ISO-8859-1, -9 and -11 as the
/// sets of Windows that contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CharsetCoverage {
    /// All of it.
    Whole,
    /// All of it, but control characters (C1) where the set of Windows has signs.
    WithControls,
    /// Only what is ASCII in it.
    Ascii,
}

impl CharsetCoverage {
    /// What this name means, which is read as this set.
    pub(crate) fn by(label: &[u8], encoding: &'static Encoding) -> Self {
        let label = label.trim_ascii().to_ascii_lowercase();
        let own: [&[u8]; 3] = match encoding.name() {
            "windows-1252" => [b"windows-1252", b"cp1252", b"x-cp1252"],
            "windows-1254" => [b"windows-1254", b"cp1254", b"x-cp1254"],
            "windows-874" => [b"windows-874", b"dos-874", b"cp874"],
            _ => return Self::Whole,
        };
        let ascii: [&[u8]; 3] = [b"ascii", b"us-ascii", b"ansi_x3.4-1968"];
        match label.as_slice() {
            label if own.contains(&label) => Self::Whole,
            label if ascii.contains(&label) => Self::Ascii,
            _ => Self::WithControls,
        }
    }

    /// Whether these bytes say something else in the set that is meant than this text, as which they were read.
    pub(crate) fn is_not(self, bytes: &[u8], text: &str) -> bool {
        match self {
            Self::Whole => false,
            Self::Ascii => !bytes.is_ascii(),
            Self::WithControls => bytes.iter().zip(text.chars()).any(|(byte, read)| {
                matches!(byte, 0x80..=0x9f) && u32::from(read) != u32::from(*byte)
            }),
        }
    }
}

/// Whether a text has control characters beyond ASCII (C1), which nobody writes.
fn has_c1(text: &str) -> bool {
    text.chars().any(|it| it.is_control() && !it.is_ascii())
}

/// Where the first such character stands in text in UTF-8.
pub(crate) fn first_c1(text: &[u8]) -> Option<usize> {
    let is_c1 = |at: &usize| matches!(text.get(*at..), Some([_, 0x80..=0x9f, ..]));
    memchr::memchr_iter(0xc2, text).find(is_c1)
}

/// The values of some bytes, told apart by these separators and by line ends, that are beyond ASCII, and where they
/// begin.
pub(crate) fn beyond_ascii<'m>(
    message: &'m [u8],
    separators: &'m [u8],
) -> impl Iterator<Item = (usize, &'m [u8])> + use<'m> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n') || separators.contains(byte);
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = message.get(from..)?;
        // Documents are long, and ASCII.
        let ascii = rest
            .chunks(1024)
            .take_while(|chunk| chunk.is_ascii())
            .count()
            * 1024;
        let in_chunk = rest
            .get(ascii..)?
            .iter()
            .position(|byte| !byte.is_ascii())?;
        let at = ascii + in_chunk;
        let (before, after) = rest.split_at_checked(at)?;
        let start = before.iter().rposition(is_end).map_or(0, |end| end + 1);
        let length = after.iter().position(is_end).unwrap_or(after.len());
        let value = rest.get(start..at + length)?;
        let place = from + start;
        from += at + length;
        Some((place, value))
    })
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
            let found =
                Msh18Charset::named(name.as_bytes()).map(|declared| declared.encoding().name());
            assert_eq!(found, Some(set), "{name}");
        }
        for name in ["ASCII", "US-ASCII", "ISO IR6"] {
            assert_eq!(
                Msh18Charset::named(name.as_bytes()),
                Some(Msh18Charset::Ascii),
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
            assert_eq!(Msh18Charset::named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_bytes_decide_where_the_name_is_wrong() {
        use CharsetWarning::{Control, Mismatch, Unknown};
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
            ("8859/15", b"l\x92avis", "l\u{92}avis", &[Control]),
            ("8859/1", b"l\x92avis", "l\u{2019}avis", &[Mismatch]),
            ("8859/1", b"C\x8Cur", "CŒur", &[Mismatch]),
            ("Latin1", b"C\x8Cur", "CŒur", &[Mismatch]),
            ("8859/1", b"\x8C \x81", "Œ \u{81}", &[Mismatch, Control]),
            ("8859/1", b"\x81", "\u{81}", &[Control]),
            ("8859/15", b"\\X92\\", "\\X92\\", &[Control]),
            ("8859/1", b"a\\XE9\\", "a\\XE9\\", &[]),
            (
                "8859/15",
                b"\\X0D0A\\ \\Xx\\ \\X",
                "\\X0D0A\\ \\Xx\\ \\X",
                &[],
            ),
            ("UTF-8", b"\\X92\\", "\\X92\\", &[]),
            ("UTF-8", b"\xC2\xA0l\xC2\xABavis", "\u{a0}l«avis", &[]),
            ("windows-1252", b"C\x8Cur", "CŒur", &[]),
            ("CP1252", b"C\x8Cur", "CŒur", &[]),
            ("8859/7", b"\xE1\xFF", "áÿ", &[Mismatch]),
            ("JAS2020", b"Benoit", "Benoit", &[Unknown]),
            ("JAS2020", b"Beno\xEEt", "Benoît", &[Unknown, Mismatch]),
        ];
        for (declared, bytes, text, warnings) in cases {
            let (charset, found) = Charset::decide(declared.as_bytes(), bytes, b"|");
            assert_eq!(charset.decode(bytes), *text, "{declared}");
            let expected = CharsetDoubts {
                is_unknown: warnings.contains(&Unknown),
                is_not_utf_16: false,
                mismatch: warnings.contains(&Mismatch).then_some(0),
                control: warnings.contains(&Control).then_some(0),
            };
            assert_eq!(found, expected, "{declared} {text}");
        }
    }

    /// Of each set of 8859, the bytes that it has control characters for are kept as these or read otherwise, and never
    /// without a warning.
    #[test]
    fn control_characters_of_8859_are_never_read_in_silence() {
        for part in (1..=16).filter(|part| *part != 12) {
            for byte in 0x80..=0x9f_u8 {
                let declared = format!("8859/{part}");
                let value = [b'a', byte];
                let (charset, doubts) = Charset::decide(declared.as_bytes(), &value, b"|");
                let is_kept = charset.decode(&value).chars().nth(1) == Some(char::from(byte));
                let expected = CharsetDoubts {
                    mismatch: (!is_kept).then_some(0),
                    control: is_kept.then_some(0),
                    ..CharsetDoubts::default()
                };
                assert_eq!(doubts, expected, "{declared} {byte:x}");
            }
        }
    }

    #[test]
    fn control_characters_in_utf_8_are_told() {
        for declared in ["", "UTF-8", "8859/1", "8859/15", "ASCII"] {
            let message = "MSH|é|l\u{92}avis";
            let (_, doubts) = Charset::decide(declared.as_bytes(), message.as_bytes(), b"|^~&");
            assert!(
                matches!(doubts.control, Some(7 | 8)),
                "{declared} {doubts:?}"
            );
        }
        let mixed = [b"MSH|\xe9|", "l\u{92}avis".as_bytes()].concat();
        let (_, doubts) = Charset::decide(b"UTF-8", &mixed, b"|^~&");
        assert_eq!((doubts.mismatch, doubts.control), (Some(4), Some(6)));
    }

    #[test]
    fn bytes_that_are_written_as_escapes_count_too() {
        let message = b"MSH|a\\X8CA9\\|l\x92avis";
        let (_, doubts) = Charset::decide(b"8859/1", message, b"|^~&");
        assert_eq!((doubts.mismatch, doubts.control), (Some(5), None));
    }

    /// Every way in which two values can be written, in one message of every declared set.
    #[test]
    fn each_value_is_read_by_itself() {
        let written: [(&[u8], bool); 3] = [
            (b"Benoit", true),
            ("Benoît".as_bytes(), true),
            (b"Beno\xEEt", false),
        ];
        for (declared, is_utf8) in [
            ("", true),
            ("UTF-8", true),
            ("8859/1", false),
            ("8859/15", false),
        ] {
            for (one, one_is_utf8) in written {
                for (other, other_is_utf8) in written {
                    let message = [b"MSH|", one, b"|PDF|", other].concat();
                    let (charset, doubts) = Charset::decide(declared.as_bytes(), &message, b"|^~&");
                    for value in [one, other] {
                        let text = charset.decode(value);
                        let expected = if value.is_ascii() {
                            "Benoit"
                        } else {
                            "Benoît"
                        };
                        assert_eq!(text, expected, "{declared}");
                    }
                    let is_otherwise = |value: &[u8], is: bool| !value.is_ascii() && is != is_utf8;
                    let expected = match (
                        is_otherwise(one, one_is_utf8),
                        is_otherwise(other, other_is_utf8),
                    ) {
                        (true, _) => Some(4),
                        (false, true) => Some(4 + one.len() + 5),
                        (false, false) => None,
                    };
                    assert_eq!(doubts.mismatch, expected, "{declared} {message:?}");
                }
            }
        }
    }
}
