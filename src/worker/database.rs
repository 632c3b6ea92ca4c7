//! The worker of a database: takes documents from the queues, lets the tasks work on them, and writes what they bring.
//!
//! Its states and those of a document are drawn in docs/states.md. Transactions are short and hold nothing while a task
//! waits for anything.

mod accidents;
mod claims;
mod failures;
mod indexes;
mod left;
mod notes;
mod overruns;
mod reads;
mod refusals;
mod stations;
mod steps;
mod suspects;
mod swallows;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use ai_pipeline::launch::Wanted;
use ai_pipeline::lease::{Holder, Leases};
use ai_pipeline::suspicion::Suspicion;
use litemap::LiteMap;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use self::claims::BREATH;
use self::notes::Notes;
use self::stations::Station;
use super::flight::{Event, Flights, Stage};
use crate::catalog::{self, Schedule, Unusable, Vectorizer};
use crate::postgres::transaction::{self, Lag, accounts, limit};
use crate::postgres::{error, statement};
use crate::runtime::bridge::{self, Bridge};
use crate::runtime::services::Services;
use crate::settings::{self, Settings};
use crate::shared_memory::{self, News, lives};

/// Threads that serve the network. Two keep a busy provider and a busy S3 from waiting for each other's TLS.
const THREADS: usize = 2;
/// A user's lock was in the way of a write: how long until the next try.
const BUSY: Duration = Duration::from_millis(200);
/// For how long a document that a lock keeps from being written stays in the worker's hands.
const PATIENCE: Duration = Duration::from_secs(5);
/// Vectorizers that are read by one statement: what waits meanwhile waits for some tens of milliseconds.
const READ: usize = 32;
/// How old what a working worker says about itself may be: a provider's wish for patience wakes nobody here.
const REPORT: Duration = Duration::from_secs(1);
/// The number of the worker of a database: there is one.
const WORKER: u8 = 0;
/// How long the transactions of others may keep the main thread from a round's next duty: what is left comes
/// in the next round, those first whose owners have taken least of its time.
const SLICE: Duration = Duration::from_millis(100);

/// How long the main thread waits when it has met a shortage of memory.
const OUT_OF_MEMORY: Duration = Duration::from_millis(200);

/// How often to look whether somebody wants the database for himself. Postgres gives others five seconds to leave.
const MAKE_WAY: Duration = Duration::from_secs(1);
/// How long to stay away then, unless somebody commits work.
const AWAY: Duration = Duration::from_secs(5);

/// For how long a worker that makes room for another database waits for its documents.
const LANDING: Duration = Duration::from_secs(10);

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
    super::pin_settings();
    super::receive_cancellations();
    accounts::keep();
    statement::keep_plans();
    let ended = transaction::caught(|| match Worker::start(database) {
        Some(worker) => worker.run(),
        None => super::end(0),
    });
    // The process is started again. For want of memory, which is no document's doing, in order.
    let Err(aborted) = ended;
    if aborted.code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY {
        log!("ai: the worker ends, to be started again: {}", aborted.message);
        shared_memory::worker_fails(database, &aborted.message);
        super::end(1);
    }
    error::raise(aborted.code, aborted.message, None)
}

#[pg_guard]
unsafe extern "C-unwind" fn leave_slot(_code: i32, argument: pg_sys::Datum) {
    shared_memory::worker_left(Oid::from(argument.value() as u32), limit::is_ending());
}

