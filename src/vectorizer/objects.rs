//! What a vectorizer is made of: queue, failed queue, destination, view, trigger function and triggers.

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::validate::Column;
use crate::error::raise;
use crate::key::{In, PrimaryKey};
use crate::statement::{self, fill, identifier};
use crate::transaction::acting_as_extension;

/// The source table, as far as it matters here.
pub struct Source {
    pub oid: Oid,
    pub schema: String,
    pub table: String,
    pub owner: Oid,
    /// Why it cannot be a source, if it cannot.
    pub unsupported: Option<String>,
    /// Quoted, with its schema.
    pub name: String,
    pub caller_is_owner: bool,
    pub caller_is_superuser: bool,
}

/// What a vectorizer is made of: quoted names with schemas.
pub struct Objects {
    pub queue: String,
    pub failed: String,
    pub target: String,
    pub view: String,
    pub function: String,
    /// Stem of the names of the triggers.
    pub trigger: String,
    /// Queue, failed queue and function are in the schema of the extension, where only it may create.
    pub in_extension: bool,
}

impl Objects {
    /// Makes tables, view, function and triggers, and gives them to the owner of the source.
    pub fn create(&self, source: &Source, key: &PrimaryKey, columns: &[Column], dimensions: i64) {
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
        let sql = include_str!("../../sql/query/key_types.sql");
        let types: Vec<(String, String)> = statement::rows(sql, &[source.oid.into()], |row| (row.must(1), row.must(2)));
        let view_columns = columns.iter().map(|(name, _)| {
            let table = if key.has(name) { "t" } else { "s" };
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
            ("pk", &key.list("", In::Queue)),
            ("target_pk", &key.list("", In::Target)),
            ("pk_definitions", &key.definitions(In::Queue, &types)),
            ("target_pk_definitions", &key.definitions(In::Target, &types)),
            ("new_pk", &key.list("n.", In::Source)),
            ("source_is_target", &key.same(("s", In::Source), ("t", In::Target))),
            ("target_is_old", &key.same(("t", In::Target), ("o", In::Source))),
            ("queue_is_old", &key.same(("q", In::Queue), ("o", In::Source))),
            ("new_is_old", &key.same(("n", In::Source), ("o", In::Source))),
            ("changed", include_str!("../../sql/query/changed.sql").trim_end()),
        ];
        let make = |template: &str| {
            statement::run(&fill(template, &values), &[]);
        };
        let owner = statement::row("SELECT $1::regrole::text", &[source.owner.into()], |row| {
            row.must::<String>(1)
        })
        .expect("a role that owns a table exists");
        let give = |kind: &str, name: &str| {
            statement::run(&format!("ALTER {kind} {name} OWNER TO {owner}"), &[]);
        };

        let of_the_queue = || {
            make(include_str!("../../sql/query/create_queue.sql"));
            make(include_str!("../../sql/query/create_queue_index.sql"));
            make(include_str!("../../sql/query/create_failed.sql"));
            let body = statement::literal(&fill(include_str!("../../sql/query/trigger_body.sql"), &values));
            let names = [("function", self.function.as_str()), ("body", &body)];
            let sql = fill(include_str!("../../sql/query/create_trigger_function.sql"), &names);
            statement::run(&sql, &[]);
            statement::run(
                &format!("REVOKE EXECUTE ON FUNCTION {}() FROM PUBLIC", self.function),
                &[],
            );
            give("TABLE", &self.queue);
            give("TABLE", &self.failed);
            give("FUNCTION", &format!("{}()", self.function));
        };
        make(include_str!("../../sql/query/create_target.sql"));
        statement::run(
            &format!("ALTER TABLE {} ALTER COLUMN embedding SET STORAGE MAIN", self.target),
            &[],
        );
        make(include_str!("../../sql/query/create_view.sql"));
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

    /// Puts the rows that are there into the queue, behind all that change from now on.
    pub fn enqueue_existing(&self, source: &Source, key: &PrimaryKey) {
        let values = [
            ("source", source.name.as_str()),
            ("queue", &self.queue),
            ("pk", &key.list("", In::Queue)),
            ("source_pk", &key.list("s.", In::Source)),
        ];
        statement::run(
            &fill(include_str!("../../sql/query/enqueue_existing.sql"), &values),
            &[],
        );
    }

    /// pgai's grants: read the source, look after destination and queue.
    pub fn grant(&self, source: &Source, queue_schema: &str, target_schema: &str, view_schema: &str, to: &[String]) {
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
