//! The bridge between Postgres' main thread and the threads that wait for the network.
//!
//! Tasks hand their results over in a bounded channel and ring an eventfd; the main thread waits for its latch and for
//! the eventfd in one call, so a result is taken over at once and an idle worker does nothing at all.

use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ai_pipeline::threads::STACK;
use pgrx::pg_sys;
use pgrx::prelude::*;
use rustix::event::EventfdFlags;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::access::environment;
use crate::postgres::{allocation, error, latch, panics};

/// A session waits for one thing at a time: one thread is plenty.
const SESSION_THREADS: usize = 1;
/// The latch and the eventfd wake a session. When this has passed it looks whether the threads are still there.
const SESSION_WAIT: Duration = Duration::from_secs(1);
/// Files and connections for which there is room in a process with threads before the kernel has to make
/// more: as many as Postgres opens files (`max_files_per_process`).
const DESCRIPTORS: i32 = 1024;
/// How nice (in the sense of nice(2)) the threads are, where processors are scarce: what they read waits for
/// the main thread, which has the most to do, and backends of users go before both. With as many documents as
/// two processors could take, a worker got through them 6 % sooner.
const BEHIND_MAIN: i32 = 5;
/// How long a stop waits for tasks to notice.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// Most threads that failed starts may have left in a session: there is no way to end them but with the process.
const GREATEST_LEFTOVER: usize = 16;

thread_local! {
    /// The runtime, where the exit handler finds it: the process must not end with threads inside it. It is
    /// dropped by nobody else: a drop waits for its threads for as long as they take.
    static RUNTIME: RefCell<Option<ManuallyDrop<Runtime>>> = const { RefCell::new(None) };
}

/// Threads for the network that have begun in this process.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// A session's exit handler is there. Postgres has room for twenty.
static HAS_EXIT_HANDLER: AtomicBool = AtomicBool::new(false);

/// Results on their way from the tasks to the main thread.
pub struct Bridge<Event> {
    handle: tokio::runtime::Handle,
    sender: mpsc::Sender<Event>,
    receiver: mpsc::Receiver<Event>,
    bell: Arc<OwnedFd>,
    /// A task has ended without a result since the last question.
    lost: Arc<AtomicBool>,
}

impl<Event: Send + 'static> Bridge<Event> {
    /// Starts threads that serve the network; once in a process. `capacity` bounds the results that wait for the main
    /// thread. Where it fails, it can be tried again.
    ///
    /// # Errors
    /// The system refuses a thread, or what a thread needs. Raises where an allocation fails.
    pub fn open(threads: usize, capacity: usize) -> std::io::Result<Bridge<Event>> {
        make_room_for_descriptors();
        environment::tidy();
        if !ai_pipeline::panics::has_room_for_a_thread() {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        if BEGUN.load(Ordering::Acquire) >= GREATEST_LEFTOVER {
            return Err(std::io::Error::other(
                "too many starts have failed halfway: connect again",
            ));
        }
        let runtime = {
            let _blocked = Blocked::signals();
            runtime(threads)?
        };
        let handle = runtime.handle().clone();
        RUNTIME.with(|slot| *slot.borrow_mut() = Some(runtime));
        Bridge::on(handle, capacity)
    }

    /// A bridge of a session, which may have several on the same threads. Raises when they cannot be started.
    pub fn of_session(capacity: usize) -> Bridge<Event> {
        let known = RUNTIME.with(|slot| slot.borrow().as_ref().map(|runtime| runtime.handle().clone()));
        let bridge = match known {
            Some(handle) => Bridge::on(handle, capacity),
            None => {
                if !HAS_EXIT_HANDLER.swap(true, Ordering::Relaxed) {
                    // SAFETY: once in a session. It runs before Postgres takes itself apart.
                    unsafe { pg_sys::before_shmem_exit(Some(at_exit), pg_sys::Datum::from(0)) };
                }
                Bridge::open(SESSION_THREADS, capacity)
            }
        };
        bridge.unwrap_or_else(|error| {
            let message = format!("cannot start the thread for the network: {error}");
            error::raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES, message, None)
        })
    }

    fn on(handle: tokio::runtime::Handle, capacity: usize) -> std::io::Result<Bridge<Event>> {
        let (sender, receiver) = mpsc::channel(capacity);
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bridge {
            handle,
            sender,
            receiver,
            bell: Arc::new(bell),
            lost: Arc::default(),
        })
    }

    /// Runs a task; its result arrives at [`Bridge::take`], unless the [`Task`] is dropped before. A task
    /// whose panic should be a result has to see to that itself (`ai_pipeline::panics`); where all else
    /// fails, [`Bridge::has_lost`] says so.
    pub fn spawn(&self, task: impl Future<Output = Event> + Send + 'static) -> Task {
        let sender = self.sender.clone();
        let has_ended = Arc::new(AtomicBool::new(false));
        let mut end = EndSignal {
            bell: Arc::clone(&self.bell),
            lost: Arc::clone(&self.lost),
            has_ended: Arc::clone(&has_ended),
            is_told: false,
        };
        let task = self.handle.spawn(async move {
            let event = task.await;
            // Fails only when the main thread has gone, and with it all who would want the result.
            end.is_told = sender.send(event).await.is_ok();
            drop(end);
        });
        Task {
            handle: task.abort_handle(),
            has_ended,
        }
    }

    /// Runs code that wants to be inside the runtime, on the main thread.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.handle.enter();
        work()
    }

    /// A result, if one has arrived.
    pub fn take(&mut self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Whether a task may have ended without a result since this was last asked: it panicked where nobody caught it.
    pub fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }

    /// Waits for a result in a session, which can be cancelled, timed out and ended meanwhile as if it waited
    /// for a lock. `has_ended` says whether a task of those that are waited for has. Raises where it did so
    /// without a result.
    pub fn wait_in_session(&mut self, has_ended: impl Fn() -> bool) -> Event {
        loop {
            // Looked at before its result, which comes first.
            let has_ended = has_ended();
            if let Some(event) = self.take() {
                return event;
            }
            if has_ended || panics::is_broken() {
                let message = "the work ended without a result";
                let hint = "The server log has the reason; connect again to try it again.";
                error::raise(PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, message, Some(hint))
            }
            self.wait(SESSION_WAIT);
            // Raises when the call is cancelled, and does not come back when the session has to end.
            pgrx::check_for_interrupts!();
        }
    }

    /// Waits for the latch, a result or `timeout`.
    pub fn wait(&self, timeout: Duration) {
        latch::wait(Some(self.bell.as_raw_fd()), timeout);
        // Empties the counter; nothing to read means that the latch or the time woke us.
        let _ = rustix::io::read(&*self.bell, &mut [0u8; 8]);
    }
}

