//! Who may have a vectorizer work, and whether it may: its owner, unless what it would do is not
//! that one's own choice.

use pgrx::prelude::*;

use crate::catalog;
use crate::postgres::error::raise;
use crate::postgres::statement;

/// Who owns the source of a vectorizer, where that is another role than the one that it works for.
pub fn stranger(vectorizer_id: i32) -> Option<String> {
    let sql = include_str!("../../sql/query/vectorizer/stranger.sql");
    statement::row(sql, &[vectorizer_id.into()], |row| row.get(1)).flatten()
}

/// Raises where the source of a vectorizer got another owner unseen, or code of others would run as its owner: nothing
/// is done as that one.
pub fn must_be_served(vectorizer_id: i32) {
    if let Some(stranger) = stranger(vectorizer_id) {
        raise_stranger(Some(vectorizer_id), &vectorizer_id.to_string(), &stranger);
    }
    if let Some(found) = catalog::code_of_others(vectorizer_id) {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("vectorizer {vectorizer_id} cannot work: {}", found.reason),
            Some(&found.hint),
        );
    }
}

/// Raises the ERROR of a vectorizer whose source got another owner unseen.
pub fn raise_stranger(id: Option<i32>, called: &str, stranger: &str) -> ! {
    let (reason, hint) = catalog::of_stranger(id, stranger, None);
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("vectorizer {called} cannot work: {reason}"),
        Some(&hint),
    )
}

/// An adopted vectorizer may choose what is for superusers to choose: where which key of the server is sent.
/// One of them has to have looked at it, and starts it.
///
/// # Errors
/// Raised where none has.
pub fn must_not_be_held(vectorizer_id: i32) {
    // SAFETY: a look at the role of the session.
    if unsafe { pgrx::pg_sys::superuser() } {
        return;
    }
    let sql = "SELECT v.config ->> 'held' FROM ai._seen_vectorizer v WHERE v.id = $1";
    if let Some(what) = statement::row(sql, &[vectorizer_id.into()], |row| row.get::<String>(1)).flatten() {
        raise_held(&what);
    }
}

/// Raises the ERROR of a vectorizer that no superuser has looked at.
pub fn raise_held(what: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to start a vectorizer that was adopted with {what}"),
        Some("A superuser starts it with ai.enable_vectorizer_schedule."),
    )
}

/// Raises when the caller is not the owner of a vectorizer.
pub fn must_own(vectorizer_id: i32) {
    let owns = include_str!("../../sql/query/vectorizer/owns_vectorizer.sql");
    match statement::row(owns, &[vectorizer_id.into()], |row| row.must::<bool>(1)) {
        Some(true) => (),
        Some(false) => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of the source table of vectorizer {vectorizer_id}"),
            None,
        ),
        None => missing(&vectorizer_id.to_string()),
    }
}

/// Raises the ERROR of a vectorizer that is not there. `which` is its number, or its name in quotes.
pub fn missing(which: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        format!("vectorizer {which} does not exist"),
        None,
    )
}
