//! The desk: the side that runs the meetings, its commands and its lists of sessions (interface.md 7).
//!
//! The command line writes the same files as the meeting tool does, so there is one way in: [`parse`] reads a file of
//! commands, [`decide`] says what one of them does, [`decide_sessions`] what a list of sessions does.

mod command;
mod completion;
mod csv;
mod form;
mod orders;
mod sessions;

use std::fmt;
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::model::calendar;
use crate::model::case::{Participant, ReportItem};
use crate::model::identifiers::{CaseId, FacilityId, Ipp, NoteId, Rpps, SessionId};
use crate::model::outcome::{Location, Reason, Refusal};
use crate::model::patient::{Physician, PhysicianNumber};

pub use command::{decide, matching};
pub use form::{FormEntry, FormSection, from_csv};
pub use sessions::decide_sessions;

/// One command of a file.
#[derive(Debug)]
pub struct ParsedCommand<'t> {
    /// Its text, to be split off into a file of its own if it is refused.
    pub json: &'t str,
    /// What it asks for, or why that cannot be understood.
    pub command: Result<Command, Refusal>,
}

/// A command with what every command may carry.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The id by which it is done once.
    pub id: Option<String>,
    /// When it was given, if it says so.
    pub time: Option<DateTime<Utc>>,
    /// What is to be done.
    pub action: Action,
}

impl Command {
    /// The word in `command`.
    pub fn word(&self) -> &'static str {
        match &self.action {
            Action::Schedule(_) => "schedule",
            Action::Unschedule(_) => "unschedule",
            Action::Reopen(_) => "reopen",
            Action::Renew(_) => "renew",
            Action::Cancel(_) => "cancel",
            Action::Attach(_) => "attach",
            Action::Questionnaire(_) => "questionnaire",
            Action::Complete(_) => "complete",
            Action::Redeliver(_) => "redeliver",
            Action::Retry(_) => "retry",
            Action::Discard(_) => "discard",
        }
    }

    /// The facility that it is about; `retry` and `discard` may name files instead.
    pub fn facility(&self) -> Option<&FacilityId> {
        match &self.action {
            Action::Schedule(it) => Some(&it.facility),
            Action::Unschedule(it)
            | Action::Reopen(it)
            | Action::Renew(it)
            | Action::Cancel(it) => Some(&it.facility),
            Action::Attach(it) => Some(&it.facility),
            Action::Questionnaire(it) => Some(&it.facility),
            Action::Complete(it) => Some(&it.facility),
            Action::Redeliver(it) => Some(&it.facility),
            Action::Retry(_) => None,
            Action::Discard(it) => it.moves.as_ref(),
        }
    }
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Put a case, a patient or a note's case into a session.
    Schedule(Schedule),
    /// Take a case out of its session.
    Unschedule(CaseKey),
    /// Open a completed or cancelled case again.
    Reopen(CaseKey),
    /// Make the report of a completed case anew, with what is known by now.
    Renew(CaseKey),
    /// The case is not to be discussed.
    Cancel(CaseKey),
    /// Put the documents of a note into a case.
    Attach(Attach),
    /// Fill the form of a case by hand.
    Questionnaire(Questionnaire),
    /// The case was discussed: make its report.
    Complete(Complete),
    /// Let reports leave again.
    Redeliver(Redeliver),
    /// Take refused files in again.
    Retry(Retry),
    /// Give up moves that can never be done, or refused files that nobody will correct.
    Discard(Discard),
}

