//! Reading CDA R2: from bytes to a typed header and the questionnaire of the body (interface.md 2 and 5).
//!
//! Nothing external is ever read: a document type declaration is refused, so there are no entities but the five that
//! XML predefines. Depth, size and attributes are counted in one pass over the text before the parser builds a tree,
//! so that a small file cannot cost much memory or time.

mod body;
mod bounds;
pub mod header;
mod narrative;
mod text;

use encoding_rs::{Encoding, UTF_8};
use roxmltree::{Document, Node, ParsingOptions};

use self::header::CdaHeader;
use crate::model::identifiers::ContentHash;
use crate::model::outcome::{Location, Reason, Refusal, Warning};
use crate::model::questionnaire::{Questionnaire, StatementParticipant};

/// The namespace of CDA R2.
const HL7: &str = "urn:hl7-org:v3";

/// The namespace of stylesheets (XSLT), in which a document that presents itself stands (CI-SIS).
pub(crate) const XSL: &str = "http://www.w3.org/1999/XSL/Transform";

/// The namespace of `xsi:type`, which says what a value is.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// How deep elements may stand in each other. What is made of them is stored as JSON, of which the reader takes 127
/// levels; documents of the field have some thirty.
const MAX_DEPTH: usize = 100;

/// How many elements, texts, comments and instructions there may be.
const MAX_NODES: usize = 500_000;

/// How many attributes an element may have: the parser compares each with each.
const MAX_ATTRIBUTES: usize = 1_000;

/// How many attributes there may be in all: each takes the parser more memory than an element does.
const MAX_ALL_ATTRIBUTES: usize = 1_000_000;

/// How many namespaces may be declared around an element: the parser copies them where one more is declared.
const MAX_NAMESPACES: usize = 100;

/// A CDA document, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Cda {
    /// The hash of the document.
    pub hash: ContentHash,
    /// Who, when, and for which session.
    pub header: CdaHeader,
    /// Whom the header names, with what each is there for.
    pub people: Vec<StatementParticipant>,
    /// What the form says; none where the body is not structured (level 1).
    pub questionnaire: Option<Questionnaire>,
    /// What is in doubt about its encoding.
    pub charset: Vec<Warning>,
}

/// Whether bytes are XML, told from the first of them; whether it is CDA is told by [`parse`].
pub fn looks_like_xml(bytes: &[u8]) -> bool {
    let bytes = without_framing(bytes);
    let start = bytes.get(..1024).unwrap_or(bytes);
    let text = match Encoding::for_bom(start) {
        Some((encoding, mark)) => encoding.decode(start.get(mark..).unwrap_or_default()).0,
        None => String::from_utf8_lossy(start),
    };
    let mut letters = text.trim_start().chars();
    letters.next() == Some('<')
        && letters
            .next()
            .is_some_and(|letter| letter.is_alphabetic() || matches!(letter, '?' | '!' | '_' | ':'))
}

/// A document without what transports put around it: blank lines, NUL, framing bytes, a byte-order mark behind these.
///
/// UTF-16, told by its own mark, is not touched: its characters hold such bytes.
pub fn without_framing(bytes: &[u8]) -> &[u8] {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if let Some((encoding, _)) = Encoding::for_bom(bytes)
        && encoding != UTF_8
    {
        return bytes;
    }
    let is_framing = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let mut document = bytes;
    loop {
        let count = document.iter().take_while(|byte| is_framing(byte)).count();
        let after = document.get(count..).unwrap_or_default();
        let after = after.strip_prefix(MARK).unwrap_or(after);
        if after.len() == document.len() {
            break;
        }
        document = after;
    }
    let end = document.iter().rposition(|byte| !is_framing(byte));
    document
        .get(..end.map_or(0, |last| last.saturating_add(1)))
        .unwrap_or(document)
}

/// Reads a CDA document; refuses what is no XML, no CDA, has a document type declaration, or costs too much.
pub fn parse(bytes: &[u8]) -> Result<Cda, Refusal> {
    let text::DocumentText { text, warnings } = text::decode(bytes)?;
    check_bounds(&text)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: u32::try_from(MAX_NODES).unwrap_or(u32::MAX),
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&text, options).map_err(|error| {
        let position = error.pos();
        malformed(format!(
            "expected well-formed XML, found an error: {}",
            without_quotations(&error.to_string())
        ))
        .at(Location::named(format!(
            "line {}, column {}",
            position.row, position.col
        )))
    })?;
    let root = clinical_document(document.root_element())?;
    let mut questionnaire = body::read(root);
    questionnaire.iter_mut().for_each(bounds::cut_long_texts);
    Ok(Cda {
        hash: ContentHash::of(bytes),
        header: CdaHeader::read(root),
        people: body::people(root),
        questionnaire,
        charset: warnings,
    })
}

