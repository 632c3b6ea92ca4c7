//! The worker of a database: takes documents from the queues, lets the tasks work on them, and writes what they bring.
//!
//! Its states and those of a document are drawn in docs/states.md. Transactions are short and hold nothing while a task
//! waits for anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::config::Processing;
use ai_pipeline::error::{self as pipeline, Class, Failure};
use ai_pipeline::retry::{self, Decision};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::bridge::{self, Bridge};
use super::flight::{Draft, Event, Flight, Outcome, Stage, Step, Task};
use super::services::Services;
use super::shared_memory;
use crate::catalog::{self, Vectorizer};
use crate::queue::{self, Hold};
use crate::settings::{self, Settings};
use crate::transaction::Aborted;
use crate::{destination, error, transaction};

/// Documents taken by one statement: enough to make it cheap, few enough that vectorizers take turns.
const CLAIM: usize = 16;
/// A user's lock was in the way of a write: how long until the next try.
const BUSY: Duration = Duration::from_millis(200);
/// However short the wait until something is due, there is a breath between two looks at the same queue.
const BREATH: Duration = Duration::from_millis(50);
/// How long a lock of a table (TRUNCATE, ALTER TABLE) may hold up a transaction of ours.
const LOCK_TIMEOUT: &std::ffi::CStr = c"200ms";

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
        super::end(1);
    }
    pin_settings();
    match Worker::start(database) {
        Some(worker) => worker.run(),
        None => super::end(0),
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
                super::end(1);
            }
            if super::reload_configuration() {
                self.reload();
            }
            self.take_wake();
            while let Some(event) = self.bridge.take() {
                self.land(event);
            }
            self.advance();
            self.claim();
            self.renew();
            self.report();
            if self.is_idle() && self.leave() {
                super::end(0);
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
                super::end(0);
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
                super::end(1);
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
            self.pause_vectorizer(vectorizer, &failure);
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
            Err(aborted) => {
                let failure = error::from_database(&aborted, pipeline::Step::Loading);
                match failure.class {
                    Class::Configuration => self.pause_vectorizer(vectorizer, &failure),
                    Class::Transient | Class::Throttled { .. } | Class::Permanent | Class::Unknown => {
                        log!(
                            "ai: cannot take documents of vectorizer {}: {}",
                            vectorizer.name,
                            failure.reason
                        );
                        self.stations[index].look_at = Some(Instant::now() + retry::backoff(1, rand::random()));
                    }
                }
            }
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
        let flight = Flight {
            vectorizer: Arc::clone(vectorizer),
            item,
            stage: Stage::Preparing { _task: Task(task) },
            not_before: Instant::now(),
            suspect,
        };
        self.flights.insert(number, flight);
        self.last_busy = Instant::now();
    }

    /// Takes over what a task brought.
    fn land(&mut self, event: Event) {
        self.last_busy = Instant::now();
        // A flight that is gone was ended while its task's result was on the way.
        let Some(mut flight) = self.flights.remove(&event.flight) else {
            return;
        };
        flight.stage = match (event.outcome, flight.stage) {
            (Outcome::Prepared(Ok(texts)), Stage::Preparing { .. }) => Stage::Comparing { texts },
            (Outcome::Embedded(Ok(vectors)), Stage::Embedding { draft, .. }) => Stage::Writing { draft, vectors },
            (Outcome::Prepared(Err(failure)) | Outcome::Embedded(Err(failure)), _) => Stage::Settling { failure },
            (Outcome::Prepared(Ok(_)) | Outcome::Embedded(Ok(_)), stage) => {
                drop(stage);
                unreachable!("a stage has one task, and ends with it")
            }
        };
        self.flights.insert(event.flight, flight);
    }

    /// Does the main thread's steps of all documents that wait for one, each in a transaction of its own.
    fn advance(&mut self) {
        let now = Instant::now();
        let ready = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.stage.is_ready() && flight.not_before <= now);
        for number in ready.map(|(&number, _)| number).collect::<Vec<_>>() {
            if super::must_end() {
                return;
            }
            // A conflict over a table has put off the others of its vectorizer meanwhile.
            let Some(mut flight) = self.flights.remove(&number) else {
                continue;
            };
            if flight.not_before > now {
                self.flights.insert(number, flight);
                continue;
            }
            let (vectorizer, item) = (&flight.vectorizer, &flight.item);
            let step = match flight.stage {
                Stage::Comparing { texts } => self.compare(number, vectorizer, item, texts),
                Stage::Writing { draft, vectors } => self.write(vectorizer, item, draft, vectors),
                Stage::Settling { failure } => self.settle(vectorizer, item, failure),
                stage => Step::On(stage),
            };
            self.last_busy = Instant::now();
            match step {
                Step::On(stage) => {
                    flight.stage = stage;
                    self.flights.insert(number, flight);
                }
                Step::Busy(stage) => {
                    flight.stage = stage;
                    flight.not_before = Instant::now() + BUSY;
                    self.flights.insert(number, flight);
                }
                Step::Done => (),
            }
        }
    }

    /// What remains to be done once the new texts are known: embed some, or only write.
    fn compare(&mut self, number: u64, vectorizer: &Vectorizer, item: &queue::Item, texts: Vec<String>) -> Step {
        let stored = transaction::run(|| {
            transaction::acting_as(vectorizer.owner, || destination::chunks(vectorizer, item.number))
        });
        let draft = match stored {
            Ok(stored) => Draft::new(texts, stored),
            Err(aborted) => return self.refused(vectorizer, &aborted, Stage::Comparing { texts }),
        };
        let missing = draft.missing();
        if missing.is_empty() {
            return Step::On(Stage::Writing {
                draft,
                vectors: Vec::new(),
            });
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
        Step::On(Stage::Embedding {
            draft,
            _task: Task(task),
        })
    }

    /// Writes a document and takes it off the queue.
    fn write(&mut self, vectorizer: &Vectorizer, item: &queue::Item, draft: Draft, vectors: Vec<Vec<f32>>) -> Step {
        let paused = self
            .station(vectorizer.id)
            .is_some_and(|station| station.paused_until.is_some());
        let written = transaction::run(|| {
            let (hold, failed_before) = transaction::acting_as(vectorizer.owner, || {
                let hold = queue::hold(vectorizer, item);
                match hold {
                    Hold::Ours => {
                        let (stored, texts) = (&draft.stored, &draft.texts);
                        destination::replace(vectorizer, item.number, &draft.plan, stored, texts, &vectors);
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
        match written {
            Ok(Hold::Busy) => Step::Busy(Stage::Writing { draft, vectors }),
            Ok(hold) => {
                if hold == Hold::Ours
                    && let Some(station) = self.station_mut(vectorizer.id)
                {
                    station.paused_until = None;
                }
                self.look_again(vectorizer.id, Duration::ZERO);
                Step::Done
            }
            Err(aborted) => self.refused(vectorizer, &aborted, Stage::Writing { draft, vectors }),
        }
    }

    /// The database did not do a step: later, if a lock was in the way, else the document has failed.
    fn refused(&mut self, vectorizer: &Vectorizer, aborted: &Aborted, stage: Stage) -> Step {
        if !error::is_lock_conflict(aborted) {
            return Step::On(Stage::Settling {
                failure: error::from_database(aborted, pipeline::Step::Writing),
            });
        }
        // Whoever locks a table is in the way of all its documents: the lock is not waited for with each of them.
        let later = Instant::now() + BUSY;
        for flight in self
            .flights
            .values_mut()
            .filter(|flight| flight.vectorizer.id == vectorizer.id)
        {
            flight.not_before = flight.not_before.max(later);
        }
        Step::Busy(stage)
    }

    /// Does with a failed document what the class of the failure says.
    fn settle(&mut self, vectorizer: &Vectorizer, item: &queue::Item, failure: Failure) -> Step {
        let retries = vectorizer.config.loading.retries();
        let decision = retry::after_failure(failure.class, item.attempts, retries, rand::random());
        let settled = transaction::run(|| {
            let (hold, note) = transaction::acting_as(vectorizer.owner, || {
                let hold = queue::hold_item(vectorizer, item);
                let note = hold == Hold::Ours
                    && match decision {
                        Decision::Again { after, counted } => {
                            queue::release(vectorizer, item, after, counted);
                            counted
                        }
                        Decision::Pause => {
                            queue::release(vectorizer, item, Duration::ZERO, false);
                            false
                        }
                        Decision::GiveUp => {
                            queue::give_up(vectorizer, item.number, item.lease, Some(item.version), &failure)
                        }
                    };
                (hold, note)
            });
            if note {
                catalog::record_error(
                    vectorizer.id,
                    Some(&vectorizer.config),
                    Some(&item.primary_key),
                    &failure,
                );
            }
            hold
        });
        match settled {
            Ok(Hold::Busy) => return Step::Busy(Stage::Settling { failure }),
            Ok(_) => (),
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                return self.refused(vectorizer, &aborted, Stage::Settling { failure });
            }
            // The lease runs out, and the document is taken again.
            Err(aborted) => {
                log!(
                    "ai: cannot note a failed document of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
        match decision {
            Decision::Again { after, counted: true } => self.look_again(vectorizer.id, after),
            // Throttled: no document of this vectorizer fares better before then.
            Decision::Again { after, counted: false } => {
                if let Some(station) = self.station_mut(vectorizer.id) {
                    station.look_at = Some(Instant::now() + after);
                }
            }
            Decision::Pause => self.pause_vectorizer(vectorizer, &failure),
            Decision::GiveUp => self.look_again(vectorizer.id, Duration::ZERO),
        }
        Step::Done
    }

    /// Stops a vectorizer whose configuration is at fault; one error row, whatever the number of documents.
    fn pause_vectorizer(&mut self, vectorizer: &Vectorizer, failure: &Failure) {
        let Some(station) = self.station(vectorizer.id) else {
            return;
        };
        if station.paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        let paused = transaction::run(|| {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), None, failure);
            catalog::pause(vectorizer.id, failure)
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
        if let Some(station) = self.station_mut(vectorizer.id) {
            station.paused_until = Some(Instant::now() + wait);
            station.look_at = Some(Instant::now() + wait);
        }
    }

    fn station(&self, id: i32) -> Option<&Station> {
        self.stations.iter().find(|station| station.vectorizer.id == id)
    }

    fn station_mut(&mut self, id: i32) -> Option<&mut Station> {
        self.stations.iter_mut().find(|station| station.vectorizer.id == id)
    }

    fn look_again(&mut self, id: i32, after: Duration) {
        let at = Instant::now() + after;
        if let Some(station) = self.station_mut(id) {
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
                Stage::Preparing { .. } => preparing += 1,
                Stage::Embedding { .. } => embedding += 1,
                Stage::Comparing { .. } | Stage::Writing { .. } | Stage::Settling { .. } => writing += 1,
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
        for flight in self.flights.values().filter(|flight| flight.stage.is_ready()) {
            next = next.min(flight.not_before);
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
        step: pipeline::Step::Parsing,
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
    // Woken since: it may just have been installed.
    if !shared_memory::leave(database, next_due) {
        shared_memory::take_wake(database);
        return extension_fits(database);
    }
    false
}