/// Declares the keys of a command besides those that every command may carry: whatever else stands there is refused.
macro_rules! keys {
    ($(#[$doc:meta])* $name:ident { $($(#[$key_doc:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[serde(rename = "command")]
            _command: IgnoredAny,
            #[serde(default, rename = "id")]
            _id: IgnoredAny,
            #[serde(default, rename = "time")]
            _time: IgnoredAny,
            $($(#[$key_doc])* pub $key: $type,)*
        }
    };
}

keys! {
    /// `schedule`: exactly one of `case`, `ipp` and `note`.
    Schedule {
        /// The facility.
        facility: FacilityId,
        /// A known case.
        case: Option<CaseId>,
        /// A known patient, for whom a case is made.
        ipp: Option<Ipp>,
        /// A note: the case it stands for, else a new one.
        note: Option<NoteId>,
        /// Into which session.
        session: SessionId,
        /// The id of the case that is made.
        case_id: Option<CaseId>,
        /// Who submits the case.
        submitter: Option<Person>,
        /// Who leads.
        lead: Option<Person>,
    }
}

keys! {
    /// `unschedule`, `reopen`, `renew` and `cancel`.
    CaseKey {
        /// The facility.
        facility: FacilityId,
        /// The case.
        case: CaseId,
    }
}

keys! {
    /// `attach`.
    Attach {
        /// The note whose documents are meant.
        note: NoteId,
        /// The facility.
        facility: FacilityId,
        /// The case that they join.
        case: CaseId,
    }
}

keys! {
    /// `questionnaire`: what was written by hand, whole; it takes the place of what was written before.
    Questionnaire {
        /// The facility.
        facility: FacilityId,
        /// The case.
        case: CaseId,
        /// The sections; none takes away what was written before.
        sections: Vec<FormSection>,
    }
}

keys! {
    /// `complete`.
    Complete {
        /// The facility.
        facility: FacilityId,
        /// The case.
        case: CaseId,
        /// The decision of the meeting.
        decision: Option<String>,
        /// Who took part.
        #[serde(default)]
        participants: Vec<Participant>,
        /// Who validated the decision.
        validator: Option<Participant>,
        /// Further lines of the report.
        #[serde(default)]
        items: Vec<ReportItem>,
        /// The bare name of the PDF, in the same inbox, that is the report.
        #[serde(default, deserialize_with = "bare_file_name")]
        pdf: Option<String>,
        /// Also without a decision, or before the day of the session.
        #[serde(default)]
        force: bool,
    }
}

keys! {
    /// `redeliver`: exactly one of `since` and `batch`.
    Redeliver {
        /// The facility.
        facility: FacilityId,
        /// The reports of the batches made since then.
        since: Option<CommandTime>,
        /// Those of this batch.
        batch: Option<u64>,
    }
}

keys! {
    /// `retry`.
    Retry {
        /// The refused files, each by its path as `list errors` shows it.
        files: Vec<String>,
    }
}

keys! {
    /// `discard`: exactly one of `moves` and `files`.
    Discard {
        /// The facility whose files are not to be moved into place any more.
        moves: Option<FacilityId>,
        /// The refused files that nobody will correct, each by its path as `list errors` shows it.
        files: Option<Vec<String>>,
        /// Why, for the record.
        why: Option<String>,
    }
}

/// A physician as a command names one; an error of the JSON reader has the name of this type.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The national number.
    pub rpps: String,
    /// Family name.
    #[serde(default)]
    pub family: Option<String>,
    /// Given name.
    #[serde(default)]
    pub given: Option<String>,
}

impl Person {
    fn physician(&self) -> Physician {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let rpps = Some(Rpps::new(&self.rpps)).filter(|rpps| !rpps.as_str().is_empty());
        Physician {
            number: rpps.map(PhysicianNumber::Rpps),
            family: filled(&self.family),
            given: filled(&self.given),
        }
    }
}

/// A time as people and programs write it: with an offset, or in the facility's time zone, or a day alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandTime {
    /// With an offset.
    Instant(DateTime<Utc>),
    /// Without.
    Local(NaiveDateTime),
}

impl CommandTime {
    fn instant(self, zone: Tz) -> DateTime<Utc> {
        match self {
            CommandTime::Instant(instant) => instant,
            // Within the range, no offset leads out of the calendar.
            CommandTime::Local(local) => zone
                .from_local_datetime(&local)
                .earliest()
                .map_or_else(|| local.and_utc(), |time| time.with_timezone(&Utc)),
        }
    }
}

impl<'de> Deserialize<'de> for CommandTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant = DateTime::parse_from_rfc3339(&text)
            .map(|time| CommandTime::Instant(time.with_timezone(&Utc)))
            .ok();
        let local = || {
            ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
                .iter()
                .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
        };
        let day = || {
            NaiveDate::parse_from_str(&text, "%Y-%m-%d")
                .map(|day| day.and_time(NaiveTime::MIN))
                .ok()
        };
        let since = instant
            .or_else(|| local().or_else(day).map(CommandTime::Local))
            .ok_or_else(|| {
                D::Error::custom(format_args!(
                    "expected a time such as 2025-04-01T13:00:00Z or 2025-04-01, found \"{text}\""
                ))
            })?;
        let is_taken = match since {
            CommandTime::Instant(instant) => calendar::has_instant(instant),
            CommandTime::Local(local) => calendar::has_date(local.date()),
        };
        match is_taken {
            true => Ok(since),
            false => Err(out_of_range("since", &text)),
        }
    }
}

