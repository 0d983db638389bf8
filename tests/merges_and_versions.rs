//! What merges and versions cost: each of them what the first did, however many came before.
//!
//! Counted are the bytes that the journal grows by, which do not depend on the machine; where a single message does all
//! the work, the time, as a ratio. `cargo test --release --test merges_and_versions -- --nocapture` shows the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write;
use std::time::{Duration, Instant};

use support::{World, take_all};

const PERSON: &str = "||MARTIN^Lea^^^^^L||19700102|F";

fn time_of(second: usize) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "202504{:02}{:02}{minute:02}{second:02}",
        1 + hour / 24,
        hour % 24
    )
}

fn siu(case: &str, ipp: &str, second: usize) -> String {
    format!(
        "MSH|^~\\&|||||{}||SIU^S12|1|P|2.5\rSCH||{case}|||||||||^^^20250515\r\
         PID|1||{ipp}^^^^PI{PERSON}\rAIL|1||^^^P\rAIP|1||10100094977\r",
        time_of(second)
    )
}

fn merge(pairs: &[(String, String)], second: usize) -> String {
    let mut message = format!("MSH|^~\\&|||||{}||ADT^A40|1|P|2.5\r", time_of(second));
    for (new, old) in pairs {
        write!(message, "PID|1||{new}^^^^PI{PERSON}\rMRG|{old}^^^^PI\r").unwrap();
    }
    message
}

/// The updates of one case that finds no session.
fn updates(count: usize) -> String {
    (0..count).map(|second| siu("C", "A", second)).collect()
}

/// The versions of one document; `latest_first` lets each be older than those before it.
fn versions(count: usize, latest_first: bool) -> String {
    let patient = format!("MSH|^~\\&|||||20250401||ADT^A28|1|P|2.5\rPID|1||A^^^^PI{PERSON}\r");
    let versions = (0..count).map(|number| {
        let second = if latest_first { count - number } else { number };
        format!(
            "MSH|^~\\&|||||{}||MDM^T02|1|P|2.5\rPID|1||A^^^^PI{PERSON}\r\
             TXA|1|CR||||||||||U||||a.pdf\rOBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r",
            time_of(second)
        )
    });
    std::iter::once(patient).chain(versions).collect()
}

/// A chain of merges, one message each, of IPPs that each have a case.
fn chain_of_messages(count: usize) -> String {
    let cases = (0..count).map(|n| siu(&format!("C{n}"), &format!("P{n}"), n));
    let merges = (1..count).map(|n| merge(&[(format!("P{n}"), format!("P{}", n - 1))], n));
    cases.chain(merges).collect()
}

/// IPPs that each have a case, one after the other merged into the same one.
fn star_of_messages(count: usize) -> String {
    let cases = (0..count).map(|n| siu(&format!("C{n}"), &format!("P{n}"), n));
    let merges = (1..count).map(|n| merge(&[("P0".to_owned(), format!("P{n}"))], n));
    cases.chain(merges).collect()
}

/// What a file costs: how many bytes the journal grows by, and the time.
fn cost(file: &str) -> (u64, Duration) {
    let world = World::new();
    let mut engine = world.open();
    let journal = || -> u64 {
        let files = walkdir::WalkDir::new(world.path("journal")).into_iter();
        files
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    };
    let before = journal();
    world.drop("facilities/demo", "x.hl7", file);
    let start = Instant::now();
    let totals = take_all(&mut engine).unwrap();
    let time = start.elapsed();
    assert_eq!(totals.rejected, 0);
    let grown = journal() - before;
    drop(engine);
    world.assert_verified("after it");
    (grown, time)
}

/// Four times as much costs four times as much, and a bit.
fn assert_linear(what: &str, few: usize, file: impl Fn(usize) -> String) {
    let (of_few, _) = cost(&file(few));
    let (of_many, time) = cost(&file(4 * few));
    println!(
        "{what}: {few}: {of_few} bytes; {}: {of_many} bytes, {time:.1?}",
        4 * few
    );
    assert!(
        of_many * 10 < of_few * 48,
        "{what}: {few} cost {of_few} bytes of journal, {} cost {of_many}",
        4 * few
    );
}

#[test]
fn an_update_of_a_waiting_case_does_not_write_the_former_ones_again() {
    assert_linear("updates of a case", 150, updates);
}

#[test]
fn a_version_of_a_document_does_not_write_the_former_ones_again() {
    assert_linear("versions of a document", 150, |count| {
        versions(count, false)
    });
    assert_linear("late versions", 150, |count| versions(count, true));
}

#[test]
fn a_chain_of_merges_moves_nothing_twice() {
    assert_linear("a chain of messages", 100, chain_of_messages);
    assert_linear("a star of messages", 100, star_of_messages);
}

/// The pairs of one message: as a chain from the first to the last, backwards, as a star, and each by itself.
#[test]
fn the_pairs_of_a_message_are_linear() {
    type Shape = fn(usize) -> (String, String);
    let shapes: [(&str, Shape); 4] = [
        ("a chain", |n| (format!("P{}", n + 1), format!("P{n}"))),
        ("a chain backwards", |n| {
            (format!("P{}", 9_999 - n), format!("P{}", 9_998 - n))
        }),
        ("a star", |n| ("P".to_owned(), format!("P{n}"))),
        ("pairs", |n| (format!("N{n}"), format!("P{n}"))),
    ];
    for (what, pair) in shapes {
        let file = |count: usize| merge(&(0..count).map(pair).collect::<Vec<_>>(), 0);
        assert_linear(what, 100, file);
        let quickest = |count: usize| {
            let times = (0..3).map(|_| cost(&file(count)).1);
            times.min().unwrap()
        };
        let (few, many) = (quickest(250), quickest(1_000));
        println!("{what}: 250: {few:.1?}; 1,000: {many:.1?}");
        // Sixteen times would be quadratic; what takes no time at all says nothing.
        assert!(
            many < Duration::from_millis(200) || many < few * 10,
            "{what} of 250 pairs takes {few:?}, of 1,000 {many:?}"
        );
    }
}
