//! The APIs that the server speaks: where each is found, what its requests hold, and what its answers look like.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;

/// An API of a provider of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's `/v1/embeddings`.
    Openai,
    /// Azure's `/openai/deployments/…/embeddings`.
    Azure,
    /// Mistral's `/v1/embeddings`.
    Mistral,
    /// Voyage AI's `/v1/embeddings`.
    Voyageai,
    /// Ollama's `/api/embed`.
    Ollama,
    /// Cohere's `/v2/embed`.
    Cohere,
    /// Hugging Face's `/models/…/pipeline/feature-extraction`.
    Huggingface,
}

/// A request, whichever API it came by.
pub(crate) struct Asked {
    pub model: String,
    pub texts: Vec<String>,
    pub dimensions: Option<usize>,
    pub user: Option<String>,
    pub encoding_format: Option<String>,
    /// What is too long for the model shall be cut, not refused.
    pub cut: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Body {
    #[serde(alias = "texts", alias = "inputs")]
    input: Input,
    model: Option<String>,
    #[serde(alias = "output_dimension")]
    dimensions: Option<usize>,
    user: Option<String>,
    encoding_format: Option<String>,
    #[serde(alias = "truncation")]
    truncate: Option<Value>,
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 7] = [
        Api::Openai,
        Api::Azure,
        Api::Mistral,
        Api::Voyageai,
        Api::Ollama,
        Api::Cohere,
        Api::Huggingface,
    ];

