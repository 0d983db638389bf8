//! Identifiers, each a type of its own, so that an IPP can never be taken for a case id.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the identifier as it was sent.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The identifier as it was sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A hospital: the name of its folder and of its population of keys (interface.md 1).
    FacilityId
);
identifier!(
    /// The facility's id of a case: SCH-2.1, or the CDA's case id (interface.md 4, 5).
    CaseId
);
identifier!(
    /// The facility's permanent patient id (interface.md 3).
    Ipp
);
identifier!(
    /// A session (one meeting) as the desk names it (interface.md 7).
    SessionId
);
identifier!(
    /// A pathway or a family, by the id that the facility addresses it with (interface.md 1).
    PathwayId
);
identifier!(
    /// A department or service, by its network id (interface.md 1).
    NetworkId
);
identifier!(
    /// A note: what is attached to a patient and not yet in a case (interface.md 1).
    NoteId
);
identifier!(
    /// A document with all its versions; the same id goes with the report of a case (interface.md 6, 8).
    DocumentId
);
identifier!(
    /// SHA-256 of some content in lower-case hexadecimal; names its file under `documents/`.
    ContentHash
);

impl ContentHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(hexadecimal(&sha2::Sha256::digest(bytes)))
    }

    /// The hash of a value as JSON, which is nowhere in memory as a whole.
    pub fn of_json(value: &impl Serialize) -> Self {
        use sha2::Digest;
        struct Hasher(sha2::Sha256);
        impl std::io::Write for Hasher {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut hasher = Hasher(sha2::Sha256::new());
        if let Err(error) = serde_json::to_writer(&mut hasher, value) {
            // What no JSON can hold is told apart by what is wrong with it.
            hasher.0.update(error.to_string());
        }
        Self(hexadecimal(&hasher.0.finalize()))
    }
}

/// Lower-case hexadecimal of some bytes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .map(|nibble| DIGITS[usize::from(nibble)] as char)
        .collect()
}

/// A physician's national number (RPPS): 11 digits with a Luhn key (interface.md 3).
///
/// The national 12-digit form, `8` and a valid number, is the same number: both are held as the 11 digits.
/// A number that is not valid is held as sent, since nothing may be dropped in silence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rpps(String);

impl Rpps {
    /// Takes a number as sent, reduced to its 11 digits where it is valid.
    pub fn new(sent: &str) -> Self {
        let sent = sent.trim();
        match sent.strip_prefix('8') {
            Some(national) if has_luhn_key(national) => Self(national.to_owned()),
            _ => Self(sent.to_owned()),
        }
    }

    /// Whether these are 11 digits with their key; else the warning `rpps-invalid` is due.
    pub fn is_valid(&self) -> bool {
        has_luhn_key(&self.0)
    }

    /// Whether a number that nobody says to be an RPPS could be one: 11 digits, or 12 that begin with `8`.
    pub fn could_be(sent: &str) -> bool {
        let sent = sent.trim();
        let digits = match sent.len() {
            12 => sent.strip_prefix('8').unwrap_or_default(),
            _ => sent,
        };
        digits.len() == 11 && digits.bytes().all(|digit| digit.is_ascii_digit())
    }

    /// The digits to store, compare and send.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Rpps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn has_luhn_key(digits: &str) -> bool {
    digits.len() == 11
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && digits
            .bytes()
            .rev()
            .map(|digit| u32::from(digit - b'0'))
            .enumerate()
            .map(|(place, digit)| match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            })
            .sum::<u32>()
            % 10
            == 0
}

/// A national health identity (INS): the number and the OID of its kind together (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ins {
    /// The 15 characters of the number.
    pub value: String,
    /// The OID that says which kind of number it is: NIR, NIA, test or demonstration.
    pub oid: String,
}

/// The OID of the provisional kind of INS (NIA): a number that is waiting for its NIR.
const NIA: &str = "1.2.250.1.213.1.4.9";

impl Ins {
    /// Whether this is the number that is waiting for its NIR: where both are there, the NIR wins.
    pub fn is_provisional(&self) -> bool {
        self.oid == NIA
    }

    /// Whether the last two digits are 97 − (the first 13 mod 97), with Corsica's 2A and 2B counted as 19 and 18.
    pub fn has_valid_key(&self) -> bool {
        if self.value.len() != 15 || !self.value.is_ascii() {
            return false;
        }
        let (body, key) = self.value.split_at(13);
        let body = body.replacen("2A", "19", 1).replacen("2B", "18", 1);
        if !body
            .bytes()
            .chain(key.bytes())
            .all(|digit| digit.is_ascii_digit())
        {
            return false;
        }
        match (body.parse::<u64>(), key.parse::<u64>()) {
            (Ok(body), Ok(key)) => key == 97 - body % 97,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpps_is_reduced_to_its_eleven_digits() {
        for (sent, held, valid) in [
            ("10100094977", "10100094977", true),
            ("810100094977", "10100094977", true),
            ("801234567897", "01234567897", true),
            (" 10102078838 ", "10102078838", true),
            ("10100094978", "10100094978", false),
            ("810100094978", "810100094978", false),
            ("8", "8", false),
            ("", "", false),
        ] {
            let rpps = Rpps::new(sent);
            assert_eq!(rpps.as_str(), held);
            assert_eq!(rpps.is_valid(), valid, "{sent}");
        }
    }

    #[test]
    fn an_ins_is_known_by_its_key() {
        let ins = |value: &str| Ins {
            value: value.to_owned(),
            oid: "1.2.250.1.213.1.4.8".to_owned(),
        };
        assert!(ins("279035121518989").has_valid_key());
        assert!(!ins("279035121518988").has_valid_key());
        assert!(!ins("27903512151898").has_valid_key());
        assert!(!ins("2790351215é898").has_valid_key());
        assert!(ins("279032A12151849").has_valid_key(), "Corse-du-Sud");
        assert!(ins("279032B12151876").has_valid_key(), "Haute-Corse");
        assert!(!ins("279032B12151849").has_valid_key());
        assert!(
            !ins("+79035121518992").has_valid_key(),
            "a sign is no digit"
        );
    }
}
