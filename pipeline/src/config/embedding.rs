//! Who turns text into vectors, and which of the APIs that we speak is meant by it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::{ADA, Api, InvalidConfig, OPENAI, OPENAI_BASE, VOYAGE, VOYAGE_BASE, invalid};
use super::litellm::{ExtraOptions, split};

/// Where Ollama listens, and the variable that tells its own client of another address.
const OLLAMA: &str = "http://localhost:11434";
const OLLAMA_BASE: &str = "OLLAMA_HOST";
/// The variable of Azure's API version, which is LiteLLM's.
const AZURE_VERSION: &str = "AZURE_API_VERSION";
/// Its vectors have this length, and no request can change it.
const ADA_DIMENSIONS: i32 = 1536;

/// Who turns text into vectors.
///
/// The JSON keys are pgai's; `output_dimension` and `output_dtype` of Voyage AI are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Embedding {
    /// OpenAI, or any server that speaks its `/embeddings`.
    Openai {
        /// Model name, as the API wants it.
        model: String,
        /// Length of a vector.
        dimensions: i32,
        /// End-user identifier that is passed on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Name of the environment variable of the server that holds the key.
        api_key_name: String,
        /// Another server than the default one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
        /// The foreign server that is asked; the default one of its type without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// Ollama's `/api/embed`.
    Ollama {
        /// Model name, as `ollama list` shows it.
        model: String,
        /// Length of a vector; Ollama is not asked for it, its answers are checked.
        dimensions: i32,
        /// Another server than the one that `OLLAMA_HOST` names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
        /// Parameters of the model, as `{"num_ctx": 8192}`; an object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<Value>,
        /// How long the model stays loaded, as `5m`, or a number of seconds, `-1` for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_alive: Option<String>,
        /// The foreign server that is asked; the default one of its type without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// Voyage AI.
    Voyageai {
        /// Model name, as the API wants it.
        model: String,
        /// Length of a vector.
        dimensions: i32,
        /// `document`, `query`, or nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_type: Option<String>,
        /// Name of the environment variable of the server that holds the key.
        api_key_name: String,
        /// Length that the model is asked for; the model's own without it. Equal to `dimensions`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_dimension: Option<i32>,
        /// `float`, or nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_dtype: Option<String>,
        /// The foreign server that is asked; the default one of its type without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// A provider by LiteLLM's name of a model, `provider/model`. No LiteLLM is involved.
    Litellm {
        /// Provider and model, as `cohere/embed-english-v3.0`.
        model: String,
        /// Length of a vector.
        dimensions: i32,
        /// Name of the environment variable of the server that holds the key; by the provider without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key_name: Option<String>,
        /// Arguments of LiteLLM's `embedding`; see [`Embedding::check`] for those that are understood.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extra_options: Option<Value>,
        /// The foreign server that is asked; the default one of its type without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
}

/// A configuration as the APIs want it, whichever builder made it.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub api: Api,
    /// Without LiteLLM's prefix.
    pub model: String,
    /// Length of a vector.
    pub dimensions: usize,
    /// What the provider is asked for, where it is asked.
    pub asked_dimensions: Option<usize>,
    pub user: Option<String>,
    pub input_type: Option<String>,
    pub api_version: Option<String>,
    /// Of Ollama and Hugging Face: passed on as they are.
    pub options: Option<Value>,
    pub keep_alive: Option<Value>,
}

impl Embedding {
    /// Length of a vector.
    pub fn dimensions(&self) -> i32 {
        match self {
            Embedding::Openai { dimensions, .. }
            | Embedding::Ollama { dimensions, .. }
            | Embedding::Voyageai { dimensions, .. }
            | Embedding::Litellm { dimensions, .. } => *dimensions,
        }
    }

    /// The name under which pgai's error rows know the provider.
    pub fn provider(&self) -> &'static str {
        match self {
            Embedding::Openai { .. } => "openai",
            Embedding::Ollama { .. } => "ollama",
            Embedding::Voyageai { .. } => "voyageai",
            Embedding::Litellm { .. } => "litellm",
        }
    }

    /// The foreign server that was named.
    pub fn server(&self) -> Option<&str> {
        match self {
            Embedding::Openai { server, .. }
            | Embedding::Ollama { server, .. }
            | Embedding::Voyageai { server, .. }
            | Embedding::Litellm { server, .. } => server.as_deref(),
        }
    }

    /// The type of the foreign servers that can be asked; `None` where the model names no provider that is known.
    pub fn server_type(&self) -> Option<&'static str> {
        Some(match self {
            Embedding::Openai { .. } => "openai",
            Embedding::Ollama { .. } => "ollama",
            Embedding::Voyageai { .. } => "voyageai",
            Embedding::Litellm { model, .. } => match split(model).ok()?.0.api {
                Api::Openai => "openai",
                Api::Azure => "azure",
                Api::Mistral => "mistral",
                Api::Ollama => "ollama",
                Api::Voyageai => "voyageai",
                Api::Cohere => "cohere",
                Api::Huggingface => "huggingface",
            },
        })
    }

    /// The model, as it was configured: LiteLLM's with its prefix.
    pub fn model(&self) -> &str {
        match self {
            Embedding::Openai { model, .. }
            | Embedding::Ollama { model, .. }
            | Embedding::Voyageai { model, .. }
            | Embedding::Litellm { model, .. } => model,
        }
    }

    /// The environment variable of the server that holds the key: the configured one, or the usual one of the provider.
    /// `None` for Ollama, which has no keys.
    pub fn api_key_name(&self) -> Option<String> {
        match self {
            Embedding::Openai { api_key_name, .. } | Embedding::Voyageai { api_key_name, .. } => {
                Some(api_key_name.clone())
            }
            Embedding::Ollama { .. } => None,
            Embedding::Litellm {
                model, api_key_name, ..
            } => api_key_name
                .clone()
                .or_else(|| Some(split(model).ok()?.0.api_key.to_owned())),
        }
    }

    /// Whether nothing can be sent without a key: it was named, or the provider itself is asked. Servers of one's own
    /// often want none.
    pub fn requires_api_key(&self) -> bool {
        match self {
            Embedding::Openai { .. } | Embedding::Voyageai { .. } => true,
            Embedding::Ollama { .. } => false,
            Embedding::Litellm { api_key_name, .. } => api_key_name.is_some() || self.base_url().is_none(),
        }
    }

    /// The address that the configuration itself names. It goes before the one of [`Embedding::base_url_variable`].
    pub fn base_url(&self) -> Option<&str> {
        match self {
            Embedding::Openai { base_url, .. } | Embedding::Ollama { base_url, .. } => base_url.as_deref(),
            Embedding::Voyageai { .. } => None,
            Embedding::Litellm { extra_options, .. } => {
                let option = |name| extra_options.as_ref()?.get(name)?.as_str();
                option("api_base").or_else(|| option("base_url"))
            }
        }
    }

    /// The environment variable of the server that names another address than the provider's own.
    pub fn base_url_variable(&self) -> Option<&'static str> {
        match self {
            Embedding::Openai { .. } => Some(OPENAI_BASE),
            Embedding::Ollama { .. } => Some(OLLAMA_BASE),
            Embedding::Voyageai { .. } => Some(VOYAGE_BASE),
            Embedding::Litellm { model, .. } => Some(split(model).ok()?.0.base_url_variable),
        }
    }

    /// The provider's own address, where it has one for all customers: Azure has not.
    pub fn default_base_url(&self) -> Option<&'static str> {
        match self {
            Embedding::Openai { .. } => Some(OPENAI),
            Embedding::Ollama { .. } => Some(OLLAMA),
            Embedding::Voyageai { .. } => Some(VOYAGE),
            Embedding::Litellm { model, .. } => split(model).ok()?.0.base_url,
        }
    }

    /// The environment variable of the server that names the version of the API, where the API has versions and the
    /// configuration names none: Azure.
    pub fn api_version_variable(&self) -> Option<&'static str> {
        let resolved = self.resolve().ok()?;
        (resolved.api == Api::Azure && resolved.api_version.is_none()).then_some(AZURE_VERSION)
    }

    /// Checks all that can be known when a vectorizer is made.
    ///
    /// Of `extra_options` of LiteLLM these are understood: `api_base` (or `base_url`), `dimensions`,
    /// `encoding_format` (which changes nothing: the smallest that the provider has is taken), `api_version`
    /// of Azure, `user` of OpenAI and Azure, `input_type` of Cohere, Voyage and servers like OpenAI's,
    /// `options` and `wait_for_model` of Hugging Face.
    ///
    /// ```
    /// use ai_pipeline::config::Embedding;
    /// let made = |json| serde_json::from_value::<Embedding>(json).unwrap();
    /// let cohere = serde_json::json!({"implementation": "litellm", "model": "cohere/embed-v4.0", "dimensions": 1536});
    /// assert_eq!(made(cohere).check(), Ok(()));
    /// let titan = serde_json::json!({"implementation": "litellm", "model": "bedrock/titan", "dimensions": 1536});
    /// assert!(made(titan).check().unwrap_err().hint.unwrap().contains("cohere/"));
    /// ```
    ///
    /// # Errors
    /// [`InvalidConfig`] for lengths that are not positive or contradict each other, a provider that is not
    /// supported, an option that is not understood or holds a credential, an address that is not one, and an
    /// output type other than float.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        self.resolve()?;
        // OLLAMA_HOST's short forms are allowed here, too.
        match (self, self.base_url()) {
            (Embedding::Ollama { .. }, _) | (_, None) => Ok(()),
            (_, Some(base_url)) => crate::embed::check_address(base_url),
        }
    }

    /// The same for all builders; checks everything but the address.
    pub(crate) fn resolve(&self) -> Result<Resolved, InvalidConfig> {
        let dimensions = usize::try_from(self.dimensions())
            .ok()
            .filter(|dimensions| *dimensions > 0);
        let dimensions = dimensions.ok_or_else(|| invalid("dimensions must be positive"))?;
        let plain = |api: Api, model: &str| plain(api, model, dimensions);
        let resolved = match self {
            Embedding::Openai { model, user, .. } => Resolved {
                asked_dimensions: (model != ADA).then_some(dimensions),
                user: user.clone(),
                ..plain(Api::Openai, model)
            },
            Embedding::Ollama {
                model,
                options,
                keep_alive,
                ..
            } => {
                if options.as_ref().is_some_and(|options| !options.is_object()) {
                    return Err(invalid("options of Ollama must be an object"));
                }
                Resolved {
                    options: options.clone(),
                    keep_alive: keep_alive.as_deref().map(keep_alive_value),
                    ..plain(Api::Ollama, model)
                }
            }
            Embedding::Voyageai {
                model,
                input_type,
                output_dimension,
                output_dtype,
                ..
            } => {
                if let Some(dtype) = output_dtype.as_deref().filter(|dtype| *dtype != "float") {
                    return Err(InvalidConfig {
                        reason: format!("output_dtype {dtype:?} does not fit: the vectors of a table hold floats"),
                        hint: Some("leave output_dtype out, or make it float".to_owned()),
                    });
                }
                Resolved {
                    asked_dimensions: same_dimensions("output_dimension", *output_dimension, dimensions)?,
                    input_type: input_type.clone(),
                    ..plain(Api::Voyageai, model)
                }
            }
            Embedding::Litellm {
                model, extra_options, ..
            } => of_litellm(model, extra_options.as_ref(), dimensions)?,
        };
        if resolved.model.is_empty() {
            return Err(invalid("the model has no name"));
        }
        if resolved.model == ADA && self.dimensions() != ADA_DIMENSIONS {
            return Err(invalid(&format!("dimensions must be {ADA_DIMENSIONS} for {ADA}")));
        }
        Ok(resolved)
    }
}

