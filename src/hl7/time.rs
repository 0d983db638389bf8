//! Time stamps (data types TS and DTM, HL7 v2.5 chapter 2.A.77; interface.md 2, "Times").

use chrono::{
    DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::model::calendar;
use crate::model::date::PartialDate;

/// A point in time as precisely as it was written: `YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]`.
///
/// A month or day written as `00`, as for births of which no more is known, counts as not written, and so does
/// the time behind it.
///
/// Real senders also write `T` or a blank between date and time, the fraction of a second without its point, dates and
/// times with the separators of ISO 8601 (`2024-03-06T11:11:54`), and offsets as that does (`+02:00`, `+02`, `Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    date: PartialDate,
    time: NaiveTime,
    offset: Option<FixedOffset>,
    is_untidy: bool,
}

/// A text that is no time stamp, or none that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// It is written otherwise.
    #[error(
        "expected a date such as 19730416, with or without a time (20240306111154, 20240306111154+0100), found \"{0}\""
    )]
    Unreadable(String),
    /// Its year is none of those that are taken.
    #[error("expected {}, found another", calendar::EXPECTED)]
    OutOfRange,
}

impl InvalidTime {
    /// What to say of a text of which more is expected than that it is a time: this, unless only its year is wrong.
    pub fn or(&self, expected: &str) -> String {
        match self {
            InvalidTime::Unreadable(_) => expected.to_owned(),
            InvalidTime::OutOfRange => self.to_string(),
        }
    }
}

impl Timestamp {
    /// Reads a time stamp; white space around it does not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let read = read(text.trim()).ok_or_else(|| InvalidTime::Unreadable(text.to_owned()))?;
        match calendar::has_year(read.date.year()) {
            true => Ok(read),
            false => Err(InvalidTime::OutOfRange),
        }
    }

    /// Whether HL7 writes date and time otherwise: `time-untidy`.
    pub fn is_untidy(&self) -> bool {
        self.is_untidy
    }

    /// The calendar date as written, never shifted, if it was written to the day.
    pub fn date(&self) -> Option<NaiveDate> {
        match self.date {
            PartialDate::Day(date) => Some(date),
            PartialDate::Year(_) | PartialDate::Month(..) => None,
        }
    }

    /// The calendar date as far as it was written.
    pub fn partial_date(&self) -> PartialDate {
        self.date
    }

    /// Date, time and offset as they were understood, for a person.
    pub fn written(&self) -> String {
        let offset = self.offset.map(|offset| format!(" {offset}"));
        let time = self.time.format("%H:%M:%S%.f");
        format!("{} {time}{}", self.date, offset.unwrap_or_default())
    }

    /// The instant, missing parts as the first month, the first day and midnight; without an offset in this zone.
    ///
    /// Clocks that change leave two holes, and a message must not fail in them: of a local time that comes twice
    /// the earlier is meant, and one that is left out is counted on from before the change.
    pub fn instant(&self, zone: Tz) -> DateTime<Utc> {
        let first_day = match self.date {
            PartialDate::Year(year) => NaiveDate::from_ymd_opt(year, 1, 1),
            PartialDate::Month(year, month) => NaiveDate::from_ymd_opt(year, month, 1),
            PartialDate::Day(date) => Some(date),
        };
        let local = first_day.unwrap_or_default().and_time(self.time);
        match self.offset {
            Some(offset) => local.and_utc() - offset,
            None => local.and_utc() - offset_at(local, zone),
        }
    }
}

/// Writes an instant as the local time of this zone, to the second and without offset (interface.md 8).
pub fn write(instant: DateTime<Utc>, zone: Tz) -> String {
    instant
        .with_timezone(&zone)
        .format("%Y%m%d%H%M%S")
        .to_string()
}

fn offset_at(local: NaiveDateTime, zone: Tz) -> FixedOffset {
    // No change of clocks leaves out more than a day.
    let day_before = || {
        zone.offset_from_local_datetime(&local.checked_sub_days(Days::new(1))?)
            .earliest()
    };
    zone.offset_from_local_datetime(&local)
        .earliest()
        .or_else(day_before)
        .map_or_else(|| Utc.fix(), |offset| offset.fix())
}