/// Tells the main thread that a task has ended, however it did.
struct EndSignal {
    bell: Arc<OwnedFd>,
    lost: Arc<AtomicBool>,
    has_ended: Arc<AtomicBool>,
    is_told: bool,
}

impl Drop for EndSignal {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Release);
        if !self.is_told {
            self.lost.store(true, Ordering::Release);
        }
        // A full counter rings as well.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }
}

/// A task that is of no use when no one waits for it.
pub struct Task {
    handle: AbortHandle,
    has_ended: Arc<AtomicBool>,
}

impl Task {
    /// Whether it has: its result, if there is one, has arrived.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Makes the runtime.
///
/// Where its making fails after a thread has begun, tokio waits for that thread as it unwinds, and nobody
/// tells the thread to end: the process would hang for ever, with its signals blocked. tokio does not wait
/// where it must not block, which is inside of a runtime. So there is one around the making, without threads.
/// What has begun stays behind, parked.
///
/// # Errors
/// See [`Bridge::open`].
fn runtime(threads: usize) -> std::io::Result<ManuallyDrop<Runtime>> {
    let around = tokio::runtime::Builder::new_current_thread().build()?;
    let make = async {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name_fn(thread_name)
            // RUST_MIN_STACK in the environment of the server says nothing about these.
            .thread_stack_size(STACK)
            // Threads of the blocking pool come later, when signals are let in again.
            .on_thread_start(|| {
                block_signals();
                allocation::grant();
                BEGUN.fetch_add(1, Ordering::AcqRel);
                // Of this thread, on Linux. Where it is refused, things go on as they would have.
                let _ = rustix::process::setpriority_process(None, BEHIND_MAIN);
            })
            .on_thread_park(panics::know_thread)
            .enable_io()
            .enable_time()
            .build();
        runtime.map(ManuallyDrop::new)
    };
    #[cfg(debug_assertions)]
    let _swept = allocation::Swept::begin();
    catch_unwind(AssertUnwindSafe(|| around.block_on(make))).unwrap_or_else(|thrown| {
        match thrown.downcast::<String>() {
            // How tokio says that the system refuses a thread.
            Ok(message) => Err(std::io::Error::other(*message)),
            Err(thrown) => resume_unwind(thrown),
        }
    })
}

/// Called before each thread.
fn thread_name() -> String {
    #[cfg(debug_assertions)]
    refuse_for_a_test();
    "ai network".to_owned()
}

/// Has the system refuse the n-th thread of a process and all after it, with `AI_TEST_THREADS=n` in the
/// environment of the server. Not in release builds.
#[cfg(debug_assertions)]
fn refuse_for_a_test() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let refused = std::env::var("AI_TEST_THREADS")
        .ok()
        .and_then(|value| value.parse().ok());
    if refused == Some(ASKED.fetch_add(1, Ordering::Relaxed) + 1) {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nproc).maximum;
        let none = Rlimit {
            current: Some(1),
            maximum,
        };
        let _ = setrlimit(Resource::Nproc, none);
    }
}

/// Stops the threads. Called by the exit handler, whatever ends the process.
pub fn close() {
    if let Some(runtime) = RUNTIME.with(|slot| slot.borrow_mut().take()) {
        ManuallyDrop::into_inner(runtime).shutdown_timeout(SHUTDOWN);
    }
}

/// Has the kernel make its table of descriptors large. It starts with 64, and to make it larger beside other
/// threads takes it 10 ms (it waits until no processor can be reading the old one), in the middle of the work
/// of a process that has just come up. A limit of open files that forbids it leaves things as they are.
fn make_room_for_descriptors() {
    let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), DESCRIPTORS - 1);
}

/// Blocks all signals of this thread: Postgres' handlers must run on the main thread only.
fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are initialised by the calls before they are read.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// While it is there, threads are made that no signal is delivered to.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn signals() -> Blocked {
        Blocked(block_signals())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: a set that pthread_sigmask gave.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut());
        }
    }
}

#[pg_guard]
pub unsafe extern "C-unwind" fn at_exit(_code: i32, _argument: pg_sys::Datum) {
    close();
}
