//! Documents: each rule of interface.md 6, by messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::hl7;
use crate::intake::testing::{World, outcome_text};
use crate::model::case::CaseState;
use crate::model::change::Record;
use crate::model::date::PartialDate;
use crate::model::document::DocumentKind;
use crate::model::identifiers::{FacilityId, Ins, NetworkId, SessionId};
use crate::model::note::NoteReason;
use crate::model::outcome::Outcome;
use crate::model::patient::{Patient, Sex};

const PDF: &str = "JVBERi0xLjQKJSVFT0YK";
const INS: &str = "279035121518989";
const INS_OID: &str = "1.2.250.1.213.1.4.10";

fn demo() -> FacilityId {
    FacilityId::new("demo")
}

fn patient(ipp: &str, birth_name: &str, network: &str) -> Patient {
    Patient {
        facility: demo(),
        ipp: Ipp::new(ipp),
        authority: None,
        ins: None,
        social_security_number: None,
        birth_name: birth_name.to_owned(),
        usual_name: birth_name.to_owned(),
        given_name: "ANNE".to_owned(),
        birth_given_name: None,
        sex: Sex::F,
        birth_date: "1979-03-28".parse::<PartialDate>().unwrap(),
        phone: None,
        email: None,
        address: None,
        network: Some(NetworkId::new(network)),
        identity_status: None,
        identity_attributes: Vec::new(),
        physician: None,
        demographics_time: None,
        ins_time: None,
    }
}

/// Patients 1 (with an INS) and 2, each with a case.
fn world() -> World {
    let mut world = World::new();
    world.put([
        Record::Patient(Patient {
            ins: Some(Ins {
                value: INS.to_owned(),
                oid: INS_OID.to_owned(),
            }),
            ..patient("1", "LECOEUR", "N1")
        }),
        Record::Patient(patient("2", "DURAND", "N2")),
        Record::Case(case("C-1", "1")),
        Record::Case(case("C-2", "2")),
    ]);
    world
}

fn case(id: &str, ipp: &str) -> Case {
    Case {
        state: CaseState::Scheduled(SessionId::new("S-1")),
        ipp: Some(Ipp::new(ipp)),
        ..Case::unscheduled(&demo(), CaseId::new(id))
    }
}

fn header(kind: &str, time: &str) -> String {
    format!("MSH|^~\\&|LAB|CHU|RCP|CHU|{time}||{kind}|1|P|2.5|||||FRA|UTF-8\r")
}

fn pid(identifiers: &str) -> String {
    format!("PID|1||{identifiers}||Lecœur^Anne^^^^^L||19790328|F\r")
}

/// An ORU with an order and these OBX.
fn oru(time: &str, order: &str, observations: &str) -> String {
    format!(
        "{}{}{order}{observations}",
        header("ORU^R01", time),
        pid("1^^^CHU^PI")
    )
}

fn obx(number: &str, content: &str, status: &str) -> String {
    format!("OBX|1|ED|{number}||^^PDF^Base64^{content}||||||{status}\r")
}

fn mdm(event: &str, time: &str, txa_12: &str, txa_13: &str, txa_14: &str, status: &str) -> String {
    format!(
        "{}{}TXA|1|CR|PDF|||||||||{txa_12}|{txa_13}|{txa_14}||courrier.pdf\r{}",
        header(&format!("MDM^{event}"), time),
        pid("1^^^CHU^PI"),
        obx("CR", &pdf(time), status)
    )
}

/// A PDF that differs by this text.
fn pdf(text: &str) -> String {
    STANDARD.encode(format!("%PDF-1.4 {text} %%EOF"))
}

/// The documents of a patient without the messages that notes keep.
fn documents(world: &World, ipp: &str) -> Vec<Document> {
    let mut documents = world
        .view()
        .documents_of_patient(&demo(), &Ipp::new(ipp))
        .unwrap();
    documents.retain(|document| document.kind == DocumentKind::Document);
    documents
}

fn only_document(world: &World) -> Document {
    let documents = documents(world, "1");
    assert_eq!(documents.len(), 1, "{documents:#?}");
    documents[0].clone()
}

/// Half a document is base64 too; that the file ends within it tells the two apart.
#[test]
fn a_file_that_ends_within_its_document_is_told_apart() {
    let whole = oru(
        "20250101",
        "",
        "OBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r",
    );
    let within = whole.find("LjQK").unwrap();
    let after = whole.find("||||||F").unwrap();
    for (end, is_refused) in [
        (within, true),
        (after, true),
        (after + 1, false),
        (whole.len() - 1, false),
        (whole.len(), false),
    ] {
        let batch = hl7::split(&whole.as_bytes()[..end]).unwrap();
        let message = Message::parse(batch.messages[0]).unwrap();
        let is_cut = batch.edges(0).ends_open && refuse_cut_off(&message).is_err();
        assert_eq!(is_cut, is_refused, "{end} of {}", whole.len());
    }
    // Where the sender ended the segment there, nothing is missing.
    let ended = format!("{}\r", &whole[..after]);
    assert!(!hl7::split(ended.as_bytes()).unwrap().edges(0).ends_open);
}

#[test]
fn a_document_is_kept_under_its_name() {
    let html = STANDARD.encode("<html/>");
    for (observation, value, told_as, name) in [
        (
            "CR^Compte rendu",
            "^^PDF^Base64^JVBERi0xLjQKJSVFT0YK",
            "accepted",
            "Compte rendu.pdf",
        ),
        (
            "CR",
            "^^PDF^BASE64^JVBERi0xLjQKJSVFT0YK",
            "accepted",
            "CR.pdf",
        ),
        ("CR", "JVBERi0xLjQKJSVFT0YK", "accepted", "CR.pdf"),
        (
            "CR",
            "^^^^JVBERi0x\\.br\\LjQKJSVFT0YK",
            "accepted",
            "CR.pdf",
        ),
        (
            "CR",
            "^^PDF^Base64^JVBERi0x\nLjQKJSVFT0YK",
            "accepted",
            "CR.pdf",
        ),
        ("CR", "^TEXT^^Base64^Ym9uam91cg==", "accepted", "CR.txt"),
        ("../a/b.pdf", "JVBERi0xLjQKJSVFT0YK", "accepted", "a-b.pdf"),
        ("", "JVBERi0xLjQKJSVFT0YK", "missing-field OBX-3.1", ""),
        ("CR", "", "missing-field OBX-5.5", ""),
        ("CR", "\"\"", "missing-field OBX-5.5", ""),
        ("CR", "^^PDF^Base64^\"\"", "missing-field OBX-5.5", ""),
        ("CR", "x^^PDF^Base64^", "missing-field OBX-5.5", ""),
        (
            "CR",
            "^^PDF^A^JVBERi0xLjQKJSVFT0YK",
            "bad-base64 OBX-5.4",
            "",
        ),
        ("CR", "^^PDF^Base64^JVBE.i0x", "bad-base64 OBX-5.5", ""),
        ("CR", "JVBERi0xL", "bad-base64 OBX-5.1", ""),
        ("CR", &html, "document-type OBX-5.1", ""),
    ] {
        let mut world = world();
        let message = oru(
            "20250101",
            "",
            &format!("OBX|1|ED|{observation}||{value}||||||F\r"),
        );
        let outcome = world.receive(&message);
        assert_eq!(outcome_text(&outcome), told_as, "{observation} {value}");
        if name.is_empty() {
            assert!(documents(&world, "1").is_empty());
            let value = outcome.refusal().unwrap().value.clone().unwrap_or_default();
            assert!(!value.contains("JVB"));
            continue;
        }
        let document = only_document(&world);
        let version = document.current().unwrap();
        assert_eq!(version.file_name, name);
        assert_eq!(version.size, world.contents[&version.sha256].len() as u64);
        let notes = world.notes("1");
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].reason, NoteReason::NoCase);
        assert_eq!(notes[0].documents, std::slice::from_ref(&document.id));
        assert_eq!(
            document.attached,
            AttachmentPlace::Note(notes[0].id.clone())
        );
    }
}

