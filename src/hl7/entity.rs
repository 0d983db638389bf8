//! Characters as XML and HTML write them (`&apos;`, `&#39;`, `&eacute;`), which systems leave in values: their `&` is the
//! separator of subcomponents too.

use encoding_rs::WINDOWS_1252;
use memchr::memchr_iter;

use super::search::find;

/// The names of characters that stand in French names and addresses (HTML 4, chapter 24).
const NAMED: [(&[u8], char); 40] = [
    (b"amp", '&'),
    (b"apos", '\''),
    (b"quot", '"'),
    (b"lt", '<'),
    (b"gt", '>'),
    (b"nbsp", ' '),
    (b"rsquo", '’'),
    (b"lsquo", '‘'),
    (b"deg", '°'),
    (b"agrave", 'à'),
    (b"acirc", 'â'),
    (b"auml", 'ä'),
    (b"aelig", 'æ'),
    (b"ccedil", 'ç'),
    (b"egrave", 'è'),
    (b"eacute", 'é'),
    (b"ecirc", 'ê'),
    (b"euml", 'ë'),
    (b"icirc", 'î'),
    (b"iuml", 'ï'),
    (b"ntilde", 'ñ'),
    (b"ocirc", 'ô'),
    (b"ouml", 'ö'),
    (b"oelig", 'œ'),
    (b"ugrave", 'ù'),
    (b"ucirc", 'û'),
    (b"uuml", 'ü'),
    (b"Agrave", 'À'),
    (b"Acirc", 'Â'),
    (b"Ccedil", 'Ç'),
    (b"Egrave", 'È'),
    (b"Eacute", 'É'),
    (b"Ecirc", 'Ê'),
    (b"Euml", 'Ë'),
    (b"Icirc", 'Î'),
    (b"Iuml", 'Ï'),
    (b"Ocirc", 'Ô'),
    (b"OElig", 'Œ'),
    (b"Ucirc", 'Û'),
    (b"Uuml", 'Ü'),
];

/// The character that stands at the start of these bytes as an entity, and how many bytes it takes.
fn entity_at(bytes: &[u8]) -> Option<(char, usize)> {
    let inside = bytes.strip_prefix(b"&")?;
    let end = inside.iter().take(10).position(|byte| *byte == b';')?;
    let name = inside.get(..end)?;
    let character = match name {
        [b'#', b'x' | b'X', digits @ ..] => by_number(digits, 16),
        [b'#', digits @ ..] => by_number(digits, 10),
        _ => NAMED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, it)| *it),
    };
    Some((character?, end.saturating_add(2)))
}

/// The character of this number, if it shows something.
fn by_number(digits: &[u8], radix: u32) -> Option<char> {
    let digits = str::from_utf8(digits).ok()?;
    let number = u32::from_str_radix(digits, radix).ok()?;
    let character = match u8::try_from(number) {
        // As HTML reads them.
        Ok(byte @ 0x80..=0x9f) => {
            let bytes = [byte];
            let sign = WINDOWS_1252.decode_without_bom_handling(&bytes).0;
            sign.chars().next()
        }
        _ => char::from_u32(number),
    };
    character.filter(|character| !character.is_control())
}

/// Where the first entity stands.
pub(super) fn first_in(bytes: &[u8]) -> Option<usize> {
    // Few values have the sign at all.
    let first = find(b'&', bytes)?;
    memchr_iter(b'&', bytes.get(first..)?)
        .map(|at| first.saturating_add(at))
        .find(|at| bytes.get(*at..).is_some_and(|it| entity_at(it).is_some()))
}

/// The pieces between separators; one that begins an entity separates nothing.
pub(super) fn pieces(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let piece = rest?;
        let end = memchr_iter(separator, piece)
            .find(|at| entity_at(piece.get(*at..).unwrap_or_default()).is_none());
        let end = end.and_then(|end| piece.split_at_checked(end));
        let (piece, tail) = match end {
            Some((piece, tail)) => (piece, tail.get(1..)),
            None => (piece, None),
        };
        rest = tail;
        Some(piece)
    })
}

/// A text with the characters that its entities stand for.
pub(super) fn read(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find('&').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let (character, length) = entity_at(from.as_bytes()).unwrap_or(('&', 1));
        out.push(character);
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_read_and_nothing_else() {
        for (text, expected) in [
            ("O&apos;BRIEN", "O'BRIEN"),
            ("D&#39;ARC", "D'ARC"),
            ("D&#x27;ARC", "D'ARC"),
            ("D&#146;ARC", "D’ARC"),
            ("C&#x8c;UR", "CŒUR"),
            ("A&#129;B", "A&#129;B"),
            ("Ren&eacute;e", "Renée"),
            ("A&amp;B", "A&B"),
            ("A&amp;apos;B", "A&apos;B"),
            ("A&B", "A&B"),
            ("A&B;", "A&B;"),
            ("A&#0;B", "A&#0;B"),
            ("A&#xFFFFFFFF;&", "A&#xFFFFFFFF;&"),
            ("&", "&"),
        ] {
            assert_eq!(read(text), expected);
            assert_eq!(first_in(text.as_bytes()).is_some(), text != expected);
        }
    }

    #[test]
    fn an_entity_separates_nothing() {
        for (bytes, expected) in [
            ("O&apos;BRIEN", &["O&apos;BRIEN"][..]),
            ("D&#39;ARC&D&ARC", &["D&#39;ARC", "D", "ARC"]),
            ("A&B;", &["A", "B;"]),
            ("A&", &["A", ""]),
        ] {
            let found: Vec<&[u8]> = pieces(bytes.as_bytes(), b'&').collect();
            let expected: Vec<&[u8]> = expected.iter().map(|it| it.as_bytes()).collect();
            assert_eq!(found, expected, "{bytes}");
        }
    }
}
