//! Scheduling by CDA R2: a case with its questionnaire is put before a session (interface.md 5 and 9).

mod carried;

use chrono::{DateTime, NaiveDate, Utc};

pub use carried::{EmbeddedDocument, newcomer};
use carried::{answer_to_more, check_carried, of_message};

use super::field_update::FieldUpdate;
use super::identity::ipp::IppRead;
use super::identity::{
    Demographics, RequiredPlaces, address, birth, compare, ins, names, patient, physician, telecom,
};
use super::message_time::{check_time, untidy_time};
use super::scheduling::{self, MessageCopy, SessionMatch};
use super::source_location::SourceLocation;
use super::trail::Trail;
use super::{Content, Context, Decision, DecisionResult, Stop, content, form, made};
use crate::cda::Cda;
use crate::cda::header::{
    CdaHeader, HeaderValue, Identifier, NamePart, PatientRole, Professional, places,
};
use crate::config::{CdaCaseId, Facility};
use crate::hl7::Timestamp;
use crate::model::case::{Case, CaseState, LastCda};
use crate::model::change::{Record, Subject};
use crate::model::document::{
    AttachmentPlace, ContentType, Document, DocumentKind, DocumentVersion, UniqueId,
    VersionStanding,
};
use crate::model::excerpt::LONGEST_TEXT;
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, Ins, Ipp, NetworkId, PathwayId, SessionId,
};
use crate::model::name::GivenNames;
use crate::model::outcome::{Location, Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Authority, Patient, Physician, PhysicianNumber};
use crate::model::questionnaire::{FilledQuestionnaire, Questionnaire, Section, Statement};
use crate::model::session::{SessionKey, SessionState};
use crate::model::view::{View, ViewError};

/// The root of session ids (CI-SIS, FRCP).
const SESSION_ROOT: &str = "1.2.250.1.213.1.1.9";

/// The root of the national ids of meetings (CI-SIS, FRCP).
const MEETING_ROOT: &str = "1.2.250.1.161.1.20.3.1";

/// What every root of an INS starts with, that of the computed INS of former years too.
const INS_ROOT: &str = "1.2.250.1.213.1.4.";

/// How histories name the document.
const BY: &str = "CDA";

/// Decides on a CDA document, of which `bytes` are all that was received: whether it came before, and what becomes of
/// its case.
pub fn decide<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    carried: Option<&EmbeddedDocument<'_>>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = &context.facility.id;
    let hash = cda.hash.clone();
    if let Some(carried) = carried {
        let agrees = check_carried(&cda.header.patient, carried, view, context.facility)?;
        trail.go_on(agrees, || ())?;
    }
    if view.is_applied(facility, &hash)? {
        return Ok(match carried {
            Some(carried) => answer_to_more(&cda.header, carried, view, facility)?,
            None => Decision::unchanged(Verdict::Duplicate),
        });
    }
    let mut decision = decide_new(bytes, cda, carried, view, context, trail)?;
    decision.warnings.extend(untidy_times(&cda.header));
    if decision.verdict.has_effect() {
        let applied = Record::Applied(facility.clone(), hash);
        decision.changes.push(applied.into());
    } else {
        decision.warnings.splice(..0, cda.charset.iter().cloned());
    }
    Ok(decision)
}

/// Warns that texts of the form are too long to be kept whole.
fn warn_of_cut(characters: usize) -> Option<Warning> {
    (characters > 0).then(|| {
        let found = format!(
            "expected at most {LONGEST_TEXT} characters in each text of the form, found {characters} more, which are left out there, and said to be; they stand in the document itself, which is kept whole in its case"
        );
        Warning::new(WarningCode::QuestionnaireCut, found).at(Location::named("component"))
    })
}

/// The times that are read, and not written as HL7 writes them.
fn untidy_times(header: &CdaHeader) -> impl Iterator<Item = Warning> {
    [
        &header.effective_time,
        &header.session_date,
        &header.patient.birth_time,
    ]
    .into_iter()
    .flatten()
    .filter_map(|written| untidy_time(&written.text, written.place))
}

/// A patient as a document makes one who is not known.
fn created(
    facility: &Facility,
    read: &IppRead,
    mut demographics: Demographics,
    network: Option<NetworkId>,
    view: &dyn View,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Patient, Stop> {
    demographics.ins = ins::keep_own_ins(
        demographics.ins,
        |ins| ins::other_with_ins(ins, &read.ipp, view, facility),
        warnings,
    )?;
    demographics.network = network.map_or(FieldUpdate::Absent, FieldUpdate::Given);
    Ok(patient::new_patient(facility, read, demographics, trail)?)
}

/// Decides on a document that did not come before.
fn decide_new<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    carried: Option<&EmbeddedDocument<'_>>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    let header = &cda.header;
    record_document(header, trail);
    trail.go_on(check_code(header, facility), || ())?;
    let found = case_id(header, facility).ok_or_else(|| missing("case id", places::ORDER));
    let time = time(header, context, trail);
    trail.about("case");
    if let Ok((id, place)) = &found {
        let rule = "the first of cda.case_id";
        trail.record("case", id, place.clone(), rule);
    }
    let (id, _) = trail.go_on(found, || (CaseId::new(""), Location::named(places::ORDER)))?;
    let this = LastCda {
        set_id: header.set_id.as_ref().map(Identifier::entity),
        version: trail.go_on(version(header), || None)?,
        time: trail.go_on(time, || None)?,
    };
    let known = view.case(&facility.id, &id)?;
    let last = known.as_ref().and_then(|case| case.cda.as_ref());
    if last.is_some_and(|last| is_older(&this, last)) {
        return Ok(Decision::unchanged(Verdict::Stale));
    }
    let flow = CdaFlow {
        bytes,
        cda,
        facility,
        view,
        this,
        carried,
    };
    flow.schedule(id, known, trail)
}

