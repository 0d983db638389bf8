//! The keys of the store, typed: which key a record has, and by which further keys it is found.
//!
//! A key is words divided by `/`; a `/`, `%` or control character inside a word is written `%xx`. Keys that only
//! lead to others (indices) have an empty JSON string as value, or the id they lead to.

use crate::model::case::CaseState;
use crate::model::change::{HistoryEntry, Record, Subject};
use crate::model::document::AttachmentPlace;
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, FacilityId, Ins, Ipp, NetworkId, NoteId, PathwayId, SessionId,
};
use crate::model::report::ReportVersion;
use crate::model::session::{SessionKey, SessionState};

/// Joins words to a key.
fn key(words: &[&str]) -> String {
    let mut key = String::with_capacity(words.iter().map(|word| word.len() + 1).sum());
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            key.push('/');
        }
        let mut rest = *word;
        while let Some(at) = rest.bytes().position(is_escaped) {
            key.push_str(&rest[..at]);
            key.push_str(&format!("%{:02x}", rest.as_bytes()[at]));
            rest = &rest[at + 1..];
        }
        key.push_str(rest);
    }
    key
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'/' | b'%') || byte.is_ascii_control()
}

/// A prefix that only keys with exactly these first words have.
fn prefix(words: &[&str]) -> String {
    let mut prefix = key(words);
    prefix.push('/');
    prefix
}

/// The last word of a key, as it was given.
pub fn last_word(key: &str) -> String {
    let word = key.rsplit('/').next().unwrap_or_default();
    let mut plain = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 3)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                plain.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

pub fn patient(facility: &FacilityId, ipp: &Ipp) -> String {
    key(&["patient", facility.as_str(), ipp.as_str()])
}

pub fn patients(facility: Option<&FacilityId>) -> String {
    by_facility("patient", facility)
}

/// Where an IPP leads that a merge concerned: to another one, or to itself, with what is known of the person.
pub fn alias(facility: &FacilityId, ipp: &Ipp) -> String {
    key(&["alias", facility.as_str(), ipp.as_str()])
}

/// All IPPs of the facility that a merge concerned.
pub fn aliases(facility: &FacilityId) -> String {
    prefix(&["alias", facility.as_str()])
}

pub fn ins(facility: &FacilityId, ins: &Ins) -> String {
    prefix(&["ins", facility.as_str(), &ins.oid, &ins.value])
}

pub fn network(facility: &FacilityId, network: &NetworkId) -> String {
    key(&["network", facility.as_str(), network.as_str()])
}

pub fn case(facility: &FacilityId, id: &CaseId) -> String {
    key(&["case", facility.as_str(), id.as_str()])
}

pub fn cases(facility: Option<&FacilityId>) -> String {
    by_facility("case", facility)
}

pub fn cases_of_patient(facility: &FacilityId, ipp: &Ipp) -> String {
    prefix(&["patient-case", facility.as_str(), ipp.as_str()])
}

pub fn cases_of_session(session: &SessionId) -> String {
    prefix(&["session-case", session.as_str()])
}

/// The key of the case that a key leads to, which stands below [`cases_of_session`] or [`UNSCHEDULED`].
pub fn case_led_to(prefix: &str, key: &str) -> String {
    // What follows the prefix is the facility and the case, written as in the case's own key.
    format!("case/{}", key.strip_prefix(prefix).unwrap_or_default())
}

/// The cases that wait for a session, of all facilities.
pub const UNSCHEDULED: &str = "unscheduled/";

pub fn session(id: &SessionId) -> String {
    key(&["session", id.as_str()])
}

/// All sessions.
pub const SESSIONS: &str = "session/";

/// The sessions of a date that cases can be put into, by the pathway or family that cases ask for.
pub fn planned_sessions(date: chrono::NaiveDate, by: SessionKey, id: &PathwayId) -> String {
    let date = date.to_string();
    prefix(&["session-planned", &date, by.word(), id.as_str()])
}

