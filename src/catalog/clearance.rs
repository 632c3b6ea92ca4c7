//! Whether the function of a vectorizer's triggers may write to the tables of the vectorizer.
//!
//! It is SECURITY DEFINER: it acts as their owner, in the session of the role that writes to the source, and
//! what others have put on the tables would run as that owner. Most tables have nothing on them at all, which
//! Postgres has in its caches; the others are looked at as the worker does.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pgrx::PgTupleDesc;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::of_stranger;
use super::others::{self, CodeOfOthers};
use crate::postgres::error::raise;
use crate::postgres::relation::owner_of;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;

/// When it was asked for whom a vectorizer works, and of which intake.
struct ClearanceAsked {
    at: u64,
    intake: Oid,
    /// A row of the catalogue that is written counts as a change of its source, which the owner may have changed, too.
    source: Option<Oid>,
    /// The owner of the intake, where that is another role.
    stranger: Option<String>,
}

thread_local! {
    /// Vectorizers of which it was asked whether they work for the owner of their tables.
    static ASKED: RefCell<HashMap<i32, ClearanceAsked>> = RefCell::default();
    /// Of which vectorizer was told last, and in the transaction of what time.
    static TOLD: Cell<Option<(i32, pg_sys::TimestampTz)>> = const { Cell::new(None) };
}

/// The owner of the intake, where the vectorizer works for another role.
fn stranger_to(id: i32, intake: Oid) -> Option<String> {
    let known = ASKED.with_borrow(|asked| {
        let asked = asked.get(&id)?;
        let relations = [Some(intake), asked.source];
        let has_changed = |relation: Oid| others::has_changed(relation, asked.at);
        let holds = asked.intake == intake && !relations.into_iter().flatten().any(has_changed);
        holds.then(|| asked.stranger.clone())
    });
    if let Some(stranger) = known {
        return stranger;
    }
    let at = others::now();
    let sql = include_str!("../../sql/query/vectorizer/stranger_to.sql");
    let read = |row: &statement::Row| (row.must::<Oid>("source"), row.get::<String>("stranger"));
    let ask = || statement::row(sql, &[id.into(), intake.into()], read);
    let (source, stranger) = acting_as_extension(|| statement::on_latest(ask)).unzip();
    let stranger = stranger.flatten();
    let answer = ClearanceAsked {
        at,
        intake,
        source,
        stranger: stranger.clone(),
    };
    ASKED.with_borrow_mut(|asked| asked.insert(id, answer));
    stranger
}

/// For the function of a vectorizer's triggers, which acts as the owner in the session of the role that
/// writes to the source: whether it may write to the tables of the vectorizer, which are locked then. False:
/// it leaves the keys in the intake to the worker, as code of others would run otherwise. NULL: nothing can
/// be written, and a warning has said so.
///
/// # Errors
/// Raised where code of others would run by a look into the intake already, or by TRUNCATE, which leaves no keys.
#[pg_extern(sql = false)]
fn may_write(id: i32, event: &str, intake: Oid, queue: Oid, failed: Oid, target: Option<Oid>) -> Option<bool> {
    let is_truncate = event == "TRUNCATE";
    // SAFETY: a look at the role of the session.
    let user = unsafe { pg_sys::GetUserId() };
    let tables = [target, Some(queue), Some(failed), Some(intake)];
    let tables: Vec<Oid> = tables.into_iter().flatten().collect();
    let is_own = |table: &Oid| owner_of(*table).is_none_or(|owner| owner == user);
    let mode = if is_truncate {
        pg_sys::AccessExclusiveLock
    } else {
        pg_sys::RowExclusiveLock
    };
    tables
        .iter()
        .filter(|table| is_own(table))
        .for_each(|table| others::lock(*table, mode));
    if !is_own(&intake) {
        must_be_own(id, intake);
    }
    if let Some(stranger) = stranger_to(id, intake) {
        if is_truncate {
            let (reason, hint) = of_stranger(None, &stranger, None);
            raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the tables of vectorizer {id} cannot be emptied: {reason}"),
                Some(&hint),
            );
        }
        if is_bare(intake) {
            return Some(false);
        }
        tell_of_stranger(id);
        return None;
    }
    let all_own = tables.iter().all(is_own);
    if all_own && tables.iter().all(|table| others::is_untouched(*table)) {
        return Some(true);
    }
    let found = others::found_and_locked(id);
    let refuse = |found: &CodeOfOthers| {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("what has changed cannot be told to vectorizer {id}: {}", found.reason),
            Some(&found.hint),
        )
    };
    match found {
        Some(found) if is_truncate || found.when_inserted => refuse(&found),
        Some(_) => Some(false),
        None if all_own => Some(true),
        None if is_truncate => must_be_own(id, *tables.iter().find(|table| !is_own(table))?),
        None => Some(false),
    }
}

fn must_be_own(id: i32, table: Oid) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!(
            "the table with the OID {} of vectorizer {id} has changed hands",
            table.to_u32()
        ),
        Some("Source, queue and destination of a vectorizer belong to one role: ALTER TABLE ... OWNER TO."),
    )
}

/// Says, once in a transaction, that a change was not written down: what is on the tables, by another role, would have
/// run as their owner.
pub fn tell_of_stranger(id: i32) {
    // SAFETY: a look at the state of this process.
    let now = (id, unsafe { pg_sys::GetCurrentTransactionStartTimestamp() });
    if TOLD.replace(Some(now)) == Some(now) {
        return;
    }
    let message = format!(
        "vectorizer {id} works for another role than the owner of its source now: a change is not written down"
    );
    let hint =
        "Look at its tables, call ai.enable_vectorizer_schedule, and then ai.verify_vectorizer with repair => true.";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Whether a row can be written to an intake without running anything of an owner: it has nothing on it, and columns of
/// Postgres' own types.
fn is_bare(intake: Oid) -> bool {
    // SAFETY: on the main thread, in a transaction that has the table locked; it is closed after the look.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(intake);
        if relation.is_null() {
            return false;
        }
        let (about, columns) = (&*(*relation).rd_rel, (*relation).rd_att);
        let is_plain = about.relkind as u8 == pg_sys::RELKIND_RELATION
            && !(about.relhasindex || about.relhasrules || about.relhastriggers || about.relrowsecurity)
            && ((*columns).constr.is_null()
                || (*(*columns).constr).num_check == 0 && (*(*columns).constr).num_defval == 0);
        let is_of_postgres = |type_: Oid| type_.to_u32() < pg_sys::FirstNormalObjectId;
        let is_bare = is_plain
            && PgTupleDesc::from_pg_unchecked(columns)
                .iter()
                .all(|column| column.attisdropped || is_of_postgres(column.atttypid));
        pg_sys::RelationClose(relation);
        is_bare
    }
}
