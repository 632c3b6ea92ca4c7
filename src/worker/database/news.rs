//! What a worker is told by others: by way of shared memory, at their commits.

use std::time::Instant;

use ai_pipeline::launch::WantedWork;
use ai_pipeline::worker::station::Change;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::duty::Duty;
use super::extension::extension_fits;
use super::state::Worker;
use crate::catalog;
use crate::postgres::{statement, transaction};
use crate::settings;
use crate::shared_memory::{self, News};
use crate::worker::end;

/// Takes over what a worker is told, and has all queues looked at once in a while, whether a session
/// wakes it or not.
pub(super) struct Listener {
    /// When they last were.
    polled: Instant,
}

impl Listener {
    pub(super) fn new(now: Instant) -> Listener {
        Listener { polled: now }
    }
}

impl Duty for Listener {
    fn due(&self, _worker: &Worker) -> Option<Instant> {
        Some(self.polled + settings::naptime())
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let news = shared_memory::take_wake(worker.database);
        worker.rereads.heard(news.generation);
        if news.makes_room {
            worker.makes_room.get_or_insert_with(Instant::now);
        }
        if (news.reread || !news.changed.is_none()) && !extension_fits(worker.database) {
            end(0);
        }
        worker.hear(&news);
        if news.changed.is_all() {
            worker.read_all(Change::Own);
        } else if news.reread {
            worker.read_all(Change::Others);
        }
        worker.rereads.changed(news.changed.apart());
        if !news.asked.is_none() {
            worker.take_runs(&news.asked);
        }
        let now = Instant::now();
        let wanted = if self.polled.elapsed() >= settings::naptime() {
            WantedWork::ALL
        } else {
            news.work
        };
        if wanted.is_all() {
            self.polled = now;
        }
        // A database may have hundreds of queues: those that nobody has filled are not looked at.
        for station in worker.stations.iter_mut() {
            if wanted.has(station.vectorizer.id) {
                station.woken(now);
            }
        }
        false
    }
}

impl Worker {
    /// Ends the pauses whose reasons are mended. The session that has mended one has ended it, too,
    /// but for one that was noted while it did so: we may have looked before, and written after.
    pub(super) fn hear(&mut self, news: &News) {
        self.hear_of_left(news);
        if news.mended.is_all() {
            self.notes.forget_all();
        }
        for &id in news.mended.apart() {
            self.rereads.mended(id);
            self.notes.forget(id);
            if let Some(station) = self.station_mut(id) {
                station.locks.met_none();
            }
            if let Err(aborted) = transaction::run(|| catalog::mended(id)) {
                log!("ai: cannot end the pause of vectorizer {id}: {}", aborted.message);
            }
        }
        let ids = (!news.servers_changed.is_all()).then(|| news.servers_changed.apart().to_vec());
        if !news.servers_changed.is_none()
            && let Err(aborted) = transaction::run(|| catalog::end_waits(ids))
        {
            log!("ai: cannot end the pauses for want of a server: {}", aborted.message);
        }
    }

    /// Takes over runs that were asked for: only when they are due is looked up, for all at
    /// once.
    fn take_runs(&mut self, asked: &WantedWork) {
        let ids = (!asked.is_all()).then(|| asked.apart().to_vec());
        let runs = match transaction::run(|| catalog::runs(ids)) {
            Ok(runs) => runs,
            Err(aborted) => {
                log!("ai: cannot look for runs that were asked for: {}", aborted.message);
                return;
            }
        };
        let now = Instant::now();
        for (id, wait) in runs {
            let is_new = !self.rereads.has(id) && self.station(id).is_none();
            if let Some(station) = self.station_mut(id) {
                let has_index = station.vectorizer.index.is_some();
                station.asked_to_run(wait, has_index, now);
            }
            // One that is stopped and could not work is not known.
            if is_new && wait.is_zero() {
                self.rereads.add(id);
            }
        }
    }
}

/// Has what was prepared before the server was started heard of, too. First: what is committed
/// after this is told of, and what was before is read.
pub(super) fn watch_prepared(database: Oid) {
    if shared_memory::change(database, |slot| slot.knows_prepared) == Some(true) {
        return;
    }
    let sql = include_str!("../../../sql/query/session/prepared_transactions.sql");
    let read = || statement::rows(sql, &[database.into()], |row| row.must::<pg_sys::TransactionId>(1));
    match transaction::run(read) {
        Ok(prepared) => {
            shared_memory::watch_prepared(database, &prepared);
            shared_memory::change(database, |slot| slot.knows_prepared = true);
        }
        Err(aborted) => log!("ai: cannot look for prepared transactions: {}", aborted.message),
    }
}
