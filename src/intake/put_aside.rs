//! Keys that wait in memory, and are appended to their intake before their transaction commits.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;

use super::route::Route;
use crate::postgres::error::raise;
use crate::shared_memory;

/// Rows that are appended by one call.
const ROWS: usize = 256;

thread_local! {
    /// Keys of this transaction, once per subtransaction that is open and route.
    pub(super) static PUT_ASIDE: RefCell<Vec<PutAside>> = const { RefCell::new(Vec::new()) };
}

/// Keys that are not in the intake yet.
pub(super) struct PutAside {
    pub(super) subtransaction: pg_sys::SubTransactionId,
    pub(super) route: Rc<Route>,
    pub(super) words: Vec<u64>,
    pub(super) rows: usize,
}

impl PutAside {
    /// Appends them. Errors are those of a full disk, and of an intake that was altered since.
    pub(super) fn append(self) {
        let route = &self.route;
        // SAFETY: on the main thread, in a transaction; what is opened and made here is closed, and an ERROR ends the
        // transaction, which gives it back. The values point into `self.words`.
        unsafe {
            let intake = pg_sys::try_table_open(route.intake, pg_sys::RowExclusiveLock as i32);
            if intake.is_null() {
                // Dropped in this very transaction, and the vectorizer with it.
                return;
            }
            if !route.fits(intake) {
                raise(
                    PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!(
                        "the intake of vectorizer {} was altered in the transaction that has written to its source",
                        route.vectorizer
                    ),
                    Some("Alter it in a transaction of its own."),
                );
            }
            let columns = (*intake).rd_att;
            let memory = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"ai intake".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let mut slots: Vec<_> = (0..self.rows.min(ROWS))
                .map(|_| pg_sys::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsHeapTuple))
                .collect();
            let before = pg_sys::MemoryContextSwitchTo(memory);
            let command = pg_sys::GetCurrentCommandId(true);
            let mut values = vec![Datum::from(0usize); (*columns).natts as usize];
            let mut nulls = vec![true; values.len()];
            let mut words = self.words.as_slice();
            let mut rows = self.rows;
            while rows > 0 {
                let some = rows.min(ROWS);
                for slot in &slots[..some] {
                    for (column, number) in &route.key {
                        let index = *number as usize - 1;
                        (values[index], words) = column.take(words);
                        nulls[index] = false;
                    }
                    let row = pg_sys::heap_form_tuple(columns, values.as_mut_ptr(), nulls.as_mut_ptr());
                    pg_sys::ExecStoreHeapTuple(row, *slot, false);
                }
                pg_sys::heap_multi_insert(
                    intake,
                    slots.as_mut_ptr(),
                    some as i32,
                    command,
                    0,
                    std::ptr::null_mut(),
                );
                pg_sys::MemoryContextReset(memory);
                rows -= some;
            }
            pg_sys::MemoryContextSwitchTo(before);
            for slot in slots {
                pg_sys::ExecDropSingleTupleTableSlot(slot);
            }
            pg_sys::MemoryContextDelete(memory);
            pg_sys::table_close(intake, pg_sys::NoLock as i32);
        }
        shared_memory::wake_for_at_commit(route.vectorizer);
    }
}

/// What a (sub)transaction has put aside.
fn taken_from(subtransaction: pg_sys::SubTransactionId) -> Vec<PutAside> {
    let is_of_it = |put_aside: &mut PutAside| put_aside.subtransaction == subtransaction;
    PUT_ASIDE.with_borrow_mut(|all| all.extract_if(.., is_of_it).collect())
}

/// Appends what the running (sub)transaction has put aside. It is about to commit: deferred triggers have
/// fired, and nothing is added any more.
pub(super) fn append_all(subtransaction: pg_sys::SubTransactionId) {
    let all = taken_from(subtransaction);
    if all.is_empty() {
        return;
    }
    // SAFETY: none of its statements is running: it may have no snapshot.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    for put_aside in all {
        put_aside.append();
    }
    // SAFETY: pairs with the above.
    unsafe { pg_sys::PopActiveSnapshot() };
}

/// Appends what the running (sub)transaction has put aside so far, so that its next statement sees it in the
/// intake. What its parents have put aside is not its to append.
pub fn append_so_far() {
    // SAFETY: a look at the state of this process.
    for put_aside in taken_from(unsafe { pg_sys::GetCurrentSubTransactionId() }) {
        put_aside.append();
    }
}
