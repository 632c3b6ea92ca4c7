//! What ended a transaction as the failure of a document: one match from SQLSTATEs to the
//! pipeline's classes.

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::prelude::*;

use crate::postgres::aborted::Aborted;
use crate::postgres::error::sqlstate;
use crate::postgres::{rewritten, swallowed};

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
