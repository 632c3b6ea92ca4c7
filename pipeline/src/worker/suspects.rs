//! When documents run that a process died with, and what has to wait meanwhile.
//!
//! They run alone as far as their owner is concerned, or the next death would find others in the
//! same hands. Documents of others wait for them only where a process has died with documents of
//! that owner, and not for long (`suspicion`): what a queue says of deaths, its owner may have
//! written.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::suspicion::Suspicion;

/// For how long others run before suspects have their turn.
const OTHERS: Duration = Duration::from_secs(5);

/// Whose suspects there are, and when they ran.
#[derive(Debug)]
pub struct Suspects<K> {
    /// Vectorizers with documents that a process died with.
    vectorizers: HashSet<i32>,
    /// When such documents of an owner were last in flight.
    ran: HashMap<K, Instant>,
    /// When the worker began.
    began: Instant,
    /// Whether and for how long they keep those of others waiting.
    suspicion: Suspicion<K>,
}

/// Whose suspects run or are to run in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precedence<K: Eq + Hash> {
    /// Owners of suspects in flight: nothing else of theirs is taken.
    running: HashSet<K>,
    /// Owners whose suspects are next, as soon as what else they have has ended.
    due: HashSet<K>,
    /// The one of them that comes before all others, which wait for its suspects.
    first: Option<K>,
}

/// What of a vectorizer is taken in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Nothing: its suspects run, or are to run when nothing else runs.
    Nothing,
    /// What no process died with first.
    InnocentFirst,
    /// Suspects first.
    SuspectsFirst,
}

impl<K: Copy + Eq + Hash + Into<u32>> Suspects<K> {
    /// None are known to a worker that begins.
    pub fn new(now: Instant) -> Suspects<K> {
        Suspects {
            vectorizers: HashSet::new(),
            ran: HashMap::new(),
            began: now,
            suspicion: Suspicion::default(),
        }
    }

    /// A process died, and had documents of this owner in its hands.
    pub fn died(&mut self, owner: K) {
        self.suspicion.died(owner);
    }

    /// There are some in the queue of this vectorizer.
    pub fn found(&mut self, vectorizer: i32) {
        self.vectorizers.insert(vectorizer);
    }

    /// There are none any more.
    pub fn none_left(&mut self, vectorizer: i32) {
        self.vectorizers.remove(&vectorizer);
    }

    /// Whether there are some.
    pub fn has(&self, vectorizer: i32) -> bool {
        self.vectorizers.contains(&vectorizer)
    }

    /// Some of this owner were taken.
    pub fn begin(&mut self, owner: K, now: Instant) {
        self.suspicion.begin(owner, now);
    }

    /// Whether all others wait for those of one owner.
    pub fn keep_others_waiting(&self, now: Instant) -> bool {
        self.suspicion.is_alone(now)
    }

    /// Whose suspects have their turn. Where there is always something else to do, it waits for
    /// them from time to time.
    ///
    /// `running` are the owners of suspects in flight, and `owners` those of the vectorizers with
    /// suspects that are due. `some_run`: documents are in flight, of whatever kind.
    pub fn turn(
        &mut self,
        running: HashSet<K>,
        some_run: bool,
        owners: impl Iterator<Item = K>,
        now: Instant,
    ) -> Precedence<K> {
        self.ran.extend(running.iter().map(|owner| (*owner, now)));
        let ran = |owner: &K| self.ran.get(owner).copied().unwrap_or(self.began);
        let due: HashSet<K> = owners
            .filter(|owner| !running.contains(owner) && ran(owner) + OTHERS <= now)
            .collect();
        let is_alone =
            self.suspicion.is_alone(now) && self.suspicion.owner().is_some_and(|owner| running.contains(&owner));
        let first = due
            .iter()
            .copied()
            .filter(|owner| !is_alone && self.suspicion.is_grave(*owner))
            .min_by_key(|owner| (ran(owner), (*owner).into()));
        if let Some(owner) = self.suspicion.owner()
            && !running.contains(&owner)
            && first != Some(owner)
        {
            self.suspicion.end(now);
        }
        if let Some(owner) = first
            && some_run
            && self.suspicion.owner() != Some(owner)
        {
            // Nothing more is taken until those have ended.
            self.suspicion.begin(owner, now);
        }
        if !some_run {
            self.suspicion.end(now);
        }
        Precedence { running, due, first }
    }

    /// Whether suspects of an owner may be taken now: nothing of the owner is in flight. Where a
    /// process has died with some of its documents, nothing of others is, or they were waited for
    /// long enough.
    pub fn may_run(&self, owner: K, mut owners_in_flight: impl Iterator<Item = K>) -> bool {
        let waits = self.suspicion.is_grave(owner) && self.suspicion.owner() != Some(owner);
        !owners_in_flight.any(|other| waits || other == owner)
    }
}

impl<K: Copy + Eq + Hash> Precedence<K> {
    /// The owner that comes before all others.
    pub fn first(&self) -> Option<K> {
        self.first
    }

