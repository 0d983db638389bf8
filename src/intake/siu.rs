//! Scheduling by SIU: a case is put before a session, moved, or cancelled (interface.md 4 and 9).

use chrono::{DateTime, NaiveDate, Utc};

use super::field_update::{FieldUpdate, another, text, word};
use super::identity::compare::{self, Traits};
use super::identity::ipp::{self, IppRead};
use super::identity::{self, ins, patient, physician};
use super::message_time::message_time;
use super::required::{check_visible, required_segment, required_text};
use super::scheduling::{self, MessageCopy};
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, Stop, checks};
use crate::config::Facility;
use crate::hl7::{Field, Message, Path, Position, Segment};
use crate::model::case::{Case, CaseState};
use crate::model::change::{Change, Record, Subject};
use crate::model::identifiers::{CaseId, Ipp, NetworkId, PathwayId};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Patient, Physician};
use crate::model::view::{View, ViewError};

/// Decides on S12, S13, S14 (schedule) and S15, S17 (cancel).
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    trail.about("case");
    let schedule = required_segment(message, "SCH", trail)?;
    let id = schedule.field(2).component(1);
    let place = id.position();
    let id = required_text(&id, "case id", "case", "", trail)?;
    trail.go_on(check_visible(&id, "case id", place), || ())?;
    let id = CaseId::new(id);
    let is_single = single(&schedule.field(2), 1, "case id");
    trail.go_on(is_single, || ())?;
    let time = message_time(message, context, trail)?;
    let known = view.case(&facility.id, &id)?;
    if let Some(case) = &known {
        if let CaseState::Completed(session) = &case.state {
            return Err(completed(case, session.as_str(), &schedule).into());
        }
        if case.siu_time.is_some_and(|last| time < last) {
            return Ok(Decision::unchanged(Verdict::Stale));
        }
    }
    let appointment = Appointment {
        message,
        facility,
        view,
        trigger: message.trigger().trim().to_owned(),
        time,
    };
    match appointment.trigger.as_str() {
        "S15" | "S17" => appointment.cancel(id, known, trail),
        _ => appointment.schedule(id, known, trail),
    }
}

/// A message about a case that is neither completed nor ahead of it in time.
struct Appointment<'a, 'm> {
    message: &'a Message<'m>,
    facility: &'a Facility,
    view: &'a dyn View,
    trigger: String,
    time: DateTime<Utc>,
}

impl<'m> Appointment<'_, 'm> {
    /// S12, S13 and S14 carry the whole scheduling: it takes the place of what was known.
    fn schedule(&self, id: CaseId, known: Option<Case>, trail: &mut Trail) -> DecisionResult<'m> {
        let by = self.by();
        let mut decision = Decision::unchanged(match known {
            None => Verdict::Accepted,
            Some(_) => Verdict::Updated,
        });
        let pid = required_segment(self.message, "PID", trail)?;
        let read = ipp::ipp(&pid, self.facility, trail)?;
        read.warn(&mut decision.warnings);
        let mut demographics = identity::demographics(
            &pid,
            Some(self.message),
            self.facility,
            &mut decision.warnings,
            trail,
        )?;
        let asked = SiuRequest::read(self.message, self.facility, &mut decision.warnings, trail)?;

        let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
        let traits = demographics.traits();
        let mut case = known.unwrap_or_else(|| Case::unscheduled(&self.facility.id, id));
        if let Some(former) = case.ipp.take_if(|former| *former != ipp) {
            self.check_change_of_patient(&case, &former, &read, &traits)?;
            decision
                .changes
                .extend(self.kept_message_moved(&case, &ipp)?);
            scheduling::add_history(
                &mut decision,
                &case,
                format!("moved from patient {former} to {ipp} by {by}"),
            );
        }
        case.ipp = Some(ipp.clone());

        match self.view.patient(&self.facility.id, &ipp)? {
            Some(patient) => {
                let place = pid.field(5).position();
                let warnings = &mut decision.warnings;
                let given = traits.given_by(by.clone());
                if compare::check_identity(&patient, &traits, place, warnings)? {
                    case.doubt_identity(given);
                } else if let Some(what) = case.end_doubt(&given) {
                    scheduling::add_history(&mut decision, &case, what);
                }
            }
            None => {
                demographics.ins = ins::keep_own_ins(
                    demographics.ins,
                    |ins| ins::other_with_ins(ins, &ipp, self.view, self.facility),
                    &mut decision.warnings,
                )?;
                if let Some(network) = &asked.network {
                    demographics.network = FieldUpdate::Given(network.clone());
                }
                let read = IppRead { ipp, ..read };
                let patient = patient::new_patient(self.facility, &read, demographics, trail)?;
                decision.history.push((
                    Subject::Patient(patient.facility.clone(), patient.ipp.clone()),
                    format!("created by {by}"),
                ));
                decision.changes.push(Record::Patient(patient).into());
            }
        }

        case.submitter = Some(asked.submitter);
        case.lead = asked.lead;
        case.network = asked.network;
        case.date = Some(asked.date);
        case.siu_time = Some(self.time);
        let found = scheduling::find_session(self.view, asked.date, &asked.pathway)?;
        case.pathway = Some(asked.pathway);
        let received = || MessageCopy {
            place: Some(asked.pathway_place.into()),
            ..MessageCopy::hl7(self.message, self.facility, self.time)
        };
        scheduling::place_case(self.view, &mut decision, &mut case, &found, received, &by)?;
        scheduling::join_awaiting(self.view, &mut decision, &case)?;
        let charset = checks::charset_warnings(self.message);
        case.scheduling_warnings = scheduling::codes_of(charset.iter().chain(&decision.warnings));
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// S15 and S17 need only the case id; a case that was never seen is remembered as cancelled.
    fn cancel(&self, id: CaseId, known: Option<Case>, trail: &mut Trail) -> DecisionResult<'m> {
        let mut decision = Decision::unchanged(match known {
            None => Verdict::Accepted,
            Some(_) => Verdict::Updated,
        });
        let mut case = known.unwrap_or_else(|| Case::unscheduled(&self.facility.id, id));
        let pid = self.message.first("PID");
        if let Some(pid) = pid.filter(|pid| !pid.field(3).is_empty()) {
            let read = ipp::ipp(&pid, self.facility, trail)?;
            read.warn(&mut decision.warnings);
            let ipp = self.view.survivor(&self.facility.id, &read.ipp)?;
            match &case.ipp {
                Some(own) if *own != ipp => return Err(other_patient(&case, own, &read).into()),
                Some(_) => {}
                None => {
                    let patient = self.view.patient(&self.facility.id, &ipp)?;
                    case.ipp = patient.map(|patient| patient.ipp);
                }
            }
        }
        case.siu_time = Some(self.time);
        scheduling::cancel(self.view, &mut decision, &mut case, &self.by())?;
        scheduling::join_awaiting(self.view, &mut decision, &case)?;
        decision.changes.push(Record::Case(case).into());
        Ok(decision)
    }

    /// A case stays with its patient, unless an S14 says that it is surely the same person under another IPP.
    fn check_change_of_patient(
        &self,
        case: &Case,
        former: &Ipp,
        read: &IppRead,
        traits: &Traits,
    ) -> Result<(), Stop> {
        let patient = self.view.patient(&self.facility.id, former)?;
        let is_same_person =
            |patient: Option<Patient>| patient.is_some_and(|p| compare::is_surely(&p, traits));
        if self.trigger == "S14" && is_same_person(patient) {
            return Ok(());
        }
        Err(other_patient(case, former, read).into())
    }

    /// The message that a case kept goes with it to its new patient. The case's documents have their patient through it.
    fn kept_message_moved(&self, case: &Case, ipp: &Ipp) -> Result<Option<Change>, ViewError> {
        let kept = scheduling::kept_message_of_case(&case.facility, &case.id);
        let kept = self.view.document(&case.facility, &kept)?;
        Ok(kept.map(|mut document| {
            document.ipp = ipp.clone();
            Record::Document(document).into()
        }))
    }

    fn by(&self) -> String {
        format!("SIU^{}", self.trigger)
    }
}

