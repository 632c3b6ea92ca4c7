//! What LiteLLM's names and arguments mean: which provider has a model, and what is understood of `extra_options`.

use serde_json::{Map, Value};

use super::api::{ADA, Api, InvalidConfig, OPENAI, OPENAI_BASE, VOYAGE, VOYAGE_BASE, invalid};

/// A provider that a model's prefix names. The variables are LiteLLM's.
pub(super) struct ModelPrefix {
    prefix: &'static str,
    pub api: Api,
    /// The variable of the key.
    pub api_key: &'static str,
    /// The variable of another address.
    pub base_url_variable: &'static str,
    /// Its own address, where it has one for all customers.
    pub base_url: Option<&'static str>,
}

static PROVIDERS: [ModelPrefix; 6] = [
    ModelPrefix {
        prefix: "openai",
        api: Api::Openai,
        api_key: "OPENAI_API_KEY",
        base_url_variable: OPENAI_BASE,
        base_url: Some(OPENAI),
    },
    ModelPrefix {
        prefix: "azure",
        api: Api::Azure,
        api_key: "AZURE_API_KEY",
        base_url_variable: "AZURE_API_BASE",
        base_url: None,
    },
    ModelPrefix {
        prefix: "cohere",
        api: Api::Cohere,
        api_key: "COHERE_API_KEY",
        base_url_variable: "COHERE_API_BASE",
        base_url: Some("https://api.cohere.com"),
    },
    ModelPrefix {
        prefix: "mistral",
        api: Api::Mistral,
        api_key: "MISTRAL_API_KEY",
        base_url_variable: "MISTRAL_API_BASE",
        base_url: Some("https://api.mistral.ai/v1"),
    },
    ModelPrefix {
        prefix: "huggingface",
        api: Api::Huggingface,
        api_key: "HUGGINGFACE_API_KEY",
        base_url_variable: "HUGGINGFACE_API_BASE",
        base_url: Some("https://router.huggingface.co/hf-inference/models"),
    },
    ModelPrefix {
        prefix: "voyage",
        api: Api::Voyageai,
        api_key: "VOYAGE_API_KEY",
        base_url_variable: VOYAGE_BASE,
        base_url: Some(VOYAGE),
    },
];
/// Names that LiteLLM knows without a prefix.
const OPENAI_MODELS: [&str; 3] = [ADA, "text-embedding-3-small", "text-embedding-3-large"];

/// The provider of a model of LiteLLM, and the model's name there.
pub(super) fn split(model: &str) -> Result<(&'static ModelPrefix, &str), InvalidConfig> {
    let provider = |wanted: &str| PROVIDERS.iter().find(|provider| provider.prefix == wanted);
    let unknown = |reason: String| {
        let known: Vec<String> = PROVIDERS.iter().map(|known| format!("{}/", known.prefix)).collect();
        InvalidConfig {
            reason,
            hint: Some(format!("models of embedding_litellm begin with {}", known.join(", "))),
        }
    };
    match model.split_once('/') {
        Some((wanted, name)) => match provider(wanted) {
            Some(provider) => Ok((provider, name)),
            None => Err(unknown(format!(
                "the provider {wanted:?} of the model {model:?} is not supported"
            ))),
        },
        None if OPENAI_MODELS.contains(&model) => Ok((&PROVIDERS[0], model)),
        None => Err(unknown(format!(
            "the model {model:?} does not say which provider has it"
        ))),
    }
}

/// What is understood of LiteLLM's arguments.
#[derive(Default)]
pub(super) struct ExtraOptions {
    pub dimensions: Option<i32>,
    pub user: Option<String>,
    pub input_type: Option<String>,
    pub api_version: Option<String>,
    pub options: Option<Value>,
}

impl ExtraOptions {
    pub fn read(model: &str, api: Api, options: Option<&Value>) -> Result<ExtraOptions, InvalidConfig> {
        let mut read = ExtraOptions::default();
        let none = Map::new();
        let given = match options {
            None | Some(Value::Null) => &none,
            Some(Value::Object(given)) => given,
            Some(_) => return Err(invalid("extra_options must be an object")),
        };
        let special: &[&str] = match api {
            Api::Openai => &["dimensions", "user", "input_type"],
            Api::Azure => &["dimensions", "user", "api_version"],
            Api::Cohere | Api::Voyageai => &["dimensions", "input_type"],
            Api::Huggingface => &["options", "wait_for_model"],
            Api::Mistral | Api::Ollama => &[],
        };
        let known = [&["api_base", "base_url", "encoding_format"], special].concat();
        for (name, value) in given {
            if is_credential(name) {
                return Err(InvalidConfig {
                    reason: format!("extra_options must not hold credentials, but has {name:?}"),
                    hint: Some(
                        "put the key into the environment of the server and its name into api_key_name".to_owned(),
                    ),
                });
            }
            if !known.contains(&name.as_str()) {
                return Err(InvalidConfig {
                    reason: format!("extra_options of {model:?} cannot have {name:?}"),
                    hint: Some(format!("it can have {}", known.join(", "))),
                });
            }
            if value.is_null() {
                continue;
            }
            let wrong = |kind: &str| invalid(&format!("{name} in extra_options must be {kind}"));
            let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong("a string"));
            match name.as_str() {
                "dimensions" => {
                    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                    read.dimensions = Some(number.ok_or_else(|| wrong("a number"))?);
                }
                "user" => read.user = Some(text()?),
                "input_type" => read.input_type = Some(text()?),
                "api_version" => read.api_version = Some(text()?),
                "encoding_format" if !["float", "base64"].contains(&text()?.as_str()) => {
                    return Err(wrong("float or base64"));
                }
                "options" if !value.is_object() => return Err(wrong("an object")),
                "options" => read.options = Some(value.clone()),
                "wait_for_model" => read.options = Some(serde_json::json!({ "wait_for_model": value })),
                _ => drop(text()?),
            }
        }
        Ok(read)
    }
}

