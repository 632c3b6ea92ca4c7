//! Waiting in a process of Postgres: nothing is polled, and what wants the process to end or to answer is
//! heard at once.

use std::time::Duration;

use pgrx::pg_sys;

/// Whether this process is wanted to end.
pub fn must_end() -> bool {
    // SAFETY: a flag that the signal handler sets.
    unsafe { pg_sys::ProcDiePending != 0 }
}

/// Waits for the latch, for `socket` to become readable where there is one, or for `timeout`.
pub fn wait(socket: Option<i32>, timeout: Duration) {
    let milliseconds = i64::try_from(timeout.as_millis())
        .unwrap_or(i64::MAX)
        .clamp(0, 3_600_000);
    let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    if socket.is_some() {
        events |= pg_sys::WL_SOCKET_READABLE;
    }
    // SAFETY: on the main thread, with the process' own latch and a descriptor that the caller keeps open.
    unsafe {
        pg_sys::WaitLatchOrSocket(
            pg_sys::MyLatch,
            events as i32,
            socket.unwrap_or(pg_sys::PGINVALID_SOCKET),
            milliseconds as _,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    if !must_end() {
        // Barriers (DROP DATABASE, ALTER SYSTEM) are answered here and nowhere else.
        pgrx::check_for_interrupts!();
    }
}
