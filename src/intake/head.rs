//! The head of a CDA that came as a document: what it is known by, before and without reading the whole of it.
//!
//! It is found in the document itself, or, in one that presents itself, in the stylesheet around it.

use encoding_rs::Encoding;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::cda::{self, XSL};
use crate::model::document::ContentType;

const CDA_NAMESPACE: Namespace<'_> = Namespace(b"urn:hl7-org:v3");

/// CDA or other XML by its root element, or no XML.
pub fn xml_type(bytes: &[u8]) -> Option<ContentType> {
    let xml = ascii_compatible(bytes);
    if !xml.trim_ascii_start().starts_with(b"<") {
        return None;
    }
    enter(&mut NsReader::from_reader(&*xml))
}

/// Whether XML can be read to the end of its root.
pub fn is_well_formed(bytes: &[u8]) -> bool {
    let xml = ascii_compatible(bytes);
    let mut reader = NsReader::from_reader(&*xml);
    let mut depth = 0_usize;
    let mut has_root = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => (depth, has_root) = (depth.saturating_add(1), true),
            Ok(Event::Empty(_)) => has_root = true,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Eof) => return has_root && depth == 0,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Reads up to the start of the ClinicalDocument, if there is one. What has a document type declaration is not read
/// further.
fn enter(reader: &mut NsReader<&[u8]>) -> Option<ContentType> {
    loop {
        match reader.read_resolved_event().ok()? {
            (_, Event::DocType(_)) => return Some(ContentType::Xml),
            (namespace, Event::Start(root) | Event::Empty(root)) => {
                let name = root.local_name();
                let first = name.as_ref().first().copied().unwrap_or_default();
                if !first.is_ascii_alphabetic() && first != b'_' && first.is_ascii() {
                    return None;
                }
                let is_stylesheet =
                    is_xsl(&namespace) && matches!(name.as_ref(), b"stylesheet" | b"transform");
                let found = is_document(&namespace, &root);
                return Some(match found || (is_stylesheet && enter_presented(reader)) {
                    true => ContentType::Cda,
                    false => ContentType::Xml,
                });
            }
            (_, Event::Decl(_) | Event::Comment(_) | Event::PI(_)) => {}
            (_, Event::Text(text)) if text.trim_ascii().is_empty() => {}
            _ => return None,
        }
    }
}

/// Reads up to the start of the ClinicalDocument that stands in a stylesheet, and not in what presents it.
fn enter_presented(reader: &mut NsReader<&[u8]>) -> bool {
    // How deep we are in what presents it.
    let mut depth = 0_usize;
    while let Ok((namespace, event)) = reader.read_resolved_event() {
        match event {
            Event::Start(_) if depth > 0 || is_xsl(&namespace) => depth = depth.saturating_add(1),
            Event::Start(element) | Event::Empty(element)
                if depth == 0 && is_document(&namespace, &element) =>
            {
                return true;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) | Event::Eof => break,
            _ => {}
        }
    }
    false
}

fn is_document(namespace: &ResolveResult<'_>, element: &BytesStart<'_>) -> bool {
    *namespace == ResolveResult::Bound(CDA_NAMESPACE)
        && element.local_name().as_ref() == b"ClinicalDocument"
}

fn is_xsl(namespace: &ResolveResult<'_>) -> bool {
    *namespace == ResolveResult::Bound(Namespace(XSL.as_bytes()))
}

/// XML without what transports put around it, in an encoding whose markup is ASCII: UTF-16, told by its byte-order
/// mark, becomes UTF-8.
pub(super) fn ascii_compatible(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let bytes = cda::without_framing(bytes);
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) if encoding == encoding_rs::UTF_8 => {
            bytes.get(mark..).unwrap_or_default().into()
        }
        Some((encoding, _)) => encoding.decode(bytes).0.into_owned().into_bytes().into(),
        None => bytes.into(),
    }
}

/// What a CDA document is known by; each id is written as HL7 v2 writes an identifier of an OID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdaIdentifiers {
    /// `code`: what kind of document it is.
    pub code: Option<String>,
    /// `effectiveTime`, as it is written.
    pub effective_time: Option<String>,
    /// `setId`: the same for all versions.
    pub set_id: Option<String>,
    /// `id`: of this version alone.
    pub id: Option<String>,
    /// `relatedDocument/parentDocument/id`: of the versions that it replaces.
    pub parents: Vec<String>,
}