#[test]
fn only_accepted_kinds_are_kept() {
    let mut world = World::configured("[facility.documents]\ntypes = [\"pdf\"]");
    world.put([Record::Patient(patient("1", "LECOEUR", "N1"))]);
    let text = STANDARD.encode("bonjour");
    let outcome = world.receive(&oru("20250101", "", &obx("CR", &text, "F")));
    assert_eq!(outcome_text(&outcome), "document-type OBX-5.5");
    let outcome = world.receive(&oru("20250101", "", &obx("CR", PDF, "F")));
    assert_eq!(outcome_text(&outcome), "accepted");
}

#[test]
fn what_is_no_document_is_never_decoded() {
    for observation in [
        "TX|CR||JVBE Ri0xLjQK",
        "TX|CR||une ligne^et^PDF",
        "|CR||^^TEXT^A^SGVsbG8=",
        "RP|CR||\\\\share\\x.pdf^APP^application^PDF",
        "ED|CORPSMAIL_PS^Corps du mail^MetaDMPMSS||^^^Base64^Q2h.l",
        "ED|CORPSMAIL_PAT||^^^Base64^!",
        "ED|X^Y^MetaDMPMSS||^^^Base64^!",
        "ED|X^XDM/1.0/DDM+zip||^^^Base64^!",
    ] {
        let segment = format!("OBX|1|{observation}||||||F\r");
        let outcome = world().receive(&oru("20250101", "", &segment));
        assert_eq!(outcome_text(&outcome), "ignored", "{observation}");
        let both = segment + &obx("CR", PDF, "F");
        let mut world = world();
        assert_eq!(
            outcome_text(&world.receive(&oru("20250101", "", &both))),
            "accepted"
        );
        assert_eq!(documents(&world, "1").len(), 1);
    }
}

#[test]
fn a_message_without_document_is_refused_only_where_it_must_have_one() {
    let without = |kind: &str, segments: &str| {
        let message = format!(
            "{}{}{segments}",
            header(kind, "20250101"),
            pid("1^^^CHU^PI")
        );
        outcome_text(&world().receive(&message))
    };
    for event in ["T02", "T04", "T06", "T08", "T10"] {
        assert_eq!(
            without(&format!("MDM^{event}"), "TXA|1\r"),
            "missing-segment"
        );
        let deleted = "TXA|1\rOBX|1|TX|CR||x||||||D\r";
        assert_eq!(without(&format!("MDM^{event}"), deleted), "ignored");
    }
    for event in ["T01", "T03", "T05", "T07", "T09"] {
        assert_eq!(without(&format!("MDM^{event}"), "TXA|1\r"), "ignored");
    }
    assert_eq!(without("MDM^T11", "TXA|1\r"), "ignored unknown-document");
    assert_eq!(without("MDM^T11", ""), "ignored");
    for kind in ["ORU^R01", "OUL^R21", "OUL^R22", "OUL^R23", "OUL^R24"] {
        assert_eq!(without(kind, "OBX|1|NM|NA||140\r"), "ignored", "{kind}");
    }
    let orphan = format!("{}{}", header("ORU^R01", "20250101"), obx("CR", PDF, "F"));
    assert_eq!(
        outcome_text(&world().receive(&orphan)),
        "missing-segment OBX"
    );
}

#[test]
fn the_patient_is_found_by_ipp_or_ins() {
    let ins = format!("{INS}^^^ASIP-SANTE-INS-NIR&{INS_OID}&ISO^INS");
    let other_oid = format!("{INS}^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS");
    let broken = "279035121518988^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS";
    let both = format!("1^^^CHU^PI~{ins}");
    let two_patients = format!("2^^^CHU^PI~{ins}");
    let unknown_and_ins = format!("9^^^CHU^PI~{ins}");
    let untyped_and_ins = format!("1~{ins}");
    let names = "Lecœur^Anne^^^^^L";
    let verified = "||||||||||||||||||||||||VALI";
    let cases = [
        ("1^^^CHU^PI", names, "19790328|F", "accepted"),
        ("1^^^CHU^PI", "", "|", "accepted"),
        ("1^^^CHU^PI", "LECOEUR^X", "1979|F", "accepted"),
        (
            "1^^^CHU^PI",
            "Autre^Anne^^^^^L",
            "19790328|F",
            "accepted identity-mismatch",
        ),
        (
            "1^^^CHU^PI",
            names,
            "19800101|F",
            "accepted identity-mismatch",
        ),
        (
            "1^^^CHU^PI",
            names,
            "19790328|M",
            "accepted identity-mismatch",
        ),
        (
            "1^^^CHU^PI",
            "Autre^Anne^^^^^L",
            "19800101|F",
            "identity-mismatch PID-5",
        ),
        ("9^^^CHU^PI", names, "19790328|F", "unknown-patient PID-3.1"),
        (
            "1^^^A^PI~2^^^B^PI",
            names,
            "19790328|F",
            "ambiguous-ipp PID-3",
        ),
        ("1^^^LIS", names, "19790328|F", "accepted ipp-untyped"),
        (
            "1^^^LIS",
            names,
            "19790328|M",
            "accepted ipp-untyped identity-mismatch",
        ),
        ("1^^^LIS", names, "19790329|F", "unknown-patient PID-3.1"),
        ("1^^^LIS", names, "|F", "unknown-patient PID-3.1"),
        ("1^^^LIS", "", "19790328|F", "unknown-patient PID-3.1"),
        ("", names, "19790328|F", "missing-ipp PID-3"),
        ("4^^^CHU^AN", names, "19790328|F", "unknown-patient PID-3"),
        (&both, names, "19790328|F", "accepted"),
        (&two_patients, "", "|", "identity-mismatch PID-3"),
        (
            &unknown_and_ins,
            names,
            "19790328|F|VALI",
            "unknown-patient PID-3.1",
        ),
        (
            &untyped_and_ins,
            names,
            "19790328|F",
            "accepted ipp-untyped",
        ),
        (&ins, names, "19790328|F|VALI", "accepted"),
        (&ins, "", "||VALI", "accepted"),
        (&ins, names, "19790328|F", "unknown-patient PID-3"),
        (&ins, names, "19790328|F|PROV", "unknown-patient PID-3"),
        (&ins, names, "19790328|M|VALI", "unknown-patient PID-3"),
        (
            &ins,
            "Autre^Anne^^^^^L",
            "19790328|F|VALI",
            "unknown-patient PID-3",
        ),
        (
            &other_oid,
            names,
            "19790328|F|VALI",
            "unknown-patient PID-3",
        ),
        (broken, names, "19790328|F|VALI", "unknown-patient PID-3"),
    ];
    for (identifiers, name, rest, expected) in cases {
        let rest = rest
            .replace("|VALI", verified)
            .replace("|PROV", &verified.replace("VALI", "PROV"));
        let message = format!(
            "{}PID|1||{identifiers}||{name}||{rest}\r{}",
            header("ORU^R01", "20250101"),
            obx("CR", PDF, "F")
        );
        let mut world = world();
        let outcome = world.receive(&message);
        assert_eq!(
            outcome_text(&outcome),
            expected,
            "{identifiers} {name} {rest}"
        );
        let kept = usize::from(matches!(outcome, Outcome::Taken { .. }));
        assert_eq!(documents(&world, "1").len(), kept);
    }
}

