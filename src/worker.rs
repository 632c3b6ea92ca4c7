//! The processes: a launcher for the server, a worker per database on demand.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::latch::{must_end, wait};
use crate::transaction::limit;
use crate::{statement, transaction};

mod database;
mod flight;
mod indexer;
mod launcher;
mod lives;
pub mod providers;
pub mod services;
pub mod shared_memory;
mod status;

static PRELOADED: AtomicBool = AtomicBool::new(false);

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
    PRELOADED.store(true, Ordering::Relaxed);
    shared_memory::init();
    providers::init();
    lives::init();
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

/// Whether the library was in shared_preload_libraries when the server started.
pub fn is_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
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

/// Settings that would end the process, and with it the work of everybody, if code of an owner or an owner of
/// the database set them: an error would be FATAL, time would be up, and no memory for so many buffers of
/// temporary tables is FATAL, too. They have these values here, and nobody sets them.
const LOCKED: &[(&CStr, &CStr)] = &[
    (c"exit_on_error", c"off"),
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    (c"transaction_timeout", c"0"),
    (c"temp_buffers", c"1024"),
];

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
        // From here on as in sql/query/create_trigger_function.sql: what one writes down, the other must find.
        (c"TimeZone", c"UTC"),
        (c"DateStyle", c"ISO, YMD"),
        (c"IntervalStyle", c"postgres"),
        (c"extra_float_digits", c"1"),
        (c"bytea_output", c"hex"),
    ];
    for (name, value) in pinned.iter().chain(LOCKED) {
        pin(name, value);
    }
    lock_settings();
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

/// Has Postgres refuse to change [`LOCKED`], from now on and in this process, however it is asked: by SET, by
/// set_config(), by a clause of a function.
fn lock_settings() {
    // SAFETY: on the main thread. The records live as long as the process, and belong to it alone. What an
    // internal setting is set to, nobody may change.
    unsafe {
        #[cfg(feature = "pg15")]
        let (records, number) = (pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions());
        #[cfg(not(feature = "pg15"))]
        let (records, number) = {
            let mut number = 0;
            let records = pg_sys::get_guc_variables(&mut number);
            (records, number)
        };
        for place in 0..usize::try_from(number).unwrap_or_default() {
            let record = *records.add(place);
            let name = CStr::from_ptr((*record).name);
            if LOCKED.iter().any(|(locked, _)| *locked == name) {
                (*record).context = pg_sys::GucContext::PGC_INTERNAL;
            }
        }
    }
}

/// Sets a setting for the life of the process.
pub fn pin(name: &CStr, value: &CStr) {
    // SAFETY: on the main thread, while nobody acts as anybody else, with names and values that Postgres knows.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
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

/// Wakes the worker of this database when the transaction commits, for all queues.
#[pg_extern(sql = false)]
fn wake_worker() {
    shared_memory::wake_at_commit();
}

thread_local! {
    /// Vectorizers that this session has found in the catalogue, by their intakes, and as whom. Where one
    /// goes, so do its triggers.
    static KNOWN: RefCell<HashSet<(i32, Oid, Oid)>> = RefCell::default();
}

/// Wakes the worker of this database when the transaction commits, for a vectorizer of the caller; whether
/// the catalogue knows it by that intake. Its triggers run as its owner.
#[pg_extern(sql = false)]
fn wake_worker_for(vectorizer_id: i32, intake: Oid) -> bool {
    // SAFETY: a look at the role of the session.
    let named = (vectorizer_id, intake, unsafe { pg_sys::GetUserId() });
    if KNOWN.with_borrow(|known| known.contains(&named)) {
        shared_memory::wake_for_at_commit(vectorizer_id);
        return true;
    }
    let sql = include_str!("../sql/query/knows_vectorizer.sql");
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
