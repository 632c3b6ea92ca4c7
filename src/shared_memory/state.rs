//! One slot per database, behind one lock, and what the processes write there.

use std::sync::atomic::{AtomicBool, Ordering};

use ai_pipeline::launch::WantedWork;
use pgrx::pg_sys;
use pgrx::{PGRXSharedMemory, PgLwLock};

/// Databases that are known at the same time. A database takes a slot when its worker is first wanted; when all are
/// taken, an idle one gives way and is found again by the launcher's next look at the catalogue.
const SLOTS: usize = 512;
/// Bytes of a text that a process says about itself.
const TEXT: usize = 160;
/// Prepared transactions that are watched at the same time.
const PREPARED: usize = 1024;

// SAFETY: no other lock of the server is named like the extension.
pub(super) static STATE: PgLwLock<SharedState> = unsafe { PgLwLock::new(c"ai") };

/// A short text of fixed size.
#[derive(Clone, Copy)]
pub struct Text([u8; TEXT], usize);

impl Text {
    pub(super) const EMPTY: Text = Text([0; TEXT], 0);

    pub(super) fn new(text: &str) -> Text {
        let mut end = text.len().min(TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; TEXT];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Text(bytes, end)
    }

    /// The text, if there is any.
    pub fn get(&self) -> Option<&str> {
        std::str::from_utf8(&self.0[..self.1])
            .ok()
            .filter(|text| !text.is_empty())
    }
}

/// A process of ours.
#[derive(Clone, Copy)]
pub struct Process {
    pub pid: i32,
    /// Address of its latch. It lies in Postgres' own shared memory, at the same address in every process.
    latch: usize,
    pub activity: Text,
    pub since: i64,
    pub in_flight: i32,
    pub reason: Text,
}

impl Process {
    pub(super) const NONE: Process = Process {
        pid: 0,
        latch: 0,
        activity: Text::EMPTY,
        since: 0,
        in_flight: 0,
        reason: Text::EMPTY,
    };

    pub(super) fn me() -> Process {
        // SAFETY: MyProcPid and MyLatch are set before any code of an extension runs.
        let (pid, latch) = unsafe { (pg_sys::MyProcPid, pg_sys::MyLatch as usize) };
        Process {
            pid,
            latch,
            since: now(),
            ..Process::NONE
        }
    }
}

/// What is known of a database.
#[derive(Clone, Copy)]
pub struct Slot {
    pub database: pg_sys::Oid,
    /// For which vectorizers work may be waiting.
    pub woken: WantedWork,
    /// The vectorizers that have changed themselves, and are to be read again.
    pub changed: WantedWork,
    /// All are to be read again, as their number may be another, or what they stand on.
    reread: bool,
    /// Those of which a run was asked for.
    pub asked: WantedWork,
    /// Counts the changes of vectorizers.
    pub generation: u64,
    /// Whose pauses have had their reasons mended since the worker last looked. For all: more than can be kept apart.
    mended: WantedWork,
    /// Whose foreign servers, or privileges on them, have changed since.
    servers_changed: WantedWork,
    /// Whose trigger functions a statement that concerned all could not follow, as something of theirs was locked.
    left: WantedWork,
    /// A start was asked of the postmaster.
    pub starting: bool,
    pub worker: Process,
    /// The worker is to leave, as another database waits for its place.
    pub makes_room: bool,
    /// When the next document is due; 0 for never.
    pub next_due: i64,
    pub failures: u32,
    pub not_before: i64,
    /// Why the last worker failed, where it could say so.
    pub failure: Text,
    /// The last worker left because there was nothing to do.
    pub left_orderly: bool,
    /// When a worker of this database last ran its exit handlers.
    pub last_exit: i64,
    /// Those that were prepared before the server was started have been looked for.
    pub knows_prepared: bool,
    /// More transactions were prepared than are watched: it is looked at now and then, until the server is restarted.
    pub unwatched: bool,
    /// The process that builds an index; one at a time.
    pub indexer: Process,
    /// The vectorizer that it builds it for.
    pub indexing: i32,
    /// When it was asked of the postmaster; 0 once it is there.
    pub indexer_asked: i64,
}

