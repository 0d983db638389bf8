//! A40: patients become one (interface.md 3, "Merge"; IHE PAM, "Merge").
//!
//! All IPPs of a person lead to the one that the person's things are kept under ([`PersonIpps`]). A merge has the side with
//! fewer IPPs lead to the other and moves only its things, whichever of them survives, so that a chain of merges costs
//! no more than a star. The pairs of a message are added up before anything is written: one may build on another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::identity::ipp::{self, IppRead};
use super::message_time::message_time;
use super::pid_context::{PidContext, is_stale, merged_away, record_agreements};
use super::required::required_segment;
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, Stop, scheduling};
use crate::hl7::{Message, Position, Segment};
use crate::model::case::Case;
use crate::model::change::{Change, Record, Subject};
use crate::model::document::{AttachmentPlace, Document};
use crate::model::identifiers::{CaseId, Ins, Ipp};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::{Patient, PersonIpps};
use crate::model::view::{View, ViewError};

/// Decides on an A40.
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    let time = message_time(message, context, trail)?;
    let pairs = pairs(message)?;
    // Until something is merged or changed.
    let mut decision = Decision::unchanged(Verdict::Duplicate);
    let mut merging = Merging {
        source: PidContext {
            message,
            facility,
            view,
            time,
            about_one: pairs.len() == 1,
        },
        joined: HashMap::new(),
        persons: HashMap::new(),
        patients: BTreeMap::new(),
        ins: HashMap::new(),
        concerned: BTreeSet::new(),
        ended: Vec::new(),
    };
    for pair in &pairs {
        merging.apply(pair, &mut decision, trail)?;
    }
    merging.write(&mut decision)?;
    Ok(decision)
}

/// A surviving patient, and those that are merged into it.
struct MergePair<'m> {
    survivor: Segment<'m>,
    old: Vec<Segment<'m>>,
}

/// The PIDs of the message, each with the MRGs that follow it.
fn pairs<'m>(message: &Message<'m>) -> Result<Vec<MergePair<'m>>, Refusal> {
    let mut pairs: Vec<MergePair<'m>> = Vec::new();
    for segment in message.segments() {
        match (segment.name(), pairs.last_mut()) {
            ("PID", _) => pairs.push(MergePair {
                survivor: segment,
                old: Vec::new(),
            }),
            ("MRG", Some(pair)) if !pair.old.is_empty() => {
                return Err(Refusal::new(
                    Reason::Malformed,
                    format!(
                        "expected one MRG after each PID of a merge, found a second one after {}; the PID between them may be lost, so send each MRG behind the PID of its surviving patient",
                        pair.survivor.position()
                    ),
                )
                .at(segment.position()));
            }
            ("MRG", Some(pair)) => pair.old.push(segment),
            ("MRG", None) => {
                return Err(Refusal::new(
                    Reason::MissingSegment,
                    "expected the PID of the surviving patient before MRG, found none",
                )
                .at(Position::of_segment("PID")));
            }
            _ => {}
        }
    }
    if pairs.is_empty() {
        required_segment(message, "PID", &mut Trail::off())?;
    }
    match pairs.iter().find(|pair| pair.old.is_empty()) {
        None => Ok(pairs),
        Some(pair) => Err(Refusal::new(
            Reason::MissingSegment,
            format!(
                "expected an MRG after each PID of a merge, found none after {}",
                pair.survivor.position()
            ),
        )
        .at(Position::of_segment("MRG"))),
    }
}

/// What the pairs of a message add up to, before any of it is written.
struct Merging<'a, 'm> {
    source: PidContext<'a, 'm>,
    /// Of the persons that this message made one with others, each by where its things are kept: where those of the
    /// other are kept.
    joined: HashMap<Ipp, Ipp>,
    /// The persons as this message makes them, by where their things are kept.
    persons: HashMap<Ipp, PersonIpps>,
    /// The surviving patients as they are to be.
    patients: BTreeMap<Ipp, Patient>,
    /// Whom this message gives an INS.
    ins: HashMap<Ins, Ipp>,
    /// Where the things of every person that this message made one with another were kept before.
    concerned: BTreeSet<Ipp>,
    /// The IPPs that went out of use, each with the INS that was known by it.
    ended: Vec<(Ipp, Option<Ins>)>,
}

