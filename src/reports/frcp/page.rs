//! Pages: the flow of rows down A4 sheets, and their drawing as a tagged PDF/A-2b.
//!
//! Everything on a page is a row of cells with lines: a paragraph, a table row, the decision's
//! box. Rows are first placed on [`Sheet`]s; when their number is known, all are drawn.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use krilla::color::rgb;
use krilla::configure::{Archival, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect, Size, Transform};
use krilla::image::Image;
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;
use krilla::tagging::{
    Artifact, ArtifactType, ContentTag, Identifier, SpanTag, TableHeaderScope, Tag, TagGroup,
    TagKind, TagTree,
};
use krilla::{Document, SerializeSettings};

use super::FrcpError;
use super::text::{Fonts, Weight};
use crate::config::layout::{Colour, Layout};

/// What is free at each side of a cell, in points.
const CELL_MARGIN: f32 = 6.0;

/// A4 in points.
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
const POINTS_PER_MILLIMETRE: f32 = 72.0 / 25.4;
/// Where the text begins on the first sheet, on the others below the running head, and ends.
const FIRST_TOP: f32 = 44.0;
const TOP: f32 = 62.0;
const BOTTOM: f32 = HEIGHT - 56.0;
/// The box that the logo fills as far as its shape allows, and what is kept free left of it.
const LOGO_TOP: f32 = 40.0;
const LOGO_WIDTH: f32 = 142.0;
const LOGO_HEIGHT: f32 = 48.0;
const BESIDE_LOGO: f32 = 14.0;
/// A picture of a form is at most so high, and a pixel of it at most so large, as on a screen of 96 to an inch.
const TALLEST_PICTURE: f32 = 320.0;
const POINTS_PER_PIXEL: f32 = 0.75;
/// A head of more lines stands once, as the first row of its table.
const TALLEST_HEAD: usize = 4;
/// Line height and the distance of the first baseline, as parts of the type size.
const LEADING: f32 = 1.42;
const BASELINE: f32 = 1.06;

pub(super) const INK: Colour = Colour::new(0x1F, 0x25, 0x2B);
pub(super) const FAINT: Colour = Colour::new(0x5B, 0x67, 0x73);
const HAIRLINE: Colour = Colour::new(0xD5, 0xDB, 0xE1);

/// How a line of text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub weight: Weight,
    pub size: f32,
    pub colour: Colour,
}

/// A node of the tag tree, by its place in [`Composer::nodes`].
pub(super) type NodeId = usize;

struct Node {
    tag: TagKind,
    children: Vec<NodeId>,
    leaves: Vec<Identifier>,
}

/// A line placed in a cell.
struct CellLine {
    text: String,
    style: Style,
    node: Option<NodeId>,
    /// Space below it.
    gap: f32,
}

/// A column of lines that begins `x` points right of the left margin.
pub(super) struct Cell {
    x: f32,
    lines: Vec<CellLine>,
}

/// What surrounds a row.
#[derive(Default, Clone, Copy)]
pub(super) struct Frame {
    /// Colour behind the row.
    pub background: Option<Colour>,
    /// A bar along its left edge.
    pub bar: Option<Colour>,
    /// A hairline below it.
    pub ruled: bool,
    /// Space above and below the lines.
    pub padding: f32,
}

/// A column of a table.
pub(super) struct TableColumn<'a> {
    pub title: &'a str,
    /// Its share of the width.
    pub share: f32,
}

/// The text of one table cell.
pub(super) struct TableCell<'a> {
    pub text: &'a str,
    pub style: Style,
    pub indent: f32,
}

/// The head of a table, to be repeated.
struct Head {
    style: Style,
    titles: Vec<(f32, Vec<String>)>,
}

/// What is to stay with what follows it: headings, and the head of a table.
#[derive(Clone, Copy)]
struct HeadBlock {
    /// The sheet, and where on it what is held begins.
    sheet: usize,
    marks: usize,
    y: f32,
}

enum Mark {
    Line {
        x: f32,
        baseline: f32,
        line: CellLine,
    },
    Area {
        area: [f32; 4],
        colour: Colour,
    },
    Picture {
        area: [f32; 4],
        node: NodeId,
        image: Image,
    },
}

