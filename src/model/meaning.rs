//! What a short text means, however it is written: a yes or no, a number with its unit, or a date.

use chrono::NaiveDate;

use super::name;

/// What a short text means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Yes or no.
    Answer(bool),
    /// A number and its unit; lengths are in mm, masses in mg.
    Amount(f64, String),
    /// A date, to its precision, and the time of day as it was written.
    Date {
        /// The year; below 100 where only its last two digits are written.
        year: u16,
        /// The month, from 1.
        month: u8,
        /// The day of the month.
        day: Option<u8>,
        /// The time of day; empty for none.
        clock: String,
    },
}

impl Meaning {
    /// What a text means, where all of it is one of these.
    pub fn of(text: &str) -> Option<Self> {
        // A full stop ends a sentence, and is no part of what it says.
        let text = text.trim().trim_end_matches(['.', ' ']);
        answer(text)
            .map(Self::Answer)
            .or_else(|| date(text))
            .or_else(|| amount(text))
    }

    /// Whether both can mean the same: a day and a time of day count where both have one.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Amount(one, its_unit), Self::Amount(other, unit)) => {
                let most = one.abs().max(other.abs());
                its_unit == unit && (one - other).abs() <= most * 1e-9
            }
            (
                Self::Date {
                    clock: one,
                    year,
                    month,
                    day,
                },
                Self::Date {
                    clock: other,
                    year: its_year,
                    month: its_month,
                    day: its_day,
                },
            ) => {
                let is_short = *year < 100 || *its_year < 100;
                (year == its_year || is_short && year % 100 == its_year % 100)
                    && month == its_month
                    && (day == its_day || day.is_none() || its_day.is_none())
                    && (one.starts_with(other.as_str()) || other.starts_with(one.as_str()))
            }
            // A year alone is a number.
            (Self::Amount(number, unit), Self::Date { year: its, .. })
            | (Self::Date { year: its, .. }, Self::Amount(number, unit)) => {
                unit.is_empty() && *number == f64::from(*its)
            }
            _ => self == other,
        }
    }

    /// Whether the other says all that this says.
    pub fn is_covered_by(&self, other: &Self) -> bool {
        let precision = |it: &Self| match it {
            Self::Date { day, clock, .. } => (true, day.is_some(), clock.len()),
            _ => (false, false, 0),
        };
        let is_short = |it: &Self| matches!(it, Self::Date { year, .. } if *year < 100);
        self.agrees(other)
            && precision(self) <= precision(other)
            && (is_short(self) || !is_short(other))
    }

    /// Whether both can be compared, and are not the same: amounts of one unit, dates, answers.
    pub fn contradicts(&self, other: &Self) -> bool {
        let is_comparable = match (self, other) {
            (Self::Answer(_), Self::Answer(_)) | (Self::Date { .. }, Self::Date { .. }) => true,
            (Self::Amount(_, one), Self::Amount(_, other)) => one == other,
            _ => false,
        };
        is_comparable && !self.agrees(other)
    }
}

fn answer(text: &str) -> Option<bool> {
    match name::fold(text.trim_end_matches(['.', '!', ' '])).as_str() {
        "☑" | "☒" | "✔" | "✓" | "✅" => Some(true),
        "☐" | "□" | "⬜" => Some(false),
        "O" | "OUI" | "Y" | "YES" | "VRAI" | "TRUE" | "PRESENT" | "PRESENTE" | "PRESENTS"
        | "PRESENTES" | "PRESENCE" => Some(true),
        "N" | "NON" | "NO" | "FAUX" | "FALSE" | "ABSENT" | "ABSENTE" | "ABSENTS" | "ABSENTES"
        | "ABSENCE" | "AUCUN" | "AUCUNE" | "NEANT" | "PAS" => Some(false),
        _ => None,
    }
}

