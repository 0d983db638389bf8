//! Log lines of what fails again and again: said once, then every so often with a count, and once more when it is over.
//!
//! Whoever tries something again calls [`failing`] each time it fails, and [`over`] once it succeeds. A cause is told
//! from another by its place, by what was tried, and by its sentence without the numbers in it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What goes on for so long is said again.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// What fails again so soon after it was said, and was over meanwhile, goes to and fro: it is not said each time.
const TO_AND_FRO: Duration = Duration::from_secs(60);

/// So many causes are told apart for each thing that is tried at a place.
const CAUSES: usize = 8;

/// So many for messages that are refused: each reason at each place of a message is one.
const CAUSES_OF_REFUSALS: usize = 256;

/// So many things that are tried are followed; of others, each failure is said.
const FOLLOWED: usize = 4_096;

/// Something that is tried again where it fails, at a place: a facility's id, or a folder of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepeatedTask {
    /// Looking at an inbox.
    Looking,
    /// Taking files in.
    TakingIn,
    /// Taking single files out of an inbox.
    Claiming,
    /// Finding room for what is taken in.
    Room,
    /// Moving files into place.
    Moving,
    /// Reaching a facility's folder.
    Reaching,
    /// Writing batches of reports.
    Batches,
    /// Writing notices to a facility.
    Notices,
    /// Renewing the folders of sessions.
    Sessions,
    /// Upkeep the journal small.
    Upkeep,
    /// Writing the status.
    Status,
    /// Listening to commands.
    Listening,
    /// Making what was moved durable.
    Stability,
    /// Taking in a message that is refused.
    Refused,
}

impl RepeatedTask {
    /// How many causes are told apart.
    fn causes(self) -> usize {
        match self {
            RepeatedTask::Refused => CAUSES_OF_REFUSALS,
            _ => CAUSES,
        }
    }

    /// What goes on again once it is over.
    fn word(self) -> &'static str {
        match self {
            RepeatedTask::Looking => "looking at the inbox",
            RepeatedTask::TakingIn => "taking files in",
            RepeatedTask::Claiming => "taking files out of the inbox",
            RepeatedTask::Room => "taking files in where there was no room",
            RepeatedTask::Moving => "moving files into place",
            RepeatedTask::Reaching => "reaching the folder",
            RepeatedTask::Batches => "writing batches",
            RepeatedTask::Notices => "writing notices",
            RepeatedTask::Sessions => "renewing the folders of sessions",
            RepeatedTask::Upkeep => "keeping the journal small",
            RepeatedTask::Status => "writing the status",
            RepeatedTask::Listening => "listening to commands",
            RepeatedTask::Stability => "making moves durable",
            RepeatedTask::Refused => "taking messages in",
        }
    }
}

/// Logs that this fails, unless the same was said lately.
pub fn failing(place: &str, trying: RepeatedTask, problem: impl Display) {
    ANY.store(true, Ordering::Relaxed);
    let log = with(|said| said.failing(place, trying, problem.to_string(), Instant::now()));
    if let Some(line) = log {
        log::error!("{line}");
    }
}

/// Logs that a message of a place is refused, unless the same was said lately.
pub fn refused(place: &str, problem: impl Display) {
    let said = with(|said| {
        said.failing(
            place,
            RepeatedTask::Refused,
            problem.to_string(),
            Instant::now(),
        )
    });
    if let Some(line) = said {
        log::warn!("{line}");
    }
}

/// Logs that this goes on again, if it was said to fail.
pub fn over(place: &str, trying: RepeatedTask) {
    if !ANY.load(Ordering::Relaxed) {
        return;
    }
    if let Some(line) = with(|said| said.over(place, trying)) {
        log::warn!("{line}");
    }
}

/// The same for each place of which `is_over` says so.
pub fn over_where(trying: RepeatedTask, is_over: impl Fn(&str) -> bool) {
    if !ANY.load(Ordering::Relaxed) {
        return;
    }
    let lines: Vec<String> = with(|said| {
        let tried = said.tried.keys().filter(|(_, it)| *it == trying);
        let places: Vec<String> = tried
            .map(|(place, _)| place.clone())
            .filter(|place| is_over(place))
            .collect();
        let ended = places.iter().filter_map(|place| said.over(place, trying));
        ended.collect()
    });
    for line in lines {
        log::warn!("{line}");
    }
}

/// Whether anything failed yet: asking that costs less than a lock where all goes well.
static ANY: AtomicBool = AtomicBool::new(false);

static SAID: Mutex<RepeatLog> = Mutex::new(RepeatLog {
    tried: BTreeMap::new(),
});

