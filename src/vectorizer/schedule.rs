//! When a vectorizer works: at once, at intervals, when asked, or not at all.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

use super::{indexing, missing, triggers, validate};
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::{catalog, settings, shared_memory};

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
    triggers::catch_up(vectorizer_id);
}

/// Who owns the source of a vectorizer, where that is another role than the one that it works for.
pub(super) fn stranger(vectorizer_id: i32) -> Option<String> {
    let sql = include_str!("../../sql/query/vectorizer/stranger.sql");
    statement::row(sql, &[vectorizer_id.into()], |row| row.get(1)).flatten()
}

/// Raises where the source of a vectorizer got another owner unseen, or code of others would run as its owner: nothing
/// is done as that one.
pub fn must_be_served(vectorizer_id: i32) {
    if let Some(stranger) = stranger(vectorizer_id) {
        raise_stranger(Some(vectorizer_id), &vectorizer_id.to_string(), &stranger);
    }
    if let Some(found) = catalog::code_of_others(vectorizer_id) {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("vectorizer {vectorizer_id} cannot work: {}", found.reason),
            Some(&found.hint),
        );
    }
}

/// Raises the ERROR of a vectorizer whose source got another owner unseen.
pub fn raise_stranger(id: Option<i32>, called: &str, stranger: &str) -> ! {
    let (reason, hint) = catalog::of_stranger(id, stranger, None);
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("vectorizer {called} cannot work: {reason}"),
        Some(&hint),
    )
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
    let (scheduling, indexing) = (scheduling.map(|json| json.0), indexing.map(|json| json.0));
    let read = |text: Option<String>| text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let (dimensions, partitioned, source, its_scheduling, its_indexing) = statement::row(
        include_str!("../../sql/query/index/indexable.sql"),
        &[vectorizer_id.into()],
        |row| {
            let (scheduling, indexing) = (read(row.get("scheduling")), read(row.get("indexing")));
            (
                row.must::<i64>("dimensions"),
                row.must::<bool>("is_of_parts"),
                row.must::<String>("source_name"),
                scheduling,
                indexing,
            )
        },
    )
    .unwrap_or_else(|| missing(&vectorizer_id.to_string()));
    // What is not given stays.
    let indexing = indexing
        .map(|indexing| indexing::validate(&Some(indexing), settings::indexing_default().as_deref(), dimensions));
    let scheduling =
        scheduling.map(|scheduling| validate::scheduling(&Some(scheduling), settings::scheduling_default().as_deref()));
    let mut given = serde_json::Map::new();
    for (key, section) in [("scheduling", &scheduling), ("indexing", &indexing)] {
        if let Some(section) = section {
            given.insert(key.to_owned(), section.clone());
        }
    }
    let given = Value::Object(given);
    validate::size(&given);
    let indexing = indexing.or(its_indexing).unwrap_or_default();
    indexing::needs_scheduling(
        &indexing,
        scheduling.as_ref().or(its_scheduling.as_ref()).unwrap_or(&Value::Null),
    );
    if partitioned {
        indexing::refuse_partitioned(&indexing, &source);
    }
    let config = acting_as_extension(|| {
        let sql = include_str!("../../sql/query/vectorizer/set_scheduling.sql");
        let config: Option<JsonB> =
            statement::row(sql, &[vectorizer_id.into(), JsonB(given).into()], |row| row.must(1));
        if let Some(scheduling) = &scheduling {
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

/// Notes the first run of a vectorizer that works at intervals. To be called as the extension.
pub fn plan_first_run(vectorizer_id: i32, scheduling: &Value) {
    statement::run("DELETE FROM ai._vectorizer_run WHERE id = $1", &[vectorizer_id.into()]);
    if scheduling["implementation"] == "timescaledb" {
        let sql = include_str!("../../sql/query/schedule/plan_first_run.sql");
        statement::run(
            sql,
            &[vectorizer_id.into(), scheduling["initial_start"].as_str().into()],
        );
    }
}

/// An adopted vectorizer may choose what is for superusers to choose: where which key of the server is sent.
/// One of them has to have looked at it, and starts it.
///
/// # Errors
/// Raised where none has.
pub fn must_not_be_held(vectorizer_id: i32) {
    // SAFETY: a look at the role of the session.
    if unsafe { pgrx::pg_sys::superuser() } {
        return;
    }
    let sql = "SELECT v.config ->> 'held' FROM ai._seen_vectorizer v WHERE v.id = $1";
    if let Some(what) = statement::row(sql, &[vectorizer_id.into()], |row| row.get::<String>(1)).flatten() {
        raise_held(&what);
    }
}

/// Raises the ERROR of a vectorizer that no superuser has looked at.
pub fn raise_held(what: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to start a vectorizer that was adopted with {what}"),
        Some("A superuser starts it with ai.enable_vectorizer_schedule."),
    )
}

/// Raises when the caller is not the owner of a vectorizer.
pub fn must_own(vectorizer_id: i32) {
    let owns = include_str!("../../sql/query/vectorizer/owns_vectorizer.sql");
    match statement::row(owns, &[vectorizer_id.into()], |row| row.must::<bool>(1)) {
        Some(true) => (),
        Some(false) => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of the source table of vectorizer {vectorizer_id}"),
            None,
        ),
        None => missing(&vectorizer_id.to_string()),
    }
}
