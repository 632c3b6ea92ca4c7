//! What can go wrong between a URI and a vector, and what follows from it.
//!
//! Each stage has an error type of its own (`load::Error`, `parse::Error`, …); [`Failure`] is the form in which all of
//! them leave the pipeline: the step, the class that decides what happens to the item, and texts for people.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The stage of the pipeline in which an item failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Fetching the bytes of a document.
    Loading,
    /// Bytes to text.
    Parsing,
    /// Text to chunks.
    Chunking,
    /// Chunk and row to the text that is embedded.
    Formatting,
    /// Text to vector.
    Embedding,
    /// Storing the chunks of a row.
    Writing,
    /// Building the index of the destination.
    Indexing,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Loading => "loading",
            Step::Parsing => "parsing",
            Step::Chunking => "chunking",
            Step::Formatting => "formatting",
            Step::Embedding => "embedding",
            Step::Writing => "writing",
            Step::Indexing => "indexing",
        })
    }
}

/// What a failure means for the item that met it. The class, and nothing else, decides what happens next
/// (see [`crate::retry::after_failure`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May pass by itself (time-out, 5xx, lost connection): tried again with capped exponential back-off.
    Transient,
    /// The other side asked for patience (429): waited for, no attempt is counted.
    Throttled {
        /// How long the other side wants to be left alone, where it said so.
        retry_after: Option<Duration>,
    },
    /// Concerns every item alike (no key, unknown model, wrong dimensions): the vectorizer pauses until it is mended.
    Configuration,
    /// This item will never succeed as it is (no such key, unsupported format): straight to the failed queue.
    Permanent,
    /// Not understood: a few tries, then the failed queue.
    Unknown,
}

impl Class {
    /// The word that views and error rows use for the class.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Throttled { .. } => "throttled",
            Class::Configuration => "configuration",
            Class::Permanent => "permanent",
            Class::Unknown => "unknown",
        }
    }
}

/// A failed item, as the pipeline hands it to the queue.
///
/// `reason` says what happened with which value, lower case, no full stop; `hint` what to do next. Neither ever holds a
/// secret or text of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it happened.
    pub step: Step,
    /// What follows from it.
    pub class: Class,
    /// What happened, with which value.
    pub reason: String,
    /// What to check or change, where there is something.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.reason)
    }
}

impl std::error::Error for Failure {}
