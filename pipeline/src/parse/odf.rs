//! OpenDocument texts, presentations and spreadsheets.
//!
//! Read: headings by their level, paragraphs, lists, tables, footnotes, text boxes, alternative texts of pictures;
//! of each slide its title, its text and the speaker's notes; of each sheet its cells as they are shown, with a merged
//! cell in its first place. Left out: deleted text, comments, headers and footers, which repeat on each page.

use std::collections::{HashMap, HashSet};

use super::archive::Archive;
use super::bounds::ParseBounds;
use super::html::add_collapsed;
use super::markdown::{Markdown, Rows, one_line};
use super::sheet::{self, Grid};
use super::xml::{self, Element, Node, Part, XmlParts};
use super::{Error, Parsed, alt};

/// The type that a document or template of this kind says to have.
pub(super) fn is_kind(package: &str, kind: &str) -> bool {
    package
        .strip_prefix("application/vnd.oasis.opendocument.")
        .and_then(|rest| rest.strip_prefix(kind))
        .is_some_and(|rest| rest.is_empty() || rest == "-template")
}

/// What [`super::parse`] promises, of a document that messages call `of`.
pub(super) fn parse(bytes: &[u8], of: &'static str, bounds: &ParseBounds) -> Result<Parsed, Error> {
    let archive = Archive::open(bytes, of, bounds)?;
    if let Some(manifest) = archive.read("META-INF/manifest.xml")?
        && xml::tree(&xml::decode(&manifest), of, bounds)?
            .find("encryption-data")
            .is_some()
    {
        return Err(Error::Locked { of });
    }
    let mut document = OpenDocument {
        of,
        left: sheet::cells(bounds),
        ..OpenDocument::default()
    };
    if let Some(styles) = archive.read("styles.xml")? {
        document.styles(&xml::tree(&xml::decode(&styles), of, bounds)?);
    }
    let content = xml::decode(&archive.read_needed("content.xml", "its content is missing")?);
    let mut parts = XmlParts::new(&content, of, bounds);
    // What is large is read piece by piece: sheets by their rows, and texts by their blocks.
    let mut above: Vec<String> = Vec::new();
    while let Some(part) = parts.next()? {
        match part {
            Part::Start(start) => match start.name.as_ref() {
                "document-content" | "body" | "text" | "presentation" | "spreadsheet" | "drawing" => {
                    above.push(start.name.into_owned());
                }
                "automatic-styles" => document.styles(&parts.rest(start)?),
                "table" if above.last().is_some_and(|name| name == "spreadsheet") => {
                    document.sheet(&start, &mut parts)?
                }
                _ => {
                    let block = parts.rest(start)?;
                    document.block(&block)?;
                }
            },
            Part::End => drop(above.pop()),
            Part::Text(_) => (),
        }
    }
    let notes = std::mem::take(&mut document.notes);
    notes.iter().for_each(|note| document.out.paragraph(note));
    Ok(document.out.finish())
}

/// Repeated cells and rows with something in them are written that often at most.
const REPEATED: usize = 1000;

#[derive(Default)]
struct OpenDocument {
    of: &'static str,
    /// The kinds of levels of lists, by list: whether they have numbers.
    lists: HashMap<String, HashSet<usize>>,
    /// The name of the list that a style of paragraphs begins, and styles that are for code.
    code_styles: HashSet<String>,
    notes: Vec<String>,
    slides: u32,
    left: usize,
    out: Markdown,
}

impl OpenDocument {
    fn styles(&mut self, tree: &Element<'_>) {
        tree.each("list-style", &mut |list| {
            let numbered = list.elements().filter(|level| level.name == "list-level-style-number");
            let numbered = numbered.filter(|level| level.get("num-format").is_some_and(|format| !format.is_empty()));
            let levels = numbered.filter_map(|level| level.get("level")?.parse().ok()).collect();
            self.lists
                .insert(list.get("name").unwrap_or_default().to_owned(), levels);
        });
        tree.each("style", &mut |style| {
            let is_code = |name: Option<&str>| {
                matches!(
                    name,
                    Some("Preformatted_20_Text" | "Preformatted Text" | "Source_20_Code")
                )
            };
            if is_code(style.get("name")) || is_code(style.get("parent-style-name")) {
                self.code_styles
                    .insert(style.get("name").unwrap_or_default().to_owned());
            }
        });
    }

    fn blocks(&mut self, parent: &Element<'_>) -> Result<(), Error> {
        let mut code = String::new();
        for element in parent.elements() {
            if element.name == "p" && self.is_code(element) {
                self.inline(element, &mut code, &mut Vec::new())?;
                code.push('\n');
                continue;
            }
            self.out.code(&std::mem::take(&mut code));
            self.block(element)?;
        }
        self.out.code(&code);
        Ok(())
    }

    fn is_code(&self, paragraph: &Element<'_>) -> bool {
        paragraph
            .get("style-name")
            .is_some_and(|style| self.code_styles.contains(style))
    }

