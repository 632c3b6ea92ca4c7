//! Functions of Postgres that change what outlives their call in the session, or use what the session has open, with
//! any role's privileges. Code of an owner calls none of them in the session of another role.
//!
//! They are refused, and not undone: Postgres has no way to ask which advisory locks a session holds how
//! often, nor from where its random numbers go on. What has no function of its own is not among them
//! (`nextval`, after which `lastval` answers).

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::postgres::error::raise;

/// The locks of a session, its random numbers, and the large objects that it has opened. Connections that it
/// has opened by dblink are looked for by the names of their functions.
const LASTING: [u32; 23] = [
    pg_sys::F_SETSEED,
    pg_sys::F_PG_ADVISORY_LOCK_INT8,
    pg_sys::F_PG_ADVISORY_LOCK_INT4_INT4,
    pg_sys::F_PG_ADVISORY_LOCK_SHARED_INT8,
    pg_sys::F_PG_ADVISORY_LOCK_SHARED_INT4_INT4,
    pg_sys::F_PG_TRY_ADVISORY_LOCK_INT8,
    pg_sys::F_PG_TRY_ADVISORY_LOCK_INT4_INT4,
    pg_sys::F_PG_TRY_ADVISORY_LOCK_SHARED_INT8,
    pg_sys::F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4,
    pg_sys::F_PG_ADVISORY_UNLOCK_INT8,
    pg_sys::F_PG_ADVISORY_UNLOCK_INT4_INT4,
    pg_sys::F_PG_ADVISORY_UNLOCK_SHARED_INT8,
    pg_sys::F_PG_ADVISORY_UNLOCK_SHARED_INT4_INT4,
    pg_sys::F_PG_ADVISORY_UNLOCK_ALL,
    pg_sys::F_LOREAD,
    pg_sys::F_LOWRITE,
    pg_sys::F_LO_CLOSE,
    pg_sys::F_LO_LSEEK,
    pg_sys::F_LO_LSEEK64,
    pg_sys::F_LO_TELL,
    pg_sys::F_LO_TELL64,
    pg_sys::F_LO_TRUNCATE,
    pg_sys::F_LO_TRUNCATE64,
];

thread_local! {
    static ARE_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, they are refused.
pub(super) struct RefusalGuard {
    before: bool,
}

impl RefusalGuard {
    pub(super) fn begin() -> RefusalGuard {
        RefusalGuard {
            before: ARE_REFUSED.replace(true),
        }
    }
}

impl Drop for RefusalGuard {
    fn drop(&mut self) {
        ARE_REFUSED.set(self.before);
    }
}

/// Who was told of calls before us.
static mut HOOK_BEFORE: pg_sys::object_access_hook_type = None;

pub(super) fn init() {
    // SAFETY: once in each process that loads the library (or its ancestor, the postmaster), which has one thread then.
    unsafe {
        HOOK_BEFORE = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(at_access);
    }
}

/// Told of each function when a statement that calls it begins.
#[pg_guard]
unsafe extern "C-unwind" fn at_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: c_int,
    argument: *mut c_void,
) {
    // SAFETY: set once.
    if let Some(before) = unsafe { HOOK_BEFORE } {
        // SAFETY: called as Postgres would call it, and an ERROR of it goes through the guard.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| before(access, class, object, part, argument)) };
    }
    if access != pg_sys::ObjectAccessType::OAT_FUNCTION_EXECUTE || !ARE_REFUSED.get() {
        return;
    }
    let is_of_postgres = object.to_u32() < pg_sys::FirstNormalObjectId;
    if is_of_postgres && !LASTING.contains(&object.to_u32()) {
        return;
    }
    // SAFETY: a look-up in a transaction; the answer lives as long as its memory.
    let Some(called) = (unsafe { pg_sys::get_func_name(object).as_ref().map(|name| CStr::from_ptr(name)) }) else {
        return;
    };
    // An extension's functions of C keep the names that it gives them: only a superuser makes others.
    if is_of_postgres || called.to_bytes().starts_with(b"dblink") {
        let message = format!(
            "code of an owner cannot call {} in the session of another role",
            called.to_string_lossy()
        );
        let hint = "What it does would outlive the call. It can in the worker, and in the owner's own session.";
        raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, Some(hint));
    }
}
