//! The indexer: a process that builds one index and ends, so that the queue of its database goes on meanwhile.
//!
//! It is started by the worker of the database, one at a time, and outlives it. It needs one of
//! max_worker_processes, as its parallel helpers do.

use ai_pipeline::error::{Failure, Step};
use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::catalog::VectorIndex;
use crate::catalog::{self, Vectorizer};
use crate::postgres::aborted::Aborted;
use crate::postgres::failure;
use crate::postgres::transaction;
use crate::shared_memory::{self, Indexer};
use crate::store::index::{self, IndexAction};

/// A process that has not come up after this long has failed to, in microseconds.
const START_TIMEOUT: i64 = 30_000_000;

/// Whether the database has an indexer.
pub fn look(database: Oid) -> Indexer {
    shared_memory::indexer(database, START_TIMEOUT)
}

/// Starts the indexer of this database, which has none, for a vectorizer; the reason when it cannot be.
pub fn start(database: Oid, vectorizer: &Vectorizer) -> Result<(), String> {
    shared_memory::indexer_asked(database);
    let argument = u64::from(database.to_u32()) << 32 | u64::from(vectorizer.id.unsigned_abs());
    let process = BackgroundWorkerBuilder::new(&format!("ai indexer {}", vectorizer.id))
        .set_type("ai indexer")
        .set_library("ai")
        .set_function("ai_indexer_main")
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        .set_argument(Some(pg_sys::Datum::from(argument)))
        .enable_spi_access()
        .load_dynamic();
    process.map(|_| ()).map_err(|_| {
        let reason = "the server has no process to spare for an index: raise max_worker_processes";
        shared_memory::indexer_refused(database, reason);
        reason.to_owned()
    })
}

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_indexer_main(argument: pg_sys::Datum) {
    let (database, id) = parts(argument);
    super::receive_signals();
    // SAFETY: once, at the start of a background worker.
    unsafe {
        pg_sys::before_shmem_exit(Some(leave_slot), argument);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    if !shared_memory::indexer_arrived(database, id) {
        super::end(0);
    }
    super::pin_settings();
    // A user's lock or an old snapshot holds up the build, and is waited for. The worker ends the wait when
    // another owner's index is to be built.
    super::pin(c"lock_timeout", c"0");
    if let Err(aborted) = work(database, id) {
        log!("ai: cannot build the index of vectorizer {id}: {}", aborted.message);
    }
    super::end(0);
}

#[pg_guard]
unsafe extern "C-unwind" fn leave_slot(_code: i32, argument: pg_sys::Datum) {
    shared_memory::indexer_left(parts(argument).0);
}

/// Database and vectorizer.
fn parts(argument: pg_sys::Datum) -> (Oid, i32) {
    let argument = argument.value() as u64;
    (Oid::from((argument >> 32) as u32), argument as u32 as i32)
}

/// Looks again, since time has passed, and builds. An error is one of writing down what happened.
fn work(database: Oid, id: i32) -> Result<(), Aborted> {
    let planned = transaction::run(|| {
        let vectorizers = catalog::vectorizers(&[id]).into_iter().filter_map(Result::ok);
        let vectorizer = vectorizers.into_iter().next()?;
        let IndexAction::Build { left_behind } = index::look(&vectorizer, vectorizer.index.as_ref()?) else {
            return None;
        };
        index::begin(id);
        Some((vectorizer, left_behind))
    })?;
    let Some((vectorizer, left_behind)) = planned else {
        return Ok(());
    };
    let index = vectorizer
        .index
        .as_ref()
        .expect("only a vectorizer with an index is planned for");
    shared_memory::indexer_reports(database, &format!("index of {}", vectorizer.name));
    let built = transaction::become_role(vectorizer.owner).and_then(|()| build(index, left_behind));
    transaction::run(|| {
        transaction::acting_as_extension(|| match &built {
            Ok(()) => index::finish(id),
            Err(aborted) => index::fail(id, &failure(aborted)),
        });
    })?;
    if let Err(aborted) = built {
        log!(
            "ai: the index of vectorizer {} was not built: {}",
            vectorizer.name,
            aborted.message
        );
    }
    Ok(())
}

fn failure(aborted: &Aborted) -> Failure {
    let mut failure = failure::from_database(aborted, Step::Indexing);
    if aborted.code == PgSqlErrorCode::ERRCODE_QUERY_CANCELED {
        failure.reason = "the build made way for a session that wanted the table alone, or was cancelled".to_owned();
    }
    failure
}

fn build(index: &VectorIndex, left_behind: bool) -> Result<(), Aborted> {
    if left_behind {
        transaction::run_at_top_level(&index.drop)?;
    }
    transaction::run_at_top_level(&index.create)
}
