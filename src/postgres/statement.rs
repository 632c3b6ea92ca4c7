//! Statements: the files of sql/query, their identifiers filled in, and the one way to run them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_long};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::postgres::portals;

/// How long plans are kept. Planning takes longer than most statements of the worker; but what is altered
/// meanwhile should have its effect soon.
const KEEP: Duration = Duration::from_secs(1);

/// The plans of statements that are run again and again.
struct PlanCache {
    plans: HashMap<Box<str>, Rc<CachedPlan>>,
    since: Instant,
}

thread_local! {
    /// `None` in the backends of users: what they keep, they keep until they leave.
    static KEPT: RefCell<Option<PlanCache>> = const { RefCell::new(None) };
}

/// From now on the plans of this process are kept for a while.
pub fn keep_plans() {
    KEPT.with_borrow_mut(|kept| *kept = Some(PlanCache::new()));
}

/// Forgets plans that have been kept for long enough; between transactions.
pub fn refresh_plans() {
    KEPT.with_borrow_mut(|kept| {
        if let Some(old) = kept.as_mut().filter(|kept| kept.since.elapsed() >= KEEP) {
            *old = PlanCache::new();
        }
    });
}

impl PlanCache {
    fn new() -> PlanCache {
        PlanCache {
            plans: HashMap::new(),
            since: Instant::now(),
        }
    }
}

/// A prepared statement that outlives its transaction.
struct CachedPlan(pg_sys::SPIPlanPtr);

impl CachedPlan {
    /// Must be called within a connection to SPI.
    fn new(sql: &CStr, arguments: &[DatumWithOid]) -> CachedPlan {
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
        let generic = pg_sys::CURSOR_OPT_GENERIC_PLAN as i32;
        let unfiltered = Unfiltered::new();
        // SAFETY: as many types as arguments; SPI copies them and the text.
        let plan = unsafe {
            let plan = pg_sys::SPI_prepare_cursor(sql.as_ptr(), types.len() as i32, types.as_mut_ptr(), generic);
            assert!(!plan.is_null(), "SPI refused to prepare a statement of ours");
            assert_eq!(pg_sys::SPI_keepplan(plan), 0, "a plan is kept once");
            CachedPlan(plan)
        };
        drop(unfiltered);
        let _by_indexes = ByIndexes::new();
        plan.validate();
        plan
    }

    /// Plans it as it will be executed, unless its plan still holds, and locks its tables.
    fn validate(&self) {
        let _unfiltered = Unfiltered::new();
        // SAFETY: within a connection; gives the reference back that it gets.
        unsafe {
            let cached = pg_sys::SPI_plan_get_cached_plan(self.0);
            if !cached.is_null() {
                pg_sys::ReleaseCachedPlan(cached, pg_sys::CurrentResourceOwner);
            }
        }
    }
}

impl Drop for CachedPlan {
    fn drop(&mut self) {
        // SAFETY: kept, so ours to free; each execution holds the Rc.
        unsafe { pg_sys::SPI_freeplan(self.0) };
    }
}

/// While it lives, statements are planned to follow indexes from row to row. That is how every kept statement
/// is meant: it names some rows of a table of any size, and the planner, who has not seen how many, takes a
/// small table for one that stays small. A scan that has to be (of an intake, which has no index) is so dear
/// then that it would be compiled, for a second: it is not. Only plans are made so, nothing is executed:
/// triggers and functions of users have plans of their own.
struct ByIndexes {
    before: (bool, bool, bool, bool, bool),
}

impl ByIndexes {
    fn new() -> ByIndexes {
        // SAFETY: settings of this process, on its only thread that reads them.
        unsafe {
            let before = (
                pg_sys::enable_seqscan,
                pg_sys::enable_bitmapscan,
                pg_sys::enable_hashjoin,
                pg_sys::enable_mergejoin,
                pg_sys::jit_enabled,
            );
            pg_sys::enable_seqscan = false;
            pg_sys::enable_bitmapscan = false;
            pg_sys::enable_hashjoin = false;
            pg_sys::enable_mergejoin = false;
            pg_sys::jit_enabled = false;
            ByIndexes { before }
        }
    }
}

impl Drop for ByIndexes {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            (
                pg_sys::enable_seqscan,
                pg_sys::enable_bitmapscan,
                pg_sys::enable_hashjoin,
                pg_sys::enable_mergejoin,
                pg_sys::jit_enabled,
            ) = self.before;
        }
    }
}