#[test]
fn phone_and_address_are_not_read() {
    let message = format!(
        "{}PID|1||1^^^CHU^PI||Lecœur^Anne^^^^^L||19790328|U|||x||0^PRN^CP\r{}",
        header("ORU^R01", "20250101"),
        obx("CR", PDF, "F")
    );
    assert_eq!(outcome_text(&world().receive(&message)), "accepted");
}

#[test]
fn an_ins_of_two_patients_finds_nobody() {
    let mut world = world();
    world.put([Record::Patient(Patient {
        ins: Some(Ins {
            value: INS.to_owned(),
            oid: INS_OID.to_owned(),
        }),
        ..patient("2", "LECOEUR", "N2")
    })]);
    let message = format!(
        "{}PID|1||{INS}^^^ASIP-SANTE-INS-NIR&{INS_OID}&ISO^INS||Lecœur^Anne^^^^^L||19790328|F||||||||||||||||||||||||VALI\r{}",
        header("ORU^R01", "20250101"),
        obx("CR", PDF, "F")
    );
    assert_eq!(
        outcome_text(&world.receive(&message)),
        "unknown-patient PID-3"
    );
}

#[test]
fn a_case_is_claimed_or_hinted_at() {
    for (claim, order, expected, joined, awaits) in [
        ("C-1", "", "accepted", Some("C-1"), None),
        ("C-1", "ORC|RE|C-2\r", "accepted", Some("C-1"), None),
        ("C-2", "", "case-patient-mismatch TXA-14.1", None, None),
        ("C-9", "", "accepted unknown-case", None, Some("C-9")),
        (
            "C-9",
            "ORC|RE|C-1\r",
            "accepted unknown-case",
            None,
            Some("C-9"),
        ),
        ("", "ORC|RE|C-1\r", "accepted", Some("C-1"), None),
        ("", "ORC|RE|O-1\rOBR|1|C-1\r", "accepted", Some("C-1"), None),
        ("", "ORC|RE|C-2\r", "accepted", None, Some("C-2")),
        ("", "OBR|1|O-1^LAB\r", "accepted", None, Some("O-1")),
        ("", "", "accepted", None, None),
    ] {
        let mut world = world();
        let message =
            mdm("T02", "20250101", "D1", "", claim, "F").replace("TXA|", &format!("{order}TXA|"));
        assert_eq!(
            outcome_text(&world.receive(&message)),
            expected,
            "{claim} {order}"
        );
        if expected.contains("mismatch") {
            assert!(documents(&world, "1").is_empty());
            continue;
        }
        let document = only_document(&world);
        assert_eq!(document.awaits.as_ref().map(CaseId::as_str), awaits);
        match joined {
            Some(case) => {
                assert_eq!(document.attached, AttachmentPlace::Case(CaseId::new(case)));
                assert_eq!(world.documents_of(case), [document.id]);
                assert!(world.notes("1").is_empty());
            }
            None => {
                let [note] = &world.notes("1")[..] else {
                    panic!()
                };
                let claimed = expected.contains("unknown-case");
                assert_eq!(note.case.is_some(), claimed);
                let reason = if claimed {
                    NoteReason::UnknownCase
                } else {
                    NoteReason::NoCase
                };
                assert_eq!(note.reason, reason);
            }
        }
    }
}

#[test]
fn a_document_waits_for_its_case_unless_the_identity_differs() {
    let siu = format!(
        "{}SCH||C-9|||||||||^^^20250403\r{}AIL|1||^^^P1\rAIP|1||10100094977^A^B\r",
        header("SIU^S12", "20250102"),
        pid("1^^^CHU^PI")
    );
    let claim = mdm("T02", "20250101", "D1", "", "C-9", "F");
    let mut waiting = world();
    waiting.receive(&claim);
    assert_eq!(
        outcome_text(&waiting.receive(&siu)),
        "accepted session-not-found"
    );
    let document = only_document(&waiting);
    assert_eq!(
        document.attached,
        AttachmentPlace::Case(CaseId::new("C-9")),
        "whatever the state of the case"
    );
    assert_eq!(waiting.documents_of("C-9"), [document.id]);
    let reasons: Vec<_> = waiting.notes("1").iter().map(|note| note.reason).collect();
    assert_eq!(reasons, [NoteReason::SessionNotFound], "its own note ended");

    let mut doubtful = world();
    let other_sex = claim.replace("|19790328|F", "|19790328|M");
    assert_eq!(
        outcome_text(&doubtful.receive(&other_sex)),
        "accepted identity-mismatch unknown-case"
    );
    assert_eq!(only_document(&doubtful).awaits, None);
    doubtful.receive(&siu);
    assert!(doubtful.documents_of("C-9").is_empty());
}

#[test]
fn the_configuration_says_where_a_case_id_stands() {
    let mut world = World::configured(
        "[facility.documents]\ncase_id = [\"OBR-18\", \"PV1-19.1\"]\ncase_hint = []",
    );
    world.put([
        Record::Patient(patient("1", "LECOEUR", "N1")),
        Record::Case(case("C-1", "1")),
    ]);
    let order = "OBR|1|C-1||||||||||||||||C-7\r";
    let outcome = world.receive(&oru("20250101", order, &obx("CR", PDF, "F")));
    assert_eq!(outcome_text(&outcome), "accepted unknown-case");
    let visit = "PV1|1||||||||||||||||||C-1^^^CHU\r";
    let outcome = world.receive(&oru("20250102", visit, &obx("CR", PDF, "F")));
    assert_eq!(outcome_text(&outcome), "accepted");
    assert_eq!(world.documents_of("C-1").len(), 1);
}

#[test]
fn each_document_belongs_to_the_segments_above_it() {
    let mut world = world();
    let message = format!(
        "{}{}ORC|RE|C-1\rOBR|1||A1\r{}OBR|2||A2\r{}PID|2||2^^^CHU^PI\rOBR|1|C-2|A1\r{}",
        header("ORU^R01", "20250101"),
        pid("1^^^CHU^PI"),
        obx("CR", PDF, "F"),
        obx("CR", PDF, "F"),
        obx("CR", PDF, "F"),
    );
    assert_eq!(outcome_text(&world.receive(&message)), "accepted");
    assert_eq!(documents(&world, "1").len(), 2);
    assert_eq!(documents(&world, "2").len(), 1);
    assert_eq!(world.documents_of("C-1").len(), 2);
    assert_eq!(world.documents_of("C-2").len(), 1);
}

#[test]
fn one_refused_document_refuses_the_message() {
    let mut world = world();
    let before = world.everything();
    let message = oru(
        "20250101",
        "",
        &(obx("A", PDF, "F") + &obx("B", "JVB!", "F")),
    );
    assert_eq!(
        outcome_text(&world.receive(&message)),
        "bad-base64 OBX(2)-5.5"
    );
    assert_eq!(world.everything(), before);
}

#[test]
fn the_network_must_not_be_that_of_others() {
    for (network, expected) in [
        ("N1", "accepted"),
        ("N2", "accepted network-mismatch"),
        ("N3", "accepted"),
        ("", "accepted"),
    ] {
        let message = oru("20250101", "", &(obx("A", PDF, "F") + &obx("B", PDF, "F")))
            .replace("|RCP|", &format!("|{network}|"));
        assert_eq!(
            outcome_text(&world().receive(&message)),
            expected,
            "{network}"
        );
    }
}

