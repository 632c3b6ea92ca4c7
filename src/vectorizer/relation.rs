//! Relations that are locked by OID before a name is used: it may lead elsewhere by then.

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::postgres::statement;

/// Waits for a relation, and has nobody alter it until the transaction ends. By its OID: a name may lead
/// elsewhere by then.
pub fn lock(relation: Oid) {
    lock_for(relation, pg_sys::AccessExclusiveLock);
}

fn lock_for(relation: Oid, mode: u32) {
    // SAFETY: on the main thread, in a transaction, which gives the lock back. A relation that is gone can be
    // locked, too.
    unsafe { pg_sys::LockRelationOid(relation, mode as pg_sys::LOCKMODE) };
}

/// Runs statements that alter a relation, with the name that it has once nobody else can alter it. A
/// statement waits with the name that it was given, and with more rights than who it is run for: the role that owns
/// the schemas could have it wait for another's table.
///
/// # Errors
/// Raised where the name leads elsewhere when it is done, which undoes it.
pub fn altering<T>(relation: Oid, work: impl FnOnce(&str) -> T) -> T {
    lock_for(relation, pg_sys::ShareRowExclusiveLock);
    let named = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = $1";
    let name = statement::on_latest(|| statement::row(named, &[relation.into()], |row| row.must::<String>(1)));
    let Some(name) = name else {
        was_replaced(&format!("the table with the OID {}", relation.to_u32()))
    };
    let done = work(&name);
    let found = statement::row("SELECT to_regclass($1)::oid", &[name.as_str().into()], |row| {
        row.get::<Oid>(1)
    });
    if found.flatten() != Some(relation) {
        was_replaced(&name);
    }
    done
}

/// Has nobody else write to a relation until the transaction ends.
pub fn lock_out_writers(relation: Oid) {
    lock_for(relation, pg_sys::ShareRowExclusiveLock);
}

/// Raises the ERROR of a name that does not lead to what it was the name of.
pub fn was_replaced(what: &str) -> ! {
    let message = format!("{what} was replaced at the same time");
    raise(
        PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        message,
        Some("Try it again."),
    )
}
