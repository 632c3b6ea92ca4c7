//! Texts to vectors, by a server that speaks one of the APIs of providers (see `protocol`).
//!
//! An [`Embedder`] serves many callers at once. It fills requests across them up to the provider's limits,
//! keeps several requests in flight, slows down when told to, and finds the one input that a provider does
//! not accept, so that a bad document harms no other.

mod address;
mod backend;
mod batch;
mod client;
mod cohere;
mod gate;
mod headers;
mod huggingface;
mod ledger;
mod limiter;
mod mistral;
mod ollama;
mod openai;
mod pace;
mod protocol;
mod quota;
mod refusal;
mod size;
mod stay;
mod tokens;
mod vector;
mod verdict;
mod voyageai;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::config;
use crate::error::{Cause, Class, Failure, Step};
use crate::fingerprint::Fingerprint;
use crate::panics::Panicked;
use crate::secret::Secret;

pub(crate) use address::check as check_address;
pub use gate::Gates;
pub use headers::{Headers, RefusedHeader};
pub use ledger::{Ledger, LedgerKind, LedgerPlace};
pub use refusal::Refusal;

/// Where requests go and how many of them.
#[derive(Clone, Debug)]
pub struct EmbedSettings {
    /// Base address of the API, as `https://api.openai.com/v1`; what is missing of the endpoint's path is
    /// appended. `http` or `https`; for Ollama also `host` and `host:port`. See
    /// [`config::Embedding::base_url`] for where it comes from.
    ///
    /// For `https` a proxy that the environment names is used, as providers are often reached through one; an
    /// `http` address is a server nearby and is reached directly.
    pub base_url: String,
    /// Version of the API, where it has versions and the configuration names none: Azure. Without it a recent one.
    pub api_version: Option<String>,
    /// Sent as bearer token (to Azure as `api-key`); without it no key is sent, as servers of one's own often
    /// want none.
    pub api_key: Option<Secret>,
    /// Sent with each request.
    pub headers: Headers,
    /// Where the key is, for messages; without it what the configuration says.
    pub api_key_place: Option<String>,
    /// For a whole request, from the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Most requests at a time to the server, at least one; all its models together, which share them by turns.
    pub max_requests_in_flight: usize,
    /// Whose texts these are, where a process works for several owners: the last room for requests is left to
    /// who has none under way. `None` where there is only one.
    pub owner: Option<Fingerprint>,
    /// What the server may be asked for.
    pub allowance: Allowance,
    /// What is known of the servers. Embedders that share it share the limits of their servers.
    pub gates: Gates,
}

/// What an administrator allows a server to be asked for; what it says itself counts as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, as far as they can be counted here.
    pub tokens_per_minute: Option<u32>,
}

/// The vectors of the texts of one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Indices of the texts that were too long for the model, ascending: their vectors are those of their beginnings.
    pub cut: Vec<usize>,
}

/// Why a document has not got the vectors of all its texts, and those that came before that or with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incomplete {
    /// What went wrong first.
    pub error: Error,
    /// What is paid for, under the indices of its texts, ascending: not those of texts that were cut.
    pub vectors: Vec<(usize, Vec<f32>)>,
}

impl From<Error> for Incomplete {
    fn from(error: Error) -> Incomplete {
        let vectors = Vec::new();
        Incomplete { error, vectors }
    }
}

/// The model of a configuration, and the most tokens of a text that are sent to it; `None` where the provider
/// knows that and cuts by itself. For people.
pub fn model_and_limit(config: &config::Embedding) -> (String, Option<usize>) {
    let model = config.resolve().map(|resolved| resolved.model).unwrap_or_default();
    let limit = tokens::greatest(&model);
    (model, limit)
}

/// Whether requests can go through a proxy of this address. What cannot be read of a variable of the
/// environment is passed over by the library that reads it, so this asks the same one.
///
/// ```
/// use ai_pipeline::embed::{Proxy, proxy};
/// assert_eq!(proxy("http://name:word@proxy.lan:3128"), Proxy::Usable);
/// assert_eq!(proxy("proxy.lan:3128"), Proxy::Usable);
/// assert_eq!(proxy("socks5://proxy.lan:1080"), Proxy::Foreign);
/// for address in ["not an address", "proxy.lan:3128/", "name:word@not a url", "ftp://proxy.lan", "/proxy"] {
///     assert_eq!(proxy(address), Proxy::Unreadable, "{address}");
/// }
/// ```
pub fn proxy(address: &str) -> Proxy {
    let matcher = hyper_util::client::proxy::matcher::Matcher::builder()
        .all(address)
        .build();
    let Ok(target) = "https://provider.example".parse() else {
        return Proxy::Unreadable;
    };
    let found = matcher.intercept(&target);
    match found.as_ref().map(|found| found.uri().scheme_str()) {
        None => Proxy::Unreadable,
        Some(Some("http" | "https")) => Proxy::Usable,
        Some(_) => Proxy::Foreign,
    }
}

