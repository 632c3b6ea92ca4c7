//! The text of one page, from where its glyphs are put.
//!
//! lopdf's own `extract_text` writes strings one after another: words of many producers run together, lines break where
//! the font changes. Here the operators are followed with their matrices (ISO 32000-1, 9.4), and the distance from the
//! end of one string to the beginning of the next says what is between them: nothing, a space, a new line or a blank
//! one. The order is that of the page's program, which is the order of reading in nearly all documents.

use std::collections::HashMap;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Error, Object, ObjectId, Result};

use super::STREAM_BYTES;
use super::font::{Font, number};

/// In units of the font size: a gap in a line that is a space. Kerning stays below, a justified line's spaces above.
const SPACE: f64 = 0.15;
/// A step across the line that starts a new one; indices and exponents stay below.
const LINE: f64 = 0.5;
/// A step across the line that leaves a blank one. Lines of one paragraph are 1 to 1.5 apart.
const PARAGRAPH: f64 = 1.75;
/// A step back in a line that starts a new one; accents that are put over a letter stay below.
const BACK: f64 = -1.0;
/// Forms (drawings used like a stamp) within forms.
const FORM_DEPTH: usize = 8;
/// Forms drawn on a page: 40 levels of three each are a bomb of a few kilobytes.
const FORMS: usize = 500;
/// Saved graphics states: lost is only what a broken page saves beyond.
const SAVED_STATES: usize = 256;

type Matrix = [f64; 6];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// The text of a page. What came before an error in the page is kept, unless it is nothing.
pub fn text(document: &Document, page: ObjectId) -> Result<String> {
    let (direct, referenced) = document.get_page_resources(page)?;
    let referenced = referenced.into_iter().filter_map(|id| document.get_dictionary(id).ok());
    let resources: Vec<&Dictionary> = direct.into_iter().chain(referenced).collect();
    let content = document.get_page_content_with_limit(page, STREAM_BYTES)?;
    let mut page = Page {
        document,
        text: String::new(),
        end: None,
        forms_left: FORMS,
    };
    match page.run(&content, &resources, IDENTITY, 0) {
        Err(error) if page.text.trim().is_empty() => Err(error),
        _ => Ok(page.text),
    }
}

struct Page<'a> {
    document: &'a Document,
    text: String,
    /// Where the last string ended.
    end: Option<(f64, f64)>,
    forms_left: usize,
}

/// The part of the graphics state that places text.
#[derive(Clone, Copy)]
struct TextState {
    page: Matrix,
    text: Matrix,
    line: Matrix,
    font: Option<usize>,
    size: f64,
    character_spacing: f64,
    word_spacing: f64,
    scale: f64,
    leading: f64,
}