/// Tells the trail by what a document and its versions are known.
fn record_document(header: &CdaHeader, trail: &mut Trail) {
    trail.about("document");
    if let Some(code) = &header.code {
        trail.record("document_code", &code.text, code.place, "");
    }
    if let Some(title) = &header.title {
        trail.record("title", title, "title", "");
    }
    for (name, id) in [("id", &header.id), ("set_id", &header.set_id)] {
        if let Some(id) = id {
            trail.record(name, id.entity(), id.place, "");
        }
    }
    if let Ok(Some(version)) = version(header) {
        trail.record("version", version, places::VERSION, "");
    }
}

/// The number of this version, where it has one.
fn version(header: &CdaHeader) -> Result<Option<u64>, Refusal> {
    const LAST: u64 = 999_999_999;
    let Some(written) = &header.version_number else {
        return Ok(None);
    };
    let is_number = written.text.bytes().all(|byte| byte.is_ascii_digit());
    match written.text.parse() {
        Ok(version) if is_number && version <= LAST => Ok(Some(version)),
        _ => Err(Refusal::new(
            Reason::Malformed,
            format!("expected a whole number from 0 to {LAST} as the version, found another text"),
        )
        .at(Location::named(written.place))
        .with_value(&written.text)),
    }
}

/// Whether a document is older than the last one of its case (interface.md 5, last paragraph).
fn is_older(this: &LastCda, last: &LastCda) -> bool {
    let same_set = this.set_id.is_some() && this.set_id == last.set_id;
    match (this.version, last.version) {
        (Some(this), Some(last)) if same_set => this < last,
        _ => this
            .time
            .zip(last.time)
            .is_some_and(|(this, last)| this < last),
    }
}

fn check_code(header: &CdaHeader, facility: &Facility) -> Result<(), Refusal> {
    let code = header.code.as_ref().map(|code| code.text.as_str());
    let accepted = &facility.cda.document_codes;
    if code.is_some_and(|code| accepted.iter().any(|accepted| accepted == code)) {
        return Ok(());
    }
    let refusal = Refusal::new(
        Reason::UnsupportedDocument,
        format!(
            "expected a document with the code {}, found {}",
            accepted.join(" or "),
            code.map_or("none", |_| "another")
        ),
    )
    .at(Location::named(places::CODE));
    Err(match code {
        Some(code) => refusal.with_value(code),
        None => refusal,
    })
}

/// The id of the case, and where it stands: the first of the configured places that has one.
pub fn case_id(header: &CdaHeader, facility: &Facility) -> Option<(CaseId, Location)> {
    let found = facility.cda.case_id.iter().find_map(|place| match place {
        CdaCaseId::Order => header.orders.first(),
        CdaCaseId::SetId => header.set_id.as_ref(),
    })?;
    Some((CaseId::new(found.value()), Location::named(found.place)))
}

fn time(
    header: &CdaHeader,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(written) = &header.effective_time else {
        return Ok(None);
    };
    let time = Timestamp::parse(&written.text)
        .map(|time| time.instant(context.facility.timezone))
        .map_err(|error| {
            Refusal::new(Reason::InvalidDate, error.to_string())
                .at(Location::named(written.place))
                .with_value(&written.text)
        });
    let time = time.and_then(|time| check_time(time, context, written.place));
    trail.read("document_time", &time, &written.text, written.place, "");
    time.map(Some)
}

fn missing(name: &str, place: &str) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name}, found nothing"),
    )
    .at(Location::named(place))
}

/// A document about a case that is not ahead of it.
struct CdaFlow<'a, 'm> {
    bytes: &'m [u8],
    cda: &'a Cda,
    facility: &'a Facility,
    view: &'a dyn View,
    this: LastCda,
    carried: Option<&'a EmbeddedDocument<'a>>,
}

