//! Cases, notes and documents against each other: what stands together must be one patient's.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{CheckTopic, Findings};
use crate::intake::belonging::{DocumentHolder, MisplacedDocument, Misplacement};
use crate::model::case::Case;
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, DocumentId, FacilityId, Ipp};
use crate::model::note::Note;
use crate::store::{OfPatient, keys};

/// A document of a facility.
type Key = (FacilityId, DocumentId);

/// What was seen so far of records that come in the order of their keys: IPPs that lead elsewhere, what cases list,
/// cases, documents, notes.
#[derive(Default)]
pub struct Belonging {
    led_away: HashSet<(FacilityId, Ipp)>,
    /// What cases list, until the case comes.
    listed: HashMap<(FacilityId, CaseId), Vec<DocumentId>>,
    /// What is in a case, with the case's patient, until the document comes.
    in_cases: HashMap<Key, (DocumentHolder, Option<Ipp>)>,
    /// What is attached to a note, until the note comes.
    on_notes: HashMap<Key, (DocumentHolder, Ipp)>,
    /// All documents that came.
    known: HashSet<Key>,
    wrong: Vec<String>,
}

impl Belonging {
    /// Takes note of a record.
    pub fn take(&mut self, key: &str, value: &RawValue) {
        match key.split_once('/') {
            Some(("alias", rest)) => {
                let facility = rest.split_once('/').map_or(rest, |(facility, _)| facility);
                // What leads to itself holds more than an IPP.
                if read::<Ipp>(value).is_some() {
                    let facility = FacilityId::new(keys::last_word(facility));
                    self.led_away
                        .insert((facility, Ipp::new(keys::last_word(key))));
                }
            }
            Some(("case-document", rest)) => {
                let mut words = rest.split('/').map(keys::last_word);
                if let (Some(facility), Some(case), Some(document)) =
                    (words.next(), words.next(), words.next())
                {
                    let case = (FacilityId::new(facility), CaseId::new(case));
                    let listed = self.listed.entry(case).or_default();
                    listed.push(DocumentId::new(document));
                }
            }
            Some(("case", _)) => self.case(key, read(value)),
            Some(("document", _)) => self.document(key, read(value)),
            Some(("note", _)) => self.note(key, read(value)),
            _ => {}
        }
    }

    /// Tells what was found.
    pub fn check(mut self, findings: &mut Findings) {
        for ((facility, document), (holder, _)) in std::mem::take(&mut self.in_cases) {
            self.misplaced(&facility, &document, holder, Misplacement::Unknown);
        }
        self.wrong.sort();
        for what in self.wrong {
            findings.differs(CheckTopic::Store, what);
        }
    }

    fn case(&mut self, key: &str, case: Option<Case>) {
        let Some(case) = case else { return };
        self.is_kept_where_it_is_found(key, &case);
        let place = (case.facility, case.id);
        for document in self.listed.remove(&place).unwrap_or_default() {
            let in_case = (DocumentHolder::Case(place.1.clone()), case.ipp.clone());
            self.in_cases.insert((place.0.clone(), document), in_case);
        }
    }

    fn document(&mut self, key: &str, document: Option<Document>) {
        let Some(document) = document else { return };
        self.is_kept_where_it_is_found(key, &document);
        let place = (document.facility.clone(), document.id.clone());
        self.known.insert(place.clone());
        let in_case = self.in_cases.remove(&place);
        match document.attached {
            AttachmentPlace::Case(case) => {
                let attached = DocumentHolder::Case(case);
                let wrong = match in_case {
                    Some((holder, _)) if holder != attached => Misplacement::NotHeld,
                    // It is the case's patient's, whoever that is: but somebody's.
                    Some((_, None)) => Misplacement::OtherPatient,
                    Some(_) => return,
                    None => Misplacement::NotHeld,
                };
                self.misplaced(&place.0, &place.1, attached, wrong);
            }
            AttachmentPlace::Note(note) => {
                let waiting = (DocumentHolder::Note(note), document.ipp);
                self.on_notes.insert(place, waiting);
            }
        }
    }

    fn note(&mut self, key: &str, note: Option<Note>) {
        let Some(note) = note else { return };
        self.is_kept_where_it_is_found(key, &note);
        for id in note.documents {
            let place = (note.facility.clone(), id);
            let holder = DocumentHolder::Note(note.id.clone());
            let wrong = match self.on_notes.get(&place) {
                Some((attached, ipp)) if *attached == holder && *ipp != note.ipp => {
                    Misplacement::OtherPatient
                }
                Some(_) => continue,
                None if self.known.contains(&place) => continue,
                None => Misplacement::Unknown,
            };
            self.misplaced(&place.0, &place.1, holder, wrong);
        }
    }