/// The document: the root, or, in one that presents itself, what stands in its stylesheet and is no part of the way in
/// which that presents it.
fn clinical_document<'a, 'i>(root: Node<'a, 'i>) -> Result<Node<'a, 'i>, Refusal> {
    let is_document = |node: &Node<'_, '_>| node.has_tag_name((HL7, "ClinicalDocument"));
    if is_document(&root) {
        return Ok(root);
    }
    let is_stylesheet = ["stylesheet", "transform"].map(|name| root.has_tag_name((XSL, name)));
    let is_its_own = |node: &Node<'a, 'i>| {
        let mut within = node
            .ancestors()
            .skip(1)
            .filter(|it| it.is_element() && *it != root);
        !within.any(|it| it.tag_name().namespace() == Some(XSL) || is_document(&it))
    };
    let mut documents = root.descendants().filter(is_document).filter(is_its_own);
    let found = match is_stylesheet.contains(&true) {
        true => (documents.next(), documents.next()),
        false => (None, None),
    };
    match found {
        (Some(document), None) => Ok(document),
        (Some(_), Some(_)) => Err(malformed(
            "expected one ClinicalDocument in the stylesheet, found several; send each in a file of its own",
        )),
        (None, _) => Err(Refusal::new(
            Reason::UnknownFormat,
            format!(
                "expected the XML of a CDA document, whose root is ClinicalDocument of {HL7}, or a stylesheet with that in it, found the root {}",
                shortened(root.tag_name().name())
            ),
        )),
    }
}

/// What stands in quotation marks is the sender's: what follows a stray `<` or `&` may be a patient's name.
fn without_quotations(text: &str) -> String {
    let mut pieces = text.split('\'');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    while let (Some(_), Some(after)) = (pieces.next(), pieces.next()) {
        plain.push('…');
        plain.push_str(after);
    }
    plain
}

/// Counts what the parser would build, without building it.
fn check_bounds(text: &str) -> Result<(), Refusal> {
    let bytes = text.as_bytes();
    let mut nodes = 0_usize;
    let mut attributes = 0_usize;
    // For each open element, how many namespaces are declared in and around it.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0_usize;
    while let Some(found) = memchr::memchr(b'<', bytes.get(at..).unwrap_or_default()) {
        // A text before the markup, and the markup itself.
        nodes = nodes.saturating_add(if found > 0 { 2 } else { 1 });
        if nodes > MAX_NODES {
            return Err(malformed(format!(
                "expected at most {MAX_NODES} elements and texts, found more"
            )));
        }
        let start = at.saturating_add(found);
        let rest = bytes.get(start..).unwrap_or_default();
        let (after, length) = match rest {
            [b'<', b'!', b'-', b'-', ..] => (4, end_of(rest, 4, b"-->")),
            [b'<', b'!', b'[', ..] => (3, end_of(rest, 3, b"]]>")),
            [b'<', b'!', ..] => {
                return Err(Refusal::new(
                    Reason::XmlDoctype,
                    "expected XML without a document type declaration, found one (<!…>)",
                )
                .at(place_of(text, start)));
            }
            [b'<', b'?', ..] => (2, end_of(rest, 2, b"?>")),
            [b'<', b'/', ..] => {
                open.pop();
                (2, end_of(rest, 2, b">"))
            }
            _ => {
                let tag = Tag::scan(rest);
                let around = open.last().copied().unwrap_or(0);
                let namespaces = around.saturating_add(tag.namespaces);
                attributes = attributes.saturating_add(tag.attributes);
                for (count, most, what) in [
                    (attributes, MAX_ALL_ATTRIBUTES, "attributes in all"),
                    (tag.attributes, MAX_ATTRIBUTES, "attributes in an element"),
                    (namespaces, MAX_NAMESPACES, "namespaces around an element"),
                    (
                        open.len().saturating_add(1),
                        MAX_DEPTH,
                        "elements in each other",
                    ),
                ] {
                    if count > most {
                        return Err(malformed(format!(
                            "expected at most {most} {what}, found more"
                        ))
                        .at(place_of(text, start)));
                    }
                }
                if !tag.is_empty {
                    open.push(namespaces);
                }
                (1, tag.length)
            }
        };
        at = start.saturating_add(length.max(after));
    }
    Ok(())
}

