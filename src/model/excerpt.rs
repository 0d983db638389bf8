//! How a long text is cut, and says so at its end.

/// So many characters of one text are kept and shown; of a name, [`LONGEST_NAME`].
pub const LONGEST_TEXT: usize = 20_000;
/// So many characters of a name, a label or an id are shown.
pub const LONGEST_NAME: usize = 500;
/// A line counts as so many characters, however short it is: it takes that room on a page.
pub const LINE: usize = 50;
/// What says that a text is cut takes at most so many characters: a text with it at its end is not cut again.
const MARK: usize = 100;

/// A text of a form that takes more room than this, cut, and how many of its characters are left out.
pub fn cut_text(text: &str, most: usize) -> Option<(String, usize)> {
    // Each character takes a byte at least, and counts as a line at most.
    if text.len().saturating_mul(LINE) <= most || split(text, most.saturating_add(MARK)).is_none() {
        return None;
    }
    let (kept, rest) = split(text, most)?;
    let rest = rest.chars().count();
    let cut = format!(
        "{kept}… [coupé ici : encore {} caractères, à lire dans le document CDA du dossier]",
        grouped(rest)
    );
    Some((cut, rest))
}

/// A name that is longer than [`LONGEST_NAME`], cut, and how many of its characters are left out.
pub fn cut_name(name: &str) -> Option<(String, usize)> {
    let (kept, rest) = split(name, LONGEST_NAME)?;
    let rest = rest.chars().count();
    let cut = format!("{kept}… [coupé ici : encore {} caractères]", grouped(rest));
    Some((cut, rest))
}

/// Splits a text that takes more room than this.
fn split(text: &str, most: usize) -> Option<(&str, &str)> {
    let (mut taken, mut in_line) = (0_usize, 0_usize);
    for (at, character) in text.char_indices() {
        let is_end = matches!(
            character,
            '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        taken += match is_end {
            true => LINE.saturating_sub(std::mem::take(&mut in_line)).max(1),
            false => 1,
        };
        in_line += usize::from(!is_end);
        if taken > most {
            return text.split_at_checked(at);
        }
    }
    None
}

/// A number with its thousands apart, as in French.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202F}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_once() {
        let long = "é".repeat(LONGEST_TEXT + 12_345);
        let (cut, rest) = cut_text(&long, LONGEST_TEXT).unwrap();
        assert_eq!(rest, 12_345);
        assert!(cut.starts_with(&"é".repeat(LONGEST_TEXT)));
        assert!(cut.ends_with("caractères, à lire dans le document CDA du dossier]"));
        assert_eq!(cut_text(&cut, LONGEST_TEXT), None);
        // Also one of lines.
        let (cut, _) = cut_text(&"a\n".repeat(LONGEST_TEXT), LONGEST_TEXT).unwrap();
        assert_eq!(cut_text(&cut, LONGEST_TEXT), None);
        assert_eq!(cut_text(&"é".repeat(LONGEST_TEXT), LONGEST_TEXT), None);
    }
}
