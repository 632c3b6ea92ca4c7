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

const PROCEDURES: c_int = pg_sys::SysCacheIdentifier::PROCOID as c_int;
const ROLES: c_int = pg_sys::SysCacheIdentifier::AUTHOID as c_int;

/// Tables share places: one that is told of a change of another is looked at once more, nothing else.
const PLACES: usize = 4096;

/// How many changes were told.
static NOW: AtomicU64 = AtomicU64::new(1);
/// The last change of tables, by their numbers.
static CHANGED: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
/// The last change that may concern all tables.
static TABLES_CHANGED: AtomicU64 = AtomicU64::new(0);
/// The last change of a role.
static ROLES_CHANGED: AtomicU64 = AtomicU64::new(0);
/// The last change of a function.
static FUNCTIONS_CHANGED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
    static IS_WATCHING: Cell<bool> = const { Cell::new(false) };
    /// What was found on the tables of vectorizers.
    static LOOKED: RefCell<HashMap<i32, Looked>> = RefCell::default();
    /// The vectorizer whose statements are running.
    static ACTING_FOR: Cell<Option<i32>> = const { Cell::new(None) };
}

/// A look at the tables of a vectorizer.
struct Looked {
    at: u64,
    reached: Vec<Oid>,
    found: Option<CodeOfOthers>,
}

impl Looked {
    fn is_outdated(&self) -> bool {
        FUNCTIONS_CHANGED.load(Ordering::Relaxed) > self.at
            || self.reached.iter().any(|relation| has_changed(*relation, self.at))
    }
}

/// How many changes were told so far.
pub(super) fn now() -> u64 {
    register();
    NOW.load(Ordering::Relaxed)
}

/// Whether a table, or its owner, may have changed since then.
pub(super) fn has_changed(relation: Oid, since: u64) -> bool {
    let is_later = |change: &AtomicU64| change.load(Ordering::Relaxed) > since;
    is_later(&ROLES_CHANGED) || is_later(&TABLES_CHANGED) || is_later(place(relation))
}

fn place(relation: Oid) -> &'static AtomicU64 {
    &CHANGED[relation.to_u32() as usize % PLACES]
}

/// Why nothing is done for a vectorizer, and what to do.
#[derive(Clone)]
pub struct CodeOfOthers {
    pub reason: String,
    pub hint: String,
    /// Some of it would run when a key is written to the intake.
    pub(super) when_inserted: bool,
}

/// Of these vectorizers those on whose tables is code of others.
pub fn look(ids: &[i32]) -> HashMap<i32, CodeOfOthers> {
    look_at(&acting_as_extension(|| statement::on_latest(|| definitions(Some(ids)))))
}

/// The same, of rows that were read.
pub fn look_at(vectorizers: &[Definition]) -> HashMap<i32, CodeOfOthers> {
    register();
    hear_of_changes();
    let at = NOW.load(Ordering::Relaxed);
    let mut ids = Vec::new();
    for vectorizer in vectorizers {
        match reached_by_plain(vectorizer) {
            Some(reached) => {
                LOOKED.with_borrow_mut(|looked| {
                    looked.insert(
                        vectorizer.id,
                        Looked {
                            at,
                            reached,
                            found: None,
                        },
                    )
                });
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
/// So it is with tables of the owner that have no part and, but for the source, no trigger, thus no foreign
/// key with an action either; Postgres notes in `pg_class` that there is one before one can be seen. On a
/// source the worker fires no trigger unless it updates it, which it does where the vectors are in it.
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

fn look_closely(ids: Vec<i32>, at: u64) -> HashMap<i32, CodeOfOthers> {
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
                    row.must::<bool>("when_inserted"),
                )
            })
        })
    });
    let mut all_found = HashMap::new();
    for (id, reached, what, owner, when_inserted) in rows {
        let found = what.map(|what| CodeOfOthers {
            reason: format!("code of others would run as {owner}: there is {what}"),
            hint: format!(
                "Look at it, and who may put such things there (TRIGGER, REFERENCES). Drop it, or give it to {owner}; then call \
                 ai.retry_vectorizer."
            ),
            when_inserted,
        });
        if let Some(found) = &found {
            all_found.insert(id, found.clone());
        }
        LOOKED.with_borrow_mut(|looked| looked.insert(id, Looked { at, reached, found }));
    }
    all_found
}

/// Refuses to act as the owner of a vectorizer where code of others would run so.
pub fn must_be_none(id: i32) {
    let is_clear = |looked: &Looked| looked.found.is_none() && !looked.is_outdated();
    if LOOKED.with_borrow(|looked| looked.get(&id).is_some_and(is_clear)) {
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

/// What is on the tables of a vectorizer, as it was found last where nothing was altered since. Where that is nothing,
/// what its statements reach is locked, so that it stays so: the tables are the owner's, as whom the session acts.
pub(super) fn found_and_locked(id: i32) -> Option<CodeOfOthers> {
    loop {
        let is_known = LOOKED.with_borrow(|looked| looked.get(&id).is_some_and(|looked| !looked.is_outdated()));
        if !is_known {
            look(&[id]);
        }
        // One that the catalogue does not know reaches nothing.
        let known = LOOKED.with_borrow(|looked| {
            looked
                .get(&id)
                .map(|looked| (looked.reached.clone(), looked.found.clone()))
        });
        let (reached, found) = known?;
        if found.is_some() {
            return found;
        }
        for relation in reached {
            lock(relation, pg_sys::RowExclusiveLock);
        }
        if LOOKED.with_borrow(|looked| looked.get(&id).is_none_or(|looked| !looked.is_outdated())) {
            return None;
        }
    }
}

/// Locks a table to the end of the transaction. What was altered before is known from then on.
pub(super) fn lock(relation: Oid, mode: u32) {
    // SAFETY: on the main thread, in a transaction. A table that is gone can be locked, too.
    unsafe { pg_sys::LockRelationOid(relation, mode as pg_sys::LOCKMODE) };
}

/// Whether nobody can have put anything on a table of the owner but the owner: it has no trigger, also none
/// of a foreign key, and no parts. A look at what Postgres has in its caches.
pub(super) fn is_untouched(table: Oid) -> bool {
    Relation::of(table)
        .is_none_or(|table| table.kind == pg_sys::RELKIND_RELATION && !(table.has_triggers || table.has_parts))
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
        for cache in [PROCEDURES, ROLES] {
            pg_sys::CacheRegisterSyscacheCallback(cache, Some(entry_changed), pg_sys::Datum::from(0usize));
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn table_changed(_argument: pg_sys::Datum, relation: Oid) {
    let changed = if relation == Oid::INVALID {
        &TABLES_CHANGED
    } else {
        place(relation)
    };
    note(changed);
}

#[pg_guard]
unsafe extern "C-unwind" fn entry_changed(_argument: pg_sys::Datum, cache: c_int, _hash: u32) {
    note(if cache == ROLES {
        &ROLES_CHANGED
    } else {
        &FUNCTIONS_CHANGED
    });
}

fn note(changed: &AtomicU64) {
    changed.store(NOW.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
}
