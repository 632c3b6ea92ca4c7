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
use pgrx::pg_sys::{FunctionCallInfo, Oid};
use pgrx::prelude::*;
use serde_json::{Value, json};

use self::session::ProviderCall;
use crate::access::endpoint::{OPENAI_KEY, VOYAGE_KEY};
use crate::access::server;
use crate::postgres::arguments::CallArguments;
use crate::postgres::error::{invalid, raise, raise_detailed};
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::postgres::vector::{self, SqlVector};
use crate::settings;
use crate::vectorizer::{missing, raise_held, raise_stranger, validate};

type Vectors = TableIterator<'static, (name!(index, i32), name!(embedding, SqlVector))>;

/// What the messages of the pipeline call a key that is in no variable.
const ARGUMENT: &str = "the argument api_key";
/// Tokens of a call, which are made a text in a moment.
const GREATEST_TOKENS: usize = 100_000;
/// Where any length will do: the most that a `vector` has.
const ANY: i32 = vector::GREATEST_DIMENSIONS as i32;

/// A call of a function that asks OpenAI. What it embeds is a text, tokens, or texts.
struct OpenaiCall<T> {
    model: Option<String>,
    input: Option<T>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    dimensions: Option<i32>,
    user: Option<String>,
    extra_headers: Option<JsonB>,
    extra_query: Option<JsonB>,
    extra_body: Option<JsonB>,
    verbose: Option<bool>,
    client_config: Option<JsonB>,
}

impl<T: FromDatum> OpenaiCall<T> {
    /// # Safety
    /// The call is of a function that sql/embed.sql declares so, with a `T` for what is embedded.
    unsafe fn read(call: FunctionCallInfo) -> OpenaiCall<T> {
        // SAFETY: by the caller.
        let mut arguments = unsafe { CallArguments::of(call) };
        OpenaiCall {
            model: arguments.take(),
            input: arguments.take(),
            api_key: arguments.take(),
            api_key_name: arguments.take(),
            dimensions: arguments.take(),
            user: arguments.take(),
            extra_headers: arguments.take(),
            extra_query: arguments.take(),
            extra_body: arguments.take(),
            verbose: arguments.take(),
            client_config: arguments.take(),
        }
    }

    fn refuse_extras(&self) {
        for (name, given) in [("extra_query", &self.extra_query), ("extra_body", &self.extra_body)] {
            if given.is_some() {
                unsupported(name, "dimensions, openai_user, extra_headers and client_config are.");
            }
        }
    }

    /// Whom it asks, and what it embeds.
    fn provider(self) -> (ProviderCall, Option<T>) {
        let client = ClientOptions::new(self.client_config, self.extra_headers);
        let model = required("model", self.model);
        // It has one length, and the pipeline insists on it.
        let ada = || (model == "text-embedding-ada-002").then_some(1536);
        let dimensions = self.dimensions.or_else(ada);
        may_choose(client.base_url.as_ref().map(|_| "base_url"));
        // They may say what the key of the server is used for: whose bill, which project. A key of one's own is
        // one's own affair.
        may_choose(Some("extra_headers").filter(|_| self.api_key.is_none() && !client.headers.is_empty()));
        // Only an administrator has set it: the caller need not be one.
        let base_url = client.base_url.or_else(settings::openai_base_url);
        let (api_key, api_key_name) = key(self.api_key, self.api_key_name, OPENAI_KEY);
        let provider = ProviderCall {
            embedding: Embedding::Openai {
                server: None,
                model,
                dimensions: dimensions.unwrap_or(ANY),
                user: self.user,
                api_key_name,
                base_url,
            },
            api_key,
            any_dimensions: dimensions.is_none(),
            headers: client.headers,
        };
        (provider, self.input)
    }
}

#[pg_extern(sql = false)]
fn openai_embed(call: FunctionCallInfo) -> Option<SqlVector> {
    // SAFETY: the call of this function, which embeds a text.
    let call = unsafe { OpenaiCall::<String>::read(call) };
    call.refuse_extras();
    let verbose = call.verbose;
    let (provider, text) = call.provider();
    one(&provider, caller(), text?, verbose)
}