impl CdaIdentifiers {
    /// Reads the header up to the body; of what is no CDA, or not well-formed, what stood before.
    pub fn read(bytes: &[u8]) -> Self {
        let xml = ascii_compatible(bytes);
        let mut reader = NsReader::from_reader(&*xml);
        let mut head = Self::default();
        if enter(&mut reader) != Some(ContentType::Cda) {
            return head;
        }
        let mut path: Vec<Vec<u8>> = Vec::new();
        while let Ok((namespace, event)) = reader.read_resolved_event() {
            let is_cda = namespace == ResolveResult::Bound(CDA_NAMESPACE);
            match event {
                Event::Start(element) => {
                    if is_cda {
                        head.note(&path, &element);
                    }
                    let name = element.local_name().as_ref().to_vec();
                    // No id stands deeper; whoever nests on only wants the memory.
                    if path.is_empty() && name == b"component" || path.len() > 64 {
                        break;
                    }
                    path.push(name);
                }
                Event::Empty(element) if is_cda => head.note(&path, &element),
                Event::End(_) if path.pop().is_none() => break,
                Event::DocType(_) | Event::Eof => break,
                _ => {}
            }
        }
        head
    }

    /// Keeps what this element says, if it is one of those below the document that count.
    fn note(&mut self, path: &[Vec<u8>], element: &BytesStart<'_>) {
        let name = element.local_name();
        let parents: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match (parents.as_slice(), name.as_ref()) {
            ([], b"id") if self.id.is_none() => self.id = identifier(element),
            ([], b"setId") if self.set_id.is_none() => self.set_id = identifier(element),
            ([], b"code") if self.code.is_none() => self.code = attribute(element, "code"),
            ([], b"effectiveTime") if self.effective_time.is_none() => {
                self.effective_time = attribute(element, "value");
            }
            ([b"relatedDocument", b"parentDocument"], b"id") => {
                self.parents.extend(identifier(element));
            }
            _ => {}
        }
    }
}

/// An attribute that says something, of an element without null flavour.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = |name: &str| {
        let found = element.try_get_attribute(name).ok().flatten()?;
        let text = String::from_utf8_lossy(&found.value).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    match attribute("nullFlavor") {
        Some(_) => None,
        None => attribute(name),
    }
}

/// An instance identifier as the EI of HL7 v2: the extension under its OID, else the OID itself.
fn identifier(element: &BytesStart<'_>) -> Option<String> {
    match (attribute(element, "extension"), attribute(element, "root")) {
        (Some(extension), Some(root)) => Some(format!("{extension}^^{root}^ISO")),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_cda_are_read_from_its_header_only() {
        let head = br#"<?xml version="1.0" encoding="ISO-8859-1"?>"#;
        let cda = br#"
            <ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:x="urn:x">
              <x:id root="0"/><code code="34794-8"/><effectiveTime value="20250401"/>
              <id root="1.2.82"/><title>caf&#233; \xe9</title>
              <setId root="1.2.80" extension="S 1"/>
              <recordTarget><patientRole><id root="9" extension="8"/></patientRole></recordTarget>
              <relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.81"/><setId root="7"/></parentDocument></relatedDocument>
              <component><structuredBody><component><id root="3"/></component></structuredBody></component>
              <relatedDocument><parentDocument><id root="1.2.99"/></parentDocument></relatedDocument>
            </ClinicalDocument>"#;
        let style = br#"<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:output><id root="9"/></x:output><d>"#;
        for (before, after) in [(&b""[..], &b""[..]), (style, b"</d></x:stylesheet>")] {
            assert_eq!(
                CdaIdentifiers::read(&[head, before, cda, after].concat()),
                CdaIdentifiers {
                    code: Some("34794-8".to_owned()),
                    effective_time: Some("20250401".to_owned()),
                    set_id: Some("S 1^^1.2.80^ISO".to_owned()),
                    id: Some("1.2.82".to_owned()),
                    parents: vec!["1.2.81".to_owned()],
                }
            );
        }
        assert_eq!(
            CdaIdentifiers::read(
                b"<ClinicalDocument xmlns='urn:hl7-org:v3'><id nullFlavor='UNK'/></x>"
            ),
            CdaIdentifiers::default()
        );
        assert_eq!(CdaIdentifiers::read(b"%PDF"), CdaIdentifiers::default());
    }
}
