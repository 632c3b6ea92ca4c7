//! Threads for work on users' texts, apart from those that serve the network, resolve names and read files.

use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::chunk::Halt;
use crate::error::Cause;
use crate::panics;
use crate::turns::Places;

/// A limited number of threads, which are shared by turns. Clones share them.
#[derive(Clone, Debug)]
pub struct Threads<K>(Places<K>);

/// Bytes of the stack of each thread that is made. Without a number, std takes the one of `RUST_MIN_STACK`:
/// too few are the end of the process, and too many are refused.
pub const STACK: usize = 2 << 20;

/// What is said of work whose place others waited for too often.
pub(crate) const CROWDED: &str =
    "the document takes long, and its turn ended again and again before it was done, as other owners waited";

/// Why work was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// The system has no room for another thread now.
    NotStarted(Cause),
    /// It panicked.
    Panicked,
    /// There was no memory for it.
    OutOfMemory,
    /// Others waited, and it was begun anew as often as it may be.
    Crowded,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undone::NotStarted(cause) => write!(f, "cannot start a thread: {cause}"),
            Undone::Panicked => f.write_str("the work on the text panicked"),
            Undone::OutOfMemory => f.write_str("out of memory"),
            Undone::Crowded => f.write_str(CROWDED),
        }
    }
}

/// Asked by work whether to go on.
pub type Asked<'a> = &'a dyn Fn() -> Option<Halt>;

impl<K: Copy + Eq + Hash + Ord + Send + 'static> Threads<K> {
    /// So many, at least one.
    pub fn new(number: usize) -> Threads<K> {
        Threads(Places::new(number))
    }

    /// Does work in a thread, when it is the turn of `key`. It is asked to stop when the future is dropped,
    /// when it has taken longer than `limit`, and when another's turn has come; then it begins anew on the
    /// next turn. Work that does not ask goes on to its end, which should be near.
    ///
    /// A thread inherits the signals that are blocked where this is called.
    ///
    /// # Errors
    ///
    /// Those of [`Undone`].
    pub async fn run<T: Send + 'static>(
        &self,
        key: K,
        limit: Duration,
        work: impl Fn(Asked) -> T + Send + Sync + 'static,
    ) -> Result<T, Undone> {
        let work = Arc::new(work);
        let mut again = None;
        loop {
            let place = self.0.enter(key, again).await;
            let (sender, receiver) = oneshot::channel();
            let unwanted = Unwanted::default();
            let (mine, wanted) = (Arc::clone(&work), Arc::clone(&unwanted.0));
            if !panics::has_room_for_a_thread() {
                return Err(Undone::OutOfMemory);
            }
            let thread = std::thread::Builder::new().name("ai text".to_owned()).stack_size(STACK);
            let started = thread.spawn(move || {
                let deadline = Instant::now() + limit;
                let was_recalled = AtomicBool::new(false);
                let halt = || {
                    if wanted.load(Ordering::Relaxed) {
                        return Some(Halt::Unwanted);
                    }
                    if place.is_recalled() {
                        was_recalled.store(true, Ordering::Relaxed);
                        return Some(Halt::Unwanted);
                    }
                    (Instant::now() >= deadline).then_some(Halt::Late { limit })
                };
                let done = catch_unwind(AssertUnwindSafe(|| mine(&halt)));
                // Before the answer: what it holds is the caller's again.
                drop(mine);
                let again = place.again();
                let done = match done {
                    Ok(_) if was_recalled.into_inner() => None,
                    Ok(done) => Some(Ok(done)),
                    Err(thrown) if thrown.is::<panics::OutOfMemory>() => Some(Err(Undone::OutOfMemory)),
                    Err(_) => Some(Err(Undone::Panicked)),
                };
                drop(place);
                // The future may be gone.
                let _ = sender.send((done, again));
            });
            if let Err(error) = started {
                return Err(Undone::NotStarted(Cause::new(error)));
            }
            match receiver.await {
                Ok((Some(done), _)) => return done,
                Ok((None, recalled)) if recalled.is_in_vain() => return Err(Undone::Crowded),
                Ok((None, recalled)) => again = Some(recalled),
                Err(_) => return Err(Undone::Panicked),
            }
            drop(unwanted);
        }
    }
}

/// Tells a thread that nobody waits for it, when it is dropped.
#[derive(Default)]
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Goes on until it is told to stop.
    fn endless(asked: Asked) -> Halt {
        loop {
            if let Some(halt) = asked() {
                return halt;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn work_is_done_apart_and_stops_when_it_is_late() {
        let threads = Threads::new(1);
        let here = std::thread::current().id();
        let there = threads.run('a', LONG, |_| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        let limit = Duration::from_millis(20);
        assert_eq!(threads.run('a', limit, endless).await, Ok(Halt::Late { limit }));
        assert_eq!(
            threads.run('a', LONG, |_| panic!("at work")).await,
            Err::<(), _>(Undone::Panicked)
        );
    }

    #[tokio::test]
    async fn work_that_nobody_wants_gives_its_thread_back() {
        let threads = Threads::new(1);
        let gone = tokio::time::timeout(Duration::from_millis(20), threads.run('a', LONG, endless)).await;
        assert!(gone.is_err());
        assert_eq!(threads.run('a', LONG, |_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_above_the_share_of_its_owner_makes_room_and_begins_anew() {
        let threads = Threads::new(2);
        let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let work = |begun: Arc<std::sync::atomic::AtomicUsize>| {
            move |asked: Asked| {
                begun.fetch_add(1, Ordering::Relaxed);
                endless(asked)
            }
        };
        let eaters: Vec<_> = (0..2)
            .map(|_| {
                let (threads, work) = (threads.clone(), work(Arc::clone(&begun)));
                tokio::spawn(async move { threads.run('m', Duration::from_secs(4), work).await })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(threads.run('a', LONG, |_| 7).await, Ok(7));
        assert!(
            eaters.iter().all(|eater| !eater.is_finished()),
            "the other did not wait for them"
        );
        for eater in eaters {
            assert!(matches!(eater.await.unwrap(), Ok(Halt::Late { .. })));
        }
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}
