//! The functions that embed in the session that calls them: `ai.openai_embed` and the like, and `ai.vectorizer_embed`,
//! which asks as a vectorizer does.
//!
//! A call spends the server's credit and may reach where its caller could not: see `may_choose` and `stored`, and
//! sql/embed.sql for who may EXECUTE what.

mod session;

use ai_pipeline::config::Embedding;
use ai_pipeline::secret::Secret;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, pg_sys};
use serde_json::Value;

use self::session::Provider;
use crate::endpoint::{self, OPENAI_KEY};
use crate::error::{invalid, raise};
use crate::statement;
use crate::vector::Vector;
use crate::vectorizer::{missing, validate};

type Vectors = TableIterator<'static, (name!(index, i32), name!(embedding, Vector))>;

/// What the messages of the pipeline call a key that is in no variable.
const ARGUMENT: &str = "the argument api_key";

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn openai_embed(
    model: Option<String>,
    input_text: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    dimensions: Option<i32>,
    openai_user: Option<String>,
    extra_headers: Option<JsonB>,
    extra_query: Option<JsonB>,
    extra_body: Option<JsonB>,
    verbose: Option<bool>,
    client_config: Option<JsonB>,
) -> Option<Vector> {
    refuse_extras(&extra_headers, &extra_query, &extra_body);
    let provider = openai(model, api_key, api_key_name, dimensions, openai_user, client_config);
    one(&provider, input_text?, verbose)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn openai_embed_array(
    model: Option<String>,
    input_texts: Option<Vec<Option<String>>>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    dimensions: Option<i32>,
    openai_user: Option<String>,
    extra_headers: Option<JsonB>,
    extra_query: Option<JsonB>,
    extra_body: Option<JsonB>,
    verbose: Option<bool>,
    client_config: Option<JsonB>,
) -> Vectors {
    refuse_extras(&extra_headers, &extra_query, &extra_body);
    let provider = openai(model, api_key, api_key_name, dimensions, openai_user, client_config);
    many(&provider, input_texts, verbose)
}

fn openai(
    model: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    dimensions: Option<i32>,
    user: Option<String>,
    client_config: Option<JsonB>,
) -> Provider {
    let model = required("model", model);
    let base_url = client_config.and_then(|JsonB(config)| base_url(&config));
    let dimensions = dimensions.or_else(|| native_dimensions(&model)).unwrap_or_else(|| {
        let hint = "Pass dimensions => the length of its vectors.";
        let message = format!("the dimensions of the model {model:?} are not known");
        raise(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, Some(hint))
    });
    may_choose(base_url.as_ref().map(|_| "base_url"));
    let (api_key, api_key_name) = key(api_key, api_key_name, OPENAI_KEY);
    Provider {
        embedding: Embedding::Openai {
            model,
            dimensions,
            user,
            api_key_name,
            base_url,
        },
        api_key,
    }
}

/// The length of the vectors of OpenAI's models, when a request does not ask for another.
/// <https://platform.openai.com/docs/guides/embeddings>
fn native_dimensions(model: &str) -> Option<i32> {
    match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
        "text-embedding-3-large" => Some(3072),
        _ => None,
    }
}

/// The address in the settings of pgai's client; there is no client to take the others.
fn base_url(client_config: &Value) -> Option<String> {
    let Some(config) = client_config.as_object() else {
        invalid("client_config is not a jsonb object")
    };
    if let Some(other) = config.keys().find(|key| *key != "base_url") {
        unsupported(&format!("client_config with {other}"));
    }
    config.get("base_url").and_then(Value::as_str).map(str::to_owned)
}

