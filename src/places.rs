//! Places for what sessions do in processes and memory of their own: `ai.parser_processes` of them for all sessions of the server
//! together, as many as a worker has.
//!
//! A place is a lock of Postgres. Whoever waits for one can be cancelled and timed out, is found in `pg_locks`, and in no
//! deadlock for long; and whatever ends a transaction gives its places back.

use pgrx::pg_sys;

/// Tells our locks from those of others with a tag of this type, of which Postgres itself has none.
const OURS: u32 = 0x6169_0001;

/// A place, until it is given back or the transaction ends.
pub struct Place(u32);

impl Place {
    /// Takes one of so many, or waits for one.
    pub fn take(places: usize) -> Place {
        let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
        let free = (0..places).find(|&number| lock(number, true));
        Place(free.unwrap_or_else(|| {
            // SAFETY: set for the life of a backend.
            let number = unsafe { pg_sys::MyProcPid }.unsigned_abs() % places;
            lock(number, false);
            number
        }))
    }

    /// Gives it to the next one. What is dropped without that is kept until the transaction ends, which may just be why.
    pub fn give_back(self) {
        let tag = tag(self.0);
        // SAFETY: in the transaction that has taken it.
        unsafe { pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false) };
    }
}

/// Locks a place; whether it could be had.
fn lock(number: u32, at_once: bool) -> bool {
    let tag = tag(number);
    // SAFETY: in a transaction, which gives the lock back at the latest.
    let taken = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false, at_once) };
    taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Of no database, and of a type that a standby may lock, too.
fn tag(number: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: OURS,
        locktag_field3: number,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_USERLOCK as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}
