//! Markdown, written block by block.
//!
//! What is written is for a reader and for an embedding model, and not for a program that would turn it into a page:
//! emphasis and the addresses of links are left out, and a character is escaped only where it would be taken for
//! structure.

use super::parsed::{Mark, Parsed};

/// A text with structure, as it grows.
#[derive(Debug, Default)]
pub(super) struct Markdown {
    text: String,
    marks: Vec<Mark>,
    /// What was written last is an item of a list, whose next one follows without a blank line: whether the outermost
    /// list has numbers.
    in_list: Option<bool>,
}

/// Rows of cells.
pub(super) type Rows = Vec<Vec<String>>;

impl Markdown {
    /// A heading of a level from 1 to 6.
    pub fn heading(&mut self, level: usize, text: &str) {
        let line = one_line(text);
        if !line.is_empty() {
            self.begin();
            (0..level.clamp(1, 6)).for_each(|_| self.text.push('#'));
            self.text.push(' ');
            self.text.push_str(&line);
        }
    }

    /// A paragraph, of several lines where it has line breaks.
    pub fn paragraph(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.begin();
        self.lines(text, "");
    }

    /// An item of a list within `depth` others, with its number where the list has numbers.
    pub fn item(&mut self, depth: usize, number: Option<usize>, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let list = match self.in_list {
            // What differs at the margin is another list.
            Some(has_numbers) if depth > 0 || has_numbers == number.is_some() => {
                self.text.push('\n');
                has_numbers
            }
            _ => {
                self.begin();
                number.is_some()
            }
        };
        self.in_list = Some(list);
        let indent = "  ".repeat(depth.min(8));
        self.text.push_str(&indent);
        match number {
            Some(number) => self.text.push_str(&format!("{number}. ")),
            None => self.text.push_str("- "),
        }
        self.lines(text, &format!("{indent}  "));
    }

    /// A table whose first row is its header. A table of one column or one cell is no table, but paragraphs.
    pub fn table(&mut self, rows: &Rows) {
        let is_empty = |row: &[String]| row.iter().all(|cell| cell.trim().is_empty());
        let widest = rows.iter().map(|row| filled(row).len()).max().unwrap_or(0);
        if widest < 2 {
            for cell in rows.iter().flatten() {
                self.paragraph(cell);
            }
            return;
        }
        let mut width = 0;
        for row in rows.iter().filter(|row| !is_empty(row)) {
            let header = if width == 0 { widest } else { 0 };
            width = width.max(self.table_row_of(filled(row), header, width));
        }
    }

    /// A row of a table that has so many columns, or none yet: then it is the header. The number of its columns.
    pub fn table_row(&mut self, cells: &[String], width: usize) -> usize {
        self.table_row_of(cells, if width == 0 { cells.len() } else { 0 }, width)
    }

    fn table_row_of(&mut self, cells: &[String], header: usize, width: usize) -> usize {
        if width > 0 {
            self.text.push('\n');
            self.row(cells, 0);
            return width;
        }
        self.begin();
        self.row(cells, header);
        self.text.push_str("\n|");
        (0..header).for_each(|_| self.text.push_str(" --- |"));
        header
    }

    /// One row, of `least` cells or more.
    fn row(&mut self, cells: &[String], least: usize) {
        self.text.push('|');
        for cell in cells {
            self.text.push(' ');
            for (number, word) in cell.split_whitespace().enumerate() {
                if number > 0 {
                    self.text.push(' ');
                }
                self.push(&word.replace('|', "\\|"));
            }
            self.text.push_str(" |");
        }
        (cells.len()..least).for_each(|_| self.text.push_str("  |"));
    }

    /// Code, as it stands.
    pub fn code(&mut self, text: &str) {
        let text = text.trim_matches('\n');
        if text.trim().is_empty() {
            return;
        }
        self.begin();
        let fence = if text.contains("```") { "~~~~" } else { "```" };
        self.text.push_str(&format!("{fence}\n"));
        self.push(text);
        self.text.push_str(&format!("\n{fence}"));
    }

    /// A plain text, as it stands.
    pub fn plain(&mut self, text: &str) {
        let text = text.trim_matches(['\n', '\r', ' ']);
        if !text.is_empty() {
            self.begin();
            self.push(text);
        }
    }

    /// Another Markdown, as it stands.
    pub fn append(&mut self, other: Markdown) {
        if other.text.is_empty() {
            return;
        }
        self.begin();
        let from = self.text.len();
        let moved = other.marks.into_iter().map(|mark| Mark {
            at: place(from + mark.at as usize),
            ..mark
        });
        self.marks.extend(moved);
        self.text.push_str(&other.text);
        self.in_list = other.in_list;
    }

    /// A page or slide begins with whatever is written next.
    pub fn page(&mut self, number: u32) {
        self.in_list = None;
        let next = if self.text.is_empty() { 0 } else { self.text.len() + 2 };
        self.marks.push(Mark::page(place(next), number));
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole.
    pub fn finish(mut self) -> Parsed {
        let end = place(self.text.len());
        for mark in &mut self.marks {
            mark.at = mark.at.min(end);
        }
        Parsed {
            text: self.text,
            marks: self.marks.into_iter().collect(),
        }
    }

    fn begin(&mut self) {
        self.in_list = None;
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
    }

    /// Lines of a text, those after the first behind an indent. What looks like a heading is escaped.
    fn lines(&mut self, text: &str, indent: &str) {
        for (number, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            if number > 0 {
                self.text.push('\n');
                self.text.push_str(indent);
            }
            let start = line.trim_start_matches('#');
            if (1..=6).contains(&(line.len() - start.len())) && start.starts_with([' ', '\t']) {
                self.text.push('\\');
            }
            self.push(line.trim_end());
        }
    }

    /// Text of the document, without U+0000, which Postgres cannot store.
    fn push(&mut self, text: &str) {
        self.text.extend(text.chars().filter(|character| *character != '\0'));
    }
}

/// A place in a text as marks have it. A text that is longer than those can tell is refused by its length elsewhere.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The cells up to the last that is not empty.
fn filled(row: &[String]) -> &[String] {
    let length = row
        .iter()
        .rposition(|cell| !cell.trim().is_empty())
        .map_or(0, |last| last + 1);
    &row[..length]
}

/// A text in one line, with single spaces.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|character| *character != '\0'));
    }
    line
}
