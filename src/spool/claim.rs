//! The name of a received file while it is ours, in `work/`.
//!
//! A claim says in its name all that a restart needs: the place in the order, how often reading it ended the process,
//! a random part so that no name is ever used twice, and the path under which the file was received.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::model::identifiers::{ContentHash, hexadecimal};

/// Names may have this many bytes on the usual file systems.
pub const NAME_BYTES: usize = 255;

/// What a claim's encoded path may take of its name, beside order, attempts and random part.
const PATH_BYTES: usize = 180;

/// Files in `work/` with this prefix are output that we prepare, not claims.
pub const PREPARED: &str = "p-";

/// No spool ever takes in so many files.
const LAST_ORDER: u64 = 1 << 56;

/// A file that ended the process so often is refused long before.
const MOST_ATTEMPTS: u32 = 1_000;

/// A received file that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its place in the order of all received files.
    pub order: u64,
    /// How often reading it ended the process.
    pub attempts: u32,
    /// 128 random bits, the same for all claims of one run: the order tells these apart.
    random: String,
    /// The path below the inbox under which it was received.
    pub received: PathBuf,
    /// The path as it stands in the name.
    written: String,
}

impl Claim {
    /// A new claim on the file received under this path below the inbox. No other claim has this order and `run`, the
    /// random part of the name.
    pub fn new(order: u64, run: &str, received: &Path) -> Self {
        Self {
            order,
            attempts: 0,
            random: run.to_owned(),
            received: received.to_owned(),
            written: encode(received.as_os_str().as_bytes()),
        }
    }

    /// Reads the name of a file in `work/`; nothing if it is no claim.
    pub fn parse(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.splitn(4, '-');
        let (order, attempts) = (parts.next()?, parts.next()?);
        let (random, written) = (parts.next()?, parts.next()?);
        let claim = Self {
            order: u64::from_str_radix(order, 16).ok()?,
            attempts: attempts.parse().ok()?,
            random: random.to_owned(),
            received: PathBuf::from(OsString::from_vec(decode(written)?)),
            written: written.to_owned(),
        };
        // Numbers that we would never have come to, or written so, are nobody's claim.
        let is_ours = claim.order <= LAST_ORDER && claim.attempts <= MOST_ATTEMPTS;
        (is_ours && claim.name() == name).then_some(claim)
    }

    /// The name of the file in `work/`.
    pub fn name(&self) -> OsString {
        let (attempts, key) = (self.attempts, self.key());
        let (order, rest) = key.split_once('-').unwrap_or((&key, ""));
        format!("{order}-{attempts}-{rest}").into()
    }

    /// What names the claim whatever its attempts: the key of its entries in the journal.
    pub fn key(&self) -> String {
        format!("{:016x}-{}-{}", self.order, self.random, self.written)
    }

    /// Whether the received path is too long to stand whole in the name, so that it must be journalled first.
    pub fn is_cut(&self) -> bool {
        self.written.starts_with(CUT)
    }

    /// The same file with one attempt more, or fewer.
    pub fn with_attempts(&self, attempts: u32) -> Self {
        Self {
            attempts,
            ..self.clone()
        }
    }
}

/// The order of a file that the command line hands over with its command: before all others, which begin at 1.
pub const HANDED_OVER: u64 = 0;

/// Begins a path that is cut; no whole path is written so, since `zz` is no escape.
const CUT: &str = "zz";

/// Lower-case letters but `z`, and digits, stand for themselves, everything else is `z` and two digits: safe on file
/// systems that do not tell upper from lower case.
fn encode(path: &[u8]) -> String {
    let mut written = String::with_capacity(path.len() * 2);
    for &byte in path {
        match byte {
            b'a'..=b'y' | b'0'..=b'9' => written.push(char::from(byte)),
            byte => {
                written.push('z');
                written.push_str(&hexadecimal(&[byte]));
            }
        }
    }
    if written.len() <= PATH_BYTES {
        return written;
    }
    let hash = ContentHash::of(path);
    let (hash, _) = hash.as_str().split_at(32);
    // The end is kept, since it tells the kind of file; from its first whole character on.
    let end = written
        .split_at(written.len() - (PATH_BYTES - CUT.len() - hash.len()))
        .1;
    let end = end
        .split_once('z')
        .map_or(end, |(_, rest)| rest.get(2..).unwrap_or(rest));
    format!("{CUT}{hash}{end}")
}

