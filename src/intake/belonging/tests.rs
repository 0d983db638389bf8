//! Ids whose things have moved, and merges in every shape: what belongs together stays together.

use super::*;
use crate::intake::testing::{World, outcome_text};
use crate::model::case::CaseState;
use crate::model::identifiers::SessionId;

/// Somebody under this IPP; all of them are the same person but for the name of the certificate.
fn pid(ipp: &str) -> String {
    format!("PID|1||{ipp}^^^CHU^PI||MARTIN^Lea^^^^^L||19700102|F\r")
}

fn siu(trigger: &str, minute: u32, case: &str, ipp: &str) -> String {
    format!(
        "MSH|^~\\&|||||202504011{minute:03}||SIU^{trigger}|1|P|2.5\r\
         SCH||{case}|||||||||^^^20250415\r{}AIL|1||^^^PATH\rAIP|1||10100094977\r",
        pid(ipp)
    )
}

/// A document with this unique id, that claims this case, if any.
fn document(minute: u32, ipp: &str, unique: &str, case: &str) -> String {
    format!(
        "MSH|^~\\&|||||202504021{minute:03}||MDM^T02|1|P|2.5\r{}\
         TXA|1|CR||||||||||{unique}||{case}||a.pdf\r\
         OBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r",
        pid(ipp)
    )
}

fn documents_of(world: &World, ipp: &str) -> Vec<Document> {
    let facility = &world.facility.id;
    world
        .view()
        .documents_of_patient(facility, &Ipp::new(ipp))
        .unwrap()
}

/// Everything that stands where it does not belong.
fn all_misplaced(world: &World) -> Option<MisplacedDocument> {
    let keys: Vec<String> = world.everything().into_iter().map(|(key, _)| key).collect();
    misplaced(&world.view(), &keys).unwrap()
}

#[test]
fn the_unique_id_of_a_document_that_moved_makes_another_document() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "PATH", "");
    assert_eq!(
        outcome_text(&world.receive(&siu("S12", 1, "C-1", "A"))),
        "accepted"
    );
    assert_eq!(
        outcome_text(&world.receive(&document(1, "A", "U", "C-1"))),
        "accepted"
    );
    let [before] = &documents_of(&world, "A")[..] else {
        panic!()
    };
    assert_eq!(
        outcome_text(&world.receive(&siu("S14", 2, "C-1", "B"))),
        "updated"
    );
    assert_eq!(
        outcome_text(&world.receive(&document(2, "A", "U", ""))),
        "accepted document-id-reused"
    );
    assert_eq!(all_misplaced(&world), None);
    let [moved] = &documents_of(&world, "B")[..] else {
        panic!("the first document is lost")
    };
    assert_eq!(
        (&moved.id, &moved.attached),
        (&before.id, &AttachmentPlace::Case(CaseId::new("C-1")))
    );
    let [new] = &documents_of(&world, "A")[..] else {
        panic!("the second document is lost")
    };
    assert_ne!(new.id, moved.id);
    assert!(matches!(new.attached, AttachmentPlace::Note(_)));
    // The next version finds the one of its patient.
    assert_eq!(
        outcome_text(&world.receive(&document(3, "A", "U", ""))),
        "updated"
    );
    assert_eq!(
        outcome_text(&world.receive(&document(4, "B", "U", ""))),
        "updated"
    );
    let now = [documents_of(&world, "A"), documents_of(&world, "B")].concat();
    let ids: Vec<_> = now.iter().map(|document| &document.id).collect();
    assert_eq!(ids, [&new.id, &moved.id]);
    assert_eq!(all_misplaced(&world), None);
}

/// As often as a document moves on, the next one of that id is one of its own.
#[test]
fn an_id_may_move_on_many_times() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "PATH", "");
    for round in 0..6 {
        let case = format!("C-{round}");
        world.receive(&siu("S12", 1, &case, "A"));
        world.receive(&document(2 * round, "A", "U", &case));
        let other = format!("B-{round}");
        assert_eq!(
            outcome_text(&world.receive(&siu("S14", 2, &case, &other))),
            "updated"
        );
        assert_eq!(documents_of(&world, &other).len(), 1, "{round}");
        assert_eq!(all_misplaced(&world), None);
    }
    assert!(documents_of(&world, "A").is_empty());
}

const CDA: &str = include_str!("../../../fixtures/cda/meeting.xml");

