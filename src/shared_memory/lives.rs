//! How the workers of this server ended, remembered across a crash of it.
//!
//! A document that takes its process with it must be found out, and those that were merely in its hands, or
//! in those of a neighbour, must not be blamed. A worker that is killed cannot say so, and what others say of
//! themselves in Postgres' shared memory is lost with it: a crash of any backend ends all processes and makes
//! that memory anew. The postmaster goes on, and with it a piece of memory that it shares with all that it
//! starts.
//!
//! It ends with the server, and knows nothing of another one: what a primary's worker, or that of a database
//! that was copied, had in its hands is nobody's fault here.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use ai_pipeline::launch::WantedWork;
use pgrx::pg_sys;

use crate::postgres::transaction::limit::{self, Record, Stuck};

/// Databases whose workers are remembered. One more finds no place: its documents are blamed for nothing.
const PLACES: usize = 512;
/// Processes of a database at the same time: the worker, and those before it that are stuck in code of an
/// owner. When all are, no other is started.
const PROCESSES: usize = 4;

/// The workers of a database. All zeros: none.
struct Life {
    database: AtomicU32,
    processes: [WorkerProcess; PROCESSES],
    /// Which of them is the last that began.
    last: AtomicUsize,
    /// How many processes of this database in a row ended in code of an owner, and when the last of them was
    /// found, in Postgres' microseconds.
    overruns: AtomicI32,
    overran: AtomicI64,
}

/// A worker. All zeros: none.
struct WorkerProcess {
    pid: AtomicI32,
    /// When it began, in Postgres' microseconds.
    began: AtomicI64,
    /// It left, or was sent away.
    is_over: AtomicBool,
    /// Whose code runs in it.
    code: Record,
    /// Vectorizers whose documents it has in its hands, and how many there are; more than there is room for are all.
    held: [AtomicI32; HELD],
    number_held: AtomicUsize,
}

impl WorkerProcess {
    fn is_alive(&self) -> bool {
        let pid = self.pid.load(Ordering::Acquire);
        // SAFETY: looks at what is shared by all processes.
        pid != 0 && !unsafe { pg_sys::BackendPidGetProc(pid) }.is_null()
    }
}

/// Vectorizers that are remembered to have had documents in the hands of a process that died.
const HELD: usize = 32;

/// When a worker began, and how the one before it ended.
pub struct LifeStart {
    /// When this one began, in microseconds.
    pub began: i64,
    /// When the one before began, if it was killed: what was in its hands is under suspicion.
    pub killed: Option<i64>,
    /// The vectorizer whose owner's code it died in or is stuck in, as that would not end, and how many
    /// processes did in a row.
    pub overrun: Option<(i32, u32)>,
    /// The vectorizers whose documents it had in its hands, if it was killed.
    pub held: WantedWork,
}

/// Processes that die in code of an owner after this long begin to be counted anew: an hour, in microseconds.
const FORGOTTEN: i64 = 3_600_000_000;

/// Whose code runs in a worker that has found no place.
static UNKNOWN: Record = Record::NOBODY;

/// Where they are; null in a process of a server that was not told to load the library.
static LIVES: AtomicPtr<Life> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// The life of this process, once it has begun.
    static MINE: Cell<Option<&'static WorkerProcess>> = const { Cell::new(None) };
    /// The latch of the launcher, for a handler of a signal, which may take no lock to look for it.
    static LAUNCHER: Cell<usize> = const { Cell::new(0) };
}

/// Makes the memory; in the postmaster, while it loads the library.
pub fn init() {
    // SAFETY: new memory, of pages that are zero. It is never given back.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PLACES * size_of::<Life>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory != libc::MAP_FAILED {
        LIVES.store(memory.cast(), Ordering::Release);
    }
}

fn lives() -> &'static [Life] {
    match LIVES.load(Ordering::Acquire) {
        lives if lives.is_null() => &[],
        // SAFETY: as many as there is memory for, which is never given back; a Life of zeros is one.
        lives => unsafe { std::slice::from_raw_parts(lives, PLACES) },
    }
}

fn life(database: pg_sys::Oid) -> Option<&'static Life> {
    let number = database.to_u32();
    lives()
        .iter()
        .find(|life| life.database.load(Ordering::Acquire) == number)
}

impl Life {
    fn last(&self) -> &WorkerProcess {
        &self.processes[self.last.load(Ordering::Acquire) % PROCESSES]
    }

    fn stuck(&self) -> impl Iterator<Item = (i32, Stuck)> {
        let alive = self.processes.iter().filter(|process| process.is_alive());
        alive.filter_map(|process| Some((process.pid.load(Ordering::Acquire), process.code.stuck()?)))
    }
}

/// For which vectorizer code of its owner runs in the worker of a database, and since when.
pub fn running(database: pg_sys::Oid) -> Option<(i32, i64)> {
    life(database)?.last().code.running()
}

