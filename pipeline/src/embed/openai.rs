//! OpenAI's `POST /embeddings`, which many servers speak, and Azure's variety of it.
//!
//! <https://platform.openai.com/docs/api-reference/embeddings>,
//! <https://learn.microsoft.com/azure/ai-services/openai/reference>

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, KeyHeader, Numbered, Protocol, json, path};
use super::vector::WireVector;
use crate::config::Resolved;

/// OpenAI's limits for one request. The one of tokens is enforced since 2025 and not in the reference.
const LIMITS: RequestLimits = RequestLimits {
    inputs: 2048,
    tokens: 300_000,
};
/// The last version of Azure's API with a name of its own that is generally available and has embeddings.
const AZURE_VERSION: &str = "2024-10-21";

/// OpenAI, or a server that speaks its language.
pub(super) struct Openai {
    model: String,
    dimensions: Option<usize>,
    user: Option<String>,
    input_type: Option<String>,
}

/// Azure's deployments of OpenAI's models.
pub(super) struct Azure {
    openai: Openai,
    version: String,
}

#[derive(Serialize)]
struct Body<'a> {
    input: &'a [&'a str],
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
}

#[derive(Deserialize)]
struct Reply {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    index: Option<usize>,
    embedding: WireVector,
}

impl Openai {
    pub fn new(resolved: &Resolved) -> Openai {
        Openai {
            model: resolved.model.clone(),
            dimensions: resolved.asked_dimensions,
            user: resolved.user.clone(),
            input_type: resolved.input_type.clone(),
        }
    }
}

impl Protocol for Openai {
    fn path(&self, _: &str) -> Vec<String> {
        path("embeddings")
    }

    fn limits(&self) -> RequestLimits {
        LIMITS
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        json(&Body {
            input: request.texts,
            model: &self.model,
            dimensions: self.dimensions.filter(|_| !request.without.dimensions),
            user: self.user.as_deref(),
            input_type: self.input_type.as_deref(),
            encoding_format: (!request.without.encoding).then_some("base64"),
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        read(body)
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        let is_one_of = |words: &[&str]| words.iter().any(|word| refusal.is(word));
        if is_one_of(&["max_tokens_per_request", "array_above_max_length"]) {
            return Some(Fault::TooLarge);
        }
        let parameter = refusal.param.as_deref();
        let concerns_all = refusal.mentions("dimensions")
            || parameter.is_some_and(|parameter| parameter == "model" || parameter == "user")
            || is_one_of(&["model_not_found", "invalid_model", "unsupported_parameter"]);
        concerns_all.then_some(Fault::All(None))
    }
}

impl Azure {
    pub fn new(resolved: &Resolved, version: Option<&str>) -> Azure {
        let version = resolved.api_version.as_deref().or(version).unwrap_or(AZURE_VERSION);
        Azure {
            openai: Openai::new(resolved),
            version: version.to_owned(),
        }
    }
}

impl Protocol for Azure {
    fn path(&self, _: &str) -> Vec<String> {
        // Not split at slashes: a name is one part of the path, whatever it holds.
        let model = self.openai.model.clone();
        vec![
            "openai".to_owned(),
            "deployments".to_owned(),
            model,
            "embeddings".to_owned(),
        ]
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        vec![("api-version", self.version.clone())]
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::ApiKey
    }

    fn limits(&self) -> RequestLimits {
        LIMITS
    }

    fn write(&self, request: &Request<'_>) -> Vec<u8> {
        self.openai.write(request)
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        read(body)
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        if refusal.is("DeploymentNotFound") {
            let model = &self.openai.model;
            return Some(Fault::All(Some(format!(
                "the model is the name of a deployment of the Azure resource: check {model:?}, api_base and api_version"
            ))));
        }
        self.openai.fault(refusal)
    }
}

/// An answer in OpenAI's form.
pub(super) fn read(body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
    let answer: Reply = serde_json::from_slice(body)?;
    let numbered = |datum: Datum| (datum.index, datum.embedding.0);
    Ok(answer.data.into_iter().map(numbered).collect())
}
