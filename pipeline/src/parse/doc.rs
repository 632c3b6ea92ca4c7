//! Word documents of the years before 2007.
//!
//! Read: paragraphs, headings by the styles that all programs know, items of lists, tables, footnotes and
//! endnotes, text boxes, results of fields. Left out: headers and footers, which repeat on each page,
//! comments, pictures.

use super::bounds::ParseBounds;
use super::compound::{Compound, long, short, utf16};
use super::markdown::{Markdown, Rows};
use super::reading::FormatReader;
use super::{Error, Parsed};

const NAME: &str = "Word document (DOC)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.has_stream("WordDocument"),
    parse,
};

/// Where the header says what is where: flags, the lengths of the parts of the text, and the tables.
const FLAGS: usize = 0x0A;
const ENCRYPTED: u16 = 0x0100;
const TABLE_1: u16 = 0x0200;
const OLD_TEXT: usize = 0x18;
const LENGTHS: usize = 0x4C;
const PARAGRAPHS: usize = 0x102;
const PIECES: usize = 0x1A2;
/// Versions up to Word 95, whose text is bytes in one place.
const OLD: u16 = 104;

/// A page of properties of paragraphs.
const PAGE: usize = 512;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let file = Compound::open(bytes, NAME, bounds)?;
    let main = file.read_needed("WordDocument")?;
    if short(&main, FLAGS) & ENCRYPTED != 0 {
        return Err(Error::Locked { of: NAME });
    }
    let mut reader = DocReader {
        left: bounds.cells,
        ..DocReader::default()
    };
    if short(&main, 2) <= OLD {
        let (from, to) = (long(&main, OLD_TEXT) as usize, long(&main, OLD_TEXT + 4) as usize);
        let text = main.get(from..to).ok_or(Error::Damaged {
            of: NAME,
            what: "its text is missing",
        })?;
        let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(text).0;
        text.chars().try_for_each(|character| reader.take(character, None))?;
    } else {
        let table = file.read_needed(if short(&main, FLAGS) & TABLE_1 == 0 {
            "0Table"
        } else {
            "1Table"
        })?;
        let paragraphs = paragraphs(&main, &table);
        let characters = characters(&main, &table).ok_or(Error::Damaged {
            of: NAME,
            what: "its text is missing",
        })?;
        // The text, footnotes, headers, macros, comments, endnotes, text boxes.
        let lengths: Vec<usize> = (0..7).map(|part| long(&main, LENGTHS + 4 * part) as usize).collect();
        let mut from = 0_usize;
        for (part, length) in lengths.into_iter().enumerate() {
            let to = from.saturating_add(length).min(characters.len());
            if matches!(part, 0 | 1 | 5 | 6) {
                for (character, place) in &characters[from..to] {
                    let properties = matches!(character, '\r' | '\x07').then(|| find(&paragraphs, *place));
                    reader.take(*character, properties.flatten())?;
                }
                reader.end();
            }
            from = to;
        }
    }
    reader.end();
    Ok(reader.out.finish())
}

/// The characters of all parts, with their places in the main stream.
fn characters(main: &[u8], table: &[u8]) -> Option<Vec<(char, u32)>> {
    let from = long(main, PIECES) as usize;
    let mut list = table.get(from..)?;
    list = &list[..(long(main, PIECES + 4) as usize).min(list.len())];
    while *list.first()? == 1 {
        list = list.get(3 + usize::from(short(list, 1))..)?;
    }
    if *list.first()? != 2 {
        return None;
    }
    let pieces = list.get(5..)?;
    let pieces = &pieces[..(long(list, 1) as usize).min(pieces.len())];
    let count = pieces.len().saturating_sub(4) / 12;
    let mut out = Vec::new();
    for piece in 0..count {
        let length = long(pieces, 4 * (piece + 1)).saturating_sub(long(pieces, 4 * piece)) as usize;
        let place = long(pieces, 4 * (count + 1) + 8 * piece + 2);
        let is_narrow = place & 0x4000_0000 != 0;
        let place = if is_narrow {
            (place & 0x3FFF_FFFF) / 2
        } else {
            place & 0x3FFF_FFFF
        };
        let width = if is_narrow { 1 } else { 2 };
        let Some(rest) = main.get(place as usize..) else {
            continue;
        };
        let bytes = &rest[..length.saturating_mul(width).min(rest.len())];
        // Pieces that lie upon each other could make much text of few bytes.
        if out.len() + bytes.len() / width > main.len() {
            return None;
        }
        let text = if is_narrow {
            encoding_rs::WINDOWS_1252
                .decode_without_bom_handling(bytes)
                .0
                .into_owned()
        } else {
            utf16(bytes)
        };
        let mut at = place;
        for character in text.chars() {
            out.push((character, at));
            // Lengths are told in units of UTF-16.
            (1..character.len_utf16()).for_each(|_| out.push(('\0', at)));
            at = at.saturating_add((character.len_utf16() * width) as u32);
        }
    }
    Some(out)
}

/// What is known of a paragraph.
#[derive(Clone, Copy, Debug, Default)]
struct Paragraph {
    from: u32,
    to: u32,
    heading: Option<usize>,
    list: Option<usize>,
    in_table: bool,
    ends_row: bool,
}

fn find(paragraphs: &[Paragraph], place: u32) -> Option<Paragraph> {
    let after = paragraphs.partition_point(|paragraph| paragraph.from <= place);
    paragraphs[..after]
        .last()
        .filter(|paragraph| place < paragraph.to)
        .copied()
}

