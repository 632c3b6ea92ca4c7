//! Text to chunks: LangChain's two character splitters, byte for byte, the crate text-splitter, or no cutting at all.
//!
//! All lengths are Unicode code points, except where `chunking_text_splitter` is told to count tokens.

pub(crate) mod child;
mod langchain;
mod pattern;
mod semantic;
mod separator;
mod work;

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Chunking;
use crate::error::{Class, Failure, Step};
use langchain::{Character, ChunkSize, Chunks, Recursive};
use semantic::Semantic;
pub use work::{Bounds, CHUNK_BYTES, CutWork, Halt, never, time_for};

/// Most separators of a configuration, and bytes of all of them: each is looked for in what is left of the text.
/// Ten times as many as the longest lists for programming languages have.
const GREATEST_SEPARATORS: usize = 500;
const GREATEST_SEPARATORS_BYTES: usize = 64 << 10;

/// Why a text could not be cut, or why a chunking configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A chunk has to hold something.
    #[error("{name} must be greater than 0, got {size}")]
    Size {
        /// The parameter, as SQL names it.
        name: &'static str,
        /// Its value.
        size: i32,
    },
    /// Neighbours cannot share less than nothing.
    #[error("{name} must not be negative, got {overlap}")]
    NegativeOverlap {
        /// The parameter, as SQL names it.
        name: &'static str,
        /// Its value.
        overlap: i32,
    },
    /// Neighbours would share more than they hold. The words are LangChain's.
    #[error("Got a larger chunk overlap ({overlap}) than chunk size ({size}), should be smaller.")]
    OverlapAboveSize {
        /// Greatest length of a chunk.
        size: i32,
        /// What neighbours share.
        overlap: i32,
    },
    /// Neighbours would share all they hold; LangChain accepts that, [`check`] does not.
    #[error("the overlap ({overlap}) must be smaller than the size of a chunk ({size})")]
    OverlapEqualsSize {
        /// Greatest length of a chunk, and what neighbours share.
        size: i32,
        /// The same.
        overlap: i32,
    },
    /// A regular expression that cannot serve as a separator.
    #[error("separator {separator:?} is not a usable regular expression: {reason}")]
    Separator {
        /// The separator, as configured.
        separator: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More separators than anybody can mean.
    #[error("there are {number} separators of {bytes} bytes; {most} of {most_bytes} are the most")]
    Separators {
        /// How many there are.
        number: usize,
        /// Bytes of all of them.
        bytes: usize,
        /// How many there may be.
        most: usize,
        /// Bytes that they may have.
        most_bytes: usize,
    },
    /// The text takes more steps than it may.
    #[error("cutting the text takes more than {limit} steps with these separators, chunk_size and chunk_overlap")]
    Steps {
        /// [`Bounds::steps`].
        limit: u64,
    },
    /// The text takes longer than it may.
    #[error("cutting the text took longer than {} s with these separators, chunk_size and chunk_overlap", limit.as_secs_f64())]
    Late {
        /// What [`time_for`] says.
        limit: Duration,
    },
    /// The work was ended from outside.
    #[error("cutting the text was interrupted")]
    Interrupted,
    /// The chunks need more memory than a document may have.
    #[error(
        "the chunks would take more than {limit} bytes of memory: chunk_size is too small, or chunk_overlap too large"
    )]
    Room {
        /// [`Bounds::room`].
        limit: u64,
    },
    /// The process that cut the text asked for more memory than it may have.
    #[error("cutting the text needed more than {} MB of memory with these separators, chunk_size and chunk_overlap", limit / (1024 * 1024))]
    Memory {
        /// [`crate::parse::ParserLimits::memory_bytes`].
        limit: u64,
    },
    /// The chunks together are longer than they may be.
    #[error("the chunks together would be longer than {limit} bytes: chunk_overlap is too near chunk_size")]
    Texts {
        /// [`Bounds::texts`].
        limit: u64,
    },
    /// A regular expression took more steps on one text than it is allowed.
    #[error("separator {separator:?} exceeded the limit of {limit} backtracking steps", limit = separator::BACKTRACK_LIMIT)]
    Backtracking {
        /// The separator, as configured.
        separator: String,
    },
}

