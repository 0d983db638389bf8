//! Lists of sessions: CSV as spreadsheets write it (interface.md 7).
//!
//! A list is taken as a whole or not at all: one wrong cell refuses it, with its line and column. Sessions that a list
//! does not name stay as they are, and so do the data of a known session whose column it does not have.

use std::collections::{BTreeMap, HashMap};

use chrono::{NaiveDate, NaiveTime};

use super::command::leave_session;
use super::csv::{CsvRow, Table, bad_csv, lines_in, place};
use crate::intake::{Decision, DecisionResult, DeskContext};
use crate::model::calendar;
use crate::model::case::CaseState;
use crate::model::change::{Change, Record, Subject};
use crate::model::identifiers::{PathwayId, Rpps, SessionId};
use crate::model::note::NoteReason;
use crate::model::outcome::{Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Physician, PhysicianNumber};
use crate::model::session::{Session, SessionKey, SessionState};
use crate::model::view::{View, ViewError};

/// Of sessions that are alike, so many are named.
const MOST_NAMED: usize = 10;

/// The columns that a list may have.
const COLUMNS: [&str; 10] = [
    "id",
    "label",
    "date",
    "start",
    "pathway_id",
    "family_id",
    "lead_rpps",
    "lead_family",
    "lead_given",
    "state",
];

/// Decides a list of sessions: what is new, what changed, and which cases a cancelled session leaves behind.
pub fn decide_sessions(
    bytes: &[u8],
    view: &dyn View,
    _context: &DeskContext<'_>,
) -> DecisionResult<'static> {
    let table = Table::open(text_of(bytes)?, &COLUMNS, "id")?;
    let mut decision = Decision::unchanged(Verdict::Duplicate);
    let mut lines: HashMap<SessionId, usize> = HashMap::new();
    for row in table.rows {
        let row = Cells(row?);
        let id = SessionId::new(row.required("id")?);
        if let Some(line) = lines.insert(id.clone(), row.0.line) {
            return Err(row
                .refuse(
                    "id",
                    format!("the session stands in line {line} already: name it once"),
                )
                .into());
        }
        let known = view.session(&id)?;
        let session = row.session(id, known.as_ref(), &mut decision.warnings)?;
        if known.as_ref() == Some(&session) {
            continue;
        }
        decision.verdict = match (&known, decision.verdict) {
            (None, _) | (_, Verdict::Accepted) => Verdict::Accepted,
            (Some(_), _) => Verdict::Updated,
        };
        decision.history.push((
            Subject::Session(session.id.clone()),
            what_changed(known.as_ref(), &session),
        ));
        let was_cancelled = known.is_some_and(|known| known.state == SessionState::Cancelled);
        if session.state == SessionState::Cancelled && !was_cancelled {
            for mut case in view.cases_of_session(&session.id)? {
                if matches!(case.state, CaseState::Scheduled(_)) {
                    let reason = NoteReason::SessionCancelled;
                    leave_session(view, &mut decision, &mut case, reason)?;
                    decision.changes.push(Record::Case(case).into());
                }
            }
        }
        decision.changes.push(Record::Session(session).into());
    }
    let alike = warn_of_alike(&decision.changes, &lines, view)?;
    decision.warnings.extend(alike);
    Ok(decision)
}

/// By what a case finds its session: sessions that have it in common on one date cannot be told apart.
fn address(session: &Session) -> Option<(SessionKey, &PathwayId)> {
    let by_pathway = session
        .pathway_id
        .as_ref()
        .map(|id| (SessionKey::Pathway, id));
    by_pathway.or_else(|| {
        session
            .family_id
            .as_ref()
            .map(|id| (SessionKey::Family, id))
    })
}

