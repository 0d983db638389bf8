//! Text: the embedded fonts, what they can show, how wide it is, and where lines break.
//!
//! Text is measured with the shaper that also places the glyphs on the page, so what was
//! measured is what is drawn. A line is kept as its text and shaped again when it is drawn: a
//! long questionnaire would otherwise hold fifty bytes of glyph for each of its letters.

use std::cell::Cell;

use harfrust::{
    Direction, Feature, FontRef, GlyphBuffer, ShapeOptions, ShapePlan, ShaperData, Tag,
    UnicodeBuffer, script,
};
use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::MetadataProvider;
use skrifa::charmap::Charmap;
use skrifa::raw::TableProvider;
use skrifa::raw::tables::gdef::GlyphClassDef;
use skrifa::raw::tables::layout::ClassDef;
use unicode_normalization::UnicodeNormalization as _;

use super::FrcpError;

static REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
static BOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// Signs, ticked boxes and letters that the other two lack, in one weight.
static SYMBOLS: &[u8] = include_bytes!("../fonts/DejaVuSans-Symbols.ttf");

/// A longer word may break anywhere, and no more bytes are measured at once: no input needs an unbounded buffer.
const LONGEST_WORD: usize = 200;
const MEASURED_AT_ONCE: usize = 1_000;

/// So many combining marks are drawn above and below one letter; more of them stand behind it as codes. Every written
/// language needs fewer, and thousands of them make a letter that no page can show.
const MARKS: usize = 4;

/// The font would turn `->` into an arrow and `2x3` into a multiplication: a medical document shows what was written.
const AS_WRITTEN: [Feature; 3] = [off(b"calt"), off(b"liga"), off(b"clig")];

const fn off(feature: &[u8; 4]) -> Feature {
    Feature {
        tag: Tag::new(feature),
        value: 0,
        start: 0,
        end: u32::MAX,
    }
}

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
    symbols: Typeface,
    coded: Cell<Coded>,
}

/// What stands on the page as codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coded {
    /// Combining marks beyond what one letter can carry.
    pub marks: usize,
    /// Characters that no font has.
    pub characters: usize,
}

/// A part of a line in one font.
pub(super) struct TextRun<'t> {
    pub font: Font,
    pub text: &'t str,
    pub glyphs: Vec<KrillaGlyph>,
}

struct Typeface {
    face: FontRef<'static>,
    shaping: ShaperData,
    plan: ShapePlan,
    letters: Charmap<'static>,
    /// Which of its glyphs are marks, where it says so.
    classes: Option<ClassDef<'static>>,
    font: Font,
}

impl Fonts {
    pub fn load() -> Result<Self, FrcpError> {
        Ok(Self {
            regular: Typeface::load(REGULAR)?,
            bold: Typeface::load(BOLD)?,
            symbols: Typeface::load(SYMBOLS)?,
            coded: Cell::default(),
        })
    }

    fn typeface(&self, weight: Weight) -> &Typeface {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    /// The parts of a text that one font each can show, in order.
    fn parts<'t>(
        &self,
        text: &'t str,
        weight: Weight,
    ) -> impl Iterator<Item = (&Typeface, &'t str)> {
        let own = self.typeface(weight);
        let is_own = move |character: char| {
            character.is_ascii() || own.has(character) || !self.symbols.has(character)
        };
        let mut rest = text;
        std::iter::from_fn(move || {
            let of_own = is_own(rest.chars().next()?);
            let end = rest.find(|character| is_own(character) != of_own);
            let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
            rest = after;
            Some((if of_own { own } else { &self.symbols }, part))
        })
    }

