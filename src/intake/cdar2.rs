//! Scheduling by CDA R2: a case with its questionnaire is put before a session (SPEC 5 and 9).

use chrono::{DateTime, NaiveDate, Utc};

use super::identity::{self, At, Demographics, IppRead, RequiredPlaces, Said};
use super::scheduling::{self, By, Found, Received};
use super::trail::Trail;
use super::{Content, Context, Decided, Decision, Stop, content, made, siu};
use crate::cda::Cda;
use crate::cda::header::{Header, Identifier, NamePart, PatientRole, Person, Written, places};
use crate::config::{CdaCaseId, Facility};
use crate::hl7::Timestamp;
use crate::model::case::{Case, CaseState, LastCda};
use crate::model::change::{Record, Subject};
use crate::model::document::{
    Attached, ContentType, Document, DocumentKind, DocumentVersion, Standing, UniqueId,
};
use crate::model::identifiers::{
    CaseId, ContentHash, DocumentId, Ins, Ipp, NetworkId, PathwayId, Rpps, SessionId,
};
use crate::model::outcome::{Place, Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Authority, Physician};
use crate::model::questionnaire::{FilledQuestionnaire, Questionnaire, Section, Statement};
use crate::model::session::SessionState;
use crate::model::view::{View, ViewError};

/// The root of session ids (CI-SIS, FRCP).
const SESSION_ROOT: &str = "1.2.250.1.213.1.1.9";

/// The root of the national ids of meetings (CI-SIS, FRCP).
const MEETING_ROOT: &str = "1.2.250.1.161.1.20.3.1";

/// The roots under which an INS is sent: NIR, NIA, test, demonstration.
const INS_ROOTS: [&str; 4] = [
    "1.2.250.1.213.1.4.8",
    "1.2.250.1.213.1.4.9",
    "1.2.250.1.213.1.4.10",
    "1.2.250.1.213.1.4.11",
];

/// What every root of an INS starts with, that of the computed INS of former years too.
const INS_ROOT: &str = "1.2.250.1.213.1.4.";

/// How histories name the document.
const BY: &str = "CDA";

/// Decides on a CDA document, of which `bytes` are the file as received.
pub fn decide<'m>(
    bytes: &'m [u8],
    cda: &Cda,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Decided<'m> {
    let facility = context.facility;
    let header = &cda.header;
    tell_document(header, trail);
    trail.go_on(check_code(header, facility), || ())?;
    let found = case_id(header, facility).ok_or_else(|| missing("case id", places::ORDER));
    let time = time(header, facility, trail);
    trail.about("case");
    if let Ok((id, place)) = &found {
        let rule = "the first of cda.case_id";
        trail.tell("case", id, place.clone(), rule);
    }
    let (id, place) = trail.go_on(found, || (CaseId::new(""), Place::named(places::ORDER)))?;
    let this = LastCda {
        set_id: header.set_id.as_ref().map(Identifier::entity),
        version: trail.go_on(version(header), || None)?,
        time: trail.go_on(time, || None)?,
    };
    let known = view.case(&facility.id, &id)?;
    if let Some(case) = &known {
        if let CaseState::Completed(session) = &case.state {
            return Err(Refusal::new(
                Reason::CaseCompleted,
                format!(
                    "expected a case that is open, found {id}, which was completed in {session}"
                ),
            )
            .at(place)
            .with_value(id.as_str())
            .into());
        }
        if case.cda.as_ref().is_some_and(|last| is_older(&this, last)) {
            return Ok(Decision::unchanged(Verdict::Stale));
        }
    }
    let flow = Flow {
        bytes,
        cda,
        facility,
        view,
        this,
    };
    flow.schedule(id, known, trail)
}

