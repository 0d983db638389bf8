//! `complete`: the case was discussed, and its report is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;
use super::desk::{command, fresh_name, submit};
use crate::config::Config;

/// What the file of a completion may hold (interface.md 7).
const KEYS: [&str; 6] = [
    "decision",
    "participants",
    "validator",
    "items",
    "pdf",
    "force",
];

/// The arguments of `complete`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("content").required(true).multiple(true)))]
pub struct CompleteArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
    /// The decision of the meeting
    #[arg(long, group = "content", value_name = "TEXT")]
    decision: Option<String>,
    /// A file with decision, participants, validator, items and pdf, as the desk's command has them
    #[arg(long, group = "content", value_name = "JSON")]
    file: Option<PathBuf>,
    /// The report itself, instead of the one that is made
    #[arg(long, group = "content")]
    pdf: Option<PathBuf>,
    /// Also without a decision, before the day of the session, or with a PDF whose end is missing
    #[arg(long, group = "content")]
    force: bool,
}

impl CompleteArgs {
    /// Completes.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let (facility, case) = (&self.facility, &self.case);
        super::facility(config, facility)?;
        let mut content = match &self.file {
            Some(file) => read_content(file)?,
            None => Map::new(),
        };
        if let Some(decision) = &self.decision {
            content.insert("decision".to_owned(), json!(decision));
        }
        let named = content.remove("pdf");
        let pdf = match (
            &self.pdf,
            &self.file,
            named.as_ref().and_then(Value::as_str),
        ) {
            (Some(pdf), ..) => Some(pdf.clone()),
            // The file names it as it lies beside it.
            (None, Some(file), Some(name)) => Some(file.with_file_name(name)),
            _ => None,
        };
        let beside = match &pdf {
            Some(pdf) => {
                let name = fresh_name("complete", "pdf");
                content.insert("pdf".to_owned(), json!(name));
                Some((name, read(pdf)?))
            }
            None => None,
        };
        if self.force {
            content.insert("force".to_owned(), json!(true));
        }
        content.insert("command".to_owned(), json!("complete"));
        content.insert("facility".to_owned(), json!(facility));
        content.insert("case".to_owned(), json!(case));
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        content.insert("time".to_owned(), json!(now));
        let mut dropped = command(content.into());
        if let Some((pdf, _)) = &beside {
            // By its name it is known that the PDF waits for it.
            dropped.name = Path::new(pdf)
                .with_extension("json")
                .to_string_lossy()
                .into_owned();
        }
        dropped.beside = beside;
        submit(config, &dropped)?.print(&format!(
            "Case {case} of {facility} is completed; its report leaves with the next batch (`rcpspool reports fetch {facility}`)."
        ))
    }
}

fn read_content(file: &Path) -> Result<Map<String, Value>, Failure> {
    let wrong = |problem: String| Failure::new(format!("{}: {problem}", file.display()));
    let content: Map<String, Value> = serde_json::from_slice(&read(file)?)
        .map_err(|error| wrong(format!("expected a JSON object: {error}")))?;
    let unknown = content.keys().find(|key| !KEYS.contains(&key.as_str()));
    match unknown {
        Some(key) => Err(wrong(format!(
            "unknown key `{key}`: write {}",
            KEYS.join(", ")
        ))),
        None => Ok(content),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))
}
