//! What of a narrative the report shows beside the coded rows: what these do not say, and where the two contradict each
//! other (interface.md 8).

use super::frcp::{NarrativePart, StatementRow};
use super::main_value::main_value;
use super::media::Pictures;
use super::words::same;
use crate::model::meaning::Meaning;
use crate::model::questionnaire::{Block, Section, Statement, TableRow};

/// What a row says, as the lines of a text are compared with it.
pub(super) struct RowText {
    label: String,
    /// The value and its lines, as they stand on the page.
    values: Vec<String>,
    /// What the statements around it are about: the nearest last.
    around: Vec<StatementContext>,
    /// The value alone, where there is one.
    main: Option<String>,
    /// What is denied, where something is: the value, and the texts that say it.
    denied: Vec<String>,
    negated: bool,
    /// Whether it is done or found: what is a goal, proposed or planned never stands for what is so.
    is_so: bool,
    /// Whether it speaks of the patient as things are ([`Statement::holds`]), and so do the statements around it.
    holds: bool,
}

/// What a statement is about that has others in it.
#[derive(Debug, Clone)]
pub(super) struct StatementContext {
    /// Its label, and its value where it has one.
    words: Vec<String>,
    /// Whether what stands in it may be so.
    holds: bool,
}

impl StatementContext {
    /// What this row of this statement is about.
    pub(super) fn of(statement: &Statement, row: &StatementRow) -> Self {
        let value = main_value(statement).filter(|_| !statement.negated);
        let words = [Some(row.label.as_str()), value.as_deref()];
        Self {
            words: as_cells(words.into_iter().flatten()),
            holds: statement.lets_hold(),
        }
    }
}

/// So many of the statements around a row say what it is about.
const NEAREST: usize = 8;

/// What a line of a text is to the rows of its section.
enum LineStanding {
    /// A row says it already.
    Told,
    /// A row says something else: this.
    Against(String),
    /// It stands for itself.
    Own,
}

impl RowText {
    /// What this row of this statement says.
    pub(super) fn of(
        statement: &Statement,
        row: &StatementRow,
        around: &[StatementContext],
    ) -> Self {
        let further = around.len().saturating_sub(NEAREST);
        let mut values = vec![as_cell(&row.value)];
        for line in row.value.lines() {
            values.push(as_cell(line));
            // `Date : 12/03/2019` says the date.
            let said = line.split_once(" : ").map(|(_, said)| as_cell(said));
            values.extend(said.filter(|_| !statement.negated));
        }
        values.extend(row.qualifier.as_deref().map(as_cell));
        values.retain(|said| !said.is_empty());
        Self {
            label: as_cell(&row.label),
            values,
            around: around.iter().skip(further).cloned().collect(),
            main: main_value(statement).map(|main| as_cell(&main)),
            denied: denied(statement),
            negated: statement.negated,
            is_so: matches!(statement.mood.as_deref(), None | Some("EVN")),
            holds: statement.holds() && around.iter().all(|it| it.holds),
        }
    }

    /// Whether the row says all of this: its label with its value, each once. A value or a label alone may belong to
    /// something else.
    fn contains_all(&self, cells: &[String]) -> bool {
        let is_label = |cell: &String| same(cell, &self.label);
        let is_said = |cell: &String| self.values.iter().any(|said| same(cell, said));
        let is_repeated = |(place, cell): (usize, &String)| {
            let further = cells.iter().skip(place.saturating_add(1));
            further.into_iter().any(|other| same(cell, other))
        };
        cells.len() > 1
            && cells.iter().any(is_label)
            && cells.iter().any(is_said)
            && cells.iter().all(|cell| is_label(cell) || is_said(cell))
            && !cells.iter().enumerate().any(is_repeated)
    }

    /// Whether the row, or a statement around it, says what a head says, as `Sein (droit)` says `Sein droit`.
    fn is_about(&self, head: &str) -> bool {
        let around = self.around.iter().flat_map(|around| &around.words);
        let words = tokens(head);
        let mut said = around.chain(&self.values).chain([&self.label]);
        said.any(|said| tokens(said) == words)
    }

    /// What these cells are to this row, in a table or below a title of this head.
    fn standing(&self, cells: &[String], head: &[String]) -> LineStanding {
        if !self.holds {
            return LineStanding::Own;
        }
        let answers_in_words = self.negated || self.main.as_deref().is_some_and(is_answer_in_words);
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| match tick(cell) {
                Some(Tick::Is(sign)) if answers_in_words => sign.to_owned(),
                _ => cell.clone(),
            })
            .collect();
        let cells = cells.as_slice();
        let is_label = |cell: &String| same(cell, &self.label);
        let says_head = |cell: &String| names_column(cell) || self.is_about(cell);
        if self.is_so && self.contains_all(cells) && head.iter().all(says_head) {
            return LineStanding::Told;
        }
        if !self.is_so && !self.negated {
            return LineStanding::Own;
        }
        let others: Vec<&str> = cells
            .iter()
            .filter(|cell| !is_label(cell))
            .map(String::as_str)
            .collect();
        // A cross alone means yes to one sender, and no to another.
        let is_cross = |cell: &&str| matches!(tick(cell), Some(Tick::Unclear));
        if answers_in_words && !others.is_empty() && others.iter().all(is_cross) {
            return LineStanding::Own;
        }
        if self.negated {
            if self.contains_all(cells) {
                return LineStanding::Own;
            }
            let said = |cell: &String| self.denied.iter().any(|denied| same(cell, denied));
            let is_about = cells.iter().any(|cell| is_label(cell) || said(cell));
            let denied = match &self.main {
                Some(main) => format!("NON : {main}"),
                None => "NON".to_owned(),
            };
            return match is_about && !cells.iter().any(|cell| denies(cell) || is_no(cell)) {
                true => LineStanding::Against(denied),
                false => LineStanding::Own,
            };
        }
        let (Some(main), false) = (&self.main, others.len() == cells.len()) else {
            return LineStanding::Own;
        };
        let is_meant = |cell: &&str| {
            let mut says = self.values.iter();
            says.any(|said| same(cell, said) || means_same(cell, said))
        };
        if others.iter().all(is_meant) {
            return LineStanding::Own;
        }
        // A box beside what is no yes or no says nothing of it.
        let is_mark = |cell: &&str| is_box(cell) || tick(cell).is_some() && has_a_word(main);
        if others.iter().all(is_mark) && !answers(main) {
            return LineStanding::Own;
        }
        let agrees = others.iter().any(|cell| agree(cell, main)) || agree(&others.join(" "), main);
        match agrees {
            true => LineStanding::Own,
            false => LineStanding::Against(main.clone()),
        }
    }
}

/// What a statement denies, in the words of its value and of the texts that it refers to.
fn denied(statement: &Statement) -> Vec<String> {
    if !statement.negated {
        return Vec::new();
    }
    let values = statement
        .codes
        .iter()
        .filter(|code| code.role.starts_with("value"));
    let texts = values.flat_map(|code| [code.label.as_deref(), code.text.as_deref()]);
    let texts = texts.chain([statement.value.as_deref(), statement.text.as_deref()]);
    let lines = texts.flatten().flat_map(str::lines);
    let mut denied = as_cells(lines.flat_map(|line| line.split(" | ")));
    denied.extend(main_value(statement).map(|main| as_cell(&main)));
    denied
}

