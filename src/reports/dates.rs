//! Dates, times and intervals as French writes them.

use super::units;

/// A time or an interval of the questionnaire as a French reader expects it.
pub(super) fn french_time(time: &str) -> String {
    let words = french_interval(time);
    if !time.contains('/') {
        return format!("Date : {words}");
    }
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.clone()).collect()
}

/// The same within a line: `du 01/03/2019 au 20/08/2019`. A bound that does not belong to an interval has its sign.
pub(super) fn french_interval(time: &str) -> String {
    let Some((from, to)) = time.split_once('/') else {
        return french_date(time);
    };
    let end = |end: &str, sign| match end.strip_prefix(sign) {
        Some(end) => (french_date(end), true),
        None => (french_date(end), false),
    };
    let ((from, is_after), (to, is_before)) = (end(from, '>'), end(to, '<'));
    match (from.as_str(), to.as_str()) {
        (from, "..") if is_after => format!("après le {from}"),
        (from, "..") => format!("à partir du {from}"),
        ("..", to) if is_before => format!("avant le {to}"),
        ("..", to) => format!("jusqu’au {to}"),
        (from, to) => match (is_after, is_before) {
            (false, false) => format!("du {from} au {to}"),
            (false, true) => format!("à partir du {from} et avant le {to}"),
            (true, false) => format!("après le {from} et jusqu’au {to}"),
            (true, true) => format!("après le {from} et avant le {to}"),
        },
    }
}

/// An interval of times whose bounds have the signs of amounts, and whose length may stand behind them.
pub(super) fn french_range(words: &str) -> String {
    let (bounds, width) = match words.split_once("étendue ") {
        Some((bounds, width)) => (bounds, Some(width)),
        None => (words, None),
    };
    let bounds = bounds.trim_end_matches([',', ' ']).split(' ');
    let bounds = bounds.map(french_part).collect::<Vec<_>>().join(" ");
    let width = width.map(|width| format!("étendue {}", units::ratio(width)));
    let parts = [Some(bounds).filter(|it| !it.is_empty()), width];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `2019-02-15T09:30:00+01:00` as `15/02/2019 09:30:00 +01:00`; what is no date stays as it is.
pub(super) fn french_date(time: &str) -> String {
    let (date, clock) = time.split_once('T').unwrap_or((time, ""));
    let parts: Vec<&str> = date.split('-').collect();
    let is_date = parts.len() <= 3
        && parts.first().is_some_and(|year| year.len() == 4)
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_date {
        return time.to_owned();
    }
    let mut words = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    if !clock.is_empty() {
        let (clock, offset) = match clock.find(['+', '-', 'Z']) {
            Some(at) => clock.split_at_checked(at).unwrap_or((clock, "")),
            None => (clock, ""),
        };
        words.push_str(&format!(" {clock} {offset}"));
    }
    words.trim_end().to_owned()
}

/// A part of a value of times: its signs are for amounts.
fn french_part(part: &str) -> String {
    match part {
        ">" => "après le".to_owned(),
        "<" => "avant le".to_owned(),
        "≥" => "à partir du".to_owned(),
        "≤" => "jusqu’au".to_owned(),
        date => french_date(date),
    }
}
