//! What a panic says, and to whom.
//!
//! On the main thread pgrx makes it an ERROR. On the others it is a failure of the document
//! (`ai_pipeline::panics`), and here a line in the server's log: with the place, and with the message only
//! where that is a part of the program, as others quote what they were about.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use ai_pipeline::panics::{self, OutOfMemory};
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportWithLevel};
use tokio::task::Id;

/// A thread for the network panicked outside of all tasks, and serves none of them any more; or something
/// that is made once in a process (a tokenizer) was not.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);
/// `RUST_BACKTRACE` is set.
static BACKTRACES: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What tokio runs a thread for the network as.
    static THREAD: Cell<Option<Id>> = const { Cell::new(None) };
}

/// For `_PG_init`, after pgrx has set its hook.
pub fn init() {
    keep_backtraces_from_clients();
    let pgrx = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if is_main_thread() {
            pgrx(info);
            if !is_of_postgres(info) {
                write_backtrace();
            }
        } else {
            panics::note(info);
            if !is_in_task() || panics::last_place().is_of_what_is_made_once() {
                IS_BROKEN.store(true, Ordering::Release);
            }
            write_line(info);
        }
    }));
}

/// Whether this process can serve the network no more.
pub fn is_broken() -> bool {
    IS_BROKEN.load(Ordering::Acquire)
}

/// Called between two tasks on a thread for the network.
pub fn know_thread() {
    THREAD.set(tokio::task::try_id());
}

pub fn is_main_thread() -> bool {
    // SAFETY: plain system calls.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Whether the thread runs a task, which panics for itself. tokio runs its threads as tasks, too.
fn is_in_task() -> bool {
    let task = tokio::task::try_id();
    task.is_some() && task != THREAD.get()
}

/// Whether this is a thread for the network that runs no task. A panic of it there is caught in release
/// builds; where tokio has its debug assertions, it aborts the process.
#[cfg(debug_assertions)]
pub fn is_between_tasks() -> bool {
    let task = tokio::task::try_id();
    task.is_some() && task == THREAD.get()
}

/// pgrx takes a backtrace along with each ERROR, where std would print one (`RUST_BACKTRACE`), and sends it
/// to the client as DETAIL. It is for the log: std looks at the environment once, so it is told no before
/// anybody asks, and we look for ourselves.
fn keep_backtraces_from_clients() {
    let is_on = |name: &str| std::env::var_os(name).is_some_and(|value| value != "0");
    BACKTRACES.store(is_on("RUST_BACKTRACE"), Ordering::Relaxed);
    const NAME: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(NAME);
    // SAFETY: a process of Postgres that loads a library has one thread.
    unsafe { std::env::set_var(NAME, "0") };
    let _ = Backtrace::capture();
    // SAFETY: as above.
    unsafe {
        match before {
            Some(value) => std::env::set_var(NAME, value),
            None => std::env::remove_var(NAME),
        }
    }
}

/// An ERROR, which unwinds as a panic does.
fn is_of_postgres(info: &PanicHookInfo<'_>) -> bool {
    let payload = info.payload();
    payload.is::<ErrorReportWithLevel>() || payload.is::<ErrorReport>() || payload.is::<CaughtError>()
}

fn write_line(info: &PanicHookInfo<'_>) {
    // Not through Postgres, which has one thread; its log takes what is written here.
    let mut log = std::io::stderr();
    let place = panics::last_place();
    if let Some(OutOfMemory { bytes }) = info.payload().downcast_ref() {
        // No backtrace: that takes megabytes.
        let _ = writeln!(log, "ai: a task failed: out of memory, on request of size {bytes}");
        return;
    }
    let message = info.payload().downcast_ref::<&'static str>().copied();
    let _ = writeln!(log, "ai: a task panicked at {place}: {}", message.unwrap_or("…"));
    write_backtrace();
}

fn write_backtrace() {
    if BACKTRACES.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{}", Backtrace::force_capture());
    }
}
