//! The worker of a database: takes documents from the queues, lets the tasks work on them, and
//! writes what they bring.
//!
//! Its states and those of a document are drawn in docs/states.md. Transactions are short and hold
//! nothing while a task waits for anything.

mod accidents;
mod claims;
mod duty;
mod extension;
mod failures;
mod indexes;
mod intake;
mod jobs;
mod left;
mod news;
mod notes;
mod overruns;
mod reading;
mod reads;
mod refusals;
mod renewal;
mod report;
mod rescue;
mod state;
mod stations;
mod steps;
mod suspects;
mod swallows;
mod way;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use ai_pipeline::lease::{Holder, Leases};
use ai_pipeline::schedule::Schedule;
use ai_pipeline::worker::notes::Notes;
use ai_pipeline::worker::rereads::Rereads;
use ai_pipeline::worker::round::{self, Leftovers, Outlook, RoundSettings};
use ai_pipeline::worker::slow::Slow;
use ai_pipeline::worker::station::Change;
use ai_pipeline::worker::suspects::Suspects;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use self::claims::Claimer;
use self::duty::Duty;
use self::extension::extension_fits;
use self::indexes::IndexKeeper;
use self::intake::IntakeMover;
use self::jobs::Jobs;
use self::left::Follower;
use self::news::{Listener, watch_prepared};
use self::notes::NoteWriter;
use self::reading::CatalogReader;
use self::renewal::Renewer;
use self::report::Reporter;
use self::rescue::Rescuer;
use self::state::{VectorizerStation, Worker};
use self::steps::Stepper;
use self::way::{Watchman, WayMaker};
use super::job::TaskEvent;
use crate::postgres::transaction::{self, accounts, limit};
use crate::postgres::{error, statement};
use crate::runtime::bridge::{self, Bridge};
use crate::runtime::services::Services;
use crate::settings::{self, Settings};
use crate::shared_memory::{self, lives};