impl Mark {
    fn shift(&mut self, by: f32) {
        match self {
            Self::Line { baseline, .. } => *baseline += by,
            Self::Area { area, .. } | Self::Picture { area, .. } => area[1] += by,
        }
    }
}

#[derive(Default)]
struct Sheet {
    marks: Vec<Mark>,
}

struct Bookmark {
    level: u16,
    text: String,
    sheet: usize,
    y: f32,
}

/// What stands at the edges of the sheets and in the PDF's own description.
pub(super) struct PageEdges<'a> {
    pub head: &'a str,
    pub foot: [&'a str; 2],
    pub page: &'a str,
    pub metadata: Metadata,
}

/// Places rows on sheets.
pub(super) struct Composer<'a> {
    pub fonts: Fonts,
    layout: &'a Layout,
    done: Vec<Sheet>,
    sheet: Sheet,
    y: f32,
    /// The width that the logo takes while text stands beside it, and where it ends.
    logo: Option<(f32, f32)>,
    /// Whether nothing stands below the last heading yet.
    headed: bool,
    held: Option<HeadBlock>,
    nodes: Vec<Node>,
    bookmarks: Vec<Bookmark>,
}

impl<'a> Composer<'a> {
    pub fn new(layout: &'a Layout) -> Result<Self, FrcpError> {
        Ok(Self {
            fonts: Fonts::load()?,
            layout,
            done: Vec::new(),
            sheet: Sheet::default(),
            y: FIRST_TOP,
            logo: None,
            headed: false,
            held: None,
            nodes: Vec::new(),
            bookmarks: Vec::new(),
        })
    }

    /// The ordinary text.
    pub fn body(&self) -> Style {
        Style {
            weight: Weight::Regular,
            size: self.layout.text_size,
            colour: INK,
        }
    }

    /// The ordinary text in bold.
    pub fn strong(&self) -> Style {
        Style {
            weight: Weight::Bold,
            ..self.body()
        }
    }

    /// Captions and small print.
    pub fn small(&self) -> Style {
        Style {
            weight: Weight::Regular,
            size: self.layout.text_size * 0.82,
            colour: FAINT,
        }
    }

    fn left(&self) -> f32 {
        self.layout.margin * POINTS_PER_MILLIMETRE
    }

    /// The width between the margins.
    pub fn width(&self) -> f32 {
        WIDTH - 2.0 * self.left()
    }

    /// The width that a word takes in a table, with what is free around it.
    pub fn cell_width(&self, word: &str, style: Style) -> f32 {
        self.fonts.width(word, style.weight, style.size) + 2.0 * CELL_MARGIN + 0.5
    }

    /// The width for text, beside the logo or below it.
    fn free_width(&self) -> f32 {
        self.width() - self.logo.map_or(0.0, |(taken, _)| taken)
    }

    /// The operator's logo, if there is one; text stands beside it until [`Self::below_logo`].
    pub fn logo(&mut self, alternative: &str) {
        let Some(image) = self.layout.picture.clone() else {
            return;
        };
        let (width, height) = image.size();
        let (width, height) = (width as f32, height as f32);
        let scale = (LOGO_WIDTH / width).min(LOGO_HEIGHT / height);
        let (width, height) = (width * scale, height * scale);
        let node = self.node(None, Tag::Figure(Some(alternative.to_owned())));
        let left = self.left() + self.width() - width;
        let area = [left, LOGO_TOP, width, height];
        self.sheet.marks.push(Mark::Picture { area, node, image });
        self.logo = Some((width + BESIDE_LOGO, LOGO_TOP + height));
    }

    /// Text has the whole width again.
    pub fn below_logo(&mut self) {
        if let Some((_, bottom)) = self.logo.take()
            && self.done.is_empty()
        {
            self.y = self.y.max(bottom);
        }
    }

