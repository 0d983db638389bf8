//! A facility with a store in memory, for the tests of the flows.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use super::{Context, DecisionResult, DeskContext, Stop, belonging, desk, route};
use crate::cda;
use crate::config::{Config, Facility};
use crate::hl7::Message;
use crate::model::case::Case;
use crate::model::change::{Change, HistoryEntry, Record, Subject};
use crate::model::document::{Document, DocumentVersion};
use crate::model::identifiers::{CaseId, ContentHash, DocumentId, Ipp, PathwayId, SessionId};
use crate::model::note::Note;
use crate::model::outcome::{Outcome, Reason, WarningCode};
use crate::model::patient::Patient;
use crate::model::session::{Session, SessionState};
use crate::model::view::View;
use crate::store::{MemoryStore, PendingChanges, Store, keys};

/// What there is in a test: the demo facility, and what it sent.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) facility: Facility,
    pub(crate) versions: Vec<String>,
    pub(crate) now: DateTime<Utc>,
    /// What was kept under `documents/`.
    pub(crate) contents: BTreeMap<ContentHash, Vec<u8>>,
    /// The histories, in order.
    pub(crate) history: Vec<(Subject, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = Config::demo(Path::new("spool"));
        Self {
            store: MemoryStore::default(),
            facility: config.facilities[0].clone(),
            versions: config.intake.versions.clone(),
            now: DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
            contents: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// A facility as a configuration says, `[[facility]]` and its keys.
    pub(crate) fn configured(facility: &str) -> Self {
        let text = format!("[[facility]]\nid = \"demo\"\n{facility}\n");
        let config = Config::from_text(&text, Path::new("test.toml")).unwrap();
        Self {
            facility: config.facilities[0].clone(),
            ..Self::new()
        }
    }

    /// Takes in a message; segments may be ended by any line end.
    pub(crate) fn receive(&mut self, message: &str) -> Outcome {
        self.receive_bytes(message.as_bytes())
    }

    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) -> Outcome {
        let message = Message::parse(bytes).unwrap();
        let context = Context {
            facility: &self.facility,
            versions: &self.versions,
            future: std::time::Duration::from_secs(86_400),
            now: self.now,
        };
        let pending = PendingChanges::new(&self.store);
        let decided = route::decide(&message, &pending, &context);
        self.settle(decided)
    }

    /// Takes in a CDA document.
    pub(crate) fn receive_cda(&mut self, document: &str) -> Outcome {
        let context = Context {
            facility: &self.facility,
            versions: &self.versions,
            future: std::time::Duration::from_secs(86_400),
            now: self.now,
        };
        let pending = PendingChanges::new(&self.store);
        let bytes = document.as_bytes();
        let decided = match cda::parse(bytes) {
            Ok(cda) => route::decide_cda(bytes, &cda, &pending, &context),
            Err(refusal) => Err(refusal.into()),
        };
        self.settle(decided)
    }

    /// Takes in a command of the desk.
    pub(crate) fn command(&mut self, json: &str) -> Outcome {
        let commands = desk::parse(json.as_bytes()).unwrap();
        let command = commands.iter().next().unwrap().command.unwrap();
        let config = Config::demo(Path::new("spool"));
        let context = DeskContext {
            config: &config,
            time: self.now,
            now: self.now,
        };
        let pending = PendingChanges::new(&self.store);
        let decided = desk::decide(&command, None, &pending, &context);
        self.settle(decided)
    }

    fn settle(&mut self, decided: DecisionResult<'_>) -> Outcome {
        let mut pending = PendingChanges::new(&self.store);
        match decided {
            Ok(decision) => {
                let changes = pending.apply(&decision.changes).unwrap();
                let joined = belonging::joined_wrongly(&pending, &decision.changes).unwrap();
                assert_eq!(joined, None);
                let misplaced = belonging::misplaced(&pending, pending.changed_keys()).unwrap();
                assert_eq!(misplaced, None);
                crate::store::apply_all(&self.store, &changes).unwrap();
                for content in decision.contents {
                    self.contents
                        .insert(content.hash, content.bytes.into_owned());
                }
                self.history.extend(decision.history);
                Outcome::Taken {
                    verdict: decision.verdict,
                    warnings: decision.warnings,
                    note: decision.note,
                }
            }
            Err(Stop::Refused(refusal)) => Outcome::Rejected(refusal),
            Err(Stop::View(error)) => panic!("{error}"),
        }
    }

    /// Puts records into the store.
    pub(crate) fn put(&mut self, records: impl IntoIterator<Item = Record>) {
        let changes: Vec<Change> = records.into_iter().map(Change::from).collect();
        let resolved = PendingChanges::new(&self.store).apply(&changes).unwrap();
        crate::store::apply_all(&self.store, &resolved).unwrap();
    }

    /// Puts the histories into the store, as the engine does with each message.
    pub(crate) fn keep_history(&mut self) {
        let now = self.now;
        let lines: Vec<Record> = (1..)
            .zip(&self.history)
            .map(|(sequence, (subject, what))| {
                Record::History(HistoryEntry {
                    subject: subject.clone(),
                    sequence,
                    time: now,
                    what: what.clone(),
                    file: String::new(),
                    message_type: String::new(),
                })
            })
            .collect();
        self.put(lines);
    }

    /// Adds a planned session.
    pub(crate) fn session(&mut self, id: &str, date: &str, pathway: &str, family: &str) {
        self.put([Record::Session(session(id, date, pathway, family))]);
    }

    pub(crate) fn view(&self) -> PendingChanges<'_> {
        PendingChanges::new(&self.store)
    }

    pub(crate) fn case(&self, id: &str) -> Option<Case> {
        self.view()
            .case(&self.facility.id, &CaseId::new(id))
            .unwrap()
    }

    /// The documents attached to a case, in the order of the view.
    pub(crate) fn documents_of(&self, case: &str) -> Vec<DocumentId> {
        let of_case = self
            .view()
            .documents_of_case(&self.facility.id, &CaseId::new(case));
        of_case.unwrap().into_iter().map(|it| it.id).collect()
    }

    pub(crate) fn patient(&self, ipp: &str) -> Option<Patient> {
        self.view()
            .patient(&self.facility.id, &Ipp::new(ipp))
            .unwrap()
    }

    pub(crate) fn notes(&self, ipp: &str) -> Vec<Note> {
        self.view()
            .notes_of_patient(&self.facility.id, &Ipp::new(ipp))
            .unwrap()
    }

    /// All versions of a document, the oldest first.
    pub(crate) fn versions(&self, document: &Document) -> Vec<DocumentVersion> {
        let former = keys::former_versions(&document.facility, &document.id);
        let mut versions: Vec<DocumentVersion> = self.view().all(&former).unwrap();
        versions.extend(document.versions.iter().cloned());
        versions.sort_by_key(|version| (version.time, version.version));
        versions.extend(document.latest.iter().cloned());
        versions
    }

    /// Everything in the store, to compare one state with another.
    pub(crate) fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        self.store
            .scan("", &mut |key, value| {
                all.push((key.to_owned(), value.to_vec()));
                true
            })
            .unwrap();
        all
    }
}

/// A planned session; an empty pathway or family is none.
pub(crate) fn session(id: &str, date: &str, pathway: &str, family: &str) -> Session {
    let some = |id: &str| (!id.is_empty()).then(|| PathwayId::new(id));
    Session {
        id: SessionId::new(id),
        label: format!("RCP {id}"),
        date: date.parse::<NaiveDate>().unwrap(),
        start: None,
        pathway_id: some(pathway),
        family_id: some(family),
        lead: None,
        state: SessionState::Planned,
    }
}

/// The codes of an outcome's warnings, with the word of its verdict: `accepted ipp-untyped`; or the reason and the
/// place of a refusal: `missing-field PID-5.1`.
pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Taken { warnings, .. } => std::iter::once(outcome.word())
            .chain(
                warnings
                    .iter()
                    .map(|warning| WarningCode::code(warning.code)),
            )
            .collect::<Vec<_>>()
            .join(" "),
        Outcome::Rejected(refusal) => {
            let place = refusal.place.as_ref().map(|place| place.shown.as_str());
            [Some(Reason::code(refusal.reason)), place]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        }
    }
}
