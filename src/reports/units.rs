//! Units of UCUM as a person writes them.

/// A unit, as it is written behind this number; nothing for `1`, the unit of what has none.
///
/// What is not known stays as it was sent.
pub(super) fn readable(unit: &str, number: &str) -> String {
    if unit == "1" {
        return String::new();
    }
    written(unit, is_plural(number)).unwrap_or_else(|| unit.to_owned())
}

/// The unit of a duration in words: `8 h`, `21 jours`.
pub(super) fn period(unit: &str, number: &str) -> String {
    readable(unit, number)
}

/// A ratio or a range whose parts have units of their own: `50 mg / 1 h`.
pub(super) fn ratio(text: &str) -> String {
    let mut number = "";
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            // `10*9/L` behind a number is a unit.
            let is_number = (number.is_empty() || !word.contains('*'))
                && word.starts_with(|first: char| {
                    first.is_ascii_digit() || matches!(first, '-' | '+' | '.')
                });
            let is_unit = !number.is_empty()
                && !is_number
                && !matches!(word, "/" | "–" | "≥" | "≤" | ">" | "<" | "et" | "étendue");
            let shown = match (is_unit, word.strip_suffix(',')) {
                (true, Some(unit)) => format!("{},", readable(unit, number)),
                (true, None) => readable(word, number),
                (false, _) => word.to_owned(),
            };
            number = if is_number { word } else { "" };
            shown
        })
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn is_plural(number: &str) -> bool {
    let last = number
        .rsplit(' ')
        .next()
        .unwrap_or(number)
        .replace(',', ".");
    last.parse::<f64>().is_ok_and(|number| number.abs() >= 2.0)
}

fn written(unit: &str, plural: bool) -> Option<String> {
    let mut words = String::new();
    let mut rest = unit;
    let mut divided = false;
    loop {
        let end = end_of(rest);
        let (part, after) = rest.split_at_checked(end)?;
        words.push_str(&factor(part, plural && !divided)?);
        let mut signs = after.chars();
        match signs.next() {
            None => return Some(words),
            Some('/') => {
                words.push('/');
                divided = true;
            }
            Some('.') => words.push('·'),
            Some(_) => return None,
        }
        rest = signs.as_str();
        if rest.is_empty() {
            return None;
        }
    }
}

/// Where the first factor of a unit ends: at `.` or `/` outside of brackets.
fn end_of(unit: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in unit.char_indices() {
        match letter {
            '[' | '{' => depth = depth.saturating_add(1),
            ']' | '}' => depth = depth.saturating_sub(1),
            '.' | '/' if depth == 0 => return at,
            _ => {}
        }
    }
    unit.len()
}

