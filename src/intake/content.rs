//! The content of a document: how it is unpacked, what it is, and what it is called (interface.md 6, "Content").
//!
//! Nothing here trusts what a sender says of a file: its kind is told from its first bytes, and its name is only ever
//! shown.

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

use super::head;
use crate::cda;
use crate::model::document::ContentType;

/// What the bytes are, told from the first of them; `None` where they are nothing that is known.
pub fn content_type(bytes: &[u8]) -> Option<ContentType> {
    const MAGIC: &[(&[u8], ContentType)] = &[
        (b"\xff\xd8\xff", ContentType::Jpeg),
        (b"\x89PNG\r\n\x1a\n", ContentType::Png),
        (b"II*\0", ContentType::Tiff),
        (b"MM\0*", ContentType::Tiff),
        (b"{\\rtf", ContentType::Rtf),
    ];
    if let Some((_, known)) = MAGIC.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Some(*known);
    }
    if let Some(xml) = head::xml_type(bytes) {
        return Some(xml);
    }
    // Readers of PDF accept some bytes before the header (PDF 1.7, annex H, note 13).
    let head = bytes.get(..1024).unwrap_or(bytes);
    if memchr::memmem::find(head, b"%PDF").is_some() {
        return Some(ContentType::Pdf);
    }
    is_text(bytes).then_some(ContentType::Text)
}

/// Whether the end of a document is there, as far as its kind marks one.
pub fn ends_whole(bytes: &[u8], content: ContentType) -> bool {
    let is_filling = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let kept = bytes.iter().rposition(|byte| !is_filling(byte));
    let bytes_to_end = bytes
        .get(..kept.map_or(0, |last| last + 1))
        .unwrap_or_default();
    match content {
        // Readers look for the mark in the last kilobyte (PDF 1.7, annex H, note 18).
        ContentType::Pdf => {
            let from = bytes_to_end.len().saturating_sub(1024);
            let end = bytes_to_end.get(from..).unwrap_or_default();
            memchr::memmem::find(end, b"%%EOF").is_some()
        }
        ContentType::Jpeg => bytes_to_end.ends_with(b"\xff\xd9"),
        ContentType::Png => bytes_to_end.ends_with(b"IEND\xaeB`\x82"),
        ContentType::Tiff => tiff_is_whole(bytes).unwrap_or(false),
        ContentType::Rtf => bytes_to_end.ends_with(b"}"),
        ContentType::Cda | ContentType::Xml => head::is_well_formed(bytes),
        // XML that is cut before its root is whole is no XML any more.
        ContentType::Text => !cda::without_framing(bytes).starts_with(b"<?xml"),
        ContentType::Hl7 => true,
    }
}

/// Whether the end of a document is surely there.
pub fn is_closed(bytes: &[u8], content: ContentType) -> bool {
    match content {
        ContentType::Cda | ContentType::Xml => {
            let xml = head::ascii_compatible(bytes);
            std::str::from_utf8(&xml).is_ok_and(|xml| {
                let end = xml.trim_end();
                end.rfind("</").is_some_and(|at| {
                    let closed = end.get(at + 2..).and_then(|name| name.strip_suffix('>'));
                    let root = xml.find(&format!("<{}", closed.unwrap_or("/").trim()));
                    let first = xml.match_indices('<').map(|(at, _)| at).find(|at| {
                        !xml.get(at + 1..)
                            .is_some_and(|rest| rest.starts_with(['?', '!']))
                    });
                    root.is_some() && root == first
                })
            })
        }
        ContentType::Text | ContentType::Hl7 => false,
        // Its last brace is that of any group where it is cut behind one.
        ContentType::Rtf => {
            let mut rest = bytes.iter();
            let mut open = 0_usize;
            while let Some(byte) = rest.next() {
                match byte {
                    b'\\' => _ = rest.next(),
                    b'{' => open = open.saturating_add(1),
                    b'}' => open = open.saturating_sub(1),
                    _ => {}
                }
            }
            open == 0 && ends_whole(bytes, content)
        }
        marked => ends_whole(bytes, marked),
    }
}