fn read(text: &str) -> Option<Timestamp> {
    let bare = without_separators(text);
    let is_separated = bare.is_some();
    let text = bare.as_deref().unwrap_or(text);
    let (local, written_offset) = match text
        .find(['+', '-', 'Z', 'z'])
        .and_then(|at| text.split_at_checked(at))
    {
        Some((local, offset)) => (local, Some(offset)),
        None => (text, None),
    };
    let (whole, fraction) = match local.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (local, None),
    };
    let mut parts = Digits(whole);
    let year = i32::try_from(parts.take(4)??).ok()?;
    let month = parts.take(2)?.filter(|month| *month > 0);
    let day = parts.take(2)?.filter(|day| *day > 0);
    let date = PartialDate::new(year, month, day)?;
    let is_to_the_day = matches!(date, PartialDate::Day(_));
    let offset = match written_offset {
        None => None,
        Some(written) => Some(read_offset(written, is_to_the_day)?),
    };
    let is_apart = parts.skip(['T', 't', ' ']);
    if is_apart && (!is_to_the_day || parts.0.is_empty()) {
        return None;
    }
    let (hour, minute, second) = (parts.take(2)?, parts.take(2)?, parts.take(2)?);
    let glued = Some(parts.0).filter(|glued| MILLISECONDS <= glued.len());
    let fraction = match (fraction, glued) {
        (None, Some(_)) => {
            parts.0 = "";
            glued
        }
        (fraction, _) => fraction,
    };
    let nanosecond = match fraction {
        None => 0,
        Some(fraction) => second.and_then(|_| read_fraction(fraction))?,
    };
    let time = NaiveTime::from_hms_nano_opt(
        hour.unwrap_or(0),
        minute.unwrap_or(0),
        second.unwrap_or(0),
        nanosecond,
    )?;
    parts.0.is_empty().then_some(Timestamp {
        date,
        time: if matches!(date, PartialDate::Day(_)) {
            time
        } else {
            NaiveTime::MIN
        },
        offset,
        is_untidy: is_apart || glued.is_some() || is_separated,
    })
}

/// A date with its day, and the time behind it, without the separators of ISO 8601; nothing where there are none, or
/// where they stand elsewhere. `2024-03` is none: it may be a year with an offset.
fn without_separators(text: &str) -> Option<String> {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let apart = text.split_at_checked(10).filter(|(date, rest)| {
        let mut parts = date.split('-');
        let mut is_next = |length| {
            let part = parts.next();
            part.is_some_and(|part| part.len() == length && is_number(part))
        };
        is_next(4) && is_next(2) && is_next(2) && !rest.starts_with(|it: char| it.is_ascii_digit())
    });
    let (date, rest) = apart.or_else(|| {
        let glued = text.split_at_checked(8);
        glued.filter(|(date, _)| is_number(date))
    })?;
    let is_time = |byte: &u8| byte.is_ascii_digit() || *byte == b':';
    let length = rest
        .bytes()
        .skip(1)
        .take_while(|byte| is_time(byte))
        .count();
    let (time, behind) = match rest.starts_with(['T', 't', ' ']) {
        true => rest.split_at_checked(length + 1)?,
        false => ("", rest),
    };
    let mut parts = time.get(1..).unwrap_or_default().split(':');
    let has_colons = time.contains(':');
    if has_colons && !(time.len() <= 9 && parts.all(|part| part.len() == 2)) {
        return None;
    }
    let is_separated = apart.is_some() || has_colons;
    is_separated.then(|| format!("{}{}{behind}", date.replace('-', ""), time.replace(':', "")))
}

/// Fewer digits behind the seconds are no fraction without its point, but one typed twice.
const MILLISECONDS: usize = 3;

/// Reads `+ZZZZ`; behind a whole date also as ISO 8601 writes it, since `2024-03` is rather a month.
fn read_offset(text: &str, behind_a_day: bool) -> Option<FixedOffset> {
    if matches!(text, "Z" | "z") {
        return behind_a_day.then(|| Utc.fix());
    }
    if text.starts_with(['Z', 'z']) {
        return None;
    }
    let mut parts = Digits(text.get(1..)?);
    let hours = parts.take(2)??;
    let has_colon = parts.skip([':']);
    let minutes = match parts.take(2)? {
        None if has_colon => return None,
        None if behind_a_day => 0,
        Some(minutes) if behind_a_day || !has_colon => minutes,
        _ => return None,
    };
    if hours > 23 || minutes > 59 || !parts.0.is_empty() {
        return None;
    }
    let east = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    FixedOffset::east_opt(if text.starts_with('-') { -east } else { east })
}

