//! How documents come into the worker's hands, stay there, and come back from a dead one's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::budget::Reservation;
use ai_pipeline::config::Processing;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::retry;
use pgrx::prelude::*;

use super::{BUSY, Worker};
use crate::catalog::{self, Remembered, Vectorizer};
use crate::queue::Content;
use crate::worker::flight::{Event, Flight, Memory, Opening, Outcome, Stage};
use crate::worker::shared_memory;
use crate::{error, queue, server, stash, transaction};

/// Documents taken by one statement: enough to make it cheap, few enough that vectorizers take turns.
const CLAIM: usize = 256;
/// Changes that are put into the queue by one statement: some tens of milliseconds, which what is in the air has to wait.
const TAKE_IN: usize = 2000;
/// How long until the next try to put those into the queue that a user's transaction was in the way of.
const BLOCKED: Duration = Duration::from_secs(1);
/// However short the wait until something is due, there is a breath between two looks at the same queue.
pub(super) const BREATH: Duration = Duration::from_millis(50);

impl Worker {
    /// Gives back what an earlier worker of this database held, and moves aside what killed three of them.
    pub(super) fn rescue(&mut self) {
        let mut last_exit = 0;
        shared_memory::change(self.database, |slot| last_exit = slot.last_exit);
        for station in &self.stations {
            let vectorizer = &station.vectorizer;
            let rescued = transaction::run(|| {
                let quarantined = transaction::acting_as(vectorizer.owner, || {
                    queue::rescue(vectorizer, last_exit);
                    queue::quarantine(vectorizer, retry::CRASH_ATTEMPTS)
                        .into_iter()
                        .filter(|(number, _)| {
                            let lease = rand::random();
                            queue::lease(vectorizer, *number, lease)
                                && queue::give_up(vectorizer, *number, lease, None, &quarantine_failure())
                        })
                        .collect::<Vec<_>>()
                });
                for (_, primary_key) in &quarantined {
                    catalog::record_error(
                        vectorizer.id,
                        Some(&vectorizer.config),
                        Some(primary_key),
                        &quarantine_failure(),
                    );
                }
                stash::sweep(vectorizer);
            });
            if let Err(aborted) = rescued {
                log!(
                    "ai: cannot give back the documents of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
    }

    /// Takes documents while there is room for them, one vectorizer after the other.
    pub(super) fn claim(&mut self) {
        let (stations, first) = (self.stations.len(), self.turn);
        for step in 0..stations {
            let index = (first + step) % stations;
            let room = self.settings.max_documents_in_flight.saturating_sub(self.flights.len());
            if room == 0 || !self.services.has_room() || self.flights.values().any(|flight| flight.suspect) {
                return;
            }
            let now = Instant::now();
            let station = &self.stations[index];
            if station.look_at.is_none_or(|at| at > now) || station.paused_until.is_some_and(|until| until > now) {
                continue;
            }
            let vectorizer = Arc::clone(&station.vectorizer);
            let mine = self
                .flights
                .values()
                .filter(|flight| flight.vectorizer.id == vectorizer.id)
                .count();
            let limit = if station.paused_until.is_some() {
                // A pause ends when one document succeeds.
                1usize.saturating_sub(mine)
            } else {
                share(&vectorizer.config.processing)
                    .saturating_sub(mine)
                    .min(room)
                    .min(CLAIM)
            };
            if limit > 0 {
                self.claim_from(index, &vectorizer, limit);
                // Also when it has taken all the room there was: the others come first where the next one is free.
                self.turn = (index + 1) % stations;
            }
        }
    }

    pub(super) fn claim_from(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, limit: usize) {
        // Privileges and options of its foreign servers may be others than when it was read.
        let (config, owner) = (&vectorizer.config, vectorizer.owner);
        match transaction::run(|| server::of(&config.embedding, &config.loading, owner)) {
            Ok(servers) if servers == vectorizer.servers => (),
            Ok(_) => {
                self.reread = true;
                return;
            }
            Err(aborted) => {
                log!(
                    "ai: cannot look at the servers of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                self.stations[index].look_at = Some(Instant::now() + retry::backoff(1, rand::random()));
                return;
            }
        }
        // A provider that cannot be asked is found out before a document is fetched for it.
        let (bridge, services) = (&self.bridge, &mut self.services);
        let ready = bridge.within(|| services.embedder(vectorizer).and_then(|_| services.loader(vectorizer)));
        if let Err(failure) = ready {
            self.pause_vectorizer(vectorizer, &failure);
            return;
        }
        let (duration, alone) = (self.settings.lease_duration, self.flights.is_empty());
        let wait = self.stations[index]
            .intake_not_before
            .saturating_duration_since(Instant::now());
        let takes_in = wait.is_zero();
        let held = self.leases_of(vectorizer.id);
        let claimed = transaction::run(|| {
            // Whatever a document does to the server, and whatever synchronous_commit says, the attempt is counted.
            transaction::must_last();
            transaction::acting_as(vectorizer.owner, || {
                let mut suspect = false;
                let taken_in = takes_in.then(|| queue::take_in(vectorizer, TAKE_IN));
                let mut items = queue::claim(vectorizer, limit, rand::random(), duration, false, &held);
                if items.is_empty() && alone {
                    items = queue::claim(vectorizer, 1, rand::random(), duration, true, &held);
                    suspect = !items.is_empty();
                }
                let mut due = if items.len() < limit && !taken_in.is_some_and(|taken| taken.more) {
                    queue::next_due(vectorizer)
                } else {
                    Some(Duration::ZERO)
                };
                if taken_in.is_none_or(|taken| taken.left_behind) {
                    let again = if takes_in { BLOCKED } else { wait };
                    due = Some(due.map_or(again, |due| due.min(again)));
                }
                let remembered = catalog::memories(vectorizer, &items);
                (items, remembered, suspect, due, taken_in)
            })
        });
        match claimed {
            Ok((items, mut remembered, suspect, due, taken_in)) => {
                self.refused.remove(&vectorizer.id);
                let more = items.len() == limit;
                let wait = due.map(|wait| if more { wait } else { wait.max(BREATH) });
                self.stations[index].look_at = wait.map(|wait| Instant::now() + wait);
                if let Some(taken_in) = taken_in {
                    self.stations[index].took_in(&taken_in);
                }
                let dry = items.is_empty() && due.is_none_or(|wait| wait > Duration::ZERO);
                for item in items {
                    let remembered = remembered.remove(&item.number);
                    self.take_off(vectorizer, item, remembered, suspect);
                }
                let mine = |flight: &Flight| flight.vectorizer.id == vectorizer.id;
                let is_over = dry && !self.flights.values().any(mine);
                if is_over && due.is_none() {
                    self.end_pause(index);
                    self.look_after_index(index);
                }
                if self.stations[index].at_times {
                    self.stations[index].look_at = Some(Instant::now() + BREATH);
                    if is_over {
                        self.end_run(index, vectorizer.id);
                    }
                }
            }
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                // Whatever was in the way: a document of the queue need not wait for a change of another.
                if takes_in {
                    self.stations[index].intake_not_before = Instant::now() + BLOCKED;
                }
                self.stations[index].look_at = Some(Instant::now() + BUSY);
            }
            Err(aborted) => {
                let failure = error::from_database(&aborted, Step::Loading);
                match failure.class {
                    Class::Configuration if self.may_be_stale(vectorizer.id, &failure) => (),
                    Class::Configuration => self.pause_vectorizer(vectorizer, &failure),
                    Class::Transient | Class::Throttled { .. } | Class::Permanent | Class::Unknown => {
                        log!(
                            "ai: cannot take documents of vectorizer {}: {}",
                            vectorizer.name,
                            failure.reason
                        );
                        let again = Instant::now() + retry::backoff(1, rand::random());
                        self.stations[index].look_at = Some(again);
                        if takes_in {
                            // A key that the queue refuses keeps no document of the queue waiting.
                            self.stations[index].intake_not_before = again + BLOCKED;
                        }
                    }
                }
            }
        }
    }

    /// Puts what has changed into the queues that are not looked at now: paused ones, and those that are worked on at times.
    /// The keys that the triggers append would be more than there are documents, in time.
    pub(super) fn take_in(&mut self) {
        let now = Instant::now();
        for station in &mut self.stations {
            if station.takes_in_at().is_none_or(|at| at > now) {
                continue;
            }
            station.take_in_at = None;
            let vectorizer = Arc::clone(&station.vectorizer);
            let taken =
                transaction::run(|| transaction::acting_as(vectorizer.owner, || queue::take_in(&vectorizer, TAKE_IN)));
            match taken {
                Ok(taken_in) => {
                    station.took_in(&taken_in);
                    if taken_in.more || taken_in.left_behind {
                        station.take_in_at = Some(if taken_in.more { now } else { now + BLOCKED });
                    }
                }
                Err(aborted) if error::is_lock_conflict(&aborted) => station.take_in_at = Some(now + BLOCKED),
                // Whoever works on the queue next says so where users see it.
                Err(aborted) => log!(
                    "ai: cannot take in what has changed for vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                ),
            }
        }
    }

    /// The queue of a vectorizer that works at times is dry.
    fn end_run(&mut self, index: usize, id: i32) {
        self.stations[index].look_at = match transaction::run(|| catalog::finish_run(id)) {
            Ok(wait) => wait.map(|wait| Instant::now() + wait),
            Err(aborted) => {
                log!("ai: cannot plan the next run of vectorizer {id}: {}", aborted.message);
                None
            }
        };
    }

    fn take_off(
        &mut self,
        vectorizer: &Arc<Vectorizer>,
        mut item: queue::Item,
        remembered: Option<Remembered>,
        suspect: bool,
    ) {
        let number = self.next_flight;
        self.next_flight += 1;
        let document = if item.found { item.document.take() } else { None };
        let (columns, is_remembered) = (std::mem::take(&mut item.columns), remembered.is_some());
        let stage = match (&document, item.size.filter(|_| item.found)) {
            (None, Some(size)) => self.queue_for_memory(number, size, Opening { columns, remembered }),
            _ => self.prepare(number, vectorizer, document, Opening { columns, remembered }, None),
        };
        let flight = Flight {
            vectorizer: Arc::clone(vectorizer),
            item,
            stage,
            not_before: Instant::now(),
            suspect,
            remembered: is_remembered,
            memory: Memory::default(),
        };
        self.flights.insert(number, flight);
        self.last_busy = Instant::now();
    }

    /// A large document stays in its row until there is room for it.
    fn queue_for_memory(&self, number: u64, size: u64, opening: Opening) -> Stage {
        let reserve = self.services.reserve(size);
        let task = self.bridge.spawn(async move {
            Event {
                flight: number,
                outcome: Outcome::Reserved(reserve.await),
            }
        });
        Stage::Queueing { opening, _task: task }
    }

    pub(super) fn prepare(
        &mut self,
        number: u64,
        vectorizer: &Arc<Vectorizer>,
        document: Option<Content>,
        Opening { columns, remembered }: Opening,
        reservation: Option<Reservation>,
    ) -> Stage {
        let prepare = self
            .services
            .prepare(vectorizer, document, columns, remembered, reservation);
        let task = self.bridge.spawn(async move {
            Event {
                flight: number,
                outcome: Outcome::Prepared(prepare.await),
            }
        });
        Stage::Preparing { _task: task }
    }

    /// The leases under which documents of a vectorizer are in flight; those that were taken together share one.
    fn leases_of(&self, vectorizer: i32) -> Vec<i64> {
        let mine = self
            .flights
            .values()
            .filter(|flight| flight.vectorizer.id == vectorizer);
        let held: HashSet<i64> = mine.map(|flight| flight.item.lease).collect();
        held.into_iter().collect()
    }

    /// Tells the queues that their documents are in good hands.
    pub(super) fn renew(&mut self) {
        if self.renewed.elapsed() < self.settings.lease_duration / 3 {
            return;
        }
        self.renewed = Instant::now();
        let flown = self
            .flights
            .values()
            .map(|flight| (flight.vectorizer.id, &flight.vectorizer));
        let flown: HashMap<i32, Arc<Vectorizer>> = flown.map(|(id, vectorizer)| (id, Arc::clone(vectorizer))).collect();
        for (id, vectorizer) in flown {
            let held = self.leases_of(id);
            let renewed = transaction::run(|| {
                transaction::acting_as(vectorizer.owner, || {
                    queue::renew(&vectorizer, held, self.settings.lease_duration);
                });
            });
            if let Err(aborted) = renewed {
                log!(
                    "ai: cannot renew the leases of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
    }
}

/// Documents of one vectorizer that may be in flight: what `ai.processing_default` says, or no bound of its own.
fn share(processing: &Processing) -> usize {
    let Processing::Default {
        batch_size,
        concurrency,
    } = processing;
    let number = |value: &Option<i32>| value.and_then(|value| usize::try_from(value).ok());
    match (number(batch_size), number(concurrency)) {
        (None, None) => usize::MAX,
        (batch, concurrency) => batch.unwrap_or(1).saturating_mul(concurrency.unwrap_or(1)).max(1),
    }
}
fn quarantine_failure() -> Failure {
    Failure {
        step: Step::Parsing,
        class: Class::Permanent,
        reason: format!(
            "the worker process died {} times while it worked on this document",
            retry::CRASH_ATTEMPTS
        ),
        hint: Some("The server log tells how the process ended. Change the row, or call ai.retry_vectorizer, to have it tried again.".to_owned()),
    }
}
