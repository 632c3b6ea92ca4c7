//! Where an embedding configuration leads: to which address, with whose key.

use ai_pipeline::config::Embedding;
use ai_pipeline::credential::Reference;
use ai_pipeline::embed;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;
use ai_pipeline::server;

use crate::access::environment;
use crate::settings::Settings;

/// The variables that hold the keys of providers, when nobody says otherwise.
pub const OPENAI_KEY: &str = "OPENAI_API_KEY";
pub const VOYAGE_KEY: &str = "VOYAGE_API_KEY";

/// Address and key of a provider: what the configuration says, then the foreign server, then the environment of the
/// server. With `api_key`, that key is sent instead.
///
/// A key goes nowhere but to the address that it was made for: beside an address of the configuration or of the foreign
/// server, none is taken from elsewhere.
pub fn of(
    embedding: &Embedding,
    server: &server::ProviderOptions,
    api_key: Option<Secret>,
    settings: &Settings,
) -> Result<embed::EmbedSettings, Failure> {
    let is_of_config = embedding.base_url().is_some();
    let is_of_server = !is_of_config && server.has_own_address();
    let base_url = address(embedding, server)?;
    if base_url
        .trim_start()
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("https:"))
    {
        environment::check_way(Step::Embedding)?;
    }
    let key_name = embedding.api_key_name().filter(|_| !is_of_server);
    let reference = server.api_key.as_ref().filter(|_| !is_of_config);
    let api_key_place = match (&api_key, reference) {
        (None, Some(Reference::File(path))) => Some(format!("the file {}", path.display())),
        (None, Some(Reference::Env(name))) => Some(name.clone()),
        _ => None,
    };
    let api_key = match (api_key, reference) {
        (Some(api_key), _) => Some(api_key),
        (None, Some(reference)) => Some(environment::credential(reference, Step::Embedding, settings)?),
        (None, None) => environment::secret(key_name.as_deref().unwrap_or_default(), Step::Embedding)?,
    };
    if let Some(name) = key_name
        && api_key.is_none()
        && embedding.requires_api_key()
    {
        return Err(missing("API key", &name, "Set"));
    }
    Ok(embed::EmbedSettings {
        base_url,
        api_key,
        api_key_place,
        api_version: of_environment(embedding.api_version_variable())?,
        timeout: settings.request_timeout,
        max_requests_in_flight: settings.max_requests_in_flight,
        owner: None,
        allowance: server.allowance,
        headers: embed::Headers::default(),
        gates: embed::Gates::default(),
    })
}

fn of_environment(name: Option<&str>) -> Result<Option<String>, Failure> {
    environment::text(name.unwrap_or_default(), Step::Embedding)
}

/// The address of a provider.
fn address(embedding: &Embedding, server: &server::ProviderOptions) -> Result<String, Failure> {
    let variable = embedding.base_url_variable();
    let of_config = embedding
        .base_url()
        .map(str::to_owned)
        .or_else(|| server.base_url.clone());
    let base_url = match of_config {
        Some(base_url) => Some(base_url),
        None => of_environment(variable)?,
    };
    // A configuration that names no provider that we know is told so by the embedder.
    match (
        base_url.or_else(|| embedding.default_base_url().map(str::to_owned)),
        variable,
    ) {
        (None, Some(variable)) => {
            let otherwise = "Name it as base_url of a foreign server, or set";
            Err(missing("address", variable, otherwise))
        }
        (base_url, _) => Ok(base_url.unwrap_or_default()),
    }
}

/// The variable that a configuration cannot do without, where the environment of the server lacks it.
pub fn missing_key(embedding: &Embedding, server: &server::ProviderOptions) -> Option<String> {
    let of_config = embedding.base_url().is_some();
    let name = match &server.api_key {
        Some(Reference::Env(name)) if !of_config => name.clone(),
        Some(Reference::File(_)) if !of_config => return None,
        _ if server.has_own_address() && !of_config => return None,
        _ => embedding.api_key_name().filter(|_| embedding.requires_api_key())?,
    };
    // One that is unfit is there, and the caller is told why.
    matches!(environment::text(&name, Step::Embedding), Ok(None)).then_some(name)
}

fn missing(what: &str, name: &str, remedy: &str) -> Failure {
    Failure {
        step: Step::Embedding,
        class: Class::Configuration,
        reason: format!("no {what}: the environment of the server has no {name}"),
        hint: Some(format!(
            "{remedy} {name} in the environment that starts Postgres (for systemd: Environment= or EnvironmentFile= of the \
             service) and restart it."
        )),
    }
}

/// What a configuration says about where the credentials of the server go, if it says anything: a role that
/// chooses which key goes to which host could have it sent to a host of its own.
pub fn choices(embedding: &Embedding) -> Vec<&'static str> {
    let address = embedding.base_url().is_some().then_some("base_url");
    let key = (embedding.api_key_name() != usual_key(embedding)).then_some("api_key_name");
    address.into_iter().chain(key).collect()
}

fn usual_key(embedding: &Embedding) -> Option<String> {
    match embedding {
        Embedding::Openai { .. } => Some(OPENAI_KEY.to_owned()),
        Embedding::Ollama { .. } => None,
        Embedding::Voyageai { .. } => Some(VOYAGE_KEY.to_owned()),
        Embedding::Litellm { model, dimensions, .. } => Embedding::Litellm {
            model: model.clone(),
            dimensions: *dimensions,
            api_key_name: None,
            extra_options: None,
            server: None,
        }
        .api_key_name(),
    }
}