pub struct Worker {
    database: Oid,
    bridge: Bridge<Event>,
    services: Services,
    settings: Settings,
    /// How often the vectorizers have changed, as far as is known.
    generation: u64,
    stations: Vec<Station>,
    /// Vectorizers that are to be read (anew), in this order, a few in a round.
    unread: VecDeque<i32>,
    /// Vectorizers whose queues have not been looked through yet for what an earlier worker has left: none of
    /// their documents is taken before.
    unrescued: VecDeque<i32>,
    /// What it takes documents under.
    leases: Leases,
    /// The worker before it, if that was killed.
    killed: Option<Holder>,
    began: Instant,
    flights: Flights,
    next_flight: u64,
    /// The last commit that may not be on the disk yet. What it wrote was in flight when documents were last
    /// claimed, which waits for the disk: a crash of the server costs no more than what may be in flight.
    lag: Option<Lag>,
    /// The station whose turn it is.
    turn: usize,
    last_busy: Instant,
    renewed: Instant,
    /// Vectorizers whose leases are to be renewed.
    unrenewed: HashSet<i32>,
    /// When all queues were last looked at, whether somebody woke us or not.
    polled: Instant,
    /// Vectorizers with documents that a process died with.
    suspects: HashSet<i32>,
    /// When such documents of an owner were last in flight.
    suspects_flew: HashMap<Oid, Instant>,
    /// Whether and for how long they keep those of others waiting.
    suspicion: Suspicion<Oid>,
    /// Vectorizers whose documents the process before had in its hands, if it died.
    died_with: Wanted,
    /// Those whose documents this one has in its hands.
    held: HashSet<i32>,
    /// Vectorizers whose statements the database refused, as what they name may just have been altered, and
    /// the generation of vectorizers that was known by then.
    refused: HashMap<i32, u64>,
    /// Vectorizers that may have changed unseen: to be read anew at the next turn.
    stale: HashSet<i32>,
    /// Those whose triggers are to follow what was altered while they were locked, and not before when.
    left: HashMap<i32, Instant>,
    /// What could not be written down yet.
    notes: Notes,
    /// The vectorizer in whose owner's code the worker before ended, as that would not end, and how many did in a row.
    overrun: Option<(i32, u32)>,
    /// Documents, by their leases and places, that were in our hands when code of their owner was cut short,
    /// or that could not be given back: for the transaction that takes some again.
    abandoned: HashMap<i32, Vec<(i64, i64)>>,
    /// How many documents may be in flight of vectorizers whose code was cut short.
    slow: HashMap<i32, usize>,
    /// Since when another database waits for our place.
    makes_room: Option<Instant>,
    /// When we last looked whether somebody wants the database for himself.
    looked_around: Instant,
    /// When we last looked for processes that are stuck.
    looked_for_stuck: Option<Instant>,
    /// When to look whether the indexer is in somebody's way, while there is one.
    indexer_look_at: Option<Instant>,
    build: Option<indexes::Build>,
    /// When the index of an owner was last begun.
    indexed: HashMap<Oid, Instant>,
    /// That parsers are not confined is in the log.
    said_unconfined: bool,
}

impl Worker {
    /// `None` when the database has no use for a worker.
    fn start(database: Oid) -> Option<Worker> {
        let news = shared_memory::take_wake(database);
        watch_prepared(database);
        if !extension_fits(database) {
            return None;
        }
        let settings = settings::current();
        let bridge = match Bridge::open(THREADS, settings.max_documents_in_flight * 2) {
            Ok(bridge) => bridge,
            Err(error) => {
                let reason = format!("cannot start the threads of a worker: {error}");
                log!("ai: {reason}");
                shared_memory::worker_fails(database, &reason);
                super::end(1);
            }
        };
        let services = bridge.within(|| Services::new(&settings));
        let lives::Beginning {
            began,
            killed,
            overrun,
            held,
        } = lives::begin(database);
        let holder = |began| Holder::new(WORKER, began);
        let mut worker = Worker {
            database,
            bridge,
            services,
            settings,
            generation: news.generation,
            stations: Vec::new(),
            unread: VecDeque::new(),
            unrescued: VecDeque::new(),
            leases: Leases::new(holder(began)),
            killed: killed.map(holder),
            began: Instant::now(),
            flights: Flights::default(),
            next_flight: 0,
            lag: None,
            turn: 0,
            last_busy: Instant::now(),
            renewed: Instant::now(),
            unrenewed: HashSet::new(),
            polled: Instant::now(),
            suspects: HashSet::new(),
            suspects_flew: HashMap::new(),
            suspicion: Suspicion::default(),
            died_with: held,
            held: HashSet::new(),
            refused: HashMap::new(),
            stale: HashSet::new(),
            left: HashMap::new(),
            notes: Notes::default(),
            overrun,
            abandoned: HashMap::new(),
            slow: HashMap::new(),
            makes_room: None,
            looked_around: Instant::now(),
            looked_for_stuck: None,
            indexer_look_at: Some(Instant::now()),
            build: None,
            indexed: HashMap::new(),
            said_unconfined: false,
        };
        worker.hear(&news);
        worker.read_all();
        Some(worker)
    }

    fn run(mut self) -> ! {
        loop {
            let Err(aborted) = transaction::caught(|| self.turn()) else {
                continue;
            };
            if aborted.code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY {
                error::raise(aborted.code, aborted.message, None);
            }
            // What is in flight may give some back. Documents that were taken and are not in flight are taken
            // again when their leases have run out.
            log!("ai: the worker waits for memory: {}", aborted.message);
            self.bridge.wait(OUT_OF_MEMORY);
        }
    }