#[test]
fn a_cda_leaves_the_document_alone_that_went_into_another_case() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "THORAX", "PATH");
    assert_eq!(outcome_text(&world.receive_cda(CDA)), "accepted");
    let [first] = &world.documents_of("CASE-77")[..] else {
        panic!()
    };
    let first = world
        .view()
        .document(&world.facility.id, first)
        .unwrap()
        .unwrap();
    let unique = "DOC-1^^1.2.250.1.999.7^ISO";
    let rose = "PID|1||P-77^^^CHU^PI||LE GOFF^Rose^^^^^L||19600214|F\r";
    let other = siu("S12", 1, "CASE-78", "P-77").replace(&pid("P-77"), rose);
    assert_eq!(outcome_text(&world.receive(&other)), "accepted");
    let claims = document(1, "P-77", unique, "CASE-78").replace(&pid("P-77"), rose);
    assert_eq!(outcome_text(&world.receive(&claims)), "updated");
    assert_eq!(
        world.documents_of("CASE-78"),
        std::slice::from_ref(&first.id)
    );
    let later = CDA.replace("20250403101500+0200", "20250404101500+0200");
    assert_eq!(outcome_text(&world.receive_cda(&later)), "updated");
    assert_eq!(all_misplaced(&world), None);
    assert_eq!(
        world.documents_of("CASE-78"),
        std::slice::from_ref(&first.id)
    );
    let documents = world.documents_of("CASE-77");
    assert_eq!(documents.len(), 1);
    assert_ne!(documents, [first.id]);
    // The next one of that document finds its own.
    let last = CDA.replace("20250403101500+0200", "20250405101500+0200");
    assert_eq!(outcome_text(&world.receive_cda(&last)), "updated");
    assert_eq!(world.documents_of("CASE-77"), documents);
    assert_eq!(all_misplaced(&world), None);
}

#[test]
fn a_case_made_at_the_desk_is_not_made_again_where_it_went() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "PATH", "");
    world.session("S-2", "2025-04-22", "PATH", "");
    world.receive(&siu("S12", 1, "C-1", "A"));
    let of_patient = |world: &World, ipp: &str| -> Vec<Case> {
        let facility = &world.facility.id;
        let cases = world.view().cases_of_patient(facility, &Ipp::new(ipp));
        let mut cases = cases.unwrap();
        cases.retain(|case| case.id.as_str().starts_with("desk-"));
        cases
    };
    let scheduled = |session: &str| CaseState::Scheduled(SessionId::new(session));
    let by_patient =
        r#"{"command":"schedule","facility":"demo","ipp":"A","session":"S-1"}"#.to_owned();
    assert_eq!(outcome_text(&world.command(&by_patient)), "accepted");
    assert_eq!(outcome_text(&world.command(&by_patient)), "duplicate");
    let [made] = &of_patient(&world, "A")[..] else {
        panic!()
    };
    // It goes into another session: the patient's next case of the first session is another one.
    let moved = format!(
        r#"{{"command":"schedule","facility":"demo","case":"{}","session":"S-2"}}"#,
        made.id
    );
    assert_eq!(outcome_text(&world.command(&moved)), "updated");
    assert_eq!(outcome_text(&world.command(&by_patient)), "accepted");
    assert_eq!(outcome_text(&world.command(&by_patient)), "duplicate");
    assert_eq!(
        world.case(made.id.as_str()).unwrap().state,
        scheduled("S-2")
    );
    let cases = of_patient(&world, "A");
    assert_eq!(cases.len(), 2);
    let second = cases.iter().find(|case| case.id != made.id).unwrap();
    assert_eq!(second.state, scheduled("S-1"));
    // It goes to another IPP of the same person.
    let s14 = siu("S14", 2, second.id.as_str(), "B");
    assert_eq!(outcome_text(&world.receive(&s14)), "updated");
    assert_eq!(outcome_text(&world.command(&by_patient)), "accepted");
    assert_eq!(outcome_text(&world.command(&by_patient)), "duplicate");
    assert_eq!(of_patient(&world, "B").len(), 1);
    assert_eq!(of_patient(&world, "A").len(), 2);
    assert_eq!(all_misplaced(&world), None);
}

/// A merge of these, `old` into `new`.
fn a40(minute: u32, pairs: &[(&str, &str)]) -> String {
    let mut message = format!("MSH|^~\\&|||||202504031{minute:03}||ADT^A40|1|P|2.5\r");
    for (new, old) in pairs {
        message.push_str(&format!("{}MRG|{old}^^^CHU^PI\r", pid(new)));
    }
    message
}