/// By which a session was found before there were [`planned_sessions`].
pub fn session_by_date(date: chrono::NaiveDate, id: &SessionId) -> String {
    key(&["session-date", &date.to_string(), id.as_str()])
}

pub fn note(id: &NoteId) -> String {
    key(&["note", id.as_str()])
}

/// All notes.
pub const NOTES: &str = "note/";

pub fn notes_of_patient(facility: &FacilityId, ipp: &Ipp) -> String {
    prefix(&["patient-note", facility.as_str(), ipp.as_str()])
}

pub fn document(facility: &FacilityId, id: &DocumentId) -> String {
    key(&["document", facility.as_str(), id.as_str()])
}

pub fn documents(facility: Option<&FacilityId>) -> String {
    by_facility("document", facility)
}

/// The versions of a document that others have taken the place of.
pub fn former_versions(facility: &FacilityId, document: &DocumentId) -> String {
    prefix(&["document-version", facility.as_str(), document.as_str()])
}

/// The former versions of all documents.
pub const FORMER_VERSIONS: &str = "document-version/";

/// The documents of a patient that are in no case.
pub fn documents_outside_cases(facility: &FacilityId, ipp: &Ipp) -> String {
    prefix(&["patient-document", facility.as_str(), ipp.as_str()])
}

/// Leads from a patient to a document, as only documents outside cases have it.
pub fn document_outside_cases(facility: &FacilityId, ipp: &Ipp, document: &DocumentId) -> String {
    let mut of_patient = documents_outside_cases(facility, ipp);
    of_patient.push_str(&key(&[document.as_str()]));
    of_patient
}

pub fn documents_of_case(facility: &FacilityId, case: &CaseId) -> String {
    prefix(&["case-document", facility.as_str(), case.as_str()])
}

/// Leads from a case to a document that is attached to it.
pub fn document_of_case(facility: &FacilityId, case: &CaseId, document: &DocumentId) -> String {
    key(&[
        "case-document",
        facility.as_str(),
        case.as_str(),
        document.as_str(),
    ])
}

pub fn documents_by_unique_id(facility: &FacilityId, unique_id: &str) -> String {
    prefix(&["document-by-id", facility.as_str(), unique_id])
}

/// The documents of the facility that wait for a case.
pub fn all_documents_awaiting(facility: &FacilityId) -> String {
    prefix(&["awaiting", facility.as_str()])
}

pub fn documents_awaiting(facility: &FacilityId, case: &CaseId) -> String {
    prefix(&["awaiting", facility.as_str(), case.as_str()])
}

pub fn questionnaire(facility: &FacilityId, case: &CaseId) -> String {
    key(&["questionnaire", facility.as_str(), case.as_str()])
}

/// The questionnaires of a case that others have taken the place of, the oldest first.
pub fn former_questionnaires(facility: &FacilityId, case: &CaseId) -> String {
    prefix(&["questionnaire-version", facility.as_str(), case.as_str()])
}

pub fn former_questionnaire(facility: &FacilityId, case: &CaseId, number: u32) -> String {
    format!("{}{number:08}", former_questionnaires(facility, case))
}

pub fn report(facility: &FacilityId, case: &CaseId) -> String {
    key(&["report", facility.as_str(), case.as_str()])
}

pub fn reports(facility: Option<&FacilityId>) -> String {
    by_facility("report", facility)
}

/// The versions of a report, the oldest first.
pub fn report_versions(facility: &FacilityId, case: &CaseId) -> String {
    prefix(&["report-version", facility.as_str(), case.as_str()])
}

pub fn report_version(facility: &FacilityId, case: &CaseId, version: u32) -> String {
    format!("{}{version:010}", report_versions(facility, case))
}

/// The versions of all reports.
pub const REPORT_VERSIONS: &str = "report-version/";

/// Leads to the version with this place in the order of all versions of the facility.
pub fn report_in_sequence(facility: &FacilityId, sequence: u64) -> String {
    key(&[
        "report-order",
        facility.as_str(),
        &format!("{sequence:016}"),
    ])
}

