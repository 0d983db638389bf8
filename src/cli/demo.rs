//! `demo`: a new spool, sample messages through it, a completed case and its report, told step by step.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::desk::{NewInboxFile, command, submit_here, take_in};
use super::{Failure, print};
use crate::config::Config;
use crate::engine::{Engine, OpenStore};
use crate::listing::{Filter, Listing, ShowSubject, list, show};
use crate::model::identifiers::{CaseId, FacilityId};
use crate::model::owner::Owner;
use crate::spool::fs::Fs;

/// Where the demonstration is put if nobody says.
const HERE: &str = "rcpspool-demo";
/// The facility that the defaults have.
const FACILITY: &str = "demo";
/// The case of the sample message.
const CASE: &str = "59384";

const SESSIONS: &[u8] = include_bytes!("../../fixtures/demo/sessions.csv");
/// What the hospital sends, in this order.
const MESSAGES: [(&str, &str, &[u8]); 3] = [
    (
        "1-patient.hl7",
        "ADT^A28, a patient",
        include_bytes!("../../fixtures/demo/1-patient.hl7"),
    ),
    (
        "2-case.hl7",
        "SIU^S12, a case for the session",
        include_bytes!("../../fixtures/demo/2-case.hl7"),
    ),
    (
        "3-document.hl7",
        "OUL^R22, a document without a case",
        include_bytes!("../../fixtures/demo/3-document.hl7"),
    ),
];

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The folder of the new spool
    #[arg(default_value = HERE)]
    dir: PathBuf,
}

impl DemoArgs {
    /// Shows how it works.
    pub fn run(self) -> Result<(), Failure> {
        let dir = self.dir;
        let cannot = |error: std::io::Error| {
            Failure::new(format!("{} cannot be made: {error}", dir.display()))
        };
        fs::create_dir_all(&dir).map_err(cannot)?;
        if fs::read_dir(&dir).map_err(cannot)?.next().is_some() {
            return Err(Failure::new(format!(
                "{} is not empty: name a new folder, `rcpspool demo DIR`",
                dir.display()
            )));
        }
        let mut config = Config::demo(&dir);
        // It takes a few kilobytes, wherever it is tried.
        config.intake.min_free = 0;
        config.check_folders()?;
        let spool = dir.canonicalize().map_err(cannot)?;
        let written = format!(
            "# The configuration of the demonstration; what it leaves out has its default.\nspool = {spool:?}\n\n[[facility]]\nid = \"{FACILITY}\"\n"
        );
        fs::write(dir.join("rcpspool.toml"), written).map_err(cannot)?;
        let engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Sled)?;
        let mut stage = Stage { dir, engine };
        let told = stage.play();
        stage.engine.close()?;
        told
    }
}

/// The spool in which the demonstration happens.
struct Stage {
    dir: PathBuf,
    engine: Engine,
}

impl Stage {
    fn play(&mut self) -> Result<(), Failure> {
        print(&format!("A new spool in {}.\n", self.dir.display()))?;
        self.announce_session()?;
        self.send_messages()?;
        self.show_what_is_known()?;
        self.complete_case()?;
        self.fetch_reports()?;
        self.say_where_to_look()
    }

    fn announce_session(&mut self) -> Result<(), Failure> {
        print("\n1. The desk announces a session\n")?;
        let sessions = NewInboxFile {
            owner: Owner::Desk,
            name: "sessions.csv".to_owned(),
            bytes: SESSIONS.to_vec(),
            beside: None,
        };
        submit_here(&mut self.engine, &sessions)?
            .print("   desk/inbox/sessions.csv is taken in.")?;
        for session in self.list(Listing::Sessions)? {
            print(&format!(
                "   Session {} on {} at {}: {},\n   for pathway {}.\n",
                word(&session["id"]),
                word(&session["date"]),
                word(&session["start"]),
                word(&session["label"]),
                word(&session["pathway_id"]),
            ))?;
        }
        Ok(())
    }

    fn send_messages(&mut self) -> Result<(), Failure> {
        print("\n2. The hospital drops three files into facilities/demo/inbox\n")?;
        for (name, what, bytes) in MESSAGES {
            self.send(name, bytes)?;
            let receipt = self
                .facility()
                .join("outbox/acks")
                .join(format!("{name}.ack"));
            let text = fs::read_to_string(&receipt).map_err(|error| {
                Failure::new(format!(
                    "{name} was not taken in: {}: {error}",
                    receipt.display()
                ))
            })?;
            print(&format!(
                "   {name:<15} {what:<35} {}\n",
                acknowledged(&text)
            ))?;
        }
        print(
            "   The files are in facilities/demo/done, the receipts in facilities/demo/outbox/acks.\n",
        )
    }

