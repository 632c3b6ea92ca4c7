//! How fast a provider may be asked for one model by one owner: a pure state machine over 429 answers,
//! failures and successes.

use std::time::{Duration, Instant};

use crate::retry::GREATEST_THROTTLE;

/// First pause after a 429 that names no time; doubles with each in a row. Rate limits are per minute, and OpenAI's
/// buckets refill continuously, so that a second often is enough.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a 429 that names no time: a minute's budget is full again by then.
const GREATEST_UNTOLD_PAUSE: Duration = Duration::from_secs(60);
/// Shortest pause, also after `Retry-After: 0`: asking again at once is what the provider complained about.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// The state of one provider, for one who asks.
#[derive(Debug)]
pub(super) struct Limiter {
    /// Requests in flight that the settings allow.
    most: usize,
    /// Requests in flight allowed now.
    allowed: usize,
    in_flight: usize,
    /// Successes since `allowed` last changed.
    successes: usize,
    /// When the last 429 or failure was taken into account: requests sent before it say nothing new.
    reacted: Option<Instant>,
    /// 429s without a success between them, and when the first came.
    in_a_row: u32,
    throttled_since: Option<Instant>,
}

impl Limiter {
    /// Allows `most` requests in flight, at least one.
    pub fn new(most: usize) -> Limiter {
        let most = most.max(1);
        Limiter {
            most,
            allowed: most,
            in_flight: 0,
            successes: 0,
            reacted: None,
            in_a_row: 0,
            throttled_since: None,
        }
    }

    /// Lets one more request in, if it may be in flight; it has to [`leave`](Limiter::leave).
    pub fn enter(&mut self) -> bool {
        let has_room = self.has_room(self.in_flight);
        self.in_flight += usize::from(has_room);
        has_room
    }

    fn has_room(&self, in_flight: usize) -> bool {
        in_flight < self.allowed
    }

    /// Whether no further request may be in flight.
    pub fn is_full(&self) -> bool {
        !self.has_room(self.in_flight)
    }

