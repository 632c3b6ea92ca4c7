//! Code of other roles that what is done for a vectorizer would run in the name of its owner: triggers, foreign keys
//! with actions, and parts of tables.
//!
//! Looked for whenever a vectorizer is read, and again where one of the tables that its statements reach was altered
//! since. Postgres tells of that by its caches, so that nothing is asked for as long as nothing is altered; and it has
//! told when a statement has its tables locked, before that runs anything of what is on them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::definition::{Definition, definitions};
use crate::postgres::error::raise;
use crate::postgres::relation::{Relation, hear_of_changes};
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;

/// Tables share places: one that is told of a change of another is looked at once more, nothing else.
const PLACES: usize = 4096;

/// How many changes were told.
static NOW: AtomicU64 = AtomicU64::new(1);
/// The last change of tables, by their numbers.
static CHANGED: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
/// The last change that may concern all.
static ALL_CHANGED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
    static IS_WATCHING: Cell<bool> = const { Cell::new(false) };
    /// The vectorizers on whose tables there was nothing of others.
    static LOOKED: RefCell<HashMap<i32, Looked>> = RefCell::default();
    /// The vectorizer whose statements are running.
    static ACTING_FOR: Cell<Option<i32>> = const { Cell::new(None) };
}

/// A look at the tables of a vectorizer that found nothing.
struct Looked {
    at: u64,
    reached: Vec<Oid>,
}

impl Looked {
    fn is_outdated(&self) -> bool {
        let is_later = |change: &AtomicU64| change.load(Ordering::Relaxed) > self.at;
        is_later(&ALL_CHANGED) || self.reached.iter().any(|relation| is_later(place(*relation)))
    }
}

fn place(relation: Oid) -> &'static AtomicU64 {
    &CHANGED[relation.to_u32() as usize % PLACES]
}

/// Why nothing is done for a vectorizer, and what to do.
pub struct Found {
    pub reason: String,
    pub hint: String,
}

/// Of these vectorizers those on whose tables is code of others.
pub fn look(ids: &[i32]) -> HashMap<i32, Found> {
    look_at(&acting_as_extension(|| statement::on_latest(|| definitions(Some(ids)))))
}

/// The same, of rows that were read.
pub fn look_at(vectorizers: &[Definition]) -> HashMap<i32, Found> {
    register();
    hear_of_changes();
    let at = NOW.load(Ordering::Relaxed);
    let mut ids = Vec::new();
    for vectorizer in vectorizers {
        match reached_by_plain(vectorizer) {
            Some(reached) => {
                LOOKED.with_borrow_mut(|looked| looked.insert(vectorizer.id, Looked { at, reached }));
            }
            None => ids.push(vectorizer.id),
        }
    }
    if ids.is_empty() {
        return HashMap::new();
    }
    look_closely(ids, at)
}

/// The tables that the statements of a vectorizer reach, where Postgres' caches tell that nothing of others can be on
/// them: to plan the statement that looks closely takes a worker longer than all the rest of its start.
///
/// So it is with tables of the owner that have no part and, but for the source, no trigger, thus no foreign key with an
/// action either; Postgres notes in `pg_class` that there is one before one can be seen. On a source the worker fires no
/// trigger unless it updates it, which it does where the vectors are in it.
fn reached_by_plain(vectorizer: &Definition) -> Option<Vec<Oid>> {
    if vectorizer.config()?["destination"].get("embedding_column").is_some() {
        return None;
    }
    let source = Relation::of(vectorizer.source).filter(|source| !source.has_parts)?;
    let tables = [
        vectorizer.queue,
        vectorizer.failed,
        vectorizer.intake?,
        vectorizer.target?,
    ];
    let is_plain = |table: &Oid| {
        Relation::of(*table).is_some_and(|table| table.owner == source.owner && !table.has_triggers && !table.has_parts)
    };
    tables
        .iter()
        .all(is_plain)
        .then(|| [&[vectorizer.source], &tables[..]].concat())
}

