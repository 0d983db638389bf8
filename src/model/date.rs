//! A date of birth as far as it is known: a year, a month or a day (interface.md 2, "Times").

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// A calendar date of which the day, or the day and the month, may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PartialDate {
    /// Only the year is known.
    Year(i32),
    /// The year and the month are known.
    Month(i32, u32),
    /// The whole date is known.
    Day(NaiveDate),
}

impl PartialDate {
    /// The date of these parts, or nothing if there is no such date or a day comes without its month.
    pub fn new(year: i32, month: Option<u32>, day: Option<u32>) -> Option<Self> {
        let first_day = NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day.unwrap_or(1))
            .filter(|date| (1..=9999).contains(&date.year()))?;
        match (month, day) {
            (None, None) => Some(Self::Year(year)),
            (Some(month), None) => Some(Self::Month(year, month)),
            (Some(_), Some(_)) => Some(Self::Day(first_day)),
            (None, Some(_)) => None,
        }
    }

    /// Whether both may be the same day, compared to the coarser precision of the two (interface.md 3).
    pub fn agrees_with(&self, other: &Self) -> bool {
        let (year, month, day) = self.parts();
        let (other_year, other_month, other_day) = other.parts();
        let same_or_unknown = |one: Option<u32>, two: Option<u32>| match (one, two) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        year == other_year && same_or_unknown(month, other_month) && same_or_unknown(day, other_day)
    }

    /// The date as HL7 v2 writes it: `1973`, `197304` or `19730416`.
    pub fn hl7(&self) -> String {
        self.to_string().replace('-', "")
    }

    /// The year.
    pub fn year(&self) -> i32 {
        self.parts().0
    }

    fn parts(&self) -> (i32, Option<u32>, Option<u32>) {
        match *self {
            Self::Year(year) => (year, None, None),
            Self::Month(year, month) => (year, Some(month), None),
            Self::Day(date) => (date.year(), Some(date.month()), Some(date.day())),
        }
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.parts();
        write!(f, "{year:04}")?;
        for part in [month, day].into_iter().flatten() {
            write!(f, "-{part:02}")?;
        }
        Ok(())
    }
}

/// A text that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a date as 1973, 1973-04 or 1973-04-16, found \"{0}\"")]
pub struct InvalidDate(String);

impl FromStr for PartialDate {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| match parts.next() {
            None => Ok(None),
            Some(part) if part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()) => {
                part.parse::<u32>().map(Some).map_err(|_| ())
            }
            Some(_) => Err(()),
        };
        let date = (|| {
            let (year, month, day) = (part(4)?, part(2)?, part(2)?);
            let year = year.and_then(|year| i32::try_from(year).ok()).ok_or(())?;
            Self::new(year, month, day).ok_or(())
        })();
        match (date, parts.next()) {
            (Ok(date), None) => Ok(date),
            _ => Err(InvalidDate(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PartialDate {
    type Error = InvalidDate;

    fn try_from(text: String) -> Result<Self, InvalidDate> {
        text.parse()
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_and_written_to_its_precision() {
        for (text, hl7) in [
            ("1973", "1973"),
            ("1973-04", "197304"),
            ("1973-04-16", "19730416"),
            ("0800-12-01", "08001201"),
            ("2024-02-29", "20240229"),
        ] {
            let date: PartialDate = text.parse().unwrap();
            assert_eq!(date.to_string(), text);
            assert_eq!(date.hl7(), hl7);
            let json = serde_json::to_string(&date).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<PartialDate>(&json).unwrap(), date);
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "73",
            "19730416",
            "1973-4",
            "1973-13",
            "1973-00",
            "1973-02-29",
            "1973-04-31",
            "1973-04-16-1",
            "1973-04-16T00:00",
            "0000",
            "-973",
            "+973",
            "1973-",
            "١٩٧٣",
        ] {
            assert!(text.parse::<PartialDate>().is_err(), "{text}");
        }
        assert_eq!(PartialDate::new(1973, None, Some(16)), None);
    }

    #[test]
    fn dates_agree_to_the_coarser_precision() {
        for (one, two, agree) in [
            ("1973", "1973-04-16", true),
            ("1973-04", "1973-04-16", true),
            ("1973-04", "1973", true),
            ("1973-04-16", "1973-04-16", true),
            ("1973-05", "1973-04-16", false),
            ("1974", "1973-04-16", false),
            ("1973-04-17", "1973-04-16", false),
        ] {
            let (one, two): (PartialDate, PartialDate) =
                (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!(one.agrees_with(&two), agree, "{one} {two}");
            assert_eq!(two.agrees_with(&one), agree, "{two} {one}");
        }
    }
}