/// Text as it is compared: its white space as one space, no colon at its end.
pub(super) fn as_cell(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.trim_end_matches([':', ' ']).to_owned()
}

/// Whether the head of a column only says that names or values stand in it, as it could in any table: nothing of it
/// is lost with a row.
fn names_column(head: &str) -> bool {
    const HEADS: [&str; 22] = [
        "champ",
        "champs",
        "description",
        "donnée",
        "données",
        "élément",
        "éléments",
        "examen",
        "information",
        "item",
        "libellé",
        "nom",
        "paramètre",
        "question",
        "réponse",
        "résultat",
        "résultats",
        "rubrique",
        "type",
        "valeur",
        "valeurs",
        "variable",
    ];
    HEADS.contains(&head.to_lowercase().as_str())
}

/// Whether two cells mean the same, however they are written; what stands in brackets behind one plays no part.
fn means_same(one: &str, other: &str) -> bool {
    let meanings = |text: &str| {
        let plain = text.split_once(" (").map_or(text, |(plain, _)| plain);
        [text, plain]
            .into_iter()
            .filter_map(Meaning::of)
            .collect::<Vec<_>>()
    };
    let others = meanings(other);
    let mut ones = meanings(one).into_iter();
    ones.any(|one| others.iter().any(|other| one.agrees(other)))
}

/// Whether a text says yes or no.
fn answers(text: &str) -> bool {
    matches!(Meaning::of(text), Some(Meaning::Answer(_)))
}

/// Whether a cell is a box, or a tick, and nothing else.
fn is_box(cell: &str) -> bool {
    answers(cell) && !cell.contains(char::is_alphanumeric)
}

/// What someone wrote into a box, or for one.
enum Tick {
    /// Ticked or not, as the sign for it.
    Is(&'static str),
    /// A cross, which may be either.
    Unclear,
}

/// Boxes that are made of letters, and the signs for them.
const BOXES: [(&str, &str); 8] = [
    ("[x]", "☑"),
    ("[X]", "☑"),
    ("(x)", "☑"),
    ("(X)", "☑"),
    ("[ ]", "☐"),
    ("[]", "☐"),
    ("( )", "☐"),
    ("()", "☐"),
];

fn tick(cell: &str) -> Option<Tick> {
    let of_letters = BOXES.iter().find(|(letters, _)| *letters == cell);
    match (cell, of_letters) {
        (_, Some((_, sign))) => Some(Tick::Is(sign)),
        ("x" | "X" | "×", _) => Some(Tick::Is("☑")),
        ("✗" | "✘" | "✕" | "✖" | "❌" | "\u{F0FB}", _) => Some(Tick::Unclear),
        _ => None,
    }
}

/// A line with the sign of a box in place of one that is made of letters.
fn with_sign(line: &str) -> String {
    for (letters, sign) in BOXES {
        if let Some(rest) = line.strip_prefix(letters).filter(|it| it.starts_with(' ')) {
            return format!("{sign}{rest}");
        }
        if let Some(rest) = line.strip_suffix(letters).filter(|it| it.ends_with(' ')) {
            return format!("{rest}{sign}");
        }
    }
    line.to_owned()
}

/// Whether a value answers with a word: a letter alone may be a name (the chromosome Y).
fn is_answer_in_words(value: &str) -> bool {
    answers(value) && value.chars().count() > 1
}

/// Whether a value has a word: beside a code, as T2, an X may be another one.
fn has_a_word(value: &str) -> bool {
    let mut words = value.split(|it: char| !it.is_alphabetic());
    words.any(|word| word.chars().count() > 3)
}

/// Positive or negative, where a text says nothing else: `+`, `++`, `négatives`.
fn polarity(text: &str) -> Option<bool> {
    let plain = text.trim_matches(['(', ')', '.', ' ']);
    let is_of = |sign: char| !plain.is_empty() && plain.chars().all(|it| it == sign);
    match stem(plain).as_str() {
        _ if is_of('+') => Some(true),
        "-" | "−" | "–" => Some(false),
        "POSITIF" => Some(true),
        "NEGATIF" => Some(false),
        _ => None,
    }
}

/// A word as it is compared, whichever its gender and number; what is no long word stays.
fn stem(word: &str) -> String {
    const SHORTEST: usize = 3;
    if !word.chars().all(char::is_alphabetic) || word.chars().count() <= SHORTEST {
        return word.to_owned();
    }
    let folded = crate::model::name::fold(word);
    let mut stem = match folded.strip_suffix("AUX") {
        Some(start) => format!("{start}AL"),
        None => folded,
    };
    while stem.len() > SHORTEST && stem.ends_with(['S', 'X', 'E']) {
        stem.pop();
    }
    if stem.ends_with('V') {
        stem.pop();
        stem.push('F');
    }
    for twice in ["LL", "NN", "TT"] {
        if stem.ends_with(twice) {
            stem.pop();
        }
    }
    stem
}

/// A line that says yes or no of something in one cell, as `☐ Métastase` and `Non fumeur` do: of what, and the answer.
fn answered(cell: &str) -> Option<[String; 2]> {
    const DENYING: [&str; 11] = [
        "non ",
        "pas de ",
        "pas d’",
        "pas d'",
        "absence de ",
        "absence d’",
        "absence d'",
        "aucun ",
        "aucune ",
        "sans ",
        "jamais ",
    ];
    let cell = with_sign(cell);
    let of_box = cell.split_once(' ').filter(|(mark, _)| is_box(mark));
    let behind = cell.rsplit_once(' ').filter(|(_, mark)| is_box(mark));
    let of_box = of_box.or(behind.map(|(about, mark)| (mark, about)));
    if let Some((mark, about)) = of_box {
        return Some([about, mark].map(as_cell));
    }
    let about = DENYING.iter().find_map(|word| {
        let (start, about) = cell.split_at_checked(word.len())?;
        (start.to_lowercase() == *word).then_some(about)
    })?;
    let about = about.trim_end_matches(['.', ' ']);
    Some([about, "Non"].map(as_cell))
}

/// The bound that an amount is, where a text begins with one.
fn bound(text: &str) -> Option<&'static str> {
    const BOUNDS: [(&str, &str); 6] = [
        ("<=", "≤"),
        (">=", "≥"),
        ("≤", "≤"),
        ("≥", "≥"),
        ("<", "<"),
        (">", ">"),
    ];
    let found = BOUNDS.iter().find(|(sign, _)| text.starts_with(sign));
    found.map(|(_, bound)| *bound)
}

/// Whether a cell can mean what a row says: one stands in the other as whole words, and both deny or neither.
fn agree(cell: &str, value: &str) -> bool {
    if means_same(cell, value) || is_no(value) && denies(cell) {
        return true;
    }
    if let (Some(one), Some(other)) = (polarity(cell), polarity(value)) {
        return one == other;
    }
    if bound(cell) != bound(value) {
        return false;
    }
    let stems = |text: &str| tokens(text).iter().map(|it| stem(it)).collect::<Vec<_>>();
    let (cell_words, value_words) = (stems(cell), stems(value));
    let within = |inner: &[String], outer: &[String]| {
        !inner.is_empty() && outer.windows(inner.len()).any(|part| part == inner)
    };
    denies(cell) == denies(value)
        && (within(&cell_words, &value_words) || within(&value_words, &cell_words))
}

