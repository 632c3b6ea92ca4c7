//! What waits in a queue, for the views and for `ai.vectorizer_queue_pending`.
//!
//! A queue belongs to the owner of its source, who may have put policies and more on it. Nothing of it may
//! run for those who look at a view: see [`scan`].

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::key::names_in_queue;
use crate::postgres::scan::{self, Closed, LockWait, Look, Table};
use crate::postgres::statement;
use crate::postgres::transaction::{acting_as_extension, restricted_to};
use crate::store::queue;
use crate::vectorizer::must_own;
use crate::{catalog, intake};

/// Counting stops here, unless the exact number is asked for.
const CAP: i64 = 10_000;

/// The columns that say whether a document waits.
const LEASE: &str = "lease";
const RETRY_AFTER: &str = "loading_retry_after";
const ATTEMPTS: &str = "attempts";
/// Of one that is in nobody's hands it says that a lock has kept it from being written: see release.sql.
const TAKEN_AT: &str = "lease_taken_at";

/// The names of the columns of a key, with their types.
type KeyColumns = Vec<(String, Oid)>;

struct Queue {
    oid: Oid,
    name: String,
    allowed: bool,
    /// `None`: none was made yet, or it is gone.
    intake: Option<Oid>,
    owner: Oid,
    /// The names of the key in queue and intake, and its types; `None`: the source has lost a column of it.
    key: Option<KeyColumns>,
}

impl Queue {
    /// `None` when there is none that the caller sees.
    fn of(vectorizer_id: i32) -> Option<Queue> {
        let sql = include_str!("../../sql/query/queue/readable_queue.sql");
        statement::look_up_each(sql, &[vectorizer_id.into()], |row| Queue {
            oid: row.must("queue"),
            name: row.must("name"),
            allowed: row.must("may_read"),
            intake: row.get("intake"),
            owner: row.must("owner"),
            key: {
                let numbers = row.get::<Vec<i16>>("numbers").unwrap_or_default();
                let kinds = row.get::<Vec<Oid>>("types").unwrap_or_default();
                let columns: Vec<(i16, Oid)> = numbers.into_iter().zip(kinds).collect();
                names_in_queue(&row.must::<JsonB>("source_pk").0, &columns)
            },
        })
    }

    /// Queue and intake, and what their keys are called.
    fn open(&self, patience: LockWait) -> Result<(Table, Table, KeyColumns), Closed> {
        let names = self.key.clone().ok_or(Closed::Changed)?;
        let intake = self.intake.ok_or(Closed::Changed)?;
        let (queue, intake) = (Table::open(self.oid, patience)?, Table::open(intake, patience)?);
        for table in [&queue, &intake] {
            scan::key(table, &names)?;
        }
        Ok((queue, intake, names))
    }

    /// How long may be looked at it.
    fn look(&self, patience: LockWait) -> Look {
        match patience {
            LockWait::Unlimited => Look::unlimited(),
            LockWait::Little => Look::of(self.owner),
        }
    }
}

/// Documents in the queue, for those who may read it; nothing when its owner made something else of it. Above
/// the cap the greatest number stands for them.
#[pg_extern(sql = false)]
fn count_queue(vectorizer_id: i32, exact: bool) -> Option<i64> {
    let queue = Queue::of(vectorizer_id)?;
    if !queue.allowed {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {}", queue.name),
            None,
        );
    }
    count(&queue, exact, LockWait::Unlimited)
}

/// The same for a view, which shows others, too: nothing when the caller may not read the queue, or another
/// transaction has locked it.
#[pg_extern(sql = false)]
fn pending_items(vectorizer_id: i32) -> Option<i64> {
    let queue = Queue::of(vectorizer_id).filter(|queue| queue.allowed)?;
    count(&queue, false, LockWait::Little)
}

fn count(queue: &Queue, exact: bool, patience: LockWait) -> Option<i64> {
    // Also what the caller has just written.
    intake::append_so_far();
    // One more than the cap is enough to know that it is passed.
    let most = if exact { i64::MAX } else { CAP + 1 };
    let tables = queue.open(patience).ok()?;
    let look = queue.look(patience);
    let count = scan::count(&tables.0, &tables.1, &tables.2, most, &look);
    if count == Err(Closed::Costly) {
        scan::note_costly(queue.oid);
    }
    let count = count.ok()?;
    Some(if !exact && count > CAP { i64::MAX } else { count })
}

