//! Takes the files of the desk: lists of sessions and commands, with the PDFs that these name.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::attachments::{Attachment, Attachments};
use super::doubt::ClaimRead;
use super::file_end::FileResult;
use super::group::Group;
use super::progress::FileProgress;
use super::{ClaimedFile, Engine, EngineError};
use crate::intake::describe::MessageDescription;
use crate::intake::desk::{self, ParsedCommand};
use crate::intake::{DecisionResult, DeskContext, about};
use crate::model::outcome::{Reason, Refusal};
use crate::store::Store;

impl Engine {
    pub(super) fn take_desk_file<'s>(
        &mut self,
        store: &'s Arc<dyn Store>,
        group: &mut Group<'s>,
        claimed: &ClaimedFile,
        bytes: &[u8],
        modified: Option<DateTime<Utc>>,
    ) -> Result<(), EngineError> {
        let config = Arc::clone(&self.config);
        let now = self.now();
        let context = DeskContext {
            config: &config,
            time: modified.unwrap_or(now),
            now,
        };
        let is_list = claimed
            .claim
            .received
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        if is_list {
            let described = MessageDescription::named("sessions");
            let decided = desk::decide_sessions(bytes, &group.view, &context);
            let reply = self.record_outcome(group, claimed, 1, described, decided, now)?;
            let finished = FileResult {
                parts: FileProgress::one(reply),
                messages: vec![bytes],
                is_hl7: false,
                attachments: Vec::new(),
            };
            return self.finish_file(group, claimed, finished);
        }
        let commands = match desk::parse(bytes) {
            Ok(commands) => commands,
            Err(refusal) => return self.refuse_file(group, claimed, bytes, refusal),
        };
        let mut parts = FileProgress::of(&**store, claimed)?;
        let mut attachments = self.companions_of_decided(group, claimed, &commands, &parts)?;
        for (index, parsed) in commands.iter().enumerate().skip(parts.count()) {
            self.make_room(store, group, claimed, &mut parts)?;
            let described = describe_command(&parsed);
            let (decided, attachment) = match &parsed.command {
                Ok(command) if modified.is_none() && desk::goes_by_file_time(command) => {
                    (Err(desk::no_file_time().into()), None)
                }
                _ => self.decide_command(group, claimed, &mut attachments, &parsed, &context)?,
            };
            let reply = self.record_outcome(group, claimed, index + 1, described, decided, now)?;
            let refused = reply.outcome.refusal().is_some();
            if let Some(attachment) = attachment {
                attachments.take(attachment, refused);
            }
            parts.push(reply);
        }
        let finished = FileResult {
            parts,
            messages: commands.texts().map(str::as_bytes).collect(),
            is_hl7: false,
            attachments: attachments.into_taken(),
        };
        self.finish_file(group, claimed, finished)
    }

    /// Decides a command, with the PDF that it names, which it claims unless a command before it has taken it.
    fn decide_command(
        &mut self,
        group: &mut Group<'_>,
        claimed: &ClaimedFile,
        attachments: &mut Attachments,
        parsed: &ParsedCommand<'_>,
        context: &DeskContext<'_>,
    ) -> Result<(DecisionResult<'static>, Option<ClaimedFile>), EngineError> {
        let command = match &parsed.command {
            Ok(command) => command,
            Err(refusal) => return Ok((Err(refusal.clone().into()), None)),
        };
        let Some(name) = desk::pdf_named(command) else {
            return Ok((desk::decide(command, None, &group.view, context), None));
        };
        let folder = claimed.claim.received.parent().unwrap_or(Path::new(""));
        let attachment = match self.claim_attachment(group, attachments, &folder.join(name))? {
            Attachment::Ours(attachment) => attachment,
            Attachment::None(problem) => {
                let problem = format!("The command names the file {name}, {problem}.");
                let refusal = Refusal::new(Reason::BadCommand, problem);
                return Ok((Err(refusal.into()), None));
            }
            Attachment::Unreadable(problem) => {
                let refusal = Refusal::new(
                    Reason::Unreadable,
                    format!("The file {name} cannot be taken: {problem}."),
                );
                return Ok((Err(refusal.into()), None));
            }
        };
        let work = self.spool.desk.work.clone();
        let limit = self.config.intake.max_file;
        let decided = match self.read_claimed(group, &work, &attachment) {
            Ok(ClaimRead::Whole(pdf, _)) => desk::decide(command, Some(&pdf), &group.view, context),
            Ok(ClaimRead::InDoubt) => return Err(EngineError::InDoubt),
            Ok(ClaimRead::StillWritten) => Err(Refusal::new(
                Reason::BadCommand,
                format!("The file {name} is still being written: drop the command again once it is whole."),
            )
            .into()),
            Ok(ClaimRead::TooLarge(_, size)) => Err(Refusal::new(
                Reason::TooLarge,
                format!("The file {name} has {size} bytes; at most {limit} are taken."),
            )
            .into()),
            Err(EngineError::Disk(error)) if error.is_unreadable() => Err(Refusal::new(
                Reason::Unreadable,
                format!("The file {name} cannot be read: {}.", error.source),
            )
            .into()),
            Err(error) => return Err(error),
        };
        Ok((decided, Some(attachment)))
    }
}

/// A command as receipts and sidecars name it.
fn describe_command(parsed: &ParsedCommand<'_>) -> MessageDescription {
    match &parsed.command {
        Ok(command) => MessageDescription {
            about: about::of_command(command),
            ..MessageDescription::named(command.word())
        },
        Err(_) => MessageDescription::named("command"),
    }
}
