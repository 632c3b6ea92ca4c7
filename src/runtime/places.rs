//! Places for what sessions do in processes and memory of their own: `ai.parser_processes` of each kind for
//! all sessions of the server together, as many as a worker has.
//!
//! A place is a lock of Postgres. A session that waits for one can be cancelled and timed out, is found in
//! `pg_locks`, and in no deadlock for long; and whatever ends a transaction gives its places back.

use pgrx::pg_sys;

/// Tells our locks from those of others with a tag of this type, of which Postgres itself has none.
const OURS: u32 = 0x6169_0001;

/// What a place is for: those who wait for one wait for others of the same kind only.
#[derive(Clone, Copy)]
pub enum PermitKind {
    /// `ai.verify_vectorizer`, which may go on for hours.
    Verify = 1,
    /// To cut a text, which takes seconds.
    Cut = 2,
}

/// The lock that a role has one of, whatever it verifies: it leaves places to others.
const ROLE: u32 = 3;
/// The first of those that a role has for cutting: one less than there are places, as far as that is one.
const ROLE_CUTS: u32 = 16;
/// How often a place is looked for before a certain one is waited for, and how long until the next look, in
/// microseconds.
const LOOKS: usize = 50;
const PAUSE: std::ffi::c_long = 10_000;

/// A place, until it is given back or the transaction ends.
pub struct SessionPermit(Vec<pg_sys::LOCKTAG>);

impl SessionPermit {
    /// Takes one of so many, or waits for one.
    pub fn take(work: PermitKind, places: usize) -> SessionPermit {
        let mut taken = Vec::new();
        let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
        // SAFETY: a look at the role of the session.
        let role = unsafe { pg_sys::GetUserId() }.to_u32();
        taken.push(match work {
            PermitKind::Verify => {
                let role = tag(ROLE, role);
                lock(&role, false);
                role
            }
            PermitKind::Cut => any(|number| tag(ROLE_CUTS + number, role), (places - 1).max(1), 0),
        });
        let looks = if places > 1 { LOOKS } else { 0 };
        taken.push(any(|number| tag(work as u32, number), places, looks));
        SessionPermit(taken)
    }

    /// Gives it to the next one. What is dropped without that is kept until the transaction ends, which may
    /// just be why.
    pub fn give_back(self) {
        for tag in &self.0 {
            // SAFETY: in the transaction that has taken it.
            unsafe { pg_sys::LockRelease(tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false) };
        }
    }
}

/// Takes one of so many locks. Where none is free after some looks, a certain one is waited for.
fn any(place: impl Fn(u32) -> pg_sys::LOCKTAG, places: u32, looks: usize) -> pg_sys::LOCKTAG {
    for look in 0..=looks {
        if let Some(free) = (0..places).map(&place).find(|tag| lock(tag, true)) {
            return free;
        }
        if look < looks {
            // SAFETY: in a session, which can be cancelled meanwhile.
            unsafe { pg_sys::pg_usleep(PAUSE) };
            pgrx::check_for_interrupts!();
        }
    }
    // SAFETY: set for the life of a backend.
    let place = place(unsafe { pg_sys::MyProcPid }.unsigned_abs() % places);
    lock(&place, false);
    place
}

/// Takes a lock; whether it could be had.
fn lock(tag: &pg_sys::LOCKTAG, at_once: bool) -> bool {
    // SAFETY: in a transaction, which gives the lock back at the latest.
    let taken = unsafe { pg_sys::LockAcquire(tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false, at_once) };
    taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Of no database, and of a type that a standby may lock, too.
fn tag(kind: u32, number: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: OURS,
        locktag_field3: number,
        locktag_field4: kind as u16,
        locktag_type: pg_sys::LockTagType::LOCKTAG_USERLOCK as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}