/// What is told of each message, and the documents left: how many versions, and whether deleted.
fn life(messages: &[String]) -> (Vec<String>, Vec<(usize, bool)>) {
    let mut world = world();
    let outcomes = messages
        .iter()
        .map(|message| outcome_text(&world.receive(message)))
        .collect();
    let mut documents: Vec<_> = documents(&world, "1")
        .iter()
        .map(|document| (world.versions(document).len(), document.deleted))
        .collect();
    documents.sort_unstable();
    (outcomes, documents)
}

/// What is tried, the messages, what is told of each, and the documents left: their versions, and whether deleted.
type DocumentExample = (
    &'static str,
    Vec<String>,
    Vec<&'static str>,
    Vec<(usize, bool)>,
);

#[test]
fn a_document_lives_by_its_ids() {
    let f = |time: &str, id: &str| mdm("T02", time, id, "", "", "F");
    let rows: Vec<DocumentExample> = vec![
        (
            "the same id again is the next version, whatever the event",
            vec![f("1", "D1"), mdm("T08", "2", "D1^^", "", "", "")],
            vec!["accepted", "updated"],
            vec![(2, false)],
        ),
        (
            "another id is another document",
            vec![f("1", "D1"), f("2", "D1^X")],
            vec!["accepted", "accepted"],
            vec![(1, false), (1, false)],
        ),
        (
            "without an id always new",
            vec![f("1", ""), f("2", "")],
            vec!["accepted", "accepted"],
            vec![(1, false), (1, false)],
        ),
        (
            "C replaces by TXA-13, and the new id names it too",
            vec![
                f("1", "D1"),
                mdm("T10", "2", "D2", "D1", "", "C"),
                mdm("T10", "3", "D3", "D2", "", ""),
                mdm("T02", "4", "D1", "", "", "F"),
            ],
            vec!["accepted", "updated", "updated", "updated"],
            vec![(4, false)],
        ),
        (
            "replacing an unknown one",
            vec![mdm("T10", "2", "D2", "D1", "", "")],
            vec!["accepted unknown-document"],
            vec![(1, false)],
        ),
        (
            "D, W and T11 delete",
            vec![
                f("1", "D1"),
                mdm("T04", "2", "D1", "", "", "D"),
                mdm("T02", "2", "D1", "", "", "W"),
            ],
            vec!["accepted", "updated", "duplicate"],
            vec![(1, true)],
        ),
        (
            "a late version from before the deletion does not bring it back",
            vec![
                f("1", "D1"),
                mdm("T04", "3", "D1", "", "", "D"),
                f("2", "D1"),
                mdm("T02", "4", "D1", "", "", "F"),
            ],
            vec!["accepted", "updated", "updated", "updated"],
            vec![(3, false)],
        ),
        (
            "of two deletions the later counts",
            vec![
                f("1", "D1"),
                mdm("T04", "2", "D1", "", "", "D"),
                mdm("T04", "4", "D1", "", "", "D"),
                f("3", "D1"),
                mdm("T04", "4", "D1", "", "", "W"),
            ],
            vec!["accepted", "updated", "updated", "updated", "duplicate"],
            vec![(2, true)],
        ),
        (
            "T11 without status",
            vec![f("1", "D1"), mdm("T11", "2", "", "D1", "", "")],
            vec!["accepted", "updated"],
            vec![(1, true)],
        ),
        (
            "T11 without OBX",
            vec![
                f("1", "D1"),
                mdm("T11", "2", "D1", "", "", "").replace("\rOBX|", "\rZOB|"),
            ],
            vec!["accepted", "updated"],
            vec![(1, true)],
        ),
        (
            "a status decides before the event",
            vec![f("1", "D1"), mdm("T11", "2", "D1", "", "", "F")],
            vec!["accepted", "updated"],
            vec![(2, false)],
        ),
        (
            "a deleted one comes back with a new version",
            vec![
                f("1", "D1"),
                mdm("T04", "2", "D1", "", "", "D"),
                f("3", "D1"),
            ],
            vec!["accepted", "updated", "updated"],
            vec![(2, false)],
        ),
        (
            "deleting an unknown one",
            vec![mdm("T04", "2", "D1", "", "", "D")],
            vec!["ignored unknown-document"],
            vec![],
        ),
        (
            "a deletion before the current version",
            vec![f("3", "D1"), mdm("T04", "2", "D1", "", "", "D")],
            vec!["accepted", "stale"],
            vec![(1, false)],
        ),
    ];
    for (name, messages, outcomes, documents) in rows {
        let messages: Vec<String> = messages
            .into_iter()
            .map(|message| {
                ["1", "2", "3", "4"].iter().fold(message, |message, day| {
                    message.replace(&format!("|CHU|{day}|"), &format!("|CHU|2025010{day}|"))
                })
            })
            .collect();
        let (told, found) = life(&messages);
        assert_eq!(told, outcomes, "{name}");
        assert_eq!(found, documents, "{name}");
    }
}

#[test]
fn a_late_version_becomes_an_older_one() {
    let mut world = world();
    for time in ["20250103", "20250101", "20250102"] {
        world.receive(&mdm("T02", time, "D1", "", "", "F"));
    }
    let document = only_document(&world);
    let order: Vec<_> = world
        .versions(&document)
        .iter()
        .map(|version| String::from_utf8_lossy(&world.contents[&version.sha256]).into_owned())
        .collect();
    assert_eq!(
        order,
        [
            "%PDF-1.4 20250101 %%EOF",
            "%PDF-1.4 20250102 %%EOF",
            "%PDF-1.4 20250103 %%EOF"
        ]
    );
    assert_eq!(document.current().unwrap().version, 3);
    assert_eq!(document.current(), world.versions(&document).last());
}

/// Once a document is known, its versions and deletions may come in any order, and more than once.
#[test]
fn the_order_of_arrival_does_not_matter() {
    use proptest::prelude::*;
    let statuses = prop::collection::vec(prop::sample::select(vec!["F", "C", "D", "W"]), 1..7);
    let arrivals = statuses.prop_flat_map(|statuses| {
        let all: Vec<usize> = (0..statuses.len()).collect();
        let again = prop::collection::vec(0..statuses.len(), 0..4);
        let arrivals =
            again.prop_flat_map(move |again| Just([all.clone(), again].concat()).prop_shuffle());
        (Just(statuses), arrivals)
    });
    proptest!(ProptestConfig::with_cases(128), |((statuses, arrivals) in arrivals)| {
        let message = |place: usize| {
            let time = format!("2025010112{place:02}");
            mdm("T02", &time, "D1", "", "", statuses[place])
        };
        let left = |arrivals: &[usize]| {
            let mut world = world();
            world.receive(&mdm("T02", "20250101", "D1", "", "C-1", "F"));
            for place in arrivals {
                let outcome = world.receive(&message(*place));
                assert_eq!(outcome.refusal(), None);
            }
            let known = only_document(&world);
            let contents: Vec<_> = world.versions(&known).iter().map(|it| it.sha256.clone()).collect();
            (contents, known.deleted, known.deletion_time, known.attached)
        };
        let ordered: Vec<usize> = (0..statuses.len()).collect();
        prop_assert_eq!(left(&ordered), left(&arrivals));
    });
}

