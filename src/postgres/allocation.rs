//! What happens when there is no memory: the statement fails, or the document, and not the server.
//!
//! Where an allocation fails, Rust aborts the process, and a process of Postgres that aborts takes all others
//! with it. Here it unwinds: into an ERROR of the statement on the main thread, into a failure of the
//! document on the others (`ai_pipeline::panics`). To unwind takes memory, too: what is thrown, what catches
//! it and what reports it. That comes from a reserve, which is part of the library and so is there from the
//! start.

mod reserve;
#[cfg(debug_assertions)]
mod shortage;
#[cfg(debug_assertions)]
pub use shortage::Swept;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use ai_pipeline::panics::OutOfMemory;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What a thread may take from the reserve after an allocation of it has failed.
const CREDIT: usize = 128 * 1024;
/// Memory of Postgres' allocator that is given back when an allocation fails: Postgres needs some for its report of it.
const BALLAST: usize = 1 << 20;
/// Allocations between two tries to get the ballast back.
const PATIENCE: u32 = 1024;

thread_local! {
    static CREDIT_LEFT: Cell<usize> = const { Cell::new(0) };
}

static BALLAST_HELD: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// It was given back.
static IS_LIGHT: AtomicBool = AtomicBool::new(false);
static SINCE: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    /// Of error_hook.rs.
    fn ai_call_when_an_allocation_fails(hook: extern "C-unwind" fn(usize));
}

/// The allocator of all Rust code in the library.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// From now on a failed allocation unwinds. For `_PG_init`: processes inherit it.
pub fn init() {
    // SAFETY: a function of the library, which is never unloaded.
    unsafe { ai_call_when_an_allocation_fails(failed) };
    take_ballast();
    #[cfg(debug_assertions)]
    shortage::init();
}

/// An allocation of so many bytes has failed.
extern "C-unwind" fn failed(size: usize) {
    CREDIT_LEFT.set(CREDIT);
    // SAFETY: it came from malloc, and only the thread that takes it out of its place has it.
    unsafe { libc::free(BALLAST_HELD.swap(null_mut(), Ordering::AcqRel)) };
    IS_LIGHT.store(true, Ordering::Release);
    if std::thread::panicking() {
        // The reserve is spent. Nothing can be thrown over what is being thrown: std aborts.
        return;
    }
    #[cfg(debug_assertions)]
    assert!(!shortage::is_fault(), "a fault for a test");
    if crate::postgres::panics::is_main_thread() {
        // As Postgres words it.
        let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, "out of memory", "ai");
        let report = report.set_detail(format!("Failed on request of size {size}."));
        report.report(PgLogLevel::ERROR);
    }
    std::panic::panic_any(OutOfMemory { bytes: size });
}

/// Lets this thread take some from the reserve where there is none elsewhere. For one that begins: what
/// unwinds before its first task would end the thread, and nobody would be told.
pub fn grant() {
    CREDIT_LEFT.set(CREDIT);
}

fn take_ballast() {
    // SAFETY: plain malloc; what is not put in its place goes back.
    unsafe {
        let ballast = libc::malloc(BALLAST);
        if ballast.is_null() {
            return;
        }
        IS_LIGHT.store(false, Ordering::Release);
        libc::free(BALLAST_HELD.swap(ballast, Ordering::AcqRel));
    }
}

/// Memory from the reserve, for a thread that unwinds or has just done so.
#[cold]
fn in_need(layout: Layout) -> *mut u8 {
    let left = CREDIT_LEFT.get();
    if left < layout.size() && !std::thread::panicking() {
        return null_mut();
    }
    CREDIT_LEFT.set(left.saturating_sub(layout.size()));
    reserve::take(layout)
}

#[cold]
fn look_for_ballast() {
    if SINCE.fetch_add(1, Ordering::Relaxed) % PATIENCE == PATIENCE - 1 {
        take_ballast();
    }
}

// SAFETY: what does not come from the system comes from the reserve, which knows its own memory by its address.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_LIGHT.load(Ordering::Relaxed) {
            look_for_ballast();
        }
        #[cfg(debug_assertions)]
        if is_refused() {
            return null_mut();
        }
        // SAFETY: by the caller.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { in_need(layout) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        #[cfg(debug_assertions)]
        if is_refused() {
            return null_mut();
        }
        // SAFETY: by the caller.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = in_need(layout);
        if !memory.is_null() {
            // SAFETY: it has as many bytes.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if reserve::has(memory) {
            reserve::give_back(memory, layout);
        } else {
            // SAFETY: by the caller; it is not of the reserve, so it is the system's.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        #[cfg(debug_assertions)]
        if is_refused() {
            return null_mut();
        }
        if !reserve::has(memory) {
            // SAFETY: by the caller; it is not of the reserve, so it is the system's.
            let larger = unsafe { System.realloc(memory, layout, size) };
            if !larger.is_null() {
                return larger;
            }
        }
        // SAFETY: by the caller, the size is not 0 and fits the alignment; the old memory is copied before it
        // is given back.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            let mut other = System.alloc(wanted);
            if other.is_null() {
                other = in_need(wanted);
            }
            if !other.is_null() {
                std::ptr::copy_nonoverlapping(memory, other, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            other
        }
    }
}

/// Whether a test wants this allocation to fail. Not of a thread that has just met a failure: see [`CREDIT`].
#[cfg(debug_assertions)]
fn is_refused() -> bool {
    if shortage::is_swept() {
        return true;
    }
    if !shortage::is_there() || std::thread::panicking() {
        return false;
    }
    let left = CREDIT_LEFT.get();
    CREDIT_LEFT.set(left.saturating_sub(shortage::PER_ALLOCATION));
    left == 0 && shortage::strikes(crate::postgres::panics::is_between_tasks)
}
