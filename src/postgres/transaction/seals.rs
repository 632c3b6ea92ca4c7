//! Portals of a session, which are its cursors and the loops of PL/pgSQL over queries, while code of others runs in it.
//!
//! Postgres finds them by their names, which everybody may list or guess, and asks for no privilege: what the
//! query of a portal may read was looked at when it began. So code of an owner could read what only the
//! caller may, or move and close what the caller goes on with.

use std::ffi::CString;

use pgrx::pg_sys::{self, PortalStatus};

use crate::postgres::portals::{Own, SEALED, SEALS, seal, status};
use crate::postgres::statement;

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