#[test]
fn orders_identify_documents_too() {
    let order = "ORC|NW|9^N|A1^labo\rOBR|1|9^N|A1^labo|CR\r";
    let mut world = world();
    let both = obx("CR", &pdf("a"), "F") + &obx("CR", &pdf("b"), "F");
    assert_eq!(
        outcome_text(&world.receive(&oru("20250101", order, &both))),
        "accepted"
    );
    assert_eq!(
        documents(&world, "1").len(),
        2,
        "one id twice in a message: two documents"
    );
    let both = obx("CR", &pdf("c"), "C") + &obx("CR", &pdf("d"), "C");
    assert_eq!(
        outcome_text(&world.receive(&oru("20250102", order, &both))),
        "updated"
    );
    assert_eq!(
        documents(&world, "1")
            .iter()
            .map(|document| world.versions(document).len())
            .collect::<Vec<_>>(),
        [2, 2]
    );
    let other = obx("CR", &pdf("e"), "F").replace("CR||", "CR|2|");
    assert_eq!(
        outcome_text(&world.receive(&oru("20250103", order, &other))),
        "accepted",
        "OBX-4 counts"
    );
    let deleted = "OBX|1|ED|CR||!||||||D\r";
    assert_eq!(
        outcome_text(&world.receive(&oru("20250104", order, deleted))),
        "updated",
        "not decoded"
    );
    let gone = documents(&world, "1")
        .iter()
        .filter(|document| document.deleted)
        .count();
    assert_eq!(gone, 1);
}

#[test]
fn a_cda_brings_its_own_ids() {
    let cda = |id: &str, set: &str, parent: &str| {
        STANDARD.encode(format!(
            "<ClinicalDocument xmlns='urn:hl7-org:v3'><id root='{id}'/><setId root='{set}'/>\
             <relatedDocument><parentDocument><id root='{parent}'/></parentDocument></relatedDocument></ClinicalDocument>"
        ))
    };
    let mut world = world();
    let first = oru("20250101", "", &obx("CR", &cda("1.1", "1.0", "9"), "F"));
    assert_eq!(outcome_text(&world.receive(&first)), "accepted");
    let next = oru("20250102", "", &obx("CR", &cda("1.2", "1.0", "9"), "F"));
    assert_eq!(
        outcome_text(&world.receive(&next)),
        "updated",
        "the same setId"
    );
    let replacing = oru("20250103", "", &obx("CR", &cda("2.1", "2.0", "1.2"), "C"));
    assert_eq!(
        outcome_text(&world.receive(&replacing)),
        "updated",
        "by parentDocument"
    );
    let by_id = oru("20250104", "", &obx("CR", &cda("2.1", "3.0", "8"), "C"));
    assert_eq!(outcome_text(&world.receive(&by_id)), "updated", "by id");
    let document = only_document(&world);
    assert_eq!(world.versions(&document).len(), 4);
    assert_eq!(document.current().unwrap().file_name, "CR.xml");
}

#[test]
fn an_id_of_another_patients_document_is_warned_of() {
    let mut world = world();
    world.receive(&mdm("T02", "20250101", "D1", "", "", "F"));
    let message = mdm("T02", "20250102", "D1", "", "", "F")
        .replace(&pid("1^^^CHU^PI"), "PID|1||2^^^CHU^PI\r");
    assert_eq!(
        outcome_text(&world.receive(&message)),
        "accepted document-id-reused"
    );
    assert_eq!(
        outcome_text(&world.receive(&message.replace("20250102", "20250103"))),
        "updated"
    );
    assert_eq!(documents(&world, "2").len(), 1);
    assert_eq!(documents(&world, "1").len(), 1);
}

#[test]
fn a_doubtful_version_does_not_reach_a_case() {
    let mut world = world();
    world.receive(&mdm("T02", "20250101", "D1", "", "C-1", "F"));
    let message = mdm("T02", "20250102", "D1", "", "C-1", "F").replace("19790328", "19800101");
    assert_eq!(
        outcome_text(&world.receive(&message)),
        "accepted identity-mismatch"
    );
    assert_eq!(world.documents_of("C-1").len(), 1);
    assert_eq!(documents(&world, "1").len(), 2);
    assert_eq!(world.notes("1").len(), 1);
}

#[test]
fn a_version_with_a_case_takes_the_document_along() {
    let mut world = world();
    world.receive(&mdm("T02", "20250101", "D1", "", "", "F"));
    assert_eq!(world.notes("1").len(), 1);
    assert_eq!(
        outcome_text(&world.receive(&mdm("T02", "20250102", "D1", "", "C-1", "F"))),
        "updated"
    );
    assert!(world.notes("1").is_empty());
    world.put([Record::Case(case("C-3", "1"))]);
    world.receive(&mdm("T02", "20250103", "D1", "", "C-3", "F"));
    assert!(world.documents_of("C-1").is_empty());
    let document = only_document(&world);
    assert_eq!(
        world.documents_of("C-3"),
        std::slice::from_ref(&document.id)
    );
    assert_eq!(world.versions(&document).len(), 3);
    assert_eq!(document.attached, AttachmentPlace::Case(CaseId::new("C-3")));
}

#[test]
fn a_document_in_a_case_stays_there_when_it_claims_an_unknown_one() {
    let mut world = world();
    world.receive(&mdm("T02", "20250101", "D1", "", "C-1", "F"));
    let outcome = world.receive(&mdm("T02", "20250102", "D1", "", "C-9", "F"));
    assert_eq!(outcome_text(&outcome), "updated unknown-case");
    let Outcome::Taken { warnings, .. } = outcome else {
        panic!()
    };
    assert_eq!(
        warnings[0].message,
        "the case C-9 is not known yet: the document stays in the case C-1"
    );
    assert_eq!(warnings[0].place.as_ref().unwrap().shown, "TXA-14.1");
    assert!(world.notes("1").is_empty());
    let document = only_document(&world);
    assert_eq!(document.attached, AttachmentPlace::Case(CaseId::new("C-1")));
    assert_eq!(world.versions(&document).len(), 2);
    assert_eq!(world.documents_of("C-1"), [document.id]);
}

#[test]
fn the_sample_of_the_interface_documentation_is_taken() {
    let sample = "MSH|^~\\&|DaVinci|MIPS|665458c6e55fcb3ce37040c6|MIPS|20250325141632||OUL^R22|P25006368_20250325141632|P|2.5||||||8859/15\r\
        EVN||20250325141632|20250325141632\r\
        PID|1||2345^^^LIS||XXXX^XXXXX||19600829|F|||&XXXXX^^XXXXXX^^12345|||||||2345678765||||||||||||N\r\
        PV1||I|||||||||||||||||125146142\r\
        ORC|SC||P25/006368||CM||^^^20250317143845^^R||20250325141632|||CRUN^CRUTU^XXXXXX-XXXXX||||20250314135522|||R\r\
        OBR|1|^DAVINCI|P25/006368^20250320140758|HIS_PDFReport^^Glims^HIS_PDFReport^^DaVinci||20250313135500|20250314135542|20250325092717||||||||CRUN^CRUTU^XXXXXX-XXXXXX|||||||||F|||||||XXXX&XXXXX&XXXXX\r\
        OBX|1|ED|HIS_PDFReport^^DaVinci^HIS_PDFReport^^DaVinci||JVBERi0xLjQNJeLjz9MNMSAwIG9iago8PAo=||||||F|||20250325092717\r";
    let mut world = world();
    assert_eq!(
        outcome_text(&world.receive(sample)),
        "unknown-patient PID-3.1"
    );
    world.put([Record::Patient(Patient {
        birth_date: "1960-08-29".parse().unwrap(),
        ..patient("2345", "XXXX", "665458c6e55fcb3ce37040c6")
    })]);
    assert_eq!(
        outcome_text(&world.receive(sample)),
        "accepted ipp-untyped document-damaged"
    );
    let [document] = &documents(&world, "2345")[..] else {
        panic!()
    };
    assert_eq!(document.current().unwrap().file_name, "HIS_PDFReport.pdf");
    assert_eq!(document.current().unwrap().content_type, ContentType::Pdf);
    assert_eq!(document.awaits, None);
    assert_eq!(outcome_text(&world.receive(sample)), "duplicate");
}

