//! Checks of the index that a vectorizer builds: pgai's, and those that pgvector would make when it is too late.

use ai_pipeline::vector_type::VectorType;
use pgrx::prelude::*;
use serde_json::Value;

use super::validate::{expect_kind, text};
use crate::postgres::error::{exception, invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::statement;

/// What vectors are kept as.
const VECTORS: VectorType = VectorType::Vector;

/// Checks the document. `default` is resolved by the setting `ai.indexing_default`.
pub fn validate(config: &Option<Value>, default: Option<&str>, dimensions: i64) -> Value {
    let config = resolve(expect_kind("indexing", config), default);
    match text(&config, "implementation") {
        None => exception("indexing implementation not specified"),
        Some("none") => return config,
        Some("hnsw") => hnsw(&config, dimensions),
        Some("diskann") => diskann(&config, dimensions),
        Some(other) => exception(format!("invalid indexing implementation: \"{other}\"")),
    }
    if config.get("min_rows").is_some_and(|rows| !rows.is_i64()) {
        invalid("min_rows must be a number");
    }
    if config
        .get("create_when_queue_empty")
        .is_some_and(|when| !when.is_boolean())
    {
        invalid("create_when_queue_empty must be true or false");
    }
    config
}

/// What `ai.indexing_default()` stands for.
fn resolve(config: &Value, default: Option<&str>) -> Value {
    if text(config, "implementation") != Some("default") {
        return config.clone();
    }
    let builder = match default {
        None | Some("indexing_none") => "SELECT ai.indexing_none()",
        Some("indexing_hnsw") => "SELECT ai.indexing_hnsw()",
        Some("indexing_diskann") => "SELECT ai.indexing_diskann()",
        Some(other) => invalid(format!(
            "ai.indexing_default names an index that is not supported: \"{other}\""
        )),
    };
    statement::row(builder, &[], |row| row.must::<JsonB>(1).0).expect("a function returns a value")
}

fn hnsw(config: &Value, dimensions: i64) {
    let opclass = config.get("opclass");
    if opclass.is_some_and(|opclass| {
        opclass
            .as_str()
            .is_none_or(|name| !VECTORS.operator_classes().contains(&name))
    }) {
        exception("invalid opclass");
    }
    let m = number(config, "m", 2, 100).unwrap_or(16);
    let ef_construction = number(config, "ef_construction", 4, 1_000).unwrap_or(64);
    if ef_construction < 2 * m {
        invalid(format!(
            "ef_construction must be greater than or equal to 2 * m: {ef_construction} is less than {}",
            2 * m
        ));
    }
    if dimensions > VECTORS.greatest_hnsw() {
        too_wide("an HNSW index", VECTORS.greatest_hnsw(), dimensions);
    }
}

fn diskann(config: &Value, dimensions: i64) {
    let layout = config
        .get("storage_layout")
        .map(|layout| layout.as_str().unwrap_or_default());
    if !matches!(layout, None | Some("memory_optimized" | "plain")) {
        exception("invalid storage_layout");
    }
    for key in [
        "num_neighbors",
        "search_list_size",
        "num_dimensions",
        "num_bits_per_dimension",
    ] {
        number(config, key, 0, i32::MAX.into());
    }
    if config.get("max_alpha").is_some_and(|alpha| !alpha.is_number()) {
        invalid("max_alpha must be a number");
    }
    let known = "SELECT EXISTS (SELECT FROM pg_am WHERE amname = 'diskann' AND amtype = 'i')";
    if statement::row(known, &[], |row| row.must::<bool>(1)) != Some(true) {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            "access method \"diskann\" does not exist",
            Some("Install pgvectorscale (CREATE EXTENSION vectorscale), or use ai.indexing_hnsw."),
        );
    }
    if layout == Some("plain") && dimensions > VECTORS.greatest_plain_diskann() {
        too_wide(
            "a DiskANN index with plain storage",
            VECTORS.greatest_plain_diskann(),
            dimensions,
        );
    }
}

fn number(config: &Value, key: &str, least: i64, most: i64) -> Option<i64> {
    let value = config.get(key)?;
    match value.as_i64() {
        Some(value) if (least..=most).contains(&value) => Some(value),
        Some(value) => invalid(format!("{key} must be between {least} and {most}: {value}")),
        None => invalid(format!("{key} must be a number")),
    }
}

fn too_wide(what: &str, most: i64, dimensions: i64) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("{what} takes at most {most} dimensions, the vectors have {dimensions}"),
        Some(
            "Ask the model for fewer dimensions, or use indexing => ai.indexing_none() and index a cast of the column \
             to halfvec yourself.",
        ),
    )
}

/// An index that builds itself needs somebody who builds it.
pub fn needs_scheduling(indexing: &Value, scheduling: &Value) {
    if scheduling["implementation"] == "none" && indexing["implementation"] != "none" {
        exception(
            "automatic indexing is not supported without scheduling. set indexing=>ai.indexing_none() when \
             scheduling=>ai.scheduling_none()",
        );
    }
}

/// Postgres builds no index of a partitioned table without blocking its writers.
pub fn refuse_partitioned(indexing: &Value, source: &str) {
    if indexing["implementation"] != "none" {
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("automatic indexing of a column of a partitioned table is not supported: {source}"),
            Some("Use indexing => ai.indexing_none() and index the partitions yourself."),
        );
    }
}