/// Puts what waits in the intake of a vectorizer into its queue, as its worker does. Only for its owner.
#[pg_extern(sql = false)]
fn take_in(vectorizer_id: i32) {
    must_own(vectorizer_id);
    intake::append_so_far();
    if let Some(Ok(vectorizer)) = acting_as_extension(|| catalog::vectorizer(vectorizer_id)) {
        restricted_to(vectorizer.owner, || queue::take_in_all(&vectorizer));
    }
}

/// Until when all documents of a queue wait, or why it cannot be told; nothing when there is one that does
/// not wait, or the caller may not look.
#[pg_extern(sql = false)]
fn waiting(vectorizer_id: i32) -> Option<String> {
    let queue = Queue::of(vectorizer_id).filter(|queue| queue.allowed)?;
    // That there is one to work on is no answer to those who are not told how many.
    let next = if scan::was_costly(queue.owner, queue.oid) {
        Err(Closed::Costly)
    } else {
        next(&queue)
    };
    match next {
        Ok(next) => next.map(|(after, attempts, is_locked)| {
            let why = if is_locked {
                "a lock of another session is in the way"
            } else if attempts == 0 {
                "it was throttled"
            } else {
                "see ai.vectorizer_errors"
            };
            format!("all documents wait, the next one until {}: {why}", in_words(after))
        }),
        Err(Closed::Locked) => Some("its queue is locked by another transaction".to_owned()),
        Err(Closed::Changed) => Some("its queue is not as it was made: its owner has altered it".to_owned()),
        Err(Closed::Costly) => Some("its queue takes too long to read: how many documents wait is unknown".to_owned()),
    }
}

/// When the next document is due, how often it was tried, and whether a lock has kept it from being written;
/// nothing when one is due, or none is there.
fn next(queue: &Queue) -> Result<Option<(i64, i32, bool)>, Closed> {
    let look = queue.look(LockWait::Little);
    let (queue, intake, _) = queue.open(LockWait::Little)?;
    let lease = queue.column_of(LEASE, pg_sys::INT8OID)?;
    let retry_after = queue.column_of(RETRY_AFTER, pg_sys::TIMESTAMPTZOID)?;
    let attempts = queue.column_of(ATTEMPTS, pg_sys::INT4OID)?;
    let taken_at = queue.column_of(TAKEN_AT, pg_sys::TIMESTAMPTZOID)?;
    if scan::has_rows(&intake, &look)? {
        return Ok(None);
    }
    // SAFETY: a look at the clock of the transaction.
    let now = unsafe { pg_sys::GetCurrentTransactionStartTimestamp() };
    let mut next: Option<(i64, i32, bool)> = None;
    let mut is_due = false;
    queue.each(&look, |row| {
        let after = row.get::<i64>(retry_after);
        is_due = row.get::<i64>(lease).is_some() || after.is_none_or(|after| after <= now);
        if let Some(after) = after.filter(|after| next.is_none_or(|(known, ..)| *after < known)) {
            let is_locked = row.get::<i64>(taken_at).is_some();
            next = Some((after, row.get(attempts).unwrap_or_default(), is_locked));
        }
        scan::enough(is_due)
    })?;
    Ok(next.filter(|_| !is_due))
}

/// A time, in Postgres' microseconds, as the session writes it.
fn in_words(time: i64) -> String {
    let words = |time: TimestampWithTimeZone| {
        let sql = "SELECT date_trunc('second', $1)::text";
        statement::look_up(sql, &[time.into()], |row| row.must::<String>(1))
    };
    let time = TimestampWithTimeZone::try_from(time).ok();
    time.and_then(words).unwrap_or_else(|| "infinity".to_owned())
}

/// Whether what a vectorizer has to do was written, or its tables locked, by the transaction that asks.
#[pg_extern(sql = false)]
fn waits_for_commit(vectorizer_id: i32) -> bool {
    let sql = include_str!("../../sql/query/queue/locks_of_mine.sql");
    if statement::look_up(sql, &[vectorizer_id.into()], |row| row.must(1)) == Some(true) {
        return true;
    }
    intake::append_so_far();
    // SAFETY: a look at the state of this process.
    if unsafe { pg_sys::GetTopTransactionIdIfAny() } == pg_sys::InvalidTransactionId {
        return false;
    }
    let Some(queue) = Queue::of(vectorizer_id).filter(|queue| queue.allowed) else {
        return false;
    };
    let Ok((queue, intake, _)) = queue.open(LockWait::Unlimited) else {
        return false;
    };
    [queue, intake].iter().any(|table| {
        let mut is_mine = false;
        let looked = table.each(&Look::unlimited(), |row| {
            is_mine = row.is_of_now();
            scan::enough(is_mine)
        });
        looked.is_ok() && is_mine
    })
}
