//! The dates and times that are taken from outside: those of the years 1800 to 2199 (docs/interface.md, "Ranges").
//!
//! Nothing that concerns a patient of a meeting lies beyond them. Within them no offset and no number of days that the
//! program adds leads out of what the calendar of the library holds.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

const YEARS: std::ops::RangeInclusive<i32> = 1800..=2199;

/// What a refusal says was expected.
pub const EXPECTED: &str = "a date of the years 1800 to 2199";

/// Whether the year of a date is one that is taken.
pub fn has_year(year: i32) -> bool {
    YEARS.contains(&year)
}

/// Whether the date is one that is taken.
pub fn has_date(date: NaiveDate) -> bool {
    has_year(date.year())
}

/// Whether the instant is one that is taken, by its date in UTC.
pub fn has_instant(instant: DateTime<Utc>) -> bool {
    has_year(instant.year())
}

/// The instant of so many seconds since 1970, as file systems write them, if it is one that is taken.
pub fn instant(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).filter(|instant| has_instant(*instant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_years_of_the_range_are_taken() {
        for (seconds, taken) in [
            (0, true),
            (-5_364_662_400, true),
            (-5_364_662_401, false),
            (7_258_118_399, true),
            (7_258_118_400, false),
            (-62_135_596_800, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(instant(seconds).is_some(), taken, "{seconds}");
        }
        assert!(!has_date(NaiveDate::MAX) && !has_date(NaiveDate::MIN));
        assert!(!has_instant(DateTime::<Utc>::MAX_UTC) && !has_instant(DateTime::<Utc>::MIN_UTC));
    }
}