/// Tells the trail by what a document and its versions are known.
fn tell_document(header: &Header, trail: &mut Trail) {
    trail.about("document");
    if let Some(code) = &header.code {
        trail.tell("document_code", &code.text, code.place, "");
    }
    if let Some(title) = &header.title {
        trail.tell("title", title, "title", "");
    }
    for (name, id) in [("id", &header.id), ("set_id", &header.set_id)] {
        if let Some(id) = id {
            trail.tell(name, id.entity(), id.place, "");
        }
    }
    if let Ok(Some(version)) = version(header) {
        trail.tell("version", version, places::VERSION, "");
    }
}

/// The number of this version, where it has one.
fn version(header: &Header) -> Result<Option<u64>, Refusal> {
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
        .at(Place::named(written.place))
        .with_value(&written.text)),
    }
}

/// Whether a document is older than the last one of its case (SPEC 5, last paragraph).
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

fn check_code(header: &Header, facility: &Facility) -> Result<(), Refusal> {
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
    .at(Place::named(places::CODE));
    Err(match code {
        Some(code) => refusal.with_value(code),
        None => refusal,
    })
}

/// The id of the case, and where it stands: the first of the configured places that has one.
pub fn case_id(header: &Header, facility: &Facility) -> Option<(CaseId, Place)> {
    let found = facility.cda.case_id.iter().find_map(|place| match place {
        CdaCaseId::Order => header.orders.first(),
        CdaCaseId::SetId => header.set_id.as_ref(),
    })?;
    Some((CaseId::new(found.value()), Place::named(found.place)))
}

fn time(
    header: &Header,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(written) = &header.effective_time else {
        return Ok(None);
    };
    let time = Timestamp::parse(&written.text)
        .map(|time| time.instant(facility.timezone))
        .map_err(|error| {
            Refusal::new(Reason::InvalidDate, error.to_string())
                .at(Place::named(written.place))
                .with_value(&written.text)
        });
    trail.read("document_time", &time, &written.text, written.place, "");
    time.map(Some)
}

fn missing(name: &str, place: &str) -> Refusal {
    Refusal::new(
        Reason::MissingField,
        format!("expected the {name}, found nothing"),
    )
    .at(Place::named(place))
}

/// A document about a case that is neither completed nor ahead of it.
struct Flow<'a, 'm> {
    bytes: &'m [u8],
    cda: &'a Cda,
    facility: &'a Facility,
    view: &'a dyn View,
    this: LastCda,
}

