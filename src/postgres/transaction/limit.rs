//! How long code of an owner may keep the main thread of a worker, whatever it catches.
//!
//! When its time is up, or a session cancels it (`pg_cancel_backend`), its statement is cancelled. Code that
//! catches that and goes on has a moment to end by itself; then the process is ended, which no code can
//! catch. Whose code it was is in memory that outlives the process: the next worker leaves that vectorizer
//! alone, and blames no document.
//!
//! Postgres' own timers are used, which no SET reaches. Like them, this is heeded where Postgres looks for
//! interrupts. Code that never does (a long search within one function, a loop of another language) goes on;
//! its process is *stuck*, which is said in the same memory: the launcher starts another worker for everybody
//! else.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::settings;

/// How long code may go on that has caught the cancellation, in microseconds.
const GRACE: i64 = 2_000_000;
/// How often it is looked at whether time is up, in milliseconds, and first after this long: most turns are
/// over by then.
const LOOK: c_int = 100;
/// Portions of a large document that have the time of a turn each, as they are the worker's own progress.
const MOST_TURNS: u32 = 10;

/// Whose code runs in a process, for others and for the process after it. All zeros: nobody's.
#[derive(Debug)]
pub struct Record {
    vectorizer: AtomicI32,
    /// In Postgres' microseconds.
    since: AtomicI64,
    /// The vectorizer, from the moment that its code was cancelled until that has ended.
    overrun: AtomicI32,
    /// Whose code it is, as a number of a role.
    owner: AtomicU32,
    /// It goes on though the process was told to end.
    is_stuck: AtomicBool,
}

/// Code that goes on though its process was told to end.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    pub vectorizer: i32,
    pub owner: pg_sys::Oid,
    /// In Postgres' microseconds.
    pub since: i64,
}

impl Record {
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "it is what a new record begins with, and is never looked at"
    )]
    pub const NOBODY: Record = Record {
        vectorizer: AtomicI32::new(0),
        since: AtomicI64::new(0),
        overrun: AtomicI32::new(0),
        owner: AtomicU32::new(0),
        is_stuck: AtomicBool::new(false),
    };

    /// For which vectorizer code runs now, and since when.
    pub fn running(&self) -> Option<(i32, i64)> {
        let vectorizer = self.vectorizer.load(Ordering::Acquire);
        (vectorizer != 0).then(|| (vectorizer, self.since.load(Ordering::Acquire)))
    }

    /// Code that runs and that nothing ends.
    pub fn stuck(&self) -> Option<Stuck> {
        let (vectorizer, since) = self.running()?;
        self.is_stuck.load(Ordering::Acquire).then(|| Stuck {
            vectorizer,
            owner: pg_sys::Oid::from(self.owner.load(Ordering::Acquire)),
            since,
        })
    }

    /// For which vectorizer code was cancelled and has not ended, or had not ended with its process. Says so once.
    pub fn take_overrun(&self) -> Option<i32> {
        Some(self.overrun.swap(0, Ordering::AcqRel)).filter(|vectorizer| *vectorizer != 0)
    }

    /// A new process begins to write here.
    pub fn begin(&self) {
        self.vectorizer.store(0, Ordering::Release);
        self.overrun.store(0, Ordering::Release);
        self.is_stuck.store(false, Ordering::Release);
    }
}

/// Why code of an owner was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// It ran for too long.
    Time,
    /// A session cancelled it.
    Cancelled,
}

/// What the handlers of signals go by. Null: nothing is limited in this process.
static RECORD: AtomicPtr<Record> = AtomicPtr::new(std::ptr::null_mut());
static TIMER: AtomicU32 = AtomicU32::new(0);
/// When the turn began that runs now, and when its code was cancelled; 0 for no such time.
static BEGAN: AtomicI64 = AtomicI64::new(0);
static CUT_AT: AtomicI64 = AtomicI64::new(0);
/// How long it may take, in microseconds.
static LIMIT: AtomicI64 = AtomicI64::new(0);
static BY_A_SESSION: AtomicBool = AtomicBool::new(false);
/// The process is being ended.
static ENDED: AtomicBool = AtomicBool::new(false);
/// How many more portions may have their time.
static TURNS_LEFT: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static ALARM: Cell<Option<fn()>> = const { Cell::new(None) };
    /// The vectorizers whose code was cut since the worker last asked.
    static CUTS: RefCell<HashMap<i32, Interruption>> = RefCell::default();
}

