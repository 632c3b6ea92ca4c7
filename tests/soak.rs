//! Storm after storm on the same server at full load: nothing is wrong afterwards, and nothing grows.
//!
//! `make soak MINUTES=60` goes on for an hour; `CONVERGENCE_SEED` chooses the storms.

mod support;

#[path = "support/storm/mod.rs"]
mod storm;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use storm::{Storm, Weather, private_memory, wanted};

/// Documents of the worker in flight: it should have all hands full.
const IN_FLIGHT_OF_SOAK: u64 = 512;

/// What must not grow as storms go on.
#[derive(Debug)]
struct Size {
    /// Private memory of the worker during the storm, at most, in kB.
    worker: u64,
    /// Tables and indexes of the queues, in bytes.
    queues: u64,
    /// Tables and indexes of errors, of what is remembered of documents, and of vectors put aside, in bytes.
    tables: u64,
    /// Rows of the failed queues and error rows.
    notes: u64,
}

/// A worker that has nothing to do.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: i32,
    /// Private memory in kB.
    memory: u64,
    descriptors: usize,
    threads: usize,
}

impl Storm {
    fn number(&self, sql: &str) -> u64 {
        self.column(sql)[0].parse().expect("it is a number")
    }

    fn size(&mut self) -> Size {
        Size {
            worker: std::mem::take(&mut self.worker_peak),
            queues: self.number(
                "SELECT sum(pg_total_relation_size(queue) + pg_total_relation_size(intake))::bigint FROM ai._vectorizer",
            ),
            tables: self.number(
                "SELECT pg_total_relation_size('ai._vectorizer_errors') + pg_total_relation_size('ai._vectorizer_document')
                      + pg_total_relation_size('ai._vectorizer_stash')",
            ),
            notes: self.number(
                "SELECT (SELECT count(*) FROM ai.vectorizer_failed) + (SELECT count(*) FROM ai.vectorizer_errors)",
            ),
        }
    }

    fn process(&self) -> Process {
        let pid = self.scene.cluster.worker().expect("the worker stays");
        let entries = |of: &str| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{of}"));
            entries.expect("the worker stays").count()
        };
        Process {
            pid,
            memory: private_memory(&pid.to_string()),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }

    /// Nothing is remembered of what is not there any more.
    fn check_leftovers(&self) {
        let left = self.number(
            "SELECT (SELECT count(*) FROM ai._vectorizer_stash) + (SELECT count(*) FROM ai._vectorizer_errors)
                  + (SELECT count(*) FROM ai._vectorizer_document d
                     WHERE NOT EXISTS (SELECT FROM object o WHERE d.id = 1 AND o.id = (d.primary_key ->> 'id')::int)
                       AND NOT EXISTS (SELECT FROM note n WHERE d.id = 2 AND n.id = (d.primary_key ->> 'id')::int)
                       AND NOT EXISTS (SELECT FROM tag t WHERE d.id = 3 AND t.id = (d.primary_key ->> 'id')::int))",
        );
        assert_eq!(left, 0, "seed {}: rows of documents that are gone or well", self.seed);
    }

    /// Storm after storm, with many rows at a time; the tables are emptied now and then, so that they stay of one size.
    /// `look` gets what each round has left behind.
    fn soak(&mut self, rounds: Rounds, mut look: impl FnMut(&mut Storm, Size)) {
        let started = Instant::now();
        for round in 1.. {
            for table in ["note", "tag"] {
                self.fill(table, rounds.rows);
            }
            self.rage(rounds.events);
            let size = self.size();
            self.calm_down();
            self.check();
            self.check_leftovers();
            println!("round {round}, minute {}: {size:?}", started.elapsed().as_secs() / 60);
            self.check_price();
            look(self, size);
            if round >= rounds.least && started.elapsed() >= rounds.duration {
                break;
            }
            self.sql("DELETE FROM object; DELETE FROM note; DELETE FROM tag");
            self.objects.clear();
            // A server that has crashed does not know any more what autovacuum should look at, and crashes in
            // each round.
            let queues = "SELECT string_agg(concat_ws(', ', queue::text, intake::text), ', ') FROM ai._vectorizer";
            let queues = self.scene.cluster.value(queues);
            self.sql(&format!(
                "VACUUM ai._vectorizer_errors, ai._vectorizer_document, ai._vectorizer_stash, {queues}"
            ));
        }
    }

