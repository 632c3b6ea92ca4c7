//! Checks of the configuration: pgai's, in its order and with its texts, and what it left unchecked.

use ai_pipeline::config::{Chunking, Embedding};
use ai_pipeline::format::Template;
use pgrx::prelude::*;
use serde_json::Value;

use crate::catalog;
use crate::postgres::error::{exception, invalid, raise};
use crate::postgres::statement;
use crate::runtime::cutter;

/// A column of the source table: name and `pg_type.typname`, of a domain that of the type below.
pub type Column = (String, String);

/// `config` is a document of this kind; the beginning of every check.
pub(super) fn expect_kind<'a>(kind: &str, config: &'a Option<Value>) -> &'a Value {
    match config {
        None => exception(format!("invalid config_type for {kind} config")),
        Some(config) if !config.is_object() => exception(format!("{kind} config is not a jsonb object")),
        Some(config) if config["config_type"] != kind => exception(format!("invalid config_type for {kind} config")),
        Some(config) => config,
    }
}

/// Bytes of a configuration, as JSON. All of them are read by one statement, whenever one of them changes: separators
/// are a few, and templates some lines.
const MOST: usize = 256 << 10;

/// Refuses a configuration that is too large to be read with all others, or nested too deeply to be read at all.
pub(super) fn size(config: &Value) {
    let written = config.to_string();
    if written.len() > MOST {
        raise(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("the configuration has {} bytes, more than {MOST}", written.len()),
            Some("Use fewer separators or options, or a shorter template."),
        );
    }
    if let Err(error) = serde_json::from_str::<Value>(&written) {
        invalid(format!("the configuration cannot be read: {error}"));
    }
}

pub(super) fn text<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    config.get(key).and_then(Value::as_str)
}

pub fn loading(config: &Option<Value>, columns: &[Column]) -> Value {
    const TYPES: [&str; 5] = ["text", "varchar", "char", "bpchar", "bytea"];
    // Which pgai does not know.
    const READ_AS_TEXT: [&str; 2] = ["citext", "name"];
    let config = expect_kind("loading", config);
    let implementation = match text(config, "implementation") {
        Some(known @ ("column" | "uri")) => known,
        _ => exception("invalid loading config implementation"),
    };
    let Some(column) = text(config, "column_name") else {
        exception("invalid loading config, missing column_name")
    };
    if config
        .get("retries")
        .and_then(Value::as_i64)
        .is_none_or(|retries| retries < 0)
    {
        exception("invalid loading config, retries must be a non-negative integer");
    }
    if let Some(role) = text(config, "aws_role_arn")
        && !ai_pipeline::server::is_role(role)
    {
        exception("invalid loading config, aws_role_arn must match arn:aws:iam::*:role/*");
    }
    if implementation == "column" && config.get("server").is_some() {
        invalid("invalid loading config, a column is read from no server: server is for loading_uri");
    }
    let Some((_, kind)) = columns.iter().find(|(name, _)| name == column) else {
        exception(format!("column_name in config does not exist in the table: {column}"))
    };
    if !TYPES.contains(&kind.as_str()) && !READ_AS_TEXT.contains(&kind.as_str()) {
        exception(format!(
            "column_name {column} in config is of invalid type {kind}. Supported types are: {}",
            TYPES.join(", ")
        ));
    }
    if implementation == "uri" && kind == "bytea" {
        exception(format!(
            "the type of the column `{column}` in config is not compatible with `uri` loading implementation (type \
             should be either text, varchar, char, bpchar, or bytea)"
        ));
    }
    config.clone()
}

pub fn parsing(config: &Option<Value>, loading: &Value, columns: &[Column]) -> Value {
    let config = expect_kind("parsing", config);
    let implementation = match text(config, "implementation") {
        Some(known @ ("auto" | "none" | "pymupdf" | "docling")) => known,
        _ => exception("invalid parsing config implementation"),
    };
    let column = text(loading, "column_name").unwrap_or_default();
    let bytes = columns.iter().any(|(name, kind)| name == column && kind == "bytea");
    if implementation == "none" && bytes {
        exception("cannot use parsing_none with bytea columns");
    }
    if matches!(implementation, "pymupdf" | "docling") && loading["implementation"] == "column" && !bytes {
        exception(format!("parsing_{implementation} must be used with a bytea column"));
    }
    config.clone()
}

pub fn destination(config: &Option<Value>, chunking: &Option<Value>) -> Value {
    let config = expect_kind("destination", config);
    let chunks = chunking.as_ref().and_then(|chunking| text(chunking, "implementation"));
    if text(config, "implementation") == Some("column") && chunks != Some("none") {
        exception("chunking must be none for column destination");
    }
    config.clone()
}

