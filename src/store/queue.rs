//! The queue of a vectorizer: one function per statement, the lease in each WHERE.
//!
//! All of them run in the caller's transaction, as the owner of the vectorizer.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ai_pipeline::error::Failure;
use ai_pipeline::lease::Holder;
use ai_pipeline::prepare::Content;
use serde_json::Value;

use crate::catalog::Vectorizer;
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::swallowed::{self, must_be_written};

/// Documents of more bytes, with the columns that the template names, are not read when they are taken: there
/// may be many of them.
const LARGE: i64 = 256 * 1024;

/// A document that was taken from the queue, with what its row held at that moment.
#[derive(Debug)]
pub struct Item {
    /// Its place in the queue.
    pub number: i64,
    /// Proof that it is ours: nothing is written without it.
    pub lease: i64,
    /// The state of the row that was read; a change of the row counts it up.
    pub version: i64,
    /// This try included.
    pub attempts: u32,
    /// Its primary key in JSON as Postgres writes it, each digit of it: more than a number of Rust's may hold.
    pub key: String,
    /// What the document column held, where that was not too much to be read at once: see [`read`].
    pub document: Option<Content>,
    /// What it takes up once it is read, in bytes; `None` where there is no document, or no row; 0 for a URI.
    pub size: Option<u64>,
    /// The columns that the template names, where the document was read.
    pub columns: Value,
    /// What they take up, in bytes; with the URI, if the document is one.
    pub columns_size: u64,
    /// It was there when the vectorizer was made, and can wait for what was written since.
    pub can_wait: bool,
}

impl Item {
    /// What tells whose it is, without what it holds.
    pub fn without_content(&self) -> Item {
        Item {
            key: self.key.clone(),
            document: None,
            columns: Value::Null,
            ..*self
        }
    }
}

/// What became of the changes that waited in the intake.
#[derive(Debug, Default)]
pub struct TakenIn {
    /// There may be more of them.
    pub more: bool,
    /// A user's transaction was in the way of some.
    pub left_behind: bool,
    /// All of it was read, to find little: dead rows that an old snapshot somewhere keeps.
    pub is_full_of_dead: bool,
    /// How long a large one, or what stays in it, was read for, less what the changes were worth.
    pub wasted: Duration,
    /// Primary keys, in JSON, that the queue has swallowed: some of them. They stay in the intake.
    pub swallowed: Vec<String>,
}

/// What an intake may weigh that has nothing in it.
const DEAD: i64 = 4 << 20;
/// What it takes to put a change into the queue, generously.
const PER_CHANGE: Duration = Duration::from_micros(100);
/// How many times as many changes are looked at when users' transactions are in the way of most, and how
/// often: of more than so many, those behind do wait. To look at a hundred thousand takes a second.
const FURTHER: i64 = 8;
const LOOKS: usize = 3;
/// Keys that one statement handles, in bytes. To find a key of two hundred kilobytes in an index takes tens of
/// milliseconds, for which all wait.
pub const KEYS: usize = 1 << 20;

