//! Checks of the index that a vectorizer builds: pgai's, and those that pgvector would make when it is too late.

use ai_pipeline::config::{Indexing, Scheduling};
use ai_pipeline::vector_type::VectorType;
use pgrx::prelude::*;
use serde_json::Value;

use super::given::Given;
use crate::postgres::error::{exception, invalid, raise, raise_detailed};
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::settings;

/// What vectors are kept as.
const VECTORS: VectorType = VectorType::Vector;
/// What pgvector takes for an HNSW index that does not say it.
const M: i32 = 16;
const EF_CONSTRUCTION: i32 = 64;

/// Reads and checks the document. `default` is resolved by the setting `ai.indexing_default`.
pub fn validate(document: Option<Value>, dimensions: i64) -> Given<Indexing> {
    let mut given = Given::<Indexing>::read(document);
    if given.value == Indexing::Default {
        given = Given::read(Some(default_index()));
    }
    match &given.value {
        Indexing::None | Indexing::Default => (),
        Indexing::Hnsw { m, ef_construction, .. } => hnsw(*m, *ef_construction, dimensions),
        Indexing::Diskann { storage_layout, .. } => diskann(storage_layout.as_deref(), dimensions),
    }
    given
}

/// What `ai.indexing_default()` stands for.
fn default_index() -> Value {
    let builder = match settings::indexing_default().as_deref() {
        None | Some("indexing_none") => "SELECT ai.indexing_none()",
        Some("indexing_hnsw") => "SELECT ai.indexing_hnsw()",
        Some("indexing_diskann") => "SELECT ai.indexing_diskann()",
        Some(other) => invalid(format!(
            "ai.indexing_default names an index that is not supported: \"{other}\""
        )),
    };
    statement::row(builder, &[], |row| row.must::<JsonB>(1).0).expect("a function returns a value")
}

fn hnsw(m: Option<i32>, ef_construction: Option<i32>, dimensions: i64) {
    let (m, ef_construction) = (m.unwrap_or(M), ef_construction.unwrap_or(EF_CONSTRUCTION));
    if ef_construction < 2 * m {
        raise_detailed(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "ef_construction must be greater than or equal to 2 * m",
            format!("{ef_construction} is less than {}.", 2 * m),
            None,
        );
    }
    if dimensions > VECTORS.greatest_hnsw() {
        too_wide("an HNSW index", VECTORS.greatest_hnsw(), dimensions);
    }
}

fn diskann(storage_layout: Option<&str>, dimensions: i64) {
    let known = "SELECT EXISTS (SELECT FROM pg_am WHERE amname = 'diskann' AND amtype = 'i')";
    if statement::row(known, &[], |row| row.must::<bool>(1)) != Some(true) {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            "access method \"diskann\" does not exist",
            Some("Install pgvectorscale (CREATE EXTENSION vectorscale), or use ai.indexing_hnsw."),
        );
    }
    if storage_layout == Some("plain") && dimensions > VECTORS.greatest_plain_diskann() {
        too_wide(
            "a DiskANN index with plain storage",
            VECTORS.greatest_plain_diskann(),
            dimensions,
        );
    }
}

fn too_wide(what: &str, most: i64, dimensions: i64) -> ! {
    raise_detailed(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("{what} takes at most {most} dimensions"),
        format!("The vectors have {dimensions}."),
        Some(
            "Ask the model for fewer dimensions, or use indexing => ai.indexing_none() and index a cast of the column \
             to halfvec yourself.",
        ),
    )
}

/// An index that builds itself needs a process that builds it. What cannot be read counts as one.
pub fn needs_scheduling(indexing: Option<&Indexing>, scheduling: Option<&Scheduling>) {
    if scheduling == Some(&Scheduling::None) && indexing != Some(&Indexing::None) {
        exception(
            "automatic indexing is not supported without scheduling. set indexing=>ai.indexing_none() when \
             scheduling=>ai.scheduling_none()",
        );
    }
}

/// Postgres builds no index of a partitioned table without blocking its writers.
pub fn refuse_partitioned(indexing: Option<&Indexing>, source: &str) {
    if indexing != Some(&Indexing::None) {
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("automatic indexing of a column of a partitioned table is not supported: {source}"),
            Some("Use indexing => ai.indexing_none() and index the partitions yourself."),
        );
    }
}
