//! When a vectorizer works: at once, at intervals, when asked, or not at all.

use ai_pipeline::config::{Embedding, Indexing, Scheduling};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::standing::{missing, must_be_served, must_not_be_held, must_own, stranger};
use super::{indexing, refresh, validate};
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::{catalog, shared_memory};

#[pg_extern(sql = false)]
fn set_disabled(vectorizer_id: i32, disabled: bool) {
    must_own(vectorizer_id);
    if !disabled {
        must_not_be_held(vectorizer_id);
    }
    let altered = acting_as_extension(|| {
        let sql = include_str!("../../sql/query/vectorizer/set_disabled.sql");
        statement::run(sql, &[vectorizer_id.into(), disabled.into()])
    });
    let Some(stranger) = (!disabled).then(|| stranger(vectorizer_id)).flatten() else {
        return;
    };
    // Nobody was told that one that was disabled has changed hands: who starts it has not looked for that.
    if altered > 0 {
        warn_of_stranger(vectorizer_id, &stranger);
    } else {
        accept(vectorizer_id);
    }
}

/// Says that a vectorizer was started, and stands still until it is accepted.
fn warn_of_stranger(vectorizer_id: i32, stranger: &str) {
    let (reason, hint) = catalog::of_stranger(Some(vectorizer_id), stranger, None);
    let message = format!(
        "vectorizer {vectorizer_id} stands still until ai.enable_vectorizer_schedule is called once more: {reason}"
    );
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// The owner of the source has looked at what is on the tables of a vectorizer that worked for another role.
fn accept(vectorizer_id: i32) {
    acting_as_extension(|| {
        statement::run("SELECT ai._hand_over($1)", &[vectorizer_id.into()]);
        catalog::mended(vectorizer_id);
    });
    shared_memory::mended_at_commit(vectorizer_id);
    refresh::catch_up(vectorizer_id);
}

#[pg_extern(sql = false)]
fn request_run(vectorizer_id: i32) {
    must_own(vectorizer_id);
    must_not_be_held(vectorizer_id);
    must_be_served(vectorizer_id);
    acting_as_extension(|| {
        let sql = include_str!("../../sql/query/schedule/request_run.sql");
        statement::run(sql, &[vectorizer_id.into()]);
    });
    shared_memory::run_asked_at_commit(vectorizer_id);
}

#[pg_extern(sql = false)]
fn set_scheduling(vectorizer_id: Option<i32>, scheduling: Option<JsonB>, indexing: Option<JsonB>) -> pgrx::JsonB {
    catalog::must_fit();
    let vectorizer_id = vectorizer_id.unwrap_or_else(|| missing("NULL"));
    must_own(vectorizer_id);
    must_not_be_held(vectorizer_id);
    let its = Scheduled::of(vectorizer_id);
    // What is not given stays.
    let dimensions = its
        .embedding
        .as_ref()
        .map_or(0, |embedding| embedding.dimensions().into());
    let indexing = indexing.map(|JsonB(document)| indexing::validate(Some(document), dimensions));
    let scheduling = scheduling.map(|JsonB(document)| validate::scheduling(Some(document)));
    let mut given = serde_json::Map::new();
    if let Some(section) = &scheduling {
        given.insert("scheduling".to_owned(), section.document.clone());
    }
    if let Some(section) = &indexing {
        given.insert("indexing".to_owned(), section.document.clone());
    }
    let given = Value::Object(given);
    validate::size(&given);
    let indexing = indexing.map(|section| section.value).or(its.indexing);
    let planned = scheduling.as_ref().map(|section| &section.value);
    indexing::needs_scheduling(indexing.as_ref(), planned.or(its.scheduling.as_ref()));
    if its.is_of_parts {
        indexing::refuse_partitioned(indexing.as_ref(), &its.source_name);
    }
    let config = acting_as_extension(|| {
        let sql = include_str!("../../sql/query/vectorizer/set_scheduling.sql");
        let config: Option<JsonB> =
            statement::row(sql, &[vectorizer_id.into(), JsonB(given).into()], |row| row.must(1));
        if let Some(scheduling) = planned {
            plan_first_run(vectorizer_id, scheduling);
            // It may have been paused for the one that it had.
            statement::run(
                include_str!("../../sql/query/pause/mended.sql"),
                &[vectorizer_id.into()],
            );
        }
        config
    });
    pgrx::JsonB(config.expect("a vectorizer that has an owner has a configuration").0)
}

/// What a vectorizer has, of which the schedule or the index changes. What cannot be read, in a row
/// that was changed by hand, is `None`.
struct Scheduled {
    embedding: Option<Embedding>,
    scheduling: Option<Scheduling>,
    indexing: Option<Indexing>,
    /// The vectors are in a column of a partitioned table.
    is_of_parts: bool,
    source_name: String,
}

impl Scheduled {
    fn of(vectorizer_id: i32) -> Scheduled {
        fn read<T: DeserializeOwned>(document: Option<String>) -> Option<T> {
            serde_json::from_str(&document?).ok()
        }
        let sql = include_str!("../../sql/query/index/indexable.sql");
        let found = statement::row(sql, &[vectorizer_id.into()], |row| Scheduled {
            embedding: read(row.get("embedding")),
            scheduling: read(row.get("scheduling")),
            indexing: read(row.get("indexing")),
            is_of_parts: row.must("is_of_parts"),
            source_name: row.must("source_name"),
        });
        found.unwrap_or_else(|| missing(&vectorizer_id.to_string()))
    }
}

/// Notes the first run of a vectorizer that works at intervals. To be called as the extension.
pub fn plan_first_run(vectorizer_id: i32, scheduling: &Scheduling) {
    statement::run("DELETE FROM ai._vectorizer_run WHERE id = $1", &[vectorizer_id.into()]);
    if let Scheduling::Timescaledb { initial_start, .. } = scheduling {
        let sql = include_str!("../../sql/query/schedule/plan_first_run.sql");
        statement::run(sql, &[vectorizer_id.into(), initial_start.as_deref().into()]);
    }
}