/// One factor.
fn factor(part: &str, plural: bool) -> Option<String> {
    let of_time = |one: &str, many: &str| Some(if plural { many } else { one }.to_owned());
    match part {
        "" => return Some(String::new()),
        "mm[Hg]" => return Some("mmHg".to_owned()),
        "cm[H2O]" => return Some("cmH₂O".to_owned()),
        "[iU]" | "[IU]" | "[arb'U]" => return Some("UI".to_owned()),
        "k[iU]" | "k[IU]" => return Some("kUI".to_owned()),
        "m[iU]" | "m[IU]" => return Some("mUI".to_owned()),
        "u[iU]" | "u[IU]" => return Some("µUI".to_owned()),
        "[pH]" => return Some("pH".to_owned()),
        "Cel" => return Some("°C".to_owned()),
        "[degF]" => return Some("°F".to_owned()),
        "deg" => return Some("°".to_owned()),
        "[ppm]" => return Some("ppm".to_owned()),
        "[drp]" => return of_time("goutte", "gouttes"),
        "a" => return of_time("an", "ans"),
        "mo" => return Some("mois".to_owned()),
        "wk" => return of_time("semaine", "semaines"),
        "d" => return of_time("jour", "jours"),
        "meq" | "eq" => return Some(part.replace("eq", "Eq")),
        "Ohm" => return Some("Ω".to_owned()),
        "[HPF]" => return Some("champ (fort grossissement)".to_owned()),
        "[LPF]" => return Some("champ (faible grossissement)".to_owned()),
        "[in_i]" => return of_time("pouce", "pouces"),
        "[lb_av]" => return of_time("livre", "livres"),
        _ => {}
    }
    if let Some(words) = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
    {
        return Some(match words {
            "pack" | "packs" => of_time("paquet", "paquets")?,
            "tablet" | "tablets" | "tbl" => of_time("comprimé", "comprimés")?,
            "capsule" | "capsules" => of_time("gélule", "gélules")?,
            "cells" | "cell" => of_time("cellule", "cellules")?,
            "beats" => "battements".to_owned(),
            "cycle" | "cycles" => of_time("cycle", "cycles")?,
            "dose" | "doses" => of_time("dose", "doses")?,
            other => other.replace('_', " "),
        });
    }
    if let Some(power) = part
        .strip_prefix("10*")
        .or_else(|| part.strip_prefix("10^"))
    {
        return Some(format!("10{}", raised(power)?));
    }
    let base = part
        .trim_end_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+'));
    let power = part.get(base.len()..).unwrap_or_default();
    if base.is_empty() {
        return part
            .bytes()
            .all(|it| it.is_ascii_digit())
            .then(|| part.to_owned());
    }
    if !base
        .chars()
        .all(|letter| letter.is_alphabetic() || matches!(letter, '%' | '°'))
    {
        return None;
    }
    let micro = base.strip_prefix('u').filter(|rest| {
        matches!(
            *rest,
            "g" | "L" | "l" | "mol" | "m" | "s" | "Gy" | "kat" | "V" | "Sv" | "Ci" | "IU"
        )
    });
    let base = match micro {
        Some("IU") => "µUI".to_owned(),
        Some(rest) => format!("µ{rest}"),
        None => base.to_owned(),
    };
    Some(format!("{base}{}", raised(power)?))
}

/// Digits as exponents.
fn raised(power: &str) -> Option<String> {
    let sign = |letter| {
        Some(match letter {
            '-' => '⁻',
            '+' => '⁺',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32(0x2070 + digit.to_digit(10)?)?,
        })
    };
    power.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_written_as_people_write_them() {
        for (number, unit, told) in [
            ("120", "mm[Hg]", "mmHg"),
            ("4.2", "10*9/L", "10⁹/L"),
            ("250", "10*3/uL", "10³/µL"),
            ("2", "{pack}/a", "paquets/an"),
            ("1", "{pack}", "paquet"),
            ("1.7", "m2", "m²"),
            ("25", "kg/m2", "kg/m²"),
            ("2", "1", ""),
            ("37", "Cel", "°C"),
            ("12", "ug", "µg"),
            ("5", "umol/L", "µmol/L"),
            ("3", "m[iU]/L", "mUI/L"),
            ("21", "d", "jours"),
            ("1", "d", "jour"),
            ("3", "wk", "semaines"),
            ("6", "mo", "mois"),
            ("70", "%", "%"),
            ("75", "mg/m2/d", "mg/m²/jour"),
            ("6.5", "mm", "mm"),
            ("80", "mL/min/{1.73_m2}", "mL/min/1.73 m2"),
            ("80", "km.s-1", "km·s⁻¹"),
            ("2", "[unknown]", "[unknown]"),
            ("2", "mg par jour", "mg par jour"),
            ("2", "usine", "usine"),
            ("2", "a/", "a/"),
            ("2", "/L", "/L"),
            ("4", "{mitoses}/[HPF]", "mitoses/champ (fort grossissement)"),
        ] {
            assert_eq!(readable(unit, number), told, "{number} {unit}");
        }
        assert_eq!(ratio("50 ug / 1 d"), "50 µg / 1 jour");
        assert_eq!(ratio("1 / 128"), "1 / 128");
        assert_eq!(ratio("≥ 2 mm – 3 cm2"), "≥ 2 mm – 3 cm²");
    }
}
