//! `ai.create_vectorizer`: checks in pgai's order, then tables, triggers and the row in the catalogue.
//!
//! Everything of a vectorizer belongs to the owner of its source table, as whom the worker reads and writes.

use std::time::Duration;

use ai_pipeline::config::{Destination, Embedding};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::names::{self, QUEUE_COLUMNS, TARGET_COLUMNS};
use super::objects::{DestinationObjects, Objects, Source, intake_name};
use super::validate::{self, Column};
use super::{indexing, schedule, triggers};
use crate::access::{endpoint, server};
use crate::catalog::{self, follow_names};
use crate::postgres::error::{exception, invalid, is_lock_conflict, raise};
use crate::postgres::json::JsonB;
use crate::postgres::key::PrimaryKey;
use crate::postgres::statement::{self, qualified};
use crate::postgres::transaction::{self, acting_as, acting_as_extension, seeing_all};
use crate::{settings, shared_memory};

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn create_vectorizer(
    source: Option<Oid>,
    name: Option<String>,
    destination: Option<JsonB>,
    loading: Option<JsonB>,
    parsing: Option<JsonB>,
    embedding: Option<JsonB>,
    chunking: Option<JsonB>,
    indexing: Option<JsonB>,
    formatting: Option<JsonB>,
    scheduling: Option<JsonB>,
    processing: Option<JsonB>,
    queue_schema: Option<String>,
    queue_table: Option<String>,
    grant_to: Option<Vec<Option<String>>>,
    enqueue_existing: Option<bool>,
    if_not_exists: Option<bool>,
) -> i32 {
    create(
        source,
        name,
        destination,
        loading,
        parsing,
        embedding,
        chunking,
        indexing,
        formatting,
        scheduling,
        processing,
        queue_schema,
        queue_table,
        grant_to,
        enqueue_existing,
        if_not_exists,
        None,
    )
}

