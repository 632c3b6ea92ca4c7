//! Codes of a font → characters and widths.
#![expect(
    clippy::disallowed_types,
    reason = "a PDF is parsed in a process of its own, which may abort"
)]

use std::collections::BTreeMap;

use lopdf::{Dictionary, Document, Encoding, Object, Result};

use super::STREAM_BYTES;

/// What a string of codes shows.
#[derive(Debug, Default)]
pub struct Shown {
    pub text: String,
    /// Sum of the widths of the glyphs, in units of the font size.
    pub width: f64,
    /// How many glyphs: each is followed by the character spacing.
    pub glyphs: f64,
    /// How many single-byte spaces: each is followed by the word spacing.
    pub spaces: f64,
}

/// A font of a page.
pub struct Font<'a> {
    codes: Codes<'a>,
    widths: BTreeMap<u16, (u16, f64)>,
    default_width: Option<f64>,
}

enum Codes<'a> {
    /// One byte each; what each of the 256 shows.
    Single(Vec<String>),
    /// Two bytes each.
    Double(Encoding<'a>),
    /// Of a length that only the encoding knows.
    Unknown(Encoding<'a>),
}

impl<'a> Font<'a> {
    /// `font` is the dictionary of the document, `mapped` a copy of it without `Encoding`: where a font says
    /// which characters its codes mean (`ToUnicode`), that is better than what its encoding makes of them
    /// (ISO 32000-1, 9.10.2), and lopdf looks at the encoding first.
    pub fn new(document: &'a Document, font: &'a Dictionary, mapped: &'a Dictionary) -> Result<Font<'a>> {
        let encoding = || font.get_font_encoding_with_limit(document, STREAM_BYTES);
        let to_unicode = if mapped.has(b"ToUnicode") {
            Some(mapped.get_font_encoding_with_limit(document, STREAM_BYTES)?)
        } else {
            None
        };
        if font
            .get(b"Subtype")
            .and_then(Object::as_name)
            .is_ok_and(|name| name == b"Type0")
        {
            let codes = match to_unicode {
                Some(map @ Encoding::UnicodeMapEncoding(_)) => Codes::Double(map),
                _ => Codes::Unknown(encoding()?),
            };
            let (widths, default_width) = composite_widths(document, font);
            return Ok(Font {
                codes,
                widths,
                default_width: Some(default_width),
            });
        }
        let encoding = encoding()?;
        let shown = |byte: u8| {
            let mapped = to_unicode.as_ref().and_then(|map| map.bytes_to_string(&[byte]).ok());
            let mapped = mapped.filter(|text| !text.is_empty() && !text.contains('\u{FFFD}'));
            mapped
                .or_else(|| encoding.bytes_to_string(&[byte]).ok())
                .unwrap_or_default()
        };
        let widths = simple_widths(document, font);
        Ok(Font {
            codes: Codes::Single((0..=255).map(shown).collect()),
            widths,
            default_width: None,
        })
    }

    /// What these codes show.
    pub fn show(&self, bytes: &[u8]) -> Shown {
        let mut shown = Shown::default();
        match &self.codes {
            Codes::Single(table) => {
                for byte in bytes {
                    let text = &table[usize::from(*byte)];
                    shown.text.push_str(text);
                    shown.width += self.width(u16::from(*byte)).unwrap_or_else(|| likely_width(text));
                    shown.spaces += f64::from(u8::from(*byte == b' '));
                }
                shown.glyphs = bytes.len() as f64;
            }
            Codes::Double(encoding) => {
                for code in bytes.chunks_exact(2) {
                    let text = encoding.bytes_to_string(code).unwrap_or_default();
                    shown
                        .text
                        .extend(text.chars().filter(|character| *character != '\u{FFFD}'));
                    shown.width += self.width(u16::from_be_bytes([code[0], code[1]])).unwrap_or(1.0);
                    shown.glyphs += 1.0;
                }
            }
            Codes::Unknown(encoding) => {
                shown.text = encoding.bytes_to_string(bytes).unwrap_or_default();
                shown.glyphs = shown.text.chars().count() as f64;
                shown.width = shown.glyphs * self.default_width.unwrap_or(1.0);
            }
        }
        shown
    }

    fn width(&self, code: u16) -> Option<f64> {
        match self.widths.range(..=code).next_back() {
            Some((_, (last, width))) if code <= *last => Some(*width),
            _ => self.default_width,
        }
    }
}

/// The number that an object is; nothing else counts.
pub fn number(object: &Object) -> f64 {
    object.as_float().map_or(0.0, f64::from)
}

/// `FirstChar` and `Widths`; in thousandths, or in the units of a Type 3 font.
fn simple_widths(document: &Document, font: &Dictionary) -> BTreeMap<u16, (u16, f64)> {
    let array = |key: &[u8]| font.get_deref(key, document).and_then(Object::as_array).ok();
    let unit = array(b"FontMatrix")
        .and_then(|matrix| matrix.first())
        .map_or(0.001, number);
    let first = font.get_deref(b"FirstChar", document).map_or(0.0, number) as u16;
    let widths = array(b"Widths").map(Vec::as_slice).unwrap_or_default();
    (first..=255)
        .zip(widths)
        .map(|(code, width)| (code, (code, resolved(document, width) * unit)))
        .collect()
}

/// `W` and `DW` of the descendant font (ISO 32000-1, 9.7.4.3).
fn composite_widths(document: &Document, font: &Dictionary) -> (BTreeMap<u16, (u16, f64)>, f64) {
    let mut widths = BTreeMap::new();
    let descendants = font.get_deref(b"DescendantFonts", document).and_then(Object::as_array);
    let descendant = descendants
        .ok()
        .and_then(|fonts| document.dereference(fonts.first()?).ok());
    let Some(descendant) = descendant.and_then(|(_, font)| font.as_dict().ok()) else {
        return (widths, 1.0);
    };
    let default = descendant.get_deref(b"DW", document).map_or(1000.0, number) / 1000.0;
    let entries = descendant
        .get_deref(b"W", document)
        .and_then(Object::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut entries = entries.iter();
    while let (Some(first), Some(second)) = (entries.next(), entries.next()) {
        let first = number(first) as u16;
        match document.dereference(second) {
            Ok((_, Object::Array(list))) => {
                for (code, width) in (first..=u16::MAX).zip(list) {
                    widths.insert(code, (code, resolved(document, width) / 1000.0));
                }
            }
            _ => {
                let width = entries.next().map_or(0.0, |width| resolved(document, width));
                widths.insert(first, (number(second) as u16, width / 1000.0));
            }
        }
    }
    (widths, default)
}

fn resolved(document: &Document, object: &Object) -> f64 {
    document.dereference(object).map_or(0.0, |(_, object)| number(object))
}

/// The 14 fonts that every viewer has come without widths. Helvetica's, in round numbers.
fn likely_width(text: &str) -> f64 {
    let width = |character: char| match character {
        'i' | 'j' | 'l' | '\'' | '|' => 0.22,
        ' ' | 'f' | 'r' | 't' | 'I' | '.' | ',' | ':' | ';' | '!' | '/' | '(' | ')' | '[' | ']' | '-' => 0.3,
        'm' | 'w' | 'M' | 'W' | '—' | '%' | '@' => 0.85,
        character if character.is_uppercase() => 0.7,
        _ => 0.55,
    };
    text.chars().map(width).sum()
}
