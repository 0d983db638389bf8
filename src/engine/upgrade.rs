//! What an older version wrote, completed: keys that this version asks for and that version did not write.
//!
//! The journal gets them like any other change, so that a rebuild has them too.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::group::Group;
use super::{Engine, EngineError};
use crate::model::change::Record;
use crate::model::document::{AttachmentPlace, Document};
use crate::model::session::Session;
use crate::store::{KeyChange, PendingChanges, keys, to_json};

/// The layout of keys that this version writes. 1: a case's documents are found by keys of their own. 2: they are found
/// by no others, since they have their patient through the case; sessions are found by what cases ask for.
pub(super) const LAYOUT: u32 = 2;
/// How many records are looked at for one group.
const AT_ONCE: usize = 1_000;

impl Engine {
    /// Brings the keys to the present layout, once.
    pub(super) fn upgrade(&mut self) -> Result<(), EngineError> {
        let layout: Option<u32> = PendingChanges::new(&*self.store).get(keys::LAYOUT)?;
        if layout.unwrap_or_default() >= LAYOUT {
            return Ok(());
        }
        self.renew_keys(
            "documents of cases",
            &keys::documents(None),
            keys_of_document,
        )?;
        self.renew_keys("sessions of dates", keys::SESSIONS, keys_of_session)?;
        self.record("layout", vec![layout_change()?])
    }

    /// Changes the keys by which the records below a prefix are found.
    fn renew_keys<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        prefix: &str,
        renewed: impl Fn(T) -> Result<Vec<KeyChange>, EngineError>,
    ) -> Result<(), EngineError> {
        let mut last = String::new();
        loop {
            let some = self.records_after::<T>(prefix, &last)?;
            let Some((key, _)) = some.last() else {
                return Ok(());
            };
            last.clone_from(key);
            let store = Arc::clone(&self.store);
            let mut group = Group::new(&*store);
            let mut changes: Vec<KeyChange> = Vec::new();
            for (_, record) in some {
                changes.append(&mut renewed(record)?);
            }
            group.change(what, changes);
            self.commit(group)?;
        }
    }

    /// Some records whose keys come after this one.
    fn records_after<T: DeserializeOwned>(
        &self,
        prefix: &str,
        last: &str,
    ) -> Result<Vec<(String, T)>, EngineError> {
        let mut found = Vec::new();
        let mut unread = None;
        // No key has a control character.
        let next = format!("{last}\0");
        self.store.scan_from(prefix, &next, &mut |key, value| {
            match serde_json::from_slice(value) {
                Ok(record) => found.push((key.to_owned(), record)),
                Err(error) => unread = Some(format!("{key}: {error}")),
            }
            unread.is_none() && found.len() < AT_ONCE
        })?;
        match unread {
            Some(what) => Err(crate::model::view::ViewError(what).into()),
            None => Ok(found),
        }
    }
}

fn keys_of_document(document: Document) -> Result<Vec<KeyChange>, EngineError> {
    let Document { facility, id, .. } = &document;
    let AttachmentPlace::Case(case) = &document.attached else {
        return Ok(Vec::new());
    };
    let of_case = keys::document_of_case(facility, case, id);
    let of_patient = keys::document_outside_cases(facility, &document.ipp, id);
    Ok(vec![(of_case, Some(to_json("")?)), (of_patient, None)])
}

fn keys_of_session(session: Session) -> Result<Vec<KeyChange>, EngineError> {
    let former = keys::session_by_date(session.date, &session.id);
    let mut changes: Vec<KeyChange> = vec![(former, None)];
    for (key, leads_to) in keys::indices(&Record::Session(session)) {
        changes.push((key, Some(to_json(&leads_to)?)));
    }
    Ok(changes)
}

/// Says that the keys have the present layout.
pub(super) fn layout_change() -> Result<KeyChange, EngineError> {
    Ok((keys::LAYOUT.to_owned(), Some(to_json(&LAYOUT)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::engine::{Arrival, OpenStore};
    use crate::model::identifiers::{CaseId, DocumentId, FacilityId, PathwayId};
    use crate::model::owner::Owner;
    use crate::model::session::SessionKey;
    use crate::model::view::View;
    use crate::spool::fs::Fs;

    #[test]
    fn what_an_older_store_has_is_found_by_the_present_keys() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(Config::demo(&folder.path().join("spool")));
        let inbox = config.facilities[0].dir.join("inbox");
        let open = || Engine::open(Arc::clone(&config), Fs::new(), OpenStore::Sled).unwrap();
        let documents = |engine: &Engine| -> Vec<String> {
            let view = PendingChanges::new(&*engine.store);
            let (facility, case) = (FacilityId::new("demo"), CaseId::new("CASE-77"));
            let found = view.documents_of_case(&facility, &case).unwrap();
            found.into_iter().map(|it| it.id.to_string()).collect()
        };
        let found = |engine: &Engine| -> Vec<String> {
            let view = PendingChanges::new(&*engine.store);
            let (date, id) = ("2031-04-08".parse().unwrap(), PathwayId::new("PATHWAY-1"));
            let sessions = view
                .planned_sessions(date, SessionKey::Pathway, &id, 2)
                .unwrap();
            sessions.into_iter().map(|it| it.id.to_string()).collect()
        };
        let mut engine = open();
        let cda = include_str!("../../fixtures/cda/meeting.xml");
        std::fs::write(inbox.join("meeting.xml"), cda).unwrap();
        let arrival = Arrival {
            owner: Owner::Facility("demo".to_owned()),
            path: "meeting.xml".into(),
        };
        let list = "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n\
                    S-1,RCP,2031-04-08,17:00,PATHWAY-1,,,,,planned\n";
        std::fs::write(config.spool.join("desk/inbox/s.csv"), list).unwrap();
        let of_desk = Arrival {
            owner: Owner::Desk,
            path: "s.csv".into(),
        };
        engine.take_in(vec![of_desk, arrival]).unwrap();
        let before = documents(&engine);
        assert_eq!((before.len(), found(&engine)), (1, vec!["S-1".to_owned()]));

        // As an older version left it.
        let view = PendingChanges::new(&*engine.store);
        let mut former = view.keys("case-document/").unwrap();
        former.extend(view.keys("session-planned/").unwrap());
        former.push(keys::LAYOUT.to_owned());
        let mut older: Vec<KeyChange> = former.into_iter().map(|key| (key, None)).collect();
        let facility = FacilityId::new("demo");
        let document = view.document(&facility, &DocumentId::new(before[0].as_str()));
        let document = document.unwrap().unwrap();
        let of_patient = keys::document_outside_cases(&facility, &document.ipp, &document.id);
        let of_date = "session-date/2031-04-08/S-1".to_owned();
        for key in [&of_patient, &of_date] {
            older.push((key.clone(), Some(to_json("").unwrap())));
        }
        engine.record("an older layout", older).unwrap();
        assert!(documents(&engine).is_empty() && found(&engine).is_empty());
        engine.close().unwrap();

        let engine = open();
        assert_eq!(documents(&engine), before);
        assert_eq!(found(&engine), ["S-1"]);
        for key in [&of_patient, &of_date] {
            assert!(engine.store.get(key).unwrap().is_none(), "{key}");
        }
        engine.close().unwrap();
        std::fs::remove_file(config.spool.join("store/CLEAN")).unwrap();
        assert_eq!(documents(&open()), before, "the journal has them too");
    }
}