impl<'m> CdaFlow<'_, 'm> {
    fn schedule(&self, id: CaseId, known: Option<Case>, trail: &mut Trail) -> DecisionResult<'m> {
        let mut decision = Decision::unchanged(match known {
            None => Verdict::Accepted,
            Some(_) => Verdict::Updated,
        });
        decision.warnings.extend(self.cda.charset.iter().cloned());
        let header = &self.cda.header;
        let asked = CdaRequest::read(header, self.facility, &mut decision.warnings, trail)?;
        trail.about("patient");
        let read = match read_ipp(&header.patient, self.facility, trail) {
            Err(refusal) if refusal.reason == Reason::MissingIpp && self.carried.is_some() => {
                self.carried.map(of_message).ok_or(refusal)
            }
            Err(refusal) if is_named_by_ins_alone(&header.patient) => {
                self.known_by_ins(refusal.reason)?
            }
            read => read,
        };
        let read = trail.go_on(read, no_ipp)?;
        let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
        let mut case = known.unwrap_or_else(|| Case::unscheduled(&self.facility.id, id));
        if let Some(own) = case.ipp.as_ref().filter(|own| **own != ipp) {
            return Err(Refusal::new(
                Reason::CasePatientMismatch,
                format!(
                    "expected the patient {own}, whose case {} is, found {}",
                    case.id, read.ipp
                ),
            )
            .at(read.place)
            .with_value(read.ipp.as_str())
            .into());
        }
        case.ipp = Some(ipp.clone());
        self.check_patient(&mut decision, &mut case, read, ipp, &asked, trail)?;

        if matches!(case.state, CaseState::Completed(_)) {
            // It was discussed: where and when does not change any more.
            let by =
                format!("taken from a {BY} after it was completed: the report may be outdated");
            scheduling::add_history(&mut decision, &case, by);
        } else {
            self.place(&mut decision, &mut case, &asked)?;
        }
        case.submitter = Some(asked.submitter);
        case.lead = Some(asked.lead);
        case.network = asked.network.or(case.network);
        self.fill_questionnaire(&mut decision, &mut case, trail)?;
        if matches!(case.state, CaseState::Scheduled(_) | CaseState::Unscheduled) {
            case.scheduling_warnings = scheduling::codes_of(&decision.warnings);
        }
        scheduling::join_awaiting(self.view, &mut decision, &case)?;
        self.keep_document(&mut decision, &case)?;
        case.cda = Some(self.this.clone());
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// Puts the case before the session that the document asks for; a cancelled one stays so.
    fn place(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        asked: &CdaRequest<'_>,
    ) -> Result<(), ViewError> {
        let mut doubts = Vec::new();
        let (found, pathway) = self.find_session(asked, &mut doubts)?;
        case.date = Some(asked.date);
        case.pathway = Some(pathway);
        if case.state == CaseState::Cancelled {
            decision.warnings.push(
                Warning::new(
                    WarningCode::CaseCancelled,
                    format!(
                        "the case {} is cancelled and stays so; its questionnaire is kept",
                        case.id
                    ),
                )
                .at(Location::named(places::ORDER)),
            );
            return Ok(());
        }
        decision.warnings.append(&mut doubts);
        let file_name = self.file_name(case);
        let received = || MessageCopy {
            content: self.content(),
            content_type: ContentType::Cda,
            file_name,
            time: self.this.time,
            place: Some(Location::named(places::ENCOUNTER)),
        };
        scheduling::place_case(self.view, decision, case, &found, received, BY)
    }

    /// The only patient who is known by the document's INS, if nothing contradicts, as a document of HL7 finds one.
    ///
    /// A document carries an INS only of a verified identity (CI-SIS), so no status is asked for.
    fn known_by_ins(&self, without: Reason) -> Result<Result<IppRead, Refusal>, Stop> {
        let place = SourceLocation::Element(places::PATIENT_ID);
        let patient = &self.cda.header.patient;
        let said = demographics(patient, self.facility, &mut Vec::new(), &mut Trail::off())?;
        let Some(ins) = said.ins.as_given() else {
            let expected = "expected a patient id, or an INS with its key, found neither";
            return Ok(Err(Refusal::new(without, expected).at(place)));
        };
        let known = ins::patients_with_ins(ins, self.view, self.facility)?;
        if let [ipp] = known.as_slice()
            && let Some(patient) = self.view.patient(&self.facility.id, ipp)?
            && compare::compare(&patient, &said.traits()) == compare::Agreement::Same
            && names::known_given_names(&patient).agree_with(&given_names(&self.cda.header.patient))
        {
            return Ok(Ok(IppRead {
                ipp: ipp.clone(),
                authority: patient.authority,
                untyped: false,
                foreign: false,
                place,
            }));
        }
        Ok(Err(Refusal::new(
            Reason::UnknownPatient,
            "expected a known patient: an INS alone counts only where one patient has it, and nothing contradicts",
        )
        .at(place)))
    }

    /// Compares with the known patient, or creates one.
    fn check_patient(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        read: IppRead,
        ipp: Ipp,
        asked: &CdaRequest<'_>,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        let header = &self.cda.header;
        let warnings = &mut decision.warnings;
        let demographics = demographics(&header.patient, self.facility, warnings, trail)?;
        if let Some(patient) = self.view.patient(&self.facility.id, &ipp)? {
            if let Some(ins) = demographics.ins.as_given() {
                let with_ins = ins::patients_with_ins(ins, self.view, self.facility)?;
                let place = Location::named(places::PATIENT_ID);
                ins::check_ins_is_of(&patient, &with_ins, place)?;
            }
            let traits = demographics.traits();
            let place = Location::named(places::NAME);
            let given = traits.given_by("CDA".to_owned());
            if compare::check_identity(&patient, &traits, place, warnings)? {
                case.doubt_identity(given);
            } else if let Some(what) = case.end_doubt(&given) {
                scheduling::add_history(decision, case, what);
            }
            return Ok(());
        }
        let read = IppRead { ipp, ..read };
        let network = asked.network.clone();
        let (view, facility) = (self.view, self.facility);
        let patient = created(
            facility,
            &read,
            demographics,
            network,
            view,
            warnings,
            trail,
        )?;
        decision.history.push((
            Subject::Patient(patient.facility.clone(), patient.ipp.clone()),
            format!("created by {BY}"),
        ));
        decision.changes.push(Record::Patient(patient).into());
        Ok(())
    }

    /// The session that the ids of the encounter lead to, and the pathway of the case (interface.md 5, "Which session").
    fn find_session(
        &self,
        asked: &CdaRequest<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<(SessionMatch, PathwayId), ViewError> {
        for id in asked
            .encounters
            .iter()
            .filter(|id| id.is_under(SESSION_ROOT))
        {
            let Some(session) = self.view.session(&SessionId::new(id.value()))? else {
                continue;
            };
            if session.date != asked.date {
                warnings.push(
                    Warning::new(
                        WarningCode::SessionDateMismatch,
                        format!(
                            "expected the session {} on {}, as the document says, but it is on {}; it is looked for by pathway",
                            session.id, asked.date, session.date
                        ),
                    )
                    .at(Location::named(places::SESSION_DATE)),
                );
            } else if session.state == SessionState::Planned {
                return Ok((
                    SessionMatch::Session(Box::new(session)),
                    PathwayId::new(id.value()),
                ));
            }
        }
        let root = self.facility.cda.pathway_root.as_deref();
        let mut ambiguous = false;
        for by in [SessionKey::Pathway, SessionKey::Family] {
            for id in asked
                .encounters
                .iter()
                .filter(|id| root.is_none_or(|root| id.is_under(root)))
            {
                let id = PathwayId::new(id.value());
                match scheduling::find_by(self.view, asked.date, by, &id)? {
                    SessionMatch::Session(session) => {
                        return Ok((SessionMatch::Session(session), id));
                    }
                    SessionMatch::Ambiguous => ambiguous = true,
                    SessionMatch::NotFound => {}
                }
            }
        }
        let named = asked
            .encounters
            .iter()
            .find(|id| id.is_under(MEETING_ROOT))
            .unwrap_or(asked.first);
        let found = match ambiguous {
            true => SessionMatch::Ambiguous,
            false => SessionMatch::NotFound,
        };
        Ok((found, PathwayId::new(named.value())))
    }

    /// Fills the questionnaire from the body; the former one stays readable.
    fn fill_questionnaire(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        trail: &mut Trail,
    ) -> Result<(), ViewError> {
        let Some(questionnaire) = &self.cda.questionnaire else {
            decision.warnings.push(
                Warning::new(
                    WarningCode::QuestionnaireNotStructured,
                    "expected a structured body (level 3), found none; the questionnaire is not filled",
                )
                .at(Location::named("component")),
            );
            return Ok(());
        };
        record_questionnaire(questionnaire, trail);
        decision.warnings.extend(warn_of_cut(questionnaire.cut));
        let former = self.view.questionnaire(&case.facility, &case.id)?;
        let number = former
            .as_ref()
            .map_or(0, |former| former.number)
            .saturating_add(1);
        let by_hand = former.as_ref().and_then(|former| former.by_hand.clone());
        let (questionnaire, differing) = match &by_hand {
            Some(by_hand) => form::together(questionnaire, &by_hand.sections),
            None => (questionnaire.clone(), 0),
        };
        decision
            .warnings
            .extend(form::warn_of_difference(differing));
        let what = match former {
            Some(former) => {
                let what = match former.filled_by {
                    Some(_) => "replaced",
                    None => "completed",
                };
                let former = Record::FormerQuestionnaire(Box::new(former));
                decision.changes.push(former.into());
                what
            }
            None => "filled",
        };
        scheduling::add_history(decision, case, format!("questionnaire {what} by {BY}"));
        // Nothing is compared with it before the case was completed.
        let is_reported = case.completion.is_some();
        case.form = is_reported.then(|| questionnaire.hash());
        let filled = FilledQuestionnaire {
            facility: case.facility.clone(),
            case: case.id.clone(),
            number,
            filled_by: Some(self.cda.hash.clone()),
            time: self.this.time,
            by_hand,
            questionnaire,
        };
        decision
            .changes
            .push(Record::Questionnaire(Box::new(filled)).into());
        case.people = self.cda.people.clone();
        case.has_questionnaire = true;
        Ok(())
    }

    /// The received document.
    fn content(&self) -> Content<'m> {
        Content {
            hash: self.cda.hash.clone(),
            bytes: self.bytes.into(),
        }
    }

    /// Keeps the received document in the case, as the next version of the one with its ids.
    fn keep_document(&self, decision: &mut Decision<'m>, case: &Case) -> Result<(), ViewError> {
        let Some(ipp) = case.ipp.clone() else {
            return Ok(());
        };
        let header = &self.cda.header;
        let ids: Vec<String> = [&header.set_id, &header.id]
            .into_iter()
            .flatten()
            .map(Identifier::entity)
            .collect();
        let carried = self.carried.map_or(&[][..], |carried| carried.ids);
        let hash = self.cda.hash.clone();
        let mut document = match self.known_document(ids.first(), &ipp, case, decision)? {
            Some(known) => known,
            None => self.document_of_case(case, ipp, ids.first(), &hash)?,
        };
        let is_new = self.view.document(&case.facility, &document.id)?.is_none();
        let ids = ids.into_iter().chain(carried.iter().cloned());
        decision.put(ids.map(|unique_id| {
            Record::UniqueId(UniqueId {
                facility: document.facility.clone(),
                unique_id,
                document: document.id.clone(),
            })
        }));
        document.deleted = false;
        document.deletion_time = None;
        let current = document.current();
        if current.is_none_or(|current| current.sha256 != hash) {
            let former = document.add(VersionStanding::Latest, |version| DocumentVersion {
                version,
                file_name: self.file_name(case),
                content_type: ContentType::Cda,
                size: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
                sha256: hash.clone(),
                time: self.this.time,
            });
            decision.put(former.into_iter().map(Record::FormerVersion));
        }
        // The note of a case without session keeps the same bytes.
        if decision.contents.iter().all(|content| content.hash != hash) {
            decision.contents.push(self.content());
        }
        if matches!(document.attached, AttachmentPlace::Case(_)) {
            if is_new {
                scheduling::add_history(decision, case, format!("document {} joined", document.id));
            }
            decision.changes.push(Record::Document(document).into());
            return Ok(());
        }
        scheduling::join(self.view, decision, case, vec![document])
    }

    /// The document that a case keeps under this unique id, or under the hash of its content where it has none: the one
    /// that is there, else a new one. A document that went into another case since is another one.
    fn document_of_case(
        &self,
        case: &Case,
        ipp: Ipp,
        unique_id: Option<&String>,
        hash: &ContentHash,
    ) -> Result<Document, ViewError> {
        let key = unique_id.map_or(hash.as_str(), String::as_str);
        let key = format!("{}\n{key}", case.id);
        let attached = AttachmentPlace::Case(case.id.clone());
        let known = |id: &str| self.view.document(&case.facility, &DocumentId::new(id));
        let sent_in = || hash.to_string();
        let id = made::own_id("cda", &case.facility, &key, sent_in, |id| {
            Ok(known(id)?.is_none_or(|known| {
                known.kind == DocumentKind::Document
                    && known.attached == attached
                    && known.ipp == ipp
            }))
        })?;
        Ok(match known(&id)? {
            Some(known) => known,
            None => Document::new(
                case.facility.clone(),
                ipp,
                DocumentId::new(id),
                attached,
                DocumentKind::Document,
            ),
        })
    }

    /// The document of this patient that answers to the id, if it is in this case or on a note.
    fn known_document(
        &self,
        unique_id: Option<&String>,
        ipp: &Ipp,
        case: &Case,
        decision: &mut Decision<'m>,
    ) -> Result<Option<Document>, ViewError> {
        let answering = match unique_id {
            Some(unique_id) => self
                .view
                .documents_by_unique_id(&case.facility, unique_id)?,
            None => Vec::new(),
        };
        let (mut answering, others): (Vec<Document>, Vec<Document>) = answering
            .into_iter()
            .partition(|document| document.ipp == *ipp);
        // Else it is the next version of what the message says.
        let is_cda = |known: &&Document| {
            let current = known.current();
            current.is_none_or(|current| current.content_type == ContentType::Cda)
        };
        if answering.is_empty()
            && let Some(known) = self.carried.and_then(|carried| carried.known.as_ref())
        {
            answering.extend(Some(known).filter(is_cda).cloned());
        }
        if !others.is_empty() {
            decision.warnings.push(
                Warning::new(
                    WarningCode::DocumentIdReused,
                    "expected a unique id of the document's own, found one that another patient's document has",
                )
                .at(Location::named(places::SET_ID)),
            );
        }
        let mut found: Option<Document> = None;
        for document in answering {
            // It may have joined by this very decision.
            let document = decision.document(&document.id).cloned().unwrap_or(document);
            let is_here = document.attached == AttachmentPlace::Case(case.id.clone());
            let is_free = matches!(document.attached, AttachmentPlace::Note(_));
            let is_document = document.kind == DocumentKind::Document;
            if is_document && (is_here || is_free && found.is_none()) {
                let is_better = found.as_ref().is_none_or(|found| {
                    found.deleted || matches!(found.attached, AttachmentPlace::Note(_))
                });
                if is_better {
                    found = Some(document);
                }
            }
        }
        Ok(found)
    }

    fn file_name(&self, case: &Case) -> String {
        if let Some(carried) = self.carried {
            return carried.file_name.to_owned();
        }
        content::display_name(&format!("CDA_{}", case.id), ContentType::Cda)
    }
}