/// Moves changes from the intake to the queue, for up to `limit` keys; one of more rows may have more changes.
/// Not those at the places that are `refused`.
pub fn take_in(vectorizer: &Vectorizer, limit: usize, refused: &[String]) -> TakenIn {
    let began = Instant::now();
    let (some, size) = intake(vectorizer);
    let is_large = size > DEAD;
    if !some {
        return TakenIn {
            is_full_of_dead: is_large,
            wasted: if is_large { began.elapsed() } else { Duration::ZERO },
            ..TakenIn::default()
        };
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let looks = std::iter::successors(Some(limit), |looked: &i64| Some(looked.saturating_mul(FURTHER)));
    let (mut changes, mut taken, mut more, mut swallowed) = (0, 0, false, Vec::new());
    // One is looked at to see whether it is to blame.
    for looked in looks.take(if limit == 1 { 1 } else { LOOKS }) {
        let arguments = [
            looked.into(),
            limit.into(),
            (KEYS as i64).into(),
            swallowed::NAMED.into(),
            refused.to_vec().into(),
        ];
        let look = |row: &statement::Row| {
            let (sent, taken) = (count(row, "to_move"), count(row, "moved"));
            (
                row.must::<i64>("changes"),
                (taken, sent),
                row.must::<bool>("is_cut"),
                row.must::<Vec<String>>("swallowed"),
            )
        };
        let looked_at = statement::row(&vectorizer.statements.take_in, &arguments, look);
        let (seen, moved, is_cut, lost) = looked_at.expect("a SELECT without FROM answers with one row");
        must_be_written(&vectorizer.tables.intake, moved);
        (changes, taken, swallowed) = (seen, moved.0 as i64, lost);
        // Else most of them are claimed, and there may be others behind.
        more = taken >= limit / 2 && changes >= looked || taken >= limit || is_cut && taken > 0;
        if more || changes < looked {
            break;
        }
    }
    let left_behind = taken < changes;
    let is_slow = is_large || left_behind;
    let worth = PER_CHANGE * u32::try_from(taken).unwrap_or(u32::MAX);
    TakenIn {
        more,
        left_behind,
        is_full_of_dead: is_large && !more && !left_behind,
        wasted: if is_slow {
            began.elapsed().saturating_sub(worth)
        } else {
            Duration::ZERO
        },
        swallowed,
    }
}

/// The first change in the intake that is not at one of the places that are `refused`: its place, and its primary key
/// in JSON.
pub fn first_change(vectorizer: &Vectorizer, refused: &[String]) -> Option<(String, String)> {
    let sql = &vectorizer.statements.first_change;
    statement::row(sql, &[refused.to_vec().into()], |row| (row.must(1), row.must(2)))
}

/// Removes the changes at these places of the intake whose rows are gone: their places, and their primary keys in JSON.
pub fn forget_changes(vectorizer: &Vectorizer, places: &[String]) -> Vec<(String, String)> {
    let sql = &vectorizer.statements.forget_changes;
    statement::rows(sql, &[places.to_vec().into()], |row| (row.must(1), row.must(2)))
}

/// Moves all that waits in the intake to the queue, in a session: but for what another transaction has locked.
///
/// # Errors
/// Raised where the queue swallows some of it.
pub fn take_in_all(vectorizer: &Vectorizer) {
    loop {
        let taken = take_in(vectorizer, usize::MAX, &[]);
        must_be_written(&vectorizer.tables.queue, (0, taken.swallowed.len()));
        if !taken.more {
            return;
        }
    }
}

/// A number of rows in an answer.
fn count(row: &statement::Row, column: impl statement::ColumnRef) -> usize {
    usize::try_from(row.must::<i64>(column)).unwrap_or_default()
}

/// Whether something waits in the intake, and what it weighs in bytes.
fn intake(vectorizer: &Vectorizer) -> (bool, i64) {
    let looked = statement::row(&vectorizer.statements.intake, &[], |row| (row.must(1), row.must(2)));
    looked.expect("a statement without FROM answers with one row")
}

/// Has an intake begin anew, without its dead rows, where nobody is writing to it; an old snapshot keeps
/// VACUUM from that.
///
/// # Errors
/// Raised where a session is.
pub fn empty_intake(vectorizer: &Vectorizer) {
    statement::run(&vectorizer.statements.lock_intake, &[]);
    if !intake(vectorizer).0 {
        statement::run(&vectorizer.statements.empty_intake, &[]);
    }
}

/// Of how many documents that a process died with one may be the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspectGroup {
    /// No process died with them.
    None,
    /// One did, and all that it had in its hands is suspected.
    Group,
    /// More than one did.
    Strong,
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Places in the queue.
    pub numbers: Vec<i64>,
    /// Primary keys, in JSON, of documents that are not ours, as the queue has swallowed that: some of them.
    pub swallowed: Vec<String>,
}

/// Takes up to `limit` documents that are under such a suspicion, none of those that are `held` under these leases,
/// and no more than have keys of so many bytes.
pub fn claim(
    vectorizer: &Vectorizer,
    limit: usize,
    lease: i64,
    duration: Duration,
    suspicion: SuspectGroup,
    (held, keys): (&[i64], usize),
) -> Claimed {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let arguments = [
        limit.into(),
        lease.into(),
        duration.as_secs_f64().into(),
        (suspicion as i32).into(),
        held.to_vec().into(),
        i64::try_from(keys).unwrap_or(i64::MAX).into(),
    ];
    let mut claimed = Claimed::default();
    let rows = statement::rows(&vectorizer.statements.claim, &arguments, |row| {
        (row.must::<i64>(1), row.get::<String>(2))
    });
    for (number, swallowed) in rows {
        match swallowed {
            None => claimed.numbers.push(number),
            Some(key) => claimed.swallowed.push(key),
        }
    }
    claimed.swallowed.truncate(swallowed::NAMED as usize);
    claimed
}

