//! Vectorizers that pgai made go on here, with the embeddings that are there: the part of `docs/adopt-pgai.sql` that
//! SQL cannot do.

use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::Value;

use super::create;
use crate::error::{invalid, raise};
use crate::key::In;
use crate::statement::{self, fill, qualified};
use crate::transaction::acting_as;

/// Makes the vectorizer of a row of pgai's catalogue, without embedding anything again. What waited in pgai's queues
/// (quoted names with schemas) waits in ours; pgai's triggers are gone already.
///
/// With pgai anybody may say where which key of the server is sent. A vectorizer that says so is disabled, and the answer
/// is what it says.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn adopt_vectorizer(
    vectorizer_id: i32,
    name: String,
    source: Oid,
    config: JsonB,
    disabled: bool,
    queue_schema: String,
    queue_table: String,
    old_queue: String,
    old_failed: Option<String>,
) -> Option<String> {
    let found = create::read_source(source).unwrap_or_else(|| invalid("source table does not exist"));
    if !found.caller_is_superuser {
        let message = "only a superuser may adopt vectorizers";
        raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, None);
    }
    let section = |kind: &str| config.0.get(kind).map(|section| JsonB(section.clone()));
    create::create(
        Some(source),
        Some(name),
        section("destination"),
        section("loading"),
        section("parsing"),
        section("embedding"),
        section("chunking"),
        section("indexing"),
        section("formatting"),
        section("scheduling"),
        section("processing"),
        Some(queue_schema.clone()),
        Some(queue_table.clone()),
        None,
        Some(false),
        Some(false),
        Some(vectorizer_id),
    );
    let (_, key) = create::primary_key(source);
    let (queue, pk, old_pk) = (
        qualified(&queue_schema, &queue_table),
        key.list("", In::Queue),
        key.list("o.", In::Target),
    );
    let failed = qualified(&queue_schema, &format!("_vectorizer_q_failed_{vectorizer_id}"));
    let carry = |template: &str, old: &str| {
        let values = [
            ("queue", queue.as_str()),
            ("failed", &failed),
            ("old_queue", old),
            ("old_failed", old),
            ("pk", &pk),
            ("old_pk", &old_pk),
        ];
        // As the owner of the source: types of his key, and casts of what he made of pgai's queue, run on the way.
        let readable = include_str!("../../sql/query/let_read.sql");
        for grant in statement::rows(readable, &[old.into(), found.owner.into()], |row| row.must::<String>(1)) {
            statement::run(&grant, &[]);
        }
        acting_as(found.owner, || statement::run(&fill(template, &values), &[]));
    };
    carry(include_str!("../../sql/query/adopt_queue.sql"), &old_queue);
    if let Some(old_failed) = &old_failed {
        carry(include_str!("../../sql/query/adopt_failed.sql"), old_failed);
    }
    let chosen = create::reaches_out(&config.0["loading"], &config.0["embedding"]);
    let sql = "UPDATE ai._vectorizer SET disabled = $2 WHERE id = $1";
    statement::run(sql, &[vectorizer_id.into(), (disabled || chosen.is_some()).into()]);
    chosen.map(|key| format!("{key} {}", value_of(&config.0, key)))
}

/// What a configuration says under `key`, for people.
fn value_of(config: &Value, key: &str) -> String {
    let sections = [&config["embedding"], &config["loading"]];
    let value = sections.into_iter().find_map(|section| section.get(key));
    value.map_or_else(String::new, |value| {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    })
}