/// Whether all that the directories of a TIFF name lies within it; nothing where a directory itself does not.
fn tiff_is_whole(bytes: &[u8]) -> Option<bool> {
    const STRIPS: (u64, u64) = (273, 279);
    const TILES: (u64, u64) = (324, 325);
    let is_little = bytes.starts_with(b"II");
    let number = |at: u64, length: u64| -> Option<u64> {
        let from = usize::try_from(at).ok()?;
        let to = usize::try_from(at.checked_add(length)?).ok()?;
        let digits = bytes.get(from..to)?;
        let sum = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match is_little {
            true => digits.iter().rev().fold(0, sum),
            false => digits.iter().fold(0, sum),
        })
    };
    // Directories that lie in each other name more than there is room for.
    let mut room = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut directory = number(4, 4)?;
    while directory != 0 {
        let entries = number(directory, 2)?;
        room = room.checked_sub(2 + entries * 12)?;
        // Of strips and of tiles, where their offsets and lengths stand: how many, how wide, and where.
        let mut tables: [Option<(u64, u64, u64)>; 4] = [None; 4];
        for entry in 0..entries {
            let at = directory + 2 + entry * 12;
            let (tag, kind, count) = (number(at, 2)?, number(at + 2, 2)?, number(at + 4, 4)?);
            let width = match kind {
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 => 8,
                _ => 1,
            };
            let values = match width * count <= 4 {
                true => at + 8,
                false => number(at + 8, 4)?,
            };
            if count > 0 {
                number(values + width * count - 1, 1)?;
            }
            for (table, named) in tables
                .iter_mut()
                .zip([STRIPS.0, STRIPS.1, TILES.0, TILES.1])
            {
                if tag == named {
                    *table = Some((count, width, values));
                }
            }
        }
        for pair in tables.chunks(2) {
            let [Some(offsets), Some(lengths)] = pair else {
                continue;
            };
            room = room.checked_sub(offsets.0.min(lengths.0))?;
            for nth in 0..offsets.0.min(lengths.0) {
                let offset = number(offsets.2 + nth * offsets.1, offsets.1)?;
                let length = number(lengths.2 + nth * lengths.1, lengths.1)?;
                if length > 0 {
                    number(offset.checked_add(length)? - 1, 1)?;
                }
            }
        }
        directory = number(directory + 2 + entries * 12, 4)?;
    }
    Some(true)
}

/// Whether it is text: nothing else has no NUL and hardly any control character.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.is_empty() || bytes.contains(&0) {
        return false;
    }
    let controls = bytes
        .iter()
        .filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
        .count();
    std::str::from_utf8(bytes).is_ok() || controls.saturating_mul(20) <= bytes.len()
}

/// Base64 that cannot be decoded; says where, never what, since the content is a patient's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// A character that base64 does not have, or one after the end that `=` marks.
    #[error("expected base64, but character {0} is none of its alphabet")]
    Alphabet(usize),
    /// A blank where no line breaks: in its place there may have been a `+`, which the escaping of the web turns into one.
    #[error("expected base64, but character {0} is a blank within a line: a + may have been lost")]
    Blank(usize),
    /// `=` at the end, but not so many as the characters before them ask for.
    #[error(
        "expected base64, but the = at its end do not fit its {0} characters: some are missing, or too many"
    )]
    Padding(usize),
    /// The last group of four has one character: something is cut off.
    #[error(
        "expected base64, but its {0} characters end in the middle of a byte: some are missing"
    )]
    Length(usize),
}

/// The escapes by which HL7 writes a line break (HL7 v2.5 chapter 2.7).
const LINE_BREAKS: [&[u8]; 4] = [b"\\.br\\", b"\\X0D\\", b"\\X0A\\", b"\\X0D0A\\"];