/// A number, as French and programs write it (`1 200,5`, `1e3`), and its unit.
fn amount(text: &str) -> Option<Meaning> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (sign, mut rest) = match text.chars().next()? {
        '-' | '−' => (-1.0, text.get(text.chars().next()?.len_utf8()..)?),
        '+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    let (whole, after) = rest.split_at_checked(digits(rest))?;
    if whole.is_empty() {
        return None;
    }
    let mut number = whole.to_owned();
    rest = after;
    // Groups of three digits, divided by blanks.
    while let Some(group) = rest.strip_prefix([' ', '\u{a0}', '\u{202f}', '\u{2009}'])
        && whole.len() <= 3
        && digits(group) == 3
    {
        let (group, after) = group.split_at_checked(3)?;
        number.push_str(group);
        rest = after;
    }
    // Several points can only divide groups: `1.000.000`.
    let is_group = |text: &str| text.starts_with('.') && digits(text.get(1..).unwrap_or("")) == 3;
    if whole.len() <= 3 && is_group(rest) && rest.get(4..).is_some_and(is_group) {
        while let Some((group, after)) = rest.split_at_checked(4).filter(|_| is_group(rest)) {
            number.push_str(group.trim_start_matches('.'));
            rest = after;
        }
    }
    if let Some(fraction) = rest.strip_prefix(['.', ','])
        && digits(fraction) > 0
    {
        let (fraction, after) = fraction.split_at_checked(digits(fraction))?;
        number.push('.');
        number.push_str(fraction);
        rest = after;
    }
    if let Some(power) = rest.strip_prefix(['e', 'E']) {
        let sign = power.len() - power.trim_start_matches(['-', '+']).len();
        let end = sign.saturating_add(digits(power.get(sign..)?));
        if sign < 2 && end > sign {
            let (power, after) = power.split_at_checked(end)?;
            number.push('e');
            number.push_str(power);
            rest = after;
        }
    }
    let mut scale = 1.0;
    if number == "10"
        && let Some((power, after)) = power(rest)
    {
        scale = 10_f64.powi(power.saturating_sub(1));
        rest = after;
    }
    let number = sign * scale * number.parse::<f64>().ok().filter(|it| it.is_finite())?;
    let (factor, unit) = unit(rest.trim());
    Some(Meaning::Amount(number * factor, unit))
}

/// The power that stands behind its base: `³`, `^3`, `*3`.
fn power(text: &str) -> Option<(i32, &str)> {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let written = text.strip_prefix(['^', '*']);
    let plain = |letter: char| match (written, letter) {
        (Some(_), '-' | '0'..='9') => Some(letter),
        (None, '⁻') => Some('-'),
        (None, raised) => {
            let digit = RAISED.iter().position(|it| *it == raised)?;
            char::from_digit(u32::try_from(digit).ok()?, 10)
        }
        _ => None,
    };
    let text = written.unwrap_or(text);
    let power: String = text.chars().map_while(plain).collect();
    let end = text.find(|letter| plain(letter).is_none());
    let (_, after) = text.split_at_checked(end.unwrap_or(text.len()))?;
    Some((power.parse().ok()?, after))
}

/// A unit by that to which it is converted, without what only the units of HL7 have (`mm[Hg]`, `10*9/L`).
fn unit(unit: &str) -> (f64, String) {
    let (factor, base) = match unit {
        "µm" | "um" | "μm" => (1e-3, "mm"),
        "mm" | "MM" => (1.0, "mm"),
        "cm" | "CM" => (10.0, "mm"),
        "dm" => (100.0, "mm"),
        "m" => (1e3, "mm"),
        "µg" | "ug" | "μg" | "mcg" => (1e-3, "mg"),
        "mg" => (1.0, "mg"),
        "g" => (1e3, "mg"),
        "kg" | "Kg" | "KG" => (1e6, "mg"),
        other => {
            let letters = other.chars().filter(|letter| {
                !letter.is_whitespace() && !matches!(letter, '[' | ']' | '{' | '}' | '*' | '^')
            });
            return (1.0, letters.collect::<String>().to_lowercase());
        }
    };
    (factor, base.to_owned())
}

