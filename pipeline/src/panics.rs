//! Panics as failures: whatever panics in a task is a failure of the document that it works on, and nobody
//! waits for it for ever.
//!
//! A failed allocation is a panic, too, where the program makes it one: with an [`OutOfMemory`].

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use futures_util::FutureExt;

use crate::error::{Class, Failure, Step};

/// What is thrown where there is no memory.
#[derive(Clone, Copy, Debug)]
pub struct OutOfMemory {
    /// As many were wanted.
    pub bytes: usize,
}

/// Most bytes of a place: a file and a line of the program.
const GREATEST_PLACE: usize = 160;

/// A place in the program. Without an address, as a thread that ends must have nothing to clean up.
#[derive(Clone, Copy)]
pub struct CodePlace {
    text: [u8; GREATEST_PLACE],
    length: usize,
}

const NOWHERE: CodePlace = CodePlace {
    text: [0; GREATEST_PLACE],
    length: 0,
};

thread_local! {
    static LAST: Cell<CodePlace> = const { Cell::new(NOWHERE) };
}

tokio::task_local! {
    static STEP: Cell<Step>;
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Panicked {
    /// An allocation failed.
    #[error("out of memory, on request of size {0}")]
    OutOfMemory(usize),
    /// At this place. The message is left out: it may quote the document.
    #[error("the program panicked at {0}")]
    At(String),
    /// Something that is made once in a process was not, as its making panicked, and never will be in this one.
    #[error("the process has to be started again after an earlier failure")]
    Poisoned,
    /// Nobody caught what ended it.
    #[error("the task ended without a result")]
    Lost,
    /// The system refused a thread.
    #[error("cannot start a thread: the system has no room for another one now")]
    NotStarted,
    /// The runtime has ended.
    #[error("it was ended by a shutdown")]
    Ended,
}

impl Panicked {
    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            Panicked::OutOfMemory(_) | Panicked::Poisoned | Panicked::Lost | Panicked::NotStarted | Panicked::Ended => {
                Class::Transient
            }
            Panicked::At(_) => Class::Unknown,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Panicked::OutOfMemory(_) => "lower ai.max_memory, or give the server more memory",
            Panicked::At(_) | Panicked::Lost => "the server log has the place: please report it",
            Panicked::NotStarted => "allow the user of the server more processes and threads (TasksMax, ulimit -u)",
            Panicked::Poisoned | Panicked::Ended => return None,
        };
        Some(hint.to_owned())
    }

    /// As a failure of a step.
    pub fn failure(&self, step: Step) -> Failure {
        Failure {
            step,
            class: self.class(),
            reason: self.to_string(),
            hint: self.hint(),
        }
    }

    fn of(thrown: &(dyn Any + Send)) -> Panicked {
        match thrown.downcast_ref() {
            Some(OutOfMemory { bytes }) => Panicked::OutOfMemory(*bytes),
            None if thrown
                .downcast_ref::<String>()
                .is_some_and(|message| is_of_no_thread(message)) =>
            {
                Panicked::NotStarted
            }
            None if LAST.get().is_of_what_is_made_once() => Panicked::Poisoned,
            None => Panicked::At(LAST.get().to_string()),
        }
    }
}

/// What tokio panics with where the system refuses it the only thread for work that blocks.
fn is_of_no_thread(message: &str) -> bool {
    message.starts_with("OS can't spawn worker thread")
}

/// Notes where a thread panics. For the panic hook of the program, without which failures do not name a place.
pub fn note(info: &PanicHookInfo<'_>) {
    let mut place = NOWHERE;
    if let Some(location) = info.location() {
        let file = of_crate(location.file());
        let start = file.len().saturating_sub(GREATEST_PLACE - 12);
        let line = location.line();
        let mut rest = &mut place.text[..];
        // What does not fit is left out.
        let _ = std::io::Write::write_fmt(&mut rest, format_args!("{}:{line}", file.get(start..).unwrap_or("?")));
        place.length = GREATEST_PLACE - rest.len();
    }
    LAST.set(place);
}

/// Where this thread has panicked last.
pub fn last_place() -> CodePlace {
    LAST.get()
}

/// A file without the folder that crates or the compiler were unpacked in.
fn of_crate(file: &str) -> &str {
    for folder in ["/registry/src/", "/rustc/"] {
        if let Some((_, rest)) = file.split_once(folder) {
            return rest.split_once('/').map_or(rest, |(_, rest)| rest);
        }
    }
    file
}

impl CodePlace {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }

    /// Of std's `LazyLock` and `Once`, which panic only where the making of what they hold has: an allocation
    /// that failed in there would be one for the life of the process.
    pub fn is_of_what_is_made_once(&self) -> bool {
        self.as_str().contains("/sync/lazy_lock.rs:") || self.as_str().contains("/sync/once.rs:")
    }
}

impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.as_str();
        f.write_str(if place.is_empty() { "a place unknown" } else { place })
    }
}

/// The work of a task for a document, whose panic is a failure of the step that it has reached, at first `step`.
///
/// ```
/// use ai_pipeline::error::{Class, Failure, Step};
/// use ai_pipeline::panics;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let work = async {
///     panics::reach(Step::Chunking);
///     panic!("secret");
/// };
/// let failure: Result<(), Failure> = runtime.block_on(panics::guarded(Step::Loading, work));
/// let failure = failure.unwrap_err();
/// assert_eq!((failure.step, failure.class), (Step::Chunking, Class::Unknown));
/// assert!(!failure.reason.contains("secret"));
/// ```
pub async fn guarded<T, E: From<Failure>>(step: Step, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let guarded = async {
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        outcome.unwrap_or_else(|thrown| Err(Panicked::of(&*thrown).failure(STEP.with(Cell::get)).into()))
    };
    STEP.scope(Cell::new(step), guarded).await
}

/// Notes that the running task has reached a step.
pub fn reach(step: Step) {
    // Outside of a task nobody asks.
    let _ = STEP.try_with(|reached| reached.set(step));
}

/// The outcome of work that may panic.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|thrown| Panicked::of(&*thrown))
}

/// Memory that has to be there for a new thread: its stack, and what glibc allocates when it first looks at a
/// variable of its own.
const ROOM_FOR_A_THREAD: usize = 8 << 20;

/// Whether there is room for a new thread. glibc ends the process when it cannot allocate the variables of
/// one, and asks nobody; this allocation may fail.
pub fn has_room_for_a_thread() -> bool {
    let mut room = Vec::<u8>::new();
    let has_room = room.try_reserve_exact(ROOM_FOR_A_THREAD).is_ok();
    drop(std::hint::black_box(room));
    has_room
}

/// Runs work on a thread of its own, beside those that serve the network.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    let caught = move || catch_unwind(AssertUnwindSafe(work)).map_err(|thrown| Panicked::of(&*thrown));
    if !has_room_for_a_thread() {
        return Err(Panicked::OutOfMemory(ROOM_FOR_A_THREAD));
    }
    // Where the system refuses the only thread, tokio panics.
    let started = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(caught)));
    match started.map_err(|thrown| Panicked::of(&*thrown))?.await {
        Ok(outcome) => outcome,
        Err(error) => Err(match error.try_into_panic() {
            Ok(thrown) => Panicked::of(&*thrown),
            Err(_) => Panicked::Ended,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_crate_and_file() {
        let registry = "/home/x/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/http-1.3.1/src/header/value.rs";
        assert_eq!(of_crate(registry), "http-1.3.1/src/header/value.rs");
        assert_eq!(
            of_crate("/rustc/59807616e1/library/core/src/option.rs"),
            "library/core/src/option.rs"
        );
        assert_eq!(of_crate("pipeline/src/load.rs"), "pipeline/src/load.rs");
    }

    #[tokio::test]
    async fn what_could_not_be_made_once_is_told_apart() {
        static MADE: std::sync::LazyLock<u8> =
            std::sync::LazyLock::new(|| std::panic::panic_any(OutOfMemory { bytes: 1 }));
        std::panic::set_hook(Box::new(note));
        let panicked = || caught(async { *MADE });
        assert_eq!(panicked().await, Err(Panicked::OutOfMemory(1)));
        assert_eq!(panicked().await, Err(Panicked::Poisoned));
        let failure = guarded::<(), Failure>(Step::Chunking, async { panic!("secret") })
            .await
            .unwrap_err();
        assert!(
            failure
                .reason
                .starts_with("the program panicked at pipeline/src/panics.rs:"),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn a_panic_elsewhere_is_told_too() {
        let panicked = blocking(|| panic!("secret")).await;
        assert!(matches!(panicked, Err::<(), _>(Panicked::At(_))));
        let thrown = blocking(|| std::panic::panic_any(OutOfMemory { bytes: 7 })).await;
        assert_eq!(thrown, Err::<(), _>(Panicked::OutOfMemory(7)));
        let failure = thrown.unwrap_err().failure(Step::Parsing);
        assert_eq!(failure.class, Class::Transient);
    }

    /// A stack that no system has room for is as good as a limit of threads.
    #[test]
    fn a_thread_that_is_refused_passes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_stack_size(1 << 50)
            .build();
        let refused = runtime.expect("it has no threads").block_on(blocking(|| ()));
        assert_eq!(refused, Err(Panicked::NotStarted));
        assert_eq!(Panicked::NotStarted.class(), Class::Transient);
    }
}