/// Tells the trail how much the form says: all of it is shown once the case is known.
fn record_questionnaire(questionnaire: &Questionnaire, trail: &mut Trail) {
    trail.about("questionnaire");
    let sections = questionnaire
        .sections
        .iter()
        .map(count_sections)
        .sum::<usize>();
    trail.record("sections", sections, places::BODY, "");
    let statements = questionnaire
        .sections
        .iter()
        .map(count_statements)
        .sum::<usize>();
    trail.record("statements", statements, places::BODY, "");
    for (number, section) in (1..).zip(&questionnaire.sections) {
        let title = section.title.as_deref().or(section.label.as_deref());
        trail.record(
            "section",
            title.unwrap_or_default(),
            format!("{}/component[{number}]/section", places::BODY).as_str(),
            format_args!(
                "code {}, {} statements",
                section.code.as_deref().unwrap_or("none"),
                count_statements(section)
            ),
        );
    }
}

fn count_sections(section: &Section) -> usize {
    section
        .sections
        .iter()
        .map(count_sections)
        .sum::<usize>()
        .saturating_add(1)
}

fn count_statements(section: &Section) -> usize {
    fn nested(statements: &[Statement]) -> usize {
        statements
            .iter()
            .map(|statement| nested(&statement.statements).saturating_add(1))
            .sum()
    }
    let below: usize = section.sections.iter().map(count_statements).sum();
    nested(&section.statements).saturating_add(below)
}