    /// A new child of the document, or of `parent`.
    pub fn node(&mut self, parent: Option<NodeId>, tag: impl Into<TagKind>) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node {
            tag: tag.into(),
            children: Vec::new(),
            leaves: Vec::new(),
        });
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
            parent.children.push(id);
        }
        id
    }

    /// A cell of wrapped text.
    pub fn cell(&self, x: f32, width: f32, text: &str, style: Style, node: Option<NodeId>) -> Cell {
        let lines = self.fonts.wrap(text, style.weight, style.size, width);
        Cell {
            x,
            lines: lines
                .into_iter()
                .map(|text| CellLine {
                    text,
                    style,
                    node,
                    gap: 0.0,
                })
                .collect(),
        }
    }

    /// Empty space, which disappears at the top of a sheet.
    pub fn space(&mut self, height: f32) {
        if !self.sheet.marks.is_empty() {
            self.y += height;
        }
    }

    /// Goes to the next sheet unless `height` is left on this one.
    pub fn keep(&mut self, height: f32) {
        if self.y + height > BOTTOM {
            self.turn(None);
        }
    }

    /// Holds what stands from here on until something follows it.
    fn hold(&mut self) -> HeadBlock {
        let here = HeadBlock {
            sheet: self.done.len(),
            marks: self.sheet.marks.len(),
            y: self.y,
        };
        *self.held.get_or_insert(here)
    }

    /// Goes on with the next sheet: below what is held, which comes along, else below the head of the table.
    fn turn(&mut self, head: Option<&Head>) {
        let held = self.held.take();
        let held = held.filter(|it| it.sheet == self.done.len() && it.marks > 0);
        let Some(held) = held else {
            self.next_sheet();
            if let Some(head) = head {
                self.head(head, &[]);
            }
            return;
        };
        let mut marks = self.sheet.marks.split_off(held.marks);
        let by = TOP - held.y;
        marks.iter_mut().for_each(|mark| mark.shift(by));
        let y = self.y + by;
        self.next_sheet();
        self.y = y;
        self.sheet.marks = marks;
        for bookmark in self.bookmarks.iter_mut().rev() {
            if bookmark.sheet != held.sheet || bookmark.y < held.y {
                break;
            }
            bookmark.sheet += 1;
            bookmark.y += by;
        }
        self.held = Some(HeadBlock {
            sheet: self.done.len(),
            marks: 0,
            y: TOP,
        });
    }

    fn next_sheet(&mut self) {
        self.done.push(std::mem::take(&mut self.sheet));
        self.y = TOP;
    }

    /// A heading that stays with what follows it, and its entry in the reader's outline.
    pub fn heading(&mut self, level: u16, text: &str) {
        let size = self.layout.text_size
            * match level {
                1 => 1.9,
                2 => 1.25,
                3 => 1.08,
                _ => 1.0,
            };
        let style = Style {
            weight: Weight::Bold,
            size,
            colour: if level > 3 { INK } else { self.layout.accent },
        };
        self.space(match level {
            1 => 0.0,
            2 => size * 1.25,
            _ if self.headed => size * 0.4,
            _ => size * 0.9,
        });
        let body = self.layout.text_size * LEADING;
        self.keep(size * LEADING + 4.0 * body);
        let held = self.hold();
        if level > 1 {
            self.bookmarks.push(Bookmark {
                level,
                text: self.fonts.fit(text, style.weight, 1.0, 60.0),
                sheet: self.done.len(),
                y: self.y,
            });
        }
        let heading = Tag::Hn(
            NonZeroU16::new(level).unwrap_or(NonZeroU16::MIN),
            Some(text.chars().take(200).collect()),
        );
        let node = self.node(None, heading);
        let cell = self.cell(0.0, self.free_width(), text, style, Some(node));
        self.row(vec![cell], Frame::default(), None);
        if level == 2 {
            self.rule(self.layout.accent, 0.8);
        }
        self.space(size * 0.3);
        self.headed = true;
        self.held = Some(held);
    }

    /// Small print that stays with what follows it.
    pub fn caption(&mut self, text: &str) {
        let held = self.hold();
        self.paragraph(text, self.small());
        self.held = Some(held);
    }

    /// A picture as wide as the page lets it, never larger than on a screen, with its caption below.
    pub fn figure(&mut self, caption: &str, image: &Image) {
        let (width, height) = image.size();
        let (width, height) = (width as f32, height as f32);
        let scale = (self.width() / width)
            .min(TALLEST_PICTURE / height)
            .min(POINTS_PER_PIXEL);
        let (width, height) = (width * scale, height * scale);
        self.space(6.0);
        self.keep(height + 4.0 * self.small().size * LEADING);
        let alternative = caption.chars().take(200).collect();
        let node = self.node(None, Tag::Figure(Some(alternative)));
        let area = [self.left(), self.y, width, height];
        let image = image.clone();
        self.sheet.marks.push(Mark::Picture { area, node, image });
        self.y += height + 3.0;
        self.headed = false;
        self.held = None;
        self.paragraph(caption, self.small());
        self.space(4.0);
    }

    /// A line across the page.
    pub fn rule(&mut self, colour: Colour, thickness: f32) {
        let area = [self.left(), self.y + 1.5, self.width(), thickness];
        self.sheet.marks.push(Mark::Area { area, colour });
        self.y += 1.5 + thickness;
    }

    /// Text across the page; nothing for an empty one.
    pub fn paragraph(&mut self, text: &str, style: Style) {
        if text.trim().is_empty() {
            return;
        }
        let node = self.node(None, Tag::P);
        let cell = self.cell(0.0, self.free_width(), text, style, Some(node));
        self.row(vec![cell], Frame::default(), None);
    }

    /// Pairs of a caption and its value, several beside each other on a tinted ground.
    pub fn card(&mut self, across: usize, pairs: &[(&str, String)]) {
        let padding = self.layout.text_size * 0.45;
        let frame = Frame {
            background: Some(self.layout.accent.tint(16)),
            padding,
            ..Frame::default()
        };
        let column = (self.width() - 16.0) / across as f32;
        for group in pairs.chunks(across) {
            let mut cells = Vec::new();
            let mut x = 10.0;
            for (caption, value) in group {
                let node = self.node(None, Tag::P);
                let inner = column - 10.0;
                let mut cell = self.cell(x, inner, caption, self.small(), Some(node));
                cell.lines
                    .extend(self.cell(x, inner, value, self.strong(), Some(node)).lines);
                cells.push(cell);
                x += column;
            }
            self.row(cells, frame, None);
        }
    }

    /// A framed text under its heading, set apart from everything else.
    pub fn framed(&mut self, heading: &str, text: &str, style: Style) {
        let size = self.layout.text_size;
        self.space(size * 1.6);
        self.keep(size * LEADING * 5.0);
        let frame = Frame {
            background: Some(self.layout.accent.tint(26)),
            bar: Some(self.layout.accent),
            padding: size * 0.9,
            ..Frame::default()
        };
        let heading_style = Style {
            weight: Weight::Bold,
            size: size * 1.25,
            colour: self.layout.accent,
        };
        self.bookmarks.push(Bookmark {
            level: 2,
            text: self.fonts.fit(heading, Weight::Bold, 1.0, 60.0),
            sheet: self.done.len(),
            y: self.y,
        });
        let node = self.node(
            None,
            Tag::Hn(NonZeroU16::MIN.saturating_add(1), Some(heading.to_owned())),
        );
        let inner = self.width() - 28.0;
        let mut cell = self.cell(16.0, inner, heading, heading_style, Some(node));
        if let Some(last) = cell.lines.last_mut() {
            last.gap = size * 0.35;
        }
        let node = self.node(None, Tag::P);
        cell.lines
            .extend(self.cell(16.0, inner, text, style, Some(node)).lines);
        self.row(vec![cell], frame, None);
    }

    /// A table whose head stands again on every sheet that it reaches.
    pub fn table<'e>(
        &mut self,
        columns: &[TableColumn],
        rows: impl Iterator<Item = Vec<TableCell<'e>>>,
    ) {
        let padding = self.layout.text_size * 0.32;
        let table = self.node(None, Tag::Table);
        let head_row = self.node(Some(table), Tag::THead);
        let head_row = self.node(Some(head_row), Tag::TR);
        let body = self.node(Some(table), Tag::TBody);

        let mut placed = Vec::new();
        let mut x = 0.0;
        for column in columns {
            let width = column.share * self.width();
            placed.push((x + CELL_MARGIN, width - 2.0 * CELL_MARGIN));
            x += width;
        }
        let style = Style {
            weight: Weight::Bold,
            ..self.small()
        };
        let mut head = Head {
            style,
            titles: Vec::new(),
        };
        let mut nodes = Vec::new();
        for (column, (x, width)) in columns.iter().zip(&placed) {
            let lines = self
                .fonts
                .wrap(column.title, style.weight, style.size, *width);
            head.titles.push((*x, lines));
            nodes.push(self.node(Some(head_row), Tag::TH(TableHeaderScope::Column)));
        }
        let tallest = head.titles.iter().map(|(_, lines)| lines.len()).max();
        let has_head = columns.iter().any(|column| !column.title.trim().is_empty());
        let held = self.hold();
        if has_head {
            self.head(&head, &nodes);
            self.held = Some(held);
        }
        let repeated = has_head && tallest.is_some_and(|lines| lines <= TALLEST_HEAD);

        let frame = Frame {
            ruled: true,
            padding,
            ..Frame::default()
        };
        for entries in rows {
            let row = self.node(Some(body), Tag::TR);
            let mut cells = Vec::new();
            for (index, (entry, (x, width))) in entries.iter().zip(&placed).enumerate() {
                let node = if index == 0 {
                    self.node(Some(row), Tag::TH(TableHeaderScope::Row))
                } else {
                    self.node(Some(row), Tag::TD)
                };
                cells.push(self.cell(
                    x + entry.indent,
                    width - entry.indent,
                    entry.text,
                    entry.style,
                    Some(node),
                ));
            }
            self.row(cells, frame, Some(&head).filter(|_| repeated));
        }
        self.held = None;
    }

    /// The head of a table; without nodes it is a repetition, which a screen reader passes over.
    fn head(&mut self, head: &Head, nodes: &[NodeId]) {
        let nodes = nodes.iter().copied().map(Some);
        let cells = head
            .titles
            .iter()
            .zip(nodes.chain(std::iter::repeat(None)))
            .map(|((x, lines), node)| Cell {
                x: *x,
                lines: lines
                    .iter()
                    .map(|text| CellLine {
                        text: text.clone(),
                        style: head.style,
                        node,
                        gap: 0.0,
                    })
                    .collect(),
            })
            .collect();
        let frame = Frame {
            background: Some(self.layout.accent.tint(38)),
            padding: self.layout.text_size * 0.25,
            ..Frame::default()
        };
        self.row(cells, frame, None);
    }

    /// Places cells beside each other. A row that does not fit goes on over the next sheets, below
    /// the repeated head; only a short one moves to the next sheet as a whole.
    fn row(&mut self, cells: Vec<Cell>, frame: Frame, head: Option<&Head>) {
        self.headed = false;
        let count = cells.iter().map(|cell| cell.lines.len()).max().unwrap_or(0);
        // Lines beside each other share a baseline, whatever their sizes.
        let lines: Vec<(f32, f32)> = (0..count)
            .map(|index| {
                let lines = cells.iter().filter_map(|cell| cell.lines.get(index));
                lines.fold((0.0, 0.0), |(size, gap), line| {
                    (line.style.size.max(size), line.gap.max(gap))
                })
            })
            .collect();
        let height = |&(size, gap): &(f32, f32)| size * LEADING + gap;
        let whole = lines.iter().map(height).sum::<f32>() + 2.0 * frame.padding;
        // A longer row begins here only if some lines of it have room.
        let start = match whole < (BOTTOM - TOP) / 4.0 {
            true => whole,
            false => lines.iter().take(3).map(height).sum::<f32>() + 2.0 * frame.padding,
        };
        if self.y + start > BOTTOM {
            self.turn(head);
        }
        self.held = None;
        let mut columns: Vec<_> = cells
            .into_iter()
            .map(|cell| (cell.x, cell.lines.into_iter()))
            .collect();
        let mut heights = lines.iter().peekable();
        while heights.peek().is_some() {
            let top = self.y;
            let mut y = top + frame.padding;
            let frame_at = self.sheet.marks.len();
            // At least one line, so that nothing can make this loop stand still.
            while let Some(line) = heights.next() {
                let baseline = y + line.0 * BASELINE;
                for (x, lines) in &mut columns {
                    if let Some(line) = lines.next() {
                        let x = self.left() + *x;
                        self.sheet.marks.push(Mark::Line { x, baseline, line });
                    }
                }
                y += height(line);
                let next = heights.peek().map_or(0.0, |next| height(next));
                if next > 0.0 && y + next + frame.padding > BOTTOM {
                    break;
                }
            }
            self.y = y + frame.padding;
            self.frame(frame, top, frame_at);
            if heights.peek().is_some() {
                self.turn(head);
            }
        }
    }

    /// Draws a row's frame from `top` to here, behind the marks from `first` on.
    fn frame(&mut self, frame: Frame, top: f32, first: usize) {
        let (left, width, height) = (self.left(), self.width(), self.y - top);
        let mut areas = Vec::new();
        if let Some(colour) = frame.background {
            areas.push(([left, top, width, height], colour));
        }
        if let Some(colour) = frame.bar {
            areas.push(([left, top, 4.0, height], colour));
        }
        if frame.ruled {
            areas.push(([left, self.y - 0.5, width, 0.5], HAIRLINE));
        }
        let areas = areas
            .into_iter()
            .map(|(area, colour)| Mark::Area { area, colour });
        self.sheet.marks.splice(first..first, areas);
    }

    /// Draws all sheets: the PDF.
    pub fn finish(mut self, edges: PageEdges) -> Result<Vec<u8>, FrcpError> {
        self.done.push(std::mem::take(&mut self.sheet));
        let sheets = std::mem::take(&mut self.done);
        let settings = SerializeSettings {
            configuration: ConfigurationBuilder::new()
                .with_archival_validator(Archival::A2_B)
                .finish()
                .map_err(|error| FrcpError::Pdf(format!("{error:?}")))?,
            ..SerializeSettings::default()
        };
        let mut document = Document::new_with(settings);
        let count = sheets.len();
        for (index, sheet) in sheets.into_iter().enumerate() {
            let number = index.saturating_add(1);
            let a4 = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(FrcpError::PageSize)?;
            let mut page = document.start_page_with(a4);
            let mut surface = page.surface();
            self.edges(&mut surface, &edges, number, count);
            for mark in sheet.marks {
                self.mark(&mut surface, mark);
            }
            surface.finish();
            page.finish();
        }
        document.set_metadata(edges.metadata);
        document.set_outline(outline(std::mem::take(&mut self.bookmarks)));
        document.set_tag_tree(tag_tree(self.nodes));
        document.finish().map_err(FrcpError::from)
    }

    fn mark(&mut self, surface: &mut Surface, mark: Mark) {
        match mark {
            Mark::Area { area, colour } => {
                artifact(surface, ArtifactType::Layout, |surface| {
                    fill(surface, area, colour);
                });
            }
            Mark::Picture { area, node, image } => {
                let [x, y, width, height] = area;
                let (Some(size), Some(node)) =
                    (Size::from_wh(width, height), self.nodes.get_mut(node))
                else {
                    return;
                };
                let leaf = surface.start_tagged(ContentTag::Other);
                surface.push_transform(&Transform::from_translate(x, y));
                surface.draw_image(image, size);
                surface.pop();
                surface.end_tagged();
                node.leaves.push(leaf);
            }
            Mark::Line { x, baseline, line } => {
                if line.text.is_empty() {
                    return;
                }
                let node = line.node.and_then(|node| self.nodes.get_mut(node));
                let Some(node) = node else {
                    artifact(surface, ArtifactType::PaginationOther, |surface| {
                        write(surface, &self.fonts, x, baseline, &line.text, line.style);
                    });
                    return;
                };
                let leaf = surface.start_tagged(ContentTag::Span(SpanTag::empty()));
                write(surface, &self.fonts, x, baseline, &line.text, line.style);
                surface.end_tagged();
                node.leaves.push(leaf);
            }
        }
    }

    /// The running head, from the second sheet on, and the foot.
    fn edges(&self, surface: &mut Surface, edges: &PageEdges, number: usize, count: usize) {
        let style = Style {
            size: self.small().size.min(8.0),
            ..self.small()
        };
        let fit = |text: &str, width| self.fonts.fit(text, style.weight, style.size, width);
        if number > 1 {
            artifact(surface, ArtifactType::Header, |surface| {
                let head = fit(edges.head, self.width());
                write(surface, &self.fonts, self.left(), 40.0, &head, style);
                fill(surface, [self.left(), 46.0, self.width(), 0.5], HAIRLINE);
            });
        }
        artifact(surface, ArtifactType::Footer, |surface| {
            let top = HEIGHT - 43.0;
            fill(surface, [self.left(), top, self.width(), 0.5], HAIRLINE);
            let page = fit(&format!("{} {number}/{count}", edges.page), 120.0);
            let taken = self.fonts.width(&page, style.weight, style.size);
            let right = self.left() + self.width() - taken;
            let mut baseline = top + 12.0;
            write(surface, &self.fonts, right, baseline, &page, style);
            for foot in edges.foot {
                let foot = fit(foot, self.width() - taken - 20.0);
                write(surface, &self.fonts, self.left(), baseline, &foot, style);
                baseline += 11.0;
            }
        });
    }
}

