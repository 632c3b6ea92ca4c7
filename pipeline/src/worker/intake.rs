//! How much of an intake is put into its queue by one statement, what of it is not, and when.

use std::time::{Duration, Instant};

/// Changes that are put into the queue by one statement: some tens of milliseconds, which what is
/// in flight has to wait.
pub const TAKE_IN: usize = 2000;
/// What it may take to find nothing in an intake before it is read more rarely.
const IN_VAIN: Duration = Duration::from_millis(20);
/// No intake is left alone for the sake of more than this.
const MOST_WASTED: Duration = Duration::from_secs(10);
/// Of more changes that are refused the queue itself is at fault.
const MOST_REFUSED: usize = 1000;
/// When they are tried again, with those that have taken their places.
const AGAIN: Duration = Duration::from_secs(3600);
/// How often to look whether the rows of some are gone, and of how many: to find a long key takes
/// long.
const LOOK: Duration = Duration::from_secs(1);
const LOOKED_AT: usize = 10;

/// How long an intake is left alone that was read in vain for so long: a tenth of the time,
/// whatever has to be read; `None` where it is not worth it.
///
/// ```
/// use std::time::Duration;
/// use ai_pipeline::worker::intake::rest;
/// assert_eq!(rest(Duration::from_millis(20)), None);
/// assert_eq!(rest(Duration::from_secs(1)), Some(Duration::from_secs(9)));
/// assert_eq!(rest(Duration::from_secs(600)), Some(Duration::from_secs(90)));
/// ```
pub fn rest(wasted: Duration) -> Option<Duration> {
    (wasted > IN_VAIN).then(|| 9 * wasted.min(MOST_WASTED))
}

/// How much of an intake is put into the queue by one statement, and what of it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChanges {
    /// One at a time after an error, and more again from there.
    limit: usize,
    /// The places in the intake of what the queue has refused.
    places: Vec<String>,
    since: Instant,
    looked: Instant,
}

/// What follows from an error of the queue about what was put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedSearch {
    /// The queue itself is at fault.
    GiveUp,
    /// The others are to be tried, one at a time.
    Narrow,
    /// It was the only one: the first that is not refused yet is to blame.
    Found,
}

impl RefusedChanges {
    /// Nothing is refused.
    pub fn none(now: Instant) -> RefusedChanges {
        RefusedChanges {
            limit: TAKE_IN,
            places: Vec::new(),
            since: now,
            looked: now,
        }
    }

    /// How many changes are put into the queue by the next statement.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The places of those that are not.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// Some of it was put into the queue.
    pub fn succeeded(&mut self, now: Instant) {
        self.limit = self.limit.saturating_mul(4).min(TAKE_IN);
        if now.saturating_duration_since(self.since) >= AGAIN {
            *self = RefusedChanges::none(now);
        }
    }

    /// The queue has refused what is in a change.
    pub fn search(&mut self) -> RefusedSearch {
        if self.places.len() >= MOST_REFUSED {
            return RefusedSearch::GiveUp;
        }
        if self.limit > 1 {
            self.limit = 1;
            return RefusedSearch::Narrow;
        }
        RefusedSearch::Found
    }

    /// What is at this place is refused.
    pub fn add(&mut self, place: String) {
        self.places.push(place);
        self.limit = 2;
    }

    /// The places of those of which it is to be looked whether their rows are gone: others each
    /// time.
    pub fn to_look_at(&mut self, now: Instant) -> Vec<String> {
        if self.places.is_empty() || now.saturating_duration_since(self.looked) < LOOK {
            return Vec::new();
        }
        self.looked = now;
        let looked_at = self.places.len().min(LOOKED_AT);
        let places = self.places[..looked_at].to_vec();
        self.places.rotate_left(looked_at);
        places
    }

    /// The rows of these are gone.
    pub fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.places.retain(|place| !is_gone(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_refused_is_found_and_the_others_come_in_as_many_as_before() {
        let now = Instant::now();
        let mut refused = RefusedChanges::none(now);
        assert_eq!(refused.limit(), TAKE_IN);
        assert_eq!(refused.search(), RefusedSearch::Narrow);
        assert_eq!(refused.limit(), 1);
        // One after the other, until it is met.
        assert_eq!(refused.search(), RefusedSearch::Found);
        refused.add("(0,3)".to_owned());
        assert_eq!(refused.places(), ["(0,3)"]);
        let limits: Vec<usize> = std::iter::repeat_with(|| {
            refused.succeeded(now);
            refused.limit()
        })
        .take(7)
        .collect();
        assert_eq!(limits, [8, 32, 128, 512, 2000, 2000, 2000]);
    }

    #[test]
    fn of_too_many_that_are_refused_none_is_to_blame() {
        let mut refused = RefusedChanges::none(Instant::now());
        for place in 0..MOST_REFUSED {
            assert_ne!(refused.search(), RefusedSearch::GiveUp, "{place}");
            refused.add(place.to_string());
        }
        assert_eq!(refused.search(), RefusedSearch::GiveUp);
    }

    #[test]
    fn what_is_refused_is_tried_again_after_an_hour() {
        let now = Instant::now();
        let mut refused = RefusedChanges::none(now);
        refused.add("here".to_owned());
        refused.succeeded(now + AGAIN - Duration::from_secs(1));
        assert_eq!(refused.places().len(), 1);
        refused.succeeded(now + AGAIN);
        assert_eq!(refused, RefusedChanges::none(now + AGAIN));
    }

    #[test]
    fn all_that_are_refused_are_looked_at_in_turn_and_not_too_often() {
        let now = Instant::now();
        let mut refused = RefusedChanges::none(now);
        (0..25).for_each(|place| refused.add(place.to_string()));
        assert!(refused.to_look_at(now).is_empty(), "too soon");
        let mut seen = Vec::new();
        for look in 1..=3 {
            seen.extend(refused.to_look_at(now + look * LOOK));
            assert!(refused.to_look_at(now + look * LOOK).is_empty());
        }
        seen.sort_by_key(|place| place.parse::<u32>().unwrap());
        seen.dedup();
        assert_eq!(seen.len(), 25);
        refused.forget(|place| place != "7");
        assert_eq!(refused.places(), ["7"]);
        assert_eq!(RefusedChanges::none(now).to_look_at(now + 9 * LOOK), [""; 0]);
    }

    #[test]
    fn an_intake_that_is_read_in_vain_takes_a_tenth_of_the_time() {
        for (wasted, wait) in [
            (0, None),
            (20, None),
            (21, Some(189)),
            (10_000, Some(90_000)),
            (99_000, Some(90_000)),
        ] {
            let wait = wait.map(Duration::from_millis);
            assert_eq!(rest(Duration::from_millis(wasted)), wait, "{wasted} ms");
        }
    }
}
