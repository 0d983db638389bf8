//! Which flow a message goes to (interface.md 2).

use std::path::Path;

use super::checks::{
    READ_SEGMENTS, charset_warnings, check_bounds, check_key, check_key_elsewhere,
    check_key_in_document, check_lines, check_single, check_version, check_whole, hash_of,
};
use super::describe::message_type;
use super::field_update::word;
use super::message_time::untidy_time;
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, cdar2, documents, ims, siu};
use crate::cda::Cda;
use crate::config::Facility;
use crate::hl7::{Message, MessageEdges, Position, Value};
use crate::model::change::Record;
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::view::View;

/// Where a message goes, by MSH-9 (interface.md 2, "Message types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageFlow {
    /// Patients.
    Ims,
    /// Scheduling.
    Siu,
    /// Documents.
    Documents,
    /// Nothing that concerns the meetings.
    Ignored,
}

/// Decides on a message: whether it may be read at all, whether it came before, and then by its flow.
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
) -> DecisionResult<'m> {
    decide_and_record(message, view, context, &mut Trail::off())
}

/// Decides on a message as [`decide`] does, and records in the trail each datum that is read.
pub fn decide_and_record<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    trail.go_on(check_key(message, context.facility), || ())?;
    trail.go_on(check_key_elsewhere(message, context.facility), || ())?;
    let (code, trigger) = message_type(message);
    if code == "ACK" {
        return Ok(Decision::unchanged(Verdict::Ignored));
    }
    trail.go_on(check_version(message, context.versions), || ())?;
    let flow = flow(message, &code, &trigger)?;
    if flow == MessageFlow::Ignored {
        return Ok(Decision::unchanged(Verdict::Ignored));
    }
    let once: &[&str] = match (code.as_str(), trigger.as_str()) {
        ("SIU", _) => &["SCH", "PID"],
        ("MDM", _) => &["PID", "TXA"],
        ("ADT", "A40") => &[],
        ("ADT", "A47") => &["PID", "MRG"],
        ("ADT", _) => &["PID"],
        _ => &[],
    };
    trail.go_on(check_single(message, once), || ())?;
    trail.go_on(check_whole(message), || ())?;
    trail.go_on(check_bounds(message), || ())?;
    let untidy = trail.go_on(check_lines(message), Vec::new)?;
    let hash = hash_of(message);
    if view.is_applied(&context.facility.id, &hash)? {
        return Ok(Decision::unchanged(Verdict::Duplicate));
    }
    let mut decision = match flow {
        MessageFlow::Ims => ims::decide(message, view, context, trail)?,
        MessageFlow::Siu => siu::decide(message, view, context, trail)?,
        MessageFlow::Documents => documents::decide(message, view, context, trail)?,
        MessageFlow::Ignored => Decision::unchanged(Verdict::Ignored),
    };
    decision.warnings.splice(..0, charset_warnings(message));
    let times = untidy_times(message, flow, context.facility);
    decision.warnings.extend(times);
    decision = decision.warned_if_taken(untidy);
    if decision.verdict.has_effect() {
        let applied = Record::Applied(context.facility.id.clone(), hash);
        decision.changes.push(applied.into());
    }
    Ok(decision)
}

/// Decides on a CDA document: whether it came before, and then by its flow.
pub fn decide_cda<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    view: &dyn View,
    context: &Context<'_>,
) -> DecisionResult<'m> {
    decide_cda_and_record(bytes, cda, view, context, &mut Trail::off())
}

/// Decides on a CDA document as [`decide_cda`] does, and records in the trail each datum that is read.
pub fn decide_cda_and_record<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    check_key_in_document(bytes, context.facility)?;
    cdar2::decide(bytes, cda, None, view, context, trail)
}

/// Whether a file asks for reports: its name says so, its content is not read (interface.md 2).
pub fn is_request(name: &Path) -> bool {
    let ending = name.extension();
    ending.is_some_and(|ending| {
        ending.eq_ignore_ascii_case("retrieve") || ending.eq_ignore_ascii_case("retreive")
    })
}

/// The refusal of a file that is nothing which is known (interface.md 2).
pub fn unknown_format() -> Refusal {
    Refusal::new(
        Reason::UnknownFormat,
        "The file is neither HL7 v2 (it would start with MSH, FHS or BHS), nor a CDA document, nor named *.retrieve.",
    )
}

