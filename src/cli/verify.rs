//! `verify`: checks journal, store, documents and folders against each other.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::access::no_spool;
use super::{Failure, print, print_json};
use crate::config::Config;
use crate::engine::witness::{SpoolPresence, look};
use crate::spool::fs::Fs;
use crate::verify::{Finding, Findings, verify};

/// So many differences are shown to a person; `--json` gives all.
const SHOWN: usize = 50;

/// The arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Everything that was found, as a JSON object
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    /// Verifies.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        if look(&Fs::new(), config)? == SpoolPresence::Nothing {
            return Err(Failure::new(no_spool(config)));
        }
        let findings = verify(&Fs::new(), config)?;
        match self.json {
            true => print_json(&json!(findings))?,
            false => print(&text(&findings))?,
        }
        match findings.differences.len() {
            0 => Ok(()),
            1 => Err(Failure::new(format!("there is a difference: {WHAT_TO_DO}"))),
            count => Err(Failure::new(format!(
                "there are {count} differences: {WHAT_TO_DO}"
            ))),
        }
    }
}

const WHAT_TO_DO: &str = "copy the spool before anything else. `rcpspool rebuild` mends the store; what is missing elsewhere comes back from a backup of journal/ and documents/, or from whoever sent it";

fn text(findings: &Findings) -> String {
    let checked = &findings.checked;
    let mut text = format!(
        "journal    {} files, {} snapshots\n\
         store      {} keys\n\
         documents  {} contents\n\
         reports    {} versions in {} batches\n\
         folders    {} files in done and error\n",
        checked.segments,
        checked.snapshots,
        checked.keys,
        checked.documents,
        checked.reports,
        checked.batches,
        checked.files
    );
    if !findings.notes.is_empty() {
        text.push_str("\nThe next start sees to this:\n");
        list(&findings.notes, &mut text);
    }
    match findings.differences.is_empty() {
        true => text.push_str("\nEverything is as the journal says.\n"),
        false => {
            text.push_str("\nThis is not as it should be:\n");
            list(&findings.differences, &mut text);
        }
    }
    text
}

fn list(findings: &[Finding], text: &mut String) {
    for finding in findings.iter().take(SHOWN) {
        text.push_str(&format!(
            "  {:<9}  {}\n",
            finding.about.to_string(),
            finding.what
        ));
    }
    if let Some(more) = findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more: --json gives all\n"));
    }
}
