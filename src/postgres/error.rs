//! What goes wrong, in Postgres' terms: one match from the pipeline's classes to SQLSTATEs, and from
//! SQLSTATEs to classes.

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::postgres::transaction::Aborted;
use crate::postgres::{rewritten, swallowed};

/// Raises an ERROR with a code, a message and, where there is something to do about it, a hint.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: Option<&str>) -> ! {
    let mut report = ErrorReport::new(code, message.into(), "ai");
    if let Some(hint) = hint {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Raises the ERROR of a check that pgai makes, too, in its words: with its code as well, which is that of
/// PL/pgSQL's RAISE EXCEPTION. Programs that were written for pgai catch it.
pub fn exception(message: impl Into<String>) -> ! {
    raise(PgSqlErrorCode::ERRCODE_RAISE_EXCEPTION, message, None)
}

/// Raises the ERROR of an argument that makes no sense, where pgai has no such check.
pub fn invalid(message: impl Into<String>) -> ! {
    raise(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, None)
}

/// Raises a failure of the pipeline in the session that asked for the work. `detail` says with what.
pub fn fail(failure: &Failure, detail: String) -> ! {
    let (code, hint) = match failure.class {
        Class::Transient => (PgSqlErrorCode::ERRCODE_CONNECTION_EXCEPTION, None),
        Class::Throttled { retry_after } => (
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            retry_after.map(|wait| format!("Try again in {} s.", wait.as_secs_f64().ceil())),
        ),
        Class::Configuration => (PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, None),
        Class::Permanent => (PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, None),
        Class::Unknown => (PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, None),
    };
    let mut report = ErrorReport::new(code, failure.to_string(), "ai").set_detail(detail);
    if let Some(hint) = failure.hint.clone().or(hint) {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// A failed write or read of the worker as a failure of the item.
///
/// What another session holds or cuts short passes by itself; a missing privilege or relation concerns every item; data
/// that its table refuses is the item's own.
pub fn from_database(aborted: &Aborted, step: Step) -> Failure {
    // The five characters of the code; the class is the first two.
    let code = sqlstate(aborted.code);
    let class = match &code[..2] {
        "08" | "25" | "40" | "53" | "55" | "57" | "58" => Class::Transient,
        "28" | "3D" | "3F" | "42" | "0A" => Class::Configuration,
        "21" | "22" | "23" => Class::Permanent,
        _ if aborted.code == PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED => Class::Permanent,
        _ => Class::Unknown,
    };
    // A value that a constraint or a cast refuses is quoted in Postgres' message, and triggers say what they
    // like: text of the document stays out.
    let quotes = matches!(class, Class::Permanent | Class::Unknown) && step != Step::Indexing;
    // What Postgres says of a row that an index refuses names the index and sizes: nothing of the row.
    let is_too_long = aborted.code == PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED
        && !aborted.raised
        && aborted.message.starts_with("index row ");
    let is_ours = swallowed::is(aborted) || rewritten::is(aborted);
    let reason = if is_too_long || is_ours {
        format!("{} (SQLSTATE {code})", aborted.message)
    } else if quotes || aborted.raised {
        format!("the database refused the row (SQLSTATE {code})")
    } else {
        format!("{} (SQLSTATE {code})", aborted.message)
    };
    let hint = match class {
        _ if is_ours => aborted.hint.clone(),
        Class::Configuration if step == Step::Indexing => {
            Some("The owner of the source table must own the destination, and needs CREATE on its schema.".to_owned())
        }
        Class::Configuration => Some(
            "The owner of the source table needs SELECT on it, and INSERT, UPDATE and DELETE on the destination; \
             all of them must exist."
                .to_owned(),
        ),
        Class::Permanent if is_too_long => Some(
            "An entry of an index may take a third of a page: shorten the primary key, which the destination has in an index \
             with the numbers of the chunks, or drop the index that the message names, if it is another one."
                .to_owned(),
        ),
        Class::Permanent | Class::Unknown if step != Step::Indexing => {
            Some("Look at the constraints, triggers and types of the destination table.".to_owned())
        }
        Class::Permanent | Class::Transient | Class::Throttled { .. } | Class::Unknown => None,
    };
    Failure {
        step,
        class,
        reason,
        hint,
    }
}

/// Whether the lock of another session was in the way: nobody's fault, and soon over. Not where a function only says
/// so (RAISE): it may do that for ever.
pub fn is_lock_conflict(aborted: &Aborted) -> bool {
    aborted.put_off
        || !aborted.raised
            && matches!(
                aborted.code,
                PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
                    | PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED
                    | PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE
            )
}

/// The code as its five characters (Postgres packs six bits for each into an integer).
pub fn sqlstate(code: PgSqlErrorCode) -> String {
    let packed = code as i32;
    (0..5)
        .map(|position| char::from((((packed >> (6 * position)) & 0x3F) as u8) + b'0'))
        .collect()
}
