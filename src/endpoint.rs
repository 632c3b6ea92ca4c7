//! Where an embedding configuration leads: to which address, with whose key.

use ai_pipeline::config::Embedding;
use ai_pipeline::embed;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;
use serde_json::Value;

use crate::environment;
use crate::settings::Settings;

/// Where OpenAI answers, when neither the configuration nor `OPENAI_BASE_URL` names another address.
const OPENAI: &str = "https://api.openai.com/v1";
/// The variable that holds OpenAI's key, when nobody says otherwise.
pub const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// Address and key of a provider. Without `api_key`, the key is the one that the environment of the server holds under
/// the name that the configuration says.
pub fn of(embedding: &Embedding, api_key: Option<Secret>, settings: &Settings) -> Result<embed::Settings, Failure> {
    let Embedding::Openai {
        api_key_name, base_url, ..
    } = embedding;
    let base_url = base_url.clone().or_else(|| environment::text("OPENAI_BASE_URL"));
    let Some(api_key) = api_key.or_else(|| environment::secret(api_key_name)) else {
        return Err(no_key(api_key_name));
    };
    Ok(embed::Settings {
        base_url: base_url.unwrap_or_else(|| OPENAI.to_owned()),
        api_key: Some(api_key),
        timeout: settings.request_timeout,
        max_requests_in_flight: settings.max_requests_in_flight,
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
    if embedding["base_url"].is_string() {
        Some("base_url")
    } else if own_key {
        Some("api_key_name")
    } else {
        None
    }
}