/// The properties of all paragraphs, by their places.
fn paragraphs(main: &[u8], table: &[u8]) -> Vec<Paragraph> {
    let mut found = Vec::new();
    let from = long(main, PARAGRAPHS) as usize;
    let list = table.get(from..).unwrap_or_default();
    let list = &list[..(long(main, PARAGRAPHS + 4) as usize).min(list.len())];
    let count = list.len().saturating_sub(4) / 8;
    for entry in 0..count.min(main.len() / PAGE + 1) {
        let page = (long(list, 4 * (count + 1) + 4 * entry) & 0x003F_FFFF) as usize * PAGE;
        let Some(page) = main.get(page..page.saturating_add(PAGE)) else {
            continue;
        };
        let runs = usize::from(page[PAGE - 1]).min(29);
        for run in 0..runs {
            let mut at = usize::from(page[4 * (runs + 1) + 13 * run]) * 2;
            let mut paragraph = Paragraph {
                from: long(page, 4 * run),
                to: long(page, 4 * (run + 1)),
                ..Paragraph::default()
            };
            if at > 0 {
                let length = match page[at] {
                    0 => {
                        at += 1;
                        usize::from(page.get(at).copied().unwrap_or(0)) * 2
                    }
                    half => usize::from(half) * 2 - 1,
                };
                let properties = page.get(at + 1..(at + 1 + length).min(PAGE)).unwrap_or_default();
                read_properties(properties, &mut paragraph);
            }
            found.push(paragraph);
        }
    }
    found.sort_by_key(|paragraph| paragraph.from);
    found
}

/// The style of a paragraph, and what differs from it.
fn read_properties(properties: &[u8], paragraph: &mut Paragraph) {
    // These numbers are the same in each document.
    paragraph.heading = Some(usize::from(short(properties, 0))).filter(|style| (1..=9).contains(style));
    let mut level = 0;
    let mut rest = properties.get(2..).unwrap_or_default();
    while rest.len() > 2 {
        let (kind, value) = (short(rest, 0), &rest[2..]);
        let first = value[0];
        match kind {
            0x2416 => paragraph.in_table = first != 0,
            0x2417 => paragraph.ends_row = first != 0,
            0x2640 => paragraph.heading = Some(usize::from(first) + 1).filter(|level| *level < 10),
            0x260A => level = usize::from(first).min(8),
            0x460B => paragraph.list = (short(value, 0) != 0).then_some(0),
            _ => (),
        }
        let length = match kind >> 13 {
            0 | 1 => 1,
            2 | 4 | 5 => 2,
            3 => 4,
            7 => 3,
            _ if kind == 0xD608 => 1 + usize::from(short(value, 0)),
            _ => 1 + usize::from(first),
        };
        rest = value.get(length..).unwrap_or_default();
    }
    paragraph.list = paragraph.list.map(|_| level);
}

#[derive(Default)]
struct DocReader {
    text: String,
    /// Of each field that is open, whether its result has begun: what is before that is an instruction.
    fields: Vec<bool>,
    row: Vec<String>,
    rows: Rows,
    left: usize,
    out: Markdown,
}

impl DocReader {
    fn take(&mut self, character: char, paragraph: Option<Paragraph>) -> Result<(), Error> {
        match character {
            '\x13' => self.fields.push(false),
            '\x14' => {
                if let Some(field) = self.fields.last_mut() {
                    *field = true;
                }
            }
            '\x15' => drop(self.fields.pop()),
            '\x07' => {
                let is_end = match paragraph {
                    Some(paragraph) => paragraph.ends_row,
                    None => self.text.is_empty() && !self.row.is_empty(),
                };
                if is_end {
                    self.text.clear();
                    let row = std::mem::take(&mut self.row);
                    self.rows.push(row);
                } else {
                    let excessive = Error::Excessive {
                        of: NAME,
                        what: "its tables have more than 4,000,000 cells",
                    };
                    self.left = self.left.checked_sub(1).ok_or(excessive)?;
                    self.row.push(std::mem::take(&mut self.text));
                }
            }
            '\r' | '\x0C' if paragraph.is_some_and(|paragraph| paragraph.in_table) => self.text.push('\n'),
            '\r' | '\x0C' => self.paragraph(paragraph.unwrap_or_default()),
            _ if self.fields.last() == Some(&false) => (),
            '\x0B' => self.text.push('\n'),
            '\x1E' => self.text.push('-'),
            '\t' => self.text.push('\t'),
            // Marks of pictures, notes, comments and soft hyphens.
            '\0'..='\x1F' => (),
            '\u{E000}'..='\u{F8FF}' => (),
            other => self.text.push(other),
        }
        Ok(())
    }

    fn paragraph(&mut self, paragraph: Paragraph) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() && self.row.is_empty() {
            return;
        }
        self.end_table();
        match paragraph {
            Paragraph {
                heading: Some(level), ..
            } => self.out.heading(level, &text),
            Paragraph { list: Some(level), .. } => self.out.item(level, None, &text),
            _ => self.out.paragraph(&text),
        }
    }

    fn end_table(&mut self) {
        if !self.row.is_empty() {
            let row = std::mem::take(&mut self.row);
            self.rows.push(row);
        }
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            self.out.table(&rows);
        }
    }

    /// A part of the text ends.
    fn end(&mut self) {
        self.fields.clear();
        self.paragraph(Paragraph::default());
        self.end_table();
    }
}
