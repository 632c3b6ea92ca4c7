//! What waits in a queue, for the views and for `ai.vectorizer_queue_pending`.
//!
//! A queue belongs to the owner of its source, who may have put policies on it. They must not run as whoever looks at a
//! view, so the queue is read as its owner.

use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use crate::error::raise;
use crate::key::{In, PrimaryKey};
use crate::statement::{self, fill};
use crate::transaction::{acting_as_extension, restricted_to};
use crate::vectorizer::{is_of_now, must_own};
use crate::{catalog, intake, queue};

/// Counting stops here, unless the exact number is asked for.
const CAP: i64 = 10_000;

struct Queue {
    /// Quoted, with its schema.
    qualified: String,
    name: String,
    owner: Oid,
    allowed: bool,
    sound: bool,
    source: Oid,
    source_pk: JsonB,
    /// `None` when it is none that can be read; its owner made something else of it.
    intake: Option<String>,
}

impl Queue {
    /// `None` when there is none that the caller sees.
    fn of(vectorizer_id: i32) -> Option<Queue> {
        let sql = include_str!("../sql/query/readable_queue.sql");
        statement::look_up(sql, &[vectorizer_id.into()], |row| Queue {
            qualified: row.must(1),
            name: row.must(2),
            owner: row.must(3),
            allowed: row.must(4),
            sound: row.must(5),
            source: row.must(6),
            source_pk: row.must(7),
            intake: row.get(8),
        })
    }

    /// A statement about queue and intake; `None` when their keys cannot be told.
    fn fill(&self, sql: &str) -> Option<String> {
        let key = PrimaryKey::current(self.source, &self.source_pk.0)?;
        let intake = ("i", In::Queue);
        let values = [
            ("queue", self.qualified.as_str()),
            ("intake", self.intake.as_deref()?),
            ("intake_pk", &key.list("i.", In::Queue)),
            ("intake_is_item", &key.same(intake, ("q", In::Queue))),
        ];
        Some(fill(sql, &values))
    }
}

/// Documents in the queue, for who may read it; nothing when its owner made something else of it. Above the cap the
/// greatest number stands for them.
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
    if !queue.sound {
        return None;
    }
    let sql = queue.fill(include_str!("../sql/query/count_pending.sql"))?;
    // Also what the caller himself has just written.
    intake::append_so_far();
    // One more than the cap is enough to know that it is passed.
    let most = if exact { i64::MAX } else { CAP + 1 };
    let count = restricted_to(queue.owner, || {
        statement::look_up(&sql, &[most.into()], |row| row.must::<i64>(1))
    });
    count.map(|count| if !exact && count > CAP { i64::MAX } else { count })
}

/// Puts what waits in the intake of a vectorizer into its queue, as its worker does. Only for its owner.
#[pg_extern(sql = false)]
fn take_in(vectorizer_id: i32) {
    must_own(vectorizer_id);
    intake::append_so_far();
    if let Some(Ok(vectorizer)) = acting_as_extension(|| catalog::vectorizer(vectorizer_id)) {
        restricted_to(vectorizer.owner, || queue::take_in(&vectorizer, usize::MAX));
    }
}

/// Until when all documents of a queue wait; nothing when there is one that does not, or the caller may not look.
#[pg_extern(sql = false)]
fn waiting(vectorizer_id: i32) -> Option<String> {
    let queue = Queue::of(vectorizer_id).filter(|queue| queue.allowed && queue.sound)?;
    let sql = queue.fill(include_str!("../sql/query/waiting.sql"))?;
    restricted_to(queue.owner, || statement::look_up(&sql, &[], |row| row.must(1)))
}

/// Whether what a vectorizer has to do was written, or its tables locked, by the transaction that asks.
#[pg_extern(sql = false)]
fn waits_for_commit(vectorizer_id: i32) -> bool {
    let sql = include_str!("../sql/query/locks_of_mine.sql");
    if statement::look_up(sql, &[vectorizer_id.into()], |row| row.must(1)) == Some(true) {
        return true;
    }
    let Some(queue) = Queue::of(vectorizer_id).filter(|queue| queue.allowed && queue.sound) else {
        return false;
    };
    let Some(sql) = queue.fill(include_str!("../sql/query/uncommitted.sql")) else {
        return false;
    };
    intake::append_so_far();
    let writers = restricted_to(queue.owner, || statement::rows(&sql, &[], |row| row.must::<i64>(1)));
    writers.into_iter().any(is_of_now)
}
