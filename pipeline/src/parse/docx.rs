//! Word documents (Office Open XML).
//!
//! Read: paragraphs, headings by their outline level, lists, tables, footnotes and endnotes, text boxes,
//! alternative texts of pictures, formulas as their letters, inserted text. Left out: deleted text, hidden
//! text, comments, headers and footers, which repeat on each page.

use std::collections::HashMap;

use super::bounds::ParseBounds;
use super::markdown::{Markdown, Rows, one_line};
use super::package::Package;
use super::reading::FormatReader;
use super::xml::Element;
use super::{Error, Parsed, alt};

const NAME: &str = "Word document (DOCX)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        [
            "wordprocessingml.document.main",
            "wordprocessingml.template.main",
            "ms-word.document.macro",
            "ms-word.template.macro",
        ]
        .into_iter()
        .any(|word| sample.is_package(word))
    },
    parse,
};

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let package = Package::open(bytes, NAME, bounds)?;
    let main = package.main()?;
    let mut document = WordDocument::default();
    let mut notes = Vec::new();
    for relation in package.relations(&main)? {
        match relation.kind.as_str() {
            "styles" | "numbering" => {
                let Some(text) = package.text(&relation.target)? else {
                    continue;
                };
                let tree = package.tree(&text)?;
                match relation.kind.as_str() {
                    "styles" => document.styles = styles(&tree),
                    _ => document.lists = lists(&tree),
                }
            }
            "footnotes" | "endnotes" => notes.extend(package.text(&relation.target)?),
            _ => (),
        }
    }
    let text = package.needed(&main)?;
    let tree = package.tree(&text)?;
    if let Some(body) = tree.child("body") {
        document.blocks(body);
    }
    document.end_code();
    for text in &notes {
        document.notes(&package.tree(text)?);
    }
    Ok(document.out.finish())
}

#[derive(Default)]
struct Style {
    name: String,
    based_on: Option<String>,
    /// The level of its headings, from 1.
    heading: Option<usize>,
    list: Option<(String, usize)>,
}

/// The levels of a list: whether they have numbers, and with which those begin.
#[derive(Clone, Default)]
struct List(HashMap<usize, Option<usize>>);

#[derive(Default)]
struct WordDocument {
    styles: HashMap<String, Style>,
    lists: HashMap<String, List>,
    /// The last number of a level of a list.
    numbers: HashMap<(String, usize), usize>,
    /// The numbers of footnotes and endnotes that the text refers to, by kind and name.
    noted: HashMap<(bool, String), usize>,
    code: Vec<String>,
    /// A first letter in a frame of its own, which belongs to the next paragraph.
    drop_cap: String,
    out: Markdown,
}

fn value<'e>(element: &'e Element<'_>, way: &[&str]) -> Option<&'e str> {
    element.way(way)?.get("val")
}

fn styles(tree: &Element<'_>) -> HashMap<String, Style> {
    let style = |style: &Element<'_>| {
        let name = value(style, &["name"]).unwrap_or_default().to_lowercase();
        let outline = value(style, &["pPr", "outlineLvl"]).and_then(|level| level.parse::<usize>().ok());
        let by_name = match name.as_str() {
            "title" => Some(1),
            _ => name.strip_prefix("heading ").and_then(|level| level.parse().ok()),
        };
        let list = style.way(&["pPr", "numPr"]).and_then(numbering);
        let based_on = value(style, &["basedOn"]).map(str::to_owned);
        let heading = by_name.or(outline.filter(|level| *level < 9).map(|level| level + 1));
        Some((
            style.get("styleId")?.to_owned(),
            Style {
                name,
                based_on,
                heading,
                list,
            },
        ))
    };
    tree.elements()
        .filter(|element| element.name == "style")
        .filter_map(style)
        .collect()
}

/// The list that a paragraph or a style belongs to, and its level.
fn numbering(properties: &Element<'_>) -> Option<(String, usize)> {
    let level = value(properties, &["ilvl"])
        .and_then(|level| level.parse().ok())
        .unwrap_or(0);
    Some((value(properties, &["numId"])?.to_owned(), level))
}