    /// One line as it is drawn.
    pub fn runs<'t>(&self, line: &'t str, weight: Weight) -> Vec<TextRun<'t>> {
        self.parts(line, weight)
            .map(|(typeface, text)| TextRun {
                font: typeface.font.clone(),
                text,
                glyphs: typeface.shape(text),
            })
            .collect()
    }

    /// How wide a line is, in points.
    pub fn width(&self, line: &str, weight: Weight, size: f32) -> f32 {
        let advances = self
            .parts(line, weight)
            .map(|(typeface, text)| typeface.advance(text));
        advances.sum::<f32>() * size
    }

    /// What stands as codes in what was wrapped.
    pub fn coded(&self) -> Coded {
        self.coded.get()
    }

    /// Breaks text into lines no wider than `width`: at its line ends, between words, after the
    /// hyphens of compounds, and inside a word only where the word alone is too wide.
    pub fn wrap(&self, text: &str, weight: Weight, size: f32, width: f32) -> Vec<String> {
        let widest = f64::from(width / size);
        let mut lines = Vec::new();
        let (text, coded) = self.printable(text, weight);
        let before = self.coded.get();
        self.coded.set(Coded {
            marks: before.marks.saturating_add(coded.marks),
            characters: before.characters.saturating_add(coded.characters),
        });
        for paragraph in text.trim_end().split('\n') {
            let measured = self.measure(paragraph, weight);
            let mut line = String::new();
            let mut taken = 0.0;
            let mut start = 0;
            for word in words(paragraph) {
                let letters = word.trim_end_matches(' ');
                let end = start + letters.len();
                let ink = measured.width(start, end);
                if taken + ink > widest && !line.is_empty() {
                    let done = finished(&mut line);
                    // Spaces alone would only push what follows beyond the margin.
                    lines.extend(Some(done).filter(|done| !done.is_empty()));
                    taken = 0.0;
                }
                if ink > widest {
                    line.clear();
                    taken = 0.0;
                    // A long id is cut where it is divided, if it can be.
                    for part in letters.split_inclusive(['-', '/', '.', '_']) {
                        for (from, to) in measured.cut(start, start + part.len(), widest) {
                            let wide = measured.width(from, to);
                            if !line.is_empty() && taken + wide > widest {
                                lines.push(finished(&mut line));
                                taken = 0.0;
                            }
                            line.push_str(paragraph.get(from..to).unwrap_or_default());
                            taken += wide;
                        }
                        start += part.len();
                    }
                } else {
                    line.push_str(letters);
                    taken += ink;
                }
                let spaces = word.get(letters.len()..).unwrap_or_default();
                line.push_str(spaces);
                start = end + spaces.len();
                taken += measured.width(end, start);
            }
            lines.push(finished(&mut line));
        }
        lines
    }

    /// One line that fits, cut with an ellipsis where it must be.
    pub fn fit(&self, text: &str, weight: Weight, size: f32, width: f32) -> String {
        // More than any line has room for.
        let end = text
            .char_indices()
            .nth(MEASURED_AT_ONCE)
            .map_or(text.len(), |(at, _)| at);
        let (text, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let text = self.printable(text, weight).0.replace('\n', " ");
        if rest.is_empty() && self.width(&text, weight, size) <= width {
            return text;
        }
        let ellipsis = self.width("…", weight, size);
        let measured = self.measure(&text, weight);
        let parts = measured.cut(0, text.len(), f64::from((width - ellipsis) / size));
        let part = parts.first().and_then(|(from, to)| text.get(*from..*to));
        let mut line = part.unwrap_or_default().trim_end().to_owned();
        line.push('…');
        line
    }

    /// Measures a paragraph, piece by piece.
    fn measure(&self, paragraph: &str, weight: Weight) -> TextMeasure {
        let mut measured = TextMeasure::default();
        let (mut start, mut end) = (0, 0);
        for word in words(paragraph) {
            end += word.len();
            if end - start >= MEASURED_AT_ONCE {
                self.measure_piece(paragraph.get(start..end), start, weight, &mut measured);
                start = end;
            }
        }
        self.measure_piece(paragraph.get(start..end), start, weight, &mut measured);
        measured.before.push(measured.total);
        measured
    }

    fn measure_piece(
        &self,
        piece: Option<&str>,
        start: usize,
        weight: Weight,
        measured: &mut TextMeasure,
    ) {
        let Some(piece) = piece.filter(|it| !it.is_empty()) else {
            return;
        };
        measured.before.resize(start + piece.len(), f64::NAN);
        let mut start = start;
        for (typeface, part) in self.parts(piece, weight) {
            let shaped = typeface.shaped(part);
            for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
                let at = start + info.cluster as usize;
                if let Some(before) = measured.before.get_mut(at).filter(|it| it.is_nan()) {
                    *before = measured.total;
                }
                measured.total += f64::from(typeface.em(position.x_advance));
            }
            start += part.len();
        }
    }

    /// The text with one kind of line end, and with only characters that the fonts can show, each other one as its
    /// code: PDF/A forbids the glyph `.notdef`, and an empty box would look like one that nobody ticked.
    fn printable(&self, text: &str, weight: Weight) -> (String, Coded) {
        let typeface = self.typeface(weight);
        let mut printable = String::with_capacity(text.len());
        let has = |character: char| {
            !character.is_control() && (typeface.has(character) || self.symbols.has(character))
        };
        let mut marks = 0_usize;
        let mut coded = Coded::default();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if typeface.is_mark(character) {
                marks += 1;
                if marks > MARKS {
                    let mut count = 1;
                    let mut all_same = true;
                    while let Some(more) = characters.next_if(|it| typeface.is_mark(*it)) {
                        all_same &= more == character;
                        count += 1;
                    }
                    coded.marks += count;
                    let more = if all_same { "" } else { "…" };
                    let code = u32::from(character);
                    printable.push_str(&format!("[U+{code:04X}{more} × {count}]"));
                    continue;
                }
            } else {
                marks = 0;
            }
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
                known if has(known) => printable.push(known),
                other => {
                    let simpler = || compatible(other).filter(|it| it.chars().all(has));
                    let shown = alike(other).map(String::from).or_else(simpler);
                    match shown {
                        Some(signs) => printable.push_str(&signs),
                        None => {
                            coded.characters += 1;
                            let likely = likely(other).map(|sign| format!(" : {sign}"));
                            let likely = likely.unwrap_or_default();
                            printable.push_str(&format!("[U+{:04X}{likely}]", u32::from(other)));
                        }
                    }
                }
            }
        }
        (printable, coded)
    }
}

