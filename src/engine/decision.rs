//! Carries out what was decided of a message, and enters its outcome into the group.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::group::Group;
use super::receipt::MessageReply;
use super::retry::RefusedFileTarget;
use super::{ClaimedFile, Engine, EngineError, owner_name, refused};
use crate::intake::describe::MessageDescription;
use crate::intake::reporting::AffectedReports;
use crate::intake::{Decision, DecisionResult, Order, Stop};
use crate::journal::{Entry, MessageRecord as MessageEntry};
use crate::model::change::{Change, HistoryEntry, Record, Subject};
use crate::model::outcome::{Outcome, Reason, Refusal};
use crate::model::owner::Owner;
use crate::repeats;
use crate::spool::claim;
use crate::spool::scope::ErrorScope;

impl Engine {
    /// Enters what was decided on a message into the group.
    pub(super) fn record_outcome(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        number: usize,
        described: MessageDescription,
        decided: DecisionResult<'_>,
        now: DateTime<Utc>,
    ) -> Result<MessageReply, EngineError> {
        self.message += 1;
        let file = claim::to_text(&claimed.claim.received);
        let is_authorised = !matches!(
            &decided,
            Err(Stop::Refused(refusal)) if refusal.reason == Reason::Unauthorised
        );
        let mut described = self.without_keys(&claimed.owner, is_authorised, described);
        let mut entry = MessageEntry {
            claim: claimed.claim.key(),
            number,
            facility: owner_name(&claimed.owner).to_owned(),
            file,
            message_type: described.message_type.clone(),
            control_id: described.control_id.clone(),
            case: described.case.as_ref().map(ToString::to_string),
            time: now,
            outcome: Outcome::Rejected(Refusal::new(Reason::Malformed, "")),
            changes: Vec::new(),
            moves: Vec::new(),
        };
        entry.outcome = match decided {
            Err(Stop::View(error)) => return Err(error.into()),
            Err(Stop::Refused(refusal)) => Outcome::Rejected(refusal),
            Ok(decision) => match self.carry_out(group, decision, &mut entry)? {
                Ok(outcome) => outcome,
                Err(refusal) => Outcome::Rejected(refusal),
            },
        };
        entry.outcome = self.without_keys(&claimed.owner, is_authorised, entry.outcome);
        if let (Some(refusal), Owner::Facility(id)) = (entry.outcome.refusal(), &claimed.owner) {
            let place = refusal.place.as_ref();
            let place = place.map(|place| format!(" at {}", place.shown));
            let (reason, place) = (refusal.reason.code(), place.unwrap_or_default());
            repeats::refused(
                id,
                format!(
                    "a message is refused: {reason}{place}; its sidecar in error/ says why and what to do"
                ),
            );
        }
        if is_taken(&entry.outcome)
            && let Some(about) = described.about.take()
        {
            let (owner, by) = (owner_name(&claimed.owner), (entry.file.as_str(), now));
            let since = refused::take_since(&mut group.view, owner, &about, self.message, by)?;
            entry.changes.extend(since);
        }
        group.counts.count(&claimed.owner, &entry.outcome);
        let reply = MessageReply {
            described,
            outcome: entry.outcome.clone(),
        };
        group.weigh_changes(&entry.changes);
        group.enter(Entry::Message(Box::new(entry)));
        Ok(reply)
    }

