//! A crate of its own, which build.rs compiles: the hook that std calls when an allocation failed, before it aborts.
#![feature(alloc_error_hook)]

use std::alloc::{Layout, set_alloc_error_hook};
use std::sync::OnceLock;

static HOOK: OnceLock<extern "C-unwind" fn(usize)> = OnceLock::new();

/// Has std call `hook` with the size of each allocation that fails. What unwinds out of it unwinds out of the
/// code that wanted the memory.
#[unsafe(no_mangle)]
pub extern "C" fn ai_call_when_an_allocation_fails(hook: extern "C-unwind" fn(usize)) {
    let _ = HOOK.set(hook);
    set_alloc_error_hook(failed);
}

fn failed(layout: Layout) {
    if let Some(hook) = HOOK.get() {
        hook(layout.size());
    }
}
