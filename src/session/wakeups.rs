//! What the triggers of a vectorizer tell the worker of its database.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::postgres::statement;
use crate::shared_memory;
use crate::store::destination;

/// Wakes the worker of this database when the transaction commits, for all queues.
#[pg_extern(sql = false)]
fn wake_worker() {
    shared_memory::wake_at_commit();
}

thread_local! {
    /// Vectorizers that were found in the catalogue, by their intakes, and as whom. Where one
    /// goes, so do its triggers.
    static KNOWN: RefCell<HashSet<(i32, Oid, Oid)>> = RefCell::default();
}

/// Wakes the worker of this database when the transaction commits, for a vectorizer of the caller; whether
/// the catalogue knows it by that intake. Its triggers run as its owner.
#[pg_extern(sql = false)]
fn wake_worker_for(vectorizer_id: i32, intake: Oid) -> bool {
    destination::hear_of_change();
    // SAFETY: a look at the role of the session.
    let named = (vectorizer_id, intake, unsafe { pg_sys::GetUserId() });
    if KNOWN.with_borrow(|known| known.contains(&named)) {
        shared_memory::wake_for_at_commit(vectorizer_id);
        return true;
    }
    let sql = include_str!("../../sql/query/vectorizer/knows_vectorizer.sql");
    let knows = || statement::row(sql, &[vectorizer_id.into(), intake.into()], |row| row.must(1));
    // One that is newer than the view of the transaction has its triggers all the same.
    let is_known = statement::on_latest(knows) == Some(true);
    if is_known {
        shared_memory::wake_for_at_commit(vectorizer_id);
        KNOWN.with_borrow_mut(|known| known.insert(named));
    }
    is_known
}

/// Ends the build of the index of a vectorizer that is being dropped.
#[pg_extern(sql = false)]
fn stop_indexer(vectorizer_id: i32) {
    shared_memory::stop_indexer(Some(vectorizer_id));
}