/// Makes a vectorizer. One that is `adopted` has its id and its destination already: they are taken as they are.
#[allow(clippy::too_many_arguments)]
pub(super) fn create(
    source: Option<Oid>,
    name: Option<String>,
    destination: Option<JsonB>,
    loading: Option<JsonB>,
    parsing: Option<JsonB>,
    embedding: Option<JsonB>,
    chunking: Option<JsonB>,
    indexing: Option<JsonB>,
    formatting: Option<JsonB>,
    scheduling: Option<JsonB>,
    processing: Option<JsonB>,
    queue_schema: Option<String>,
    queue_table: Option<String>,
    grant_to: Option<Vec<Option<String>>>,
    enqueue_existing: Option<bool>,
    if_not_exists: Option<bool>,
    adopted: Option<i32>,
) -> i32 {
    catalog::must_fit();
    let value = |json: Option<JsonB>| json.map(|json| json.0);
    let (embedding, loading, destination) = (value(embedding), value(loading), value(destination));

    let grantees = known_roles(grant_to.unwrap_or_default().into_iter().flatten().collect());
    if embedding.is_none() {
        exception("embedding configuration is required");
    }
    if loading.is_none() {
        exception("loading configuration is required");
    }
    let source = source
        .and_then(read_source)
        .unwrap_or_else(|| invalid("source table does not exist"));
    if !source.caller_is_owner {
        exception("only a superuser or the owner of the source table may create a vectorizer on it");
    }
    let dimensions = embedding
        .as_ref()
        .and_then(|embedding| embedding.get("dimensions"))
        .and_then(Value::as_i64);
    let Some(dimensions) = dimensions else {
        exception("dimensions argument is required")
    };
    let (source_pk, key) = primary_key(source.oid);
    if let Some(why) = &source.unsupported {
        let message = format!("{} {why}", source.name);
        raise(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message, None);
    }
    let queue_table = queue_table.filter(|table| adopted.is_none_or(|id| *table != usual_queue(id)));
    let queue_schema = schema_of_queue(queue_schema, queue_table.as_deref(), &source);
    // A migration that runs twice finds its own queue: that is no obstacle where it will find its own vectorizer, too.
    let runs_twice = if_not_exists == Some(true) && {
        let named = name.clone().map(Named::Given).or_else(|| {
            let known = |config: &&Value| matches!(config["implementation"].as_str(), Some("table" | "column"));
            let config = destination.as_ref().filter(known)?;
            let (schema, table) = (&source.schema, &source.table);
            let destination = names::destination(config, schema, table);
            Some(Named::Derived(names::derived(&destination, schema, table)))
        });
        named.is_some_and(|named| named.own(source.oid).is_some())
    };
    must_last(&queue_schema, "queue_schema");
    if !runs_twice && let Some(queue_table) = &queue_table {
        must_be_free(&queue_schema, queue_table, "an alternate queue_table");
    }

    let columns = columns(source.oid);
    let loading = validate::loading(&loading, &columns);
    let parsing = validate::parsing(&value(parsing), &loading, &columns);
    let chunking = value(chunking);
    let destination = validate::destination(&destination, &chunking);
    let embedding = validate::embedding(&embedding);
    let chunking = validate::chunking(&chunking);
    let indexing = indexing::validate(&value(indexing), settings::indexing_default().as_deref(), dimensions);
    let formatting = validate::formatting(&value(formatting), &columns);
    let scheduling = validate::scheduling(&value(scheduling), settings::scheduling_default().as_deref());
    let processing = validate::processing(&value(processing));
    indexing::needs_scheduling(&indexing, &scheduling);
    if source.partitioned && destination["implementation"] == "column" {
        indexing::refuse_partitioned(&indexing, &source.name);
    }
    let destination = names::destination(&destination, &source.schema, &source.table);
    let named = name.map_or_else(
        || Named::Derived(names::derived(&destination, &source.schema, &source.table)),
        Named::Given,
    );
    if let Some((id, name)) = named.own(source.oid) {
        if if_not_exists == Some(true) {
            notice!("a vectorizer named {name} already exists, skipping");
            return id;
        }
        already_exists(&name, None);
    }
    let derived = match &named {
        Named::Given(_) => None,
        Named::Derived(name) => Some(name.clone()),
    };
    let name = named.free();
    // What was adopted is there already: the worker says what its owner lacks.
    if adopted.is_none() {
        check_servers(&loading, &embedding, &source);
    }
    let (to, schemas) = match &destination {
        Destination::Table {
            target_schema,
            target_table,
            view_schema,
            view_name,
        } => {
            must_last(target_schema, "target_schema");
            must_last(view_schema, "view_schema");
            if adopted.is_none() {
                must_be_free(view_schema, view_name, "an alternate destination or view_name");
                must_be_free(target_schema, target_table, "an alternate destination or target_table");
            }
            must_not_clash(&columns);
            let (target, view) = (
                qualified(target_schema, target_table),
                qualified(view_schema, view_name),
            );
            (
                DestinationObjects::Table { target, view },
                vec![target_schema.as_str(), view_schema.as_str()],
            )
        }
        Destination::Column { embedding_column } => {
            must_have_one_writer(source.oid, embedding_column);
            let column = embedding_column.clone();
            (DestinationObjects::Column { column }, Vec::new())
        }
    };

    if !names::fits(&name) {
        // The text that callers know, from the time when a constraint of the table said it.
        raise(
            PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
            "new row for relation \"vectorizer\" violates check constraint \"vectorizer_name_check\"",
            Some(
                "Names of vectorizers begin with a lower-case letter; lower-case letters, digits and underscores follow.",
            ),
        );
    }

    let config = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "loading": loading,
        "parsing": parsing,
        "embedding": embedding,
        "chunking": chunking,
        "indexing": indexing,
        "formatting": formatting,
        "scheduling": &scheduling,
        "processing": processing,
        "destination": ai_pipeline::config::section("destination", &destination),
    });
    validate::size(&config);
    if let Err(error) = serde_json::from_value::<ai_pipeline::config::Config>(config.clone()) {
        invalid(format!("the configuration cannot be read: {error}"));
    }

    // Last: what is refused uses up no number.
    let id: i32 = adopted.unwrap_or_else(|| free_id(&queue_schema, queue_table.as_deref()));
    let failed_table = format!("_vectorizer_q_failed_{id}");
    let queue_table = queue_table.unwrap_or_else(|| {
        let queue_table = usual_queue(id);
        must_be_free(&queue_schema, &queue_table, "an alternate queue_table");
        queue_table
    });
    must_be_free(&queue_schema, &failed_table, "an alternate queue_schema");
    must_be_free(&queue_schema, &intake_name(id), "an alternate queue_schema");
    let objects = Objects {
        id,
        queue: qualified(&queue_schema, &queue_table),
        failed: qualified(&queue_schema, &failed_table),
        intake: qualified(&queue_schema, &intake_name(id)),
        destination: to,
        function: qualified(&queue_schema, &format!("_vectorizer_src_trg_{id}")),
        trigger: format!("_vectorizer_src_trg_{id}"),
        in_extension: queue_schema == "ai",
    };
    match adopted {
        None => objects.create_destination(&source, &key, &columns, dimensions),
        Some(_) => objects.adopt_destination(&source, &key, dimensions),
    }
    objects.create_queue(&source, &key);
    objects.grant(&source, &queue_schema, &schemas, &grantees);
    let insert = |name: &str| {
        acting_as_extension(|| {
            statement::run(
                include_str!("../../sql/query/vectorizer/insert_vectorizer.sql"),
                &[
                    id.into(),
                    name.into(),
                    source.oid.into(),
                    JsonB(source_pk.clone()).into(),
                    objects.queue.as_str().into(),
                    objects.failed.as_str().into(),
                    objects.target().into(),
                    objects.view().into(),
                    objects.function.as_str().into(),
                    objects.trigger.as_str().into(),
                    JsonB(config.clone()).into(),
                    objects.intake.as_str().into(),
                ],
            )
        });
    };
    insert_named(name, derived, insert);
    acting_as_extension(|| {
        follow_names(Some(&[id]), None);
        schedule::plan_first_run(id, &scheduling);
    });
    if objects.target().is_none() {
        // The other vectorizers of this table learn that the new column is no news.
        triggers::refresh(source.oid);
    }
    if enqueue_existing != Some(false) {
        acting_as(source.owner, || {
            seeing_all(|| objects.enqueue_existing(&source, &key));
        });
    }
    acting_as_extension(|| catalog::warn_if_filtered(id));
    shared_memory::vectorizer_changed_at_commit(id);
    if !shared_memory::is_available() {
        ereport!(
            WARNING,
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "ai is not in shared_preload_libraries: nothing is embedded until it is and the server is restarted"
        );
    }
    id
}

