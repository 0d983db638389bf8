//! Nobody who reads logs, receipts, sidecars, metrics or the status learns who a patient is, nor a facility's key
//! (interface.md 10, interface.md 12).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::site::Site;

const KEY: &str = "Kq7-secret-of-the-facility";
const WRONG_KEY: &str = "Wz3-guess-of-a-stranger";

/// What the fixtures say of people, in every form that the program might write it.
const SECRETS: [&str; 26] = [
    "ZYGOMALASQUE",
    "QUINTILIENNE",
    "BRANDEBOURGEOISE",
    "DOCTORESQUE",
    "ABENHALDEN",
    "SPLENDOURVILLE",
    "HIRONDELLES BLEUES",
    "19371129",
    "1937-11-29",
    "29/11/1937",
    "29111937",
    "0698765432",
    "698765432",
    "06 98 76 54 32",
    "069876543210",
    "QUINTI@COURRIEL.EXAMPLE",
    "QUINTI@COURRIEL",
    "COURRIEL",
    "237117512345678",
    "CARCINOME PARTICULIER",
    "Q0FSQ0lOT01FIFBBUlRJQ1VMSUVS",
    "CHIRURGIE SINGULIERE",
    "371129",
    "193711",
    "INCONNUE-DE-TOUS",
    "LIBELLE-NOMINATIF",
];

/// Stands in every received name.
const FILE_NAME: &str = "NOM-DE-FICHIER";

fn message(kind: &str, key: &str, segments: &[&str]) -> String {
    let header =
        format!("MSH|^~\\&|EHR|{key}|||20250401120000||{kind}|CTRL-1|P|2.5|||||FR|UTF-8|FRA");
    let segments = segments.iter().map(|segment| format!("{segment}\r"));
    format!("{header}\r{}", segments.collect::<String>())
}

fn pid(ipp: &str) -> String {
    format!(
        "PID|1||{ipp}^^^CHU-X^PI||ZYGOMALASQUE^QUINTILIENNE^^^MME^^L~BRANDEBOURGEOISE^QUINTILIENNE^^^MME^^D||19371129|F\
         |||17 IMPASSE DES HIRONDELLES BLEUES^^SPLENDOURVILLE^^31000^FRA^H\
         ||0698765432^PRN^CP~^NET^Internet^quinti@courriel.example||||||237117512345678"
    )
}

const SCHEDULE: &str = "SCH|CASE|CASE||||RCP^RCP|||15|Min|^^^20310408165500^20310408171000";
const PLACE: &str = "AIL|1||8154^^^PATHWAY-1^^^^^NETWORK-1";
const SUBMITTER: &str = "AIP|1||10100094977^DOCTORESQUE^ABENHALDEN^^^^^^^L^^^RPPS";

fn scheduling(case: &str, patient: &str, date: &str) -> String {
    let schedule = SCHEDULE.replace("CASE", case).replace("20310408", date);
    message(
        "SIU^S12^SIU_S12",
        KEY,
        &[&schedule, patient, PLACE, SUBMITTER],
    )
}

fn document(patient: &str, content: &str) -> String {
    let obx = format!("OBX|1|ED|11502-2^ZYGOMALASQUE.txt||^AP^PDF^Base64^{content}||||||F");
    message(
        "ORU^R01^ORU_R01",
        KEY,
        &[patient, "ORC|NW", "OBR|1||LAB-1^LAB|11502-2^CR^LN", &obx],
    )
}

fn cda(case: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3" extension="{case}"/>
<code code="34794-8" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20250401120000+0200"/>
<setId root="1.2.3" extension="{case}"/><versionNumber value="1"/>
<recordTarget><patientRole><id root="1.2.250.1.999.1" extension="{case}"/>
<addr use="H"><streetAddressLine>17 impasse des hirondelles bleues</streetAddressLine><postalCode>31000</postalCode>
<city>Splendourville</city><country>FRA</country></addr>
<telecom value="tel:0698765432" use="MC"/><telecom value="mailto:quinti@courriel.example"/>
<patient><name><family qualifier="BR">ZYGOMALASQUE</family><given>QUINTILIENNE</given></name>
<administrativeGenderCode code="F"/><birthTime value="19371129"/></patient></patientRole></recordTarget>
<author><time value="20250401"/><assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="10100094977"/>
<assignedPerson><name><family>DOCTORESQUE</family><given>ABENHALDEN</given></name></assignedPerson></assignedAuthor></author>
<legalAuthenticator><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="10102078838"/>
<assignedPerson><name><family>DOCTORESQUE</family><given>ABENHALDEN</given></name></assignedPerson></assignedEntity></legalAuthenticator>
<componentOf><encompassingEncounter><id root="1.2.250.1.213.1.1.9" extension="S-1"/>
<effectiveTime value="20310408"/></encompassingEncounter></componentOf>
<component><nonXMLBody><text mediaType="text/plain">carcinome particulier</text></nonXMLBody></component>
</ClinicalDocument>"#
    )
}

