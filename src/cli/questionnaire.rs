//! `questionnaire`: the form of a case is filled by hand, from a table or JSON.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;
use crate::intake::desk::{FormSection, from_csv};

/// The arguments of `questionnaire`.
#[derive(Debug, Args)]
pub struct QuestionnaireArgs {
    /// The facility
    facility: String,
    /// The case
    case: String,
    /// All that is written by hand, which takes the place of what was written before: CSV with the columns section,
    /// label, code, value (and section_code, unit), or JSON as the desk's command has it
    #[arg(long)]
    file: PathBuf,
}

/// The keys of the desk's command besides whose form it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    sections: Vec<FormSection>,
}

impl QuestionnaireArgs {
    /// Fills.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self {
            facility,
            case,
            file,
        } = self;
        super::facility(config, &facility)?;
        let sections = read(&file)?;
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let dropped = command(json!({
            "command": "questionnaire",
            "facility": facility,
            "case": case,
            "sections": sections,
            "time": now,
        }));
        submit(config, &dropped)?.print(&format!(
            "The questionnaire of case {case} of {facility} is filled (`rcpspool show case {facility} {case}`)."
        ))
    }
}

fn read(file: &Path) -> Result<Vec<FormSection>, Failure> {
    let wrong = |problem: String| Failure::new(format!("{}: {problem}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let wrong_json = |error: serde_json::Error| wrong(error.to_string());
    match plain.trim_ascii_start().first() {
        Some(b'{') => {
            let form: Form = serde_json::from_slice(plain).map_err(wrong_json)?;
            return Ok(form.sections);
        }
        Some(b'[') => return serde_json::from_slice(plain).map_err(wrong_json),
        _ => {}
    }
    let sections = from_csv(&bytes).map_err(|refusal| {
        let place = refusal.place.map(|place| format!("{}: ", place.shown));
        wrong(format!("{}{}", place.unwrap_or_default(), refusal.message))
    })?;
    match sections.is_empty() {
        true => Err(wrong("expected at least one entry, found none".to_owned())),
        false => Ok(sections),
    }
}
