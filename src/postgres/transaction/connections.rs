//! Connections to other servers that code of an owner has opened by dblink. They belong to the process, and
//! not to the transaction: the next owner's code would find them under their names, and may not use them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use pgrx::prelude::*;
use pgrx::{IntoDatum, pg_sys};

use super::run;
use crate::postgres::statement;

thread_local! {
    /// How many libraries had been loaded when that of dblink was last looked for, and whether it was there.
    static LOOKED: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

/// The library of dblink is in this process, as code of an owner has called it. Asked after each transaction: it is
/// looked for where one was loaded since, as the name of what is not there is looked up in all libraries.
fn is_loaded() -> bool {
    let loads = loads();
    if let Some((_, found)) = LOOKED.get().filter(|(before, _)| *before == loads) {
        return found;
    }
    // SAFETY: a look-up by name in what is loaded; Postgres loads libraries for all to see.
    let found = unsafe { !libc::dlsym(libc::RTLD_DEFAULT, c"dblink_get_connections".as_ptr()).is_null() };
    LOOKED.set(Some((loads, found)));
    found
}

/// How many libraries this process has loaded since it began.
fn loads() -> u64 {
    unsafe extern "C" fn first(library: *mut libc::dl_phdr_info, _size: usize, loads: *mut c_void) -> c_int {
        // SAFETY: what the linker knows of a library, and the number below.
        unsafe { *loads.cast::<u64>() = (*library).dlpi_adds };
        // The first tells.
        1
    }
    let mut loads = 0_u64;
    // SAFETY: the number outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut loads).cast()) };
    loads
}

/// Ends all of them; between two transactions.
pub(super) fn end() {
    if !is_loaded() {
        return;
    }
    let named = run(|| {
        let sql = include_str!("../../../sql/query/session/dblink_functions.sql");
        let functions = |row: &statement::Row| (row.get(1), row.get(2), row.get(3));
        let functions = statement::row(sql, &[], functions);
        let Some((Some(list), Some(end), Some(end_unnamed))) = functions else {
            return None;
        };
        let names = unsafe {
            // SAFETY: a function without arguments, which returns text[] or NULL.
            call(list, None)
                .and_then(|names| Vec::<Option<String>>::from_polymorphic_datum(names, false, pg_sys::TEXTOID))
        };
        for name in names.into_iter().flatten().flatten() {
            // SAFETY: a function of one text.
            unsafe { call(end, name.into_datum()) };
        }
        Some(end_unnamed)
    });
    match named {
        // It raises where there is none, and there is no way to ask.
        // SAFETY: a function without arguments.
        Ok(Some(end_unnamed)) => _ = run(|| unsafe { call(end_unnamed, None) }),
        Ok(None) => (),
        Err(aborted) => log!("ai: cannot end connections of dblink: {}", aborted.message),
    }
}

/// # Safety
/// The function takes what it is given: nothing, or one value.
unsafe fn call(function: pg_sys::Oid, argument: Option<pg_sys::Datum>) -> Option<pg_sys::Datum> {
    // SAFETY: Postgres' own way to call a function that may return NULL, with room for its argument.
    unsafe {
        let mut info = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(function, &mut info);
        let size = size_of::<pg_sys::FunctionCallInfoBaseData>() + size_of::<pg_sys::NullableDatum>();
        let frame: pg_sys::FunctionCallInfo = pg_sys::palloc0(size).cast();
        (*frame).flinfo = &mut info;
        if let Some(argument) = argument {
            (*frame).nargs = 1;
            (*(*frame).args.as_mut_ptr()).value = argument;
        }
        let function = info.fn_addr.expect("fmgr_info finds the address, or raises");
        let value = pg_sys::ffi::pg_guard_ffi_boundary(|| function(frame));
        (!(*frame).isnull).then_some(value)
    }
}