#[test]
fn no_message_is_too_strange() {
    use proptest::prelude::*;
    let piece = prop::sample::select(vec![
        "OBX|1|ED|",
        "OBX|1||",
        "ORC|",
        "OBR|1|",
        "TXA|1|",
        "PID|1||1^^^CHU^PI\r",
        "PID|1||1\r",
        "|",
        "||||||",
        "^",
        "~",
        "&",
        "\\",
        "\\.br\\",
        "\"\"",
        "\r",
        "Base64",
        "JVBERi0xLjQKJSVFT0YK",
        "F",
        "C",
        "D",
        "C-1",
        "D1",
        "#2",
        "é",
    ]);
    let message = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    let kinds = prop::sample::select(vec!["ORU^R01", "OUL^R22", "MDM^T02", "MDM^T10", "MDM^T11"]);
    proptest!(ProptestConfig::with_cases(200), |(kind in kinds, messages in prop::collection::vec(message, 1..4))| {
        let mut world = world();
        for message in messages {
            let before = world.everything();
            let message = format!("{}{}{message}", header(kind, "20250101"), pid("1^^^CHU^PI"));
            let outcome = world.receive(&message);
            if outcome.refusal().is_some() {
                prop_assert_eq!(world.everything(), before);
            } else if outcome.word() != "ignored" {
                let after = world.everything();
                world.receive(&message);
                prop_assert_eq!(world.everything(), after, "the same message again changes nothing");
            }
        }
    });
}

/// What a message with these OBX becomes, and the bytes of its documents in the order of their names.
fn sent(observations: &str) -> (String, Vec<Vec<u8>>) {
    let mut world = world();
    let outcome = outcome_text(&world.receive(&oru("20250101", "", observations)));
    let mut found: Vec<(String, Vec<u8>)> = documents(&world, "1")
        .iter()
        .map(|document| {
            let version = document.current().unwrap();
            let bytes = world.contents[&version.sha256].clone();
            (version.file_name.clone(), bytes)
        })
        .collect();
    found.sort();
    (outcome, found.into_iter().map(|(_, bytes)| bytes).collect())
}

#[test]
fn each_repetition_is_a_document_or_the_message_is_refused() {
    let (one, two) = (pdf("one"), pdf("two"));
    let bytes = |texts: &[&str]| -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = texts
            .iter()
            .map(|it| STANDARD.decode(it).unwrap())
            .collect();
        all.sort();
        all
    };
    for (value, told_as, kept) in [
        (
            format!("^^PDF^Base64^{one}~^^PDF^Base64^{two}"),
            "accepted",
            vec![&*one, &*two],
        ),
        (format!("{one}~{two}"), "accepted", vec![&*one, &*two]),
        (
            format!("^^PDF^Base64^{one}~"),
            "bad-base64 OBX-5(2)",
            vec![],
        ),
        (
            format!("^^PDF^Base64^{one}~^^PDF^Base64^JVBERi0x!"),
            "bad-base64 OBX-5(2).5",
            vec![],
        ),
        (
            format!("^^PDF^Base64^{one}~^^PDF^Base64^"),
            "bad-base64 OBX-5(2)",
            vec![],
        ),
    ] {
        let (outcome, mut documents) = sent(&format!("OBX|1|ED|CR||{value}||||||F\r"));
        documents.sort();
        assert_eq!(
            (outcome.as_str(), documents),
            (told_as, bytes(&kept)),
            "{value}"
        );
    }
    // Wherever a separator stands in the base64 of one document, nothing of it is kept.
    for at in 1..=one.len() {
        for frame in ["^^PDF^Base64^", ""] {
            let (before, after) = one.split_at(at);
            let segment = format!("OBX|1|ED|CR||{frame}{before}~{after}||||||F\r");
            let (outcome, documents) = sent(&segment);
            assert!(
                outcome.starts_with("bad-base64") || outcome.starts_with("document-type"),
                "{segment}: {outcome}"
            );
            assert!(documents.is_empty());
        }
    }
}

#[test]
fn a_document_in_parts_is_joined_or_refused() {
    let bytes: Vec<u8> = [
        b"%PDF-1.4\n".to_vec(),
        (0..=255).collect(),
        b"%%EOF\n".to_vec(),
    ]
    .concat();
    let whole = STANDARD.encode(&bytes);
    let obx = |number: usize, content: &str| {
        format!("OBX|{number}|ED|CR|{number}|^^PDF^Base64^{content}||||||F\r")
    };
    let in_parts = |parts: &[&str]| -> String {
        parts
            .iter()
            .zip(1..)
            .map(|(part, number)| obx(number, part))
            .collect()
    };
    for first in (12..whole.len() - 20).step_by(7) {
        for second in [first + 4, first + 7] {
            let parts = [&whole[..first], &whole[first..second], &whole[second..]];
            let (outcome, documents) = sent(&in_parts(&parts));
            assert_eq!(
                (outcome.as_str(), &documents[..]),
                ("accepted", std::slice::from_ref(&bytes))
            );
            // The last is missing, or one of the others is.
            let numbered = |numbers: [usize; 2]| -> String {
                numbers
                    .map(|number| obx(number, parts[number - 1]))
                    .concat()
            };
            for wrong in [[1, 2], [1, 3]] {
                let (outcome, documents) = sent(&numbered(wrong));
                assert!(
                    outcome.starts_with("bad-base64 OBX") && documents.is_empty(),
                    "{first} {second} {wrong:?}: {outcome}"
                );
            }
        }
    }
    // OBX-1 tells that one is missing, or that they changed places, where OBX-4 does not.
    let half = whole.len() / 2;
    let counted = |numbers: [&str; 2], between: &str| {
        let [one, two] = numbers;
        let obx = |number, part| format!("OBX|{number}|ED|CR||^^PDF^Base64^{part}||||||F\r");
        obx(one, &whole[..half]) + between + &obx(two, &whole[half..])
    };
    let other = "OBX|2|TX|note||texte||||||F\r";
    for (numbers, between, is_whole) in [
        (["1", "2"], "", true),
        (["1", "1"], "", true),
        (["", ""], "", true),
        (["1", "3"], other, true),
        (["1", "2"], other, true),
        (["1", "3"], "", false),
        (["2", "1"], "", false),
        (["1", "4"], other, false),
    ] {
        let (outcome, documents) = sent(&counted(numbers, between));
        match is_whole {
            true => assert_eq!(
                documents,
                std::slice::from_ref(&bytes),
                "{numbers:?}: {outcome}"
            ),
            false => assert!(outcome.starts_with("bad-base64"), "{numbers:?}: {outcome}"),
        }
    }
    // Each part was encoded by itself.
    let apart: Vec<String> = bytes
        .chunks(100)
        .map(|part| STANDARD.encode(part))
        .collect();
    let apart: Vec<&str> = apart.iter().map(String::as_str).collect();
    assert_eq!(
        sent(&in_parts(&apart)),
        ("accepted".to_owned(), vec![bytes])
    );
    // Documents of their own are no parts of one; of texts that cannot be told.
    let (one, two, text) = (pdf("one"), pdf("two"), STANDARD.encode("bonjour"));
    for (parts, expected) in [
        ([&*one, &*two], "accepted"),
        ([&*one, &*text], "accepted"),
        ([&*text, &*one], "accepted"),
        ([&*text, &*text], "accepted document-parts"),
    ] {
        let (outcome, documents) = sent(&in_parts(&parts));
        assert_eq!(
            (outcome.as_str(), documents.len()),
            (expected, 2),
            "{parts:?}"
        );
    }
}