    fn block(&mut self, element: &Element<'_>) -> Result<(), Error> {
        match element.name.as_ref() {
            "h" => {
                let level = element
                    .get("outline-level")
                    .and_then(|level| level.parse().ok())
                    .unwrap_or(1);
                let (mut text, mut boxes) = (String::new(), Vec::new());
                self.inline(element, &mut text, &mut boxes)?;
                self.out.heading(level, &text);
                self.boxes(boxes)
            }
            "p" => {
                let (mut text, mut boxes) = (String::new(), Vec::new());
                self.inline(element, &mut text, &mut boxes)?;
                match element.get("style-name") {
                    Some("Title") => self.out.heading(1, &text),
                    _ if self.is_code(element) => self.out.code(&text),
                    _ => self.out.paragraph(&text),
                }
                self.boxes(boxes)
            }
            "list" => self.list(element, 0, None),
            "table" => self.table(element),
            "page" => {
                self.slides += 1;
                self.out.page(self.slides);
                self.slide(element)
            }
            "frame" => self.frame(element),
            "tracked-changes"
            | "annotation"
            | "forms"
            | "sequence-decls"
            | "scripts"
            | "font-face-decls"
            | "title"
            | "desc"
            | "settings"
            | "calculation-settings"
            | "header-decl"
            | "footer-decl"
            | "date-time-decl" => Ok(()),
            _ => self.blocks(element),
        }
    }

    fn boxes(&mut self, boxes: Vec<&Element<'_>>) -> Result<(), Error> {
        boxes.into_iter().try_for_each(|content| self.blocks(content))
    }

    /// The items of a list: its style says whether they have numbers.
    fn list(&mut self, list: &Element<'_>, depth: usize, style: Option<&str>) -> Result<(), Error> {
        let style = list.get("style-name").or(style);
        let has_numbers = style
            .and_then(|style| self.lists.get(style))
            .is_some_and(|levels| levels.contains(&(depth + 1)));
        let mut number = 0;
        for item in list
            .elements()
            .filter(|item| item.name == "list-item" || item.name == "list-header")
        {
            let mut is_first = true;
            for element in item.elements() {
                match element.name.as_ref() {
                    "list" => self.list(element, depth + 1, style)?,
                    // A numbered heading stands in a list.
                    "p" if is_first => {
                        let (mut text, mut boxes) = (String::new(), Vec::new());
                        self.inline(element, &mut text, &mut boxes)?;
                        if !text.trim().is_empty() {
                            number += 1;
                            self.out.item(depth, has_numbers.then_some(number), &text);
                            is_first = false;
                        }
                        self.boxes(boxes)?;
                    }
                    _ => self.block(element)?,
                }
            }
        }
        Ok(())
    }

    /// A slide: its title first.
    fn slide(&mut self, slide: &Element<'_>) -> Result<(), Error> {
        let is_title = |shape: &&Element<'_>| shape.get("class") == Some("title");
        let title = slide.elements().find(is_title);
        if let Some(title) = title {
            let mut text = String::new();
            self.cell(title, &mut text)?;
            self.out.heading(2, &text);
        }
        let title = title.map(std::ptr::from_ref);
        for shape in slide
            .elements()
            .filter(|shape| title != Some(std::ptr::from_ref(*shape)))
        {
            if shape.name == "notes" {
                for shape in shape.elements().filter(|shape| shape.get("class") == Some("notes")) {
                    self.block(shape)?;
                }
            } else if !matches!(shape.get("class"), Some("page-number")) {
                self.block(shape)?;
            }
        }
        Ok(())
    }

    /// A picture has an alternative text beside it, a text box and a table stand in one.
    fn frame(&mut self, frame: &Element<'_>) -> Result<(), Error> {
        for element in frame.elements() {
            match element.name.as_ref() {
                "text-box" => self.blocks(element)?,
                "table" => self.table(element)?,
                "desc" => self.out.paragraph(&alt::spaced(Some(&element.text()))),
                "object" => self.blocks(element)?,
                _ => (),
            }
        }
        Ok(())
    }

