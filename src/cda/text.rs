//! The text of a document: in the encoding of its byte-order mark, else in that which each value shows (interface.md 2,
//! "Reading XML").
//!
//! As in HL7, one value that is written otherwise than the declaration says is no reason to refuse the others, or to
//! read them wrongly.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::{malformed, place_of};
use crate::hl7::charset::{CharsetCoverage, beyond_ascii, first_c1};
use crate::model::outcome::{Refusal, Warning, WarningCode};

/// What tells values apart: markup, and the quotes around attributes.
const SEPARATORS: &[u8] = b"<>\"'";

/// A document as text, with what is in doubt about its encoding.
#[derive(Debug)]
pub(super) struct DocumentText<'a> {
    pub text: Cow<'a, str>,
    pub warnings: Vec<Warning>,
}

/// Reads the bytes of a document as text; only UTF-16 that is none is refused.
pub(super) fn decode(bytes: &[u8]) -> Result<DocumentText<'_>, Refusal> {
    let mark = Encoding::for_bom(bytes);
    match mark {
        Some((encoding, length)) if encoding != UTF_8 => {
            let text = bytes.get(length..).unwrap_or_default();
            let text = encoding
                .decode_without_bom_handling_and_without_replacement(text)
                .ok_or_else(|| {
                    malformed(format!(
                        "expected text in {}, as its byte-order mark says, found bytes that are not",
                        encoding.name()
                    ))
                })?;
            let says_so = match XmlEncoding::of(text.as_bytes()) {
                XmlEncoding::Nothing => true,
                XmlEncoding::Wide => true,
                XmlEncoding::Known(..) | XmlEncoding::Unknown => false,
            };
            let mut warnings = match says_so {
                true => Vec::new(),
                false => vec![otherwise(Some(encoding.name()), "line 1, column 1")],
            };
            warnings.extend(control(&text));
            Ok(DocumentText { text, warnings })
        }
        mark => {
            let length = mark.map_or(0, |(_, length)| length);
            let text = bytes.get(length..).unwrap_or_default();
            Ok(by_value(text, XmlEncoding::of(text), mark.is_some()))
        }
    }
}

/// Reads each value as UTF-8 where it is that, else as it is declared (where ISO-8859-1 has control characters, as
/// windows-1252), else as windows-1252.
fn by_value(bytes: &[u8], declared: XmlEncoding, is_marked: bool) -> DocumentText<'_> {
    let (encoding, meant) = match declared {
        XmlEncoding::Known(encoding, meant) if !is_marked => (encoding, meant),
        _ => (UTF_8, CharsetCoverage::Whole),
    };
    let mut mismatch = None;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => {
            if encoding != UTF_8 && !text.is_ascii() {
                mismatch = beyond_ascii(bytes, SEPARATORS).map(|(at, _)| at).next();
            }
            Cow::Borrowed(text)
        }
        Err(_) => {
            let mut text = String::with_capacity(bytes.len().saturating_add(1024));
            let mut from = 0_usize;
            for (at, value) in beyond_ascii(bytes, SEPARATORS) {
                push_ascii(&mut text, bytes.get(from..at).unwrap_or_default());
                let place = text.len();
                let (read, is_declared) = read(value, encoding);
                if !is_declared || meant.is_not(value, &read) {
                    mismatch.get_or_insert(place);
                }
                text.push_str(&read);
                from = at.saturating_add(value.len());
            }
            push_ascii(&mut text, bytes.get(from..).unwrap_or_default());
            Cow::Owned(text)
        }
    };
    let mut warnings = Vec::new();
    if declared == XmlEncoding::Unknown && !is_marked {
        warnings.push(
            Warning::new(
                WarningCode::CharsetUnknown,
                "expected an encoding that is known, such as UTF-8, in the XML declaration, found another; the document was read as UTF-8",
            )
            .at("line 1, column 1"),
        );
    }
    let names_another = match declared {
        XmlEncoding::Known(named, _) => is_marked && named != UTF_8 && !text.is_ascii(),
        XmlEncoding::Wide => true,
        XmlEncoding::Nothing | XmlEncoding::Unknown => false,
    };
    if names_another && mismatch.is_none() {
        warnings.push(otherwise(Some("UTF-8"), "line 1, column 1"));
    }
    if let Some(at) = mismatch {
        warnings.push(otherwise(None, place_of(&text, at)));
    }
    warnings.extend(control(&text));
    DocumentText { text, warnings }
}

