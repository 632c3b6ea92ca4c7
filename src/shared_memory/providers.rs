//! What the workers of all databases know together of providers: when a pause is over, and what is left of a
//! minute's budget.
//!
//! It outlives a worker, which leaves when it has nothing to do. Network threads read and change it, so it is
//! made of atomic numbers and needs no lock of Postgres; only what looks for a place in it, the main
//! thread, takes one.

use ai_pipeline::embed::{Ledger, LedgerKind, LedgerPlace};
use ai_pipeline::fingerprint::Fingerprint;
use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};

use super::state::alone;

#[derive(Default)]
struct Shared(Ledger);

// SAFETY: atomic numbers, without an address.
unsafe impl PGRXSharedMemory for Shared {}

// SAFETY: nothing else in the shared memory of the server has this name.
static LEDGER: PgAtomic<Shared> = unsafe { PgAtomic::new(c"ai providers") };

/// Asks for the memory; only while the postmaster loads the library.
pub fn init() {
    pg_shmem_init!(LEDGER);
}

/// The place of an account or a model. On the main thread, in a process of a server that has loaded the library.
pub fn place(kind: LedgerKind, account: &Fingerprint) -> LedgerPlace {
    alone(|| LEDGER.get().0.place(kind, account))
}
