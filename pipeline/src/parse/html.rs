//! Web pages: HTML as browsers take it, and XHTML.
//!
//! Read: the whole body with its headings, lists, tables and code, alternative texts of pictures; navigation too, as no
//! rule tells it from content for sure. Left out: addresses of links, scripts, styles, frames, what is drawn (SVG). A
//! table that has another table in it, or one column only, is taken for layout.

use std::borrow::Cow;

use encoding_rs::Encoding;
use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::bounds::ParseBounds;
use super::markdown::{Markdown, Rows};
use super::reading::{FormatReader, Sample};
use super::xml::{Element, Node};
use super::{Error, Parsed, alt, text};

pub(super) const READING: FormatReader = FormatReader { is: is_page, parse };

/// How far markup that says what it is may be from the beginning, after comments and an XML declaration.
const MARKUP_WITHIN: usize = 1024;
/// How far from its beginning a page may name its charset.
const CHARSET_WITHIN: usize = 4096;

/// By what it begins with, its name or its media type.
fn is_page(sample: &Sample<'_>) -> bool {
    let is_called = matches!(sample.media_type, Some("text/html" | "application/xhtml+xml"))
        || matches!(sample.extension, Some("html" | "htm" | "xhtml" | "xht"));
    sample.text.is_some_and(|text| is_called || is_markup(text))
}

/// Whether a text begins as a page does.
pub(super) fn is_markup(text: &[u8]) -> bool {
    let start = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
    let head = start[..start.len().min(MARKUP_WITHIN)].to_ascii_lowercase();
    let has = |tag: &[u8]| head.windows(tag.len()).any(|window| window == tag);
    head.starts_with(b"<html")
        || head.starts_with(b"<!doctype html")
        || (head.starts_with(b"<?xml") || head.starts_with(b"<!--")) && (has(b"<html") || has(b"<!doctype html"))
}

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let mut out = Markdown::default();
    add(&decode(bytes)?, false, bounds, &mut out);
    Ok(out.finish())
}

/// The text of a page, by its byte order mark, as UTF-8 where it is valid, by what it says itself, or by a guess.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Error> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(CHARSET_WITHIN)]).to_ascii_lowercase();
    let label = head
        .split_once("charset=")
        .or_else(|| head.split_once("encoding="))
        .map(|(_, rest)| rest);
    let label = label.map(|rest| rest.trim_start_matches(['"', '\'', ' ']));
    let label = label.and_then(|rest| rest.split(['"', '\'', ';', '>', ' ', '?']).next());
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    // A page that says UTF-8, and is not in it, is in something else.
    match encoding.filter(|encoding| encoding.is_ascii_compatible() && *encoding != encoding_rs::UTF_8) {
        Some(encoding) if Encoding::for_bom(bytes).is_none() && std::str::from_utf8(bytes).is_err() => {
            Ok(encoding.decode_without_bom_handling(bytes).0.into_owned())
        }
        _ => text::decode(bytes),
    }
}

/// Writes the text of a page. One that is XML has elements that end as they begin (`<title/>`).
pub(super) fn add(page: &str, is_xml: bool, bounds: &ParseBounds, out: &mut Markdown) {
    let tree = tree(page, is_xml, bounds);
    let mut writer = Writer {
        out,
        text: String::new(),
        item: None,
        depth: 0,
    };
    writer.children(&tree);
    writer.flush();
}

/// Elements that are open, the outermost first.
struct Open<'t> {
    stack: Vec<Element<'t>>,
    /// Elements that began where no more may be open, and did not end yet: what is in them belongs to the last one
    /// that is open.
    beyond: usize,
}

fn tree(page: &str, is_xml: bool, bounds: &ParseBounds) -> Element<'static> {
    let mut emitter = DefaultEmitter::default();
    // In XML even a script may end as it begins.
    emitter.naively_switch_states(!is_xml);
    let mut open = Open {
        stack: vec![Element::default()],
        beyond: 0,
    };
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => open.start(&tag, is_xml, bounds.depth),
            Token::EndTag(tag) => open.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) => {
                let text = String::from_utf8_lossy(&text.value).into_owned();
                open.last().nodes.push(Node::Text(Cow::Owned(text)));
            }
            _ => (),
        }
    }
    open.close(1);
    open.stack.swap_remove(0)
}

