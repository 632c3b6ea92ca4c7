//! The process that builds an index in a database: whether it is there, and what it says.

use pgrx::pg_sys;

use super::state::{Process, STATE, Text, Wish, change, is_available, now, report, wake};

/// The indexer of a database, as its worker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexer {
    /// There is none.
    Absent,
    /// It was asked of the postmaster.
    Starting,
    /// It runs, as this process.
    Running(i32),
}

/// Whether there is an indexer. One that has not come up within `timeout` microseconds never will.
pub fn indexer(database: pg_sys::Oid, timeout: i64) -> Indexer {
    let now = now();
    change(database, |slot| match slot.indexer.pid {
        0 if slot.indexer_asked == 0 || now - slot.indexer_asked > timeout => Indexer::Absent,
        0 => Indexer::Starting,
        pid => Indexer::Running(pid),
    })
    .unwrap_or(Indexer::Absent)
}

/// The indexer is about to be started. Only the worker of the database does that, when there is none.
pub fn indexer_asked(database: pg_sys::Oid) {
    let now = now();
    change(database, |slot| {
        slot.indexer_asked = now;
        slot.indexer.reason = Text::EMPTY;
    });
}

/// The indexer could not be started, for this reason.
pub fn indexer_refused(database: pg_sys::Oid, reason: &str) {
    change(database, |slot| {
        slot.indexer_asked = 0;
        slot.indexer.reason = Text::new(reason);
    });
}

/// The indexer says that it is there; false when another one is already.
pub fn indexer_arrived(database: pg_sys::Oid, vectorizer: i32) -> bool {
    change(database, |slot| {
        let free = slot.indexer.pid == 0;
        if free {
            slot.indexer = Process::me();
            slot.indexing = vectorizer;
            slot.indexer_asked = 0;
        }
        free
    })
    .unwrap_or(false)
}

/// The vectorizer whose index is being built in a database.
pub fn indexed(database: pg_sys::Oid) -> Option<i32> {
    change(database, |slot| slot.indexing).filter(|id| *id != 0)
}

/// The indexer says what it does.
pub fn indexer_reports(database: pg_sys::Oid, activity: &str) {
    change(database, |slot| report(&mut slot.indexer, activity, ""));
}

/// The indexer runs its exit handlers. The worker is to look at what it has done.
pub fn indexer_left(database: pg_sys::Oid) {
    let left = change(database, |slot| {
        // SAFETY: set for the life of the process.
        let mine = slot.indexer.pid == unsafe { pg_sys::MyProcPid };
        if mine {
            slot.indexer = Process::NONE;
            slot.indexing = 0;
        }
        mine
    });
    if left == Some(true) {
        wake(database, Wish::EVERYTHING);
    }
}

/// Ends the build of the index of a vectorizer of this database, or of any, which is being dropped; whether
/// there was one.
pub fn stop_indexer(vectorizer: Option<i32>) -> bool {
    if !is_available() {
        return false;
    }
    // SAFETY: set for the life of a backend.
    let database = unsafe { pg_sys::MyDatabaseId };
    let state = STATE.share();
    let building = state.slots.iter().find(|slot| {
        slot.database == database && slot.indexer.pid != 0 && vectorizer.is_none_or(|id| id == slot.indexing)
    });
    if let Some(slot) = building {
        // SAFETY: a process of ours: before it ends it gives up its place, for which it needs the lock that we hold.
        unsafe { libc::kill(slot.indexer.pid, libc::SIGTERM) };
    }
    building.is_some()
}