/// A model of which only its name and its length are known.
fn plain(api: Api, model: &str, dimensions: usize) -> Resolved {
    Resolved {
        api,
        model: model.to_owned(),
        dimensions,
        asked_dimensions: None,
        user: None,
        input_type: None,
        api_version: None,
        options: None,
        keep_alive: None,
    }
}

fn of_litellm(model: &str, extra_options: Option<&Value>, dimensions: usize) -> Result<Resolved, InvalidConfig> {
    let (provider, name) = split(model)?;
    let api = provider.api;
    let options = ExtraOptions::read(model, api, extra_options)?;
    let asked = same_dimensions("dimensions in extra_options", options.dimensions, dimensions)?;
    let takes_dimensions = match api {
        Api::Openai | Api::Azure => name.contains("text-embedding-3"),
        Api::Cohere => name.starts_with("embed-v4"),
        _ => false,
    };
    Ok(Resolved {
        asked_dimensions: asked.or(takes_dimensions.then_some(dimensions)),
        user: options.user,
        input_type: options.input_type,
        api_version: options.api_version,
        options: options.options,
        ..plain(api, name, dimensions)
    })
}

fn same_dimensions(name: &str, asked: Option<i32>, dimensions: usize) -> Result<Option<usize>, InvalidConfig> {
    match asked {
        None => Ok(None),
        Some(asked) if usize::try_from(asked) == Ok(dimensions) => Ok(Some(dimensions)),
        Some(asked) => Err(invalid(&format!(
            "{name} is {asked}, but the dimensions of the vectorizer are {dimensions}"
        ))),
    }
}

