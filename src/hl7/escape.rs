//! Escape sequences in text, read and written (HL7 v2.5 chapter 2.7; interface.md 2).

use std::borrow::Cow;

use memchr::memchr;

use super::charset::Charset;
use super::delimiters::Delimiters;
use super::hexadecimal::hexadecimal_bytes;
use super::search::find;

/// Reads a value as text: escape sequences and the character set.
///
/// Sequences that have no meaning as text (`\H\`, `\.sp\`) or are no sequence at all (`C:\temp`) are kept as
/// written, and so are the bytes of `\Xhh..\` that are no character of the message's set: nothing is lost.
pub(super) fn read<'a>(raw: &'a [u8], delimiters: &Delimiters, charset: Charset) -> Cow<'a, str> {
    let escape = match delimiters.escape {
        Some(escape) if find(escape, raw).is_some() => escape,
        _ => return charset.decode(raw),
    };
    let charset = charset.of(raw);
    let mut text = String::with_capacity(raw.len());
    let mut hexadecimal = HexadecimalRun::default();
    let mut rest = raw;
    while let Some((before, sequence, after)) = next_sequence(rest, escape) {
        let (plain, written) = rest.split_at(before.len());
        let written = written
            .get(..sequence.len().saturating_add(2))
            .unwrap_or(written);
        if !plain.is_empty() {
            hexadecimal.end(&mut text, charset);
            text.push_str(&charset.decode(plain));
        }
        if let Some(bytes) = hexadecimal_bytes(sequence) {
            hexadecimal.add(&bytes, written);
        } else {
            hexadecimal.end(&mut text, charset);
            match meaning(sequence, delimiters) {
                Some(character) => text.push(character),
                None => text.push_str(&charset.decode(written)),
            }
        }
        rest = after;
    }
    hexadecimal.end(&mut text, charset);
    text.push_str(&charset.decode(rest));
    Cow::Owned(text)
}

/// Writes text so that it reads back the same in a message with HL7's usual delimiters.
///
/// Line ends become `\.br\`; other control characters are written as bytes, since some would end an MLLP block.
pub(super) fn write(text: &str, out: &mut String) {
    let mut plain_from = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let sequence = match character {
            '|' => "\\F\\",
            '^' => "\\S\\",
            '&' => "\\T\\",
            '~' => "\\R\\",
            '\\' => "\\E\\",
            '\r' | '\n' => "\\.br\\",
            '\t' => continue,
            control if control.is_ascii_control() => "",
            _ => continue,
        };
        out.push_str(text.get(plain_from..at).unwrap_or_default());
        if sequence.is_empty() {
            out.push_str(&format!("\\X{:02X}\\", u32::from(character)));
        } else {
            out.push_str(sequence);
        }
        if character == '\r' {
            characters.next_if(|(_, next)| *next == '\n');
        }
        plain_from = characters.peek().map_or(text.len(), |(next, _)| *next);
    }
    out.push_str(text.get(plain_from..).unwrap_or_default());
}

/// What stands before the next sequence, the sequence without its escape characters, and what follows it.
fn next_sequence(bytes: &[u8], escape: u8) -> Option<(&[u8], &[u8], &[u8])> {
    let (before, from) = bytes.split_at_checked(memchr(escape, bytes)?)?;
    let inside = from.get(1..)?;
    let (sequence, end) = inside.split_at_checked(memchr(escape, inside)?)?;
    Some((before, sequence, end.get(1..)?))
}

/// The character that a sequence stands for.
fn meaning(sequence: &[u8], delimiters: &Delimiters) -> Option<char> {
    let delimiter = match sequence {
        b"F" => Some(delimiters.field),
        b"S" => delimiters.component,
        b"T" => delimiters.subcomponent,
        b"R" => delimiters.repetition,
        b"E" => delimiters.escape,
        b"P" => delimiters.truncation,
        b".br" => Some(b'\n'),
        _ => None,
    };
    delimiter.map(char::from)
}