    /// The text of what is within a paragraph; the contents of text boxes are put aside.
    fn inline<'e>(
        &mut self,
        parent: &'e Element<'_>,
        text: &mut String,
        boxes: &mut Vec<&'e Element<'e>>,
    ) -> Result<(), Error> {
        for node in &parent.nodes {
            let element = match node {
                Node::Text(part) => {
                    add_collapsed(part, text);
                    continue;
                }
                Node::Element(element) => element,
            };
            match element.name.as_ref() {
                "s" => {
                    let count = element
                        .get("c")
                        .and_then(|count| count.parse::<usize>().ok())
                        .unwrap_or(1);
                    (0..count.min(256)).for_each(|_| text.push(' '));
                }
                "tab" => text.push('\t'),
                "line-break" => text.push('\n'),
                "note" => {
                    let mut body = String::new();
                    if let Some(content) = element.child("note-body") {
                        self.cell(content, &mut body)?;
                    }
                    let number = self.notes.len() + 1;
                    self.notes.push(format!("[^{number}]: {}", one_line(&body)));
                    text.push_str(&format!("[^{number}]"));
                }
                "text-box" => boxes.push(element),
                "desc" => text.push_str(&alt::spaced(Some(&element.text()))),
                "annotation" | "annotation-end" | "tracked-changes" | "ruby-text" | "title" | "binary-data" => (),
                "p" => {
                    self.inline(element, text, boxes)?;
                    text.push('\n');
                }
                "table" => self.cell(element, text)?,
                _ => self.inline(element, text, boxes)?,
            }
        }
        Ok(())
    }

    /// All text of a cell or another container, in lines.
    fn cell(&mut self, parent: &Element<'_>, text: &mut String) -> Result<(), Error> {
        for element in parent.elements() {
            match element.name.as_ref() {
                "p" | "h" => {
                    let mut boxes = Vec::new();
                    self.inline(element, text, &mut boxes)?;
                    text.push('\n');
                    boxes.into_iter().try_for_each(|content| self.cell(content, text))?;
                }
                "annotation" | "tracked-changes" | "shapes" | "title" => (),
                "desc" => text.push_str(&alt::spaced(Some(&element.text()))),
                _ => self.cell(element, text)?,
            }
        }
        Ok(())
    }

    fn table(&mut self, table: &Element<'_>) -> Result<(), Error> {
        let mut rows = Vec::new();
        rows_of(table, &mut rows);
        let cells = |row: &Element<'_>| row.elements().filter(|cell| cell.name == "table-cell").count();
        if rows.iter().all(|row| cells(row) < 2) {
            return rows
                .iter()
                .flat_map(|row| row.elements())
                .try_for_each(|cell| self.blocks(cell));
        }
        let mut all = Rows::new();
        for row in rows {
            let mut texts = Vec::new();
            for (column, text) in self.row(row)? {
                texts.resize(column, String::new());
                texts.push(text);
            }
            self.left = self.left.checked_sub(texts.len()).ok_or(self.excessive())?;
            all.push(texts);
        }
        self.out.table(&all);
        Ok(())
    }

    /// The cells of a row, by their columns.
    fn row(&mut self, row: &Element<'_>) -> Result<Vec<(usize, String)>, Error> {
        let (mut cells, mut column) = (Vec::new(), 0_usize);
        for cell in row.elements() {
            let repeated = repeated(cell, "number-columns-repeated");
            if cell.name == "table-cell" {
                let mut text = String::new();
                self.cell(cell, &mut text)?;
                let text = one_line(&text);
                if !text.is_empty() {
                    for again in 0..repeated.min(REPEATED) {
                        cells.push((column + again, text.clone()));
                    }
                }
            }
            column = column.saturating_add(repeated).min(1 << 14);
        }
        Ok(cells)
    }

    fn excessive(&self) -> Error {
        Error::Excessive {
            of: self.of,
            what: "its tables have more than 4,000,000 cells",
        }
    }

    /// A sheet, row by row.
    fn sheet(&mut self, start: &Element<'_>, parts: &mut XmlParts<'_>) -> Result<(), Error> {
        let mut out = std::mem::take(&mut self.out);
        let mut left = self.left;
        let mut grid = Grid::new(start.get("name").unwrap_or_default(), self.of, &mut left, &mut out);
        let (mut number, mut depth) = (1_usize, 1);
        while depth > 0 {
            match parts.next()? {
                Some(Part::Start(element)) if element.name == "table-row" => {
                    let row = parts.rest(element)?;
                    let cells = self.row(&row)?;
                    let repeated = repeated(&row, "number-rows-repeated");
                    let times = if cells.is_empty() { 0 } else { repeated.min(REPEATED) };
                    for again in 0..times {
                        grid.row(number + again, cells.clone())?;
                    }
                    number = number.saturating_add(repeated);
                }
                Some(Part::Start(element)) if matches!(element.name.as_ref(), "shapes" | "forms" | "table-source") => {
                    parts.rest(element)?;
                }
                Some(Part::Start(_)) => depth += 1,
                Some(Part::End) => depth -= 1,
                Some(Part::Text(_)) => (),
                None => break,
            }
        }
        grid.end();
        self.left = left;
        self.out = out;
        Ok(())
    }
}

fn repeated(element: &Element<'_>, name: &str) -> usize {
    element
        .get(name)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
        .max(1)
}

fn rows_of<'e>(parent: &'e Element<'e>, rows: &mut Vec<&'e Element<'e>>) {
    for element in parent.elements() {
        match element.name.as_ref() {
            "table-row" => rows.push(element),
            "table-header-rows" | "table-rows" | "table-row-group" => rows_of(element, rows),
            _ => (),
        }
    }
}
