//! The worker of a database: takes documents from the queues, lets the tasks work on them, and writes what they bring.
//!
//! Its states and those of a document are drawn in docs/states.md. Transactions are short and hold nothing while a task
//! waits for anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::config::Processing;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::retry::{self, Decision};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::bridge::{self, Bridge};
use super::flight::{Draft, Event, Flight, Outcome, Stage, Task};
use super::services::Services;
use super::shared_memory;
use crate::catalog::{self, Vectorizer};
use crate::queue::{self, Hold};
use crate::settings::{self, Settings};
use crate::{destination, error, transaction};

/// Documents taken by one statement: enough to make it cheap, few enough that vectorizers take turns.
const CLAIM: usize = 16;
/// A user's lock was in the way of a write: how long until the next try.
const BUSY: Duration = Duration::from_millis(100);
/// However short the wait until something is due, there is a breath between two looks at the same queue.
const BREATH: Duration = Duration::from_millis(50);
/// How long a lock of a table (TRUNCATE, ALTER TABLE) may hold up a transaction of ours.
const LOCK_TIMEOUT: &std::ffi::CStr = c"1s";

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_worker_main(argument: pg_sys::Datum) {
    let database = Oid::from(argument.value() as u32);
    super::receive_signals();
    // SAFETY: once, at the start of a background worker. The handlers run last first: threads, then slot.
    unsafe {
        pg_sys::before_shmem_exit(Some(leave_slot), argument);
        pg_sys::before_shmem_exit(Some(bridge::at_exit), argument);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    if !shared_memory::worker_arrived(database) {
        super::end();
    }
    pin_settings();
    match Worker::start(database) {
        Some(worker) => worker.run(),
        None => super::end(),
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn leave_slot(_code: i32, argument: pg_sys::Datum) {
    shared_memory::worker_left(Oid::from(argument.value() as u32));
}

/// What a database or a role may have set must not change what our statements mean.
fn pin_settings() {
    let pinned = [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"lock_timeout", LOCK_TIMEOUT),
        (c"statement_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        (c"default_transaction_isolation", c"read committed"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_deferrable", c"off"),
        (c"session_replication_role", c"origin"),
        (c"DateStyle", c"ISO, YMD"),
        (c"IntervalStyle", c"postgres"),
        (c"extra_float_digits", c"1"),
        (c"bytea_output", c"hex"),
    ];
    for (name, value) in pinned {
        // SAFETY: on the main thread, outside a transaction, with names and values that Postgres knows.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// A vectorizer and when to look at its queue.
struct Station {
    vectorizer: Arc<Vectorizer>,
    /// `None`: the queue is empty, and whoever fills it wakes us.
    look_at: Option<Instant>,
    /// Its configuration was at fault: nothing before this, then one document.
    paused_until: Option<Instant>,
}

struct Worker {
    database: Oid,
    bridge: Bridge<Event>,
    services: Services,
    settings: Settings,
    generation: u64,
    stations: Vec<Station>,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// The station whose turn it is.
    turn: usize,
    last_busy: Instant,
    renewed: Instant,
}

impl Worker {
    /// `None` when the database has no use for a worker.
    fn start(database: Oid) -> Option<Worker> {
        let (_, generation) = shared_memory::take_wake(database);
        if !extension_fits(database) {
            return None;
        }
        let settings = settings::current();
        let bridge = match Bridge::open(settings.max_documents_in_flight * 2) {
            Ok(bridge) => bridge,
            Err(error) => {
                log!("ai: cannot start the threads of a worker: {error}");
                return None;
            }
        };
        let services = bridge.within(|| Services::new(&settings));
        let mut worker = Worker {
            database,
            bridge,
            services,
            settings,
            generation,
            stations: Vec::new(),
            flights: BTreeMap::new(),
            next_flight: 0,
            turn: 0,
            last_busy: Instant::now(),
            renewed: Instant::now(),
        };
        worker.read_vectorizers();
        worker.rescue();
        Some(worker)
    }

    fn run(mut self) -> ! {
        loop {
            if super::must_end() {
                super::end();
            }
            if super::reload_configuration() {
                self.reload();
            }
            self.take_wake();
            while let Some(event) = self.bridge.take() {
                self.land(event);
            }
            self.write();
            self.claim();
            self.renew();
            self.report();
            if self.is_idle() && self.leave() {
                super::end();
            }
            self.bridge.wait(self.pause());
        }
    }

    /// New settings make new services; documents in flight finish with the old ones.
    fn reload(&mut self) {
        let settings = settings::current();
        if settings != self.settings {
            self.services = self.bridge.within(|| Services::new(&settings));
            self.settings = settings;
        }
        self.read_vectorizers();
    }

    fn take_wake(&mut self) {
        let (woken, generation) = shared_memory::take_wake(self.database);
        if generation != self.generation {
            self.generation = generation;
            if !extension_fits(self.database) {
                super::end();
            }
            self.read_vectorizers();
        } else if woken {
            let now = Instant::now();
            for station in &mut self.stations {
                station.look_at = Some(now);
            }
        }
    }

    /// Reads the vectorizers anew. Flights of those that are gone end here.
    fn read_vectorizers(&mut self) {
        let read = transaction::run(|| {
            catalog::vectorizers()
                .into_iter()
                .filter_map(|vectorizer| match vectorizer {
                    Ok(vectorizer) => Some(vectorizer),
                    Err(unusable) => {
                        catalog::pause(unusable.id, &unusable.failure);
                        catalog::record_error(unusable.id, None, None, &unusable.failure);
                        None
                    }
                })
                .collect::<Vec<_>>()
        });
        let vectorizers = match read {
            Ok(vectorizers) => vectorizers,
            Err(aborted) => {
                // The extension is being dropped or updated under our feet: leave, and be started again if wanted.
                log!("ai: cannot read the vectorizers: {}", aborted.message);
                super::end();
            }
        };
        let now = Instant::now();
        self.stations = vectorizers
            .into_iter()
            .map(|vectorizer| Station {
                look_at: Some(now),
                paused_until: vectorizer.paused.map(|wait| now + wait),
                vectorizer: Arc::new(vectorizer),
            })
            .collect();
        let present: HashSet<i32> = self.stations.iter().map(|station| station.vectorizer.id).collect();
        self.flights.retain(|_, flight| present.contains(&flight.vectorizer.id));
        self.turn = 0;
    }

    /// Gives back what an earlier worker of this database held, and moves aside what killed three of them.
    fn rescue(&mut self) {
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
    fn claim(&mut self) {
        let stations = self.stations.len();
        for step in 0..stations {
            let index = (self.turn + step) % stations;
            let room = self.settings.max_documents_in_flight.saturating_sub(self.flights.len());
            if room == 0 || self.flights.values().any(|flight| flight.suspect) {
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
            }
        }
        if stations > 0 {
            self.turn = (self.turn + 1) % stations;
        }
    }

    fn claim_from(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, limit: usize) {
        // A provider that cannot be asked is found out before a document is fetched for it.
        if let Err(failure) = self
            .bridge
            .within(|| self.services.embedder(&vectorizer.config.embedding))
        {
            self.pause_vectorizer(index, &failure);
            return;
        }
        let (duration, alone) = (self.settings.lease_duration, self.flights.is_empty());
        let claimed = transaction::run(|| {
            transaction::acting_as(vectorizer.owner, || {
                let mut suspect = false;
                let mut items = queue::claim(vectorizer, limit, rand::random(), duration, false);
                if items.is_empty() && alone {
                    items = queue::claim(vectorizer, 1, rand::random(), duration, true);
                    suspect = !items.is_empty();
                }
                let due = if items.len() < limit {
                    queue::next_due(vectorizer)
                } else {
                    Some(Duration::ZERO)
                };
                (items, suspect, due)
            })
        });
        match claimed {
            Ok((items, suspect, due)) => {
                let more = items.len() == limit;
                let wait = due.map(|wait| if more { wait } else { wait.max(BREATH) });
                self.stations[index].look_at = wait.map(|wait| Instant::now() + wait);
                for item in items {
                    self.take_off(vectorizer, item, suspect);
                }
            }
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                self.stations[index].look_at = Some(Instant::now() + BUSY);
            }
            Err(aborted) => self.pause_vectorizer(index, &error::from_database(&aborted, Step::Loading)),
        }
    }

    fn take_off(&mut self, vectorizer: &Arc<Vectorizer>, mut item: queue::Item, suspect: bool) {
        let number = self.next_flight;
        self.next_flight += 1;
        let document = if item.found { item.document.take() } else { None };
        let prepare = self
            .services
            .prepare(vectorizer, document, std::mem::take(&mut item.columns));
        let task = self.bridge.spawn(async move {
            Event {
                flight: number,
                outcome: Outcome::Prepared(prepare.await),
            }
        });
        let stage = Stage::Preparing(Task(task));
        self.flights.insert(
            number,
            Flight {
                vectorizer: Arc::clone(vectorizer),
                item,
                stage,
                suspect,
            },
        );
        self.last_busy = Instant::now();
    }

    /// Takes over what a task brought.
    fn land(&mut self, event: Event) {
        self.last_busy = Instant::now();
        // A flight that is gone was ended while its task's result was on the way.
        let Some(mut flight) = self.flights.remove(&event.flight) else {
            return;
        };
        match (event.outcome, flight.stage) {
            (Outcome::Prepared(Ok(texts)), Stage::Preparing(_)) => {
                let vectorizer = Arc::clone(&flight.vectorizer);
                let stored = transaction::run(|| {
                    transaction::acting_as(vectorizer.owner, || {
                        destination::chunks(&vectorizer, flight.item.number)
                    })
                });
                match stored {
                    Ok(stored) => {
                        flight.stage = self.compare(event.flight, &vectorizer, Draft::new(texts, stored));
                        self.flights.insert(event.flight, flight);
                    }
                    Err(aborted) => self.fail(
                        &vectorizer,
                        &flight.item,
                        &error::from_database(&aborted, Step::Writing),
                    ),
                }
            }
            (Outcome::Embedded(Ok(vectors)), Stage::Embedding(draft, _)) => {
                flight.stage = Stage::Writing {
                    draft,
                    vectors,
                    not_before: Instant::now(),
                };
                self.flights.insert(event.flight, flight);
            }
            (Outcome::Prepared(Err(failure)) | Outcome::Embedded(Err(failure)), _) => {
                self.fail(&flight.vectorizer, &flight.item, &failure);
            }
            // One task per stage, and a stage ends with its task.
            (Outcome::Prepared(Ok(_)) | Outcome::Embedded(Ok(_)), stage) => {
                flight.stage = stage;
                self.flights.insert(event.flight, flight);
            }
        }
    }

    /// What remains to be done once the new texts are known: embed some, or only write.
    fn compare(&mut self, number: u64, vectorizer: &Vectorizer, draft: Draft) -> Stage {
        let missing = draft.missing();
        if missing.is_empty() {
            return Stage::Writing {
                draft,
                vectors: Vec::new(),
                not_before: Instant::now(),
            };
        }
        let embedder = self
            .bridge
            .within(|| self.services.embedder(&vectorizer.config.embedding));
        let task = self.bridge.spawn(async move {
            let vectors = match embedder {
                Ok(embedder) => embedder.embed(missing).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            Event {
                flight: number,
                outcome: Outcome::Embedded(vectors),
            }
        });
        Stage::Embedding(draft, Task(task))
    }

    /// Writes the documents that are complete, each in a transaction of its own.
    fn write(&mut self) {
        let now = Instant::now();
        let ready: Vec<u64> = self
            .flights
            .iter()
            .filter(|(_, flight)| matches!(flight.stage, Stage::Writing { not_before, .. } if not_before <= now))
            .map(|(&number, _)| number)
            .collect();
        for number in ready {
            if super::must_end() {
                return;
            }
            if let Some(flight) = self.flights.remove(&number)
                && let Some(again) = self.write_one(flight)
            {
                self.flights.insert(number, again);
            }
        }
    }

    /// Writes a document; gives the flight back when a user's lock is in the way.
    fn write_one(&mut self, mut flight: Flight) -> Option<Flight> {
        let Stage::Writing { draft, vectors, .. } = &flight.stage else {
            return Some(flight);
        };
        let (vectorizer, item) = (&flight.vectorizer, &flight.item);
        let paused = self
            .station(vectorizer.id)
            .is_some_and(|station| station.paused_until.is_some());
        let written = transaction::run(|| {
            let (hold, failed_before) = transaction::acting_as(vectorizer.owner, || {
                let hold = queue::hold(vectorizer, item);
                match hold {
                    Hold::Ours => {
                        let (stored, texts) = (&draft.stored, &draft.texts);
                        destination::replace(vectorizer, item.number, &draft.plan, stored, texts, vectors);
                    }
                    Hold::Gone => destination::clear(vectorizer, item.number),
                    Hold::Busy | Hold::Lost => return (hold, false),
                }
                (hold, queue::finish(vectorizer, item))
            });
            if item.failed_before || failed_before {
                catalog::forgive(vectorizer.id, Some(&item.primary_key));
            }
            if paused && hold == Hold::Ours {
                catalog::resume(vectorizer.id);
            }
            hold
        });
        self.last_busy = Instant::now();
        let busy = match written {
            Ok(Hold::Ours) => {
                let id = flight.vectorizer.id;
                if let Some(station) = self.stations.iter_mut().find(|station| station.vectorizer.id == id) {
                    if station.paused_until.take().is_some() {
                        station.look_at = Some(Instant::now());
                    }
                }
                false
            }
            Ok(Hold::Gone | Hold::Lost) => false,
            Ok(Hold::Busy) => true,
            Err(aborted) if error::is_lock_conflict(&aborted) => true,
            Err(aborted) => {
                self.fail(
                    &flight.vectorizer,
                    &flight.item,
                    &error::from_database(&aborted, Step::Writing),
                );
                false
            }
        };
        if !busy {
            self.look_again(flight.vectorizer.id, Duration::ZERO);
            return None;
        }
        if let Stage::Writing { not_before, .. } = &mut flight.stage {
            *not_before = Instant::now() + BUSY;
        }
        Some(flight)
    }

    /// Does with a failed document what the class of the failure says.
    fn fail(&mut self, vectorizer: &Arc<Vectorizer>, item: &queue::Item, failure: &Failure) {
        let retries = vectorizer.config.loading.retries();
        let decision = retry::after_failure(failure.class, item.attempts, retries, rand::random());
        let settled = transaction::run(|| match decision {
            Decision::Again { after, counted } => {
                transaction::acting_as(vectorizer.owner, || queue::release(vectorizer, item, after, counted));
                if counted {
                    catalog::record_error(
                        vectorizer.id,
                        Some(&vectorizer.config),
                        Some(&item.primary_key),
                        failure,
                    );
                }
            }
            Decision::Pause => {
                transaction::acting_as(vectorizer.owner, || {
                    queue::release(vectorizer, item, Duration::ZERO, false)
                });
            }
            Decision::GiveUp => {
                let gone = transaction::acting_as(vectorizer.owner, || {
                    queue::give_up(vectorizer, item.number, item.lease, Some(item.version), failure)
                });
                if gone {
                    catalog::record_error(
                        vectorizer.id,
                        Some(&vectorizer.config),
                        Some(&item.primary_key),
                        failure,
                    );
                }
            }
        });
        if let Err(aborted) = settled {
            // The lease runs out, and the document is taken again.
            log!(
                "ai: cannot settle a failed document of vectorizer {}: {}",
                vectorizer.name,
                aborted.message
            );
        }
        match decision {
            Decision::Again { after, counted: true } => self.look_again(vectorizer.id, after),
            Decision::Again { after, counted: false } => {
                // Throttled: no document of this vectorizer fares better before then.
                if let Some(station) = self
                    .stations
                    .iter_mut()
                    .find(|station| station.vectorizer.id == vectorizer.id)
                {
                    station.look_at = Some(Instant::now() + after);
                }
            }
            Decision::Pause => {
                if let Some(index) = self
                    .stations
                    .iter()
                    .position(|station| station.vectorizer.id == vectorizer.id)
                {
                    self.pause_vectorizer(index, failure);
                }
            }
            Decision::GiveUp => self.look_again(vectorizer.id, Duration::ZERO),
        }
    }

    /// Stops a vectorizer whose configuration is at fault; one error row, whatever the number of documents.
    fn pause_vectorizer(&mut self, index: usize, failure: &Failure) {
        let failure = Failure {
            class: Class::Configuration,
            ..failure.clone()
        };
        let vectorizer = Arc::clone(&self.stations[index].vectorizer);
        let already = self.stations[index]
            .paused_until
            .is_some_and(|until| until > Instant::now());
        if already {
            return;
        }
        let paused = transaction::run(|| {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), None, &failure);
            catalog::pause(vectorizer.id, &failure)
        });
        let wait = match paused {
            Ok(wait) => wait,
            Err(aborted) => {
                log!(
                    "ai: cannot note why vectorizer {} is paused: {}",
                    vectorizer.name,
                    aborted.message
                );
                settings::naptime()
            }
        };
        self.stations[index].paused_until = Some(Instant::now() + wait);
        self.stations[index].look_at = Some(Instant::now() + wait);
    }

    fn station(&self, id: i32) -> Option<&Station> {
        self.stations.iter().find(|station| station.vectorizer.id == id)
    }

    fn look_again(&mut self, id: i32, after: Duration) {
        let at = Instant::now() + after;
        if let Some(station) = self.stations.iter_mut().find(|station| station.vectorizer.id == id) {
            station.look_at = Some(station.look_at.map_or(at, |planned| planned.min(at)));
        }
    }

    /// Tells the queues that their documents are in good hands.
    fn renew(&mut self) {
        if self.renewed.elapsed() < self.settings.lease_duration / 3 {
            return;
        }
        self.renewed = Instant::now();
        let mut leases: HashMap<i32, (Arc<Vectorizer>, HashSet<i64>)> = HashMap::new();
        for flight in self.flights.values() {
            let held = leases.entry(flight.vectorizer.id);
            let held = held.or_insert_with(|| (Arc::clone(&flight.vectorizer), HashSet::new()));
            held.1.insert(flight.item.lease);
        }
        for (vectorizer, held) in leases.into_values() {
            let renewed = transaction::run(|| {
                transaction::acting_as(vectorizer.owner, || {
                    queue::renew(&vectorizer, held.into_iter().collect(), self.settings.lease_duration);
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

    /// Says in shared memory what is going on.
    fn report(&self) {
        let (mut preparing, mut embedding, mut writing) = (0, 0, 0);
        for flight in self.flights.values() {
            match flight.stage {
                Stage::Preparing(_) => preparing += 1,
                Stage::Embedding(..) => embedding += 1,
                Stage::Writing { .. } => writing += 1,
            }
        }
        let activity = match self.flights.len() {
            0 => "idle".to_owned(),
            _ => format!("loading and parsing {preparing}, embedding {embedding}, writing {writing} documents"),
        };
        let throttled = self.services.throttled_until().and_then(|until| until.elapsed().err());
        let reason = throttled.map(|wait| {
            format!(
                "the embedding provider asked for patience: throttled for another {} s",
                wait.duration().as_secs()
            )
        });
        shared_memory::worker_reports(
            self.database,
            &activity,
            self.flights.len(),
            &reason.unwrap_or_default(),
        );
    }

    /// When something is due, as far as is known.
    fn next_due(&self) -> Option<Instant> {
        let queues = self
            .stations
            .iter()
            .filter_map(|station| match (station.look_at, station.paused_until) {
                (Some(look), Some(resume)) => Some(look.max(resume)),
                (look, _) => look,
            });
        queues.min()
    }

    fn is_idle(&self) -> bool {
        let soon = Instant::now() + self.settings.idle_timeout;
        self.flights.is_empty()
            && self.next_due().is_none_or(|due| due > soon)
            && (self.stations.is_empty() || self.last_busy.elapsed() >= self.settings.idle_timeout)
    }

    /// Publishes when the next document is due; false when there is new work after all.
    fn leave(&self) -> bool {
        let naptime = Instant::now() + settings::naptime();
        let due = (!self.stations.is_empty()).then(|| self.next_due().map_or(naptime, |due| due.min(naptime)));
        let due = due.map_or(0, |due| {
            let wait = due.saturating_duration_since(Instant::now());
            shared_memory::now() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2)
        });
        shared_memory::leave(self.database, due)
    }

    /// How long to wait when nothing happens.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let room = self.flights.len() < self.settings.max_documents_in_flight;
        let mut next = now + self.settings.lease_duration / 3;
        if self.flights.is_empty() {
            next = next.min(self.last_busy + self.settings.idle_timeout);
        }
        if room && let Some(due) = self.next_due() {
            // What is due already and was not taken has to wait for a flight to land.
            next = next.min(due.max(now + BREATH));
        }
        for flight in self.flights.values() {
            if let Stage::Writing { not_before, .. } = flight.stage {
                next = next.min(not_before);
            }
        }
        next.saturating_duration_since(now).max(Duration::from_millis(1))
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
        hint: Some("The server log tells how the process ended. Change the row to have it tried again.".to_owned()),
    }
}

/// Whether the database has the extension, in the version of this library. Says why when it stands still.
fn extension_fits(database: Oid) -> bool {
    let installed = match transaction::run(catalog::extension_version) {
        Ok(installed) => installed,
        Err(aborted) => {
            log!("ai: cannot look for the extension: {}", aborted.message);
            return false;
        }
    };
    let library = env!("CARGO_PKG_VERSION");
    let next_due = match installed.as_deref() {
        Some(version) if version == library => return true,
        Some(version) => {
            log!("ai: the extension is version {version}, the library {library}: run ALTER EXTENSION ai UPDATE");
            shared_memory::now() + i64::try_from(settings::naptime().as_micros()).unwrap_or(i64::MAX / 2)
        }
        None => 0,
    };
    shared_memory::leave(database, next_due);
    false
}
