//! Text to chunks: LangChain's two character splitters, byte for byte, the crate text-splitter, or no cutting at all.
//!
//! All lengths are Unicode code points, except where `chunking_text_splitter` is told to count tokens.

pub(crate) mod child;
mod error;
mod langchain;
mod pattern;
mod semantic;
mod separator;
mod work;

use std::borrow::Cow;
use std::ops::Range;

use crate::config::Chunking;
pub use error::{CutRefusal, Error};
use langchain::{Character, ChunkSize, Chunks, Recursive};
use semantic::Semantic;
pub use work::{Bounds, CHUNK_BYTES, CutWork, Halt, never, time_for};

/// Most separators of a configuration, and bytes of all of them: each is looked for in what is left of the text.
/// Ten times as many as the longest lists for programming languages have.
const GREATEST_SEPARATORS: usize = 500;
const GREATEST_SEPARATORS_BYTES: usize = 64 << 10;

/// A chunk of a text. It knows its place there, whether it is a part of the text or not: what is known of places (the
/// page that a byte is on, a heading before it) is known of the chunk by that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of which bytes of the text it is made.
    pub place: Range<usize>,
    /// What it says where that is not what the text has there: pieces with something else between them.
    pub own: Option<Box<str>>,
}

impl Chunk {
    /// A part of the text, in bytes.
    pub fn part(place: Range<usize>) -> Chunk {
        Chunk { place, own: None }
    }

    /// What it says, where this is the text that it was cut from.
    ///
    /// ```
    /// use ai_pipeline::chunk::Chunk;
    /// let part = Chunk::part(4..9);
    /// assert_eq!(part.text("tea leaves"), "leave");
    /// let own = Chunk { own: Some("tea, leaves".into()), ..part };
    /// assert_eq!(own.text("tea leaves"), "tea, leaves");
    /// ```
    pub fn text<'t>(&'t self, whole: &'t str) -> &'t str {
        self.own.as_deref().unwrap_or_else(|| &whole[self.place.clone()])
    }

    /// Bytes that it takes up beside the text and its own place in a list.
    pub fn room(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.len())
    }
}

/// Whether texts are cut at regular expressions of a user. Nobody knows what they cost before they have: they
/// are worked on in a process of their own (`Cutter::cut`), and nowhere else.
pub fn has_expressions(chunking: &Chunking) -> bool {
    match chunking {
        Chunking::CharacterTextSplitter {
            separator,
            is_separator_regex,
            ..
        } => *is_separator_regex && !separator.is_empty(),
        Chunking::RecursiveCharacterTextSplitter {
            separators,
            is_separator_regex,
            ..
        } => *is_separator_regex && separators.iter().any(|separator| !separator.is_empty()),
        Chunking::TextSplitter { .. } | Chunking::None => false,
    }
}

/// The check of a configuration at its creation: stricter than [`Splitter::new`], which takes what LangChain takes.
///
/// The size must be positive, the overlap not negative and *smaller* than the size, and each regular expression must
/// compile.
///
/// ```
/// use ai_pipeline::{chunk, config::Chunking};
/// let chunking = Chunking::CharacterTextSplitter {
///     chunk_size: 800,
///     chunk_overlap: 900,
///     separator: "\n\n".to_owned(),
///     is_separator_regex: false,
/// };
/// assert_eq!(
///     chunk::check(&chunking).unwrap_err().to_string(),
///     "Got a larger chunk overlap (900) than chunk size (800), should be smaller."
/// );
/// ```
pub fn check(chunking: &Chunking) -> Result<(), Error> {
    Splitter::new(chunking)?;
    check_overlap(chunking)
}

/// The part of [`check`] that is stricter than LangChain, without the regular expressions.
pub fn check_overlap(chunking: &Chunking) -> Result<(), Error> {
    match *chunking {
        Chunking::CharacterTextSplitter {
            chunk_size: size,
            chunk_overlap: overlap,
            ..
        }
        | Chunking::RecursiveCharacterTextSplitter {
            chunk_size: size,
            chunk_overlap: overlap,
            ..
        }
        | Chunking::TextSplitter {
            capacity: size,
            overlap,
            ..
        } if overlap >= size => Err(Error::OverlapEqualsSize { size, overlap }),
        _ => Ok(()),
    }
}

/// What is wrong with sizes and with the number of separators. Regular expressions are not looked at.
pub(crate) fn check_sizes(chunking: &Chunking) -> Result<(), Error> {
    let (sizes, separators) = match chunking {
        Chunking::CharacterTextSplitter {
            chunk_size,
            chunk_overlap,
            separator,
            ..
        } => ((*chunk_size, *chunk_overlap), std::slice::from_ref(separator)),
        Chunking::RecursiveCharacterTextSplitter {
            chunk_size,
            chunk_overlap,
            separators,
            ..
        } => ((*chunk_size, *chunk_overlap), separators.as_slice()),
        Chunking::TextSplitter { capacity, overlap, .. } => {
            ChunkSize::new(["capacity", "overlap"], *capacity, *overlap)?;
            return Ok(());
        }
        Chunking::None => return Ok(()),
    };
    ChunkSize::new(["chunk_size", "chunk_overlap"], sizes.0, sizes.1)?;
    let number = separators.len();
    let bytes: usize = separators.iter().map(String::len).sum();
    let (most, most_bytes) = (GREATEST_SEPARATORS, GREATEST_SEPARATORS_BYTES);
    if number > most || bytes > most_bytes {
        return Err(Error::Separators {
            number,
            bytes,
            most,
            most_bytes,
        });
    }
    Ok(())
}