fn decode(written: &str) -> Option<Vec<u8>> {
    let written = match written.strip_prefix(CUT) {
        Some(cut) => cut.get(32..)?,
        None => written,
    };
    let mut path = Vec::with_capacity(written.len());
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'z' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?.to_owned();
                path.push(u8::from_str_radix(&digits, 16).ok()?);
            }
            byte => path.push(byte),
        }
    }
    Some(path)
}

/// A path as text that leads back to its bytes: `%` and what is not UTF-8 become `%xx`.
pub fn to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            text.push('%');
            text.push_str(&hexadecimal(&[*byte]));
        }
    }
    text
}

/// The path that [`to_text`] wrote.
pub fn from_text(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// A name with something before its ending, and perhaps something after it, cut with a hash where it is too long:
/// `x.hl7` with `.2` and `.ack` is `x.2.hl7.ack`.
pub fn derived(name: &OsStr, before_ending: &str, after: &str) -> OsString {
    let bytes = name.as_bytes();
    let dot = bytes
        .iter()
        .rposition(|&byte| byte == b'.')
        .filter(|&dot| dot > 0);
    let (stem, ending) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let mut whole = [stem, before_ending.as_bytes(), ending, after.as_bytes()].concat();
    if whole.len() > NAME_BYTES {
        let hash = ContentHash::of(bytes);
        let (hash, _) = hash.as_str().split_at(16);
        let ending = if ending.len() > 32 { b"" } else { ending };
        let tail = format!("~{hash}{before_ending}").into_bytes();
        let room = NAME_BYTES - tail.len() - ending.len() - after.len();
        whole = [cut(stem, room), &tail, ending, after.as_bytes()].concat();
    }
    OsString::from_vec(whole)
}

/// At most this many bytes, not ending within a character.
fn cut(bytes: &[u8], room: usize) -> &[u8] {
    let mut end = room.min(bytes.len());
    while end > 0 && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random_name;
    use proptest::prelude::*;

    #[test]
    fn a_claim_is_told_from_its_name() {
        let claim = Claim::new(0x12f, &random_name(), Path::new("Service A/ADT_é.HL7"));
        let read = Claim::parse(&claim.name()).unwrap();
        assert_eq!(read, claim);
        assert!(
            claim
                .name()
                .to_str()
                .unwrap()
                .bytes()
                .all(|byte| { byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' })
        );
        let tried = claim.with_attempts(2);
        assert_eq!(Claim::parse(&tried.name()).unwrap().attempts, 2);
        assert_eq!(tried.key(), claim.key());
        assert!(!claim.is_cut());
        assert!(Claim::parse(OsStr::new("p-0-ack")).is_none());
        assert!(Claim::parse(OsStr::new(".lock")).is_none());
    }

    #[test]
    fn a_long_path_is_cut_and_known_by_its_hash() {
        let long = "É".repeat(120) + ".HL7";
        let claim = Claim::new(1, &random_name(), Path::new(&long));
        assert!(claim.is_cut());
        assert!(claim.name().len() <= NAME_BYTES);
        let read = Claim::parse(&claim.name()).unwrap();
        assert_eq!(read.key(), claim.key());
        assert!(long.ends_with(read.received.to_str().unwrap()));
    }

    #[test]
    fn derived_names_fit() {
        let derived_from = |name: &str, before, after| {
            derived(OsStr::new(name), before, after)
                .into_string()
                .unwrap()
        };
        assert_eq!(derived_from("x.hl7", ".2", ".ack"), "x.2.hl7.ack");
        assert_eq!(derived_from("x", ".2", ""), "x.2");
        assert_eq!(derived_from(".x", ".2", ""), ".x.2");
        let long = derived_from(&("é".repeat(125) + ".hl7"), ".m12", ".error.json");
        assert!(long.len() <= NAME_BYTES);
        assert!(long.ends_with(".m12.hl7.error.json"));
    }

    proptest! {
        #[test]
        fn any_name_survives(bytes in proptest::collection::vec(1u8.., 1..80)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(&from_text(&to_text(&path)), &path);
            let claim = Claim::new(7, &random_name(), &path);
            let read = Claim::parse(&claim.name()).unwrap();
            prop_assert_eq!(read.key(), claim.key());
            if !claim.is_cut() {
                prop_assert_eq!(read.received, path);
            }
        }
    }
}