impl Slot {
    const FREE: Slot = Slot {
        database: pg_sys::InvalidOid,
        woken: WantedWork::NONE,
        changed: WantedWork::NONE,
        reread: false,
        asked: WantedWork::NONE,
        generation: 0,
        mended: WantedWork::NONE,
        servers_changed: WantedWork::NONE,
        left: WantedWork::NONE,
        starting: false,
        worker: Process::NONE,
        makes_room: false,
        next_due: 0,
        failures: 0,
        not_before: 0,
        failure: Text::EMPTY,
        left_orderly: false,
        last_exit: 0,
        knows_prepared: false,
        unwatched: false,
        indexer: Process::NONE,
        indexing: 0,
        indexer_asked: 0,
    };

    fn is_idle(&self) -> bool {
        self.woken.is_none()
            && !self.starting
            && self.worker.pid == 0
            && self.indexer.pid == 0
            && self.next_due == 0
            && self.failures == 0
            && !self.unwatched
    }
}

/// A transaction that was prepared, and has something to tell the worker of its database when it is committed.
#[derive(Clone, Copy, PartialEq)]
pub struct PreparedTransaction {
    database: pg_sys::Oid,
    transaction: pg_sys::TransactionId,
}

impl PreparedTransaction {
    const NONE: PreparedTransaction = PreparedTransaction {
        database: pg_sys::InvalidOid,
        transaction: pg_sys::InvalidTransactionId,
    };

    /// Whether it has been committed or rolled back.
    pub fn is_over(&self) -> bool {
        // SAFETY: looks at what is shared by all processes; it needs no transaction of ours.
        !unsafe { pg_sys::TransactionIdIsInProgress(self.transaction) }
    }
}

pub(super) struct SharedState {
    launcher: Process,
    pub(super) slots: [Slot; SLOTS],
    prepared: [PreparedTransaction; PREPARED],
}

impl Default for SharedState {
    fn default() -> Self {
        SharedState {
            launcher: Process::NONE,
            slots: [Slot::FREE; SLOTS],
            prepared: [PreparedTransaction::NONE; PREPARED],
        }
    }
}

// SAFETY: plain values; the one address in it is of memory that every process maps at the same place.
unsafe impl PGRXSharedMemory for SharedState {}

impl SharedState {
    fn slot(&mut self, database: pg_sys::Oid) -> Option<&mut Slot> {
        let known = self.slots.iter().position(|slot| slot.database == database);
        let index = known
            .or_else(|| self.slots.iter().position(|slot| slot.database == pg_sys::InvalidOid))
            .or_else(|| self.slots.iter().position(Slot::is_idle))?;
        let slot = &mut self.slots[index];
        if slot.database != database {
            *slot = Slot { database, ..Slot::FREE };
        }
        Some(slot)
    }
}

pub(super) static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Whether the library was preloaded, without which there is neither memory nor a worker.
pub fn is_available() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

pub(super) fn wake(database: pg_sys::Oid, wish: Wish) {
    let latch = {
        let mut state = STATE.exclusive();
        let launcher = state.launcher.latch;
        match state.slot(database) {
            Some(slot) => {
                slot.woken.join(wish.work);
                slot.changed.join(wish.changed);
                slot.reread |= wish.reread;
                slot.asked.join(wish.asked);
                slot.generation += u64::from(wish.reread || !wish.changed.is_none());
                slot.mended.join(wish.mended);
                slot.servers_changed.join(wish.servers);
                slot.left.join(wish.left);
                if slot.worker.latch != 0 {
                    slot.worker.latch
                } else {
                    launcher
                }
            }
            None => launcher,
        }
    };
    set_latch(latch);
}

/// Has the launcher wake the worker of a database when one of these prepared transactions is over.
pub fn watch_prepared(database: pg_sys::Oid, transactions: &[pg_sys::TransactionId]) {
    let launcher = {
        let mut state = STATE.exclusive();
        for &transaction in transactions {
            let prepared = PreparedTransaction { database, transaction };
            if state.prepared.contains(&prepared) {
                continue;
            }
            match state
                .prepared
                .iter()
                .position(|place| *place == PreparedTransaction::NONE)
            {
                Some(place) => state.prepared[place] = prepared,
                None => {
                    if let Some(slot) = state.slot(database) {
                        slot.unwatched = true;
                    }
                }
            }
        }
        state.launcher.latch
    };
    set_latch(launcher);
}

/// The prepared transactions that are watched.
pub fn prepared() -> Vec<PreparedTransaction> {
    let mut prepared = Vec::with_capacity(PREPARED);
    let state = STATE.share();
    prepared.extend(
        state
            .prepared
            .iter()
            .filter(|place| **place != PreparedTransaction::NONE),
    );
    prepared
}