#[test]
fn what_was_merged_into_one_is_not_merged_into_another() {
    for one_message in [false, true] {
        let mut world = World::new();
        world.session("S-1", "2025-04-15", "PATH", "");
        for (minute, case) in (0..).zip(["0", "1", "2"]) {
            world.receive(&siu(
                "S12",
                minute,
                &format!("C-{case}"),
                &format!("P{case}"),
            ));
        }
        let before = world.everything();
        let outcome = match one_message {
            true => world.receive(&a40(2, &[("P1", "P0"), ("P2", "P0")])),
            false => {
                assert_eq!(
                    outcome_text(&world.receive(&a40(1, &[("P1", "P0")]))),
                    "updated"
                );
                world.receive(&a40(2, &[("P2", "P0")]))
            }
        };
        let place = if one_message { "MRG(2)-1.1" } else { "MRG-1.1" };
        assert_eq!(outcome_text(&outcome), format!("merge-conflict {place}"));
        let refusal = outcome.refusal().unwrap();
        for survivor in ["P1", "P2"] {
            assert!(refusal.message.contains(survivor), "{}", refusal.message);
        }
        if one_message {
            assert_eq!(world.everything(), before);
            continue;
        }
        assert_eq!(world.case("C-0").unwrap().ipp, Some(Ipp::new("P1")));
        // Both survivors become one: everything follows.
        assert_eq!(
            outcome_text(&world.receive(&a40(3, &[("P2", "P1")]))),
            "updated"
        );
        assert_eq!(
            outcome_text(&world.receive(&a40(4, &[("P2", "P0")]))),
            "updated"
        );
        for case in ["C-0", "C-1", "C-2"] {
            assert_eq!(world.case(case).unwrap().ipp, Some(Ipp::new("P2")));
        }
    }
}

/// What a facility sends about some IPPs, in any order.
#[derive(Debug, Clone)]
enum TestMessage {
    /// Pairs of one message: the survivor, and who is merged into it.
    Merge(Vec<(usize, usize)>),
    /// A new case.
    Case(usize),
    /// An S14 for a known case, the n-th, perhaps under another IPP.
    Move(usize, usize),
    /// A document with a unique id, that may claim a case, known or not yet.
    Document(usize, usize, Option<usize>),
    /// An A31.
    Update(usize),
}

/// What the merges come to: whom each IPP leads to.
#[derive(Debug, Clone)]
struct Model {
    leads_to: Vec<usize>,
}

impl Model {
    /// All pairs of a message, or none: what the refusal is.
    fn merge(&mut self, pairs: &[(usize, usize)]) -> Result<(), &'static str> {
        let mut leads_to = self.leads_to.clone();
        for (survivor, old) in pairs {
            let (into, from) = (leads_to[*survivor], leads_to[*old]);
            if into == from {
                if *old == into || old == survivor {
                    return Err("merge-cycle");
                }
                continue;
            }
            if from != *old {
                return Err("merge-conflict");
            }
            for it in leads_to.iter_mut().filter(|it| **it == from) {
                *it = into;
            }
        }
        self.leads_to = leads_to;
        Ok(())
    }
}

fn sent() -> impl proptest::strategy::Strategy<Value = Vec<TestMessage>> {
    use proptest::prelude::*;
    let ipp = 0..IPPS;
    let pairs = prop::collection::vec((ipp.clone(), ipp.clone()), 1..4);
    let one = prop_oneof![
        4 => pairs.prop_map(TestMessage::Merge),
        3 => ipp.clone().prop_map(TestMessage::Case),
        2 => (0..4_usize, ipp.clone()).prop_map(|(case, ipp)| TestMessage::Move(case, ipp)),
        4 => (ipp.clone(), 0..2_usize, prop::option::of(0..4_usize))
            .prop_map(|(ipp, unique, case)| TestMessage::Document(ipp, unique, case)),
        1 => ipp.prop_map(TestMessage::Update),
    ];
    prop::collection::vec(one, 1..16)
}

const IPPS: usize = 6;

