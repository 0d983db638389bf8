//! Text: the embedded fonts, what they can show, how wide it is, and where lines break.
//!
//! Words are measured with the shaper that also places the glyphs on the page, so what was
//! measured is what is drawn. A line is kept as its text and shaped again when it is drawn: a
//! long questionnaire would otherwise hold fifty bytes of glyph for each of its letters.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::ttf_parser::Tag;
use rustybuzz::{Direction, Face, Feature, ShapePlan, UnicodeBuffer, script};

use super::FrcpError;

static REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
static BOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// Shown for a character that the fonts do not have. PDF/A forbids the glyph `.notdef`, and
/// leaving the character out would hide that something stood there.
const MISSING: char = '\u{25A1}';

/// A word longer than this is measured in parts, so that no input needs an unbounded buffer.
const LONGEST_WORD: usize = 200;

/// The two weights of the embedded font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// Both weights, ready to measure and to draw.
pub(super) struct Fonts {
    regular: Typeface,
    bold: Typeface,
}

struct Typeface {
    face: Face<'static>,
    plan: ShapePlan,
    font: Font,
}

impl Fonts {
    pub fn load() -> Result<Self, FrcpError> {
        Ok(Self {
            regular: Typeface::load(REGULAR)?,
            bold: Typeface::load(BOLD)?,
        })
    }

    fn typeface(&self, weight: Weight) -> &Typeface {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    /// The font as the PDF embeds it.
    pub fn font(&self, weight: Weight) -> Font {
        self.typeface(weight).font.clone()
    }

    /// The glyphs of one line.
    pub fn glyphs(&self, line: &str, weight: Weight) -> Vec<KrillaGlyph> {
        self.typeface(weight).shape(line)
    }

    /// How wide a line is, in points.
    pub fn width(&self, line: &str, weight: Weight, size: f32) -> f32 {
        self.typeface(weight).advance(line) * size
    }

    /// Breaks text into lines no wider than `width`: at its line ends, between words, after the
    /// hyphens of compounds, and inside a word only where the word alone is too wide.
    pub fn wrap(&self, text: &str, weight: Weight, size: f32, width: f32) -> Vec<String> {
        let typeface = self.typeface(weight);
        let widest = width / size;
        let mut lines = Vec::new();
        for paragraph in self.printable(text, weight).trim_end().split('\n') {
            let mut line = String::new();
            let mut taken = 0.0;
            for word in words(paragraph) {
                let ink = typeface.advance(word.trim_end_matches(' '));
                if taken + ink > widest && !line.trim_end().is_empty() {
                    lines.push(finished(&mut line));
                    taken = 0.0;
                }
                if ink > widest {
                    line.clear();
                    let letters = word.trim_end_matches(' ');
                    // A long id is cut where it is divided, if it can be.
                    let divided = letters.split_inclusive(['-', '/', '.', '_']);
                    for part in divided.flat_map(|part| typeface.parts(part, widest)) {
                        let with_part = typeface.advance(&line) + typeface.advance(part);
                        if !line.is_empty() && with_part > widest {
                            lines.push(finished(&mut line));
                        }
                        line.push_str(part);
                    }
                    line.push_str(word.strip_prefix(letters).unwrap_or_default());
                    taken = typeface.advance(&line);
                } else {
                    line.push_str(word);
                    taken += typeface.advance(word);
                }
            }
            lines.push(finished(&mut line));
        }
        lines
    }

    /// One line that fits, cut with an ellipsis where it must be.
    pub fn fit(&self, text: &str, weight: Weight, size: f32, width: f32) -> String {
        let text = self.printable(text, weight).replace('\n', " ");
        if self.width(&text, weight, size) <= width {
            return text;
        }
        let ellipsis = self.width("…", weight, size);
        let mut line = self
            .typeface(weight)
            .parts(&text, (width - ellipsis) / size)
            .first()
            .map_or_else(String::new, |part| part.trim_end().to_owned());
        line.push('…');
        line
    }

    /// The text with one kind of line end, and with only characters that the font can show.
    fn printable(&self, text: &str, weight: Weight) -> String {
        let face = &self.typeface(weight).face;
        let has = |character| {
            face.glyph_index(character)
                .is_some_and(|glyph| glyph.0 != 0)
        };
        let mut printable = String::with_capacity(text.len());
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\r' => {
                    characters.next_if_eq(&'\n');
                    printable.push('\n');
                }
                '\n' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    printable.push('\n');
                }
                '\t' => printable.push_str("    "),
                invisible if is_invisible(invisible) => {}
                known if !known.is_control() && has(known) => printable.push(known),
                '☐' => printable.push(MISSING),
                '☑' | '☒' => printable.push('✓'),
                _ => printable.push(MISSING),
            }
        }
        printable
    }
}