/// OBX under one OBX-3 with these OBX-4.
fn under_one(parts: &[(&str, String)]) -> String {
    let obx = |(sub_id, part): &(&str, String)| {
        format!("OBX|1|ED|CR|{sub_id}|^^PDF^Base64^{part}||||||F\r")
    };
    parts.iter().map(obx).collect()
}

/// However its parts are numbered, a document of letters alone is joined whole, or refused.
#[test]
fn a_document_of_ascii_in_parts_is_whole_or_refused() {
    let bytes =
        b"%PDF-1.4 1 0 obj << /Type /Catalog >> endobj and some more of it %%EOF\n".to_vec();
    let rich = b"{\\rtf1 {\\b one} {\\i two} three and \\} four and five}".to_vec();
    for (bytes, at) in [(&bytes, 27), (&bytes, 24), (&rich, 15), (&rich, 22)] {
        let (one, other) = bytes.split_at(at);
        let apart = [STANDARD.encode(one), STANDARD.encode(other)];
        let whole = STANDARD.encode(bytes);
        let (one, other) = whole.split_at(at + 1);
        for [one, other] in [apart, [one.to_owned(), other.to_owned()]] {
            for (first, second, is_joined) in [
                ("", "", true),
                ("1", "1", true),
                ("7", "7", true),
                ("1", "2", true),
                ("0", "1", true),
                ("3", "4", true),
                ("1.1", "1.2", true),
                ("1", "3", false),
                ("2", "1", false),
                ("1.1", "2.2", false),
                ("", "1", false),
                ("A", "B", false),
            ] {
                let parts = [(first, one.clone()), (second, other.clone())];
                let (outcome, documents) = sent(&under_one(&parts));
                let shown = format!("{at} {first} {second}: {outcome}");
                match is_joined {
                    true => {
                        assert_eq!(outcome, "accepted", "{shown}");
                        assert_eq!(documents, std::slice::from_ref(bytes), "{shown}");
                    }
                    false => {
                        assert!(outcome.starts_with("bad-base64 OBX"), "{shown}");
                        assert!(documents.is_empty(), "{shown}");
                    }
                }
                // The end is missing.
                let (outcome, documents) = sent(&under_one(&[
                    (first, one.clone()),
                    (second, STANDARD.encode("and more")),
                ]));
                assert!(outcome.starts_with("bad-base64 OBX"), "{shown}, {outcome}");
                assert!(documents.is_empty(), "{shown}");
            }
        }
    }
}

#[test]
fn a_text_behind_the_parts_of_a_document_is_not_joined_in_silence() {
    let [one, other, text] =
        ["%PDF-1.4 one", " two %%EOF", "bonjour"].map(|it| STANDARD.encode(it));
    for numbers in [["1", "2", "3"], ["", "", ""]] {
        let parts = [&one, &other, &text].map(String::as_str);
        let parts: Vec<(&str, String)> = numbers
            .into_iter()
            .zip(parts)
            .map(|(number, part)| (number, part.to_owned()))
            .collect();
        let (outcome, documents) = sent(&under_one(&parts));
        assert_eq!(outcome, "accepted document-parts");
        assert_eq!(documents, [b"%PDF-1.4 one two %%EOFbonjour".to_vec()]);
        let (outcome, _) = sent(&under_one(&parts[..2]));
        assert_eq!(outcome, "accepted");
    }
}

#[test]
fn a_part_that_is_sent_twice_is_refused() {
    let [one, middle, end] =
        ["%PDF-1.4 one.", " middle \u{1}\u{2}\u{3}", " two %%EOF"].map(|it| STANDARD.encode(it));
    for (parts, place) in [
        ([("", &one), ("", &middle), ("", &middle), ("", &end)], "3"),
        (
            [("1", &one), ("1", &middle), ("1", &middle), ("1", &end)],
            "3",
        ),
        ([("", &one), ("", &one), ("", &middle), ("", &end)], "2"),
        ([("", &one), ("", &middle), ("", &end), ("", &end)], "4"),
        (
            [("1", &one), ("2", &middle), ("3", &middle), ("4", &end)],
            "",
        ),
    ] {
        let parts = parts.map(|(number, part)| (number, part.clone()));
        let (outcome, documents) = sent(&under_one(&parts));
        match place {
            "" => assert!(!documents.is_empty(), "{parts:?}: {outcome}"),
            place => assert_eq!(outcome, format!("bad-base64 OBX({place})-5"), "{parts:?}"),
        }
    }
}

#[test]
fn a_second_document_in_an_obx_is_not_lost() {
    let (one, two) = (pdf("one"), pdf("two"));
    let framed = |content: &str| format!("^^PDF^Base64^{content}");
    for (value, place) in [
        (format!("{}|{}||||", framed(&one), framed(&two)), "OBX-6"),
        (format!("{}|||||{}", framed(&one), framed(&two)), "OBX-10"),
        (format!("{}|x~{}||||", framed(&one), framed(&two)), "OBX-6"),
        (format!("{}{}|||||", framed(&one), framed(&two)), "OBX-5.9"),
        (
            format!("{}^{}|||||", framed(&one), framed(&two)),
            "OBX-5.10",
        ),
        (format!("{one}{}|||||", framed(&two)), "OBX-5.1"),
    ] {
        let (outcome, documents) = sent(&format!("OBX|1|ED|CR||{value}|F\r"));
        assert_eq!(outcome, format!("bad-base64 {place}"), "{value}");
        assert!(documents.is_empty());
    }
    let (outcome, documents) = sent(&format!(
        "OBX|1|ED|CR||{}^^^^|mg^milligramme^UCUM|1^2~3|||F\r",
        framed(&one)
    ));
    assert_eq!((outcome.as_str(), documents.len()), ("accepted", 1));
}

#[test]
fn a_document_without_an_end_that_is_sent_twice_is_refused() {
    let [cut, other] = ["%PDF-1.4 cut", "%PDF-1.4 another"].map(|it| STANDARD.encode(it));
    for (parts, expected) in [
        ([("", &cut), ("", &cut)], "bad-base64 OBX(2)-5"),
        ([("1", &cut), ("1", &cut)], "bad-base64 OBX(2)-5"),
        (
            [("1", &cut), ("2", &cut)],
            "accepted document-damaged document-damaged",
        ),
        (
            [("", &cut), ("", &other)],
            "accepted document-damaged document-damaged",
        ),
    ] {
        let parts = parts.map(|(number, part)| (number, part.clone()));
        assert_eq!(sent(&under_one(&parts)).0, expected, "{parts:?}");
    }
    let whole = pdf("one");
    let parts = [("", whole.clone()), ("", whole)];
    assert_eq!(sent(&under_one(&parts)).0, "accepted");
}

