//! The functions that embed in the session that calls them: `ai.openai_embed` and the like, and `ai.vectorizer_embed`,
//! which asks as a vectorizer does.
//!
//! A call spends the server's credit and may reach where its caller could not: see `may_choose` and `stored`, and
//! sql/embed.sql for who may EXECUTE what.

mod session;

use ai_pipeline::config::Embedding;
use ai_pipeline::embed::Headers;
use ai_pipeline::secret::Secret;
use pgrx::iter::TableIterator;
use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::{Value, json};

use self::session::Provider;
use crate::access::endpoint::{OPENAI_KEY, VOYAGE_KEY};
use crate::access::server;
use crate::postgres::error::{invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::postgres::vector::{self, Vector};
use crate::settings;
use crate::vectorizer::{missing, raise_held, raise_stranger, validate};

type Vectors = TableIterator<'static, (name!(index, i32), name!(embedding, Vector))>;

/// What the messages of the pipeline call a key that is in no variable.
const ARGUMENT: &str = "the argument api_key";
/// Tokens of a call, which are made a text in a moment.
const GREATEST_TOKENS: usize = 100_000;
/// Where any length will do: the most that a `vector` has.
const ANY: i32 = vector::GREATEST_DIMENSIONS as i32;

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
    refuse_extras(&extra_query, &extra_body);
    let client = Client::new(client_config, extra_headers);
    let provider = openai(model, api_key, api_key_name, dimensions, openai_user, client);
    one(&provider, caller(), input_text?, verbose)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn openai_embed_tokens(
    model: Option<String>,
    input_tokens: Option<Vec<Option<i32>>>,
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
    refuse_extras(&extra_query, &extra_body);
    let name = required("model", model.clone());
    let client = Client::new(client_config, extra_headers);
    let provider = openai(model, api_key, api_key_name, dimensions, openai_user, client);
    let tokens: Option<Vec<i32>> = input_tokens?.into_iter().collect();
    let Some(tokens) = tokens else {
        let message = "input_tokens must not hold NULL";
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    };
    if tokens.len() > GREATEST_TOKENS {
        let (number, hint) = (tokens.len(), "Models take some thousand tokens at a time.");
        raise(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("input_tokens has {number} members, more than {GREATEST_TOKENS}"),
            Some(hint),
        )
    }
    let text = ai_pipeline::embed::text_of_tokens(&name, &tokens).unwrap_or_else(|reason| invalid(reason));
    one(&provider, caller(), text, verbose)
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
    refuse_extras(&extra_query, &extra_body);
    let client = Client::new(client_config, extra_headers);
    let provider = openai(model, api_key, api_key_name, dimensions, openai_user, client);
    many(&provider, caller(), input_texts, verbose)
}

fn openai(
    model: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    dimensions: Option<i32>,
    user: Option<String>,
    client: Client,
) -> Provider {
    let model = required("model", model);
    // It has one length, and the pipeline insists on it.
    let dimensions = dimensions.or_else(|| (model == "text-embedding-ada-002").then_some(1536));
    may_choose(client.base_url.as_ref().map(|_| "base_url"));
    // They may say what the key of the server is used for: whose bill, which project. A key of one's own is
    // one's own affair.
    may_choose(Some("extra_headers").filter(|_| api_key.is_none() && !client.headers.is_empty()));
    // Only an administrator has set it: the caller need not be one.
    let base_url = client.base_url.or_else(settings::openai_base_url);
    let (api_key, api_key_name) = key(api_key, api_key_name, OPENAI_KEY);
    Provider {
        embedding: Embedding::Openai {
            server: None,
            model,
            dimensions: dimensions.unwrap_or(ANY),
            user,
            api_key_name,
            base_url,
        },
        api_key,
        any_dimensions: dimensions.is_none(),
        headers: client.headers,
    }
}

/// What of the settings of pgai's client there is here.
struct Client {
    base_url: Option<String>,
    headers: Headers,
}

impl Client {
    /// From `client_config` and `extra_headers`, of which the latter have the last word.
    fn new(config: Option<JsonB>, extra_headers: Option<JsonB>) -> Client {
        let config = config.map_or_else(|| json!({}), |JsonB(config)| config);
        let Some(config) = config.as_object() else {
            invalid("client_config is not a jsonb object")
        };
        for key in config.keys() {
            match key.as_str() {
                "base_url" | "organization" | "project" | "default_headers" => (),
                "timeout" => unsupported(
                    "client_config with timeout",
                    "Set ai.request_timeout or statement_timeout.",
                ),
                "max_retries" => unsupported(
                    "client_config with max_retries",
                    "Call again: a call asks once more by itself where that helps.",
                ),
                other => unsupported(
                    &format!("client_config with {other}"),
                    "base_url, organization, project and default_headers are.",
                ),
            }
        }
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let named = [("OpenAI-Organization", "organization"), ("OpenAI-Project", "project")];
        let mut headers: Vec<(String, String)> = named
            .into_iter()
            .filter_map(|(header, key)| Some((header.to_owned(), text(key)?)))
            .collect();
        let given = [
            ("default_headers", config.get("default_headers")),
            ("extra_headers", extra_headers.as_ref().map(|JsonB(headers)| headers)),
        ];
        for (name, given) in given {
            let Some(given) = given else { continue };
            let Some(given) = given.as_object() else {
                invalid(format!("{name} is not a jsonb object"))
            };
            for (header, value) in given {
                let Some(value) = value.as_str() else {
                    invalid(format!("the header {header} of {name} is not a text"))
                };
                headers.push((header.clone(), value.to_owned()));
            }
        }
        let headers = Headers::new(&headers).unwrap_or_else(|refused| {
            let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
            raise(code, refused.to_string(), refused.hint())
        });
        Client {
            base_url: text("base_url"),
            headers,
        }
    }
}

fn refuse_extras(query: &Option<JsonB>, body: &Option<JsonB>) {
    for (name, given) in [("extra_query", query), ("extra_body", body)] {
        if given.is_some() {
            unsupported(name, "dimensions, openai_user, extra_headers and client_config are.");
        }
    }
}

#[pg_extern(sql = false)]
fn ollama_embed(
    model: Option<String>,
    input_text: Option<String>,
    host: Option<String>,
    keep_alive: Option<String>,
    embedding_options: Option<JsonB>,
    verbose: Option<bool>,
) -> Option<Vector> {
    may_choose(host.as_ref().map(|_| "host"));
    let provider = Provider {
        embedding: Embedding::Ollama {
            server: None,
            model: required("model", model),
            dimensions: ANY,
            base_url: host.or_else(settings::ollama_host),
            options: embedding_options.map(|JsonB(options)| options),
            keep_alive,
        },
        api_key: None,
        any_dimensions: true,
        headers: Headers::default(),
    };
    one(&provider, caller(), input_text?, verbose)
}

/// For a database of version 0.1.0 that was not updated yet.
#[pg_extern(sql = false)]
fn voyageai_embed(
    model: Option<String>,
    input_text: Option<String>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    verbose: Option<bool>,
) -> Option<Vector> {
    voyageai_embed_of_length(
        model,
        input_text,
        input_type,
        api_key,
        api_key_name,
        verbose,
        None,
        None,
    )
}

/// For a database of version 0.1.0 that was not updated yet.
#[pg_extern(sql = false)]
fn voyageai_embed_array(
    model: Option<String>,
    input_texts: Option<Vec<Option<String>>>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    verbose: Option<bool>,
) -> Vectors {
    voyageai_embed_array_of_length(
        model,
        input_texts,
        input_type,
        api_key,
        api_key_name,
        verbose,
        None,
        None,
    )
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn voyageai_embed_of_length(
    model: Option<String>,
    input_text: Option<String>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    verbose: Option<bool>,
    output_dimension: Option<i32>,
    output_dtype: Option<String>,
) -> Option<Vector> {
    let provider = voyageai(
        model,
        input_type,
        api_key,
        api_key_name,
        (output_dimension, output_dtype),
    );
    one(&provider, caller(), input_text?, verbose)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn voyageai_embed_array_of_length(
    model: Option<String>,
    input_texts: Option<Vec<Option<String>>>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    verbose: Option<bool>,
    output_dimension: Option<i32>,
    output_dtype: Option<String>,
) -> Vectors {
    let provider = voyageai(
        model,
        input_type,
        api_key,
        api_key_name,
        (output_dimension, output_dtype),
    );
    many(&provider, caller(), input_texts, verbose)
}

fn voyageai(
    model: Option<String>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    (output_dimension, output_dtype): (Option<i32>, Option<String>),
) -> Provider {
    let (api_key, api_key_name) = key(api_key, api_key_name, VOYAGE_KEY);
    Provider {
        embedding: Embedding::Voyageai {
            server: None,
            model: required("model", model),
            dimensions: output_dimension.unwrap_or(ANY),
            input_type,
            api_key_name,
            output_dimension,
            output_dtype,
        },
        api_key,
        any_dimensions: output_dimension.is_none(),
        headers: Headers::default(),
    }
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_config(
    embedding_config: Option<JsonB>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let config = validate::embedding(&Some(embedding_config?.0));
    let provider = for_queries(config, input_type);
    server::check_choice(&provider.embedding, is_superuser());
    one(&provider, caller(), input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed(
    vectorizer_id: Option<i32>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let sql = include_str!("../../sql/query/vectorizer/embedding_by_id.sql");
    let id = vectorizer_id?;
    let (config, owner) = stored(sql, id.into(), &id.to_string());
    one(&for_queries(config, input_type), owner, input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_name(
    name: Option<String>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<Vector> {
    let sql = include_str!("../../sql/query/vectorizer/embedding_by_name.sql");
    let name = name?;
    let (config, owner) = stored(sql, name.as_str().into(), &format!("\"{name}\""));
    one(&for_queries(config, input_type), owner, input_text?, None)
}

/// The embedding of a vectorizer and its owner, for those who may read what it wrote: they can search, which
/// takes a vector of the query. Its owner is the one who has to have USAGE on its server.
fn stored(sql: &str, which: pgrx::datum::DatumWithOid, called: &str) -> (Value, Oid) {
    let role = caller();
    let found = acting_as_extension(|| {
        // Of one that the caller neither sees nor may read, it is not told that it exists.
        statement::look_up(sql, &[which, role.into()], |row| {
            let owner = row.get("owner").unwrap_or(pg_sys::InvalidOid);
            let (may, is_seen) = (row.must::<bool>("may_read"), row.get("is_seen") == Some(true));
            let held = row.get::<String>("held");
            let stranger = row.get::<String>("stranger");
            // In a row that was changed by hand.
            let config = row.get::<JsonB>("embedding").map_or(Value::Null, |config| config.0);
            (may || is_seen).then_some((config, may, owner, (held, stranger)))
        })
    });
    match found.flatten() {
        None => missing(called),
        Some((_, true, _, (Some(held), _))) => raise_held(&held),
        // Its server was chosen by another, and would be asked in the name of the owner.
        Some((_, true, _, (None, Some(stranger)))) => raise_stranger(None, called, &stranger),
        Some((config, true, owner, (None, None))) => (config, owner),
        Some((_, false, _, _)) => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for vectorizer {called}"),
            Some("It takes SELECT on its destination."),
        ),
    }
}

/// The provider of a configuration, asked for the vector of a query. Documents and queries are embedded alike by most
/// models; those of others are told which it is, in the words of their provider.
fn for_queries(config: Value, input_type: Option<String>) -> Provider {
    let mut embedding = match serde_json::from_value(config) {
        Ok(embedding) => embedding,
        Err(error) => invalid(format!("the configuration cannot be read: {error}")),
    };
    let kind = input_type.unwrap_or_else(|| "query".to_owned());
    match &mut embedding {
        Embedding::Openai { .. } | Embedding::Ollama { .. } => (),
        Embedding::Voyageai { input_type, .. } => *input_type = Some(kind),
        Embedding::Litellm {
            model, extra_options, ..
        } => {
            let kind = match (model.split('/').next(), kind.as_str()) {
                (Some("cohere"), "query" | "document") => Some(format!("search_{kind}")),
                (Some("cohere" | "voyage"), _) => Some(kind),
                _ => None,
            };
            if let Some(kind) = kind {
                extra_options.get_or_insert_with(|| json!({}))["input_type"] = kind.into();
            }
        }
    }
    Provider {
        embedding,
        api_key: None,
        any_dimensions: false,
        headers: Headers::default(),
    }
}

fn one(provider: &Provider, role: Oid, text: String, verbose: Option<bool>) -> Option<Vector> {
    timed(provider, role, vec![text], verbose).pop().map(Vector)
}

fn many(provider: &Provider, role: Oid, texts: Option<Vec<Option<String>>>, verbose: Option<bool>) -> Vectors {
    let texts: Option<Vec<String>> = texts.unwrap_or_default().into_iter().collect();
    let Some(texts) = texts else {
        let message = "input_texts must not hold NULL";
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    };
    let vectors = timed(provider, role, texts, verbose).into_iter().map(Vector);
    TableIterator::new((0..).zip(vectors))
}

/// Asks the foreign server of the provider, for a role that needs USAGE on it.
fn timed(provider: &Provider, role: Oid, texts: Vec<String>, verbose: Option<bool>) -> Vec<Vec<f32>> {
    validate::check_embedding(&provider.embedding);
    let server = server::provider(&provider.embedding, role).unwrap_or_else(|refusal| refusal.raise());
    let (started, number) = (std::time::Instant::now(), texts.len());
    let vectors = provider.embed(&server.options, texts);
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
    if !is_superuser() {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied to choose {what}"),
            Some("Only a superuser may say where the credentials of the server are used."),
        );
    }
}

fn is_superuser() -> bool {
    // SAFETY: a look at the role of the session.
    unsafe { pg_sys::superuser() }
}

fn caller() -> Oid {
    // SAFETY: as above.
    unsafe { pg_sys::GetUserId() }
}

fn required<T>(name: &str, value: Option<T>) -> T {
    value.unwrap_or_else(|| {
        let message = format!("{name} must not be NULL");
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    })
}

fn unsupported(what: &str, hint: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("{what} is not supported"),
        Some(hint),
    )
}