impl Error {
    /// What follows for the item: a configuration is mended for all items at once; a text on which a regular expression
    /// explodes will not get better.
    pub fn class(&self) -> Class {
        match self {
            Error::Size { .. }
            | Error::NegativeOverlap { .. }
            | Error::OverlapAboveSize { .. }
            | Error::OverlapEqualsSize { .. }
            | Error::Separators { .. }
            | Error::Separator { .. } => Class::Configuration,
            Error::Backtracking { .. }
            | Error::Steps { .. }
            | Error::Late { .. }
            | Error::Room { .. }
            | Error::Memory { .. }
            | Error::Texts { .. } => Class::Permanent,
            Error::Interrupted => Class::Transient,
        }
    }

    /// Whether it is a limit that the text and its configuration exceed together.
    fn is_limit(&self) -> bool {
        match self {
            Error::Separators { .. }
            | Error::Steps { .. }
            | Error::Late { .. }
            | Error::Room { .. }
            | Error::Memory { .. }
            | Error::Texts { .. } => true,
            Error::Size { .. }
            | Error::NegativeOverlap { .. }
            | Error::OverlapAboveSize { .. }
            | Error::OverlapEqualsSize { .. }
            | Error::Separator { .. }
            | Error::Backtracking { .. }
            | Error::Interrupted => false,
        }
    }

    /// What to change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Size { .. }
            | Error::NegativeOverlap { .. }
            | Error::OverlapAboveSize { .. }
            | Error::OverlapEqualsSize { .. }
            | Error::Separators { .. }
            | Error::Interrupted => None,
            Error::Memory { .. } => Some("use simpler separators, or raise ai.parser_memory".to_owned()),
            Error::Steps { .. } | Error::Late { .. } => Some(
                "use fewer or simpler separators, a larger chunk_size or a smaller chunk_overlap, or split the document"
                    .to_owned(),
            ),
            Error::Room { .. } => Some(
                "raise chunk_size, lower chunk_overlap, or raise ai.max_memory, of which a document may have five eighths"
                    .to_owned(),
            ),
            Error::Texts { .. } => Some(
                "lower chunk_overlap, or raise ai.max_document_size: the texts of a document may be 16 times as long"
                    .to_owned(),
            ),
            Error::Separator { .. } => Some(
                "separators are Python regular expressions without capture groups; (?:...) groups without capturing"
                    .to_owned(),
            ),
            Error::Backtracking { .. } => {
                Some("rewrite the separator without nested repetition and with fewer look-arounds".to_owned())
            }
        }
    }
}

impl From<Halt> for Error {
    fn from(halt: Halt) -> Error {
        match halt {
            Halt::Late { limit } => Error::Late { limit },
            Halt::Unwanted => Error::Interrupted,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        CutRefusal::from(error).into()
    }
}

/// An [`Error`] as another process can say it, or why that one could not say anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutRefusal {
    class: Class,
    /// What happened.
    pub reason: String,
    /// What to change, where there is something.
    pub hint: Option<String>,
    /// Whether it is a limit that the text and its configuration exceed together.
    pub is_limit: bool,
}

impl CutRefusal {
    /// Of a process that could not do it.
    pub(crate) fn new(class: Class, reason: String, hint: Option<String>, is_limit: bool) -> CutRefusal {
        CutRefusal {
            class,
            reason,
            hint,
            is_limit,
        }
    }

    /// What follows for the item.
    pub fn class(&self) -> Class {
        match self.class {
            // No text is throttled.
            Class::Throttled { .. } => Class::Unknown,
            class => class,
        }
    }
}

impl From<Error> for CutRefusal {
    fn from(error: Error) -> CutRefusal {
        CutRefusal::new(error.class(), error.to_string(), error.hint(), error.is_limit())
    }
}

impl From<CutRefusal> for Failure {
    fn from(refusal: CutRefusal) -> Failure {
        Failure {
            step: Step::Chunking,
            class: refusal.class(),
            reason: refusal.reason,
            hint: refusal.hint,
        }
    }
}

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
mod tests {
    use super::*;
    use crate::config::{TextFormat, Unit};

