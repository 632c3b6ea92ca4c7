//! How a vectorizer is called: a name that was given, or one that is derived from its tables.

use std::time::Duration;

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::names;
use crate::postgres::error::{is_lock_conflict, raise};
use crate::postgres::statement;
use crate::postgres::transaction::{self, acting_as_extension};

/// How a vectorizer is to be called.
pub enum Named {
    Given(String),
    /// From its tables: another name will do where this one is taken.
    Derived(String),
}

impl Named {
    /// The vectorizer of this name on this source. One on another table is not what a migration has made: it
    /// would be taken for that, and nothing be embedded.
    pub fn own(&self, source: Oid) -> Option<(i32, String)> {
        let (name, is_derived) = match self {
            Named::Given(name) => (name, false),
            Named::Derived(name) => (name, true),
        };
        let sql = include_str!("../../sql/query/vectorizer/own_vectorizer.sql");
        let arguments = [source.into(), name.as_str().into(), is_derived.into()];
        acting_as_extension(|| statement::row(sql, &arguments, |row| (row.must(1), row.must(2))))
    }

    /// The name that was derived, where none was given.
    pub fn derived(&self) -> Option<String> {
        match self {
            Named::Given(_) => None,
            Named::Derived(name) => Some(name.clone()),
        }
    }

    /// A name that is not taken by a vectorizer of another table. Of that, nothing is told: the caller may not see it.
    pub fn free(self) -> String {
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

/// Raises the ERROR of a name that another vectorizer has.
pub fn already_exists(name: &str, hint: Option<&str>) -> ! {
    let message = format!("a vectorizer named {name} already exists.");
    raise(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message, hint)
}

/// Among all vectorizers, also those that the role does not see.
fn is_taken(name: &str) -> bool {
    let sql = include_str!("../../sql/query/vectorizer/vectorizer_by_name.sql");
    acting_as_extension(|| statement::row(sql, &[name.into()], |row| row.must::<i32>(1))).is_some()
}

/// How long a name is waited for that a transaction has taken which is still open: it may be anybody's.
const DERIVED: Duration = Duration::from_millis(100);
const GIVEN: Duration = Duration::from_secs(2);

/// Writes a vectorizer down under its name; where that is taken meanwhile, under another, if it was `derived`.
pub fn insert_named(name: String, derived: Option<String>, insert: impl Fn(&str)) {
    let mut name = name;
    let wait = if derived.is_some() { DERIVED } else { GIVEN };
    // Each try has another number of ten digits: ten that are taken are no chance.
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
