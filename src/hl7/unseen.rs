//! Bytes that show nothing: white space, control characters, byte-order marks, characters without a width, framing.

/// MLLP's start of a block.
pub(super) const BLOCK_START: u8 = 0x0B;
/// MLLP's end of a block, after which a line begins.
pub(super) const BLOCK_END: u8 = 0x1C;

/// From the first byte on that shows something, or ends the line: behind blanks, tabulators, byte-order marks, control
/// characters, and characters without a width.
pub(super) fn skip_unseen(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [byte, ..] if is_line_end(*byte) => return bytes,
            [0..=b' ' | 0x7f..=0xa0, rest @ ..] => rest,
            [0xc2, 0x80..=0xa0, rest @ ..]
            | [0xe2, 0x80, 0x8b..=0x8f, rest @ ..]
            | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            _ => return bytes,
        };
    }
}

/// Up to the last byte that shows something, or ends a line: what [`skip_unseen`] passes, from behind.
pub(super) fn before_unseen(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [.., byte] if is_line_end(*byte) => return bytes,
            [rest @ .., 0xef, 0xbb, 0xbf]
            | [rest @ .., 0xe2, 0x80, 0x8b..=0x8f]
            | [rest @ .., 0xc2, 0x80..=0xa0]
            | [rest @ .., 0..=b' ' | 0x7f..=0xa0] => rest,
            _ => return bytes,
        };
    }
}

/// Whether a byte ends a line.
pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | BLOCK_END)
}

/// Whether any character shows nothing and is no part of a text: a control character but the ends of lines, tabulators,
/// and the escape character by which Japanese character sets are switched; in UTF-8 also one without a width.
pub(super) fn has_unseen(bytes: &[u8]) -> bool {
    const CONTROL: u8 = 1;
    // Begins a character of two or three bytes that may be one.
    const POSSIBLE: u8 = 2;
    let mut chunks = bytes.chunks(1024).enumerate();
    chunks.any(|(number, chunk)| {
        let found = chunk.iter().fold(0, |found, byte| {
            let is_text = matches!(*byte, b'\t' | b'\r' | b'\n' | 0x1b);
            let is_control = ((*byte < 0x20) & !is_text) | (*byte == 0x7f);
            let may_begin = (*byte == 0xc2) | (*byte == 0xe2) | (*byte == 0xef);
            found | (u8::from(is_control) * CONTROL) | (u8::from(may_begin) * POSSIBLE)
        });
        let from = number.saturating_mul(1024);
        let near = || bytes.get(from..bytes.len().min(from.saturating_add(1026)));
        found & CONTROL != 0
            || found & POSSIBLE != 0 && near().unwrap_or_default().windows(3).any(is_without_width)
    })
}

fn is_without_width(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xc2, 0xad, _]
            | [0xe2, 0x80, 0x8b | 0x8e | 0x8f | 0xaa..=0xae]
            | [0xe2, 0x81, 0xa0 | 0xa6..=0xa9]
            | [0xef, 0xbb, 0xbf]
    )
}

/// Whether these bytes are of the alphabet of base64, between blanks and with line breaks as escape sequences.
pub(super) fn is_base64(bytes: &[u8]) -> bool {
    bytes.trim_ascii().iter().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b'.')
    })
}
