//! Text as it may be written where people read it: a terminal, a page, a log.
//!
//! A sender may write characters that nobody sees and that change what is seen around them: they move the cursor, turn
//! the direction of what follows, or hide in a word. Each is shown by its number instead, as `\u{202e}`.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is never written as it came: it is a control character (C0, DEL, C1), divides lines or
/// paragraphs, changes the direction of text, has no width, or fills a place that looks empty.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a reader sees nothing of a text.
pub fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_whitespace() || is_hidden(letter) || letter == '\u{2800}')
}

/// The text in one line, with what is hidden in it shown.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |_| None)
}

/// The same for a cell of a table: line breaks and tabulators are shown as spaces.
pub fn in_cell(text: &str) -> Cow<'_, str> {
    shown(text, |character| {
        matches!(character, '\n' | '\r' | '\t').then_some(' ')
    })
}

/// The same for text of several lines: line breaks stay, and tabulators are shown as spaces.
pub fn in_lines(text: &str) -> Cow<'_, str> {
    shown(text, |character| match character {
        '\n' => Some('\n'),
        '\t' => Some(' '),
        _ => None,
    })
}

/// The same for a page, which shows every line break as a space.
pub fn in_page(text: &str) -> Cow<'_, str> {
    shown(text, |character| match character {
        '\n' => Some('\n'),
        '\r' | '\t' => Some(' '),
        _ => None,
    })
}

/// JSON with what is hidden in its strings written as `\u202e`, which a reader of JSON takes for the character itself.
pub fn in_json(json: &str) -> Cow<'_, str> {
    // Outside of strings JSON has no such characters but line breaks and tabulators, which strings never have.
    let is_escaped = |character| is_hidden(character) && !matches!(character, '\n' | '\r' | '\t');
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        match is_escaped(character) {
            false => escaped.push(character),
            true => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(escaped)
}

fn shown(text: &str, plain: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match (is_hidden(character), plain(character)) {
            (false, _) => shown.push(character),
            (true, Some(instead)) => shown.push(instead),
            (true, None) => {
                let _ = write!(shown, "{}", character.escape_unicode());
            }
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_comes_through() {
        let mut count = 0;
        for character in (0..=0x10_ffff)
            .filter_map(char::from_u32)
            .filter(|it| is_hidden(*it))
        {
            let text = format!("a{character}b");
            assert!(!visible(&text).contains(is_hidden), "{character:?}");
            assert!(!in_cell(&text).contains(is_hidden), "{character:?}");
            assert!(
                !in_lines(&text).contains(|it| it != '\n' && is_hidden(it)),
                "{character:?}"
            );
            assert!(
                !in_page(&text).contains(|it| it != '\n' && is_hidden(it)),
                "{character:?}"
            );
            let json = serde_json::to_string(&text).unwrap();
            let escaped = in_json(&json);
            assert!(!escaped.contains(is_hidden), "{character:?}");
            assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
            count += 1;
        }
        // C0, DEL and C1 are 65; whoever shortens the list changes this too.
        assert!(count > 65 + 4096, "{count}");
        for character in [
            '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}',
            '\u{2029}',
        ] {
            assert!(is_hidden(character), "{character:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_shown_by_its_number() {
        assert_eq!(visible("a\u{202e}b\n"), "a\\u{202e}b\\u{a}");
        assert_eq!(in_cell("30\t PA\n\u{1b}[2J"), "30  PA \\u{1b}[2J");
        assert_eq!(in_lines("a\r\nb"), "a\\u{d}\nb");
        assert_eq!(
            in_json("[\n  \"\u{e0001}\"\n]"),
            "[\n  \"\\udb40\\udc01\"\n]"
        );
        let french = "Hôpital « Été » – œuvre n° 3";
        assert!(matches!(visible(french), Cow::Borrowed(it) if it == french));
    }
}
