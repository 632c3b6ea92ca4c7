//! Chunk and row to the text that is embedded: Python's `string.Template`, and column values as Python shows them.

mod python;

use std::borrow::Cow;
use std::collections::HashSet;

pub use python::{python_growth, python_text};

use litemap::LiteMap;

use crate::error::{Class, Failure, Step};
use crate::plan::{Digest, PrefixDigest};

/// Bytes of a template. Each document keeps what is between its placeholders, once for all of its chunks.
pub(crate) const GREATEST_LENGTH: usize = 64 << 10;
/// Places for the chunk in a template.
const GREATEST_PLACES: usize = 1_000;

/// The placeholder that stands for the chunk.
const CHUNK: &str = "chunk";

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `$` that is followed by neither a name nor another `$`.
    #[error("invalid placeholder in the template: line {line}, column {column}")]
    Placeholder {
        /// Line of the `$`, from 1.
        line: usize,
        /// Where in the line, from 1, in code points.
        column: usize,
    },
    /// More placeholders for the chunk than anybody can mean.
    #[error("the template names $chunk {number} times, {most} times at most")]
    Repeated {
        /// How often.
        number: usize,
        /// How often it may.
        most: usize,
    },
    /// A template that is longer than any text for a model.
    #[error("the template has {bytes} bytes, {most} at most")]
    Long {
        /// Its bytes.
        bytes: usize,
        /// Those that it may have.
        most: usize,
    },
    /// What it adds to each chunk of a row would be longer than a document.
    #[error("the columns that the template names come to {bytes} bytes in it, more than {most}")]
    Row {
        /// Bytes of what it adds.
        bytes: u64,
        /// Those that it may.
        most: u64,
    },
    /// A placeholder that no column goes by.
    #[error("the template names {name:?}, which is no column of the source table")]
    Unknown {
        /// The placeholder.
        name: String,
    },
}

impl Error {
    /// A template is the same for all items; what is put into it is not.
    pub fn class(&self) -> Class {
        match self {
            Error::Placeholder { .. } | Error::Repeated { .. } | Error::Long { .. } | Error::Unknown { .. } => {
                Class::Configuration
            }
            Error::Row { .. } => Class::Permanent,
        }
    }

    /// What to change.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Placeholder { .. } => {
                "write $name or ${name} with a name of ASCII letters, digits and _, and $$ for a dollar sign".to_owned()
            }
            Error::Repeated { .. } => "name $chunk once".to_owned(),
            Error::Long { .. } => "write a shorter template: models take some thousand words".to_owned(),
            Error::Row { .. } => {
                "have the template name columns less often or shorter ones, or raise ai.max_document_size".to_owned()
            }
            Error::Unknown { .. } => {
                "use $chunk and the names of columns, in the case in which they are stored".to_owned()
            }
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            step: Step::Formatting,
            class: error.class(),
            reason: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// A parsed template with the rules of Python's `string.Template.substitute`: `$name`, `${name}`, `$$`; names are