/// Content that is no part of what the document says.
fn artifact(surface: &mut Surface, kind: ArtifactType, draw: impl FnOnce(&mut Surface)) {
    surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(kind)));
    draw(surface);
    surface.end_tagged();
}

fn set_colour(surface: &mut Surface, colour: Colour) {
    surface.set_fill(Some(Fill {
        paint: rgb::Color::new(colour.red, colour.green, colour.blue).into(),
        opacity: NormalizedF32::ONE,
        rule: Default::default(),
    }));
}

fn fill(surface: &mut Surface, [x, y, width, height]: [f32; 4], colour: Colour) {
    let Some(area) = Rect::from_xywh(x, y, width, height) else {
        return;
    };
    let mut path = PathBuilder::new();
    path.push_rect(area);
    if let Some(path) = path.finish() {
        set_colour(surface, colour);
        surface.draw_path(&path);
    }
}

fn write(surface: &mut Surface, fonts: &Fonts, x: f32, y: f32, text: &str, style: Style) {
    set_colour(surface, style.colour);
    let mut x = x;
    for run in fonts.runs(text, style.weight) {
        let width: f32 = run.glyphs.iter().map(|glyph| glyph.x_advance).sum();
        surface.draw_glyphs(
            Point::from_xy(x, y),
            &run.glyphs,
            run.font,
            run.text,
            style.size,
            false,
        );
        x += width * style.size;
    }
}