/// Characters that steer a layout and show nothing: soft hyphen, joiners, direction and variation
/// marks. They have no work to do in a table cell, and a direction mark could mislead the eye.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A line without the spaces at its end; the buffer is empty again.
fn finished(line: &mut String) -> String {
    line.truncate(line.trim_end_matches(' ').len());
    std::mem::take(line)
}

/// The parts of a paragraph between which a line may break, each with the spaces after it.
fn words(paragraph: &str) -> impl Iterator<Item = &str> {
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        let mut before: Option<char> = None;
        let mut previous: Option<char> = None;
        let mut count = 0_usize;
        let end = rest
            .char_indices()
            .find(|(_, character)| {
                let breaks = match previous {
                    Some(' ' | '\u{2009}' | '\u{3000}') => *character != ' ',
                    // `Saint-Étienne` may break, `-3` and `10-12` may not.
                    Some('-' | '/') => {
                        before.is_some_and(char::is_alphabetic) && character.is_alphabetic()
                    }
                    _ => count >= LONGEST_WORD && !is_mark(*character),
                };
                before = previous;
                previous = Some(*character);
                count = count.saturating_add(1);
                breaks
            })
            .map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// A combining mark, which stays with the letter before it.
fn is_mark(character: char) -> bool {
    ('\u{300}'..='\u{36F}').contains(&character)
}

impl Typeface {
    fn load(data: &'static [u8]) -> Result<Self, FrcpError> {
        let face = Face::from_slice(data, 0).ok_or(FrcpError::Font)?;
        let font = Font::new(data.into(), 0).ok_or(FrcpError::Font)?;
        // The font would turn `->` into an arrow and `2x3` into a multiplication: a medical
        // document shows what was written.
        let as_written = [b"calt", b"liga", b"clig"]
            .map(|feature| Feature::new(Tag::from_bytes(feature), 0, ..));
        let plan = ShapePlan::new(
            &face,
            Direction::LeftToRight,
            Some(script::LATIN),
            None,
            &as_written,
        );
        Ok(Self { face, plan, font })
    }

    fn shaped(&self, text: &str) -> rustybuzz::GlyphBuffer {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.set_direction(Direction::LeftToRight);
        buffer.set_script(script::LATIN);
        rustybuzz::shape_with_plan(&self.face, &self.plan, buffer)
    }

    /// Units of the font as a part of the type size.
    fn em(&self, units: i32) -> f32 {
        units as f32 / self.font.units_per_em()
    }

    fn advance(&self, text: &str) -> f32 {
        let shaped = self.shaped(text);
        let positions = shaped.glyph_positions().iter();
        positions.map(|glyph| self.em(glyph.x_advance)).sum()
    }

    fn shape(&self, text: &str) -> Vec<KrillaGlyph> {
        let shaped = self.shaped(text);
        let mut end = text.len();
        let mut next = text.len();
        let mut glyphs: Vec<_> = shaped
            .glyph_infos()
            .iter()
            .zip(shaped.glyph_positions())
            .rev()
            .map(|(info, position)| {
                let start = info.cluster as usize;
                // Glyphs of one cluster share its range of the text.
                if start != next {
                    end = next;
                    next = start;
                }
                KrillaGlyph::new(
                    GlyphId::new(info.glyph_id),
                    self.em(position.x_advance),
                    self.em(position.x_offset),
                    self.em(position.y_offset),
                    self.em(position.y_advance),
                    start..end,
                    None,
                )
            })
            .collect();
        glyphs.reverse();
        glyphs
    }

    /// Cuts a word into parts that fit, each at least one letter with its marks.
    fn parts<'t>(&self, word: &'t str, widest: f32) -> Vec<&'t str> {
        let shaped = self.shaped(word);
        let mut parts = Vec::new();
        let mut start = 0;
        let mut cluster = 0;
        // Advances of the part up to the current cluster, and of the cluster itself.
        let (mut taken, mut current) = (0.0, 0.0);
        let mut cut = |start: usize, end: usize| parts.extend(word.get(start..end));
        for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
            let at = info.cluster as usize;
            if at != cluster {
                taken += current;
                current = 0.0;
                cluster = at;
            }
            current += self.em(position.x_advance);
            if taken + current > widest && cluster > start {
                cut(start, cluster);
                start = cluster;
                taken = 0.0;
            }
        }
        cut(start, word.len());
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: f32) -> Vec<String> {
        Fonts::load()
            .unwrap()
            .wrap(text, Weight::Regular, 10.0, width)
    }

    #[test]
    fn words_break_where_french_allows() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("un  deux", &["un  ", "deux"]),
            (" retrait", &[" ", "retrait"]),
            ("Saint-Étienne", &["Saint-", "Étienne"]),
            ("de -3 à 10-12", &["de ", "-3 ", "à ", "10-12"]),
            ("5\u{A0}mg\u{202F}!", &["5\u{A0}mg\u{202F}!"]),
            ("et/ou 1/2", &["et/", "ou ", "1/2"]),
            ("--", &["--"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
        let long = "é".repeat(450);
        let parts: Vec<_> = words(&long).map(|word| word.chars().count()).collect();
        assert_eq!(parts, [200, 200, 50]);
    }

    #[test]
    fn lines_fit_and_lose_nothing() {
        let fonts = Fonts::load().unwrap();
        let text = "Patiente de 74 ans, adressée pour une tumeur œsophagienne ; \
                    radio-chimiothérapie préopératoire proposée, puis chirurgie. "
            .repeat(10)
            + &"anticonstitutionnellement".repeat(20);
        for width in [5.0, 40.0, 83.5, 400.0] {
            let lines = fonts.wrap(&text, Weight::Regular, 10.0, width);
            for line in &lines {
                let wide = fonts.width(line, Weight::Regular, 10.0);
                assert!(
                    wide <= width + 0.5 || line.chars().count() == 1,
                    "{line}: {wide}"
                );
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }

    #[test]
    fn line_ends_are_kept_and_trailing_ones_dropped() {
        assert_eq!(
            wrapped("un\r\ndeux\rtrois\n\nquatre \n\n", 200.0),
            ["un", "deux", "trois", "", "quatre"]
        );
        assert_eq!(wrapped("", 200.0), [""]);
    }

    #[test]
    fn what_the_font_lacks_is_shown_as_a_box() {
        assert_eq!(
            wrapped("é≥≤µ°→–—œ✓ 王😀\u{0}\u{AD}\u{202E}\u{FEFF}☑", 500.0),
            ["é≥≤µ°→–—œ✓ □□□✓"]
        );
    }

    #[test]
    fn every_character_has_a_glyph() {
        let fonts = Fonts::load().unwrap();
        for weight in [Weight::Regular, Weight::Bold] {
            let all: String = ('\0'..='\u{FFFF}').chain(['😀', '\u{10FFFF}']).collect();
            let shown: std::collections::BTreeSet<char> =
                fonts.printable(&all, weight).chars().collect();
            assert!(shown.len() > 2000 && !shown.contains(&'\r'));
            for character in shown.into_iter().filter(|character| *character != '\n') {
                let glyphs = fonts.glyphs(&character.to_string(), weight);
                assert!(
                    !glyphs.is_empty() && glyphs.iter().all(|glyph| glyph.glyph_id.to_u32() != 0),
                    "{character:?}"
                );
            }
        }
    }

    #[test]
    fn a_line_that_must_fit_is_cut() {
        let fonts = Fonts::load().unwrap();
        let cut = fonts.fit(&"Nom très long ".repeat(30), Weight::Bold, 8.0, 200.0);
        assert!(cut.ends_with('…') && cut.starts_with("Nom très long Nom"));
        assert!(fonts.width(&cut, Weight::Bold, 8.0) <= 200.0);
        assert_eq!(
            fonts.fit("court\nmot", Weight::Bold, 8.0, 200.0),
            "court mot"
        );
    }

    #[test]
    fn glyphs_cover_the_whole_text() {
        let fonts = Fonts::load().unwrap();
        let text = "Cafe\u{301} -> fin 2x3";
        let glyphs = fonts.glyphs(text, Weight::Regular);
        let mut covered = 0;
        for glyph in &glyphs {
            assert!(glyph.text_range.start <= covered && glyph.text_range.end >= covered);
            covered = glyph.text_range.end;
        }
        assert_eq!(covered, text.len());
    }
}
