//! The layout of the fRCP: what an operator can adapt without touching the code (`reports.layout`,
//! a TOML file; every key may be left out). `fixtures/layout/report.toml` shows every key.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use krilla::image::Image;
use serde::Deserialize;

use crate::picture::{self, PictureError};

/// A larger logo is refused: bytes, since each report carries it, and pixels along a side.
const LARGEST_LOGO: u64 = 1 << 20;
const WIDEST_LOGO: u32 = 2_000;
/// A longer title, place or caption is refused: characters.
const LONGEST_WORDS: usize = 300;

/// The logo, margins, sizes, colours, the order of the parts and every fixed word of the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// The title of reports; empty: that of the form, which cases still to be discussed keep.
    pub title: String,
    /// Where the session meets, shown behind its date; may be empty.
    pub place: String,
    /// A PNG or JPEG for the top right of the first page, beside the layout file; may be empty.
    pub logo: PathBuf,
    /// Colour of titles, rules and the decision's frame, `#rrggbb`.
    pub accent: Colour,
    /// Left and right margin in millimetres, 10 to 30.
    pub margin: f32,
    /// Size of the text in points, 7 to 12; titles and small print follow it.
    pub text_size: f32,
    /// The parts of the document in their order. The questionnaire, the participants and what the
    /// desk wrote may be left out; identity, physicians and decision are what interface.md 8 asks for.
    pub parts: Vec<Part>,
    /// The fixed words.
    pub captions: Captions,
    /// The layout file; none for the built-in layout.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// The logo as it was read.
    #[serde(skip)]
    pub(crate) picture: Option<Image>,
}

/// No measure is NaN: what is read is checked.
impl Eq for Layout {}

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
    pub(crate) fn tint(self, part: u8) -> Self {
        let mix = |channel: u8| {
            let depth = u32::from(255 - channel) * u32::from(part) / 255;
            255 - u8::try_from(depth).unwrap_or(255)
        };
        Self::new(mix(self.red), mix(self.green), mix(self.blue))
    }
}

impl TryFrom<String> for Colour {
    type Error = LayoutFileError;

    fn try_from(text: String) -> Result<Self, LayoutFileError> {
        let wrong = || LayoutFileError::Colour(text.clone());
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
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Captions {
            $($(#[$doc])* #[doc = concat!("`", $words, "`")] pub $name: String,)*
        }

        impl Captions {
            /// Each with its key.
            fn each(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($name), self.$name.as_str()),)*]
            }
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
    meeting_place = "Lieu de la réunion",
    meeting_place_of_questionnaire = "Lieu de la réunion selon le questionnaire",
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
    finess = "FINESS",
    network = "Service",
    identity_mismatch = "⚠ Identité à vérifier : un message ou un document de ce dossier donne une autre identité que celle-ci.",
    identity_given = "L’autre identité :",
    physicians = "Médecins",
    submitter = "Médecin demandeur",
    lead = "Médecin responsable de la RCP",
    people = "Personnes citées par la fiche",
    participants = "Participants",
    participants_of_questionnaire = "Selon le questionnaire",
    name = "Nom et prénom",
    role = "Fonction",
    rpps = "RPPS",
    present = "Nombre de participants",
    quorum = "Quorum",
    quorum_of_desk = "saisi en réunion",
    quorum_of_questionnaire = "selon le questionnaire",
    no_quorum = "non renseigné",
    questionnaire = "Questionnaire",
    label = "Élément",
    value = "Valeur",
    mood = "Statut",
    narrative = "Texte de la section",
    items = "Éléments saisis en réunion",
    documents = "Documents joints au dossier",
    document_name = "Nom",
    document_date = "Date",
    document_type = "Type",
    decision = "Décision de la réunion",
    validated = "Compte rendu validé le",
    validated_by = "Validé par",
    authenticated = "Fiche signée par",
    signature = "Signature",
    nothing = "—",
    no_questionnaire = "Aucun questionnaire n’a été reçu pour ce dossier.",
    no_decision = "Aucune décision n’a été saisie.",
    document = "Document",
    version = "Version",
    replaces = "remplace la version",
    of = "du",
    changed = "modifié",
    completed = "validé le",
    renewed = "Mis à jour le",
    updated = "mis à jour le",
    before_update = "avant cette mise à jour",
    page = "Page",
    logo = "Logo",
    to_discuss = "Dossier à discuter : ceci n’est pas un compte rendu.",
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            title: String::new(),
            place: String::new(),
            logo: PathBuf::new(),
            accent: Colour::new(0x1B, 0x4F, 0x72),
            margin: 18.0,
            text_size: 9.0,
            parts: vec![
                Part::Identity,
                Part::Decision,
                Part::Physicians,
                Part::Participants,
                Part::Items,
                Part::Questionnaire,
            ],
            captions: Captions::default(),
            file: None,
            picture: None,
        }
    }
}

