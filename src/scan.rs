//! Tables of owners, read for those who look at a view.
//!
//! Queues belong to the owners of the sources, who may put what they like on them: policies, rules, functions in the predicates
//! of indexes and in statistics. Postgres runs such code as soon as it plans a statement on the table, in the session of the
//! role that looks. So nothing is planned here: the rows are read as they are stored, and of them only values of Postgres' own
//! types. A table that another transaction has locked is not waited for.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pgrx::PgTupleDesc;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;

/// How long one transaction waits for tables that others have locked, all in all: the worker locks an intake for a moment.
const PATIENCE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(5);
/// How many keys are kept in memory at a time: some 64 MB. Where there are more, the tables are read more than once.
const KEYS: usize = 4_000_000;
/// How much of a text is read.
const TEXT: i32 = 16 * 1024;

const SHARE: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;

/// Why a table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Another transaction has locked it.
    Locked,
    /// Its owner has made something else of it, or dropped it.
    Changed,
}

/// Whether a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As any statement does.
    Unlimited,
    /// As a view may, that shows others as well.
    Little,
}

thread_local! {
    /// The transaction that has waited, and how long.
    static WAITED: Cell<(u32, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// An open table.
pub struct Table {
    relation: pg_sys::Relation,
}

impl Drop for Table {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened and locked by `open`; after an ERROR the end of the transaction does this.
            unsafe { pg_sys::relation_close(self.relation, SHARE) };
        }
    }
}

/// A column, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    index: usize,
    pub kind: Oid,
    by_value: bool,
    length: i16,
}

/// A row, while it is looked at.
pub struct Row<'a> {
    values: &'a [Datum],
    nulls: &'a [bool],
    written_by: pg_sys::TransactionId,
}

impl Table {
    pub fn open(oid: Oid, patience: Patience) -> Result<Table, Closed> {
        lock(oid, patience)?;
        // SAFETY: on the main thread, in a transaction, and locked.
        unsafe {
            let relation = pg_sys::try_relation_open(oid, pg_sys::NoLock as pg_sys::LOCKMODE);
            if relation.is_null() {
                pg_sys::UnlockRelationOid(oid, SHARE);
                return Err(Closed::Changed);
            }
            let table = Table { relation };
            let form = &*(*relation).rd_rel;
            let is_table = form.relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
                && form.relam == pg_sys::HEAP_TABLE_AM_OID
                && form.relpersistence != pg_sys::RELPERSISTENCE_TEMP as std::ffi::c_char;
            if is_table { Ok(table) } else { Err(Closed::Changed) }
        }
    }

    /// The column of that name, as it is stored; a generated one that is not stored has no value here.
    pub fn column(&self, name: &str) -> Result<Column, Closed> {
        // SAFETY: the description is looked at while the relation is open.
        let columns = unsafe { PgTupleDesc::from_pg_unchecked((*self.relation).rd_att) };
        let found = columns.iter().enumerate().find_map(|(index, attribute)| {
            let is_it = !attribute.attisdropped
                && attribute.attgenerated != b'v' as std::ffi::c_char
                && attribute.name() == name;
            is_it.then(|| Column {
                index,
                kind: attribute.atttypid,
                by_value: attribute.attbyval,
                length: attribute.attlen,
            })
        });
        found.ok_or(Closed::Changed)
    }

    /// The column of that name and type.
    pub fn column_of(&self, name: &str, kind: Oid) -> Result<Column, Closed> {
        self.column(name).and_then(|column| {
            if column.kind == kind {
                Ok(column)
            } else {
                Err(Closed::Changed)
            }
        })
    }

