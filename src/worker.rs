//! The processes: a launcher for the server, a worker per database on demand.

use std::ffi::CStr;

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::postgres::latch::{must_end, wait};
use crate::postgres::parameters::{self, LOCKED, pin};
use crate::postgres::transaction::{self, limit};
use crate::shared_memory::{self, lives};

mod database;
mod indexer;
mod job;
mod launcher;
mod status;

/// Registers the launcher; only possible while the postmaster loads the library.
pub fn init() {
    // SAFETY: flags of the process that are set before a library is loaded.
    let (preloading, upgrading) = unsafe {
        (
            pg_sys::process_shared_preload_libraries_in_progress,
            pg_sys::IsBinaryUpgrade,
        )
    };
    if !preloading {
        return;
    }
    shared_memory::init();
    if upgrading {
        return;
    }
    BackgroundWorkerBuilder::new("ai launcher")
        .set_type("ai launcher")
        .set_library("ai")
        .set_function("ai_launcher_main")
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(std::time::Duration::from_secs(5)))
        .enable_spi_access()
        .load();
}

unsafe extern "C-unwind" {
    /// Postgres' own handler of SIGHUP. Declared here because the generated binding of the same name is a
    /// wrapper of another type.
    fn SignalHandlerForConfigReload(signal: std::ffi::c_int);
}

/// Installs Postgres' handlers and lets signals in.
fn receive_signals() {
    // SAFETY: called once at the start of a background worker, whose signals are blocked until the last line.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(pg_sys::SIGTERM as i32, Some(lives::sent_away));
        pqsignal(pg_sys::SIGQUIT as i32, Some(lives::goes_down_with_the_server));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Has a cancellation reach code of owners, and nothing else of this process.
fn receive_cancellations() {
    // SAFETY: a handler of Postgres' kind, at the start of a background worker.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(pg_sys::SIGINT as i32, Some(limit::cancelled));
    }
}

/// What a database or a role may have set must not change what our statements mean.
fn pin_settings() {
    be_the_superuser();
    let pinned = [
        (c"role", c"none"),
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"statement_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        (c"default_transaction_isolation", c"read committed"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_deferrable", c"off"),
        (c"session_replication_role", c"origin"),
        (c"array_nulls", c"on"),
        (c"transform_null_equals", c"off"),
        // Kept plans are made with sequential scans disabled, which Postgres expresses as a vast cost: each
        // of them that has no index to go by would be compiled, which takes 100 ms and more.
        (c"jit", c"off"),
        // From here on as in sql/query/trigger/create_trigger_function.sql: what one writes down, the other must find.
        (c"TimeZone", c"UTC"),
        (c"DateStyle", c"ISO, YMD"),
        (c"IntervalStyle", c"postgres"),
        (c"extra_float_digits", c"1"),
        (c"bytea_output", c"hex"),
    ];
    for (name, value) in pinned.iter().chain(LOCKED) {
        pin(name, value);
    }
    parameters::lock();
}

/// The owner of a database may have set another session_authorization for it: its processes would begin as that role.
fn be_the_superuser() {
    // It is looked up in the catalogue.
    let done = transaction::run(|| {
        // SAFETY: in a transaction; the bootstrap superuser cannot be dropped.
        let name = unsafe {
            CStr::from_ptr(pg_sys::GetUserNameFromId(
                pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
                false,
            ))
        };
        pin(c"session_authorization", name);
    });
    if let Err(aborted) = done {
        log!("ai: cannot become the superuser: {}", aborted.message);
        end(1);
    }
}

/// Reads the configuration again if it was asked for; whether it was.
fn reload_configuration() -> bool {
    // SAFETY: a flag that the signal handler sets, and Postgres' own way to answer it on the main thread.
    unsafe {
        let asked = pg_sys::ConfigReloadPending != 0;
        if asked {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
        asked
    }
}

/// Ends the process by way of its exit handlers. Anything but 0 is noted in the server log; for the launcher,
/// 0 would mean never again.
fn end(code: i32) -> ! {
    lives::end();
    // SAFETY: the one way for a background worker to end.
    unsafe { pg_sys::proc_exit(code) };
    // The bindings of 18 do not say that it never returns.
    #[allow(unreachable_code)]
    {
        unreachable!("proc_exit does not return")
    }
}
