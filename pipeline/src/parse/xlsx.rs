//! Excel workbooks (Office Open XML).
//!
//! Read: each sheet under its name, hidden ones too, as tables; of a formula its value as it was saved; dates by
//! ISO 8601, other numbers without their format. A merged cell stands in its first place. Left out: comments, charts,
//! pictures.

use std::collections::HashMap;

use super::bounds::ParseBounds;
use super::markdown::Markdown;
use super::package::Package;
use super::reading::FormatReader;
use super::sheet::{self, Grid, ShownNumber};
use super::xml::{Element, Part, XmlParts};
use super::{Error, Parsed};

const NAME: &str = "Excel workbook (XLSX)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        sample.is_package("spreadsheetml.sheet.main")
            || sample.is_package("spreadsheetml.template.main")
            || sample.is_package("ms-excel.sheet.macroEnabled")
            || sample.is_package("ms-excel.template.macroEnabled")
    },
    parse,
};

struct XlsxWorkbook {
    strings: Vec<String>,
    /// What the number formats of cells show.
    formats: Vec<ShownNumber>,
    since_1904: bool,
}

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let package = Package::open(bytes, NAME, bounds)?;
    let main = package.main()?;
    let text = package.needed(&main)?;
    let tree = package.tree(&text)?;
    let old = tree
        .child("workbookPr")
        .and_then(|properties| properties.get("date1904"));
    let mut workbook = XlsxWorkbook {
        strings: Vec::new(),
        formats: Vec::new(),
        since_1904: matches!(old, Some("1" | "true")),
    };
    let relations = package.relations(&main)?;
    for relation in &relations {
        match relation.kind.as_str() {
            "sharedStrings" => workbook.strings = strings(&package, &relation.target)?,
            "styles" => workbook.formats = formats(&package, &relation.target)?,
            _ => (),
        }
    }
    let mut out = Markdown::default();
    let mut left = sheet::cells(bounds);
    let sheets = tree.child("sheets");
    for entry in sheets.iter().flat_map(|sheets| sheets.elements()) {
        let id = entry.get("id").unwrap_or_default();
        let relation = relations
            .iter()
            .find(|relation| relation.id == id && relation.kind == "worksheet");
        if let Some(relation) = relation
            && let Some(text) = package.text(&relation.target)?
        {
            let mut grid = Grid::new(entry.get("name").unwrap_or_default(), NAME, &mut left, &mut out);
            workbook.sheet(&text, &mut grid, bounds)?;
        }
    }
    Ok(out.finish())
}

/// The strings that cells share.
fn strings(package: &Package<'_>, part: &str) -> Result<Vec<String>, Error> {
    let Some(text) = package.text(part)? else {
        return Ok(Vec::new());
    };
    let mut strings = Vec::new();
    let mut parts = XmlParts::new(&text, NAME, package.bounds);
    while let Some(part) = parts.next()? {
        if let Part::Start(start) = part
            && start.name == "si"
        {
            strings.push(rich(&parts.rest(start)?));
        }
    }
    Ok(strings)
}

/// The text of a string, without the readings that Japanese has beside it.
fn rich(element: &Element<'_>) -> String {
    let mut text = String::new();
    for part in element.elements() {
        match part.name.as_ref() {
            "t" => text.push_str(&part.text()),
            "rPh" | "rPr" => (),
            _ => text.push_str(&rich(part)),
        }
    }
    text
}

/// What the number format of each kind of cell shows.
fn formats(package: &Package<'_>, part: &str) -> Result<Vec<ShownNumber>, Error> {
    let Some(text) = package.text(part)? else {
        return Ok(Vec::new());
    };
    let tree = package.tree(&text)?;
    let own = tree.child("numFmts");
    let own = own.iter().flat_map(|formats| formats.elements());
    let own: HashMap<&str, ShownNumber> = own
        .filter_map(|format| Some((format.get("numFmtId")?, sheet::shown(format.get("formatCode")?))))
        .collect();
    let kinds = tree.child("cellXfs");
    let shown = |kind: &Element<'_>| {
        let id = kind.get("numFmtId").unwrap_or("0");
        own.get(id)
            .copied()
            .unwrap_or_else(|| id.parse().map_or(ShownNumber::Number, sheet::shown_by_number))
    };
    Ok(kinds
        .iter()
        .flat_map(|kinds| kinds.elements())
        .take(65_536)
        .map(shown)
        .collect())
}

impl XlsxWorkbook {
    fn sheet(&self, text: &str, grid: &mut Grid<'_>, bounds: &ParseBounds) -> Result<(), Error> {
        let mut parts = XmlParts::new(text, NAME, bounds);
        let (mut number, mut row) = (0, Vec::new());
        while let Some(part) = parts.next()? {
            let Part::Start(start) = part else { continue };
            match start.name.as_ref() {
                "row" => {
                    if number > 0 {
                        grid.row(number, std::mem::take(&mut row))?;
                    }
                    number = start
                        .get("r")
                        .and_then(|number| number.parse().ok())
                        .unwrap_or(number + 1)
                        .max(1);
                }
                "c" => {
                    let next = row.last().map_or(0, |(column, _)| column + 1);
                    let cell = parts.rest(start)?;
                    let column = cell.get("r").and_then(column).unwrap_or(next);
                    row.push((column, self.cell(&cell)));
                }
                _ => (),
            }
        }
        grid.row(number, row)?;
        grid.end();
        Ok(())
    }

    fn cell(&self, cell: &Element<'_>) -> String {
        let value = || cell.child("v").map(Element::text).unwrap_or_default();
        match cell.get("t") {
            Some("s") => {
                let number = value().trim().parse::<usize>().ok();
                number
                    .and_then(|number| self.strings.get(number).cloned())
                    .unwrap_or_default()
            }
            Some("inlineStr") => cell.child("is").map(rich).unwrap_or_default(),
            Some("b") => if value().trim() == "1" { "TRUE" } else { "FALSE" }.to_owned(),
            Some("str" | "e" | "d") => value(),
            _ => {
                let value = value();
                let kind = cell.get("s").and_then(|kind| kind.parse::<usize>().ok()).unwrap_or(0);
                let shown = self.formats.get(kind).copied().unwrap_or(ShownNumber::Number);
                match value.trim().parse::<f64>() {
                    Ok(number) => sheet::number(number, shown, self.since_1904),
                    Err(_) => value,
                }
            }
        }
    }
}

/// The column of a reference like `BC12`, from 0. There are no more than 16,384.
fn column(reference: &str) -> Option<usize> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic);
    let column = letters.take(4).fold(0, |column, letter| {
        column * 26 + usize::from(letter.to_ascii_uppercase() - b'@')
    });
    column.checked_sub(1).filter(|column| *column < 16_384)
}