/// `29/08/2026`, `2026-08-29T10:00`, `1er février 2026`, `08/2026`; with a time of day behind it.
fn date(text: &str) -> Option<Meaning> {
    let text = text.strip_prefix("le ").unwrap_or(text);
    let end = text.find(|it: char| !it.is_ascii_digit() && !matches!(it, '/' | '.' | '-'));
    let (numbers, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let parts: Vec<&str> = numbers.split(['/', '.', '-']).collect();
    let is_year = |part: &str| part.len() == 4;
    let is_short = |part: &str| matches!(part.len(), 1 | 2);
    let (year, month, day, rest) = match parts.as_slice() {
        [year, month, day] if is_year(year) && is_short(month) && is_short(day) => {
            (*year, month.parse().ok()?, Some(*day), rest)
        }
        [day, month, year] if is_year(year) && is_short(month) && is_short(day) => {
            (*year, month.parse().ok()?, Some(*day), rest)
        }
        [year, month] | [month, year] if is_year(year) && is_short(month) => {
            (*year, month.parse().ok()?, None, rest)
        }
        [day, month, year] if year.len() == 2 && !numbers.contains(['.', '-']) => {
            match is_short(day) && is_short(month) {
                true => (*year, month.parse().ok()?, Some(*day), rest),
                false => return None,
            }
        }
        _ => return in_words(text),
    };
    made(year, month, day, rest)
}

fn in_words(text: &str) -> Option<Meaning> {
    let mut words = text.splitn(3, ' ');
    let first = words.next()?;
    let (day, month_name, rest) = match first.starts_with(|it: char| it.is_ascii_digit()) {
        true => {
            let day = first.strip_suffix("er").or(first.strip_suffix("ᵉʳ"));
            (Some(day.unwrap_or(first)), words.next()?, words.next()?)
        }
        false => (None, first, text.split_once(' ')?.1),
    };
    let month = match name::fold(month_name).as_str() {
        "JANVIER" => 1,
        "FEVRIER" => 2,
        "MARS" => 3,
        "AVRIL" => 4,
        "MAI" => 5,
        "JUIN" => 6,
        "JUILLET" => 7,
        "AOUT" => 8,
        "SEPTEMBRE" => 9,
        "OCTOBRE" => 10,
        "NOVEMBRE" => 11,
        "DECEMBRE" => 12,
        _ => return None,
    };
    let (year, rest) = rest.split_at_checked(4)?;
    made(year, month, day, rest)
}

fn made(year: &str, month: u8, day: Option<&str>, rest: &str) -> Option<Meaning> {
    let year: u16 = year.parse().ok()?;
    let day: Option<u8> = match day {
        Some(day) => Some(day.parse().ok()?),
        None => None,
    };
    NaiveDate::from_ymd_opt(year.into(), month.into(), day.unwrap_or(1).into())?;
    let clock = rest.trim();
    let clock = clock.strip_prefix('T').unwrap_or(clock);
    let clock = clock.strip_prefix("à ").unwrap_or(clock);
    let is_clock = clock.starts_with(|it: char| it.is_ascii_digit()) && rest != clock;
    if !(clock.is_empty() || is_clock && day.is_some()) {
        return None;
    }
    let clock = clock.to_lowercase().replace('h', ":").replace(' ', "");
    Some(Meaning::Date {
        year,
        month,
        day,
        clock,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_agrees() {
        for (one, other) in [
            ("12,0 mm", "12 mm"),
            ("1,2 cm", "12 mm"),
            ("1.2cm", "12 mm"),
            ("0,012 m", "12 mm"),
            ("1 g", "1000 mg"),
            ("0.07 kg", "70 g"),
            ("1e3", "1000"),
            ("1 200 kg", "1200 kg"),
            ("1.000 g", "1 g"),
            ("1.500.000 UI", "1 500 000 UI"),
            ("120 mm[Hg]", "120 mmHg"),
            ("O", "Oui"),
            ("oui.", "true"),
            ("Absence", "Non"),
            ("aucune", "N"),
            ("1/2/2026", "01/02/2026"),
            ("1er février 2026", "01/02/2026"),
            ("le 12 mars 2026", "2026-03-12"),
            ("29/08/2026", "2026-08-29"),
            ("29.08.2026 10:30", "2026-08-29T10:30"),
            ("29/08/2026 à 10h30", "29/08/2026"),
            ("août 2026", "08/2026"),
            ("02/2026", "01/02/2026"),
            ("2026", "01/02/2026"),
            ("15 mm.", "15 mm"),
            ("12/03/2025.", "12/03/2025"),
            ("12/03/25", "12/03/2025"),
            ("12/3/25.", "12/03/1925"),
            ("10³", "1000"),
            ("10^3", "1000"),
            ("10⁻² mm", "0,01 mm"),
            ("10 mm", "1 cm"),
            ("☑", "Oui"),
            ("☒", "Oui"),
            ("☐", "Non"),
        ] {
            let (one, other) = (Meaning::of(one).unwrap(), Meaning::of(other).unwrap());
            assert!(
                one.agrees(&other) && other.agrees(&one),
                "{one:?} {other:?}"
            );
            assert!(!one.contradicts(&other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_is_something_else_does_not() {
        for (one, other, contradicts) in [
            ("1,5 mm", "15 mm", true),
            ("15 cm", "15 mm", true),
            ("-1", "1", true),
            ("15", "15 mm", false),
            ("Oui", "Absente", true),
            ("01/02/2026", "02/01/2026", true),
            ("03/2026", "01/02/2026", true),
            ("2025", "01/02/2026", false),
            ("12/03/25", "12/03/2024", true),
            ("12/03/25", "03/12/2025", true),
            ("10³", "100", true),
            ("☐", "Oui", true),
        ] {
            let (one, other) = (Meaning::of(one).unwrap(), Meaning::of(other).unwrap());
            assert!(!one.agrees(&other), "{one:?} {other:?}");
            assert_eq!(one.contradicts(&other), contradicts, "{one:?} {other:?}");
        }
        for text in [
            "",
            "RE +",
            "++",
            "pT2",
            "Non retrouvé",
            "é",
            "1er",
            "−",
            "février",
        ] {
            let meaning = Meaning::of(text);
            assert!(
                !matches!(meaning, Some(Meaning::Answer(_) | Meaning::Date { .. })),
                "{text}"
            );
        }
        let with_clock = Meaning::of("29/08/2026 10:30").unwrap();
        let without = Meaning::of("29/08/2026").unwrap();
        assert!(without.is_covered_by(&with_clock) && !with_clock.is_covered_by(&without));
        let month = Meaning::of("08/2026").unwrap();
        let year = Meaning::of("2026").unwrap();
        assert!(month.is_covered_by(&without) && !without.is_covered_by(&month));
        assert!(year.is_covered_by(&month) && !month.is_covered_by(&year));
    }
}
