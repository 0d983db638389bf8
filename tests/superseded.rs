//! Refused messages that were corrected since are told apart from those that somebody still has to look after.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};
use serde_json::Value;

use support::{World, document, patient, session, siu, take_all};

const INBOX: &str = "facilities/demo";

/// A scheduling message with the patient's phone number.
fn calling(message: &str, phone: &str) -> String {
    message.replace(
        "|19501104000000|F",
        &format!("|19501104000000|F|||||{phone}^PRN^CP"),
    )
}

fn schedule(event: &str, case: &str, time: &str, phone: &str) -> String {
    calling(&siu(event, case, "P-1", time, "20310408"), phone)
}

fn merge(old: &str, time: &str, sex: &str) -> String {
    patient("P-1", time, "0612345678")
        .replace("ADT^A28^ADT_A05", "ADT^A40^ADT_A39")
        .replace("|F|", &format!("|{sex}|"))
        + &format!("MRG|{old}^^^CHU-X^PI\r")
}

fn errors(world: &World, engine: &Engine, state: Option<&str>) -> Vec<Value> {
    let filter = Filter {
        state: state.map(str::to_owned),
        ..Filter::default()
    };
    listing::list(Listing::Errors, &filter, &**engine.store(), &world.config).unwrap()
}

/// The files that are superseded, by those that did it.
fn superseded(world: &World, engine: &Engine) -> Vec<(String, String)> {
    let name = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let rows = errors(world, engine, Some("superseded"));
    rows.iter()
        .map(|row| (name(&row["file"]), name(&row["superseded"]["file"])))
        .collect()
}

#[test]
fn what_was_corrected_is_superseded() {
    const BAD: &str = "061";
    const GOOD: &str = "0612345678";
    let early = "20250401120000";
    let late = "20250401130000";
    let refused_s12 = || schedule("S12", "C-1", early, BAD);
    let oru = |id: &str, time: &str, content: &str| document("P-0", time, id, content);
    let broken = |message: String| message.replace("^Base64^", "^Base64^!");
    let mdm = |event: &str, id: &str, time: &str| {
        oru("D", time, "%PDF-1.4 x")
            .replace("ORU^R01^ORU_R01", &format!("MDM^{event}^MDM_T02"))
            .replace("ORC|NW\r", "")
            .replace("OBR|1||D^LAB|", &format!("TXA|1|CR|PDF|||||||||{id}^LAB|"))
    };
    let form = include_str!("../fixtures/known/questionnaire.xml");
    let bad_form = form.replace(
        "<patient>",
        "<telecom value=\"tel:061\" use=\"MC\"/><patient>",
    );
    let complete = r#"{"command":"complete","facility":"demo","case":"C-0","decision":"x"}"#;
    let unscheduled = r#"{"command":"schedule","facility":"demo","case":"C-0","session":"NO"}"#;
    let rescheduled = r#"{"command":"schedule","facility":"demo","case":"C-0","session":"S-1"}"#;
    let other = r#"{"command":"unschedule","facility":"demo","case":"C-0"}"#;
    for (what, refused, later, expected) in [
        (
            "the same again",
            refused_s12(),
            schedule("S12", "C-1", late, GOOD),
            true,
        ),
        (
            "at the same time",
            refused_s12(),
            schedule("S12", "C-1", early, GOOD),
            true,
        ),
        (
            "another event of the same kind",
            refused_s12(),
            schedule("S14", "C-1", late, GOOD),
            true,
        ),
        (
            "one that was on its way before",
            schedule("S14", "C-1", late, BAD),
            schedule("S12", "C-1", early, GOOD),
            false,
        ),
        (
            "another case",
            refused_s12(),
            schedule("S12", "C-2", late, GOOD),
            false,
        ),
        (
            "a cancel",
            refused_s12(),
            schedule("S15", "C-1", late, GOOD),
            false,
        ),
        (
            "one that is refused, too",
            refused_s12(),
            schedule("S12", "C-1", late, BAD),
            false,
        ),
        (
            "a wrong clock",
            schedule("S12", "C-1", "20990101", GOOD),
            schedule("S12", "C-1", late, GOOD),
            true,
        ),
        (
            "no time",
            schedule("S12", "C-1", "", GOOD),
            schedule("S12", "C-1", late, GOOD),
            true,
        ),
        (
            "an identity",
            patient("P-1", early, BAD),
            patient("P-1", late, GOOD).replace("A28", "A31"),
            true,
        ),
        (
            "another's identity",
            patient("P-1", early, BAD),
            patient("P-2", late, GOOD),
            false,
        ),
        (
            "a case, not the identity",
            patient("P-1", early, BAD),
            schedule("S12", "C-1", late, GOOD),
            false,
        ),
        (
            "a merge",
            merge("P-9", early, "X"),
            merge("P-9", late, "F"),
            true,
        ),
        (
            "another merge",
            merge("P-9", early, "X"),
            merge("P-8", late, "F"),
            false,
        ),
        (
            "a document",
            broken(oru("D-1", early, "%PDF-1.4 x")),
            oru("D-1", late, "%PDF-1.4 x"),
            true,
        ),
        (
            "another document",
            broken(oru("D-1", early, "%PDF-1.4 x")),
            oru("D-2", late, "%PDF-1.4 x"),
            false,
        ),
        (
            "documents without an id",
            broken(oru("", early, "%PDF-1.4 x")).replace("^LAB|", "|"),
            oru("", late, "%PDF-1.4 y").replace("^LAB|", "|"),
            false,
        ),
        (
            "a letter",
            broken(mdm("T02", "L-1", early)),
            mdm("T02", "L-1", late),
            true,
        ),
        (
            "another letter",
            broken(mdm("T02", "L-1", early)),
            mdm("T02", "L-2", late),
            false,
        ),
        (
            "a form",
            bad_form.clone(),
            form.replace("20250402120000", "20250402130000"),
            true,
        ),
        (
            "an older form",
            bad_form.clone(),
            form.replace("20250402120000", "20250402110000"),
            false,
        ),
        (
            "a command",
            unscheduled.to_owned(),
            rescheduled.to_owned(),
            true,
        ),
        (
            "another command",
            complete.to_owned(),
            other.to_owned(),
            false,
        ),
        (
            "nothing that can be told",
            "MSH|^~\\&|A".to_owned(),
            schedule("S12", "C-1", late, GOOD),
            false,
        ),
    ] {
        let world = World::new();
        let mut engine = world.open();
        world.drop("desk", "s.csv", session("S-1", "2031-04-08", "PATHWAY-1"));
        world.drop(
            INBOX,
            "known.hl7",
            siu("S12", "C-0", "P-0", "20250301", "20310409"),
        );
        take_all(&mut engine).unwrap();
        let place = |content: &str| {
            if content.starts_with('{') {
                "desk"
            } else {
                INBOX
            }
        };
        let ending = |content: &str| match content.as_bytes()[0] {
            b'{' => "json",
            b'<' => "xml",
            _ => "hl7",
        };
        let name = format!("refused.{}", ending(&refused));
        world.drop(place(&refused), &name, &refused);
        assert_eq!(take_all(&mut engine).unwrap().rejected, 1, "{what}");
        assert_eq!(errors(&world, &engine, Some("open")).len(), 1, "{what}");
        let later_name = format!("later.{}", ending(&later));
        world.drop(place(&later), &later_name, &later);
        take_all(&mut engine).unwrap();
        let pair = (name.clone(), later_name);
        let found = superseded(&world, &engine);
        assert_eq!(found.first() == Some(&pair), expected, "{what}: {found:?}");
        assert_eq!(found.len(), usize::from(expected), "{what}");
        let all = errors(&world, &engine, None);
        let open = errors(&world, &engine, Some("open"));
        assert_eq!(open.len() + found.len(), all.len(), "{what}");
        engine.close().unwrap();
        world.assert_verified(what);
        // The journal alone gives the same.
        let engine = world.open();
        assert_eq!(superseded(&world, &engine), found, "{what}");
    }
}