/// A chunking configuration made ready: sizes checked, regular expressions compiled. Cheap to share between threads.
#[derive(Debug)]
pub struct Splitter(Method);

#[derive(Debug)]
enum Method {
    Character(Character),
    Recursive(Recursive),
    Semantic(Semantic),
    Whole,
}

impl Splitter {
    /// Prepares a configuration. Accepts what LangChain accepts, so an overlap as large as the size too (except for
    /// `TextSplitter`, where it could never make progress); see [`check`].
    ///
    /// # Errors
    ///
    /// Sizes that cannot work, and regular expressions that do not compile, capture, or match the empty text.
    pub fn new(chunking: &Chunking) -> Result<Splitter, Error> {
        check_sizes(chunking)?;
        let method = match chunking {
            Chunking::CharacterTextSplitter {
                chunk_size,
                chunk_overlap,
                separator,
                is_separator_regex,
            } => {
                let limits = ChunkSize::new(["chunk_size", "chunk_overlap"], *chunk_size, *chunk_overlap)?;
                Method::Character(Character::new(limits, separator, *is_separator_regex)?)
            }
            Chunking::RecursiveCharacterTextSplitter {
                chunk_size,
                chunk_overlap,
                separators,
                is_separator_regex,
            } => {
                let limits = ChunkSize::new(["chunk_size", "chunk_overlap"], *chunk_size, *chunk_overlap)?;
                Method::Recursive(Recursive::new(limits, separators, *is_separator_regex)?)
            }
            Chunking::TextSplitter {
                capacity,
                overlap,
                unit,
                format,
            } => {
                let limits = ChunkSize::new(["capacity", "overlap"], *capacity, *overlap)?;
                let semantic = Semantic::new(limits, *unit, *format).ok_or(Error::OverlapEqualsSize {
                    size: *capacity,
                    overlap: *overlap,
                })?;
                Method::Semantic(semantic)
            }
            Chunking::None => Method::Whole,
        };
        Ok(Splitter(method))
    }

    /// Cuts a text, whatever it takes. Chunks that it holds as they are, are parts of it and no copies. A
    /// blank text gives no chunk; with [`Chunking::None`] too, where pgai would embed an empty string.
    ///
    /// The LangChain splitters trim what they merged, but give a piece that they could not cut any further as it is:
    /// longer than the size, or white space with a size of 1.
    ///
    /// # Errors
    ///
    /// Only [`Error::Backtracking`].
    ///
    /// ```
    /// use ai_pipeline::{chunk::Splitter, config::Chunking};
    /// let splitter = Splitter::new(&Chunking::RecursiveCharacterTextSplitter {
    ///     chunk_size: 20,
    ///     chunk_overlap: 8,
    ///     separators: ["\n\n", "\n", ".", "?", "!", " ", ""].map(String::from).to_vec(),
    ///     is_separator_regex: false,
    /// })?;
    /// let chunks = splitter.split("Hello there. How are you? I am fine! Thanks a lot, indeed.")?;
    /// assert_eq!(chunks, ["Hello there", ". How are you", "? I am fine", "! Thanks a lot,", "a lot, indeed", "."]);
    /// # Ok::<(), ai_pipeline::chunk::Error>(())
    /// ```
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<Cow<'t, str>>, Error> {
        let chunks = self.cut(text, &CutWork::new(Bounds::NONE, &never))?;
        let text_of = |chunk: Chunk| match chunk.own {
            Some(own) => Cow::Owned(own.into_string()),
            None => Cow::Borrowed(&text[chunk.place]),
        };
        Ok(chunks.into_iter().map(text_of).collect())
    }

    /// [`Splitter::split`] as far as `work` goes.
    ///
    /// # Errors
    ///
    /// [`Error::Backtracking`], and what `work` does not allow.
    pub fn cut(&self, text: &str, work: &CutWork) -> Result<Vec<Chunk>, Error> {
        let list = Vec::new();
        let mut chunks = Chunks { text, list, work };
        match &self.0 {
            Method::Character(splitter) => splitter.split(&mut chunks)?,
            Method::Recursive(splitter) => splitter.split(&mut chunks)?,
            Method::Semantic(splitter) => splitter.split(&mut chunks)?,
            Method::Whole if langchain::strip(text).is_empty() => (),
            Method::Whole => chunks.push(0..text.len())?,
        }
        Ok(chunks.list)
    }
}

#[cfg(test)]
mod tests;
