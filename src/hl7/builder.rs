//! Writing messages: acknowledgements and reports (interface.md 8, 10).
//!
//! ```
//! use rcpspool::hl7::{Builder, ComponentValue, SegmentBuilder};
//!
//! let message = Builder::new()
//!     .segment(SegmentBuilder::new("MSH").field(3, "ROFIM").components(9, &["MDM", "T02", "MDM_T02"]))
//!     .segment(SegmentBuilder::new("PID").field(1, "1").components(3, &["42", "", "", "CHU & Cie", "PI"]).up_to(5))
//!     .segment(SegmentBuilder::new("OBX").parts(5, &["f.pdf".into(), "".into(), ComponentValue::Raw("JVBERi0=")]))
//!     .finish();
//! assert_eq!(
//!     message,
//!     "MSH|^~\\&|ROFIM||||||MDM^T02^MDM_T02\rPID|1||42^^^CHU \\T\\ Cie^PI||\rOBX|||||f.pdf^^JVBERi0=\r"
//! );
//! ```

use std::collections::BTreeMap;

use super::escape;

/// A message in the making: UTF-8, with HL7's usual delimiters, segments ended by CR.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    text: String,
}

impl Builder {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a segment.
    pub fn segment(mut self, segment: SegmentBuilder) -> Self {
        segment.write(&mut self.text);
        self
    }

    /// The message.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A segment in the making; its fields can be given in any order.
///
/// A field that is given again gets a further repetition. Empty components and fields at the end are left out.
#[derive(Debug, Clone)]
pub struct SegmentBuilder {
    name: &'static str,
    fields: BTreeMap<u32, String>,
    up_to: u32,
}

/// A component to be written.
#[derive(Debug, Clone, Copy)]
pub enum ComponentValue<'a> {
    /// Text, which is escaped.
    Text(&'a str),
    /// Subcomponents of text, each of which is escaped.
    Subcomponents(&'a [&'a str]),
    /// What needs no escaping and may be long: base64, numbers, codes.
    Raw(&'a str),
}

impl<'a> From<&'a str> for ComponentValue<'a> {
    fn from(text: &'a str) -> Self {
        ComponentValue::Text(text)
    }
}

impl SegmentBuilder {
    /// A segment without fields. MSH, FHS and BHS get their fields 1 and 2 by themselves.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            fields: BTreeMap::new(),
            up_to: 0,
        }
    }

    /// A field that is one text.
    pub fn field(self, number: u32, text: &str) -> Self {
        self.parts(number, &[ComponentValue::Text(text)])
    }

    /// A field of several texts.
    pub fn components(self, number: u32, texts: &[&str]) -> Self {
        let parts: Vec<_> = texts
            .iter()
            .map(|text| ComponentValue::Text(text))
            .collect();
        self.parts(number, &parts)
    }

    /// A field of several components of any kind.
    pub fn parts(mut self, number: u32, parts: &[ComponentValue<'_>]) -> Self {
        let mut text = match self.fields.remove(&number) {
            Some(mut before) => {
                before.push('~');
                before
            }
            None => String::new(),
        };
        let kept = parts
            .iter()
            .rposition(|part| !part.is_empty())
            .map_or(0, |last| last + 1);
        for (place, part) in parts.iter().take(kept).enumerate() {
            if place > 0 {
                text.push('^');
            }
            part.write(&mut text);
        }
        self.fields.insert(number, text);
        self
    }

    /// Writes the segment to this field at least, though the last ones be empty.
    pub fn up_to(mut self, number: u32) -> Self {
        self.up_to = number;
        self
    }

    fn write(&self, out: &mut String) {
        let (header, first) = match self.name {
            "MSH" | "FHS" | "BHS" => ("|^~\\&", 3),
            _ => ("", 1),
        };
        out.reserve(
            self.fields
                .values()
                .map(|field| field.len() + 1)
                .sum::<usize>()
                + 16,
        );
        out.push_str(self.name);
        out.push_str(header);
        let last = self
            .fields
            .iter()
            .rev()
            .find(|(_, text)| !text.is_empty())
            .map_or(0, |(number, _)| *number)
            .max(self.up_to);
        for number in first..=last {
            out.push('|');
            out.push_str(self.fields.get(&number).map_or("", String::as_str));
        }
        out.push('\r');
    }
}

impl ComponentValue<'_> {
    fn is_empty(&self) -> bool {
        match self {
            ComponentValue::Text(text) | ComponentValue::Raw(text) => text.is_empty(),
            ComponentValue::Subcomponents(texts) => texts.iter().all(|text| text.is_empty()),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            ComponentValue::Text(text) => escape::write(text, out),
            ComponentValue::Raw(text) => out.push_str(text),
            ComponentValue::Subcomponents(texts) => {
                let kept = texts
                    .iter()
                    .rposition(|text| !text.is_empty())
                    .map_or(0, |last| last + 1);
                for (place, text) in texts.iter().take(kept).enumerate() {
                    if place > 0 {
                        out.push('&');
                    }
                    escape::write(text, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Message;

    fn written(segment: SegmentBuilder) -> String {
        Builder::new().segment(segment).finish()
    }

    #[test]
    fn segments_are_written_as_the_standard_asks() {
        let segment = SegmentBuilder::new;
        for (built, text) in [
            (segment("EVN"), "EVN\r"),
            (
                segment("EVN").field(2, "2024").field(1, "T02"),
                "EVN|T02|2024\r",
            ),
            (segment("EVN").field(1, "T02").field(3, ""), "EVN|T02\r"),
            (
                segment("PID").field(19, "NC").up_to(23),
                "PID|||||||||||||||||||NC||||\r",
            ),
            (
                segment("PID").components(3, &["1", "", "", "A", "PI", ""]),
                "PID|||1^^^A^PI\r",
            ),
            (
                segment("PID").field(3, "1").components(3, &["2", "x"]),
                "PID|||1~2^x\r",
            ),
            (segment("PID").field(3, "").field(3, "2"), "PID|||~2\r"),
            (
                segment("PV1").parts(
                    7,
                    &[
                        "101".into(),
                        ComponentValue::Subcomponents(&["A&B", "1.2", "ISO", ""]),
                        "".into(),
                    ],
                ),
                "PV1|||||||101^A\\T\\B&1.2&ISO\r",
            ),
            (
                segment("OBX").parts(5, &[ComponentValue::Raw("a+/=")]),
                "OBX|||||a+/=\r",
            ),
            (
                segment("ERR").field(8, "a|b\r\nc"),
                "ERR||||||||a\\F\\b\\.br\\c\r",
            ),
            (
                segment("MSH").field(1, "x").field(3, "A").field(5, "B"),
                "MSH|^~\\&|A||B\r",
            ),
            (segment("MSH"), "MSH|^~\\&\r"),
        ] {
            assert_eq!(written(built), text);
        }
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let text = Builder::new()
            .segment(SegmentBuilder::new("MSH").field(18, "UTF-8"))
            .segment(
                SegmentBuilder::new("ZZZ")
                    .components(2, &["é|^~\\&", "\\F\\"])
                    .field(2, "x"),
            )
            .finish();
        let message = Message::parse(text.as_bytes()).unwrap();
        let field = message.first("ZZZ").unwrap().field(2);
        assert_eq!(field.component(1).text(), "é|^~\\&");
        assert_eq!(field.component(2).text(), "\\F\\");
        assert_eq!(field.repetition(2).component(1).text(), "x");
    }
}
