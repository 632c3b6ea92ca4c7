//! Cohere's `POST /v2/embed`. <https://docs.cohere.com/reference/embed>

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, Numbered, Protocol, in_order, json, path, says};
use super::vector::WireVector;
use crate::config::Resolved;

/// What Cohere's reference of `/embed` says: "Maximum number of texts per call is 96." It names no
/// limit of tokens.
const LIMITS: RequestLimits = RequestLimits {
    inputs: 96,
    tokens: RequestLimits::ANY_TOKENS,
};
/// Models since embed-v3 want a type; LiteLLM says this one where none is given.
const INPUT_TYPE: &str = "search_document";

pub(super) struct Cohere {
    model: String,
    input_type: Option<String>,
    output_dimension: Option<usize>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    texts: &'a [&'a str],
    input_type: &'a str,
    embedding_types: [&'static str; 1],
    truncate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<usize>,
}

#[derive(Deserialize)]
struct Reply {
    embeddings: ByType,
}

#[derive(Deserialize)]
struct ByType {
    float: Vec<WireVector>,
}

impl Cohere {
    pub fn new(resolved: &Resolved) -> Cohere {
        Cohere {
            model: resolved.model.clone(),
            input_type: resolved.input_type.clone(),
            output_dimension: resolved.asked_dimensions,
        }
    }
}

impl Protocol for Cohere {
    fn path(&self, _: &str) -> Vec<String> {
        path("v2/embed")
    }

    fn limits(&self) -> RequestLimits {
        LIMITS
    }

    fn can_cut(&self) -> bool {
        true
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        json(&Body {
            model: &self.model,
            texts: request.texts,
            input_type: self.input_type.as_deref().unwrap_or(INPUT_TYPE),
            embedding_types: ["float"],
            truncate: if request.cut { "END" } else { "NONE" },
            output_dimension: self.output_dimension.filter(|_| !request.without.dimensions),
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        serde_json::from_slice::<Reply>(body).map(|answer| in_order(answer.embeddings.float))
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        if says(refusal, &["total number of texts must be at most"]) {
            return Some(Fault::TooLarge);
        }
        if says(refusal, &["too many tokens"]) {
            return Some(Fault::Inputs);
        }
        let parameter = ["input_type", "output_dimension", "embedding_types"]
            .iter()
            .any(|parameter| refusal.mentions(parameter));
        let model = says(refusal, &["model", "not found"]) || says(refusal, &["model", "not support"]);
        (parameter || model).then_some(Fault::All(None))
    }
}
