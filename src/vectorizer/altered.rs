//! What must not become of a source while a vectorizer is on it. Asked after a statement has altered it; only
//! what that statement's transaction has done is refused, so that a source that has got there unseen can
//! still be altered, and mended.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::source::read_source;
use crate::catalog;
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;

/// Whether a row was written by the transaction that is running.
fn is_of_now(transaction: i64) -> bool {
    let transaction = u32::try_from(transaction).unwrap_or_default();
    // SAFETY: a look at the state of this process.
    unsafe { pg_sys::TransactionIdIsCurrentTransactionId(transaction.into()) }
}

/// Queue, intake and destination have the type that the key had when they were made. Rows with a key of
/// another would fail in the transactions of writers, one day. It is not altered along: what the keys were
/// turned into (USING) is not known, so the chunks that are there could not be told whose they are.
///
/// # Errors
/// Raised where the type of a column of the key, or its collation, has changed.
pub fn must_keep_key(id: i32, source: Oid, source_name: &str, source_pk: &serde_json::Value, queue: &str) {
    let sql = include_str!("../../sql/query/source/key_type_changed.sql");
    let arguments = [source.into(), JsonB(source_pk.clone()).into(), queue.into()];
    let changed = statement::rows(sql, &arguments, |row| (row.must::<String>(1), row.must::<i64>(2)));
    if let Some((column, _)) = changed.into_iter().find(|(_, transaction)| is_of_now(*transaction)) {
        let name = "SELECT v.name::text FROM ai._vectorizer v WHERE v.id = $1";
        let name = statement::row(name, &[id.into()], |row| row.must::<String>(1)).unwrap_or_default();
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!(
                "column {column} of {source_name} is in the primary key of vectorizer {name}: its type cannot change"
            ),
            Some("Drop the vectorizer with ai.drop_vectorizer, alter the table, and make the vectorizer again."),
        );
    }
}

/// A source is no member of a tree of tables, but the root of its own partitions: statements on the others do
/// not fire its triggers.
///
/// # Errors
/// Raised where it has become one.
pub fn must_stay_alone(source: Oid) {
    let sql = include_str!("../../sql/query/source/joined.sql");
    let joined = statement::rows(sql, &[source.into()], |row| row.must::<i64>(1));
    if !joined.into_iter().any(is_of_now) {
        return;
    }
    if let Some((name, why)) = read_source(source).and_then(|source| Some((source.name, source.unsupported?))) {
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("{name} {why}"),
            Some("It has a vectorizer. Drop that with ai.drop_vectorizer first."),
        );
    }
}

/// Says so where triggers of a vectorizer fire again that did not: nobody has noted what was written meanwhile.
pub fn tell_of_enabled_triggers(id: i32) {
    let sql = include_str!("../../sql/query/trigger/enabled_triggers.sql");
    let written = statement::rows(sql, &[id.into()], |row| (row.must(1), row.must(2)));
    if !written
        .into_iter()
        .any(|(last, first)| is_of_now(last) && !is_of_now(first))
    {
        return;
    }
    let name = "SELECT v.name::text FROM ai._vectorizer v WHERE v.id = $1";
    let name = statement::row(name, &[id.into()], |row| row.must::<String>(1)).unwrap_or_default();
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        format!(
            "triggers of vectorizer {name} were enabled: what was written while they were disabled is not embedded"
        ),
        "ai",
    )
    .set_hint(format!(
        "SELECT * FROM ai.verify_vectorizer('{name}', repair => true) has it embedded."
    ))
    .report(PgLogLevel::NOTICE);
}

thread_local! {
    /// The tables that the statement that is running writes anew. Of one that has failed they may still be
    /// here when the next one runs, which has altered none of their columns.
    static REWRITTEN: RefCell<HashSet<u32>> = RefCell::default();
}

/// For the event trigger: all rows of this table are about to be written anew. They cannot be read meanwhile.
#[pg_extern(sql = false)]
fn note_rewrite(rewritten: Oid) {
    REWRITTEN.with_borrow_mut(|tables| tables.insert(rewritten.to_u32()));
}

/// The tables that the statement that has just ended has written anew.
pub fn take_rewritten() -> Vec<Oid> {
    REWRITTEN.take().into_iter().map(Oid::from).collect()
}

/// Whether the rows of a vectorizer's source may have other texts since the statement that has written these
/// tables anew.
pub fn has_other_texts(id: i32, rewritten: &[Oid]) -> bool {
    if rewritten.is_empty() {
        return false;
    }
    let sql = include_str!("../../sql/query/source/has_other_texts.sql");
    let altered = acting_as_extension(|| {
        let arguments = [
            id.into(),
            rewritten.to_vec().into(),
            catalog::embedding_column(id).into(),
        ];
        statement::rows(sql, &arguments, |row| row.must::<i64>(1))
    });
    altered.into_iter().any(is_of_now)
}