    /// Does what there is to do, and waits for more.
    fn turn(&mut self) {
        if super::must_end() {
            super::end(1);
        }
        if super::reload_configuration() {
            self.reload();
        }
        statement::refresh_plans();
        self.make_way();
        self.leave_stuck_owners_alone();
        self.take_wake();
        self.land_all();
        let more = self.advance();
        self.stop_overruns();
        self.give_back();
        self.read_some();
        self.follow_left();
        self.rescue();
        // While there is something to write, Postgres' WAL writer writes to the disk beside us.
        if !more && let Some(lag) = self.lag.take() {
            lag.end();
        }
        // First: after a long step, what is in our hands must not pass for what nobody holds.
        self.renew();
        let took_all_it_could = self.claim();
        self.take_in();
        self.write_notes();
        self.watch_indexes();
        self.stop_overruns();
        self.report();
        if self.is_idle() && self.leave() {
            super::end(0);
        }
        self.leave_for_others();
        // While the threads prepare what was taken, the next are taken.
        if !more && !took_all_it_could {
            self.bridge.wait(self.pause());
        }
    }

    /// New settings make new services; documents in flight finish with the old ones.
    fn reload(&mut self) {
        // It ends pauses, which are written down anew.
        self.notes.forget_all();
        let settings = settings::current();
        if settings != self.settings {
            self.services = self.bridge.within(|| Services::new(&settings));
            self.settings = settings;
        }
        self.read_all();
    }

    fn take_wake(&mut self) {
        let news = shared_memory::take_wake(self.database);
        self.generation = news.generation;
        if news.makes_room {
            self.makes_room.get_or_insert_with(Instant::now);
        }
        if !news.changed.is_none() && !extension_fits(self.database) {
            super::end(0);
        }
        self.hear(&news);
        if news.changed.is_all() {
            self.read_all();
        }
        // Each once: what has changed may also have been found stale meanwhile.
        let mut first = std::mem::take(&mut self.stale);
        first.extend(news.changed.apart());
        self.unread.retain(|id| !first.contains(id));
        first.into_iter().for_each(|id| self.unread.push_front(id));
        if !news.asked.is_none() {
            self.take_runs(&news.asked);
        }
        let now = Instant::now();
        let wanted = if self.polled.elapsed() >= settings::naptime() {
            Wanted::ALL
        } else {
            news.work
        };
        if wanted.is_all() {
            self.polled = now;
        }
        // A database may have hundreds of queues: those that nobody has filled are not looked at.
        for station in self.stations.iter_mut() {
            if wanted.has(station.vectorizer.id) {
                station.take_in_at = Some(now);
                if !station.at_times {
                    station.look_at = Some(now);
                }
            }
        }
    }

