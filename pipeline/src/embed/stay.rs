//! How long a document stays here when the provider asks for patience, and when it is given back to its caller.

use std::time::{Duration, Instant};

/// Pauses up to this long are waited out here. Longer ones are given back to the callers, who hold leases.
pub(super) const GREATEST_PAUSE: Duration = Duration::from_secs(20);
/// A document that was throttled again and again for this long is given back, too.
const GREATEST_STAY: Duration = Duration::from_secs(60);
/// A document that has vectors already stays longer, because they would be paid for again: until the provider
/// has answered nobody for this long. Not for ever, as others wait for the memory that the vectors take up.
const GREATEST_PAID_STAY: Duration = Duration::from_secs(15 * 60);

/// Whether a document that came at `since` waits for the end of a pause. `answered` is when the provider last
/// answered a request with vectors, for a document that has some.
pub(super) fn waits(now: Instant, until: Instant, since: Instant, answered: Option<Instant>) -> bool {
    match answered {
        Some(answered) => until.saturating_duration_since(answered) <= GREATEST_PAID_STAY,
        None => {
            until.saturating_duration_since(now) <= GREATEST_PAUSE
                && until.saturating_duration_since(since) <= GREATEST_STAY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_vectors_waits_a_quarter_of_an_hour_and_who_has_none_a_moment() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        for (pause, unpaid, paid) in [
            (20, true, true),
            (21, false, true),
            (900, false, true),
            (901, false, false),
        ] {
            assert_eq!(waits(now, after(pause), now, None), unpaid, "{pause}");
            assert_eq!(waits(now, after(pause), now, Some(now)), paid, "{pause}");
        }
    }

    #[test]
    fn short_pauses_add_up_as_long_as_nobody_is_answered() {
        let since = Instant::now();
        let after = |seconds| since + Duration::from_secs(seconds);
        assert!(waits(after(59), after(60), since, None));
        assert!(!waits(after(60), after(61), since, None));
        assert!(waits(after(1000), after(1001), since, Some(after(999))));
        assert!(!waits(after(1000), after(1001), since, Some(after(100))));
    }
}