/// Whether an argument of LiteLLM carries a secret, or headers in which one can be.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("aws_")
        || [
            "key",
            "token",
            "secret",
            "password",
            "credential",
            "header",
            "authorization",
        ]
        .iter()
        .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Embedding;
    use super::*;

    fn litellm(model: &str, options: Value) -> Embedding {
        serde_json::from_value(
            json!({ "implementation": "litellm", "model": model, "dimensions": 8, "extra_options": options }),
        )
        .unwrap()
    }

    #[test]
    fn a_prefix_decides_where_key_and_address_come_from() {
        for (model, api, key, base, default) in [
            ("openai/m", Api::Openai, "OPENAI_API_KEY", "OPENAI_BASE_URL", true),
            (
                "text-embedding-3-small",
                Api::Openai,
                "OPENAI_API_KEY",
                "OPENAI_BASE_URL",
                true,
            ),
            ("azure/m", Api::Azure, "AZURE_API_KEY", "AZURE_API_BASE", false),
            ("cohere/m", Api::Cohere, "COHERE_API_KEY", "COHERE_API_BASE", true),
            ("mistral/m", Api::Mistral, "MISTRAL_API_KEY", "MISTRAL_API_BASE", true),
            (
                "huggingface/a/b",
                Api::Huggingface,
                "HUGGINGFACE_API_KEY",
                "HUGGINGFACE_API_BASE",
                true,
            ),
            ("voyage/m", Api::Voyageai, "VOYAGE_API_KEY", "VOYAGE_API_BASE", true),
        ] {
            let embedding = litellm(model, Value::Null);
            assert_eq!(embedding.resolve().unwrap().api, api);
            assert_eq!(embedding.api_key_name().as_deref(), Some(key));
            assert_eq!(embedding.base_url_variable(), Some(base));
            assert_eq!(embedding.default_base_url().is_some(), default);
            assert!(embedding.requires_api_key());
            let elsewhere = litellm(model, json!({ "api_base": "http://localhost:1" }));
            assert_eq!(elsewhere.base_url(), Some("http://localhost:1"));
            assert!(!elsewhere.requires_api_key());
        }
        assert_eq!(litellm("huggingface/a/b", Value::Null).resolve().unwrap().model, "a/b");
        assert_eq!(
            litellm("azure/m", Value::Null).api_version_variable(),
            Some("AZURE_API_VERSION")
        );
        assert_eq!(
            litellm("azure/m", json!({ "api_version": "1" })).api_version_variable(),
            None
        );
        assert_eq!(litellm("cohere/m", Value::Null).api_version_variable(), None);
        let own = json!({ "implementation": "litellm", "model": "azure/m", "dimensions": 8, "api_key_name": "K" });
        let own: Embedding = serde_json::from_value(own).unwrap();
        assert_eq!(own.api_key_name().as_deref(), Some("K"));
    }

    #[test]
    fn providers_that_are_not_supported_are_named_with_those_that_are() {
        for model in [
            "bedrock/amazon.titan-embed-text-v2:0",
            "vertex_ai/text-embedding-005",
            "gemini/m",
            "x/y",
            "m",
        ] {
            let error = litellm(model, Value::Null).check().unwrap_err();
            assert!(error.reason.contains(model), "{error}");
            for prefix in ["openai/", "azure/", "cohere/", "mistral/", "huggingface/", "voyage/"] {
                assert!(error.hint.as_ref().unwrap().contains(prefix));
            }
            assert_eq!(litellm(model, Value::Null).api_key_name(), None);
        }
        assert!(litellm("cohere/", Value::Null).check().is_err());
    }

    #[test]
    fn credentials_and_unknown_options_are_refused_without_their_values() {
        for name in [
            "api_key",
            "aws_access_key_id",
            "aws_region_name",
            "azure_ad_token",
            "vertex_credentials",
        ] {
            let error = litellm("cohere/m", json!({ name: "canary" })).check().unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(
                said.contains("credentials") && said.contains(name) && !said.contains("canary"),
                "{said}"
            );
            assert!(said.contains("api_key_name"), "{said}");
        }
        for (model, options) in [
            ("cohere/m", json!({ "api_version": "1" })),
            ("mistral/m", json!({ "dimensions": 8 })),
            ("mistral/m", json!({ "no_such_option": 1 })),
            ("cohere/m", json!({ "dimensions": 9 })),
            ("cohere/m", json!({ "dimensions": "8" })),
            ("cohere/m", json!({ "input_type": 1 })),
            ("cohere/m", json!({ "encoding_format": "int8" })),
            ("cohere/m", json!({ "api_base": "ftp://x" })),
            ("cohere/m", json!({ "api_base": "https://me:canary@x" })),
            ("cohere/m", json!([1])),
        ] {
            let error = litellm(model, options.clone()).check().unwrap_err();
            assert!(!format!("{error:?}").contains("canary"), "{error}");
        }
        let all = json!({ "api_base": "https://x", "dimensions": 8, "input_type": "search_query", "encoding_format": "float" });
        assert_eq!(litellm("cohere/m", all).check(), Ok(()));
    }
}
