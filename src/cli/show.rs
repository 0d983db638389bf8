//! `show`: everything known about one case, patient or session, its history included.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::access::ask;
use super::{Failure, print, print_json, terminal_width};
use crate::config::Config;
use crate::listing::{ShowSubject, table};
use crate::model::identifiers::{CaseId, FacilityId, Ipp, SessionId};
use crate::status::control::Request;

/// The arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(subcommand)]
    what: ShowCommand,
    /// As a JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ShowCommand {
    /// A case
    Case {
        /// The facility
        facility: String,
        /// The case
        case: String,
    },
    /// A patient
    Patient {
        /// The facility
        facility: String,
        /// The facility's patient id
        ipp: String,
    },
    /// A session
    Session {
        /// The session
        id: String,
    },
}

impl ShowArgs {
    /// Shows.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        let (subject, unknown) = match &self.what {
            ShowCommand::Case { facility, case } => {
                super::facility(config, facility)?;
                let subject = ShowSubject::Case {
                    facility: FacilityId::new(facility),
                    id: CaseId::new(case),
                };
                (
                    subject,
                    format!(
                        "there is no case {case} of {facility}; `rcpspool list cases --facility {facility}` shows which there are"
                    ),
                )
            }
            ShowCommand::Patient { facility, ipp } => {
                super::facility(config, facility)?;
                let subject = ShowSubject::Patient {
                    facility: FacilityId::new(facility),
                    id: Ipp::new(ipp),
                };
                (
                    subject,
                    format!(
                        "there is no patient {ipp} of {facility}; `rcpspool list patients --facility {facility}` shows which there are"
                    ),
                )
            }
            ShowCommand::Session { id } => {
                let subject = ShowSubject::Session {
                    id: SessionId::new(id),
                };
                (
                    subject,
                    format!(
                        "there is no session {id}; `rcpspool list sessions` shows which there are"
                    ),
                )
            }
        };
        match ask(config, &Request::Show(subject))? {
            Value::Null => Err(Failure::new(unknown)),
            shown if self.json => print_json(&shown),
            shown => print(&table::render_details(&shown, terminal_width())),
        }
    }
}