/// What is wrong with a layout file, or with the logo it names.
#[derive(Debug, thiserror::Error)]
pub enum LayoutFileError {
    /// The layout file itself.
    #[error("cannot be read ({0}): name a readable file, or \"\" for the built-in one")]
    Unreadable(io::Error),
    /// The logo is missing, or may not be read.
    #[error(
        "its logo {} cannot be read ({source}): put a PNG or JPEG there, or remove `logo`",
        logo.display()
    )]
    NoLogo {
        /// The logo.
        logo: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The logo would make every report large.
    #[error(
        "its logo {} is too large ({size}): save it with at most {} kB and {WIDEST_LOGO} pixels a side",
        logo.display(),
        LARGEST_LOGO / 1024
    )]
    LogoTooLarge {
        /// The logo.
        logo: PathBuf,
        /// How large it is.
        size: String,
    },
    /// The logo is no picture that a report can show.
    #[error(
        "its logo {} cannot be shown ({problem}): save it as PNG, or as JPEG in RGB or grey",
        logo.display()
    )]
    NoPicture {
        /// The logo.
        logo: PathBuf,
        /// What was found.
        problem: String,
    },
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
    /// Words that no page has room for.
    #[error("`{name}` has {length} characters; it may have at most {LONGEST_WORDS}")]
    TooLong {
        /// The key.
        name: &'static str,
        /// How long it is.
        length: usize,
    },
    /// A part that a report cannot be without.
    #[error("`parts` lacks `{0}`; a report must show it")]
    PartMissing(&'static str),
    /// A part that stands there twice.
    #[error("`parts` names a part twice")]
    PartTwice,
}

impl Layout {
    /// Reads and checks a layout file, and the logo beside it.
    pub(super) fn load(file: &Path) -> Result<Self, LayoutFileError> {
        let text = fs::read_to_string(file).map_err(LayoutFileError::Unreadable)?;
        let mut layout = Self::read(&text)?;
        if !layout.logo.as_os_str().is_empty() {
            let beside = file.parent().unwrap_or(Path::new(""));
            layout.picture = Some(picture(beside.join(&layout.logo))?);
        }
        layout.file = Some(file.to_owned());
        Ok(layout)
    }

    /// Reads and checks the text of a layout file.
    pub(crate) fn read(text: &str) -> Result<Self, LayoutFileError> {
        let layout: Self =
            toml::from_str(text).map_err(|error| LayoutFileError::Toml(error.to_string()))?;
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), LayoutFileError> {
        for (name, value, least, most) in [
            ("margin", self.margin, 10.0, 30.0),
            ("text_size", self.text_size, 7.0, 12.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(LayoutFileError::Measure {
                    name,
                    value,
                    least,
                    most,
                });
            }
        }
        let words = [("title", self.title.as_str()), ("place", &self.place)];
        for (name, words) in words.into_iter().chain(self.captions.each()) {
            let length = words.chars().count();
            if length > LONGEST_WORDS {
                return Err(LayoutFileError::TooLong { name, length });
            }
        }
        for (part, name) in [
            (Part::Identity, "identity"),
            (Part::Physicians, "physicians"),
            (Part::Decision, "decision"),
        ] {
            if !self.parts.contains(&part) {
                return Err(LayoutFileError::PartMissing(name));
            }
        }
        let mut rest = self.parts.as_slice();
        while let Some((part, others)) = rest.split_first() {
            if others.contains(part) {
                return Err(LayoutFileError::PartTwice);
            }
            rest = others;
        }
        Ok(())
    }
}

