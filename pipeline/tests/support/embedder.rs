//! An embedder of OpenAI's API, and what it is expected to answer.

use std::time::Duration;

use ai_pipeline::config;
use ai_pipeline::embed::{EmbedSettings, Embedded, Embedder};
use ai_pipeline::secret::Secret;
use provider::vectors::Vocabulary;
use provider::{Behaviour, Provider};

use super::KEY;

pub const DIMENSIONS: usize = 8;

pub fn model(model: &str, dimensions: usize) -> config::Embedding {
    config::Embedding::Openai {
        server: None,
        model: model.to_owned(),
        dimensions: dimensions as i32,
        user: Some("someone".to_owned()),
        api_key_name: "OPENAI_API_KEY".to_owned(),
        base_url: None,
    }
}

pub fn settings(provider: &Provider) -> EmbedSettings {
    EmbedSettings {
        base_url: provider.base_url(),
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

pub fn embedder(provider: &Provider) -> Embedder {
    Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings(provider)).unwrap()
}

pub fn expected(texts: &[String]) -> Embedded {
    let vector = |text: &String| Vocabulary::default().embed(text, DIMENSIONS);
    Embedded {
        vectors: texts.iter().map(vector).collect(),
        cut: Vec::new(),
    }
}

pub fn answer(status: u16, body: &str) -> Behaviour {
    Behaviour::Answer {
        status,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}