fn count(world: &World, kind: &str) -> usize {
    let keys = world.everything();
    let of_kind = |key: &str| key.split_once('/').is_some_and(|(it, _)| it == kind);
    keys.iter().filter(|(key, _)| of_kind(key)).count()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// Whatever is merged and sent in between, everything of a patient reaches the one survivor, now and later, and
    /// nothing is written over.
    #[test]
    fn everything_of_a_patient_reaches_one_survivor(sent in sent()) {
        let name = |ipp: usize| format!("P{ipp}");
        let mut world = World::new();
        world.session("S-1", "2025-04-15", "PATH", "");
        let mut model = Model { leads_to: (0..IPPS).collect() };
        // Of each case, the IPP that it came with last.
        let mut cases: Vec<usize> = Vec::new();
        let mut documents = 0;
        for (minute, sent) in (0..).zip(&sent) {
            match sent {
                TestMessage::Merge(pairs) => {
                    let names: Vec<(String, String)> =
                        pairs.iter().map(|(new, old)| (name(*new), name(*old))).collect();
                    let pairs_named: Vec<(&str, &str)> =
                        names.iter().map(|(new, old)| (new.as_str(), old.as_str())).collect();
                    let before = world.everything();
                    let outcome = world.receive(&a40(minute, &pairs_named));
                    let refusal = outcome.refusal().map(|refusal| refusal.reason.code());
                    let expected = model.merge(pairs).err();
                    proptest::prop_assert_eq!(refusal, expected);
                    if expected.is_some() {
                        proptest::prop_assert_eq!(before, world.everything());
                    }
                }
                TestMessage::Case(ipp) => {
                    let case = format!("C-{}", cases.len());
                    let told = outcome_text(&world.receive(&siu("S12", minute, &case, &name(*ipp))));
                    proptest::prop_assert_eq!(told, "accepted");
                    cases.push(*ipp);
                }
                TestMessage::Move(case, ipp) if *case < cases.len() => {
                    let message = siu("S14", minute, &format!("C-{case}"), &name(*ipp));
                    proptest::prop_assert_eq!(outcome_text(&world.receive(&message)), "updated");
                    cases[*case] = *ipp;
                }
                TestMessage::Move(..) => {}
                TestMessage::Document(ipp, unique, case) => {
                    let claimed = case.map(|case| format!("C-{case}")).unwrap_or_default();
                    let unique = format!("U{unique}");
                    let message = document(minute, &name(*ipp), &unique, &claimed);
                    let outcome = world.receive(&message);
                    if outcome_text(&outcome).starts_with("accepted") {
                        documents += 1;
                    }
                }
                TestMessage::Update(ipp) => {
                    let message = format!(
                        "MSH|^~\\&|||||202504041{minute:03}||ADT^A31|1|P|2.5\r{}",
                        pid(&name(*ipp))
                    );
                    let told = outcome_text(&world.receive(&message));
                    let is_away = model.leads_to[*ipp] != *ipp;
                    proptest::prop_assert_eq!(told.as_str() == "ignored merged-ipp", is_away);
                }
            }
            proptest::prop_assert_eq!(count(&world, "document"), documents);
            proptest::prop_assert_eq!(all_misplaced(&world), None);
        }
        let facility = world.facility.id.clone();
        let view = world.view();
        for ipp in 0..IPPS {
            let leads_to = Ipp::new(name(model.leads_to[ipp]));
            let own = Ipp::new(name(ipp));
            proptest::prop_assert_eq!(&view.survivor(&facility, &own).unwrap(), &leads_to);
            let is_away = leads_to != own;
            let is_known = view.patient(&facility, &own).unwrap().is_some();
            proptest::prop_assert!(!(is_away && is_known));
            let of_patient = view.cases_of_patient(&facility, &own).unwrap();
            let found: Vec<String> = of_patient.iter().map(|case| case.id.to_string()).collect();
            let expected: Vec<String> = (0..)
                .zip(&cases)
                .filter(|(_, of)| model.leads_to[**of] == model.leads_to[ipp])
                .map(|(number, _): (usize, _)| format!("C-{number}"))
                .collect();
            let sorted = |mut ids: Vec<String>| { ids.sort(); ids };
            proptest::prop_assert_eq!(sorted(found), sorted(expected));
            for case in of_patient {
                proptest::prop_assert_eq!(case.ipp.as_ref(), Some(&leads_to));
                proptest::prop_assert!(view.patient(&facility, &leads_to).unwrap().is_some());
            }
            for document in view.documents_of_patient(&facility, &own).unwrap() {
                proptest::prop_assert_eq!(&document.ipp, &leads_to);
            }
            for note in view.notes_of_patient(&facility, &own).unwrap() {
                proptest::prop_assert_eq!(&note.ipp, &leads_to);
            }
        }
        let listed: usize = (0..IPPS)
            .filter(|ipp| model.leads_to[*ipp] == *ipp)
            .map(|ipp| documents_of(&world, &name(ipp)).len())
            .sum();
        proptest::prop_assert_eq!(listed, documents);
    }
}