/// Decodes base64 as real systems write it (interface.md 6): line breaks, with the blanks beside them, and those that are
/// written as escapes are skipped; `=` may be missing altogether.
///
/// A document of 20 MB is decoded through a small buffer into one vector, without a copy of its base64.
pub fn decode_base64(encoded: &[u8]) -> Result<Vec<u8>, Base64Error> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    const GROUPS: usize = 4096;

    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3 + 6);
    let mut buffer = [0u8; GROUPS];
    let mut filled = 0usize;
    let mut characters = 0usize;
    let mut padding = 0usize;
    // The first blank since the last line break, or since the last character.
    let mut blank: Option<usize> = None;
    let mut line_has_begun = false;
    let mut rest = encoded.iter().enumerate();
    while let Some((at, &byte)) = rest.next() {
        if let Some(blank) = blank
            && !byte.is_ascii_whitespace()
            && byte != b'\\'
        {
            return Err(Base64Error::Blank(blank.saturating_add(1)));
        }
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {
                if filled == GROUPS {
                    append(&LENIENT, &buffer, &mut decoded, characters)?;
                    filled = 0;
                }
                if let Some(place) = buffer.get_mut(filled) {
                    *place = byte;
                }
                filled += 1;
                characters += 1;
                line_has_begun = true;
            }
            b'=' if padding < 2 => {
                padding += 1;
                line_has_begun = true;
            }
            b'\\' => {
                let from = encoded.get(at..).unwrap_or_default();
                let is_here = |escape: &&&[u8]| {
                    let start = from.get(..escape.len());
                    start.is_some_and(|start| start.eq_ignore_ascii_case(escape))
                };
                let Some(escape) = LINE_BREAKS.iter().find(is_here) else {
                    return Err(Base64Error::Alphabet(at.saturating_add(1)));
                };
                rest.nth(escape.len() - 2);
                (blank, line_has_begun) = (None, false);
            }
            b'\r' | b'\n' => (blank, line_has_begun) = (None, false),
            _ if byte.is_ascii_whitespace() => {
                if line_has_begun && blank.is_none() {
                    blank = Some(at);
                }
            }
            _ => return Err(Base64Error::Alphabet(at.saturating_add(1))),
        }
    }
    if characters % 4 == 1 {
        return Err(Base64Error::Length(characters));
    }
    if padding > 0 && !(characters + padding).is_multiple_of(4) {
        return Err(Base64Error::Padding(characters));
    }
    append(
        &LENIENT,
        buffer.get(..filled).unwrap_or_default(),
        &mut decoded,
        characters,
    )?;
    Ok(decoded)
}

/// Whether a value has nothing but what base64 is written with, so that it may be the rest of one that a separator cut.
pub fn is_like_base64(value: &[u8]) -> bool {
    let mut letters = value.iter().filter(|byte| !byte.is_ascii_whitespace());
    !value.trim_ascii().is_empty()
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
}

/// Whether base64 begins as a document of a kind that has a mark of its own.
pub fn begins_as_document(encoded: &[u8]) -> bool {
    let head = encoded.get(..2048).unwrap_or(encoded);
    // The last characters may be no whole group, or half of a line break.
    let begins = (0..4).find_map(|less| {
        let head = head.get(..head.len().checked_sub(less)?)?;
        decode_base64(head).ok()
    });
    let kind = begins.and_then(|bytes| content_type(&bytes));
    kind.is_some_and(|kind| kind != ContentType::Text)
}

fn append(
    engine: &GeneralPurpose,
    groups: &[u8],
    decoded: &mut Vec<u8>,
    characters: usize,
) -> Result<(), Base64Error> {
    // Only the length can still be wrong, and only of the last groups.
    engine
        .decode_vec(groups, decoded)
        .map_err(|_| Base64Error::Length(characters))
}

/// The name to show for a document that was sent under this name (interface.md 6): a label, such as "Bilan du 12/03/2025", and
/// never a path. So no part of it is lost, but for those that only lead through folders.
pub fn display_name(sent: &str, content: ContentType) -> String {
    let visible = |letter: &char| !is_invisible(*letter);
    let sent: String = sent.chars().filter(visible).collect();
    let says_nothing = |letter: char| letter == '.' || letter.is_whitespace();
    let parts: Vec<&str> = sent
        .split(['/', '\\'])
        .filter(|part| !part.chars().all(says_nothing))
        .collect();
    let shown = parts.join("-");
    let shown = shown.trim_start_matches(says_nothing).trim_end();
    let name = if shown.is_empty() { "document" } else { shown };
    let fits = name.rsplit_once('.').is_some_and(|(stem, ending)| {
        let ending = ending.to_lowercase();
        !stem.is_empty() && content.endings().contains(&ending.as_str())
    });
    match content.endings().first() {
        Some(ending) if !fits => format!("{name}.{ending}"),
        _ => name.to_owned(),
    }
}

