//! What differs between the APIs of providers: one trait, and a small module for each that implements it.
//!
//! Everything else is shared: connections, batching, rate limits, the search for bad inputs, and the checks of answers.

use serde::Serialize;

use super::Refusal;
use super::backend::{Request, RequestLimits};
use super::vector::WireVector;

/// A vector of an answer, with the index of its text where the API has one.
pub(super) type Numbered = (Option<usize>, Vec<f32>);

/// Where the key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// `Authorization: Bearer …`
    Bearer,
    /// `api-key: …`
    ApiKey,
}

/// What a refusal is about, where the words of the API tell more than the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// All requests alike: model, parameter. With what to do about it, where that is special.
    All(Option<String>),
    /// The inputs are too many or too long together.
    TooLarge,
    /// One or more of the inputs.
    Inputs,
}

/// The API of a provider, for one model.
pub(super) trait Protocol: Send + Sync {
    /// Parts of the path of the endpoint below the base address, none where the address is the endpoint.
    fn path(&self, base_url: &str) -> Vec<String>;

    /// The address to use for a configured one.
    fn base_url(&self, configured: &str) -> String {
        configured.to_owned()
    }

    /// Names and values that are added to the query of the endpoint.
    fn query(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::Bearer
    }

    fn limits(&self) -> RequestLimits;

    /// Whether the provider refuses inputs that are too long for the model, and cuts them when
    /// [`Request::cut`] asks for it. Then the inputs that were cut are found like bad ones, and known.
    fn can_cut(&self) -> bool {
        false
    }

    /// The JSON of a request.
    fn write(&self, request: &Request<'_>) -> Vec<u8>;

    /// The vectors of an answer with status 200.
    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>>;

    /// Asked for all refusals but those of the key and of rate limits.
    fn fault(&self, refusal: &Refusal) -> Option<Fault>;
}

pub(super) fn json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("requests hold only strings, numbers, lists and JSON, and go to memory")
}

pub(super) fn path(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

pub(super) fn in_order(vectors: Vec<WireVector>) -> Vec<Numbered> {
    vectors.into_iter().map(|WireVector(vector)| (None, vector)).collect()
}

/// Whether the provider's message has all of these words, which are given in lower case.
pub(super) fn says(refusal: &Refusal, words: &[&str]) -> bool {
    let message = refusal.message.as_deref().unwrap_or_default().to_lowercase();
    words.iter().all(|word| message.contains(word))
}
