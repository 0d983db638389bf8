//! Lines of a message and the segments that they make up (SPEC 2, "Segment ends").

use memchr::memchr2;

/// MLLP's start of a block.
pub(super) const BLOCK_START: u8 = 0x0B;
/// MLLP's end of a block.
pub(super) const BLOCK_END: u8 = 0x1C;

/// The lines of some bytes, whatever ends them, without those that are empty.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, tail) = first_line(rest);
            rest = tail.get(1..).unwrap_or_default();
            if !is_blank(line) {
                return Some(line);
            }
        }
    })
}

/// The segments of a message, each with the lines that continue its last field.
///
/// A line that is neither a bare segment name nor starts with one and the field separator continues the field
/// before it.
pub(super) fn segments(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let segment = skip_blank(rest);
        if segment.is_empty() {
            return None;
        }
        let mut tail = first_line(segment).1;
        let mut end = segment.len() - tail.len();
        loop {
            tail = skip_line_ends(tail);
            if tail.is_empty() || begins_segment(tail, separator) {
                break;
            }
            let (line, after) = first_line(tail);
            tail = after;
            if !is_blank(line) {
                end = segment.len() - tail.len();
            }
        }
        rest = tail;
        segment.get(..end)
    })
}

/// Whether these bytes start with a segment name: bare on its line, or followed by the field separator.
fn begins_segment(bytes: &[u8], separator: u8) -> bool {
    match bytes {
        [a, b, c, after @ ..] => {
            a.is_ascii_uppercase()
                && [b, c]
                    .iter()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
                && after
                    .first()
                    .is_none_or(|next| [separator, b'\r', b'\n'].contains(next))
        }
        _ => false,
    }
}

/// Up to the first line end, and from it on.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    memchr2(b'\r', b'\n', bytes)
        .and_then(|end| bytes.split_at_checked(end))
        .unwrap_or((bytes, &[]))
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let ends = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    bytes.get(ends..).unwrap_or_default()
}

fn skip_blank(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = skip_line_ends(bytes);
        let (line, tail) = first_line(bytes);
        if line.is_empty() || !is_blank(line) {
            return bytes;
        }
        bytes = tail;
    }
}

/// Whether a line says nothing: white space, framing bytes that stand alone, the padding of a preallocated file.
fn is_blank(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| *byte == b' ' || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_where_the_next_begins() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"\r\n \r\x1c\r", &[]),
            (b"MSH|a\rPID|b\r\0\0\0\x1a", &[b"MSH|a", b"PID|b"]),
            (b"MSH|a\0\rP\0D|b\r", &[b"MSH|a\0\rP\0D|b"]),
            (b"MSH|a\rEVN\rPID|b", &[b"MSH|a", b"EVN", b"PID|b"]),
            (b"MSH|a\nEVN\nPID|b\n", &[b"MSH|a", b"EVN", b"PID|b"]),
            (b"MSH|a\r\nEVN\r\nPID|b\r\n", &[b"MSH|a", b"EVN", b"PID|b"]),
            (
                b"MSH|a\r\n\rEVN\n\n \r\nZ99|b\r\x1c\r",
                &[b"MSH|a", b"EVN", b"Z99|b"],
            ),
            (
                b"OBX|JVBE\r\nRi0x\r\n\r\nLjQK|F\r\nNTE|1",
                &[b"OBX|JVBE\r\nRi0x\r\n\r\nLjQK|F", b"NTE|1"],
            ),
            (
                b"OBX|a\rpid|b\rPIDX|c\rP1|d\r1ID|e\rPID^f\rPID|g",
                &[b"OBX|a\rpid|b\rPIDX|c\rP1|d\r1ID|e\rPID^f", b"PID|g"],
            ),
        ];
        for (bytes, expected) in cases {
            let found: Vec<_> = segments(bytes, b'|').collect();
            assert_eq!(&found, expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn lines_are_the_same_whatever_ends_them() {
        for text in [
            "a\rb\rc",
            "a\nb\nc\n",
            "a\r\nb\r\nc\r\n",
            "\ra\n\r\n\tb \r c",
        ] {
            let found: Vec<_> = lines(text.as_bytes())
                .map(|line| line.trim_ascii())
                .collect();
            assert_eq!(found, [b"a", b"b", b"c"], "{text:?}");
        }
    }
}