fn lists(tree: &Element<'_>) -> HashMap<String, List> {
    let levels = |list: &Element<'_>| {
        let levels = list.elements().filter(|level| level.name == "lvl");
        let level = |level: &Element<'_>| {
            let start = value(level, &["start"])
                .and_then(|start| start.parse().ok())
                .unwrap_or(1);
            let has_numbers = !matches!(value(level, &["numFmt"]), None | Some("bullet" | "none"));
            Some((level.get("ilvl")?.parse().ok()?, has_numbers.then_some(start)))
        };
        List(levels.filter_map(level).collect())
    };
    let named = tree.elements().filter(|list| list.name == "abstractNum");
    let abstracts: HashMap<&str, List> = named
        .filter_map(|list| Some((list.get("abstractNumId")?, levels(list))))
        .collect();
    let lists = tree.elements().filter(|list| list.name == "num");
    let list = |list: &Element<'_>| {
        let levels = abstracts.get(value(list, &["abstractNumId"])?)?;
        Some((list.get("numId")?.to_owned(), levels.clone()))
    };
    lists.filter_map(list).collect()
}

impl WordDocument {
    /// Paragraphs and tables, and what is around those.
    fn blocks(&mut self, parent: &Element<'_>) {
        for element in parent.elements() {
            match element.name.as_ref() {
                "p" => self.paragraph(element),
                "tbl" => self.table(element),
                "del" | "moveFrom" | "sectPr" | "sdtPr" | "tcPr" | "tblPr" | "tblGrid" => (),
                _ => self.blocks(element),
            }
        }
    }

    /// Looks through a style and those that it is based on.
    fn styled<T>(&self, style: Option<&str>, of: impl Fn(&Style) -> Option<T>) -> Option<T> {
        let mut name = style?;
        for _ in 0..20 {
            let style = self.styles.get(name)?;
            if let Some(found) = of(style) {
                return Some(found);
            }
            name = style.based_on.as_deref()?;
        }
        None
    }

    fn paragraph(&mut self, element: &Element<'_>) {
        let (mut text, mut boxes) = (std::mem::take(&mut self.drop_cap), Vec::new());
        self.inline(element, &mut text, &mut boxes);
        let properties = element.child("pPr");
        if properties
            .and_then(|properties| properties.child("framePr")?.get("dropCap"))
            .is_some_and(|cap| cap != "none")
        {
            self.drop_cap = text;
            return;
        }
        let style = properties.and_then(|properties| value(properties, &["pStyle"]));
        let own = properties.and_then(|properties| value(properties, &["outlineLvl"]));
        let own = own
            .and_then(|level| level.parse::<usize>().ok())
            .map(|level| (level < 9).then_some(level + 1));
        let heading = own.unwrap_or_else(|| self.styled(style, |style| style.heading));
        let is_code = self.styled(style, |style| is_code(&style.name).then_some(())).is_some();
        let list = properties
            .and_then(|properties| properties.child("numPr"))
            .and_then(numbering);
        let list = list.or_else(|| self.styled(style, |style| style.list.clone()));
        if is_code && heading.is_none() {
            self.code.push(text);
        } else if let Some(level) = heading {
            self.end_code();
            self.out.heading(level, &text);
        } else if !text.trim().is_empty() {
            self.end_code();
            match list.and_then(|(list, level)| self.lists.get(&list).map(|levels| (levels.clone(), list, level))) {
                Some((levels, list, level)) => self.item(&levels, list, level, &text),
                None => self.out.paragraph(&text),
            }
        }
        for content in boxes {
            self.blocks(content);
        }
    }

    fn item(&mut self, levels: &List, list: String, level: usize, text: &str) {
        let Some(start) = levels.0.get(&level).copied().flatten() else {
            return self.out.item(level, None, text);
        };
        self.numbers
            .retain(|(other, deeper), _| *other != list || *deeper <= level);
        let number = self
            .numbers
            .entry((list, level))
            .and_modify(|number| *number += 1)
            .or_insert(start);
        let number = *number;
        self.out.item(level, Some(number), text);
    }

    fn end_code(&mut self) {
        if !self.code.is_empty() {
            let code = std::mem::take(&mut self.code).join("\n");
            self.out.code(&code);
        }
    }