/// The next number that no vectorizer has. They begin anew after two billions, which is what it takes to use
/// them up: a call that is rolled back keeps its own.
fn next_id() -> i32 {
    let sql = include_str!("../../sql/query/vectorizer/next_id.sql");
    let free = (0..10_000).find_map(|_| {
        statement::row(sql, &[], |row| row.must::<bool>(2).then(|| row.must(1)))
            .expect("a statement without FROM answers")
    });
    free.unwrap_or_else(|| {
        let message = "there is no free number for a vectorizer near the last one";
        raise(
            PgSqlErrorCode::ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
            message,
            Some("Try it again."),
        )
    })
}

/// How long a name is waited for that a transaction has taken which is still open: it may be anybody's.
const DERIVED: Duration = Duration::from_millis(100);
const GIVEN: Duration = Duration::from_secs(2);

/// Writes a vectorizer down under its name; where that is taken meanwhile, under another, if it was `derived`.
fn insert_named(name: String, derived: Option<String>, insert: impl Fn(&str)) {
    let mut name = name;
    let wait = if derived.is_some() { DERIVED } else { GIVEN };
    for _ in 0..10 {
        let Err(aborted) = transaction::attempt(wait, || insert(&name)) else {
            return;
        };
        let is_open = is_lock_conflict(&aborted);
        let is_taken_now = aborted.code == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION && is_taken(&name);
        if !is_open && !is_taken_now {
            raise(aborted.code, aborted.message, aborted.hint.as_deref());
        }
        match &derived {
            Some(derived) => name = names::numbered(derived, rand::random()),
            None if is_open => raise(
                PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
                format!("the name {name} is being taken, or given back, by a transaction that is still open"),
                Some("Choose another name, or try it again when that has ended."),
            ),
            None => already_exists(&name, Some("It is on another table. Choose another name.")),
        }
    }
    raise(
        PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
        "no name that is derived from its tables is free",
        Some("Give the vectorizer a name."),
    )
}

