//! Vectorizers that pgai made go on here, with the embeddings that are there: the work of
//! `docs/adopt-pgai.sql`. The way back is in `vectorizer/restore.rs`.
//!
//! A superuser runs these scripts on tables, rows and functions that others wrote. So what a row of
//! pgai's catalogue names counts only where it belongs to the owner of the source table: owners are
//! compared, never memberships, which a superuser has of every role. What is named is locked before
//! it is looked at. Each statement on it runs as its owner, who can leave nothing behind in the
//! session. No text of pgai's functions is run: they are moved, and triggers are taken from them
//! and put back.

use ai_pipeline::config::document::DestinationChoice;
use ai_pipeline::config::{Embedding, Scheduling};
use pgrx::iter::TableIterator;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::create;
use super::number::{failed_queue, usual_queue};
use super::pgai::{
    CatalogObject, PGAI, PgaiParts, PgaiRow, is_given_out, kept_queue, let_use_pgai, move_queues, must_be_superuser,
    must_belong, read_catalogue, with_create_on_pgai,
};
use super::request::CreationRequest;
use super::sections::Documents;
use super::source::primary_key;
use crate::access::endpoint;
use crate::catalog;
use crate::postgres::error::{invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::key::In;
use crate::postgres::statement::{self, fill, identifier, qualified};
use crate::postgres::transaction::{acting_as, acting_as_extension, restricted_to};

/// The vectorizers of pgai, with their names.
#[pg_extern(sql = false)]
fn pgai_vectorizers() -> TableIterator<'static, (name!(id, i32), name!(name, Option<String>))> {
    catalog::must_fit();
    let sql = include_str!("../../sql/query/adoption/pgai_vectorizers.sql");
    let rows = read_catalogue(sql, &[], |row| Some((row.get::<i32>(1)?, row.get::<String>(2))));
    TableIterator::new(rows.into_iter().flatten().collect::<Vec<_>>())
}

/// Adopts one, without embedding anything again. The answer is what of its configuration is for superusers to
/// choose: with pgai anybody may say where which key of the server is sent. A vectorizer that says so is
/// disabled, until one of them enables it.
#[pg_extern(sql = false)]
fn adopt_vectorizer(vectorizer_id: i32) -> Option<String> {
    catalog::must_fit();
    let row = PgaiRow::of(vectorizer_id);
    must_be_given_out(vectorizer_id);
    if row.is_in_pgai() {
        // It stayed with pgai until now.
        move_queues(vectorizer_id, "ai", PGAI);
    }
    let source = row.source();
    // Waits for those who write to it; writers that come later fire our triggers.
    // SAFETY: as in Object::relation.
    unsafe { pg_sys::LockRelationOid(source.oid, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) };
    let parts = parts(&row, &source);
    let destination = destination(&row);
    let theirs = [Some(&parts.function), Some(&parts.queue), parts.failed.as_ref()];
    must_belong(&source, theirs.into_iter().flatten().chain(&destination));

    drop_triggers(&row, &source);
    make_room(&row, &source, &parts);
    make(&row, &source);
    carry(&row, &source, parts.failed.is_some());
    grant_again(vectorizer_id, &source, &parts);
    delete_job(&row, &source);

    // All of them: the superuser who enables it answers for each.
    let chosen = chosen(&row.config);
    let chosen = (!chosen.is_empty()).then(|| chosen.join(", "));
    let sql = include_str!("../../sql/query/adoption/hold_back.sql");
    let disabled = row.disabled || chosen.is_some();
    acting_as_extension(|| statement::run(sql, &[vectorizer_id.into(), disabled.into(), chosen.as_deref().into()]));
    chosen
}