/// What the facility sends: each with what its receipt must say, so that every refusal is met.
fn fixtures() -> Vec<(&'static str, String, &'static str)> {
    let adt = |kind: &str, patient: &str| message(kind, KEY, &["EVN|A28|20250401", patient]);
    let a28 = |patient: &str| adt("ADT^A28^ADT_A05", patient);
    let own = pid("P1");
    let text = "Q0FSQ0lOT01FIFBBUlRJQ1VMSUVS";
    let twice = scheduling("C9", &own, "20310408").replace("AIL|", &format!("{own}\rAIL|"));
    let a40 = |old: &str, patient: &str| {
        message(
            "ADT^A40^ADT_A39",
            KEY,
            &["EVN|A40", patient, &format!("MRG|{old}^^^CHU-X^PI")],
        )
    };
    vec![
        ("adt.hl7", a28(&own), "MSA|AA"),
        ("again.hl7", a28(&own), "MSA|AA"),
        (
            "phone.hl7",
            a28(&own.replace("0698765432", "069876543210")),
            "invalid-phone",
        ),
        (
            "mail.hl7",
            a28(&own.replace(".example", "")),
            "invalid-email",
        ),
        (
            "date.hl7",
            a28(&own.replace("19371129", "1937112999")),
            "invalid-date",
        ),
        (
            "sex.hl7",
            a28(&own.replace("|F|", "|ZYGOMALASQUE|")),
            "sex-not-supported",
        ),
        (
            "nameless.hl7",
            a28(&pid("P6").replace("ZYGOMALASQUE", "")),
            "missing-field",
        ),
        (
            "ipp.hl7",
            a28(&own.replace("P1^^^CHU-X^PI", "^^^CHU-X^PI")),
            "missing-ipp",
        ),
        (
            "ipps.hl7",
            a28(&own.replace("^PI|", "^PI~P77^^^CHU-Y^PI|")),
            "ambiguous-ipp",
        ),
        (
            "changed.hl7",
            a28(&own.replace("ZYGOMALASQUE", "INCONNUE-DE-TOUS"))
                .replace("20250401120000", "20250402120000"),
            "identity-changed",
        ),
        (
            "back.hl7",
            a28(&own).replace("20250401120000", "20250403120000"),
            "MSA|AA",
        ),
        (
            "ins.hl7",
            a28(&pid("P2").replace(
                "^PI|",
                "^PI~237117512345678^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS|",
            )),
            "ins-invalid",
        ),
        (
            "part.hl7",
            a28(&pid("P3").replace("SPLENDOURVILLE", "")),
            "address-partial",
        ),
        (
            "latin.hl7",
            a28(&pid("P4")).replace("UTF-8", "KLINGON"),
            "charset-unknown",
        ),
        ("siu.hl7", scheduling("C1", &own, "20310408"), "MSA|AA"),
        (
            "late.hl7",
            scheduling("C2", &own, "20320408"),
            "session-not-found",
        ),
        (
            "other.hl7",
            scheduling("C1", &pid("P2"), "20310408"),
            "case-patient-mismatch",
        ),
        (
            "twins.hl7",
            scheduling(
                "C3",
                &own.replace("ZYGOMALASQUE", "INCONNUE-DE-TOUS")
                    .replace("19371129", "19371128"),
                "20310408",
            ),
            "identity-mismatch",
        ),
        (
            "person.hl7",
            scheduling("C4", &own.replace("19371129", "19371128"), "20310408"),
            "identity-mismatch",
        ),
        ("two.hl7", twice, "malformed"),
        ("no-date.hl7", scheduling("C5", &own, ""), "invalid-date"),
        (
            "rpps.hl7",
            scheduling("C6", &own, "20310408").replace("10100094977", "DOCTORESQUE"),
            "rpps-invalid",
        ),
        ("document.hl7", document(&own, text), "MSA|AA"),
        (
            "base64.hl7",
            document(&own, &format!("{text}!{text}")),
            "bad-base64",
        ),
        ("program.hl7", document(&own, "TVoAAAAA"), "document-type"),
        ("nobody.hl7", document(&pid("P99"), text), "unknown-patient"),
        (
            "stranger.hl7",
            document(
                &own.replace("ZYGOMALASQUE", "INCONNUE-DE-TOUS")
                    .replace("19371129", "19371128"),
                text,
            ),
            "identity-mismatch",
        ),
        ("merge.hl7", a40("P3", &own), "MSA|AA"),
        ("cycle.hl7", a40("P1", &pid("P3")), "merge-cycle"),
        (
            "version.hl7",
            a28(&own).replace("|2.5|", "|9.9|"),
            "unsupported-version",
        ),
        ("type.hl7", adt("ZZZ^A28", &own), "unsupported-message"),
        (
            "no-pid.hl7",
            message("ADT^A28^ADT_A05", KEY, &["EVN|A28"]),
            "missing-segment",
        ),
        (
            "header.hl7",
            format!("MSH|ZYGOMALASQUE\r{own}"),
            "malformed",
        ),
        (
            "batch.hl7",
            format!(
                "BHS|^~\\&\r{}{}BTS|9\r",
                a28(&pid("P5")),
                a28(&own.replace("0698765432", "069876543210"))
            ),
            "batch-count",
        ),
        ("key.hl7", a28(&own).replace(KEY, WRONG_KEY), "unauthorised"),
        ("cda.xml", cda("C50"), "\"information\""),
        (
            "doctype.xml",
            cda("C51").replace("<Clin", "<!DOCTYPE ZYGOMALASQUE><Clin"),
            "xml-doctype",
        ),
        (
            "cut.xml",
            cda("C52").replace("</author>", "</ZYGOMALASQUE>"),
            "malformed",
        ),
        (
            "unborn.xml",
            cda("C53").replace("value=\"19371129\"", "value=\"1937112999\""),
            "invalid-date",
        ),
        (
            "nameless.xml",
            cda("C54").replace("ZYGOMALASQUE", ""),
            "missing-field",
        ),
        (
            "phone.xml",
            cda("C55").replace("0698765432", "069876543210"),
            "invalid-phone",
        ),
        (
            "mail.xml",
            cda("C56").replace(".example", ""),
            "invalid-email",
        ),
        (
            "code.xml",
            cda("C57").replace("34794-8", "ZYGOMALASQUE"),
            "unsupported-document",
        ),
        (
            "root.xml",
            "<letter>QUINTILIENNE</letter>".to_owned(),
            "unknown-format",
        ),
        (
            "letter.txt",
            "Mme ZYGOMALASQUE QUINTILIENNE, 19371129".to_owned(),
            "unknown-format",
        ),
        (
            "large.hl7",
            format!("{}NTE|1||{}\r", a28(&own), "ZYGOMALASQUE".repeat(100_000)),
            "too-large",
        ),
    ]
}