/// The warning of control characters beyond ASCII (C1), also where they are written as XML writes a character by its
/// number.
fn control(text: &str) -> Option<Warning> {
    let bytes = text.as_bytes();
    let is_c1 = |at: &usize| number_at(text, *at).is_some_and(|it| (0x80..=0x9f).contains(&it));
    let by_number = memchr::memmem::find_iter(bytes, b"&#").find(is_c1);
    let at = first_c1(bytes).into_iter().chain(by_number).min()?;
    Some(
        Warning::new(
            WarningCode::CharsetControl,
            "expected text, found control characters (U+0080 to U+009F), as bytes become that are in another encoding than is declared, the first here; they are kept",
        )
        .at(place_of(text, at)),
    )
}

/// The number of the character that XML writes so at this place (`&#146;`, `&#x92;`).
fn number_at(text: &str, at: usize) -> Option<u32> {
    let number = text.get(at.checked_add(2)?..)?;
    let end = number.bytes().take(12).position(|it| it == b';')?;
    let number = number.get(..end)?;
    let number = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    number.ok()
}

/// A value as text, and whether it is what was declared.
fn read<'v>(value: &'v [u8], declared: &'static Encoding) -> (Cow<'v, str>, bool) {
    if let Ok(text) = std::str::from_utf8(value) {
        return (text.into(), declared == UTF_8);
    }
    match declared.decode_without_bom_handling_and_without_replacement(value) {
        Some(text) if declared != UTF_8 => (text, true),
        _ => (WINDOWS_1252.decode_without_bom_handling(value).0, false),
    }
}

fn push_ascii(text: &mut String, bytes: &[u8]) {
    text.push_str(&String::from_utf8_lossy(bytes));
}

fn otherwise(read_as: Option<&str>, place: impl Into<crate::model::outcome::Location>) -> Warning {
    let sentence = match read_as {
        Some(encoding) => format!(
            "expected text in the encoding of the XML declaration, found {encoding}, in which it was read"
        ),
        None => "expected text in the encoding of the XML declaration, found values that are not, the first here; each of these was read as UTF-8 where it is that, else as the set of Windows that contains the declared one, else as windows-1252".to_owned(),
    };
    Warning::new(WarningCode::CharsetMismatch, sentence).at(place)
}

/// What the XML declaration says of the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum XmlEncoding {
    Nothing,
    Known(&'static Encoding, CharsetCoverage),
    /// One in which a character has several bytes, none of them markup: the declaration itself is not in it.
    Wide,
    Unknown,
}

impl XmlEncoding {
    fn of(bytes: &[u8]) -> Self {
        let start = bytes.trim_ascii_start();
        let declaration = start
            .strip_prefix(b"<?xml")
            .and_then(|rest| rest.get(..memchr::memmem::find(rest, b"?>")?))
            .unwrap_or_default();
        let Some(at) = memchr::memmem::find(declaration, b"encoding") else {
            return Self::Nothing;
        };
        let value = declaration
            .get(at.saturating_add(b"encoding".len())..)
            .unwrap_or_default();
        let label: &[u8] = value
            .split(|byte| matches!(byte, b'"' | b'\''))
            .nth(1)
            .unwrap_or_default();
        match Encoding::for_label_no_replacement(label) {
            Some(encoding) if encoding.is_ascii_compatible() => {
                Self::Known(encoding, CharsetCoverage::by(label, encoding))
            }
            Some(_) => Self::Wide,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8]) -> (String, Vec<String>) {
        let decoded = decode(bytes).unwrap();
        let warnings = decoded.warnings.iter().map(|doubt| {
            let place = doubt.place.as_ref().map(|place| &*place.shown);
            format!("{} {}", doubt.code.code(), place.unwrap_or_default())
        });
        (decoded.text.clone().into_owned(), warnings.collect())
    }

    #[test]
    fn control_characters_are_told_however_they_are_written() {
        let expected = |column: u32| vec![format!("charset-control line 1, column {column}")];
        for (text, column) in [
            ("<a>l\u{92}avis</a>", Some(5)),
            ("<a b='é\u{80}'/>", Some(8)),
            ("<a>l&#146;avis</a>", Some(5)),
            ("<a>l&#x92;avis\u{92}</a>", Some(5)),
            ("<a>\u{a0}«é» &#233; &#x2019; &#13; & &#</a>", None),
        ] {
            let (read, warnings) = decode_all(text.as_bytes());
            assert_eq!(read, text);
            assert_eq!(warnings, column.map(expected).unwrap_or_default(), "{text}");
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            let wide: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
            assert_eq!(
                decode_all(&wide).1,
                column.map(expected).unwrap_or_default()
            );
        }
        let mixed = [
            &b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9<b>l"[..],
            "\u{92}".as_bytes(),
            b"a</b></a>",
        ];
        let (_, warnings) = decode_all(&mixed.concat());
        assert_eq!(
            warnings,
            [
                "charset-mismatch line 1, column 51",
                "charset-control line 1, column 52"
            ]
        );
    }