impl<'m> Flow<'_, 'm> {
    fn schedule(&self, id: CaseId, known: Option<Case>, trail: &mut Trail) -> Decided<'m> {
        let mut decision = Decision::unchanged(match known {
            None => Verdict::Accepted,
            Some(_) => Verdict::Updated,
        });
        let header = &self.cda.header;
        let asked = Asked::read(header, self.facility, &mut decision.warnings, trail)?;
        trail.about("patient");
        let read = read_ipp(&header.patient, self.facility, trail);
        let read = trail.go_on(read, no_ipp)?;
        let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
        let mut case = known.unwrap_or_else(|| siu::new_case(&self.facility.id, id));
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

        let mut doubts = Vec::new();
        let (found, pathway) = self.find_session(&asked, &mut doubts)?;
        case.submitter = Some(asked.submitter);
        case.lead = Some(asked.lead);
        case.network = asked.network.or(case.network);
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
                .at(Place::named(places::ORDER)),
            );
        } else {
            decision.warnings.append(&mut doubts);
            let file_name = self.file_name(&case);
            let received = || Received {
                bytes: self.bytes.into(),
                content_type: ContentType::Cda,
                file_name,
                time: self.this.time,
                place: Some(Place::named(places::ENCOUNTER)),
            };
            scheduling::place_case(self.view, &mut decision, &mut case, &found, received, BY)?;
        }
        self.fill_questionnaire(&mut decision, &mut case, trail)?;
        if case.state != CaseState::Cancelled {
            case.scheduling_warnings = scheduling::codes_of(&decision.warnings);
        }
        scheduling::join_awaiting(self.view, &mut decision, &mut case)?;
        self.keep_document(&mut decision, &mut case)?;
        case.cda = Some(self.this.clone());
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// Compares with the known patient, or creates one.
    fn check_patient(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        read: IppRead,
        ipp: Ipp,
        asked: &Asked<'_>,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        let header = &self.cda.header;
        let warnings = &mut decision.warnings;
        let mut demographics = demographics(&header.patient, self.facility, warnings, trail)?;
        if let Some(patient) = self.view.patient(&self.facility.id, &ipp)? {
            let traits = demographics.traits();
            let place = Place::named(places::NAME);
            case.identity_mismatch |= identity::check_identity(&patient, &traits, place, warnings)?;
            return Ok(());
        }
        demographics.ins = identity::keep_own_ins(
            demographics.ins,
            |ins| identity::other_with_ins(ins, &ipp, self.view, self.facility),
            warnings,
        )?;
        demographics.network = asked.network.clone().map_or(Said::Absent, Said::Given);
        let read = IppRead { ipp, ..read };
        let patient = identity::new_patient(self.facility, &read, demographics, trail)?;
        decision.history.push((
            Subject::Patient(patient.facility.clone(), patient.ipp.clone()),
            format!("created by {BY}"),
        ));
        decision.changes.push(Record::Patient(patient).into());
        Ok(())
    }

    /// The session that the ids of the encounter lead to, and the pathway of the case (SPEC 5, "Which session").
    fn find_session(
        &self,
        asked: &Asked<'_>,
        doubts: &mut Vec<Warning>,
    ) -> Result<(Found, PathwayId), ViewError> {
        for id in asked
            .encounters
            .iter()
            .filter(|id| id.is_under(SESSION_ROOT))
        {
            let Some(session) = self.view.session(&SessionId::new(id.value()))? else {
                continue;
            };
            if session.date != asked.date {
                doubts.push(
                    Warning::new(
                        WarningCode::SessionDateMismatch,
                        format!(
                            "expected the session {} on {}, as the document says, but it is on {}; it is looked for by pathway",
                            session.id, asked.date, session.date
                        ),
                    )
                    .at(Place::named(places::SESSION_DATE)),
                );
            } else if session.state == SessionState::Planned {
                return Ok((Found::Session(session), PathwayId::new(id.value())));
            }
        }
        let sessions = scheduling::planned_on(self.view, asked.date)?;
        let root = self.facility.cda.pathway_root.as_deref();
        let mut ambiguous = false;
        for by in [By::Pathway, By::Family] {
            for id in asked
                .encounters
                .iter()
                .filter(|id| root.is_none_or(|root| id.is_under(root)))
            {
                let id = PathwayId::new(id.value());
                match scheduling::among(&sessions, &id, by) {
                    Found::Session(session) => return Ok((Found::Session(session), id)),
                    Found::Ambiguous => ambiguous = true,
                    Found::NotFound => {}
                }
            }
        }
        let named = asked
            .encounters
            .iter()
            .find(|id| id.is_under(MEETING_ROOT))
            .unwrap_or(asked.first);
        let found = match ambiguous {
            true => Found::Ambiguous,
            false => Found::NotFound,
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
                .at(Place::named("component")),
            );
            return Ok(());
        };
        tell_questionnaire(questionnaire, trail);
        let former = self.view.questionnaire(&case.facility, &case.id)?;
        let number = former
            .as_ref()
            .map_or(0, |former| former.number)
            .saturating_add(1);
        let what = match former {
            Some(former) => {
                let former = Record::FormerQuestionnaire(Box::new(former));
                decision.changes.push(former.into());
                "replaced"
            }
            None => "filled",
        };
        scheduling::tell(decision, case, format!("questionnaire {what} by {BY}"));
        let filled = FilledQuestionnaire {
            facility: case.facility.clone(),
            case: case.id.clone(),
            number,
            filled_by: ContentHash::of(self.bytes),
            time: self.this.time,
            questionnaire: questionnaire.clone(),
        };
        decision
            .changes
            .push(Record::Questionnaire(Box::new(filled)).into());
        case.has_questionnaire = true;
        Ok(())
    }

    /// Keeps the received document in the case, as the next version of the one with its ids.
    fn keep_document(&self, decision: &mut Decision<'m>, case: &mut Case) -> Result<(), ViewError> {
        let Some(ipp) = case.ipp.clone() else {
            return Ok(());
        };
        let header = &self.cda.header;
        let ids: Vec<String> = [&header.set_id, &header.id]
            .into_iter()
            .flatten()
            .map(Identifier::entity)
            .collect();
        let hash = ContentHash::of(self.bytes);
        let mut document = match self.known_document(ids.first(), &ipp, case, decision)? {
            Some(known) => known,
            None => self.document_of_case(case, ipp, ids.first(), &hash)?,
        };
        decision.put(ids.into_iter().map(|unique_id| {
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
            let former = document.add(Standing::Latest, |version| DocumentVersion {
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
            decision.contents.push(Content::new(self.bytes));
        }
        if matches!(document.attached, Attached::Case(_)) {
            if !case.documents.contains(&document.id) {
                case.documents.push(document.id.clone());
                scheduling::tell(decision, case, format!("document {} joined", document.id));
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
        let attached = Attached::Case(case.id.clone());
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
        let Some(unique_id) = unique_id else {
            return Ok(None);
        };
        let (answering, others): (Vec<Document>, Vec<Document>) = self
            .view
            .documents_by_unique_id(&case.facility, unique_id)?
            .into_iter()
            .partition(|document| document.ipp == *ipp);
        if !others.is_empty() {
            decision.warnings.push(
                Warning::new(
                    WarningCode::DocumentIdReused,
                    "expected a unique id of the document's own, found one that another patient's document has",
                )
                .at(Place::named(places::SET_ID)),
            );
        }
        let mut found: Option<Document> = None;
        for mut document in answering {
            if case.documents.contains(&document.id) {
                // It may have joined by this very decision.
                document.attached = Attached::Case(case.id.clone());
                document.awaits = None;
            }
            let is_here = document.attached == Attached::Case(case.id.clone());
            let is_free = matches!(document.attached, Attached::Note(_));
            let is_document = document.kind == DocumentKind::Document;
            if is_document && (is_here || is_free && found.is_none()) {
                let is_better = found.as_ref().is_none_or(|found| {
                    found.deleted || matches!(found.attached, Attached::Note(_))
                });
                if is_better {
                    found = Some(document);
                }
            }
        }
        Ok(found)
    }

    fn file_name(&self, case: &Case) -> String {
        content::display_name(&format!("CDA_{}", case.id), ContentType::Cda)
    }
}

/// Tells the trail how much the form says: all of it is shown once the case is known.
fn tell_questionnaire(questionnaire: &Questionnaire, trail: &mut Trail) {
    trail.about("questionnaire");
    let sections = questionnaire
        .sections
        .iter()
        .map(count_sections)
        .sum::<usize>();
    trail.tell("sections", sections, places::BODY, "");
    let statements = questionnaire
        .sections
        .iter()
        .map(count_statements)
        .sum::<usize>();
    trail.tell("statements", statements, places::BODY, "");
    for (number, section) in (1..).zip(&questionnaire.sections) {
        let title = section.title.as_deref().or(section.label.as_deref());
        trail.tell(
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

/// What the document asks for, in the order of the table in SPEC 5.
struct Asked<'h> {
    submitter: Physician,
    lead: Physician,
    network: Option<NetworkId>,
    encounters: &'h [Identifier],
    /// The first of the encounter's ids.
    first: &'h Identifier,
    date: NaiveDate,
}

impl<'h> Asked<'h> {
    fn read(
        header: &'h Header,
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
        let root = facility.cda.network_root.as_deref();
        let network = header
            .patient
            .organizations
            .iter()
            .find(|id| root.is_some_and(|root| id.is_under(root)))
            .and_then(|id| id.extension.clone());
        if let Some(network) = &network {
            let rule = "the id with the root cda.network_root";
            trail.tell("network", network, places::ORGANIZATION, rule);
        }
        for id in &header.encounters {
            let (name, rule) = match id.is_under(SESSION_ROOT) {
                true => ("session", "tried first, as session id"),
                false => (
                    "pathway",
                    "tried in this order, as pathway id, then as family id",
                ),
            };
            trail.tell(name, id.value(), id.place, rule);
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

/// What stands in for an id that is not there.
static NO_IDENTIFIER: Identifier = Identifier {
    root: None,
    extension: None,
    authority: None,
    place: places::ENCOUNTER,
};

/// Reads a physician, who has a name for the trail and one in words.
fn physician(
    person: Option<&Person>,
    (name, what): (&str, &str),
    place: &'static str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Physician, Refusal> {
    let place = person.map_or(place, |person| person.place);
    let Some((person, number)) = person.and_then(|it| Some((it, it.rpps.as_deref()?))) else {
        return trail.go_on(Err(missing(what, place)), identity::nobody);
    };
    let rpps = Rpps::new(number);
    trail.tell(name, &rpps, person.place, "");
    for (part, text) in [("family", &person.family), ("given", &person.given)] {
        if let Some(text) = text {
            let place = format!("{}/{part}", person.name_place);
            trail.tell(format_args!("{name}_{part}"), text, place.as_str(), "");
        }
    }
    identity::warn_of_rpps(&rpps, Place::named(place), warnings);
    Ok(Physician {
        rpps,
        family: person.family.clone(),
        given: person.given.clone(),
    })
}

/// The calendar date as written, never shifted.
fn session_date(written: Option<&Written>, trail: &mut Trail) -> Result<NaiveDate, Refusal> {
    let written = written.ok_or_else(|| missing("date of the session", places::SESSION_DATE))?;
    let date = scheduling::read_session_date(&written.text).map_err(|refusal| {
        refusal
            .at(Place::named(written.place))
            .with_value(&written.text)
    });
    let rule = match written.place {
        places::EVENT_DATE => "fallback: that of the documented act with code 39",
        _ => "",
    };
    trail.read("session_date", &date, &written.text, written.place, rule);
    date
}

/// Reads the facility's patient id (SPEC 5): that with the facility's root, else the only one that is no INS.
fn read_ipp(
    patient: &PatientRole,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<IppRead, Refusal> {
    let place = At::Element(places::PATIENT_ID);
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
    trail.tell("ipp", value, chosen.place, rule);
    if let Some(root) = &chosen.root {
        trail.tell("ipp_authority", root, chosen.place, "the root of that id");
    }
    Ok(IppRead {
        ipp: Ipp::new(*value),
        authority: (authority != Authority::default()).then_some(authority),
        untyped: false,
        place,
    })
}

/// What stands in for a patient id that is not there.
fn no_ipp() -> IppRead {
    IppRead {
        ipp: Ipp::new(""),
        authority: None,
        untyped: false,
        place: At::Element(places::PATIENT_ID),
    }
}

/// Reads everything that the document says about the patient, in the order of the table in SPEC 5.
fn demographics(
    patient: &PatientRole,
    facility: &Facility,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Demographics, Refusal> {
    // A text, and the rule by which it is the one.
    type Chosen<'p> = Option<(&'p str, &'static str)>;
    let qualified = |parts, qualifier, rule| -> Chosen<'_> {
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
    let mut given = |name: &str, place: &str, chosen: Chosen<'_>| match chosen {
        Some((text, rule)) => {
            trail.tell(name, text, place, rule);
            Said::Given(text.to_owned())
        }
        None => Said::Absent,
    };
    let given_name = given("given_name", places::GIVEN, given_name);
    let birth_given_name = given("birth_given_name", places::GIVEN, birth_given_name);
    let usual = given("usual_name", places::FAMILY, usual_name);
    if let (None, Some((name, _))) = (usual_name, birth_name) {
        trail.tell(
            "usual_name",
            name,
            places::FAMILY,
            "no qualifier CL or SP: the birth name",
        );
    }
    let birth_name = match birth_name {
        Some((name, rule)) => {
            trail.tell("birth_name", name, places::FAMILY, rule);
            Said::Given(name.to_owned())
        }
        None => Said::Absent,
    };
    Ok(Demographics {
        ins: ins(patient, warnings, trail),
        social_security_number: Said::Absent,
        given_name,
        birth_given_name,
        birth_name,
        usual_name: usual,
        sex: match &patient.gender {
            Some(code) => {
                trail.tell("sex", &code.text, code.place, "");
                let sex = identity::read_sex(&code.text, Place::named(code.place));
                trail.go_on(sex.map(Said::Given), Said::default)?
            }
            None => Said::Absent,
        },
        birth_date: match &patient.birth_time {
            Some(time) => {
                let date = identity::read_birth_date(&time.text, Place::named(time.place));
                trail.read("birth_date", &date, &time.text, time.place, "");
                trail.go_on(date.map(Said::Given), Said::default)?
            }
            None => Said::Absent,
        },
        phone: match phone(patient) {
            Some((number, rule)) => {
                let phone = identity::read_phone(number, &facility.region, places::TELECOM);
                trail.read("phone", &phone, number, places::TELECOM, rule);
                trail.go_on(phone.map(Said::Given), Said::default)?
            }
            None => Said::Absent,
        },
        email: match patient.telecoms.iter().find(|it| it.scheme == "mailto") {
            Some(telecom) => {
                let email = identity::read_email(&telecom.address, places::TELECOM);
                let rule = "the first mailto:";
                trail.read("email", &email, &telecom.address, places::TELECOM, rule);
                trail.go_on(email.map(Said::Given), Said::default)?
            }
            None => Said::Absent,
        },
        address: address(patient, warnings, trail),
        identity_status: Said::Absent,
        network: Said::Absent,
        physician: Said::Absent,
        places: RequiredPlaces {
            given_name: At::Element(places::GIVEN),
            birth_name: At::Element(places::FAMILY),
            sex: At::Element(places::GENDER),
            birth_date: At::Element(places::BIRTH_TIME),
        },
    })
}

fn ins(patient: &PatientRole, warnings: &mut Vec<Warning>, trail: &mut Trail) -> Said<Ins> {
    let mut found = Said::Absent;
    for id in &patient.ids {
        let (Some(root), Some(value)) = (&id.root, &id.extension) else {
            continue;
        };
        if !INS_ROOTS.contains(&root.as_str()) {
            continue;
        }
        let ins = Ins {
            value: value.clone(),
            oid: root.clone(),
        };
        trail.tell("ins", value, id.place, "the id with the root of an INS");
        trail.tell("ins_oid", root, id.place, "the root of that id");
        let ins = identity::valid_ins(ins, Place::named(id.place), warnings);
        if let (Some(ins), None) = (ins, found.as_given()) {
            found = Said::Given(ins);
        }
    }
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
) -> Said<crate::model::patient::Address> {
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
        return Said::Absent;
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
    for (part, name) in parts.iter().zip(identity::ADDRESS_PARTS) {
        if let Some(part) = part {
            trail.tell(name, part, places::ADDRESS, std::mem::take(&mut rule));
        }
    }
    identity::whole_address(parts, Place::named(places::ADDRESS), warnings)
        .map_or(Said::Absent, Said::Given)
}

#[cfg(test)]
mod tests;