    /// Ends the pauses whose reasons are mended. The session that has mended one has ended it, too, but for
    /// one that was noted while it did so: we may have looked before, and written after.
    fn hear(&mut self, news: &News) {
        self.hear_of_left(news);
        if news.mended.is_all() {
            self.notes.forget_all();
        }
        for &id in news.mended.apart() {
            self.refused.remove(&id);
            self.notes.forget(id);
            if let Some(station) = self.station_mut(id) {
                station.met_no_lock();
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

    /// Takes over runs that somebody has asked for: only when they are due is looked up, for all at once.
    fn take_runs(&mut self, asked: &Wanted) {
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
            let is_new = !self.unread.contains(&id) && self.station(id).is_none();
            if let Some(station) = self.station_mut(id) {
                station.look_at = Some(now + wait);
                if station.vectorizer.index.is_some() {
                    station.index_look_at.get_or_insert(now);
                }
            }
            // One that is stopped and could not work is not known.
            if is_new && wait.is_zero() {
                self.unread.push_back(id);
            }
        }
    }

    /// Has all vectorizers read (anew), a few in a round. Those that are gone are forgotten at once, and
    /// their flights end.
    fn read_all(&mut self) {
        let ids = match transaction::run(catalog::vectorizer_ids) {
            Ok(ids) => ids,
            Err(aborted) => {
                // The extension is being dropped or updated under our feet: leave, and be started again if wanted.
                log!("ai: cannot read the vectorizers: {}", aborted.message);
                super::end(1);
            }
        };
        let there: HashSet<i32> = ids.iter().copied().collect();
        self.stations.retain(|station| there.contains(&station.vectorizer.id));
        self.flights.retain(|flight| there.contains(&flight.vectorizer.id));
        self.notes.retain(&there);
        self.left.retain(|id, _| there.contains(id));
        self.unread = ids.into();
    }

    /// Reads some of the vectorizers that are to be read.
    fn read_some(&mut self) {
        let some: Vec<i32> = self.unread.drain(..self.unread.len().min(READ)).collect();
        if some.is_empty() {
            return;
        }
        // Those of an owner by themselves, and for the account of the owner: what reading takes is for owners to choose, too.
        let mut of_owners: HashMap<Option<Oid>, Vec<i32>> = HashMap::new();
        for id in &some {
            let owner = self.station(*id).map(|station| station.vectorizer.owner);
            of_owners.entry(owner).or_default().push(*id);
        }
        let mut some = some;
        let mut read: LiteMap<i32, Vectorizer> = LiteMap::new();
        let mut unusable = Vec::new();
        for (owner, ids) in of_owners {
            if owner.is_some_and(accounts::is_held) {
                some.retain(|id| !ids.contains(id));
                self.unread.extend(ids);
                continue;
            }
            for vectorizer in read_each(&ids, owner) {
                match vectorizer {
                    Ok(vectorizer) => {
                        read.insert(vectorizer.id, vectorizer);
                    }
                    Err(one) => unusable.push(one),
                }
            }
        }
        self.notes.read(&some, unusable);
        for id in some {
            self.replace(id, read.remove(&id));
        }
        let owners = self.stations.iter().map(|station| station.vectorizer.owner);
        accounts::share(owners.collect::<HashSet<_>>().len() > 1);
    }

    /// A vectorizer was read (anew), or is not to be worked on (any more).
    fn replace(&mut self, id: i32, vectorizer: Option<Vectorizer>) {
        let place = self.stations.binary_search_by_key(&id, |station| station.vectorizer.id);
        let Some(vectorizer) = vectorizer else {
            if let Ok(place) = place {
                self.stations.remove(place);
            }
            self.flights.retain(|flight| flight.vectorizer.id != id);
            return;
        };
        let mut station = Station::new(vectorizer);
        self.flights.follow(&station.vectorizer);
        match place {
            Ok(place) => {
                // A pause that could not be written down, and locks that were met: an owner who has the
                // vectorizer read anew, again and again, must not have those tried again.
                let before = &self.stations[place];
                let unnoted = before.paused_until.filter(|_| self.notes.has(id));
                station.paused_until = station.paused_until.or(unnoted);
                (station.conflicts, station.locked_until) = (before.conflicts, before.locked_until);
                station.unlocked_look_at = before.unlocked_look_at.filter(|_| !station.at_times);
                // What it was refused is noted beside a lock of a user only later: it has been said all the same.
                station.refusals = station.refusals.max(before.refusals);
                self.stations[place] = station;
            }
            Err(place) => {
                if self.died_with.has(id) {
                    self.suspicion.died(station.vectorizer.owner);
                }
                self.stations.insert(place, station);
                self.unrescued.push_back(id);
                if let Some((_, deaths)) = self.overrun.take_if(|(overrun, _)| *overrun == id) {
                    self.stop_after_death(id, deaths);
                }
            }
        }
    }

    /// Leaves the database to whoever wants to drop, copy or rename it. What is in flight is taken up again afterwards.
    fn make_way(&mut self) {
        if self.looked_around.elapsed() < MAKE_WAY {
            return;
        }
        self.looked_around = Instant::now();
        if !database_is_claimed(self.database) {
            return;
        }
        log!("ai: leaves the database, which somebody wants for himself; back in {AWAY:?}");
        shared_memory::stop_indexer(None);
        let away = i64::try_from(AWAY.as_micros()).unwrap_or(i64::MAX / 2);
        shared_memory::leave(self.database, shared_memory::now() + away);
        super::end(0)
    }

    /// Does nothing for an owner in whose code an earlier worker is stuck: this one would be the next.
    fn leave_stuck_owners_alone(&mut self) {
        if self.looked_for_stuck.is_some_and(|looked| looked.elapsed() < REPORT) {
            return;
        }
        self.looked_for_stuck = Some(Instant::now());
        for (_, stuck) in lives::stuck(self.database) {
            accounts::change(stuck.owner, |account, now| account.hold(2 * REPORT, now));
        }
    }

    /// Leaves the place to another database, as soon as what is in flight has landed, or some time later: the
    /// next worker takes it up.
    fn leave_for_others(&mut self) {
        if self
            .makes_room
            .is_some_and(|since| self.flights.is_empty() || since.elapsed() >= LANDING)
        {
            shared_memory::leave_for_others(self.database);
            super::end(0)
        }
    }

    /// Says in shared memory what is going on.
    fn report(&mut self) {
        if !self.said_unconfined
            && let Some(missing) = self.services.unconfined()
        {
            log!("ai: parsers run without some of their confinement: {missing}");
            self.said_unconfined = true;
        }
        let (mut preparing, mut embedding, mut writing) = (0, 0, 0);
        for flight in self.flights.values() {
            match flight.stage {
                Stage::Queueing { .. } | Stage::Reading { .. } | Stage::Preparing { .. } => preparing += 1,
                Stage::Embedding { .. } => embedding += 1,
                Stage::Comparing { .. }
                | Stage::Stashing { .. }
                | Stage::Writing { .. }
                | Stage::Finishing { .. }
                | Stage::Settling { .. } => {
                    writing += 1;
                }
            }
        }
        let activity = match self.flights.len() {
            0 => "idle".to_owned(),
            _ => format!("loading and parsing {preparing}, embedding {embedding}, writing {writing} documents"),
        };
        let throttled = self.services.throttled_until().and_then(|until| until.elapsed().err());
        let asked = throttled.map(|wait| {
            format!(
                "the embedding provider asked for patience: throttled for another {} s",
                wait.duration().as_secs()
            )
        });
        let limited = || {
            self.services.limited_for().map(|wait| {
                format!(
                    "the limits of a foreign server (requests_per_minute, tokens_per_minute) are reached for another {} s",
                    wait.as_secs() + 1
                )
            })
        };
        let unconfined = || {
            let missing = self.services.unconfined()?;
            Some(format!("parsers run without some of their confinement: {missing}"))
        };
        let reason = asked.or_else(limited).or_else(unconfined);
        shared_memory::worker_reports(
            self.database,
            &activity,
            self.flights.len(),
            &reason.unwrap_or_default(),
        );
    }

    /// When something is due, as far as is known.
    fn next_due(&self) -> Option<Instant> {
        let queues = self.stations.iter().filter_map(|station| {
            let waits = [station.paused_until, station.locked_until];
            station
                .look_at
                .map(|look| waits.into_iter().flatten().fold(look, Instant::max))
        });
        let indexes = self.stations.iter().filter_map(|station| station.index_look_at);
        let intakes = self.stations.iter().filter_map(Station::takes_in_at);
        queues.chain(indexes).chain(intakes).chain(self.notes.next_due()).min()
    }

    fn is_idle(&self) -> bool {
        let soon = Instant::now() + self.settings.idle_timeout;
        self.flights.is_empty()
            && self.unread.is_empty()
            && self.unrescued.is_empty()
            // Of those that cannot be worked on, nobody knows when that ends.
            && !self.left.keys().any(|id| self.station(*id).is_some())
            // Another worker would not know that one at a time is enough.
            && !self.stations.iter().any(|station| station.is_held_up)
            // Nor that rows are locked.
            && !self.stations.iter().any(|station| station.unlocked_look_at.is_some())
            && self.indexer_look_at.is_none()
            && self.next_due().is_none_or(|due| due > soon)
            && (self.stations.is_empty() || self.last_busy.elapsed() >= self.settings.idle_timeout)
    }

    /// Publishes when the next document is due; false when there is new work after all.
    fn leave(&self) -> bool {
        let naptime = Instant::now() + settings::naptime();
        let served = self
            .stations
            .iter()
            .any(|station| station.vectorizer.schedule != Schedule::Never);
        // One that does not work has its changes taken in all the same.
        let due = match self.next_due() {
            due if served => Some(due.map_or(naptime, |due| due.min(naptime))),
            due => due,
        };
        let due = due.map_or(0, |due| {
            let wait = due.saturating_duration_since(Instant::now());
            shared_memory::now() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2)
        });
        shared_memory::leave(self.database, due)
    }

    /// How long to wait when nothing happens.
    fn pause(&self) -> Duration {
        if !self.unread.is_empty() || self.unrescued.iter().any(|id| !self.must_wait(*id)) {
            return Duration::from_millis(1);
        }
        let now = Instant::now();
        let room = self.flights.len() < self.settings.max_documents_in_flight;
        let mut next = (now + self.settings.lease_duration / 3).min(self.polled + settings::naptime());
        next = next.min(if self.flights.is_empty() {
            self.last_busy + self.settings.idle_timeout
        } else {
            now + REPORT
        });
        if room && let Some(due) = self.next_due() {
            // What is due already and was not taken has to wait for a flight to land.
            next = next.min(due.max(now + BREATH));
        }
        next = next.min(self.looked_around + MAKE_WAY);
        if !self.unrescued.is_empty() {
            next = next.min(now + REPORT);
        }
        next = self.left.values().min().map_or(next, |left| next.min(*left));
        next = self.indexer_look_at.map_or(next, |look| next.min(look));
        for flight in self
            .flights
            .values()
            .filter(|flight| flight.stage.next_step().is_some())
        {
            let held = accounts::held_until(flight.vectorizer.owner);
            next = next.min(held.map_or(flight.not_before, |until| until.max(flight.not_before)));
        }
        next.saturating_duration_since(now).max(Duration::from_millis(1))
    }
}

/// Has what was prepared before the server was started heard of, too. First: what is committed after this is
/// told of, and what was before is read.
fn watch_prepared(database: Oid) {
    if shared_memory::change(database, |slot| slot.knows_prepared) == Some(true) {
        return;
    }
    let sql = include_str!("../../sql/query/session/prepared_transactions.sql");
    let read = || statement::rows(sql, &[database.into()], |row| row.must::<pg_sys::TransactionId>(1));
    match transaction::run(read) {
        Ok(prepared) => {
            shared_memory::watch_prepared(database, &prepared);
            shared_memory::change(database, |slot| slot.knows_prepared = true);
        }
        Err(aborted) => log!("ai: cannot look for prepared transactions: {}", aborted.message),
    }
}

/// Reads vectorizers together, and one by one where one of them makes that fail: it is the only one to suffer from it.
fn read_each(ids: &[i32], owner: Option<Oid>) -> Vec<Result<Vectorizer, Unusable>> {
    let read = || catalog::vectorizers(ids);
    let read = match owner {
        Some(owner) => transaction::run_for(owner, read),
        None => transaction::run(read),
    };
    let read = match read {
        Ok(read) => read,
        Err(aborted) => match ids {
            [id] => return vec![Err(Unusable::unreadable(*id, &aborted))],
            _ => return ids.chunks(1).flat_map(|id| read_each(id, owner)).collect(),
        },
    };
    // What an owner has written as a schedule is for Postgres to read, which may refuse it.
    let followed = |vectorizer: Vectorizer| {
        if !vectorizer.is_scheduled() {
            return Ok(vectorizer);
        }
        let checked = transaction::run(|| catalog::check_schedule(&vectorizer.config.scheduling));
        match checked.unwrap_or_else(|aborted| Err(aborted.message)) {
            Ok(()) => Ok(vectorizer),
            Err(reason) => Err(Unusable::without_schedule(vectorizer.id, &reason)),
        }
    };
    read.into_iter()
        .map(|vectorizer| vectorizer.and_then(followed))
        .collect()
}

/// Whether somebody else keeps everybody from connecting to the database, as CREATE DATABASE ... TEMPLATE,
/// DROP DATABASE and ALTER DATABASE do before they count who is there.
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
    // SAFETY: in a transaction, which gives the lock back; it is the one that every new connection takes.
    let taken = transaction::run(|| unsafe { pg_sys::LockAcquire(&tag, lock, false, true) });
    taken.is_ok_and(|taken| taken == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
}

/// Whether the database has the extension, in the version of this library and in an encoding that it knows.
/// Says why when it stands still.
fn extension_fits(database: Oid) -> bool {
    let looked = transaction::run(|| (catalog::extension_version().is_some(), catalog::conflict()));
    let next_due = match looked {
        Err(aborted) => {
            log!("ai: cannot look for the extension: {}", aborted.message);
            return false;
        }
        Ok((true, None)) => return true,
        Ok((_, Some(conflict))) => {
            log!("ai: {conflict}");
            shared_memory::now() + i64::try_from(settings::naptime().as_micros()).unwrap_or(i64::MAX / 2)
        }
        Ok((false, None)) => 0,
    };
    // Woken since: it may just have been installed.
    if !shared_memory::leave(database, next_due) {
        shared_memory::take_wake(database);
        return extension_fits(database);
    }
    false
}