/// A prepared transaction is over: the worker of its database reads everything anew.
pub fn prepared_is_over(over: PreparedTransaction) {
    {
        let mut state = STATE.exclusive();
        if let Some(place) = state.prepared.iter_mut().find(|place| **place == over) {
            *place = PreparedTransaction::NONE;
        }
    }
    wake(over.database, Wish::EVERYTHING);
}

/// Wakes the process with this latch, if it is one.
pub fn set_latch(latch: usize) {
    if latch != 0 {
        // SAFETY: the address of a latch in a PGPROC: that memory stays mapped. If its process has gone and another has
        // taken the PGPROC over, that one wakes for nothing, which every user of a latch must bear.
        unsafe { pg_sys::SetLatch(latch as *mut pg_sys::Latch) };
    }
}

/// Does what no two processes may do at the same time. It must neither allocate nor raise.
pub fn alone<T>(what: impl FnOnce() -> T) -> T {
    let _alone = STATE.exclusive();
    what()
}

/// The present, in Postgres' microseconds.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The launcher says that it is there.
pub fn launcher_arrived() {
    STATE.exclusive().launcher = Process::me();
}

/// The address of its latch; 0 where there is none.
pub fn launcher_latch() -> usize {
    STATE.share().launcher.latch
}

/// The launcher says that it goes.
pub fn launcher_left() {
    STATE.exclusive().launcher = Process::NONE;
}

/// The launcher says what keeps it from starting workers; empty when nothing does.
pub fn launcher_reports(activity: &str, reason: &str) {
    let mut state = STATE.exclusive();
    report(&mut state.launcher, activity, reason);
}

pub(super) fn report(process: &mut Process, activity: &str, reason: &str) {
    if process.activity.get().unwrap_or_default() != activity {
        process.since = now();
        process.activity = Text::new(activity);
    }
    process.reason = Text::new(reason);
}

/// The launcher and the databases that have a slot.
pub fn look() -> (Process, Vec<Slot>) {
    let mut slots = Vec::with_capacity(SLOTS);
    let state = STATE.share();
    slots.extend(state.slots.iter().filter(|slot| slot.database != pg_sys::InvalidOid));
    (state.launcher, slots)
}

/// Changes what is known of a database; `None` when all slots are taken by databases that are busy.
pub fn change<T>(database: pg_sys::Oid, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
    STATE.exclusive().slot(database).map(change)
}

/// A database is no more.
pub fn forget(database: pg_sys::Oid) {
    let mut state = STATE.exclusive();
    if let Some(slot) = state.slots.iter_mut().find(|slot| slot.database == database) {
        *slot = Slot::FREE;
    }
}

/// The worker of this database says that it is there; false when another one is already.
pub fn worker_arrived(database: pg_sys::Oid) -> bool {
    change(database, |slot| {
        let free = slot.worker.pid == 0;
        if free {
            slot.worker = Process::me();
            (slot.left_orderly, slot.makes_room) = (false, false);
            slot.starting = false;
            slot.failure = Text::EMPTY;
        }
        free
    })
    .unwrap_or(false)
}

/// The worker says why it ends, to be started again.
pub fn worker_fails(database: pg_sys::Oid, reason: &str) {
    let reason = Text::new(reason);
    change(database, |slot| slot.failure = reason);
}

/// The worker says what it does.
pub fn worker_reports(database: pg_sys::Oid, activity: &str, in_flight: usize, reason: &str) {
    change(database, |slot| {
        report(&mut slot.worker, activity, reason);
        slot.worker.in_flight = i32::try_from(in_flight).unwrap_or(i32::MAX);
    });
}

/// What a worker is woken with.
pub struct News {
    /// For which vectorizers there may be work.
    pub work: WantedWork,
    /// Which have changed themselves.
    pub changed: WantedWork,
    /// All are to be read again, whether they have changed or not.
    pub reread: bool,
    /// Of which a run was asked.
    pub asked: WantedWork,
    /// Of the vectorizers.
    pub generation: u64,
    /// Those whose pauses have had their reasons mended.
    pub mended: WantedWork,
    /// Those whose servers, or privileges on them, have changed.
    pub servers_changed: WantedWork,
    /// Those that a statement that concerned all has left for later.
    pub left: WantedWork,
    /// Another database waits for the place of this worker.
    pub makes_room: bool,
}