    /// The first rounds find the size; the later ones keep it.
    fn soak_in_the_wild(&mut self, rounds: Rounds) {
        let (seed, growth, mut first) = (self.seed, rounds.growth, Vec::new());
        self.soak(rounds, |_, size| {
            if first.len() < 5 {
                first.push(size);
                return;
            }
            let most = |what: fn(&Size) -> u64| first.iter().map(what).max().unwrap_or(0);
            let fits = size.worker <= 2 * most(|size| size.worker) + growth
                && size.queues <= 2 * most(|size| size.queues) + (8 << 20)
                && size.tables <= 2 * most(|size| size.tables) + (8 << 20)
                && size.notes <= 10 * most(|size| size.notes) + 100;
            assert!(fits, "seed {seed}: {size:?} after {first:#?}");
        });
    }

    /// One worker from the beginning to the end, whatever provider and S3 do to it: it ends each round as it
    /// ended the third.
    fn soak_of_one_worker(&mut self, rounds: Rounds) {
        let (seed, mut first): (u64, Vec<Process>) = (self.seed, Vec::new());
        let (growth, mut tables) = (rounds.growth, 0);
        self.soak(rounds, |storm, size| {
            let now = storm.process();
            println!("{now:?}");
            if first.len() < 3 {
                tables = size.tables.max(tables);
                first.push(now);
                return;
            }
            assert!(
                size.tables <= 2 * tables + (4 << 20),
                "seed {seed}: {size:?}, {tables} at first"
            );
            let third = first[2];
            let fits = first.iter().all(|process| process.pid == now.pid)
                && now.memory <= third.memory + growth
                && now.descriptors <= third.descriptors + 48
                && now.threads <= third.threads + 4;
            assert!(fits, "seed {seed}: {now:?} after {first:#?}");
        });
    }
}

/// How a soak goes on.
struct Rounds {
    duration: Duration,
    least: usize,
    /// Rows that are there at the beginning of a round, in each of two tables.
    rows: u64,
    events: u64,
    /// Private memory that a worker may gain after the first rounds, in kB: what its allocators keep after a
    /// greater burst, and Postgres of more relations and plans.
    growth: u64,
}

/// Parts of a soak have the machine for themselves.
static SOAKS: Mutex<()> = Mutex::new(());

/// How many minutes `make soak` should take. Otherwise a few small rounds show that it works when it is
/// wanted, unless one storm is.
fn minutes() -> Option<u64> {
    match std::env::var("SOAK_MINUTES") {
        Ok(minutes) => Some(minutes.parse().expect("SOAK_MINUTES is a number")),
        Err(_) => wanted().is_none().then_some(0),
    }
}

/// Two thirds of the time of `make soak`.
#[test]
fn a_soak_stays_flat() {
    let Some(minutes) = minutes() else { return };
    let _alone = (minutes > 0).then(|| SOAKS.lock().unwrap_or_else(PoisonError::into_inner));
    let small = minutes == 0;
    let rounds = Rounds {
        duration: Duration::from_secs(minutes * 40),
        least: 1,
        rows: if small { 100 } else { 10_000 },
        events: if small { 30 } else { 200 },
        growth: 32 * 1024,
    };
    Storm::new(Weather::Wild, wanted().unwrap_or(3), 20, IN_FLIGHT_OF_SOAK).soak_in_the_wild(rounds);
}

/// The other third.
#[test]
fn a_soak_stays_flat_in_one_process() {
    let Some(minutes) = minutes() else { return };
    let _alone = (minutes > 0).then(|| SOAKS.lock().unwrap_or_else(PoisonError::into_inner));
    let small = minutes == 0;
    let rounds = Rounds {
        duration: Duration::from_secs(minutes * 20),
        least: 4,
        rows: if small { 50 } else { 2_000 },
        events: if small { 8 } else { 60 },
        growth: if small { 6 * 1024 } else { 16 * 1024 },
    };
    Storm::new(Weather::Steady, wanted().unwrap_or(3), 20, IN_FLIGHT_OF_SOAK).soak_of_one_worker(rounds);
}
