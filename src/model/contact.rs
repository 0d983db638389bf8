//! How a patient is reached: a phone number or an e-mail address that is valid, or none.

use std::fmt;

use email_address::{EmailAddress, Options};
use phonenumber::{Mode, country, metadata::DATABASE};
use serde::{Deserialize, Serialize};

/// A valid phone number in the international form E.164, such as `+33142515151` (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);

/// Where a number written in the French way may be in use: one numbering plan, six country codes.
const FRENCH_REGIONS: [country::Id; 6] = [
    country::FR,
    country::RE,
    country::GP,
    country::MQ,
    country::GF,
    country::YT,
];

/// A number is never longer: 15 digits of E.164, before them `00`.
const MOST_DIGITS: usize = 17;

impl Phone {
    /// Reads a number as people write it; without `+` or `00` it is a national number of `region` (`FR`, `BE`, …).
    ///
    /// `None` unless the number is in a range that is really given out there.
    pub fn parse(sent: &str, region: &str) -> Option<Self> {
        let dialled = dialled(sent)?;
        if dialled.starts_with('+') {
            // Told a region, the library would take that region's national prefix off a foreign number.
            return Self::valid(None, &dialled);
        }
        match numbering_plan(region)? {
            country::FR => FRENCH_REGIONS
                .into_iter()
                .find_map(|region| Self::valid(Some(region), &dialled)),
            region => Self::valid(Some(region), &dialled),
        }
    }

    fn valid(region: Option<country::Id>, dialled: &str) -> Option<Self> {
        let number = phonenumber::parse(region, dialled).ok()?;
        number
            .is_valid()
            .then(|| Self(number.format().mode(Mode::E164).to_string()))
    }

    /// Whether national numbers of this region (ISO 3166, two capital letters) can be read.
    pub fn knows_region(region: &str) -> bool {
        numbering_plan(region).is_some()
    }

