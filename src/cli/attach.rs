//! `attach`: puts the documents of a note into a case.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::desk::{command, submit};
use crate::config::Config;

/// The arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The note, as `list notes` names it
    note: String,
    /// The facility
    facility: String,
    /// The case that its documents join
    case: String,
}

impl AttachArgs {
    /// Attaches.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let Self {
            note,
            facility,
            case,
        } = self;
        super::facility(config, &facility)?;
        let dropped = command(json!({
            "command": "attach", "note": note, "facility": facility, "case": case,
        }));
        submit(config, &dropped)?.print(&format!(
            "The documents of the note have joined case {case} of {facility}."
        ))
    }
}