/// The plain letters of a character that Unicode has only for other character sets: `㎎`, `％`, `ﬁ`. What is raised,
/// lowered or circled would say something else without that.
fn compatible(character: char) -> Option<String> {
    let is_styled = matches!(character,
        '\u{AA}' | '\u{BA}' | '\u{2B0}'..='\u{2B8}' | '\u{2E0}'..='\u{2E4}' | '\u{1D2C}'..='\u{1D6A}' | '\u{1D78}'
        | '\u{1D9B}'..='\u{1DBF}' | '\u{2070}'..='\u{209F}' | '\u{2120}'..='\u{2122}' | '\u{2460}'..='\u{2473}' | '\u{24B6}'..='\u{24FF}' | '\u{3244}'..='\u{325F}' | '\u{32B1}'..='\u{32BF}'
        | '\u{2C7C}'..='\u{2C7D}' | '\u{A69C}'..='\u{A69D}' | '\u{A770}' | '\u{A7F2}'..='\u{A7F9}'
        | '\u{AB5C}'..='\u{AB5F}' | '\u{10780}'..='\u{107BA}' | '\u{1F100}'..='\u{1F1FF}');
    let mut plain = character.nfkc().peekable();
    let is_other = plain.peek().is_some_and(|first| *first != character);
    (is_other && !is_styled).then(|| plain.collect())
}

/// What a code of the private use area most likely means, where word processors use it for several fonts: it stands
/// beside the code, and decides nothing.
fn likely(character: char) -> Option<&'static str> {
    Some(match character {
        // Wingdings and Wingdings 2.
        '\u{F04F}' | '\u{F051}' | '\u{F053}' | '\u{F078}' => "☒",
        '\u{F050}' => "✔",
        '\u{F052}' => "☑",
        // Symbol.
        '\u{F061}' => "α",
        '\u{F062}' => "β",
        '\u{F067}' => "γ",
        '\u{F06D}' => "µ",
        '\u{F0A3}' => "☐ ou ≤",
        '\u{F0B0}' => "°",
        '\u{F0B1}' => "±",
        '\u{F0B3}' => "≥",
        _ => return None,
    })
}