/// What the document asks for, in the order of the table in interface.md 5.
struct CdaRequest<'h> {
    submitter: Physician,
    lead: Physician,
    network: Option<NetworkId>,
    encounters: &'h [Identifier],
    /// The first of the encounter's ids.
    first: &'h Identifier,
    date: NaiveDate,
}

impl<'h> CdaRequest<'h> {
    fn read(
        header: &'h CdaHeader,
        facility: &Facility,
        warnings: &mut Vec<Warning>,
        trail: &mut Trail,
    ) -> Result<Self, Refusal> {
        let submitter = physician(
            header.submitter.as_ref(),
            ("submitter", "RPPS of the physician who submits the case"),
            places::SUBMITTER,
            warnings,
            trail,
        )?;
        let lead = physician(
            header.lead.as_ref(),
            ("lead", "RPPS of the lead physician"),
            places::LEAD,
            warnings,
            trail,
        )?;
        let network = network(header, facility);
        if let Some(network) = &network {
            let rule = "the id with the root cda.network_root";
            trail.record("network", network, places::ORGANIZATION, rule);
        }
        for id in &header.encounters {
            let (name, rule) = match id.is_under(SESSION_ROOT) {
                true => ("session", "tried first, as session id"),
                false => (
                    "pathway",
                    "tried in this order, as pathway id, then as family id",
                ),
            };
            trail.record(name, id.value(), id.place, rule);
        }
        let first = header
            .encounters
            .first()
            .ok_or_else(|| missing("id of a pathway, family or session", places::ENCOUNTER));
        let first = trail.go_on(first, || &NO_IDENTIFIER)?;
        let date = session_date(header.session_date.as_ref(), trail);
        Ok(Self {
            submitter,
            lead,
            network: network.map(NetworkId::new),
            encounters: &header.encounters,
            first,
            date: trail.go_on(date, NaiveDate::default)?,
        })
    }
}