/// Where `end` ends behind `from`; all of it where it does not, which the parser will complain of.
fn end_of(bytes: &[u8], from: usize, end: &[u8]) -> usize {
    memchr::memmem::find(bytes.get(from..).unwrap_or_default(), end).map_or(bytes.len(), |found| {
        from.saturating_add(found).saturating_add(end.len())
    })
}

/// What a start tag costs.
struct Tag {
    length: usize,
    attributes: usize,
    namespaces: usize,
    is_empty: bool,
}

impl Tag {
    fn scan(bytes: &[u8]) -> Self {
        let mut tag = Tag {
            length: bytes.len(),
            attributes: 0,
            namespaces: 0,
            is_empty: false,
        };
        let mut at = 1_usize;
        let mut name_from = at;
        while let Some(found) =
            memchr::memchr3(b'>', b'"', b'\'', bytes.get(at..).unwrap_or_default())
        {
            let place = at.saturating_add(found);
            let quote = match bytes.get(place) {
                Some(quote @ (b'"' | b'\'')) => *quote,
                _ => {
                    tag.length = place.saturating_add(1);
                    tag.is_empty = bytes.get(place.saturating_sub(1)) == Some(&b'/');
                    break;
                }
            };
            tag.attributes = tag.attributes.saturating_add(1);
            let before = bytes.get(name_from..place).unwrap_or_default();
            if memchr::memmem::find(before, b"xmlns").is_some() {
                tag.namespaces = tag.namespaces.saturating_add(1);
            }
            let behind = place.saturating_add(1);
            match memchr::memchr(quote, bytes.get(behind..).unwrap_or_default()) {
                Some(end) => at = behind.saturating_add(end).saturating_add(1),
                None => break,
            }
            name_from = at;
        }
        tag
    }
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, message)
}

fn place_of(text: &str, at: usize) -> Location {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or_default();
    let column = last.chars().count().saturating_add(1);
    Location::named(format!("line {line}, column {column}"))
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

/// The elements of CDA itself below an element, without those that say by a null flavour that they are absent.
fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.has_tag_name((HL7, name)) && !child.has_attribute("nullFlavor"))
}