/// What an address is, as one of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Requests go through it.
    Usable,
    /// It is one of a kind that is not spoken here (SOCKS).
    Foreign,
    /// None.
    Unreadable,
}

/// The text that tokens stand for: those of OpenAI's embedding models, whose tokenizer is known.
///
/// # Errors
/// What is in the way, for people: another model, a number that is no token, or an end in the middle of a character.
pub fn text_of_tokens(model: &str, tokens: &[i32]) -> Result<String, String> {
    tokens::text(model, tokens)
}

/// Ends the pause that the server of a configuration has asked for, for all who ask it for the model with the
/// same key: an owner wants it asked again all the same. A pause that the server called that of its account
/// ends for all its models.
///
/// # Errors
/// [`Error::Settings`] where the configuration leads to no server.
pub fn end_pause(config: &config::Embedding, settings: &EmbedSettings) -> Result<(), Error> {
    let address = client::address(config, settings)?;
    gate_of(&address, &config.resolve()?.model, settings).end_pause();
    Ok(())
}

fn gate_of(address: &str, model: &str, settings: &EmbedSettings) -> gate::Gate {
    let (key, most) = (settings.api_key.as_ref(), settings.max_requests_in_flight);
    let asker = gate::Asker {
        model,
        owner: settings.owner,
    };
    settings.gates.of(address, key, settings.allowance, most, asker)
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
    /// An input is refused as if the key was wrong (403), and another one is accepted: by a filter in front of the
    /// provider, probably.
    #[error("this text is refused, others are accepted: {0}")]
    Forbidden(Arc<Refusal>),
    /// The provider failed (5xx).
    #[error("{0}")]
    Server(Arc<Refusal>),
    /// No connection, or it was lost.
    #[error("no answer from {server}: {cause}")]
    Connection {
        /// Host and port.
        server: String,
        /// What happened to the connection.
        #[source]
        cause: Cause,
    },
    /// No complete answer in time.
    #[error("no answer from {server} within {} ms", after.as_millis())]
    TimedOut {
        /// Host and port.
        server: String,
        /// [`EmbedSettings::timeout`].
        after: Duration,
    },
    /// Status 200 with something that is no list of as many vectors as there were inputs: a gateway's page, say.
    #[error("the answer of the embedding server makes no sense: {0}")]
    Answer(String),
    /// A vector with a number that is infinite or NaN, or of zeros only. It may be due to its text.
    #[error("the answer of the embedding server makes no sense: {0}")]
    Vector(String),
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
    /// What embeds panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
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
            Error::Vector(_) | Error::Forbidden(_) => Class::Unknown,
            Error::Panicked(panicked) => panicked.class(),
            Error::Rejected { alone: false, .. }
            | Error::Answer(_)
            | Error::Server(_)
            | Error::Connection { .. }
            | Error::TimedOut { .. }
            | Error::Stopped => Class::Transient,
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings { hint, .. } => hint.clone(),
            Error::Refused { hint, .. } => Some(hint.clone()),
            Error::Panicked(panicked) => panicked.hint(),
            Error::Rejected { alone: false, .. } => Some(
                "many inputs of different documents were rejected one after the other: check the server".to_owned(),
            ),
            Error::Forbidden(_) => Some(
                "a filter between the server and the provider may object to it: change the row, or the rules of the filter"
                    .to_owned(),
            ),
            Error::Dimensions { actual, model, .. } => Some(format!(
                "make the vectorizer with dimensions => {actual}, or with another model than {model:?}"
            )),
            _ => None,
        }
    }
}

impl From<config::InvalidConfig> for Error {
    fn from(config::InvalidConfig { reason, hint }: config::InvalidConfig) -> Error {
        Error::Settings { reason, hint }
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
    work: mpsc::UnboundedSender<batch::EmbedJob>,
    /// Of its server.
    gate: gate::Gate,
    /// Inputs of this model have more tokens cut off at the end.
    greatest_tokens: Option<usize>,
}

impl Embedder {
    /// Starts the batching task on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::Settings`] when the address, the key or the dimensions cannot work, or outside of a runtime.
    pub fn new(config: &config::Embedding, settings: EmbedSettings) -> Result<Embedder, Error> {
        Embedder::start(config, settings, false)
    }