/// Warns of each planned session that the list changes and that another one on its date is like, naming all of them.
fn warn_of_alike(
    changes: &[Change],
    lines: &HashMap<SessionId, usize>,
    view: &dyn View,
) -> Result<Vec<Warning>, ViewError> {
    let mut changed: BTreeMap<&SessionId, &Session> = BTreeMap::new();
    for change in changes {
        if let Change::Put(Record::Session(session)) = change {
            changed.insert(&session.id, session);
        }
    }
    let mut listed: BTreeMap<(NaiveDate, SessionKey, &PathwayId), Vec<&Session>> = BTreeMap::new();
    for session in changed.values().copied() {
        if let (SessionState::Planned, Some((by, id))) = (session.state, address(session)) {
            let alike = listed.entry((session.date, by, id)).or_default();
            alike.push(session);
        }
    }
    let mut warnings = Vec::new();
    for ((date, by, id), listed) in listed {
        let mut known = view.planned_sessions(date, by, id, usize::MAX)?;
        known.retain(|it| address(it) == Some((by, id)) && !changed.contains_key(&it.id));
        let count = known.len() + listed.len();
        let line = listed.iter().filter_map(|it| lines.get(&it.id)).max();
        let (Some(line), true) = (line, count > 1) else {
            continue;
        };
        let names = known.iter().chain(listed).take(MOST_NAMED);
        let names: Vec<&str> = names.map(|it| it.id.as_str()).collect();
        let names = names.join(", ");
        let more = match count.saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (what, column) = match by {
            SessionKey::Pathway => ("pathway", "pathway_id"),
            SessionKey::Family => ("family", "family_id"),
        };
        let message = format!(
            "expected one planned session of the {what} {id} on {date}, found {names}{more}: cases that ask for it wait, unscheduled, until the desk chooses"
        );
        let warning = Warning::new(WarningCode::SessionsAlike, message);
        warnings.push(warning.at(place(*line, Some(column))));
    }
    Ok(warnings)
}

fn what_changed(known: Option<&Session>, session: &Session) -> String {
    let Some(known) = known else {
        return format!(
            "{} on {}, by the desk's list",
            session.state.word(),
            session.date
        );
    };
    let mut changed = Vec::new();
    if known.state != session.state {
        changed.push(session.state.word().to_owned());
    }
    if known.date != session.date {
        changed.push(format!("moved from {} to {}", known.date, session.date));
    }
    let others = [
        ("label", known.label != session.label),
        ("start", known.start != session.start),
        ("pathway", known.pathway_id != session.pathway_id),
        ("family", known.family_id != session.family_id),
        ("lead", known.lead != session.lead),
    ];
    for (what, _) in others.iter().filter(|(_, differs)| *differs) {
        changed.push(format!("{what} changed"));
    }
    format!("{}, by the desk's list", changed.join(", "))
}

/// The text of a list.
fn text_of(bytes: &[u8]) -> Result<&str, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        bad_csv(
            "expected text in UTF-8, found bytes that are not UTF-8: save the list as \"CSV UTF-8\"",
            lines_in(before),
            None,
        )
    })
}

/// The line of a session.
struct Cells(CsvRow);

impl Cells {
    fn cell(&self, column: &str) -> Option<&str> {
        self.0.cell(column)
    }

    fn required(&self, column: &str) -> Result<&str, Refusal> {
        self.cell(column)
            .filter(|cell| !cell.is_empty())
            .ok_or_else(|| {
                self.refuse(
                    column,
                    format!("expected the {column} of the session, found nothing"),
                )
            })
    }

    /// The cell of a datum that may be empty; where the list has no such column, what is known.
    fn optional<T>(
        &self,
        column: &str,
        known: Option<T>,
        read: impl FnOnce(&str) -> T,
    ) -> Option<T> {
        match self.cell(column) {
            None => known,
            Some("") => None,
            Some(cell) => Some(read(cell)),
        }
    }