/// The words of a text as they are compared: without case, brackets and colons.
fn tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(',', ".");
    // `pT₂` is `pT2`.
    let plain = |letter: char| match letter {
        '₀'..='₉' => (letter as u32)
            .checked_sub('₀' as u32)
            .and_then(|digit| char::from_digit(digit, 10))
            .unwrap_or(letter),
        other => other,
    };
    let text: String = text.chars().map(plain).collect();
    let words = text
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | ';' | ':'));
    // A full stop ends a sentence, and is no part of its last word.
    words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a text has words that others have not.
pub(super) fn has_more_words(text: &str, words: &str) -> bool {
    let plain = |text: &str| -> Vec<String> {
        let tokens = tokens(text).into_iter();
        tokens
            .map(|it| it.trim_end_matches('.').to_owned())
            .collect()
    };
    let known = plain(words);
    plain(text).iter().any(|word| !known.contains(word))
}

/// The titles within a text that stand above a line: what it says may hold only below them.
#[derive(Debug, Clone, Default)]
struct Titles {
    words: Vec<String>,
    /// Whether the line before was one.
    is_last: bool,
}

/// A title has at most so many letters; longer text is prose.
const LONGEST_TITLE: usize = 80;

impl Titles {
    /// Goes on to a line, or row, of these cells. Titles that follow each other at once hold together.
    fn follow(&mut self, cells: &[String], title: &str) {
        let [only] = cells else {
            self.is_last &= cells.is_empty();
            return;
        };
        let words = only.strip_prefix("- ").unwrap_or(only);
        let is_prose = words.chars().count() > LONGEST_TITLE
            || words.ends_with(['.', '?', '!', ';', ','])
            || words.contains(" : ");
        if is_prose {
            self.is_last = false;
            return;
        }
        if !self.is_last {
            self.words.clear();
        }
        self.is_last = true;
        // That of the section stands above its rows too.
        if !same(words, title) {
            self.words.push(words.to_owned());
        }
    }
}

fn is_no(text: &str) -> bool {
    Meaning::of(text) == Some(Meaning::Answer(false))
}

/// Whether a text denies something.
pub(super) fn denies(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "non", "pas", "aucun", "aucune", "absence", "absent", "absente", "sans", "ni", "no", "not",
        "jamais",
    ];
    let text = text.to_lowercase();
    text.split(|letter: char| !letter.is_alphanumeric())
        .any(|word| {
            WORDS.contains(&word) || word.starts_with("négati") || word.starts_with("negati")
        })
}

/// What the text of a section says and its statements do not, line by line and row by row: nothing of it may be
/// missing, and what is coded is not said twice.
pub(super) fn narrative(
    section: &Section,
    row_texts: &[RowText],
    pictures: &Pictures,
) -> Vec<NarrativePart> {
    let title = section.title.as_deref().or(section.label.as_deref());
    let title = title.map(as_cell).unwrap_or_default();
    let line = |line: &str, titles: &mut Titles, shown: &mut Vec<NarrativePart>| {
        let line = pictures.named(&without_value_sets(line));
        let cells = as_cells(line.split(" | "));
        let is_title = matches!(&cells[..], [only] if !row_texts.is_empty() && same(only, &title));
        titles.follow(&cells, &title);
        match standing(&cells, &titles.words, row_texts) {
            _ if is_title => {}
            LineStanding::Told => {}
            LineStanding::Own => shown.push(NarrativePart::Line(line)),
            LineStanding::Against(coded) => {
                shown.push(NarrativePart::Line(format!("{line} {}", differs(&coded))));
            }
        }
    };
    let mut shown = Vec::new();
    let mut above = Titles::default();
    if section.blocks.is_empty() {
        let text = section.text.as_deref().unwrap_or_default();
        text.lines().for_each(|it| line(it, &mut above, &mut shown));
    }
    for block in &section.blocks {
        match block {
            Block::Line(text) => line(text, &mut above, &mut shown),
            Block::Table(rows) => {
                let heads = rows.iter().take_while(|row| row.is_head);
                let mut heads = as_cells(heads.flat_map(|row| &row.cells).map(String::as_str));
                heads.retain(|head| !same(head, &title));
                heads.extend(above.words.iter().cloned());
                let (titles, rows) = titled(rows);
                let own = &mut Titles::default();
                titles.iter().for_each(|title| line(title, own, &mut shown));
                above.is_last = false;
                match table(rows, &heads, row_texts, pictures) {
                    (head, rows) if rows.is_empty() => {
                        let head: Vec<&str> = filled(&head).collect();
                        line(&head.join(" | "), own, &mut shown);
                    }
                    (head, rows) => shown.push(NarrativePart::Table { head, rows }),
                }
            }
        }
    }
    shown.retain(|it| !matches!(it, NarrativePart::Line(line) if line.trim().is_empty()));
    shown
}

/// The titles that stand in the head of a table above what stands in its columns, and the rest of its rows.
fn titled(rows: &[TableRow]) -> (Vec<String>, &[TableRow]) {
    let count = rows.iter().take_while(|row| row.is_head).count();
    // The last row of several says what stands in the columns; a cell alone says what the table is about.
    let is_title = |row: &TableRow| filled(&row.cells).count() < 2;
    let titles = match rows.get(count.saturating_sub(1)) {
        Some(last) if count > 0 && !is_title(last) => count - 1,
        _ => count,
    };
    let (titles, rest) = rows.split_at_checked(titles).unwrap_or((&[], rows));
    let titles = titles
        .iter()
        .map(|row| filled(&row.cells).collect::<Vec<_>>().join(" | "));
    (titles.collect(), rest)
}

/// The head of a table, and those of its rows that say something, below all these heads, which is not coded.
fn table(
    rows: &[TableRow],
    heads: &[String],
    row_texts: &[RowText],
    pictures: &Pictures,
) -> (Vec<String>, Vec<Vec<String>>) {
    let written = |row: &TableRow| -> Vec<String> {
        let cells = row.cells.iter();
        cells
            .map(|cell| pictures.named(&without_value_sets(cell)))
            .collect()
    };
    let mut rows = rows.iter();
    let mut head = Vec::new();
    if let Some(first) = rows.clone().next().filter(|row| row.is_head) {
        head = written(first);
        rows.next();
    }
    let mut above = Titles::default();
    let columns = head.clone();
    let rows = rows.filter_map(|row| {
        let mut cells = written(row);
        let compared = as_cells(cells.iter().map(String::as_str));
        above.follow(&compared, "");
        let heads = [heads, above.words.as_slice()].concat();
        let standing = match answer_of_column(&cells, &columns) {
            // Which column is ticked is the answer; the row stays, whatever a coded row says.
            Some(answer) => match standing(&answer, &[], row_texts) {
                LineStanding::Told => LineStanding::Own,
                other => other,
            },
            None => standing(&compared, &heads, row_texts),
        };
        match standing {
            LineStanding::Told => None,
            LineStanding::Own => Some(cells),
            LineStanding::Against(coded) => {
                if let Some(last) = cells.iter_mut().rev().find(|cell| !cell.is_empty()) {
                    last.push_str(&format!(" {}", differs(&coded)));
                }
                Some(cells)
            }
        }
    });
    let rows = rows.collect();
    (head, rows)
}

