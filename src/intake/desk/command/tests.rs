//! Commands: what each does, and what each refuses.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::*;
use crate::config::Config;
use crate::intake::desk::{decide_sessions, parse, pdf_named};
use crate::intake::testing::{World, outcome_text, session};
use crate::intake::{Order, Redelivery, ReportOrder};
use crate::model::case::CaseState;
use crate::model::date::PartialDate;
use crate::model::document::{
    AttachmentPlace, ContentType, Document, DocumentKind, DocumentVersion,
};
use crate::model::identifiers::{ContentHash, DocumentId, PathwayId, SessionId};
use crate::model::note::NoteReason;
use crate::model::outcome::{Outcome, WarningCode};
use crate::model::patient::Sex;
use crate::model::questionnaire::FilledQuestionnaire;
use crate::model::report::{Batch, Cursor, Report, ReportVersion};
use crate::model::session::SessionState;

const TIME: &str = "2025-04-03T15:00:00Z";

fn demo() -> FacilityId {
    FacilityId::new("demo")
}

/// Two patients; sessions planned, closed and cancelled; a case in each state, and two notes.
fn world() -> World {
    let mut world = World::new();
    let in_state = |id: &str, session: SessionState| Session {
        state: session,
        ..crate::intake::testing::session(id, "2025-04-03", "", "")
    };
    world.put([
        Record::Patient(patient("1")),
        Record::Patient(patient("2")),
        Record::Session(session("S-1", "2025-04-03", "P1", "F1")),
        Record::Session(session("S-2", "2025-04-10", "P1", "F1")),
        Record::Session(in_state("S-CLOSED", SessionState::Closed)),
        Record::Session(in_state("S-OFF", SessionState::Cancelled)),
    ]);
    world.put([
        Record::Case(case("C-NEW", CaseState::Unscheduled)),
        Record::Case(case("C-IN", scheduled("S-1"))),
        Record::Case(case("C-DONE", CaseState::Completed(SessionId::new("S-1")))),
        Record::Case(Case {
            state: CaseState::Cancelled,
            ..Case::unscheduled(&demo(), CaseId::new("C-UNSEEN"))
        }),
        Record::Case(case("C-OFF", CaseState::Cancelled)),
        Record::Note(Note {
            case: None,
            documents: vec![DocumentId::new("D-1")],
            ..note("N-DOC", NoteReason::NoCase)
        }),
        Record::Document(document("D-1", "N-DOC")),
        Record::Note(note("N-CASE", NoteReason::SessionNotFound)),
    ]);
    world.put([Record::Case(Case {
        note: Some(NoteId::new("N-CASE")),
        scheduling_warnings: vec![WarningCode::SessionNotFound, WarningCode::RppsInvalid],
        ..case("C-NEW", CaseState::Unscheduled)
    })]);
    world
}

fn patient(ipp: &str) -> Patient {
    Patient {
        facility: demo(),
        ipp: Ipp::new(ipp),
        authority: None,
        ins: None,
        social_security_number: None,
        birth_name: "DURAND".to_owned(),
        usual_name: "DURAND".to_owned(),
        given_name: "ANNE".to_owned(),
        birth_given_name: None,
        sex: Sex::F,
        birth_date: PartialDate::Year(1979),
        phone: None,
        email: None,
        address: None,
        network: None,
        identity_status: None,
        identity_attributes: Vec::new(),
        physician: None,
        demographics_time: None,
        ins_time: None,
    }
}

fn scheduled(session: &str) -> CaseState {
    CaseState::Scheduled(SessionId::new(session))
}

fn case(id: &str, state: CaseState) -> Case {
    Case {
        ipp: Some(Ipp::new("1")),
        state,
        ..Case::unscheduled(&demo(), CaseId::new(id))
    }
}

fn note(id: &str, reason: NoteReason) -> Note {
    Note {
        id: NoteId::new(id),
        facility: demo(),
        ipp: Ipp::new("1"),
        case: Some(CaseId::new("C-NEW")),
        reason,
        documents: Vec::new(),
    }
}

fn document(id: &str, note: &str) -> Document {
    Document {
        facility: demo(),
        ipp: Ipp::new("1"),
        id: DocumentId::new(id),
        attached: AttachmentPlace::Note(NoteId::new(note)),
        kind: DocumentKind::Document,
        unique_ids: Vec::new(),
        awaits: None,
        latest: None,
        versions: vec![DocumentVersion {
            version: 1,
            file_name: "a.pdf".to_owned(),
            content_type: ContentType::Pdf,
            size: 1,
            sha256: ContentHash::of(b"a"),
            time: None,
        }],
        deleted: false,
        deletion_time: None,
    }
}