/// The headings of level 2, with the deeper ones below them.
fn outline(bookmarks: Vec<Bookmark>) -> Outline {
    let mut nodes: Vec<OutlineNode> = Vec::new();
    for bookmark in bookmarks {
        let place = XyzDestination::new(bookmark.sheet, Point::from_xy(0.0, bookmark.y));
        let node = OutlineNode::new(bookmark.text, place);
        match nodes.last_mut() {
            Some(parent) if bookmark.level > 2 => parent.push_child(node),
            _ => nodes.push(node.with_open(true)),
        }
    }
    let mut outline = Outline::new();
    for node in nodes {
        outline.push_child(node);
    }
    outline
}

/// The tags, in reading order. Children come after their parent in the list, so taking the nodes
/// from the end finds the children of each complete.
fn tag_tree(nodes: Vec<Node>) -> TagTree {
    let mut groups: BTreeMap<NodeId, TagGroup> = BTreeMap::new();
    for (id, node) in nodes.into_iter().enumerate().rev() {
        let mut group = TagGroup::new(node.tag);
        for child in node.children {
            if let Some(child) = groups.remove(&child) {
                group.push(child);
            }
        }
        for leaf in node.leaves {
            group.push(leaf);
        }
        if !group.children.is_empty() {
            groups.insert(id, group);
        }
    }
    let mut tree = TagTree::new();
    for group in groups.into_values() {
        tree.push(group);
    }
    tree
}
