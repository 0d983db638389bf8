//! rcpspool takes hospital messages for multidisciplinary meetings from folders, and gives back the meetings' reports.
//!
//! The way of a file, one direction and no way back:
//!
//! 1. [`spool`] finds a file in an inbox, waits until it is whole and claims it by a rename;
//! 2. [`hl7`] or [`cda`] reads its messages, and [`intake`] decides on each: a pure function of the message and of
//!    what is known;
//! 3. [`engine`] writes what the decision asks for ([`reports`] makes the PDFs) under names nobody sees, and puts the
//!    group on the disk: [`journal`] is the truth, [`store`] its index;
//! 4. only then are files moved to where others see them.
//!
//! [`model`] holds the words of all this, [`config`] what the operator set. [`daemon`] puts threads, signals and
//! timers around the engine, [`status`], [`worklist`] and [`listing`] show what is so, [`verify`] checks all of it
//! against itself, [`cli`] is the command line. [`repeats`] keeps one failure from filling the log.
//!
//! `docs/interface.md` says what all of it must do, `docs/design.md` how it is built and what must never break, and
//! `docs/terms.md` what the words mean. `CONTRIBUTING.md` names the files that a change touches.

pub mod cda;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod hl7;
pub mod intake;
pub mod journal;
pub mod listing;
pub mod model;
mod picture;
mod random;
pub mod repeats;
pub mod reports;
pub mod spool;
pub mod status;
pub mod store;
pub mod verify;
pub mod worklist;
