//! CSV as spreadsheets write it (RFC 4180): a header line, `;` or `,`, cells in quotes.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::model::outcome::{Location, Reason, Refusal};

/// A list with its header understood, whose lines are read one by one: read at once, short ones would take many times
/// the memory of their text.
pub struct Table<'t> {
    /// Its lines below the header.
    pub rows: Rows<'t>,
}

/// The lines of a list.
pub struct Rows<'t> {
    records: Records<'t>,
    columns: Columns,
}

impl Iterator for Rows<'_> {
    type Item = Result<CsvRow, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        Some(record.and_then(|record| record.row(&self.columns)))
    }
}

/// Which column each cell of a header names.
#[derive(Debug)]
struct Columns {
    /// The place of each in its line.
    named: HashMap<usize, &'static str>,
    /// How many cells the header has.
    width: usize,
}

/// One line of a list: its cells by column.
#[derive(Debug)]
pub struct CsvRow {
    /// Its number in the file, from 1.
    pub line: usize,
    cells: HashMap<&'static str, String>,
}

impl<'t> Table<'t> {
    /// A list of these columns, of which one must be there.
    pub fn open(
        text: &'t str,
        known: &'static [&'static str],
        required: &str,
    ) -> Result<Self, Refusal> {
        let header = text.lines().find(|line| !line.trim().is_empty());
        let separator = header
            .and_then(|header| header.chars().find(|letter| matches!(letter, ';' | ',')))
            .unwrap_or(',');
        let mut records = Records::of(text, separator, known.len());
        let Some(header) = records.next() else {
            return Err(bad_csv(
                "expected a header line, found an empty file",
                1,
                None,
            ));
        };
        let columns = header?.columns(known, required)?;
        Ok(Self {
            rows: Rows { records, columns },
        })
    }
}

impl CsvRow {
    /// The cell of a column, without the white space around it; none where the list has no such column.
    pub fn cell(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(|cell| cell.trim())
    }

    /// Refuses the list for a cell of this line.
    pub fn refuse(&self, column: &str, message: impl Into<String>) -> Refusal {
        bad_csv(message, self.line, Some(column))
    }
}

/// A record as it stands in the file.
#[derive(Debug)]
struct RawRecord {
    line: usize,
    /// The cells that hold something, with their place in the line: no more than one beyond the columns that there are,
    /// which is wrong anywhere.
    filled: Vec<(usize, String)>,
    /// How many cells there are.
    width: usize,
    /// How many columns there can be.
    most: usize,
}

impl RawRecord {
    fn at(line: usize, most: usize) -> Self {
        Self {
            line,
            filled: Vec::new(),
            width: 0,
            most,
        }
    }

    fn push(&mut self, cell: String) {
        if self.filled.len() <= self.most && !cell.trim().is_empty() {
            self.filled.push((self.width, cell));
        }
        self.width = self.width.saturating_add(1);
    }

    /// Read as the header: which column each cell names; spreadsheets leave empty ones at the end.
    fn columns(&self, known: &'static [&'static str], required: &str) -> Result<Columns, Refusal> {
        let mut named = HashMap::new();
        for (number, cell) in &self.filled {
            let name = cell.trim();
            let column = known
                .iter()
                .copied()
                .find(|column| column.eq_ignore_ascii_case(name));
            let Some(column) = column else {
                return Err(bad_csv(
                    format!("expected the columns {}, found another", known.join(", ")),
                    self.line,
                    Some(name),
                )
                .with_value(name));
            };
            if named.values().any(|known| *known == column) {
                return Err(bad_csv(
                    "the column stands twice in the header",
                    self.line,
                    Some(name),
                ));
            }
            named.insert(*number, column);
        }
        if !named.values().any(|column| *column == required) {
            return Err(bad_csv(
                format!("expected a header line with a column {required}"),
                self.line,
                Some(required),
            ));
        }
        Ok(Columns {
            named,
            width: self.width,
        })
    }

    fn row(self, columns: &Columns) -> Result<CsvRow, Refusal> {
        let mut cells: HashMap<&'static str, String> = columns
            .named
            .values()
            .map(|column| (*column, String::new()))
            .collect();
        for (number, cell) in self.filled {
            let Some(column) = columns.named.get(&number) else {
                return Err(bad_csv(
                    format!(
                        "expected {} cells as in the header, found more: put a text that has the separator in it in quotes",
                        columns.width
                    ),
                    self.line,
                    Some(&number.saturating_add(1).to_string()),
                ));
            };
            cells.insert(*column, cell);
        }
        Ok(CsvRow {
            line: self.line,
            cells,
        })
    }
}

/// The records of a text (RFC 4180), without those that are empty: a quoted cell may hold separators, line breaks and
/// doubled quotes.
struct Records<'t> {
    letters: Peekable<Chars<'t>>,
    separator: char,
    line: usize,
    is_at_end: bool,
    /// How many columns there can be.
    most: usize,
}

impl<'t> Records<'t> {
    fn of(text: &'t str, separator: char, most: usize) -> Self {
        Self {
            letters: text.chars().peekable(),
            separator,
            line: 1,
            is_at_end: false,
            most,
        }
    }

    fn record(&mut self) -> Result<RawRecord, Refusal> {
        let mut record = RawRecord::at(self.line, self.most);
        let mut cell = String::new();
        let letters = &mut self.letters;
        loop {
            if letters.peek() == Some(&'"') && cell.trim().is_empty() {
                let opened = self.line;
                letters.next();
                cell.clear();
                loop {
                    match letters.next() {
                        Some('"') if letters.next_if_eq(&'"').is_some() => cell.push('"'),
                        Some('"') => break,
                        Some(letter) => {
                            self.line = self.line.saturating_add(usize::from(letter == '\n'));
                            cell.push(letter);
                        }
                        None => {
                            return Err(bad_csv(
                                "a quote is opened and never closed",
                                opened,
                                Some(&record.width.saturating_add(1).to_string()),
                            ));
                        }
                    }
                }
            }
            match letters.next() {
                Some(letter) if letter == self.separator => record.push(std::mem::take(&mut cell)),
                end @ (None | Some('\n' | '\r')) => {
                    if end == Some('\r') {
                        letters.next_if_eq(&'\n');
                    }
                    record.push(cell);
                    self.is_at_end = end.is_none();
                    self.line = self.line.saturating_add(1);
                    return Ok(record);
                }
                Some(letter) => cell.push(letter),
            }
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<RawRecord, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_at_end {
            match self.record() {
                Ok(record) if record.filled.is_empty() => {}
                Ok(record) => return Some(Ok(record)),
                Err(refusal) => {
                    self.is_at_end = true;
                    return Some(Err(refusal));
                }
            }
        }
        None
    }
}

/// The number of the line in which the text after these bytes stands.
pub fn lines_in(before: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', before).count().saturating_add(1)
}

/// Refuses a list for what stands in this line and column.
pub fn bad_csv(message: impl Into<String>, line: usize, column: Option<&str>) -> Refusal {
    Refusal::new(Reason::BadCsv, message).at(place(line, column))
}

/// A place in a list.
pub fn place(line: usize, column: Option<&str>) -> Location {
    Location::named(match column {
        Some(column) => format!("line {line}, column {column}"),
        None => format!("line {line}"),
    })
}
