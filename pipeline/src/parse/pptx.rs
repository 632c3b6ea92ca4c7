//! PowerPoint presentations (Office Open XML).
//!
//! Read: of each slide its title as a heading, its text with the levels of its lists, tables, alternative texts of
//! pictures, and the speaker's notes; hidden slides too. Left out: the slides' numbers,
//! comments, animations. Each slide is marked as a page.

use super::bounds::ParseBounds;
use super::markdown::{Markdown, Rows};
use super::package::Package;
use super::reading::FormatReader;
use super::xml::Element;
use super::{Error, Parsed, alt};

const NAME: &str = "PowerPoint presentation (PPTX)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        let plain =
            ["presentation.main", "slideshow.main", "template.main"].map(|word| format!("presentationml.{word}"));
        let with_macros =
            ["presentation", "slideshow", "template"].map(|word| format!("ms-powerpoint.{word}.macroEnabled"));
        plain.iter().chain(&with_macros).any(|word| sample.is_package(word))
    },
    parse,
};

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let package = Package::open(bytes, NAME, bounds)?;
    let main = package.main()?;
    let text = package.needed(&main)?;
    let tree = package.tree(&text)?;
    let relations = package.relations(&main)?;
    let mut out = Markdown::default();
    let list = tree.child("sldIdLst");
    for (number, entry) in (1..).zip(list.iter().flat_map(|list| list.elements())) {
        // It has a number of its own in `id`, and in `r:id` the name of the relation.
        let is_named = |id: &str| entry.attributes.iter().any(|(name, value)| name == "id" && value == id);
        let Some(slide) = relations.iter().find(|relation| is_named(&relation.id)) else {
            continue;
        };
        out.page(number);
        self::slide(&package, &slide.target, &mut out)?;
    }
    Ok(out.finish())
}

fn slide(package: &Package<'_>, part: &str, out: &mut Markdown) -> Result<(), Error> {
    let Some(text) = package.text(part)? else {
        return Ok(());
    };
    let tree = package.tree(&text)?;
    let Some(shapes) = tree.way(&["cSld", "spTree"]) else {
        return Ok(());
    };
    if let Some(title) = title(shapes) {
        out.heading(2, &title.child("txBody").map(flat).unwrap_or_default());
    }
    let relations = package.relations(part)?;
    self::shapes(package, &relations, shapes, out)?;
    for relation in relations.iter().filter(|relation| relation.kind == "notesSlide") {
        let Some(text) = package.text(&relation.target)? else {
            continue;
        };
        let tree = package.tree(&text)?;
        let Some(notes) = tree.way(&["cSld", "spTree"]) else {
            continue;
        };
        for shape in notes.elements().filter(|shape| placeholder(shape) == Some("body")) {
            if let Some(body) = shape.child("txBody") {
                paragraphs(body, false, out);
            }
        }
    }
    Ok(())
}

/// The kind of a placeholder, where the shape is one.
fn placeholder<'e>(shape: &'e Element<'_>) -> Option<&'e str> {
    let properties = shape.elements().find(|element| element.name.starts_with("nv"))?;
    Some(properties.way(&["nvPr", "ph"])?.get("type").unwrap_or("body"))
}

fn is_title(shape: &Element<'_>) -> bool {
    matches!(placeholder(shape), Some("title" | "ctrTitle"))
}

fn title<'e>(shapes: &'e Element<'e>) -> Option<&'e Element<'e>> {
    shapes.elements().find(|shape| is_title(shape))
}

/// What a group of shapes shows, in its order.
fn shapes(
    package: &Package<'_>,
    relations: &[super::package::Relationship],
    group: &Element<'_>,
    out: &mut Markdown,
) -> Result<(), Error> {
    let first = title(group).map(std::ptr::from_ref);
    for shape in group.elements() {
        match shape.name.as_ref() {
            _ if matches!(placeholder(shape), Some("sldNum")) => (),
            _ if first == Some(std::ptr::from_ref(shape)) => (),
            "sp" | "cxnSp" => {
                if let Some(body) = shape.child("txBody") {
                    let is_list = matches!(placeholder(shape), Some("body" | "obj"));
                    paragraphs(body, is_list, out);
                }
            }
            "grpSp" => shapes(package, relations, shape, out)?,
            "pic" => out.paragraph(&picture(shape)),
            "graphicFrame" => frame(package, relations, shape, out)?,
            "AlternateContent" => {
                if let Some(choice) = shape.child("Choice").or_else(|| shape.child("Fallback")) {
                    shapes(package, relations, choice, out)?;
                }
            }
            _ => (),
        }
    }
    Ok(())
}

fn picture(shape: &Element<'_>) -> String {
    let properties = shape.find("cNvPr");
    alt::spaced(properties.and_then(|properties| properties.get("descr")))
}

/// A table, or a diagram, whose text is in a part of its own.
fn frame(
    package: &Package<'_>,
    relations: &[super::package::Relationship],
    frame: &Element<'_>,
    out: &mut Markdown,
) -> Result<(), Error> {
    if let Some(table) = frame.find("tbl") {
        let mut rows = Rows::new();
        for row in table.elements().filter(|row| row.name == "tr") {
            let cells = row.elements().filter(|cell| cell.name == "tc");
            rows.push(
                cells
                    .map(|cell| cell.child("txBody").map(flat).unwrap_or_default())
                    .collect(),
            );
        }
        out.table(&rows);
    } else if let Some(diagram) = frame.find("relIds") {
        let data = diagram.get("dm").unwrap_or_default();
        let Some(part) = relations.iter().find(|relation| relation.id == data) else {
            return Ok(());
        };
        let Some(text) = package.text(&part.target)? else {
            return Ok(());
        };
        package.tree(&text)?.each("t", &mut |body| {
            let text = flat(body);
            out.item(0, None, &text);
        });
    }
    Ok(())
}

/// Paragraphs as items of a list, where they are, or are marked so themselves.
fn paragraphs(body: &Element<'_>, is_list: bool, out: &mut Markdown) {
    let list = || body.elements().filter(|element| element.name == "p");
    let several = list().filter(|paragraph| !flat(paragraph).trim().is_empty()).count() > 1;
    let mut numbers = [0_usize; 10];
    for paragraph in list() {
        let text = inline(paragraph);
        let properties = paragraph.child("pPr");
        let level = properties
            .and_then(|properties| properties.get("lvl")?.parse::<usize>().ok())
            .unwrap_or(0)
            .min(9);
        let has = |name| properties.is_some_and(|properties| properties.child(name).is_some());
        if has("buAutoNum") {
            numbers[level] += 1;
            numbers[level + 1..].fill(0);
            out.item(level, Some(numbers[level]), &text);
        } else if has("buChar") || has("buBlip") || is_list && several && !has("buNone") || level > 0 && !has("buNone")
        {
            numbers[level..].fill(0);
            out.item(level, None, &text);
        } else {
            numbers.fill(0);
            out.paragraph(&text);
        }
    }
}

/// All text of a body in lines.
fn flat(body: &Element<'_>) -> String {
    let mut text = String::new();
    for paragraph in body.elements().filter(|element| element.name == "p") {
        text.push_str(&inline(paragraph));
        text.push('\n');
    }
    if body.name == "p" { inline(body) } else { text }
}

fn inline(paragraph: &Element<'_>) -> String {
    let mut text = String::new();
    for part in paragraph.elements() {
        match part.name.as_ref() {
            "br" => text.push('\n'),
            "t" => text.push_str(&part.text()),
            "pPr" | "rPr" | "endParaRPr" => (),
            _ => text.push_str(&inline(part)),
        }
    }
    text
}