    /// In pages of Postgres.
    pub fn pages(&self) -> u32 {
        // SAFETY: an open relation with storage.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// Looks at the rows that the transaction sees, of all pages or of `some` (the first, and how many), until `look` has
    /// seen enough.
    pub fn each(&self, some: Option<(u32, u32)>, mut look: impl FnMut(&Row) -> ControlFlow<()>) {
        let _snapshot = Snapshot::current();
        // SAFETY: on the main thread, on an open table of the heap, with a snapshot that outlives the scan. An ERROR ends the
        // transaction, which ends the scan.
        unsafe {
            use pg_sys::ScanOptions::{SO_ALLOW_PAGEMODE, SO_ALLOW_STRAT, SO_TYPE_SEQSCAN};
            let scan = pg_sys::heap_beginscan(
                self.relation,
                pg_sys::GetActiveSnapshot(),
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE,
            );
            if let Some((first, many)) = some {
                pg_sys::heap_setscanlimits(scan, first, many);
            }
            let columns = (*self.relation).rd_att;
            let count = (*columns).natts as usize;
            let (mut values, mut nulls) = (vec![Datum::from(0usize); count], vec![true; count]);
            let memory = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"ai scan".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    break;
                }
                pgrx::check_for_interrupts!();
                let before = pg_sys::MemoryContextSwitchTo(memory);
                pg_sys::heap_deform_tuple(tuple, columns, values.as_mut_ptr(), nulls.as_mut_ptr());
                let row = Row {
                    values: &values,
                    nulls: &nulls,
                    written_by: (*(*tuple).t_data).t_choice.t_heap.t_xmin,
                };
                let flow = look(&row);
                pg_sys::MemoryContextSwitchTo(before);
                pg_sys::MemoryContextReset(memory);
                if flow.is_break() {
                    break;
                }
            }
            pg_sys::MemoryContextDelete(memory);
            pg_sys::heap_endscan(scan);
        }
    }
}

fn lock(oid: Oid, patience: Patience) -> Result<(), Closed> {
    // SAFETY: on the main thread, in a transaction, which gives the lock back at the latest.
    unsafe {
        if patience == Patience::Unlimited {
            pg_sys::LockRelationOid(oid, SHARE);
            return Ok(());
        }
        // A transaction that has not written has no number of its own; the place in the line of locks is one.
        let transaction = (*pg_sys::MyProc).lxid();
        let (before, mut waited) = WAITED.get();
        if before != transaction {
            waited = Duration::ZERO;
        }
        loop {
            if pg_sys::ConditionalLockRelationOid(oid, SHARE) {
                WAITED.set((transaction, waited));
                return Ok(());
            }
            if waited >= PATIENCE {
                WAITED.set((transaction, waited));
                return Err(Closed::Locked);
            }
            pgrx::check_for_interrupts!();
            let began = Instant::now();
            std::thread::sleep(STEP);
            waited += began.elapsed();
        }
    }
}

/// The number of a transaction in its session.
trait Lxid {
    fn lxid(&self) -> u32;
}

impl Lxid for pg_sys::PGPROC {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    fn lxid(&self) -> u32 {
        self.lxid
    }
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    fn lxid(&self) -> u32 {
        self.vxid.lxid
    }
}

/// What a statement that begins now sees; where the transaction has written, that too.
struct Snapshot {
    is_pushed: bool,
}