/// The next number of which no name is taken that the extension chooses itself: in a schema of users they are for
/// everybody to take. Where many are, the last is for the caller to be told of.
fn free_id(schema: &str, chosen: Option<&str>) -> i32 {
    const TRIES: usize = 1000;
    let mut id = acting_as_extension(next_id);
    for _ in 0..TRIES {
        // A queue of a chosen name has been looked for.
        let queue = chosen.is_none().then(|| usual_queue(id));
        let tables = [queue, Some(format!("_vectorizer_q_failed_{id}")), Some(intake_name(id))];
        let tables: Vec<String> = tables.iter().flatten().map(|name| qualified(schema, name)).collect();
        let function = format!("{}()", qualified(schema, &format!("_vectorizer_src_trg_{id}")));
        let sql = "SELECT to_regprocedure($2) IS NULL AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS n WHERE to_regclass(n) IS NOT NULL)";
        let is_free = statement::on_latest(|| {
            statement::row(sql, &[tables.into(), function.as_str().into()], |row| {
                row.must::<bool>(1)
            })
        });
        if is_free == Some(true) {
            break;
        }
        id = acting_as_extension(next_id);
    }
    id
}

/// The roles that exist, `public` among them; a warning names the others.
fn known_roles(wanted: Vec<String>) -> Vec<String> {
    let (known, unknown): (Vec<String>, Vec<String>) = wanted.into_iter().partition(|role| {
        role == "public"
            || statement::row(
                "SELECT 1 FROM pg_roles WHERE rolname = $1::name",
                &[role.as_str().into()],
                |_| (),
            )
            .is_some()
    });
    if !unknown.is_empty() {
        let message = format!("one or more grant_to roles do not exist: {{{}}}", unknown.join(","));
        ereport!(WARNING, PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message);
    }
    known
}

pub(super) fn read_source(oid: Oid) -> Option<Source> {
    statement::row(
        include_str!("../../sql/query/source/source.sql"),
        &[oid.into()],
        |row| Source {
            oid,
            schema: row.must("schema"),
            table: row.must("table"),
            owner: row.must("owner"),
            unsupported: row.get("unsupported"),
            partitioned: row.must("partitioned"),
            name: row.must("name"),
            caller_is_owner: row.must("caller_is_owner"),
            caller_is_superuser: row.must("caller_is_superuser"),
            deferrable: row.must("deferrable"),
            unlogged: row.must("unlogged"),
        },
    )
}

/// The primary key as the catalogue keeps it, and as statements need it.
pub(super) fn primary_key(source: Oid) -> (Value, PrimaryKey) {
    let reserved: Vec<&str> = QUEUE_COLUMNS.to_vec();
    let found: Option<JsonB> = statement::row(
        include_str!("../../sql/query/source/source_pk.sql"),
        &[source.into(), reserved.into()],
        |row| row.get(1),
    )
    .flatten();
    let Some(JsonB(source_pk)) = found else {
        exception("source table must have a primary key constraint")
    };
    let key = PrimaryKey::new(source, &source_pk);
    (source_pk, key)
}

fn columns(source: Oid) -> Vec<Column> {
    let sql = include_str!("../../sql/query/source/source_columns.sql");
    statement::rows(sql, &[source.into()], |row| (row.must(1), row.must(2)))
}

/// How a vectorizer is to be called.
enum Named {
    Given(String),
    /// From its tables: another name will do where this one is taken.
    Derived(String),
}

impl Named {
    /// The vectorizer of this name on this source. One on another table is not what a migration has made: it
    /// would be taken for that, and nothing be embedded.
    fn own(&self, source: Oid) -> Option<(i32, String)> {
        let (name, is_derived) = match self {
            Named::Given(name) => (name, false),
            Named::Derived(name) => (name, true),
        };
        let sql = include_str!("../../sql/query/vectorizer/own_vectorizer.sql");
        let arguments = [source.into(), name.as_str().into(), is_derived.into()];
        acting_as_extension(|| statement::row(sql, &arguments, |row| (row.must(1), row.must(2))))
    }

    /// A name that is not taken by a vectorizer of another table. Of that, nothing is told: the caller may not see it.
    fn free(self) -> String {
        match self {
            Named::Given(name) => {
                if is_taken(&name) {
                    already_exists(&name, Some("It is on another table. Choose another name."));
                }
                name
            }
            Named::Derived(name) => {
                let mut free = name.clone();
                while is_taken(&free) {
                    free = names::numbered(&name, rand::random());
                }
                free
            }
        }
    }
}