/// What pgai has made for a vectorizer that it has.
fn parts(row: &PgaiRow, source: &CatalogObject) -> PgaiParts {
    let function = trigger_function(row, source);
    let Some(queue) = CatalogObject::relation(row.schema_now(), &row.queue_table) else {
        let message = format!("the queue {}.{} does not exist", row.schema_now(), row.queue_table);
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    PgaiParts::looked_at(
        function,
        queue,
        CatalogObject::relation(row.schema_now(), &row.failed_table),
    )
}

/// Takes pgai's triggers from the source.
fn drop_triggers(row: &PgaiRow, source: &CatalogObject) {
    restricted_to(source.owner, || {
        let on = &source.name;
        for sql in [
            format!("DROP TRIGGER {} ON {on}", identifier(&row.trigger)),
            format!(
                "DROP TRIGGER IF EXISTS {} ON {on}",
                identifier(&format!("{}_truncate", row.trigger))
            ),
        ] {
            statement::run(&sql, &[]);
        }
    });
}

/// Our queue is called as pgai's was, which makes room for it. The numbers make the names unique.
fn make_room(row: &PgaiRow, source: &CatalogObject, parts: &PgaiParts) {
    let is_renamed = row.queue_table != kept_queue(row.id);
    if row.is_in_pgai() && !is_renamed {
        return;
    }
    let move_parts = || {
        if !row.is_in_pgai() {
            statement::run(
                &format!("ALTER FUNCTION {} SET SCHEMA {PGAI}", parts.function.name),
                &[],
            );
            statement::run(&format!("ALTER TABLE {} SET SCHEMA {PGAI}", parts.queue.name), &[]);
        }
        if is_renamed {
            let (moved, name) = (qualified(PGAI, &row.queue_table), identifier(&kept_queue(row.id)));
            statement::run(&format!("ALTER TABLE {moved} RENAME TO {name}"), &[]);
        }
        if let Some(failed) = parts.failed.as_ref().filter(|_| !row.is_in_pgai()) {
            statement::run(&format!("ALTER TABLE {} SET SCHEMA {PGAI}", failed.name), &[]);
        }
    };
    with_create_on_pgai(source, || restricted_to(source.owner, move_parts));
}

/// An id that nobody was given would use up all those below it.
fn must_be_given_out(id: i32) {
    if !is_given_out(id) {
        invalid(format!("pgai has given no vectorizer the id {id} yet"));
    }
}

/// pgai's function on the source.
fn trigger_function(row: &PgaiRow, source: &CatalogObject) -> CatalogObject {
    let sql = include_str!("../../sql/query/adoption/pgai_trigger.sql");
    let function = statement::row(
        sql,
        &[source.oid.into(), row.trigger.as_str().into()],
        CatalogObject::read,
    );
    let Some(function) = function else {
        let message = format!(
            "pgai's trigger {} on {} is gone, so that changes may have been missed",
            row.trigger, source.name
        );
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    };
    let place = row.schema_now();
    if function.schema != place && function.schema != PGAI {
        let message = format!("the function {} is not in {place}, where pgai made it", function.name);
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    }
    function
}

/// The table of chunks and the view; none where the vectors are in the source.
fn destination(row: &PgaiRow) -> Vec<CatalogObject> {
    let Ok(DestinationChoice::Table {
        target_schema,
        target_table,
        view_schema,
        view_name,
        ..
    }) = DestinationChoice::deserialize(&row.config["destination"])
    else {
        return Vec::new();
    };
    let named = |schema: Option<String>, name: Option<String>, kind: &str, called: &str| {
        let (schema, name) = (schema.unwrap_or_default(), name.unwrap_or_default());
        let Some(found) = CatalogObject::relation(&schema, &name) else {
            let message = format!("the relation {} does not exist", qualified(&schema, &name));
            raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
        };
        found.must_be(kind, called);
        found
    };
    vec![
        named(target_schema, target_table, "r", "a table"),
        named(view_schema, view_name, "v", "a view"),
    ]
}

/// Makes the vectorizer with the privileges of its owner, and no others: also the names of what is new are
/// those of a row.
fn make(row: &PgaiRow, source: &CatalogObject) {
    let mut config = row.config.clone();
    // Without TimescaleDB pgai writes down no schedule, and its worker does the work all the same. Here that
    // is called the default; no schedule means no work.
    let scheduling = match Scheduling::deserialize(&config["scheduling"]) {
        Ok(Scheduling::None) => statement::row("SELECT ai.scheduling_default()", &[], |row| row.must::<JsonB>(1).0),
        _ => config["scheduling"].as_object_mut().map(|scheduling| {
            scheduling.remove("job_id");
            Value::Object(scheduling.clone())
        }),
    };
    let section = |kind: &str| config.get(kind).cloned();
    let request = CreationRequest {
        source: Some(source.oid),
        name: Some(row.name.clone()),
        documents: Documents {
            destination: section("destination"),
            loading: section("loading"),
            parsing: section("parsing"),
            embedding: section("embedding"),
            chunking: section("chunking"),
            indexing: section("indexing"),
            formatting: section("formatting"),
            scheduling,
            processing: section("processing"),
        },
        queue_schema: Some(row.queue_schema.clone()),
        // What it would be called anyway is no choice.
        queue_table: Some(row.queue_here()).filter(|table| *table != usual_queue(row.id)),
        grant_to: Vec::new(),
        enqueue_existing: false,
        if_not_exists: false,
    };
    restricted_to(source.owner, || create::adopt(row.id, request));
}

/// What waited in pgai's queues waits in ours: types of the owner's key, and casts of what was made of pgai's
/// queue, run on the way.
fn carry(row: &PgaiRow, source: &CatalogObject, has_failed: bool) {
    let (_, key) = primary_key(source.oid);
    let (pk, old_pk) = (key.list("", In::Queue), key.list("o.", In::Target));
    let queue = qualified(&row.queue_schema, &row.queue_here());
    let failed = qualified(&row.queue_schema, &failed_queue(row.id));
    let old_queue = qualified(PGAI, &kept_queue(row.id));
    let_use_pgai(source);
    let copy = |template: &str, old: &str| {
        let values = [
            ("queue", queue.as_str()),
            ("failed", &failed),
            ("old_queue", old),
            ("old_failed", old),
            ("pk", &pk),
            ("old_pk", &old_pk),
        ];
        acting_as(source.owner, || statement::run(&fill(template, &values), &[]));
    };
    copy(include_str!("../../sql/query/adoption/adopt_queue.sql"), &old_queue);
    if has_failed {
        let old_failed = qualified(PGAI, &row.failed_table);
        copy(include_str!("../../sql/query/adoption/adopt_failed.sql"), &old_failed);
    }
}

/// What was granted on pgai's queues is granted on ours.
fn grant_again(id: i32, source: &CatalogObject, parts: &PgaiParts) {
    let sql = include_str!("../../sql/query/adoption/grants_of_queue.sql");
    let failed = parts.failed.as_ref().map(|failed| failed.oid);
    let arguments = [id.into(), parts.queue.oid.into(), failed.into()];
    let grants = statement::rows(sql, &arguments, |row| row.must::<String>(1));
    restricted_to(source.owner, || {
        for grant in &grants {
            statement::run(grant, &[]);
        }
    });
}

/// Deletes TimescaleDB's job of a vectorizer, as far as its owner may.
fn delete_job(row: &PgaiRow, source: &CatalogObject) {
    let Some(job) = row.config["scheduling"]["job_id"].as_i64() else {
        return;
    };
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                  WHERE e.extname = 'timescaledb'";
    if let Some(schema) = statement::row(schema, &[], |row| row.must::<String>(1)) {
        let sql = fill(
            include_str!("../../sql/query/adoption/delete_job.sql"),
            &[("schema", &schema)],
        );
        let arguments = [job.into(), row.id.into()];
        restricted_to(source.owner, || statement::run(&sql, &arguments));
    }
}

/// What a row says of where documents and keys go. pgai knows no foreign servers: a row that names one was
/// changed since, by a role that may not be the owner of the documents.
fn chosen(config: &Value) -> Vec<String> {
    let keys = reaches_out(config);
    let values = keys.into_iter().map(|key| format!("{key} {}", value_of(config, key)));
    let servers = ["embedding", "loading"].into_iter().filter_map(|section| {
        let server = config[section]["server"].as_str()?;
        Some(format!("the foreign server {server} for {section}"))
    });
    values.chain(servers).collect()
}

/// Which choices of a configuration are for administrators.
fn reaches_out(config: &Value) -> Vec<&'static str> {
    let role = config["loading"]["aws_role_arn"].is_string().then_some("aws_role_arn");
    // It was read when it was validated.
    let embedding = Embedding::deserialize(&config["embedding"]).ok();
    let of_embedding = embedding.as_ref().map(endpoint::choices).unwrap_or_default();
    of_embedding.into_iter().chain(role).collect()
}

/// What a configuration says under `key`, for people.
fn value_of(config: &Value, key: &str) -> String {
    let sections = [&config["embedding"], &config["loading"]];
    let value = sections.into_iter().find_map(|section| section.get(key));
    value.map_or_else(String::new, |value| {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    })
}

/// Lets a vectorizer that stays with pgai go on filling its queue: its trigger knows the queue in the schema
/// ai, where it was, and is brought back.
#[pg_extern(sql = false)]
fn leave_vectorizer(vectorizer_id: i32) {
    must_be_superuser();
    // A queue of another number would be in the way of a vectorizer to come.
    if is_given_out(vectorizer_id) {
        move_queues(vectorizer_id, PGAI, "ai");
    }
}