    fn show_what_is_known(&self) -> Result<(), Failure> {
        print("\n3. What is known now\n")?;
        for case in self.list(Listing::Cases)? {
            print(&format!(
                "   Case {} of patient {} is {} in {},\n   submitted by {} ({}).\n",
                word(&case["id"]),
                word(&case["ipp"]),
                word(&case["state"]),
                word(&case["session"]),
                word(&case["submitter_name"]),
                word(&case["submitter"]),
            ))?;
        }
        for note in self.list(Listing::Notes)? {
            for document in note["documents"].as_array().into_iter().flatten() {
                print(&format!(
                    "   Patient {} has a note with {} ({} bytes), which no case has yet.\n",
                    word(&note["ipp"]),
                    word(&document["file_name"]),
                    document["size"],
                ))?;
            }
        }
        Ok(())
    }

    fn complete_case(&mut self) -> Result<(), Failure> {
        print("\n4. The meeting takes place, and the desk completes the case\n")?;
        let complete = command(json!({
            "command": "complete",
            "facility": FACILITY,
            "case": CASE,
            "decision": "Prise en charge en assistance médicale à la procréation ; nouveau bilan dans trois mois.",
            "participants": [
                { "rpps": "10102078838", "family": "Médecin", "given": "Audrey", "role": "Coordonnatrice" },
            ],
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        }));
        let receipt = submit_here(&mut self.engine, &complete)?;
        receipt.print(&format!(
            "   Case {CASE} is completed; its report waits to be fetched."
        ))?;
        let subject = ShowSubject::Case {
            facility: FacilityId::new(FACILITY),
            id: CaseId::new(CASE),
        };
        let case = show(&subject, &**self.engine.store())?.unwrap_or_default();
        for line in case["history"].as_array().into_iter().flatten() {
            print(&format!(
                "   {}  {:<8}  {}\n",
                word(&line["time"]),
                word(&line["message_type"]),
                word(&line["what"])
            ))?;
        }
        Ok(())
    }

    fn fetch_reports(&mut self) -> Result<(), Failure> {
        print("\n5. The hospital asks for its reports\n")?;
        let first = self.request("first")?;
        let messages = contents(&first)?;
        print(&format!(
            "   first.retrieve is answered by outbox/reports/first.xml, with {} report:\n",
            messages.len()
        ))?;
        for message in &messages {
            for segment in message.split('\r').filter(|segment| !segment.is_empty()) {
                print(&format!("     {}\n", cut(segment, 74)))?;
            }
        }
        let second = self.request("second")?;
        print(&format!(
            "   Asked again, there is nothing new; second.xml says {}\n",
            second.lines().last().unwrap_or_default()
        ))
    }

    fn say_where_to_look(&self) -> Result<(), Failure> {
        let facility = self.facility();
        let facility = facility.display();
        let config = self.dir.join("rcpspool.toml");
        let program = format!("rcpspool --config {}", config.display());
        print(&format!(
            "
Where to look
   {facility}/outbox/reports   the batches
   {facility}/outbox/acks      the receipts
   {facility}/error            what is refused, with the reason beside it
What to try
   {program} show case {FACILITY} {CASE}
   {program} list documents
   drop a message of your own into {facility}/inbox, then
   {program} once
   {program} list errors
"
        ))
    }

    fn send(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let message = NewInboxFile {
            owner: Owner::Facility(FACILITY.to_owned()),
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            beside: None,
        };
        take_in(&mut self.engine, &message)
    }

    /// Asks for the reports, and gives the batch that answers.
    fn request(&mut self, name: &str) -> Result<String, Failure> {
        self.send(&format!("{name}.retrieve"), b"")?;
        let batch = self
            .facility()
            .join("outbox/reports")
            .join(format!("{name}.xml"));
        fs::read_to_string(&batch)
            .map_err(|error| Failure::new(format!("there is no {}: {error}", batch.display())))
    }

    fn list(&self, what: Listing) -> Result<Vec<Value>, Failure> {
        let engine = &self.engine;
        Ok(list(
            what,
            &Filter::default(),
            &**engine.store(),
            engine.config(),
        )?)
    }

    fn facility(&self) -> PathBuf {
        Path::new(&self.dir).join("facilities").join(FACILITY)
    }
}

/// What an acknowledgement says: `AA`, and each error or warning by its code.
fn acknowledged(text: &str) -> String {
    let field = |segment: &str, number: usize| {
        segment
            .split('|')
            .nth(number)
            .unwrap_or_default()
            .to_owned()
    };
    let mut said = Vec::new();
    for segment in text.split('\r') {
        if segment.starts_with("MSA|") {
            said.push(field(segment, 1));
        } else if segment.starts_with("ERR|") {
            said.push(field(segment, 5));
        }
    }
    said.join(", ")
}

/// The messages of a batch, decoded.
fn contents(batch: &str) -> Result<Vec<String>, Failure> {
    let document = roxmltree::Document::parse(batch)?;
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("content"))
        .filter_map(|node| node.text());
    texts
        .map(|text| Ok(String::from_utf8_lossy(&STANDARD.decode(text.trim())?).into_owned()))
        .collect()
}

/// A value as a word of a sentence.
fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
