//! Hugging Face's feature extraction: its router, Inference Endpoints, and the server Text Embeddings Inference (TEI).
//!
//! <https://huggingface.co/docs/inference-providers/tasks/feature-extraction>,
//! <https://huggingface.github.io/text-embeddings-inference>

use serde::Serialize;
use serde_json::Value;

use super::Refusal;
use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, Numbered, Protocol, in_order, json, says};
use super::vector::WireVector;
use crate::config::Resolved;

/// TEI's default of `--max-client-batch-size`, which most servers of it have. Its server fills its own batches.
const LIMITS: RequestLimits = RequestLimits {
    inputs: 32,
    tokens: RequestLimits::ANY_TOKENS,
};

pub(super) struct Huggingface {
    model: String,
    options: Option<Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    inputs: &'a [&'a str],
    truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a Value>,
}

impl Huggingface {
    pub fn new(resolved: &Resolved) -> Huggingface {
        Huggingface {
            model: resolved.model.clone(),
            options: resolved.options.clone(),
        }
    }
}

impl Protocol for Huggingface {
    /// An address that ends with `/models` has many, as the router's. Any other is the endpoint of one model,
    /// as LiteLLM has it: an Inference Endpoint, or TEI, which answers at its root and at `/embed`.
    fn path(&self, base_url: &str) -> Vec<String> {
        if !base_url.trim_end_matches('/').ends_with("/models") {
            return Vec::new();
        }
        let model = self.model.split('/').map(str::to_owned);
        model
            .chain(["pipeline".to_owned(), "feature-extraction".to_owned()])
            .collect()
    }

    fn limits(&self) -> RequestLimits {
        LIMITS
    }

    fn can_cut(&self) -> bool {
        true
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        json(&Body {
            inputs: request.texts,
            truncate: request.cut,
            options: self.options.as_ref(),
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        // Models that are no sentence transformers give a vector per token, which is no list of vectors and refused.
        serde_json::from_slice::<Vec<WireVector>>(body).map(in_order)
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        if says(refusal, &["batch size"]) {
            return Some(Fault::TooLarge);
        }
        // "`inputs` must have less than 512 tokens. Given: 513", which TEI says with 413.
        if says(refusal, &["must have less than"]) {
            return Some(Fault::Inputs);
        }
        let model = says(refusal, &["model", "does not exist"]) || says(refusal, &["model", "not support"]);
        model.then_some(Fault::All(None))
    }
}
