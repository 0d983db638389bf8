//! `list`: what is known, as a table or as JSON.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::access::ask;
use super::{Failure, facility, print, print_json, terminal_width};
use crate::config::Config;
use crate::listing::{Filter, Listing, table};
use crate::model::identifiers::{FacilityId, SessionId};
use crate::status::control::Request;

/// The arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list
    what: Listing,
    /// Only those of this facility
    #[arg(long, value_name = "ID")]
    facility: Option<String>,
    /// Only those in this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only those in this state
    #[arg(long)]
    state: Option<String>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// The rows of a listing.
pub(super) fn rows(
    config: &Arc<Config>,
    what: Listing,
    filter: &Filter,
) -> Result<Vec<Value>, Failure> {
    let request = Request::List {
        what,
        filter: filter.clone(),
    };
    match ask(config, &request)? {
        Value::Array(rows) => Ok(rows),
        _ => Err(Failure::new("the daemon is of another version: restart it")),
    }
}

impl ListArgs {
    /// Lists.
    pub fn run(self, config: &Arc<Config>) -> Result<(), Failure> {
        self.check()?;
        let filter = Filter {
            facility: self.facility.as_deref().map(FacilityId::new),
            session: self.session.as_deref().map(SessionId::new),
            state: self.state.clone(),
        };
        let rows = rows(config, self.what, &filter)?;
        if rows.is_empty()
            && let Some(id) = self.facility.as_deref().filter(|id| *id != "desk")
        {
            facility(config, id)?;
        }
        match (self.json, rows.is_empty()) {
            (true, _) => print_json(&Value::from(rows)),
            (false, true) => print(&self.nothing(&filter)),
            (false, false) => print(&table::render(self.what, &rows, terminal_width())),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let word = self.what.word();
        if self.session.is_some() && !self.what.has_session() {
            return Err(Failure::usage(format!(
                "{word} are in no session: leave --session out"
            )));
        }
        let states = self.what.states();
        match &self.state {
            Some(_) if states.is_empty() => Err(Failure::usage(format!(
                "{word} have no state: leave --state out"
            ))),
            Some(state) if !states.contains(&state.as_str()) => Err(Failure::usage(format!(
                "{word} are never {state}: write one of {}",
                states.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    fn nothing(&self, filter: &Filter) -> String {
        match (self.what, filter.is_empty()) {
            (Listing::Errors, true) => "Nothing was refused.\n".to_owned(),
            (what, true) => format!("There are no {} yet.\n", what.word()),
            (what, false) => format!("There are no such {}.\n", what.word()),
        }
    }
}