/// Control characters, and those that turn the direction of writing so that an ending can hide.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_type_is_told_from_the_first_bytes() {
        let late_pdf = [&[b' '; 1000][..], b"%PDF-1.4"].concat();
        let too_late_pdf = [&[0u8; 1024][..], b"%PDF-1.4"].concat();
        let utf_16: Vec<u8> = "\u{feff}<ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let cases: &[(&[u8], Option<ContentType>)] = &[
            (b"%PDF-1.4\n...", Some(ContentType::Pdf)),
            (&late_pdf, Some(ContentType::Pdf)),
            (&too_late_pdf, None),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some(ContentType::Jpeg)),
            (b"\x89PNG\r\n\x1a\n\0", Some(ContentType::Png)),
            (b"II*\0\x08", Some(ContentType::Tiff)),
            (b"MM\0*\0", Some(ContentType::Tiff)),
            (b"{\\rtf1 %PDF", Some(ContentType::Rtf)),
            (
                b"<ClinicalDocument xmlns=\"urn:hl7-org:v3\">",
                Some(ContentType::Cda),
            ),
            (
                b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- %PDF --><?style?>\r\n<c:ClinicalDocument xmlns:c='urn:hl7-org:v3'>",
                Some(ContentType::Cda),
            ),
            (&utf_16, Some(ContentType::Cda)),
            (b"<ClinicalDocument>", Some(ContentType::Xml)),
            (
                b"<ClinicalDocument xmlns=\"urn:hl7-org:v2\"/>",
                Some(ContentType::Xml),
            ),
            (b"<html><body/></html>", Some(ContentType::Xml)),
            (
                b"<x:stylesheet xmlns:x='http://www.w3.org/1999/XSL/Transform'><x:a><b/></x:a><d><c:ClinicalDocument xmlns:c='urn:hl7-org:v3'/></d></x:stylesheet>",
                Some(ContentType::Cda),
            ),
            (
                b"<x:stylesheet xmlns:x='http://www.w3.org/1999/XSL/Transform'><x:a><c:ClinicalDocument xmlns:c='urn:hl7-org:v3'/></x:a></x:stylesheet>",
                Some(ContentType::Xml),
            ),
            (
                b"<!DOCTYPE ClinicalDocument><ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>",
                Some(ContentType::Xml),
            ),
            (b"<5 mg par jour>", Some(ContentType::Text)),
            ("Compte rendu été".as_bytes(), Some(ContentType::Text)),
            (b"Compte rendu \xe9t\xe9", Some(ContentType::Text)),
            (b"MSH|^~\\&|", Some(ContentType::Text)),
            (b"PK\x03\x04\x14\0\x06\0", None),
            (b"\x01\x02\x03\x80\x81", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                content_type(bytes),
                *expected,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    /// A TIFF of so many pages with a strip each, whose directories stand behind the strips, or before them.
    fn tiff(pages: u32, is_little: bool) -> Vec<u8> {
        let number = |value: u32, width: usize| {
            let bytes = value.to_be_bytes()[4 - width..].to_vec();
            match is_little {
                true => bytes.into_iter().rev().collect(),
                false => bytes,
            }
        };
        let mut bytes = if is_little {
            b"II".to_vec()
        } else {
            b"MM".to_vec()
        };
        bytes.extend([number(42, 2), number(8, 4)].concat());
        for page in 1..=pages {
            let start = bytes.len() as u32;
            let strip = start + 2 + 2 * 12 + 4;
            let next = if page == pages { 0 } else { strip + 50 };
            bytes.extend(number(2, 2));
            for (tag, value) in [(273, strip), (279, 50)] {
                bytes.extend(
                    [number(tag, 2), number(4, 2), number(1, 4), number(value, 4)].concat(),
                );
            }
            bytes.extend(number(next, 4));
            bytes.extend([7; 50]);
        }
        bytes
    }

    #[test]
    fn a_document_that_is_cut_short_is_told() {
        let whole = [
            (
                b"%PDF-1.4\nxref 0 0 0 0\n%%EOF".to_vec(),
                ContentType::Pdf,
                1,
            ),
            (
                b"\xff\xd8\xff\xe0\0\x10JFIF....\xff\xd9".to_vec(),
                ContentType::Jpeg,
                1,
            ),
            (
                b"\x89PNG\r\n\x1a\n....\0\0\0\0IEND\xaeB`\x82".to_vec(),
                ContentType::Png,
                1,
            ),
            (b"{\\rtf1 bonjour}".to_vec(), ContentType::Rtf, 1),
            (tiff(1, true), ContentType::Tiff, 1),
            (tiff(3, false), ContentType::Tiff, 1),
        ];
        for (bytes, content, missing) in whole {
            assert_eq!(content_type(&bytes), Some(content));
            assert!(ends_whole(&bytes, content), "{content:?}");
            let filled = [&bytes[..], b"\r\n\0\0"].concat();
            assert!(ends_whole(&filled, content), "{content:?}");
            for length in 0..=bytes.len() - missing {
                assert!(
                    !ends_whole(&bytes[..length], content),
                    "{content:?} {length}"
                );
            }
        }
        let form = "<?xml version='1.0'?><ClinicalDocument xmlns='urn:hl7-org:v3'><title>A &lt; é</title><id/></ClinicalDocument>";
        let utf_16: Vec<u8> = "\u{feff}"
            .chars()
            .chain(form.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for bytes in [form.as_bytes().to_vec(), utf_16] {
            assert_eq!(content_type(&bytes), Some(ContentType::Cda));
            for filling in [&b""[..], b"\r\n", b"\0\0"] {
                assert!(ends_whole(&[&bytes, filling].concat(), ContentType::Cda));
            }
            for length in 6..bytes.len() - 1 {
                let cut = &bytes[..length];
                if let Some(content) = content_type(cut) {
                    assert!(!ends_whole(cut, content), "{content:?} {length}");
                }
            }
        }
        assert!(!ends_whole(b"<a><b></a>", ContentType::Xml));
        // Of a PDF that was changed later, the first end is not the last.
        let changed = [b"%PDF-1.4 %%EOF".to_vec(), vec![b'x'; 2000]].concat();
        assert!(!ends_whole(&changed, ContentType::Pdf));
    }

    #[test]
    fn base64_is_decoded_as_real_systems_write_it() {
        for (encoded, decoded) in [
            ("SGVsbG8=", Ok(&b"Hello"[..])),
            ("SGVsbG8", Ok(b"Hello")),
            ("SGVs\r\nbG8=\n", Ok(b"Hello")),
            (" \tSGVs  \r\n\t bG8= ", Ok(b"Hello")),
            (" SGVs \\.br\\ bG8=", Ok(b"Hello")),
            (r"SGVs\X0D\bG8=", Ok(b"Hello")),
            (r"SGVs\x0d0a\bG8=", Ok(b"Hello")),
            (r"SGVs\X0A\bG8=", Ok(b"Hello")),
            (r"SGVs\X0D0A\\X0D\\X0A\bG8=\X0D0A\", Ok(b"Hello")),
            (r"SGVs\X0B\bG8=", Err(Base64Error::Alphabet(5))),
            (r"SGVs\X2B\bG8=", Err(Base64Error::Alphabet(5))),
            ("SGVs bG8=", Err(Base64Error::Blank(5))),
            ("SGVs\tbG8=", Err(Base64Error::Blank(5))),
            ("SGVs\nbG8 =", Err(Base64Error::Blank(9))),
            ("SGVs\n b G8=", Err(Base64Error::Blank(8))),
            ("SGVs~bG8=", Err(Base64Error::Alphabet(5))),
            (r"SGVs\.br\bG8=\.br\", Ok(b"Hello")),
            ("SGVsbG9=", Ok(b"Hello")),
            ("SGVsbA==", Ok(b"Hell")),
            ("SGVsbA=", Err(Base64Error::Padding(6))),
            ("SGVs=", Err(Base64Error::Padding(4))),
            ("SGVsbG8==", Err(Base64Error::Padding(7))),
            ("=", Err(Base64Error::Padding(0))),
            ("", Ok(b"")),
            ("SGVs.G8=", Err(Base64Error::Alphabet(5))),
            ("SGVs-_8=", Err(Base64Error::Alphabet(5))),
            (r"SGVs\.b\bG8=", Err(Base64Error::Alphabet(5))),
            ("SGVsbG8=SGVs", Err(Base64Error::Alphabet(9))),
            ("SGVsbA===", Err(Base64Error::Alphabet(9))),
            ("SGVsbG8hI", Err(Base64Error::Length(9))),
            ("S", Err(Base64Error::Length(1))),
        ] {
            let result = decode_base64(encoded.as_bytes());
            assert_eq!(result.as_deref(), decoded.as_deref(), "{encoded}");
            if let Err(error) = result {
                assert!(!error.to_string().contains("SGV"));
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..20_000), width in 1usize..100) {
            let encoded = STANDARD.encode(&bytes);
            let lines: Vec<&[u8]> = encoded.as_bytes().chunks(width).collect();
            prop_assert_eq!(decode_base64(&lines.join(&b"\r\n"[..])).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = content_type(&bytes);
            let _ = head::CdaIdentifiers::read(&bytes);
            let _ = decode_base64(&bytes);
            for first in [&b"II*\0"[..], b"MM\0*"] {
                let _ = ends_whole(&[first, &bytes[..]].concat(), ContentType::Tiff);
            }
            let _ = head::xml_type(&[b"<a ", &bytes[..]].concat());
        }

        #[test]
        fn a_shown_name_is_no_path(sent in any::<String>()) {
            let shown = display_name(&sent, ContentType::Pdf);
            prop_assert!(!shown.contains(['/', '\\', '\0', '\n']));
            prop_assert!(!shown.starts_with('.'));
            prop_assert!(shown.to_lowercase().ends_with(".pdf"));
        }
    }

    #[test]
    fn a_name_is_shown_whole_and_with_a_fitting_ending() {
        for (sent, content, shown) in [
            ("rapport.pdf", ContentType::Pdf, "rapport.pdf"),
            ("Rapport.PDF", ContentType::Pdf, "Rapport.PDF"),
            ("HIS_PDFReport", ContentType::Pdf, "HIS_PDFReport.pdf"),
            ("CR du 12.03.2025", ContentType::Pdf, "CR du 12.03.2025.pdf"),
            ("scan.jpg", ContentType::Pdf, "scan.jpg.pdf"),
            ("photo.jpeg", ContentType::Jpeg, "photo.jpeg"),
            (
                "Bilan du 12/03/2025",
                ContentType::Pdf,
                "Bilan du 12-03-2025.pdf",
            ),
            (
                "RCP 1/2 / suite.pdf",
                ContentType::Pdf,
                "RCP 1-2 - suite.pdf",
            ),
            ("/etc/passwd", ContentType::Text, "etc-passwd.txt"),
            (r"C:\temp\..\é.tif", ContentType::Tiff, "C:-temp-é.tif"),
            ("../../.ssh", ContentType::Text, "ssh.txt"),
            ("a\u{202e}fdp.pdf\r\n", ContentType::Pdf, "afdp.pdf"),
            ("...", ContentType::Cda, "document.xml"),
            ("dossier/", ContentType::Pdf, "dossier.pdf"),
            ("/ /../", ContentType::Pdf, "document.pdf"),
            (" .pdf", ContentType::Pdf, "pdf.pdf"),
            ("", ContentType::Rtf, "document.rtf"),
        ] {
            assert_eq!(display_name(sent, content), shown, "{sent}");
        }
    }
}