#[test]
fn a_file_is_superseded_with_all_its_messages() {
    let world = World::new();
    let mut engine = world.open();
    let both = ["P-1", "P-2"].map(|ipp| patient(ipp, "20250401120000", "061"));
    world.drop(INBOX, "both.hl7", both.concat());
    let split = [&both[0], &patient("P-3", "20250401120000", "0612345678")];
    world.drop(INBOX, "one.hl7", split.map(String::as_str).concat());
    take_all(&mut engine).unwrap();
    world.drop(
        INBOX,
        "1.hl7",
        patient("P-1", "20250401130000", "0612345678"),
    );
    take_all(&mut engine).unwrap();
    let one = ("one.m1.hl7".to_owned(), "1.hl7".to_owned());
    assert_eq!(superseded(&world, &engine), std::slice::from_ref(&one));
    world.drop(
        INBOX,
        "2.hl7",
        patient("P-2", "20250401130000", "0612345678"),
    );
    take_all(&mut engine).unwrap();
    let both = ("both.hl7".to_owned(), "2.hl7".to_owned());
    assert_eq!(superseded(&world, &engine), [both, one.clone()]);
    // What is refused after it is open again, and what came before stays as it is.
    world.drop(INBOX, "again.hl7", patient("P-1", "20250401140000", "061"));
    take_all(&mut engine).unwrap();
    assert_eq!(errors(&world, &engine, Some("open")).len(), 1);
    assert_eq!(superseded(&world, &engine).len(), 2);
    // Nothing is left of what was put away or removed.
    std::fs::remove_file(world.path("facilities/demo/error/both.hl7")).unwrap();
    engine.forget_removed_refused(100).unwrap();
    let files = r#"["facilities/demo/error/one.m1.hl7","facilities/demo/error/again.hl7"]"#;
    let discard = format!(r#"{{"command":"discard","files":{files},"why":"corrected"}}"#);
    world.drop("desk", "d.json", discard);
    assert_eq!(take_all(&mut engine).unwrap().rejected, 0);
    assert!(errors(&world, &engine, None).is_empty());
    let mut left = 0;
    engine
        .store()
        .scan("refused-about/", &mut |_, _| {
            left += 1;
            true
        })
        .unwrap();
    assert_eq!(left, 0);
}

/// However many were refused before, a message says once that it was taken in.
#[test]
fn a_message_that_is_taken_in_changes_one_record() {
    let changes = |count: usize| -> usize {
        let world = World::new();
        let mut engine = world.open();
        for number in 0..count {
            world.drop(
                INBOX,
                &format!("{number:03}.hl7"),
                patient("P-1", "20250401120000", "061"),
            );
        }
        take_all(&mut engine).unwrap();
        let shown = |engine: &Engine| {
            let mut pairs = std::collections::BTreeMap::new();
            let mut take = |key: &str, value: &[u8]| {
                pairs.insert(key.to_owned(), value.to_vec());
                true
            };
            engine.store().scan("refused", &mut take).unwrap();
            pairs
        };
        let before = shown(&engine);
        world.drop(
            INBOX,
            "z.hl7",
            patient("P-1", "20250401130000", "0612345678"),
        );
        take_all(&mut engine).unwrap();
        assert_eq!(superseded(&world, &engine).len(), count);
        let after = shown(&engine);
        after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(value))
            .count()
    };
    assert_eq!((changes(1), changes(50)), (1, 1));
}
