//! How single values are written in the configuration, and read with an error that says how.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use toml::Value;

use super::layout::Layout;
use crate::hl7::Position;
use crate::model::{contact::Phone, document::ContentType, identifiers::FacilityId};

/// A type of value that can stand behind a key.
pub(super) trait Setting: Sized {
    /// Reads the value, or says what to write.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// The value as one would write it.
    fn written(&self) -> String;
}

/// A value that stands in the file.
#[derive(Debug)]
pub(super) struct SettingValue<T>(pub T);

impl<'de, T: Setting> Deserialize<'de> for SettingValue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

/// Reads a text by `parse`; what it refuses is an error that ends with the `fix`.
fn read_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    fix: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text { fix, parse })
}

/// Refuses a text while it is visited, since the TOML reader knows the line of an element of a list only then.
struct Text<'a, P> {
    fix: &'a str,
    parse: P,
}

impl<T, P: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<'_, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fix)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| {
            E::custom(format!(
                "{} cannot stand here: write {}",
                quoted(text),
                self.fix
            ))
        })
    }
}

/// A text in quotes, on one line: the strings of JSON are strings of TOML, but for DEL.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

impl Setting for String {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, "a text in quotes", |text| {
            Some(text.to_owned())
        })
    }

    fn written(&self) -> String {
        quoted(self)
    }
}

/// An empty text stands for none.
impl Setting for Option<String> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::read(deserializer)?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn written(&self) -> String {
        quoted(self.as_deref().unwrap_or_default())
    }
}

impl Setting for PathBuf {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, "a path in quotes", |text| {
            (!text.is_empty()).then(|| Self::from(text))
        })
    }

    fn written(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

/// A layout is read from the file that is named; an empty path stands for the built-in one.
impl Setting for Layout {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<PathBuf>::read(deserializer)? {
            None => Ok(Self::default()),
            Some(file) => Self::load(&file).map_err(|problem| {
                D::Error::custom(format!("the layout {}: {problem}", file.display()))
            }),
        }
    }

    fn written(&self) -> String {
        self.file.written()
    }
}

/// An empty path stands for none.
impl Setting for Option<PathBuf> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::read(deserializer)?.map(PathBuf::from))
    }

    fn written(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Setting::written)
    }
}

impl Setting for bool {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        value.as_bool().ok_or_else(|| {
            D::Error::custom(format!("{value} cannot stand here: write true or false"))
        })
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

/// A count is at most so much.
const LARGEST_COUNT: usize = 1_000_000;

/// A count, of which there is at least one.
impl Setting for usize {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        value
            .as_integer()
            .and_then(|count| Self::try_from(count).ok())
            .filter(|count| (1..=LARGEST_COUNT).contains(count))
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "{value} cannot stand here: write a number from 1 to {LARGEST_COUNT}, without quotes"
                ))
            })
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

/// A time is at most a hundred years in milliseconds: no sum with it leads out of what clocks hold.
const LONGEST_TIME: u64 = 36_500 * 86_400_000;

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Setting for Duration {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "a whole number with ms, s, m, h or d, such as \"2s\", of at most 36500d",
            |text| measure(text, &TIME_UNITS, LONGEST_TIME).map(Self::from_millis),
        )
    }

    fn written(&self) -> String {
        match u64::try_from(self.as_millis()) {
            Ok(0) => quoted("0s"),
            Ok(milliseconds) => in_largest_unit(milliseconds, &TIME_UNITS),
            Err(_) => quoted(&format!("{}s", self.as_secs())),
        }
    }
}

/// A size is at most a pebibyte.
const LARGEST_SIZE: u64 = 1 << 50;

const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A size in bytes.
impl Setting for u64 {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "a whole number with B, kB, KiB, MB, MiB, GB or GiB, such as \"64MiB\", of at most 1048576GiB",
            |text| measure(text, &SIZE_UNITS, LARGEST_SIZE),
        )
    }

    fn written(&self) -> String {
        in_largest_unit(*self, &SIZE_UNITS)
    }
}

/// A whole number and a unit, as so many of the smallest unit, of which there are at most so many.
fn measure(text: &str, units: &[(&str, u64)], most: u64) -> Option<u64> {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.checked_mul(*factor).filter(|amount| *amount <= most)
}

fn in_largest_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    quoted(&format!("{}{unit}", amount / factor))
}

impl<T: Setting> Setting for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<SettingValue<T>>::deserialize(deserializer)?;
        Ok(values
            .into_iter()
            .map(|SettingValue(value)| value)
            .collect())
    }

    fn written(&self) -> String {
        let values: Vec<String> = self.iter().map(Setting::written).collect();
        format!("[{}]", values.join(", "))
    }
}

/// A value out of a few that have names.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const CHOICES: &'static [(&'static str, Self)];
}

impl<T: Choice> Setting for T {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names: Vec<String> = T::CHOICES.iter().map(|(name, _)| quoted(name)).collect();
        read_text(deserializer, &names.join(" or "), |text| {
            let (_, value) = T::CHOICES.iter().find(|(name, _)| *name == text)?;
            Some(*value)
        })
    }

    fn written(&self) -> String {
        let name = T::CHOICES.iter().find(|(_, value)| value == self);
        quoted(name.map_or("", |(name, _)| name))
    }
}