    /// The number in E.164.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the tables of all numbering plans, which else happens with the first number and takes it long.
pub fn read_tables() {
    let _ = Phone::parse("+33142515151", "FR");
}

/// The region, if the library has its numbering plan: it knows the names of more regions, and panics on those.
fn numbering_plan(region: &str) -> Option<country::Id> {
    DATABASE.by_id(region)?;
    region.parse().ok()
}

/// What one would dial: digits, after a `+` if the number is international.
///
/// Anything but digits and the usual separators makes it no number. The library is only given what passed here.
fn dialled(sent: &str) -> Option<String> {
    let sent = sent.trim();
    let (international, rest) = match sent.strip_prefix('+').or_else(|| sent.strip_prefix("00")) {
        // `+33 (0)1 …`: the zero is dialled inside the country only.
        Some(rest) => (true, rest.replacen("(0)", "", 1)),
        None => (false, sent.to_owned()),
    };
    let mut dialled = String::from(if international { "+" } else { "" });
    for character in rest.chars() {
        match character {
            '0'..='9' => dialled.push(character),
            '.' | '-' | '/' | '(' | ')' | '_' | '\u{2010}'..='\u{2015}' => {}
            space if space.is_whitespace() => {}
            _ => return None,
        }
    }
    (dialled.len() <= MOST_DIGITS).then_some(dialled)
}

/// A valid e-mail address with a dot in its domain (interface.md 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Reads a bare address; `Name <a@b.fr>` is none.
    pub fn parse(sent: &str) -> Option<Self> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        let sent = sent.trim();
        EmailAddress::parse_with_options(sent, options).ok()?;
        Some(Self(sent.to_owned()))
    }

    /// The address as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_phone_number_is_kept_as_e164() {
        for (sent, region, kept) in [
            ("+33-142515151", "FR", Some("+33142515151")),
            ("+33142515151", "FR", Some("+33142515151")),
            ("0033142515151", "FR", Some("+33142515151")),
            ("00 33 1 42 51 51 51", "FR", Some("+33142515151")),
            ("+33 (0)1 42 51 51 51", "FR", Some("+33142515151")),
            ("+33 0142515151", "FR", Some("+33142515151")),
            ("01 42 51 51 51", "FR", Some("+33142515151")),
            ("01.42.51.51.51", "FR", Some("+33142515151")),
            ("(01) 42-51-51-51", "FR", Some("+33142515151")),
            ("01\u{a0}42\u{202f}51 51 51", "FR", Some("+33142515151")),
            ("0612345678", "FR", Some("+33612345678")),
            ("0692123456", "FR", Some("+262692123456")),
            ("0690 30 12 34", "FR", Some("+590690301234")),
            ("0696 20 12 34", "FR", Some("+596696201234")),
            ("0694 20 12 34", "FR", Some("+594694201234")),
            ("0639 69 12 34", "FR", Some("+262639691234")),
            ("0692123456", "RE", Some("+262692123456")),
            ("0470 12 34 56", "BE", Some("+32470123456")),
            ("0033142515151", "US", Some("+33142515151")),
            ("+33142515151", "XX", Some("+33142515151")),
            ("+1 212 555 2368", "FR", Some("+12125552368")),
            ("+39 06 698 83145", "FR", Some("+390669883145")),
            ("06 698 83145", "IT", Some("+390669883145")),
            ("+262 692 12 34 56", "FR", Some("+262692123456")),
            ("+32 470 12 34 56", "FR", Some("+32470123456")),
            ("0142515151", "XX", None),
            ("01425151", "FR", None),
            ("014251515151", "FR", None),
            ("0000000000", "FR", None),
            ("0692123456", "BE", None),
            ("01 42 51 51 5a", "FR", None),
            ("+999142515151", "FR", None),
            ("+", "FR", None),
            ("00", "FR", None),
            ("", "FR", None),
        ] {
            let phone = Phone::parse(sent, region);
            assert_eq!(
                phone.as_ref().map(Phone::as_str),
                kept,
                "{sent} in {region}"
            );
        }
    }

    #[test]
    fn no_region_and_no_country_code_panics() {
        let letters = || 'A'..='Z';
        for region in letters().flat_map(|one| letters().map(move |other| format!("{one}{other}")))
        {
            for national in ["0142515151", "00"] {
                let _ = Phone::parse(national, &region);
            }
            assert_eq!(
                Phone::knows_region(&region),
                DATABASE.by_id(&region).is_some()
            );
        }
        for code in 0..1000 {
            for national in ["0142515151", "612345678"] {
                let _ = Phone::parse(&format!("+{code}{national}"), "FR");
            }
        }
    }

    #[test]
    fn an_email_has_a_dot_in_its_domain() {
        for (sent, kept) in [
            ("jean@example.fr", Some("jean@example.fr")),
            (
                " jean.d'ormesson+a@mail.example.fr ",
                Some("jean.d'ormesson+a@mail.example.fr"),
            ),
            ("a@b", None),
            ("a@b.", None),
            ("a@.fr", None),
            ("a b@example.fr", None),
            ("jean.example.fr", None),
            ("jean@@example.fr", None),
            ("@example.fr", None),
            ("Jean <jean@example.fr>", None),
            ("<jean@example.fr>", None),
            ("jean@[127.0.0.1]", None),
            ("", None),
        ] {
            let email = Email::parse(sent);
            assert_eq!(email.as_ref().map(Email::as_str), kept, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn nothing_sent_as_a_phone_panics(sent in ".*", numeric in "[+0-9 ().-]{0,40}", region in "[A-Z]{2}") {
            let _ = Phone::parse(&sent, &region);
            for region in [region.as_str(), "FR", "US"] {
                if let Some(phone) = Phone::parse(&numeric, region) {
                    prop_assert_eq!(Phone::parse(phone.as_str(), "FR"), Some(phone));
                }
            }
        }

        #[test]
        fn nothing_sent_as_an_email_panics(sent in ".*", like in "[a-z\"<>@. \\[\\]]{0,20}@[a-zé.<>\\[\\]]{0,20}") {
            for sent in [sent, like] {
                if let Some(email) = Email::parse(&sent) {
                    prop_assert!(email.as_str().rsplit('@').next().is_some_and(|domain| domain.contains('.')));
                }
            }
        }
    }
}