/// What the message asks for, in the order of the table in interface.md 4.
struct SiuRequest {
    submitter: Physician,
    lead: Option<Physician>,
    network: Option<NetworkId>,
    pathway: PathwayId,
    pathway_place: Position,
    date: NaiveDate,
}

impl SiuRequest {
    fn read(
        message: &Message<'_>,
        facility: &Facility,
        warnings: &mut Vec<Warning>,
        trail: &mut Trail,
    ) -> Result<Self, Refusal> {
        trail.about("case");
        let physicians = personnel(message);
        if physicians.is_by_order {
            let warning = Warning::new(
                WarningCode::AipNumbering,
                "expected AIP-1 = 1 for the physician who submits the case and 2 for the lead physician, found other numbers; they were taken by their order",
            );
            let position = message.absent("AIP").field(1).position();
            warnings.push(warning.at(position));
        }
        let submitter = submitter(message, physicians.submitter, warnings, trail);
        let submitter = trail.go_on(submitter, physician::nobody)?;
        let lead = physicians
            .lead
            .and_then(|lead| physician(&lead, "lead", warnings, trail));
        let location = location(message, trail)?;
        let network = location.field(3).component(9);
        let network = trail.record_field("network", &network, "").given();
        let pathway = location.field(3).component(4);
        for (part, what) in [(4, "pathway or family id"), (9, "network id")] {
            let is_single = single(&location.field(3), part, what);
            trail.go_on(is_single, || ())?;
        }
        let pathway_id = required_text(
            &pathway.identifier(),
            "pathway or family id",
            "pathway",
            "the first AIL with AIL-3.4",
            trail,
        )?;
        let date = session_date(message, facility, trail);
        Ok(Self {
            submitter,
            lead,
            network: network.map(NetworkId::new),
            pathway: PathwayId::new(pathway_id),
            pathway_place: pathway.position(),
            date: trail.go_on(date, NaiveDate::default)?,
        })
    }
}

fn submitter(
    message: &Message<'_>,
    submitter: Option<Segment<'_>>,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Result<Physician, Refusal> {
    let first = required_segment(message, "AIP", trail)?;
    let Some(submitter) = submitter else {
        return Err(Refusal::new(
            Reason::MissingField,
            "expected an AIP with AIP-1 = 1 for the physician who submits the case, found none",
        )
        .at(first.field(1).position()));
    };
    physician(&submitter, "submitter", warnings, trail).ok_or_else(|| {
        Refusal::new(
            Reason::MissingField,
            "expected the RPPS of the physician who submits the case, found nothing",
        )
        .at(submitter.field(3).component(1).position())
    })
}

/// The physician of an AIP, with a warning where no RPPS is given.
fn physician(
    personnel: &Segment<'_>,
    name: &str,
    warnings: &mut Vec<Warning>,
    trail: &mut Trail,
) -> Option<Physician> {
    let persons = personnel.field(3);
    let physician = physician::physician(persons.repetitions(), name, warnings, trail)?;
    if physician.known_rpps().is_none() {
        physician::warn_of_no_rpps(persons.component(1).position(), warnings);
    }
    Some(physician)
}

/// The AIP of the physicians, and how they were told apart.
struct Personnel<'m> {
    submitter: Option<Segment<'m>>,
    lead: Option<Segment<'m>>,
    is_by_order: bool,
}

/// The first AIP with AIP-1 = 1 and that with 2; where AIP-1 is empty, its place among them is its number.
///
/// Other numbers say only the order. A 2 without a 1 is the lead physician: who submits the case is missing.
fn personnel<'m>(message: &Message<'m>) -> Personnel<'m> {
    // The first of all, and the first ones of another number than it, of the same number with another person, of 0, 1, 2,
    // and of any but 1.
    let mut first: Option<(String, Segment<'m>)> = None;
    let (mut second, mut again) = (None, None);
    let [mut zero, mut one, mut two, mut not_one] = [None; 4];
    for resource in message.all("AIP") {
        let number = word(&resource.field(1).simple()).map_or_else(
            || resource.occurrence().to_string(),
            |sent| match sent.parse::<u32>() {
                Ok(number) => number.to_string(),
                Err(_) => sent.into_owned(),
            },
        );
        match number.as_str() {
            "0" => _ = zero.get_or_insert(resource),
            "1" => _ = one.get_or_insert(resource),
            "2" => _ = two.get_or_insert(resource),
            _ => {}
        }
        if number != "1" {
            not_one.get_or_insert(resource);
        }
        match &first {
            None => first = Some((number, resource)),
            Some((of_first, _)) if *of_first != number => _ = second.get_or_insert(resource),
            Some((_, first)) if first.field(3).raw() != resource.field(3).raw() => {
                _ = again.get_or_insert(resource);
            }
            Some(_) => {}
        }
    }
    match (zero, one, two) {
        (None, Some(submitter), None) => Personnel {
            submitter: Some(submitter),
            lead: not_one.or(again),
            is_by_order: not_one.or(again).is_some(),
        },
        (None, submitter, Some(lead)) => Personnel {
            submitter,
            lead: Some(lead),
            is_by_order: false,
        },
        (Some(_), ..) | (None, None, None) => Personnel {
            is_by_order: first.is_some(),
            submitter: first.map(|(_, resource)| resource),
            lead: second.or(again),
        },
    }
}