/// A time of the calendar that is taken.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let time = Option::<DateTime<Utc>>::deserialize(deserializer)?;
    match time.filter(|time| !calendar::has_instant(*time)) {
        Some(time) => Err(out_of_range("time", &time.to_rfc3339())),
        None => Ok(time),
    }
}

fn out_of_range<E: serde::de::Error>(key: &str, found: &str) -> E {
    let expected = calendar::EXPECTED;
    E::custom(format_args!(
        "expected {expected} as `{key}`, found \"{found}\""
    ))
}

fn bare_file_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let is_path = |name: &String| {
        name.is_empty()
            || name.starts_with('.')
            || name.contains(['/', '\\'])
            || name.contains('\0')
    };
    if name.as_ref().is_some_and(is_path) {
        return Err(D::Error::custom(
            "`pdf` must be the bare name of a file that lies beside this one in the desk's inbox",
        ));
    }
    if name
        .as_ref()
        .is_some_and(|name| is_command(Path::new(name)))
    {
        return Err(D::Error::custom(
            "`pdf` must name the file of a report: *.json and *.csv are commands",
        ));
    }
    Ok(name)
}

/// Whether a file in the desk's inbox is a command or a list: others are claimed by the command that names them.
pub fn is_command(path: &Path) -> bool {
    path.extension().is_some_and(|ending| {
        ending.eq_ignore_ascii_case("csv") || ending.eq_ignore_ascii_case("json")
    })
}

/// Whether the command takes the modification time of its file, since it has none of its own.
pub fn goes_by_file_time(command: &Command) -> bool {
    let takes_time = matches!(
        command.action,
        Action::Complete(_) | Action::Renew(_) | Action::Questionnaire(_)
    );
    command.time.is_none() && takes_time
}

/// Refuses such a command where its file has no modification time that is taken.
pub fn no_file_time() -> Refusal {
    let expected = calendar::EXPECTED;
    Refusal::new(
        Reason::BadCommand,
        format!(
            "expected {expected} as `time`, or as the modification time of the file, found a file modified at no such time"
        ),
    )
    .at(Location::named("time"))
}

/// The PDF that must be there before the command can be decided.
pub fn pdf_named(command: &Command) -> Option<&str> {
    match &command.action {
        Action::Complete(complete) => complete.pdf.as_deref(),
        _ => None,
    }
}

/// How many commands a list may have, as many as there may be messages in a file.
pub const MAX_COMMANDS: usize = 100_000;

/// The commands of a file, each of which stands by itself (interface.md 7). They are read one by one: all of them read at once
/// would take many times the memory of their text.
#[derive(Debug)]
pub struct Commands<'t> {
    text: &'t str,
    /// The text of each.
    commands: Vec<&'t str>,
}

impl<'t> Commands<'t> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.commands.len()
    }

    /// The text of each, in their order.
    pub fn texts(&self) -> impl Iterator<Item = &'t str> {
        self.commands.iter().copied()
    }

    /// Each read, in their order.
    pub fn iter(&self) -> impl Iterator<Item = ParsedCommand<'t>> {
        let mut start = JsonLocation::FILE;
        let mut read_up_to = 0usize;
        self.commands.iter().map(move |json| {
            // The text of a command is a part of the file's: where it starts is the distance of the two.
            let offset = (json.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
            start = start.after(self.text.get(read_up_to..offset).unwrap_or_default());
            read_up_to = offset;
            ParsedCommand {
                json,
                command: read(json, start),
            }
        })
    }
}

/// Finds the commands of a file: one object, or a list of them (interface.md 7).
pub fn parse(bytes: &[u8]) -> Result<Commands<'_>, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let at = JsonLocation::FILE.after(&String::from_utf8_lossy(before));
        Refusal::new(
            Reason::BadCommand,
            "expected JSON in UTF-8, found bytes that are not UTF-8",
        )
        .at(at.place())
    })?;
    let file = JsonLocation::FILE;
    let commands: Vec<&str> = if text.trim_start().starts_with('[') {
        let list: ElementTexts<'_> =
            serde_json::from_str(text).map_err(|error| file.refusal(&error))?;
        list.0
    } else {
        let only: &RawValue = serde_json::from_str(text).map_err(|error| file.refusal(&error))?;
        vec![only.get()]
    };
    if commands.is_empty() {
        return Err(Refusal::new(
            Reason::BadCommand,
            "expected at least one command, found an empty list",
        )
        .at(file.place()));
    }
    Ok(Commands { text, commands })
}