fn already_exists(name: &str, hint: Option<&str>) -> ! {
    let message = format!("a vectorizer named {name} already exists.");
    raise(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message, hint)
}

/// Among all vectorizers, whoever may see them.
fn is_taken(name: &str) -> bool {
    let sql = include_str!("../../sql/query/vectorizer/vectorizer_by_name.sql");
    acting_as_extension(|| statement::row(sql, &[name.into()], |row| row.must::<i32>(1))).is_some()
}

fn usual_queue(id: i32) -> String {
    format!("_vectorizer_q_{id}")
}

/// Where the queue goes. In the schema of the extension, where only it may create, all have the names that it
/// gives: a name of a user's choice could be one that a version of the extension needs, or that of another
/// vectorizer's queue.
fn schema_of_queue(schema: Option<String>, chosen: Option<&str>, source: &Source) -> String {
    match (schema, chosen) {
        (Some(schema), Some(table)) if schema == "ai" => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("queue_table cannot be {table} in the schema ai, which is the extension's"),
            Some("Choose another queue_schema, or leave queue_table out."),
        ),
        (Some(schema), _) => schema,
        (None, None) => "ai".to_owned(),
        (None, Some(_)) => source.schema.clone(),
    }
}

/// Refuses schemas of which nothing is left when the session ends, without anybody being told, and those of
/// Postgres itself.
fn must_last(schema: &str, argument: &str) {
    let is_temporary = schema.starts_with("pg_temp") || schema.starts_with("pg_toast_temp");
    if !schema.starts_with("pg_") && schema != "information_schema" {
        return;
    }
    let why = if is_temporary {
        "what is in it goes with its session"
    } else {
        "it is Postgres' own"
    };
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION,
        format!("{argument} cannot be {schema}: {why}"),
        Some(&format!("Choose another {argument}.")),
    )
}

fn must_be_free(schema: &str, name: &str, instead: &str) {
    let full = qualified(schema, name);
    let taken = statement::row("SELECT to_regclass($1) IS NOT NULL", &[full.as_str().into()], |row| {
        row.must(1)
    });
    if taken == Some(true) {
        let message = format!("an object named {schema}.{name} already exists. specify {instead} explicitly");
        raise(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message, None);
    }
}

/// Two would replace each other's vectors.
fn must_have_one_writer(source: Oid, column: &str) {
    let arguments = [source.into(), column.into()];
    let sql = include_str!("../../sql/query/source/column_writer.sql");
    if let Some(name) = statement::row(sql, &arguments, |row| row.must::<String>(1)) {
        raise(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("the vectorizer {name} already writes into the column {column}"),
            Some("Choose another embedding_column, or drop that vectorizer."),
        );
    }
}

/// The view shows the columns of both tables under their own names.
fn must_not_clash(columns: &[Column]) {
    if let Some((column, _)) = columns.iter().find(|(name, _)| TARGET_COLUMNS.contains(&name.as_str())) {
        raise(
            PgSqlErrorCode::ERRCODE_DUPLICATE_COLUMN,
            format!("the source table has a column named {column}, which the destination needs for itself"),
            Some("Rename the column."),
        );
    }
}

/// The worker holds credentials of the server: an administrator says where they are used, and who may use them.
fn check_servers(loading: &Value, embedding: &Value, source: &Source) {
    let read = |error: serde_json::Error| -> ! { invalid(format!("the configuration cannot be read: {error}")) };
    let embedding = serde_json::from_value(embedding.clone()).unwrap_or_else(|error| read(error));
    let loading = serde_json::from_value(loading.clone()).unwrap_or_else(|error| read(error));
    server::check(&embedding, &loading, source.owner, source.caller_is_superuser);
}

/// Which choices of a configuration are for administrators.
pub(super) fn reaches_out(loading: &Value, embedding: &Value) -> Vec<&'static str> {
    let role = loading["aws_role_arn"].is_string().then_some("aws_role_arn");
    // It was read when it was validated.
    let embedding: Option<Embedding> = serde_json::from_value(embedding.clone()).ok();
    let of_embedding = embedding.as_ref().map(endpoint::choices).unwrap_or_default();
    of_embedding.into_iter().chain(role).collect()
}