/// The nanoseconds of the digits behind the point; HL7 writes four at most, others more.
fn read_fraction(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some(nanoseconds.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// Digits that are still to be read.
struct Digits<'a>(&'a str);

impl Digits<'_> {
    /// The next number of so many digits: the inner option is empty at the end, the outer where digits are wrong.
    fn take(&mut self, count: usize) -> Option<Option<u32>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let (number, rest) = self.0.split_at_checked(count)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        number.parse().ok().map(Some)
    }

    /// Goes over one of these marks, if it comes next.
    fn skip<const N: usize>(&mut self, marks: [char; N]) -> bool {
        match self.0.strip_prefix(marks) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str, zone: Tz) -> String {
        Timestamp::parse(text).unwrap().instant(zone).to_rfc3339()
    }

    #[test]
    fn any_precision_is_read() {
        for (text, date, instant) in [
            ("1973", "1973", "1972-12-31T23:00:00+00:00"),
            ("197304", "1973-04", "1973-03-31T23:00:00+00:00"),
            ("19730416", "1973-04-16", "1973-04-15T23:00:00+00:00"),
            ("19501104000000", "1950-11-04", "1950-11-03T23:00:00+00:00"),
            ("2024030611", "2024-03-06", "2024-03-06T10:00:00+00:00"),
            ("202407061154", "2024-07-06", "2024-07-06T09:54:00+00:00"),
            ("20240306111154", "2024-03-06", "2024-03-06T10:11:54+00:00"),
            (
                "20240306111154.5",
                "2024-03-06",
                "2024-03-06T10:11:54.500+00:00",
            ),
            (
                "20240306111154.12345678901",
                "2024-03-06",
                "2024-03-06T10:11:54.123456789+00:00",
            ),
            (
                "20240306111154+0000",
                "2024-03-06",
                "2024-03-06T11:11:54+00:00",
            ),
            (
                "20240306111154.25-0330",
                "2024-03-06",
                "2024-03-06T14:41:54.250+00:00",
            ),
            (
                "20240306233000-0500",
                "2024-03-06",
                "2024-03-07T04:30:00+00:00",
            ),
            ("2024+0200", "2024", "2023-12-31T22:00:00+00:00"),
            (" 20240306\n", "2024-03-06", "2024-03-05T23:00:00+00:00"),
            ("19500000", "1950", "1949-12-31T23:00:00+00:00"),
            ("19501100", "1950-11", "1950-10-31T23:00:00+00:00"),
            ("19500000120000", "1950", "1949-12-31T23:00:00+00:00"),
            ("195000", "1950", "1949-12-31T23:00:00+00:00"),
        ] {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!(read.partial_date().to_string(), date, "{text}");
            assert_eq!(read.date().is_some(), date.len() == 10, "{text}");
            assert_eq!(utc(text, Tz::Europe__Paris), instant, "{text}");
        }
    }

    #[test]
    fn what_real_senders_write_is_read() {
        for (text, is_untidy, instant) in [
            ("20240306111154+02:00", false, "2024-03-06T09:11:54+00:00"),
            ("20240306111154+02", false, "2024-03-06T09:11:54+00:00"),
            ("20240306111154-03:30", false, "2024-03-06T14:41:54+00:00"),
            ("20240306111154Z", false, "2024-03-06T11:11:54+00:00"),
            ("20240306111154.5z", false, "2024-03-06T11:11:54.500+00:00"),
            ("20240306+01:00", false, "2024-03-05T23:00:00+00:00"),
            ("20240306Z", false, "2024-03-06T00:00:00+00:00"),
            ("20110613122406637", true, "2011-06-13T10:24:06.637+00:00"),
            (
                "20110613122406637+02",
                true,
                "2011-06-13T10:24:06.637+00:00",
            ),
            (
                "201106131224066375",
                true,
                "2011-06-13T10:24:06.637500+00:00",
            ),
            (
                "20110613122406123456789",
                true,
                "2011-06-13T10:24:06.123456789+00:00",
            ),
            ("20260115T143000", true, "2026-01-15T13:30:00+00:00"),
            ("20260115T14", true, "2026-01-15T13:00:00+00:00"),
            ("20260115t1430", true, "2026-01-15T13:30:00+00:00"),
            ("20260115 143000", true, "2026-01-15T13:30:00+00:00"),
            ("20260115T143000.25Z", true, "2026-01-15T14:30:00.250+00:00"),
            (
                "20260115T143000637+0200",
                true,
                "2026-01-15T12:30:00.637+00:00",
            ),
            ("2026-01-15", true, "2026-01-14T23:00:00+00:00"),
            ("2026-01-15T14:30:00", true, "2026-01-15T13:30:00+00:00"),
            ("2026-01-15 14:30", true, "2026-01-15T13:30:00+00:00"),
            ("2026-01-15T14", true, "2026-01-15T13:00:00+00:00"),
            ("2026-01-15T143000", true, "2026-01-15T13:30:00+00:00"),
            ("20260115T14:30:00", true, "2026-01-15T13:30:00+00:00"),
            ("2026-01-15T14:30:00Z", true, "2026-01-15T14:30:00+00:00"),
            (
                "2026-01-15T14:30:00.25+01:00",
                true,
                "2026-01-15T13:30:00.250+00:00",
            ),
            (
                "2026-01-15T14:30:00-0330",
                true,
                "2026-01-15T18:00:00+00:00",
            ),
            ("2026-01-15+01:00", true, "2026-01-14T23:00:00+00:00"),
            ("2026-01-15-01:00", true, "2026-01-15T01:00:00+00:00"),
        ] {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!(read.is_untidy(), is_untidy, "{text}");
            assert_eq!(utc(text, Tz::Europe__Paris), instant, "{text}");
        }
        assert!(
            !Timestamp::parse("20240306111154.25-0330")
                .unwrap()
                .is_untidy()
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "0",
            "73",
            "197",
            "19734",
            "1973041",
            "19731301",
            "19730230",
            "19730431",
            "00000000",
            "19500012",
            "2024030624",
            "202403061160",
            "20240306111160",
            "06/03/2024",
            "2024/03/06",
            "24-03-06",
            "2024-3-06",
            "2024-03-6",
            "2024-03-0611",
            "2024-13-06",
            "2024-02-30",
            "2024-03-06T",
            "2024-03-06T1",
            "2024-03-06T11:1",
            "2024-03-06T11:",
            "2024-03-06T11::11",
            "2024-03-06T11:11:54:10",
            "2024-03-06T11:1154",
            "2024-03-06T1111:54",
            "2024-03-06T25:11",
            "2024-03-06TT11:11",
            "2024-03-06x",
            "2024030611:11",
            "2024-03-06é",
            "20240306T",
            "20240306T1",
            "202403T1111",
            "2024T111154",
            "20240306TT111154",
            "20240306  111154",
            "2024030611T1154",
            "20240306111154637.5",
            "20240306111154 637",
            "2024030611115463x",
            "20240306111154.",
            "20240306111154.x",
            "2024030611.5",
            "20240306+1",
            "20240306+01:",
            "20240306+1:00",
            "20240306+01:0",
            "20240306+01:00:00",
            "2024-03",
            "202403-06",
            "2024-03:06",
            "2024Z",
            "Z",
            "20240306ZZ",
            "20240306Z0100",
            "20240306+2400",
            "20240306+0160",
            "2024030611115400",
            "+0100",
            "２０２４",
            "1973041é",
            "\"\"",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_year_that_is_not_taken_is_named() {
        for text in ["0001", "17991231", "22000101", "99991231235959.9999-2359"] {
            let error = Timestamp::parse(text).unwrap_err();
            assert_eq!(error, InvalidTime::OutOfRange, "{text}");
            assert!(error.or("").contains("1800 to 2199"), "{error}");
        }
    }

    #[test]
    fn a_local_time_that_is_missing_or_comes_twice_has_an_instant() {
        let paris = Tz::Europe__Paris;
        assert_eq!(utc("20240331013000", paris), "2024-03-31T00:30:00+00:00");
        assert_eq!(utc("20240331023000", paris), "2024-03-31T01:30:00+00:00");
        assert_eq!(utc("20240331033000", paris), "2024-03-31T01:30:00+00:00");
        assert_eq!(utc("20241027023000", paris), "2024-10-27T00:30:00+00:00");
        assert_eq!(utc("20241027033000", paris), "2024-10-27T02:30:00+00:00");
        assert_eq!(
            utc("20111230120000", Tz::Pacific__Apia),
            "2011-12-30T22:00:00+00:00"
        );
        assert_eq!(utc("1800", paris), "1799-12-31T23:50:39+00:00");
        assert_eq!(
            utc("21991231235959.9999-2359", paris),
            "2200-01-01T23:58:59.999900+00:00"
        );
    }

    #[test]
    fn an_instant_is_written_in_local_time() {
        let instant = Timestamp::parse("20240706095400+0000")
            .unwrap()
            .instant(Tz::UTC);
        assert_eq!(write(instant, Tz::Europe__Paris), "20240706115400");
    }
}
