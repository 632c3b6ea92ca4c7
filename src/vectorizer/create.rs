//! `ai.create_vectorizer`: checks in pgai's order, then tables, triggers and the row in the catalogue.
//!
//! Everything of a vectorizer belongs to the owner of its source table, as whom the worker reads and writes.

use ai_pipeline::config::Destination;
use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::names::{self, QUEUE_COLUMNS, TARGET_COLUMNS};
use super::validate::{self, Column};
use crate::catalog::{KeyColumn, with_equality};
use crate::error::{invalid, raise};
use crate::statement::{self, fill, identifier, qualified};
use crate::transaction::{acting_as, acting_as_extension};
use crate::worker::shared_memory;
use crate::{settings, worker};

/// The source table, as far as it matters here.
struct Source {
    oid: Oid,
    schema: String,
    table: String,
    owner: Oid,
    /// Why it cannot be a source, if it cannot.
    unsupported: Option<String>,
    /// Quoted, with its schema.
    name: String,
    caller_is_owner: bool,
    caller_is_superuser: bool,
}

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
    let value = |json: Option<JsonB>| json.map(|json| json.0);
    let (embedding, loading, destination) = (value(embedding), value(loading), value(destination));

    let grantees = known_roles(grant_to.unwrap_or_default().into_iter().flatten().collect());
    if embedding.is_none() {
        invalid("embedding configuration is required");
    }
    if loading.is_none() {
        invalid("loading configuration is required");
    }
    let source = source
        .and_then(read_source)
        .unwrap_or_else(|| invalid("source table does not exist"));
    if !source.caller_is_owner {
        let message = "only a superuser or the owner of the source table may create a vectorizer on it";
        raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, None);
    }
    let dimensions = embedding
        .as_ref()
        .and_then(|embedding| embedding.get("dimensions"))
        .and_then(Value::as_i64);
    let Some(dimensions) = dimensions else {
        invalid("dimensions argument is required")
    };
    let (source_pk, key) = primary_key(source.oid);
    if let Some(why) = &source.unsupported {
        let message = format!("{} {why}", source.name);
        raise(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message, None);
    }
    let id: i32 = acting_as_extension(|| {
        statement::row("SELECT nextval('ai.vectorizer_id_seq')::int4", &[], |row| row.must(1))
            .expect("nextval answers with one row")
    });
    let queue_schema = queue_schema.unwrap_or_else(|| "ai".to_owned());
    let queue_table = queue_table.unwrap_or_else(|| format!("_vectorizer_q_{id}"));
    let failed_table = format!("_vectorizer_q_failed_{id}");
    // A migration that runs twice finds its own queue: that is no obstacle where it will find its own vectorizer, too.
    let runs_twice = if_not_exists == Some(true) && {
        let planned = name.clone().or_else(|| {
            let config = destination
                .as_ref()
                .filter(|config| config["implementation"] == "table")?;
            Some(names::derived(&names::destination(
                config,
                &source.schema,
                &source.table,
            )))
        });
        planned.and_then(|name| find(&name)).is_some()
    };
    if !runs_twice {
        must_be_free(&queue_schema, &queue_table, "an alternate queue_table");
        must_be_free(&queue_schema, &failed_table, "an alternate queue_schema");
    }

    let columns = columns(source.oid);
    let loading = validate::loading(&loading, &columns);
    let parsing = validate::parsing(&value(parsing), &loading, &columns);
    let destination = validate::destination(&destination);
    let embedding = validate::embedding(&embedding);
    let chunking = validate::chunking(&value(chunking));
    let indexing = validate::indexing(&value(indexing), settings::indexing_default().as_deref());
    let formatting = validate::formatting(&value(formatting), &columns);
    let scheduling = validate::scheduling(&value(scheduling), settings::scheduling_default().as_deref());
    let processing = validate::processing(&value(processing));
    if scheduling["implementation"] == "none" && indexing["implementation"] != "none" {
        invalid(
            "automatic indexing is not supported without scheduling. set indexing=>ai.indexing_none() when \
             scheduling=>ai.scheduling_none()",
        );
    }
    let destination = names::destination(&destination, &source.schema, &source.table);
    let name = name.unwrap_or_else(|| names::derived(&destination));
    if let Some(id) = find(&name) {
        if if_not_exists == Some(true) {
            notice!("a vectorizer named {name} already exists, skipping");
            return id;
        }
        let message = format!("a vectorizer named {name} already exists.");
        raise(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message, None);
    }
    if !source.caller_is_superuser {
        refuse_what_reaches_out(&loading, &embedding);
    }
    let Destination::Table {
        target_schema,
        target_table,
        view_schema,
        view_name,
    } = &destination;
    must_be_free(view_schema, view_name, "an alternate destination or view_name");
    must_be_free(target_schema, target_table, "an alternate destination or target_table");
    for (column, _) in &columns {
        if TARGET_COLUMNS.contains(&column.as_str()) {
            let message =
                format!("the source table has a column named {column}, which the destination needs for itself");
            raise(
                PgSqlErrorCode::ERRCODE_DUPLICATE_COLUMN,
                message,
                Some("Rename the column."),
            );
        }
    }

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
        "scheduling": scheduling,
        "processing": processing,
        "destination": ai_pipeline::config::section("destination", &destination),
    });
    if let Err(error) = serde_json::from_value::<ai_pipeline::config::Config>(config.clone()) {
        invalid(format!("the configuration cannot be read: {error}"));
    }

    let objects = Objects {
        queue: qualified(&queue_schema, &queue_table),
        failed: qualified(&queue_schema, &failed_table),
        target: qualified(target_schema, target_table),
        view: qualified(view_schema, view_name),
        function: qualified(&queue_schema, &format!("_vectorizer_src_trg_{id}")),
        trigger: format!("_vectorizer_src_trg_{id}"),
        in_extension: queue_schema == "ai",
    };
    objects.create(&source, &key, &columns, dimensions);
    objects.grant(&source, &queue_schema, target_schema, view_schema, &grantees);
    acting_as_extension(|| {
        statement::run(
            include_str!("../../sql/query/insert_vectorizer.sql"),
            &[
                id.into(),
                name.as_str().into(),
                source.oid.into(),
                JsonB(source_pk).into(),
                objects.queue.as_str().into(),
                objects.failed.as_str().into(),
                objects.target.as_str().into(),
                objects.view.as_str().into(),
                objects.function.as_str().into(),
                objects.trigger.as_str().into(),
                JsonB(config).into(),
            ],
        );
    });
    if enqueue_existing != Some(false) {
        acting_as(source.owner, || objects.enqueue_existing(&source, &key));
    }
    shared_memory::catalogue_changed_at_commit();
    if !worker::is_preloaded() {
        ereport!(
            WARNING,
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "ai is not in shared_preload_libraries: nothing is embedded until it is and the server is restarted"
        );
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

fn read_source(oid: Oid) -> Option<Source> {
    statement::row(include_str!("../../sql/query/source.sql"), &[oid.into()], |row| {
        Source {
            oid,
            schema: row.must(1),
            table: row.must(2),
            owner: row.must(3),
            unsupported: row.get(4),
            name: row.must(5),
            caller_is_owner: row.must(6),
            caller_is_superuser: row.must(7),
        }
    })
}

/// The primary key as the catalogue keeps it, and as statements need it.
fn primary_key(source: Oid) -> (Value, Vec<KeyColumn>) {
    let reserved: Vec<&str> = QUEUE_COLUMNS.to_vec();
    let found: Option<JsonB> = statement::row(
        include_str!("../../sql/query/source_pk.sql"),
        &[source.into(), reserved.into()],
        |row| row.get(1),
    )
    .flatten();
    let Some(JsonB(source_pk)) = found else {
        invalid("source table must have a primary key constraint")
    };
    let mut columns: Vec<&Value> = source_pk
        .as_array()
        .map(|columns| columns.iter().collect())
        .unwrap_or_default();
    columns.sort_by_key(|column| column["pknum"].as_i64());
    let key = columns.into_iter().map(|column| {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let queued = if column["queued"].is_string() {
            text("queued")
        } else {
            text("attname")
        };
        KeyColumn {
            stored: text("attname"),
            queued,
            source: text("attname"),
            equals: String::new(),
        }
    });
    let key = with_equality(source, key.collect());
    (source_pk, key)
}

fn columns(source: Oid) -> Vec<Column> {
    let sql = include_str!("../../sql/query/source_columns.sql");
    statement::rows(sql, &[source.into()], |row| (row.must(1), row.must(2)))
}

fn find(name: &str) -> Option<i32> {
    statement::row(
        include_str!("../../sql/query/vectorizer_by_name.sql"),
        &[name.into()],
        |row| row.must(1),
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

/// The worker holds keys of the server: whoever chooses which key goes to which host could have it sent to himself.
fn refuse_what_reaches_out(loading: &Value, embedding: &Value) {
    let own_key = embedding["api_key_name"]
        .as_str()
        .is_some_and(|name| name != "OPENAI_API_KEY");
    let what = if embedding["base_url"].is_string() {
        "base_url"
    } else if own_key {
        "api_key_name"
    } else if loading["aws_role_arn"].is_string() {
        "aws_role_arn"
    } else {
        return;
    };
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to choose {what}"),
        Some("Only a superuser may say where the credentials of the server are used; have one create this vectorizer."),
    );
}

/// What a vectorizer is made of: quoted names with schemas.
struct Objects {
    queue: String,
    failed: String,
    target: String,
    view: String,
    function: String,
    /// Stem of the names of the triggers.
    trigger: String,
    /// Queue, failed queue and function are in the schema of the extension, where only it may create.
    in_extension: bool,
}

impl Objects {
    fn create(&self, source: &Source, key: &[KeyColumn], columns: &[Column], dimensions: i64) {
        let vector = statement::row(include_str!("../../sql/query/vector_type.sql"), &[], |row| {
            row.must::<String>(1)
        });
        let Some(vector) = vector else {
            let hint = "Run CREATE EXTENSION vector.";
            raise(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                "the type vector does not exist",
                Some(hint),
            )
        };
        let types: Vec<(String, String)> = statement::rows(
            include_str!("../../sql/query/key_types.sql"),
            &[source.oid.into()],
            |row| (row.must(1), row.must(2)),
        );
        let definitions = |column: fn(&KeyColumn) -> &str| {
            // In the order of the table, as pgai has them.
            let in_order = types.iter().filter_map(|(name, kind)| {
                let key = key.iter().find(|key| key.source == *name)?;
                Some(format!("{} {kind} NOT NULL", identifier(column(key))))
            });
            in_order.collect::<Vec<_>>().join(",\n    ")
        };
        let list = |prefix: &str, column: fn(&KeyColumn) -> &str| {
            key.iter()
                .map(|key| format!("{prefix}{}", identifier(column(key))))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let same = |left: &str, of_left: fn(&KeyColumn) -> &str, right: &str, of_right: fn(&KeyColumn) -> &str| {
            let each = key.iter().map(|key| {
                format!(
                    "{left}.{} {} {right}.{}",
                    identifier(of_left(key)),
                    key.equals,
                    identifier(of_right(key))
                )
            });
            each.collect::<Vec<_>>().join(" AND ")
        };
        let (queued, stored): (fn(&KeyColumn) -> &str, fn(&KeyColumn) -> &str) = (|key| &key.queued, |key| &key.stored);
        let in_source: fn(&KeyColumn) -> &str = |key| &key.source;
        let view_columns = columns.iter().map(|(name, _)| {
            let table = if key.iter().any(|key| key.source == *name) {
                "t"
            } else {
                "s"
            };
            format!("{table}.{}", identifier(name))
        });
        let values = [
            ("source", source.name.as_str()),
            ("queue", &self.queue),
            ("failed", &self.failed),
            ("target", &self.target),
            ("view", &self.view),
            ("function", &self.function),
            ("vector", &format!("{vector}.vector")),
            ("dimensions", &dimensions.to_string()),
            ("columns", &view_columns.collect::<Vec<_>>().join(", ")),
            ("pk", &list("", queued)),
            ("new_pk", &list("n.", in_source)),
            ("source_is_target", &same("s", in_source, "t", stored)),
            ("target_is_old", &same("t", stored, "o", in_source)),
            ("queue_is_old", &same("q", queued, "o", in_source)),
            ("new_is_old", &same("n", in_source, "o", in_source)),
            ("changed", include_str!("../../sql/query/changed.sql").trim_end()),
        ];
        let with = |own: &[(&'static str, String)], template: &str| {
            let own = own.iter().map(|(name, value)| (*name, value.as_str()));
            statement::run(&fill(template, &own.chain(values).collect::<Vec<_>>()), &[]);
        };
        let owner = statement::row("SELECT $1::regrole::text", &[source.owner.into()], |row| {
            row.must::<String>(1)
        })
        .expect("a role that owns a table exists");
        let give = |kind: &str, name: &str| {
            statement::run(&format!("ALTER {kind} {name} OWNER TO {owner}"), &[]);
        };

        let pk = |column| [("pk", list("", column)), ("pk_definitions", definitions(column))];
        let of_the_queue = || {
            with(&pk(queued), include_str!("../../sql/query/create_queue.sql"));
            with(&[], include_str!("../../sql/query/create_queue_index.sql"));
            with(&pk(queued), include_str!("../../sql/query/create_failed.sql"));
            let body = statement::literal(&fill(include_str!("../../sql/query/trigger_body.sql"), &values));
            with(
                &[("body", body)],
                include_str!("../../sql/query/create_trigger_function.sql"),
            );
            statement::run(
                &format!("REVOKE EXECUTE ON FUNCTION {}() FROM PUBLIC", self.function),
                &[],
            );
            give("TABLE", &self.queue);
            give("TABLE", &self.failed);
            give("FUNCTION", &format!("{}()", self.function));
        };
        with(&pk(stored), include_str!("../../sql/query/create_target.sql"));
        statement::run(
            &format!("ALTER TABLE {} ALTER COLUMN embedding SET STORAGE MAIN", self.target),
            &[],
        );
        with(&[], include_str!("../../sql/query/create_view.sql"));
        give("TABLE", &self.target);
        give("VIEW", &self.view);
        if self.in_extension {
            acting_as_extension(of_the_queue)
        } else {
            of_the_queue()
        }
        self.create_triggers(source);
    }

    /// A trigger each, because one with transition tables serves a single event.
    fn create_triggers(&self, source: &Source) {
        let triggers = [
            ("_insert", "INSERT", "REFERENCING NEW TABLE AS new_rows"),
            ("", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
            ("_delete", "DELETE", "REFERENCING OLD TABLE AS old_rows"),
            ("_truncate", "TRUNCATE", ""),
        ];
        for (suffix, event, tables) in triggers {
            let name = identifier(&format!("{}{suffix}", self.trigger));
            let sql = format!(
                "CREATE TRIGGER {name} AFTER {event} ON {} {tables} FOR EACH STATEMENT EXECUTE FUNCTION {}()",
                source.name, self.function
            );
            statement::run(&sql, &[]);
        }
    }

    fn enqueue_existing(&self, source: &Source, key: &[KeyColumn]) {
        let list = |prefix: &str, column: fn(&KeyColumn) -> &str| {
            key.iter()
                .map(|key| format!("{prefix}{}", identifier(column(key))))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let values = [
            ("source", source.name.as_str()),
            ("queue", &self.queue),
            ("pk", &list("", |key| &key.queued)),
            ("source_pk", &list("s.", |key| &key.source)),
        ];
        statement::run(
            &fill(include_str!("../../sql/query/enqueue_existing.sql"), &values),
            &[],
        );
    }

    /// pgai's grants: read the source, look after destination and queue.
    fn grant(&self, source: &Source, queue_schema: &str, target_schema: &str, view_schema: &str, to: &[String]) {
        if to.is_empty() {
            return;
        }
        let roles: Vec<String> = to
            .iter()
            .map(|role| {
                if role == "public" {
                    "PUBLIC".to_owned()
                } else {
                    identifier(role)
                }
            })
            .collect();
        let roles = roles.join(", ");
        let grant = |privileges: &str, on: &str| {
            statement::run(&format!("GRANT {privileges} ON {on} TO {roles}"), &[]);
        };
        for schema in [&source.schema, target_schema, view_schema] {
            grant("USAGE", &format!("SCHEMA {}", identifier(schema)));
        }
        grant("SELECT", &source.name);
        grant("SELECT, INSERT, UPDATE", &self.target);
        grant("SELECT", &self.view);
        if queue_schema != "ai" {
            grant("USAGE", &format!("SCHEMA {}", identifier(queue_schema)));
        }
        grant("SELECT, INSERT, UPDATE, DELETE", &self.queue);
        grant("SELECT, INSERT, UPDATE, DELETE", &self.failed);
    }
}
