//! Tables of owners, read for those who look at a view.
//!
//! Queues belong to the owners of the sources, who may put what they like on them: policies, rules, functions
//! in the predicates of indexes and in statistics. Postgres runs such code as soon as it plans a statement on
//! the table, in the session of the role that looks. So nothing is planned here: the rows are read as they
//! are stored, and of them only values of Postgres' own types. A table that another transaction has locked is
//! not waited for.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pgrx::PgTupleDesc;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;

use crate::postgres::key::{In, PrimaryKey};

/// How long one transaction waits for tables that others have locked, all in all: the worker locks an intake
/// for a moment.
const PATIENCE: Duration = Duration::from_millis(200);
/// Between two tries: short beside the moment for which the worker locks an intake.
const STEP: Duration = Duration::from_millis(5);
/// How long one statement looks at the tables of one vectorizer, and of all of an owner, where it shows others as well.
const LONGEST: Duration = Duration::from_secs(1);
const LONGEST_OF_OWNER: Duration = Duration::from_secs(5);
/// A statement that takes longer than this, as one that waits does, looks again.
const WINDOW: Duration = Duration::from_secs(30);
/// Pages between two looks at the clock where no row is met.
const PAGES: u32 = 256;
/// How many keys are kept in memory at a time: some 64 MB. Where there are more, the tables are read more than once.
const KEYS: usize = 4_000_000;
/// How many keys a view keeps: some 4 MB.
const KEYS_OF_VIEW: usize = 250_000;
/// How much of a text is read.
const TEXT: i32 = 16 * 1024;
/// How much of a key is read. Of longer ones, which an index takes in rare cases only, those that begin alike
/// and have the same length pass for one.
const KEY: i32 = 8 * 1024;

const SHARE: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;

/// Why a table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Another transaction has locked it.
    Locked,
    /// Its owner has made something else of it, or dropped it.
    Changed,
    /// To read it takes longer than those may wait who look at others, too.
    Costly,
}

/// Whether a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// As any statement does.
    Unlimited,
    /// As a view may, that shows others as well.
    Little,
}

