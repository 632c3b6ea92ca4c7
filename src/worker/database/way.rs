//! When a worker leaves for others: a session that wants the database, another database that waits for a
//! place, and code of an owner that is stuck.

use std::time::{Duration, Instant};

use ai_pipeline::worker::round::{Cadence, REPORT};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use crate::postgres::transaction::{self, accounts};
use crate::shared_memory::{self, lives};
use crate::worker;

/// How often to look whether a session wants the database alone. Postgres gives others five
/// seconds to leave.
const MAKE_WAY: Duration = Duration::from_secs(1);
/// How long to stay away then, unless a session commits work.
const AWAY: Duration = Duration::from_secs(5);
/// For how long a worker that makes room for another database waits for its documents.
const GRACE: Duration = Duration::from_secs(10);

/// Leaves the database to a session that wants to drop, copy or rename it. What is in flight is taken up
/// again afterwards.
pub(super) struct WayMaker {
    looks: Cadence,
}

impl WayMaker {
    pub(super) fn new(now: Instant) -> WayMaker {
        WayMaker {
            looks: Cadence::since(now, MAKE_WAY),
        }
    }
}

impl Duty for WayMaker {
    fn due(&self, _worker: &Worker) -> Option<Instant> {
        self.looks.due_at()
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        if !self.looks.begin(Instant::now()) || !database_is_claimed(worker.database) {
            return false;
        }
        log!("ai: leaves the database, which a session wants alone; back in {AWAY:?}");
        shared_memory::stop_indexer(None);
        let away = i64::try_from(AWAY.as_micros()).unwrap_or(i64::MAX / 2);
        shared_memory::leave(worker.database, shared_memory::now() + away);
        worker::end(0)
    }
}

/// Does nothing for an owner in whose code an earlier worker is stuck: this one would be the next.
pub(super) struct Watchman {
    looks: Cadence,
}

impl Watchman {
    pub(super) fn new() -> Watchman {
        Watchman {
            looks: Cadence::at_once(REPORT),
        }
    }
}

impl Duty for Watchman {
    fn due(&self, _worker: &Worker) -> Option<Instant> {
        // In a round that is made anyway.
        None
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        if self.looks.begin(Instant::now()) {
            for (_, stuck) in lives::stuck(worker.database) {
                accounts::change(stuck.owner, |account, now| account.hold(2 * REPORT, now));
            }
        }
        false
    }
}

impl Worker {
    /// Leaves the place to another database, as soon as what is in flight has ended, or some time
    /// later: the next worker takes it up.
    pub(super) fn leave_for_others(&mut self) {
        if self
            .makes_room
            .is_some_and(|since| self.jobs.is_empty() || since.elapsed() >= GRACE)
        {
            shared_memory::leave_for_others(self.database);
            worker::end(0)
        }
    }
}

/// Whether another session keeps all from connecting to the database, as CREATE DATABASE ...
/// TEMPLATE, DROP DATABASE and ALTER DATABASE do before they count who is there.
fn database_is_claimed(database: Oid) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.to_u32(),
        locktag_field3: database.to_u32(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: in a transaction, which gives the lock back; it is the one that every new connection
    // takes.
    let taken = transaction::run(|| unsafe { pg_sys::LockAcquire(&tag, lock, false, true) });
    taken.is_ok_and(|taken| taken == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
}