#[pg_extern(sql = false)]
fn openai_embed_tokens(call: FunctionCallInfo) -> Option<SqlVector> {
    // SAFETY: the call of this function, which embeds an array of tokens.
    let call = unsafe { OpenaiCall::<Vec<Option<i32>>>::read(call) };
    call.refuse_extras();
    let (name, verbose) = (required("model", call.model.clone()), call.verbose);
    let (provider, tokens) = call.provider();
    let tokens: Option<Vec<i32>> = tokens?.into_iter().collect();
    let Some(tokens) = tokens else {
        let message = "input_tokens must not hold NULL";
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    };
    if tokens.len() > GREATEST_TOKENS {
        raise_detailed(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "input_tokens has too many members",
            format!("There are {}, and {GREATEST_TOKENS} at most are taken.", tokens.len()),
            Some("Models take some thousand tokens at a time."),
        )
    }
    let text = ai_pipeline::embed::text_of_tokens(&name, &tokens).unwrap_or_else(|reason| invalid(reason));
    one(&provider, caller(), text, verbose)
}

#[pg_extern(sql = false)]
fn openai_embed_array(call: FunctionCallInfo) -> Vectors {
    // SAFETY: the call of this function, which embeds an array of texts.
    let call = unsafe { OpenaiCall::<Vec<Option<String>>>::read(call) };
    call.refuse_extras();
    let verbose = call.verbose;
    let (provider, texts) = call.provider();
    many(&provider, caller(), texts, verbose)
}

/// What of the settings of pgai's client there is here.
struct ClientOptions {
    base_url: Option<String>,
    headers: Headers,
}

