//! Checks of the configuration: its documents are read as types, by the rules of
//! `ai_pipeline::config::document`, and the types are checked here, against the source and against
//! each other; pgai's checks in its order and with its texts, and what it left unchecked.

use ai_pipeline::config::document::{self, DestinationChoice, Section, Unfit};
use ai_pipeline::config::{Chunking, Embedding, Formatting, Loading, Parsing, Scheduling, section};
use ai_pipeline::format::Template;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::given::{Given, refuse};
use super::source::SourceColumn;
use crate::postgres::error::{exception, invalid, raise, raise_detailed};
use crate::postgres::statement;
use crate::runtime::cutter;
use crate::{catalog, settings};

/// Bytes of a configuration, as JSON. All of them are read by one statement, whenever one of them changes: separators
/// are a few, and templates some lines.
const MOST: usize = 256 << 10;

/// Refuses a configuration that is too large to be read with all others, or nested too deeply to be read at all.
pub(super) fn size(config: &Value) {
    let written = config.to_string();
    if written.len() > MOST {
        raise_detailed(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "the configuration is too large",
            format!("It has {} bytes, and {MOST} at most are taken.", written.len()),
            Some("Use fewer separators or options, or a shorter template."),
        );
    }
    if let Err(error) = serde_json::from_str::<Value>(&written) {
        invalid(format!("the configuration cannot be read: {error}"));
    }
}

pub fn loading(document: Option<Value>, columns: &[SourceColumn]) -> Given<Loading> {
    const TYPES: [&str; 5] = ["text", "varchar", "char", "bpchar", "bytea"];
    // Which pgai does not know.
    const READ_AS_TEXT: [&str; 2] = ["citext", "name"];
    let given = Given::<Loading>::read(document);
    let column = given.value.column_name();
    let Some((_, kind)) = columns.iter().find(|(name, _)| name == column) else {
        exception(format!("column_name in config does not exist in the table: {column}"))
    };
    if !TYPES.contains(&kind.as_str()) && !READ_AS_TEXT.contains(&kind.as_str()) {
        exception(format!(
            "column_name {column} in config is of invalid type {kind}. Supported types are: {}",
            TYPES.join(", ")
        ));
    }
    if matches!(given.value, Loading::Uri { .. }) && kind == "bytea" {
        exception(format!(
            "the type of the column `{column}` in config is not compatible with `uri` loading implementation (type \
             should be either text, varchar, char, bpchar, or bytea)"
        ));
    }
    given
}

pub fn parsing(document: Option<Value>, loading: &Loading, columns: &[SourceColumn]) -> Given<Parsing> {
    let given = Given::<Parsing>::read(document);
    let column = loading.column_name();
    let bytes = columns.iter().any(|(name, kind)| name == column && kind == "bytea");
    let needs_bytes = matches!(loading, Loading::Column { .. }) && !bytes;
    match given.value {
        Parsing::None if bytes => exception("cannot use parsing_none with bytea columns"),
        Parsing::Pymupdf if needs_bytes => exception("parsing_pymupdf must be used with a bytea column"),
        Parsing::Docling if needs_bytes => exception("parsing_docling must be used with a bytea column"),
        Parsing::Auto | Parsing::None | Parsing::Pymupdf | Parsing::Docling => given,
    }
}

/// What it is refused for but its kind is told by the caller, when all else is right.
pub fn destination(document: Option<&Value>, chunking: Option<&Value>) -> Result<DestinationChoice, Unfit> {
    document::of_kind::<DestinationChoice>(document).unwrap_or_else(|unfit| refuse(unfit));
    let choice = document::read(document);
    let is_whole = chunking.is_some_and(|chunking| matches!(Chunking::deserialize(chunking), Ok(Chunking::None)));
    if matches!(choice, Ok(DestinationChoice::Column { .. })) && !is_whole {
        exception("chunking must be none for column destination");
    }
    choice
}

/// The embedding of a document, checked.
pub fn embedding(document: Option<Value>) -> Embedding {
    let given = Given::<Embedding>::read(document);
    check_embedding(&given.value);
    given.value
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

pub fn chunking(document: Option<Value>) -> Given<Chunking> {
    let given = Given::<Chunking>::read(document);
    cutter::check(&given.value);
    given
}

pub fn formatting(document: Option<Value>, columns: &[SourceColumn]) -> Given<Formatting> {
    let given = Given::<Formatting>::read(document);
    let Formatting::PythonTemplate { template } = &given.value;
    let parsed = Template::parse(template);
    if !template.contains("$chunk") && !template.contains("${chunk}") {
        exception("template must contain $chunk placeholder");
    }
    if columns.iter().any(|(name, _)| name == "chunk") {
        exception("formatting_python_template may not be used when source table has a column named \"chunk\"");
    }
    let parsed = parsed.unwrap_or_else(|error| invalid(format!("invalid template: {error}")));
    for name in parsed.columns() {
        if !columns.iter().any(|(known, _)| known == name) {
            invalid(format!(
                "the template names ${name}, but the source table has no column of that name"
            ));
        }
    }
    given
}

/// `default` is resolved by the setting `ai.scheduling_default`: the background worker, unless it says otherwise.
pub fn scheduling(document: Option<Value>) -> Given<Scheduling> {
    let mut given = Given::<Scheduling>::read(document);
    match &given.value {
        Scheduling::None => (),
        Scheduling::Default => {
            if let Some(value) = default_scheduling() {
                let document = section(Scheduling::KIND, &value);
                given = Given { document, value };
            }
        }
        Scheduling::Timescaledb { timezone, .. } => {
            let known = "SELECT $1 IS NULL OR EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)";
            if statement::row(known, &[timezone.as_deref().into()], |row| row.must::<bool>(1)) != Some(true) {
                let zone = timezone.as_deref().unwrap_or_default();
                invalid(format!("time zone \"{zone}\" not recognized"));
            }
            if let Err(why) = catalog::check_schedule(&given.value) {
                invalid(why);
            }
        }
    }
    given
}

/// What `ai.scheduling_default` says.
fn default_scheduling() -> Option<Scheduling> {
    match settings::scheduling_default().as_deref() {
        None => None,
        Some("scheduling_timescaledb") => Some(Scheduling::Timescaledb {
            schedule_interval: "00:05:00".to_owned(),
            initial_start: None,
            fixed_schedule: None,
            timezone: None,
        }),
        Some("scheduling_none") => Some(Scheduling::None),
        Some(other) => invalid(format!(
            "ai.scheduling_default names a schedule that is not supported: \"{other}\""
        )),
    }
}
