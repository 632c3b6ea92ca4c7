//! The portals of ours, and which portals are sealed: see `transaction/seals.rs`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, PortalStatus};
use pgrx::prelude::*;

use crate::postgres::error::raise;

thread_local! {
    /// The portals of ours that are open, by numbers that are given once.
    static OWN: RefCell<HashMap<u64, pg_sys::Portal>> = RefCell::default();
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// A portal of ours, which its session may close or have rolled back at any time: a name would lead to what has been
/// opened in its place.
pub struct Own(u64);

/// In the memory of a portal of ours, with which it goes.
struct End(u64);

impl Drop for End {
    fn drop(&mut self) {
        // The thread may be on its way out.
        _ = OWN.try_with(|own| own.borrow_mut().remove(&self.0));
    }
}

impl Own {
    /// # Safety
    /// The portal has just been opened.
    pub unsafe fn of(portal: pg_sys::Portal) -> Own {
        let number = LAST.get() + 1;
        LAST.set(number);
        // SAFETY: the memory of the portal lives as long as the portal.
        let mut memory = PgMemoryContexts::For(unsafe { (*portal).portalContext });
        memory.leak_and_drop_on_delete(End(number));
        OWN.with_borrow_mut(|own| own.insert(number, portal));
        // Code of the owner may run before the one who has it opened is back.
        if SEALS.get() > 0 {
            seal(portal);
        }
        Own(number)
    }

    /// `None` where it is gone.
    pub fn find(&self) -> Option<pg_sys::Portal> {
        OWN.with_borrow(|own| own.get(&self.0).copied())
    }

    /// # Errors
    /// Raised where it is gone, or its query is: after an ERROR in it.
    pub fn must_be_there(&self) -> pg_sys::Portal {
        // SAFETY: portals are taken from the list when they go.
        let usable = self.find().filter(|portal| unsafe { !(**portal).queryDesc.is_null() });
        usable.unwrap_or_else(|| {
            let message = "a cursor of this call was closed before the call was done";
            let hint = "Run nothing that closes cursors, or rolls back, between two rows of its answer.";
            raise(PgSqlErrorCode::ERRCODE_INVALID_CURSOR_STATE, message, Some(hint))
        })
    }

    /// Has Postgres run it, although it may be sealed against others.
    pub fn run<T>(&self, work: impl FnOnce(pg_sys::Portal) -> T) -> T {
        let portal = self.must_be_there();
        let is_sealed = SEALED.with_borrow(|sealed| sealed.iter().any(|(sealed, _)| *sealed == portal));
        if !is_sealed {
            return work(portal);
        }
        // SAFETY: it is there. What is sealed was made to look as if it ran; what fails stays failed.
        unsafe {
            (*portal).status = PortalStatus::PORTAL_READY;
            let value = work(portal);
            (*portal).status = PortalStatus::PORTAL_ACTIVE;
            value
        }
    }

    pub fn is(portal: pg_sys::Portal) -> bool {
        OWN.with_borrow(|own| own.values().any(|own| *own == portal))
    }
}

thread_local! {
    /// How many seals there are, one within the other.
    pub static SEALS: Cell<usize> = const { Cell::new(0) };
    /// What they have closed, and what it was before.
    pub static SEALED: RefCell<Vec<(pg_sys::Portal, PortalStatus::Type)>> = const { RefCell::new(Vec::new()) };
}

/// Has a portal look as if it ran, and be shown to nobody.
pub fn seal(portal: pg_sys::Portal) {
    SEALED.with_borrow_mut(|sealed| sealed.push((portal, status(portal))));
    // SAFETY: the caller has it from Postgres.
    unsafe {
        (*portal).status = PortalStatus::PORTAL_ACTIVE;
        (*portal).visible = false;
    }
}

pub fn status(portal: pg_sys::Portal) -> PortalStatus::Type {
    // SAFETY: the caller has it from Postgres.
    unsafe { (*portal).status }
}