impl ClientOptions {
    /// From `client_config` and `extra_headers`, of which the latter have the last word.
    fn new(config: Option<JsonB>, extra_headers: Option<JsonB>) -> ClientOptions {
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
        ClientOptions {
            base_url: text("base_url"),
            headers,
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
) -> Option<SqlVector> {
    may_choose(host.as_ref().map(|_| "host"));
    let provider = ProviderCall {
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

/// A call of a function that asks Voyage AI. What it embeds is a text, or texts.
struct VoyageaiCall<T> {
    model: Option<String>,
    input: Option<T>,
    input_type: Option<String>,
    api_key: Option<String>,
    api_key_name: Option<String>,
    verbose: Option<bool>,
    output_dimension: Option<i32>,
    output_dtype: Option<String>,
}

impl<T: FromDatum> VoyageaiCall<T> {
    /// # Safety
    /// The call is of a function that sql/embed.sql declares so, with a `T` for what is embedded,
    /// or that version 0.1.0 declares without the last two arguments.
    unsafe fn read(call: FunctionCallInfo) -> VoyageaiCall<T> {
        // SAFETY: by the caller.
        let mut arguments = unsafe { CallArguments::of(call) };
        VoyageaiCall {
            model: arguments.take(),
            input: arguments.take(),
            input_type: arguments.take(),
            api_key: arguments.take(),
            api_key_name: arguments.take(),
            verbose: arguments.take(),
            output_dimension: arguments.is_left().then(|| arguments.take()).flatten(),
            output_dtype: arguments.is_left().then(|| arguments.take()).flatten(),
        }
    }

    /// Whom it asks, and what it embeds.
    fn provider(self) -> (ProviderCall, Option<T>) {
        let (api_key, api_key_name) = key(self.api_key, self.api_key_name, VOYAGE_KEY);
        let provider = ProviderCall {
            embedding: Embedding::Voyageai {
                server: None,
                model: required("model", self.model),
                dimensions: self.output_dimension.unwrap_or(ANY),
                input_type: self.input_type,
                api_key_name,
                output_dimension: self.output_dimension,
                output_dtype: self.output_dtype,
            },
            api_key,
            any_dimensions: self.output_dimension.is_none(),
            headers: Headers::default(),
        };
        (provider, self.input)
    }
}

/// For a database of version 0.1.0 that was not updated yet.
#[pg_extern(sql = false)]
fn voyageai_embed(call: FunctionCallInfo) -> Option<SqlVector> {
    voyageai_embed_of_length(call)
}

/// For a database of version 0.1.0 that was not updated yet.
#[pg_extern(sql = false)]
fn voyageai_embed_array(call: FunctionCallInfo) -> Vectors {
    voyageai_embed_array_of_length(call)
}

#[pg_extern(sql = false)]
fn voyageai_embed_of_length(call: FunctionCallInfo) -> Option<SqlVector> {
    // SAFETY: the call of this function, or of the one before it; both embed a text.
    let call = unsafe { VoyageaiCall::<String>::read(call) };
    let verbose = call.verbose;
    let (provider, text) = call.provider();
    one(&provider, caller(), text?, verbose)
}

#[pg_extern(sql = false)]
fn voyageai_embed_array_of_length(call: FunctionCallInfo) -> Vectors {
    // SAFETY: the call of this function, or of the one before it; both embed an array of texts.
    let call = unsafe { VoyageaiCall::<Vec<Option<String>>>::read(call) };
    let verbose = call.verbose;
    let (provider, texts) = call.provider();
    many(&provider, caller(), texts, verbose)
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_config(
    embedding_config: Option<JsonB>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<SqlVector> {
    let embedding = validate::embedding(Some(embedding_config?.0));
    let provider = for_queries(embedding, input_type);
    server::check_choice(&provider.embedding, is_superuser());
    one(&provider, caller(), input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed(
    vectorizer_id: Option<i32>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<SqlVector> {
    let sql = include_str!("../../sql/query/vectorizer/embedding_by_id.sql");
    let id = vectorizer_id?;
    let (embedding, owner) = stored(sql, id.into(), &id.to_string());
    one(&for_queries(embedding, input_type), owner, input_text?, None)
}

#[pg_extern(sql = false)]
fn vectorizer_embed_by_name(
    name: Option<String>,
    input_text: Option<String>,
    input_type: Option<String>,
) -> Option<SqlVector> {
    let sql = include_str!("../../sql/query/vectorizer/embedding_by_name.sql");
    let name = name?;
    let (embedding, owner) = stored(sql, name.as_str().into(), &format!("\"{name}\""));
    one(&for_queries(embedding, input_type), owner, input_text?, None)
}

/// The embedding of a vectorizer and its owner, for those who may read what it wrote: they can search, which
/// takes a vector of the query. Its owner is the one who has to have USAGE on its server.
fn stored(sql: &str, which: pgrx::datum::DatumWithOid, called: &str) -> (Embedding, Oid) {
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
        Some((config, true, owner, (None, None))) => match serde_json::from_value(config) {
            Ok(embedding) => (embedding, owner),
            Err(error) => invalid(format!("the configuration cannot be read: {error}")),
        },
        Some((_, false, _, _)) => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for vectorizer {called}"),
            Some("It takes SELECT on its destination."),
        ),
    }
}

/// The provider of a configuration, asked for the vector of a query. Documents and queries are embedded alike by most
/// models; those of others are told which it is, in the words of their provider.
fn for_queries(mut embedding: Embedding, input_type: Option<String>) -> ProviderCall {
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
    ProviderCall {
        embedding,
        api_key: None,
        any_dimensions: false,
        headers: Headers::default(),
    }
}

fn one(provider: &ProviderCall, role: Oid, text: String, verbose: Option<bool>) -> Option<SqlVector> {
    timed(provider, role, vec![text], verbose).pop().map(SqlVector)
}

fn many(provider: &ProviderCall, role: Oid, texts: Option<Vec<Option<String>>>, verbose: Option<bool>) -> Vectors {
    let texts: Option<Vec<String>> = texts.unwrap_or_default().into_iter().collect();
    let Some(texts) = texts else {
        let message = "input_texts must not hold NULL";
        raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
    };
    let vectors = timed(provider, role, texts, verbose).into_iter().map(SqlVector);
    TableIterator::new((0..).zip(vectors))
}

/// Asks the foreign server of the provider, for a role that needs USAGE on it.
fn timed(provider: &ProviderCall, role: Oid, texts: Vec<String>, verbose: Option<bool>) -> Vec<Vec<f32>> {
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
