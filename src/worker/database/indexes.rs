//! When a vectorizer's index is looked after. It is built by another process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::worker::index::{Build, LOOK, MAKE_WAY};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use crate::postgres::statement;
use crate::postgres::transaction::{self, accounts};
use crate::settings;
use crate::shared_memory::{self, Indexer};
use crate::store::index::{self, IndexAction};
use crate::worker::indexer;

/// Looks after the indexes that may be due, and has one built.
pub(super) struct IndexKeeper {
    /// When to look whether the indexer is in the way of a session, while there is one.
    indexer_look_at: Option<Instant>,
    build: Option<Build>,
    /// When the index of an owner was last begun.
    indexed: HashMap<Oid, Instant>,
}

impl IndexKeeper {
    pub(super) fn new(now: Instant) -> IndexKeeper {
        IndexKeeper {
            indexer_look_at: Some(now),
            build: None,
            indexed: HashMap::new(),
        }
    }

    /// When to look whether the indexer is in the way of a session, while there is one.
    pub(super) fn indexer_look_at(&self) -> Option<Instant> {
        self.indexer_look_at
    }
}

impl Duty for IndexKeeper {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        let stations = worker.stations.iter();
        stations.filter_map(|station| station.index.look_at()).min()
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let now = Instant::now();
        if self.indexer_look_at.is_some_and(|at| at <= now) {
            self.watch_indexer(worker, now);
        }
        let due = |position: &usize| worker.stations[*position].index.is_due(now);
        let mut due: Vec<usize> = (0..worker.stations.len()).filter(due).collect();
        // The owner whose index was built last comes last.
        due.sort_by_key(|position| self.indexed.get(&worker.stations[*position].vectorizer.owner).copied());
        for position in due {
            self.watch_index(worker, position, now);
        }
        false
    }
}

impl IndexKeeper {
    /// Has a build make way for a session that wants the table alone.
    fn watch_indexer(&mut self, worker: &Worker, now: Instant) {
        self.indexer_look_at = match indexer::look(worker.database) {
            Indexer::Absent => None,
            Indexer::Starting | Indexer::Running(_) => Some(now + MAKE_WAY),
        };
        let Indexer::Running(pid) = indexer::look(worker.database) else {
            self.build = None;
            return;
        };
        self.watch_waits(pid);
        let sql = include_str!("../../../sql/query/index/make_way.sql");
        if let Err(aborted) = transaction::run(|| statement::run(sql, &[pid.into()])) {
            log!("ai: cannot look who waits for the indexer: {}", aborted.message);
        }
    }

    /// Ends a build that waits for locks while an index of another owner is to be built. It is
    /// tried again when it was to be anyway.
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

    fn watch_index(&mut self, worker: &mut Worker, position: usize, now: Instant) {
        let vectorizer = Arc::clone(&worker.stations[position].vectorizer);
        let Some(index) = &vectorizer.index else {
            worker.stations[position].index.rest();
            return;
        };
        if indexer::look(worker.database) != Indexer::Absent {
            // Its end wakes us and has everything read anew; this is for one that never comes up.
            worker.stations[position]
                .index
                .look_after(settings::naptime().min(LOOK), now);
            let is_awaited = self.build.as_ref().is_some_and(Build::is_awaited);
            if !is_awaited && is_another_built(worker, vectorizer.owner) && accounts::has_turn(vectorizer.owner) {
                let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
                if let (Ok(IndexAction::Build { .. }), Some(build)) = (verdict, &mut self.build) {
                    build.await_it();
                }
            }
            return;
        }
        if !accounts::has_turn(vectorizer.owner) {
            return;
        }
        let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
        let (works, naptime) = (worker.jobs.has_of(vectorizer.id), settings::naptime());
        let watch = &mut worker.stations[position].index;
        watch.look_after(naptime, now);
        match verdict {
            Ok(verdict @ (IndexAction::Ready | IndexAction::TooFew)) => {
                watch.looked(verdict == IndexAction::Ready, works, naptime, now);
            }
            // The end of the queue has us look again.
            Ok(IndexAction::QueueFirst) => watch.rest(),
            Ok(IndexAction::UnderWay) => (),
            Ok(IndexAction::After(wait)) => watch.look_after(wait, now),
            Ok(IndexAction::Build { .. }) => match indexer::start(worker.database, &vectorizer) {
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
}

impl Worker {
    /// The queue of a vectorizer ran dry: its index may be due.
    pub(super) fn look_after_index(&mut self, position: usize) {
        let station = &mut self.stations[position];
        if station.vectorizer.index.is_some() {
            station.index.queue_ran_dry(settings::naptime(), Instant::now());
        }
    }
}

/// Whether an index of another owner is being built.
fn is_another_built(worker: &Worker, owner: Oid) -> bool {
    let built = shared_memory::indexed(worker.database).and_then(|id| worker.station(id));
    built.is_some_and(|station| station.vectorizer.owner != owner)
}