fn refuse_extras(headers: &Option<JsonB>, query: &Option<JsonB>, body: &Option<JsonB>) {
    for (name, given) in [("extra_headers", headers), ("extra_query", query), ("extra_body", body)] {
        if given.is_some() {
            unsupported(name);
        }
    }
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_config(
    embedding_config: Option<JsonB>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let config = validate::embedding(&Some(embedding_config?.0));
    may_choose(endpoint::choice(&config));
    one(&for_queries(config, input_type), input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed(
    vectorizer_id: Option<i32>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let sql = include_str!("../sql/query/embedding_by_id.sql");
    let id = vectorizer_id?;
    let config = stored(sql, id.into()).unwrap_or_else(|| missing(&id.to_string()));
    one(&for_queries(config, input_type), input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_name(
    name: Option<String>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let sql = include_str!("../sql/query/embedding_by_name.sql");
    let name = name?;
    let config = stored(sql, name.as_str().into()).unwrap_or_else(|| missing(&format!("\"{name}\"")));
    one(&for_queries(config, input_type), input_text?, None)
}

/// The embedding of a vectorizer, for those who may read what it wrote: they can search, which takes a vector of the
/// query. Whoever made it was asked whether its key and its address are allowed.
fn stored(sql: &str, which: pgrx::datum::DatumWithOid) -> Option<Value> {
    let (config, name, allowed) = statement::look_up(sql, &[which], |row| {
        (row.must::<JsonB>(1).0, row.must::<String>(2), row.must::<bool>(3))
    })?;
    if !allowed {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for vectorizer {name}"),
            Some("It takes SELECT on its destination."),
        );
    }
    Some(config)
}

/// The provider of a configuration, asked for the vector of a query.
fn for_queries(config: Value, _input_type: Option<String>) -> Provider {
    match serde_json::from_value(config) {
        Ok(embedding) => Provider {
            embedding,
            api_key: None,
        },
        Err(error) => invalid(format!("the embedding configuration cannot be read: {error}")),
    }
}

fn one(provider: &Provider, text: String, verbose: Option<bool>) -> Option<Vector> {
    timed(provider, vec![text], verbose).pop().map(Vector)
}

fn many(provider: &Provider, texts: Option<Vec<Option<String>>>, verbose: Option<bool>) -> Vectors {
    let texts: Option<Vec<String>> = texts.unwrap_or_default().into_iter().collect();
    let Some(texts) = texts else {
        let message = "input_texts must not hold NULL";
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    };
    let vectors = timed(provider, texts, verbose).into_iter().map(Vector);
    TableIterator::new((0..).zip(vectors))
}

fn timed(provider: &Provider, texts: Vec<String>, verbose: Option<bool>) -> Vec<Vec<f32>> {
    let (started, number) = (std::time::Instant::now(), texts.len());
    let vectors = provider.embed(texts);
    if verbose == Some(true) {
        let (name, elapsed) = (provider.embedding.provider(), started.elapsed().as_millis());
        notice!("{name} embedded {number} texts in {elapsed} ms");
    }
    vectors
}

/// The key of a call, and what messages call it. A key of one's own is sent nowhere but to the provider.
fn key(api_key: Option<String>, api_key_name: Option<String>, default: &str) -> (Option<Secret>, String) {
    if let Some(key) = api_key {
        return (Some(Secret::new(key)), ARGUMENT.to_owned());
    }
    may_choose(
        api_key_name
            .as_deref()
            .filter(|name| *name != default)
            .map(|_| "api_key_name"),
    );
    (None, api_key_name.unwrap_or_else(|| default.to_owned()))
}

/// Only an administrator says where credentials of the server go, and whom the server talks to.
fn may_choose(what: Option<&str>) {
    let Some(what) = what else { return };
    // SAFETY: a look at the role of the session.
    let allowed = unsafe { pg_sys::superuser() };
    if !allowed {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied to choose {what}"),
            Some("Only a superuser may say where the credentials of the server are used."),
        );
    }
}

fn required<T>(name: &str, value: Option<T>) -> T {
    value.unwrap_or_else(|| {
        let message = format!("{name} must not be NULL");
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    })
}

fn unsupported(what: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("{what} is not supported"),
        None,
    )
}