/// `[_a-z][_a-z0-9]*` in ASCII, either case.
///
/// <https://docs.python.org/3/library/string.html#template-strings>
///
/// ```
/// use litemap::LiteMap;
/// use ai_pipeline::format::Template;
/// let template = Template::parse("$title ($$${price}): $chunk")?;
/// assert_eq!(template.columns().collect::<Vec<_>>(), ["title", "price"]);
/// let row = LiteMap::from_iter([("title", "Tea"), ("price", "3")].map(|(name, text)| (name.to_owned(), text.to_owned())));
/// assert_eq!(template.render("Leaves.", &row)?, "Tea ($3): Leaves.");
/// # Ok::<(), ai_pipeline::format::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`Error::Placeholder`] for a `$` that begins nothing. Python says so only when it substitutes.
    /// [`Error::Repeated`] and [`Error::Long`] for what each of many documents would have to keep.
    pub fn parse(template: &str) -> Result<Template, Error> {
        if template.len() > GREATEST_LENGTH {
            let (bytes, most) = (template.len(), GREATEST_LENGTH);
            return Err(Error::Long { bytes, most });
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('$') {
            push_text(&mut parts, text);
            let braced = after.strip_prefix('{').and_then(|inner| {
                let (name, after) = identifier(inner)?;
                Some((name, after.strip_prefix('}')?))
            });
            rest = if let Some(after) = after.strip_prefix('$') {
                push_text(&mut parts, "$");
                after
            } else if let Some((name, after)) = identifier(after).or(braced) {
                parts.push(TemplatePart::Name(name.to_owned()));
                after
            } else {
                return Err(invalid(&template[..template.len() - after.len()]));
            };
        }
        push_text(&mut parts, rest);
        let is_chunk = |part: &&TemplatePart| matches!(part, TemplatePart::Name(name) if name == CHUNK);
        let number = parts.iter().filter(is_chunk).count();
        if number > GREATEST_PLACES {
            let most = GREATEST_PLACES;
            return Err(Error::Repeated { number, most });
        }
        Ok(Template(parts))
    }

    /// The distinct placeholders other than `chunk`, in the order of their first appearance.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        self.0.iter().filter_map(move |part| match part {
            TemplatePart::Name(name) if name != CHUNK && seen.insert(name.as_str()) => Some(name.as_str()),
            TemplatePart::Name(_) | TemplatePart::Text(_) => None,
        })
    }

    /// The template with other names for some of its columns; `None` when a new name cannot be written as a
    /// placeholder.
    pub fn renamed(&self, renamed: &LiteMap<String, String>) -> Option<String> {
        let mut written = String::new();
        for (index, part) in self.0.iter().enumerate() {
            let name = match part {
                TemplatePart::Text(text) => {
                    written.push_str(&text.replace('$', "$$"));
                    continue;
                }
                TemplatePart::Name(name) => name,
            };
            let name = match renamed.get(name).filter(|_| name != CHUNK) {
                Some(new) if new == CHUNK || identifier(new).is_none_or(|(_, after)| !after.is_empty()) => return None,
                Some(new) => new,
                None => name,
            };
            let runs_on = matches!(self.0.get(index + 1), Some(TemplatePart::Text(text))
                if text.starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric()));
            written.push_str(&if runs_on {
                format!("${{{name}}}")
            } else {
                format!("${name}")
            });
        }
        Some(written)
    }

    /// Fills in the chunk and the columns of its row, whose values are texts already (see [`python_text`]). A column
    /// named `chunk` is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] for a placeholder that `row` does not hold.
    pub fn render(&self, chunk: &str, row: &LiteMap<String, String>) -> Result<String, Error> {
        Ok(self.frame(row)?.around(chunk).into_owned())
    }

    /// Checks that what it adds to each chunk of a row has no more than `most` bytes. Nothing of it is made for that.
    ///
    /// # Errors
    ///
    /// [`Error::Row`] where it has.
    pub fn check(&self, row: &LiteMap<String, String>, most: u64) -> Result<(), Error> {
        let lengths = self.0.iter().map(|part| match part {
            TemplatePart::Text(text) => text.len(),
            TemplatePart::Name(name) => row.get(name).filter(|_| name != CHUNK).map_or(0, String::len),
        });
        let bytes = lengths.fold(0_u64, |sum, length| sum.saturating_add(length as u64));
        if bytes > most {
            return Err(Error::Row { bytes, most });
        }
        Ok(())
    }

    /// Fills in all but the chunk: what all chunks of a row have in common.
    ///
    /// # Errors
    ///
    /// Those of [`Template::render`].
    pub fn frame(&self, row: &LiteMap<String, String>) -> Result<Frame, Error> {
        let mut texts = vec![String::new()];
        for part in &self.0 {
            let text = match part {
                TemplatePart::Text(text) => text,
                TemplatePart::Name(name) if name == CHUNK => {
                    texts.push(String::new());
                    continue;
                }
                TemplatePart::Name(name) => row.get(name).ok_or_else(|| Error::Unknown { name: name.clone() })?,
            };
            if let Some(last) = texts.last_mut() {
                last.push_str(text);
            }
        }
        Ok(Frame(texts))
    }
}

/// A template for the chunks of one row. The default leaves them alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(
    /// The chunk is put between one and the next, so there is one text more than places for it.
    Vec<String>,
);

impl Default for Frame {
    fn default() -> Frame {
        Frame(vec![String::new(); 2])
    }
}

impl Frame {
    /// The text that is embedded for a chunk.
    pub fn around<'t>(&self, chunk: &'t str) -> Cow<'t, str> {
        match self.0.as_slice() {
            [before, after] if before.is_empty() && after.is_empty() => Cow::Borrowed(chunk),
            texts => Cow::Owned(texts.join(chunk)),
        }
    }

    /// The digest of that text, which is not made for it. What stands before all chunks is digested `before`: once.
    pub fn digest_around(&self, before: &PrefixDigest, chunk: &str) -> Digest {
        let rest = self.0.iter().skip(1);
        before.and(rest.flat_map(|text| [chunk, text.as_str()]))
    }

    /// The digest of what stands before each chunk.
    pub fn beginning(&self) -> PrefixDigest {
        PrefixDigest::of(self.0.first().map_or("", String::as_str))
    }

    /// The bytes of that text, which is not made for it.
    pub fn length_around(&self, chunk: &str) -> usize {
        let places = self.0.len() - 1;
        places.saturating_mul(chunk.len()).saturating_add(self.length())
    }

    /// Bytes that it takes up.
    pub fn room(&self) -> usize {
        self.length() + self.0.len() * size_of::<String>()
    }

    /// Bytes of what it adds to each chunk.
    pub fn length(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }
}

fn push_text(parts: &mut Vec<TemplatePart>, text: &str) {
    match parts.last_mut() {
        Some(TemplatePart::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(TemplatePart::Text(text.to_owned())),
    }
}

/// The name at the start of `text`, and what follows it.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let name = &text[..end];
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| (name, &text[end..]))
}

