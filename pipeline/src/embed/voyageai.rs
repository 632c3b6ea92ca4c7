//! Voyage AI's `POST /embeddings`. <https://docs.voyageai.com/reference/embeddings-api>

use serde::Serialize;

use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, Numbered, Protocol, json, path, says};
use super::{Refusal, openai};
use crate::config::Resolved;

/// Most inputs of a request, with any model.
const INPUTS: usize = 128;

pub(super) struct Voyageai {
    model: String,
    input_type: Option<String>,
    output_dimension: Option<usize>,
}

#[derive(Serialize)]
struct Body<'a> {
    input: &'a [&'a str],
    model: &'a str,
    truncation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<usize>,
    /// Only models with several types know it, and float is what all of them answer without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
}

impl Voyageai {
    pub fn new(resolved: &Resolved) -> Voyageai {
        Voyageai {
            model: resolved.model.clone(),
            input_type: resolved.input_type.clone(),
            output_dimension: resolved.asked_dimensions,
        }
    }
}

impl Protocol for Voyageai {
    fn path(&self, _: &str) -> Vec<String> {
        path("embeddings")
    }

    fn limits(&self) -> RequestLimits {
        let tokens = match self.model.as_str() {
            "voyage-3.5-lite" | "voyage-3-lite" => 1_000_000,
            "voyage-3.5" | "voyage-3" | "voyage-2" => 320_000,
            _ => 120_000,
        };
        RequestLimits { inputs: INPUTS, tokens }
    }

    fn can_cut(&self) -> bool {
        true
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        json(&Body {
            input: request.texts,
            model: &self.model,
            truncation: request.cut,
            input_type: self.input_type.as_deref(),
            output_dimension: self.output_dimension.filter(|_| !request.without.dimensions),
            encoding_format: (!request.without.encoding).then_some("base64"),
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        openai::read(body)
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        if says(refusal, &["max allowed tokens per submitted batch"]) || says(refusal, &["batch size"]) {
            return Some(Fault::TooLarge);
        }
        // "Model x is not supported. Supported models are […]", "The model x does not support output_dimension"
        let model = says(refusal, &["model", "not support"]) || says(refusal, &["supported models are"]);
        (model || refusal.mentions("output_dimension") || refusal.mentions("input_type")).then_some(Fault::All(None))
    }
}