    /// Nobody who asks for the things of a person would find it.
    fn is_kept_where_it_is_found(&mut self, key: &str, record: &impl OfPatient) {
        if let (Some((facility, ipp)), None) = (record.whose(), record.in_case())
            && self.led_away.contains(&(facility.clone(), ipp.clone()))
        {
            self.wrong.push(format!(
                "{key} is kept under an IPP that was merged into another"
            ));
        }
    }

    fn misplaced(
        &mut self,
        facility: &FacilityId,
        document: &DocumentId,
        holder: DocumentHolder,
        wrong: Misplacement,
    ) {
        let misplaced = MisplacedDocument {
            facility: facility.clone(),
            document: document.clone(),
            holder,
            wrong,
        };
        self.wrong.push(misplaced.to_string());
    }
}

/// What cannot be read is told by the comparison with the store.
fn read<T: DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: &[(&str, &str)]) -> Vec<String> {
        let mut belonging = Belonging::default();
        for (key, value) in records {
            let value = RawValue::from_string((*value).to_owned()).unwrap();
            belonging.take(key, &value);
        }
        let mut findings = Findings::default();
        belonging.check(&mut findings);
        findings.differences.into_iter().map(|it| it.what).collect()
    }

    const CASE: &str = r#"{"facility":"f","id":"C","ipp":"A","state":{"state":"unscheduled"}}"#;
    const NOTE: &str =
        r#"{"id":"N","facility":"f","ipp":"A","reason":"no-case","documents":["D"]}"#;

    fn document(ipp: &str, attached: &str) -> String {
        format!(
            r#"{{"facility":"f","ipp":"{ipp}","id":"D","attached":{attached},"kind":"document"}}"#
        )
    }

    #[test]
    fn what_stands_together_is_one_patients() {
        let (in_case, on_note) = (r#"{"case":"C"}"#, r#"{"note":"N"}"#);
        for (case, document_, note, expected) in [
            (true, Some(("A", in_case)), false, None),
            (false, Some(("A", on_note)), true, None),
            (true, Some(("A", in_case)), true, None),
            // It went with its case from B to A.
            (true, Some(("B", in_case)), false, None),
            (
                false,
                Some(("B", on_note)),
                true,
                Some("which is another patient's"),
            ),
            (
                false,
                Some(("A", in_case)),
                false,
                Some("which is not known or does not list it"),
            ),
            (true, None, false, Some("which is not known")),
            (false, None, true, Some("which is not known")),
        ] {
            let document = document_.map(|(ipp, attached)| document(ipp, attached));
            let mut records = Vec::new();
            if case {
                records.extend([("case-document/f/C/D", "\"\""), ("case/f/C", CASE)]);
            }
            records.extend(document.as_deref().map(|it| ("document/f/D", it)));
            records.extend(note.then_some(("note/N", NOTE)));
            let found = found(&records);
            match expected {
                None => assert!(found.is_empty(), "{found:?}"),
                Some(expected) => {
                    assert_eq!(found.len(), 1, "{found:?}");
                    assert!(found[0].contains(expected), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_kept_under_an_ipp_that_leads_elsewhere() {
        let of_case = (
            "case/f/C",
            r#"{"facility":"f","id":"C","ipp":"A","state":{"state":"unscheduled"}}"#,
        );
        let here = ("alias/f/A", r#"{"ipp":"B","ipps":2}"#);
        assert!(found(&[here, of_case]).is_empty());
        let away = ("alias/f/A", r#""B""#);
        assert_eq!(
            found(&[away, of_case]),
            ["case/f/C is kept under an IPP that was merged into another"]
        );
    }

    #[test]
    fn a_case_of_nobody_holds_nothing() {
        let nobodys = r#"{"facility":"f","id":"C","state":{"state":"cancelled"}}"#;
        let document = document("A", r#"{"case":"C"}"#);
        let records = [
            ("case-document/f/C/D", "\"\""),
            ("case/f/C", nobodys),
            ("document/f/D", document.as_str()),
        ];
        let found = found(&records);
        assert!(found[0].contains("which is another patient's"), "{found:?}");
    }
}
