//! The number of a vectorizer that is made, and the names of the tables that have it in them.

use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::postgres::statement::{self, qualified};
use crate::postgres::transaction::acting_as_extension;

/// The next number that no vectorizer has. They begin anew after two billions, which is what it takes to use
/// them up: a call that is rolled back keeps its own.
fn next_id() -> i32 {
    let sql = include_str!("../../sql/query/vectorizer/next_id.sql");
    // So many in a row are not taken by chance.
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

/// The next number of which no name is taken that the extension chooses itself: in a schema of users they are for
/// everybody to take. Where many are, the last is for the caller to be told of.
pub fn free_id(schema: &str, chosen: Option<&str>) -> i32 {
    // A schema of users in which so many names in a row are taken was filled on purpose.
    const TRIES: usize = 1000;
    let mut id = acting_as_extension(next_id);
    for _ in 0..TRIES {
        // A queue of a chosen name has been looked for.
        let queue = chosen.is_none().then(|| usual_queue(id));
        let tables = [queue, Some(failed_queue(id)), Some(intake_name(id))];
        let tables: Vec<String> = tables.iter().flatten().map(|name| qualified(schema, name)).collect();
        let function = format!("{}()", qualified(schema, &trigger_function(id)));
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

/// How the queue of a vectorizer is called that was given no name.
pub fn usual_queue(id: i32) -> String {
    format!("_vectorizer_q_{id}")
}

/// How the table of the documents that were given up is called.
pub fn failed_queue(id: i32) -> String {
    format!("_vectorizer_q_failed_{id}")
}

/// How the function of the triggers is called, which is also the stem of the names of the triggers.
pub fn trigger_function(id: i32) -> String {
    format!("_vectorizer_src_trg_{id}")
}

/// How the intake of a vectorizer is called.
pub fn intake_name(id: i32) -> String {
    format!("_vectorizer_intake_{id}")
}
