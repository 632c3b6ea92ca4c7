//! What happens to an item after a failure: a pure function of the class, the attempts so far and a random number.

use std::time::Duration;

use crate::error::{Class, Step};

/// Wait after the first transient failure. Doubles with each attempt.
pub const FIRST_DELAY: Duration = Duration::from_secs(2);
/// No transient failure waits longer than this: an outage of an hour is over a quarter of an hour later at most.
pub const GREATEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Tries of an item whose failure nobody understands.
pub const UNKNOWN_ATTEMPTS: u32 = 3;
/// Tries after the first of an item that the provider fails for no reason of the item's, at least: an outage
/// of an hour, or a gateway that says nothing sensible for as long, is over before it is given up (the waits
/// add up to one or two hours). What the user allows is meant for loading.
pub const EMBEDDING_RETRIES: u32 = 16;
/// Tries of an item that takes its process down with it.
pub const CRASH_ATTEMPTS: u32 = 3;
/// Wait after a 429 that names no time.
pub const THROTTLE_DELAY: Duration = Duration::from_secs(5);
/// A server that asks for more patience than this is asked again all the same.
pub const GREATEST_THROTTLE: Duration = Duration::from_secs(60 * 60);

/// What the queue does with an item that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this long. `counted` says whether the attempt stays on the item's account.
    Again {
        /// From now.
        after: Duration,
        /// Whether the attempt was the item's fault.
        counted: bool,
    },
    /// Put the item back untouched and pause the whole vectorizer.
    Pause,
    /// To the failed queue.
    GiveUp,
}

/// The state machine's edge out of "in work" for a failure.
///
/// `attempts` counts this one (1 for the first); `retries` is the number of tries after the first that the user allows
/// for transient failures; `jitter` is uniform in 0..1 and spreads retries of one outage over half their delay:
/// with the delay doubling from 2 s, the waits are 1–2 s, 2–4 s, 4–8 s … up to 7.5–15 min.
///
/// ```
/// use std::time::Duration;
/// use ai_pipeline::{error::Class, retry::{after_failure, Decision}};
/// let again = Decision::Again { after: Duration::from_secs(4), counted: true };
/// assert_eq!(after_failure(Class::Transient, 2, 6, 1.0), again);
/// assert_eq!(after_failure(Class::Transient, 7, 6, 1.0), Decision::GiveUp);
/// assert_eq!(after_failure(Class::Permanent, 1, 6, 1.0), Decision::GiveUp);
/// assert_eq!(after_failure(Class::Configuration, 1, 6, 1.0), Decision::Pause);
/// ```
pub fn after_failure(class: Class, attempts: u32, retries: u32, jitter: f64) -> Decision {
    match class {
        Class::Transient if attempts > retries => Decision::GiveUp,
        Class::Unknown if attempts >= UNKNOWN_ATTEMPTS => Decision::GiveUp,
        Class::Transient | Class::Unknown => Decision::Again {
            after: backoff(attempts, jitter),
            counted: true,
        },
        Class::Throttled { retry_after } => Decision::Again {
            after: retry_after.unwrap_or(THROTTLE_DELAY).min(GREATEST_THROTTLE),
            counted: false,
        },
        Class::Configuration => Decision::Pause,
        Class::Permanent => Decision::GiveUp,
    }
}

/// The tries after the first that an item has for transient failures of a step, where the user allows `allowed`.
pub fn retries(step: Step, allowed: u32) -> u32 {
    match step {
        Step::Embedding => allowed.max(EMBEDDING_RETRIES),
        Step::Loading | Step::Parsing | Step::Chunking | Step::Formatting | Step::Writing | Step::Indexing => allowed,
    }
}

/// After so many refusals in a row, the wait until the next try does not grow any more: a minute.
pub const MOST_REFUSALS: u32 = 6;

/// Capped exponential back-off with jitter over its upper half.
pub fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    let full = FIRST_DELAY.saturating_mul(1 << doublings).min(GREATEST_DELAY);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_cap_and_never_overflows() {
        assert_eq!(backoff(1, 1.0), FIRST_DELAY);
        assert_eq!(backoff(1, 0.0), FIRST_DELAY / 2);
        assert_eq!(backoff(5, 1.0), Duration::from_secs(32));
        assert_eq!(backoff(u32::MAX, 1.0), GREATEST_DELAY);
        assert_eq!(backoff(0, 1.0), FIRST_DELAY);
    }

    #[test]
    fn a_throttled_item_waits_as_told_and_pays_nothing() {
        let told = Class::Throttled {
            retry_after: Some(Duration::from_secs(17)),
        };
        assert_eq!(
            after_failure(told, 99, 0, 0.5),
            Decision::Again {
                after: Duration::from_secs(17),
                counted: false
            }
        );
        let untold = Class::Throttled { retry_after: None };
        assert_eq!(
            after_failure(untold, 1, 6, 0.5),
            Decision::Again {
                after: THROTTLE_DELAY,
                counted: false
            }
        );
        let absurd = Class::Throttled {
            retry_after: Some(Duration::from_secs(1 << 40)),
        };
        assert_eq!(
            after_failure(absurd, 1, 6, 0.5),
            Decision::Again {
                after: GREATEST_THROTTLE,
                counted: false
            }
        );
    }

    #[test]
    fn an_unknown_failure_gets_three_tries_whatever_the_user_allows() {
        assert!(matches!(
            after_failure(Class::Unknown, 1, 0, 0.5),
            Decision::Again { counted: true, .. }
        ));
        assert!(matches!(
            after_failure(Class::Unknown, 2, 0, 0.5),
            Decision::Again { counted: true, .. }
        ));
        assert_eq!(after_failure(Class::Unknown, 3, 50, 0.5), Decision::GiveUp);
    }

    #[test]
    fn a_provider_may_be_down_for_an_hour() {
        let outage = |jitter: f64| {
            let retries = retries(Step::Embedding, 0);
            let waits = (1..=retries).map(
                |attempt| match after_failure(Class::Transient, attempt, retries, jitter) {
                    Decision::Again { after, counted: true } => after,
                    other => panic!("{other:?} after {attempt} attempts"),
                },
            );
            let all: Duration = waits.sum();
            assert_eq!(
                after_failure(Class::Transient, retries + 1, retries, jitter),
                Decision::GiveUp
            );
            all
        };
        assert!(outage(0.0) >= Duration::from_secs(3600), "{:?}", outage(0.0));
        assert!(outage(1.0) <= Duration::from_secs(3 * 3600), "{:?}", outage(1.0));
        assert_eq!(retries(Step::Embedding, 50), 50);
        assert_eq!(retries(Step::Loading, 2), 2);
    }

    #[test]
    fn no_retries_means_one_try() {
        assert_eq!(after_failure(Class::Transient, 1, 0, 0.5), Decision::GiveUp);
    }
}
