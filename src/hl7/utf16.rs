//! Files in UTF-16, told by their byte-order mark (interface.md 2, "Character set").
//!
//! Delimiters are bytes, so such a file is read in UTF-8; what is split off of it is written as it came.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::{ReadError, looks_like_hl7};

/// The bytes of a file in an encoding in which delimiters are single bytes.
#[derive(Debug, Clone)]
pub struct FileBytes<'a> {
    bytes: Cow<'a, [u8]>,
    /// UTF-16, of either order of bytes, where the file begins with its mark.
    encoding: Option<&'static Encoding>,
    is_damaged: bool,
}

impl<'a> FileBytes<'a> {
    /// Reads a file in UTF-16 as UTF-8; any other is taken as it is.
    pub fn of(bytes: &'a [u8]) -> Self {
        match Encoding::for_bom(bytes) {
            Some((encoding, mark)) if encoding == UTF_16LE || encoding == UTF_16BE => {
                let text = bytes.get(mark..).unwrap_or_default();
                let (text, is_damaged) = encoding.decode_without_bom_handling(text);
                Self {
                    bytes: text.into_owned().into_bytes().into(),
                    encoding: Some(encoding),
                    is_damaged,
                }
            }
            _ => Self {
                bytes: bytes.into(),
                encoding: None,
                is_damaged: false,
            },
        }
    }

    /// The bytes to be read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the file is in UTF-16.
    pub fn is_utf_16(&self) -> bool {
        self.encoding.is_some()
    }

    /// Whether it is HL7 v2, told from how it starts.
    pub fn looks_like_hl7(&self) -> bool {
        looks_like_hl7(&self.bytes)
    }

    /// Refuses UTF-16 in which bytes make no character: what they stood for is lost.
    pub fn check(&self) -> Result<(), ReadError> {
        match self.is_damaged {
            true => Err(ReadError::NotUtf16),
            false => Ok(()),
        }
    }

    /// A part of the bytes as the file has it, with a mark of its own.
    pub fn as_it_came<'p>(&self, part: &'p [u8]) -> Cow<'p, [u8]> {
        let Some(encoding) = self.encoding else {
            return part.into();
        };
        let text = String::from_utf8_lossy(part);
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        let bytes = units.map(|unit| match encoding == UTF_16LE {
            true => unit.to_le_bytes(),
            false => unit.to_be_bytes(),
        });
        bytes.flatten().collect::<Vec<u8>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "MSH|^~\\&|é𝄞\r";

    fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(to_bytes).collect()
    }

    #[test]
    fn both_orders_of_bytes_are_read_and_written_again() {
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let file = utf_16(TEXT, to_bytes);
            let source = FileBytes::of(&file);
            assert!(source.is_utf_16() && source.looks_like_hl7());
            assert_eq!(source.bytes(), TEXT.as_bytes());
            assert_eq!(source.check(), Ok(()));
            assert_eq!(source.as_it_came(TEXT.as_bytes()), file);
            for damaged in [
                &file[..file.len() - 1],
                &[&file[..], b"\xd8\xd8\0\0"].concat(),
            ] {
                assert_eq!(FileBytes::of(damaged).check(), Err(ReadError::NotUtf16));
            }
        }
    }

    #[test]
    fn other_files_are_taken_as_they_are() {
        for file in [TEXT.as_bytes(), b"\xEF\xBB\xBFMSH|", b"", b"\xff"] {
            let source = FileBytes::of(file);
            assert!(!source.is_utf_16());
            assert_eq!(source.bytes(), file);
            assert_eq!(source.as_it_came(b"\xe9"), &b"\xe9"[..]);
        }
    }
}
