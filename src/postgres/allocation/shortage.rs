//! A shortage of memory on command, for tests: `AI_TEST_SHORTAGE=1000` in the environment of the server fails
//! one allocation in a thousand at random in each of its processes, `AI_TEST_SHORTAGE_SEED` says at which
//! random, and with `AI_TEST_SHORTAGE_PANICS` it looks like a fault of the program. Not in release builds.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

/// What an allocation takes off a thread's credit while there is a shortage: some hundred go well after one
/// that failed.
pub const PER_ALLOCATION: usize = 512;

/// What a test wants to fail of the allocations of the main thread in [`Swept`]: after so many others; below
/// 0 for none.
static SWEPT: AtomicI32 = AtomicI32::new(-1);
/// Whether `AI_TEST_SHORTAGE_OF_THREADS` is there, and which allocation it begins with.
static FIRST: AtomicI32 = AtomicI32::new(-1);
/// How often in this process.
static SWEEPS: AtomicI32 = AtomicI32::new(0);

/// One in so many; 0 for none.
static RATE: AtomicU32 = AtomicU32::new(0);
static PANICS: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);
/// The process that has loaded the library, in which nothing fails: Postgres runs our code there while it starts.
static POSTMASTER: AtomicI32 = AtomicI32::new(0);

pub fn init() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if let Some(first) = number("AI_TEST_SHORTAGE_OF_THREADS") {
        FIRST.store(first.cast_signed(), Ordering::Relaxed);
    }
    if let Some(rate) = number("AI_TEST_SHORTAGE") {
        STATE.store(number("AI_TEST_SHORTAGE_SEED").unwrap_or(0).into(), Ordering::Relaxed);
        PANICS.store(std::env::var_os("AI_TEST_SHORTAGE_PANICS").is_some(), Ordering::Relaxed);
        POSTMASTER.store(process(), Ordering::Relaxed);
        RATE.store(rate, Ordering::Relaxed);
    }
}

/// With `AI_TEST_SHORTAGE_OF_THREADS=n` in the environment of the server, while this is there, the n-th
/// allocation of the main thread fails, the next time in the same process the one after it, and so on.
pub struct Swept;

impl Swept {
    pub fn begin() -> Swept {
        let first = FIRST.load(Ordering::Relaxed);
        if first >= 0 {
            SWEPT.store(first + SWEEPS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
        Swept
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        SWEPT.store(-1, Ordering::Relaxed);
    }
}

/// Whether it is the turn of this allocation.
pub fn is_swept() -> bool {
    let is_counted =
        SWEPT.load(Ordering::Relaxed) >= 0 && !std::thread::panicking() && crate::postgres::panics::is_main_thread();
    let strikes = is_counted && SWEPT.fetch_sub(1, Ordering::Relaxed) == 0;
    if strikes {
        // What has begun is at its work by then.
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    strikes
}

pub fn is_there() -> bool {
    RATE.load(Ordering::Relaxed) > 0
}

/// Whether an allocation that fails is to look like a fault of the program.
pub fn is_fault() -> bool {
    PANICS.load(Ordering::Relaxed)
}

/// Whether it strikes this allocation, unless it would be the end of the process in a build for tests only.
pub fn strikes(is_spared: impl FnOnce() -> bool) -> bool {
    let me = process();
    if me == POSTMASTER.load(Ordering::Relaxed) {
        return false;
    }
    // splitmix64; each process goes another way.
    let step = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mut random = step ^ u64::from(me.unsigned_abs()).wrapping_mul(0xd134_2543_de82_ef95);
    random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    random ^= random >> 31;
    let struck = random.is_multiple_of(u64::from(RATE.load(Ordering::Relaxed))) && !is_spared();
    if struck {
        // For the test to count.
        let line = b"ai: an allocation fails for a test\n";
        // SAFETY: plain system call, without an allocation.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
    struck
}

fn process() -> i32 {
    // SAFETY: plain system call.
    unsafe { libc::getpid() }
}
