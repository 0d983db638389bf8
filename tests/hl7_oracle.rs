//! HL7 reading and writing against generated messages, another implementation (`hl7kit`) and published samples.

// What is unwrapped here is what a test asserts.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rcpspool::hl7::{
    Builder, ComponentValue, Delimiters, Message, Path, SegmentBuilder, Timestamp, looks_like_hl7,
    split,
};
use rcpspool::model::date::PartialDate;

// ---- generated messages against hl7kit -------------------------------------------------------------------

const DELIMITERS: [&str; 4] = ["|^~\\&", "|^~\\&#", "!*%?$", "#:;/,"];
const LINE_ENDS: [&str; 5] = ["\r", "\n", "\r\n", "\r\n\r\n", "\n\r"];
const CHARSETS: [(&str, &str); 6] = [
    ("", "utf-8"),
    ("UNICODE UTF-8", "utf-8"),
    ("8859/1", "windows-1252"),
    ("8859-15", "iso-8859-15"),
    ("ISO-8859-1", "utf-8"),
    ("", "windows-1252"),
];

/// One value, by what stands between its separators; `\` stands for the escape character of the message.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[A-Za-z0-9éèîçÉ']{1,6}",
        1 => "[a-z]( [a-z]){1,2}",
        3 => select(vec!["\\F\\", "\\S\\", "\\T\\", "\\R\\", "\\E\\", "\\.br\\", "\\X41\\", "\\X0d0A\\"])
            .prop_map(str::to_owned),
        1 => select(vec!["\\H\\", "\\N\\", "\\.sp3\\", "\\oops\\", "\\XZZ\\", "\\\\", "\"\""]).prop_map(str::to_owned),
    ];
    let end = select(vec!["", "", "", "", "\\"]);
    (vec(piece, 0..4), end).prop_map(|(pieces, end)| pieces.concat() + end)
}

type Fields = Vec<Vec<Vec<Vec<String>>>>;

fn fields() -> impl Strategy<Value = Fields> {
    let component = vec(value(), 1..3);
    let repetition = vec(component, 1..5);
    vec(vec(repetition, 1..3), 0..6)
}

#[derive(Debug, Clone)]
struct Generated {
    text: String,
    bytes: Vec<u8>,
}

fn generated() -> impl Strategy<Value = Generated> {
    let name = select(vec!["PID", "OBX", "ZZ1", "NTE", "AIL"]);
    let segments = vec((name, fields(), select(LINE_ENDS.to_vec())), 0..8);
    (
        select(DELIMITERS.to_vec()),
        segments,
        select(CHARSETS.to_vec()),
    )
        .prop_map(|(delimiters, segments, (declared, encoding))| {
            let mark: Vec<char> = delimiters.chars().collect();
            let (field, component, repetition, escape, subcomponent) =
                (mark[0], mark[1], mark[2], mark[3], mark[4]);
            let mut text = format!(
                "MSH{delimiters}{}{declared}\r",
                field.to_string().repeat(16)
            );
            for (name, fields, end) in segments {
                text.push_str(name);
                for repetitions in fields {
                    text.push(field);
                    let written: Vec<String> = repetitions
                        .iter()
                        .map(|components| {
                            let components: Vec<String> = components
                                .iter()
                                .map(|values| {
                                    values
                                        .join(&subcomponent.to_string())
                                        .replace('\\', &escape.to_string())
                                })
                                .collect();
                            components.join(&component.to_string())
                        })
                        .collect();
                    text.push_str(&written.join(&repetition.to_string()));
                }
                text.push_str(end);
            }
            let encoding = encoding_rs::Encoding::for_label(encoding.as_bytes()).unwrap();
            let bytes = encoding.encode(&text).0.into_owned();
            Generated { text, bytes }
        })
}