    /// The same for vectors of the length that the model has by itself: the dimensions of `config` are not
    /// asked for, and are only the most that is accepted.
    ///
    /// # Errors
    /// As [`Embedder::new`].
    pub fn of_any_length(config: &config::Embedding, settings: EmbedSettings) -> Result<Embedder, Error> {
        Embedder::start(config, settings, true)
    }

    fn start(config: &config::Embedding, settings: EmbedSettings, any_length: bool) -> Result<Embedder, Error> {
        let client = client::Client::new(config, &settings, any_length)?;
        let model = config.resolve()?.model;
        let address = client.url().origin().ascii_serialization();
        let gate = gate_of(&address, &model, &settings);
        Embedder::over(Arc::new(client), gate, tokens::greatest(&model))
    }

    /// One that has texts embedded by a backend, as the gate lets requests in. Texts with more tokens than
    /// `greatest_tokens` are cut before.
    fn over(
        backend: Arc<dyn backend::Backend>,
        gate: gate::Gate,
        greatest_tokens: Option<usize>,
    ) -> Result<Embedder, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| Error::Settings {
            reason: error.to_string(),
            hint: None,
        })?;
        let (work, incoming) = mpsc::unbounded_channel();
        runtime.spawn(batch::run(backend, gate.clone(), incoming));
        Ok(Embedder {
            work,
            gate,
            greatest_tokens,
        })
    }

    /// The vectors of the texts of one document, in their order; all of them or an error.
    ///
    /// # Errors
    /// That of [`Embedder::embed_document`].
    pub async fn embed(&self, texts: Vec<String>) -> Result<Embedded, Error> {
        let embedded = self.embed_document(texts, false).await;
        embedded.map_err(|incomplete| incomplete.error)
    }

    /// The vectors of the texts of one document, in their order; else those that are paid for all the same.
    ///
    /// Texts longer than the model takes are cut, and the result says which: for OpenAI's models here, before
    /// they are sent (8,191 tokens); for Ollama, Voyage AI, Cohere and Hugging Face by the provider, which is
    /// asked to cut a text only after it refused it. Mistral and unknown models behind OpenAI's API refuse
    /// such a text ([`Error::Rejected`]).
    ///
    /// Where nobody waits for it (`can_wait`), texts of others that come after it go to the provider before
    /// what was not sent yet. A caller that drops the future takes its texts back, as far as they were not
    /// sent yet.
    ///
    /// # Errors
    /// See [`Error`]. What is with the provider is waited for before. A short pause that the provider asked
    /// for is waited out here; a long one is [`Error::Throttled`], unless some of the vectors are there
    /// already: then a quarter of an hour is waited out.
    pub async fn embed_document(&self, mut texts: Vec<String>, can_wait: bool) -> Result<Embedded, Incomplete> {
        if let Some(index) = texts.iter().position(String::is_empty) {
            return Err(Error::Empty { index, of: texts.len() }.into());
        }
        if texts.is_empty() {
            return Ok(Embedded::default());
        }
        let most = self.greatest_tokens.unwrap_or(usize::MAX);
        let was_cut = |(index, text): (usize, &mut String)| tokens::cut(text, most).then_some(index);
        let cut = texts.iter_mut().enumerate().filter_map(was_cut).collect();
        let (reply, vectors) = oneshot::channel();
        self.work
            .send(batch::EmbedJob {
                texts,
                cut,
                can_wait,
                reply,
            })
            .map_err(|_| Error::Stopped)?;
        vectors.await.unwrap_or(Err(Error::Panicked(Panicked::Lost).into()))
    }

    /// Until when nothing is sent, because the provider asked for it; `None` when requests flow.
    pub fn throttled_until(&self) -> Option<SystemTime> {
        self.gate.throttle(Instant::now()).map(|throttle| throttle.clock())
    }

    /// How long requests wait because an administrator allows no more of them; `None` when they flow.
    pub fn limited_for(&self) -> Option<Duration> {
        let now = Instant::now();
        self.gate.limited_until(now).map(|until| until - now)
    }
}

#[cfg(test)]
mod tests;