/// For which received files a receipt is written (interface.md 10, 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// One receipt per file.
    Each,
    /// One per commit group.
    Group,
    /// None.
    Off,
}

impl Choice for Acks {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("each", Self::Each),
        ("group", Self::Group),
        ("off", Self::Off),
    ];
}

/// Where a CDA has its case id (interface.md 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdaCaseId {
    /// `inFulfillmentOf/order/id`.
    Order,
    /// `setId`.
    SetId,
}

impl Choice for CdaCaseId {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("order", Self::Order), ("setId", Self::SetId)];
}

/// The kinds of documents that can be taken (interface.md 6); HL7 is read as messages.
impl Choice for ContentType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("pdf", Self::Pdf),
        ("cda", Self::Cda),
        ("xml", Self::Xml),
        ("jpeg", Self::Jpeg),
        ("png", Self::Png),
        ("tiff", Self::Tiff),
        ("rtf", Self::Rtf),
        ("text", Self::Text),
    ];
}

/// As what HL7 message a report is sent (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `MDM^T02`.
    MdmT02,
    /// `ORU^R01`.
    OruR01,
}

impl Choice for Format {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("MDM_T02", Self::MdmT02), ("ORU_R01", Self::OruR01)];
}

/// When the report of a completed case is made anew, once it is outdated (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewSetting {
    /// Once the desk says so.
    Desk,
    /// With the message that makes it outdated.
    Auto,
}

impl Choice for RenewSetting {
    const CHOICES: &'static [(&'static str, Self)] = &[("desk", Self::Desk), ("auto", Self::Auto)];
}

/// How a facility is told that a report which left does not hold any more (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawSetting {
    /// By the next version, which says that it takes its place.
    NextVersion,
    /// At once, by a message of its own.
    Message,
}

impl Choice for WithdrawSetting {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("next-version", Self::NextVersion),
        ("message", Self::Message),
    ];
}

/// In what version of HL7 a report is sent (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hl7Version {
    /// `2.5`, as the documentation's sample.
    V2_5,
    /// `2.7`, as the documentation's table.
    V2_7,
}

impl Choice for Hl7Version {
    const CHOICES: &'static [(&'static str, Self)] = &[("2.5", Self::V2_5), ("2.7", Self::V2_7)];
}

/// Where `MDM^T02` holds the lead physician (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadField {
    /// In a field whose type is XCN and which the message does not use for something else.
    At {
        /// Its segment.
        segment: &'static str,
        /// Its number in the segment.
        field: u32,
    },
    /// Nowhere: `"off"`.
    Off,
}

impl LeadField {
    /// TXA-10, the authenticator.
    pub const TXA_10: Self = Self::of("TXA", 10);

    const fn of(segment: &'static str, field: u32) -> Self {
        Self::At { segment, field }
    }
}

impl Choice for LeadField {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("TXA-10", Self::TXA_10),
        ("TXA-5", Self::of("TXA", 5)),
        ("TXA-9", Self::of("TXA", 9)),
        ("TXA-11", Self::of("TXA", 11)),
        ("PV1-8", Self::of("PV1", 8)),
        ("PV1-9", Self::of("PV1", 9)),
        ("PV1-17", Self::of("PV1", 17)),
        ("off", Self::Off),
    ];
}

/// When batches of reports are written besides on request (interface.md 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// This often, if there is a report to send.
    Every(Duration),
    /// Never: `"off"`.
    OnRequest,
}

impl Setting for Every {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "a whole number with ms, s, m, h or d, such as \"5m\", of at most 36500d, or \"off\"",
            |text| match (text, measure(text, &TIME_UNITS, LONGEST_TIME)) {
                ("off", _) => Some(Self::OnRequest),
                (_, None | Some(0)) => None,
                (_, Some(milliseconds)) => Some(Self::Every(Duration::from_millis(milliseconds))),
            },
        )
    }

    fn written(&self) -> String {
        match self {
            Self::Every(interval) => interval.written(),
            Self::OnRequest => quoted("off"),
        }
    }
}

impl Setting for Position {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "a position such as \"PV1-3.9\": segment, field, component",
            |text| Self::from_str(text).ok(),
        )
    }

    fn written(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A facility's id names its folder.
impl Setting for FacilityId {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "1 to 40 of a-z, 0-9 and -, since the id names a folder",
            |text| {
                let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
                ((1..=40).contains(&text.len()) && text.bytes().all(allowed))
                    .then(|| Self::new(text))
            },
        )
    }

    fn written(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for chrono_tz::Tz {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "a time zone of the tz database, such as \"Europe/Paris\" or \"Indian/Reunion\"",
            |text| text.parse().ok(),
        )
    }

    fn written(&self) -> String {
        quoted(self.name())
    }
}

/// A region whose national phone numbers can be read.
#[derive(Debug, Clone)]
pub(super) struct Region(pub String);

impl Setting for Region {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(
            deserializer,
            "the two capital letters of a country, such as \"FR\", \"BE\" or \"RE\"",
            |text| Phone::knows_region(text).then(|| Self(text.to_owned())),
        )
    }

    fn written(&self) -> String {
        quoted(&self.0)
    }
}
