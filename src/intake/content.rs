//! The content of a document: how it is unpacked, what it is, and what it is called (SPEC 6, "Content").
//!
//! Nothing here trusts what a sender says of a file: its kind is told from its first bytes, and its name is only ever
//! shown.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::Encoding;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

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
    if let Some(xml) = xml_type(bytes) {
        return Some(xml);
    }
    // Readers of PDF accept some bytes before the header (PDF 1.7, annex H, note 13).
    let head = bytes.get(..1024).unwrap_or(bytes);
    if memchr::memmem::find(head, b"%PDF").is_some() {
        return Some(ContentType::Pdf);
    }
    is_text(bytes).then_some(ContentType::Text)
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

const CDA_NAMESPACE: Namespace<'_> = Namespace(b"urn:hl7-org:v3");

/// CDA or other XML by its root element, or no XML. What has a document type declaration is not read further.
fn xml_type(bytes: &[u8]) -> Option<ContentType> {
    let xml = ascii_compatible(bytes);
    if !xml.trim_ascii_start().starts_with(b"<") {
        return None;
    }
    let mut reader = NsReader::from_reader(&*xml);
    loop {
        match reader.read_resolved_event().ok()? {
            (_, Event::DocType(_)) => return Some(ContentType::Xml),
            (namespace, Event::Start(root) | Event::Empty(root)) => {
                let name = root.local_name();
                let first = name.as_ref().first().copied().unwrap_or_default();
                if !first.is_ascii_alphabetic() && first != b'_' && first.is_ascii() {
                    return None;
                }
                let is_cda = namespace == ResolveResult::Bound(CDA_NAMESPACE)
                    && name.as_ref() == b"ClinicalDocument";
                return Some(if is_cda {
                    ContentType::Cda
                } else {
                    ContentType::Xml
                });
            }
            (_, Event::Decl(_) | Event::Comment(_) | Event::PI(_)) => {}
            (_, Event::Text(text)) if text.trim_ascii().is_empty() => {}
            _ => return None,
        }
    }
}

/// The bytes in an encoding whose markup is ASCII: UTF-16, told by its byte-order mark, becomes UTF-8.
fn ascii_compatible(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) if encoding == encoding_rs::UTF_8 => {
            bytes.get(mark..).unwrap_or_default().into()
        }
        Some((encoding, _)) => encoding.decode(bytes).0.into_owned().into_bytes().into(),
        None => bytes.into(),
    }
}

/// The ids that a CDA document carries in its header, each written as HL7 v2 writes an identifier of an OID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdaIds {
    /// `setId`: the same for all versions.
    pub set_id: Option<String>,
    /// `id`: of this version alone.
    pub id: Option<String>,
    /// `relatedDocument/parentDocument/id`: of the versions that it replaces.
    pub parents: Vec<String>,
}

impl CdaIds {
    /// Reads the header up to the body; of what is no CDA, or not well-formed, what stood before.
    pub fn read(bytes: &[u8]) -> Self {
        let xml = ascii_compatible(bytes);
        let mut reader = NsReader::from_reader(&*xml);
        let mut ids = Self::default();
        let mut path: Vec<Vec<u8>> = Vec::new();
        while let Ok((namespace, event)) = reader.read_resolved_event() {
            let is_cda = namespace == ResolveResult::Bound(CDA_NAMESPACE);
            match event {
                Event::Start(element) => {
                    if is_cda {
                        ids.note(&path, &element);
                    }
                    let name = element.local_name().as_ref().to_vec();
                    // No id stands deeper; whoever nests on only wants the memory.
                    if path.len() == 1 && name == b"component" || path.len() > 64 {
                        break;
                    }
                    path.push(name);
                }
                Event::Empty(element) if is_cda => ids.note(&path, &element),
                Event::End(_) => {
                    path.pop();
                }
                Event::DocType(_) | Event::Eof => break,
                _ => {}
            }
        }
        ids
    }

    /// Keeps the id of this element, if it is one of those below the root that count.
    fn note(&mut self, path: &[Vec<u8>], element: &BytesStart<'_>) {
        let name = element.local_name();
        let parents: Vec<&[u8]> = path.iter().skip(1).map(Vec::as_slice).collect();
        match (parents.as_slice(), name.as_ref()) {
            ([], b"id") if self.id.is_none() => self.id = identifier(element),
            ([], b"setId") if self.set_id.is_none() => self.set_id = identifier(element),
            ([b"relatedDocument", b"parentDocument"], b"id") => {
                self.parents.extend(identifier(element));
            }
            _ => {}
        }
    }
}

/// An instance identifier as the EI of HL7 v2: the extension under its OID, else the OID itself.
fn identifier(element: &BytesStart<'_>) -> Option<String> {
    let attribute = |name: &str| {
        let found = element.try_get_attribute(name).ok().flatten()?;
        let text = String::from_utf8_lossy(&found.value).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    if attribute("nullFlavor").is_some() {
        return None;
    }
    match (attribute("extension"), attribute("root")) {
        (Some(extension), Some(root)) => Some(format!("{extension}^^{root}^ISO")),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    }
}

/// Base64 that cannot be decoded; says where, never what, since the content is a patient's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// A character that base64 does not have, or one after the end that `=` marks.
    #[error("expected base64, but character {0} is none of its alphabet")]
    Alphabet(usize),
    /// The last group of four has one character: something is cut off.
    #[error(
        "expected base64, but its {0} characters end in the middle of a byte: some are missing"
    )]
    Length(usize),
}