    /// The text of what is within a paragraph; the contents of text boxes are put aside.
    fn inline<'e>(&mut self, parent: &'e Element<'_>, text: &mut String, boxes: &mut Vec<&'e Element<'e>>) {
        for element in parent.elements() {
            match element.name.as_ref() {
                "t" => text.push_str(&element.text()),
                "tab" | "ptab" => text.push('\t'),
                "br" | "cr" => text.push('\n'),
                "noBreakHyphen" => text.push('-'),
                "pPr" | "rPr" | "del" | "moveFrom" | "instrText" | "delText" | "fldData" | "sdtPr" => (),
                "r" if is_hidden(element) => (),
                "footnoteReference" | "endnoteReference" => {
                    let kind = element.name == "endnoteReference";
                    let next = self.noted.len() + 1;
                    let id = element.get("id").unwrap_or_default().to_owned();
                    let number = self.noted.entry((kind, id)).or_insert(next);
                    text.push_str(&format!("[^{number}]"));
                }
                "docPr" => text.push_str(&alt::spaced(element.get("descr"))),
                "txbxContent" => boxes.push(element),
                "AlternateContent" => {
                    if let Some(choice) = element.child("Choice").or_else(|| element.child("Fallback")) {
                        self.inline(choice, text, boxes);
                    }
                }
                _ => self.inline(element, text, boxes),
            }
        }
    }

    fn table(&mut self, table: &Element<'_>) {
        self.end_code();
        let mut rows = Vec::new();
        rows_of(table, &mut rows);
        if rows.iter().all(|row| row.len() < 2) {
            return rows.into_iter().flatten().for_each(|cell| self.blocks(cell));
        }
        let mut cells = Rows::new();
        for row in rows {
            let mut texts = Vec::new();
            for cell in row {
                let mut text = String::new();
                self.cell(cell, &mut text);
                texts.push(text);
                let span = value(cell, &["tcPr", "gridSpan"]).and_then(|span| span.parse::<usize>().ok());
                (1..span.unwrap_or(1).min(64)).for_each(|_| texts.push(String::new()));
            }
            cells.push(texts);
        }
        self.out.table(&cells);
    }

    /// All text of a cell, with that of tables in it.
    fn cell(&mut self, parent: &Element<'_>, text: &mut String) {
        for element in parent.elements() {
            match element.name.as_ref() {
                "p" => {
                    let mut boxes = Vec::new();
                    self.inline(element, text, &mut boxes);
                    text.push('\n');
                    boxes.into_iter().for_each(|content| self.cell(content, text));
                }
                "del" | "moveFrom" | "sdtPr" | "tcPr" | "tblPr" => (),
                _ => self.cell(element, text),
            }
        }
    }

    /// Footnotes or endnotes, of those that the text refers to.
    fn notes(&mut self, tree: &Element<'_>) {
        let kind = tree.name == "endnotes";
        for note in tree.elements() {
            let id = note.get("id").unwrap_or_default().to_owned();
            let Some(number) = self.noted.get(&(kind, id)).copied() else {
                continue;
            };
            let mut text = String::new();
            self.cell(note, &mut text);
            self.out.paragraph(&format!("[^{number}]: {}", one_line(&text)));
        }
    }
}

fn is_code(style: &str) -> bool {
    matches!(
        style,
        "source code" | "html preformatted" | "preformatted text" | "code" | "plain text"
    )
}

fn is_hidden(run: &Element<'_>) -> bool {
    let hidden = run.way(&["rPr", "vanish"]);
    hidden.is_some_and(|hidden| !matches!(hidden.get("val"), Some("0" | "false" | "off")))
}

/// The cells of a table, those of tables in it aside.
fn rows_of<'e>(parent: &'e Element<'e>, rows: &mut Vec<Vec<&'e Element<'e>>>) {
    for element in parent.elements() {
        match element.name.as_ref() {
            "tr" => {
                let mut cells = Vec::new();
                cells_of(element, &mut cells);
                rows.push(cells);
            }
            "del" => (),
            _ => rows_of(element, rows),
        }
    }
}

fn cells_of<'e>(parent: &'e Element<'e>, cells: &mut Vec<&'e Element<'e>>) {
    for element in parent.elements() {
        match element.name.as_ref() {
            "tc" => cells.push(element),
            "trPr" | "del" => (),
            _ => cells_of(element, cells),
        }
    }
}