    /// The path of its base address here. Several have the same endpoint, so that each gets a prefix.
    pub(crate) fn base(self) -> &'static str {
        match self {
            Api::Openai => "/v1",
            Api::Azure => "/azure",
            Api::Mistral => "/mistral/v1",
            Api::Voyageai => "/voyage/v1",
            Api::Ollama => "/ollama",
            Api::Cohere => "/cohere",
            Api::Huggingface => "/huggingface/models",
        }
    }

    /// The API of a path, and the model, where the path names it. Ollama, Cohere and Text Embeddings Inference are also
    /// found at the root.
    pub(crate) fn of(path: &str) -> Option<(Api, Option<&str>)> {
        let model_between = |start: &str, end: &str| path.strip_prefix(start)?.strip_suffix(end);
        if let Some(model) = model_between("/azure/openai/deployments/", "/embeddings") {
            return Some((Api::Azure, Some(model)));
        }
        if let Some(model) = model_between("/huggingface/models/", "/pipeline/feature-extraction") {
            return Some((Api::Huggingface, Some(model)));
        }
        Some(match path {
            "/v1/embeddings" => (Api::Openai, None),
            "/mistral/v1/embeddings" => (Api::Mistral, None),
            "/voyage/v1/embeddings" => (Api::Voyageai, None),
            "/ollama/api/embed" | "/api/embed" => (Api::Ollama, None),
            "/cohere/v2/embed" | "/v2/embed" => (Api::Cohere, None),
            "/embed" => (Api::Huggingface, Some("")),
            _ => return None,
        })
    }

    /// The header of the key, and what it holds.
    pub(crate) fn key(self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        match self {
            Api::Azure => text("api-key").map(str::to_owned),
            _ => text(AUTHORIZATION.as_str())?.strip_prefix("Bearer ").map(str::to_owned),
        }
    }

    /// A request; `None` when it is none.
    pub(crate) fn read(self, model: Option<&str>, body: &[u8]) -> Option<Asked> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let texts = match body.input {
            Input::One(text) => vec![text],
            Input::Many(texts) => texts,
        };
        let cut = match (self, body.truncate) {
            (Api::Ollama | Api::Voyageai, truncate) => truncate != Some(Value::Bool(false)),
            (Api::Cohere, truncate) => truncate != Some(Value::from("NONE")),
            (Api::Huggingface, truncate) => truncate == Some(Value::Bool(true)),
            (Api::Openai | Api::Azure | Api::Mistral, _) => false,
        };
        Some(Asked {
            model: model.map(str::to_owned).or(body.model)?,
            texts,
            dimensions: body.dimensions,
            user: body.user,
            encoding_format: body.encoding_format,
            cut,
        })
    }

    /// Most inputs and tokens of a request.
    pub(crate) fn limits(self, model: &str) -> (usize, usize) {
        match self {
            Api::Openai | Api::Azure => (2048, 300_000),
            Api::Mistral => (128, 16_384),
            Api::Voyageai if model.ends_with("-lite") => (128, 1_000_000),
            Api::Voyageai if ["voyage-3.5", "voyage-3", "voyage-2"].contains(&model) => (128, 320_000),
            Api::Voyageai => (128, 120_000),
            Api::Ollama => (usize::MAX, usize::MAX),
            Api::Cohere => (96, usize::MAX),
            Api::Huggingface => (32, usize::MAX),
        }
    }

    /// The length of the vectors of a model that was not asked for another.
    pub(crate) fn dimensions(self, model: &str) -> usize {
        match (self, model) {
            (Api::Openai | Api::Azure, "text-embedding-3-large") => 3072,
            (Api::Openai | Api::Azure, _) => 1536,
            _ => 1024,
        }
    }

    /// Whether vectors come with the index of their input.
    pub(crate) fn has_index(self) -> bool {
        matches!(self, Api::Openai | Api::Azure | Api::Mistral | Api::Voyageai)
    }

    /// An answer. Written by hand: benchmarks take thousands of vectors per second, and each is 1,536 numbers.
    pub(crate) fn answer(self, model: &str, vectors: &[(usize, Vec<f32>)], base64: bool, tokens: usize) -> String {
        let dimensions = vectors.first().map_or(0, |(_, vector)| vector.len());
        let capacity = vectors.len() * (dimensions * if base64 { 6 } else { 14 } + 80) + 200;
        let indexes = vectors.iter().map(|(index, _)| *index);
        self.answer_of(model, indexes, tokens, capacity, |place, body| {
            write_vector(body, &vectors[place].1, base64);
        })
    }

    /// An answer of `count` vectors that are all `vector`, as it is written in JSON.
    pub(crate) fn answer_alike(self, model: &str, count: usize, vector: &str, tokens: usize) -> String {
        let capacity = count * (vector.len() + 80) + 200;
        self.answer_of(model, 0..count, tokens, capacity, |_, body| body.push_str(vector))
    }

    fn answer_of(
        self,
        model: &str,
        indexes: impl Iterator<Item = usize>,
        tokens: usize,
        capacity: usize,
        write_vector: impl Fn(usize, &mut String),
    ) -> String {
        let mut body = String::with_capacity(capacity);
        let model = Value::from(model);
        let (start, end) = match self {
            Api::Openai | Api::Azure | Api::Mistral => (
                r#"{"object":"list","data":["#.to_owned(),
                format!(r#"],"model":{model},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#),
            ),
            Api::Voyageai => (
                r#"{"object":"list","data":["#.to_owned(),
                format!(r#"],"model":{model},"usage":{{"total_tokens":{tokens}}}}}"#),
            ),
            Api::Ollama => (
                format!(r#"{{"model":{model},"embeddings":["#),
                format!(r#"],"total_duration":14143917,"load_duration":1019500,"prompt_eval_count":{tokens}}}"#),
            ),
            Api::Cohere => (
                r#"{"id":"da6e531f-54c5-4a73-bf92-f60566d8d753","embeddings":{"float":["#.to_owned(),
                format!(
                    r#"]}},"texts":[],"meta":{{"api_version":{{"version":"2"}},"billed_units":{{"input_tokens":{tokens}}}}},"response_type":"embeddings_by_type"}}"#
                ),
            ),
            Api::Huggingface => ("[".to_owned(), "]".to_owned()),
        };
        body.push_str(&start);
        for (place, index) in indexes.enumerate() {
            if place > 0 {
                body.push(',');
            }
            if self.has_index() {
                let _ = write!(body, r#"{{"object":"embedding","index":{index},"embedding":"#);
            }
            write_vector(place, &mut body);
            if self.has_index() {
                body.push('}');
            }
        }
        body.push_str(&end);
        body
    }
}

/// A vector as it stands in an answer.
pub(crate) fn write_vector(body: &mut String, vector: &[f32], base64: bool) {
    if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        body.push('"');
        BASE64.encode_string(bytes, body);
        body.push('"');
    } else {
        write_numbers(body, vector);
    }
}

fn write_numbers(body: &mut String, vector: &[f32]) {
    for (place, number) in vector.iter().enumerate() {
        body.push(if place == 0 { '[' } else { ',' });
        // JSON has no NaN; a number beyond the range of a float is the nearest that a text can hold.
        let _ = if number.is_finite() {
            write!(body, "{number}")
        } else {
            write!(body, "1e60")
        };
    }
    body.push(']');
}