/// While it lives, a statement that row security would filter is refused when it is planned: a row that a
/// policy hides would pass for one that is gone, and its chunks with it. Only planning is in its reach: what
/// a statement brings about (triggers and functions of users) has plans of its own, for which the setting is
/// what it was.
///
/// Planning locks the tables to the end of the transaction, so that nobody can put a policy on them before
/// the execution.
struct Unfiltered {
    before: bool,
}

impl Unfiltered {
    fn new() -> Unfiltered {
        // SAFETY: a setting of this process, on its only thread that reads it.
        let before = unsafe { std::ptr::replace(&raw mut pg_sys::row_security, false) };
        Unfiltered { before }
    }
}

impl Drop for Unfiltered {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::row_security = self.before };
    }
}

/// Prepares a statement for this connection to SPI.
fn prepare(sql: &CStr, arguments: &[DatumWithOid]) -> pg_sys::SPIPlanPtr {
    let _unfiltered = Unfiltered::new();
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    // SAFETY: within a connection; as many types as arguments.
    let plan = unsafe { pg_sys::SPI_prepare(sql.as_ptr(), types.len() as i32, types.as_mut_ptr()) };
    assert!(!plan.is_null(), "SPI refused to prepare a statement of ours");
    plan
}

/// A connection to SPI, for as long as it lives. An ERROR that passes it by leaves the rest to the end of the
/// transaction.
struct Connection;

impl Connection {
    fn open() -> Connection {
        // SAFETY: paired with SPI_finish below.
        let status = unsafe { pg_sys::SPI_connect() };
        assert!(status >= 0, "SPI_connect does not fail: {status}");
        Connection
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the connection is open, and the innermost one: what is called within one closes its own.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// Runs a statement, by its kept plan where plans are kept: the number of rows that it met, and what was read of them.
fn execute<T>(sql: &str, arguments: &[DatumWithOid], reads: bool, read: impl FnMut(&Row) -> T) -> (usize, Vec<T>) {
    let _connection = Connection::open();
    let is_latest = ON_LATEST.get();
    // What it calls (triggers of a user, and what they call of ours) is a matter of its own.
    let _inner = Latest::begin(false);
    let plan = if is_latest { None } else { kept(sql, arguments) };
    match plan {
        Some(plan) => execute_plan(&plan, arguments, reads, read),
        None => execute_prepared(prepare(&text(sql), arguments), is_latest, arguments, reads, read),
    }
}

/// Runs a kept plan, within a connection to SPI.
fn execute_plan<T>(
    plan: &CachedPlan,
    arguments: &[DatumWithOid],
    reads: bool,
    read: impl FnMut(&Row) -> T,
) -> (usize, Vec<T>) {
    plan.validate();
    execute_prepared(plan.0, false, arguments, reads, read)
}

/// Runs what was prepared within this connection to SPI, or is kept, on the data as its transaction sees it
/// or on the latest.
fn execute_prepared<T>(
    prepared: pg_sys::SPIPlanPtr,
    is_latest: bool,
    arguments: &[DatumWithOid],
    reads: bool,
    read: impl FnMut(&Row) -> T,
) -> (usize, Vec<T>) {
    let mut values: Vec<pg_sys::Datum> = Vec::with_capacity(arguments.len());
    let mut nulls: Vec<c_char> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let datum = argument.datum();
        nulls.push(if datum.is_some() { b' ' } else { b'n' } as c_char);
        values.push(datum.map_or(pg_sys::Datum::from(0), |datum| datum.sans_lifetime()));
    }
    // SAFETY: as many values as flags and types; all of them outlive the call.
    let status = unsafe {
        pg_sys::SPI_tuptable = std::ptr::null_mut();
        if is_latest {
            // The snapshot is copied by SPI.
            let (latest, none) = (pg_sys::GetLatestSnapshot(), std::ptr::null_mut());
            pg_sys::SPI_execute_snapshot(
                prepared,
                values.as_mut_ptr(),
                nulls.as_ptr(),
                latest,
                none,
                reads,
                true,
                0,
            )
        } else {
            pg_sys::SPI_execute_plan(prepared, values.as_mut_ptr(), nulls.as_ptr(), reads, 0)
        }
    };
    // What can go wrong in a statement is raised by Postgres as an ERROR; what is left are mistakes in calling SPI.
    assert!(status >= 0, "SPI refused a statement of ours: {status}");
    answer(read)
}

/// The plan of a statement, where plans are kept. Must be called within a connection to SPI.
fn kept(sql: &str, arguments: &[DatumWithOid]) -> Option<Rc<CachedPlan>> {
    let known = KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept.plans.get(sql).cloned()))?;
    // Not while the plans are borrowed: to plan a statement may be to call functions.
    let plan = known.unwrap_or_else(|| Rc::new(CachedPlan::new(&text(sql), arguments)));
    KEPT.with_borrow_mut(|kept| {
        let plans = &mut kept.as_mut()?.plans;
        plans.entry(sql.into()).or_insert_with(|| Rc::clone(&plan));
        Some(())
    });
    Some(plan)
}