/// The patient's network, as the document names it.
fn network(header: &CdaHeader, facility: &Facility) -> Option<String> {
    let root = facility.cda.network_root.as_deref();
    let mut ids = header.patient.organizations.iter();
    ids.find(|id| root.is_some_and(|root| id.is_under(root)))
        .and_then(|id| id.extension.clone())
}

/// What stands in for an id that is not there.
static NO_IDENTIFIER: Identifier = Identifier {
    root: None,
    extension: None,
    authority: None,
    place: places::ENCOUNTER,
};

/// Reads a physician, who has a name for the trail and one in words.
fn physician(
    person: Option<&Professional>,
    (name, what): (&str, &str),
    place: &'static str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Physician, Refusal> {
    let place = person.map_or(place, |person| person.place);
    let Some((person, number)) = person.and_then(|it| Some((it, it.rpps.as_deref()?))) else {
        return trail.go_on(Err(missing(what, place)), physician::nobody);
    };
    let number = physician::national_number(number);
    match &number {
        PhysicianNumber::Rpps(rpps) => trail.record(name, rpps, person.place, ""),
        PhysicianNumber::Other(other) => {
            let name = format_args!("{name}_number");
            trail.record(name, &other.value, person.place, &other.kind);
        }
    }
    for (part, text) in [("family", &person.family), ("given", &person.given)] {
        if let Some(text) = text {
            let place = format!("{}/{part}", person.name_place);
            trail.record(format_args!("{name}_{part}"), text, place.as_str(), "");
        }
    }
    match &number {
        PhysicianNumber::Rpps(rpps) => {
            physician::warn_of_rpps(rpps, Location::named(place), warnings);
        }
        PhysicianNumber::Other(_) => physician::warn_of_no_rpps(Location::named(place), warnings),
    }
    Ok(Physician {
        number: Some(number),
        family: person.family.clone(),
        given: person.given.clone(),
    })
}