    /// Every way in which two values can be written, under every declaration.
    #[test]
    fn each_value_is_read_by_itself() {
        let written: [(&[u8], bool); 3] = [
            (b"Benoit", true),
            ("Benoît".as_bytes(), true),
            (b"Beno\xEEt", false),
        ];
        for (declared, is_utf8) in [
            ("", true),
            (" encoding='UTF-8'", true),
            (" encoding=\"ISO-8859-1\"", false),
            (" encoding=\"ISO-8859-15\"", false),
        ] {
            for (one, one_is_utf8) in written {
                for (other, other_is_utf8) in written {
                    let head = format!("<?xml version=\"1.0\"{declared}?>\n<a b=\"");
                    let bytes = [head.as_bytes(), one, b"\">\n", other, b"</a>"].concat();
                    let plain = |value: &[u8]| match value.is_ascii() {
                        true => "Benoit",
                        false => "Benoît",
                    };
                    let (text, warnings) = decode_all(&bytes);
                    let expected = format!("{head}{}\">\n{}</a>", plain(one), plain(other));
                    assert_eq!(text, expected);
                    let differs = |value: &[u8], is: bool| !value.is_ascii() && is != is_utf8;
                    let place = match (differs(one, one_is_utf8), differs(other, other_is_utf8)) {
                        (true, _) => Some("line 2, column 7"),
                        (false, true) => Some("line 3, column 1"),
                        (false, false) => None,
                    };
                    let expected = place.map(|place| format!("charset-mismatch {place}"));
                    assert_eq!(warnings, Vec::from_iter(expected), "{declared} {bytes:?}");
                }
            }
        }
    }

    #[test]
    fn a_declaration_that_says_otherwise_is_told() {
        let start = "line 1, column 1";
        let with = |label: &str| format!("<?xml version='1.0' encoding='{label}'?><a>é</a>");
        let wide = |text: &str| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        };
        for (bytes, expected) in [
            (with("UTF-8").into_bytes(), None),
            (with("klingon").into_bytes(), Some("charset-unknown")),
            (with("UTF-16").into_bytes(), Some("charset-mismatch")),
            (wide(&with("UTF-16")), None),
            (wide("<a>é</a>"), None),
            (wide(&with("UTF-8")), Some("charset-mismatch")),
            (
                format!("\u{feff}{}", with("ISO-8859-1")).into_bytes(),
                Some("charset-mismatch"),
            ),
            (format!("\u{feff}{}", with("utf-8")).into_bytes(), None),
        ] {
            let (text, warnings) = decode_all(&bytes);
            assert!(text.ends_with("<a>é</a>"));
            let expected = expected.map(|code| format!("{code} {start}"));
            assert_eq!(warnings, Vec::from_iter(expected), "{text}");
        }
        for (label, byte, read, expected) in [
            ("ISO-8859-1", 0x8c, 'Œ', Some("charset-mismatch")),
            ("latin1", 0x8c, 'Œ', Some("charset-mismatch")),
            ("iso-8859-9", 0x8c, 'Œ', Some("charset-mismatch")),
            ("US-ASCII", 0xe9, 'é', Some("charset-mismatch")),
            ("ISO-8859-1", 0x81, '\u{81}', Some("charset-control")),
            ("ISO-8859-1", 0xe9, 'é', None),
            ("windows-1252", 0x8c, 'Œ', None),
        ] {
            let head = format!("<?xml version='1.0' encoding='{label}'?>\n<a>C");
            let (text, warnings) = decode_all(&[head.as_bytes(), &[byte], b"ur</a>"].concat());
            assert!(text.ends_with(&format!("<a>C{read}ur</a>")), "{text}");
            let column = if read == '\u{81}' { 5 } else { 4 };
            let expected = expected.map(|code| format!("{code} line 2, column {column}"));
            assert_eq!(warnings, Vec::from_iter(expected), "{label} {byte:x}");
        }
        let control = b"<?xml version='1.0' encoding='ISO-8859-15'?><a>l\x92avis</a>";
        let (text, warnings) = decode_all(control);
        assert!(text.ends_with("<a>l\u{92}avis</a>"));
        assert_eq!(warnings, ["charset-control line 1, column 49"]);
        assert!(decode(&[&wide("<a/>")[..], b"\0"].concat()).is_err());
    }
}