/// Threads that serve the network. Two keep a busy provider and a busy S3 from waiting for each
/// other's TLS.
const THREADS: usize = 2;
/// The number of the worker of a database: there is one.
const WORKER: u8 = 0;
/// How long the main thread waits when it has met a shortage of memory.
const OUT_OF_MEMORY: Duration = Duration::from_millis(200);

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_worker_main(argument: pg_sys::Datum) {
    let database = Oid::from(argument.value() as u32);
    super::receive_signals();
    // SAFETY: once, at the start of a background worker. The handlers run last first: threads, then
    // slot.
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
    let ended = transaction::caught(|| match Rounds::start(database) {
        Some(rounds) => rounds.run(),
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

/// The duties of a worker, in the order of a round.
struct Duties {
    way: WayMaker,
    watch: Watchman,
    news: Listener,
    steps: Stepper,
    reading: CatalogReader,
    left: Follower,
    rescue: Rescuer,
    renewal: Renewer,
    claims: Claimer,
    intake: IntakeMover,
    notes: NoteWriter,
    indexes: IndexKeeper,
    report: Reporter,
}

impl Duties {
    /// Those that are to be done when a queue, an intake, an index or a note is due.
    fn of_queues(&self) -> [&dyn Duty; 5] {
        [&self.claims, &self.intake, &self.notes, &self.indexes, &self.left]
    }
}

/// A worker, and what it does in each round.
struct Rounds {
    worker: Worker,
    duties: Duties,
}

impl Rounds {
    /// `None` when the database has no use for a worker.
    fn start(database: Oid) -> Option<Rounds> {
        let news = shared_memory::take_wake(database);
        watch_prepared(database);
        if !extension_fits(database) {
            return None;
        }
        let settings = settings::current();
        let bridge = open_bridge(database, &settings);
        let services = bridge.within(|| Services::new(&settings));
        let now = Instant::now();
        let lives::LifeStart {
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
            stations: Vec::new(),
            turn: 0,
            rereads: Rereads::default(),
            unrescued: VecDeque::new(),
            leases: Leases::new(holder(began)),
            jobs: Jobs::default(),
            lag: None,
            last_busy: now,
            suspects: Suspects::new(now),
            left: HashMap::new(),
            notes: Notes::default(),
            abandoned: HashMap::new(),
            slow: Slow::default(),
            makes_room: None,
        };
        let duties = Duties {
            way: WayMaker::new(now),
            watch: Watchman::new(),
            news: Listener::new(now),
            steps: Stepper,
            reading: CatalogReader {
                died_with: held,
                overrun,
            },
            left: Follower,
            rescue: Rescuer {
                killed: killed.map(holder),
            },
            renewal: Renewer::new(now),
            claims: Claimer,
            intake: IntakeMover,
            notes: NoteWriter,
            indexes: IndexKeeper::new(now),
            report: Reporter::default(),
        };
        worker.rereads.heard(news.generation);
        worker.hear(&news);
        worker.read_all(Change::Own);
        // Those that it was woken for.
        worker.rereads.first(news.work.apart());
        Some(Rounds { worker, duties })
    }

    fn run(mut self) -> ! {
        loop {
            let Err(aborted) = transaction::caught(|| self.round()) else {
                continue;
            };
            if aborted.code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY {
                error::raise(aborted.code, aborted.message, None);
            }
            // What is in flight may give some back. Documents that were taken and are not in flight
            // are taken again when their leases have run out.
            log!("ai: the worker waits for memory: {}", aborted.message);
            self.worker.bridge.wait(OUT_OF_MEMORY);
        }
    }

    /// Does what there is to do, and waits for more.
    fn round(&mut self) {
        if super::must_end() {
            super::end(1);
        }
        let Rounds { worker, duties } = self;
        if super::reload_configuration() {
            worker.reload();
        }
        statement::refresh_plans();
        duties.way.run(worker);
        duties.watch.run(worker);
        duties.news.run(worker);
        worker.take_results();
        let more = duties.steps.run(worker);
        worker.stop_overruns();
        worker.give_back();
        duties.reading.run(worker);
        duties.left.run(worker);
        duties.rescue.run(worker);
        // While there is something to write, Postgres' WAL writer writes to the disk beside us.
        if !more && let Some(lag) = worker.lag.take() {
            lag.end();
        }
        // First: after a long step, what is in our hands must not pass for what nobody holds.
        duties.renewal.run(worker);
        let took_all_it_could = duties.claims.run(worker);
        duties.intake.run(worker);
        duties.notes.run(worker);
        duties.indexes.run(worker);
        worker.stop_overruns();
        duties.report.run(worker);
        if self.is_idle() && self.leave() {
            super::end(0);
        }
        self.worker.leave_for_others();
        // While the threads prepare what was taken, the next are taken.
        if !more && !took_all_it_could {
            self.worker.bridge.wait(self.pause());
        }
    }

    /// When a queue, an intake, an index or a note is due, as far as is known.
    fn next_due(&self) -> Option<Instant> {
        let duties = self.duties.of_queues().into_iter();
        duties.filter_map(|duty| duty.due(&self.worker)).min()
    }

    /// What there may be to do next.
    fn outlook(&self) -> Outlook {
        let Rounds { worker, duties } = self;
        let now = Instant::now();
        let leftovers = if worker.unrescued.is_empty() {
            Leftovers::None
        } else if duties.rescue.due(worker).is_some() {
            Leftovers::Due
        } else {
            Leftovers::Wait
        };
        Outlook {
            has_unread: duties.reading.due(worker).is_some(),
            leftovers,
            is_working: !worker.jobs.is_empty(),
            has_room: worker.jobs.len() < worker.settings.max_documents_in_flight,
            next_due: self.next_due(),
            next_step: duties.steps.due(worker),
            poll_at: duties.news.due(worker).unwrap_or(now),
            make_way_at: duties.way.due(worker).unwrap_or(now),
            indexer_at: duties.indexes.indexer_look_at(),
            last_busy: worker.last_busy,
        }
    }

    fn patience(&self) -> RoundSettings {
        RoundSettings {
            lease: self.worker.settings.lease_duration,
            idle: self.worker.settings.idle_timeout,
        }
    }

    fn is_idle(&self) -> bool {
        let worker = &self.worker;
        // Most rounds end with documents in flight: no more is looked at then.
        if !worker.jobs.is_empty() {
            return false;
        }
        // Of those that cannot be worked on, nobody knows when that ends.
        let is_left = worker.left.keys().any(|id| worker.station(*id).is_some());
        let must_be_remembered = is_left || worker.stations.iter().any(VectorizerStation::must_be_remembered);
        let serves_some = !worker.stations.is_empty();
        self.outlook()
            .is_idle(must_be_remembered, serves_some, self.patience(), Instant::now())
    }

    /// Publishes when the next document is due; false when there is new work after all.
    fn leave(&self) -> bool {
        let is_served = |station: &VectorizerStation| station.vectorizer.schedule != Schedule::Never;
        let serves = self.worker.stations.iter().any(is_served);
        let wait = round::comes_back(self.next_due(), serves, settings::naptime(), Instant::now());
        let due = wait.map_or(0, |wait| {
            shared_memory::now() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2)
        });
        shared_memory::leave(self.worker.database, due)
    }

    /// How long to wait when nothing happens.
    fn pause(&self) -> Duration {
        self.outlook().pause(self.patience(), Instant::now())
    }
}

impl Worker {
    /// New settings make new services; documents in flight finish with the old ones.
    fn reload(&mut self) {
        // It ends pauses, which are written down anew.
        self.notes.forget_all();
        let settings = settings::current();
        if settings != self.settings {
            self.services = self.bridge.within(|| Services::new(&settings));
            self.settings = settings;
        }
        // What was at fault may be well.
        self.read_all(Change::Own);
    }
}

/// The threads of a worker, without which it is none.
fn open_bridge(database: Oid, settings: &Settings) -> Bridge<TaskEvent> {
    match Bridge::open(THREADS, settings.max_documents_in_flight * 2) {
        Ok(bridge) => bridge,
        Err(error) => {
            let reason = format!("cannot start the threads of a worker: {error}");
            log!("ai: {reason}");
            shared_memory::worker_fails(database, &reason);
            super::end(1);
        }
    }
}