impl Open<'static> {
    fn last(&mut self) -> &mut Element<'static> {
        self.stack.last_mut().expect("the document is never closed")
    }

    /// Ends elements until so many are open.
    fn close(&mut self, length: usize) {
        while self.stack.len() > length.max(1) {
            let done = self.stack.pop().expect("one is open");
            self.last().nodes.push(Node::Element(done));
        }
    }

    /// Where the innermost of these elements is open, if it is not outside of one of the others.
    fn innermost(&self, names: &[&str], within: &[&str]) -> Option<usize> {
        let inner = self.stack.iter().enumerate().skip(1).rev();
        for (at, element) in inner {
            if names.contains(&element.name.as_ref()) {
                return Some(at);
            } else if within.contains(&element.name.as_ref()) {
                return None;
            }
        }
        None
    }

    fn start(&mut self, tag: &StartTag<()>, is_xml: bool, most: usize) {
        let name = String::from_utf8_lossy(&tag.name);
        let name = name.rsplit(':').next().unwrap_or_default().to_owned();
        let (ended, within): (&[&str], &[&str]) = match name.as_str() {
            "li" => (&["li"], &["ul", "ol", "menu", "table"]),
            "dt" | "dd" => (&["dt", "dd"], &["dl", "table"]),
            "tr" => (&["tr"], &["table"]),
            "td" | "th" => (&["td", "th"], &["tr", "table"]),
            "thead" | "tbody" | "tfoot" => (&["thead", "tbody", "tfoot", "caption"], &["table"]),
            "option" => (&["option"], &["select"]),
            name if is_block(name) => (
                &["p"],
                &["td", "th", "table", "li", "button", "div", "blockquote", "section"],
            ),
            _ => (&[], &[]),
        };
        if self.beyond == 0
            && let Some(at) = self.innermost(ended, within)
        {
            self.close(at);
        }
        let is_void = matches!(
            name.as_str(),
            "area"
                | "base"
                | "br"
                | "col"
                | "embed"
                | "hr"
                | "img"
                | "input"
                | "link"
                | "meta"
                | "source"
                | "track"
                | "wbr"
        );
        let is_void = is_void || tag.self_closing && (is_xml || matches!(name.as_str(), "svg" | "path" | "use"));
        let of = |name: &str| tag.attributes.get(name.as_bytes());
        let kept = ["alt", "colspan", "start", "role", "type"].into_iter();
        let attributes = kept.filter_map(|name| {
            Some((
                name.into(),
                String::from_utf8_lossy(&of(name)?.value).into_owned().into(),
            ))
        });
        let element = Element {
            name: Cow::Owned(name),
            attributes: attributes.collect(),
            nodes: Vec::new(),
        };
        if is_void {
            self.last().nodes.push(Node::Element(element));
        } else if self.stack.len() > most {
            self.beyond += 1;
        } else {
            self.stack.push(element);
        }
    }

    fn end(&mut self, name: &str) {
        let name = name.rsplit(':').next().unwrap_or_default();
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        // No end of an element within a cell ends the cell.
        let within: &[&str] = match name {
            "table" | "tr" | "tbody" | "thead" | "tfoot" | "td" | "th" | "html" | "body" => &["table"],
            _ => &["table", "td", "th"],
        };
        if let Some(at) = self.innermost(&[name], within) {
            self.close(at);
        } else if name == "br" || name == "p" {
            // As browsers do.
            self.last().nodes.push(Node::Element(Element {
                name: Cow::Borrowed("br"),
                ..Element::default()
            }));
        }
    }
}

/// Elements that begin on a line of their own.
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hgroup"
            | "hr"
            | "li"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "p"
            | "pre"
            | "section"
            | "summary"
            | "table"
            | "tr"
            | "ul"
            | "caption"
            | "legend"
            | "option"
            | "td"
            | "th"
            | "thead"
            | "tbody"
            | "tfoot"
            | "title"
            | "search"
    )
}

fn is_silent(name: &str) -> bool {
    matches!(
        name,
        "head"
            | "script"
            | "style"
            | "template"
            | "svg"
            | "iframe"
            | "object"
            | "audio"
            | "video"
            | "canvas"
            | "noembed"
            | "noframes"
            | "rp"
    )
}

struct Writer<'m> {
    out: &'m mut Markdown,
    /// The paragraph that is being read.
    text: String,
    /// The item that the next paragraph begins: its number, where its list has numbers.
    item: Option<Option<usize>>,
    /// Lists within lists.
    depth: usize,
}

