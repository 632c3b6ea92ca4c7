//! What can go wrong between a URI and a vector, and what follows from it.
//!
//! Each stage has an error type of its own (`load::Error`, `parse::Error`, …); [`Failure`] is the
//! form in which all of them leave the pipeline: the step, the class that decides what happens to
//! the item, and texts for people.

mod cause;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use cause::{Cause, causes, causes_below};

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

/// What a failure means for the item that met it. The class, and nothing else, decides what happens
/// next (see [`crate::retry::after_failure`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May pass by itself (time-out, 5xx, lost connection): tried again with capped exponential
    /// back-off.
    Transient,
    /// The other side asked for patience (429): waited for, no attempt is counted.
    Throttled {
        /// How long the other side wants to be left alone, where it said so.
        retry_after: Option<Duration>,
    },
    /// Concerns every item alike (no key, unknown model, wrong dimensions): the vectorizer pauses
    /// until it is mended.
    Configuration,
    /// This item will never succeed as it is (no such key, unsupported format): straight to the
    /// failed queue.
    Permanent,
    /// Not understood: a few tries, then the failed queue.
    Unknown,
}

impl Class {
    /// The words that views and error rows use for the classes.
    pub const WORDS: [&'static str; 5] = ["transient", "throttled", "configuration", "permanent", "unknown"];

    /// In place of such a word: some texts were too long for the model, and nothing is wrong with
    /// the rest.
    pub const CUT: &'static str = "cut";

    /// The class with this word; `None` for what is none.
    ///
    /// ```
    /// use ai_pipeline::error::Class;
    /// assert!(Class::WORDS.iter().all(|word| Class::of_word(word).is_some_and(|class| class.as_str() == *word)));
    /// assert_eq!(Class::of_word(Class::CUT), None);
    /// ```
    pub fn of_word(word: &str) -> Option<Class> {
        let classes = [
            Class::Transient,
            Class::Throttled { retry_after: None },
            Class::Configuration,
            Class::Permanent,
            Class::Unknown,
        ];
        classes.into_iter().find(|class| class.as_str() == word)
    }

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

impl Serialize for Class {
    /// Its word.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Class {
    /// By its word; what is none is not understood.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Class::of_word(&word).unwrap_or(Class::Unknown))
    }
}

/// A failed item, as the pipeline hands it to the queue.
///
/// `reason` says what happened with which value, lower case, no full stop; `hint` what to do next.
/// Neither ever holds a secret or text of the document.
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
