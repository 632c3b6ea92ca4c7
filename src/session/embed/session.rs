//! Asking a provider from a session, which stays a good citizen while it waits: it can be cancelled, timed
//! out and ended as if it waited for a lock.

use std::cell::RefCell;

use ai_pipeline::config::Embedding;
use ai_pipeline::embed::{Embedded, Embedder, Headers};
use ai_pipeline::error::{Failure, Step};
use ai_pipeline::panics;
use ai_pipeline::secret::Secret;
use ai_pipeline::server;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::access::endpoint;
use crate::postgres::error;
use crate::runtime::bridge::Bridge;
use crate::settings::{self, Settings};

/// Providers, models and keys that a session stays connected to.
const GREATEST_EMBEDDERS: usize = 8;

thread_local! {
    /// Made by the first call, and there until the session ends.
    static SESSION: RefCell<Option<EmbedSession>> = const { RefCell::new(None) };
}

/// Whom to ask.
#[derive(Clone, PartialEq)]
pub struct ProviderCall {
    pub embedding: Embedding,
    /// Instead of the key that the environment of the server holds.
    pub api_key: Option<Secret>,
    /// The vectors may have any length up to that of the configuration, which is not asked for.
    pub any_dimensions: bool,
    /// Sent along.
    pub headers: Headers,
}

impl ProviderCall {
    /// The vectors of `texts`, in their order, from where `server` says. Raises what goes wrong.
    pub fn embed(&self, server: &server::ProviderOptions, texts: Vec<String>) -> Vec<Vec<f32>> {
        if texts.is_empty() {
            return Vec::new();
        }
        SESSION
            .with_borrow_mut(|session| {
                let session = session.get_or_insert_with(EmbedSession::open);
                session
                    .recall(self, &texts)
                    .map_or_else(|| session.ask(self, server, texts), Ok)
            })
            .unwrap_or_else(|failure| {
                let (provider, model) = (self.embedding.provider(), self.embedding.model());
                error::fail(&failure, format!("The provider is {provider}, the model {model:?}."))
            })
    }
}

/// Provider, settings, address and key.
type EmbedderKey = (ProviderCall, Settings, String, Option<Secret>);

struct EmbedSession {
    bridge: Bridge<CallResult>,
    /// By what they were made for: a key or an address that has changed since makes another.
    embedders: Vec<(EmbedderKey, Embedder)>,
    calls: u64,
    last: Option<LastAnswer>,
}

/// What a task brings, and for which call: that of a cancelled one may come late.
struct CallResult {
    call: u64,
    outcome: Result<Embedded, Failure>,
}

/// The last answer for a single text. A query that is compared with each row of a table names it once, but has it
/// evaluated for each row: it is embedded once per statement all the same.
struct LastAnswer {
    statement: pg_sys::TimestampTz,
    provider: ProviderCall,
    text: String,
    vector: Vec<f32>,
}

impl EmbedSession {
    fn open() -> EmbedSession {
        EmbedSession {
            bridge: Bridge::of_session(1),
            embedders: Vec::new(),
            calls: 0,
            last: None,
        }
    }

    fn recall(&self, provider: &ProviderCall, texts: &[String]) -> Option<Vec<Vec<f32>>> {
        let last = self.last.as_ref()?;
        let same = last.statement == statement() && last.provider == *provider && *texts == [last.text.as_str()];
        same.then(|| vec![last.vector.clone()])
    }

    fn ask(
        &mut self,
        provider: &ProviderCall,
        server: &server::ProviderOptions,
        texts: Vec<String>,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        self.last = None;
        let settings = settings::current();
        let mut endpoint = endpoint::of(&provider.embedding, server, provider.api_key.clone(), &settings)?;
        endpoint.headers = provider.headers.clone();
        let place = (
            provider.clone(),
            settings,
            endpoint.base_url.clone(),
            endpoint.api_key.clone(),
        );
        // Taken out while it works: if this call is cancelled it ends, and its requests with it.
        let embedder = match self.embedders.iter().position(|(known, _)| *known == place) {
            Some(position) => self.embedders.remove(position).1,
            None => {
                let start = if provider.any_dimensions {
                    Embedder::of_any_length
                } else {
                    Embedder::new
                };
                self.bridge
                    .within(|| start(&provider.embedding, endpoint))
                    .map_err(Failure::from)?
            }
        };
        let single = (texts.len() == 1).then(|| texts[0].clone());
        let outcome = self.wait_for(embedder.clone(), texts);
        if self.embedders.len() == GREATEST_EMBEDDERS {
            self.embedders.remove(0);
        }
        self.embedders.push((place, embedder));
        let Embedded { vectors, cut } = outcome?;
        if !cut.is_empty() {
            let number = cut.len();
            warning!("{number} texts are longer than the model takes: the vectors are those of their beginnings");
        }
        if let (Some(text), [vector]) = (single, vectors.as_slice()) {
            self.last = Some(LastAnswer {
                statement: statement(),
                provider: provider.clone(),
                text,
                vector: vector.clone(),
            });
        }
        Ok(vectors)
    }

    fn wait_for(&mut self, embedder: Embedder, texts: Vec<String>) -> Result<Embedded, Failure> {
        self.calls += 1;
        let call = self.calls;
        let embed = async move { embedder.embed(texts).await.map_err(Failure::from) };
        let task = self.bridge.spawn(async move {
            let outcome = panics::guarded(Step::Embedding, embed).await;
            CallResult { call, outcome }
        });
        loop {
            let answer = self.bridge.wait_in_session(|| task.has_ended());
            if answer.call == call {
                return answer.outcome;
            }
        }
    }
}

/// What tells the statement that a client has sent from the one before.
fn statement() -> pg_sys::TimestampTz {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}
