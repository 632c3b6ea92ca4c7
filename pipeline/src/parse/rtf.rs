//! Rich Text Format.
//!
//! Read: paragraphs, headings by their outline level or style, lists, tables, footnotes, results of fields. Left out:
//! headers and footers, which repeat on each page, comments, hidden and deleted text, pictures.

use std::collections::HashMap;

use encoding_rs::Encoding;

use super::bounds::ParseBounds;
use super::markdown::{Markdown, Rows, one_line};
use super::reading::FormatReader;
use super::{Error, Parsed};

const NAME: &str = "Rich Text Format document";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        let text = sample.text.unwrap_or(sample.bytes);
        let start = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
        start.starts_with(b"{\\rtf") || sample.extension == Some("rtf") && start.starts_with(b"{\\")
    },
    parse,
};

/// Groups within groups.
const DEPTH: usize = 1000;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let mut reader = RtfReader {
        bytes,
        at: 0,
        cells_left: bounds.cells,
        ..RtfReader::default()
    };
    reader.state.replacements = 1;
    reader.read()?;
    Ok(reader.out.finish())
}

/// What a group is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Into {
    #[default]
    Text,
    /// It is not shown.
    Nothing,
    Fonts,
    Styles,
    /// The marker of an item of a list.
    Marker,
    Note,
}

/// What holds until the group ends.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    into: Into,
    /// Characters that stand for one in Unicode, for older readers.
    replacements: usize,
    font: i32,
    is_hidden: bool,
}

#[derive(Default)]
struct RtfReader<'b> {
    bytes: &'b [u8],
    at: usize,
    state: State,
    stack: Vec<State>,
    encoding: Option<&'static Encoding>,
    /// The charset of each font, where it has one of its own.
    fonts: HashMap<i32, &'static Encoding>,
    /// The level of the headings of a style.
    styles: HashMap<i32, usize>,
    style: i32,
    style_name: String,
    /// Bytes that are not decoded yet.
    pending: Vec<u8>,
    /// Half of a character in UTF-16.
    half: Option<u16>,
    skip: usize,
    text: String,
    marker: String,
    note: String,
    notes: Vec<String>,
    heading: Option<usize>,
    level: usize,
    in_table: bool,
    row: Vec<String>,
    rows: Rows,
    cells_left: usize,
    out: Markdown,
}

enum Token<'b> {
    Open,
    Close,
    /// A control word with its number.
    Word(&'b str, Option<i32>),
    /// `\*` before the word of a group that may be skipped.
    Optional,
    /// A byte in hexadecimal, or as it is.
    Byte(u8),
    /// A control symbol.
    Symbol(u8),
}

