//! Whether the tables of a vectorizer are what they were made: they belong to the owner of its source, who
//! may alter them.

use std::ffi::CString;

use pgrx::pg_sys::{self, Oid};
use serde_json::Value;

use crate::postgres::statement;

/// Columns of a queue, with their types.
const QUEUE: [(&str, Oid); 11] = [
    ("item", pg_sys::INT8OID),
    ("version", pg_sys::INT8OID),
    ("lease", pg_sys::INT8OID),
    ("attempts", pg_sys::INT4OID),
    ("crashes", pg_sys::INT4OID),
    ("loading_retries", pg_sys::INT4OID),
    ("backfill", pg_sys::BOOLOID),
    ("queued_at", pg_sys::TIMESTAMPTZOID),
    ("loading_retry_after", pg_sys::TIMESTAMPTZOID),
    ("lease_taken_at", pg_sys::TIMESTAMPTZOID),
    ("lease_expires_at", pg_sys::TIMESTAMPTZOID),
];
/// Columns of a failed queue.
const FAILED: [(&str, Oid); 5] = [
    ("failure_step", pg_sys::TEXTOID),
    ("failure_class", pg_sys::TEXTOID),
    ("reason", pg_sys::TEXTOID),
    ("attempts", pg_sys::INT4OID),
    ("created_at", pg_sys::TIMESTAMPTZOID),
];
/// Columns of a table of chunks.
const DESTINATION: [(&str, Oid); 3] = [
    ("embedding_uuid", pg_sys::UUIDOID),
    ("chunk_seq", pg_sys::INT4OID),
    ("chunk", pg_sys::TEXTOID),
];

/// The tables of a vectorizer.
pub struct Shape<'a> {
    pub source: Oid,
    pub source_pk: &'a Value,
    pub queue: Oid,
    pub failed: Oid,
    pub intake: Oid,
    /// The table of chunks, where there is one.
    pub target: Option<Oid>,
}

impl Shape<'_> {
    /// Whether each column is there and of the very type that it was made with. By Postgres' caches: it is
    /// asked of each vectorizer that is read, and a statement takes milliseconds to be planned. One that is
    /// not may do as well.
    pub fn is_as_made(&self) -> bool {
        let tables = [(self.queue, &QUEUE[..]), (self.failed, &FAILED[..])];
        let of_chunks = self.target.map(|target| (target, &DESTINATION[..]));
        let has_all = |(table, columns): (Oid, &[(&str, Oid)])| {
            columns.iter().all(|(name, kind)| type_of(table, name) == Some(*kind))
        };
        tables.into_iter().chain(of_chunks).all(has_all) && self.keys_are_as_made()
    }

    /// The same of the columns of the key, which have the types of the source.
    fn keys_are_as_made(&self) -> bool {
        let Some(key) = self.source_pk.as_array() else {
            return false;
        };
        let tables = [(self.queue, "queued"), (self.failed, "queued"), (self.intake, "queued")];
        let of_chunks = self.target.map(|target| (target, "stored"));
        key.iter().all(|column| {
            let number = column["attnum"].as_i64().and_then(|number| i16::try_from(number).ok());
            let Some(kind) = number.and_then(|number| type_of_number(self.source, number)) else {
                return false;
            };
            tables.into_iter().chain(of_chunks).all(|(table, called)| {
                let name = column[called].as_str().or_else(|| column["attname"].as_str());
                name.is_some_and(|name| type_of(table, name) == Some(kind))
            })
        })
    }
}

/// The type of a column; `None` where it is not there.
fn type_of(table: Oid, column: &str) -> Option<Oid> {
    let name = CString::new(column).ok()?;
    // SAFETY: on the main thread, in a transaction; a look-up in the cache of columns, without those that were dropped.
    let kind = unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        pg_sys::get_atttype(table, number)
    };
    (kind != Oid::INVALID).then_some(kind)
}

/// The type of the column of this number; `None` where it is not there.
fn type_of_number(table: Oid, number: i16) -> Option<Oid> {
    // SAFETY: as above. A column that was dropped has no type.
    let kind = unsafe { pg_sys::get_atttype(table, number) };
    (kind != Oid::INVALID).then_some(kind)
}

/// # Errors
/// What the owner has altered: statements on it would fail, or read something else.
pub fn check(vectorizer: i32) -> Result<(), String> {
    let sql = include_str!("../../sql/query/source/altered_table.sql");
    let altered = statement::row(sql, &[vectorizer.into()], |row| {
        (row.must::<String>(1), row.must::<String>(2), row.get::<String>(3))
    });
    match altered {
        None => Ok(()),
        Some((table, column, None)) => Err(format!("its table {table} has no column {column} any more")),
        Some((table, column, Some(kind))) => Err(format!(
            "its table {table} is not as it was made: the column {column} is of type {kind}"
        )),
    }
}