pub fn embedding(config: &Option<Value>) -> Value {
    let config = expect_kind("embedding", config);
    match text(config, "implementation") {
        None => exception("embedding implementation not specified"),
        Some("openai" | "ollama" | "voyageai" | "litellm") => (),
        Some(other) => exception(format!("invalid embedding implementation: \"{other}\"")),
    }
    let embedding: Embedding = match serde_json::from_value(config.clone()) {
        Ok(embedding) => embedding,
        Err(error) => invalid(format!("the configuration cannot be read: {error}")),
    };
    check_embedding(&embedding);
    config.clone()
}

/// What can be known about an embedding before anybody is asked for one.
pub fn check_embedding(embedding: &Embedding) {
    if let Embedding::Voyageai {
        input_type: Some(other),
        ..
    } = embedding
        && !["query", "document"].contains(&other.as_str())
    {
        exception(format!("invalid input_type for voyage ai \"{other}\""));
    }
    if let Err(error) = embedding.check() {
        let hint = error.hint.as_deref();
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            error.reason.clone(),
            hint,
        );
    }
}

pub fn chunking(config: &Option<Value>) -> Value {
    let config = expect_kind("chunking", config);
    let known = [
        "character_text_splitter",
        "recursive_character_text_splitter",
        "text_splitter",
        "none",
    ];
    if !text(config, "implementation").is_some_and(|implementation| known.contains(&implementation)) {
        exception("invalid chunking config implementation");
    }
    match serde_json::from_value::<Chunking>(config.clone()) {
        Err(error) => invalid(format!("invalid chunking config: {error}")),
        Ok(chunking) => cutter::check(&chunking),
    }
    config.clone()
}

pub fn formatting(config: &Option<Value>, columns: &[Column]) -> Value {
    let config = expect_kind("formatting", config);
    if text(config, "implementation") != Some("python_template") {
        exception("unrecognized formatting implementation");
    }
    let template = text(config, "template").unwrap_or_default();
    let parsed = Template::parse(template);
    if !template.contains("$chunk") && !template.contains("${chunk}") {
        exception("template must contain $chunk placeholder");
    }
    if columns.iter().any(|(name, _)| name == "chunk") {
        exception("formatting_python_template may not be used when source table has a column named \"chunk\"");
    }
    match parsed {
        Err(error) => invalid(format!("invalid template: {error}")),
        Ok(parsed) => {
            for name in parsed.columns() {
                if !columns.iter().any(|(known, _)| known == name) {
                    invalid(format!(
                        "the template names ${name}, but the source table has no column of that name"
                    ));
                }
            }
        }
    }
    config.clone()
}

/// `default` is resolved by the setting `ai.scheduling_default`: the background worker, unless it says otherwise.
pub fn scheduling(config: &Option<Value>, default: Option<&str>) -> Value {
    let config = expect_kind("scheduling", config);
    match text(config, "implementation") {
        None => exception("scheduling implementation not specified"),
        Some("none") => config.clone(),
        Some("default") => match default {
            None => config.clone(),
            Some("scheduling_timescaledb") => serde_json::json!({
                "implementation": "timescaledb",
                "config_type": "scheduling",
                "schedule_interval": "00:05:00",
            }),
            Some("scheduling_none") => serde_json::json!({"implementation": "none", "config_type": "scheduling"}),
            Some(other) => invalid(format!(
                "ai.scheduling_default names a schedule that is not supported: \"{other}\""
            )),
        },
        Some("timescaledb") => {
            if text(config, "schedule_interval").is_none() {
                invalid("scheduling config lacks schedule_interval");
            }
            let zone = text(config, "timezone");
            let known = "SELECT $1 IS NULL OR EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)";
            if statement::row(known, &[zone.into()], |row| row.must::<bool>(1)) != Some(true) {
                invalid(format!("time zone \"{}\" not recognized", zone.unwrap_or_default()));
            }
            let read = serde_json::from_value(config.clone());
            let read = read.unwrap_or_else(|error| invalid(format!("invalid scheduling config: {error}")));
            if let Err(why) = catalog::check_schedule(&read) {
                invalid(why);
            }
            config.clone()
        }
        Some(other) => exception(format!("unrecognized scheduling implementation: \"{other}\"")),
    }
}

pub fn processing(config: &Option<Value>) -> Value {
    let config = expect_kind("processing", config);
    match text(config, "implementation") {
        None => exception("processing implementation not specified"),
        Some("default") => (),
        Some(other) => exception(format!("unrecognized processing implementation: \"{other}\"")),
    }
    for (key, most) in [("batch_size", 2048), ("concurrency", 50)] {
        let Some(value) = config.get(key) else { continue };
        match value.as_i64() {
            None => exception(format!("{key} must be a number")),
            Some(value) if value > most => exception(format!("{key} must be less than or equal to {most}")),
            Some(value) if value <= 0 => exception(format!("{key} must be greater than 0")),
            Some(_) => (),
        }
    }
    config.clone()
}