/// The bytes of adjacent `\Xhh..\`, decoded together: a character may be spread over several.
#[derive(Default)]
struct HexadecimalRun {
    bytes: Vec<u8>,
    written: Vec<u8>,
}

impl HexadecimalRun {
    fn add(&mut self, bytes: &[u8], written: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.written.extend_from_slice(written);
    }

    fn end(&mut self, text: &mut String, charset: Charset) {
        match charset.decode_strictly(&self.bytes) {
            Some(decoded) => text.push_str(&decoded),
            None => text.push_str(&charset.decode(&self.written)),
        }
        self.bytes.clear();
        self.written.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_standard(raw: &[u8]) -> String {
        let delimiters = Delimiters {
            truncation: Some(b'#'),
            ..Delimiters::STANDARD
        };
        read(raw, &delimiters, Charset::UTF_8).into_owned()
    }

    #[test]
    fn sequences_are_read() {
        for (raw, text) in [
            (r"plain", "plain"),
            (r"a\F\b\S\c\T\d\R\e\E\f\P\g", r"a|b^c&d~e\f#g"),
            (r"one\.br\two", "one\ntwo"),
            (r"caf\XC3A9\", "café"),
            (r"caf\xc3a9\", r"caf\xc3a9\"),
            (r"caf\XC3\\XA9\ cr\Xc3a8\me", "café crème"),
            (r"caf\XE9\", r"caf\XE9\"),
            (r"\XC3\a\XA9\", r"\XC3\a\XA9\"),
            (r"\X0D0A\", "\r\n"),
            (r"\XZZ\ \XA\ \X\", r"\XZZ\ \XA\ \X\"),
            (r"\H\bold\N\", r"\H\bold\N\"),
            (r"\.sp3\\Z01\\C2842\", r"\.sp3\\Z01\\C2842\"),
            (r"open\", r"open\"),
            (r"C:\temp", r"C:\temp"),
            (r"\\server\F\", r"\\server\F\".replace(r"\F\", "|").as_str()),
            (r"é\T\è", "é&è"),
            (r"\é\", r"\é\"),
            (r"\F", r"\F"),
        ] {
            assert_eq!(read_standard(raw.as_bytes()), text, "{raw}");
        }
    }

    #[test]
    fn bytes_are_in_the_character_set_of_the_message() {
        let (latin, _) = Charset::decide(b"8859/15", b"", b"");
        assert_eq!(
            read(b"\xE9 \\XE9A4\\", &Delimiters::STANDARD, latin),
            "é é€"
        );
    }

    #[test]
    fn without_an_escape_character_nothing_is_unescaped() {
        let delimiters = Delimiters {
            escape: None,
            ..Delimiters::STANDARD
        };
        assert_eq!(read(br"a\F\b", &delimiters, Charset::UTF_8), r"a\F\b");
        let delimiters = Delimiters {
            subcomponent: None,
            ..Delimiters::STANDARD
        };
        assert_eq!(read(br"a\T\b", &delimiters, Charset::UTF_8), r"a\T\b");
        assert_eq!(
            read(br"a\P\b", &Delimiters::STANDARD, Charset::UTF_8),
            r"a\P\b"
        );
    }

    #[test]
    fn text_is_written_so_that_nothing_separates() {
        for (text, written) in [
            ("plain é", "plain é"),
            (r"a|b^c&d~e\f", r"a\F\b\S\c\T\d\R\e\E\f"),
            ("a\rb\nc\r\nd", r"a\.br\b\.br\c\.br\d"),
            ("\r\n", r"\.br\"),
            ("\n\r", r"\.br\\.br\"),
            ("\u{b}\u{1c}\t\0", "\\X0B\\\\X1C\\\t\\X00\\"),
        ] {
            let mut out = String::new();
            write(text, &mut out);
            assert_eq!(out, written);
        }
    }
}