/// The processes of a database that run code which nothing ends, by their number.
pub fn stuck(database: pg_sys::Oid) -> Vec<(i32, Stuck)> {
    life(database).map(|life| life.stuck().collect()).unwrap_or_default()
}

/// Whether the worker of a database with this number is stuck, and there is a place for another one.
pub fn is_to_be_replaced(database: pg_sys::Oid, pid: i32) -> bool {
    life(database).is_some_and(|life| {
        life.stuck().any(|(number, _)| number == pid) && life.processes.iter().any(|process| !process.is_alive())
    })
}

/// A worker of a database begins to work.
pub fn begin(database: pg_sys::Oid) -> LifeStart {
    LAUNCHER.set(crate::shared_memory::launcher_latch());
    let beginning = begin_life(database);
    beginning.unwrap_or_else(|| {
        limit::keep(&UNKNOWN, wake_launcher);
        LifeStart {
            began: crate::shared_memory::now(),
            killed: None,
            overrun: None,
            held: WantedWork::NONE,
        }
    })
}

/// Does no more than a signal handler may.
fn wake_launcher() {
    crate::shared_memory::set_latch(LAUNCHER.get());
}

/// This process has documents of these vectorizers in its hands, and is about to take some.
pub fn holds(vectorizers: &HashSet<i32>) {
    let Some(process) = MINE.get() else {
        return;
    };
    // A process that dies meanwhile has held them all.
    process.number_held.store(HELD + 1, Ordering::Release);
    if vectorizers.len() > HELD {
        return;
    }
    for (place, vectorizer) in std::iter::zip(&process.held, vectorizers) {
        place.store(*vectorizer, Ordering::Release);
    }
    process.number_held.store(vectorizers.len(), Ordering::Release);
}

fn begin_life(database: pg_sys::Oid) -> Option<LifeStart> {
    let number = database.to_u32();
    // A place is taken once: a database that finds it gone takes the next.
    let taken = |life: &&Life| {
        let none = pg_sys::InvalidOid.to_u32();
        let free = life
            .database
            .compare_exchange(none, number, Ordering::AcqRel, Ordering::Acquire);
        free.is_ok()
    };
    let life = self::life(database).or_else(|| lives().iter().find(taken))?;
    let last = life.last();
    let (before, was_over) = (last.began.load(Ordering::Acquire), last.is_over.load(Ordering::Acquire));
    let overrun = last.code.take_overrun();
    let mut held = WantedWork::NONE;
    match last.number_held.load(Ordering::Acquire) {
        number if number > HELD => held = WantedWork::ALL,
        number => last.held[..number]
            .iter()
            .for_each(|id| held.add(id.load(Ordering::Acquire))),
    }
    // One that is stuck, or has not quite gone yet, goes on writing to its own.
    let free = |place: &usize| !life.processes[*place].is_alive();
    let place = (0..PROCESSES).find(free)?;
    let process = &life.processes[place];
    process.is_over.store(false, Ordering::Release);
    let began = crate::shared_memory::now();
    process.began.store(began, Ordering::Release);
    process.code.begin();
    process.number_held.store(0, Ordering::Release);
    // SAFETY: set for the life of the process.
    process.pid.store(unsafe { pg_sys::MyProcPid }, Ordering::Release);
    life.last.store(place, Ordering::Release);
    MINE.set(Some(process));
    limit::keep(&process.code, wake_launcher);
    let overrun = overrun.map(|vectorizer| {
        let now = crate::shared_memory::now();
        if now - life.overran.swap(now, Ordering::AcqRel) > FORGOTTEN {
            life.overruns.store(0, Ordering::Release);
        }
        let number = life.overruns.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        (vectorizer, number.unsigned_abs())
    });
    // Nor is what was in the hands of one that died in code of an owner to blame.
    let killed = (before != 0 && !was_over && overrun.is_none()).then_some(before);
    Some(LifeStart {
        began,
        killed,
        overrun,
        held: if killed.is_some() { held } else { WantedWork::NONE },
    })
}

/// This process leaves, or is sent away: whatever it has in its hands did not end it. Does no more than a
/// signal handler may.
pub fn end() {
    if let Some(process) = MINE.get() {
        process.is_over.store(true, Ordering::Release);
    }
}

unsafe extern "C-unwind" {
    /// Postgres' own handler of SIGTERM: it interrupts SPI, which pgrx's handler does not. Declared here because the
    /// generated binding of the same name is a wrapper of another type.
    fn die(signal: c_int);
    /// Postgres' own handler of SIGQUIT: another process has crashed.
    fn SignalHandlerForCrashExit(signal: c_int);
}

/// SIGTERM: this process is sent away.
pub unsafe extern "C-unwind" fn sent_away(signal: c_int) {
    end();
    // SAFETY: what Postgres would have called.
    unsafe { die(signal) };
}

/// SIGQUIT: the server crashes, and another process was the cause.
pub unsafe extern "C-unwind" fn goes_down_with_the_server(signal: c_int) {
    end();
    // SAFETY: what Postgres would have called.
    unsafe { SignalHandlerForCrashExit(signal) };
}