    /// Requests that have entered and not left.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A request has ended.
    pub fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// A request was answered with vectors. One more request is allowed after as many successes as are allowed now:
    /// linear growth, so that the limit is approached again slowly.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.throttled_since = None;
        self.successes += 1;
        if self.successes >= self.allowed && self.allowed < self.most {
            self.allowed += 1;
            self.successes = 0;
        }
    }

    /// A request that was sent at `sent` was answered with 429. Returns for how long nothing should be sent.
    ///
    /// `told` is what the provider asked for; `jitter`, uniform in 0..1, spreads the untold pauses of several workers.
    /// Of requests that were in flight together, only the first halves what is allowed.
    pub fn throttled(&mut self, now: Instant, sent: Instant, told: Option<Duration>, jitter: f64) -> Duration {
        self.throttled_since.get_or_insert(now);
        if self.halve(now, sent) {
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        match told {
            Some(told) => told.clamp(LEAST_PAUSE, GREATEST_THROTTLE),
            None => {
                let doublings = self.in_a_row.saturating_sub(1).min(10);
                let full = FIRST_PAUSE.saturating_mul(1 << doublings).min(GREATEST_UNTOLD_PAUSE);
                full.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 4.0)
            }
        }
    }

    /// A request that was sent at `sent` was answered too late, with a failure of the server, or not at all:
    /// fewer may be in flight, once for those that were in flight together. Without a pause, as nobody asked
    /// for one.
    pub fn overloaded(&mut self, now: Instant, sent: Instant) {
        self.halve(now, sent);
    }

    /// Whether this is the first to be heard of the requests that were in flight together, and what is
    /// allowed was halved.
    fn halve(&mut self, now: Instant, sent: Instant) -> bool {
        let is_first = self.reacted.is_none_or(|reacted| sent >= reacted);
        if is_first {
            self.reacted = Some(now);
            self.allowed = (self.allowed / 2).max(1);
            self.successes = 0;
        }
        is_first
    }

    /// Whether requests were refused for so long, though they went one at a time, that a budget of a minute
    /// is full again: then it is not their number that is too much.
    pub fn is_stuck(&self, now: Instant) -> bool {
        let waited = |since| now.saturating_duration_since(since) >= GREATEST_UNTOLD_PAUSE;
        self.allowed == 1 && self.throttled_since.is_some_and(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_429_asks_for_as_long_as_it_says_and_halves() {
        let now = Instant::now();
        let mut limiter = Limiter::new(8);
        assert!(limiter.has_room(7) && !limiter.has_room(8));
        assert_eq!(limiter.throttled(now, now - SECOND, Some(3 * SECOND), 0.5), 3 * SECOND);
        assert!(limiter.has_room(3) && !limiter.has_room(4));
    }

    #[test]
    fn requests_that_were_in_flight_together_count_once() {
        let now = Instant::now();
        let mut limiter = Limiter::new(8);
        for _ in 0..5 {
            limiter.throttled(now, now - SECOND, Some(SECOND), 0.5);
        }
        assert!(limiter.has_room(3));
        let later = now + 2 * SECOND;
        limiter.throttled(later, now + SECOND, Some(SECOND), 0.5);
        assert!(limiter.has_room(1) && !limiter.has_room(2));
        for step in 3..20 {
            limiter.throttled(now + step * SECOND, now + step * SECOND, None, 0.5);
        }
        assert!(limiter.has_room(0), "never less than one request");
    }

    #[test]
    fn failures_halve_what_is_allowed() {
        let now = Instant::now();
        let mut limiter = Limiter::new(8);
        (0..8).for_each(|_| limiter.overloaded(now, now - SECOND));
        assert!(limiter.has_room(3) && !limiter.has_room(4));
        limiter.throttled(now, now - SECOND, Some(SECOND), 0.5);
        assert!(limiter.has_room(3), "a 429 of the same burst says nothing new");
        limiter.overloaded(now, now);
        assert!(!limiter.has_room(2));
    }

    #[test]
    fn who_is_refused_alone_for_a_minute_is_stuck() {
        let now = Instant::now();
        let minute = 60 * SECOND;
        for (most, is_stuck) in [(1, true), (2, true), (8, false)] {
            let mut limiter = Limiter::new(most);
            limiter.throttled(now, now, None, 0.5);
            assert!(!limiter.is_stuck(now + minute - SECOND));
            assert_eq!(limiter.is_stuck(now + minute), is_stuck, "{most}");
            limiter.succeeded();
            assert!(!limiter.is_stuck(now + minute));
        }
    }

    #[test]
    fn it_recovers_one_request_per_round_of_successes() {
        let now = Instant::now();
        let mut limiter = Limiter::new(8);
        limiter.throttled(now, now, Some(SECOND), 0.5);
        (0..3).for_each(|_| limiter.succeeded());
        assert!(!limiter.has_room(4));
        limiter.succeeded();
        assert!(limiter.has_room(4) && !limiter.has_room(5));
        (0..1000).for_each(|_| limiter.succeeded());
        assert!(limiter.has_room(7) && !limiter.has_room(8));
    }

    #[test]
    fn untold_pauses_double_to_a_minute_and_start_over_after_a_success() {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(8);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = limiter.throttled(now, now, None, 1.0);
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        limiter.succeeded();
        assert_eq!(limiter.throttled(now, now, None, 0.0), SECOND.mul_f64(0.75));
    }

    #[test]
    fn absurd_times_are_bounded() {
        let now = Instant::now();
        let mut limiter = Limiter::new(1);
        assert_eq!(limiter.throttled(now, now, Some(Duration::ZERO), 0.5), LEAST_PAUSE);
        assert_eq!(limiter.throttled(now, now, Some(Duration::MAX), 0.5), GREATEST_THROTTLE);
    }
}
