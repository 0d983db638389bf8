//! What is told of a file once its messages are all decided: its receipt, and a sidecar for what is refused.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::group::Group;
use super::prepared::Ending;
use super::progress::FileProgress;
use super::receipt::{self, MessageReply, ReceiptContext};
use super::refused::RefusalRecorder;
use super::{ClaimedFile, Engine, EngineError, owner_name};
use crate::config::Acks;
use crate::intake::describe::MessageDescription;
use crate::model::outcome::{Reason, Refusal};
use crate::model::owner::Owner;
use crate::model::refused::{MESSAGES, RefusalSubject};
use crate::model::visible::in_json;
use crate::spool::destinations::{self, NumberedName};
use crate::spool::fs::FsError;
use crate::spool::fs::writing::Writing;
use crate::store::KeyChange;

/// What the outputs of a file are made from.
pub(super) struct OutputSource<'t> {
    /// The file.
    pub claimed: &'t ClaimedFile,
    /// What became of its messages.
    pub parts: &'t FileProgress,
    /// Each message as it was received.
    pub messages: &'t [&'t [u8]],
    /// Whether it is answered in HL7.
    pub is_hl7: bool,
    /// The names that it ends under.
    pub named: &'t NumberedName,
    /// The time of the receipt.
    pub now: DateTime<Utc>,
}

impl Engine {
    /// Writes the receipt of a file, and the sidecar of each message that is refused or, where all are, of the file:
    /// in one pass, and none of them held. Gives what is to be remembered of the refused ones.
    pub(super) fn write_outputs(
        &mut self,
        group: &mut Group<'_>,
        source: &OutputSource<'_>,
        ending: &mut Ending,
    ) -> Result<Vec<KeyChange>, EngineError> {
        let (parts, named, now) = (source.parts, source.named, source.now);
        let owner = &source.claimed.owner;
        let facility = owner_name(owner);
        let store = std::sync::Arc::clone(&self.store);
        let all_refused = parts.are_refused();
        let mut sidecar = Output::default();
        let mut answer = ReceiptFormat::of(self, source);
        let mut refused = RefusalRecorder::of(facility, self.message);
        let mut first: Vec<Value> = Vec::new();
        let mut abouts: Vec<Option<RefusalSubject>> = Vec::new();
        parts.each(&*store, &source.claimed.claim.key(), |index, reply| {
            answer.add(self, group, owner, index, reply)?;
            let Some(refusal) = reply.outcome.refusal() else {
                return Ok(());
            };
            let value = receipt::sidecar(&reply.described, refusal, facility, now);
            if !all_refused {
                let number = index + 1;
                let message = source.messages.get(index).copied().unwrap_or_default();
                let from = self.prepare(group, owner, message)?;
                let path = named.message(number, "");
                ending.add(from, &path);
                let about = about_of(&reply.described, refusal).into_iter().collect();
                refused.add(&mut group.view, &path, &value, about)?;
                let text = format!("{value:#}\n");
                let from = self.prepare(group, owner, in_json(&text).as_bytes())?;
                ending.add(from, &named.message(number, destinations::SIDECAR));
                return Ok(());
            }
            if first.len() < MESSAGES {
                first.push(value.clone());
                abouts.push(about_of(&reply.described, refusal));
            }
            let text = match (index, parts.count()) {
                (0, 1) => format!("{value:#}\n"),
                // The file's own sidecar is that of its first message, with those of all.
                (0, _) => {
                    let whole = format!("{value:#}");
                    let open = whole.trim_end_matches(['}', '\n']);
                    format!("{open},\n  \"messages\": [\n    {value}")
                }
                _ => format!(",\n    {value}"),
            };
            sidecar.write(self, group, owner, &in_json(&text))
        })?;
        if all_refused && parts.count() > 1 {
            sidecar.write(self, group, owner, "\n  ]\n}\n")?;
        }
        if let Some(from) = sidecar.finish()? {
            ending.add(
                from,
                &named.below(destinations::ERROR, destinations::SIDECAR),
            );
        }
        if let Some(mut whole) = first.first().cloned() {
            if parts.count() > 1 {
                whole["messages"] = first.into();
            }
            // A file is superseded with all its messages, or not at all.
            let abouts = match abouts.len() == parts.count() {
                true => abouts.into_iter().collect::<Option<Vec<_>>>(),
                false => None,
            };
            let path = named.below(destinations::ERROR, "");
            let abouts = abouts.unwrap_or_default();
            refused.add(&mut group.view, &path, &whole, abouts)?;
        }
        answer.finish(self, group, owner, named, ending)?;
        Ok(refused.finish(&mut group.view)?)
    }
}

/// What a refused message is about; a time that is far ahead of ours says nothing of what came later.
fn about_of(described: &MessageDescription, refusal: &Refusal) -> Option<RefusalSubject> {
    let about = described.about.clone()?;
    Some(match refusal.reason {
        Reason::FutureTime => RefusalSubject {
            time: None,
            ..about
        },
        _ => about,
    })
}