#[test]
fn what_stands_between_the_parts_of_a_document_does_not_part_them() {
    let bytes = b"%PDF-1.4 one, two and three %%EOF".to_vec();
    let [one, two, three] =
        [&bytes[..9], &bytes[9..20], &bytes[20..]].map(|it| STANDARD.encode(it));
    let obx = |code: &str, sub_id: &str, part: &str| {
        format!("OBX|1|ED|{code}|{sub_id}|^^PDF^Base64^{part}||||||F\r")
    };
    let pdf = pdf("between");
    let between = [
        obx("OTHER", "1", &pdf),
        "OBX|2|TX|NOTE||text||||||F\r".to_owned(),
        "NTE|1||text\r".to_owned(),
    ];
    for sub_ids in [["1", "2", "3"], ["", "", ""]] {
        for between in &between {
            let [one, two, three] = [
                obx("CR", sub_ids[0], &one),
                obx("CR", sub_ids[1], &two),
                obx("CR", sub_ids[2], &three),
            ];
            let (outcome, documents) = sent(&format!("{one}{between}{two}{between}{three}"));
            assert_eq!(outcome, "accepted", "{between}");
            assert!(documents.contains(&bytes), "{between}");
            let count = if between.contains("OTHER") { 3 } else { 1 };
            assert_eq!(documents.len(), count, "{between}");
            let (outcome, documents) = sent(&format!("{one}{between}{two}"));
            assert!(outcome.starts_with("bad-base64 OBX"), "{outcome}");
            assert!(documents.is_empty());
        }
    }
    // A document beside the one in parts, in the same OBX, is not lost.
    let beside = obx("CR", "", &format!("{one}~^^PDF^Base64^{pdf}"));
    let rest = STANDARD.encode(&bytes[9..]);
    let (outcome, documents) = sent(&format!("{beside}{}", obx("CR", "", &rest)));
    assert_eq!((outcome.as_str(), documents.len()), ("accepted", 2));
    assert!(documents.contains(&bytes));
}

#[test]
fn texts_under_one_obx_3_are_told_apart_or_refused() {
    let text = |text: &str| STANDARD.encode(text);
    let (pdf, other_pdf) = (|| pdf("one"), || pdf("two"));
    for (first, second, expected) in [
        // Where OBX-4 tells texts apart, they may be documents of their own.
        (
            ("1", text("one")),
            ("2", text("two")),
            "accepted document-parts",
        ),
        (
            ("0", text("one")),
            ("1", text("two")),
            "accepted document-parts",
        ),
        (
            ("1.1", text("one")),
            ("1.2", text("two")),
            "accepted document-parts",
        ),
        // Where it does not, they are one that was cut.
        (("", text("one")), ("", text("two")), "bad-base64 OBX(2)-4"),
        (
            ("1", text("one")),
            ("1", text("two")),
            "bad-base64 OBX(2)-4",
        ),
        // A text behind a whole document is no part of it, unless OBX-4 says so.
        (("", pdf()), ("", text("two")), "accepted document-parts"),
        (("1", pdf()), ("2", text("two")), "accepted"),
        (("1", text("one")), ("1", pdf()), "accepted"),
        // Whole documents are as many as there are.
        (("", pdf()), ("", other_pdf()), "accepted"),
        (("1", pdf()), ("1", other_pdf()), "accepted"),
    ] {
        let (outcome, documents) = sent(&under_one(&[first.clone(), second.clone()]));
        assert!(
            outcome.starts_with(expected),
            "{first:?} {second:?}: {outcome}"
        );
        let kept = if expected.starts_with("bad") { 0 } else { 2 };
        assert_eq!(documents.len(), kept, "{first:?} {second:?}");
    }
}

#[test]
fn a_document_is_told_from_its_value_where_the_type_does_not_say_so() {
    let pdf = pdf("one");
    let text = STANDARD.encode("bonjour");
    for kind in ["ed", "Ed", "", "ST", "TX", "FT", "RP"] {
        for (value, is_text) in [
            (format!("^^PDF^Base64^{pdf}"), false),
            (format!("^application^PDF^A^{pdf}"), false),
            (pdf.clone(), false),
            (format!("^^TEXT^Base64^{text}"), true),
        ] {
            let (outcome, documents) = sent(&format!("OBX|1|{kind}|CR||{value}||||||F\r"));
            match value.contains("^A^") {
                true => assert_eq!(outcome, "bad-base64 OBX-5.4", "{kind} {value}"),
                false => {
                    assert_eq!(outcome, "accepted obx-type", "{kind} {value}");
                    let expected = if is_text { &text } else { &pdf };
                    assert_eq!(documents, [STANDARD.decode(expected).unwrap()]);
                }
            }
        }
    }
}

#[test]
fn a_document_whose_end_is_missing_is_kept_with_a_warning() {
    for (bytes, is_damaged) in [
        (&b"%PDF-1.4 %%EOF"[..], false),
        (b"%PDF-1.4 %%EO", true),
        (b"\xff\xd8\xff\xe0\0\x10JFIF..\xff\xd9", false),
        (b"\xff\xd8\xff\xe0\0\x10JFIF..", true),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82", false),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0IE", true),
        (b"II*\0\x08\0\0\0", true),
        (b"bonjour", false),
        (b"<?xml version='1.0'?><d:ClinicalDocument xmlns:d='urn:hl7-org:v3'><b/></d:ClinicalDocument>\r\n", false),
        (b"<?xml version='1.0'?><d:ClinicalDocument xmlns:d='urn:hl7-org:v3'><b/></d:ClinicalDocument", true),
        (b"<?xml version='1.0'?><d:ClinicalDocument xmlns:d='urn:hl7-org:v3'><b>", true),
        (b"<?xml version='1.0'?><d:ClinicalDocument xmlns", true),
    ] {
        let (outcome, documents) = sent(&obx("CR", &STANDARD.encode(bytes), "F"));
        let expected = match is_damaged {
            true => "accepted document-damaged",
            false => "accepted",
        };
        assert_eq!(
            (outcome.as_str(), &documents[..]),
            (expected, &[bytes.to_vec()][..])
        );
    }
}

#[test]
fn base64_that_a_separator_cuts_is_refused() {
    let form = STANDARD.encode("<?xml version='1.0'?><d:ClinicalDocument xmlns:d='urn:hl7-org:v3'><b>text of a form</b></d:ClinicalDocument>");
    let text = STANDARD.encode("Compte rendu d'une consultation, en toutes lettres et sans marque");
    for whole in [pdf("one"), form, text] {
        for at in 1..whole.len() {
            let (before, after) = whole.split_at(at);
            for separator in ["^", "|"] {
                let segment =
                    format!("OBX|1|ED|CR||^^PDF^Base64^{before}{separator}{after}||||||F\r");
                let (outcome, documents) = sent(&segment);
                let is_refused = ["bad-base64", "document-type"]
                    .iter()
                    .any(|it| outcome.starts_with(it));
                assert!(is_refused && documents.is_empty(), "{segment}: {outcome}");
                // Without a status that is shifted, what is left may be a unit.
                let segment = format!("OBX|1|ED|CR||^^PDF^Base64^{before}{separator}{after}\r");
                let (outcome, _) = sent(&segment);
                let may_be_a_unit = after.len() % 4 == 0 && after.len() <= 8;
                let is_refused = ["bad-base64", "document-type"]
                    .iter()
                    .any(|it| outcome.starts_with(it));
                assert!(is_refused || may_be_a_unit, "{segment}: {outcome}");
            }
        }
        for behind in [
            "|Ko||||F|F",
            "|mmHg|normal|N||F|F",
            "|10E9/L|||12|S|F",
            "|kUI/m2|||||F",
            "|octets||HH|0||F",
            "|Ko|||||F|20250101",
        ] {
            let (outcome, _) = sent(&format!("OBX|1|ED|CR||^^PDF^Base64^{whole}^{behind}\r"));
            assert_eq!(outcome, "accepted", "{behind}");
        }
        for behind in [
            "|dGV4dGUgZGUg|||||F",
            "||dGV4dGUgZGUg||||F",
            "|||dGV4|||F",
            "||||dGV4||F",
            "|||||dGV4|F",
            "|Ko|||||F|F",
            "|Ko||||||F",
        ] {
            let (outcome, _) = sent(&format!("OBX|1|ED|CR||^^PDF^Base64^{whole}^{behind}\r"));
            assert!(outcome.starts_with("bad-base64"), "{behind}: {outcome}");
        }
    }
}
