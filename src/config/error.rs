//! What is wrong with a configuration: the file, the line, and what to write instead.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Something in the configuration that must be put right before anything runs (interface.md 11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file that was read.
    pub file: PathBuf,
    /// The line to change, counted from 1; none if it is the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and the fix.
    pub problem: String,
}

/// The text of a configuration, to find the line of what is wrong in it.
pub(super) struct ConfigText<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl ConfigText<'_> {
    /// The line, counted from 1, where this part of the text begins.
    pub fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            .saturating_add(1)
    }

    /// The error of what stands at `span`.
    pub fn error(&self, span: &Range<usize>, problem: String) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: Some(self.line(span)),
            problem,
        }
    }

    /// What the TOML reader refused, said for a person.
    pub fn refused(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: error.span().map(|span| self.line(&span)),
            problem: problem(error.message()),
        }
    }
}

fn problem(message: &str) -> String {
    if message.starts_with("unknown field") {
        return unknown_key(message);
    }
    if message.ends_with("expected a sequence") {
        return if message.contains("map") {
            "this is a list of tables: write it in double brackets, [[facility]]".to_owned()
        } else {
            "this is a list: write it in brackets, such as [\"…\", \"…\"]".to_owned()
        };
    }
    message.to_owned()
}

/// Says which key was meant, or which there are.
fn unknown_key(message: &str) -> String {
    let mut names = quoted_names(message);
    let Some(unknown) = names.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = names.collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match nearest {
        Some((_, name)) => format!("unknown key `{unknown}`: write `{name}`"),
        None => format!(
            "unknown key `{unknown}`: remove it, or write one of {}",
            known.join(", ")
        ),
    }
}

/// The names that a message of the TOML reader has in backquotes: the unknown one, then the known ones.
pub(super) fn quoted_names(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}
