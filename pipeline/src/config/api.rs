//! The APIs that are spoken, and what is wrong with a configuration that none of them takes.

/// Where a provider is found that nobody has given another address, and the variable of its own SDK
/// that does.
pub(super) const OPENAI: &str = "https://api.openai.com/v1";
pub(super) const OPENAI_BASE: &str = "OPENAI_BASE_URL";
pub(super) const VOYAGE: &str = "https://api.voyageai.com/v1";
pub(super) const VOYAGE_BASE: &str = "VOYAGE_API_BASE";
/// The model that takes no `dimensions`, and its only length.
pub(crate) const ADA: &str = "text-embedding-ada-002";

/// The APIs that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Openai,
    Azure,
    Mistral,
    Ollama,
    Voyageai,
    Cohere,
    Huggingface,
}

/// Why a configuration cannot work, whatever the provider says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidConfig {
    /// What is wrong, with the value.
    pub reason: String,
    /// What to write instead.
    pub hint: Option<String>,
}

pub(super) fn invalid(reason: &str) -> InvalidConfig {
    InvalidConfig {
        reason: reason.to_owned(),
        hint: None,
    }
}
