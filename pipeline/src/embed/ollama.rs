//! Ollama's `POST /api/embed`. <https://github.com/ollama/ollama/blob/main/docs/api.md>

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Refusal;
use super::backend::{Request, RequestLimits};
use super::protocol::{Fault, Numbered, Protocol, in_order, json, path, says};
use super::vector::WireVector;
use crate::config::Resolved;

/// Ollama names none. Its server computes one input after the other, so that a larger request gains nothing and takes
/// longer than a time-out: on a processor without GPU a minute is enough for so many tokens, and not for many more.
const LIMITS: RequestLimits = RequestLimits {
    inputs: 128,
    tokens: 30_000,
};
/// Of addresses that name only a host, as `OLLAMA_HOST` does.
const PORT: u16 = 11434;

pub(super) struct Ollama {
    model: String,
    options: Option<Value>,
    keep_alive: Option<Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [&'a str],
    truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<&'a Value>,
}

#[derive(Deserialize)]
struct Reply {
    embeddings: Vec<WireVector>,
}

impl Ollama {
    pub fn new(resolved: &Resolved) -> Ollama {
        Ollama {
            model: resolved.model.clone(),
            options: resolved.options.clone(),
            keep_alive: resolved.keep_alive.clone(),
        }
    }
}

impl Protocol for Ollama {
    fn path(&self, _: &str) -> Vec<String> {
        path("api/embed")
    }

    /// `OLLAMA_HOST` may be `host` or `host:port`.
    fn base_url(&self, configured: &str) -> String {
        let host = configured.trim();
        if host.contains("://") || host.is_empty() {
            return host.to_owned();
        }
        let (authority, path) = host.split_at(host.find('/').unwrap_or(host.len()));
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        if has_port {
            format!("http://{host}")
        } else {
            format!("http://{authority}:{PORT}{path}")
        }
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
            input: request.texts,
            truncate: request.cut,
            options: self.options.as_ref(),
            keep_alive: self.keep_alive.as_ref(),
        })
    }

    fn read(&self, body: &[u8]) -> serde_json::Result<Vec<Numbered>> {
        serde_json::from_slice::<Reply>(body).map(|answer| in_order(answer.embeddings))
    }

    fn fault(&self, refusal: &Refusal) -> Option<Fault> {
        if says(refusal, &["not found"]) && (refusal.status == 404 || says(refusal, &["try pulling it first"])) {
            let model = &self.model;
            return Some(Fault::All(Some(format!(
                "on the machine of the server: ollama pull {model}"
            ))));
        }
        if says(refusal, &["does not support embeddings"]) {
            return Some(Fault::All(None));
        }
        // Some versions answer both with 500, although no other server would do better: the text is too long,
        // or the model makes a vector of it that is no vector.
        let too_long = says(refusal, &["exceed", "context length"]);
        (too_long || says(refusal, &["unsupported value: nan"])).then_some(Fault::Inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_becomes_an_address() {
        let ollama = Ollama {
            model: String::new(),
            options: None,
            keep_alive: None,
        };
        for (configured, address) in [
            ("http://x:1/a", "http://x:1/a"),
            ("https://x", "https://x"),
            ("127.0.0.1", "http://127.0.0.1:11434"),
            ("0.0.0.0:8080", "http://0.0.0.0:8080"),
            (" host/ ", "http://host:11434/"),
            ("[::1]", "http://[::1]:11434"),
            ("[::1]:2", "http://[::1]:2"),
        ] {
            assert_eq!(ollama.base_url(configured), address);
        }
    }
}