impl<'a> Page<'a> {
    fn run(&mut self, content: &[u8], resources: &[&'a Dictionary], matrix: Matrix, depth: usize) -> Result<()> {
        let dictionaries = self.fonts(resources);
        let mapped: Vec<Dictionary> = dictionaries.iter().map(|(_, font)| without_encoding(font)).collect();
        let mut fonts = Vec::new();
        let mut names = HashMap::new();
        for ((name, dictionary), mapped) in dictionaries.iter().zip(&mapped) {
            if let Ok(font) = Font::new(self.document, dictionary, mapped) {
                names.insert(name.as_slice(), fonts.len());
                fonts.push(font);
            }
        }
        let mut state = TextState {
            page: matrix,
            text: IDENTITY,
            line: IDENTITY,
            font: None,
            size: 0.0,
            character_spacing: 0.0,
            word_spacing: 0.0,
            scale: 1.0,
            leading: 0.0,
        };
        let mut saved = Vec::new();
        for operation in Content::decode_iter(content) {
            let Operation { operator, operands } = operation?;
            let argument = |index: usize| operands.get(index).map_or(0.0, number);
            match operator.as_str() {
                "q" if saved.len() < SAVED_STATES => saved.push(state),
                "Q" => state = saved.pop().unwrap_or(state),
                "cm" => state.page = product(&matrix_of(&operands), &state.page),
                "BT" => (state.text, state.line) = (IDENTITY, IDENTITY),
                "Tc" => state.character_spacing = argument(0),
                "Tw" => state.word_spacing = argument(0),
                "Tz" => state.scale = argument(0) / 100.0,
                "TL" => state.leading = argument(0),
                "Tf" => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    state.font = name.and_then(|name| names.get(name).copied());
                    state.size = argument(1);
                }
                "Td" => next_line(&mut state, argument(0), argument(1)),
                "TD" => {
                    state.leading = -argument(1);
                    next_line(&mut state, argument(0), argument(1));
                }
                "Tm" => {
                    state.line = matrix_of(&operands);
                    state.text = state.line;
                }
                "T*" => {
                    let leading = state.leading;
                    next_line(&mut state, 0.0, -leading);
                }
                "Tj" | "TJ" => self.show(&mut state, &fonts, operands.first()),
                "'" | "\"" => {
                    if operator == "\"" {
                        (state.word_spacing, state.character_spacing) = (argument(0), argument(1));
                    }
                    let leading = state.leading;
                    next_line(&mut state, 0.0, -leading);
                    self.show(&mut state, &fonts, operands.last());
                }
                "Do" => {
                    if let Some(name) = operands.first().and_then(|name| name.as_name().ok()) {
                        self.form(name, resources, &state, depth)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The fonts that a page or form may name, the nearest of a name first.
    fn fonts(&self, resources: &[&'a Dictionary]) -> Vec<(Vec<u8>, &'a Dictionary)> {
        let mut fonts: Vec<(Vec<u8>, &Dictionary)> = Vec::new();
        for resources in resources {
            let Ok(named) = resources.get_deref(b"Font", self.document).and_then(Object::as_dict) else {
                continue;
            };
            for (name, font) in named.iter() {
                let font = self.document.dereference(font).and_then(|(_, font)| font.as_dict());
                if let (Ok(font), false) = (font, fonts.iter().any(|(known, _)| known == name)) {
                    fonts.push((name.clone(), font));
                }
            }
        }
        fonts
    }

    fn show(&mut self, state: &mut TextState, fonts: &[Font], operand: Option<&Object>) {
        let Some(font) = state.font.and_then(|index| fonts.get(index)) else {
            return;
        };
        match operand {
            Some(Object::String(bytes, _)) => self.show_string(state, font, bytes),
            Some(Object::Array(parts)) => {
                for part in parts {
                    match part {
                        Object::String(bytes, _) => self.show_string(state, font, bytes),
                        adjustment => advance(state, -number(adjustment) / 1000.0 * state.size * state.scale),
                    }
                }
            }
            _ => {}
        }
    }

    fn show_string(&mut self, state: &mut TextState, font: &Font, bytes: &[u8]) {
        let shown = font.show(bytes);
        let matrix = product(&state.text, &state.page);
        let [right_x, right_y] = [matrix[0] * state.size, matrix[1] * state.size];
        let em = right_x.hypot(right_y);
        self.separate((matrix[4], matrix[5]), (right_x / em, right_y / em), em, &shown.text);
        for character in shown.text.chars() {
            match ligature(character) {
                Some(letters) => self.text.push_str(letters),
                None => self.text.push(character),
            }
        }
        let spacing = shown.glyphs * state.character_spacing + shown.spaces * state.word_spacing;
        advance(state, (shown.width * state.size + spacing) * state.scale);
        let matrix = product(&state.text, &state.page);
        self.end = Some((matrix[4], matrix[5]));
    }

    /// Writes what is between the last string and one that begins at `start`, in the direction `right`.
    fn separate(&mut self, start: (f64, f64), right: (f64, f64), em: f64, next: &str) {
        let Some(end) = self.end else { return };
        let step = ((start.0 - end.0) / em, (start.1 - end.1) / em);
        let along = step.0 * right.0 + step.1 * right.1;
        let across = (step.1 * right.0 - step.0 * right.1).abs();
        if across > LINE || along < BACK {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            let wanted = if across > PARAGRAPH { 2 } else { 1 };
            let present = self.text.len() - self.text.trim_end_matches('\n').len();
            self.text.push_str(&"\n\n"[..wanted.max(present) - present]);
        } else if along > SPACE && !self.text.ends_with(char::is_whitespace) && !next.starts_with(char::is_whitespace) {
            self.text.push(' ');
        }
    }

    fn form(&mut self, name: &[u8], resources: &[&'a Dictionary], state: &TextState, depth: usize) -> Result<()> {
        let document = self.document;
        let form = resources.iter().find_map(|resources| {
            let forms = resources
                .get_deref(b"XObject", document)
                .and_then(Object::as_dict)
                .ok()?;
            forms.get_deref(name, document).and_then(Object::as_stream).ok()
        });
        let is_form = |stream: &&lopdf::Stream| {
            stream
                .dict
                .get(b"Subtype")
                .and_then(Object::as_name)
                .is_ok_and(|name| name == b"Form")
        };
        let Some(form) = form.filter(is_form) else {
            return Ok(());
        };
        if depth >= FORM_DEPTH || self.forms_left == 0 {
            return Err(Error::RecursionLimit);
        }
        self.forms_left -= 1;
        let matrix = form.dict.get_deref(b"Matrix", document).and_then(Object::as_array);
        let matrix = product(&matrix.map_or(IDENTITY, |matrix| matrix_of(matrix)), &state.page);
        let content = form.get_plain_content_with_limit(STREAM_BYTES)?;
        match form.dict.get_deref(b"Resources", document).and_then(Object::as_dict) {
            Ok(own) => self.run(&content, &[own], matrix, depth + 1),
            Err(_) => self.run(&content, resources, matrix, depth + 1),
        }
    }
}

fn without_encoding(font: &Dictionary) -> Dictionary {
    let mut font = font.clone();
    font.remove(b"Encoding");
    font
}

fn advance(state: &mut TextState, distance: f64) {
    state.text = product(&[1.0, 0.0, 0.0, 1.0, distance, 0.0], &state.text);
}

fn next_line(state: &mut TextState, x: f64, y: f64) {
    state.line = product(&[1.0, 0.0, 0.0, 1.0, x, y], &state.line);
    state.text = state.line;
}

fn matrix_of(operands: &[Object]) -> Matrix {
    match operands {
        [a, b, c, d, e, f] => [a, b, c, d, e, f].map(number),
        _ => IDENTITY,
    }
}

/// First `a`, then `b`.
fn product(a: &Matrix, b: &Matrix) -> Matrix {
    [
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4],
        a[4] * b[1] + a[5] * b[3] + b[5],
    ]
}

/// Typography, not spelling: "ofﬁce" is the word office in a search.
fn ligature(character: char) -> Option<&'static str> {
    Some(match character {
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' | 'ﬆ' => "st",
        '\0' => "",
        _ => return None,
    })
}
