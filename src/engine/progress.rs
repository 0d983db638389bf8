//! How far the messages of a file are decided, and what became of each.
//!
//! A file may hold many messages, and what is told of one is larger than a short message. So what earlier groups have
//! committed is not held: it lies in the store, and is read from there, part by part, when receipts and sidecars are
//! written.

use super::receipt::MessageReply;
use super::{ClaimedFile, EngineError};
use crate::model::outcome::{Outcome, Warning};
use crate::model::view::ViewError;
use crate::store::{KeyChange, Store, StoreError, keys, to_json};

/// How far the messages of a file are decided, and what became of them.
#[derive(Default)]
pub(super) struct FileProgress {
    /// How many are decided.
    count: usize,
    /// The first message of each part that the store has.
    saved: Vec<usize>,
    /// What the store does not have yet.
    unsaved: Vec<MessageReply>,
    /// Which are refused, counted from 0.
    refused: Vec<usize>,
    /// A warning about the file as a whole, for the first message that is taken in.
    warning: Option<Warning>,
}

impl FileProgress {
    /// What the store knows of a file: nothing of one that was claimed just now.
    pub fn of(store: &dyn Store, claimed: &ClaimedFile) -> Result<Self, EngineError> {
        let mut parts = Self::default();
        if claimed.may_be_in_parts {
            let claim = claimed.claim.key();
            while let Some(part) = read_part(store, &claim, parts.count)? {
                parts.saved.push(parts.count);
                part.into_iter().for_each(|reply| parts.count_in(&reply));
            }
        }
        Ok(parts)
    }

    /// A file with one outcome.
    pub fn one(reply: MessageReply) -> Self {
        let mut parts = Self::default();
        parts.push(reply);
        parts
    }

    /// Warns the sender of something about the file as a whole, with the first message that is taken in.
    pub fn warn(&mut self, warning: Warning) {
        // What is in the store was told with it.
        if self.refused.len() == self.count {
            self.warning = Some(warning);
        }
    }

    /// How many messages are decided.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Which messages are refused, counted from 0.
    pub fn refused(&self) -> &[usize] {
        &self.refused
    }

    /// Whether every message is refused.
    pub fn are_refused(&self) -> bool {
        self.refused.len() == self.count
    }

    /// Adds what became of the next message.
    pub fn push(&mut self, mut reply: MessageReply) {
        if let Outcome::Taken { warnings, .. } = &mut reply.outcome {
            warnings.extend(self.warning.take());
        }
        self.count_in(&reply);
        self.unsaved.push(reply);
    }

    fn count_in(&mut self, reply: &MessageReply) {
        if reply.outcome.refusal().is_some() {
            self.refused.push(self.count);
        }
        self.count += 1;
    }

    /// What is to be put into the store with the group in hand, so that the file can be gone on with after it.
    pub fn save(&mut self, claim: &str) -> Result<Option<KeyChange>, EngineError> {
        if self.unsaved.is_empty() {
            return Ok(None);
        }
        let first = self.count - self.unsaved.len();
        let part = to_json(&self.unsaved)?;
        self.unsaved.clear();
        self.saved.push(first);
        Ok(Some((keys::progress_from(claim, first), Some(part))))
    }

    /// What need not be remembered once the file is finished.
    pub fn forget(&self, claim: &str) -> impl Iterator<Item = KeyChange> {
        let saved = self.saved.iter();
        saved.map(move |first| (keys::progress_from(claim, *first), None))
    }

    /// Gives what became of each message, in their order, with its place among them from 0.
    pub fn each(
        &self,
        store: &dyn Store,
        claim: &str,
        mut take: impl FnMut(usize, &MessageReply) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for first in &self.saved {
            let part = read_part(store, claim, *first)?.unwrap_or_default();
            for (index, reply) in (*first..).zip(&part) {
                take(index, reply)?;
            }
        }
        let first = self.count - self.unsaved.len();
        for (index, reply) in (first..).zip(&self.unsaved) {
            take(index, reply)?;
        }
        Ok(())
    }
}

fn read_part(
    store: &dyn Store,
    claim: &str,
    first: usize,
) -> Result<Option<Vec<MessageReply>>, EngineError> {
    let key = keys::progress_from(claim, first);
    let part = store
        .get(&key)
        .map_err(|error: StoreError| EngineError::Store(error))?;
    let read = |part: Vec<u8>| {
        serde_json::from_slice(&part).map_err(|error| ViewError(format!("{key}: {error}")))
    };
    Ok(part.map(read).transpose()?)
}