    fn character(chunk_size: i32, chunk_overlap: i32, separator: &str, is_separator_regex: bool) -> Chunking {
        let separator = separator.to_owned();
        Chunking::CharacterTextSplitter {
            chunk_size,
            chunk_overlap,
            separator,
            is_separator_regex,
        }
    }

    fn recursive(chunk_size: i32, chunk_overlap: i32, separators: &[&str]) -> Chunking {
        let separators = separators.iter().map(|s| s.to_string()).collect();
        Chunking::RecursiveCharacterTextSplitter {
            chunk_size,
            chunk_overlap,
            separators,
            is_separator_regex: false,
        }
    }

    fn semantic(capacity: i32, overlap: i32, unit: Unit, format: TextFormat) -> Chunking {
        Chunking::TextSplitter {
            capacity,
            overlap,
            unit,
            format,
        }
    }

    fn split(chunking: &Chunking, text: &str) -> Vec<String> {
        let chunks = Splitter::new(chunking).unwrap().split(text).unwrap();
        chunks.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_splitter_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Splitter>();
    }

    #[test]
    fn sizes_that_cannot_work_are_refused() {
        let reason = |chunking: &Chunking| Splitter::new(chunking).unwrap_err().to_string();
        assert_eq!(
            reason(&character(0, 0, " ", false)),
            "chunk_size must be greater than 0, got 0"
        );
        assert_eq!(
            reason(&recursive(-5, 900, &[" "])),
            "chunk_size must be greater than 0, got -5"
        );
        assert_eq!(
            reason(&character(5, -1, " ", false)),
            "chunk_overlap must not be negative, got -1"
        );
        assert_eq!(
            reason(&recursive(5, 6, &[" "])),
            "Got a larger chunk overlap (6) than chunk size (5), should be smaller."
        );
        let tokens = semantic(0, 0, Unit::Tokens, TextFormat::Text);
        assert_eq!(reason(&tokens), "capacity must be greater than 0, got 0");
    }

    #[test]
    fn an_overlap_of_the_whole_size_is_langchains_but_not_ours() {
        let equal = recursive(10, 10, &[" ", ""]);
        assert!(Splitter::new(&equal).is_ok());
        assert_eq!(check(&equal), Err(Error::OverlapEqualsSize { size: 10, overlap: 10 }));
        assert_eq!(check(&recursive(10, 9, &[" ", ""])), Ok(()));
        assert_eq!(check(&Chunking::None), Ok(()));
        let equal = semantic(10, 10, Unit::Chars, TextFormat::Text);
        assert_eq!(
            Splitter::new(&equal).unwrap_err(),
            Error::OverlapEqualsSize { size: 10, overlap: 10 }
        );
    }

    #[test]
    fn regular_expressions_that_capture_or_match_nothing_are_refused() {
        for (separator, reason) in [
            ("(a)b", "capture groups are not supported"),
            ("(?P<name>a)", "capture groups are not supported"),
            (r"a\1", "capture groups are not supported"),
            ("x*", "it matches the empty text"),
            ("a|", "it matches the empty text"),
            ("[a", "unterminated character set"),
            ("a)", "unbalanced parenthesis"),
            ("(?:a", "missing )"),
            (r"\p{L}", r"bad escape \p"),
            ("*a", ""),
        ] {
            let error = check(&character(10, 0, separator, true)).unwrap_err();
            assert!(matches!(&error, Error::Separator { .. }), "{separator}: {error}");
            assert!(error.to_string().contains(reason), "{separator}: {error}");
            assert_eq!(error.class(), Class::Configuration);
            assert_eq!(
                check(&character(10, 0, separator, false)),
                Ok(()),
                "as plain text it is fine"
            );
        }
    }

    #[test]
    fn an_exploding_expression_fails_the_item_for_good() {
        let splitter = Splitter::new(&character(10, 0, r"(?:(?:a|aa)+)+(?<!a)", true)).unwrap();
        let error = splitter.split(&"a".repeat(60)).unwrap_err();
        assert!(matches!(error, Error::Backtracking { .. }));
        let failure = Failure::from(error);
        assert_eq!((failure.step, failure.class), (Step::Chunking, Class::Permanent));
        assert!(failure.hint.is_some());
    }