impl<'b> RtfReader<'b> {
    fn token(&mut self) -> Option<Token<'b>> {
        let bytes = self.bytes;
        loop {
            let byte = *bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'{' => return Some(Token::Open),
                b'}' => return Some(Token::Close),
                b'\r' | b'\n' | 0 => (),
                b'\\' => break,
                other => return Some(Token::Byte(other)),
            }
        }
        let first = *bytes.get(self.at)?;
        if !first.is_ascii_alphabetic() {
            self.at += 1;
            return Some(match first {
                b'\'' => {
                    let digits = bytes.get(self.at..self.at + 2).unwrap_or_default();
                    self.at = (self.at + 2).min(bytes.len());
                    let digits = std::str::from_utf8(digits).unwrap_or_default();
                    Token::Byte(u8::from_str_radix(digits, 16).unwrap_or(b'?'))
                }
                b'*' => Token::Optional,
                other => Token::Symbol(other),
            });
        }
        let length = |bytes: &[u8], is: fn(&u8) -> bool| bytes.iter().take_while(|byte| is(byte)).count();
        let word = self.at..self.at + length(&bytes[self.at..], u8::is_ascii_alphabetic).min(32);
        self.at = word.end;
        let sign = usize::from(bytes.get(self.at) == Some(&b'-'));
        let digits = length(bytes.get(self.at + sign..).unwrap_or_default(), u8::is_ascii_digit);
        let mut number = None;
        if digits > 0 {
            let text = std::str::from_utf8(&bytes[self.at..self.at + sign + digits]).unwrap_or_default();
            number = Some(text.parse().unwrap_or(0));
            self.at += sign + digits;
        }
        if bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        Some(Token::Word(
            std::str::from_utf8(&bytes[word]).unwrap_or_default(),
            number,
        ))
    }

    fn read(&mut self) -> Result<(), Error> {
        let mut is_optional = false;
        while let Some(token) = self.token() {
            let was_optional = std::mem::replace(&mut is_optional, matches!(token, Token::Optional));
            if !matches!(token, Token::Byte(_)) {
                self.decode();
            }
            match token {
                Token::Open => {
                    if self.stack.len() >= DEPTH {
                        return Err(Error::Excessive {
                            of: NAME,
                            what: "its groups are nested too deeply",
                        });
                    }
                    self.skip = 0;
                    self.stack.push(self.state);
                }
                Token::Close => self.close(),
                Token::Byte(_) | Token::Symbol(_) if self.skip > 0 => self.skip -= 1,
                Token::Byte(byte) => self.pending.push(byte),
                Token::Symbol(symbol) => self.symbol(symbol)?,
                Token::Word(word, number) => self.word(word, number, was_optional)?,
                Token::Optional => (),
            }
        }
        self.decode();
        self.paragraph();
        self.end_table();
        let notes = std::mem::take(&mut self.notes);
        notes.iter().for_each(|note| self.out.paragraph(note));
        Ok(())
    }

    fn close(&mut self) {
        let before = self.stack.pop().unwrap_or_default();
        if self.state.into == Into::Note && before.into != Into::Note {
            let number = self.notes.len() + 1;
            let note = one_line(&std::mem::take(&mut self.note));
            self.text.push_str(&format!("[^{number}]"));
            self.notes.push(format!("[^{number}]: {note}"));
        }
        if self.state.into == Into::Styles {
            let name = self.style_name.trim().trim_end_matches(';').to_lowercase();
            let level = if name == "title" {
                Some(1)
            } else {
                name.strip_prefix("heading ").and_then(|level| level.parse().ok())
            };
            if let Some(level) = level {
                self.styles.insert(self.style, level);
            }
            self.style_name.clear();
            self.style = 0;
        }
        self.skip = 0;
        self.state = before;
    }

    /// Adds what bytes stand for, by the charset of their font.
    fn decode(&mut self) {
        if !self.pending.is_empty() {
            let own = self.fonts.get(&self.state.font).copied();
            let encoding = own.or(self.encoding).unwrap_or(encoding_rs::WINDOWS_1252);
            let pending = std::mem::take(&mut self.pending);
            let text = encoding.decode_without_bom_handling(&pending).0.into_owned();
            self.add(&text);
        }
    }

    fn add(&mut self, text: &str) {
        match self.state.into {
            _ if self.state.is_hidden => (),
            Into::Text => self.text.push_str(text),
            Into::Styles => self.style_name.push_str(text),
            Into::Marker => self.marker.push_str(text),
            Into::Note => self.note.push_str(text),
            Into::Nothing | Into::Fonts => (),
        }
    }

    fn symbol(&mut self, symbol: u8) -> Result<(), Error> {
        match symbol {
            b'\\' | b'{' | b'}' => self.add(char::from(symbol).encode_utf8(&mut [0; 4])),
            b'~' => self.add("\u{A0}"),
            b'_' => self.add("-"),
            b'\r' | b'\n' => self.end_paragraph(),
            b'\t' => self.add("\t"),
            _ => (),
        }
        Ok(())
    }

    fn word(&mut self, word: &str, number: Option<i32>, is_optional: bool) -> Result<(), Error> {
        if self.destination(word, is_optional) || self.character(word, number) {
            return Ok(());
        }
        let on = number != Some(0);
        let value = number.unwrap_or(0);
        match word {
            "bin" => {
                self.at = self
                    .at
                    .saturating_add(usize::try_from(value).unwrap_or(0))
                    .min(self.bytes.len())
            }
            "uc" => self.state.replacements = usize::try_from(value).unwrap_or(1).min(8),
            "ansicpg" => self.encoding = codepage(value).or(self.encoding),
            "mac" => self.encoding = Some(encoding_rs::MACINTOSH),
            "f" => self.state.font = value,
            "fcharset" if self.state.into == Into::Fonts => {
                if let Some(encoding) = charset(value) {
                    self.fonts.insert(self.state.font, encoding);
                }
            }
            "v" | "deleted" => self.state.is_hidden = on,
            "plain" => self.state.is_hidden = false,
            "s" if self.state.into == Into::Styles => self.style = value,
            "s" => self.heading = self.styles.get(&value).copied().or(self.heading),
            "outlinelevel" if self.state.into == Into::Text => {
                self.heading = usize::try_from(value)
                    .ok()
                    .filter(|level| *level < 9)
                    .map(|level| level + 1);
            }
            "ilvl" => self.level = usize::try_from(value).unwrap_or(0).min(8),
            "pard" if self.state.into == Into::Text => (self.heading, self.in_table, self.level) = (None, false, 0),
            "intbl" => self.in_table = true,
            "par" | "sect" | "page" => self.end_paragraph(),
            "cell" | "nestcell" if self.state.into == Into::Text => self.cell(word == "nestcell")?,
            "row" if self.state.into == Into::Text => {
                let row = std::mem::take(&mut self.row);
                self.rows.push(row);
            }
            _ => (),
        }
        Ok(())
    }

    /// Words that say what their group is for.
    fn destination(&mut self, word: &str, is_optional: bool) -> bool {
        if self.state.into == Into::Nothing {
            return word != "bin";
        }
        self.state.into = match word {
            "fonttbl" => Into::Fonts,
            "stylesheet" => Into::Styles,
            "listtext" | "pntext" => {
                self.marker.clear();
                Into::Marker
            }
            "footnote" => Into::Note,
            "shptxt" | "shpinst" | "shprslt" | "cs" | "ts" | "ds" if is_optional => self.state.into,
            "colortbl" | "info" | "pict" | "object" | "header" | "headerl" | "headerr" | "headerf" | "footer"
            | "footerl" | "footerr" | "footerf" | "fldinst" | "xe" | "tc" | "rxe" | "nonshppict" | "annotation"
            | "filetbl" | "revtbl" | "listtable" | "listoverridetable" | "template" | "datafield" | "ftnsep"
            | "ftnsepc" | "aftnsep" => Into::Nothing,
            _ if is_optional => Into::Nothing,
            _ => return false,
        };
        true
    }

    /// Words that stand for a character.
    fn character(&mut self, word: &str, number: Option<i32>) -> bool {
        let text = match word {
            "u" => {
                let unit = number.unwrap_or(0) as u16;
                self.skip = self.state.replacements;
                let units = self.half.take().into_iter().chain([unit]);
                if (0xD800..0xDC00).contains(&unit) {
                    self.half = Some(unit);
                    return true;
                }
                let text: String = char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect();
                // Symbols of a font, which have no meaning elsewhere.
                let text = text.replace(|character| ('\u{E000}'..='\u{F8FF}').contains(&character), "");
                self.add(&text);
                return true;
            }
            "tab" => "\t",
            "line" => "\n",
            "emdash" => "\u{2014}",
            "endash" => "\u{2013}",
            "lquote" => "\u{2018}",
            "rquote" => "\u{2019}",
            "ldblquote" => "\u{201C}",
            "rdblquote" => "\u{201D}",
            "bullet" => "\u{2022}",
            "emspace" | "enspace" | "qmspace" => " ",
            _ => return false,
        };
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.add(text);
        }
        true
    }

    fn end_paragraph(&mut self) {
        match self.state.into {
            Into::Text if self.in_table => self.text.push('\n'),
            Into::Text => self.paragraph(),
            _ => self.add("\n"),
        }
    }

    fn cell(&mut self, is_nested: bool) -> Result<(), Error> {
        if is_nested {
            self.text.push(' ');
            return Ok(());
        }
        let excessive = Error::Excessive {
            of: NAME,
            what: "its tables have more than 4,000,000 cells",
        };
        self.cells_left = self.cells_left.checked_sub(1).ok_or(excessive)?;
        self.row.push(std::mem::take(&mut self.text));
        self.marker.clear();
        Ok(())
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

    fn paragraph(&mut self) {
        let text = std::mem::take(&mut self.text);
        let marker = std::mem::take(&mut self.marker);
        if text.trim().is_empty() {
            return;
        }
        self.end_table();
        if let Some(level) = self.heading {
            return self.out.heading(level, &text);
        }
        // Some write the marker into the paragraph, before a tab.
        let (before, after) = text.split_once('\t').unwrap_or((&text, ""));
        let is_bullet = matches!(
            before.trim(),
            "\u{2022}" | "\u{25E6}" | "\u{25AA}" | "\u{B7}" | "\u{2013}" | "-"
        );
        let bulleted = (is_bullet && marker.is_empty()).then_some(after);
        let number = before
            .trim()
            .strip_suffix('.')
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(number) = number
            .and_then(|number| number.parse().ok())
            .filter(|_| marker.is_empty())
        {
            return self.out.item(self.level, Some(number), after);
        }
        let marked = marker.trim();
        let digits: String = marked
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        match (bulleted, digits.parse().ok()) {
            (Some(rest), _) => self.out.item(self.level, None, rest),
            (None, Some(number)) => self.out.item(self.level, Some(number), &text),
            (None, None) if !marker.is_empty() => self.out.item(self.level, None, &text),
            (None, None) => self.out.paragraph(&text),
        }
    }
}

/// The charset of a code page of Windows.
pub(super) fn codepage(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        874 => "windows-874",
        1361 => return None,
        10_000 => "macintosh",
        20_866 => "koi8-r",
        28_591..=28_606 => return Encoding::for_label(format!("iso-8859-{}", number - 28_590).as_bytes()),
        65_001 => "utf-8",
        1250..=1258 => return Encoding::for_label(format!("windows-{number}").as_bytes()),
        437 | 850 => "windows-1252",
        866 => "ibm866",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// The charset that a font says to have.
fn charset(number: i32) -> Option<&'static Encoding> {
    codepage(match number {
        77 => 10_000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}
