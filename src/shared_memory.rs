//! What the processes know of each other: one slot per database, behind one lock.
//!
//! Nothing in here allocates or raises while the lock is held.

mod commit;
mod indexer;
pub mod lives;
pub mod providers;
mod state;

use std::sync::atomic::Ordering;

use pgrx::pg_shmem_init;
use pgrx::pg_sys;
use pgrx::prelude::*;

use self::commit::{HOOK_BEFORE, at_access, at_release, at_transaction_end};
pub use self::commit::{
    catalogue_changed_at_commit, left_at_commit, mended_at_commit, run_asked_at_commit, servers_changed_at_commit,
    vectorizer_changed_at_commit, wake_at_commit, wake_for_at_commit,
};
pub use self::indexer::{
    Indexer, indexed, indexer, indexer_arrived, indexer_asked, indexer_left, indexer_refused, indexer_reports,
    stop_indexer,
};

pub use self::state::{
    News, PreparedTransaction, Process, Slot, change, forget, is_available, is_mended, launcher_arrived,
    launcher_latch, launcher_left, launcher_reports, leave, leave_for_others, look, now, prepared, prepared_is_over,
    set_latch, take_wake, watch_prepared, worker_arrived, worker_fails, worker_is_stuck, worker_left, worker_reports,
};
use self::state::{PRELOADED, STATE};

/// Asks for the memory; only while the postmaster loads the library.
pub fn init() {
    PRELOADED.store(true, Ordering::Relaxed);
    providers::init();
    lives::init();
    pg_shmem_init!(STATE);
    // SAFETY: callbacks and hook live as long as the library, which is never unloaded; nobody else runs in
    // the postmaster.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterResourceReleaseCallback(Some(at_release), std::ptr::null_mut());
        HOOK_BEFORE = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(at_access);
    }
}