    /// What is taken of a vectorizer of this owner. `may_run`: there are suspects in its queue, and
    /// they may be taken.
    pub fn take(&self, owner: K, may_run: impl FnOnce() -> bool) -> Take {
        if self.running.contains(&owner) {
            return Take::Nothing;
        }
        if !self.due.contains(&owner) {
            return Take::InnocentFirst;
        }
        if may_run() { Take::SuspectsFirst } else { Take::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suspicion::ALONE;

    const MS: Duration = Duration::from_millis(1);

    /// A round: who is in flight, in capitals the suspects, and who has suspects that are due.
    fn turn(suspects: &mut Suspects<char>, running: &str, due: &str, now: Instant) -> Precedence<char> {
        let some_run = !running.is_empty();
        let running = running.chars().filter(char::is_ascii_uppercase);
        let running = running.map(|owner| owner.to_ascii_lowercase()).collect();
        suspects.turn(running, some_run, due.chars(), now)
    }

    #[test]
    fn suspects_wait_for_five_seconds_and_then_come_first() {
        let now = Instant::now();
        let mut suspects = Suspects::new(now);
        for (after, take) in [
            (0, Take::InnocentFirst),
            (4999, Take::InnocentFirst),
            (5000, Take::SuspectsFirst),
        ] {
            let turns = turn(&mut suspects, "", "a", now + after * MS);
            assert_eq!(turns.take('a', || true), take, "{after} ms");
            assert_eq!(turns.take('b', || true), Take::InnocentFirst);
        }
    }

    #[test]
    fn nothing_of_the_owner_is_taken_beside_them_or_while_the_air_is_not_clear() {
        let now = Instant::now();
        let mut suspects = Suspects::new(now);
        let turns = turn(&mut suspects, "ab", "a", now + OTHERS);
        assert!(!suspects.may_run('a', "ab".chars()));
        assert_eq!(turns.take('a', || false), Take::Nothing, "what else it has must end");
        assert_eq!(turns.take('b', || false), Take::InnocentFirst);
        assert!(
            suspects.may_run('a', "b".chars()),
            "nobody has seen a process die with a document of theirs"
        );
        let turns = turn(&mut suspects, "Ab", "a", now + OTHERS);
        assert_eq!(turns.take('a', || true), Take::Nothing);
        assert_eq!(turns.take('b', || true), Take::InnocentFirst);
        // They have flown: others have five seconds again.
        let turns = turn(&mut suspects, "", "a", now + OTHERS + OTHERS - MS);
        assert_eq!(turns.take('a', || true), Take::InnocentFirst);
        let turns = turn(&mut suspects, "", "a", now + OTHERS + OTHERS);
        assert_eq!(turns.take('a', || true), Take::SuspectsFirst);
    }

    #[test]
    fn those_of_a_death_that_was_seen_have_all_others_wait() {
        let now = Instant::now() + OTHERS;
        let mut suspects = Suspects::new(now - OTHERS);
        suspects.died('a');
        assert_eq!(turn(&mut suspects, "b", "a", now).first(), Some('a'));
        assert!(suspects.keep_others_waiting(now), "until what runs has ended");
        assert!(suspects.may_run('a', "b".chars()), "they were waited for");
        assert!(!suspects.may_run('a', "a".chars()));
        turn(&mut suspects, "", "a", now + MS);
        assert!(!suspects.keep_others_waiting(now + MS), "all have");
        suspects.begin('a', now + 2 * MS);
        turn(&mut suspects, "A", "", now + 3 * MS);
        assert!(suspects.keep_others_waiting(now + 3 * MS), "they run");
        assert!(!suspects.keep_others_waiting(now + 2 * MS + ALONE), "not for long");
        turn(&mut suspects, "b", "", now + 4 * MS);
        assert!(!suspects.keep_others_waiting(now + 4 * MS), "they have ended");
    }

    #[test]
    fn what_a_queue_says_of_deaths_keeps_nobody_waiting() {
        let now = Instant::now() + OTHERS;
        let mut suspects = Suspects::new(now - OTHERS);
        let turns = turn(&mut suspects, "b", "m", now);
        assert_eq!(turns.first(), None);
        suspects.begin('m', now);
        assert!(!suspects.keep_others_waiting(now));
    }

    #[test]
    fn of_several_who_wait_the_one_that_has_for_longest_comes_first() {
        let now = Instant::now();
        let mut suspects = Suspects::new(now);
        "abc".chars().for_each(|owner| suspects.died(owner));
        turn(&mut suspects, "A", "", now);
        turn(&mut suspects, "C", "", now + MS);
        let later = now + OTHERS + MS;
        let turns = turn(&mut suspects, "", "abc", later);
        assert_eq!(turns.first(), Some('a'), "of the same moment, one and the same");
        turn(&mut suspects, "A", "bc", later);
        assert_eq!(
            turn(&mut suspects, "", "abc", later + MS).first(),
            Some('b'),
            "since the worker began"
        );
        turn(&mut suspects, "B", "", later + MS);
        assert_eq!(turn(&mut suspects, "", "abc", later + 2 * MS).first(), Some('c'));
    }

    #[test]
    fn vectorizers_have_suspects_until_none_is_left() {
        let mut suspects: Suspects<char> = Suspects::new(Instant::now());
        suspects.found(7);
        assert!(suspects.has(7) && !suspects.has(8));
        suspects.none_left(7);
        assert!(!suspects.has(7));
    }
}
