//! Turns: a place whose file takes long gives way to the others, between two of the file's messages.
//!
//! One engine decides for all places. A file of many messages would hold the others up for as long as it takes. With
//! turns, what is decided of it is committed after a while, and the place rests: its files wait, and while others send,
//! they wait longer than they took, so that most of the time the engine is free for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::owner::Owner;

/// Reading a file anew for the rest of its messages may take at most this part of a turn.
const READING_SHARE: u32 = 2;
/// While others send, a turn is so much shorter: each of them waits for it, and for its commit.
const OTHERS_SHARE: u32 = 8;
/// A message cannot give way: its place rests if it took so many of these shorter turns.
const LONG_MESSAGE: u32 = 2;
/// While others send, a place rests so many times as long as its turn took.
const REST: u32 = 30;
/// The desk rests less, and its turns are not shorter: somebody sits before it.
const REST_OF_DESK: u32 = 10;
/// But never longer than this.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// A place sends if a file of it was taken so recently.
const RECENT: Duration = Duration::from_secs(10);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How long a turn lasts; without, files are taken whole and nobody rests.
    length: Option<Duration>,
    /// The places that rest, and until when.
    resting: BTreeMap<Owner, Instant>,
    /// The places that rested until this call: the others come before them in it.
    late: BTreeSet<Owner>,
    /// When the last file of each place was taken.
    taken: BTreeMap<Owner, Instant>,
    file: Option<FileTurn>,
}

/// The file in hand.
#[derive(Debug)]
struct FileTurn {
    begun: Instant,
    /// How long its turn lasts.
    length: Option<Duration>,
    /// When it was read, and the first of its messages was about to be decided.
    read: Option<Instant>,
    /// Whether it is to give way.
    is_over: bool,
}

impl Turns {
    /// Sets how long a turn lasts.
    pub fn set_length(&mut self, length: Duration) {
        self.length = Some(length);
    }

    /// A new call begins: places that have rested go on in it, after the others.
    pub fn begin_call(&mut self, now: Instant) {
        let rested = self.resting.extract_if(.., |_, until| *until <= now);
        self.late = rested.map(|(place, _)| place).collect();
    }

    /// Whether places still wait for the others in this call.
    pub fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// It is the turn of those that waited for the others.
    pub fn let_late_on(&mut self) {
        self.late.clear();
    }

    /// A file of this place is about to be read.
    pub fn begin_file(&mut self, owner: &Owner, now: Instant) {
        let is_shared = *owner != Owner::Desk && self.others_send(owner, now);
        let length = self.length.map(|length| match is_shared {
            true => length / OTHERS_SHARE,
            false => length,
        });
        self.file = Some(FileTurn {
            begun: now,
            length,
            read: None,
            is_over: false,
        });
    }

