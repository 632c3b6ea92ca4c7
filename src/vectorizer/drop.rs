//! `ai.drop_vectorizer`.

use ai_pipeline::config::Destination;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::refresh;
use super::source::column_type;
use super::standing::missing;
use crate::catalog;
use crate::postgres::error::raise;
use crate::postgres::statement::{self, identifier};
use crate::postgres::transaction::acting_as_extension;
use crate::shared_memory;

#[pg_extern(sql = false)]
fn drop_vectorizer_by_name(name: String, drop_all: bool) {
    let sql = "SELECT id FROM ai._seen_vectorizer WHERE name = $1::name";
    match statement::row(sql, &[name.as_str().into()], |row| row.must(1)) {
        Some(id) => drop_vectorizer(id, drop_all),
        None => missing(&format!("\"{name}\"")),
    }
}

/// What there is to drop; `None` for what is gone already. Quoted names with schemas.
struct DropTargets {
    source: Option<String>,
    source_oid: Option<Oid>,
    tables: Vec<Option<String>>,
    target: Option<String>,
    view: Option<String>,
    /// Of the source, where the vectors are in it.
    column: Option<String>,
    function: Option<String>,
    triggers: Vec<String>,
    allowed: bool,
    name: String,
    /// What was a table of the vectorizer, and is something else by now.
    odd: Vec<String>,
}

impl DropTargets {
    fn of(vectorizer_id: i32) -> DropTargets {
        let sql = include_str!("../../sql/query/vectorizer/dropped_vectorizer.sql");
        let remains = statement::row(sql, &[vectorizer_id.into()], |row| DropTargets {
            source: row.get("source_name"),
            source_oid: row.get("source"),
            tables: vec![row.get("queue_name"), row.get("failed_name"), row.get("intake_name")],
            target: row.get("target_name"),
            view: row.get("view_name"),
            function: row.get("function"),
            triggers: row.must("triggers"),
            allowed: row.must("may_drop"),
            name: row.must("name"),
            column: column(row.get("source"), row.get("destination")),
            odd: row.must("odd"),
        });
        remains.unwrap_or_else(|| missing(&vectorizer_id.to_string()))
    }

    /// What the vectorizer works with.
    fn drop_own(&self) {
        // Parts of a table may be another's.
        acting_as_extension(|| {
            for trigger in &self.triggers {
                statement::run(&format!("DROP TRIGGER {trigger}"), &[]);
            }
        });
        if let Some(function) = &self.function {
            statement::run(&format!("DROP FUNCTION {function}"), &[]);
        }
        for table in self.tables.iter().flatten() {
            statement::run(&format!("DROP TABLE {table}"), &[]);
        }
        for relation in &self.odd {
            notice!("{relation} is not a table of the vectorizer, or none any more: it stays");
        }
    }

    /// An index that was not built to its end. One that was stays, as the vectors do.
    fn drop_index(&self, vectorizer_id: i32, is_being_built: bool) {
        let Some(destination) = self.target.as_ref().or(self.source.as_ref()) else {
            return;
        };
        if is_being_built {
            // Held until the build is undone as far as it will be.
            let lock = format!("LOCK TABLE {destination} IN SHARE UPDATE EXCLUSIVE MODE");
            statement::run(&lock, &[]);
        }
        let sql = include_str!("../../sql/query/index/unfinished_index.sql");
        let arguments = [destination.as_str().into(), catalog::index_name(vectorizer_id).into()];
        if let Some(name) = statement::row(sql, &arguments, |row| row.must::<String>(1)) {
            statement::run(&format!("DROP INDEX {name}"), &[]);
        }
    }

    fn drop_destination(&self) {
        if let Some(view) = &self.view {
            statement::run(&format!("DROP VIEW {view}"), &[]);
        }
        if let Some(target) = &self.target {
            statement::run(&format!("DROP TABLE {target}"), &[]);
        }
        if let (Some(source), Some(column)) = (&self.source, &self.column) {
            statement::run(&format!("ALTER TABLE {source} DROP COLUMN {}", identifier(column)), &[]);
        }
    }
}

/// The column of the source that the vectors are in, where it is there: none of a table of
/// Postgres, which a row that was changed by hand may name.
fn column(source: Option<Oid>, destination: Option<String>) -> Option<String> {
    let Ok(Destination::Column { embedding_column }) = serde_json::from_str(&destination?) else {
        return None;
    };
    let source = source.filter(|source| source.to_u32() >= pg_sys::FirstNormalObjectId)?;
    column_type(source, &embedding_column).map(|_| embedding_column)
}

#[pg_extern(sql = false)]
pub(super) fn drop_vectorizer(vectorizer_id: i32, drop_all: bool) {
    let remains = DropTargets::of(vectorizer_id);
    if !remains.allowed {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of the source table of vectorizer {}", remains.name),
            None,
        );
    }
    // First the row: the event trigger looks for vectorizers that lose a table.
    acting_as_extension(|| {
        statement::run("DELETE FROM ai._vectorizer WHERE id = $1", &[vectorizer_id.into()]);
    });
    // A build locks the destination, and may wait for us.
    let is_being_built = shared_memory::stop_indexer(Some(vectorizer_id));
    remains.drop_own();
    remains.drop_index(vectorizer_id, is_being_built);
    if drop_all {
        remains.drop_destination();
    }
    if let (Some(_), Some(source)) = (&remains.column, remains.source_oid) {
        // The other vectorizers of this table learn that its vectors are now like any other value.
        refresh::refresh(source);
    }
    shared_memory::vectorizer_changed_at_commit(vectorizer_id);
}