/// The first AIL that names a pathway.
fn location<'m>(message: &Message<'m>, trail: &mut Trail) -> Result<Segment<'m>, Refusal> {
    let first = required_segment(message, "AIL", trail)?;
    let with_pathway = message
        .all("AIL")
        .find(|location| word(&location.field(3).component(4).identifier()).is_some());
    Ok(with_pathway.unwrap_or(first))
}

/// The calendar date as written, never shifted: the first value at the configured positions.
fn session_date(
    message: &Message<'_>,
    facility: &Facility,
    trail: &mut Trail,
) -> Result<NaiveDate, Refusal> {
    for (number, path) in facility.fields.session_date.iter().enumerate() {
        let Some(value) = message.get(path) else {
            continue;
        };
        let Some(sent) = text(&value.simple()) else {
            continue;
        };
        let date = scheduling::read_session_date(&sent)
            .map_err(|refusal| refusal.at(value.position()).with_value(&sent))
            .and_then(|date| single_date(message, path, date));
        let rule = match number {
            0 => "the first of fields.session_date",
            _ => "fallback: nothing stands before it in fields.session_date",
        };
        trail.read("session_date", &date, &sent, value.position(), rule);
        return date;
    }
    let places: Vec<String> = facility
        .fields
        .session_date
        .iter()
        .map(ToString::to_string)
        .collect();
    let refusal = Refusal::new(
        Reason::MissingField,
        format!(
            "expected the date of the session in {}, found nothing",
            places.join(" or ")
        ),
    );
    Err(match facility.fields.session_date.first() {
        Some(position) => refusal.at(*position),
        None => refusal,
    })
}

/// Refuses a date behind which another day stands: a case goes before one session.
fn single_date(message: &Message<'_>, path: &Path, date: NaiveDate) -> Result<NaiveDate, Refusal> {
    let field = path.with_component(0).with_subcomponent(0);
    let count = message
        .get(&field)
        .map_or(0, |field| field.as_repetitions().count());
    let further = (path.repetition()..).skip(1).take(count.saturating_sub(1));
    for number in further {
        let place = path.with_repetition(number);
        let another = message
            .get(&place)
            .and_then(|value| scheduling::read_session_date(&text(&value.simple())?).ok())
            .is_some_and(|another| another != date);
        if another {
            return Err(Refusal::new(
                Reason::InvalidDate,
                "expected one date of the session, found another one behind it; send each session in a message, and with a case id, of its own",
            )
            .at(place));
        }
    }
    Ok(date)
}

fn completed(case: &Case, session: &str, schedule: &Segment<'_>) -> Refusal {
    Refusal::new(
        Reason::CaseCompleted,
        format!(
            "expected a case that is open, found {}, which was completed in {session}",
            case.id
        ),
    )
    .at(schedule.field(2).component(1).position())
    .with_value(case.id.as_str())
}

/// Refuses a field that HL7 does not repeat, and of which only the first repetition would be read.
fn single(field: &Field<'_>, component: u32, what: &str) -> Result<(), Refusal> {
    match another(field, component) {
        None => Ok(()),
        Some(place) => Err(Refusal::new(
            Reason::Malformed,
            format!(
                "expected one {what}, found another one behind it; send each in a message of its own"
            ),
        )
        .at(place)),
    }
}