/// What a row says whose only mark stands in a column of answers (`Oui`, `Non`): its first cell, and that answer.
fn answer_of_column(cells: &[String], columns: &[String]) -> Option<[String; 2]> {
    let about = as_cell(cells.first()?);
    let is_mark = |cell: &str| tick(cell).is_some() || matches!(cell, "☑" | "☒" | "✔" | "✓" | "✅");
    let mut filled = cells
        .iter()
        .zip(columns)
        .skip(1)
        .filter(|(cell, _)| !cell.trim().is_empty());
    let (mark, column) = filled.next()?;
    let is_answer = answers(&as_cell(column)) && is_mark(mark.trim()) && filled.next().is_none();
    (is_answer && !about.is_empty()).then(|| [about, as_cell(column)])
}

/// Cells as they are compared, without empty ones.
fn as_cells<'c>(cells: impl Iterator<Item = &'c str>) -> Vec<String> {
    cells.map(as_cell).filter(|cell| !cell.is_empty()).collect()
}

fn filled(cells: &[String]) -> impl Iterator<Item = &str> {
    cells
        .iter()
        .map(String::as_str)
        .filter(|cell| !cell.is_empty())
}

/// That a text says something else than what is coded.
pub(super) fn differs(coded: &str) -> String {
    format!("[diffère de la valeur codée : {coded}]")
}

