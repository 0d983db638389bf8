//! A file of HL7 v2 messages: split, read, described and decided on.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rcpspool::hl7::{Message, looks_like_hl7, split};
use rcpspool::intake::route;

mod world;
use world::World;

static WORLD: OnceLock<World> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = split(bytes) else { return };
    assert!(looks_like_hl7(bytes));
    let world = WORLD.get_or_init(World::new);
    for message in batch.messages {
        let Ok(message) = Message::parse(message) else {
            continue;
        };
        let normal: Vec<u8> = message.normalised().collect::<Vec<_>>().concat();
        let again = Message::parse(&normal).expect("what is normalised can be read");
        assert_eq!(again.segments().count(), message.segments().count());
        let _ = route::describe(&message, world.context().facility);
        world.changes(route::decide(&message, &world.view(), &world.context()));
    }
});
