//! The launcher: starts workers where there is work. It is connected to no database, so it stands in nobody's way.

use std::collections::HashMap;
use std::time::Duration;

use ai_pipeline::launch::{self, Database, LaunchDecision, WantedWork};
use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime, DynamicBackgroundWorker};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::postgres::transaction;
use crate::settings;
use crate::shared_memory::{self, Slot, lives};

/// Between two looks at the catalogue for databases that came or went without waking anybody, in microseconds.
const CATALOGUE_INTERVAL: i64 = 60_000_000;
/// Between two looks whether prepared transactions are over, while there are any, in microseconds.
const PREPARED_INTERVAL: i64 = 500_000;
/// A worker that has not started after this long has failed to, in microseconds.
const START_TIMEOUT: i64 = 30_000_000;

/// Between two looks for a place while a database waits for one, in microseconds.
const LOOK: i64 = 1_000_000;
/// What is said meanwhile, where it is the server that has none.
const NO_PROCESS: &str = "the server has no process to spare: raise max_worker_processes";

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_launcher_main(_argument: pg_sys::Datum) {
    super::receive_signals();
    // SAFETY: once, at the start of a background worker; no name of a database means shared catalogues only.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0);
        pg_sys::before_shmem_exit(Some(at_exit), pg_sys::Datum::from(0));
    }
    shared_memory::launcher_arrived();
    Launcher::default().run()
}

#[pg_guard]
unsafe extern "C-unwind" fn at_exit(_code: i32, _argument: pg_sys::Datum) {
    shared_memory::launcher_left();
}

#[derive(Default)]
struct Launcher {
    started: HashMap<Oid, Start>,
    /// When the catalogue was read last.
    catalogue_read: i64,
    /// The databases that were there then and let themselves be connected to.
    databases: HashMap<Oid, String>,
    /// When each of them was last served: the one that has waited for longest comes first.
    served: HashMap<Oid, i64>,
    /// The server had no process to spare, and is not asked for one before this.
    full_until: Option<i64>,
}

struct Start {
    worker: DynamicBackgroundWorker,
    at: i64,
}

impl Launcher {
    fn run(mut self) -> ! {
        loop {
            if super::must_end() {
                super::end(1);
            }
            if super::reload_configuration() {
                // A reload means that something was mended: no start waits for its back-off.
                for slot in shared_memory::look().1 {
                    shared_memory::change(slot.database, |slot| (slot.failures, slot.not_before) = (0, 0));
                }
                self.catalogue_read = 0;
            }
            let pause = self.round();
            super::wait(None, pause);
        }
    }

    /// Looks once at everything; how long nothing will be due.
    fn round(&mut self) -> Duration {
        let now = shared_memory::now();
        self.note_exits(now);
        self.replace_stuck();
        if now - self.catalogue_read >= CATALOGUE_INTERVAL {
            self.read_catalogue(now);
        }
        let mut next = now + CATALOGUE_INTERVAL;
        if self.look_at_prepared() {
            next = now + PREPARED_INTERVAL;
        }
        let mut reason = String::new();
        let mut slots = shared_memory::look().1;
        slots.sort_by_key(|slot| self.served.get(&slot.database).copied());
        // A worker that an earlier launcher started counts, too.
        let runs =
            |launcher: &Launcher, slot: &Slot| slot.worker.pid != 0 || launcher.started.contains_key(&slot.database);
        let mut busy = slots.iter().filter(|slot| runs(self, slot)).count();
        let mut waits = false;
        for slot in &slots {
            let running = runs(self, slot);
            let known = Database {
                woken: !slot.woken.is_none(),
                running,
                next_due: (slot.next_due != 0).then_some(slot.next_due),
                not_before: slot.not_before,
            };
            match launch::decide(known, now) {
                LaunchDecision::Sleep => (),
                LaunchDecision::Wait(until) => next = next.min(until),
                LaunchDecision::Start if busy >= settings::max_workers() => {
                    reason = match busy {
                        0 => "ai.max_workers is 0: no worker is started".to_owned(),
                        _ => format!("{busy} workers are busy, as many as ai.max_workers allows"),
                    };
                    waits = true;
                }
                LaunchDecision::Start if self.full_until.is_some_and(|until| until > now) => {
                    reason = NO_PROCESS.to_owned();
                    waits = true;
                }
                LaunchDecision::Start => match self.start(slot.database, now) {
                    Ok(()) => busy += usize::from(self.started.contains_key(&slot.database)),
                    Err(refusal) => {
                        reason = refusal;
                        waits = true;
                    }
                },
            }
        }
        if waits {
            self.make_room(&slots, now);
            next = next.min(now + LOOK);
        }
        shared_memory::launcher_reports(&format!("{busy} workers running"), &reason);
        Duration::from_micros(u64::try_from(next - shared_memory::now()).unwrap_or(0))
    }