/// A text without the names of the sets of values that senders put behind one (`Sein [JDV_Organe_CISIS]`): they are
/// parts of a schema, and say nothing of a patient.
pub(super) fn without_value_sets(text: &str) -> String {
    const SETS: [&str; 4] = ["JDV_", "TRE_", "TA_", "NOS_"];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let name = after.split_once(']').filter(|(name, _)| {
            SETS.iter().any(|set| name.starts_with(set)) && !name.contains(char::is_whitespace)
        });
        match name {
            Some((_, behind)) => {
                plain.push_str(before.trim_end_matches(' '));
                rest = behind;
            }
            None => {
                plain.push_str(before);
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Whether the text of a statement says another yes or no, sign or amount than its value.
pub(super) fn contradict(text: &str, value: &str) -> bool {
    let first = |text: &str| {
        let mut words = text.split(|letter: char| !letter.is_alphanumeric());
        words.find(|word| !word.is_empty()).map(str::to_lowercase)
    };
    let answer = |text: &str| match first(text)?.as_str() {
        "oui" | "yes" | "vrai" | "true" => Some(true),
        "non" | "no" | "faux" | "false" => Some(false),
        word if word.starts_with("positi") => Some(true),
        word if word.starts_with("négati") || word.starts_with("negati") => Some(false),
        _ => None,
    };
    if let (Some(text), Some(value)) = (answer(text), answer(value)) {
        return text != value;
    }
    match (Meaning::of(text), Meaning::of(value)) {
        (Some(text), Some(value)) => text.contradicts(&value),
        _ => false,
    }
}

/// What the cells of a line are to all rows. What is struck out, and answers of which another is ticked, are no part of
/// what it says, but the line is left out only as it is written.
fn standing(cells: &[String], head: &[String], told: &[RowText]) -> LineStanding {
    let as_written = standing_as_written(cells, head, told);
    if matches!(as_written, LineStanding::Told) {
        return as_written;
    }
    let said: Vec<String> = cells
        .iter()
        .map(|cell| without_other_answers(cell))
        .collect();
    if said == cells {
        return as_written;
    }
    match standing_as_written(&said, head, told) {
        LineStanding::Told => LineStanding::Own,
        other => other,
    }
}

/// A cell without what is deleted or struck out in it; of several boxes with answers, the answer whose box alone is ticked.
fn without_other_answers(cell: &str) -> String {
    let mut plain = String::with_capacity(cell.len());
    let mut rest = cell;
    while let Some(at) = rest.find('[') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(before);
        let is_struck = ["[supprimé :", "[barré :"]
            .iter()
            .any(|mark| from.starts_with(mark));
        let end = match is_struck {
            true => from.find(']').map_or(from.len(), |end| end + 1),
            false => 1,
        };
        let (mark, after) = from.split_at_checked(end).unwrap_or((from, ""));
        plain.push_str(if is_struck { " " } else { mark });
        rest = after;
    }
    plain.push_str(rest);
    let mut plain = as_cell(&plain);
    for (letters, sign) in BOXES.into_iter().chain(BOUND_SIGNS) {
        plain = plain.replace(letters, sign);
    }
    plain = as_interval(&plain);
    let (about, answers) = plain.split_once(" : ").unwrap_or(("", &plain));
    match ticked(answers) {
        Some(answer) if about.is_empty() => answer,
        Some(answer) => format!("{about} : {answer}"),
        None => plain,
    }
}

/// Signs of bounds that are made of two, and units in the words of the report.
const BOUND_SIGNS: [(&str, &str); 5] = [
    ("<=", "≤"),
    ("=<", "≤"),
    (">=", "≥"),
    (" G/L", " 10⁹/L"),
    (" T/L", " 10¹²/L"),
];

/// An interval in words as the report writes it: `10 à 20 mm`, `du 03/01/2026 au 09/02/2026`.
fn as_interval(cell: &str) -> String {
    let (about, said) = cell.split_once(" : ").unwrap_or(("", cell));
    let period = said
        .strip_prefix("du ")
        .and_then(|it| it.split_once(" au "));
    let is_digit = |letter: Option<char>| letter.is_some_and(|it| it.is_ascii_digit());
    let range = said
        .split_once(" à ")
        .filter(|(low, high)| is_digit(low.chars().next_back()) && is_digit(high.chars().next()));
    match period.or(range) {
        Some((low, high)) if about.is_empty() => format!("{low} – {high}"),
        Some((low, high)) => format!("{about} : {low} – {high}"),
        None => cell.to_owned(),
    }
}

/// The one answer of several whose box is ticked: `☒ Oui ☐ Non`, `Oui ☐ Non ☑`.
fn ticked(answers: &str) -> Option<String> {
    const TICKED: [char; 6] = ['☑', '☒', '✔', '✓', '✅', '🗹'];
    let is_box = |letter: char| letter == '☐' || TICKED.contains(&letter);
    let begins_with_box = answers.starts_with(is_box);
    if answers.matches(is_box).count() < 2 || !begins_with_box && !answers.ends_with(is_box) {
        return None;
    }
    let mut found = Vec::new();
    let mut rest = answers;
    while let Some(at) = rest.find(is_box) {
        let (before, from) = rest.split_at_checked(at)?;
        let sign = from.chars().next()?;
        rest = from.get(sign.len_utf8()..)?;
        let answer = match begins_with_box {
            true => rest.split(is_box).next().unwrap_or_default(),
            false => before,
        };
        found.extend(TICKED.contains(&sign).then(|| as_cell(answer)));
    }
    match found.as_slice() {
        [only] if !only.is_empty() => Some(only.clone()),
        _ => None,
    }
}

/// A line that names the label of a row in any way, and what it says of it: `• Asthme: non`, `RE négatif`.
fn said_of(line: &str, label: &str) -> Option<[String; 2]> {
    let plain = line.trim_start_matches(['•', '·', '▪', '►', '*', '–', '-', ' ']);
    let plain = match plain.split_once(['.', ')']) {
        Some((number, rest))
            if number.len() <= 2 && number.bytes().all(|it| it.is_ascii_digit()) =>
        {
            rest.trim_start()
        }
        _ => plain,
    };
    if label.is_empty() {
        return None;
    }
    let mut letters = plain.chars();
    for wanted in label.chars() {
        if !letters.next()?.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    let rest = letters.as_str();
    let said = match rest.trim_start().strip_prefix([':', '=']) {
        Some(said) => said.trim(),
        // Without a sign between them, only an answer is told from what goes on.
        None if rest.starts_with(' ') => {
            let said = rest.trim();
            (polarity(said).is_some() || answers(said)).then_some(said)?
        }
        None => return None,
    };
    (!said.is_empty()).then(|| [label.to_owned(), as_cell(said)])
}

/// What the cells of a line are to all rows: several rows may have one label, and one that agrees is enough.
fn standing_as_written(cells: &[String], head: &[String], told: &[RowText]) -> LineStanding {
    if cells.is_empty() {
        return LineStanding::Own;
    }
    let (as_pair, answered) = match cells {
        [only] => (only.split_once(" : "), answered(only)),
        _ => (None, None),
    };
    let answered = answered.filter(|_| as_pair.is_none());
    let as_pair: Vec<String> = as_pair
        .map(|(label, value)| [label, value].map(as_cell).to_vec())
        .unwrap_or_default();
    let mut against: Vec<String> = Vec::new();
    let mut agreeing = false;
    for row in told {
        let mut standing = row.standing(cells, head);
        if as_pair.len() == 2 && !matches!(standing, LineStanding::Told) {
            standing = row.standing(&as_pair, head);
        }
        let says_no_or_yes = row.negated || row.main.as_deref().is_some_and(answers);
        if let Some(answered) = answered.as_ref().filter(|_| says_no_or_yes)
            && let against @ LineStanding::Against(_) = row.standing(answered, head)
        {
            standing = against;
        }
        let is_named = as_pair.iter().any(|cell| same(cell, &row.label));
        let said = match cells {
            [only] if !is_named => said_of(only, &row.label),
            _ => None,
        };
        if let (Some(said), LineStanding::Own) = (&said, &standing)
            && let against @ LineStanding::Against(_) = row.standing(said, head)
        {
            standing = against;
        }
        match standing {
            LineStanding::Told => return LineStanding::Told,
            LineStanding::Against(coded) => against.push(coded),
            LineStanding::Own => {
                let says_all = |cells: &[String]| row.contains_all(cells);
                let agrees = row.is_so
                    || says_all(cells)
                    || says_all(&as_pair)
                    || answered.as_ref().is_some_and(|it| says_all(it));
                let mut written = cells
                    .iter()
                    .chain(&as_pair)
                    .chain(said.iter().flatten())
                    .chain(answered.iter().flatten());
                agreeing |= row.holds && agrees && written.any(|cell| same(cell, &row.label));
            }
        }
    }
    match against.first() {
        Some(_) if !agreeing => {
            against.dedup();
            LineStanding::Against(against.join(" ; "))
        }
        _ => LineStanding::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::questionnaire::{Questionnaire, StatementParticipant};
    use crate::reports::excerpt::Omissions;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn statement(kind: &str) -> Statement {
        Statement {
            kind: kind.to_owned(),
            mood: some("EVN"),
            ..Statement::default()
        }
    }

    /// What does not hold leaves no line out, and is contradicted by none.
    #[test]
    fn a_row_that_does_not_hold_says_no_line() {
        let row = || Statement {
            label: some("Métastase"),
            value: some("Oui"),
            ..statement("observation")
        };
        let about = |role: &str| StatementParticipant {
            role: role.to_owned(),
            label: some("père"),
            ..StatementParticipant::default()
        };
        let within = |outer: Statement| Statement {
            statements: vec![row()],
            ..outer
        };
        let mut ended: Vec<Statement> = [
            "nullified",
            "cancelled",
            "aborted",
            "obsolete",
            "held",
            "suspended",
            "new",
        ]
        .into_iter()
        .map(|status| Statement {
            status: some(status),
            ..row()
        })
        .collect();
        ended.push(Statement {
            participants: vec![about("subject")],
            ..row()
        });
        ended.push(within(Statement {
            participants: vec![about("subject")],
            ..statement("organizer")
        }));
        ended.push(within(Statement {
            negated: true,
            ..statement("organizer")
        }));
        ended.push(within(Statement {
            status: some("nullified"),
            ..statement("act")
        }));
        let left_of = |statement: Statement, line: &str| -> Vec<String> {
            let section = Section {
                text: some(line),
                statements: vec![statement],
                ..Section::default()
            };
            let form = Questionnaire {
                sections: vec![section],
                ..Questionnaire::default()
            };
            let shown = crate::reports::questionnaire::sections(&form, &mut Omissions::default());
            shown[0]
                .narrative
                .iter()
                .map(|part| match part {
                    NarrativePart::Line(line) => line.clone(),
                    NarrativePart::Table { .. } => "a table".to_owned(),
                })
                .collect()
        };
        for statement in ended {
            for line in ["Métastase : Oui", "Métastase : Non"] {
                let left = left_of(statement.clone(), line);
                assert!(left.iter().any(|it| it == line), "{left:?} {statement:?}");
            }
        }
        let holds = Statement {
            participants: vec![about("performer")],
            status: some("completed"),
            ..row()
        };
        assert!(!left_of(holds, "Métastase : Oui").contains(&"Métastase : Oui".to_owned()));
    }

    /// The column whose box is ticked is the answer.
    #[test]
    fn a_mark_in_a_column_of_answers_is_that_answer() {
        let table = |cells: [&str; 3]| Section {
            statements: vec![Statement {
                label: some("Métastase"),
                value: some("Oui"),
                ..statement("observation")
            }],
            blocks: vec![Block::Table(vec![
                TableRow {
                    is_head: true,
                    cells: ["Question", "Oui", "Non"].map(str::to_owned).to_vec(),
                },
                TableRow {
                    is_head: false,
                    cells: cells.map(str::to_owned).to_vec(),
                },
            ])],
            text: some("x"),
            ..Section::default()
        };
        for (cells, last) in [
            (["Métastase", "X", ""], "X"),
            (
                ["Métastase", "", "X"],
                "X [diffère de la valeur codée : Oui]",
            ),
            (
                ["Métastase", "", "☒"],
                "☒ [diffère de la valeur codée : Oui]",
            ),
        ] {
            let form = Questionnaire {
                sections: vec![table(cells)],
                ..Questionnaire::default()
            };
            let shown = crate::reports::questionnaire::sections(&form, &mut Omissions::default());
            let NarrativePart::Table { rows, .. } = &shown[0].narrative[0] else {
                panic!("{:?}", shown[0].narrative);
            };
            assert_eq!(
                rows[0].iter().rfind(|it| !it.is_empty()).unwrap(),
                last,
                "{cells:?}"
            );
        }
    }

    /// Each line beside the rows label, value and negation of its section, and what is left of it.
    #[test]
    fn a_line_is_left_out_only_where_a_row_says_each_of_its_cells() {
        let row = |label: &str, value: &str, negated: bool| Statement {
            label: some(label),
            value: some(value).filter(|it| !it.is_empty()),
            negated,
            ..statement("observation")
        };
        let rows = vec![
            row("RE", "positifs", false),
            row("HER2", "négatif", false),
            row("Breslow", "15 mm", false),
            row("Résection", "R10", false),
            row("Tabac", "Non", false),
            row("Alcool", "Oui", false),
            row("Marge", "≤ 2 mm", false),
            row("Taille", "10 – 20 mm", false),
            row("Biopsie", "01/02/2026", false),
            row("Tumeur", "15 mm", false),
            row("RP", "positif", false),
            row("Stade", "IIIA", false),
            row("Expo", "1000", false),
            row("Métastase", "Oui", false),
            row("Fumeur", "Oui", false),
            row("Nécrose", "Non", false),
            row("Site", "foie", false),
            row("Dose", "1 g", false),
            row("Ganglions", "1.000 g", false),
            Statement {
                time: some("2026-02-01"),
                ..row("Scanner", "normal", false)
            },
            row("Ulcération", "", true),
            row("Examen", "Métastase hépatique", true),
            Statement {
                text: some("nodule du foie"),
                ..row("Foie", "", true)
            },
        ];
        for (line, left) in [
            ("RE +", Some("RE +")),
            ("HER2 -", Some("HER2 -")),
            ("RE -", Some("RE - [diffère de la valeur codée : positifs]")),
            (
                "RP négatif",
                Some("RP négatif [diffère de la valeur codée : positif]"),
            ),
            (
                "• Alcool: non",
                Some("• Alcool: non [diffère de la valeur codée : Oui]"),
            ),
            (
                "• Alcool : non",
                Some("• Alcool : non [diffère de la valeur codée : Oui]"),
            ),
            (
                "ALCOOL : non",
                Some("ALCOOL : non [diffère de la valeur codée : Oui]"),
            ),
            ("Marge : <= 2 mm", Some("Marge : <= 2 mm")),
            ("Taille : 10 à 20 mm", Some("Taille : 10 à 20 mm")),
            (
                "Taille : 10 à 30 mm",
                Some("Taille : 10 à 30 mm [diffère de la valeur codée : 10 – 20 mm]"),
            ),
            (
                "2. ALCOOL = non",
                Some("2. ALCOOL = non [diffère de la valeur codée : Oui]"),
            ),
            ("ALCOOL : oui", Some("ALCOOL : oui")),
            ("Alcoolique : non", Some("Alcoolique : non")),
            ("Métastase | ☒ Oui ☐ Non", Some("Métastase | ☒ Oui ☐ Non")),
            (
                "Métastase | [ ] Oui [x] Non",
                Some("Métastase | [ ] Oui [x] Non [diffère de la valeur codée : Oui]"),
            ),
            (
                "Métastase : Oui ☐ Non ☑",
                Some("Métastase : Oui ☐ Non ☑ [diffère de la valeur codée : Oui]"),
            ),
            (
                "RP | [supprimé : négatif] positif",
                Some("RP | [supprimé : négatif] positif"),
            ),
            ("R1", Some("R1")),
            ("1,5 mm", Some("1,5 mm")),
            ("RE | positifs", None),
            ("RE : positifs", None),
            ("Re | positifs", Some("Re | positifs")),
            ("HER2", Some("HER2")),
            ("positifs", Some("positifs")),
            ("15 mm", Some("15 mm")),
            ("positifs | positifs", Some("positifs | positifs")),
            ("RE | positifs | positifs", Some("RE | positifs | positifs")),
            ("Examen : NON : Métastase hépatique", None),
            ("RE | positifs | 12/03", Some("RE | positifs | 12/03")),
            // Gender, number and accents say nothing else; signs stand for the words.
            ("RE | positif", Some("RE | positif")),
            ("RE : Positives", Some("RE : Positives")),
            ("RE : +++", Some("RE : +++")),
            ("HER2 : negatives", Some("HER2 : negatives")),
            ("HER2 : -", Some("HER2 : -")),
            (
                "RE : -",
                Some("RE : - [diffère de la valeur codée : positifs]"),
            ),
            (
                "HER2 : +",
                Some("HER2 : + [diffère de la valeur codée : négatif]"),
            ),
            ("Site : foies", Some("Site : foies")),
            (
                "Site : reins",
                Some("Site : reins [diffère de la valeur codée : foie]"),
            ),
            ("Dose : 1.000 g", Some("Dose : 1.000 g")),
            ("Dose : 1,0 g", Some("Dose : 1,0 g")),
            ("Dose : 1000 mg", Some("Dose : 1000 mg")),
            (
                "Dose : 1.001 g",
                Some("Dose : 1.001 g [diffère de la valeur codée : 1 g]"),
            ),
            ("Ganglions : 1 g", Some("Ganglions : 1 g")),
            // A tick, whatever it is made of; an empty box is none, and a cross may be either.
            ("Fumeur : X", Some("Fumeur : X")),
            ("Fumeur | x", Some("Fumeur | x")),
            ("Fumeur : [x]", Some("Fumeur : [x]")),
            ("[X] Fumeur", Some("[X] Fumeur")),
            ("Fumeur (x)", Some("Fumeur (x)")),
            ("Fumeur : ✗", Some("Fumeur : ✗")),
            (
                "Fumeur : [ ]",
                Some("Fumeur : [ ] [diffère de la valeur codée : Oui]"),
            ),
            (
                "[ ] Fumeur",
                Some("[ ] Fumeur [diffère de la valeur codée : Oui]"),
            ),
            (
                "Nécrose : X",
                Some("Nécrose : X [diffère de la valeur codée : Non]"),
            ),
            ("Nécrose | [ ]", Some("Nécrose | [ ]")),
            (
                "Ulcération : X",
                Some("Ulcération : X [diffère de la valeur codée : NON]"),
            ),
            ("Ulcération : [ ]", Some("Ulcération : [ ]")),
            ("Site : X", Some("Site : X")),
            (
                "Résection : X",
                Some("Résection : X [diffère de la valeur codée : R10]"),
            ),
            (
                "RE | négatif",
                Some("RE | négatif [diffère de la valeur codée : positifs]"),
            ),
            (
                "HER2 : positif",
                Some("HER2 : positif [diffère de la valeur codée : négatif]"),
            ),
            (
                "Breslow | 1,5 mm",
                Some("Breslow | 1,5 mm [diffère de la valeur codée : 15 mm]"),
            ),
            ("Breslow | 15 | mm", Some("Breslow | 15 | mm")),
            ("RE | positifs (SIR₂)", Some("RE | positifs (SIR₂)")),
            ("Résection | R₁₀", Some("Résection | R₁₀")),
            ("Breslow | 15,0 mm", Some("Breslow | 15,0 mm")),
            ("Breslow : 1,5 cm", Some("Breslow : 1,5 cm")),
            (
                "Breslow : 15 cm",
                Some("Breslow : 15 cm [diffère de la valeur codée : 15 mm]"),
            ),
            ("Tabac : absence", Some("Tabac : absence")),
            ("Tabac | Aucun", Some("Tabac | Aucun")),
            ("Tabac | Jamais fumé", Some("Tabac | Jamais fumé")),
            (
                "Tabac | O",
                Some("Tabac | O [diffère de la valeur codée : Non]"),
            ),
            ("Alcool | O", Some("Alcool | O")),
            (
                "Alcool | Aucun",
                Some("Alcool | Aucun [diffère de la valeur codée : Oui]"),
            ),
            ("Biopsie | 1/2/2026", Some("Biopsie | 1/2/2026")),
            (
                "Biopsie : 1er février 2026",
                Some("Biopsie : 1er février 2026"),
            ),
            (
                "Biopsie | 2/2/2026",
                Some("Biopsie | 2/2/2026 [diffère de la valeur codée : 01/02/2026]"),
            ),
            ("Scanner | 1/2/2026", Some("Scanner | 1/2/2026")),
            ("Tumeur : 15 mm.", Some("Tumeur : 15 mm.")),
            ("RP : positif.", Some("RP : positif.")),
            ("Stade : IIIA.", Some("Stade : IIIA.")),
            ("Biopsie : 01/02/26", Some("Biopsie : 01/02/26")),
            ("Expo : 10³", Some("Expo : 10³")),
            ("Métastase : ☑", Some("Métastase : ☑")),
            ("☑ Métastase", Some("☑ Métastase")),
            ("Métastase ☒", Some("Métastase ☒")),
            ("Nécrose : ☐", Some("Nécrose : ☐")),
            ("☐ Nécrose", Some("☐ Nécrose")),
            ("☑ Site", Some("☑ Site")),
            ("☐ Ulcération", Some("☐ Ulcération")),
            ("Pas de nécrose.", Some("Pas de nécrose.")),
            (
                "Tumeur : < 15 mm",
                Some("Tumeur : < 15 mm [diffère de la valeur codée : 15 mm]"),
            ),
            (
                "Tumeur : 16 mm.",
                Some("Tumeur : 16 mm. [diffère de la valeur codée : 15 mm]"),
            ),
            (
                "Stade : IIIB.",
                Some("Stade : IIIB. [diffère de la valeur codée : IIIA]"),
            ),
            (
                "Biopsie : 01/02/25",
                Some("Biopsie : 01/02/25 [diffère de la valeur codée : 01/02/2026]"),
            ),
            (
                "Métastase : ☐",
                Some("Métastase : ☐ [diffère de la valeur codée : Oui]"),
            ),
            (
                "☐ Métastase",
                Some("☐ Métastase [diffère de la valeur codée : Oui]"),
            ),
            (
                "☑ Nécrose",
                Some("☑ Nécrose [diffère de la valeur codée : Non]"),
            ),
            (
                "☑ Ulcération",
                Some("☑ Ulcération [diffère de la valeur codée : NON]"),
            ),
            (
                "Non fumeur",
                Some("Non fumeur [diffère de la valeur codée : Oui]"),
            ),
            (
                "Pas de métastase.",
                Some("Pas de métastase. [diffère de la valeur codée : Oui]"),
            ),
            ("Ulcération | N", Some("Ulcération | N")),
            ("Ulcération | NON", None),
            (
                "Ulcération",
                Some("Ulcération [diffère de la valeur codée : NON]"),
            ),
            ("Pas d’ulcération", Some("Pas d’ulcération")),
            (
                "nodule du foie",
                Some("nodule du foie [diffère de la valeur codée : NON]"),
            ),
            ("Pas de nodule du foie", Some("Pas de nodule du foie")),
            (
                "Métastase hépatique",
                Some(
                    "Métastase hépatique [diffère de la valeur codée : NON : Métastase hépatique]",
                ),
            ),
        ] {
            let questionnaire = Questionnaire {
                sections: vec![Section {
                    text: some(line),
                    statements: rows.clone(),
                    ..Section::default()
                }],
                ..Questionnaire::default()
            };
            let section = &questionnaire.sections[0];
            let shown =
                crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
            let left: Vec<NarrativePart> = left
                .map(|it| NarrativePart::Line(it.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(shown[0].narrative, left, "{line}");
            // The same in a table.
            let cells = line.split(" | ").map(str::to_owned).collect();
            let rows = vec![TableRow {
                is_head: false,
                cells,
            }];
            let in_table = Section {
                blocks: vec![Block::Table(rows)],
                ..section.clone()
            };
            let questionnaire = Questionnaire {
                sections: vec![in_table],
                ..Questionnaire::default()
            };
            let shown =
                crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
            assert_eq!(shown[0].narrative.len(), left.len(), "{line}");
        }
    }

    /// What stands below a title within a text may hold only there: a row says it only where it says the title too.
    #[test]
    fn a_line_below_a_title_is_left_out_only_where_a_row_says_both() {
        let row = |label: &str, value: &str| Statement {
            label: some(label),
            value: some(value),
            ..statement("observation")
        };
        let of_breast = |side: &str| Statement {
            site: Some(crate::model::questionnaire::Site {
                label: some("Sein"),
                laterality: some(side),
                ..Default::default()
            }),
            ..row("RE", "positifs")
        };
        let gathered = |title: &str| Statement {
            label: some(title),
            statements: vec![row("RE", "positifs")],
            ..statement("organizer")
        };
        let left = |text: &str, statements: Vec<Statement>| -> Vec<String> {
            let lines = text.lines().map(|line| match line.split_once(" | ") {
                Some((label, value)) => Block::Table(vec![TableRow {
                    is_head: false,
                    cells: vec![label.to_owned(), value.to_owned()],
                }]),
                None => Block::Line(line.to_owned()),
            });
            let blocks = match text.contains(" | ") {
                true => lines.collect(),
                false => Vec::new(),
            };
            let section = Section {
                title: some("Anatomopathologie"),
                text: some(text),
                blocks,
                statements,
                ..Section::default()
            };
            let questionnaire = Questionnaire {
                sections: vec![section],
                ..Questionnaire::default()
            };
            let shown =
                crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
            let narrative = shown[0].narrative.iter();
            let lines = narrative.map(|it| match it {
                NarrativePart::Line(line) => line.clone(),
                NarrativePart::Table { rows, .. } => rows[0].join(" | "),
            });
            lines.collect()
        };
        let both = "Sein droit\nRE : positifs\nSein gauche :\nRE : positifs";
        let all: Vec<&str> = both.lines().collect();
        let titles = ["Sein droit", "Sein gauche :"];
        assert_eq!(left(both, vec![row("RE", "positifs")]), all);
        assert_eq!(
            left(both, vec![of_breast("droit")]),
            ["Sein droit", "Sein gauche :", "RE : positifs"]
        );
        assert_eq!(
            left(both, vec![of_breast("droit"), of_breast("gauche")]),
            titles
        );
        assert_eq!(
            left(both, vec![gathered("Sein gauche"), gathered("SEIN DROIT")]),
            titles
        );
        for (text, shown) in [
            // What stands above all rows too, what only names a column, and prose are no titles of a part.
            ("Anatomopathologie\nRE : positifs", ""),
            ("Résultats\nRE : positifs", "Résultats"),
            ("Vu ce jour.\nRE : positifs", "Vu ce jour."),
            ("Sein\nRE : positifs", "Sein\nRE : positifs"),
            (
                "Sein droit\nRésultats\nRE : positifs",
                "Sein droit\nRésultats\nRE : positifs",
            ),
            ("Sein droit\nRE | positifs", "Sein droit\nRE | positifs"),
            ("- Sein droit\nRE | positifs", "- Sein droit\nRE | positifs"),
        ] {
            let left = left(text, vec![row("RE", "positifs")]);
            assert_eq!(left.join("\n"), shown, "{text}");
        }
        let table = ["Sein droit", "RE | positifs"].map(|it| TableRow {
            is_head: false,
            cells: it.split(" | ").map(str::to_owned).collect(),
        });
        let section = Section {
            blocks: vec![Block::Table(table.to_vec())],
            statements: vec![row("RE", "positifs")],
            ..Section::default()
        };
        let questionnaire = Questionnaire {
            sections: vec![section],
            ..Questionnaire::default()
        };
        let shown =
            crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
        assert!(
            matches!(&shown[0].narrative[..], [NarrativePart::Table { rows, .. }] if rows.len() == 2),
            "a row of one cell is a title too"
        );
    }

    /// A goal, or what is proposed or planned, is no finding, even with the same number.
    #[test]
    fn only_what_is_so_stands_for_a_line() {
        let row = |mood: Option<&str>, value: &str| Statement {
            label: some("Hémoglobine"),
            value: some(value),
            mood: mood.map(str::to_owned),
            ..statement("observation")
        };
        let against = Some("Hémoglobine : 12 g/dL [diffère de la valeur codée : 9 g/dL]");
        for (found, mood, value, left) in [
            (None, Some("EVN"), "12 g/dL", None),
            (None, None, "12 g/dL", None),
            (None, Some("GOL"), "12 g/dL", Some("Hémoglobine : 12 g/dL")),
            (None, Some("INT"), "12 g/dL", Some("Hémoglobine : 12 g/dL")),
            (None, Some("PRP"), "12 g/dL", Some("Hémoglobine : 12 g/dL")),
            (None, Some("RQO"), "12 g/dL", Some("Hémoglobine : 12 g/dL")),
            (None, Some("GOL"), "13 g/dL", Some("Hémoglobine : 12 g/dL")),
            (Some("9 g/dL"), Some("GOL"), "13 g/dL", against),
            (
                Some("9 g/dL"),
                Some("GOL"),
                "12 g/dL",
                Some("Hémoglobine : 12 g/dL"),
            ),
            (Some("12 g/dL"), Some("GOL"), "13 g/dL", None),
        ] {
            let found = found.map(|value| row(Some("EVN"), value));
            let questionnaire = Questionnaire {
                sections: vec![Section {
                    text: some("Hémoglobine : 12 g/dL"),
                    statements: found.into_iter().chain([row(mood, value)]).collect(),
                    ..Section::default()
                }],
                ..Questionnaire::default()
            };
            let shown =
                crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
            let left: Vec<NarrativePart> = left
                .map(|it| NarrativePart::Line(it.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(shown[0].narrative, left, "{mood:?} {value}");
        }
    }

    #[test]
    fn a_text_that_says_another_answer_or_amount_contradicts() {
        for (text, value, contradicts) in [
            ("Non", "Oui", true),
            ("non retrouvé", "Non", false),
            ("A distance", "Non", false),
            ("Négatif (0 %)", "positifs", true),
            ("1,5 mm", "15 mm", true),
            ("1,5 mm", "1.5 mm", false),
            ("15 cm", "15 mm", true),
            ("1,2 cm", "12 mm", false),
            ("O", "Oui", false),
            ("Aucune", "Non", false),
            ("Aucune", "Oui", true),
            ("1er février 2026", "01/02/2026", false),
            ("1er mars 2026", "01/02/2026", true),
            ("", "Oui", false),
        ] {
            assert_eq!(contradict(text, value), contradicts, "{text}: {value}");
        }
    }

    #[test]
    fn names_of_value_sets_are_left_out() {
        for (text, plain) in [
            ("Sein [JDV_ANRCPOrgane_CISIS]", "Sein"),
            ("C50.2 [CIM-10]", "C50.2 [CIM-10]"),
            ("[voir JDV_X", "[voir JDV_X"),
            ("a [TA_X] b [c]", "a b [c]"),
        ] {
            assert_eq!(without_value_sets(text), plain);
        }
    }

    #[test]
    fn a_table_keeps_its_head_and_the_rows_that_are_not_coded() {
        let row = |is_head, cells: &[&str]| TableRow {
            is_head,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        };
        let coded = Statement {
            label: some("RE"),
            value: some("positifs"),
            ..statement("observation")
        };
        let shown = |rows: Vec<TableRow>| {
            let section = Section {
                blocks: vec![Block::Table(rows)],
                statements: vec![coded.clone()],
                ..Section::default()
            };
            let questionnaire = Questionnaire {
                sections: vec![section],
                ..Questionnaire::default()
            };
            let shown =
                crate::reports::questionnaire::sections(&questionnaire, &mut Omissions::default());
            shown[0].narrative.clone()
        };
        let title = row(true, &["", "Récepteurs"]);
        let head = row(true, &["Examen", "Résultat"]);
        let (re, rp) = (
            row(false, &["RE", "positifs"]),
            row(false, &["RP", "négatifs"]),
        );
        assert_eq!(
            shown(vec![title.clone(), rp.clone()]),
            [
                NarrativePart::Line("Récepteurs".to_owned()),
                NarrativePart::Table {
                    head: Vec::new(),
                    rows: vec![rp.cells.clone()]
                }
            ]
        );
        assert_eq!(
            shown(vec![title, head.clone(), rp.clone()])[1],
            NarrativePart::Table {
                head: head.cells.clone(),
                rows: vec![rp.cells.clone()]
            }
        );
        assert_eq!(
            shown(vec![head.clone(), re.clone(), rp.clone()]),
            [NarrativePart::Table {
                head: head.cells.clone(),
                rows: vec![rp.cells]
            }]
        );
        assert_eq!(
            shown(vec![head, re]),
            [NarrativePart::Line("Examen | Résultat".to_owned())]
        );
        // What the heads say belongs to each row.
        for heads in [
            vec![row(true, &["RP", "HER2"])],
            vec![row(true, &["Récepteur", "Avant chimiothérapie"])],
            vec![
                row(true, &["Sein gauche"]),
                row(true, &["Examen", "Résultat"]),
            ],
        ] {
            for cells in [["positifs", "positifs"], ["RE", "positifs"]] {
                let own = row(false, &cells);
                let rows = [heads.clone(), vec![own.clone()]].concat();
                let shown = shown(rows);
                assert!(
                    matches!(shown.last(), Some(NarrativePart::Table { rows, .. }) if *rows == [own.cells]),
                    "{shown:?}"
                );
            }
        }
    }
}
