//! Portals of a session, which are its cursors and the loops of PL/pgSQL over queries, while code of others runs in it.
//!
//! Postgres finds them by their names, which everybody may list or guess, and asks for no privilege: what the
//! query of a portal may read was looked at when it began. So code of an owner could read what only the
//! caller may, or move and close what the caller goes on with.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, PortalStatus};
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::postgres::statement;

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

    fn is(portal: pg_sys::Portal) -> bool {
        OWN.with_borrow(|own| own.values().any(|own| *own == portal))
    }
}

thread_local! {
    /// How many seals there are, one within the other.
    static SEALS: Cell<usize> = const { Cell::new(0) };
    /// What they have closed, and what it was before.
    static SEALED: RefCell<Vec<(pg_sys::Portal, PortalStatus::Type)>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the portals that were there before, and ours, can be neither found in `pg_cursors` nor
/// read, moved and closed: Postgres refuses that for portals that run, and takes these for such.
pub struct Seal {
    /// Where its portals begin among those that are sealed.
    start: usize,
}

impl Seal {
    pub fn put() -> Seal {
        let before = there();
        let start = SEALED.with_borrow(Vec::len);
        SEALS.set(SEALS.get() + 1);
        before.into_iter().for_each(seal);
        Seal { start }
    }

    /// Closes those that have been opened since, but for ours.
    pub fn close_others(&self) {
        for portal in there() {
            // SAFETY: it is there, and does not run. What is pinned is closed by what has pinned it.
            unsafe {
                if !Own::is(portal) && !(*portal).portalPinned {
                    pg_sys::PortalDrop(portal, false);
                }
            }
        }
    }
}

impl Drop for Seal {
    /// Also by unwinding, which comes before the end of the (sub)transaction that an ERROR ends: that takes
    /// portals that run for what has failed.
    fn drop(&mut self) {
        SEALS.set(SEALS.get() - 1);
        // One by one: there may be no memory for a list of them.
        let next = || SEALED.with_borrow_mut(|sealed| (sealed.len() > self.start).then(|| sealed.pop()).flatten());
        while let Some((portal, status)) = next() {
            // SAFETY: they are there: what runs is not closed. One of ours that has failed meanwhile stays failed.
            unsafe {
                (*portal).visible = true;
                if (*portal).status == PortalStatus::PORTAL_ACTIVE {
                    (*portal).status = status;
                }
            }
        }
    }
}

fn seal(portal: pg_sys::Portal) {
    SEALED.with_borrow_mut(|sealed| sealed.push((portal, status(portal))));
    // SAFETY: the caller has it from Postgres.
    unsafe {
        (*portal).status = PortalStatus::PORTAL_ACTIVE;
        (*portal).visible = false;
    }
}

fn status(portal: pg_sys::Portal) -> PortalStatus::Type {
    // SAFETY: the caller has it from Postgres.
    unsafe { (*portal).status }
}

/// The portals that have a name to be found by, but for those that run.
fn there() -> Vec<pg_sys::Portal> {
    let sql = include_str!("../../../sql/query/session/portals.sql");
    let names = statement::rows(sql, &[], |row| row.must::<Vec<u8>>("name"));
    let named = |name: Vec<u8>| {
        let name = CString::new(name).expect("names of Postgres hold no NUL");
        // SAFETY: a look-up by name.
        unsafe { pg_sys::GetPortalByName(name.as_ptr()) }
    };
    let found = names.into_iter().map(named);
    found
        .filter(|portal| !portal.is_null() && status(*portal) != PortalStatus::PORTAL_ACTIVE)
        .collect()
}