/// The error for the `$` at the end of `upto`, counted in the lines of Python's `str.splitlines`.
fn invalid(upto: &str) -> Error {
    let (mut line, mut column) = (1, 0);
    let mut chars = upto.chars().peekable();
    while let Some(c) = chars.next() {
        column += 1;
        let ends_line = match c {
            '\r' => chars.peek() != Some(&'\n'),
            '\n' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}' => true,
            _ => false,
        };
        if ends_line {
            (line, column) = (line + 1, 0);
        }
    }
    Error::Placeholder { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, Error> {
        let row = [
            ("name", "Ann"),
            ("a1", "x"),
            ("_", "u"),
            ("Name", "ANN"),
            ("empty", ""),
            ("chunk", "not this"),
        ];
        let row = row
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into_iter()
            .collect();
        Template::parse(template)?.render("the $chunk", &row)
    }

    #[test]
    fn renamed_columns_are_named_anew() {
        let renamed = LiteMap::from_iter(
            [("name", "title"), ("a1", "name"), ("empty", "my text"), ("_", "chunk")]
                .map(|(old, new)| (old.to_owned(), new.to_owned())),
        );
        for (template, written) in [
            ("$$name $name: ${chunk}", Some("$$name $title: $chunk")),
            ("${name}s $a1$a1$$", Some("${title}s $name$name$$")),
            ("nothing", Some("nothing")),
            ("$empty", None),
            ("$_", None),
        ] {
            let answer = Template::parse(template).unwrap().renamed(&renamed);
            assert_eq!(answer.as_deref(), written, "{template}");
        }
    }

    /// The right side of each line is what Python's `Template(...).substitute(...)` gives.
    #[test]
    fn templates_are_filled_in_as_in_python() {
        for (template, text) in [
            ("$chunk", "the $chunk"),
            ("", ""),
            ("no placeholder", "no placeholder"),
            ("$name: ${chunk}!", "Ann: the $chunk!"),
            ("$Name$name${a1}", "ANNAnnx"),
            ("$$name $$$name $$$$", "$name $Ann $$"),
            ("$_,$a1-$empty.", "u,x-."),
            ("${name}s $name's", "Anns Ann's"),
            ("$nameé {$name} }{", "Anné {Ann} }{"),
        ] {
            assert_eq!(render(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn a_lone_dollar_is_found_by_line_and_column() {
        for (template, line, column) in [
            ("$", 1, 1),
            ("5 $", 1, 3),
            ("$chunk costs $5", 1, 14),
            ("äö $-", 1, 4),
            ("a\nb $ ", 2, 3),
            ("a\r\n\u{2028}b\x0b$", 4, 1),
            ("${name", 1, 1),
            ("${}", 1, 1),
            ("${na me}", 1, 1),
            ("${1}", 1, 1),
            ("$é", 1, 1),
            ("$$$", 1, 3),
        ] {
            assert_eq!(render(template), Err(Error::Placeholder { line, column }), "{template}");
        }
    }

    #[test]
    fn an_unknown_name_is_named_and_pauses_the_vectorizer() {
        let error = render("$chunk $NAME").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the template names "NAME", which is no column of the source table"#
        );
        let failure = Failure::from(error);
        assert_eq!((failure.step, failure.class), (Step::Formatting, Class::Configuration));
    }

    #[test]
    fn the_length_of_a_text_is_known_before_it_is_made() {
        let row = LiteMap::from_iter([("name".to_owned(), "Änn".to_owned())]);
        for template in ["$chunk", "$name: $chunk", "$chunk$$$chunk $name", "no place", ""] {
            let frame = Template::parse(template).unwrap().frame(&row).unwrap();
            for chunk in ["", "née"] {
                assert_eq!(frame.length_around(chunk), frame.around(chunk).len(), "{template}");
            }
        }
        assert_eq!(Frame::default().length_around("ab"), 2);
    }

    #[test]
    fn what_a_template_multiplies_is_bounded() {
        assert!(Template::parse(&"$chunk".repeat(GREATEST_PLACES)).is_ok());
        for template in ["$chunk".repeat(GREATEST_PLACES + 1), "x".repeat(GREATEST_LENGTH + 1)] {
            let error = Template::parse(&template).unwrap_err();
            assert_eq!(error.class(), Class::Configuration);
        }
        let template = Template::parse(&"$body ".repeat(9_000)).unwrap();
        let row = LiteMap::from_iter([("body".to_owned(), "x".repeat(1 << 20))]);
        let most = 9_000 * ((1 << 20) + 1);
        assert_eq!(template.check(&row, most), Ok(()));
        let error = template.check(&row, most - 1).unwrap_err();
        assert_eq!(
            (error.class(), error.clone()),
            (
                Class::Permanent,
                Error::Row {
                    bytes: most,
                    most: most - 1
                }
            )
        );
        // A column named chunk is not looked at.
        let row = LiteMap::from_iter([("chunk".to_owned(), "x".repeat(100))]);
        assert_eq!(Template::parse("$chunk").unwrap().check(&row, 0), Ok(()));
    }

    #[test]
    fn columns_are_named_once_and_without_the_chunk() {
        let template = Template::parse("$b $chunk $a ${b} $$c $chunky").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["b", "a", "chunky"]);
    }
}
