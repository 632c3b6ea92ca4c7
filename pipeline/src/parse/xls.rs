//! Excel workbooks of the years before 2007 (from Excel 5 on).
//!
//! Read: each sheet under its name, hidden ones too, as tables, as of XLSX.

use std::collections::HashMap;

use encoding_rs::Encoding;

use super::bounds::ParseBounds;
use super::compound::{Compound, long, short, utf16};
use super::markdown::Markdown;
use super::reading::FormatReader;
use super::rtf::codepage;
use super::sheet::{self, Grid, ShownNumber};
use super::{Error, Parsed};

const NAME: &str = "Excel workbook (XLS)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.has_stream("Workbook") || sample.has_stream("Book"),
    parse,
};

/// The version of Excel 97 and later, whose texts are in Unicode.
const UNICODE: u16 = 0x0600;
const CONTINUE: u16 = 0x3C;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let file = Compound::open(bytes, NAME, bounds)?;
    let main = match file.read("Workbook")? {
        Some(main) => main,
        None => file.read_needed("Book")?,
    };
    let mut workbook = XlsWorkbook::read(&main, bounds)?;
    let mut out = Markdown::default();
    let mut left = sheet::cells(bounds);
    for (name, place) in std::mem::take(&mut workbook.sheets) {
        let records = main.get(place as usize..).unwrap_or_default();
        let mut cells = workbook.cells(records, left)?;
        cells.sort_by_key(|(row, column, _)| (*row, *column));
        let mut grid = Grid::new(&name, NAME, &mut left, &mut out);
        for row in cells.chunk_by(|(one, ..), (other, ..)| one == other) {
            let cells = row.iter().map(|(_, column, text)| (*column, text.clone())).collect();
            grid.row(row[0].0 + 1, cells)?;
        }
        grid.end();
    }
    Ok(out.finish())
}

/// Kind and bytes of each record up to the end of the part.
fn records(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    let mut depth = 0_i32;
    std::iter::from_fn(move || {
        let head = rest.get(..4)?;
        let (kind, length) = (short(head, 0), usize::from(short(head, 2)));
        let body = rest.get(4..4 + length)?;
        rest = &rest[4 + length..];
        // A chart stands within a sheet.
        match kind {
            0x0809 => depth += 1,
            0x000A => depth -= 1,
            _ => (),
        }
        (depth > 0).then_some((kind, body))
    })
}

/// A cell: its row, its column, its text.
type Cell = (usize, usize, String);

struct XlsWorkbook {
    is_unicode: bool,
    encoding: &'static Encoding,
    sheets: Vec<(String, u32)>,
    strings: Vec<String>,
    /// What the number formats of kinds of cells show.
    formats: Vec<ShownNumber>,
    since_1904: bool,
}

impl XlsWorkbook {
    fn read(main: &[u8], bounds: &ParseBounds) -> Result<XlsWorkbook, Error> {
        let damaged = Error::Damaged {
            of: NAME,
            what: "its records cannot be read",
        };
        if short(main, 0) != 0x0809 {
            return Err(damaged);
        }
        let mut workbook = XlsWorkbook {
            is_unicode: short(main, 4) >= UNICODE,
            encoding: encoding_rs::WINDOWS_1252,
            sheets: Vec::new(),
            strings: Vec::new(),
            formats: Vec::new(),
            since_1904: false,
        };
        let mut own: HashMap<u16, ShownNumber> = HashMap::new();
        let mut shared: Vec<&[u8]> = Vec::new();
        let mut last = 0;
        for (kind, body) in records(main) {
            match kind {
                0x2F => return Err(Error::Locked { of: NAME }),
                0x22 => workbook.since_1904 = short(body, 0) == 1,
                0x42 => workbook.encoding = codepage(short(body, 0).into()).unwrap_or(workbook.encoding),
                // Sheets with cells: neither charts nor macros.
                0x85 if body.get(5) == Some(&0) => {
                    let name = workbook.text(body.get(6..).unwrap_or_default(), true).0;
                    workbook.sheets.push((name, long(body, 0)));
                }
                0x041E => {
                    let format = workbook.text(body.get(2..).unwrap_or_default(), !workbook.is_unicode).0;
                    own.insert(short(body, 0), sheet::shown(&format));
                }
                0xE0 => {
                    let number = short(body, 2);
                    let known = || sheet::shown_by_number(number.into());
                    workbook.formats.push(own.get(&number).copied().unwrap_or_else(known));
                }
                0xFC => shared.push(body),
                CONTINUE if last == 0xFC => shared.push(body),
                _ => (),
            }
            last = if kind == CONTINUE { last } else { kind };
        }
        workbook.strings = strings(&shared, bounds);
        Ok(workbook)
    }