impl Merging<'_, '_> {
    fn apply(
        &mut self,
        pair: &MergePair<'_>,
        decision: &mut Decision<'_>,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        let facility = self.source.facility;
        let read = ipp::ipp(&pair.survivor, facility, trail)?;
        read.warn(&mut decision.warnings);
        for merged in &pair.old {
            let old = ipp::read_ipp(merged.field(1), "merged_ipp", facility, trail);
            let old = trail.go_on(old, || ipp::no_ipp(merged.field(1)))?;
            old.warn(&mut decision.warnings);
            if self.unite(&old, &read)? && decision.verdict == Verdict::Duplicate {
                decision.verdict = Verdict::Updated;
            }
        }
        let survivor = self.person(&read.ipp)?.ipp;
        if survivor != read.ipp {
            decision.warnings.push(merged_away(&read, &survivor));
            return Ok(());
        }
        let known = self.patient(&survivor)?;
        if is_stale(known.as_ref(), self.source.time) {
            return Ok(());
        }
        decision.verdict = match (&known, decision.verdict) {
            (None, _) | (_, Verdict::Accepted) => Verdict::Accepted,
            (Some(_), _) => Verdict::Updated,
        };
        let patient = self.source.patient(
            &pair.survivor,
            read,
            known.clone(),
            &|ins| self.other_with_ins(ins, &survivor),
            &mut decision.warnings,
            trail,
        )?;
        if let Some(ins) = &patient.ins {
            self.ins.insert(ins.clone(), survivor.clone());
        }
        if let Some(known) = &known {
            record_agreements(self.source.view, decision, known, &patient, "ADT^A40")?;
        }
        self.patients.insert(survivor, patient);
        Ok(())
    }

    /// Makes the person of the old IPP one with the person of the other, whose IPP stays in use. Says whether they were
    /// two.
    fn unite(&mut self, old: &IppRead, survivor: &IppRead) -> Result<bool, Stop> {
        let gone = self.person(&old.ipp)?;
        let stays = self.person(&survivor.ipp)?;
        if gone.kept_under == stays.kept_under {
            return match old.ipp == stays.ipp || old.ipp == survivor.ipp {
                true => Err(cycle(old, survivor).into()),
                false => Ok(false),
            };
        }
        if gone.ipp != old.ipp {
            return Err(conflict(old, &gone.ipp, &stays.ipp).into());
        }
        let known = self.patient(&old.ipp)?;
        self.ended
            .push((old.ipp.clone(), known.and_then(|it| it.ins)));
        self.patients.remove(&old.ipp);
        let ipps = gone.ipps.saturating_add(stays.ipps);
        let (from, into) = match gone.ipps > stays.ipps {
            true => (stays.kept_under, gone.kept_under),
            false => (gone.kept_under, stays.kept_under),
        };
        self.concerned.extend([from.clone(), into.clone()]);
        self.joined.insert(from, into.clone());
        let person = PersonIpps {
            kept_under: into.clone(),
            ipp: stays.ipp,
            ipps,
        };
        self.persons.insert(into, person);
        Ok(true)
    }

    /// Whom an IPP leads to, with what this message merges.
    fn person(&self, ipp: &Ipp) -> Result<PersonIpps, ViewError> {
        let known = self.source.view.person(&self.source.facility.id, ipp)?;
        let person = self.persons.get(self.kept_now(&known.kept_under));
        Ok(person.cloned().unwrap_or(known))
    }

    /// Where the things are kept now that were kept here; since the smaller side joins the larger, a few steps away.
    fn kept_now<'k>(&'k self, before: &'k Ipp) -> &'k Ipp {
        let mut now = before;
        while let Some(next) = self.joined.get(now) {
            now = next;
        }
        now
    }

    fn patient(&self, ipp: &Ipp) -> Result<Option<Patient>, ViewError> {
        match self.patients.get(ipp) {
            Some(patient) => Ok(Some(patient.clone())),
            None => self.source.view.patient(&self.source.facility.id, ipp),
        }
    }

