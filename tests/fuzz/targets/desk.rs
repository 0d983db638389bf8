//! What the desk is given: a list of sessions, or commands.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rcpspool::intake::desk;

mod world;
use world::World;

static WORLD: OnceLock<World> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let world = WORLD.get_or_init(World::new);
    let context = world.desk_context();
    world.changes(desk::decide_sessions(bytes, &world.view(), &context));
    let Ok(commands) = desk::parse(bytes) else {
        return;
    };
    for parsed in commands.iter() {
        if let Ok(command) = parsed.command {
            let pdf = desk::pdf_named(&command).map(|_| b"%PDF-1.4".as_slice());
            world.changes(desk::decide(&command, pdf, &world.view(), &context));
        }
    }
});