    /// A text with its length before it, in one byte or two, and the bytes that it has.
    fn text(&self, bytes: &[u8], is_short: bool) -> (String, usize) {
        let (length, head) = if is_short {
            (usize::from(bytes.first().copied().unwrap_or(0)), 1)
        } else {
            (usize::from(short(bytes, 0)), 2)
        };
        let part = |from: usize, length: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            &rest[..length.min(rest.len())]
        };
        if !self.is_unicode {
            let text = self.encoding.decode_without_bom_handling(part(head, length)).0;
            return (text.into_owned(), head + length);
        }
        if bytes.get(head).copied().unwrap_or(0) & 1 == 0 {
            (narrow(part(head + 1, length)), head + 1 + length)
        } else {
            (utf16(part(head + 1, 2 * length)), head + 1 + 2 * length)
        }
    }

    /// The cells of a sheet, no more than are left.
    fn cells(&self, bytes: &[u8], left: usize) -> Result<Vec<Cell>, Error> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut formula = None;
        for (kind, body) in records(bytes) {
            if cells.len() > left {
                return Err(Error::Excessive {
                    of: NAME,
                    what: "its sheets have more than 4,000,000 cells",
                });
            }
            let (row, column) = (usize::from(short(body, 0)), usize::from(short(body, 2)));
            let number = |value, format: u16| self.number(value, format);
            let float = |at: usize| {
                body.get(at..at + 8).map_or(0.0, |bytes| {
                    f64::from_le_bytes(bytes.try_into().expect("there are eight"))
                })
            };
            let rest = body.get(6..).unwrap_or_default();
            match kind {
                0xFD => {
                    let text = self.strings.get(long(body, 6) as usize).cloned().unwrap_or_default();
                    cells.push((row, column, text));
                }
                0x0204 | 0xD6 => cells.push((row, column, self.text(rest, false).0)),
                0x0203 => cells.push((row, column, number(float(6), short(body, 4)))),
                0x027E => cells.push((row, column, number(packed(long(body, 6)), short(body, 4)))),
                0xBD => {
                    let many = body.get(4..body.len().saturating_sub(2)).unwrap_or_default();
                    for (at, one) in many.as_chunks::<6>().0.iter().enumerate() {
                        cells.push((row, column + at, number(packed(long(one, 2)), short(one, 0))));
                    }
                }
                0x0205 => cells.push((row, column, truth(rest.first(), rest.get(1) == Some(&1)))),
                0x06 | 0x0206 | 0x0406 => {
                    let is_number = short(body, 12) != 0xFFFF;
                    match body.get(6).copied().unwrap_or(3) {
                        _ if is_number => cells.push((row, column, number(float(6), short(body, 4)))),
                        0 => formula = Some((row, column)),
                        kind @ (1 | 2) => cells.push((row, column, truth(body.get(8), kind == 2))),
                        _ => (),
                    }
                }
                0x0207 | 0x07 => {
                    if let Some((row, column)) = formula.take() {
                        cells.push((row, column, self.text(body, false).0));
                    }
                }
                _ => (),
            }
        }
        Ok(cells)
    }

    fn number(&self, value: f64, format: u16) -> String {
        let shown = self
            .formats
            .get(usize::from(format))
            .copied()
            .unwrap_or(ShownNumber::Number);
        sheet::number(value, shown, self.since_1904)
    }
}

/// A truth value, or an error.
fn truth(value: Option<&u8>, is_error: bool) -> String {
    let value = value.copied().unwrap_or(0);
    let text = match (is_error, value) {
        (false, 0) => "FALSE",
        (false, _) => "TRUE",
        (true, 0x00) => "#NULL!",
        (true, 0x07) => "#DIV/0!",
        (true, 0x0F) => "#VALUE!",
        (true, 0x17) => "#REF!",
        (true, 0x1D) => "#NAME?",
        (true, 0x24) => "#NUM!",
        (true, _) => "#N/A",
    };
    text.to_owned()
}

/// A number in 30 bits: a whole one or the upper half of another, and perhaps a hundredth of it.
fn packed(bits: u32) -> f64 {
    let value = if bits & 2 == 0 {
        f64::from_bits(u64::from(bits & !3) << 32)
    } else {
        f64::from(bits.cast_signed() >> 2)
    };
    if bits & 1 == 0 { value } else { value / 100.0 }
}

fn narrow(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The strings that cells share. Each may go on in the next record, which says anew whether its characters
/// have one byte or two.
fn strings(records: &[&[u8]], bounds: &ParseBounds) -> Vec<String> {
    let mut strings = Vec::new();
    let Some(first) = records.first() else {
        return strings;
    };
    let count = (long(first, 4) as usize).min(bounds.cells);
    let mut source = Source {
        records,
        record: 0,
        at: 8,
    };
    while strings.len() < count {
        let Some(string) = source.string() else { break };
        strings.push(string);
    }
    strings
}

struct Source<'r> {
    records: &'r [&'r [u8]],
    record: usize,
    at: usize,
}

impl<'r> Source<'r> {
    /// What is left of the record; of the next one where nothing is.
    fn rest(&mut self) -> Option<&'r [u8]> {
        loop {
            let rest = self.records.get(self.record)?.get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                return Some(rest);
            }
            (self.record, self.at) = (self.record + 1, 0);
        }
    }

    fn skip(&mut self, mut length: usize) -> Option<()> {
        while length > 0 {
            let here = self.rest()?.len().min(length);
            self.at += here;
            length -= here;
        }
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let head = self.rest()?;
        let (mut length, mut flags) = (usize::from(short(head, 0)), head.get(2).copied()?);
        self.at += 3;
        let (mut runs, mut more) = (0, 0);
        if flags & 8 != 0 {
            runs = usize::from(short(self.rest()?, 0));
            self.at += 2;
        }
        if flags & 4 != 0 {
            more = long(self.rest()?, 0) as usize;
            self.at += 4;
        }
        let mut text = String::new();
        while length > 0 {
            let before = self.record;
            let mut rest = self.rest()?;
            if self.record != before {
                flags = rest[0];
                self.at += 1;
                rest = self.rest()?;
            }
            let width = if flags & 1 == 0 { 1 } else { 2 };
            let here = (rest.len() / width).min(length);
            if here == 0 {
                return None;
            }
            let bytes = &rest[..here * width];
            text.push_str(&if width == 1 { narrow(bytes) } else { utf16(bytes) });
            self.at += here * width;
            length -= here;
        }
        self.skip(4 * runs + more)?;
        Some(text)
    }
}