/// A case whose report is outdated.
pub fn outdated_report(facility: &FacilityId, case: &CaseId) -> String {
    key(&["outdated-report", facility.as_str(), case.as_str()])
}

/// The cases of a facility whose reports are outdated.
pub fn outdated_reports(facility: &FacilityId) -> String {
    prefix(&["outdated-report", facility.as_str()])
}

pub fn cursor(facility: &FacilityId) -> String {
    key(&["cursor", facility.as_str()])
}

/// The cursors of all facilities.
pub const CURSORS: &str = "cursor/";

/// Reports and batches of every facility are numbered above this, since those of a journal that was lost may have left.
pub const NUMBERS: &str = "numbers";

/// Why a loss was accepted, until reports and batches are numbered for it.
pub const LOSS: &str = "loss";

pub fn batch(facility: &FacilityId, number: u64) -> String {
    key(&["batch", facility.as_str(), &format!("{number:016}")])
}

pub fn batches(facility: Option<&FacilityId>) -> String {
    by_facility("batch", facility)
}

pub fn applied(facility: &FacilityId, hash: &ContentHash) -> String {
    key(&["applied", facility.as_str(), hash.as_str()])
}

pub fn command_done(id: &str) -> String {
    key(&["command", id])
}

/// Which folder a facility's files are in, by the random id of its marker.
pub fn marker(facility: &str) -> String {
    key(&["marker", facility])
}

/// The markers of all facilities.
pub const MARKERS: &str = "marker/";

/// When retention last removed files, and the first day of `done/` that it kept, as versions wrote it that went by the
/// wall clock alone.
pub const RETENTION: &str = "retention";

/// A refused file of a facility or the desk, by its path below `error/`.
pub fn refused(owner: &str, file: &str) -> String {
    key(&["refused", owner, file])
}

/// All refused files of a facility or the desk.
pub fn refused_of(owner: &str) -> String {
    prefix(&["refused", owner])
}

/// All refused files.
pub const REFUSED: &str = "refused/";

/// A refused file that was put away, by its path below the folder of its facility or the desk.
pub fn discarded(owner: &str, path: &str) -> String {
    key(&["refused-discarded", owner, path])
}

/// All refused files of a facility or the desk that were put away.
pub fn discarded_of(owner: &str) -> String {
    prefix(&["refused-discarded", owner])
}

/// All refused files that were put away.
pub const DISCARDED: &str = "refused-discarded/";

/// Leads to a refused file: the newest comes first.
pub fn refused_newest(sequence: u64, owner: &str, file: &str) -> String {
    let from_the_end = format!("{:016x}", u64::MAX - sequence);
    key(&["refused-newest", &from_the_end, owner, file])
}

/// What is known of a subject of which a facility or the desk has refused files.
pub fn refusals_about(owner: &str, subject: &ContentHash) -> String {
    key(&["refused-about", owner, subject.as_str()])
}

/// All refused files, the newest first.
pub const REFUSED_NEWEST: &str = "refused-newest/";

/// How many refused files of a facility or the desk are remembered.
pub fn refused_count(owner: &str) -> String {
    key(&["refused-count", owner])
}

/// Whether refused files are remembered since the beginning: a spool of an older version has none of them.
pub const REFUSED_KNOWN: &str = "refused-known";

/// The owner of a key below [`REFUSED`] or [`DISCARDED`].
pub fn owner_of_refused(key: &str) -> String {
    let (owner, _) = [REFUSED, DISCARDED]
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .and_then(|words| words.split_once('/'))
        .unwrap_or_default();
    last_word(owner)
}

/// The notice to a facility or the desk about a folder of its inbox.
pub fn notice(owner: &str, folder: &str) -> String {
    key(&["notice", owner, folder])
}

/// All notices.
pub const NOTICES: &str = "notice/";

