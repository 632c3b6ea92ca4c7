//! XML as a tree, for formats that are made of it.
//!
//! Names are without their prefixes: what a document calls a namespace does not matter, and no two of one document that
//! are read here share a name. Entities of a document's own are not expanded, and nothing outside is loaded.

use std::borrow::Cow;

use encoding_rs::Encoding;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::Error;
use super::bounds::ParseBounds;

/// An element with what is in it. Attributes by their names without prefixes.
#[derive(Debug, Default)]
pub(super) struct Element<'t> {
    pub name: Cow<'t, str>,
    pub attributes: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    pub nodes: Vec<Node<'t>>,
}

/// What is in an element.
#[derive(Debug)]
pub(super) enum Node<'t> {
    Element(Element<'t>),
    Text(Cow<'t, str>),
}

impl<'t> Element<'t> {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Element<'t>> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element in it with that name.
    pub fn child(&self, name: &str) -> Option<&Element<'t>> {
        self.elements().find(|element| element.name == name)
    }

    /// What a way of names leads to.
    pub fn way(&self, names: &[&str]) -> Option<&Element<'t>> {
        names.iter().try_fold(self, |element, name| element.child(name))
    }

    /// Each element below it with that name, in the order of the document, none within another.
    pub fn each(&self, name: &str, take: &mut dyn FnMut(&Element<'t>)) {
        for element in self.elements() {
            if element.name == name {
                take(element);
            } else {
                element.each(name, take);
            }
        }
    }

    /// The first element below it with that name.
    pub fn find(&self, name: &str) -> Option<&Element<'t>> {
        self.elements().find_map(|element| {
            if element.name == name {
                Some(element)
            } else {
                element.find(name)
            }
        })
    }

    /// All text in it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.add_text(&mut text);
        text
    }

    fn add_text(&self, text: &mut String) {
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.add_text(text),
                Node::Text(part) => text.push_str(part),
            }
        }
    }
}

/// The text of an XML file, by its byte order mark or what its declaration says.
pub(super) fn decode(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let declared = head
        .split_once("encoding=")
        .and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
    let encoding = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if bytes.starts_with(b"<\0") => encoding_rs::UTF_16LE,
        None if bytes.starts_with(b"\0<") => encoding_rs::UTF_16BE,
        None => declared
            .and_then(|label| Encoding::for_label(label.as_bytes()))
            .unwrap_or(encoding_rs::UTF_8),
    };
    encoding.decode_with_bom_removal(bytes).0.into_owned()
}

/// Tells the parts of XML one after the other, within the bounds.
pub(super) struct XmlParts<'t> {
    reader: Reader<&'t [u8]>,
    of: &'static str,
    depth: usize,
    most: usize,
}

/// A part of XML.
pub(super) enum Part<'t> {
    Start(Element<'t>),
    End,
    Text(Cow<'t, str>),
}

impl<'t> XmlParts<'t> {
    pub fn new(text: &'t str, of: &'static str, bounds: &ParseBounds) -> XmlParts<'t> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        XmlParts {
            reader,
            of,
            depth: 0,
            most: bounds.depth,
        }
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where it is not well-formed; [`Error::Excessive`] where it is too deep.
    pub fn next(&mut self) -> Result<Option<Part<'t>>, Error> {
        let damaged = Error::Damaged {
            of: self.of,
            what: "its XML is not well-formed",
        };
        loop {
            let event = self.reader.read_event().map_err(|_| damaged.clone())?;
            return Ok(Some(match event {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > self.most {
                        return Err(Error::Excessive {
                            of: self.of,
                            what: "its XML is nested too deeply",
                        });
                    }
                    Part::Start(element(&start))
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Part::End
                }
                Event::Text(text) => Part::Text(text.into_inner()),
                Event::CData(text) => Part::Text(text.into_inner()),
                Event::GeneralRef(name) => match character(&name.into_inner()) {
                    Some(character) => Part::Text(Cow::Owned(character.to_string())),
                    None => continue,
                },
                Event::Eof if self.depth > 0 => return Err(damaged),
                Event::Eof => return Ok(None),
                _ => continue,
            }));
        }
    }

    /// The rest of an element that has begun.
    pub fn rest(&mut self, start: Element<'t>) -> Result<Element<'t>, Error> {
        let mut open = vec![start];
        while let Some(part) = self.next()? {
            match part {
                Part::Start(element) => open.push(element),
                Part::Text(text) => open.last_mut().expect("one is open").nodes.push(Node::Text(text)),
                Part::End => {
                    let done = open.pop().expect("one is open");
                    match open.last_mut() {
                        Some(outer) => outer.nodes.push(Node::Element(done)),
                        None => return Ok(done),
                    }
                }
            }
        }
        Err(Error::Damaged {
            of: self.of,
            what: "its XML is not well-formed",
        })
    }
}

/// The outermost element of XML.
///
/// # Errors
///
/// Those of [`XmlParts::next`].
pub(super) fn tree<'t>(text: &'t str, of: &'static str, bounds: &ParseBounds) -> Result<Element<'t>, Error> {
    let mut parts = XmlParts::new(text, of, bounds);
    while let Some(part) = parts.next()? {
        if let Part::Start(start) = part {
            return parts.rest(start);
        }
    }
    Err(Error::Damaged {
        of,
        what: "its XML is not well-formed",
    })
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn element<'t>(start: &BytesStart<'t>) -> Element<'t> {
    let mut attributes = start.attributes();
    Element {
        name: Cow::Owned(local(start.name().as_ref()).to_owned()),
        attributes: attributes
            .with_checks(false)
            .flatten()
            .map(|attribute| {
                let name = local(attribute.key.as_ref()).to_owned();
                (Cow::Owned(name), Cow::Owned(unescape(&attribute.value).into_owned()))
            })
            .collect(),
        nodes: Vec::new(),
    }
}

/// The character that a reference stands for, of those that XML itself knows.
fn character(name: &str) -> Option<char> {
    let number = |digits: &str, base| char::from_u32(u32::from_str_radix(digits, base).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{A0}'),
        _ => match name.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => number(&hex[1..], 16),
            decimal => number(decimal, 10),
        },
    }
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        rest = after;
        if let Some((name, behind)) = after.split_once(';')
            && let Some(character) = character(name)
        {
            out.push(character);
            rest = behind;
        } else {
            out.push('&');
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
