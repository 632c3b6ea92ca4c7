//! What a transaction has to tell the worker of its database, and tells it when it commits.

use std::cell::Cell;
use std::ffi::c_void;

use ai_pipeline::launch::WantedWork;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::indexer::stop_indexer;
use super::state::{Wish, is_available, wake, watch_prepared};

thread_local! {
    /// What the transaction that is open will have to tell the worker at its commit.
    static AT_COMMIT: Cell<Wish> = const { Cell::new(Wish::NOTHING) };
    /// It has committed, and tells it in a moment.
    static COMMITTED: Cell<Wish> = const { Cell::new(Wish::NOTHING) };
}

/// Wakes the worker of this database when (and only if) the transaction commits, for all queues.
pub fn wake_at_commit() {
    wish(|wish| wish.work = WantedWork::ALL);
}

/// Like [`wake_at_commit`], for the queue of one vectorizer.
pub fn wake_for_at_commit(vectorizer: i32) {
    wish(|wish| wish.work.add(vectorizer));
}

/// Like [`wake_at_commit`], and makes the worker read all vectorizers again.
pub fn catalogue_changed_at_commit() {
    wish(|wish| {
        *wish = Wish {
            changed: wish.changed,
            mended: wish.mended,
            servers: wish.servers,
            left: wish.left,
            ..Wish::EVERYTHING
        }
    });
}

/// Like [`wake_for_at_commit`], and makes the worker read this vectorizer again, which may be new or gone.
pub fn vectorizer_changed_at_commit(vectorizer: i32) {
    wish(|wish| {
        wish.work.add(vectorizer);
        wish.changed.add(vectorizer);
    });
}

/// Like [`wake_for_at_commit`], for a vectorizer that is to work now, whatever its schedule says.
pub fn run_asked_at_commit(vectorizer: i32) {
    wish(|wish| {
        wish.work.add(vectorizer);
        wish.asked.add(vectorizer);
    });
}

/// Like [`vectorizer_changed_at_commit`], and ends the pause of a vectorizer: also one that the worker notes while the
/// transaction commits, on the strength of what it saw before.
pub fn mended_at_commit(vectorizer: i32) {
    vectorizer_changed_at_commit(vectorizer);
    wish(|wish| wish.mended.add(vectorizer));
}

/// Like [`vectorizer_changed_at_commit`], and has it tried again where it is paused: its server, or a privilege on
/// that, may be what it waits for.
pub fn servers_changed_at_commit(vectorizer: i32) {
    vectorizer_changed_at_commit(vectorizer);
    wish(|wish| wish.servers.add(vectorizer));
}

/// Has the worker do for a vectorizer what a statement that concerned all could not wait to do.
pub fn left_at_commit(vectorizer: i32) {
    wish(|wish| {
        wish.work.add(vectorizer);
        wish.left.add(vectorizer);
    });
}

fn wish(change: impl FnOnce(&mut Wish)) {
    AT_COMMIT.with(|pending| {
        let mut wish = pending.get();
        change(&mut wish);
        pending.set(wish);
    });
}

/// Who was told of changes to the catalogue before us.
pub(super) static mut HOOK_BEFORE: pg_sys::object_access_hook_type = None;

/// DROP EXTENSION runs no code of the extension, and its worker may be waiting for a provider: this tells it.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn at_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: std::ffi::c_int,
    argument: *mut c_void,
) {
    // SAFETY: set once, in the postmaster.
    if let Some(before) = unsafe { HOOK_BEFORE } {
        // SAFETY: called as Postgres would call it, and an ERROR of it goes through the guard.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| before(access, class, object, part, argument)) };
    }
    if access == pg_sys::ObjectAccessType::OAT_DROP
        && class == pg_sys::ExtensionRelationId
        // SAFETY: in a transaction, as every drop; the row is still there.
        && object == unsafe { pg_sys::get_extension_oid(c"ai".as_ptr(), true) }
    {
        stop_indexer(None);
        catalogue_changed_at_commit();
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_COMMIT => {
            COMMITTED.set(AT_COMMIT.replace(Wish::NOTHING));
        }
        XACT_EVENT_ABORT => AT_COMMIT.with(|pending| pending.set(Wish::NOTHING)),
        // It is committed by anybody, who is told nothing of it: the launcher looks whether that has happened.
        XACT_EVENT_PREPARE => {
            let wish = AT_COMMIT.replace(Wish::NOTHING);
            if !wish.work.is_none() && is_available() {
                // SAFETY: looks at the state of this backend: the transaction has its number until it has
                // been prepared.
                let (database, transaction) = unsafe { (pg_sys::MyDatabaseId, pg_sys::GetTopTransactionIdIfAny()) };
                watch_prepared(database, &[transaction]);
            }
        }
        _ => (),
    }
}

/// Wakes the worker after the locks of the transaction are gone, and not at XACT_EVENT_COMMIT: at that moment
/// what it has done can be seen, but others have not been told that their caches are stale, and a worker that
/// came at once could still find refused what has just been granted.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn at_release(
    phase: pg_sys::ResourceReleasePhase::Type,
    _is_commit: bool,
    is_top_level: bool,
    _argument: *mut c_void,
) {
    if is_top_level && phase == pg_sys::ResourceReleasePhase::RESOURCE_RELEASE_AFTER_LOCKS {
        let wish = COMMITTED.replace(Wish::NOTHING);
        if !wish.work.is_none() && is_available() {
            // SAFETY: set for the life of a backend.
            wake(unsafe { pg_sys::MyDatabaseId }, wish);
        }
    }
}