/// The texts of a list's elements, no more than there may be.
struct ElementTexts<'t>(Vec<&'t str>);

impl<'t> Deserialize<'t> for ElementTexts<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'t> Visitor<'t> for Elements {
            type Value = ElementTexts<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands")
            }

            fn visit_seq<A: SeqAccess<'t>>(
                self,
                mut list: A,
            ) -> Result<ElementTexts<'t>, A::Error> {
                let mut texts = Vec::new();
                while let Some(command) = list.next_element::<&RawValue>()? {
                    if texts.len() == MAX_COMMANDS {
                        return Err(A::Error::custom(format_args!(
                            "expected at most {MAX_COMMANDS} commands in a list, found more: give them in several files"
                        )));
                    }
                    texts.push(command.get());
                }
                Ok(ElementTexts(texts))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// What every command may carry; the rest is read once the command is known.
#[derive(Deserialize)]
struct Common {
    command: String,
    id: Option<String>,
    #[serde(default, deserialize_with = "time")]
    time: Option<DateTime<Utc>>,
}

fn read(json: &str, start: JsonLocation) -> Result<Command, Refusal> {
    let common: Common = start.json(json)?;
    let action = match common.command.as_str() {
        "schedule" => Action::Schedule(start.json(json)?),
        "unschedule" => Action::Unschedule(start.json(json)?),
        "reopen" => Action::Reopen(start.json(json)?),
        "renew" => Action::Renew(start.json(json)?),
        "cancel" => Action::Cancel(start.json(json)?),
        "attach" => Action::Attach(start.json(json)?),
        "questionnaire" => Action::Questionnaire(start.json(json)?),
        "complete" => Action::Complete(start.json(json)?),
        "redeliver" => Action::Redeliver(start.json(json)?),
        "retry" => Action::Retry(start.json(json)?),
        "discard" => Action::Discard(start.json(json)?),
        other => {
            return Err(Refusal::new(
                Reason::BadCommand,
                format!(
                    "expected schedule, unschedule, reopen, cancel, attach, questionnaire, complete, renew, redeliver, retry \
                     or discard as `command`, found \"{other}\""
                ),
            )
            .at(start.place())
            .with_value(other));
        }
    };
    Ok(Command {
        id: common.id,
        time: common.time,
        action,
    })
}

/// Where some JSON starts in its file: lines and columns count from 1, columns in bytes as in [`serde_json`].
#[derive(Debug, Clone, Copy)]
struct JsonLocation {
    line: usize,
    column: usize,
}

impl JsonLocation {
    const FILE: Self = Self { line: 1, column: 1 };

    /// Where what follows this text starts.
    fn after(self, text: &str) -> Self {
        let lines = text.matches('\n').count();
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self {
            line: self.line.saturating_add(lines),
            column: last
                .len()
                .saturating_add(if lines == 0 { self.column } else { 1 }),
        }
    }

    fn json<T: DeserializeOwned>(self, json: &str) -> Result<T, Refusal> {
        serde_json::from_str(json).map_err(|error| self.refusal(&error))
    }

