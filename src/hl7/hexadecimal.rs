//! Bytes that are written as hexadecimal digits in an escape sequence, `\Xhh..\` (HL7 v2.5 chapter 2.7.6).

/// The bytes of each `\Xhh..\` of a message, and where it begins.
pub(super) fn hexadecimal_values(message: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    memchr::memmem::find_iter(message, b"\\X").filter_map(|at| {
        let inside = message.get(at.saturating_add(1)..)?;
        let is_of_it = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'X';
        let length = inside.iter().take_while(|byte| is_of_it(byte)).count();
        let (sequence, after) = inside.split_at_checked(length)?;
        let bytes = hexadecimal_bytes(sequence).filter(|_| after.starts_with(b"\\"));
        Some((at, bytes?))
    })
}

/// The bytes of a sequence without its escape characters; none where it is another one.
pub(super) fn hexadecimal_bytes(sequence: &[u8]) -> Option<Vec<u8>> {
    let digits = sequence
        .strip_prefix(b"X")
        .filter(|digits| !digits.is_empty())?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                Some(digit(*high)? << 4 | digit(*low)?)
            }
            _ => None,
        })
        .collect()
}