    fn session(
        &self,
        id: SessionId,
        known: Option<&Session>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Session, Refusal> {
        let label = match (known, self.cell("label")) {
            (Some(known), None) => known.label.clone(),
            _ => self.required("label")?.to_owned(),
        };
        let date = match (known, self.cell("date")) {
            (Some(known), None) => known.date,
            _ => self.date()?,
        };
        let state = match self.cell("state").unwrap_or_default() {
            "" => known.map_or(SessionState::Planned, |known| known.state),
            cell => self.state(cell)?,
        };
        let known_start = known.and_then(|known| known.start.clone());
        let start = self.optional("start", known_start, str::to_owned);
        if let Some(start) = self.cell("start").filter(|start| !start.is_empty())
            && !is_time(start)
        {
            return Err(self
                .refuse("start", "expected a time such as 14:00, found another text")
                .with_value(start));
        }
        let pathway = |cell: &str| PathwayId::new(cell);
        Ok(Session {
            id,
            label,
            date,
            start,
            pathway_id: self.optional(
                "pathway_id",
                known.and_then(|known| known.pathway_id.clone()),
                pathway,
            ),
            family_id: self.optional(
                "family_id",
                known.and_then(|known| known.family_id.clone()),
                pathway,
            ),
            lead: self.lead(known.and_then(|known| known.lead.as_ref()), warnings),
            state,
        })
    }

    fn date(&self) -> Result<NaiveDate, Refusal> {
        let cell = self.required("date")?;
        // A year of two digits would be read as one of the first century.
        let has_full_year = cell.split(['/', '-']).any(|part| part.len() == 4);
        ["%Y-%m-%d", "%d/%m/%Y"]
            .iter()
            .find_map(|format| NaiveDate::parse_from_str(cell, format).ok())
            .filter(|_| has_full_year)
            .ok_or_else(|| {
                self.refuse(
                    "date",
                    "expected a date such as 2025-04-03 or 03/04/2025, found another text",
                )
                .with_value(cell)
            })
            .and_then(|date| match calendar::has_date(date) {
                true => Ok(date),
                false => {
                    let message = format!("expected {}, found another", calendar::EXPECTED);
                    Err(self.refuse("date", message).with_value(cell))
                }
            })
    }

    fn state(&self, cell: &str) -> Result<SessionState, Refusal> {
        [
            SessionState::Planned,
            SessionState::Closed,
            SessionState::Cancelled,
        ]
        .into_iter()
        .find(|state| state.word().eq_ignore_ascii_case(cell))
        .ok_or_else(|| {
            self.refuse(
                "state",
                "expected planned, closed or cancelled, found another text",
            )
            .with_value(cell)
        })
    }

    fn lead(&self, known: Option<&Physician>, warnings: &mut Vec<Warning>) -> Option<Physician> {
        let known_rpps = known.and_then(Physician::known_rpps).cloned();
        let rpps = self.optional("lead_rpps", known_rpps, Rpps::new);
        let known_family = known.and_then(|lead| lead.family.clone());
        let family = self.optional("lead_family", known_family, str::to_owned);
        let known_given = known.and_then(|lead| lead.given.clone());
        let given = self.optional("lead_given", known_given, str::to_owned);
        if rpps.is_none() && family.is_none() && given.is_none() {
            return None;
        }
        let is_sent = self.cell("lead_rpps").is_some_and(|cell| !cell.is_empty());
        if is_sent && rpps.as_ref().is_some_and(|rpps| !rpps.is_valid()) {
            warnings.push(
                Warning::new(
                    WarningCode::RppsInvalid,
                    "expected an RPPS number of 11 digits with a valid key, found another; it is kept as sent",
                )
                .at(place(self.0.line, Some("lead_rpps"))),
            );
        }
        Some(Physician {
            number: rpps.map(PhysicianNumber::Rpps),
            family,
            given,
        })
    }

    fn refuse(&self, column: &str, message: impl Into<String>) -> Refusal {
        self.0.refuse(column, message)
    }
}

fn is_time(text: &str) -> bool {
    let text = text.replace(['h', 'H'], ":");
    let text = text
        .strip_suffix(':')
        .map_or(text.clone(), |hour| format!("{hour}:00"));
    ["%H:%M", "%H:%M:%S"]
        .iter()
        .any(|format| NaiveTime::parse_from_str(&text, format).is_ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::DateTime;

    use super::*;
    use crate::config::Config;
    use crate::intake::Stop;
    use crate::intake::testing::{World, outcome_text, session};
    use crate::model::case::Case;
    use crate::model::identifiers::{CaseId, FacilityId, Ipp};
    use crate::model::outcome::Outcome;

    const HEADER: &str =
        "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state";

    fn decide(world: &World, list: &[u8]) -> DecisionResult<'static> {
        let config = Config::demo(Path::new("spool"));
        let context = DeskContext {
            config: &config,
            time: DateTime::UNIX_EPOCH,
            now: DateTime::UNIX_EPOCH,
        };
        decide_sessions(list, &world.view(), &context)
    }

    fn import(world: &mut World, list: &[u8]) -> String {
        let outcome = match decide(world, list) {
            Ok(decision) => {
                let changes = world.view().apply(&decision.changes).unwrap();
                crate::store::apply_all(&world.store, &changes).unwrap();
                world.history.extend(decision.history);
                Outcome::Taken {
                    verdict: decision.verdict,
                    warnings: decision.warnings,
                    note: decision.note,
                }
            }
            Err(Stop::Refused(refusal)) => Outcome::Rejected(refusal),
            Err(Stop::View(error)) => panic!("{error}"),
        };
        outcome_text(&outcome)
    }

    fn known(world: &World, id: &str) -> Session {
        world.view().session(&SessionId::new(id)).unwrap().unwrap()
    }

    #[test]
    fn a_list_is_read_as_spreadsheets_write_it() {
        let list = "\u{feff}ID; Label ;date;start;pathway_id;family_id;lead_rpps;lead_family;lead_given;state;;\r\n\
            S-1;\"RCP \"\"Sein\"\";\r\nmatin\";03/04/2025;14:00;P1;F1;810100094977;MARTIN;Zoé;;;\r\n\
            \r\n\
            S-2;RCP 2;2025-04-10;;;;;;;closed\r\n";
        let mut world = World::new();
        assert_eq!(import(&mut world, list.as_bytes()), "accepted");
        let first = known(&world, "S-1");
        assert_eq!(first.label, "RCP \"Sein\";\r\nmatin");
        assert_eq!(first.date.to_string(), "2025-04-03");
        assert_eq!(first.start.as_deref(), Some("14:00"));
        assert_eq!(first.pathway_id, Some(PathwayId::new("P1")));
        assert_eq!(first.family_id, Some(PathwayId::new("F1")));
        let lead = first.lead.unwrap();
        assert_eq!(
            (
                lead.known_rpps().unwrap().as_str(),
                lead.name().unwrap().as_str()
            ),
            ("10100094977", "MARTIN Zoé")
        );
        assert_eq!(first.state, SessionState::Planned);
        let second = known(&world, "S-2");
        assert_eq!(
            (second.start, second.pathway_id, second.lead),
            (None, None, None)
        );
        assert_eq!(second.state, SessionState::Closed);
        assert_eq!(import(&mut world, list.as_bytes()), "duplicate");
    }

    #[test]
    fn a_wrong_cell_refuses_the_whole_list() {
        let good = "S-1,RCP,2025-04-03,14:00,P1,F1,,,,planned";
        for (list, expected) in [
            (String::new(), "bad-csv line 1"),
            (
                "label,date\nRCP,2025-04-03".to_owned(),
                "bad-csv line 1, column id",
            ),
            ("id,labl\nS-1,RCP".to_owned(), "bad-csv line 1, column labl"),
            ("id,label,id\n".to_owned(), "bad-csv line 1, column id"),
            (
                format!("{HEADER}\n{good}\nS-2,RCP,2025-02-30"),
                "bad-csv line 3, column date",
            ),
            (
                format!("{HEADER}\n{good}\nS-2,RCP,04/30/2025"),
                "bad-csv line 3, column date",
            ),
            (
                format!("{HEADER}\n{good}\nS-2,RCP,03/04/25"),
                "bad-csv line 3, column date",
            ),
            (
                format!("{HEADER}\n{good}\nS-2,RCP,"),
                "bad-csv line 3, column date",
            ),
            (
                format!("{HEADER}\n{good}\nS-2,,2025-04-03"),
                "bad-csv line 3, column label",
            ),
            (
                format!("{HEADER}\n{good}\n,RCP,2025-04-03"),
                "bad-csv line 3, column id",
            ),
            (
                format!("{HEADER}\n{good}\n{good}"),
                "bad-csv line 3, column id",
            ),
            (
                format!("{HEADER}\n{good}\nS-2,RCP,2025-04-03,25:00"),
                "bad-csv line 3, column start",
            ),
            (
                format!("{HEADER}\n\n\"S\n-2\",RCP,2025-04-03,,,,,,,gone"),
                "bad-csv line 3, column state",
            ),
            (
                format!("{HEADER}\n\"S\n-2\",RCP,2025-04-03\nS-3,RCP,x"),
                "bad-csv line 4, column date",
            ),
            (
                format!("{HEADER}\r\n{good}\r\nS-2,a,b,c,d,e,f,g,h,i,j"),
                "bad-csv line 3, column 11",
            ),
            (
                format!("{HEADER}\n{good}\n\"S-2,RCP"),
                "bad-csv line 3, column 1",
            ),
        ] {
            let mut world = World::new();
            assert_eq!(import(&mut world, list.as_bytes()), expected, "{list}");
            assert!(world.everything().is_empty(), "{list}");
        }
        let latin = [HEADER.as_bytes(), b"\nS-1,caf\xe9,2025-04-03"].concat();
        assert_eq!(import(&mut World::new(), &latin), "bad-csv line 2");
    }

    #[test]
    fn a_known_session_is_updated_and_keeps_its_cases() {
        let mut world = World::new();
        world.session("S-1", "2025-04-03", "P1", "F1");
        world.put([Record::Case(case(
            "C-1",
            CaseState::Scheduled(SessionId::new("S-1")),
        ))]);
        assert_eq!(import(&mut world, b"date;id\n2025-04-04;S-1"), "updated");
        let expected = session("S-1", "2025-04-04", "P1", "F1");
        assert_eq!(known(&world, "S-1"), expected);
        assert!(world.case("C-1").unwrap().state.session().is_some());
        assert_eq!(
            import(&mut world, b"id,pathway_id,lead_rpps,start\nS-1,,7,14h30"),
            "updated rpps-invalid"
        );
        let session = known(&world, "S-1");
        assert_eq!(
            (session.pathway_id, session.start.as_deref()),
            (None, Some("14h30"))
        );
        assert_eq!(import(&mut world, b"id,lead_rpps\nS-1,"), "updated");
        assert_eq!(known(&world, "S-1").lead, None);
        assert_eq!(world.history.len(), 3);
    }

    #[test]
    fn sessions_that_cannot_be_told_apart_are_named() {
        let header = "id,label,date,pathway_id,family_id,state";
        for (known, list, named) in [
            // Both new, one known, one changed so that it is like the other, and three.
            (
                &[][..],
                "B,b,2025-04-03,P,,\nA,a,2025-04-03,P,,",
                "A, B line 3, column pathway_id",
            ),
            (
                &["K"],
                "B,b,2025-04-03,P1,,",
                "K, B line 2, column pathway_id",
            ),
            (
                &["K", "L"],
                "L,l,2025-04-03,P1,,",
                "K, L line 2, column pathway_id",
            ),
            (
                &["K", "L"],
                "B,b,2025-04-03,P1,,\nL,l,2025-04-03,P1,,",
                "K, B, L line 3, column pathway_id",
            ),
            // A family alone leads to a session that has no pathway.
            (
                &[],
                "A,a,2025-04-03,,F,\nB,b,2025-04-03,,F,",
                "A, B line 3, column family_id",
            ),
            (&[], "A,a,2025-04-03,P,F,\nB,b,2025-04-03,Q,F,", ""),
            // Another date, another state, no way to be found, and nothing that is new.
            (&[], "A,a,2025-04-03,P,,\nB,b,2025-04-04,P,,", ""),
            (&["K"], "B,b,2025-04-03,P1,,closed", ""),
            (&[], "A,a,2025-04-03,,,\nB,b,2025-04-03,,,", ""),
            (&["K"], "K,k,2025-04-05,P1,,\nB,b,2025-04-03,P1,,", ""),
        ] {
            let mut world = World::new();
            for id in known {
                world.session(id, "2025-04-03", "P1", "F1");
            }
            if known.len() == 2 {
                world.session("L", "2025-04-09", "P1", "F1");
            }
            let decided = decide(&world, format!("{header}\n{list}").as_bytes());
            let warnings = decided.unwrap().warnings;
            let said: Vec<String> = warnings
                .iter()
                .filter(|warning| warning.code == WarningCode::SessionsAlike)
                .map(|warning| {
                    let place = &warning.place.as_ref().unwrap().shown;
                    let (_, rest) = warning.message.split_once("found ").unwrap();
                    let (names, _) = rest.split_once(':').unwrap();
                    format!("{names} {place}")
                })
                .collect();
            assert_eq!(said.join(";"), named, "{known:?} {list}");
        }
        let mut many = header.to_owned();
        for number in 10..30 {
            many.push_str(&format!("\nS-{number},s,2025-04-03,P,,"));
        }
        let mut world = World::new();
        let decided = decide(&world, many.as_bytes()).unwrap();
        assert_eq!(decided.warnings.len(), 1);
        assert!(decided.warnings[0].message.contains("S-19 and 10 more:"));
        assert_eq!(
            import(&mut world, many.as_bytes()),
            "accepted sessions-alike"
        );
        assert_eq!(import(&mut world, many.as_bytes()), "duplicate");
    }

    #[test]
    fn a_cancelled_session_leaves_its_cases_on_notes() {
        let mut world = World::new();
        world.session("S-1", "2025-04-03", "P1", "F1");
        let in_session = SessionId::new("S-1");
        world.put([
            Record::Case(case("C-1", CaseState::Scheduled(in_session.clone()))),
            Record::Case(case("C-2", CaseState::Completed(in_session))),
        ]);
        assert_eq!(import(&mut world, b"id,state\nS-1,Cancelled"), "updated");
        let left = world.case("C-1").unwrap();
        assert_eq!(left.state, CaseState::Unscheduled);
        let note = world.view().note(&left.note.unwrap()).unwrap().unwrap();
        assert_eq!(
            (note.reason, note.documents.len()),
            (NoteReason::SessionCancelled, 0)
        );
        assert!(matches!(
            world.case("C-2").unwrap().state,
            CaseState::Completed(_)
        ));
        assert_eq!(import(&mut world, b"id,state\nS-1,planned"), "updated");
        assert_eq!(world.case("C-1").unwrap().state, CaseState::Unscheduled);
    }

    fn case(id: &str, state: CaseState) -> Case {
        Case {
            ipp: Some(Ipp::new("1")),
            state,
            ..Case::unscheduled(&FacilityId::new("demo"), CaseId::new(id))
        }
    }

    #[test]
    fn no_bytes_are_too_strange() {
        use proptest::prelude::*;
        let piece = prop::sample::select(vec![
            "id",
            "label",
            "date",
            "state",
            "start",
            "lead_rpps",
            "S-1",
            "RCP",
            "2025-04-03",
            "03/04/2025",
            "99/99/9999",
            "14:00",
            "closed",
            "cancelled",
            ",",
            ";",
            "\"",
            "\"\"",
            "\n",
            "\r\n",
            "\r",
            " ",
            "é",
            "\0",
            "\u{feff}",
            "",
        ]);
        let list = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
        proptest!(|(text in any::<String>(), list in list)| {
            for list in [text.clone(), list.clone(), format!("id,label,date\n{text}"), format!("id,label,date,state\n{list}")] {
                let mut world = World::new();
                world.session("S-1", "2025-04-03", "P1", "F1");
                let before = world.everything();
                let outcome = import(&mut world, list.as_bytes());
                if let Some(place) = outcome.strip_prefix("bad-csv ") {
                    prop_assert!(place.starts_with("line "), "{}", place);
                    prop_assert_eq!(world.everything(), before);
                } else {
                    let again = import(&mut world, list.as_bytes());
                    prop_assert!(again.starts_with("duplicate"), "{} {}", outcome, again);
                }
            }
        });
    }
}