/// The flow of a message type.
fn flow(message: &Message<'_>, code: &str, trigger: &str) -> Result<MessageFlow, Refusal> {
    match (code, trigger) {
        ("ADT", "A01" | "A04" | "A05" | "A08" | "A28" | "A31" | "A40" | "A47") => {
            Ok(MessageFlow::Ims)
        }
        ("ADT", event) if is_adt_event(event) => Ok(MessageFlow::Ignored),
        ("SIU", "S12" | "S13" | "S14" | "S15" | "S17") => Ok(MessageFlow::Siu),
        ("SIU", "S16" | "S18" | "S19" | "S20" | "S21" | "S22" | "S23" | "S24" | "S26" | "S27") => {
            Ok(MessageFlow::Ignored)
        }
        ("ORU", "R01") | ("OUL", "R21" | "R22" | "R23" | "R24") => Ok(MessageFlow::Documents),
        (
            "MDM",
            "T01" | "T02" | "T03" | "T04" | "T05" | "T06" | "T07" | "T08" | "T09" | "T10" | "T11",
        ) => Ok(MessageFlow::Documents),
        _ => Err(unsupported(message, code, trigger)),
    }
}

/// Whether this is an event of ADT: of table 0003, or one that a country or a site adds.
fn is_adt_event(event: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match event.split_at_checked(1) {
        Some(("A", number)) if number.len() == 2 && is_number(number) => number
            .parse::<u8>()
            .is_ok_and(|number| matches!(number, 1..=18 | 20..=55 | 60..=62)),
        Some(("Z", rest)) => {
            rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
        _ => false,
    }
}

fn unsupported(message: &Message<'_>, code: &str, trigger: &str) -> Refusal {
    let part = match code {
        "ADT" | "SIU" | "ORU" | "MDM" | "OUL" => 2,
        _ => 1,
    };
    let shown: String = format!("{code}^{trigger}").chars().take(40).collect();
    Refusal::new(
        Reason::UnsupportedMessage,
        format!("expected an event of ADT or SIU, ORU^R01, MDM^T01 to T11 or OUL^R21 to R24, found \"{shown}\""),
    )
    .at(message.header().field(9).component(part).position())
    .with_value(&shown)
}

/// What is in doubt about where a message begins and ends in its file. One that ends within a document is refused.
pub fn check_edges(message: &Message<'_>, edges: MessageEdges) -> Result<Vec<Warning>, Refusal> {
    let mut warnings = Vec::new();
    if edges.begins_untidy {
        let warning = Warning::new(
            WarningCode::SegmentUntidy,
            "expected the header at the start of a line, found it behind other bytes; a message was read from there on",
        );
        warnings.push(warning.at(Position::of_segment("MSH")));
    }
    if edges.ends_open {
        documents::refuse_cut_off(message)?;
        let last = message.segments().last();
        if let Some(last) = last.filter(|last| READ_SEGMENTS.contains(&last.name())) {
            let warning = Warning::new(
                WarningCode::SegmentUntidy,
                "expected the end of the last segment, a carriage return, found none; its last value may be cut short",
            );
            warnings.push(warning.at(last.position()));
        }
    }
    Ok(warnings)
}

/// The times of a message that are read, and not written as HL7 writes them.
fn untidy_times(message: &Message<'_>, flow: MessageFlow, facility: &Facility) -> Vec<Warning> {
    let of = |value: Value<'_>| {
        // Nearly all times are written like this, and need not be read again.
        let raw = value.raw();
        if !raw.is_empty() && raw.len() <= 14 && raw.iter().all(u8::is_ascii_digit) {
            return Some(None);
        }
        let text = word(&value.simple())?;
        Some(untidy_time(&text, value.position()))
    };
    let session_date = || {
        let mut places = facility.fields.session_date.iter();
        places.find_map(|place| of(message.get(place)?))
    };
    let births = message.all("PID").map(|pid| pid.field(7).component(1));
    let mut times = vec![of(message.header().field(7).component(1).into())];
    times.extend(births.map(|birth| of(birth.into())));
    if flow == MessageFlow::Siu {
        times.push(session_date());
    }
    times.into_iter().flatten().flatten().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intake::testing::{World, outcome_text};
    use crate::model::outcome::Outcome;

    fn message(header: &[(usize, &str)]) -> String {
        let mut fields = vec![
            "MSH",
            "^~\\&",
            "GAM",
            "CHU",
            "RCP",
            "RCP",
            "20250401",
            "",
            "ADT^A28^ADT_A05",
            "7",
            "P",
            "2.5",
        ];
        fields.resize(18, "");
        for (number, value) in header {
            fields[*number - 1] = value;
        }
        format!(
            "{}\rPID|1||P-1^^^CHU^PI||MARTIN^Lea^^^^^L||19700102|F\r",
            fields.join("|")
        )
    }

    #[test]
    fn messages_go_by_their_type() {
        for (types, expected) in [
            (
                &["ADT^A28", "ADT^A01^ADT_A01", " ADT ^ A31 "][..],
                "accepted",
            ),
            (
                &[
                    "ADT^A02",
                    "ADT^A60",
                    "ADT^Z99",
                    "ADT^a13",
                    "SIU^S16",
                    "SIU^S26",
                    "ACK",
                    "ACK^A01^ACK",
                ],
                "ignored",
            ),
            (
                &[
                    "SIU^S12", "SIU^s12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S17",
                ],
                "missing-segment SCH",
            ),
            (&["ADT^A40"], "missing-segment MRG"),
            (
                &[
                    "ORU^R30",
                    "MDM^T12",
                    "OUL^R20",
                    "ADT",
                    "ADT^",
                    "ADT^^ADT_A05",
                    "ADT^S12",
                    "ADT^A00",
                    "ADT^A19",
                    "ADT^A59",
                    "ADT^A63",
                    "ADT^A+1",
                    "SIU",
                    "SIU^^SIU_S12",
                    "SIU^A28",
                    "SIU^S11",
                    "SIU^S25",
                    "SIU^S99",
                ],
                "unsupported-message MSH-9.2",
            ),
            (
                &["ORM^O01", "MFN^M02", "QBP^Q22", "", "adt^a28"],
                "unsupported-message MSH-9.1",
            ),
        ] {
            for code in types {
                let mut world = World::new();
                assert_eq!(
                    outcome_text(&world.receive(&message(&[(9, code)]))),
                    expected,
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn a_request_is_told_from_its_name_in_any_case() {
        for (name, expected) in [
            ("x.retrieve", true),
            ("x.RETRIEVE", true),
            ("x.Retreive", true),
            ("x.y.retrieve", true),
            ("x.retrieved", false),
            ("retrieve", false),
        ] {
            assert_eq!(is_request(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_untidy_is_taken_with_a_warning_or_refused() {
        let plain = message(&[]);
        for (sent, expected) in [
            (plain.replace("\rPID", "\r PID"), "accepted segment-untidy"),
            (
                plain.replace("\rPID", "\r\u{feff}\0pid"),
                "accepted segment-untidy",
            ),
            (plain.replace("MSH", "msh"), "accepted segment-untidy"),
            (plain.replace("Lea", "L\0ea"), "accepted segment-untidy"),
            (format!("{plain}\r\r\u{feff}\r"), "accepted"),
            (format!("{plain} pid|2||P-2^^^CHU^PI\r"), "malformed PID(2)"),
            (format!("{plain}some text\r"), "malformed"),
            (
                format!("{plain}OBX|1|TX|||a||||||FPID|2||P-2^^^CHU^PI\r"),
                "malformed",
            ),
        ] {
            let mut world = World::new();
            assert_eq!(outcome_text(&world.receive(&sent)), expected, "{sent:?}");
        }
        let ignored = message(&[(9, "ADT^A02")]) + "some text\r";
        assert_eq!(outcome_text(&World::new().receive(&ignored)), "ignored");
    }

    #[test]
    fn a_last_segment_without_an_end_may_be_cut_short() {
        let open = MessageEdges {
            ends_open: true,
            ..MessageEdges::default()
        };
        for (end, warns) in [("PID|1||P-1", true), ("ZZZ|1", false)] {
            let text = format!("MSH|^~\\&|\r{end}");
            let message = Message::parse(text.as_bytes()).unwrap();
            let warnings = check_edges(&message, open).unwrap();
            assert_eq!(!warnings.is_empty(), warns, "{end}");
            assert_eq!(
                check_edges(&message, MessageEdges::default()),
                Ok(Vec::new())
            );
        }
    }

    #[test]
    fn versions_are_those_of_the_configuration() {
        for (version, expected) in [
            ("2.5", "accepted"),
            ("2.5.1", "accepted"),
            ("2.6", "accepted"),
            ("2.7", "accepted"),
            ("2.7.1", "accepted"),
            ("2.5^FRA^2.11", "accepted"),
            ("2.3.1", "unsupported-version MSH-12.1"),
            ("2.8", "unsupported-version MSH-12.1"),
            ("", "unsupported-version MSH-12.1"),
        ] {
            let mut world = World::new();
            assert_eq!(
                outcome_text(&world.receive(&message(&[(12, version)]))),
                expected,
                "{version}"
            );
        }
        let mut world = World::new();
        world.versions = vec!["2.3.1".to_owned()];
        assert_eq!(
            outcome_text(&world.receive(&message(&[(12, "2.3.1")]))),
            "accepted"
        );
    }

    #[test]
    fn the_same_message_is_applied_once() {
        let mut world = World::new();
        assert_eq!(outcome_text(&world.receive(&message(&[]))), "accepted");
        let before = world.everything();
        for same in [
            message(&[]),
            message(&[]).replace('\r', "\r\n"),
            message(&[]).replace('\r', "\n\n"),
            message(&[]).trim_end().to_owned(),
        ] {
            assert_eq!(outcome_text(&world.receive(&same)), "duplicate");
        }
        assert_eq!(world.everything(), before);
        // The control id is no key.
        assert_eq!(
            outcome_text(&world.receive(&message(&[(7, "20250402")]))),
            "updated"
        );
    }

    #[test]
    fn what_was_not_applied_is_not_remembered() {
        let mut world = World::new();
        let refused = message(&[]).replace("|F", "|");
        for _ in 0..2 {
            assert_eq!(
                outcome_text(&world.receive(&refused)),
                "missing-field PID-8.1"
            );
        }
        world.receive(&message(&[]));
        let stale = message(&[(7, "20250331")]);
        for _ in 0..2 {
            assert_eq!(outcome_text(&world.receive(&stale)), "stale");
        }
    }

    #[test]
    fn a_second_patient_refuses_the_message() {
        let second = "PID|2||P-2^^^^PI\r";
        for (code, expected) in [
            ("ADT^A28", "malformed PID(2)"),
            ("SIU^S12", "malformed PID(2)"),
            ("SIU^S15", "malformed PID(2)"),
            ("MDM^T02", "malformed PID(2)"),
            ("ADT^A17", "ignored"),
            ("ADT^A40", "missing-segment MRG"),
        ] {
            let mut world = World::new();
            let outcome = world.receive(&(message(&[(9, code)]) + second));
            assert_eq!(outcome_text(&outcome), expected, "{code}");
        }
    }

    #[test]
    fn a_second_case_or_document_refuses_the_message() {
        for (code, twice, expected) in [
            ("SIU^S12", "SCH|1|C-1", "malformed SCH(2)"),
            ("SIU^S15", "SCH|1|C-1", "malformed SCH(2)"),
            ("MDM^T02", "TXA|1|CR", "malformed TXA(2)"),
            ("ADT^A47", "MRG|1^^^CHU^PI", "malformed MRG(2)"),
            ("ADT^A28", "MRG|1^^^CHU^PI", "accepted"),
        ] {
            let mut world = World::new();
            let outcome = world.receive(&format!("{}{twice}\r{twice}\r", message(&[(9, code)])));
            assert_eq!(outcome_text(&outcome), expected, "{code}");
        }
    }

    #[test]
    fn what_goes_on_elsewhere_is_refused() {
        let document = "OBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r";
        for (kind, segment, expected) in [
            ("ORU^R01", "ADD|Qk9OSk9VUg==\r", "malformed ADD"),
            ("ORU^R01", "DSC|P-1\r", "malformed DSC"),
            ("ADT^A28", "ADD|x\r", "malformed ADD"),
            ("ADT^A03", "ADD|x\r", "ignored"),
        ] {
            let header = message(&[(9, kind)]);
            let text = format!("{header}{document}{segment}");
            assert_eq!(
                outcome_text(&World::new().receive(&text)),
                expected,
                "{kind} {segment}"
            );
        }
    }

    #[test]
    fn an_id_with_a_character_that_nobody_sees_is_refused() {
        for hidden in ['\u{200b}', '\u{feff}', '\u{ad}', '\u{7f}', '\u{202e}'] {
            let adt = message(&[(9, "ADT^A28")]).replace("P-1^", &format!("P-1{hidden}^"));
            let siu = format!("{}SCH||C-1{hidden}\r", message(&[(9, "SIU^S15")]));
            for (text, place) in [(adt, "PID-3.1"), (siu, "SCH-2.1")] {
                let outcome = outcome_text(&World::new().receive(&text));
                assert_eq!(
                    outcome,
                    format!("malformed {place}"),
                    "{}",
                    text.escape_unicode()
                );
            }
        }
    }

    #[test]
    fn the_key_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "s3cr3t&k\n").unwrap();
        for (sent, expected) in [
            (r"s3cr3t\T\k", "accepted"),
            ("s3cr3t&k^ignored", "accepted"),
            ("s3cr3t", "unauthorised MSH-4.1"),
            ("s3cr3tk0", "unauthorised MSH-4.1"),
            ("", "unauthorised MSH-4.1"),
        ] {
            let mut world = World::configured(&format!("api_key_file = {key:?}"));
            let outcome = world.receive(&message(&[(4, sent)]));
            assert_eq!(outcome_text(&outcome), expected, "{sent}");
            assert!(!format!("{outcome:?}").contains("s3cr3t"));
        }
        let mut world = World::configured(&format!("api_key_file = {key:?}"));
        let outcome = world.receive(&message(&[(4, "wrong"), (9, "XYZ"), (12, "1.0")]));
        assert_eq!(outcome_text(&outcome), "unauthorised MSH-4.1");
    }

    #[test]
    fn doubts_about_the_character_set_are_told() {
        let mut world = World::new();
        let unknown = message(&[(18, "KLINGON")]);
        assert_eq!(
            outcome_text(&world.receive(&unknown)),
            "accepted charset-unknown"
        );
        let mismatch = message(&[(18, "8859/1")]).replace("Lea", "Léa");
        assert_eq!(
            outcome_text(&world.receive(&mismatch)),
            "updated charset-mismatch"
        );
        assert_eq!(world.patient("P-1").unwrap().given_name, "Léa");
        let entity = message(&[]).replace("Lea", "L&eacute;o&apos;");
        assert_eq!(
            outcome_text(&world.receive(&entity)),
            "updated charset-mismatch"
        );
        assert_eq!(world.patient("P-1").unwrap().given_name, "Léo'");
    }

    /// A field of a segment of any message, put out of order.
    fn odd() -> impl Strategy<Value = (usize, usize, String)> {
        let value = prop_oneof![
            Just(String::new()),
            Just("\"\"".to_owned()),
            "[0-9]{1,14}",
            "[A-Z0-9^&~\\\\\" .@+-]{0,24}",
            "\\PC{0,12}",
        ];
        (0..6_usize, 1..20_usize, value)
    }

    proptest! {
        #[test]
        fn no_message_is_too_odd_to_be_decided_on(
            trigger in prop::sample::select(vec!["SIU^S12", "SIU^S14", "SIU^S15", "ADT^A31", "ADT^A40"]),
            odds in prop::collection::vec(odd(), 0..4),
        ) {
            let whole = "MSH|^~\\&|GAM|CHU|RCP|RCP|20250401||TYPE|7|P|2.5|||||FRA|UTF-8\n\
                SCH||C-1|||||||||^^^20250415\n\
                PID|1||P-1^^^CHU^PI||MARTIN^Lea^^^^^L||19700102|F|||1 rue X^^Paris^^75001^FRA^H||0142515151^PRN^PH\n\
                MRG|P-2^^^CHU^PI\nAIL|1||^^^PATH^^^^^NET\nAIP|1||10100094977^Durand^Paul";
            let mut segments: Vec<Vec<String>> = whole
                .replace("TYPE", trigger)
                .lines()
                .map(|line| line.split('|').map(str::to_owned).collect())
                .collect();
            for (segment, field, value) in odds {
                // What is before MSH-3 says how to read the message, and is the business of the reader.
                let field = if segment == 0 { field.max(2) } else { field };
                if let Some(place) = segments[segment].get_mut(field) {
                    *place = value;
                }
            }
            let text: Vec<String> = segments.iter().map(|fields| fields.join("|")).collect();
            let mut world = World::new();
            world.session("S-1", "2025-04-15", "PATH", "");
            let before = world.everything();
            let outcome = world.receive(&text.join("\r"));
            if outcome.refusal().is_some() {
                prop_assert_eq!(world.everything(), before);
            }
            let again = outcome_text(&world.receive(&text.join("\r")));
            match outcome {
                Outcome::Rejected(_) => prop_assert_eq!(again, outcome_text(&outcome)),
                Outcome::Taken { verdict: Verdict::Accepted | Verdict::Updated, .. } => {
                    prop_assert!(again.starts_with("duplicate"), "{}", again);
                }
                Outcome::Taken { .. } => prop_assert_eq!(again, outcome_text(&outcome)),
            }
        }
    }
}
