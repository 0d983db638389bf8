//! What the targets share: a facility, and what it knows.

use std::path::Path;

use chrono::{DateTime, Utc};
use rcpspool::config::Config;
use rcpspool::hl7::{Message, split};
use rcpspool::intake::{Context, Decided, DeskContext, Stop, desk, route};
use rcpspool::store::{MemoryStore, PendingChanges, apply_all};

const SESSIONS: &[u8] = include_bytes!("../../../fixtures/known/sessions.csv");
const MESSAGES: &[u8] = include_bytes!("../../../fixtures/known/messages.hl7");

/// The demo facility, and its store.
pub struct World {
    pub config: Config,
    pub store: MemoryStore,
}

impl World {
    /// With what `fixtures/known` says.
    pub fn new() -> Self {
        let world = Self {
            config: Config::demo(Path::new("spool")),
            store: MemoryStore::default(),
        };
        let sessions = desk::decide_sessions(SESSIONS, &world.view(), &world.desk_context());
        let changes = world
            .changes(sessions)
            .expect("the list of sessions is right");
        apply_all(&world.store, &changes).expect("memory does not fail");
        for message in split(MESSAGES).expect("the messages are right").messages {
            let message = Message::parse(message).expect("the message is right");
            let decided = route::decide(&message, &world.view(), &world.context());
            let changes = world.changes(decided).expect("the message is taken in");
            apply_all(&world.store, &changes).expect("memory does not fail");
        }
        world
    }

    pub fn view(&self) -> PendingChanges<'_> {
        PendingChanges::new(&self.store)
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            facility: &self.config.facilities[0],
            versions: &self.config.intake.versions,
            future: self.config.intake.future,
            now: now(),
        }
    }

    pub fn desk_context(&self) -> DeskContext<'_> {
        DeskContext {
            config: &self.config,
            time: now(),
            now: now(),
        }
    }

    /// The resolved changes of a decision, or nothing where it was refused.
    pub fn changes(&self, decided: Decided<'_>) -> Option<Vec<rcpspool::store::KeyChange>> {
        match decided {
            Ok(decision) => Some(
                self.view()
                    .apply(&decision.changes)
                    .expect("memory does not fail"),
            ),
            Err(Stop::Refused(refusal)) => {
                assert!(!refusal.message.is_empty());
                None
            }
            Err(Stop::View(error)) => panic!("{error}"),
        }
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}
