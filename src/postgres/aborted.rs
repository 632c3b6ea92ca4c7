//! What has ended a transaction, as values.

use pgrx::prelude::*;

/// A Postgres ERROR (or a panic) that ended a transaction, as values that outlive it.
#[derive(Clone, Debug)]
pub struct Aborted {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub hint: Option<String>,
    /// The message is of a user's PL/pgSQL (RAISE): its code says nothing of what is in it.
    pub raised: bool,
    /// Nothing is wrong with what was to be done: its owner has taken too much of the process, and comes later.
    pub put_off: bool,
}

impl Aborted {
    /// Nothing was begun.
    pub fn put_off() -> Aborted {
        Aborted {
            code: PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
            message: "its owner has taken too much of the worker's time".to_owned(),
            hint: None,
            raised: false,
            put_off: true,
        }
    }
}