    /// Whose this INS is, other than this patient's, before this message or by it.
    fn other_with_ins(&self, ins: &Ins, own: &Ipp) -> Result<Option<Ipp>, ViewError> {
        let known = self
            .source
            .view
            .patients_with_ins(&self.source.facility.id, ins)?;
        for ipp in known.iter().chain(self.ins.get(ins)) {
            let other = self.person(ipp)?.ipp;
            if other != *own {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    fn write(mut self, decision: &mut Decision<'_>) -> Result<(), ViewError> {
        let PidContext { view, facility, .. } = self.source;
        let facility = &facility.id;
        let mut moved: BTreeMap<Ipp, Vec<PersonIpps>> = BTreeMap::new();
        for before in &self.concerned {
            let now = self.kept_now(before);
            if now != before {
                let person = view.person(facility, before)?;
                moved.entry(now.clone()).or_default().push(person);
            }
        }
        // From here on whatever is put is kept where it belongs.
        for (now, persons) in &moved {
            decision.changes.extend(persons.iter().map(|person| {
                let alias = Record::Alias {
                    facility: facility.clone(),
                    ipp: person.kept_under.clone(),
                    leads_to: now.clone(),
                };
                Change::Put(alias)
            }));
            if let Some(person) = self.persons.get(now) {
                let person = Record::Person(facility.clone(), person.clone());
                decision.changes.push(person.into());
            }
        }
        let ended = std::mem::take(&mut self.ended);
        let mut heirs = BTreeMap::new();
        for (old, ins) in ended {
            let survivor = self.person(&old)?.ipp;
            for (ipp, what) in [
                (&survivor, format!("IPP {old} merged into it by ADT^A40")),
                (&old, format!("merged into {survivor} by ADT^A40")),
            ] {
                let subject = Subject::Patient(facility.clone(), ipp.clone());
                decision.history.push((subject, what));
            }
            if let Some(gone) = view.patient(facility, &old)? {
                decision.changes.push(Change::Delete(Record::Patient(gone)));
            }
            if let Some(ins) = ins {
                heirs.entry(survivor).or_insert(ins);
            }
        }
        // The INS of whoever was merged away finds the survivor, who may have none.
        for (survivor, ins) in heirs {
            let Some(mut heir) = self.patient(&survivor)?.filter(|heir| heir.ins.is_none()) else {
                continue;
            };
            if !heir.may_have_ins() {
                decision.warnings.push(Warning::new(
                    WarningCode::InsUnverified,
                    format!(
                        "expected a verified identity of {survivor}, into which a patient with an INS was merged, found another status; the INS is not kept"
                    ),
                ));
                continue;
            }
            heir.ins = Some(ins);
            self.patients.insert(survivor, heir);
        }
        let patients = self.patients.values().cloned();
        decision
            .changes
            .extend(patients.map(|patient| Record::Patient(patient).into()));
        for (now, persons) in &moved {
            self.move_things(persons, now, decision)?;
        }
        Ok(())
    }

    /// Cases, notes and documents of these persons go where the others' are kept; what is in a case goes with it. A
    /// document joins the case that it waited for under another IPP.
    fn move_things(
        &self,
        persons: &[PersonIpps],
        now: &Ipp,
        decision: &mut Decision<'_>,
    ) -> Result<(), ViewError> {
        let PidContext { view, facility, .. } = self.source;
        let facility = &facility.id;
        let survivor = self.person(now)?.ipp;
        let is_here = |ipp: &Ipp| Ok::<bool, ViewError>(self.person(ipp)?.kept_under == *now);
        // Where a document may join now: what was of one person before has found each other already.
        let mut cases: BTreeMap<CaseId, Case> = BTreeMap::new();
        for person in persons {
            for mut case in view.cases_of_patient(facility, &person.ipp)? {
                case.ipp = Some(survivor.clone());
                decision.changes.push(Record::Case(case.clone()).into());
                cases.insert(case.id.clone(), case);
            }
            for mut note in view.notes_of_patient(facility, &person.ipp)? {
                note.ipp = survivor.clone();
                decision.changes.push(Record::Note(note).into());
            }
            for mut document in view.documents_outside_cases(facility, &person.ipp)? {
                document.ipp = survivor.clone();
                if let (Some(id), AttachmentPlace::Note(_)) = (&document.awaits, &document.attached)
                    && !cases.contains_key(id)
                    && let Some(mut case) = view.case(facility, id)?
                    && let Some(ipp) = &case.ipp
                    && is_here(ipp)?
                {
                    case.ipp = Some(survivor.clone());
                    cases.insert(id.clone(), case);
                }
                decision.changes.push(Record::Document(document).into());
            }
        }
        for (id, case) in cases {
            let mut waiting: Vec<Document> = Vec::new();
            for mut document in view.documents_awaiting(facility, &id)? {
                if is_here(&document.ipp)? {
                    document.ipp = survivor.clone();
                    waiting.push(document);
                }
            }
            if !waiting.is_empty() {
                scheduling::join(view, decision, &case, waiting)?;
                decision.changes.push(Record::Case(case).into());
            }
        }
        Ok(())
    }
}

fn cycle(old: &IppRead, survivor: &IppRead) -> Refusal {
    Refusal::new(
        Reason::MergeCycle,
        format!(
            "expected to merge {} into another patient, found {}, which leads back to it",
            old.ipp, survivor.ipp
        ),
    )
    .at(old.place)
    .with_value(old.ipp.as_str())
}

/// What an IPP that was merged into one patient brought along is that patient's: it cannot go to another alone.
fn conflict(old: &IppRead, first: &Ipp, second: &Ipp) -> Refusal {
    Refusal::new(
        Reason::MergeConflict,
        format!(
            "expected to merge {} into {second}, found that it was merged into {first} before",
            old.ipp
        ),
    )
    .at(old.place)
    .with_value(old.ipp.as_str())
}