    #[test]
    fn blank_texts_give_no_chunk() {
        for chunking in [
            character(10, 0, "\n\n", false),
            recursive(10, 5, &["\n\n", ""]),
            semantic(10, 0, Unit::Chars, TextFormat::Text),
            semantic(10, 0, Unit::Tokens, TextFormat::Markdown),
            Chunking::None,
        ] {
            for text in ["", " ", "\n\n \t\n", "\u{a0}\u{3000}"] {
                assert_eq!(split(&chunking, text), [""; 0], "{chunking:?} on {text:?}");
            }
        }
        assert_eq!(split(&Chunking::None, "\u{1c}\u{1f}"), [""; 0]);
    }

    /// Also of chunks that the text does not hold.
    #[test]
    fn chunks_know_what_they_are_made_of() {
        let text = " Ä \t heron1waits22 it  does3\n\nnot move \n\n4the\n\nend ";
        for chunking in [
            character(12, 6, " ", false),
            character(12, 6, "\n\n", false),
            character(9, 4, r"\d", true),
            character(9, 4, r"\s+", true),
            recursive(9, 4, &["\n\n", " ", ""]),
            semantic(9, 4, Unit::Chars, TextFormat::Markdown),
            Chunking::None,
        ] {
            let chunks = Splitter::new(&chunking).unwrap();
            let chunks = chunks.cut(text, &CutWork::new(Bounds::NONE, &never)).unwrap();
            assert!(!chunks.is_empty());
            let mut last = 0..0;
            for chunk in chunks {
                let place = &text[chunk.place.clone()];
                assert!(
                    last.start <= chunk.place.start && last.end <= chunk.place.end,
                    "{chunking:?}"
                );
                // Words are where the place says; between them may be anything.
                let words = |text: &str| {
                    text.split(|c: char| !c.is_alphabetic())
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                let (first, last_word) = (words(place)[0].clone(), words(place).pop().unwrap());
                let said = chunk.text(text);
                assert!(
                    said.starts_with(&first) && said.ends_with(&last_word),
                    "{chunking:?}: {place:?}, {said:?}"
                );
                last = chunk.place;
            }
        }
        let glued = Splitter::new(&character(9, 0, r"\d", true)).unwrap();
        let cut = glued.cut("a1b 2 c", &CutWork::new(Bounds::NONE, &never)).unwrap();
        let own = Some(r"a\db \d c".into());
        assert_eq!(cut, [Chunk { place: 0..7, own }]);
    }

    #[test]
    fn no_chunking_leaves_the_text_alone() {
        assert_eq!(split(&Chunking::None, "  a\n\nb "), ["  a\n\nb "]);
    }

    #[test]
    fn thousands_of_separators_need_no_stack() {
        let separators = vec!["a"; GREATEST_SEPARATORS];
        assert_eq!(split(&recursive(1, 0, &separators), "aa"), ["a", "a"]);
        let separators = vec!["a"; GREATEST_SEPARATORS + 1];
        let error = check(&recursive(1, 0, &separators)).unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
    }

    #[test]
    fn the_semantic_splitter_keeps_its_capacity_in_characters_and_in_tokens() {
        let text = "Ünder the bridge, a heron waits. It does not move. ".repeat(20);
        let chunks = split(&semantic(60, 20, Unit::Chars, TextFormat::Text), &text);
        assert!(chunks.len() > 10);
        assert!(chunks.iter().all(|chunk| chunk.chars().count() <= 60));
        let chunks = split(&semantic(16, 0, Unit::Tokens, TextFormat::Text), &text);
        let tokens = |chunk: &String| bpe_openai::cl100k_base().count(chunk.as_str());
        assert!(chunks.len() > 10);
        assert!(chunks.iter().all(|chunk| (1..=16).contains(&tokens(chunk))));
    }

    #[test]
    fn markdown_is_cut_at_its_headings() {
        let text = "# One\n\nfirst text\n\n# Two\n\nsecond text\n";
        let chunks = split(&semantic(20, 0, Unit::Chars, TextFormat::Markdown), text);
        assert_eq!(chunks, ["# One\n\nfirst text", "# Two\n\nsecond text"]);
    }
}
