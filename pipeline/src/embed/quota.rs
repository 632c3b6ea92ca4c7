//! What a provider says is left of its rate limits (`x-ratelimit-*`), and the pace that follows from it.
//!
//! A 429 costs a round trip and a pause for everyone; asking no faster than the budget refills avoids most of them.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

/// Waits are computed up to this; who waits decides how long to believe them.
const GREATEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// A budget that is full again at once, as far as the headers go, is one per minute.
const WINDOW: Duration = Duration::from_secs(60);

/// One budget, as the headers of an answer show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RateLevel {
    /// The whole budget.
    pub limit: f64,
    /// What is left of it.
    remaining: f64,
    /// Until it is whole again.
    reset: Duration,
}

/// The budgets of requests and of tokens, where the provider shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Quota {
    pub requests: Option<RateLevel>,
    pub tokens: Option<RateLevel>,
}

impl Quota {
    /// From the headers of an answer, successful or not.
    pub fn new(headers: &HeaderMap) -> Quota {
        Quota {
            requests: level(headers, "requests"),
            tokens: level(headers, "tokens"),
        }
    }
}

fn level(headers: &HeaderMap, of: &str) -> Option<RateLevel> {
    let text = |what: &str| headers.get(format!("x-ratelimit-{what}-{of}"))?.to_str().ok();
    let limit = text("limit")?
        .parse()
        .ok()
        .filter(|limit| (1.0..1e15).contains(limit))?;
    let remaining = text("remaining")?
        .parse()
        .ok()
        .filter(|remaining| (0.0..=limit).contains(remaining))?;
    Some(RateLevel {
        limit,
        remaining,
        reset: duration(text("reset")?)?,
    })
}

/// `6m0s`, `1.5s`, `20ms`, `1h2m3s`; a number without a unit is in seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let unit = &unit[..unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len())];
        seconds += number
            * match unit {
                "d" => 86400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" | "" => 1.0,
                "ms" => 0.001,
                "us" | "µs" => 0.000_001,
                _ => return None,
            };
        rest = &rest[digits + unit.len()..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// A budget between two answers: refills steadily, is used up by what is sent.
#[derive(Debug)]
pub(super) struct RateBudget {
    capacity: f64,
    left: f64,
    per_second: f64,
    at: Instant,
}

impl RateBudget {
    pub fn new(level: RateLevel, now: Instant) -> RateBudget {
        let missing = level.limit - level.remaining;
        let per_second = if level.reset.is_zero() || missing <= 0.0 {
            level.limit / WINDOW.as_secs_f64()
        } else {
            missing / level.reset.as_secs_f64()
        };
        RateBudget {
            capacity: level.limit,
            left: level.remaining,
            per_second,
            at: now,
        }
    }

    fn left(&self, now: Instant) -> f64 {
        let refilled = self.per_second * now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + refilled).min(self.capacity)
    }

    /// When `need` can be spent; `now` or earlier means at once. More than the whole budget is never there:
    /// then when it is full.
    pub fn due(&self, now: Instant, need: f64) -> Instant {
        let missing = need.min(self.capacity) - self.left(now);
        if missing <= 0.0 {
            return now;
        }
        let wait = Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(GREATEST_WAIT);
        now + wait.min(GREATEST_WAIT)
    }

    pub fn spend(&mut self, now: Instant, spent: f64) {
        // Not below nothing: what was sent in spite of the budget must not hold up the next request twice.
        self.left = (self.left(now) - spent).max(0.0);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_openai_writes_them() {
        let quota = |limit: &str, remaining: &str, reset: &str| {
            let mut headers = HeaderMap::new();
            for (what, value) in [("limit", limit), ("remaining", remaining), ("reset", reset)] {
                let name: reqwest::header::HeaderName = format!("x-ratelimit-{what}-tokens").parse().unwrap();
                headers.insert(name, value.parse().unwrap());
            }
            Quota::new(&headers).tokens
        };
        let level = quota("150000", "149984", "6m0s").unwrap();
        assert_eq!(
            level,
            RateLevel {
                limit: 150_000.0,
                remaining: 149_984.0,
                reset: Duration::from_secs(360)
            }
        );
        for nonsense in [
            ("0", "0", "1s"),
            ("10", "11", "1s"),
            ("10", "-1", "1s"),
            ("10", "5", "soon"),
            ("NaN", "1", "1s"),
        ] {
            assert_eq!(quota(nonsense.0, nonsense.1, nonsense.2), None, "{nonsense:?}");
        }
        assert_eq!(Quota::new(&HeaderMap::new()), Quota::default());
    }

    #[test]
    fn durations_of_all_units_are_read() {
        for (text, milliseconds) in [
            ("20ms", 20),
            ("1.5s", 1500),
            ("6m0s", 360_000),
            ("1h2m3s", 3_723_000),
            ("7", 7000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for nonsense in ["s", "1w", "1.2.3s", "-1s", "ms20", "99999999999999999999d"] {
            assert_eq!(duration(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_budget_is_spent_and_refills_at_the_pace_the_headers_imply() {
        let now = Instant::now();
        let level = RateLevel {
            limit: 1000.0,
            remaining: 400.0,
            reset: Duration::from_secs(6),
        };
        let mut budget = RateBudget::new(level, now);
        assert_eq!(budget.due(now, 400.0), now);
        assert_eq!(budget.due(now, 500.0), now + Duration::from_secs(1));
        budget.spend(now, 400.0);
        assert_eq!(budget.due(now, 300.0), now + Duration::from_secs(3));
        assert_eq!(
            budget.due(now + Duration::from_secs(3), 300.0),
            now + Duration::from_secs(3)
        );
        assert_eq!(budget.due(now, 1e9), now + Duration::from_secs(10));
        let full = now + Duration::from_secs(100);
        assert_eq!(
            budget.due(full, 1e9),
            full,
            "more than the whole budget waits until it is full, not for ever"
        );
        let absurd = RateLevel {
            limit: 1e14,
            remaining: 0.0,
            reset: Duration::MAX,
        };
        assert_eq!(RateBudget::new(absurd, now).due(now, 1.0), now + GREATEST_WAIT);
    }
}
