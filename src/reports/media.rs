//! The pictures of a form: which of them the report shows, and how its texts refer to them (interface.md 8).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::excerpt::Omissions;
use super::frcp::Figure;
use crate::model::questionnaire::{Media, Questionnaire, Section, Statement};
use crate::picture::{self, PictureError};

/// A picture has at most so many pixels a side: those of a whole slide have more, and no page shows them.
const WIDEST: u32 = 3_000;
/// The pictures of a report have together at most so many pixels.
const MOST_PIXELS: u64 = 24_000_000;

/// The pictures of a form, numbered as they stand in it.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    by_id: HashMap<String, usize>,
    count: usize,
    pixels: u64,
}

impl Pictures {
    /// Numbers the pictures of a form by their ids.
    pub(super) fn of(questionnaire: &Questionnaire) -> Self {
        let mut pictures = Self::default();
        questionnaire
            .sections
            .iter()
            .for_each(|it| pictures.number(it));
        pictures.count = 0;
        pictures
    }

    fn number(&mut self, section: &Section) {
        fn of_statement(statement: &Statement, pictures: &mut Pictures) {
            if let Some(media) = &statement.media {
                pictures.count += 1;
                let number = pictures.count;
                if let Some(id) = &media.id {
                    pictures.by_id.entry(id.clone()).or_insert(number);
                }
            }
            statement
                .statements
                .iter()
                .for_each(|it| of_statement(it, pictures));
        }
        section
            .statements
            .iter()
            .for_each(|it| of_statement(it, self));
        section.sections.iter().for_each(|it| self.number(it));
    }

    /// A text in which pictures are named by their numbers, not by their ids.
    pub(super) fn named(&self, text: &str) -> String {
        if self.by_id.is_empty() {
            return text.to_owned();
        }
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('[') {
            named.push_str(before);
            let found = after.split_once(']').and_then(|(id, behind)| {
                // Several may stand there, divided by spaces.
                let numbers = id.split_whitespace().map(|id| self.by_id.get(id));
                let numbers: Option<Vec<String>> = numbers
                    .map(|it| it.map(|number| format!("Image {number}")))
                    .collect();
                Some((numbers.filter(|it| !it.is_empty())?, behind))
            });
            match found {
                Some((numbers, behind)) => {
                    named.push_str(&format!("[{}]", numbers.join(", ")));
                    rest = behind;
                }
                None => {
                    named.push('[');
                    rest = after;
                }
            }
        }
        named.push_str(rest);
        named
    }

    /// The next picture of the form: what its row says, and the figure where it can be shown.
    pub(super) fn next(
        &mut self,
        media: &Media,
        label: &str,
        cut: &mut Omissions,
    ) -> (String, Option<Figure>) {
        self.count += 1;
        let number = self.count;
        let kind = media.media_type.as_deref();
        let name = match kind.is_none_or(|kind| kind.starts_with("image/")) {
            true => format!("Image {number}"),
            false => format!("Pièce {number}"),
        };
        let why = match self.image(media) {
            Ok(image) => {
                let figure = Figure {
                    caption: format!("{name} : {label}"),
                    image,
                };
                return (format!("{name}, ci-dessous"), Some(figure));
            }
            Err(why) => why,
        };
        cut.pictures += 1;
        let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        (format!("{name}{kind} : {why}"), None)
    }

    fn image(&mut self, media: &Media) -> Result<krilla::image::Image, String> {
        let Some(base64) = &media.base64 else {
            return Err(match &media.reference {
                Some(elsewhere) => format!("{elsewhere}, hors du document"),
                None => format!("trop grande, {ELSEWHERE}"),
            });
        };
        let bytes = STANDARD.decode(base64);
        let bytes = bytes.map_err(|_| format!("illisible, {ELSEWHERE}"))?;
        let image =
            picture::read(bytes, WIDEST, MOST_PIXELS - self.pixels).map_err(
                |problem| match problem {
                    PictureError::TooWide(..) => format!("trop grande, {problem}, {ELSEWHERE}"),
                    PictureError::NoPicture(_) => format!("non affichable, {ELSEWHERE}"),
                },
            )?;
        let (width, height) = image.size();
        let pixels = self
            .pixels
            .saturating_add(u64::from(width) * u64::from(height));
        if pixels > MOST_PIXELS {
            return Err(format!("trop grande, {ELSEWHERE}"));
        }
        self.pixels = pixels;
        Ok(image)
    }
}

