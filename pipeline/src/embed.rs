//! Texts to vectors, by a server that speaks OpenAI's `POST /embeddings`.
//!
//! An [`Embedder`] serves many callers at once. It fills requests across them up to the provider's limits, keeps several
//! requests in flight, slows down when told to, and finds the one input that a provider does not accept, so that a bad
//! document harms no other.

mod batch;
mod limiter;
mod openai;
mod quota;
mod refusal;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use crate::config;
use crate::error::{Class, Failure, Step};
use crate::secret::Secret;

pub use refusal::Refusal;

/// Where requests go and how many of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base address of the API, as `https://api.openai.com/v1`; `/embeddings` is appended. `http` or `https`.
    ///
    /// For `https` a proxy that the environment names is used, as OpenAI is often reached through one; an `http` address
    /// is a server nearby and is reached directly.
    pub base_url: String,
    /// Sent as bearer token; without it no `Authorization` is sent, as servers of one's own often want none.
    pub api_key: Option<Secret>,
    /// For a whole request, from the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Most requests at a time; at least one.
    pub max_requests_in_flight: usize,
}

/// What can go wrong between texts and vectors.
///
/// The texts hold no key and no input: see [`Refusal`] for what is passed on of a provider's own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work, whatever the provider says.
    #[error("{reason}")]
    Settings {
        /// What is wrong.
        reason: String,
        /// What to change.
        hint: Option<String>,
    },
    /// The provider refuses all requests alike: key, model, quota, address.
    #[error("{refusal}")]
    Refused {
        /// The provider's answer.
        refusal: Arc<Refusal>,
        /// What to check.
        hint: String,
    },
    /// The provider wants to be left alone for longer than a caller is kept waiting.
    #[error("{refusal}")]
    Throttled {
        /// The provider's answer.
        refusal: Arc<Refusal>,
        /// Nothing is sent before.
        until: SystemTime,
    },
    /// The provider does not accept an input.
    #[error("{refusal}")]
    Rejected {
        /// The provider's answer.
        refusal: Arc<Refusal>,
        /// The input was rejected when it was sent alone. Otherwise so many were rejected that the fault is probably
        /// not theirs.
        alone: bool,
    },
    /// The provider failed (5xx).
    #[error("{0}")]
    Server(Arc<Refusal>),
    /// No connection, or it was lost.
    #[error("no answer from {server}: {reason}")]
    Connection {
        /// Host and port.
        server: String,
        /// What happened to the connection.
        reason: String,
    },
    /// No complete answer in time.
    #[error("no answer from {server} within {} ms", after.as_millis())]
    TimedOut {
        /// Host and port.
        server: String,
        /// [`Settings::timeout`].
        after: Duration,
    },
    /// Status 200 with something that is no list of as many finite vectors as there were inputs.
    #[error("the answer of the embedding server makes no sense: {0}")]
    Answer(String),
    /// Vectors of another length than the configured one.
    #[error("the model returned {actual} dimensions, expected {expected}")]
    Dimensions {
        /// Configured.
        expected: usize,
        /// Received.
        actual: usize,
        /// The model's name.
        model: String,
    },
    /// An empty text: providers do not accept one, and it has no meaning to embed.
    #[error("text {} of {of} is empty: there is nothing to embed", index + 1)]
    Empty {
        /// Counted from 0.
        index: usize,
        /// Number of texts of the document.
        of: usize,
    },
    /// The runtime of the embedder is shutting down.
    #[error("embedding was stopped by a shutdown")]
    Stopped,
}

impl Error {
    /// What follows from it for the item.
    pub fn class(&self) -> Class {
        match self {
            Error::Settings { .. } | Error::Refused { .. } | Error::Dimensions { .. } => Class::Configuration,
            Error::Throttled { until, .. } => Class::Throttled {
                retry_after: until.duration_since(SystemTime::now()).ok(),
            },
            Error::Rejected { alone: true, .. } | Error::Empty { .. } => Class::Permanent,
            Error::Rejected { alone: false, .. } | Error::Answer(_) => Class::Unknown,
            Error::Server(_) | Error::Connection { .. } | Error::TimedOut { .. } | Error::Stopped => Class::Transient,
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings { hint, .. } => hint.clone(),
            Error::Refused { hint, .. } => Some(hint.clone()),
            Error::Rejected { alone: false, .. } => Some(
                "many inputs of different documents were rejected one after the other: check the server".to_owned(),
            ),
            Error::Dimensions { actual, model, .. } => Some(format!(
                "make the vectorizer with dimensions => {actual}, or with another model than {model:?}"
            )),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            step: Step::Embedding,
            class: error.class(),
            reason: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// Handle of one provider's batching task; clones share it. The task ends with the last of them.
#[derive(Clone)]
pub struct Embedder {
    work: mpsc::UnboundedSender<batch::Work>,
    /// Milliseconds of the Unix epoch; 0 when the provider never asked for a pause.
    throttled_until: Arc<AtomicU64>,
    /// Inputs of this model have more tokens cut off at the end.
    greatest_tokens: Option<usize>,
}

impl Embedder {
    /// Starts the batching task on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::Settings`] when the address, the key or the dimensions cannot work, or outside of a runtime.
    pub fn new(config: &config::Embedding, settings: Settings) -> Result<Embedder, Error> {
        let client = openai::Client::new(config, &settings)?;
        let config::Embedding::Openai { model, .. } = config;
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| Error::Settings {
            reason: error.to_string(),
            hint: None,
        })?;
        let throttled_until = Arc::new(AtomicU64::new(0));
        let (work, incoming) = mpsc::unbounded_channel();
        let batcher = batch::Batcher::new(client, settings.max_requests_in_flight, throttled_until.clone());
        runtime.spawn(batcher.run(incoming));
        Ok(Embedder {
            work,
            throttled_until,
            greatest_tokens: tokens::greatest(model),
        })
    }

    /// The vectors of the texts of one document, in their order; all of them or an error.
    ///
    /// Texts longer than an OpenAI model takes (8,191 tokens) are cut. A caller that drops the future takes its texts
    /// back, as far as they were not sent yet.
    ///
    /// # Errors
    /// See [`Error`]. A short pause that the provider asked for is waited out here; a long one is
    /// [`Error::Throttled`].
    pub async fn embed(&self, mut texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
        if let Some(index) = texts.iter().position(String::is_empty) {
            return Err(Error::Empty { index, of: texts.len() });
        }
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(most) = self.greatest_tokens {
            texts.iter_mut().for_each(|text| tokens::cut(text, most));
        }
        let (reply, vectors) = oneshot::channel();
        self.work
            .send(batch::Work { texts, reply })
            .map_err(|_| Error::Stopped)?;
        vectors.await.unwrap_or(Err(Error::Stopped))
    }

    /// Until when nothing is sent, because the provider asked for it; `None` when requests flow.
    pub fn throttled_until(&self) -> Option<SystemTime> {
        let until = UNIX_EPOCH + Duration::from_millis(self.throttled_until.load(Ordering::Relaxed));
        (until > SystemTime::now()).then_some(until)
    }
}