/// The receipt of a file, as it is written.
enum ReceiptFormat {
    /// Nobody reads it.
    None,
    /// Acknowledgements.
    Hl7 {
        zone: Tz,
        now: DateTime<Utc>,
        control_id: String,
        output: Output,
    },
    /// The same, written together with those of the group's other files.
    OfGroup {
        zone: Tz,
        now: DateTime<Utc>,
        control_id: String,
        text: String,
    },
    /// A FHIR outcome.
    Outcome { issues: usize, output: Output },
}

impl ReceiptFormat {
    fn of(engine: &Engine, source: &OutputSource<'_>) -> Self {
        let owner = &source.claimed.owner;
        // The command line waits for the desk's receipts.
        let acks = match owner {
            Owner::Desk => Acks::Each,
            _ => engine.config.intake.acks,
        };
        let facility = match owner {
            Owner::Facility(id) => engine.facility(id),
            _ => None,
        };
        let zone = facility.map_or(Tz::UTC, |facility| facility.timezone);
        let now = source.now;
        let control_id = source.claimed.claim.order.to_string();
        match (acks, source.is_hl7) {
            (Acks::Off, _) => ReceiptFormat::None,
            (_, false) => ReceiptFormat::Outcome {
                issues: 0,
                output: Output::default(),
            },
            (Acks::Group, true) => ReceiptFormat::OfGroup {
                zone,
                now,
                control_id,
                text: String::new(),
            },
            (Acks::Each, true) => ReceiptFormat::Hl7 {
                zone,
                now,
                control_id,
                output: Output::default(),
            },
        }
    }

    fn add(
        &mut self,
        engine: &mut Engine,
        group: &mut Group<'_>,
        owner: &Owner,
        index: usize,
        reply: &MessageReply,
    ) -> Result<(), EngineError> {
        let acknowledge = |zone: Tz, now: DateTime<Utc>, control_id: &str| {
            let answering = ReceiptContext {
                zone,
                now,
                control_id,
            };
            receipt::acknowledgement(reply, index + 1, &answering)
        };
        match self {
            ReceiptFormat::None => {}
            ReceiptFormat::Hl7 {
                zone,
                now,
                control_id,
                output,
            } => {
                if let Some(text) = acknowledge(*zone, *now, control_id) {
                    output.write(engine, group, owner, &text)?;
                }
            }
            ReceiptFormat::OfGroup {
                zone,
                now,
                control_id,
                text,
            } => text.extend(acknowledge(*zone, *now, control_id)),
            ReceiptFormat::Outcome { issues, output } => {
                for issue in receipt::issues(reply) {
                    let before = match *issues {
                        0 => "{\n  \"issue\": [\n    ",
                        _ => ",\n    ",
                    };
                    *issues += 1;
                    let text = format!("{before}{issue}");
                    output.write(engine, group, owner, &in_json(&text))?;
                }
            }
        }
        Ok(())
    }

    fn finish(
        self,
        engine: &mut Engine,
        group: &mut Group<'_>,
        owner: &Owner,
        named: &NumberedName,
        ending: &mut Ending,
    ) -> Result<(), EngineError> {
        let (output, ends_with) = match self {
            ReceiptFormat::None => return Ok(()),
            ReceiptFormat::Hl7 { output, .. } => (output, destinations::RECEIPT),
            ReceiptFormat::OfGroup { text, .. } => {
                if !text.is_empty() {
                    group.receipts.push((owner.clone(), text));
                }
                return Ok(());
            }
            ReceiptFormat::Outcome { mut output, .. } => {
                let kind = Value::from("OperationOutcome");
                let end = format!("\n  ],\n  \"resourceType\": {kind}\n}}\n");
                output.write(engine, group, owner, &end)?;
                (output, destinations::OUTCOME)
            }
        };
        if let Some(from) = output.finish()? {
            ending.add(from, &named.below(destinations::ACKS, ends_with));
        }
        Ok(())
    }
}

/// Output that is written piece by piece under a name nobody looks for; the file is made with the first piece.
#[derive(Default)]
struct Output(Option<(BufWriter<Writing>, String)>);

impl Output {
    fn write(
        &mut self,
        engine: &mut Engine,
        group: &mut Group<'_>,
        owner: &Owner,
        text: &str,
    ) -> Result<(), EngineError> {
        if self.0.is_none() {
            let (dir, name, path) = engine.prepared_file(group, owner)?;
            self.0 = Some((BufWriter::new(engine.fs.create(&dir, &name)?), path));
        }
        match &mut self.0 {
            Some((out, path)) => Ok(out.write_all(text.as_bytes()).map_err(failed(path))?),
            None => Ok(()),
        }
    }

    /// The path of what was written, as moves write it.
    fn finish(self) -> Result<Option<String>, EngineError> {
        let Some((mut out, path)) = self.0 else {
            return Ok(None);
        };
        out.flush().map_err(failed(&path))?;
        Ok(Some(path))
    }
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> FsError {
    let path = Path::new(path).to_owned();
    |source| FsError {
        action: "write",
        path,
        source,
    }
}