/// What documents hold that were taken under this lease, as far as there is room for so many bytes of
/// documents, and of columns that the template names.
///
/// Not in the transaction that takes them: where one of their rows cannot be read, the others go on, and it
/// has been taken.
pub fn taken(vectorizer: &Vectorizer, numbers: &[i64], lease: i64, (documents, columns): (u64, u64)) -> Vec<Item> {
    let bytes = |room: u64| i64::try_from(room).unwrap_or(i64::MAX);
    let arguments = [
        numbers.to_vec().into(),
        LARGE.into(),
        bytes(documents).into(),
        bytes(columns).into(),
    ];
    statement::rows(&vectorizer.statements.taken, &arguments, |row| Item {
        number: row.must("item"),
        lease,
        version: row.must("version"),
        attempts: row.must::<i32>("attempts").unsigned_abs(),
        key: row.must("primary_key"),
        document: row
            .get("document_text")
            .map(Content::Text)
            .or_else(|| row.get("document_bytes").map(Content::of_bytes)),
        columns: row.get::<JsonB>("columns").map(|json| json.0).unwrap_or_default(),
        size: row.get::<i64>("document_size").map(i64::unsigned_abs),
        columns_size: row.must::<i64>("columns_size").unsigned_abs(),
        can_wait: row.must("backfill"),
    })
}

/// A document that was taken under this lease and whose row cannot be read, without anything of its row;
/// `None` when it is gone.
pub fn taken_blindly(vectorizer: &Vectorizer, number: i64, lease: i64) -> Option<Item> {
    let arguments = [number.into(), lease.into()];
    statement::row(&vectorizer.statements.taken_blindly, &arguments, |row| Item {
        number,
        lease,
        version: row.must("version"),
        attempts: row.must::<i32>("attempts").unsigned_abs(),
        key: row.must("primary_key"),
        document: None,
        size: None,
        columns: Value::Null,
        columns_size: 0,
        can_wait: row.must("backfill"),
    })
}

/// Gives documents back that were taken under this lease and not looked at.
pub fn untake(vectorizer: &Vectorizer, numbers: &[i64], lease: i64) {
    let arguments = [lease.into(), numbers.to_vec().into()];
    statement::run(&vectorizer.statements.untake, &arguments);
}

/// Documents that there was no room for when they were taken, and the columns that the template names, by
/// their places in the queue; without those whose rows are gone, or have no document any more.
pub fn read(vectorizer: &Vectorizer, numbers: Vec<i64>) -> HashMap<i64, (Content, Value)> {
    let read = |row: &statement::Row| {
        let content = row
            .get(2)
            .map(Content::Text)
            .or_else(|| row.get("document_bytes").map(Content::of_bytes))?;
        Some((row.must::<i64>("item"), (content, row.must::<JsonB>("columns").0)))
    };
    let rows = statement::rows(&vectorizer.statements.read, &[numbers.into()], read);
    rows.into_iter().flatten().collect()
}

/// How long until a document may be taken; `None` when the queue is empty.
pub fn next_due(vectorizer: &Vectorizer) -> Option<Duration> {
    let seconds: Option<f64> = statement::row(&vectorizer.statements.next_due, &[], |row| row.get(1)).flatten();
    seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)))
}

/// Prolongs leases.
pub fn renew(vectorizer: &Vectorizer, leases: Vec<i64>, duration: Duration) {
    statement::run(
        &vectorizer.statements.renew,
        &[leases.into(), duration.as_secs_f64().into()],
    );
}

/// Gives back up to `limit` documents of what `worker` had taken in an earlier life, but nothing that is `held` under
/// these leases. What it had taken in the life that was `killed` is under suspicion. How many.
pub fn rescue(vectorizer: &Vectorizer, worker: Holder, killed: Option<Holder>, held: &[i64], limit: usize) -> usize {
    let (killed, mine) = (killed.map(Holder::leases), worker.of_all_lives());
    let arguments = [
        killed.as_ref().map(|leases| *leases.start()).into(),
        killed.as_ref().map(|leases| *leases.end()).into(),
        held.to_vec().into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
        (*mine.start()).into(),
        (*mine.end()).into(),
    ];
    statement::run(&vectorizer.statements.rescue, &arguments)
}