/// Ollama reads a duration (`5m`) or a number of seconds, and the latter not from a string.
fn keep_alive_value(keep_alive: &str) -> Value {
    match keep_alive.trim().parse::<i64>() {
        Ok(seconds) => Value::from(seconds),
        Err(_) => Value::from(keep_alive),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(json: Value) -> Embedding {
        serde_json::from_value(json).unwrap()
    }

    fn litellm(model: &str, options: Value) -> Embedding {
        made(json!({ "implementation": "litellm", "model": model, "dimensions": 8, "extra_options": options }))
    }

    #[test]
    fn the_json_is_pgais() {
        for json in [
            json!({ "implementation": "openai", "model": "m", "dimensions": 8, "user": "u", "api_key_name": "K" }),
            json!({ "implementation": "ollama", "model": "m", "dimensions": 8, "base_url": "http://x",
                    "options": { "num_ctx": 1 }, "keep_alive": "5m" }),
            json!({ "implementation": "voyageai", "model": "m", "dimensions": 8, "input_type": "document",
                    "api_key_name": "K" }),
            json!({ "implementation": "voyageai", "model": "m", "dimensions": 8, "api_key_name": "K",
                    "output_dimension": 8, "output_dtype": "float" }),
            json!({ "implementation": "litellm", "model": "cohere/m", "dimensions": 8, "api_key_name": "K",
                    "extra_options": { "input_type": "search_document" } }),
        ] {
            let embedding = made(json.clone());
            assert_eq!(serde_json::to_value(&embedding).unwrap(), json);
            assert_eq!(embedding.check(), Ok(()), "{json}");
            assert_eq!(json["implementation"], embedding.provider());
            assert_eq!(
                (json["model"].as_str(), 8),
                (Some(embedding.model()), embedding.dimensions())
            );
        }
    }

    #[test]
    fn lengths_and_types_that_cannot_be_stored_are_refused() {
        let voyage = |change: Value| {
            let mut json = json!({ "implementation": "voyageai", "model": "m", "dimensions": 8, "api_key_name": "K" });
            json.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            made(json).check()
        };
        for dtype in ["int8", "uint8", "binary", "ubinary"] {
            let error = voyage(json!({ "output_dtype": dtype })).unwrap_err();
            assert!(
                error.reason.contains(dtype) && error.reason.contains("floats"),
                "{error}"
            );
        }
        assert_eq!(
            voyage(json!({ "output_dtype": "float", "output_dimension": 8 })),
            Ok(())
        );
        assert!(voyage(json!({ "output_dimension": 9 })).is_err());
        assert!(voyage(json!({ "dimensions": 0 })).is_err());
        assert!(voyage(json!({ "model": "" })).is_err());
        let ada = litellm("openai/text-embedding-ada-002", Value::Null)
            .check()
            .unwrap_err();
        assert_eq!(ada.reason, "dimensions must be 1536 for text-embedding-ada-002");
    }

    #[test]
    fn a_number_of_seconds_reaches_ollama_as_a_number() {
        assert_eq!(keep_alive_value("-1"), json!(-1));
        assert_eq!(keep_alive_value("5m"), json!("5m"));
    }
}