/// Every element at this path, in the order of the document.
fn all<'a, 'i>(node: Node<'a, 'i>, path: &[&'static str]) -> Vec<Node<'a, 'i>> {
    path.iter().fold(vec![node], |nodes, name| {
        nodes
            .into_iter()
            .flat_map(|node| children(node, name))
            .collect()
    })
}

/// An attribute that says something.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name)
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// The text in an element, its runs of white space as one space; none where there is nothing else.
fn text_in(node: Node<'_, '_>) -> Option<String> {
    let mut text = String::new();
    for part in node.descendants().filter(Node::is_text) {
        text.push_str(part.text().unwrap_or_default());
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "<ClinicalDocument xmlns=\"urn:hl7-org:v3\">";

    fn document(inside: &str) -> String {
        format!("{ROOT}{inside}</ClinicalDocument>")
    }

    fn title(bytes: &[u8]) -> String {
        match parse(bytes) {
            Ok(cda) => cda.header.title.unwrap_or_default(),
            Err(refusal) => refusal.reason.code().to_owned(),
        }
    }

    fn utf_16(text: &str, little: bool) -> Vec<u8> {
        let unit = |unit: u16| match little {
            true => unit.to_le_bytes(),
            false => unit.to_be_bytes(),
        };
        format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(unit)
            .collect()
    }

    #[test]
    fn xml_is_told_from_its_first_bytes() {
        for (bytes, is_xml) in [
            (&b"<?xml version=\"1.0\"?>"[..], true),
            (b"\xef\xbb\xbf \r\n<a/>", true),
            (b"<!-- a --><a/>", true),
            (b"<ns:a/>", true),
            (b"\r\n\r\n<a/>", true),
            (b"\0\0\x0b<a/>\x1c\r", true),
            (b"\x0b\xEF\xBB\xBF\n<a/>", true),
            (b"\0\0", false),
            (&utf_16("<a/>", true), true),
            (&utf_16("<a/>", false), true),
            (b"", false),
            (b"<", false),
            (b"<3", false),
            (b"a <b/>", false),
            (b"MSH|^~\\&", false),
        ] {
            assert_eq!(looks_like_xml(bytes), is_xml, "{bytes:?}");
        }
    }

    #[test]
    fn what_transports_put_around_a_document_is_left_out() {
        let utf_16 = utf_16("<a/>", true);
        for (bytes, document) in [
            (&b"<a/>"[..], &b"<a/>"[..]),
            (b"\r\n \n<a> </a>\r\n", b"<a> </a>"),
            (b"\0\0<a/>\0\x1a", b"<a/>"),
            (b"\x0b<a/>\x1c\r", b"<a/>"),
            (b"\xEF\xBB\xBF\n\xEF\xBB\xBF<a/>", b"<a/>"),
            (b"\r\n", b""),
            (&utf_16, &utf_16),
        ] {
            assert_eq!(without_framing(bytes), document, "{bytes:?}");
        }
    }

    #[test]
    fn the_encoding_is_that_of_the_mark_else_that_which_each_value_shows() {
        let with = |encoding: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"{encoding}\" ?>{}",
                document("<title>Œuf été €</title>")
            )
        };
        let plain = document("<title>Œuf été €</title>");
        let single = |label: &str| {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            encoding.encode(&with(label)).0.into_owned()
        };
        for bytes in [
            plain.clone().into_bytes(),
            format!("\u{feff}{plain}").into_bytes(),
            with("utf-8").into_bytes(),
            with("UTF-16").into_bytes(),
            format!("\u{feff}{}", with("ISO-8859-1")).into_bytes(),
            single("ISO-8859-15"),
            single("windows-1252"),
            utf_16(&with("UTF-16"), true),
            utf_16(&with("ISO-8859-1"), false),
            with("utf-8").replace('"', "'").into_bytes(),
        ] {
            assert_eq!(title(&bytes), "Œuf été €");
        }
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><ClinicalDocument xmlns='urn:hl7-org:v3'><title>\xe9</title></ClinicalDocument>";
        assert_eq!(title(latin), "é");
        assert_eq!(title(&latin.to_vec().split_off(43)), "é");
        for label in ["klingon", "replacement"] {
            assert_eq!(title(with(label).as_bytes()), "Œuf été €");
        }
    }

    #[test]
    fn the_author_has_the_rpps_among_the_numbers_and_any_name() {
        let id = |number| format!("<id root='1.2.250.1.71.4.2.1' extension='{number}'/>");
        let (adeli, rpps, structure) = (id("0751234567"), id("810100094977"), id("3350000741/1"));
        let parts = "<family>UN</family><given>Léa</given>";
        for (ids, number) in [
            (format!("{adeli}{rpps}"), "810100094977"),
            (format!("{rpps}{adeli}"), "810100094977"),
            (format!("{structure}{rpps}"), "810100094977"),
            (format!("{structure}{adeli}"), "3350000741/1"),
            (adeli.clone(), "0751234567"),
        ] {
            for (name, family, given) in [
                (parts, "UN", Some("Léa")),
                (" Dr  Jean AUTEUR\n", "Dr Jean AUTEUR", None),
                ("<prefix>Dr</prefix><family>UN</family>", "UN", None),
            ] {
                let text = document(&format!(
                    "<author><assignedAuthor>{ids}<assignedPerson><name>{name}</name></assignedPerson>\
                     </assignedAuthor></author>"
                ));
                let author = parse(text.as_bytes()).unwrap().header.submitter.unwrap();
                assert_eq!(author.rpps.as_deref(), Some(number), "{ids}");
                assert_eq!(author.family.as_deref(), Some(family), "{name}");
                assert_eq!(author.given.as_deref(), given, "{name}");
            }
        }
    }

    #[test]
    fn people_of_the_header_are_named_with_their_function() {
        let person = |entity: &str, who: &str, name: &str| {
            format!(
                "<{entity}><id root='1.2.250.1.71.4.2.1' extension='810102078838'/>\
                 <code code='SM26' displayName='Généraliste'/><{who}><name><given>Léa</given>\
                 <family>{name}</family></name></{who}></{entity}>"
            )
        };
        let function = "<functionCode code='PCP' displayName='Médecin traitant'/>";
        let text = document(&format!(
            "<author>{}</author><informationRecipient>{}</informationRecipient>\
             <participant typeCode='INF'>{function}{}</participant>\
             <documentationOf><serviceEvent><performer>{}</performer></serviceEvent></documentationOf>\
             <componentOf><encompassingEncounter><encounterParticipant>{}</encounterParticipant></encompassingEncounter></componentOf>\
             <author nullFlavor='NA'/>",
            person("assignedAuthor", "assignedPerson", "UN"),
            person("intendedRecipient", "informationRecipient", "DEUX"),
            person("associatedEntity", "associatedPerson", "TROIS"),
            person("assignedEntity", "assignedPerson", "QUATRE"),
            person("assignedEntity", "assignedPerson", "CINQ"),
        ));
        let people = parse(text.as_bytes()).unwrap().people;
        let told: Vec<_> = people
            .iter()
            .map(|it| {
                (
                    &*it.role,
                    it.name.as_deref().unwrap(),
                    it.label.as_deref().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("author", "UN Léa", "Généraliste"),
                ("informationRecipient", "DEUX Léa", "Généraliste"),
                ("participant", "TROIS Léa", "Médecin traitant, Généraliste"),
                ("performer", "QUATRE Léa", "Généraliste"),
                ("encounterParticipant", "CINQ Léa", "Généraliste"),
            ]
        );
    }

    #[test]
    fn what_is_no_cda_is_refused() {
        for (text, reason) in [
            ("<ClinicalDocument/>".to_owned(), "unknown-format"),
            (
                "<html xmlns=\"http://www.w3.org/1999/xhtml\"/>".to_owned(),
                "unknown-format",
            ),
            (
                "<a:Other xmlns:a=\"urn:hl7-org:v3\"/>".to_owned(),
                "unknown-format",
            ),
            (document("<title>"), "malformed"),
            (document("&eacute;"), "malformed"),
            (document("<a b='1' b='2'/>"), "malformed"),
            (document("<x:a/>"), "malformed"),
            ("<".to_owned(), "malformed"),
            ("<a".to_owned(), "malformed"),
            ("<a b=\"".to_owned(), "malformed"),
            ("<!-- a".to_owned(), "malformed"),
            (
                format!("<!DOCTYPE ClinicalDocument>{}", document("")),
                "xml-doctype",
            ),
            (
                format!(
                    "<?xml version=\"1.0\"?><!-- a --><!DOCTYPE a [<!ENTITY b \"c\">]>{}",
                    document("&b;")
                ),
                "xml-doctype",
            ),
            (format!("<!doctype html>{}", document("")), "xml-doctype"),
        ] {
            assert_eq!(title(text.as_bytes()), reason, "{text}");
        }
        let prefixed = "<a:ClinicalDocument xmlns:a=\"urn:hl7-org:v3\"><a:title>T</a:title></a:ClinicalDocument>";
        assert_eq!(title(prefixed.as_bytes()), "T");
        let harmless = document("<title>T<!-- <!DOCTYPE a> --><![CDATA[<!DOCTYPE b>]]></title>");
        assert_eq!(title(harmless.as_bytes()), "T<!DOCTYPE b>");
    }

    #[test]
    fn a_document_that_presents_itself_is_found_in_its_stylesheet() {
        let stylesheet = |name: &str, inside: &str| {
            format!(
                "<?xml version=\"1.0\"?><?xml-stylesheet type=\"text/xsl\" href=\"#\"?>\
                 <x:{name} version=\"1.0\" xmlns:x=\"{XSL}\" xmlns:d=\"urn:d\">{inside}</x:{name}>"
            )
        };
        let own = document("<title>T</title>");
        let template = format!("<x:template match=\"/\">{own}</x:template>");
        for (inside, expected) in [
            (own.clone(), "T"),
            (format!("<d:Contenu>{own}</d:Contenu>{template}"), "T"),
            (format!("{template}\n<d:a><d:b>{own}</d:b></d:a>"), "T"),
            (template.clone(), "unknown-format"),
            (String::new(), "unknown-format"),
            (format!("{own}{own}"), "malformed"),
            ("<ClinicalDocument/>".to_owned(), "unknown-format"),
        ] {
            for name in ["stylesheet", "transform"] {
                let text = stylesheet(name, &inside);
                assert_eq!(title(text.as_bytes()), expected, "{text}");
            }
            let text = stylesheet("output", &inside);
            assert_eq!(title(text.as_bytes()), "unknown-format", "{text}");
        }
        // The same is said of it, wherever it stands.
        let whole = include_str!("../../fixtures/cda/meeting.xml");
        let plain = parse(whole.as_bytes()).unwrap();
        let (_, whole) = whole.split_once("?>").unwrap();
        let wrapped = stylesheet("stylesheet", &format!("<d:Contenu>{whole}</d:Contenu>"));
        let hash = plain.hash.clone();
        let found = parse(wrapped.as_bytes()).unwrap();
        assert_ne!(found.hash, hash);
        assert_eq!(Cda { hash, ..found }, plain);
    }

    #[test]
    fn size_is_bounded_before_anything_is_built() {
        let nested =
            |depth: usize| document(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
        let attributes = |count: usize| {
            let all: Vec<String> = (0..count).map(|number| format!("a{number}='>'")).collect();
            document(&format!("<a {}/>", all.join(" ")))
        };
        let namespaces = |count: usize| {
            let all: Vec<String> = (0..count)
                .map(|number| format!("xmlns:n{number}='u{number}'"))
                .collect();
            document(&format!("<a {}/>", all.join(" ")))
        };
        for (text, is_refused) in [
            (nested(MAX_DEPTH - 1), false),
            (nested(MAX_DEPTH), true),
            (nested(1_000_000), true),
            (attributes(MAX_ATTRIBUTES), false),
            (attributes(MAX_ATTRIBUTES + 1), true),
            (namespaces(MAX_NAMESPACES - 1), false),
            (namespaces(MAX_NAMESPACES), true),
            (document(&"<a/>".repeat(MAX_NODES - 10)), false),
            (document(&"<a/>".repeat(MAX_NODES)), true),
            (document(&"<a>b</a>".repeat(MAX_NODES / 2)), true),
            (document(&"<!-- -->".repeat(MAX_NODES)), true),
            (
                document(&format!("<a {}/>", "b=\"\" ".repeat(MAX_ATTRIBUTES)).repeat(1_000)),
                true,
            ),
        ] {
            assert_eq!(title(text.as_bytes()) == "malformed", is_refused);
        }
    }

    #[test]
    fn an_error_says_where() {
        let refusal = parse(document("\n  <a></b>").as_bytes()).unwrap_err();
        assert!(refusal.place.unwrap().shown.starts_with("line 2, column "));
        let refusal = parse(b"<?xml version='1.0'?>\n <!DOCTYPE a><a/>").unwrap_err();
        assert_eq!(refusal.place.unwrap().shown, "line 2, column 2");
    }

    /// Pieces of markup in any order, and bytes cut out of a whole document.
    #[test]
    fn no_bytes_are_too_strange() {
        use proptest::prelude::*;
        const WHOLE: &[u8] = include_bytes!("../../fixtures/cda/values.xml");
        let piece = prop::sample::select(vec![
            "<?xml version=\"1.0\" encoding=\"",
            "UTF-8\"?>",
            "UTF-16\"?>",
            "ISO-8859-1\"?>",
            ROOT,
            "</ClinicalDocument>",
            "<component>",
            "</component>",
            "<structuredBody>",
            "<section>",
            "<entry>",
            "<observation ",
            "<value xsi:type=\"",
            "nullFlavor=\"NI\"",
            "<text>",
            "<reference value=\"#a\"/>",
            "ID=\"a\"",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<!",
            "&#",
            "&amp;",
            "'",
            "\"",
            ">",
            "/>",
            "<",
            " ",
            "\n",
            "é",
            "\u{feff}",
            "\0",
        ]);
        let pieces =
            prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes());
        let strange = prop::collection::vec(any::<u8>(), 0..200);
        let cut = (
            0..WHOLE.len(),
            0..200_usize,
            prop::collection::vec(any::<u8>(), 0..8),
        );
        proptest!(|(pieces in pieces, strange in strange, (at, length, by) in cut)| {
            let mut damaged = WHOLE.to_vec();
            damaged.splice(at..at.saturating_add(length).min(WHOLE.len()), by);
            for bytes in [&pieces, &strange, &damaged] {
                let _ = looks_like_xml(bytes);
                let _ = parse(bytes);
            }
        });
    }
}