    /// Another database waits: the worker that has been there for longest leaves, if that is long enough.
    fn make_room(&self, slots: &[Slot], now: i64) {
        let began = |slot: &&Slot| self.served.get(&slot.database).copied().unwrap_or_default();
        let mut workers = slots.iter().filter(|slot| slot.worker.pid != 0);
        if workers.clone().any(|slot| slot.makes_room) {
            return;
        }
        let oldest = workers.by_ref().min_by_key(began);
        if let Some(slot) = oldest.filter(|slot| now - began(slot) >= launch::TURN) {
            shared_memory::change(slot.database, |slot| slot.makes_room = true);
        }
    }

    /// Wakes those that wait for prepared transactions which are over; whether some are not.
    fn look_at_prepared(&self) -> bool {
        let (over, left): (Vec<_>, Vec<_>) = shared_memory::prepared()
            .into_iter()
            .partition(shared_memory::PreparedTransaction::is_over);
        over.into_iter().for_each(shared_memory::prepared_is_over);
        !left.is_empty()
    }

    /// Gives up workers in which code of an owner runs that nothing ends: others are served by another one. They end by
    /// themselves as soon as that code asks Postgres anything.
    fn replace_stuck(&mut self) {
        for slot in shared_memory::look().1 {
            let (database, pid) = (slot.database, slot.worker.pid);
            if pid != 0 && lives::is_to_be_replaced(database, pid) && shared_memory::worker_is_stuck(database, pid) {
                self.started.remove(&database);
                log!("ai: worker {pid} does not end, as code of an owner does not let it: another one is started");
            }
        }
    }

    /// Settles the accounts of workers that are gone.
    fn note_exits(&mut self, now: i64) {
        self.started.retain(|&database, start| {
            let gone = match start.worker.pid() {
                Ok(_) => false,
                Err(pgrx::bgworkers::BackgroundWorkerStatus::NotYetStarted) => now - start.at > START_TIMEOUT,
                Err(_) => true,
            };
            if gone {
                shared_memory::change(database, |slot| {
                    let lived = now - start.at;
                    (slot.failures, slot.not_before) = launch::after_exit(slot.left_orderly, slot.failures, lived, now);
                    if !slot.left_orderly {
                        // What it was started for has not been done.
                        slot.woken = WantedWork::ALL;
                    }
                    slot.starting = false;
                });
            }
            !gone
        });
    }

    /// Notes the databases that are there; each new one gets a worker once, which looks whether we are wanted.
    fn read_catalogue(&mut self, now: i64) {
        let Ok(present) = transaction::run(databases) else {
            return;
        };
        for gone in shared_memory::look().1 {
            if !present.contains_key(&gone.database) && gone.worker.pid == 0 {
                shared_memory::forget(gone.database);
            }
        }
        for &database in present.keys().filter(|database| !self.databases.contains_key(database)) {
            shared_memory::change(database, |slot| slot.woken = WantedWork::ALL);
        }
        for slot in shared_memory::look().1.iter().filter(|slot| slot.unwatched) {
            shared_memory::change(slot.database, |slot| {
                (slot.woken, slot.changed) = (WantedWork::ALL, WantedWork::ALL)
            });
        }
        self.served.retain(|database, _| present.contains_key(database));
        self.databases = present;
        self.catalogue_read = now;
    }

    fn start(&mut self, database: Oid, now: i64) -> Result<(), String> {
        // A look at the catalogue costs less than a process that finds its database dropped or closed.
        self.read_catalogue(now);
        let Some(name) = self.databases.get(&database) else {
            shared_memory::forget(database);
            return Ok(());
        };
        // Postgres keeps 96 bytes of the name.
        let short: String = name.chars().take(20).collect();
        shared_memory::change(database, |slot| {
            slot.starting = true;
            // What the last worker did says nothing about this one, which may end before it can say anything itself.
            slot.left_orderly = false;
        });
        let worker = BackgroundWorkerBuilder::new(&format!("ai worker {short}"))
            .set_type("ai worker")
            .set_library("ai")
            .set_function("ai_worker_main")
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(None)
            // SAFETY: set for the life of the process.
            .set_notify_pid(unsafe { pg_sys::MyProcPid })
            .set_argument(Some(pg_sys::Datum::from(database)))
            .enable_spi_access()
            .load_dynamic();
        match worker {
            Ok(worker) => {
                self.started.insert(database, Start { worker, at: now });
                self.served.insert(database, now);
                self.full_until = None;
                Ok(())
            }
            // No fault of this worker, whose next start does not wait for longer each time.
            Err(_) => {
                shared_memory::change(database, |slot| slot.starting = false);
                if self.full_until.replace(now + LOOK).is_none() {
                    log!("ai: cannot start a worker: {NO_PROCESS}");
                }
                Err(NO_PROCESS.to_owned())
            }
        }
    }
}

/// The databases that can be connected to, templates aside: a template can be copied only when no process is in it.
fn databases() -> HashMap<Oid, String> {
    let mut found = HashMap::new();
    // SAFETY: a scan of a shared catalogue in a transaction of ours; each tuple is read before the next is fetched.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let database = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if database.datallowconn && !database.datistemplate {
                let name = std::ffi::CStr::from_ptr(database.datname.data.as_ptr());
                found.insert(database.oid, name.to_string_lossy().into_owned());
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    found
}
