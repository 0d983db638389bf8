//! The words of the field as plain types: no I/O, no rules of any one flow.

pub mod calendar;
pub mod case;
pub mod change;
pub mod contact;
pub mod country;
pub mod date;
pub mod document;
pub mod excerpt;
pub mod identifiers;
pub mod meaning;
pub mod name;
pub mod note;
pub mod outcome;
pub mod owner;
pub mod patient;
pub mod questionnaire;
pub mod refused;
pub mod report;
pub mod session;
pub mod shown;
pub mod view;
pub mod visible;