/// Records as they were written when a merge moved everything, and a document held all its versions.
#[test]
fn what_was_written_before_is_read_and_goes_on() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "PATH", "");
    for ipp in ["A", "B", "C"] {
        world.receive(&siu("S12", 1, &format!("C-{ipp}"), ipp));
    }
    world.receive(&document(1, "C", "U", "C-C"));
    let version = |version: u32| {
        format!(
            r#"{{"version":{version},"file_name":"{version}.pdf","content_type":"pdf","size":1,"sha256":"{version}","time":"2025-03-0{version}T10:00:00Z"}}"#
        )
    };
    let documents = documents_of(&world, "C");
    let id = &documents[0].id;
    let before = format!(
        r#"{{"facility":"demo","ipp":"C","id":"{id}","attached":{{"case":"C-C"}},"kind":"document","unique_ids":["U","V"],"versions":[{},{}]}}"#,
        version(1),
        version(2)
    );
    let written = [
        (format!("document/demo/{id}"), before),
        (format!("document-by-id/demo/V/{id}"), "\"\"".to_owned()),
        // X into Y, Y into C.
        ("alias/demo/X".to_owned(), "\"Y\"".to_owned()),
        ("alias/demo/Y".to_owned(), "\"C\"".to_owned()),
    ];
    let changes: Vec<crate::store::KeyChange> = written
        .into_iter()
        .map(|(key, value)| {
            (
                key,
                Some(serde_json::value::RawValue::from_string(value).unwrap()),
            )
        })
        .collect();
    crate::store::apply_all(&world.store, &changes).unwrap();

    let [known] = &documents_of(&world, "X")[..] else {
        panic!("the old IPPs do not reach the document")
    };
    assert_eq!(known.current().unwrap().version, 2);
    for unique in ["V", "U"] {
        assert_eq!(
            outcome_text(&world.receive(&document(2, "X", unique, ""))),
            "updated"
        );
    }
    let [known] = &documents_of(&world, "C")[..] else {
        panic!()
    };
    assert_eq!(known.current().unwrap().version, 4);
    let numbers: Vec<u32> = world.versions(known).iter().map(|it| it.version).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // The merges of then and those of now are one.
    assert_eq!(
        outcome_text(&world.receive(&a40(1, &[("A", "C")]))),
        "updated"
    );
    let outcome = world.receive(&a40(2, &[("B", "Y")]));
    assert_eq!(outcome_text(&outcome), "merge-conflict MRG-1.1");
    assert_eq!(documents_of(&world, "A").len(), 1);
    assert_eq!(world.case("C-C").unwrap().ipp, Some(Ipp::new("A")));
    assert_eq!(all_misplaced(&world), None);
}

#[test]
fn a_document_of_a_case_is_its_patients_and_is_not_written_when_the_case_moves() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "PATH", "");
    world.receive(&siu("S12", 1, "C-1", "A"));
    for number in 0..5 {
        world.receive(&document(1, "A", &format!("U{number}"), "C-1"));
    }
    let stored = |world: &World| -> Vec<(String, Vec<u8>)> {
        let everything = world.everything().into_iter();
        let of_documents = everything.filter(|(key, _)| key.contains("document"));
        of_documents.collect()
    };
    let before = stored(&world);
    for (minute, ipp, other) in [(2, "B", "A"), (3, "A", "B"), (4, "B", "A")] {
        assert_eq!(
            outcome_text(&world.receive(&siu("S14", minute, "C-1", ipp))),
            "updated"
        );
        let documents = documents_of(&world, ipp);
        assert_eq!(documents.len(), 5);
        assert!(documents.iter().all(|it| it.ipp == Ipp::new(ipp)));
        assert!(documents_of(&world, other).is_empty());
    }
    assert_eq!(stored(&world), before);
    assert_eq!(all_misplaced(&world), None);

    // A decision that puts one into the case of somebody else is seen, though it reads as that patient's afterwards.
    let mut document = documents_of(&world, "B").remove(0);
    document.ipp = Ipp::new("A");
    let changes = [Record::Document(document).into()];
    let mut view = world.view();
    view.apply(&changes).unwrap();
    let found = joined_wrongly(&view, &changes).unwrap().unwrap();
    assert_eq!(found.wrong, Misplacement::OtherPatient);
}
