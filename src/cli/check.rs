//! `check`: what would become of files, each datum with where it was read, and each problem. It changes nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Failure, facility, terminal_width, write_json, write_out};
use crate::config::Config;
use crate::intake::Context;
use crate::intake::explain::{self, Explanation};
use crate::listing::reading::{self, TextLayout};
use crate::model::outcome::{Reason, Refusal};
use chrono::Utc;
use clap::Args;

/// The arguments of `check`.
///
/// The exit status is 0 where every file could be read, whatever was found in them.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The files: HL7 v2, CDA, or requests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// As the daemon would read them in this facility's inbox; else the first of the configuration
    #[arg(long, value_name = "ID")]
    facility: Option<String>,
    /// As a JSON array, with an element for each message
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// Checks.
    pub fn run(self, config: &Config) -> Result<(), Failure> {
        let facility = match &self.facility {
            Some(id) => facility(config, id)?,
            None => config
                .facilities
                .first()
                .ok_or_else(|| Failure::new("the configuration has no [[facility]]: add one"))?,
        };
        let context = Context {
            facility,
            versions: &config.intake.versions,
            future: config.intake.future,
            now: Utc::now(),
        };
        // Nothing is written where one of them cannot be looked at.
        for file in &self.files {
            open(file)?;
        }
        // What is said of a message is larger than the message: each is written before the next.
        let look = TextLayout::of(terminal_width());
        let mut written = 0;
        for file in &self.files {
            let explained = explain_file(file, config.intake.max_file, &context)?;
            let of = explained.len();
            for (number, explained) in (1..).zip(explained) {
                let row = reading::row(file, (number, of), facility, &explained);
                match self.json {
                    true if written == 0 => write_json(&format!("[\n{row:#}"))?,
                    true => write_json(&format!(",\n{row:#}"))?,
                    // It has colours, and shows what is hidden in each datum.
                    false => write_out(&reading::render(&row, written == 0, &look))?,
                }
                written += 1;
            }
        }
        match self.json {
            true => write_out("\n]\n"),
            false => Ok(()),
        }
    }
}

fn open(file: &Path) -> Result<File, Failure> {
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    let metadata = opened
        .metadata()
        .map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return Err(Failure::new(format!(
            "expected files, found the folder {}: name the files in it",
            file.display()
        )));
    }
    Ok(opened)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "the file {} cannot be read: {error}",
        file.display()
    ))
}

fn explain_file(
    file: &Path,
    limit: u64,
    context: &Context<'_>,
) -> Result<Vec<Explanation>, Failure> {
    let mut bytes = Vec::new();
    open(file)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > limit {
        let refusal = Refusal::new(
            Reason::TooLarge,
            format!("expected at most {limit} bytes (intake.max_file), found more"),
        );
        return Ok(vec![explain::refused(refusal)]);
    }
    Ok(explain::explain(file, &bytes, context)?)
}