thread_local! {
    /// The transaction that has waited, and how long.
    static WAITED: Cell<(u32, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// What looks have taken in a statement: the number of its transaction, when it and they began, and how long
/// they took, by owner.
struct LookTimes {
    statement: (u32, i64),
    since: Instant,
    by_owner: HashMap<Oid, Duration>,
    /// Queues that took too long.
    costly: HashSet<Oid>,
}

thread_local! {
    static TAKEN: RefCell<Option<LookTimes>> = const { RefCell::new(None) };
}

/// A look at the tables of one vectorizer. It is charged to their owner: one who has filled them with what
/// takes long to read is not shown, and holds up nobody else's.
pub struct Look {
    owner: Oid,
    began: Instant,
    /// `None`: as long as it takes.
    left: Option<Duration>,
}

impl Look {
    /// By a caller who has asked for this vectorizer.
    pub fn unlimited() -> Look {
        Look {
            owner: pg_sys::InvalidOid,
            began: Instant::now(),
            left: None,
        }
    }

    /// By a view.
    pub fn of(owner: Oid) -> Look {
        // SAFETY: looks at the state of this process.
        let statement = unsafe { ((*pg_sys::MyProc).lxid(), pg_sys::GetCurrentStatementStartTimestamp()) };
        let taken = TAKEN.with_borrow_mut(|taken| {
            if taken
                .as_ref()
                .is_none_or(|taken| taken.statement != statement || taken.since.elapsed() > WINDOW)
            {
                *taken = Some(LookTimes {
                    statement,
                    since: Instant::now(),
                    by_owner: HashMap::new(),
                    costly: HashSet::new(),
                });
            }
            taken.as_ref().and_then(|taken| taken.by_owner.get(&owner).copied())
        });
        let left = LONGEST_OF_OWNER.saturating_sub(taken.unwrap_or_default());
        Look {
            owner,
            began: Instant::now(),
            left: Some(left.min(LONGEST)),
        }
    }

    fn is_over(&self) -> bool {
        self.left.is_some_and(|left| self.began.elapsed() >= left)
    }

    fn may_go_on(&self) -> Result<(), Closed> {
        if self.is_over() { Err(Closed::Costly) } else { Ok(()) }
    }

    /// How many keys are kept.
    fn keys(&self) -> usize {
        if self.left.is_some() { KEYS_OF_VIEW } else { KEYS }
    }
}

/// Whether a look of this statement at a queue has taken too long.
pub fn was_costly(owner: Oid, queue: Oid) -> bool {
    drop(Look::of(owner));
    TAKEN.with_borrow(|taken| taken.as_ref().is_some_and(|taken| taken.costly.contains(&queue)))
}

/// Notes that one has.
pub fn note_costly(queue: Oid) {
    TAKEN.with_borrow_mut(|taken| taken.as_mut().map(|taken| taken.costly.insert(queue)));
}

impl Drop for Look {
    fn drop(&mut self) {
        if self.left.is_some() {
            let took = self.began.elapsed();
            TAKEN.with(|taken| {
                if let Ok(mut taken) = taken.try_borrow_mut()
                    && let Some(taken) = taken.as_mut()
                {
                    *taken.by_owner.entry(self.owner).or_default() += took;
                }
            });
        }
    }
}

/// Where a row is: its page, and its number there.
pub type At = (u32, u16);

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
pub struct ScanColumn {
    index: usize,
    pub kind: Oid,
    by_value: bool,
    length: i16,
}

/// A row, while it is looked at.
pub struct ScanRow<'a> {
    values: &'a [Datum],
    nulls: &'a [bool],
    written_by: pg_sys::TransactionId,
    pub at: At,
}

impl Table {
    pub fn open(oid: Oid, patience: LockWait) -> Result<Table, Closed> {
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
    pub fn column(&self, name: &str) -> Result<ScanColumn, Closed> {
        // SAFETY: the description is looked at while the relation is open.
        let columns = unsafe { PgTupleDesc::from_pg_unchecked((*self.relation).rd_att) };
        let found = columns.iter().enumerate().find_map(|(index, attribute)| {
            let is_it = !attribute.attisdropped
                && attribute.attgenerated != b'v' as std::ffi::c_char
                && attribute.name() == name;
            is_it.then_some(ScanColumn {
                index,
                kind: attribute.atttypid,
                by_value: attribute.attbyval,
                length: attribute.attlen,
            })
        });
        found.ok_or(Closed::Changed)
    }

    /// The column of that name and type.
    pub fn column_of(&self, name: &str, kind: Oid) -> Result<ScanColumn, Closed> {
        self.column(name).and_then(|column| {
            if column.kind == kind {
                Ok(column)
            } else {
                Err(Closed::Changed)
            }
        })
    }

    /// In pages of Postgres. It grows at most, while the table is open and locked.
    fn pages(&self) -> u32 {
        // SAFETY: an open relation with storage.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// Looks at the rows that the transaction sees, until `inspect` has seen enough.
    pub fn each(&self, look: &Look, inspect: impl FnMut(&ScanRow) -> ControlFlow<()>) -> Result<(), Closed> {
        self.each_behind(None, look, inspect)
    }

    /// The same with the rows behind a place.
    pub fn each_behind(
        &self,
        behind: Option<At>,
        look: &Look,
        mut inspect: impl FnMut(&ScanRow) -> ControlFlow<()>,
    ) -> Result<(), Closed> {
        let _snapshot = Snapshot::current();
        let pages = self.pages();
        let mut first = behind.map_or(0, |(page, _)| page);
        while first < pages {
            look.may_go_on()?;
            let some = PAGES.min(pages - first);
            let is_over = self.each_of(first, some, |row| {
                if behind.is_some_and(|behind| row.at <= behind) {
                    return ControlFlow::Continue(());
                }
                match inspect(row) {
                    ControlFlow::Break(()) => ControlFlow::Break(Ok(())),
                    ControlFlow::Continue(()) => match look.may_go_on() {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(closed) => ControlFlow::Break(Err(closed)),
                    },
                }
            });
            if let Some(is_over) = is_over {
                return is_over;
            }
            first += some;
        }
        Ok(())
    }

    /// Looks at the rows of pages that are there, with the snapshot that is active; with what a row has ended it.
    fn each_of<End>(&self, first: u32, many: u32, mut look: impl FnMut(&ScanRow) -> ControlFlow<End>) -> Option<End> {
        let mut end = None;
        // SAFETY: on the main thread, on an open table of the heap, with a snapshot that outlives the scan.
        // An ERROR ends the transaction, which ends the scan.
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
            pg_sys::heap_setscanlimits(scan, first, many);
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
                let at = &(*tuple).t_self;
                let row = ScanRow {
                    values: &values,
                    nulls: &nulls,
                    written_by: (*(*tuple).t_data).t_choice.t_heap.t_xmin,
                    at: (
                        u32::from(at.ip_blkid.bi_hi) << 16 | u32::from(at.ip_blkid.bi_lo),
                        at.ip_posid,
                    ),
                };
                let flow = look(&row);
                pg_sys::MemoryContextSwitchTo(before);
                pg_sys::MemoryContextReset(memory);
                if let ControlFlow::Break(why) = flow {
                    end = Some(why);
                    break;
                }
            }
            pg_sys::MemoryContextDelete(memory);
            pg_sys::heap_endscan(scan);
        }
        end
    }
}

fn lock(oid: Oid, patience: LockWait) -> Result<(), Closed> {
    // SAFETY: on the main thread, in a transaction, which gives the lock back at the latest.
    unsafe {
        if patience == LockWait::Unlimited {
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

impl ScanRow<'_> {
    /// Whether the running transaction has written it.
    pub fn is_of_now(&self) -> bool {
        // SAFETY: a look at the state of this process.
        unsafe { pg_sys::TransactionIdIsCurrentTransactionId(self.written_by) }
    }

    fn value(&self, column: ScanColumn) -> Option<Datum> {
        (!self.nulls[column.index]).then(|| self.values[column.index])
    }

    /// Of a column of a type of Postgres' own that is passed by value.
    pub fn get<T: FromDatum>(&self, column: ScanColumn) -> Option<T> {
        // SAFETY: the type of the column was looked at when it was looked up.
        self.value(column)
            .and_then(|value| unsafe { T::from_datum(value, false) })
    }

    /// How many bytes a value has where it is not compressed.
    pub fn size(&self, column: ScanColumn) -> usize {
        match (self.value(column), column.length) {
            (None, _) => 0,
            // SAFETY: a varlena, of which the head is looked at.
            (Some(value), -1) => unsafe { pg_sys::toast_raw_datum_size(value) },
            (Some(_), length) => usize::try_from(length).unwrap_or_default(),
        }
    }

    /// The beginning of a value of type text.
    pub fn text(&self, column: ScanColumn) -> Option<String> {
        let value = self.value(column)?;
        // SAFETY: a value of type text, of which a part is fetched.
        unsafe {
            let part = pg_sys::pg_detoast_datum_slice(value.cast_mut_ptr(), 0, TEXT);
            let bytes = pgrx::varlena::varlena_to_byte_slice(part);
            // A character may be cut.
            Some(String::from_utf8_lossy(bytes).trim_end_matches('\u{fffd}').to_owned())
        }
    }

    /// A value in words, by the output function of its type: those are C's, as only a superuser makes types
    /// that need one.
    pub fn words(&self, column: ScanColumn) -> Option<String> {
        let value = self.value(column)?;
        let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
        // SAFETY: a value of this type; what the function returns is a string that lives as long as the
        // memory of the row.
        unsafe {
            pg_sys::getTypeOutputInfo(column.kind, &mut output, &mut is_varlena);
            let words = pg_sys::OidOutputFunctionCall(output, value);
            Some(CStr::from_ptr(words).to_string_lossy().into_owned())
        }
    }

    /// A value as it is, to be handed to a statement while the row is looked at.
    pub fn raw(&self, column: ScanColumn) -> Option<Datum> {
        self.value(column)
    }
}

/// A key is known by the bytes of its values: no operator is asked, which not every type has.
pub struct Hasher(RandomState);

impl Hasher {
    pub fn new() -> Hasher {
        Hasher(RandomState::new())
    }

    pub fn key(&self, row: &ScanRow, key: &[ScanColumn]) -> u64 {
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
            // SAFETY: values that are not passed by value are addresses, of as many bytes as their type has;
            // a varlena is fetched first, and the string of a cstring ends with a zero.
            let bytes = unsafe {
                match column.length {
                    length if length > 0 => std::slice::from_raw_parts(value.cast_mut_ptr::<u8>(), length as usize),
                    -1 => {
                        hasher.write_usize(pg_sys::toast_raw_datum_size(value));
                        let part = pg_sys::pg_detoast_datum_slice(value.cast_mut_ptr(), 0, KEY);
                        pgrx::varlena::varlena_to_byte_slice(part)
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

/// The columns of a key, in a table that has them as it was made: of the types of the source.
pub fn key(table: &Table, names: &[(String, Oid)]) -> Result<Vec<ScanColumn>, Closed> {
    names.iter().map(|(name, kind)| table.column_of(name, *kind)).collect()
}

/// How the columns of a key are called in a queue, with the types that they have in the source.
pub fn names(key: &PrimaryKey, source: Oid) -> Vec<(String, Oid)> {
    let kind = |name: String| {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: looks at the catalogue; of a column that is gone the type is none.
        unsafe {
            let number = pg_sys::get_attnum(source, name.as_ptr());
            pg_sys::get_atttype(source, number)
        }
    };
    let kinds = key.names(In::Source).into_iter().map(kind);
    key.names(In::Queue).into_iter().zip(kinds).collect()
}

/// How many documents wait in a queue, or for it in its intake. What is beyond `most` is not counted.
pub fn count(queue: &Table, intake: &Table, names: &[(String, Oid)], most: i64, look: &Look) -> Result<i64, Closed> {
    let (queue_key, intake_key) = (key(queue, names)?, key(intake, names)?);
    let hasher = Hasher::new();
    let greatest = look.keys();
    let mut parts = 1;
    let on_their_way = 'again: loop {
        let mut all = 0;
        let into = parts;
        for part in 0..into {
            let mut keys: HashSet<u64> = HashSet::new();
            intake.each(look, |row| {
                let key = hasher.key(row, &intake_key);
                if key % into == part {
                    keys.insert(key);
                }
                enough(keys.len() > greatest || i64::try_from(keys.len()).unwrap_or(i64::MAX) > most)
            })?;
            if i64::try_from(keys.len()).unwrap_or(i64::MAX) > most {
                // Each of them waits, in the queue or here.
                return Ok(most);
            }
            if keys.len() > greatest {
                parts = into * 2;
                continue 'again;
            }
            if !keys.is_empty() {
                queue.each(look, |row| {
                    keys.remove(&hasher.key(row, &queue_key));
                    enough(keys.is_empty())
                })?;
            }
            all += i64::try_from(keys.len()).unwrap_or(i64::MAX);
        }
        break all;
    };
    let mut count = on_their_way;
    if count < most {
        queue.each(look, |_| {
            count += 1;
            enough(count >= most)
        })?;
    }
    Ok(count.min(most))
}

/// Whether a table has any row.
pub fn has_rows(table: &Table, look: &Look) -> Result<bool, Closed> {
    let mut any = false;
    table.each(look, |_| {
        any = true;
        ControlFlow::Break(())
    })?;
    Ok(any)
}

/// Which keys of `of` are in one of `tables`, too.
pub fn shared(
    of: &Table,
    tables: &[&Table],
    names: &[(String, Oid)],
    hasher: &Hasher,
    look: &Look,
) -> Result<HashSet<u64>, Closed> {
    let own = key(of, names)?;
    let keys: Vec<Vec<ScanColumn>> = tables.iter().map(|table| key(table, names)).collect::<Result<_, _>>()?;
    let mut shared = HashSet::new();
    let mut any = false;
    for table in tables {
        any |= has_rows(table, look)?;
    }
    if !any {
        return Ok(shared);
    }
    let mut wanted = HashSet::new();
    of.each(look, |row| {
        wanted.insert(hasher.key(row, &own));
        // Of more than these, the rest is taken for not queued.
        enough(wanted.len() >= look.keys())
    })?;
    for (table, key) in tables.iter().zip(&keys) {
        table.each(look, |row| {
            let key = hasher.key(row, key);
            if wanted.contains(&key) {
                shared.insert(key);
            }
            ControlFlow::Continue(())
        })?;
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
