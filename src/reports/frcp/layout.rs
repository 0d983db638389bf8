//! The layout of the fRCP: what an operator can adapt without touching the code (`reports.layout`,
//! a TOML file; every key may be left out).

use serde::Deserialize;

/// Margins, sizes, colours, the order of the parts and every fixed word of the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// Colour of titles, rules and the decision's frame, `#rrggbb`.
    pub accent: Colour,
    /// Left and right margin in millimetres, 10 to 30.
    pub margin: f32,
    /// Size of the text in points, 7 to 12; titles and small print follow it.
    pub text_size: f32,
    /// The parts of the document in their order. The questionnaire, the participants and what the
    /// desk wrote may be left out; identity, physicians and decision are what SPEC 8 asks for.
    pub parts: Vec<Part>,
    /// The fixed words.
    pub captions: Captions,
}

/// A part of the document below its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Who the patient is.
    Identity,
    /// Submitter and lead physician.
    Physicians,
    /// Who took part in the session.
    Participants,
    /// The questionnaire, section by section.
    Questionnaire,
    /// What the desk wrote when it completed the case.
    Items,
    /// The decision, in its box.
    Decision,
}

/// A colour as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Colour {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
}

impl Colour {
    /// A colour from its parts.
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// The same colour mixed with white; `part` of 255 is the colour itself.
    pub(super) fn tint(self, part: u8) -> Self {
        let mix = |channel: u8| {
            let depth = u32::from(255 - channel) * u32::from(part) / 255;
            255 - u8::try_from(depth).unwrap_or(255)
        };
        Self::new(mix(self.red), mix(self.green), mix(self.blue))
    }
}

impl TryFrom<String> for Colour {
    type Error = LayoutError;

    fn try_from(text: String) -> Result<Self, LayoutError> {
        let wrong = || LayoutError::Colour(text.clone());
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.chars().all(|d| d.is_ascii_hexdigit()))
            .ok_or_else(wrong)?;
        let value = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self::new(red, green, blue))
    }
}

macro_rules! captions {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// Every fixed word of the fRCP, in French.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Captions {
            $($(#[$doc])* #[doc = concat!("`", $words, "`")] pub $name: String,)*
        }

        impl Default for Captions {
            fn default() -> Self {
                Self { $($name: $words.to_owned(),)* }
            }
        }
    };
}

captions! {
    session = "Réunion du",
    at = "à",
    patient = "Patient",
    birth_name = "Nom de naissance",
    usual_name = "Nom utilisé",
    given_name = "Prénom utilisé",
    birth_given_name = "Prénom de naissance",
    sex = "Sexe",
    male = "Masculin",
    female = "Féminin",
    birth_date = "Date de naissance",
    ipp = "IPP",
    ins = "Matricule INS",
    identity_status = "Statut de l’identité",
    case = "Dossier",
    physicians = "Médecins",
    submitter = "Médecin demandeur",
    lead = "Médecin responsable de la RCP",
    participants = "Participants",
    name = "Nom et prénom",
    role = "Fonction",
    rpps = "RPPS",
    questionnaire = "Questionnaire",
    label = "Élément",
    value = "Valeur",
    mood = "Statut",
    narrative = "Texte de la section",
    items = "Éléments saisis en réunion",
    decision = "Décision de la réunion",
    nothing = "—",
    no_questionnaire = "Aucun questionnaire n’a été reçu pour ce dossier.",
    no_decision = "Aucune décision n’a été saisie.",
    document = "Document",
    version = "Version",
    completed = "validé le",
    page = "Page",
    to_discuss = "Dossier à discuter : ceci n’est pas un compte rendu.",
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            accent: Colour::new(0x1B, 0x4F, 0x72),
            margin: 18.0,
            text_size: 9.0,
            parts: vec![
                Part::Identity,
                Part::Physicians,
                Part::Participants,
                Part::Questionnaire,
                Part::Items,
                Part::Decision,
            ],
            captions: Captions::default(),
        }
    }
}

/// What is wrong with a layout file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// Not TOML, or not the keys of a layout.
    #[error("{0}")]
    Toml(String),
    /// Not a colour.
    #[error("`{0}` is no colour; write it as #rrggbb")]
    Colour(String),
    /// A measure out of its range.
    #[error("`{name}` is {value}; it must lie between {least} and {most}")]
    Measure {
        /// The key.
        name: &'static str,
        /// What it says.
        value: f32,
        /// The least it may be.
        least: f32,
        /// The most it may be.
        most: f32,
    },
    /// A part that a report cannot be without.
    #[error("`parts` lacks `{0}`; a report must show it")]
    PartMissing(&'static str),
    /// A part that stands there twice.
    #[error("`parts` names a part twice")]
    PartTwice,
}

impl Layout {
    /// Reads and checks a layout file.
    pub fn read(text: &str) -> Result<Self, LayoutError> {
        let layout: Self =
            toml::from_str(text).map_err(|error| LayoutError::Toml(error.to_string()))?;
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), LayoutError> {
        for (name, value, least, most) in [
            ("margin", self.margin, 10.0, 30.0),
            ("text_size", self.text_size, 7.0, 12.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(LayoutError::Measure {
                    name,
                    value,
                    least,
                    most,
                });
            }
        }
        for (part, name) in [
            (Part::Identity, "identity"),
            (Part::Physicians, "physicians"),
            (Part::Decision, "decision"),
        ] {
            if !self.parts.contains(&part) {
                return Err(LayoutError::PartMissing(name));
            }
        }
        let mut rest = self.parts.as_slice();
        while let Some((part, others)) = rest.split_first() {
            if others.contains(part) {
                return Err(LayoutError::PartTwice);
            }
            rest = others;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_built_in_layout() {
        assert_eq!(Layout::read("").unwrap(), Layout::default());
    }

    #[test]
    fn what_is_adapted_is_kept() {
        let layout = Layout::read(
            "accent = '#7b241c'\nparts = ['decision', 'identity', 'physicians']\n\
             [captions]\ndecision = 'Avis'\n",
        )
        .unwrap();
        assert_eq!(layout.accent, Colour::new(0x7B, 0x24, 0x1C));
        assert_eq!(layout.parts.first(), Some(&Part::Decision));
        assert_eq!(layout.captions.decision, "Avis");
        assert_eq!(layout.captions.sex, "Sexe");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, said) in [
            ("margin = 0", "between 10 and 30"),
            ("text_size = nan", "between 7 and 12"),
            ("accent = 'blue'", "#rrggbb"),
            ("accent = '#ééé'", "#rrggbb"),
            ("colour = 'x'", "unknown field"),
            ("parts = ['identity', 'decision']", "`physicians`"),
            (
                "parts = ['identity', 'decision', 'physicians', 'decision']",
                "twice",
            ),
        ] {
            let error = Layout::read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn tints_go_from_white_to_the_colour() {
        let colour = Colour::new(0, 128, 255);
        assert_eq!(colour.tint(255), colour);
        assert_eq!(colour.tint(0), Colour::new(255, 255, 255));
    }
}