// Of Postgres' timeout.h and postgres.h, for which there are no generated bindings.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: c_uint, handler: unsafe extern "C-unwind" fn()) -> c_uint;
    fn enable_timeout_every(id: c_uint, first: i64, every: c_int);
    fn disable_timeout(id: c_uint, keep_indicator: bool);
    fn get_timeout_indicator(id: c_uint, reset: bool) -> bool;
    fn StatementCancelHandler(signal: c_int);
}
/// LOCK_TIMEOUT of the enum, the same from 15 to 18.
const LOCK_TIMEOUT: c_uint = 2;
/// Not less than USER_TIMEOUT of the enum, which is 12 or 13: Postgres then chooses a free number.
const FREE_TIMEOUT: c_uint = 15;

/// From now on turns are limited in this process, and noted in this record. `alarm` is called when the
/// process is stuck, as a signal handler would be.
pub fn keep(record: &'static Record, alarm: fn()) {
    ALARM.set(Some(alarm));
    // SAFETY: once, on the main thread of a process of Postgres.
    let timer = unsafe { RegisterTimeout(FREE_TIMEOUT, look) };
    TIMER.store(timer, Ordering::Release);
    RECORD.store(std::ptr::from_ref(record).cast_mut(), Ordering::Release);
}

fn record() -> Option<&'static Record> {
    // SAFETY: null, or what `keep` was given.
    unsafe { RECORD.load(Ordering::Acquire).as_ref() }
}

/// Runs `work`, in which code of the owner of a vectorizer may run, and cuts it short when its time is up.
pub fn within<T>(vectorizer: i32, owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let Some(record) = record().filter(|_| BEGAN.load(Ordering::Acquire) == 0) else {
        return work();
    };
    let turn = Turn::begin(record, vectorizer, owner);
    let value = work();
    drop(turn);
    if CUTS.with_borrow(|cuts| cuts.contains_key(&vectorizer)) {
        // It has caught the cancellation, and ended by itself. What it has done is undone all the same.
        raise(
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
            "code of an owner was cancelled",
            None,
        );
    }
    value
}

/// Another portion of a large document begins, which has the time of a turn for itself.
pub fn anew() {
    let left = TURNS_LEFT.load(Ordering::Acquire);
    if left > 0 && BEGAN.load(Ordering::Acquire) != 0 && CUT_AT.load(Ordering::Acquire) == 0 {
        TURNS_LEFT.store(left - 1, Ordering::Release);
        BEGAN.store(now(), Ordering::Release);
    }
}

/// Whether code of a vectorizer was cut, and nothing of it may run until [`take_cuts`].
pub fn is_cut(vectorizer: i32) -> bool {
    CUTS.with_borrow(|cuts| cuts.contains_key(&vectorizer))
}

/// The vectorizers whose code was cut since this was last asked.
pub fn take_cuts() -> HashMap<i32, Interruption> {
    CUTS.take()
}

/// Whether this process is ended for what code of an owner does in it.
pub fn is_ending() -> bool {
    ENDED.load(Ordering::Acquire)
}

/// While it lives, code of an owner may run.
struct Turn {
    record: &'static Record,
    vectorizer: i32,
}