/// The sign that looks like one that no font has: those of Wingdings, which word processors put into the private use
/// area, and coloured ones. A code that means another sign in another such font is none of them.
fn alike(character: char) -> Option<char> {
    Some(match character {
        '\u{F0FC}' | '\u{1F5F8}' => '✔',
        '\u{2705}' | '\u{F0FE}' | '\u{1F5F9}' => '☑',
        '\u{F0FD}' | '\u{1F5F7}' => '☒',
        '\u{F0FB}' | '\u{274C}' | '\u{274E}' => '✘',
        '\u{F0A8}' | '\u{F06F}' | '\u{F071}' | '\u{F072}' => '☐',
        '\u{F0A7}' => '▪',
        '\u{F0B7}' | '\u{F06C}' => '•',
        '\u{F0D8}' => '➢',
        '\u{F0E0}' => '→',
        '\u{2B1B}' => '■',
        _ => return None,
    })
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
        let too_long = |count: usize, character: char| count >= LONGEST_WORD && !is_mark(character);
        let end = rest
            .char_indices()
            .find(|(_, character)| {
                let breaks = match previous {
                    Some(' ' | '\u{2009}' | '\u{3000}') if *character != ' ' => true,
                    // `Saint-Étienne` may break, `-3` and `10-12` may not.
                    Some('-' | '/')
                        if before.is_some_and(char::is_alphabetic) && character.is_alphabetic() =>
                    {
                        true
                    }
                    _ => too_long(count, *character),
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
        let face = FontRef::new(data).map_err(|_| FrcpError::Font)?;
        let font = Font::new(data.into(), 0).ok_or(FrcpError::Font)?;
        let shaping = ShaperData::new(&face);
        let plan = ShapePlan::new(
            &shaping.shaper(&face).build(),
            Direction::LeftToRight,
            Some(script::LATIN),
            None,
            &AS_WRITTEN,
        );
        let letters = face.charmap();
        let classes = face.gdef().ok().and_then(|gdef| gdef.glyph_class_def());
        let classes = classes.transpose().map_err(|_| FrcpError::Font)?;
        Ok(Self {
            face,
            shaping,
            plan,
            letters,
            classes,
            font,
        })
    }

    fn shaped(&self, text: &str) -> GlyphBuffer {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.set_direction(Direction::LeftToRight);
        buffer.set_script(script::LATIN);
        let options = ShapeOptions::new()
            .plan(Some(&self.plan))
            .features(&AS_WRITTEN);
        let shaper = self.shaping.shaper(&self.face).build();
        shaper.shape(buffer, options)
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

    fn has(&self, character: char) -> bool {
        let glyph = self.letters.map(character);
        glyph.is_some_and(|glyph| glyph.to_u32() != 0)
    }

    /// Whether it is drawn on the letter before it.
    fn is_mark(&self, character: char) -> bool {
        // Those below are letters and signs.
        if character < '\u{300}' {
            return false;
        }
        let class = |glyph| Some(self.classes.as_ref()?.get(glyph));
        let class = self.letters.map(character).and_then(class);
        is_mark(character) || class == Some(GlyphClassDef::Mark as u16)
    }
}

/// What a paragraph measures.
#[derive(Default)]
struct TextMeasure {
    /// By byte: how wide is what stands before it, where a letter with its marks begins there; one more for the end.
    before: Vec<f64>,
    total: f64,
}

impl TextMeasure {
    /// How wide is what stands before this byte, or before the next at which a letter begins.
    fn before(&self, at: usize) -> f64 {
        let from = self.before.get(at..).unwrap_or_default();
        let known = from.iter().find(|before| !before.is_nan());
        known.copied().unwrap_or(self.total)
    }

    fn width(&self, start: usize, end: usize) -> f64 {
        self.before(end) - self.before(start)
    }

    /// Cuts what stands between two bytes into parts that fit, each at least one letter with its marks.
    fn cut(&self, start: usize, end: usize, widest: f64) -> Vec<(usize, usize)> {
        let mut parts = Vec::new();
        let (mut from, mut last) = (start, start);
        let mut begun = self.before(start);
        let letters = (start..end).filter(|at| self.before.get(*at).is_some_and(|it| !it.is_nan()));
        for next in letters.skip(1).chain([end]) {
            if self.before(next) - begun > widest && last > from {
                parts.push((from, last));
                from = last;
                begun = self.before(from);
            }
            last = next;
        }
        parts.push((from, end));
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
    fn signs_look_like_what_was_sent_or_stand_as_codes() {
        for (sent, shown, characters) in [
            ("é≥≤µ°→–—œ✓", "é≥≤µ°→–—œ✓", 0),
            ("✔ ☑ ☐ ☒ ✘ ⩾ ⩽ ≧ ≦", "✔ ☑ ☐ ☒ ✘ ⩾ ⩽ ≧ ≦", 0),
            ("✅ \u{F0FC} \u{F0FE}", "☑ ✔ ☑", 0),
            ("\u{F0A8} \u{F06F}", "☐ ☐", 0),
            ("\u{F0FD} \u{F0FB}", "☒ ✘", 0),
            ("a\u{AD}\u{202E}\u{FEFF}b", "ab", 0),
            ("王", "[U+738B]", 1),
            (
                "5 ㎎ 3㎜ 40 ％ RE ＋ ﬁn ㎍/㎗ Ａ",
                "5 mg 3mm 40 % RE + ﬁn μg/dl A",
                0,
            ),
            ("㎡ ㎣ ℃", "m2 mm3 ℃", 0),
            ("⒈ ⑴ ⓵ ㉑ ①", "1. (1) [U+24F5] [U+3251] ①", 2),
            (
                "a\u{0}b\u{F0A3} \u{F078} \u{F052} \u{F0B3}\u{F0FF}",
                "a[U+0000]b[U+F0A3 : ☐ ou ≤] [U+F078 : ☒] [U+F052 : ☑] [U+F0B3 : ≥][U+F0FF]",
                6,
            ),
        ] {
            for weight in [Weight::Regular, Weight::Bold] {
                let fonts = Fonts::load().unwrap();
                assert_eq!(fonts.wrap(sent, weight, 10.0, 500.0), [shown]);
                assert_eq!(fonts.coded().characters, characters, "{sent}");
            }
        }
    }

    #[test]
    fn every_character_has_a_glyph() {
        let fonts = Fonts::load().unwrap();
        for weight in [Weight::Regular, Weight::Bold] {
            let all: String = ('\0'..='\u{FFFF}').chain(['😀', '\u{10FFFF}']).collect();
            let shown: std::collections::BTreeSet<char> =
                fonts.printable(&all, weight).0.chars().collect();
            assert!(shown.len() > 2000 && !shown.contains(&'\r'));
            for character in shown.into_iter().filter(|character| *character != '\n') {
                let character = character.to_string();
                let runs = fonts.runs(&character, weight);
                let mut glyphs = runs.iter().flat_map(|run| &run.glyphs).peekable();
                assert!(
                    glyphs.peek().is_some() && glyphs.all(|glyph| glyph.glyph_id.to_u32() != 0),
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
        let text = "Cafe\u{301} -> ☑ fin ☐☒ 2x3 ✔";
        let runs = fonts.runs(text, Weight::Regular);
        assert_eq!(runs.iter().map(|run| run.text).collect::<String>(), text);
        for run in runs {
            let mut covered = 0;
            for glyph in &run.glyphs {
                assert!(glyph.text_range.start <= covered && glyph.text_range.end >= covered);
                covered = glyph.text_range.end;
            }
            assert_eq!(covered, run.text.len());
        }
    }
}
