//! The APIs of all providers, and the ways to reach them.

use std::fmt::Debug;
use std::time::Duration;

use ai_pipeline::config;
use ai_pipeline::embed::{EmbedSettings, Embedder, Error};
use ai_pipeline::secret::Secret;
use provider::vectors::Vocabulary;
use provider::{Api, Behaviour, Provider};
use serde_json::{Value, json};

use super::{KEY, in_time, texts};

/// A way to reach an API.
pub struct Subject {
    pub api: Api,
    /// As SQL makes it, without `dimensions`.
    pub config: Value,
    pub dimensions: usize,
    /// What is expected of a request for the text "hello".
    pub path: &'static str,
    pub body: Value,
    /// Most inputs of a request.
    pub inputs: usize,
}

impl Subject {
    pub fn new(api: Api, config: Value, path: &'static str, body: Value, inputs: usize) -> Subject {
        // What models have that are not asked for a length: see the provider.
        let dimensions = match (api, body.get("dimensions")) {
            (_, Some(dimensions)) => dimensions.as_u64().unwrap() as usize,
            _ => 1024,
        };
        Subject {
            api,
            config,
            dimensions,
            path,
            body,
            inputs,
        }
    }

    pub fn config_of(&self, dimensions: usize) -> config::Embedding {
        let mut config = self.config.clone();
        config["dimensions"] = json!(dimensions);
        serde_json::from_value(config).unwrap()
    }

    pub fn settings(&self, provider: &Provider) -> EmbedSettings {
        EmbedSettings {
            base_url: provider.base_url_of(self.api),
            api_version: None,
            api_key: Some(Secret::new(KEY.to_owned())),
            api_key_place: None,
            timeout: Duration::from_secs(20),
            max_requests_in_flight: 4,
            owner: None,
            allowance: ai_pipeline::embed::Allowance::default(),
            headers: Default::default(),
            gates: ai_pipeline::embed::Gates::default(),
        }
    }

    pub fn embedder(&self, provider: &Provider) -> Embedder {
        let config = self.config_of(self.dimensions);
        assert_eq!(config.check(), Ok(()), "{self:?}");
        Embedder::new(&config, self.settings(provider)).unwrap()
    }

    pub fn expected(&self, texts: &[String]) -> Vec<Vec<f32>> {
        let vector = |text: &String| Vocabulary::default().embed(text, self.dimensions);
        texts.iter().map(vector).collect()
    }

    pub async fn fails(&self, provider: &Provider, behaviour: Behaviour) -> Error {
        provider.reset();
        provider.behave(behaviour.clone());
        let error = in_time(self.embedder(provider).embed(texts(2, "a")))
            .await
            .expect_err(&format!("{self:?} {behaviour:?}"));
        let said = format!("{error} {error:?} {:?}", error.hint());
        for part in [&KEY[..8], &KEY[KEY.len() - 6..]] {
            assert!(!said.contains(part), "{self:?} {said}");
        }
        error
    }
}

impl Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.config)
    }
}

pub fn litellm(model: &str, extra_options: Value) -> Value {
    json!({ "implementation": "litellm", "model": model, "extra_options": extra_options })
}

#[rustfmt::skip]
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject::new(
            Api::Openai,
            json!({ "implementation": "openai", "model": "text-embedding-3-small", "api_key_name": "OPENAI_API_KEY",
                    "user": "someone" }),
            "/v1/embeddings",
            json!({ "input": ["hello"], "model": "text-embedding-3-small", "dimensions": 8, "user": "someone",
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Openai,
            litellm("openai/some-model", json!({ "dimensions": 8, "input_type": "passage" })),
            "/v1/embeddings",
            json!({ "input": ["hello"], "model": "some-model", "dimensions": 8, "input_type": "passage",
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Azure,
            litellm("azure/text-embedding-3-large", json!({ "api_version": "2023-05-15" })),
            "/azure/openai/deployments/text-embedding-3-large/embeddings?api-version=2023-05-15",
            json!({ "input": ["hello"], "model": "text-embedding-3-large", "dimensions": 8,
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Mistral,
            litellm("mistral/mistral-embed", Value::Null),
            "/mistral/v1/embeddings",
            json!({ "input": ["hello"], "model": "mistral-embed", "encoding_format": "float" }),
            128,
        ),
        Subject::new(
            Api::Voyageai,
            json!({ "implementation": "voyageai", "model": "voyage-3.5", "api_key_name": "VOYAGE_API_KEY",
                    "input_type": "document" }),
            "/voyage/v1/embeddings",
            json!({ "input": ["hello"], "model": "voyage-3.5", "input_type": "document", "truncation": false,
                    "encoding_format": "base64" }),
            128,
        ),
        Subject::new(
            Api::Voyageai,
            litellm("voyage/voyage-law-2", json!({ "input_type": "query" })),
            "/voyage/v1/embeddings",
            json!({ "input": ["hello"], "model": "voyage-law-2", "input_type": "query", "truncation": false,
                    "encoding_format": "base64" }),
            128,
        ),
        Subject::new(
            Api::Ollama,
            json!({ "implementation": "ollama", "model": "nomic-embed-text", "options": { "num_ctx": 8192 },
                    "keep_alive": "5m" }),
            "/ollama/api/embed",
            json!({ "input": ["hello"], "model": "nomic-embed-text", "truncate": false, "options": { "num_ctx": 8192 },
                    "keep_alive": "5m" }),
            128,
        ),
        Subject::new(
            Api::Cohere,
            litellm("cohere/embed-english-v3.0", Value::Null),
            "/cohere/v2/embed",
            json!({ "texts": ["hello"], "model": "embed-english-v3.0", "input_type": "search_document",
                    "embedding_types": ["float"], "truncate": "NONE" }),
            96,
        ),
        Subject::new(
            Api::Huggingface,
            litellm("huggingface/BAAI/bge-large-en", json!({ "wait_for_model": true })),
            "/huggingface/models/BAAI/bge-large-en/pipeline/feature-extraction",
            json!({ "inputs": ["hello"], "truncate": false, "options": { "wait_for_model": true } }),
            32,
        ),
    ]
}