/// Moves up to `limit` documents that `crashes` processes died with to the failed queue: their primary keys, in JSON.
pub fn quarantine(vectorizer: &Vectorizer, crashes: u32, failure: &Failure, limit: usize) -> Vec<String> {
    let arguments = [
        i32::try_from(crashes).unwrap_or(i32::MAX).into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
        failure.step.to_string().into(),
        failure.class.as_str().into(),
        failure.reason.as_str().into(),
        (KEYS as i64).into(),
    ];
    let moved = statement::row(&vectorizer.statements.quarantine, &arguments, |row| {
        (
            [count(row, "guilty"), count(row, "gone"), count(row, "kept")],
            row.must("primary_keys"),
        )
    });
    let ([guilty, gone, kept], keys) = moved.expect("a SELECT without FROM answers with one row");
    must_be_written(&vectorizer.tables.queue, (gone, guilty));
    must_be_written(&vectorizer.tables.failed, (kept, gone));
    keys
}

/// Whether there are documents that processes died with.
pub fn has_suspects(vectorizer: &Vectorizer) -> bool {
    statement::row(&vectorizer.statements.has_suspects, &[], |row| row.must(1)) == Some(true)
}

/// Gives a document back for a later try; if it has changed since it was taken, for a first one.
pub fn release(vectorizer: &Vectorizer, item: &Item, after: Duration, counted: bool) {
    give_back(vectorizer, item, after, counted, false);
}

/// The same for one that a lock of another session has kept from being written: no attempt is counted, and
/// the queue says so.
pub fn release_locked(vectorizer: &Vectorizer, item: &Item, after: Duration) {
    give_back(vectorizer, item, after, false, true);
}

/// Of up to `limit` documents that were given back for a lock, those whose rows are free are due; the others
/// wait on, for `after` at most. Whether there are any that still wait.
pub fn free_unlocked(vectorizer: &Vectorizer, limit: usize, after: Duration) -> bool {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let arguments = [limit.into(), after.as_secs_f64().into()];
    let looked = statement::row(&vectorizer.statements.free_unlocked, &arguments, |row| {
        (row.must::<i64>(1), row.must::<i64>(2))
    });
    let (held, due) = looked.expect("a SELECT without FROM answers with one row");
    // One that another transaction has locked in the queue itself is not seen: its time comes.
    due < held || held == limit
}

fn give_back(vectorizer: &Vectorizer, item: &Item, after: Duration, counted: bool, is_locked: bool) {
    let released = statement::run(
        &vectorizer.statements.release,
        &[
            item.number.into(),
            item.lease.into(),
            after.as_secs_f64().into(),
            (!counted).into(),
            item.version.into(),
            is_locked.into(),
        ],
    );
    if released == 0 {
        start_over(vectorizer, item);
    }
}

/// Moves a document to the failed queue, which is held; false when it is no longer the version that was taken.
pub fn give_up(vectorizer: &Vectorizer, item: &Item, failure: &Failure) -> bool {
    let moved = statement::row(
        &vectorizer.statements.give_up,
        &[
            item.number.into(),
            item.lease.into(),
            Some(item.version).into(),
            failure.step.to_string().into(),
            failure.class.as_str().into(),
            failure.reason.as_str().into(),
        ],
        |row| (count(row, 1), count(row, 2)),
    );
    let (gone, kept) = moved.expect("a SELECT without FROM answers with one row");
    must_be_written(&vectorizer.tables.failed, (kept, gone));
    if gone == 0 {
        start_over(vectorizer, item);
    }
    gone > 0
}

/// A document that is held and not the version any more that was taken.
fn start_over(vectorizer: &Vectorizer, item: &Item) {
    let arguments = [item.number.into(), item.lease.into(), item.version.into()];
    let started = statement::run(&vectorizer.statements.start_over, &arguments);
    must_be_written(&vectorizer.tables.queue, (started, 1));
}

/// Ends the work on documents: out of the failed queue, and out of the queue those that are still what was taken; the
/// others go round again, and are returned by their places.
pub fn finish(vectorizer: &Vectorizer, items: &[&Item]) -> HashSet<i64> {
    let numbers = numbers(items);
    let forgotten = statement::row(&vectorizer.statements.forget_failed, &[numbers.clone().into()], |row| {
        (count(row, 2), count(row, 1))
    });
    must_be_written(&vectorizer.tables.failed, forgotten.unwrap_or_default());
    let versions: Vec<i64> = items.iter().map(|item| item.version).collect();
    let arguments = [numbers.into(), leases(items).into(), versions.into()];
    let finished = statement::row(&vectorizer.statements.finish, &arguments, |row| {
        (count(row, 1), row.must::<Vec<i64>>(2))
    });
    let (gone, again) = finished.expect("a SELECT without FROM answers with one row");
    must_be_written(&vectorizer.tables.queue, (gone + again.len(), items.len()));
    again.into_iter().collect()
}