impl Turn {
    fn begin(record: &'static Record, vectorizer: i32, owner: pg_sys::Oid) -> Turn {
        let began = now();
        let limit = i64::try_from(settings::owner_timeout().as_micros()).unwrap_or(i64::MAX);
        LIMIT.store(limit, Ordering::Release);
        CUT_AT.store(0, Ordering::Release);
        BY_A_SESSION.store(false, Ordering::Release);
        TURNS_LEFT.store(MOST_TURNS, Ordering::Release);
        record.since.store(began, Ordering::Release);
        record.owner.store(owner.to_u32(), Ordering::Release);
        record.vectorizer.store(vectorizer, Ordering::Release);
        BEGAN.store(began, Ordering::Release);
        // SAFETY: on the main thread, with the timer of `keep`.
        unsafe { enable_timeout_every(TIMER.load(Ordering::Acquire), began + i64::from(LOOK) * 1000, LOOK) };
        Turn { record, vectorizer }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // SAFETY: as above; also while an ERROR unwinds.
        unsafe { disable_timeout(TIMER.load(Ordering::Acquire), false) };
        BEGAN.store(0, Ordering::Release);
        self.record.vectorizer.store(0, Ordering::Release);
        self.record.is_stuck.store(false, Ordering::Release);
        if CUT_AT.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        let cut = if BY_A_SESSION.load(Ordering::Acquire) {
            Interruption::Cancelled
        } else {
            Interruption::Time
        };
        CUTS.with_borrow_mut(|cuts| cuts.insert(self.vectorizer, cut));
        if !is_ending() {
            self.record.overrun.store(0, Ordering::Release);
        }
        // SAFETY: a flag of this process. Nothing else is to be cancelled for it.
        unsafe { pg_sys::QueryCancelPending = 0 };
    }
}

fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The timer: whether time is up. Does no more than a signal handler may.
unsafe extern "C-unwind" fn look() {
    let began = BEGAN.load(Ordering::Acquire);
    if began == 0 {
        return;
    }
    let now = now();
    match CUT_AT.load(Ordering::Acquire) {
        0 if now.saturating_sub(began) < LIMIT.load(Ordering::Acquire) => (),
        0 => {
            cut(now);
            // SAFETY: flags of this process, which StatementCancelHandler would set.
            unsafe {
                pg_sys::QueryCancelPending = 1;
                pg_sys::InterruptPending = 1;
                pg_sys::SetLatch(pg_sys::MyLatch);
            }
        }
        cut_at if now.saturating_sub(cut_at) < GRACE => (),
        cut_at => {
            ENDED.store(true, Ordering::Release);
            if now.saturating_sub(cut_at) >= 2 * GRACE
                && let Some(record) = record()
                && !record.is_stuck.swap(true, Ordering::AcqRel)
                && let Some(alarm) = ALARM.get()
            {
                alarm();
            }
            // SAFETY: flags of this process, which Postgres' handler of SIGTERM would set.
            unsafe {
                pg_sys::ProcDiePending = 1;
                pg_sys::InterruptPending = 1;
                pg_sys::SetLatch(pg_sys::MyLatch);
            }
        }
    }
}

fn cut(now: i64) {
    CUT_AT.store(now, Ordering::Release);
    if let Some(record) = record() {
        let vectorizer = record.vectorizer.load(Ordering::Acquire);
        record.overrun.store(vectorizer, Ordering::Release);
    }
}

/// SIGINT: a session cancels code of an owner, or a lock was waited for long enough. Where nothing of an
/// owner runs there is nothing to cancel: an ERROR between two transactions would end the process.
pub unsafe extern "C-unwind" fn cancelled(signal: c_int) {
    // SAFETY: a look at a flag of this process.
    let is_of_a_lock = unsafe { get_timeout_indicator(LOCK_TIMEOUT, false) };
    let runs = BEGAN.load(Ordering::Acquire) != 0;
    if runs && !is_of_a_lock && CUT_AT.load(Ordering::Acquire) == 0 {
        BY_A_SESSION.store(true, Ordering::Release);
        cut(now());
    }
    if runs || is_of_a_lock {
        // SAFETY: what Postgres would have called.
        unsafe { StatementCancelHandler(signal) };
    }
}

/// How long code may keep the process at most, from the beginning of its turn.
pub fn longest() -> Duration {
    settings::owner_timeout() + Duration::from_micros(GRACE.unsigned_abs())
}