fn look_closely(ids: Vec<i32>, at: u64) -> HashMap<i32, Found> {
    let sql = include_str!("../../sql/query/vectorizer/code_of_others.sql");
    // What is told is committed, and may be newer than what the transaction sees.
    let rows = acting_as_extension(|| {
        statement::on_latest(|| {
            statement::rows(sql, &[ids.into()], |row| {
                let relations: Vec<Oid> = row.must("relations");
                (
                    row.must::<i32>("id"),
                    relations,
                    row.get::<String>("found"),
                    row.must::<String>("owner_name"),
                )
            })
        })
    });
    let mut found = HashMap::new();
    for (id, reached, what, owner) in rows {
        let Some(what) = what else {
            LOOKED.with_borrow_mut(|looked| looked.insert(id, Looked { at, reached }));
            continue;
        };
        LOOKED.with_borrow_mut(|looked| looked.remove(&id));
        let reason = format!("code of others would run as {owner}: there is {what}");
        let hint = format!(
            "Look at it, and who may put such things there (TRIGGER, REFERENCES). Drop it, or give it to {owner}; then call \
             ai.retry_vectorizer."
        );
        found.insert(id, Found { reason, hint });
    }
    found
}

/// Refuses to act as the owner of a vectorizer where code of others would run so.
pub fn must_be_none(id: i32) {
    let is_known = LOOKED.with_borrow(|looked| looked.get(&id).is_some_and(|looked| !looked.is_outdated()));
    if is_known {
        return;
    }
    if let Some(found) = look(&[id]).remove(&id) {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            found.reason,
            Some(&found.hint),
        );
    }
}

/// Runs statements as the owner of a vectorizer, of which none begins where code of others would run.
pub fn acting_for<T>(id: i32, work: impl FnOnce() -> T) -> T {
    watch_statements();
    let _acting = Acting(ACTING_FOR.replace(Some(id)));
    work()
}

/// Goes back when it is dropped, also by an ERROR.
struct Acting(Option<i32>);

impl Drop for Acting {
    fn drop(&mut self) {
        ACTING_FOR.set(self.0);
    }
}

/// Has the statements of this process looked at when they have their tables locked, and run nothing yet.
fn watch_statements() {
    if IS_WATCHING.replace(true) {
        return;
    }
    // SAFETY: on the main thread, once in a process; the hook lives as long as the library.
    unsafe {
        HOOK_BEFORE = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(at_start);
    }
}

static mut HOOK_BEFORE: pg_sys::ExecutorStart_hook_type = None;

#[pg_guard]
unsafe extern "C-unwind" fn at_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // What the look itself runs is not looked at.
    if let Some(id) = ACTING_FOR.take() {
        let _acting = Acting(Some(id));
        must_be_none(id);
    }
    // SAFETY: called as Postgres calls it; an ERROR of the hook before goes through the guard, and the
    // binding has its own.
    unsafe {
        match HOOK_BEFORE {
            Some(before) => pg_sys::ffi::pg_guard_ffi_boundary(|| before(query, flags)),
            None => pg_sys::standard_ExecutorStart(query, flags),
        }
    }
}

fn register() {
    if IS_REGISTERED.replace(true) {
        return;
    }
    // SAFETY: the callbacks live as long as the library, which is never unloaded.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(table_changed), pg_sys::Datum::from(0usize));
        // A function may be given away, and a role lose its rights.
        for cache in [pg_sys::SysCacheIdentifier::PROCOID, pg_sys::SysCacheIdentifier::AUTHOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(all_changed), pg_sys::Datum::from(0usize));
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn table_changed(_argument: pg_sys::Datum, relation: Oid) {
    let changed = if relation == Oid::INVALID {
        &ALL_CHANGED
    } else {
        place(relation)
    };
    changed.store(NOW.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[pg_guard]
unsafe extern "C-unwind" fn all_changed(_argument: pg_sys::Datum, _cache: c_int, _hash: u32) {
    ALL_CHANGED.store(NOW.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
}
