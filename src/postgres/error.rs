//! What goes wrong, in Postgres' terms: one match from the pipeline's classes to SQLSTATEs. The way
//! back is in `postgres/failure.rs`.

use ai_pipeline::error::{Class, Failure};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::postgres::aborted::Aborted;

/// Raises an ERROR with a code, a message and, where there is something to do about it, a hint.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: Option<&str>) -> ! {
    end(ErrorReport::new(code, message.into(), "ai"), hint)
}

/// The same with a DETAIL: the values, where the message says what happened. Objects have their
/// names in the message, as Postgres does it.
pub fn raise_detailed(
    code: PgSqlErrorCode,
    message: impl Into<String>,
    detail: impl Into<String>,
    hint: Option<&str>,
) -> ! {
    end(
        ErrorReport::new(code, message.into(), "ai").set_detail(detail.into()),
        hint,
    )
}

fn end(report: ErrorReport, hint: Option<&str>) -> ! {
    let report = match hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    };
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
    let hint = failure.hint.clone().or(hint);
    raise_detailed(code, failure.to_string(), detail, hint.as_deref())
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
