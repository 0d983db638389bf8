//! The published messages and documents of the French framework, taken in as files, where they lie beside the project.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use rcpspool::engine::Engine;
use rcpspool::listing::{self, Filter, Listing};
use serde_json::{Value, json};

use support::{World, take_all};

const INBOX: &str = "facilities/demo";

/// The mail that goes with each sample document.
const MAIL: &str = "CORPSMAIL";

fn samples() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/hl7v2");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there are no samples beside the project");
    None
}

fn rows(world: &World, engine: &Engine, what: Listing) -> Vec<Value> {
    listing::list(what, &Filter::default(), &**engine.store(), &world.config).unwrap()
}

/// Takes in a sample; gives the first field of the receipt's MSA, and the codes of its warnings or the reason.
fn take(world: &World, engine: &mut Engine, samples: &Path, name: &str) -> String {
    world.drop(INBOX, name, std::fs::read(samples.join(name)).unwrap());
    take_all(engine).unwrap();
    let receipt = world
        .path(INBOX)
        .join("outbox/acks")
        .join(format!("{name}.ack"));
    let receipt = std::fs::read_to_string(receipt).unwrap();
    let of = |start: &str, number: usize| -> Vec<String> {
        let segments = receipt.split('\r').filter(|it| it.starts_with(start));
        segments
            .map(|it| it.split('|').nth(number).unwrap().to_owned())
            .collect()
    };
    [of("MSA", 1), of("ERR", 5)].concat().join(" ")
}

/// Takes in the admission of the patient whose documents come.
fn admitted(samples: &Path) -> (World, Engine) {
    let world = World::new();
    let mut engine = world.open();
    let answer = take(&world, &mut engine, samples, "adt_a01_admission.er7");
    assert_eq!(answer, "AA");
    (world, engine)
}

#[test]
fn an_admission_makes_the_patient() {
    let Some(samples) = samples() else { return };
    let (world, mut engine) = admitted(&samples);
    let known = rows(&world, &engine, Listing::Patients);
    let [patient] = &known[..] else {
        panic!("{known:#?}")
    };
    for (key, expected) in [
        ("ipp", json!("000003")),
        ("birth_name", json!("PAT-TROIS")),
        ("usual_name", json!("PAT-TROIS")),
        ("given_name", json!("DOMINIQUE")),
        ("sex", json!("F")),
        ("birth_date", json!("1979-03-28")),
        (
            "ins",
            json!({ "value": "279035121518989", "oid": "1.2.250.1.213.1.4.10" }),
        ),
        ("phone", Value::Null),
        ("email", Value::Null),
        (
            "address",
            json!({ "street": "28 Av de Breteuil", "city": "PARIS", "postal_code": "75007", "country": "FRA" }),
        ),
        ("identity_status", json!("VALI")),
        ("physician", Value::Null),
    ] {
        assert_eq!(patient[key], expected, "{key}");
    }
    // The next admission is of the same person, and names the physician.
    let answer = take(&world, &mut engine, &samples, "adt_a01_pam_fr.er7");
    assert_eq!(answer, "AA");
    let known = rows(&world, &engine, Listing::Patients);
    assert_eq!(known.len(), 1);
    assert_eq!(known[0]["physician"], "01234567897");
    assert_eq!(known[0]["physician_name"], "Réault Pierre");
}

#[test]
fn documents_are_found_by_ins_and_live_their_life() {
    let Some(samples) = samples() else { return };
    for names in [
        [
            "mdm_t02_initial.er7",
            "mdm_t10_replace.er7",
            "mdm_delete.er7",
        ],
        [
            "oru_r01_initial.hl7",
            "oru_r01_replace.hl7",
            "oru_r01_delete.hl7",
        ],
    ] {
        let (world, mut engine) = admitted(&samples);
        for (name, version, deleted) in names
            .iter()
            .zip([(1, false), (2, false), (2, true)])
            .map(|(name, (version, deleted))| (name, version, deleted))
        {
            assert_eq!(take(&world, &mut engine, &samples, name), "AA", "{name}");
            let documents = rows(&world, &engine, Listing::Documents);
            let [document] = &documents[..] else {
                panic!("one document, and never a mail: {documents:#?}")
            };
            assert_eq!(document["ipp"], "000003", "{name}");
            assert_eq!(document["type"], "cda", "{name}");
            assert_eq!(document["version"], version, "{name}");
            assert_eq!(document["deleted"], deleted, "{name}");
            assert_eq!(document["case"], Value::Null, "{name}");
            let shown = document["file_name"].as_str().unwrap();
            assert!(
                shown.starts_with("CR d'") && !shown.contains(MAIL),
                "{shown}"
            );
        }
        let notes = rows(&world, &engine, Listing::Notes);
        assert_eq!(notes.len(), 1, "{notes:#?}");
        assert_eq!(notes[0]["reason"], "no-case");
        // What was sent before stays readable: both versions lie among the documents.
        let kept = std::fs::read_dir(world.path("documents")).unwrap();
        let files = kept.map(|entry| walkdir::WalkDir::new(entry.unwrap().path()));
        let files = files
            .flatten()
            .filter(|it| it.as_ref().unwrap().file_type().is_file());
        assert_eq!(files.count(), 2);
    }
}

#[test]
fn documents_of_nobody_known_can_be_retried() {
    let Some(samples) = samples() else { return };
    let world = World::new();
    let mut engine = world.open();
    let name = "mdm_t02_initial.er7";
    let answer = take(&world, &mut engine, &samples, name);
    assert_eq!(answer, "AE unknown-patient");
    let answer = take(&world, &mut engine, &samples, "adt_a01_admission.er7");
    assert_eq!(answer, "AA");
    let retry = json!({ "command": "retry", "files": [format!("facilities/demo/error/{name}")] });
    world.drop("desk", "retry.json", retry.to_string());
    take_all(&mut engine).unwrap();
    assert!(world.path(INBOX).join("inbox").join(name).exists());
    take_all(&mut engine).unwrap();
    assert_eq!(rows(&world, &engine, Listing::Documents).len(), 1);
}
