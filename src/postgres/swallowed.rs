//! Writes that come to nothing: a trigger of the owner that returns NULL or OLD, or an INSTEAD rule, keeps a row from
//! being written, and Postgres reports no error. So what was to be written is counted, and what is missing is an
//! error.

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::postgres::aborted::Aborted;
use crate::postgres::statement;

/// What Postgres calls an error that has to do with a trigger, and raises nowhere by itself.
const CODE: PgSqlErrorCode = PgSqlErrorCode::ERRCODE_TRIGGERED_ACTION_EXCEPTION;
/// How the message begins.
const MESSAGE: &str = "nothing was written to ";
/// Primary keys of one statement that are named.
pub const NAMED: i64 = 100;

/// Refuses to go on where fewer rows were written to `table` (quoted, with its schema) than were sent.
///
/// # Errors
/// Raised with the triggers and rules that may be at fault.
pub fn must_be_written(table: &str, (written, sent): (usize, usize)) {
    if written >= sent {
        return;
    }
    let report = ErrorReport::new(CODE, reason(table, sent - written, sent), "ai").set_hint(hint(table));
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// What a table has swallowed, as the failure of documents whose step is `step`. Runs as the owner.
pub fn failure(table: &str, step: Step) -> Failure {
    Failure {
        step,
        class: Class::Unknown,
        reason: reason(table, 1, 1),
        hint: Some(hint(table)),
    }
}

/// Whether a transaction was ended by [`must_be_written`].
pub fn is(aborted: &Aborted) -> bool {
    aborted.code == CODE && !aborted.raised && aborted.message.starts_with(MESSAGE)
}

fn reason(table: &str, missing: usize, sent: usize) -> String {
    let of = if sent > 1 {
        format!(" for {missing} of {sent} rows")
    } else {
        String::new()
    };
    format!("{MESSAGE}{table}{of}, and no error was reported")
}

fn hint(table: &str) -> String {
    let sql = include_str!("../../sql/query/trigger/culprits.sql");
    let culprits = statement::row(sql, &[table.into()], |row| row.get::<String>(1)).flatten();
    let at_fault = culprits.map_or_else(String::new, |culprits| format!(" The table has: {culprits}."));
    format!(
        "A trigger that returns NULL (or OLD) or an INSTEAD rule swallows rows: have it raise an error, or drop it.{at_fault}"
    )
}