/// What stands in the way of writing the chunks of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing: source row and queue row are locked.
    Ours,
    /// A user's transaction has the row: later.
    Busy,
    /// The row is gone from the source.
    Gone,
    /// The lease is another's.
    Lost,
}

/// Locks the source rows, then the queue rows: the order in which a user's statement and its trigger take them. What
/// became of each, in the order of `items`.
pub fn hold(vectorizer: &Vectorizer, items: &[&Item]) -> Vec<Hold> {
    let lock_source = &vectorizer.statements.lock_source;
    let free: HashSet<i64> = statement::rows(lock_source, &[numbers(items).into()], |row| row.must(1))
        .into_iter()
        .collect();
    let there: Vec<&Item> = items
        .iter()
        .copied()
        .filter(|item| free.contains(&item.number))
        .collect();
    let ours = lock_items(vectorizer, &there);
    if ours.len() == items.len() {
        return vec![Hold::Ours; items.len()];
    }
    let rest: Vec<&Item> = items
        .iter()
        .copied()
        .filter(|item| !ours.contains(&item.number))
        .collect();
    let held = held_items(vectorizer, &rest);
    // Removed without our trigger (session_replication_role = replica): nobody else will clean up.
    let orphans: Vec<&Item> = rest
        .into_iter()
        .filter(|item| held.get(&item.number) == Some(&false))
        .collect();
    let gone = lock_items(vectorizer, &orphans);
    let hold = |item: &&Item| {
        if ours.contains(&item.number) {
            Hold::Ours
        } else if gone.contains(&item.number) {
            Hold::Gone
        } else if held.contains_key(&item.number) {
            Hold::Busy
        } else {
            Hold::Lost
        }
    };
    items.iter().map(hold).collect()
}

/// Locks the queue rows alone, for what does not touch the destination. What became of each, in the order of `items`.
pub fn hold_items(vectorizer: &Vectorizer, items: &[&Item]) -> Vec<Hold> {
    let ours = lock_items(vectorizer, items);
    if ours.len() == items.len() {
        return vec![Hold::Ours; items.len()];
    }
    let held = held_items(vectorizer, items);
    let hold = |item: &&Item| match item.number {
        number if ours.contains(&number) => Hold::Ours,
        number if held.contains_key(&number) => Hold::Busy,
        _ => Hold::Lost,
    };
    items.iter().map(hold).collect()
}

/// [`hold_items`] of one.
pub fn hold_item(vectorizer: &Vectorizer, item: &Item) -> Hold {
    hold_items(vectorizer, &[item])[0]
}

/// Locks the queue rows of those that are still ours and that no user is changing.
fn lock_items(vectorizer: &Vectorizer, items: &[&Item]) -> HashSet<i64> {
    if items.is_empty() {
        return HashSet::new();
    }
    let arguments = [numbers(items).into(), leases(items).into()];
    let locked = statement::rows(&vectorizer.statements.lock_items, &arguments, |row| row.must(1));
    locked.into_iter().collect()
}

/// Those that are still ours, and whether each has a row in the source.
fn held_items(vectorizer: &Vectorizer, items: &[&Item]) -> HashMap<i64, bool> {
    let arguments = [numbers(items).into(), leases(items).into()];
    let held = statement::rows(&vectorizer.statements.held_items, &arguments, |row| {
        (row.must(1), row.must(2))
    });
    held.into_iter().collect()
}

/// The places of documents in the queue.
pub fn numbers(items: &[&Item]) -> Vec<i64> {
    items.iter().map(|item| item.number).collect()
}

fn leases(items: &[&Item]) -> Vec<i64> {
    items.iter().map(|item| item.lease).collect()
}

/// Queues documents by their primary keys, JSON objects as people see them. What is known of them from an earlier
/// time does not count: they are read again.
pub fn enqueue(vectorizer: &Vectorizer, keys: &[String]) {
    let named = format!("[{}]", keys.join(","));
    let arguments = [named.as_str().into()];
    let sent = statement::row(&vectorizer.statements.enqueue, &arguments, |row| count(row, 1));
    must_be_written(&vectorizer.tables.intake, (sent.unwrap_or_default(), keys.len()));
}