    fn refusal(self, error: &serde_json::Error) -> Refusal {
        let place = match error.line() {
            0 => self,
            1 => Self {
                line: self.line,
                column: self.column.saturating_add(error.column().saturating_sub(1)),
            },
            line => Self {
                line: self.line.saturating_add(line - 1),
                column: error.column(),
            },
        };
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(message, _)| message);
        Refusal::new(Reason::BadCommand, message).at(place.place())
    }

    fn place(self) -> Location {
        Location::named(format!("line {}, column {}", self.line, self.column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> (String, String) {
        let refusal = match parse(json.as_bytes()) {
            Err(refusal) => refusal,
            Ok(commands) => commands.iter().next().unwrap().command.unwrap_err(),
        };
        assert_eq!(refusal.reason, Reason::BadCommand);
        (refusal.place.unwrap().shown, refusal.message)
    }

    #[test]
    fn a_list_has_a_result_for_each_command() {
        let file = "\u{feff}[\n  {\"command\":\"cancel\",\"facility\":\"demo\",\"case\":\"C-1\"},\n\
                    \x20 {\"command\":\"fly\"},\n  {\"command\":\"reopen\",\n   \"facility\":7,\"case\":\"C-1\"}\n]";
        let commands = parse(file.as_bytes()).unwrap();
        let commands: Vec<ParsedCommand<'_>> = commands.iter().collect();
        assert_eq!(commands.len(), 3);
        let first = commands[0].command.as_ref().unwrap();
        assert_eq!(first.word(), "cancel");
        assert_eq!(first.facility(), Some(&FacilityId::new("demo")));
        assert_eq!(commands[1].json, "{\"command\":\"fly\"}");
        let places: Vec<String> = commands[1..]
            .iter()
            .map(|command| command.command.as_ref().unwrap_err())
            .map(|refusal| refusal.place.clone().unwrap().shown)
            .collect();
        assert_eq!(places, ["line 3, column 3", "line 5, column 15"]);
    }

    #[test]
    fn every_command_is_read() {
        for (json, word) in [
            (
                r#"{"command":"schedule","id":"1","time":"2025-04-01T10:00:00+02:00","facility":"f","case":"c","session":"s"}"#,
                "schedule",
            ),
            (
                r#"{"command":"schedule","facility":"f","ipp":"1","session":"s","case_id":"c","submitter":{"rpps":"1","family":"a","given":"b"},"lead":{"rpps":"2"}}"#,
                "schedule",
            ),
            (
                r#"{"command":"schedule","facility":"f","note":"n","session":"s"}"#,
                "schedule",
            ),
            (
                r#"{"command":"unschedule","facility":"f","case":"c"}"#,
                "unschedule",
            ),
            (
                r#"{"command":"reopen","facility":"f","case":"c"}"#,
                "reopen",
            ),
            (r#"{"command":"renew","facility":"f","case":"c"}"#, "renew"),
            (
                r#"{"command":"cancel","facility":"f","case":"c"}"#,
                "cancel",
            ),
            (
                r#"{"command":"attach","note":"n","facility":"f","case":"c"}"#,
                "attach",
            ),
            (
                r#"{"command":"complete","facility":"f","case":"c","decision":"d","participants":[{"rpps":"1","family":"a","given":"b","role":"r"}],"items":[{"code":"1","label":"l","value":"v"}],"pdf":"a.pdf"}"#,
                "complete",
            ),
            (
                r#"{"command":"complete","facility":"f","case":"c"}"#,
                "complete",
            ),
            (
                r#"{"command":"questionnaire","facility":"f","case":"c","sections":[{"code":"1","label":"l","entries":[{"code":"2","label":"m","value":"v","unit":"u"},{"label":"n","value":1.5},{"label":"o","value":true},{"label":"p","value":null}]}]}"#,
                "questionnaire",
            ),
            (
                r#"{"command":"redeliver","facility":"f","since":"2025-04-01"}"#,
                "redeliver",
            ),
            (
                r#"{"command":"redeliver","facility":"f","batch":3}"#,
                "redeliver",
            ),
            (r#"{"command":"retry","files":["a.hl7"]}"#, "retry"),
            (
                r#"{"command":"discard","files":["a.hl7"],"why":"w"}"#,
                "discard",
            ),
            (r#"{"command":"discard","moves":"f"}"#, "discard"),
        ] {
            let commands = parse(json.as_bytes()).unwrap();
            let command = commands.iter().next().unwrap().command.unwrap();
            assert_eq!(command.word(), word);
            assert_eq!(pdf_named(&command).is_some(), json.contains("a.pdf"));
            assert_eq!(command.time.is_some(), json.contains("\"time\""));
            assert_eq!(command.id.is_some(), json.contains("\"id\""));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said_with_line_and_column() {
        for (json, place, words) in [
            ("", "line 1, column 1", "EOF"),
            ("[]", "line 1, column 1", "empty list"),
            ("{\n\"command\": }", "line 2, column 12", "expected value"),
            (
                "7",
                "line 1, column 1",
                "invalid type: integer `7`, expected struct Common",
            ),
            (
                r#"{"command":"schedule","facility":"f","ipp":"1","session":"s","submitter":7}"#,
                "line 1, column 74",
                "invalid type: integer `7`, expected struct Person",
            ),
            ("{}", "line 1, column 2", "missing field `command`"),
            (
                r#"{"command":"cancel","case":"c"}"#,
                "line 1, column 31",
                "missing field `facility`",
            ),
            (
                r#"{"command":"cancel","facility":"f","case":"c","x":1}"#,
                "line 1, column 49",
                "unknown field `x`",
            ),
            (
                r#"{"command":"cancel","facility":"f","case":"c","case":"d"}"#,
                "line 1, column 52",
                "duplicate field `case`",
            ),
            (
                r#"{"command":"cancel","facility":"f","case":"c","id":1}"#,
                "line 1, column 52",
                "invalid type",
            ),
            (
                r#"{"command":"cancel","facility":"f","case":"c","time":"x"}"#,
                "line 1, column 56",
                "invalid",
            ),
            (
                r#"{"command":"complete","facility":"f","case":"c","pdf":"../a.pdf"}"#,
                "line 1, column 65",
                "bare name",
            ),
            (
                r#"{"command":"complete","facility":"f","case":"c","pdf":""}"#,
                "line 1, column 57",
                "bare name",
            ),
            (
                r#"{"command":"redeliver","facility":"f","since":"soon"}"#,
                "line 1, column 53",
                "such as 2025-04-01",
            ),
            (
                r#"{"command":"questionnaire","facility":"f","case":"c","sections":[{"label":"l","entries":[{"label":"m","value":[]}]}]}"#,
                "line 1, column 113",
                "a text, a number",
            ),
            (
                r#"{"command":"questionnaire","facility":"f","case":"c","sections":[{"label":"l","rows":[]}]}"#,
                "line 1, column 84",
                "unknown field `rows`",
            ),
            (
                r#"{"command":"retry","files":"a"}"#,
                "line 1, column 30",
                "expected a sequence",
            ),
        ] {
            let (shown, message) = refusal(json);
            assert!(message.contains(words), "{json}: {message}");
            assert_eq!(shown, place, "{json}: {message}");
        }
        assert!(
            parse(b"{\"command\":\"caf\xe9\"}")
                .unwrap_err()
                .place
                .unwrap()
                .shown
                .contains("column 16")
        );
    }

    #[test]
    fn a_list_has_so_many_commands_and_no_more() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert_eq!(
            parse(list(MAX_COMMANDS).as_bytes()).unwrap().count(),
            MAX_COMMANDS
        );
        let (place, message) = refusal(&list(MAX_COMMANDS + 1));
        assert!(message.contains("at most 100000 commands"), "{message}");
        assert_eq!(place, "line 1, column 200003");
    }

    proptest::proptest! {
        /// Whatever came, each part of it is a command or is refused at a place, and no text is lost.
        #[test]
        fn no_bytes_are_too_strange(
            cut in 0..400_usize,
            length in 0..60_usize,
            by in "[{}\\[\\]\",:a-z0-9 \n\\\\é]{0,20}",
            any in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ) {
            let mut list = br#"[{"command":"schedule","id":"1","facility":"demo","ipp":"1","session":"s","lead":{"rpps":"2"}},
                {"command":"complete","facility":"demo","case":"c","decision":"d","items":[{"label":"l","value":"v"}],"pdf":"a.pdf"},
                {"command":"redeliver","facility":"demo","since":"2025-04-01"}, {"command":"retry","files":["a"]}]"#.to_vec();
            let start = cut.min(list.len());
            let end = start.saturating_add(length).min(list.len());
            list.splice(start..end, by.into_bytes());
            for bytes in [&list, &any] {
                match parse(bytes) {
                    Err(refusal) => proptest::prop_assert!(refusal.place.is_some()),
                    Ok(commands) => {
                        for parsed in commands.iter() {
                            proptest::prop_assert!(std::str::from_utf8(bytes).unwrap().contains(parsed.json));
                            if let Err(refusal) = parsed.command {
                                proptest::prop_assert!(refusal.place.is_some());
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_time_without_offset_is_the_facilitys() {
        for (text, instant) in [
            ("2025-04-01T13:00:00Z", "2025-04-01T13:00:00Z"),
            ("2025-04-01T13:00:00+02:00", "2025-04-01T11:00:00Z"),
            ("2025-04-01T13:00", "2025-04-01T11:00:00Z"),
            ("2025-04-01", "2025-03-31T22:00:00Z"),
        ] {
            let since: CommandTime = serde_json::from_value(text.into()).unwrap();
            assert_eq!(
                since.instant(chrono_tz::Europe::Paris),
                instant.parse::<DateTime<Utc>>().unwrap(),
                "{text}"
            );
        }
    }
}
