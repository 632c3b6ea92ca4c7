//! Rate limits as OpenAI enforces them: budgets of requests and tokens per minute that refill steadily.

use std::time::{Duration, Instant};

/// What is allowed per minute.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests per minute.
    pub requests_per_minute: f64,
    /// Tokens per minute, at four bytes each.
    pub tokens_per_minute: f64,
    /// The time whose budget can be saved up and used at once: a minute at OpenAI, less in a test that has no time.
    pub window: Duration,
}

impl Default for Limits {
    /// More than a test can use up.
    fn default() -> Self {
        Limits {
            requests_per_minute: 1e9,
            tokens_per_minute: 1e12,
            window: Duration::from_secs(60),
        }
    }
}

struct Bucket {
    capacity: f64,
    left: f64,
    per_second: f64,
}

impl Bucket {
    fn new(per_minute: f64, window: Duration) -> Bucket {
        let per_second = per_minute / 60.0;
        let capacity = per_second * window.as_secs_f64();
        Bucket {
            capacity,
            left: capacity,
            per_second,
        }
    }

    /// Time until `amount` can be taken.
    fn wait(&self, amount: f64) -> Duration {
        Duration::from_secs_f64(((amount - self.left) / self.per_second).max(0.0))
    }
}

/// Whether a request is let in, and the headers that say what is left.
pub(crate) struct Verdict {
    /// Time after which it would be let in, where it is not.
    pub refused_for: Option<Duration>,
    pub headers: Vec<(&'static str, String)>,
}

pub(crate) struct RateLimiter {
    requests: Bucket,
    tokens: Bucket,
    at: Instant,
}

impl RateLimiter {
    pub fn new(limits: Limits) -> RateLimiter {
        RateLimiter {
            requests: Bucket::new(limits.requests_per_minute, limits.window),
            tokens: Bucket::new(limits.tokens_per_minute, limits.window),
            at: Instant::now(),
        }
    }

    pub fn charge(&mut self, now: Instant, tokens: usize) -> Verdict {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        for bucket in [&mut self.requests, &mut self.tokens] {
            bucket.left = (bucket.left + bucket.per_second * passed).min(bucket.capacity);
        }
        let wait = self.requests.wait(1.0).max(self.tokens.wait(tokens as f64));
        let fits = wait.is_zero();
        if fits {
            self.requests.left -= 1.0;
            self.tokens.left -= tokens as f64;
        }
        let reset = |bucket: &Bucket| format!("{}ms", bucket.wait(bucket.capacity).as_millis());
        let headers = vec![
            ("x-ratelimit-limit-requests", format!("{:.0}", self.requests.capacity)),
            (
                "x-ratelimit-remaining-requests",
                format!("{:.0}", self.requests.left.floor()),
            ),
            ("x-ratelimit-reset-requests", reset(&self.requests)),
            ("x-ratelimit-limit-tokens", format!("{:.0}", self.tokens.capacity)),
            (
                "x-ratelimit-remaining-tokens",
                format!("{:.0}", self.tokens.left.floor()),
            ),
            ("x-ratelimit-reset-tokens", reset(&self.tokens)),
        ];
        Verdict {
            refused_for: (!fits).then_some(wait),
            headers,
        }
    }
}