    /// Prepares what a decision asks for. A refusal here leaves nothing behind either.
    fn carry_out(
        &mut self,
        group: &mut Group<'_>,
        decision: Decision<'_>,
        entry: &mut MessageEntry,
    ) -> Result<Result<Outcome, Refusal>, EngineError> {
        let mut changes = decision.changes;
        let mut warnings = decision.warnings;
        let mut made = Vec::new();
        let mut discarded = Vec::new();
        match decision.order {
            None => {}
            Some(Order::Report(order)) => match self.make_report(&group.view, *order)? {
                Ok(report) => {
                    warnings.extend(report.warnings);
                    changes.extend(report.changes);
                    made.push(report.pdf);
                }
                Err(refusal) => return Ok(Err(refusal)),
            },
            Some(Order::Withdraw(order)) => match self.withdraw_report(*order) {
                Ok(withdrawn) => changes.push(withdrawn),
                Err(refusal) => return Ok(Err(refusal)),
            },
            Some(Order::Redeliver { facility, which }) => {
                let redelivered = self.redeliver(group, &facility, &which);
                match self.refuse_for_a_facility(redelivered)? {
                    Ok((redelivered, batch)) => {
                        changes.extend(redelivered);
                        entry.moves.push(batch);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Some(Order::GiveUp { facility, why }) => {
                if let Err(refusal) = self.give_moves_up(group, facility.as_str(), why) {
                    return Ok(Err(refusal));
                }
            }
            Some(Order::Discard { files, why }) => {
                let away = self.take_from_error(group, &files, RefusedFileTarget::Away);
                match self.refuse_for_a_facility(away)? {
                    Ok(moves) => {
                        let view = &mut group.view;
                        discarded = refused::discard_moved(view, &moves, &why, entry.time)?;
                        entry.moves.extend(moves);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Some(Order::Retry { files }) => {
                let retried = self.take_from_error(group, &files, RefusedFileTarget::Back);
                match self.refuse_for_a_facility(retried)? {
                    Ok(moves) => entry.moves.extend(moves),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        }
        for content in decision.contents.iter().chain(&made) {
            entry.moves.push(self.prepare_content(group, content)?);
        }
        let mut lines = decision.history;
        let concerned = AffectedReports::by(&changes, &group.view)?;
        entry.changes = group.view.apply(&changes)?;
        Self::must_join_their_own(group, &changes)?;
        self.follow_reports(group, entry, concerned, &mut lines)?;
        let history = self.history(entry, lines);
        entry.changes.extend(group.view.apply(&history)?);
        let moved = refused::forget_moved(&mut group.view, &entry.moves)?;
        entry.changes.extend(discarded);
        entry.changes.extend(moved);
        Ok(Ok(Outcome::Taken {
            verdict: decision.verdict,
            warnings,
            note: decision.note,
        }))
    }

    /// Refuses a command that cannot be done since something of one facility cannot be used: nobody else waits for that
    /// to be mended. Of an error of the process, nobody knows whom it concerns.
    fn refuse_for_a_facility<T>(
        &self,
        done: Result<Result<T, Refusal>, EngineError>,
    ) -> Result<Result<T, Refusal>, EngineError> {
        let error = match done {
            Err(EngineError::Disk(error)) if error.scope() == ErrorScope::Process => {
                return Err(error.into());
            }
            Err(
                error @ (EngineError::Disk(_)
                | EngineError::Report(_)
                | EngineError::Unreachable(_)),
            ) => error,
            done => return done,
        };
        let name = match &error {
            EngineError::Disk(disk) => self.owner_at(&disk.path),
            _ => None,
        };
        let cause = self.cause(&error);
        Ok(Err(Refusal::new(
            Reason::FacilityUnreachable,
            match name {
                Some(place) => format!(
                    "The command cannot be done: {}: {cause}.",
                    owner_name(&place)
                ),
                None => format!("The command cannot be done: {cause}."),
            },
        )))
    }

    /// One line for each thing whose history the message adds to.
    fn history(&self, entry: &MessageEntry, lines: Vec<(Subject, String)>) -> Vec<Change> {
        let mut entries: Vec<HistoryEntry> = Vec::new();
        let mut places: HashMap<Subject, usize> = HashMap::new();
        for (subject, what) in lines {
            let place = *places.entry(subject.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(line) => {
                    line.what.push_str("; ");
                    line.what.push_str(&what);
                }
                None => entries.push(HistoryEntry {
                    subject,
                    sequence: self.message,
                    time: entry.time,
                    what,
                    file: entry.file.clone(),
                    message_type: entry.message_type.clone(),
                }),
            }
        }
        entries
            .into_iter()
            .map(|line| Record::History(line).into())
            .collect()
    }
}

/// Whether something of a message counts.
fn is_taken(outcome: &Outcome) -> bool {
    let Outcome::Taken { verdict, .. } = outcome else {
        return false;
    };
    verdict.has_effect()
}