/// The calendar date as written, never shifted.
fn session_date(written: Option<&HeaderValue>, trail: &mut Trail) -> Result<NaiveDate, Refusal> {
    let written = written.ok_or_else(|| missing("date of the session", places::SESSION_DATE))?;
    let date = scheduling::read_session_date(&written.text).map_err(|refusal| {
        refusal
            .at(Location::named(written.place))
            .with_value(&written.text)
    });
    let rule = match written.place {
        places::EVENT_DATE => "fallback: that of the documented act with code 39",
        _ => "",
    };
    trail.read("session_date", &date, &written.text, written.place, rule);
    date
}

/// Reads the facility's patient id (interface.md 5): that with the facility's root, else the only one that is no INS.
fn read_ipp(
    patient: &PatientRole,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<IppRead, Refusal> {
    let place = SourceLocation::Element(places::PATIENT_ID);
    let candidates: Vec<(&Identifier, &str)> = patient
        .ids
        .iter()
        .filter(|id| match (&facility.ipp_oid, &id.root) {
            (Some(own), _) => id.is_under(own),
            (None, Some(root)) => !root.starts_with(INS_ROOT),
            (None, None) => true,
        })
        .filter_map(|id| Some((id, id.extension.as_deref()?)))
        .collect();
    let Some((chosen, value)) = candidates.first() else {
        return Err(Refusal::new(
            Reason::MissingIpp,
            match &facility.ipp_oid {
                Some(own) => format!("expected a patient id with the root {own}, found none"),
                None => "expected a patient id besides the INS, found none".to_owned(),
            },
        )
        .at(place));
    };
    if candidates.iter().any(|(_, other)| other != value) {
        return Err(Refusal::new(
            Reason::AmbiguousIpp,
            match &facility.ipp_oid {
                Some(own) => format!("expected one patient id with the root {own}, found several that differ"),
                None => "expected one patient id besides the INS, found several that differ, and no ipp_oid says which is the facility's".to_owned(),
            },
        )
        .at(place));
    }
    let authority = Authority {
        namespace: chosen.authority.clone().unwrap_or_default(),
        universal_id: chosen.root.clone().unwrap_or_default(),
        universal_id_type: if chosen.root.is_some() { "ISO" } else { "" }.to_owned(),
    };
    let rule = match &facility.ipp_oid {
        Some(_) => "the id with the root ipp_oid",
        None => "the only id that is no INS",
    };
    trail.record("ipp", value, chosen.place, rule);
    if let Some(root) = &chosen.root {
        trail.record("ipp_authority", root, chosen.place, "the root of that id");
    }
    Ok(IppRead {
        ipp: Ipp::new(*value),
        authority: (authority != Authority::default()).then_some(authority),
        untyped: false,
        foreign: false,
        place,
    })
}

/// All given names that the document gives its patient, to be compared.
fn given_names(patient: &PatientRole) -> GivenNames {
    let mut names = GivenNames::default();
    for (number, part) in patient.given.iter().enumerate() {
        names.add(&part.text, number == 0 || !part.qualifiers.is_empty());
    }
    names
}

/// Whether the patient has an INS and no other id.
fn is_named_by_ins_alone(patient: &PatientRole) -> bool {
    let mut ids = patient
        .ids
        .iter()
        .filter(|id| id.extension.is_some())
        .peekable();
    ids.peek().is_some()
        && ids.all(|id| {
            id.root
                .as_deref()
                .is_some_and(|root| root.starts_with(INS_ROOT))
        })
}

/// What stands in for a patient id that is not there.
fn no_ipp() -> IppRead {
    IppRead {
        ipp: Ipp::new(""),
        authority: None,
        untyped: false,
        foreign: false,
        place: SourceLocation::Element(places::PATIENT_ID),
    }
}

/// Reads everything that the document says about the patient, in the order of the table in interface.md 5.
fn demographics(
    patient: &PatientRole,
    facility: &Facility,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Demographics, Refusal> {
    // A text, and the rule by which it is the one.
    type NameChoice<'p> = Option<(&'p str, &'static str)>;
    let qualified = |parts, qualifier, rule| -> NameChoice<'_> {
        NamePart::qualified(parts, qualifier).map(|text| (text, rule))
    };
    let birth_given_name = qualified(&patient.given, "BR", "qualifier BR");
    let given_name = qualified(&patient.given, "CL", "qualifier CL")
        .or(birth_given_name)
        .or_else(|| Some((patient.given.first()?.text.as_str(), "the first given name")));
    let birth_name =
        qualified(&patient.family, "BR", "qualifier BR").or(match patient.family.as_slice() {
            [only] if only.qualifiers.is_empty() => Some((
                only.text.as_str(),
                "the only family name, without qualifier",
            )),
            _ => None,
        });
    let usual_name = qualified(&patient.family, "CL", "qualifier CL")
        .or_else(|| qualified(&patient.family, "SP", "qualifier SP"));
    let mut given = |name: &str, place: &str, chosen: NameChoice<'_>| match chosen {
        Some((text, rule)) => {
            trail.record(name, text, place, rule);
            FieldUpdate::Given(text.to_owned())
        }
        None => FieldUpdate::Absent,
    };
    let given_name = given("given_name", places::GIVEN, given_name);
    let birth_given_name = given("birth_given_name", places::GIVEN, birth_given_name);
    let usual = given("usual_name", places::FAMILY, usual_name);
    if let (None, Some((name, _))) = (usual_name, birth_name) {
        trail.record(
            "usual_name",
            name,
            places::FAMILY,
            "no qualifier CL or SP: the birth name",
        );
    }
    let birth_name = match birth_name {
        Some((name, rule)) => {
            trail.record("birth_name", name, places::FAMILY, rule);
            FieldUpdate::Given(name.to_owned())
        }
        None => FieldUpdate::Absent,
    };
    Ok(Demographics {
        ins: ins(patient, warnings, trail),
        social_security_number: FieldUpdate::Absent,
        given_name,
        birth_given_name,
        birth_name,
        usual_name: usual,
        sex: match &patient.gender {
            Some(code) => {
                trail.record("sex", &code.text, code.place, "");
                let sex = birth::read_sex(&code.text, Location::named(code.place));
                trail.go_on(sex.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        birth_date: match &patient.birth_time {
            Some(time) => {
                let date = birth::read_birth_date(&time.text, Location::named(time.place));
                trail.read("birth_date", &date, &time.text, time.place, "");
                trail.go_on(date.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        phone: match phone(patient) {
            Some((number, rule)) => {
                let phone = telecom::read_phone(number, &facility.region, places::TELECOM);
                trail.read("phone", &phone, number, places::TELECOM, rule);
                trail.go_on(phone.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        email: match patient.telecoms.iter().find(|it| it.scheme == "mailto") {
            Some(telecom) => {
                let email = telecom::read_email(&telecom.address, places::TELECOM);
                let rule = "the first mailto:";
                trail.read("email", &email, &telecom.address, places::TELECOM, rule);
                trail.go_on(email.map(FieldUpdate::Given), FieldUpdate::default)?
            }
            None => FieldUpdate::Absent,
        },
        address: address(patient, warnings, trail),
        identity_status: FieldUpdate::Absent,
        identity_attributes: FieldUpdate::Absent,
        network: FieldUpdate::Absent,
        physician: FieldUpdate::Absent,
        places: RequiredPlaces {
            given_name: SourceLocation::Element(places::GIVEN),
            birth_name: SourceLocation::Element(places::FAMILY),
            sex: SourceLocation::Element(places::GENDER),
            birth_date: SourceLocation::Element(places::BIRTH_TIME),
        },
    })
}

fn ins(patient: &PatientRole, warnings: &mut Vec<Warning>, trail: &mut Trail) -> FieldUpdate<Ins> {
    let mut found = FieldUpdate::Absent;
    let mut all = Vec::new();
    for id in &patient.ids {
        let (Some(root), Some(value)) = (&id.root, &id.extension) else {
            continue;
        };
        if !ins::INS_ROOTS.contains(&root.as_str()) {
            continue;
        }
        let ins = Ins {
            value: value.clone(),
            oid: root.clone(),
        };
        trail.record("ins", value, id.place, "the id with the root of an INS");
        trail.record("ins_oid", root, id.place, "the root of that id");
        let ins = ins::valid_ins(ins, Location::named(id.place), warnings);
        if let Some(ins) = ins {
            all.push(ins.clone());
            ins::prefer(&mut found, ins);
        }
    }
    let place = Location::named(places::PATIENT_ID);
    ins::warn_of_other_ins(&found, &all, place, warnings);
    found
}

/// The phone number to use: the mobile one, else that at home, else the first.
fn phone(patient: &PatientRole) -> Option<(&str, &'static str)> {
    let numbers = || patient.telecoms.iter().filter(|it| it.scheme == "tel");
    let is_for = |uses: &[&str], rule| Some((numbers().find(|it| it.is_for(uses))?, rule));
    let (chosen, rule) = is_for(&["MC"], "tel: with use MC")
        .or_else(|| is_for(&["H", "HP"], "no tel: with use MC: H or HP"))
        .or_else(|| Some((numbers().next()?, "the first tel:")))?;
    Some((&chosen.address, rule))
}

/// The address at home, else the first.
fn address(
    patient: &PatientRole,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> FieldUpdate<crate::model::patient::Address> {
    let written = || {
        patient
            .addresses
            .iter()
            .filter(|address| !address.is_empty())
    };
    let chosen = written()
        .find(|address| address.uses.iter().any(|own| own == "H"))
        .or_else(|| written().next());
    let Some(chosen) = chosen.cloned() else {
        return FieldUpdate::Absent;
    };
    let mut rule = match chosen.uses.iter().any(|own| own == "H") {
        true => "use H",
        false => "no use H: the first",
    };
    let parts = [
        chosen.street,
        chosen.city,
        chosen.postal_code,
        chosen.country,
    ];
    for (part, name) in parts.iter().zip(address::ADDRESS_PARTS) {
        if let Some(part) = part {
            trail.record(name, part, places::ADDRESS, std::mem::take(&mut rule));
        }
    }
    if let Some(complement) = &chosen.complement {
        trail.record("address_complement", complement, places::ADDRESS, "");
    }
    let complement = chosen.complement;
    address::whole_address(
        parts,
        complement,
        Location::named(places::ADDRESS),
        warnings,
    )
    .map_or(FieldUpdate::Absent, FieldUpdate::Given)
}

#[cfg(test)]
mod tests;