/// Which keys the store has: see `engine/upgrade.rs`.
pub const LAYOUT: &str = "layout";

/// There where time was counted, and dates in use were noted, before the first file came.
pub const COUNTED_FROM_BEGINNING: &str = "counted-from-beginning";

/// The time that is known to have passed.
pub const ELAPSED: &str = "elapsed";

/// The segments of the journal by the time counted when they had been begun.
pub const JOURNAL_AGES: &str = "journal-ages";

/// All dates that were in use.
pub const DATES_IN_USE: &str = "date-in-use/";

/// When a date was last in use.
pub fn date_in_use(date: chrono::NaiveDate) -> String {
    key(&["date-in-use", &date.to_string()])
}

/// The path of a received file that is too long to stand in the name of its claim.
pub fn long_name(claim: &str) -> String {
    key(&["long-name", claim])
}

/// The outcomes so far of a file whose messages take more than one group.
pub fn progress(claim: &str) -> String {
    prefix(&["progress", claim])
}

pub fn progress_from(claim: &str, first: usize) -> String {
    key(&["progress", claim, &format!("{first:08}")])
}

pub fn history(subject: &Subject) -> String {
    match subject {
        Subject::Case(facility, id) => prefix(&["history", "case", facility.as_str(), id.as_str()]),
        Subject::Patient(facility, ipp) => {
            prefix(&["history", "patient", facility.as_str(), ipp.as_str()])
        }
        Subject::Session(id) => prefix(&["history", "session", id.as_str()]),
        Subject::Note(facility, id) => prefix(&["history", "note", facility.as_str(), id.as_str()]),
    }
}

fn history_entry(entry: &HistoryEntry) -> String {
    format!("{}{:016}", history(&entry.subject), entry.sequence)
}

fn by_facility(kind: &str, facility: Option<&FacilityId>) -> String {
    match facility {
        Some(facility) => prefix(&[kind, facility.as_str()]),
        None => prefix(&[kind]),
    }
}

/// The key of a record.
pub fn of(record: &Record) -> String {
    match record {
        Record::Patient(it) => patient(&it.facility, &it.ipp),
        Record::Alias { facility, ipp, .. } => alias(facility, ipp),
        Record::Person(facility, it) => alias(facility, &it.kept_under),
        Record::Case(it) => case(&it.facility, &it.id),
        Record::Session(it) => session(&it.id),
        Record::Note(it) => note(&it.id),
        Record::Document(it) => document(&it.facility, &it.id),
        Record::FormerVersion(it) => {
            let former = former_versions(&it.facility, &it.document);
            format!("{former}{:08}", it.version.version)
        }
        Record::UniqueId(it) => {
            let mut by_unique_id = documents_by_unique_id(&it.facility, &it.unique_id);
            by_unique_id.push_str(&key(&[it.document.as_str()]));
            by_unique_id
        }
        Record::Questionnaire(it) => questionnaire(&it.facility, &it.case),
        Record::FormerQuestionnaire(it) => former_questionnaire(&it.facility, &it.case, it.number),
        Record::Report(it) => report(&it.facility, &it.case),
        Record::ReportVersion(it) => report_version(&it.facility, &it.case, it.version.version),
        Record::OutdatedReport(facility, case) => outdated_report(facility, case),
        Record::Cursor(facility, _) => cursor(facility),
        Record::Batch(it) => batch(&it.facility, it.number),
        Record::Applied(facility, hash) => applied(facility, hash),
        Record::CommandDone(id) => command_done(id),
        Record::History(entry) => history_entry(entry),
    }
}

/// The keys that stay once a record has brought them: the networks that a facility is known to have.
pub fn lasting(record: &Record) -> Option<String> {
    match record {
        Record::Patient(it) => Some(network(&it.facility, it.network.as_ref()?)),
        _ => None,
    }
}