proptest! {
    #[test]
    fn a_generated_message_reads_as_hl7kit_reads_it(generated in generated()) {
        // hl7kit panics on a hexadecimal escape with anything but ASCII in it.
        let escape = generated.text.chars().nth(6).unwrap();
        let mut pieces = generated.text.split(escape);
        prop_assume!(!pieces.any(|piece| piece.starts_with('X') && !piece.is_ascii()));
        let theirs = hl7kit::Message::parse(generated.text).unwrap();
        let batch = split(&generated.bytes).unwrap();
        prop_assert_eq!(batch.messages.len(), 1);
        let ours = Message::parse(batch.messages[0]).unwrap();
        prop_assert_eq!(ours.segments().count(), theirs.segment_count());
        for (ours, theirs) in ours.segments().zip(theirs.segments()) {
            prop_assert_eq!(ours.name(), theirs.name());
            prop_assert_eq!(ours.field_count() as usize, theirs.field_count());
            for field in 1..=theirs.field_count() + 1 {
                let (ours, theirs) = (ours.field(field as u32), theirs.field(field));
                let repetitions = theirs.as_ref().map_or(0, |field| field.repetition_count());
                for number in 1..=repetitions + 1 {
                    let ours = ours.repetition(number as u32);
                    let theirs = theirs.as_ref().and_then(|field| field.repetition(number));
                    let components = theirs.as_ref().map_or(0, |repetition| repetition.component_count());
                    for number in 1..=components + 1 {
                        let ours = ours.component(number as u32);
                        let theirs = theirs.as_ref().and_then(|repetition| repetition.component(number));
                        let decoded = theirs.as_ref().map(|component| component.decoded()).unwrap_or_default();
                        prop_assert_eq!(ours.text(), decoded, "{}", ours.position());
                        let subcomponents = theirs.as_ref().map_or(0, |component| component.subcomponent_count());
                        for number in 1..=subcomponents + 1 {
                            let ours = ours.subcomponent(number as u32);
                            let theirs = theirs.as_ref().and_then(|component| component.subcomponent(number));
                            let decoded = theirs.as_ref().map(|part| part.decoded()).unwrap_or_default();
                            prop_assert_eq!(ours.text(), decoded, "{}", ours.position());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn line_ends_and_framing_do_not_matter(generated in generated(), end in select(LINE_ENDS.to_vec())) {
        let text = generated.text.replace("\r\n", "\r").replace('\n', "\r");
        let other = format!("\u{feff}\u{b}{}\u{1c}\r", text.replace('\r', end));
        let (one, two) = (split(text.as_bytes()).unwrap(), split(other.as_bytes()).unwrap());
        prop_assert_eq!((one.messages.len(), two.messages.len()), (1, 1));
        let (one, two) = (Message::parse(one.messages[0]).unwrap(), Message::parse(two.messages[0]).unwrap());
        prop_assert_eq!(one.normalised().collect::<Vec<_>>().concat(), two.normalised().collect::<Vec<_>>().concat());
        let raw = |message: &Message<'_>| message.segments().map(|segment| segment.raw().to_vec()).collect::<Vec<_>>();
        prop_assert_eq!(raw(&one), raw(&two));
    }
}

// ---- anything at all -------------------------------------------------------------------------------------

/// Bytes that are nearly HL7, so that what is generated gets past the header.
fn nearly_hl7() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "MSH|^~\\&|",
        "MSH|^~\\&#|a",
        "MSH!*%?$!",
        "MSH|",
        "MSH",
        "FHS|^~\\&|",
        "BHS|^~\\&|",
        "BTS|2",
        "FTS|1|",
        "PID|",
        "OBX|1|ED|",
        "ZZZ",
        "\r",
        "\n",
        "\r\n",
        "\u{b}",
        "\u{1c}",
        "\u{feff}",
        "|",
        "||||||||",
        "^",
        "~",
        "&",
        "\\",
        "\\F\\",
        "\\X",
        "\\XE9\\",
        "\\XC3\\\\XA9\\",
        "\"\"",
        "\0",
        " ",
        "8859/1",
        "UTF-8",
        "JAS2020",
        "é",
        "€",
        "20240306111154+0100",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    let piece = prop_oneof![6 => known, 1 => vec(any::<u8>(), 1..6)];
    (any::<bool>(), vec(piece, 0..60)).prop_map(|(header, pieces)| {
        let mut bytes = if header {
            b"MSH|^~\\&|".to_vec()
        } else {
            Vec::new()
        };
        bytes.extend(pieces.concat());
        bytes
    })
}

/// Looks at everything in a file; whatever came, nothing may panic.
fn walk(bytes: &[u8]) {
    let batch = split(bytes);
    assert!(looks_like_hl7(bytes) || batch.is_err());
    for bytes in batch.iter().flat_map(|batch| &batch.messages) {
        let Ok(message) = Message::parse(bytes) else {
            continue;
        };
        let normal = message.normalised().collect::<Vec<_>>().concat();
        let again = Message::parse(&normal).unwrap();
        assert_eq!(again.normalised().collect::<Vec<_>>().concat(), normal);
        assert_eq!(again.segments().count(), message.segments().count());
        let _ = (
            message.message_code(),
            message.trigger(),
            message.control_id(),
            message.version(),
            message.time(),
        );
        let _ = (
            message.sending_application(),
            message.sending_facility(),
            message.charset_warnings(),
        );

        let mut occurrences = BTreeMap::new();
        for segment in message.segments() {
            *occurrences.entry(segment.name().to_owned()).or_insert(0) += 1;
            assert_eq!(segment.occurrence(), occurrences[segment.name()]);
            assert_eq!(
                message
                    .all(segment.name())
                    .nth(segment.occurrence() as usize - 1)
                    .unwrap()
                    .raw(),
                segment.raw()
            );
            for number in 0..=segment.field_count().saturating_add(1) {
                let field = segment.field(number);
                assert!(number <= segment.field_count() || field.raw().is_empty());
                let _ = (
                    field.is_delete(),
                    field.simple().text(),
                    field.as_repetition().number(),
                );
                for repetition in field.repetitions() {
                    assert_eq!(
                        repetition.raw(),
                        field.repetition(repetition.number()).raw()
                    );
                    for number in 0..5 {
                        let component = repetition.component(number);
                        // What the text holds came with the message: nothing was replaced.
                        assert!(!component.text().contains('\u{fffd}') || holds_replacement(bytes));
                        assert!(!component.is_empty() || component.subcomponent(2).is_empty());
                        let position = component.subcomponent(number).position();
                        assert!(!position.erl().is_empty());
                        if number > 0 {
                            let path: Path = position.to_string().parse().unwrap();
                            assert_eq!(path, position);
                            let found = message.get(&path).unwrap();
                            assert_eq!(found.raw(), component.subcomponent(number).raw());
                        }
                    }
                }
            }
        }
    }
}

fn holds_replacement(bytes: &[u8]) -> bool {
    let hexadecimal = String::from_utf8_lossy(bytes).to_uppercase();
    bytes.windows(3).any(|three| three == "\u{fffd}".as_bytes()) || hexadecimal.contains("EF")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn nearly_hl7_never_panics(bytes in nearly_hl7()) {
        walk(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        walk(&bytes);
        let mut with_header = b"MSH".to_vec();
        with_header.extend(&bytes);
        walk(&with_header);
    }

    #[test]
    fn arbitrary_text_is_a_time_or_a_path_or_is_refused(text in "\\PC{0,20}", near in "[0-9.+Z-]{0,24}", path in "[A-Z0-9().-]{0,12}") {
        for text in [text.as_str(), &near] {
            if let Ok(time) = Timestamp::parse(text) {
                let _ = (time.instant(chrono_tz::Tz::Europe__Paris), time.instant(chrono_tz::Tz::Pacific__Apia));
                let date = time.partial_date();
                prop_assert_eq!(Timestamp::parse(&date.hl7()).unwrap().partial_date(), date);
                prop_assert_eq!(date.to_string().parse::<PartialDate>().unwrap(), date);
            }
        }
        for text in [text.as_str(), &path] {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
            }
        }
    }
}

// ---- writing ---------------------------------------------------------------------------------------------

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        texts in vec(option::weighted(0.8, "(\\PC|[|^~&\\\\\r\n\t\0\u{b}\u{1c}\"]|\\\\X41\\\\){0,12}"), 1..8),
        base64 in "[A-Za-z0-9+/]{0,40}",
        up_to in 0u32..12,
    ) {
        let texts: Vec<String> = texts.into_iter().map(Option::unwrap_or_default).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let written = Builder::new()
            .segment(SegmentBuilder::new("MSH").field(3, &texts[0]).components(9, &["MDM", "T02"]).field(18, "UTF-8"))
            .segment(
                SegmentBuilder::new("ZZZ")
                    .components(2, &borrowed)
                    .field(2, "second")
                    .parts(4, &[ComponentValue::Raw(&base64), ComponentValue::Subcomponents(&borrowed)])
                    .up_to(up_to),
            )
            .segment(SegmentBuilder::new("NTE"))
            .finish();

        let batch = split(written.as_bytes()).unwrap();
        prop_assert_eq!(batch.messages.len(), 1);
        let message = Message::parse(batch.messages[0]).unwrap();
        prop_assert_eq!(message.delimiters(), Delimiters::STANDARD);
        prop_assert!(message.charset_warnings().is_empty());
        let names: Vec<_> = message.segments().map(|segment| segment.name().to_owned()).collect();
        prop_assert_eq!(names, ["MSH", "ZZZ", "NTE"]);

        // Every line end is written as the same line break.
        let expected: Vec<String> = texts.iter().map(|text| text.replace("\r\n", "\n").replace('\r', "\n")).collect();
        prop_assert_eq!(message.header().field(3).text(), expected[0].as_str());
        let segment = message.first("ZZZ").unwrap();
        for (number, expected) in (1..).zip(&expected) {
            prop_assert_eq!(segment.field(2).component(number).text(), expected.as_str());
            prop_assert_eq!(segment.field(4).component(2).subcomponent(number).text(), expected.as_str());
        }
        prop_assert_eq!(segment.field(2).repetition(2).text(), "second");
        prop_assert_eq!(segment.field(4).component(1).raw(), base64.as_bytes());
        prop_assert!(segment.field_count() >= up_to);
    }
}

// ---- published samples -----------------------------------------------------------------------------------

#[test]
fn samples_are_read() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/hl7v2");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no samples");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let shown = path.display();
        let bytes = std::fs::read(&path).unwrap();
        let batch = split(&bytes).unwrap();
        assert_eq!(
            (batch.messages.len(), batch.count_mismatch),
            (1, None),
            "{shown}"
        );
        let message = Message::parse(batch.messages[0]).unwrap();
        assert_eq!(message.charset().name(), "UTF-8", "{shown}");
        assert!(message.charset_warnings().is_empty(), "{shown}");
        assert!(
            ["ADT", "ORU", "MDM"].contains(&&*message.message_code()),
            "{shown}"
        );
        assert!(["2.5", "2.6"].contains(&&*message.version()), "{shown}");
        assert!(Timestamp::parse(&message.time()).is_ok(), "{shown}");
        let pid = message.first("PID").unwrap();
        assert!(
            pid.field(3)
                .repetitions()
                .any(|id| id.component(5).text() == "INS"),
            "{shown}"
        );
        assert_eq!(pid.field(7).component(1).text(), "19790328", "{shown}");
        walk(&bytes);
    }
}