/// What the last call of SPI has left: the number of rows, and what is read of those that it returned.
fn answer<T>(mut read: impl FnMut(&Row) -> T) -> (usize, Vec<T>) {
    // SAFETY: within the connection of that call. The table is not touched by what `read` does: a nested call
    // gets its own.
    unsafe {
        let (met, table) = (pg_sys::SPI_processed as usize, pg_sys::SPI_tuptable);
        if table.is_null() {
            return (met, Vec::new());
        }
        let (tuples, columns) = ((*table).vals, (*table).tupdesc);
        let row = |index: usize| Row {
            tuple: *tuples.add(index),
            columns,
        };
        let values = (0..(*table).numvals as usize).map(|index| read(&row(index))).collect();
        (met, values)
    }
}

fn text(sql: &str) -> CString {
    CString::new(sql).expect("statements of ours have no zero bytes")
}

/// The statement with each `{name}` replaced. Values are identifiers or expressions that the caller has quoted.
///
/// A placeholder that is not given, or a brace that is not closed, is a mistake in our own files.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = open
            + rest[open..]
                .find('}')
                .expect("every { in sql/query opens a placeholder");
        let name = &rest[open + 1..close];
        let (_, value) = values
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("sql/query names a placeholder that nobody fills: {name}"));
        filled.push_str(&rest[..open]);
        filled.push_str(value);
        rest = &rest[close + 1..];
    }
    filled.push_str(rest);
    filled
}

/// Has the statements that `work` runs see what is committed now, also in a transaction that began with an
/// older view of the data (`REPEATABLE READ`): the same way in which foreign keys are checked.
pub fn on_latest<T>(work: impl FnOnce() -> T) -> T {
    let _latest = Latest::begin(true);
    work()
}

