//! Where an embedding configuration leads: to which address, with whose key.

use ai_pipeline::config::Embedding;
use ai_pipeline::embed;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;
use serde_json::Value;

use crate::environment;
use crate::settings::Settings;

/// The variable that holds OpenAI's key, when nobody says otherwise.
pub const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// Address and key of a provider. Without `api_key`, the key is the one that the environment of the server holds under
/// the name that the configuration says, or under the provider's usual one.
pub fn of(embedding: &Embedding, api_key: Option<Secret>, settings: &Settings) -> Result<embed::Settings, Failure> {
    let name = embedding.api_key_name().unwrap_or_default();
    let base_url = base_url(embedding)?;
    let api_key = api_key.or_else(|| environment::secret(&name));
    if api_key.is_none() && embedding.requires_api_key() {
        return Err(no_key(&name));
    }
    Ok(embed::Settings {
        base_url,
        api_version: embedding.api_version_variable().and_then(environment::text),
        api_key,
        timeout: settings.request_timeout,
        max_requests_in_flight: settings.max_requests_in_flight,
    })
}

/// The address that the configuration names, or the environment of the server, or the provider's own.
fn base_url(embedding: &Embedding) -> Result<String, Failure> {
    let named = embedding.base_url().map(str::to_owned);
    let named = named.or_else(|| embedding.base_url_variable().and_then(environment::text));
    if let Some(base_url) = named.or_else(|| embedding.default_base_url().map(str::to_owned)) {
        return Ok(base_url);
    }
    // Without a variable the configuration is wrong, and says so here.
    embedding.check().map_err(embed::Error::from)?;
    let variable = embedding.base_url_variable().unwrap_or_default();
    Err(Failure {
        step: Step::Embedding,
        class: Class::Configuration,
        reason: format!("no address: the environment of the server has no {variable}"),
        hint: Some(format!(
            "Name it in extra_options as api_base, or set {variable} in the environment."
        )),
    })
}

fn no_key(name: &str) -> Failure {
    Failure {
        step: Step::Embedding,
        class: Class::Configuration,
        reason: format!("no API key: the environment of the server has no {name}"),
        hint: Some(format!(
            "Set {name} in the environment that starts Postgres (for systemd: Environment= or EnvironmentFile= of the \
             service) and restart it."
        )),
    }
}

/// What a configuration says about where the credentials of the server go, if it says anything: whoever chooses which key
/// goes to which host could have it sent to himself.
pub fn choice(embedding: &Value) -> Option<&'static str> {
    let own_key = embedding["api_key_name"]
        .as_str()
        .is_some_and(|name| name != OPENAI_KEY);
    let options = &embedding["extra_options"];
    if embedding["base_url"].is_string() {
        Some("base_url")
    } else if options["api_base"].is_string() || options["base_url"].is_string() {
        Some("extra_options")
    } else if own_key {
        Some("api_key_name")
    } else {
        None
    }
}
