//! Statements: the files of sql/query, their identifiers filled in, and the one way to run them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, PgOid};
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable};

/// How long plans are kept. Planning takes longer than most statements of the worker; but a plan that was made while a
/// queue was empty must not survive its filling, and nothing tells Postgres of that.
const KEEP: Duration = Duration::from_secs(1);

/// The plans of statements that are run again and again.
struct Kept {
    plans: HashMap<Box<str>, Rc<OwnedPreparedStatement>>,
    since: Instant,
}

thread_local! {
    /// `None` in the backends of users: what they keep, they keep until they leave.
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// From now on the plans of this process are kept for a while.
pub fn keep_plans() {
    KEPT.with_borrow_mut(|kept| *kept = Some(Kept::new()));
}

/// Forgets plans that have been kept for long enough; between transactions.
pub fn refresh_plans() {
    KEPT.with_borrow_mut(|kept| {
        if let Some(old) = kept.as_mut().filter(|kept| kept.since.elapsed() >= KEEP) {
            *old = Kept::new();
        }
    });
}

impl Kept {
    fn new() -> Kept {
        Kept {
            plans: HashMap::new(),
            since: Instant::now(),
        }
    }
}

/// Runs a statement, by its kept plan where plans are kept.
fn execute<'conn>(client: &mut SpiClient<'conn>, sql: &str, arguments: &[DatumWithOid]) -> SpiTupleTable<'conn> {
    let plan = KEPT.with_borrow_mut(|kept| {
        let plans = &mut kept.as_mut()?.plans;
        if let Some(plan) = plans.get(sql) {
            return Some(Rc::clone(plan));
        }
        let types: Vec<PgOid> = arguments.iter().map(|argument| argument.oid().into()).collect();
        let plan = Rc::new(met(client.prepare_mut(sql, &types)).keep());
        plans.insert(sql.into(), Rc::clone(&plan));
        Some(plan)
    });
    met(match plan {
        Some(plan) => client.update(&*plan, None, arguments),
        None => client.update(sql, None, arguments),
    })
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

/// Runs a statement for its effect; the number of rows that it met.
pub fn run(sql: &str, arguments: &[DatumWithOid]) -> usize {
    Spi::connect_mut(|client| execute(client, sql, arguments).len())
}

/// Runs a statement on what is committed now, also in a transaction that began with an older view of the data
/// (`REPEATABLE READ`): the same way in which foreign keys are checked.
pub fn run_on_latest(sql: &str) -> usize {
    let text = std::ffi::CString::new(sql).expect("statements of ours have no zero bytes");
    Spi::connect_mut(|_| {
        // SAFETY: within a connection to SPI; the plan takes no arguments, and the snapshot is copied by SPI.
        let (status, processed) = unsafe {
            let plan = pg_sys::SPI_prepare(text.as_ptr(), 0, std::ptr::null_mut());
            assert!(!plan.is_null(), "SPI refused to prepare a statement of ours");
            let (values, nulls) = (std::ptr::null_mut(), std::ptr::null());
            let (latest, none) = (pg_sys::GetLatestSnapshot(), std::ptr::null_mut());
            let status = pg_sys::SPI_execute_snapshot(plan, values, nulls, latest, none, false, true, 0);
            (status, pg_sys::SPI_processed)
        };
        assert!(status >= 0, "SPI refused a statement of ours: {status}");
        usize::try_from(processed).unwrap_or(usize::MAX)
    })
}

/// Runs a statement and makes a value of each row of its answer.
pub fn rows<T>(sql: &str, arguments: &[DatumWithOid], mut read: impl FnMut(&Row) -> T) -> Vec<T> {
    Spi::connect_mut(|client| execute(client, sql, arguments).map(|tuple| read(&Row(tuple))).collect())
}

/// Runs a statement that answers with one row at most.
pub fn row<T>(sql: &str, arguments: &[DatumWithOid], read: impl FnMut(&Row) -> T) -> Option<T> {
    rows(sql, arguments, read).pop()
}

/// Runs a statement that only reads and answers with one row at most, where nothing may be written: on a standby, and
/// beside parallel workers. ([`rows`] makes the transaction one that writes, whatever the statement.)
pub fn look_up<T>(sql: &str, arguments: &[DatumWithOid], mut read: impl FnMut(&Row) -> T) -> Option<T> {
    Spi::connect(|client| {
        met(client.select(sql, None, arguments))
            .map(|tuple| read(&Row(tuple)))
            .next()
    })
}

/// The answer of a statement that only reads, taken bit by bit: it is as it was at the first bit, and never all in memory.
/// Ends with the transaction at the latest.
pub struct Cursor(String);

impl Cursor {
    pub fn open(sql: &str) -> Cursor {
        Spi::connect(|client| Cursor(client.open_cursor(sql, &[]).detach_into_name()))
    }

    /// The next rows, up to `limit`; none at the end.
    pub fn fetch<T>(&self, limit: usize, mut read: impl FnMut(&Row) -> T) -> Vec<T> {
        let limit = std::ffi::c_long::try_from(limit).unwrap_or(std::ffi::c_long::MAX);
        Spi::connect(|client| {
            let mut cursor = met(client.find_cursor(&self.0));
            let rows = met(cursor.fetch(limit)).map(|tuple| read(&Row(tuple))).collect();
            cursor.detach_into_name();
            rows
        })
    }

    pub fn close(self) {
        Spi::connect(|client| drop(met(client.find_cursor(&self.0))));
    }
}

/// A row of an answer.
pub struct Row<'a>(pgrx::spi::SpiHeapTupleData<'a>);

/// How a column of an answer is called: by its place, which counts from 1, or by its name.
pub trait Column: Copy + std::fmt::Display {
    fn of<T: IntoDatum + FromDatum>(self, tuple: &pgrx::spi::SpiHeapTupleData) -> pgrx::spi::SpiResult<Option<T>>;
}

impl Column for usize {
    fn of<T: IntoDatum + FromDatum>(self, tuple: &pgrx::spi::SpiHeapTupleData) -> pgrx::spi::SpiResult<Option<T>> {
        tuple.get(self)
    }
}

impl Column for &str {
    fn of<T: IntoDatum + FromDatum>(self, tuple: &pgrx::spi::SpiHeapTupleData) -> pgrx::spi::SpiResult<Option<T>> {
        tuple.get_by_name(self)
    }
}

impl Row<'_> {
    /// The value of a column that may be NULL.
    pub fn get<T: IntoDatum + FromDatum>(&self, column: impl Column) -> Option<T> {
        match column.of(&self.0) {
            Ok(value) => value,
            Err(error) => panic!("column {column} of a statement of ours: {error}"),
        }
    }

    /// The value of a column that our own statement never leaves NULL.
    pub fn must<T: IntoDatum + FromDatum>(&self, column: impl Column) -> T {
        self.get(column)
            .unwrap_or_else(|| panic!("column {column} of a statement of ours is NULL"))
    }
}

fn met<T>(answer: Result<T, pgrx::spi::Error>) -> T {
    // What can go wrong in a statement is raised by Postgres as an ERROR; what is left are mistakes in calling SPI.
    answer.unwrap_or_else(|error| panic!("SPI refused a statement: {error}"))
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
