//! Memory that is there when there is no other: a piece of the library's own data, in grains of 256 bytes.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an ERROR needs on its way to the log and the client, many times over. It is a part of the
/// library's data: nobody pays for pages that are never written.
const SIZE: usize = 1 << 20;
/// Most of what is asked for then is shorter.
const GRAIN: usize = 256;
const GRAINS: usize = SIZE / GRAIN;

/// Nothing is written to its pages before they are needed, so they cost no memory but addresses.
#[repr(align(4096))]
struct Reserve {
    bytes: UnsafeCell<[u8; SIZE]>,
    /// Which grains are taken.
    taken: UnsafeCell<[bool; GRAINS]>,
    /// A thread looks at `taken`. No lock of std, which could allocate.
    locked: AtomicBool,
}

// SAFETY: `taken` is behind the lock, and bytes belong to the thread that took them.
unsafe impl Sync for Reserve {}

static RESERVE: Reserve = Reserve {
    bytes: UnsafeCell::new([0; SIZE]),
    taken: UnsafeCell::new([false; GRAINS]),
    locked: AtomicBool::new(false),
};

fn start() -> *mut u8 {
    RESERVE.bytes.get().cast()
}

/// Whether memory is of the reserve.
pub fn has(memory: *mut u8) -> bool {
    (memory as usize).wrapping_sub(start() as usize) < SIZE
}

/// Some of it, if there is as much in one piece.
pub fn take(layout: Layout) -> *mut u8 {
    if layout.align() > GRAIN {
        return null_mut();
    }
    let wanted = grains(layout);
    with_grains(|taken| {
        let mut run = 0;
        for index in 0..GRAINS {
            run = if taken[index] { 0 } else { run + 1 };
            if run == wanted {
                let first = index + 1 - wanted;
                taken[first..=index].fill(true);
                // SAFETY: within the reserve.
                return unsafe { start().add(first * GRAIN) };
            }
        }
        null_mut()
    })
}

/// Gives back what [`take`] gave.
pub fn give_back(memory: *mut u8, layout: Layout) {
    let first = (memory as usize - start() as usize) / GRAIN;
    with_grains(|taken| taken[first..first + grains(layout)].fill(false));
}

fn grains(layout: Layout) -> usize {
    layout.size().div_ceil(GRAIN).max(1)
}

fn with_grains<T>(work: impl FnOnce(&mut [bool; GRAINS]) -> T) -> T {
    while RESERVE.locked.swap(true, Ordering::Acquire) {
        spin_loop();
    }
    // SAFETY: the lock is ours until the store below, and `work` neither panics nor allocates.
    let value = work(unsafe { &mut *RESERVE.taken.get() });
    RESERVE.locked.store(false, Ordering::Release);
    value
}
