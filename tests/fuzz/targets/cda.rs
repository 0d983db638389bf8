//! A CDA document: read and decided on; the header's ids as a document's are read the other way too.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rcpspool::cda;
use rcpspool::intake::{content, head, route};

mod world;
use world::World;

static WORLD: OnceLock<World> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let _ = head::CdaHead::read(bytes);
    let _ = content::content_type(bytes);
    let Ok(document) = cda::parse(bytes) else {
        return;
    };
    assert!(cda::looks_like_xml(bytes));
    let world = WORLD.get_or_init(World::new);
    world.changes(route::decide_cda(
        bytes,
        &document,
        &world.view(),
        &world.context(),
    ));
});
