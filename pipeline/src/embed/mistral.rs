//! Mistral's `POST /embeddings`: OpenAI's without lengths of vectors. <https://docs.mistral.ai/api/endpoint/embeddings>

use serde::Serialize;

use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, Numbered, Protocol, json, path, says};
use super::{Refusal, openai};
use crate::config::Resolved;

/// As pgai has them. The API itself says "Max is 16384".
const LIMITS: RequestLimits = RequestLimits {
    inputs: 128,
    tokens: 16_000,
};

pub(super) struct Mistral {
    model: String,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [&'a str],
    encoding_format: &'static str,
}

impl Mistral {
    pub fn new(resolved: &Resolved) -> Mistral {
        Mistral {
            model: resolved.model.clone(),
        }
    }
}

impl Protocol for Mistral {
    fn path(&self, _: &str) -> Vec<String> {
        path("embeddings")
    }

    fn limits(&self) -> RequestLimits {
        LIMITS
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        json(&Body {
            model: &self.model,
            input: request.texts,
            encoding_format: "float",
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        openai::read(body)
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        // "Too many tokens in batch. Max is 16384 got 17555", "Too many tokens overall, split into more batches."
        if says(refusal, &["too many tokens"]) || says(refusal, &["split into more batches"]) {
            return Some(Fault::TooLarge);
        }
        let model = says(refusal, &["invalid model"]) || refusal.is("invalid_model") || refusal.is("1500");
        model.then_some(Fault::All(None))
    }
}
