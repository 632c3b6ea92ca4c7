//! Why a text could not be cut, here or in another process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Halt, separator};
use crate::error::{Class, Failure, Step};

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