thread_local! {
    /// See [`on_latest`].
    static ON_LATEST: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, statements see what is committed now, or what their transaction sees.
struct Latest {
    before: bool,
}

impl Latest {
    fn begin(is_on: bool) -> Latest {
        Latest {
            before: ON_LATEST.replace(is_on),
        }
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        ON_LATEST.set(self.before);
    }
}

/// Runs a statement for its effect; the number of rows that it met.
pub fn run(sql: &str, arguments: &[DatumWithOid]) -> usize {
    execute(sql, arguments, false, |_| ()).0
}

/// Runs a statement and makes a value of each row of its answer.
pub fn rows<T>(sql: &str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Vec<T> {
    execute(sql, arguments, false, read).1
}

/// Runs a statement that answers with one row at most.
pub fn row<T>(sql: &str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Option<T> {
    rows(sql, arguments, read).pop()
}

/// Runs a statement that only reads and answers with one row at most, where nothing may be written: on a standby, and
/// beside parallel workers. It sees what its transaction has written.
pub fn look_up<T>(sql: &str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Option<T> {
    execute(sql, arguments, !has_written(), read).1.pop()
}

thread_local! {
    /// See [`look_up_each`].
    static ASKED_FOR_EACH: RefCell<HashMap<&'static str, Rc<CachedPlan>>> = RefCell::default();
}

/// Like [`look_up`], for a statement that a view asks for each of a thousand vectorizers: planned once in a session.
pub fn look_up_each<T>(sql: &'static str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Option<T> {
    let _connection = Connection::open();
    let known = ASKED_FOR_EACH.with_borrow(|asked| asked.get(sql).cloned());
    let plan = known.unwrap_or_else(|| {
        let plan = Rc::new(CachedPlan::new(&text(sql), arguments));
        ASKED_FOR_EACH.with_borrow_mut(|asked| asked.insert(sql, Rc::clone(&plan)));
        plan
    });
    execute_plan(&plan, arguments, !has_written(), read).1.pop()
}

/// Whether the transaction has written anything.
fn has_written() -> bool {
    // SAFETY: a look at the state of this process.
    unsafe { pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// The answer of a statement that only reads, taken bit by bit: it is as it was at the first bit, and never
/// all in memory. Ends with the transaction at the latest.
pub struct Cursor(portals::Own);

impl Cursor {
    pub fn open(sql: &str) -> Cursor {
        let text = text(sql);
        let _connection = Connection::open();
        let plan = prepare(&text, &[]);
        let _unfiltered = Unfiltered::new();
        // SAFETY: the statement takes no arguments. The portal outlives the connection.
        unsafe {
            let (values, nulls) = (std::ptr::null_mut(), std::ptr::null());
            let portal = pg_sys::SPI_cursor_open(std::ptr::null(), plan, values, nulls, !has_written());
            Cursor(portals::Own::of(portal))
        }
    }

    /// The next rows, up to `limit`; none at the end.
    pub fn fetch<T>(&self, limit: usize, read: impl FnMut(&Row) -> T) -> Vec<T> {
        let _connection = Connection::open();
        // SAFETY: the portal is there.
        self.0.run(|portal| unsafe {
            pg_sys::SPI_tuptable = std::ptr::null_mut();
            pg_sys::SPI_cursor_fetch(portal, true, c_long::try_from(limit).unwrap_or(c_long::MAX));
        });
        answer(read).1
    }

    /// Runs a statement that only reads, on the data as this cursor sees it.
    pub fn rows<T>(&self, sql: &str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Vec<T> {
        // SAFETY: a portal with a query holds its snapshot until it is closed; the end of a (sub)transaction
        // that fails takes it from the stack, too.
        unsafe { pg_sys::PushActiveSnapshot((*(*self.0.must_be_there()).queryDesc).snapshot) };
        let rows = execute(sql, arguments, true, read).1;
        // SAFETY: pairs with the call above.
        unsafe { pg_sys::PopActiveSnapshot() };
        rows
    }

    pub fn close(self) {
        let _connection = Connection::open();
        if let Some(portal) = self.0.find() {
            // SAFETY: the portal is there.
            unsafe { pg_sys::SPI_cursor_close(portal) };
        }
    }
}

/// A row of an answer, while the connection to SPI is open that it came by.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
}

/// How a column of an answer is called: by its place, which counts from 1, or by its name.
pub trait ColumnRef: Copy + std::fmt::Display {
    fn place(self, columns: pg_sys::TupleDesc) -> i32;
}

impl ColumnRef for usize {
    fn place(self, _: pg_sys::TupleDesc) -> i32 {
        self as i32
    }
}

impl ColumnRef for &str {
    fn place(self, columns: pg_sys::TupleDesc) -> i32 {
        // SAFETY: the description of the row that is read.
        unsafe { pg_sys::SPI_fnumber(columns, text(self).as_ptr()) }
    }
}

impl Row {
    /// The value of a column that may be NULL.
    pub fn get<T: IntoDatum + FromDatum>(&self, column: impl ColumnRef) -> Option<T> {
        let place = column.place(self.columns);
        // SAFETY: the row and its description belong together. The type is checked before the value is taken for one.
        unsafe {
            let kind = pg_sys::SPI_gettypeid(self.columns, place);
            let mut is_null = false;
            let value = pg_sys::SPI_getbinval(self.tuple, self.columns, place, &mut is_null);
            T::try_from_datum(value, is_null, kind)
                .unwrap_or_else(|error| panic!("column {column} of a statement of ours: {error}"))
        }
    }

    /// The value of a column that our own statement never leaves NULL.
    pub fn must<T: IntoDatum + FromDatum>(&self, column: impl ColumnRef) -> T {
        self.get(column)
            .unwrap_or_else(|| panic!("column {column} of a statement of ours is NULL"))
    }
}

/// `name`, quoted where it needs to be.
pub fn identifier(name: &str) -> String {
    pgrx::spi::quote_identifier(name)
}

/// `schema.name`, quoted where it needs to be.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// `value` as a literal.
pub fn literal(value: &str) -> String {
    pgrx::spi::quote_literal(value)
}