/// The escape by which HL7 writes a line break (HL7 v2.5 chapter 2.7.6).
const LINE_BREAK: &[u8] = b"\\.br\\";

/// Decodes base64 as real systems write it (SPEC 6): white space and `\.br\` are skipped, `=` may be missing.
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
    let mut rest = encoded.iter().enumerate();
    while let Some((at, &byte)) = rest.next() {
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
            }
            b'=' if padding < 2 => padding += 1,
            b'\\'
                if encoded
                    .get(at..)
                    .is_some_and(|rest| rest.starts_with(LINE_BREAK)) =>
            {
                rest.nth(LINE_BREAK.len() - 2);
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => return Err(Base64Error::Alphabet(at.saturating_add(1))),
        }
    }
    if characters % 4 == 1 {
        return Err(Base64Error::Length(characters));
    }
    append(
        &LENIENT,
        buffer.get(..filled).unwrap_or_default(),
        &mut decoded,
        characters,
    )?;
    Ok(decoded)
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

/// The name to show for a document that was sent under this name (SPEC 6); it is never a path.
pub fn display_name(sent: &str, content: ContentType) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last
        .chars()
        .filter(|letter| !is_invisible(*letter))
        .collect();
    let shown = shown
        .trim_start_matches(|letter: char| letter == '.' || letter.is_whitespace())
        .trim_end();
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

    #[test]
    fn the_ids_of_a_cda_are_read_from_its_header_only() {
        let cda = br#"<?xml version="1.0" encoding="ISO-8859-1"?>
            <ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:x="urn:x">
              <x:id root="0"/>
              <id root="1.2.82"/><title>caf&#233; \xe9</title>
              <setId root="1.2.80" extension="S 1"/>
              <recordTarget><patientRole><id root="9" extension="8"/></patientRole></recordTarget>
              <relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.81"/><setId root="7"/></parentDocument></relatedDocument>
              <component><structuredBody><component><id root="3"/></component></structuredBody></component>
              <relatedDocument><parentDocument><id root="1.2.99"/></parentDocument></relatedDocument>
            </ClinicalDocument>"#;
        assert_eq!(
            CdaIds::read(cda),
            CdaIds {
                set_id: Some("S 1^^1.2.80^ISO".to_owned()),
                id: Some("1.2.82".to_owned()),
                parents: vec!["1.2.81".to_owned()],
            }
        );
        assert_eq!(
            CdaIds::read(b"<ClinicalDocument xmlns='urn:hl7-org:v3'><id nullFlavor='UNK'/></x>"),
            CdaIds::default()
        );
        assert_eq!(CdaIds::read(b"%PDF"), CdaIds::default());
    }

    #[test]
    fn base64_is_decoded_as_real_systems_write_it() {
        for (encoded, decoded) in [
            ("SGVsbG8=", Ok(&b"Hello"[..])),
            ("SGVsbG8", Ok(b"Hello")),
            ("SGVs\r\nbG8 =\n", Ok(b"Hello")),
            (r"SGVs\.br\bG8=\.br\", Ok(b"Hello")),
            ("SGVsbG9=", Ok(b"Hello")),
            ("SGVsbA==", Ok(b"Hell")),
            ("SGVsbA=", Ok(b"Hell")),
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
            let _ = CdaIds::read(&bytes);
            let _ = decode_base64(&bytes);
            let _ = xml_type(&[b"<a ", &bytes[..]].concat());
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
    fn a_name_is_shown_without_its_path_and_with_a_fitting_ending() {
        for (sent, content, shown) in [
            ("rapport.pdf", ContentType::Pdf, "rapport.pdf"),
            ("Rapport.PDF", ContentType::Pdf, "Rapport.PDF"),
            ("HIS_PDFReport", ContentType::Pdf, "HIS_PDFReport.pdf"),
            ("CR du 12.03.2025", ContentType::Pdf, "CR du 12.03.2025.pdf"),
            ("scan.jpg", ContentType::Pdf, "scan.jpg.pdf"),
            ("photo.jpeg", ContentType::Jpeg, "photo.jpeg"),
            ("/etc/passwd", ContentType::Text, "passwd.txt"),
            (r"C:\temp\..\é.tif", ContentType::Tiff, "é.tif"),
            ("../../.ssh", ContentType::Text, "ssh.txt"),
            ("a\u{202e}fdp.pdf\r\n", ContentType::Pdf, "afdp.pdf"),
            ("...", ContentType::Cda, "document.xml"),
            ("dossier/", ContentType::Pdf, "document.pdf"),
            (" .pdf", ContentType::Pdf, "pdf.pdf"),
            ("", ContentType::Rtf, "document.rtf"),
        ] {
            assert_eq!(display_name(sent, content), shown, "{sent}");
        }
    }
}