/// Decides a command and applies it; a report that it orders is put as the engine would.
fn give_with(world: &mut World, json: &str, pdf: Option<&[u8]>) -> (Outcome, Option<Order>) {
    let commands = parse(json.as_bytes()).unwrap();
    let command = commands.iter().next().unwrap().command;
    let config = Config::demo(Path::new("spool"));
    let context = DeskContext {
        config: &config,
        time: TIME.parse().unwrap(),
        now: DateTime::UNIX_EPOCH,
    };
    let decided = match &command {
        Err(refusal) => Err(refusal.clone().into()),
        Ok(command) => {
            assert_eq!(pdf_named(command).is_some(), json.contains("\"pdf\""));
            decide(command, pdf, &world.view(), &context)
        }
    };
    let (outcome, order) = applied(world, decided);
    if let Some(Order::Report(order)) = &order {
        put_report(world, order);
    }
    (outcome, order)
}

fn applied(world: &mut World, decided: DecisionResult<'static>) -> (Outcome, Option<Order>) {
    match decided {
        Ok(decision) => {
            let mut pending = world.view();
            let changes = pending.apply(&decision.changes).unwrap();
            drop(pending);
            crate::store::apply_all(&world.store, &changes).unwrap();
            world.history.extend(decision.history);
            let outcome = Outcome::Taken {
                verdict: decision.verdict,
                warnings: decision.warnings,
                note: decision.note,
            };
            (outcome, decision.order)
        }
        Err(Stop::Refused(refusal)) => (Outcome::Rejected(refusal), None),
        Err(Stop::View(error)) => panic!("{error}"),
    }
}

fn put_report(world: &mut World, order: &ReportOrder) {
    let known = world.view().report(&demo(), &order.case.id).unwrap();
    let number = order.number;
    let new = || {
        Report::new(
            demo(),
            order.case.id.clone(),
            number,
            order.document_id.clone(),
        )
    };
    let mut report = known.unwrap_or_else(new);
    report.latest = order.version;
    report.waiting += 1;
    let version = report.of(ReportVersion {
        version: order.version,
        sequence: order.sequence,
        time: order.time,
        validated: order.validated,
        file_name: "r.pdf".to_owned(),
        pdf: ContentHash::of(b"r"),
        size: 1,
        message_before: String::new(),
        message_after: String::new(),
        batch: None,
        shows: Some(order.shows.clone()),
        questionnaire: order.questionnaire_number,
        withdrawal: None,
    });
    let cursor = world.view().cursor(&demo()).unwrap();
    world.put([
        Record::Report(report),
        Record::ReportVersion(Box::new(version)),
        Record::Cursor(
            demo(),
            Cursor {
                reports: cursor.reports.max(order.number),
                versions: order.sequence,
                ..cursor
            },
        ),
    ]);
}

/// Fills in the facility, decides the command, and says what became of it.
fn give(world: &mut World, command: &str, keys: &str) -> String {
    let json = format!("{{\"command\":\"{command}\",\"facility\":\"demo\",{keys}}}");
    outcome_text(&give_with(world, &json, None).0)
}