/// Reads a logo.
fn picture(logo: PathBuf) -> Result<Image, LayoutFileError> {
    let size = fs::metadata(&logo).map(|metadata| metadata.len());
    let bytes = match size {
        Ok(size) if size > LARGEST_LOGO => {
            let size = format!("{} kB", size / 1024);
            return Err(LayoutFileError::LogoTooLarge { logo, size });
        }
        Ok(_) => fs::read(&logo),
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(source) => return Err(LayoutFileError::NoLogo { logo, source }),
    };
    picture::read(bytes, WIDEST_LOGO, u64::MAX).map_err(|problem| match problem {
        PictureError::TooWide(..) => LayoutFileError::LogoTooLarge {
            logo,
            size: problem.to_string(),
        },
        PictureError::NoPicture(problem) => LayoutFileError::NoPicture { logo, problem },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/layout")
            .join(name)
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example = Layout::load(&fixture("report.toml")).unwrap();
        assert!(example.picture.is_some());
        let built_in = Layout {
            title: example.title.clone(),
            place: example.place.clone(),
            logo: example.logo.clone(),
            file: example.file.clone(),
            picture: example.picture.clone(),
            ..Layout::default()
        };
        assert_eq!(example, built_in);
        let text = fs::read_to_string(fixture("report.toml")).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let captions = table["captions"].as_table().unwrap();
        let known = format!("{:?}", Layout::default().captions);
        for name in captions.keys() {
            assert!(known.contains(&format!("{name}: ")), "{name}");
        }
        assert_eq!(captions.len(), known.matches(": \"").count());
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn a_logo_that_no_report_could_have_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("report.toml");
        fs::write(&layout, "logo = \"logo\"").unwrap();
        let logo = folder.path().join("logo");
        let png = fs::read(fixture("logo.png")).unwrap();
        let mut cut = png.clone();
        cut.truncate(png.len() / 2);
        // IHDR ends with its checksum, at byte 29.
        let mut damaged = png.clone();
        damaged[29] ^= 1;
        let jpeg = fs::read(fixture("logo.jpg")).unwrap();
        let mut cut_jpeg = jpeg.clone();
        cut_jpeg.truncate(jpeg.len() * 3 / 4);
        let large = [png.clone(), vec![0; 1 << 20]].concat();
        for (content, said) in [
            (None, "put a PNG or JPEG there"),
            (Some(b"".to_vec()), "neither"),
            (Some(b"GIF89a".to_vec()), "as PNG"),
            (Some(vec![0xFF, 0xD8, 0xFF, 0xE0]), "as PNG"),
            (Some(cut), "as PNG"),
            (Some(cut_jpeg), "as PNG"),
            (Some(damaged), "as PNG"),
            (Some(large), "at most 1024 kB"),
        ] {
            if let Some(content) = content {
                fs::write(&logo, content).unwrap();
            }
            let error = Layout::load(&layout).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(error.contains(&logo.display().to_string()), "{error}");
        }
        for whole in [png, jpeg] {
            fs::write(&logo, whole).unwrap();
            assert!(Layout::load(&layout).unwrap().picture.is_some());
        }
    }

    #[test]
    fn a_logo_is_measured_before_it_is_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("report.toml");
        fs::write(&layout, "logo = \"logo\"").unwrap();
        // Only the headers are there: whoever decoded them would find no picture.
        let mut png = fs::read(fixture("logo.png")).unwrap();
        png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        png.truncate(60);
        let mut jpeg = fs::read(fixture("logo.jpg")).unwrap();
        let frame = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
        for picture in [png, jpeg] {
            fs::write(folder.path().join("logo"), picture).unwrap();
            let error = Layout::load(&layout).unwrap_err().to_string();
            assert!(error.contains("30000 × 30000 pixels"), "{error}");
            assert!(error.contains("1024 kB and 2000 pixels a side"), "{error}");
        }
    }

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
        let marks = "\u{301}".repeat(40_000);
        let long = format!("title = '{marks}'");
        let long_caption = format!("[captions]\ndecision = '{marks}'");
        for (text, said) in [
            ("margin = 0", "between 10 and 30"),
            ("text_size = nan", "between 7 and 12"),
            ("accent = 'blue'", "#rrggbb"),
            ("accent = '#ééé'", "#rrggbb"),
            ("colour = 'x'", "unknown field"),
            (long.as_str(), "at most 300"),
            (long_caption.as_str(), "`decision` has 40000"),
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