impl Snapshot {
    fn current() -> Snapshot {
        // SAFETY: in a transaction, on the main thread.
        unsafe {
            let has_written = pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId;
            let is_pushed = has_written || !pg_sys::ActiveSnapshotSet();
            if is_pushed {
                if has_written {
                    pg_sys::CommandCounterIncrement();
                }
                pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            }
            Snapshot { is_pushed }
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if self.is_pushed && !std::thread::panicking() {
            // SAFETY: pairs with the push above.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

impl Row<'_> {
    /// Whether the running transaction has written it.
    pub fn is_of_now(&self) -> bool {
        // SAFETY: a look at the state of this process.
        unsafe { pg_sys::TransactionIdIsCurrentTransactionId(self.written_by) }
    }

    fn value(&self, column: Column) -> Option<Datum> {
        (!self.nulls[column.index]).then(|| self.values[column.index])
    }

    /// Of a column of a type of Postgres' own that is passed by value.
    pub fn get<T: FromDatum>(&self, column: Column) -> Option<T> {
        // SAFETY: the type of the column was looked at when it was looked up.
        self.value(column)
            .and_then(|value| unsafe { T::from_datum(value, false) })
    }

    /// The beginning of a value of type text.
    pub fn text(&self, column: Column) -> Option<String> {
        let value = self.value(column)?;
        // SAFETY: a value of type text, of which a part is fetched.
        unsafe {
            let part = pg_sys::pg_detoast_datum_slice(value.cast_mut_ptr(), 0, TEXT);
            let bytes = pgrx::varlena::varlena_to_byte_slice(part);
            // A character may be cut.
            Some(String::from_utf8_lossy(bytes).trim_end_matches('\u{fffd}').to_owned())
        }
    }

    /// A value in words, by the output function of its type: those are C's, as only a superuser makes types that need one.
    pub fn words(&self, column: Column) -> Option<String> {
        let value = self.value(column)?;
        let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
        // SAFETY: a value of this type; what the function returns is a string that lives as long as the memory of the row.
        unsafe {
            pg_sys::getTypeOutputInfo(column.kind, &mut output, &mut is_varlena);
            let words = pg_sys::OidOutputFunctionCall(output, value);
            Some(CStr::from_ptr(words).to_string_lossy().into_owned())
        }
    }

    /// A value as it is, to be handed to a statement while the row is looked at.
    pub fn raw(&self, column: Column) -> Option<Datum> {
        self.value(column)
    }
}

/// A key is known by the bytes of its values: no operator is asked, which not every type has.
pub struct Hasher(RandomState);

impl Hasher {
    pub fn new() -> Hasher {
        Hasher(RandomState::new())
    }

    pub fn key(&self, row: &Row, key: &[Column]) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = self.0.build_hasher();
        for column in key {
            let Some(value) = row.value(*column) else {
                hasher.write_u8(0);
                continue;
            };
            hasher.write_u8(1);
            if column.by_value {
                hasher.write_usize(value.value());
                continue;
            }
            // SAFETY: values that are not passed by value are addresses, of as many bytes as their type has; a varlena is
            // fetched first, and the string of a cstring ends with a zero.
            let bytes = unsafe {
                match column.length {
                    length if length > 0 => std::slice::from_raw_parts(value.cast_mut_ptr::<u8>(), length as usize),
                    -1 => {
                        let whole = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
                        pgrx::varlena::varlena_to_byte_slice(whole)
                    }
                    _ => CStr::from_ptr(value.cast_mut_ptr()).to_bytes(),
                }
            };
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
        hasher.finish()
    }
}

/// The columns of a key.
pub fn key(table: &Table, names: &[String]) -> Result<Vec<Column>, Closed> {
    names.iter().map(|name| table.column(name)).collect()
}

/// How many documents wait in a queue, or for it in its intake. What is beyond `most` is not counted.
pub fn count(queue: &Table, intake: &Table, names: &[String], most: i64) -> Result<i64, Closed> {
    let (queue_key, intake_key) = (key(queue, names)?, key(intake, names)?);
    let hasher = Hasher::new();
    let mut parts = 1;
    let on_their_way = 'again: loop {
        let mut all = 0;
        for part in 0..parts {
            let mut keys: HashSet<u64> = HashSet::new();
            intake.each(None, |row| {
                let key = hasher.key(row, &intake_key);
                if key % parts == part {
                    keys.insert(key);
                }
                enough(keys.len() > KEYS || i64::try_from(keys.len()).unwrap_or(i64::MAX) > most)
            });
            if i64::try_from(keys.len()).unwrap_or(i64::MAX) > most {
                // Each of them waits, in the queue or here.
                return Ok(most);
            }
            if keys.len() > KEYS {
                parts *= 2;
                continue 'again;
            }
            if !keys.is_empty() {
                queue.each(None, |row| {
                    keys.remove(&hasher.key(row, &queue_key));
                    enough(keys.is_empty())
                });
            }
            all += i64::try_from(keys.len()).unwrap_or(i64::MAX);
        }
        break all;
    };
    let mut count = on_their_way;
    if count < most {
        queue.each(None, |_| {
            count += 1;
            enough(count >= most)
        });
    }
    Ok(count.min(most))
}

/// Whether a table has any row.
pub fn has_rows(table: &Table) -> bool {
    let mut any = false;
    table.each(None, |_| {
        any = true;
        ControlFlow::Break(())
    });
    any
}

/// Which keys of `of` are in one of `tables`, too.
pub fn shared(of: &Table, tables: &[&Table], names: &[String], hasher: &Hasher) -> Result<HashSet<u64>, Closed> {
    let own = key(of, names)?;
    let keys: Vec<Vec<Column>> = tables.iter().map(|table| key(table, names)).collect::<Result<_, _>>()?;
    let mut shared = HashSet::new();
    if !tables.iter().any(|table| has_rows(table)) {
        return Ok(shared);
    }
    let mut wanted = HashSet::new();
    of.each(None, |row| {
        wanted.insert(hasher.key(row, &own));
        // Of more than these, the rest is taken for not queued.
        enough(wanted.len() >= KEYS)
    });
    for (table, key) in tables.iter().zip(&keys) {
        table.each(None, |row| {
            let key = hasher.key(row, key);
            if wanted.contains(&key) {
                shared.insert(key);
            }
            ControlFlow::Continue(())
        });
    }
    Ok(shared)
}

/// Ends a look at rows, or goes on with it.
pub fn enough(is_enough: bool) -> ControlFlow<()> {
    if is_enough {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