fn with<T>(what: impl FnOnce(&mut RepeatLog) -> T) -> T {
    what(&mut SAID.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What was said.
#[derive(Debug, Default)]
struct RepeatLog {
    tried: BTreeMap<(String, RepeatedTask), Vec<Cause>>,
}

#[derive(Debug)]
struct Cause {
    without_numbers: String,
    logged_at: Instant,
    /// How often it failed since it began, and since it was said.
    count: u64,
    unlogged: u64,
    is_over: bool,
}

impl RepeatLog {
    /// The line to be logged, if any is.
    fn failing(
        &mut self,
        place: &str,
        trying: RepeatedTask,
        problem: String,
        now: Instant,
    ) -> Option<String> {
        let key = (place.to_owned(), trying);
        if !self.tried.contains_key(&key) && self.tried.len() >= FOLLOWED {
            self.tried
                .retain(|_, causes| causes.iter().any(|cause| !cause.is_over));
            if self.tried.len() >= FOLLOWED {
                return Some(format!("{place}: {problem}"));
            }
        }
        let without_numbers = without_numbers(&problem);
        let causes = self.tried.entry(key).or_default();
        let known = causes
            .iter()
            .position(|cause| cause.without_numbers == without_numbers);
        // Where causes are too many, further ones are counted with the last.
        let most = trying.causes();
        let known = known.or_else(|| (causes.len() >= most).then_some(most - 1));
        let Some(cause) = known.and_then(|place| causes.get_mut(place)) else {
            causes.push(Cause {
                without_numbers,
                logged_at: now,
                count: 1,
                unlogged: 0,
                is_over: false,
            });
            return Some(format!("{place}: {problem}"));
        };
        cause.count += 1;
        cause.unlogged += 1;
        let quiet = if cause.is_over { TO_AND_FRO } else { AGAIN };
        if now.duration_since(cause.logged_at) < quiet {
            return None;
        }
        cause.logged_at = now;
        if std::mem::take(&mut cause.is_over) && cause.unlogged == 1 {
            cause.unlogged = 0;
            return Some(format!("{place}: {problem}"));
        }
        let times = std::mem::take(&mut cause.unlogged);
        Some(format!("{place}: {problem} ({times} times more by now)"))
    }

    fn over(&mut self, place: &str, trying: RepeatedTask) -> Option<String> {
        let causes = self.tried.get_mut(&(place.to_owned(), trying))?;
        let mut count = 0;
        for cause in causes.iter_mut().filter(|cause| !cause.is_over) {
            cause.is_over = true;
            count += std::mem::take(&mut cause.count);
        }
        if count == 0 {
            return None;
        }
        let word = trying.word();
        let often = match count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        Some(format!("{place}: {word} goes on again; it failed {often}"))
    }
}

/// A sentence with `#` for each run of digits: how many bytes are free changes all the time, and the cause does not.
fn without_numbers(sentence: &str) -> String {
    let mut plain = String::with_capacity(sentence.len());
    for character in sentence.chars() {
        match character.is_ascii_digit() {
            false => plain.push(character),
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_said_once_then_every_so_often_and_when_it_is_over() {
        let mut log = RepeatLog::default();
        let start = Instant::now();
        let mut fail = |after: u64, problem: &str| {
            let now = start + Duration::from_secs(after);
            log.failing("demo", RepeatedTask::Moving, problem.to_owned(), now)
        };
        assert_eq!(
            fail(0, "3 files wait").as_deref(),
            Some("demo: 3 files wait")
        );
        for second in 1..600 {
            assert_eq!(fail(second, &format!("{second} files wait")), None);
        }
        assert_eq!(
            fail(600, "7 files wait").as_deref(),
            Some("demo: 7 files wait (600 times more by now)")
        );
        assert_eq!(fail(601, "7 files wait"), None);
        // Another cause does not wait for the first.
        assert_eq!(fail(602, "no right").as_deref(), Some("demo: no right"));
        assert_eq!(log.over("other", RepeatedTask::Moving), None);
        assert_eq!(log.over("demo", RepeatedTask::Looking), None);
        assert_eq!(
            log.over("demo", RepeatedTask::Moving).as_deref(),
            Some("demo: moving files into place goes on again; it failed 603 times")
        );
        assert_eq!(log.over("demo", RepeatedTask::Moving), None);
    }

    #[test]
    fn what_goes_to_and_fro_is_not_said_each_time() {
        let mut log = RepeatLog::default();
        let start = Instant::now();
        let mut lines = 0;
        for second in 0..120 {
            let now = start + Duration::from_secs(second);
            let problem = "no right".to_owned();
            lines += usize::from(
                log.failing("demo", RepeatedTask::Looking, problem, now)
                    .is_some(),
            );
            lines += usize::from(log.over("demo", RepeatedTask::Looking).is_some());
        }
        assert_eq!(lines, 4);
        let much_later = start + Duration::from_secs(600);
        let line = log.failing(
            "demo",
            RepeatedTask::Looking,
            "no right".to_owned(),
            much_later,
        );
        assert!(line.is_some_and(|line| line.starts_with("demo: no right (")));
    }

    #[test]
    fn however_many_causes_there_are_few_are_kept() {
        let mut said = RepeatLog::default();
        let now = Instant::now();
        let letters = |number: usize| "x".repeat(number);
        let lines = (0..1000)
            .filter_map(|number| said.failing("demo", RepeatedTask::Claiming, letters(number), now))
            .count();
        assert_eq!(lines, CAUSES);
        let lines = (0..1000)
            .filter_map(|number| said.failing("demo", RepeatedTask::Refused, letters(number), now))
            .count();
        assert_eq!(lines, CAUSES_OF_REFUSALS);
        for number in 0..FOLLOWED + 16 {
            said.failing(
                &number.to_string(),
                RepeatedTask::Claiming,
                String::new(),
                now,
            );
        }
        assert_eq!(said.tried.len(), FOLLOWED);
    }
}