/// Where everything is that the report does not show.
const ELSEWHERE: &str = "à voir dans le document CDA du dossier";

#[cfg(test)]
mod tests {
    use super::*;

    fn media(id: &str, base64: Option<&[u8]>, reference: Option<&str>) -> Media {
        Media {
            id: Some(id.to_owned()),
            media_type: Some("image/png".to_owned()),
            base64: base64.map(|bytes| STANDARD.encode(bytes)),
            reference: reference.map(str::to_owned),
        }
    }

    #[test]
    fn a_picture_is_shown_or_said() {
        let logo = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/layout/");
            std::fs::read(format!("{folder}{name}")).unwrap()
        };
        let (png, jpeg) = (logo("logo.png"), logo("logo.jpg"));
        let mut wide = png.clone();
        wide[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        let cut_short = png.get(..png.len() / 2).unwrap();
        let mut pictures = Pictures::default();
        for (media, said, is_shown) in [
            (media("a", Some(&png), None), "Image 1, ci-dessous", true),
            (media("b", Some(&jpeg), None), "Image 2, ci-dessous", true),
            (media("c", Some(cut_short), None), "non affichable", false),
            (media("d", Some(&wide), None), "30000 × 30000 pixels", false),
            (media("e", Some(b"GIF89a"), None), "non affichable", false),
            (media("f", None, None), "trop grande", false),
            (media("g", None, Some("scan.png")), "scan.png", false),
        ] {
            let mut cut = Omissions::default();
            let (told, figure) = pictures.next(&media, "Scanner", &mut cut);
            assert!(told.contains(said), "{told}");
            assert_eq!(figure.is_some(), is_shown, "{told}");
            assert_eq!(cut.pictures, usize::from(!is_shown), "{told}");
        }
    }

    /// Each kind of PNG and JPEG that a form may carry is shown, and is not once it is cut short.
    #[test]
    fn every_kind_of_png_and_jpeg_is_shown() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/media");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                continue;
            }
            let whole = std::fs::read(&path).unwrap();
            let half = &whole[..whole.len() / 2];
            for (bytes, is_shown) in [(&whole[..], true), (half, false)] {
                let mut cut = Omissions::default();
                let media = media("a", Some(bytes), None);
                let (told, figure) = Pictures::default().next(&media, "Coupe", &mut cut);
                assert_eq!(figure.is_some(), is_shown, "{}: {told}", path.display());
                assert_eq!(cut.pictures, usize::from(!is_shown), "{}", path.display());
            }
            count += 1;
        }
        assert_eq!(count, 14);
    }

    #[test]
    fn texts_name_pictures_by_their_numbers() {
        let showing = |id: &str| Statement {
            media: Some(media(id, None, None)),
            ..Statement::default()
        };
        let section = |statements| Section {
            statements,
            ..Section::default()
        };
        let form = Questionnaire {
            sections: vec![
                section(vec![showing("X1")]),
                section(vec![showing("X2"), showing("X1")]),
            ],
            ..Questionnaire::default()
        };
        let pictures = Pictures::of(&form);
        for (text, named) in [
            ("voir [X1].", "voir [Image 1]."),
            ("[X1 X2]", "[Image 1, Image 2]"),
            ("[X3] [X1", "[X3] [X1"),
            ("[]", "[]"),
        ] {
            assert_eq!(pictures.named(text), named);
        }
    }
}