    /// Whether the file in hand is to give way; asked before each of its messages.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let Some(file) = &mut self.file else {
            return false;
        };
        let Some(length) = file.length else {
            return false;
        };
        let read = *file.read.get_or_insert(now);
        let reading = read.saturating_duration_since(file.begun);
        let least = length.max(reading.saturating_mul(READING_SHARE));
        file.is_over |= now.saturating_duration_since(read) >= least;
        file.is_over
    }

    /// The file in hand was taken, or gave way: if that took longer than a turn, its place rests.
    pub fn end_file(&mut self, owner: &Owner, now: Instant) {
        let Some(file) = self.file.take() else {
            return;
        };
        let Some(length) = file.length else {
            return;
        };
        let took = now.saturating_duration_since(file.begun);
        let long = match self.length {
            Some(whole) if length < whole => length.saturating_mul(LONG_MESSAGE),
            _ => length,
        };
        if file.is_over || took >= long {
            let rest = match self.others_send(owner, now) {
                true if *owner == Owner::Desk => took.saturating_mul(REST_OF_DESK),
                true => took.saturating_mul(REST),
                false => Duration::ZERO,
            };
            self.resting
                .insert(owner.clone(), now + rest.min(LONGEST_REST));
        }
        match self.taken.get_mut(owner) {
            Some(taken) => *taken = now,
            None => {
                self.taken.insert(owner.clone(), now);
            }
        }
    }

    /// Has a place rest until then, or until [`Turns::end_rest`].
    pub fn rest(&mut self, owner: &Owner, until: Instant) {
        self.resting.insert(owner.clone(), until);
    }

    /// Has a place go on with the next call.
    pub fn end_rest(&mut self, owner: &Owner, now: Instant) {
        if let Some(until) = self.resting.get_mut(owner) {
            *until = now.min(*until);
        }
    }

    fn others_send(&self, owner: &Owner, now: Instant) -> bool {
        let mut others = self.taken.iter().filter(|(other, _)| *other != owner);
        others.any(|(_, taken)| now.saturating_duration_since(*taken) < RECENT)
    }

    /// Whether files of this place wait at present.
    pub fn waits(&self, owner: &Owner) -> bool {
        self.resting.contains_key(owner) || self.late.contains(owner)
    }

    /// The places that rest, and until when.
    pub fn resting(&self) -> &BTreeMap<Owner, Instant> {
        &self.resting
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::engine::{Arrival, Engine, OpenStore};
    use crate::spool::fs::Fs;

    fn facility() -> Owner {
        Owner::Facility("demo".to_owned())
    }

    #[test]
    fn a_file_of_many_messages_gives_way_and_ends_as_if_it_were_taken_whole() {
        let messages: String = (0..40).map(message).collect();
        let mut ends = Vec::new();
        for length in [None, Some(Duration::ZERO)] {
            let folder = tempfile::tempdir().unwrap();
            let config = Config::demo(&folder.path().join("spool"));
            let dir = config.facilities[0].dir.clone();
            let mut engine = Engine::open(Arc::new(config), Fs::new(), OpenStore::Memory).unwrap();
            if let Some(length) = length {
                engine.set_turn(length);
            }
            std::fs::write(dir.join("inbox/many.hl7"), &messages).unwrap();
            std::fs::write(dir.join("inbox/next.hl7"), message(40)).unwrap();
            let mut arrivals = arrivals(["many.hl7", "next.hl7"]);
            let mut calls = 0;
            loop {
                engine.take_in(std::mem::take(&mut arrivals)).unwrap();
                calls += 1;
                if engine.claims_waiting() == 0 && !dir.join("inbox/next.hl7").exists() {
                    break;
                }
                assert!(!dir.join("done").join("next.hl7").exists(), "it overtook");
                assert!(calls < 100, "{} wait", engine.claims_waiting());
                // Nothing of a place that rests is claimed: the daemon offers its files again.
                if dir.join("inbox/next.hl7").exists() {
                    arrivals = self::arrivals(["next.hl7"]);
                }
            }
            let receipt = std::fs::read_to_string(dir.join("outbox/acks/many.hl7.ack")).unwrap();
            ends.push((engine.totals(), receipt.matches("MSA|AA|").count()));
            match length {
                None => assert_eq!(calls, 1),
                Some(_) => assert!(calls > 2, "{calls} calls"),
            }
        }
        assert_eq!(ends[0], ends[1]);
        assert_eq!((ends[0].0.accepted, ends[0].1), (41, 40));
    }

    fn message(number: usize) -> String {
        format!(
            "MSH|^~\\&|A|B|||20250401120000||ADT^A28|{number}|P|2.5\r\
             PID|1||{number}^^^^PI||MARTIN^JEANNE^^^^^L||19501104|F\r"
        )
    }

    fn arrivals<const N: usize>(names: [&str; N]) -> Vec<Arrival> {
        let arrival = |name: &str| Arrival {
            owner: facility(),
            path: name.into(),
        };
        names.map(arrival).to_vec()
    }

    /// A time so many milliseconds after another.
    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn without_a_length_no_turn_ends() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.begin_file(&facility(), start);
        assert!(!turns.is_over(start));
        assert!(!turns.is_over(after(start, 60_000)));
        turns.end_file(&Owner::Desk, after(start, 60_000));
        assert!(!turns.waits(&Owner::Desk));
    }

    #[test]
    fn a_turn_is_longer_where_reading_takes_long() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.set_length(Duration::from_millis(10));
        turns.begin_file(&facility(), start);
        assert!(!turns.is_over(after(start, 20)), "nothing is decided yet");
        assert!(!turns.is_over(after(start, 59)), "reading took 20 ms");
        assert!(turns.is_over(after(start, 60)));
    }

    #[test]
    fn who_had_a_long_turn_alone_goes_on_with_the_next_call_after_the_others() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.set_length(Duration::from_millis(10));
        turns.begin_file(&facility(), start);
        turns.end_file(&facility(), after(start, 10));
        assert!(turns.waits(&facility()) && !turns.waits(&Owner::Desk));
        turns.begin_call(after(start, 10));
        assert!(turns.waits(&facility()) && turns.has_late());
        turns.let_late_on();
        assert!(!turns.waits(&facility()));
    }

    #[test]
    fn who_had_a_long_turn_rests_longer_while_others_send() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.set_length(Duration::from_millis(10));
        turns.begin_file(&Owner::Desk, start);
        turns.end_file(&Owner::Desk, after(start, 9));
        assert!(!turns.waits(&Owner::Desk), "it took less than a turn");
        turns.begin_file(&facility(), after(start, 10));
        turns.end_file(&facility(), after(start, 110));
        turns.begin_call(after(start, 3109));
        assert!(turns.waits(&facility()) && !turns.has_late());
        assert_eq!(turns.resting()[&facility()], after(start, 3110));
        turns.begin_call(after(start, 3110));
        assert!(turns.waits(&facility()) && turns.has_late());
        // The others sent long ago.
        turns.begin_file(&facility(), after(start, 20_000));
        turns.end_file(&facility(), after(start, 50_000));
        assert_eq!(turns.resting()[&facility()], after(start, 50_000));
        // However long it took.
        turns.begin_file(&Owner::Desk, after(start, 50_000));
        turns.end_file(&Owner::Desk, after(start, 59_000));
        assert_eq!(turns.resting()[&Owner::Desk], after(start, 69_000));
    }

    #[test]
    fn a_turn_is_shorter_while_others_send_and_one_short_file_makes_nobody_rest() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        turns.set_length(Duration::from_millis(40));
        turns.begin_file(&facility(), start);
        assert!(!turns.is_over(start) && !turns.is_over(after(start, 39)));
        assert!(turns.is_over(after(start, 40)));
        turns.end_file(&Owner::Desk, start);
        turns.begin_file(&facility(), start);
        assert!(!turns.is_over(start) && !turns.is_over(after(start, 4)));
        assert!(turns.is_over(after(start, 5)));
        turns.end_file(&facility(), after(start, 5));
        assert_eq!(turns.resting()[&facility()], after(start, 155));
        let mut other = Turns::default();
        other.set_length(Duration::from_millis(40));
        other.begin_file(&Owner::Desk, start);
        other.end_file(&Owner::Desk, start);
        other.begin_file(&facility(), start);
        other.end_file(&facility(), after(start, 9));
        assert!(!other.waits(&facility()), "it did not give way");
        // A message that is long itself does.
        other.begin_file(&facility(), start);
        other.end_file(&facility(), after(start, 10));
        assert_eq!(other.resting()[&facility()], after(start, 310));
        // Not so soon at the desk, and not for so long.
        other.begin_file(&Owner::Desk, start);
        other.end_file(&Owner::Desk, after(start, 39));
        assert!(!other.waits(&Owner::Desk));
        other.begin_file(&Owner::Desk, start);
        other.end_file(&Owner::Desk, after(start, 40));
        assert_eq!(other.resting()[&Owner::Desk], after(start, 440));
    }
}