fn other_patient(case: &Case, own: &Ipp, read: &IppRead) -> Refusal {
    Refusal::new(
        Reason::CasePatientMismatch,
        format!(
            "expected the patient {own}, whose case {} is, found {}",
            case.id, read.ipp
        ),
    )
    .at(read.place)
    .with_value(read.ipp.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intake::testing::{World, outcome_text};
    use crate::model::document::{AttachmentPlace, ContentType, DocumentKind};
    use crate::model::identifiers::SessionId;
    use crate::model::note::NoteReason;
    use crate::model::session::SessionState;

    /// The sample of the interface documentation.
    const DOCUMENTED: &str = r"MSH|^~\&|AXIGATE|AXIGATE|||20250408154719||SIU^S12^SIU_S12|43228|P|2.5|||||FR|8859/15|FRA
SCH|59384|59384||||RCP_IHU_P_CX_IH_67d443f1bdfe7d0fb1eabdd4^RCP -Infertilité|||15|Min|^^^20250408165500^20250408171000|||||||||10003425302^MANSION ADM^Fredéric ^^^^^^^L^^^RPPS|||||PLANNED
TQ1|1|||||15^Min|20250408165500|20250408171000|R
PID|||5100001073^^^^PI||TEST^TEST^^^M.^^L||19501104000000|M||||||||||||||||||||||N||PROV
PV1|1|O|8154||||||||||||||||
RGS|1
AIS|1||RCP_IHU_P_CX_IH_67d443f1bdfe7d0fb1eabdd4^RCP -Infertilité|20250408165500|0|Min|15|Min
AIL|1||8154^^^67d443f1bdfe7d0fb1eabdd4^^^^^67d441a5bdfe7d0fb1eaad51|||20250408165500|0|Min|15|Min
AIP|1||10100094977^Infertilité -^CO^^^^^^^L^^^RPPS|||20250408165500|||15|Min";

    /// A whole message; single segments are exchanged by the tests.
    const WHOLE: &str = r"MSH|^~\&|GAM|CHU|RCP|RCP|20250401100000+0000||SIU^S12^SIU_S12|1|P|2.5|||||FRA|UTF-8
SCH|C-2|C-1^GAM|||||||||^^^20250415093000
PID|1||P-1^^^CHU^PI||MARTIN^Léa^^^^^L||19700102|F
AIL|1||LOC^^^PATH^^^^^NET
AIP|1||10100094977^Durand^Paul
AIP|2||810102078838^Médecin^Audrey";

    fn with(changes: &[(&str, &str)]) -> String {
        changes
            .iter()
            .fold(WHOLE.to_owned(), |message, (from, to)| {
                assert!(message.contains(from), "{from}");
                message.replace(from, to)
            })
    }

    fn at(trigger: &str, minute: u32) -> String {
        with(&[
            ("S12", trigger),
            ("20250401100000", &format!("202504011{minute:03}00")),
        ])
    }

    fn world() -> World {
        let mut world = World::new();
        world.session("S-1", "2025-04-15", "PATH", "FAM");
        world
    }

    fn state(world: &World) -> Option<CaseState> {
        world.case("C-1").map(|case| case.state)
    }

    fn scheduled(session: &str) -> Option<CaseState> {
        Some(CaseState::Scheduled(SessionId::new(session)))
    }

    #[test]
    fn the_documented_sample_is_scheduled() {
        let mut world = World::new();
        world.session(
            "S-1",
            "2025-04-08",
            "67d443f1bdfe7d0fb1eabdd4",
            "67d441a5bdfe7d0fb1eaad00",
        );
        let (bytes, _, _) = encoding_rs::ISO_8859_15.encode(DOCUMENTED);
        assert_eq!(outcome_text(&world.receive_bytes(&bytes)), "accepted");
        let case = world.case("59384").unwrap();
        assert_eq!(case.state, scheduled("S-1").unwrap());
        assert_eq!(case.ipp, Some(Ipp::new("5100001073")));
        let submitter = case.submitter.unwrap();
        assert_eq!(submitter.known_rpps().unwrap().as_str(), "10100094977");
        assert_eq!(submitter.name().unwrap(), "Infertilité - CO");
        assert_eq!(case.lead, None);
        assert_eq!(case.pathway.unwrap().as_str(), "67d443f1bdfe7d0fb1eabdd4");
        assert_eq!(case.network.unwrap().as_str(), "67d441a5bdfe7d0fb1eaad51");
        assert_eq!(case.date.unwrap().to_string(), "2025-04-08");
        assert!(case.scheduling_warnings.is_empty());
        let patient = world.patient("5100001073").unwrap();
        assert_eq!(
            patient.network.unwrap().as_str(),
            "67d441a5bdfe7d0fb1eaad51"
        );
        assert_eq!(
            (patient.birth_name.as_str(), patient.usual_name.as_str()),
            ("TEST", "TEST")
        );
        assert_eq!(patient.birth_date.to_string(), "1950-11-04");
        assert_eq!(patient.identity_status.as_deref(), Some("PROV"));
        assert_eq!(patient.demographics_time, None);
    }

    #[test]
    fn every_datum_is_read_from_its_place() {
        let mut world = world();
        assert_eq!(outcome_text(&world.receive(WHOLE)), "accepted");
        let case = world.case("C-1").unwrap();
        assert_eq!(case.submitter.unwrap().name().unwrap(), "Durand Paul");
        let lead = case.lead.unwrap();
        assert_eq!(lead.known_rpps().unwrap().as_str(), "10102078838");
        assert_eq!(
            (lead.family.as_deref(), lead.given.as_deref()),
            (Some("Médecin"), Some("Audrey"))
        );
        assert_eq!(case.network.unwrap().as_str(), "NET");
        assert_eq!(case.pathway.unwrap().as_str(), "PATH");
    }

    #[test]
    fn all_given_names_of_a_physician_are_kept() {
        for (sent, given) in [
            ("Durand^Paul^Marie Luc", "Paul Marie Luc"),
            ("Durand^Paul^Paul Luc", "Paul Luc"),
            ("Durand^^Luc", "Luc"),
        ] {
            let mut world = world();
            let message = with(&[("10100094977^Durand^Paul", &format!("10100094977^{sent}"))]);
            assert_eq!(outcome_text(&world.receive(&message)), "accepted");
            let submitter = world.case("C-1").unwrap().submitter.unwrap();
            assert_eq!(submitter.given.as_deref(), Some(given), "{sent}");
        }
    }

    #[test]
    fn what_is_required_is_asked_for_by_its_place() {
        let aip = "AIP|1||10100094977^Durand^Paul";
        for (from, to, expected) in [
            ("SCH|C-2|", "ZCH|C-2|", "missing-segment SCH"),
            ("C-1^GAM", "^GAM", "missing-field SCH-2.1"),
            ("C-1^GAM", "\"\"^GAM", "missing-field SCH-2.1"),
            ("20250401100000+0000", "", "missing-field MSH-7"),
            ("20250401100000+0000", "yesterday", "invalid-date MSH-7.1"),
            ("PID|1|", "ZID|1|", "missing-segment PID"),
            ("P-1^^^CHU^PI", "", "missing-ipp PID-3"),
            ("MARTIN^Léa", "^Léa", "missing-field PID-5.1"),
            ("MARTIN^Léa", "MARTIN^", "missing-field PID-5.2"),
            ("19700102", "", "missing-field PID-7.1"),
            ("19700102", "19700231", "invalid-date PID-7.1"),
            ("19700102|F", "19700102|", "missing-field PID-8.1"),
            ("19700102|F", "19700102|U", "sex-not-supported PID-8.1"),
            ("19700102|F", "19700102|F~M", "sex-not-supported PID-8(2).1"),
            (
                "19700102|F",
                "19700102~19700103|F",
                "invalid-date PID-7(2).1",
            ),
            ("C-1^GAM", "C-1^GAM~C-2^GAM", "malformed SCH-2(2).1"),
            (
                "20250415093000",
                "20250415093000~^^^20250515093000",
                "invalid-date SCH-11(2).4",
            ),
            (
                "PATH^^^^^NET",
                "PATH^^^^^NET~LOC^^^OTHER^^^^^NET",
                "malformed AIL-3(2).4",
            ),
            (
                "PATH^^^^^NET",
                "PATH^^^^^NET~LOC^^^PATH^^^^^OTHER",
                "malformed AIL-3(2).9",
            ),
            (
                "19700102|F",
                "19700102|F|||||1234",
                "invalid-phone PID-13.1",
            ),
            (
                "19700102|F",
                "19700102|F|||||^NET^Internet^a@b",
                "invalid-email PID-13.4",
            ),
            ("AIP|", "ZIP|", "missing-segment AIP"),
            (aip, "AIP|3||10100094977", "missing-field AIP-1"),
            (aip, "AIP|1||^Durand", "missing-field AIP-3.1"),
            ("AIL|", "ZIL|", "missing-segment AIL"),
            ("^PATH^", "^^", "missing-field AIL-3.4"),
            ("20250415093000", "", "missing-field SCH-11.4"),
            ("20250415093000", "202504", "invalid-date SCH-11.4"),
            ("20250415093000", "soon", "invalid-date SCH-11.4"),
        ] {
            let mut world = world();
            let before = world.everything();
            assert_eq!(
                outcome_text(&world.receive(&with(&[(from, to)]))),
                expected,
                "{from} → {to}"
            );
            assert_eq!(world.everything(), before, "{from} → {to}");
        }
    }

    #[test]
    fn data_are_found_in_their_fallback_places() {
        let aips = "AIP|1||10100094977^Durand^Paul\nAIP|2||810102078838^Médecin^Audrey";
        let ail = "AIL|1||LOC^^^PATH^^^^^NET";
        for (from, to) in [
            ("^^^20250415093000", "\nTQ1|1||||||20250415"),
            ("^^^20250415093000", "\nAIS|1|||20250415235959-0800"),
            ("^^^20250415093000", "\"\"\nTQ1|1||||||20250415"),
            (
                aips,
                "AIP|||10100094977^Durand^Paul\nAIP|||10102078838^Médecin",
            ),
            (
                aips,
                "AIP|2||10102078838^Médecin\nAIP|1||10100094977^Durand^Paul\nAIP|1||10102078838",
            ),
            (
                ail,
                "AIL|1||LOC\nAIL|2||LOC^^^PATH^^^^^NET\nAIL|3||LOC^^^OTHER^^^^^OTHER",
            ),
            ("UTF-8", ""),
        ] {
            let mut world = world();
            assert_eq!(
                outcome_text(&world.receive(&with(&[(from, to)]))),
                "accepted",
                "{to}"
            );
            let case = world.case("C-1").unwrap();
            assert_eq!(case.state, scheduled("S-1").unwrap(), "{to}");
            assert_eq!(
                case.submitter.unwrap().known_rpps().unwrap().as_str(),
                "10100094977",
                "{to}"
            );
            assert_eq!(
                case.lead.unwrap().known_rpps().unwrap().as_str(),
                "10102078838",
                "{to}"
            );
            assert_eq!(case.network.unwrap().as_str(), "NET", "{to}");
        }
    }

    #[test]
    fn physicians_are_taken_by_order_where_their_numbers_say_no_more() {
        let aips = "AIP|1||10100094977^Durand^Paul\nAIP|2||810102078838^Médecin^Audrey";
        for (first, second) in [
            ("0", "1"),
            ("1", "3"),
            ("0", "2"),
            ("10", "20"),
            ("A", "B"),
            ("1", "1"),
            ("0", "0"),
            ("7", "7"),
            ("3", ""),
        ] {
            let mut world = world();
            let sent = format!(
                "AIP|{first}||10100094977^Durand^Paul\nAIP|{second}||810102078838^Médecin^Audrey"
            );
            let outcome = outcome_text(&world.receive(&with(&[(aips, &sent)])));
            // The place of the second is its number where it has none.
            if second.is_empty() {
                assert_eq!(outcome, "missing-field AIP-1", "{first} {second}");
                continue;
            }
            assert_eq!(outcome, "accepted aip-numbering", "{first} {second}");
            let case = world.case("C-1").unwrap();
            assert_eq!(
                case.submitter.unwrap().known_rpps().unwrap().as_str(),
                "10100094977"
            );
            assert_eq!(
                case.lead.unwrap().known_rpps().unwrap().as_str(),
                "10102078838"
            );
        }
        // One physician twice is one.
        let mut twice = world();
        let same = aips.replace(
            "AIP|2||810102078838^Médecin^Audrey",
            "AIP|1||10100094977^Durand^Paul",
        );
        assert_eq!(
            outcome_text(&twice.receive(&with(&[(aips, &same)]))),
            "accepted"
        );
        assert_eq!(twice.case("C-1").unwrap().lead, None);
        let mut world = world();
        let swapped = "AIP|3||810102078838^Médecin^Audrey\nAIP|1||10100094977^Durand^Paul";
        assert_eq!(
            outcome_text(&world.receive(&with(&[(aips, swapped)]))),
            "accepted aip-numbering"
        );
        let submitter = world.case("C-1").unwrap().submitter.unwrap();
        assert_eq!(submitter.known_rpps().unwrap().as_str(), "10100094977");
    }

    #[test]
    fn the_places_of_the_date_are_configuration() {
        let mut twice = world();
        let same_day = [("20250415093000", "20250415093000~^^^20250415140000")];
        assert_eq!(outcome_text(&twice.receive(&with(&same_day))), "accepted");
        let mut world = World::configured("[facility.fields]\nsession_date = [\"SCH-12.1\"]");
        world.session("S-1", "2025-04-16", "PATH", "");
        let message = with(&[("20250415093000", "20250415|20250416")]);
        assert_eq!(outcome_text(&world.receive(&message)), "accepted");
        assert_eq!(state(&world), scheduled("S-1"));
        assert_eq!(
            outcome_text(&world.receive(&with(&[("C-1", "C-9")]))),
            "missing-field SCH-12.1"
        );
    }

    #[test]
    fn a_wrong_rpps_is_kept_and_warned_of() {
        let mut world = world();
        let message = with(&[
            ("10100094977", "10100094978"),
            ("|2||810102078838^Médecin^Audrey", "|2"),
        ]);
        assert_eq!(
            outcome_text(&world.receive(&message)),
            "accepted rpps-invalid"
        );
        let case = world.case("C-1").unwrap();
        assert_eq!(
            case.submitter.unwrap().known_rpps().unwrap().as_str(),
            "10100094978"
        );
        assert_eq!(case.lead, None);
        assert_eq!(case.scheduling_warnings, [WarningCode::RppsInvalid]);
    }

    #[test]
    fn exactly_one_planned_session_takes_the_case() {
        for (sessions, expected) in [
            (&[("A", "PATH", "")][..], "accepted"),
            (&[("A", "OTHER", "PATH")], "accepted"),
            (&[("A", "PATH", "X"), ("B", "Y", "PATH")], "accepted"),
            (
                &[("A", "PATH", ""), ("B", "PATH", "")],
                "accepted session-ambiguous",
            ),
            (
                &[("A", "X", "PATH"), ("B", "Y", "PATH")],
                "accepted session-ambiguous",
            ),
            (&[("A", "X", "Y")], "accepted session-not-found"),
            (&[], "accepted session-not-found"),
        ] {
            let mut world = World::new();
            world.session("Z", "2025-04-16", "PATH", "PATH");
            for (id, pathway, family) in sessions {
                world.session(id, "2025-04-15", pathway, family);
            }
            for (id, state) in [("C", SessionState::Closed), ("D", SessionState::Cancelled)] {
                let mut session = crate::intake::testing::session(id, "2025-04-15", "PATH", "");
                session.state = state;
                world.put([Record::Session(session)]);
            }
            assert_eq!(
                outcome_text(&world.receive(WHOLE)),
                expected,
                "{sessions:?}"
            );
            let expected = if expected == "accepted" {
                scheduled("A")
            } else {
                Some(CaseState::Unscheduled)
            };
            assert_eq!(state(&world), expected);
        }
    }

    #[test]
    fn a_case_without_session_waits_on_a_note_with_its_message() {
        let mut world = World::new();
        assert_eq!(
            outcome_text(&world.receive(WHOLE)),
            "accepted session-not-found"
        );
        let case = world.case("C-1").unwrap();
        assert_eq!(case.scheduling_warnings, [WarningCode::SessionNotFound]);
        let [note] = &world.notes("P-1")[..] else {
            panic!()
        };
        assert_eq!(case.note.as_ref(), Some(&note.id));
        assert_eq!(note.reason, NoteReason::SessionNotFound);
        assert_eq!(note.case, Some(case.id.clone()));
        let kept = world
            .view()
            .document(&note.facility, &note.documents[0])
            .unwrap()
            .unwrap();
        assert_eq!(kept.kind, DocumentKind::Message);
        assert_eq!(kept.attached, AttachmentPlace::Note(note.id.clone()));
        let version = kept.current().unwrap();
        assert_eq!(version.content_type, ContentType::Hl7);
        assert_eq!(version.file_name, "SIU_S12.hl7");
        let content = &world.contents[&version.sha256];
        assert_eq!(
            String::from_utf8_lossy(content),
            WHOLE.replace('\n', "\r") + "\r"
        );
        assert_eq!(u64::try_from(content.len()).unwrap(), version.size);

        world.session("S-1", "2025-04-15", "PATH", "");
        world.session("S-2", "2025-04-15", "PATH", "");
        assert_eq!(
            outcome_text(&world.receive(&at("S14", 1))),
            "updated session-ambiguous"
        );
        let [note] = &world.notes("P-1")[..] else {
            panic!()
        };
        assert_eq!(note.reason, NoteReason::SessionAmbiguous);
        assert_eq!(note.documents.len(), 1);
        let mut session = crate::intake::testing::session("S-2", "2025-04-15", "PATH", "");
        session.state = SessionState::Cancelled;
        world.put([Record::Session(session)]);
        assert_eq!(outcome_text(&world.receive(&at("S14", 2))), "updated");
        assert_eq!(state(&world), scheduled("S-1"));
        assert!(world.notes("P-1").is_empty());
        let case = world.case("C-1").unwrap();
        assert_eq!((case.note, case.scheduling_warnings), (None, Vec::new()));
    }

    #[test]
    fn the_key_is_not_kept_with_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "s3cr3t&k\n").unwrap();
        let mut world = World::configured(&format!("api_key_file = {key:?}"));
        let message = with(&[("|CHU|", r"|s3cr3t\T\k^x|")]);
        assert_eq!(
            outcome_text(&world.receive(&message)),
            "accepted session-not-found"
        );
        let kept: Vec<&str> = world
            .contents
            .values()
            .map(|kept| std::str::from_utf8(kept).unwrap())
            .collect();
        assert!(
            kept[0].starts_with("MSH|^~\\&|GAM|demo|RCP|RCP|2025"),
            "{}",
            kept[0]
        );
        assert!(
            world
                .everything()
                .iter()
                .all(|(_, value)| !String::from_utf8_lossy(value).contains("s3cr3t"))
        );
        let message = Message::parse(message.as_bytes()).unwrap();
        let described = crate::intake::describe::describe(&message, &world.facility);
        assert_eq!(described.sending_facility, ["demo"]);
        assert!(!format!("{described:?}").contains("s3cr3t"));
    }

    #[test]
    fn the_latest_scheduling_replaces() {
        let mut world = world();
        world.receive(WHOLE);
        let moved = at("S13", 1)
            .replace("20250415", "20250501")
            .replace("\nAIP|2||810102078838^Médecin^Audrey", "")
            .replace("^^^^^NET", "");
        assert_eq!(
            outcome_text(&world.receive(&moved)),
            "updated session-not-found"
        );
        let case = world.case("C-1").unwrap();
        assert_eq!(case.state, CaseState::Unscheduled);
        assert_eq!((case.lead, case.network), (None, None));
        assert_eq!(case.date.unwrap().to_string(), "2025-05-01");
        assert!(
            world
                .view()
                .cases_of_session(&SessionId::new("S-1"))
                .unwrap()
                .is_empty()
        );
        assert_eq!(world.notes("P-1").len(), 1);
        assert_eq!(
            world.patient("P-1").unwrap().network.unwrap().as_str(),
            "NET"
        );
    }

    #[test]
    fn only_what_is_newer_counts() {
        let mut world = world();
        assert_eq!(outcome_text(&world.receive(&at("S14", 5))), "accepted");
        assert_eq!(outcome_text(&world.receive(&at("S14", 5))), "duplicate");
        assert_eq!(outcome_text(&world.receive(&at("S13", 5))), "updated");
        let before = world.everything();
        // The same instant in another zone is not older, an earlier one is.
        let earlier = at("S12", 5)
            .replace("+0000", "+0100")
            .replace("19700102", "what");
        assert_eq!(outcome_text(&world.receive(&earlier)), "stale");
        assert_eq!(world.everything(), before);
        assert_eq!(outcome_text(&world.receive(&earlier)), "stale");
        let same = at("S12", 5)
            .replace("2025040110", "2025040111")
            .replace("+0000", "+0100");
        assert_eq!(outcome_text(&world.receive(&same)), "updated");
    }

    #[test]
    fn a_cancel_needs_only_the_case() {
        for cancel in ["S15", "S17"] {
            let mut world = world();
            world.receive(WHOLE);
            let message =
                format!("MSH|^~\\&|||||20250401100500+0000||SIU^{cancel}|2|P|2.5\rSCH||C-1\r");
            assert_eq!(outcome_text(&world.receive(&message)), "updated");
            assert_eq!(state(&world), Some(CaseState::Cancelled));
            assert_eq!(outcome_text(&world.receive(&at("S12", 4))), "stale");
            assert_eq!(outcome_text(&world.receive(&at("S13", 6))), "updated");
            assert_eq!(state(&world), scheduled("S-1"));
            for (pid, expected) in [
                ("PID|||P-2^^^^PI", "case-patient-mismatch PID-3.1"),
                ("PID|||P-1^^^^PI||NOBODY", "updated"),
                ("PID|||", "updated"),
            ] {
                let message = format!("{}\r{pid}\r", message.replace("100500", "100700"));
                assert_eq!(outcome_text(&world.receive(&message)), expected, "{pid}");
            }
            assert_eq!(world.patient("P-2"), None);
        }
    }

    #[test]
    fn a_cancel_for_an_unseen_case_is_remembered() {
        let mut world = world();
        assert_eq!(outcome_text(&world.receive(&at("S15", 5))), "accepted");
        assert_eq!(state(&world), Some(CaseState::Cancelled));
        assert_eq!(world.case("C-1").unwrap().ipp, None);
        assert_eq!(world.patient("P-1"), None);
        assert_eq!(outcome_text(&world.receive(&at("S12", 4))), "stale");
        assert_eq!(world.patient("P-1"), None);
        assert_eq!(outcome_text(&world.receive(&at("S12", 6))), "updated");
        assert_eq!(state(&world), scheduled("S-1"));
        let other = at("S15", 7).replace("C-1", "C-3");
        assert_eq!(outcome_text(&world.receive(&other)), "accepted");
        assert_eq!(world.case("C-3").unwrap().ipp, Some(Ipp::new("P-1")));
    }

    #[test]
    fn a_cancel_ends_the_waiting() {
        let mut world = World::new();
        world.receive(WHOLE);
        assert_eq!(world.notes("P-1").len(), 1);
        world.receive(&at("S15", 1));
        assert!(world.notes("P-1").is_empty());
    }

    #[test]
    fn a_completed_case_stays_as_it_is() {
        let mut world = world();
        world.receive(WHOLE);
        let mut case = world.case("C-1").unwrap();
        case.state = CaseState::Completed(SessionId::new("S-1"));
        world.put([Record::Case(case)]);
        for trigger in ["S12", "S13", "S14", "S15", "S17"] {
            assert_eq!(
                outcome_text(&world.receive(&at(trigger, 5))),
                "case-completed SCH-2.1"
            );
        }
    }

    #[test]
    fn a_known_patient_is_compared_and_not_changed() {
        for (from, to, expected, mismatch) in [
            ("MARTIN", "Mârtin", "updated", false),
            ("19700102", "1970", "updated", false),
            ("19700102", "", "updated", false),
            ("MARTIN^Léa", "^", "updated", false),
            ("MARTIN", "DUPONT", "updated identity-mismatch", true),
            ("19700102", "19700103", "updated identity-mismatch", true),
            (
                "19700102|F",
                "19700102|M",
                "updated identity-mismatch",
                true,
            ),
            ("Léa", "Zoé", "updated", false),
            (
                "MARTIN^Léa^^^^^L||19700102",
                "DUPONT^Léa^^^^^L||19700103",
                "identity-mismatch PID-5",
                false,
            ),
            (
                "19700102|F",
                "19700102|F|||||1234",
                "invalid-phone PID-13.1",
                false,
            ),
        ] {
            let mut world = world();
            world.receive(WHOLE);
            let known = world.patient("P-1");
            let outcome = world.receive(&at("S14", 1).replace(from, to));
            assert_eq!(outcome_text(&outcome), expected, "{from} → {to}");
            assert_eq!(world.patient("P-1"), known);
            let case = world.case("C-1").unwrap();
            assert_eq!(case.identity_mismatch, mismatch, "{to}");
            assert_eq!(case.identity_given.is_some(), mismatch, "{to}");
            assert!(case.scheduling_warnings.is_empty());
        }
    }

    #[test]
    fn a_doubt_of_identity_ends_once_what_was_given_agrees() {
        let corrected = "MSH|^~\\&|||||20250402||ADT^A08^ADT_A01|1|P|2.5\rPID|1||P-1^^^^PI||DUPONT^Léa^^^^^L||19700102|F\r";
        for (then, in_doubt) in [
            (at("S14", 2), false),
            (at("S14", 2).replace("MARTIN", "DUPONX"), true),
            // What does not give the name does not agree on it.
            (at("S14", 2).replace("MARTIN^Léa", "^"), true),
            (corrected.to_owned(), false),
            (corrected.replace("DUPONT", "DURAND"), true),
        ] {
            let mut world = world();
            world.receive(WHOLE);
            let other = at("S14", 1).replace("MARTIN", "DUPONT");
            assert_eq!(
                outcome_text(&world.receive(&other)),
                "updated identity-mismatch"
            );
            world.receive(&then);
            let (case, patient) = (world.case("C-1").unwrap(), world.patient("P-1"));
            assert_eq!(
                case.is_identity_in_doubt(patient.as_ref()),
                in_doubt,
                "{then}"
            );
            assert_eq!(case.identity_in_doubt(patient.as_ref()).is_some(), in_doubt);
        }
    }

    /// What another kind of message gave is in doubt until it agrees; each end of a doubt is told once.
    #[test]
    fn the_end_of_a_doubt_is_told() {
        let adt = |name: &str, day: u32| {
            format!(
                "MSH|^~\\&|||||2025040{day}||ADT^A08^ADT_A01|1|P|2.5\rPID|1||P-1^^^^PI||{name}^Léa^^^^^L||19700102|F\r"
            )
        };
        let told_in = |world: &World| -> Vec<String> {
            let lines = world.history.iter().map(|(_, line)| line.clone());
            lines.filter(|line| line.contains("in doubt")).collect()
        };
        let ended = |by: &str| {
            format!(
                "the identity is in doubt no more: {by} agrees with what is known, after CDA gave another"
            )
        };
        let mut world = world();
        world.receive(WHOLE);
        let mut case = world.case("C-1").unwrap();
        let dupont = Traits {
            birth_name: Some("Dupont".to_owned()),
            ..Traits::default()
        };
        case.identity_mismatch = true;
        case.identity_given = Some(dupont.given_by("CDA".to_owned()));
        world.put([Record::Case(case)]);
        // One of another kind that agrees with what is known, and not with what was given.
        world.receive(&at("S14", 1));
        assert!(world.case("C-1").unwrap().identity_mismatch);
        assert!(told_in(&world).is_empty());
        world.receive(&adt("DURAND", 2));
        assert!(told_in(&world).is_empty());
        world.receive(&adt("DUPONT", 3));
        assert_eq!(told_in(&world), [ended("ADT^A08")]);
        let (case, patient) = (world.case("C-1").unwrap(), world.patient("P-1"));
        assert!(case.identity_mismatch && !case.is_identity_in_doubt(patient.as_ref()));
        // One that agrees with both takes the doubt away for good.
        world.receive(&at("S14", 2).replace("MARTIN", "DUPONT"));
        let case = world.case("C-1").unwrap();
        assert!(!case.identity_mismatch && case.identity_given.is_none());
        assert_eq!(told_in(&world), [ended("ADT^A08"), ended("SIU^S14")]);
        world.receive(&at("S14", 3).replace("MARTIN", "DUPONT"));
        assert_eq!(told_in(&world).len(), 2);
    }

    #[test]
    fn an_agreeing_siu_ends_only_the_doubt_that_a_siu_left() {
        let mut world = world();
        world.receive(WHOLE);
        let mut case = world.case("C-1").unwrap();
        let dupont = Traits {
            birth_name: Some("Dupont".to_owned()),
            ..Traits::default()
        };
        case.doubt_identity(dupont.given_by("CDA".to_owned()));
        world.put([Record::Case(case)]);
        let given = |world: &World| {
            let (case, patient) = (world.case("C-1").unwrap(), world.patient("P-1"));
            let given = case.identity_in_doubt(patient.as_ref());
            given.map(|given| given.by.clone())
        };
        assert_eq!(given(&world).as_deref(), Some("CDA"));
        world.receive(&at("S14", 1).replace("MARTIN", "DURAND"));
        assert_eq!(given(&world).as_deref(), Some("SIU^S14"));
        world.receive(&at("S14", 2));
        assert_eq!(given(&world).as_deref(), Some("CDA"));
    }

    #[test]
    fn a_case_stays_with_its_patient_unless_it_is_surely_the_same_person() {
        let other = |trigger: &str| at(trigger, 5).replace("P-1", "P-2");
        let mut world = world();
        world.receive(WHOLE);
        for (message, expected) in [
            (other("S12"), "case-patient-mismatch PID-3.1"),
            (other("S13"), "case-patient-mismatch PID-3.1"),
            (
                other("S14").replace("Léa", "Eva"),
                "case-patient-mismatch PID-3.1",
            ),
            (
                other("S14").replace("19700102", ""),
                "case-patient-mismatch PID-3.1",
            ),
            (
                other("S14").replace("|F", "|M"),
                "case-patient-mismatch PID-3.1",
            ),
        ] {
            assert_eq!(outcome_text(&world.receive(&message)), expected);
            assert_eq!(world.patient("P-2"), None);
        }
        assert_eq!(outcome_text(&world.receive(&other("S14"))), "updated");
        assert_eq!(world.case("C-1").unwrap().ipp, Some(Ipp::new("P-2")));
        assert!(world.patient("P-2").is_some());
        let of = |ipp| {
            world
                .view()
                .cases_of_patient(&world.facility.id, &Ipp::new(ipp))
                .unwrap()
                .len()
        };
        assert_eq!((of("P-1"), of("P-2")), (0, 1));
    }

    #[test]
    fn what_is_the_cases_goes_with_it_to_its_new_patient() {
        let mut world = World::new();
        world.receive(WHOLE);
        let moved = at("S14", 1).replace("P-1", "P-2");
        assert_eq!(
            outcome_text(&world.receive(&moved)),
            "updated session-not-found"
        );
        assert!(world.notes("P-1").is_empty());
        let [note] = &world.notes("P-2")[..] else {
            panic!()
        };
        let kept = world
            .view()
            .document(&note.facility, &note.documents[0])
            .unwrap()
            .unwrap();
        assert_eq!(kept.ipp, Ipp::new("P-2"));
        assert_eq!(world.versions(&kept).len(), 2);
        assert_eq!(world.contents.len(), 2);
        // What is kept may be needed again once the case has left its session, so it goes with a scheduled case too.
        world.session("S-1", "2025-04-15", "PATH", "");
        let moved = at("S14", 2).replace("P-1", "P-3");
        assert_eq!(outcome_text(&world.receive(&moved)), "updated");
        let kept = world.view().document(&kept.facility, &kept.id).unwrap();
        assert_eq!(kept.unwrap().ipp, Ipp::new("P-3"));
    }

    #[test]
    fn an_untyped_ipp_is_taken_with_a_warning() {
        let mut world = world();
        let outcome = world.receive(&with(&[("P-1^^^CHU^PI", "P-1^^^CHU")]));
        assert_eq!(outcome_text(&outcome), "accepted ipp-untyped");
        assert_eq!(
            world.case("C-1").unwrap().scheduling_warnings,
            [WarningCode::IppUntyped]
        );
        assert_eq!(
            world.patient("P-1").unwrap().authority.unwrap().namespace,
            "CHU"
        );
    }

    #[test]
    fn doubts_about_the_character_set_stay_with_the_case() {
        let mut world = world();
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(WHOLE);
        assert_eq!(
            outcome_text(&world.receive_bytes(&bytes)),
            "accepted charset-mismatch"
        );
        assert_eq!(
            world.case("C-1").unwrap().scheduling_warnings,
            [WarningCode::CharsetMismatch]
        );
        assert_eq!(world.patient("P-1").unwrap().given_name, "Léa");
    }

    /// The messages of one case, each with its own time: what, for which date and pathway, and whether with a lead.
    fn messages() -> impl Strategy<Value = Vec<String>> {
        let one = (0..5_usize, 14..18_u32, 0..3_usize, any::<bool>());
        proptest::collection::vec(one, 1..7).prop_map(|messages| {
            messages
                .into_iter()
                .zip(0..)
                .map(|((trigger, day, pathway, has_lead), minute)| {
                    let lead = if has_lead { "|2||810102078838" } else { "|2||" };
                    at(["S12", "S13", "S14", "S15", "S17"][trigger], minute)
                        .replace("20250415", &format!("202504{day}"))
                        .replace("PATH", ["PATH", "FAM", "OTHER"][pathway])
                        .replace("|2||810102078838", lead)
                })
                .collect()
        })
    }

    /// Everything in the store but which messages were applied, and those that a note kept on the way.
    fn what_counts(world: &World) -> Vec<(String, String)> {
        let passing = [
            "applied/",
            "document/",
            "document-version/",
            "patient-document/",
        ];
        world
            .everything()
            .into_iter()
            .filter(|(key, _)| !passing.iter().any(|passing| key.starts_with(passing)))
            .map(|(key, value)| (key, String::from_utf8_lossy(&value).into_owned()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_order_of_arrival_does_not_matter(
            (messages, arrivals) in messages().prop_flat_map(|messages| {
                let all: Vec<usize> = (0..messages.len()).collect();
                let again = proptest::collection::vec(0..messages.len(), 0..6);
                let arrivals = again.prop_flat_map(move |again| {
                    Just([all.clone(), again].concat()).prop_shuffle()
                });
                (Just(messages), arrivals)
            })
        ) {
            let sessions = |world: &mut World| {
                world.session("S-2", "2025-04-16", "X", "PATH");
                world.session("S-3", "2025-04-17", "PATH", "");
                world.session("S-4", "2025-04-17", "PATH", "");
            };
            let mut ordered = world();
            sessions(&mut ordered);
            for message in &messages {
                let outcome = ordered.receive(message);
                prop_assert_eq!(outcome.refusal(), None);
            }
            let mut shuffled = world();
            sessions(&mut shuffled);
            for place in arrivals {
                let outcome = shuffled.receive(&messages[place]);
                prop_assert_eq!(outcome.refusal(), None);
            }
            let (one, other) = (ordered.case("C-1").unwrap(), shuffled.case("C-1").unwrap());
            prop_assert_eq!(&one.state, &other.state);
            prop_assert_eq!(&one.siu_time, &other.siu_time);
            prop_assert_eq!(ordered.notes("P-1").len(), shuffled.notes("P-1").len());
            // Of a cancelled case, what it was before is known only where that came first.
            if one.state != CaseState::Cancelled {
                prop_assert_eq!(what_counts(&ordered), what_counts(&shuffled));
            }
        }
    }
}