/// Takes the wake-up call.
pub fn take_wake(database: pg_sys::Oid) -> News {
    let take = |slot: &mut Slot| News {
        work: std::mem::replace(&mut slot.woken, WantedWork::NONE),
        changed: std::mem::replace(&mut slot.changed, WantedWork::NONE),
        reread: std::mem::take(&mut slot.reread),
        asked: std::mem::replace(&mut slot.asked, WantedWork::NONE),
        generation: slot.generation,
        mended: std::mem::replace(&mut slot.mended, WantedWork::NONE),
        servers_changed: std::mem::replace(&mut slot.servers_changed, WantedWork::NONE),
        left: std::mem::replace(&mut slot.left, WantedWork::NONE),
        makes_room: slot.makes_room,
    };
    change(database, take).unwrap_or(News {
        work: WantedWork::NONE,
        changed: WantedWork::NONE,
        reread: false,
        asked: WantedWork::NONE,
        generation: 0,
        mended: WantedWork::NONE,
        servers_changed: WantedWork::NONE,
        left: WantedWork::NONE,
        makes_room: false,
    })
}

/// Whether the worker is about to be told that what stood in the way of a vectorizer is mended.
pub fn is_mended(database: pg_sys::Oid, vectorizer: i32) -> bool {
    let state = STATE.share();
    let slot = state.slots.iter().find(|slot| slot.database == database);
    slot.is_some_and(|slot| slot.mended.apart().contains(&vectorizer))
}

/// The worker wants to leave; false when it has just been woken.
pub fn leave(database: pg_sys::Oid, next_due: i64) -> bool {
    let (leaves, launcher) = {
        let mut state = STATE.exclusive();
        let launcher = state.launcher.latch;
        let leaves = state.slot(database).is_none_or(|slot| {
            if slot.woken.is_none() {
                slot.left_orderly = true;
                slot.next_due = next_due;
                slot.worker.latch = 0;
            }
            slot.woken.is_none()
        });
        (leaves, launcher)
    };
    if leaves {
        set_latch(launcher);
    }
    leaves
}

/// The worker leaves its place to another database, with work left to do.
pub fn leave_for_others(database: pg_sys::Oid) {
    change(database, |slot| {
        slot.left_orderly = true;
        slot.woken = WantedWork::ALL;
        slot.worker.latch = 0;
    });
}

/// The worker runs its exit handlers. `is_cut`: it had to end with code of an owner, which is not to be held
/// against others: the next one comes at once.
pub fn worker_left(database: pg_sys::Oid, is_cut: bool) {
    let launcher = {
        let mut state = STATE.exclusive();
        let launcher = state.launcher.latch;
        // SAFETY: set for the life of the process.
        let me = unsafe { pg_sys::MyProcPid };
        if let Some(slot) = state.slot(database)
            && slot.worker.pid == me
        {
            slot.worker = Process::NONE;
            slot.last_exit = now();
            // Sent away in the middle: what it was started for has not been done. The launcher notes it, too,
            // but it may be another one than the one that started us.
            if !slot.left_orderly {
                slot.woken = WantedWork::ALL;
            }
            slot.left_orderly |= is_cut;
        }
        launcher
    };
    set_latch(launcher);
}

/// The worker with this number is stuck: another one does what it has left. False when it is not there any more.
pub fn worker_is_stuck(database: pg_sys::Oid, pid: i32) -> bool {
    change(database, |slot| {
        let is_there = slot.worker.pid == pid;
        if is_there {
            slot.worker = Process::NONE;
            slot.last_exit = now();
            (slot.woken, slot.changed) = (WantedWork::ALL, WantedWork::ALL);
            slot.left_orderly = true;
        }
        is_there
    })
    .unwrap_or(false)
}

/// What a worker is to be told.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    /// For these there may be work: those of the other two, too.
    pub(super) work: WantedWork,
    /// These have changed themselves.
    pub(super) changed: WantedWork,
    /// All are to be read again.
    pub(super) reread: bool,
    /// Of these a run was asked.
    pub(super) asked: WantedWork,
    /// What may have stood in their way is mended.
    pub(super) mended: WantedWork,
    pub(super) servers: WantedWork,
    pub(super) left: WantedWork,
}

impl Wish {
    pub(super) const NOTHING: Wish = Wish {
        work: WantedWork::NONE,
        changed: WantedWork::NONE,
        reread: false,
        asked: WantedWork::NONE,
        mended: WantedWork::NONE,
        servers: WantedWork::NONE,
        left: WantedWork::NONE,
    };
    pub(super) const EVERYTHING: Wish = Wish {
        work: WantedWork::ALL,
        reread: true,
        asked: WantedWork::ALL,
        ..Wish::NOTHING
    };
}
