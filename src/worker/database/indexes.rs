//! When a vectorizer's index is looked after. It is built by another process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::Worker;
use crate::postgres::statement;
use crate::postgres::transaction::{self, accounts};
use crate::settings;
use crate::shared_memory::{self, Indexer};
use crate::store::index::{self, Verdict};
use crate::worker::indexer;

/// How often it is looked whether a build is in somebody's way. Half of Postgres' deadlock_timeout, after
/// which one of two who wait for each other is ended, and it might not be ours.
const MAKE_WAY: Duration = Duration::from_millis(500);
/// How often it is looked whether another owner's index is to be built while one is.
const LOOK: Duration = Duration::from_secs(5);
/// How long a build waits for locks when another owner's is to be built: as long as it has worked, but at
/// least this long. What it has done is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the indexer that runs has done until now.
pub(super) struct Build {
    pid: i32,
    worked: Duration,
    waited: Duration,
    /// An index of another owner is to be built.
    is_awaited: bool,
}

impl Build {
    fn new(pid: i32) -> Build {
        Build {
            pid,
            worked: Duration::ZERO,
            waited: Duration::ZERO,
            is_awaited: false,
        }
    }
}

impl Worker {
    /// Looks after the indexes that may be due, and has one built.
    pub(super) fn watch_indexes(&mut self) {
        let now = Instant::now();
        if self.indexer_look_at.is_some_and(|at| at <= now) {
            self.watch_indexer(now);
        }
        let due = |position: &usize| self.stations[*position].index_look_at.is_some_and(|at| at <= now);
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
        let is_over = build.is_awaited && build.waited >= PATIENCE.max(build.worked);
        let sql = include_str!("../../../sql/query/index/indexer_waits.sql");
        let waits = transaction::run(|| statement::row(sql, &[pid.into(), is_over.into()], |_| ()).is_some());
        match waits {
            Ok(true) => build.waited += MAKE_WAY,
            Ok(false) => build.worked += MAKE_WAY,
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
            self.stations[position].index_look_at = None;
            return;
        };
        if indexer::look(self.database) != Indexer::Absent {
            // Its end wakes us and has everything read anew; this is for one that never comes up.
            self.stations[position].index_look_at = Some(now + settings::naptime().min(LOOK));
            let is_awaited = self.build.as_ref().is_some_and(|build| build.is_awaited);
            if !is_awaited && self.is_another_built(vectorizer.owner) && accounts::has_turn(vectorizer.owner) {
                let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
                if let (Ok(Verdict::Build { .. }), Some(build)) = (verdict, &mut self.build) {
                    build.is_awaited = true;
                }
            }
            return;
        }
        if !accounts::has_turn(vectorizer.owner) {
            return;
        }
        let verdict = vectorizer.transaction(|| index::look(&vectorizer, index));
        let works = self
            .flights
            .values()
            .any(|flight| flight.vectorizer.id == vectorizer.id);
        let station = &mut self.stations[position];
        let again = Some(now + settings::naptime());
        station.index_look_at = match verdict {
            Ok(verdict @ (Verdict::Ready | Verdict::TooFew)) => {
                station.index_looked = Some(now);
                station.index_ready = verdict == Verdict::Ready;
                if works && !station.index_ready { again } else { None }
            }
            // The end of the queue has us look again.
            Ok(Verdict::QueueFirst) => None,
            Ok(Verdict::UnderWay) => again,
            Ok(Verdict::After(wait)) => Some(now + wait),
            Ok(Verdict::Build { .. }) => {
                match indexer::start(self.database, &vectorizer) {
                    Ok(()) => {
                        self.indexer_look_at = Some(now + MAKE_WAY);
                        self.indexed.insert(vectorizer.owner, now);
                    }
                    Err(reason) => log!("ai: cannot start an indexer: {reason}"),
                }
                again
            }
            Err(aborted) if aborted.put_off => again,
            Err(aborted) => {
                log!(
                    "ai: cannot look after the index of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                again
            }
        };
    }

    /// The queue of a vectorizer ran dry: its index may be due. What was found a short while ago is not
    /// looked for again.
    pub(super) fn look_after_index(&mut self, position: usize) {
        let station = &mut self.stations[position];
        if station.vectorizer.index.is_none() {
            return;
        }
        let now = Instant::now();
        let fresh_until = station.index_looked.map(|looked| looked + settings::naptime());
        let at = match fresh_until.filter(|until| *until > now) {
            Some(_) if station.index_ready => return,
            Some(until) => until,
            None => now,
        };
        station.index_look_at = Some(station.index_look_at.map_or(at, |planned| planned.min(at)));
    }
}