/// What the desk drops; its receipts stand in its own outbox.
fn commands() -> Vec<(&'static str, String)> {
    let header =
        "id,label,date,start,pathway_id,family_id,lead_rpps,lead_family,lead_given,state\n";
    let session = "S-1,LIBELLE-NOMINATIF,2031-04-08,14:00,PATHWAY-1,,10102078838,DOCTORESQUE,ABENHALDEN,planned\n";
    vec![
        ("1.csv", format!("{header}{session}")),
        ("2.csv", format!("{header}{}", session.replace("2031-04-08", "ZYGOMALASQUE"))),
        ("3.csv", format!("{header}{}", session.replace("planned", "ZYGOMALASQUE,QUINTILIENNE"))),
        ("4.json", r#"{"command":"complete","facility":"demo","case":"C1","decision":"Chirurgie singuliere","force":true}"#.to_owned()),
        ("5.json", r#"{"command":"complete","facility":"demo","case":"C99","decision":"Chirurgie singuliere"}"#.to_owned()),
        ("6.json", r#"{"command":"finish","facility":"demo","case":"QUINTILIENNE"}"#.to_owned()),
        ("7.json", r#"{"command":"complete","facility":"demo","ZYGOMALASQUE""#.to_owned()),
        ("8.json", r#"{"command":"schedule","facility":"demo","case":"C2","session":"S-1","submitter":{"rpps":"DOCTORESQUE","family":"ZYGOMALASQUE","given":3}}"#.to_owned()),
    ]
}

/// The secrets that this text tells.
fn told(text: &str) -> Vec<&'static str> {
    let text = text.to_uppercase();
    let mut told: Vec<&str> = SECRETS.to_vec();
    told.retain(|secret| text.contains(secret));
    for key in [KEY, WRONG_KEY] {
        if text.contains(&key.to_uppercase()) {
            told.push(key);
        }
    }
    told
}

/// Takes `value` out of a sidecar and of the sidecars in it: it is the one datum that a facility must see (interface.md 10).
fn take_values(sidecar: &mut Value, values: &mut Vec<String>) {
    match sidecar {
        Value::Object(keys) => {
            if let Some(value) = keys.remove("value") {
                values.extend(value.as_str().map(str::to_owned));
            }
            keys.values_mut()
                .for_each(|below| take_values(below, values));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| take_values(item, values)),
        _ => {}
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = walkdir::WalkDir::new(folder).into_iter();
    let files = entries.map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| path.is_file())
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect()
}

#[test]
fn nothing_that_others_read_says_who_a_patient_is() {
    let folder = match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let key_file = folder.path().join("key");
    fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let facility = format!("id = \"demo\"\napi_key_file = {key_file:?}");
    let settings = "min_free = \"1KiB\"\nmax_file = \"1MiB\"";
    let mut site = Site::start(folder, settings, &[&facility]);
    let desk = |name: &str, content: &str| {
        fs::write(site.path("desk/inbox").join(name), content).unwrap();
        let receipt = site
            .path("desk/outbox/acks")
            .join(format!("{name}.outcome.json"));
        site.wait_for(name, || receipt.is_file());
    };
    let commands = commands();
    desk(commands[0].0, &commands[0].1);
    let mut problems = Vec::new();
    for (name, content, answer) in fixtures() {
        let name = format!("{FILE_NAME}-{name}");
        site.send("demo", &name, content);
        let receipt = site.receipt("demo", &name);
        if !receipt.contains(answer) {
            problems.push(format!("{name} is not answered with {answer}: {receipt}"));
        }
    }
    for (name, content) in &commands[1..] {
        desk(name, content);
    }
    site.send("demo", &format!("{FILE_NAME}.retrieve"), "");
    let batch = site.path(&format!("facilities/demo/outbox/reports/{FILE_NAME}.xml"));
    site.wait_for("the batch", || batch.is_file());
    let status = site.command(&["status"]).output().unwrap();
    let status_json = site.command(&["status", "--json"]).output().unwrap();
    site.end();
    site.run();
    site.end();

    for (what, bytes) in [
        ("status", status.stdout),
        ("status --json", status_json.stdout),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.is_empty());
        if !told(&text).is_empty() || text.contains(FILE_NAME) {
            problems.push(format!("{what} tells {:?}: {text}", told(&text)));
        }
    }
    let log = site.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG") || log.contains("INFO"),
        "{log}"
    );
    let refused = "demo: a message is refused: invalid-phone at PID-13.1;";
    assert!(log.contains(refused), "{log}");
    for line in log.lines() {
        if !told(line).is_empty() || line.contains(FILE_NAME) {
            problems.push(format!("the log tells {:?}: {line}", told(line)));
        }
    }
    let mut looked_at = 0;
    for below in ["status", "facilities/demo/outbox/acks", "desk/outbox"] {
        for (path, text) in files(&site.path(below)) {
            looked_at += 1;
            if !told(&text).is_empty() {
                problems.push(format!(
                    "{} tells {:?}: {text}",
                    path.display(),
                    told(&text)
                ));
            }
        }
    }
    let mut values = Vec::new();
    for below in ["facilities/demo/error", "desk/error"] {
        for (path, text) in files(&site.path(below)) {
            if !path.to_string_lossy().ends_with(".error.json") {
                continue;
            }
            looked_at += 1;
            let mut sidecar: Value = serde_json::from_str(&text).unwrap();
            take_values(&mut sidecar, &mut values);
            let rest = sidecar.to_string();
            if !told(&rest).is_empty() {
                problems.push(format!(
                    "{} tells {:?}: {rest}",
                    path.display(),
                    told(&rest)
                ));
            }
        }
    }
    for value in &values {
        assert!(value.chars().count() <= 80, "{value}");
        assert!(
            !value.contains(KEY) && !value.contains(WRONG_KEY),
            "{value}"
        );
    }
    // The exception is used: some wrong values are shown.
    assert!(
        values.iter().any(|value| value.contains("069876543210")),
        "{values:?}"
    );
    // A key stands in what was received, and nowhere else: not in the store, the journal or a document.
    for (path, text) in files(&site.path("")) {
        let as_received = ["facilities/demo/done", "facilities/demo/error"];
        let is_received = as_received.iter().any(|it| path.starts_with(site.path(it)))
            && !path.to_string_lossy().ends_with(".error.json");
        if !is_received && (text.contains(KEY) || text.contains(WRONG_KEY)) {
            problems.push(format!("{} holds a key", path.display()));
        }
    }
    site.assert_verified();
    println!(
        "{} log lines and {looked_at} files looked at, {} values shown in sidecars",
        log.lines().count(),
        values.len()
    );
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n\n")
    );
}