#[test]
fn a_command_is_refused_with_its_reason() {
    for (command, keys, expected) in [
        ("schedule", r#""case":"X","session":"S-1""#, "unknown-case"),
        (
            "schedule",
            r#""case":"C-NEW","session":"X""#,
            "unknown-session",
        ),
        (
            "schedule",
            r#""case":"C-NEW","session":"S-CLOSED""#,
            "session-not-planned",
        ),
        (
            "schedule",
            r#""case":"C-NEW","session":"S-OFF""#,
            "session-not-planned",
        ),
        (
            "schedule",
            r#""case":"C-DONE","session":"S-1""#,
            "case-completed",
        ),
        (
            "schedule",
            r#""case":"C-OFF","session":"S-1""#,
            "bad-command",
        ),
        (
            "schedule",
            r#""case":"C-NEW","ipp":"1","session":"S-1""#,
            "bad-command",
        ),
        (
            "schedule",
            r#""case":"C-NEW","case_id":"Z","session":"S-1""#,
            "bad-command",
        ),
        ("schedule", r#""session":"S-1""#, "bad-command"),
        (
            "schedule",
            r#""ipp":"X","session":"S-1""#,
            "unknown-patient",
        ),
        (
            "schedule",
            r#""ipp":"1","case_id":" ","session":"S-1""#,
            "bad-command",
        ),
        (
            "schedule",
            r#""ipp":"2","case_id":"C-NEW","session":"S-1""#,
            "case-patient-mismatch",
        ),
        ("schedule", r#""note":"X","session":"S-1""#, "unknown-note"),
        (
            "schedule",
            r#""note":"N-CASE","case_id":"Z","session":"S-1""#,
            "bad-command",
        ),
        ("unschedule", r#""case":"X""#, "unknown-case"),
        ("unschedule", r#""case":"C-DONE""#, "case-completed"),
        ("unschedule", r#""case":"C-OFF""#, "bad-command"),
        ("unschedule", r#""case":"C-NEW""#, "duplicate"),
        ("reopen", r#""case":"X""#, "unknown-case"),
        ("reopen", r#""case":"C-UNSEEN""#, "bad-command"),
        ("reopen", r#""case":"C-IN""#, "duplicate"),
        ("reopen", r#""case":"C-NEW""#, "duplicate"),
        ("cancel", r#""case":"X""#, "unknown-case"),
        ("cancel", r#""case":"C-OFF""#, "duplicate"),
        (
            "questionnaire",
            r#""case":"X","sections":[]"#,
            "unknown-case",
        ),
        (
            "questionnaire",
            r#""case":"C-DONE","sections":[]"#,
            "case-completed",
        ),
        (
            "questionnaire",
            r#""case":"C-OFF","sections":[]"#,
            "bad-command",
        ),
        (
            "questionnaire",
            r#""case":"C-UNSEEN","sections":[]"#,
            "bad-command",
        ),
        (
            "questionnaire",
            r#""case":"C-IN","sections":[]"#,
            "duplicate",
        ),
        (
            "questionnaire",
            r#""case":"C-IN","sections":[{"label":"S","entries":[]}]"#,
            "bad-command",
        ),
        (
            "questionnaire",
            r#""case":"C-IN","sections":[{"label":"S","entries":[{"label":"L","value":" "}]}]"#,
            "bad-command",
        ),
        (
            "questionnaire",
            r#""case":"C-IN","sections":[{"label":" ","entries":[{"label":"L","value":"v"}]}]"#,
            "bad-command",
        ),
        (
            "questionnaire",
            r#""case":"C-IN","sections":[{"label":"S","entries":[{"label":"","value":"v"}]}]"#,
            "bad-command",
        ),
        ("attach", r#""note":"X","case":"C-IN""#, "unknown-note"),
        ("attach", r#""note":"N-DOC","case":"X""#, "unknown-case"),
        ("attach", r#""note":"N-CASE","case":"C-IN""#, "bad-command"),
        ("complete", r#""case":"X""#, "unknown-case"),
        (
            "complete",
            r#""case":"C-NEW","decision":"d""#,
            "bad-command",
        ),
        (
            "complete",
            r#""case":"C-OFF","decision":"d""#,
            "bad-command",
        ),
        ("complete", r#""case":"C-IN","pdf":"a.pdf""#, "bad-command"),
        ("redeliver", r#""batch":1"#, "bad-command"),
        (
            "redeliver",
            r#""batch":1,"since":"2025-01-01""#,
            "bad-command",
        ),
        ("redeliver", r#""id":"x""#, "bad-command"),
    ] {
        let mut world = world();
        let before = world.everything();
        assert_eq!(
            give(&mut world, command, keys),
            expected,
            "{command} {keys}"
        );
        assert_eq!(world.everything(), before, "{command} {keys}");
    }
}

#[test]
fn the_facility_must_be_one_of_ours() {
    let mut world = world();
    for json in [
        r#"{"command":"cancel","facility":"other","case":"C-IN"}"#,
        r#"{"command":"redeliver","facility":"","since":"2025-01-01"}"#,
    ] {
        assert_eq!(
            outcome_text(&give_with(&mut world, json, None).0),
            "bad-command"
        );
    }
}

#[test]
fn a_case_is_scheduled_by_hand() {
    let mut world = world();
    let keys = r#""case":"C-NEW","session":"S-2","submitter":{"rpps":"810100094977","family":"A"},"lead":{"rpps":"5"}"#;
    assert_eq!(give(&mut world, "schedule", keys), "updated rpps-invalid");
    let case = world.case("C-NEW").unwrap();
    assert_eq!(case.state, scheduled("S-2"));
    assert_eq!(
        case.submitter.unwrap().known_rpps().unwrap().as_str(),
        "10100094977"
    );
    assert_eq!(case.lead.unwrap().known_rpps().unwrap().as_str(), "5");
    assert_eq!(case.scheduling_warnings, [WarningCode::RppsInvalid]);
    assert_eq!(case.note, None);
    assert!(
        world
            .notes("1")
            .iter()
            .all(|note| note.id.as_str() != "N-CASE")
    );
    assert_eq!(
        give(&mut world, "schedule", r#""case":"C-NEW","session":"S-2""#),
        "duplicate"
    );
    assert_eq!(
        give(&mut world, "schedule", r#""case":"C-NEW","session":"S-1""#),
        "updated"
    );
    assert_eq!(world.case("C-NEW").unwrap().state, scheduled("S-1"));
}

#[test]
fn a_patient_is_inserted_as_a_new_case() {
    let mut world = world();
    let keys = r#""ipp":"2","session":"S-1","lead":{"rpps":"10100094977"}"#;
    assert_eq!(give(&mut world, "schedule", keys), "accepted");
    let made = |world: &World| {
        world
            .view()
            .cases_of_patient(&demo(), &Ipp::new("2"))
            .unwrap()
    };
    let [case] = &made(&world)[..] else { panic!() };
    assert!(case.id.as_str().starts_with("desk-"));
    assert_eq!((case.state.clone(), case.date), (scheduled("S-1"), None));
    assert_eq!(
        give(&mut world, "schedule", keys),
        "duplicate",
        "the same makes the same"
    );
    assert_eq!(
        give(
            &mut world,
            "schedule",
            r#""ipp":"2","case_id":"Z","session":"S-1""#
        ),
        "accepted"
    );
    assert_eq!(made(&world).len(), 2);
    assert_eq!(world.case("Z").unwrap().state, scheduled("S-1"));
}

#[test]
fn a_note_is_scheduled() {
    let mut waiting = world();
    assert_eq!(
        give(
            &mut waiting,
            "schedule",
            r#""note":"N-CASE","session":"S-1""#
        ),
        "updated"
    );
    assert_eq!(waiting.case("C-NEW").unwrap().state, scheduled("S-1"));
    assert_eq!(
        give(
            &mut waiting,
            "schedule",
            r#""note":"N-CASE","session":"S-1""#
        ),
        "unknown-note"
    );

    let mut with_document = world();
    assert_eq!(
        give(
            &mut with_document,
            "schedule",
            r#""note":"N-DOC","session":"S-1""#
        ),
        "accepted"
    );
    let cases = with_document
        .view()
        .cases_of_session(&SessionId::new("S-1"))
        .unwrap();
    let made = cases
        .iter()
        .find(|case| case.id.as_str().starts_with("desk-"))
        .unwrap();
    assert_eq!(
        with_document.documents_of(made.id.as_str()),
        [DocumentId::new("D-1")]
    );
    let document = with_document
        .view()
        .document(&demo(), &DocumentId::new("D-1"))
        .unwrap()
        .unwrap();
    assert_eq!(document.attached, AttachmentPlace::Case(made.id.clone()));
    assert!(
        with_document
            .notes("1")
            .iter()
            .all(|note| note.id.as_str() != "N-DOC")
    );
}

#[test]
fn a_made_case_takes_the_documents_that_wait_for_its_id() {
    let mut world = world();
    let mut waiting = document("D-1", "N-DOC");
    waiting.awaits = Some(CaseId::new("Z"));
    world.put([Record::Document(waiting)]);
    assert_eq!(
        give(
            &mut world,
            "schedule",
            r#""ipp":"1","case_id":"Z","session":"S-1""#
        ),
        "accepted"
    );
    assert_eq!(world.documents_of("Z").len(), 1);
}

#[test]
fn a_case_leaves_its_session_and_comes_back() {
    let mut world = world();
    assert_eq!(
        give(&mut world, "unschedule", r#""case":"C-IN""#),
        "updated"
    );
    let case = world.case("C-IN").unwrap();
    assert_eq!(case.state, CaseState::Unscheduled);
    let note = world
        .view()
        .note(case.note.as_ref().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(
        (note.reason, note.documents.len()),
        (NoteReason::Unscheduled, 0)
    );
    let told = |what: &str| world.history.iter().any(|(_, line)| line == what);
    assert!(told("unscheduled by the desk"), "{:?}", world.history);
    assert!(
        world
            .history
            .iter()
            .all(|(_, what)| !what.contains("session-cancelled"))
    );
    // A case that was cancelled while it waited waits again, and no session was cancelled.
    give(&mut world, "cancel", r#""case":"C-IN""#);
    give(&mut world, "reopen", r#""case":"C-IN""#);
    let waiting = world.case("C-IN").unwrap().note.unwrap();
    let reason = world.view().note(&waiting).unwrap().unwrap().reason;
    assert_eq!(reason, NoteReason::Unscheduled);
    give(&mut world, "schedule", r#""case":"C-IN","session":"S-1""#);
    assert!(world.view().note(&note.id).unwrap().is_none());

    assert_eq!(give(&mut world, "cancel", r#""case":"C-IN""#), "updated");
    assert_eq!(world.case("C-IN").unwrap().state, CaseState::Cancelled);
    assert_eq!(give(&mut world, "reopen", r#""case":"C-IN""#), "updated");
    assert_eq!(world.case("C-IN").unwrap().state, scheduled("S-1"));

    give(&mut world, "cancel", r#""case":"C-IN""#);
    world.put([Record::Session(Session {
        state: SessionState::Cancelled,
        ..session("S-1", "2025-04-03", "P1", "")
    })]);
    assert_eq!(give(&mut world, "reopen", r#""case":"C-IN""#), "updated");
    assert_eq!(world.case("C-IN").unwrap().state, CaseState::Unscheduled);
    let waiting = world.case("C-IN").unwrap().note.unwrap();
    let reason = world.view().note(&waiting).unwrap().unwrap().reason;
    assert_eq!(reason, NoteReason::SessionCancelled);
    assert_eq!(give(&mut world, "cancel", r#""case":"C-DONE""#), "updated");
    assert_eq!(world.case("C-DONE").unwrap().state, CaseState::Cancelled);
    assert_eq!(give(&mut world, "reopen", r#""case":"C-DONE""#), "updated");
    assert_eq!(world.case("C-DONE").unwrap().state, CaseState::Unscheduled);
    assert!(!world.history.is_empty());
}

#[test]
fn documents_are_attached_to_a_case_of_their_patient() {
    let mut world = world();
    world.put([Record::Case(Case {
        ipp: Some(Ipp::new("2")),
        ..case("C-2", CaseState::Unscheduled)
    })]);
    assert_eq!(
        give(&mut world, "attach", r#""note":"N-DOC","case":"C-2""#),
        "case-patient-mismatch"
    );
    assert_eq!(
        give(&mut world, "attach", r#""note":"N-DOC","case":"C-DONE""#),
        "updated"
    );
    assert_eq!(world.documents_of("C-DONE"), [DocumentId::new("D-1")]);
    assert!(
        world
            .notes("1")
            .iter()
            .all(|note| note.id.as_str() != "N-DOC")
    );
    assert_eq!(
        give(&mut world, "attach", r#""note":"N-DOC","case":"C-IN""#),
        "unknown-note"
    );
}

#[test]
fn a_command_with_an_id_is_done_once() {
    let mut world = world();
    let keys = r#""id":"1","case":"C-IN""#;
    assert_eq!(give(&mut world, "unschedule", keys), "updated");
    give(&mut world, "schedule", r#""case":"C-IN","session":"S-1""#);
    assert_eq!(give(&mut world, "unschedule", keys), "duplicate");
    assert_eq!(world.case("C-IN").unwrap().state, scheduled("S-1"));
}

fn ordered(world: &mut World, keys: &str) -> (String, Option<Box<ReportOrder>>) {
    let json = format!("{{\"command\":\"complete\",\"facility\":\"demo\",{keys}}}");
    let (outcome, order) = give_with(world, &json, Some(b"%PDF-1.4 %%EOF"));
    let report = match order {
        Some(Order::Report(report)) => Some(report),
        _ => None,
    };
    (outcome_text(&outcome), report)
}

#[test]
fn completing_makes_versions_of_one_report() {
    let mut world = world();
    let first = r#""case":"C-IN","decision":"d","participants":[{"rpps":"1"}],"items":[{"label":"l","value":"v"}]"#;
    let (told, report) = ordered(&mut world, first);
    assert_eq!(told, "updated");
    let report = report.unwrap();
    assert_eq!((report.number, report.version, report.sequence), (1, 1, 1));
    assert_eq!(report.time, TIME.parse::<DateTime<Utc>>().unwrap());
    assert_eq!(report.session.id, SessionId::new("S-1"));
    let done = world.case("C-IN").unwrap();
    assert_eq!(done.state, CaseState::Completed(SessionId::new("S-1")));
    assert_eq!(done.completion.unwrap().items.len(), 1);

    assert_eq!(ordered(&mut world, first).0, "duplicate");
    let (_, second) = ordered(
        &mut world,
        r#""case":"C-IN","decision":"e","time":"2025-04-04T10:00:00+02:00""#,
    );
    let second = second.unwrap();
    assert_eq!((second.number, second.version, second.sequence), (1, 2, 2));
    assert_eq!(second.document_id, report.document_id);
    assert_eq!(
        second.time,
        "2025-04-04T08:00:00Z".parse::<DateTime<Utc>>().unwrap()
    );

    // It leaves.
    let known = world.view().report(&demo(), &CaseId::new("C-IN"));
    let left = Report {
        left: Some(2),
        waiting: 0,
        ..known.unwrap().unwrap()
    };
    world.put([Record::Report(left)]);
    give(&mut world, "reopen", r#""case":"C-IN""#);
    let (told, none) = ordered(&mut world, r#""case":"C-IN","decision":"e""#);
    assert_eq!(
        (told.as_str(), none.is_none()),
        ("updated", true),
        "no new version"
    );
    assert!(matches!(
        world.case("C-IN").unwrap().state,
        CaseState::Completed(_)
    ));

    world.put([Record::Case(case("C-LATE", scheduled("S-CLOSED")))]);
    let (_, other) = ordered(&mut world, r#""case":"C-LATE","pdf":"a.pdf""#);
    let other = other.unwrap();
    assert_eq!((other.number, other.version, other.sequence), (2, 1, 3));
    assert_ne!(other.document_id, report.document_id);
    assert_eq!(other.pdf.as_deref(), Some(&b"%PDF-1.4 %%EOF"[..]));
    assert_eq!(
        other.completion.pdf,
        Some(ContentHash::of(b"%PDF-1.4 %%EOF"))
    );
}

#[test]
fn the_pdf_must_be_one() {
    let mut world = world();
    let json = r#"{"command":"complete","facility":"demo","case":"C-IN","pdf":"a.pdf"}"#;
    assert_eq!(
        outcome_text(&give_with(&mut world, json, Some(b"bonjour")).0),
        "document-type"
    );
    assert_eq!(
        outcome_text(&give_with(&mut world, json, None).0),
        "bad-command"
    );
}

#[test]
fn a_report_without_decision_is_warned_of() {
    for keys in [
        r#""case":"C-IN""#,
        r#""case":"C-IN","decision":" ","items":[{"label":"l","value":"v"}]"#,
    ] {
        let mut world = world();
        let (told, report) = ordered(&mut world, keys);
        assert_eq!((told.as_str(), report.is_none()), ("bad-command", true));
        let (told, report) = ordered(&mut world, &format!("{keys},\"force\":true"));
        assert_eq!(told, "updated report-incomplete");
        assert!(report.is_some());
    }
}

/// A decision that nobody can see is none, and a report that is cut short leaves only where that is meant.
#[test]
fn what_a_physician_would_sign_unseen_is_asked_about() {
    let mut world = world();
    for decision in [
        "",
        "  ",
        "\\u00a0",
        "\\u200b\\ufeff",
        "\\u00ad \\u2060\\n",
        "\\u2800",
    ] {
        let keys = format!("\"case\":\"C-IN\",\"decision\":\"{decision}\"");
        assert_eq!(give(&mut world, "complete", &keys), "bad-command", "{keys}");
    }
    let with_pdf = |world: &mut World, force: bool, pdf: &[u8]| {
        let json = format!(
            "{{\"command\":\"complete\",\"facility\":\"demo\",\"case\":\"C-IN\",\"pdf\":\"r.pdf\",\"force\":{force}}}"
        );
        give_with(world, &json, Some(pdf)).0
    };
    let cut_short = b"%PDF-1.4\nbegun";
    let refused = with_pdf(&mut world, false, cut_short);
    let refusal = refused.refusal().unwrap();
    assert_eq!(refusal.reason, Reason::BadCommand);
    assert!(refusal.message.contains("`%%EOF`"), "{}", refusal.message);
    assert!(refusal.message.contains("`--force`"), "{}", refusal.message);
    let taken = with_pdf(&mut world, true, cut_short);
    assert_eq!(outcome_text(&taken), "updated document-damaged");
    let whole = with_pdf(&mut world, false, b"%PDF-1.4\nwhole\n%%EOF\n");
    assert_eq!(outcome_text(&whole), "updated");
}

#[test]
fn a_session_that_is_to_come_is_asked_about() {
    // The session is on 2025-04-03 in Paris.
    for (time, expected) in [
        ("2025-04-02T23:59:59+02:00", "bad-command"),
        ("2025-04-02T22:00:00Z", "updated"),
        ("2025-04-03T00:00:00+02:00", "updated"),
        ("2025-04-09T12:00:00Z", "updated"),
    ] {
        let keys = format!(r#""case":"C-IN","decision":"d","time":"{time}""#);
        let mut world = world();
        assert_eq!(ordered(&mut world, &keys).0, expected, "{time}");
        if expected == "bad-command" {
            let forced = format!("{keys},\"force\":true");
            assert_eq!(ordered(&mut world, &forced).0, "updated", "{time}");
        }
    }
}

#[test]
fn what_the_engine_does_is_ordered() {
    let mut world = world();
    world.put([Record::Batch(Batch {
        facility: demo(),
        number: 1,
        file_name: "b.xml".to_owned(),
        time: DateTime::UNIX_EPOCH,
        versions: Vec::new(),
        repeats: false,
    })]);
    for (json, expected) in [
        (
            r#"{"command":"redeliver","facility":"demo","batch":1}"#,
            Some(Redelivery::Batch(1)),
        ),
        (
            r#"{"command":"redeliver","facility":"demo","since":"2025-04-01"}"#,
            Some(Redelivery::Since("2025-03-31T22:00:00Z".parse().unwrap())),
        ),
        (
            r#"{"command":"retry","files":["a.hl7","facilities/demo/error/b.hl7"]}"#,
            None,
        ),
    ] {
        let (outcome, order) = give_with(&mut world, json, None);
        assert_eq!(outcome_text(&outcome), "accepted");
        match (order.unwrap(), expected) {
            (Order::Redeliver { which, .. }, Some(expected)) => assert_eq!(which, expected),
            (Order::Retry { files }, None) => assert_eq!(files.len(), 2),
            (other, _) => panic!("{other:?}"),
        }
    }
    for files in [
        "[]",
        r#"["../a"]"#,
        r#"["/srv/../etc"]"#,
        r#"["a/../../b"]"#,
        r#"[""]"#,
    ] {
        let json = format!("{{\"command\":\"retry\",\"files\":{files}}}");
        assert_eq!(
            outcome_text(&give_with(&mut world, &json, None).0),
            "bad-command",
            "{files}"
        );
    }
}

#[test]
fn cases_that_now_match_one_session_are_found() {
    let mut world = world();
    let asking = |id: &str, date: &str, pathway: &str| {
        Record::Case(Case {
            date: Some(date.parse().unwrap()),
            pathway: Some(PathwayId::new(pathway)),
            ..case(id, CaseState::Unscheduled)
        })
    };
    world.put([
        asking("A", "2025-04-03", "P1"),
        asking("B", "2025-04-03", "F1"),
        asking("C", "2025-04-03", "P9"),
        asking("D", "2025-05-01", "P1"),
    ]);
    let found = |world: &World| -> Vec<(String, String)> {
        matching(&world.view())
            .unwrap()
            .iter()
            .map(|(case, session)| (case.id.to_string(), session.id.to_string()))
            .collect()
    };
    let pair = |case: &str, session: &str| (case.to_owned(), session.to_owned());
    assert_eq!(found(&world), [pair("A", "S-1"), pair("B", "S-1")]);
    let config = Config::demo(Path::new("spool"));
    let context = DeskContext {
        config: &config,
        time: DateTime::UNIX_EPOCH,
        now: DateTime::UNIX_EPOCH,
    };
    let list = b"id,label,date,pathway_id\nS-9,RCP,2025-05-01,P1\nS-8,RCP,2025-04-03,P1\n";
    let decided = decide_sessions(list, &world.view(), &context);
    assert_eq!(
        outcome_text(&applied(&mut world, decided).0),
        "accepted sessions-alike"
    );
    assert_eq!(
        found(&world),
        [pair("B", "S-1"), pair("D", "S-9")],
        "A has two to choose from"
    );
}

#[test]
fn a_form_is_filled_by_hand() {
    let mut world = world();
    let filled = |world: &World| {
        let case = CaseId::new("C-NEW");
        world.view().questionnaire(&demo(), &case).unwrap()
    };
    let entry = |value: &str| {
        format!(
            r#""case":"C-NEW","sections":[{{"code":" S ","label":"Examen","entries":[{{"label":"Poids","value":{value},"unit":"kg"}},{{"label":"Vide","value":""}}]}}]"#
        )
    };
    assert_eq!(give(&mut world, "questionnaire", &entry("70")), "updated");
    assert!(world.case("C-NEW").unwrap().has_questionnaire);
    let first = filled(&world).unwrap();
    assert_eq!((first.number, &first.filled_by), (1, &None));
    let by_hand = first.by_hand.as_ref().unwrap();
    assert_eq!(by_hand.time, TIME.parse::<DateTime<Utc>>().unwrap());
    let section = &first.questionnaire.sections[0];
    assert_eq!(section.code.as_deref(), Some("S"));
    let said: Vec<(&str, &str, &str)> = section
        .statements
        .iter()
        .map(|it| {
            (
                it.label.as_deref().unwrap(),
                it.value.as_deref().unwrap(),
                it.unit.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(said, [("Poids", "70", "kg")]);
    assert_eq!(
        give(&mut world, "questionnaire", &entry("\"70\"")),
        "duplicate"
    );
    // Each takes the place of the one before, which is kept.
    assert_eq!(give(&mut world, "questionnaire", &entry("71")), "updated");
    assert_eq!(
        give(
            &mut world,
            "questionnaire",
            r#""case":"C-NEW","sections":[]"#
        ),
        "updated"
    );
    assert!(!world.case("C-NEW").unwrap().has_questionnaire);
    let last = filled(&world).unwrap();
    assert_eq!((last.number, last.by_hand), (3, None));
    assert!(last.questionnaire.sections.is_empty());
    let former = crate::store::keys::former_questionnaires(&demo(), &CaseId::new("C-NEW"));
    let former: Vec<FilledQuestionnaire> = world.view().all(&former).unwrap();
    let values: Vec<Option<&str>> = former
        .iter()
        .map(|it| it.questionnaire.sections[0].statements[0].value.as_deref())
        .collect();
    assert_eq!(values, [Some("70"), Some("71")]);
    assert!(
        world
            .history
            .iter()
            .any(|(_, what)| what == "questionnaire filled by hand")
    );
}

#[test]
fn a_form_by_hand_has_bounds() {
    let many = |sections: usize, entries: usize, value: usize| {
        let entry = serde_json::json!({ "label": "l", "value": "v".repeat(value) });
        let section = serde_json::json!({ "label": "s", "entries": vec![entry; entries] });
        format!(
            r#""case":"C-NEW","sections":{}"#,
            serde_json::json!(vec![section; sections])
        )
    };
    for (sections, entries, value, expected) in [
        (50, 8, 1, "updated"),
        (51, 1, 1, "bad-command"),
        (40, 10, 1, "updated"),
        (1, 401, 1, "bad-command"),
        (1, 1, 39_998, "updated"),
        (1, 1, 39_999, "bad-command"),
        (1, 2, 20_000, "bad-command"),
    ] {
        let keys = many(sections, entries, value);
        assert_eq!(
            give(&mut world(), "questionnaire", &keys),
            expected,
            "{sections} {entries} {value}"
        );
    }
    for (key, longest) in [("code", 100), ("unit", 100), ("label", 300)] {
        for (length, expected) in [(longest, "updated"), (longest + 1, "bad-command")] {
            let mut entry = serde_json::json!({ "label": "l", "value": "v" });
            entry[key] = "é".repeat(length).into();
            let section = serde_json::json!({ "label": "s", "entries": [entry] });
            let keys = format!(r#""case":"C-NEW","sections":[{section}]"#);
            assert_eq!(
                give(&mut world(), "questionnaire", &keys),
                expected,
                "{key} {length}"
            );
        }
    }
}
