//! What the processes say about themselves, for `ai.worker_status`.

use pgrx::iter::TableIterator;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::catalog;
use crate::postgres::statement;
use crate::shared_memory::{self, Process, Slot, lives};

const NOT_PRELOADED: &str = "ai is not in shared_preload_libraries: add it to postgresql.conf and restart the server";
const NO_LAUNCHER: &str = "the launcher is not running: the server is in recovery, or has just started; if this lasts, \
                           look for \"ai launcher\" in the server log";

const STUCK: &str = "that code does not let the process end; another worker serves the other owners. The process ends as soon as \
                     the code asks Postgres anything; to end it before that, stop the server in immediate mode";

/// Code of an owner that runs for longer than this keeps others waiting, in microseconds.
const WORTH_A_WORD: i64 = 500_000;

/// The name of a vectorizer of this database, for who sees it.
fn seen(vectorizer: i32) -> Option<String> {
    let sql = "SELECT v.name::text FROM ai._seen_vectorizer v WHERE v.id = $1";
    statement::row(sql, &[vectorizer.into()], |row| row.must(1))
}

/// What a process does in which code of an owner runs; the name is for those who see the vectorizer.
fn runs_code(vectorizer: i32, is_here: bool) -> String {
    let name = is_here.then(|| seen(vectorizer)).flatten();
    let whose = name.unwrap_or_else(|| format!("number {vectorizer}"));
    format!("runs code of the owner of vectorizer {whose}")
}

/// The launcher, and the databases where a worker runs, starts, or waits after a failed start.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn worker_processes() -> TableIterator<
    'static,
    (
        name!(process, String),
        name!(pid, Option<i32>),
        name!(database, Option<Oid>),
        name!(state, String),
        name!(activity, Option<String>),
        name!(since, Option<TimestampWithTimeZone>),
        name!(in_flight, Option<i32>),
        name!(reason, Option<String>),
    ),
> {
    if !shared_memory::is_available() {
        return TableIterator::once(missing(NOT_PRELOADED));
    }
    let (launcher, slots) = shared_memory::look();
    let mut rows = vec![of_launcher(&launcher)];
    let now = shared_memory::now();
    // What goes on in other databases is for who watches over the server.
    let sees_all = statement::row("SELECT has_table_privilege('ai._vectorizer', 'SELECT')", &[], |row| {
        row.must(1)
    }) == Some(true);
    // SAFETY: set when the session was connected, and never again.
    let here = unsafe { pg_sys::MyDatabaseId };
    for slot in slots.into_iter().filter(|slot| sees_all || slot.database == here) {
        rows.extend(of_indexer(&slot, here));
        rows.extend(of_stuck(&slot, here));
        rows.extend(of_worker(&slot, here, now));
    }
    TableIterator::new(rows)
}

fn of_launcher(launcher: &Process) -> Description {
    if launcher.pid == 0 {
        return missing(NO_LAUNCHER);
    }
    let mut row = describe("launcher", launcher, None, None);
    // Of this database, where nothing happens for that reason.
    row.7 = row
        .7
        .or_else(|| catalog::conflict().map(|conflict| conflict.to_string()));
    row
}

/// There is no launcher, for this reason.
fn missing(reason: &str) -> Description {
    (
        "launcher".into(),
        None,
        None,
        "missing".into(),
        None,
        None,
        None,
        Some(reason.into()),
    )
}

fn of_indexer(slot: &Slot, here: Oid) -> Option<Description> {
    if slot.indexer.pid == 0 {
        let reason = slot.indexer.reason.get()?;
        return Some((
            "indexer".into(),
            None,
            Some(slot.database),
            "waiting".into(),
            None,
            None,
            None,
            Some(reason.to_owned()),
        ));
    }
    let mut row = describe("indexer", &slot.indexer, Some(slot.database), None);
    if slot.database == here && slot.indexing != 0 {
        // The name is for those who see the vectorizer.
        let name = seen(slot.indexing).unwrap_or_else(|| format!("vectorizer number {}", slot.indexing));
        row.4 = Some(format!("index of {name}"));
    }
    Some(row)
}

/// The processes that code of an owner does not let end.
fn of_stuck(slot: &Slot, here: Oid) -> Vec<Description> {
    let stuck = lives::stuck(slot.database).into_iter();
    let others = stuck.filter(|(pid, _)| *pid != slot.worker.pid);
    let rows = others.map(|(pid, stuck)| {
        (
            "worker".into(),
            Some(pid),
            Some(slot.database),
            "stuck".into(),
            Some(runs_code(stuck.vectorizer, slot.database == here)),
            timestamp(stuck.since),
            None,
            Some(STUCK.into()),
        )
    });
    rows.collect()
}

fn of_worker(slot: &Slot, here: Oid, now: i64) -> Option<Description> {
    if slot.worker.pid == 0 {
        let reason = obstacle(slot, now)?;
        let state = if slot.starting { "starting" } else { "waiting" };
        let since = timestamp(slot.last_exit);
        return Some((
            "worker".into(),
            None,
            Some(slot.database),
            state.into(),
            None,
            since,
            None,
            Some(reason),
        ));
    }
    let mut row = describe("worker", &slot.worker, Some(slot.database), Some(slot.worker.in_flight));
    if let Some((vectorizer, since)) = lives::running(slot.database).filter(|(_, since)| now - since > WORTH_A_WORD) {
        row.4 = Some(runs_code(vectorizer, slot.database == here));
        row.5 = timestamp(since);
    }
    Some(row)
}

fn obstacle(slot: &Slot, now: i64) -> Option<String> {
    if slot.failures > 0 && slot.not_before > now {
        let seconds = (slot.not_before - now) / 1_000_000;
        let start = format!("{} starts failed in a row; the next is in {seconds} s", slot.failures);
        return Some(match slot.failure.get() {
            Some(failure) => format!("{start}: {failure}"),
            None => format!("{start} (the server log has the reasons)"),
        });
    }
    slot.starting.then(|| "the process is on its way".to_owned())
}

type Description = (
    String,
    Option<i32>,
    Option<Oid>,
    String,
    Option<String>,
    Option<TimestampWithTimeZone>,
    Option<i32>,
    Option<String>,
);

fn describe(name: &str, process: &Process, database: Option<Oid>, in_flight: Option<i32>) -> Description {
    let state = if in_flight.unwrap_or(0) > 0 {
        "working"
    } else {
        "running"
    };
    (
        name.to_owned(),
        Some(process.pid),
        database,
        state.to_owned(),
        process.activity.get().map(str::to_owned),
        timestamp(process.since),
        in_flight,
        process.reason.get().map(str::to_owned),
    )
}

fn timestamp(microseconds: i64) -> Option<TimestampWithTimeZone> {
    (microseconds != 0)
        .then(|| TimestampWithTimeZone::try_from(microseconds).ok())
        .flatten()
}
