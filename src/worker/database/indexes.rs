//! When a vectorizer's index is looked after. It is built by another process.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::worker::index::{Build, LOOK, MAKE_WAY};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::Worker;
use crate::postgres::statement;
use crate::postgres::transaction::{self, accounts};
use crate::settings;
use crate::shared_memory::{self, Indexer};
use crate::store::index::{self, Verdict};
use crate::worker::indexer;

impl Worker {
    /// Looks after the indexes that may be due, and has one built.
    pub(super) fn watch_indexes(&mut self) {
        let now = Instant::now();
        if self.indexer_look_at.is_some_and(|at| at <= now) {
            self.watch_indexer(now);
        }
        let due = |position: &usize| self.stations[*position].index.is_due(now);
        let mut due: Vec<usize> = (0..self.stations.len()).filter(due).collect();
        // The owner whose index was built last comes last.
        due.sort_by_key(|position| self.indexed.get(&self.stations[*position].vectorizer.owner).copied());
        for position in due {
            self.watch_index(position, now);
        }
    }

    /// Has a build make way for whoever wants the table for himself.
    fn watch_indexer(&mut self, now: Instant) {
        self.indexer_look_at = match indexer::look(self.database) {
            Indexer::Absent => None,
            Indexer::Starting | Indexer::Running(_) => Some(now + MAKE_WAY),
        };
        let Indexer::Running(pid) = indexer::look(self.database) else {
            self.build = None;
            return;
        };
        self.watch_waits(pid);
        let sql = include_str!("../../../sql/query/index/make_way.sql");
        if let Err(aborted) = transaction::run(|| statement::run(sql, &[pid.into()])) {
            log!("ai: cannot look who waits for the indexer: {}", aborted.message);
        }
    }

    /// Ends a build that waits for locks while an index of another owner is to be built. It is tried again
    /// when it was to be anyway.
    fn watch_waits(&mut self, pid: i32) {
        let build = self.build.get_or_insert_with(|| Build::new(pid));
        if build.pid != pid {
            *build = Build::new(pid);
        }
        let is_over = build.is_over();
        let sql = include_str!("../../../sql/query/index/indexer_waits.sql");
        let waits = transaction::run(|| statement::row(sql, &[pid.into(), is_over.into()], |_| ()).is_some());
        match waits {
            Ok(waits) => build.seen(waits),
            Err(aborted) => log!("ai: cannot look what the indexer waits for: {}", aborted.message),
        }
    }

    /// Whether an index of another owner is being built.
    fn is_another_built(&self, owner: Oid) -> bool {
        let built = shared_memory::indexed(self.database).and_then(|id| self.station(id));
        built.is_some_and(|station| station.vectorizer.owner != owner)
    }

    fn watch_index(&mut self, position: usize, now: Instant) {
        let vectorizer = Arc::clone(&self.stations[position].vectorizer);
        let Some(index) = &vectorizer.index else {
            self.stations[position].index.rest();
            return;
        };
        if indexer::look(self.database) != Indexer::Absent {
            // Its end wakes us and has everything read anew; this is for one that never comes up.
            self.stations[position]
                .index
                .look_after(settings::naptime().min(LOOK), now);
            let is_awaited = self.build.as_ref().is_some_and(Build::is_awaited);
            if !is_awaited && self.is_another_built(vectorizer.owner) && accounts::has_turn(vectorizer.owner) {
                let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
                if let (Ok(Verdict::Build { .. }), Some(build)) = (verdict, &mut self.build) {
                    build.await_it();
                }
            }
            return;
        }
        if !accounts::has_turn(vectorizer.owner) {
            return;
        }
        let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
        let (works, naptime) = (self.flights.has_of(vectorizer.id), settings::naptime());
        let watch = &mut self.stations[position].index;
        watch.look_after(naptime, now);
        match verdict {
            Ok(verdict @ (Verdict::Ready | Verdict::TooFew)) => {
                watch.looked(verdict == Verdict::Ready, works, naptime, now);
            }
            // The end of the queue has us look again.
            Ok(Verdict::QueueFirst) => watch.rest(),
            Ok(Verdict::UnderWay) => (),
            Ok(Verdict::After(wait)) => watch.look_after(wait, now),
            Ok(Verdict::Build { .. }) => match indexer::start(self.database, &vectorizer) {
                Ok(()) => {
                    self.indexer_look_at = Some(now + MAKE_WAY);
                    self.indexed.insert(vectorizer.owner, now);
                }
                Err(reason) => log!("ai: cannot start an indexer: {reason}"),
            },
            Err(aborted) if aborted.put_off => (),
            Err(aborted) => log!(
                "ai: cannot look after the index of vectorizer {}: {}",
                vectorizer.name,
                aborted.message
            ),
        }
    }

    /// The queue of a vectorizer ran dry: its index may be due.
    pub(super) fn look_after_index(&mut self, position: usize) {
        let station = &mut self.stations[position];
        if station.vectorizer.index.is_some() {
            station.index.queue_ran_dry(settings::naptime(), Instant::now());
        }
    }
}
