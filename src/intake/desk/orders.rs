//! What a command asks of the engine about refused files, and about moves that can never be done (interface.md 7).

use super::{Discard, Retry};
use crate::intake::{Decision, Order};
use crate::model::outcome::{Reason, Refusal, Verdict};

/// So many characters are taken of why something is given up.
const LONGEST_WHY: usize = 1_000;

/// Refused files are to be taken in again.
pub(super) fn retry(retry: &Retry) -> Result<Decision<'static>, Refusal> {
    check_refused_files(&retry.files)?;
    Ok(Decision {
        order: Some(Order::Retry {
            files: retry.files.clone(),
        }),
        ..Decision::unchanged(Verdict::Accepted)
    })
}

fn check_refused_files(files: &[String]) -> Result<(), Refusal> {
    if files.is_empty() {
        return Err(bad_command(
            "expected at least one refused file, found an empty list",
        ));
    }
    // Whether it lies in an error/ folder is seen by the engine: a facility's can be anywhere.
    let leads_away = |file: &&String| file.is_empty() || file.split('/').any(|part| part == "..");
    match files.iter().find(leads_away) {
        None => Ok(()),
        Some(file) => Err(bad_command(
            "expected paths of refused files as `rcpspool list errors` shows them, found one that is empty or has `..`",
        )
        .with_value(file)),
    }
}

/// Refused files are put away, or moves given up. A facility whose moves are given up need not be in the configuration: what was taken out of it can never be done.
pub(super) fn discard(discard: &Discard) -> Result<Decision<'static>, Refusal> {
    let why = discard.why.as_deref().map(str::trim);
    let why = why.filter(|why| !why.is_empty());
    if why.is_some_and(|why| why.chars().count() > LONGEST_WHY) {
        return Err(bad_command(format!(
            "expected at most {LONGEST_WHY} characters as `why`, found more"
        )));
    }
    let order = match (&discard.moves, &discard.files, why) {
        (Some(facility), None, why) => Order::GiveUp {
            facility: facility.clone(),
            why: why.map(str::to_owned),
        },
        (None, Some(files), Some(why)) => {
            check_refused_files(files)?;
            Order::Discard {
                files: files.clone(),
                why: why.to_owned(),
            }
        }
        (None, Some(_), None) => {
            return Err(bad_command(
                "expected as `why` a sentence that says why nobody will correct these files, found nothing",
            ));
        }
        _ => {
            return Err(bad_command(
                "expected exactly one of `files` and `moves` to say what is given up",
            ));
        }
    };
    Ok(Decision {
        order: Some(order),
        ..Decision::unchanged(Verdict::Accepted)
    })
}

fn bad_command(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadCommand, message)
}
