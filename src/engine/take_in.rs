//! Takes in what is ready, group by group: what waits already first, and each place in its turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::group::Group;
use super::{Arrival, ClaimedFile, Engine, EngineError};
use crate::model::owner::Owner;
use crate::repeats::{self, RepeatedTask};
use crate::store::Store;

impl Engine {
    pub(super) fn take_until_stopped(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        let taken = self.take_in_turns(arrivals);
        // Whatever happened, nothing is on its way once this returns.
        let landed = self.land();
        self.waiting.append(&mut self.again);
        self.waiting
            .make_contiguous()
            .sort_by_key(|claimed| claimed.claim.order);
        match landed {
            // What was on its way is taken again with the next call.
            Err(error) if self.hold_owner(&error, None) => taken,
            landed => landed.and(taken),
        }
    }

    /// Takes in what is of places that did not rest, then what is of those that have rested.
    fn take_in_turns(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        let (late, first) = arrivals
            .into_iter()
            .partition(|arrival| self.turns.waits(&arrival.owner));
        self.take_groups(first)?;
        if self.turns.has_late() && !self.is_stopped() {
            self.turns.let_late_on();
            self.take_groups(late)?;
        }
        Ok(())
    }

    fn take_groups(&mut self, arrivals: Vec<Arrival>) -> Result<(), EngineError> {
        self.retry_moves();
        if self.is_desk_unlisted {
            self.find_claims()?;
        }
        self.take_suspects()?;
        let mut arrivals = VecDeque::from(arrivals);
        let mut waiting = std::mem::take(&mut self.again);
        waiting.append(&mut self.waiting);
        while !waiting.is_empty() || !arrivals.is_empty() {
            if self.is_stopped() {
                self.waiting.append(&mut waiting);
                break;
            }
            let lack = self.lack_of_space();
            if !matches!(lack, Ok(None)) {
                self.waiting.append(&mut waiting);
            }
            if let Some(problem) = lack? {
                repeats::failing("intake", RepeatedTask::Room, problem);
                break;
            }
            self.hold_where_space_is_short();
            let claimed = match self.next_claimed(&mut waiting, &mut arrivals) {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.waiting.append(&mut waiting);
                    return Err(error);
                }
            };
            let more = !waiting.is_empty() || !arrivals.is_empty();
            let taken = self.take_claimed(claimed, more);
            let mut first = std::mem::take(&mut self.again);
            first.append(&mut waiting);
            waiting = first;
            if matches!(taken, Err(EngineError::Grown)) {
                // The files of that group wait: all but the one that grew can be taken at once.
                let mut again = std::mem::take(&mut self.waiting);
                again.append(&mut waiting);
                waiting = again;
                continue;
            }
            if let Err(error) = taken {
                self.waiting.append(&mut waiting);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes claimed files through a group, or more where their messages are many. If one place fails, it is held, and
    /// the files of the others are to be taken again.
    ///
    /// With `more` to come, the last group may still be on its way to the disk: see [`Engine::land`].
    pub(super) fn take_claimed(
        &mut self,
        mut claimed: VecDeque<ClaimedFile>,
        more: bool,
    ) -> Result<(), EngineError> {
        let before = std::mem::take(&mut self.waiting);
        let mut in_hand = None;
        let taken = self.take_in_order(&mut claimed, &mut in_hand, more);
        self.waiting.append(&mut claimed);
        let mut waiting = std::mem::replace(&mut self.waiting, before);
        let Err(error) = taken else {
            self.waiting.append(&mut waiting);
            return Ok(());
        };
        let doubtful = in_hand
            .as_ref()
            .filter(|_| matches!(error, EngineError::InDoubt));
        if let Some(doubtful) = doubtful {
            // What was decided of it is taken back with the group, which is taken again without it.
            waiting.retain(|other| other.claim.key() != doubtful.claim.key());
        }
        let put_off = match doubtful {
            Some(doubtful) => self.put_off(doubtful),
            None => Err(error),
        };
        match put_off {
            Err(EngineError::TurnOver) => {
                self.again.append(&mut waiting);
                Ok(())
            }
            Err(error) if !self.hold_owner(&error, in_hand.as_ref().map(|it| &it.owner)) => {
                self.waiting.append(&mut waiting);
                Err(error)
            }
            _ => {
                // Some were given up after others that came later.
                waiting
                    .make_contiguous()
                    .sort_by_key(|claimed| claimed.claim.order);
                self.again.append(&mut waiting);
                Ok(())
            }
        }
    }

    /// Takes claimed files until one fails: `in_hand` is the one. Then everything that does not count waits.
    fn take_in_order(
        &mut self,
        claimed: &mut VecDeque<ClaimedFile>,
        in_hand: &mut Option<ClaimedFile>,
        more: bool,
    ) -> Result<(), EngineError> {
        let store = Arc::clone(&self.store);
        let mut group = match self.committer.decided() {
            Some(decided) => Group::over(&*store, decided),
            None => Group::new(&*store),
        };
        while let Some(next) = claimed.pop_front() {
            if self.must_wait(&next.owner) || self.turns.waits(&next.owner) {
                self.waiting.push_back(next);
                continue;
            }
            let made_way = self.make_way(&store, &mut group, &next);
            if self.is_stopped() || made_way.is_err() {
                claimed.push_front(next);
                made_way?;
                break;
            }
            group.take_up(&next);
            self.turns.begin_file(&next.owner, Instant::now());
            let taken = self.take_file(&store, &mut group, &next);
            self.turns.end_file(&next.owner, Instant::now());
            if let Err(error) = taken {
                self.give_up(group.held());
                *in_hand = Some(next);
                return Err(error);
            }
            self.tried.insert(next.owner);
        }
        match more && !self.is_stopped() {
            true => self.hand_over(&store, group).map(drop),
            false => self.commit(group),
        }
    }

    /// What must be on the disk before this file is taken: a full group; all groups, for a request, whose batch is
    /// made of what lies there; and for a file of the desk all moves, since it may name a file that one of them takes.
    fn make_way<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        next: &ClaimedFile,
    ) -> Result<(), EngineError> {
        if next.is_request() {
            let before = std::mem::replace(group, Group::new(&**store));
            return self.commit(before);
        }
        if group.is_full(self.config.intake.group) {
            let full = std::mem::replace(group, Group::new(&**store));
            *group = self.hand_over(store, full)?;
        }
        if next.owner == Owner::Desk && self.in_flight.is_some() {
            let before = std::mem::replace(group, Group::new(&**store));
            return self.commit(before);
        }
        Ok(())
    }
}
