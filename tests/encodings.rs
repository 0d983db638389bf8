//! Files in other encodings than UTF-8: whole ones in UTF-16, and values of several encodings in one file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};

use support::{World, patient, take_all};

const INBOX: &str = "facilities/demo";

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(to_bytes).collect()
}

fn names_of_patients(world: &World, engine: &Engine) -> Vec<String> {
    let store = &**engine.store();
    let rows = listing::list(Listing::Patients, &Filter::default(), store, &world.config).unwrap();
    let name = |row: &serde_json::Value| row["birth_name"].as_str().unwrap().to_owned();
    rows.iter().map(name).collect()
}

#[test]
fn a_file_in_utf_16_is_read_and_split_off_as_it_came() {
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let world = World::new();
        let mut engine = world.open();
        let whole = patient("P-1", "20250401", "0142515151").replace("MARTIN", "LÉVÊQUE");
        let whole = whole.replace("UTF-8", "UNICODE UTF-16");
        let refused = whole.replace("P-1", "P-2").replace("|F|", "||");
        world.drop(
            INBOX,
            "x.hl7",
            utf_16(&format!("{whole}{refused}"), to_bytes),
        );
        let totals = take_all(&mut engine).unwrap();
        assert_eq!((totals.accepted, totals.rejected), (1, 1));
        assert_eq!(names_of_patients(&world, &engine), ["LÉVÊQUE"]);
        let receipt = std::fs::read_to_string(world.path("facilities/demo/outbox/acks/x.hl7.ack"));
        let receipt = receipt.unwrap();
        assert!(!receipt.contains("charset"), "{receipt}");
        // What was split off is in the encoding that its header names.
        let split_off = world.path("facilities/demo/error/x.m2.hl7");
        let bytes = std::fs::read(&split_off).unwrap();
        assert_eq!(bytes, utf_16(refused.trim_end(), to_bytes));
        let corrected = refused
            .replace("||19501104||", "||19501104|F|")
            .replace("P-2", "P-3");
        world.drop(INBOX, "y.hl7", utf_16(&corrected, to_bytes));
        let totals = take_all(&mut engine).unwrap();
        assert_eq!(totals.accepted, 1);
        // A header that names another encoding is warned of.
        let other = whole
            .replace("UNICODE UTF-16", "8859/1")
            .replace("P-1", "P-4");
        world.drop(INBOX, "z.hl7", utf_16(&other, to_bytes));
        take_all(&mut engine).unwrap();
        let receipt = std::fs::read_to_string(world.path("facilities/demo/outbox/acks/z.hl7.ack"));
        let receipt = receipt.unwrap();
        assert!(
            receipt.contains("ERR||MSH^1^18|0^Message accepted^HL70357|W|charset-mismatch"),
            "{receipt}"
        );
        // Bytes that are no characters are no reason to guess.
        let mut cut = utf_16(&whole, to_bytes);
        cut.pop();
        world.drop(INBOX, "cut.hl7", cut);
        assert_eq!(take_all(&mut engine).unwrap().rejected, 1);
        assert_eq!(world.names("facilities/demo/error").len(), 4);
        drop(engine);
        world.assert_verified("UTF-16");
    }
}