impl Writer<'_> {
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        match self.item.take() {
            Some(number) => self.out.item(self.depth.saturating_sub(1), number, &text),
            None => self.out.paragraph(&text),
        }
    }

    fn children(&mut self, parent: &Element<'_>) {
        for node in &parent.nodes {
            match node {
                Node::Text(part) => add_collapsed(part, &mut self.text),
                Node::Element(element) => self.element(element),
            }
        }
    }

    fn element(&mut self, element: &Element<'_>) {
        match element.name.as_ref() {
            name if is_silent(name) => (),
            "br" => self.text.push('\n'),
            "img" => self.text.push_str(&alt::spaced(element.get("alt"))),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                let text = flat(element);
                match self.item.take() {
                    Some(number) => self.out.item(self.depth.saturating_sub(1), number, &text),
                    None => self.out.heading(usize::from(element.name.as_bytes()[1] - b'0'), &text),
                }
            }
            "ul" | "ol" | "menu" => self.list(element),
            "pre" => {
                self.flush();
                self.out.code(&verbatim(element));
            }
            "table" => self.table(element),
            name if is_block(name) => {
                self.flush();
                self.children(element);
                self.flush();
            }
            _ => self.children(element),
        }
    }

    fn list(&mut self, list: &Element<'_>) {
        self.flush();
        self.depth += 1;
        let start = list.get("start").and_then(|start| start.parse().ok()).unwrap_or(1);
        let mut number = (list.name == "ol").then_some(start);
        for node in &list.nodes {
            match node {
                Node::Element(item) if item.name == "li" => {
                    self.item = Some(number);
                    self.children(item);
                    self.flush();
                    self.item = None;
                    number = number.map(|number: usize| number.saturating_add(1));
                }
                Node::Element(other) => {
                    self.element(other);
                    self.flush();
                }
                Node::Text(text) => add_collapsed(text, &mut self.text),
            }
        }
        self.flush();
        self.depth -= 1;
    }

    fn table(&mut self, table: &Element<'_>) {
        self.flush();
        let mut rows = Vec::new();
        rows_of(table, &mut rows);
        let is_layout = table.get("role") == Some("presentation")
            || rows.iter().all(|row| row.len() < 2)
            || table.find("table").is_some();
        if is_layout {
            return self.children(table);
        }
        if let Some(caption) = table.child("caption") {
            self.children(caption);
            self.flush();
        }
        let mut cells = Rows::new();
        for row in rows {
            let mut texts = Vec::new();
            for cell in row {
                texts.push(flat(cell));
                let span = cell
                    .get("colspan")
                    .and_then(|span| span.parse::<usize>().ok())
                    .unwrap_or(1);
                (1..span.min(64)).for_each(|_| texts.push(String::new()));
            }
            cells.push(texts);
        }
        self.out.table(&cells);
    }
}

fn rows_of<'e>(parent: &'e Element<'e>, rows: &mut Vec<Vec<&'e Element<'e>>>) {
    for element in parent.elements() {
        match element.name.as_ref() {
            "tr" => rows.push(
                element
                    .elements()
                    .filter(|cell| matches!(cell.name.as_ref(), "td" | "th"))
                    .collect(),
            ),
            "thead" | "tbody" | "tfoot" => rows_of(element, rows),
            _ => (),
        }
    }
}

/// All text of an element, in lines.
fn flat(parent: &Element<'_>) -> String {
    let mut text = String::new();
    add_flat(parent, &mut text);
    text
}

fn add_flat(parent: &Element<'_>, text: &mut String) {
    for node in &parent.nodes {
        match node {
            Node::Text(part) => add_collapsed(part, text),
            Node::Element(element) => match element.name.as_ref() {
                name if is_silent(name) => (),
                "br" => text.push('\n'),
                "img" => text.push_str(&alt::spaced(element.get("alt"))),
                name => {
                    let is_block = is_block(name);
                    text.push_str(if is_block { "\n" } else { "" });
                    add_flat(element, text);
                    text.push_str(if is_block { "\n" } else { "" });
                }
            },
        }
    }
}

/// Text whose white space counts.
fn verbatim(parent: &Element<'_>) -> String {
    let mut text = String::new();
    for node in &parent.nodes {
        match node {
            Node::Text(part) => text.push_str(part),
            Node::Element(element) if element.name == "br" => text.push('\n'),
            Node::Element(element) if is_silent(&element.name) => (),
            Node::Element(element) => text.push_str(&verbatim(element)),
        }
    }
    text
}

/// Adds text with each white space as one.
pub(super) fn add_collapsed(part: &str, text: &mut String) {
    for character in part.chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' | '\x0C' if text.is_empty() || text.ends_with([' ', '\n']) => (),
            ' ' | '\t' | '\n' | '\r' | '\x0C' => text.push(' '),
            other => text.push(other),
        }
    }
}
