//! Rows that code of the user (a trigger, a rule) changes whenever a vector is written into them, so that the vector is
//! no longer that of the row. The change is news, and the row is embedded once more. Where that does not end, it is an
//! error: it would be paid for without an end.

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::postgres::aborted::Aborted;
use crate::postgres::statement;

/// As in [`crate::postgres::swallowed`].
const CODE: PgSqlErrorCode = PgSqlErrorCode::ERRCODE_TRIGGERED_ACTION_EXCEPTION;
/// How the message of the error begins, and the reason of the error row.
pub const REASON: &str = "the row changes in what it is embedded from whenever its vector is written";

/// Refuses to write a vector into a row of `table` (quoted, with its schema) that changes on that occasion.
///
/// # Errors
/// Raised with the triggers and rules that may be at fault.
pub fn refuse(table: &str) -> ! {
    let report = ErrorReport::new(CODE, REASON, "ai").set_hint(hint(table));
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// The same, as the failure of a document.
pub fn failure(table: &str) -> Failure {
    Failure {
        step: Step::Writing,
        class: Class::Unknown,
        reason: REASON.to_owned(),
        hint: Some(hint(table)),
    }
}

/// Whether a transaction was ended by [`refuse`].
pub fn is(aborted: &Aborted) -> bool {
    aborted.code == CODE && !aborted.raised && aborted.message == REASON
}

fn hint(table: &str) -> String {
    let sql = include_str!("../../sql/query/trigger/update_triggers.sql");
    let culprits = statement::row(sql, &[table.into()], |row| row.get::<String>(1)).flatten();
    let at_fault = culprits.map_or_else(String::new, |culprits| format!(" The table has: {culprits}."));
    format!(
        "Have triggers leave the row as it is where only the vector changes (UPDATE OF, or WHEN), or take what they change out of the template; then call ai.retry_vectorizer.{at_fault}"
    )
}