/// The further keys by which a record is found, each with the word that its value leads to.
pub fn indices(record: &Record) -> Vec<(String, String)> {
    let lead_to = |mut prefix: String, word: &str| {
        prefix.push_str(&key(&[word]));
        (prefix, String::new())
    };
    match record {
        Record::Patient(it) => {
            let ipp = it.ipp.as_str();
            let by_ins = it
                .ins
                .as_ref()
                .map(|number| lead_to(ins(&it.facility, number), ipp));
            by_ins.into_iter().collect()
        }
        Record::Case(it) => {
            let id = it.id.as_str();
            let mut keys = Vec::with_capacity(2);
            if let Some(ipp) = &it.ipp {
                keys.push(lead_to(cases_of_patient(&it.facility, ipp), id));
            }
            if let Some(session) = it.state.session() {
                let mut of_session = cases_of_session(session);
                of_session.push_str(&key(&[it.facility.as_str(), id]));
                keys.push((of_session, String::new()));
            }
            if it.state == CaseState::Unscheduled {
                let words = key(&[it.facility.as_str(), id]);
                keys.push((format!("{UNSCHEDULED}{words}"), String::new()));
            }
            keys
        }
        Record::Session(it) if it.state == SessionState::Planned => {
            [SessionKey::Pathway, SessionKey::Family]
                .into_iter()
                .filter_map(|by| {
                    let asked_for = planned_sessions(it.date, by, it.asked_for(by)?);
                    Some(lead_to(asked_for, it.id.as_str()))
                })
                .collect()
        }
        Record::Note(it) => vec![lead_to(
            notes_of_patient(&it.facility, &it.ipp),
            it.id.as_str(),
        )],
        Record::Document(it) => {
            let id = it.id.as_str();
            // What is in a case is found, and has its patient, through the case: it goes where the case goes.
            let mut keys = vec![match &it.attached {
                AttachmentPlace::Case(case) => {
                    (document_of_case(&it.facility, case, &it.id), String::new())
                }
                AttachmentPlace::Note(_) => {
                    lead_to(documents_outside_cases(&it.facility, &it.ipp), id)
                }
            }];
            for unique_id in &it.unique_ids {
                keys.push(lead_to(documents_by_unique_id(&it.facility, unique_id), id));
            }
            if let (Some(case), AttachmentPlace::Note(_)) = (&it.awaits, &it.attached) {
                keys.push(lead_to(documents_awaiting(&it.facility, case), id));
            }
            keys
        }
        Record::Report(it) => {
            let in_sequence = |version| in_sequence(&it.facility, &it.case, version);
            it.versions.iter().flat_map(in_sequence).collect()
        }
        Record::ReportVersion(it) => in_sequence(&it.facility, &it.case, &it.version).collect(),
        _ => Vec::new(),
    }
}

/// What follows the number of a version where its withdrawal is meant.
pub const WITHDRAWAL: char = 'w';

/// The places of a version and of its withdrawal in the order of the facility, and what each leads to.
fn in_sequence(
    facility: &FacilityId,
    case: &CaseId,
    version: &ReportVersion,
) -> impl Iterator<Item = (String, String)> {
    let case = key(&[case.as_str()]);
    let number = version.version;
    let own = (version.sequence, format!("{number}/{case}"));
    let withdrawal = version.withdrawal.as_ref();
    let withdrawal = withdrawal.map(|it| (it.sequence, format!("{number}{WITHDRAWAL}/{case}")));
    std::iter::once(own)
        .chain(withdrawal)
        .map(|(sequence, leads_to)| (report_in_sequence(facility, sequence), leads_to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_run_into_each_other() {
        let facility = FacilityId::new("demo");
        let key = case(&facility, &CaseId::new("a/b%c\u{1}"));
        assert_eq!(key, "case/demo/a%2fb%25c%01");
        assert_eq!(last_word(&key), "a/b%c\u{1}");
        assert!(
            !case(&facility, &CaseId::new("1/2"))
                .starts_with(&cases_of_patient(&facility, &Ipp::new("1")))
        );
    }
}
