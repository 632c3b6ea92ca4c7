//! The source of a vectorizer: the table, its primary key and its columns.

use pgrx::pg_sys::Oid;
use serde_json::Value;

use super::names::QUEUE_COLUMNS;
use super::privileges::keep_alone;
use crate::postgres::error::exception;
use crate::postgres::json::JsonB;
use crate::postgres::key::PrimaryKey;
use crate::postgres::statement;

/// A column of the source table: name and `pg_type.typname`, of a domain that of the type below.
pub type SourceColumn = (String, String);

/// The source table, as far as it matters here.
pub struct SourceTable {
    pub oid: Oid,
    pub schema: String,
    pub table: String,
    pub owner: Oid,
    pub partitioned: bool,
    /// The primary key may be checked late.
    pub deferrable: bool,
    /// Emptied by a crash, which fires no trigger.
    pub unlogged: bool,
    /// Why it cannot be a source, if it cannot.
    pub unsupported: Option<String>,
    /// Quoted, with its schema.
    pub name: String,
    pub caller_is_owner: bool,
    pub caller_is_superuser: bool,
}

impl SourceTable {
    /// Gives something to the owner of the table.
    fn give(&self, kind: &str, name: &str) {
        let owner = statement::row("SELECT $1::regrole::text", &[self.owner.into()], |row| {
            row.must::<String>(1)
        })
        .expect("a role that owns a table exists");
        statement::run(&format!("ALTER {kind} {name} OWNER TO {owner}"), &[]);
    }

    /// The same, for what nobody has to do with but the owner, and whom that grants it: not those whom the
    /// default privileges of the role name that has made it.
    pub fn give_alone(&self, kind: &str, name: &str) {
        self.give(kind, name);
        keep_alone(kind, name);
    }

    /// Queue and destination share the fate of the source: after a crash all of them are empty, or none.
    pub fn persistence(&self) -> &'static str {
        if self.unlogged { "UNLOGGED " } else { "" }
    }
}

/// The table with this OID; `None` where there is none.
pub fn read_source(oid: Oid) -> Option<SourceTable> {
    statement::row(
        include_str!("../../sql/query/source/source.sql"),
        &[oid.into()],
        |row| SourceTable {
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
pub fn primary_key(source: Oid) -> (Value, PrimaryKey) {
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

pub fn columns(source: Oid) -> Vec<SourceColumn> {
    let sql = include_str!("../../sql/query/source/source_columns.sql");
    statement::rows(sql, &[source.into()], |row| (row.must(1), row.must(2)))
}

/// The columns of the source with the types that columns like them are declared with.
pub fn key_types(source: &SourceTable) -> Vec<(String, String)> {
    let sql = include_str!("../../sql/query/source/key_types.sql");
    statement::rows(sql, &[source.oid.into()], |row| (row.must(1), row.must(2)))
}

/// The type of a column, as SQL writes it; `None` where there is no such column.
pub fn column_type(table: Oid, column: &str) -> Option<String> {
    let sql = include_str!("../../sql/query/source/column_type.sql");
    statement::row(sql, &[table.into(), column.into()], |row| row.must(1))
}
